//! Clients that keep their server connection because of what is left in their session: why, until when, how many,
//! and what becomes of them when a server dies.

use crate::support::wire::{Message, Wire, bind, execute, function_call, parse, query, sync, tags};
use crate::support::{Cluster, Config, Database, Howdah, Version, wait_until};

fn login(howdah: &Howdah, database: &Database<'_>) -> Wire {
    Wire::login(("127.0.0.1", howdah.port), "app", &database.name)
}

fn superuser(howdah: &Howdah, database: &Database<'_>) -> Wire {
    Wire::login(("127.0.0.1", howdah.port), "postgres", &database.name)
}

fn error(messages: &[Message]) -> Option<Message> {
    messages.iter().find(|m| m.tag == b'E').cloned()
}

fn code(messages: &[Message]) -> String {
    error(messages).map(|m| m.sqlstate()).unwrap_or_default()
}

/// By the extended protocol, as the unnamed statement.
fn extended(wire: &mut Wire, sql: &str) -> Vec<Message> {
    wire.exchange(&[parse("", sql), bind("", "", &[]), execute("", 0), sync()])
}

/// How many connections of the user's pool are pinned for this reason.
fn pinned(howdah: &Howdah, database: &Database<'_>, user: &str, reason: &str) -> u32 {
    let labels = format!("{{database=\"{}\",reason=\"{reason}\",user=\"{user}\"}}", database.name);
    howdah.metric(&format!("howdah_pinned_connections{labels}")).unwrap_or(-1.0) as u32
}

fn wait_pinned(howdah: &Howdah, database: &Database<'_>, user: &str, reason: &str, count: u32) {
    wait_until(&format!("{count} pinned for {reason}"), || pinned(howdah, database, user, reason) == count);
}

/// What pins, what ends it, and the word for it.
const REASONS: [(&str, &str, &str); 10] = [
    ("SELECT pg_advisory_lock(7)", "SELECT pg_advisory_unlock(7)", "advisory_lock"),
    ("SELECT pg_try_advisory_lock_shared(7)", "SELECT pg_advisory_unlock_all()", "advisory_lock"),
    ("SELECT pg_advisory_lock(7)", "DISCARD ALL", "advisory_lock"),
    ("CREATE TEMP TABLE private (a int)", "DROP TABLE private", "temporary_table"),
    ("SELECT 1 AS a INTO TEMP private", "DISCARD TEMP", "temporary_table"),
    ("CREATE TEMP VIEW private AS SELECT 1", "DROP VIEW private", "temporary_table"),
    ("CREATE TABLE pg_temp.private (a int)", "DISCARD ALL", "temporary_table"),
    (
        "DO $$ BEGIN PERFORM pg_advisory_lock(7); END $$",
        "DO $$ BEGIN PERFORM pg_advisory_unlock(7); END $$",
        "advisory_lock",
    ),
    (
        "DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE private (a int)'; END $$",
        "DO $$ BEGIN EXECUTE 'DROP TABLE private'; END $$",
        "temporary_table",
    ),
    (
        "PREPARE l AS SELECT pg_advisory_lock(7); EXECUTE l; DEALLOCATE l",
        "SELECT pg_advisory_unlock(7)",
        "advisory_lock",
    ),
];

#[test]
fn each_reason_pins_until_it_ends() {
    let database = Cluster::shared(Version::V15).database("pins_reasons");
    let howdah = Config::simple(2, &database).start();
    let (mut one, mut two) = (login(&howdah, &database), login(&howdah, &database));
    let seen = "SELECT (SELECT count(*) FROM pg_class WHERE relname = 'private' AND pg_table_is_visible(oid)) \
         || '' || (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' AND pid = pg_backend_pid())";
    for (pins, ends, reason) in REASONS {
        for by_extended in [false, true] {
            if by_extended && pins.contains(';') && !pins.starts_with("DO") {
                continue; // several statements
            }
            let run = |wire: &mut Wire, sql: &str| {
                let answer = if by_extended { extended(wire, sql) } else { wire.query(sql) };
                assert_eq!(code(&answer), "", "{sql}: {answer:?}");
            };
            run(&mut one, pins);
            wait_pinned(&howdah, &database, "app", reason, 1);
            let pid = one.value("SELECT pg_backend_pid()");
            assert_ne!(two.value("SELECT pg_backend_pid()"), pid, "{pins}");
            assert_eq!(two.value(seen), "00", "{pins}");
            assert_ne!(one.value(seen), "00", "{pins}");
            assert_eq!(one.value("SELECT pg_backend_pid()"), pid, "{pins}");
            run(&mut one, ends);
            wait_pinned(&howdah, &database, "app", reason, 0);
            assert_eq!(one.value(seen), "00", "{ends}");
        }
    }
    let total =
        format!("howdah_pins_total{{database=\"{}\",reason=\"advisory_lock\",user=\"app\"}}", database.name);
    assert_eq!(howdah.metric(&total), Some(9.0));
}

