//! What a configuration is built into.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use super::{cache, metrics, workers};
use crate::admin::{Operators, StatHistory};
use crate::auth::scram::server::MockKey;
use crate::auth::{AuthError, KeyCache, ScramKeys};
use crate::backend::{Credential, ServerConfig};
use crate::cache::{Cache, Caching};
use crate::config::{Config, Database, Follow, PoolMode, PoolSettings, User};
use crate::frontend::{Accounts, LoggedIn, Replication};
use crate::ids::{PoolKey, SslMode};
use crate::net::NetError;
use crate::net::tls::{ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig};
use crate::observe::{Metrics, NPlusOneSettings, Observer, ObserverSettings};
use crate::pool::{Pool, PoolConfig, Registry};
use crate::relay::{self, REPLICATION_STARTUP, Router, STARTUP, Shared, Source, Tenants};

/// Connections of a pool that runs queries of resolvers.
const OWN_POOL: usize = 2;
/// Derived keys that are remembered, one for each password and salt.
const KEYS: usize = 1000;

/// Why a house cannot be built.
#[derive(Debug)]
pub(super) enum BuildError {
    /// A certificate or key cannot be used.
    Tls(&'static str, NetError),
    /// A stored password cannot be used, or there are no random numbers.
    Auth(AuthError),
    /// Metrics cannot be set up.
    Metrics(prometheus::Error),
}

/// Why other tenants cannot take the place of these.
#[derive(Debug)]
pub(super) enum ReloadError {
    /// `[tenancy]` came or went.
    OnOff,
    /// Something of it cannot be built.
    Build(BuildError),
}

impl std::fmt::Display for ReloadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OnOff => f.write_str("[tenancy] can be added or removed by a restart only"),
            Self::Build(error) => error.fmt(f),
        }
    }
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tls(whose, error) => write!(f, "TLS {whose}: {error}"),
            Self::Auth(error) => write!(f, "{error}"),
            Self::Metrics(error) => write!(f, "{error}"),
        }
    }
}

/// Everything that is built from a configuration, and what sessions share.
pub(super) struct House {
    pub(super) config: Arc<Config>,
    pub(super) shared: Arc<Shared>,
    pub(super) pools: Registry,
    /// Answers of marked reads; `None` without `[cache]`.
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) accounts: ArcSwap<Accounts>,
    /// Who is in the console.
    pub(super) operators: Arc<Operators>,
    /// What the console's averages are taken from.
    pub(super) history: StatHistory,
    /// Held while metrics are read: two readers at once would count some things twice.
    pub(super) reading: Mutex<()>,
    mock: MockKey,
    /// TLS towards each database's server.
    server_tls: HashMap<Arc<str>, Arc<ArcSwap<ClientTls>>>,
    keys: Arc<Mutex<KeyCache>>,
    /// What logins with a verifier left for logins at the server.
    passed: DashMap<Arc<str>, Arc<Mutex<Option<ScramKeys>>>>,
}

impl House {
    pub(super) fn build(config: Config) -> Result<Arc<Self>, BuildError> {
        let config = Arc::new(config);
        let mock = MockKey::generate().map_err(BuildError::Auth)?;
        let accounts = accounts(&config, &mock)?;
        let mut server_tls = HashMap::new();
        for database in config.databases.values().chain(config.any_database.as_ref()) {
            server_tls
                .insert(Arc::clone(&database.name), Arc::new(ArcSwap::from_pointee(client_tls(database)?)));
        }
        let tenants = config.tenancy.clone().map(|tenancy| Arc::new(Tenants::new(tenancy)));
        let counters = Metrics::new().map_err(BuildError::Metrics)?;
        let house = Arc::new(Self {
            shared: Shared::new(counters, config.log.slow_query, tenants, observer(&config)),
            pools: Registry::default(),
            accounts: ArcSwap::from_pointee(accounts),
            cache: cache::build(&config),
            operators: Arc::default(),
            history: StatHistory::default(),
            reading: Mutex::new(()),
            mock,
            server_tls,
            keys: Arc::new(Mutex::new(KeyCache::new(KEYS))),
            passed: DashMap::new(),
            config,
        });
        house.shared.metrics.running.certificates(&metrics::certificates(&house.config));
        if let Some(tenants) = &house.shared.tenants {
            let router: Arc<dyn Router> = Arc::clone(&house) as Arc<dyn Router>;
            tenants.set_router(Arc::downgrade(&router));
        }
        Ok(house)
    }

    /// Puts the tenants of another configuration in the place of these: the rest of it is read at the start only.
    /// Transactions that are open end as they began.
    pub(super) fn reload_tenants(&self, fresh: &Config) -> Result<usize, ReloadError> {
        let (tenants, tenancy) = match (&self.shared.tenants, &fresh.tenancy) {
            (Some(tenants), Some(tenancy)) => (tenants, tenancy),
            (None, None) => return Ok(0),
            _ => return Err(ReloadError::OnOff),
        };
        let config = Arc::new(Config { tenancy: Some(Arc::clone(tenancy)), ..Config::clone(&self.config) });
        let accounts = accounts(&config, &self.mock).map_err(ReloadError::Build)?;
        self.accounts.store(Arc::new(accounts));
        tenants.reload(Arc::clone(tenancy));
        Ok(tenancy.tenants.len())
    }

