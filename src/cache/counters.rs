//! What the cache counts: plain numbers, read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that goes up, or up and down.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more.
    pub fn up(&self) {
        self.add(1);
    }

    /// One less.
    pub fn down(&self) {
        self.sub(1);
    }

    /// So many more.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// So many less.
    pub fn sub(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }
}

/// Why an answer did not come from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Miss {
    /// There was none.
    New,
    /// There was one, but its time was up.
    Expired,
    /// There was one, but something it was read from was written.
    Invalidated,
    /// What the text reads is not known yet.
    Learning,
    /// The answer is larger than `max_entry`, or than the tenant's share.
    TooBig,
    /// The session has something of its own that the answer may depend on.
    Private,
    /// The text calls a VOLATILE function.
    Volatile,
    /// The text is none that can be kept.
    NotCacheable,
    /// The session is in a transaction block.
    Transaction,
    /// Caching of the database is paused.
    Paused,
    /// There is one, but this client wrote after its query began.
    OwnWrite,
    /// The mark cannot be read.
    BadMark,
    /// The client wants only some of the rows.
    RowLimit,
    /// Another client asks for the same right now, and this one does not wait.
    Busy,
    /// The mark says off.
    Off,
}

impl Miss {
    /// All of them, in the order of [`Counters::misses`].
    pub const ALL: [Self; 15] = [
        Self::New,
        Self::Expired,
        Self::Invalidated,
        Self::Learning,
        Self::TooBig,
        Self::Private,
        Self::Volatile,
        Self::NotCacheable,
        Self::Transaction,
        Self::Paused,
        Self::OwnWrite,
        Self::BadMark,
        Self::RowLimit,
        Self::Busy,
        Self::Off,
    ];

    /// The word for it, in metrics and in the NOTICE that explains.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Expired => "expired",
            Self::Invalidated => "invalidated",
            Self::Learning => "learning",
            Self::TooBig => "too_big",
            Self::Private => "private",
            Self::Volatile => "volatile",
            Self::NotCacheable => "not_cacheable",
            Self::Transaction => "transaction",
            Self::Paused => "paused",
            Self::OwnWrite => "own_write",
            Self::BadMark => "bad_mark",
            Self::RowLimit => "row_limit",
            Self::Busy => "busy",
            Self::Off => "off",
        }
    }
}

/// Who says that something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A client of Howdah wrote.
    Write,
    /// A client of Howdah changed the catalog.
    Ddl,
    /// `NOTIFY howdah_invalidate`.
    Notify,
    /// The logical replication stream.
    Replication,
    /// `CACHE PURGE` in the console.
    Console,
}

impl Source {
    /// All of them, in the order of [`Counters::invalidations`].
    pub const ALL: [Self; 5] = [Self::Write, Self::Ddl, Self::Notify, Self::Replication, Self::Console];

    /// The word for it, in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Ddl => "ddl",
            Self::Notify => "notify",
            Self::Replication => "replication",
            Self::Console => "console",
        }
    }
}

/// What is counted for a database, and for each of its tenants.
#[derive(Debug, Default)]
pub struct Counters {
    /// Answers that came from memory, stale ones too.
    pub hits: Counter,
    /// Of these, answers that were served while somebody fetched the new one.
    pub stale_hits: Counter,
    /// Marked statements that went to the server.
    misses: [Counter; Miss::ALL.len()],
    /// Answers that were stored.
    pub stores: Counter,
    /// Answers that were not stored because what they were read from had been written meanwhile.
    pub outdated: Counter,
    /// Answers that made room for others before their time.
    pub evictions: Counter,
    /// Times that something was said to be written. (For the database only.)
    invalidations: [Counter; Source::ALL.len()],
    /// Queries that go on for the cache right now.
    pub flights: Counter,
    /// Clients that wait for another's query right now.
    pub waiters: Counter,
    /// Bytes of entries, with their overhead.
    pub bytes: Counter,
    /// Entries.
    pub entries: Counter,
    /// Of these, entries that no write ends, because what they are read from cannot be known.
    pub ttl_only: Counter,
}

impl Counters {
    /// Statements that missed for this reason.
    pub fn misses(&self, why: Miss) -> u64 {
        self.misses.get(why as usize).map_or(0, Counter::get)
    }

    /// Statements that missed.
    pub fn all_misses(&self) -> u64 {
        self.misses.iter().map(Counter::get).sum()
    }

    /// Invalidations that this source told of.
    pub fn invalidations(&self, source: Source) -> u64 {
        self.invalidations.get(source as usize).map_or(0, Counter::get)
    }

    pub(super) fn missed(&self, why: Miss) {
        if let Some(counter) = self.misses.get(why as usize) {
            counter.up();
        }
    }

    pub(super) fn invalidated(&self, source: Source) {
        if let Some(counter) = self.invalidations.get(source as usize) {
            counter.up();
        }
    }
}
