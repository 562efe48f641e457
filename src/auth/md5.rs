//! The md5 method (Postgres protocol, chapter 54.2.1, `AuthenticationMD5Password`). Weak; kept for old clients and
//! servers.

use md5::{Digest, Md5};

use super::keys::same;

/// What `pg_authid` stores for a user: `md5` and the hex of `md5(password user)`.
pub fn md5_password(user: &str, password: &[u8]) -> String {
    hashed(password, user.as_bytes())
}

/// The answer to `AuthenticationMD5Password` with this salt, from the stored form (`md5` and 32 hex digits).
pub fn md5_response(stored: &str, salt: [u8; 4]) -> String {
    hashed(stored.strip_prefix("md5").unwrap_or(stored).as_bytes(), &salt)
}

/// Whether a client's answer is the right one, in constant time. `response` comes without its closing zero.
pub fn md5_check(stored: &str, salt: [u8; 4], response: &[u8]) -> bool {
    same(md5_response(stored, salt).as_bytes(), response)
}

/// `md5` and the hex of `md5(first second)`.
fn hashed(first: &[u8], second: &[u8]) -> String {
    let digest = Md5::new().chain_update(first).chain_update(second).finalize();
    let mut out = String::with_capacity(35);
    out.push_str("md5");
    for byte in digest {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    out
}
