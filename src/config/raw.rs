//! The configuration as somebody typed it: each value of the right type and with its place, but nothing
//! compared with anything else yet.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::checked::{AuthType, LogFormat, LogLevel};
use super::pool::{PoolMode, PoolOverrides};
use super::problem::{Problem, Problems, quoted};
use super::raw_cache::{RawCache, read_cache};
use super::raw_observe::{RawAdmin, RawHttp, RawObserve, read_admin, read_http, read_observe};
use super::raw_tenancy::{
    RawTenancy, RawTenant, RawUserTenants, read_tenancy, read_tenant, read_user_tenants,
};
use super::reader::Reader;
use super::source::{At, Located};
use crate::ids::{PinMode, SslMode};

/// Highest number of connections of any kind that is accepted.
pub(super) const MAX_CONNECTIONS: usize = 1_000_000;
/// Highest number of threads that is accepted.
const MAX_THREADS: usize = 1_024;

/// Everything from all files.
#[derive(Debug, Default)]
pub(super) struct Raw {
    /// Files to read too; only the first file may have it.
    pub(super) include: Option<Located<Vec<Located<String>>>>,
    pub(super) listen: Option<RawListen>,
    pub(super) http: Option<RawHttp>,
    pub(super) log: Option<RawLog>,
    pub(super) pool: Option<RawPool>,
    pub(super) databases: Vec<RawDatabase>,
    pub(super) users: Vec<RawUser>,
    pub(super) tenancy: Option<RawTenancy>,
    pub(super) tenants: Vec<RawTenant>,
    pub(super) cache: Option<RawCache>,
    pub(super) admin: Option<RawAdmin>,
    pub(super) observe: Option<RawObserve>,
}

/// `[listen]` and `[listen.tls]`.
#[derive(Debug)]
pub(super) struct RawListen {
    pub(super) at: At,
    pub(super) broken: bool,
    pub(super) addresses: Option<Located<Vec<Located<String>>>>,
    pub(super) unix_socket_dir: Option<Located<PathBuf>>,
    pub(super) auth_type: Option<Located<AuthType>>,
    pub(super) max_client_conn: Option<Located<usize>>,
    pub(super) shutdown_timeout: Option<Located<Duration>>,
    pub(super) client_login_timeout: Option<Located<Duration>>,
    pub(super) client_idle_timeout: Option<Located<Duration>>,
    pub(super) worker_threads: Option<Located<usize>>,
    pub(super) tls: RawTls,
}

/// `[listen.tls]` or `[databases.X.tls]`.
#[derive(Debug, Default)]
pub(super) struct RawTls {
    pub(super) mode: Option<Located<SslMode>>,
    pub(super) cert_file: Option<Located<PathBuf>>,
    pub(super) key_file: Option<Located<PathBuf>>,
    /// `client_ca_file` of `[listen.tls]`, `ca_file` of a database.
    pub(super) ca_file: Option<Located<PathBuf>>,
    pub(super) broken: bool,
}

/// `[log]`.
#[derive(Debug)]
pub(super) struct RawLog {
    pub(super) at: At,
    pub(super) level: Option<Located<LogLevel>>,
    pub(super) format: Option<Located<LogFormat>>,
    pub(super) slow_query: Option<Located<Duration>>,
}

/// `[pool]`, or the pool keys of a database or user.
#[derive(Debug)]
pub(super) struct RawPool {
    pub(super) at: At,
    pub(super) typed: PoolOverrides,
    /// Where `min_pool_size` and `default_pool_size` were typed.
    pub(super) min_at: Option<At>,
    pub(super) size_at: Option<At>,
}

/// The keys of a secret's three forms, and what it is.
#[derive(Debug)]
pub(super) struct SecretKeys {
    pub(super) what: &'static str,
    pub(super) typed: &'static str,
    pub(super) env: &'static str,
    pub(super) file: &'static str,
}

impl SecretKeys {
    pub(super) const PASSWORD: Self =
        Self { what: "password", typed: "password", env: "password_env", file: "password_file" };
    pub(super) const TOKEN: Self =
        Self { what: "token", typed: "token", env: "token_env", file: "token_file" };
}

/// A secret in one of its three forms.
#[derive(Debug)]
pub(super) struct RawSecret {
    pub(super) keys: &'static SecretKeys,
    pub(super) typed: Option<Located<SecretString>>,
    pub(super) env: Option<Located<String>>,
    pub(super) file: Option<Located<PathBuf>>,
}

/// `[databases.X]`.
#[derive(Debug)]
pub(super) struct RawDatabase {
    pub(super) name: Located<String>,
    pub(super) at: At,
    pub(super) broken: bool,
    pub(super) host: Option<Located<String>>,
    pub(super) port: Option<Located<usize>>,
    pub(super) dbname: Option<Located<String>>,
    pub(super) user: Option<Located<String>>,
    pub(super) secret: RawSecret,
    pub(super) tls: RawTls,
    pub(super) pool: RawPool,
    pub(super) cache: Option<Located<bool>>,
}

