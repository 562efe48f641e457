//! The observer's tables. They know no lock: [`super::observer`] has it.

mod cross;
mod errors;
mod mixing;
mod n_plus_one;
mod people;
mod read;
mod slow;
mod statements;
mod table;

use std::sync::Arc;
use std::time::SystemTime;

use super::Caller;
use super::record::{Served, StatementRecord, TransactionRecord};
use super::rows::{DatabaseRow, NPlusOneRow, SlowRow, Totals};
use cross::Cross;
use errors::Errors;
use n_plus_one::{Found, NPlusOne};
use people::{People, Who};
use slow::{Slow, ToLog};
use statements::Statements;

pub use n_plus_one::NPlusOneSettings;
pub(super) use read::{AT_ONCE, StatementPart, TenantPart};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) statements: usize,
    pub(super) tenants: usize,
    pub(super) n_plus_one: NPlusOneSettings,
}

/// What is to be written to the log; not while the tables are held.
#[derive(Debug, Default)]
pub(super) struct Notices {
    slow: Vec<ToLog>,
    slow_left_out: u64,
    n_plus_one: Vec<Found>,
    n_plus_one_left_out: u64,
}

/// Pairs of a statement and a tenant that are kept, for each statement that may be: a heavy one has many, a light one
/// few. (With the default of 5,000 statements these numbers just fill their hash tables.)
const BY_TENANT: usize = 11;
/// And pairs of a statement and a caller.
const BY_CALLER: usize = 5;
/// So many lines about repeated statements are logged for one batch of records.
const N_PLUS_ONE_AT_ONCE: usize = 10;

#[derive(Debug)]
pub(super) struct Ledger {
    statements: Statements,
    people: People,
    by_tenant: Cross,
    by_caller: Cross,
    errors: Errors,
    n_plus_one: NPlusOne,
    slow: Slow,
    totals: Totals,
}

impl Ledger {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            statements: Statements::new(bounds.statements),
            people: People::new(bounds.tenants),
            by_tenant: Cross::new(bounds.statements.saturating_mul(BY_TENANT)),
            by_caller: Cross::new(bounds.statements.saturating_mul(BY_CALLER)),
            errors: Errors::default(),
            n_plus_one: NPlusOne::new(bounds.n_plus_one),
            slow: Slow::default(),
            totals: Totals::default(),
        }
    }

    /// Counts a statement.
    pub(super) fn statement(&mut self, record: StatementRecord, now: Now, notices: &mut Notices) {
        let total = record.phases.total();
        let who = self.people.who(&record.caller, record.tags.as_deref());
        let counted = record.served == Served::Cache && !record.continues;
        self.totals.statements += u64::from(!record.continues);
        self.totals.cached += u64::from(counted);
        self.totals.rows = self.totals.rows.saturating_add(record.rows);
        self.totals.bytes = self.totals.bytes.saturating_add(record.bytes);
        if !record.continues {
            self.totals.histogram.record(total);
        }
        self.people.count(who, &record, total);
        let Some(name) = self.people.name(who) else { return };
        let place = self.statements.count(who.database, name, &record, total);
        self.by_tenant.count(place, who.tenant, &record, total);
        self.by_caller.count(place, who.caller, &record, total);
        if let Some(sqlstate) = record.error {
            self.error(who, sqlstate, record.at, Some(&record));
        }
        let Some(name) = self.people.name(who) else { return };
        let more = self.n_plus_one.count(&record, (who.database, name), total, |found| {
            if notices.n_plus_one.len() < N_PLUS_ONE_AT_ONCE {
                notices.n_plus_one.push(found);
            } else {
                notices.n_plus_one_left_out += 1;
            }
        });
        if more {
            self.statements.n_plus_one(place);
            self.people.count_repeated(who);
        }
        if record.detail.is_some() {
            self.slow(record, now, notices);
        }
    }

    fn slow(&mut self, record: StatementRecord, now: Now, notices: &mut Notices) {
        let ago = std::time::Duration::from_nanos(now.nanos.saturating_sub(record.at));
        let row = SlowRow {
            at: now.system.checked_sub(ago).unwrap_or(now.system),
            caller: Arc::clone(&record.caller),
            tags: record.tags.clone(),
            shape: Arc::clone(&record.shape),
            phases: record.phases,
            served: record.served,
            rows: record.rows,
            bytes: record.bytes,
            error: record.error,
            detail: record.detail.as_deref().cloned().unwrap_or_default(),
        };
        if let Some(left_out) = self.slow.add(row, now.nanos) {
            notices.slow.push(ToLog { record: Box::new(record), left_out });
        }
    }

    /// Counts a transaction.
    pub(super) fn transaction(&mut self, record: &TransactionRecord) {
        let who = self.people.who(&record.caller, None);
        self.totals.transactions += 1;
        self.people.count_transaction(who, record);
    }

    /// Counts what Howdah refused without a statement.
    pub(super) fn refusal(&mut self, caller: &Arc<Caller>, sqlstate: [u8; 5], at: u64) {
        let who = self.people.who(caller, None);
        self.error(who, sqlstate, at, None);
    }

    fn error(&mut self, who: Who, sqlstate: [u8; 5], at: u64, record: Option<&StatementRecord>) {
        self.totals.errors += 1;
        self.people.count_error(who, sqlstate);
        self.errors.count(&self.people, who, sqlstate, at, record);
    }

    /// What is due to be said because time goes by.
    pub(super) fn tick(&mut self, now: u64, notices: &mut Notices) {
        notices.slow_left_out += self.slow.left_out(now).unwrap_or_default();
    }

    /// Forgets all but what counts since Howdah was started.
    pub(super) fn reset(&mut self) {
        self.statements.clear();
        self.people.clear();
        self.by_tenant.clear();
        self.by_caller.clear();
        self.errors.clear();
        self.n_plus_one.clear();
        self.slow.clear();
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals.clone()
    }

    pub(super) fn databases(&self) -> Vec<DatabaseRow> {
        self.people.databases()
    }

    pub(super) fn errors(&self) -> Vec<super::rows::ErrorRow> {
        self.errors.rows()
    }

    pub(super) fn repeated(&self) -> Vec<NPlusOneRow> {
        self.n_plus_one.rows()
    }

    pub(super) fn slowest(&self) -> Vec<SlowRow> {
        self.slow.rows()
    }

    /// Bytes.
    pub(super) fn memory(&self) -> usize {
        self.statements.memory()
            + self.people.memory()
            + self.by_tenant.memory()
            + self.by_caller.memory()
            + self.errors.memory()
            + self.n_plus_one.memory()
            + self.slow.memory()
            + self.totals.histogram.memory()
    }
}

