//! A server connection on loan.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::core::Pool;
use crate::backend::Backend;
use crate::sql::Leaves;

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
    pub(super) fn new(pool: Arc<Pool>, mut backend: Box<Backend>, worker: usize) -> Self {
        // A socket that stays with another worker's reactor works, but each of its wake-ups crosses threads.
        if let Err(error) = backend.move_to(worker) {
            tracing::warn!(pool = %pool.key(), %error, "a server socket could not be moved");
        }
        let kind = pool.lease_kind();
        Self { pool, backend: Some(backend), kind }
    }

    /// How long it lasts.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// A transaction is over: whether what is left in the session keeps its client on this connection, if `pins`.
    pub fn pin(&mut self, pins: bool) {
        if self.kind == Kind::Pinned(PinReason::SessionMode) || !pins {
            return;
        }
        let held = self.backend.as_ref().map_or(Leaves::NOTHING, |backend| backend.session.held());
        self.kind = if held.any() { Kind::Pinned(PinReason::Left(held)) } else { Kind::Transaction };
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
        if let Some(backend) = self.backend.take() {
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
