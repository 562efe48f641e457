//! The valid configuration: what every other room is built from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::cache::Cache;
use super::observe::{Http, Observe};
use super::pool::{PoolOverrides, PoolSettings};
use super::tenancy::{Tenancy, TenantRule};
use crate::ids::SslMode;

/// Names of databases that belong to Howdah's own console; no `[databases.X]` may take them.
pub const CONSOLE_DATABASES: [&str; 2] = ["howdah", "pgbouncer"];

/// A whole configuration, valid and complete: defaults filled in, paths resolved, secrets read.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where clients connect and how they prove who they are.
    pub listen: Listen,
    /// The HTTP side; `None` when there is no `[http]`.
    pub http: Option<Http>,
    /// What is logged and how.
    pub log: Log,
    /// Databases by the name clients ask for; without `*`.
    pub databases: BTreeMap<Arc<str>, Arc<Database>>,
    /// The database `*`: any name that has no entry of its own.
    pub any_database: Option<Arc<Database>>,
    /// Who may log in, by name.
    pub users: BTreeMap<Arc<str>, Arc<User>>,
    /// The `[pool]` defaults, before overrides.
    pub pool: PoolSettings,
    /// `[tenancy]` and `[tenants]`; `None`: transactions carry no tenant.
    pub tenancy: Option<Arc<Tenancy>>,
    /// `[cache]`; `None`: no answer is kept.
    pub cache: Option<Arc<Cache>>,
    /// Who may use the console.
    pub admin: Admin,
    /// What is measured.
    pub observe: Observe,
}

impl Config {
    /// The database a client means by `name`: its own entry, or else `*`. The console's names are never
    /// found here, so that `*` cannot send them to a server.
    pub fn database(&self, name: &str) -> Option<Arc<Database>> {
        if CONSOLE_DATABASES.contains(&name) {
            return None;
        }
        self.databases.get(name).or(self.any_database.as_ref()).cloned()
    }

    /// What holds for the pool of this user on this database: `[pool]`, then the database's own keys, then
    /// the user's.
    pub fn pool_settings(&self, db: &Database, user: &User) -> PoolSettings {
        self.pool.clone().with(&db.pool).with(&user.pool)
    }
}

/// `[listen]`: where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// TCP addresses; port 0 lets the system choose one.
    pub addresses: Vec<SocketAddr>,
    /// Directory for the Unix socket, if there is to be one.
    pub unix_socket_dir: Option<PathBuf>,
    /// The least that a client's login must be; a user may override it.
    pub auth_type: AuthType,
    /// How many clients may be connected at one time.
    pub max_client_conn: usize,
    /// How long a shutdown waits for transactions to end; zero: it does not wait.
    pub shutdown_timeout: Duration,
    /// How long a client may take to log in; zero: for ever.
    pub client_login_timeout: Duration,
    /// How long a client may be silent outside of a transaction; `None`: for ever.
    pub client_idle_timeout: Option<Duration>,
    /// Threads that serve clients; `None`: automatic, half of the cores and at least one.
    pub worker_threads: Option<NonZeroUsize>,
    /// TLS towards clients.
    pub tls: ListenTls,
}

/// `[listen.tls]`: TLS towards clients.
///
/// `cert_file` and `key_file` are both there or both absent; modes from `require` up have them, and the
/// `verify-*` modes have `client_ca_file`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenTls {
    /// What is offered and asked for. Without a certificate, `allow` and `prefer` offer none.
    pub mode: SslMode,
    /// The server certificate and its chain, PEM.
    pub cert_file: Option<PathBuf>,
    /// The certificate's private key, PEM.
    pub key_file: Option<PathBuf>,
    /// Authorities that clients' certificates must chain to, PEM.
    pub client_ca_file: Option<PathBuf>,
}

/// How a client proves who it is; ordered by strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthType {
    /// No proof.
    Trust,
    /// The password itself, over TLS only.
    Password,
    /// The old md5 exchange.
    Md5,
    /// SCRAM-SHA-256, with or without channel binding.
    ScramSha256,
    /// SCRAM-SHA-256-PLUS: with channel binding, so over TLS only.
    ScramSha256Plus,
}

impl AuthType {
    /// All words, in the order of their strength.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("trust", Self::Trust),
        ("password", Self::Password),
        ("md5", Self::Md5),
        ("scram-sha-256", Self::ScramSha256),
        ("scram-sha-256-plus", Self::ScramSha256Plus),
    ];

    /// The word for this type.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// `[admin]`: who may use the console, which is the databases of [`CONSOLE_DATABASES`]. All are in
