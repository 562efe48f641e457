//! One server connection's side: its replies are matched with what was sent.

use std::fmt;
use std::sync::Arc;

use super::ahead::Ahead;
use super::bring::Bring;
use super::channels::StepPortal;
use super::client::{ClientSession, Mode};
use super::expect::{Expect, Kind, Queue, Undo};
use super::left::Left;
use super::pins::PinPlace;
use super::position::{framed, moved_position};
use super::probe::Probe;
use super::sequences::Sequences;
use super::settings::Settings;
use super::slow::Slow;
use super::sql_prepared::SqlStatements;
use super::statement::{Note, SERVER_PREFIX, ServerStatements, Statement, shape};
use crate::sql::{Class, Leaves};
use crate::wire::{self, Parameters, back};

/// The most bytes of a batch that are kept to run it again.
const MAX_REPLAY: usize = 64 << 10;
/// Frames that may be in flight. A server sends replies as soon as they fill its buffer of 8 kB, Sync or not,
/// so waiting for some of so many never waits for the client.
const MAX_IN_FLIGHT: usize = 16 << 10;
/// A queue or buffer that grew beyond this is given back when the connection is free.
const KEEP: usize = 256;

/// A server's message that fits nothing that was asked. The connection cannot be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation(
    /// What was wrong.
    pub &'static str,
);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What to do with a server's message.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// The client gets it as it stands.
    Pass,
    /// The client does not see it.
    Swallow,
    /// The client gets these bytes in its place.
    Replace(Vec<u8>),
    /// Swallowed; the batch must run again: [`ClientSession::replay`].
    Replay,
    /// The server ends the connection: SQLSTATE and message.
    Lost(String, String),
}

/// Whom a signature in a session is for, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The tenant's number in this process.
    pub tenant: u64,
    /// Seconds since 1970.
    pub since: u64,
}

/// A portal that resets settings, and the texts that set them again.
type ResetPortal = (Box<[u8]>, Vec<Vec<u8>>);

