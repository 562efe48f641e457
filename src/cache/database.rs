//! What the cache knows of one server database.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::account::Account;
use super::counters::{Counters, Miss, Source};
use super::entry::{Entry, State};
use super::flight::{Flights, Join, Place, Waiter};
use super::key::Key;
use super::mark::{Clock, Mark, Marks};
use super::names::{Path, tables_of_word};
use super::plan::Plans;
use super::store::{Purge, Purged, Store};
use super::sync::{AtomicBool, AtomicU64, Mutex, Ordering, RwLock};
use super::ticket::Ticket;
use crate::sql::Writes;

/// What a client needs of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// Whose the answer must be.
    pub account: &'a Arc<Account>,
    /// The RowDescription is needed.
    pub columns: bool,
    /// The client wrote at this tick. Answers whose query began before are not for it, if they are such that no write is
    /// known to end them: what it wrote may be in them.
    pub floor: u64,
    /// Answers that are this old are too old for this client, whatever those who stored them said. (Beyond
    /// it they may be served as stale, as long as they may be at all.)
    pub max_age: Duration,
    /// The client may be told to wait for another's query.
    pub wait: bool,
}

/// What the cache has for a key.
#[derive(Debug)]
pub enum Look {
    /// The answer.
    Hit(Arc<Entry>),
    /// An answer whose time is up, for as long as somebody else fetches the new one.
    Stale(Arc<Entry>),
    /// None: the caller asks the server, and stores what it gets.
    Lead(Ticket),
    /// None, but somebody is asking.
    Wait(Waiter),
    /// None, and the caller asks for itself alone.
    Alone(Miss),
    /// Caching of this database is paused.
    Paused,
}

enum Found {
    Fresh(Arc<Entry>),
    Stale(Arc<Entry>),
    Nothing(Miss),
}

/// One server database: host, port and name, whatever clients call it.
pub struct Database {
    id: Arc<str>,
    store: Arc<Store>,
    clock: Arc<Clock>,
    marks: Marks,
    /// The tick of the last change of the catalog.
    catalog: AtomicU64,
    pause: Pause,
    nobody: Arc<Account>,
    accounts: RwLock<HashMap<Box<str>, Arc<Account>>>,
    /// What is known of marked texts.
    pub plans: Plans,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// Whether, and since when, answers are neither kept nor served.
struct Pause {
    on: AtomicBool,
    why: Mutex<Option<&'static str>>,
    /// What began before this tick is not stored.
    barrier: AtomicU64,
}

impl Database {
    pub(super) fn new(id: &str, store: Arc<Store>) -> Arc<Self> {
        let clock = Arc::new(Clock::new());
        let marks = Marks::new(Arc::clone(&clock));
        let counters = Arc::new(Counters::default());
        let id: Arc<str> = id.into();
        let nobody = Account::new(&id, None, Mark::new("no tenant", 0), &marks.whole, &counters);
        Arc::new(Self {
            id,
            store,
            clock,
            marks,
            catalog: AtomicU64::new(0),
            pause: Pause { on: AtomicBool::new(false), why: Mutex::new(None), barrier: AtomicU64::new(0) },
            nobody,
            accounts: RwLock::new(HashMap::new()),
            plans: Plans::default(),
            counters,
        })
    }

    /// `host:port/name`, as it was first asked for.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The last tick.
    pub fn clock(&self) -> u64 {
        self.clock.now()
    }

    /// The next tick, for a client that may have written something that nobody can name: as its floor, no
    /// answer from before is for it.
    pub fn tick(&self) -> u64 {
        self.clock.tick()
    }

    /// The tick of the last change of the catalog. Read before a plan is looked up or made, it goes into
    /// [`About::catalog`](super::About::catalog).
    pub fn generation_of_catalog(&self) -> u64 {
        self.catalog.load(Ordering::SeqCst)
    }

    /// The account of a tenant, or of all that is read without one.
    pub fn account(&self, tenant: Option<&str>) -> Arc<Account> {
        let Some(tenant) = tenant else { return Arc::clone(&self.nobody) };
        if let Some(account) = self.accounts.read().get(tenant) {
            return Arc::clone(account);
        }
        let mut accounts = self.accounts.write();
        let account = accounts.entry(tenant.into()).or_insert_with(|| {
            // As with tables: the clock is read under the lock.
            let mark = Mark::new(tenant, self.clock.now());
            Account::new(&self.id, Some(tenant), mark, &self.marks.whole, &self.counters)
        });
        Arc::clone(account)
    }

    /// All accounts that somebody uses.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        let nobody = std::iter::once(Arc::clone(&self.nobody));
        nobody.chain(self.accounts.read().values().cloned()).collect()
    }

    // --- reading -------------------------------------------------------------------------------------

