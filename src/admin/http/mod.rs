//! The HTTP side: `/metrics`, `/healthz`, `/readyz`, the page and what it reads.

mod access;
mod events;
mod reply;
mod route;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::page::Page;

pub use access::Access;
pub(super) use events::{Events, Subscribers, event};

/// How long a client may take to send its request's head; so long a connection may lie idle, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last in all.
const CONNECTION: Duration = Duration::from_secs(300);
/// Connections at the same time.
const MAX_CONNECTIONS: usize = 64;

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, page: Arc<Page>, access: Access) {
    let access = Arc::new(access);
    tokio::select! {
        () = accept(listener, &page, &access) => {}
        () = page.keep() => {}
    }
}

async fn accept(listener: TcpListener, page: &Arc<Page>, access: &Arc<Access>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (page, access) = (Arc::clone(page), Arc::clone(access));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (page, access) = (Arc::clone(&page), Arc::clone(&access));
                async move { Ok::<_, Infallible>(route::answer(&request, &page, &access).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CONNECTION, connection).await;
            drop(place);
        });
    }
}
