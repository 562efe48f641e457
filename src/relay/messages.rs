//! Where the messages of a relayed stream end.

use crate::wire::back;

/// Type byte and length word.
const HEADER: usize = 5;

/// Where the messages of a stream end. Their length words alone are read: what the types are is not judged here.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The header of the current message, as far as it was seen.
    head: [u8; HEADER],
    seen: usize,
    /// Bytes of its body still to come.
    rest: usize,
    /// Its last byte so far, which in ReadyForQuery is the transaction status.
    last: u8,
    /// A length that cannot be: what follows is not understood.
    lost: bool,
}

impl Messages {
    /// Whether the current message is whole.
    fn complete(&self) -> bool {
        self.seen == HEADER && self.rest == 0 && !self.lost
    }

    /// Between two messages.
    pub(super) fn at_end(&self) -> bool {
        self.seen == 0 || self.complete()
    }

    /// The last message said that the server waits for the client, outside of a transaction.
    pub(super) fn ready(&self) -> bool {
        self.complete() && self.head.first() == Some(&back::READY) && self.last == b'I'
    }

    /// The length of a message could not be: no end will be found any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn feed(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            let taken = self.step(chunk);
            chunk = chunk.get(taken..).unwrap_or_default();
        }
    }

    /// Goes to the end of the current message: how many bytes of the chunk that is, if it is in there.
    pub(super) fn feed_to_end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            at += self.step(rest);
            if self.complete() {
                return Some(at);
            }
        }
        None
    }

    /// Takes bytes of one message: of the next, if the current one is whole. At least one.
    fn step(&mut self, chunk: &[u8]) -> usize {
        if self.lost {
            return chunk.len();
        }
        if self.complete() {
            self.seen = 0;
        }
        let mut taken = 0;
        while self.seen < HEADER {
            let (Some(byte), Some(place)) = (chunk.get(taken), self.head.get_mut(self.seen)) else {
                return taken;
            };
            *place = *byte;
            self.seen += 1;
            taken += 1;
            if self.seen == HEADER {
                let [_, a, b, c, d] = self.head;
                let body = i32::from_be_bytes([a, b, c, d]).checked_sub(4);
                match body.and_then(|len| usize::try_from(len).ok()) {
                    Some(len) => self.rest = len,
                    None => self.lost = true,
                }
            }
        }
        let body = chunk.get(taken..).unwrap_or_default();
        let body = body.get(..self.rest).unwrap_or(body);
        self.rest -= body.len();
        self.last = body.last().copied().unwrap_or(self.last);
        taken + body.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::wire;

    fn ready(status: u8) -> Vec<u8> {
        let mut out = Vec::new();
        wire::ready_for_query(&mut out, status);
        out
    }

    fn data(len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        wire::frame(&mut out, back::COPY_DATA, |out| out.resize(out.len() + len, b'I'));
        out
    }

    #[test]
    fn ends_of_messages_are_found_however_they_are_cut() {
        let stream = [data(0), data(300), ready(b'T'), data(7), ready(b'I')].concat();
        let ends: Vec<usize> = [5, 305, 6, 12, 6]
            .iter()
            .scan(0, |at, len| {
                *at += len;
                Some(*at)
            })
            .collect();
        for piece in 1..=stream.len() {
            let mut messages = Messages::default();
            let mut at = 0;
            for chunk in stream.chunks(piece) {
                messages.feed(chunk);
                at += chunk.len();
                assert_eq!(messages.at_end(), ends.contains(&at), "{at} in pieces of {piece}");
                assert_eq!(messages.ready(), at == stream.len(), "{at} in pieces of {piece}");
            }
        }
        for cut in 0..stream.len() {
            let mut messages = Messages::default();
            messages.feed(&stream[..cut]);
            let next = ends.iter().find(|end| **end > cut).unwrap();
            assert_eq!(messages.feed_to_end(&stream[cut..]), Some(next - cut), "{cut}");
            assert!(messages.at_end());
        }
        assert_eq!(Messages::default().feed_to_end(&stream[..4]), None);
    }

    #[test]
    fn after_an_impossible_length_no_end_is_found() {
        for length in [0_u32, 3, 0x8000_0000, u32::MAX] {
            let mut messages = Messages::default();
            messages.feed(&[&b"d"[..], &length.to_be_bytes(), &ready(b'I')].concat());
            assert!(!messages.at_end() && !messages.ready());
            assert_eq!(messages.feed_to_end(&ready(b'I')), None);
        }
    }
}
