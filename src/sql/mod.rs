//! Just enough SQL to pool safely: a lexer and what a text does to its session (floor 0).
//!
//! What it is for:
//! - telling statements that change the session they run in from those that do not;
//! - finding the few that a pooler must answer for its client (`DISCARD ALL`, `DEALLOCATE`);
//! - finding what a text says about channels (`LISTEN`) and savepoints;
//! - telling which settings a text touches, so that those of the tenant can be refused;
//! - telling which tables a text writes;
//! - reading what a client says to Howdah itself: marks in comments, and `SET howdah.key`.
//!
//! May import: nothing of this crate. Knows no socket, no clock, no lock.
//!
//! Invariants:
//! - Reads any bytes, in time linear in their number. What has nothing of interest costs no allocation.
//! - Recursion only into strings that are run as SQL, to a fixed depth.
//! - Errs on the side of "changes the session": a text it cannot judge costs a reset, not a leak.

mod class;
mod leaves;
mod lexer;
mod listen;
mod literal;
mod marks;
mod mentions;
mod normal;
mod own;
mod pattern;
mod reads;
mod setting;
mod shape;
mod tags;
mod touched;
mod traits;
mod writes;

pub use class::{Class, Part, begins_as_read, begins_read_only, begins_with, parts};
pub use leaves::Leaves;
pub use lexer::{Form, Lexer, Token};
pub use listen::{Step, steps};
pub use marks::{BadMark, Marks, marks};
pub use mentions::{Mentions, Named, calls, may_call, mentions};
pub use normal::{core, fingerprint, normalise};
pub use own::{OwnCommand, mentions_own, own_command};
pub use pattern::TextPattern;
pub use reads::{NotCached, Reads, reads};
pub use shape::{Print, Shape};
pub use tags::tags;
pub use touched::{Touched, hides_ascii, touched};
pub use traits::{Deallocate, Traits, is_local, named_statement, prepared_name, rolls_back, traits};
pub use writes::{Callees, Writes, writes, writes_of_body};

#[cfg(test)]
mod tests;
