//! Making server connections, and what happens while that fails.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::core::{Inner, Pool, now};
use super::registry::next_id;
use crate::backend::{Backend, ConnectError};
use crate::wire::PgError;

/// The first wait after a failed attempt; it doubles up to [`MAX_BACKOFF`].
const BACKOFF: Duration = Duration::from_millis(50);
/// Short enough that clients wait for less than a second once the server is back.
const MAX_BACKOFF: Duration = Duration::from_millis(500);

/// The server cannot be reached.
#[derive(Debug)]
pub(super) struct Failure {
    /// Since when.
    since: Instant,
    /// When to try again.
    retry_at: Instant,
    attempts: u32,
    /// What waiting clients are told.
    pub(super) error: PgError,
    /// Trying again will not help those who wait.
    is_final: bool,
}

impl Failure {
    fn again(before: Option<&Self>, error: &ConnectError) -> Self {
        let now = now();
        let attempts = before.map_or(0, |f| f.attempts + 1);
        let backoff = (BACKOFF * 2_u32.saturating_pow(attempts.min(8))).min(MAX_BACKOFF);
        // Between three and five quarters, so that many pools do not try in step.
        let jitter = u32::try_from(RandomState::new().hash_one(attempts) % 512).unwrap_or(256);
        Self {
            since: before.map_or(now, |f| f.since),
            retry_at: now + backoff * (768 + jitter) / 1024,
            attempts,
            error: error.to_pg_error(),
            is_final: error.is_final(),
        }
    }
}

impl Pool {
    /// The error for clients that need not wait: the server has been out of reach for too long, and it is
    /// not time to try again yet; or it refuses the login itself.
    pub(super) fn hopeless(&self, inner: &Inner) -> Option<PgError> {
        let failure = inner.failure.as_ref()?;
        if inner.slots.open() > 0 || inner.slots.connecting() > 0 || now() >= failure.retry_at {
            return None;
        }
        let patience = self.settings().server_login_retry.unwrap_or_default();
        let over = failure.is_final || failure.since.elapsed() >= patience;
        over.then(|| failure.error.clone())
    }

    /// Makes as many connections as the waiting clients need and the limits allow. `worker` is the caller's.
    /// False if they need more, but none can be made now.
    pub(super) fn open_more(self: &Arc<Self>, worker: usize) -> bool {
        let mut made_room = false;
        loop {
            let mut inner = self.inner.lock();
            let mut limits = self.limits();
            let mut failing = false;
            if let Some(failure) = &inner.failure {
                failing = now() < failure.retry_at;
                limits.connecting = 1; // one to try, so that its return meets no storm
            }
            if inner.closing || !self.may_open(&inner, limits) {
                return true;
            }
            if failing {
                return false;
            }
            if !self.limit.take(self.settings().max_db_connections) {
                drop(inner);
                if made_room || !self.limit.make_room(Some(self)) {
                    return false;
                }
                made_room = true;
                continue;
            }
            inner.slots.begin();
            drop(inner);
            self.spawn_open(worker);
        }
    }

    /// Keeps `min_pool_size` connections, also when nobody waits.
    pub(super) fn keep_minimum(self: &Arc<Self>, worker: usize) {
        let minimum = self.settings().min_pool_size;
        loop {
            let mut inner = self.inner.lock();
            let failing = inner.failure.as_ref().is_some_and(|f| now() < f.retry_at);
            if inner.closing || failing || inner.slots.taken() >= minimum {
                return;
            }
            if !self.limit.take(self.settings().max_db_connections) {
                return;
            }
            inner.slots.begin();
            drop(inner);
            self.spawn_open(worker);
        }
    }

    fn spawn_open(self: &Arc<Self>, worker: usize) {
        let mut attempt = Attempt { pool: Arc::clone(self), over: false };
        tokio::spawn(async move {
            let id = next_id(&attempt.pool.ids);
            let result = attempt.pool.config.connector.connect(id, worker).await;
            attempt.over = true;
            match result {
                Ok(backend) => attempt.pool.opened(backend),
                Err(error) => {
                    let again = attempt.pool.failed(&error);
                    attempt.pool.go_on(worker); // with what rests, as there will be no new one now
                    // Not the tick's business: whoever waits shall not wait a moment longer than needed.
                    tokio::time::sleep(again).await;
                    attempt.pool.go_on(worker);
                }
            }
        });
    }

    fn opened(self: &Arc<Self>, mut backend: Box<Backend>) {
        backend.cache = self.caching().map(|caching| Arc::clone(&caching.database));
        tracing::debug!(server = %backend.id(), pool = %self.key(), pid = backend.handle.cancel.pid(), "server connection made");
        self.metrics().connects.inc();
        let worker = backend.home;
        let mut inner = self.inner.lock();
        inner.slots.opened();
        inner.servers.push(Arc::clone(&backend.handle));
        if inner.failure.take().is_some() {
            tracing::info!(pool = %self.key(), "the server is reachable again");
        }
        if inner.closing {
            drop(inner);
            self.close(backend);
            return;
        }
        if let Some(cell) = self.pop(&mut inner) {
            drop(inner);
            self.hand_over(&cell, backend);
        } else {
            inner.rest(backend);
            drop(inner);
        }
        self.go_on(worker);
    }

    /// Notes a failure; returns how long to wait before the next attempt.
    fn failed(self: &Arc<Self>, error: &ConnectError) -> Duration {
        self.metrics().connect_failures.inc();
        self.limit.give();
        let mut inner = self.inner.lock();
        inner.slots.failed();
        let failure = Failure::again(inner.failure.as_ref(), error);
        if failure.attempts == 0 {
            tracing::warn!(pool = %self.key(), %error, "no server connection could be made");
        } else {
            tracing::debug!(pool = %self.key(), %error, attempt = failure.attempts, "still no server connection");
        }
        let again = failure.retry_at.saturating_duration_since(now());
        inner.failure = Some(failure);
        let hopeless = self.hopeless(&inner);
        let lost = if hopeless.is_some() { inner.queue.extract(self.time(), |_| true) } else { Vec::new() };
        drop(inner);
        if let Some(error) = hopeless {
            for cell in lost {
                cell.refuse(error.clone());
            }
        }
        again
    }
}

/// An attempt to connect; if its task is dropped, its place is given back.
struct Attempt {
    pool: Arc<Pool>,
    over: bool,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.over {
            self.pool.limit.give();
            self.pool.inner.lock().slots.failed();
        }
    }
}
