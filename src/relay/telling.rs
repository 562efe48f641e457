//! What a session tells of its statements and transactions: when they are over, and the client has their answers.
//!
//! The clock is read when bytes were read from the client or the server, and when the client has taken an answer:
//! three times in a transaction of one statement, and never for a message.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::session::{Session, Stage};
use crate::cache::Entry;
use crate::ids::ClientId;
use crate::observe::{
    Caller, Detail, Observer, Phases, Recorder, Served, ShapeMemo, StatementRecord, Tags, TransactionRecord,
};
use crate::session::{ClientSession, Done, Noted, Shapes, Values};
use crate::wire::{self, front};

/// Bytes of a text, and of a parameter, that are told of a statement that took long.
const MAX_TEXT: usize = 8 << 10;
const MAX_VALUE: usize = 1 << 10;
/// Of so many answers that the client has not taken, texts and parameters are kept as they came.
const MOST_RAW: usize = 64;
/// Records that a session keeps memory for while it rests.
const KEEP: usize = 1;

/// How texts are counted, remembered for a worker.
#[derive(Debug)]
struct WorkerShapes {
    memo: Arc<ShapeMemo>,
    values: bool,
}

impl Shapes for WorkerShapes {
    fn noted(&self, text: &[u8], standard_strings: bool) -> Noted {
        let (shape, values) = self.memo.print(text, standard_strings);
        Noted { shape, tags: Tags::read(text).map(Arc::new), values }
    }

    fn keeps_values(&self) -> bool {
        self.values
    }
}

/// A statement whose answer the client may not have yet.
#[derive(Debug)]
struct Untold {
    record: StatementRecord,
    /// When the answer was there.
    until: u64,
    raw: Option<Arc<Values>>,
}

/// What a session that is observed keeps for it. Times are nanoseconds of [`Observer::now`].
#[derive(Debug)]
pub(super) struct Telling {
    observer: Arc<Observer>,
    recorder: Arc<Recorder>,
    caller: Arc<Caller>,
    /// What `caller` was made of: the settings, the pool and the tenant.
    caller_of: (u64, usize, u64),
    /// Statements that take so long are told in detail.
    slow: u64,
    /// The last time that is known, and when what the client sends was first seen.
    now: u64,
    arrived: u64,
    /// When `now` was nothing.
    zero: Instant,
    /// When it got its connection, and how long it had waited.
    leased: u64,
    waited: u64,
    /// The last answer of an open transaction was there, and its client has sent nothing since.
    idle_since: Option<u64>,
    idle: u64,
    transaction: u32,
    statements: u32,
    received: u64,
    sent: u64,
    client_parses: u32,
    binds: u32,
    untold: Vec<Untold>,
}

impl Telling {
    pub(super) fn new(observer: &Arc<Observer>, worker: usize) -> Box<Self> {
        let slow = observer
            .settings()
            .slow
            .map_or(u64::MAX, |slow| u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX));
        let nobody = || Arc::<str>::from("");
        let caller = Caller { database: nobody(), user: nobody(), application: nobody(), tenant: None };
        let now = observer.now();
        Box::new(Self {
            zero: Instant::now().checked_sub(Duration::from_nanos(now)).unwrap_or_else(Instant::now),
            recorder: observer.recorder(worker),
            observer: Arc::clone(observer),
            caller: Arc::new(caller),
            caller_of: (0, 0, 0),
            slow,
            now,
            arrived: 0,
            leased: 0,
            waited: 0,
            idle_since: None,
            idle: 0,
            transaction: 0,
            statements: 0,
            received: 0,
            sent: 0,
            client_parses: 0,
            binds: 0,
            untold: Vec::new(),
        })
    }

    /// How the texts of its worker are counted.
    pub(super) fn shapes(observer: &Observer, worker: usize) -> Arc<dyn Shapes> {
        Arc::new(WorkerShapes { memo: observer.shapes(worker), values: observer.settings().parameters })
    }

    /// One statement's answer is on its way to the client.
    fn done(&mut self, done: Done, client: ClientId) {
        self.statements = self.statements.saturating_add(1);
        let record = StatementRecord {
            shape: done.noted.shape,
            caller: Arc::clone(&self.caller),
            tags: done.noted.tags,
            client,
            transaction: self.transaction,
            at: done.at,
            phases: done.phases,
            served: Served::Server,
            continues: done.continues,
            rows: done.rows,
            bytes: done.bytes,
            error: done.error,
            values: done.values,
            detail: None,
        };
        self.tell_later(Untold { record, until: done.until, raw: done.raw });
    }

    fn tell_later(&mut self, mut untold: Untold) {
        if self.untold.len() >= MOST_RAW {
            untold.raw = None; // a client that does not read shall not keep much
        }
        if self.untold.capacity() == 0 {
            self.untold.reserve_exact(KEEP);
        }
        self.untold.push(untold);
    }

    /// The client has taken all that was for it.
    fn taken(&mut self) {
        self.now = self.observer.now();
        for Untold { mut record, until, raw } in self.untold.drain(..) {
            match record.served {
                Served::Server => record.phases.client = self.now.saturating_sub(until),
                Served::Cache => record.phases.cache = self.now.saturating_sub(until),
            }
            if record.phases.total() >= self.slow {
                record.detail = Some(Box::new(detail(raw.as_deref())));
            }
            self.recorder.statement(record);
        }
        if self.untold.capacity() > KEEP {
            self.untold = Vec::new();
        }
    }
}

