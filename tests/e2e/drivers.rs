//! Drivers through Howdah: each program runs several times at once over a few server connections, so
//! that its clients change servers from transaction to transaction.

use crate::support::howdah::direct_config;
use crate::support::{Cluster, Config, Database, Howdah, PASSWORD, Version, root, target_dir};
use futures_util::future::{join_all, try_join_all};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

fn drivers() -> PathBuf {
    root().join("tests/drivers")
}

/// A Python program of ours, with the drivers that `scripts/install-deps.sh` put there.
pub(crate) fn python(program: &str) -> Command {
    let interpreter = target_dir().join("venv/bin/python");
    assert!(interpreter.exists(), "no {}: run scripts/install-deps.sh", interpreter.display());
    let mut command = Command::new(interpreter);
    command.arg(drivers().join(program));
    command
}

/// As [`python`], for node.
pub(crate) fn node(program: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(drivers().join(program)).env("NODE_PATH", target_dir().join("node/node_modules"));
    command
}

fn script(program: &str) -> Command {
    Command::new(drivers().join(program))
}

fn spawn(command: Command, howdah: &Howdah, database: &str) -> Child {
    spawn_at(command, howdah.port, database)
}

/// Starts a program that connects to this port as `app`.
pub(crate) fn spawn_at(mut command: Command, port: u16, database: &str) -> Child {
    command
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port.to_string())
        .env("PGUSER", "app")
        .env("PGPASSWORD", PASSWORD)
        .env("PGDATABASE", database)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Fails, with what it wrote, if the program failed.
pub(crate) fn check(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "the driver's program failed ({}):\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// Runs the program `copies` times at once through a transaction pool of `size` server connections.
pub(crate) fn run_driver(name: &str, size: usize, copies: usize, command: impl Fn() -> Command) {
    let database = Cluster::shared(Version::V15).database(name);
    // All may keep one for a while: who finds none waits.
    let pins = format!("max_pinned_connections = {size}");
    let howdah = Config::simple(size, &database).pool(&pins).start();
    let children: Vec<_> = (0..copies).map(|_| spawn(command(), &howdah, name)).collect();
    let outputs: Vec<_> =
        children.into_iter().map(|child| child.wait_with_output().expect("output")).collect();
    outputs.iter().for_each(check);
    let connections = database.backends().len();
    // One more listens for all who do.
    assert!(connections <= size + 1, "{connections} server connections for a pool of {size}");
}

#[test]
fn psycopg() {
    run_driver("psycopg", 4, 2, || python("psycopg_test.py"));
}

#[test]
fn asyncpg() {
    run_driver("asyncpg", 3, 2, || python("asyncpg_test.py"));
}

#[test]
fn pg8000() {
    run_driver("pg8000", 2, 2, || python("pg8000_test.py"));
}

#[test]
fn node_postgres() {
    run_driver("node_postgres", 3, 2, || node("node_pg_test.js"));
}

#[test]
fn jdbc() {
    run_driver("jdbc", 4, 2, || {
        let mut command = Command::new("java");
        command.args(["-cp", "/usr/share/java/postgresql.jar"]).arg(drivers().join("Jdbc.java"));
        command
    });
}

#[test]
fn psql() {
    run_driver("psql", 2, 4, || script("psql_test.sh"));
}

#[test]
fn pgbench() {
    // One copy: it makes tables of fixed names. It has eight clients of its own.
    // A connection for each client: with -M prepared, pgbench 15 waits for each PREPARE without serving its
    // other clients, and those may hold all connections of a smaller pool in their transactions.
    run_driver("pgbench", 8, 1, || script("pgbench_test.sh"));
}

#[test]
fn pg_dump_and_pg_restore_in_session_mode() {
    let cluster = Cluster::shared(Version::V15);
    let (from, to) = (cluster.database("dump_from"), cluster.database("dump_to"));
    let howdah = Config::simple(8, &from).database(&to).pool("pool_mode = \"session\"").start();
    let mut command = script("pg_dump_test.sh");
    command.env("DUMP_TARGET", "dump_to");
    check(&spawn(command, &howdah, "dump_from").wait_with_output().expect("output"));
}

// --- tokio-postgres ----------------------------------------------------------------------------------

async fn connect(config: &tokio_postgres::Config) -> tokio_postgres::Client {
    let (client, connection) = config.connect(NoTls).await.expect("connect");
    tokio::spawn(connection);
    client
}

/// Futures polled together make tokio-postgres write their requests in one go.
async fn pipelined(config: &tokio_postgres::Config, number: i32) -> Result<(), tokio_postgres::Error> {
    let mut client = connect(config).await;
    let sum = client.prepare("SELECT $1::int4 + $2::int4").await?;
    for round in 0..20 {
        let rows = try_join_all((0..20).map(|n| {
            let (client, sum) = (&client, &sum);
            async move { client.query_one(sum, &[&n, &number]).await.map(|row| row.get::<_, i32>(0)) }
        }))
        .await?;
        assert_eq!(rows, (0..20).map(|n| n + number).collect::<Vec<_>>(), "round {round}");
    }
    let divide = client.prepare("SELECT 10 / $1::int4").await?;
    let results = join_all((0..10_i32).map(|n| {
        let (client, divide) = (&client, &divide);
        async move { client.query_one(divide, &[&(n % 5)]).await }
    }))
    .await;
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(row) => assert_eq!(row.get::<_, i32>(0), 10 / (n as i32 % 5)),
            Err(error) => {
                assert_eq!(n % 5, 0, "{error}");
                assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
            }
        }
    }
    portals(&mut client).await?;
    copies(&client, number).await
}

