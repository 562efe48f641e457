//! Those who write past Howdah, change what there is, and break things.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::oracle::Chain;
use super::world::{IDS, TENANTS, view};
use super::{Report, Soak};
use crate::support::wire::{Message, Wire};
use crate::support::{Database, Dice, Howdah};

fn pause(dice: &mut Dice, from: u64, to: u64) {
    std::thread::sleep(Duration::from_millis(from + dice.below((to - from) as usize) as u64));
}

/// Writes rows of all tenants past Howdah, and now and then tells of it.
pub(super) fn outsider(soak: &Soak<'_>, database: &Database<'_>) -> Report {
    let mut report = Report::default();
    let mut dice = Dice::new(soak.seed ^ 0x0123_4567);
    let mut wire = Wire::login(("127.0.0.1", database.cluster.port), "postgres", &database.name);
    while !soak.is_over() {
        pause(&mut dice, 20, 150);
        let chain = dice.pick(&Chain::ALL);
        let (tenant, id) = (dice.below(TENANTS), dice.below(IDS));
        let Some(write) = soak.oracle.slot(chain, tenant, id).write() else { continue };
        let table = match chain {
            Chain::Items => "items",
            Chain::Parts => "parts",
            Chain::Parents => "parents",
        };
        let rolled_back = dice.one_in(6);
        let version = if rolled_back { write.next_void() } else { write.next() };
        let end = if rolled_back { "ROLLBACK" } else { "COMMIT" };
        let answer = wire.query(&format!(
            "BEGIN; UPDATE {table} SET version = {version} WHERE tenant_id = 't{tenant}' AND id = {id} \
             AND version < {version}; {end}"
        ));
        if answer.iter().any(|m| m.tag == b'E') {
            // A deadlock.
            wire.query("ROLLBACK");
        } else if !rolled_back {
            write.past(version);
            report.did("past Howdah");
        }
        drop(write);
        if dice.one_in(40) {
            wire.query(&format!("NOTIFY howdah_invalidate, '{table}'"));
            report.did("NOTIFY");
        }
    }
    report
}

/// A connection of the superuser through Howdah that is made anew when it is lost.
struct Builder<'a> {
    soak: &'a Soak<'a>,
    database: &'a str,
    wire: Option<Wire>,
}

impl Builder<'_> {
    /// True when it was done.
    fn run(&mut self, sql: &str) -> bool {
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::login(("127.0.0.1", self.soak.port), "postgres", self.database),
        };
        if wire.try_send(&[crate::support::wire::query(sql)]).is_err() {
            return false;
        }
        let mut failed = false;
        loop {
            match wire.try_read() {
                Ok(Some(Message { tag: b'Z', .. })) => {
                    self.wire = Some(wire);
                    return !failed;
                }
                Ok(Some(message)) => failed |= message.tag == b'E',
                _ => return false,
            }
        }
    }

    /// Until it is done, or the time is over.
    fn insist(&mut self, sql: &str) -> bool {
        while !self.run(sql) {
            if self.soak.is_over() {
                return false;
            }
        }
        true
    }
}

/// DDL, GRANT and REVOKE through Howdah, and the console.
pub(super) fn builder(soak: &Soak<'_>) -> Report {
    let mut report = Report::default();
    let mut dice = Dice::new(soak.seed ^ 0x89ab_cdef);
    let mut sql = Builder { soak, database: soak.database, wire: None };
    let mut console = Builder { soak, database: "howdah", wire: None };
    for n in 0.. {
        if soak.is_over() {
            break;
        }
        // Each makes all that is known of texts be found out again.
        soak.rest();
        pause(&mut dice, 300, 1500);
        let what = match dice.below(6) {
            0 => {
                sql.run(&format!("ALTER TABLE items ADD COLUMN extra_{n} int DEFAULT 7"));
                sql.run(&format!("ALTER TABLE items DROP COLUMN IF EXISTS extra_{n}"));
                "DDL"
            }
            1 => {
                sql.run(&view(if soak.merge { 15 } else { 14 }));
                "DDL"
            }
            2 => {
                sql.run("CREATE INDEX extra ON parts (version)");
                sql.run("DROP INDEX IF EXISTS extra");
                "DDL"
            }
            3 => {
                if sql.insist("REVOKE SELECT ON secret FROM app") {
                    soak.forbidden.fetch_add(1, Ordering::SeqCst);
                    pause(&mut dice, 20, 200);
                    soak.forbidden.fetch_add(1, Ordering::SeqCst);
                    sql.insist("GRANT SELECT ON secret TO app");
                }
                "REVOKE"
            }
            _ => {
                let purge = dice.pick(&["ALL", "TABLE items", "TENANT t1", "TABLE public.parts", "TAG none"]);
                if !console.run(&format!("CACHE PURGE {purge}")) && !soak.is_over() {
                    report.failures.push(format!("the console refused CACHE PURGE {purge}"));
                }
                "purge"
            }
        };
        report.did(what);
    }
    report
}

/// Kills server processes of clients, and the one that tells of changes.
pub(super) fn killer(soak: &Soak<'_>, database: &Database<'_>) -> Report {
    let mut report = Report::default();
    let mut dice = Dice::new(soak.seed ^ 0x0f0f_f0f0);
    let mut wire = Wire::login(("127.0.0.1", database.cluster.port), "postgres", &database.name);
    let mut broken = Instant::now();
    while !soak.is_over() {
        soak.rest();
        pause(&mut dice, 50, 400);
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND usename = 'app' ORDER BY random() LIMIT 1";
        if wire.query(kill).iter().any(|m| m.tag == b'D') {
            report.did("kill");
        }
        if broken.elapsed() > Duration::from_secs(4) {
            broken = Instant::now();
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication";
            if wire.query(kill).iter().any(|m| m.tag == b'D') {
                report.did("broken stream");
            }
        }
    }
    report
}

/// What must be true when it is over.
pub(super) fn aftermath(howdah: &Howdah, report: &mut Report) {
    let metrics = howdah.metrics();
    let sum = |name: &str| -> f64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    for line in metrics.lines().filter(|line| line.starts_with("howdah_cache_") && !line.contains("tenant="))
    {
        println!("{line}");
    }
    let (bytes, most) = (sum("howdah_cache_bytes{"), sum("howdah_cache_max_bytes"));
    if bytes > most {
        report.failures.push(format!("{bytes} bytes are kept, of {most}"));
    }
    for name in [
        "howdah_cache_hits_total{",
        "howdah_cache_stores_total{",
        "howdah_cache_evictions_total{",
        "howdah_cache_invalidations_total{",
    ] {
        if sum(name) == 0.0 {
            report.failures.push(format!("no {name}"));
        }
    }
    let (flights, waiters) = (sum("howdah_cache_flights{"), sum("howdah_cache_waiters{"));
    if flights + waiters > 0.0 {
        report.failures.push(format!("{flights} flights and {waiters} waiters are left"));
    }
    if sum("howdah_session_panics_total") > 0.0 {
        report.failures.push("a session panicked".to_owned());
    }
    for line in howdah.log().lines().filter(|line| line.contains("panicked") || line.contains("violation")) {
        report.failures.push(format!("howdah's log: {line}"));
    }
}
