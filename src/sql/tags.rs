//! Tags of applications in comments, as sqlcommenter writes them (`/*route='%2Forders',action='index'*/`), and as
//! Rails did before (`/*controller:orders,action:index*/`).

use super::marks::{comments, decode, past_comma, quoted};

/// A longer value is no tag, in bytes.
const LONGEST_VALUE: usize = 1024;

/// Gives each key and value of the comments before and behind a text. They are for people to read: what cannot be read
/// is passed over.
pub fn tags(text: &[u8], mut each: impl FnMut(&str, &str)) {
    if memchr::memmem::find(text, b"*/").is_none() {
        return;
    }
    let mut some = |comment: &[u8]| read(comment, &mut each);
    let found = comments(text, &mut |comment| {
        some(comment);
        Ok(())
    });
    if found.is_err() {
        return;
    }
    let mut rest = text;
    while let Some(before) = trimmed(rest).strip_suffix(b"*/") {
        let Some(at) = memchr::memmem::rfind(before, b"/*").filter(|at| *at > 0) else { return };
        some(before.get(at + 2..).unwrap_or_default());
        rest = before.get(..at).unwrap_or_default();
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|b| !b.is_ascii_whitespace() && *b != b';').map_or(0, |at| at + 1);
    text.get(..end).unwrap_or_default()
}

fn read(comment: &[u8], each: &mut impl FnMut(&str, &str)) {
    let mut rest = comment;
    while !rest.is_empty() {
        let end = memchr::memchr2(b'=', b',', rest).unwrap_or(rest.len());
        let (key, behind) = rest.split_at(end);
        let value =
            behind.strip_prefix(b"=").and_then(|b| b.trim_ascii_start().strip_prefix(b"'")).and_then(quoted);
        if let Some((value, next)) = value {
            give(key, &value, each);
            rest = next;
            continue;
        }
        if let Some(at) = memchr::memchr(b':', key) {
            let (key, value) = key.split_at(at);
            give(key, value.get(1..).unwrap_or_default().trim_ascii(), each);
        }
        rest = past_comma(behind);
    }
}

fn give(key: &[u8], value: &[u8], each: &mut impl FnMut(&str, &str)) {
    if key.trim_ascii().is_empty() || value.len() > LONGEST_VALUE {
        return;
    }
    if let (Some(key), Some(value)) = (decode(key.trim_ascii()), decode(value)) {
        each(&key, &value);
    }
}
