//! The frames of an extended batch up to its Sync or Flush, read before any of them is judged.

use crate::wire::{self, Frame, Side, Target, front};

/// Frames that are looked at together. A longer batch goes to the server as it is.
const MOST_FRAMES: usize = 256;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Parse(wire::Parse<'a>),
    Bind { portal: &'a [u8], statement: &'a [u8], values: Values<'a> },
    DescribeStatement(&'a [u8]),
    DescribePortal(&'a [u8]),
    Execute { portal: &'a [u8], max_rows: u32 },
    CloseStatement(&'a [u8]),
    ClosePortal(&'a [u8]),
    Sync,
    Flush,
}

impl Step<'_> {
    /// The type of its frame.
    pub(super) fn tag(&self) -> u8 {
        match self {
            Self::Parse(_) => front::PARSE,
            Self::Bind { .. } => front::BIND,
            Self::DescribeStatement(_) | Self::DescribePortal(_) => front::DESCRIBE,
            Self::Execute { .. } => front::EXECUTE,
            Self::CloseStatement(_) | Self::ClosePortal(_) => front::CLOSE,
            Self::Sync => front::SYNC,
            Self::Flush => front::FLUSH,
        }
    }
}

/// What becomes of a batch whose first frame is one for the cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unit<'a> {
    /// Its end is not there yet.
    Incomplete,
    /// It is nothing for the cache: too many frames, or one that does not belong there or cannot be read.
    Other,
    /// Its frames, and how many bytes they are. The last one is a Sync or a Flush.
    Whole(Vec<Step<'a>>, usize),
}

/// Reads a batch; `most` bytes of it at most.
pub(super) fn unit(bytes: &[u8], most: usize) -> Unit<'_> {
    let (mut steps, mut at) = (Vec::new(), 0);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let head = match wire::header(Side::Frontend, rest) {
            Ok(Some(head)) => head,
            Ok(None) if at < most => return Unit::Incomplete,
            _ => return Unit::Other,
        };
        if at + head.len > most || steps.len() >= MOST_FRAMES {
            return Unit::Other;
        }
        let Some(frame) = rest.get(..head.len) else { return Unit::Incomplete };
        let Some(step) = step(head, frame.get(5..).unwrap_or_default()) else { return Unit::Other };
        at += head.len;
        steps.push(step);
        if matches!(step, Step::Sync | Step::Flush) {
            return Unit::Whole(steps, at);
        }
    }
}

fn step(head: Frame, body: &[u8]) -> Option<Step<'_>> {
    Some(match head.tag {
        front::PARSE => Step::Parse(wire::parse(body).ok()?),
        front::BIND => {
            let bind = wire::bind_head(body)?;
            let values = Values::read(body.get(bind.rest..)?)?;
            Step::Bind { portal: bind.portal, statement: bind.statement, values }
        }
        front::DESCRIBE => match wire::target(body).ok()? {
            Target::Statement(name) => Step::DescribeStatement(name),
            Target::Portal(name) => Step::DescribePortal(name),
        },
        front::EXECUTE => {
            let (portal, rest) = wire::c_string(body)?;
            Step::Execute { portal, max_rows: u32::from_be_bytes(rest.try_into().ok()?) }
        }
        front::CLOSE => match wire::target(body).ok()? {
            Target::Statement(name) => Step::CloseStatement(name),
            Target::Portal(name) => Step::ClosePortal(name),
        },
        front::SYNC if body.is_empty() => Step::Sync,
        front::FLUSH if body.is_empty() => Step::Flush,
        _ => return None,
    })
}

/// The part of a Bind behind its names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Values<'a> {
    formats: &'a [u8],
    count: u16,
    values: &'a [u8],
    results: &'a [u8],
}

fn counted(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*count), rest))
}

impl<'a> Values<'a> {
    /// `None` for what the server would refuse.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (n, rest) = counted(bytes)?;
        let (formats, rest) = rest.split_at_checked(usize::from(n) * 2)?;
        let (count, values) = counted(rest)?;
        if n > 1 && n != count {
            return None;
        }
        let mut rest = values;
        for _ in 0..count {
            rest = value(rest)?.1;
        }
        let values = values.get(..values.len() - rest.len())?;
        let (n, results) = counted(rest)?;
        (results.len() == usize::from(n) * 2).then_some(Self { formats, count, values, results })
    }

    /// Gives each thing that decides what is answered: of each parameter its format and its value, then the result's
    /// formats, where all in text is as none. Each is told from its neighbours by whoever takes it.
    pub(super) fn parts(&self, mut each: impl FnMut(&[u8])) {
        each(&self.count.to_be_bytes());
        let mut rest = self.values;
        for n in 0..usize::from(self.count) {
            let place = if self.formats.len() == 2 { 0 } else { n * 2 };
            each(self.formats.get(place..place + 2).unwrap_or(&[0, 0]));
            let Some((value, behind)) = value(rest) else { return };
            each(if value.is_some() { b"v" } else { b"n" });
            each(value.unwrap_or_default());
            rest = behind;
        }
        let text = self.results.iter().all(|byte| *byte == 0);
        each(if text { &[] } else { self.results });
    }
}

