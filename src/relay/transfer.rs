//! The session's way of moving bytes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffer;
use super::cached::Answered;
use super::own::Own;
use super::session::{End, Preparing, Session, Stage};
use super::tenant::Tenure;
use crate::session::Verdict;
use crate::wire::{self, Frame, PgError, Side, front};

/// As long as more waits to be written to a server or to its client, the client is not read.
const MAX_UNWRITTEN: usize = 256 << 10;
/// Up to so many bytes for a client wait until the worker's other sessions have had their turn.
const SOON: usize = 16 << 10;
/// Of a Query, Bind or `FunctionCall` this much is read before a server connection is asked for it; longer
/// ones stream.
const BEGINNING: usize = 64 << 10;
/// Of a Query this much with a cache: what it writes must be read. Of a longer one anything is believed.
const MAX_READ: usize = 1 << 20;
/// The longest Parse: a statement must be whole to be prepared on another connection.
const MAX_PARSE: usize = 16 << 20;

impl Session {
    /// Writes what waits for the client. Pending when the client does not take it.
    pub(super) fn flush_client(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        match self.poll_flush_client(cx) {
            Poll::Ready(Err(_)) => Err(End::Gone),
            Poll::Ready(Ok(())) => {
                self.client_has_all();
                Ok(Poll::Ready(()))
            }
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    fn poll_flush_client(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let out = &mut self.out;
        while out.sent < out.bytes.len() {
            let rest = out.bytes.get(out.sent..).unwrap_or_default();
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                n => out.sent += n,
            }
            out.unflushed = self.io.is_tls();
        }
        let sent = std::mem::take(&mut out.sent);
        out.bytes.clear();
        if out.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            out.unflushed = false;
        }
        self.count_sent(sent);
        Poll::Ready(Ok(()))
    }

    /// Writes what waits for the server. True when something that waited is gone.
    pub(super) fn flush_server(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Stage::Leased(lease) = &mut self.stage else { return Ok(false) };
        let waiting = lease.unwritten();
        match lease.poll_flush(cx) {
            Poll::Ready(Ok(())) => Ok(waiting > 0),
            Poll::Pending => Ok(lease.unwritten() < waiting),
            Poll::Ready(Err(loss)) => Err(self.lost(&loss)),
        }
    }