#[test]
fn cursors_users_and_libraries_pin() {
    let database = Cluster::shared(Version::V15).database("pins_others");
    let howdah = Config::simple(2, &database).start();
    let (mut one, mut two) = (superuser(&howdah, &database), superuser(&howdah, &database));
    let count = |reason: &str, n: u32| wait_pinned(&howdah, &database, "postgres", reason, n);
    one.query("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3); COMMIT");
    count("cursor_with_hold", 1);
    assert_eq!(one.value("FETCH c"), "1");
    assert_eq!(code(&two.query("FETCH c")), "34000");
    assert_eq!(one.value("FETCH c"), "2");
    one.query("CLOSE c");
    count("cursor_with_hold", 0);

    for ends in ["RESET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION DEFAULT", "DISCARD ALL"] {
        one.query("SET SESSION AUTHORIZATION app");
        count("session_authorization", 1);
        assert_eq!((one.value("SELECT user"), two.value("SELECT user")), ("app".into(), "postgres".into()));
        assert_eq!(code(&one.query(ends)), "", "{ends}");
        count("session_authorization", 0);
        assert_eq!(one.value("SELECT user"), "postgres", "{ends}");
    }

    assert_eq!(code(&one.query("LOAD 'there_is_none'")), "58P01");
    assert_eq!(pinned(&howdah, &database, "postgres", "library"), 0);
    one.query("LOAD 'auto_explain'");
    count("library", 1);
    let pid = one.value("SELECT pg_backend_pid()");
    one.query("DISCARD ALL");
    assert_eq!(one.value("SELECT pg_backend_pid()"), pid, "nothing takes a library out again");
    drop(one);
    count("library", 0);
    wait_until("its connection is closed", || {
        database.value(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}")) == "0"
    });
    assert_ne!(two.value("SELECT pg_backend_pid()"), pid);
}

#[test]
fn what_was_undone_does_not_pin() {
    let database = Cluster::shared(Version::V15).database("pins_undone");
    let howdah = Config::simple(1, &database).start();
    let (mut one, mut two) = (login(&howdah, &database), login(&howdah, &database));
    for text in [
        "BEGIN; CREATE TEMP TABLE private (a int); ROLLBACK",
        "BEGIN; SAVEPOINT s; CREATE TEMP TABLE private (a int); ROLLBACK TO s; COMMIT",
        "BEGIN; CREATE TEMP TABLE private (a int); DROP TABLE private; COMMIT",
        "BEGIN; CREATE TEMP TABLE private (a int) ON COMMIT DROP; COMMIT",
        "CREATE TEMP TABLE private (a int); SELECT 1/0",
        "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; ROLLBACK",
        "BEGIN; SELECT pg_advisory_xact_lock(7); COMMIT",
        "SELECT pg_advisory_lock(7), pg_advisory_unlock(7)",
        "DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE private (a int) ON COMMIT DROP'; END $$",
    ] {
        one.query(text);
        assert_eq!(one.value("SELECT 1"), "1");
        // The only connection is free, or this would wait for ever.
        assert_eq!(two.value("SELECT 'free'"), "free", "{text}");
    }
    // Transaction by transaction.
    for texts in [
        ["BEGIN", "CREATE TEMP TABLE private (a int)", "ROLLBACK"],
        ["BEGIN", "CREATE TEMP TABLE private (a int) ON COMMIT DROP", "COMMIT"],
    ] {
        for text in texts {
            assert_eq!(code(&one.query(text)), "", "{text}");
        }
        assert_eq!(two.value("SELECT 'free'"), "free");
    }
    // A lock of the session outlives a rollback.
    one.query("BEGIN; SELECT pg_advisory_lock(7); ROLLBACK");
    wait_pinned(&howdah, &database, "app", "advisory_lock", 1);
    one.query("SELECT pg_advisory_unlock(7)");
    assert_eq!(two.value("SELECT 'free'"), "free");
}

