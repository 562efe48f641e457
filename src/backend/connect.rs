//! From an address to a logged-in connection.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::connection::Backend;
use super::login::Login;
use crate::auth::{AuthError, KeyCache, ScramKeys};
use crate::ids::{BackendId, SslMode};
use crate::net::{SocketOptions, Stream, tls::ClientTls};
use crate::wire::{self, PgError};

/// What Howdah logs in to the server with.
#[derive(Clone)]
pub enum Credential {
    /// A password in plain text or as `md5…`.
    Password(SecretString),
    /// Only a SCRAM verifier is known: the keys of the client's own login, once one has logged in.
    PassThrough(Arc<Mutex<Option<ScramKeys>>>),
    /// Nothing: the server must trust, or take the certificate.
    None,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(…)",
            Self::PassThrough(_) => "PassThrough(…)",
            Self::None => "None",
        })
    }
}

/// Everything it takes to connect to one server as one user.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// A name, an address, or a directory with a Unix socket (begins with `/`).
    pub host: String,
    /// The TCP port, or the number in the socket's name.
    pub port: u16,
    /// The database on the server.
    pub dbname: String,
    /// The user on the server.
    pub user: String,
    /// How to prove it.
    pub credential: Credential,
    /// TLS towards the server; swapped when certificates are read again.
    pub tls: Option<Arc<ArcSwap<ClientTls>>>,
    /// Whether TLS is tried, demanded or left.
    pub tls_mode: SslMode,
    /// For the whole of connect and login; `None` = as long as it takes.
    pub connect_timeout: Option<Duration>,
    /// More of the startup message, after user and database. Names are Howdah's, never a client's: one of the
    /// same name would take the place of the user.
    pub startup: Vec<(&'static str, String)>,
    /// Bound of what is prepared on a connection.
    pub max_prepared_statements: usize,
    /// Keys that were derived from the password, so that PBKDF2 runs once.
    pub keys: Arc<Mutex<KeyCache>>,
}

/// Why a server connection could not be made.
#[derive(Debug)]
pub enum ConnectError {
    /// No such host, refused, reset, TLS failed.
    Io(io::Error),
    /// `server_connect_timeout` is over.
    Timeout,
    /// The server said no: SQLSTATE and message.
    Server(String, String),
    /// The login failed on our side of the exchange.
    Auth(AuthError),
    /// The server asks for a password, and none is known (yet).
    NoPassword,
    /// TLS is demanded and the server has none.
    NoTls,
    /// The server broke the protocol.
    Protocol(&'static str),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "{e}"),
            Self::Timeout => f.write_str("timed out"),
            Self::Server(code, text) => write!(f, "server said: {text} ({code})"),
            Self::Auth(e) => write!(f, "login failed: {e}"),
            Self::NoPassword => f.write_str("the server asks for a password and none is known"),
            Self::NoTls => f.write_str("the server does not offer TLS, and it is demanded"),
            Self::Protocol(what) => write!(f, "protocol violation by the server: {what}"),
        }
    }
}

