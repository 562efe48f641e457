//! One session's tenant: who it says that it is, and what follows from that for its next transaction.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::resolvers::Asking;
use super::session::{End, Session, Stage};
use super::tenants::{Place, TenantState, Tenants, unix_now};
use crate::config::{TenantRule, User};
use crate::pool::{Kind, Pool, Share};
use crate::session::{Change, Locals, Settings, Signature, Transaction};
use crate::sql::Leaves;
use crate::tenancy::{self, Identity, Who};
use crate::wire::{PgError, front};

/// A transaction whose first statement has no comment for Howdah.
const NO_MARKS: &[(&str, &str)] = &[];

/// What resolvers found: settings with their values, and until when.
type Resolved = (Vec<(String, String)>, Option<Instant>);
type Resolving = Pin<Box<dyn Future<Output = Result<Resolved, PgError>> + Send>>;

/// What a session that has a tenant, or could have one, keeps of it.
pub(super) struct Tenancy {
    pub(super) tenants: Arc<Tenants>,
    user: Arc<User>,
    /// The pool of the database that the client asked for.
    home: Arc<Pool>,
    pub(super) identity: Identity,
    /// The configuration that what follows was derived from.
    generation: u64,
    who: Who,
    state: Option<Arc<TenantState>>,
    place: Option<Place>,
    valid_until: Option<Instant>,
    /// It comes from a comment, and ends with the transaction.
    transient: bool,
    /// The frame that is judged has a comment of its own.
    marked: bool,
    /// `SET howdah.…` was used in the open transaction.
    changed_inside: bool,
    /// It was used since the tenant was put in force.
    said: bool,
    /// Queries of resolvers that the next transaction waits for, and whom they are about.
    resolving: Option<(Who, Resolving)>,
    resolved: Option<(Who, Result<Resolved, PgError>)>,
}

impl std::fmt::Debug for Tenancy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenancy").field("who", &self.who).finish_non_exhaustive()
    }
}

/// Whether a frame may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenure {
    /// Its tenant is the one that is in force.
    Right,
    /// It must wait.
    Wait,
}

impl Tenancy {
    /// For a client that has logged in. `place` counts it among its tenant's.
    pub(super) fn new(
        tenants: Arc<Tenants>,
        user: Arc<User>,
        home: Arc<Pool>,
        identity: Identity,
    ) -> Box<Self> {
        Box::new(Self {
            tenants,
            user,
            home,
            identity,
            generation: 0, // so that everything is derived before the first transaction
            who: Who::default(),
            state: None,
            place: None,
            valid_until: None,
            transient: false,
            marked: false,
            changed_inside: false,
            said: false,
            resolving: None,
            resolved: None,
        })
    }

    /// Takes a place among the clients of the tenant that the connection came with. Returns its pool.
    ///
    /// # Errors
    /// 53400: one of its limits is reached; 28000: there is no such tenant; 42501: a startup parameter is one of
    /// the tenant's settings.
    pub(super) fn admit(&mut self, settings: &Settings) -> Result<Arc<Pool>, PgError> {
        let era = self.tenants.era();
        let who = self.identity.who(&era.rules, NO_MARKS)?;
        let state = who.tenant.as_deref().map(|name| self.tenants.get(name)).transpose()?;
        let guard = era.guard(state.as_deref());
        let protected =
            settings.iter().map(|(name, _)| name.to_ascii_lowercase()).find(|n| guard.protects(n));
        if let Some(name) = protected.filter(|_| !self.is_nobody()) {
            return Err(PgError::error(
                "42501",
                format!("the setting \"{name}\" is protected: it belongs to the tenant"),
            )
            .hint("Leave it out of the startup parameters."));
        }
        drop(era);
        if let Some(state) = &state {
            state.connect()?;
            self.place = Some(state.enter()?);
        }
        let pool = pool_of(self, &self.tenants, state.as_deref())?;
        self.state = state;
        Ok(pool)
    }

    /// Its part of a pool.
    pub(super) fn share(&self) -> Share {
        self.state.as_ref().map_or_else(Share::default, |state| state.share)
    }

