//! Answers as tables, and tables as messages.

use crate::wire::{self, back};

/// The type of a column. Its numbers are those of `pg_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int8,
    Float8,
}

impl Kind {
    fn oid(self) -> u32 {
        match self {
            Self::Text => 25,
            Self::Int8 => 20,
            Self::Float8 => 701,
        }
    }

    fn len(self) -> i16 {
        if self == Self::Text { -1 } else { 8 }
    }
}

/// A column's name and type.
pub(super) type Column = (&'static str, Kind);

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Text(String),
    Int(i64),
    Float(f64),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A count; what is too large for the column is its largest.
    pub(super) fn count(count: impl TryInto<i64>) -> Self {
        Self::Int(count.try_into().unwrap_or(i64::MAX))
    }

    fn bytes(&self, binary: bool) -> Option<Vec<u8>> {
        Some(match self {
            Self::Null => return None,
            Self::Text(text) => text.clone().into_bytes(),
            Self::Int(number) if binary => number.to_be_bytes().to_vec(),
            Self::Int(number) => number.to_string().into_bytes(),
            Self::Float(number) if binary => number.to_be_bytes().to_vec(),
            Self::Float(number) => number.to_string().into_bytes(),
        })
    }
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
pub(super) fn row(out: &mut Vec<u8>, values: &[Value], formats: &Formats) {
    wire::frame(out, back::DATA_ROW, |out| {
        out.extend_from_slice(&count(values.len()));
        for (n, value) in values.iter().enumerate() {
            match value.bytes(formats.is_binary(n)) {
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
