//! One pool: the connections of one login to one database.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::lease::{Kind, Lease, PinReason};
use super::open::Failure;
use super::queue::Queue;
use super::recover;
use super::registry::DatabaseLimit;
use super::share::{Places, Share};
use super::slots::{Limits, Slots};
use super::waiter::{Cell, Waiter};
use crate::backend::{Backend, BackendHandle, Connector};
use crate::cache::Caching;
use crate::config::{PoolMode, PoolSettings};
use crate::ids::{ClientId, PinMode, PoolKey};
use crate::observe::PoolMetrics;
use crate::session::{PinGate, Settings};
use crate::wire::{Parameters, PgError};

/// Server connections that one pool makes at the same time.
const CONNECTING: usize = 8;
/// What leaves nothing of a session, whatever was done in it.
pub const EVERYTHING: &str = "DISCARD ALL";
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
    /// What it has of the cache; `None`: nothing of it is cached.
    pub caching: Option<Arc<Caching>>,
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
    /// It wants the connection that it used last, if that rests and nobody has used it since.
    pub last: bool,
    /// Its [`crate::session::Settings::id`].
    pub settings: u64,
    /// Whose transaction it is.
    pub share: Share,
    /// A connection that another tenant used last must be cleaned first; so it is taken only when no new one
    /// may be made. Whoever gets one sees it in [`Lease::last_tenant`] and cleans it.
    pub strict: bool,
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
    gate: Arc<PinGate>,
    /// Times that a connection was lent.
    pub(super) lent: AtomicU64,
    born: Instant,
}

#[derive(Default)]
pub(super) struct Inner {
    #[allow(clippy::vec_box)] // a connection moves between here, a lease and a waiter as one pointer
    pub(super) idle: Vec<Box<Backend>>,
    pub(super) queue: Queue<Arc<Cell>>,
    pub(super) slots: Slots,
    pub(super) failure: Option<Failure>,
    /// All connections that exist.
    pub(super) servers: Vec<Arc<BackendHandle>>,
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
        let settings = &config.settings;
        // In session mode each client has its connection anyway.
        let mode = if settings.pool_mode == PoolMode::Session { PinMode::Never } else { settings.pin };
        let gate = PinGate::new(mode, settings.most_pinned(), &key.to_string());
        Self { key, config, inner: Mutex::default(), limit, ids, gate, lent: AtomicU64::new(0), born: now() }
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

    /// Times that a connection was lent.
    pub fn lent(&self) -> u64 {
        self.lent.load(Ordering::Relaxed)
    }

    /// What it has of the cache.
    pub fn caching(&self) -> Option<&Arc<Caching>> {
        self.config.caching.as_ref()
    }

    /// Who may keep a connection of it.
    pub fn gate(&self) -> &Arc<PinGate> {
        &self.gate
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

    /// What removes another client's traces (of a `strict` one everything, see [`EVERYTHING`]): never nothing, whatever the configuration says.
    pub fn cleaning_query(&self) -> String {
        let query = self.reset_query();
        if query.is_empty() { EVERYTHING.to_owned() } else { query }
    }

    pub(super) fn limits(&self) -> Limits {
        let settings = self.settings();
        Limits {
            size: settings.default_pool_size,
            reserve: settings.reserve_pool_size,
            connecting: CONNECTING,
        }
    }

    /// How many connections the tenants share now.
    pub(super) fn places(&self, inner: &Inner) -> Places {
        let limits = self.limits();
        let most = limits.size + if inner.use_reserve { limits.reserve } else { 0 };
        let most = self.settings().max_db_connections.map_or(most, |max| most.min(max));
        // What exists can be lent, also beyond the size: the reserve is not closed at once.
        Places::new(most.max(inner.slots.taken()))
    }

    /// Whether another connection may be made for those who wait and may have one.
    pub(super) fn may_open(&self, inner: &Inner, limits: Limits) -> bool {
        let enough = inner.slots.connecting() + 1;
        inner.slots.may_open(enough, limits, inner.use_reserve) // cheap, and mostly false
            && inner.queue.servable(enough, self.places(inner)) == enough
    }

    /// The queue's time.
    pub(super) fn time(&self) -> Duration {
        self.born.elapsed()
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

    /// A client that left traces on connections is gone: cleans those that rest.
    pub fn forget_client(self: &Arc<Self>, client: ClientId) {
        let mut inner = self.inner.lock();
        let is_its = |b: &mut Box<Backend>| b.owner.is_some_and(|(owner, _)| owner == client);
        let left: Vec<_> = inner.idle.extract_if(.., is_its).collect();
        drop(inner);
        for backend in left {
            recover::spawn(Arc::clone(self), backend, true);
        }
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
        let time = self.time();
        let mut inner = self.inner.lock();
        inner.queue.expire(time);
        if inner.queue.is_empty() {
            return;
        }
        let expired = inner.queue.extract(time, |cell| over(cell, settings.query_wait_timeout));
        let at_limit = |share: Share| inner.queue.in_use(share.tenant) >= share.max_connections;
        let expired: Vec<_> = expired.into_iter().map(|cell| (at_limit(cell.want.share), cell)).collect();
        inner.use_reserve = settings.reserve_pool_size > 0
            && inner.queue.oldest().is_some_and(|cell| over(cell, settings.reserve_pool_timeout));
        let hopeless = self.hopeless(&inner);
        let lost = if hopeless.is_some() { inner.queue.extract(time, |_| true) } else { Vec::new() };
        drop(inner);
        for (at_limit, cell) in expired {
            cell.refuse(if at_limit { self.tenant_timeout(cell.want.share) } else { self.wait_timeout() });
        }
        if let Some(error) = hopeless {
            for cell in lost {
                cell.refuse(error.clone());
            }
        }
        self.go_on(worker);
    }

    fn tenant_timeout(&self, share: Share) -> PgError {
        let text = "the tenant's server connections did not become free in time (query_wait_timeout)";
        let hint = format!(
            "The tenant may have {} connections of the pool {}; see max_server_connections, or shorten transactions.",
            share.max_connections, self.key
        );
        PgError::error("53400", text).hint(hint)
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
        let waiting = inner.queue.extract(self.time(), |_| true);
        drop(inner);
        for backend in idle {
            self.close(backend);
        }
        for cell in waiting {
            cell.refuse(PgError::fatal("57P01", "the proxy is shutting down"));
        }
    }

    /// Brings the gauges up to date; for whoever reads them.
    pub fn publish(&self) {
        let inner = self.inner.lock();
        let metrics = self.metrics();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let oldest = inner.queue.longest().map(|cell| cell.since.elapsed());
        metrics.oldest_wait.set(oldest.unwrap_or_default().as_secs_f64());
        metrics.size.set(count(self.settings().default_pool_size));
        metrics.up.set(i64::from(inner.failure.is_none() || inner.slots.open() > 0));
        metrics.connecting.set(count(inner.slots.connecting()));
        metrics.idle.set(count(inner.idle.len()));
        metrics.active.set(count(inner.slots.open().saturating_sub(inner.idle.len())));
        metrics.waiting.set(count(inner.queue.len()));
        for (reason, pinned) in metrics.pinned.iter().enumerate() {
            pinned.set(count(self.gate.pinned(reason)));
        }
    }
}

/// Time, for [`Failure`].
pub(super) fn now() -> Instant {
    Instant::now()
}
