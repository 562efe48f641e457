//! All tenants that are in use, and what their sessions share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::resolvers::Resolvers;
use crate::config::{Channels, OnDynamicSql, Tenancy, User};
use crate::pool::{Pool, Share};
use crate::session::Guard;
use crate::tenancy::{Rules, Signer, Tenant, protected};
use crate::wire::PgError;

/// How long a tenant that nobody uses is remembered.
const REMEMBER: Duration = Duration::from_secs(60);

/// Finds pools; implemented above, where the configuration is built into them.
pub trait Router: Send + Sync {
    /// The pool of this login on another database.
    fn pool(&self, database: &str, user: &Arc<User>) -> Option<Arc<Pool>>;
    /// A pool of Howdah's own beside this one, for resolvers.
    fn own_pool(&self, beside: &Pool, database: Option<&str>, user: &Arc<User>) -> Option<Arc<Pool>>;
}

/// Everything of one configuration's `[tenancy]`; a reload puts another one in its place.
pub(super) struct Era {
    pub(super) rules: Rules,
    pub(super) signer: Option<Signer>,
    /// Seconds after which a signature is made anew: half of its validity, so that a transaction that begins with
    /// an old one has time.
    pub(super) renew_after: u64,
    /// What a client without a tenant may not touch.
    nobody: Arc<Guard>,
    /// The guard that was made last: tenants without an entry share one.
    last_guard: Mutex<Option<Arc<Guard>>>,
}

impl Era {
    fn new(tenancy: Arc<Tenancy>) -> Self {
        let signer = tenancy.signature.as_ref().map(|signature| Signer::new(signature.key.expose_secret()));
        let renew_after = tenancy.signature.as_ref().map_or(0, |signature| signature.valid_for.as_secs() / 2);
        let rules = Rules::new(tenancy);
        let nobody = Arc::new(guard(&rules, None));
        Self { rules, signer, renew_after, nobody, last_guard: Mutex::default() }
    }

    /// What a client of this tenant may not touch.
    pub(super) fn guard(&self, state: Option<&TenantState>) -> Arc<Guard> {
        Arc::clone(state.map_or(&self.nobody, |state| &state.guard))
    }

    /// The guard of a tenant, shared with the one before if it is the same.
    fn guard_of(&self, tenant: &Tenant) -> Arc<Guard> {
        let guard = guard(&self.rules, Some(tenant));
        let mut last = self.last_guard.lock();
        if let Some(known) = last.as_ref().filter(|known| ***known == guard) {
            return Arc::clone(known);
        }
        Arc::clone(last.insert(Arc::new(guard)))
    }
}

fn guard(rules: &Rules, tenant: Option<&Tenant>) -> Guard {
    Guard {
        names: protected(rules, tenant),
        refuse_dynamic: rules.config().on_dynamic_sql == OnDynamicSql::Refuse,
        refuse_channels: rules.config().channels == Channels::Refuse
            && tenant.is_some_and(|tenant| tenant.database.is_none()),
        signed: rules.config().signature.is_some(),
    }
}

/// Tokens that come back with time, at most a second's worth.
#[derive(Debug, Default)]
struct Bucket {
    /// What is left, and when that was so.
    left: Option<(f64, Instant)>,
}

impl Bucket {
    fn take(&mut self, per_second: u32, now: Instant) -> bool {
        let rate = f64::from(per_second);
        let most = rate.max(1.0);
        let left = self.left.map_or(most, |(left, at)| {
            (left + now.saturating_duration_since(at).as_secs_f64() * rate).min(most)
        });
        let enough = left >= 1.0;
        self.left = Some((if enough { left - 1.0 } else { left }, now));
        enough
    }
}

/// What counts against a tenant's limits; it outlives a reload.
#[derive(Debug)]
struct Counts {
    clients: AtomicUsize,
    transactions: Mutex<Bucket>,
    connects: Mutex<Bucket>,
    used: Mutex<Instant>,
}

