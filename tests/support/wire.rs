//! A client that sends exactly the bytes it is told to.

use super::{PASSWORD, PATIENCE};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

/// One message of a server: its type and its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", self.tag as char, self.body.escape_ascii())
    }
}

impl Message {
    /// A field of an ErrorResponse or NoticeResponse.
    pub fn field(&self, field: u8) -> Option<String> {
        self.fields().remove(&field)
    }

    /// Every field of an ErrorResponse or NoticeResponse.
    pub fn fields(&self) -> BTreeMap<u8, String> {
        let parts = self.body.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        parts.map(|part| (part[0], String::from_utf8_lossy(&part[1..]).into_owned())).collect()
    }

    pub fn sqlstate(&self) -> String {
        self.field(b'C').unwrap_or_default()
    }

    /// The fields of a DataRow as text.
    pub fn row(&self) -> Vec<Option<String>> {
        let mut rest = &self.body[2..];
        let mut row = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = i32::from_be_bytes(*length);
            if length < 0 {
                row.push(None);
                rest = after;
            } else {
                let (field, after) = after.split_at(length as usize);
                row.push(Some(String::from_utf8_lossy(field).into_owned()));
                rest = after;
            }
        }
        row
    }

    /// The zero-terminated text at the beginning of the body (CommandComplete, ParameterStatus).
    pub fn text(&self) -> String {
        let end = self.body.iter().position(|byte| *byte == 0).unwrap_or(self.body.len());
        String::from_utf8_lossy(&self.body[..end]).into_owned()
    }
}

/// The types of messages in a row, as in `"TDCZ"`.
pub fn tags(messages: &[Message]) -> String {
    messages.iter().map(|message| message.tag as char).collect()
}

pub struct Wire {
    pub stream: TcpStream,
    /// What ParameterStatus said, at start and since.
    pub parameters: BTreeMap<String, String>,
    /// Process id and secret for a CancelRequest.
    pub key: Vec<u8>,
    buffer: Vec<u8>,
}

