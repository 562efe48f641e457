//! The session: what happens when, in one task.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::buffer;
use super::cached::Cached;
use super::clients::{ClientHandle, Wish};
use super::deadline::{Deadline, Phase};
use super::listen::Listener;
use super::own::OwnBatch;
use super::shared::Shared;
use super::telling::Telling;
use super::tenant::Tenancy;
use crate::net::Stream;
use crate::pool::{EVERYTHING, Kind, Lease, Pool, Share, Waiter, Want};
use crate::session::ClientSession;
use crate::sql::Leaves;
use crate::wire::{ErrorFields, PgError};

/// How long a client that is told goodbye may take to read it.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client said goodbye.
    Terminated,
    /// The client is gone.
    Gone,
    /// We end it, and say why.
    Error(PgError),
}

impl From<PgError> for End {
    fn from(error: PgError) -> Self {
        Self::Error(error)
    }
}

/// Bytes for the client that it has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) bytes: Vec<u8>,
    pub(super) sent: usize,
    /// TLS may hold encrypted bytes that the socket has not taken.
    pub(super) unflushed: bool,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.unflushed
    }
}

/// Where the session is.
#[derive(Debug)]
pub(super) enum Stage {
    /// No transaction, no connection.
    Resting,
    /// In the queue.
    Waiting(Waiter),
    /// A connection is the client's.
    Leased(Lease),
}

/// What is being done on a connection before the client's first frame goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preparing {
    /// Nothing (any more).
    Done,
    /// Another client's traces are being removed.
    Cleaning,
    /// The client's settings are being brought to it.
    Settings,
}

/// One client's session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) io: Stream,
    pub(super) front: ClientSession,
    pub(super) handle: Arc<ClientHandle>,
    pub(super) pool: Arc<Pool>,
    pub(super) shared: Arc<Shared>,
    /// Bytes of the client that could not be used yet.
    pub(super) carry: Vec<u8>,
    /// Bytes of the client's current frame still to come, and whether the server gets them.
    pub(super) streaming: usize,
    pub(super) streaming_on: bool,
    pub(super) out: Outbox,
    pub(super) stage: Stage,
    pub(super) preparing: Preparing,
    /// When the client got its connection, and how long it had waited for it.
    pub(super) leased_at: Option<Instant>,
    pub(super) waited: Option<Duration>,
    pub(super) deadline: Option<Box<Deadline>>,
    pub(super) worker: usize,
    /// It may have left traces on a connection that rests in the pool.
    pub(super) has_traces: bool,
    pub(super) statement_mode: bool,
    /// The server is being asked what is left in the session.
    pub(super) probing: bool,
    /// The client has a connection, and its last transaction is over.
    pub(super) over: bool,
    /// Something for the client waits for the next turn.
    pub(super) yielding: bool,
    /// Who the client's tenant is; `None` without tenancy.
    pub(super) tenancy: Option<Box<Tenancy>>,
    /// Statements of the extended protocol about Howdah's own settings; `None` until there are any.
    pub(super) own: Option<Box<OwnBatch>>,
    /// It listens, or is about to; `None` for most.
    pub(super) listener: Option<Box<Listener>>,
    /// The cache's tick of what it wrote last.
    pub(super) wrote_at: u64,
    /// What it needs for answers from memory; `None` until it marks a query.
    pub(super) cached: Option<Box<Cached>>,
    /// What is told of its statements; `None`: nothing.
    pub(super) telling: Option<Box<Telling>>,
}

