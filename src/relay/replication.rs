//! A replication connection: a server connection of its own, and bytes both ways for as long as it lasts.
//!
//! What the bytes say is between the client and the server. Only the ends of the server's messages are followed,
//! so that there is a place for an error of Howdah's own.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::about::About;
use super::clients::{ClientHandle, Wish};
use super::messages::Messages;
use super::shared::Shared;
use super::welcome::Place;
use crate::backend::{Backend, ConnectError, Connector};
use crate::frontend::LoggedIn;
use crate::ids::ClientId;
use crate::net::Stream;
use crate::observe::ReplicationMetric;
use crate::pool::{DatabasePlace, Registry};
use crate::wire::{self, PgError};

/// What is read at once of a server, and of a client, which has less to say.
const DOWN: usize = 64 << 10;
const UP: usize = 16 << 10;
/// Once one side has closed, the other may be silent for so long.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a client that is told goodbye may take to read it.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a replication connection is started with, beside its client.
pub struct Route<'a> {
    /// What all sessions share.
    pub shared: &'a Arc<Shared>,
    /// Pools of the same database count with it.
    pub pools: &'a Registry,
    /// Makes its server connection, with what the client asked for in the startup message.
    pub server: &'a dyn Connector,
    /// `max_db_connections`.
    pub max_db_connections: Option<usize>,
    /// `max_client_conn`.
    pub max_clients: usize,
    /// The worker that runs it: the one that calls.
    pub worker: usize,
}

/// Connects a client that is logged in to a server connection of its own, welcomes it as the server did, and relays
/// in a task of its own, on the worker that calls.
///
/// # Errors
/// The client was refused, and told so.
pub async fn replicate(id: ClientId, client: LoggedIn, route: &Route<'_>) -> Result<(), PgError> {
    let about = About::new(&client);
    let LoggedIn { mut stream, early, mut pending, secret_len, database_name, database, .. } = client;
    match admit((id, secret_len, about), &database_name, route).await {
        Ok((place, taken, server)) => {
            let metric = route.shared.metrics.replication(&database.name);
            tracing::info!(client = %id, database = %database_name, server = %server.id(), "replication connection opened");
            welcome(&place.handle, &server, &mut pending);
            if stream.write_all(&pending).await.is_ok() && stream.flush().await.is_ok() {
                let relay = Relay::new(stream, &early, &place, *server);
                tokio::spawn(relay.run(Held { place, _taken: taken, _metric: metric }));
            }
            Ok(()) // or it is gone, and its places with it
        }
        Err(error) => {
            error.write(&mut pending);
            let _ = stream.write_all(&pending).await;
            let _ = stream.shutdown().await;
            Err(error)
        }
    }
}

/// What a replication connection holds as long as it lasts.
struct Held {
    place: Place,
    _taken: DatabasePlace,
    _metric: ReplicationMetric,
}