    /// A connection that another tenant has used must be cleaned first.
    pub(super) fn is_strict(&self) -> bool {
        self.tenants.era().signer.is_some()
    }

    /// The value that stands for the tenant.
    pub(super) fn name(&self) -> Option<&str> {
        self.state.as_ref().map(|state| &*state.tenant.id)
    }

    /// The tenant's name as operators know it.
    pub(super) fn label(&self) -> Option<&Arc<str>> {
        self.state.as_ref().map(|state| &state.tenant.name)
    }

    /// The login carries no tenant, on purpose.
    fn is_nobody(&self) -> bool {
        self.user.tenants == TenantRule::Nobody
    }

    /// A transaction begins.
    pub(super) fn begin(&self) -> Result<(), PgError> {
        self.state.as_ref().map_or(Ok(()), |state| state.begin())
    }

    /// What follows from who the tenant is was derived from this configuration, and is not too old.
    fn is_fresh(&self) -> bool {
        self.generation == self.tenants.generation()
            && self.valid_until.is_none_or(|until| until > Instant::now())
    }

    fn is_current(&self, who: &Who) -> bool {
        *who == self.who && self.is_fresh()
    }

    /// What `SHOW howdah.key` shows.
    ///
    /// # Errors
    /// 42704: there is no such key.
    pub(super) fn show(&self, key: &str) -> Result<String, PgError> {
        self.identity.show(&self.tenants.era().rules, key).ok_or_else(|| {
            let shown: String = key.chars().filter(|c| !c.is_control()).take(64).collect();
            PgError::error("42704", format!("unrecognized configuration parameter \"howdah.{shown}\""))
        })
    }

    /// `SET` or, without a value, `RESET howdah.key`. It takes effect with the next statement.
    ///
    /// # Errors
    /// 28000: the client may not be this tenant; 25001: not in this transaction; 42704: there is no such key.
    pub(super) fn set(
        &mut self,
        key: &str,
        value: Option<&str>,
        local: bool,
        block: bool,
        change: Change,
    ) -> Result<(), PgError> {
        let era = self.tenants.era();
        let mut identity = self.identity.clone();
        if block && !self.changed_inside {
            identity.begin_transaction();
        }
        match value {
            Some(value) => identity.set(&era.rules, key, value, local)?,
            None => identity.reset(&era.rules, key)?,
        }
        let who = identity.who(&era.rules, NO_MARKS)?;
        if let Some(name) = &who.tenant {
            self.tenants.get(name)?;
        }
        if block && change != Change::Now && who != self.who {
            return Err(fixed_tenant());
        }
        if block && era.signer.is_some() && who.tenant != self.who.tenant {
            return Err(signed_tenant());
        }
        drop(era);
        self.identity = identity;
        self.changed_inside |= block;
        self.said = true;
        Ok(())
    }

    /// The transaction is over; the tenant may be another one for the next.
    pub(super) fn end_transaction(&mut self, committed: bool) {
        if std::mem::take(&mut self.changed_inside) {
            self.said = true;
            self.identity.end_transaction(committed);
        }
    }
}

impl Session {
    /// Gives a new session its tenant.
    pub(super) fn set_tenancy(&mut self, tenancy: Option<Box<Tenancy>>) {
        if let Some(tenancy) = &tenancy {
            // Until the tenant is in force, which it is before any frame is judged, everything is protected.
            self.front.set_duty(
                None,
                Arc::clone(&tenancy.tenants.era().guard(None)),
                Some(Who::default().missing_error(&tenancy.tenants.era().rules)),
            );
        }
        self.tenancy = tenancy;
        self.note_tenant();
    }

