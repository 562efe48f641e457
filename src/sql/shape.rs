//! A statement without its constants: what statements are counted by.

use super::normal::{fingerprint, normalise, normalise_into};

/// A statement without its constants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Stands for it: [`fingerprint`] of the whole text.
    pub fingerprint: u64,
    /// The normalised text, cut behind [`Shape::MAX_TEXT`] bytes.
    pub text: Box<str>,
}

/// What stands for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// For what is left without its constants: [`Shape::fingerprint`].
    pub fingerprint: u64,
    /// For its constants. It holds for this version of Howdah only.
    pub values: u64,
}

impl Shape {
    /// Bytes of a text that are kept.
    pub const MAX_TEXT: usize = 4096;

    /// Of one statement's text. `standard_strings` is the session's `standard_conforming_strings`.
    pub fn new(text: &[u8], standard_strings: bool) -> Self {
        Self::of_normal(&normalise(text, standard_strings))
    }

    /// Of a text that is normalised.
    pub fn of_normal(normal: &[u8]) -> Self {
        let kept = normal.get(..Self::MAX_TEXT).unwrap_or(normal);
        Self { fingerprint: fingerprint(normal), text: String::from_utf8_lossy(kept).into() }
    }
}

impl Print {
    /// Of one statement's text, and its normalised text in `normal`, whose memory is used again.
    /// `standard_strings` is the session's `standard_conforming_strings`.
    pub fn new(text: &[u8], standard_strings: bool, normal: &mut Vec<u8>) -> Self {
        let values = normalise_into(text, standard_strings, normal);
        Self { fingerprint: fingerprint(normal), values }
    }
}
