//! Where one message ends and the next begins.

use std::fmt;

use super::{back, front};

/// Who sends the messages of a stream: each side has its own set of types and caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The application.
    Frontend,
    /// The server.
    Backend,
}

/// The header of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The type byte.
    pub tag: u8,
    /// Bytes of the whole message: type byte, length word and body.
    pub len: usize,
}

/// Why a header cannot be the start of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The length word is smaller than itself, or negative.
    BadLength(u8, i32),
    /// The message is longer than its type may be.
    TooLong(u8, usize),
    /// No message of this side has this type.
    UnknownType(u8),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadLength(tag, len) => {
                write!(f, "invalid message length {len} in message of type \"{}\"", tag.escape_ascii())
            }
            Self::TooLong(tag, len) => {
                write!(f, "message of type \"{}\" with {len} bytes is over its limit", tag.escape_ascii())
            }
            Self::UnknownType(tag) => write!(f, "invalid message type \"{}\"", tag.escape_ascii()),
        }
    }
}

/// Postgres's `PQ_SMALL_MESSAGE_LIMIT`: messages that hold at most a name or two.
const SMALL: usize = 10_000;
/// Postgres's `PQ_LARGE_MESSAGE_LIMIT` (`MaxAllocSize` − 1): messages that hold data.
const LARGE: usize = 0x3fff_fffe;
/// `PG_MAX_AUTH_TOKEN_LENGTH`: passwords and SASL messages.
const AUTH: usize = 65_535;

/// The most bytes that the length word of a message may say, or `None` for a type that this side never
/// sends. The numbers are those of the server's `SocketBackend`; a server may send messages up to the
/// same 1 GB.
fn cap(side: Side, tag: u8) -> Option<usize> {
    match side {
        Side::Frontend => match tag {
            front::QUERY
            | front::PARSE
            | front::BIND
            | front::FUNCTION_CALL
            | front::COPY_DATA
            | front::COPY_FAIL => Some(LARGE),
            front::CLOSE
            | front::DESCRIBE
            | front::EXECUTE
            | front::FLUSH
            | front::SYNC
            | front::TERMINATE
            | front::COPY_DONE => Some(SMALL),
            front::PASSWORD => Some(AUTH),
            _ => None,
        },
        Side::Backend => match tag {
            back::DATA_ROW
            | back::COPY_DATA
            | back::ROW_DESCRIPTION
            | back::FUNCTION_RESULT
            | back::ERROR
            | back::NOTICE => Some(LARGE),
            back::READY
            | back::COMMAND_COMPLETE
            | back::PARSE_COMPLETE
            | back::BIND_COMPLETE
            | back::CLOSE_COMPLETE
            | back::NO_DATA
            | back::EMPTY_QUERY
            | back::PORTAL_SUSPENDED
            | back::COPY_DONE
            | back::BACKEND_KEY_DATA => Some(SMALL),
            back::AUTHENTICATION | back::NEGOTIATE | back::PARAMETER_STATUS | back::NOTIFICATION => {
                Some(AUTH)
            }
            back::PARAMETER_DESCRIPTION | back::COPY_IN | back::COPY_OUT | back::COPY_BOTH => Some(300_000),
            _ => None,
        },
    }
}

/// Reads the header at the start of `bytes`; `None` while fewer than its five bytes are there.
///
/// # Errors
/// A type that `side` never sends, a length below four, or one above the type's cap. Nothing after such
/// a header can be trusted: the connection must be closed.
pub fn header(side: Side, bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<5>() else {
        // An unknown type is an error at once: its length will not come to mean anything.
        return match bytes.first() {
            Some(&tag) if cap(side, tag).is_none() => Err(FrameError::UnknownType(tag)),
            _ => Ok(None),
        };
    };
    let Some(cap) = cap(side, tag) else {
        return Err(FrameError::UnknownType(tag));
    };
    let word = i32::from_be_bytes([a, b, c, d]);
    match usize::try_from(word) {
        Ok(len) if len >= 4 && len <= cap => Ok(Some(Frame { tag, len: len + 1 })),
        Ok(len) if len > cap => Err(FrameError::TooLong(tag, len)),
        _ => Err(FrameError::BadLength(tag, word)),
    }
}