    /// Reads from the server and passes it on. True when something came.
    pub(super) fn read_server(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Result<bool, End> {
        let Stage::Leased(lease) = &mut self.stage else { return Ok(false) };
        let n = match lease.poll_read(cx, scratch) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(loss)) => return Err(self.lost(&loss)),
        };
        let chunk = scratch.get(..n).unwrap_or_default();
        self.answer_comes();
        if self.listener.is_some() {
            self.collect();
        }
        let Stage::Leased(lease) = &mut self.stage else { return Ok(false) };
        buffer::lend(&mut self.out.bytes);
        match lease.feed(&mut self.front, chunk, &mut self.out.bytes) {
            Ok(run) => {
                self.wrote_at = self.wrote_at.max(std::mem::take(&mut lease.wrote_at));
                self.pass_on(cx, chunk.get(run).unwrap_or_default())?;
            }
            Err(loss) => return Err(self.lost(&loss)),
        }
        self.note_done();
        self.heal()?;
        self.prepared()?;
        self.settle_listening();
        self.store_answers(false);
        // Before the client's next frames: they may need other settings on it (after a DISCARD ALL).
        self.release()?;
        self.continue_client()?;
        Ok(true)
    }

    /// Sends bytes to the client that were not copied yet: those that it takes at once never are.
    fn pass_on(&mut self, cx: &mut Context<'_>, run: &[u8]) -> Result<(), End> {
        if run.len() + self.out.bytes.len() <= SOON {
            // Others of this worker that were woken with us come first: one wake-up of the client's process
            // may then serve them all.
            buffer::lend(&mut self.out.bytes);
            self.out.bytes.extend_from_slice(run);
            self.yielding = !self.out.bytes.is_empty();
            return Ok(());
        }
        let mut sent = 0;
        if self.out.bytes.is_empty() && !run.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, run) {
                Poll::Ready(Ok(n)) => {
                    sent = n;
                    self.count_sent(n);
                    self.out.unflushed = self.io.is_tls();
                }
                Poll::Ready(Err(_)) => return Err(End::Gone),
                Poll::Pending => {}
            }
        }
        let rest = run.get(sent..).unwrap_or_default();
        if !rest.is_empty() {
            buffer::lend(&mut self.out.bytes);
            self.out.bytes.extend_from_slice(rest);
        }
        if !self.out.is_empty() {
            let _ = self.flush_client(cx)?;
        }
        Ok(())
    }

    /// Runs a batch again that met a stale prepared statement.
    fn heal(&mut self) -> Result<(), End> {
        let Stage::Leased(lease) = &mut self.stage else { return Ok(()) };
        let backend = &mut **lease;
        backend.session.begin_healing(&mut backend.out);
        if backend.session.take_replay_due() {
            tracing::debug!(client = %self.handle.id, server = %backend.id(), "a stale prepared statement is prepared again");
            let replies = &mut self.out.bytes;
            self.front.replay(&mut backend.session, &mut backend.out, replies, &self.shared.interner)?;
        }
        Ok(())
    }

    /// Reads from the client. True when something came.
    pub(super) fn read_client(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Result<bool, End> {
        if !self.wants_client() {
            return Ok(false);
        }
        let mut buf = ReadBuf::new(scratch);
        match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(_)) => return Err(End::Gone),
            Poll::Ready(Ok(())) if buf.filled().is_empty() => return Err(End::Gone),
            Poll::Ready(Ok(())) => {}
        }
        self.heard(buf.filled().len());
        self.take_in(buf.filled())?;
        // At once, and not with the next turn of the loop: it is what everybody waits for.
        self.flush_server(cx)?;
        Ok(true)
    }

    /// Whether more of the client's bytes are of use now. A client that is held back is still read a little,
    /// so that its leaving is noticed.
    fn wants_client(&self) -> bool {
        let held = self.holds();
        match &self.stage {
            Stage::Leased(lease) if lease.unwritten() > MAX_UNWRITTEN => false,
            Stage::Resting if !self.out.is_empty() => false,
            _ if self.out.bytes.len() > MAX_UNWRITTEN => false,
            _ => !held || self.carry.len() < BEGINNING,
        }
    }

    /// Uses new bytes of the client, and keeps what cannot be used yet.
    pub(super) fn take_in(&mut self, chunk: &[u8]) -> Result<(), End> {
        if self.carry.is_empty() {
            let used = self.judge(chunk)?;
            let rest = chunk.get(used..).unwrap_or_default();
            if !rest.is_empty() {
                buffer::lend(&mut self.carry);
                self.carry.extend_from_slice(rest);
            }
            return Ok(());
        }
        self.carry.extend_from_slice(chunk);
        let mut bytes = std::mem::take(&mut self.carry);
        let used = self.judge(&bytes);
        bytes.drain(..*used.as_ref().unwrap_or(&0));
        self.carry = bytes;
        used.map(|_| ())
    }

    /// Goes on with what was kept.
    pub(super) fn continue_client(&mut self) -> Result<(), End> {
        if self.carry.is_empty() || self.holds() { Ok(()) } else { self.take_in(&[]) }
    }

    /// Judges as many frames as possible. Returns how many bytes were used.
    fn judge(&mut self, bytes: &[u8]) -> Result<usize, End> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.streaming > 0 {
                let n = self.streaming.min(rest.len());
                self.stream(rest.get(..n).unwrap_or_default());
                at += n;
                continue;
            }
            let too_much = matches!(&self.stage, Stage::Leased(lease) if lease.unwritten() > MAX_UNWRITTEN);
            if too_much || self.holds() {
                break;
            }
            let Some(head) = header(rest)? else { break };
            let here = head.len.min(rest.len());
            let caches = self.pool.caching().is_some();
            if here < enough(head, self.tenancy.is_some(), caches)? {
                break;
            }
            let frame = rest.get(..here).unwrap_or_default();
            let Some(used) = self.judge_frame(head, frame, rest)? else { break };
            at += used;
            self.count_frame(head.tag);
            self.frame_done();
        }
        self.release()?;
        Ok(at)
    }

    /// Judges one frame (or its beginning), with which `rest` begins. How many bytes that was: more if those behind it
    /// were answered with it. `None` when it must wait.
    fn judge_frame(&mut self, head: Frame, frame: &[u8], rest: &[u8]) -> Result<Option<usize>, End> {
        let caches = self.pool.caching().is_some();
        // Without tenants only texts can be about Howdah itself, and what was prepared of them.
        let own = caches && (self.own.is_some() || matches!(head.tag, front::QUERY | front::PARSE));
        if (self.tenancy.is_some() || own)
            && let Some(done) = self.judge_tenant(head, frame)
        {
            return Ok(done.then_some(frame.len()));
        }
        if caches {
            match self.answer(head, rest) {
                Answered::Not => {}
                Answered::Bytes(bytes) => return Ok(Some(bytes)),
                Answered::Wait => return Ok(None),
            }
            if let Some(error) = self.misses_portal(head, frame) {
                self.refuse_next(head, frame, error);
                return Ok(Some(frame.len()));
            }
        }
        if self.over
            && let Err(error) = self.begin_next(head.tag)
        {
            self.refuse_next(head, frame, error);
            return Ok(Some(frame.len()));
        }
        Ok(self.judge_plain(head, frame)?.then_some(frame.len()))
    }

    /// Judges a frame that a server answers. False when it must wait.
    fn judge_plain(&mut self, head: Frame, frame: &[u8]) -> Result<bool, End> {
        loop {
            self.keep_answer(head.tag);
            let verdict = match &mut self.stage {
                Stage::Resting => {
                    buffer::lend(&mut self.out.bytes);
                    self.front.without_server(frame, &mut self.out.bytes)?
                }
                Stage::Waiting(_) => return Ok(false),
                Stage::Leased(lease) => {
                    let backend = &mut **lease;
                    let (out, replies) = (&mut backend.out, &mut self.out.bytes);
                    let interner = &self.shared.interner;
                    self.front.with_server(&mut backend.session, frame, head.len, out, replies, interner)?
                }
            };
            if verdict == Verdict::Wait {
                if self.listen_first() {
                    continue;
                }
                if let Stage::Leased(lease) = &self.stage
                    && lease.session.is_preparing()
                {
                    self.preparing = Preparing::Settings;
                    self.handle.set_waiting();
                }
                return Ok(false);
            }
            self.streaming = head.len - frame.len();
            self.streaming_on = false;
            match verdict {
                Verdict::Forward => {
                    self.streaming_on = true;
                    self.write_server(frame);
                }
                Verdict::Rewritten(used) if used < head.len => {
                    self.streaming_on = true;
                    self.write_server(frame.get(used..).unwrap_or_default());
                }
                Verdict::Rewritten(_) | Verdict::Reply | Verdict::Ignore | Verdict::Wait => {}
                Verdict::Terminate => return Err(End::Terminated),
                Verdict::NeedServer => {
                    self.streaming = 0;
                    match self.acquire(frame) {
                        Ok(true) => continue,
                        Ok(false) => return Ok(false),
                        Err(error) => {
                            self.tell_error(&error.sqlstate);
                            buffer::lend(&mut self.out.bytes);
                            self.front.refuse(head.tag, &error, &mut self.out.bytes);
                            self.streaming = head.len - frame.len();
                        }
                    }
                }
            }
            return Ok(true);
        }
    }

    /// Sees to a frame's tenant first. `Some` when the frame is dealt with (true) or must wait (false).
    fn judge_tenant(&mut self, head: Frame, frame: &[u8]) -> Option<bool> {
        let skipped = match &self.stage {
            Stage::Resting => self.front.is_skipping(),
            Stage::Waiting(_) => true,
            Stage::Leased(lease) => lease.session.is_discarding(),
        };
        if skipped && head.tag != front::SYNC {
            return None;
        }
        buffer::lend(&mut self.out.bytes);
        let error = match self.own(head.tag, frame) {
            Own::Done => return Some(true),
            Own::Wait => return Some(false),
            Own::Refused(error) => error,
            Own::Not => match self.tenure(head.tag, frame) {
                Ok(Tenure::Right) if self.renew_signature() => return Some(false),
                Ok(Tenure::Right) => return None,
                Ok(Tenure::Wait) => return Some(false),
                Err(error) => error,
            },
        };
        self.refuse_next(head, frame, error);
        Some(true)
    }

    /// Refuses a frame before it is judged.
    fn refuse_next(&mut self, head: Frame, frame: &[u8], error: PgError) {
        self.tell_error(&error.sqlstate);
        self.streaming = head.len - frame.len();
        self.streaming_on = false;
        buffer::lend(&mut self.out.bytes);
        let replies = &mut self.out.bytes;
        if let Stage::Leased(lease) = &mut self.stage {
            let backend = &mut **lease;
            let (out, intern) = (&mut backend.out, &self.shared.interner);
            self.front.refuse_in_place(&mut backend.session, head.tag, error, out, replies, intern);
        } else {
            self.front.refuse(head.tag, &error, replies);
        }
    }

    fn stream(&mut self, bytes: &[u8]) {
        self.streaming -= bytes.len();
        if self.streaming_on {
            self.write_server(bytes);
        }
    }

    fn write_server(&mut self, bytes: &[u8]) {
        if let Stage::Leased(lease) = &mut self.stage {
            lease.out.extend_from_slice(bytes);
        }
    }

    /// Refuses the frame at the front of what was kept: it is the one that wanted a connection.
    pub(super) fn refuse_frame(&mut self, error: &[u8]) {
        buffer::lend(&mut self.out.bytes);
        let Ok(Some(head)) = wire::header(Side::Frontend, &self.carry) else {
            self.out.bytes.extend_from_slice(error);
            return;
        };
        self.front.refuse_with(head.tag, error, &mut self.out.bytes);
        let here = head.len.min(self.carry.len());
        self.carry.drain(..here);
        self.streaming = head.len - here;
        self.streaming_on = false;
        self.frame_done();
    }
}

fn header(bytes: &[u8]) -> Result<Option<Frame>, End> {
    wire::header(Side::Frontend, bytes).map_err(|error| {
        let code = if matches!(error, wire::FrameError::TooLong(..)) { "54000" } else { "08P01" };
        PgError::fatal(code, error.to_string()).into()
    })
}

/// How many bytes of a frame must be there before it is judged.
fn enough(head: Frame, whole_text: bool, caches: bool) -> Result<usize, End> {
    match head.tag {
        front::QUERY if whole_text && head.len > MAX_PARSE => {
            Err(PgError::fatal("54000", format!("a query with a tenant may have {MAX_PARSE} bytes at most"))
                .into())
        }
        front::QUERY if whole_text => Ok(head.len),
        front::COPY_DATA | front::COPY_FAIL => Ok(5),
        front::QUERY if caches => Ok(head.len.min(MAX_READ)),
        front::QUERY | front::BIND | front::FUNCTION_CALL => Ok(head.len.min(BEGINNING)),
        front::PARSE if head.len > MAX_PARSE => {
            Err(PgError::fatal("54000", format!("a statement to prepare may have {MAX_PARSE} bytes at most"))
                .into())
        }
        _ => Ok(head.len),
    }
}
