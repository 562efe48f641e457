//! One pool: the connections of one login to one database.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::lease::{Kind, Lease, PinReason};
use super::open::Failure;
use super::queue::{Queue, Ticket};
use super::recover;
use super::registry::DatabaseLimit;
use super::slots::{Limits, Slots};
use super::waiter::{Cell, Waiter};
use crate::backend::{Backend, Connector};
use crate::config::{PoolMode, PoolSettings};
use crate::ids::{ClientId, PoolKey};
use crate::observe::PoolMetrics;
use crate::session::Settings;
use crate::wire::{Parameters, PgError};

/// Of the resting connections, so many are looked at for one that needs no change of settings.
const LOOK_AT: usize = 8;
/// Server connections that one pool makes at the same time.
const CONNECTING: usize = 8;
/// Answers for new clients that are remembered.
const WELCOMES: usize = 256;

/// What a pool is built from.
pub struct PoolConfig {
    /// `[pool]` with what the database and the user override.
    pub settings: PoolSettings,
    /// Makes its connections.
    pub connector: Arc<dyn Connector>,
    /// Where it counts.
    pub metrics: PoolMetrics,
}

/// Who wants a connection.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// The client.
    pub client: ClientId,
    /// The worker that runs its session.
    pub worker: usize,
    /// The client may have left traces on a connection, and wants that one if it rests.
    pub has_traces: bool,
    /// Its [`crate::session::Settings::id`].
    pub settings: u64,
}

/// What comes of asking for a connection.
#[derive(Debug)]
pub enum Acquire {
    /// Here it is.
    Ready(Lease),
    /// All are in use.
    Wait(Waiter),
    /// The server has been out of reach for longer than `server_login_retry`.
    Refused(PgError),
}

/// What a server tells a client that logs in with certain settings: its `ParameterStatus` list.
pub type Welcome = Arc<Parameters>;

/// One pool.
pub struct Pool {
    key: PoolKey,
    pub(super) config: PoolConfig,
    pub(super) inner: Mutex<Inner>,
    pub(super) limit: Arc<DatabaseLimit>,
    pub(super) ids: Arc<AtomicU64>,
}

#[derive(Default)]
pub(super) struct Inner {
    #[allow(clippy::vec_box)] // a connection moves between here, a lease and a waiter as one pointer
    idle: Vec<Box<Backend>>,
    pub(super) queue: Queue<Arc<Cell>>,
    pub(super) slots: Slots,
    pub(super) failure: Option<Failure>,
    welcomes: Vec<(u64, Welcome)>,
    settings: Vec<Weak<Settings>>,
    /// Somebody has waited for longer than `reserve_pool_timeout`.
    pub(super) use_reserve: bool,
    pub(super) closing: bool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.key)
    }
}

impl Pool {
    pub(super) fn new(
        key: PoolKey,
        config: PoolConfig,
        limit: Arc<DatabaseLimit>,
        ids: Arc<AtomicU64>,
    ) -> Self {
        Self { key, config, inner: Mutex::default(), limit, ids }
    }

    /// What it is for.
    pub fn key(&self) -> &PoolKey {
        &self.key
    }

    /// Its settings.
    pub fn settings(&self) -> &PoolSettings {
        &self.config.settings
    }

    /// Its metrics.
    pub fn metrics(&self) -> &PoolMetrics {
        &self.config.metrics
    }

    pub(super) fn lease_kind(&self) -> Kind {
        match self.settings().pool_mode {
            PoolMode::Session => Kind::Pinned(PinReason::SessionMode),
            PoolMode::Transaction | PoolMode::Statement => Kind::Transaction,
        }
    }

    /// What brings a session to rest before another client gets it.
    pub fn reset_query(&self) -> String {
        self.settings().server_reset_query.clone()
    }

    /// What removes another client's traces: never nothing, whatever the configuration says.
    pub fn cleaning_query(&self) -> String {
        let query = self.reset_query();
        if query.is_empty() { "DISCARD ALL".to_owned() } else { query }
    }

    pub(super) fn limits(&self) -> Limits {
        let settings = self.settings();
        Limits {
            size: settings.default_pool_size,
            reserve: settings.reserve_pool_size,
            connecting: CONNECTING,
        }
    }

