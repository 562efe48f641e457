//! What a pool has of the cache.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use super::database::Database;
use super::key::Prefix;
use super::rules::Rules;
use super::store::Cache;
use crate::config;

/// What the pools of one database, as clients call it, have of the cache.
#[derive(Debug)]
pub struct Caching {
    cache: Arc<Cache>,
    /// What is kept of the server database.
    pub database: Arc<Database>,
    /// `[cache]`.
    pub config: Arc<config::Cache>,
    /// Transactions of the pool's login are READ COMMITTED unless they say something else. False as long as nobody has
    /// asked.
    pub read_committed: AtomicBool,
    rules: Rules,
}

impl Caching {
    /// For a server database, `host:port/dbname`, that clients call `name`.
    pub fn new(cache: &Arc<Cache>, id: &str, name: &str, config: &Arc<config::Cache>) -> Arc<Self> {
        Arc::new(Self {
            cache: Arc::clone(cache),
            database: cache.database(id),
            config: Arc::clone(config),
            read_committed: AtomicBool::new(false),
            rules: Rules::new(config, name),
        })
    }

    /// The beginning of all keys of the database.
    pub fn prefix(&self) -> Prefix {
        let mut prefix = self.cache.prefix();
        prefix.part(self.database.id().as_bytes());
        prefix
    }

    /// There are rules for texts without a mark.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The rule for a text without a mark; `known` is where the text remembers it.
    pub fn rule_of(&self, text: &[u8], known: &OnceLock<Option<usize>>) -> Option<&config::CacheRule> {
        self.rules.remembered(text, known)
    }

    /// The rule for a text without a mark.
    pub fn rule(&self, text: &[u8], standard_strings: bool) -> Option<&config::CacheRule> {
        self.rules.find(text, standard_strings)
    }
}
