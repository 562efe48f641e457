//! How an answer from memory is given: as the server would have given it.

use super::{ask, config, fates, login, marked, superuser, warm};
use crate::support::wire::{
    Message, Wire, bind, close_portal, close_statement, describe_portal, describe_statement, execute, flush,
    parse, query, sync, tags,
};
use crate::support::{Cluster, Version, wait_until};

fn shown(messages: &[Message]) -> Vec<(u8, Vec<u8>)> {
    messages.iter().filter(|m| m.tag != b'N').map(|m| (m.tag, m.body.clone())).collect()
}

/// Sends a batch until all of it comes from memory; what it was answered before, and then.
fn until_hit(wire: &mut Wire, batch: &[Vec<u8>], hits: usize) -> (Vec<Message>, Vec<Message>) {
    let first = wire.exchange(batch);
    for _ in 0..500 {
        let again = wire.exchange(batch);
        if fates(&again) == vec!["hit"; hits] && hits > 0 {
            return (first, again);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("it never comes from memory: {:?}", fates(&wire.exchange(batch)));
}

#[test]
fn every_way_to_ask_is_answered_as_the_server_answers_it() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_forms");
    database.query(
        "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL); GRANT ALL ON t TO PUBLIC",
    );
    let howdah = config(2, &database).start();
    let mut wire = login(&howdah, &database);
    let text = marked("SELECT a, b FROM t WHERE a >= $1 ORDER BY a");
    wire.exchange(&[parse("named", &text), sync()]);
    let one = [Some("1")];
    let run = |name: &str| vec![bind("", name, &one), execute("", 0)];
    let described = |name: &str| vec![bind("", name, &one), describe_portal(""), execute("", 0)];
    let unnamed = || vec![parse("", &text)];
    let batches: [(Vec<Vec<u8>>, usize); 9] = [
        ([unnamed(), run(""), vec![sync()]].concat(), 1),
        ([unnamed(), described(""), vec![sync()]].concat(), 1),
        ([run("named"), vec![sync()]].concat(), 1),
        ([described("named"), vec![sync()]].concat(), 1),
        ([unnamed(), vec![describe_statement("")], run(""), vec![sync()]].concat(), 1),
        ([vec![describe_statement("named")], vec![sync()]].concat(), 0),
        (vec![bind("p", "named", &one), describe_portal("p"), execute("p", 0), close_portal("p"), sync()], 1),
        (
            [run("named"), described("named"), vec![bind("", "named", &[Some("2")]), execute("", 0), sync()]]
                .concat(),
            3,
        ),
        (
            vec![
                parse("more", &text),
                bind("", "more", &one),
                execute("", 0),
                close_statement("more"),
                sync(),
            ],
            1,
        ),
    ];
    for (n, (batch, hits)) in batches.iter().enumerate() {
        if *hits == 0 {
            let first = wire.exchange(batch);
            assert_eq!(shown(&first), shown(&wire.exchange(batch)), "batch {n}");
            continue;
        }
        let (first, again) = until_hit(&mut wire, batch, *hits);
        assert_eq!(shown(&first), shown(&again), "batch {n}: {} {}", tags(&first), tags(&again));
    }
    // A simple query after extended ones, and the other way round: one entry.
    let plain = marked("SELECT a, b FROM t ORDER BY a");
    let (first, again) = until_hit(&mut wire, &[query(&plain)], 1);
    assert_eq!(shown(&first), shown(&again));
    let extended = [parse("", &plain), bind("", "", &[]), describe_portal(""), execute("", 0), sync()];
    assert_eq!(fates(&wire.exchange(&extended)), ["hit"]);
}

#[test]
fn a_driver_that_prepares_and_flushes_is_answered_without_a_server() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_flush");
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC");
    let howdah = config(1, &database).start();
    let text = marked("SELECT a FROM t");
    let mut wire = login(&howdah, &database);
    let mut seen = Vec::new();
    wait_until("the statement's shape is known", || {
        wire.send(&[parse("s", &text), describe_statement("s"), flush()]);
        let mut described = wire.read_until(b'T');
        wire.send(&[bind("", "s", &[]), execute("", 0), sync()]);
        described.extend(wire.read_ready(1));
        wire.exchange(&[close_statement("s"), sync()]);
        seen.push(shown(&described));
        fates(&described) == ["hit"]
    });
    assert!(seen.iter().all(|one| *one == seen[0]));
    // With the only server connection in use by somebody else, it is still answered.
    let mut busy = login(&howdah, &database);
    busy.query("BEGIN");
    wire.send(&[parse("s", &text), describe_statement("s"), flush()]);
    wire.read_until(b'T');
    assert_eq!(fates(&wire.exchange(&[bind("", "s", &[]), execute("", 0), sync()])), ["hit"]);
    wire.exchange(&[close_statement("s"), sync()]);
    busy.query("COMMIT");
    assert_eq!(warm(&mut wire, &marked("SELECT a FROM t WHERE false")).len(), 0, "a query with no rows too");
}