/// One tenant in use.
#[derive(Debug)]
pub struct TenantState {
    /// Who it is.
    pub tenant: Arc<Tenant>,
    /// Its part of a pool.
    pub share: Share,
    guard: Arc<Guard>,
    counts: Arc<Counts>,
}

impl TenantState {
    /// Its clients.
    pub fn clients(&self) -> usize {
        self.counts.clients.load(Ordering::Acquire)
    }

    /// A transaction begins.
    ///
    /// # Errors
    /// 53400: `transactions_per_second` is reached.
    pub(super) fn begin(&self) -> Result<(), PgError> {
        let Some(rate) = self.tenant.config.transactions_per_second else { return Ok(()) };
        if self.counts.transactions.lock().take(rate, Instant::now()) {
            return Ok(());
        }
        Err(PgError::error("53400", "too many transactions a second for this tenant")
            .hint("See transactions_per_second in [tenants]."))
    }

    /// A client connects as this tenant.
    ///
    /// # Errors
    /// 53400: `connects_per_second` is reached.
    pub(super) fn connect(&self) -> Result<(), PgError> {
        let Some(rate) = self.tenant.config.connects_per_second else { return Ok(()) };
        if self.counts.connects.lock().take(rate, Instant::now()) {
            return Ok(());
        }
        Err(PgError::fatal("53400", "too many connections a second for this tenant")
            .hint("See connects_per_second in [tenants]."))
    }

    /// Takes a place among the tenant's clients.
    ///
    /// # Errors
    /// 53400: `max_client_conn` of the tenant is reached.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place, PgError> {
        let max = self.tenant.config.max_client_conn.unwrap_or(usize::MAX);
        let clients = &self.counts.clients;
        let entered =
            clients.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1)).is_ok();
        if entered {
            return Ok(Place { counts: Arc::clone(&self.counts) });
        }
        Err(PgError::error("53400", "too many clients of this tenant")
            .hint("See max_client_conn in [tenants]."))
    }
}

/// A place among a tenant's clients, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    counts: Arc<Counts>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.clients.fetch_sub(1, Ordering::AcqRel);
        *self.counts.used.lock() = Instant::now();
    }
}

/// All tenants in use.
pub struct Tenants {
    era: ArcSwap<Era>,
    generation: AtomicU64,
    known: DashMap<Arc<str>, Arc<TenantState>>,
    numbers: AtomicU64,
    pub(super) resolvers: Resolvers,
    router: OnceLock<Weak<dyn Router>>,
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tenants({})", self.known.len())
    }
}

impl Tenants {
    /// Nobody yet.
    pub fn new(tenancy: Arc<Tenancy>) -> Self {
        Self {
            era: ArcSwap::from_pointee(Era::new(tenancy)),
            generation: AtomicU64::new(1),
            known: DashMap::new(),
            numbers: AtomicU64::new(1),
            resolvers: Resolvers::default(),
            router: OnceLock::new(),
        }
    }

    /// Who finds pools; once.
    pub fn set_router(&self, router: Weak<dyn Router>) {
        let _ = self.router.set(router);
    }

    pub(super) fn router(&self) -> Option<Arc<dyn Router>> {
        self.router.get().and_then(Weak::upgrade)
    }

    pub(super) fn era(&self) -> arc_swap::Guard<Arc<Era>> {
        self.era.load()
    }