/// `[users.X]`.
#[derive(Debug)]
pub(super) struct RawUser {
    pub(super) name: Located<String>,
    pub(super) at: At,
    pub(super) broken: bool,
    pub(super) secret: RawSecret,
    pub(super) auth_type: Option<Located<AuthType>>,
    pub(super) databases: Option<Located<Vec<Located<String>>>>,
    pub(super) tenants: RawUserTenants,
    pub(super) pool: RawPool,
}

impl Raw {
    /// Reads one file from its root table.
    pub(super) fn read(mut root: Reader<'_>) -> Self {
        let raw = Self {
            include: root.strings("include"),
            listen: root.table("listen").map(read_listen),
            http: root.table("http").map(read_http),
            log: root.table("log").map(read_log),
            pool: root.table("pool").map(|mut table| {
                let pool = read_pool(&mut table);
                table.finish();
                pool
            }),
            databases: root.named_tables("databases").into_iter().filter_map(read_database).collect(),
            users: root.named_tables("users").into_iter().filter_map(read_user).collect(),
            tenancy: root.table("tenancy").map(read_tenancy),
            tenants: root.named_tables("tenants").into_iter().filter_map(read_tenant).collect(),
            cache: root.table("cache").map(read_cache),
            admin: root.table("admin").map(read_admin),
            observe: root.table("observe").map(read_observe),
        };
        root.finish();
        raw
    }

    /// Takes over what another file has; what both have is a problem with two places.
    pub(super) fn merge(&mut self, other: Self, problems: &Problems) {
        let twice = |what: String, first: &At, second: &At| {
            let message = format!("{what} is defined in two files");
            problems.add(Problem::new(message).at(second).also("first defined", first));
        };
        merge_one(&mut self.listen, other.listen, |a, b| twice("`[listen]`".to_owned(), &a.at, &b.at));
        merge_one(&mut self.http, other.http, |a, b| twice("`[http]`".to_owned(), &a.at, &b.at));
        merge_one(&mut self.log, other.log, |a, b| twice("`[log]`".to_owned(), &a.at, &b.at));
        merge_one(&mut self.pool, other.pool, |a, b| twice("`[pool]`".to_owned(), &a.at, &b.at));
        merge_one(&mut self.tenancy, other.tenancy, |a, b| twice("`[tenancy]`".to_owned(), &a.at, &b.at));
        merge_one(&mut self.cache, other.cache, |a, b| twice("`[cache]`".to_owned(), &a.at, &b.at));
        merge_one(&mut self.admin, other.admin, |a, b| twice("`[admin]`".to_owned(), &a.at, &b.at));
        merge_one(&mut self.observe, other.observe, |a, b| twice("`[observe]`".to_owned(), &a.at, &b.at));
        self.merge_tenants(other.tenants, &twice);
        for database in other.databases {
            let same = self.databases.iter().find(|d| d.name.value == database.name.value);
            match same {
                Some(first) => {
                    let what = format!("database {}", quoted(&database.name.value));
                    twice(what, &first.name.at, &database.name.at);
                }
                None => self.databases.push(database),
            }
        }
        for user in other.users {
            match self.users.iter().find(|u| u.name.value == user.name.value) {
                Some(first) => {
                    twice(format!("user {}", quoted(&user.name.value)), &first.name.at, &user.name.at);
                }
                None => self.users.push(user),
            }
        }
    }

    /// By a map: there may be many thousands.
    fn merge_tenants(&mut self, more: Vec<RawTenant>, twice: &dyn Fn(String, &At, &At)) {
        let known: HashMap<String, At> =
            self.tenants.iter().map(|t| (t.name.value.clone(), t.name.at.clone())).collect();
        for tenant in more {
            match known.get(&tenant.name.value) {
                Some(first) => {
                    twice(format!("tenant {}", quoted(&tenant.name.value)), first, &tenant.name.at);
                }
                None => self.tenants.push(tenant),
            }
        }
    }
}

fn merge_one<T>(ours: &mut Option<T>, theirs: Option<T>, twice: impl Fn(&T, &T)) {
    match (ours.as_ref(), theirs) {
        (Some(first), Some(second)) => twice(first, &second),
        (None, Some(second)) => *ours = Some(second),
        (_, None) => {}
    }
}

fn read_listen(mut table: Reader<'_>) -> RawListen {
    let mut listen = RawListen {
        at: table.at.clone(),
        broken: false,
        addresses: table.strings("addresses"),
        unix_socket_dir: table.path("unix_socket_dir"),
        auth_type: table.word("auth_type", &AuthType::WORDS),
        max_client_conn: table.count("max_client_conn", 1..=MAX_CONNECTIONS),
        shutdown_timeout: table.duration("shutdown_timeout"),
        client_login_timeout: table.duration("client_login_timeout"),
        client_idle_timeout: table.duration("client_idle_timeout"),
        worker_threads: table.count("worker_threads", 0..=MAX_THREADS),
        tls: table.table("tls").map(|tls| read_tls(tls, "client_ca_file")).unwrap_or_default(),
    };
    listen.broken = table.finish() || listen.tls.broken;
    listen
}

