//! The page: what whoever is on call wants to see within five seconds.
//!
//! It is files in the binary, tables as JSON, an hour's history in memory, and an event every second or two for all
//! who look. Texts of statements are those without constants; values of parameters are never part of an answer.

mod assets;
mod history;
mod numbers;
mod recent;
mod rows;
mod statement;
mod status;
mod table;
mod verdict;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::http::{Events, Subscribers, event};
use crate::observe::Observer;
use history::{History, Level, Reading};
use numbers::with;
use recent::Recent;
use verdict::{Facts, Finding};

pub(super) use assets::Asset;
pub use status::{ClientLine, PoolLine, State, Status, TenantLine};
pub use table::Ask;

/// How often the history looks.
const TICK: Duration = Duration::from_secs(1);
/// So many ticks between two events.
const EVENT: u64 = 2;
/// Answers that are made at the same time.
const AT_ONCE: usize = 2;
/// Clients that are looked at for one answer.
const CLIENTS: usize = 20_000;

/// What was seen so many nanoseconds ago is not new any more.
const LATELY: u64 = 60_000_000_000;

/// A statement of a database, for what is recent.
type StatementKey = (Arc<str>, u64);
/// An SQLSTATE in a database.
type ErrorKey = (Arc<str>, Box<str>);
/// A tenant of a database.
type TenantKey = (Arc<str>, Option<Arc<str>>);

/// The page, and everything that it is served from.
pub struct Page {
    status: Arc<dyn Status>,
    assets: Vec<Asset>,
    subscribers: Subscribers,
    /// Who may make an answer now that takes its time.
    places: Arc<Semaphore>,
    started: Instant,
    inner: Mutex<Inner>,
}

/// What it remembers.
#[derive(Debug, Default)]
struct Inner {
    history: History,
    statements: Recent<StatementKey>,
    tenants: Recent<TenantKey>,
    errors: Recent<ErrorKey>,
    findings: Vec<Finding>,
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Page(since {:?})", self.started)
    }
}

impl Page {
    /// A page without a history.
    pub fn new(status: Arc<dyn Status>) -> Arc<Self> {
        Arc::new(Self {
            status,
            assets: assets::all(),
            subscribers: Subscribers::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            started: Instant::now(),
            inner: Mutex::default(),
        })
    }

    pub(super) fn status(&self) -> &dyn Status {
        &*self.status
    }

