//! What can be read from the observer: rows of its tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::histogram::{FixedHistogram, Histogram};
use super::record::{Caller, Detail, Phases, Served, StatementRecord, Tags};
use crate::sql::Shape;

/// Sums over statements. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Statements, with those that failed and those that were answered from memory.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that were answered from memory.
    pub cached: u64,
    /// Rows that they returned or changed.
    pub rows: u64,
    /// Bytes of their answers.
    pub bytes: u64,
    /// What clients waited for them: the sum of `times`.
    pub total: u64,
    /// The same by phases.
    pub times: Phases,
    /// The shortest; 0 without one.
    pub min: u64,
    /// The longest.
    pub max: u64,
}

impl Counts {
    /// Counts a statement, which took `total` in all.
    pub(super) fn count(&mut self, record: &StatementRecord, total: u64) {
        self.rows = self.rows.saturating_add(record.rows);
        self.bytes = self.bytes.saturating_add(record.bytes);
        self.total = self.total.saturating_add(total);
        self.errors += u64::from(record.error.is_some());
        let each = |sum: &mut u64, time: u64| *sum = sum.saturating_add(time);
        each(&mut self.times.wait, record.phases.wait);
        each(&mut self.times.preamble, record.phases.preamble);
        each(&mut self.times.first, record.phases.first);
        each(&mut self.times.rest, record.phases.rest);
        each(&mut self.times.client, record.phases.client);
        each(&mut self.times.cache, record.phases.cache);
        self.max = self.max.max(total);
        if !record.continues {
            self.min = if self.calls == 0 { total } else { self.min.min(total) };
            self.calls += 1;
            self.cached += u64::from(record.served == Served::Cache);
        }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.min = match (self.calls, other.calls) {
            (0, _) => other.min,
            (_, 0) => self.min,
            _ => self.min.min(other.min),
        };
        self.max = self.max.max(other.max);
        self.each(other, u64::saturating_add);
    }

    /// What is left without a part of them. Its shortest and longest are unknown; those of the whole stand for them.
    pub(super) fn without(&mut self, part: &Self) {
        self.each(part, u64::saturating_sub);
        if *self == (Self { min: self.min, max: self.max, ..Self::default() }) {
            *self = Self::default();
        }
    }

    fn each(&mut self, other: &Self, with: fn(u64, u64) -> u64) {
        let (times, others) = (&mut self.times, &other.times);
        for (sum, value) in [
            (&mut self.calls, other.calls),
            (&mut self.errors, other.errors),
            (&mut self.cached, other.cached),
            (&mut self.rows, other.rows),
            (&mut self.bytes, other.bytes),
            (&mut self.total, other.total),
            (&mut times.wait, others.wait),
            (&mut times.preamble, others.preamble),
            (&mut times.first, others.first),
            (&mut times.rest, others.rest),
            (&mut times.client, others.client),
            (&mut times.cache, others.cache),
        ] {
            *sum = with(*sum, value);
        }
    }

    /// The mean of what clients waited; 0 without calls.
    pub fn mean(&self) -> u64 {
        self.total.checked_div(self.calls).unwrap_or_default()
    }
}

/// What parts of all statements did not take longer than, in nanoseconds; right within 1.6 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Half of them.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// 95 of a hundred.
    pub p95: u64,
    /// 99 of a hundred.
    pub p99: u64,
    /// 999 of a thousand.
    pub p999: u64,
}

impl From<&Histogram> for Quantiles {
    fn from(histogram: &Histogram) -> Self {
        let [p50, p90, p95, p99, p999] = histogram.quantiles([0.5, 0.9, 0.95, 0.99, 0.999]);
        Self { p50, p90, p95, p99, p999 }
    }
}

/// A statement of a database.
#[derive(Clone, Debug)]
pub struct StatementRow {
    /// The database, as clients call it.
    pub database: Arc<str>,
    /// Which one; nothing for all of the database that are not kept on their own.
    pub shape: Option<Arc<Shape>>,
    /// Its sums.
    pub counts: Counts,
    /// How long it took.
    pub quantiles: Quantiles,
    /// Times that a client ran it more often than `[observe.n_plus_one] threshold` with other values each time.
    pub n_plus_one: u64,
    /// When it was seen first, in nanoseconds of [`super::Observer::now`].
    pub first_seen: u64,
    /// When it was seen last.
    pub last_seen: u64,
}

/// All about one statement.
#[derive(Clone, Debug)]
pub struct StatementDetail {
    /// Its row.
    pub row: StatementRow,
    /// How long it took.
    pub histogram: Histogram,
    /// By tenants, heaviest first; `None` without a tenant.
    pub tenants: Vec<(Option<Arc<str>>, Counts)>,
    /// Of tenants that are not kept on their own.
    pub other_tenants: Counts,
    /// By who calls it, heaviest first.
    pub callers: Vec<CallerRow>,
    /// Of callers that are not kept on their own.
    pub other_callers: Counts,
}

/// Who calls a statement.
#[derive(Clone, Debug)]
pub struct CallerRow {
    /// Who.
    pub caller: Arc<CallerKey>,
    /// What they called.
    pub counts: Counts,
}

/// A login, and what its application says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallerKey {
    /// The login.
    pub user: Arc<str>,
    /// The comment's `application`, or else the `application_name`; empty without.
    pub application: Box<str>,
    /// The comment's `route`.
    pub route: Option<Box<str>>,
    /// The comment's `controller`.
    pub controller: Option<Box<str>>,
    /// The comment's `action`.
    pub action: Option<Box<str>>,
}

