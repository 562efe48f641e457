//! A server connection on loan.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::{Pool, Want};
use crate::backend::Backend;
use crate::ids::PinMode;
use crate::session::left_behind;
use crate::sql::Leaves;
use crate::wire::{PgError, Severity};

/// Why a client keeps its server connection beyond the end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinReason {
    /// `pool_mode = "session"`.
    SessionMode,
    /// Something of its client's is in the session that cannot be carried to another.
    Left(Leaves),
}

/// How long a loan lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Until the transaction ends.
    Transaction,
    /// Until the reason ends.
    Pinned(PinReason),
}

/// A server connection on loan. Dropped without a word it is closed: only [`Lease::release`] and
/// [`Lease::recover`] bring it back.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    backend: Option<Box<Backend>>,
    kind: Kind,
}

impl Lease {
    pub(super) fn new(pool: Arc<Pool>, mut backend: Box<Backend>, want: &Want) -> Self {
        // A socket that stays with another worker's reactor works, but each of its wake-ups crosses threads.
        if let Err(error) = backend.move_to(want.worker) {
            tracing::warn!(pool = %pool.key(), %error, "a server socket could not be moved");
        }
        if backend.last_client.replace(want.client).is_some_and(|last| last != want.client) {
            backend.session.change_hands();
        }
        backend.handle.set_client(want.client);
        pool.lent.fetch_add(1, Ordering::Relaxed);
        let kind = pool.lease_kind();
        Self { pool, backend: Some(backend), kind }
    }

    /// How long it lasts.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// A transaction is over: whether what is left in the session keeps its client on this connection, if `pins`.
    ///
    /// # Errors
    /// What is left may not keep it; the session must end with this. 0A000: `pin = "refuse"`; 53300: too many do.
    pub fn pin(&mut self, pins: bool) -> Result<(), PgError> {
        if self.kind == Kind::Pinned(PinReason::SessionMode) || !pins {
            return Ok(());
        }
        let gate = Arc::clone(self.pool.gate());
        let session = &mut self.session;
        let held = session.held();
        let Some(reason) = held.first_pin().filter(|_| gate.mode() != PinMode::Never) else {
            session.count_pin();
            self.kind = Kind::Transaction;
            return Ok(());
        };
        // What is not known is asked again after the next transaction; until then nobody else may have it.
        let known = !session.is_blind();
        if known && gate.mode() == PinMode::Refuse {
            return Err(left_behind(held));
        }
        if known && !session.keep_place(&gate) {
            return Err(gate.full().with_severity(Severity::Fatal));
        }
        session.count_pin();
        if self.kind == Kind::Transaction
            && let Some(pins) = self.pool.metrics().pins.get(reason)
        {
            pins.inc();
        }
        self.kind = Kind::Pinned(PinReason::Left(held));
        Ok(())
    }

    /// What its client keeps it for, beside session mode.
    pub fn kept_for(&self) -> Leaves {
        match self.kind {
            Kind::Pinned(PinReason::Left(held)) => held,
            Kind::Pinned(PinReason::SessionMode) | Kind::Transaction => Leaves::NOTHING,
        }
    }

    /// The tenant whose traces may be on the connection; `None` if nobody has used it. Borrowing it changes
    /// nothing of that: see [`Self::used_by_borrower`].
    pub fn last_tenant(&self) -> Option<u64> {
        self.backend.as_ref().and_then(|backend| backend.tenant)
    }

    /// The tenant that it is lent to uses it now: there is nothing of another on it that must not be there. Whoever
    /// gives it back without having come so far leaves the traces of the one before to be cleaned.
    pub fn used_by_borrower(&mut self) {
        if let Some(backend) = &mut self.backend {
            backend.tenant = backend.lent_to;
        }
    }

    /// The pool that lent it.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Back to the pool, for whoever is next; closed if it is not fit to be used again.
    pub fn release(mut self) {
        if let Some(backend) = self.backend.take() {
            self.pool.give_back(backend);
        }
    }

    /// The client is gone, or the connection must be cleaned: brings it to rest in a task of its own, or
    /// closes it. `reset` runs `server_reset_query` first.
    pub fn recover(mut self, reset: bool) {
        if let Some(mut backend) = self.backend.take() {
            if backend.session.held().has(Leaves::LIBRARY) {
                backend.set_broken(); // nothing takes that out of the process again
            }
            super::recover::spawn(Arc::clone(&self.pool), backend, reset);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(mut backend) = self.backend.take() {
            backend.set_broken();
            self.pool.give_back(backend);
        }
    }
}

impl Deref for Lease {
    type Target = Backend;

    #[allow(clippy::expect_used)] // taken only by functions that consume the lease
    fn deref(&self) -> &Backend {
        self.backend.as_deref().expect("a lease has its connection until it ends")
    }
}

impl DerefMut for Lease {
    #[allow(clippy::expect_used)] // as above
    fn deref_mut(&mut self) -> &mut Backend {
        self.backend.as_deref_mut().expect("a lease has its connection until it ends")
    }
}
