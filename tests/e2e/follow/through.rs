//! Clients of Howdah whose answers end by what others write.

use super::{cluster, prepared};
use crate::cache::{ask, config, login, marked, warm};
use crate::support::{Config, Database, Howdah, Version, wait_until};

fn following(database: &Database<'_>, lines: &str) -> Config {
    let follow = "[cache.follow]\nmode = \"replication\"\nuser = \"follower\"\npassword = \"secret\"\n";
    config(3, database).sections(&format!("{follow}{lines}"))
}

fn started(database: &Database<'_>, lines: &str) -> Howdah {
    let howdah = following(database, lines).start();
    drop(login(&howdah, database));
    howdah.wait_for_log("changes are followed: its cache is in use");
    howdah
}

#[test]
fn what_is_written_past_howdah_is_read_by_its_clients() {
    for version in Version::ALL {
        let database = cluster(version).database("follow_through");
        prepared(&database);
        database.query(
            "INSERT INTO orders VALUES (1, 'first');
             CREATE VIEW notes AS SELECT note FROM orders WHERE id = 1;
             CREATE TABLE days (id int PRIMARY KEY, note text) PARTITION BY RANGE (id);
             CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10);
             INSERT INTO days VALUES (1, 'first');
             GRANT SELECT ON orders, notes, days, days_1 TO app",
        );
        let howdah = started(&database, "");
        let mut client = login(&howdah, &database);
        let reads = [
            "SELECT note FROM orders WHERE id = 1",
            "SELECT note FROM notes",
            "SELECT note FROM days",
            "SELECT note FROM days_1",
        ];
        for note in ["second", "third"] {
            for sql in reads {
                warm(&mut client, &marked(sql));
            }
            database.query(&format!("UPDATE orders SET note = '{note}'; UPDATE days SET note = '{note}'"));
            for sql in reads {
                wait_until("the new note is read", || ask(&mut client, &marked(sql)).1 == note);
            }
        }
        // A right that is taken away.
        warm(&mut client, &marked(reads[0]));
        database.query("REVOKE SELECT ON orders FROM app");
        wait_until("the right is gone", || ask(&mut client, &marked(reads[0])).1 == "42501");
        let lag = howdah.metric("howdah_cache_follow_lag_seconds{").expect("a lag");
        assert!(lag > 0.0);
        assert_eq!(howdah.metric("howdah_cache_following{"), Some(1.0));
        assert!(howdah.metric("howdah_cache_follow_transactions_total{").unwrap() >= 3.0);
    }
}

#[test]
fn while_nothing_is_known_nothing_comes_from_memory() {
    let database = cluster(Version::V15).database("follow_pauses");
    prepared(&database);
    database.query("INSERT INTO orders VALUES (1, 'first'); GRANT SELECT ON orders TO app");
    let howdah = started(&database, "max_lag = \"500ms\"\n");
    let mut client = login(&howdah, &database);
    let read = marked("SELECT note FROM orders");
    warm(&mut client, &read);
    let pid: u32 = database
        .value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = current_database()")
        .parse()
        .unwrap();
    crate::support::watchdog::signal(pid, "STOP");
    wait_until("the cache is paused", || ask(&mut client, &read).0.starts_with("miss, paused"));
    database.query("UPDATE orders SET note = 'second'");
    let (fate, note) = ask(&mut client, &read);
    assert!(fate.starts_with("miss, paused") && note == "second", "{fate} {note}");
    assert_eq!(howdah.metric("howdah_cache_following{"), Some(0.0));
    assert!(howdah.log().contains("the replication stream lags"));
    // So that what says it goes on was sent behind that.
    std::thread::sleep(std::time::Duration::from_millis(700));
    crate::support::watchdog::signal(pid, "CONT");
    assert_eq!(warm(&mut client, &read), "second");
}

#[test]
fn what_somebody_notifies_of_is_read_anew() {
    let database = cluster(Version::V15).database("follow_notified");
    prepared(&database);
    database.query("INSERT INTO orders VALUES (1, 'first'); GRANT SELECT ON orders TO app");
    let howdah = config(3, &database).start();
    let mut client = login(&howdah, &database);
    let reads = [
        marked("SELECT note FROM orders"),
        "/* howdah.cache='60s', howdah.tag='notes' */ SELECT max(note) FROM orders".to_owned(),
    ];
    for (word, note) in [("orders", "b"), ("*", "c")] {
        for read in &reads {
            warm(&mut client, read);
        }
        database.query(&format!("UPDATE orders SET note = '{note}'"));
        assert_eq!(ask(&mut client, &reads[0]).0, "hit", "nobody has told it");
        database.query(&format!("NOTIFY howdah_invalidate, '{word}'"));
        for read in &reads {
            wait_until("it is told", || ask(&mut client, read).1 == note);
        }
    }
    // A tag ends what has it, and nothing else.
    for read in &reads {
        warm(&mut client, read);
    }
    database.query("UPDATE orders SET note = 'd'; NOTIFY howdah_invalidate, 'notes'");
    wait_until("it is told", || ask(&mut client, &reads[1]).1 == "d");
    assert_eq!(ask(&mut client, &reads[0]), ("hit".to_owned(), "c".to_owned()));
}
