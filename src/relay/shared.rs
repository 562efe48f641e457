//! What all sessions of the process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clients::Clients;
use super::tenants::Tenants;
use crate::observe::Metrics;
use crate::pool::Interner;

/// What all sessions share.
#[derive(Debug)]
pub struct Shared {
    /// The clients.
    pub clients: Clients,
    /// Their prepared statements.
    pub interner: Interner,
    /// What they are counted in.
    pub metrics: Metrics,
    /// Transactions that keep a server connection for so long are logged.
    pub slow: Option<Duration>,
    /// Tenants in use; `None` without tenancy.
    pub tenants: Option<Arc<Tenants>>,
    draining: AtomicBool,
}

impl Shared {
    /// Nothing in it yet.
    pub fn new(metrics: Metrics, slow: Option<Duration>, tenants: Option<Arc<Tenants>>) -> Arc<Self> {
        Arc::new(Self {
            clients: Clients::default(),
            interner: Interner::default(),
            metrics,
            slow,
            tenants,
            draining: AtomicBool::new(false),
        })
    }

    /// No new client is welcome, and each session ends when its transaction does.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.clients.drain();
    }

    /// True after [`Self::drain`].
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
