//! Who statements come from: databases, logins, tenants, and callers with their tags.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::mixing::Mixing;
use super::table::{Place, Table, Weigh};
use crate::observe::histogram::{FixedHistogram, Histogram};
use crate::observe::record::{Caller, Served, StatementRecord, Tags, TransactionRecord};
use crate::observe::rows::{CallerKey, Counts, DatabaseRow};

/// Callers that are remembered with all that belongs to them.
const REMEMBERED: usize = 1 << 13;
/// Callers with their tags that are kept apart.
const CALLERS: usize = 4096;
/// Databases and logins that have sums of their own. They logged in, so nobody can make them up.
const LOGINS: usize = 4096;
/// Classes of errors that a login counts apart.
const CLASSES: usize = 64;
/// A longer tag is cut.
const LONGEST_TAG: usize = 256;

/// All that belongs to whoever ran a statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    /// The database's number.
    pub(super) database: u32,
    login: u32,
    pub(super) tenant: Place,
    /// With what its tags say.
    pub(super) caller: Place,
}

#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) database: Arc<str>,
    pub(super) name: Option<Arc<str>>,
    pub(super) sums: TenantSums,
}

#[derive(Clone, Debug, Default)]
pub(super) struct TenantSums {
    pub(super) counts: Counts,
    pub(super) histogram: Histogram,
    pub(super) transactions: u64,
    pub(super) transaction_time: u64,
    pub(super) wait: u64,
    last_seen: u64,
}

impl Weigh for Tenant {
    fn weight(&self) -> u64 {
        self.sums.counts.total.saturating_add(self.sums.transaction_time)
    }

    fn last_seen(&self) -> u64 {
        self.sums.last_seen
    }
}

impl TenantSums {
    fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.histogram.merge(&other.histogram);
        self.transactions += other.transactions;
        self.transaction_time = self.transaction_time.saturating_add(other.transaction_time);
        self.wait = self.wait.saturating_add(other.wait);
    }
}

#[derive(Debug)]
struct Calling {
    key: Arc<CallerKey>,
    weight: u64,
    last_seen: u64,
}

impl Weigh for Calling {
    fn weight(&self) -> u64 {
        self.weight
    }

    fn last_seen(&self) -> u64 {
        self.last_seen
    }
}

#[derive(Debug)]
pub(super) struct People {
    databases: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    logins: Vec<DatabaseRow>,
    by_login: HashMap<(u32, Arc<str>), u32>,
    tenants: Table<(u32, Option<Arc<str>>), Tenant>,
    others: HashMap<u32, (Arc<str>, TenantSums)>,
    callers: Table<u64, Calling>,
    /// By the address of their `Caller`, which is kept here so that it stays theirs.
    remembered: HashMap<usize, (Arc<Caller>, Who), Mixing>,
    hash: Mixing,
}

impl People {
    pub(super) fn new(tenants: usize) -> Self {
        Self {
            databases: HashMap::new(),
            names: Vec::new(),
            logins: Vec::new(),
            by_login: HashMap::new(),
            tenants: Table::new(tenants),
            others: HashMap::new(),
            callers: Table::new(CALLERS),
            remembered: HashMap::default(),
            hash: Mixing::default(),
        }
    }

    /// All that belongs to a caller.
    pub(super) fn who(&mut self, caller: &Arc<Caller>, tags: Option<&Tags>) -> Who {
        let address = Arc::as_ptr(caller) as usize;
        let known = self.remembered.get(&address).map(|(_, who)| who);
        let lives = |who: &&Who| self.tenants.has(who.tenant) && self.callers.has(who.caller);
        let mut who = match known.filter(lives) {
            Some(who) => *who,
            None => self.remember(caller),
        };
        if let Some(tags) = tags {
            who.caller = self.caller(caller, Some(tags));
        }
        who
    }

    #[cold]
    fn remember(&mut self, caller: &Arc<Caller>) -> Who {
        if self.remembered.len() >= REMEMBERED {
            self.remembered.retain(|_, (caller, _)| Arc::strong_count(caller) > 1);
            if self.remembered.len() > REMEMBERED / 2 {
                self.remembered.clear();
            }
        }
        let database = self.database(&caller.database);
        let who = Who {
            database,
            login: self.login(database, caller),
            tenant: self.tenant(database, caller),
            caller: self.caller(caller, None),
        };
        self.remembered.insert(Arc::as_ptr(caller) as usize, (Arc::clone(caller), who));
        who
    }

    fn database(&mut self, name: &Arc<str>) -> u32 {
        if let Some(number) = self.databases.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(Arc::clone(name));
        self.databases.insert(Arc::clone(name), number);
        number
    }

