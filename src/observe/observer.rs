//! Where measurements arrive, and where they are read.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::Caller;
use super::ledger::{AT_ONCE, Bounds, Ledger, NPlusOneSettings, Notices, Now, StatementPart, TenantPart};
use super::memo::ShapeMemo;
use super::record::{StatementRecord, TransactionRecord};
use super::rows::{
    Counts, DatabaseRow, ErrorRow, NPlusOneRow, SlowRow, StatementDetail, StatementRow, TenantRow, Totals,
};

/// A recorder that holds so many records hands them over itself, if nobody is at the tables.
const FULL: usize = 1024;
/// And with so many it waits until it can.
const TOO_FULL: usize = 16 * FULL;

/// What is kept, and what is told of.
#[derive(Clone, Debug)]
pub struct ObserverSettings {
    /// Statements that are kept on their own; the rest is in `other`.
    pub max_tracked: usize,
    /// Tenants that are kept on their own.
    pub max_tenants: usize,
    /// When repeated statements are told of.
    pub n_plus_one: NPlusOneSettings,
    /// Statements that took as long are told of one by one.
    pub slow: Option<Duration>,
    /// And with their text and parameters.
    pub parameters: bool,
}

impl Default for ObserverSettings {
    fn default() -> Self {
        Self {
            max_tracked: 5000,
            max_tenants: 500,
            n_plus_one: NPlusOneSettings::default(),
            slow: None,
            parameters: false,
        }
    }
}

/// Records of one worker thread, until they are taken into the tables. Nothing but that worker adds to them.
#[derive(Debug)]
pub struct Recorder {
    waiting: Mutex<Waiting>,
    tables: Arc<Tables>,
}

#[derive(Debug, Default)]
struct Waiting {
    statements: Vec<StatementRecord>,
    transactions: Vec<TransactionRecord>,
    refusals: Vec<(Arc<Caller>, [u8; 5], u64)>,
}

impl Waiting {
    fn len(&self) -> usize {
        self.statements.len() + self.transactions.len() + self.refusals.len()
    }
}

#[derive(Debug)]
struct Tables {
    started: Instant,
    /// Whoever holds it and wants a recorder's records locks the recorder second.
    desk: Mutex<Desk>,
}

#[derive(Debug)]
struct Desk {
    ledger: Ledger,
    /// Empty. It is exchanged for a recorder's records, so that their memory is used again.
    records: Waiting,
}

/// All that is known of statements, transactions and errors.
#[derive(Debug)]
pub struct Observer {
    settings: ObserverSettings,
    tables: Arc<Tables>,
    recorders: Vec<Arc<Recorder>>,
    shapes: Vec<Arc<ShapeMemo>>,
}

impl Tables {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Takes in what a recorder holds. The tables are locked before the recorder is emptied, so that records of a
    /// client come in their order.
    fn take(&self, mut desk: MutexGuard<'_, Desk>, recorder: &Recorder) {
        let Desk { ledger, records } = &mut *desk;
        std::mem::swap(records, &mut *recorder.waiting.lock());
        let now = Now { nanos: self.now(), system: SystemTime::now() };
        let mut notices = Notices::default();
        for record in records.statements.drain(..) {
            ledger.statement(record, now, &mut notices);
        }
        for record in records.transactions.drain(..) {
            ledger.transaction(&record);
        }
        for (caller, sqlstate, at) in records.refusals.drain(..) {
            ledger.refusal(&caller, sqlstate, at);
        }
        records.statements.shrink_to(2 * FULL);
        records.transactions.shrink_to(2 * FULL);
        records.refusals.shrink_to(FULL);
        ledger.tick(now.nanos, &mut notices);
        drop(desk);
        notices.write();
    }
}

impl Recorder {
    /// A statement is over.
    pub fn statement(&self, record: StatementRecord) {
        let mut waiting = self.waiting.lock();
        waiting.statements.push(record);
        self.hand_over_when_full(waiting);
    }

