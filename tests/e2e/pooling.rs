//! The pool with real servers: cancelling, prepared statements of many clients, servers that die, clients that
//! leave, and the way down.

use crate::support::wire::{
    Message, Wire, bind, close_statement, copy_data, copy_done, describe_portal, describe_statement, execute,
    parse, query, sync, tags,
};
use crate::support::{Cluster, Config, Howdah, Version, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

fn login(howdah: &Howdah, database: &str) -> Wire {
    Wire::login(("127.0.0.1", howdah.port), "app", database)
}

fn error_code(messages: &[crate::support::wire::Message]) -> Option<String> {
    messages.iter().find(|m| m.tag == b'E').map(|m| m.sqlstate())
}

#[test]
fn a_cancel_reaches_the_query_that_runs_and_no_other() {
    let database = Cluster::shared(Version::V15).database("pool_cancel");
    let howdah = Config::simple(1, &database).start();
    let address = ("127.0.0.1", howdah.port);
    let mut sleeper = login(&howdah, &database.name);
    sleeper.send(&[query("SELECT pg_sleep(60)")]);
    wait_until("the query runs", || {
        database.value(
            "SELECT count(*) FROM pg_stat_activity
             WHERE query = 'SELECT pg_sleep(60)' AND state = 'active' AND datname = 'pool_cancel'",
        ) == "1"
    });
    sleeper.cancel(address);
    assert_eq!(error_code(&sleeper.read_until(b'Z')).as_deref(), Some("57014"));
    // Late cancels: they may find the client's own next query, but never the neighbour's on the one connection.
    let neighbour = {
        let (port, name) = (howdah.port, database.name.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut wire = Wire::login(("127.0.0.1", port), "app", &name);
            while !stopped.load(Ordering::SeqCst) {
                assert_eq!(wire.value("SELECT 'mine' FROM pg_sleep(0.0005)"), "mine");
            }
        });
        (stop, thread)
    };
    for _ in 0..200 {
        sleeper.send(&[query("SELECT 1 FROM pg_sleep(0.001)")]);
        sleeper.cancel(address);
        let answer = sleeper.read_until(b'Z');
        let code = error_code(&answer);
        assert!(code.is_none() || code.as_deref() == Some("57014"), "{answer:?}");
    }
    neighbour.0.store(true, Ordering::SeqCst);
    neighbour.1.join().expect("the neighbour was cancelled");
}

#[test]
fn a_waiting_client_is_cancelled_at_once_and_its_place_is_free() {
    let database = Cluster::shared(Version::V15).database("pool_cancel_waiting");
    let howdah = Config::simple(1, &database).start();
    let mut holder = login(&howdah, &database.name);
    holder.query("BEGIN");
    let mut waiter = login(&howdah, &database.name);
    waiter.send(&[query("SELECT 1")]);
    wait_until("somebody waits", || {
        howdah
            .metrics()
            .contains("howdah_pool_waiting_clients{database=\"pool_cancel_waiting\",user=\"app\"} 1")
    });
    waiter.cancel(("127.0.0.1", howdah.port));
    assert_eq!(error_code(&waiter.read_until(b'Z')).as_deref(), Some("57014"));
    assert_eq!(tags(&holder.query("COMMIT")), "CZ");
    assert_eq!(waiter.value("SELECT 2"), "2");
}

