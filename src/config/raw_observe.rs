//! `[http]`, `[admin]` and `[observe]` as somebody typed them.

use std::time::Duration;

use super::raw::{RawSecret, SecretKeys, read_secret};
use super::reader::Reader;
use super::source::{At, Located};

/// Most tenants that may have labels of their own.
const MAX_TENANTS: usize = 100_000;
/// Most statements that may be kept.
const MAX_TRACKED: usize = 100_000;
/// Highest threshold that can ever be reached in practice.
const MAX_THRESHOLD: usize = 1_000_000;

/// `[http]`.
#[derive(Debug)]
pub(super) struct RawHttp {
    pub(super) at: At,
    pub(super) broken: bool,
    pub(super) address: Option<Located<String>>,
    pub(super) user: Option<Located<String>>,
    pub(super) secret: RawSecret,
    pub(super) token: RawSecret,
}

/// `[admin]`.
#[derive(Debug)]
pub(super) struct RawAdmin {
    pub(super) at: At,
    pub(super) users: Option<Located<Vec<Located<String>>>>,
    pub(super) stats_users: Option<Located<Vec<Located<String>>>>,
}

/// `[observe]` and `[observe.n_plus_one]`.
#[derive(Debug)]
pub(super) struct RawObserve {
    pub(super) at: At,
    pub(super) enabled: Option<Located<bool>>,
    pub(super) max_tracked: Option<Located<usize>>,
    pub(super) max_tenants: Option<Located<usize>>,
    pub(super) parameters: Option<Located<bool>>,
    pub(super) threshold: Option<Located<usize>>,
    pub(super) window: Option<Located<Duration>>,
}

pub(super) fn read_http(mut table: Reader<'_>) -> RawHttp {
    let mut http = RawHttp {
        at: table.at.clone(),
        broken: false,
        address: table.string("address"),
        user: table.string("user"),
        secret: read_secret(&mut table, &SecretKeys::PASSWORD),
        token: read_secret(&mut table, &SecretKeys::TOKEN),
    };
    http.broken = table.finish();
    http
}

pub(super) fn read_admin(mut table: Reader<'_>) -> RawAdmin {
    let admin = RawAdmin {
        at: table.at.clone(),
        users: table.strings("users"),
        stats_users: table.strings("stats_users"),
    };
    table.finish();
    admin
}

pub(super) fn read_observe(mut table: Reader<'_>) -> RawObserve {
    let mut observe = RawObserve {
        at: table.at.clone(),
        enabled: table.flag("enabled"),
        max_tracked: table.count("max_tracked", 1..=MAX_TRACKED),
        max_tenants: table.count("max_tenants", 0..=MAX_TENANTS),
        parameters: table.flag("parameters"),
        threshold: None,
        window: None,
    };
    if let Some(mut inner) = table.table("n_plus_one") {
        observe.threshold = inner.count("threshold", 0..=MAX_THRESHOLD);
        observe.window = inner.duration("window");
        inner.finish();
    }
    table.finish();
    observe
}
