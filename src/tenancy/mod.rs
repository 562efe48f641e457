//! Who the tenant of a transaction is, and what it gets (floor 2, pure).
//!
//! What it is for: [`Rules`] is what one configuration says, made ready for look-ups; it reads names that
//! carry a tenant and finds a [`Tenant`]. [`Identity`] is what one client has said so far. From both comes
//! [`Who`], which holds for one transaction, and from that the [`settings`] which the transaction gets and the
//! names that its client may not touch ([`protected`]).
//!
//! May import: `config`, `wire`, `sql`, `ids`. Knows no socket, no clock, no lock.
//!
//! # Where a tenant comes from
//!
//! `identify` lists the sources, the strongest first; what is not in it may not name a tenant. The keys of
//! `[tenancy.context]` come by the same ways and obey the same rules, each key by itself.
//!
//! | source | said | lasts |
//! | --- | --- | --- |
//! | `login` | `tenant = "acme"` of the login | the connection |
//! | `user`, `database` | `app_user.acme`, `app@acme` | the connection |
//! | `option` | a startup parameter, `options=-c howdah.tenant=acme` | the connection |
//! | `set` | `SET howdah.tenant = 'acme'`, `SET LOCAL` | the session, or the transaction |
//! | `comment` | `/* howdah.tenant='acme' */` at the first statement | the transaction |
//!
//! - Two sources that say the same agree, and the stronger one counts as the one who said it.
//! - Two sources of one connection (the first four) that differ: the login is refused.
//! - What is said later by a stronger source replaces what a weaker one said.
//! - What is said later by a weaker source and differs is refused. It is never silently ignored: whoever said
//!   it would read another tenant's rows than he thinks.
//! - `set` may replace what `set` said. `RESET` and `DISCARD ALL` go back to what the connection came with.
//!
//! Invariants:
//! - Whatever an [`Identity`] holds as its tenant, its login may use, and there was such a tenant when it was
//!   said. [`Rules::tenant`] is asked again for each transaction, so that one that is removed ends there.
//! - A login with `tenant = "none"` never has a tenant, and one with `tenant = "x"` never another one.
//! - Of a tenant that is not there and one that this login may not use, a client hears the same.
//! - Two names that find two tenants have two ids, in every spelling that Postgres could read as the same.
//! - What a client said is repeated to it only when it is short and without control characters.

mod identity;
mod refuse;
mod rules;
mod settings;
mod signature;

#[cfg(test)]
mod tests;

pub use identity::{Identity, Who};
pub use rules::{Claims, PREFIX, Rules, TENANT_KEY, Tenant, is_own};
pub use settings::{protected, settings};
pub use signature::Signer;
