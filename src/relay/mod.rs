//! One client's life after login (floor 5): the only room that holds both sockets.
//!
//! What it is for: moving bytes between a client and the server connection that it is lent, asking `session`
//! what each frame is, `tenancy` who it is for and `pool` for a connection; cancelling; ending.
//!
//! May import: `pool`, `frontend`, `backend`, `session`, `tenancy`, `auth`, `cache`, `net`, `observe`, `config`, `wire`,
//! `sql`, `ids`.
//!
//! Invariants:
//! - One task does both directions of a client. Per transaction nothing is spawned, and no lock is held
//!   while it waits.
//! - A client at rest owns no buffer: bytes are read into the worker's, and only what cannot be used at once
//!   is kept. Replication connections are few, and have their own.
//! - A side that does not read stops the reading of the other side; memory for a message in passing is
//!   bounded, whatever its length.
//! - No transaction begins before its tenant is in force in the client's session; it changes only while no
//!   transaction has run a statement.
//! - A client that only listens holds no server connection; notifications come in the server's order, and never in
//!   the middle of a transaction.
//! - However a session ends, its server connection is brought to rest or closed.

mod about;
mod buffer;
mod cached;
mod clients;
mod deadline;
mod follow;
mod listen;
mod messages;
mod own;
mod pinned;
mod replication;
mod resolvers;
mod session;
mod shared;
mod telling;
mod tenant;
mod tenants;
mod transfer;
mod welcome;

pub use crate::frontend::{ClientInfo, ClientState};
pub use clients::{ClientHandle, Clients};
pub use follow::{REPLICATION_STARTUP, STARTUP, Source, Trouble, Weight, examine, follow};
pub use replication::{Route, replicate};
pub use shared::Shared;
pub use tenants::{Router, TenantState, Tenants};
pub use welcome::{Host, serve};

#[cfg(test)]
mod tests;
