//! Patterns for normalised texts, in which `*` stands for anything.

use super::lexer::{Lexer, Token};
use super::normal::{folds_words, normalise};

/// One token that a text must begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum First {
    /// In lower case.
    Word(Box<[u8]>),
    Quoted(Box<[u8]>),
    Constant,
    Symbol(u8),
}

/// A pattern for normalised texts, in which `*` stands for anything.
#[derive(Clone, Debug)]
pub struct TextPattern {
    /// What stands between the stars, normalised.
    pieces: Vec<Box<[u8]>>,
    /// The tokens of the first piece up to a constant (a list of them is one, so that places shift), but for the last,
    /// which may go on.
    first: Vec<First>,
}

impl TextPattern {
    /// From a text with stars. It is normalised as texts are.
    pub fn new(pattern: &str) -> Self {
        let parts: Vec<&str> = pattern.split('*').collect();
        let pieces = parts.iter().map(|part| normalise(part.as_bytes(), true).into()).collect();
        let begin = parts.first().copied().unwrap_or_default();
        let mut first: Vec<First> =
            Lexer::new(begin.as_bytes(), true).map(first).take_while(|first| !first.may_fold()).collect();
        first.pop();
        Self { pieces, first }
    }

    /// Whether a text fits. It is given up at the first token that does not.
    /// `standard_strings` is the session's `standard_conforming_strings`.
    pub fn matches(&self, text: &[u8], standard_strings: bool) -> bool {
        let mut lexer = Lexer::new(text, standard_strings);
        let begins = self.first.iter().all(|want| lexer.next().is_some_and(|token| is(token, want)));
        begins && self.fits(&normalise(text, standard_strings))
    }

    fn fits(&self, text: &[u8]) -> bool {
        let (Some(begin), Some(end)) = (self.pieces.first(), self.pieces.last()) else { return false };
        if self.pieces.len() == 1 {
            return *text == **begin;
        }
        let Some(mut rest) = text.strip_prefix(&**begin) else { return false };
        let middle = self.pieces.get(1..self.pieces.len() - 1).unwrap_or_default();
        for piece in middle {
            let Some(at) = memchr::memmem::find(rest, piece) else { return false };
            rest = rest.get(at + piece.len()..).unwrap_or_default();
        }
        rest.ends_with(end)
    }
}

impl First {
    /// Whether it may be a constant, or what comes behind it may be one though it is a word.
    fn may_fold(&self) -> bool {
        match self {
            Self::Constant | Self::Symbol(b'-') => true,
            Self::Word(word) => folds_words(word),
            Self::Quoted(_) | Self::Symbol(_) => false,
        }
    }
}

fn first(token: Token<'_>) -> First {
    match token {
        Token::Word(word) => First::Word(word.to_ascii_lowercase().into()),
        Token::Quoted(name) | Token::UnicodeQuoted(name) => First::Quoted(name.into()),
        Token::Text { .. } | Token::Number(_) | Token::Parameter | Token::Symbol(b'?') => First::Constant,
        Token::Symbol(symbol) => First::Symbol(symbol),
    }
}

fn is(token: Token<'_>, want: &First) -> bool {
    match (token, want) {
        (Token::Word(word), First::Word(want)) => word.eq_ignore_ascii_case(want),
        (Token::Quoted(name) | Token::UnicodeQuoted(name), First::Quoted(want)) => *name == **want,
        (Token::Symbol(symbol), First::Symbol(want)) => symbol == *want,
        _ => false,
    }
}
