//! What is written through Howdah ends what was read from it: at its commit, and not when it is undone.

use super::{ask, config, login, marked, warm};
use crate::support::wire::{Wire, bind, execute, frame, parse, query, sync};
use crate::support::{Cluster, Version};

/// Scripts of simple queries, and whether what was read from `t` is read again afterwards.
const SCRIPTS: [(&[&str], bool); 33] = [
    (&["INSERT INTO t VALUES (10)"], true),
    (&["UPDATE t SET a = a"], true),
    (&["DELETE FROM t WHERE a = 10"], true),
    (&["MERGE INTO t USING (SELECT 11 AS a) s ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)"], true),
    (&["TRUNCATE other, t"], true),
    (&["WITH w AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM w"], true),
    (&["EXPLAIN ANALYZE INSERT INTO t VALUES (1)"], true),
    (&["insert into \"t\" values (1)"], true),
    (&["INSERT INTO public . T VALUES (1)"], true),
    (&["/* howdah.cache='1s' */ INSERT INTO t VALUES (1)"], true),
    (&["PREPARE p AS INSERT INTO t VALUES (1)", "EXECUTE p", "DEALLOCATE p"], true),
    (&["ALTER TABLE t ADD b int", "ALTER TABLE t DROP b"], true),
    (&["GRANT SELECT ON t TO PUBLIC"], true),
    (&["BEGIN", "INSERT INTO t VALUES (1)", "COMMIT"], true),
    (&["BEGIN", "INSERT INTO t VALUES (1)", "COMMIT AND CHAIN", "ROLLBACK"], true),
    (&["BEGIN; INSERT INTO t VALUES (1); COMMIT"], true),
    (&["INSERT INTO t VALUES (1); SELECT 1"], true),
    (&["BEGIN; INSERT INTO t VALUES (1); COMMIT; SELECT 1/0"], true),
    (&["BEGIN", "INSERT INTO t VALUES (1)", "SAVEPOINT s", "SELECT 1/0", "ROLLBACK TO s", "COMMIT"], true),
    (&["BEGIN", "INSERT INTO t VALUES (1); SAVEPOINT s; SELECT 1/0", "ROLLBACK TO s", "COMMIT"], true),
    (&["ROLLBACK; INSERT INTO t VALUES (1)"], true),
    (&["DO $$ BEGIN INSERT INTO t VALUES (1); END $$"], true),
    (&["BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'"], true),
    // To whoever reads the answers it looks like a ROLLBACK TO.
    (&["BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK AND CHAIN", "COMMIT"], true),
    // What was undone, or has nothing to do with it.
    (&["BEGIN", "INSERT INTO t VALUES (1)", "ROLLBACK"], false),
    (&["BEGIN", "INSERT INTO t VALUES (1)", "SELECT 1/0", "COMMIT"], false),
    (&["BEGIN; INSERT INTO t VALUES (1); ROLLBACK"], false),
    (&["INSERT INTO t VALUES (1); SELECT 1/0"], false),
    (&["INSERT INTO t SELECT 1/0"], false),
    (&["INSERT INTO other VALUES (1)"], false),
    (&["CREATE TEMP TABLE mine (a int)", "DROP TABLE mine", "DISCARD TEMP"], true), // the DROP does not say TEMP
    (&["SELECT 'INSERT INTO t VALUES (1)'"], false),
    (&["SELECT a FROM t FOR UPDATE"], false),
];

#[test]
fn simple_queries_end_what_they_write() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_writes");
    database.query("CREATE TABLE t (a int); CREATE TABLE other (a int); GRANT ALL ON t, other TO PUBLIC");
    database.query("ALTER TABLE t OWNER TO app");
    let howdah = config(3, &database).start();
    let (mut reader, mut writer) = (login(&howdah, &database), login(&howdah, &database));
    let read = marked("SELECT count(*) FROM t");
    for (script, ends) in SCRIPTS {
        if script.iter().any(|sql| sql.contains("PREPARE TRANSACTION"))
            && !two_phase(&database.value("SHOW max_prepared_transactions"))
        {
            continue;
        }
        warm(&mut reader, &read);
        for sql in script {
            writer.query(sql);
        }
        let (fate, count) = ask(&mut reader, &read);
        assert_eq!(fate != "hit", ends, "{script:?}: {fate}");
        assert_eq!(count, database.value("SELECT count(*) FROM t"), "{script:?}");
    }
}

