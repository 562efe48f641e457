//! Who listens to what in one database.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::inbox::Inbox;
use super::serve;
use super::watch::{self, Watch};
use crate::cache;
use crate::observe::{ListenMetrics, Metrics};
use crate::pool::Pool;
use crate::session::Channel;
use crate::wire::{self, PgError, back};

/// How long a LISTEN waits for the listening connection without `server_connect_timeout`.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a client waits for: that the listening connection listens to these channels, or with none of them that all
/// has arrived that was notified before.
#[derive(Debug)]
pub(in crate::relay) struct Request {
    pub(super) channels: Vec<Channel>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) until: Instant,
    /// The inbox gets a mark where what it asks for begins to count.
    mark: bool,
    outcome: Mutex<Option<Result<(), PgError>>>,
}

impl Request {
    /// What came of it, once.
    pub(super) fn take_outcome(&self) -> Option<Result<(), PgError>> {
        self.outcome.lock().take()
    }

    fn complete(&self, outcome: Result<(), PgError>) {
        *self.outcome.lock() = Some(outcome);
        self.inbox.wake();
    }
}

/// One channel.
#[derive(Debug, Default)]
struct Entry {
    /// Sorted by client. Shared with a delivery in progress, so that nobody waits for that.
    inboxes: Arc<Vec<Arc<Inbox>>>,
    /// Requests that will add to it.
    awaited: usize,
    /// The listening connection listens to it, or has been told to.
    listened: bool,
}

impl Entry {
    fn is_unused(&self) -> bool {
        self.inboxes.is_empty() && self.awaited == 0
    }
}

#[derive(Debug, Default)]
struct Table {
    channels: HashMap<Channel, Entry>,
    /// Not sent yet; true: in a query of its own.
    requests: VecDeque<(Arc<Request>, bool)>,
    /// Perhaps nobody listens to these any more.
    unused: Vec<Channel>,
    /// A task sees to the listening connection.
    running: bool,
    /// The connection listens to all that it should.
    up: bool,
    lost_at: Option<Instant>,
    /// How the connection is made: as for the client that asked last.
    pool: Option<Arc<Pool>>,
    /// The cache of the server's database, if it wants to be notified.
    watch: Option<Watch>,
    closing: bool,
}

impl Table {
    /// Nobody else needs the listening connection, and nobody asks for it.
    fn is_idle(&self) -> bool {
        self.watch.is_none() && self.requests.is_empty() && self.channels.values().all(Entry::is_unused)
    }
}

/// What the listening connection is told at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    requests: Vec<Arc<Request>>,
    listens: Vec<Channel>,
    /// For the cache's sake, and nothing else.
    watch: bool,
    /// The first on a new connection: everything.
    all: bool,
}

/// Who listens in one database.
#[derive(Debug)]
pub(in crate::relay) struct Hub {
    pub(super) database: Arc<str>,
    pub(super) metrics: ListenMetrics,
    table: Mutex<Table>,
    /// Something in the table is new for the task.
    pub(super) changed: Notify,
}

