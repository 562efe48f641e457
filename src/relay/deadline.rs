//! The timeouts of a session. Without any configured it costs nothing.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::config::PoolSettings;
use crate::wire::PgError;

/// What the clock is running for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No transaction.
    Resting,
    /// Waiting for a connection: the pool keeps that clock.
    Waiting,
    /// A query runs.
    Running,
    /// In a transaction, and the client is to speak.
    InTransaction,
}

/// The timeouts that are on. Boxed in the session only if there are any.
#[derive(Debug)]
pub(super) struct Deadline {
    client_idle: Option<Duration>,
    query: Option<Duration>,
    transaction: Option<Duration>,
    idle_transaction: Option<Duration>,
    phase: Phase,
    transaction_since: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
    armed: bool,
}

impl Deadline {
    pub(super) fn new(settings: &PoolSettings, client_idle: Option<Duration>) -> Option<Box<Self>> {
        let (query, transaction) = (settings.query_timeout, settings.transaction_timeout);
        let idle_transaction = settings.idle_transaction_timeout;
        let any = client_idle.or(query).or(transaction).or(idle_transaction).is_some();
        any.then(|| {
            Box::new(Self {
                client_idle,
                query,
                transaction,
                idle_transaction,
                phase: Phase::Waiting,
                transaction_since: None,
                sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
                armed: false,
            })
        })
    }

    /// Notes the phase; ready with the error when its time is over.
    pub(super) fn poll(&mut self, phase: Phase, cx: &mut Context<'_>) -> Poll<PgError> {
        if phase != self.phase {
            self.enter(phase);
        }
        if self.armed && self.sleep.as_mut().poll(cx).is_ready() {
            self.armed = false;
            return Poll::Ready(self.error());
        }
        Poll::Pending
    }

    fn enter(&mut self, phase: Phase) {
        let now = Instant::now();
        self.phase = phase;
        match phase {
            Phase::Resting | Phase::Waiting => self.transaction_since = None,
            Phase::Running | Phase::InTransaction => {
                self.transaction_since.get_or_insert(now);
            }
        }
        let due = self.due(now);
        self.armed = due.is_some();
        if let Some(due) = due {
            self.sleep.as_mut().reset(due);
        }
    }

    fn due(&self, now: Instant) -> Option<Instant> {
        let of_phase = match self.phase {
            Phase::Resting => self.client_idle,
            Phase::Waiting => None,
            Phase::Running => self.query,
            Phase::InTransaction => self.idle_transaction,
        };
        let of_transaction = self.transaction.zip(self.transaction_since).map(|(limit, since)| since + limit);
        [of_phase.map(|limit| now + limit), of_transaction].into_iter().flatten().min()
    }

    fn error(&self) -> PgError {
        let over = self.transaction.zip(self.transaction_since).is_some_and(|(most, t)| t.elapsed() >= most);
        match self.phase {
            _ if over => PgError::fatal("25P04", "terminating connection due to transaction timeout")
                .hint("See transaction_timeout."),
            Phase::InTransaction => {
                PgError::fatal("25P03", "terminating connection due to idle-in-transaction timeout")
                    .hint("See idle_transaction_timeout.")
            }
            Phase::Running => {
                PgError::fatal("57014", "canceling statement due to query timeout").hint("See query_timeout.")
            }
            Phase::Resting | Phase::Waiting => {
                PgError::fatal("57P05", "terminating connection due to idle-session timeout")
                    .hint("See client_idle_timeout.")
            }
        }
    }
}