/// What is true of one server connection.
#[derive(Debug)]
pub struct ServerSession {
    pub(super) expect: Queue,
    pub(super) status: u8,
    /// Frames went out that no Sync has closed.
    pub(super) unsynced: bool,
    /// Among the frames since the last Sync, as far as they are not answered, are others than Close: one may fail.
    pub(super) begun: bool,
    /// An error came and no Sync has gone out yet: the server ignores all but a Sync.
    pub(super) discarding: bool,
    /// The server reads COPY data: it ignores Sync and Flush.
    pub(super) copy_in: bool,
    /// No frame may go out until the next `ReadyForQuery`: what is in flight drops prepared statements.
    pub(super) barrier: bool,
    /// The next Sync raises the barrier.
    pub(super) barrier_at_sync: bool,
    /// No frame may go out until the answers to earlier batches are there: they decide what it means.
    pub(super) doubt: bool,
    /// Something in flight may decide what names stand for, or what is prepared. Without that no frame needs to
    /// wait, however long the pipeline is.
    pub(super) defining: bool,
    pub(super) statements: ServerStatements,
    /// The unnamed statement that the server is known to have.
    pub(super) unnamed: Option<u64>,
    /// What is set on this connection beyond how it logged in.
    pub(super) settings: Arc<Settings>,
    /// What its client had before a `DISCARD ALL`, until its `ReadyForQuery`.
    pub(super) discarded: Option<Arc<Settings>>,
    /// Settings of the client that are to be brought, or are on their way.
    pub(super) bring: Bring,
    /// What the client's texts may have left since the last look, and a look that is on its way.
    pub(super) left: Left,
    pub(super) probe: Option<Box<Probe>>,
    pub(super) probe_failed: bool,
    /// What is left for certain, for which its client keeps the connection.
    pub(super) held: Leaves,
    /// What is left could not be asked.
    pub(super) blind: bool,
    /// Transactions since something was left, and whether the server is to be asked again.
    pub(super) since_pin: u32,
    pub(super) look: bool,
    /// Whose the state of sequences is, and whether the open batch discards it.
    pub(super) sequences: Sequences,
    pub(super) discards_in_batch: bool,
    /// A place among those that may be kept.
    pub(super) pin: Option<PinPlace>,
    /// What SQL prepared on it.
    pub(super) sql_prepared: SqlStatements,
    bringing_prepared: Option<SqlStatements>,
    /// They were brought in the middle of a batch: after an error nobody knows how far that came.
    pub(super) names_in_batch: bool,
    pub(super) names_unknown: bool,
    /// What there was before that.
    pub(super) names_before: SqlStatements,
    /// What the server reported at login.
    pub(super) initial: Arc<Parameters>,
    /// What the server reported since login.
    pub(super) reported: Parameters,
    /// Something of its client's may stay behind in the session.
    pub(super) tainted: bool,
    /// It must not serve another client: see [`Self::is_worn`].
    pub(super) worn: bool,
    /// The preamble's replies are still to come.
    pub(super) preparing: bool,
    /// What the preamble sets.
    pub(super) bringing: Option<Arc<Settings>>,
    bringing_signature: Option<Signature>,
    /// The signature that is set in the session.
    pub(super) signed: Option<Signature>,
    pub(super) preamble_error: Option<Vec<u8>>,
    /// The client's frames of this batch, to run it again.
    pub(super) replay: Vec<u8>,
    /// What of `replay` is answered.
    pub(super) replay_from: usize,
    /// `replay` holds the whole batch, the batch began outside a transaction and is alone in flight.
    pub(super) replay_ok: bool,
    /// The client saw a reply of this batch.
    pub(super) answered: bool,
    /// A statement that turned out to be stale: close it, then run the batch again.
    pub(super) healing: Option<Arc<Statement>>,
    /// A statement was prepared for a client that knows what rows come, and the server is asked whether they do;
    /// or a batch runs again, and none is asked about.
    pub(super) comparing: bool,
    /// They do not.
    pub(super) differs: bool,
    /// The name that the last Bind used, and its portal as a number.
    pub(super) bound: Option<(u64, Arc<Note>)>,
    /// The batch must run again now.
    pub(super) replay_due: bool,
    /// Statements that turned out to be stale too late to heal: they are closed with the next batch.
    pub(super) stale: Vec<Arc<Statement>>,
    /// The transaction that the next frame will meet. Kept for clients with a tenant only.
    pub(super) ahead: Ahead,
    /// Portals of statements that are no plain queries, and whether they roll back.
    pub(super) portals: Vec<(Box<[u8]>, Class, bool)>,
    /// Names of clients whose Parse has failed, while frames that use them are in flight.
    pub(super) undefined: Vec<(Box<[u8]>, Arc<Statement>)>,
    /// Portals that reset what their client asked for when it connected, and what sets that again.
    pub(super) resets: Vec<ResetPortal>,
    /// Statements that set a tenant's settings, by how many they set.
    pub(super) setters: Vec<(usize, Arc<Statement>)>,
    pub(super) slow: Slow,
    /// Whose locals [`Slow::On`] is about, by their number.
    pub(super) slow_number: u64,
    /// Why the slow path failed, for the frame that took it.
    pub(super) slow_error: Option<Vec<u8>>,
    /// What undoes it.
    pub(super) slow_reset: Vec<u8>,
    /// What [`Self::is_tainted`] was before the slow path.
    pub(super) slow_taint: bool,
    /// The last thing that was said of a transaction is that it was undone.
    pub(super) rolled_back: bool,
    /// What is in flight may change how texts are read: none that is judged by how it reads may follow yet.
    pub(super) lexical: bool,
    /// So may a frame of the open batch, behind which none may follow in that batch.
    pub(super) lexical_batch: bool,
    /// Portals of statements that say something about channels or savepoints.
    pub(super) step_portals: Vec<StepPortal>,
}

