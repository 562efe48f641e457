//! Listeners, and what happens to a fresh connection.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UnixStream};
use tokio::runtime::Handle;

use super::house::House;
use crate::admin::{Operations, serve_operator};
use crate::frontend::{Arrival, LoggedIn, arrive};
use crate::ids::ClientId;
use crate::net::{Peer, SocketOptions, Stream, UnixListener};
use crate::relay::{Host, Route, replicate, serve};
use crate::wire::PgError;

/// Connections that wait to be accepted.
pub(super) const BACKLOG: i32 = 4096;
/// How long to let others close theirs when there are no file descriptors.
const NO_DESCRIPTORS: Duration = Duration::from_millis(50);
/// The same failure to accept is logged this often at most.
const LOG_EVERY: Duration = Duration::from_secs(5);
/// Connections that are not logged in, beyond `max_client_conn`, before new ones are closed unheard.
const LOGINS: i64 = 10_000;

/// A socket that clients connect to.
pub(super) enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|stream: UnixStream| Stream::Unix(stream)),
        }
    }
}

/// Hands fresh connections to workers in turn. Runs on the first worker.
pub(super) struct Acceptor {
    pub(super) house: Arc<House>,
    pub(super) workers: Vec<Handle>,
    pub(super) next: AtomicUsize,
}

impl Acceptor {
    /// Accepts until it is dropped.
    pub(super) async fn run(self: Arc<Self>, listener: Listener) {
        // Given up for a moment when there are no descriptors, so that a client can be refused at all.
        let mut spare = File::open("/dev/null").ok();
        let mut logged: Option<Instant> = None;
        loop {
            match listener.accept().await {
                Ok(stream) => self.hand_over(stream),
                Err(error) => {
                    self.house.shared.metrics.accept_failures.inc();
                    if logged.is_none_or(|at| at.elapsed() > LOG_EVERY) {
                        tracing::error!(%error, "a connection could not be accepted");
                        logged = Some(Instant::now());
                    }
                    drop(spare.take());
                    if let Ok(refused) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
                        drop(refused);
                    }
                    spare = File::open("/dev/null").ok();
                    tokio::time::sleep(NO_DESCRIPTORS).await;
                }
            }
        }
    }

    fn hand_over(self: &Arc<Self>, stream: Stream) {
        let logins = &self.house.shared.metrics.logins;
        if logins.get() > LOGINS + i64::try_from(self.house.config.listen.max_client_conn).unwrap_or(0) {
            return;
        }
        let worker = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len().max(1);
        let house = Arc::clone(&self.house);
        if worker == 0 {
            tokio::spawn(connection(house, stream, worker));
        } else if let Some(handle) = self.workers.get(worker) {
            handle.spawn(async move {
                if let Ok(stream) = stream.rebind() {
                    connection(house, stream, worker).await;
                }
            });
        }
    }
}

/// Counts a login in progress.
struct LoginInProgress(prometheus::IntGauge);

impl Drop for LoginInProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// From an accepted connection to its session.
async fn connection(house: Arc<House>, stream: Stream, worker: usize) {
    let metrics = &house.shared.metrics;
    metrics.logins.inc();
    let login = LoginInProgress(metrics.logins.clone());
    let id = house.shared.clients.next_id();
    if let Stream::Tcp(tcp) = &stream
        && SocketOptions::default().apply(tcp).is_err()
    {
        return;
    }
    let peer = stream.peer();
    let listen = &house.config.listen;
    let accounts = house.accounts.load_full();
    // A client that takes too long is closed without a word: it may not even speak our protocol.
    let arriving = arrive(stream, &accounts);
    let arrival = if listen.client_login_timeout.is_zero() {
        arriving.await
    } else if let Ok(arrival) = tokio::time::timeout(listen.client_login_timeout, arriving).await {
        arrival
    } else {
        tracing::info!(client = %id, %peer, "login took too long (client_login_timeout)");
        metrics.login_failures.with_label_values(&["timeout"]).inc();
        return;
    };
    drop(accounts);
    match arrival {
        Ok(Arrival::Nobody) => tracing::debug!(client = %id, %peer, "connection closed before login"),
        Ok(Arrival::Cancel(request)) => {
            metrics.cancels.inc();
            house.shared.clients.cancel(&request).await;
        }
        Ok(Arrival::Client(client)) => {
            let (user, database) = (Arc::clone(&client.user.name), Arc::clone(&client.database_name));
            let admitted = admit(&house, id, *client, worker).await;
            tell(&house, admitted, id, &peer, &user, &database);
        }
        Ok(Arrival::Operator(operator)) => {
            let user = Arc::clone(&operator.user.name);
            let operations = Arc::clone(&house) as Arc<dyn Operations>;
            let admitted = serve_operator(*operator, &house.operators, operations).await;
            tell(&house, admitted, id, &peer, &user, "the console");
        }
        Err(rejected) => {
            metrics.login_failures.with_label_values(&[class(&rejected.error.sqlstate)]).inc();
            let user = rejected.user.as_deref().unwrap_or("");
            tracing::info!(client = %id, %peer, user, error = %rejected.error, "login refused");
        }
    }
    drop(login);
}

/// Counts and logs how a login ended.
fn tell(house: &House, admitted: Result<(), PgError>, id: ClientId, peer: &Peer, user: &str, database: &str) {
    let metrics = &house.shared.metrics;
    match admitted {
        Ok(()) => {
            metrics.logged_in.inc();
            tracing::debug!(client = %id, %peer, user, database, "client logged in");
        }
        Err(error) => {
            metrics.login_failures.with_label_values(&[class(&error.sqlstate)]).inc();
            tracing::info!(client = %id, %peer, user, database, %error, "client refused");
        }
    }
}

/// Starts the client's session, or says why there is none.
async fn admit(house: &House, id: ClientId, client: LoggedIn, worker: usize) -> Result<(), PgError> {
    let listen = &house.config.listen;
    if let Some(replication) = client.replication {
        let (server, max_db_connections) = house.replication_server(&client, replication);
        let route = Route {
            shared: &house.shared,
            pools: &house.pools,
            server: &server,
            max_db_connections,
            max_clients: listen.max_client_conn,
            worker,
        };
        return replicate(id, client, &route).await;
    }
    let pool = house.pool(&client);
    let host = Host {
        shared: &house.shared,
        pool: &pool,
        max_clients: listen.max_client_conn,
        client_idle: listen.client_idle_timeout,
        worker,
    };
    serve(id, client, &host).await
}

/// The SQLSTATE as a label: those of our own, and one word for what a server may invent.
fn class(sqlstate: &str) -> &'static str {
    const KNOWN: [&str; 14] = [
        "08P01", "0A000", "28000", "28P01", "3D000", "42501", "42601", "42704", "53300", "54000", "57P01",
        "57P03", "22023", "XX000",
    ];
    KNOWN.iter().find(|known| **known == sqlstate).copied().unwrap_or("other")
}
