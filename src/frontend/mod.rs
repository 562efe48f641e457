//! From an accepted connection to a client that is logged in (floor 3).
//!
//! What it is for: TLS, the first packet, protocol versions, authentication, startup parameters, the tenant that
//! a connection names, and whether it is for replication. What comes out is a [`LoggedIn`] with its bare stream; the
//! relay takes it from there. Or an [`Operator`], who asked for the console.
//!
//! May import: `auth`, `session`, `tenancy`, `net`, `observe`, `config`, `wire`, `sql`, `ids`.
//!
//! Invariants:
//! - Nothing that came before TLS is read after it (CVE-2021-23222).
//! - Before a client is logged in it costs at most one startup packet and one message of memory, and
//!   `client_login_timeout` of time; the caller keeps the clock.
//! - A login that carries tenants gets no replication connection: it would show those of all.
//! - A user who does not exist is asked and refused exactly like one with a wrong password.

mod accounts;
mod arrive;
mod client;
mod login;
mod params;
mod replication;
mod tenant;

pub use accounts::Accounts;
pub use arrive::{Arrival, LoggedIn, Operator, Rejected, arrive};
pub use client::{ClientInfo, ClientState};
pub use replication::Replication;
