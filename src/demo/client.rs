//! As much of a client as loading the sample needs: one batch of SQL over a Unix socket that trusts.
//!
//! Not a single-user server, though that would need no client: tables made in one get object ids below
//! 16384, and Postgres never applies row-level security to those.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const PROTOCOL: u32 = 3 << 16;

/// Runs `sql` in `database` as `postgres`; an error of the server becomes this one's text.
pub(super) fn run(socket: &Path, database: &str, sql: &str) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let startup = format!("user\0postgres\0database\0{database}\0\0");
    let startup = [&PROTOCOL.to_be_bytes(), startup.as_bytes()].concat();
    stream.write_all(&with_length(&startup)?)?;
    read_to_ready(&mut stream)?;
    let query = with_length(format!("{sql}\0").as_bytes())?;
    stream.write_all(&[b"Q", query.as_slice()].concat())?;
    read_to_ready(&mut stream)
}

fn with_length(body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), body].concat())
}

/// Reads messages up to ReadyForQuery; fails with the first error among them.
fn read_to_ready(stream: &mut UnixStream) -> io::Result<()> {
    let mut failure = None;
    loop {
        let mut head = [0; 5];
        match stream.read_exact(&mut head) {
            Ok(()) => {}
            // After a FATAL error there is no ReadyForQuery.
            Err(end) => return Err(failure.unwrap_or(end)),
        }
        let [tag, length @ ..] = head;
        let length = u64::from(u32::from_be_bytes(length)).saturating_sub(4);
        let mut body = Vec::new();
        stream.take(length).read_to_end(&mut body)?;
        match tag {
            b'E' => failure = failure.or_else(|| Some(io::Error::other(error_text(&body)))),
            b'Z' => return failure.map_or(Ok(()), Err),
            _ => {}
        }
    }
}

/// Code and message of an ErrorResponse.
fn error_text(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0).filter_map(<[u8]>::split_first);
    let wanted = fields.filter(|(field, _)| matches!(field, b'C' | b'M'));
    wanted.map(|(_, text)| String::from_utf8_lossy(text)).collect::<Vec<_>>().join(" ")
}
