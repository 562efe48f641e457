//! Frames and single messages of the `PostgreSQL` protocol, versions 3.0 and 3.2 (floor 0).
//!
//! What it is for: finding where one message ends and the next begins, reading the few messages that
//! somebody must read, and writing the few that Howdah makes itself. Protocol chapter 55 of the manual,
//! "Message Formats".
//!
//! May import: nothing of this crate. Knows no socket, no clock, no lock.
//!
//! Invariants:
//! - A reader is handed exactly one frame's body and fails on a byte too few or too many.
//! - A length is checked against the cap of its message type before anything is done with it.
//! - No function panics, whatever the bytes.

mod error;
mod frame;
mod read;
mod startup;
mod write;

pub use error::{ErrorFields, PgError, Severity};
pub use frame::{Frame, FrameError, Side, header};
pub use read::{
    Bind, Malformed, Parse, Target, bind_head, bind_values, c_string, column_names, error_fields, fields,
    parameter_status, parse, target,
};
pub use startup::{
    CancelRequest, MAX_STARTUP_PACKET, PROTOCOL_3_0, PROTOCOL_3_2, Startup, StartupPacket, read_startup,
    startup_length,
};
pub use write::{
    authentication, backend_key_data, bind, bind_nullable, bind_portal, cancel_request, close_statement,
    describe_portal, execute, execute_and_close, execute_rows, frame, negotiate_protocol,
    parameter_status_into, parse_into, query, ready_for_query, ssl_request, startup_message, sync,
};

/// Names and values of `ParameterStatus` messages.
pub type Parameters = Vec<(Box<[u8]>, Box<[u8]>)>;

/// Messages that a frontend sends, by their type byte.
pub mod front {
    /// Bind.
    pub const BIND: u8 = b'B';
    /// Close.
    pub const CLOSE: u8 = b'C';
    /// `CopyData` (both directions).
    pub const COPY_DATA: u8 = b'd';
    /// `CopyDone` (both directions).
    pub const COPY_DONE: u8 = b'c';
    /// `CopyFail`.
    pub const COPY_FAIL: u8 = b'f';
    /// Describe.
    pub const DESCRIBE: u8 = b'D';
    /// Execute.
    pub const EXECUTE: u8 = b'E';
    /// Flush.
    pub const FLUSH: u8 = b'H';
    /// `FunctionCall`.
    pub const FUNCTION_CALL: u8 = b'F';
    /// Parse.
    pub const PARSE: u8 = b'P';
    /// `PasswordMessage`, `SASLInitialResponse`, `SASLResponse`.
    pub const PASSWORD: u8 = b'p';
    /// Query.
    pub const QUERY: u8 = b'Q';
    /// Sync.
    pub const SYNC: u8 = b'S';
    /// Terminate.
    pub const TERMINATE: u8 = b'X';
}

/// Messages that a backend sends, by their type byte.
pub mod back {
    /// Authentication requests of every kind.
    pub const AUTHENTICATION: u8 = b'R';
    /// `BackendKeyData`.
    pub const BACKEND_KEY_DATA: u8 = b'K';
    /// `BindComplete`.
    pub const BIND_COMPLETE: u8 = b'2';
    /// `CloseComplete`.
    pub const CLOSE_COMPLETE: u8 = b'3';
    /// `CommandComplete`.
    pub const COMMAND_COMPLETE: u8 = b'C';
    /// `CopyBothResponse`.
    pub const COPY_BOTH: u8 = b'W';
    /// `CopyData` (both directions).
    pub const COPY_DATA: u8 = b'd';
    /// `CopyDone` (both directions).
    pub const COPY_DONE: u8 = b'c';
    /// `CopyInResponse`.
    pub const COPY_IN: u8 = b'G';
    /// `CopyOutResponse`.
    pub const COPY_OUT: u8 = b'H';
    /// `DataRow`.
    pub const DATA_ROW: u8 = b'D';
    /// `EmptyQueryResponse`.
    pub const EMPTY_QUERY: u8 = b'I';
    /// `ErrorResponse`.
    pub const ERROR: u8 = b'E';
    /// `FunctionCallResponse`.
    pub const FUNCTION_RESULT: u8 = b'V';
    /// `NegotiateProtocolVersion`.
    pub const NEGOTIATE: u8 = b'v';
    /// `NoData`.
    pub const NO_DATA: u8 = b'n';
    /// `NoticeResponse`.
    pub const NOTICE: u8 = b'N';
    /// `NotificationResponse`.
    pub const NOTIFICATION: u8 = b'A';
    /// `ParameterDescription`.
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    /// `ParameterStatus`.
    pub const PARAMETER_STATUS: u8 = b'S';
    /// `ParseComplete`.
    pub const PARSE_COMPLETE: u8 = b'1';
    /// `PortalSuspended`.
    pub const PORTAL_SUSPENDED: u8 = b's';
    /// `ReadyForQuery`.
    pub const READY: u8 = b'Z';
    /// `RowDescription`.
    pub const ROW_DESCRIPTION: u8 = b'T';
}

#[cfg(test)]
mod tests;
