//! Names that somebody typed, and how they stand in SQL.

use std::fmt;

/// Bytes of an identifier (`NAMEDATALEN` - 1). Postgres cuts what is longer, and would then mean another object.
const MAX_IDENTIFIER: usize = 63;

/// One identifier: a table's, a schema's or a column's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identifier(String);

impl Identifier {
    /// As Postgres reads it: in quotes exactly, else folded to lower case.
    pub(crate) fn parse(typed: &str) -> Result<Self, String> {
        match parts(typed)?.as_slice() {
            [one] => Ok(one.clone()),
            _ => Err(format!("`{}` is not one name", typed.escape_debug())),
        }
    }

    /// A name as the catalogue has it.
    pub(crate) fn known(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// In quotes.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A table, with its schema or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName(Vec<Identifier>);

impl TableName {
    /// `table` or `schema.table`, each part as Postgres reads it.
    pub(crate) fn parse(typed: &str) -> Result<Self, String> {
        let parts = parts(typed)?;
        if parts.len() > 2 {
            return Err(format!("`{}` has more parts than a schema and a table", typed.escape_debug()));
        }
        Ok(Self(parts))
    }
}

/// In quotes.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            write!(f, "{}{part}", if index == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

/// The name of a custom setting, such as `app.tenant_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting(String);

impl Setting {
    /// Lower case, as Postgres compares them without regard to case.
    pub(crate) fn parse(typed: &str) -> Result<Self, String> {
        let word = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
        };
        let fits = typed.contains('.') && typed.split('.').all(word);
        if fits {
            Ok(Self(typed.to_ascii_lowercase()))
        } else {
            Err(format!("`{}` is no custom setting; it must look like app.tenant_id", typed.escape_debug()))
        }
    }

    /// The name itself.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What the column with the tenant is called if nobody says otherwise: the last part.
    pub(crate) fn column(&self) -> Identifier {
        Identifier::known(self.0.rsplit('.').next().unwrap_or(&self.0))
    }
}

/// The names between dots.
fn parts(typed: &str) -> Result<Vec<Identifier>, String> {
    let wrong = |why: &str| Err(format!("`{}` is no name: {why}", typed.escape_debug()));
    let mut rest = typed;
    let mut parts = Vec::new();
    loop {
        let (name, tail) = if let Some(quoted) = rest.strip_prefix('"') {
            let Some(found) = quoted_name(quoted) else { return wrong("its quotes do not close") };
            found
        } else {
            let (name, tail) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
            if !is_plain(name) {
                return wrong("outside of double quotes stand letters, digits, _ and $ only");
            }
            (name.to_ascii_lowercase(), tail)
        };
        if name.is_empty() {
            return wrong("a part of it is empty");
        }
        if name.len() > MAX_IDENTIFIER {
            return wrong("Postgres cuts names off after 63 bytes");
        }
        if name.contains('\0') {
            return wrong("it has a NUL in it");
        }
        parts.push(Identifier(name));
        match tail.strip_prefix('.') {
            Some(more) => rest = more,
            None if tail.is_empty() => return Ok(parts),
            None => return wrong("something follows the closing quote"),
        }
    }
}

/// A quoted name behind its opening quote, and what follows the closing one.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// What needs no quotes. Postgres folds ASCII letters only in most encodings, so others are left alone.
fn is_plain(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit() || c == '$')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

/// A text as a literal that means the same whatever `standard_conforming_strings` is.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A dollar quote that does not occur in `body`.
pub(super) fn dollar_quoted(body: &str) -> String {
    let mut tag = "$howdah$".to_owned();
    let mut number = 0;
    while body.contains(&tag) {
        number += 1;
        tag = format!("$howdah{number}$");
    }
    format!("{tag}{body}{tag}")
}
