//! Passwords as SCRAM sees them (RFC 4013, with Postgres's leniency).

use std::borrow::Cow;

use secrecy::zeroize::Zeroizing;

/// The bytes that SCRAM works with for `password`: `SASLprep` (RFC 4013) of it, or, as in Postgres, the raw bytes if
/// it is not UTF-8, holds prohibited or unassigned characters, or nothing is left of it.
pub fn prepare(password: &[u8]) -> Zeroizing<Vec<u8>> {
    let prepared = std::str::from_utf8(password)
        .ok()
        .and_then(|text| stringprep::saslprep(text).ok())
        .filter(|text| !text.is_empty());
    let bytes = match prepared {
        Some(Cow::Owned(text)) => text.into_bytes(),
        Some(Cow::Borrowed(text)) => text.as_bytes().to_vec(),
        None => password.to_vec(),
    };
    Zeroizing::new(bytes)
}