/// A tenant of a database.
#[derive(Clone, Debug)]
pub struct TenantRow {
    /// The database, as clients call it.
    pub database: Arc<str>,
    /// The tenant; nothing for those without one.
    pub tenant: Option<Arc<str>>,
    /// All of the database that are not kept on their own.
    pub is_other: bool,
    /// Their statements.
    pub counts: Counts,
    /// Transactions.
    pub transactions: u64,
    /// How long they had a server connection, in nanoseconds.
    pub transaction_time: u64,
    /// How long they waited for one.
    pub wait: u64,
    /// How long statements took.
    pub quantiles: Quantiles,
}

/// A login of a database, since Howdah was started. RESET leaves it alone.
#[derive(Clone, Debug)]
pub struct DatabaseRow {
    /// The database, as clients call it.
    pub database: Arc<str>,
    /// The login.
    pub user: Arc<str>,
    /// Statements; failed ones and those from memory too.
    pub statements: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that were answered from memory.
    pub cached: u64,
    /// Rows that they returned or changed.
    pub rows: u64,
    /// Transactions.
    pub transactions: u64,
    /// Bytes that came from clients.
    pub received: u64,
    /// Bytes that went to clients.
    pub sent: u64,
    /// How long transactions had a server connection, in nanoseconds.
    pub transaction_time: u64,
    /// What of that their clients let them lie open.
    pub idle_time: u64,
    /// How long the server took over statements.
    pub server_time: u64,
    /// How long transactions waited for a server connection.
    pub wait_time: u64,
    /// Parse messages from clients.
    pub client_parses: u64,
    /// Parse messages to servers.
    pub server_parses: u64,
    /// Bind messages.
    pub binds: u64,
    /// Statements that took as long as `[log] slow_query`.
    pub slow: u64,
    /// Times that a client ran one more often than `[observe.n_plus_one] threshold` with other values each time.
    pub n_plus_one: u64,
    /// What clients waited for each statement.
    pub total: FixedHistogram,
    /// Times of each phase, in the order of [`DatabaseRow::PHASES`]. Who did not wait is not counted in `wait` and
    /// `preamble`; statements from memory are in `cache` and `client` alone, others never in `cache`.
    pub phases: [FixedHistogram; DatabaseRow::PHASES.len()],
    /// Errors by the class of their SQLSTATE, those of Howdah too.
    pub errors_by_class: BTreeMap<[u8; 2], u64>,
}

impl DatabaseRow {
    /// Phases of a statement.
    pub const PHASES: [&'static str; 6] = ["wait", "preamble", "first", "rest", "client", "cache"];
}

/// Errors of one kind in a database.
#[derive(Clone, Debug)]
pub struct ErrorRow {
    /// The database, as clients call it.
    pub database: Arc<str>,
    /// The SQLSTATE; nothing for all of the database that are not kept on their own.
    pub sqlstate: Option<Box<str>>,
    /// How many.
    pub count: u64,
    /// What of them Howdah refused without a statement.
    pub of_howdah: u64,
    /// The statement that failed with it last.
    pub shape: Option<Arc<Shape>>,
    /// The login that met it last.
    pub user: Arc<str>,
    /// When it came last, in nanoseconds of [`super::Observer::now`].
    pub last_seen: u64,
}

/// A statement that clients run again and again with other values, where one would do.
#[derive(Clone, Debug)]
pub struct NPlusOneRow {
    /// The database, as clients call it.
    pub database: Arc<str>,
    /// The statement.
    pub shape: Arc<Shape>,
    /// What the client ran before the first of the worst run.
    pub before: Option<Arc<Shape>>,
    /// The comment's `route`.
    pub route: Option<Box<str>>,
    /// The comment's `controller`.
    pub controller: Option<Box<str>>,
    /// The comment's `action`.
    pub action: Option<Box<str>>,
    /// Runs that were longer than the threshold.
    pub occurrences: u64,
    /// Statements in them.
    pub executions: u64,
    /// The most in one run.
    pub worst: u32,
    /// What clients waited for them, in nanoseconds.
    pub time: u64,
    /// When it came last, in nanoseconds of [`super::Observer::now`].
    pub last_seen: u64,
}

/// A statement that took as long as `[log] slow_query`.
#[derive(Clone, Debug)]
pub struct SlowRow {
    /// When it began.
    pub at: SystemTime,
    /// Whose.
    pub caller: Arc<Caller>,
    /// What its comments say.
    pub tags: Option<Arc<Tags>>,
    /// Which.
    pub shape: Arc<Shape>,
    /// What took how long.
    pub phases: Phases,
    /// Who answered.
    pub served: Served,
    /// Rows that it returned or changed.
    pub rows: u64,
    /// Bytes of its answer.
    pub bytes: u64,
    /// The SQLSTATE that it failed with.
    pub error: Option<[u8; 5]>,
    /// Its text and parameters, if the configuration allows it.
    pub detail: Detail,
}

/// All since Howdah was started. RESET leaves it alone.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Statements; failed ones and those from memory too.
    pub statements: u64,
    /// Transactions.
    pub transactions: u64,
    /// Errors, those of Howdah too.
    pub errors: u64,
    /// Statements that were answered from memory.
    pub cached: u64,
    /// Rows that statements returned or changed.
    pub rows: u64,
    /// Bytes of their answers.
    pub bytes: u64,
    /// How long statements took.
    pub histogram: Histogram,
}
