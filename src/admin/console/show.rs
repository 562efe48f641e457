//! What a SHOW answers.

use super::command::HELP;
use super::options::{MAX_ROWS, Options};
use super::sockets::Which;
use super::stats::Part;
use super::table::{Row, Value};
use super::view::{PARAMETERS, VIEWS, View};
use super::{Operations, cache, observed, pools, settings, sockets, stats};
use crate::observe::Observer;
use crate::wire::PgError;

/// Answers in memory, and statements, that are shown when nobody says how many.
const FEW: usize = 100;

/// The rows of a view, those that are wanted of them.
///
/// # Errors
/// 0A000: it is not shown.
pub(super) fn show(operations: &dyn Operations, view: View, options: &Options) -> Result<Vec<Row>, PgError> {
    if view == View::Fds {
        return Err(PgError::error("0A000", "sockets are not handed out").hint(
            "To replace a running Howdah, start the new one beside it and stop the old one by SIGTERM.",
        ));
    }
    let mut rows = rows(operations, view, options);
    options.apply(&mut rows);
    if options.limit.is_none() && matches!(view, View::Queries | View::CacheEntries) {
        rows.truncate(FEW);
    }
    Ok(rows)
}

fn rows(operations: &dyn Operations, view: View, options: &Options) -> Vec<Row> {
    match view {
        View::Help => help(),
        View::Version => vec![vec![Value::text(super::VERSION)]],
        View::Parameter(at) => {
            PARAMETERS.get(at).map(|(_, value)| vec![Value::text(*value)]).into_iter().collect()
        }
        View::Cache | View::CacheMisses | View::CacheEntries => of_cache(operations, view, options),
        View::Clients => sockets::show(operations, Which::Clients),
        View::Servers => sockets::show(operations, Which::Servers),
        View::Sockets => sockets::show(operations, Which::All),
        View::ActiveSockets => sockets::show(operations, Which::Active),
        View::Pins => observed::pins(operations.clients()),
        View::Pools => pools::pools(operations),
        View::Databases => pools::databases(operations),
        View::Users => pools::users(operations),
        View::Lists => pools::lists(operations),
        View::State => pools::state(operations),
        View::Mem => pools::memory(operations),
        View::Config => settings::show(&operations.config()),
        View::Stats => stats::stats(operations, Part::All),
        View::StatsTotals => stats::stats(operations, Part::Totals),
        View::StatsAverages => stats::stats(operations, Part::Averages),
        View::Totals => stats::totals(operations),
        View::Queries | View::Tenants | View::NPlusOne | View::Errors | View::Slow => {
            let observer = operations.observer();
            observer.map(|observer| of_observer(&observer, operations, view, options)).unwrap_or_default()
        }
        View::DnsHosts | View::DnsZones | View::Peers | View::PeerPools | View::Fds => Vec::new(),
    }
}

fn help() -> Vec<Row> {
    let options = "[WHERE column = value [AND …]] [ORDER BY column [DESC]] [LIMIT n]";
    let views = VIEWS
        .map(|(word, _, what)| vec![Value::Text(format!("SHOW {}", word.to_uppercase())), Value::text(what)]);
    let mut rows = Vec::from(views);
    let behind = format!("behind each SHOW; also <>, <, <=, >, >=, LIKE; at most {MAX_ROWS} rows");
    rows.push(vec![Value::text(options), Value::Text(behind)]);
    rows.extend(HELP.map(|(syntax, what)| vec![Value::text(syntax), Value::text(what)]));
    rows
}

fn of_cache(operations: &dyn Operations, view: View, options: &Options) -> Vec<Row> {
    let Some(cache) = operations.cache() else { return Vec::new() };
    match view {
        View::CacheMisses => cache::misses(&cache),
        View::CacheEntries if options.is_plain() => cache::entries(&cache, options.limit.unwrap_or(FEW)),
        View::CacheEntries => cache::entries(&cache, MAX_ROWS),
        _ => cache::show(&cache),
    }
}

fn of_observer(observer: &Observer, operations: &dyn Operations, view: View, options: &Options) -> Vec<Row> {
    match view {
        View::Tenants => observed::tenants(observer, operations),
        View::NPlusOne => observed::n_plus_one(observer),
        View::Errors => observed::errors(observer),
        View::Slow => observed::slow(observer),
        _ => observed::queries(observer, options.tenant.as_deref()),
    }
}
