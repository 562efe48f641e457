//! `howdah doctor`: looks at the servers as the pools' own roles do, and tells what would let one tenant see
//! another's rows.
//!
//! Invariants:
//! - It changes nothing: its sessions are read-only, and the SQL that mends is told, not run.
//! - No secret is told: neither a password nor the key of signed tenants, nor anything made of it.
//! - What cannot be looked at is an error of the whole run, never a silent pass.

mod finding;
mod follow;
mod look;
mod objects;
mod policy;
mod role;
mod server;
mod tables;

use std::collections::BTreeSet;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretSlice};

pub(super) use self::finding::Report;
use self::finding::{Checked, Finding, Severity};
use self::look::Look;
use self::tables::Mark;
use super::ddl::{Identifier, Setting, Tenant};
use super::house::House;
use crate::backend::{Connector, ServerConfig};
use crate::config::{Config, Follow, FollowMode, TenantRule, User};
use crate::ids::{BackendId, PoolKey};

/// What is looked for.
pub(super) struct Order {
    /// Only this database, as clients name it.
    pub(super) database: Option<String>,
    pub(super) setting: Setting,
    pub(super) column: Identifier,
    /// The key of signed tenants, if the configuration signs them.
    pub(super) key: Option<SecretSlice<u8>>,
}

/// One login at one database.
struct Place {
    database: Arc<str>,
    server: ServerConfig,
    /// Connections that all pools of this server may open; once for each server.
    wanted: Option<usize>,
    /// How the connections are made that follow the database, if it is followed; once for each.
    follower: Option<ServerConfig>,
}

/// Looks at everything that the configuration names.
///
/// # Errors
/// There is nothing to look at: what to say instead.
pub(super) async fn examine(house: &House, order: &Order) -> Result<Report, String> {
    let places = places(house, order.database.as_deref())?;
    let tenant = match order.key {
        Some(_) => Tenant::Signed,
        None => Tenant::Plain(order.setting.clone()),
    };
    let mark = Mark { setting: order.setting.clone(), column: order.column.clone(), tenant };
    let mut report = Report { general: said(&house.config), ..Report::default() };
    for place in &places {
        let mut checked = Checked {
            database: place.database.to_string(),
            server: format!("{}:{}/{}", place.server.host, place.server.port, place.server.dbname),
            login: place.server.user.clone(),
            ..Checked::default()
        };
        if let Err(error) = look_at(place, &mark, order, follow_of(&house.config), &mut checked).await {
            checked.error = Some(error);
        }
        checked.findings.sort_by_key(|finding| finding.severity);
        report.checked.push(checked);
    }
    Ok(report)
}

/// What the configuration itself says.
fn said(config: &Config) -> Vec<Finding> {
    let info =
        |check, object: String, problem: &str| Finding::new(Severity::Info, check, object, problem, "");
    if config.tenancy.is_none() {
        return vec![info(
            "no-tenancy",
            "configuration".to_owned(),
            "has no [tenancy]: transactions carry no tenant",
        )];
    }
    let none = config.users.values().filter(|user| !carries(user));
    none.map(|user| {
        let problem = "carries no tenant on purpose (tenant = \"none\"); it was not looked at";
        info("no-tenant", format!("login {}", user.name), problem)
    })
    .collect()
}

fn carries(user: &User) -> bool {
    user.tenants != TenantRule::Nobody
}

/// Each database and each login that its pools use there for tenants, once.
fn places(house: &House, only: Option<&str>) -> Result<Vec<Place>, String> {
    let config: &Config = &house.config;
    let names: Vec<Arc<str>> = match only {
        Some(name) => vec![Arc::from(name)],
        None => config.databases.keys().cloned().collect(),
    };
    if names.is_empty() {
        return Err("the configuration names no database but `*`: say which one with --database".to_owned());
    }
    let (mut places, mut seen, mut servers) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let asked = follow_of(config);
    let mut known = BTreeSet::new();
    for name in names {
        let Some(database) = config.database(&name) else {
            return Err(format!("the configuration has no database `{}`", name.escape_debug()));
        };
        for user in config.users.values().filter(|user| user.may_use(&name) && carries(user)) {
            let settings = config.pool_settings(&database, user);
            let key = PoolKey { database: Arc::clone(&name), user: Arc::clone(&user.name) };
            let server = house.server(&key, &database, user, &settings);
            let (host, port) = (server.host.clone(), server.port);
            if !seen.insert((host.clone(), port, server.dbname.clone(), server.user.clone())) {
                continue;
            }
            let wanted = servers.insert((host.clone(), port)).then(|| server::may_open(config, &host, port));
            let follower = asked
                .filter(|_| database.cache && known.insert((host.clone(), port, server.dbname.clone())))
                .map(|asked| house.follower(&key, &database, user, asked));
            places.push(Place { database: Arc::clone(&name), server, wanted, follower });
        }
    }
    if places.is_empty() {
        return Err("no user of the configuration may use that database for a tenant".to_owned());
    }
    Ok(places)
}

/// `[cache.follow]`, if it asks for replication.
fn follow_of(config: &Config) -> Option<&Follow> {
    let follow = &config.cache.as_ref()?.follow;
    (follow.mode == FollowMode::Replication).then_some(follow)
}

async fn look_at(
    place: &Place,
    mark: &Mark,
    order: &Order,
    follow: Option<&Follow>,
    checked: &mut Checked,
) -> Result<(), String> {
    let backend = place.server.connect(BackendId(0), 0).await.map_err(|error| error.to_string())?;
    let (mut look, path) = Look::new(backend).await.map_err(|error| error.to_string())?;
    let looked = checks(&mut look, &path, place, mark, order, checked).await;
    look.close();
    looked.map_err(|error| error.to_string())?;
    if let (Some(follower), Some(follow)) = (&place.follower, follow) {
        follow::check(follower, follow, &mut checked.findings).await?;
    }
    Ok(())
}

async fn checks(
    look: &mut Look,
    path: &str,
    place: &Place,
    mark: &Mark,
    order: &Order,
    checked: &mut Checked,
) -> Result<(), crate::backend::AskError> {
    let found: &mut Vec<Finding> = &mut checked.findings;
    let role = role::check(look, found).await?;
    checked.version.clone_from(&role.version);
    tables::check(look, &role, mark, found).await?;
    objects::check(look, &role, mark, found).await?;
    role::check_footholds(look, &role, path, &mark.tenant, found).await?;
    if let Some(wanted) = place.wanted {
        server::check_connections(look, wanted, found).await?;
    }
    if let Some(key) = &order.key {
        server::check_signature(look, &role, &mark.setting, key.expose_secret(), found).await?;
    }
    Ok(())
}
