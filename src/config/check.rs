//! From what was typed to what is valid: defaults, and everything that can contradict something else.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::check_cache::cache;
use super::check_entries::{databases, users};
use super::check_observe::{admin, http, observe};
use super::check_tenancy::tenancy;
use super::checked::{AuthType, Config, Listen, ListenTls, Log, LogFormat, LogLevel};
use super::pool::{PoolSettings, timeout};
use super::problem::{Problem, Problems, quoted};
use super::raw::{Raw, RawListen, RawLog, RawPool, RawTls};
use super::secret::Env;
use super::source::{At, Located, why};
use crate::ids::SslMode;

/// Where Howdah listens when nobody says where.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6432);
/// Longest directory of a Unix socket, in bytes: the system takes 107 for the path, and the socket's own
/// name has up to 16.
pub(super) const MAX_SOCKET_DIR: usize = 107 - "/.s.PGSQL.65535".len();

/// Checks everything; the result counts only when no problem was found. `whole` is where a problem stands
/// that has no better place.
pub(super) fn check(raw: &Raw, env: Env<'_>, whole: &At, problems: &Problems) -> Config {
    let (listen, tls_possible) = listen(raw.listen.as_ref(), problems);
    let http = http(raw, &listen, env, problems);
    let pool = raw.pool.as_ref().map_or_else(PoolSettings::default, |typed| {
        let pool = PoolSettings::default().with(&typed.typed);
        sizes(&pool, &[typed], problems);
        pool
    });
    let all = databases(&raw.databases, &pool, env, problems);
    let mut databases: BTreeMap<_, _> = all.into_iter().map(|d| (Arc::clone(&d.name), Arc::new(d))).collect();
    let any_database = databases.remove("*");
    let auth = Auth {
        default: listen.auth_type,
        known: !raw.listen.as_ref().is_some_and(|l| l.broken),
        tls_possible,
    };
    let tenancy = tenancy(raw, problems);
    let users = users(raw, &auth, &pool, tenancy.as_ref(), env, problems);
    if raw.databases.is_empty() {
        problems.add(
            Problem::new("no database is defined")
                .at(whole)
                .help("write at least one: [databases.app] with host = \"127.0.0.1\", or [databases.\"*\"] for any name"),
        );
    }
    if raw.users.is_empty() {
        problems.add(
            Problem::new("no user is defined, so nobody could log in")
                .at(whole)
                .help("write at least one: [users.app_user] with a password"),
        );
    }
    Config {
        listen,
        http,
        log: log(raw.log.as_ref()),
        databases,
        any_database,
        users: users.into_iter().map(|u| (Arc::clone(&u.name), Arc::new(u))).collect(),
        pool,
        tenancy: tenancy.map(Arc::new),
        cache: cache(raw, env, problems).map(Arc::new),
        admin: admin(raw, problems),
        observe: observe(raw, problems),
    }
}

/// What the check of a user needs to know of `[listen]`.
pub(super) struct Auth {
    pub(super) default: AuthType,
    /// Whether `default` is what somebody wanted, or stands for something that could not be read.
    pub(super) known: bool,
    /// Whether a client can have TLS at all.
    pub(super) tls_possible: bool,
}

/// `[listen]`, and whether clients can have TLS.
fn listen(raw: Option<&RawListen>, problems: &Problems) -> (Listen, bool) {
    let mut listen = Listen {
        addresses: vec![DEFAULT_ADDRESS],
        unix_socket_dir: None,
        auth_type: AuthType::ScramSha256,
        max_client_conn: 10_000,
        shutdown_timeout: Duration::from_secs(30),
        client_login_timeout: Duration::from_secs(60),
        client_idle_timeout: None,
        worker_threads: None,
        tls: ListenTls::default(),
    };
    let Some(raw) = raw else { return (listen, false) };
    if let Some(typed) = &raw.addresses {
        listen.addresses = addresses(typed, problems);
        if typed.value.is_empty() && raw.unix_socket_dir.is_none() && !raw.broken {
            problems.add(
                Problem::new("nobody could connect: there is no address and no unix_socket_dir")
                    .at(&typed.at)
                    .help("valid here: [\"127.0.0.1:6432\"]"),
            );
        }
    }
    if let Some(dir) = &raw.unix_socket_dir {
        socket_dir(&dir.value.to_string_lossy(), "unix_socket_dir", &dir.at, problems);
        listen.unix_socket_dir = Some(dir.value.clone());
    }
    set(&mut listen.auth_type, raw.auth_type.as_ref());
    set(&mut listen.max_client_conn, raw.max_client_conn.as_ref());
    set(&mut listen.shutdown_timeout, raw.shutdown_timeout.as_ref());
    set(&mut listen.client_login_timeout, raw.client_login_timeout.as_ref());
    listen.client_idle_timeout = raw.client_idle_timeout.as_ref().and_then(|l| timeout(l.value));
    listen.worker_threads = raw.worker_threads.as_ref().and_then(|l| NonZeroUsize::new(l.value));
    listen.tls = listen_tls(raw, problems);
    let tls_possible = raw.broken || (listen.tls.mode != SslMode::Disable && listen.tls.cert_file.is_some());
    if let Some(auth_type) = &raw.auth_type {
        needs_tls(auth_type.value, &auth_type.at, tls_possible, problems);
    }
    (listen, tls_possible)
}

/// Refuses a login that works over TLS only where there is none.
pub(super) fn needs_tls(auth_type: AuthType, at: &At, tls_possible: bool, problems: &Problems) {
    if !tls_possible && matches!(auth_type, AuthType::Password | AuthType::ScramSha256Plus) {
        let word = auth_type.word();
        problems.add(
            Problem::new(format!("auth_type \"{word}\" works over TLS only, and [listen.tls] has none"))
                .at(at)
                .help("write cert_file and key_file in [listen.tls] with a mode other than \"disable\"")
                .help("or choose auth_type \"scram-sha-256\""),
        );
    }
}

