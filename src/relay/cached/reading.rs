//! Transactions that only read: what is asked in them may come from memory too.
//!
//! A text of theirs that is not marked ends that: a function in it could have set what a policy reads.

use std::sync::atomic::Ordering;

use super::{Answered, Session, Stage};
use crate::sql::{self, Class};
use crate::wire::{self, Frame, PgError, Target, front};

impl Session {
    /// Notes what a frame is to a transaction that reads.
    pub(super) fn note_reading(&mut self, head: Frame, rest: &[u8], answered: Answered) {
        if answered != Answered::Not {
            return;
        }
        let reads = self.cached.as_ref().is_some_and(|cached| cached.reads_only);
        let body = rest.get(5..head.len.min(rest.len())).unwrap_or_default();
        let begins = match head.tag {
            front::QUERY => body.split_last().is_some_and(|(_, text)| self.begins_reading(text)),
            front::BIND => {
                let statement = wire::bind_head(body).and_then(|bind| self.front.settled(bind.statement));
                let begin = statement.filter(|statement| statement.class == Class::Begin);
                begin.is_some_and(|statement| self.begins_reading(statement.text()))
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

    /// A transaction for reading begins with this text, and each statement of it will see what was committed before it.
    fn begins_reading(&self, text: &[u8]) -> bool {
        let standard = self.front.standard_strings();
        let Some(says_so) = sql::begins_read_only(text, standard) else { return false };
        let of_session = self.front.settings().get("default_transaction_isolation");
        let of_login = self.pool.caching().is_some_and(|c| c.read_committed.load(Ordering::Relaxed));
        says_so || of_session.map_or(of_login, |level| level.eq_ignore_ascii_case("read committed"))
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
