//! TLS towards clients.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::super::{NetError, Stream};
use super::{ALPN, pem, provider};
use crate::ids::SslMode;

/// What [`ServerTls`] is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsConfig {
    /// `verify-ca` and `verify-full` demand a client certificate, the other modes do not.
    pub mode: SslMode,
    /// PEM: our certificate, then those between it and its root.
    pub cert_file: PathBuf,
    /// PEM: our private key.
    pub key_file: PathBuf,
    /// PEM: who may sign client certificates. With a mode that does not demand one, a client may send one, and then
    /// it must be good.
    pub client_ca_file: Option<PathBuf>,
}

/// Our certificate and what we ask of clients. Immutable; see the module.
pub struct ServerTls {
    mode: SslMode,
    config: Arc<ServerConfig>,
    leaf: Vec<u8>,
    not_after: i64,
}

impl ServerTls {
    /// Reads the files. Blocks: call it at start and reload, not for a connection.
    ///
    /// # Errors
    /// [`NetError::File`], [`NetError::Config`], or [`NetError::Tls`] for a key that does not fit the certificate.
    pub fn load(config: &ServerTlsConfig) -> Result<Self, NetError> {
        let chain = pem::certificates(&config.cert_file)?;
        let key = pem::private_key(&config.key_file)?;
        let leaf = chain.first().map(|cert| cert.as_ref().to_vec()).unwrap_or_default();
        let (_, not_after) = pem::validity(&leaf)
            .ok_or_else(|| NetError::file(&config.cert_file, "not a valid X.509 certificate"))?;
        let clients = client_verifier(config.mode, config.client_ca_file.as_deref())?;
        let mut tls = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)?;
        // Clients that offer other protocols only are refused in the handshake; no offer at all is fine here.
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        Ok(Self { mode: config.mode, config: Arc::new(tls), leaf, not_after })
    }

    /// The mode it was built with.
    pub fn mode(&self) -> SslMode {
        self.mode
    }

    /// For [`accept`], after a client's `SSLRequest` was answered with `S`.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// TLS after `SSLRequest`; the same as [`accept`].
    ///
    /// # Errors
    /// See [`accept`].
    pub async fn accept_negotiated(&self, stream: Stream) -> Result<Stream, NetError> {
        accept(stream, self.config()).await
    }

    /// Direct TLS: the client began with its `ClientHello`. It must agree on ALPN `postgresql`, as in Postgres 17, so
    /// that nobody can bring another protocol's client to talk to us (ALPACA).
    ///
    /// # Errors
    /// As [`accept`], and [`NetError::Alpn`].
    pub async fn accept_direct(&self, stream: Stream) -> Result<Stream, NetError> {
        let stream = accept(stream, self.config()).await?;
        if stream.alpn() == Some(ALPN) { Ok(stream) } else { Err(NetError::Alpn) }
    }

    /// Our certificate in DER, which channel binding (`tls-server-end-point`) hashes.
    pub fn leaf_certificate(&self) -> &[u8] {
        &self.leaf
    }

    /// When our certificate expires, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("mode", &self.mode)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The server's side of a handshake. Takes the bare stream: nothing that was read before can come with it, and bytes
/// that a client sent too early are read as TLS, which they are not.
///
/// Not cancel-safe: dropping it closes the connection.
///
/// # Errors
/// [`NetError::NotTcp`], [`NetError::Untrusted`] for a client's certificate, [`NetError::Alpn`], [`NetError::Tls`],
/// [`NetError::Io`].
pub async fn accept(stream: Stream, config: Arc<ServerConfig>) -> Result<Stream, NetError> {
    let Stream::Tcp(tcp) = stream else { return Err(NetError::NotTcp) };
    let tls = TlsAcceptor::from(config).accept(tcp).await.map_err(NetError::handshake)?;
    Ok(Stream::Tls(Box::new(TlsStream::Server(tls))))
}

fn client_verifier(mode: SslMode, ca_file: Option<&Path>) -> Result<Arc<dyn ClientCertVerifier>, NetError> {
    let demand = matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull);
    let Some(path) = ca_file else {
        if demand {
            return Err(NetError::Config("verify-ca and verify-full need a client_ca_file"));
        }
        return Ok(Arc::new(NoClientAuth));
    };
    let mut roots = RootCertStore::empty();
    for cert in pem::certificates(path)? {
        roots.add(cert).map_err(|error| NetError::file(path, error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if demand { builder } else { builder.allow_unauthenticated() };
    builder.build().map(|verifier| verifier as _).map_err(|error| NetError::file(path, error.to_string()))
}
