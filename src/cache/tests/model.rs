//! The proof that no old answer slips in: the room's own sources a second time, with the locks and atomics
//! of a scheduler (`shuttle`) that tries interleavings at every one of them.
//!
//! What is not the real thing: the shelf, which is a map behind one such lock (`quick_cache` has locks that
//! the scheduler does not see), and the plans. The server is one number for each table; a commit is an
//! increment of it, a query reads it.
#![allow(dead_code, unused_imports, unreachable_pub)]
#![allow(clippy::pedantic, clippy::duplicate_mod)]

#[path = "../account.rs"]
mod account;
#[path = "../counters.rs"]
mod counters;
#[path = "../database.rs"]
mod database;
#[path = "../entry.rs"]
mod entry;
#[path = "../flight.rs"]
mod flight;
#[path = "../key.rs"]
mod key;
#[path = "../mark.rs"]
mod mark;
#[path = "../names.rs"]
mod names;
#[path = "../store.rs"]
mod store;
#[path = "../ticket.rs"]
mod ticket;

mod plan {
    #[derive(Debug, Default)]
    pub struct Plans {}

    impl Plans {
        pub fn clear(&self) {}
    }
}

mod sync {
    use std::sync::PoisonError;

    pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use shuttle::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

    #[derive(Debug, Default)]
    pub(super) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(super) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(super) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[derive(Debug, Default)]
    pub(super) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(super) fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        pub(super) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        pub(super) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

mod shelf {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::entry::Entry;
    use super::key::Key;
    use super::sync::Mutex;

    #[derive(Debug)]
    pub(super) struct Shelf(Mutex<HashMap<Key, Arc<Entry>>>);

    impl Shelf {
        pub(super) fn new(_: u64, _: u64) -> Self {
            Self(Mutex::default())
        }

        pub(super) fn get(&self, key: Key) -> Option<Arc<Entry>> {
            self.0.lock().get(&key).cloned()
        }

        pub(super) fn peek(&self, key: Key) -> Option<Arc<Entry>> {
            self.get(key)
        }

        pub(super) fn put(&self, entry: &Arc<Entry>) -> Vec<Arc<Entry>> {
            self.0.lock().insert(entry.key(), Arc::clone(entry)).into_iter().collect()
        }

        pub(super) fn remove_if(&self, key: Key, judge: impl FnOnce(&Entry) -> bool) -> Option<Arc<Entry>> {
            let mut entries = self.0.lock();
            if entries.get(&key).is_some_and(|entry| judge(entry)) { entries.remove(&key) } else { None }
        }

        pub(super) fn each(&self) -> impl Iterator<Item = Arc<Entry>> {
            self.0.lock().values().cloned().collect::<Vec<_>>().into_iter()
        }

        pub(super) fn bytes(&self) -> u64 {
            self.each().map(|entry| entry.weight()).sum()
        }

        pub(super) fn len(&self) -> usize {
            self.0.lock().len()
        }
    }
}

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::{future, thread};
use tokio::time::Instant;

use account::Account;
use counters::Source;
use database::{Database, Look, Need};
use entry::{About, Answer};
use flight::{GiveUp, Outcome};
use key::Key;
use store::{Cache, Limits, Purge};
use ticket::{Stored, Ticket};

use crate::sql::Writes;

/// How often each model is run with each scheduler.
const RUNS: usize = 1000;
/// A look takes some dozen steps, a write a few: it waits for up to so many, or it would nearly always be
/// over before anything interesting has begun.
const STEPS: u32 = 40;

/// A server with one table, and the cache in front of it.
struct World {
    cache: Arc<Cache>,
    database: Arc<Database>,
    account: Arc<Account>,
    key: Key,
    now: Instant,
    /// What the table holds: commits are increments.
    table: AtomicU64,
    /// The highest value whose invalidation is complete.
    told: AtomicU64,
    hits: AtomicU64,
    queries: AtomicU64,
    seen: Arc<Seen>,
}

impl World {
    fn new(seen: &Arc<Seen>) -> Arc<Self> {
        let limits = Limits { max_memory: 1 << 20, max_entry: 1 << 16, tenant_share: 1.0, jitter: 0.0 };
        let cache = Cache::new(limits);
        let database = cache.database("db");
        let account = database.account(Some("tenant"));
        let mut prefix = cache.prefix();
        prefix.part(b"SELECT");
        Arc::new(Self {
            key: prefix.key(),
            cache,
            database,
            account,
            now: Instant::now(),
            table: AtomicU64::new(0),
            told: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            queries: AtomicU64::new(0),
            seen: Arc::clone(seen),
        })
    }

