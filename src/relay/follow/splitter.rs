//! Where the messages of a replication connection begin and end, and as much of each as somebody reads.

use crate::backend::Loss;
use crate::cache::pgoutput;
use crate::wire::{self, Side, back};

/// The most bytes that are collected of one message: a Truncate of some million tables.
const MOST: usize = 16 << 20;

/// Cuts what a server sends into messages. Of a change only what says whose rows they are is collected.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The beginning of a message of which too little is there.
    carry: Vec<u8>,
    /// Bytes of the last message that are still to come, and that nobody reads.
    skip: usize,
}

/// What is to be read of a message.
struct Piece<'a> {
    tag: u8,
    head: &'a [u8],
    /// Of the whole message.
    len: usize,
}

impl Splitter {
    /// Takes what was read, and hands on each message: its type, and its body or the head of it.
    ///
    /// # Errors
    /// A message of an unknown type or too long, or what `on` says.
    pub(super) fn feed<E: From<Loss>>(
        &mut self,
        chunk: &[u8],
        mut on: impl FnMut(u8, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut whole = std::mem::take(&mut self.carry);
        let bytes = if whole.is_empty() {
            chunk
        } else {
            whole.extend_from_slice(chunk);
            &whole
        };
        let mut at = self.skip.min(bytes.len());
        self.skip -= at;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(piece) = piece(rest)? else { break };
            on(piece.tag, piece.head)?;
            let here = piece.len.min(rest.len());
            at += here;
            self.skip = piece.len - here;
        }
        if at == 0 && !whole.is_empty() {
            self.carry = whole;
        } else {
            self.carry = bytes.get(at..).unwrap_or_default().to_vec();
        }
        Ok(())
    }
}

/// The message at the beginning of `rest`, if enough of it is there.
fn piece(rest: &[u8]) -> Result<Option<Piece<'_>>, Loss> {
    let head = wire::header(Side::Backend, rest)
        .map_err(|_| Loss::Violation("a message of an unknown type or an impossible length"))?;
    let Some(frame) = head else { return Ok(None) };
    let body = rest.get(5..).unwrap_or_default();
    let len = frame.len.saturating_sub(5);
    let needed =
        if frame.tag == back::COPY_DATA && len > 0 { pgoutput::enough(body, len) } else { Some(len) };
    match needed {
        Some(needed) if needed > MOST => Err(Loss::Violation("a message too long for replication")),
        Some(needed) => Ok(body.get(..needed).map(|head| Piece { tag: frame.tag, head, len: frame.len })),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        wire::frame(&mut out, tag, |out| out.extend_from_slice(body));
        out
    }

    fn change(payload: &[u8]) -> Vec<u8> {
        message(back::COPY_DATA, &[b"w", &[0; 24][..], payload].concat())
    }

    fn fed(bytes: &[u8], piece: usize) -> Result<Vec<(u8, Vec<u8>)>, Loss> {
        let (mut splitter, mut seen) = (Splitter::default(), Vec::new());
        for chunk in bytes.chunks(piece) {
            splitter.feed(chunk, |tag, head| {
                seen.push((tag, head.to_vec()));
                Ok::<_, Loss>(())
            })?;
        }
        assert!(splitter.carry.is_empty() && splitter.skip == 0, "nothing is left over");
        Ok(seen)
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let row = change(&[&b"I\0\0\0\x07N"[..], &[9; 3000]].concat());
        let all = [
            message(back::COPY_BOTH, b"\0\0\0"),
            change(b"B"),
            row.clone(),
            row,
            change(&[&b"M"[..], &[5; 1000]].concat()),
            message(back::COPY_DATA, b"k"),
            message(back::COPY_DATA, b""),
            message(back::COPY_DONE, b""),
        ]
        .concat();
        let expected = fed(&all, all.len()).unwrap();
        let lengths: Vec<usize> = expected.iter().map(|(_, head)| head.len()).collect();
        assert_eq!(lengths, [3, 26, 31, 31, 25 + 256, 1, 0, 0]);
        for piece in (1..200).chain([3030, 3031, 3032, 5000]) {
            assert_eq!(fed(&all, piece).unwrap(), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_cannot_be_collected_is_an_error() {
        let mut long = change(b"R");
        long.splice(1..5, 0x2000_0000_u32.to_be_bytes());
        assert_eq!(fed(&long, 1000), Err(Loss::Violation("a message too long for replication")));
        assert!(matches!(fed(b"\x01\0\0\0\x04", 5), Err(Loss::Violation(_))));
        let mut row = change(b"I\0\0\0\x07N");
        row.splice(1..5, 0x2000_0000_u32.to_be_bytes());
        let mut splitter = Splitter::default();
        splitter.feed(&row, |_, _| Ok::<_, Loss>(())).unwrap();
        assert_eq!(
            (splitter.carry.len(), splitter.skip),
            (0, 0x2000_0000 - 35),
            "a row of half a GB is skipped"
        );
    }
}
