//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677; Postgres protocol, chapter "SASL Authentication").
//!
//! [`server`] is Howdah towards its clients, [`client`] is Howdah towards a server.

pub mod client;
mod message;
pub mod server;

use super::AuthError;

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// `SCRAM-SHA-256`.
    ScramSha256,
    /// `SCRAM-SHA-256-PLUS`: bound to the TLS session.
    ScramSha256Plus,
}

impl Mechanism {
    /// The name in `AuthenticationSASL` and `SASLInitialResponse`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of that name.
    ///
    /// # Errors
    /// [`AuthError::Mechanism`].
    pub fn parse(name: &[u8]) -> Result<Self, AuthError> {
        [Self::ScramSha256, Self::ScramSha256Plus]
            .into_iter()
            .find(|mechanism| mechanism.name().as_bytes() == name)
            .ok_or(AuthError::Mechanism)
    }

    /// What a server offers, in its order: PLUS only where there is channel binding data, never on plaintext.
    pub fn offered(can_bind: bool) -> &'static [Self] {
        if can_bind { &[Self::ScramSha256Plus, Self::ScramSha256] } else { &[Self::ScramSha256] }
    }
}
