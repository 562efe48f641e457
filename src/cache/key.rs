//! What an entry is found by.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

/// 128 bits of everything that an answer depends on. Two different questions have the same key with a
/// probability that nobody can raise without knowing this process's secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    // Two halves, not one u128: its alignment would cost eight bytes in every slot of the store.
    high: u64,
    low: u64,
}

impl Key {
    /// Half of it: enough to tell questions of one client apart.
    pub fn half(self) -> u64 {
        self.low
    }

    /// One of `shards` (a power of two).
    pub(super) fn shard(self, shards: usize) -> usize {
        self.low as usize & shards.wrapping_sub(1)
    }
}

impl Key {
    /// Something between 0 and 1 that another `salt` makes another.
    pub(super) fn spread(self, salt: u64) -> f64 {
        let mixed = (self.high ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A key in the making. What many keys begin with (database, login, tenant, settings) is hashed once and
/// copied for each.
///
/// Parts are hashed with their lengths, so that `ab`, `c` and `a`, `bc` differ; a list whose length varies
/// needs [`Prefix::count`] first.
#[derive(Clone, Copy)]
pub struct Prefix {
    hasher: SipHasher24,
}

impl Prefix {
    /// An empty key.
    pub(super) fn new(secret: &[u8; 16]) -> Self {
        Self { hasher: SipHasher24::new_with_key(secret) }
    }

    /// Adds some bytes.
    pub fn part(&mut self, bytes: &[u8]) {
        self.hasher.write(&(bytes.len() as u64).to_le_bytes());
        self.hasher.write(bytes);
    }

    /// Adds bytes that may be absent; absent differs from empty.
    pub fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.part(bytes),
            None => self.count(u64::MAX),
        }
    }

    /// Adds a number: how many parts follow, or a value of its own.
    pub fn count(&mut self, number: u64) {
        self.hasher.write(&number.to_le_bytes());
    }

    /// The key of what was added so far.
    pub fn key(&self) -> Key {
        let hash = self.hasher.finish128();
        Key { high: hash.h1, low: hash.h2 }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The state would give away the secret.
        f.write_str("Prefix")
    }
}
