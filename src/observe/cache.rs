//! Metrics of the cache: read from its own counts when somebody asks for metrics, so that serving from memory
//! costs nothing here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result};

use super::OTHER;

const DATABASE: [&str; 1] = ["database"];
const TENANT: [&str; 2] = ["database", "tenant"];

/// What was counted so far for a database or a tenant; numbers that only grow come first.
#[derive(Clone, Debug, Default)]
pub struct CacheCounts {
    /// Answers that came from memory.
    pub hits: u64,
    /// Of these, answers that were stale on purpose.
    pub stale_hits: u64,
    /// Marked statements that went to the server, by reason.
    pub misses: Vec<(&'static str, u64)>,
    /// Answers that were stored.
    pub stores: u64,
    /// Answers that were not stored because what they were read from was written meanwhile.
    pub outdated: u64,
    /// Answers that made room for others.
    pub evictions: u64,
    /// Times that something was said to be written, by who said so; of a database only.
    pub invalidations: Vec<(&'static str, u64)>,
    /// Queries that go on for the cache now.
    pub flights: u64,
    /// Clients that wait for another's query now.
    pub waiters: u64,
    /// Bytes of entries.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Of these, entries that no write is known to end.
    pub ttl_only: u64,
}

/// Numbers of one set of labels, as they were published last: what a metric gets is what came since. The cache
/// forgets tenants that nobody uses, and begins to count them anew.
#[derive(Debug, Default)]
struct Last(HashMap<(&'static str, &'static str), u64>);

impl Last {
    fn since(&mut self, metric: &'static str, label: &'static str, now: u64) -> u64 {
        let before = self.0.insert((metric, label), now).unwrap_or(0);
        // Less than before: it was forgotten meanwhile.
        now.checked_sub(before).unwrap_or(now)
    }
}

/// The metrics of one kind of owner: databases, or tenants.
#[derive(Clone, Debug)]
struct Family {
    hits: IntCounterVec,
    stale_hits: IntCounterVec,
    misses: IntCounterVec,
    stores: IntCounterVec,
    outdated: IntCounterVec,
    evictions: IntCounterVec,
    bytes: IntGaugeVec,
    entries: IntGaugeVec,
    ttl_only: IntGaugeVec,
}

impl Family {
    /// `prefix` is what the names begin with, `of` ends the help.
    fn new(prefix: &str, of: &str, labels: &[&str]) -> Result<Self> {
        let opts = |name: &str, help: &str| Opts::new(format!("{prefix}_{name}"), format!("{help}{of}."));
        let counter = |name: &str, help: &str| IntCounterVec::new(opts(name, help), labels);
        let gauge = |name: &str, help: &str| IntGaugeVec::new(opts(name, help), labels);
        let by_reason: Vec<&str> = labels.iter().copied().chain(["reason"]).collect();
        Ok(Self {
            hits: counter("hits_total", "Answers that came from memory")?,
            stale_hits: counter(
                "stale_hits_total",
                "Answers from memory that were stale as the mark allows",
            )?,
            misses: IntCounterVec::new(
                opts("misses_total", "Marked statements that went to the server, by reason"),
                &by_reason,
            )?,
            stores: counter("stores_total", "Answers that were stored")?,
            outdated: counter(
                "outdated_total",
                "Answers that were not stored because what they were read from was written meanwhile",
            )?,
            evictions: counter("evictions_total", "Answers that made room for others before their time")?,
            bytes: gauge("bytes", "Memory of the answers that are kept")?,
            entries: gauge("entries", "Answers that are kept")?,
            ttl_only: gauge("ttl_only_entries", "Answers that are kept and that no write is known to end")?,
        })
    }

    fn all(&self) -> Vec<Box<dyn Collector>> {
        let counters =
            [&self.hits, &self.stale_hits, &self.misses, &self.stores, &self.outdated, &self.evictions];
        let gauges = [&self.bytes, &self.entries, &self.ttl_only];
        let boxed = |metric: &IntCounterVec| Box::new(metric.clone()) as Box<dyn Collector>;
        let counters = counters.into_iter().map(boxed);
        counters.chain(gauges.into_iter().map(|g| Box::new(g.clone()) as Box<dyn Collector>)).collect()
    }

    /// Adds what came since the last time. What never happened has no line.
    fn add(&self, labels: &[&str], counts: &CacheCounts, last: &mut Last) {
        let mut add = |metric: &IntCounterVec, name, label: &'static str, now| {
            let more = last.since(name, label, now);
            if more > 0 {
                let labels: Vec<&str> =
                    labels.iter().copied().chain((!label.is_empty()).then_some(label)).collect();
                metric.with_label_values(&labels).inc_by(more);
            }
        };
        add(&self.hits, "hits", "", counts.hits);
        add(&self.stale_hits, "stale_hits", "", counts.stale_hits);
        add(&self.stores, "stores", "", counts.stores);
        add(&self.outdated, "outdated", "", counts.outdated);
        add(&self.evictions, "evictions", "", counts.evictions);
        for (reason, count) in &counts.misses {
            add(&self.misses, "misses", reason, *count);
        }
    }

    fn reset(&self) {
        for gauge in [&self.bytes, &self.entries, &self.ttl_only] {
            gauge.reset();
        }
    }

    /// Several tenants may have one label, so their numbers are added up.
    fn hold(&self, labels: &[&str], counts: &CacheCounts) {
        let add = |gauge: &IntGaugeVec, count| {
            gauge.with_label_values(labels).add(i64::try_from(count).unwrap_or(i64::MAX));
        };
        add(&self.bytes, counts.bytes);
        add(&self.entries, counts.entries);
        add(&self.ttl_only, counts.ttl_only);
    }
}

/// The handles of the replication stream that the cache of one database follows.
#[derive(Clone, Debug)]
pub struct FollowMetrics {
    /// How far the stream is behind, in seconds.
    pub lag: Gauge,
    /// 1 while the stream runs and is caught up.
    pub following: IntGauge,
    /// Transactions that the stream told of.
    pub transactions: IntCounter,
    /// Times that the stream was begun again.
    pub reconnects: IntCounter,
}

/// All metrics of the cache. Databases are those of servers, `host:port/name`: whatever clients call them, what
/// is kept belongs to these.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    databases: Family,
    tenants: Family,
    invalidations: IntCounterVec,
    flights: IntGaugeVec,
    waiters: IntGaugeVec,
    paused: IntGaugeVec,
    max_memory: IntGauge,
    lag: GaugeVec,
    following: IntGaugeVec,
    followed: IntCounterVec,
    reconnects: IntCounterVec,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    databases: HashMap<Box<str>, Last>,
    tenants: HashMap<(Box<str>, Box<str>), Last>,
    /// Tenants that have labels of their own: the first that came.
    labelled: HashSet<(Box<str>, Box<str>)>,
}

