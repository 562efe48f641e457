//! The console by real clients: who gets in, and that it needs no server.

use crate::drivers::{check, node, python};
use crate::support::wire::tags;
use crate::support::{Cluster, Config, Howdah, Message, PASSWORD, Version, Wire, root};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

const ADMIN: &str = "[cache]\n[admin]\nusers = [\"postgres\"]\nstats_users = [\"app\"]\n";

/// A Howdah whose only server is not there.
fn console(extra: &str) -> Howdah {
    let mut config = Config::new(2).server("app", 1, "app", "").user("app").user("postgres").user("other");
    config.extra = format!("{ADMIN}{extra}");
    config.start()
}

fn login(howdah: &Howdah, user: &str, password: &str, database: &str) -> Result<Wire, Message> {
    Wire::try_login(howdah.address(), &[("user", user), ("database", database)], password)
}

fn psql(howdah: &Howdah, user: &str, text: &str) -> Output {
    let connection = format!("host=127.0.0.1 port={} user={user} dbname=howdah", howdah.port);
    let mut psql = Command::new(Version::V15.bin().join("psql"));
    psql.args([&connection, "-XAtc", text]).env("PGPASSWORD", PASSWORD).output().unwrap()
}

#[test]
fn who_is_listed_gets_in_and_nobody_else() {
    let howdah = console("");
    for database in ["howdah", "pgbouncer"] {
        for user in ["postgres", "app"] {
            let mut wire = login(&howdah, user, PASSWORD, database).unwrap();
            assert!(wire.value("SHOW VERSION").ends_with("/howdah"), "{user} {database}");
            assert_eq!(login(&howdah, user, "wrong", database).err().unwrap().sqlstate(), "28P01");
        }
        let refused = login(&howdah, "other", PASSWORD, database).err().unwrap();
        assert_eq!(refused.sqlstate(), "28000", "{refused:?}");
        // Not who is no user at all, and not before the password was right.
        assert_eq!(login(&howdah, "nobody", PASSWORD, database).err().unwrap().sqlstate(), "28P01");
        assert_eq!(login(&howdah, "other", "wrong", database).err().unwrap().sqlstate(), "28P01");
    }
    let mut looker = login(&howdah, "app", PASSWORD, "howdah").unwrap();
    let answer = looker.query("CACHE PURGE");
    assert_eq!((tags(&answer).as_str(), answer[0].sqlstate().as_str()), ("EZ", "42501"));
    let mut changer = login(&howdah, "postgres", PASSWORD, "howdah").unwrap();
    assert_eq!(tags(&changer.query("CACHE PURGE TABLE orders")), "CZ");
    howdah.wait_for_log("CACHE PURGE");
}

#[test]
fn without_admin_there_is_no_console() {
    let howdah = Config::new(2).server("app", 1, "app", "").user("app").start();
    assert_eq!(login(&howdah, "app", PASSWORD, "howdah").err().unwrap().sqlstate(), "28000");
}

#[test]
fn a_database_of_any_name_is_not_the_console() {
    let database = Cluster::shared(Version::V15).database("console_any");
    let mut config = Config::new(2).database_as("*", &database, "").user("app").user("postgres");
    config.extra = ADMIN.to_owned();
    let howdah = config.start();
    let mut wire = login(&howdah, "app", PASSWORD, "howdah").unwrap();
    assert_eq!(tags(&wire.query("SELECT 1")), "EZ");
    let mut wire = login(&howdah, "app", PASSWORD, "other").unwrap();
    assert_eq!(wire.value("SELECT current_database()"), "console_any");
}

#[test]
fn operators_have_no_place_among_clients() {
    let database = Cluster::shared(Version::V15).database("console_full");
    let mut config = Config::simple(1, &database).listen("max_client_conn = 1");
    config.extra = ADMIN.to_owned();
    let howdah = config.start();
    let mut client = login(&howdah, "app", PASSWORD, "console_full").unwrap();
    assert_eq!(tags(&client.query("BEGIN")), "CZ");
    assert_eq!(login(&howdah, "app", PASSWORD, "console_full").err().unwrap().sqlstate(), "53300");
    // Every place is taken, and every server connection.
    let mut operators: Vec<Wire> =
        (0..64).map(|_| login(&howdah, "postgres", PASSWORD, "howdah").unwrap()).collect();
    assert_eq!(login(&howdah, "postgres", PASSWORD, "howdah").err().unwrap().sqlstate(), "53300");
    assert!(operators[63].value("SHOW VERSION").ends_with("/howdah"));
    operators.clear();
    crate::support::wait_until("a place is free", || login(&howdah, "postgres", PASSWORD, "howdah").is_ok());
    assert_eq!(howdah.metric("howdah_clients "), Some(1.0));
}