impl Wire {
    /// A TCP connection on which nothing was sent yet.
    pub fn open(address: impl ToSocketAddrs) -> Self {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream, parameters: BTreeMap::new(), key: Vec::new(), buffer: Vec::new() }
    }

    /// Connected and logged in with [`PASSWORD`], ready for the first query.
    pub fn login(address: impl ToSocketAddrs, user: &str, database: &str) -> Self {
        Self::login_with(address, &[("user", user), ("database", database)])
    }

    /// As [`Wire::login`] with these startup parameters.
    pub fn login_with(address: impl ToSocketAddrs, parameters: &[(&str, &str)]) -> Self {
        let mut wire = Self::open(address);
        wire.send(&[startup(parameters)]);
        if let Err(error) = wire.authenticate(user_of(parameters), PASSWORD) {
            panic!("login as {parameters:?}: {error:?}");
        }
        wire
    }

    /// Tries to log in; the ErrorResponse when it is refused.
    pub fn try_login(
        address: impl ToSocketAddrs,
        parameters: &[(&str, &str)],
        password: &str,
    ) -> Result<Self, Message> {
        let mut wire = Self::open(address);
        wire.send(&[startup(parameters)]);
        wire.authenticate(user_of(parameters), password).map(|()| wire)
    }

    /// Answers whatever the server asks for, up to the first ReadyForQuery.
    pub fn authenticate(&mut self, user: &str, password: &str) -> Result<(), Message> {
        let mut scram = None;
        loop {
            let message = self.read();
            match message.tag {
                b'R' => self.answer(&message, user, password, &mut scram),
                b'K' => self.key = message.body,
                b'Z' => return Ok(()),
                b'E' => return Err(message),
                _ => {}
            }
        }
    }

    fn answer(&mut self, request: &Message, user: &str, password: &str, scram: &mut Option<ScramSha256>) {
        let (kind, data) = request.body.split_first_chunk::<4>().expect("a kind");
        match u32::from_be_bytes(*kind) {
            0 => {}
            3 => self.send(&[password_message(password)]),
            5 => {
                let salt = data.try_into().expect("a salt of four bytes");
                self.send(&[password_message(&md5_hash(user.as_bytes(), password.as_bytes(), salt))]);
            }
            10 => {
                let state = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                let first = scram.insert(state).message();
                let mut body = b"SCRAM-SHA-256\0".to_vec();
                body.extend((first.len() as u32).to_be_bytes());
                body.extend(first);
                self.send(&[frame(b'p', &body)]);
            }
            11 => {
                let state = scram.as_mut().expect("SASL was begun");
                state.update(data).expect("the server's first message");
                let last = frame(b'p', state.message());
                self.send(&[last]);
            }
            12 => scram.as_mut().expect("SASL was begun").finish(data).expect("the server's proof"),
            other => panic!("authentication request {other}"),
        }
    }

    /// All frames in one write.
    pub fn send(&mut self, frames: &[Vec<u8>]) {
        self.try_send(frames).expect("send");
    }

    /// As [`Wire::send`], for when the other side may be gone.
    pub fn try_send(&mut self, frames: &[Vec<u8>]) -> io::Result<()> {
        self.stream.write_all(&frames.concat())
    }

    /// Sends bytes that nobody may want to read; false when they were not taken for so long.
    pub fn try_send_within(&mut self, bytes: &[u8], patience: std::time::Duration) -> bool {
        self.stream.set_write_timeout(Some(patience)).expect("timeout");
        self.stream.write_all(bytes).is_ok()
    }

    /// Every byte in a write of its own.
    pub fn dribble(&mut self, frames: &[Vec<u8>]) {
        for byte in frames.concat() {
            self.stream.write_all(&[byte]).expect("send");
        }
    }

    /// The next message; `None` when the server closed.
    pub fn try_read(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(message) = self.take_message() {
                if message.tag == b'S' {
                    let mut words = message.body.split(|byte| *byte == 0);
                    let mut word = || String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
                    let name = word();
                    self.parameters.insert(name, word());
                }
                return Ok(Some(message));
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.buffer.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take_message(&mut self) -> Option<Message> {
        let (tag, rest) = self.buffer.split_first()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = (u32::from_be_bytes(*length) as usize).checked_sub(4).expect("a length of at least 4");
        let message = Message { tag: *tag, body: rest.get(..length)?.to_vec() };
        self.buffer.drain(..length + 5);
        Some(message)
    }

    /// The next message; panics when there is none.
    pub fn read(&mut self) -> Message {
        self.try_read().expect("a message").expect("a message, not the end")
    }

    /// Messages up to and with the first of this type.
    pub fn read_until(&mut self, tag: u8) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.try_read() {
                Ok(Some(message)) => messages.push(message),
                end => panic!("no {:?} but {end:?} after {messages:?}", tag as char),
            }
            if messages.last().is_some_and(|message| message.tag == tag) {
                return messages;
            }
        }
    }

    /// Messages up to the `count`th ReadyForQuery.
    pub fn read_ready(&mut self, count: usize) -> Vec<Message> {
        (0..count).flat_map(|_| self.read_until(b'Z')).collect()
    }

    /// Messages up to the end of the connection (a reset counts as its end).
    pub fn read_to_end(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match self.try_read() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return messages,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("still open after {messages:?}")
                }
                Err(_) => return messages,
            }
        }
    }

    /// Sends frames and reads up to the next ReadyForQuery.
    pub fn exchange(&mut self, frames: &[Vec<u8>]) -> Vec<Message> {
        self.send(frames);
        self.read_until(b'Z')
    }

    /// A simple query; all its messages.
    pub fn query(&mut self, sql: &str) -> Vec<Message> {
        self.exchange(&[query(sql)])
    }

    /// The first field of the first row of a simple query that must succeed.
    pub fn value(&mut self, sql: &str) -> String {
        let messages = self.query(sql);
        let row = messages.iter().find(|message| message.tag == b'D');
        let row = row.unwrap_or_else(|| panic!("{sql}: no row in {messages:?}"));
        row.row().first().cloned().flatten().unwrap_or_default()
    }

    /// Cancels this connection's query from a connection of its own, as libpq does.
    pub fn cancel(&self, address: impl ToSocketAddrs) {
        let mut wire = Self::open(address);
        wire.send(&[cancel_request(&self.key)]);
        drop(wire.read_to_end());
    }
}

fn user_of<'a>(parameters: &[(&str, &'a str)]) -> &'a str {
    parameters.iter().find(|(name, _)| *name == "user").map_or("", |(_, value)| value)
}

// --- frames ------------------------------------------------------------------------------------------

