//! The server's side: a client proves to Howdah that it knows its password.
//!
//! [`AwaitClientFirst`] → [`AwaitClientFinal`] → [`ScramKeys`]. The rules are those of Postgres's `auth-scram.c`.

use std::fmt;

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::super::keys::{hmac_sha256, same, sha256, xor};
use super::super::{AuthError, KEY_LEN, MAX_MESSAGE, SALT_LEN, ScramKeys, ScramVerifier};
use super::Mechanism;
use super::message::{self, Attributes, BINDING_TYPE};

/// A random key of this process, from which the salts of unknown users are made. Never shown, never stored.
#[derive(Clone)]
pub struct MockKey([u8; KEY_LEN]);

impl MockKey {
    /// A new one; made once, at start.
    ///
    /// # Errors
    /// [`AuthError::Random`].
    pub fn generate() -> Result<Self, AuthError> {
        let mut key = [0u8; KEY_LEN];
        rand::fill(&mut key).map_err(|_| AuthError::Random)?;
        Ok(Self(key))
    }
}

impl fmt::Debug for MockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MockKey(…)")
    }
}

/// What the client's proof is checked against.
#[derive(Clone, Debug)]
pub struct ServerSecret {
    verifier: ScramVerifier,
    /// Set for users who do not exist or have no SCRAM verifier: whatever they prove, it fails.
    doomed: bool,
}

impl ServerSecret {
    /// A user's verifier.
    pub fn known(verifier: ScramVerifier) -> Self {
        Self { verifier, doomed: false }
    }

    /// For a user who does not exist, or cannot use SCRAM. The salt depends on name and key only, so a second
    /// attempt sees the same one, as it would for a real user; the login always fails. `iterations` should be what
    /// real users have.
    pub fn mock(key: &MockKey, user: &str, iterations: u32) -> Self {
        let digest = hmac_sha256(&key.0, &[b"salt of ", user.as_bytes()]);
        let salt = digest.get(..SALT_LEN).unwrap_or_default().into();
        let verifier = ScramVerifier { iterations, salt, stored_key: [0; KEY_LEN], server_key: [0; KEY_LEN] };
        Self { verifier, doomed: true }
    }
}

/// How the client wants its channel bound, from the first letter of its first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BindingFlag {
    /// `n`: it does not support channel binding.
    No,
    /// `y`: it does, and thinks that the server does not.
    Unoffered,
    /// `p`: bound.
    Bound,
}

/// Waits for the client-first-message.
#[derive(Debug)]
pub struct AwaitClientFirst {
    mechanism: Mechanism,
    binding: Option<Vec<u8>>,
    secret: ServerSecret,
    nonce: String,
}

impl AwaitClientFirst {
    /// Begins an exchange. `binding` is the `tls-server-end-point` hash of our certificate if PLUS was offered on
    /// this connection, and only then ([`Mechanism::offered`]).
    ///
    /// # Errors
    /// [`AuthError::Mechanism`] for PLUS that was not offered; [`AuthError::Random`].
    pub fn new(
        mechanism: Mechanism,
        binding: Option<&[u8]>,
        secret: ServerSecret,
    ) -> Result<Self, AuthError> {
        if mechanism == Mechanism::ScramSha256Plus && binding.is_none() {
            return Err(AuthError::Mechanism);
        }
        Ok(Self { mechanism, binding: binding.map(<[u8]>::to_vec), secret, nonce: message::nonce()? })
    }

    /// Fixes the server's part of the nonce, for test vectors.
    #[cfg(test)]
    pub(in super::super) fn with_nonce(mut self, nonce: &str) -> Self {
        nonce.clone_into(&mut self.nonce);
        self
    }

    /// Reads the client-first-message; gives the server-first-message for `AuthenticationSASLContinue`.
    ///
    /// The user name in it is ignored, as in Postgres: the one of the startup message counts.
    ///
    /// # Errors
    /// [`AuthError::Malformed`], [`AuthError::TooLong`], [`AuthError::Unsupported`], [`AuthError::Downgrade`].
    pub fn client_first(self, message: &[u8]) -> Result<(String, AwaitClientFinal), AuthError> {
        check(message)?;
        let (flag, bare) = self.gs2_header(message)?;
        if bare.starts_with(b"m=") {
            return Err(AuthError::Unsupported("client requires an unsupported SCRAM extension"));
        }
        let mut attributes = Attributes::new(bare);
        attributes.expect(b'n').map_err(AuthError::Malformed)?;
        let client_nonce = attributes.expect(b'r').map_err(AuthError::Malformed)?;
        if client_nonce.is_empty() || !message::is_printable(client_nonce) {
            return Err(AuthError::Malformed("non-printable characters in SCRAM nonce"));
        }
        while !attributes.rest().is_empty() {
            attributes.any().map_err(AuthError::Malformed)?;
        }
        let header = message.strip_suffix(bare).unwrap_or_default();
        let data = if flag == BindingFlag::Bound { self.binding.as_deref() } else { None };
        let nonce = format!("{}{}", String::from_utf8_lossy(client_nonce), self.nonce);
        let verifier = &self.secret.verifier;
        let server_first = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let next = AwaitClientFinal {
            flag,
            expected_binding: message::binding_input(header, data.unwrap_or_default()),
            nonce,
            transcript: [bare, b",", server_first.as_bytes(), b","].concat(),
            secret: self.secret,
        };
        Ok((server_first, next))
    }

