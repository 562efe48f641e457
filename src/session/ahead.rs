//! Which transaction a frame will meet when the server comes to it, as far as that is certain: frames go out
//! before the answers to earlier ones are there.

use crate::sql::Class;

/// What the server will be in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// No transaction.
    #[default]
    Idle,
    /// A transaction block.
    Block,
    /// A failed one.
    Failed,
    /// Frames in flight decide it.
    Unknown,
}

/// The transaction ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) state: State,
    /// Which of the client's [`super::Locals`] are set in it, by their number; 0: none.
    pub(super) local: u64,
    /// A statement that needed them has gone out in it.
    pub(super) ran: bool,
    /// A transaction has ended since the server was last known to be in none.
    pub(super) ended: bool,
    /// A frame of the open batch may have begun or ended a transaction.
    moved: bool,
    /// A statement of the open batch has gone out.
    stepped: bool,
    /// RESET ALL has gone out: what is set for the session may be gone.
    pub(super) reset: bool,
}

impl Ahead {
    /// Nothing is in flight: what the server said last holds.
    pub(super) fn settle(&mut self, status: u8) {
        self.moved = false;
        self.stepped = false;
        self.reset = false;
        self.state = match status {
            b'T' => State::Block,
            b'E' => State::Failed,
            _ => State::Idle,
        };
        if self.state == State::Idle {
            self.over();
            self.ended = false;
        }
    }

    fn over(&mut self) {
        self.local = 0;
        self.ran = false;
    }

    fn end(&mut self) {
        self.over();
        self.ended = true;
    }

    /// No statement of the open batch has gone out, nor what it needs: the batch has changed nothing.
    pub(super) fn is_untouched(&self) -> bool {
        !self.stepped && self.state == State::Unknown && self.local == 0
    }

    /// No block is open, as far as is known.
    pub(super) fn is_outside(&self) -> bool {
        matches!(self.state, State::Idle | State::Unknown)
    }

    /// Whether a statement of this class needs the locals `number` to be set before it.
    pub(super) fn needs(&self, class: Class, number: u64) -> bool {
        class.needs_locals()
            && match self.state {
                State::Failed => false, // the server refuses all but the end of the transaction
                State::Idle | State::Block | State::Unknown => self.local != number,
            }
    }

    /// A statement goes out.
    pub(super) fn step(&mut self, class: Class) {
        self.ran |= class.needs_locals();
        self.stepped = true;
        match class {
            Class::Begin if self.state != State::Failed => {
                self.state = State::Block;
                self.moved = true;
            }
            Class::End => {
                self.end();
                self.state = State::Idle;
                self.moved = true;
            }
            Class::Chain => {
                self.end();
                self.state = State::Block;
                self.moved = true;
            }
            Class::RollbackTo => {
                self.local = 0;
                self.state = State::Block;
                self.moved = true;
            }
            Class::ResetAll => {
                self.local = 0;
                self.reset = true;
            }
            _ => {}
        }
    }

    /// The end of a batch, or of a simple query; `sure` if all that moved the transaction was a single statement
    /// that ends it, which leaves no doubt.
    pub(super) fn end_batch(&mut self, sure: bool) {
        let moved = std::mem::take(&mut self.moved);
        self.stepped = false;
        if moved && !sure {
            self.state = State::Unknown;
        }
        match self.state {
            State::Idle => self.over(),
            // If a transaction is open, they may be set in it or not: once more does no harm.
            State::Unknown => self.local = 0,
            State::Block | State::Failed => {}
        }
    }

    /// A frame that was made to fail goes out.
    pub(super) fn fail(&mut self) {
        self.stepped = true;
        self.state = match self.state {
            State::Idle => State::Idle,
            State::Block | State::Failed => State::Failed,
            State::Unknown => State::Unknown,
        };
    }
}
