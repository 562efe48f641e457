//! Where entries lie: `quick_cache`, bounded in bytes.

use std::fmt;
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::entry::Entry;
use super::key::Key;

/// Shards are locked one by one; more of them than this bring nothing.
const MAX_SHARDS: u64 = 32;
/// A shard holds at least so many of the largest entries, or large ones would throw each other out.
const LARGEST_IN_SHARD: u64 = 16;
/// What entries weigh, roughly. The store remembers half as many keys that went as it would hold of these.
const TYPICAL: u64 = 4096;

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Arc<Entry>> for Bytes {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        entry.weight()
    }
}

/// Hands out what had to go, so that it is dropped without the shard's lock.
#[derive(Clone)]
struct Collect;

impl Lifecycle<Key, Arc<Entry>> for Collect {
    type RequestState = Vec<Arc<Entry>>;

    fn on_evict(&self, gone: &mut Self::RequestState, _: Key, entry: Arc<Entry>) {
        gone.push(entry);
    }
}

/// All entries of the process.
pub(super) struct Shelf {
    entries: Cache<Key, Arc<Entry>, Bytes, DefaultHashBuilder, Collect>,
}

impl Shelf {
    /// For so many bytes, and entries of at most `max_entry`.
    pub(super) fn new(max_memory: u64, max_entry: u64) -> Self {
        let room = max_entry.saturating_mul(LARGEST_IN_SHARD).max(1);
        let shards = (max_memory / room).clamp(1, MAX_SHARDS);
        // The store rounds up to a power of two.
        let shards = 1_u64 << shards.ilog2();
        let options = OptionsBuilder::new()
            .shards(shards as usize)
            .weight_capacity(max_memory)
            .estimated_items_capacity((max_memory / TYPICAL) as usize)
            .build();
        let entries = match options {
            Ok(options) => Cache::with_options(options, Bytes, DefaultHashBuilder::default(), Collect),
            // It misses nothing that it asks for; but here is no place to panic.
            Err(_) => Cache::with(0, max_memory, Bytes, DefaultHashBuilder::default(), Collect),
        };
        Self { entries }
    }

    pub(super) fn get(&self, key: Key) -> Option<Arc<Entry>> {
        self.entries.get(&key)
    }

    /// As `get`, but does not count as use.
    pub(super) fn peek(&self, key: Key) -> Option<Arc<Entry>> {
        self.entries.peek(&key)
    }

    /// Puts it in the place of what has its key, and returns what had to go: that, others, or itself.
    pub(super) fn put(&self, entry: &Arc<Entry>) -> Vec<Arc<Entry>> {
        let mut gone = Vec::new();
        self.entries.insert_with_lifecycle(entry.key(), Arc::clone(entry), &mut gone);
        gone
    }

    pub(super) fn remove_if(&self, key: Key, judge: impl FnOnce(&Entry) -> bool) -> Option<Arc<Entry>> {
        self.entries.remove_if(&key, |entry| judge(entry)).map(|(_, entry)| entry)
    }

    /// Every entry, one by one; no lock is held between two.
    pub(super) fn each(&self) -> impl Iterator<Item = Arc<Entry>> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shelf({} entries, {} bytes)", self.len(), self.bytes())
    }
}
