//! What was measured: statements, tenants, errors, and what should be looked at.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Operations;
use super::sockets::{addr, ago, time};
use super::table::{Row, Value};
use crate::frontend::{ClientInfo, ClientState};
use crate::observe::{ErrorRow, NPlusOneRow, Observer, SlowRow, StatementRow, TenantRow};
use crate::sql::Shape;

/// What stands for all that are not kept on their own. No name: a tenant may be called `other`.
const OTHER: &str = "(other)";

/// Milliseconds with three decimals.
fn millis(nanos: u64) -> Value {
    Value::Float((nanos as f64 / 1000.0).round() / 1000.0)
}

/// A part of a whole, with two decimals.
fn percent(part: u64, whole: u64) -> Value {
    let share = if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    Value::Float((share * 10_000.0).round() / 100.0)
}

fn fingerprint(shape: Option<&Arc<Shape>>) -> Value {
    Value::maybe(shape.map(|shape| format!("{:016x}", shape.fingerprint)))
}

fn text(shape: Option<&Arc<Shape>>) -> Value {
    Value::text(shape.map_or(OTHER, |shape| &*shape.text))
}

/// A moment of the observer's clock.
fn seen(observer: &Observer, at: u64) -> Value {
    let elapsed = Duration::from_nanos(observer.now().saturating_sub(at));
    Value::Text(time(ago(Some(elapsed)).unwrap_or_else(SystemTime::now)))
}

/// A row for each statement; what it cost a tenant, if one is named. How long it took is not kept by tenant: there are no
/// quantiles then.
pub(super) fn queries(observer: &Observer, tenant: Option<&str>) -> Vec<Row> {
    let mut rows = observer.statements();
    if let Some(tenant) = tenant {
        let parts = observer.statements_of(None, tenant);
        let part = |row: &StatementRow| {
            let fingerprint = row.shape.as_ref()?.fingerprint;
            parts.get(&(Arc::clone(&row.database), fingerprint)).copied()
        };
        rows = rows.into_iter().filter_map(|row| Some(StatementRow { counts: part(&row)?, ..row })).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.counts.total));
    }
    let all = rows.iter().map(|row| row.counts.total).fold(0, u64::saturating_add);
    let quantile = |time: u64| if tenant.is_some() { Value::Null } else { millis(time) };
    let row =
        |StatementRow { database, shape, counts, quantiles, n_plus_one, last_seen, .. }: StatementRow| {
            vec![
                Value::text(&*database),
                fingerprint(shape.as_ref()),
                Value::count(counts.calls),
                Value::count(counts.errors),
                Value::count(counts.rows),
                Value::count(counts.bytes),
                Value::count(counts.cached),
                percent(counts.total, all),
                millis(counts.total),
                millis(counts.mean()),
                millis(counts.min),
                quantile(quantiles.p50),
                quantile(quantiles.p90),
                quantile(quantiles.p95),
                quantile(quantiles.p99),
                quantile(quantiles.p999),
                millis(counts.max),
                millis(counts.times.wait),
                millis(counts.times.preamble),
                millis(counts.times.server()),
                millis(counts.times.client),
                millis(counts.times.cache),
                Value::count(n_plus_one),
                seen(observer, last_seen),
                text(shape.as_ref()),
            ]
        };
    rows.into_iter().map(row).collect()
}

/// How many clients a tenant has, and how many of them wait.
fn clients_of_tenants(clients: &[ClientInfo]) -> HashMap<(&str, Option<&str>), (usize, usize)> {
    let mut counts: HashMap<_, (usize, usize)> = HashMap::new();
    for client in clients {
        let count = counts.entry((&*client.pool.database, client.tenant.as_deref())).or_default();
        count.0 += 1;
        count.1 += usize::from(client.state == ClientState::Waiting);
    }
    counts
}

/// A row for each tenant of each database.
pub(super) fn tenants(observer: &Observer, operations: &dyn Operations) -> Vec<Row> {
    let rows = observer.tenants();
    let all = rows.iter().map(|row| row.counts.total).fold(0, u64::saturating_add);
    let (clients, config) = (operations.clients(), operations.config());
    let clients = clients_of_tenants(&clients);
    let row = |row: TenantRow| {
        let TenantRow { database, tenant, is_other, counts, quantiles, .. } = &row;
        let count = clients.get(&(&**database, tenant.as_deref())).filter(|_| !is_other);
        let (clients, waiting) = count.copied().unwrap_or_default();
        let limits = tenant.as_ref().zip(config.tenancy.as_ref());
        let limits =
            limits.and_then(|(name, tenancy)| tenancy.tenants.get(name).or(tenancy.any_tenant.as_ref()));
        let limit = |limit: Option<usize>| limit.map_or(Value::Null, Value::count);
        vec![
            Value::text(&**database),
            if *is_other { Value::text(OTHER) } else { Value::maybe(tenant.as_deref()) },
            Value::count(counts.calls),
            Value::count(counts.errors),
            Value::count(counts.rows),
            Value::count(counts.bytes),
            Value::count(counts.cached),
            percent(counts.total, all),
            millis(counts.total),
            millis(counts.mean()),
            millis(quantiles.p50),
            millis(quantiles.p99),
            Value::count(row.transactions),
            millis(row.transaction_time),
            millis(row.wait),
            Value::count(clients),
            Value::count(waiting),
            limits.map_or(Value::Null, |limits| Value::count(limits.weight)),
            limit(limits.and_then(|limits| limits.max_server_connections)),
            limits.and_then(|limits| limits.transactions_per_second).map_or(Value::Null, Value::count),
        ]
    };
    rows.into_iter().map(row).collect()
}