#[test]
fn what_a_function_ends_is_noticed() {
    let database = Cluster::shared(Version::V15).database("pins_function");
    database.query(
        "CREATE FUNCTION give_up() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_unlock_all()';
         CREATE FUNCTION tidy_up() RETURNS void LANGUAGE plpgsql AS 'BEGIN DROP TABLE private; END'",
    );
    let howdah = Config::simple(1, &database).start();
    let (mut one, mut two) = (login(&howdah, &database), login(&howdah, &database));
    for (pins, ends) in [
        ("SELECT pg_advisory_lock(7)", "SELECT give_up()"),
        ("CREATE TEMP TABLE private (a int)", "SELECT tidy_up()"),
    ] {
        for before in [0, 5, 70] {
            one.query(pins);
            for _ in 0..before {
                one.query("SELECT 1");
            }
            one.query(ends);
            // The next look is at most 64 transactions away.
            for _ in 0..=64 {
                one.query("SELECT 1");
            }
            assert_eq!(two.value("SELECT 'free'"), "free", "{pins}");
        }
    }
    // A lock taken by a fastpath call.
    let oid: u32 =
        database.value("SELECT 'pg_advisory_lock(bigint)'::regprocedure::oid::int").parse().unwrap();
    one.exchange(&[function_call(oid, &["7"])]);
    wait_pinned(&howdah, &database, "app", "advisory_lock", 1);
    one.query("SELECT pg_advisory_unlock(7)");
    assert_eq!(two.value("SELECT 'free'"), "free");
}

#[test]
fn refuse_refuses_before_anything_runs() {
    let database = Cluster::shared(Version::V15).database("pins_refuse");
    let howdah = Config::simple(1, &database).pool("pin = \"refuse\"").start();
    let (mut one, mut two) = (superuser(&howdah, &database), superuser(&howdah, &database));
    for (text, what) in [
        ("SELECT pg_advisory_lock(7)", "advisory_lock"),
        ("SELECT 1; CREATE TEMP TABLE private (a int)", "temporary_table"),
        ("SELECT 1 AS a INTO TEMP private", "temporary_table"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "cursor_with_hold"),
        ("LOAD 'auto_explain'", "library"),
        ("SET SESSION AUTHORIZATION app", "session_authorization"),
    ] {
        let answers = if text.contains(';') {
            vec![one.query(text)]
        } else {
            let named = [parse("s", text), bind("", "s", &[]), execute("", 0), sync()];
            let answers = vec![one.query(text), extended(&mut one, text), one.exchange(&named)];
            one.query("DEALLOCATE s");
            answers
        };
        for answer in answers {
            let error = error(&answer).unwrap_or_else(|| panic!("{text} ran: {answer:?}"));
            assert_eq!(error.sqlstate(), "0A000", "{text}: {error:?}");
            assert!(error.field(b'D').is_some_and(|detail| detail.contains(what)), "{error:?}");
            assert!(error.field(b'H').is_some(), "{error:?}");
            assert!(!answer.iter().any(|m| matches!(m.tag, b'D' | b'C')), "{answer:?}");
        }
    }
    // In a block it is an error as any other.
    one.query("BEGIN");
    assert_eq!(code(&one.query("CREATE TEMP TABLE private (a int)")), "0A000");
    assert_eq!(code(&one.query("SELECT 1")), "25P02");
    assert_eq!(tags(&one.query("ROLLBACK")), "CZ");
    for fine in [
        "BEGIN; CREATE TEMP TABLE private (a int) ON COMMIT DROP; COMMIT",
        "SET work_mem = '77MB'",
        "PREPARE p AS SELECT 1",
        "BEGIN; DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1; COMMIT",
        "SET search_path = public, pg_temp",
        "RESET SESSION AUTHORIZATION",
        "DISCARD TEMP",
        "DO $$ BEGIN END $$",
    ] {
        assert_eq!(code(&one.query(fine)), "", "{fine}");
    }
    assert_eq!((one.value("SHOW work_mem"), one.value("EXECUTE p")), ("77MB".into(), "1".into()));
    // What nobody could read ends the session, and nothing of it stays.
    one.send(&[query("DO $$ BEGIN PERFORM pg_advisory_lock(7); END $$")]);
    let end = one.read_to_end();
    let fatal = end.iter().rfind(|m| m.tag == b'E').expect("an error");
    assert_eq!((fatal.sqlstate().as_str(), fatal.field(b'S').as_deref()), ("0A000", Some("FATAL")));
    let free = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'";
    assert_eq!(two.value(free), "0");
}