impl ServerSession {
    /// A connection that has just logged in. `max_statements` bounds what is prepared on it.
    pub fn new(max_statements: usize) -> Self {
        Self {
            expect: Queue::new(),
            status: b'I',
            unsynced: false,
            begun: false,
            discarding: false,
            copy_in: false,
            barrier: false,
            barrier_at_sync: false,
            doubt: false,
            defining: false,
            statements: ServerStatements::new(max_statements),
            unnamed: None,
            settings: Arc::default(),
            discarded: None,
            bring: Bring::default(),
            left: Left::default(),
            probe: None,
            probe_failed: false,
            held: Leaves::NOTHING,
            blind: false,
            since_pin: 0,
            look: false,
            sequences: Sequences::Own,
            discards_in_batch: false,
            pin: None,
            sql_prepared: SqlStatements::default(),
            bringing_prepared: None,
            names_in_batch: false,
            names_unknown: false,
            names_before: SqlStatements::default(),
            initial: Arc::default(),
            reported: Parameters::new(),
            tainted: false,
            worn: false,
            preparing: false,
            bringing: None,
            bringing_signature: None,
            signed: None,
            preamble_error: None,
            replay: Vec::new(),
            replay_from: 0,
            replay_ok: false,
            answered: false,
            healing: None,
            comparing: false,
            differs: false,
            bound: None,
            replay_due: false,
            stale: Vec::new(),
            ahead: Ahead::default(),
            portals: Vec::new(),
            undefined: Vec::new(),
            resets: Vec::new(),
            setters: Vec::new(),
            slow: Slow::Off,
            slow_number: 0,
            slow_error: None,
            slow_reset: Vec::new(),
            slow_taint: false,
            rolled_back: false,
            lexical: false,
            lexical_batch: false,
            step_portals: Vec::new(),
        }
    }

    /// With what the server reported at login.
    #[must_use]
    pub fn with_initial(mut self, initial: Arc<Parameters>) -> Self {
        self.initial = initial;
        self
    }

