//! Clients that listen: one listening connection for each database, and what a session does about it.
//!
//! `session` knows what a client listens to and when that changes ([`crate::session::Listening`]); the hub of its
//! database really listens. A `ReadyForQuery` behind such a change is held until the hub has confirmed it. A client
//! that listens and notifies gets its own notifications before that, as from a server: an empty query on the
//! listening connection is answered behind all that was notified before.

mod hub;
mod inbox;
mod serve;
mod watch;

use std::sync::Arc;

use super::buffer;
use super::clients::Wish;
use super::session::{End, Preparing, Session, Stage};
use crate::session::Due;
use crate::wire::PgError;
pub(super) use hub::Hubs;
use hub::{Hub, Request};
use inbox::{Inbox, MOST_WAITING};

/// Notifications are moved in pieces of about so many bytes.
const PIECE: usize = 64 << 10;

/// What a session needs that listens.
#[derive(Debug)]
pub(super) struct Listener {
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
    waiting: Option<Waiting>,
}

/// What a held `ReadyForQuery` waits for.
#[derive(Debug)]
struct Waiting {
    request: Arc<Request>,
    /// The server process whose notifications are the client's own.
    own: Option<u32>,
    /// Nothing is held: a frame waits to go out.
    early: bool,
}

impl Listener {
    fn new(hub: Arc<Hub>, inbox: Arc<Inbox>) -> Self {
        hub.metrics.clients.inc();
        Self { hub, inbox, waiting: None }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.inbox.close();
        self.hub.metrics.clients.dec();
    }
}

impl Session {
    /// Sees to what is due before a `ReadyForQuery` that is held goes out. Call it when the server has spoken.
    pub(super) fn settle_listening(&mut self) {
        let Some(listening) = self.front.listening().filter(|listening| listening.is_held()) else { return };
        if self.listener.as_ref().is_some_and(|listener| listener.waiting.is_some()) {
            return;
        }
        let mark = listening.is_early();
        let due = listening.due();
        if let Some(listener) = &self.listener {
            listener.hub.remove(&listener.inbox, &due.remove);
        }
        let outcome = if due.is_immediate() { Ok(None) } else { self.ask(due, false, mark) };
        match outcome {
            Ok(None) => self.let_go(None, None),
            Ok(Some(waiting)) => {
                if let Some(listener) = &mut self.listener {
                    listener.waiting = Some(waiting);
                }
            }
            Err(error) => self.let_go(Some(&error), None),
        }
    }

    fn ask(&mut self, due: Due, early: bool, mark: bool) -> Result<Option<Waiting>, PgError> {
        for channel in &due.add {
            if channel.is_empty() || std::str::from_utf8(channel).is_err() {
                return Err(PgError::error("22021", "the name of the channel is not UTF-8")
                    .hint("Channels are shared by all clients, whatever their client_encoding: use UTF8, or a plain name."));
            }
        }
        let Stage::Leased(lease) = &self.stage else { return Ok(None) };
        let pool = Arc::clone(lease.pool());
        let own = due.fence.then(|| lease.handle.cancel.pid());
        let listener = self.listener.get_or_insert_with(|| {
            let hub = self.shared.hubs.of(&pool.key().database);
            Box::new(Listener::new(hub, Inbox::new(Arc::clone(&self.handle))))
        });
        let request = listener.hub.ask(&listener.inbox, due.add, mark, &pool, self.worker)?;
        Ok(Some(Waiting { request, own, early }))
    }

    /// The server connection must stay: what comes of its process is the client's own.
    pub(super) fn keeps_for_listening(&self) -> bool {
        let waiting = self.listener.as_ref().and_then(|listener| listener.waiting.as_ref());
        waiting.is_some_and(|waiting| waiting.own.is_some() || waiting.early)
    }

    /// The client's frames must wait for the hub.
    pub(super) fn waits_for_hub(&self) -> bool {
        self.front.is_held() || self.listener.as_ref().is_some_and(|listener| listener.waiting.is_some())
    }

    /// Listens to what the next frame wants to be listened to before it goes out. True if it can go on at once.
    pub(super) fn listen_first(&mut self) -> bool {
        let wanted = self.front.listening().map(crate::session::Listening::take_wanted).unwrap_or_default();
        if wanted.is_empty() {
            return false;
        }
        let due = Due { add: wanted.clone(), ..Due::default() };
        if let Ok(Some(waiting)) = self.ask(due, true, false)
            && let Some(listener) = &mut self.listener
        {
            listener.waiting = Some(waiting);
            return false;
        }
        // Why not, the client hears when it commits.
        if let Some(listening) = self.front.listening() {
            listening.listens_early(&wanted);
        }
        true
    }