    /// The database's name.
    pub(super) fn name(&self, who: Who) -> Option<&Arc<str>> {
        self.names.get(who.database as usize)
    }

    /// The login's name.
    pub(super) fn user(&self, who: Who) -> Option<&Arc<str>> {
        self.logins.get(who.login as usize).map(|login| &login.user)
    }

    /// The number of a database that was seen.
    pub(super) fn database_number(&self, name: &str) -> Option<u32> {
        self.databases.get(name).copied()
    }

    fn login(&mut self, database: u32, caller: &Caller) -> u32 {
        let key = (database, Arc::clone(&caller.user));
        if let Some(login) = self.by_login.get(&key) {
            return *login;
        }
        // Beyond the last one all are counted there.
        let login = self.logins.len().min(LOGINS) as u32;
        if self.logins.len() <= LOGINS {
            let (name, user) = if self.logins.len() < LOGINS {
                (Arc::clone(&caller.database), Arc::clone(&caller.user))
            } else {
                ("other".into(), "other".into())
            };
            self.logins.push(DatabaseRow::new(name, user));
        }
        if (login as usize) < LOGINS {
            self.by_login.insert(key, login);
        }
        login
    }

    fn tenant(&mut self, database: u32, caller: &Caller) -> Place {
        let key = (database, caller.tenant.clone());
        if let Some(place) = self.tenants.find(&key) {
            return place;
        }
        let new = Tenant {
            database: Arc::clone(&caller.database),
            name: caller.tenant.clone(),
            sums: TenantSums::default(),
        };
        let others = &mut self.others;
        self.tenants.insert(key, new, |(database, _), gone| {
            let (_, sums) = others.entry(database).or_insert_with(|| (gone.database, TenantSums::default()));
            sums.add(&gone.sums);
        })
    }

    fn caller(&mut self, caller: &Caller, tags: Option<&Tags>) -> Place {
        let application = tags.and_then(|tags| tags.application.as_deref()).unwrap_or(&caller.application);
        let tag = |of: fn(&Tags) -> &Option<Box<str>>| tags.and_then(|tags| of(tags).as_deref()).map(cut);
        let parts = (
            &*caller.user,
            cut(application),
            tag(|tags| &tags.route),
            tag(|tags| &tags.controller),
            tag(|tags| &tags.action),
        );
        let hash = self.hash.hash_one(parts);
        if let Some(place) = self.callers.find(&hash) {
            return place;
        }
        let (_, application, route, controller, action) = parts;
        let key = Arc::new(CallerKey {
            user: Arc::clone(&caller.user),
            application: application.into(),
            route: route.map(Into::into),
            controller: controller.map(Into::into),
            action: action.map(Into::into),
        });
        self.callers.insert(hash, Calling { key, weight: 0, last_seen: 0 }, |_, _| {})
    }

    /// Counts a statement.
    pub(super) fn count(&mut self, who: Who, record: &StatementRecord, total: u64) {
        if let Some(login) = self.logins.get_mut(who.login as usize) {
            login.count(record, total);
        }
        if let Some(Tenant { sums, .. }) = self.tenants.get_mut(who.tenant) {
            sums.counts.count(record, total);
            if !record.continues {
                sums.histogram.record(total);
            }
            sums.last_seen = sums.last_seen.max(record.at);
        }
        if let Some(calling) = self.callers.get_mut(who.caller) {
            calling.weight = calling.weight.saturating_add(total);
            calling.last_seen = calling.last_seen.max(record.at);
        }
    }

    /// Counts a transaction.
    pub(super) fn count_transaction(&mut self, who: Who, record: &TransactionRecord) {
        if let Some(login) = self.logins.get_mut(who.login as usize) {
            login.count_transaction(record);
        }
        if let Some(Tenant { sums, .. }) = self.tenants.get_mut(who.tenant) {
            sums.transactions += 1;
            sums.transaction_time = sums.transaction_time.saturating_add(record.length);
            sums.wait = sums.wait.saturating_add(record.wait);
            sums.last_seen = sums.last_seen.max(record.at);
        }
    }

    /// Counts a run of repeated statements.
    pub(super) fn count_repeated(&mut self, who: Who) {
        if let Some(login) = self.logins.get_mut(who.login as usize) {
            login.n_plus_one += 1;
        }
    }

    /// Counts an error.
    pub(super) fn count_error(&mut self, who: Who, sqlstate: [u8; 5]) {
        let Some(login) = self.logins.get_mut(who.login as usize) else { return };
        let [first, second, ..] = sqlstate;
        let classes = &mut login.errors_by_class;
        let full = classes.len() >= CLASSES && !classes.contains_key(&[first, second]);
        *classes.entry(if full { *b"??" } else { [first, second] }).or_insert(0) += 1;
    }