/// Finds places for the client and makes its server connection.
async fn admit(
    (id, secret_len, about): (ClientId, usize, About),
    database: &Arc<str>,
    route: &Route<'_>,
) -> Result<(Place, DatabasePlace, Box<Backend>), PgError> {
    let place = Place::take(id, secret_len, about, route.shared, route.max_clients)?;
    let taken = route.pools.place(database, route.max_db_connections).ok_or_else(|| {
        PgError::fatal("53300", "no server connection is free for replication")
            .hint("See max_db_connections in the proxy's configuration.")
    })?;
    let handle = Arc::clone(&place.handle);
    let ended = std::future::poll_fn(|cx| {
        let told = handle.poll_wishes(cx) && (handle.has_wish(Wish::Drain) || handle.has_wish(Wish::End));
        if told { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::select! {
        made = route.server.connect(route.pools.next_id(), route.worker) => {
            Ok((place, taken, made.map_err(|error| refusal(&error))?))
        }
        () = ended => Err(shutting_down()),
    }
}

/// What the client is told when there is no server connection: what the server said, if it spoke.
fn refusal(error: &ConnectError) -> PgError {
    let ConnectError::Server(code, text) = error else { return error.to_pg_error() };
    let mut told = PgError::fatal("57P03", text.clone());
    if code.len() == 5 {
        told.sqlstate = code.clone().into();
    }
    told
}

fn shutting_down() -> PgError {
    PgError::fatal("57P01", "terminating connection due to administrator command")
        .detail("The proxy is shutting down.")
}

/// What the server reported, and a cancel key of Howdah's own.
fn welcome(handle: &ClientHandle, server: &Backend, out: &mut Vec<u8>) {
    for (name, value) in server.parameters.iter() {
        wire::parameter_status_into(out, name, value);
    }
    wire::backend_key_data(out, handle.pid, handle.secret());
    wire::ready_for_query(out, b'I');
}

/// Why it ends.
enum End {
    /// The server closed, or the client did long ago. What was sent before is delivered.
    Closed,
    /// The client is gone.
    Gone,
    /// The server is gone.
    Lost,
    /// We end it, and say why.
    Told(PgError),
}

/// One client, its server connection, and what is on its way between them.
struct Relay {
    client: Stream,
    server: Stream,
    up: Flow,
    down: Flow,
    messages: Messages,
    handle: Arc<ClientHandle>,
    /// The client has sent something since the server was ready last.
    asked: bool,
    /// Runs once a side has closed.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Relay {
    fn new(client: Stream, early: &[u8], place: &Place, server: Backend) -> Self {
        let (server, backend, _) = server.into_parts();
        let handle = Arc::clone(&place.handle);
        handle.set_running(&backend, Instant::now());
        handle.hand_over();
        Self {
            client,
            server,
            asked: !early.is_empty(),
            up: Flow::new(UP, early),
            down: Flow::new(DOWN, &[]),
            messages: Messages::default(),
            handle,
            silence: None,
        }
    }

    async fn run(mut self, held: Held) {
        let end = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.handle.set_idle();
        let client = held.place.handle.id;
        match end {
            End::Closed => tracing::info!(%client, "replication connection closed"),
            End::Gone => tracing::info!(%client, "replication connection closed: the client is gone"),
            End::Lost => tracing::info!(%client, "replication connection closed: the server is gone"),
            End::Told(error) => {
                tracing::info!(%client, %error, "replication connection ended");
                let _ = tokio::time::timeout(GOODBYE, self.tell(&error)).await;
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.handle.poll_wishes(cx) && self.handle.has_wish(Wish::End) {
            return Poll::Ready(End::Told(shutting_down()));
        }
        let mut moved = false;
        let asked = &mut self.asked;
        let up = self.up.poll(&mut self.client, &mut self.server, cx, &mut moved, |_| *asked = true);
        // That the server takes nothing more is no end: it may have said why.
        let client_done = match up {
            Poll::Ready(Err(Halt::Source)) => return Poll::Ready(End::Gone),
            up => up.is_ready(),
        };
        let (messages, asked) = (&mut self.messages, &mut self.asked);
        let down = self.down.poll(&mut self.server, &mut self.client, cx, &mut moved, |chunk| {
            messages.feed(chunk);
            *asked &= !messages.ready();
        });
        match down {
            Poll::Ready(Ok(())) => return Poll::Ready(End::Closed),
            Poll::Ready(Err(Halt::Source)) => return Poll::Ready(End::Lost),
            Poll::Ready(Err(Halt::Target)) => return Poll::Ready(End::Gone),
            Poll::Pending => {}
        }
        if self.handle.has_wish(Wish::Drain) && self.rests() {
            return Poll::Ready(End::Told(shutting_down()));
        }
        self.watch_silence(client_done || self.down.ended, moved, cx)
    }

    /// Nothing was asked that is not answered.
    fn rests(&self) -> bool {
        !self.asked && self.messages.at_end() && self.down.waiting.is_empty()
    }

    /// A side that has closed does not keep the other for ever.
    fn watch_silence(&mut self, closed: bool, moved: bool, cx: &mut Context<'_>) -> Poll<End> {
        if !closed {
            return Poll::Pending;
        }
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENCE)));
        if moved {
            silence.as_mut().reset(Instant::now() + SILENCE);
        }
        silence.as_mut().poll(cx).map(|()| End::Closed)
    }

    /// Sends an error behind the message that is on its way, whose rest is fetched if need be.
    async fn tell(&mut self, error: &PgError) -> io::Result<()> {
        let Self { client, server, down, messages, .. } = self;
        let mut cut = messages.at_end().then_some(down.waiting.end);
        loop {
            let end = cut.unwrap_or(down.waiting.end);
            client.write_all(down.bytes.get(down.waiting.start..end).unwrap_or_default()).await?;
            if cut.is_some() || messages.is_lost() {
                break;
            }
            let read = server.read(&mut down.bytes).await?;
            if read == 0 {
                return client.shutdown().await;
            }
            down.waiting = 0..read;
            cut = messages.feed_to_end(down.bytes.get(..read).unwrap_or_default());
        }
        if cut.is_some() {
            client.write_all(&error.to_bytes()).await?;
        }
        client.shutdown().await
    }
}

/// What keeps bytes from moving on.
enum Halt {
    /// They cannot be read.
    Source,
    /// They cannot be written.
    Target,
}

/// One direction: what was read and not written yet. Nothing is read before all of it is.
struct Flow {
    bytes: Box<[u8]>,
    waiting: Range<usize>,
    /// TLS may hold encrypted bytes that the socket has not taken.
    unflushed: bool,
    /// The source has closed.
    ended: bool,
    /// And the target knows, or does not listen.
    over: bool,
}

impl Flow {
    fn new(size: usize, early: &[u8]) -> Self {
        let mut bytes = vec![0; size.max(early.len())];
        if let Some(begin) = bytes.get_mut(..early.len()) {
            begin.copy_from_slice(early);
        }
        let waiting = 0..early.len();
        Self { bytes: bytes.into(), waiting, unflushed: false, ended: false, over: false }
    }

    /// Moves what can be moved. Ready when the source has closed and the target has been told, or at a failure;
    /// after that it stays ready. `look` sees what was read.
    fn poll(
        &mut self,
        source: &mut Stream,
        target: &mut Stream,
        cx: &mut Context<'_>,
        moved: &mut bool,
        mut look: impl FnMut(&[u8]),
    ) -> Poll<Result<(), Halt>> {
        while !self.over {
            match ready!(self.poll_write(target, cx, moved)) {
                Ok(()) if self.ended => {
                    ready!(Pin::new(&mut *target).poll_shutdown(cx)).unwrap_or_default();
                    self.over = true;
                }
                Ok(()) => {
                    let mut buf = ReadBuf::new(&mut self.bytes);
                    let read = ready!(Pin::new(&mut *source).poll_read(cx, &mut buf));
                    if read.is_err() {
                        self.over = true;
                        return Poll::Ready(Err(Halt::Source));
                    }
                    self.waiting = 0..buf.filled().len();
                    self.ended = buf.filled().is_empty();
                    *moved = true;
                    if !self.ended {
                        look(buf.filled());
                    }
                }
                Err(_) => {
                    self.over = true;
                    return Poll::Ready(Err(Halt::Target));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        target: &mut Stream,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let rest = self.bytes.get(self.waiting.clone()).unwrap_or_default();
            match ready!(Pin::new(&mut *target).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.waiting.start += n,
            }
            *moved = true;
            self.unflushed = target.is_tls();
        }
        if self.unflushed {
            ready!(Pin::new(&mut *target).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use tokio::io::DuplexStream;

    use super::*;
    use crate::ids::BackendId;
    use crate::observe::Metrics;
    use crate::wire::back;

    const PIPE: usize = 4 << 10;

    /// A relay that runs, the client's end and the server's end of it, and what others know it by.
    fn started(early: &[u8]) -> (DuplexStream, DuplexStream, Arc<Shared>) {
        let shared = Shared::new(Metrics::new().unwrap(), None, None, None);
        let place = Place::take(ClientId(1), 4, About::nobody(), &shared, 1).unwrap();
        let taken = Registry::default().place(&"shop".into(), Some(1)).unwrap();
        let (client, near) = tokio::io::duplex(PIPE);
        let (server, far) = tokio::io::duplex(PIPE);
        let backend = Backend::over_pipe(far, BackendId(1), 1);
        let relay = Relay::new(Stream::Pipe(Box::new(near)), early, &place, *backend);
        let metric = shared.metrics.replication("shop");
        tokio::spawn(relay.run(Held { place, _taken: taken, _metric: metric }));
        (client, server, shared)
    }

    fn data(len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        wire::frame(&mut out, back::COPY_DATA, |out| out.resize(out.len() + len, 7));
        out
    }

    async fn rest(io: &mut DuplexStream) -> Vec<u8> {
        let mut all = Vec::new();
        io.read_to_end(&mut all).await.unwrap();
        all
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_word_stands_behind_a_whole_message() {
        let (first, second) = (data(100), data(50));
        for cut in 0..=first.len() {
            let (mut client, mut server, shared) = started(b"");
            let mut seen = vec![0; cut];
            server.write_all(&first[..cut]).await.unwrap();
            client.read_exact(&mut seen).await.unwrap();
            shared.clients.end();
            tokio::task::yield_now().await;
            // At the end of a message nothing more is fetched.
            let whole = if cut == 0 || cut == first.len() { &first[..cut] } else { &first[..] };
            let _ = server.write_all(&[&first[cut..], &second].concat()).await;
            seen.extend(rest(&mut client).await);
            assert_eq!(seen, [whole, &shutting_down().to_bytes()].concat(), "{cut}");
            while shared.clients.count() > 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_it_when_what_was_asked_is_answered() {
        let (mut client, mut server, shared) = started(b"asked early");
        let mut asked = [0; 11];
        server.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"asked early");
        shared.drain();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(shared.clients.count(), 1);
        let mut answer = data(10);
        wire::ready_for_query(&mut answer, b'I');
        server.write_all(&answer).await.unwrap();
        assert_eq!(rest(&mut client).await, [answer, shutting_down().to_bytes()].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_stops_the_other_side() {
        let (mut to, mut from, _shared) = started(b"");
        for most in [DOWN, UP] {
            let mut sent = 0;
            let piece = data(1000);
            let second = Duration::from_secs(1);
            while tokio::time::timeout(second, from.write_all(&piece)).await.is_ok() {
                sent += piece.len();
                assert!(sent <= most + 3 * PIPE, "{sent}");
            }
            assert!(sent >= PIPE);
            let mut seen = vec![0; sent];
            to.read_exact(&mut seen).await.unwrap();
            std::mem::swap(&mut from, &mut to);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_closed_is_answered_but_not_for_ever() {
        let (mut client, mut server, shared) = started(b"");
        client.write_all(b"last words").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut server).await, b"last words");
        for _ in 0..5 {
            tokio::time::sleep(SILENCE * 9 / 10).await;
            server.write_all(b"still").await.unwrap();
        }
        let begun = Instant::now();
        assert_eq!(rest(&mut client).await, b"still".repeat(5));
        assert_eq!(begun.elapsed(), SILENCE);
        assert_eq!(shared.clients.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_said_before_it_closed_arrives() {
        let (mut client, mut server, shared) = started(b"");
        let words = data(3 * PIPE);
        let reading = tokio::spawn(async move { rest(&mut client).await });
        server.write_all(&words).await.unwrap();
        drop(server);
        assert_eq!(reading.await.unwrap(), words);
        while shared.clients.count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