#[test]
fn never_removes_it_for_the_next_client_only() {
    let database = Cluster::shared(Version::V15).database("pins_never");
    let howdah = Config::simple(1, &database).pool("pin = \"never\"").start();
    let (mut one, mut two) = (login(&howdah, &database), login(&howdah, &database));
    one.query("CREATE TEMP TABLE private (a int); SELECT pg_advisory_lock(7)");
    assert_eq!(one.value("SELECT count(*) FROM private"), "0");
    assert_eq!(code(&two.query("SELECT * FROM private")), "42P01");
    assert_eq!(
        two.value("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"),
        "0"
    );
    assert_eq!(code(&one.query("SELECT * FROM private")), "42P01");
    one.query("SET work_mem = '77MB'; CREATE TEMP TABLE private (a int)");
    assert_eq!(two.value("SHOW work_mem"), "4MB");
    assert_eq!(one.value("SHOW work_mem"), "77MB");
}

#[test]
fn no_more_connections_are_pinned_than_may_be() {
    let database = Cluster::shared(Version::V15).database("pins_limit");
    let howdah = Config::simple(3, &database).start();
    let mut clients: Vec<Wire> = (0..4).map(|_| login(&howdah, &database)).collect();
    clients[0].query("SELECT pg_advisory_lock(1)");
    wait_pinned(&howdah, &database, "app", "advisory_lock", 1);
    clients[1].query("CREATE TEMP TABLE private (a int)");
    wait_pinned(&howdah, &database, "app", "temporary_table", 1);
    for by_extended in [false, true] {
        let text = "SELECT pg_advisory_lock(3)";
        let answer = if by_extended { extended(&mut clients[2], text) } else { clients[2].query(text) };
        let error = error(&answer).unwrap_or_else(|| panic!("{answer:?}"));
        assert_eq!(error.sqlstate(), "53300");
        let detail = error.field(b'D').unwrap();
        assert!(detail.contains("At most 2") && detail.contains(&database.name), "{detail}");
        assert!(detail.contains("advisory_lock 1") && detail.contains("temporary_table 1"), "{detail}");
        assert!(error.field(b'H').unwrap().contains("max_pinned_connections"));
    }
    assert_eq!(
        clients[3].value("SELECT count(*) FROM pg_locks WHERE objid = 3 AND locktype = 'advisory'"),
        "0"
    );
    // Who is pinned may go on.
    assert_eq!(code(&clients[0].query("CREATE TEMP TABLE mine (a int)")), "");
    // What nobody can read beforehand ends the session.
    clients[3].send(&[query("DO $$ BEGIN PERFORM pg_advisory_lock(4); END $$")]);
    let end = clients[3].read_to_end();
    let fatal = end.iter().rfind(|m| m.tag == b'E').expect("an error");
    assert_eq!((fatal.sqlstate().as_str(), fatal.field(b'S').as_deref()), ("53300", Some("FATAL")));
    assert_eq!(
        clients[2].value("SELECT count(*) FROM pg_locks WHERE objid = 4 AND locktype = 'advisory'"),
        "0"
    );
    // A place that is given back is another's.
    clients[1].query("DROP TABLE private");
    wait_pinned(&howdah, &database, "app", "temporary_table", 0);
    assert_eq!(code(&clients[2].query("SELECT pg_advisory_lock(3)")), "");
    wait_pinned(&howdah, &database, "app", "advisory_lock", 2);
    // So is that of a client that dies, and what it held is free.
    clients.remove(0);
    wait_pinned(&howdah, &database, "app", "advisory_lock", 1);
    assert_eq!(clients[0].value("SELECT pg_try_advisory_lock(1)"), "t");
    wait_pinned(&howdah, &database, "app", "advisory_lock", 2);
}