    pub(super) fn tenant_at(&self, place: Place) -> Option<&Tenant> {
        self.tenants.get(place)
    }

    /// Where a tenant is: in one database, or in all.
    pub(super) fn places_of(&self, database: Option<&str>, tenant: &str) -> Vec<Place> {
        let rows = self.tenants.rows(0..self.tenants.slots());
        let of = rows.filter(|(_, _, row)| {
            row.name.as_deref() == Some(tenant) && database.is_none_or(|name| *row.database == *name)
        });
        of.map(|(place, _, _)| place).collect()
    }

    pub(super) fn caller_at(&self, place: Place) -> Option<&Arc<CallerKey>> {
        self.callers.get(place).map(|calling| &calling.key)
    }

    pub(super) fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.tenants.rows(0..self.tenants.slots()).map(|(_, _, tenant)| tenant)
    }

    /// Tenants that are not kept on their own, by database.
    pub(super) fn other_tenants(&self) -> impl Iterator<Item = &(Arc<str>, TenantSums)> {
        self.others.values()
    }

    pub(super) fn databases(&self) -> Vec<DatabaseRow> {
        self.logins.clone()
    }

    /// Forgets tenants and callers, but not what counts since the start.
    pub(super) fn clear(&mut self) {
        self.tenants.clear();
        self.others.clear();
        self.callers.clear();
        self.remembered.clear();
    }

    pub(super) fn memory(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let callers = self.callers.rows(0..self.callers.slots()).map(|(_, _, calling)| {
            let key = &calling.key;
            size_of::<CallerKey>()
                + key.application.len()
                + text(&key.route)
                + text(&key.controller)
                + text(&key.action)
        });
        let tenants = self.tenants().map(|tenant| tenant.sums.histogram.memory());
        self.tenants.memory()
            + tenants.sum::<usize>()
            + self
                .others
                .values()
                .map(|(_, sums)| sums.histogram.memory() + size_of::<TenantSums>())
                .sum::<usize>()
            + self.callers.memory()
            + callers.sum::<usize>()
            + self.logins.capacity() * size_of::<DatabaseRow>()
            + self.remembered.capacity() * (size_of::<(usize, Arc<Caller>, Who)>() + 1) * 8 / 7
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TAG);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl DatabaseRow {
    fn new(database: Arc<str>, user: Arc<str>) -> Self {
        Self {
            database,
            user,
            statements: 0,
            errors: 0,
            cached: 0,
            rows: 0,
            transactions: 0,
            received: 0,
            sent: 0,
            transaction_time: 0,
            idle_time: 0,
            server_time: 0,
            wait_time: 0,
            client_parses: 0,
            server_parses: 0,
            binds: 0,
            slow: 0,
            n_plus_one: 0,
            total: FixedHistogram::default(),
            phases: Default::default(),
            errors_by_class: std::collections::BTreeMap::new(),
        }
    }

    fn count(&mut self, record: &StatementRecord, total: u64) {
        self.rows = self.rows.saturating_add(record.rows);
        self.errors += u64::from(record.error.is_some());
        if !record.continues {
            self.statements += 1;
            self.cached += u64::from(record.served == Served::Cache);
        }
        self.slow += u64::from(record.detail.is_some());
        if !record.continues {
            self.total.record(total);
        }
        let times = &record.phases;
        self.server_time = self.server_time.saturating_add(times.server());
        let [wait, preamble, first, rest, client, cache] = &mut self.phases;
        let waited = |histogram: &mut FixedHistogram, time: u64| {
            if time > 0 {
                histogram.record(time);
            }
        };
        waited(wait, times.wait);
        waited(preamble, times.preamble);
        match record.served {
            Served::Server => {
                first.record(times.first);
                rest.record(times.rest);
            }
            Served::Cache => cache.record(times.cache),
        }
        client.record(times.client);
    }

    fn count_transaction(&mut self, record: &TransactionRecord) {
        self.transactions += 1;
        for (sum, more) in [
            (&mut self.received, record.received),
            (&mut self.sent, record.sent),
            (&mut self.transaction_time, record.length),
            (&mut self.idle_time, record.idle),
            (&mut self.wait_time, record.wait),
            (&mut self.client_parses, u64::from(record.client_parses)),
            (&mut self.server_parses, u64::from(record.server_parses)),
            (&mut self.binds, u64::from(record.binds)),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}
