//! One query for all who miss the same key.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use super::counters::Miss;
use super::database::Database;
use super::key::Key;
use super::mark::Clock;
use super::sync::Mutex;
use super::ticket::Ticket;

/// How long a key whose answer was too large makes nobody wait.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// Keys of such answers that one shard remembers.
const MAX_REFUSED: usize = 1024;
/// Leaders whose answers may be outdated one after the other before all who wait go to the server
/// themselves: what they read is written faster than it can be read.
const MAX_OUTDATED: u8 = 2;
const SHARDS: usize = 16;

/// What a client that waited does next.
#[derive(Debug)]
pub enum Outcome {
    /// The answer is there: look again.
    Stored,
    /// The one who asked is gone: this one asks now.
    Lead(Ticket),
    /// There will be none: ask without the cache.
    Dispersed,
}

/// Why a leader's answer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// It is larger than `max_entry`. Remembered for a while.
    TooBig,
    /// It was an error, or came with something else that cannot be kept. Others may have better luck.
    NotKept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Stored,
    Lead,
    Dispersed,
}

/// Where one waiter is told.
#[derive(Debug, Default)]
pub(super) struct Seat(Mutex<SeatState>);

#[derive(Debug, Default)]
struct SeatState {
    told: Option<Told>,
    waker: Option<Waker>,
    /// Nobody will look here any more.
    gone: bool,
}

impl Seat {
    /// False: nobody is there.
    fn tell(&self, told: Told) -> bool {
        let mut state = self.0.lock();
        if state.gone {
            return false;
        }
        state.told = Some(told);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn poll(&self, waker: &Waker) -> Poll<Told> {
        let mut state = self.0.lock();
        if let Some(told) = state.told.take() {
            return Poll::Ready(told);
        }
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        Poll::Pending
    }

    /// What was told and not heard.
    fn leave(&self) -> Option<Told> {
        let mut state = self.0.lock();
        state.gone = true;
        state.told.take()
    }
}

#[derive(Debug)]
struct Flight {
    number: u64,
    /// The clock when its leader began, or before.
    started: u64,
    /// Leaders in a row whose answers were outdated.
    outdated: u8,
    next_seat: u64,
    queue: BTreeMap<u64, Arc<Seat>>,
}

#[derive(Debug, Default)]
struct Shard {
    flights: HashMap<Key, Flight>,
    refused: HashMap<Key, Instant>,
    next_flight: u64,
}

impl Shard {
    fn flight(&mut self, key: Key, number: u64) -> Option<&mut Flight> {
        self.flights.get_mut(&key).filter(|flight| flight.number == number)
    }

    fn is_refused(&mut self, key: Key, now: Instant) -> bool {
        match self.refused.get(&key) {
            Some(until) if now < *until => true,
            Some(_) => {
                self.refused.remove(&key);
                false
            }
            None => false,
        }
    }
}

/// A place in one flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) key: Key,
    pub(super) flight: u64,
}

pub(super) enum Join {
    Lead { place: Place, started: u64 },
    Wait { place: Place, seat: Arc<Seat>, number: u64 },
    Alone(Miss),
}

/// All queries that go on for the cache.
#[derive(Debug)]
pub(super) struct Flights {
    first: Mutex<Shard>,
    others: Vec<Mutex<Shard>>,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self { first: Mutex::default(), others: (1..SHARDS).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, key: Key) -> &Mutex<Shard> {
        self.others.get(key.shard(SHARDS)).unwrap_or(&self.first)
    }

    /// Begins a flight, or joins the one that goes on. What began before `floor` is of no use to the caller.
    pub(super) fn join(&self, key: Key, clock: &Clock, floor: u64, wait: bool, now: Instant) -> Join {
        let mut shard = self.shard(key).lock();
        if let Some(flight) = shard.flights.get_mut(&key) {
            if flight.started < floor {
                return Join::Alone(Miss::OwnWrite);
            }
            if !wait {
                return Join::Alone(Miss::Busy);
            }
            let seat = Arc::new(Seat::default());
            let number = flight.next_seat;
            flight.next_seat += 1;
            flight.queue.insert(number, Arc::clone(&seat));
            return Join::Wait { place: Place { key, flight: flight.number }, seat, number };
        }
        if shard.is_refused(key, now) {
            return Join::Alone(Miss::TooBig);
        }
        let number = shard.next_flight;
        shard.next_flight += 1;
        let started = clock.now();
        let flight = Flight { number, started, outdated: 0, next_seat: 0, queue: BTreeMap::new() };
        shard.flights.insert(key, flight);
        Join::Lead { place: Place { key, flight: number }, started }
    }