#[test]
fn the_limit_and_the_mode_may_differ_by_user() {
    let database = Cluster::shared(Version::V15).database("pins_user");
    let lines = "password = \"secret\"\npin = \"refuse\"";
    let howdah = Config::new(2)
        .database_as(&database.name, &database, "max_pinned_connections = 2")
        .user("app")
        .user_with("postgres", lines)
        .start();
    let mut clients = [login(&howdah, &database), login(&howdah, &database)];
    for client in &mut clients {
        assert_eq!(code(&client.query("CREATE TEMP TABLE private (a int)")), "");
    }
    wait_pinned(&howdah, &database, "app", "temporary_table", 2);
    assert_eq!(code(&superuser(&howdah, &database).query("CREATE TEMP TABLE private (a int)")), "0A000");
}

#[test]
fn a_killed_server_ends_a_pinned_client_also_at_rest() {
    let database = Cluster::shared(Version::V15).database("pins_killed");
    let howdah = Config::simple(2, &database).start();
    let mut other = login(&howdah, &database);
    for busy in [false, true] {
        let mut one = login(&howdah, &database);
        one.query("CREATE TEMP TABLE private (a int)");
        wait_pinned(&howdah, &database, "app", "temporary_table", 1);
        let pid = one.value("SELECT pg_backend_pid()");
        if busy {
            one.send(&[query("SELECT pg_sleep(60)")]);
            let running =
                format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'");
            wait_until("the query runs", || database.value(&running) == "1");
        }
        database.query(&format!("SELECT pg_terminate_backend({pid})"));
        let end = one.read_to_end();
        let fatal = error(&end).expect("an error");
        assert_eq!(
            (fatal.sqlstate().as_str(), fatal.field(b'S').as_deref()),
            ("57P01", Some("FATAL")),
            "{end:?}"
        );
        wait_pinned(&howdah, &database, "app", "temporary_table", 0);
        assert_eq!(other.value("SELECT 'alive'"), "alive");
    }
}

#[test]
fn a_pinned_client_is_cancelled_and_drained_as_any_other() {
    let database = Cluster::shared(Version::V15).database("pins_cancel");
    let mut howdah = Config::simple(2, &database).listen("shutdown_timeout = \"60s\"").start();
    let mut one = login(&howdah, &database);
    one.query("CREATE TEMP TABLE private (a int)");
    wait_pinned(&howdah, &database, "app", "temporary_table", 1);
    let transactions =
        format!("howdah_pool_transactions_total{{database=\"{}\",user=\"app\"}}", database.name);
    let before = howdah.metric(&transactions).expect("a count");
    let pid = one.value("SELECT pg_backend_pid()");
    one.query("BEGIN; SELECT 1; COMMIT");
    assert_eq!(howdah.metric(&transactions), Some(before + 2.0));
    one.send(&[query("SELECT pg_sleep(60)")]);
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND query LIKE '%sleep(60)' AND state = 'active'"
    );
    wait_until("the query runs", || database.value(&running) == "1");
    one.cancel(("127.0.0.1", howdah.port));
    assert_eq!(code(&one.read_until(b'Z')), "57014");
    assert_eq!(one.value("SELECT count(*) FROM private"), "0");
    howdah.sigterm();
    assert_eq!(code(&one.read_to_end()), "57P01");
    assert!(howdah.wait().success());
}

#[test]
fn the_transaction_timeout_holds_for_a_pinned_client() {
    let database = Cluster::shared(Version::V15).database("pins_timeout");
    let howdah = Config::simple(2, &database).pool("transaction_timeout = \"300ms\"").start();
    let mut one = login(&howdah, &database);
    one.query("SELECT pg_advisory_lock(7)");
    wait_pinned(&howdah, &database, "app", "advisory_lock", 1);
    one.query("BEGIN");
    assert_eq!(code(&one.read_to_end()), "25P04");
    let mut two = login(&howdah, &database);
    wait_until("its lock is free", || two.value("SELECT pg_try_advisory_xact_lock(7)") == "t");
}

