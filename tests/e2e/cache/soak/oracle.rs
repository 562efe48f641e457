//! Which versions of a row may be seen.
//!
//! Each row has one slot here, and a version that only grows: each write takes the next number before it is sent,
//! and no two writes of a slot are under way at one time.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use super::world::{IDS, TENANTS};

/// Rows that are written independently of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// `items`, and `shadow`, which a trigger keeps.
    Items,
    /// `parts`, in two partitions.
    Parts,
    /// `parents`, and `children`, whose foreign key follows.
    Parents,
}

impl Chain {
    pub(super) const ALL: [Self; 3] = [Self::Items, Self::Parts, Self::Parents];
}

#[derive(Default)]
pub(super) struct Slot {
    /// The last version whose commit a client of Howdah was told of.
    told: AtomicU64,
    /// The last version that anybody sent.
    sent: AtomicU64,
    /// Versions that were, or will be, rolled back.
    void: Mutex<HashSet<u64>>,
    /// Commits past Howdah that their client was told of, and when.
    past: Mutex<VecDeque<(u64, Instant)>>,
    /// Held by whoever writes.
    writing: Mutex<()>,
}

/// What a read that begins now may see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) least: u64,
}

impl Slot {
    /// What whoever asks now must at least see, if commits past Howdah may be unknown for so long.
    pub(super) fn bound(&self, unseen: Duration) -> Bound {
        let now = Instant::now();
        let past = self.past.lock().unwrap();
        let known = past.iter().rev().find(|(_, at)| now.duration_since(*at) >= unseen);
        Bound { least: self.told.load(Ordering::SeqCst).max(known.map_or(0, |(version, _)| *version)) }
    }

    /// What is wrong with having seen a version.
    pub(super) fn judge(&self, seen: u64, bound: Bound) -> Result<(), String> {
        let sent = self.sent.load(Ordering::SeqCst);
        if seen < bound.least {
            return Err(format!("saw {seen}, but {} was promised", bound.least));
        }
        if seen > sent {
            return Err(format!("saw {seen}, but nobody wrote more than {sent}"));
        }
        if self.void.lock().unwrap().contains(&seen) {
            return Err(format!("saw {seen}, which was rolled back"));
        }
        Ok(())
    }

    /// The right to write, if nobody else has it.
    pub(super) fn write(&self) -> Option<Write<'_>> {
        match self.writing.try_lock() {
            Ok(guard) => Some(Write { slot: self, _guard: guard }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(_)) => panic!("a writer panicked"),
        }
    }
}

/// A write that is under way.
pub(super) struct Write<'a> {
    slot: &'a Slot,
    _guard: MutexGuard<'a, ()>,
}

impl Write<'_> {
    /// The next version, to be committed.
    pub(super) fn next(&self) -> u64 {
        self.slot.sent.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The next version, to be rolled back.
    pub(super) fn next_void(&self) -> u64 {
        let version = self.slot.sent.load(Ordering::SeqCst) + 1;
        self.slot.void.lock().unwrap().insert(version);
        self.slot.sent.fetch_add(1, Ordering::SeqCst);
        version
    }

    /// Its commit was told to a client of Howdah.
    pub(super) fn told(&self, version: u64) {
        self.slot.told.fetch_max(version, Ordering::SeqCst);
    }

    /// Its commit was told to somebody else.
    pub(super) fn past(&self, version: u64) {
        let mut past = self.slot.past.lock().unwrap();
        past.push_back((version, Instant::now()));
        // Longer ago than any promise reaches; the newest of those stays.
        while past.get(1).is_some_and(|(_, at)| at.elapsed() > Duration::from_secs(120)) {
            past.pop_front();
        }
    }
}

pub(super) struct Oracle(Vec<Slot>);

impl Oracle {
    pub(super) fn new() -> Self {
        Self((0..Chain::ALL.len() * TENANTS * IDS).map(|_| Slot::default()).collect())
    }

    pub(super) fn slot(&self, chain: Chain, tenant: usize, id: usize) -> &Slot {
        &self.0[(chain as usize * TENANTS + tenant) * IDS + id]
    }
}
