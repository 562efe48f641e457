//! What one tenant of one database has in the cache.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::counters::{Counters, Miss};
use super::entry::Entry;
use super::key::Key;
use super::mark::Mark;
use super::shelf::Shelf;
use super::sync::Mutex;

/// A tenant in a database, or all that is read in it without a tenant. Sessions take it once, when their
/// tenant is known; entries hold it. An entry is for its own account only.
pub struct Account {
    database: Arc<str>,
    tenant: Option<Arc<str>>,
    mark: Arc<Mark>,
    whole: Arc<Mark>,
    /// The tenant's part of the counts.
    pub counters: Counters,
    of_database: Arc<Counters>,
    /// Its entries in the order in which they were stored; some may be gone by now.
    order: Mutex<VecDeque<(Key, u64)>>,
}

impl Account {
    pub(super) fn new(
        database: &Arc<str>,
        tenant: Option<&str>,
        mark: Arc<Mark>,
        whole: &Arc<Mark>,
        counters: &Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            database: Arc::clone(database),
            tenant: tenant.map(Arc::from),
            mark,
            whole: Arc::clone(whole),
            counters: Counters::default(),
            of_database: Arc::clone(counters),
            order: Mutex::new(VecDeque::new()),
        })
    }

    /// The database's identity.
    pub fn database(&self) -> &Arc<str> {
        &self.database
    }

    /// The tenant; `None` for what is read without one.
    pub fn tenant(&self) -> Option<&Arc<str>> {
        self.tenant.as_ref()
    }

    /// What ends everything of this tenant.
    pub fn mark(&self) -> &Arc<Mark> {
        &self.mark
    }

    /// Counts a marked statement that went to the server, for the tenant and its database.
    pub fn miss(&self, why: Miss) {
        self.each(|counters| counters.missed(why));
    }

    /// Counts for the tenant and for its database.
    pub(super) fn each(&self, count: impl Fn(&Counters)) {
        count(&self.counters);
        count(&self.of_database);
    }

    /// Whether nothing of it was written after this tick.
    pub(super) fn is_untouched_since(&self, tick: u64) -> bool {
        self.whole.generation() <= tick && self.mark.generation() <= tick
    }

    /// Notes a new entry, and takes the oldest ones from the shelf until the rest has at most so many bytes.
    pub(super) fn stored(&self, entry: &Entry, most: u64, entries: &Shelf) {
        let mut order = self.order.lock();
        order.push_back((entry.key(), entry.number()));
        // Many of them may have gone by other ways. Looked through only when the list has doubled, so that
        // each is looked at once on average.
        if order.len() as u64 > self.counters.entries.get().saturating_mul(2).saturating_add(64) {
            order.retain(|(key, number)| entries.peek(*key).is_some_and(|entry| entry.number() == *number));
        }
        let mut excess = self.counters.bytes.get().saturating_sub(most);
        // What is taken off is dropped without the lock.
        let mut gone = Vec::new();
        while excess > 0 {
            let Some((key, number)) = order.pop_front() else { break };
            if let Some(entry) = entries.remove_if(key, |entry| entry.number() == number) {
                excess = excess.saturating_sub(entry.weight());
                self.each(|counters| counters.evictions.up());
                gone.push(entry);
            }
        }
        drop(order);
    }

    /// Entries that its order names, those that are gone included.
    #[cfg(test)]
    pub(super) fn noted(&self) -> usize {
        self.order.lock().len()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, {:?})", self.database, self.tenant)
    }
}
