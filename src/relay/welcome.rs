//! From a login to a session.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::about::About;
use super::clients::ClientHandle;
use super::deadline::Deadline;
use super::session::{Outbox, Preparing, Session, Stage};
use super::shared::Shared;
use super::telling::Telling;
use super::tenant::Tenancy;
use crate::backend::Loss;
use crate::config::PoolMode;
use crate::frontend::LoggedIn;
use crate::ids::ClientId;
use crate::net::Stream;
use crate::pool::{Acquire, Lease, Pool, Share, Want, Welcome};
use crate::session::{ClientSession, Mode, Settings};
use crate::wire::{self, ErrorFields, Parameters, PgError, Severity};

/// What a session is started with, beside its client.
pub struct Host<'a> {
    /// What all sessions share.
    pub shared: &'a Arc<Shared>,
    /// The pool that serves it.
    pub pool: &'a Arc<Pool>,
    /// `max_client_conn`.
    pub max_clients: usize,
    /// `client_idle_timeout`.
    pub client_idle: Option<Duration>,
    /// The worker that runs it: the one that calls.
    pub worker: usize,
}

/// A place among `max_client_conn`, given back when this is dropped: when the session ends, however.
pub(super) struct Place {
    shared: Arc<Shared>,
    pub(super) handle: Arc<ClientHandle>,
}

impl Place {
    pub(super) fn take(
        id: ClientId,
        secret_len: usize,
        about: About,
        shared: &Arc<Shared>,
        max_clients: usize,
    ) -> Result<Self, PgError> {
        if shared.is_draining() {
            return Err(PgError::fatal("57P01", "the proxy is shutting down"));
        }
        let clients = &shared.clients;
        if !clients.enter(max_clients) {
            return Err(PgError::fatal("53300", "sorry, too many clients already")
                .hint("See max_client_conn in the proxy's configuration."));
        }
        let Some(handle) = clients.register(id, secret_len, about) else {
            clients.leave();
            return Err(PgError::fatal("XX000", "no random numbers for a cancel key"));
        };
        shared.metrics.clients.inc();
        Ok(Self { shared: Arc::clone(shared), handle })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.clients.remove(&self.handle);
        self.shared.clients.leave();
        self.shared.metrics.clients.dec();
    }
}

/// Welcomes a client that is logged in and starts its session in a task of its own, on the worker that calls.
/// The caller bounds the time; dropped, it closes the connection.
///
/// # Errors
/// The client was refused, and told so.
pub async fn serve(id: ClientId, client: LoggedIn, host: &Host<'_>) -> Result<(), PgError> {
    let about = About::new(&client);
    let LoggedIn { mut stream, early, mut pending, settings, secret_len, user, identity, .. } = client;
    let settings = host.pool.share_settings(settings);
    let tenancy = host.shared.tenants.as_ref().zip(identity);
    let tenancy = tenancy
        .map(|(tenants, identity)| Tenancy::new(Arc::clone(tenants), user, Arc::clone(host.pool), identity));
    match admit((id, secret_len, about), &settings, tenancy, host, &mut pending).await {
        Ok(Admitted { place, tenancy, settings, pool }) => {
            if stream.write_all(&pending).await.is_ok() && stream.flush().await.is_ok() {
                let mut session = session(stream, early, settings, Arc::clone(&place.handle), pool, host);
                session.set_tenancy(tenancy);
                tokio::spawn(async move {
                    let _place = place;
                    session.run().await;
                });
            }
            Ok(()) // or it is gone, and its place with it
        }
        Err(error) => {
            error.write(&mut pending);
            let _ = stream.write_all(&pending).await;
            let _ = stream.shutdown().await;
            Err(error)
        }
    }
}

/// What a client gets that is let in.
struct Admitted {
    place: Place,
    tenancy: Option<Box<Tenancy>>,
    /// What it asked for, in the server's words.
    settings: Arc<Settings>,
    pool: Arc<Pool>,
}

