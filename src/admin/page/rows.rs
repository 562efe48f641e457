//! Rows of the tables as the page reads them. Times are in milliseconds, ages in seconds.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::numbers::{milliseconds, rounded, share, with};
use super::recent::Recent;
use super::status::{ClientLine, PoolLine, Status, TenantLine};
use super::table::{Ask, off, table};
use super::{StatementKey, TenantKey};
use crate::observe::{Counts, Observer, Phases, SlowRow, StatementRow, Tags, TenantRow};
use crate::sql::Shape;

/// Characters of a statement's text in a table; its own page has more.
const TEXT: usize = 300;
/// Characters of what an application says of itself.
const TAG: usize = 200;

pub(super) fn hex(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

/// So many characters of a text, and a sign that there are more.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What an application says of itself.
pub(super) fn tag(text: Option<&str>) -> Option<String> {
    text.map(|text| cut(text, TAG))
}

pub(super) fn phases(times: &Phases, calls: u64) -> Value {
    let each = |time: u64| milliseconds(time.checked_div(calls).unwrap_or_default());
    json!({
        "wait": each(times.wait),
        "preamble": each(times.preamble),
        "first": each(times.first),
        "rest": each(times.rest),
        "client": each(times.client),
        "cache": each(times.cache),
    })
}

fn ago(observer: &Observer, at: u64) -> Value {
    json!(observer.now().saturating_sub(at) / 1_000_000_000)
}

/// What every table of statements has of one.
fn named(shape: Option<&Arc<Shape>>) -> (Value, Value) {
    match shape {
        Some(shape) => (json!(hex(shape.fingerprint)), json!(cut(&shape.text, TEXT))),
        None => (Value::Null, json!("all other statements")),
    }
}

pub(super) fn statements(observer: Option<&Observer>, recent: &Recent<StatementKey>, ask: &Ask) -> Value {
    let Some(observer) = observer else { return off() };
    let all = observer.statements();
    let counts = ask.tenant.as_deref().map(|tenant| observer.statements_of(ask.database.as_deref(), tenant));
    let key = |row: &StatementRow| Some((Arc::clone(&row.database), row.shape.as_ref()?.fingerprint));
    let since = |row: &StatementRow| key(row).map_or(0, |key| recent.since(&key, row.counts.total));
    let (total, lately) = all.iter().fold((0_u64, 0_u64), |(total, lately), row| {
        (total.saturating_add(row.counts.total), lately.saturating_add(since(row)))
    });
    let wanted = all.iter().filter(|row| {
        let text = row.shape.as_ref().map_or("", |shape| &*shape.text);
        let name = row.shape.as_ref().map(|shape| hex(shape.fingerprint)).unwrap_or_default();
        ask.is_of(&row.database) && ask.wants([text, &name, &row.database])
    });
    let rows = wanted.filter_map(|row| match &counts {
        None => Some(statement(observer, row, &row.counts, total, Some((since(row), lately)))),
        Some(counts) => {
            let of = counts.get(&key(row)?)?;
            Some(statement(observer, row, of, total, None))
        }
    });
    table(rows.collect(), all.len(), ask, if counts.is_some() { "share" } else { "recent" })
}

/// One row; of a tenant's part of it, quantiles and what is recent are not known.
fn statement(
    observer: &Observer,
    row: &StatementRow,
    counts: &Counts,
    total: u64,
    recent: Option<(u64, u64)>,
) -> Value {
    let (fingerprint, text) = named(row.shape.as_ref());
    let whole = recent.is_some();
    json!({
        "other": row.shape.is_none(),
        "database": &*row.database,
        "fingerprint": fingerprint,
        "text": text,
        "recent": recent.map(|(part, whole)| share(part, whole)),
        "share": share(counts.total, total),
        "calls": counts.calls,
        "mean": milliseconds(counts.mean()),
        "p50": whole.then(|| milliseconds(row.quantiles.p50)),
        "p99": whole.then(|| milliseconds(row.quantiles.p99)),
        "max": milliseconds(counts.max),
        "rows": counts.rows,
        "errors": counts.errors,
        "cached": counts.cached,
        "n_plus_one": row.n_plus_one,
        "seen": ago(observer, row.last_seen),
    })
}

pub(super) fn tenants(
    observer: Option<&Observer>,
    recent: &Recent<TenantKey>,
    status: &dyn Status,
    ask: &Ask,
) -> Value {
    let Some(observer) = observer else { return off() };
    let all = observer.tenants();
    let since = |row: &TenantRow| {
        recent.since(&(Arc::clone(&row.database), row.tenant.clone()), row.transaction_time)
    };
    let (total, lately) = all.iter().fold((0_u64, 0_u64), |(total, lately), row| {
        let more = if row.is_other { 0 } else { since(row) };
        (total.saturating_add(row.transaction_time), lately.saturating_add(more))
    });
    let wanted = all.iter().filter(|row| {
        ask.is_of(&row.database) && ask.wants([row.tenant.as_deref().unwrap_or_default(), &row.database])
    });
    let rows = wanted.map(|row| {
        let limits = row.tenant.as_deref().filter(|_| !row.is_other).and_then(|name| status.tenant(name));
        let recent = (!row.is_other).then(|| share(since(row), lately));
        let shares = json!({ "share": share(row.transaction_time, total), "recent": recent });
        with(tenant(row, limits.as_ref()), shares)
    });
    table(rows.collect(), all.len(), ask, "recent")
}

fn tenant(row: &TenantRow, limits: Option<&TenantLine>) -> Value {
    let name = match &row.tenant {
        _ if row.is_other => json!("all other tenants"),
        tenant => json!(tenant.as_deref()),
    };
    json!({
        "other": row.is_other,
        "database": &*row.database,
        "tenant": name,
        "transactions": row.transactions,
        "calls": row.counts.calls,
        "mean": milliseconds(row.counts.mean()),
        "p99": milliseconds(row.quantiles.p99),
        "wait": milliseconds(row.wait.checked_div(row.transactions).unwrap_or_default()),
        "rows": row.counts.rows,
        "errors": row.counts.errors,
        "cached": row.counts.cached,
        "waiting": limits.map(|limits| limits.waiting),
        "clients": limits.map(|limits| limits.clients),
        "max_clients": limits.and_then(|limits| limits.max_clients),
        "servers": limits.map(|limits| limits.servers),
        "max_servers": limits.and_then(|limits| limits.max_servers),
        "weight": limits.map(|limits| limits.weight),
        "max_transactions": limits.and_then(|limits| limits.max_transactions),
    })
}

pub(super) fn pools(pools: &[PoolLine], ask: &Ask) -> Value {
    let wanted = pools.iter().filter(|pool| {
        ask.is_of(&pool.database) && ask.wants([pool.database.as_str(), &pool.user, &pool.server])
    });
    let rows = wanted.map(|pool| {
        json!({
            "database": pool.database,
            "user": pool.user,
            "mode": pool.mode,
            "server": pool.server,
            "used": if pool.size == 0 { Value::Null } else { rounded(pool.active as f64 / pool.size as f64) },
            "size": pool.size,
            "active": pool.active,
            "idle": pool.idle,
            "busy": pool.busy,
            "pinned": pool.pinned,
            "waiting": pool.waiting,
            "oldest": milliseconds(pool.oldest.as_nanos() as u64),
            "down": pool.down,
        })
    });
    table(rows.collect(), pools.len(), ask, "waiting")
}

pub(super) fn clients(clients: &[ClientLine], ask: &Ask) -> Value {
    let wanted = clients.iter().filter(|client| {
        let tenant = client.tenant.as_deref().unwrap_or_default();
        let texts = [
            client.address.as_str(),
            &client.database,
            &client.user,
            &client.application,
            client.state,
            tenant,
        ];
        ask.is_of(&client.database)
            && ask.tenant.as_deref().is_none_or(|wanted| wanted == tenant)
            && ask.wants(texts)
    });
    let rows = wanted.map(|client| {
        json!({
            "id": client.id,
            "address": client.address,
            "database": client.database,
            "user": client.user,
            "tenant": client.tenant,
            "application": cut(&client.application, TAG),
            "state": client.state,
            "waiting": if client.waiting.is_zero() { Value::Null } else {
                milliseconds(client.waiting.as_nanos() as u64)
            },
            "connected": client.connected.as_secs(),
            "pinned": client.pinned,
            "tls": client.tls,
            "prepared": client.prepared,
        })
    });
    table(rows.collect(), clients.len(), ask, "waiting")
}

pub(super) fn n_plus_one(observer: Option<&Observer>, ask: &Ask) -> Value {
    let Some(observer) = observer else { return off() };
    let all = observer.n_plus_one();
    let wanted = all.iter().filter(|row| {
        let said = [&row.route, &row.controller, &row.action].map(|text| text.as_deref().unwrap_or_default());
        ask.is_of(&row.database) && ask.wants([&row.shape.text, &*row.database].into_iter().chain(said))
    });
    let rows = wanted.map(|row| {
        let (fingerprint, text) = named(Some(&row.shape));
        let (before_fingerprint, before) = match &row.before {
            Some(before) => named(Some(before)),
            None => (Value::Null, Value::Null),
        };
        json!({
            "database": &*row.database,
            "fingerprint": fingerprint,
            "text": text,
            "before": before,
            "before_fingerprint": before_fingerprint,
            "route": tag(row.route.as_deref()),
            "controller": tag(row.controller.as_deref()),
            "action": tag(row.action.as_deref()),
            "runs": row.occurrences,
            "executions": row.executions,
            "worst": row.worst,
            "time": milliseconds(row.time),
            "seen": ago(observer, row.last_seen),
        })
    });
    table(rows.collect(), all.len(), ask, "time")
}

pub(super) fn slow(observer: Option<&Observer>, ask: &Ask) -> Value {
    let Some(observer) = observer else { return off() };
    let all = observer.slow();
    let wanted = all.iter().filter(|row| {
        let caller = &row.caller;
        let tenant = caller.tenant.as_deref().unwrap_or_default();
        let route = row.tags.as_ref().and_then(|tags| tags.route.as_deref()).unwrap_or_default();
        let texts = [&*row.shape.text, &*caller.database, &*caller.user, &*caller.application, tenant, route];
        ask.is_of(&caller.database)
            && ask.tenant.as_deref().is_none_or(|wanted| wanted == tenant)
            && ask.wants(texts)
    });
    table(wanted.map(slow_row).collect(), all.len(), ask, "at")
}

/// Without its text as it came and its parameters: whoever may see the page may not see what is in there.
fn slow_row(row: &SlowRow) -> Value {
    let (fingerprint, text) = named(Some(&row.shape));
    let said =
        |of: fn(&Tags) -> &Option<Box<str>>| tag(row.tags.as_ref().and_then(|tags| of(tags).as_deref()));
    json!({
        "at": row.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
        "database": &*row.caller.database,
        "user": &*row.caller.user,
        "application": said(|tags| &tags.application).unwrap_or_else(|| cut(&row.caller.application, TAG)),
        "tenant": row.caller.tenant.as_deref(),
        "route": said(|tags| &tags.route),
        "controller": said(|tags| &tags.controller),
        "action": said(|tags| &tags.action),
        "trace": said(|tags| &tags.traceparent),
        "fingerprint": fingerprint,
        "text": text,
        "total": milliseconds(row.phases.total()),
        "phases": phases(&row.phases, 1),
        "rows": row.rows,
        "error": row.error.map(|state| String::from_utf8_lossy(&state).into_owned()),
    })
}

pub(super) fn errors(observer: Option<&Observer>, ask: &Ask) -> Value {
    let Some(observer) = observer else { return off() };
    let all = observer.errors();
    let wanted = all.iter().filter(|row| {
        let text = row.shape.as_ref().map_or("", |shape| &*shape.text);
        let state = row.sqlstate.as_deref().unwrap_or_default();
        ask.is_of(&row.database) && ask.wants([state, text, &*row.user, &*row.database])
    });
    let rows = wanted.map(|row| {
        let last = row.shape.as_ref().map(|shape| named(Some(shape)));
        let (fingerprint, text) = last.unwrap_or_default();
        json!({
            "other": row.sqlstate.is_none(),
            "database": &*row.database,
            "sqlstate": row.sqlstate.as_deref().unwrap_or("others"),
            "count": row.count,
            "refused": row.of_howdah,
            "fingerprint": fingerprint,
            "text": text,
            "user": &*row.user,
            "seen": ago(observer, row.last_seen),
        })
    });
    table(rows.collect(), all.len(), ask, "count")
}
