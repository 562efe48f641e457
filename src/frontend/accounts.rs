//! Who may log in, and how they prove it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use secrecy::ExposeSecret;

use crate::auth::scram::server::{MockKey, ServerSecret};
use crate::auth::{AuthError, DEFAULT_ITERATIONS, ScramVerifier, Verifier};
use crate::config::{AuthType, Config, User};
use crate::ids::SslMode;
use crate::net::tls::ServerTls;
use crate::tenancy::Rules;

/// Everything that a login needs of one configuration. A reload makes a new one.
pub struct Accounts {
    /// The configuration.
    pub config: Arc<Config>,
    /// Our end of TLS, if there is a certificate.
    pub tls: Option<ServerTls>,
    /// Who is a tenant, and how one says so; `None` without tenancy.
    pub(super) rules: Option<Rules>,
    verifiers: HashMap<Arc<str>, Verifier>,
    /// SCRAM verifiers of plain passwords, made once.
    derived: Mutex<HashMap<Arc<str>, ScramVerifier>>,
    mock: MockKey,
    /// What verifiers of real users have, so that made-up ones look the same.
    iterations: u32,
}

impl Accounts {
    /// From a checked configuration and the TLS that was loaded for it.
    ///
    /// # Errors
    /// A stored password that is neither plain, md5 nor a verifier; no random numbers.
    pub fn new(config: Arc<Config>, tls: Option<ServerTls>, mock: MockKey) -> Result<Self, AuthError> {
        let mut verifiers = HashMap::new();
        for (name, user) in &config.users {
            if let Some(password) = &user.password {
                verifiers.insert(Arc::clone(name), Verifier::parse(password.expose_secret())?);
            }
        }
        let iterations = verifiers
            .values()
            .find_map(|v| if let Verifier::Scram(v) = v { Some(v.iterations()) } else { None })
            .unwrap_or(DEFAULT_ITERATIONS);
        let rules = config.tenancy.clone().map(Rules::new);
        Ok(Self { config, tls, rules, verifiers, derived: Mutex::default(), mock, iterations })
    }

    /// Makes the SCRAM verifiers of plain passwords, a millisecond of CPU each: for a thread that may block.
    /// Until it is done a login makes its own.
    pub fn derive_all(&self) {
        for (name, verifier) in &self.verifiers {
            if matches!(verifier, Verifier::Plain(_)) {
                let _ = self.derive(name, verifier);
            }
        }
    }

    fn derive(&self, name: &Arc<str>, verifier: &Verifier) -> Result<Option<ScramVerifier>, AuthError> {
        if let Some(known) = self.derived.lock().get(name) {
            return Ok(Some(known.clone()));
        }
        let made = verifier.to_scram()?;
        if let Some(made) = &made {
            // Whoever was first keeps his salt: a client may be in the middle of a login with it.
            return Ok(Some(
                self.derived.lock().entry(Arc::clone(name)).or_insert_with(|| made.clone()).clone(),
            ));
        }
        Ok(made)
    }

    pub(super) fn user(&self, name: &str) -> Option<Arc<User>> {
        self.config.users.get(name).cloned()
    }

    pub(super) fn auth_type(&self, user: Option<&User>) -> AuthType {
        user.and_then(|u| u.auth_type).unwrap_or(self.config.listen.auth_type)
    }

    pub(super) fn verifier(&self, name: &str) -> Option<&Verifier> {
        self.verifiers.get(name)
    }

    /// What a SCRAM proof of `name` is checked against; for nobody we know, something that always fails.
    pub(super) fn scram_secret(&self, name: &str) -> Result<ServerSecret, AuthError> {
        let known = match self.verifiers.get_key_value(name) {
            Some((_, Verifier::Scram(verifier))) => Some(verifier.clone()),
            Some((name, plain @ Verifier::Plain(_))) => self.derive(name, plain)?,
            Some((_, Verifier::Md5(_))) | None => None,
        };
        Ok(known.map_or_else(|| ServerSecret::mock(&self.mock, name, self.iterations), ServerSecret::known))
    }

    /// Whether a client must, may or cannot use TLS.
    pub(super) fn tls_mode(&self) -> SslMode {
        self.tls.as_ref().map_or(SslMode::Disable, ServerTls::mode)
    }
}
