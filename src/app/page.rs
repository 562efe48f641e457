//! What the page and the health checks are told by the house.

use std::sync::Arc;
use std::time::SystemTime;

use super::house::House;
use crate::admin::{ClientLine, PoolLine, State, Status, TenantLine};
use crate::cache::Miss;
use crate::observe::{Format, Observer};
use crate::pool::Pool;

impl Status for House {
    fn metrics(&self, accept: &str) -> Result<(&'static str, String), String> {
        let format = Format::wanted(accept);
        Ok((format.content_type(), self.tell_metrics(format)?))
    }

    fn ready(&self) -> Result<(), String> {
        if self.shared.is_draining() {
            return Err("shutting down".to_owned());
        }
        let down: Vec<String> = self
            .pools
            .all()
            .iter()
            .filter(|p| !p.is_reachable())
            .map(|p| p.key().database.to_string())
            .collect();
        if down.is_empty() { Ok(()) } else { Err(format!("no server for {}", down.join(", "))) }
    }

    fn observer(&self) -> Option<Arc<Observer>> {
        self.shared.observer.clone()
    }

    fn state(&self) -> State {
        let metrics = &self.shared.metrics;
        let databases = self.cache.as_ref().map(|cache| cache.databases()).unwrap_or_default();
        let missed = |counters: &crate::cache::Counters| -> u64 {
            Miss::ALL.iter().map(|reason| counters.misses(*reason)).sum()
        };
        State {
            clients: self.shared.clients.count(),
            max_clients: self.config.listen.max_client_conn,
            draining: self.shared.is_draining(),
            panics: metrics.panics.get(),
            missed: self.cache.as_ref().map(|_| databases.iter().map(|one| missed(&one.counters)).sum()),
            cache_paused: databases
                .iter()
                .filter_map(|one| Some((one.id().to_owned(), one.is_paused()?.to_owned())))
                .collect(),
            n_plus_one: self.config.observe.n_plus_one.threshold,
            slow: self.config.log.slow_query,
        }
    }

    fn pools(&self) -> Vec<PoolLine> {
        let mut pools = self.pools.all();
        // Always in the same order: rows that are equal otherwise do not change places.
        pools.sort_by(|a, b| a.key().cmp(b.key()));
        pools.iter().map(|pool| self.pool_line(pool)).collect()
    }

    fn clients(&self, most: usize) -> Vec<ClientLine> {
        let now = SystemTime::now();
        let line = |client: crate::relay::ClientInfo| ClientLine {
            id: client.id.0,
            address: client.ends.peer.to_string(),
            database: client.database.to_string(),
            user: client.pool.user.to_string(),
            tenant: client.tenant.as_deref().map(str::to_owned),
            application: client.application.to_string(),
            state: client.state.word(),
            waiting: client.wait,
            connected: now.duration_since(client.since).unwrap_or_default(),
            pinned: client.pinned,
            tls: client.ends.tls.is_some(),
            prepared: client.prepared,
        };
        self.shared.clients.list().into_iter().take(most).map(line).collect()
    }

    fn tenant(&self, name: &str) -> Option<TenantLine> {
        let tenant = self.shared.tenants.as_ref()?.find(name)?;
        let config = &tenant.tenant.config;
        let pools = self.pools.all();
        let places = pools.iter().map(|pool| pool.of_tenant(tenant.share.tenant));
        let (servers, waiting) =
            places.fold((0, 0), |(servers, waiting), of| (servers + of.0, waiting + of.1));
        Some(TenantLine {
            clients: tenant.clients(),
            max_clients: config.max_client_conn,
            servers,
            max_servers: config.max_server_connections,
            waiting,
            weight: config.weight,
            max_transactions: config.transactions_per_second,
        })
    }
}

impl House {
    fn pool_line(&self, pool: &Pool) -> PoolLine {
        let info = pool.info();
        let server = self.config.database(&info.key.database);
        PoolLine {
            database: info.key.database.to_string(),
            user: info.key.user.to_string(),
            mode: info.mode.word(),
            server: server.map(|server| format!("{}:{}", server.host, server.port)).unwrap_or_default(),
            size: info.size,
            active: info.active,
            idle: info.idle,
            busy: info.cleaning + info.cancelling + info.connecting,
            pinned: info.pinned.iter().map(|(_, count)| count).sum(),
            waiting: info.waiting,
            oldest: info.oldest_wait,
            down: info.failure,
        }
    }
}
