//! Just enough SQL to pool safely: a lexer and what a text does to its session (floor 0).
//!
//! What it is for: telling statements that change the session they run in from those that do not, finding
//! the few that a pooler must answer for its client (`DISCARD ALL`, `DEALLOCATE`), and saying what a statement
//! is to the transaction that it runs in ([`Class`]).
//!
//! May import: nothing of this crate. Knows no socket, no clock, no lock.
//!
//! Invariants:
//! - Reads any bytes, in one pass, without recursion and without allocation.
//! - Errs on the side of "changes the session": a text it cannot judge costs a reset, not a leak.

mod class;
mod lexer;
mod touched;
mod traits;

pub use class::{Class, Part, parts};
pub use lexer::{Lexer, Token};
pub use touched::{Touched, touched};
pub use traits::{Deallocate, Traits, traits};

#[cfg(test)]
mod tests;
