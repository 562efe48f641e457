//! Checks databases and users: names, logins, and what they say about each other.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::check::{Auth, cert_and_key, needs_tls, readable, sizes, socket_dir};
use super::check_tenants::tenant_rule;
use super::checked::{AuthType, CONSOLE_DATABASES, Database, ServerTls, User};
use super::pool::PoolSettings;
use super::problem::{Problem, Problems, quoted};
use super::raw::{Raw, RawDatabase, RawUser};
use super::secret::{Env, Shape, Told, check_shape, resolve};
use super::source::Located;
use super::tenancy::{Tenancy, TenantRule};
use crate::ids::SslMode;

/// The server's port when nobody says another.
const DEFAULT_PORT: u16 = 5432;

/// All `[databases.X]`, with `*`.
pub(super) fn databases(
    raw: &[RawDatabase],
    pool: &PoolSettings,
    env: Env<'_>,
    problems: &Problems,
) -> Vec<Database> {
    raw.iter().map(|typed| database(typed, pool, env, problems)).collect()
}

fn database(raw: &RawDatabase, pool: &PoolSettings, env: Env<'_>, problems: &Problems) -> Database {
    if CONSOLE_DATABASES.contains(&raw.name.value.as_str()) {
        problems.add(
            Problem::new(format!("the database {} is Howdah's own console", quoted(&raw.name.value)))
                .at(&raw.name.at)
                .help("give the database another name here, and its own name as dbname"),
        );
    }
    match &raw.host {
        Some(host) => check_host(host, problems),
        None if raw.broken => {}
        None => problems.add(
            Problem::new(format!("the database {} has no host", quoted(&raw.name.value)))
                .at(&raw.at)
                .help("write host = \"127.0.0.1\": a name, an address or a socket directory"),
        ),
    }
    let own = raw.pool.min_at.is_some() || raw.pool.size_at.is_some();
    if own {
        sizes(&pool.clone().with(&raw.pool.typed), &[&raw.pool], problems);
    }
    cert_and_key(&raw.tls, problems);
    let tls = ServerTls {
        mode: raw.tls.mode.as_ref().map_or(SslMode::default(), |m| m.value),
        ca_file: readable(raw.tls.ca_file.as_ref(), "ca_file", problems),
        cert_file: readable(raw.tls.cert_file.as_ref(), "cert_file", problems),
        key_file: readable(raw.tls.key_file.as_ref(), "key_file", problems),
    };
    let text = |l: &Located<String>| l.value.clone();
    Database {
        name: Arc::from(raw.name.value.as_str()),
        host: raw.host.as_ref().map(text).unwrap_or_default(),
        port: raw.port.as_ref().and_then(|p| u16::try_from(p.value).ok()).unwrap_or(DEFAULT_PORT),
        dbname: raw.dbname.as_ref().map(text),
        user: raw.user.as_ref().map(text),
        password: server_password(raw, env, problems),
        tls,
        pool: raw.pool.typed.clone(),
        cache: raw.cache.as_ref().is_none_or(|l| l.value),
    }
}

/// The password that Howdah logs in to the server with: a verifier cannot, it only checks others.
fn server_password(raw: &RawDatabase, env: Env<'_>, problems: &Problems) -> Option<SecretString> {
    let password = resolve(&raw.secret, env, problems).ok().flatten()?;
    if Shape::of(password.value.expose_secret()) == Shape::Scram {
        problems.add(Problem::new("a SCRAM verifier cannot log in to a server").at(&password.at).help(
            "write the password itself, or leave it out: then the client's own proof is passed through",
        ));
    }
    Some(password.value)
}

fn check_host(host: &Located<String>, problems: &Problems) {
    let text = host.value.as_str();
    if text.starts_with('/') {
        socket_dir(text, "host", &host.at, problems);
        return;
    }
    let named = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if named || text.parse::<Ipv6Addr>().is_ok() {
        return;
    }
    // The value is not repeated: it may be a connection string with a password in it.
    let mut problem = Problem::new("this is not a host").at(&host.at);
    if text.contains(':') && !text.contains("://") {
        problem = problem.help("a port belongs into `port`; IPv6 addresses stand without brackets");
    }
    problems
        .add(problem.help("valid here: a name, an IP address, or the absolute path of a socket directory"));
}

