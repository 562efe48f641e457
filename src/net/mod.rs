//! Sockets and TLS: what a byte goes through before it is a protocol message.
//!
//! Floor 1. May import `ids` only; knows neither the Postgres protocol nor the configuration file. Each part owns
//! its own small config type, and whoever builds it fills that in.
//!
//! Invariants:
//! - Nothing read before a TLS handshake survives it: [`tls`] takes a bare [`Stream`], which holds no buffer, and
//!   a first byte is only ever peeked at (the class of `CVE-2021-23222`).
//! - The crypto provider is passed explicitly; no process-wide default is set or used.
//! - TLS objects never change: a reload builds new ones, running sessions keep theirs.
//! - No timeouts in here: the caller wraps what may hang.

mod ends;
mod error;
mod listener;
mod socket;
mod stream;
pub mod tls;

#[cfg(test)]
mod tests;

pub use ends::Ends;
pub use error::NetError;
pub use listener::{UnixListener, bind};
pub use socket::{Keepalive, SocketOptions};
pub use stream::{Peer, Stream};
