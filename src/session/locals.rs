//! What a client's transactions must run with, in the forms in which it travels.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::settings::Settings;

/// Settings whose value is a list of names: in SQL text each name is quoted on its own.
const LISTS: [&str; 2] = ["search_path", "temp_tablespaces"];
/// Settings that decide what a text means, or who may run it, when it is prepared.
const EARLY: [&str; 2] = ["search_path", "role"];

/// Statements put into a text of the client's, for taking their traces out of the answers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Insert {
    /// Statements of the client's ahead of it.
    pub(super) before: u32,
    /// How many statements were put in.
    pub(super) statements: u32,
    /// Characters of the text that was sent ahead of it; `None` if they could not be counted.
    pub(super) at: Option<u32>,
    /// Its length in characters.
    pub(super) chars: u32,
}

/// Settings for the length of a transaction, in order. Everything that is sent of them is made once.
///
/// Text is ASCII without exception, so that it means the same in every `client_encoding`, and quoted so that it
/// means the same whatever `standard_conforming_strings` is.
#[derive(Debug)]
pub struct Locals {
    pairs: Vec<(Box<str>, Box<str>)>,
    /// `SET LOCAL …;` for each.
    prefix: Box<[u8]>,
    /// The prefix at the front of a text.
    at_front: Arc<[Insert]>,
    /// Bodies of a Parse, one `SET LOCAL` each.
    each: Box<[Box<[u8]>]>,
    /// The values as parameters; `None` if not all of them are ASCII.
    params: Option<Box<[Box<[u8]>]>>,
    scope: u64,
    early: bool,
}

impl Locals {
    /// From names and values, both free of NUL. `None` if there are none.
    pub fn new(pairs: &[(String, String)]) -> Option<Arc<Self>> {
        if pairs.is_empty() {
            return None;
        }
        let mut prefix = Vec::new();
        let mut each: Vec<Box<[u8]>> = Vec::new();
        let mut params: Vec<Box<[u8]>> = Vec::new();
        let mut hasher = DefaultHasher::new();
        let (mut early, mut scoped) = (false, false);
        for (name, value) in pairs {
            let from = prefix.len();
            prefix.extend_from_slice(b"SET LOCAL ");
            assignment(&mut prefix, name, value);
            let mut body = prefix.get(from..).unwrap_or_default().to_vec();
            body.extend_from_slice(&[0, 0, 0]);
            each.push(body.into());
            prefix.push(b';');
            params.push(name.as_bytes().into());
            params.push(value.as_bytes().into());
            if EARLY.iter().any(|n| name.eq_ignore_ascii_case(n)) {
                early = true;
                scoped = true;
                (name, value).hash(&mut hasher);
            }
        }
        let ascii = pairs.iter().all(|(name, value)| name.is_ascii() && value.is_ascii());
        let count = u32::try_from(pairs.len()).unwrap_or(u32::MAX);
        let chars = u32::try_from(prefix.len()).unwrap_or(u32::MAX);
        Some(Arc::new(Self {
            pairs: pairs.iter().map(|(n, v)| (n.as_str().into(), v.as_str().into())).collect(),
            prefix: prefix.into(),
            at_front: Arc::new([Insert { before: 0, statements: count, at: Some(0), chars }]),
            each: each.into(),
            params: ascii.then(|| params.into()),
            scope: if scoped { hasher.finish() } else { 0 },
            early,
        }))
    }

    /// How many settings there are.
    pub(super) fn count(&self) -> usize {
        self.pairs.len()
    }

    /// True for the name of one of them.
    pub(super) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// All of them, names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of one of them.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn at_front(&self) -> &Arc<[Insert]> {
        &self.at_front
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.each.iter().map(|body| &**body)
    }

    /// Names and values in turn, for [`setter`].
    pub(super) fn params(&self) -> Option<Vec<&[u8]>> {
        self.params.as_ref().map(|params| params.iter().map(|p| &**p).collect())
    }

    /// Stands for those that decide what a text means; 0 if there are none.
    pub(super) fn scope(&self) -> u64 {
        self.scope
    }

    /// They must be set before a text is prepared, not only before it runs.
    pub(super) fn is_early(&self) -> bool {
        self.early
    }

    /// A Parse's body that sets all of them, as text: for the transaction, or for the session.
    pub(super) fn select(&self, local: bool) -> Vec<u8> {
        let mut body = b"SELECT ".to_vec();
        for (n, (name, value)) in self.pairs.iter().enumerate() {
            body.extend_from_slice(if n == 0 {
                b"pg_catalog.set_config("
            } else {
                b",pg_catalog.set_config("
            });
            literal(&mut body, name);
            body.push(b',');
            literal(&mut body, value);
            body.extend_from_slice(if local { b",true)" } else { b",false)" });
        }
        body.extend_from_slice(&[0, 0, 0]);
        body
    }

    /// A text that sets them for the session.
    pub(super) fn session_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (name, value) in &self.pairs {
            text.extend_from_slice(b"SET SESSION ");
            assignment(&mut text, name, value);
            text.push(b';');
        }
        text
    }

    /// A text that undoes [`Self::session_text`] on a connection with these settings of its client's.
    pub(super) fn reset_text(&self, settings: &Settings) -> Vec<u8> {
        let mut text = Vec::new();
        for (name, _) in self.pairs.iter().rev() {
            if let Some(value) = settings.get(name) {
                text.extend_from_slice(b"SET SESSION ");
                assignment(&mut text, name, value);
            } else {
                text.extend_from_slice(b"RESET ");
                identifier(&mut text, name);
            }
            text.push(b';');
        }
        text
    }
}

