//! A table that keeps its heaviest rows.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use super::mixing::Mixing;

/// What a row weighs: the more, the longer it stays.
pub(super) trait Weigh {
    /// Its sum.
    fn weight(&self) -> u64;
    /// When it was used last; of two that weigh the same the older one goes.
    fn last_seen(&self) -> u64;
}

/// Where a row is. It leads to nothing once the row has gone, even when another one has its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::observe) struct Place(u64);

impl Place {
    /// Leads to nothing.
    pub(super) const NOWHERE: Self = Self(u64::MAX);

    fn new(slot: usize, generation: u32) -> Self {
        Self((slot as u64) << 32 | u64::from(generation))
    }

    fn slot(self) -> usize {
        (self.0 >> 32) as usize
    }

    /// As a number, for keys.
    pub(super) fn number(self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
struct Slot<K, V> {
    generation: u32,
    /// What the row weighed when it was here before.
    before: u64,
    row: Option<(K, V)>,
}

/// Weights of rows that had to go, so that one that comes again and again wins its place at last.
#[derive(Debug)]
struct Gone(Vec<(u64, u64)>);

impl Gone {
    const SIZE: usize = 1 << 13;

    fn entry(&mut self, hash: u64) -> Option<&mut (u64, u64)> {
        if self.0.is_empty() {
            self.0.resize(Self::SIZE, (0, 0));
        }
        self.0.get_mut(hash as usize % Self::SIZE)
    }

    fn put(&mut self, hash: u64, weight: u64) {
        if let Some(entry) = self.entry(hash) {
            // One that keeps losing its place to another loses half of its weight each time.
            if entry.0 == hash || entry.1 <= weight {
                *entry = (hash, weight);
            } else {
                entry.1 /= 2;
            }
        }
    }

    fn take(&mut self, hash: u64) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        match self.entry(hash) {
            Some(entry) if entry.0 == hash => std::mem::take(entry).1,
            _ => 0,
        }
    }
}

/// Rows by their keys, as many as there may be. When one more comes, the lightest twentieth has to go.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    most: usize,
    index: HashMap<K, u32, Mixing>,
    slots: Vec<Slot<K, V>>,
    free: Vec<u32>,
    gone: Gone,
}

impl<K: Clone + Eq + Hash, V: Weigh> Table<K, V> {
    /// For at most `most` rows, and at least one.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            index: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            gone: Gone(Vec::new()),
        }
    }

    /// Where the row of a key is.
    pub(super) fn find(&self, key: &K) -> Option<Place> {
        let slot = *self.index.get(key)? as usize;
        Some(Place::new(slot, self.slots.get(slot)?.generation))
    }

    /// The row at a place, if it is still there.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut V> {
        let slot = self.slots.get_mut(place.slot()).filter(|slot| slot.generation == place.0 as u32)?;
        slot.row.as_mut().map(|(_, row)| row)
    }

    /// The same to look at.
    pub(super) fn get(&self, place: Place) -> Option<&V> {
        let slot = self.slots.get(place.slot()).filter(|slot| slot.generation == place.0 as u32)?;
        slot.row.as_ref().map(|(_, row)| row)
    }

    /// Whether the row is still there.
    pub(super) fn has(&self, place: Place) -> bool {
        self.get(place).is_some()
    }

    /// Puts in a row that is not there. Those that have to go for it are given to `leave`.
    pub(super) fn insert(&mut self, key: K, row: V, leave: impl FnMut(K, V)) -> Place {
        if self.index.len() >= self.most {
            self.make_room(leave);
        }
        let before = self.gone.take(self.hash(&key));
        let slot = self.free.pop().map_or(self.slots.len(), |slot| slot as usize);
        if slot == self.slots.len() {
            self.slots.push(Slot { generation: 0, before, row: None });
        }
        self.index.insert(key.clone(), slot as u32);
        let Some(into) = self.slots.get_mut(slot) else { return Place::NOWHERE };
        into.before = before;
        into.row = Some((key, row));
        Place::new(slot, into.generation)
    }

    fn hash(&self, key: &K) -> u64 {
        self.index.hasher().hash_one(key)
    }

    #[cold]
    fn make_room(&mut self, mut leave: impl FnMut(K, V)) {
        let weights = self.slots.iter().enumerate().filter_map(|(at, slot)| {
            let (_, row) = slot.row.as_ref()?;
            Some((row.weight().saturating_add(slot.before), row.last_seen(), at))
        });
        let mut weights: Vec<_> = weights.collect();
        let count = (self.most / 20).max(1);
        if count < weights.len() {
            weights.select_nth_unstable(count - 1);
        }
        for (weight, _, at) in weights.into_iter().take(count) {
            let Some(slot) = self.slots.get_mut(at) else { continue };
            slot.generation = slot.generation.wrapping_add(1);
            let Some((key, row)) = slot.row.take() else { continue };
            self.free.push(at as u32);
            self.index.remove(&key);
            let hash = self.hash(&key);
            self.gone.put(hash, weight);
            leave(key, row);
        }
    }

    /// Slots, so that rows can be read in parts.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The rows in some of the slots.
    pub(super) fn rows(&self, slots: std::ops::Range<usize>) -> impl Iterator<Item = (Place, &K, &V)> {
        let from = slots.start;
        let some = self.slots.get(from..slots.end.min(self.slots.len())).unwrap_or_default();
        some.iter().enumerate().filter_map(move |(at, slot)| {
            let (key, row) = slot.row.as_ref()?;
            Some((Place::new(from + at, slot.generation), key, row))
        })
    }

    /// Bytes, without what rows have on the heap.
    pub(super) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<K, V>>()
            + self.index.capacity() * (size_of::<(K, u32)>() + 1) * 8 / 7
            + self.gone.0.capacity() * size_of::<(u64, u64)>()
            + self.free.capacity() * size_of::<u32>()
    }

    /// Forgets all rows; no place leads to them any more.
    pub(super) fn clear(&mut self) {
        self.index.clear();
        self.free.clear();
        self.gone.0.clear();
        for (at, slot) in self.slots.iter_mut().enumerate() {
            slot.generation = slot.generation.wrapping_add(1);
            slot.row = None;
            self.free.push(at as u32);
        }
    }
}