#[test]
fn answers_keep_their_place_among_others() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_order");
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC");
    let howdah = config(2, &database).start();
    let mut wire = login(&howdah, &database);
    let text = marked("SELECT a, $1 FROM t");
    let read = |value: &str| vec![bind("", "", &[Some(value)]), execute("", 0)];
    let parsed = parse("", &text);
    for value in ["x", "y", "z"] {
        until_hit(&mut wire, &[vec![parsed.clone()], read(value), vec![sync()]].concat(), 1);
    }
    let rows = |messages: &[Message]| -> Vec<String> {
        let rows = messages.iter().filter(|m| m.tag == b'D').map(Message::row);
        rows.map(|row| row.last().cloned().flatten().unwrap_or_default()).collect()
    };
    // Several Binds before one Sync.
    let three = [vec![parsed.clone()], read("y"), read("x"), read("z"), vec![sync()]].concat();
    let messages = wire.exchange(&three);
    assert_eq!((fates(&messages).len(), rows(&messages)), (3, vec!["y".into(), "x".into(), "z".into()]));
    // Between others, in a batch and in a pipeline of batches.
    let slow = |value: &str| {
        vec![parse("", &format!("SELECT '{value}' FROM pg_sleep(0.05)")), bind("", "", &[]), execute("", 0)]
    };
    let mixed = [
        slow("a"),
        vec![sync(), parsed.clone()],
        read("x"),
        vec![sync()],
        slow("b"),
        vec![sync(), parsed.clone()],
        read("y"),
        read("new"),
        vec![sync(), query("SELECT 'c'"), query(&marked("SELECT a, 'd' FROM t"))],
    ]
    .concat();
    for _ in 0..4 {
        wire.send(&mixed);
        let messages = wire.read_ready(6);
        assert_eq!(rows(&messages), ["a", "x", "b", "y", "new", "c", "d"]);
        assert_eq!(tags(&messages).replace('N', ""), "12DCZ12DCZ12DCZ12DC2DCZTDCZTDCZ");
    }
    // An unmarked one in the same batch: all of it is the server's.
    let both = [vec![parsed.clone()], read("x"), slow("a"), vec![parsed], read("y"), vec![sync()]].concat();
    for _ in 0..3 {
        assert_eq!(rows(&wire.exchange(&both)), ["x", "a", "y"]);
    }
}

#[test]
fn a_part_of_the_rows_is_not_the_answer() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_parts");
    database.query(
        "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 9); GRANT ALL ON t TO PUBLIC",
    );
    let howdah = config(2, &database).start();
    let mut wire = login(&howdah, &database);
    let text = marked("SELECT a FROM t ORDER BY a");
    let count = |messages: &[Message]| messages.iter().filter(|m| m.tag == b'D').count();
    wire.exchange(&[parse("s", &text), sync()]);
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(30));
        let part = wire.exchange(&[bind("", "s", &[]), execute("", 3), sync()]);
        assert_eq!((count(&part), fates(&part)), (3, vec!["miss, row_limit".to_owned()]));
        let parts =
            wire.exchange(&[bind("p", "s", &[]), execute("p", 3), execute("p", 3), execute("p", 0), sync()]);
        assert_eq!(count(&parts), 9);
        let twice = wire.exchange(&[bind("", "s", &[]), execute("", 0), execute("", 0), sync()]);
        assert_eq!((count(&twice), tags(&twice).replace(['N', 'D'], "")), (9, "2CCZ".into()));
    }
    let whole = [bind("", "s", &[]), execute("", 0), sync()];
    let (_, again) = until_hit(&mut wire, &whole, 1);
    assert_eq!(count(&again), 9);
    let part = wire.exchange(&[bind("", "s", &[]), execute("", 3), sync()]);
    assert_eq!(count(&part), 3);
}

