//! Waiting for an answer that another client fetches.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use super::{Answered, Session};
use crate::cache::{Outcome, Waiter};
use crate::relay::session::End;

/// A client that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    waiter: Waiter,
    until: Pin<Box<Sleep>>,
}

impl Waiting {
    pub(super) fn new(waiter: Waiter, most: Duration) -> Self {
        Self { waiter, until: Box::pin(tokio::time::sleep(most)) }
    }
}

impl Session {
    pub(super) fn wait_for(&mut self, waiting: Box<Waiting>) -> Answered {
        let cached = self.cached.get_or_insert_default();
        cached.waiting = Some(waiting);
        self.handle.set_waiting(); // a cancel request ends it
        Answered::Wait
    }

    /// The client's next frame waits for another client's query.
    pub(in crate::relay) fn waits_for_answer(&self) -> bool {
        self.cached.as_ref().is_some_and(|cached| cached.waiting.is_some())
    }

    /// It waits no more. True if it did.
    pub(in crate::relay) fn stop_waiting(&mut self) -> bool {
        self.cached.as_mut().is_some_and(|cached| cached.waiting.take().is_some())
    }

    /// Goes on if what was waited for is there, or will not be. True if so.
    pub(in crate::relay) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Some(cached) = self.cached.as_deref_mut() else { return Ok(false) };
        let Some(waiting) = &mut cached.waiting else { return Ok(false) };
        match waiting.waiter.poll(cx) {
            Poll::Ready(Outcome::Stored) => {}
            Poll::Ready(Outcome::Lead(ticket)) => cached.handed = Some(ticket),
            Poll::Ready(Outcome::Dispersed) => cached.alone = true,
            Poll::Pending if waiting.until.as_mut().poll(cx).is_ready() => cached.alone = true,
            Poll::Pending => return Ok(false),
        }
        cached.waiting = None;
        self.handle.set_idle();
        self.time_passed();
        self.continue_client()?;
        if let Some(cached) = &mut self.cached {
            // For that frame only, and it is gone if there was no more use for it.
            cached.handed = None;
            cached.alone = false;
        }
        Ok(true)
    }
}