    /// Splits off the gs2 header, by Postgres's rules for what the client may claim on this connection.
    fn gs2_header<'m>(&self, message: &'m [u8]) -> Result<(BindingFlag, &'m [u8]), AuthError> {
        let plus = self.mechanism == Mechanism::ScramSha256Plus;
        let (flag, rest) = match message {
            [b'n' | b'y', ..] if plus => {
                return Err(AuthError::Malformed("SCRAM-SHA-256-PLUS without channel binding data"));
            }
            [b'y', ..] if self.binding.is_some() => return Err(AuthError::Downgrade),
            [b'n', rest @ ..] => (BindingFlag::No, rest),
            [b'y', rest @ ..] => (BindingFlag::Unoffered, rest),
            [b'p', ..] if !plus => {
                return Err(AuthError::Malformed("SCRAM-SHA-256 with channel binding data"));
            }
            [b'p', b'=', rest @ ..] => {
                let rest = rest
                    .strip_prefix(BINDING_TYPE)
                    .filter(|rest| matches!(rest, [b',', ..]))
                    .ok_or(AuthError::Malformed("unsupported SCRAM channel-binding type"))?;
                (BindingFlag::Bound, rest)
            }
            _ => return Err(AuthError::Malformed("unexpected channel-binding flag")),
        };
        match rest {
            [b',', b'a', ..] => {
                Err(AuthError::Unsupported("client uses authorization identity, but it is not supported"))
            }
            [b',', b',', bare @ ..] => Ok((flag, bare)),
            _ => Err(AuthError::Malformed("comma expected after the channel-binding flag")),
        }
    }
}

/// Has sent the server-first-message; waits for the client-final-message.
#[derive(Debug)]
pub struct AwaitClientFinal {
    flag: BindingFlag,
    expected_binding: String,
    nonce: String,
    /// `client-first-message-bare "," server-first-message ","`.
    transcript: Vec<u8>,
    secret: ServerSecret,
}

impl AwaitClientFinal {
    /// Reads the client-final-message; gives the server-final-message for `AuthenticationSASLFinal`, and the keys
    /// with which one can log in as this client elsewhere (pass-through).
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`], [`AuthError::ChannelBinding`], [`AuthError::Malformed`], [`AuthError::TooLong`].
    pub fn client_final(self, message: &[u8]) -> Result<(String, ScramKeys), AuthError> {
        check(message)?;
        let mut attributes = Attributes::new(message);
        let binding = attributes.expect(b'c').map_err(AuthError::Malformed)?;
        if !same(binding, self.expected_binding.as_bytes()) {
            return Err(match self.flag {
                BindingFlag::Bound => AuthError::ChannelBinding,
                _ => {
                    AuthError::Malformed("unexpected SCRAM channel-binding attribute in client-final-message")
                }
            });
        }
        let nonce = attributes.expect(b'r').map_err(AuthError::Malformed)?;
        let (without_proof, proof) = attributes.skip_to(b'p').map_err(AuthError::Malformed)?;
        if !attributes.rest().is_empty() {
            return Err(AuthError::Malformed("garbage at the end of client-final-message"));
        }
        if !same(nonce, self.nonce.as_bytes()) {
            return Err(AuthError::Malformed("nonce does not match"));
        }
        let proof: [u8; KEY_LEN] = BASE64
            .decode(proof)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(AuthError::Malformed("malformed proof in client-final-message"))?;
        self.check_proof(without_proof, &proof)
    }

    /// RFC 5802, chapter 3: `ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage)`; the proof is right if
    /// `H(ClientKey)` is `StoredKey`.
    fn check_proof(
        &self,
        without_proof: &[u8],
        proof: &[u8; KEY_LEN],
    ) -> Result<(String, ScramKeys), AuthError> {
        let verifier = &self.secret.verifier;
        let transcript: [&[u8]; 2] = [&self.transcript, without_proof];
        let keys = ScramKeys {
            client_key: xor(proof, &hmac_sha256(&verifier.stored_key, &transcript)),
            server_key: verifier.server_key,
        };
        let signature = hmac_sha256(&verifier.server_key, &transcript);
        // Everything is computed before the verdict, so a doomed login takes as long as a wrong password.
        let right = same(&sha256(&keys.client_key), &verifier.stored_key);
        if right && !self.secret.doomed {
            Ok((format!("v={}", BASE64.encode(signature)), keys))
        } else {
            Err(AuthError::WrongPassword)
        }
    }
}

/// What holds for every message before it is read.
fn check(message: &[u8]) -> Result<(), AuthError> {
    if message.len() > MAX_MESSAGE {
        return Err(AuthError::TooLong);
    }
    if message.is_empty() {
        return Err(AuthError::Malformed("the message is empty"));
    }
    if message.contains(&0) {
        return Err(AuthError::Malformed("message length does not match input length"));
    }
    Ok(())
}
