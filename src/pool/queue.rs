//! Waiting clients, first come, first served. Pure. A fair queue can take its place: the pool uses these
//! four functions only.

use std::collections::BTreeMap;

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The queue.
#[derive(Debug)]
pub struct Queue<T> {
    next: u64,
    waiting: BTreeMap<Ticket, T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { next: 0, waiting: BTreeMap::new() }
    }
}

impl<T> Queue<T> {
    /// Takes a place at the end.
    pub fn push(&mut self, waiter: T) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.insert(ticket, waiter);
        ticket
    }

    /// Whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        self.waiting.pop_first().map(|(_, waiter)| waiter)
    }

    /// Leaves the queue; `None` if it was this one's turn already.
    pub fn remove(&mut self, ticket: Ticket) -> Option<T> {
        self.waiting.remove(&ticket)
    }

    /// Takes out all that are to go, in order.
    pub fn extract(&mut self, go: impl FnMut(&Ticket, &mut T) -> bool) -> Vec<T> {
        self.waiting.extract_if(.., go).map(|(_, waiter)| waiter).collect()
    }

    /// The one whose turn is next.
    pub fn first(&self) -> Option<&T> {
        self.waiting.first_key_value().map(|(_, waiter)| waiter)
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
