//! A text that is marked for the first time is studied, off the client's way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::welcome::borrow;
use super::Session;
use crate::backend::{AskError, ask};
use crate::cache::{self, Ask, Caching, Key, Question, Rows, Studying, Why};
use crate::config::FollowMode;
use crate::pool::{Lease, Pool, Share, Want};
use crate::session::Settings;

/// How long a study may take, with the wait for a connection.
const PATIENCE: Duration = Duration::from_secs(15);

/// What transactions of the login are unless they say something else.
const ISOLATION: &str = "SELECT pg_catalog.current_setting('default_transaction_isolation')";

impl Session {
    /// Has a text studied, unless somebody does already.
    pub(super) fn study(&mut self, caching: &Arc<Caching>, plan: Key, core: &[u8], volatile: bool) {
        let catalog = caching.database.generation_of_catalog();
        let Some(studying) = caching.database.plans.begin(plan, catalog) else { return };
        let follow = &caching.config.follow;
        let mut locals = self.front.local_settings();
        let role = locals.find(|(name, _)| name.eq_ignore_ascii_case("role")).map(|(_, role)| role);
        let role = role.or_else(|| self.front.settings().get("role")).filter(|role| *role != "none");
        let question = Question {
            text: core.into(),
            path: self.front.search_path().map(Into::into),
            role: role.map(Into::into),
            volatile,
            standard_strings: self.front.standard_strings(),
            publication: (follow.mode == FollowMode::Replication).then(|| follow.publication.as_str().into()),
        };
        let want = Want {
            client: self.handle.id,
            worker: self.worker,
            has_traces: false,
            last: false,
            settings: 0,
            share: Share::default(),
            strict: false,
        };
        tokio::spawn(patiently(studying, question, Arc::clone(caching), Arc::clone(&self.pool), want));
    }
}

async fn patiently(
    studying: Studying,
    question: Question,
    caching: Arc<Caching>,
    pool: Arc<Pool>,
    want: Want,
) {
    let asked = tokio::time::timeout(PATIENCE, asked(&studying, &question, &caching, &pool, want)).await;
    let found = asked.unwrap_or_else(|_| Err(Why::failed("it could not be studied in time")));
    if let Err(why) = &found
        && why.is_failure()
    {
        tracing::warn!(pool = %pool.key(), %why, "a marked query could not be studied; tried again in ten seconds");
    }
    studying.finish(found);
}

async fn asked(
    studying: &Studying,
    question: &Question,
    caching: &Caching,
    pool: &Arc<Pool>,
    want: Want,
) -> Result<cache::Plan, Why> {
    let lease = borrow(want, Arc::new(Settings::default()), pool).await;
    let mut own = Own(lease.map_err(|error| Why::failed(error.message.to_string()))?);
    if let Ok(rows) = own.ask(ISOLATION, &[]).await {
        let level = rows.first().and_then(|row| row.first().cloned().flatten());
        caching.read_committed.store(level.as_deref() == Some("read committed"), Ordering::Relaxed);
    }
    let found = cache::study(&mut own, &caching.database, studying, question).await;
    own.give_back();
    found
}

/// A server connection that answers questions about its catalog.
struct Own(Lease);

impl Own {
    fn give_back(self) {
        if !self.0.is_reusable() {
            return; // dropped, it is closed
        }
        if self.0.session.is_tainted() { self.0.recover(true) } else { self.0.release() }
    }
}

impl Ask for Own {
    async fn ask(&mut self, sql: &str, values: &[Option<&str>]) -> Result<Rows, String> {
        match ask(&mut self.0, sql, values).await {
            Ok(answer) => Ok(answer.rows),
            Err(AskError::Server(code, text)) => Err(format!("{text} ({code})")),
            Err(error) => Err(error.to_string()),
        }
    }
}