    /// Sees to it that the tenant of a frame that wants a server is in force. Without tenancy there is nothing
    /// to do.
    ///
    /// # Errors
    /// The frame is refused with this error.
    pub(super) fn tenure(&mut self, tag: u8, frame: &[u8]) -> Result<Tenure, PgError> {
        let tenure = self.find_tenure(tag, frame)?;
        if let Some(tenancy) = &self.tenancy {
            // A comment holds for the whole text that it stands in.
            let fleeting = tenancy.changed_inside || tenancy.transient && !tenancy.marked;
            self.front.set_fleeting(fleeting);
            if let Stage::Leased(lease) = &mut self.stage
                && tenancy.marked
                && tenure == Tenure::Right
            {
                // And for what follows it in the transaction that it begins.
                lease.session.forget_end();
            }
        }
        Ok(tenure)
    }

    fn find_tenure(&mut self, tag: u8, frame: &[u8]) -> Result<Tenure, PgError> {
        let resting = matches!(self.stage, Stage::Resting);
        let Some(tenancy) = &mut self.tenancy else { return Ok(Tenure::Right) };
        let starts = matches!(tag, front::QUERY | front::PARSE | front::BIND | front::FUNCTION_CALL);
        let uses = resting && matches!(tag, front::DESCRIBE | front::EXECUTE);
        if !(starts || uses) {
            return Ok(Tenure::Right);
        }
        let marks = self.front.marks(frame).map_err(|bad| {
            PgError::error("42601", "a comment for howdah cannot be read").detail(bad.to_string())
        })?;
        let pairs = marks.pairs.as_slice();
        tenancy.marked = !pairs.is_empty();
        let who = |tenancy: &Tenancy| tenancy.identity.who(&tenancy.tenants.era().rules, pairs);
        if let Stage::Leased(lease) = &mut self.stage {
            let transaction = lease.session.transaction();
            let open = transaction == Transaction::Open;
            let lasting = !tenancy.transient && !tenancy.changed_inside && tenancy.is_fresh();
            let fixed = !tenancy.said && (open || lasting);
            if pairs.is_empty() && fixed {
                return Ok(Tenure::Right);
            }
            let who = who(tenancy)?;
            if !open {
                // The next transaction. What was set inside of the one before is gone when that one is over, and
                // a tenant changes where no answers are owed.
                let same = !tenancy.changed_inside && who == tenancy.who;
                if same || lease.session.wait() {
                    return Ok(if same { Tenure::Right } else { Tenure::Wait });
                }
            }
            tenancy.transient |= !pairs.is_empty();
            // A transaction that is open ends as it began, whatever the configuration says by now.
            if who == tenancy.who && open || tenancy.is_current(&who) {
                tenancy.said = false;
                return Ok(Tenure::Right);
            }
            return self.change_to(who);
        }
        let who = who(tenancy)?;
        tenancy.transient = !pairs.is_empty();
        tenancy.said = false;
        if tenancy.is_current(&who) { Ok(Tenure::Right) } else { self.change_to(who) }
    }

