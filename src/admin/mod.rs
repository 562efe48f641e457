//! What ops look at (floor 5): HTTP with metrics and health, and the console. The page comes here too.
//!
//! May import: `pool`, `frontend`, `backend`, `session`, `cache`, `auth`, `net`, `observe`, `config`, `wire`, `sql`,
//! `ids`.
//!
//! Invariants:
//! - HTTP reads; nothing in there changes what a client sees. The console changes things for those who may.
//! - A slow or hostile HTTP client costs a bounded amount of memory and time.

mod console;
mod http;

pub use console::{Operations, Operators, StatHistory, serve_operator};
pub use http::{Status, serve};