    /// A transaction is over.
    pub fn transaction(&self, record: TransactionRecord) {
        let mut waiting = self.waiting.lock();
        waiting.transactions.push(record);
        self.hand_over_when_full(waiting);
    }

    /// Howdah refused something before there was a statement.
    pub fn error_of_howdah(&self, caller: &Arc<Caller>, sqlstate: [u8; 5]) {
        let at = self.tables.now();
        let mut waiting = self.waiting.lock();
        waiting.refusals.push((Arc::clone(caller), sqlstate, at));
        self.hand_over_when_full(waiting);
    }

    fn hand_over_when_full(&self, waiting: MutexGuard<'_, Waiting>) {
        let count = waiting.len();
        // Not at each record beyond, if the tables are busy.
        if count < FULL || !count.is_multiple_of(FULL / 8) {
            return;
        }
        drop(waiting);
        let desk = &self.tables.desk;
        let desk = if count < TOO_FULL { desk.try_lock() } else { Some(desk.lock()) };
        if let Some(desk) = desk {
            self.tables.take(desk, self);
        }
    }
}

impl Observer {
    /// For so many worker threads.
    pub fn new(settings: ObserverSettings, workers: usize) -> Arc<Self> {
        let bounds = Bounds {
            statements: settings.max_tracked,
            tenants: settings.max_tenants,
            n_plus_one: settings.n_plus_one,
        };
        let desk = Desk { ledger: Ledger::new(bounds), records: Waiting::default() };
        let tables = Arc::new(Tables { started: Instant::now(), desk: Mutex::new(desk) });
        let recorder = |_| Arc::new(Recorder { waiting: Mutex::default(), tables: Arc::clone(&tables) });
        let workers = workers.max(1);
        let recorders = (0..workers).map(recorder).collect();
        let memo = ShapeMemo::new(settings.max_tracked);
        let shapes = (0..workers).map(|_| Arc::new(memo.another())).collect();
        Arc::new(Self { settings, tables, recorders, shapes })
    }

    /// What it was made with.
    pub fn settings(&self) -> &ObserverSettings {
        &self.settings
    }

    /// Nanoseconds since it was made.
    pub fn now(&self) -> u64 {
        self.tables.now()
    }

    /// The recorder of a worker thread.
    pub fn recorder(&self, worker: usize) -> Arc<Recorder> {
        let at = worker % self.recorders.len().max(1);
        match self.recorders.get(at) {
            Some(recorder) => Arc::clone(recorder),
            None => Arc::new(Recorder { waiting: Mutex::default(), tables: Arc::clone(&self.tables) }),
        }
    }

    /// The shapes that a worker thread came across.
    pub fn shapes(&self, worker: usize) -> Arc<ShapeMemo> {
        match self.shapes.get(worker % self.shapes.len().max(1)) {
            Some(shapes) => Arc::clone(shapes),
            None => Arc::new(ShapeMemo::new(self.settings.max_tracked)),
        }
    }

    /// Takes in what the recorders hold.
    pub fn collect(&self) {
        for recorder in &self.recorders {
            self.tables.take(self.tables.desk.lock(), recorder);
        }
    }

    /// Reads the tables, a part at a time so that recorders need not wait for long. `part` gets where the part begins,
    /// and has nothing when there are no more.
    fn parts<T>(&self, step: usize, part: impl Fn(&Ledger, usize) -> Option<Vec<T>>) -> Vec<T> {
        let mut all = Vec::new();
        let mut from = 0;
        loop {
            // Bound, so that the tables are free while it is put with the others.
            let some = part(&self.tables.desk.lock().ledger, from);
            let Some(mut some) = some else { return all };
            all.append(&mut some);
            from += step;
        }
    }

