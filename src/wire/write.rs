//! Writers of single messages; each appends to a buffer.

use super::{back, front};

/// Appends one message with a type byte; `body` writes what follows the length word.
pub fn frame(out: &mut Vec<u8>, tag: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    fill_length(out, at);
}

/// Writes the length of everything from `at` into the four bytes at `at`. A message over 2 GB cannot be
/// made here: every caller's body is bounded by a frame that it read.
fn fill_length(out: &mut [u8], at: usize) {
    let len = i32::try_from(out.len() - at).unwrap_or(i32::MAX);
    if let Some(word) = out.get_mut(at..at + 4) {
        word.copy_from_slice(&len.to_be_bytes());
    }
}

fn c_string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

/// An authentication request with its code and whatever follows it.
pub fn authentication(out: &mut Vec<u8>, code: u32, rest: &[u8]) {
    frame(out, back::AUTHENTICATION, |out| {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(rest);
    });
}

/// `BackendKeyData`.
pub fn backend_key_data(out: &mut Vec<u8>, pid: u32, secret: &[u8]) {
    frame(out, back::BACKEND_KEY_DATA, |out| {
        out.extend_from_slice(&pid.to_be_bytes());
        out.extend_from_slice(secret);
    });
}

/// `NegotiateProtocolVersion`: the newest minor version that is spoken, and the options that are not known.
pub fn negotiate_protocol(out: &mut Vec<u8>, minor: u32, unknown: &[&str]) {
    frame(out, back::NEGOTIATE, |out| {
        out.extend_from_slice(&minor.to_be_bytes());
        out.extend_from_slice(&u32::try_from(unknown.len()).unwrap_or(u32::MAX).to_be_bytes());
        for name in unknown {
            c_string(out, name.as_bytes());
        }
    });
}

/// `ParameterStatus`.
pub fn parameter_status_into(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    frame(out, back::PARAMETER_STATUS, |out| {
        c_string(out, name);
        c_string(out, value);
    });
}

/// `ReadyForQuery` with the transaction status `I`, `T` or `E`.
pub fn ready_for_query(out: &mut Vec<u8>, status: u8) {
    out.extend_from_slice(&[back::READY, 0, 0, 0, 5, status]);
}

/// Query.
pub fn query(out: &mut Vec<u8>, text: &[u8]) {
    frame(out, front::QUERY, |out| c_string(out, text));
}

/// Parse: `body` is all that follows the name.
pub fn parse_into(out: &mut Vec<u8>, name: &[u8], body: &[u8]) {
    frame(out, front::PARSE, |out| {
        c_string(out, name);
        out.extend_from_slice(body);
    });
}

/// Bind of text parameters to the unnamed portal, with results as text.
pub fn bind(out: &mut Vec<u8>, statement: &[u8], params: &[&[u8]]) {
    bind_portal(out, b"", statement, params.iter().copied().map(Some));
}

/// As [`bind`], with NULLs.
pub fn bind_nullable<'a>(
    out: &mut Vec<u8>,
    statement: &[u8],
    params: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
) {
    bind_portal(out, b"", statement, params);
}

/// As [`bind_nullable`], to a portal with a name.
pub fn bind_portal<'a>(
    out: &mut Vec<u8>,
    portal: &[u8],
    statement: &[u8],
    params: impl ExactSizeIterator<Item = Option<&'a [u8]>>,
) {
    frame(out, front::BIND, |out| {
        c_string(out, portal);
        c_string(out, statement);
        out.extend_from_slice(&0_u16.to_be_bytes());
        out.extend_from_slice(&u16::try_from(params.len()).unwrap_or(u16::MAX).to_be_bytes());
        for param in params {
            let len = param.map_or(-1, |param| i32::try_from(param.len()).unwrap_or(i32::MAX));
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(param.unwrap_or_default());
        }
        out.extend_from_slice(&0_u16.to_be_bytes());
    });
}

/// Describe of the unnamed portal.
pub fn describe_portal(out: &mut Vec<u8>) {
    out.extend_from_slice(&[front::DESCRIBE, 0, 0, 0, 6, b'P', 0]);
}

/// Execute of the unnamed portal, all rows.
pub fn execute(out: &mut Vec<u8>) {
    out.extend_from_slice(&[front::EXECUTE, 0, 0, 0, 9, 0, 0, 0, 0, 0]);
}

/// Execute of the unnamed portal, at most so many rows (0: all).
pub fn execute_rows(out: &mut Vec<u8>, most: u32) {
    frame(out, front::EXECUTE, |out| {
        out.push(0);
        out.extend_from_slice(&most.to_be_bytes());
    });
}

/// Execute of a portal, all rows, and its Close.
pub fn execute_and_close(out: &mut Vec<u8>, portal: &[u8]) {
    frame(out, front::EXECUTE, |out| {
        c_string(out, portal);
        out.extend_from_slice(&[0; 4]);
    });
    frame(out, front::CLOSE, |out| {
        out.push(b'P');
        c_string(out, portal);
    });
}

/// Close of a prepared statement.
pub fn close_statement(out: &mut Vec<u8>, name: &[u8]) {
    frame(out, front::CLOSE, |out| {
        out.push(b'S');
        c_string(out, name);
    });
}

/// Sync.
pub fn sync(out: &mut Vec<u8>) {
    out.extend_from_slice(&[front::SYNC, 0, 0, 0, 4]);
}

/// `SSLRequest`.
pub fn ssl_request(out: &mut Vec<u8>) {
    out.extend_from_slice(&8_u32.to_be_bytes());
    out.extend_from_slice(&super::startup::SSL_REQUEST.to_be_bytes());
}

/// `CancelRequest`.
pub fn cancel_request(out: &mut Vec<u8>, pid: u32, secret: &[u8]) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&super::startup::CANCEL_REQUEST.to_be_bytes());
    out.extend_from_slice(&pid.to_be_bytes());
    out.extend_from_slice(secret);
    fill_length(out, at);
}

/// `StartupMessage` of protocol 3.0.
pub fn startup_message(out: &mut Vec<u8>, params: &[(&str, &str)]) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&super::PROTOCOL_3_0.to_be_bytes());
    for (name, value) in params {
        c_string(out, name.as_bytes());
        c_string(out, value.as_bytes());
    }
    out.push(0);
    fill_length(out, at);
}