    /// Looks an answer up; who finds none may become the one who fetches it.
    pub fn look(self: &Arc<Self>, key: Key, need: Need<'_>, now: Instant) -> Look {
        if self.pause.on.load(Ordering::SeqCst) {
            return Look::Paused;
        }
        match self.find(key, need, now) {
            Found::Fresh(entry) => Look::Hit(entry),
            Found::Stale(entry) => self.renew(key, entry, need, now),
            Found::Nothing(why) => self.ask(key, why, need, now),
        }
    }

    /// Looks an answer up, and does nothing when there is none.
    pub fn peek(&self, key: Key, need: Need<'_>, now: Instant) -> Option<Arc<Entry>> {
        if self.pause.on.load(Ordering::SeqCst) {
            return None;
        }
        match self.find(key, need, now) {
            Found::Fresh(entry) => Some(entry),
            Found::Stale(_) | Found::Nothing(_) => None,
        }
    }

    fn find(&self, key: Key, need: Need<'_>, now: Instant) -> Found {
        let Some(entry) = self.store.shelf.get(key) else { return Found::Nothing(Miss::New) };
        // The tenant is in the key; should it ever be missing there, this keeps its answers its own.
        if !Arc::ptr_eq(entry.account(), need.account) {
            return Found::Nothing(Miss::New);
        }
        if let State::Dead(why) = entry.state(now) {
            // It lies there until a new one takes its place or it is swept: the next who looks is told why, too.
            return Found::Nothing(why);
        }
        if entry.started() < need.floor && entry.is_by_ttl_only() {
            return Found::Nothing(Miss::OwnWrite);
        }
        if need.columns && entry.columns().is_none() {
            return Found::Nothing(Miss::New);
        }
        match entry.state_for(need.max_age, now) {
            State::Fresh => Found::Fresh(entry),
            State::Stale => Found::Stale(entry),
            State::Dead(why) => Found::Nothing(why),
        }
    }

    /// An answer whose time is up: the first one fetches the new one, the others take the old one.
    fn renew(self: &Arc<Self>, key: Key, entry: Arc<Entry>, need: Need<'_>, now: Instant) -> Look {
        match self.store.flights.join(key, &self.clock, 0, false, now) {
            Join::Lead { place, started } => {
                let ticket = Ticket::new(self, need.account, place, (started, now), Miss::Expired);
                self.unless_there(key, ticket, need, now)
            }
            Join::Wait { .. } | Join::Alone(_) => Look::Stale(entry),
        }
    }

    fn ask(self: &Arc<Self>, key: Key, why: Miss, need: Need<'_>, now: Instant) -> Look {
        match self.store.flights.join(key, &self.clock, need.floor, need.wait, now) {
            Join::Alone(why) => Look::Alone(why),
            Join::Wait { place, seat, number } => {
                Look::Wait(Waiter::new(self, need.account, (place, seat, number), why, now))
            }
            Join::Lead { place, started } => {
                let ticket = Ticket::new(self, need.account, place, (started, now), why);
                self.unless_there(key, ticket, need, now)
            }
        }
    }

    /// Another flight may have ended between the look and this one's beginning; it stores first and ends
    /// then, so a second look finds what it stored.
    fn unless_there(&self, key: Key, ticket: Ticket, need: Need<'_>, now: Instant) -> Look {
        match self.find(key, need, now) {
            Found::Fresh(entry) => {
                ticket.found();
                Look::Hit(entry)
            }
            Found::Stale(_) | Found::Nothing(_) => Look::Lead(ticket),
        }
    }

    // --- writing -------------------------------------------------------------------------------------

    /// The mark of a table.
    pub fn table(&self, schema: &str, name: &str) -> Arc<Mark> {
        self.marks.table(schema, name)
    }

    /// The mark of a tag. Any number of tags may be asked for; beyond some thousands they share one mark.
    pub fn tag(&self, tag: &str) -> Arc<Mark> {
        self.marks.tag(tag)
    }

    /// The mark of a tenant.
    pub fn tenant(&self, tenant: &str) -> Arc<Mark> {
        Arc::clone(self.account(Some(tenant)).mark())
    }

    /// The mark of everything.
    pub fn whole(&self) -> &Arc<Mark> {
        &self.marks.whole
    }

    /// Somebody wrote, and it is committed; `path` is the writer's `search_path`, if it is known. Call it
    /// before the writer hears of it. Returns the tick: as the writer's floor, it reads what it wrote.
    ///
    /// What cannot be known ends everything: a caller that knows better clears `writes.unknown`.
    pub fn written(&self, writes: &Writes, path: Option<&str>, source: Source) -> u64 {
        if writes.catalog {
            return self.catalog_changed(source);
        }
        if writes.unknown {
            return self.invalidate_all(source);
        }
        let tick = self.clock.tick();
        // Most writes are to tables that nobody keeps answers of: the path is read when one is.
        let read = OnceCell::new();
        let leads_to = |schema: &str| read.get_or_init(|| Path::read(path)).leads_to(schema);
        for (schema, name) in &writes.tables {
            self.marks.raise_table(schema.as_deref(), name, &leads_to, tick);
        }
        self.counters.invalidated(source);
        tick
    }