    fn need(&self, wait: bool) -> Need<'_> {
        Need { account: &self.account, columns: false, floor: 0, max_age: Duration::MAX, wait }
    }

    /// One write: it is committed, then the cache is told, then the client.
    fn write(&self, tell: impl Fn(&Database) -> u64) {
        some_time();
        let value = self.table.fetch_add(1, Ordering::SeqCst) + 1;
        tell(&self.database);
        self.told.fetch_max(value, Ordering::SeqCst);
    }

    /// One read: whatever it gets is at least as new as what was told before it began.
    fn read(&self) {
        let floor = self.told.load(Ordering::SeqCst);
        let value = self.get();
        assert!(value >= floor, "read {value} after {floor} was told");
    }

    fn get(&self) -> u64 {
        loop {
            match self.database.look(self.key, self.need(true), self.now) {
                Look::Hit(entry) | Look::Stale(entry) => {
                    self.hits.fetch_add(1, Ordering::SeqCst);
                    Seen::count(&self.seen.hits);
                    let value = u64::from_le_bytes(entry.body().try_into().unwrap());
                    if value > 0 {
                        Seen::count(&self.seen.fresh_hits);
                    }
                    return value;
                }
                Look::Lead(ticket) => return self.ask(ticket),
                Look::Wait(mut waiter) => {
                    Seen::count(&self.seen.waits);
                    match future::block_on(poll_fn(|cx| waiter.poll(cx))) {
                        Outcome::Stored => {}
                        Outcome::Lead(ticket) => {
                            Seen::count(&self.seen.heirs);
                            return self.ask(ticket);
                        }
                        Outcome::Dispersed => return self.table.load(Ordering::SeqCst),
                    }
                }
                Look::Alone(_) | Look::Paused => return self.table.load(Ordering::SeqCst),
            }
        }
    }

    /// The mark of the table is asked for after the query, as late as can be.
    fn ask(&self, ticket: Ticket) -> u64 {
        let catalog = self.database.generation_of_catalog();
        self.queries.fetch_add(1, Ordering::SeqCst);
        let value = self.table.load(Ordering::SeqCst);
        self.store(ticket, value, self.about(catalog));
        value
    }

    fn store(&self, ticket: Ticket, value: u64, about: About) {
        // The answer is on its way.
        some_time();
        match ticket.store(answer(value), about, self.now) {
            Stored::Kept => Seen::count(&self.seen.kept),
            Stored::Outdated => Seen::count(&self.seen.outdated),
            other => panic!("{other:?}"),
        }
    }

    fn about(&self, catalog: u64) -> About {
        About {
            marks: [self.database.table("public", "t"), self.database.tag("tag")].into_iter().collect(),
            ttl: Duration::from_secs(60),
            stale: Duration::from_secs(60),
            by_ttl_only: false,
            catalog,
            text: "".into(),
        }
    }
}

fn answer(value: u64) -> Answer {
    Answer { columns: None, body: value.to_le_bytes().to_vec(), rows: 1 }
}

/// Lets others go first, for a number of steps that differs from run to run.
fn some_time() {
    for _ in 0..shuttle::rand::thread_rng().gen_range(0..STEPS) {
        thread::yield_now();
    }
}

type Work = Box<dyn FnOnce(&World) + Send>;

