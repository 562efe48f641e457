//! Marked reads of several tenants in every form, while the same rows are written in every way: through Howdah and
//! past it, rolled back, by triggers and foreign keys, with DDL, purges, killed server processes and a replication
//! stream that breaks. Each row says whose it is and which version; an oracle knows which versions may be seen.
//!
//! `HOWDAH_CACHE_SOAK` is for how many seconds, `HOWDAH_CACHE_SOAK_SEED` where the choices come from,
//! `HOWDAH_CACHE_SOAK_PG` the server's major version. `make soak` runs half an hour.

mod client;
mod oracle;
mod others;
mod reads;
mod world;
mod writes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use self::client::Client;
use self::oracle::Oracle;
use crate::support::{Cluster, Version};

const CLIENTS: u64 = 16;
/// Failures of one client before it gives up.
const ENOUGH: usize = 5;

/// What has happened.
#[derive(Default, Debug)]
struct Report {
    reads: u64,
    rows: u64,
    writes: u64,
    /// Writes whose fate nobody knows, because the connection was lost.
    uncertain: u64,
    rollbacks: u64,
    reconnects: u64,
    /// What the explaining client was told, by its first words.
    fates: BTreeMap<String, u64>,
    errors: BTreeMap<String, u64>,
    /// How often each kind of thing was done.
    done: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.rows += other.rows;
        self.writes += other.writes;
        self.uncertain += other.uncertain;
        self.rollbacks += other.rollbacks;
        self.reconnects += other.reconnects;
        for (mine, theirs) in [(&mut self.fates, other.fates), (&mut self.errors, other.errors)] {
            for (word, count) in theirs {
                *mine.entry(word).or_default() += count;
            }
        }
        for (word, count) in other.done {
            *self.done.entry(word).or_default() += count;
        }
        self.failures.extend(other.failures);
    }

    fn did(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn error(&mut self, sqlstate: String) {
        *self.errors.entry(sqlstate).or_default() += 1;
    }
}

/// What all share.
struct Soak<'a> {
    seed: u64,
    port: u16,
    database: &'a str,
    oracle: Oracle,
    /// The server knows MERGE, and views that read as who asks.
    merge: bool,
    /// Odd: nobody may read `secret`, and everybody who changes that has been told so.
    forbidden: AtomicU64,
    stop: AtomicBool,
    began: Instant,
    until: Instant,
}

impl Soak<'_> {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until || self.stop.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Every other few seconds nothing is broken or built and little is written, so that answers live for a while.
    fn is_calm(&self) -> bool {
        self.began.elapsed().as_secs() / 4 % 2 == 1
    }

    /// Waits for the end of the calm.
    fn rest(&self) {
        while self.is_calm() && !self.is_over() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn soak(version: Version, seconds: u64, seed: u64) -> Report {
    let cluster = Cluster::start_with(version, "wal_level = logical\nmax_wal_senders = 10\n");
    let database = cluster.database("soak");
    world::tables(&database);
    let howdah = world::config(&database).start();
    let soak = &Soak {
        seed,
        port: howdah.port,
        database: &database.name,
        oracle: Oracle::new(),
        merge: version.major() >= 15,
        forbidden: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        began: Instant::now(),
        until: Instant::now() + Duration::from_secs(seconds),
    };
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || Client::new(soak, n).run())).collect();
        let outsider = scope.spawn(|| others::outsider(soak, &database));
        let builder = scope.spawn(|| others::builder(soak));
        let killer = scope.spawn(|| others::killer(soak, &database));
        for thread in clients.into_iter().chain([outsider, builder, killer]) {
            match thread.join() {
                Ok(theirs) => report.add(theirs),
                Err(_) => report.failures.push("a thread panicked".to_owned()),
            }
        }
    });
    others::aftermath(&howdah, &mut report);
    report
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.replace('_', "").parse().ok())
}

#[test]
fn no_read_is_older_than_promised_or_of_somebody_else() {
    let seconds = from_env("HOWDAH_CACHE_SOAK").unwrap_or(60);
    let seed = from_env("HOWDAH_CACHE_SOAK_SEED").unwrap_or(5);
    let major = from_env("HOWDAH_CACHE_SOAK_PG").unwrap_or(15);
    let version = Version::ALL.into_iter().find(|v| u64::from(v.major()) == major).expect("14, 15 or 18");
    let report = soak(version, seconds, seed);
    println!("PostgreSQL {major}, seed {seed}, {seconds} s");
    println!("reads          {}, rows checked {}", report.reads, report.rows);
    println!(
        "writes         {}, rolled back {}, of unknown fate {}",
        report.writes, report.rollbacks, report.uncertain
    );
    println!("connections    {}", report.reconnects);
    println!("fates          {:?}", report.fates);
    println!("errors         {:?}", report.errors);
    println!("done           {:?}", report.done);
    let failures = &report.failures;
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // It was a soak.
    for (what, count) in [("reads", report.reads), ("writes", report.writes), ("rollbacks", report.rollbacks)]
    {
        assert!(count > 0, "no {what}");
    }
    assert!(report.fates.keys().any(|fate| fate.starts_with("hit")), "no hits: {:?}", report.fates);
    for what in ["past Howdah", "DDL", "REVOKE", "purge", "kill", "broken stream"] {
        assert!(report.done.contains_key(what), "no {what}");
    }
}
