//! Pools, databases, users and counts, as PgBouncer shows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Operations;
use super::table::{Row, Value};
use crate::config::{Config, Database, PoolMode, PoolSettings};
use crate::frontend::ClientInfo;
use crate::ids::PoolKey;
use crate::pool::PoolInfo;

/// All pools, in the order of their names.
fn infos(operations: &dyn Operations) -> Vec<PoolInfo> {
    let mut infos: Vec<PoolInfo> = operations.pools().iter().map(|pool| pool.info()).collect();
    infos.sort_by(|a, b| a.key.cmp(&b.key));
    infos
}

/// How many clients each pool has.
fn clients_of_pools(clients: &[ClientInfo]) -> BTreeMap<&PoolKey, usize> {
    let mut counts = BTreeMap::new();
    for client in clients.iter().filter(|client| client.replication.is_none()) {
        *counts.entry(&client.pool).or_default() += 1;
    }
    counts
}

/// A row for each pool.
pub(super) fn pools(operations: &dyn Operations) -> Vec<Row> {
    let clients = operations.clients();
    let clients = clients_of_pools(&clients);
    let row = |pool: PoolInfo| {
        let clients = clients.get(&pool.key).copied().unwrap_or(0);
        vec![
            Value::text(&*pool.key.database),
            Value::text(&*pool.key.user),
            Value::count(clients.saturating_sub(pool.waiting)),
            Value::count(pool.waiting),
            Value::count(pool.cancels),
            Value::Int(0), // a cancel request waits for nothing
            Value::count(pool.active),
            Value::count(pool.cancels),
            Value::count(pool.cancelling),
            Value::count(pool.idle),
            Value::Int(0), // none needs to be asked whether it is alive before it is lent
            Value::count(pool.cleaning),
            Value::count(pool.connecting),
            Value::count(pool.oldest_wait.as_secs()),
            Value::count(pool.oldest_wait.subsec_micros()),
            Value::text(pool.mode.word()),
            Value::Null,
        ]
    };
    infos(operations).into_iter().map(row).collect()
}

/// Databases that are configured, and those that clients found by `*`.
fn all_databases(config: &Config, pools: &[PoolInfo]) -> BTreeMap<Arc<str>, Arc<Database>> {
    let mut databases = config.databases.clone();
    for pool in pools {
        let name = &pool.key.database;
        if let Some(database) = config.database(name).filter(|_| !databases.contains_key(name)) {
            databases.insert(Arc::clone(name), database);
        }
    }
    databases
}

/// A row for each database.
pub(super) fn databases(operations: &dyn Operations) -> Vec<Row> {
    let (config, pools, clients) = (operations.config(), infos(operations), operations.clients());
    let row = |(name, database): (Arc<str>, Arc<Database>)| {
        let settings: PoolSettings = config.pool.clone().with(&database.pool);
        let of_it = pools.iter().filter(|pool| pool.key.database == name);
        let servers: usize = of_it.map(|pool| pool.open() + pool.connecting).sum();
        let clients = clients.iter().filter(|client| client.database == name).count();
        vec![
            Value::text(&*name),
            Value::text(&*database.host),
            Value::count(database.port),
            Value::text(database.dbname.as_deref().unwrap_or(&name)),
            Value::maybe(database.user.as_deref()),
            Value::count(settings.default_pool_size),
            Value::count(settings.min_pool_size),
            Value::count(settings.reserve_pool_size),
            Value::count(settings.server_lifetime.unwrap_or_default().as_secs()),
            Value::maybe(database.pool.pool_mode.map(PoolMode::word)),
            Value::Null,
            Value::count(settings.max_db_connections.unwrap_or(0)),
            Value::count(servers),
            Value::Int(0),
            Value::count(clients),
            Value::Int(0),
            Value::Int(0),
            Value::count(settings.reserve_pool_size),
        ]
    };
    all_databases(&config, &pools).into_iter().map(row).collect()
}

/// A row for each user.
pub(super) fn users(operations: &dyn Operations) -> Vec<Row> {
    let (config, pools, clients) = (operations.config(), infos(operations), operations.clients());
    let size = |typed: Option<usize>| Value::maybe(typed.map(|size| size.to_string()));
    let mut rows = Vec::new();
    for (name, user) in &config.users {
        let of_it = pools.iter().filter(|pool| pool.key.user == *name);
        let servers: usize = of_it.map(|pool| pool.open() + pool.connecting).sum();
        let clients = clients.iter().filter(|client| client.pool.user == *name).count();
        rows.push(vec![
            Value::text(&**name),
            size(user.pool.default_pool_size),
            size(user.pool.reserve_pool_size),
            Value::maybe(user.pool.pool_mode.map(PoolMode::word)),
            Value::Int(0),
            Value::count(servers),
            Value::Int(0),
            Value::count(clients),
        ]);
    }
    rows
}

/// A row for each kind of thing there is.
pub(super) fn lists(operations: &dyn Operations) -> Vec<Row> {
    let (config, pools) = (operations.config(), infos(operations));
    let counts = [
        ("databases", all_databases(&config, &pools).len()),
        ("users", config.users.len()),
        ("peers", 0),
        ("pools", pools.len()),
        ("peer_pools", 0),
        ("free_clients", 0),
        ("used_clients", operations.clients().len()),
        ("login_clients", operations.logins()),
        ("free_servers", 0),
        ("used_servers", pools.iter().map(|pool| pool.open() + pool.connecting).sum()),
        ("dns_names", 0),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
    ];
    counts.map(|(list, count)| vec![Value::text(list), Value::count(count)]).into()
}

/// Whether clients are served.
pub(super) fn state(operations: &dyn Operations) -> Vec<Row> {
    let active = !operations.is_draining();
    let states = [("active", active), ("paused", false), ("suspended", false)];
    let word = |yes| Value::text(if yes { "yes" } else { "no" });
    states.map(|(state, is)| vec![Value::text(state), word(is)]).into()
}

/// What takes memory: of how many there are, what all of them take, and one on average.
pub(super) fn memory(operations: &dyn Operations) -> Vec<Row> {
    let mut parts: Vec<(&str, usize, usize)> = Vec::new();
    if let Some(observer) = operations.observer() {
        parts.push(("statistics", observer.statements().len(), observer.memory()));
    }
    if let Some(cache) = operations.cache() {
        let bytes: u64 = cache.databases().iter().map(|database| database.counters.bytes.get()).sum();
        parts.push(("cache_entries", cache.entries(), usize::try_from(bytes).unwrap_or(usize::MAX)));
    }
    if let Some(resident) = operations.resident() {
        parts.push(("process", 1, resident));
    }
    let row = |(name, used, bytes): (&str, usize, usize)| {
        let each = bytes.checked_div(used).unwrap_or(0);
        vec![Value::text(name), Value::count(each), Value::count(used), Value::Int(0), Value::count(bytes)]
    };
    parts.into_iter().map(row).collect()
}
