//! What strings and quoted identifiers stand for once their quotes and escapes are undone.

use std::borrow::Cow;

use super::lexer::{Form, Lexer, Token};

/// The server cuts names to so many bytes.
const LONGEST_NAME: usize = 63;

/// The value of a string; `None` where it cannot be told. `escape` is for `U&'…'`.
pub(super) fn string(raw: &[u8], form: Form, escape: u8) -> Option<Cow<'_, [u8]>> {
    match form {
        Form::Plain => Some(undouble(raw, b'\'')),
        Form::Dollar => Some(Cow::Borrowed(raw)),
        Form::Escape => escaped(raw).map(Cow::Owned),
        Form::Unicode => unicode(raw, b'\'', escape).map(Cow::Owned),
        Form::Bits | Form::Joined => None,
    }
}

/// The value of the string that `lexer` has just given, and moves behind its `UESCAPE`, if it has one.
pub(super) fn value<'a>(raw: &'a [u8], form: Form, lexer: &mut Lexer<'a>) -> Option<Cow<'a, [u8]>> {
    let escape = if form == Form::Unicode { escape_character(lexer)? } else { b'\\' };
    string(raw, form, escape)
}

/// The identifier that `token` is, folded or unquoted as the server does it, behind whose `UESCAPE` it moves;
/// `None` for one that cannot be decoded and for what is not an identifier.
pub(super) fn identifier<'a>(token: Token<'a>, lexer: &mut Lexer<'a>) -> Option<Cow<'a, [u8]>> {
    match token {
        Token::Word(word) if word.iter().any(u8::is_ascii_uppercase) => {
            Some(word.to_ascii_lowercase().into())
        }
        Token::Word(word) => Some(word.into()),
        Token::Quoted(raw) => Some(undouble(raw, b'"')),
        Token::UnicodeQuoted(raw) => unicode(raw, b'"', escape_character(lexer)?).map(Cow::Owned),
        _ => None,
    }
}

/// The escape character of the `U&` string or identifier just read: a backslash, or what `UESCAPE 'c'` says,
/// behind which it moves; `None` where it says nothing sensible.
pub(super) fn escape_character(lexer: &mut Lexer<'_>) -> Option<u8> {
    let mut ahead = lexer.clone();
    if !ahead.next().is_some_and(|t| t.is("uescape")) {
        return Some(b'\\');
    }
    let Some(Token::Text { raw, form }) = ahead.next() else { return None };
    *lexer = ahead;
    match string(raw, form, b'\\')?.as_ref() {
        [b'+' | b'\'' | b'"'] => None,
        [one] if !one.is_ascii_hexdigit() && !one.is_ascii_whitespace() => Some(*one),
        _ => None,
    }
}

/// Two quotes inside quotes stand for one.
pub(super) fn undouble(raw: &[u8], quote: u8) -> Cow<'_, [u8]> {
    if memchr::memchr(quote, raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut value = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        value.push(byte);
        if byte == quote {
            bytes.next();
        }
    }
    Cow::Owned(value)
}

/// What stands in `U&'…'` or `U&"…"`; `None` for an escape that the server refuses.
pub(super) fn unicode(raw: &[u8], quote: u8, escape: u8) -> Option<Vec<u8>> {
    let typed = undouble(raw, quote);
    let mut rest = typed.as_ref();
    let mut value = Vec::with_capacity(rest.len());
    let mut high = None;
    while let [first, behind @ ..] = rest {
        if *first != escape || behind.first() == Some(&escape) {
            if high.is_some() {
                return None;
            }
            rest = if *first == escape { behind.get(1..)? } else { behind };
            value.push(*first);
            continue;
        }
        let digits = if behind.first() == Some(&b'+') { 1..7 } else { 0..4 };
        let code = hex(behind.get(digits.clone())?)?;
        rest = behind.get(digits.end..)?;
        push_code(code, &mut high, &mut value)?;
    }
    if high.is_some() { None } else { Some(value) }
}

/// What stands in `E'…'`; `None` for an escape that the server refuses.
fn escaped(raw: &[u8]) -> Option<Vec<u8>> {
    let mut rest = raw;
    let mut value = Vec::with_capacity(raw.len());
    let mut high = None;
    while let [first, behind @ ..] = rest {
        let long = match behind.first() {
            Some(b'u') => 5,
            Some(b'U') => 9,
            _ => 0,
        };
        if *first == b'\\' && long > 0 {
            push_code(hex(behind.get(1..long)?)?, &mut high, &mut value)?;
            rest = behind.get(long..)?;
            continue;
        }
        if high.is_some() {
            return None;
        }
        rest = match first {
            b'\'' => {
                value.push(b'\'');
                behind.get(1..)?
            }
            b'\\' => short_escape(behind, &mut value)?,
            byte => {
                value.push(*byte);
                behind
            }
        };
    }
    if high.is_some() { None } else { Some(value) }
}

/// An escape of one byte, from behind its backslash; gives what is left.
fn short_escape<'a>(from: &'a [u8], value: &mut Vec<u8>) -> Option<&'a [u8]> {
    let count = |radix: u32, from: &[u8], most: usize| {
        from.iter().take(most).take_while(|b| char::from(**b).is_digit(radix)).count()
    };
    let number = |radix: u32, digits: &[u8]| {
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok().map(|n| n as u8)
    };
    let (first, behind) = from.split_first()?;
    let (byte, rest) = match first {
        b'b' => (8, behind),
        b'f' => (12, behind),
        b'n' => (b'\n', behind),
        b'r' => (b'\r', behind),
        b't' => (b'\t', behind),
        b'0'..=b'7' => {
            let digits = count(8, from, 3);
            (number(8, from.get(..digits)?)?, from.get(digits..)?)
        }
        b'x' if count(16, behind, 2) > 0 => {
            let digits = count(16, behind, 2);
            (number(16, behind.get(..digits)?)?, behind.get(digits..)?)
        }
        byte => (*byte, behind),
    };
    value.push(byte);
    Some(rest)
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |n, digit| Some(n << 4 | char::from(*digit).to_digit(16)?))
}

/// Adds a code point; `high` holds the first half of a surrogate pair until the second comes.
fn push_code(code: u32, high: &mut Option<u32>, value: &mut Vec<u8>) -> Option<()> {
    let code = match (high.take(), code) {
        (None, 0xd800..=0xdbff) => {
            *high = Some(code);
            return Some(());
        }
        (Some(first), 0xdc00..=0xdfff) => 0x1_0000 + ((first & 0x3ff) << 10) + (code & 0x3ff),
        (Some(_), _) | (None, 0) => return None,
        (None, code) => code,
    };
    let mut buffer = [0; 4];
    value.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
    Some(())
}

/// What is left of a name in a server with UTF-8: whole characters.
pub(super) fn cut(name: &[u8]) -> &[u8] {
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let mut end = LONGEST_NAME;
    while end > 0 && name.get(end).is_some_and(|b| b & 0xc0 == 0x80) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}