/// All `[users.X]`.
pub(super) fn users(
    raw: &Raw,
    auth: &Auth,
    pool: &PoolSettings,
    tenancy: Option<&Tenancy>,
    env: Env<'_>,
    problems: &Problems,
) -> Vec<User> {
    raw.users
        .iter()
        .map(|typed| {
            user_sizes(typed, &raw.databases, pool, problems);
            let tenants = tenant_rule(&typed.tenants, tenancy, problems);
            User { tenants, ..user(typed, raw, auth, env, problems) }
        })
        .collect()
}

fn user(raw: &RawUser, all: &Raw, auth: &Auth, env: Env<'_>, problems: &Problems) -> User {
    let password = resolve(&raw.secret, env, problems);
    let own_type = raw.auth_type.as_ref();
    if let Some(own) = own_type {
        needs_tls(own.value, &own.at, auth.tls_possible, problems);
    }
    // Without the auth type that somebody wanted, what would be told about this login may be wrong.
    let effective = match own_type {
        Some(own) => Some(own.value),
        None => (auth.known && !raw.broken).then_some(auth.default),
    };
    let password = check_login(raw, password, effective, problems);
    User {
        name: Arc::from(raw.name.value.as_str()),
        password: password.map(|l| l.value),
        auth_type: own_type.map(|l| l.value),
        databases: raw.databases.as_ref().map(|typed| allowed(typed, all, problems)),
        tenants: TenantRule::default(),
        role: raw.tenants.role.as_ref().map(|role| role.value.clone()),
        pool: raw.pool.typed.clone(),
    }
}

/// Compares a user's password with the way in which this user must log in.
fn check_login(
    raw: &RawUser,
    password: Result<Option<Located<SecretString>>, Told>,
    effective: Option<AuthType>,
    problems: &Problems,
) -> Option<Located<SecretString>> {
    let name = quoted(&raw.name.value);
    let Ok(password) = password else { return None };
    let Some(password) = password else {
        if !raw.broken && effective.is_some_and(|auth_type| auth_type != AuthType::Trust) {
            problems.add(
                Problem::new(format!("the user {name} has no password"))
                    .at(&raw.at)
                    .help("write one of password, password_env, password_file")
                    .help("or auth_type = \"trust\" to let this user in without"),
            );
        }
        return None;
    };
    match check_shape(&password) {
        Err(problem) => problems.add(problem),
        Ok(Shape::Md5) if effective >= Some(AuthType::ScramSha256) => {
            let word = effective.map_or("", AuthType::word);
            problems.add(
                Problem::new(format!(
                    "the user {name} cannot log in with {word}: the password is an md5 hash"
                ))
                .at(&password.at)
                .help("write the plain password or a SCRAM verifier, or auth_type = \"md5\" for this user"),
            );
        }
        Ok(_) => {}
    }
    Some(password)
}

/// The databases that a user may ask for, each of which must be there.
fn allowed(typed: &Located<Vec<Located<String>>>, all: &Raw, problems: &Problems) -> BTreeSet<Arc<str>> {
    let any = all.databases.iter().any(|d| d.name.value == "*");
    for name in &typed.value {
        let text = name.value.as_str();
        if text == "*" {
            problems.add(
                Problem::new("`*` is not the name of a database")
                    .at(&name.at)
                    .help("leave `databases` out to allow all"),
            );
        } else if !any
            && !CONSOLE_DATABASES.contains(&text)
            && !all.databases.iter().any(|d| d.name.value == text)
        {
            let names: Vec<&str> = all.databases.iter().map(|d| d.name.value.as_str()).take(20).collect();
            problems.add(
                Problem::new(format!("there is no database {}", quoted(text)))
                    .at(&name.at)
                    .help(format!("valid here: {}", names.join(", "))),
            );
        }
    }
    typed.value.iter().map(|name| Arc::from(name.value.as_str())).collect()
}

/// Checks a user's pool sizes on each database that the user may ask for, and tells the first problem.
fn user_sizes(raw: &RawUser, databases: &[RawDatabase], pool: &PoolSettings, problems: &Problems) {
    if raw.pool.min_at.is_none() && raw.pool.size_at.is_none() {
        return;
    }
    let allowed = |name: &str| {
        raw.databases.as_ref().is_none_or(|list| list.value.iter().any(|l| l.value == name) || name == "*")
    };
    for database in databases.iter().filter(|d| allowed(&d.name.value)) {
        let below = pool.clone().with(&database.pool.typed);
        // A database that is wrong by itself is told there.
        let sound = below.min_pool_size <= below.default_pool_size;
        let whole = below.with(&raw.pool.typed);
        if sound && !sizes(&whole, &[&database.pool, &raw.pool], problems) {
            return;
        }
    }
}
