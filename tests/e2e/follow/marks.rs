//! Which marks a write raises.

use super::{Rig, cluster, prepared, settings};
use crate::support::{Database, Version, wait_until};
use howdah::cache::Source;
use std::time::Duration;

/// Runs a statement, and returns the tables whose marks it raised by the time that a later commit has come. `fence`: a
/// table that nothing was written to yet, so that its mark is raised by that commit alone.
fn raised(rig: &Rig, database: &Database<'_>, tables: &[&str], sql: &str, fence: &str) -> Vec<String> {
    let marks: Vec<_> = tables.iter().map(|name| rig.table(name)).collect();
    let behind = rig.table(fence);
    let (before, since): (Vec<u64>, u64) =
        (marks.iter().map(|mark| mark.generation()).collect(), behind.generation());
    database.query(sql);
    database.query(&format!("INSERT INTO {fence} DEFAULT VALUES"));
    rig.ends(&behind, since);
    let younger = marks.iter().zip(before).filter(|(mark, before)| mark.generation() > *before);
    let names = younger.map(|(mark, _)| mark.name().replace("public.", "")).collect();
    // What is seen now is invalidated once more: not in the next one's time.
    let mut clock = rig.cache.clock();
    wait_until("all is seen", || {
        std::thread::sleep(Duration::from_millis(200));
        std::mem::replace(&mut clock, rig.cache.clock()) == rig.cache.clock()
    });
    names
}

fn every_kind_of_write(version: Version) {
    let database = cluster(version).database("follow_kinds");
    prepared(&database);
    database.query(
        "CREATE TABLE other (id int PRIMARY KEY, order_id int REFERENCES orders ON DELETE CASCADE);
         CREATE TABLE days (id int, day int, PRIMARY KEY (id, day)) PARTITION BY LIST (day);
         CREATE TABLE days_1 PARTITION OF days FOR VALUES IN (1);
         CREATE TABLE days_2 PARTITION OF days FOR VALUES IN (2);
         CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY)",
    );
    for number in 0..14 {
        database.query(&format!("CREATE TABLE fence_{number} (id serial PRIMARY KEY)"));
    }
    let rig = Rig::following(&database, settings());
    let tables = ["orders", "other", "days", "days_1", "days_2", "unlogged"];
    let cases: [(&str, &[&str]); 14] = [
        ("INSERT INTO orders SELECT n, 'x' FROM generate_series(1, 1000) n", &["orders"]),
        ("UPDATE orders SET note = repeat('y', 100000) WHERE id = 1", &["orders"]),
        ("UPDATE orders SET id = 5000 WHERE id = 1000", &["orders"]),
        ("DELETE FROM orders WHERE id = 5000", &["orders"]),
        ("UPDATE orders SET note = 'z' WHERE id = -1", &[]),
        ("BEGIN; INSERT INTO orders VALUES (-1); ROLLBACK", &[]),
        (
            "BEGIN; SAVEPOINT a; INSERT INTO orders VALUES (-1); ROLLBACK TO a; INSERT INTO other VALUES (1, 1); COMMIT",
            &["other"],
        ),
        ("DELETE FROM orders WHERE id = 1", &["orders", "other"]),
        ("INSERT INTO days VALUES (1, 1)", &["days_1"]),
        ("UPDATE days SET day = 2", &["days_1", "days_2"]),
        ("TRUNCATE days", &["days_1", "days_2"]),
        ("TRUNCATE orders CASCADE", &["orders", "other"]),
        ("INSERT INTO unlogged VALUES (1)", &[]),
        ("SELECT count(*) FROM orders", &[]),
    ];
    for (number, (sql, expected)) in cases.into_iter().enumerate() {
        let fence = format!("fence_{number}");
        assert_eq!(raised(&rig, &database, &tables, sql, &fence), expected, "{sql}");
    }
    assert_eq!(rig.cache.is_paused(), None);
}

#[test]
fn every_kind_of_write_ends_its_table_14() {
    every_kind_of_write(Version::V14);
}

#[test]
fn every_kind_of_write_ends_its_table_15() {
    every_kind_of_write(Version::V15);
}

#[test]
fn every_kind_of_write_ends_its_table_18() {
    every_kind_of_write(Version::V18);
}

/// What the catalogues say is looked for, on a server of each version.
fn ddl_and_rights(version: Version) {
    let database = cluster(version).database("follow_ddl");
    prepared(&database);
    database.query(
        "CREATE TABLE secrets (id int PRIMARY KEY, owner name);
         CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM secrets;
         CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
         INSERT INTO secrets VALUES (1)",
    );
    let group = format!("follow_group_{}", version.major());
    database.query(&format!("DROP ROLE IF EXISTS {group}; CREATE ROLE {group}"));
    let quick = howdah::config::Follow { max_lag: Duration::from_secs(1), ..settings() };
    let rig = Rig::following(&database, quick);
    let changes = [
        "GRANT SELECT ON secrets TO app",
        "REVOKE SELECT ON secrets FROM app",
        "GRANT SELECT (id) ON secrets TO app",
        "ALTER TABLE secrets ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY mine ON secrets USING (owner = current_user)",
        "ALTER POLICY mine ON secrets USING (true)",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "ALTER TABLE secrets RENAME COLUMN owner TO keeper",
        "CREATE OR REPLACE VIEW v AS SELECT id FROM secrets",
        "CREATE OR REPLACE VIEW v AS SELECT id + 0 AS id FROM secrets",
        &format!("GRANT {group} TO app"),
        &format!("REVOKE {group} FROM app"),
        "ALTER ROLE app BYPASSRLS",
        "ALTER ROLE app NOBYPASSRLS",
        "ALTER ROLE app SET app.color = 'red'",
        "ALTER ROLE app RESET app.color",
        "REVOKE ALL ON SCHEMA public FROM app",
        "CREATE UNLOGGED TABLE unlogged (id int)",
        "ALTER PUBLICATION howdah SET (publish_via_partition_root = true)",
        "DROP VIEW v",
    ];
    for sql in changes {
        let since = rig.cache.generation_of_catalog();
        database.query(sql);
        wait_until(&format!("{sql} is noticed"), || rig.cache.generation_of_catalog() > since);
    }
    // What changes nothing for anybody else. A change behind it shows that it was looked at.
    let since = rig.cache.generation_of_catalog();
    let count = rig.cache.counters.invalidations(Source::Replication);
    database.query(
        "CREATE TEMP TABLE t (id int PRIMARY KEY, kind text); CREATE TEMP VIEW tv AS SELECT * FROM t; DROP TABLE t CASCADE;
         ANALYZE secrets; CREATE INDEX ON secrets (keeper); TRUNCATE secrets; REFRESH MATERIALIZED VIEW counted",
    );
    database.query("VACUUM FULL secrets");
    let mark = rig.table("secrets");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(rig.cache.generation_of_catalog(), since, "nothing of that is a change of the catalogue");
    assert!(rig.cache.counters.invalidations(Source::Replication) > count, "but the table was emptied");
    drop(mark);
    database.query("REVOKE ALL ON secrets FROM app");
    wait_until("the last change is noticed", || rig.cache.generation_of_catalog() > since);
}

