//! What the console tells of the cache.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::table::{Column, Kind, Row, Value};
use crate::cache::{Cache, Database, Miss, Source};

pub(super) const CACHE: [Column; 17] = [
    ("database", Kind::Text),
    ("state", Kind::Text),
    ("entries", Kind::Int8),
    ("bytes", Kind::Int8),
    ("hits", Kind::Int8),
    ("stale_hits", Kind::Int8),
    ("misses", Kind::Int8),
    ("hit_percent", Kind::Float8),
    ("stores", Kind::Int8),
    ("outdated", Kind::Int8),
    ("evictions", Kind::Int8),
    ("invalidations", Kind::Int8),
    ("ttl_only_entries", Kind::Int8),
    ("tenants", Kind::Int8),
    ("flights", Kind::Int8),
    ("waiters", Kind::Int8),
    ("max_bytes", Kind::Int8),
];

pub(super) const MISSES: [Column; 3] =
    [("database", Kind::Text), ("reason", Kind::Text), ("misses", Kind::Int8)];

pub(super) const ENTRIES: [Column; 12] = [
    ("key", Kind::Text),
    ("database", Kind::Text),
    ("tenant", Kind::Text),
    ("query", Kind::Text),
    ("bytes", Kind::Int8),
    ("rows", Kind::Int8),
    ("hits", Kind::Int8),
    ("age", Kind::Float8),
    ("ttl_left", Kind::Float8),
    ("ended_by", Kind::Text),
    ("ttl_only", Kind::Text),
    ("memory_percent", Kind::Float8),
];

/// The databases in the order of their names.
fn databases(cache: &Cache) -> Vec<Arc<Database>> {
    let mut databases = cache.databases();
    databases.sort_by(|a, b| a.id().cmp(b.id()));
    databases
}

/// A row for each database.
pub(super) fn show(cache: &Cache) -> Vec<Row> {
    let max = cache.limits().max_memory;
    let row = |database: Arc<Database>| {
        let counters = &database.counters;
        let (hits, misses) = (counters.hits.get(), counters.all_misses());
        let invalidations: u64 = Source::ALL.iter().map(|source| counters.invalidations(*source)).sum();
        let state = database.is_paused().map_or("on".to_owned(), |why| format!("paused: {why}"));
        vec![
            Value::text(database.id()),
            Value::Text(state),
            Value::count(counters.entries.get()),
            Value::count(counters.bytes.get()),
            Value::count(hits),
            Value::count(counters.stale_hits.get()),
            Value::count(misses),
            percent(hits, hits.saturating_add(misses)),
            Value::count(counters.stores.get()),
            Value::count(counters.outdated.get()),
            Value::count(counters.evictions.get()),
            Value::count(invalidations),
            Value::count(counters.ttl_only.get()),
            Value::count(database.accounts().iter().filter(|account| account.tenant().is_some()).count()),
            Value::count(counters.flights.get()),
            Value::count(counters.waiters.get()),
            Value::count(max),
        ]
    };
    databases(cache).into_iter().map(row).collect()
}

/// A row for each database and reason that there was.
pub(super) fn misses(cache: &Cache) -> Vec<Row> {
    let mut rows = Vec::new();
    for database in databases(cache) {
        for reason in Miss::ALL {
            let misses = database.counters.misses(reason);
            if misses > 0 {
                rows.push(vec![Value::text(database.id()), Value::text(reason.word()), Value::count(misses)]);
            }
        }
    }
    rows
}

/// A row for each of some entries.
pub(super) fn entries(cache: &Cache, limit: usize) -> Vec<Row> {
    let max = cache.limits().max_memory;
    let row = |entry: crate::cache::EntryInfo| {
        vec![
            Value::Text(entry.key.to_string()),
            Value::text(&*entry.database),
            entry.tenant.map_or(Value::Null, |tenant| Value::text(&*tenant)),
            Value::text(&*entry.text),
            Value::count(entry.bytes),
            Value::count(entry.rows),
            Value::count(entry.hits),
            seconds(entry.age),
            seconds(entry.ttl_left),
            Value::Text(entry.marks.join(", ")),
            Value::text(if entry.by_ttl_only { "yes" } else { "no" }),
            percent(entry.bytes, max),
        ]
    };
    cache.list(limit, Instant::now()).into_iter().map(row).collect()
}

/// A part of a whole, with two decimals; NULL of nothing.
fn percent(part: u64, whole: u64) -> Value {
    if whole == 0 {
        return Value::Null;
    }
    Value::Float((part as f64 / whole as f64 * 10_000.0).round() / 100.0)
}

/// Seconds with three decimals.
fn seconds(time: Duration) -> Value {
    Value::Float((time.as_secs_f64() * 1000.0).round() / 1000.0)
}