/// Runs these at the same time, in many orders.
fn together(world: &Arc<World>, works: Vec<Work>) {
    let threads: Vec<_> = works
        .into_iter()
        .map(|work| {
            let world = Arc::clone(world);
            thread::spawn(move || work(&world))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn work(work: impl FnOnce(&World) + Send + 'static) -> Work {
    Box::new(work)
}

/// What happened in all runs of a model. One in which nothing interesting happens proves nothing.
#[derive(Debug, Default)]
struct Seen {
    kept: AtomicUsize,
    outdated: AtomicUsize,
    /// Reads that were served from memory.
    hits: AtomicUsize,
    /// Of these, after a write.
    fresh_hits: AtomicUsize,
    waits: AtomicUsize,
    heirs: AtomicUsize,
}

impl Seen {
    fn count(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// Three schedulers: at random, at random so that all orders are equally likely, and with few changes at bad
/// moments (PCT).
fn check(model: impl Fn(Arc<World>) + Send + Sync + Clone + 'static) -> Arc<Seen> {
    let seen = Arc::new(Seen::default());
    let run = {
        let seen = Arc::clone(&seen);
        move || model(World::new(&seen))
    };
    shuttle::check_random(run.clone(), RUNS);
    shuttle::check_urw(run.clone(), RUNS);
    shuttle::check_pct(run.clone(), RUNS, 2);
    shuttle::check_pct(run, RUNS, 4);
    seen
}

/// Each of these happened in many runs.
fn often(counters: &[&AtomicUsize]) {
    assert!(counters.iter().all(|counter| counter.load(Ordering::SeqCst) > 100), "{counters:?}");
}

fn reads(times: usize) -> Work {
    work(move |world| (0..times).for_each(|_| world.read()))
}

#[test]
fn no_hit_is_older_than_the_last_invalidation_before_it() {
    let seen = check(|world| {
        let write = |tell: fn(&Database) -> u64| work(move |world: &World| world.write(tell));
        together(
            &world,
            vec![
                reads(3),
                reads(3),
                write(|database| {
                    let tables = vec![(None, "t".into())];
                    let writes = Writes { tables, ..Writes::default() };
                    database.written(&writes, Some("public"), Source::Write)
                }),
                write(|database| database.invalidate_word("tag", Source::Notify)),
            ],
        );
        // Now that nobody writes, it is kept.
        world.read();
        let queries = world.queries.load(Ordering::SeqCst);
        world.read();
        assert_eq!(world.queries.load(Ordering::SeqCst), queries);
    });
    often(&[&seen.kept, &seen.outdated, &seen.fresh_hits, &seen.waits, &seen.heirs]);
}

#[test]
fn everything_that_ends_entries_does() {
    let seen = check(|world| {
        together(
            &world,
            vec![
                reads(4),
                work(|world| {
                    world.write(|database| database.invalidate_tenant("tenant", Source::Write));
                    world.write(|database| database.invalidate_all(Source::Console));
                }),
                work(|world| {
                    world.write(|database| database.catalog_changed(Source::Ddl));
                    world.write(|database| {
                        database.purge(&Purge::Tag("tag".to_owned()));
                        0
                    });
                }),
                work(|world| {
                    world.cache.sweep(world.now);
                    world.cache.sweep(world.now + Duration::from_secs(200));
                }),
            ],
        );
        world.read();
    });
    often(&[&seen.kept, &seen.outdated, &seen.fresh_hits]);
}

/// The same with the bug that it is all about: the clock is noted after the query. It must be found, or the
/// models prove nothing.
#[test]
fn a_clock_noted_too_late_is_found() {
    let model = || {
        let world = World::new(&Arc::default());
        drop(world.database.table("public", "t"));
        let late = work(|world: &World| {
            if let Look::Lead(mut ticket) = world.database.look(world.key, world.need(true), world.now) {
                let about = world.about(world.database.generation_of_catalog());
                let value = world.table.load(Ordering::SeqCst);
                ticket.begin(world.now);
                ticket.store(answer(value), about, world.now);
            }
        });
        let write = work(|world: &World| {
            world.write(|database| database.invalidate_table(None, "t", Source::Write));
        });
        together(&world, vec![late, write]);
        world.read();
    };
    let found = std::panic::catch_unwind(|| shuttle::check_random(model, RUNS));
    assert!(found.is_err());
}

/// What a stream tells while it runs; when it breaks, writes go unseen until it is back.
#[test]
fn a_pause_hides_what_it_did_not_hear_of() {
    let seen = check(|world| {
        together(
            &world,
            vec![
                reads(3),
                reads(3),
                work(|world| {
                    some_time();
                    world.database.pause("the stream is broken");
                    // Nobody tells of this one; but from the end of the pause it must be seen.
                    let unseen = world.table.fetch_add(1, Ordering::SeqCst) + 1;
                    world.database.resume(false);
                    world.told.fetch_max(unseen, Ordering::SeqCst);
                }),
            ],
        );
        world.read();
    });
    often(&[&seen.kept, &seen.outdated, &seen.fresh_hits, &seen.waits, &seen.heirs]);
}

/// A permanent slot: what was missed is told before the pause ends, and what was kept stays good.
#[test]
fn a_pause_that_catches_up_keeps_what_is_good() {
    let seen = check(|world| {
        together(
            &world,
            vec![
                reads(3),
                work(|world| {
                    some_time();
                    world.database.pause("the stream is broken");
                    let late = world.table.fetch_add(1, Ordering::SeqCst) + 1;
                    world.database.invalidate_table(Some("public"), "t", Source::Replication);
                    world.database.resume(true);
                    world.told.fetch_max(late, Ordering::SeqCst);
                }),
                work(|world| world.write(|database| database.invalidate_word("t", Source::Notify))),
            ],
        );
        world.read();
    });
    often(&[&seen.kept, &seen.outdated, &seen.fresh_hits]);
}

/// A view is replaced so that it reads another table; who made a plan before must not keep the answer with
/// the old plan's marks, or no write to the new table would end it.
#[test]
fn an_old_plan_keeps_nothing_after_the_catalog_changed() {
    let seen = check(|world| {
        // Which table the view reads, as the catalog says.
        let view = Arc::new(AtomicU64::new(0));
        let reader = |view: &Arc<AtomicU64>| {
            let view = Arc::clone(view);
            work(move |world: &World| {
                let catalog = world.database.generation_of_catalog();
                let name = if view.load(Ordering::SeqCst) == 0 { "t" } else { "u" };
                let Look::Lead(ticket) = world.database.look(world.key, world.need(false), world.now) else {
                    return;
                };
                let value = world.table.load(Ordering::SeqCst);
                let marks = [world.database.table("public", name)].into_iter().collect();
                world.store(ticket, value, About { marks, ..world.about(catalog) });
            })
        };
        let (one, two) = (reader(&view), reader(&view));
        let ddl = work(move |world: &World| {
            some_time();
            view.store(1, Ordering::SeqCst);
            world.database.catalog_changed(Source::Ddl);
            world.write(|database| database.invalidate_table(None, "u", Source::Write));
            world.read();
        });
        together(&world, vec![one, two, ddl]);
        world.read();
    });
    often(&[&seen.kept, &seen.outdated, &seen.fresh_hits]);
}

/// The same for a plan that was there before, so that the whole fill may happen within the change.
#[test]
fn a_plan_from_before_keeps_nothing_after_the_catalog_changed() {
    let seen = check(|world| {
        let old = world.about(world.database.generation_of_catalog());
        let _new = world.database.table("public", "u");
        let reader = work(move |world: &World| {
            if let Look::Lead(ticket) = world.database.look(world.key, world.need(false), world.now) {
                let value = world.table.load(Ordering::SeqCst);
                let stored = ticket.store(answer(value), old, world.now);
                let counter = if stored == Stored::Kept { &world.seen.kept } else { &world.seen.outdated };
                Seen::count(counter);
            }
        });
        let ddl = work(|world: &World| {
            world.database.catalog_changed(Source::Ddl);
            // From now on only who writes to the other table ends the answer.
            world.write(|database| database.invalidate_table(None, "u", Source::Write));
            world.read();
        });
        together(&world, vec![reader, ddl]);
        world.read();
    });
    often(&[&seen.kept, &seen.outdated]);
}

#[test]
fn who_misses_together_asks_once() {
    let seen = check(|world| {
        together(&world, (0..4).map(|_| reads(1)).collect());
        assert_eq!(world.queries.load(Ordering::SeqCst), 1);
        assert_eq!(world.hits.load(Ordering::SeqCst), 3);
        assert_eq!(world.database.flights().len(), 0);
    });
    often(&[&seen.kept, &seen.hits, &seen.waits]);
}

/// Leaders that vanish, waiters that vanish, also just when it is their turn: nobody waits for ever (the
/// scheduler would find nothing left to run), and never do two ask.
#[test]
fn nobody_is_lost_when_others_vanish() {
    let seen = check(|world| {
        let asking = Arc::new(AtomicU64::new(0));
        let client = |patience: u32, fails: bool| {
            let asking = Arc::clone(&asking);
            work(move |world: &World| {
                let ask = |ticket: Ticket| {
                    assert_eq!(asking.fetch_add(1, Ordering::SeqCst), 0, "two ask");
                    thread::yield_now();
                    asking.fetch_sub(1, Ordering::SeqCst);
                    if fails {
                        drop(ticket);
                    } else {
                        let about = world.about(world.database.generation_of_catalog());
                        assert_eq!(ticket.store(answer(1), about, world.now), Stored::Kept);
                    }
                };
                let mut patience = patience;
                loop {
                    match world.database.look(world.key, world.need(true), world.now) {
                        Look::Hit(_) => return,
                        Look::Lead(ticket) => return ask(ticket),
                        Look::Wait(mut waiter) => {
                            Seen::count(&world.seen.waits);
                            let heard = future::block_on(poll_fn(|cx| match waiter.poll(cx) {
                                std::task::Poll::Ready(outcome) => std::task::Poll::Ready(Some(outcome)),
                                std::task::Poll::Pending if patience == 0 => std::task::Poll::Ready(None),
                                std::task::Poll::Pending => std::task::Poll::Pending,
                            }));
                            match heard {
                                // Gives up its place, which may be its turn already.
                                None => return thread::yield_now(),
                                Some(Outcome::Lead(ticket)) => {
                                    Seen::count(&world.seen.heirs);
                                    return ask(ticket);
                                }
                                Some(Outcome::Stored) => patience = patience.saturating_sub(1),
                                Some(Outcome::Dispersed) => panic!("nobody said so"),
                            }
                        }
                        other => panic!("{other:?}"),
                    }
                }
            })
        };
        together(
            &world,
            vec![client(9, true), client(0, false), client(9, false), client(0, true), client(9, false)],
        );
        assert_eq!(world.database.flights().len(), 0);
        assert_eq!(world.database.counters.waiters.get(), 0);
        assert_eq!(world.database.counters.flights.get(), 0);
    });
    often(&[&seen.waits, &seen.heirs]);
}

/// All ways to end a flight at once: each client gets something.
#[test]
fn every_end_of_a_flight_reaches_all_who_wait() {
    let seen = check(|world| {
        let gives_up = |why: GiveUp| {
            work(move |world: &World| {
                if let Look::Lead(ticket) = world.database.look(world.key, world.need(true), world.now) {
                    ticket.give_up(why, world.now);
                }
            })
        };
        together(&world, vec![gives_up(GiveUp::NotKept), gives_up(GiveUp::TooBig), reads(2), reads(1)]);
        assert_eq!(world.database.flights().len(), 0);
    });
    often(&[&seen.kept, &seen.hits, &seen.waits]);
}
