//! Marked reads: answered from memory if they can be, and kept on their way if they may be.
//!
//! A frame comes here before it is judged, when its client's tenant is in force. What is answered here never reaches
//! a server; everything else goes on as if there were no cache, but that its answer may be copied as it passes.
//!
//! - Only a client at rest is answered, so that nothing overtakes an answer that is owed. A marked query behind others
//!   of a pipeline waits for them.
//! - A batch is answered as a whole or not at all: its frames have one implicit transaction.
//! - Whatever is not certain (a session that holds something, a text that was not studied yet) is a miss.

mod batch;
mod explain;
mod fill;
mod key;
mod reading;
mod serve;
mod settings;
mod study;
mod unit;
mod wait;
mod wish;

use std::collections::VecDeque;
use std::sync::Arc;

use fill::Fill;
use key::Prefixed;

use super::session::{Session, Stage};
use crate::cache::Ticket;
use crate::session::Keep;
use wait::Waiting;
use wish::Own;

/// The longest query, or batch, that is looked at.
const MOST: usize = 64 << 10;

/// What one session keeps for the cache. Made when it first marks a query.
#[derive(Debug, Default)]
pub(super) struct Cached {
    /// What `SET howdah.…` said.
    own: Own,
    /// If the open transaction has changed it: what it said before, and what it will say if that is committed.
    own_before: Option<(Own, Own)>,
    /// The part of the keys that all queries of the session have in common.
    prefix: Option<Arc<Prefixed>>,
    waiting: Option<Box<Waiting>>,
    /// The client's query goes to the server by itself: it has waited enough.
    alone: bool,
    /// Whoever was waited for is gone: this client asks for all.
    handed: Option<Ticket>,
    /// The transaction that is open is one for reading, and nothing has run in it that could have set anything.
    reads_only: bool,
    /// A query in it was answered here: the server's unnamed portal is not what the client thinks.
    portal_gone: bool,
    /// Too much waits for the client to be read: its next frame waits as well.
    stalled: bool,
    /// What is fetched, by the number of its answer.
    fills: Vec<Fill>,
    /// The frames that go to the server next, and what is kept of the replies to each.
    keeps: VecDeque<(u8, Option<Keep>)>,
    /// The server's session knows of it.
    begun: bool,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It goes to a server.
    Not,
    /// It and what follows, so many bytes, are answered.
    Bytes(usize),
    /// It must wait, or what follows must come first.
    Wait,
}
