//! The cache of the process.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::counters::Counter;
use super::database::Database;
use super::entry::{Entry, EntryInfo, State};
use super::flight::Flights;
use super::key::{Key, Prefix};
use super::shelf::Shelf;
use super::sync::RwLock;

/// Times to live below this are not shortened: queries of different lengths spread their ends already.
const SHORTEST_JITTERED: Duration = Duration::from_secs(5);

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of all entries, with their overhead.
    pub max_memory: u64,
    /// Bytes of one answer.
    pub max_entry: usize,
    /// The part of `max_memory` that one tenant of one database may have (0 to 1).
    pub tenant_share: f64,
    /// By which part a time to live may be shortened, so that entries do not end together (0 to 1).
    pub jitter: f64,
}

/// What somebody wants to be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Everything.
    All,
    /// What was read from a table; without a schema, from any of that name.
    Table {
        /// Its schema.
        schema: Option<String>,
        /// Its name.
        name: String,
    },
    /// What has a tag.
    Tag(String),
    /// What is of a tenant.
    Tenant(String),
}

/// What is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What all databases share.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) limits: Limits,
    pub(super) shelf: Shelf,
    pub(super) flights: Flights,
    numbers: AtomicU64,
}

impl Store {
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Bytes that one account may have.
    pub(super) fn share(&self) -> u64 {
        (self.limits.max_memory as f64 * self.limits.tenant_share.clamp(0.0, 1.0)) as u64
    }

    /// A time to live, shortened by a part that is different for each key and moment.
    pub(super) fn jittered(&self, key: Key, ttl: Duration) -> Duration {
        if ttl < SHORTEST_JITTERED {
            return ttl;
        }
        let part = key.spread(self.numbers.load(Ordering::Relaxed)) * self.limits.jitter.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(ttl.as_secs_f64() * (1.0 - part)).unwrap_or(ttl)
    }

    /// Removes entries that are so.
    pub(super) fn remove_where(&self, dead: impl Fn(&Entry) -> bool) -> Purged {
        let mut purged = Purged::default();
        for entry in self.shelf.each().filter(|entry| dead(entry)) {
            if self.shelf.remove_if(entry.key(), |there| there.number() == entry.number()).is_some() {
                purged.entries += 1;
                purged.bytes += entry.weight();
            }
        }
        purged
    }
}

/// The cache of the process.
#[derive(Debug)]
pub struct Cache {
    store: Arc<Store>,
    secret: [u8; 16],
    databases: RwLock<HashMap<Box<str>, Arc<Database>>>,
    /// Entries that a sweep found dead.
    pub swept: Counter,
}

impl Cache {
    /// An empty one.
    pub fn new(limits: Limits) -> Arc<Self> {
        let shelf = Shelf::new(limits.max_memory, limits.max_entry as u64);
        let store = Store { limits, shelf, flights: Flights::new(), numbers: AtomicU64::new(0) };
        Arc::new(Self {
            store: Arc::new(store),
            secret: secret(),
            databases: RwLock::new(HashMap::new()),
            swept: Counter::default(),
        })
    }

    /// How much is kept.
    pub fn limits(&self) -> &Limits {
        &self.store.limits
    }

    /// A server database: `host:port/name`.
    pub fn database(&self, id: &str) -> Arc<Database> {
        if let Some(database) = self.databases.read().get(id) {
            return Arc::clone(database);
        }
        let mut databases = self.databases.write();
        let new = || Database::new(id, Arc::clone(&self.store));
        Arc::clone(databases.entry(id.into()).or_insert_with(new))
    }

    /// All databases that were asked for.
    pub fn databases(&self) -> Vec<Arc<Database>> {
        self.databases.read().values().cloned().collect()
    }

    /// Bytes of all entries.
    pub fn bytes(&self) -> u64 {
        self.store.shelf.bytes()
    }

    /// Entries.
    pub fn entries(&self) -> usize {
        self.store.shelf.len()
    }

    /// The beginning of every key.
    pub fn prefix(&self) -> Prefix {
        Prefix::new(&self.secret)
    }

    /// Ends what somebody names, in every database.
    pub fn purge(&self, what: &Purge) -> Purged {
        self.databases().iter().map(|database| database.purge(what)).fold(Purged::default(), |sum, one| {
            Purged { entries: sum.entries + one.entries, bytes: sum.bytes + one.bytes }
        })
    }

    /// Removes entries that are of no use any more, and forgets what nobody uses. Looks at every entry,
    /// one by one and without a lock in between: not on a thread that clients wait for.
    pub fn sweep(&self, now: Instant) {
        let purged = self.store.remove_where(|entry| matches!(entry.state(now), State::Dead(_)));
        self.swept.add(purged.entries);
        self.store.flights.sweep(now);
        for database in self.databases() {
            database.sweep();
        }
    }

    /// Some of the entries that are good, the largest first.
    pub fn list(&self, max: usize, now: Instant) -> Vec<EntryInfo> {
        let alive = |entry: &Arc<Entry>| !matches!(entry.state(now), State::Dead(_));
        let mut found: Vec<EntryInfo> =
            self.store.shelf.each().filter(alive).take(max).map(|entry| entry.info(now)).collect();
        found.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.key.cmp(&b.key)));
        found
    }
}

/// A key for the hash of keys that nobody outside can know.
fn secret() -> [u8; 16] {
    let mut secret = [0; 16];
    if aws_lc_rs::rand::fill(&mut secret).is_err() {
        // The standard library's are as random as the system lets them be.
        let halves = [RandomState::new().hash_one(0), RandomState::new().hash_one(1)];
        for (byte, from) in secret.iter_mut().zip(halves.iter().flat_map(|half| half.to_le_bytes())) {
            *byte = from;
        }
    }
    secret
}