/// A Parse's body that sets so many settings from parameters, names and values in turn, for the transaction.
pub(super) fn setter(count: usize) -> Vec<u8> {
    let calls: Vec<String> =
        (0..count).map(|n| format!("pg_catalog.set_config(${},${},true)", 2 * n + 1, 2 * n + 2)).collect();
    let mut body = format!("SELECT {}\0", calls.join(",")).into_bytes();
    body.extend_from_slice(&u16::try_from(2 * count).unwrap_or(u16::MAX).to_be_bytes());
    for _ in 0..2 * count {
        body.extend_from_slice(&25_u32.to_be_bytes()); // text
    }
    body
}

/// `name = value`.
pub(super) fn assignment(out: &mut Vec<u8>, name: &str, value: &str) {
    identifier(out, name);
    out.push(b'=');
    if is_list(name) {
        let names = names(value);
        for (n, name) in names.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            literal(out, name);
        }
        if names.is_empty() {
            out.extend_from_slice(b"''");
        }
    } else {
        literal(out, value);
    }
}

/// The value is a list of names.
pub(super) fn is_list(name: &str) -> bool {
    LISTS.iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// Whether the server shows a value as it was given, when it is set by SQL text: lists are taken apart for that, and
/// put together again in the server's way.
pub(super) fn survives_text(name: &str, value: &str) -> bool {
    let plain = |name: &str| {
        let quoted = name.len() > 2 && name.starts_with('"') && name.ends_with('"');
        let simple = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        quoted || !name.is_empty() && name.chars().all(simple)
    };
    !is_list(name) || value.split(", ").all(plain)
}

/// A setting's name, each part quoted: one may be a key word of SQL.
pub(super) fn identifier(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    out.extend_from_slice(name.replace('"', "\"\"").replace('.', "\".\"").as_bytes());
    out.push(b'"');
}

/// A string, quoted. The one place where a value becomes SQL.
pub(super) fn literal(out: &mut Vec<u8>, value: &str) {
    if value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'\'' && b != b'\\') {
        out.push(b'\'');
        out.extend_from_slice(value.as_bytes());
        out.push(b'\'');
        return;
    }
    out.extend_from_slice(b"E'");
    for c in value.chars() {
        match c {
            '\'' => out.extend_from_slice(b"''"),
            '\\' => out.extend_from_slice(b"\\\\"),
            ' '..='~' => out.push(c as u8),
            c => out.extend_from_slice(format!("\\U{:08X}", u32::from(c)).as_bytes()),
        }
    }
    out.push(b'\'');
}

/// The names in a list such as `search_path`'s: quoted ones as they stand, others folded to lower case.
fn names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut chars = list.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
        let Some(first) = chars.next() else { return names };
        let mut name = String::new();
        if first == '"' {
            while let Some(c) = chars.next() {
                if c != '"' {
                    name.push(c);
                } else if chars.next_if_eq(&'"').is_some() {
                    name.push('"');
                } else {
                    break;
                }
            }
        } else {
            name.extend(first.to_lowercase());
            while let Some(c) = chars.next_if(|c| *c != ',') {
                name.extend(c.to_lowercase());
            }
            name.truncate(name.trim_end().len());
        }
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn locals(pairs: &[(&str, &str)]) -> Arc<Locals> {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Locals::new(&pairs).unwrap()
    }

    #[test]
    fn values_are_quoted_for_every_session() {
        for (value, expected) in [
            ("acme", "'acme'"),
            ("", "''"),
            ("'; DROP TABLE t; --", "E'''; DROP TABLE t; --'"),
            ("\\", "E'\\\\'"),
            ("\\'", "E'\\\\'''"),
            ("a\nb", "E'a\\U0000000Ab'"),
            ("größe", "E'gr\\U000000F6\\U000000DFe'"),
            ("\u{1F418}", "E'\\U0001F418'"),
        ] {
            let mut out = Vec::new();
            literal(&mut out, value);
            assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
            assert!(out.is_ascii());
        }
    }

    #[test]
    fn lists_that_come_back_as_they_were() {
        for (value, same) in [
            ("public", true),
            ("\"$user\", public", true),
            ("one,public", false),
            ("One", false),
            ("one , two", false),
            ("", false),
        ] {
            assert_eq!(survives_text("Search_path", value), same, "{value}");
        }
        assert!(survives_text("work_mem", "1,2"));
    }

    #[test]
    fn forms() {
        let locals = locals(&[("app.tenant_id", "o'neil"), ("search_path", "\"A,b\", Public , \"$user\"")]);
        let prefix =
            "SET LOCAL \"app\".\"tenant_id\"=E'o''neil';SET LOCAL \"search_path\"='A,b','public','$user';";
        assert_eq!(std::str::from_utf8(locals.prefix()).unwrap(), prefix);
        assert!(locals.is_early() && locals.scope() != 0);
        let settings = Settings::new([("Search_Path", "mine")]);
        assert_eq!(
            String::from_utf8(locals.reset_text(&settings)).unwrap(),
            "SET SESSION \"search_path\"='mine';RESET \"app\".\"tenant_id\";"
        );
        assert!(setter(1).starts_with(b"SELECT pg_catalog.set_config($1,$2,true)\0\0\x02\0\0\0\x19"));
        assert_eq!(locals.params().unwrap().len(), 4);
        assert!(self::locals(&[("a.b", "\u{e4}")]).params().is_none());
        assert!(Locals::new(&[]).is_none());
    }
}