    /// A connection, or a place in the queue for one. Nobody overtakes those who wait.
    pub fn acquire(self: &Arc<Self>, want: Want) -> Acquire {
        let limits = self.limits();
        let mut inner = self.inner.lock();
        while inner.queue.is_empty() {
            let Some(mut backend) = inner.take_idle(want, limits) else { break };
            drop(inner);
            if backend.is_alive() {
                return Acquire::Ready(Lease::new(Arc::clone(self), backend, want.worker));
            }
            backend.set_broken();
            self.close(backend);
            inner = self.inner.lock();
        }
        if inner.closing {
            return Acquire::Refused(PgError::fatal("57P01", "the proxy is shutting down"));
        }
        if let Some(error) = self.hopeless(&inner) {
            return Acquire::Refused(error);
        }
        let cell = Cell::new();
        let ticket = inner.queue.push(Arc::clone(&cell));
        let room = inner.slots.may_open(inner.queue.len(), limits, inner.use_reserve);
        drop(inner);
        if room {
            self.open_more(want.worker);
        }
        Acquire::Wait(Waiter { pool: Arc::clone(self), cell, ticket, worker: want.worker })
    }

    /// A waiting client goes.
    pub(super) fn leave_queue(&self, ticket: Ticket) {
        self.inner.lock().queue.remove(ticket);
    }

    /// Takes a connection back: for the next in the queue, to rest, or to be closed.
    pub(super) fn give_back(self: &Arc<Self>, mut backend: Box<Backend>) {
        if !backend.is_broken() && !backend.handle.is_calm() {
            recover::spawn(Arc::clone(self), backend, false);
            return;
        }
        let old = self.settings().server_lifetime.is_some_and(|life| backend.age() > life);
        if !backend.is_reusable() || backend.session.is_worn() || old {
            self.close(backend);
            return;
        }
        backend.rest();
        let mut inner = self.inner.lock();
        if inner.closing {
            drop(inner);
            self.close(backend);
        } else if let Some(cell) = inner.queue.pop() {
            drop(inner);
            cell.deliver(Ok(backend));
        } else {
            inner.idle.push(backend);
        }
    }

    /// Closes a connection and gives its place to whoever waits.
    pub(super) fn close(self: &Arc<Self>, backend: Box<Backend>) {
        tracing::debug!(server = %backend.id(), pool = %self.key, "server connection closed");
        let worker = backend.home;
        backend.terminate();
        self.inner.lock().slots.closed();
        self.limit.give();
        self.open_more(worker);
    }

    /// Closes a resting connection, for another pool's sake.
    pub(super) fn close_one_idle(self: &Arc<Self>) -> bool {
        let mut inner = self.inner.lock();
        if inner.idle.is_empty() {
            return false;
        }
        let backend = inner.idle.remove(0);
        drop(inner);
        self.close(backend);
        true
    }

    /// A client that left traces on a connection is gone: cleans the connection if it rests.
    pub fn forget_client(self: &Arc<Self>, client: ClientId) {
        let mut inner = self.inner.lock();
        let Some(at) = inner.idle.iter().position(|b| b.owner == Some(client)) else { return };
        let backend = inner.idle.remove(at);
        drop(inner);
        recover::spawn(Arc::clone(self), backend, true);
    }

    /// One object for all clients that ask for the same settings.
    pub fn share_settings(&self, settings: Settings) -> Arc<Settings> {
        let mut inner = self.inner.lock();
        let known = inner.settings.iter().filter_map(Weak::upgrade).find(|known| **known == settings);
        known.unwrap_or_else(|| {
            let settings = Arc::new(settings);
            inner.settings.retain(|known| known.strong_count() > 0);
            if inner.settings.len() < WELCOMES {
                inner.settings.push(Arc::downgrade(&settings));
            }
            settings
        })
    }

    /// What the server tells a client with these settings, if one like it has logged in before and the
    /// server is not known to be down.
    pub fn welcome(&self, settings: u64) -> Option<Welcome> {
        let inner = self.inner.lock();
        if inner.failure.is_some() && inner.slots.open() == 0 {
            return None;
        }
        inner.welcomes.iter().find(|(id, _)| *id == settings).map(|(_, welcome)| Arc::clone(welcome))
    }

    /// Remembers it.
    pub fn remember_welcome(&self, settings: u64, welcome: Welcome) {
        let mut inner = self.inner.lock();
        inner.welcomes.retain(|(id, _)| *id != settings);
        if inner.welcomes.len() >= WELCOMES {
            inner.welcomes.remove(0);
        }
        inner.welcomes.push((settings, welcome));
    }

    /// True unless the last attempt to reach the server failed and no connection is left.
    pub fn is_reachable(&self) -> bool {
        let inner = self.inner.lock();
        inner.failure.is_none() || inner.slots.open() > 0
    }

