//! `howdah run`: up, and down again.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::accept::{Acceptor, BACKLOG, Listener};
use super::house::{BuildError, House};
use super::logging;
use super::workers::{self, Workers};
use crate::admin;
use crate::config::{self, Config};
use crate::net;

/// How often waiting clients are looked at: often enough for timeouts of a second and more, and seldom enough
/// to cost nothing.
const TICK: Duration = Duration::from_millis(500);
/// So many ticks between two looks at resting server connections.
const HOUSEKEEPING: u32 = 2;
/// So many ticks between two looks at tenants that nobody uses.
const FORGETTING: u32 = 20;
/// So many ticks between two looks for answers in memory that nobody may have any more.
const SWEEPING: u32 = 10;
/// How long sessions that are told to end may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why Howdah does not run.
#[derive(Debug)]
pub(super) enum RunError {
    Build(BuildError),
    Listen(String, io::Error),
    Io(&'static str, io::Error),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Build(error) => write!(f, "{error}"),
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Io(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

/// Runs until it is told to stop.
pub(super) fn run(config: Config, path: &Path) -> Result<(), RunError> {
    logging::start(&config.log);
    raise_descriptors(config.listen.max_client_conn);
    let house = House::build(config).map_err(RunError::Build)?;
    let workers =
        Workers::start(workers::count(&house.config.listen)).map_err(|e| RunError::Io("workers", e))?;
    let control =
        Builder::new_current_thread().enable_all().build().map_err(|e| RunError::Io("runtime", e))?;
    let result = control.block_on(serve(&house, path, &workers));
    drop(workers);
    tracing::info!("stopped");
    result
}

/// Each client and each server connection is a descriptor.
fn raise_descriptors(clients: usize) {
    let wanted = u64::try_from(clients).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(1000);
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit < wanted => {
            tracing::warn!(
                limit,
                wanted,
                "few file descriptors for max_client_conn; see ulimit -n or LimitNOFILE"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of file descriptors could not be raised"),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

async fn serve(house: &Arc<House>, path: &Path, workers: &Workers) -> Result<(), RunError> {
    let of = |kind| signal(kind).map_err(|e| RunError::Io("signals", e));
    let mut signals = Signals {
        terminate: of(SignalKind::terminate())?,
        interrupt: of(SignalKind::interrupt())?,
        hang_up: of(SignalKind::hangup())?,
    };
    let first =
        workers.handles().first().ok_or_else(|| RunError::Io("workers", io::ErrorKind::NotFound.into()))?;
    let acceptor = Arc::new(Acceptor {
        house: Arc::clone(house),
        workers: workers.handles().to_vec(),
        next: AtomicUsize::new(0),
    });
    let mut accepting: Vec<JoinHandle<()>> = Vec::new();
    {
        // Sockets belong to the reactor of the worker that accepts.
        let _first = first.enter();
        for listener in listeners(house)? {
            accepting.push(tokio::spawn(Arc::clone(&acceptor).run(listener)));
        }
        tokio::spawn(keep_house(Arc::clone(house)));
        let house = Arc::clone(house);
        std::mem::drop(tokio::task::spawn_blocking(move || house.accounts.load().derive_all()));
    }
    if let Some(http) = &house.config.http {
        let listener = bind(http.address)?;
        announce("http", &listener, http.address);
        let page = admin::Page::new(Arc::clone(house) as Arc<dyn admin::Status>);
        tokio::spawn(admin::serve(listener, page, access(http)));
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let gently = wait_for_end(house, path, &mut signals).await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    // Nobody is told to go while the door is open: he would come back through it.
    for task in accepting {
        task.abort();
        let _ = task.await;
    }
    go_down(house, gently, &mut signals).await;
    Ok(())
}

/// Who may look over HTTP.
fn access(http: &config::Http) -> admin::Access {
    let user = http.login.as_ref().map(|login| (login.user.clone(), login.password.clone()));
    admin::Access { user, token: http.token.clone() }
}

/// Returns when it is time to go: true if transactions may end first.
async fn wait_for_end(house: &Arc<House>, path: &Path, signals: &mut Signals) -> bool {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => {
                tracing::info!("SIGTERM: no new clients, transactions may end");
                return true;
            }
            _ = signals.interrupt.recv() => {
                tracing::info!("SIGINT: stopping at once");
                return false;
            }
            _ = signals.hang_up.recv() => reload(house, path),
        }
    }
}

/// Reads again what can be read again.
fn reload(house: &House, path: &Path) {
    let mut worked = true;
    match config::load(path) {
        Ok(fresh) => match house.reload_tenants(&fresh) {
            Ok(listed) => tracing::info!(listed, "SIGHUP: tenants were read again"),
            Err(error) => {
                worked = false;
                tracing::error!(%error, "SIGHUP: the tenants stay as they were");
            }
        },
        Err(errors) => {
            worked = false;
            tracing::error!(%errors, "SIGHUP: the tenants stay as they were");
        }
    }
    match house.reload_certificates() {
        Ok(()) => tracing::info!("SIGHUP: certificates and keys were read again"),
        Err(error) => {
            worked = false;
            tracing::error!(%error, "SIGHUP: nothing was changed of certificates and keys");
        }
    }
    house.shared.metrics.running.reloaded(worked);
}

/// Lets transactions end for as long as is allowed, then ends what is left.
async fn go_down(house: &Arc<House>, gently: bool, signals: &mut Signals) {
    let clients = &house.shared.clients;
    let gone = async {
        while clients.count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    house.shared.drain();
    if gently {
        tokio::select! {
            () = gone => {}
            () = tokio::time::sleep(house.config.listen.shutdown_timeout) => {
                tracing::warn!(clients = clients.count(), "shutdown_timeout is over: ending what is left");
            }
            _ = signals.terminate.recv() => tracing::info!("a second signal: stopping at once"),
            _ = signals.interrupt.recv() => tracing::info!("a second signal: stopping at once"),
        }
    }
    clients.end();
    let gone = async {
        while clients.count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(GOODBYE, gone).await;
    house.shared.close();
    for pool in house.pools.all() {
        pool.shut();
    }
}

/// What pools do by the clock. Runs on the first worker.
async fn keep_house(house: Arc<House>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for n in 0_u32.. {
        ticks.tick().await;
        if let Some(tenants) = house.shared.tenants.as_ref().filter(|_| n % FORGETTING == 0) {
            tenants.tick();
        }
        if let Some(cache) = house.cache.clone().filter(|_| n % SWEEPING == 0) {
            // It looks at every entry: not on a worker, whose clients would wait.
            let sweep = move || cache.sweep(tokio::time::Instant::now());
            std::mem::drop(tokio::task::spawn_blocking(sweep));
        }
        if let Some(observer) = house.shared.observer.clone() {
            // Many records: not on a worker either.
            std::mem::drop(tokio::task::spawn_blocking(move || observer.collect()));
        }
        if n % HOUSEKEEPING == 0 && house.history.is_due() {
            let house = Arc::clone(&house);
            std::mem::drop(tokio::task::spawn_blocking(move || house.history.sample(&*house)));
        }
        for pool in house.pools.all() {
            pool.tick(0);
            if n % HOUSEKEEPING == 0 {
                pool.housekeep(0);
            }
        }
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    net::bind(address, BACKLOG, false).map_err(|error| RunError::Listen(address.to_string(), error))
}

fn announce(what: &str, listener: &TcpListener, asked: SocketAddr) {
    let address = listener.local_addr().unwrap_or(asked);
    tracing::info!("{what} listening on {address}");
}

fn listeners(house: &House) -> Result<Vec<Listener>, RunError> {
    let listen = &house.config.listen;
    let mut listeners = Vec::new();
    let mut port = 5432;
    for (n, address) in listen.addresses.iter().enumerate() {
        let listener = bind(*address)?;
        announce("clients", &listener, *address);
        if n == 0 {
            port = listener.local_addr().map_or(address.port(), |a| a.port());
        }
        listeners.push(Listener::Tcp(listener));
    }
    if let Some(dir) = &listen.unix_socket_dir {
        let listener = net::UnixListener::bind(dir, port, BACKLOG)
            .map_err(|error| RunError::Listen(dir.display().to_string(), error))?;
        tracing::info!("clients listening on {}", listener.path().display());
        listeners.push(Listener::Unix(listener));
    }
    Ok(listeners)
}
