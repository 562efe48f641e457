//! The client's side: Howdah logs in to a server, and makes the server prove that it knows the password too.
//!
//! [`start`] → [`AwaitServerFirst`] → [`Challenge`] → [`AwaitServerFinal`] → done. An `AuthenticationOk` before the last
//! step comes from somebody who knows nothing: the caller must refuse it.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::super::keys::{check_salt_and_iterations, hmac_sha256, same, xor};
use super::super::{AuthError, KeyCache, MAX_MESSAGE, MAX_NONCE, ScramKeys, derive_keys};
use super::Mechanism;
use super::message::{self, Attributes, BINDING_TYPE};

/// How to bind the login to the TLS session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding<'a> {
    /// Plain TCP, or a certificate without a hash: we cannot (`n`).
    Unsupported,
    /// We could, but the server did not offer PLUS (`y`): a server that did offer it sees that somebody cut it.
    NotOffered,
    /// PLUS, with the `tls-server-end-point` hash of the server's certificate (`p`).
    EndPoint(&'a [u8]),
}

impl<'a> Binding<'a> {
    /// The right one for a server's list of mechanisms and what we have from TLS.
    pub fn choose(offered_plus: bool, end_point: Option<&'a [u8]>) -> Self {
        match end_point {
            None => Self::Unsupported,
            Some(_) if !offered_plus => Self::NotOffered,
            Some(hash) => Self::EndPoint(hash),
        }
    }

    /// The mechanism that goes with it.
    pub fn mechanism(self) -> Mechanism {
        match self {
            Self::Unsupported | Self::NotOffered => Mechanism::ScramSha256,
            Self::EndPoint(_) => Mechanism::ScramSha256Plus,
        }
    }
}

/// What we log in with.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    /// The password.
    Password(&'a [u8]),
    /// Keys that a client's own login gave us (pass-through); they fit one salt and iteration count.
    Keys(&'a ScramKeys),
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(…)",
            Self::Keys(_) => "Keys(…)",
        })
    }
}

/// Begins a login: the client-first-message for `SASLInitialResponse` (with [`Binding::mechanism`]'s name).
///
/// # Errors
/// [`AuthError::Random`].
pub fn start(binding: Binding<'_>) -> Result<(String, AwaitServerFirst), AuthError> {
    // libpq sends no user name here, and Postgres takes the startup message's.
    Ok(start_with(binding, "", message::nonce()?))
}

/// [`start`] with everything given, for test vectors.
pub(in super::super) fn start_with(
    binding: Binding<'_>,
    user: &str,
    nonce: String,
) -> (String, AwaitServerFirst) {
    let bound_header = format!("p={},,", String::from_utf8_lossy(BINDING_TYPE));
    let (header, data): (&str, &[u8]) = match binding {
        Binding::Unsupported => ("n,,", &[]),
        Binding::NotOffered => ("y,,", &[]),
        Binding::EndPoint(hash) => (&bound_header, hash),
    };
    let bare = format!("n={user},r={nonce}");
    let first = format!("{header}{bare}");
    let binding = message::binding_input(header.as_bytes(), data);
    (first, AwaitServerFirst { nonce, bare, binding })
}

/// Has sent the client-first-message; waits for the server-first-message.
#[derive(Debug)]
pub struct AwaitServerFirst {
    nonce: String,
    bare: String,
    binding: String,
}

impl AwaitServerFirst {
    /// Reads the server-first-message (from `AuthenticationSASLContinue`). Costs no key derivation yet.
    ///
    /// # Errors
    /// [`AuthError::ServerMalformed`], [`AuthError::ServerOutOfBounds`].
    pub fn server_first(self, message: &[u8]) -> Result<Challenge, AuthError> {
        let text = check(message)?;
        let mut attributes = Attributes::new(message);
        let nonce = attributes.expect(b'r').map_err(AuthError::ServerMalformed)?;
        let salt = attributes.expect(b's').map_err(AuthError::ServerMalformed)?;
        let iterations = attributes.expect(b'i').map_err(AuthError::ServerMalformed)?;
        if !attributes.rest().is_empty() {
            return Err(AuthError::ServerMalformed("garbage at the end of server-first-message"));
        }
        if nonce.len() > MAX_NONCE {
            return Err(AuthError::ServerOutOfBounds("nonce is too long"));
        }
        // A nonce that is only ours would let an old login be played back to us.
        let own = nonce.strip_prefix(self.nonce.as_bytes());
        if own.is_none_or(<[u8]>::is_empty) || !message::is_printable(nonce) {
            return Err(AuthError::ServerMalformed("nonce does not match"));
        }
        let salt = BASE64.decode(salt).map_err(|_| AuthError::ServerMalformed("salt is not base64"))?;
        let iterations = std::str::from_utf8(iterations)
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or(AuthError::ServerMalformed("iterations are not a number"))?;
        check_salt_and_iterations(&salt, iterations).map_err(AuthError::ServerOutOfBounds)?;
        let without_proof = format!("c={},r={}", self.binding, String::from_utf8_lossy(nonce));
        let transcript = format!("{},{text},{without_proof}", self.bare);
        Ok(Challenge { salt, iterations, without_proof, transcript })
    }
}

