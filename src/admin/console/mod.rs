//! The console: the databases `howdah` and `pgbouncer`, answered by Howdah itself.
//!
//! What it is for: looking at Howdah and changing it with any client that speaks to Postgres.
//!
//! Invariants:
//! - Who is here has logged in as all clients do, and is listed in `[admin]`.
//! - It never has a server connection: it works when every server is down and every pool is full.
//! - One message and its answer are in memory at a time, both bounded.

mod cache;
mod command;
mod observed;
mod options;
mod pools;
mod settings;
mod show;
mod sockets;
mod stats;
mod table;
mod talk;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub use self::stats::StatHistory;
use self::talk::{Next, Talk};
use crate::cache::{Cache, Database};
use crate::config::Config;
use crate::frontend::{ClientInfo, Operator};
use crate::net::Stream;
use crate::observe::Observer;
use crate::pool::Pool;
use crate::wire::{self, PgError, Side};

/// As `SHOW VERSION` and the clients' `server_version` have it.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/howdah");
/// Most operators at one time. They have no place among `max_client_conn`: the console is for the times when
/// that is full.
const MAX_OPERATORS: usize = 64;
/// Longest message of an operator, in bytes.
const MAX_MESSAGE: usize = 64 << 10;

/// What the console works on; implemented where everything is known.
pub trait Operations: Send + Sync + 'static {
    /// The cache, if there is one.
    fn cache(&self) -> Option<Arc<Cache>>;
    /// What is cached of a database, by the name that clients ask for or by its own, `host:port/name`.
    fn cached_database(&self, name: &str) -> Option<Arc<Database>>;
    /// What was measured; `None`: nothing is.
    fn observer(&self) -> Option<Arc<Observer>>;
    /// The configuration that holds now.
    fn config(&self) -> Arc<Config>;
    /// All pools.
    fn pools(&self) -> Vec<Arc<Pool>>;
    /// All clients that are logged in, the first first.
    fn clients(&self) -> Vec<ClientInfo>;
    /// Connections that have not logged in yet.
    fn logins(&self) -> usize;
    /// What the sums of SHOW STATS were a while ago.
    fn history(&self) -> &StatHistory;
    /// No new client is welcome.
    fn is_draining(&self) -> bool;
    /// Bytes of memory that the process has.
    fn resident(&self) -> Option<usize>;
}

/// How many operators there are.
#[derive(Debug, Default)]
pub struct Operators(AtomicUsize);

struct Place(Arc<Operators>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Operators {
    fn enter(self: &Arc<Self>) -> Result<Place, PgError> {
        let enter = |n| (n < MAX_OPERATORS).then_some(n + 1);
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter) {
            Ok(_) => Ok(Place(Arc::clone(self))),
            Err(_) => Err(PgError::fatal("53300", "sorry, too many operators already")),
        }
    }
}

/// Welcomes an operator and talks with it in a task of its own. The caller bounds the time until then.
///
/// # Errors
/// It was refused, and told so.
pub async fn serve_operator(
    operator: Operator,
    operators: &Arc<Operators>,
    operations: Arc<dyn Operations>,
) -> Result<(), PgError> {
    let Operator { mut stream, early, mut pending, user, application_name, secret_len, may_change } =
        operator;
    let place = match operators.enter() {
        Ok(place) => place,
        Err(error) => {
            error.write(&mut pending);
            let _ = stream.write_all(&pending).await;
            let _ = stream.shutdown().await;
            return Err(error);
        }
    };
    welcome(&mut pending, application_name.as_deref(), secret_len);
    let talk = Talk::new(operations, Arc::clone(&user.name), may_change);
    if stream.write_all(&pending).await.is_ok() && stream.flush().await.is_ok() {
        tokio::spawn(async move {
            // An error is that of a connection that is gone.
            let _ = listen(stream, early, talk).await;
            drop(place);
        });
    }
    Ok(())
}

/// What a client expects of a server. The cancel key opens nothing: no command takes long enough to cancel it.
fn welcome(out: &mut Vec<u8>, application_name: Option<&str>, secret_len: usize) {
    for (name, value) in [
        ("server_version", VERSION),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("integer_datetimes", "on"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "UTC"),
        ("application_name", application_name.unwrap_or_default()),
    ] {
        wire::parameter_status_into(out, name.as_bytes(), value.as_bytes());
    }
    wire::backend_key_data(out, 0, &vec![0; secret_len]);
    wire::ready_for_query(out, b'I');
}

async fn listen(mut stream: Stream, mut read: Vec<u8>, mut talk: Talk) -> std::io::Result<()> {
    loop {
        match wire::header(Side::Frontend, &read) {
            Ok(Some(frame)) if frame.len > MAX_MESSAGE => {
                return bye(stream, PgError::fatal("54000", "a message to the console is too long")).await;
            }
            Ok(Some(frame)) if read.len() >= frame.len => {
                let rest = read.split_off(frame.len);
                let message = std::mem::replace(&mut read, rest);
                // What it looks at may be large: not on a worker, whose clients would wait.
                let work = tokio::task::spawn_blocking(move || {
                    let mut out = Vec::new();
                    let next = talk.message(frame, message.get(5..).unwrap_or_default(), &mut out);
                    (talk, next, out)
                });
                let (same, next, out) = work.await?;
                talk = same;
                stream.write_all(&out).await?;
                stream.flush().await?;
                if next == Next::End {
                    return stream.shutdown().await;
                }
            }
            Ok(_) => {
                if stream.read_buf(&mut read).await? == 0 {
                    return Ok(());
                }
            }
            Err(error) => return bye(stream, PgError::protocol_violation(error.to_string())).await,
        }
    }
}

async fn bye(mut stream: Stream, error: PgError) -> std::io::Result<()> {
    stream.write_all(&error.to_bytes()).await?;
    stream.shutdown().await
}
