//! Many clients that want the same: one asks.

use std::time::Duration;

use super::{ask, config, fates, login, marked, warm};
use crate::support::wire::{Message, Wire, query};
use crate::support::{Cluster, Database, Howdah, Version, wait_until};

fn plain(howdah: &Howdah, database: &Database<'_>) -> Wire {
    Wire::login(("127.0.0.1", howdah.port), "app", &database.name)
}

/// A query whose text has been studied, but whose answers have not been kept.
fn studied(wire: &mut Wire, table: &str) {
    warm(wire, &marked(&format!("SELECT a FROM {table}")));
}

fn prepare(database: &Database<'_>) {
    database.query(
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1);
         CREATE TABLE asked (at timestamptz DEFAULT clock_timestamp());
         GRANT ALL ON t, asked TO PUBLIC",
    );
}

/// How often the server runs it at this moment.
fn running(database: &Database<'_>) -> String {
    database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
         AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()",
    )
}

/// A slow query that is studied: the mark allows what is VOLATILE, as pg_sleep is.
fn slow(seconds: &str, tag: &str) -> String {
    format!(
        "/* howdah.cache='60s', howdah.cache_volatile='yes' */ SELECT a, '{tag}' FROM t, pg_sleep({seconds})"
    )
}

/// Has the text studied, with an answer that a write ends again.
fn study(wire: &mut Wire, text: &str) {
    wait_until("the text is studied", || {
        let fate = ask(wire, text).0;
        fate == "miss, new" || fate == "hit" || fate == "miss, invalidated"
    });
    wire.query("UPDATE t SET a = a");
}

#[test]
fn one_client_asks_for_all() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_flight");
    prepare(&database);
    let howdah = config(5, &database).start();
    let mut first = login(&howdah, &database);
    let text = slow("0.5", "all");
    study(&mut first, &text);
    let mut clients: Vec<Wire> = (0..50).map(|_| plain(&howdah, &database)).collect();
    for client in &mut clients {
        client.send(&[query(&text)]);
    }
    wait_until("one asks", || running(&database) == "1");
    for client in &mut clients {
        let messages = client.read_ready(1);
        assert!(messages.iter().any(|m| m.tag == b'D'));
    }
    assert_eq!(running(&database), "0");
    let hits = howdah_metric(&howdah, "howdah_cache_hits_total");
    assert!(hits >= 49.0, "{hits}");
}

fn howdah_metric(howdah: &Howdah, name: &str) -> f64 {
    let lines = howdah.metrics();
    let of = lines.lines().filter(|line| line.starts_with(name));
    of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn when_the_one_who_asks_goes_another_takes_over() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_takeover");
    prepare(&database);
    let howdah = config(5, &database).start();
    let mut first = login(&howdah, &database);
    let text = slow("0.7", "takeover");
    study(&mut first, &text);
    let mut leader = plain(&howdah, &database);
    leader.send(&[query(&text)]);
    wait_until("it asks", || running(&database) == "1");
    let mut others: Vec<Wire> = (0..10).map(|_| plain(&howdah, &database)).collect();
    for other in &mut others {
        other.send(&[query(&text)]);
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(running(&database), "1", "the others wait");
    drop(leader);
    for other in &mut others {
        assert!(other.read_ready(1).iter().any(|m| m.tag == b'D'));
    }
    // One that fails passes it on as well.
    first.query("UPDATE t SET a = a");
    let address = ("127.0.0.1", howdah.port);
    let mut leader = plain(&howdah, &database);
    leader.send(&[query(&text)]);
    wait_until("it asks", || running(&database) == "1");
    others[0].send(&[query(&text)]);
    std::thread::sleep(Duration::from_millis(50));
    leader.cancel(address);
    assert_eq!(error(&leader.read_ready(1)), "57014");
    assert!(others[0].read_ready(1).iter().any(|m| m.tag == b'D'));
}

fn error(messages: &[Message]) -> String {
    messages.iter().find(|m| m.tag == b'E').map(Message::sqlstate).unwrap_or_default()
}

#[test]
fn who_waits_can_be_cancelled_or_leave_or_lose_patience() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_waiters");
    prepare(&database);
    let mut config = config(5, &database);
    config.extra += "wait = \"300ms\"\n";
    let howdah = config.start();
    let mut first = login(&howdah, &database);
    let text = slow("1.2", "patience");
    study(&mut first, &text);
    let address = ("127.0.0.1", howdah.port);
    let mut leader = plain(&howdah, &database);
    leader.send(&[query(&text)]);
    wait_until("it asks", || running(&database) == "1");
    let (mut cancelled, leaves, mut impatient) =
        (plain(&howdah, &database), plain(&howdah, &database), plain(&howdah, &database));
    let mut leaves = leaves;
    leaves.send(&[query(&text)]);
    drop(leaves);
    cancelled.send(&[query(&text), query("SELECT 5")]);
    std::thread::sleep(Duration::from_millis(50));
    cancelled.cancel(address);
    let messages = cancelled.read_ready(2);
    assert_eq!(error(&messages), "57014");
    assert!(messages.iter().any(|m| m.tag == b'D' && m.row() == [Some("5".into())]), "and goes on");
    impatient.send(&[query(&text)]);
    wait_until("it asks for itself", || running(&database) == "2");
    assert!(leader.read_ready(1).iter().any(|m| m.tag == b'D'));
    assert!(impatient.read_ready(1).iter().any(|m| m.tag == b'D'));
}

#[test]
fn an_old_answer_is_given_while_one_client_fetches_the_new_one() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_stale");
    prepare(&database);
    let howdah = config(5, &database).start();
    let mut first = login(&howdah, &database);
    let text = "/* howdah.cache='1s', howdah.stale='60s', howdah.cache_volatile='yes' */ SELECT a, pg_sleep(0.6), clock_timestamp() FROM t";
    warm(&mut first, text);
    std::thread::sleep(Duration::from_millis(1200));
    let mut fetches = plain(&howdah, &database);
    fetches.send(&[query(text)]);
    wait_until("one fetches", || running(&database) == "1");
    assert_eq!(ask(&mut first, text).0, "hit", "the old one");
    assert_eq!(running(&database), "1", "meanwhile");
    fetches.read_ready(1);
    // What was written is never given, however much time is left.
    std::thread::sleep(Duration::from_millis(1200));
    first.query("UPDATE t SET a = 2");
    let messages = first.query(text);
    assert_ne!(fates(&messages), ["hit"]);
    assert_eq!(messages.iter().find(|m| m.tag == b'D').unwrap().row()[0], Some("2".into()));
}

#[test]
fn time_ends_answers() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_time");
    prepare(&database);
    let howdah = config(2, &database).start();
    let mut wire = login(&howdah, &database);
    studied(&mut wire, "t");
    let long = "/* howdah.cache='60s' */ SELECT a, 'ttl' FROM t";
    let short = "/* howdah.cache='500ms' */ SELECT a, 'ttl' FROM t";
    warm(&mut wire, long);
    database.query("UPDATE t SET a = 7"); // nobody sees it
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(ask(&mut wire, long), ("hit".into(), "1".into()));
    assert_eq!(ask(&mut wire, short).1, "7", "too old for who wants a younger one");
    assert_eq!(ask(&mut wire, long).1, "7", "which is for all");
}