    /// All statements that are kept, heaviest first, and behind them what is not kept on its own, by database.
    pub fn statements(&self) -> Vec<StatementRow> {
        self.collect();
        let mut rows: Vec<StatementRow> =
            self.parts(AT_ONCE, Ledger::some_statements).iter().map(StatementPart::row).collect();
        let others = self.tables.desk.lock().ledger.other_statements();
        rows.extend(others.iter().map(StatementPart::row));
        rows.sort_unstable_by_key(|row| (row.shape.is_none(), Reverse(row.counts.total)));
        rows
    }

    /// All about one statement.
    pub fn statement(&self, database: &str, fingerprint: u64) -> Option<StatementDetail> {
        self.collect();
        let (place, _) = self.tables.desk.lock().ledger.find(database, fingerprint)?;
        let mut tenants = self.parts(1, |ledger, block| ledger.tenants_of(place, block));
        let mut callers = self.parts(1, |ledger, block| ledger.callers_of(place, block));
        let (_, part) = self.tables.desk.lock().ledger.find(database, fingerprint)?;
        tenants.sort_unstable_by_key(|(_, counts)| Reverse(counts.total));
        callers.sort_unstable_by_key(|row| Reverse(row.counts.total));
        let row = part.row();
        let (mut other_tenants, mut other_callers) = (row.counts, row.counts);
        for (_, counts) in &tenants {
            other_tenants.without(counts);
        }
        for row in &callers {
            other_callers.without(&row.counts);
        }
        let histogram = part.into_histogram();
        Some(StatementDetail { row, histogram, tenants, other_tenants, callers, other_callers })
    }

    /// A tenant's part of each statement, by database and fingerprint, as far as it is kept; of all databases without
    /// one.
    pub fn statements_of(&self, database: Option<&str>, tenant: &str) -> HashMap<(Arc<str>, u64), Counts> {
        self.collect();
        let of = self.tables.desk.lock().ledger.places_of(database, tenant);
        self.parts(1, |ledger, block| ledger.statements_of(&of, block)).into_iter().collect()
    }

    /// Tenants of all databases, heaviest first, and behind them those that are not kept on their own, by database.
    pub fn tenants(&self) -> Vec<TenantRow> {
        self.collect();
        let parts = self.tables.desk.lock().ledger.tenants();
        let mut rows: Vec<_> = parts.into_iter().map(TenantPart::row).collect();
        rows.sort_unstable_by_key(|row| (row.is_other, Reverse(row.counts.total)));
        rows
    }

    /// Logins of databases since the start.
    pub fn databases(&self) -> Vec<DatabaseRow> {
        self.collect();
        self.tables.desk.lock().ledger.databases()
    }

    /// Errors by database and SQLSTATE, the commonest first.
    pub fn errors(&self) -> Vec<ErrorRow> {
        self.collect();
        self.tables.desk.lock().ledger.errors()
    }

    /// Statements that clients run again and again, those with the most executions first.
    pub fn n_plus_one(&self) -> Vec<NPlusOneRow> {
        self.collect();
        self.tables.desk.lock().ledger.repeated()
    }

    /// Slow statements, the newest first.
    pub fn slow(&self) -> Vec<SlowRow> {
        self.collect();
        self.tables.desk.lock().ledger.slowest()
    }

    /// Everything together since the start.
    pub fn totals(&self) -> Totals {
        self.collect();
        self.tables.desk.lock().ledger.totals()
    }

    /// Forgets statements, tenants, errors, repeated and slow statements. What counts since the start goes on.
    pub fn reset(&self) {
        self.collect();
        self.tables.desk.lock().ledger.reset();
    }

    /// About so many bytes are used.
    pub fn memory(&self) -> usize {
        let waiting = |recorder: &Arc<Recorder>| {
            let waiting = recorder.waiting.lock();
            waiting.statements.capacity() * size_of::<StatementRecord>()
                + waiting.transactions.capacity() * size_of::<TransactionRecord>()
        };
        let shapes = self.shapes.iter().map(|shapes| shapes.memory());
        self.recorders.iter().map(waiting).sum::<usize>()
            + shapes.sum::<usize>()
            + self.tables.desk.lock().ledger.memory()
    }
}