/// A frame of any type.
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    lying_frame(tag, body.len() as u32 + 4, body)
}

/// A frame whose length says what it wants.
pub fn lying_frame(tag: u8, length: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![tag];
    frame.extend(length.to_be_bytes());
    frame.extend(body);
    frame
}

/// A startup packet of protocol 3.0.
pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    startup_version(3 << 16, parameters)
}

/// A startup packet of any version.
pub fn startup_version(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(cstr(name));
        body.extend(cstr(value));
    }
    body.push(0);
    untagged(&body)
}

pub fn ssl_request() -> Vec<u8> {
    untagged(&80_877_103_u32.to_be_bytes())
}

pub fn gssenc_request() -> Vec<u8> {
    untagged(&80_877_104_u32.to_be_bytes())
}

/// `key` is the body of BackendKeyData.
pub fn cancel_request(key: &[u8]) -> Vec<u8> {
    let mut body = 80_877_102_u32.to_be_bytes().to_vec();
    body.extend(key);
    untagged(&body)
}

fn untagged(body: &[u8]) -> Vec<u8> {
    let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
    packet.extend(body);
    packet
}

fn cstr(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

pub fn password_message(password: &str) -> Vec<u8> {
    frame(b'p', &cstr(password))
}

pub fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', &cstr(sql))
}

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    parse_typed(name, sql, &[])
}

pub fn parse_typed(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = [cstr(name), cstr(sql)].concat();
    body.extend((types.len() as u16).to_be_bytes());
    body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
    frame(b'P', &body)
}

/// Parameters and results as text.
pub fn bind(portal: &str, statement: &str, parameters: &[Option<&str>]) -> Vec<u8> {
    bind_formats(portal, statement, &[], parameters, &[])
}

pub fn bind_formats(
    portal: &str,
    statement: &str,
    formats: &[i16],
    parameters: &[Option<&str>],
    results: &[i16],
) -> Vec<u8> {
    let mut body = [cstr(portal), cstr(statement)].concat();
    body.extend((formats.len() as u16).to_be_bytes());
    body.extend(formats.iter().flat_map(|format| format.to_be_bytes()));
    body.extend((parameters.len() as u16).to_be_bytes());
    for parameter in parameters {
        match parameter {
            None => body.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                body.extend((value.len() as u32).to_be_bytes());
                body.extend(value.as_bytes());
            }
        }
    }
    body.extend((results.len() as u16).to_be_bytes());
    body.extend(results.iter().flat_map(|format| format.to_be_bytes()));
    frame(b'B', &body)
}

pub fn describe_statement(name: &str) -> Vec<u8> {
    frame(b'D', &[b"S".to_vec(), cstr(name)].concat())
}

pub fn describe_portal(name: &str) -> Vec<u8> {
    frame(b'D', &[b"P".to_vec(), cstr(name)].concat())
}

/// `limit` 0 is without a limit.
pub fn execute(portal: &str, limit: u32) -> Vec<u8> {
    let mut body = cstr(portal);
    body.extend(limit.to_be_bytes());
    frame(b'E', &body)
}

pub fn close_statement(name: &str) -> Vec<u8> {
    frame(b'C', &[b"S".to_vec(), cstr(name)].concat())
}

pub fn close_portal(name: &str) -> Vec<u8> {
    frame(b'C', &[b"P".to_vec(), cstr(name)].concat())
}

pub fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

pub fn flush() -> Vec<u8> {
    frame(b'H', b"")
}

pub fn terminate() -> Vec<u8> {
    frame(b'X', b"")
}

pub fn copy_data(data: &[u8]) -> Vec<u8> {
    frame(b'd', data)
}

pub fn copy_done() -> Vec<u8> {
    frame(b'c', b"")
}

pub fn copy_fail(why: &str) -> Vec<u8> {
    frame(b'f', &cstr(why))
}

/// Arguments and result as text.
pub fn function_call(oid: u32, arguments: &[&str]) -> Vec<u8> {
    let mut body = oid.to_be_bytes().to_vec();
    body.extend(0_u16.to_be_bytes());
    body.extend((arguments.len() as u16).to_be_bytes());
    for argument in arguments {
        body.extend((argument.len() as u32).to_be_bytes());
        body.extend(argument.as_bytes());
    }
    body.extend(0_u16.to_be_bytes());
    frame(b'F', &body)
}