/// [`Config::users`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Who may look and change.
    pub users: BTreeSet<Arc<str>>,
    /// Who may look.
    pub stats_users: BTreeSet<Arc<str>>,
}

/// `[log]`: what is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least level that is logged.
    pub level: LogLevel,
    /// One line of text or one JSON object for each event.
    pub format: LogFormat,
    /// Statements that take at least this long are logged; `None`: none are.
    pub slow_query: Option<Duration>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what looks wrong.
    Warn,
    /// And what happens: start, reload, stop.
    Info,
    /// And each login.
    Debug,
    /// And everything.
    Trace,
}

impl LogLevel {
    /// All words, from the quietest.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];

    /// The word for this level.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object on each line.
    Json,
}

impl LogFormat {
    /// All words.
    pub const WORDS: [(&'static str, Self); 2] = [("text", Self::Text), ("json", Self::Json)];

    /// The word for this format.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// `[databases.X]`: one database that clients may ask for.
#[derive(Clone, Debug)]
pub struct Database {
    /// The name clients ask for, or `*`.
    pub name: Arc<str>,
    /// A name, an address, or an absolute directory that holds the server's Unix socket.
    pub host: String,
    /// The server's port (for a socket directory, the number in the socket's name).
    pub port: u16,
    /// The database's name on the server; `None`: the name that the client asked for.
    pub dbname: Option<String>,
    /// Who logs in to the server; `None`: the client's user.
    pub user: Option<String>,
    /// The password to log in to the server with; `None`: the client's proof is passed through, or the
    /// user's plain password is used.
    pub password: Option<SecretString>,
    /// TLS towards the server.
    pub tls: ServerTls,
    /// Pool keys that this database overrides.
    pub pool: PoolOverrides,
    /// Whether answers of this database may be kept; without `[cache]` it means nothing.
    pub cache: bool,
}

impl Database {
    /// Whether `host` is a directory with a Unix socket in it.
    pub fn is_unix(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl PartialEq for Database {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.host == other.host
            && self.port == other.port
            && self.dbname == other.dbname
            && self.user == other.user
            && same_secret(self.password.as_ref(), other.password.as_ref())
            && self.tls == other.tls
            && self.pool == other.pool
            && self.cache == other.cache
    }
}

/// `[databases.X.tls]`: TLS towards a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// libpq's `sslmode`.
    pub mode: SslMode,
    /// Authorities that the server's certificate must chain to, PEM; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// A certificate to show to the server, PEM; there exactly when `key_file` is.
    pub cert_file: Option<PathBuf>,
    /// The certificate's private key, PEM.
    pub key_file: Option<PathBuf>,
}

/// `[users.X]`: who may log in to Howdah.
#[derive(Clone, Debug)]
pub struct User {
    /// The name to log in with.
    pub name: Arc<str>,
    /// Plain, `md5` and 32 hex digits, or a SCRAM verifier as in `pg_authid`; well formed. `None` only
    /// when this user's effective auth type is `trust`.
    pub password: Option<SecretString>,
    /// Overrides `[listen] auth_type`.
    pub auth_type: Option<AuthType>,
    /// The databases this user may ask for; `None`: all.
    pub databases: Option<BTreeSet<Arc<str>>>,
    /// The tenants this user may use; without `[tenancy]` it means nothing.
    pub tenants: TenantRule,
    /// The role of this user's transactions; it wins over a tenant's.
    pub role: Option<String>,
    /// Pool keys that this user overrides.
    pub pool: PoolOverrides,
}

impl User {
    /// Whether this user may ask for the database `name`.
    pub fn may_use(&self, name: &str) -> bool {
        self.databases.as_ref().is_none_or(|allowed| allowed.contains(name))
    }
}

impl PartialEq for User {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && same_secret(self.password.as_ref(), other.password.as_ref())
            && self.auth_type == other.auth_type
            && self.databases == other.databases
            && self.tenants == other.tenants
            && self.role == other.role
            && self.pool == other.pool
    }
}

/// Compares two configured secrets with each other (a reload's question), never one with a client's input:
/// its time depends on where they differ.
pub(super) fn same_secret(a: Option<&SecretString>, b: Option<&SecretString>) -> bool {
    a.map(ExposeSecret::expose_secret) == b.map(ExposeSecret::expose_secret)
}

/// The word for `value` in a table of words that names every value.
pub(super) fn word_of<T: PartialEq + Copy>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, v)| *v == value).map_or("", |(word, _)| word)
}
