//! One server connection: how it is made, what it holds, how its query is cancelled (floor 3).
//!
//! What it is for: connecting and logging in to a Postgres, splitting what it sends into messages, and
//! keeping what belongs to that connection ([`Backend`]); asking it something of Howdah's own ([`ask`]).
//!
//! May import: `auth`, `session`, `net`, `observe`, `config`, `wire`, `sql`, `ids`.
//!
//! Invariants:
//! - What a server sends before it is logged in is bounded in size, count and time.
//! - No byte that came before TLS is read as if it had come through it (CVE-2021-43767).
//! - A [`Backend`] that saw an error of the connection or of the protocol says so ([`Backend::is_broken`]),
//!   and is never given to another client.

mod ask;
mod cancel;
mod connect;
mod connection;
mod login;

pub use ask::{Answer, AskError, MAX_BYTES, MAX_ROWS, ask};
pub use cancel::CancelTarget;
pub use connect::{ConnectError, Connecting, Connector, Credential, ServerConfig};
pub use connection::{Backend, BackendHandle, Loss};