/// What the server wants proved, with its salt and iterations.
#[derive(Debug)]
pub struct Challenge {
    salt: Vec<u8>,
    iterations: u32,
    without_proof: String,
    /// RFC 5802's `AuthMessage`.
    transcript: String,
}

impl Challenge {
    /// The salt; within [`super::super::MAX_SALT`].
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The PBKDF2 iterations; within [`super::super::MAX_ITERATIONS`].
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Derives the keys for this challenge. The costly step, apart so that a caller can do it elsewhere.
    ///
    /// # Errors
    /// As [`derive_keys`].
    pub fn derive(&self, password: &[u8]) -> Result<ScramKeys, AuthError> {
        derive_keys(password, &self.salt, self.iterations)
    }

    /// Keys derived for this challenge before.
    pub fn find(&self, cache: &mut KeyCache, password: &[u8]) -> Option<ScramKeys> {
        cache.find(password, &self.salt, self.iterations)
    }

    /// Puts derived keys into the cache; best after the server accepted them.
    pub fn remember(&self, cache: &mut KeyCache, password: &[u8], keys: &ScramKeys) {
        cache.remember(password, &self.salt, self.iterations, keys);
    }

    /// The client-final-message for `SASLResponse`, from credentials; derives the keys if need be.
    ///
    /// # Errors
    /// As [`derive_keys`].
    pub fn answer_with(self, credentials: Credentials<'_>) -> Result<(String, AwaitServerFinal), AuthError> {
        match credentials {
            Credentials::Keys(keys) => Ok(self.answer(keys)),
            Credentials::Password(password) => {
                let keys = self.derive(password)?;
                Ok(self.answer(&keys))
            }
        }
    }

    /// The client-final-message for `SASLResponse`, from keys.
    pub fn answer(self, keys: &ScramKeys) -> (String, AwaitServerFinal) {
        let transcript: [&[u8]; 1] = [self.transcript.as_bytes()];
        let proof = xor(&keys.client_key, &hmac_sha256(&keys.stored_key(), &transcript));
        let signature = hmac_sha256(&keys.server_key, &transcript);
        let message = format!("{},p={}", self.without_proof, BASE64.encode(proof));
        (message, AwaitServerFinal { signature })
    }
}

/// Has sent the proof; waits for the server's.
pub struct AwaitServerFinal {
    signature: [u8; 32],
}

impl fmt::Debug for AwaitServerFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwaitServerFinal(…)")
    }
}

impl AwaitServerFinal {
    /// Reads the server-final-message (from `AuthenticationSASLFinal`) and checks the server's signature.
    ///
    /// # Errors
    /// [`AuthError::ServerRefused`] for `e=`, [`AuthError::ServerSignature`], [`AuthError::ServerMalformed`].
    pub fn server_final(self, message: &[u8]) -> Result<(), AuthError> {
        check(message)?;
        if message.starts_with(b"e=") {
            return Err(AuthError::ServerRefused);
        }
        let mut attributes = Attributes::new(message);
        let signature = attributes.expect(b'v').map_err(AuthError::ServerMalformed)?;
        if !attributes.rest().is_empty() {
            return Err(AuthError::ServerMalformed("garbage at the end of server-final-message"));
        }
        let signature =
            BASE64.decode(signature).map_err(|_| AuthError::ServerMalformed("signature is not base64"))?;
        if same(&signature, &self.signature) { Ok(()) } else { Err(AuthError::ServerSignature) }
    }
}

/// What holds for every message before it is read.
fn check(message: &[u8]) -> Result<&str, AuthError> {
    if message.len() > MAX_MESSAGE {
        return Err(AuthError::ServerOutOfBounds("message is too long"));
    }
    std::str::from_utf8(message).map_err(|_| AuthError::ServerMalformed("not UTF-8"))
}