impl Session {
    /// Runs the session to its end.
    pub(super) async fn run(mut self) {
        let end = match self.continue_client() {
            Ok(()) => std::future::poll_fn(|cx| self.poll(cx)).await,
            Err(end) => end,
        };
        // Rare and large: not part of the future that rests.
        Box::pin(self.finish(end)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let result = buffer::with_scratch(|scratch| self.turn(cx, scratch));
        buffer::take_back(&mut self.carry);
        buffer::take_back(&mut self.out.bytes);
        match result {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Does whatever can be done until all that is left is waiting. Every wait has left its waker behind.
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Result<(), End> {
        loop {
            self.heed_wishes(cx)?;
            let blocked = self.flush_client(cx)?.is_pending();
            let mut moved = self.poll_waiting(cx)?;
            moved |= self.poll_resolving(cx)?;
            moved |= self.poll_answer(cx)?;
            moved |= self.poll_listening()?;
            if self.flush_server(cx)? {
                // There may be room again for what was kept back.
                moved = true;
                self.continue_client()?;
            }
            if !blocked {
                moved |= self.poll_stalled()?;
                moved |= self.read_server(cx, scratch)?;
            }
            if !self.yielding {
                moved |= self.read_client(cx, scratch)?;
            }
            if std::mem::take(&mut self.yielding) {
                cx.waker().wake_by_ref();
                return Ok(());
            }
            if !moved {
                break;
            }
        }
        self.watch_time(cx)
    }

    /// What others want of this session.
    fn heed_wishes(&mut self, cx: &Context<'_>) -> Result<(), End> {
        if !self.handle.poll_wishes(cx) {
            return Ok(());
        }
        let at_rest = match &self.stage {
            Stage::Resting => self.streaming == 0 && !self.waits_for_hub() && !self.waits_for_answer(),
            Stage::Waiting(_) => false,
            // Session mode: the connection is the client's, but nothing runs on it.
            Stage::Leased(lease) => lease.kind() != Kind::Transaction && lease.is_reusable(),
        };
        if self.handle.has_wish(Wish::End) || (at_rest && self.handle.has_wish(Wish::Drain)) {
            return Err(PgError::fatal("57P01", "terminating connection due to administrator command")
                .detail("The proxy is shutting down.")
                .into());
        }
        let before_query = matches!(self.stage, Stage::Waiting(_)) || self.preparing != Preparing::Done;
        let resolving = self.is_resolving() && matches!(self.stage, Stage::Resting);
        if (before_query || resolving || self.waits_for_answer()) && self.handle.take_cancel() {
            self.stop_resolving();
            self.stop_waiting();
            self.refuse(&PgError::error("57014", "canceling statement due to user request"));
            self.continue_client()?; // the rest of its batch, up to the Sync that is owed an answer
        }
        Ok(())
    }

    /// Asks for a connection for the frame that is next. False when it is not there yet.
    pub(super) fn acquire(&mut self, frame: &[u8]) -> Result<bool, PgError> {
        let want = Want {
            client: self.handle.id,
            worker: self.worker,
            has_traces: self.has_traces,
            last: self.front.prefers_last(frame),
            settings: self.front.settings().id(),
            share: self.tenancy.as_ref().map_or_else(Share::default, |tenancy| tenancy.share()),
            strict: self.tenancy.as_ref().is_some_and(|tenancy| tenancy.is_strict()),
        };
        if let Some(tenancy) = &self.tenancy {
            tenancy.begin()?;
        }
        match self.pool.acquire(want) {
            crate::pool::Acquire::Ready(lease) => {
                self.waited = None;
                self.begin(lease, false);
                Ok(!self.holds())
            }
            crate::pool::Acquire::Wait(waiter) => {
                self.handle.set_waiting();
                self.stage = Stage::Waiting(waiter);
                Ok(false)
            }
            crate::pool::Acquire::Refused(error) => Err(error),
        }
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Stage::Waiting(waiter) = &mut self.stage else { return Ok(false) };
        match waiter.poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(lease)) => {
                self.waited = Some(waiter.since().elapsed());
                self.begin(lease, true);
                self.continue_client()?;
                Ok(true)
            }
            Poll::Ready(Err(error)) => {
                self.refuse(&error);
                self.continue_client()?;
                Ok(true)
            }
        }
    }

    /// The number of the client's tenant, and whether a connection that another one has used must be cleaned.
    fn tenant(&self) -> (u64, bool) {
        self.tenancy.as_ref().map_or((0, false), |tenancy| (tenancy.share().tenant, tenancy.is_strict()))
    }

    /// A connection is there: what must be done on it first goes out.
    fn begin(&mut self, mut lease: Lease, waited: bool) {
        self.over = false;
        self.preparing = Preparing::Done;
        let (tenant, strict) = self.tenant();
        let foreign = lease.owner.is_some_and(|owner| owner != (self.handle.id, tenant))
            || strict && lease.last_tenant().is_some_and(|last| last != tenant);
        if foreign {
            // What arbitrary SQL left behind, only this removes for certain.
            let query = if strict { EVERYTHING.to_owned() } else { lease.pool().cleaning_query() };
            // Until it is clean, whoever gets it back must clean it: the client may leave in the middle.
            lease.owner = lease.owner.or(Some((self.handle.id, lease.last_tenant().unwrap_or(tenant))));
            let backend = &mut *lease;
            backend.session.set_tainted();
            backend.session.own_query(query.as_bytes(), &mut backend.out);
            self.preparing = Preparing::Cleaning;
        } else {
            lease.used_by_borrower();
        }
        self.stage = Stage::Leased(lease);
        self.begin_telling(waited);
        self.leased_at = Some(self.last_time());
        if !foreign {
            self.prepare_settings();
        }
    }

    /// Its connection is ready for what it sends.
    fn runs(&self) {
        if let Stage::Leased(lease) = &self.stage {
            self.handle.set_running(&lease.handle, self.last_time());
        }
    }

    /// Brings the connection's settings to the client's, if they differ.
    pub(super) fn prepare_settings(&mut self) {
        let signature = self.signature();
        let Stage::Leased(lease) = &mut self.stage else { return };
        let backend = &mut **lease;
        if signature.is_none() && self.front.brings() {
            // With the first frame.
            backend.session.owe_settings(&self.front);
            self.preparing = Preparing::Done;
            self.runs();
            return;
        }
        let sign = signature.as_ref().map(|(signature, value)| (*signature, value.as_str()));
        if backend.session.preamble(&self.front, sign, &mut backend.out) {
            self.preparing = Preparing::Settings;
            self.handle.set_waiting();
        } else {
            self.preparing = Preparing::Done;
            self.runs();
        }
    }

    /// Called when the replies to what was done first are there.
    pub(super) fn prepared(&mut self) -> Result<(), End> {
        let Stage::Leased(lease) = &mut self.stage else { return Ok(()) };
        if self.preparing == Preparing::Done || lease.session.is_preparing() {
            return Ok(());
        }
        let failed = lease.session.take_preamble_error();
        match (self.preparing, failed) {
            (Preparing::Cleaning, None) => {
                lease.session.cleaned();
                lease.owner = None;
                lease.used_by_borrower();
                self.prepare_settings();
            }
            (_, None) => {
                self.preparing = Preparing::Done;
                self.runs();
            }
            (Preparing::Cleaning, Some(_)) => {
                lease.set_broken();
                self.refuse(
                    &PgError::error("08006", "the server connection could not be cleaned").hint("Try again."),
                );
            }
            (_, Some(error)) if lease.session.status() != b'I' => {
                // The transaction has failed, but not with a statement of the client's.
                let fields = ErrorFields::read(error.get(5..).unwrap_or_default());
                let text = String::from_utf8_lossy(fields.message).into_owned();
                return Err(PgError::fatal("25P02", "the session could not be brought to this connection")
                    .detail(text)
                    .into());
            }
            (_, Some(error)) => {
                // Nothing was changed: the preamble is one transaction.
                self.refuse_with(&error);
            }
        }
        if self.preparing == Preparing::Done { self.continue_client() } else { Ok(()) }
    }

    /// The frame that wanted a connection does not get one; the session goes on.
    fn refuse(&mut self, error: &PgError) {
        self.tell_error(&error.sqlstate);
        self.refuse_with(&error.to_bytes());
    }

    fn refuse_with(&mut self, error: &[u8]) {
        let cleaning = self.preparing == Preparing::Cleaning;
        self.preparing = Preparing::Done;
        self.handle.set_idle();
        match std::mem::replace(&mut self.stage, Stage::Resting) {
            Stage::Leased(lease) => {
                lease.recover(cleaning);
            }
            Stage::Waiting(_) | Stage::Resting => {}
        }
        self.refuse_frame(error);
    }

    /// True while the client's frames must not be judged.
    pub(super) fn holds(&self) -> bool {
        if self.is_resolving() || self.waits_for_hub() || self.waits_for_answer() {
            return true;
        }
        match &self.stage {
            Stage::Resting => false,
            Stage::Waiting(_) => true,
            // A signature is looked at where a connection is given, or rests.
            Stage::Leased(_) if self.probing && self.tenant().1 => true,
            Stage::Leased(lease) => self.preparing != Preparing::Done || lease.session.holds(),
        }
    }

    /// Gives the connection back if the transaction is over.
    pub(super) fn release(&mut self) -> Result<(), End> {
        let keeps = self.keeps_for_listening();
        let Stage::Leased(lease) = &mut self.stage else { return Ok(()) };
        if self.preparing != Preparing::Done || self.streaming > 0 || keeps {
            return Ok(());
        }
        let backend = &mut **lease;
        backend.session.end_slow_path(&mut backend.out);
        if self.statement_mode && lease.session.is_quiet() && lease.session.status() != b'I' {
            return Err(PgError::fatal(
                "0A000",
                "transaction blocks are not supported in statement pooling mode",
            )
            .hint("Use pool_mode = \"transaction\".")
            .into());
        }
        if self.probing && !lease.session.is_probing() {
            self.probing = false;
            self.runs();
        }
        let Stage::Leased(lease) = &mut self.stage else { return Ok(()) };
        if !lease.is_reusable() {
            return Ok(());
        }
        if self.tenancy.is_some() || self.cached.is_some() {
            let committed = !lease.session.take_rolled_back();
            if let Some(tenancy) = &mut self.tenancy {
                tenancy.end_transaction(committed);
            }
            self.end_wishes(committed);
        }
        self.transaction_over();
        let Stage::Leased(lease) = &mut self.stage else { return Ok(()) };
        let backend = &mut **lease;
        if self.front.brings() && backend.session.probe(&mut self.front, &mut backend.out) {
            // The client need not wait for it, and a cancel request of its must not hit it.
            self.probing = true;
            self.handle.set_idle();
            return Ok(());
        }
        lease.pin(self.front.brings())?;
        self.note_pin();
        let Stage::Leased(lease) = &mut self.stage else { return Ok(()) };
        if lease.kind() != Kind::Transaction || lease.session.is_tainted() {
            self.drop_answers(); // they may hang on what is left in the session
        } else {
            self.store_answers(true);
        }
        let Stage::Leased(lease) = &mut self.stage else { return Ok(()) };
        if lease.kind() != Kind::Transaction {
            if lease.session.settings().id() != self.front.settings().id() {
                self.prepare_settings(); // a DISCARD ALL has undone them
            }
            return Ok(());
        }
        if lease.session.is_tainted() {
            lease.owner = Some((self.handle.id, self.tenancy.as_ref().map_or(0, |t| t.share().tenant)));
            self.has_traces = true;
        }
        self.handle.set_idle();
        if let Stage::Leased(lease) = std::mem::replace(&mut self.stage, Stage::Resting) {
            lease.release();
        }
        Ok(())
    }

    fn phase(&self) -> Phase {
        match &self.stage {
            Stage::Resting if self.waits_for_answer() => Phase::Running,
            Stage::Resting => Phase::Resting,
            Stage::Waiting(_) => Phase::Waiting,
            Stage::Leased(lease) if !lease.session.is_quiet() || self.streaming > 0 => Phase::Running,
            Stage::Leased(lease) if lease.session.status() == b'I' => Phase::Resting,
            Stage::Leased(_) => Phase::InTransaction,
        }
    }

    fn watch_time(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let phase = self.phase();
        match self.deadline.as_mut().map(|deadline| deadline.poll(phase, cx)) {
            Some(Poll::Ready(error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Ends: the server connection comes to rest or is closed, the client hears why.
    async fn finish(mut self, end: End) {
        self.shared.clients.remove(&self.handle);
        self.client_has_all();
        if let End::Error(error) = &end {
            self.tell_error(&error.sqlstate);
        }
        self.handle.set_idle();
        self.handle.set_pinned(Leaves::NOTHING);
        self.leave_listening();
        let session_mode = matches!(&self.stage, Stage::Leased(lease) if lease.kind() != Kind::Transaction);
        match std::mem::replace(&mut self.stage, Stage::Resting) {
            Stage::Leased(mut lease) => {
                if self.streaming > 0 && self.streaming_on {
                    lease.set_broken(); // the rest of the frame will never come
                }
                let tainted = lease.session.is_tainted() || lease.owner.is_some();
                lease.recover(session_mode || tainted);
            }
            Stage::Waiting(waiter) => drop(waiter),
            Stage::Resting => {}
        }
        if self.has_traces {
            self.pool.forget_client(self.handle.id);
        }
        let client = self.handle.id;
        match &end {
            End::Terminated | End::Gone => tracing::debug!(%client, ?end, "client left"),
            End::Error(error) => tracing::info!(%client, %error, "session ended"),
        }
        if let End::Error(error) = end {
            let mut rest = self.out.bytes.split_off(self.out.sent.min(self.out.bytes.len()));
            error.write(&mut rest);
            let goodbye = async {
                self.io.write_all(&rest).await?;
                self.io.shutdown().await
            };
            let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        } else {
            // TLS says goodbye too, if the socket takes it.
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let _ = std::pin::Pin::new(&mut self.io).poll_shutdown(&mut cx);
        }
    }
}
