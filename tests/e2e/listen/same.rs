//! What a client sees is what it would see on a server connection of its own.

use super::*;
use crate::support::Version;
use crate::support::wire::{
    bind, close_statement, copy_data, copy_done, describe_portal, describe_statement, execute, flush, parse,
    query, sync,
};

/// Scripts of one client, each frame list one write; `N` is how many `ReadyForQuery` it is answered with.
fn scripts() -> Vec<(&'static str, Vec<(Vec<Vec<u8>>, usize)>)> {
    let q = |texts: &[&str]| texts.iter().map(|text| (vec![query(text)], 1)).collect::<Vec<_>>();
    let run = |name: &str| vec![bind("", name, &[]), execute("", 0)];
    vec![
        (
            "its own notification",
            q(&["LISTEN a", "NOTIFY a, 'x'", "SELECT 1", "UNLISTEN a", "NOTIFY a, 'y'", "SELECT 1"]),
        ),
        (
            "several and once",
            q(&["LISTEN a; LISTEN b; LISTEN a", "NOTIFY b, '1'; NOTIFY a, '2'; NOTIFY b, '1'", "UNLISTEN *"]),
        ),
        ("commit", q(&["BEGIN", "LISTEN a", "NOTIFY a, 'x'", "COMMIT", "SELECT 1", "NOTIFY a, 'y'"])),
        ("rollback", q(&["BEGIN", "LISTEN a", "ROLLBACK", "NOTIFY a, 'x'", "SELECT 1"])),
        ("notify and roll back", q(&["LISTEN a", "BEGIN", "NOTIFY a, 'x'", "ROLLBACK", "NOTIFY a, 'y'"])),
        (
            "savepoints",
            q(&[
                "BEGIN",
                "LISTEN a",
                "SAVEPOINT s",
                "LISTEN b",
                "NOTIFY a, 'gone'",
                "ROLLBACK TO SAVEPOINT s",
                "RELEASE s",
                "LISTEN c",
                "COMMIT",
                "NOTIFY a, '1'; NOTIFY b, '2'; NOTIFY c, '3'",
            ]),
        ),
        (
            "an error under a savepoint",
            q(&[
                "BEGIN; LISTEN a; SAVEPOINT s",
                "LISTEN b; SELECT 1/0",
                "LISTEN c",
                "ROLLBACK TO s",
                "COMMIT",
                "NOTIFY a, '1'; NOTIFY b, '2'; NOTIFY c, '3'",
            ]),
        ),
        (
            "implicit rollback",
            q(&[
                "LISTEN a; SELECT 1/0",
                "NOTIFY a, 'x'",
                "LISTEN b; COMMIT; LISTEN a; SELECT 1/0",
                "NOTIFY b, '1'; NOTIFY a, '2'",
            ]),
        ),
        (
            "asyncpg's reset",
            q(&[
                "LISTEN a",
                "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
                "NOTIFY a",
                "SELECT 1",
            ]),
        ),
        ("discard all", q(&["LISTEN a", "NOTIFY a, 'x'", "DISCARD ALL", "NOTIFY a, 'y'", "SELECT 1"])),
        ("a failed transaction", q(&["BEGIN", "SELECT 1/0", "LISTEN a", "COMMIT", "NOTIFY a, 'x'"])),
        (
            "chain",
            q(&[
                "BEGIN",
                "LISTEN a",
                "COMMIT AND CHAIN",
                "NOTIFY a, 'x'",
                "LISTEN b",
                "ROLLBACK AND CHAIN",
                "COMMIT",
                "NOTIFY a, 'y'; NOTIFY b, 'z'",
            ]),
        ),
        (
            "names",
            q(&[
                "LISTEN \"A b\"\"c\"; LISTEN Jobs",
                "NOTIFY \"A b\"\"c\", 'x'; NOTIFY JOBS, 'y'; NOTIFY \"JOBS\", 'z'",
                "LISTEN U&\"d\\0061t\"",
                "NOTIFY dat, 'w'",
                "LISTEN \"gr\u{f6}\u{df}e\"",
                "NOTIFY \"gr\u{f6}\u{df}e\", '\u{e4}'",
            ]),
        ),
        (
            "a long name",
            q(&[
                &format!("LISTEN {}", "x".repeat(70)),
                &format!("NOTIFY {}, 'cut'", "x".repeat(70)),
                &format!("NOTIFY {}, 'same'", "x".repeat(63)),
                &format!("UNLISTEN {}", "x".repeat(64)),
                &format!("NOTIFY {}", "x".repeat(63)),
            ]),
        ),
        (
            "errors and their places",
            q(&[
                "LISTEN",
                "LISTEN 5",
                "  listen /* \u{e4} */ 'x'",
                "SELECT 1; LISTEN a; SELECT nothing",
                "LISTEN a; LISTEN b, c",
                "LISTEN \"\"",
                "LISTEN select",
                "UNLISTEN",
                "LISTEN a b",
                "LISTEN *",
                "NOTIFY a",
            ]),
        ),
        (
            "the extended protocol",
            vec![
                ([vec![parse("", "LISTEN a")], run(""), vec![sync()]].concat(), 1),
                (
                    [
                        vec![
                            parse("n", "SELECT pg_notify($1, $2)"),
                            bind("", "n", &[Some("a"), Some("x")]),
                            execute("", 0),
                        ],
                        vec![sync()],
                    ]
                    .concat(),
                    1,
                ),
                (
                    [vec![
                        parse("l", "LISTEN b"),
                        describe_statement("l"),
                        bind("p", "l", &[]),
                        describe_portal("p"),
                        execute("p", 0),
                        sync(),
                    ]]
                    .concat(),
                    1,
                ),
                ([vec![parse("u", "UNLISTEN a")], run("u"), vec![sync()]].concat(), 1),
                (vec![query("NOTIFY a, '1'; NOTIFY b, '2'")], 1),
                ([vec![close_statement("l")], vec![sync()]].concat(), 1),
                ([run("l"), vec![sync()]].concat(), 1),
                ([vec![parse("", "LISTEN 5")], run(""), vec![sync()]].concat(), 1),
                ([vec![parse("", "  LISTEN x y")], vec![sync()]].concat(), 1),
                ([vec![parse("", "LISTEN c")], run(""), vec![flush()], vec![sync()]].concat(), 1),
                (vec![query("NOTIFY c, '3'")], 1),
            ],
        ),
        (
            "a pipeline",
            vec![
                (
                    vec![
                        query("LISTEN a"),
                        query("NOTIFY a, '1'"),
                        query("SELECT 1"),
                        query("NOTIFY a, '2'"),
                        query("SELECT 2"),
                    ],
                    5,
                ),
                (
                    [
                        vec![parse("l", "LISTEN b")],
                        run("l"),
                        vec![sync()],
                        vec![parse("", "NOTIFY b, '3'")],
                        run(""),
                        vec![sync()],
                        run("l"),
                        vec![sync(), query("SELECT 3")],
                    ]
                    .concat(),
                    4,
                ),
                (
                    [
                        vec![parse("", "BEGIN")],
                        run(""),
                        vec![parse("", "LISTEN c")],
                        run(""),
                        vec![parse("", "COMMIT")],
                        run(""),
                        vec![sync(), query("NOTIFY c, '4'")],
                    ]
                    .concat(),
                    2,
                ),
                (
                    [
                        vec![parse("", "LISTEN d")],
                        run(""),
                        vec![parse("", "SELECT 1/0")],
                        run(""),
                        vec![sync(), query("NOTIFY d, '5'")],
                    ]
                    .concat(),
                    2,
                ),
            ],
        ),
        (
            "a prepared statement in a failed transaction",
            vec![
                (vec![parse("l", "LISTEN a"), sync()], 1),
                (vec![query("BEGIN")], 1),
                (vec![query("SELECT 1/0")], 1),
                ([run("l"), vec![sync()]].concat(), 1),
                (vec![parse("m", "LISTEN a"), sync()], 1),
                (vec![query("ROLLBACK")], 1),
                ([run("l"), vec![sync()]].concat(), 1),
                (vec![query("NOTIFY a, 'x'")], 1),
            ],
        ),
        (
            "beside a COPY",
            vec![
                (vec![query("CREATE TEMP TABLE t (a int)")], 1),
                (vec![query("LISTEN a")], 1),
                (vec![query("BEGIN")], 1),
                (vec![query("NOTIFY a, 'x'")], 1),
                (vec![query("COPY t FROM STDIN"), copy_data(b"1\n"), copy_done()], 1),
                (vec![query("COMMIT")], 1),
                (vec![query("NOTIFY a, 'y'; COPY t FROM STDIN"), copy_data(b"2\n"), copy_done()], 1),
                (vec![query("DROP TABLE t")], 1),
            ],
        ),
        (
            "payloads",
            q(&[
                "LISTEN a",
                &format!("SELECT pg_notify('a', '{}')", "p".repeat(7999)),
                &format!("SELECT pg_notify('a', '{}')", "p".repeat(8000)),
                "SELECT pg_notify('a', NULL)",
                "SELECT pg_notify('', 'x')",
            ]),
        ),
    ]
}

