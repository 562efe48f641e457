//! Who somebody is, as Postgres asks it: SCRAM-SHA-256 on both sides, md5, and what a stored password is.
//!
//! Floor 2 and pure: no sockets, no clock, no runtime, no lock. May import `ids` only. Messages come in and go
//! out as the bytes inside `AuthenticationSASL*`/`SASLResponse`; framing is the caller's.
//!
//! Invariants:
//! - Each state of an exchange is a type; a step consumes it, so no step can be repeated, skipped or reordered.
//! - Everything that came from a peer is bounded ([`MAX_MESSAGE`], [`MAX_ITERATIONS`], [`MAX_SALT`]) before it
//!   costs memory or CPU.
//! - Secrets are compared in constant time, and neither `Debug` nor an error shows one.
//! - A user who does not exist takes the same path, at the same cost, as one with a wrong password.

mod binding;
mod error;
mod keys;
mod md5;
mod saslprep;
pub mod scram;
mod verifier;

#[cfg(test)]
mod tests;

pub use binding::channel_binding_hash;
pub use error::AuthError;
pub use keys::{KeyCache, ScramKeys, derive_keys};
pub use md5::{md5_check, md5_password, md5_response};
pub use saslprep::prepare;
pub use verifier::{ScramVerifier, Verifier};

/// Longest SASL message accepted from either side, in bytes (`CVE-2026-6665` was a nonce of 1 MB).
pub const MAX_MESSAGE: usize = 4096;

/// Longest nonce accepted from a server, in bytes; Postgres's own combined nonce has 48.
pub const MAX_NONCE: usize = 1024;

/// Longest salt accepted, in bytes; Postgres's own has 16.
pub const MAX_SALT: usize = 1024;

/// Most PBKDF2 iterations that a server or a stored verifier may ask for. Postgres's default is 4096; this is
/// OWASP's advice for PBKDF2-HMAC-SHA256, and a fraction of a second of CPU.
pub const MAX_ITERATIONS: u32 = 600_000;

/// Iterations of verifiers made here; Postgres's default for `scram_iterations`.
pub const DEFAULT_ITERATIONS: u32 = 4096;

/// Bytes of salt in verifiers made here, and in those made up for unknown users; Postgres's own length.
pub const SALT_LEN: usize = 16;

/// Bytes of a SHA-256 digest, and so of every SCRAM-SHA-256 key.
pub(crate) const KEY_LEN: usize = 32;