impl ConnectError {
    /// True when trying again soon cannot help: the answer depends on who asks for what, not on the
    /// server's health.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Server(code, _) => code == "3D000" || code.starts_with("28") || code == "42501",
            Self::Auth(_) | Self::NoPassword | Self::NoTls => true,
            _ => false,
        }
    }

    /// What a waiting client is told. Nothing of the server's address in it.
    pub fn to_pg_error(&self) -> PgError {
        match self {
            Self::Server(code, text) if self.is_final() || code == "53300" => {
                let mut error = PgError::fatal("57P03", text.clone());
                error.sqlstate = code.clone().into();
                error
            }
            Self::Server(code, text) => PgError::fatal("57P03", "the database server is not available")
                .detail(format!("The server said: {text} ({code})")),
            Self::Auth(AuthError::ServerOutOfBounds(_) | AuthError::ServerMalformed(_)) => {
                PgError::fatal("57P03", "the database server broke the protocol of the login")
            }
            Self::Auth(AuthError::ServerSignature) => {
                PgError::fatal("57P03", "the database server did not prove who it is")
                    .hint("The password that the proxy knows must fit the one on the server.")
            }
            Self::Auth(_) | Self::NoPassword => {
                PgError::fatal("28000", "the login of the proxy at the database server failed")
                    .hint("The password that the proxy knows must fit the one on the server.")
            }
            Self::NoTls => PgError::fatal("57P03", "the database server does not offer TLS"),
            Self::Io(_) | Self::Timeout | Self::Protocol(_) => {
                PgError::fatal("57P03", "the database server is not available")
                    .hint("Try again later; the proxy goes on trying to reach it.")
            }
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// Makes server connections. A trait, so that tests put a pipe in the place of a server.
pub trait Connector: Send + Sync {
    /// A new connection, registered with the reactor of the worker that polls this.
    fn connect(&self, id: BackendId, worker: usize) -> Connecting;
}

/// The future of [`Connector::connect`].
pub type Connecting = Pin<Box<dyn Future<Output = Result<Box<Backend>, ConnectError>> + Send>>;

impl Connector for ServerConfig {
    fn connect(&self, id: BackendId, worker: usize) -> Connecting {
        let config = self.clone();
        Box::pin(async move {
            let connect = connect(&config, id, worker);
            match config.connect_timeout {
                Some(limit) => {
                    tokio::time::timeout(limit, connect).await.map_err(|_| ConnectError::Timeout)?
                }
                None => connect.await,
            }
        })
    }
}

/// A bare socket to the server.
pub(super) async fn open_socket(host: &str, port: u16) -> io::Result<Stream> {
    if host.starts_with('/') {
        return UnixStream::connect(format!("{host}/.s.PGSQL.{port}")).await.map(Stream::Unix);
    }
    let tcp = TcpStream::connect((host, port)).await?;
    SocketOptions::default().apply(&tcp)?;
    Ok(Stream::Tcp(tcp))
}

/// What a server answered to `SSLRequest`, or the login over it.
async fn connect(config: &ServerConfig, id: BackendId, worker: usize) -> Result<Box<Backend>, ConnectError> {
    let attempt = |encrypt| async move {
        let io = open_socket(&config.host, config.port).await?;
        let io = if encrypt { start_tls(config, io).await? } else { io };
        Login::new(io, config).run(id, worker).await
    };
    // Unix sockets are never encrypted, as libpq has it.
    if config.host.starts_with('/') {
        return attempt(false).await;
    }
    match config.tls_mode {
        SslMode::Disable => attempt(false).await,
        SslMode::Allow => match attempt(false).await {
            // "no pg_hba.conf entry for host …, no encryption".
            Err(ConnectError::Server(code, _)) if code == "28000" => attempt(true).await,
            result => result,
        },
        SslMode::Prefer => match attempt(true).await {
            Err(ConnectError::Server(code, _)) if code == "28000" => attempt(false).await,
            result => result,
        },
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => attempt(true).await,
    }
}

/// Asks for TLS. A server that has none keeps the bare connection if TLS is only preferred.
async fn start_tls(config: &ServerConfig, mut io: Stream) -> Result<Stream, ConnectError> {
    let mut request = Vec::with_capacity(8);
    wire::ssl_request(&mut request);
    io.write_all(&request).await?;
    io.flush().await?;
    // Exactly one byte is read: what else the server sent in the clear goes to the TLS handshake, which it
    // fails, and never into the session.
    let mut answer = [0];
    io.read_exact(&mut answer).await?;
    match answer {
        [b'S'] => {
            let tls = config.tls.as_ref().ok_or(ConnectError::NoTls)?.load_full();
            tls.connect(io, &config.host).await.map_err(|e| io::Error::other(e.to_string()).into())
        }
        [b'N'] if config.tls_mode == SslMode::Prefer => Ok(io),
        [b'N'] => Err(ConnectError::NoTls),
        _ => Err(ConnectError::Protocol("neither S nor N to SSLRequest")),
    }
}
