//! A logged-in server connection.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, SystemTime};

use atomic_waker::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::cancel::CancelTarget;
use crate::cache::{Database, Source};
use crate::ids::{BackendId, ClientId};
use crate::net::{Ends, Stream};
use crate::session::{Action, ClientSession, ServerSession, Written};
use crate::wire::{self, Parameters, PgError, Side, front};

/// The most of a message that is kept until it is whole: an `ErrorResponse` longer than this is judged by
/// its beginning.
const MAX_CARRY: usize = 64 << 10;
/// A buffer that grew beyond this is given back when the connection rests.
const KEEP: usize = 64 << 10;

/// When what was lost is told to the cache again: a server that has not noticed yet may commit it until then.
const LATER: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// Returns the last tick.
fn tell(cache: &Database, written: &[Written]) -> u64 {
    let mut tick = 0;
    for one in written {
        let source = if one.writes.catalog { Source::Ddl } else { Source::Write };
        tick = cache.written(&one.writes, one.path.as_deref(), source);
    }
    tick
}

/// Why a server connection is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The server closed it or the network failed.
    Io(io::ErrorKind),
    /// The server said FATAL: SQLSTATE and message.
    Fatal(String, String),
    /// The server broke the protocol.
    Violation(&'static str),
}

impl Loss {
    /// What the client is told whose query was running.
    pub fn to_pg_error(&self) -> PgError {
        let error = PgError::fatal("08006", "server connection lost in the middle of a query");
        let error = match self {
            Self::Io(_) => error.detail("The server closed the connection unexpectedly."),
            Self::Fatal(code, text) => error.detail(format!("The server said: {text} ({code})")),
            Self::Violation(what) => error.detail(format!("The server broke the protocol: {what}.")),
        };
        error.hint(
            "Whether the transaction was committed is not known if it was ending; connect and try again.",
        )
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(kind) => write!(f, "{kind}"),
            Self::Fatal(code, text) => write!(f, "server said FATAL {code}: {text}"),
            Self::Violation(what) => write!(f, "protocol violation by the server: {what}"),
        }
    }
}

/// What others may know of a server connection while a client has it.
#[derive(Debug)]
pub struct BackendHandle {
    /// Its number.
    pub id: BackendId,
    /// Where and with what to cancel its query.
    pub cancel: CancelTarget,
    /// The user that it is logged in as.
    pub user: Box<str>,
    /// Where its ends are.
    pub ends: Ends,
    /// When it was made.
    pub made: SystemTime,
    /// The client that has it, or had it last; 0: none yet.
    client: AtomicU64,
    /// It is being brought to rest without its client.
    cleaning: AtomicBool,
    /// How many statements were prepared on it when a client last gave it back.
    prepared: AtomicU32,
    /// Cancel requests that are on their way to the server: until they have arrived nobody else may use the
    /// connection, or they would hit his query.
    cancelling: AtomicU32,
    waker: AtomicWaker,
}

