//! A server's messages: which reply each one is, and what becomes of it.

use std::sync::Arc;

use super::client::{ClientSession, Mode};
use super::expect::{Expect, Kind, Undo};
use super::position::{framed, moved_position};
use super::sequences::Sequences;
use super::server::{Action, ServerSession, Violation};
use super::sql_prepared::SqlStatements;
use super::statement::{Note, shape};
use crate::sql::Leaves;
use crate::wire::{ErrorFields, back};

impl ServerSession {
    /// Judges one message. `body` is whole for the types of [`Self::needs_body`] (an `ErrorResponse`'s first
    /// 64 KiB at least), and may be empty for others.
    ///
    /// # Errors
    /// A message that nothing in flight explains.
    pub fn on_backend(
        &mut self,
        client: &mut ClientSession,
        tag: u8,
        body: &[u8],
    ) -> Result<Action, Violation> {
        match tag {
            back::PARAMETER_STATUS => {
                self.keep_nothing_of_this();
                return Ok(self.on_parameter(client, body));
            }
            back::NOTICE | back::NOTIFICATION => {
                self.keep_nothing_of_this();
                return Ok(self.on_async(client, tag, body));
            }
            back::ERROR => {
                if self.keeping.is_some() {
                    self.keep_failed(ErrorFields::read(body).sqlstate);
                }
                self.write_failed();
                return self.on_error(client, body);
            }
            back::READY => return self.on_ready(client, body),
            _ => {}
        }
        let Some(head) = self.expect.front_mut() else {
            return Err(Violation("a reply to nothing"));
        };
        let (kind, mut shown, probes, keep) = (head.kind, head.shown, head.probes, head.keep);
        let timed = head.timed;
        if head.inserts.is_some() {
            match tag {
                back::COMMAND_COMPLETE => shown &= !head.one_done(),
                back::ROW_DESCRIPTION | back::DATA_ROW => shown &= !head.is_inserted(),
                _ => {}
            }
        }
        if self.timing.is_some() {
            self.time_message(timed, shown, tag, body);
        }
        let mut action = Action::Pass;
        let runs = matches!(kind, Kind::Execute | Kind::Query);
        let (fits, done) = match tag {
            back::DATA_ROW | back::COPY_DATA | back::COPY_DONE | back::COPY_OUT => (runs, false),
            back::ROW_DESCRIPTION => (runs || kind == Kind::Describe, kind == Kind::Describe),
            back::COMMAND_COMPLETE | back::EMPTY_QUERY | back::PORTAL_SUSPENDED => {
                if tag == back::COMMAND_COMPLETE {
                    self.write_complete(body);
                }
                if shown && tag == back::COMMAND_COMPLETE {
                    self.on_complete(client, body);
                    action = self.complete_steps(client, body).unwrap_or(action);
                }
                (runs, kind == Kind::Execute)
            }
            back::BIND_COMPLETE => (kind == Kind::Bind, true),
            back::PARSE_COMPLETE => (kind == Kind::Parse, true),
            back::CLOSE_COMPLETE => (kind == Kind::Close, true),
            back::NO_DATA => (kind == Kind::Describe, true),
            back::PARAMETER_DESCRIPTION => (kind == Kind::Describe, false),
            back::COPY_IN => {
                self.begin_copy_in();
                (runs, false)
            }
            back::FUNCTION_RESULT => (kind == Kind::FunctionCall, false),
            _ => (false, false),
        };
        if !fits {
            return Err(Violation("a reply that does not fit what was asked"));
        }
        if self.keeping.is_some() {
            self.keep_message(tag, keep.filter(|_| shown && action == Action::Pass));
        }
        let mut head = if done { self.expect.pop_front() } else { None };
        if kind == Kind::Bind {
            let written = head.as_mut().and_then(|head| head.written.take());
            self.write_begun(written);
        }
        if let Some(note) = head.as_ref().and_then(|head| head.note.as_ref()) {
            note.tell();
            if kind == Kind::Describe {
                self.on_described(client, note, head.as_ref().filter(|head| !head.shown), shape(body));
            }
        }
        if probes && tag == back::DATA_ROW {
            self.probe_row(body);
        }
        self.answered |= shown;
        Ok(if shown { action } else { Action::Swallow })
    }

