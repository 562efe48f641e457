//! Simple queries: what goes out in place of each, and what that means for what comes behind it.

use super::bring::Changes;
use super::client::{ClientSession, Given, Mode, To, Verdict};
use super::expect::{Expect, Kind, Undo};
use super::prepared::{DEALLOCATE_DUMMY, prepare_dummy};
use super::server::ServerSession;
use crate::sql;
use crate::wire::{self, PgError};

impl ClientSession {
    pub(super) fn query(
        &mut self,
        given: &Given<'_>,
        mut changes: Option<Changes>,
        to: &mut To<'_>,
    ) -> Result<Verdict, PgError> {
        let text = match given.body.split_last() {
            Some((0, text)) if given.whole && memchr::memchr(0, text).is_none() => text,
            _ if given.whole => {
                return Err(PgError::protocol_violation("Query: text is not terminated by its only NUL"));
            }
            _ => given.body,
        };
        let traits = (self.mode != Mode::Exclusive).then(|| sql::traits(text, self.standard_strings));
        let one = traits.is_some_and(|t| t.deallocate.is_some_and(|which| which != sql::Deallocate::All));
        // What it goes back to hangs on whether a transaction is open.
        let resets = traits.is_some_and(|t| t.leaves.has(sql::Leaves::RESETS)) && !self.startup.is_empty();
        if (one && self.mode == Mode::Pooled || resets) && to.server.owes_batch() {
            to.server.doubt = true;
            return Ok(Verdict::Wait);
        }
        let Some(traits) = traits else {
            to.server.replay_ok = false;
            to.server.worn |= to.server.unsynced;
            to.server.unsynced = false;
            to.server.push(Expect::new(Kind::Query, true), to.replies);
            return Ok(Verdict::Forward);
        };
        if let Err(error) = self.judge_pins(traits.leaves, to.server) {
            return Ok(self.fail_query(error, to));
        }
        // With settings of its own it cannot wait: the frame and they are one.
        if traits.listens && self.notified && to.server.owes_batch() {
            // Whether it listens in the transaction that notifies, or behind it.
            to.server.doubt = true;
            return Ok(Verdict::Wait);
        }
        if changes.is_none() && self.query_listens_first(text, &traits) {
            return Ok(Verdict::Wait);
        }
        if self.duty.is_some()
            && let Some(verdict) = self.query_with_duty(text, &traits, given, &mut changes, to)
        {
            return Ok(verdict);
        }
        if !given.whole {
            to.server.leave(sql::Leaves::ANYTHING); // the rest may be anything
        }
        if let Some(which) = traits.deallocate.filter(|which| *which != sql::Deallocate::All) {
            to.server.replay_ok = false;
            to.server.worn |= to.server.unsynced;
            self.note_text(text, traits.leaves, to.server);
            return Ok(self.deallocate_simple(&which.name(), to));
        }
        let mut entry = Expect::new(Kind::Query, true);
        if given.whole {
            entry.steps = self.announce(text, &traits);
        }
        let mut verdict = Verdict::Forward;
        if given.whole
            && let Some(edits) = self.edits(text, &traits, changes.as_ref(), None, to.server)
        {
            if let Some(changes) = changes {
                to.server.fuse(changes);
            }
            edits.write(to.out, text, None);
            entry.inserts = Some(edits.inserts());
            verdict = Verdict::Rewritten(given.len);
        }
        self.push_query(entry, (text, given.whole), &traits, to);
        Ok(verdict)
    }

    /// Notes a simple query that goes out: its text, and whether that is all of it.
    pub(super) fn push_query(
        &mut self,
        mut entry: Expect,
        (text, whole): (&[u8], bool),
        traits: &sql::Traits<'_>,
        to: &mut To<'_>,
    ) {
        to.server.replay_ok = false;
        to.server.worn |= to.server.unsynced;
        // A simple query drops the unnamed statement, unless an error of its batch skips it.
        let unnamed = self.statements.unnamed.take();
        if to.server.unsynced {
            entry = entry.undo(Undo::Unnamed(unnamed));
        }
        to.server.unnamed = None;
        self.note_text(text, traits.leaves, to.server);
        entry.keep = self.keep.take();
        entry.written = self.query_writes(text, traits.statements > 1, whole, to.server);
        if to.server.bring.is_under_way() && self.undoes(text, traits, to.server) {
            to.server.bring.end();
        }
        to.server.barrier |= traits.discard_all || traits.deallocate == Some(sql::Deallocate::All);
        // It ends the implicit transaction of frames before it, like a Sync.
        to.server.unsynced = false;
        to.server.push(entry, to.replies);
        self.hold_behind(to.server);
    }

    /// A text ends with the rollback of a transaction, and another one follows at once.
    fn undoes(&self, text: &[u8], traits: &sql::Traits<'_>, server: &ServerSession) -> bool {
        let standard = self.standard_strings;
        let back = |text: &[u8]| server.status() == b'E' || sql::rolls_back(text, standard);
        if traits.statements <= 1 {
            return traits.class == sql::Class::Chain && back(text);
        }
        let last = sql::parts(text, standard).last().filter(|part| part.class == sql::Class::Chain);
        last.is_some_and(|part| back(text.get(part.start..).unwrap_or_default()))
    }

    /// `DEALLOCATE name` of a statement that the protocol prepared: the server knows it by another name, so
    /// it gets one to deallocate that means nothing.
    fn deallocate_simple(&mut self, name: &[u8], to: &mut To<'_>) -> Verdict {
        let mut entry = Expect::new(Kind::Query, true);
        let unnamed = self.statements.unnamed.take();
        if to.server.unsynced {
            entry = entry.undo(Undo::Unnamed(unnamed));
        }
        to.server.unnamed = None;
        // In a failed transaction it fails, and as it stands it fails as well.
        let failed = to.server.status() == b'E' && to.server.expect.is_empty();
        let ours = if to.server.unsynced || failed { None } else { self.statements.remove(name) };
        let verdict = if let Some(named) = ours {
            entry = entry.undo(Undo::Define(name.into(), named));
            prepare_dummy(to);
            wire::sync(to.out);
            to.server.push(Expect::new(Kind::Sync, false), to.replies);
            wire::query(to.out, DEALLOCATE_DUMMY);
            Verdict::Rewritten(usize::MAX)
        } else {
            Verdict::Forward
        };
        to.server.unsynced = false;
        to.server.push(entry, to.replies);
        verdict
    }
}