impl Hub {
    fn new(database: &Arc<str>, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            database: Arc::clone(database),
            metrics: metrics.listen(database),
            table: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Asks for channels for a client, or that all has arrived that was notified so far.
    ///
    /// # Errors
    /// There is no place for a listening connection.
    pub(super) fn ask(
        self: &Arc<Self>,
        inbox: &Arc<Inbox>,
        channels: Vec<Channel>,
        mark: bool,
        pool: &Arc<Pool>,
        worker: usize,
    ) -> Result<Arc<Request>, PgError> {
        let patience = pool.settings().server_connect_timeout.unwrap_or(PATIENCE);
        let request = Arc::new(Request {
            channels,
            inbox: Arc::clone(inbox),
            until: Instant::now() + patience,
            mark,
            outcome: Mutex::default(),
        });
        let mut table = self.table.lock();
        if request.channels.is_empty() && !table.up {
            // What was notified is lost, or there was nothing to hear it with.
            request.complete(Ok(()));
            return Ok(request);
        }
        self.start(&mut table, pool, worker)?;
        for channel in &request.channels {
            table.channels.entry(Arc::clone(channel)).or_default().awaited += 1;
        }
        table.pool = Some(Arc::clone(pool));
        table.requests.push_back((Arc::clone(&request), false));
        drop(table);
        self.changed.notify_one();
        Ok(request)
    }

    /// Lets a task see to the listening connection, unless one does.
    fn start(self: &Arc<Self>, table: &mut Table, pool: &Pool, worker: usize) -> Result<(), PgError> {
        if !table.running {
            let place = pool.place().ok_or_else(|| {
                PgError::error("53300", "no server connection is free to listen on")
                    .hint("See max_db_connections in the proxy's configuration: LISTEN takes one for each database.")
            })?;
            table.running = true;
            tokio::spawn(serve::run(Arc::clone(self), place, worker));
        }
        Ok(())
    }

    /// From now on a cache hears what is notified for it.
    fn watch(self: &Arc<Self>, cache: &Arc<cache::Database>, pool: &Arc<Pool>) {
        let mut table = self.table.lock();
        if let Err(error) = self.start(&mut table, pool, 0) {
            tracing::warn!(database = %self.database, %error, "the cache cannot listen to howdah_invalidate");
        }
        table.watch = Some(Watch::new(cache));
        table.pool.get_or_insert_with(|| Arc::clone(pool));
        drop(table);
        self.changed.notify_one();
    }

    /// The client does not listen to these any more.
    pub(super) fn remove(&self, inbox: &Inbox, channels: &[Channel]) {
        let mut table = self.table.lock();
        let mut any = false;
        for channel in channels {
            let Some(entry) = table.channels.get_mut(channel) else { continue };
            if let Ok(at) = position(&entry.inboxes, inbox) {
                Arc::make_mut(&mut entry.inboxes).remove(at);
            }
            if entry.is_unused() {
                table.unused.push(Arc::clone(channel));
                any = true;
            }
        }
        drop(table);
        if any {
            self.changed.notify_one();
        }
    }

    /// Passes a `NotificationResponse` on.
    pub(super) fn deliver(&self, message: &[u8], channel: &[u8]) {
        if channel == watch::CHANNEL {
            let cache = self.table.lock().watch.as_ref().map(|watch| Arc::clone(watch.cache()));
            if let Some(cache) = cache {
                watch::heard(&cache, message.get(5..).unwrap_or_default());
            }
        }
        let inboxes = self.table.lock().channels.get(channel).map(|entry| Arc::clone(&entry.inboxes));
        let Some(inboxes) = inboxes else { return };
        let message: Arc<[u8]> = message.into();
        let mut closed = false;
        for inbox in inboxes.iter() {
            closed |= inbox.is_closed();
            inbox.push(Arc::clone(&message));
        }
        if closed {
            drop(inboxes);
            self.sweep(channel);
        }
    }

    /// Forgets inboxes of a channel that are closed: their clients have not said goodbye.
    fn sweep(&self, channel: &[u8]) {
        let mut table = self.table.lock();
        let Some(entry) = table.channels.get_mut(channel) else { return };
        Arc::make_mut(&mut entry.inboxes).retain(|inbox| !inbox.is_closed());
        if entry.is_unused() {
            table.unused.push(channel.into());
        }
    }

    // --- for the task ---------------------------------------------------------------------------

    /// How to connect.
    pub(super) fn pool(&self) -> Option<Arc<Pool>> {
        self.table.lock().pool.clone()
    }

    /// Ends the task if nobody needs it. From then on the next who asks starts another one.
    pub(super) fn retire(&self) -> bool {
        let mut table = self.table.lock();
        table.channels.retain(|_, entry| !entry.is_unused());
        if table.closing {
            table.watch = None;
        }
        if !table.is_idle() {
            return false;
        }
        *table = Table { closing: table.closing, ..Table::default() };
        true
    }

    /// Nobody listens, and nobody asks.
    pub(super) fn is_idle(&self) -> bool {
        let mut table = self.table.lock();
        if table.closing {
            table.watch = None;
        }
        table.is_idle()
    }

    /// The cache alone needs the connection.
    pub(super) fn is_patient(&self) -> bool {
        let table = self.table.lock();
        table.requests.is_empty() && table.channels.values().all(Entry::is_unused)
    }

    /// The process ends.
    pub(super) fn is_closing(&self) -> bool {
        self.table.lock().closing
    }

    /// The first batch on a new connection, and the text that listens to all that somebody listens to.
    pub(super) fn first_batch(&self) -> (Batch, Vec<u8>) {
        let mut table = self.table.lock();
        table.unused.clear();
        table.channels.retain(|_, entry| !entry.is_unused());
        let mut text = Vec::new();
        for (channel, entry) in &mut table.channels {
            entry.listened = !entry.inboxes.is_empty();
            if entry.listened {
                command(&mut text, b"LISTEN ", channel);
            }
        }
        self.metrics.channels.set(i64::try_from(table.channels.len()).unwrap_or(i64::MAX));
        (Batch { all: true, ..Batch::default() }, text)
    }

    /// What is to be told to the connection now.
    pub(super) fn next_batch(&self) -> Option<(Batch, Vec<u8>)> {
        let mut table = self.table.lock();
        let table = &mut *table;
        let mut batch = Batch::default();
        let mut text = Vec::new();
        for channel in std::mem::take(&mut table.unused) {
            if table.channels.get(&channel).is_some_and(Entry::is_unused)
                && table.channels.remove(&channel).is_some_and(|entry| entry.listened)
                && !(table.watch.is_some() && *channel == *watch::CHANNEL)
            {
                command(&mut text, b"UNLISTEN ", &channel);
            }
        }
        if text.is_empty()
            && let Some(watch) = &mut table.watch
            && watch.tell()
        {
            command(&mut text, b"LISTEN ", watch::CHANNEL);
            return Some((Batch { watch: true, ..batch }, text));
        }
        if text.is_empty() {
            while let Some((request, alone)) = table.requests.pop_front() {
                if alone && !batch.requests.is_empty() {
                    table.requests.push_front((request, alone));
                    break;
                }
                for channel in &request.channels {
                    let entry = table.channels.entry(Arc::clone(channel)).or_default();
                    if !std::mem::replace(&mut entry.listened, true) {
                        command(&mut text, b"LISTEN ", channel);
                        batch.listens.push(Arc::clone(channel));
                    }
                }
                batch.requests.push(request);
                if alone {
                    break;
                }
            }
        }
        self.metrics.channels.set(i64::try_from(table.channels.len()).unwrap_or(i64::MAX));
        (!batch.requests.is_empty() || !text.is_empty()).then_some((batch, text))
    }

    /// The connection has answered. False if it is of no use.
    pub(super) fn finish(&self, batch: Batch, failed: Option<PgError>) -> bool {
        let mut table = self.table.lock();
        let table = &mut *table;
        if batch.all {
            if failed.is_some() {
                return false;
            }
            table.up = true;
            if let Some(since) = table.lost_at.take() {
                self.metrics.reconnects.inc();
                tell_all(table, since.elapsed());
            }
            return true;
        }
        if batch.watch {
            if let Some(watch) = &mut table.watch {
                watch.told(failed.as_ref().map(|error| &*error.message));
            }
            return true;
        }
        let Some(error) = failed else {
            for request in batch.requests {
                for channel in &request.channels {
                    join(table, channel, &request.inbox);
                }
                if request.mark {
                    request.inbox.push(Arc::default());
                }
                request.complete(Ok(()));
            }
            return true;
        };
        for channel in &batch.listens {
            if let Some(entry) = table.channels.get_mut(channel) {
                entry.listened = false;
            }
        }
        if batch.requests.len() > 1 {
            // One of them is to blame: each by itself.
            for request in batch.requests.into_iter().rev() {
                table.requests.push_front((request, true));
            }
        } else {
            for request in batch.requests {
                fail(table, &request, error.clone());
            }
        }
        true
    }

    /// The connection is lost, with what it was told last.
    pub(super) fn lost(&self, batch: Option<Batch>) {
        let mut table = self.table.lock();
        let table = &mut *table;
        table.up = false;
        if let Some(watch) = &mut table.watch {
            watch.lost();
        }
        table.lost_at.get_or_insert_with(Instant::now);
        for entry in table.channels.values_mut() {
            entry.listened = false;
        }
        for request in batch.into_iter().flat_map(|batch| batch.requests).rev() {
            table.requests.push_front((request, false));
        }
        table.requests.retain(|(request, _)| {
            if request.channels.is_empty() {
                request.complete(Ok(()));
            }
            !request.channels.is_empty()
        });
    }

    /// When the first request has waited for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.table.lock().requests.iter().map(|(request, _)| request.until).min()
    }

