//! One server connection's side: its replies are matched with what was sent.

use std::fmt;
use std::sync::Arc;

use super::ahead::Ahead;
use super::bring::Bring;
use super::channels::StepPortal;
use super::expect::{Expect, Kind, Queue};
use super::keep::Keeping;
use super::left::Left;
use super::pins::PinPlace;
use super::probe::Probe;
use super::sequences::Sequences;
use super::settings::Settings;
use super::slow::Slow;
use super::sql_prepared::SqlStatements;
use super::statement::{Note, SERVER_PREFIX, ServerStatements, Statement};
use super::timing::Timing;
use super::written::WriteLog;
use crate::sql::{Class, Leaves};
use crate::wire::{self, Parameters};

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
    /// Swallowed; the batch must run again: [`super::ClientSession::replay`].
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
    pub(super) bringing_prepared: Option<SqlStatements>,
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
    pub(super) bringing_signature: Option<Signature>,
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
    /// A frame of the open batch has ended a transaction: those behind it do not meet the one that the status is of.
    pub(super) ended_in_batch: bool,
    /// What its transactions write.
    pub(super) log: WriteLog,
    /// Answers that are kept as they pass.
    pub(super) keeping: Option<Box<Keeping>>,
    /// What its client's statements take, if that is measured.
    pub(super) timing: Option<Box<Timing>>,
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
            ended_in_batch: false,
            log: WriteLog::default(),
            keeping: None,
            timing: None,
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
        self.rest_timing();
    }

    /// Queues a reply; a synthetic one goes out at once when nothing is before it.
    pub(super) fn push(&mut self, expect: Expect, replies: &mut Vec<u8>) {
        self.defining |= expect.defines();
        if expect.kind == Kind::Parse {
            self.count_parse();
        }
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
}

/// True when a name could be taken for one of Howdah's own.
pub(super) fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(SERVER_PREFIX)
}
