//! A statement without its constants: what statements are counted by.

use super::normal::{fingerprint, normalise};

/// A statement without its constants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Stands for it: [`fingerprint`] of the whole text.
    pub fingerprint: u64,
    /// The normalised text, cut behind [`Shape::MAX_TEXT`] bytes.
    pub text: Box<str>,
}

impl Shape {
    /// Bytes of a text that are kept.
    pub const MAX_TEXT: usize = 4096;

    /// Of one statement's text. `standard_strings` is the session's `standard_conforming_strings`.
    pub fn new(text: &[u8], standard_strings: bool) -> Self {
        let normal = normalise(text, standard_strings);
        let kept = normal.get(..Self::MAX_TEXT).unwrap_or(&normal);
        Self { fingerprint: fingerprint(&normal), text: String::from_utf8_lossy(kept).into() }
    }
}