fn read_tls(mut table: Reader<'_>, ca_file: &'static str) -> RawTls {
    let mut tls = RawTls {
        mode: table.word("mode", &SslMode::WORDS),
        cert_file: table.path("cert_file"),
        key_file: table.path("key_file"),
        ca_file: table.path(ca_file),
        broken: false,
    };
    tls.broken = table.finish();
    tls
}

fn read_log(mut table: Reader<'_>) -> RawLog {
    let log = RawLog {
        at: table.at.clone(),
        level: table.word("level", &LogLevel::WORDS),
        format: table.word("format", &LogFormat::WORDS),
        slow_query: table.duration("slow_query"),
    };
    table.finish();
    log
}

/// The pool keys of a table; the table's other keys are its own.
fn read_pool(table: &mut Reader<'_>) -> RawPool {
    fn value<T>(located: Option<Located<T>>) -> Option<T> {
        located.map(|l| l.value)
    }
    let all = 0..=MAX_CONNECTIONS;
    let pool_mode = value(table.word("pool_mode", &PoolMode::WORDS));
    let size = table.count("default_pool_size", 1..=MAX_CONNECTIONS);
    let min = table.count("min_pool_size", all.clone());
    let (min_at, size_at) = (min.as_ref().map(|l| l.at.clone()), size.as_ref().map(|l| l.at.clone()));
    let typed = PoolOverrides {
        pool_mode,
        default_pool_size: value(size),
        min_pool_size: value(min),
        reserve_pool_size: value(table.count("reserve_pool_size", all.clone())),
        reserve_pool_timeout: value(table.duration("reserve_pool_timeout")),
        max_db_connections: value(table.count("max_db_connections", all.clone())),
        query_wait_timeout: value(table.duration("query_wait_timeout")),
        query_timeout: value(table.duration("query_timeout")),
        transaction_timeout: value(table.duration("transaction_timeout")),
        idle_transaction_timeout: value(table.duration("idle_transaction_timeout")),
        server_connect_timeout: value(table.duration("server_connect_timeout")),
        server_login_retry: value(table.duration("server_login_retry")),
        server_idle_timeout: value(table.duration("server_idle_timeout")),
        server_lifetime: value(table.duration("server_lifetime")),
        server_reset_query: value(table.any_string("server_reset_query")),
        max_prepared_statements: value(table.count("max_prepared_statements", all)),
        pin: value(table.word("pin", &PinMode::WORDS)),
        max_pinned_connections: read_most_pinned(table),
    };
    RawPool { at: table.at.clone(), typed, min_at, size_at }
}

fn read_most_pinned(table: &mut Reader<'_>) -> Option<usize> {
    let most = table.count("max_pinned_connections", 0..=MAX_CONNECTIONS)?;
    if most.value == 0 {
        table.problem(
            Problem::new("`max_pinned_connections` is 0, so no client could keep its connection")
                .at(&most.at)
                .help("write pin = \"refuse\" instead: then what would need one is refused")
                .help(format!("valid here: a number from 1 to {MAX_CONNECTIONS}")),
        );
        return None;
    }
    Some(most.value)
}

pub(super) fn read_secret(table: &mut Reader<'_>, keys: &'static SecretKeys) -> RawSecret {
    RawSecret {
        keys,
        typed: table
            .string(keys.typed)
            .map(|typed| Located { value: SecretString::from(typed.value), at: typed.at }),
        env: table.string(keys.env),
        file: table.path(keys.file),
    }
}

fn read_database((name, table): (Located<String>, Option<Reader<'_>>)) -> Option<RawDatabase> {
    let mut table = table?;
    let mut database = RawDatabase {
        name,
        at: table.at.clone(),
        broken: false,
        host: table.string("host"),
        port: table.count("port", 1..=usize::from(u16::MAX)),
        dbname: table.string("dbname"),
        user: table.string("user"),
        secret: read_secret(&mut table, &SecretKeys::PASSWORD),
        tls: table.table("tls").map(|tls| read_tls(tls, "ca_file")).unwrap_or_default(),
        pool: read_pool(&mut table),
        cache: table.flag("cache"),
    };
    database.broken = table.finish();
    Some(database)
}

fn read_user((name, table): (Located<String>, Option<Reader<'_>>)) -> Option<RawUser> {
    let mut table = table?;
    let mut user = RawUser {
        name,
        at: table.at.clone(),
        broken: false,
        secret: read_secret(&mut table, &SecretKeys::PASSWORD),
        auth_type: table.word("auth_type", &AuthType::WORDS),
        databases: table.strings("databases"),
        tenants: read_user_tenants(&mut table),
        pool: read_pool(&mut table),
    };
    user.broken = table.finish();
    Some(user)
}
