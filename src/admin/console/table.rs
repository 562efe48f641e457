//! Answers as tables, and tables as messages.

use std::cmp::Ordering;

use crate::wire::{self, back};

/// The type of a column. Its numbers are those of `pg_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int4,
    Int8,
    /// PgBouncer's sums are of this type; here too they are whole numbers.
    Numeric,
    Float8,
}

impl Kind {
    fn oid(self) -> u32 {
        match self {
            Self::Text => 25,
            Self::Int4 => 23,
            Self::Int8 => 20,
            Self::Numeric => 1700,
            Self::Float8 => 701,
        }
    }

    fn len(self) -> i16 {
        match self {
            Self::Text | Self::Numeric => -1,
            Self::Int4 => 4,
            Self::Int8 | Self::Float8 => 8,
        }
    }
}

/// A column's name and type.
pub(super) type Column = (&'static str, Kind);

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Text(String),
    /// Of any type of whole numbers.
    Int(i64),
    Float(f64),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A text that may be missing.
    pub(super) fn maybe(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// A count; what is too large for the column is its largest.
    pub(super) fn count(count: impl TryInto<i64>) -> Self {
        Self::Int(count.try_into().unwrap_or(i64::MAX))
    }

    fn bytes(&self, kind: Kind, binary: bool) -> Option<Vec<u8>> {
        Some(match self {
            Self::Null => return None,
            Self::Text(text) => text.clone().into_bytes(),
            Self::Int(number) => whole(*number, kind, binary),
            Self::Float(number) if binary => number.to_be_bytes().to_vec(),
            Self::Float(number) => number.to_string().into_bytes(),
        })
    }

    /// Which comes first, as a server orders them: NULL last, texts by their characters.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Greater,
            (_, Self::Null) => Ordering::Less,
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (a, b) => a.number().total_cmp(&b.number()),
        }
    }

    fn number(&self) -> f64 {
        match self {
            Self::Int(number) => *number as f64,
            Self::Float(number) => *number,
            Self::Null | Self::Text(_) => f64::NAN,
        }
    }
}

/// A whole number as its column's type has it; what is too large for that is its largest.
fn whole(number: i64, kind: Kind, binary: bool) -> Vec<u8> {
    let number = if kind == Kind::Int4 { number.clamp(i32::MIN.into(), i32::MAX.into()) } else { number };
    match kind {
        _ if !binary => number.to_string().into_bytes(),
        Kind::Int4 => i32::try_from(number).unwrap_or(i32::MAX).to_be_bytes().to_vec(),
        Kind::Numeric => numeric(number),
        Kind::Text | Kind::Int8 | Kind::Float8 => number.to_be_bytes().to_vec(),
    }
}

/// As `numeric_send` writes a whole number: digits to the base of 10000, those of the end that are zero left out.
fn numeric(number: i64) -> Vec<u8> {
    let (mut left, mut digits) = (number.unsigned_abs(), Vec::new());
    while left > 0 {
        digits.push((left % 10_000) as u16);
        left /= 10_000;
    }
    let weight = digits.len().saturating_sub(1) as u16; // five digits at most
    digits.reverse();
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let sign = if number < 0 { 0x4000 } else { 0 };
    let head = [digits.len() as u16, weight, sign, 0];
    head.iter().chain(&digits).flat_map(|word| word.to_be_bytes()).collect()
}

/// A row has a value for each column.
pub(super) type Row = Vec<Value>;

/// The formats that a Bind asks for: none, one for all, or one for each column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Formats(pub(super) Vec<bool>);

impl Formats {
    fn is_binary(&self, column: usize) -> bool {
        match self.0.as_slice() {
            [one] => *one,
            each => each.get(column).copied().unwrap_or(false),
        }
    }
}

/// Writes a `RowDescription`.
pub(super) fn describe(out: &mut Vec<u8>, columns: &[Column], formats: &Formats) {
    wire::frame(out, back::ROW_DESCRIPTION, |out| {
        out.extend_from_slice(&count(columns.len()));
        for (n, (name, kind)) in columns.iter().enumerate() {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
            out.extend_from_slice(&[0; 6]); // of no table
            out.extend_from_slice(&kind.oid().to_be_bytes());
            out.extend_from_slice(&kind.len().to_be_bytes());
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            out.extend_from_slice(&u16::from(formats.is_binary(n)).to_be_bytes());
        }
    });
}

/// Writes a `DataRow`.
pub(super) fn row(out: &mut Vec<u8>, columns: &[Column], values: &[Value], formats: &Formats) {
    wire::frame(out, back::DATA_ROW, |out| {
        out.extend_from_slice(&count(values.len()));
        for (n, (value, (_, kind))) in values.iter().zip(columns).enumerate() {
            match value.bytes(*kind, formats.is_binary(n)) {
                Some(bytes) => {
                    out.extend_from_slice(&i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
                    out.extend_from_slice(&bytes);
                }
                None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
            }
        }
    });
}

fn count(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

/// Writes a `CommandComplete`.
pub(super) fn complete(out: &mut Vec<u8>, tag: &str) {
    wire::frame(out, back::COMMAND_COMPLETE, |out| {
        out.extend_from_slice(tag.as_bytes());
        out.push(0);
    });
}

/// Writes a `NoticeResponse`.
pub(super) fn notice(out: &mut Vec<u8>, text: &str) {
    wire::frame(out, back::NOTICE, |out| {
        for (field, value) in [(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', "00000"), (b'M', text)] {
            out.push(field);
            out.extend(value.bytes().filter(|b| *b != 0));
            out.push(0);
        }
        out.push(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_sent_as_their_type_says() {
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        // As PostgreSQL's numeric_send writes them: digits, weight, sign, scale, and the digits to the base of 10000.
        for (number, sent) in [
            (0, &[0, 0, 0, 0][..]),
            (7, &[1, 0, 0, 0, 7]),
            (-7, &[1, 0, 0x4000, 0, 7]),
            (10_000, &[1, 1, 0, 0, 1]),
            (120_034, &[2, 1, 0, 0, 12, 34]),
            (500_000_000, &[1, 2, 0, 0, 5]),
            (i64::MAX, &[5, 4, 0, 0, 922, 3372, 368, 5477, 5807]),
        ] {
            assert_eq!(whole(number, Kind::Numeric, true), words(sent), "{number}");
        }
        assert_eq!(whole(i64::MAX, Kind::Int4, true), i32::MAX.to_be_bytes());
        assert_eq!(whole(i64::MIN, Kind::Int4, false), i32::MIN.to_string().into_bytes());
        assert_eq!(whole(-1, Kind::Int8, true), (-1_i64).to_be_bytes());
        assert_eq!(whole(i64::MAX, Kind::Numeric, false), i64::MAX.to_string().into_bytes());
    }
}
