//! The pool's settings: defaults, and what a database or a user overrides.

use std::time::Duration;

use super::checked::word_of;
use crate::ids::PinMode;

/// When a client gives its server connection back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// At the end of each transaction.
    Transaction,
    /// When it disconnects.
    Session,
    /// After each statement; transactions of several statements are refused.
    Statement,
}

impl PoolMode {
    /// All words.
    pub const WORDS: [(&'static str, Self); 3] =
        [("transaction", Self::Transaction), ("session", Self::Session), ("statement", Self::Statement)];

    /// The word for this mode.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// What holds for one pool, defaults and overrides applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// When a client gives its server connection back.
    pub pool_mode: PoolMode,
    /// Server connections of one pool; at least 1.
    pub default_pool_size: usize,
    /// Server connections kept open although nobody asks; at most `default_pool_size`.
    pub min_pool_size: usize,
    /// More server connections when clients have waited for `reserve_pool_timeout`.
    pub reserve_pool_size: usize,
    /// How long a client waits before the reserve is used; `None`: the reserve is off.
    pub reserve_pool_timeout: Option<Duration>,
    /// Server connections of all pools of one database together; `None`: no limit.
    pub max_db_connections: Option<usize>,
    /// How long a client waits for a server connection; `None`: for ever.
    pub query_wait_timeout: Option<Duration>,
    /// How long a query may run; `None`: for ever.
    pub query_timeout: Option<Duration>,
    /// How long a transaction may last; `None`: for ever.
    pub transaction_timeout: Option<Duration>,
    /// How long a client may be silent inside of a transaction; `None`: for ever.
    pub idle_transaction_timeout: Option<Duration>,
    /// How long connecting and logging in to a server may take; `None`: as long as the system waits.
    pub server_connect_timeout: Option<Duration>,
    /// How long a failed login to a server is remembered before the next try; `None`: not at all.
    pub server_login_retry: Option<Duration>,
    /// A server connection unused for this long is closed; `None`: never.
    pub server_idle_timeout: Option<Duration>,
    /// A server connection older than this is closed when it is free; `None`: never.
    pub server_lifetime: Option<Duration>,
    /// What cleans a server connection after session mode or a pin; empty: nothing does.
    pub server_reset_query: String,
    /// Prepared statements kept on one server connection; 0: prepared statements are not tracked.
    pub max_prepared_statements: usize,
    /// What becomes of a client that leaves something that cannot be carried to another server connection.
    pub pin: PinMode,
    /// Server connections of one pool that clients may keep so at one time; at least 1. `None`: all but one, see
    /// [`PoolSettings::most_pinned`].
    pub max_pinned_connections: Option<usize>,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            pool_mode: PoolMode::Transaction,
            default_pool_size: 20,
            min_pool_size: 0,
            reserve_pool_size: 0,
            reserve_pool_timeout: Some(Duration::from_secs(5)),
            max_db_connections: None,
            query_wait_timeout: Some(Duration::from_secs(120)),
            query_timeout: None,
            transaction_timeout: None,
            idle_transaction_timeout: None,
            server_connect_timeout: Some(Duration::from_secs(15)),
            server_login_retry: Some(Duration::from_secs(15)),
            server_idle_timeout: Some(Duration::from_secs(10 * 60)),
            server_lifetime: Some(Duration::from_secs(60 * 60)),
            server_reset_query: "DISCARD ALL".to_owned(),
            max_prepared_statements: 200,
            pin: PinMode::Auto,
            max_pinned_connections: None,
        }
    }
}

