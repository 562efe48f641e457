//! What a configuration was understood to be, for people to read.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::checked::{Config, Database, Listen, User};
use super::describe_cache::describe_cache;
use super::describe_observe::{describe_admin, describe_http, describe_observe};
use super::describe_tenancy::{describe_rule, describe_tenancy};
use super::pool::{PoolOverrides, PoolSettings};
use super::reader::{SIZES, key_text};
use super::secret::Shape;
use crate::ids::SslMode;

/// What was understood, as TOML-like text in a stable order: defaults filled in, paths resolved, secrets
/// masked, and for each database the pool settings that hold for it.
pub fn describe(config: &Config) -> String {
    let mut out = Text(String::new());
    listen(&mut out, &config.listen);
    if let Some(http) = &config.http {
        describe_http(&mut out, http);
    }
    out.header("log");
    out.text("level", config.log.level.word());
    out.text("format", config.log.format.word());
    out.timeout("slow_query", config.log.slow_query);
    out.header("pool");
    pool(&mut out, &config.pool);
    for database in config.any_database.iter().chain(config.databases.values()) {
        describe_database(&mut out, database, &config.pool, config.cache.is_some());
    }
    for user in config.users.values() {
        describe_user(&mut out, user, config.tenancy.is_some());
    }
    if let Some(tenancy) = &config.tenancy {
        describe_tenancy(&mut out, tenancy);
    }
    if let Some(cache) = &config.cache {
        describe_cache(&mut out, cache);
    }
    describe_admin(&mut out, &config.admin);
    describe_observe(&mut out, &config.observe);
    out.0
}

fn listen(out: &mut Text, listen: &Listen) {
    out.header("listen");
    out.list("addresses", listen.addresses.iter().map(ToString::to_string));
    out.path("unix_socket_dir", listen.unix_socket_dir.as_deref());
    out.text("auth_type", listen.auth_type.word());
    out.number("max_client_conn", listen.max_client_conn);
    out.duration("shutdown_timeout", listen.shutdown_timeout);
    out.duration("client_login_timeout", listen.client_login_timeout);
    out.timeout("client_idle_timeout", listen.client_idle_timeout);
    out.number("worker_threads", listen.worker_threads.map_or(0, std::num::NonZeroUsize::get));
    out.header("listen.tls");
    out.text("mode", listen.tls.mode.word());
    out.path("cert_file", listen.tls.cert_file.as_deref());
    out.path("key_file", listen.tls.key_file.as_deref());
    out.path("client_ca_file", listen.tls.client_ca_file.as_deref());
}

fn describe_database(out: &mut Text, database: &Database, defaults: &PoolSettings, cache: bool) {
    let name = key_text(&database.name);
    out.header(&format!("databases.{name}"));
    out.text("host", &database.host);
    out.number("port", usize::from(database.port));
    match (&database.dbname, &*database.name) {
        (Some(dbname), _) => out.text("dbname", dbname),
        (None, "*") => out.comment("dbname: the name that the client asks for"),
        (None, name) => out.text("dbname", name),
    }
    match &database.user {
        Some(user) => out.text("user", user),
        None => out.comment("user: the client's user"),
    }
    out.secret(database.password.as_ref(), false);
    pool(out, &defaults.clone().with(&database.pool));
    if cache {
        out.flag("cache", database.cache);
    }
    let tls = &database.tls;
    if tls.mode != SslMode::default() || tls.ca_file.is_some() || tls.cert_file.is_some() {
        out.header(&format!("databases.{name}.tls"));
        out.text("mode", tls.mode.word());
        out.path("ca_file", tls.ca_file.as_deref());
        out.path("cert_file", tls.cert_file.as_deref());
        out.path("key_file", tls.key_file.as_deref());
    }
}

fn describe_user(out: &mut Text, user: &User, tenancy: bool) {
    out.header(&format!("users.{}", key_text(&user.name)));
    out.secret(user.password.as_ref(), true);
    if let Some(auth_type) = user.auth_type {
        out.text("auth_type", auth_type.word());
    }
    match &user.databases {
        Some(databases) => out.list("databases", databases.iter().map(ToString::to_string)),
        None => out.comment("databases: all"),
    }
    if tenancy {
        describe_rule(out, &user.tenants);
        if let Some(role) = &user.role {
            out.text("role", role);
        }
    }
    overrides(out, &user.pool);
}