/// What came, with the processes by whether they are its own.
fn shown(messages: &[Message], own: u32) -> Vec<String> {
    let show = |message: &Message| {
        if message.tag == b'A' {
            let (pid, channel, payload) = notification(message);
            return format!("A(own: {}, {channel}, {payload})", pid == own);
        }
        format!("{message:?}")
    };
    messages.iter().map(show).collect()
}

fn compare(version: Version) {
    let alone = Cluster::shared(version).database(&format!("listen_alone_{}", version.major()));
    let database = Cluster::shared(version).database(&format!("listen_same_{}", version.major()));
    let howdah = Config::simple(2, &database).start();
    for (name, script) in scripts() {
        let mut direct = Wire::login(("127.0.0.1", alone.cluster.port), "app", &alone.name);
        let mut through = login(&howdah, &database);
        for (n, (frames, ready)) in script.iter().enumerate() {
            direct.send(frames);
            through.send(frames);
            let expected = shown(&direct.read_ready(*ready), own_pid(&direct));
            let got = shown(&through.read_ready(*ready), own_pid(&through));
            assert_eq!(got, expected, "PostgreSQL {}, {name}, step {n}", version.major());
        }
    }
    // Nothing of it stays with a server connection that others use.
    let mut other = login(&howdah, &database);
    assert_eq!(other.value("SELECT count(*) FROM pg_listening_channels()"), "0");
}

