//! Readers of single messages. Each takes a body without its type byte and length word.

use std::fmt;

/// A body that is not what its message type must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(
    /// Which message, and what is wrong with it.
    pub &'static str,
);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Splits a NUL-terminated string off the front of `bytes`: the string without its NUL, and the rest.
pub fn c_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    let (head, tail) = bytes.split_at_checked(end)?;
    Some((head, tail.get(1..)?))
}

fn u16_be(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, tail) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head), tail))
}

/// Parse: `name NUL query NUL i16 n, n × i32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The prepared statement's name; empty for the unnamed one.
    pub name: &'a [u8],
    /// The text, without its NUL.
    pub query: &'a [u8],
    /// All that follows the name: text, NUL, parameter types. It identifies the statement.
    pub body: &'a [u8],
}

/// Reads a Parse.
///
/// # Errors
/// A missing NUL, or a parameter list that is shorter or longer than its count says.
pub fn parse(body: &[u8]) -> Result<Parse<'_>, Malformed> {
    let (name, rest) = c_string(body).ok_or(Malformed("Parse: statement name is not terminated"))?;
    let (query, types) = c_string(rest).ok_or(Malformed("Parse: query is not terminated"))?;
    let (count, types) = u16_be(types).ok_or(Malformed("Parse: parameter count is missing"))?;
    if types.len() != usize::from(count) * 4 {
        return Err(Malformed("Parse: parameter types do not fit their count"));
    }
    Ok(Parse { name, query, body: rest })
}

/// The names at the front of a Bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name.
    pub portal: &'a [u8],
    /// The prepared statement's name.
    pub statement: &'a [u8],
    /// Where in the body the formats begin.
    pub rest: usize,
}

/// Reads the two names at the front of a Bind; `bytes` may be only the beginning of its body, then
/// `Ok(None)` says that more is needed.
pub fn bind_head(bytes: &[u8]) -> Option<Bind<'_>> {
    let (portal, tail) = c_string(bytes)?;
    let (statement, tail) = c_string(tail)?;
    Some(Bind { portal, statement, rest: bytes.len() - tail.len() })
}

/// The values in a Bind's body behind the two names, `None` for NULL; as many as are there, if it is cut off.
pub fn bind_values(rest: &[u8]) -> Vec<Option<&[u8]>> {
    let counted =
        |bytes: &[u8]| bytes.first_chunk::<2>().map(|count| usize::from(u16::from_be_bytes(*count)));
    let mut values = Vec::new();
    let formats = counted(rest).unwrap_or_default();
    let mut rest = rest.get(2 + formats * 2..).unwrap_or_default();
    let count = counted(rest).unwrap_or_default();
    rest = rest.get(2..).unwrap_or_default();
    while values.len() < count {
        let Some((len, tail)) = rest.split_first_chunk::<4>() else { break };
        let Ok(len) = usize::try_from(i32::from_be_bytes(*len)) else {
            values.push(None);
            rest = tail;
            continue;
        };
        let Some((value, tail)) = tail.split_at_checked(len) else { break };
        values.push(Some(value));
        rest = tail;
    }
    values
}

/// What a Describe or Close names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A prepared statement.
    Statement(&'a [u8]),
    /// A portal.
    Portal(&'a [u8]),
}

/// Reads a Describe or a Close.
///
/// # Errors
/// A kind that is neither `S` nor `P`, a missing NUL, or bytes after it.
pub fn target(body: &[u8]) -> Result<Target<'_>, Malformed> {
    let (&kind, rest) = body.split_first().ok_or(Malformed("Describe/Close: empty"))?;
    let (name, rest) = c_string(rest).ok_or(Malformed("Describe/Close: name is not terminated"))?;
    if !rest.is_empty() {
        return Err(Malformed("Describe/Close: bytes after the name"));
    }
    match kind {
        b'S' => Ok(Target::Statement(name)),
        b'P' => Ok(Target::Portal(name)),
        _ => Err(Malformed("Describe/Close: neither a statement nor a portal")),
    }
}

/// Reads a `RowDescription`: the columns' names.
///
/// # Errors
/// Fewer or more columns than its count says.
pub fn column_names(body: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let short = Malformed("RowDescription: columns do not fit their count");
    let (count, mut rest) = u16_be(body).ok_or(short)?;
    let mut names = Vec::new();
    for _ in 0..count {
        let (name, tail) = c_string(rest).ok_or(short)?;
        // The table's and the type's numbers, the size, the modifier and the format.
        rest = tail.get(18..).ok_or(short)?;
        names.push(name);
    }
    if rest.is_empty() { Ok(names) } else { Err(short) }
}

/// Reads a `DataRow`: each field, or `None` for NULL.
///
/// # Errors
/// Fewer or more fields than its count says.
pub fn fields(body: &[u8]) -> Result<Vec<Option<&[u8]>>, Malformed> {
    let short = Malformed("DataRow: fields do not fit their count");
    let (count, mut rest) = u16_be(body).ok_or(short)?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let (len, tail) = rest.split_first_chunk::<4>().ok_or(short)?;
        let len = i32::from_be_bytes(*len);
        if len == -1 {
            fields.push(None);
            rest = tail;
            continue;
        }
        let len = usize::try_from(len).map_err(|_| short)?;
        let (field, tail) = tail.split_at_checked(len).ok_or(short)?;
        fields.push(Some(field));
        rest = tail;
    }
    if rest.is_empty() { Ok(fields) } else { Err(short) }
}

/// Reads a `ParameterStatus`: name and value.
pub fn parameter_status(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = c_string(body)?;
    let (value, rest) = c_string(rest)?;
    rest.is_empty().then_some((name, value))
}

/// The fields of an `ErrorResponse` or `NoticeResponse` as they stand: type byte and value.
pub fn error_fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (&kind, tail) = rest.split_first()?;
        if kind == 0 {
            return None;
        }
        let (value, tail) = c_string(tail)?;
        rest = tail;
        Some((kind, value))
    })
}
