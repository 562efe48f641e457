//! Statements that a client runs again and again with other values.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::mixing::Mixing;
use super::table::{Place, Table, Weigh};
use crate::observe::record::{StatementRecord, Tags};
use crate::observe::rows::NPlusOneRow;
use crate::sql::Shape;

/// When repeated statements are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NPlusOneSettings {
    /// More executions than this; 0 turns it off.
    pub threshold: u32,
    /// So far apart may the first and the last of them be, if they are not in one transaction.
    pub window: Duration,
}

impl Default for NPlusOneSettings {
    fn default() -> Self {
        Self { threshold: 20, window: Duration::from_secs(1) }
    }
}

/// Statements of one client that are followed at once.
const RUNS: usize = 4;
/// Clients that are followed at once.
const CLIENTS: usize = 8192;
/// Rows of the table.
const ROWS: usize = 500;
/// Time between two log lines about one row, in nanoseconds.
const LOG_EVERY: u64 = 60_000_000_000;

/// What is to be logged.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) row: NPlusOneRow,
    /// Executions in this run.
    pub(super) count: u32,
}

#[derive(Debug)]
struct Run {
    database: u32,
    shape: Arc<Shape>,
    before: Option<Arc<Shape>>,
    transaction: u32,
    started: u64,
    last: u64,
    values: u64,
    count: u32,
    time: u64,
    traceparent: Option<Arc<Tags>>,
    /// Where it is counted, once it is long enough.
    row: Option<Place>,
}

#[derive(Debug, Default)]
struct Client {
    last: u64,
    latest: Option<Arc<Shape>>,
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Row {
    row: NPlusOneRow,
    logged: Option<u64>,
}

impl Weigh for Row {
    fn weight(&self) -> u64 {
        self.row.executions
    }

    fn last_seen(&self) -> u64 {
        self.row.last_seen
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    database: u32,
    fingerprint: u64,
    route: Option<Box<str>>,
    controller: Option<Box<str>>,
    action: Option<Box<str>>,
}

#[derive(Debug)]
pub(super) struct NPlusOne {
    settings: NPlusOneSettings,
    window: u64,
    clients: HashMap<u64, Client, Mixing>,
    rows: Table<Key, Row>,
}

impl NPlusOne {
    pub(super) fn new(settings: NPlusOneSettings) -> Self {
        let window = u64::try_from(settings.window.as_nanos()).unwrap_or(u64::MAX);
        Self { settings, window, clients: HashMap::default(), rows: Table::new(ROWS) }
    }

    /// Looks at the next statement of a client. True when a run became longer than the threshold by it; `found` is
    /// called if that is to be logged.
    pub(super) fn count(
        &mut self,
        record: &StatementRecord,
        (database, name): (u32, &Arc<str>),
        total: u64,
        found: impl FnOnce(Found),
    ) -> bool {
        if self.settings.threshold == 0 || record.continues {
            return false;
        }
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&record.client.0) {
            self.forget_clients(record.at);
        }
        let client = self.clients.entry(record.client.0).or_default();
        client.last = record.at;
        let begun = client.count(record, database, total, self.window, self.settings.threshold);
        let Some(run) = begun else { return false };
        let first = run.row.is_none();
        let place = match run.row.filter(|place| self.rows.has(*place)) {
            Some(place) => place,
            None => row_of(&mut self.rows, run, record, name),
        };
        run.row = Some(place);
        let Some(Row { row, logged }) = self.rows.get_mut(place) else { return first };
        row.executions += u64::from(if first { run.count } else { 1 });
        row.time = row.time.saturating_add(if first { run.time } else { total });
        row.last_seen = record.at;
        row.occurrences += u64::from(first);
        if run.count > row.worst {
            row.worst = run.count;
            row.before.clone_from(&run.before);
        }
        if logged.is_none_or(|at| record.at.saturating_sub(at) >= LOG_EVERY) {
            *logged = Some(record.at);
            found(Found { row: row.clone(), count: run.count });
        }
        first
    }

    /// Half of all clients: those that were silent for longest.
    #[cold]
    fn forget_clients(&mut self, now: u64) {
        let mut last: Vec<u64> = self.clients.values().map(|client| client.last).collect();
        let half = last.len() / 2;
        let (_, middle, _) = last.select_nth_unstable(half);
        let middle = *middle;
        // All at one instant: then all of them.
        self.clients.retain(|_, client| client.last > middle && client.last <= now);
    }