impl BackendHandle {
    fn new(id: BackendId, cancel: CancelTarget, user: &str, ends: Ends) -> Self {
        Self {
            id,
            cancel,
            user: user.into(),
            ends,
            made: SystemTime::now(),
            client: AtomicU64::new(0),
            cleaning: AtomicBool::new(false),
            prepared: AtomicU32::new(0),
            cancelling: AtomicU32::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// The client that has it, or had it last.
    pub fn client(&self) -> Option<ClientId> {
        Some(ClientId(self.client.load(Ordering::Relaxed))).filter(|client| client.0 > 0)
    }

    /// A client has it.
    pub fn set_client(&self, client: ClientId) {
        self.client.store(client.0, Ordering::Relaxed);
    }

    /// Whether it is being brought to rest without its client.
    pub fn is_cleaning(&self) -> bool {
        self.cleaning.load(Ordering::Relaxed)
    }

    /// Says so.
    pub fn set_cleaning(&self, cleaning: bool) {
        self.cleaning.store(cleaning, Ordering::Relaxed);
    }

    /// How many statements were prepared on it when a client last gave it back.
    pub fn prepared(&self) -> usize {
        usize::try_from(self.prepared.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// Cancel requests that are on their way to the server.
    pub fn cancelling(&self) -> usize {
        usize::try_from(self.cancelling.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// A cancel request sets out.
    pub fn begin_cancel(self: &Arc<Self>) -> Cancelling {
        self.cancelling.fetch_add(1, Ordering::SeqCst);
        Cancelling(Arc::clone(self))
    }

    /// True when no cancel request is on its way.
    pub fn is_calm(&self) -> bool {
        self.cancelling.load(Ordering::SeqCst) == 0
    }

    /// Ready when no cancel request is on its way. For one waiting task.
    pub fn poll_calm(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_calm() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        if self.is_calm() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A cancel request on its way; it has arrived when this is dropped.
#[derive(Debug)]
pub struct Cancelling(Arc<BackendHandle>);

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.0.cancelling.fetch_sub(1, Ordering::SeqCst);
        self.0.waker.wake();
    }
}

/// One server connection.
#[derive(Debug)]
pub struct Backend {
    io: Stream,
    /// The part that others may hold.
    pub handle: Arc<BackendHandle>,
    /// What is in flight, prepared and set.
    pub session: ServerSession,
    /// Bytes for the server that are not written yet.
    pub out: Vec<u8>,
    written: usize,
    /// TLS may hold encrypted bytes that the socket has not taken.
    unflushed: bool,
    /// The beginning of a server's message that is not whole yet.
    carry: Vec<u8>,
    /// Bytes of the current message still to come, and whether the client gets them.
    streaming: usize,
    streaming_shown: bool,
    broken: bool,
    /// What the server reported at login, in its order.
    pub parameters: Arc<Parameters>,
    /// When it was made.
    pub since: Instant,
    /// When it last came back from a client.
    pub used: Instant,
    /// The worker whose reactor its socket is registered with.
    pub home: usize,
    /// The client whose traces are in the session, if there are any, and the tenant in whose name it left
    /// them: in another tenant's name it is a stranger to them.
    pub owner: Option<(crate::ids::ClientId, u64)>,
    /// What is kept of its database, and must hear what is written to it; `None`: nothing is.
    pub cache: Option<Arc<Database>>,
    /// The cache's tick of what was committed last on it: whoever committed it reads it from then on.
    pub wrote_at: u64,
    /// The client that used it last.
    pub last_client: Option<crate::ids::ClientId>,
    /// The tenant that used it last; `None` if it is new or has just been cleaned.
    pub tenant: Option<u64>,
    /// The tenant that it counts for while it is lent or being brought to rest; the pool's own affair.
    pub lent_to: Option<u64>,
}

impl Backend {
    /// A connection that has just logged in.
    pub(super) fn new(
        io: Stream,
        id: BackendId,
        cancel: CancelTarget,
        user: &str,
        parameters: Parameters,
        max_statements: usize,
        home: usize,
    ) -> Self {
        let now = Instant::now();
        let ends = io.ends();
        let parameters = Arc::new(parameters);
        Self {
            io,
            handle: Arc::new(BackendHandle::new(id, cancel, user, ends)),
            session: ServerSession::new(max_statements).with_initial(Arc::clone(&parameters)),
            out: Vec::new(),
            written: 0,
            unflushed: false,
            carry: Vec::new(),
            streaming: 0,
            streaming_shown: false,
            broken: false,
            parameters,
            since: now,
            used: now,
            home,
            owner: None,
            cache: None,
            wrote_at: 0,
            last_client: None,
            tenant: None,
            lent_to: None,
        }
    }

    /// A connection over a pipe that has logged in already, for tests. Its cancel requests reach nobody.
    #[cfg(test)]
    pub(crate) fn over_pipe(
        pipe: tokio::io::DuplexStream,
        id: BackendId,
        max_statements: usize,
    ) -> Box<Self> {
        let cancel = CancelTarget::nowhere(u32::try_from(id.0).unwrap_or_default());
        Box::new(Self::new(
            Stream::Pipe(Box::new(pipe)),
            id,
            cancel,
            "",
            Parameters::from(vec![(b"TimeZone"[..].into(), b"UTC"[..].into())]),
            max_statements,
            0,
        ))
    }

    /// The bare connection, for whoever relays bytes without looking at them. Only of one that has just logged
    /// in: what is in flight or half read would be lost.
    pub fn into_parts(self) -> (Stream, Arc<BackendHandle>, Arc<Parameters>) {
        (self.io, self.handle, self.parameters)
    }

    /// Its number.
    pub fn id(&self) -> BackendId {
        self.handle.id
    }

    /// How long it has lived.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// True after any failure: it must be closed.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Marks it so.
    pub fn set_broken(&mut self) {
        self.broken = true;
        self.session.lose_written();
        self.tell_cache(true);
    }

    /// What was committed ends what was kept of it, before anybody hears of the commit.
    /// `lost`: nobody knows whether it was, or is going to be: the server may see to the end of what it was asked.
    fn tell_cache(&mut self, lost: bool) {
        let written = self.session.take_written();
        let Some(cache) = self.cache.as_ref().filter(|_| !written.is_empty()) else { return };
        self.wrote_at = tell(cache, &written);
        if lost && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let cache = Arc::clone(cache);
            runtime.spawn(async move {
                for wait in LATER {
                    tokio::time::sleep(wait).await;
                    tell(&cache, &written);
                }
            });
        }
    }

    /// True when it can serve another client: nothing in flight, no transaction, no bytes in between.
    pub fn is_reusable(&self) -> bool {
        !self.broken
            && self.session.is_free()
            && self.out.is_empty()
            && self.carry.is_empty()
            && self.streaming == 0
    }

    /// Bytes that wait to be written.
    pub fn unwritten(&self) -> usize {
        self.out.len() - self.written
    }

    /// What the server reports now (names and values): what it said at login, and what changed since.
    pub fn reported(&self) -> Parameters {
        let mut all = Parameters::clone(&self.parameters);
        for (name, value) in self.session.reported() {
            match all.iter_mut().find(|(known, _)| known == name) {
                Some(known) => known.1.clone_from(value),
                None => all.push((name.clone(), value.clone())),
            }
        }
        all
    }

    /// Writes what waits in [`Self::out`]. Cancel-safe: progress is kept here.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Loss>> {
        while self.written < self.out.len() {
            let rest = self.out.get(self.written..).unwrap_or_default();
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest)) {
                Ok(0) => return Poll::Ready(Err(self.lost(io::ErrorKind::WriteZero))),
                Ok(n) => self.written += n,
                Err(e) => return Poll::Ready(Err(self.lost(e.kind()))),
            }
        }
        if self.written > 0 {
            self.out.clear();
            self.written = 0;
            self.unflushed = self.io.is_tls();
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx)).map_err(|e| self.lost(e.kind()))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads into `buf`: how many bytes came.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, Loss>> {
        let mut buf = ReadBuf::new(buf);
        match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)) {
            Ok(()) if buf.filled().is_empty() => Poll::Ready(Err(self.lost(io::ErrorKind::UnexpectedEof))),
            Ok(()) => Poll::Ready(Ok(buf.filled().len())),
            Err(e) => Poll::Ready(Err(self.lost(e.kind()))),
        }
    }