impl CacheMetrics {
    pub(super) fn new() -> Result<Self> {
        let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &DATABASE);
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &DATABASE);
        Ok(Self {
            databases: Family::new("howdah_cache", "", &DATABASE)?,
            tenants: Family::new("howdah_cache_tenant", ", by tenant", &TENANT)?,
            invalidations: IntCounterVec::new(
                Opts::new(
                    "howdah_cache_invalidations_total",
                    "Times that something was said to be written, by who said so.",
                ),
                &["database", "source"],
            )?,
            flights: gauge("howdah_cache_flights", "Queries that go on for the cache.")?,
            waiters: gauge("howdah_cache_waiters", "Clients that wait for another one's query.")?,
            paused: gauge("howdah_cache_paused", "1 while nothing is kept or served from memory.")?,
            max_memory: IntGauge::new("howdah_cache_max_bytes", "max_memory of the configuration.")?,
            lag: GaugeVec::new(
                Opts::new("howdah_cache_follow_lag_seconds", "How far the replication stream is behind."),
                &DATABASE,
            )?,
            following: gauge("howdah_cache_following", "1 while the replication stream is caught up.")?,
            followed: counter(
                "howdah_cache_follow_transactions_total",
                "Transactions that the replication stream told of.",
            )?,
            reconnects: counter(
                "howdah_cache_follow_reconnects_total",
                "Times that the replication stream was begun again.",
            )?,
            state: Arc::default(),
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<()> {
        let all: [Box<dyn Collector>; 9] = [
            Box::new(self.invalidations.clone()),
            Box::new(self.flights.clone()),
            Box::new(self.waiters.clone()),
            Box::new(self.paused.clone()),
            Box::new(self.max_memory.clone()),
            Box::new(self.lag.clone()),
            Box::new(self.following.clone()),
            Box::new(self.followed.clone()),
            Box::new(self.reconnects.clone()),
        ];
        let families = self.databases.all().into_iter().chain(self.tenants.all());
        families.chain(all).try_for_each(|metric| registry.register(metric))
    }

    /// The handles for the stream of one database.
    pub fn follow(&self, database: &str) -> FollowMetrics {
        let labels = [database];
        FollowMetrics {
            lag: self.lag.with_label_values(&labels),
            following: self.following.with_label_values(&labels),
            transactions: self.followed.with_label_values(&labels),
            reconnects: self.reconnects.with_label_values(&labels),
        }
    }

    /// Begins to publish; what is not published until the next time is gone. At most `max_tenants` tenants have
    /// labels of their own.
    pub fn publish(&self, max_memory: u64, max_tenants: usize) -> Publishing<'_> {
        self.max_memory.set(i64::try_from(max_memory).unwrap_or(i64::MAX));
        self.databases.reset();
        self.tenants.reset();
        Publishing { metrics: self, max_tenants, seen: HashSet::new() }
    }
}