#[test]
fn what_sql_has_prepared_is_known_when_it_runs() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_execute");
    database.query("CREATE TABLE t (a int); GRANT ALL ON t TO PUBLIC");
    let howdah = config(3, &database).start();
    let (mut reader, mut client) = (login(&howdah, &database), login(&howdah, &database));
    let read = marked("SELECT count(*) FROM t");
    client.query("PREPARE r AS SELECT 1");
    client.query("PREPARE w AS INSERT INTO t VALUES (1)");
    // Howdah hears from the server what was prepared behind its client's back.
    crate::support::wait_until("a statement that reads ends nothing", || {
        warm(&mut reader, &read);
        client.query("EXECUTE r");
        ask(&mut reader, &read).0 == "hit"
    });
    client.query("EXECUTE w");
    assert_eq!(ask(&mut reader, &read), ("miss, invalidated".into(), "1".into()));
    client.query("DEALLOCATE w");
    warm(&mut reader, &read);
    client.query("BEGIN; PREPARE w AS INSERT INTO t VALUES (2); EXECUTE w; COMMIT");
    assert_eq!(ask(&mut reader, &read), ("miss, invalidated".into(), "2".into()));
}

fn two_phase(most: &str) -> bool {
    most != "0"
}

#[test]
fn batches_end_what_they_write() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_write_batches");
    database.query("CREATE TABLE t (a int); GRANT ALL ON t TO PUBLIC");
    let howdah = config(3, &database).start();
    let (mut reader, mut writer) = (login(&howdah, &database), login(&howdah, &database));
    let read = marked("SELECT count(*) FROM t");
    let insert = |name: &str| vec![bind("", name, &[]), execute("", 0)];
    writer.exchange(&[parse("i", "INSERT INTO t VALUES (1)"), parse("f", "SELECT 1/0"), sync()]);
    let batches: [(Vec<Vec<u8>>, bool); 7] = [
        ([insert("i"), vec![sync()]].concat(), true),
        ([vec![parse("", "INSERT INTO t VALUES (2)")], insert(""), vec![sync()]].concat(), true),
        ([insert("i"), insert("f"), vec![sync()]].concat(), false),
        ([insert("i"), vec![sync()], insert("f"), vec![sync()]].concat(), true),
        ([vec![query("BEGIN")], insert("i"), vec![sync(), query("COMMIT")]].concat(), true),
        ([vec![query("BEGIN")], insert("i"), vec![sync(), query("ROLLBACK")]].concat(), false),
        (vec![query("COPY t FROM STDIN"), frame(b'd', b"7\n"), frame(b'c', b"")], true),
    ];
    for (n, (batch, ends)) in batches.iter().enumerate() {
        warm(&mut reader, &read);
        let readies = batch.iter().filter(|frame| matches!(frame[0], b'S' | b'Q')).count();
        writer.send(batch);
        writer.read_ready(readies);
        let (fate, count) = ask(&mut reader, &read);
        assert_eq!(fate != "hit", *ends, "batch {n}: {fate}");
        assert_eq!(count, database.value("SELECT count(*) FROM t"), "batch {n}");
    }
}

#[test]
fn a_client_reads_its_own_writes_and_in_its_own_transaction() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_own_writes");
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC");
    let howdah = config(2, &database).start();
    let mut client = login(&howdah, &database);
    let mut other = login(&howdah, &database);
    let read = "/* howdah.cache='60s', howdah.stale='60s' */ SELECT max(a) FROM t";
    warm(&mut client, read);
    for n in 2..20 {
        client.query("BEGIN");
        client.query(&format!("UPDATE t SET a = {n}"));
        assert_eq!(ask(&mut client, read), ("miss, transaction".into(), n.to_string()));
        assert_eq!(ask(&mut other, read).1, (n - 1).to_string(), "not committed yet");
        client.query("COMMIT");
        assert_eq!(ask(&mut client, read).1, n.to_string());
        assert_eq!(ask(&mut other, read).1, n.to_string());
    }
}

#[test]
fn what_a_client_wrote_that_is_gone_counts_if_it_was_committed() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_gone_writer");
    database.query("CREATE TABLE t (a int); GRANT ALL ON t TO PUBLIC");
    let howdah = config(3, &database).start();
    let mut reader = login(&howdah, &database);
    let read = marked("SELECT count(*) FROM t");
    for n in 1..=10 {
        warm(&mut reader, &read);
        let mut writer = Wire::login(("127.0.0.1", howdah.port), "app", &database.name);
        writer.send(&[query("INSERT INTO t SELECT 1 FROM pg_sleep(0.02)")]);
        drop(writer);
        // The server finishes it, and Howdah reads on.
        crate::support::wait_until("the row is read", || ask(&mut reader, &read).1 == n.to_string());
    }
    // One that dies in a transaction has written nothing.
    warm(&mut reader, &read);
    let mut writer = Wire::login(("127.0.0.1", howdah.port), "app", &database.name);
    writer.query("BEGIN; INSERT INTO t VALUES (1)");
    drop(writer);
    crate::support::wait_until("it is rolled back", || {
        database.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'")
            == "0"
    });
    assert_eq!(ask(&mut reader, &read), ("hit".into(), "10".into()));
}