#[test]
fn what_may_not_be_kept_is_not() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_never");
    database.query(
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC; GRANT ALL ON SCHEMA public TO PUBLIC;
         CREATE FUNCTION quiet() RETURNS int STABLE LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'heard'; RETURN 1; END $$",
    );
    let howdah = config(3, &database).start();
    let mut wire = superuser(&howdah, &database);
    let never = [
        "SELECT a FROM t FOR UPDATE",
        "SELECT a FROM t FOR SHARE",
        "SELECT random(), a FROM t",
        "SELECT nextval('s'), a FROM t",
        "WITH w AS (INSERT INTO t VALUES (1) RETURNING a) SELECT 1 FROM w",
        "SELECT relname FROM pg_class",
        "SELECT table_name FROM information_schema.tables",
        "SELECT pg_backend_pid()",
        "SELECT a FROM t; SELECT a FROM t",
        "SELECT a INTO TEMP x FROM t",
        "SELECT 1/0 FROM t",
        "SHOW work_mem",
        "EXPLAIN SELECT a FROM t",
        "UPDATE t SET a = a",
        "SELECT quiet() FROM t LIMIT 1",
    ];
    wire.query("CREATE SEQUENCE s");
    for sql in never {
        for _ in 0..4 {
            let (fate, _) = ask(&mut wire, &marked(sql));
            assert_ne!(fate, "hit", "{sql}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        wire.query("DISCARD TEMP");
    }
    let said_so = "/* howdah.cache='60s', howdah.cache_volatile='yes' */ SELECT random() FROM t";
    let first = warm(&mut wire, said_so);
    assert_eq!(ask(&mut wire, said_so), ("hit".into(), first));
    // In a transaction block, with something left in the session, or in a session of its own.
    let read = marked("SELECT a FROM t");
    warm(&mut wire, &read);
    for (open, why, close) in [
        ("BEGIN", "miss, transaction", "COMMIT"),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "miss, transaction", "COMMIT"),
        ("CREATE TEMP TABLE t (a int)", "miss, private", "DROP TABLE pg_temp.t"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "miss, private", "CLOSE c"),
        ("SELECT pg_advisory_lock(1)", "miss, private", "SELECT pg_advisory_unlock(1)"),
    ] {
        wire.query(open);
        assert_eq!(ask(&mut wire, &read).0, why, "{open}");
        wire.query(close);
    }
    warm(&mut wire, &read);
    // What the server says besides rows would not come again.
    let heard = wire.query(&marked("SELECT quiet() FROM t LIMIT 1"));
    assert!(heard.iter().any(|m| m.tag == b'N' && m.field(b'M').as_deref() == Some("heard")));
}

#[test]
fn marks_that_cannot_be_read_say_so_and_do_no_harm() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_bad_marks");
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC");
    let howdah = config(2, &database).start();
    let mut wire = login(&howdah, &database);
    for (text, fate) in [
        ("/* howdah.cache='abc' */ SELECT a FROM t", "miss, bad_mark"),
        ("/* howdah.cache='-1s' */ SELECT a FROM t", "miss, bad_mark"),
        ("/* howdah.cache='0s' */ SELECT a FROM t", "miss, bad_mark"),
        ("/* howdah.cache='9999d' */ SELECT a FROM t", "miss, bad_mark"),
        ("/* howdah.cache='1s', howdah.stale='soon' */ SELECT a FROM t", "miss, bad_mark"),
        ("/* howdah.cache='1s' */ SELECT a FROM t /* howdah.cache='2s' */", "miss, bad_mark"),
        ("/* howdah.cache= */ SELECT a FROM t", "miss, bad_mark"),
        ("/* howdah.cache='off' */ SELECT a FROM t", "miss, off"),
        ("/* howdah.cache='1s' */ UPDATE t SET a = a", "miss, not_cacheable"),
        ("SELECT a FROM t -- howdah.cache='1s'", ""),
        ("SELECT a, '/* howdah.cache=''1s'' */' FROM t", ""),
        ("SELECT a /* howdah.cache='1s' */ FROM t", ""),
    ] {
        for extended in [false, true] {
            let messages = if extended {
                wire.exchange(&[parse("", text), bind("", "", &[]), execute("", 0), sync()])
            } else {
                wire.query(text)
            };
            assert_eq!(fates(&messages).join("; "), fate, "{text}");
            assert!(messages.iter().any(|m| m.tag == b'C'), "{text}: it runs all the same");
        }
    }
    assert_eq!(ask(&mut wire, "/* howdah.cache='1s' SELECT a FROM t").1, "42601", "the server's word for it");
    for (set, code) in [("'abc'", "22023"), ("'-1s'", "22023"), ("'9999d'", "22023"), ("'30s'", "")] {
        assert_eq!(ask(&mut wire, &format!("SET howdah.cache = {set}")).1, code, "{set}");
    }
    warm(&mut wire, "SELECT a FROM t");
    wire.query("BEGIN; SELECT 1");
    wire.query("SET LOCAL howdah.cache = 'off'");
    assert_eq!(ask(&mut wire, "SHOW howdah.cache").1, "off");
    wire.query("COMMIT");
    assert_eq!(ask(&mut wire, "SHOW howdah.cache").1, "30s");
    wire.query("BEGIN");
    wire.query("SET howdah.cache = '5s'");
    wire.query("ROLLBACK");
    assert_eq!(ask(&mut wire, "SHOW howdah.cache").1, "30s");
    wire.query("RESET howdah.cache");
    assert_eq!(ask(&mut wire, "SELECT a FROM t").0, "");
}