    /// Puts another tenant in force.
    pub(super) fn change_to(&mut self, who: Who) -> Result<Tenure, PgError> {
        let Some(tenancy) = &mut self.tenancy else { return Ok(Tenure::Right) };
        if let Stage::Leased(lease) = &mut self.stage
            && who != tenancy.who
        {
            match lease.session.may_change() {
                Change::Now => {}
                Change::Later => {
                    lease.session.wait();
                    return Ok(Tenure::Wait);
                }
                Change::Never => {
                    return Err(fixed_tenant());
                }
            }
        }
        let tenants = Arc::clone(&tenancy.tenants);
        let era = tenants.era();
        let generation = tenants.generation();
        let state = who.tenant.as_deref().map(|name| tenants.get(name)).transpose()?;
        let pool = pool_of(tenancy, &tenants, state.as_deref())?;
        let changed =
            state.as_ref().map(|s| s.share.tenant) != tenancy.state.as_ref().map(|s| s.share.tenant);
        let other_pool = matches!(&self.stage, Stage::Leased(lease) if !Arc::ptr_eq(lease.pool(), &pool));
        if let Stage::Leased(lease) = &self.stage
            && !lease.session.is_free()
        {
            if other_pool {
                return Err(PgError::error(
                    "25001",
                    "this tenant lives in another database than the open transaction",
                )
                .hint("Set the tenant before BEGIN."));
            }
            if changed && era.signer.is_some() {
                // The connection can be neither cleaned nor signed for it before the transaction is over.
                return Err(signed_tenant());
            }
        }
        let (found, valid_until) = match tenancy.resolved.take().filter(|(whose, _)| *whose == who) {
            Some((_, resolved)) => resolved?,
            None if era.rules.config().resolvers.is_empty() || tenancy.is_nobody() => (Vec::new(), None),
            None => {
                let future =
                    resolve(tenancy, &tenants, &who, state.as_ref(), &pool, self.handle.id, self.worker)?;
                tenancy.resolving = Some((who, future));
                if matches!(self.stage, Stage::Resting) {
                    self.handle.set_waiting(); // a cancel request ends the waiting
                }
                return Ok(Tenure::Wait);
            }
        };
        if (changed || other_pool) && matches!(&self.stage, Stage::Leased(lease) if lease.session.is_free()) {
            // In session mode the connection is the client's between transactions too, but not another tenant's.
            if let Stage::Leased(lease) = std::mem::replace(&mut self.stage, Stage::Resting) {
                lease.recover(true);
                self.handle.set_pinned(Leaves::NOTHING);
            }
        }
        if changed && tenancy.state.is_some() {
            self.front.become_another();
            if let Stage::Leased(lease) = &mut self.stage {
                lease.session.owe_settings(&self.front); // a transaction that has run nothing
            }
        }
        if changed && self.has_traces {
            // What it left as another tenant is a stranger's.
            self.pool.forget_client(self.handle.id);
            self.has_traces = false;
        }
        if changed || tenancy.place.is_none() {
            tenancy.place = state.as_ref().map(TenantState::enter).transpose()?;
        }
        let tenant = state.as_ref().map(|state| &*state.tenant);
        let pairs = tenancy::settings(&era.rules, tenancy.user.role.as_deref(), tenant, &who, &found);
        let missing = who.required.then(|| who.missing_error(&era.rules));
        let guard = if tenancy.is_nobody() { Arc::default() } else { era.guard(state.as_deref()) };
        let locals = if missing.is_some() { None } else { Locals::new(&pairs) };
        tenancy.state = state;
        tenancy.who = who;
        tenancy.generation = generation;
        tenancy.valid_until = valid_until;
        tenancy.said = false;
        self.front.set_gate(Arc::clone(pool.gate()));
        self.front.watch_writes(pool.caching().map(|caching| Arc::clone(&caching.database) as Arc<_>));
        self.listen_in(&pool.key().database);
        self.pool = pool;
        self.note_tenant();
        self.front.set_duty(locals, guard, missing);
        Ok(Tenure::Right)
    }

    /// A signature for the tenant on the server connection that the client has, unless a good one is there.
    pub(super) fn signature(&self) -> Option<(Signature, String)> {
        let (Some(tenancy), Stage::Leased(lease)) = (&self.tenancy, &self.stage) else { return None };
        let era = tenancy.tenants.era();
        let (signer, state) = (era.signer.as_ref()?, tenancy.state.as_ref()?);
        let fresh = Signature { tenant: state.share.tenant, since: unix_now() };
        let good = lease.session.signed().is_some_and(|known| {
            known.tenant == fresh.tenant && fresh.since.saturating_sub(known.since) < era.renew_after
        });
        let sign = || signer.sign(&state.tenant.id, lease.handle.cancel.pid(), fresh.since);
        (!good).then(|| (fresh, sign()))
    }

    /// A session that keeps its connection between transactions may need another signature for the next one. True
    /// if it is on its way.
    pub(super) fn renew_signature(&mut self) -> bool {
        let between = matches!(&self.stage, Stage::Leased(lease)
            if lease.kind() != Kind::Transaction && lease.session.is_free());
        let due = between && self.signature().is_some();
        if due {
            self.prepare_settings();
        }
        due
    }

    /// Goes on with resolvers. True when they are done.
    pub(super) fn poll_resolving(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Some(tenancy) = &mut self.tenancy else { return Ok(false) };
        let Some((_, future)) = &mut tenancy.resolving else { return Ok(false) };
        let Poll::Ready(result) = future.as_mut().poll(cx) else { return Ok(false) };
        tenancy.resolved = tenancy.resolving.take().map(|(who, _)| (who, result));
        self.time_passed();
        self.continue_client()?;
        Ok(true)
    }

