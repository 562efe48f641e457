//! TLS on both sides, with rustls and aws-lc-rs.
//!
//! [`ServerTls`] is Howdah towards its clients, [`ClientTls`] is Howdah towards a server. Both are built once from
//! files and never change; a reload builds new ones and swaps them. Sessions are never resumed and tickets never
//! sent, as in Postgres.

mod client;
mod pem;
mod server;
mod verify;

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;

use super::NetError;

pub use client::{ClientTls, ClientTlsConfig};
pub use server::{ServerTls, ServerTlsConfig, accept};

/// The name of the Postgres protocol in ALPN (IANA; Postgres 17).
pub const ALPN: &[u8] = b"postgresql";

/// When the certificates in a file end, in seconds since 1970, in the file's order.
///
/// # Errors
/// The file cannot be read, or what is in it is no certificate.
pub fn certificate_ends(file: &Path) -> Result<Vec<i64>, NetError> {
    let end = |der: &CertificateDer<'_>| pem::validity(der).map(|(_, not_after)| not_after);
    let ends: Option<Vec<i64>> = pem::certificates(file)?.iter().map(end).collect();
    ends.ok_or_else(|| NetError::file(file, "not a valid X.509 certificate"))
}

/// The one crypto provider, passed explicitly everywhere.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A verifier for tests that are not about certificates.
#[cfg(test)]
pub(super) fn trust_everything() -> Arc<dyn rustls::client::danger::ServerCertVerifier> {
    let algorithms = provider().signature_verification_algorithms;
    let roots = rustls::RootCertStore::empty();
    Arc::new(verify::ServerVerifier::new(verify::Verify::Nothing, roots, Vec::new(), algorithms))
}
