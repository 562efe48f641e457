//! The right to fetch an answer for all who want it, and the duty to say how it went.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::account::Account;
use super::counters::Miss;
use super::database::Database;
use super::entry::{self, About, Answer, Entry};
use super::flight::{GiveUp, Place, Told};
use super::key::Key;

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is in the cache.
    Kept,
    /// What it was read from was written, or caching was paused, since its query began.
    Outdated,
    /// It is larger than `max_entry`.
    TooBig,
    /// There is no room for it: it is larger than its tenant's share, or than a part of the store.
    Full,
}

/// Held by the one client that asks the server. Dropped without a word, another one takes over.
pub struct Ticket {
    database: Arc<Database>,
    account: Arc<Account>,
    place: Place,
    started: u64,
    born: Instant,
    why: Miss,
    /// Those who wait were not told yet.
    open: bool,
}

impl Ticket {
    pub(super) fn new(
        database: &Arc<Database>,
        account: &Arc<Account>,
        place: Place,
        (started, born): (u64, Instant),
        why: Miss,
    ) -> Self {
        account.each(|counters| counters.flights.up());
        Self {
            database: Arc::clone(database),
            account: Arc::clone(account),
            place,
            started,
            born,
            why,
            open: true,
        }
    }

    /// What it is for.
    pub fn key(&self) -> Key {
        self.place.key
    }

    /// The database's clock when the ticket was made, or at [`Self::begin`].
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Why there was nothing to serve.
    pub fn why(&self) -> Miss {
        self.why
    }

    /// The query goes to the server now; nothing of it may have gone before. Without this call the time
    /// since the ticket was made counts as the query's.
    pub fn begin(&mut self, now: Instant) {
        self.started = self.database.clock();
        self.born = now;
    }

    /// Keeps the answer, if it is still good, and tells those who wait.
    pub fn store(mut self, answer: Answer, about: About, now: Instant) -> Stored {
        let store = Arc::clone(self.database.store());
        let size = answer.body.len().saturating_add(answer.columns.as_ref().map_or(0, Vec::len));
        if size > store.limits.max_entry {
            self.refuse(now);
            return Stored::TooBig;
        }
        if entry::weight(&answer, &about) > store.share() {
            self.refuse(now);
            return Stored::Full;
        }
        let about = About { ttl: store.jittered(self.key(), about.ttl), ..about };
        let catalog = about.catalog;
        let since = (self.started, self.born);
        let entry =
            Entry::new(self.key(), store.next_number(), since, Arc::clone(&self.account), answer, about);
        // What happens from here on needs no second look: it ticks after this query began, and so ends the entry.
        if !entry.is_good() || !self.database.takes(self.started, catalog) {
            return self.outdated();
        }
        let gone = store.shelf.put(&entry);
        for other in gone.iter().filter(|other| other.key() != entry.key()) {
            other.account().each(|counters| counters.evictions.up());
        }
        if gone.iter().any(|other| other.number() == entry.number()) {
            self.refuse(now);
            return Stored::Full;
        }
        drop(gone);
        self.account.stored(&entry, store.share(), &store.shelf);
        self.account.each(|counters| counters.stores.up());
        self.tell(Told::Stored);
        Stored::Kept
    }

    /// The answer cannot be kept: those who wait ask for themselves.
    pub fn give_up(mut self, why: GiveUp, now: Instant) {
        match why {
            GiveUp::TooBig => self.refuse(now),
            GiveUp::NotKept => self.tell(Told::Dispersed),
        }
    }

    /// The answer is there already: another flight ended just before this one began.
    pub(super) fn found(mut self) {
        self.tell(Told::Stored);
    }

    fn outdated(&mut self) -> Stored {
        self.open = false;
        self.account.each(|counters| counters.outdated.up());
        self.database.pass_on(self.place, true);
        Stored::Outdated
    }

    fn refuse(&mut self, now: Instant) {
        self.open = false;
        self.database.flights().refuse(self.place, now);
    }

    fn tell(&mut self, told: Told) {
        self.open = false;
        self.database.flights().end(self.place, told);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.account.each(|counters| counters.flights.down());
        if self.open {
            self.database.pass_on(self.place, false);
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.place.key)
    }
}
