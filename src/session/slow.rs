//! The slow path, for statements that share a transaction with nothing: what they must run with is set for the
//! session, the answer awaited, and undone behind them. One round trip more.

use std::sync::Arc;

use super::ahead::State;
use super::client::{ClientSession, To};
use super::expect::Expect;
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
        if server.slow == Slow::On {
            server.ahead.local = self.locals().map_or(0, |(_, number)| number);
            return Ok(true);
        }
        if server.owes_batch() || server.slow != Slow::Off {
            server.doubt = true;
            return Err(SlowWait::Wait);
        }
        if server.ahead.state != State::Idle || server.unsynced {
            return Ok(false);
        }
        wire::query(to.out, &locals.session_text());
        server.slow_reset = locals.reset_text(server.settings());
        server.unnamed = None; // a simple query drops it
        server.slow = Slow::Setting;
        server.slow_taint = server.tainted;
        server.tainted = true;
        server.doubt = true;
        server.push(Expect::aside(), to.replies);
        Err(SlowWait::Wait)
    }
}

impl ServerSession {
    /// `ReadyForQuery` of the client's own: the end of a statement on the slow path, if nothing is open.
    pub(super) fn slow_done(&mut self) {
        if self.slow == Slow::On && self.status == b'I' && self.expect.is_empty() && !self.unsynced {
            self.slow = Slow::Due;
        }
    }

    /// Writes the RESET behind a statement on the slow path, if it is due. Not in the middle of a frame.
    pub fn end_slow_path(&mut self, out: &mut Vec<u8>) {
        if self.slow == Slow::Due {
            wire::query(out, &std::mem::take(&mut self.slow_reset));
            self.slow = Slow::Resetting;
            self.unnamed = None;
            self.expect.push_back(Expect::aside());
        }
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
