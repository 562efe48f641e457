//! What Howdah tells about itself (floor 1).
//!
//! What it is for: metrics, and the one place that transactions' timings are handed to.
//!
//! May import: `wire`, `sql`, `ids`.
//!
//! Invariants:
//! - Handles to metrics are resolved once for each pool; counting is an atomic add.
//! - Label values come from the configuration, never from a client's free text; so their number is bounded.
//!   Tenants, who may come with their clients, have labels of their own up to `[observe] max_tenants`.

mod cache;
mod histogram;
mod ledger;
mod memo;
mod observer;
mod record;
mod rows;
mod tags;

use std::time::Duration;

use prometheus::{
    Encoder, Histogram as TimeHistogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::ids::PoolKey;
use crate::sql::Leaves;

pub use cache::{CacheCounts, CacheMetrics, FollowMetrics, Publishing};
pub use histogram::{FixedHistogram, Histogram};
pub use ledger::NPlusOneSettings;
pub use memo::ShapeMemo;
pub use observer::{Observer, ObserverSettings, Recorder};
pub use record::{Caller, Detail, Phases, Served, StatementRecord, Tags, TransactionRecord};
pub use rows::{
    CallerKey, CallerRow, Counts, DatabaseRow, ErrorRow, NPlusOneRow, Quantiles, SlowRow, StatementDetail,
    StatementRow, TenantRow, Totals,
};

/// All metrics of the process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Clients that are logged in.
    pub clients: IntGauge,
    /// Connections that have not logged in yet.
    pub logins: IntGauge,
    /// Clients that logged in.
    pub logged_in: IntCounter,
    /// Logins that failed, by SQLSTATE.
    pub login_failures: IntCounterVec,
    /// Sessions that ended with a panic of ours.
    pub panics: IntCounter,
    /// Cancel requests that were passed on.
    pub cancels: IntCounter,
    /// Times that accepting a connection failed (out of file descriptors).
    pub accept_failures: IntCounter,
    /// The cache's.
    pub cache: CacheMetrics,
    replication: IntGaugeVec,
    replications: IntCounterVec,
    listening_clients: IntGaugeVec,
    listening_channels: IntGaugeVec,
    notifications: IntCounterVec,
    listen_reconnects: IntCounterVec,
    servers: IntGaugeVec,
    waiting: IntGaugeVec,
    connects: IntCounterVec,
    connect_failures: IntCounterVec,
    transactions: IntCounterVec,
    pinned: IntGaugeVec,
    pins: IntCounterVec,
    wait: HistogramVec,
    transaction: HistogramVec,
}

/// The handles of one pool.
#[derive(Clone, Debug)]
pub struct PoolMetrics {
    /// Server connections that a client has.
    pub active: IntGauge,
    /// Server connections that rest.
    pub idle: IntGauge,
    /// Clients that wait for one.
    pub waiting: IntGauge,
    /// Server connections made.
    pub connects: IntCounter,
    /// Server connections that could not be made.
    pub connect_failures: IntCounter,
    /// Server connections that a client keeps beyond its transactions, by the place of the reason in
    /// [`Leaves::PINS`].
    pub pinned: [IntGauge; Leaves::PINS.len()],
    /// Times that a client began to keep one.
    pub pins: [IntCounter; Leaves::PINS.len()],
    transactions: IntCounter,
    wait: TimeHistogram,
    transaction: TimeHistogram,
}

/// The handles of one database's listening connection.
#[derive(Clone, Debug)]
pub struct ListenMetrics {
    /// Clients that listen.
    pub clients: IntGauge,
    /// Channels that are listened to.
    pub channels: IntGauge,
    /// Notifications passed on.
    pub delivered: IntCounter,
    /// Times that the connection was made again.
    pub reconnects: IntCounter,
}

