//! Newtypes and words that rooms share (floor 0; imports nothing of this crate).

use std::fmt;
use std::sync::Arc;

/// Number of one client connection, unique for the life of the process; it stands in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C-{}", self.0)
    }
}

/// Number of one server connection, unique for the life of the process; it stands in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(pub u64);

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S-{}", self.0)
    }
}

/// What a pool is for: one database as clients name it, and one login.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolKey {
    /// The database's name as clients ask for it (not the server's `dbname`).
    pub database: Arc<str>,
    /// The user who logged in to Howdah.
    pub user: Arc<str>,
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.database, self.user)
    }
}

/// libpq's sslmode words; they mean the same on both sides of Howdah.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// Plain, unless the other side insists on TLS.
    Allow,
    /// TLS if the other side can.
    #[default]
    Prefer,
    /// TLS or nothing; certificates are not verified.
    Require,
    /// TLS with a certificate that chains to a trusted authority.
    VerifyCa,
    /// As `verify-ca`, and the certificate names the host.
    VerifyFull,
}

impl SslMode {
    /// All words, in the order of their strength.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("disable", Self::Disable),
        ("allow", Self::Allow),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];

    /// The mode a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(name, _)| *name == word).map(|(_, mode)| *mode)
    }

    /// The word for this mode.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, mode)| *mode == self).map_or("prefer", |(name, _)| name)
    }
}

/// What becomes of a client that leaves something in its session that cannot be carried to another server
/// connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PinMode {
    /// It keeps its server connection until nothing is left.
    #[default]
    Auto,
    /// What would leave it is refused.
    Refuse,
    /// Nothing: it is removed when another client gets the connection.
    Never,
}

impl PinMode {
    /// All words.
    pub const WORDS: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("refuse", Self::Refuse), ("never", Self::Never)];

    /// The word for this mode.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, mode)| *mode == self).map_or("auto", |(name, _)| name)
    }
}