#[test]
fn as_on_postgres_14() {
    compare(Version::V14);
}

#[test]
fn as_on_postgres_15() {
    compare(Version::V15);
}

#[test]
fn as_on_postgres_18() {
    compare(Version::V18);
}

#[test]
fn notifications_wait_for_the_end_of_the_transaction() {
    let database = Cluster::shared(Version::V15).database("listen_waits");
    let howdah = Config::simple(3, &database).start();
    let (mut listener, mut other) = (login(&howdah, &database), login(&howdah, &database));
    listener.query("LISTEN a");
    listener.query("BEGIN");
    other.query("NOTIFY a, '1'");
    other.query("BEGIN; NOTIFY a, '2'");
    // One that listens too has heard the first: it is here.
    let mut witness = login(&howdah, &database);
    witness.query("LISTEN a");
    other.query("COMMIT");
    assert_eq!(heard(&mut witness), "2");
    assert_eq!(words(&listener.query("SELECT 1")), "T D C:SELECT 1 ZT");
    assert_eq!(words(&listener.query("COMMIT")), "C:COMMIT A:1 A:2 ZI");
    // UNLISTEN in the transaction: what came meanwhile does not count.
    listener.query("BEGIN; UNLISTEN a");
    other.query("NOTIFY a, '3'");
    assert_eq!(heard(&mut witness), "3");
    assert_eq!(words(&listener.query("COMMIT")), "C:COMMIT ZI");
}

