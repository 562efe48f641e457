//! All clients: for cancel requests, for shutting down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::Context;

use atomic_waker::AtomicWaker;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::time::Instant;
use tracing::debug;

use super::about::{About, Running};
use crate::backend::BackendHandle;
use crate::ids::ClientId;
use crate::sql::Leaves;
use crate::wire::CancelRequest;

/// A wish of somebody else's about a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Cancel what waits for a connection.
    Cancel = 1,
    /// End when no transaction is open.
    Drain = 2,
    /// End now.
    End = 4,
    /// Something came for a client that listens, or what it waits for is done.
    Mail = 8,
    /// Too much waits for a client that listens.
    Full = 16,
}

/// The session was woken for a wish, and its waker is used up.
const WOKEN: u8 = 128;

/// What others may know of a client.
#[derive(Debug)]
pub struct ClientHandle {
    /// Its number, for logs.
    pub id: ClientId,
    /// What its `BackendKeyData` said.
    pub pid: u32,
    secret: [u8; 32],
    secret_len: u8,
    wishes: AtomicU8,
    waker: AtomicWaker,
    pub(super) about: About,
    /// What it keeps its server connection for, as [`Leaves::bits`].
    pinned: AtomicU32,
}

impl ClientHandle {
    /// What it keeps its server connection for beyond its transactions, in words; `None`: it does not.
    pub fn pinned(&self) -> Option<String> {
        let held = Leaves::from_bits(self.pinned.load(Ordering::Relaxed));
        held.any().then(|| held.pin_words())
    }

    /// Notes what it keeps its server connection for. True if it was something else before.
    pub(super) fn set_pinned(&self, held: Leaves) -> bool {
        self.pinned.swap(held.bits(), Ordering::Relaxed) != held.bits()
    }

    /// The secret half of its cancel key.
    pub fn secret(&self) -> &[u8] {
        self.secret.get(..usize::from(self.secret_len)).unwrap_or_default()
    }

    pub(super) fn wish(&self, wish: Wish) {
        self.wishes.fetch_or(wish as u8 | WOKEN, Ordering::AcqRel);
        self.waker.wake();
    }

    /// True when there may be a wish to heed; sees to it that the next one wakes the session again.
    pub(super) fn poll_wishes(&self, cx: &Context<'_>) -> bool {
        let wishes = self.wishes.load(Ordering::Acquire);
        if wishes & WOKEN != 0 {
            self.waker.register(cx.waker());
            self.wishes.fetch_and(!WOKEN, Ordering::AcqRel);
        }
        wishes != 0
    }

    /// Another task heeds the wishes from now on: with its next poll it is the one to wake.
    pub(super) fn hand_over(&self) {
        self.wishes.fetch_or(WOKEN, Ordering::AcqRel);
    }

    pub(super) fn has_wish(&self, wish: Wish) -> bool {
        self.wishes.load(Ordering::Acquire) & wish as u8 != 0
    }

    /// True once after each wish to cancel.
    pub(super) fn take_cancel(&self) -> bool {
        self.has_wish(Wish::Cancel)
            && self.wishes.fetch_and(!(Wish::Cancel as u8), Ordering::AcqRel) & Wish::Cancel as u8 != 0
    }

    /// True when something came since this was asked last.
    pub(super) fn take_mail(&self) -> bool {
        self.has_wish(Wish::Mail)
            && self.wishes.fetch_and(!(Wish::Mail as u8), Ordering::AcqRel) & Wish::Mail as u8 != 0
    }

    /// Not all of what came was taken.
    pub(super) fn leave_mail(&self) {
        self.wishes.fetch_or(Wish::Mail as u8, Ordering::AcqRel);
    }

    pub(super) fn set_waiting(&self) {
        // A cancel request that came too late for an earlier query is not for this one.
        self.wishes.fetch_and(!(Wish::Cancel as u8), Ordering::AcqRel);
        self.about.set_waiting();
    }

    pub(super) fn set_running(&self, backend: &Arc<BackendHandle>, at: Instant) {
        self.about.set_running(backend, at);
    }

    pub(super) fn set_idle(&self) {
        self.about.set_idle();
    }

    /// Cancels what the client runs now. A connection that a request is on its way to is given to nobody
    /// else before it has arrived.
    async fn cancel(&self) {
        let target = self.about.with_running(|running| match running {
            Running::Nothing => None,
            Running::Waiting => {
                self.wish(Wish::Cancel);
                None
            }
            Running::On(backend) => Some((Arc::clone(backend), backend.begin_cancel())),
        });
        let Some((backend, cancelling)) = target else { return };
        if let Err(error) = backend.cancel.send().await {
            tracing::warn!(server = %backend.id, %error, "a cancel request did not reach the server");
        }
        drop(cancelling);
    }
}

/// All clients that are logged in.
#[derive(Debug, Default)]
pub struct Clients {
    by_pid: DashMap<u32, Arc<ClientHandle>>,
    next: AtomicU64,
    count: AtomicUsize,
}

impl Clients {
    /// A number for a connection that has just been accepted.
    pub fn next_id(&self) -> ClientId {
        ClientId(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Takes a place among at most `max`; [`Clients::leave`] gives it back.
    pub(super) fn enter(&self, max: usize) -> bool {
        self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1)).is_ok()
    }

    /// Gives a place back.
    pub(super) fn leave(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    /// Makes the cancel key of a client. `None` without random numbers.
    pub(super) fn register(
        &self,
        id: ClientId,
        secret_len: usize,
        about: About,
    ) -> Option<Arc<ClientHandle>> {
        let mut secret = [0; 32];
        rand::fill(&mut secret).ok()?;
        loop {
            let mut pid = [0; 4];
            rand::fill(&mut pid).ok()?;
            // Positive, as real process ids are: some drivers read it as a signed number.
            let pid = u32::from_be_bytes(pid) >> 1;
            if let Entry::Vacant(place) = self.by_pid.entry(pid) {
                let handle = Arc::new(ClientHandle {
                    id,
                    pid,
                    secret,
                    secret_len: u8::try_from(secret_len.min(32)).unwrap_or(32),
                    wishes: AtomicU8::new(WOKEN),
                    waker: AtomicWaker::new(),
                    about,
                    pinned: AtomicU32::new(0),
                });
                place.insert(Arc::clone(&handle));
                return Some(handle);
            }
        }
    }

    pub(super) fn remove(&self, handle: &ClientHandle) {
        self.by_pid.remove(&handle.pid);
    }

    /// Passes a cancel request on; returns when it has reached the server. Says nothing of whether the key
    /// was right, as Postgres does.
    pub async fn cancel(&self, request: &CancelRequest) -> bool {
        let Some(handle) = self.by_pid.get(&request.pid).map(|entry| Arc::clone(&entry)) else {
            debug!(pid = request.pid, "cancel request for nobody");
            return false;
        };
        if verify_slices_are_equal(handle.secret(), &request.secret).is_err() {
            tracing::warn!(client = %handle.id, "cancel request with a wrong key");
            return false;
        }
        handle.cancel().await;
        true
    }

    /// All of them, in no order.
    pub(super) fn handles(&self) -> Vec<Arc<ClientHandle>> {
        self.by_pid.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    fn wish(&self, wish: Wish) {
        for handle in self.handles() {
            handle.wish(wish);
        }
    }

    /// Asks every session to end when its transaction does.
    pub fn drain(&self) {
        self.wish(Wish::Drain);
    }

    /// Asks every session to end now.
    pub fn end(&self) {
        self.wish(Wish::End);
    }
}
