//! The keys that SCRAM derives from a password (RFC 5802, chapter 3), and a cache of them.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use secrecy::zeroize::{Zeroize, Zeroizing};

use super::{AuthError, KEY_LEN, MAX_ITERATIONS, MAX_SALT, saslprep};

/// What a client needs instead of the password to log in with SCRAM: `ClientKey`, and `ServerKey` to check the server.
///
/// They belong to one salt and iteration count. A server end learns them from a successful login, so they open any
/// server whose `pg_authid` holds the same verifier (pass-through). Wiped from memory when dropped.
#[derive(Clone)]
pub struct ScramKeys {
    /// `HMAC(SaltedPassword, "Client Key")`.
    pub client_key: [u8; KEY_LEN],
    /// `HMAC(SaltedPassword, "Server Key")`.
    pub server_key: [u8; KEY_LEN],
}

impl ScramKeys {
    /// `H(ClientKey)`, what a verifier stores.
    pub(crate) fn stored_key(&self) -> [u8; KEY_LEN] {
        sha256(&self.client_key)
    }
}

impl Drop for ScramKeys {
    fn drop(&mut self) {
        self.client_key.zeroize();
        self.server_key.zeroize();
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys(…)")
    }
}

/// Derives the keys for a password: `SASLprep`, PBKDF2-HMAC-SHA256, then the two HMACs of RFC 5802.
///
/// Costs CPU in proportion to `iterations` (about a millisecond for 4096): cache the result, see [`KeyCache`].
///
/// # Errors
/// [`AuthError::ServerOutOfBounds`] for an empty or too long salt, no iterations, or more than [`MAX_ITERATIONS`].
pub fn derive_keys(password: &[u8], salt: &[u8], iterations: u32) -> Result<ScramKeys, AuthError> {
    check_salt_and_iterations(salt, iterations).map_err(AuthError::ServerOutOfBounds)?;
    let count = NonZeroU32::new(iterations).ok_or(AuthError::ServerOutOfBounds("no iterations"))?;
    let prepared = saslprep::prepare(password);
    let mut salted = Zeroizing::new([0u8; KEY_LEN]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, salt, &prepared, salted.as_mut_slice());
    Ok(ScramKeys {
        client_key: hmac_sha256(salted.as_slice(), &[b"Client Key"]),
        server_key: hmac_sha256(salted.as_slice(), &[b"Server Key"]),
    })
}

/// The bounds that hold for a salt and an iteration count, wherever they come from.
pub(crate) fn check_salt_and_iterations(salt: &[u8], iterations: u32) -> Result<(), &'static str> {
    if salt.is_empty() {
        return Err("empty salt");
    }
    if salt.len() > MAX_SALT {
        return Err("salt is too long");
    }
    if iterations == 0 {
        return Err("no iterations");
    }
    if iterations > MAX_ITERATIONS {
        return Err("too many iterations");
    }
    Ok(())
}

/// `HMAC-SHA-256(key, parts joined)`.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_LEN] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    array(context.sign().as_ref())
}

/// SHA-256.
pub(crate) fn sha256(data: &[u8]) -> [u8; KEY_LEN] {
    array(digest::digest(&digest::SHA256, data).as_ref())
}

/// `a XOR b`.
pub(crate) fn xor(a: &[u8; KEY_LEN], b: &[u8; KEY_LEN]) -> [u8; KEY_LEN] {
    let mut out = *a;
    for (byte, other) in out.iter_mut().zip(b) {
        *byte ^= other;
    }
    out
}

/// Compares without telling by its duration where two slices differ.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// A digest's bytes as an array; every digest here has the length of SHA-256's.
fn array(bytes: &[u8]) -> [u8; KEY_LEN] {
    let mut out = [0u8; KEY_LEN];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

/// Keys already derived, so that reconnecting to a server costs no PBKDF2. Bounded; the oldest used goes first.
///
/// Entries are found by an HMAC over password, salt and iterations, so the cache holds no password, and a server
/// whose password was changed (new salt) simply misses. The caller holds it, and locks it if it shares it.
pub struct KeyCache {
    /// Most recently used last.
    entries: VecDeque<([u8; KEY_LEN], ScramKeys)>,
    capacity: usize,
}

impl KeyCache {
    /// An empty cache for at most `capacity` keys. Lookup is linear: meant for some dozens.
    pub fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), capacity }
    }

    /// The keys for these three, if they were derived before.
    pub fn find(&mut self, password: &[u8], salt: &[u8], iterations: u32) -> Option<ScramKeys> {
        let wanted = fingerprint(password, salt, iterations);
        let at = self.entries.iter().position(|(print, _)| same(print, &wanted))?;
        let entry = self.entries.remove(at)?;
        let keys = entry.1.clone();
        self.entries.push_back(entry);
        Some(keys)
    }

    /// Remembers keys; drops the ones not used for longest when the cache is full.
    pub fn remember(&mut self, password: &[u8], salt: &[u8], iterations: u32, keys: &ScramKeys) {
        let print = fingerprint(password, salt, iterations);
        self.entries.retain(|(known, _)| !same(known, &print));
        self.entries.push_back((print, keys.clone()));
        while self.entries.len() > self.capacity {
            self.entries.pop_front();
        }
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCache({} of {})", self.entries.len(), self.capacity)
    }
}

/// What an entry is found by. The fixed-length count stands between the two others, so no two triples collide.
fn fingerprint(password: &[u8], salt: &[u8], iterations: u32) -> [u8; KEY_LEN] {
    hmac_sha256(&sha256(salt), &[&iterations.to_be_bytes(), password])
}
