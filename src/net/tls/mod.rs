//! TLS on both sides, with rustls and aws-lc-rs.
//!
//! [`ServerTls`] is Howdah towards its clients, [`ClientTls`] is Howdah towards a server. Both are built once from
//! files and never change; a reload builds new ones and swaps them. Sessions are never resumed and tickets never
//! sent, as in Postgres.

mod client;
mod pem;
mod server;
mod verify;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use client::{ClientTls, ClientTlsConfig};
pub use server::{ServerTls, ServerTlsConfig, accept};

/// The name of the Postgres protocol in ALPN (IANA; Postgres 17).
pub const ALPN: &[u8] = b"postgresql";

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
