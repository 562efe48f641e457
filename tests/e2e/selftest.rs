//! The test support itself, against a real server: what it says must be true before a proxy is blamed.

use crate::support::fake::one_row;
use crate::support::wire::{query, tags};
use crate::support::{Cluster, FakeBackend, Version, Wire, wait_until};
use std::process::{Command, Stdio};

#[test]
fn every_version_runs_and_every_role_logs_in() {
    for version in Version::ALL {
        let cluster = Cluster::shared(version);
        let database = cluster.database("selftest");
        assert!(database.value("SHOW server_version").starts_with(&version.major().to_string()));
        for user in ["postgres", "app", "app_md5", "app_plain", "app_trust"] {
            let mut wire = Wire::login(("127.0.0.1", cluster.port), user, "selftest");
            assert_eq!(wire.value("SELECT current_user"), user);
        }
        let refused = Wire::try_login(
            ("127.0.0.1", cluster.port),
            &[("user", "app"), ("database", "selftest")],
            "wrong",
        );
        assert_eq!(refused.err().map(|error| error.sqlstate()).as_deref(), Some("28P01"));
    }
}

#[test]
fn a_cluster_stops_and_starts_again_and_vanishes() {
    let cluster = Cluster::start(Version::V15);
    let folder = cluster.socket_dir().to_path_buf();
    cluster.query("postgres", "CREATE TABLE kept (n int)");
    cluster.stop();
    assert!(cluster.try_query("postgres", "SELECT 1").is_err());
    cluster.restart();
    cluster.kill9();
    cluster.restart();
    assert_eq!(cluster.value("postgres", "SELECT count(*) FROM kept"), "0");
    drop(cluster);
    assert!(!folder.exists());
}

/// Not a test by itself: [`nothing_survives_a_killed_test`] runs it in a process of its own and kills that.
#[test]
fn helper_that_waits_with_a_cluster() {
    if std::env::var_os("HOWDAH_TEST_WAITS").is_some() {
        let cluster = Cluster::start(Version::V15);
        println!("folder={}", cluster.socket_dir().display());
        std::thread::sleep(crate::support::PATIENCE * 10);
    }
}

#[test]
fn nothing_survives_a_killed_test() {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "selftest::helper_that_waits_with_a_cluster", "--nocapture"])
        .env("HOWDAH_TEST_WAITS", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let folder = lines.filter_map(|line| line.split_once("folder=").map(|(_, folder)| folder.to_owned()));
    let folder = std::path::PathBuf::from(folder.take(1).next().unwrap());
    let pid_file = folder.join("data/postmaster.pid");
    let pid = std::fs::read_to_string(pid_file).unwrap().lines().next().unwrap().to_owned();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the server is gone", || !std::path::Path::new("/proc").join(&pid).exists());
    wait_until("its folder is gone", || !folder.exists());
}

#[test]
fn a_fake_backend_answers() {
    let fake = FakeBackend::trusting(|mut session, _| {
        while let Some(batch) = session.read_batch() {
            assert_eq!(batch[0].tag, b'Q');
            session.send(&one_row("hello"));
        }
    });
    let mut wire = Wire::login(("127.0.0.1", fake.port), "app", "fake");
    let messages = wire.exchange(&[query("anything")]);
    assert_eq!(tags(&messages), "TDCZ");
    assert_eq!(messages[1].row(), [Some("hello".to_owned())]);
    assert_eq!(fake.connections(), 1);
}
