//! What a text writes.

/// What statements write, as far as their text shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Tables: schema, if it is named, and name, as Postgres would fold them.
    pub tables: Vec<(Option<Box<str>>, Box<str>)>,
    /// The catalog: what anything means may differ.
    pub catalog: bool,
    /// More may have been written than the text shows.
    pub unknown: bool,
}