#[test]
fn many_clients_in_a_long_queue_get_their_own_rows() {
    let database = Cluster::shared(Version::V15).database("pool_queue");
    let howdah = Config::simple(2, &database).start();
    let clients: Vec<_> = (0..60)
        .map(|client| {
            let (port, name) = (howdah.port, database.name.clone());
            thread::spawn(move || {
                let mut wire = Wire::login(("127.0.0.1", port), "app", &name);
                wire.exchange(&[parse("own", "SELECT $1::int, pg_sleep(0.0001)"), sync()]);
                for n in 0..30 {
                    let text = (client * 1000 + n).to_string();
                    assert_eq!(wire.value(&format!("SELECT {text}")), text);
                    let answer = wire.exchange(&[bind("", "own", &[Some(&text)]), execute("", 0), sync()]);
                    assert_eq!(tags(&answer), "2DCZ");
                    assert_eq!(answer[1].row()[0].as_deref(), Some(text.as_str()));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("a client saw what was not its own"));
    assert!(database.backends().len() <= 2);
}

#[test]
fn one_text_of_many_clients_is_prepared_once_on_each_server_connection() {
    let database = Cluster::shared(Version::V15).database("pool_prepared");
    let howdah = Config::simple(1, &database).pool("max_prepared_statements = 5").start();
    let mut clients: Vec<_> = (0..100).map(|_| login(&howdah, &database.name)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let name = format!("s{n}");
        let batch = [parse(&name, "SELECT 40 + 2"), bind("", &name, &[]), execute("", 0), sync()];
        assert_eq!(tags(&client.exchange(&batch)), "12DCZ");
    }
    let one = "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 40 + 2'";
    assert_eq!(clients[0].value(one), "1");
    // The bound holds, and what was evicted is prepared again when it is asked for.
    for n in 0..20 {
        let name = format!("many{n}");
        let sql = format!("SELECT {n}");
        assert_eq!(tags(&clients[1].exchange(&[parse(&name, &sql), sync()])), "1Z");
    }
    assert_eq!(clients[0].value("SELECT count(*) <= 5 FROM pg_prepared_statements"), "t");
    for n in 0..20 {
        let answer = clients[1].exchange(&[bind("", &format!("many{n}"), &[]), execute("", 0), sync()]);
        assert_eq!(tags(&answer), "2DCZ");
        assert_eq!(answer[1].row()[0].as_deref(), Some(n.to_string().as_str()));
    }
    assert_eq!(tags(&clients[1].exchange(&[close_statement("many1"), sync()])), "3Z");
    let gone = clients[1].exchange(&[bind("", "many1", &[]), execute("", 0), sync()]);
    assert_eq!(error_code(&gone).as_deref(), Some("26000"));
}

#[test]
fn stale_plans_are_prepared_again_after_ddl_and_failover() {
    for version in Version::ALL {
        let cluster = Cluster::shared(version);
        let database = cluster.database("pool_stale");
        database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO app");
        let howdah = Config::simple(1, &database).start();
        let (mut old, mut new) = (login(&howdah, &database.name), login(&howdah, &database.name));
        old.exchange(&[parse("s", "SELECT * FROM t"), sync()]);
        assert_eq!(tags(&run(&mut old, "s")), "2DCZ");
        new.query("ALTER TABLE t ADD COLUMN b int DEFAULT 7");
        // A client that prepares only now must not meet the old plan; Postgres would have given it a new one.
        new.exchange(&[parse("mine", "SELECT * FROM t"), sync()]);
        let answer = run(&mut new, "mine");
        assert_eq!((tags(&answer).as_str(), answer[1].row().len()), ("2DCZ", 2));
        // Who was told of one column is not sent two.
        for _ in 0..2 {
            assert_eq!(error_code(&run(&mut old, "s")).as_deref(), Some("0A000"));
        }
        prepare_anew(&mut old, "s", "SELECT * FROM t");
        assert_eq!(run(&mut old, "s")[1].row().len(), 2);
        // A type that was made anew has another object id, which the old plan's parameter does not know.
        let insert = "INSERT INTO moods VALUES ($1) RETURNING m::text";
        for round in ["one", "two"] {
            new.query("DROP TABLE IF EXISTS moods; DROP TYPE IF EXISTS mood");
            new.query("CREATE TYPE mood AS ENUM ('one', 'two'); CREATE TABLE moods (m mood)");
            let batch = [parse(round, insert), bind("", round, &[Some(round)]), execute("", 0), sync()];
            let answer = new.exchange(&batch);
            assert_eq!(answer.iter().filter(|m| m.tag == b'D').count(), 1, "{answer:?}");
        }
        // The server forgets all statements behind Howdah's back.
        assert_eq!(tags(&new.query("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")), "CZ");
        assert_eq!(tags(&run(&mut old, "s")), "2DCZ");
        database.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE usename = 'app' AND datname = current_database()",
        );
        wait_until("the old connection is gone", || database.backends().is_empty());
        assert_eq!(tags(&run(&mut old, "s")), "2DCZ");
    }
}

fn run(wire: &mut Wire, name: &str) -> Vec<Message> {
    wire.exchange(&[bind("", name, &[]), execute("", 0), sync()])
}

fn prepare_anew(wire: &mut Wire, name: &str, text: &str) {
    assert_eq!(tags(&wire.exchange(&[close_statement(name), parse(name, text), sync()])), "31Z");
}

/// All but where in its source the server reports an error (what Howdah raises in its place has no such line), and
/// the number of the table in a description.
fn comparable(messages: Vec<Message>) -> Vec<(u8, String)> {
    let one = |m: Message| match m.tag {
        b'E' if m.sqlstate() == "25P02" => (b'E', m.sqlstate()),
        b'E' => {
            let fields =
                m.body.split(|b| *b == 0).filter(|field| !matches!(field.first(), Some(b'F' | b'L')));
            (b'E', String::from_utf8_lossy(&fields.collect::<Vec<_>>().join(&b'|')).into_owned())
        }
        b'T' => (b'T', m.body.len().to_string()),
        _ => (m.tag, format!("{:?}", m.body)),
    };
    messages.into_iter().map(one).collect()
}

/// Two clients, of which one is told what rows come and the other is not yet, while the table gets another column;
/// `told` and `late` are their connections. What each is answered.
fn column_by_column(mut told: Wire, mut late: Wire, mut owner: Wire) -> Vec<(u8, String)> {
    let all = "SELECT * FROM changing";
    let mut answers = Vec::new();
    told.exchange(&[parse("s", all), describe_statement("s"), sync()]);
    answers.extend(run(&mut told, "s"));
    // By now both servers have it, where there are two.
    told.query("BEGIN");
    late.exchange(&[parse("other", all), bind("", "other", &[]), execute("", 0), sync()]);
    told.query("COMMIT");
    owner.query("BEGIN");
    owner.query("ALTER TABLE changing ADD COLUMN b int DEFAULT 7");
    owner.query("COMMIT");
    late.exchange(&[parse("s", all), sync()]);
    for _ in 0..3 {
        answers.extend(run(&mut told, "s"));
        answers.extend(run(&mut late, "s"));
        // On another server connection, where there are two.
        late.query("BEGIN");
        answers.extend(run(&mut told, "s"));
        answers.extend(late.query("COMMIT"));
        answers.extend(told.query("BEGIN"));
        answers.extend(run(&mut late, "s"));
        answers.extend(run(&mut told, "s"));
        answers.extend(run(&mut told, "s"));
        answers.extend(told.query("ROLLBACK"));
    }
    prepare_anew(&mut told, "s", all);
    for _ in 0..2 {
        answers.extend(run(&mut told, "s"));
        late.query("BEGIN");
        answers.extend(run(&mut told, "s"));
        late.query("COMMIT");
    }
    // DDL of its own that it takes back: what was told is right again.
    told.query("BEGIN");
    answers.extend(told.query("ALTER TABLE changing ADD COLUMN c int"));
    answers.extend(run(&mut told, "s"));
    answers.extend(told.query("ROLLBACK"));
    answers.extend(run(&mut told, "s"));
    answers.extend(run(&mut late, "s"));
    // Behind a savepoint it prepares anew, as drivers do.
    told.query("BEGIN; ALTER TABLE changing ADD COLUMN d int; SAVEPOINT a");
    answers.extend(run(&mut told, "s"));
    answers.extend(told.query("ROLLBACK TO a"));
    prepare_anew(&mut told, "s", all);
    answers.extend(told.exchange(&[bind("", "s", &[]), describe_portal(""), execute("", 0), sync()]));
    answers.extend(told.query("COMMIT"));
    answers.extend(run(&mut told, "s"));
    answers.extend(run(&mut late, "s"));
    comparable(answers)
}

#[test]
fn who_was_told_of_other_rows_gets_postgres_own_error() {
    for version in Version::ALL {
        let cluster = Cluster::shared(version);
        let database = cluster.database("pool_told");
        let table = "DROP TABLE IF EXISTS changing; CREATE TABLE changing (a int);
            INSERT INTO changing VALUES (1); ALTER TABLE changing OWNER TO app";
        database.query(table);
        let directly = || Wire::login(("127.0.0.1", cluster.port), "app", &database.name);
        let expected = column_by_column(directly(), directly(), directly());
        for size in [1, 2] {
            database.query(table);
            let howdah = Config::simple(size, &database).start();
            let client = || login(&howdah, &database.name);
            if size == 1 {
                one_connection(client(), client());
            } else {
                assert_eq!(column_by_column(client(), client(), directly()), expected, "{version:?}");
            }
        }
    }
}

/// As drivers of libpq do, which have each portal described: they go on without an error.
fn one_connection(mut described: Wire, mut owner: Wire) {
    let run = [bind("", "s", &[]), describe_portal(""), execute("", 0), sync()];
    described.exchange(&[parse("s", "SELECT * FROM changing"), sync()]);
    for columns in 1..4 {
        let answer = described.exchange(&run);
        assert_eq!((tags(&answer).as_str(), answer[2].row().len()), ("2TDCZ", columns));
        owner.query(&format!("ALTER TABLE changing ADD COLUMN c{columns} int"));
    }
}

#[test]
fn a_server_killed_in_a_query_ends_that_client_alone() {
    let database = Cluster::shared(Version::V15).database("pool_kill");
    let howdah = Config::simple(2, &database).start();
    let (mut victim, mut other) = (login(&howdah, &database.name), login(&howdah, &database.name));
    other.query("BEGIN");
    victim.send(&[query("SELECT pg_sleep(60)")]);
    let sleeping = "FROM pg_stat_activity
        WHERE query = 'SELECT pg_sleep(60)' AND state = 'active' AND datname = 'pool_kill'";
    wait_until("the query runs", || database.value(&format!("SELECT count(*) {sleeping}")) == "1");
    database.query(&format!("SELECT pg_terminate_backend(pid) {sleeping}"));
    let end = victim.read_to_end();
    assert_eq!(error_code(&end).as_deref(), Some("08006"), "{end:?}");
    assert_eq!(other.value("SELECT 'alive'"), "alive");
    assert_eq!(tags(&other.query("COMMIT")), "CZ");
    assert_eq!(login(&howdah, &database.name).value("SELECT 'new'"), "new");
}

#[test]
fn a_server_that_is_down_is_said_so_and_used_again_when_it_is_back() {
    let cluster = Cluster::start(Version::V15);
    let database = cluster.database("pool_down");
    let howdah = Config::simple(2, &database).pool("server_login_retry = \"500ms\"").start();
    let mut client = login(&howdah, &database.name);
    assert_eq!(client.value("SELECT 1"), "1");
    assert_eq!(howdah.http("/readyz").0, 200);
    cluster.stop();
    wait_until("the resting connection is noticed to be dead", || {
        error_code(&client.query("SELECT 1")).as_deref() == Some("57P03")
    });
    let refused = Wire::try_login(
        ("127.0.0.1", howdah.port),
        &[("user", "app"), ("database", &database.name)],
        "secret",
    );
    assert_eq!(refused.err().map(|error| error.sqlstate()).as_deref(), Some("57P03"));
    assert_eq!(howdah.http("/readyz").0, 503);
    cluster.restart();
    wait_until("the server serves again", || tags(&client.query("SELECT 2")) == "TDCZ");
    assert_eq!(login(&howdah, &database.name).value("SELECT 3"), "3");
    assert_eq!(howdah.http("/readyz").0, 200);
}

#[test]
fn what_a_client_leaves_open_is_rolled_back() {
    let database = Cluster::shared(Version::V15).database("pool_leave");
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (0); ALTER TABLE t OWNER TO app");
    let howdah = Config::simple(1, &database).start();
    let mut next = login(&howdah, &database.name);
    let leave: [(&str, Vec<Vec<u8>>); 5] = [
        ("in a transaction", vec![query("BEGIN; UPDATE t SET a = a + 1")]),
        ("in a failed transaction", vec![query("BEGIN; UPDATE t SET a = a + 1; SELECT 1/0")]),
        (
            "in a batch without Sync",
            vec![parse("", "UPDATE t SET a = a + 1"), bind("", "", &[]), execute("", 0)],
        ),
        ("with a Parse without Sync", vec![parse("", "SELECT * FROM t")]),
        ("in a large result", vec![query("SELECT repeat('x', 1000) FROM generate_series(1, 100000)")]),
    ];
    for (how, frames) in leave {
        let mut leaver = login(&howdah, &database.name);
        leaver.send(&frames);
        if how.starts_with("in a transaction") || how.starts_with("in a failed") {
            leaver.read_until(b'Z');
        }
        drop(leaver);
        assert_eq!(next.value("SELECT a FROM t"), "0", "left {how}");
        assert_eq!(tags(&next.query("UPDATE t SET a = a")), "CZ", "left {how}: a lock stayed");
        assert!(database.backends().len() <= 1);
    }
}

#[test]
fn settings_of_a_client_that_left_in_a_transaction_do_not_stay() {
    let database = Cluster::shared(Version::V15).database("pool_left_settings");
    for reset in ["", "server_reset_query = \"\""] {
        let howdah = Config::simple(1, &database).pool(reset).start();
        let address = ("127.0.0.1", howdah.port);
        let mut other = login(&howdah, &database.name);
        let seen = "SELECT current_setting('search_path') || current_setting('TimeZone') || current_setting('work_mem')";
        let plain = other.value(seen);
        for last in [
            "BEGIN",
            "BEGIN; SET TimeZone = 'Asia/Tokyo'",
            "SET work_mem = '77MB'; BEGIN",
            "BEGIN|SET work_mem = '77MB'|COMMIT AND CHAIN",
        ] {
            let asked = [
                ("user", "app"),
                ("database", &database.name),
                ("search_path", "pg_catalog"),
                ("TimeZone", "Asia/Kolkata"),
            ];
            let mut leaver = Wire::login_with(address, &asked);
            for query in last.split('|') {
                leaver.query(query);
            }
            drop(leaver);
            assert_eq!(other.value(seen), plain, "left after {last}");
            // A login that must ask the server is the first to use the connection.
            let mut leaver = Wire::login_with(address, &asked);
            leaver.query("SET work_mem = '78MB'");
            let fresh = [("user", "app"), ("database", database.name.as_str()), ("statement_timeout", "77s")];
            assert_eq!(Wire::login_with(address, &fresh).value(seen), plain, "login after {last}");
        }
    }
}

/// What a session shows of what another one could have left.
const TRACES: &str = "SELECT current_setting('work_mem') || coalesce(current_setting('my.secret', true), '') \
     || (SELECT count(*) FROM pg_prepared_statements WHERE from_sql) \
     || (SELECT count(*) FROM pg_class WHERE relname = 'private') \
     || (SELECT count(*) FROM pg_listening_channels()) \
     || (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) \
     || (SELECT count(*) FROM pg_cursors WHERE is_holdable)";

#[test]
fn session_traces_never_reach_another_client() {
    let database = Cluster::shared(Version::V15).database("pool_traces");
    let travels = [
        "SET work_mem = '77MB'",
        "SELECT set_config('my.secret', 'x', false)",
        "PREPARE theirs AS SELECT 1",
        "LISTEN channel",
        "DO $$ BEGIN PERFORM set_config('work_mem', '78MB', false); END $$",
    ];
    let pins = [
        "CREATE TEMP TABLE private (a int)",
        "SELECT pg_advisory_lock(7)",
        "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT",
        "DO $$ BEGIN PERFORM pg_advisory_lock(7); END $$",
    ];
    for (pin, traces) in [("auto", &travels[..]), ("never", &[&travels[..], &pins[..]].concat())] {
        let howdah = Config::simple(1, &database).pool(&format!("pin = \"{pin}\"")).start();
        let (mut one, mut two) = (login(&howdah, &database.name), login(&howdah, &database.name));
        for trace in traces {
            assert!(error_code(&one.query(trace)).is_none(), "{trace}");
            assert_eq!(two.value(TRACES), "4MB00000", "after {trace}, {pin}");
        }
        // And the one who set it finds it again.
        one.query("SET work_mem = '77MB'");
        assert_eq!(one.value("SHOW work_mem"), "77MB");
    }
    // What keeps its connection is shown to nobody either.
    let howdah = Config::simple(2, &database).start();
    let (mut one, mut two) = (login(&howdah, &database.name), login(&howdah, &database.name));
    for (trace, ends) in [(pins[0], "DROP TABLE private"), (pins[2], "CLOSE c")] {
        assert!(error_code(&one.query(trace)).is_none(), "{trace}");
        let seen = two.value(
            &TRACES.replace("relname = 'private'", "relname = 'private' AND pg_table_is_visible(oid)"),
        );
        assert_eq!(seen, "4MB00000", "after {trace}");
        assert!(error_code(&one.query(ends)).is_none(), "{ends}");
    }
}

#[test]
fn sigterm_lets_transactions_end_and_the_second_one_does_not() {
    let database = Cluster::shared(Version::V15).database("pool_drain");
    let mut howdah = Config::simple(2, &database).listen("shutdown_timeout = \"60s\"").start();
    let (mut busy, mut idle) = (login(&howdah, &database.name), login(&howdah, &database.name));
    busy.query("BEGIN");
    howdah.sigterm();
    let end = idle.read_to_end();
    assert_eq!(error_code(&end).as_deref(), Some("57P01"));
    assert_eq!(busy.value("SELECT 'still'"), "still");
    let refused = std::net::TcpStream::connect(("127.0.0.1", howdah.port));
    assert!(refused.is_err(), "it still listens");
    let commit = [busy.query("COMMIT"), busy.read_to_end()].concat();
    assert_eq!(tags(&commit), "CZE");
    assert!(howdah.wait().success());

    let mut howdah = Config::simple(2, &database).listen("shutdown_timeout = \"60s\"").start();
    let mut busy = login(&howdah, &database.name);
    busy.query("BEGIN");
    howdah.sigterm();
    howdah.wait_for_log("SIGTERM");
    howdah.sigterm();
    assert_eq!(error_code(&busy.read_to_end()).as_deref(), Some("57P01"));
    assert!(howdah.wait().success());
    wait_until("the server has rolled back", || database.backends().is_empty());
}

#[test]
fn sigterm_ends_a_session_mode_client_that_is_in_no_transaction() {
    let database = Cluster::shared(Version::V15).database("pool_drain_session");
    let mut howdah =
        Config::new(1).database_as("session", &database, "pool_mode = \"session\"").user("app").start();
    let mut client = login(&howdah, "session");
    assert_eq!(client.value("SELECT 1"), "1");
    howdah.sigterm();
    assert_eq!(error_code(&client.read_to_end()).as_deref(), Some("57P01"));
    assert!(howdah.wait().success());
}

#[test]
fn pool_modes_keep_their_promises() {
    let database = Cluster::shared(Version::V15).database("pool_modes");
    let howdah = Config::new(1)
        .database_as("session", &database, "pool_mode = \"session\"")
        .database_as("statement", &database, "pool_mode = \"statement\"")
        .user("app")
        .start();
    let mut one = login(&howdah, "session");
    one.query("SET work_mem = '99MB'; CREATE TEMP TABLE mine (a int); PREPARE p AS SELECT 5");
    assert_eq!(one.value("SHOW work_mem"), "99MB");
    assert_eq!(one.value("EXECUTE p"), "5");
    let pid = one.value("SELECT pg_backend_pid()");
    drop(one);
    // The same server connection, as if it were new.
    wait_until("the connection is back", || {
        let mut two = login(&howdah, "session");
        assert_eq!(two.value("SHOW work_mem"), "4MB");
        two.value("SELECT pg_backend_pid()") == pid
    });
    let mut statement = login(&howdah, "statement");
    assert_eq!(statement.value("SELECT 1"), "1");
    statement.send(&[query("BEGIN")]);
    assert_eq!(error_code(&statement.read_to_end()).as_deref(), Some("0A000"));
    assert_eq!(login(&howdah, "statement").value("SELECT 2"), "2");
}

#[test]
fn large_copies_and_rows_stream_through_bounded_memory() {
    let database = Cluster::shared(Version::V15).database("pool_large");
    database.query("CREATE TABLE big (t text); ALTER TABLE big OWNER TO app");
    let howdah = Config::simple(1, &database).start();
    let mut wire = login(&howdah, &database.name);
    wire.send(&[query("COPY big FROM STDIN")]);
    wire.read_until(b'G');
    // In frames of every size, and 100 MB in all: lines of 1,000 bytes.
    let lines = [vec![b'x'; 999], vec![b'\n']].concat().repeat(1000);
    for round in 0..100 {
        let size = [7, 1000, 65_536, 1_000_000][round % 4];
        let frames: Vec<_> = lines.chunks(size).map(copy_data).collect();
        wire.send(&frames);
    }
    wire.send(&[copy_done()]);
    assert_eq!(tags(&wire.read_until(b'Z')), "CZ");
    assert_eq!(wire.value("SELECT count(*) || ' ' || sum(length(t)) FROM big"), "100000 99900000");
    // A parameter and a row of 60 MB.
    let long = "y".repeat(60 << 20);
    let answer =
        wire.exchange(&[parse("", "SELECT $1::text"), bind("", "", &[Some(&long)]), execute("", 0), sync()]);
    assert_eq!(tags(&answer), "12DCZ");
    assert_eq!(answer[2].row()[0].as_deref(), Some(long.as_str()));
    wire.send(&[query("COPY big TO STDOUT")]);
    let out: usize = wire.read_until(b'Z').iter().filter(|m| m.tag == b'd').map(|m| m.body.len()).sum();
    assert_eq!(out, 100_000_000);
    let rss = howdah.rss_kib();
    assert!(rss < 64 << 10, "{rss} KiB");
}

#[test]
fn a_client_that_only_sends_is_held_back() {
    let database = Cluster::shared(Version::V15).database("pool_flood");
    let howdah = Config::simple(1, &database).start();
    for frame in [sync(), close_statement("x"), query("")] {
        let mut flood = login(&howdah, &database.name);
        let many = frame.repeat(20_000);
        // It never reads: at some point nobody takes its bytes any more.
        let patience = std::time::Duration::from_millis(500);
        assert!((0..2000).any(|_| !flood.try_send_within(&many, patience)), "everything was taken");
        let rss = howdah.rss_kib();
        assert!(rss < 64 << 10, "{rss} KiB");
    }
    assert_eq!(login(&howdah, &database.name).value("SELECT 1"), "1");
}

#[test]
fn connects_do_not_exceed_what_is_allowed_and_nobody_starves() {
    let database = Cluster::shared(Version::V15).database("pool_limits");
    let howdah = Config::simple(10, &database).pool("max_db_connections = 3").start();
    let most = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (port, name) = (howdah.port, database.name.clone());
            thread::spawn(move || {
                let mut wire = Wire::login(("127.0.0.1", port), "app", &name);
                for _ in 0..20 {
                    assert_eq!(tags(&wire.query("SELECT pg_sleep(0.001)")), "TDCZ");
                }
            })
        })
        .collect();
    while clients.iter().any(|client| !client.is_finished()) {
        most.fetch_max(database.backends().len(), Ordering::SeqCst);
    }
    clients.into_iter().for_each(|client| client.join().expect("a client failed"));
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?} connections");
}

