//! What an error makes of the frames in flight: which of them never happened, what is shown, and what runs again.

use std::sync::Arc;

use super::client::ClientSession;
use super::expect::{Expect, Kind, Undo};
use super::locals::Insert;
use super::position::{framed, moved_position};
use super::server::{Action, ServerSession, Violation};
use super::statement::{Note, Statement};
use crate::wire::{self, ErrorFields, Side, Target, back, front};

/// So many names are remembered for the text of errors about them.
const MOST_UNDEFINED: usize = 64;

impl ServerSession {
    pub(super) fn on_error(&mut self, client: &mut ClientSession, body: &[u8]) -> Result<Action, Violation> {
        let fields = ErrorFields::read(body);
        if fields.ends_connection() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            return Ok(Action::Lost(text(fields.sqlstate), text(fields.message)));
        }
        let Some(head) = self.expect.front() else {
            return Err(Violation("an error about nothing"));
        };
        self.copy_in = false;
        self.comparing = false;
        let kind = head.kind;
        let failing = self.failing_number();
        if matches!(kind, Kind::Query | Kind::FunctionCall | Kind::Sync) {
            if head.aside {
                self.slow_failed(framed(back::ERROR, body));
                return Ok(Action::Swallow);
            }
            if head.discards {
                self.sequences_kept();
                return Ok(Action::Swallow);
            }
            if head.probes {
                self.probe_error();
                return Ok(Action::Swallow);
            }
            let head = self.expect.front_mut();
            let (replaced, undo) = head.map_or((None, None), |head| (head.error.take(), head.undo.take()));
            if let Some(undo) = undo.filter(|undo| matches!(**undo, Undo::Define(..))) {
                client.undo(&undo);
            }
            let inserts = self.expect.front().and_then(|head| head.inserts.clone());
            let code = replaced.as_ref().map_or(fields.sqlstate, |error| error.sqlstate.as_bytes());
            self.time_error(failing, code);
            return Ok(self.shown_error(client, body, replaced.map(|e| e.to_bytes()), inserts.as_deref()));
        }
        self.note_other_rows(client, &fields);
        let stale = self.curable(client, &fields);
        let Some(head) = self.expect.pop_front() else {
            return Err(Violation("an error about nothing"));
        };
        self.skip_batch(client);
        if stale.is_none() {
            self.undo_failed(client, &head, &fields); // the first to be done is the last to be undone
        }
        if let Some(statement) = stale {
            self.healing = Some(statement);
            return Ok(Action::Swallow);
        }
        // In a failed transaction that is what the server says first.
        let as_it_is = head.kind == Kind::Outdated && fields.sqlstate == b"25P02";
        let replaced = head.error.filter(|_| !as_it_is);
        let code = replaced.as_ref().map_or(fields.sqlstate, |error| error.sqlstate.as_bytes());
        self.time_error(failing, code);
        let replaced = replaced.map(|error| error.to_bytes());
        Ok(self.shown_error(client, body, replaced, head.inserts.as_deref()))
    }

    /// The statement to prepare again, if this error says that it is stale and the batch can run again.
    fn curable(&self, client: &ClientSession, fields: &ErrorFields<'_>) -> Option<Arc<Statement>> {
        let head = self.expect.front()?;
        let used = matches!(head.kind, Kind::Bind | Kind::Describe);
        let stale = used && (is_stale_plan(fields) || fields.sqlstate == b"26000");
        let again = self.replay_ok && !self.answered && self.status == b'I';
        let taken = head.kind == Kind::Parse && head.statement.is_some() && fields.sqlstate == b"42P05";
        if !again || !(stale || taken || head.kind == Kind::Outdated) {
            return None;
        }
        if let Some(note) = &head.note
            && (head.kind == Kind::Outdated || returns_others(fields))
        {
            if note.is_told() && !self.batch_tells(client, note) {
                return None;
            }
            note.forget(); // so that another statement is put under the name
        }
        head.statement.clone()
    }

    /// The batch to be run again has a Describe of the name, or of a portal that it binds from it.
    fn batch_tells(&self, client: &ClientSession, note: &Arc<Note>) -> bool {
        let ours = |name: &[u8]| client.statements.named(name).is_some_and(|n| Arc::ptr_eq(&n.note, note));
        let mut portals = Vec::new();
        let mut rest = self.replay.get(self.replay_from..).unwrap_or_default();
        while let Ok(Some(head)) = wire::header(Side::Frontend, rest) {
            let Some((frame, tail)) = rest.split_at_checked(head.len) else { break };
            let body = frame.get(5..).unwrap_or_default();
            rest = tail;
            match (head.tag, wire::bind_head(body), wire::target(body)) {
                (front::BIND, Some(bind), _) => {
                    portals.retain(|portal| *portal != bind.portal);
                    if ours(bind.statement) {
                        portals.push(bind.portal);
                    }
                }
                (front::DESCRIBE, _, Ok(Target::Statement(name))) if ours(name) => return true,
                (front::DESCRIBE, _, Ok(Target::Portal(name))) if portals.contains(&name) => return true,
                _ => {}
            }
        }
        false
    }

    /// A server says that a statement returns other rows than when it was prepared. In a transaction, behind other
    /// statements of the batch, with a temporary table or another `search_path` that may be so for this session
    /// alone.
    fn note_other_rows(&self, client: &ClientSession, fields: &ErrorFields<'_>) {
        let Some(head) = self.expect.front() else { return };
        let (Some(statement), Some(note)) = (&head.statement, &head.note) else { return };
        if returns_others(fields) {
            self.found_others(client, statement, note);
        }
    }

    /// Notes that a statement returns other rows than when it was prepared.
    pub(super) fn found_others(&self, client: &ClientSession, statement: &Statement, note: &Note) {
        if note.scope == client.scope {
            statement.returns_others(self.status == b'I' && !self.answered && !self.held.any());
        }
    }

    /// Takes back what the failed frame itself was thought to do.
    fn undo_failed(&mut self, client: &mut ClientSession, head: &Expect, fields: &ErrorFields<'_>) {
        let used = matches!(head.kind, Kind::Bind | Kind::Describe);
        match (&head.statement, head.kind) {
            // Something is there under this name: whose it is, nobody knows. It goes.
            (Some(statement), Kind::Parse) if fields.sqlstate == b"42P05" => {
                self.statements.remove(statement.id);
                self.stale.push(Arc::clone(statement));
            }
            (Some(statement), Kind::Parse) => self.statements.remove(statement.id),
            // Not there, or not usable: the next use prepares it under a new eye.
            (Some(statement), _) if used && fields.sqlstate == b"26000" => {
                self.statements.remove(statement.id);
            }
            // The server goes on judging it, unless it is known to be of no use to anybody.
            (Some(statement), _) if used && returns_others(fields) && !statement.is_outdated() => {}
            (Some(statement), _) if used && is_stale_plan(fields) => self.stale.push(Arc::clone(statement)),
            _ => {}
        }
        self.note_undefined(head);
        match head.undo.as_deref() {
            // A Parse drops the unnamed statement before it fails; but the client has its own yet, if the Parse
            // was ours.
            Some(Undo::Unnamed(before)) => {
                self.undo_unnamed(client, before.clone().filter(|_| head.is_ours()));
            }
            Some(undo) => client.undo(undo),
            None => {}
        }
    }

    /// The server ignores all frames of this batch up to its Sync: nothing of them happened.
    fn skip_batch(&mut self, client: &mut ClientSession) {
        if std::mem::take(&mut self.discards_in_batch) {
            self.sequences_kept();
        }
        let sync = self.expect.iter().position(|e| e.kind == Kind::Sync);
        self.discarding = sync.is_none();
        if self.discarding {
            // What raised it is skipped, and the Sync that ends the skipping must not wait for it.
            self.barrier = false;
            self.barrier_at_sync = false;
            self.doubt = false;
        }
        let skipped = sync.unwrap_or(self.expect.len());
        let mut unnamed = None;
        let skipped: Vec<Expect> = self.expect.drain(..skipped).collect();
        for entry in skipped.into_iter().rev() {
            self.note_undefined(&entry);
            if let (Kind::Parse | Kind::Close, Some(statement)) = (entry.kind, entry.statement) {
                // Frames of later batches may have prepared it or not: close it, and know that it is not there.
                self.statements.remove(statement.id);
                self.stale.push(statement);
            }
            match entry.undo.as_deref() {
                Some(Undo::Unnamed(before)) => unnamed = Some(before.clone()),
                Some(undo) => client.undo(undo),
                None => {}
            }
        }
        if let Some(before) = unnamed {
            self.undo_unnamed(client, before);
        }
    }

    /// A name is closed while answers to frames that use it are to come.
    pub(super) fn note_closed(&mut self, name: &[u8], statement: &Arc<Statement>) {
        if !self.expect.is_empty() && self.undefined.len() < MOST_UNDEFINED {
            self.undefined.push((name.into(), Arc::clone(statement)));
        }
    }

    /// A name is not defined after all: errors about it must still show it, and not Howdah's.
    fn note_undefined(&mut self, entry: &Expect) {
        if let (Some(Undo::Undefine(name)), Some(statement)) = (entry.undo.as_deref(), &entry.statement)
            && !self.expect.is_empty()
        {
            self.undefined.push((name.clone(), Arc::clone(statement)));
        }
    }

    /// True when a frame must wait, because what it means hangs on an earlier batch whose answers are to come:
    /// the last of the frames that `mentions` finds is in one, and something before it may fail, so that it is
    /// skipped; or it may fail and that counts (`own_fate` says that it does not: what is asked about fails
    /// with it).
    pub(super) fn is_in_doubt(
        &self,
        mentions: impl Fn(&Expect) -> bool,
        own_fate: impl Fn(&Expect) -> bool,
    ) -> bool {
        let Some(last) = self.expect.iter().rposition(mentions) else { return false };
        let fallible = |e: &Expect| !matches!(e.kind, Kind::Close | Kind::CopyEnd | Kind::Synthetic(_));
        self.expect.range(last..).any(Expect::ends_batch)
            && (self.expect.range(..last).any(fallible)
                || self.expect.get(last).is_some_and(|e| fallible(e) && !own_fate(e)))
    }

    /// Answers to an earlier batch are to come.
    pub(super) fn owes_batch(&self) -> bool {
        self.expect.iter().any(Expect::ends_batch)
    }

    /// The unnamed statement is what it was before; unless a frame of a later batch, which went out before
    /// the error came, has made it another one.
    fn undo_unnamed(&mut self, client: &mut ClientSession, before: Option<Arc<Statement>>) {
        for entry in &mut self.expect {
            let ours = entry.is_ours();
            match entry.undo.as_deref_mut() {
                Some(Undo::Unnamed(known)) => known.clone_from(&before),
                _ if entry.kind != Kind::Query => continue,
                _ => {} // drops it
            }
            if !ours {
                return;
            }
        }
        client.set_unnamed(before);
        self.unnamed = None; // not known any more
    }

    fn shown_error(
        &mut self,
        client: &mut ClientSession,
        body: &[u8],
        replaced: Option<Vec<u8>>,
        inserts: Option<&[Insert]>,
    ) -> Action {
        if self.preparing {
            self.preamble_error = Some(framed(back::ERROR, body));
            return Action::Swallow;
        }
        self.answered = true;
        self.rolled_back = true;
        if let Some(listening) = client.listening() {
            listening.failed();
        }
        self.left.undone = true;
        self.bring.on_error();
        self.names_unknown |= self.names_in_batch;
        self.worn |= self.names_in_batch; // nobody else shall have to find out
        if let Some(bytes) = replaced {
            return Action::Replace(bytes);
        }
        // An error too long to be here whole names no statement in its message, and its position stays.
        if body.last() != Some(&0) {
            return Action::Pass;
        }
        let moved = inserts.and_then(|inserts| moved_position(body, inserts));
        match client.rename_in(moved.as_deref().unwrap_or(body), &self.undefined).or(moved) {
            Some(body) => Action::Replace(framed(back::ERROR, &body)),
            None => Action::Pass,
        }
    }

    /// True when an error was swallowed and the batch is about to run again; if no Sync is in flight, one
    /// must go out to end the error first. Returns whether it was written.
    pub fn begin_healing(&mut self, out: &mut Vec<u8>) -> bool {
        if self.healing.is_none() || !self.discarding {
            return false;
        }
        wire::sync(out);
        self.expect.push_back(Expect::new(Kind::Sync, false));
        self.discarding = false;
        true
    }

    /// Closes what turned out to be stale, ahead of the frames of a new batch.
    pub(super) fn close_stale(&mut self, out: &mut Vec<u8>) {
        for statement in std::mem::take(&mut self.stale) {
            self.statements.remove(statement.id);
            wire::close_statement(out, &statement.name);
            self.expect.push_back(Expect::new(Kind::Close, false).statement(statement));
            self.defining = true;
        }
    }

    /// Closes the stale statement and returns the frames to judge again.
    pub(super) fn take_replay(&mut self, out: &mut Vec<u8>) -> Vec<u8> {
        if let Some(statement) = self.healing.take() {
            self.statements.remove(statement.id);
            wire::close_statement(out, &statement.name);
            self.expect.push_back(Expect::new(Kind::Close, false));
        }
        self.ahead.local = 0; // it went with the transaction that failed
        self.unsynced = true; // so that recording does not begin anew: a batch heals once
        self.begun = true;
        self.replay_ok = false;
        let frames = std::mem::take(&mut self.replay);
        frames.get(self.replay_from..).map(<[u8]>::to_vec).unwrap_or_default()
    }
}

/// "cached plan must not change result type".
fn returns_others(fields: &ErrorFields<'_>) -> bool {
    fields.sqlstate == b"0A000" && fields.routine == b"RevalidateCachedQuery"
}

/// "cached plan must not change result type", or a type that is gone.
fn is_stale_plan(fields: &ErrorFields<'_>) -> bool {
    returns_others(fields)
        || (fields.sqlstate == b"XX000" && fields.message.starts_with(b"cache lookup failed"))
}