    /// Goes on when the hub has answered, and passes on what came for the client. True if anything was done.
    pub(super) fn poll_listening(&mut self) -> Result<bool, End> {
        let Some(listener) = &mut self.listener else { return Ok(false) };
        if self.handle.has_wish(Wish::Full) {
            return Err(PgError::fatal("54000", "too many notifications wait for this client")
                .detail(format!(
                    "More than {MOST_WAITING} bytes wait: it does not read, or stays in a transaction."
                ))
                .into());
        }
        if let Some(waiting) = &listener.waiting {
            let Some(outcome) = waiting.request.take_outcome() else { return Ok(false) };
            let Some(waiting) = listener.waiting.take() else { return Ok(false) };
            if let Some(listening) = self.front.listening() {
                self.handle.take_mail();
                listener.inbox.take(usize::MAX, |message| listening.put(message));
                let channels = &waiting.request.channels;
                if waiting.early {
                    listening.listens_early(channels);
                } else if outcome.is_ok() {
                    listening.drop_before_mark(channels, waiting.own);
                    listening.confirm(channels.clone());
                }
            }
            if !waiting.early {
                self.let_go(outcome.as_ref().err(), waiting.own.map(|server| (server, self.handle.pid)));
                self.release()?;
            }
            self.continue_client()?;
            return Ok(true);
        }
        Ok(self.deliver())
    }

    /// Sends the `ReadyForQuery` that was held, behind what came before it.
    fn let_go(&mut self, error: Option<&PgError>, own: Option<(u32, u32)>) {
        buffer::lend(&mut self.out.bytes);
        if let Some(error) = error {
            error.write(&mut self.out.bytes);
        }
        if let Some(listening) = self.front.listening() {
            let ready = listening.let_go().unwrap_or_default();
            if ready.last() == Some(&b'I') {
                listening.write_mail(own, &mut self.out.bytes);
            }
            self.out.bytes.extend_from_slice(&ready);
        }
        self.count_delivered();
        self.end_idle_listener();
    }

    /// A client that listens to nothing any more costs nothing any more.
    fn end_idle_listener(&mut self) {
        let listens = self.front.listening().is_some_and(|listening| !listening.channels().is_empty());
        if !listens {
            self.listener = None;
            self.front.forget_listening();
        }
    }

    fn count_delivered(&mut self) {
        if let (Some(listener), Some(listening)) = (&self.listener, self.front.listening()) {
            let delivered = listening.take_delivered();
            if delivered > 0 {
                listener.hub.metrics.delivered.inc_by(delivered);
            }
        }
    }

    /// Takes what came for the client, so that it goes out before the next `ReadyForQuery` outside of a transaction.
    pub(super) fn collect(&mut self) {
        let Some(listener) = &self.listener else { return };
        let Some(listening) = self.front.listening().filter(|listening| !listening.has_mail()) else {
            return;
        };
        if self.handle.take_mail() && !listener.inbox.take(PIECE, |message| listening.put(message)) {
            self.handle.leave_mail();
        }
    }

    /// Between two transactions: passes on what came for the client.
    fn deliver(&mut self) -> bool {
        let at_rest = match &self.stage {
            Stage::Resting => !self.front.is_skipping(),
            Stage::Waiting(_) => false,
            Stage::Leased(lease) => {
                self.preparing == Preparing::Done
                    && lease.session.is_quiet()
                    && lease.session.status() == b'I'
            }
        };
        if !at_rest || self.streaming > 0 || self.out.bytes.len() > PIECE {
            return false;
        }
        self.collect();
        let Some(listening) = self.front.listening().filter(|listening| listening.has_mail()) else {
            return false;
        };
        buffer::lend(&mut self.out.bytes);
        listening.write_mail(None, &mut self.out.bytes);
        self.count_delivered();
        true
    }

    /// The session ends, or goes on in another database: nobody is to write to it any more.
    pub(super) fn leave_listening(&mut self) {
        let Some(listener) = self.listener.take() else { return };
        if let Some(listening) = self.front.listening() {
            listener.hub.remove(&listener.inbox, &listening.subscribed());
            listening.forget();
        }
    }

    /// The client's transactions run in this database from now on. Channels of another one are not its any more.
    pub(super) fn listen_in(&mut self, database: &str) {
        if self.listener.as_ref().is_some_and(|listener| *listener.hub.database != *database) {
            self.leave_listening();
        }
    }
}
