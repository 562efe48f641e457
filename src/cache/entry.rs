//! One answer that is kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use super::counters::{Counter, Miss};
use super::key::Key;
use super::mark::Mark;

/// Bytes of one entry beside its own allocations: its slot in the store's slab and hash table (both grow by
/// doubling), its place in the account's order, and its part of what the store remembers of keys that went.
const PLACE: u64 = 192;

/// An answer as the server sent it.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The whole RowDescription message; `None` when nobody asked for it.
    pub columns: Option<Vec<u8>>,
    /// All DataRow messages and the CommandComplete.
    pub body: Vec<u8>,
    /// How many rows.
    pub rows: u64,
}

/// What an answer depends on, and how long it may be used.
#[derive(Clone, Debug)]
pub struct About {
    /// The marks of the tables it was read from, and of its tags. (Those of its tenant and its database are
    /// known already.)
    pub marks: Arc<[Arc<Mark>]>,
    /// How long it is good, from when its query began.
    pub ttl: Duration,
    /// How long after that it may be served while somebody fetches a new one.
    pub stale: Duration,
    /// No write is known to end it.
    pub by_ttl_only: bool,
    /// [`Database::generation_of_catalog`](super::Database::generation_of_catalog) as it was before the plan
    /// was looked up; an answer whose plan is older than the catalog is not stored.
    pub catalog: u64,
    /// The head of the text, for lists.
    pub text: Arc<str>,
}

/// One answer that is kept.
pub struct Entry {
    key: Key,
    number: u64,
    started: u64,
    /// When its query began.
    born: Instant,
    fresh_until: Instant,
    stale_until: Instant,
    columns: Option<Box<[u8]>>,
    body: Box<[u8]>,
    rows: u64,
    marks: Arc<[Arc<Mark>]>,
    text: Arc<str>,
    by_ttl_only: bool,
    account: Arc<Account>,
    weight: u64,
    hits: Counter,
}

/// What an entry is good for at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Fresh,
    Stale,
    Dead(Miss),
}

impl Entry {
    pub(super) fn new(
        key: Key,
        number: u64,
        since: (u64, Instant),
        account: Arc<Account>,
        answer: Answer,
        about: About,
    ) -> Arc<Self> {
        let (started, born) = since;
        let weight = weight(&answer, &about);
        let fresh_until = born.checked_add(about.ttl).unwrap_or(born);
        let entry = Self {
            key,
            number,
            started,
            born,
            fresh_until,
            stale_until: fresh_until.checked_add(about.stale).unwrap_or(fresh_until),
            columns: answer.columns.map(Vec::into_boxed_slice),
            body: answer.body.into_boxed_slice(),
            rows: answer.rows,
            marks: about.marks,
            text: about.text,
            by_ttl_only: about.by_ttl_only,
            account,
            weight,
            hits: Counter::default(),
        };
        entry.account.each(|counters| {
            counters.bytes.add(weight);
            counters.entries.up();
            counters.ttl_only.add(u64::from(entry.by_ttl_only));
        });
        Arc::new(entry)
    }

    /// What it is found by.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Unique among all entries of the process.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The RowDescription message, if it was asked for.
    pub fn columns(&self) -> Option<&[u8]> {
        self.columns.as_deref()
    }

    /// All DataRow messages and the CommandComplete, as they came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The database's clock before its query went to the server.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Whose it is.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// No write is known to end it.
    pub(super) fn is_by_ttl_only(&self) -> bool {
        self.by_ttl_only
    }

    /// How long ago its query began.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.born)
    }

    /// Bytes that it costs, all included.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// Counts that it was served.
    pub fn given(&self, now: Instant) {
        self.hits.up();
        self.account.each(|counters| {
            counters.hits.up();
            if now >= self.fresh_until {
                counters.stale_hits.up();
            }
        });
    }

    /// Whether nothing that it was read from was written since.
    pub(super) fn is_good(&self) -> bool {
        self.account.is_untouched_since(self.started)
            && self.marks.iter().all(|mark| mark.generation() <= self.started)
    }

    /// What it is good for.
    pub(super) fn state(&self, now: Instant) -> State {
        if self.is_good() { self.state_for(Duration::MAX, now) } else { State::Dead(Miss::Invalidated) }
    }

    /// What its age lets it be good for, for a client who wants none that is as old as `max_age`.
    pub(super) fn state_for(&self, max_age: Duration, now: Instant) -> State {
        let theirs = self.born.checked_add(max_age).map_or(self.fresh_until, |end| end.min(self.fresh_until));
        // As long after their end as after its own.
        let stale = self.stale_until.saturating_duration_since(self.fresh_until);
        if now < theirs {
            State::Fresh
        } else if now.saturating_duration_since(theirs) < stale {
            State::Stale
        } else {
            State::Dead(Miss::Expired)
        }
    }

    pub(super) fn info(&self, now: Instant) -> EntryInfo {
        EntryInfo {
            key: self.key,
            database: Arc::clone(self.account.database()),
            tenant: self.account.tenant().cloned(),
            text: Arc::clone(&self.text),
            bytes: self.weight,
            rows: self.rows,
            hits: self.hits.get(),
            age: self.age(now),
            ttl_left: self.fresh_until.saturating_duration_since(now),
            by_ttl_only: self.by_ttl_only,
            marks: self.marks.iter().map(|mark| mark.name().to_owned()).collect(),
        }
    }
}

impl Drop for Entry {
    // May run under a lock of the store: nothing but atomics.
    fn drop(&mut self) {
        self.account.each(|counters| {
            counters.bytes.sub(self.weight);
            counters.entries.down();
            counters.ttl_only.sub(u64::from(self.by_ttl_only));
        });
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} rows, {} bytes)", self.key, self.rows, self.weight)
    }
}

/// One line of `SHOW CACHE_ENTRIES`.
#[derive(Clone, Debug)]
pub struct EntryInfo {
    /// What it is found by.
    pub key: Key,
    /// The database's identity.
    pub database: Arc<str>,
    /// The tenant whose it is.
    pub tenant: Option<Arc<str>>,
    /// The head of the text.
    pub text: Arc<str>,
    /// Bytes that it costs.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Times that it was served.
    pub hits: u64,
    /// How long ago its query began.
    pub age: Duration,
    /// How long it is good; zero for one that is stale.
    pub ttl_left: Duration,
    /// No write is known to end it.
    pub by_ttl_only: bool,
    /// What ends it: tables and tags.
    pub marks: Vec<String>,
}

/// What an answer costs: each allocation as jemalloc rounds it, and the places that the store needs for it.
pub(super) fn weight(answer: &Answer, about: &About) -> u64 {
    const COUNTS: usize = 16;
    let columns = answer.columns.as_ref().map_or(0, |columns| rounded(columns.len()));
    let marks = rounded(about.marks.len().saturating_mul(size_of::<Arc<Mark>>()).saturating_add(COUNTS));
    let text = rounded(about.text.len().saturating_add(COUNTS));
    let own = rounded(size_of::<Entry>() + COUNTS);
    PLACE + own + columns + rounded(answer.body.len()) + marks + text
}

/// What jemalloc takes for so many bytes: four sizes between each power of two and the next.
pub(super) fn rounded(bytes: usize) -> u64 {
    let bytes = bytes as u64;
    match bytes {
        0 => 0,
        1..=8 => 8,
        9..=128 => bytes.next_multiple_of(16),
        _ => {
            let step = (bytes - 1).checked_ilog2().map_or(1, |log| 1_u64 << log.saturating_sub(2));
            bytes.checked_next_multiple_of(step).unwrap_or(bytes)
        }
    }
}
