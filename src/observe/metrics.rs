//! What is counted as it happens: handles that are resolved once, and an atomic add for each event.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::cache::CacheMetrics;
use super::exposition::{Exposition, Format};
use super::families::Told;
use super::observer::Observer;
use super::pools::{PoolMetrics, Pools};
use super::running::Running;
use super::waiting::{Waiting, WaitingTenant};
use crate::ids::PoolKey;

/// All metrics of the process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    told: Arc<Mutex<Told>>,
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
    /// The process's own.
    pub running: Running,
    replication: IntGaugeVec,
    replications: IntCounterVec,
    listening_clients: IntGaugeVec,
    listening_channels: IntGaugeVec,
    notifications: IntCounterVec,
    listen_reconnects: IntCounterVec,
    pools: Pools,
    waiting: Waiting,
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
        let gauges =
            |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
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
            running: Running::new()?,
            replication: gauges(
                "howdah_replication_connections",
                "Replication connections that are open.",
                &["database"],
            )?,
            replications: counters(
                "howdah_replication_connections_total",
                "Replication connections that were opened.",
                &["database"],
            )?,
            listening_clients: gauges(
                "howdah_listening_clients",
                "Clients that listen on a shared connection.",
                &["database"],
            )?,
            listening_channels: gauges(
                "howdah_listening_channels",
                "Channels that the shared connection listens to.",
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
            pools: Pools::new()?,
            waiting: Waiting::new()?,
            registry,
            told: Arc::default(),
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let all: [Box<dyn prometheus::core::Collector>; 13] = [
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
        ];
        for metric in all {
            self.registry.register(metric)?;
        }
        self.pools.register(&self.registry)?;
        self.waiting.register(&self.registry)?;
        self.cache.register(&self.registry)?;
        self.running.register(&self.registry)?;
        let process = prometheus::process_collector::ProcessCollector::for_self();
        self.registry.register(Box::new(process))
    }

    /// The handles for one pool.
    pub fn pool(&self, key: &PoolKey) -> PoolMetrics {
        self.pools.pool(key)
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

    /// These tenants wait for a server connection now. At most `most` have labels of their own.
    pub fn publish_waiting(&self, waiting: Vec<WaitingTenant>, most: usize) {
        self.waiting.publish(waiting, most);
    }

    /// All that there is to tell, with what the observer knows if there is one. Takes some milliseconds when there
    /// is much: not on a thread that serves clients.
    pub fn render(&self, format: Format, observer: Option<&Observer>) -> String {
        let mut out = Exposition::new(format, 256 << 10);
        out.gathered(&self.registry.gather());
        if let Some(observer) = observer {
            self.told.lock().write(&mut out, observer);
        }
        out.finish()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::observe::TransactionTiming;

    #[test]
    fn a_transaction_is_counted_in_its_pool() {
        let metrics = Metrics::new().unwrap();
        let pool = metrics.pool(&PoolKey { database: "app".into(), user: "u".into() });
        pool.transaction(TransactionTiming {
            wait: Some(Duration::from_millis(2)),
            server: Duration::from_millis(3),
        });
        pool.transaction(TransactionTiming { wait: None, server: Duration::from_millis(3) });
        let text = metrics.render(Format::Text, None);
        assert!(text.contains(r#"howdah_pool_transactions_total{database="app",user="u"} 2"#));
        assert!(text.contains(r#"howdah_pool_wait_seconds_count{database="app",user="u"} 1"#));
        assert!(text.contains("process_resident_memory_bytes"));
    }
}
