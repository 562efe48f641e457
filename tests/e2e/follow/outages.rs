//! What becomes of the cache when the stream breaks, lags, or cannot begin.

use super::{Rig, SETTINGS, cluster, prepared, settings, started};
use crate::support::watchdog::signal;
use crate::support::{Cluster, Config, Database, Howdah, Version, Wire, wait_until};
use howdah::config::Follow;
use std::time::Duration;

fn walsenders(database: &Database<'_>) -> Vec<u32> {
    let rows = database.query(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = current_database()",
    );
    rows.iter().map(|row| row[0].as_ref().unwrap().parse().unwrap()).collect()
}

fn break_stream(database: &Database<'_>) {
    let pids = walsenders(database);
    assert_eq!(pids.len(), 1);
    database.query(&format!("SELECT pg_terminate_backend({})", pids[0]));
}

#[test]
fn after_a_broken_stream_nothing_is_left_of_what_was_kept() {
    for version in Version::ALL {
        let database = cluster(version).database("follow_broken");
        prepared(&database);
        let rig = Rig::following(&database, settings());
        let whole = rig.cache.whole().clone();
        let before = whole.generation();
        break_stream(&database);
        // It may be over before anybody looks; but what was kept is gone.
        rig.ends(&whole, before);
        rig.wait_until_in_use();
        let mark = rig.table("orders");
        let before = mark.generation();
        database.query("INSERT INTO orders VALUES (1)");
        rig.ends(&mark, before);
        // The old slot went with its connection.
        assert_eq!(
            database.value("SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"),
            "1"
        );
    }
}

#[test]
fn a_permanent_slot_misses_nothing() {
    for version in Version::ALL {
        let database = cluster(version).database("follow_permanent");
        prepared(&database);
        let slot = Follow { slot: Some("kept".to_owned()), ..settings() };
        let rig = Rig::following(&database, slot);
        let (whole, orders, fence) = (rig.cache.whole().clone(), rig.table("orders"), rig.table("fence"));
        assert_eq!(
            database.value("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"),
            "kept_follow_permanent"
        );
        for id in 0..3 {
            let (all, before) = (whole.generation(), orders.generation());
            break_stream(&database);
            database.query(&format!("INSERT INTO orders VALUES ({id})"));
            rig.ends(&orders, before);
            rig.wait_until_in_use();
            let since = fence.generation();
            database.query("INSERT INTO fence DEFAULT VALUES");
            rig.ends(&fence, since);
            assert_eq!(whole.generation(), all, "the rest is still good");
        }
        // Somebody else read from the slot, or it is not the same any more: then something may be missing.
        let all = whole.generation();
        drop(rig);
        wait_until("the slot is free", || walsenders(&database).is_empty());
        let slot = Follow { slot: Some("kept".to_owned()), ..settings() };
        let rig = Rig::following(&database, slot);
        assert!(rig.cache.whole().generation() > 0 && all > 0, "a new process begins with nothing");
        drop(rig);
        wait_until("the slot is free", || walsenders(&database).is_empty());
        database.query("SELECT pg_drop_replication_slot('kept_follow_permanent')");
    }
}

#[test]
fn a_permanent_slot_that_was_made_anew_leaves_nothing_of_what_was_kept() {
    let database = cluster(Version::V15).database("follow_anew");
    prepared(&database);
    let slot = Follow { slot: Some("anew".to_owned()), ..settings() };
    let rig = Rig::following(&database, slot);
    let whole = rig.cache.whole().clone();
    let before = whole.generation();
    // Made anew before Howdah is back: in one go with the end of the stream.
    database.query(&format!(
        "DO $$ BEGIN PERFORM pg_terminate_backend({});
            FOR n IN 1..1000 LOOP
                BEGIN PERFORM pg_drop_replication_slot('anew_follow_anew'); EXIT;
                EXCEPTION WHEN object_in_use THEN PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots
                    WHERE slot_name = 'anew_follow_anew' AND active; PERFORM pg_sleep(0.005); END;
            END LOOP; END $$",
        walsenders(&database)[0]
    ));
    rig.ends(&whole, before);
    rig.wait_until_in_use();
    drop(rig);
    wait_until("the slot is free", || walsenders(&database).is_empty());
    database.query("SELECT pg_drop_replication_slot('anew_follow_anew')");
}