    /// Refuses requests: those that have waited for long enough, or all.
    pub(super) fn refuse(&self, all: bool, error: &PgError) {
        let now = Instant::now();
        let mut table = self.table.lock();
        let table = &mut *table;
        let (over, left) = table.requests.drain(..).partition(|(r, _)| all || r.until <= now);
        table.requests = left;
        let over: VecDeque<(Arc<Request>, bool)> = over;
        for (request, _) in over {
            if request.channels.is_empty() {
                request.complete(Ok(())); // nobody can say what is missing
            } else {
                fail(table, &request, error.clone());
            }
        }
    }

    /// The task has ended before its time.
    pub(super) fn abandon(&self) {
        self.lost(None);
        self.refuse(true, &PgError::error("57P03", "the listening connection ended"));
        self.table.lock().running = false;
    }
}

fn position(inboxes: &[Arc<Inbox>], inbox: &Inbox) -> Result<usize, usize> {
    inboxes.binary_search_by_key(&inbox.client(), |known| known.client())
}

/// A request for a channel is granted.
fn join(table: &mut Table, channel: &Channel, inbox: &Arc<Inbox>) {
    let Some(entry) = table.channels.get_mut(channel) else { return };
    entry.awaited = entry.awaited.saturating_sub(1);
    if !inbox.is_closed()
        && let Err(at) = position(&entry.inboxes, inbox)
    {
        Arc::make_mut(&mut entry.inboxes).insert(at, Arc::clone(inbox));
    }
    if entry.is_unused() {
        table.unused.push(Arc::clone(channel));
    }
}