/// How long one transaction took, and what of it was waiting. (The statement's phases come with the full
/// measure.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionTiming {
    /// From the first frame until a server connection was there; `None` when one was there at once.
    pub wait: Option<Duration>,
    /// From then until the connection was free again.
    pub server: Duration,
}

const SECONDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
const POOL: [&str; 2] = ["database", "user"];
const REASON: [&str; 3] = ["database", "user", "reason"];

impl Metrics {
    /// Metrics in a registry of their own.
    ///
    /// # Errors
    /// Two metrics of one name; it would be a mistake in here.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| IntGauge::new(name, help);
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let histograms = |name: &str, help: &str| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), &POOL)
        };
        let metrics = Self {
            clients: gauge("howdah_clients", "Clients that are logged in.")?,
            logins: gauge("howdah_logins_in_progress", "Connections that have not logged in yet.")?,
            logged_in: counter("howdah_logins_total", "Clients that logged in.")?,
            login_failures: counters(
                "howdah_login_failures_total",
                "Logins that failed, by SQLSTATE.",
                &["sqlstate"],
            )?,
            panics: counter("howdah_session_panics_total", "Sessions that ended with a panic.")?,
            cancels: counter("howdah_cancels_total", "Cancel requests passed on to a server.")?,
            accept_failures: counter(
                "howdah_accept_failures_total",
                "Times that accepting a connection failed.",
            )?,
            cache: CacheMetrics::new()?,
            replication: IntGaugeVec::new(
                Opts::new("howdah_replication_connections", "Replication connections that are open."),
                &["database"],
            )?,
            replications: counters(
                "howdah_replication_connections_total",
                "Replication connections that were opened.",
                &["database"],
            )?,
            listening_clients: IntGaugeVec::new(
                Opts::new("howdah_listening_clients", "Clients that listen on a shared connection."),
                &["database"],
            )?,
            listening_channels: IntGaugeVec::new(
                Opts::new("howdah_listening_channels", "Channels that the shared connection listens to."),
                &["database"],
            )?,
            notifications: counters(
                "howdah_notifications_total",
                "Notifications passed on to a client that listens.",
                &["database"],
            )?,
            listen_reconnects: counters(
                "howdah_listen_reconnects_total",
                "Times that the shared listening connection was lost and made again.",
                &["database"],
            )?,
            servers: IntGaugeVec::new(
                Opts::new("howdah_pool_server_connections", "Server connections by what they do."),
                &["database", "user", "state"],
            )?,
            waiting: IntGaugeVec::new(
                Opts::new("howdah_pool_waiting_clients", "Clients that wait for a server connection."),
                &POOL,
            )?,
            connects: counters("howdah_pool_connects_total", "Server connections made.", &POOL)?,
            connect_failures: counters(
                "howdah_pool_connect_failures_total",
                "Server connections that could not be made.",
                &POOL,
            )?,
            transactions: counters("howdah_pool_transactions_total", "Transactions that ended.", &POOL)?,
            pinned: IntGaugeVec::new(
                Opts::new(
                    "howdah_pinned_connections",
                    "Server connections that a client keeps beyond its transactions.",
                ),
                &REASON,
            )?,
            pins: counters(
                "howdah_pins_total",
                "Times that a client began to keep its server connection beyond a transaction.",
                &REASON,
            )?,
            wait: histograms("howdah_pool_wait_seconds", "How long transactions waited that had to wait.")?,
            transaction: histograms(
                "howdah_pool_transaction_seconds",
                "How long transactions had a server.",
            )?,
            registry,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let all: [Box<dyn prometheus::core::Collector>; 22] = [
            Box::new(self.clients.clone()),
            Box::new(self.logins.clone()),
            Box::new(self.logged_in.clone()),
            Box::new(self.login_failures.clone()),
            Box::new(self.panics.clone()),
            Box::new(self.cancels.clone()),
            Box::new(self.accept_failures.clone()),
            Box::new(self.replication.clone()),
            Box::new(self.replications.clone()),
            Box::new(self.listening_clients.clone()),
            Box::new(self.listening_channels.clone()),
            Box::new(self.notifications.clone()),
            Box::new(self.listen_reconnects.clone()),
            Box::new(self.servers.clone()),
            Box::new(self.waiting.clone()),
            Box::new(self.connects.clone()),
            Box::new(self.connect_failures.clone()),
            Box::new(self.transactions.clone()),
            Box::new(self.pinned.clone()),
            Box::new(self.pins.clone()),
            Box::new(self.wait.clone()),
            Box::new(self.transaction.clone()),
        ];
        for metric in all {
            self.registry.register(metric)?;
        }
        self.cache.register(&self.registry)?;
        let process = prometheus::process_collector::ProcessCollector::for_self();
        self.registry.register(Box::new(process))
    }

    /// The handles for one pool.
    pub fn pool(&self, key: &PoolKey) -> PoolMetrics {
        let labels: [&str; 2] = [&key.database, &key.user];
        let server = |state: &str| self.servers.with_label_values(&[&key.database, &key.user, state]);
        let reason = |word| [&*key.database, &*key.user, word];
        PoolMetrics {
            pinned: Leaves::PINS.map(|(_, word)| self.pinned.with_label_values(&reason(word))),
            pins: Leaves::PINS.map(|(_, word)| self.pins.with_label_values(&reason(word))),
            active: server("active"),
            idle: server("idle"),
            waiting: self.waiting.with_label_values(&labels),
            connects: self.connects.with_label_values(&labels),
            connect_failures: self.connect_failures.with_label_values(&labels),
            transactions: self.transactions.with_label_values(&labels),
            wait: self.wait.with_label_values(&labels),
            transaction: self.transaction.with_label_values(&labels),
        }
    }

    /// Counts a replication connection from now on until what is returned is dropped. `database` is the name in
    /// the configuration.
    pub fn replication(&self, database: &str) -> ReplicationMetric {
        self.replications.with_label_values(&[database]).inc();
        let open = self.replication.with_label_values(&[database]);
        open.inc();
        ReplicationMetric(open)
    }

    /// The handles for the listening connection of a database.
    pub fn listen(&self, database: &str) -> ListenMetrics {
        let labels = [database];
        ListenMetrics {
            clients: self.listening_clients.with_label_values(&labels),
            channels: self.listening_channels.with_label_values(&labels),
            delivered: self.notifications.with_label_values(&labels),
            reconnects: self.listen_reconnects.with_label_values(&labels),
        }
    }

    /// The text exposition format, version 0.0.4.
    ///
    /// # Errors
    /// A metric that cannot be written.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::with_capacity(16 << 10);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// A replication connection that is counted as open.
#[derive(Debug)]
pub struct ReplicationMetric(IntGauge);

impl Drop for ReplicationMetric {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl PoolMetrics {
    /// The one place where a transaction's timing arrives.
    pub fn transaction(&self, timing: TransactionTiming) {
        self.transactions.inc();
        if let Some(wait) = timing.wait {
            self.wait.observe(wait.as_secs_f64());
        }
        self.transaction.observe(timing.server.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_transaction_is_counted_in_its_pool() {
        let metrics = Metrics::new().unwrap();
        let pool = metrics.pool(&PoolKey { database: "app".into(), user: "u".into() });
        pool.transaction(TransactionTiming {
            wait: Some(Duration::from_millis(2)),
            server: Duration::from_millis(3),
        });
        pool.transaction(TransactionTiming { wait: None, server: Duration::from_millis(3) });
        let text = metrics.render().unwrap();
        assert!(text.contains(r#"howdah_pool_transactions_total{database="app",user="u"} 2"#));
        assert!(text.contains(r#"howdah_pool_wait_seconds_count{database="app",user="u"} 1"#));
        assert!(text.contains("process_resident_memory_bytes"));
    }
}