#[test]
fn the_look_works_on_every_version() {
    for version in Version::ALL {
        let database = Cluster::shared(version).database("pins_versions");
        let howdah = Config::simple(1, &database).start();
        let (mut one, mut two) = (login(&howdah, &database), login(&howdah, &database));
        for (pins, ends, reason) in [
            ("CREATE TEMP TABLE private (a int)", "DROP TABLE private", "temporary_table"),
            ("SELECT pg_advisory_lock(7)", "SELECT pg_advisory_unlock(7)", "advisory_lock"),
            ("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT", "CLOSE c", "cursor_with_hold"),
        ] {
            one.query(pins);
            wait_pinned(&howdah, &database, "app", reason, 1);
            one.query(ends);
            wait_pinned(&howdah, &database, "app", reason, 0);
            assert_eq!(two.value("SELECT 'free'"), "free", "{version:?}");
        }
    }
}

#[test]
fn discard_all_ends_pins_and_the_rest_in_both_protocols() {
    let database = Cluster::shared(Version::V15).database("pins_discard");
    let howdah = Config::simple(1, &database).start();
    let (mut one, mut two) = (login(&howdah, &database), login(&howdah, &database));
    for by_extended in [false, true] {
        one.query("SET work_mem = '77MB'; CREATE TEMP TABLE private (a int); SELECT pg_advisory_lock(7)");
        one.query("PREPARE p AS SELECT 1");
        one.exchange(&[parse("s", "SELECT 2"), sync()]);
        assert_eq!((one.value("SHOW work_mem"), one.value("EXECUTE p")), ("77MB".into(), "1".into()));
        for discard in ["DISCARD PLANS", "DISCARD SEQUENCES"] {
            let answer = if by_extended { extended(&mut one, discard) } else { one.query(discard) };
            assert_eq!(code(&answer), "", "{answer:?}");
            assert_eq!(one.value("SELECT count(*) FROM private"), "0");
        }
        let answer = if by_extended { extended(&mut one, "DISCARD ALL") } else { one.query("DISCARD ALL") };
        assert_eq!(code(&answer), "", "{answer:?}");
        assert_eq!(two.value("SELECT 'free'"), "free");
        assert_eq!(one.value("SHOW work_mem"), "4MB");
        assert_eq!(code(&one.query("EXECUTE p")), "26000");
        assert_eq!(code(&one.query("SELECT * FROM private")), "42P01");
        assert_eq!(code(&one.exchange(&[bind("", "s", &[]), execute("", 0), sync()])), "26000");
    }
}

fn drawn(wire: &mut Wire, sql: &str, by_extended: bool) -> Result<String, String> {
    let answer = if by_extended { extended(wire, sql) } else { wire.query(sql) };
    match answer.iter().find(|m| m.tag == b'D') {
        Some(row) => Ok(row.row()[0].clone().unwrap_or_default()),
        None => Err(code(&answer)),
    }
}

