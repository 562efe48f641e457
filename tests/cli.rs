//! The program's subcommands and exit codes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use assert_cmd::Command;

fn howdah() -> Command {
    Command::new(env!("CARGO_BIN_EXE_howdah"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_valid_configuration_is_described_without_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("howdah.toml");
    fs::write(
        &file,
        "[databases.app]\nhost = \"127.0.0.1\"\npassword = \"hush\"\n[users.me]\npassword = \"quiet\"\n",
    )
    .unwrap();
    let output = howdah().arg("check").arg("-c").arg(&file).output().unwrap();
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(shown.contains("databases.app") && shown.contains("users.me"), "{shown}");
    assert!(!shown.contains("hush") && !shown.contains("quiet"), "{shown}");
}

#[test]
fn a_mistake_is_shown_with_its_place_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("howdah.toml");
    fs::write(&file, "[pool]\ndefualt_pool_size = 20\n").unwrap();
    for command in ["check", "run"] {
        let output = howdah().arg(command).arg("-c").arg(&file).output().unwrap();
        let shown = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{shown}");
        assert!(shown.contains("howdah.toml:2:1") && shown.contains("default_pool_size"), "{shown}");
    }
    let missing = howdah().args(["run", "-c", "/nowhere/howdah.toml"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn wrong_usage_is_exit_code_2_and_help_is_not() {
    assert_eq!(howdah().arg("dance").output().unwrap().status.code(), Some(2));
    assert_eq!(howdah().arg("run").output().unwrap().status.code(), Some(2));
    for command in ["--help", "--version"] {
        assert!(howdah().arg(command).output().unwrap().status.success());
    }
    for command in ["run", "check", "demo", "doctor", "sql", "hash-password"] {
        let help = howdah().args([command, "--help"]).output().unwrap();
        assert!(help.status.success() && text(&help.stdout).contains(command));
    }
}

#[test]
fn a_password_becomes_a_verifier() {
    let output = howdah().arg("hash-password").write_stdin("secret\n").output().unwrap();
    let verifier = howdah::auth::ScramVerifier::parse(text(&output.stdout).trim()).unwrap();
    assert!(verifier.verify_password(b"secret") && !verifier.verify_password(b"Secret"));
    let output = howdah().args(["hash-password", "--md5", "me"]).write_stdin("secret").output().unwrap();
    assert_eq!(text(&output.stdout).trim(), howdah::auth::md5_password("me", b"secret"));
    assert_eq!(howdah().arg("hash-password").write_stdin("\n").output().unwrap().status.code(), Some(2));
}

#[test]
fn a_query_has_a_fingerprint() {
    let print =
        |query: &str| text(&howdah().args(["sql", "fingerprint", query]).output().unwrap().stdout).clone();
    let first = print("SELECT count(*) FROM orders WHERE id IN (1, 2)");
    let (digits, normal) = first.split_once(' ').unwrap();
    assert_eq!((digits.len(), u64::from_str_radix(digits, 16).is_ok()), (16, true), "{first}");
    assert!(normal.starts_with("select count"), "{first}");
    // Whatever the constants, comments and spaces are.
    assert_eq!(print("/* x */ select  COUNT(*) from orders where id in (7);"), first);
    assert_ne!(print("SELECT count(*) FROM items WHERE id IN (1, 2)"), first);
}

#[test]
fn a_port_that_is_taken_is_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("howdah.toml");
    let address = taken.local_addr().unwrap();
    fs::write(
        &file,
        format!("[listen]\naddresses = [\"{address}\"]\nauth_type = \"trust\"\n[databases.a]\nhost = \"127.0.0.1\"\n[users.u]\n"),
    )
    .unwrap();
    let output = howdah().arg("run").arg("-c").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot listen on"), "{}", text(&output.stderr));
}
