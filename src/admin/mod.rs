//! What ops look at (floor 5): HTTP with metrics and health. The console and the page come here too.
//!
//! May import: `pool`, `frontend`, `backend`, `session`, `auth`, `net`, `observe`, `config`, `wire`, `sql`,
//! `ids`.
//!
//! Invariants:
//! - It reads; nothing in here changes what a client sees.
//! - A slow or hostile HTTP client costs a bounded amount of memory and time.

mod http;

pub use http::{Status, serve};
