//! The house as the console looks at it and changes it.

use std::sync::Arc;

use super::cache;
use super::house::House;
use crate::admin::{Operations, StatHistory};
use crate::cache::{Cache, Database};
use crate::config::Config;
use crate::frontend::ClientInfo;
use crate::observe::Observer;
use crate::pool::Pool;

impl Operations for House {
    fn cache(&self) -> Option<Arc<Cache>> {
        self.cache.clone()
    }

    fn cached_database(&self, name: &str) -> Option<Arc<Database>> {
        let configured = self.config.database(name).map(|database| {
            cache::server_database(&database.host, database.port, database.dbname.as_deref().unwrap_or(name))
        });
        // Only one that is there: asking for it would make it.
        let all = self.cache.as_ref()?.databases();
        all.into_iter().find(|database| database.id() == name || Some(database.id()) == configured.as_deref())
    }

    fn observer(&self) -> Option<Arc<Observer>> {
        self.shared.observer.clone()
    }

    fn config(&self) -> Arc<Config> {
        // A reload leaves the one that holds there.
        Arc::clone(&self.accounts.load().config)
    }

    fn pools(&self) -> Vec<Arc<Pool>> {
        self.pools.all()
    }

    fn clients(&self) -> Vec<ClientInfo> {
        self.shared.clients.list()
    }

    fn logins(&self) -> usize {
        usize::try_from(self.shared.metrics.logins.get()).unwrap_or(0)
    }

    fn history(&self) -> &StatHistory {
        &self.history
    }

    fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    fn resident(&self) -> Option<usize> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: usize = line.split_whitespace().next()?.parse().ok()?;
        kib.checked_mul(1024)
    }
}
