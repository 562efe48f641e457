//! What Howdah tells about itself (floor 1).
//!
//! What it is for: metrics, the tables of what statements and transactions cost, and the one place that both are
//! handed to.
//!
//! ```text
//! StatementRecord, TransactionRecord ─ Recorder (one a worker) ─→ Observer ─→ rows (console, page)
//!                                                                    └─ families ─┐
//!                    Metrics (counted as it happens: pools, logins, cache …) ─────┴→ exposition
//! ```
//!
//! May import: `wire`, `sql`, `ids`.
//!
//! Invariants:
//! - Handles to metrics are resolved once for each pool; counting is an atomic add.
//! - Label values come from the configuration, never from a client's free text; so their number is bounded.
//!   Tenants, who may come with their clients, have labels of their own up to `[observe] max_tenants`, and of
//!   statements the heaviest few have, without their constants.
//! - Counters never go back while Howdah runs, but for those of one statement or tenant that a RESET empties.

mod cache;
mod exposition;
mod families;
mod histogram;
mod ledger;
mod memo;
mod metrics;
mod observer;
mod pools;
mod record;
mod rest;
mod rows;
mod running;
mod tags;
mod waiting;

pub use cache::{CacheCounts, CacheMetrics, FollowMetrics, Publishing};
pub use exposition::Format;
pub use histogram::{FixedHistogram, Histogram};
pub use ledger::NPlusOneSettings;
pub use memo::ShapeMemo;
pub use metrics::{ListenMetrics, Metrics, ReplicationMetric};
pub use observer::{Observer, ObserverSettings, Recorder};
pub use pools::{PoolMetrics, Timed, TransactionTiming};
pub use record::{Caller, Detail, Phases, Served, StatementRecord, Tags, TransactionRecord};
pub use rows::{
    CallerKey, CallerRow, Counts, DatabaseRow, ErrorRow, NPlusOneRow, Quantiles, SlowRow, StatementDetail,
    StatementRow, TenantRow, Totals,
};
pub use running::{Certificate, CertificateRole, Running};
pub use waiting::WaitingTenant;

/// What is counted under one label that has none of its own.
const OTHER: &str = "other";

#[cfg(test)]
mod tests;
