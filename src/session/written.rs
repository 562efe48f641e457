//! What transactions write, as far as their texts tell, and whether they were committed.

use std::sync::Arc;

use super::client::ClientSession;
use super::server::ServerSession;
use super::statement::Statement;
use crate::sql::{self, Callees, Leaves, Writes};

/// What a text writes, and where it looks for names.
#[derive(Clone, Debug)]
pub struct Written {
    /// What it writes.
    pub writes: Arc<Writes>,
    /// The `search_path` that it ran with; `None`: it is not known.
    pub path: Option<Arc<str>>,
    /// More than one statement: an error undoes some of them, perhaps.
    several: bool,
}

/// What a server connection has in hand.
#[derive(Debug, Default)]
pub(super) struct WriteLog {
    /// Of the transaction that is open, or of one that ends with the next `ReadyForQuery`.
    open: Vec<Written>,
    committed: Vec<Written>,
    /// So many of those that are open are undone, if no transaction is open in the end: a ROLLBACK TO looks like a
    /// ROLLBACK.
    undone: usize,
    /// Since the last `ReadyForQuery`: an error, a commit; the last that was said is a rollback.
    failed: bool,
    ended: bool,
    undone_last: bool,
}

/// What settings change makes the `search_path` uncertain.
const MOVES_PATH: [Leaves; 6] = [
    Leaves::SETTINGS,
    Leaves::LOCALS,
    Leaves::ANYTHING,
    Leaves::RESETS,
    Leaves::EXECUTES,
    Leaves::UNREADABLE,
];

impl ServerSession {
    /// What was committed since the last call, and what nobody knows the end of.
    pub fn take_written(&mut self) -> Vec<Written> {
        std::mem::take(&mut self.log.committed)
    }

    /// Something was committed: [`Self::take_written`] has it.
    pub fn has_written(&self) -> bool {
        !self.log.committed.is_empty()
    }

    /// The connection is lost: whatever was under way may have been committed.
    pub fn lose_written(&mut self) {
        let coming = self.expect.iter_mut().filter_map(|entry| entry.written.take());
        self.log.committed.extend(coming.map(|written| *written));
        let open = std::mem::take(&mut self.log.open);
        self.log.committed.extend(open);
    }

    /// A statement that writes has begun.
    pub(super) fn write_begun(&mut self, written: Option<Box<Written>>) {
        if let Some(written) = written {
            self.log.open.push(*written);
        }
    }

    /// A command is complete.
    pub(super) fn write_complete(&mut self, tag: &[u8]) {
        let log = &mut self.log;
        log.undone_last = tag == b"ROLLBACK\0";
        match tag {
            // Howdah does not follow a transaction that is prepared to its end: others may end it.
            b"COMMIT\0" | b"PREPARE TRANSACTION\0" => {
                log.ended = true;
                log.undone = 0;
                log.committed.append(&mut log.open);
            }
            b"ROLLBACK\0" => log.undone = log.open.len(),
            _ => {}
        }
    }

    pub(super) fn write_failed(&mut self) {
        self.log.failed = true;
    }

    /// `ReadyForQuery`, of a simple query that writes this, or of a batch.
    pub(super) fn write_ready(&mut self, status: u8, query: Option<Box<Written>>) {
        let log = &mut self.log;
        let (failed, ended) = (std::mem::take(&mut log.failed), std::mem::take(&mut log.ended));
        let (undone_last, undone) = (std::mem::take(&mut log.undone_last), std::mem::take(&mut log.undone));
        if let Some(written) = query {
            // A text of several may have committed some of them on the way; a procedure too.
            let parts = written.several && ended || written.writes.unknown;
            let undone = failed || status == b'I' && undone_last;
            if parts || status == b'I' && !undone {
                log.committed.push(Written::clone(&written));
            }
            // Of one that failed, what stands before a savepoint may still be committed.
            if status != b'I' && (written.several || !failed) {
                log.open.push(*written);
            }
        }
        if status == b'I' {
            // A procedure may have committed before it failed.
            let open = std::mem::take(&mut log.open).into_iter().enumerate();
            let kept = open.filter(|(n, w)| w.writes.unknown || !failed && *n >= undone);
            log.committed.extend(kept.map(|(_, written)| written));
        }
    }
}

