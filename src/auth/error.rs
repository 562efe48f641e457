//! Why an authentication did not succeed.

use std::fmt;

/// Why an authentication did not succeed. No variant carries anything that a peer sent or that is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// A message that breaks the protocol; says what was wrong with it.
    Malformed(&'static str),
    /// A SASL message longer than [`super::MAX_MESSAGE`].
    TooLong,
    /// A valid message that asks for something not supported (authorization identity, mandatory extension).
    Unsupported(&'static str),
    /// A SASL mechanism that was not offered, or cannot be used on this connection.
    Mechanism,
    /// The channel binding data does not belong to this TLS session: somebody may sit in between.
    ChannelBinding,
    /// The client says the server offered no channel binding, but it did: somebody took it off the list.
    Downgrade,
    /// Wrong password, or no such user; the two are not told apart.
    WrongPassword,
    /// The server refused our login (`e=` in its last SCRAM message).
    ServerRefused,
    /// The server did not prove that it knows the password.
    ServerSignature,
    /// The server asks for something out of bounds; says what.
    ServerOutOfBounds(&'static str),
    /// The server broke the protocol; says how.
    ServerMalformed(&'static str),
    /// A configured password that looks like a verifier and is not one; says why.
    BadVerifier(&'static str),
    /// A certificate for which RFC 5929 defines no `tls-server-end-point` hash (such as Ed25519), or garbage.
    Certificate,
    /// The system's random generator failed.
    Random,
}

impl AuthError {
    /// The SQLSTATE for the client; the server-side ones are those of Postgres's `auth-scram.c`.
    pub fn sqlstate(self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::TooLong | Self::Mechanism => "08P01",
            Self::Unsupported(_) => "0A000",
            Self::ChannelBinding | Self::Downgrade => "28000",
            Self::WrongPassword => "28P01",
            Self::ServerRefused
            | Self::ServerSignature
            | Self::ServerOutOfBounds(_)
            | Self::ServerMalformed(_) => "57P03",
            Self::BadVerifier(_) | Self::Certificate => "F0000",
            Self::Random => "XX000",
        }
    }

    /// The word for this error in a metric's label.
    pub fn metric_label(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLong => "too_long",
            Self::Unsupported(_) => "unsupported",
            Self::Mechanism => "mechanism",
            Self::ChannelBinding => "channel_binding",
            Self::Downgrade => "downgrade",
            Self::WrongPassword => "wrong_password",
            Self::ServerRefused => "server_refused",
            Self::ServerSignature => "server_signature",
            Self::ServerOutOfBounds(_) => "server_out_of_bounds",
            Self::ServerMalformed(_) => "server_malformed",
            Self::BadVerifier(_) => "bad_verifier",
            Self::Certificate => "certificate",
            Self::Random => "random",
        }
    }

    /// Whether the client may be told the text; otherwise it gets a general one and the log gets this.
    pub fn is_public(self) -> bool {
        matches!(
            self,
            Self::Malformed(_)
                | Self::TooLong
                | Self::Unsupported(_)
                | Self::Mechanism
                | Self::ChannelBinding
                | Self::Downgrade
                | Self::WrongPassword
        )
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed SCRAM message: {what}"),
            Self::TooLong => write!(f, "SASL message is too long"),
            Self::Unsupported(what) => write!(f, "{what}"),
            Self::Mechanism => write!(f, "client selected an invalid SASL authentication mechanism"),
            Self::ChannelBinding => write!(f, "SCRAM channel binding check failed"),
            Self::Downgrade => write!(f, "SCRAM channel binding negotiation error"),
            Self::WrongPassword => write!(f, "password authentication failed"),
            Self::ServerRefused => write!(f, "the server refused the login"),
            Self::ServerSignature => write!(f, "the server did not prove that it knows the password"),
            Self::ServerOutOfBounds(what) | Self::ServerMalformed(what) => {
                write!(f, "server sent an invalid SCRAM message: {what}")
            }
            Self::BadVerifier(what) => write!(f, "not a valid stored password: {what}"),
            Self::Certificate => write!(f, "certificate has no usable channel binding hash"),
            Self::Random => write!(f, "could not generate random bytes"),
        }
    }
}

impl std::error::Error for AuthError {}