    /// Gives up the resolvers of a client that has no connection. True if there were any.
    pub(super) fn stop_resolving(&mut self) -> bool {
        let resting = matches!(self.stage, Stage::Resting);
        self.tenancy.as_mut().is_some_and(|tenancy| resting && tenancy.resolving.take().is_some())
    }

    /// True while the next frame waits for resolvers.
    pub(super) fn is_resolving(&self) -> bool {
        self.tenancy.as_ref().is_some_and(|tenancy| tenancy.resolving.is_some())
    }
}

fn fixed_tenant() -> PgError {
    PgError::error("25001", "the tenant cannot change inside of a transaction that has run a statement")
        .hint("Set it before BEGIN, or right after it.")
}

fn signed_tenant() -> PgError {
    PgError::error("25001", "a signed tenant cannot change inside of a transaction")
        .hint("Set it before BEGIN, or in a comment on BEGIN.")
}

fn pool_of(tenancy: &Tenancy, tenants: &Tenants, state: Option<&TenantState>) -> Result<Arc<Pool>, PgError> {
    let Some(state) = state else { return Ok(Arc::clone(&tenancy.home)) };
    let Some(database) = &state.tenant.database else { return Ok(Arc::clone(&tenancy.home)) };
    tenants
        .router()
        .and_then(|router| router.pool(database, &tenancy.user))
        .ok_or_else(|| PgError::error("3D000", "the tenant's database does not exist"))
}

/// Asks all resolvers in their order: later ones may use what earlier ones found.
fn resolve(
    tenancy: &Tenancy,
    tenants: &Arc<Tenants>,
    who: &Who,
    state: Option<&Arc<TenantState>>,
    pool: &Arc<Pool>,
    client: crate::ids::ClientId,
    worker: usize,
) -> Result<Resolving, PgError> {
    let era = tenants.era();
    let resolvers = era.rules.config().resolvers.clone();
    let router = tenants.router().ok_or_else(|| PgError::error("XX000", "no pools for resolvers"))?;
    let mut work = Vec::new();
    for resolver in resolvers {
        let own = router.own_pool(pool, resolver.database.as_deref(), &tenancy.user);
        let own = own.ok_or_else(|| PgError::error("3D000", "a resolver's database does not exist"))?;
        work.push((resolver, own));
    }
    let mut known: Vec<(String, String)> =
        who.context.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    if let Some(state) = state {
        known.push(("tenant".to_owned(), state.tenant.id.to_string()));
    }
    let tenants = Arc::clone(tenants);
    Ok(Box::pin(async move {
        let mut all = Vec::new();
        let mut valid: Option<Instant> = None;
        for (resolver, pool) in work {
            let value = |name: &Arc<str>| known.iter().find(|(k, _)| **k == **name).map(|(_, v)| v.clone());
            let values: Vec<Option<String>> = resolver.params.iter().map(value).collect();
            let asking = Asking { client, worker, pool: &pool, resolver: &resolver, values };
            let found = if asking.values.iter().any(Option::is_none) {
                None
            } else {
                let (found, until) = match tenants.resolvers.resolve(asking).await {
                    Ok(answer) => answer,
                    Err(error) if resolver.required => return Err(error),
                    Err(_) => continue,
                };
                valid = Some(valid.map_or(until, |valid| valid.min(until)));
                found
            };
            match found {
                Some(found) => {
                    for (setting, value) in found.iter() {
                        known.push((setting.clone(), value.clone()));
                        all.push((setting.clone(), value.clone()));
                    }
                }
                None if resolver.required => {
                    return Err(PgError::error(
                        "28000",
                        format!("the resolver \"{}\" finds nothing for this session", resolver.name),
                    )
                    .hint("See [[tenancy.resolvers]]."));
                }
                None => {}
            }
        }
        Ok((all, valid))
    }))
}
