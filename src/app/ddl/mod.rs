//! SQL that Howdah prints and never runs: putting a table under row-level security, installing signed tenants, letting
//! a database be followed.
//!
//! Everything a caller names is checked and quoted in [`name`]; nothing of it stands in a comment, where a line
//! break would end the comment.

mod follow;
pub(super) mod name;
mod protect;
mod signature;
#[cfg(test)]
mod tests;

pub(super) use follow::follow;
pub(super) use name::{Identifier, Setting, TableName, literal};
pub(super) use protect::protect;
pub(super) use signature::{SigningKey, hex, signature};

/// The function that policies call when tenants are signed.
pub(super) const SIGNED_TENANT: &str = "howdah.tenant_id()";

/// What a policy compares a column with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tenant {
    /// The setting as it stands.
    Plain(Setting),
    /// What [`SIGNED_TENANT`] says.
    Signed,
}
