//! Waiting clients, first come, first served. Pure. A fair queue can take its place: the pool uses these
//! four functions only.

use std::collections::VecDeque;

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The queue. Tickets in it are in order.
#[derive(Debug)]
pub struct Queue<T> {
    next: u64,
    waiting: VecDeque<(Ticket, T)>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { next: 0, waiting: VecDeque::new() }
    }
}

impl<T> Queue<T> {
    /// Takes a place at the end.
    pub fn push(&mut self, waiter: T) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.push_back((ticket, waiter));
        ticket
    }

    /// Whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        self.waiting.pop_front().map(|(_, waiter)| waiter)
    }

    /// Leaves the queue; `None` if it was this one's turn already.
    pub fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let at = self.waiting.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()?;
        self.waiting.remove(at).map(|(_, waiter)| waiter)
    }

    /// Takes out all that are to go, in order.
    pub fn extract(&mut self, mut go: impl FnMut(&T) -> bool) -> Vec<T> {
        let (gone, stay): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, waiter)| go(waiter));
        self.waiting = stay;
        gone.into_iter().map(|(_, waiter)| waiter).collect()
    }

    /// The one whose turn is next.
    pub fn first(&self) -> Option<&T> {
        self.waiting.front().map(|(_, waiter)| waiter)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// True when nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
