//! A statement without its constants: what statements are counted by.

use super::lexer::{Lexer, Token};
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

/// What stands for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// For what is left without its constants: [`Shape::fingerprint`].
    pub fingerprint: u64,
    /// For its constants. It holds for this version of Howdah only.
    pub values: u64,
}

impl Print {
    /// Of one statement's text. `standard_strings` is the session's `standard_conforming_strings`.
    pub fn of(text: &[u8], standard_strings: bool) -> Self {
        let values = Lexer::new(text, standard_strings).fold(0, |hash, token| match token {
            Token::Text { raw, .. } | Token::Number(raw) => (hash ^ fingerprint(raw)).rotate_left(5),
            _ => hash,
        });
        Self { fingerprint: fingerprint(&normalise(text, standard_strings)), values }
    }
}
