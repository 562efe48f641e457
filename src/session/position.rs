//! Positions in errors and notices: they point into the text that the client sent.

use super::locals::Insert;
use crate::wire;

/// A notice's or error's fields with the position in the text that the client sent; `None`: there is none.
pub(super) fn moved_position(body: &[u8], inserts: &[Insert]) -> Option<Vec<u8>> {
    let (_, typed) = wire::error_fields(body).find(|(kind, _)| *kind == b'P')?;
    let position: u32 = std::str::from_utf8(typed).ok()?.parse().ok()?;
    let moved = inserts.iter().try_fold(position, |rest, insert| {
        // Positions count from 1, and stand for a character behind what they count.
        let at = insert.at?;
        if position <= at {
            Some(rest)
        } else if position > at.saturating_add(insert.chars) {
            Some(rest.saturating_sub(insert.chars))
        } else {
            None
        }
    });
    let mut fields = Vec::with_capacity(body.len());
    for (kind, value) in wire::error_fields(body) {
        if kind != b'P' {
            fields.push(kind);
            fields.extend_from_slice(value);
            fields.push(0);
        } else if let Some(moved) = moved {
            fields.push(kind);
            fields.extend_from_slice(moved.to_string().as_bytes());
            fields.push(0);
        }
    }
    fields.push(0);
    Some(fields)
}

/// A message with its head.
pub(super) fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 5);
    wire::frame(&mut bytes, tag, |out| out.extend_from_slice(body));
    bytes
}
