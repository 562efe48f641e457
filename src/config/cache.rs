//! `[cache]`: which answers are kept in memory, how long, and how what Howdah did not see is followed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::checked::{same_secret, word_of};

/// `[cache]`, valid and complete. Without the section there is no cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// Bytes that all entries may take, with their keys and what the memory's management adds.
    pub max_memory: u64,
    /// Bytes of the largest answer that is kept; at most `max_memory`.
    pub max_entry: usize,
    /// How long an answer is kept whose mark or rule says no time; at most `max_ttl`.
    pub default_ttl: Duration,
    /// The longest time that a mark may ask for.
    pub max_ttl: Duration,
    /// The part of `max_memory` that one tenant of one database may take, over 0 and up to 1.
    pub tenant_share: f64,
    /// The part by which each entry's time is shortened at most, so that entries do not end together; from 0
    /// to 0.5.
    pub jitter: f64,
    /// How long a client waits for another one's query that asks for the same; zero: it does not wait.
    pub wait: Duration,
    /// Marks for texts that carry none; the first that fits holds.
    pub rules: Vec<CacheRule>,
    /// How changes are noticed that did not go through Howdah.
    pub follow: Follow,
}

/// `[[cache.rules]]`: a mark for texts that carry none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRule {
    /// Which texts are meant.
    pub texts: RuleTexts,
    /// How long their answers are kept; never zero, at most [`Cache::max_ttl`].
    pub ttl: Duration,
    /// How much longer an answer is given while one client fetches the new one; zero: not at all.
    pub stale: Duration,
    /// Words by which their answers can be dropped; never empty, never `*`, no comma in them.
    pub tags: Vec<Box<str>>,
    /// The databases it holds for, by the names that clients ask for; `None`: all.
    pub databases: Option<BTreeSet<Arc<str>>>,
}

impl CacheRule {
    /// Whether it holds for the database that clients call `name`.
    pub fn holds_for(&self, name: &str) -> bool {
        self.databases.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// What the texts of a rule have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleTexts {
    /// The normalised text is like this one, in which `*` stands for anything. Names at least one thing besides
    /// the words that every query has.
    Like(Box<str>),
    /// The fingerprint of the normalised text.
    Fingerprint(u64),
}

/// How changes are noticed that did not go through Howdah.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowMode {
    /// Not, but for notifications.
    Off,
    /// By a logical replication slot in each database.
    Replication,
}

impl FollowMode {
    /// All words.
    pub const WORDS: [(&'static str, Self); 2] = [("off", Self::Off), ("replication", Self::Replication)];

    /// The word for this mode.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// `[cache.follow]`.
#[derive(Clone, Debug)]
pub struct Follow {
    /// By which means.
    pub mode: FollowMode,
    /// The publication that names the tables.
    pub publication: String,
    /// What the name of a permanent slot begins with: lower case letters, digits and `_`, at most
    /// [`Follow::MAX_SLOT`] bytes. `None`: the slot is temporary.
    pub slot: Option<String>,
    /// How far the stream may lag before the cache of its database pauses; at least 100 ms.
    pub max_lag: Duration,
    /// Who logs in for replication; `None`: who else logs in to that database.
    pub user: Option<String>,
    /// The password of `user`; there only when `user` is.
    pub password: Option<SecretString>,
    /// Whether `NOTIFY howdah_invalidate` is listened to.
    pub notify: bool,
}

impl Follow {
    /// Longest name of a permanent slot, in bytes: Postgres takes 63, and the database's own part must find
    /// room in them.
    pub const MAX_SLOT: usize = 40;
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            mode: FollowMode::Off,
            publication: "howdah".to_owned(),
            slot: None,
            max_lag: Duration::from_secs(2),
            user: None,
            password: None,
            notify: true,
        }
    }
}

impl PartialEq for Follow {
    fn eq(&self, other: &Self) -> bool {
        self.mode == other.mode
            && self.publication == other.publication
            && self.slot == other.slot
            && self.max_lag == other.max_lag
            && self.user == other.user
            && same_secret(self.password.as_ref(), other.password.as_ref())
            && self.notify == other.notify
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_memory: 256 << 20,
            max_entry: 1 << 20,
            default_ttl: Duration::from_secs(30),
            max_ttl: Duration::from_secs(24 * 60 * 60),
            tenant_share: 0.5,
            jitter: 0.1,
            wait: Duration::from_secs(5),
            rules: Vec::new(),
            follow: Follow::default(),
        }
    }
}
