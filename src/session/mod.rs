//! What a client and a server connection are in the middle of (floor 2, pure).
//!
//! What it is for: judging every frame. [`ClientSession`] is what belongs to one client and travels with it
//! from server connection to server connection: its prepared statements and settings. [`ServerSession`] is
//! what belongs to one server connection: the replies that it owes, what is prepared on it, its settings and
//! transaction status. The relay moves the bytes.
//!
//! May import: `observe` (the plain data of a measurement), `wire`, `sql`, `ids`. Knows no socket, no clock, no lock.
//!
//! Invariants:
//! - One [`Expect`] is queued for each reply that the server will send, in the order of the
//!   frames that went out; a reply that fits none is a protocol violation, and the connection is closed.
//! - Nothing is remembered as prepared on a server before its `ParseComplete` is certain: whatever an error
//!   skips is undone, in reverse.
//! - Replies that Howdah makes itself stand in the same queue, so they never overtake a server's.
//! - What a transaction must run with ([`Locals`]) is set in it before its first statement that could tell, or
//!   the statement does not run. What was put in shows nowhere in the answers.
//! - A shared server connection never listens: LISTEN reaches it in disguise, and what became of it is noted in
//!   [`Listening`].
//! - A server connection is free for another client only when [`ServerSession::is_free`] says so.

mod ahead;
mod bring;
mod channels;
mod client;
mod copy;
mod duty;
mod edits;
mod expect;
mod failure;
mod inject;
mod keep;
mod left;
mod listening;
mod locals;
mod offline;
mod parameters;
mod pins;
mod position;
mod preamble;
mod prepared;
mod probe;
mod query;
mod replies;
mod sequences;
mod server;
mod settings;
mod slow;
mod sql_prepared;
mod statement;
mod timing;
mod written;

pub use client::{ClientSession, Mode, Verdict};
pub use duty::{Change, Guard, Transaction};
pub use expect::{Expect, Kind};
pub use keep::{Keep, Kept, Part};
pub use listening::{Channel, Due, Listening};
pub use locals::Locals;
pub use pins::{PinGate, left_behind};
pub use server::{Action, ServerSession, Signature, Violation};
pub use settings::{Settings, is_settable};
pub use statement::{Intern, MAX_CLIENT_STATEMENTS, SERVER_PREFIX, Statement};
pub use timing::{Counted, Done, Noted, Shapes, Values};
pub use written::Written;

#[cfg(test)]
pub(crate) mod tests;
