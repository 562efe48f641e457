//! Single messages.

use crate::wire::{self, Malformed, c_string, front};

/// Bytes of an `XLogData` before its payload: its type, two positions, the server's clock.
const XLOG_HEAD: usize = 1 + 8 + 8 + 8;
/// What is needed of an Insert, Update or Delete: its type, the table's number, what kind of row follows.
const ROW_HEAD: usize = 1 + 4 + 1;
/// What is needed of a Message: more than Howdah's own ever have.
const MESSAGE_HEAD: usize = 256;

/// What a `CopyData` of the server's holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// `XLogData`: a change.
    Change(&'a [u8]),
    /// A keepalive.
    Alive {
        /// How far the server has read its log.
        end: u64,
        /// It wants to hear of us at once.
        reply: bool,
    },
}

/// A change, or what frames changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A transaction's changes begin.
    Begin {
        /// The transaction.
        xid: u32,
    },
    /// They are over: it is committed.
    Commit {
        /// The position behind its commit.
        end: u64,
    },
    /// What `pg_logical_emit_message` was given.
    Message {
        /// It belongs to the transaction whose changes it stands between.
        transactional: bool,
        /// Whose message it is.
        prefix: &'a [u8],
        /// Its content; `None` if it is longer than anything that Howdah writes.
        content: Option<&'a [u8]>,
    },
    /// What a table's number means from now on.
    Relation {
        /// The number.
        id: u32,
        /// Its schema; empty for `pg_catalog`.
        schema: &'a [u8],
        /// Its name.
        name: &'a [u8],
    },
    /// A row of a table was inserted, updated or deleted.
    Row {
        /// The table's number.
        id: u32,
    },
    /// Tables were emptied.
    Truncate {
        /// The tables' numbers, four bytes each.
        ids: &'a [u8],
    },
    /// An Origin or a Type: of no interest.
    Other,
}

/// How many bytes of a `CopyData`'s body [`read_data`] and [`read_change`] need; `None` when `head`, the bytes that
/// are there, is too short to say.
pub fn enough(head: &[u8], len: usize) -> Option<usize> {
    match head.first()? {
        b'w' => {}
        _ => return Some(len),
    }
    if len <= XLOG_HEAD {
        return Some(len);
    }
    let most = match head.get(XLOG_HEAD)? {
        b'I' | b'U' | b'D' => XLOG_HEAD + ROW_HEAD,
        b'M' => XLOG_HEAD + MESSAGE_HEAD,
        _ => len,
    };
    Some(most.min(len))
}

/// Reads the body of a `CopyData`.
///
/// # Errors
/// It is neither an `XLogData` nor a keepalive, or cut short.
pub fn read_data(body: &[u8]) -> Result<Data<'_>, Malformed> {
    let short = Malformed("a replication message is cut short");
    let (kind, rest) = body.split_first().ok_or(short)?;
    match kind {
        b'w' => body.get(XLOG_HEAD..).map(Data::Change).ok_or(short),
        b'k' => {
            let (end, rest) = u64_be(rest).ok_or(short)?;
            match rest {
                [_, _, _, _, _, _, _, _, reply] => Ok(Data::Alive { end, reply: *reply != 0 }),
                _ => Err(Malformed("a keepalive of another length")),
            }
        }
        _ => Err(Malformed("a replication message of an unknown kind")),
    }
}

/// Reads a change. Of a row and of a Message it may be only the head that [`enough`] asks for.
///
/// # Errors
/// An unknown message, or one that is cut short or too long.
pub fn read_change(payload: &[u8]) -> Result<Change<'_>, Malformed> {
    let (kind, body) = payload.split_first().ok_or(Malformed("an empty change"))?;
    match kind {
        b'B' => begin(body).ok_or(Malformed("Begin of another length")),
        b'C' => commit(body).ok_or(Malformed("Commit of another length")),
        b'M' => message(body).ok_or(Malformed("Message is cut short")),
        b'R' => relation(body).ok_or(Malformed("Relation is cut short")),
        b'I' => row(body, b"N").ok_or(Malformed("Insert is cut short, or has no new row")),
        b'U' => row(body, b"NKO").ok_or(Malformed("Update is cut short, or has no row")),
        b'D' => row(body, b"KO").ok_or(Malformed("Delete is cut short, or has no old row")),
        b'T' => truncate(body).ok_or(Malformed("Truncate: tables do not fit their count")),
        b'O' | b'Y' => Ok(Change::Other),
        _ => Err(Malformed("a change of an unknown kind")),
    }
}

fn begin(body: &[u8]) -> Option<Change<'_>> {
    let (_final, rest) = u64_be(body)?;
    let (_clock, rest) = u64_be(rest)?;
    let (xid, rest) = u32_be(rest)?;
    rest.is_empty().then_some(Change::Begin { xid })
}

fn commit(body: &[u8]) -> Option<Change<'_>> {
    let (_flags, rest) = body.split_first()?;
    let (_commit, rest) = u64_be(rest)?;
    let (end, rest) = u64_be(rest)?;
    let (_clock, rest) = u64_be(rest)?;
    rest.is_empty().then_some(Change::Commit { end })
}

fn message(body: &[u8]) -> Option<Change<'_>> {
    let (flags, rest) = body.split_first()?;
    let transactional = flags & 1 != 0;
    let (_position, rest) = u64_be(rest)?;
    // A prefix so long that its end is not here is not Howdah's.
    let Some((prefix, rest)) = c_string(rest) else {
        return (body.len() + 1 == MESSAGE_HEAD).then_some(Change::Message {
            transactional,
            prefix: b"",
            content: None,
        });
    };
    let content = u32_be(rest).and_then(|(len, rest)| {
        let len = usize::try_from(len).ok()?;
        (rest.len() == len).then_some(rest)
    });
    (content.is_some() || body.len() + 1 == MESSAGE_HEAD).then_some(Change::Message {
        transactional,
        prefix,
        content,
    })
}

fn relation(body: &[u8]) -> Option<Change<'_>> {
    let (id, rest) = u32_be(body)?;
    let (schema, rest) = c_string(rest)?;
    let (name, rest) = c_string(rest)?;
    let (_identity, rest) = rest.split_first()?;
    let (count, mut rest) = rest.split_first_chunk::<2>()?;
    for _ in 0..u16::from_be_bytes(*count) {
        let (_name, tail) = c_string(rest.get(1..)?)?;
        rest = tail.get(8..)?;
    }
    rest.is_empty().then_some(Change::Relation { id, schema, name })
}

fn row<'a>(body: &[u8], kinds: &[u8]) -> Option<Change<'a>> {
    let (id, rest) = u32_be(body)?;
    kinds.contains(rest.first()?).then_some(Change::Row { id })
}

fn truncate(body: &[u8]) -> Option<Change<'_>> {
    let (count, rest) = u32_be(body)?;
    let (_options, ids) = rest.split_first()?;
    let fits = usize::try_from(count).ok()?.checked_mul(4)? == ids.len();
    fits.then_some(Change::Truncate { ids })
}

fn u32_be(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*head), rest))
}

fn u64_be(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*head), rest))
}

/// Appends a standby status update: everything before `position` has been applied. `clock`: microseconds since
/// 2000-01-01 in UTC.
pub fn status_update(out: &mut Vec<u8>, position: u64, clock: u64) {
    wire::frame(out, front::COPY_DATA, |out| {
        out.push(b'r');
        // Written, flushed, applied: here that is one.
        for _ in 0..3 {
            out.extend_from_slice(&position.to_be_bytes());
        }
        out.extend_from_slice(&clock.to_be_bytes());
        out.push(0);
    });
}
