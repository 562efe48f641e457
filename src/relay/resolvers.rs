//! Settings that follow from others: queries of the configuration, run on connections of Howdah's own.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::backend::{AskError, ask};
use crate::config::Resolver;
use crate::ids::ClientId;
use crate::pool::{Acquire, Lease, Pool, Share, Want};
use crate::wire::PgError;

/// How long a resolver's query may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The most answers that are remembered.
const MAX_ANSWERS: usize = 100_000;

/// Settings and values that a resolver found; `None`: no row.
type Found = Option<Arc<[(String, String)]>>;

/// What tells one question from another: the resolver, the pool it is asked of, the values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    resolver: Arc<str>,
    database: Arc<str>,
    user: Arc<str>,
    values: Vec<Option<String>>,
}

/// One answer, or somebody who is asking for it.
#[derive(Debug)]
struct Entry {
    found: OnceCell<(Found, Instant)>,
}

/// Answers of resolvers.
#[derive(Debug, Default)]
pub(super) struct Resolvers {
    entries: Mutex<HashMap<Question, Arc<Entry>>>,
}

/// What one question needs.
pub(super) struct Asking<'a> {
    pub(super) client: ClientId,
    pub(super) worker: usize,
    pub(super) pool: &'a Arc<Pool>,
    pub(super) resolver: &'a Resolver,
    pub(super) values: Vec<Option<String>>,
}

impl Resolvers {
    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.entries.lock().clear();
    }

    /// Forgets what is too old.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.entries.lock().retain(|_, entry| {
            Arc::strong_count(entry) > 1 || entry.found.get().is_some_and(|(_, until)| *until > now)
        });
    }

    /// What the resolver says, and until when that holds. Of many who ask the same at one time one asks the
    /// server; if he goes away another takes over. Failures are not remembered.
    ///
    /// # Errors
    /// The query failed, or no connection was to be had.
    pub(super) async fn resolve(&self, asking: Asking<'_>) -> Result<(Found, Instant), PgError> {
        let question = Question {
            resolver: Arc::clone(&asking.resolver.name),
            database: Arc::clone(&asking.pool.key().database),
            user: Arc::clone(&asking.pool.key().user),
            values: asking.values.clone(),
        };
        let entry = self.entry(question);
        let (found, until) = entry.found.get_or_try_init(|| patiently(&asking)).await?;
        Ok((found.clone(), *until))
    }

    fn entry(&self, question: Question) -> Arc<Entry> {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if let Some(known) = entries.get(&question)
            && known.found.get().is_none_or(|(_, until)| *until > now)
        {
            return Arc::clone(known);
        }
        if entries.len() >= MAX_ANSWERS {
            entries.retain(|_, entry| entry.found.get().is_none_or(|(_, until)| *until > now));
            if entries.len() >= MAX_ANSWERS {
                entries.clear();
            }
        }
        let entry = Arc::new(Entry { found: OnceCell::new() });
        entries.insert(question, Arc::clone(&entry));
        entry
    }
}

fn failed(asking: &Asking<'_>, why: &str) -> PgError {
    let resolver = &asking.resolver.name;
    tracing::warn!(client = %asking.client, %resolver, %why, "a resolver failed");
    PgError::error("28000", format!("the resolver \"{resolver}\" failed")).hint("The proxy's log says why.")
}

async fn patiently(asking: &Asking<'_>) -> Result<(Found, Instant), PgError> {
    let late = |_| Err(failed(asking, "it took too long"));
    tokio::time::timeout(PATIENCE, query(asking)).await.unwrap_or_else(late)
}

async fn query(asking: &Asking<'_>) -> Result<(Found, Instant), PgError> {
    let resolver = asking.resolver;
    let failed = |why: String| failed(asking, &why);
    let want = Want {
        client: asking.client,
        worker: asking.worker,
        has_traces: false,
        last: false,
        settings: 0,
        share: Share::default(),
        strict: false,
    };
    let mut lease = match asking.pool.acquire(want) {
        Acquire::Ready(lease) => lease,
        Acquire::Wait(mut waiter) => {
            poll_fn(|cx| waiter.poll(cx)).await.map_err(|e| failed(e.to_string()))?
        }
        Acquire::Refused(error) => return Err(failed(error.to_string())),
    };
    let values: Vec<Option<&str>> = asking.values.iter().map(Option::as_deref).collect();
    let answer = ask(&mut lease, &resolver.query, &values).await;
    match answer {
        Ok(answer) => {
            give_back(lease);
            let now = Instant::now();
            let Some(row) = answer.rows.first() else { return Ok((None, now + resolver.negative_ttl)) };
            let mut found = Vec::new();
            for (setting, column) in &resolver.set {
                let at = answer.columns.iter().position(|c| c == column);
                let at = at.ok_or_else(|| failed(format!("the query returns no column \"{column}\"")))?;
                found.push((setting.clone(), row.get(at).cloned().flatten().unwrap_or_default()));
            }
            Ok((Some(found.into()), now + resolver.ttl))
        }
        Err(error) => {
            if matches!(error, AskError::Server(..)) {
                give_back(lease); // the others leave it as it may not be used again: dropped, it is closed
            }
            Err(failed(error.to_string()))
        }
    }
}

/// What a query leaves in the session is not for the next one.
fn give_back(lease: Lease) {
    if lease.session.is_tainted() {
        lease.recover(true);
    } else {
        lease.release();
    }
}
