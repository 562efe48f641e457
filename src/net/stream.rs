//! One connection, whatever it runs over.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

/// One connection, whatever it runs over. Holds no buffer of its own; plain TCP is as cheap as [`TcpStream`], and
/// only TLS costs an allocation.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP, either side.
    Tls(Box<TlsStream<TcpStream>>),
    /// A pipe inside the process, for tests.
    Pipe(Box<DuplexStream>),
}

/// Who is at the other end, for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address.
    Tcp(SocketAddr),
    /// Somebody on this machine.
    Unix,
    /// The connection is gone already.
    Unknown,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl Stream {
    /// Who is at the other end. Asks the kernel: call it once and keep the answer.
    pub fn peer(&self) -> Peer {
        match self.tcp() {
            Some(tcp) => tcp.peer_addr().map_or(Peer::Unknown, Peer::Tcp),
            None => Peer::Unix,
        }
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The TCP socket, under TLS too; for socket options and addresses, never to read or write around TLS.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Unix(_) | Self::Pipe(_) => None,
            Self::Tls(tls) => Some(tls.get_ref().0),
        }
    }

    /// The other side's certificate in DER: the server's, or a client's if it sent one. What channel binding
    /// (`tls-server-end-point`) hashes on the client's side.
    pub fn peer_certificate(&self) -> Option<Vec<u8>> {
        let Self::Tls(tls) = self else { return None };
        tls.get_ref().1.peer_certificates()?.first().map(|cert| cert.as_ref().to_vec())
    }

    /// The common name in a verified client certificate, for `verify-full`: the first one, as in Postgres. `None`
    /// if there is no certificate, no name, or a name with a zero byte (which would read differently in C).
    pub fn peer_certificate_common_name(&self) -> Option<String> {
        let der = self.peer_certificate()?;
        let (_, cert) = X509Certificate::from_der(&der).ok()?;
        let name = cert.subject().iter_common_name().next()?.as_str().ok()?;
        (!name.is_empty() && !name.contains('\0')).then(|| name.to_owned())
    }

    /// The application protocol agreed on by ALPN.
    pub fn alpn(&self) -> Option<&[u8]> {
        let Self::Tls(tls) = self else { return None };
        tls.get_ref().1.alpn_protocol()
    }

    /// The first byte that waits to be read on plain TCP, left where it is; `None` when the other side closed.
    /// 0x16 there means direct TLS. Cancel-safe.
    ///
    /// # Errors
    /// The socket's; [`io::ErrorKind::Unsupported`] for Unix sockets and TLS, where nobody may start TLS.
    pub async fn peek_first(&self) -> io::Result<Option<u8>> {
        let Self::Tcp(tcp) = self else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut byte = [0u8; 1];
        let read = tcp.peek(&mut byte).await?;
        Ok(byte.first().copied().filter(|_| read > 0))
    }

    /// A stream that is closed already: reading ends, writing fails.
    pub fn closed() -> Self {
        Self::Pipe(Box::new(tokio::io::duplex(1).0))
    }

    /// Moves the socket to the runtime this is called in, so that its readiness wakes that runtime's thread. For an
    /// acceptor that hands connections to workers: do it before TLS starts.
    ///
    /// A TLS session is returned as it is: it stays with the reactor of the runtime that made it. It may be polled
    /// from elsewhere, at the price of a wake-up across threads, and as long as that runtime runs.
    ///
    /// # Errors
    /// The system's; the connection is lost then.
    pub fn rebind(self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(tcp) => Self::Tcp(TcpStream::from_std(tcp.into_std()?)?),
            Self::Unix(unix) => Self::Unix(UnixStream::from_std(unix.into_std()?)?),
            tls_or_pipe => tls_or_pipe,
        })
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Pipe(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Pipe(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Pipe(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Pipe(_) => false,
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Pipe(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Pipe(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
