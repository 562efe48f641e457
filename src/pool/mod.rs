//! Who may use which server connection, and when (floor 4).
//!
//! What it is for: one [`Pool`] for each database and login; its waiting clients and what each tenant has of
//! it ([`queue`]), its limits ([`slots`]), the lending of connections ([`Lease`]) and their return. The
//! [`Registry`] knows all pools.
//!
//! May import: `backend`, `frontend` (not needed so far), `session`, `auth`, `net`, `observe`, `config`,
//! `wire`, `sql`, `ids`. [`queue`], [`slots`], `share` and `chain` are pure: no tokio, no lock, no clock.
//!
//! Invariants:
//! - A connection is in one place: resting in the pool, lent, on its way to a waiter, or being cleaned.
//! - What comes back broken, in a transaction or with bytes in between is closed, never lent again.
//! - A place that a connection leaves is given at once to the next connection for whoever's turn it is.
//! - A connection counts for its tenant from the moment it is lent or on its way to a waiter until it rests,
//!   is on its way to the next or is closed; also while it is brought to rest without its client.
//! - No lock is held across an await, and no future is polled under one.

mod chain;
mod core;
mod info;
mod interner;
mod lease;
mod lend;
mod open;
pub mod queue;
mod recover;
mod registry;
mod share;
pub mod slots;
mod waiter;

pub use self::core::{Acquire, EVERYTHING, Pool, PoolConfig, Want, Welcome};
pub use info::{PoolInfo, ServerInfo, ServerState};
pub use interner::Interner;
pub use lease::{Kind, Lease, PinReason};
pub use registry::{DatabaseLimit, DatabasePlace, Registry};
pub use share::{Places, Share};
pub use waiter::Waiter;

#[cfg(test)]
mod tests;
