//! The slow path, for statements that share a transaction with nothing: what they must run with is set for the
//! session, the answer awaited, and undone behind them. One round trip more.

use std::sync::Arc;

use super::ahead::State;
use super::client::{ClientSession, To};
use super::expect::{Expect, Kind};
use super::locals::Locals;
use super::server::ServerSession;
use crate::wire;

/// Where the slow path is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Slow {
    /// Not on it.
    #[default]
    Off,
    /// The locals are being set for the session.
    Setting,
    /// They are set: the client's statement may go.
    On,
    /// They were set for the session in the middle of a batch, which may fail.
    Late,
    /// It is done: a RESET is due.
    Due,
    /// The RESET is on its way.
    Resetting,
}

/// Why a statement of the slow path does not go yet, or at all.
pub(super) enum SlowWait {
    Wait,
    /// The server refused the settings: its `ErrorResponse`.
    Failed(Vec<u8>),
}

impl ClientSession {
    /// Takes the slow path further. `Ok(true)`: the statement may go; `Ok(false)`: a transaction is open,
    /// so the statement is one like others.
    pub(super) fn slow_step(&mut self, locals: &Arc<Locals>, to: &mut To<'_>) -> Result<bool, SlowWait> {
        let server = &mut *to.server;
        if let Some(error) = server.slow_error.take() {
            server.slow = Slow::Off;
            return Err(SlowWait::Failed(error));
        }
        let number = self.locals().map_or(0, |(_, number)| number);
        if server.holds_locals(number) {
            server.ahead.local = number;
            return Ok(true);
        }
        if server.unsynced && !server.begun && server.ahead.is_outside() {
            server.cut_batch(to.out);
        }
        if server.owes_batch() {
            server.doubt = true;
            return Err(SlowWait::Wait);
        }
        if server.ahead.state != State::Idle || server.unsynced {
            return Ok(false);
        }
        if server.slow != Slow::Off {
            server.doubt = true;
            return Err(SlowWait::Wait);
        }
        wire::query(to.out, &locals.session_text());
        server.slow_reset = locals.reset_text(server.settings());
        server.unnamed = None; // a simple query drops it
        server.slow = Slow::Setting;
        server.slow_number = number;
        server.ahead.reset = false;
        server.slow_taint = server.tainted;
        server.tainted = true;
        server.doubt = true;
        server.push(Expect::aside(), to.replies);
        Err(SlowWait::Wait)
    }

    /// Sets the locals for the session in the middle of a batch, ahead of a statement that may commit: in a
    /// transaction of its own it would have them no more. The RESET goes behind the batch.
    pub(super) fn inject_session(&mut self, unnamed: bool, to: &mut To<'_>) {
        let Some((locals, number)) = self.locals().map(|(locals, number)| (Arc::clone(locals), number))
        else {
            return;
        };
        self.run_unnamed(&locals.select(false), unnamed, to);
        let server = &mut *to.server;
        if server.slow == Slow::Off {
            server.slow_taint = server.tainted;
            server.slow_reset.clear();
        }
        server.tainted = true;
        server.slow = Slow::Late;
        let reset = locals.reset_text(&server.settings);
        if !server.slow_reset.ends_with(&reset) {
            server.slow_reset.extend_from_slice(&reset);
        }
        server.ahead.local = number;
    }
}

impl ServerSession {
    /// The slow path has set these locals for the session, and nothing that went out since has undone that.
    pub(super) fn holds_locals(&self, number: u64) -> bool {
        self.slow == Slow::On && self.slow_number == number && !self.ahead.reset
    }

    /// `ReadyForQuery` of the client's own: the end of a statement on the slow path, if nothing is open.
    pub(super) fn slow_done(&mut self) {
        // A batch that runs again needs them again.
        let set = matches!(self.slow, Slow::On | Slow::Late) && self.healing.is_none();
        if set && self.status == b'I' && !self.owes_batch() && !self.begun {
            self.slow = Slow::Due;
        }
    }

    /// Writes the RESET behind a statement on the slow path, if it is due. Not in the middle of a frame.
    pub fn end_slow_path(&mut self, out: &mut Vec<u8>) {
        if self.slow == Slow::Due {
            if self.unsynced {
                self.cut_batch(out);
            }
            wire::query(out, &std::mem::take(&mut self.slow_reset));
            self.slow = Slow::Resetting;
            self.unnamed = None;
            self.expect.push_back(Expect::aside());
        }
    }

    /// Ends a batch of nothing but Close, where the client has not ended it: they end and begin nothing.
    pub(super) fn cut_batch(&mut self, out: &mut Vec<u8>) {
        wire::sync(out);
        self.expect.push_back(Expect::new(Kind::Sync, false));
        self.unsynced = false;
    }

    /// `ReadyForQuery` of a query of the slow path.
    pub(super) fn slow_ready(&mut self) {
        self.slow = match self.slow {
            Slow::Setting if self.slow_error.is_none() => Slow::On,
            Slow::Setting => {
                // Nothing was set; the frame that waits is told why.
                self.tainted = self.slow_taint;
                Slow::Off
            }
            _ => {
                self.tainted = self.slow_taint || self.worn;
                Slow::Off
            }
        };
    }

    /// A query of the slow path failed.
    pub(super) fn slow_failed(&mut self, error: Vec<u8>) {
        if self.slow == Slow::Setting {
            self.slow_error = Some(error);
        } else {
            // The tenant is still set for the session: nobody else may have it.
            self.worn = true;
        }
    }
}