    /// The flight is over; all who wait are told.
    pub(super) fn end(&self, place: Place, told: Told) {
        let mut shard = self.shard(place.key).lock();
        if shard.flight(place.key, place.flight).is_none() {
            return;
        }
        let ended = shard.flights.remove(&place.key);
        drop(shard);
        for seat in ended.into_iter().flat_map(|flight| flight.queue.into_values()) {
            seat.tell(told);
        }
    }

    /// The flight is over because its answer is too large, which is remembered.
    pub(super) fn refuse(&self, place: Place, now: Instant) {
        let mut shard = self.shard(place.key).lock();
        if shard.refused.len() >= MAX_REFUSED {
            shard.refused.retain(|_, until| now < *until);
        }
        if shard.refused.len() < MAX_REFUSED {
            shard.refused.insert(place.key, now + REFUSED_FOR);
        }
        drop(shard);
        self.end(place, Told::Dispersed);
    }

    /// The leader has no answer that can be stored: exactly one of those who wait leads from now on.
    pub(super) fn pass_on(&self, place: Place, clock: &Clock, mut outdated: bool) {
        loop {
            let mut shard = self.shard(place.key).lock();
            let Some(flight) = shard.flight(place.key, place.flight) else { return };
            if std::mem::take(&mut outdated) {
                flight.outdated += 1;
                if flight.outdated >= MAX_OUTDATED {
                    drop(shard);
                    return self.end(place, Told::Dispersed);
                }
            }
            let Some((_, heir)) = flight.queue.pop_first() else {
                shard.flights.remove(&place.key);
                return;
            };
            flight.started = clock.now();
            drop(shard);
            if heir.tell(Told::Lead) {
                return;
            }
        }
    }

    fn leave(&self, place: Place, number: u64) {
        if let Some(flight) = self.shard(place.key).lock().flight(place.key, place.flight) {
            flight.queue.remove(&number);
        }
    }

    pub(super) fn sweep(&self, now: Instant) {
        for shard in std::iter::once(&self.first).chain(&self.others) {
            shard.lock().refused.retain(|_, until| now < *until);
        }
    }

    /// Flights that go on.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        std::iter::once(&self.first).chain(&self.others).map(|shard| shard.lock().flights.len()).sum()
    }
}

/// A place in the queue of those who want what another client asks for. Dropped, it gives up the place; if
/// it was its turn to ask, the next one does.
pub struct Waiter {
    pub(super) database: Arc<Database>,
    pub(super) account: Arc<Account>,
    pub(super) place: Place,
    pub(super) seat: Arc<Seat>,
    pub(super) number: u64,
    pub(super) why: Miss,
    pub(super) since: Instant,
}

impl Waiter {
    pub(super) fn new(
        database: &Arc<Database>,
        account: &Arc<Account>,
        (place, seat, number): (Place, Arc<Seat>, u64),
        why: Miss,
        since: Instant,
    ) -> Self {
        account.each(|counters| counters.waiters.up());
        Self { database: Arc::clone(database), account: Arc::clone(account), place, seat, number, why, since }
    }

    /// Ready once, when it is known how it goes on.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Outcome> {
        self.seat.poll(cx.waker()).map(|told| match told {
            Told::Stored => Outcome::Stored,
            Told::Dispersed => Outcome::Dispersed,
            Told::Lead => {
                let since = (self.database.clock(), self.since);
                Outcome::Lead(Ticket::new(&self.database, &self.account, self.place, since, self.why))
            }
        })
    }

    /// Why there was nothing to serve when the waiting began.
    pub fn why(&self) -> Miss {
        self.why
    }

    /// When the waiting began.
    pub fn since(&self) -> Instant {
        self.since
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.account.each(|counters| counters.waiters.down());
        match self.seat.leave() {
            Some(Told::Lead) => self.database.pass_on(self.place, false),
            Some(_) => {}
            None => self.database.flights().leave(self.place, self.number),
        }
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiter({})", self.place.key)
    }
}
