//! Who a connection says its tenant is: in the user's name, the database's name, a startup option.

use std::sync::Arc;

use super::accounts::Accounts;
use super::params::Own;
use crate::config::{CONSOLE_DATABASES, User};
use crate::tenancy::{Claims, Identity};
use crate::wire::{PgError, Severity};

/// A name as configured, and what a client put into it besides.
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) claims: Claims,
}

fn fatal(error: PgError) -> PgError {
    error.with_severity(Severity::Fatal)
}

/// The user in a user name as typed.
pub(super) fn read_user<'a>(accounts: &Accounts, typed: &'a str) -> Result<Named<'a>, PgError> {
    let Some(rules) = &accounts.rules else { return Ok(Named { name: typed, claims: Claims::default() }) };
    let known = |name: &str| accounts.config.users.contains_key(name);
    let (name, claims) = rules.read_user(typed, &known).map_err(fatal)?;
    Ok(Named { name, claims })
}

/// The database in a database name as typed.
pub(super) fn read_database<'a>(accounts: &Accounts, typed: &'a str) -> Result<Named<'a>, PgError> {
    let Some(rules) = &accounts.rules else { return Ok(Named { name: typed, claims: Claims::default() }) };
    let known =
        |name: &str| accounts.config.databases.contains_key(name) || CONSOLE_DATABASES.contains(&name);
    let any = accounts.config.any_database.is_some();
    let (name, claims) = rules.read_database(typed, &known, any).map_err(fatal)?;
    Ok(Named { name, claims })
}

/// What the connection says altogether.
pub(super) fn identity(
    accounts: &Accounts,
    user: &Arc<User>,
    from_user: &Claims,
    from_database: &Claims,
    options: &Own,
) -> Result<Option<Identity>, PgError> {
    let Some(rules) = &accounts.rules else { return Ok(None) };
    let from_options = rules
        .read_options(options.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .map_err(fatal)?;
    Identity::at_login(rules, user, from_user, from_database, &from_options).map(Some).map_err(fatal)
}