/// One parameter, `None` for NULL, and what is behind it.
fn value(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    match i32::from_be_bytes(*len) {
        -1 => Some((None, rest)),
        len => {
            let (value, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            Some((Some(value), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::*;

    fn frame(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
        wire::frame(out, tag, |out| out.extend_from_slice(body));
    }

    fn bind(formats: &[u16], values: &[Option<&[u8]>], results: &[u16]) -> Vec<u8> {
        let mut body = b"\0s\0".to_vec();
        let words = |body: &mut Vec<u8>, words: &[u16]| {
            body.extend_from_slice(&(words.len() as u16).to_be_bytes());
            words.iter().for_each(|word| body.extend_from_slice(&word.to_be_bytes()));
        };
        words(&mut body, formats);
        body.extend_from_slice(&(values.len() as u16).to_be_bytes());
        for value in values {
            let len = value.map_or(-1, |value| value.len() as i32);
            body.extend_from_slice(&len.to_be_bytes());
            body.extend_from_slice(value.unwrap_or_default());
        }
        words(&mut body, results);
        body
    }

    fn key(body: &[u8]) -> Option<Vec<Vec<u8>>> {
        let head = wire::bind_head(body).unwrap();
        let mut parts = Vec::new();
        Values::read(&body[head.rest..])?.parts(|part| parts.push(part.to_vec()));
        Some(parts)
    }

    #[test]
    fn what_means_the_same_has_one_key() {
        let same = [
            bind(&[], &[Some(b"1"), Some(b"2")], &[]),
            bind(&[0], &[Some(b"1"), Some(b"2")], &[0]),
            bind(&[0, 0], &[Some(b"1"), Some(b"2")], &[0, 0, 0]),
        ];
        assert!(same.iter().all(|body| key(body) == key(&same[0])));
        let others = [
            bind(&[1], &[Some(b"1"), Some(b"2")], &[]),
            bind(&[0, 1], &[Some(b"1"), Some(b"2")], &[]),
            bind(&[], &[Some(b"12"), Some(b"")], &[]),
            bind(&[], &[Some(b"1"), None], &[]),
            bind(&[], &[Some(b"1"), Some(b"")], &[]),
            bind(&[], &[Some(b"1")], &[]),
            bind(&[], &[Some(b"1"), Some(b"2")], &[1]),
            bind(&[], &[Some(b"1"), Some(b"2")], &[0, 1]),
        ];
        for (n, body) in others.iter().enumerate() {
            assert!(others.iter().skip(n + 1).chain(&same).all(|other| key(other) != key(body)), "{n}");
        }
        assert_eq!(
            key(&bind(&[0, 0, 0], &[Some(b"1"), Some(b"2")], &[])),
            None,
            "three formats for two values"
        );
    }

    #[test]
    fn a_batch_ends_with_its_sync() {
        let mut bytes = Vec::new();
        frame(&mut bytes, front::PARSE, b"s\0SELECT 1\0\0\0");
        frame(&mut bytes, front::BIND, &bind(&[], &[], &[]));
        frame(&mut bytes, front::DESCRIBE, b"P\0");
        frame(&mut bytes, front::EXECUTE, b"\0\0\0\0\0");
        for cut in 0..bytes.len() {
            assert_eq!(unit(&bytes[..cut], 1000), Unit::Incomplete, "{cut}");
        }
        frame(&mut bytes, front::SYNC, b"");
        let end = bytes.len();
        frame(&mut bytes, front::SYNC, b"");
        let Unit::Whole(steps, len) = unit(&bytes, 1000) else { panic!("whole") };
        assert_eq!((steps.len(), len), (5, end));
        assert_eq!(steps[3], Step::Execute { portal: b"", max_rows: 0 });
        assert_eq!(unit(&bytes, 20), Unit::Other, "longer than what is looked at");
    }

    #[test]
    fn what_the_server_must_judge_is_nothing_for_the_cache() {
        for (tag, body) in [
            (front::QUERY, &b"SELECT 1\0"[..]),
            (front::SYNC, b"x"),
            (front::BIND, b"\0s\0\0\x01"),
            (front::EXECUTE, b"\0\0\0\0"),
            (front::DESCRIBE, b"X\0"),
            (front::COPY_DATA, b""),
        ] {
            let mut bytes = Vec::new();
            frame(&mut bytes, front::PARSE, b"s\0SELECT 1\0\0\0");
            frame(&mut bytes, tag, body);
            frame(&mut bytes, front::SYNC, b"");
            assert_eq!(unit(&bytes, 1000), Unit::Other, "{}", char::from(tag));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Unit::Whole(steps, len) = unit(&bytes, 200) {
                prop_assert!(len <= bytes.len() && !steps.is_empty());
            }
            if let Some(values) = Values::read(&bytes) {
                values.parts(|_| {});
            }
        }
    }
}