#[test]
fn what_lags_pauses_and_goes_on_with_what_was_kept() {
    let database = cluster(Version::V15).database("follow_lag");
    prepared(&database);
    let rig = Rig::following(&database, Follow { max_lag: Duration::from_millis(400), ..settings() });
    let (whole, mark) = (rig.cache.whole().clone(), rig.table("orders"));
    let all = whole.generation();
    let pids = walsenders(&database);
    signal(pids[0], "STOP");
    rig.wait_until_paused("the replication stream lags");
    let before = mark.generation();
    database.query("INSERT INTO orders VALUES (1)");
    assert_eq!(mark.generation(), before);
    // So that what says it goes on was sent behind that.
    std::thread::sleep(Duration::from_millis(600));
    signal(pids[0], "CONT");
    rig.wait_until_in_use();
    assert!(mark.generation() > before, "what came meanwhile is known when it goes on");
    assert_eq!(whole.generation(), all, "the stream is the same");
}

/// A commit that waits for a standby is in the log, and so on the stream, before anybody can see it.
#[test]
fn a_commit_that_cannot_be_seen_yet_ends_its_table_again_when_it_can() {
    for version in [Version::V15, Version::V18] {
        let cluster = started(version);
        let database = cluster.database("follow_unseen");
        prepared(&database);
        let rig = Rig::following(&database, settings());
        let mark = rig.table("orders");
        let before = mark.generation();
        let standby = |names: &str| {
            cluster.query("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
            cluster.query("postgres", "SELECT pg_reload_conf()");
            wait_until("the server has read it", || {
                cluster.value("postgres", "SHOW synchronous_standby_names") == names
            });
        };
        standby("nobody");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                database.query("SET synchronous_commit = on; INSERT INTO orders VALUES (1, 'new')")
            });
            rig.ends(&mark, before);
            let heard = mark.generation();
            assert_eq!(database.value("SELECT count(*) FROM orders"), "0", "nobody can see it");
            // A fill of this moment would keep what was before; it is younger than the first invalidation.
            let filled = rig.cache.clock();
            assert!(filled >= heard);
            cluster.query("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
            cluster.query("postgres", "SELECT pg_reload_conf()");
            rig.ends(&mark, filled);
            assert_eq!(database.value("SELECT count(*) FROM orders"), "1");
        });
        assert_eq!(rig.cache.is_paused(), None, "Howdah's own messages wait for no standby");
    }
}

/// Howdah itself, with these lines in `[cache.follow]`.
fn start(mut config: Config, follow: &str) -> Howdah {
    config.extra = format!("[cache.follow]\nmode = \"replication\"\n{follow}");
    config.start()
}

#[test]
fn what_is_missing_is_said_and_waited_for() {
    let cluster = started(Version::V15);
    let database = cluster.database("follow_missing");
    let howdah = start(Config::simple(4, &database), "max_lag = \"1s\"\n");
    drop(Wire::login(howdah.address(), "postgres", &database.name));
    howdah.wait_for_log("publication howdah does not exist");
    database.query("CREATE PUBLICATION howdah FOR ALL TABLES WITH (publish = 'insert, truncate')");
    howdah.wait_for_log("publication howdah does not publish UPDATE, DELETE");
    database.query("ALTER PUBLICATION howdah SET (publish = 'insert, update, delete, truncate')");
    howdah.wait_for_log("changes are followed: its cache is in use");
    howdah.sigterm();
}

#[test]
fn a_server_that_cannot_be_followed_is_said() {
    let cluster = Cluster::start_with(Version::V15, &SETTINGS.replace("logical", "replica"));
    let database = cluster.database("follow_level");
    database.query("CREATE PUBLICATION howdah FOR ALL TABLES");
    let extra = "user = \"app\"\npassword = \"secret\"\n";
    let howdah = start(Config::simple(4, &database), extra);
    drop(Wire::login(howdah.address(), "postgres", &database.name));
    howdah.wait_for_log("wal_level is replica");
    cluster.query("postgres", "ALTER SYSTEM SET wal_level = 'logical'");
    cluster.restart();
    // The role may not replicate: the server says so.
    howdah.wait_for_log("(42501)");
    cluster.query("postgres", "ALTER ROLE app REPLICATION");
    howdah.wait_for_log("changes are followed: its cache is in use");
    // Two connections of its own, and one that listens, are not for a database that has but one.
    let small = start(Config::simple(1, &database).pool("max_db_connections = 1"), extra);
    drop(Wire::login(small.address(), "postgres", &database.name));
    small.wait_for_log("it takes two of max_db_connections");
}