/// A row for each statement that runs once for each row of another.
pub(super) fn n_plus_one(observer: &Observer) -> Vec<Row> {
    let row = |row: NPlusOneRow| {
        vec![
            Value::text(&*row.database),
            fingerprint(Some(&row.shape)),
            Value::maybe(row.route),
            Value::maybe(row.controller),
            Value::maybe(row.action),
            Value::count(row.occurrences),
            Value::count(row.executions),
            Value::count(row.worst),
            millis(row.time),
            seen(observer, row.last_seen),
            Value::maybe(row.before.map(|shape| shape.text.clone())),
            text(Some(&row.shape)),
        ]
    };
    observer.n_plus_one().into_iter().map(row).collect()
}

/// A row for each kind of error.
pub(super) fn errors(observer: &Observer) -> Vec<Row> {
    let row = |row: ErrorRow| {
        vec![
            Value::text(&*row.database),
            Value::text(row.sqlstate.as_deref().unwrap_or(OTHER)),
            Value::count(row.count),
            Value::count(row.of_howdah),
            Value::text(&*row.user),
            seen(observer, row.last_seen),
            fingerprint(row.shape.as_ref()),
            Value::maybe(row.shape.map(|shape| shape.text.clone())),
        ]
    };
    observer.errors().into_iter().map(row).collect()
}

/// A row for each of the latest slow statements.
pub(super) fn slow(observer: &Observer) -> Vec<Row> {
    let row = |row: SlowRow| {
        let tags = row.tags.as_ref();
        let phases = row.phases;
        let application = tags.and_then(|tags| tags.application.as_deref());
        let shown = |value: &Option<Box<str>>| match value {
            Some(value) => format!("'{}'", value.replace('\'', "''")),
            None => "NULL".to_owned(),
        };
        let parameters: Vec<String> = row.detail.parameters.iter().map(shown).collect();
        vec![
            Value::Text(time(row.at)),
            Value::text(&*row.caller.database),
            Value::text(&*row.caller.user),
            Value::maybe(row.caller.tenant.as_deref()),
            Value::text(application.unwrap_or(&row.caller.application)),
            Value::maybe(tags.and_then(|tags| tags.route.as_deref())),
            Value::maybe(tags.and_then(|tags| tags.traceparent.as_deref())),
            millis(phases.total()),
            millis(phases.wait),
            millis(phases.preamble),
            millis(phases.first),
            millis(phases.rest),
            millis(phases.client),
            millis(phases.cache),
            Value::count(row.rows),
            Value::count(row.bytes),
            Value::maybe(row.error.map(|code| String::from_utf8_lossy(&code).into_owned())),
            fingerprint(Some(&row.shape)),
            Value::text(row.detail.text.as_deref().unwrap_or(&row.shape.text)),
            Value::maybe((!parameters.is_empty()).then(|| parameters.join(", "))),
        ]
    };
    observer.slow().into_iter().map(row).collect()
}

/// A row for each client that keeps a server connection beyond its transactions.
pub(super) fn pins(clients: Vec<ClientInfo>) -> Vec<Row> {
    let row = |client: ClientInfo| {
        let reasons = client.pinned.clone()?;
        Some(vec![
            Value::count(client.id.0),
            Value::text(&*client.pool.database),
            Value::text(&*client.pool.user),
            Value::maybe(client.tenant.as_deref()),
            Value::text(&*client.application),
            Value::Text(addr(client.ends.peer).0),
            Value::text(client.state.word()),
            Value::Text(reasons),
            Value::maybe(client.server.map(|(server, _)| server.to_string())),
            client.server.map_or(Value::Null, |(_, pid)| Value::count(pid)),
            Value::Text(time(ago(client.requested).unwrap_or(client.since))),
        ])
    };
    clients.into_iter().filter_map(row).collect()
}
