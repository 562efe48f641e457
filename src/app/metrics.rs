//! What is brought up to date when somebody reads the metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::config::Config;
use crate::net::NetError;
use crate::net::tls::certificate_ends;
use crate::observe::{Certificate, CertificateRole, Format, WaitingTenant};
use crate::relay::ClientState;

use super::house::House;

impl House {
    /// All metrics as they are now.
    pub(super) fn tell_metrics(&self, format: Format) -> Result<String, String> {
        let _reading = self.reading.lock();
        let metrics = &self.shared.metrics;
        self.publish_cache();
        for pool in self.pools.all() {
            pool.publish();
        }
        metrics
            .running
            .max_clients
            .set(i64::try_from(self.config.listen.max_client_conn).unwrap_or(i64::MAX));
        metrics.running.draining.set(i64::from(self.shared.is_draining()));
        metrics.publish_waiting(self.waiting_tenants(), self.config.observe.max_tenants);
        in_the_background(|| metrics.render(format, self.shared.observer.as_deref()))
    }

    /// Tenants of which somebody waits for a server connection now.
    fn waiting_tenants(&self) -> Vec<WaitingTenant> {
        let mut waiting: HashMap<(Arc<str>, Arc<str>), (u64, Duration)> = HashMap::new();
        if self.shared.tenants.is_none() {
            return Vec::new();
        }
        for client in self.shared.clients.list() {
            let Some(tenant) = client.tenant.filter(|_| client.state == ClientState::Waiting) else {
                continue;
            };
            let (clients, oldest) = waiting.entry((client.pool.database, tenant)).or_default();
            *clients += 1;
            *oldest = client.wait.max(*oldest);
        }
        let waiting = waiting.into_iter();
        waiting
            .map(|((database, tenant), (clients, oldest))| WaitingTenant {
                database,
                tenant,
                clients,
                oldest,
            })
            .collect()
    }
}

/// How far work that can wait stands back behind clients: a tenth of a worker's share of a busy core.
const NICE: i32 = 10;

/// Does what takes milliseconds on a thread that gives way to the workers, so that nobody's query waits for it. What
/// holds locks that workers want for longer than a moment must not be done there.
fn in_the_background<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let lowered = || {
            // On Linux this is the thread's own. If it is not allowed, the work is done all the same.
            let _ = rustix::process::setpriority_process(None, NICE);
            work()
        };
        let spawned = thread::Builder::new().name("metrics".to_owned()).spawn_scoped(scope, lowered);
        match spawned {
            Ok(thread) => thread.join().map_err(|_| "the metrics could not be written".to_owned()),
            Err(error) => Err(format!("no thread to write the metrics: {error}")),
        }
    })
}

/// The certificates that a configuration uses, as their files are now. What cannot be read is left out: it is told
/// where it is used.
pub(super) fn certificates(config: &Config) -> Vec<Certificate> {
    let mut found = Vec::new();
    let mut add = |role, database: &str, file: Option<&std::path::PathBuf>, choose: Choose| {
        let ends = file.map(|file| certificate_ends(file));
        if let Some(expires) = ends.and_then(Result::<_, NetError>::ok).and_then(|ends| choose(&ends)) {
            found.push(Certificate { role, database: database.to_owned(), expires });
        }
    };
    let listen = &config.listen.tls;
    add(CertificateRole::Listen, "", listen.cert_file.as_ref(), first);
    add(CertificateRole::ClientAuthority, "", listen.client_ca_file.as_ref(), last);
    for database in config.databases.values().chain(config.any_database.as_ref()) {
        add(CertificateRole::Server, &database.name, database.tls.cert_file.as_ref(), first);
        add(CertificateRole::ServerAuthority, &database.name, database.tls.ca_file.as_ref(), last);
    }
    found
}

type Choose = fn(&[i64]) -> Option<i64>;

/// Of a chain the first certificate is the one that is shown; the others may be older ways to trust it.
fn first(ends: &[i64]) -> Option<i64> {
    ends.first().copied()
}

/// Of several authorities one is enough.
fn last(ends: &[i64]) -> Option<i64> {
    ends.iter().max().copied()
}
