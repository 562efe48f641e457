//! Between the transactions of a client that keeps its server connection.

use super::session::{End, Session, Stage};
use crate::backend::Loss;
use crate::observe::TransactionTiming;
use crate::wire::{PgError, front};

impl Session {
    /// Notes, once, that the transaction on the client's connection is over.
    pub(super) fn transaction_over(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.handle.note(&self.front);
        let now = self.last_time();
        let server = self.leased_at.take().map(|at| now.duration_since(at)).unwrap_or_default();
        self.tell_transaction();
        // Where statements are measured, those that take long are told of one by one, and not without a bound.
        if self.telling.is_none() && self.shared.slow.is_some_and(|slow| server >= slow) {
            let (client, pool, waited) = (self.handle.id, self.pool.key(), self.waited);
            tracing::info!(%client, %pool, ?server, ?waited, "slow transaction");
        }
        self.pool.metrics().transaction(TransactionTiming { wait: self.waited.take(), server });
    }

    /// A frame of a client that has a connection: if it begins the next transaction, that counts as any other.
    ///
    /// # Errors
    /// It is refused with this.
    pub(super) fn begin_next(&mut self, tag: u8) -> Result<(), PgError> {
        let starts = matches!(
            tag,
            front::QUERY
                | front::PARSE
                | front::BIND
                | front::DESCRIBE
                | front::EXECUTE
                | front::FUNCTION_CALL
        );
        if !(self.over && starts && matches!(self.stage, Stage::Leased(_))) {
            return Ok(());
        }
        self.over = false;
        let now = self.last_time();
        self.handle.about.set_requested(now);
        self.leased_at = Some(now);
        self.tell_next();
        self.tenancy.as_ref().map_or(Ok(()), |tenancy| tenancy.begin())
    }

    /// Tells others what the client keeps its connection for.
    pub(super) fn note_pin(&self) {
        let Stage::Leased(lease) = &self.stage else { return };
        let held = lease.kept_for();
        if self.handle.set_pinned(held) {
            let (client, server, pool) = (self.handle.id, lease.id(), self.pool.key());
            if held.any() {
                tracing::debug!(%client, %server, %pool, reasons = %held.pin_words(), "the client keeps its server connection");
            } else {
                tracing::debug!(%client, %server, %pool, "the client keeps its server connection no more");
            }
        }
    }

    /// The server connection is lost.
    pub(super) fn lost(&mut self, loss: &Loss) -> End {
        let Stage::Leased(lease) = &mut self.stage else { return End::Error(loss.to_pg_error()) };
        lease.set_broken();
        tracing::warn!(client = %self.handle.id, server = %lease.id(), pool = %self.pool.key(), %loss, "server connection lost");
        let held = lease.kept_for();
        if !held.any() {
            return End::Error(loss.to_pg_error());
        }
        // To its client it is the server itself.
        let gone = format!("What was kept on it is gone: {}.", held.pin_words());
        End::Error(match loss {
            Loss::Fatal(code, text) => {
                let mut error = PgError::fatal("57P01", text.clone()).detail(gone);
                error.sqlstate = code.clone().into();
                error
            }
            Loss::Io(_) | Loss::Violation(_) if self.over => {
                PgError::fatal("08006", "server connection lost").detail(gone).hint("Connect again.")
            }
            Loss::Io(_) | Loss::Violation(_) => loss.to_pg_error(),
        })
    }
}