/// This moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) nanos: u64,
    pub(super) system: SystemTime,
}

impl Notices {
    /// Writes them to the log.
    pub(super) fn write(self) {
        for ToLog { record, left_out } in self.slow {
            say_slow(&record, left_out);
        }
        if self.slow_left_out > 0 {
            tracing::info!(left_out = self.slow_left_out, "more slow statements were not logged");
        }
        for found in self.n_plus_one {
            say_repeated(&found);
        }
        if self.n_plus_one_left_out > 0 {
            tracing::warn!(left_out = self.n_plus_one_left_out, "more repeated statements were not logged");
        }
    }
}

fn say_slow(record: &StatementRecord, left_out: u64) {
    let millis = |nanos: u64| format!("{}.{:03}", nanos / 1_000_000, nanos / 1000 % 1000);
    let caller = &record.caller;
    let tags = record.tags.as_deref();
    let detail = record.detail.as_deref();
    let application = tags.and_then(|tags| tags.application.as_deref()).unwrap_or(&caller.application);
    tracing::info!(
        database = &*caller.database,
        user = &*caller.user,
        application = (!application.is_empty()).then_some(application),
        tenant = caller.tenant.as_deref(),
        route = tags.and_then(|tags| tags.route.as_deref()),
        controller = tags.and_then(|tags| tags.controller.as_deref()),
        action = tags.and_then(|tags| tags.action.as_deref()),
        traceparent = tags.and_then(|tags| tags.traceparent.as_deref()),
        ms = millis(record.phases.total()),
        wait_ms = millis(record.phases.wait),
        preamble_ms = millis(record.phases.preamble),
        first_ms = millis(record.phases.first),
        rest_ms = millis(record.phases.rest),
        client_ms = millis(record.phases.client),
        cache_ms = (record.served == Served::Cache).then(|| millis(record.phases.cache)),
        rows = record.rows,
        bytes = record.bytes,
        error = record.error.as_ref().map(|state| tracing::field::display(String::from_utf8_lossy(state))),
        fingerprint = format!("{:016x}", record.shape.fingerprint),
        statement = &*record.shape.text,
        text = detail.and_then(|detail| detail.text.as_deref()),
        parameters = detail
            .filter(|detail| !detail.parameters.is_empty())
            .map(|detail| tracing::field::debug(&detail.parameters)),
        left_out = (left_out > 0).then_some(left_out),
        client = %record.client,
        "slow statement"
    );
}

fn say_repeated(found: &Found) {
    let row = &found.row;
    let advice = match row.shape.text.split(' ').next() {
        Some("select" | "with") => "fetch all rows with one statement: WHERE … = ANY($1)",
        Some("insert") => "write all rows with one INSERT of many rows, or with COPY",
        _ => "do it with one statement: WHERE … = ANY($1), or UPDATE … FROM unnest($1, $2)",
    };
    tracing::warn!(
        database = &*row.database,
        route = row.route.as_deref(),
        controller = row.controller.as_deref(),
        action = row.action.as_deref(),
        fingerprint = format!("{:016x}", row.shape.fingerprint),
        statement = &*row.shape.text,
        before = row.before.as_ref().map(|shape| &*shape.text),
        executions = found.count,
        occurrences = row.occurrences,
        advice,
        "a client runs the same statement again and again with other values"
    );
}
