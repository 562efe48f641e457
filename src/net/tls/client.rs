//! TLS towards servers.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::{TlsConnector, TlsStream};

use super::super::{NetError, Stream};
use super::verify::{ServerVerifier, Verify};
use super::{ALPN, pem, provider};
use crate::ids::SslMode;

/// What [`ClientTls`] is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTlsConfig {
    /// libpq's sslmode.
    pub mode: SslMode,
    /// PEM: whom we trust. Without it `verify-ca` and `verify-full` trust whom the system trusts.
    pub ca_file: Option<PathBuf>,
    /// PEM: our certificate for servers that ask for one.
    pub cert_file: Option<PathBuf>,
    /// PEM: its private key.
    pub key_file: Option<PathBuf>,
}

/// Whom we trust and who we are. Immutable; see the module.
#[derive(Clone)]
pub struct ClientTls {
    mode: SslMode,
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Reads the files. Blocks: call it at start and reload, not for a connection.
    ///
    /// As in libpq, `require` with a `ca_file` verifies like `verify-ca`; `allow`, `prefer`, and `require` without one
    /// encrypt and verify nothing.
    ///
    /// # Errors
    /// [`NetError::File`], [`NetError::Config`], [`NetError::Tls`] for a key that does not fit the certificate.
    pub fn load(config: &ClientTlsConfig) -> Result<Self, NetError> {
        let verify = match config.mode {
            SslMode::VerifyFull => Verify::ChainAndName,
            SslMode::VerifyCa => Verify::Chain,
            SslMode::Require if config.ca_file.is_some() => Verify::Chain,
            _ => Verify::Nothing,
        };
        let (roots, trusted) = roots(config, verify)?;
        let provider = provider();
        let verifier =
            ServerVerifier::new(verify, roots, trusted, provider.signature_verification_algorithms);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut tls = match (&config.cert_file, &config.key_file) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                builder.with_client_auth_cert(pem::certificates(cert)?, pem::private_key(key)?)?
            }
            _ => return Err(NetError::Config("cert_file and key_file go together")),
        };
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.resumption = Resumption::disabled();
        Ok(Self { mode: config.mode, config: Arc::new(tls) })
    }

    /// The mode it was built with: whether to ask for TLS and what to do when the server has none is the caller's.
    pub fn mode(&self) -> SslMode {
        self.mode
    }

    /// The client's side of a handshake, after the server answered `SSLRequest` with `S`. `host` is the name or IP
    /// address that the configuration gives, not what it resolved to.
    ///
    /// Takes the bare stream, so nothing that was read before can come with it. With TLS 1.3 a server that does not
    /// like our certificate says so after this, at the first read. Not cancel-safe: dropping it closes the
    /// connection.
    ///
    /// # Errors
    /// [`NetError::Untrusted`], [`NetError::WrongHost`], [`NetError::BadHost`], [`NetError::NotTcp`],
    /// [`NetError::Alpn`], [`NetError::Tls`], [`NetError::Io`].
    pub async fn connect(&self, stream: Stream, host: &str) -> Result<Stream, NetError> {
        let Stream::Tcp(tcp) = stream else { return Err(NetError::NotTcp) };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| NetError::BadHost)?;
        let tls = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, tcp)
            .await
            .map_err(NetError::handshake)?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(tls))))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Whom we trust: as roots of chains, and, for a `ca_file`, its certificates themselves.
fn roots(
    config: &ClientTlsConfig,
    verify: Verify,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), NetError> {
    let mut roots = RootCertStore::empty();
    if verify == Verify::Nothing {
        return Ok((roots, Vec::new()));
    }
    if let Some(path) = &config.ca_file {
        let trusted = pem::certificates(path)?;
        for cert in &trusted {
            roots.add(cert.clone()).map_err(|error| NetError::file(path, error.to_string()))?;
        }
        return Ok((roots, trusted));
    }
    // The system's store may hold some that cannot be read; what counts is whether any can.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(NetError::Config("the system trusts no certificate authority; set ca_file"));
    }
    Ok((roots, Vec::new()))
}
