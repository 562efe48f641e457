//! The errors of this room. All but two are 28000: who somebody says to be is not accepted.

use crate::config::{Source, Tenancy};
use crate::wire::PgError;

/// Longest part of what a client said that an error repeats, in characters.
const MAX_SHOWN: usize = 64;

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect()
}

/// There is no such tenant, or it is not for this login. One error for both, so that nobody can find out by
/// trying which tenants there are.
pub(super) fn not_allowed() -> PgError {
    PgError::error("28000", "this login may not use this tenant")
        .hint("Check the tenant's name. The configuration says which tenants there are, and which of them a login may use.")
}

/// No tenant anywhere can have this name.
pub(super) fn not_a_name(why: &'static str) -> PgError {
    PgError::error("28000", format!("this cannot be the name of a tenant: {why}"))
}

/// The login has `tenant = "none"`.
pub(super) fn carries_none() -> PgError {
    PgError::error("28000", "this login carries no tenant")
        .hint("Use another login, or connect without naming a tenant.")
}

/// `source` is not in `identify`.
pub(super) fn not_taken(tenancy: &Tenancy, key: &str, source: Source) -> PgError {
    let words: Vec<&str> = tenancy.identify.iter().map(|source| source.word()).collect();
    PgError::error("28000", format!("howdah.{key} is not taken from this source: {}", source.word()))
        .hint(format!("identify in [tenancy] has: {}.", words.join(", ")))
}

/// Two sources of a login differ.
pub(super) fn two_say(key: &str, first: Source, second: Source) -> PgError {
    PgError::error("28000", format!("two sources say different things about howdah.{key}"))
        .detail(format!("They are: {} and {}.", first.word(), second.word()))
        .hint("Name it once, or the same everywhere.")
}

/// A weaker source differs from what a stronger one said.
pub(super) fn weaker(key: &str, stronger: Source, weaker: Source) -> PgError {
    PgError::error("28000", format!("howdah.{key} is fixed already, and this says something else"))
        .detail(format!("It was fixed by {}, which is stronger than {}.", stronger.word(), weaker.word()))
        .hint("The order is that of identify in [tenancy].")
}

/// One comment says two things.
pub(super) fn said_twice(key: &str) -> PgError {
    PgError::error("28000", format!("howdah.{key} is named twice, and differently"))
}

/// A name can be read in more than one way.
pub(super) fn ambiguous(kind: &str) -> PgError {
    PgError::error("28000", format!("the name of the {kind} can be read in more than one way"))
        .hint("Name the tenant by another way, or change the pattern in [tenancy].")
}

/// There is no tenant, and without one nothing may run.
pub(super) fn missing(tenancy: &Tenancy) -> PgError {
    let ways = tenancy.identify.iter().map(|source| match source {
        Source::Login => "tenant of the login in Howdah's configuration".to_owned(),
        Source::User => format!("the user's name as {}", tenancy.user_pattern.as_str()),
        Source::Database => format!("the database's name as {}", tenancy.database_pattern.as_str()),
        Source::Option => "options=-c howdah.tenant=…".to_owned(),
        Source::Set => "SET howdah.tenant = '…'".to_owned(),
        Source::Comment => "/* howdah.tenant='…' */ in the transaction's first statement".to_owned(),
    });
    let ways: Vec<String> = ways.collect();
    PgError::error("28000", "no tenant was named")
        .detail("Every transaction of this login needs one.")
        .hint(format!("Name it by one of: {}.", ways.join("; ")))
}

/// A setting under `howdah.` that does not exist.
pub(super) fn unknown_key(key: &str) -> PgError {
    PgError::error("42704", format!("unrecognized configuration parameter \"howdah.{}\"", shown(key)))
}

/// A value that no key of the context can have.
pub(super) fn bad_value(key: &str, why: &'static str) -> PgError {
    PgError::error("22023", format!("invalid value for howdah.{key}: {why}"))
}