    /// Waits for its turn to make an answer that takes its time; `None` never comes.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// A file of it.
    pub(super) fn asset(&self, path: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.path == path)
    }

    /// Goes on for as long as the page is served: looks every second, and tells who looks.
    pub(super) async fn keep(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        for n in 0_u64.. {
            ticks.tick().await;
            self.tick(n);
            if n.is_multiple_of(EVENT) && self.subscribers.any() {
                self.subscribers.tell(&event("now", &self.now()));
            }
        }
    }

    fn tick(&self, n: u64) {
        let observer = self.status.observer();
        let (state, pools) = (self.status.state(), self.status.pools());
        let (level, reading) = (level(&state, &pools), reading(&state, observer.as_deref()));
        let mut inner = self.inner.lock();
        inner.history.tick(unix_now(), level, reading);
        let Some(observer) = observer else {
            inner.findings = verdict::findings(&state, &pools, &inner.history, &Facts::default());
            return;
        };
        if n.is_multiple_of(recent::EVERY) {
            inner.look(&observer);
        }
        let facts = self.facts(&inner, &observer, level.waiting > 0);
        inner.findings = verdict::findings(&state, &pools, &inner.history, &facts);
    }

    /// What is looked at only when there is a reason to.
    fn facts(&self, inner: &Inner, observer: &Observer, somebody_waits: bool) -> Facts {
        let tenants = if somebody_waits { observer.tenants() } else { Vec::new() };
        let tenants = tenants.iter().filter(|row| !row.is_other);
        let named = tenants.filter_map(|row| Some((row, row.tenant.as_ref()?)));
        let mut facts = Facts::default();
        for (row, name) in named {
            let key = (Arc::clone(&row.database), Some(Arc::clone(name)));
            facts.loads.push((name.to_string(), inner.tenants.since(&key, row.transaction_time)));
            let line = self.status.tenant(name);
            let full = line
                .and_then(|line| Some((line.waiting, line.max_servers.filter(|max| line.servers >= *max)?)));
            let starved = full.filter(|(waiting, _)| *waiting > 0);
            // It may use several databases.
            if facts.starved.iter().all(|(other, _, _)| **other != **name) {
                facts.starved.extend(starved.map(|(waiting, most)| (name.to_string(), waiting, most)));
            }
        }
        facts.repeated = repeated(observer);
        if inner.history.now().errors >= 1.0 {
            let errors = observer.errors();
            let counts = errors.iter().filter_map(|row| {
                let state = row.sqlstate.clone()?;
                Some((inner.errors.since(&(Arc::clone(&row.database), state.clone()), row.count), state))
            });
            facts.error = counts.max().map(|(_, state)| state.into());
        }
        facts
    }

    /// One more who looks; `None`: there are too many.
    pub(super) fn subscribe(&self) -> Option<Events> {
        self.subscribers.subscribe(event("now", &self.now()))
    }

    /// What an event tells.
    fn now(&self) -> Value {
        let state = self.status.state();
        let inner = self.inner.lock();
        json!({
            "now": inner.history.now().json(),
            "point": inner.history.has_new_point(),
            "findings": inner.findings.iter().map(Finding::json).collect::<Value>(),
            "max_clients": state.max_clients,
            "cache": state.missed.is_some(),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime": self.started.elapsed().as_secs(),
        })
    }

    /// What the page asks for; `None`: there is no such thing.
    pub(super) fn read(&self, what: &str, ask: &Ask) -> Option<Value> {
        let observer = self.status.observer();
        let observer = observer.as_deref();
        let value = match what {
            "overview" => self.overview(),
            "statements" => rows::statements(observer, &self.inner.lock().statements, ask),
            "statement" => statement::detail(observer?, ask)?,
            "tenants" => rows::tenants(observer, &self.inner.lock().tenants, self.status(), ask),
            "pools" => rows::pools(&self.status.pools(), ask),
            "clients" => rows::clients(&self.status.clients(CLIENTS), ask),
            "n_plus_one" => rows::n_plus_one(observer, ask),
            "slow" => rows::slow(observer, ask),
            "errors" => rows::errors(observer, ask),
            _ => return None,
        };
        Some(value)
    }

    /// What the page begins with.
    fn overview(&self) -> Value {
        let state = self.status.state();
        let more = json!({
            "observed": self.status.observer().is_some(),
            "n_plus_one": state.n_plus_one,
            "slow": state.slow.map(|slow| slow.as_secs_f64() * 1e3),
            "history": self.inner.lock().history.json(),
        });
        with(self.now(), more)
    }
}

impl Inner {
    fn look(&mut self, observer: &Observer) {
        let statements = observer.statements();
        self.statements.look(statements.iter().filter_map(|row| {
            let shape = row.shape.as_ref()?;
            Some(((Arc::clone(&row.database), shape.fingerprint), row.counts.total))
        }));
        let tenants = observer.tenants();
        let tenants = tenants.iter().filter(|row| !row.is_other);
        self.tenants
            .look(tenants.map(|row| ((Arc::clone(&row.database), row.tenant.clone()), row.transaction_time)));
    }
}

/// Where clients ran the same statement again and again in the last minute, and how often in one run at most.
fn repeated(observer: &Observer) -> Option<(String, u32)> {
    let now = observer.now();
    let rows = observer.n_plus_one();
    let recent = rows.iter().filter(|row| now.saturating_sub(row.last_seen) < LATELY);
    let worst = recent.max_by_key(|row| row.worst)?;
    let place = worst.route.as_deref().or(worst.action.as_deref()).or(worst.controller.as_deref());
    Some((
        place.map_or_else(|| format!("a client of {}", worst.database), |place| rows::cut(place, 80)),
        worst.worst,
    ))
}

fn level(state: &State, pools: &[PoolLine]) -> Level {
    Level {
        clients: state.clients,
        waiting: pools.iter().map(|pool| pool.waiting).sum(),
        oldest: pools.iter().map(|pool| pool.oldest).max().unwrap_or_default(),
        busy: pools.iter().map(|pool| pool.active).sum(),
        size: pools.iter().map(|pool| pool.size).sum(),
    }
}

fn reading(state: &State, observer: Option<&Observer>) -> Reading {
    let totals = observer.map(Observer::totals).unwrap_or_default();
    Reading {
        statements: totals.statements,
        transactions: totals.transactions,
        errors: totals.errors,
        cached: totals.cached,
        missed: state.missed.unwrap_or(0),
        times: totals.histogram.buckets().collect(),
    }
}

/// Seconds since 1970.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