/// Pool keys that somebody typed; `None`: not typed, so what is below holds. As in the file, zero switches
/// a timeout or limit off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolOverrides {
    /// See [`PoolSettings::pool_mode`].
    pub pool_mode: Option<PoolMode>,
    /// See [`PoolSettings::default_pool_size`].
    pub default_pool_size: Option<usize>,
    /// See [`PoolSettings::min_pool_size`].
    pub min_pool_size: Option<usize>,
    /// See [`PoolSettings::reserve_pool_size`].
    pub reserve_pool_size: Option<usize>,
    /// See [`PoolSettings::reserve_pool_timeout`]; zero: off.
    pub reserve_pool_timeout: Option<Duration>,
    /// See [`PoolSettings::max_db_connections`]; 0: no limit.
    pub max_db_connections: Option<usize>,
    /// See [`PoolSettings::query_wait_timeout`]; zero: off.
    pub query_wait_timeout: Option<Duration>,
    /// See [`PoolSettings::query_timeout`]; zero: off.
    pub query_timeout: Option<Duration>,
    /// See [`PoolSettings::transaction_timeout`]; zero: off.
    pub transaction_timeout: Option<Duration>,
    /// See [`PoolSettings::idle_transaction_timeout`]; zero: off.
    pub idle_transaction_timeout: Option<Duration>,
    /// See [`PoolSettings::server_connect_timeout`]; zero: off.
    pub server_connect_timeout: Option<Duration>,
    /// See [`PoolSettings::server_login_retry`]; zero: off.
    pub server_login_retry: Option<Duration>,
    /// See [`PoolSettings::server_idle_timeout`]; zero: off.
    pub server_idle_timeout: Option<Duration>,
    /// See [`PoolSettings::server_lifetime`]; zero: off.
    pub server_lifetime: Option<Duration>,
    /// See [`PoolSettings::server_reset_query`].
    pub server_reset_query: Option<String>,
    /// See [`PoolSettings::max_prepared_statements`].
    pub max_prepared_statements: Option<usize>,
    /// See [`PoolSettings::pin`].
    pub pin: Option<PinMode>,
    /// See [`PoolSettings::max_pinned_connections`].
    pub max_pinned_connections: Option<usize>,
}

impl PoolSettings {
    /// These settings with what `over` has typed laid over them.
    #[must_use]
    pub fn with(mut self, over: &PoolOverrides) -> Self {
        set(&mut self.pool_mode, over.pool_mode);
        set(&mut self.default_pool_size, over.default_pool_size);
        set(&mut self.min_pool_size, over.min_pool_size);
        set(&mut self.reserve_pool_size, over.reserve_pool_size);
        set_timeout(&mut self.reserve_pool_timeout, over.reserve_pool_timeout);
        set(&mut self.max_db_connections, over.max_db_connections.map(|n| (n > 0).then_some(n)));
        set_timeout(&mut self.query_wait_timeout, over.query_wait_timeout);
        set_timeout(&mut self.query_timeout, over.query_timeout);
        set_timeout(&mut self.transaction_timeout, over.transaction_timeout);
        set_timeout(&mut self.idle_transaction_timeout, over.idle_transaction_timeout);
        set_timeout(&mut self.server_connect_timeout, over.server_connect_timeout);
        set_timeout(&mut self.server_login_retry, over.server_login_retry);
        set_timeout(&mut self.server_idle_timeout, over.server_idle_timeout);
        set_timeout(&mut self.server_lifetime, over.server_lifetime);
        set(&mut self.server_reset_query, over.server_reset_query.clone());
        set(&mut self.max_prepared_statements, over.max_prepared_statements);
        set(&mut self.pin, over.pin);
        set(&mut self.max_pinned_connections, over.max_pinned_connections.map(Some));
        self
    }

    /// `max_pinned_connections`, or all of the pool's connections but one.
    pub fn most_pinned(&self) -> usize {
        self.max_pinned_connections.unwrap_or_else(|| self.default_pool_size.saturating_sub(1).max(1))
    }
}

/// A duration as a timeout: zero is off.
pub(super) fn timeout(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

fn set<T>(setting: &mut T, typed: Option<T>) {
    if let Some(value) = typed {
        *setting = value;
    }
}

fn set_timeout(setting: &mut Option<Duration>, typed: Option<Duration>) {
    set(setting, typed.map(timeout));
}
