//! Replication connections: PostgreSQL's own programs through Howdah, and what becomes of such a connection when
//! somebody cancels, shuts down, or dies.

use crate::support::howdah::Howdah;
use crate::support::watchdog::signal;
use crate::support::wire::{Message, Wire, query, tags};
use crate::support::{Cluster, Config, Database, PASSWORD, Version, wait_until};
use std::net::Shutdown;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

const SETTINGS: &str = "wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\n";

fn started() -> Cluster {
    let cluster = Cluster::start_with(Version::V15, SETTINGS);
    cluster
        .query("postgres", &format!("CREATE ROLE streamer LOGIN REPLICATION PASSWORD '{PASSWORD}' CREATEDB"));
    cluster
}

/// A server that replicates. It lives as long as the process.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(started)
}

fn config(database: &Database<'_>) -> Config {
    Config::new(2).database(database).user("app").user("streamer")
}

fn parameters<'a>(database: &'a str, replication: &'a str) -> [(&'static str, &'a str); 3] {
    [("user", "streamer"), ("database", database), ("replication", replication)]
}

fn login(howdah: &Howdah, database: &str, replication: &str) -> Wire {
    Wire::login_with(howdah.address(), &parameters(database, replication))
}

#[track_caller]
fn refused(howdah: &Howdah, parameters: &[(&str, &str)], sqlstate: &str) -> Message {
    let error = Wire::try_login(howdah.address(), parameters, PASSWORD).err().expect("refused");
    assert_eq!(error.sqlstate(), sqlstate, "{error:?}");
    assert_eq!(error.field(b'V').as_deref(), Some("FATAL"), "{error:?}");
    error
}

fn open(howdah: &Howdah) -> f64 {
    howdah.metric("howdah_replication_connections{").unwrap_or(0.0)
}