#[test]
fn nobody_is_told_what_another_client_drew() {
    for version in Version::ALL {
        let database = Cluster::shared(version).database("pins_sequences");
        database.query(
            "CREATE TABLE t (id serial, who text); CREATE TABLE plain (a int);
             ALTER TABLE t OWNER TO app; ALTER TABLE plain OWNER TO app",
        );
        let howdah = Config::simple(1, &database).start();
        let undefined = || Err("55000".to_owned());
        for by_extended in [false, true] {
            let (mut one, mut two) = (login(&howdah, &database), login(&howdah, &database));
            let mine =
                drawn(&mut one, "INSERT INTO t (who) VALUES ('one') RETURNING id", by_extended).unwrap();
            // On the same connection, and nobody came in between.
            assert_eq!(drawn(&mut one, "SELECT lastval()", by_extended), Ok(mine.clone()));
            assert_eq!(drawn(&mut one, "SELECT currval('t_id_seq')", by_extended), Ok(mine));
            for ask in ["SELECT lastval()", "SELECT currval('t_id_seq')", "SELECT LastVal()"] {
                assert_eq!(drawn(&mut two, ask, by_extended), undefined(), "{ask}");
            }
            // Within a transaction, and a first statement that draws nothing.
            one.query("INSERT INTO t (who) VALUES ('one')");
            for texts in [&["BEGIN", "SELECT 1"][..], &["BEGIN ISOLATION LEVEL SERIALIZABLE"]] {
                for text in texts {
                    assert_eq!(code(&two.query(text)), "", "{text}");
                }
                assert_eq!(drawn(&mut two, "SELECT lastval()", by_extended), undefined());
                two.query("ROLLBACK");
                one.query("INSERT INTO t (who) VALUES ('one')");
            }
            // Who has asked once is told its own also after a statement that draws nothing.
            assert_eq!(code(&two.query("INSERT INTO plain VALUES (1)")), "");
            assert_eq!(drawn(&mut two, "SELECT lastval()", by_extended), undefined());
            one.query("SELECT 1");
            two.query("BEGIN");
            let own =
                drawn(&mut two, "INSERT INTO t (who) VALUES ('two') RETURNING id", by_extended).unwrap();
            assert_eq!(drawn(&mut two, "SELECT currval('t_id_seq')", by_extended), Ok(own));
            two.query("COMMIT");
            // In one batch behind another statement, and by a named statement.
            one.query("INSERT INTO t (who) VALUES ('one')");
            let both = [parse("", "SELECT 1"), bind("", "", &[]), execute("", 0)].concat();
            let ask = [parse("", "SELECT lastval()"), bind("", "", &[]), execute("", 0), sync()].concat();
            assert_eq!(code(&two.exchange(&[both, ask])), "55000");
            two.exchange(&[parse("ask", "SELECT lastval()"), sync()]);
            one.query("INSERT INTO t (who) VALUES ('one')");
            let run = [bind("", "ask", &[]), execute("", 0), sync()];
            assert_eq!(code(&two.exchange(&run)), "55000");
            two.exchange(&[query("DEALLOCATE ask")]);
            // Behind the end of a failed transaction.
            one.query("INSERT INTO t (who) VALUES ('one')");
            two.query("BEGIN; SELECT 1/0");
            let answer = two.query("ROLLBACK; SELECT lastval()");
            assert!(!answer.iter().any(|m| m.tag == b'D'), "{answer:?}");
            two.query("ROLLBACK");
        }
    }
}

#[test]
fn four_clients_on_two_connections_find_what_they_drew_or_an_error() {
    let database = Cluster::shared(Version::V15).database("pins_sequence_storm");
    database.query("CREATE TABLE t (id serial, who int); ALTER TABLE t OWNER TO app");
    let howdah = Config::simple(2, &database).start();
    let mut clients: Vec<Wire> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|who| {
                let (howdah, database) = (&howdah, &database);
                scope.spawn(move || {
                    let mut wire = login(howdah, database);
                    assert!(drawn(&mut wire, "SELECT lastval()", who % 2 == 0).is_err());
                    for round in 0..150 {
                        let by_extended = round % 2 == 0;
                        let insert = format!("INSERT INTO t (who) VALUES ({who}) RETURNING id");
                        let id = drawn(&mut wire, &insert, by_extended).unwrap();
                        let ask =
                            if round % 3 == 0 { "SELECT lastval()" } else { "SELECT currval('t_id_seq')" };
                        match drawn(&mut wire, ask, by_extended) {
                            Ok(value) => assert_eq!(value, id, "another's"),
                            Err(code) => assert_eq!(code, "55000"),
                        }
                    }
                    wire
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client failed")).collect()
    });
    // How often it is the number hangs on who comes when. Where nobody else comes in between, it is.
    for who in [0, 1, 2, 3, 1, 0] {
        let wire = &mut clients[who];
        let id = drawn(wire, &format!("INSERT INTO t (who) VALUES ({who}) RETURNING id"), who == 1).unwrap();
        assert_eq!(drawn(wire, "SELECT lastval()", who == 2), Ok(id.clone()), "{who}");
        assert_eq!(drawn(wire, "SELECT currval('t_id_seq')", who == 3), Ok(id), "{who}");
    }
}
