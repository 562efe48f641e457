//! Cancelling what a server connection runs.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connect::open_socket;
use crate::wire;

/// How long a server may take to accept a cancel request and close.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where and with what to cancel.
#[derive(Clone)]
pub struct CancelTarget {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) pid: u32,
    pub(super) secret: Box<[u8]>,
}

impl std::fmt::Debug for CancelTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelTarget(pid {})", self.pid)
    }
}

impl CancelTarget {
    /// A target that takes no connection, for tests: the socket's folder does not exist.
    #[cfg(test)]
    pub(super) fn nowhere(pid: u32) -> Self {
        Self { host: "/nonexistent".to_owned(), port: 0, pid, secret: [0; 4].into() }
    }

    /// The server's process that serves the connection.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends the request and waits until the server has closed: by then it has signalled the backend. A
    /// server answers it before anything else, so it goes in the clear, as libpq sent it until version 17;
    /// the key in it is worth nothing but a cancel.
    ///
    /// # Errors
    /// The server could not be reached, or took too long. Cancel-safe: dropping it abandons the request.
    pub async fn send(&self) -> io::Result<()> {
        let request = async {
            let mut io = open_socket(&self.host, self.port).await?;
            let mut packet = Vec::with_capacity(16);
            wire::cancel_request(&mut packet, self.pid, &self.secret);
            io.write_all(&packet).await?;
            io.flush().await?;
            let mut rest = [0; 64];
            while io.read(&mut rest).await? > 0 {}
            Ok(())
        };
        tokio::time::timeout(PATIENCE, request).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}
