//! Answers, with the headers that keep browsers from doing more with them than they should.

use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::events::Events;
use crate::admin::page::Asset;

/// An answer: all at once, or events as they come.
pub(super) type Reply = Response<Either<Full<Bytes>, Events>>;

/// Scripts and styles from here only, none in the page itself; and nobody may put the page into one of his own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TEXT: &str = "text/plain; charset=utf-8";

fn with(mut reply: Reply, headers: &[(HeaderName, &'static str)]) -> Reply {
    for (name, value) in headers {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// Bytes of a kind.
pub(super) fn bytes(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(body.into())));
    *reply.status_mut() = status;
    guarded(with(reply, &[(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")]))
}

/// A line of text.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    bytes(status, TEXT, body)
}

/// What the page reads.
pub(super) fn json(value: &serde_json::Value) -> Reply {
    bytes(StatusCode::OK, "application/json", value.to_string())
}

/// A method that is none of ours.
pub(super) fn only_get() -> Reply {
    let reply = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n");
    with(reply, &[(ALLOW, "GET, HEAD")])
}

/// Who are you?
pub(super) fn unauthorized() -> Reply {
    let reply = text(StatusCode::UNAUTHORIZED, "log in\n");
    with(reply, &[(WWW_AUTHENTICATE, "Basic realm=\"howdah\", charset=\"UTF-8\"")])
}

/// A file of the page; browsers ask each time whether theirs is still the same.
pub(super) fn asset(asset: &Asset, request: &HeaderMap) -> Reply {
    let known = request.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let same = known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == asset.tag));
    let (status, body) =
        if same { (StatusCode::NOT_MODIFIED, &b""[..]) } else { (StatusCode::OK, asset.content) };
    let mut reply = with(bytes(status, asset.kind, Bytes::from_static(body)), &[(CACHE_CONTROL, "no-cache")]);
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        reply.headers_mut().insert(ETAG, tag);
    }
    reply
}

/// Events, until the client goes or they end.
pub(super) fn events(events: Events) -> Reply {
    let reply = Response::new(Either::Right(events));
    guarded(with(reply, &[(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")]))
}

fn guarded(reply: Reply) -> Reply {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    with(reply, &headers)
}