/// What went out with a client's first frame was committed, and then the client was gone: the next one must not
/// find it.
#[test]
fn who_leaves_in_a_chained_transaction_leaves_no_settings() {
    let database = Cluster::shared(Version::V15).database("pool_chained");
    let howdah = Config::simple(1, &database).start();
    let mut other = login(&howdah, &database.name);
    for end in ["COMMIT AND CHAIN", "COMMIT; BEGIN", "ROLLBACK AND CHAIN", "SELECT 1"] {
        other.query("SELECT 1");
        let mut gone = login(&howdah, &database.name);
        assert!(error_code(&gone.query("SET work_mem = '77MB'; SET lock_timeout = '7s'")).is_none());
        other.query("SELECT 1");
        gone.query("BEGIN");
        assert!(error_code(&gone.query(end)).is_none(), "{end}");
        drop(gone);
        let seen = "SELECT current_setting('work_mem') || ' ' || current_setting('lock_timeout')";
        assert_eq!(other.value(seen), "4MB 0", "{end}");
    }
}

/// A function may make a server connection listen. What is said there is nobody else's.
#[test]
fn what_a_function_listens_to_reaches_no_other_client() {
    let database = Cluster::shared(Version::V15).database("pool_listens");
    database.query(
        "CREATE FUNCTION listens() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN secret'; END $$",
    );
    let howdah = Config::simple(1, &database).start();
    let (mut one, mut other) = (login(&howdah, &database.name), login(&howdah, &database.name));
    for text in ["DO $$ BEGIN EXECUTE 'LISTEN secret'; END $$", "SELECT listens()"] {
        assert!(error_code(&one.query(text)).is_none(), "{text}");
        let mut answers = other.query("BEGIN; SET work_mem = '5MB'; CREATE TEMP TABLE t (a int)");
        database.query("NOTIFY secret, 'not yours'");
        for text in ["SELECT 1", "COMMIT", "SELECT 2", "DROP TABLE t", "SELECT 3"] {
            answers.extend(other.query(text));
        }
        assert!(answers.iter().all(|m| m.tag != b'A'), "{text}: {answers:?}");
    }
}

