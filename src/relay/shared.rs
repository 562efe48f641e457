//! What all sessions of the process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clients::Clients;
use super::follow::Followers;
use super::listen::Hubs;
use super::tenants::Tenants;
use crate::observe::{Metrics, Observer};
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
    /// Transactions that keep a server connection for so long are logged, where statements are not measured.
    pub slow: Option<Duration>,
    /// Where it is told what statements take; `None`: nowhere.
    pub observer: Option<Arc<Observer>>,
    /// Tenants in use; `None` without tenancy.
    pub tenants: Option<Arc<Tenants>>,
    /// Who listens to what.
    pub(super) hubs: Hubs,
    /// Which server databases are followed.
    pub(super) followers: Followers,
    draining: AtomicBool,
}

impl Shared {
    /// Nothing in it yet.
    pub fn new(
        metrics: Metrics,
        slow: Option<Duration>,
        tenants: Option<Arc<Tenants>>,
        observer: Option<Arc<Observer>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            clients: Clients::default(),
            interner: Interner::default(),
            hubs: Hubs::new(metrics.clone()),
            followers: Followers::default(),
            metrics,
            slow,
            observer,
            tenants,
            draining: AtomicBool::new(false),
        })
    }

    /// No new client is welcome, and each session ends when its transaction does.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.clients.drain();
    }

    /// All sessions have ended: what was kept for them ends too.
    pub fn close(&self) {
        self.followers.close();
        self.hubs.close();
    }

    /// True after [`Self::drain`].
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
