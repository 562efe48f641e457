//! Equal statements of different clients are one.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::session::{Intern, Statement};

/// Texts are looked up in so many tables, each with a lock of its own.
const SHARDS: usize = 16;

/// All prepared statements that some client or some server connection has. It holds none of them itself: a
/// statement goes when the last that has it goes.
#[derive(Debug)]
pub struct Interner {
    next: AtomicU64,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    statements: HashMap<u64, Vec<Weak<Statement>>>,
    /// Sweep when so many are in it.
    sweep_at: usize,
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(1),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Interner {
    fn new_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// How many statements are known; those that nobody has any more may still count.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().statements.len()).sum()
    }

    /// True when none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Intern for Interner {
    fn intern(&self, body: &[u8], scope: u64, standard_strings: bool) -> Arc<Statement> {
        let hash = self.hasher.hash_one((body, scope, standard_strings));
        let Some(shard) = self.shards.get(hash as usize % SHARDS) else {
            return self.unnamed(body, standard_strings);
        };
        let mut shard = shard.lock();
        let known = shard.statements.get(&hash).and_then(|list| {
            // A hash is no proof: compare the text.
            list.iter().filter_map(Weak::upgrade).find(|s| s.is_current() && *s.body == *body)
        });
        if let Some(statement) = known {
            return statement;
        }
        let statement = Arc::new(Statement::new(self.new_id(), body, standard_strings));
        if shard.statements.len() >= shard.sweep_at {
            shard.statements.retain(|_, list| {
                list.retain(|s| s.strong_count() > 0);
                !list.is_empty()
            });
            let sweep_at = (shard.statements.len() * 2).max(256);
            shard.sweep_at = sweep_at;
            shard.statements.shrink_to(sweep_at);
        }
        shard.statements.entry(hash).or_default().push(Arc::downgrade(&statement));
        statement
    }

    fn unnamed(&self, body: &[u8], standard_strings: bool) -> Arc<Statement> {
        Arc::new(Statement::unnamed(self.new_id(), body, standard_strings))
    }
}
