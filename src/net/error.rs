//! Why a listener, a stream or a TLS session could not be made.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustls::CertificateError;

/// Why a listener, a stream or a TLS session could not be made.
#[derive(Debug)]
pub enum NetError {
    /// A certificate or key file could not be used; `reason` never holds its content.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Settings that contradict each other, or lack something.
    Config(&'static str),
    /// Not a host name or IP address, so no TLS session can be asked of it.
    BadHost,
    /// TLS on something that is not plain TCP.
    NotTcp,
    /// The other side's certificate is not trusted.
    Untrusted(CertificateError),
    /// The server's certificate is for another host.
    WrongHost,
    /// No agreement on the application protocol `postgresql` (ALPN).
    Alpn,
    /// Any other failure of TLS.
    Tls(rustls::Error),
    /// The socket failed.
    Io(io::Error),
}

impl NetError {
    pub(super) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), reason: reason.into() }
    }

    /// What tokio-rustls reports of a handshake: an [`io::Error`] that may wrap the real reason.
    pub(super) fn handshake(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(tls) => Self::from(tls.clone()),
            None => Self::Io(error),
        }
    }

    /// The SQLSTATE, where one can still be sent.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::Config(_) => "F0000",
            Self::Alpn => "08P01",
            Self::NotTcp | Self::BadHost | Self::Untrusted(_) | Self::WrongHost | Self::Tls(_) => "57P03",
            Self::Io(_) => "08006",
        }
    }

    /// The word for this error in a metric's label.
    pub fn metric_label(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Config(_) => "config",
            Self::BadHost => "bad_host",
            Self::NotTcp => "not_tcp",
            Self::Untrusted(_) => "untrusted",
            Self::WrongHost => "wrong_host",
            Self::Alpn => "alpn",
            Self::Tls(_) => "tls",
            Self::Io(_) => "io",
        }
    }

    /// Whether a client may be told the text: none of it, because paths, hosts and certificates are the operator's.
    pub fn is_public(&self) -> bool {
        false
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Config(what) => f.write_str(what),
            Self::BadHost => f.write_str("not a host name that TLS can use"),
            Self::NotTcp => f.write_str("TLS works on plain TCP connections only"),
            Self::Untrusted(reason) => write!(f, "certificate not trusted: {reason}"),
            Self::WrongHost => f.write_str("the server's certificate is for another host"),
            Self::Alpn => f.write_str("no agreement on the ALPN protocol postgresql"),
            Self::Tls(reason) => write!(f, "TLS failed: {reason}"),
            Self::Io(reason) => write!(f, "{reason}"),
        }
    }
}

impl std::error::Error for NetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tls(reason) => Some(reason),
            Self::Io(reason) => Some(reason),
            _ => None,
        }
    }
}

impl From<rustls::Error> for NetError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Self::WrongHost,
            rustls::Error::InvalidCertificate(reason) => Self::Untrusted(reason),
            rustls::Error::NoApplicationProtocol => Self::Alpn,
            other => Self::Tls(other),
        }
    }
}

impl From<io::Error> for NetError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<NetError> for io::Error {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Io(error) => error,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}
