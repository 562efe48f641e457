//! Reading the attribute lists that SCRAM messages are, and making nonces.

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

use super::super::AuthError;

/// Postgres's `SCRAM_RAW_NONCE_LEN`: 18 bytes are 24 characters of base64, without padding.
const RAW_NONCE_LEN: usize = 18;

/// The only channel binding type here, and in Postgres.
pub(super) const BINDING_TYPE: &[u8] = b"tls-server-end-point";

/// A new random nonce, printable and without a comma.
pub(super) fn nonce() -> Result<String, AuthError> {
    let mut raw = [0u8; RAW_NONCE_LEN];
    rand::fill(&mut raw).map_err(|_| AuthError::Random)?;
    Ok(BASE64.encode(raw))
}

/// RFC 5802's `printable`: visible ASCII without the comma.
pub(super) fn is_printable(nonce: &[u8]) -> bool {
    nonce.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',')
}

/// The `c=` attribute's value before base64: the gs2 header and, with `p`, the binding data.
pub(super) fn binding_input(header: &[u8], data: &[u8]) -> String {
    BASE64.encode([header, data].concat())
}

/// Walks over `a=value,b=value`. Errors are words for the caller to wrap.
pub(super) struct Attributes<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { message, at: 0 }
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.message.get(self.at..).unwrap_or_default()
    }

    /// The value of the next attribute, whose name must be `name`.
    pub(super) fn expect(&mut self, name: u8) -> Result<&'a [u8], &'static str> {
        match self.any()? {
            (found, value) if found == name => Ok(value),
            _ => Err("unexpected attribute"),
        }
    }

    /// The next attribute.
    pub(super) fn any(&mut self) -> Result<(u8, &'a [u8]), &'static str> {
        match self.rest() {
            [] => Err("attribute expected, but found end of string"),
            [name, b'=', value @ ..] if name.is_ascii_alphabetic() => {
                let length = value.iter().position(|byte| *byte == b',').unwrap_or(value.len());
                let (value, after) = value.split_at(length);
                self.at += 2 + length + usize::from(!after.is_empty());
                Ok((*name, value))
            }
            _ => Err("attribute expected, but found an invalid character"),
        }
    }

    /// Skips attributes up to `name`: the message before it (without the comma) and its value.
    pub(super) fn skip_to(&mut self, name: u8) -> Result<(&'a [u8], &'a [u8]), &'static str> {
        loop {
            let before = self.at.saturating_sub(1);
            let (found, value) = self.any()?;
            if found == name {
                return Ok((self.message.get(..before).unwrap_or_default(), value));
            }
        }
    }
}
