//! Who may keep a server connection because of what is left in its session, and what is refused for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::client::{ClientSession, Mode};
use super::server::ServerSession;
use crate::ids::PinMode;
use crate::sql::Leaves;
use crate::wire::PgError;

/// A pinned session is looked at again after so many transactions at most.
const LOOK_EVERY: u32 = 64;
/// When a client has asked for the state of a sequence, so many connections are made ready for others to ask.
const ASKED: usize = 1024;

/// What all clients of one pool share about pins.
#[derive(Debug)]
pub struct PinGate {
    mode: PinMode,
    most: usize,
    pool: Box<str>,
    taken: AtomicUsize,
    by_reason: [AtomicUsize; Leaves::PINS.len()],
    /// A client has asked for the state of a sequence not long ago: on so many connections more.
    sequences: AtomicUsize,
}

impl PinGate {
    /// The gate of the pool of this name; at most `most` of its connections may be pinned at one time.
    pub fn new(mode: PinMode, most: usize, pool: &str) -> Arc<Self> {
        Arc::new(Self {
            mode,
            most,
            pool: pool.into(),
            taken: AtomicUsize::new(0),
            by_reason: Default::default(),
            sequences: AtomicUsize::new(0),
        })
    }

    /// What becomes of a client that leaves something.
    pub fn mode(&self) -> PinMode {
        self.mode
    }

    /// Connections that are kept for a reason: its place in [`Leaves::PINS`].
    pub fn pinned(&self, reason: usize) -> usize {
        self.by_reason.get(reason).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn take(self: &Arc<Self>) -> Option<PinPlace> {
        let next = |n: usize| (n < self.most).then_some(n + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        taken.ok().map(|_| PinPlace { gate: Arc::clone(self), reason: None })
    }

    /// 53300: there is no place.
    pub fn full(&self) -> PgError {
        let of = |(n, (_, word)): (usize, &(Leaves, &str))| {
            let count = self.pinned(n);
            (count > 0).then(|| format!("{word} {count}"))
        };
        let reasons: Vec<String> = Leaves::PINS.iter().enumerate().filter_map(of).collect();
        let most = self.most;
        let (are, them) = if most == 1 { ("is", "it") } else { ("are", "them") };
        let held =
            if reasons.is_empty() { String::new() } else { format!(" Kept now: {}.", reasons.join(", ")) };
        PgError::error("53300", "too many clients of this pool keep a server connection of their own")
            .detail(format!("At most {most} of the pool {} may be kept, and {are} in use.{held}", self.pool))
            .hint(format!(
                "See max_pinned_connections. End what keeps {them}: unlock, drop, close or DISCARD ALL."
            ))
    }

    /// Whether a client has asked for the state of a sequence not long ago: others like it, that have not asked yet,
    /// may do so too.
    pub(super) fn knows_sequences(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.sequences.load(Ordering::Relaxed) > 0
            && self.sequences.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    pub(super) fn note_sequences(&self) {
        self.sequences.store(ASKED, Ordering::Relaxed);
    }
}

/// A place among `max_pinned_connections`, given back on drop.
#[derive(Debug)]
pub(super) struct PinPlace {
    gate: Arc<PinGate>,
    reason: Option<usize>,
}

impl PinPlace {
    fn count(&mut self, reason: Option<usize>) {
        if reason == self.reason {
            return;
        }
        let of = |reason: Option<usize>| reason.and_then(|reason| self.gate.by_reason.get(reason));
        if let Some(count) = of(self.reason) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(count) = of(reason) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.reason = reason;
    }
}

impl Drop for PinPlace {
    fn drop(&mut self) {
        self.count(None);
        self.gate.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ClientSession {
    /// The gate of the pool whose connections it uses.
    pub fn set_gate(&mut self, gate: Arc<PinGate>) {
        self.gate = Some(gate);
    }

    /// What a text or statement leaves may need a place: takes one, before it runs.
    ///
    /// # Errors
    /// It is refused with this. 0A000: `pin = "refuse"`; 53300: there is no place.
    pub(super) fn judge_pins(&self, leaves: Leaves, server: &mut ServerSession) -> Result<(), PgError> {
        let mut plain = leaves.plain();
        if leaves.has(Leaves::EXECUTES) {
            plain |= self.sql_prepared.leaves().plain();
        }
        if plain == Leaves::NOTHING || self.mode == Mode::Exclusive {
            return Ok(());
        }
        let Some(gate) = &self.gate else { return Ok(()) };
        match gate.mode {
            PinMode::Never => Ok(()),
            PinMode::Refuse => Err(refused(plain)),
            PinMode::Auto if server.keep_place(gate) => Ok(()),
            PinMode::Auto => Err(gate.full()),
        }
    }
}

impl ServerSession {
    /// Has a place, or takes one. False if there is none.
    pub fn keep_place(&mut self, gate: &Arc<PinGate>) -> bool {
        if self.pin.is_none() {
            self.pin = gate.take();
        }
        self.pin.is_some()
    }

    /// Its client keeps it for this, or keeps it no more.
    pub fn count_pin(&mut self) {
        let reason = self.held.first_pin();
        if reason.is_none() {
            self.pin = None;
        }
        if let Some(place) = &mut self.pin {
            place.count(reason);
        }
    }

    /// What is left is not known, because the server could not be asked.
    pub fn is_blind(&self) -> bool {
        self.blind
    }

    /// A transaction of a pinned client is over: code that nobody read may have ended what it is pinned for.
    pub(super) fn count_transaction(&mut self) {
        if self.held.has(Leaves::LOCKS | Leaves::TEMPORARY | Leaves::CURSORS) {
            self.since_pin = self.since_pin.saturating_add(1);
            self.look |= self.since_pin.is_power_of_two() || self.since_pin.is_multiple_of(LOOK_EVERY);
        }
    }
}

fn refused(plain: Leaves) -> PgError {
    let hint = if plain.has(Leaves::LOCKS) {
        "Use pg_advisory_xact_lock, or pin = \"auto\"."
    } else if plain.has(Leaves::TEMPORARY) {
        "Create it with ON COMMIT DROP, or use pin = \"auto\"."
    } else if plain.has(Leaves::CURSORS) {
        "Use a cursor without HOLD in a transaction, or pin = \"auto\"."
    } else {
        "Use pin = \"auto\", or a pool with pool_mode = \"session\"."
    };
    PgError::error("0A000", "this statement would need a server connection of its own")
        .detail(format!("It may leave behind in its session: {}; and pin is \"refuse\".", plain.pin_words()))
        .hint(hint)
}

/// The end of a session that left something although that is refused.
pub fn left_behind(held: Leaves) -> PgError {
    PgError::fatal("0A000", "this session would need a server connection of its own")
        .detail(format!("What it left behind: {}; and pin is \"refuse\".", held.pin_words()))
        .hint("Use pin = \"auto\", or a pool with pool_mode = \"session\".")
}