    /// Reads certificates and keys again; connections that exist keep theirs. All or nothing.
    pub(super) fn reload_certificates(&self) -> Result<(), BuildError> {
        let config = Arc::clone(&self.accounts.load().config);
        let accounts = accounts(&config, &self.mock)?;
        let mut fresh = Vec::new();
        for database in self.config.databases.values().chain(self.config.any_database.as_ref()) {
            if let Some(slot) = self.server_tls.get(&database.name) {
                fresh.push((slot, client_tls(database)?));
            }
        }
        self.accounts.store(Arc::new(accounts));
        for (slot, tls) in fresh {
            slot.store(Arc::new(tls));
        }
        self.shared.metrics.running.certificates(&metrics::certificates(&self.config));
        Ok(())
    }

    /// The pool for a client.
    pub(super) fn pool(&self, client: &LoggedIn) -> Arc<Pool> {
        self.keep_keys(client);
        self.pool_of(&key_of(client), &client.database, &client.user)
    }

    /// A pool that clients use. What it keeps answers of is followed from the first on.
    fn pool_of(&self, key: &PoolKey, database: &Arc<Database>, user: &User) -> Arc<Pool> {
        let pool = self.pools.pool(key, || self.pool_config(key, database, user));
        if let Some(caching) = pool.caching() {
            relay::follow(&self.shared, &caching.database, || {
                let settings = caching.config.follow.clone();
                let plain = self.follower(key, database, user, &settings);
                let replication = ServerConfig { startup: owned(&REPLICATION_STARTUP), ..plain.clone() };
                Source {
                    cache: Arc::clone(&caching.database),
                    settings,
                    dbname: plain.dbname.clone(),
                    plain: Arc::new(plain),
                    replication: Arc::new(replication),
                    pool: Arc::clone(&pool),
                }
            });
        }
        pool
    }

    /// How a connection of Howdah's own is made that follows a database: as whoever `[cache.follow]` names, else as
    /// the pool's.
    pub(super) fn follower(
        &self,
        key: &PoolKey,
        database: &Database,
        user: &User,
        follow: &Follow,
    ) -> ServerConfig {
        let settings = self.config.pool_settings(database, user);
        let mut server = self.server(key, database, user, &settings);
        if let Some(user) = &follow.user {
            server.user.clone_from(user);
            server.credential = match &follow.password {
                Some(password) => Credential::Password(password.clone()),
                None if database.user.as_ref() == Some(user) => self.credential(database, user),
                None => self.credential_of(user),
            };
        }
        server.startup = owned(&STARTUP);
        server
    }

    /// How the server connection for a replication connection is made, and `max_db_connections`. It has no pool:
    /// nothing of it can be lent to anybody else.
    pub(super) fn replication_server(
        &self,
        client: &LoggedIn,
        replication: Replication,
    ) -> (ServerConfig, Option<usize>) {
        self.keep_keys(client);
        let settings = self.config.pool_settings(&client.database, &client.user);
        let mut server = self.server(&key_of(client), &client.database, &client.user, &settings);
        server.startup.push(("replication", replication.value().to_owned()));
        if !client.settings.is_empty() {
            server.startup.push(("options", client.settings.as_options()));
        }
        (server, settings.max_db_connections)
    }

    /// What a login with a verifier leaves for logins at the server.
    fn keep_keys(&self, client: &LoggedIn) {
        if let Some(keys) = &client.keys
            && is_verifier(client.user.password.as_ref())
        {
            *self.slot(&client.user.name).lock() = Some(keys.clone());
        }
    }

    fn pool_config(&self, key: &PoolKey, database: &Arc<Database>, user: &User) -> PoolConfig {
        let settings = self.config.pool_settings(database, user);
        let connector = Arc::new(self.server(key, database, user, &settings));
        let caching = self.caching(key, database, &connector);
        PoolConfig { settings, connector, metrics: self.shared.metrics.pool(key), caching }
    }

    /// What a pool has of the cache. Whatever clients call it: one server database is one.
    fn caching(&self, key: &PoolKey, database: &Database, server: &ServerConfig) -> Option<Arc<Caching>> {
        let (all, config) = (self.cache.as_ref()?, self.config.cache.as_ref()?);
        let id = cache::server_database(&server.host, server.port, &server.dbname);
        database.cache.then(|| Caching::new(all, &id, &key.database, config))
    }