    /// Changes with each reload.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many tenants are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// True when none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Another `[tenancy]`: transactions that are open end as they began, later ones go by the new one.
    pub fn reload(&self, tenancy: Arc<Tenancy>) {
        self.era.store(Arc::new(Era::new(tenancy)));
        let era = self.era.load();
        self.known.retain(|name, state| match self.build(&era, name, Some(state)) {
            Ok(fresh) => {
                *state = fresh;
                true
            }
            Err(_) => false,
        });
        self.resolvers.clear();
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The tenant of this name, if somebody uses it.
    pub fn find(&self, name: &str) -> Option<Arc<TenantState>> {
        self.known.get(name).map(|known| Arc::clone(&known))
    }

    /// The tenant of this name.
    ///
    /// # Errors
    /// 28000: there is none.
    pub(super) fn get(&self, name: &str) -> Result<Arc<TenantState>, PgError> {
        if let Some(known) = self.known.get(name) {
            return Ok(Arc::clone(&known));
        }
        let state = self.build(&self.era.load(), name, None)?;
        Ok(Arc::clone(&self.known.entry(Arc::clone(&state.tenant.name)).or_insert(state)))
    }

    fn build(
        &self,
        era: &Era,
        name: &str,
        before: Option<&TenantState>,
    ) -> Result<Arc<TenantState>, PgError> {
        let tenant = era.rules.tenant(name)?;
        let config = &tenant.config;
        let share = Share {
            tenant: before.map_or_else(|| self.numbers.fetch_add(1, Ordering::Relaxed), |b| b.share.tenant),
            weight: config.weight,
            max_connections: config.max_server_connections.unwrap_or(usize::MAX),
        };
        let counts = before.map(|before| Arc::clone(&before.counts));
        Ok(Arc::new(TenantState {
            share,
            guard: era.guard_of(&tenant),
            counts: counts.unwrap_or_else(|| {
                Arc::new(Counts {
                    clients: AtomicUsize::new(0),
                    transactions: Mutex::default(),
                    connects: Mutex::default(),
                    used: Mutex::new(Instant::now()),
                })
            }),
            tenant,
        }))
    }

    /// Forgets tenants that nobody has used for a minute, and answers of resolvers that are too old.
    pub fn tick(&self) {
        self.known.retain(|_, state| {
            Arc::strong_count(state) > 1
                || state.counts.clients.load(Ordering::Acquire) > 0
                || state.counts.used.lock().elapsed() < REMEMBER
        });
        self.resolvers.sweep();
    }
}

/// Seconds since 1970, for signatures.
pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use super::*;

    fn any_tenant() -> Tenants {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("howdah.toml");
        let text = "[databases.a]\nhost = \"127.0.0.1\"\n[users.u]\npassword = \"p\"\n[tenancy]\n[tenants.\"*\"]\n\
            [tenants.acme]\nmax_client_conn = 1\n";
        std::fs::write(&file, text).expect("a file");
        let config = crate::config::load(&file).expect("a configuration");
        Tenants::new(config.tenancy.expect("tenancy"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_thousand_tenants_are_forgotten_when_idle() {
        let tenants = any_tenant();
        let first = tenants.get("t0").expect("a tenant");
        for n in 0..100_000 {
            let state = tenants.get(&format!("t{n}")).expect("a tenant");
            assert!(
                Arc::ptr_eq(&state.guard, &first.guard)
                    && Arc::ptr_eq(&state.tenant.config, &first.tenant.config)
            );
        }
        tenants.tick();
        assert_eq!(tenants.len(), 100_000);
        let place = tenants.get("t7").expect("a tenant").enter().expect("a place");
        drop(first);
        tokio::time::advance(REMEMBER + Duration::from_secs(1)).await;
        tenants.tick();
        assert_eq!(tenants.len(), 1, "one has a client");
        drop(place);
        tenants.tick();
        assert_eq!(tenants.len(), 1, "until a minute ago");
        tokio::time::advance(REMEMBER + Duration::from_secs(1)).await;
        tenants.tick();
        assert!(tenants.is_empty());
    }

    #[tokio::test]
    async fn limits_outlive_a_reload() {
        let tenants = any_tenant();
        let place = tenants.get("acme").expect("a tenant").enter().expect("a place");
        let again = || tenants.get("acme").expect("a tenant").enter();
        assert_eq!(again().expect_err("full").sqlstate, "53400");
        tenants.reload(any_tenant().era.load().rules.config().clone().into());
        assert_eq!(again().expect_err("still full").sqlstate, "53400");
        drop(place);
        assert!(again().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_come_back_with_time() {
        let mut bucket = Bucket::default();
        let now = Instant::now;
        assert_eq!((0..10).filter(|_| bucket.take(5, now())).count(), 5);
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!((0..10).filter(|_| bucket.take(5, now())).count(), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((0..10).filter(|_| bucket.take(5, now())).count(), 5);
    }
}