/// One look at everything.
pub struct Publishing<'a> {
    metrics: &'a CacheMetrics,
    max_tenants: usize,
    /// Tenants that are there, so that the others can be forgotten.
    seen: HashSet<(Box<str>, Box<str>)>,
}

impl Publishing<'_> {
    /// Publishes what a database counted. `paused`: nothing is served from memory.
    pub fn database(&mut self, database: &str, counts: &CacheCounts, paused: bool) {
        let metrics = self.metrics;
        let mut state = metrics.state.lock();
        let last = state.databases.entry(database.into()).or_default();
        let labels = [database];
        metrics.databases.add(&labels, counts, last);
        metrics.databases.hold(&labels, counts);
        for (source, count) in &counts.invalidations {
            let more = last.since("invalidations", source, *count);
            if more > 0 {
                metrics.invalidations.with_label_values(&[database, *source]).inc_by(more);
            }
        }
        let set = |gauge: &IntGaugeVec, count| {
            gauge.with_label_values(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set(&metrics.flights, counts.flights);
        set(&metrics.waiters, counts.waiters);
        set(&metrics.paused, u64::from(paused));
    }

    /// Publishes what one tenant of a database counted.
    pub fn tenant(&mut self, database: &str, tenant: &str, counts: &CacheCounts) {
        let metrics = self.metrics;
        let mut state = metrics.state.lock();
        let key: (Box<str>, Box<str>) = (database.into(), tenant.into());
        let own = state.labelled.contains(&key) || state.labelled.len() < self.max_tenants;
        if own {
            state.labelled.insert(key.clone());
        }
        let labels = [database, if own { tenant } else { OTHER }];
        let last = state.tenants.entry(key.clone()).or_default();
        metrics.tenants.add(&labels, counts, last);
        metrics.tenants.hold(&labels, counts);
        self.seen.insert(key);
    }

    /// Ends the look: tenants that were not seen are forgotten. Their lines stay, as counters must.
    pub fn end(self) {
        let mut state = self.metrics.state.lock();
        state.tenants.retain(|key, _| self.seen.contains(key));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::observe::{Format, Metrics};

    fn counts(hits: u64) -> CacheCounts {
        CacheCounts {
            hits,
            misses: vec![("new", 3), ("expired", 0)],
            invalidations: vec![("write", 5)],
            bytes: 100,
            entries: 2,
            waiters: 1,
            ..CacheCounts::default()
        }
    }

    fn publish(metrics: &Metrics, tenants: &[(&str, u64)]) -> String {
        let mut publishing = metrics.cache.publish(1000, 2);
        publishing.database("h:1/d", &counts(7), true);
        for (tenant, hits) in tenants {
            publishing.tenant("h:1/d", tenant, &counts(*hits));
        }
        publishing.end();
        metrics.render(Format::Text, None)
    }

    #[track_caller]
    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "lacks {line}:\n{text}");
    }

    #[test]
    fn a_database_is_published_as_often_as_somebody_looks() {
        let metrics = Metrics::new().unwrap();
        publish(&metrics, &[]);
        let text = publish(&metrics, &[]);
        has(&text, r#"howdah_cache_hits_total{database="h:1/d"} 7"#);
        has(&text, r#"howdah_cache_misses_total{database="h:1/d",reason="new"} 3"#);
        has(&text, r#"howdah_cache_invalidations_total{database="h:1/d",source="write"} 5"#);
        has(&text, r#"howdah_cache_bytes{database="h:1/d"} 100"#);
        has(&text, r#"howdah_cache_waiters{database="h:1/d"} 1"#);
        has(&text, r#"howdah_cache_paused{database="h:1/d"} 1"#);
        has(&text, "howdah_cache_max_bytes 1000");
        assert!(!text.contains("expired"), "what never happened has no line");
    }

    #[test]
    fn tenants_beyond_the_bound_are_counted_together() {
        let metrics = Metrics::new().unwrap();
        let text = publish(&metrics, &[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
        has(&text, r#"howdah_cache_tenant_hits_total{database="h:1/d",tenant="a"} 1"#);
        has(&text, r#"howdah_cache_tenant_hits_total{database="h:1/d",tenant="b"} 2"#);
        has(&text, r#"howdah_cache_tenant_hits_total{database="h:1/d",tenant="other"} 7"#);
        has(&text, r#"howdah_cache_tenant_bytes{database="h:1/d",tenant="other"} 200"#);
        // The next look adds what came since, and no gauge twice.
        let text = publish(&metrics, &[("c", 5), ("b", 2), ("d", 4)]);
        has(&text, r#"howdah_cache_tenant_hits_total{database="h:1/d",tenant="other"} 9"#);
        has(&text, r#"howdah_cache_tenant_bytes{database="h:1/d",tenant="other"} 200"#);
        assert!(!text.contains(r#"howdah_cache_tenant_bytes{database="h:1/d",tenant="a"}"#), "{text}");
    }

    #[test]
    fn a_tenant_that_was_forgotten_begins_anew() {
        let metrics = Metrics::new().unwrap();
        publish(&metrics, &[("a", 10)]);
        // The cache forgot it, and so was it forgotten here; its line stays.
        publish(&metrics, &[]);
        let text = publish(&metrics, &[("a", 4)]);
        has(&text, r#"howdah_cache_tenant_hits_total{database="h:1/d",tenant="a"} 14"#);
        // Forgotten and back between two looks: it counts less than before.
        let text = publish(&metrics, &[("a", 1)]);
        has(&text, r#"howdah_cache_tenant_hits_total{database="h:1/d",tenant="a"} 15"#);
    }

    #[test]
    fn the_stream_has_its_handles() {
        let metrics = Metrics::new().unwrap();
        let follow = metrics.cache.follow("h:1/d");
        follow.lag.set(0.25);
        follow.following.set(1);
        follow.reconnects.inc();
        let text = metrics.render(Format::Text, None);
        has(&text, r#"howdah_cache_follow_lag_seconds{database="h:1/d"} 0.25"#);
        has(&text, r#"howdah_cache_following{database="h:1/d"} 1"#);
        has(&text, r#"howdah_cache_follow_reconnects_total{database="h:1/d"} 1"#);
    }
}
