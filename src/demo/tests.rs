//! Needs a Postgres, as all of `make test` does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::{DATABASE, Error, Options, PASSWORD, USER, find_programs, run};
use std::path::{Path, PathBuf};

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

#[test]
fn a_folder_without_programs_is_refused() {
    let given = Path::new("/nowhere");
    assert!(matches!(find_programs(Some(given), &target()), Err(Error::NotPrograms(_))));
}

/// The sample through the very configuration that the demo writes: each tenant sees its own orders, and
/// nobody without a tenant sees any.
#[test]
fn tenants_are_apart_and_nothing_stays() {
    let options = Options { port: 0, postgres_bin: None, target: target() };
    let folder = run(&options, |file| {
        let tenancy = crate::config::load(file).unwrap().tenancy.unwrap();
        assert_eq!((tenancy.setting.as_str(), tenancy.tenants.len()), ("app.tenant_id", 3));
        let text = std::fs::read_to_string(file).unwrap();
        let after = text.split("host = \"127.0.0.1\"\nport = ").nth(1).unwrap();
        let port: u16 = after.lines().next().unwrap().parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let orders = runtime.block_on(count_orders(port));
        assert_eq!(orders, [("", 0), ("acme", 36), ("globex", 48), ("initech", 60), ("", 0)]);
        file.parent().unwrap().to_path_buf()
    });
    assert!(!folder.expect("a demo").exists());
}

async fn count_orders(port: u16) -> Vec<(&'static str, i64)> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(USER).password(PASSWORD).dbname(DATABASE);
    let (mut client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut counts = Vec::new();
    for tenant in ["", "acme", "globex", "initech", ""] {
        let transaction = client.transaction().await.unwrap();
        if !tenant.is_empty() {
            let set = "SELECT set_config('app.tenant_id', $1, true)";
            transaction.execute(set, &[&tenant]).await.unwrap();
        }
        let row = transaction.query_one("SELECT count(*) FROM orders", &[]).await.unwrap();
        counts.push((tenant, row.get(0)));
        transaction.commit().await.unwrap();
    }
    drop(client);
    driver.await.unwrap().unwrap();
    counts
}
