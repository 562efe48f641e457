//! `[cache]` as somebody typed them.

use std::time::Duration;

use super::cache::FollowMode;
use super::raw::{RawSecret, SecretKeys, read_secret};
use super::reader::Reader;
use super::source::{At, Located};

/// `[cache]`.
#[derive(Debug)]
pub(super) struct RawCache {
    pub(super) at: At,
    pub(super) broken: bool,
    pub(super) max_memory: Option<Located<u64>>,
    pub(super) max_entry: Option<Located<u64>>,
    pub(super) default_ttl: Option<Located<Duration>>,
    pub(super) max_ttl: Option<Located<Duration>>,
    pub(super) tenant_share: Option<Located<f64>>,
    pub(super) jitter: Option<Located<f64>>,
    pub(super) wait: Option<Located<Duration>>,
    pub(super) rules: Vec<RawRule>,
    pub(super) follow: Option<RawFollow>,
}

/// `[[cache.rules]]`.
#[derive(Debug)]
pub(super) struct RawRule {
    pub(super) at: At,
    pub(super) broken: bool,
    pub(super) like: Option<Located<String>>,
    pub(super) fingerprint: Option<Located<String>>,
    pub(super) ttl: Option<Located<Duration>>,
    pub(super) stale: Option<Located<Duration>>,
    pub(super) tag: Option<Located<Vec<Located<String>>>>,
    pub(super) databases: Option<Located<Vec<Located<String>>>>,
}

/// `[cache.follow]`.
#[derive(Debug)]
pub(super) struct RawFollow {
    pub(super) broken: bool,
    pub(super) mode: Option<Located<FollowMode>>,
    pub(super) publication: Option<Located<String>>,
    pub(super) slot: Option<Located<String>>,
    pub(super) max_lag: Option<Located<Duration>>,
    pub(super) user: Option<Located<String>>,
    pub(super) secret: RawSecret,
    pub(super) notify: Option<Located<bool>>,
}

pub(super) fn read_cache(mut table: Reader<'_>) -> RawCache {
    let mut cache = RawCache {
        at: table.at.clone(),
        broken: false,
        max_memory: table.size("max_memory"),
        max_entry: table.size("max_entry"),
        default_ttl: table.duration("default_ttl"),
        max_ttl: table.duration("max_ttl"),
        tenant_share: table.percent("tenant_share", 1..=100),
        jitter: table.percent("jitter", 0..=50),
        wait: table.duration("wait"),
        rules: table.tables("rules").into_iter().map(read_rule).collect(),
        follow: table.table("follow").map(read_follow),
    };
    cache.broken = table.finish();
    cache
}

fn read_rule(mut table: Reader<'_>) -> RawRule {
    let mut rule = RawRule {
        at: table.at.clone(),
        broken: false,
        like: table.any_string("match"),
        fingerprint: table.string("fingerprint"),
        ttl: table.duration("ttl"),
        stale: table.duration("stale"),
        tag: table.string_or_strings("tag"),
        databases: table.strings("databases"),
    };
    rule.broken = table.finish();
    rule
}

fn read_follow(mut table: Reader<'_>) -> RawFollow {
    let mut follow = RawFollow {
        broken: false,
        mode: table.word("mode", &FollowMode::WORDS),
        publication: table.string("publication"),
        slot: table.string("slot"),
        max_lag: table.duration("max_lag"),
        user: table.string("user"),
        secret: read_secret(&mut table, &SecretKeys::PASSWORD),
        notify: table.flag("notify"),
    };
    follow.broken = table.finish();
    follow
}