/// Settings with the values that the server reports for them: `German` is `German, DMY`. What it says later is
/// compared with them.
fn as_reported(settings: &Arc<Settings>, known: &Parameters, pool: &Arc<Pool>) -> Arc<Settings> {
    let mut canonical: Option<Settings> = None;
    for (name, asked) in settings.iter() {
        let told = known.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        let told = told.and_then(|(_, value)| std::str::from_utf8(value).ok());
        if let Some(told) = told.filter(|told| *told != asked && name != "application_name") {
            canonical = Some(canonical.as_ref().unwrap_or(settings).with(name, told));
        }
    }
    canonical.map_or_else(|| Arc::clone(settings), |settings| pool.share_settings(settings))
}

/// Finds places for the client and writes its welcome.
async fn admit(
    (id, secret_len, about): (ClientId, usize, About),
    settings: &Arc<Settings>,
    tenancy: Option<Box<Tenancy>>,
    host: &Host<'_>,
    pending: &mut Vec<u8>,
) -> Result<Admitted, PgError> {
    let place = Place::take(id, secret_len, about, host.shared, host.max_clients)?;
    let (mut pool, mut tenancy) = (Arc::clone(host.pool), tenancy);
    if let Some(tenancy) = &mut tenancy {
        pool = tenancy.admit(settings).map_err(|error| error.with_severity(Severity::Fatal))?;
    }
    let want = Want {
        client: id,
        worker: host.worker,
        has_traces: false,
        last: false,
        settings: 0,
        share: tenancy.as_ref().map_or_else(Share::default, |tenancy| tenancy.share()),
        strict: tenancy.as_ref().is_some_and(|tenancy| tenancy.is_strict()),
    };
    let known = welcome(&place.handle, settings, &pool, want, pending).await?;
    Ok(Admitted { place, tenancy, settings: as_reported(settings, &known, &pool), pool })
}

fn session(
    io: Stream,
    early: Vec<u8>,
    settings: Arc<Settings>,
    handle: Arc<ClientHandle>,
    pool: Arc<Pool>,
    host: &Host<'_>,
) -> Session {
    let config = pool.settings();
    let deadline = Deadline::new(config, host.client_idle);
    let statement_mode = config.pool_mode == PoolMode::Statement;
    let mode = match config.pool_mode {
        // What a tenant's transactions run with needs to know every statement, in session mode too.
        // So does the cache, to know what it writes.
        PoolMode::Session if host.shared.tenants.is_none() && pool.caching().is_none() => Mode::Exclusive,
        _ if config.max_prepared_statements == 0 => Mode::PooledWithoutStatements,
        _ => Mode::Pooled,
    };
    let mut front = ClientSession::new(mode, settings);
    front.set_gate(Arc::clone(pool.gate()));
    let observer = host.shared.observer.as_ref();
    front.measure(observer.map(|observer| Telling::shapes(observer, host.worker)));
    front.watch_writes(pool.caching().map(|caching| Arc::clone(&caching.database) as Arc<_>));
    Session {
        io,
        front,
        handle,
        pool,
        shared: Arc::clone(host.shared),
        carry: if early.is_empty() { Vec::new() } else { early },
        streaming: 0,
        streaming_on: false,
        out: Outbox::default(),
        stage: Stage::Resting,
        preparing: Preparing::Done,
        leased_at: None,
        waited: None,
        deadline,
        worker: host.worker,
        has_traces: false,
        statement_mode,
        probing: false,
        over: false,
        yielding: false,
        tenancy: None,
        own: None,
        listener: None,
        wrote_at: 0,
        cached: None,
        telling: observer.map(|observer| Telling::new(observer, host.worker)),
    }
}

