//! A tenant that the server can check.

use std::fmt::{self, Write as _};

use aws_lc_rs::hmac;

/// Signs tenants, so that SQL on the server can tell a tenant that Howdah set from one that somebody made up.
///
/// The signature is `v1.`, the Unix time in seconds, a dot, and the HMAC-SHA-256 in lower case hex over the
/// UTF-8 text `howdah.v1|PID|SECONDS|ID`. Whatever is in the id, that text has one reading, because the three
/// parts before it hold no bar. It is bound to one backend process, so that it is worth nothing elsewhere.
pub struct Signer {
    key: hmac::Key,
}

impl Signer {
    /// A signer with a key, `config::Signature::key`.
    pub fn new(key: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// The signature for a tenant's id on the backend process `pid`, made at `now_unix` (seconds).
    pub fn sign(&self, tenant_id: &str, pid: u32, now_unix: u64) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(format!("howdah.v1|{pid}|{now_unix}|").as_bytes());
        context.update(tenant_id.as_bytes());
        let tag = context.sign();
        let mut out = format!("v1.{now_unix}.");
        for byte in tag.as_ref() {
            let _ = write!(out, "{byte:02x}");
        }
        out
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}
