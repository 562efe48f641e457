//! `lastval()` and `currval()`: the state of sequences in a session is never another client's.
//!
//! A server connection that comes from another client may know what that one drew. A client that asks gets
//! DISCARD SEQUENCES ahead of its question, so that the server itself says that nothing was drawn; and once it has
//! asked, ahead of the first frame on each connection that comes from another, so that what it draws is its own.

use super::client::{ClientSession, Given, To, Verdict};
use super::expect::{Expect, Kind};
use super::server::ServerSession;
use crate::sql::{self, Leaves};
use crate::wire::{self, PgError, front};

/// Whose the state of sequences in a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sequences {
    /// That of the client that has the connection, at most.
    #[default]
    Own,
    /// Others'; the client has not drawn.
    Others,
    /// Others', and the client may have drawn since: what it asks for is most probably its own.
    Mixed,
}

impl ServerSession {
    /// Another client gets the connection than the one that used it last.
    pub fn change_hands(&mut self) {
        self.sequences = Sequences::Others;
    }

    /// A text goes out that may draw from a sequence.
    pub(super) fn note_draws(&mut self, leaves: Leaves) {
        if leaves.has(Leaves::DRAWS) && self.sequences == Sequences::Others {
            self.sequences = Sequences::Mixed;
        }
    }

    /// DISCARD SEQUENCES did not run.
    pub(super) fn sequences_kept(&mut self) {
        self.sequences = Sequences::Others;
    }
}

impl ClientSession {
    /// It asks for the state of sequences, or did so before: the connection that it used last would be best.
    pub fn prefers_last(&self, frame: &[u8]) -> bool {
        let split = frame.split_first().and_then(|(tag, rest)| Some((*tag, rest.get(4..)?)));
        self.asks_sequences || split.is_some_and(|(tag, body)| self.asks(tag, body))
    }

    /// The state of sequences is asked for in this text.
    pub(super) fn note_sequences(&mut self, leaves: Leaves) {
        if leaves.has(Leaves::SEQUENCES) {
            self.asks_sequences = true;
            if let Some(gate) = &self.gate {
                gate.note_sequences();
            }
        }
    }

    /// Sees to it that a frame that asks for the state of sequences does not find another client's. `Some`: it must
    /// wait, or is refused.
    pub(super) fn discard_sequences(
        &mut self,
        tag: u8,
        given: &Given<'_>,
        to: &mut To<'_>,
    ) -> Option<Verdict> {
        if to.server.sequences != Sequences::Others {
            return None;
        }
        let starts = matches!(tag, front::QUERY | front::PARSE | front::BIND | front::FUNCTION_CALL);
        let asks = starts && self.asks(tag, given.body);
        let quiet = to.server.expect.is_empty() && !to.server.unsynced && !to.server.copy_in;
        let knows = || self.asks_sequences || self.gate.as_ref().is_some_and(|gate| gate.knows_sequences());
        if !(starts && (asks || quiet && knows())) {
            return None;
        }
        if quiet && to.server.status() == b'E' {
            // Nothing runs there but what ends the transaction, and perhaps what stands behind it.
            return (tag == front::QUERY && asks).then(|| self.fail_query(behind_end(), to));
        }
        if quiet {
            wire::query(to.out, b"DISCARD SEQUENCES");
            to.server.unnamed = None;
            to.server.sequences = Sequences::Own;
            let mut entry = Expect::new(Kind::Query, false);
            entry.discards = true;
            to.server.push(entry, to.replies);
            return None;
        }
        if !to.server.unsynced || to.server.owes_batch() {
            to.server.doubt = true;
            return Some(Verdict::Wait);
        }
        if tag != front::PARSE {
            self.run_unnamed(b"DISCARD SEQUENCES\0\0\0", false, to);
            to.server.sequences = Sequences::Own;
            to.server.discards_in_batch = true;
        }
        None
    }

    fn asks(&self, tag: u8, body: &[u8]) -> bool {
        let text = |text: &[u8]| {
            mentions(text) && sql::traits(text, self.standard_strings).leaves.has(Leaves::SEQUENCES)
        };
        match tag {
            front::QUERY => text(body.strip_suffix(&[0]).unwrap_or(body)),
            front::PARSE => wire::parse(body).is_ok_and(|parse| text(parse.query)),
            front::BIND => {
                let name = wire::bind_head(body).map(|bind| bind.statement);
                name.and_then(|name| self.statement(name))
                    .is_some_and(|statement| statement.leaves.has(Leaves::SEQUENCES))
            }
            _ => false,
        }
    }
}

fn behind_end() -> PgError {
    PgError::error(
        "0A000",
        "the state of sequences cannot be asked for behind the end of a failed transaction",
    )
    .hint("Send the ROLLBACK as a query of its own.")
}

/// A cheap look for `lastval` and `currval`, in any case.
fn mentions(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'v', b'V', text)
        .any(|at| text.get(at..at + 3).is_some_and(|word| word.eq_ignore_ascii_case(b"val")))
}
