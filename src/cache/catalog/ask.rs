//! How a catalog is asked.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::cache::plan::Why;

/// Rows of an answer, each value as text.
pub type Rows = Vec<Vec<Option<String>>>;

/// Somebody who runs statements on a server connection of Howdah's own.
pub trait Ask: Send {
    /// Runs one statement with these parameters, as text.
    ///
    /// # Errors
    /// What went wrong, for people.
    fn ask(
        &mut self,
        sql: &str,
        values: &[Option<&str>],
    ) -> impl Future<Output = Result<Rows, String>> + Send;
}

/// The same, with what went wrong as the reason why nothing was found out.
pub(super) async fn rows<A: Ask>(ask: &mut A, sql: &str, values: &[Option<&str>]) -> Result<Rows, Why> {
    ask.ask(sql, values).await.map_err(|why| Why::failed(format!("the catalog could not be read: {why}")))
}

/// One value of a row.
pub(super) fn value(row: &[Option<String>], at: usize) -> Option<&str> {
    row.get(at).and_then(Option::as_deref)
}

pub(super) fn text(row: &[Option<String>], at: usize) -> Box<str> {
    value(row, at).unwrap_or_default().into()
}

pub(super) fn is_true(row: &[Option<String>], at: usize) -> bool {
    value(row, at) == Some("t")
}

/// An object identifier; 0, which no object has, for what is none.
pub(super) fn oid(row: &[Option<String>], at: usize) -> u32 {
    value(row, at).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// A list with commas.
pub(super) fn oids(row: &[Option<String>], at: usize) -> impl Iterator<Item = u32> {
    value(row, at).unwrap_or_default().split(',').filter_map(|text| text.parse().ok())
}

/// An array of texts, as the server reads it.
pub(super) fn array<'a>(items: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let mut array = String::from("{");
    for item in items {
        if array.len() > 1 {
            array.push(',');
        }
        match item {
            None => array.push_str("NULL"),
            Some(item) => {
                array.push('"');
                for c in item.chars() {
                    if matches!(c, '"' | '\\') {
                        array.push('\\');
                    }
                    array.push(c);
                }
                array.push('"');
            }
        }
    }
    array.push('}');
    array
}

/// An array of object identifiers.
pub(super) fn oid_array(oids: &BTreeSet<u32>) -> String {
    let mut array = String::from("{");
    for oid in oids {
        let comma = if array.len() > 1 { "," } else { "" };
        let _ = write!(array, "{comma}{oid}");
    }
    array.push('}');
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_as_the_server_reads_them() {
        assert_eq!(array([]), "{}");
        assert_eq!(array([Some("a"), None, Some("b\"c\\,{}")]), r#"{"a",NULL,"b\"c\\,{}"}"#);
        assert_eq!(oid_array(&BTreeSet::from([3, 1])), "{1,3}");
    }
}
