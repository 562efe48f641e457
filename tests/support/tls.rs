//! Certificates, and TLS around a client that knows none.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// Signs certificates in a folder of its own.
pub struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        let dir = tempfile::Builder::new().prefix("howdah-ca").tempdir().expect("a folder");
        fs::write(dir.path().join("ca.crt"), issuer.pem()).expect("ca.crt");
        Self { dir, issuer }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn ca(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// Writes `<file>.crt` and `<file>.key`, for these host names, over what was there.
    pub fn sign(&self, file: &str, common_name: &str, hosts: &[&str]) {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.file(&format!("{file}.crt")), cert.pem()).expect("certificate");
        let key_file = self.file(&format!("{file}.key"));
        fs::write(&key_file, key.serialize_pem()).expect("key");
        // psql refuses keys that others may read.
        fs::set_permissions(key_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    }

    /// The certificate in a file of this folder.
    pub fn der(&self, file: &str) -> Vec<u8> {
        CertificateDer::from_pem_file(self.file(file)).expect("a certificate").to_vec()
    }
}

/// How a tunnel begins TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// By SSLRequest.
    Asked,
    /// At once.
    Direct,
}

/// A port on loopback behind which everything goes over TLS to another port, one connection each.
pub struct Tunnel {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
    _end: tokio::sync::oneshot::Sender<()>,
}

#[derive(Default)]
struct Seen {
    certificates: Vec<Vec<u8>>,
    errors: Vec<String>,
}

impl Tunnel {
    /// Trusts the certificates of `ca` and wants one for `localhost`.
    pub fn new(to: u16, ca: &Path, begin: Begin, alpn: &[&str]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (end, ended) = tokio::sync::oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        listener.set_nonblocking(true).expect("nonblocking");
        let port = listener.local_addr().expect("its address").port();
        let notes = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let accepting = async {
                    while let Ok((near, _)) = listener.accept().await {
                        let (connector, notes) = (connector.clone(), Arc::clone(&notes));
                        tokio::spawn(async move {
                            if let Err(error) = carry(near, to, begin, &connector, &notes).await {
                                notes.lock().expect("notes").errors.push(error.to_string());
                            }
                        });
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    _ = ended => {}
                }
            });
        });
        Self { port, seen, _end: end }
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The server's certificate of each connection so far, in DER.
    pub fn certificates(&self) -> Vec<Vec<u8>> {
        self.seen.lock().expect("notes").certificates.clone()
    }

    /// Why connections could not be made or broke.
    pub fn errors(&self) -> Vec<String> {
        self.seen.lock().expect("notes").errors.clone()
    }
}

async fn carry(
    mut near: TcpStream,
    to: u16,
    begin: Begin,
    connector: &TlsConnector,
    seen: &Mutex<Seen>,
) -> std::io::Result<()> {
    let mut far = TcpStream::connect(("127.0.0.1", to)).await?;
    far.set_nodelay(true)?;
    near.set_nodelay(true)?;
    if begin == Begin::Asked {
        far.write_all(&super::wire::ssl_request()).await?;
        if far.read_u8().await? != b'S' {
            return Err(std::io::Error::other("no S to SSLRequest"));
        }
    }
    let name = ServerName::try_from("localhost").expect("a name");
    let mut far = connector.connect(name, far).await?;
    let certificates = far.get_ref().1.peer_certificates().unwrap_or_default();
    if let Some(leaf) = certificates.first() {
        seen.lock().expect("notes").certificates.push(leaf.to_vec());
    }
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
