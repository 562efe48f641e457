//! What a pool has of the cache.

use std::sync::{Arc, OnceLock};

use super::database::Database;
use super::key::Prefix;
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
}

impl Caching {
    /// For a server database, `host:port/dbname`, that clients call `name`.
    pub fn new(cache: &Arc<Cache>, id: &str, name: &str, config: &Arc<config::Cache>) -> Arc<Self> {
        let _ = name;
        Arc::new(Self { cache: Arc::clone(cache), database: cache.database(id), config: Arc::clone(config) })
    }

    /// The beginning of all keys of the database.
    pub fn prefix(&self) -> Prefix {
        let mut prefix = self.cache.prefix();
        prefix.part(self.database.id().as_bytes());
        prefix
    }

    /// The rule for a prepared statement, which remembers it.
    pub fn rule_of(&self, text: &[u8], known: &OnceLock<Option<usize>>) -> Option<&config::CacheRule> {
        let _ = (text, known);
        None
    }

    /// The rule for a text.
    pub fn rule(&self, _text: &[u8], _standard_strings: bool) -> Option<&config::CacheRule> {
        None
    }
}
