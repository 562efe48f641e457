//! Real sockets on the loopback, with certificates made for each test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::tls::{ALPN, ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig};
use super::*;
use crate::ids::SslMode;

/// A directory with a certificate authority that signs into it.
struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("ca.crt"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// Writes `<file>.crt` and `<file>.key`.
    fn sign(&self, file: &str, common_name: &str, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{file}.crt")), cert.pem()).unwrap();
        fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    fn server(&self, file: &str, mode: SslMode, client_ca_file: Option<PathBuf>) -> Arc<ServerTls> {
        Arc::new(self.try_server(file, mode, client_ca_file).unwrap())
    }

    fn try_server(
        &self,
        file: &str,
        mode: SslMode,
        client_ca_file: Option<PathBuf>,
    ) -> Result<ServerTls, NetError> {
        ServerTls::load(&ServerTlsConfig {
            mode,
            cert_file: self.path(&format!("{file}.crt")),
            key_file: self.path(&format!("{file}.key")),
            client_ca_file,
        })
    }
}

fn client(mode: SslMode, ca_file: Option<PathBuf>) -> ClientTls {
    ClientTls::load(&ClientTlsConfig { mode, ca_file, cert_file: None, key_file: None }).unwrap()
}

async fn pair() -> (Stream, Stream) {
    let listener = bind("127.0.0.1:0".parse().unwrap(), 16, false).unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap().into(), far.unwrap().0.into())
}

/// Both handshakes; on success the ends have exchanged a word, so late alerts (TLS 1.3) are in.
async fn handshake(
    client: &ClientTls,
    server: &Arc<ServerTls>,
    host: &str,
) -> (Result<Stream, NetError>, Result<Stream, NetError>) {
    let (near, far) = pair().await;
    let serve = async {
        let mut far = server.accept_negotiated(far).await?;
        far.write_all(b"hi").await?;
        Ok(far)
    };
    let connect = async {
        let mut near = client.connect(near, host).await?;
        let mut word = [0; 2];
        near.read_exact(&mut word).await?;
        assert_eq!(&word, b"hi");
        Ok(near)
    };
    tokio::join!(connect, serve)
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Fine,
    Untrusted,
    WrongHost,
}

