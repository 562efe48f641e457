//! Following one server database: what is written past Howdah ends answers that are kept.
//!
//! Two connections. On one the server streams what is committed (`pgoutput`); the tables of each transaction are
//! invalidated when its commit arrives. By the other one Howdah itself sends *pulses*, messages in the server's log
//! that come back on the stream: one that is back says that everything has come that was committed before it was
//! sent. When no pulse has come back that was sent within `max_lag`, caching of that database pauses. So what is
//! answered from memory is never older than that, or it is not answered from memory.
//!
//! Invariants:
//! - Nothing of the database is cached before the first pulse is back.
//! - After a gap, what was kept before is not used. Only a permanent slot leaves none.
//! - What a transaction wrote is invalidated when it is heard of, and again when it can be seen ([`pulse::Unseen`]).
//! - That it does not work is said once in the log, with the reason, and by the cache's state.

mod catalogs;
mod checks;
mod course;
mod own;
mod pulse;
mod slot;
mod splitter;
mod stream;

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

pub use self::checks::{Trouble, Weight, examine};
use self::course::{Course, Turn};
use self::own::Own;
use self::slot::Continuity;
use self::stream::Walsender;
use super::shared::Shared;
use crate::backend::{AskError, Backend, ConnectError, Connector, Loss};
use crate::cache::Database;
use crate::config::{Follow, FollowMode};
use crate::observe::FollowMetrics;
use crate::pool::{DatabasePlace, Pool};
use crate::wire::Malformed;

/// The first wait after a failed attempt, and the longest.
const BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// The server hears how far we are so often.
const CONFIRM: Duration = Duration::from_secs(1);
/// A stream that says nothing for so long, pulses neither, is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// These connections are never lent, so they do not move: whose they are does not matter.
const WORKER: usize = 0;
/// That one waits for a slot is said after this.
const SLOW_SLOT: Duration = Duration::from_secs(5);

/// What it takes to follow one server database.
pub struct Source {
    /// Its cache.
    pub cache: Arc<Database>,
    /// `[cache.follow]`.
    pub settings: Follow,
    /// The database on the server.
    pub dbname: String,
    /// Makes Howdah's own connections to it: see [`STARTUP`].
    pub plain: Arc<dyn Connector>,
    /// Makes replication connections to it: with `replication` = `database` in the startup message.
    pub replication: Arc<dyn Connector>,
    /// Its places are taken for both connections, and its listening connection hears notifications.
    pub pool: Arc<Pool>,
}

/// What the startup message of a connection of Howdah's own says, beside its login.
///
/// No schema of somebody's comes before the server's own; a pulse does not wait for standbys, and is not refused.
pub const STARTUP: [(&str, &str); 7] = [
    ("application_name", "howdah follow"),
    ("client_encoding", "UTF8"),
    ("search_path", "pg_catalog"),
    ("synchronous_commit", "local"),
    ("default_transaction_read_only", "off"),
    ("statement_timeout", "0"),
    ("idle_session_timeout", "0"),
];

/// And that of a replication connection.
pub const REPLICATION_STARTUP: [(&str, &str); 3] =
    [("application_name", "howdah follow"), ("client_encoding", "UTF8"), ("replication", "database")];

/// The databases that are followed.
#[derive(Debug)]
pub(super) struct Followers {
    started: Mutex<HashSet<String>>,
    closing: watch::Sender<bool>,
}

impl Default for Followers {
    fn default() -> Self {
        Self { started: Mutex::default(), closing: watch::Sender::new(false) }
    }
}

impl Followers {
    /// Each ends.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// Begins to follow a database, unless that is done already. `source` is asked only then. The cache is paused when this
/// returns, if the configuration wants changes followed.
pub fn follow(shared: &Shared, cache: &Database, source: impl FnOnce() -> Source) {
    let mut started = shared.followers.started.lock();
    if started.contains(cache.id()) {
        return;
    }
    started.insert(cache.id().to_owned());
    // Whoever comes next finds the cache paused.
    let source = source();
    if source.settings.notify {
        shared.hubs.watch(&source.cache, &source.pool);
    }
    if source.settings.mode == FollowMode::Replication {
        source.cache.pause("replication has not begun");
        let metrics = shared.metrics.cache.follow(source.cache.id());
        let mut closing = shared.followers.closing.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                never = run(source, &metrics) => match never {},
                _ = closing.wait_for(|closing| *closing) => {}
            }
        });
    }
}

/// Why a database is not followed at the moment.
#[derive(Debug)]
enum Fault {
    /// The server, or the configuration, is not fit for it.
    Unfit(String),
    /// No connection could be made.
    Connect(ConnectError),
    /// The server refused something: SQLSTATE and message.
    Server(String, String),
    /// A connection is lost, or of no more use.
    Lost(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(why) | Self::Lost(why) => f.write_str(why),
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Server(code, text) => write!(f, "the server said: {text} ({code})"),
        }
    }
}

impl From<Loss> for Fault {
    fn from(loss: Loss) -> Self {
        Self::Lost(format!("the connection is lost: {loss}"))
    }
}

impl From<Malformed> for Fault {
    fn from(what: Malformed) -> Self {
        Self::Lost(format!("protocol violation by the server: {what}"))
    }
}