#[test]
fn large_answers_pass_and_are_not_kept() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_large");
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC");
    let mut config = config(2, &database);
    config.extra = config.extra.replace("jitter", "max_entry = \"64KB\"\njitter");
    let howdah = config.start();
    let mut wire = login(&howdah, &database);
    let read = marked("SELECT repeat('x', 100000000) FROM t");
    for _ in 0..3 {
        let messages = wire.query(&read);
        let row = messages.iter().find(|m| m.tag == b'D').unwrap();
        assert_eq!(row.body.len(), 100_000_006);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(howdah.rss_kib() < 200 << 10, "{} KiB", howdah.rss_kib());
    let near = marked("SELECT repeat('x', 60000) FROM t");
    assert_eq!(warm(&mut wire, &near).len(), 60_000);
}

#[test]
fn a_rule_marks_for_applications_that_cannot() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_rules");
    database
        .query("CREATE TABLE orders (a int); INSERT INTO orders VALUES (1); GRANT ALL ON orders TO PUBLIC");
    let rules = "[[cache.rules]]\nmatch = \"SELECT count(*) FROM orders*\"\nttl = \"60s\"\n\
                 [[cache.rules]]\nfingerprint = \"3320ae75c234bf53\"\nttl = \"60s\"\n";
    let howdah = config(2, &database).sections(rules).start();
    let mut wire = login(&howdah, &database);
    for (sql, marked) in [
        ("SELECT count(*) FROM orders", true),
        ("select COUNT( * ) from orders where a = 1", true),
        ("/* howdah.cache='off' */ SELECT count(*) FROM orders", false),
        ("SELECT a FROM orders", false),
        ("SELECT count(*), 1 FROM orders", false),
    ] {
        if marked {
            warm(&mut wire, sql);
        }
        for _ in 0..3 {
            let batch = [parse("", sql), bind("", "", &[]), describe_portal(""), execute("", 0), sync()];
            assert_eq!(fates(&wire.exchange(&batch)) == ["hit"], marked, "{sql}");
            assert_eq!(ask(&mut wire, sql).0 == "hit", marked, "{sql}");
        }
    }
}

#[test]
fn a_text_is_studied_once_for_all_its_constants() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_constants");
    database.query(
        "CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(0, 99); GRANT ALL ON t TO PUBLIC",
    );
    let howdah = config(2, &database).start();
    let mut wire = login(&howdah, &database);
    warm(&mut wire, &marked("SELECT a FROM t WHERE a = 0"));
    for n in 1..100 {
        let read = marked(&format!("SELECT a FROM t WHERE a = {n}"));
        assert_eq!(ask(&mut wire, &read), ("miss, new".into(), n.to_string()));
        assert_eq!(ask(&mut wire, &read), ("hit".into(), n.to_string()));
    }
    // But the name of a setting is no constant like others, and a description is of one text alone.
    for (setting, value) in [("app.one", "1"), ("app.two", "2")] {
        wire.query(&format!("SET {setting} = '{value}'"));
        assert_eq!(
            warm(&mut wire, &marked(&format!("SELECT current_setting('{setting}') FROM t LIMIT 1"))),
            value
        );
    }
    let types = |wire: &mut Wire, sql: &str| {
        let messages = wire.exchange(&[parse("", &marked(sql)), describe_statement(""), sync()]);
        messages.iter().find(|m| m.tag == b'T').unwrap().body.clone()
    };
    for _ in 0..3 {
        let (number, text) = (types(&mut wire, "SELECT 1 FROM t"), types(&mut wire, "SELECT 'x' FROM t"));
        assert_ne!(number, text);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_client_that_does_not_read_is_not_given_more() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_unread");
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC");
    let howdah = config(2, &database).start();
    let mut wire = login(&howdah, &database);
    let read = marked("SELECT repeat('x', 900000) FROM t");
    assert_eq!(warm(&mut wire, &read).len(), 900_000);
    let before = howdah.rss_kib();
    // In one write each, so that Howdah has them all at once: by simple queries, and in one batch.
    wire.exchange(&[parse("s", &read), sync()]);
    let one = [bind("", "s", &[]), execute("", 0)].concat();
    for frames in [vec![query(&read); 500], vec![one; 100].into_iter().chain([sync()]).collect::<Vec<_>>()] {
        let readies = frames.iter().filter(|frame| matches!(frame[0], b'Q' | b'S')).count();
        wire.send(&frames);
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(howdah.rss_kib() < before + (32 << 10), "{before} {}", howdah.rss_kib());
        let rows = wire.read_ready(readies).iter().filter(|m| m.tag == b'D').count();
        assert_eq!(rows, if readies == 1 { 100 } else { 500 });
    }
}