async fn outcome(client: &ClientTls, server: &Arc<ServerTls>, host: &str) -> Outcome {
    match handshake(client, server, host).await.0 {
        Ok(_) => Outcome::Fine,
        Err(NetError::Untrusted(_)) => Outcome::Untrusted,
        Err(NetError::WrongHost) => Outcome::WrongHost,
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_each_mode_verifies() {
    use Outcome::{Fine, Untrusted, WrongHost};
    use SslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
    let (ours, other) = (Authority::new(), Authority::new());
    ours.sign("server", "server", &["localhost", "127.0.0.1"]);
    let server = ours.server("server", Prefer, None);
    // Mode; no CA, the right CA and host, the right CA and another host, the wrong CA.
    let table = [
        (Disable, Fine, Fine, Fine, Fine),
        (Allow, Fine, Fine, Fine, Fine),
        (Prefer, Fine, Fine, Fine, Fine),
        (Require, Fine, Fine, Fine, Untrusted),
        (VerifyCa, Untrusted, Fine, Fine, Untrusted),
        (VerifyFull, Untrusted, Fine, WrongHost, Untrusted),
    ];
    for (mode, none, right, wrong_host, wrong_ca) in table {
        let right_ca = client(mode, Some(ours.ca()));
        assert_eq!(outcome(&client(mode, None), &server, "localhost").await, none, "{mode:?}");
        assert_eq!(outcome(&right_ca, &server, "localhost").await, right, "{mode:?}");
        assert_eq!(outcome(&right_ca, &server, "127.0.0.1").await, right, "{mode:?}");
        assert_eq!(outcome(&right_ca, &server, "other.example").await, wrong_host, "{mode:?}");
        assert_eq!(outcome(&right_ca, &server, "127.0.0.2").await, wrong_host, "{mode:?}");
        let wrong = client(mode, Some(other.ca()));
        assert_eq!(outcome(&wrong, &server, "localhost").await, wrong_ca, "{mode:?}");
    }
    assert!(matches!(
        handshake(&client(Require, None), &server, "not a host").await.0,
        Err(NetError::BadHost)
    ));
}

#[tokio::test]
async fn a_common_name_counts_where_there_is_no_other_name() {
    use Outcome::{Fine, WrongHost};
    let ca = Authority::new();
    let verify = client(SslMode::VerifyFull, Some(ca.ca()));
    let cases: [(&str, &[&str], &str, Outcome); 8] = [
        ("db.example.org", &[], "db.example.org", Fine),
        ("db.example.org", &[], "DB.example.org", Fine),
        ("db.example.org", &[], "db2.example.org", WrongHost),
        ("*.example.org", &[], "db.example.org", Fine),
        ("*.example.org", &[], "a.db.example.org", WrongHost),
        ("*.org", &[], "example.org", WrongHost),
        ("127.0.0.1", &[], "127.0.0.1", Fine),
        ("db.example.org", &["other.example.org"], "db.example.org", WrongHost),
    ];
    for (common_name, names, host, expected) in cases {
        ca.sign("server", common_name, names);
        let server = ca.server("server", SslMode::Prefer, None);
        assert_eq!(outcome(&verify, &server, host).await, expected, "{common_name} {names:?} {host}");
    }
}

#[tokio::test]
async fn a_self_signed_server_is_its_own_root() {
    let dir = Authority::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let write = |name: &str, params: &CertificateParams| {
        fs::write(dir.path(&format!("{name}.crt")), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(dir.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    };
    write("self", &params);
    let server = dir.server("self", SslMode::Prefer, None);
    let verify = client(SslMode::VerifyFull, Some(dir.path("self.crt")));
    assert_eq!(outcome(&verify, &server, "localhost").await, Outcome::Fine);
    assert_eq!(outcome(&verify, &server, "other.example").await, Outcome::WrongHost);
    let verify = client(SslMode::VerifyCa, Some(dir.ca()));
    assert_eq!(outcome(&verify, &server, "localhost").await, Outcome::Untrusted);

    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    write("old", &params);
    let server = dir.server("old", SslMode::Prefer, None);
    assert_eq!(server.not_after(), 1_577_836_800);
    let verify = client(SslMode::VerifyCa, Some(dir.path("old.crt")));
    assert_eq!(outcome(&verify, &server, "localhost").await, Outcome::Untrusted);
}

#[tokio::test]
async fn client_certificates() {
    let ca = Authority::new();
    ca.sign("server", "server", &["localhost"]);
    ca.sign("alice", "alice", &[]);
    let other = Authority::new();
    other.sign("mallory", "alice", &[]);
    let with = |authority: &Authority, name: &str| {
        ClientTls::load(&ClientTlsConfig {
            mode: SslMode::Require,
            ca_file: None,
            cert_file: Some(authority.path(&format!("{name}.crt"))),
            key_file: Some(authority.path(&format!("{name}.key"))),
        })
        .unwrap()
    };
    let (alice, mallory) = (with(&ca, "alice"), with(&other, "mallory"));
    let nobody = client(SslMode::Require, None);

    for mode in [SslMode::VerifyCa, SslMode::VerifyFull] {
        let server = ca.server("server", mode, Some(ca.ca()));
        let (near, far) = handshake(&alice, &server, "localhost").await;
        assert!(near.is_ok());
        assert_eq!(far.unwrap().peer_certificate_common_name().as_deref(), Some("alice"));
        assert!(matches!(handshake(&nobody, &server, "localhost").await.1, Err(NetError::Tls(_))));
        assert!(matches!(handshake(&mallory, &server, "localhost").await.1, Err(NetError::Untrusted(_))));
        assert!(matches!(ca.try_server("server", mode, None), Err(NetError::Config(_))));
    }

    let optional = ca.server("server", SslMode::Require, Some(ca.ca()));
    let far = handshake(&nobody, &optional, "localhost").await.1.unwrap();
    assert_eq!(far.peer_certificate_common_name(), None);
    let far = handshake(&alice, &optional, "localhost").await.1.unwrap();
    assert_eq!(far.peer_certificate_common_name().as_deref(), Some("alice"));
    assert!(handshake(&mallory, &optional, "localhost").await.1.is_err());

    let unasked = ca.server("server", SslMode::Require, None);
    let far = handshake(&mallory, &unasked, "localhost").await.1.unwrap();
    assert_eq!(far.peer_certificate_common_name(), None);
}

/// A client that offers what it is told in ALPN.
async fn connect_with_alpn(near: Stream, alpn: &[&[u8]]) -> io::Result<()> {
    let Stream::Tcp(near) = near else { panic!() };
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
    config.dangerous().set_certificate_verifier(super::tls::trust_everything());
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = "localhost".try_into().unwrap();
    let mut tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, near).await?;
    tls.read_u8().await.map(drop)
}

#[tokio::test]
async fn direct_tls_needs_the_protocol_by_name() {
    let ca = Authority::new();
    ca.sign("server", "server", &["localhost"]);
    let server = ca.server("server", SslMode::Prefer, None);
    for (offer, direct, negotiated) in [
        (&[ALPN][..], true, true),
        (&[b"http/1.1", ALPN], true, true),
        (&[], false, true),
        (&[b"http/1.1"], false, false),
    ] {
        let (near, far) = pair().await;
        let accept = async { server.accept_direct(far).await.map(|_| ()) };
        let (_, accepted) = tokio::join!(connect_with_alpn(near, offer), accept);
        assert_eq!(accepted.is_ok(), direct, "{offer:?}");
        assert!(direct || matches!(accepted, Err(NetError::Alpn)), "{accepted:?}");
        let (near, far) = pair().await;
        let accept = async { server.accept_negotiated(far).await.map(|_| ()) };
        let (_, accepted) = tokio::join!(connect_with_alpn(near, offer), accept);
        assert_eq!(accepted.is_ok(), negotiated, "{offer:?}");
    }
}

#[tokio::test]
async fn bytes_before_the_handshake_are_not_data() {
    let ca = Authority::new();
    ca.sign("server", "server", &["localhost"]);
    let server = ca.server("server", SslMode::Prefer, None);
    let (mut near, far) = pair().await;
    near.write_all(b"Q\0\0\0\x0dSELECT 1\0").await.unwrap();
    assert_eq!(far.peek_first().await.unwrap(), Some(b'Q'));
    assert_eq!(far.peek_first().await.unwrap(), Some(b'Q'), "peeking takes nothing");
    assert!(matches!(server.accept_negotiated(far).await, Err(NetError::Tls(_))));

    let (near, far) = pair().await;
    drop(near);
    assert_eq!(far.peek_first().await.unwrap(), None);
}

#[tokio::test]
async fn a_reload_serves_the_new_certificate_and_keeps_old_sessions() {
    let ca = Authority::new();
    let trusting = client(SslMode::VerifyFull, Some(ca.ca()));
    ca.sign("server", "server", &["localhost"]);
    let old = ca.server("server", SslMode::Prefer, None);
    let current = arc_swap::ArcSwap::from(Arc::clone(&old));
    let (near, far) = handshake(&trusting, &current.load_full(), "localhost").await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!(near.peer_certificate().unwrap(), old.leaf_certificate());
    assert_eq!(near.alpn(), Some(ALPN));

    ca.sign("server", "server", &["localhost"]);
    current.store(ca.server("server", SslMode::Prefer, None));
    let (fresh, _far) = handshake(&trusting, &current.load_full(), "localhost").await;
    let shown = fresh.unwrap().peer_certificate().unwrap();
    assert_eq!(shown, current.load().leaf_certificate());
    assert_ne!(shown, old.leaf_certificate());

    near.write_all(b"still here").await.unwrap();
    let mut word = [0; 10];
    far.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"still here");
}

#[tokio::test]
async fn files_that_do_not_fit_are_named_without_their_content() {
    let ca = Authority::new();
    ca.sign("server", "server", &["localhost"]);
    ca.sign("other", "other", &[]);
    let load = |cert: &str, key: &str| {
        ServerTls::load(&ServerTlsConfig {
            mode: SslMode::Prefer,
            cert_file: ca.path(cert),
            key_file: ca.path(key),
            client_ca_file: None,
        })
        .unwrap_err()
    };
    assert!(matches!(load("server.crt", "other.key"), NetError::Tls(_)));
    assert!(load("missing.crt", "server.key").to_string().contains("missing.crt"));
    assert!(matches!(load("server.key", "server.key"), NetError::File { .. }));
    assert!(matches!(load("server.crt", "server.crt"), NetError::File { .. }));
    let secret = "-----BEGIN PRIVATE KEY-----\nverysecret!\n-----END PRIVATE KEY-----\n";
    fs::write(ca.path("bad.key"), secret).unwrap();
    let error = load("server.crt", "bad.key");
    assert!(!format!("{error} {error:?}").contains("verysecret"), "{error:?}");
    let half = ClientTls::load(&ClientTlsConfig {
        mode: SslMode::Prefer,
        ca_file: None,
        cert_file: Some(ca.path("server.crt")),
        key_file: None,
    });
    assert!(matches!(half, Err(NetError::Config(_))));
}

/// A resting client: nothing is there, then read what comes, over each kind of stream.
async fn ping(near: &mut Stream, far: &mut Stream) {
    let mut buf = [0; 3];
    let none = tokio::time::timeout(Duration::ZERO, far.read(&mut buf)).await;
    assert!(none.is_err(), "{none:?}");
    let sent = near.write_vectored(&[IoSlice::new(b"abc"), IoSlice::new(b"def")]).await.unwrap();
    assert_eq!(sent, 6);
    near.flush().await.unwrap();
    // Two reads: under TLS the second word is decrypted by the first, and the socket is empty by then.
    for word in [b"abc", b"def"] {
        let read = tokio::time::timeout(Duration::from_secs(5), far.read(&mut buf)).await.unwrap().unwrap();
        assert_eq!((read, &buf), (3, word));
    }
}

#[tokio::test]
async fn resting_on_each_kind_of_stream() {
    let (mut near, mut far) = pair().await;
    assert!(!far.is_tls() && far.peer_certificate().is_none());
    assert_eq!(near.peer(), Peer::Tcp(near.tcp().unwrap().peer_addr().unwrap()));
    ping(&mut near, &mut far).await;
    drop(near);
    assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);

    let (near, far) = UnixStream::pair().unwrap();
    let (mut near, mut far): (Stream, Stream) = (near.into(), far.into());
    assert_eq!(far.peer().to_string(), "unix");
    assert_eq!(far.peek_first().await.unwrap_err().kind(), io::ErrorKind::Unsupported);
    ping(&mut near, &mut far).await;

    let ca = Authority::new();
    ca.sign("server", "server", &["localhost"]);
    let server = ca.server("server", SslMode::Prefer, None);
    let (near, far) = handshake(&client(SslMode::Require, None), &server, "localhost").await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert!(near.is_tls() && far.is_tls() && far.is_write_vectored());
    ping(&mut near, &mut far).await;
    ping(&mut far, &mut near).await;
    near.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
    let (unix, _other) = UnixStream::pair().unwrap();
    assert!(matches!(server.accept_negotiated(unix.into()).await, Err(NetError::NotTcp)));
}

#[tokio::test]
async fn unix_listener_removes_the_dead_and_spares_the_living() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(".s.PGSQL.6432");
    let listener = UnixListener::bind(dir.path(), 6432, 16).unwrap();
    assert_eq!(listener.path(), path);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o777);
    let (near, far) = tokio::join!(UnixStream::connect(&path), listener.accept());
    ping(&mut near.unwrap().into(), &mut far.unwrap().into()).await;
    let refused = UnixListener::bind(dir.path(), 6432, 16).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    assert!(UnixStream::connect(&path).await.is_ok());
    drop(listener);
    assert!(!path.exists());

    // Left behind by a process that was killed: std's listener does not unlink.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = UnixListener::bind(dir.path(), 6432, 16).unwrap();
    assert!(UnixStream::connect(&path).await.is_ok());
    // Somebody put another file there: it is not ours to remove.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    drop(listener);
    assert!(path.exists());
    let refused = UnixListener::bind(dir.path(), 6432, 16).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert!(UnixListener::bind(Path::new("/nonexistent"), 6432, 16).is_err());
}

