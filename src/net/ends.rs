//! Who and where both ends of a connection are, for whoever looks at Howdah.

use std::net::SocketAddr;

use super::stream::{Peer, Stream};

/// Both ends of a connection, and what protects it. It does not change while the connection lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The other end.
    pub peer: Peer,
    /// This end; `None` of a Unix socket.
    pub local: Option<SocketAddr>,
    /// The process at the other end of a Unix socket, if the system tells.
    pub pid: Option<u32>,
    /// The version of TLS and its cipher suite, as in `TLSv1.3/TLS_AES_256_GCM_SHA384`.
    pub tls: Option<Box<str>>,
}

impl Ends {
    /// Nobody, nowhere.
    pub const UNKNOWN: Self = Self { peer: Peer::Unknown, local: None, pid: None, tls: None };
}

impl Stream {
    /// Both ends of it. Asks the kernel: call it once and keep the answer.
    pub fn ends(&self) -> Ends {
        let pid = match self {
            Self::Unix(unix) => unix.peer_cred().ok().and_then(|them| them.pid()),
            Self::Tcp(_) | Self::Tls(_) | Self::Pipe(_) => None,
        };
        Ends {
            peer: self.peer(),
            local: self.tcp().and_then(|tcp| tcp.local_addr().ok()),
            pid: pid.and_then(|pid| u32::try_from(pid).ok()),
            tls: self.tls_words(),
        }
    }

    fn tls_words(&self) -> Option<Box<str>> {
        let Self::Tls(tls) = self else { return None };
        let session = tls.get_ref().1;
        let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
        // As OpenSSL writes it, and with it everybody else.
        let version = version.replace('_', ".");
        let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        // Suites before 1.3 are called as in their specification; rustls marks those of 1.3 in its own way.
        let suite = suite.unwrap_or("?").replacen("TLS13_", "TLS_", 1);
        Some(format!("{version}/{suite}").into())
    }
}
