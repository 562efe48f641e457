//! Replication connections: who asks for one, who may have one, and which server is meant.

use std::sync::Arc;

use super::accounts::Accounts;
use super::arrive::no_database;
use crate::config::{CONSOLE_DATABASES, Config, Database, TenantRule, User};
use crate::wire::{PgError, Startup};

/// What kind of replication a connection is for (protocol chapter 55.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// Of the whole server: `replication=true`.
    Physical,
    /// Logical, of one database: `replication=database`. It also takes SQL by simple queries.
    Logical,
}

impl Replication {
    /// The value of the startup parameter `replication`.
    pub fn value(self) -> &'static str {
        match self {
            Self::Physical => "true",
            Self::Logical => "database",
        }
    }
}

/// What the startup packet asks for, read as Postgres reads it.
///
/// # Errors
/// 22023: it is neither a boolean nor `database`.
pub(super) fn asked(startup: &Startup) -> Result<Option<Replication>, PgError> {
    let Some(value) = startup.param("replication") else { return Ok(None) };
    if value == "database" {
        return Ok(Some(Replication::Logical));
    }
    match boolean(value) {
        Some(true) => Ok(Some(Replication::Physical)),
        Some(false) => Ok(None),
        None => {
            let shown: String = value.chars().take(64).filter(|c| !c.is_control()).collect();
            let text = format!("invalid value for parameter \"replication\": \"{shown}\"");
            Err(PgError::fatal("22023", text)
                .hint("Valid values are: \"false\", 0, \"true\", 1, \"database\"."))
        }
    }
}

/// As `parse_bool`: words may be cut short as long as they are clear.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || text == "1" {
        return Some(true);
    }
    (begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0").then_some(false)
}

/// Whether a login may replicate as far as Howdah is concerned; the server judges by its REPLICATION attribute.
///
/// # Errors
/// 42501: the login carries tenants, and the stream shows the rows of all; or its transactions run as another
/// role, which a replication connection cannot hold it to.
pub(super) fn permit(accounts: &Accounts, user: &User) -> Result<(), PgError> {
    if accounts.rules.is_none() {
        return Ok(());
    }
    let refused = |text| PgError::fatal("42501", text);
    if user.tenants != TenantRule::Nobody {
        return Err(refused("this login carries a tenant and may not open replication connections")
            .detail("A replication connection shows the rows of all tenants.")
            .hint("Use a login with tenant = \"none\" in Howdah's configuration."));
    }
    if user.role.is_some() {
        return Err(refused("this login has a role and may not open replication connections")
            .detail("A replication connection cannot be held to the role.")
            .hint("Use a login without role in Howdah's configuration."));
    }
    Ok(())
}

/// The database whose server is meant by a physical connection that names none that is configured: programs
/// send `replication` there, or the user's name.
///
/// # Errors
/// 3D000: there are several.
pub(super) fn only_database(config: &Config, asked: &str) -> Result<(Arc<str>, Arc<Database>), PgError> {
    let mut databases = config.databases.values();
    match (databases.next(), databases.next()) {
        (Some(only), None) if !CONSOLE_DATABASES.contains(&asked) => {
            Ok((Arc::clone(&only.name), Arc::clone(only)))
        }
        _ => Err(no_database(asked).hint(
            "Name a configured database on the server that is meant. For programs that always ask for \
             \"replication\", configure [databases.replication].",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(value: &str) -> Result<Option<Replication>, String> {
        let params = vec![("user".to_owned(), "u".to_owned()), ("replication".to_owned(), value.to_owned())];
        asked(&Startup { version: crate::wire::PROTOCOL_3_0, params }).map_err(|e| e.sqlstate.into_owned())
    }

    #[test]
    fn the_parameter_is_read_as_postgres_reads_it() {
        for value in ["true", "TRUE", "t", "tru", "yes", "y", "on", "1"] {
            assert_eq!(read(value), Ok(Some(Replication::Physical)), "{value}");
        }
        for value in ["false", "f", "No", "n", "off", "of", "0"] {
            assert_eq!(read(value), Ok(None), "{value}");
        }
        assert_eq!(read("database"), Ok(Some(Replication::Logical)));
        for value in ["", "o", "Database", "data", "2", "trues", "10"] {
            assert_eq!(read(value), Err("22023".to_owned()), "{value}");
        }
        let nothing = Startup { version: crate::wire::PROTOCOL_3_0, params: Vec::new() };
        assert_eq!(asked(&nothing).unwrap(), None);
    }
}
