//! The same frames go to Postgres directly and through Howdah, and the same messages must come back.

use crate::support::wire::{
    bind, bind_formats, close_portal, close_statement, copy_data, copy_done, copy_fail, describe_portal,
    describe_statement, execute, flush, function_call, parse, parse_typed, query, sync, tags,
};
use crate::support::{Cluster, Config, Database, Message, Version, Wire};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Frames that go out in one write, and what to wait for before the next step.
#[derive(Clone)]
struct Step {
    frames: Vec<Vec<u8>>,
    until: Until,
}

#[derive(Clone, Copy)]
enum Until {
    /// So many ReadyForQuery.
    Ready(usize),
    /// The first message of this type.
    Tag(u8),
}

type Case = (&'static str, Vec<Step>);

fn ready(count: usize, frames: Vec<Vec<u8>>) -> Step {
    Step { frames, until: Until::Ready(count) }
}

fn until(tag: u8, frames: Vec<Vec<u8>>) -> Step {
    Step { frames, until: Until::Tag(tag) }
}

/// A simple query.
fn q(sql: &str) -> Step {
    ready(1, vec![query(sql)])
}

/// Unnamed Parse, Bind, Describe, Execute, without Sync.
fn pbde(sql: &str, parameters: &[Option<&str>]) -> Vec<Vec<u8>> {
    vec![parse("", sql), bind("", "", parameters), describe_portal(""), execute("", 0)]
}

/// Unnamed Parse, Bind, Describe, Execute, Sync.
fn x(sql: &str) -> Vec<Vec<u8>> {
    then(pbde(sql, &[]), vec![sync()])
}

fn then(mut first: Vec<Vec<u8>>, second: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    first.extend(second);
    first
}

fn simple_cases() -> Vec<Case> {
    vec![
        ("one row", vec![q("SELECT 1 AS one, 'two' AS two, NULL AS three")]),
        ("rows of a table", vec![q("SELECT * FROM items ORDER BY id")]),
        ("no rows", vec![q("SELECT * FROM items WHERE false")]),
        ("empty query", vec![q("")]),
        ("only a semicolon", vec![q(" ; ")]),
        ("only a comment", vec![q("/* nothing */ -- at all")]),
        ("two statements", vec![q("SELECT 1; SELECT 2, 3")]),
        ("an error in the second of three", vec![q("SELECT 1; SELECT 1/0; SELECT 3")]),
        ("syntax error with a position", vec![q("SELECT  FROM WHERE"), q("SELECT 1")]),
        ("an unknown table", vec![q("SELECT * FROM no_such_table")]),
        ("comments around", vec![q("/* before */ SELECT 1 /* after */")]),
        (
            "DML and its tags",
            vec![
                q("INSERT INTO items VALUES (100, 'new') RETURNING *"),
                q("UPDATE items SET name = 'newer' WHERE id >= 9"),
                q("DELETE FROM items WHERE id = 100"),
            ],
        ),
        (
            "three queries in one write",
            vec![ready(3, vec![query("SELECT 1"), query("SELECT 1/0"), query("SELECT 3")])],
        ),
        ("a large row", vec![q("SELECT repeat('x', 300000), 1, repeat('y', 70000)")]),
        ("many rows", vec![q("SELECT n, md5(n::text) FROM generate_series(1, 5000) n")]),
        ("a long query text", vec![q(&format!("SELECT '{}'", "z".repeat(100_000)))]),
        (
            "notices",
            vec![
                q("DO $$ BEGIN RAISE NOTICE 'first'; RAISE WARNING 'second' USING HINT = 'hint'; END $$"),
                q("CREATE TABLE IF NOT EXISTS items (id int)"),
                q("DROP TABLE IF EXISTS no_such_table"),
            ],
        ),
        (
            "an error with every field",
            vec![q("DO $$ BEGIN RAISE EXCEPTION 'what' USING \
             ERRCODE = 'HW001', DETAIL = 'detail', HINT = 'hint', COLUMN = 'c', TABLE = 't', SCHEMA = 's', \
             CONSTRAINT = 'k', DATATYPE = 'd'; END $$")],
        ),
        (
            "a function call",
            vec![
                ready(1, vec![function_call(177, &["20", "22"])]),
                ready(1, vec![function_call(1, &["1"])]),
                ready(2, vec![function_call(177, &["1", "x"]), query("SELECT 1")]),
            ],
        ),
        (
            "a function call in a transaction",
            vec![q("BEGIN"), ready(1, vec![function_call(177, &["20", "22"])]), q("COMMIT")],
        ),
        ("explain and show", vec![q("EXPLAIN (COSTS OFF) SELECT 1"), q("SHOW server_version")]),
    ]
}

fn transaction_cases() -> Vec<Case> {
    vec![
        (
            "states of a transaction",
            vec![q("BEGIN"), q("SELECT 1"), q("SELECT 1/0"), q("SELECT 1"), q("ROLLBACK"), q("SELECT 1")],
        ),
        ("commit of a failed transaction", vec![q("BEGIN"), q("SELECT 1/0"), q("COMMIT")]),
        ("commit and rollback without a transaction", vec![q("COMMIT"), q("ROLLBACK")]),
        ("begin twice", vec![q("BEGIN"), q("BEGIN"), q("COMMIT")]),
        (
            "begin with options",
            vec![
                q("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE"),
                q("SHOW transaction_isolation"),
                q("INSERT INTO items VALUES (200, 'no')"),
                q("ROLLBACK"),
            ],
        ),
        (
            "set transaction after begin",
            vec![
                q("BEGIN"),
                q("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
                q("SHOW transaction_isolation"),
                q("COMMIT"),
            ],
        ),
        (
            "savepoints",
            vec![
                q("BEGIN"),
                q("SAVEPOINT a"),
                q("SELECT 1/0"),
                q("ROLLBACK TO a"),
                q("INSERT INTO items VALUES (201, 'kept')"),
                q("RELEASE a"),
                q("COMMIT"),
                q("SELECT * FROM items WHERE id = 201"),
            ],
        ),
        (
            "a transaction left open by a multi-statement query",
            vec![q("SELECT 1; BEGIN; SELECT 2"), q("SELECT 3"), q("COMMIT; SELECT 4")],
        ),
        (
            "an implicit transaction block rolls back as one",
            vec![
                q("INSERT INTO items VALUES (202, 'gone'); SELECT 1/0"),
                q("SELECT count(*) FROM items WHERE id = 202"),
            ],
        ),
        ("commit and chain", vec![q("BEGIN"), q("COMMIT AND CHAIN"), q("SELECT 1"), q("ROLLBACK")]),
        (
            "begin, work and commit in one write",
            vec![ready(3, vec![query("BEGIN"), query("SELECT 1"), query("COMMIT")])],
        ),
        (
            "a transaction by the extended protocol",
            vec![
                ready(1, x("BEGIN")),
                ready(1, x("SELECT 1")),
                ready(1, x("SELECT 1/0")),
                ready(1, x("SELECT 1")),
                ready(1, x("ROLLBACK")),
            ],
        ),
        (
            "begin, work and commit as a pipeline",
            vec![ready(
                1,
                [pbde("BEGIN", &[]), pbde("SELECT 1", &[]), pbde("COMMIT", &[]), vec![sync()]].concat(),
            )],
        ),
        (
            "a cursor in a transaction",
            vec![
                q("BEGIN"),
                q("DECLARE c CURSOR FOR SELECT * FROM items ORDER BY id"),
                q("FETCH 2 FROM c"),
                q("MOVE 3 IN c"),
                q("FETCH ALL FROM c"),
                q("COMMIT"),
            ],
        ),
        (
            "a prepared statement of SQL in a transaction",
            vec![
                q("BEGIN"),
                q("PREPARE s AS SELECT $1::int + 1"),
                q("EXECUTE s(41)"),
                q("DEALLOCATE s"),
                q("COMMIT"),
            ],
        ),
        ("a deferred constraint, simple", vec![q("INSERT INTO deferred VALUES (1), (1)")]),
        (
            "a deferred constraint, extended",
            vec![ready(1, x("INSERT INTO deferred VALUES (1), (1)")), q("SELECT 1")],
        ),
        (
            "set local",
            vec![
                q("BEGIN"),
                q("SET LOCAL work_mem = '8MB'"),
                q("SHOW work_mem"),
                q("COMMIT"),
                q("SHOW work_mem"),
            ],
        ),
    ]
}

fn extended_cases() -> Vec<Case> {
    vec![
        ("unnamed statement", vec![ready(1, x("SELECT * FROM items ORDER BY id"))]),
        (
            "parameters and NULL",
            vec![ready(1, then(pbde("SELECT $1::int + 1, $2::text", &[Some("41"), None]), vec![sync()]))],
        ),
        (
            "types given, binary parameters and results",
            vec![ready(
                1,
                vec![
                    parse_typed("", "SELECT $1, $2", &[23, 25]),
                    bind_formats("", "", &[1, 0], &[Some("\0\0\0\x07"), Some("text")], &[1, 0]),
                    describe_portal(""),
                    execute("", 0),
                    sync(),
                ],
            )],
        ),
        (
            "describe before bind",
            vec![
                ready(
                    1,
                    vec![
                        parse("s", "SELECT id, name FROM items WHERE id = $1"),
                        describe_statement("s"),
                        sync(),
                    ],
                ),
                ready(1, vec![bind("", "s", &[Some("3")]), execute("", 0), sync()]),
                ready(1, vec![bind("", "s", &[Some("4")]), describe_portal(""), execute("", 0), sync()]),
                ready(1, vec![describe_statement("s"), sync()]),
            ],
        ),
        (
            "describe of a statement without rows",
            vec![ready(
                1,
                vec![
                    parse("", "DELETE FROM items WHERE id = $1"),
                    describe_statement(""),
                    bind("", "", &[Some("1")]),
                    describe_portal(""),
                    execute("", 0),
                    sync(),
                ],
            )],
        ),
        ("empty statement", vec![ready(1, x("")), ready(1, x("-- comment"))]),
        ("two statements in one Parse", vec![ready(1, x("SELECT 1; SELECT 2")), q("SELECT 1")]),
        ("only Sync", vec![ready(1, vec![sync()]), ready(3, vec![sync(), sync(), sync()])]),
        ("only Flush and Sync", vec![ready(1, vec![flush(), flush(), sync()])]),
        (
            "Flush brings Parse's answer",
            vec![
                until(b'1', vec![parse("s", "SELECT $1::int"), flush()]),
                until(b'T', vec![bind("", "s", &[Some("1")]), describe_portal(""), flush()]),
                until(b'C', vec![execute("", 0), flush()]),
                ready(1, vec![sync()]),
            ],
        ),
        (
            "Flush brings an error",
            vec![
                until(b'E', vec![parse("", "SELECT nonsense"), flush()]),
                ready(1, vec![bind("", "", &[]), execute("", 0), flush(), sync()]),
                q("SELECT 1"),
            ],
        ),
        (
            "a row limit in one pipeline",
            vec![ready(
                1,
                vec![
                    parse("", "SELECT id FROM items ORDER BY id"),
                    bind("p", "", &[]),
                    describe_portal("p"),
                    execute("p", 3),
                    execute("p", 3),
                    execute("p", 0),
                    execute("p", 0),
                    sync(),
                ],
            )],
        ),
        (
            "a portal resumed over many Syncs in a transaction",
            vec![
                q("BEGIN"),
                ready(
                    1,
                    vec![
                        parse("", "SELECT id FROM items ORDER BY id"),
                        bind("p", "", &[]),
                        describe_portal("p"),
                        execute("p", 2),
                        sync(),
                    ],
                ),
                ready(1, vec![execute("p", 2), sync()]),
                q("SELECT 'in between'"),
                ready(1, vec![execute("p", 5), sync()]),
                ready(1, vec![execute("p", 5), sync()]),
                ready(1, vec![close_portal("p"), execute("p", 1), sync()]),
                q("ROLLBACK"),
            ],
        ),
        (
            "two portals side by side",
            vec![
                ready(1, x("BEGIN")),
                ready(
                    1,
                    vec![
                        parse("s", "SELECT id FROM items WHERE id > $1 ORDER BY id"),
                        bind("a", "s", &[Some("0")]),
                        bind("b", "s", &[Some("5")]),
                        execute("a", 2),
                        execute("b", 2),
                        execute("a", 2),
                        execute("b", 2),
                        sync(),
                    ],
                ),
                ready(1, x("COMMIT")),
            ],
        ),
        (
            "a portal does not outlive its Sync",
            vec![
                ready(1, vec![parse("", "SELECT 1"), bind("p", "", &[]), sync()]),
                ready(1, vec![execute("p", 0), sync()]),
                ready(1, vec![describe_portal("p"), sync()]),
                q("SELECT 1"),
            ],
        ),
        (
            "a duplicate portal",
            vec![
                q("BEGIN"),
                ready(1, vec![parse("s", "SELECT 1"), bind("p", "s", &[]), bind("p", "s", &[]), sync()]),
                q("ROLLBACK"),
            ],
        ),
        (
            "simple and extended in one write",
            vec![
                ready(2, then(vec![query("SELECT 1")], x("SELECT 2"))),
                ready(2, then(x("SELECT 3"), vec![query("SELECT 4")])),
                ready(3, [vec![query("BEGIN")], x("SELECT 5"), vec![query("COMMIT")]].concat()),
            ],
        ),
        (
            "a simple query in a batch without Sync",
            vec![ready(2, [pbde("SELECT 1", &[]), vec![query("SELECT 2"), sync()]].concat()), q("SELECT 3")],
        ),
        (
            "too many parameters, unnamed",
            vec![
                ready(1, vec![parse("", "SELECT $1::int"), bind("", "", &[Some("1"), Some("2")]), sync()]),
                q("SELECT 1"),
            ],
        ),
        (
            "too many parameters, named",
            vec![
                ready(1, vec![parse("mine", "SELECT $1::int"), sync()]),
                ready(1, vec![bind("", "mine", &[Some("1"), Some("2")]), sync()]),
                q("SELECT 1"),
            ],
        ),
        (
            "a bad parameter",
            vec![
                ready(
                    1,
                    vec![parse("s", "SELECT $1::int"), bind("", "s", &[Some("x")]), execute("", 0), sync()],
                ),
                ready(1, vec![bind("", "s", &[Some("1")]), execute("", 0), sync()]),
            ],
        ),
        ("an undetermined parameter type", vec![ready(1, vec![parse("s", "SELECT $2"), sync()])]),
    ]
}

fn pipeline_cases() -> Vec<Case> {
    let many = |count: usize| (0..count).flat_map(|n| x(&format!("SELECT {n}"))).collect::<Vec<_>>();
    vec![
        ("fifty batches in one write", vec![ready(50, many(50))]),
        (
            "an error in the middle of five batches",
            vec![ready(
                5,
                [x("SELECT 1"), x("SELECT 2"), x("SELECT 1/0"), x("SELECT 4"), x("SELECT 5")].concat(),
            )],
        ),
        (
            "an error skips up to Sync",
            vec![ready(
                2,
                [
                    pbde("SELECT 1", &[]),
                    pbde("SELECT nonsense", &[]),
                    pbde("SELECT 3", &[]),
                    vec![sync()],
                    x("SELECT 4"),
                ]
                .concat(),
            )],
        ),
        (
            "a batch is one transaction",
            vec![
                ready(
                    1,
                    [
                        pbde("INSERT INTO items VALUES (300, 'gone')", &[]),
                        pbde("SELECT 1/0", &[]),
                        vec![sync()],
                    ]
                    .concat(),
                ),
                q("SELECT count(*) FROM items WHERE id = 300"),
            ],
        ),
        (
            "a transaction over many Syncs in one write",
            vec![ready(
                5,
                [
                    x("BEGIN"),
                    x("INSERT INTO items VALUES (301, 'a')"),
                    x("SELECT 1/0"),
                    x("SELECT 'skipped'"),
                    x("ROLLBACK"),
                ]
                .concat(),
            )],
        ),
        (
            "one named statement, many times",
            vec![
                ready(1, vec![parse("s", "SELECT name FROM items WHERE id = $1"), sync()]),
                ready(
                    20,
                    (0..20)
                        .flat_map(|n| {
                            vec![
                                bind("", "s", &[Some(&n.to_string())]),
                                describe_portal(""),
                                execute("", 0),
                                sync(),
                            ]
                        })
                        .collect(),
                ),
            ],
        ),
        (
            "many named statements in one write",
            vec![
                ready(
                    1,
                    then(
                        (0..30).map(|n| parse(&format!("s{n}"), &format!("SELECT {n}"))).collect(),
                        vec![sync()],
                    ),
                ),
                ready(
                    30,
                    (0..30)
                        .rev()
                        .flat_map(|n| vec![bind("", &format!("s{n}"), &[]), execute("", 0), sync()])
                        .collect(),
                ),
            ],
        ),
        (
            "error, then the next batch before its ReadyForQuery was read",
            vec![
                ready(2, then(x("SELECT 1/0"), x("SELECT 2"))),
                ready(2, then(x("SELECT nonsense"), vec![query("SELECT 3")])),
            ],
        ),
        (
            "a large result in the middle",
            vec![ready(
                3,
                [x("SELECT 1"), x("SELECT repeat('x', 1000) FROM generate_series(1, 500)"), x("SELECT 3")]
                    .concat(),
            )],
        ),
    ]
}

fn statement_cases() -> Vec<Case> {
    let use_s = || ready(1, vec![bind("", "s", &[]), execute("", 0), sync()]);
    let make_s = || ready(1, vec![parse("s", "SELECT 1"), sync()]);
    vec![
        ("bind of an unknown statement", vec![use_s(), q("SELECT 1"), make_s(), use_s()]),
        ("execute of an unknown portal", vec![ready(1, vec![execute("p", 0), sync()]), q("SELECT 1")]),
        (
            "describe of unknown names",
            vec![
                ready(1, vec![describe_statement("s"), sync()]),
                ready(1, vec![describe_portal("p"), sync()]),
                q("SELECT 1"),
            ],
        ),
        ("close of unknown names", vec![ready(1, vec![close_statement("s"), close_portal("p"), sync()])]),
        (
            "the same name twice",
            vec![
                make_s(),
                ready(1, vec![parse("s", "SELECT 2"), bind("", "s", &[]), execute("", 0), sync()]),
                use_s(),
            ],
        ),
        ("the same name twice with the same text", vec![make_s(), make_s(), use_s()]),
        (
            "the unnamed statement is replaced",
            vec![
                ready(1, vec![parse("", "SELECT 1"), sync()]),
                ready(1, vec![parse("", "SELECT 2"), sync()]),
                ready(1, vec![bind("", "", &[]), execute("", 0), sync()]),
            ],
        ),
        (
            "the unnamed statement lasts over Sync",
            vec![
                ready(1, vec![parse("", "SELECT $1::text"), describe_statement(""), sync()]),
                ready(1, vec![bind("", "", &[Some("a")]), execute("", 0), sync()]),
                ready(1, vec![bind("", "", &[Some("b")]), execute("", 0), sync()]),
            ],
        ),
        (
            "a simple query ends the unnamed statement",
            vec![
                ready(1, vec![parse("", "SELECT 1"), sync()]),
                q("SELECT 2"),
                ready(1, vec![bind("", "", &[]), execute("", 0), sync()]),
            ],
        ),
        (
            "a failed Parse leaves the unnamed statement gone",
            vec![
                ready(1, vec![parse("", "SELECT 1"), sync()]),
                ready(1, vec![parse("", "SELECT nonsense"), sync()]),
                ready(1, vec![bind("", "", &[]), execute("", 0), sync()]),
            ],
        ),
        (
            "a failed Parse is not remembered",
            vec![
                ready(1, vec![parse("s", "SELECT nonsense"), sync()]),
                use_s(),
                ready(1, vec![parse("s", "SELECT nonsense"), sync()]),
                make_s(),
                use_s(),
            ],
        ),
        (
            "a Parse that was skipped is not remembered",
            vec![ready(1, vec![parse("", "SELECT nonsense"), parse("s", "SELECT 1"), sync()]), use_s()],
        ),
        (
            "a Parse before an error stays",
            vec![ready(1, vec![parse("s", "SELECT 1"), parse("", "SELECT nonsense"), sync()]), use_s()],
        ),
        ("statements survive a rollback", vec![q("BEGIN"), make_s(), q("ROLLBACK"), use_s()]),
        (
            "closed statements are gone",
            vec![make_s(), ready(1, vec![close_statement("s"), sync()]), use_s(), make_s(), use_s()],
        ),
        (
            "a Close that was skipped did not happen",
            vec![
                make_s(),
                ready(1, vec![parse("", "SELECT nonsense"), close_statement("s"), sync()]),
                use_s(),
            ],
        ),
        (
            "close and prepare again in one batch",
            vec![
                make_s(),
                ready(
                    1,
                    vec![
                        close_statement("s"),
                        parse("s", "SELECT 'again'"),
                        bind("", "s", &[]),
                        execute("", 0),
                        sync(),
                    ],
                ),
                use_s(),
            ],
        ),
        (
            "statement names of every kind",
            vec![
                ready(1, vec![parse("é\"'; --", "SELECT 1"), sync()]),
                ready(1, vec![bind("", "é\"'; --", &[]), execute("", 0), sync()]),
                ready(1, vec![parse(&"n".repeat(200), "SELECT 2"), sync()]),
                ready(1, vec![bind("", &"n".repeat(200), &[]), execute("", 0), sync()]),
                ready(1, vec![bind("", "unknown \"name\"", &[]), sync()]),
            ],
        ),
        ("DEALLOCATE ALL", vec![make_s(), q("DEALLOCATE ALL"), use_s(), make_s(), use_s()]),
        ("DEALLOCATE ALL, extended", vec![make_s(), ready(1, x("DEALLOCATE ALL")), use_s()]),
        ("DEALLOCATE of one", vec![make_s(), q("DEALLOCATE s"), use_s()]),
        ("DEALLOCATE of none", vec![q("DEALLOCATE no_such_statement")]),
        (
            "DISCARD ALL",
            vec![
                make_s(),
                q("SET application_name = 'before'"),
                q("DISCARD ALL"),
                q("SHOW application_name"),
                use_s(),
                make_s(),
                use_s(),
            ],
        ),
        (
            "DISCARD ALL in a transaction",
            vec![make_s(), q("BEGIN"), q("DISCARD ALL"), q("ROLLBACK"), use_s()],
        ),
        (
            "an error in a named statement's run",
            vec![
                ready(1, vec![parse("d", "SELECT 1 / $1::int"), sync()]),
                ready(1, vec![bind("", "d", &[Some("0")]), execute("", 0), sync()]),
                ready(1, vec![bind("", "d", &[Some("1")]), execute("", 0), sync()]),
            ],
        ),
    ]
}

fn copy_cases() -> Vec<Case> {
    let copy_in = "COPY items FROM STDIN";
    let rows = || vec![copy_data(b"400\tfirst\n401\tsec"), copy_data(b"ond\n"), copy_done()];
    let begin = |sql: &str| vec![parse("", sql), bind("", "", &[]), describe_portal(""), execute("", 0)];
    let count = || q("SELECT count(*) FROM items WHERE id >= 400");
    vec![
        ("copy out", vec![q("COPY (SELECT * FROM items ORDER BY id) TO STDOUT")]),
        ("copy out, extended", vec![ready(1, x("COPY (SELECT * FROM items ORDER BY id) TO STDOUT"))]),
        ("copy out that fails", vec![q("COPY (SELECT 1 / (3 - id) FROM items ORDER BY id) TO STDOUT")]),
        (
            "copy out of much",
            vec![q("COPY (SELECT repeat('x', 100) FROM generate_series(1, 5000)) TO STDOUT")],
        ),
        (
            "copy out between statements",
            vec![q("SELECT 1; COPY (SELECT * FROM items ORDER BY id) TO STDOUT; SELECT 2")],
        ),
        ("copy in", vec![until(b'G', vec![query(copy_in)]), ready(1, rows()), count()]),
        ("copy in, all in one write", vec![ready(1, then(vec![query(copy_in)], rows())), count()]),
        (
            "copy in and the next query in one write",
            vec![ready(2, [vec![query(copy_in)], rows(), vec![query("SELECT 1")]].concat()), count()],
        ),
        ("copy in of nothing", vec![until(b'G', vec![query(copy_in)]), ready(1, vec![copy_done()])]),
        (
            "copy in that the client gives up",
            vec![
                until(b'G', vec![query(copy_in)]),
                ready(1, vec![copy_data(b"400\tx\n"), copy_fail("changed my mind")]),
                count(),
            ],
        ),
        (
            "copy in of bad data",
            vec![
                until(b'G', vec![query(copy_in)]),
                ready(1, vec![copy_data(b"not a number\tx\n"), copy_data(b"402\ty\n"), copy_done()]),
                count(),
            ],
        ),
        (
            "copy into no table",
            vec![
                q("COPY no_such_table FROM STDIN"),
                ready(
                    2,
                    [vec![query("COPY no_such_table FROM STDIN")], rows(), vec![query("SELECT 1")]].concat(),
                ),
            ],
        ),
        (
            "two copies in one query",
            vec![
                until(b'G', vec![query("COPY items FROM STDIN; SELECT 1; COPY items FROM STDIN; SELECT 2")]),
                until(b'G', vec![copy_data(b"400\ta\n"), copy_done()]),
                ready(1, vec![copy_data(b"401\tb\n"), copy_done()]),
                count(),
            ],
        ),
        (
            "copy in within a transaction",
            vec![q("BEGIN"), until(b'G', vec![query(copy_in)]), ready(1, rows()), q("ROLLBACK"), count()],
        ),
        (
            "copy in, extended",
            vec![
                until(b'G', then(begin(copy_in), vec![flush()])),
                ready(1, then(rows(), vec![sync()])),
                count(),
            ],
        ),
        (
            "copy in, extended, with an early Sync that the server ignores",
            vec![
                until(b'G', then(begin(copy_in), vec![sync()])),
                ready(1, then(rows(), vec![sync()])),
                count(),
            ],
        ),
        (
            "copy in, extended, with an early Sync, all in one write",
            vec![ready(1, [begin(copy_in), vec![sync()], rows(), vec![sync()]].concat()), count()],
        ),
        (
            "copy in, extended, all in one write with the next batch",
            vec![ready(2, [begin(copy_in), rows(), vec![sync()], x("SELECT 1")].concat()), count()],
        ),
        (
            "copy in, extended, Flush and Sync between the data",
            vec![
                until(b'G', then(begin(copy_in), vec![flush()])),
                ready(
                    1,
                    vec![
                        copy_data(b"400\ta\n"),
                        sync(),
                        flush(),
                        copy_data(b"401\tb\n"),
                        sync(),
                        copy_done(),
                        sync(),
                    ],
                ),
                count(),
            ],
        ),
        (
            "copy in, extended, given up",
            vec![
                until(b'G', then(begin(copy_in), vec![flush()])),
                ready(1, vec![copy_data(b"400\ta\n"), copy_fail("no"), sync()]),
                count(),
            ],
        ),
        (
            "copy in, extended, bad data",
            vec![
                until(b'G', then(begin(copy_in), vec![flush()])),
                ready(1, vec![copy_data(b"bad\tx\n"), copy_data(b"402\ty\n"), copy_done(), sync()]),
                count(),
            ],
        ),
        (
            "copy in of much",
            vec![
                until(b'G', vec![query("COPY log FROM STDIN")]),
                ready(
                    1,
                    then(
                        (0..2000)
                            .map(|n| copy_data(format!("{n}\t{}\n", "x".repeat(200)).as_bytes()))
                            .collect(),
                        vec![copy_done()],
                    ),
                ),
                q("SELECT count(*), sum(length(line)) FROM log"),
            ],
        ),
    ]
}

fn setting_cases() -> Vec<Case> {
    vec![
        (
            "client_encoding",
            vec![
                q("SET client_encoding = 'LATIN1'"),
                q("SELECT chr(233)"),
                q("SHOW client_encoding"),
                ready(1, x("SELECT chr(233)")),
                q("RESET client_encoding"),
                q("SELECT chr(233)"),
            ],
        ),
        (
            "reported settings hold from transaction to transaction",
            vec![
                q("SET TimeZone = 'Europe/Berlin'"),
                q("SET DateStyle = 'German'"),
                q("SET IntervalStyle = 'iso_8601'"),
                q("SET application_name = 'mine'"),
                q("SELECT '2024-07-01 12:00+00'::timestamptz, '1 day 2 hours'::interval"),
                q("SHOW application_name"),
                q("BEGIN"),
                q("SHOW TimeZone"),
                q("COMMIT"),
                q("SHOW IntervalStyle"),
            ],
        ),
        (
            "a setting that is rolled back",
            vec![
                q("BEGIN"),
                q("SET TimeZone = 'Asia/Tokyo'"),
                q("SHOW TimeZone"),
                q("ROLLBACK"),
                q("SHOW TimeZone"),
                q("SHOW TimeZone"),
            ],
        ),
        (
            "a setting by the extended protocol",
            vec![
                ready(1, x("SET TimeZone = 'Asia/Tokyo'")),
                ready(1, x("SHOW TimeZone")),
                ready(1, x("RESET TimeZone")),
                ready(1, x("SHOW TimeZone")),
            ],
        ),
        (
            "a setting and its use in one write",
            vec![ready(2, vec![query("SET TimeZone = 'Asia/Tokyo'"), query("SHOW TimeZone")])],
        ),
        (
            "standard_conforming_strings",
            vec![
                q("SET standard_conforming_strings = off"),
                q("SET escape_string_warning = off; SELECT 'a\\\\b'"),
                q("SHOW standard_conforming_strings"),
            ],
        ),
        (
            "RESET ALL",
            vec![
                q("SET TimeZone = 'Asia/Tokyo'"),
                q("RESET ALL"),
                q("SHOW TimeZone"),
                q("SHOW application_name"),
            ],
        ),
        ("a bad value", vec![q("SET TimeZone = 'Nowhere/Land'"), q("SHOW TimeZone")]),
        ("set_config", vec![q("SELECT set_config('TimeZone', 'Asia/Tokyo', false)"), q("SHOW TimeZone")]),
    ]
}

fn all_cases() -> Vec<Case> {
    [
        simple_cases(),
        transaction_cases(),
        extended_cases(),
        pipeline_cases(),
        statement_cases(),
        copy_cases(),
        setting_cases(),
    ]
    .concat()
}

// --- the runner --------------------------------------------------------------------------------------

#[derive(Clone, Copy, PartialEq)]
enum Writes {
    /// Each step in one write.
    Whole,
    /// Each byte in a write of its own (steps of up to 2,000 bytes).
    Bytes,
}

fn run(address: (&str, u16), database: &str, case: &Case, writes: Writes) -> Vec<Vec<Message>> {
    let mut wire = Wire::login(address, "app", database);
    let mut answers = Vec::new();
    for step in &case.1 {
        if writes == Writes::Bytes && step.frames.iter().map(Vec::len).sum::<usize>() <= 2000 {
            wire.dribble(&step.frames);
        } else {
            wire.send(&step.frames);
        }
        answers.push(match step.until {
            Until::Ready(count) => wire.read_ready(count),
            Until::Tag(tag) => wire.read_until(tag),
        });
    }
    answers.push(wire.query("SELECT 'still alive'"));
    answers
}

fn create(database: &Database<'_>) {
    database.query(
        "CREATE TABLE items (id int PRIMARY KEY, name text);
         CREATE TABLE deferred (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE log (n int, line text);
         ALTER TABLE items OWNER TO app; ALTER TABLE deferred OWNER TO app; ALTER TABLE log OWNER TO app",
    );
}

/// Every case starts from the same rows.
fn reset(superuser: &mut Wire) {
    let messages = superuser.query(
        "DELETE FROM items; DELETE FROM deferred; DELETE FROM log;
         INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 10) n",
    );
    assert_eq!(tags(&messages), "CCCCZ", "{messages:?}");
}

/// What must be equal: everything, but for the places in the server's source that an error names.
fn comparable(answers: &[Vec<Message>]) -> Vec<String> {
    let line = |message: &Message| match message.tag {
        b'E' | b'N' => {
            let fields = message.fields().into_iter().filter(|(field, _)| !b"FLR".contains(field));
            let fields: Vec<_> = fields.map(|(field, value)| format!("{}={value}", field as char)).collect();
            format!("{} {}", message.tag as char, fields.join(" | "))
        }
        _ => format!("{message:?}"),
    };
    answers.iter().flatten().map(line).collect()
}

fn difference(expected: &[Vec<Message>], actual: &[Vec<Message>]) -> Option<String> {
    let (expected, actual) = (comparable(expected), comparable(actual));
    if expected == actual {
        return None;
    }
    let shorten = |line: Option<&String>| {
        line.map_or("nothing".to_owned(), |line| line.chars().take(300).collect::<String>())
    };
    let longest = expected.len().max(actual.len());
    let at = (0..longest).find(|at| expected.get(*at) != actual.get(*at)).unwrap_or_default();
    Some(format!(
        "message {at}\n    directly: {}\n    Howdah:   {}",
        shorten(expected.get(at)),
        shorten(actual.get(at))
    ))
}

/// Other clients of the same pool, so that its server connections go from hand to hand.
struct Crowd {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Crowd {
    fn new(port: u16, user: &str, database: &str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..clients).map(|client| {
            let (stop, database, user) = (Arc::clone(&stop), database.to_owned(), user.to_owned());
            std::thread::spawn(move || {
                let mut wire = Wire::login(("127.0.0.1", port), &user, &database);
                let set = format!("SET TimeZone = 'Etc/GMT-{client}'");
                assert_eq!(tags(&wire.query(&set)), "CSZ");
                while !stop.load(Ordering::SeqCst) {
                    wire.query("BEGIN");
                    assert_eq!(wire.value("SELECT 'crowd' FROM pg_sleep(0.001)"), "crowd");
                    wire.query("COMMIT");
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            })
        });
        let threads = threads.collect();
        Self { stop, threads }
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a client of the crowd failed");
        }
    }
}

/// PostgreSQL 18 breaks a session that does this: its next query fails with XX000 "unexpected state STARTED".
/// Howdah gives the next query another server connection.
const BREAKS_18: &str = "a simple query in a batch without Sync";

/// Runs every case directly and by `through`, where the same name leads to `twin`, and lists all that differ.
fn compare_all(
    database: &Database<'_>,
    twin: &Database<'_>,
    through: u16,
    writes: Writes,
    with: impl Fn(&Case) -> bool,
) {
    let mut cases = all_cases();
    cases.retain(|case| database.cluster.version != Version::V18 || case.0 != BREAKS_18);
    cases.retain(with);
    let mut different = Vec::new();
    let port = database.cluster.port;
    let mut superusers = [database, twin].map(|d| Wire::login(("127.0.0.1", port), "postgres", &d.name));
    for case in &cases {
        reset(&mut superusers[0]);
        let expected = run(("127.0.0.1", port), &database.name, case, Writes::Whole);
        reset(&mut superusers[1]);
        let database = &database.name;
        // A failing read panics: the other cases are still worth running.
        let actual = std::panic::catch_unwind(|| run(("127.0.0.1", through), database, case, writes));
        match actual {
            Ok(actual) => {
                different.extend(difference(&expected, &actual).map(|text| format!("{}: {text}", case.0)));
            }
            Err(_) => different.push(format!("{}: no full answer", case.0)),
        }
    }
    let count = different.len();
    assert!(different.is_empty(), "{count} of {} cases differ:\n  {}", cases.len(), different.join("\n  "));
}

fn compare_through_howdah(version: Version, writes: Writes) {
    let kind = if writes == Writes::Whole { "whole" } else { "bytes" };
    let database = Cluster::shared(version).database(&format!("wire_{kind}"));
    create(&database);
    let howdah = Config::simple(2, &database).start();
    let crowd = Crowd::new(howdah.port, "app", &database.name, 3);
    compare_all(&database, &database, howdah.port, writes, |_| true);
    crowd.end();
}

/// True if there is a COPY FROM in it, which Postgres does not have under row-level security.
fn copies_in(case: &Case) -> bool {
    let frames = case.1.iter().flat_map(|step| &step.frames);
    frames.into_iter().any(|frame| frame.windows(10).any(|bytes| bytes.eq_ignore_ascii_case(b"FROM STDIN")))
}

/// Rows that only the tenant `one` sees (`secret`) or writes. Directly the database itself says who the tenant is;
/// behind Howdah nothing does but Howdah, and others of the same pool are other tenants.
fn compare_with_a_tenant(version: Version, writes: Writes, secret: bool) {
    let name = format!("wire_tenant_{}_{secret}", if writes == Writes::Whole { "whole" } else { "bytes" });
    let cluster = Cluster::shared(version);
    let (database, twin) = (cluster.database(&name), cluster.database(&format!("{name}_twin")));
    // Copied, so that tables have the same numbers in both.
    let copy = format!("DROP DATABASE {0}; CREATE DATABASE {0} TEMPLATE {name} OWNER app", twin.name);
    let own = "nullif(current_setting('app.tenant_id', true), '') = 'one'";
    create(&database);
    database.query(&format!(
        "CREATE FUNCTION only_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF current_user = 'app' AND ({own}) IS NOT TRUE THEN RAISE 'not for this tenant'; END IF;
           RETURN NULL; END $$"
    ));
    for table in ["items", "deferred", "log"] {
        database.query(&if secret {
            format!(
                "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
                 CREATE POLICY own ON {table} USING ({own})"
            )
        } else {
            format!(
                "CREATE TRIGGER own BEFORE INSERT OR UPDATE OR DELETE ON {table} EXECUTE FUNCTION only_one()"
            )
        });
    }
    for statement in copy.split(';') {
        cluster.query("postgres", statement);
    }
    database.query(&format!("ALTER DATABASE {name} SET app.tenant_id = 'one'"));
    let fixed = "password = \"secret\"\ntenant = \"one\"";
    let mut config = Config::new(2).database_as(&name, &twin, "user = \"app\"\npassword = \"secret\"");
    config = config.user_with("app", fixed).user("crowd");
    config.extra += "[tenancy]\n[tenants.\"*\"]\n";
    let howdah = config.start();
    let crowd = Crowd::new(howdah.port, "crowd.two", &name, 3);
    // Fastpath calls of anything but large objects are refused with a tenant.
    let without = ["a function call", "a function call in a transaction"];
    let with = |case: &Case| copies_in(case) != secret && !without.contains(&case.0);
    compare_all(&database, &twin, howdah.port, writes, with);
    crowd.end();
}

#[test]
fn same_answers_with_a_tenant_on_14() {
    compare_with_a_tenant(Version::V14, Writes::Whole, true);
    compare_with_a_tenant(Version::V14, Writes::Whole, false);
}

#[test]
fn same_answers_with_a_tenant_on_15() {
    compare_with_a_tenant(Version::V15, Writes::Whole, true);
    compare_with_a_tenant(Version::V15, Writes::Whole, false);
}

#[test]
fn same_answers_with_a_tenant_on_18() {
    compare_with_a_tenant(Version::V18, Writes::Whole, true);
    compare_with_a_tenant(Version::V18, Writes::Whole, false);
}

#[test]
fn same_answers_with_a_tenant_byte_by_byte() {
    compare_with_a_tenant(Version::V15, Writes::Bytes, true);
    compare_with_a_tenant(Version::V15, Writes::Bytes, false);
}

/// The yardstick itself: the same frames twice to Postgres give the same messages.
#[test]
fn cases_are_the_same_twice_directly() {
    for version in Version::ALL {
        let database = Cluster::shared(version).database("wire_direct");
        create(&database);
        compare_all(&database, &database, database.cluster.port, Writes::Bytes, |_| true);
    }
}

#[test]
fn same_answers_on_14() {
    compare_through_howdah(Version::V14, Writes::Whole);
}

#[test]
fn same_answers_on_15() {
    compare_through_howdah(Version::V15, Writes::Whole);
}

#[test]
fn same_answers_on_18() {
    compare_through_howdah(Version::V18, Writes::Whole);
}

#[test]
fn same_answers_byte_by_byte() {
    compare_through_howdah(Version::V15, Writes::Bytes);
}

#[test]
fn same_parameters_at_login() {
    for version in Version::ALL {
        let cluster = Cluster::shared(version);
        let database = cluster.database("wire_login");
        let howdah = Config::simple(2, &database).start();
        for extra in [
            vec![],
            vec![("application_name", "mine"), ("client_encoding", "LATIN1")],
            vec![("TimeZone", "Asia/Tokyo"), ("DateStyle", "German"), ("IntervalStyle", "iso_8601")],
            vec![("options", "-c timezone=Asia/Tokyo")],
        ] {
            let login = |port: u16| {
                let mut parameters = vec![("user", "app"), ("database", "wire_login")];
                parameters.extend(&extra);
                let mut wire = Wire::login_with(("127.0.0.1", port), &parameters);
                let shown = ["TimeZone", "DateStyle", "IntervalStyle", "client_encoding", "application_name"];
                let shown = shown.map(|name| wire.value(&format!("SHOW {name}")));
                (wire.parameters, shown)
            };
            assert_eq!(login(cluster.port), login(howdah.port), "{version:?} with {extra:?}");
        }
    }
}