/// Portals with a row limit inside a transaction, two of them side by side.
async fn portals(client: &mut tokio_postgres::Client) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    let one = transaction.bind("SELECT n FROM generate_series(1, 20) n", &[]).await?;
    let two = transaction.bind("SELECT n FROM generate_series(101, 120) n", &[]).await?;
    for round in 0..4 {
        let both = (transaction.query_portal(&one, 5), transaction.query_portal(&two, 5));
        let (first, second) = futures_util::future::try_join(both.0, both.1).await?;
        assert_eq!(first[0].get::<_, i32>(0), round * 5 + 1);
        assert_eq!(second[0].get::<_, i32>(0), round * 5 + 101);
    }
    transaction.rollback().await
}

async fn copies(client: &tokio_postgres::Client, number: i32) -> Result<(), tokio_postgres::Error> {
    use futures_util::{SinkExt, TryStreamExt};
    let sink = client.copy_in("COPY copied FROM STDIN").await?;
    let mut sink = std::pin::pin!(sink);
    for n in 0..200 {
        sink.send(buffer(format!("{number}\t{n}\n"))).await?;
    }
    assert_eq!(sink.finish().await?, 200);
    let copied = format!("COPY (SELECT n FROM copied WHERE who = {number} ORDER BY n) TO STDOUT");
    let chunks: Vec<_> = client.copy_out(&copied).await?.try_collect().await?;
    let text = chunks.concat();
    let expected: String = (0..200).map(|n| format!("{n}\n")).collect();
    assert_eq!(String::from_utf8_lossy(&text), expected);
    // A sink that is dropped sends CopyFail.
    let dropped = client.copy_in::<_, std::io::Cursor<Vec<u8>>>("COPY copied FROM STDIN").await?;
    drop(dropped);
    let count = client.query_one("SELECT count(*) FROM copied WHERE who = $1", &[&number]).await?;
    assert_eq!(count.get::<_, i64>(0), 200);
    Ok(())
}

fn buffer(text: String) -> std::io::Cursor<Vec<u8>> {
    std::io::Cursor::new(text.into_bytes())
}

fn run_pipelined(config: &tokio_postgres::Config, clients: i32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let clients = (0..clients).map(|number| pipelined(config, number));
        try_join_all(clients).await.expect("a client failed");
    });
}

fn database_for_copies(version: Version, name: &str) -> Database<'static> {
    let database = Cluster::shared(version).database(name);
    database.query("CREATE TABLE copied (who int, n int); ALTER TABLE copied OWNER TO app");
    database
}

/// The yardstick: what the next test asks of Howdah, Postgres does.
#[test]
fn tokio_postgres_pipelined_directly() {
    let database = database_for_copies(Version::V15, "tokio_postgres_directly");
    run_pipelined(&direct_config(database.cluster, "app", &database.name), 12);
}

#[test]
fn tokio_postgres_pipelined() {
    for version in Version::ALL {
        let database = database_for_copies(version, "tokio_postgres");
        let howdah = Config::simple(3, &database).start();
        run_pipelined(&howdah.pg_config("app", &database.name), 12);
    }
}
