//! What the server must offer to the pools, and whether it knows the key of signed tenants.

use std::time::SystemTime;

use aws_lc_rs::hmac;

use super::finding::{Finding, Severity};
use super::look::{Look, rows};
use super::role::Role;
use crate::app::ddl::{Setting, hex};
use crate::backend::AskError;
use crate::config::{Config, Database};

/// Server connections that the pools of all databases on this server may open together.
pub(super) fn may_open(config: &Config, host: &str, port: u16) -> usize {
    let databases = config.databases.values().chain(config.any_database.as_ref());
    databases
        .filter(|database| database.host == host && database.port == port)
        .map(|d| of_database(config, d))
        .sum()
}

fn of_database(config: &Config, database: &Database) -> usize {
    let users = config.users.values().filter(|user| user.may_use(&database.name));
    let pools: Vec<_> = users.map(|user| config.pool_settings(database, user)).collect();
    let reserve = |pool: &crate::config::PoolSettings| {
        if pool.reserve_pool_timeout.is_some() { pool.reserve_pool_size } else { 0 }
    };
    let sum = pools.iter().map(|pool| pool.default_pool_size + reserve(pool)).sum::<usize>();
    // A pool without the limit does not care for that of the others.
    let limits: Option<Vec<usize>> = pools.iter().map(|pool| pool.max_db_connections).collect();
    limits.and_then(|limits| limits.into_iter().max()).map_or(sum, |limit| sum.min(limit))
}

const CONNECTIONS: &str = "
SELECT current_setting('max_connections') AS most,
    current_setting('superuser_reserved_connections')::int
        + coalesce(nullif(current_setting('reserved_connections', true), ''), '0')::int AS reserved";

pub(super) async fn check_connections(
    look: &mut Look,
    wanted: usize,
    found: &mut Vec<Finding>,
) -> Result<(), AskError> {
    let answer = look.ask(CONNECTIONS, &[]).await?;
    for row in rows(&answer) {
        let (most, reserved) = (row.number("most"), row.number("reserved"));
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        if most - reserved < wanted {
            found.push(Finding::new(
                Severity::Warning,
                "max-connections",
                "max_connections",
                format!("the pools may open {wanted} connections, and the server has {most}, {reserved} of them reserved"),
                format!(
                    "ALTER SYSTEM SET max_connections = {}; -- and restart, or make the pools smaller",
                    wanted.saturating_add(reserved)
                ),
            ));
        }
    }
    Ok(())
}

const INSTALLED: &str = "
SELECT p.oid::regprocedure AS name, pg_has_role(current_user, p.proowner, 'MEMBER')
        OR pg_has_role(current_user, n.nspowner, 'MEMBER') AS owned,
    CASE WHEN to_regclass('howdah.signing_key') IS NULL THEN false
        ELSE has_any_column_privilege(current_user, to_regclass('howdah.signing_key')::oid, 'SELECT, INSERT, UPDATE')
            OR has_table_privilege(current_user, to_regclass('howdah.signing_key')::oid, 'DELETE, TRUNCATE, TRIGGER')
        END AS reaches,
    pg_backend_pid() AS pid, floor(extract(epoch FROM clock_timestamp()))::bigint AS clock
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.oid = to_regprocedure('howdah.tenant_id()')";

const TRY: &str = "SELECT set_config($1, $2, false), set_config('howdah.signature', $3, false)";

/// A tenant that nobody has.
const NOBODY: &str = "howdah doctor";

/// Where the printed SQL is to be had; not here, because it holds the key.
const INSTALL: &str =
    "-- run what `howdah sql signature -c FILE` prints, as a role that no application logs in as";

pub(super) async fn check_signature(
    look: &mut Look,
    role: &Role,
    setting: &Setting,
    key: &[u8],
    found: &mut Vec<Finding>,
) -> Result<(), AskError> {
    let answer = look.ask(INSTALLED, &[]).await?;
    let mut leak = |problem: &str| {
        found.push(Finding::new(Severity::Leak, "signature", "howdah.tenant_id()", problem, INSTALL));
    };
    let Some(row) = rows(&answer).next() else {
        leak("is not installed, and the configuration signs tenants");
        return Ok(());
    };
    if !role.superuser && (row.is("owned") || row.is("reaches")) {
        leak(
            "belongs to the pool's role, or its key can be reached by it: who can send any SQL can sign any tenant",
        );
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let clock = u64::try_from(row.number("clock")).unwrap_or_default();
    let pid = row.text("pid");
    let by_our_clock = accepts(look, setting, &sign(key, pid, now)).await?;
    if !by_our_clock && accepts(look, setting, &sign(key, pid, clock)).await? {
        leak(&format!(
            "rejects what is signed now: this host's clock says {now}, the server's {clock} seconds; set them right"
        ));
    } else if !by_our_clock {
        leak("does not know the key of the configuration");
    }
    if accepts(look, setting, "v1.0.00").await? {
        leak("returns a tenant that is not signed");
    }
    Ok(())
}

/// Whether the server takes [`NOBODY`] with this signature.
async fn accepts(look: &mut Look, setting: &Setting, signature: &str) -> Result<bool, AskError> {
    look.ask(TRY, &[Some(setting.as_str()), Some(NOBODY), Some(signature)]).await?;
    let answer = match look.ask("SELECT howdah.tenant_id() IS NOT NULL AS taken", &[]).await {
        Err(AskError::Server(..)) => return Ok(false),
        answer => answer?,
    };
    look.ask(TRY, &[Some(setting.as_str()), Some(""), Some("")]).await?;
    Ok(rows(&answer).next().is_some_and(|row| row.is("taken")))
}

fn sign(key: &[u8], pid: &str, seconds: u64) -> String {
    let message = format!("howdah.v1|{pid}|{seconds}|{NOBODY}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
    format!("v1.{seconds}.{}", hex(tag.as_ref()))
}