fn addresses(typed: &Located<Vec<Located<String>>>, problems: &Problems) -> Vec<SocketAddr> {
    let mut found: Vec<(SocketAddr, &At)> = Vec::new();
    for text in &typed.value {
        let Some(address) = address(text, problems) else { continue };
        match found.iter().find(|(other, _)| *other == address && address.port() != 0) {
            Some((_, first)) => problems.add(
                Problem::new(format!("the address {address} is there twice"))
                    .at(&text.at)
                    .also("first", first),
            ),
            None => found.push((address, &text.at)),
        }
    }
    found.into_iter().map(|(address, _)| address).collect()
}

pub(super) fn address(text: &Located<String>, problems: &Problems) -> Option<SocketAddr> {
    let address = text.value.parse().ok();
    if address.is_none() {
        problems.add(
            Problem::new(format!("{} is not an address to listen on", quoted(&text.value)))
                .at(&text.at)
                .help("valid here: an IP address and a port, \"127.0.0.1:6432\", \"0.0.0.0:6432\" or \"[::1]:6432\""),
        );
    }
    address
}

/// Refuses a directory in which the path of a socket would be longer than the system takes.
pub(super) fn socket_dir(dir: &str, key: &str, at: &At, problems: &Problems) {
    if dir.len() > MAX_SOCKET_DIR {
        problems.add(
            Problem::new(format!("`{key}` is too long for a Unix socket: {} bytes", dir.len()))
                .at(at)
                .help(format!("valid here: a directory of at most {MAX_SOCKET_DIR} bytes")),
        );
    }
}

fn listen_tls(raw: &RawListen, problems: &Problems) -> ListenTls {
    let tls = &raw.tls;
    let mode = tls.mode.as_ref().map_or(SslMode::default(), |m| m.value);
    cert_and_key(tls, problems);
    if let Some(mode_at) = tls.mode.as_ref().map(|m| &m.at).filter(|_| !tls.broken) {
        let word = mode.word();
        let insists = matches!(mode, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull);
        if insists && tls.cert_file.is_none() && tls.key_file.is_none() {
            problems.add(
                Problem::new(format!("mode \"{word}\" needs a certificate"))
                    .at(mode_at)
                    .help("write cert_file and key_file in [listen.tls]"),
            );
        }
        let verifies = matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull);
        if verifies && tls.ca_file.is_none() {
            problems.add(
                Problem::new(format!("mode \"{word}\" needs the authorities of the clients' certificates"))
                    .at(mode_at)
                    .help("write client_ca_file in [listen.tls]"),
            );
        }
    }
    ListenTls {
        mode,
        cert_file: readable(tls.cert_file.as_ref(), "cert_file", problems),
        key_file: readable(tls.key_file.as_ref(), "key_file", problems),
        client_ca_file: readable(tls.ca_file.as_ref(), "client_ca_file", problems),
    }
}

/// Refuses a certificate without its key, and the reverse.
pub(super) fn cert_and_key(tls: &RawTls, problems: &Problems) {
    let (have, missing, at) = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), None) => ("cert_file", "key_file", &cert.at),
        (None, Some(key)) => ("key_file", "cert_file", &key.at),
        _ => return,
    };
    if !tls.broken {
        problems.add(
            Problem::new(format!("`{have}` without `{missing}`")).at(at).help(format!("write {missing} too")),
        );
    }
}

/// The path of a file that can be opened: better refused now than at the first handshake.
pub(super) fn readable(path: Option<&Located<PathBuf>>, key: &str, problems: &Problems) -> Option<PathBuf> {
    let path = path?;
    let failed = match File::open(&path.value).and_then(|file| file.metadata()) {
        Ok(meta) if meta.is_dir() => Some("it is a directory".to_owned()),
        Ok(_) => None,
        Err(e) => Some(why(&e)),
    };
    if let Some(why) = failed {
        let message = format!("cannot read `{key}`: {why}");
        let help = format!("looked for {}", path.value.display());
        problems.add(Problem::new(message).at(&path.at).help(help));
    }
    Some(path.value.clone())
}

fn log(raw: Option<&RawLog>) -> Log {
    let mut log = Log {
        level: LogLevel::Info,
        format: LogFormat::Text,
        slow_query: timeout(Duration::from_millis(500)),
    };
    if let Some(raw) = raw {
        set(&mut log.level, raw.level.as_ref());
        set(&mut log.format, raw.format.as_ref());
        if let Some(slow_query) = &raw.slow_query {
            log.slow_query = timeout(slow_query.value);
        }
    }
    log
}

/// Refuses a pool that is to keep more connections than it may have. `layers` are the tables that made it,
/// the last one laid uppermost; the problem is told where the uppermost typed one of the two.
pub(super) fn sizes(pool: &PoolSettings, layers: &[&RawPool], problems: &Problems) -> bool {
    if pool.min_pool_size <= pool.default_pool_size {
        return true;
    }
    let place = layers.iter().rev().find_map(|layer| layer.min_at.as_ref().or(layer.size_at.as_ref()));
    let (min, size) = (pool.min_pool_size, pool.default_pool_size);
    let mut problem = Problem::new(format!("min_pool_size {min} is more than default_pool_size {size}"))
        .help(format!("valid here: min_pool_size from 0 to {size}, or a larger default_pool_size"));
    if let Some(at) = place {
        problem = problem.at(at);
    }
    problems.add(problem);
    false
}

fn set<T: Clone>(setting: &mut T, typed: Option<&Located<T>>) {
    if let Some(typed) = typed {
        *setting = typed.value.clone();
    }
}
