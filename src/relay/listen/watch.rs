//! `NOTIFY howdah_invalidate`: what others tell the cache.

use std::sync::Arc;

use crate::cache::{Database, Source};

/// The channel. The payload is a table, `schema.table`, a tag, or `*`.
pub(super) const CHANNEL: &[u8] = b"howdah_invalidate";

/// A cache that listens by the connection of its database's clients.
#[derive(Debug)]
pub(super) struct Watch {
    cache: Arc<Database>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The connection must be told.
    Due,
    /// It has been told.
    Told,
    Listening,
    /// It would not: on this connection it is not asked again.
    Refused,
}

impl Watch {
    pub(super) fn new(cache: &Arc<Database>) -> Self {
        Self { cache: Arc::clone(cache), state: State::Due }
    }

    pub(super) fn cache(&self) -> &Arc<Database> {
        &self.cache
    }

    /// The connection is to be told now.
    pub(super) fn tell(&mut self) -> bool {
        let due = self.state == State::Due;
        if due {
            self.state = State::Told;
        }
        due
    }

    /// It has answered.
    pub(super) fn told(&mut self, refused: Option<&str>) {
        if let Some(error) = refused {
            let database = self.cache.id();
            tracing::warn!(%database, %error, "the cache cannot listen to howdah_invalidate");
            self.state = State::Refused;
            return;
        }
        self.state = State::Listening;
        // Nobody knows what was said before.
        self.cache.invalidate_all(Source::Notify);
    }

    /// The connection is lost.
    pub(super) fn lost(&mut self) {
        if std::mem::replace(&mut self.state, State::Due) == State::Listening {
            self.cache.invalidate_all(Source::Notify);
        }
    }
}

/// What a `NotificationResponse` on [`CHANNEL`] says; `body` is what follows its length.
pub(super) fn heard(cache: &Database, body: &[u8]) {
    let payload = body.get(4..).and_then(crate::wire::c_string);
    let payload = payload.and_then(|(_, rest)| crate::wire::c_string(rest)).map(|(payload, _)| payload);
    match payload.map(std::str::from_utf8) {
        Some(Ok(word)) => {
            cache.invalidate_word(word, Source::Notify);
        }
        // What cannot be read may mean anything.
        _ => {
            cache.invalidate_all(Source::Notify);
        }
    }
}