impl From<AskError> for Fault {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Server(code, text) => Self::Server(code, text),
            AskError::Lost(loss) => loss.into(),
            AskError::TooMuch(_) | AskError::Unfit(_) => Self::Lost(error.to_string()),
        }
    }
}

/// Follows until the process ends.
async fn run(source: Source, metrics: &FollowMetrics) -> Infallible {
    let course = Course::new(Arc::clone(&source.cache), source.settings.max_lag);
    let mut continuity = None;
    let (mut backoff, mut said) = (BACKOFF, String::new());
    loop {
        let begun = Instant::now();
        let Err(fault) = attempt(&source, &course, &mut continuity, metrics).await;
        let why = fault.to_string();
        course.stop("replication is interrupted");
        metrics.following.set(0);
        metrics.reconnects.inc();
        if why != said {
            tracing::warn!(database = %source.cache.id(), %why, "changes are not followed: its cache is paused");
        }
        if begun.elapsed() > MAX_BACKOFF * 2 {
            backoff = BACKOFF;
        }
        said = why;
        sleep(backoff).await;
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

/// One stream, from its making to its end.
async fn attempt(
    source: &Source,
    course: &Course,
    continuity: &mut Option<Continuity>,
    metrics: &FollowMetrics,
) -> Result<Infallible, Fault> {
    let _places = places(&source.pool)?;
    let connect = |connector: &Arc<dyn Connector>| connector.connect(source.pool.next_id(), WORKER);
    let server = connect(&source.plain).await.map_err(Fault::Connect)?;
    let mut own = own_connection(server, source).await?;
    let backend = connect(&source.replication).await.map_err(Fault::Connect)?;
    let mut walsender = Walsender::new(*backend);
    let begun = slot::begin(&mut walsender, &mut own, source, continuity.as_ref()).await?;
    course.begin(begun.token, begun.whole);
    *continuity = begun.continuity;
    own.look(course).await?;
    let ended = {
        let spoken = own.speak(course);
        let heard = hear(&mut walsender, source, course, metrics);
        tokio::select! { ended = spoken => ended, ended = heard => ended }
    };
    if let Some(continuity) = continuity {
        continuity.position = continuity.position.max(walsender.position());
    }
    own.close();
    ended
}

/// Places for two connections.
fn places(pool: &Arc<Pool>) -> Result<[DatabasePlace; 2], Fault> {
    let none =
        || Fault::Unfit("no server connection is free for it: it takes two of max_db_connections".to_owned());
    Ok([pool.place().ok_or_else(none)?, pool.place().ok_or_else(none)?])
}

/// A connection of Howdah's own, to a server that can be followed.
async fn own_connection(mut server: Box<Backend>, source: &Source) -> Result<Own, Fault> {
    let found = tokio::time::timeout(SILENCE, checks::examine(&mut server, &source.settings)).await;
    let found = found.map_err(|_| Fault::Lost("the server does not answer".to_owned()))??;
    if let Some(stops) = checks::what_stops(&found) {
        server.terminate();
        return Err(Fault::Unfit(stops));
    }
    let version = server.parameters.iter().find(|(name, _)| **name == *b"server_version");
    let major =
        version.map(|(_, value)| value.split(|byte| !byte.is_ascii_digit()).next().unwrap_or_default());
    let major = major.and_then(|major| std::str::from_utf8(major).ok()?.parse().ok()).unwrap_or(14);
    Ok(Own::new(server, major))
}

/// Applies what comes, until nothing does.
async fn hear(
    walsender: &mut Walsender,
    source: &Source,
    course: &Course,
    metrics: &FollowMetrics,
) -> Result<Infallible, Fault> {
    let database = source.cache.id();
    let mut ticks = interval(CONFIRM);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard_at = Instant::now();
    loop {
        let deadline = course.deadline();
        let late = async move {
            match deadline {
                Some(deadline) => sleep_until(deadline + Duration::from_millis(1)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = walsender.hear() => {
                let heard = heard?;
                heard_at = Instant::now();
                metrics.transactions.inc_by(heard.events.len() as u64);
                if !course.apply(heard.events, heard_at) {
                    return Err(Fault::Lost("too many transactions are committed and not visible".to_owned()));
                }
                if heard.reply {
                    walsender.confirm().await?;
                }
            }
            () = late => {}
            _ = ticks.tick() => {
                walsender.confirm().await?;
                if heard_at.elapsed() > SILENCE.max(course.max_lag() * 4) {
                    return Err(Fault::Lost("the stream is silent".to_owned()));
                }
            }
        }
        let now = Instant::now();
        let lag = course.lag(now);
        metrics.lag.set(lag.as_secs_f64());
        match course.turn(now) {
            Turn::Resumed => {
                metrics.following.set(1);
                tracing::info!(%database, ?lag, "changes are followed: its cache is in use");
            }
            Turn::Lags => {
                metrics.following.set(0);
                let max_lag = course.max_lag();
                tracing::warn!(%database, ?lag, ?max_lag, "the replication stream lags: its cache is paused");
            }
            Turn::Same => {}
        }
    }
}
