//! The listening connection: making it, telling it what to listen to, and passing on what it hears.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::hub::{Batch, Hub};
use crate::backend::{Backend, ConnectError, Loss};
use crate::pool::DatabasePlace;
use crate::wire::{self, ErrorFields, PgError, Severity, Side, back};

/// The first wait after a failed attempt to connect, and the longest.
const BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait while only the cache needs the connection.
const PATIENT_BACKOFF: Duration = Duration::from_secs(30);
/// The connection ends when nobody has listened for so long.
const LINGER: Duration = Duration::from_secs(30);
/// A connection that has said nothing for so long is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(30);
/// It must answer within this.
const ANSWER: Duration = Duration::from_secs(15);
/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);
/// What is read at once.
const READ: usize = 64 << 10;

/// Tells the hub when the task ends otherwise than by retiring.
struct Running {
    hub: Arc<Hub>,
    retired: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.retired {
            self.hub.abandon();
        }
    }
}

/// Listens for a hub until nobody needs it.
pub(super) async fn run(hub: Arc<Hub>, place: DatabasePlace, worker: usize) {
    let _place = place;
    let mut running = Running { hub: Arc::clone(&hub), retired: false };
    while let Some(server) = connect(&hub, worker).await {
        tracing::debug!(database = %hub.database, server = %server.id(), "listening connection made");
        let mut listener = Listener { hub: &hub, server, unread: Vec::new(), told: None, error: None };
        let Err(why) = listener.run().await else {
            listener.server.terminate();
            break;
        };
        tracing::warn!(database = %hub.database, %why, "listening connection lost");
        hub.lost(listener.told.take().map(|(batch, _)| batch));
    }
    running.retired = true;
}

/// A connection, whatever it takes. `None`: nobody needs it any more; then the hub is retired.
async fn connect(hub: &Arc<Hub>, worker: usize) -> Option<Box<Backend>> {
    let mut backoff = BACKOFF;
    loop {
        if hub.retire() {
            return None;
        }
        let pool = hub.pool()?;
        let mut attempt = pool.connect(worker);
        let error = loop {
            let overdue = wait_for(hub.deadline());
            tokio::select! {
                made = &mut attempt => match made {
                    Ok(server) => return Some(server),
                    Err(error) => break error,
                },
                () = overdue => hub.refuse(false, &late()),
                () = hub.changed.notified() => {}
            }
        };
        tracing::warn!(database = %hub.database, %error, "no connection to listen on");
        let refusal = error.to_pg_error().with_severity(Severity::Error);
        if error.is_final() {
            hub.refuse(true, &refusal);
        }
        let mut again = Instant::now() + backoff;
        backoff = (backoff * 2).min(if hub.is_patient() { PATIENT_BACKOFF } else { MAX_BACKOFF });
        while Instant::now() < again {
            tokio::select! {
                () = sleep_until(again) => {}
                () = wait_for(hub.deadline()) => hub.refuse(false, &refusal),
                () = hub.changed.notified() => {
                    if !hub.is_patient() {
                        again = again.min(Instant::now() + MAX_BACKOFF);
                    }
                }
            }
        }
    }
}

/// What is said to those who have waited for too long.
fn late() -> PgError {
    ConnectError::Timeout.to_pg_error().with_severity(Severity::Error)
}

async fn wait_for(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A connection that listens.
struct Listener<'a> {
    hub: &'a Hub,
    server: Box<Backend>,
    /// The beginning of a message that is not whole.
    unread: Vec<u8>,
    /// What it was told and has not answered, and when.
    told: Option<(Batch, Instant)>,
    /// What it has answered to that so far, if it is an error.
    error: Option<PgError>,
}

impl Listener<'_> {
    /// Until nobody has listened for a while.
    ///
    /// # Errors
    /// Why the connection is lost.
    async fn run(&mut self) -> Result<(), Loss> {
        let mut buf = vec![0; READ];
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut idle_since = None;
        self.tell(self.hub.first_batch());
        loop {
            if self.told.is_none()
                && let Some(batch) = self.hub.next_batch()
            {
                self.tell(batch);
            }
            let (server, hub) = (&mut self.server, self.hub);
            tokio::select! {
                read = poll_fn(|cx| poll(server, cx, &mut buf)) => {
                    heard = Instant::now();
                    self.hear(buf.get(..read?).unwrap_or_default())?;
                }
                () = hub.changed.notified() => {}
                _ = ticks.tick() => hub.refuse(false, &late()),
            }
            let now = Instant::now();
            if let Some((_, since)) = &self.told {
                if now.duration_since(*since) > ANSWER && now.duration_since(heard) > ANSWER {
                    return Err(Loss::Io(std::io::ErrorKind::TimedOut));
                }
            } else if now.duration_since(heard) > SILENCE {
                self.tell((Batch::default(), Vec::new()));
            }
            if self.told.is_none() && hub.is_idle() {
                let since = *idle_since.get_or_insert(now);
                let over = now.duration_since(since) > LINGER || hub.is_closing();
                if over && hub.retire() {
                    return Ok(());
                }
            } else {
                idle_since = None;
            }
        }
    }

    fn tell(&mut self, (batch, text): (Batch, Vec<u8>)) {
        // An empty query is answered too, behind all notifications that have come before.
        wire::query(&mut self.server.out, &text);
        self.told = Some((batch, Instant::now()));
    }

    /// Bytes came.
    fn hear(&mut self, bytes: &[u8]) -> Result<(), Loss> {
        if self.unread.is_empty() {
            let used = self.messages(bytes)?;
            self.unread.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let used = self.messages(&unread)?;
        self.unread = unread.get(used..).unwrap_or_default().to_vec();
        Ok(())
    }

    /// Reads whole messages; how many bytes they are.
    fn messages(&mut self, bytes: &[u8]) -> Result<usize, Loss> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..) {
            let head = wire::header(Side::Backend, rest)
                .map_err(|_| Loss::Violation("a message of an unknown type or an impossible length"))?;
            let Some(message) = head.and_then(|head| rest.get(..head.len)) else { break };
            at += message.len();
            self.message(message)?;
        }
        Ok(at)
    }

    fn message(&mut self, message: &[u8]) -> Result<(), Loss> {
        let (tag, body) =
            (message.first().copied().unwrap_or_default(), message.get(5..).unwrap_or_default());
        match tag {
            back::NOTIFICATION => {
                let channel = body.get(4..).and_then(|rest| wire::c_string(rest)).map(|(channel, _)| channel);
                let channel = channel.ok_or(Loss::Violation("NotificationResponse without a channel"))?;
                self.hub.deliver(message, channel);
            }
            back::ERROR => {
                let fields = ErrorFields::read(body);
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                if fields.ends_connection() {
                    return Err(Loss::Fatal(text(fields.sqlstate), text(fields.message)));
                }
                let mut error = PgError::error("XX000", text(fields.message));
                if fields.sqlstate.len() == 5 {
                    error.sqlstate = text(fields.sqlstate).into();
                }
                self.error = Some(error);
            }
            back::READY => {
                let (batch, _) =
                    self.told.take().ok_or(Loss::Violation("ReadyForQuery that nobody asked for"))?;
                if !self.hub.finish(batch, self.error.take()) {
                    return Err(Loss::Violation("it refuses to listen"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Writes what there is to write, and reads.
fn poll(server: &mut Backend, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, Loss>> {
    if let Poll::Ready(Err(loss)) = server.poll_flush(cx) {
        return Poll::Ready(Err(loss));
    }
    server.poll_read(cx, buf)
}