    /// What the server reported of a setting at login.
    pub(super) fn initial_value(&self, name: &[u8]) -> Option<&[u8]> {
        let found = self.initial.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    /// What is left in the session for which its client must keep the connection.
    pub fn held(&self) -> Leaves {
        self.held
    }

    /// The transaction status of the last `ReadyForQuery`: `I`, `T` or `E`.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// Nothing is in flight, no batch and no transaction is open: another client may have it.
    pub fn is_free(&self) -> bool {
        self.is_quiet() && self.status == b'I'
    }

    /// Nothing is in flight and no batch is open; a transaction may be.
    pub fn is_quiet(&self) -> bool {
        self.expect.is_empty()
            && !self.unsynced
            && !self.discarding
            && !self.copy_in
            && self.healing.is_none()
            && !self.replay_due
            && !self.preparing
            && self.slow == Slow::Off
            && self.slow_error.is_none()
    }

    /// The client's frames must wait: what is in flight decides what they mean, or too much is in flight.
    pub fn holds(&self) -> bool {
        self.barrier
            || self.doubt
            || self.healing.is_some()
            || self.comparing
            || self.preparing
            || self.expect.len() >= MAX_IN_FLIGHT
    }

    /// True while the preamble's replies are to come.
    pub fn is_preparing(&self) -> bool {
        self.preparing
    }

    /// `settings`: what is set once it has succeeded; `None` if it sets nothing. Kept here, because whoever reads
    /// the replies may not be the client that they were meant for: it may be gone.
    pub(super) fn begin_preamble(&mut self, settings: Option<Arc<Settings>>, signature: Option<Signature>) {
        self.bringing = settings;
        self.bringing_signature = signature;
        self.preparing = true;
        self.preamble_error = None;
        self.bringing_prepared = None;
    }

    /// The preamble prepares these besides.
    pub(super) fn bring_prepared(&mut self, statements: SqlStatements) {
        self.bringing_prepared = Some(statements);
    }

    /// The signature that is set in the session, if it is known to be.
    pub fn signed(&self) -> Option<Signature> {
        self.signed
    }

    /// The server's error, as an `ErrorResponse`, if the preamble failed.
    pub fn take_preamble_error(&mut self) -> Option<Vec<u8>> {
        self.preamble_error.take()
    }

    /// Settings on this connection.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// True when a simple query ran in a batch that no Sync had closed. `PostgreSQL` 18 answers what comes
    /// next on such a connection with XX000 "unexpected state STARTED", so nobody else gets it.
    pub fn is_worn(&self) -> bool {
        self.worn
    }

    /// What the server reported since login, names and values.
    pub fn reported(&self) -> &Parameters {
        &self.reported
    }

    /// Something of its client's may be left in the session; see [`Self::cleaned`].
    pub fn is_tainted(&self) -> bool {
        self.tainted
    }

    /// It must be cleaned before anybody else gets it.
    pub fn set_tainted(&mut self) {
        self.taint(true);
    }

    /// Something of its client's may stay behind, if `yes`.
    pub(super) fn taint(&mut self, yes: bool) {
        self.tainted |= yes;
        self.slow_taint |= yes;
    }

    /// `DISCARD ALL` (or what the configuration puts in its place) has run.
    pub fn cleaned(&mut self) {
        self.tainted = false;
        self.left = Left::default();
        self.held = Leaves::NOTHING;
        self.blind = false;
        self.look = false;
        self.pin = None;
        self.sql_prepared = SqlStatements::default();
        self.names_unknown = false;
        self.brought();
        self.signed = None;
        self.settings = Arc::default();
        self.statements.retain(&[]);
        self.unnamed = None;
    }

    /// True while the server waits for COPY data that only its client has.
    pub fn reads_copy(&self) -> bool {
        self.copy_in
    }

    /// Ends an open batch whose client is gone: what it did is undone, as when a client of Postgres itself goes
    /// away before its Sync. A statement that cannot be parsed sees to that; a Sync alone would commit.
    pub fn abandon_batch(&mut self, out: &mut Vec<u8>) {
        self.replay_due = false;
        if matches!(self.slow, Slow::Setting | Slow::On | Slow::Late | Slow::Due) {
            // What it set for the session, its taint has removed; see `Slow`.
            self.slow = Slow::Off;
        }
        self.slow_error = None;
        let open = self.unsynced && !self.discarding;
        if open {
            wire::parse_into(out, b"", b"howdah abandons this\0\0\0");
            self.expect.push_back(Expect::new(Kind::Parse, false));
            self.unnamed = None;
        }
        if open || self.discarding || self.healing.take().is_some() {
            wire::sync(out);
            self.expect.push_back(Expect::new(Kind::Sync, false));
            self.unsynced = false;
            self.begun = false;
            self.discarding = false;
            self.lexical |= std::mem::take(&mut self.lexical_batch);
        }
    }

    /// How many statements are prepared.
    pub fn prepared(&self) -> usize {
        self.statements.len()
    }

    /// Gives back memory that only a busy connection needs.
    pub fn rest(&mut self) {
        if self.expect.capacity() > KEEP {
            self.expect = Queue::new();
        }
        if self.replay.capacity() > MAX_REPLAY / 8 {
            self.replay = Vec::new();
        }
        if !self.held.any() {
            self.pin = None;
        }
    }

    /// Queues a reply; a synthetic one goes out at once when nothing is before it.
    pub(super) fn push(&mut self, expect: Expect, replies: &mut Vec<u8>) {
        self.defining |= expect.defines();
        self.expect.push_back(expect);
        if self.expect.len() == 1 {
            self.own_replies(replies);
        }
    }

    /// Writes the replies of Howdah's own whose turn it is. Call it after each message that was passed.
    pub fn own_replies(&mut self, out: &mut Vec<u8>) {
        while let Some(head) = self.expect.front() {
            match head.kind {
                Kind::Synthetic(tag) => {
                    out.extend_from_slice(&[tag, 0, 0, 0, 4]);
                    self.replay_from = head.replay_end;
                }
                Kind::CopyEnd => {}
                _ => return,
            }
            self.expect.pop_front();
        }
        self.undefined.clear();
    }

    /// A frame of a batch is about to be judged: keep it in case that the batch must run again.
    pub(super) fn record(&mut self, frame: &[u8], whole: bool) {
        if !self.unsynced {
            self.replay.clear();
            self.replay_from = 0;
            self.answered = false;
            self.replay_ok = self.status == b'I' && self.expect.iter().all(|e| e.discards);
        }
        self.replay_ok &= whole && self.replay.len() + frame.len() <= MAX_REPLAY;
        if self.replay_ok {
            self.replay.extend_from_slice(frame);
        }
    }

    /// True when [`Self::own_replies`] has something to write.
    pub fn owes_own_reply(&self) -> bool {
        self.expect.front().is_some_and(|head| matches!(head.kind, Kind::Synthetic(_) | Kind::CopyEnd))
    }

    /// Remembers that the batch must run again.
    pub fn set_replay_due(&mut self) {
        self.replay_due = true;
    }

    /// True once after [`Self::set_replay_due`].
    pub fn take_replay_due(&mut self) -> bool {
        std::mem::take(&mut self.replay_due)
    }

    /// Judges one message. `body` is whole for the types of [`needs_body`] (an `ErrorResponse`'s first
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
            back::PARAMETER_STATUS => return Ok(self.on_parameter(client, body)),
            back::NOTICE | back::NOTIFICATION => return Ok(self.on_async(client, tag, body)),
            back::ERROR => return self.on_error(client, body),
            back::READY => return self.on_ready(client, body),
            _ => {}
        }
        let Some(head) = self.expect.front_mut() else {
            return Err(Violation("a reply to nothing"));
        };
        let (kind, mut shown, probes) = (head.kind, head.shown, head.probes);
        if head.inserts.is_some() {
            match tag {
                back::COMMAND_COMPLETE => shown &= !head.one_done(),
                back::ROW_DESCRIPTION | back::DATA_ROW => shown &= !head.is_inserted(),
                _ => {}
            }
        }
        let mut action = Action::Pass;
        let runs = matches!(kind, Kind::Execute | Kind::Query);
        let (fits, done) = match tag {
            back::DATA_ROW | back::COPY_DATA | back::COPY_DONE | back::COPY_OUT => (runs, false),
            back::ROW_DESCRIPTION => (runs || kind == Kind::Describe, kind == Kind::Describe),
            back::COMMAND_COMPLETE | back::EMPTY_QUERY | back::PORTAL_SUSPENDED => {
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
        let head = if done { self.expect.pop_front() } else { None };
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
            // A shared connection listens only when a function of this client's has made it.
            let its_own = client.mode == Mode::Exclusive || self.tainted;
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

    fn on_ready(&mut self, client: &mut ClientSession, body: &[u8]) -> Result<Action, Violation> {
        let &[status @ (b'I' | b'T' | b'E')] = body else {
            return Err(Violation("ReadyForQuery with an unknown status"));
        };
        let head = self.expect.pop_front();
        let Some(head) = head.filter(|e| matches!(e.kind, Kind::Sync | Kind::Query | Kind::FunctionCall))
        else {
            return Err(Violation("ReadyForQuery that nobody asked for"));
        };
        self.status = status;
        if head.discards {
            self.doubt &= self.owes_batch();
            return Ok(Action::Swallow);
        }
        self.copy_in = false;
        self.bound = None;
        self.differs = false;
        self.discards_in_batch &= self.unsynced;
        let (untold, kept) = (self.untold(client, status), !self.bring.is_in_doubt());
        if status == b'I' {
            match self.bring.on_idle() {
                Some(settings) if !self.preparing => self.settings = settings,
                Some(_) => self.resolve_reported(),
                None if self.bring.has_doubts() => self.resolve_reported(),
                None => {}
            }
        }
        if status == b'I' && head.shown {
            self.count_transaction();
        }
        match status {
            b'T' => self.bring.on_open(),
            b'E' => self.bring.on_failed(),
            _ => {}
        }
        if head.probes {
            self.probe_ready(client);
        } else {
            self.probe_failed &= !head.shown;
        }
        self.begun &= self.unsynced || !self.expect.is_empty();
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
}

impl ServerSession {
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

/// True when a name could be taken for one of Howdah's own.
pub(super) fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(SERVER_PREFIX)
}