#[test]
fn from_triggers_and_from_outside() {
    let database = Cluster::shared(Version::V15).database("listen_trigger");
    database.query(
        "CREATE TABLE jobs (name text);
         GRANT ALL ON jobs TO app;
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_notify('jobs', NEW.name); RETURN NEW; END $$;
         CREATE TRIGGER tell AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION tell();",
    );
    let howdah = Config::simple(1, &database).start();
    let (mut listener, mut other) = (login(&howdah, &database), login(&howdah, &database));
    listener.query("LISTEN jobs");
    other.query("INSERT INTO jobs VALUES ('one'), ('two')");
    assert_eq!([heard(&mut listener), heard(&mut listener)], ["one", "two"]);
    database.query("INSERT INTO jobs VALUES ('three')");
    database.query("NOTIFY jobs, 'four'");
    assert_eq!([heard(&mut listener), heard(&mut listener)], ["three", "four"]);
    // Its own, from a trigger: nobody knew that it notifies, so it comes when it comes.
    let mut messages = listener.query("INSERT INTO jobs VALUES ('five')");
    if !words(&messages).contains("A:five") {
        messages = vec![listener.read()];
    }
    assert!(words(&messages).contains("A:five"), "{messages:?}");
}

#[test]
fn behind_a_tenant() {
    let database = Cluster::shared(Version::V15).database("listen_tenant");
    let mut config = Config::new(2).database(&database).user("app");
    config.extra += "[tenancy]\nchannels = \"shared\"\n[tenants.\"*\"]\n";
    let howdah = config.start();
    let mut acme = Wire::login(("127.0.0.1", howdah.port), "app.acme", &database.name);
    let text = "SELECT current_setting('app.tenant_id'); LISTEN a; SELECT current_setting('app.tenant_id'); LISTEN b";
    assert_eq!(words(&acme.query(text)), "T D C:SELECT 1 C:LISTEN T D C:SELECT 1 C:LISTEN ZI");
    assert_eq!(words(&acme.query("NOTIFY b, 'x'")), "C:NOTIFY A:x ZI");
    let error = acme.query("SELECT 1; LISTEN a; SELECT \u{e4}; LISTEN b");
    assert_eq!(error[error.len() - 2].field(b'P').as_deref(), Some("28"));
    let error = acme.query("LISTEN a; LISTEN 5");
    assert_eq!(error[0].field(b'P').as_deref(), Some("18"));
    let batch = [parse("l", "LISTEN c"), bind("", "l", &[]), execute("", 0), sync()];
    assert_eq!(words(&acme.exchange(&batch)), "1 2 C:LISTEN ZI");
    let mut globex = Wire::login(("127.0.0.1", howdah.port), "app.globex", &database.name);
    globex.query("SELECT pg_notify('c', current_setting('app.tenant_id'))");
    assert_eq!(heard(&mut acme), "globex");
}

#[test]
fn session_mode_is_the_clients_own() {
    let database = Cluster::shared(Version::V15).database("listen_session");
    let howdah = Config::simple(2, &database).pool("pool_mode = \"session\"").start();
    let mut listener = login(&howdah, &database);
    listener.query("LISTEN a");
    assert_eq!(listener.value("SELECT count(*) FROM pg_listening_channels()"), "1");
    database.query("NOTIFY a, 'x'");
    assert_eq!(heard(&mut listener), "x");
    assert_eq!(gauge(&howdah, "howdah_listening_clients", &database), None);
}
