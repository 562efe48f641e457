//! Metrics of pools: handles are resolved once for each.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result,
};

use crate::ids::PoolKey;
use crate::sql::Leaves;

const SECONDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
const POOL: [&str; 2] = ["database", "user"];
const REASON: [&str; 3] = ["database", "user", "reason"];

/// The handles of one pool.
#[derive(Clone, Debug)]
pub struct PoolMetrics {
    /// Server connections that a client has.
    pub active: IntGauge,
    /// Server connections that rest.
    pub idle: IntGauge,
    /// Server connections that are being made.
    pub connecting: IntGauge,
    /// Clients that wait for one.
    pub waiting: IntGauge,
    /// How long the one has waited who waits longest, in seconds.
    pub oldest_wait: Gauge,
    /// Server connections that there may be, without the reserve.
    pub size: IntGauge,
    /// 0 while no server connection can be made and none is left.
    pub up: IntGauge,
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
    wait: Histogram,
    transaction: Histogram,
}

/// How long one transaction took, and what of it was waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionTiming {
    /// From the first frame until a server connection was there; `None` when one was there at once.
    pub wait: Option<Duration>,
    /// From then until the connection was free again.
    pub server: Duration,
}

/// What a pool has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    /// Transactions that ended.
    pub transactions: u64,
    /// How long they waited for a server connection, in microseconds.
    pub wait: u64,
    /// How long they had one.
    pub server: u64,
}

impl PoolMetrics {
    /// What was counted so far.
    pub fn timed(&self) -> Timed {
        let micros = |seconds: f64| (seconds * 1e6) as u64;
        Timed {
            transactions: self.transactions.get(),
            wait: micros(self.wait.get_sample_sum()),
            server: micros(self.transaction.get_sample_sum()),
        }
    }

    /// The one place where a transaction's timing arrives.
    pub fn transaction(&self, timing: TransactionTiming) {
        self.transactions.inc();
        if let Some(wait) = timing.wait {
            self.wait.observe(wait.as_secs_f64());
        }
        self.transaction.observe(timing.server.as_secs_f64());
    }
}

/// The metrics of all pools.
#[derive(Clone, Debug)]
pub(super) struct Pools {
    servers: IntGaugeVec,
    waiting: IntGaugeVec,
    oldest_wait: GaugeVec,
    sizes: IntGaugeVec,
    up: IntGaugeVec,
    connects: IntCounterVec,
    connect_failures: IntCounterVec,
    transactions: IntCounterVec,
    pinned: IntGaugeVec,
    pins: IntCounterVec,
    wait: HistogramVec,
    transaction: HistogramVec,
}

impl Pools {
    pub(super) fn new() -> Result<Self> {
        let gauges =
            |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let histograms = |name: &str, help: &str| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), &POOL)
        };
        Ok(Self {
            servers: gauges(
                "howdah_pool_server_connections",
                "Server connections by what they do.",
                &["database", "user", "state"],
            )?,
            waiting: gauges(
                "howdah_pool_waiting_clients",
                "Clients that wait for a server connection.",
                &POOL,
            )?,
            oldest_wait: GaugeVec::new(
                Opts::new(
                    "howdah_pool_oldest_wait_seconds",
                    "How long the client has waited that waits longest; 0 when nobody waits.",
                ),
                &POOL,
            )?,
            sizes: gauges(
                "howdah_pool_max_server_connections",
                "Server connections that there may be, without the reserve.",
                &POOL,
            )?,
            up: gauges(
                "howdah_pool_up",
                "0 while no server connection can be made and none is left, else 1.",
                &POOL,
            )?,
            connects: counters("howdah_pool_connects_total", "Server connections made.", &POOL)?,
            connect_failures: counters(
                "howdah_pool_connect_failures_total",
                "Server connections that could not be made.",
                &POOL,
            )?,
            transactions: counters("howdah_pool_transactions_total", "Transactions that ended.", &POOL)?,
            pinned: gauges(
                "howdah_pinned_connections",
                "Server connections that a client keeps beyond its transactions.",
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
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<()> {
        let all: [Box<dyn Collector>; 12] = [
            Box::new(self.servers.clone()),
            Box::new(self.waiting.clone()),
            Box::new(self.oldest_wait.clone()),
            Box::new(self.sizes.clone()),
            Box::new(self.up.clone()),
            Box::new(self.connects.clone()),
            Box::new(self.connect_failures.clone()),
            Box::new(self.transactions.clone()),
            Box::new(self.pinned.clone()),
            Box::new(self.pins.clone()),
            Box::new(self.wait.clone()),
            Box::new(self.transaction.clone()),
        ];
        all.into_iter().try_for_each(|metric| registry.register(metric))
    }

    /// The handles for one pool.
    pub(super) fn pool(&self, key: &PoolKey) -> PoolMetrics {
        let labels: [&str; 2] = [&key.database, &key.user];
        let server = |state: &str| self.servers.with_label_values(&[&key.database, &key.user, state]);
        let reason = |word| [&*key.database, &*key.user, word];
        let pool = PoolMetrics {
            pinned: Leaves::PINS.map(|(_, word)| self.pinned.with_label_values(&reason(word))),
            pins: Leaves::PINS.map(|(_, word)| self.pins.with_label_values(&reason(word))),
            active: server("active"),
            idle: server("idle"),
            connecting: server("connecting"),
            waiting: self.waiting.with_label_values(&labels),
            oldest_wait: self.oldest_wait.with_label_values(&labels),
            size: self.sizes.with_label_values(&labels),
            up: self.up.with_label_values(&labels),
            connects: self.connects.with_label_values(&labels),
            connect_failures: self.connect_failures.with_label_values(&labels),
            transactions: self.transactions.with_label_values(&labels),
            wait: self.wait.with_label_values(&labels),
            transaction: self.transaction.with_label_values(&labels),
        };
        pool.up.set(1);
        pool
    }
}
