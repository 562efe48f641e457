//! The cache as the house has it: how it is made, what it is asked for, what it tells.

use std::sync::Arc;

use crate::cache::{Cache, Counters, Limits, Miss, Source};
use crate::config::Config;
use crate::observe::CacheCounts;

use super::house::House;

/// The cache of a configuration that has one.
pub(super) fn build(config: &Config) -> Option<Arc<Cache>> {
    let cache = config.cache.as_ref()?;
    Some(Cache::new(Limits {
        max_memory: cache.max_memory,
        max_entry: cache.max_entry,
        tenant_share: cache.tenant_share,
        jitter: cache.jitter,
    }))
}

/// What the cache calls a database on a server: two names that clients have for it share what is kept of it.
pub(super) fn server_database(host: &str, port: u16, dbname: &str) -> String {
    format!("{host}:{port}/{dbname}")
}

impl House {
    /// Brings the metrics of the cache up to date.
    pub(super) fn publish_cache(&self) {
        let Some(cache) = &self.cache else { return };
        let metrics = &self.shared.metrics.cache;
        let mut publishing = metrics.publish(cache.limits().max_memory, self.config.observe.max_tenants);
        for database in cache.databases() {
            let counts = counts(&database.counters);
            publishing.database(database.id(), &counts, database.is_paused().is_some());
            for account in database.accounts() {
                if let Some(tenant) = account.tenant() {
                    publishing.tenant(database.id(), tenant, &self::counts(&account.counters));
                }
            }
        }
        publishing.end();
    }
}

fn counts(counters: &Counters) -> CacheCounts {
    CacheCounts {
        hits: counters.hits.get(),
        stale_hits: counters.stale_hits.get(),
        misses: Miss::ALL.map(|reason| (reason.word(), counters.misses(reason))).to_vec(),
        stores: counters.stores.get(),
        outdated: counters.outdated.get(),
        evictions: counters.evictions.get(),
        invalidations: Source::ALL.map(|source| (source.word(), counters.invalidations(source))).to_vec(),
        flights: counters.flights.get(),
        waiters: counters.waiters.get(),
        bytes: counters.bytes.get(),
        entries: counters.entries.get(),
        ttl_only: counters.ttl_only.get(),
    }
}