/// A batch that ends a failed transaction goes on behind it, and there names are looked for again.
#[test]
fn behind_a_rollback_in_a_batch_names_are_the_clients_own() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("pooling_names_behind");
    let howdah = Config::simple(1, &database).start();
    let login = || Wire::login(("127.0.0.1", howdah.port), "app", &database.name);
    let (mut one, mut other) = (login(), login());
    let once = |text: &str| [parse("", text), bind("", "", &[]), execute("", 0)].concat();
    for back in ["ROLLBACK", "COMMIT", "ROLLBACK AND CHAIN"] {
        one.query("PREPARE mine AS SELECT 'one' AS one");
        other.query("PREPARE mine AS SELECT 'other' AS other");
        other.query("PREPARE its AS SELECT 'its' AS its");
        for (name, expected) in [("mine", Ok("one")), ("its", Err("26000"))] {
            one.query("BEGIN");
            one.query("SELECT 1/0");
            let messages = one.exchange(&[once(back), once(&format!("EXECUTE {name}")), sync()]);
            let row = messages.iter().find(|m| m.tag == b'D').map(|m| m.row());
            let error = messages.iter().find(|m| m.tag == b'E').map(|m| m.sqlstate());
            match expected {
                Ok(value) => {
                    assert_eq!((row, error), (Some(vec![Some(value.to_owned())]), None), "{back} {name}")
                }
                Err(code) => assert_eq!((row, error), (None, Some(code.to_owned())), "{back} {name}"),
            }
            one.query("ROLLBACK");
            other.query("EXECUTE its");
        }
        one.query("DEALLOCATE ALL");
        other.query("DEALLOCATE ALL");
    }
}

