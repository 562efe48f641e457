//! A server that does what the test says, and nothing that Postgres would.

use super::PATIENCE;
use super::wire::{Message, frame};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Listens on loopback and runs a script on each connection, in a thread of its own.
pub struct FakeBackend {
    pub port: u16,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeBackend {
    /// The script gets each connection before anything was read from it, with its number from 0.
    pub fn start(script: impl Fn(FakeSession, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let port = listener.local_addr().expect("its address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, ended, script) = (Arc::clone(&connections), Arc::clone(&stop), Arc::new(script));
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let number = count.fetch_add(1, Ordering::SeqCst);
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(FakeSession::new(stream), number));
            }
        });
        Self { port, connections, stop, acceptor: Some(acceptor) }
    }

    /// A server that lets everybody in without a password, then runs the script.
    pub fn trusting(script: impl Fn(FakeSession, usize) + Send + Sync + 'static) -> Self {
        Self::start(move |mut session, number| {
            if session.accept_login() {
                script(session, number);
            }
        })
    }

    /// How many connections came so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FakeBackend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the acceptor, so that it sees the flag.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

/// One connection to a fake server.
pub struct FakeSession {
    pub stream: TcpStream,
}

impl FakeSession {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream }
    }

    /// The next packet without a type: SSLRequest, CancelRequest or startup, without its length.
    pub fn read_startup(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut body = vec![0; (u32::from_be_bytes(length) as usize).checked_sub(4)?];
        self.stream.read_exact(&mut body).ok()?;
        Some(body)
    }

    /// Refuses TLS, takes the startup packet and welcomes whoever it is. False for anything else, a
    /// CancelRequest for instance.
    pub fn accept_login(&mut self) -> bool {
        loop {
            let Some(packet) = self.read_startup() else { return false };
            match packet.first_chunk::<4>().map(|code| u32::from_be_bytes(*code)) {
                Some(80_877_103 | 80_877_104) => self.send(b"N"),
                Some(code) if code >> 16 == 3 => break,
                _ => return false,
            }
        }
        self.send(&welcome());
        true
    }

    /// The next message of the client; `None` when it is gone.
    pub fn read(&mut self) -> Option<Message> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head).ok()?;
        let [tag, length @ ..] = head;
        let mut body = vec![0; (u32::from_be_bytes(length) as usize).checked_sub(4)?];
        self.stream.read_exact(&mut body).ok()?;
        Some(Message { tag, body })
    }

    /// Messages up to and with the first Query or Sync: what a server answers with a ReadyForQuery.
    pub fn read_batch(&mut self) -> Option<Vec<Message>> {
        let mut batch = Vec::new();
        loop {
            batch.push(self.read()?);
            if batch.last().is_some_and(|message| matches!(message.tag, b'Q' | b'S' | b'F')) {
                return Some(batch);
            }
        }
    }

    /// Sends bytes; a client that is gone is fine.
    pub fn send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    /// Holds the connection open, without a word, until the other side closes it.
    pub fn stay_silent(&mut self) {
        let mut byte = [0; 256];
        while matches!(self.stream.read(&mut byte), Ok(1..)) {}
    }
}

/// AuthenticationOk, what a server reports at start, a cancel key and ReadyForQuery.
pub fn welcome() -> Vec<u8> {
    let mut bytes = frame(b'R', &0_u32.to_be_bytes());
    for (name, value) in [
        ("server_version", "15.0"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("application_name", ""),
        ("is_superuser", "off"),
        ("session_authorization", "app"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
    ] {
        bytes.extend(parameter_status(name, value));
    }
    bytes.extend(frame(b'K', &[0, 0, 0, 42, 1, 2, 3, 4]));
    bytes.extend(ready(b'I'));
    bytes
}

pub fn parameter_status(name: &str, value: &str) -> Vec<u8> {
    frame(b'S', format!("{name}\0{value}\0").as_bytes())
}

pub fn ready(state: u8) -> Vec<u8> {
    frame(b'Z', &[state])
}

pub fn command_complete(tag: &str) -> Vec<u8> {
    frame(b'C', format!("{tag}\0").as_bytes())
}

/// One column of type text.
pub fn row_description(column: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend(column.as_bytes());
    body.push(0);
    body.extend([0, 0, 0, 0, 0, 0]);
    body.extend(25_u32.to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    body.extend((-1_i32).to_be_bytes());
    body.extend([0, 0]);
    frame(b'T', &body)
}

pub fn data_row(value: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend((value.len() as u32).to_be_bytes());
    body.extend(value.as_bytes());
    frame(b'D', &body)
}

/// An ErrorResponse of these fields.
pub fn error_response(fields: &[(u8, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in fields {
        body.push(*field);
        body.extend(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    frame(b'E', &body)
}

/// The whole answer to a simple query that gives one row.
pub fn one_row(value: &str) -> Vec<u8> {
    [row_description("value"), data_row(value), command_complete("SELECT 1"), ready(b'I')].concat()
}