/// Writes the server's `ParameterStatus` list for these settings, the cancel key and `ReadyForQuery`.
async fn welcome(
    handle: &ClientHandle,
    settings: &Arc<Settings>,
    pool: &Arc<Pool>,
    want: Want,
    out: &mut Vec<u8>,
) -> Result<Welcome, PgError> {
    // Any plain name is right for application_name, so that it needs no server to say so, and the many
    // values that clients invent for it share one welcome.
    let name = settings
        .get("application_name")
        .filter(|n| n.len() < 64 && n.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
    let asked = if name.is_some() { settings.without("application_name") } else { Settings::clone(settings) };
    let known = if let Some(known) = pool.welcome(asked.id()) {
        known
    } else {
        let want = Want { settings: asked.id(), ..want };
        let known = ask_server(want, Arc::new(asked.clone()), pool).await?;
        pool.remember_welcome(asked.id(), Arc::clone(&known));
        known
    };
    for (parameter, value) in known.iter() {
        let own = name.filter(|_| **parameter == *b"application_name").map(str::as_bytes);
        wire::parameter_status_into(out, parameter, own.unwrap_or(value));
    }
    wire::backend_key_data(out, handle.pid, handle.secret());
    wire::ready_for_query(out, b'I');
    Ok(known)
}

/// Brings a server connection to these settings, so that the server judges them, and returns what it reports.
async fn ask_server(want: Want, settings: Arc<Settings>, pool: &Arc<Pool>) -> Result<Welcome, PgError> {
    let mut lease = borrow(want, settings, pool).await?;
    let reported: Welcome = Arc::new(lease.reported());
    lease.session.resolve_reported(); // it has them in the server's words
    lease.release();
    Ok(reported)
}

/// A server connection with these settings and nothing of anybody else's, for a question of Howdah's own.
pub(super) async fn borrow(want: Want, settings: Arc<Settings>, pool: &Arc<Pool>) -> Result<Lease, PgError> {
    let fatal = |error: PgError| error.with_severity(Severity::Fatal);
    let mut lease = match pool.acquire(want) {
        Acquire::Ready(lease) => lease,
        Acquire::Wait(mut waiter) => poll_fn(|cx| waiter.poll(cx)).await.map_err(fatal)?,
        Acquire::Refused(error) => return Err(fatal(error)),
    };
    let mut client = ClientSession::new(Mode::Pooled, settings);
    let other_tenant = want.strict && lease.last_tenant().is_some_and(|last| last != want.share.tenant);
    if lease.owner.is_some() || other_tenant {
        let query = lease.pool().cleaning_query();
        let backend = &mut *lease;
        backend.session.set_tainted();
        backend.session.own_query(query.as_bytes(), &mut backend.out);
        finish(&mut lease, &mut client).await?;
        lease.session.cleaned();
        lease.owner = None;
    }
    let backend = &mut *lease;
    if backend.session.preamble(&client, None, &mut backend.out) {
        finish(&mut lease, &mut client).await?;
    }
    Ok(lease)
}

/// Waits for the replies to what Howdah itself asked.
async fn finish(lease: &mut Lease, client: &mut ClientSession) -> Result<(), PgError> {
    let lost = |loss: Loss| {
        PgError::fatal("57P03", "the database server is not available").detail(loss.to_pg_error().message)
    };
    let mut buf = vec![0; 8 << 10];
    let mut unseen = Vec::new();
    while lease.session.is_preparing() {
        poll_fn(|cx| lease.poll_flush(cx)).await.map_err(lost)?;
        let n = poll_fn(|cx| lease.poll_read(cx, &mut buf)).await.map_err(lost)?;
        lease.feed(client, buf.get(..n).unwrap_or_default(), &mut unseen).map_err(lost)?;
        unseen.clear();
    }
    match lease.session.take_preamble_error() {
        None => Ok(()),
        Some(error) => Err(as_fatal(&error)),
    }
}

/// A server's error about a startup parameter, as a server would send it at startup.
fn as_fatal(error: &[u8]) -> PgError {
    let fields = ErrorFields::read(error.get(5..).unwrap_or_default());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut fatal = PgError::fatal("XX000", text(fields.message));
    if fields.sqlstate.len() == 5 {
        fatal.sqlstate = text(fields.sqlstate).into();
    }
    fatal
}
