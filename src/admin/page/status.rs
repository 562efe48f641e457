//! What the page is made from. Whoever knows it all implements [`Status`].

use std::sync::Arc;
use std::time::Duration;

use crate::observe::Observer;

/// What the answers are made from; implemented where everything is known.
pub trait Status: Send + Sync + 'static {
    /// The metrics in the format that an `Accept` header asks for, and its `Content-Type`.
    ///
    /// # Errors
    /// What went wrong, for the log and the answer.
    fn metrics(&self, accept: &str) -> Result<(&'static str, String), String>;
    /// Ready to serve clients, or why not.
    ///
    /// # Errors
    /// The reason, in a few words.
    fn ready(&self) -> Result<(), String>;
    /// Where statements are counted; `None`: they are not.
    fn observer(&self) -> Option<Arc<Observer>>;
    /// What is so now.
    fn state(&self) -> State;
    /// All pools.
    fn pools(&self) -> Vec<PoolLine>;
    /// All clients, at most so many.
    fn clients(&self, most: usize) -> Vec<ClientLine>;
    /// What a tenant may have, and what it has.
    fn tenant(&self, name: &str) -> Option<TenantLine>;
}

/// What is so of the whole process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Clients that are logged in.
    pub clients: usize,
    /// `max_client_conn`.
    pub max_clients: usize,
    /// It lets clients go, and takes no more.
    pub draining: bool,
    /// Sessions that ended with a panic.
    pub panics: u64,
    /// Marked statements that went to the server all the same, so far; `None`: there is no cache.
    pub missed: Option<u64>,
    /// Databases whose answers are not kept now, and why.
    pub cache_paused: Vec<(String, String)>,
    /// `n_plus_one.threshold`; 0: it is not looked for.
    pub n_plus_one: u32,
    /// Statements that take as long are in the slow log; `None`: there is none.
    pub slow: Option<Duration>,
}

/// A pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolLine {
    /// As clients call it.
    pub database: String,
    /// The login.
    pub user: String,
    /// `pool_mode`.
    pub mode: &'static str,
    /// Where its server is.
    pub server: String,
    /// Server connections that it may have, without the reserve.
    pub size: usize,
    /// Server connections that clients have.
    pub active: usize,
    /// Those that rest.
    pub idle: usize,
    /// Those that are being made or cleaned.
    pub busy: usize,
    /// Those that a client keeps beyond its transactions.
    pub pinned: usize,
    /// Clients that wait.
    pub waiting: usize,
    /// How long the one has waited who waits longest.
    pub oldest: Duration,
    /// The server is out of reach: why.
    pub down: Option<String>,
}

/// A client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientLine {
    /// Its number, as in the log.
    pub id: u64,
    /// Where it comes from.
    pub address: String,
    /// As it calls it.
    pub database: String,
    /// Its login.
    pub user: String,
    /// Its tenant.
    pub tenant: Option<String>,
    /// What it calls itself.
    pub application: String,
    /// What it does.
    pub state: &'static str,
    /// How long it has waited, if it waits.
    pub waiting: Duration,
    /// How long ago it logged in.
    pub connected: Duration,
    /// What it keeps its server connection for.
    pub pinned: Option<String>,
    /// It came by TLS.
    pub tls: bool,
    /// Statements that it has prepared.
    pub prepared: usize,
}

/// A tenant's limits, and what counts against them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantLine {
    /// Its clients.
    pub clients: usize,
    /// `max_client_conn` of the tenant.
    pub max_clients: Option<usize>,
    /// Server connections that it has.
    pub servers: usize,
    /// `max_server_connections`.
    pub max_servers: Option<usize>,
    /// Clients of it that wait.
    pub waiting: usize,
    /// Its weight.
    pub weight: u32,
    /// `transactions_per_second`.
    pub max_transactions: Option<u32>,
}