impl Session {
    /// So many bytes came from the client.
    pub(super) fn heard(&mut self, bytes: usize) {
        let Some(telling) = &mut self.telling else { return };
        telling.now = telling.observer.now();
        if self.carry.is_empty() && self.streaming == 0 {
            telling.arrived = telling.now;
        }
        telling.received = telling.received.saturating_add(bytes as u64);
        if let Some(since) = telling.idle_since.take() {
            telling.idle = telling.idle.saturating_add(telling.now.saturating_sub(since));
        }
        if let Stage::Leased(lease) = &mut self.stage {
            lease.session.client_time_is(telling.arrived, telling.now);
        }
    }

    /// The client sends this frame.
    pub(super) fn count_frame(&mut self, tag: u8) {
        let Some(telling) = &mut self.telling else { return };
        match tag {
            front::PARSE => telling.client_parses = telling.client_parses.saturating_add(1),
            front::BIND => telling.binds = telling.binds.saturating_add(1),
            _ => {}
        }
    }

    /// So many bytes went to the client.
    pub(super) fn count_sent(&mut self, bytes: usize) {
        if let Some(telling) = &mut self.telling {
            telling.sent = telling.sent.saturating_add(bytes as u64);
        }
    }

    /// Something came from the server.
    pub(super) fn answer_comes(&mut self) {
        if let (Some(telling), Stage::Leased(lease)) = (&mut self.telling, &mut self.stage) {
            telling.now = telling.observer.now();
            lease.session.time_is(telling.now);
        }
    }

    /// The last time that is known; without measuring, it is asked for.
    pub(super) fn last_time(&self) -> Instant {
        let known = self.telling.as_ref().map(|telling| telling.zero + Duration::from_nanos(telling.now));
        known.unwrap_or_else(Instant::now)
    }

    /// Its frames waited for something else than a connection, and go on.
    pub(super) fn time_passed(&mut self) {
        if let Some(telling) = &mut self.telling {
            telling.now = telling.observer.now();
        }
    }

    /// A connection is there; `waited`: not at once.
    pub(super) fn begin_telling(&mut self, waited: bool) {
        let Some(telling) = &mut self.telling else {
            if let Stage::Leased(lease) = &mut self.stage {
                lease.session.end_timing();
            }
            return;
        };
        if waited {
            telling.now = telling.observer.now();
        }
        telling.leased = telling.now;
        telling.waited = telling.now.saturating_sub(telling.arrived);
        self.know_caller();
        if let (Some(telling), Stage::Leased(lease)) = (&self.telling, &mut self.stage) {
            lease.session.begin_timing(telling.arrived, telling.leased);
        }
    }

    /// The next transaction of a client that keeps its connection begins.
    pub(super) fn tell_next(&mut self) {
        self.know_caller();
        if let Some(telling) = &mut self.telling {
            telling.leased = telling.now;
        }
    }

    /// Who it is now.
    fn know_caller(&mut self) {
        let settings = self.front.settings();
        let tenant = self.tenancy.as_ref().map_or(0, |tenancy| tenancy.share().tenant);
        let of = (settings.id(), Arc::as_ptr(&self.pool) as usize, tenant);
        let Some(telling) = self.telling.as_mut().filter(|telling| telling.caller_of != of) else { return };
        let key = self.pool.key();
        telling.caller_of = of;
        telling.caller = Arc::new(Caller {
            database: Arc::clone(&key.database),
            user: Arc::clone(&key.user),
            application: settings.get("application_name").unwrap_or_default().into(),
            tenant: self.tenancy.as_ref().and_then(|tenancy| tenancy.label()).cloned(),
        });
    }

