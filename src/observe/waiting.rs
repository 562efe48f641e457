//! Tenants that wait for a server connection, so that one that gets nothing is seen while it gets nothing.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry, Result};

use super::OTHER;

/// A tenant of which somebody waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingTenant {
    /// The database, as clients call it.
    pub database: Arc<str>,
    /// The tenant.
    pub tenant: Arc<str>,
    /// Clients that wait.
    pub clients: u64,
    /// How long the one has waited who waits longest.
    pub oldest: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Waiting {
    clients: IntGaugeVec,
    oldest: GaugeVec,
}

impl Waiting {
    pub(super) fn new() -> Result<Self> {
        let labels = ["database", "tenant"];
        Ok(Self {
            clients: IntGaugeVec::new(
                Opts::new(
                    "howdah_tenant_waiting_clients",
                    "Clients of a tenant that wait for a server connection; tenants that do not wait have no line.",
                ),
                &labels,
            )?,
            oldest: GaugeVec::new(
                Opts::new(
                    "howdah_tenant_oldest_wait_seconds",
                    "How long the client of a tenant has waited that waits longest.",
                ),
                &labels,
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<()> {
        registry.register(Box::new(self.clients.clone()) as Box<dyn Collector>)?;
        registry.register(Box::new(self.oldest.clone()))
    }

    /// These wait now. At most `most` have labels of their own, those first that wait longest.
    pub(super) fn publish(&self, mut waiting: Vec<WaitingTenant>, most: usize) {
        self.clients.reset();
        self.oldest.reset();
        waiting.sort_unstable_by_key(|tenant| Reverse(tenant.oldest));
        for (n, tenant) in waiting.iter().enumerate() {
            let labels = [&*tenant.database, if n < most { &*tenant.tenant } else { OTHER }];
            let clients = i64::try_from(tenant.clients).unwrap_or(i64::MAX);
            self.clients.with_label_values(&labels).add(clients);
            let oldest = self.oldest.with_label_values(&labels);
            oldest.set(oldest.get().max(tenant.oldest.as_secs_f64()));
        }
    }
}
