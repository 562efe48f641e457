//! What a configured password is: itself, an md5 hash, or a SCRAM verifier as in `pg_authid`.

use std::fmt;

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use secrecy::{ExposeSecret, SecretString};

use super::keys::{check_salt_and_iterations, derive_keys, same, sha256};
use super::md5::md5_password;
use super::{AuthError, DEFAULT_ITERATIONS, KEY_LEN, SALT_LEN, saslprep};

const SCRAM_PREFIX: &str = "SCRAM-SHA-256$";

/// What a configured password is.
#[derive(Clone)]
pub enum Verifier {
    /// The password itself: every method works with it.
    Plain(SecretString),
    /// `md5` and 32 hex digits, as `pg_authid` stores it: serves md5 and cleartext logins of that one user.
    Md5(SecretString),
    /// A SCRAM verifier: serves SCRAM and cleartext logins.
    Scram(ScramVerifier),
}

impl Verifier {
    /// Reads a configured password, with Postgres's own rule for what is what.
    ///
    /// # Errors
    /// [`AuthError::BadVerifier`] for an empty one and, unlike Postgres, for a text that begins like a SCRAM
    /// verifier and is none: that is a typing error, not a password.
    pub fn parse(text: &str) -> Result<Self, AuthError> {
        if text.is_empty() {
            return Err(AuthError::BadVerifier("empty password"));
        }
        if text.starts_with(SCRAM_PREFIX) {
            return ScramVerifier::parse(text).map(Self::Scram);
        }
        Ok(if is_md5(text) { Self::Md5(text.into()) } else { Self::Plain(text.into()) })
    }

    /// The verifier for SCRAM logins. `None` for md5, which cannot serve SCRAM.
    ///
    /// For a plain password it makes one, with a new salt and a PBKDF2: call it once, when the configuration is
    /// loaded, or a login of a known user takes longer than one of an unknown user.
    ///
    /// # Errors
    /// [`AuthError::Random`].
    pub fn to_scram(&self) -> Result<Option<ScramVerifier>, AuthError> {
        match self {
            Self::Plain(password) => ScramVerifier::generate(password.expose_secret().as_bytes()).map(Some),
            Self::Md5(_) => Ok(None),
            Self::Scram(verifier) => Ok(Some(verifier.clone())),
        }
    }

    /// The stored form for md5 logins of `user`; `None` for a SCRAM verifier, which cannot serve md5.
    pub fn to_md5(&self, user: &str) -> Option<SecretString> {
        match self {
            Self::Plain(password) => Some(md5_password(user, password.expose_secret().as_bytes()).into()),
            Self::Md5(stored) => Some(stored.clone()),
            Self::Scram(_) => None,
        }
    }

    /// Whether a cleartext password is the right one, in constant time for a given kind of verifier.
    pub fn verify_password(&self, user: &str, password: &[u8]) -> bool {
        match self {
            // Hashed first, so that the comparison does not tell the length either.
            Self::Plain(stored) => same(
                &sha256(&saslprep::prepare(stored.expose_secret().as_bytes())),
                &sha256(&saslprep::prepare(password)),
            ),
            Self::Md5(stored) => {
                same(stored.expose_secret().as_bytes(), md5_password(user, password).as_bytes())
            }
            Self::Scram(verifier) => verifier.verify_password(password),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain(…)",
            Self::Md5(_) => "Md5(…)",
            Self::Scram(_) => "Scram(…)",
        })
    }
}

/// As Postgres's `get_password_type`: lower-case hex only, anything else is a plain password.
fn is_md5(text: &str) -> bool {
    text.strip_prefix("md5").is_some_and(|hex| {
        hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
    })
}

/// What a server stores instead of the password (RFC 5802; `pg_authid.rolpassword`).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    pub(crate) iterations: u32,
    pub(crate) salt: Box<[u8]>,
    pub(crate) stored_key: [u8; KEY_LEN],
    pub(crate) server_key: [u8; KEY_LEN],
}

impl ScramVerifier {
    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    ///
    /// # Errors
    /// [`AuthError::BadVerifier`].
    pub fn parse(text: &str) -> Result<Self, AuthError> {
        let bad = AuthError::BadVerifier;
        let rest = text.strip_prefix(SCRAM_PREFIX).ok_or(bad("does not begin with SCRAM-SHA-256$"))?;
        let (head, tail) = rest.split_once('$').ok_or(bad("SCRAM verifier without its keys"))?;
        let (count, salt) = head.split_once(':').ok_or(bad("SCRAM verifier without a salt"))?;
        let (stored, server) = tail.split_once(':').ok_or(bad("SCRAM verifier without a server key"))?;
        let iterations = count.parse().map_err(|_| bad("SCRAM iterations are not a number"))?;
        let salt = BASE64.decode(salt).map_err(|_| bad("SCRAM salt is not base64"))?;
        check_salt_and_iterations(&salt, iterations).map_err(bad)?;
        let key = |text: &str| -> Result<[u8; KEY_LEN], AuthError> {
            let bytes = BASE64.decode(text).map_err(|_| bad("SCRAM key is not base64"))?;
            bytes.try_into().map_err(|_| bad("SCRAM key has not 32 bytes"))
        };
        Ok(Self { iterations, salt: salt.into(), stored_key: key(stored)?, server_key: key(server)? })
    }

    /// The verifier of a password with a given salt.
    ///
    /// # Errors
    /// As [`derive_keys`], as [`AuthError::BadVerifier`].
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Result<Self, AuthError> {
        check_salt_and_iterations(salt, iterations).map_err(AuthError::BadVerifier)?;
        let keys = derive_keys(password, salt, iterations)?;
        Ok(Self { iterations, salt: salt.into(), stored_key: keys.stored_key(), server_key: keys.server_key })
    }

    /// A new verifier of a password, with a random salt of 16 bytes and 4096 iterations.
    ///
    /// # Errors
    /// [`AuthError::Random`].
    pub fn generate(password: &[u8]) -> Result<Self, AuthError> {
        let mut salt = [0u8; SALT_LEN];
        rand::fill(&mut salt).map_err(|_| AuthError::Random)?;
        Self::derive(password, &salt, DEFAULT_ITERATIONS)
    }

    /// Whether a cleartext password is the right one, in constant time. Costs a PBKDF2.
    pub fn verify_password(&self, password: &[u8]) -> bool {
        derive_keys(password, &self.salt, self.iterations)
            .is_ok_and(|keys| same(&keys.server_key, &self.server_key))
    }

    /// PBKDF2 iterations.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt's bytes.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }
}

/// The form of `pg_authid`, which can be put into a configuration. It is a secret: it allows offline guessing and
/// impersonating the server.
impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{SCRAM_PREFIX}{}:{}${}:{}",
            self.iterations,
            BASE64.encode(&self.salt),
            BASE64.encode(self.stored_key),
            BASE64.encode(self.server_key)
        )
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier(…)")
    }
}