    pub(super) fn rows(&self) -> Vec<NPlusOneRow> {
        let mut rows: Vec<_> =
            self.rows.rows(0..self.rows.slots()).map(|(_, _, row)| row.row.clone()).collect();
        rows.sort_unstable_by_key(|row| std::cmp::Reverse((row.executions, row.time)));
        rows
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Bytes, without texts that other tables have too.
    pub(super) fn memory(&self) -> usize {
        self.rows.memory()
            + self.clients.capacity() * (size_of::<(u64, Client)>() + 1) * 8 / 7
            + self.clients.values().map(|client| client.runs.capacity() * size_of::<Run>()).sum::<usize>()
    }
}

fn row_of(rows: &mut Table<Key, Row>, run: &Run, record: &StatementRecord, database: &Arc<str>) -> Place {
    let tags = record.tags.as_deref();
    let tag = |of: fn(&Tags) -> &Option<Box<str>>| tags.and_then(|tags| of(tags).clone());
    let key = Key {
        database: run.database,
        fingerprint: run.shape.fingerprint,
        route: tag(|tags| &tags.route),
        controller: tag(|tags| &tags.controller),
        action: tag(|tags| &tags.action),
    };
    if let Some(place) = rows.find(&key) {
        return place;
    }
    let row = NPlusOneRow {
        database: Arc::clone(database),
        shape: Arc::clone(&run.shape),
        before: run.before.clone(),
        route: key.route.clone(),
        controller: key.controller.clone(),
        action: key.action.clone(),
        occurrences: 0,
        executions: 0,
        worst: 0,
        time: 0,
        last_seen: record.at,
    };
    rows.insert(key, Row { row, logged: None }, |_, _| {})
}

impl Client {
    /// The run that the statement belongs to, if it is longer than the threshold.
    fn count(
        &mut self,
        record: &StatementRecord,
        database: u32,
        total: u64,
        window: u64,
        threshold: u32,
    ) -> Option<&mut Run> {
        let print = record.shape.fingerprint;
        let latest =
            self.latest.replace(Arc::clone(&record.shape)).filter(|shape| shape.fingerprint != print);
        self.end_those_behind(record);
        let found =
            self.runs.iter().position(|run| run.shape.fingerprint == print && run.database == database);
        let Some(found) = found else {
            self.begin(Run::new(record, database, latest, total));
            return None;
        };
        let run = self.runs.get_mut(found)?;
        if !run.takes(record, window) {
            let before = latest.or_else(|| run.before.take());
            *run = Run::new(record, database, before, total);
            return None;
        }
        run.last = record.at;
        run.transaction = record.transaction;
        if run.values == record.values {
            return None;
        }
        run.values = record.values;
        run.count = run.count.saturating_add(1);
        run.time = run.time.saturating_add(total);
        (run.count > threshold).then_some(run)
    }

    /// The statement that came before a run comes again: what follows is about another row of it.
    fn end_those_behind(&mut self, record: &StatementRecord) {
        let print = record.shape.fingerprint;
        let behind = |run: &Run| run.before.as_ref().is_some_and(|before| before.fingerprint == print);
        self.runs.retain(|run| run.transaction == record.transaction || !behind(run));
    }

    fn begin(&mut self, run: Run) {
        if self.runs.len() < RUNS {
            self.runs.push(run);
        } else if let Some(oldest) = self.runs.iter_mut().min_by_key(|run| run.last) {
            *oldest = run;
        }
    }
}

impl Run {
    fn new(record: &StatementRecord, database: u32, before: Option<Arc<Shape>>, total: u64) -> Self {
        Self {
            database,
            shape: Arc::clone(&record.shape),
            before,
            transaction: record.transaction,
            started: record.at,
            last: record.at,
            values: record.values,
            count: 1,
            time: total,
            traceparent: record.tags.clone(),
            row: None,
        }
    }

    /// Whether a statement belongs to it. One that is long enough goes on while its statements follow closely.
    fn takes(&self, record: &StatementRecord, window: u64) -> bool {
        let trace = |tags: &Option<Arc<Tags>>| tags.as_ref().and_then(|tags| tags.traceparent.clone());
        let same_tags = match (&self.traceparent, &record.tags) {
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => true,
            (None, None) => true,
            (a, b) => trace(a) == trace(b),
        };
        let since = if self.row.is_some() { self.last } else { self.started };
        let close = record.at.saturating_sub(since) <= window;
        self.transaction == record.transaction || (same_tags && close)
    }
}
