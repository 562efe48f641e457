//! What is known of one database that is followed, and what that means for its cache.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pulse::{Pulse, Snapshot, Unseen, Written};
use crate::cache::pgoutput::{Committed, Event, TableName};
use crate::cache::{Database, Source};

/// What the optional event trigger of `howdah sql follow` emits.
const DDL: &[u8] = b"ddl";
/// So many transactions may wait to be visible.
pub(super) const MOST_UNSEEN: usize = 100_000;

/// What is known.
#[derive(Debug)]
pub(super) struct Course {
    cache: Arc<Database>,
    max_lag: Duration,
    inner: Mutex<Inner>,
    /// A transaction was heard of that may not be visible yet.
    committed: Notify,
}

#[derive(Debug)]
struct Inner {
    pulse: Pulse,
    unseen: Unseen,
    /// What the catalogues were last.
    catalogs: Option<String>,
    /// Nothing has been missed since what is kept was stored.
    whole: bool,
    running: bool,
}

/// What a moment brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The cache may be used from now on.
    Resumed,
    /// It may not.
    Lags,
    /// As before.
    Same,
}

impl Course {
    pub(super) fn new(cache: Arc<Database>, max_lag: Duration) -> Self {
        let inner = Inner {
            pulse: Pulse::new(0),
            unseen: Unseen::default(),
            catalogs: None,
            whole: false,
            running: false,
        };
        Self { cache, max_lag, inner: Mutex::new(inner), committed: Notify::new() }
    }

    pub(super) fn max_lag(&self) -> Duration {
        self.max_lag
    }

    /// A new stream begins. `whole`: it goes on where the last one ended.
    pub(super) fn begin(&self, token: u64, whole: bool) {
        let mut inner = self.inner.lock();
        inner.pulse = Pulse::new(token);
        inner.whole &= whole;
        inner.running = false;
        if !inner.whole {
            inner.unseen = Unseen::default();
        }
    }

    /// Nothing is known any more of what is committed from now on.
    pub(super) fn stop(&self, why: &'static str) {
        self.inner.lock().running = false;
        self.cache.pause(why);
    }

    /// The content of the next pulse.
    pub(super) fn pulse(&self, now: Instant) -> String {
        self.inner.lock().pulse.send(now)
    }

    /// Applies what was heard. False if more waits than can be.
    pub(super) fn apply(&self, events: Vec<Event>, now: Instant) -> bool {
        for event in events {
            match event {
                Event::Message(content) => {
                    self.inner.lock().pulse.heard(&content, now);
                }
                Event::Committed(committed) => self.is_committed(committed, now),
            }
        }
        self.unseen() <= MOST_UNSEEN
    }

    fn is_committed(&self, committed: Committed, now: Instant) {
        let Committed { xid, tables, messages, .. } = committed;
        let catalog = messages.iter().any(|content| **content == *DDL);
        let written = Written { xid, tables, catalog };
        self.invalidate(&written);
        // Behind what was committed before it.
        let mut inner = self.inner.lock();
        for content in messages {
            inner.pulse.heard(&content, now);
        }
        if catalog || !written.tables.is_empty() {
            inner.unseen.add(written);
            drop(inner);
            self.committed.notify_one();
        }
    }

    fn invalidate(&self, written: &Written) {
        for table in &written.tables {
            let TableName { schema, name } = &**table;
            self.cache.invalidate_table(Some(schema), name, Source::Replication);
        }
        if written.catalog {
            self.cache.catalog_changed(Source::Replication);
        }
    }

    /// Transactions that may not be visible yet.
    pub(super) fn unseen(&self) -> usize {
        self.inner.lock().unseen.len()
    }

    /// Waits for one.
    pub(super) async fn committed(&self) {
        self.committed.notified().await;
    }

    /// What a snapshot shows that was taken after the first `count` of them were heard of.
    pub(super) fn seen(&self, snapshot: &Snapshot, count: usize) {
        let seen = self.inner.lock().unseen.seen(snapshot, count);
        for written in &seen {
            self.invalidate(written);
        }
    }

    /// What the catalogues are now.
    pub(super) fn looked(&self, catalogs: String) {
        let mut inner = self.inner.lock();
        let other = inner.catalogs.as_ref() != Some(&catalogs);
        if other {
            inner.catalogs = Some(catalogs);
            drop(inner);
            self.cache.catalog_changed(Source::Replication);
        }
    }

    /// Pauses what lags too far, and goes on with what has caught up.
    pub(super) fn turn(&self, now: Instant) -> Turn {
        let mut inner = self.inner.lock();
        let Some(caught_up) = inner.pulse.caught_up() else { return Turn::Same };
        let in_time = now.saturating_duration_since(caught_up) <= self.max_lag;
        if in_time == inner.running {
            return Turn::Same;
        }
        inner.running = in_time;
        if in_time {
            // What comes by the same stream is whole from now on, whatever it lags.
            let whole = std::mem::replace(&mut inner.whole, true);
            drop(inner);
            self.cache.resume(whole);
            Turn::Resumed
        } else {
            drop(inner);
            self.cache.pause("the replication stream lags");
            Turn::Lags
        }
    }

    /// When the cache must pause if no pulse comes back before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let inner = self.inner.lock();
        inner.running.then(|| inner.pulse.caught_up().map(|at| at + self.max_lag)).flatten()
    }

    /// How far the stream is behind.
    pub(super) fn lag(&self, now: Instant) -> Duration {
        self.inner.lock().pulse.lag(now)
    }
}
