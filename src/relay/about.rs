//! What others may know of clients: for the console and the page.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::clients::{ClientHandle, Clients};
use super::session::Session;
use crate::backend::BackendHandle;
use crate::frontend::{ClientInfo, ClientState, LoggedIn, Replication};
use crate::ids::PoolKey;
use crate::net::Ends;
use crate::session::{ClientSession, Settings};

/// What a client's query is doing.
#[derive(Debug, Default)]
pub(super) enum Running {
    #[default]
    Nothing,
    /// It waits for a connection, or the connection is being prepared for it.
    Waiting,
    /// It has this one.
    On(Arc<BackendHandle>),
}

/// Where a client comes from; it stays so.
#[derive(Debug)]
struct Origin {
    database: Arc<str>,
    ends: Ends,
    replication: Option<Replication>,
    since: SystemTime,
}

/// What may change of a client, and seldom does.
#[derive(Debug)]
struct Now {
    pool: PoolKey,
    tenant: Option<Arc<str>>,
    application: Arc<str>,
    /// The settings that `application` was read from.
    settings: u64,
    prepared: usize,
}

impl Now {
    fn note_settings(&mut self, settings: &Settings) {
        if self.settings == settings.id() {
            return;
        }
        self.settings = settings.id();
        let application = settings.get("application_name").unwrap_or_default();
        if *self.application != *application {
            self.application = application.into();
        }
    }
}

/// What is known of one client.
#[derive(Debug)]
pub(super) struct About {
    origin: Box<Origin>,
    now: Mutex<Now>,
    doing: Mutex<Doing>,
}

#[derive(Debug, Default)]
struct Doing {
    running: Running,
    /// When the latest transaction began, or the waiting before it.
    since: Option<Instant>,
}

impl About {
    /// Of a client that has logged in.
    pub(super) fn new(client: &LoggedIn) -> Self {
        let database = Arc::clone(&client.database_name);
        let pool = PoolKey { database: Arc::clone(&database), user: Arc::clone(&client.user.name) };
        let mut about = Self::of(pool, client.stream.ends());
        about.origin.replication = client.replication;
        about.now.get_mut().note_settings(&client.settings);
        about
    }

    fn of(pool: PoolKey, ends: Ends) -> Self {
        let database = Arc::clone(&pool.database);
        let origin = Origin { database, ends, replication: None, since: SystemTime::now() };
        let now = Now { pool, tenant: None, application: "".into(), settings: 0, prepared: 0 };
        Self { origin: Box::new(origin), now: Mutex::new(now), doing: Mutex::default() }
    }

    /// Of nobody, for tests.
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        Self::of(PoolKey { database: "shop".into(), user: "app".into() }, Ends::UNKNOWN)
    }

    /// It waits, or begins to.
    pub(super) fn set_waiting(&self) {
        let mut doing = self.doing.lock();
        if matches!(doing.running, Running::Nothing) {
            doing.since = Some(Instant::now());
        }
        doing.running = Running::Waiting;
    }

    /// It has a connection.
    pub(super) fn set_running(&self, backend: &Arc<BackendHandle>, at: Instant) {
        let mut doing = self.doing.lock();
        if matches!(doing.running, Running::Nothing) {
            doing.since = Some(at);
        }
        doing.running = Running::On(Arc::clone(backend));
    }

    /// It has none any more.
    pub(super) fn set_idle(&self) {
        self.doing.lock().running = Running::Nothing;
    }

    /// It begins another transaction on the connection that it keeps.
    pub(super) fn set_requested(&self, at: Instant) {
        self.doing.lock().since = Some(at);
    }

    /// What its query is doing.
    pub(super) fn with_running<T>(&self, look: impl FnOnce(&Running) -> T) -> T {
        look(&self.doing.lock().running)
    }
}

impl ClientHandle {
    /// Notes what may have changed with the transaction that is over.
    pub(super) fn note(&self, session: &ClientSession) {
        let mut now = self.about.now.lock();
        now.note_settings(session.settings());
        now.prepared = session.statements();
    }

    /// Notes who it is now.
    pub(super) fn note_tenant(&self, pool: &PoolKey, tenant: Option<&Arc<str>>) {
        let mut now = self.about.now.lock();
        now.pool.clone_from(pool);
        now.tenant = tenant.cloned();
    }

    /// What is known of it at this moment.
    pub fn info(&self) -> ClientInfo {
        let (state, server, requested) = {
            let doing = self.about.doing.lock();
            let requested = doing.since.map(|since| since.elapsed());
            match &doing.running {
                Running::Nothing => (ClientState::Idle, None, requested),
                Running::Waiting => (ClientState::Waiting, None, requested),
                Running::On(server) => {
                    (ClientState::Active, Some((server.id, server.cancel.pid())), requested)
                }
            }
        };
        let origin = &self.about.origin;
        let now = self.about.now.lock();
        ClientInfo {
            id: self.id,
            pid: self.pid,
            database: Arc::clone(&origin.database),
            pool: now.pool.clone(),
            application: Arc::clone(&now.application),
            tenant: now.tenant.clone(),
            replication: origin.replication,
            state,
            wait: requested.filter(|_| state == ClientState::Waiting).unwrap_or_default(),
            requested,
            since: origin.since,
            ends: origin.ends.clone(),
            server,
            pinned: self.pinned(),
            prepared: now.prepared,
        }
    }
}

impl Clients {
    /// All clients, the one first that came first.
    pub fn list(&self) -> Vec<ClientInfo> {
        let mut list: Vec<ClientInfo> = self.handles().iter().map(|handle| handle.info()).collect();
        list.sort_unstable_by_key(|client| client.id);
        list
    }
}

impl Session {
    /// Tells others whose client it is now.
    pub(super) fn note_tenant(&self) {
        let tenant = self.tenancy.as_ref().and_then(|tenancy| tenancy.label());
        self.handle.note_tenant(self.pool.key(), tenant);
    }
}
