//! Statements that SQL prepared: PREPARE, EXECUTE, DEALLOCATE.
//!
//! They keep the names that the client gave them, so a server connection has those of one client at a time, as far
//! as the names are the same: what another one left goes, and what is missing is prepared again, before a text
//! that names one.

use std::sync::Arc;

use crate::sql::{self, Leaves};

/// One of them, as the server told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SqlPrepared {
    pub(super) name: Box<str>,
    /// The whole PREPARE that made it.
    pub(super) text: Box<str>,
    leaves: Leaves,
}

/// All of a session, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SqlStatements {
    all: Arc<[SqlPrepared]>,
}

impl SqlStatements {
    /// From names and texts.
    pub(super) fn new(mut all: Vec<(String, String)>) -> Self {
        all.sort();
        let all = all.into_iter().map(|(name, text)| {
            let text = alone(&name, text);
            let leaves = sql::traits(text.as_bytes(), true).leaves.without(Leaves::PREPARED);
            SqlPrepared { leaves, name: name.into(), text: text.into() }
        });
        Self { all: all.collect() }
    }

    fn get(&self, name: &[u8]) -> Option<&SqlPrepared> {
        self.all.iter().find(|s| s.name.as_bytes() == name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A name stands for the same here and there.
    pub(super) fn agree(&self, other: &Self, name: &[u8]) -> bool {
        self.get(name) == other.get(name)
    }

    /// What running any of them may leave behind.
    pub(super) fn leaves(&self) -> Leaves {
        self.all.iter().fold(Leaves::NOTHING, |leaves, s| leaves | s.leaves)
    }

    /// What must be run to come from these to `want`: for one name, or for all. And what is there then.
    pub(super) fn changes(&self, want: &Self, name: Option<&[u8]>) -> (Vec<String>, Self) {
        let concerned = |s: &&SqlPrepared| name.is_none_or(|name| s.name.as_bytes() == name);
        let gone = |s: &&SqlPrepared| concerned(s) && !want.all.contains(s);
        let new = |s: &&SqlPrepared| concerned(s) && !self.all.contains(s);
        let drop = |s: &SqlPrepared| format!("DEALLOCATE \"{}\"", s.name.replace('"', "\"\""));
        let texts = self.all.iter().filter(gone).map(drop);
        let texts = texts.chain(want.all.iter().filter(new).map(|s| s.text.to_string())).collect();
        let kept = self.all.iter().filter(|s| !gone(s)).chain(want.all.iter().filter(new));
        (texts, Self { all: kept.cloned().collect() })
    }

    /// Those that both have.
    pub(super) fn common(&self, other: &Self) -> Self {
        Self { all: self.all.iter().filter(|s| other.all.contains(s)).cloned().collect() }
    }

    /// A client's, from its own: what differs from what the connection had `before` is its doing.
    pub(super) fn learn(&self, before: &Self, now: &Self) -> Self {
        let same = |s: &&SqlPrepared| before.all.contains(s) == now.all.contains(s);
        let kept = self.all.iter().filter(same);
        let made = now.all.iter().filter(|s| !before.all.contains(s));
        let mut all: Vec<SqlPrepared> = kept.chain(made).cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        Self { all: all.into() }
    }
}

/// The server keeps the whole text that a PREPARE came in: that statement of it.
fn alone(name: &str, text: String) -> String {
    let bytes = text.as_bytes();
    let parts: Vec<_> = sql::parts(bytes, true).collect();
    if parts.len() < 2 {
        return text;
    }
    let statement = |n: usize| {
        let end = parts.get(n + 1).map_or(bytes.len(), |next| next.start);
        let part = bytes.get(parts.get(n)?.start..end)?;
        (sql::prepared_name(part, true)? == name.as_bytes()).then_some(part)
    };
    // The last one of that name is the one that is there.
    let found = (0..parts.len()).rev().find_map(statement);
    let found = found.and_then(|part| std::str::from_utf8(part).ok());
    found.map(|part| part.trim_end().trim_end_matches(';').to_owned()).unwrap_or(text)
}
