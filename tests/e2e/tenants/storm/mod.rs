//! Many clients of many tenants through few server connections, in every form in which a transaction may come,
//! while server processes are killed, queries cancelled, clients die and the configuration changes. Every row says
//! whose it is and which statement asked for it.
//!
//! `HOWDAH_STORM` is how many transactions, `HOWDAH_STORM_SEED` where the choices come from, `HOWDAH_STORM_PG` the
//! server's major version. `make storm` runs a million.

mod client;
mod forms;
mod script;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::client::Client;
use self::world::Tenant;
use crate::support::Dice;
use crate::support::wire::{Message, Wire};
use crate::support::{Cluster, Database, Howdah, Version};

const CLIENTS: u64 = 48;

/// What has happened.
#[derive(Default, Debug)]
struct Report {
    transactions: u64,
    rows: u64,
    /// Rows that were inserted, and hold the tenant whose client inserted them.
    written: u64,
    errors: BTreeMap<String, u64>,
    kills: u64,
    cancels: u64,
    deaths: u64,
    reconnects: u64,
    reloads: u64,
    /// Connections that ended without an error that said why.
    silent: u64,
    /// Rows of somebody else, or that carry another tenant than was asked for.
    others: Vec<String>,
    /// Answers that are not what they should be.
    failures: Vec<String>,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.transactions += other.transactions;
        self.rows += other.rows;
        self.kills += other.kills;
        self.cancels += other.cancels;
        self.deaths += other.deaths;
        self.reconnects += other.reconnects;
        self.silent += other.silent;
        self.others.extend(other.others);
        self.failures.extend(other.failures);
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
    }

    fn note(&mut self, message: &Message) {
        if message.tag == b'E' {
            *self.errors.entry(message.sqlstate()).or_default() += 1;
        }
    }
}

/// What all clients share.
struct Storm<'a> {
    seed: u64,
    port: u16,
    database: &'a str,
    tenants: &'a [Tenant],
    wanted: u64,
    done: AtomicU64,
    stop: AtomicBool,
}

impl Storm<'_> {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.done.load(Ordering::Relaxed) >= self.wanted
    }

    fn add(&self, transactions: u64) {
        self.done.fetch_add(transactions, Ordering::Relaxed);
    }
}

/// Runs at least so many transactions.
fn storm(version: Version, transactions: u64, tenants: usize, connections: usize, seed: u64) -> Report {
    let tenants: Vec<Tenant> = (0..tenants).map(Tenant::new).collect();
    let cluster = Cluster::start(version);
    let database = cluster.database("storm");
    world::tables(&database, &tenants);
    let howdah = world::config(&database, connections, &tenants, false).start();
    let storm = &Storm {
        seed,
        port: howdah.port,
        database: &database.name,
        tenants: &tenants,
        wanted: transactions,
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let client = |n| scope.spawn(move || Client::new(storm, n).run());
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let all_gone = || clients.iter().all(|client| client.is_finished());
        rage(storm, &howdah, &database, connections, &all_gone, &mut report);
        for client in clients {
            match client.join() {
                Ok(theirs) => report.add(theirs),
                Err(_) => report.failures.push("a client panicked".to_owned()),
            }
        }
    });
    report.transactions = storm.done.load(Ordering::Relaxed);
    aftermath(storm, &howdah, &database, connections, &mut report);
    report
}

/// Kills server processes and changes the configuration until the clients are gone.
fn rage(
    storm: &Storm<'_>,
    howdah: &Howdah,
    database: &Database<'_>,
    connections: usize,
    all_gone: &dyn Fn() -> bool,
    report: &mut Report,
) {
    let mut dice = Dice::new(storm.seed);
    let mut killer = Wire::login(("127.0.0.1", database.cluster.port), "postgres", &database.name);
    let (began, mut reloaded) = (Instant::now(), Instant::now());
    // The end of waiting, no assertion about speed.
    let limit = Duration::from_secs(120 + storm.wanted / 200);
    while !all_gone() {
        std::thread::sleep(Duration::from_millis(20 + dice.below(100) as u64));
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND usename = 'app' ORDER BY random() LIMIT 1";
        report.kills += killer.query(kill).iter().filter(|message| message.tag == b'D').count() as u64;
        if reloaded.elapsed() > Duration::from_secs(1) {
            reloaded = Instant::now();
            report.reloads += 1;
            let config = world::config(database, connections, storm.tenants, report.reloads % 2 == 1);
            std::fs::write(&howdah.config_file, config.toml()).expect("howdah.toml");
            howdah.sighup();
        }
        if began.elapsed() > limit && !storm.stop.swap(true, Ordering::Relaxed) {
            report.failures.push(format!("not done after {limit:?}"));
        }
    }
}

