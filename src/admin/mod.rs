//! What ops look at (floor 5): the page, metrics and health over HTTP, and the console.
//!
//! May import: `pool`, `frontend`, `backend`, `session`, `cache`, `auth`, `net`, `observe`, `config`, `wire`, `sql`,
//! `ids`.
//!
//! Invariants:
//! - HTTP reads; nothing in there changes what a client sees. The console changes things for those who may.
//! - Values of parameters and passwords are in no answer over HTTP; texts of statements are without their constants.
//! - A slow or hostile HTTP client costs a bounded amount of memory and time.

mod console;
mod http;
mod page;

pub use console::{Operations, Operators, StatHistory, serve_operator};
pub use http::{Access, serve};
pub use page::{Ask, ClientLine, Page, PoolLine, State, Status, TenantLine};
