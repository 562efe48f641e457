//! What the transactions since the last look may have left behind in a session, going by their texts.

use super::client::ClientSession;
use super::server::ServerSession;
use super::statement::Statement;
use crate::sql::{self, Leaves};

/// More settings than this are not asked for one by one.
const MOST_NAMES: usize = 32;

/// Perhaps left behind: what the next [probe](super::probe) asks for.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) leaves: Leaves,
    /// Settings that were named, in lower case.
    pub(super) names: Vec<Box<str>>,
    /// A setting whose name is not known was changed, or one went back to its default.
    pub(super) all: bool,
    /// A setting was changed of which neither the text nor a list of the server's tells the name.
    pub(super) unreadable: bool,
    /// A LOAD is complete.
    pub(super) loaded: bool,
    /// All settings went back to their defaults.
    pub(super) reset_all: bool,
    /// Something failed or was rolled back: a named setting may have what it had before.
    pub(super) undone: bool,
}

impl Left {
    pub(super) fn names(&self, name: &str) -> bool {
        self.all || self.names.iter().any(|n| n.eq_ignore_ascii_case(name))
    }
}

impl ServerSession {
    /// A text goes out that may leave this behind.
    pub(super) fn leave(&mut self, leaves: Leaves) {
        self.left.leaves |= leaves;
        self.left.all |= leaves.has(Leaves::UNREADABLE);
        self.taint(leaves.any());
        self.note_draws(leaves);
    }

    /// Another session user has no role set.
    fn leave_role(&mut self, leaves: Leaves) {
        if leaves.has(Leaves::AUTHORIZATION) && !leaves.has(Leaves::UNREADABLE) {
            self.left.leaves |= Leaves::SETTINGS;
            self.left.names.push("role".into());
        }
    }

    /// Settings for the transaction only matter while others are on their way: the server reports both.
    fn notes_locals(&self, leaves: Leaves) -> bool {
        leaves.has(Leaves::LOCALS) && self.bring.is_under_way()
    }

    fn leave_settings(&mut self, touched: Option<&sql::Touched>, leaves: Leaves) {
        self.left.all |= leaves.has(Leaves::RESETS);
        let Some(touched) = touched else { return };
        self.left.reset_all |= touched.reset_all;
        self.left.unreadable |=
            touched.unknown && leaves.has(Leaves::SETTINGS) && !leaves.has(Leaves::LISTED);
        self.left.all |= touched.unknown || touched.reset_all || touched.dynamic;
        for name in &touched.names {
            if !self.left.names.contains(name) {
                self.left.names.push(name.clone());
            }
        }
        if self.left.names.len() > MOST_NAMES {
            self.left.names.clear();
            self.left.all = true;
        }
    }
}

impl ClientSession {
    /// A text goes out.
    pub(super) fn note_text(&mut self, text: &[u8], leaves: Leaves, server: &mut ServerSession) {
        if self.note(leaves, server) {
            let touched = sql::touched(text, self.standard_strings);
            server.leave_settings(touched.as_deref(), leaves);
        }
    }

    /// True if the settings that it names are of interest.
    fn note(&mut self, mut leaves: Leaves, server: &mut ServerSession) -> bool {
        if self.makes_temporary {
            leaves |= Leaves::TEMPORARY;
        }
        if leaves == Leaves::NOTHING {
            return false;
        }
        server.leave(leaves);
        server.leave_role(leaves);
        self.note_sequences(leaves);
        self.note_execute(leaves, server);
        leaves.has(Leaves::SETTINGS) || server.notes_locals(leaves)
    }

    /// A statement is about to run.
    pub(super) fn note_use(&mut self, statement: &Statement, server: &mut ServerSession) {
        let leaves = statement.leaves;
        if !self.note(leaves, server) {
            return;
        }
        if statement.touched.is_some() {
            server.leave_settings(statement.touched.as_deref(), leaves);
        } else {
            let text = statement.text();
            let touched = sql::touched(text, self.standard_strings);
            server.leave_settings(touched.as_deref(), leaves);
        }
    }

    /// EXECUTE does what was prepared; DEALLOCATE ends it.
    fn note_execute(&self, leaves: Leaves, server: &mut ServerSession) {
        if !leaves.has(Leaves::EXECUTES) {
            return;
        }
        // What was prepared may not have been heard of yet.
        let any = !(self.sql_prepared.is_empty() && server.sql_prepared.is_empty()) || server.is_probing();
        if leaves.has(Leaves::ENDS) && any {
            server.leave(Leaves::PREPARED);
        }
        if !self.sql_prepared.is_empty() {
            let does = self.sql_prepared.leaves();
            server.leave(does);
            server.left.all |= does.has(Leaves::SETTINGS | Leaves::LOCALS);
        }
    }
}