/// What must be true when it is over.
fn aftermath(
    storm: &Storm<'_>,
    howdah: &Howdah,
    database: &Database<'_>,
    connections: usize,
    report: &mut Report,
) {
    // No server connection went missing: so many transactions can be open at one time.
    let mut open: Vec<(Wire, &Tenant)> = Vec::new();
    for tenant in storm.tenants.iter().filter(|tenant| !tenant.hurried).take(connections) {
        let user = format!("app.{}", tenant.name);
        open.push((Wire::login(("127.0.0.1", howdah.port), &user, &database.name), tenant));
    }
    for (wire, tenant) in &mut open {
        wire.query("BEGIN");
        let id = wire.value("SELECT min(tenant_id) || max(tenant_id) FROM seen");
        assert_eq!(id, tenant.id.repeat(2), "{}", tenant.name);
    }
    let backends = database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'app'",
    );
    assert_eq!(backends, connections.to_string(), "server connections");
    drop(open);
    let names: Vec<String> = storm
        .tenants
        .iter()
        .map(|tenant| {
            format!(
                "('{}', '{}', '{}', '{}')",
                tenant.name,
                tenant.id.replace('\'', "''"),
                tenant.place,
                tenant.role
            )
        })
        .collect();
    database.query(&format!(
        "CREATE TABLE names (name text, id text, place text, who text); INSERT INTO names VALUES {}",
        names.join(",")
    ));
    let wrong = "FROM written LEFT JOIN names ON believed = name \
        WHERE (tenant_id, written.place, written.who) IS DISTINCT FROM (id, names.place, names.who)";
    for row in database.query(&format!("SELECT written.*, names.* {wrong} LIMIT 20")) {
        report.others.push(format!("written: {row:?}"));
    }
    report.written = database.value("SELECT count(*) FROM written").parse().expect("a number");
    let log = howdah.log();
    for line in log.lines().filter(|line| line.contains("panicked") || line.contains("violation")) {
        report.failures.push(format!("howdah's log: {line}"));
    }
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.replace('_', "").parse().ok())
}

#[test]
fn no_row_of_another_tenant() {
    let transactions = from_env("HOWDAH_STORM").unwrap_or(15_000);
    let seed = from_env("HOWDAH_STORM_SEED").unwrap_or(3);
    let major = from_env("HOWDAH_STORM_PG").unwrap_or(15);
    let version = Version::ALL.into_iter().find(|v| u64::from(v.major()) == major).expect("14, 15 or 18");
    let began = Instant::now();
    let report = storm(version, transactions, 1_000, 20, seed);
    let Report { others, failures, .. } = &report;
    println!("PostgreSQL {major}, seed {seed}, {:.1} s", began.elapsed().as_secs_f64());
    println!("transactions            {}", report.transactions);
    println!("rows checked            {}", report.rows);
    println!("rows written            {}", report.written);
    println!("rows of others          {}", others.len());
    println!("server processes killed {}", report.kills);
    println!("queries cancelled       {}", report.cancels);
    println!("clients that died       {}", report.deaths);
    println!("connections             {}, of them ended without a word {}", report.reconnects, report.silent);
    println!("configurations          {}", report.reloads);
    println!("errors                  {:?}", report.errors);
    assert!(others.is_empty(), "rows of others:\n{}", others.join("\n"));
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(report.transactions >= transactions);
    // It was a storm.
    for (what, count) in [
        ("rows", report.rows),
        ("written", report.written),
        ("kills", report.kills),
        ("cancels", report.cancels),
        ("deaths", report.deaths),
        ("reloads", report.reloads),
    ] {
        assert!(count > 0, "no {what}");
    }
    for code in ["08006", "57014", "28000", "42501", "23502", "25P02"] {
        assert!(report.errors.contains_key(code), "no {code}");
    }
}
