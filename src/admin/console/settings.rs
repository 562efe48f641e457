//! The configuration as the console shows it.

use std::net::SocketAddr;
use std::time::Duration;

use super::table::{Row, Value};
use crate::config::{Config, PoolSettings, describe};

/// A row for each key: first those that PgBouncer has too, by its names and in its units; then all, by their own.
/// What is secret is masked or left out.
pub(super) fn show(config: &Config) -> Vec<Row> {
    let row = |key: &str, value: String, default: Option<String>, changeable: bool| {
        let changeable = Value::text(if changeable { "yes" } else { "no" });
        vec![Value::text(key), Value::Text(value), Value::maybe(default), changeable]
    };
    let mut rows: Vec<Row> = of_pgbouncer(config)
        .into_iter()
        .map(|(key, value, default)| row(key, value, default, false))
        .collect();
    rows.sort_by(|a, b| a.first().zip(b.first()).map_or(std::cmp::Ordering::Equal, |(a, b)| a.order(b)));
    let own = own(&describe(config));
    rows.extend(own.into_iter().map(|(key, value)| {
        let changeable = key.starts_with("tenan"); // a reload reads `[tenancy]` and `[tenants]` again
        row(&key, value, None, changeable)
    }));
    rows
}

fn seconds(time: Option<Duration>) -> String {
    time.unwrap_or_default().as_secs_f64().to_string()
}

/// Names, values and defaults.
fn of_pgbouncer(config: &Config) -> Vec<(&'static str, String, Option<String>)> {
    let listen = &config.listen;
    let names = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(",");
    let addresses: Vec<String> = listen.addresses.iter().map(|address| address.ip().to_string()).collect();
    let port = listen.addresses.first().map_or(0, SocketAddr::port);
    let admin = &config.admin;
    let mut all = vec![
        ("admin_users", names(&mut admin.users.iter().map(|user| &**user)), Some(String::new())),
        ("stats_users", names(&mut admin.stats_users.iter().map(|user| &**user)), Some(String::new())),
        ("auth_type", listen.auth_type.word().to_owned(), None),
        ("client_idle_timeout", seconds(listen.client_idle_timeout), Some("0".to_owned())),
        ("client_login_timeout", seconds(Some(listen.client_login_timeout)), None),
        ("client_tls_sslmode", listen.tls.mode.word().to_owned(), None),
        ("listen_addr", addresses.join(","), None),
        ("listen_port", port.to_string(), None),
        ("max_client_conn", listen.max_client_conn.to_string(), None),
        ("max_user_connections", "0".to_owned(), Some("0".to_owned())),
        ("stats_period", "60".to_owned(), Some("60".to_owned())),
    ];
    if let Some(dir) = &listen.unix_socket_dir {
        all.push(("unix_socket_dir", dir.display().to_string(), None));
    }
    let defaults = of_pool(&PoolSettings::default());
    let pool = of_pool(&config.pool).into_iter().zip(defaults);
    all.extend(pool.map(|((key, value), (_, default))| (key, value, Some(default))));
    all
}

fn of_pool(pool: &PoolSettings) -> [(&'static str, String); 16] {
    [
        ("pool_mode", pool.pool_mode.word().to_owned()),
        ("default_pool_size", pool.default_pool_size.to_string()),
        ("min_pool_size", pool.min_pool_size.to_string()),
        ("reserve_pool_size", pool.reserve_pool_size.to_string()),
        ("reserve_pool_timeout", seconds(pool.reserve_pool_timeout)),
        ("max_db_connections", pool.max_db_connections.unwrap_or(0).to_string()),
        ("query_wait_timeout", seconds(pool.query_wait_timeout)),
        ("query_timeout", seconds(pool.query_timeout)),
        ("transaction_timeout", seconds(pool.transaction_timeout)),
        ("idle_transaction_timeout", seconds(pool.idle_transaction_timeout)),
        ("server_connect_timeout", seconds(pool.server_connect_timeout)),
        ("server_login_retry", seconds(pool.server_login_retry)),
        ("server_idle_timeout", seconds(pool.server_idle_timeout)),
        ("server_lifetime", seconds(pool.server_lifetime)),
        ("server_reset_query", pool.server_reset_query.clone()),
        ("max_prepared_statements", pool.max_prepared_statements.to_string()),
    ]
}

/// The described configuration as keys with their sections, and values without quotes.
fn own(described: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in described.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            header.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            let typed: Result<toml::Table, _> = line.parse();
            let text = typed.ok().and_then(|table| table.get(key)?.as_str().map(str::to_owned));
            keys.push((format!("{section}.{key}"), text.unwrap_or_else(|| value.to_owned())));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::own;

    #[test]
    fn what_was_described_becomes_keys() {
        let described = "[listen]\naddresses = [\"127.0.0.1:6432\"]\nmax_client_conn = 5\n\n[users.\"a b\"]\n\
             password = \"***\" # SCRAM\n# databases: all\n\n[pool]\nserver_reset_query = \"DISCARD \\\"ALL\\\"\"\n\
             [[cache.rules]]\nmatch = 'x = 1'\n";
        let keys = [
            ("listen.addresses", "[\"127.0.0.1:6432\"]"),
            ("listen.max_client_conn", "5"),
            ("users.\"a b\".password", "***"),
            ("pool.server_reset_query", "DISCARD \"ALL\""),
            ("cache.rules.match", "x = 1"),
        ];
        assert_eq!(own(described), keys.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
