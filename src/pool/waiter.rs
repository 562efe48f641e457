//! A client that waits for a server connection.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::core::{Pool, Want};
use super::lease::Lease;
use super::queue::Ticket;
use crate::backend::Backend;
use crate::wire::PgError;

/// Where the pool puts what a waiter waits for.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) since: Instant,
    pub(super) want: Want,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    result: Option<Result<Box<Backend>, PgError>>,
    waker: Option<Waker>,
    /// Nobody will look here any more.
    gone: bool,
}

impl Cell {
    pub(super) fn new(want: Want) -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), want, state: Mutex::default() })
    }

    /// Hands it over and wakes the waiter. If it is gone, what it would have got comes back.
    pub(super) fn deliver(&self, result: Result<Box<Backend>, PgError>) -> Option<Box<Backend>> {
        let mut state = self.state.lock();
        if state.gone {
            return result.ok();
        }
        state.result = Some(result);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }

    /// Says that there will be none.
    pub(super) fn refuse(&self, error: PgError) {
        self.deliver(Err(error));
    }
}

/// A place in the pool's queue. Dropped, it gives up the place, and gives back a connection that was already
/// on its way.
#[derive(Debug)]
pub struct Waiter {
    pub(super) pool: Arc<Pool>,
    pub(super) cell: Arc<Cell>,
    pub(super) ticket: Ticket,
}

impl Waiter {
    /// Ready when it is this client's turn, or when there is no hope.
    ///
    /// # Errors
    /// 53300 after `query_wait_timeout`, 57P03 when the server is unreachable, the server's own when it
    /// refuses Howdah's login.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Lease, PgError>> {
        let mut state = self.cell.state.lock();
        if let Some(result) = state.result.take() {
            drop(state);
            Poll::Ready(result.map(|backend| Lease::new(Arc::clone(&self.pool), backend, &self.cell.want)))
        } else {
            if state.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
            Poll::Pending
        }
    }

    /// When the waiting began.
    pub fn since(&self) -> Instant {
        self.cell.since
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.pool.leave_queue(self.ticket);
        let mut state = self.cell.state.lock();
        state.gone = true;
        let result = state.result.take();
        drop(state);
        if let Some(Ok(backend)) = result {
            self.pool.give_back(backend);
        }
    }
}
