//! Tests of the room.

mod bounds;
mod ends;
mod flights;
mod interleavings;
mod keys;
mod lives;
mod model;
mod plans;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::*;

const LIMITS: Limits = Limits { max_memory: 16 << 20, max_entry: 1 << 20, tenant_share: 1.0, jitter: 0.0 };
const SECOND: Duration = Duration::from_secs(1);

/// One database, and a client in it.
struct House {
    cache: Arc<Cache>,
    database: Arc<Database>,
    account: Arc<Account>,
    now: Instant,
}

impl House {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: Limits) -> Self {
        let cache = Cache::new(limits);
        let database = cache.database("localhost:5432/shop");
        let account = database.account(None);
        Self { cache, database, account, now: Instant::now() }
    }

    fn key(&self, text: &str) -> Key {
        let mut prefix = self.cache.prefix();
        prefix.part(text.as_bytes());
        prefix.key()
    }

    fn need(&self) -> Need<'_> {
        Need { account: &self.account, columns: false, floor: 0, max_age: Duration::MAX, wait: true }
    }

    fn look(&self, text: &str) -> Look {
        self.database.look(self.key(text), self.need(), self.now)
    }

    /// Becomes the one who asks.
    fn lead(&self, text: &str) -> Ticket {
        lead(self.look(text))
    }

    fn wait(&self, text: &str) -> Waiter {
        match self.look(text) {
            Look::Wait(waiter) => waiter,
            other => panic!("not told to wait: {other:?}"),
        }
    }

    fn about(&self, tables: &[&str]) -> About {
        About {
            marks: tables.iter().map(|name| self.database.table("public", name)).collect(),
            ttl: 10 * SECOND,
            stale: Duration::ZERO,
            by_ttl_only: false,
            catalog: self.database.generation_of_catalog(),
            text: "SELECT".into(),
        }
    }

    fn keep(&self, text: &str, tables: &[&str]) {
        let stored = self.lead(text).store(answer(text), self.about(tables), self.now);
        assert_eq!(stored, Stored::Kept);
    }

    /// The body that is served.
    fn hit(&self, text: &str) -> Option<String> {
        let entry = self.database.peek(self.key(text), self.need(), self.now)?;
        Some(String::from_utf8(entry.body().to_vec()).unwrap())
    }

    fn is_hit(&self, text: &str) -> bool {
        self.hit(text).is_some_and(|body| body == text)
    }
}

fn lead(look: Look) -> Ticket {
    match look {
        Look::Lead(ticket) => ticket,
        other => panic!("not told to ask: {other:?}"),
    }
}

fn answer(body: &str) -> Answer {
    Answer { columns: None, body: body.into(), rows: 1 }
}

fn poll(waiter: &mut Waiter) -> Poll<Outcome> {
    waiter.poll(&Context::from_waker(Waker::noop()))
}

/// `Cache`'s own words for what it is asked, so that a model and the room can be compared by them.
fn reason(look: &Look) -> Option<Miss> {
    match look {
        Look::Lead(ticket) => Some(ticket.why()),
        Look::Wait(waiter) => Some(waiter.why()),
        Look::Alone(why) => Some(*why),
        _ => None,
    }
}