#[test]
fn tenants_do_not_matter_to_it() {
    let howdah = console("[tenancy]\n[tenants.acme]\n");
    for (user, database) in [("postgres", "howdah"), ("postgres.acme", "howdah"), ("postgres", "howdah@acme")]
    {
        let mut wire = login(&howdah, user, PASSWORD, database).unwrap();
        assert_eq!(tags(&wire.query("SHOW CACHE")), "TCZ", "{user} {database}");
    }
}

#[test]
fn psql_talks_to_it() {
    let howdah = console("");
    let output = psql(&howdah, "app", "SHOW HELP");
    check(&output);
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("SHOW VERSION|the version of Howdah"),
        "{output:?}"
    );
    let output = psql(&howdah, "postgres", "CACHE PURGE TAG x; SHOW VERSION");
    check(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("CACHE PURGE 0"), "{output:?}");
    let output = psql(&howdah, "app", "SELECT 1");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("SHOW HELP lists the commands"), "{output:?}");
}

/// Runs a program of a driver on the console.
fn run(howdah: &Howdah, mut program: Command) {
    program.env("PGHOST", "127.0.0.1").env("PGPORT", howdah.port.to_string());
    program.env("PGUSER", "postgres").env("PGPASSWORD", PASSWORD).env("PGDATABASE", "howdah");
    check(&program.output().unwrap());
}

#[test]
fn psycopg_talks_to_it() {
    run(&console(""), python("console_psycopg.py"));
}

#[test]
fn asyncpg_talks_to_it() {
    run(&console(""), python("console_asyncpg.py"));
}

#[test]
fn node_postgres_talks_to_it() {
    run(&console(""), node("console_node.js"));
}

#[test]
fn jdbc_talks_to_it() {
    let mut java = Command::new("java");
    java.args(["-cp", "/usr/share/java/postgresql.jar"]).arg(root().join("tests/drivers/ConsoleJdbc.java"));
    run(&console(""), java);
}

#[test]
fn psql_watches_it_and_separates_by_tabs() {
    let howdah = console("");
    let connection = format!("host=127.0.0.1 port={} user=app dbname=pgbouncer", howdah.port);
    let psql = || {
        let mut psql = Command::new(Version::V15.bin().join("psql"));
        psql.arg(&connection).arg("-X").env("PGPASSWORD", PASSWORD);
        psql
    };
    let output = psql().args(["-AtF", "\t", "-c", "SHOW STATE"]).output().unwrap();
    check(&output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "active\tyes\npaused\tno\nsuspended\tno\n");
    let output = psql()
        .args(["--csv", "-c", "SHOW LISTS WHERE list LIKE 'd%' ORDER BY items DESC LIMIT 1"])
        .output()
        .unwrap();
    check(&output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "list,items\ndatabases,1\n");
    let mut watching = psql();
    watching.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watching = watching.spawn().unwrap();
    watching.stdin.take().unwrap().write_all(b"SHOW STATE \\watch 0.05\n").unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines().map_while(Result::ok);
    let seen = lines.filter(|line| line.contains("suspended")).take(3).count();
    watching.kill().unwrap();
    let ended = watching.wait_with_output().unwrap();
    assert_eq!(seen, 3, "{}", String::from_utf8_lossy(&ended.stderr));
}

#[tokio::test]
async fn tokio_postgres_talks_to_it() {
    let howdah = console("");
    let (client, connection) = howdah.pg_config("app", "howdah").connect(NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let row = client.query_one("SHOW VERSION", &[]).await.unwrap();
    assert!(row.get::<_, String>("version").ends_with("/howdah"));
    let statement = client.prepare("SHOW CACHE").await.unwrap();
    assert_eq!(statement.columns()[4].name(), "hits");
    assert_eq!(client.query(&statement, &[]).await.unwrap().len(), 0);
    let error = client.query("SHOW NOTHING", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::SYNTAX_ERROR));
    assert_eq!(client.execute("SHOW HELP", &[]).await.unwrap(), 0);
    drop(client);
    connection.await.unwrap().unwrap();
}

#[test]
fn messages_that_are_no_commands_end_it_cleanly() {
    let howdah = console("");
    let open = || login(&howdah, "app", PASSWORD, "howdah").unwrap();
    let mut wire = open();
    wire.send(&[crate::support::wire::query(&"x".repeat(70_000))]);
    assert_eq!(wire.read().sqlstate(), "54000");
    let mut wire = open();
    wire.send(&[b"?\0\0\0\x04".to_vec()]);
    assert_eq!(wire.read().sqlstate(), "08P01");
    // And leaves the others alone.
    assert!(open().value("SHOW VERSION").ends_with("/howdah"));
}