    /// How a pool's connections are made.
    pub(super) fn server(
        &self,
        key: &PoolKey,
        database: &Database,
        user: &User,
        settings: &PoolSettings,
    ) -> ServerConfig {
        let login = database.user.as_deref().unwrap_or(&user.name);
        ServerConfig {
            host: database.host.clone(),
            port: database.port,
            dbname: database.dbname.clone().unwrap_or_else(|| key.database.to_string()),
            user: login.to_owned(),
            credential: self.credential(database, login),
            tls: self.server_tls.get(&database.name).cloned(),
            tls_mode: database.tls.mode,
            connect_timeout: settings.server_connect_timeout,
            startup: self.pinned(),
            max_prepared_statements: settings.max_prepared_statements,
            keys: Arc::clone(&self.keys),
        }
    }

    /// With tenants, how texts are read must not hang on a default of the role's, which whoever is that role may
    /// change: a tenant for all others.
    fn pinned(&self) -> Vec<(&'static str, String)> {
        let tenancy = self.config.tenancy.as_ref();
        tenancy.map(|_| ("standard_conforming_strings", "on".to_owned())).into_iter().collect()
    }

    /// The database's password, or the one that is configured for the user who logs in at the server.
    fn credential(&self, database: &Database, login: &str) -> Credential {
        if let Some(password) = &database.password {
            return Credential::Password(password.clone());
        }
        self.credential_of(login)
    }

    /// What is configured for the user who logs in at the server.
    fn credential_of(&self, login: &str) -> Credential {
        let Some((name, user)) = self.config.users.get_key_value(login) else { return Credential::None };
        match &user.password {
            None => Credential::None,
            verifier if is_verifier(verifier.as_ref()) => Credential::PassThrough(self.slot(name)),
            Some(password) => Credential::Password(password.clone()),
        }
    }

    fn slot(&self, user: &Arc<str>) -> Arc<Mutex<Option<ScramKeys>>> {
        Arc::clone(&self.passed.entry(Arc::clone(user)).or_default())
    }
}

impl Router for House {
    fn pool(&self, database: &str, user: &Arc<User>) -> Option<Arc<Pool>> {
        let settings = self.config.database(database)?;
        let key = PoolKey { database: database.into(), user: Arc::clone(&user.name) };
        Some(self.pool_of(&key, &settings, user))
    }

    fn own_pool(&self, beside: &Pool, database: Option<&str>, user: &Arc<User>) -> Option<Arc<Pool>> {
        let name = database.unwrap_or(&beside.key().database);
        let settings = self.config.database(name)?;
        let key = PoolKey { database: name.into(), user: format!("{} (resolvers)", user.name).into() };
        Some(self.pools.pool(&key, || {
            let mut config = self.pool_config(&key, &settings, user);
            config.settings.default_pool_size = OWN_POOL;
            config.settings.min_pool_size = 0;
            config.settings.reserve_pool_size = 0;
            config.settings.pool_mode = PoolMode::Transaction;
            config.caching = None;
            config
        }))
    }
}

/// Where sessions tell what their statements take; `None` if that is switched off.
fn observer(config: &Config) -> Option<Arc<Observer>> {
    let observe = &config.observe;
    let settings = ObserverSettings {
        max_tracked: observe.max_tracked,
        max_tenants: observe.max_tenants,
        n_plus_one: NPlusOneSettings {
            threshold: observe.n_plus_one.threshold,
            window: observe.n_plus_one.window,
        },
        slow: config.log.slow_query,
        parameters: observe.parameters,
    };
    observe.enabled.then(|| Observer::new(settings, workers::count(&config.listen)))
}

fn key_of(client: &LoggedIn) -> PoolKey {
    PoolKey { database: Arc::clone(&client.database_name), user: Arc::clone(&client.user.name) }
}

/// Settings for a startup message.
fn owned(settings: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

fn is_verifier(password: Option<&SecretString>) -> bool {
    password.is_some_and(|p| p.expose_secret().starts_with("SCRAM-SHA-256$"))
}

fn accounts(config: &Arc<Config>, mock: &MockKey) -> Result<Accounts, BuildError> {
    let tls = &config.listen.tls;
    let tls = match (&tls.cert_file, &tls.key_file) {
        (Some(cert_file), Some(key_file)) if tls.mode != SslMode::Disable => {
            let files = ServerTlsConfig {
                mode: tls.mode,
                cert_file: cert_file.clone(),
                key_file: key_file.clone(),
                client_ca_file: tls.client_ca_file.clone(),
            };
            Some(ServerTls::load(&files).map_err(|error| BuildError::Tls("for clients", error))?)
        }
        _ => None,
    };
    Accounts::new(Arc::clone(config), tls, mock.clone()).map_err(BuildError::Auth)
}

fn client_tls(database: &Database) -> Result<ClientTls, BuildError> {
    let files = ClientTlsConfig {
        mode: database.tls.mode,
        ca_file: database.tls.ca_file.clone(),
        cert_file: database.tls.cert_file.clone(),
        key_file: database.tls.key_file.clone(),
    };
    ClientTls::load(&files).map_err(|error| BuildError::Tls("towards a server", error))
}
