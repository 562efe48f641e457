//! Options of TCP sockets.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// How a peer that vanished without a word is found out (`tcp(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// `TCP_KEEPIDLE`: silence before the first probe. The kernel counts whole seconds.
    pub idle: Duration,
    /// `TCP_KEEPINTVL`: between probes; `None` is the system's default.
    pub interval: Option<Duration>,
    /// `TCP_KEEPCNT`: unanswered probes until the connection is dead; `None` is the system's default.
    pub count: Option<u32>,
}

/// Options for every TCP connection, accepted or made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// Keepalive probes; `None` is none.
    pub keepalive: Option<Keepalive>,
    /// `TCP_USER_TIMEOUT` (Linux): how long sent data may stay unacknowledged; `None` is the system's default.
    pub user_timeout: Option<Duration>,
}

impl SocketOptions {
    /// Sets them, and `TCP_NODELAY`: what is written here is a whole message, waiting for more only costs time.
    ///
    /// # Errors
    /// The system's.
    pub fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        if let Some(keepalive) = self.keepalive {
            let mut settings = TcpKeepalive::new().with_time(keepalive.idle);
            if let Some(interval) = keepalive.interval {
                settings = settings.with_interval(interval);
            }
            if let Some(count) = keepalive.count {
                settings = settings.with_retries(count);
            }
            socket.set_tcp_keepalive(&settings)?;
        }
        #[cfg(target_os = "linux")]
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        Ok(())
    }
}
