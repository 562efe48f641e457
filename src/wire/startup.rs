//! The first packet of a connection: it has no type byte.

use super::read::{Malformed, c_string};

/// Postgres's `MAX_STARTUP_PACKET_LENGTH`, in bytes, with the length word.
pub const MAX_STARTUP_PACKET: usize = 10_000;
/// Version 3.0.
pub const PROTOCOL_3_0: u32 = 3 << 16;
/// Version 3.2: cancel keys of up to 256 bytes.
pub const PROTOCOL_3_2: u32 = (3 << 16) | 2;

pub(super) const CANCEL_REQUEST: u32 = 80_877_102; // 1234 in the upper 16 bits, 5678 in the lower
pub(super) const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// What a first packet asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartupPacket {
    /// `SSLRequest`.
    Ssl,
    /// `GSSENCRequest`.
    GssEnc,
    /// `CancelRequest`.
    Cancel(CancelRequest),
    /// `StartupMessage`.
    Startup(Startup),
}

/// A `CancelRequest`'s key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRequest {
    /// The "process id" that `BackendKeyData` gave.
    pub pid: u32,
    /// The secret: 4 bytes in protocol 3.0, up to 256 in 3.2.
    pub secret: Vec<u8>,
}

/// A `StartupMessage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// Version as sent: major in the upper 16 bits, minor in the lower.
    pub version: u32,
    /// Names and values in the order in which they came; names of `_pq_.` options among them.
    pub params: Vec<(String, String)>,
}

impl Startup {
    /// The last value given for `name`.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Bytes of the first packet, once its length word is there.
///
/// # Errors
/// A length that no first packet has.
pub fn startup_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(word) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    match usize::try_from(i32::from_be_bytes(*word)) {
        Ok(len) if (8..=MAX_STARTUP_PACKET).contains(&len) => Ok(Some(len)),
        _ => Err(Malformed("invalid length of startup packet")),
    }
}

/// Reads a whole first packet, its length word included.
///
/// # Errors
/// A body that does not fit its code, a parameter without its NULs, text that is not UTF-8, or bytes
/// after the terminator. An unsupported major version is not an error here: see [`Startup::version`].
pub fn read_startup(packet: &[u8]) -> Result<StartupPacket, Malformed> {
    let Some((code, body)) = packet.get(4..).and_then(|b| b.split_first_chunk::<4>()) else {
        return Err(Malformed("invalid length of startup packet"));
    };
    let code = u32::from_be_bytes(*code);
    match code {
        SSL_REQUEST if body.is_empty() => Ok(StartupPacket::Ssl),
        GSSENC_REQUEST if body.is_empty() => Ok(StartupPacket::GssEnc),
        SSL_REQUEST | GSSENC_REQUEST => Err(Malformed("invalid length of encryption request")),
        CANCEL_REQUEST => match body.split_first_chunk::<4>() {
            Some((pid, secret)) if !secret.is_empty() && secret.len() <= 256 => {
                Ok(StartupPacket::Cancel(CancelRequest {
                    pid: u32::from_be_bytes(*pid),
                    secret: secret.to_vec(),
                }))
            }
            _ => Err(Malformed("invalid length of cancel request")),
        },
        version => {
            // A version that is not ours has a layout that is not ours: leave it unread.
            let params = if version >> 16 == 3 { parameters(body)? } else { Vec::new() };
            Ok(StartupPacket::Startup(Startup { version, params }))
        }
    }
}

fn parameters(mut body: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    const LAYOUT: Malformed = Malformed("invalid startup packet layout: expected terminator as last byte");
    const TEXT: Malformed = Malformed("startup packet has a parameter that is not UTF-8");
    let mut params = Vec::new();
    loop {
        match body {
            [0] => return Ok(params),
            [0, ..] | [] => return Err(LAYOUT),
            _ => {
                let (name, rest) = c_string(body).ok_or(LAYOUT)?;
                let (value, rest) = c_string(rest).ok_or(LAYOUT)?;
                let name = std::str::from_utf8(name).map_err(|_| TEXT)?;
                let value = std::str::from_utf8(value).map_err(|_| TEXT)?;
                params.push((name.to_owned(), value.to_owned()));
                body = rest;
            }
        }
    }
}