#[test]
fn a_server_connection_that_is_lost_may_have_committed() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_lost_server");
    database.query("CREATE TABLE t (a int); GRANT ALL ON t TO PUBLIC");
    let howdah = config(3, &database).start();
    let (mut reader, mut writer) = (login(&howdah, &database), login(&howdah, &database));
    let read = marked("SELECT count(*) FROM t");
    warm(&mut reader, &read);
    writer.query("BEGIN; INSERT INTO t VALUES (1)");
    database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND state LIKE 'idle in%'",
    );
    writer.send(&[query("COMMIT")]);
    writer.read_to_end();
    assert_ne!(ask(&mut reader, &read).0, "hit");
}

#[test]
fn functions_that_write_are_known_by_what_they_write() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_functions");
    database.query(
        "CREATE TABLE t (a int); CREATE TABLE other (a int); GRANT ALL ON t, other TO PUBLIC;
         CREATE FUNCTION plain() RETURNS void LANGUAGE sql AS 'INSERT INTO t VALUES (1)';
         CREATE FUNCTION outer_one() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM plain(); RETURN 1; END $$;
         CREATE FUNCTION elsewhere() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO other VALUES (1); RETURN 1; END $$;
         CREATE FUNCTION hidden(name text) RETURNS int LANGUAGE plpgsql AS
           $$ BEGIN EXECUTE 'INSERT INTO ' || name || ' VALUES (1)'; RETURN 1; END $$;
         CREATE FUNCTION reads() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t';
         CREATE PROCEDURE does() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (1); COMMIT; END $$;
         CREATE PROCEDURE does_else() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO other VALUES (1); COMMIT; END $$;
         CREATE FUNCTION copies() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN INSERT INTO t VALUES (NEW.a); RETURN NEW; END $$;
         CREATE TABLE source (a int); GRANT ALL ON source TO PUBLIC;
         CREATE TRIGGER copies AFTER INSERT ON source FOR EACH ROW EXECUTE FUNCTION copies()",
    );
    let howdah = config(3, &database).start();
    let (mut reader, mut writer) = (login(&howdah, &database), login(&howdah, &database));
    let read = marked("SELECT count(*) FROM t");
    for (sql, ends) in [
        ("SELECT plain()", true),
        ("SELECT outer_one()", true),
        ("SELECT hidden('t')", true),
        ("CALL does()", true),
        ("INSERT INTO source VALUES (1)", true),
        ("SELECT elsewhere()", false),
        ("SELECT reads()", false),
        ("CALL does_else()", false),
    ] {
        for extended in [false, true] {
            warm(&mut reader, &read);
            if extended {
                writer.exchange(&[parse("", sql), bind("", "", &[]), execute("", 0), sync()]);
            } else {
                writer.query(sql);
            }
            let (fate, count) = ask(&mut reader, &read);
            assert_eq!(fate != "hit", ends, "{sql}: {fate}");
            assert_eq!(count, database.value("SELECT count(*) FROM t"), "{sql}");
        }
    }
}

#[test]
fn who_wrote_what_cannot_be_known_reads_it() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_unknown_writes");
    database.query(
        "CREATE TABLE t (a int); CREATE TABLE source (a int); GRANT ALL ON t, source TO PUBLIC;
         CREATE FUNCTION copies() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN EXECUTE format('INSERT INTO %I VALUES (1)', TG_ARGV[0]); RETURN NEW; END $$;
         CREATE TRIGGER copies AFTER INSERT ON source FOR EACH ROW EXECUTE FUNCTION copies('t')",
    );
    let howdah = config(3, &database).start();
    let (mut reader, mut writer) = (login(&howdah, &database), login(&howdah, &database));
    let read = marked("SELECT count(*) FROM t");
    for n in 0..5 {
        warm(&mut reader, &read);
        writer.query("INSERT INTO source VALUES (1)");
        assert_eq!(ask(&mut reader, &read), ("hit".into(), n.to_string()), "until its time is up");
        assert_eq!(ask(&mut writer, &read), ("miss, own_write".into(), (n + 1).to_string()));
        assert_eq!(ask(&mut writer, &read).0, "hit");
        assert_eq!(ask(&mut reader, &read), ("hit".into(), (n + 1).to_string()));
    }
}
