//! Bringing a connection back to rest when its client cannot: it went away in the middle, or left traces.

use std::sync::Arc;
use std::time::Duration;

use super::core::{EVERYTHING, Pool};
use crate::backend::{Backend, Loss};
use crate::session::ClientSession;

/// How long a connection may take to come to rest before it is closed.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much of a result that nobody wants is read before the query is cancelled, in bytes.
const SMALL: usize = 256 << 10;

/// Does it in a task of its own and gives the connection back, or closes it.
pub(super) fn spawn(pool: Arc<Pool>, backend: Box<Backend>, reset: bool) {
    backend.handle.set_cleaning(true);
    let mut returning = Returning { pool, backend: Some(backend) };
    tokio::spawn(async move {
        let Some(backend) = returning.backend.as_deref_mut() else { return };
        let traces = backend.session.is_tainted() || backend.owner.is_some();
        let pool = &returning.pool;
        let reset_query = reset.then(|| if traces { pool.cleaning_query() } else { pool.reset_query() });
        if let Err(why) = recover(backend, reset_query.as_deref()).await {
            tracing::debug!(server = %backend.id(), pool = %returning.pool.key(), %why, "server connection closed");
            backend.set_broken();
        }
    });
}

/// Gives the connection back also when its task is dropped.
struct Returning {
    pool: Arc<Pool>,
    backend: Option<Box<Backend>>,
}

impl Drop for Returning {
    fn drop(&mut self) {
        if let Some(backend) = self.backend.take() {
            backend.handle.set_cleaning(false);
            self.pool.give_back(backend);
        }
    }
}

/// Why a connection was not recovered.
enum Trouble {
    Lost(Loss),
    /// Something cannot be completed without its client.
    Unfinished(&'static str),
    TooSlow,
    ResetFailed,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(loss) => loss.fmt(f),
            Self::Unfinished(what) => f.write_str(what),
            Self::TooSlow => f.write_str("it did not come to rest in time"),
            Self::ResetFailed => f.write_str("the reset query failed"),
        }
    }
}

async fn recover(backend: &mut Backend, reset_query: Option<&str>) -> Result<(), Trouble> {
    // No cancel request of the client that left may hit the next one.
    let handle = Arc::clone(&backend.handle);
    std::future::poll_fn(|cx| handle.poll_calm(cx)).await;
    if backend.is_broken() {
        return Err(Trouble::Unfinished("it was broken"));
    }
    if !backend.session.is_quiet() || backend.session.status() != b'I' {
        settle(backend).await?;
    }
    if let Some(query) = reset_query.filter(|query| !query.is_empty()) {
        let Backend { session, out, .. } = backend;
        session.own_query(query.as_bytes(), out);
        drain(backend, usize::MAX).await?;
        if backend.session.take_preamble_error().is_some() {
            return Err(Trouble::ResetFailed);
        }
        backend.session.cleaned();
        backend.owner = None;
        if query == EVERYTHING {
            backend.tenant = None;
        }
    }
    Ok(())
}

/// Ends what the client left open.
async fn settle(backend: &mut Backend) -> Result<(), Trouble> {
    if backend.session.reads_copy() {
        return Err(Trouble::Unfinished("the client left in the middle of a COPY"));
    }
    backend.session.abandon_batch(&mut backend.out);
    match drain(backend, SMALL).await {
        Err(Trouble::TooSlow) => {
            let _ = backend.handle.cancel.send().await;
            return Err(Trouble::TooSlow);
        }
        result => result?,
    }
    if backend.session.status() != b'I' {
        backend.session.own_query(b"ROLLBACK", &mut backend.out);
        drain(backend, SMALL).await?;
        backend.session.take_preamble_error();
    }
    Ok(())
}

/// Reads and drops replies until nothing is in flight.
async fn drain(backend: &mut Backend, most: usize) -> Result<(), Trouble> {
    let mut nobody = ClientSession::nobody();
    let mut buf = vec![0; 16 << 10];
    let mut unseen = Vec::new();
    let mut read = 0;
    let work = async {
        loop {
            std::future::poll_fn(|cx| backend.poll_flush(cx)).await.map_err(Trouble::Lost)?;
            if backend.session.is_quiet() {
                return Ok(());
            }
            let n =
                std::future::poll_fn(|cx| backend.poll_read(cx, &mut buf)).await.map_err(Trouble::Lost)?;
            backend
                .feed(&mut nobody, buf.get(..n).unwrap_or_default(), &mut unseen)
                .map_err(Trouble::Lost)?;
            unseen.clear();
            read += n;
            if read > most {
                return Err(Trouble::TooSlow);
            }
        }
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(Trouble::TooSlow))
}
