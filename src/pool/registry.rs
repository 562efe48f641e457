//! All pools, and what pools of one database share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::core::{Pool, PoolConfig};
use crate::backend::Connecting;
use crate::ids::{BackendId, PoolKey};

/// `max_db_connections`: one bound for all pools of a database.
#[derive(Debug, Default)]
pub struct DatabaseLimit {
    used: AtomicUsize,
    pools: Mutex<Vec<Weak<Pool>>>,
}

impl DatabaseLimit {
    /// Takes a place if one is free.
    pub(super) fn take(&self, max: Option<usize>) -> bool {
        let max = max.unwrap_or(usize::MAX);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1)).is_ok()
    }

    /// Gives it back.
    pub(super) fn give(&self) {
        self.used.fetch_sub(1, Ordering::AcqRel);
    }

    /// Closes a resting connection of another pool, so that its place becomes free.
    pub(super) fn make_room(&self, not: Option<&Pool>) -> bool {
        let pools: Vec<Arc<Pool>> = self.pools.lock().iter().filter_map(Weak::upgrade).collect();
        let is_it = |pool: &Arc<Pool>| not.is_some_and(|not| std::ptr::eq(Arc::as_ptr(pool), not));
        pools.iter().any(|pool| !is_it(pool) && pool.close_one_idle())
    }
}

/// A place among `max_db_connections` for a server connection that is in no pool; given back on drop. Clients that
/// wait for one get it with the next [`Pool::tick`].
#[derive(Debug)]
pub struct DatabasePlace {
    limit: Arc<DatabaseLimit>,
}

impl Drop for DatabasePlace {
    fn drop(&mut self) {
        self.limit.give();
    }
}

impl Pool {
    /// A place for a server connection of this pool's kind that is in no pool, as [`Registry::place`] gives it. `None`
    /// also when it would be the only one: nobody could use the database then.
    pub fn place(&self) -> Option<DatabasePlace> {
        let max = self.settings().max_db_connections;
        if max.is_some_and(|max| max < 2) {
            return None;
        }
        let limit = Arc::clone(&self.limit);
        let taken = limit.take(max) || (limit.make_room(None) && limit.take(max));
        taken.then(|| DatabasePlace { limit })
    }

    /// The number of a server connection that is in no pool.
    pub fn next_id(&self) -> BackendId {
        next_id(&self.ids)
    }

    /// Makes a connection as this pool's are, which is in no pool. Whoever asks has a place for it.
    pub fn connect(&self, worker: usize) -> Connecting {
        self.config.connector.connect(next_id(&self.ids), worker)
    }
}

/// All pools.
#[derive(Debug, Default)]
pub struct Registry {
    pools: DashMap<PoolKey, Arc<Pool>>,
    limits: DashMap<Arc<str>, Arc<DatabaseLimit>>,
    ids: Arc<AtomicU64>,
}

impl Registry {
    /// The pool for this key, made by `config` when it is asked for the first time.
    pub fn pool(&self, key: &PoolKey, config: impl FnOnce() -> PoolConfig) -> Arc<Pool> {
        if let Some(pool) = self.pools.get(key) {
            return Arc::clone(&pool);
        }
        let limit = Arc::clone(&self.limits.entry(Arc::clone(&key.database)).or_default());

        self.pools
            .entry(key.clone())
            .or_insert_with(|| {
                let pool =
                    Arc::new(Pool::new(key.clone(), config(), Arc::clone(&limit), Arc::clone(&self.ids)));
                let mut pools = limit.pools.lock();
                pools.retain(|p| p.strong_count() > 0);
                pools.push(Arc::downgrade(&pool));
                drop(pools);
                pool
            })
            .clone()
    }

    /// A place for a server connection to `database` that is in no pool, if need be that of a connection that
    /// rests in one. `None`: all of `max` are in use.
    pub fn place(&self, database: &Arc<str>, max: Option<usize>) -> Option<DatabasePlace> {
        let limit = Arc::clone(&self.limits.entry(Arc::clone(database)).or_default());
        let taken = limit.take(max) || (limit.make_room(None) && limit.take(max));
        taken.then(|| DatabasePlace { limit }) // made only when taken: dropped, it gives back
    }

    /// The number of a server connection that is in no pool.
    pub fn next_id(&self) -> BackendId {
        next_id(&self.ids)
    }

    /// All pools there are.
    pub fn all(&self) -> Vec<Arc<Pool>> {
        self.pools.iter().map(|entry| Arc::clone(entry.value())).collect()
    }
}

/// The next number for a server connection.
pub(super) fn next_id(ids: &AtomicU64) -> BackendId {
    BackendId(ids.fetch_add(1, Ordering::Relaxed) + 1)
}
