//! What others may know of a client that is logged in.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::replication::Replication;
use crate::ids::{BackendId, ClientId, PoolKey};
use crate::net::Ends;

/// What a client does, for whoever looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientState {
    /// Nothing, or nothing that needs a server.
    Idle,
    /// It has a server connection.
    Active,
    /// It waits for one, or for what must be done on it first.
    Waiting,
}

impl ClientState {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Waiting => "waiting",
        }
    }
}

/// A client at one moment.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// Its number.
    pub id: ClientId,
    /// What its `BackendKeyData` said: the process id that its driver knows.
    pub pid: u32,
    /// The database that it asked for.
    pub database: Arc<str>,
    /// The pool that serves it: with a tenant that has a database of its own, that one's.
    pub pool: PoolKey,
    /// `application_name`; empty if there is none.
    pub application: Arc<str>,
    /// Its tenant, if it has one.
    pub tenant: Option<Arc<str>>,
    /// It replicates.
    pub replication: Option<Replication>,
    /// What it does.
    pub state: ClientState,
    /// How long it has waited, if it waits.
    pub wait: Duration,
    /// How long ago its latest transaction began; `None`: it has asked for nothing yet.
    pub requested: Option<Duration>,
    /// When it logged in.
    pub since: SystemTime,
    /// Where its ends are.
    pub ends: Ends,
    /// The server connection that it has, and the process there.
    pub server: Option<(BackendId, u32)>,
    /// What it keeps a server connection for beyond its transactions, in words.
    pub pinned: Option<String>,
    /// How many statements it had prepared by the end of its latest transaction.
    pub prepared: usize,
}