fn fail(table: &mut Table, request: &Request, error: PgError) {
    for channel in &request.channels {
        if let Some(entry) = table.channels.get_mut(channel) {
            entry.awaited = entry.awaited.saturating_sub(1);
            if entry.is_unused() {
                table.unused.push(Arc::clone(channel));
            }
        }
    }
    request.complete(Err(error));
}

/// Tells each client that listens that it may have missed something.
fn tell_all(table: &Table, lost_for: Duration) {
    let seconds = lost_for.as_secs_f64();
    let mut notice = Vec::new();
    wire::frame(&mut notice, back::NOTICE, |out| {
        let message = "notifications may have been lost";
        let detail =
            format!("The server connection that listens was lost, and is back after {seconds:.3} seconds.");
        for (kind, value) in
            [(b'S', "WARNING"), (b'V', "WARNING"), (b'C', "01000"), (b'M', message), (b'D', detail.as_str())]
        {
            out.push(kind);
            out.extend_from_slice(value.as_bytes());
            out.push(0);
        }
        out.push(0);
    });
    let notice: Arc<[u8]> = notice.into();
    let mut told = HashSet::new();
    for inbox in table.channels.values().flat_map(|entry| entry.inboxes.iter()) {
        if told.insert(inbox.client()) {
            inbox.push(Arc::clone(&notice));
        }
    }
}

/// `LISTEN "channel";`.
fn command(text: &mut Vec<u8>, verb: &[u8], channel: &[u8]) {
    text.extend_from_slice(verb);
    text.push(b'"');
    for byte in channel {
        text.push(*byte);
        if *byte == b'"' {
            text.push(b'"');
        }
    }
    text.extend_from_slice(b"\";");
}

/// The hubs of all databases.
#[derive(Debug)]
pub(in crate::relay) struct Hubs {
    by_database: Mutex<HashMap<Arc<str>, Arc<Hub>>>,
    metrics: Metrics,
}

impl Hubs {
    pub(in crate::relay) fn new(metrics: Metrics) -> Self {
        Self { by_database: Mutex::default(), metrics }
    }

    /// The one of a database, as clients name it.
    pub(super) fn of(&self, database: &Arc<str>) -> Arc<Hub> {
        let mut hubs = self.by_database.lock();
        Arc::clone(hubs.entry(Arc::clone(database)).or_insert_with(|| Hub::new(database, &self.metrics)))
    }

    /// The cache of the database that this pool is for hears what is notified for it.
    pub(in crate::relay) fn watch(&self, cache: &Arc<cache::Database>, pool: &Arc<Pool>) {
        self.of(&pool.key().database).watch(cache, pool);
    }

    /// Each listening connection ends when nobody listens any more.
    pub(in crate::relay) fn close(&self) {
        for hub in self.by_database.lock().values() {
            hub.table.lock().closing = true;
            hub.changed.notify_one();
        }
    }
}
