//! Answers of marked reads, kept in memory until their time is up or what they were read from is written
//! (floor 2).
//!
//! What it is for:
//! - keys that hold everything an answer depends on ([`Prefix`]);
//! - one store for all databases, bounded in bytes, with a share for each tenant ([`Cache`]);
//! - what is known of one server database: its clock, the marks of its tables, tags and tenants, whether
//!   caching is paused ([`Database`]);
//! - one query for many clients that miss the same key ([`Ticket`], [`Waiter`]).
//!
//! May import: `wire`, `sql`, `ids`, `config`, `observe`. Reads no socket and no clock: the time is passed in.
//!
//! How an answer ends. Every thing that can be written is a [`Mark`] with a generation. A write ticks the
//! database's clock and raises the marks of what it wrote to that tick; then its client gets its reply. A
//! fill notes the clock before its query goes to the server. An entry is good as long as no mark of it is
//! younger than that note, and this is asked when it is stored and each time it is looked up. So there is no
//! list from tables to entries, and no moment in which an old answer could slip in.
//!
//! Invariants:
//! - A hit never returns an answer whose query began before an invalidation that was complete before the
//!   hit began (`tests/model.rs` has the proof of it).
//! - A mark that is made anew is as young as the clock: what was written before it existed is not missed.
//! - No lock is held while a waker, an entry's drop or another lock but a shard's is used.
//! - What clients can name (keys, tags, tenants) is bounded or swept.

mod account;
mod caching;
mod callees;
mod catalog;
mod counters;
mod database;
mod entry;
mod flight;
mod key;
mod mark;
mod names;
pub mod pgoutput;
mod plan;
mod routines;
mod rules;
mod shelf;
mod store;
mod sync;
mod ticket;

pub use account::Account;
pub use caching::Caching;
pub use catalog::{Ask, Question, Rows, study};
pub use counters::{Counter, Counters, Miss, Source};
pub use database::{Database, Look, Need};
pub use entry::{About, Answer, Entry, EntryInfo};
pub use flight::{GiveUp, Outcome, Waiter};
pub use key::{Key, Prefix};
pub use mark::Mark;
pub use plan::{Plan, Plans, Shape, Shapes, Study, Studying, Why};
pub use routines::{Body, Routines};
pub use store::{Cache, Limits, Purge, Purged};
pub use ticket::{Stored, Ticket};

#[cfg(test)]
mod tests;