    fn lost(&mut self, kind: io::ErrorKind) -> Loss {
        self.set_broken();
        Loss::Io(kind)
    }

    /// Judges what the server sent. What the client gets is, in this order: what is appended to `out`, then
    /// the returned range of `chunk`, which was not copied.
    ///
    /// # Errors
    /// The connection is broken after any; what had been passed before stands in `out`.
    pub fn feed(
        &mut self,
        client: &mut ClientSession,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Range<usize>, Loss> {
        let fed = if self.carry.is_empty() {
            self.split(client, chunk, out)
        } else {
            let mut whole = std::mem::take(&mut self.carry);
            whole.extend_from_slice(chunk);
            self.split(client, &whole, out).map(|run| {
                out.extend_from_slice(whole.get(run).unwrap_or_default());
                0..0
            })
        };
        if fed.is_err() {
            self.set_broken();
        } else if self.session.has_written() {
            self.tell_cache(false);
        }
        fed
    }

    fn split(
        &mut self,
        client: &mut ClientSession,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Range<usize>, Loss> {
        // Bytes from `run` to `at` go to the client as they stand.
        let (mut run, mut at) = (0, 0);
        if self.streaming > 0 {
            at = self.streaming.min(chunk.len());
            self.streaming -= at;
            if self.session.tees() {
                self.session.tee(chunk.get(..at).unwrap_or_default());
            }
            if !self.streaming_shown {
                run = at;
            }
            self.own_replies(chunk, &mut run, at, out);
        }
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            let head = wire::header(Side::Backend, rest).map_err(|_| {
                out.extend_from_slice(chunk.get(run..at).unwrap_or_default());
                Loss::Violation("a message of an unknown type or an impossible length")
            })?;
            let wait =
                head.is_none_or(|h| self.session.needs_body(h.tag) && rest.len() < h.len.min(MAX_CARRY));
            let Some(head) = head.filter(|_| !wait) else {
                out.extend_from_slice(chunk.get(run..at).unwrap_or_default());
                self.carry.extend_from_slice(rest);
                return Ok(chunk.len()..chunk.len());
            };
            let here = head.len.min(rest.len());
            let body = rest.get(5..here).unwrap_or_default();
            self.session.message_has(head.len);
            let action = self.session.on_backend(client, head.tag, body).map_err(|violation| {
                out.extend_from_slice(chunk.get(run..at).unwrap_or_default());
                Loss::Violation(violation.0)
            })?;
            let shown = matches!(action, Action::Pass);
            if shown && self.session.tees() {
                self.session.tee(rest.get(..here).unwrap_or_default());
            }
            if !shown {
                out.extend_from_slice(chunk.get(run..at).unwrap_or_default());
                run = at + here;
            }
            at += here;
            self.streaming = head.len - here;
            self.streaming_shown = shown;
            match action {
                Action::Pass | Action::Swallow => {}
                Action::Replace(bytes) => out.extend_from_slice(&bytes),
                Action::Lost(code, text) => {
                    out.extend_from_slice(chunk.get(run..at - here).unwrap_or_default());
                    return Err(Loss::Fatal(code, text));
                }
                Action::Replay => self.session.set_replay_due(),
            }
            self.own_replies(chunk, &mut run, at, out);
        }
        Ok(run..at)
    }

    /// Howdah's own replies come behind the message that was just passed.
    fn own_replies(&mut self, chunk: &[u8], run: &mut usize, at: usize, out: &mut Vec<u8>) {
        if self.streaming == 0 && self.session.owes_own_reply() {
            out.extend_from_slice(chunk.get(*run..at).unwrap_or_default());
            *run = at;
            self.session.own_replies(out);
        }
    }

    /// Looks at a resting connection: false if the server closed it, or sent what cannot be ignored. Does not
    /// wait.
    pub fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut buf = [0; 512];
        loop {
            match self.poll_read(&mut cx, &mut buf) {
                Poll::Pending => return self.is_reusable(),
                Poll::Ready(Err(_)) => return false,
                Poll::Ready(Ok(n)) => {
                    // A notice or a changed parameter; anything else is an error.
                    let chunk = buf.get(..n).unwrap_or_default();
                    if self.feed(&mut ClientSession::nobody(), chunk, &mut Vec::new()).is_err() {
                        return false;
                    }
                }
            }
        }
    }

