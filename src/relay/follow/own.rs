//! Howdah's own connection beside the stream: pulses, what is visible, what the catalogues say.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::course::Course;
use super::pulse::Snapshot;
use super::{Fault, catalogs};
use crate::backend::{Answer, Backend, ask};

/// So long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// So often at most it is asked what is visible.
const FENCE: Duration = Duration::from_millis(10);
/// So often the catalogues are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// And so many times less of the time than a look takes, which large ones may.
const SHARE: u32 = 20;

/// In a transaction that is written, because only its commit reaches the server's log at once: one that is not
/// waits for the WAL writer, up to 200 ms (measured).
const PULSE: &str = "SELECT pg_logical_emit_message(true, 'howdah', $1)";
const VISIBLE: &str = "SELECT pg_current_snapshot()";

/// The connection.
pub(super) struct Own {
    server: Box<Backend>,
    catalogs: String,
}

impl Own {
    pub(super) fn new(server: Box<Backend>, major: u32) -> Self {
        Self { server, catalogs: catalogs::question(major) }
    }

    /// The first field of the first row, if there is one.
    pub(super) async fn value(
        &mut self,
        sql: &str,
        params: &[Option<&str>],
    ) -> Result<Option<String>, Fault> {
        let answer = self.ask(sql, params).await?;
        Ok(answer.rows.into_iter().flatten().next().flatten())
    }

    /// Asks one thing.
    pub(super) async fn ask(&mut self, sql: &str, params: &[Option<&str>]) -> Result<Answer, Fault> {
        match timeout(PATIENCE, ask(&mut self.server, sql, params)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Fault::Lost("the server does not answer".to_owned())),
        }
    }

    /// Looks at the catalogues.
    pub(super) async fn look(&mut self, course: &Course) -> Result<(), Fault> {
        let sql = std::mem::take(&mut self.catalogs);
        let seen = self.value(&sql, &[]).await;
        self.catalogs = sql;
        course.looked(seen?.unwrap_or_default());
        Ok(())
    }

    /// Sends pulses, and asks what is to be asked, until it cannot.
    pub(super) async fn speak(&mut self, course: &Course) -> Result<Infallible, Fault> {
        let every = course.max_lag() / 4;
        let look_every = (course.max_lag() / 2).min(LOOK);
        let mut pulse_at = Instant::now();
        let (mut fence_at, mut look_at) = (pulse_at, pulse_at + look_every);
        loop {
            let now = Instant::now();
            if now >= pulse_at {
                pulse_at = now + every;
                let content = course.pulse(now);
                self.ask(PULSE, &[Some(&content)]).await?;
            }
            let waiting = course.unseen();
            if waiting > 0 && now >= fence_at {
                fence_at = now + FENCE;
                let text = self.value(VISIBLE, &[]).await?.unwrap_or_default();
                let visible = Snapshot::parse(&text);
                course.seen(&visible.ok_or(Fault::Lost("a snapshot cannot be read".to_owned()))?, waiting);
            }
            if now >= look_at {
                self.look(course).await?;
                let took = now.elapsed();
                look_at = now + look_every.max(took * SHARE);
            }
            let until = pulse_at.min(look_at);
            let until = if course.unseen() > 0 { until.min(fence_at) } else { until };
            tokio::select! {
                () = sleep_until(until) => {}
                () = course.committed() => {}
            }
        }
    }

    /// Says goodbye.
    pub(super) fn close(self) {
        self.server.terminate();
    }
}