fn pool(out: &mut Text, pool: &PoolSettings) {
    out.text("pool_mode", pool.pool_mode.word());
    out.number("default_pool_size", pool.default_pool_size);
    out.number("min_pool_size", pool.min_pool_size);
    out.number("reserve_pool_size", pool.reserve_pool_size);
    out.timeout("reserve_pool_timeout", pool.reserve_pool_timeout);
    out.number("max_db_connections", pool.max_db_connections.unwrap_or(0));
    out.timeout("query_wait_timeout", pool.query_wait_timeout);
    out.timeout("query_timeout", pool.query_timeout);
    out.timeout("transaction_timeout", pool.transaction_timeout);
    out.timeout("idle_transaction_timeout", pool.idle_transaction_timeout);
    out.timeout("server_connect_timeout", pool.server_connect_timeout);
    out.timeout("server_login_retry", pool.server_login_retry);
    out.timeout("server_idle_timeout", pool.server_idle_timeout);
    out.timeout("server_lifetime", pool.server_lifetime);
    out.text("server_reset_query", &pool.server_reset_query);
    out.number("max_prepared_statements", pool.max_prepared_statements);
    out.text("pin", pool.pin.word());
    match pool.max_pinned_connections {
        Some(most) => out.number("max_pinned_connections", most),
        None => out.comment(&format!("max_pinned_connections: {}", pool.most_pinned())),
    }
}

/// Only what was typed: the rest depends on the database.
fn overrides(out: &mut Text, typed: &PoolOverrides) {
    let numbers = [
        ("default_pool_size", typed.default_pool_size),
        ("min_pool_size", typed.min_pool_size),
        ("reserve_pool_size", typed.reserve_pool_size),
        ("max_db_connections", typed.max_db_connections),
        ("max_prepared_statements", typed.max_prepared_statements),
        ("max_pinned_connections", typed.max_pinned_connections),
    ];
    let durations = [
        ("reserve_pool_timeout", typed.reserve_pool_timeout),
        ("query_wait_timeout", typed.query_wait_timeout),
        ("query_timeout", typed.query_timeout),
        ("transaction_timeout", typed.transaction_timeout),
        ("idle_transaction_timeout", typed.idle_transaction_timeout),
        ("server_connect_timeout", typed.server_connect_timeout),
        ("server_login_retry", typed.server_login_retry),
        ("server_idle_timeout", typed.server_idle_timeout),
        ("server_lifetime", typed.server_lifetime),
    ];
    if let Some(mode) = typed.pool_mode {
        out.text("pool_mode", mode.word());
    }
    if let Some(pin) = typed.pin {
        out.text("pin", pin.word());
    }
    for (key, value) in numbers {
        if let Some(value) = value {
            out.number(key, value);
        }
    }
    for (key, value) in durations {
        if let Some(value) = value {
            out.duration(key, value);
        }
    }
    if let Some(query) = &typed.server_reset_query {
        out.text("server_reset_query", query);
    }
}

/// Lines of TOML.
pub(super) struct Text(String);

impl Text {
    pub(super) fn header(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}[{name}]");
    }

    pub(super) fn line(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    pub(super) fn comment(&mut self, comment: &str) {
        let _ = writeln!(self.0, "# {comment}");
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.line(key, &toml::Value::String(value.to_owned()).to_string());
    }

    pub(super) fn list(&mut self, key: &str, values: impl Iterator<Item = String>) {
        let values = values.map(toml::Value::String).collect();
        self.line(key, &toml::Value::Array(values).to_string());
    }

    pub(super) fn pairs<'a>(&mut self, key: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let pairs: Vec<String> =
            pairs.map(|(name, value)| format!("{} = {}", text(name), text(value))).collect();
        self.line(key, &format!("{{ {} }}", pairs.join(", ")));
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.line(key, if value { "true" } else { "false" });
    }

    pub(super) fn number(&mut self, key: &str, value: usize) {
        self.line(key, &value.to_string());
    }

    /// Bytes, in the largest unit that says them exactly.
    pub(super) fn size(&mut self, key: &str, bytes: u64) {
        let fits = SIZES.iter().rev().find(|(_, unit)| bytes.is_multiple_of(*unit));
        let (word, unit) = fits.copied().unwrap_or(("B", 1));
        self.text(key, &format!("{}{word}", bytes / unit));
    }

    pub(super) fn percent(&mut self, key: &str, part: f64) {
        self.text(key, &format!("{}%", (part * 100.0).round()));
    }

    pub(super) fn path(&mut self, key: &str, value: Option<&Path>) {
        if let Some(value) = value {
            self.text(key, &value.display().to_string());
        }
    }

    pub(super) fn duration(&mut self, key: &str, value: Duration) {
        self.line(key, &format!("\"{}\"", humantime::format_duration(value)));
    }

    pub(super) fn timeout(&mut self, key: &str, value: Option<Duration>) {
        self.duration(key, value.unwrap_or(Duration::ZERO));
    }

    /// Never the secret; of a user's, in which form it is.
    pub(super) fn secret(&mut self, value: Option<&SecretString>, user: bool) {
        match value {
            Some(value) if user => {
                let shape = Shape::of(value.expose_secret()).word();
                let _ = writeln!(self.0, "password = \"***\" # {shape}");
            }
            Some(_) => self.line("password", "\"***\""),
            None => self.comment("password: none"),
        }
    }
}
