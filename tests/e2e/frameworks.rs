//! Drivers as frameworks use them, in transaction mode: sessions with settings, levels, cursors, locks and channels of
//! their own, more of them than server connections. Each program knows what each of its clients must see, so that
//! the state of one in another fails it. Each also runs on Postgres itself, which is the yardstick.

use crate::drivers::{check, node, python, run_driver, spawn_at};
use crate::support::howdah::direct_config;
use crate::support::{Cluster, Config, Database, Version};
use futures_util::future::{join_all, try_join_all};
use std::process::Command;
use tokio_postgres::error::SqlState;
use tokio_postgres::{NoTls, SimpleQueryMessage, Statement};

/// Runs the program on Postgres itself, and twice at once through a pool of `size` server connections.
fn run(name: &str, size: usize, command: impl Fn() -> Command) {
    let directly = Cluster::shared(Version::V15).database(&format!("{name}_directly"));
    let child = spawn_at(command(), directly.cluster.port, &directly.name);
    check(&child.wait_with_output().expect("output"));
    run_driver(name, size, 2, command);
}

#[test]
fn like_rails() {
    run("like_rails", 1, || python("rails_like.py"));
}

#[test]
fn like_django() {
    run("like_django", 3, || python("django_like.py"));
}

#[test]
fn like_sqlalchemy() {
    run("like_sqlalchemy", 2, || python("sqlalchemy_like.py"));
}

#[test]
fn listen_with_psycopg() {
    run("listen_with_psycopg", 2, || python("listen_psycopg.py"));
}

#[test]
fn asyncpg_and_its_pool() {
    run("asyncpg_and_its_pool", 3, || python("asyncpg_pool.py"));
}

#[test]
fn like_prisma() {
    run("like_prisma", 3, || node("prisma_like.js"));
}

#[test]
fn jdbc_with_autosave() {
    run("jdbc_with_autosave", 2, || {
        let mut command = Command::new("java");
        let program = crate::support::root().join("tests/drivers/JdbcFramework.java");
        command.args(["-cp", "/usr/share/java/postgresql.jar"]).arg(program);
        command
    });
}

// --- many queries in flight, as npgsql multiplexes them ----------------------------------------------

/// What one client sets when it connects, and must see ever after.
struct Own {
    number: i32,
    zone: String,
    timeout: String,
}

impl Own {
    fn new(number: i32) -> Self {
        Self { number, zone: format!("Etc/GMT-{}", number % 12), timeout: format!("{}min", number + 7) }
    }

    fn settings(&self) -> String {
        let Self { number, zone, timeout } = self;
        format!(
            "SET TimeZone = '{zone}'; SET statement_timeout = '{timeout}'; SET \"my.number\" = '{number}'"
        )
    }
}

const SEEN: &str = "SELECT $1::int4, current_setting('TimeZone'), current_setting('statement_timeout'), \
    current_setting('my.number')";

async fn client(config: &tokio_postgres::Config, number: i32) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    let own = Own::new(number);
    client.batch_execute(&own.settings()).await?;
    let seen = client.prepare(SEEN).await?;
    for _ in 0..15 {
        try_join_all((0..40).map(|n| look(&client, &seen, &own, n))).await?;
        let divide = client.prepare("SELECT 10 / $1::int4").await?;
        let results = join_all((0..6_i32).map(|n| {
            let (client, divide) = (&client, &divide);
            async move { client.query_one(divide, &[&(n % 3)]).await.map(|row| row.get::<_, i32>(0)) }
        }));
        for (n, result) in results.await.into_iter().enumerate() {
            match result {
                Ok(got) => assert_eq!(got, 10 / (n as i32 % 3)),
                Err(error) => assert_eq!((n % 3, error.code()), (0, Some(&SqlState::DIVISION_BY_ZERO))),
            }
        }
        transaction(&client, &own).await?;
    }
    Ok(())
}

async fn look(
    client: &tokio_postgres::Client,
    seen: &Statement,
    own: &Own,
    n: i32,
) -> Result<(), tokio_postgres::Error> {
    let row = client.query_one(seen, &[&n]).await?;
    let got: (i32, String, String, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!(got, (n, own.zone.clone(), own.timeout.clone(), own.number.to_string()));
    Ok(())
}

/// All of a transaction in one flight: what is set in it holds in it alone.
async fn transaction(client: &tokio_postgres::Client, own: &Own) -> Result<(), tokio_postgres::Error> {
    let set = format!("SET LOCAL \"my.number\" = 'local {}'", own.number);
    let (_, _, messages, _) = futures_util::future::try_join4(
        client.batch_execute("BEGIN"),
        client.batch_execute(&set),
        client.simple_query("SELECT current_setting('my.number')"),
        client.batch_execute("COMMIT"),
    )
    .await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(row, Some(format!("local {}", own.number).as_str()));
    Ok(())
}

fn multiplexed(config: &tokio_postgres::Config) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        try_join_all((0..16).map(|number| client(config, number))).await.expect("a client failed");
    });
}

fn database(name: &str) -> Database<'static> {
    Cluster::shared(Version::V15).database(name)
}

#[test]
fn multiplexed_directly() {
    let database = database("multiplexed_directly");
    multiplexed(&direct_config(database.cluster, "app", &database.name));
}

#[test]
fn multiplexed_like_npgsql() {
    let database = database("multiplexed");
    let howdah = Config::simple(3, &database).start();
    multiplexed(&howdah.pg_config("app", &database.name));
}
