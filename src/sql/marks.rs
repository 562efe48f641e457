//! Marks: `/*howdah.tenant='acme'*/` as sqlcommenter writes them, before or behind the text.

use std::fmt;

use super::lexer::{Lexer, Token};

/// Keys of marks begin with it. Case matters.
const PREFIX: &str = "howdah.";
/// A longer value is refused, in bytes.
const LONGEST_VALUE: usize = 1024;
/// More marks are refused.
const MOST: usize = 32;

/// Marks of a text, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Key, without `howdah.`, and value. No key comes twice.
    pub pairs: Vec<(Box<str>, Box<str>)>,
}

impl Marks {
    /// The value of a mark.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| **k == *key).map(|(_, value)| &**value)
    }
}

/// A mark that cannot be read. It is an error and not a comment: without its mark the text would run as
/// somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadMark {
    /// A mark that is not `howdah.key='value'`, with both URL-encoded in UTF-8; the key where it is known.
    Malformed(Box<str>),
    /// The key comes twice, with different values.
    Twice(Box<str>),
    /// The value is longer than 1024 bytes.
    TooLong(Box<str>),
    /// More than 32 marks.
    TooMany,
}

impl fmt::Display for BadMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(key) => write!(f, "the mark \"{key}\" is not of the form key='value'"),
            Self::Twice(key) => write!(f, "the mark \"{key}\" comes twice with different values"),
            Self::TooLong(key) => {
                write!(f, "the value of the mark \"{key}\" is longer than {LONGEST_VALUE} bytes")
            }
            Self::TooMany => write!(f, "more than {MOST} marks"),
        }
    }
}

impl std::error::Error for BadMark {}

/// The marks in the comments before the first token of a text and behind its last, not counting semicolons.
/// Comments in the middle, line comments and comments that hold other comments have none; nor has a key without
/// `howdah.`.
/// `standard_strings` is the session's `standard_conforming_strings`.
pub fn marks(text: &[u8], standard_strings: bool) -> Result<Marks, BadMark> {
    let mut found = Marks::default();
    if memchr::memmem::find(text, b"howdah").is_none() {
        return Ok(found);
    }
    comments(text, &mut |comment| read(comment, &mut found))?;
    let mut lexer = Lexer::new(text, standard_strings);
    let mut end = 0;
    while let Some(token) = lexer.next() {
        if token != Token::Symbol(b';') {
            end = lexer.position();
        }
    }
    // Without any token it was all read as what comes first.
    if end > 0 {
        comments(text.get(end..).unwrap_or_default(), &mut |comment| read(comment, &mut found))?;
    }
    Ok(found)
}

/// Gives what stands in each `/* … */` that `text` begins with.
pub(super) fn comments<'a>(
    text: &'a [u8],
    each: &mut dyn FnMut(&'a [u8]) -> Result<(), BadMark>,
) -> Result<(), BadMark> {
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        at += match rest {
            [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | b';', ..] => 1,
            [b'-', b'-', ..] => memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len()),
            [b'/', b'*', ..] => {
                let (length, inside) = block(rest);
                if let Some(inside) = inside {
                    each(inside)?;
                }
                length
            }
            _ => return Ok(()),
        };
    }
}

/// The length of the comment that `text` begins with, and what stands in it; nothing when it holds others or
/// does not end.
fn block(text: &[u8]) -> (usize, Option<&[u8]>) {
    let (mut at, mut depth, mut nests) = (2, 1_usize, false);
    while let Some(n) = text.get(at..).and_then(|rest| memchr::memchr2(b'*', b'/', rest)) {
        at += n;
        match text.get(at..at + 2) {
            Some(b"*/") => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return (at, text.get(2..at - 2).filter(|_| !nests));
                }
            }
            Some(b"/*") => {
                depth += 1;
                nests = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    (text.len(), None)
}

/// The pairs of one comment. What is no pair is prose, up to the next comma.
fn read(comment: &[u8], found: &mut Marks) -> Result<(), BadMark> {
    let mut rest = comment;
    while !rest.is_empty() {
        let end = memchr::memchr2(b'=', b',', rest).unwrap_or(rest.len());
        let (key, behind) = rest.split_at(end);
        let typed = key.trim_ascii();
        let key = decode(typed);
        let own = key.as_deref().map_or(typed, str::as_bytes).starts_with(PREFIX.as_bytes());
        let value =
            behind.strip_prefix(b"=").and_then(|b| b.trim_ascii_start().strip_prefix(b"'")).and_then(quoted);
        match (key, value) {
            (Some(key), Some((value, next))) => {
                if own {
                    add(&key, &value, found)?;
                }
                rest = next;
            }
            (key, _) if own => {
                let key = key.unwrap_or_else(|| String::from_utf8_lossy(typed).into_owned());
                return Err(BadMark::Malformed(shortened(&key)));
            }
            _ => rest = past_comma(rest.get(end..).unwrap_or_default()),
        }
    }
    Ok(())
}

/// From behind the opening quote: the value with `\'` undone, and what follows behind the comma. `None` when
/// something else follows, or nothing closes it.
pub(super) fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = text;
    loop {
        let end = memchr::memchr2(b'\'', b'\\', rest)?;
        value.extend_from_slice(rest.get(..end)?);
        rest = match rest.get(end..)? {
            [b'\\', b'\'', behind @ ..] => {
                value.push(b'\'');
                behind
            }
            [b'\\', behind @ ..] => {
                value.push(b'\\');
                behind
            }
            [_, behind @ ..] => {
                let behind = behind.trim_ascii_start();
                let next = if behind.is_empty() { behind } else { behind.strip_prefix(b",")? };
                return Some((value, next));
            }
            [] => return None,
        };
    }
}

pub(super) fn past_comma(text: &[u8]) -> &[u8] {
    memchr::memchr(b',', text).and_then(|at| text.get(at + 1..)).unwrap_or_default()
}

fn add(key: &str, value: &[u8], found: &mut Marks) -> Result<(), BadMark> {
    let name = key.strip_prefix(PREFIX).unwrap_or_default();
    let value = decode(value).filter(|value| !value.contains('\0'));
    let Some(value) = value.filter(|_| !name.is_empty()) else {
        return Err(BadMark::Malformed(shortened(key)));
    };
    if value.len() > LONGEST_VALUE {
        return Err(BadMark::TooLong(shortened(key)));
    }
    match found.get(name) {
        Some(same) if *same == *value => Ok(()),
        Some(_) => Err(BadMark::Twice(shortened(key))),
        None if found.pairs.len() == MOST => Err(BadMark::TooMany),
        None => {
            found.pairs.push((name.into(), value.into()));
            Ok(())
        }
    }
}

/// For an error, which goes to a log too.
fn shortened(key: &str) -> Box<str> {
    key.chars().take(64).collect()
}

/// Undoes `%41`. `None` for an escape without its two digits and for what is not UTF-8.
pub(super) fn decode(encoded: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first == b'%' {
            let digit = |at: usize| behind.get(at).and_then(|d| char::from(*d).to_digit(16));
            bytes.push((digit(0)? << 4 | digit(1)?) as u8);
            rest = behind.get(2..)?;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}
