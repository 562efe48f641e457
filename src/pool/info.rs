//! What a pool tells of itself, for the console and the page.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::core::{Inner, Pool};
use crate::backend::BackendHandle;
use crate::config::PoolMode;
use crate::ids::{BackendId, ClientId, PoolKey};
use crate::net::Ends;
use crate::sql::Leaves;

/// A pool at one moment.
#[derive(Clone, Debug)]
pub struct PoolInfo {
    /// What it is for.
    pub key: PoolKey,
    /// When clients give a connection back.
    pub mode: PoolMode,
    /// `default_pool_size`.
    pub size: usize,
    /// `min_pool_size`.
    pub min: usize,
    /// `reserve_pool_size`.
    pub reserve: usize,
    /// Somebody has waited so long that the reserve is used.
    pub uses_reserve: bool,
    /// `max_db_connections`.
    pub max_db_connections: Option<usize>,
    /// Connections that clients have.
    pub active: usize,
    /// Connections that rest.
    pub idle: usize,
    /// Connections that are being brought to rest without their clients.
    pub cleaning: usize,
    /// Connections that would rest, were not a cancel request still on its way to their server.
    pub cancelling: usize,
    /// Connections that are being made.
    pub connecting: usize,
    /// Cancel requests on their way to the server.
    pub cancels: usize,
    /// Clients that wait for a connection.
    pub waiting: usize,
    /// How long the one has waited that has waited for longest; zero when nobody waits.
    pub oldest_wait: Duration,
    /// Connections that clients keep beyond their transactions, by the reason.
    pub pinned: Vec<(&'static str, usize)>,
    /// Why no connection can be made, since one was tried last.
    pub failure: Option<String>,
    /// Tenants that use it now or did a second ago.
    pub tenants: usize,
    /// Times that a connection was lent.
    pub lent: u64,
}

impl PoolInfo {
    /// Connections that exist.
    pub fn open(&self) -> usize {
        self.active + self.idle + self.cleaning + self.cancelling
    }
}

/// What a server connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerState {
    /// A client has it.
    Active,
    /// It rests.
    Idle,
    /// It is being brought to rest without its client.
    Cleaning,
    /// It would rest, were not a cancel request still on its way to its server.
    Cancelling,
}

impl ServerState {
    /// Its word, where there is no other custom.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Cleaning => "cleaning",
            Self::Cancelling => "cancelling",
        }
    }
}

/// A server connection at one moment.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// Its number.
    pub id: BackendId,
    /// The pool that it belongs to.
    pub pool: PoolKey,
    /// What it does.
    pub state: ServerState,
    /// The user that it is logged in as.
    pub user: Box<str>,
    /// The server's process.
    pub pid: u32,
    /// Where its ends are.
    pub ends: Ends,
    /// When it was made.
    pub made: SystemTime,
    /// The client that has it.
    pub client: Option<ClientId>,
    /// For how long it has rested, if it does.
    pub rested: Option<Duration>,
    /// How many statements were prepared on it when a client last gave it back.
    pub prepared: usize,
    /// It is older than `server_lifetime`, and is closed when its client gives it back.
    pub close_needed: bool,
}

fn state(inner: &Inner, server: &BackendHandle) -> ServerState {
    if inner.idle.iter().any(|backend| backend.id() == server.id) {
        ServerState::Idle
    } else if !server.is_cleaning() {
        ServerState::Active
    } else if server.is_calm() {
        ServerState::Cleaning
    } else {
        ServerState::Cancelling
    }
}

impl Pool {
    /// What it is and does now.
    pub fn info(&self) -> PoolInfo {
        let settings = self.settings();
        let pinned = Leaves::PINS.iter().enumerate();
        let pinned = pinned.map(|(reason, (_, word))| (*word, self.gate().pinned(reason)));
        let pinned = pinned.filter(|(_, count)| *count > 0).collect();
        let inner = self.inner.lock();
        let states: Vec<ServerState> = inner.servers.iter().map(|server| state(&inner, server)).collect();
        let count = |which| states.iter().filter(|state| **state == which).count();
        PoolInfo {
            key: self.key().clone(),
            mode: settings.pool_mode,
            size: settings.default_pool_size,
            min: settings.min_pool_size,
            reserve: settings.reserve_pool_size,
            uses_reserve: inner.use_reserve,
            max_db_connections: settings.max_db_connections,
            active: count(ServerState::Active),
            idle: count(ServerState::Idle),
            cleaning: count(ServerState::Cleaning),
            cancelling: count(ServerState::Cancelling),
            connecting: inner.slots.connecting(),
            cancels: inner.servers.iter().map(|server| server.cancelling()).sum(),
            waiting: inner.queue.len(),
            oldest_wait: inner.queue.longest().map(|cell| cell.since.elapsed()).unwrap_or_default(),
            pinned,
            failure: inner.failure.as_ref().map(|failure| failure.error.to_string()),
            tenants: inner.queue.tenants(),
            lent: self.lent(),
        }
    }

    /// Connections that a tenant has of it or that are on their way to it, and how many of its clients wait.
    pub fn of_tenant(&self, tenant: u64) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.queue.in_use(tenant), inner.queue.waiting(tenant))
    }

    /// Its server connections, in the order in which they were made.
    pub fn servers(&self) -> Vec<ServerInfo> {
        let lifetime = self.settings().server_lifetime;
        let inner = self.inner.lock();
        let info = |server: &Arc<BackendHandle>| {
            let resting = inner.idle.iter().find(|backend| backend.id() == server.id);
            let state = state(&inner, server);
            let old = |life| server.made.elapsed().is_ok_and(|age| age > life);
            ServerInfo {
                id: server.id,
                pool: self.key().clone(),
                state,
                user: server.user.clone(),
                pid: server.cancel.pid(),
                ends: server.ends.clone(),
                made: server.made,
                client: server.client().filter(|_| state == ServerState::Active),
                rested: resting.map(|backend| backend.used.elapsed()),
                prepared: server.prepared(),
                close_needed: lifetime.is_some_and(old),
            }
        };
        inner.servers.iter().map(info).collect()
    }
}