    /// What rows a statement returns is known. `asked`: it was Howdah that asked, for a client that was told before.
    fn on_described(&mut self, client: &ClientSession, note: &Note, asked: Option<&Expect>, shape: u64) {
        let Some(asked) = asked else { return note.tell_shape(shape) };
        self.comparing = false;
        if let Some(statement) = asked.statement.as_ref().filter(|_| shape != 0 && note.shape() != shape) {
            self.differs = true;
            self.found_others(client, statement, note);
            // So it must not be known here as what others were told of.
            self.stale.push(Arc::clone(statement));
        }
    }

    fn hidden(&self) -> bool {
        self.preparing || self.expect.front().is_some_and(|head| !head.shown)
    }

    fn on_async(&self, client: &ClientSession, tag: u8, body: &[u8]) -> Action {
        if tag != back::NOTICE {
            // A shared connection listens only when a function has made it. If that is seen, nobody but the client
            // whose function it was gets the connection as it is.
            let its_own = client.mode == Mode::Exclusive || self.held.has(Leaves::CHANNELS);
            return if its_own { Action::Pass } else { Action::Swallow };
        }
        if self.hidden() {
            return Action::Swallow;
        }
        let inserts = self.expect.front().and_then(|head| head.inserts.as_deref());
        match inserts.and_then(|inserts| moved_position(body, inserts)) {
            Some(body) => Action::Replace(framed(tag, &body)),
            None => Action::Pass,
        }
    }

    fn on_complete(&mut self, client: &mut ClientSession, tag: &[u8]) {
        let all = match tag {
            b"DISCARD ALL\0" => {
                self.signed = None;
                self.settings = Arc::default();
                self.discarded = Some(Arc::clone(client.settings()));
                self.brought();
                let loaded = if self.left.loaded { Leaves::LIBRARY } else { Leaves::NOTHING };
                self.held = self.held & Leaves::LIBRARY | loaded;
                self.blind = false;
                self.sequences = Sequences::Own;
                self.tainted = self.held.any() || self.left.leaves.any();
                client.reset_settings();
                self.owe_settings(client);
                true
            }
            b"DEALLOCATE ALL\0" => true,
            b"RESET\0" => {
                self.signed = None; // it may have been RESET ALL
                false
            }
            b"DISCARD SEQUENCES\0" => {
                self.sequences = Sequences::Own;
                false
            }
            b"LOAD\0" => {
                self.left.loaded = true;
                false
            }
            b"COMMIT\0" | b"ROLLBACK\0" => {
                let committed = tag == b"COMMIT\0";
                self.rolled_back = !committed;
                self.left.undone |= !committed;
                self.bring.on_end(committed);
                false
            }
            _ => false,
        };
        if all {
            // What was sent behind it is prepared after it.
            let coming: Vec<u64> = self
                .expect
                .iter()
                .filter(|e| e.kind == Kind::Parse)
                .filter_map(|e| e.statement.as_ref().map(|s| s.id))
                .collect();
            self.statements.retain(&coming);
            self.sql_prepared = SqlStatements::default();
            self.names_unknown = false;
            let names = self.expect.iter().filter_map(|e| match e.undo.as_deref() {
                Some(Undo::Undefine(name)) => Some(&**name),
                _ => None,
            });
            client.forget_statements(&names.collect::<Vec<_>>());
        }
    }

    /// What the state of the transaction says of settings that were on their way.
    fn transaction_is(&mut self, status: u8, shown: bool) {
        if status == b'I' {
            match self.bring.on_idle(self.preparing) {
                Some(settings) => self.settings = settings,
                None if self.bring.has_doubts() => self.resolve_reported(),
                None => {}
            }
        }
        if status == b'I' && shown {
            self.count_transaction();
        }
        match status {
            b'T' => self.bring.on_open(),
            b'E' => self.bring.on_failed(),
            _ => {}
        }
    }

