//! A text without what does not matter to the server: comments around it, and further on its constants.

use super::lexer::{Lexer, Token};

/// The text without the comments, white space and semicolons around it, in which marks are read ([`super::marks`]).
/// `standard_strings` is the session's `standard_conforming_strings`.
pub fn core(text: &[u8], standard_strings: bool) -> &[u8] {
    if memchr::memmem::find(text, b"*/").is_none() && memchr::memmem::find(text, b"--").is_none() {
        return trim(text);
    }
    let mut lexer = Lexer::new(text, standard_strings);
    let (mut start, mut end) = (None, 0);
    while let Some(token) = lexer.next() {
        if token != Token::Symbol(b';') {
            start = start.or(Some(lexer.start()));
            end = lexer.position();
        }
    }
    start.and_then(|start| text.get(start..end)).unwrap_or_default()
}

/// Cuts what stands between statements from both ends.
fn trim(text: &[u8]) -> &[u8] {
    let outer = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | b';');
    let start = text.iter().position(|b| !outer(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !outer(b)).map_or(start, |at| at + 1);
    text.get(start..end).unwrap_or_default()
}

/// A text as all that differ from it in their constants alone have it: comments and the semicolons at the end are out,
/// words that are not quoted are in lower case, each constant and parameter is a `?`, a list of them is one, and white
/// space is one space where two words would run together, behind a comma and around operators.
/// `standard_strings` is the session's `standard_conforming_strings`.
pub fn normalise(text: &[u8], standard_strings: bool) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(text.len().min(4096));
    let mut last = Kind::Start;
    for token in Lexer::new(text, standard_strings) {
        last = write(&mut out, last, token);
    }
    while out.last() == Some(&b';') {
        out.pop();
    }
    out
}

/// Stands for a normalised text: FNV-1a of it with 64 bits. It is the same in every version and on every machine.
pub fn fingerprint(normalised: &[u8]) -> u64 {
    normalised
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Start,
    Word,
    Constant,
    Comma,
    Operator,
    /// An opening bracket or a point: nothing stands between it and what follows.
    Joins,
    Closing,
}

fn write(out: &mut Vec<u8>, last: Kind, token: Token<'_>) -> Kind {
    let kind = match token {
        Token::Word(_) | Token::Quoted(_) | Token::UnicodeQuoted(_) => Kind::Word,
        Token::Text { .. } | Token::Number(_) | Token::Parameter | Token::Symbol(b'?') => Kind::Constant,
        Token::Symbol(b',' | b';') => Kind::Comma,
        Token::Symbol(b'(' | b'[' | b'.') => Kind::Joins,
        Token::Symbol(b')' | b']') => Kind::Closing,
        Token::Symbol(_) => Kind::Operator,
    };
    if kind == Kind::Constant && out.ends_with(b"?,") {
        out.pop(); // one more of a list
        return kind;
    }
    let apart = match (last, kind) {
        (Kind::Start | Kind::Joins, _) | (_, Kind::Comma | Kind::Closing | Kind::Joins) => false,
        (Kind::Operator, Kind::Operator) => false,
        // No space behind the comma yet: the list may go on.
        (Kind::Comma, _) => !matches!(token, Token::Symbol(b';')),
        _ => true,
    };
    if apart {
        out.push(b' ');
    }
    match token {
        Token::Word(word) => out.extend(word.iter().map(u8::to_ascii_lowercase)),
        Token::Quoted(name) | Token::UnicodeQuoted(name) => {
            out.push(b'"');
            out.extend_from_slice(name);
            out.push(b'"');
        }
        Token::Text { .. } | Token::Number(_) | Token::Parameter => out.push(b'?'),
        Token::Symbol(symbol) => out.push(symbol),
    }
    kind
}

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
        let mut first: Vec<First> = Lexer::new(begin.as_bytes(), true)
            .map(first)
            .take_while(|first| *first != First::Constant)
            .collect();
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