    /// A table was written; without a schema, each of that name.
    pub fn invalidate_table(&self, schema: Option<&str>, name: &str, source: Source) -> u64 {
        let tick = self.clock.tick();
        self.marks.raise_table(schema, name, &|_| true, tick);
        self.counters.invalidated(source);
        tick
    }

    /// What a tag stands for was written.
    pub fn invalidate_tag(&self, tag: &str, source: Source) -> u64 {
        let tick = self.clock.tick();
        self.marks.raise_tag(tag, tick);
        self.counters.invalidated(source);
        tick
    }

    /// Something of a tenant was written.
    pub fn invalidate_tenant(&self, tenant: &str, source: Source) -> u64 {
        let tick = self.clock.tick();
        if let Some(account) = self.accounts.read().get(tenant) {
            account.mark().raise(tick);
        }
        self.counters.invalidated(source);
        tick
    }

    /// Anything may have been written.
    pub fn invalidate_all(&self, source: Source) -> u64 {
        let tick = self.clock.tick();
        self.marks.whole.raise(tick);
        self.counters.invalidated(source);
        tick
    }

    /// What `NOTIFY howdah_invalidate` brought: a table, `schema.table`, a tag, or `*`. Nothing means `*`.
    pub fn invalidate_word(&self, word: &str, source: Source) -> u64 {
        let word = word.trim();
        if matches!(word, "" | "*") {
            return self.invalidate_all(source);
        }
        let tick = self.clock.tick();
        for (schema, name) in tables_of_word(word) {
            self.marks.raise_table(schema.as_deref(), &name, &|_| true, tick);
        }
        self.marks.raise_tag(word, tick);
        self.counters.invalidated(source);
        tick
    }

    /// The catalog changed: any answer may differ now, and every plan.
    pub fn catalog_changed(&self, source: Source) -> u64 {
        // In this order: who reads the new generation finds no old plan any more; and a fill that read the old
        // one either sees the new one when it stores, or stored before, and so began before the second tick.
        self.plans.clear();
        self.catalog.fetch_max(self.clock.tick(), Ordering::SeqCst);
        let tick = self.clock.tick();
        self.marks.whole.raise(tick);
        self.counters.invalidated(source);
        tick
    }

    /// Ends what somebody names, and frees it. Says how much it was.
    pub fn purge(&self, what: &Purge) -> Purged {
        match what {
            Purge::All => self.invalidate_all(Source::Console),
            Purge::Table { schema, name } => self.invalidate_table(schema.as_deref(), name, Source::Console),
            Purge::Tag(tag) => self.invalidate_tag(tag, Source::Console),
            Purge::Tenant(tenant) => self.invalidate_tenant(tenant, Source::Console),
        };
        self.store.remove_where(|entry| *entry.account().database() == self.id && !entry.is_good())
    }

    // --- pausing -------------------------------------------------------------------------------------

    /// From now on nothing is served or kept: what is written may not become known.
    pub fn pause(&self, why: &'static str) {
        let mut reason = self.pause.why.lock();
        *reason = Some(why);
        self.pause.on.store(true, Ordering::SeqCst);
        self.pause.barrier.fetch_max(self.clock.tick(), Ordering::SeqCst);
    }

    /// Goes on. What was kept before is good again only if every write of the meantime is known by now
    /// (`keep`); what began before or in the pause is not stored in either case.
    pub fn resume(&self, keep: bool) {
        let mut reason = self.pause.why.lock();
        let tick = self.clock.tick();
        self.pause.barrier.fetch_max(tick, Ordering::SeqCst);
        if !keep {
            self.marks.whole.raise(tick);
        }
        *reason = None;
        self.pause.on.store(false, Ordering::SeqCst);
    }

    /// Why nothing is served or kept, if so.
    pub fn is_paused(&self) -> Option<&'static str> {
        if self.pause.on.load(Ordering::SeqCst) { *self.pause.why.lock() } else { None }
    }

    // --- for the rest of the room --------------------------------------------------------------------

    /// Whether an answer is stored whose query began at this tick, with a plan from that catalog.
    pub(super) fn takes(&self, started: u64, catalog: u64) -> bool {
        !self.pause.on.load(Ordering::SeqCst)
            && self.pause.barrier.load(Ordering::SeqCst) <= started
            && self.generation_of_catalog() == catalog
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn flights(&self) -> &Flights {
        &self.store.flights
    }

    pub(super) fn pass_on(&self, place: Place, outdated: bool) {
        self.store.flights.pass_on(place, &self.clock, outdated);
    }

    #[cfg(test)]
    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Forgets marks and tenants that nobody uses.
    pub(super) fn sweep(&self) {
        self.marks.sweep();
        // Sessions and entries hold their account.
        self.accounts.write().retain(|_, account| Arc::strong_count(account) > 1);
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({}, {:?})", self.id, self.marks)
    }
}