    /// Moves the socket to the reactor of the worker that calls.
    ///
    /// # Errors
    /// The system would not register it; then the connection is broken.
    pub fn move_to(&mut self, worker: usize) -> io::Result<()> {
        if self.home == worker {
            return Ok(());
        }
        let io = std::mem::replace(&mut self.io, Stream::closed());
        match io.rebind() {
            Ok(io) => {
                self.io = io;
                self.home = worker;
                Ok(())
            }
            Err(error) => {
                self.set_broken();
                Err(error)
            }
        }
    }

    /// Gives back memory that only a busy connection needs.
    pub fn rest(&mut self) {
        if self.out.capacity() > KEEP {
            self.out = Vec::new();
        }
        if self.carry.capacity() > 0 {
            self.carry = Vec::new();
        }
        self.session.rest();
        self.used = Instant::now();
        let prepared = u32::try_from(self.session.prepared()).unwrap_or(u32::MAX);
        self.handle.prepared.store(prepared, Ordering::Relaxed);
    }

    /// Says goodbye if the socket takes it at once, and closes.
    pub fn terminate(mut self) {
        if !self.broken {
            let mut cx = Context::from_waker(Waker::noop());
            let goodbye = [front::TERMINATE, 0, 0, 0, 4];
            if let Poll::Ready(Ok(_)) = Pin::new(&mut self.io).poll_write(&mut cx, &goodbye) {
                let _ = Pin::new(&mut self.io).poll_flush(&mut cx);
            }
        }
    }
}
