//! Listeners: TCP, and the Unix socket that libpq looks for.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, UnixListener as TokioUnixListener, UnixStream};

/// Listens on a TCP address, with `SO_REUSEADDR`. Must be called inside a runtime.
///
/// `reuse_port` lets several listeners share the address and the kernel spread connections over them. An IPv6
/// address listens for IPv6 only, as in Postgres, so `0.0.0.0` and `[::]` can stand next to each other.
///
/// # Errors
/// The system's: address in use, not permitted.
pub fn bind(addr: SocketAddr, backlog: i32, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    TcpListener::from_std(socket.into())
}

/// A listening Unix socket; its file is gone when this is dropped.
#[derive(Debug)]
pub struct UnixListener {
    listener: TokioUnixListener,
    path: PathBuf,
    /// Device and inode of our file: on drop, a file that somebody else put there stays.
    identity: (u64, u64),
}

impl UnixListener {
    /// Listens on `<dir>/.s.PGSQL.<port>`, where libpq looks, open to every local user (mode 0777, as in Postgres):
    /// the login is the guard. Must be called inside a runtime.
    ///
    /// The file of a process that is gone is removed; one that still answers is left alone. Two processes that
    /// start in the same instant are not kept apart.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] if somebody listens there, [`io::ErrorKind::AlreadyExists`] if the file is not a
    /// socket, or the system's.
    pub fn bind(dir: &Path, port: u16, backlog: i32) -> io::Result<Self> {
        let path = dir.join(format!(".s.PGSQL.{port}"));
        let address = SockAddr::unix(&path)?;
        remove_stale(&path, &address)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address)?;
        let meta = fs::symlink_metadata(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        socket.listen(backlog)?;
        let listener = TokioUnixListener::from_std(socket.into())?;
        Ok(Self { listener, path, identity: (meta.dev(), meta.ino()) })
    }

    /// The next connection. Cancel-safe.
    ///
    /// # Errors
    /// The system's.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        let ours =
            fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity);
        if ours {
            // A file that cannot be removed is stale for whoever comes next.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is not a socket", path.display()),
        ));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Connected, or its queue is full (EAGAIN): it lives. Anything else is not ours to judge.
        Ok(()) => Err(in_use(path)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(in_use(path)),
        Err(error) => Err(error),
    }
}

fn in_use(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, format!("somebody listens on {}", path.display()))
}