#[test]
fn ddl_and_rights_are_noticed_14() {
    ddl_and_rights(Version::V14);
}

#[test]
fn ddl_and_rights_are_noticed_15() {
    ddl_and_rights(Version::V15);
}

#[test]
fn ddl_and_rights_are_noticed_18() {
    ddl_and_rights(Version::V18);
}

#[test]
fn a_notification_ends_what_it_names() {
    let database = cluster(Version::V15).database("follow_notify");
    database.query("CREATE TABLE orders (id int)");
    let rig = Rig::start(&database, howdah::config::Follow::default());
    assert_eq!(rig.cache.is_paused(), None, "without replication nothing is waited for");
    let (orders, other) = (rig.table("orders"), rig.table("other"));
    let (tag, whole) = (rig.cache.tag("prices"), rig.cache.whole().clone());
    // From here on it listens.
    rig.ends(&whole, 0);
    let all = [&orders, &other, &tag, &whole];
    for (payload, expected) in
        [("orders", 0), ("public.orders", 0), ("prices", 2), ("*", 3), ("other", 1), ("public.\"orders\"", 0)]
    {
        let before = all.map(|mark| mark.generation());
        database.query(&format!("NOTIFY howdah_invalidate, '{payload}'"));
        rig.ends(all[expected], before[expected]);
        for (index, mark) in all.iter().enumerate().filter(|(index, _)| *index != expected) {
            assert_eq!(mark.generation(), before[index], "{} by {payload}", mark.name());
        }
    }
    // One that rolls back says nothing, one that commits says it then.
    let (before, others) = (orders.generation(), other.generation());
    database.query("BEGIN; NOTIFY howdah_invalidate, 'orders'; ROLLBACK; NOTIFY howdah_invalidate, 'other'");
    rig.ends(&other, others);
    assert_eq!(orders.generation(), before);
    // What was said while nobody listened is not known.
    let (before, told) = (whole.generation(), rig.cache.counters.invalidations(Source::Notify));
    database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()",
    );
    // Once when the connection is lost, and once when it is there again: one may come right behind the other.
    wait_until("everything ends twice", || rig.cache.counters.invalidations(Source::Notify) >= told + 2);
    assert!(whole.generation() > before);
}

/// Five hundred commits a second, each of another table than those before it, so that what ends is its own. Prints how
/// long after its commit each table's mark was raised.
#[test]
fn each_of_many_commits_is_heard_of() {
    const TABLES: usize = 200;
    let database = cluster(Version::V15).database("follow_many");
    prepared(&database);
    for number in 0..TABLES {
        database.query(&format!(
            "CREATE TABLE many_{number} (id int PRIMARY KEY); INSERT INTO many_{number} VALUES (1)"
        ));
    }
    let rig = Rig::following(&database, settings());
    let marks: Vec<_> = (0..TABLES).map(|number| rig.table(&format!("many_{number}"))).collect();
    let config = crate::support::howdah::direct_config(database.cluster, "postgres", &database.name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut times = runtime.block_on(async {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        // Otherwise a commit is sent when the WAL writer comes by, up to some hundred milliseconds later.
        client.batch_execute("SET synchronous_commit = on").await.unwrap();
        let mut times = Vec::new();
        let begun = std::time::Instant::now();
        for number in 0..1000_u32 {
            let mark = &marks[number as usize % TABLES];
            let before = mark.generation();
            client
                .batch_execute(&format!("UPDATE many_{} SET id = id + 1", number as usize % TABLES))
                .await
                .unwrap();
            let committed = std::time::Instant::now();
            while mark.generation() <= before {
                assert!(committed.elapsed() < crate::support::PATIENCE, "the commit is not heard of");
                std::thread::sleep(Duration::from_micros(100));
            }
            times.push(committed.elapsed());
            let next = begun + Duration::from_millis(2) * (number + 1);
            tokio::time::sleep(next.saturating_duration_since(std::time::Instant::now())).await;
        }
        println!("{} commits in {:?}", times.len(), begun.elapsed());
        times
    });
    times.sort();
    println!(
        "from commit to the end: median {:?}, p99 {:?}, longest {:?}",
        times[500], times[990], times[999]
    );
    assert_eq!(rig.cache.is_paused(), None);
}
