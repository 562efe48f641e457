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
        let all = all.into_iter().map(|(name, text)| SqlPrepared {
            leaves: sql::traits(text.as_bytes(), true).leaves.without(Leaves::PREPARED),
            name: name.into(),
            text: text.into(),
        });
        Self { all: all.collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A name stands for the same here and there.
    pub(super) fn agree(&self, other: &Self, name: &[u8]) -> bool {
        let of = |all: &Self| all.all.iter().find(|s| s.name.as_bytes() == name).cloned();
        of(self) == of(other)
    }

    /// What running any of them may leave behind.
    pub(super) fn leaves(&self) -> Leaves {
        self.all.iter().fold(Leaves::NOTHING, |leaves, s| leaves | s.leaves)
    }

    /// What must be run to come from these to `want`.
    pub(super) fn changes(&self, want: &Self) -> Vec<String> {
        let gone = self.all.iter().filter(|s| !want.all.contains(s));
        let gone = gone.map(|s| format!("DEALLOCATE \"{}\"", s.name.replace('"', "\"\"")));
        let new = want.all.iter().filter(|s| !self.all.contains(s)).map(|s| s.text.to_string());
        gone.chain(new).collect()
    }
}
