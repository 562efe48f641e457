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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::observe::{Format, Metrics};

    fn waiting(tenant: &str, clients: u64, seconds: u64) -> WaitingTenant {
        let oldest = Duration::from_secs(seconds);
        WaitingTenant { database: "app".into(), tenant: tenant.into(), clients, oldest }
    }

    #[test]
    fn who_waits_longest_has_labels_and_who_waits_no_more_has_none() {
        let metrics = Metrics::new().unwrap();
        metrics.publish_waiting(
            vec![waiting("a", 1, 5), waiting("b", 2, 9), waiting("c", 4, 1), waiting("other", 8, 2)],
            2,
        );
        let text = metrics.render(Format::Text, None);
        for line in [
            r#"howdah_tenant_waiting_clients{database="app",tenant="a"} 1"#,
            r#"howdah_tenant_waiting_clients{database="app",tenant="b"} 2"#,
            r#"howdah_tenant_waiting_clients{database="app",tenant="other"} 12"#,
            r#"howdah_tenant_oldest_wait_seconds{database="app",tenant="b"} 9"#,
            r#"howdah_tenant_oldest_wait_seconds{database="app",tenant="other"} 2"#,
        ] {
            assert!(text.lines().any(|l| l == line), "lacks {line}:\n{text}");
        }
        metrics.publish_waiting(vec![waiting("c", 1, 1)], 2);
        let text = metrics.render(Format::Text, None);
        assert_eq!(text.lines().filter(|l| l.starts_with("howdah_tenant_waiting_clients{")).count(), 1);
        metrics.publish_waiting(Vec::new(), 0);
        assert!(!metrics.render(Format::Text, None).contains("howdah_tenant_"));
    }
}
