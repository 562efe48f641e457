//! Following a database: what is written past Howdah ends what is kept, or nothing is kept.
//!
//! The tests here run what follows inside the test process, against real servers, and look at the marks that answers
//! hang on.

mod marks;
mod outages;
mod printed;
mod through;

use crate::support::{Cluster, Database, PASSWORD, Version, wait_until};
use howdah::auth::KeyCache;
use howdah::backend::{Credential, ServerConfig};
use howdah::cache::{self, Cache, Limits, Mark};
use howdah::config::{Follow, FollowMode, PoolSettings};
use howdah::ids::{PoolKey, SslMode};
use howdah::observe::Metrics;
use howdah::pool::{PoolConfig, Registry};
use howdah::relay::{REPLICATION_STARTUP, STARTUP, Shared, Source, follow};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

const SETTINGS: &str =
    "wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\nautovacuum = on\n";

fn started(version: Version) -> Cluster {
    let cluster = Cluster::start_with(version, SETTINGS);
    cluster.query("postgres", &format!("CREATE ROLE follower LOGIN REPLICATION PASSWORD '{PASSWORD}'"));
    cluster
}

/// A server that can be followed. It lives as long as the process.
pub(super) fn cluster(version: Version) -> &'static Cluster {
    static CLUSTERS: [OnceLock<Cluster>; 3] = [const { OnceLock::new() }; 3];
    let index = Version::ALL.iter().position(|each| *each == version).unwrap();
    CLUSTERS[index].get_or_init(|| started(version))
}

fn settings() -> Follow {
    Follow { mode: FollowMode::Replication, max_lag: Duration::from_secs(20), ..Follow::default() }
}

/// One database that is followed.
struct Rig {
    cache: Arc<cache::Database>,
    _all: Arc<Cache>,
    _shared: Arc<Shared>,
    _runtime: Runtime,
}

impl Rig {
    /// Begins to follow as the role `follower`.
    fn start(database: &Database<'_>, settings: Follow) -> Self {
        let limits = Limits { max_memory: 1 << 20, max_entry: 1 << 10, tenant_share: 1.0, jitter: 0.0 };
        let all = Cache::new(limits);
        let cache = all.database(&format!("127.0.0.1:{}/{}", database.cluster.port, database.name));
        let metrics = Metrics::new().unwrap();
        let key = PoolKey { database: database.name.as_str().into(), user: "follower".into() };
        let owned = |settings: &[(&'static str, &str)]| {
            settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        let plain = ServerConfig {
            host: "127.0.0.1".to_owned(),
            port: database.cluster.port,
            dbname: database.name.clone(),
            user: "follower".to_owned(),
            credential: Credential::Password(PASSWORD.into()),
            tls: None,
            tls_mode: SslMode::Disable,
            connect_timeout: Some(Duration::from_secs(10)),
            startup: owned(&STARTUP),
            max_prepared_statements: 0,
            keys: Arc::new(parking_lot::Mutex::new(KeyCache::new(10))),
        };
        let replication = ServerConfig { startup: owned(&REPLICATION_STARTUP), ..plain.clone() };
        let pool = Registry::default().pool(&key, || PoolConfig {
            settings: PoolSettings::default(),
            connector: Arc::new(ServerConfig { startup: vec![], ..plain.clone() }),
            metrics: metrics.pool(&key),
            caching: None,
        });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Shared::new(metrics, None, None, None);
        let entered = runtime.enter();
        follow(&shared, &cache, || Source {
            cache: Arc::clone(&cache),
            settings,
            dbname: database.name.clone(),
            plain: Arc::new(plain),
            replication: Arc::new(replication),
            pool,
        });
        drop(entered);
        Self { cache, _all: all, _shared: shared, _runtime: runtime }
    }

    /// As [`Rig::start`], and waits until nothing keeps answers from being kept.
    fn following(database: &Database<'_>, settings: Follow) -> Self {
        let rig = Self::start(database, settings);
        rig.wait_until_in_use();
        rig
    }

    fn wait_until_in_use(&self) {
        wait_until("the cache is in use", || self.cache.is_paused().is_none());
    }

    fn wait_until_paused(&self, why: &str) {
        wait_until(&format!("the cache is paused: {why}"), || self.cache.is_paused() == Some(why));
    }

    fn table(&self, name: &str) -> Arc<Mark> {
        self.cache.table("public", name)
    }

    /// Waits until the mark is younger than it was.
    #[track_caller]
    fn ends(&self, mark: &Mark, since: u64) {
        wait_until(&format!("{} ends", mark.name()), || mark.generation() > since);
    }
}

/// The publication with everything, and a table whose commits show how far the stream has come.
pub(super) fn prepared(database: &Database<'_>) {
    database.query(
        "CREATE PUBLICATION howdah FOR ALL TABLES;
         CREATE TABLE orders (id int PRIMARY KEY, note text);
         CREATE TABLE fence (id serial PRIMARY KEY)",
    );
}
