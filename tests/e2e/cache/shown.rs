//! What operators see of the cache and do to it, while it is in use.

use super::{ask, config, explaining, login, marked, warm};
use crate::support::wire::{Message, Wire};
use crate::support::{Cluster, Database, Howdah, Version};

fn console(howdah: &Howdah) -> Wire {
    Wire::login(("127.0.0.1", howdah.port), "postgres", "howdah")
}

fn rows(console: &mut Wire, text: &str) -> Vec<Vec<Option<String>>> {
    console.query(text).iter().filter(|m| m.tag == b'D').map(Message::row).collect()
}

fn table(name: &str) -> Database<'static> {
    let database = Cluster::shared(Version::V15).database(name);
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); GRANT ALL ON t TO PUBLIC");
    database
}

#[test]
fn entries_are_shown_and_purged() {
    let database = table("cache_shown");
    let howdah = config(2, &database).sections("[admin]\nusers = [\"postgres\"]\n").start();
    let (mut wire, mut console) = (login(&howdah, &database), console(&howdah));
    let all = marked("SELECT a FROM t ORDER BY a");
    warm(&mut wire, &all);
    warm(&mut wire, "/* howdah.cache='60s', howdah.tag='two,b' */ SELECT max(a) FROM t");
    let entries = rows(&mut console, "SHOW CACHE_ENTRIES");
    assert_eq!(entries.len(), 2, "{entries:?}");
    let of_all = entries.iter().find(|row| row[3].as_deref() == Some("SELECT a FROM t ORDER BY a")).unwrap();
    let id = format!("127.0.0.1:{}/cache_shown", database.cluster.port);
    assert_eq!(
        (of_all[1].as_deref(), of_all[2].as_deref(), of_all[5].as_deref()),
        (Some(&*id), None, Some("2"))
    );
    assert!(of_all[6].as_deref() >= Some("1") && of_all[9].as_deref().unwrap().contains('t'), "{of_all:?}");
    let shown = rows(&mut console, "SHOW CACHE");
    assert_eq!((shown.len(), shown[0][0].as_deref(), shown[0][2].as_deref()), (1, Some(&*id), Some("2")));
    let mut purge = |what: &str| {
        let answer = console.query(&format!("CACHE PURGE {what}"));
        answer
            .iter()
            .find(|m| m.tag == b'C')
            .map(Message::text)
            .unwrap_or_else(|| panic!("{what}: {answer:?}"))
    };
    assert_eq!(purge("TAG nothing"), "CACHE PURGE 0");
    assert_eq!(purge("TAG two"), "CACHE PURGE 1");
    assert_eq!(ask(&mut wire, &all).0, "hit");
    // By the name that clients ask for.
    assert_eq!(purge("TABLE public.t cache_shown"), "CACHE PURGE 1");
    assert_ne!(ask(&mut wire, &all).0, "hit");
    warm(&mut wire, &all);
    assert_eq!(purge("ALL"), "CACHE PURGE 1");
    assert_ne!(ask(&mut wire, &all).0, "hit");
}

#[test]
fn metrics_are_by_database_and_by_so_many_tenants() {
    let database = table("cache_metrics");
    let tenancy = "[tenancy]\n[tenants.\"*\"]\n[observe]\nmax_tenants = 2\n";
    let howdah = config(2, &database).sections(tenancy).start();
    for tenant in ["a", "b", "c", "d"] {
        let user = format!("app.{tenant}");
        let mut wire = explaining(Wire::login(("127.0.0.1", howdah.port), &user, &database.name));
        warm(&mut wire, &marked("SELECT a FROM t ORDER BY a"));
        // Who looks meanwhile does not count twice.
        howdah.metrics();
    }
    let metrics = howdah.metrics();
    let id = format!("127.0.0.1:{}/cache_metrics", database.cluster.port);
    let value = |name: &str, labels: &str| -> f64 {
        let start = format!("{name}{{database=\"{id}\"{labels}}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {start}:\n{metrics}")).parse().unwrap()
    };
    assert_eq!(value("howdah_cache_hits_total", ""), 4.0);
    assert_eq!(value("howdah_cache_entries", ""), 4.0);
    assert_eq!(value("howdah_cache_paused", ""), 0.0);
    assert!(value("howdah_cache_misses_total", ",reason=\"new\"") >= 4.0);
    assert_eq!(value("howdah_cache_tenant_hits_total", ",tenant=\"a\""), 1.0);
    assert_eq!(value("howdah_cache_tenant_hits_total", ",tenant=\"b\""), 1.0);
    assert_eq!(value("howdah_cache_tenant_hits_total", ",tenant=\"other\""), 2.0);
    assert_eq!(value("howdah_cache_tenant_entries", ",tenant=\"other\""), 2.0);
    // Of statements the heaviest tenants have labels, whichever they are.
    let of_the_cache = |line: &&str| line.starts_with("howdah_cache") && line.contains("tenant=\"c\"");
    assert_eq!(metrics.lines().find(of_the_cache), None);
}