fn program(name: &str, howdah: &Howdah, arguments: &[&str]) -> Command {
    let mut command = Command::new(Version::V15.bin().join(name));
    command
        .args(["-h", "127.0.0.1", "-p", &howdah.port.to_string(), "-U", "streamer", "-w"])
        .args(arguments)
        .env("PGPASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[track_caller]
fn check(output: &Output) {
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn run(mut command: Command) {
    check(&command.output().expect("a program"));
}

/// Ends a program that would go on for ever; it must say that all is well.
#[track_caller]
fn interrupt(child: Child) {
    signal(child.id(), "INT");
    check(&child.wait_with_output().expect("output"));
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// A logical stream of the slot, which is made for it.
fn stream(wire: &mut Wire, slot: &str) {
    let made = wire.query(&format!("CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL test_decoding"));
    assert_eq!(tags(&made), "TDCZ", "{made:?}");
    wire.send(&[query(&format!("START_REPLICATION SLOT {slot} LOGICAL 0/0"))]);
    assert_eq!(wire.read().tag, b'W');
}

/// Reads a stream until this text comes by.
fn read_until_text(wire: &mut Wire, text: &str) {
    while !wire.read_until(b'd').iter().any(|m| m.body.windows(text.len()).any(|w| w == text.as_bytes())) {}
}

fn wait_until_closed(howdah: &Howdah) {
    wait_until("no replication connection is open", || open(howdah) == 0.0);
}

#[test]
fn pg_basebackup_makes_a_backup_that_verifies() {
    let database = cluster().database("repl_backup");
    database.query("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)");
    // Only the verifier is known: the login at the server is with the keys of the client's own.
    let stored = cluster().value("postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'streamer'");
    let howdah =
        Config::new(2).database(&database).user_with("streamer", &format!("password = \"{stored}\"")).start();
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("backup");
    let options = ["-D", path(&backup), "-X", "stream", "-c", "fast", "--no-sync"];
    run(program("pg_basebackup", &howdah, &options));
    let mut verify = Command::new(Version::V15.bin().join("pg_verifybackup"));
    verify.arg(&backup);
    run(verify);
    assert!(howdah.metric("howdah_replication_connections_total{database=\"repl_backup\"}").unwrap() >= 2.0);
    wait_until_closed(&howdah);
    wait_until("no client is left", || howdah.metric("howdah_clients") == Some(0.0));
}

#[test]
fn pg_receivewal_receives_whole_segments() {
    let database = cluster().database("repl_receive");
    let howdah = config(&database).start();
    run(program("pg_receivewal", &howdah, &["--slot", "receive", "--create-slot"]));
    let dir = tempfile::tempdir().unwrap();
    let options = ["-D", path(dir.path()), "--slot", "receive", "--synchronous", "--no-loop"];
    let child = program("pg_receivewal", &howdah, &options).spawn().unwrap();
    let shown = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_receivewal'";
    wait_until("it streams", || database.value(shown) == "1");
    assert_eq!(open(&howdah), 1.0);
    database.query("CREATE TABLE t AS SELECT 1; SELECT pg_switch_wal()");
    wait_until("a segment is there", || {
        let files = std::fs::read_dir(dir.path()).unwrap();
        files.filter_map(Result::ok).any(|file| file.file_name().len() == 24)
    });
    interrupt(child);
    wait_until_closed(&howdah);
    run(program("pg_receivewal", &howdah, &["--slot", "receive", "--drop-slot"]));
}

#[test]
fn pg_recvlogical_receives_changes() {
    let database = cluster().database("repl_logical");
    database.query("CREATE TABLE t (v text)");
    let howdah = config(&database).start();
    let of = |more: &[&str]| {
        let slot = ["-d", "repl_logical", "--slot", "logical"];
        program("pg_recvlogical", &howdah, &[&slot[..], more].concat())
    };
    run(of(&["--create-slot", "-P", "test_decoding"]));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("changes");
    let child = of(&["--start", "-f", path(&file), "--no-loop", "-F", "0"]).spawn().unwrap();
    // Changes before it streams and after, and one that is longer than any buffer.
    database.query("INSERT INTO t VALUES ('first')");
    let seen = |text: &str| std::fs::read_to_string(&file).unwrap_or_default().contains(text);
    wait_until("the first change is there", || seen("'first'"));
    database.query("INSERT INTO t VALUES (repeat('long', 500000)), ('last')");
    wait_until("the last change is there", || seen("'last'"));
    assert!(seen(&"long".repeat(500_000)));
    interrupt(child);
    run(of(&["--drop-slot"]));
}

#[test]
fn psql_sends_replication_commands_and_sql() {
    let database = cluster().database("repl_psql");
    let howdah = config(&database).start();
    let ask = |replication: &str, sql: &str| {
        let connection = format!(
            "host=127.0.0.1 port={} user=streamer dbname=repl_psql replication={replication}",
            howdah.port
        );
        let mut psql = Command::new(Version::V15.bin().join("psql"));
        let output = psql.args([&connection, "-XAtc", sql]).env("PGPASSWORD", PASSWORD).output().unwrap();
        check(&output);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let system = cluster().value("postgres", "SELECT system_identifier FROM pg_control_system()");
    for (replication, name) in [("database", "repl_psql"), ("true", ""), ("on", "")] {
        let identified = ask(replication, "IDENTIFY_SYSTEM");
        let fields: Vec<&str> = identified.split('|').collect();
        assert_eq!((fields[0], fields[3]), (&*system, name), "{identified}");
    }
    assert_eq!(ask("database", "SELECT current_database() || session_user"), "repl_psqlstreamer");
    assert_eq!(ask("off", "SELECT 1"), "1");
}

#[test]
fn startup_parameters_are_the_servers_to_judge() {
    let database = cluster().database("repl_startup");
    let howdah = config(&database).start();
    let server = ("127.0.0.1", cluster().port);
    let with = |more: &[(&'static str, &'static str)]| {
        let mut all = parameters("repl_startup", "database").to_vec();
        all.extend_from_slice(more);
        all
    };
    let asked = with(&[
        ("application_name", "a slot's \\ reader"),
        ("TimeZone", "Asia/Tokyo"),
        ("options", "-c my.own=a\\ b\\\\c --my.empty= -c work_mem=3MB"),
    ]);
    let (mut direct, mut through) =
        (Wire::login_with(server, &asked), Wire::login_with(howdah.address(), &asked));
    assert_eq!(through.parameters, direct.parameters);
    assert_eq!(through.parameters["application_name"], "a slot's \\ reader");
    for name in ["my.own", "my.empty", "work_mem", "TimeZone"] {
        let sql = format!("SELECT current_setting('{name}')");
        assert_eq!(through.value(&sql), direct.value(&sql), "{name}");
    }
    assert_eq!(through.value("SELECT current_setting('my.own')"), "a b\\c");
    // None of them can take the place of what Howdah itself says in the startup packet.
    let cases = [
        ("options", "-c user=postgres", "42704"),
        ("options", "-c database=postgres", "42704"),
        ("options", "-c replication=false", "42704"),
        ("work_mem", "much", "22023"),
        ("no_such_setting", "1", "42704"),
    ];
    for (name, value, sqlstate) in cases {
        let asked = with(&[(name, value)]);
        let error = refused(&howdah, &asked, sqlstate);
        let directly = Wire::try_login(server, &asked, PASSWORD).err().unwrap();
        assert_eq!(error.field(b'M'), directly.field(b'M'), "{value}");
    }
}

#[test]
fn who_may_not_replicate_is_told_why() {
    let (database, other) = (cluster().database("repl_who"), cluster().database("repl_other"));
    let howdah = config(&database).start();
    for replication in ["true", "database"] {
        let app = [("user", "app"), ("database", "repl_who"), ("replication", replication)];
        let error = refused(&howdah, &app, "42501");
        let direct = Wire::try_login(("127.0.0.1", cluster().port), &app, PASSWORD).err().unwrap();
        assert_eq!(error.field(b'M'), direct.field(b'M'));
        let parameters = parameters("repl_who", replication);
        let error = Wire::try_login(howdah.address(), &parameters, "wrong").err().unwrap();
        assert_eq!(error.sqlstate(), "28P01");
    }
    refused(&howdah, &parameters("repl_who", "perhaps"), "22023");
    refused(&howdah, &parameters("replication", "database"), "3D000");
    refused(&howdah, &parameters("pgbouncer", "true"), "3D000");

    // With several databases it must be clear whose server is meant; and who may not use it, may not this way.
    let several = config(&database).database(&other);
    let howdah = several.clone().start();
    let error = refused(&howdah, &parameters("replication", "true"), "3D000");
    assert!(error.field(b'H').unwrap().contains("[databases.replication]"), "{error:?}");
    login(&howdah, "repl_other", "true").query("IDENTIFY_SYSTEM");
    let named = several
        .database_as("replication", &database, "")
        .user_with("narrow", &format!("password = \"{PASSWORD}\"\ndatabases = [\"repl_who\"]"));
    let howdah = named.start();
    login(&howdah, "replication", "true").query("IDENTIFY_SYSTEM");
    let narrow = [("user", "narrow"), ("database", "replication"), ("replication", "true")];
    refused(&howdah, &narrow, "28000");
}

#[test]
fn logins_with_a_tenant_get_no_replication_connection() {
    let database = cluster().database("repl_tenant");
    let mut config = Config::new(2)
        .database_as("repl_tenant", &database, &format!("user = \"streamer\"\npassword = \"{PASSWORD}\""))
        .user("streamer")
        .user_with("one", &format!("password = \"{PASSWORD}\"\ntenant = \"acme\""))
        .user_with("admin", &format!("password = \"{PASSWORD}\"\ntenant = \"none\""))
        .user_with("reader", &format!("password = \"{PASSWORD}\"\ntenant = \"none\"\nrole = \"app\""));
    config.extra += "[tenancy]\n[tenants.\"*\"]\n";
    let howdah = config.start();
    for replication in ["true", "database"] {
        for user in ["streamer", "streamer.acme", "one", "reader"] {
            let asked = [("user", user), ("database", "repl_tenant"), ("replication", replication)];
            let error = refused(&howdah, &asked, "42501");
            assert!(error.field(b'H').is_some(), "{error:?}");
        }
        let asked = [("user", "admin"), ("database", "repl_tenant"), ("replication", replication)];
        let identified = Wire::login_with(howdah.address(), &asked).query("IDENTIFY_SYSTEM");
        assert_eq!(tags(&identified), "TDCZ");
        let asked = [("user", "admin.acme"), ("database", "repl_tenant"), ("replication", replication)];
        refused(&howdah, &asked, "28000");
    }
}

#[test]
fn a_cancel_reaches_the_replication_connection() {
    let database = cluster().database("repl_cancel");
    let howdah = config(&database).start();
    let mut wire = login(&howdah, "repl_cancel", "database");
    wire.send(&[query("SELECT pg_sleep(60)")]);
    wait_until("the query runs", || {
        database.value(
            "SELECT count(*) FROM pg_stat_activity
             WHERE query = 'SELECT pg_sleep(60)' AND state = 'active' AND datname = 'repl_cancel'",
        ) == "1"
    });
    wire.cancel(howdah.address());
    let answer = wire.read_until(b'Z');
    assert_eq!(answer.iter().find(|m| m.tag == b'E').unwrap().sqlstate(), "57014", "{answer:?}");
    // A stream ends by a cancel too, and the connection goes on.
    stream(&mut wire, "repl_cancel");
    wire.cancel(howdah.address());
    let answer = wire.read_until(b'Z');
    assert_eq!(answer.iter().find(|m| m.tag == b'E').unwrap().sqlstate(), "57014", "{answer:?}");
    assert_eq!(wire.value("SELECT 1"), "1");
}

#[test]
fn a_shutdown_ends_resting_ones_at_once_and_streams_after_its_timeout() {
    let database = cluster().database("repl_shutdown");
    database.query("CREATE TABLE t (v text)");
    let mut howdah = config(&database).listen("shutdown_timeout = \"2s\"").start();
    let (mut resting, mut streaming) =
        (login(&howdah, "repl_shutdown", "true"), login(&howdah, "repl_shutdown", "database"));
    assert_eq!(tags(&resting.query("IDENTIFY_SYSTEM")), "TDCZ");
    stream(&mut streaming, "repl_shutdown");
    howdah.sigterm();
    let end = resting.read_to_end();
    assert_eq!((tags(&end).as_str(), end[0].sqlstate().as_str()), ("E", "57P01"));
    database.query("INSERT INTO t VALUES ('while it drains')");
    read_until_text(&mut streaming, "while it drains");
    let end = streaming.read_to_end();
    let last = end.last().unwrap();
    assert_eq!((last.tag, last.sqlstate().as_str()), (b'E', "57P01"), "{end:?}");
    assert!(howdah.wait().success());
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'repl_shutdown' AND backend_type = 'walsender'";
    wait_until("the server has ended them", || cluster().value("postgres", left) == "0");
}

#[test]
fn a_server_that_dies_ends_the_stream_and_nothing_else() {
    let cluster = started();
    let database = cluster.database("repl_dies");
    database.query("CREATE TABLE t (v text)");
    let mut howdah = config(&database).start();
    let mut wire = login(&howdah, "repl_dies", "database");
    stream(&mut wire, "repl_dies");
    database.query("INSERT INTO t VALUES ('before')");
    read_until_text(&mut wire, "'before'");
    // Only this server process: its last words are the client's.
    cluster.query(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'",
    );
    assert_eq!(wire.read_to_end().last().unwrap().sqlstate(), "57P01");
    let mut wire = login(&howdah, "repl_dies", "database");
    stream(&mut wire, "repl_dies");
    cluster.crash();
    wire.read_to_end();
    wait_until_closed(&howdah);
    assert!(howdah.is_running());
    refused(&howdah, &parameters("repl_dies", "true"), "57P03");
    cluster.restart();
    assert_eq!(tags(&login(&howdah, "repl_dies", "true").query("IDENTIFY_SYSTEM")), "TDCZ");
}

#[test]
fn a_client_that_closes_frees_its_places() {
    let database = cluster().database("repl_places");
    let howdah = config(&database).pool("max_db_connections = 1").listen("max_client_conn = 2").start();
    // A resting server connection of a pool makes room.
    let mut ordinary = Wire::login(howdah.address(), "app", "repl_places");
    assert_eq!(ordinary.value("SELECT 1"), "1");
    let mut first = login(&howdah, "repl_places", "true");
    let refusal = refused(&howdah, &parameters("repl_places", "true"), "53300");
    assert!(refusal.field(b'H').unwrap().contains("max_client_conn"), "{refusal:?}");
    drop(ordinary);
    wait_until("it has left", || howdah.metric("howdah_clients") == Some(1.0));
    let refusal = refused(&howdah, &parameters("repl_places", "database"), "53300");
    assert!(refusal.field(b'H').unwrap().contains("max_db_connections"), "{refusal:?}");

    // What it asked before it closed its side is answered.
    first.send(&[query("IDENTIFY_SYSTEM")]);
    first.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(tags(&first.read_to_end()), "TDCZ");
    wait_until_closed(&howdah);
    let mut ordinary = Wire::login(howdah.address(), "app", "repl_places");
    assert_eq!(ordinary.value("SELECT 2"), "2");
}

#[test]
fn tls_to_the_server_is_as_for_other_connections() {
    let database = cluster().database("repl_tls");
    let encrypted = "[databases.encrypted.tls]\nmode = \"require\"";
    let plain = "[databases.plain.tls]\nmode = \"disable\"";
    let howdah = config(&database)
        .database_as("encrypted", &database, encrypted)
        .database_as("plain", &database, plain)
        .start();
    let ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let mut wire = login(&howdah, "encrypted", "database");
    assert_eq!(wire.value(ssl), "t");
    database.query("CREATE TABLE t (v text)");
    stream(&mut wire, "repl_tls");
    database.query("INSERT INTO t VALUES (repeat('x', 300000) || 'over TLS')");
    read_until_text(&mut wire, "over TLS");
    assert_eq!(login(&howdah, "plain", "database").value(ssl), "f");
}
