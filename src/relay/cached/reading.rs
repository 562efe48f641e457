//! Transactions that only read: what is asked in them may come from memory too.
//!
//! A text of theirs that is not marked ends that: a function in it could have set what a policy reads.

use super::{Answered, Session, Stage};
use crate::session::Statement;
use crate::sql;
use crate::wire::{self, Frame, PgError, Target, front};

impl Session {
    /// Notes what a frame is to a transaction that reads.
    pub(super) fn note_reading(&mut self, head: Frame, rest: &[u8], answered: Answered) {
        let reads = self.cached.as_ref().is_some_and(|cached| cached.reads_only);
        let body = rest.get(5..head.len.min(rest.len())).unwrap_or_default();
        let standard = self.front.standard_strings();
        let begins = match head.tag {
            _ if answered != Answered::Not => return,
            front::QUERY => body.split_last().is_some_and(|(_, text)| sql::begins_read_only(text, standard)),
            front::BIND => {
                let statement = wire::bind_head(body).and_then(|bind| self.front.settled(bind.statement));
                statement.is_some_and(|statement| sql::begins_read_only(text_of(statement), standard))
            }
            front::FUNCTION_CALL => false,
            _ => return,
        };
        // A transaction that is open is not begun again.
        let outside = !matches!(&self.stage, Stage::Leased(lease) if lease.session.status() != b'I');
        if begins && outside {
            self.cached.get_or_insert_default().reads_only = true;
        } else if reads
            && !self.is_fetching()
            && let Some(cached) = &mut self.cached
        {
            cached.reads_only = false;
        }
    }

    /// A query was answered here.
    pub(super) fn answered_in(&mut self, status: u8) {
        if status != b'I'
            && let Some(cached) = &mut self.cached
        {
            cached.portal_gone = true;
        }
    }

    /// The transaction is over.
    pub(super) fn end_reading(&mut self) {
        if let Some(cached) = &mut self.cached {
            cached.reads_only = false;
            cached.portal_gone = false;
        }
    }

    /// A frame that uses the unnamed portal, which the client has bound in a batch that was answered here.
    pub(in crate::relay) fn misses_portal(&mut self, head: Frame, frame: &[u8]) -> Option<PgError> {
        let cached = self.cached.as_deref_mut().filter(|cached| cached.portal_gone)?;
        let body = frame.get(5..).unwrap_or_default();
        let unnamed = match head.tag {
            front::QUERY => {
                cached.portal_gone = false;
                false
            }
            front::BIND => {
                cached.portal_gone = !body.starts_with(&[0]);
                false
            }
            front::DESCRIBE => wire::target(body) == Ok(Target::Portal(b"")),
            front::EXECUTE => body.starts_with(&[0]),
            _ => false,
        };
        unnamed.then(|| PgError::error("34000", "portal \"\" does not exist"))
    }
}

/// A statement's text.
pub(super) fn text_of(statement: &Statement) -> &[u8] {
    wire::c_string(&statement.body).map_or(&[], |(text, _)| text)
}