#[tokio::test]
async fn two_listeners_share_a_port_only_if_asked() {
    let one = bind("127.0.0.1:0".parse().unwrap(), 16, true).unwrap();
    let address = one.local_addr().unwrap();
    assert!(bind(address, 16, true).is_ok());
    assert_eq!(bind(address, 16, false).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn socket_options_arrive() {
    let (near, _far) = pair().await;
    let options = SocketOptions {
        keepalive: Some(Keepalive {
            idle: Duration::from_secs(33),
            interval: Some(Duration::from_secs(7)),
            count: Some(4),
        }),
        user_timeout: Some(Duration::from_secs(20)),
    };
    let tcp = near.tcp().unwrap();
    options.apply(tcp).unwrap();
    let socket = socket2::SockRef::from(tcp);
    assert!(tcp.nodelay().unwrap() && socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(33));
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
}

#[test]
fn rebind_moves_a_connection_to_another_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (mut near, far, mut unix, unix_far, tls, tls_far) = first.block_on(async {
        let (near, far) = pair().await;
        let (unix, unix_far) = UnixStream::pair().unwrap();
        let ca = Authority::new();
        ca.sign("server", "server", &["localhost"]);
        let server = ca.server("server", SslMode::Prefer, None);
        let (tls, tls_far) = handshake(&client(SslMode::Require, None), &server, "localhost").await;
        (near, far, Stream::from(unix), Stream::from(unix_far), tls.unwrap(), tls_far.unwrap())
    });
    let far = runtime().block_on(async { far.rebind().unwrap().rebind() }).unwrap();
    let second = runtime();
    second.block_on(async {
        near = near.rebind().unwrap();
        unix = unix.rebind().unwrap();
        let (mut far, mut unix_far) = (far.rebind().unwrap(), unix_far.rebind().unwrap());
        ping(&mut near, &mut far).await;
        ping(&mut unix, &mut unix_far).await;
    });
    // TLS stays with its reactor, which must run; then it works from anywhere.
    let reactor = std::thread::spawn(move || {
        first.block_on(async { tokio::time::sleep(Duration::from_secs(2)).await });
    });
    second.block_on(async {
        let (mut tls, mut tls_far) = (tls.rebind().unwrap(), tls_far.rebind().unwrap());
        ping(&mut tls, &mut tls_far).await;
    });
    reactor.join().unwrap();
}

#[tokio::test]
async fn ipv6_listens_for_ipv6_only() {
    let Ok(six) = bind("[::]:0".parse().unwrap(), 16, false) else { return };
    let port = six.local_addr().unwrap().port();
    let _: TcpListener = bind(format!("0.0.0.0:{port}").parse().unwrap(), 16, false).unwrap();
}

#[test]
fn errors_have_their_words() {
    let wrapped = io::Error::from(NetError::Alpn);
    assert_eq!(wrapped.kind(), io::ErrorKind::InvalidData);
    assert!(matches!(NetError::handshake(io::ErrorKind::UnexpectedEof.into()), NetError::Io(_)));
    let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let error = NetError::handshake(io::Error::new(io::ErrorKind::InvalidData, untrusted));
    assert_eq!((error.metric_label(), error.sqlstate()), ("untrusted", "57P03"));
}