#[test]
fn clients_that_prepare_by_sql_under_one_name_do_not_meet() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("pooling_one_name");
    database.query("CREATE TABLE t (id int, v int); INSERT INTO t SELECT n, 0 FROM generate_series(1, 8) n; GRANT ALL ON t TO PUBLIC");
    let howdah = Config::simple(3, &database).start();
    std::thread::scope(|scope| {
        for client in 1..=8 {
            let (howdah, name) = (&howdah, &database.name);
            scope.spawn(move || {
                let mut wire = Wire::login(("127.0.0.1", howdah.port), "app", name);
                for round in 0..50 {
                    let prepare =
                        format!("PREPARE put AS UPDATE t SET v = {round} WHERE id = {client} RETURNING id");
                    for sql in [&*prepare, "EXECUTE put", "DEALLOCATE put"] {
                        let messages = wire.query(sql);
                        assert!(
                            messages.iter().all(|m| m.tag != b'E'),
                            "{client} {round} {sql}: {messages:?}"
                        );
                        let row = messages.iter().find(|m| m.tag == b'D').map(|m| m.row());
                        assert!(row.is_none_or(|row| row == [Some(client.to_string())]), "its own");
                    }
                    for _ in 0..(client + round) % 5 {
                        wire.query("SELECT count(*) FROM t");
                    }
                }
            });
        }
    });
}
