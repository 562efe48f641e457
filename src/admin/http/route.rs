//! What is served where.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Method, Request, StatusCode};

use super::access::{Access, Asker};
use super::reply::{self, Reply};
use crate::admin::page::{Ask, Page};

/// Before a wrong password is answered: guessing takes time, and a place among the connections.
const SECOND_THOUGHTS: Duration = Duration::from_millis(300);

pub(super) async fn answer(request: &Request<Incoming>, page: &Arc<Page>, access: &Access) -> Reply {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return reply::only_get();
    }
    let path = request.uri().path();
    // Whoever looks after the process has no password, and learns nothing else.
    match path {
        "/healthz" => return reply::text(StatusCode::OK, "ok\n"),
        "/readyz" => return ready(page),
        _ => {}
    }
    match access.judge(request.headers()) {
        Asker::Known => {}
        Asker::Nameless => return reply::unauthorized(),
        Asker::Wrong => {
            tokio::time::sleep(SECOND_THOUGHTS).await;
            return reply::unauthorized();
        }
    }
    if is_of_another_site(request) {
        return reply::text(StatusCode::FORBIDDEN, "not for pages of other sites\n");
    }
    if let Some(table) = path.strip_prefix("/api/") {
        let ask = Ask::read(request.uri().query().unwrap_or_default());
        let table = table.to_owned();
        return apart(page, move |page| match page.read(&table, &ask) {
            Some(value) => reply::json(&value),
            None => reply::text(StatusCode::NOT_FOUND, "not found\n"),
        })
        .await;
    }
    match path {
        "/metrics" => {
            let accept = request.headers().get(ACCEPT).map(HeaderValue::to_str);
            let accept = accept.and_then(Result::ok).unwrap_or_default().to_owned();
            apart(page, move |page| metrics(&accept, page)).await
        }
        "/events" => match page.subscribe() {
            Some(events) => reply::events(events),
            None => reply::text(StatusCode::SERVICE_UNAVAILABLE, "too many are looking\n"),
        },
        path => match page.asset(path) {
            Some(asset) => reply::asset(asset, request.headers()),
            None => {
                reply::text(StatusCode::NOT_FOUND, "not found; there are /, /metrics, /healthz and /readyz\n")
            }
        },
    }
}

/// Browsers say when a page of another site asks. A link there may lead here; more it may not.
fn is_of_another_site(request: &Request<Incoming>) -> bool {
    let says = |name: &str, value: &str| request.headers().get(name).is_some_and(|said| said == value);
    says("sec-fetch-site", "cross-site") && !says("sec-fetch-mode", "navigate")
}

fn ready(page: &Page) -> Reply {
    match page.status().ready() {
        Ok(()) => reply::text(StatusCode::OK, "ready\n"),
        Err(why) => reply::text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

fn metrics(accept: &str, page: &Page) -> Reply {
    match page.status().metrics(accept) {
        Ok((kind, metrics)) => reply::bytes(StatusCode::OK, kind, metrics),
        Err(why) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")),
    }
}

/// Makes an answer that takes its time on a thread of its own, few at a time: health and events go on meanwhile.
async fn apart(page: &Arc<Page>, make: impl FnOnce(&Page) -> Reply + Send + 'static) -> Reply {
    let place = page.place().await;
    let page = Arc::clone(page);
    let answer = tokio::task::spawn_blocking(move || {
        let _place = place;
        make(&page)
    });
    answer.await.unwrap_or_else(|_| reply::text(StatusCode::INTERNAL_SERVER_ERROR, "see the log\n"))
}
