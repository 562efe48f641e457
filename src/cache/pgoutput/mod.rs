//! What a logical replication stream of `pgoutput`, protocol version 1, says of the tables that were written.
//!
//! Rows are of no interest here, only whose they are: of an Insert, Update or Delete nothing is read behind the
//! table's number, so a row of 1 GB is never collected. Manual, chapter 55, "Logical Replication Message Formats" and
//! "Streaming Replication Protocol".
//!
//! Invariants:
//! - Pure: no socket, no clock. No function panics, whatever the bytes.
//! - A table that was written is told with the transaction that wrote it, or the stream is an error: nothing is passed
//!   over in silence.

mod message;
mod transactions;

#[cfg(test)]
mod tests;

pub use message::{Change, Data, enough, read_change, read_data, status_update};
pub use transactions::{Committed, Event, TableName, Transactions};
