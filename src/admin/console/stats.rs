//! Totals and averages, as PgBouncer has them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Operations;
use super::table::{Row, Value};
use super::view::{SUMS, Sum};

/// PgBouncer's `stats_period`: averages are those since the period before the one that goes on.
const PERIOD: Duration = Duration::from_secs(60);
/// Averages of less time than this are those of so much: right after the start a transaction is not thousands each
/// second.
const LEAST: Duration = Duration::from_secs(1);

/// One of each [`SUMS`]: counts, bytes and microseconds.
type Sums = [u64; SUMS.len()];
type Databases = BTreeMap<Arc<str>, Sums>;

/// What the sums were a while ago.
#[derive(Debug)]
pub struct StatHistory(Mutex<Samples>);

#[derive(Debug)]
struct Samples {
    older: (Instant, Databases),
    newer: (Instant, Databases),
}

impl Default for StatHistory {
    fn default() -> Self {
        let start = || (Instant::now(), Databases::new());
        Self(Mutex::new(Samples { older: start(), newer: start() }))
    }
}

impl StatHistory {
    /// Whether it is time to note the sums. Ask it every second or so.
    pub fn is_due(&self) -> bool {
        self.0.lock().newer.0.elapsed() >= PERIOD
    }

    /// Notes the sums.
    pub fn sample(&self, operations: &dyn Operations) {
        let fresh = (Instant::now(), databases(operations));
        let mut samples = self.0.lock();
        samples.older = std::mem::replace(&mut samples.newer, fresh);
    }

    /// The sums that averages are taken from, and for how long they have gone on.
    fn before(&self) -> (Duration, Databases) {
        let samples = self.0.lock();
        (samples.older.0.elapsed().max(LEAST), samples.older.1.clone())
    }
}

/// The sums of each database now.
fn databases(operations: &dyn Operations) -> Databases {
    let micros = |nanos: u64| nanos / 1000;
    let mut all = Databases::new();
    for pool in operations.pools() {
        let sums = all.entry(Arc::clone(&pool.key().database)).or_default();
        let timed = pool.metrics().timed();
        let of_pool = [pool.lent(), timed.transactions, 0, 0, 0, timed.server, 0, timed.wait, 0, 0, 0];
        add(sums, &of_pool);
    }
    for row in operations.observer().map(|observer| observer.databases()).unwrap_or_default() {
        let server = micros(row.server_time);
        let (parses, binds) = ([row.client_parses, row.server_parses], row.binds);
        let of_statements =
            [0, 0, row.statements, row.received, row.sent, 0, server, 0, parses[0], parses[1], binds];
        add(all.entry(row.database).or_default(), &of_statements);
    }
    all
}

fn add(sums: &mut Sums, more: &Sums) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

fn all(databases: &Databases) -> Sums {
    let mut sums = Sums::default();
    for of_one in databases.values() {
        add(&mut sums, of_one);
    }
    sums
}

/// For each second, or for each of what the sum is about.
fn averages(now: &Sums, before: &Sums, time: Duration) -> Sums {
    let micros = time.as_micros().max(1);
    let grown: Vec<u64> = now.iter().zip(before).map(|(now, before)| now.saturating_sub(*before)).collect();
    let of = |n: usize| grown.get(n).copied().unwrap_or(0);
    std::array::from_fn(|n| match SUMS.get(n).and_then(|sum| sum.per) {
        Some(count) => of(n).checked_div(of(count)).unwrap_or(0),
        None => u64::try_from(u128::from(of(n)) * 1_000_000 / micros).unwrap_or(u64::MAX),
    })
}

fn values(sums: &Sums) -> impl Iterator<Item = Value> {
    sums.iter().map(|sum| Value::count(*sum))
}

/// What of a database is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Totals, averages, and what older integrations ask for.
    All,
    Totals,
    Averages,
}

/// A row for each database.
pub(super) fn stats(operations: &dyn Operations, part: Part) -> Vec<Row> {
    let (time, before) = operations.history().before();
    let row = |(database, sums): (Arc<str>, Sums)| {
        let before = before.get(&database).copied().unwrap_or_default();
        let averages = averages(&sums, &before, time);
        let mut row = vec![Value::text(&*database)];
        if part != Part::Averages {
            row.extend(values(&sums));
        }
        if part != Part::Totals {
            row.extend(values(&averages));
        }
        if part == Part::All {
            row.extend(sums.get(QUERIES).map(|queries| Value::count(*queries)));
        }
        row
    };
    databases(operations).into_iter().map(row).collect()
}

/// The place of the count of queries.
const QUERIES: usize = 2;

/// A row for each sum of all databases together, and for each average.
pub(super) fn totals(operations: &dyn Operations) -> Vec<Row> {
    let (time, before) = operations.history().before();
    let sums = all(&databases(operations));
    let averages = averages(&sums, &all(&before), time);
    let rows = |prefix: &'static str, of: Sums| {
        let row =
            move |(sum, value): (&Sum, Value)| vec![Value::Text(format!("{prefix}{}", sum.name)), value];
        SUMS.iter().zip(values(&of).collect::<Vec<_>>()).map(row)
    };
    rows("total_", sums).chain(rows("avg_", averages)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn sums(all: [(usize, u64); 6]) -> Sums {
        let mut sums = Sums::default();
        for (n, value) in all {
            sums[n] = value;
        }
        sums
    }

    #[test]
    fn averages_are_for_each_second_or_each_of_their_kind() {
        let before = sums([(0, 10), (1, 100), (2, 1000), (5, 500), (6, 700), (7, 30)]);
        let now = sums([(0, 30), (1, 140), (2, 1600), (5, 4500), (6, 60_700), (7, 70)]);
        let averages = averages(&now, &before, Duration::from_secs(20));
        assert_eq!(averages, sums([(0, 1), (1, 2), (2, 30), (5, 100), (6, 100), (7, 2)]));
        // Nothing happened, or what was there is gone.
        assert_eq!(super::averages(&before, &before, LEAST), Sums::default());
        assert_eq!(super::averages(&before, &now, Duration::ZERO), Sums::default());
        assert_eq!(super::averages(&[u64::MAX; 11], &Sums::default(), Duration::from_nanos(1))[0], u64::MAX);
    }
}