    /// What is over on the server is told when the client has it.
    pub(super) fn note_done(&mut self) {
        let (Some(telling), Stage::Leased(lease)) = (&mut self.telling, &mut self.stage) else { return };
        if lease.session.has_done() {
            for done in lease.session.take_done() {
                telling.done(done, self.handle.id);
            }
        }
        for sqlstate in lease.session.take_errors() {
            telling.recorder.error_of_howdah(&telling.caller, sqlstate);
        }
        // What it has sent already does not let the transaction lie.
        let silent = self.carry.is_empty() && self.streaming == 0;
        if silent && lease.session.status() != b'I' && lease.session.is_quiet() {
            telling.idle_since = Some(telling.now);
        }
    }

    /// All that was for the client is with it.
    pub(super) fn client_has_all(&mut self) {
        if let Some(telling) = self.telling.as_mut().filter(|telling| !telling.untold.is_empty()) {
            telling.taken();
        }
    }

    /// The transaction is over.
    pub(super) fn tell_transaction(&mut self) {
        let Some(telling) = &mut self.telling else { return };
        let counted = match &mut self.stage {
            Stage::Leased(lease) => lease.session.take_counted(),
            _ => crate::session::Counted::default(),
        };
        telling.recorder.transaction(TransactionRecord {
            caller: Arc::clone(&telling.caller),
            at: telling.now,
            length: telling.now.saturating_sub(telling.leased),
            idle: std::mem::take(&mut telling.idle),
            wait: std::mem::take(&mut telling.waited),
            statements: std::mem::take(&mut telling.statements),
            received: std::mem::take(&mut telling.received),
            sent: std::mem::take(&mut telling.sent),
            client_parses: std::mem::take(&mut telling.client_parses),
            server_parses: counted.server_parses,
            binds: std::mem::take(&mut telling.binds),
        });
        telling.transaction = telling.transaction.wrapping_add(1);
        telling.idle_since = None;
    }

    /// The client is told of an error of Howdah's own.
    pub(super) fn tell_error(&mut self, sqlstate: &str) {
        if self.telling.is_none() {
            return;
        }
        self.know_caller();
        if let (Some(telling), Ok(sqlstate)) = (&self.telling, sqlstate.as_bytes().try_into()) {
            telling.recorder.error_of_howdah(&telling.caller, sqlstate);
        }
    }

    /// A query is answered from memory.
    pub(super) fn tell_hit(&mut self, entry: &Entry, noted: impl FnOnce(&ClientSession) -> Option<Noted>) {
        let Some(noted) = noted(&self.front) else { return };
        self.know_caller();
        let Some(telling) = &mut self.telling else { return };
        let record = StatementRecord {
            shape: noted.shape,
            caller: Arc::clone(&telling.caller),
            tags: noted.tags,
            client: self.handle.id,
            transaction: telling.transaction,
            at: telling.arrived,
            phases: Phases::default(),
            served: Served::Cache,
            continues: false,
            rows: entry.rows(),
            bytes: entry.body().len() as u64,
            error: None,
            values: entry.key().half(),
            detail: None,
        };
        telling.tell_later(Untold { record, until: telling.arrived, raw: None });
    }
}

/// What there is to say of a statement that took long.
fn detail(raw: Option<&Values>) -> Detail {
    match raw {
        None => Detail::default(),
        Some(Values::Text(text)) => Detail { text: Some(readable(text, MAX_TEXT)), parameters: Vec::new() },
        Some(Values::Bound(text, values)) => {
            let parameters = wire::bind_values(values);
            let shown = |value: Option<&[u8]>| value.map(|value| readable(value, MAX_VALUE));
            Detail {
                text: Some(readable(text, MAX_TEXT)),
                parameters: parameters.into_iter().map(shown).collect(),
            }
        }
    }
}

/// Bytes as text, or in hexadecimal digits if they are none; at most so many.
fn readable(bytes: &[u8], most: usize) -> Box<str> {
    let kept = bytes.get(..most).unwrap_or(bytes);
    let cut = if kept.len() < bytes.len() { "…" } else { "" };
    // A character may be cut in two.
    let (text, broken) = match std::str::from_utf8(kept) {
        Ok(text) => (text, false),
        Err(error) => {
            let valid = kept.get(..error.valid_up_to()).unwrap_or_default();
            let whole = error.error_len().is_none() && kept.len() < bytes.len();
            (std::str::from_utf8(valid).unwrap_or_default(), !whole)
        }
    };
    if broken || text.contains('\0') {
        let digits: String = kept
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|d| char::from_digit(d.into(), 16))
            .collect();
        return format!("\\x{digits}{cut}").into();
    }
    format!("{text}{cut}").into()
}
