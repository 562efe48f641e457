//! `[http]` and `[observe]`: what is measured, and who may read it over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;

use super::checked::same_secret;

/// `[http]`: metrics, health and the page.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where it listens; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// Who may look, by basic authentication; `None`: nobody that way.
    pub login: Option<HttpLogin>,
    /// What a request may carry instead (`Authorization: Bearer …`); `None`: nothing.
    pub token: Option<SecretString>,
}

/// `[http] user` and `password`, which are there together or not at all.
#[derive(Clone, Debug)]
pub struct HttpLogin {
    /// The user's name; has no colon, which would end it.
    pub user: String,
    /// The password itself, never a verifier or hash of it.
    pub password: SecretString,
}

impl Http {
    /// Whether a request must show who it is from. (`/healthz` and `/readyz` never ask.)
    pub fn is_guarded(&self) -> bool {
        self.login.is_some() || self.token.is_some()
    }
}

impl PartialEq for Http {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
            && self.login == other.login
            && same_secret(self.token.as_ref(), other.token.as_ref())
    }
}

impl PartialEq for HttpLogin {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user && same_secret(Some(&self.password), Some(&other.password))
    }
}

/// `[observe]`: what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observe {
    /// Whether statements are measured at all. Pools and clients are counted always.
    pub enabled: bool,
    /// Statements that are kept exactly; the others are counted together. At least 1.
    pub max_tracked: usize,
    /// Tenants that are kept apart, and have labels of their own in metrics; the others are counted together.
    pub max_tenants: usize,
    /// Whether texts with their constants, and the values of parameters, may be logged and shown.
    pub parameters: bool,
    /// When a client is said to ask one by one what it could ask at once.
    pub n_plus_one: NPlusOne,
}

impl Default for Observe {
    fn default() -> Self {
        Self {
            enabled: true,
            max_tracked: 5_000,
            max_tenants: 500,
            parameters: false,
            n_plus_one: NPlusOne::default(),
        }
    }
}

/// `[observe.n_plus_one]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NPlusOne {
    /// How often a client may run one statement with other values each time before it is told; 0: it is never
    /// told.
    pub threshold: u32,
    /// The time in which these must be, outside of a transaction.
    pub window: Duration,
}

impl Default for NPlusOne {
    fn default() -> Self {
        Self { threshold: 20, window: Duration::from_secs(1) }
    }
}