    /// What is due: waiting clients whose time is over, attempts to connect, the reserve. Call it often.
    pub fn tick(self: &Arc<Self>, worker: usize) {
        let settings = self.settings();
        let over = |cell: &Cell, limit: Option<Duration>| limit.is_some_and(|l| cell.since.elapsed() >= l);
        let mut inner = self.inner.lock();
        if inner.queue.is_empty() {
            return;
        }
        let expired = inner.queue.extract(|cell| over(cell, settings.query_wait_timeout));
        inner.use_reserve = settings.reserve_pool_size > 0
            && inner.queue.first().is_some_and(|cell| over(cell, settings.reserve_pool_timeout));
        let hopeless = self.hopeless(&inner);
        let lost = if hopeless.is_some() { inner.queue.extract(|_| true) } else { Vec::new() };
        drop(inner);
        for cell in expired {
            cell.deliver(Err(self.wait_timeout()));
        }
        if let Some(error) = hopeless {
            for cell in lost {
                cell.deliver(Err(error.clone()));
            }
        }
        self.open_more(worker);
    }

    fn wait_timeout(&self) -> PgError {
        let unreachable = self.inner.lock().failure.as_ref().map(|f| f.error.clone());
        unreachable.unwrap_or_else(|| {
            PgError::error("53300", "no server connection became free in time (query_wait_timeout)").hint(
                format!(
                    "The pool {} has {} connections; see default_pool_size, or shorten transactions.",
                    self.key,
                    self.settings().default_pool_size
                ),
            )
        })
    }

    /// What is due for resting connections: those too old, too long unused or dead are closed, and
    /// `min_pool_size` is kept. Call it every second or so.
    pub fn housekeep(self: &Arc<Self>, worker: usize) {
        let settings = self.settings();
        let mut inner = self.inner.lock();
        let mut gone = Vec::new();
        let mut keep = Vec::with_capacity(inner.idle.len());
        let mut left = inner.slots.taken();
        for mut backend in std::mem::take(&mut inner.idle) {
            let old = settings.server_lifetime.is_some_and(|life| backend.age() > life);
            let unused = settings.server_idle_timeout.is_some_and(|most| backend.used.elapsed() > most)
                && left > settings.min_pool_size;
            if old || unused || !backend.is_alive() {
                left -= 1;
                gone.push(backend);
            } else {
                keep.push(backend);
            }
        }
        inner.idle = keep;
        drop(inner);
        for backend in gone {
            self.close(backend);
        }
        self.keep_minimum(worker);
    }

    /// Closes resting connections, and each other one when it comes back; nobody gets one any more.
    pub fn shut(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        inner.closing = true;
        let idle = std::mem::take(&mut inner.idle);
        let waiting = inner.queue.extract(|_| true);
        drop(inner);
        for backend in idle {
            self.close(backend);
        }
        for cell in waiting {
            cell.deliver(Err(PgError::fatal("57P01", "the proxy is shutting down")));
        }
    }

    /// Brings the gauges up to date; for whoever reads them.
    pub fn publish(&self) {
        let inner = self.inner.lock();
        let metrics = self.metrics();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.idle.set(count(inner.idle.len()));
        metrics.active.set(count(inner.slots.open().saturating_sub(inner.idle.len())));
        metrics.waiting.set(count(inner.queue.len()));
    }
}

impl Inner {
    /// The resting connection that fits best: the client's own, one with its settings, a clean one, and one
    /// with another client's traces only when no new one may be made.
    fn take_idle(&mut self, want: Want, limits: Limits) -> Option<Box<Backend>> {
        let idle = &mut self.idle;
        if want.has_traces
            && let Some(at) = idle.iter().position(|b| b.owner == Some(want.client))
        {
            return Some(idle.remove(at));
        }
        let fits = |b: &Backend| {
            b.owner.is_none() && b.home == want.worker && b.session.settings().id() == want.settings
        };
        let newest = idle.len().saturating_sub(LOOK_AT);
        let best = idle.iter().skip(newest).rposition(|b| fits(b)).map(|at| at + newest);
        let clean = || idle.iter().rposition(|b| b.owner.is_none());
        if let Some(at) = best.or_else(clean) {
            return Some(idle.swap_remove(at));
        }
        if self.slots.taken() < limits.size { None } else { idle.pop() }
    }

    /// A connection that has just been made rests.
    pub(super) fn rest(&mut self, backend: Box<Backend>) {
        self.idle.push(backend);
    }
}

/// Time, for [`Failure`].
pub(super) fn now() -> Instant {
    Instant::now()
}
