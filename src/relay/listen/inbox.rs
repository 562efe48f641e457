//! What waits for one client that listens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::super::clients::{ClientHandle, Wish};
use crate::ids::ClientId;

/// The most bytes that wait for a client that does not read, or stays in a transaction. The messages are shared with
/// all who get the same.
pub(in crate::relay) const MOST_WAITING: usize = 16 << 20;
/// What a message costs beside its bytes.
const EACH: usize = 64;

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Arc<[u8]>>,
    bytes: usize,
}

/// One client's inbox. Whoever puts something in wakes the client's session.
#[derive(Debug)]
pub(in crate::relay) struct Inbox {
    handle: Arc<ClientHandle>,
    waiting: Mutex<Waiting>,
    closed: AtomicBool,
}

impl Inbox {
    pub(super) fn new(handle: Arc<ClientHandle>) -> Arc<Self> {
        Arc::new(Self { handle, waiting: Mutex::default(), closed: AtomicBool::new(false) })
    }

    pub(super) fn client(&self) -> ClientId {
        self.handle.id
    }

    /// Its client is gone, or listens no more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The session looks after its inbox, and after what it waits for.
    pub(super) fn wake(&self) {
        self.handle.wish(Wish::Mail);
    }

    /// Puts a whole message in.
    pub(super) fn push(&self, message: Arc<[u8]>) {
        if self.is_closed() {
            return;
        }
        let mut waiting = self.waiting.lock();
        waiting.bytes += message.len() + EACH;
        if waiting.bytes > MOST_WAITING {
            *waiting = Waiting::default();
            drop(waiting);
            self.close();
            self.handle.wish(Wish::Full);
            return;
        }
        waiting.messages.push_back(message);
        drop(waiting);
        self.wake();
    }

    /// Takes messages of about so many bytes. False if more are left.
    pub(super) fn take(&self, most: usize, mut put: impl FnMut(Arc<[u8]>)) -> bool {
        let mut waiting = self.waiting.lock();
        let mut taken = 0;
        while taken < most {
            let Some(message) = waiting.messages.pop_front() else { break };
            taken += message.len();
            waiting.bytes = waiting.bytes.saturating_sub(message.len() + EACH);
            put(message);
        }
        let all = waiting.messages.is_empty();
        if all && waiting.messages.capacity() > 0 {
            waiting.messages = VecDeque::new();
        }
        all
    }
}