impl ClientSession {
    /// From now on it matters what this client writes. `callees` know what functions of its database write.
    pub fn watch_writes(&mut self, callees: Option<Arc<dyn Callees>>) {
        self.watches = callees;
    }

    /// What a simple query writes. `whole`: this is all of it.
    pub(super) fn query_writes(
        &self,
        text: &[u8],
        several: bool,
        whole: bool,
        server: &ServerSession,
    ) -> Option<Box<Written>> {
        self.watches.as_ref()?;
        let writes = if whole {
            let own = sql::writes(text, self.standard_strings);
            let own = own.and_then(|writes| self.executed_writes(text, writes, server));
            self.with_callees(text, own)?
        } else {
            // The rest may write anything.
            Box::new(Writes { catalog: true, unknown: true, ..Writes::default() })
        };
        Some(Box::new(Written { writes: writes.into(), path: self.path_of_writes(server), several }))
    }

    /// What a function that is called by its number writes.
    pub(super) fn call_writes(&self) -> Option<Box<Written>> {
        let writes = Writes { unknown: true, ..Writes::default() };
        let written = Written { writes: writes.into(), path: None, several: false };
        self.watches.as_ref().map(|_| Box::new(written))
    }

    /// What a prepared statement writes.
    pub(super) fn statement_writes(
        &self,
        statement: &Statement,
        server: &ServerSession,
    ) -> Option<Box<Written>> {
        self.watches.as_ref()?;
        let writes = match &statement.writes {
            // Asked at each Bind: most are done with here.
            None if !statement.calls => return None,
            None => self.with_callees(statement.text(), None)?.into(),
            Some(writes) if !statement.calls && !writes.unknown => Arc::clone(writes),
            Some(writes) => {
                let text = statement.text();
                let own = self.executed_writes(text, Box::new(Writes::clone(writes)), server);
                self.with_callees(text, own)?.into()
            }
        };
        Some(Box::new(Written { writes, path: self.path_of_writes(server), several: false }))
    }

    /// What a text writes together with the functions that it calls.
    fn with_callees(&self, text: &[u8], own: Option<Box<Writes>>) -> Option<Box<Writes>> {
        let standard = self.standard_strings;
        let Some(callees) = self.watches.as_ref()?.written_by(text, standard) else { return own };
        let Some(mut own) = own else { return Some(Box::new(callees)) };
        // Of a procedure that is known, that is known which it writes.
        own.unknown &= !sql::begins_with(text, "call", standard);
        own.add(&callees);
        Some(own)
    }

    /// EXECUTE writes what was prepared, if it is known what that is.
    fn executed_writes(
        &self,
        text: &[u8],
        writes: Box<Writes>,
        server: &ServerSession,
    ) -> Option<Box<Writes>> {
        let sure = !server.left.leaves.has(Leaves::PREPARED);
        if !writes.unknown || !sure || self.sql_prepared.is_empty() {
            return Some(writes);
        }
        let standard = self.standard_strings;
        let name =
            sql::named_statement(text, standard).filter(|_| sql::begins_with(text, "execute", standard));
        match name.and_then(|name| self.sql_prepared.text_of(&name)) {
            Some(prepared) => sql::writes(prepared.as_bytes(), standard),
            None => Some(writes),
        }
    }

    fn path_of_writes(&self, server: &ServerSession) -> Option<Arc<str>> {
        let left = server.left.leaves;
        self.path.as_ref().filter(|_| !MOVES_PATH.iter().any(|moves| left.has(*moves))).map(Arc::clone)
    }
}