    /// The preamble is answered.
    fn preamble_ready(&mut self) {
        self.preparing = false;
        let (settings, signature) = (self.bringing.take(), self.bringing_signature.take());
        let prepared = self.bringing_prepared.take();
        if self.preamble_error.is_none() {
            if let Some(settings) = settings {
                self.settings = settings;
                self.brought();
            }
            self.names_unknown &= prepared.is_none();
            self.sql_prepared = prepared.unwrap_or_else(|| self.sql_prepared.clone());
            self.signed = signature.or(self.signed);
        } else if let Some(prepared) = prepared {
            // What went is gone, rollback or not. What came is not known, if it was more than one.
            self.names_unknown |= prepared.has_more_new(&self.sql_prepared);
            self.sql_prepared = self.sql_prepared.common(&prepared);
        }
    }

    fn on_ready(&mut self, client: &mut ClientSession, body: &[u8]) -> Result<Action, Violation> {
        let &[status @ (b'I' | b'T' | b'E')] = body else {
            return Err(Violation("ReadyForQuery with an unknown status"));
        };
        let head = self.expect.pop_front();
        let Some(mut head) = head.filter(|e| matches!(e.kind, Kind::Sync | Kind::Query | Kind::FunctionCall))
        else {
            return Err(Violation("ReadyForQuery that nobody asked for"));
        };
        self.status = status;
        self.write_ready(status, head.written.take());
        self.keep_ready();
        if head.discards {
            self.doubt &= self.owes_batch();
            return Ok(Action::Swallow);
        }
        self.copy_in = false;
        self.bound = None;
        self.differs = false;
        self.discards_in_batch &= self.unsynced;
        let (untold, kept) = (self.untold(client, status), !self.bring.is_in_doubt());
        self.transaction_is(status, head.shown);
        if head.probes {
            self.probe_ready(client);
        } else {
            self.probe_failed &= !head.shown;
        }
        self.begun &= self.unsynced || !self.expect.is_empty();
        self.ended_in_batch &= self.unsynced;
        self.names_in_batch &= self.unsynced || !self.expect.is_empty();
        if !self.owes_batch() {
            // A batch may be open: what came before it is known now.
            self.lexical = false;
            if !self.unsynced || self.ahead.is_untouched() {
                self.ahead.settle(status);
            }
        }
        if head.aside {
            self.slow_ready();
        } else {
            self.slow_done();
        }
        if self.healing.is_some() {
            return Ok(Action::Replay);
        }
        if self.preparing {
            self.preamble_ready();
            return Ok(Action::Swallow);
        }
        self.doubt &= self.owes_batch();
        self.defining = self.defining && self.expect.iter().any(Expect::defines);
        if self.expect.is_empty() {
            self.barrier = false;
            self.undefined.clear();
        }
        if self.expect.is_empty() && !self.unsynced && status == b'I' {
            self.step_portals.clear();
            self.portals.clear();
            self.time_idle();
            client.notified = false;
        }
        if let Some(before) = self.discarded.take() {
            let action = self.ready_after_discard(client, &before, status);
            return Ok(self.ready_of_listener(client, status, action));
        }
        if head.shown {
            self.answered = false;
            let action = self.tell(client, &untold, kept, status);
            Ok(self.ready_of_listener(client, status, action))
        } else {
            Ok(Action::Swallow)
        }
    }

    /// True for the messages whose body [`Self::on_backend`] reads.
    pub fn needs_body(&self, tag: u8) -> bool {
        let head = |needs: fn(&Expect) -> bool| self.expect.front().is_some_and(needs);
        match tag {
            back::DATA_ROW => head(|head| head.probes),
            back::ROW_DESCRIPTION => head(|head| head.kind == Kind::Describe && head.note.is_some()),
            _ => needs_body(tag),
        }
    }
}

fn needs_body(tag: u8) -> bool {
    matches!(tag, back::READY | back::COMMAND_COMPLETE | back::ERROR | back::NOTICE | back::PARAMETER_STATUS)
}
