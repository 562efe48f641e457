#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::ids::{PinMode, SslMode};

mod cache;
mod observe;
mod tenancy;

const GOOD: &str = "[databases.app]\nhost = \"db\"\n[users.u]\npassword = \"hunter2\"\n";
const SCRAM: &str = "SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Every secret in these tests contains it.
const SECRET: &str = "hunter2";

fn no_env(_: &str) -> Option<OsString> {
    None
}

fn dir_with(text: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("c.toml"), text).unwrap();
    for file in ["s.crt", "s.key", "ca.crt"] {
        fs::write(dir.path().join(file), "pem").unwrap();
    }
    fs::write(dir.path().join("pw"), "hunter2-file\n").unwrap();
    fs::write(dir.path().join("key"), "hunter2-hunter2-hunter2-hunter2-\n").unwrap();
    dir
}

fn try_text(text: &str) -> Result<Config, ConfigErrors> {
    let dir = dir_with(text);
    load_with(&dir.path().join("c.toml"), &|name| (name == "PW").then(|| "hunter2-env".into()))
}

fn good(text: &str) -> Config {
    try_text(text).unwrap_or_else(|e| panic!("refused:\n{e}"))
}

fn bad(text: &str) -> ConfigErrors {
    try_text(text).expect_err(text)
}

/// What is wrong with `extra` before a good rest: the only problem's line and column, and its whole text.
fn one(text: &str) -> (usize, usize, String) {
    let errors = bad(text);
    let all = errors.to_string();
    assert_eq!(errors.len(), 1, "{all}");
    let error = errors.iter().next().unwrap();
    (error.line, error.column, all)
}

/// (text put before the good rest, line, column, words of the error)
const MISTAKES: &[(&str, usize, usize, &[&str])] = &[
    (
        "[pool]\n  defualt_pool_size = 20",
        2,
        3,
        &[
            "unknown key `defualt_pool_size`",
            "did you mean `default_pool_size`?",
            "valid here: pool_mode, default_pool_size",
        ],
    ),
    (
        "[obsevre]",
        1,
        2,
        &["did you mean `observe`?", "valid here: include, listen, http, log, pool, databases, users"],
    ),
    ("[listn]", 1, 2, &["did you mean `listen`?"]),
    (
        "[listen]\naddresses = \"127.0.0.1:1\"",
        2,
        13,
        &["`addresses` must be a list of strings, not a string"],
    ),
    ("[listen]\naddresses = [5]", 2, 14, &["must be a string, not a whole number"]),
    (
        "[listen]\naddresses = [\"localhost:6432\"]",
        2,
        14,
        &["`localhost:6432` is not an address", "\"[::1]:6432\""],
    ),
    ("[listen]\naddresses = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", 2, 29, &["is there twice", "c.toml:2:14"]),
    ("[listen]\naddresses = []", 2, 13, &["nobody could connect"]),
    (
        "[listen]\nauth_type = \"scram\"",
        2,
        13,
        &["`scram` is not a valid `auth_type`", "trust, password, md5, scram-sha-256, scram-sha-256-plus"],
    ),
    ("[listen]\nauth_type = \"scram_sha_256\"", 2, 13, &["did you mean \"scram-sha-256\"?"]),
    ("[listen]\nauth_type = 1", 2, 13, &["must be a word in quotes, not a whole number"]),
    ("[listen]\nauth_type = \"password\"", 2, 13, &["works over TLS only", "cert_file and key_file"]),
    (
        "[listen]\nauth_type = \"scram-sha-256-plus\"\n[listen.tls]\nmode = \"disable\"\ncert_file = \"s.crt\"\nkey_file = \"s.key\"",
        2,
        13,
        &["works over TLS only"],
    ),
    ("[listen]\nauth_type = \"password\"\n[listen.tls]\nmode = \"disable\"", 2, 13, &["works over TLS only"]),
    ("[listen]\nmax_client_conn = 0", 2, 19, &["out of range", "from 1 to 1000000"]),
    ("[listen]\nmax_client_conn = -5", 2, 19, &["`max_client_conn` = -5 is out of range"]),
    ("[listen]\nmax_client_conn = 99999999999999999999", 2, 19, &["out of range"]),
    ("[listen]\nmax_client_conn = \"10\"", 2, 19, &["must be a whole number, not a string"]),
    ("[listen]\nmax_client_conn = 1.5", 2, 19, &["not a number with a point"]),
    ("[listen]\nshutdown_timeout = 30", 2, 20, &["`shutdown_timeout` has no unit", "write a unit: \"30s\""]),
    ("[listen]\nshutdown_timeout = \"30\"", 2, 20, &["write a unit: \"30s\""]),
    ("[listen]\nshutdown_timeout = 1.5", 2, 20, &["write a unit"]),
    ("[listen]\nshutdown_timeout = \"soon\"", 2, 20, &["not a valid duration", "\"1h 30m\""]),
    ("[listen]\nshutdown_timeout = \"\"", 2, 20, &["not a valid duration"]),
    ("[listen]\nshutdown_timeout = \"30 parsecs\"", 2, 20, &["not a valid duration"]),
    ("[listen]\nshutdown_timeout = \"-5s\"", 2, 20, &["not a valid duration"]),
    ("[listen]\nshutdown_timeout = \"2 years\"", 2, 20, &["too long"]),
    ("[listen]\nshutdown_timeout = \"99999999999999999999s\"", 2, 20, &["not a valid duration"]),
    ("[listen]\nshutdown_timeout = true", 2, 20, &["must be a duration in quotes, not true or false"]),
    ("[listen]\ntls = \"require\"", 2, 7, &["`tls` must be a table"]),
    ("[listen.tls]\nmode = \"required\"", 2, 8, &["did you mean \"require\"?", "verify-full"]),
    ("[listen.tls]\nmode = \"require\"", 2, 8, &["mode \"require\" needs a certificate"]),
    (
        "[listen.tls]\nmode = \"verify-full\"\ncert_file = \"s.crt\"\nkey_file = \"s.key\"",
        2,
        8,
        &["client_ca_file"],
    ),
    ("[listen.tls]\ncert_file = \"s.crt\"", 2, 13, &["`cert_file` without `key_file`"]),
    ("[listen.tls]\nkey_file = \"s.key\"", 2, 12, &["`key_file` without `cert_file`"]),
    (
        "[listen.tls]\ncert_file = \"no.crt\"\nkey_file = \"s.key\"",
        2,
        13,
        &["cannot read `cert_file`: no such file", "no.crt"],
    ),
    ("[listen.tls]\ncert_file = \".\"\nkey_file = \"s.key\"", 2, 13, &["it is a directory"]),
    ("[listen.tls]\nca_file = \"ca.crt\"", 2, 1, &["unknown key `ca_file`", "client_ca_file"]),
    ("[http]\naddress = \"9632\"", 2, 11, &["is not an address to listen on"]),
    ("[http]\naddress = \"127.0.0.1:6432\"", 2, 11, &["taken by [listen]"]),
    ("http = 5", 1, 8, &["`http` must be a table, not a whole number"]),
    ("[log]\nlevel = \"verbose\"", 2, 9, &["error, warn, info, debug, trace"]),
    ("[log]\nformat = \"xml\"", 2, 10, &["text, json"]),
    ("[log]\nslow_query = 500", 2, 14, &["write a unit: \"500s\""]),
    (
        "[pool]\npool_mode = \"transactions\"",
        2,
        13,
        &["did you mean \"transaction\"?", "transaction, session, statement"],
    ),
    ("[pool]\ndefault_pool_size = 0", 2, 21, &["out of range", "from 1"]),
    (
        "[pool]\nmax_pinned_connections = 0",
        2,
        26,
        &["`max_pinned_connections` is 0", "pin = \"refuse\"", "from 1 to"],
    ),
    ("[pool]\npin = \"always\"", 2, 7, &["`always` is not a valid `pin`", "auto, refuse, never"]),
    ("[pool]\nmin_pool_size = 21", 2, 17, &["min_pool_size 21 is more than default_pool_size 20"]),
    ("[pool]\nserver_reset_query = \"a\\u0000b\"", 2, 22, &["NUL"]),
    ("[databases.howdah]\nhost = \"h\"", 1, 12, &["`howdah` is Howdah's own console"]),
    ("[databases.pgbouncer]\nhost = \"h\"", 1, 12, &["console"]),
    ("[databases.b]", 1, 1, &["the database `b` has no host"]),
    ("[databases.b]\nhost = \"\"", 2, 8, &["`host` is empty"]),
    ("[databases.b]\nhost = \"h:5432\"", 2, 8, &["this is not a host", "a port belongs into `port`"]),
    ("[databases.b]\nhost = \"./sock\"", 2, 8, &["absolute path of a socket directory"]),
    ("[databases.b]\nhost = \"h\"\nport = 0", 3, 8, &["from 1 to 65535"]),
    ("[databases.b]\nhost = \"h\"\nport = 70000", 3, 8, &["out of range"]),
    ("[databases.b]\nhost = \"h\"\nport = \"5432\"", 3, 8, &["must be a whole number, not a string"]),
    ("[databases.b]\nhost = \"h\"\nprot = 1", 3, 1, &["did you mean `port`?"]),
    ("[databases.b]\nhost = \"h\"\nmin_pool_size = 30", 3, 17, &["min_pool_size 30 is more"]),
    (
        "[databases.b]\nhost = \"h\"\npassword_env = \"NOT_SET\"",
        3,
        16,
        &["the environment variable `NOT_SET` is not set"],
    ),
    (
        "[databases.b]\nhost = \"h\"\npassword_file = \"nofile\"",
        3,
        17,
        &["cannot read `password_file`: no such file"],
    ),
    ("[databases.b]\nhost = \"h\"\npassword_file = \".\"", 3, 17, &["it is a directory"]),
    (
        "[databases.b]\nhost = \"h\"\npassword = \"hunter2\"\npassword_env = \"PW\"",
        4,
        16,
        &["more than once", "c.toml:3:12", "one of password, password_env, password_file"],
    ),
    ("[databases.b]\nhost = \"h\"\ntls.cert_file = \"s.crt\"", 3, 17, &["`cert_file` without `key_file`"]),
    ("[databases.b]\nhost = \"h\"\ntls.ca_file = \"none\"", 3, 15, &["cannot read `ca_file`"]),
    ("databases.b = 5", 1, 11, &["must be a table", "[databases.b]"]),
    ("[databases.\"\"]\nhost = \"h\"", 1, 12, &["not a valid name"]),
    ("[users.x]", 1, 1, &["the user `x` has no password", "auth_type = \"trust\""]),
    ("[users.x]\npassword = \"\"", 2, 12, &["`password` is empty"]),
    ("[users.x]\npassword = 5", 2, 12, &["must be a string"]),
    ("[users.x]\npassword = \"md5hunter2\"", 2, 12, &["32 hex digits"]),
    (
        "[users.x]\npassword = \"md50123456789abcdef0123456789abcdef\"",
        2,
        12,
        &["cannot log in with scram-sha-256"],
    ),
    ("[users.x]\npassword = \"SCRAM-SHA-256$hunter2\"", 2, 12, &["a part is missing"]),
    ("[users.x]\npassword = \"SCRAM-SHA-256$0:AAAA$hunter2:x\"", 2, 12, &["iterations"]),
    ("[users.x]\npassword = \"SCRAM-SHA-256$1:??$hunter2:x\"", 2, 12, &["salt"]),
    ("[users.x]\npassword = \"SCRAM-SHA-256$1:AAAA$hunter2:x\"", 2, 12, &["StoredKey is not 32 bytes"]),
    (
        "[users.x]\npassword = \"hunter2\"\ndatabases = [\"app\", \"apq\"]",
        3,
        21,
        &["there is no database `apq`", "valid here: app"],
    ),
    ("[users.x]\npassword = \"hunter2\"\ndatabases = [\"*\"]", 3, 14, &["leave `databases` out"]),
    ("[users.x]\npassword = \"hunter2\"\nauth_type = \"password\"", 3, 13, &["works over TLS only"]),
    ("[users.x]\npassword = \"hunter2\"\nmin_pool_size = 25", 3, 17, &["min_pool_size 25"]),
    ("[pool]\nquery_timeout = 5s", 2, 17, &["error:"]),
    ("[pool]\npool_mode = session", 2, 13, &["text stands in quotes"]),
    ("[pool\npool_mode = \"session\"", 1, 6, &["error:"]),
    ("[pool]\nmin_pool_size = 1\nmin_pool_size = 2", 3, 1, &["duplicate key"]),
    ("include = [\"none.toml\"]", 1, 12, &["no such file", "none.toml"]),
    ("include = \"c.toml\"", 1, 11, &["must be a list of strings"]),
    ("[pool]\n# für\nquery_timeout = \"5s\" # ü\n\"größe\" = 1", 4, 1, &["unknown key `größe`"]),
    ("pool = { pool_mode = \"session\", \"ü\" = 1, default_pool_size = 3 }", 1, 33, &["error:"]),
];

#[test]
fn mistakes_are_told_with_their_place() {
    assert!(MISTAKES.len() >= 40);
    let mut wrong = String::new();
    for (extra, line, column, words) in MISTAKES {
        let errors = bad(&format!("{extra}\n{GOOD}"));
        let error = errors.iter().next().unwrap();
        let text = errors.to_string();
        let placed = (error.line, error.column) == (*line, *column) && errors.len() == 1;
        if !placed || text.contains(SECRET) || !words.iter().all(|word| text.contains(word)) {
            let _ = writeln!(wrong, "{extra}\n--- wanted at {line}:{column} {words:?}\n{text}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn an_error_looks_like_this() {
    let dir = dir_with(&format!("# one\n[pool]\n  defualt_pool_size = 20\n{GOOD}"));
    let path = dir.path().join("c.toml");
    let text =
        load(&path).unwrap_err().to_string().replace(&path.display().to_string(), "config/howdah.toml");
    let (before, list) = text.split_once("default_pool_size, ").unwrap();
    assert!(list.ends_with("max_pinned_connections\n"));
    insta::assert_snapshot!(before, @r"
    error: unknown key `defualt_pool_size`
     --> config/howdah.toml:3:3
      |
    3 |   defualt_pool_size = 20
      |   ^^^^^^^^^^^^^^^^^
      = did you mean `default_pool_size`?
      = valid here: pool_mode,
    ");
}

#[test]
fn all_problems_are_told_at_once_in_order() {
    let errors =
        bad("[pool]\nx = 1\nmin_pool_size = -1\nquery_timeout = 5\n[users.u]\npassword_env = \"NO\"\n");
    let lines: Vec<usize> = errors.iter().map(|e| e.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 6], "{errors}");
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = good(GOOD);
    assert_eq!(config.listen.addresses, ["127.0.0.1:6432".parse().unwrap()]);
    assert_eq!(config.listen.auth_type, AuthType::ScramSha256);
    assert_eq!(config.listen.max_client_conn, 10_000);
    assert_eq!(config.listen.client_idle_timeout, None);
    assert_eq!(config.listen.tls.mode, SslMode::Prefer);
    assert_eq!(config.http, None);
    assert_eq!(config.log.slow_query, Some(Duration::from_millis(500)));
    assert_eq!(config.pool, PoolSettings::default());
    let app = config.database("app").unwrap();
    assert_eq!((app.host.as_str(), app.port, app.dbname.as_deref()), ("db", 5432, None));
    assert_eq!(config.users["u"].password.as_ref().unwrap().expose_secret(), "hunter2");
    assert!(config.users["u"].may_use("anything"));
    assert_eq!(good(&format!("[http]\n{GOOD}")).http.unwrap().address.port(), 9632);
}

#[test]
fn everything_typed_arrives() {
    let config = good(&format!(
        "[listen]\naddresses=['0.0.0.0:0','[::1]:0']\nunix_socket_dir='run'\nauth_type='scram-sha-256-plus'\n\
         max_client_conn=5\nshutdown_timeout='1h 30m'\nclient_login_timeout='0s'\nclient_idle_timeout='5s'\n\
         worker_threads=3\n[listen.tls]\nmode='verify-ca'\ncert_file='s.crt'\nkey_file='s.key'\nclient_ca_file='ca.crt'\n\
         [log]\nlevel='debug'\nformat='json'\nslow_query='0s'\n\
         [databases.'*']\nhost='/run/pg'\nuser='root'\npassword_file='pw'\n\
         [databases.app]\nhost='db.example'\nport=6000\ndbname='real'\npassword_env='PW'\nmax_db_connections=7\n\
         [databases.app.tls]\nmode='verify-full'\n\
         [users.u]\npassword='{SCRAM}'\ndatabases=['app','other']\npool_mode='session'\nquery_wait_timeout='0s'\n\
         [users.t]\nauth_type='trust'\n"
    ));
    assert_eq!(config.listen.addresses.len(), 2);
    assert!(config.listen.unix_socket_dir.unwrap().ends_with("run"));
    assert_eq!(config.listen.shutdown_timeout, Duration::from_secs(5400));
    assert_eq!(config.listen.client_login_timeout, Duration::ZERO);
    assert_eq!(config.listen.worker_threads.unwrap().get(), 3);
    assert_eq!(
        (config.log.level, config.log.format, config.log.slow_query),
        (LogLevel::Debug, LogFormat::Json, None)
    );
    let any = config.any_database.as_ref().unwrap();
    assert!(any.is_unix());
    assert_eq!(any.password.as_ref().unwrap().expose_secret(), "hunter2-file");
    let app = &config.databases["app"];
    assert_eq!(app.password.as_ref().unwrap().expose_secret(), "hunter2-env");
    assert_eq!(app.tls, ServerTls { mode: SslMode::VerifyFull, ..ServerTls::default() });
    let user = &config.users["u"];
    assert!(user.may_use("app") && !user.may_use("third"));
    assert_eq!(config.users["t"].auth_type, Some(AuthType::Trust));
}

#[test]
fn worker_threads_zero_is_automatic() {
    assert_eq!(good(&format!("[listen]\nworker_threads=0\n{GOOD}")).listen.worker_threads, None);
}

#[test]
fn overrides_lie_upon_each_other() {
    let config = good(
        "[pool]\ndefault_pool_size=5\nquery_timeout='1s'\nmax_db_connections=9\n\
         [databases.a]\nhost='h'\ndefault_pool_size=6\nmin_pool_size=2\nquery_timeout='0s'\n\
         [users.u]\npassword='p'\ndefault_pool_size=7\nmax_db_connections=0\n",
    );
    let (a, u) = (&config.databases["a"], &config.users["u"]);
    let pool = config.pool_settings(a, u);
    assert_eq!((pool.default_pool_size, pool.min_pool_size), (7, 2));
    assert_eq!((pool.pin, pool.most_pinned()), (PinMode::Auto, 6));
    assert_eq!((pool.query_timeout, pool.max_db_connections), (None, None));
}

#[test]
fn a_database_and_a_user_can_contradict_each_other_together() {
    let text = "[databases.a]\nhost='h'\nmin_pool_size=15\n[users.u]\npassword='p'\ndefault_pool_size=10\n";
    let (line, column, text) = one(text);
    assert_eq!((line, column), (6, 19), "{text}");
}

#[test]
fn any_database_does_not_answer_for_the_console() {
    let config = good("[databases.'*']\nhost='h'\n[users.u]\npassword='p'\ndatabases=['x', 'howdah']");
    assert_eq!(&*config.database("x").unwrap().name, "*");
    assert!(config.database("howdah").is_none() && config.database("pgbouncer").is_none());
    assert!(good(GOOD).database("x").is_none());
}

#[test]
fn trust_needs_no_password_and_tls_makes_password_valid() {
    good("[listen]\nauth_type='trust'\n[databases.a]\nhost='h'\n[users.u]\n");
    good(&format!(
        "[listen]\nauth_type='password'\n[listen.tls]\ncert_file='s.crt'\nkey_file='s.key'\n{GOOD}\
         [users.m]\npassword='md50123456789abcdef0123456789abcdef'\n"
    ));
    good(&format!("{GOOD}[users.m]\nauth_type='md5'\npassword='md50123456789abcdef0123456789abcdef'\n"));
}

#[test]
fn what_depends_on_a_broken_value_is_not_told() {
    let (line, _, _) = one("[listen]\nauth_type='trst'\n[databases.a]\nhost='h'\n[users.u]\n");
    assert_eq!(line, 2);
    let (line, _, _) = one("[databases.a]\nhost=5\n[users.u]\npassword='p'\n");
    assert_eq!(line, 2);
}

#[test]
fn a_verifier_cannot_log_in_to_a_server() {
    let (line, _, text) = one(&format!("{GOOD}[databases.b]\nhost='h'\npassword='{SCRAM}'\n"));
    assert_eq!(line, 7);
    assert!(text.contains("passed through") && !text.contains("AAEC"), "{text}");
}

#[test]
fn secrets_are_masked_wherever_the_mistake_is() {
    let texts = [
        "[users.x]\npassword = hunter2",
        "[users.x]\npassword = hunter2 hunter2",
        "[users.x]\npassword hunter2",
        "[users.x]\npassword: hunter2",
        "[users.x]\npassword = \"hunter2",
        "[users.x]\npassword = \"a\nhunter2\"",
        "[users.x]\npassword = 'hunter2",
        "[users.x]\npassword = \"a\"hunter2\"",
        "[users.x]\npassword = \"a\" hunter2",
        "[users.x]\npassword = \"a\\qhunter2\"",
        "[users.x]\npassword = \"\"\"\nhunter2\nx = hunter2",
        "[users.x]\npassword = \"\"\"\nhunter2\n\"\"\"hunter2",
        "[users.x]\npassword = '''\n[listen]\nhunter2\n'''x",
        "[users.x]\npassword = [\n\"hunter2\n]",
        "[users.x]\npassword = \"\"\"\nhunter2\\q\n\"\"\"",
        "[users.x]\npassword = \"hunter2\" port = 5",
        "[users.x] password = \"hunter2\"",
        "[users.x]\npasswrod = hunter2",
        "[users.x]\nsecret = hunter2",
        "[users.x]\npwd = hunter2",
        "[users.x]\nfoo = hunter2",
        "[users.x]\npass word = \"hunter2\"",
        "[users.x]\n\"password\" = hunter2",
        "users.x.password = hunter2",
        "users = { x = { password = hunter2 } }",
        "users = { x = { password = \"hunter2\", } ",
        "[users.x]\npassword_env = hunter2",
        "[http]\ntoken = hunter2",
        "[http]\ntoken = \"hunter2",
        "[http]\ntokne = hunter2",
        "[http]\ntoken_env = hunter2",
        "http = { token = hunter2 }",
        "[databases.b]\nhost = postgres://u:hunter2@h/db",
        // These parse, and are wrong.
        "[users.x]\npassword = 5 # hunter2",
        "[users.x]\npassword = \"md5hunter2\" # was hunter2",
        "[users.x]\npasswrod = \"hunter2\"",
        "[users.x]\npasswd = \"\"\"\nhunter2\"\"\"",
        "[users.x]\npassword = [\"hunter2\"]",
        "[users.x]\npassword.x = \"hunter2\"",
        "[users.x]\nport = \"hunter2\"\npassword = \"x\"\npincode = \"hunter2\"",
        "[users]\nx = \"hunter2\"",
        "users = \"hunter2\"",
        "password = \"hunter2\"",
        "users = { x = { password = \"hunter2\", nope = 1 } }",
        "[users.x]\npassword_env = \"hunter2\"",
        "[http]\ntoken = \"hunter2\"",
        "[http]\ntoken = \"hunter2 hunter2 hunter2\"",
        "[http]\ntokne = \"hunter2\"",
        "[http]\ntoken_env = \"hunter2\"",
        "[http]\nuser = \"u\"\npassword = \"md5hunter2\"",
        "http.token = [\"hunter2\"]",
        "[users.x]\npassword_env = \"A=hunter2\"",
        "[users.x]\npassword = \"hunter2\"\npassword = \"hunter2\"",
        "[databases.b]\nhost = \"postgres://u:hunter2@h/db\"",
        "[databases.b]\nhost = \"host=h password=hunter2\"",
        "databases.b = \"host=h password=hunter2\"",
        "[foo]\nbar = \"hunter2\"",
        "[users.x]\npassword = \"hunter2\\u0000\"",
        "[databases.b]\nhost = 5 # password hunter2",
        "[users.x]\n# password = \"hunter2\" \u{1}\n",
        "[users.x]\n\"pass\\u0077ord\" = [\"hunter2\"]",
    ];
    for text in texts {
        // A user may leave nothing behind: what was typed as port is no secret of anybody.
        let text = format!("{text}\n[databases.app]\nhost = \"db\"\n");
        let errors = bad(&text);
        let shown = errors.to_string();
        let leaks = shown.lines().filter(|l| l.contains(SECRET) && !l.contains("port = ")).count();
        assert_eq!(leaks, 0, "{text}\n---\n{shown}");
        assert!(!format!("{errors:?}").replace("port = \\\"hunter2", "").contains(SECRET), "{errors:?}");
    }
}

#[test]
fn the_caret_stands_under_the_right_place_after_a_mask() {
    let text =
        "users = { \"é\" = { password = \"hunter2\", nope = 1 } }\ndatabases = { a = { host = \"h\" } }\n";
    let (_, column, text) = one(text);
    assert_eq!(column, 41);
    let shown: Vec<&str> = text.lines().skip(3).take(2).collect();
    assert_eq!(
        shown,
        [
            "1 | users = { \"é\" = { password = \"***\", nope = 1 } }",
            "  |                                     ^^^^",
        ]
    );
}

#[test]
fn long_lines_are_cut_around_the_caret() {
    let filler = "\"127.0.0.1:0\", ".repeat(200);
    let (_, column, text) = one(&format!("[listen]\naddresses = [{filler}\"here\", {filler}]\n{GOOD}"));
    assert_eq!(column, 14 + 15 * 200);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[3].chars().count() < 180, "{text}");
    let at = lines[4].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[3].chars().skip(at).take(6).collect::<String>(), "\"here\"");
}

#[test]
fn unreadable_files_are_told_cleanly() {
    let dir = TempDir::new().unwrap();
    let missing = load(&dir.path().join("no.toml")).unwrap_err().to_string();
    assert!(missing.contains("cannot read the configuration: no such file\n --> "), "{missing}");
    assert!(load(dir.path()).unwrap_err().to_string().contains("it is a directory"));
    fs::write(dir.path().join("bin"), b"[pool]\n# \xc3\xa4\xff\n").unwrap();
    let binary = load(&dir.path().join("bin")).unwrap_err().to_string();
    assert!(binary.contains("not UTF-8") && binary.contains("bin:2:4"), "{binary}");
    let empty = bad("").to_string();
    assert!(empty.contains("no database is defined") && empty.contains("no user is defined"), "{empty}");
}

#[test]
fn password_file_loses_one_line_end_only() {
    let dir = dir_with(&GOOD.replace("password = \"hunter2\"", "password_file = 'p'"));
    for (text, expected) in [("a b\n", "a b"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a", " a")] {
        fs::write(dir.path().join("p"), text).unwrap();
        let config = load_with(&dir.path().join("c.toml"), &no_env).unwrap();
        assert_eq!(config.users["u"].password.as_ref().unwrap().expose_secret(), expected);
    }
    fs::write(dir.path().join("p"), "\n").unwrap();
    assert!(load(&dir.path().join("c.toml")).unwrap_err().to_string().contains("the password is empty"));
}

fn with_include(main: &str, other: &str) -> Result<Config, ConfigErrors> {
    let dir = dir_with(main);
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/o.toml"), other).unwrap();
    fs::write(dir.path().join("d/pw"), "from-d").unwrap();
    load_with(&dir.path().join("c.toml"), &no_env)
}

#[test]
fn included_files_are_merged_with_paths_of_their_own() {
    let main = "include = ['d/o.toml']\n[pool]\ndefault_pool_size=3\n[databases.a]\nhost='h'\n[users.u]\npassword='p'";
    let config = with_include(
        main,
        "[log]\nlevel='warn'\n[databases.b]\nhost='h'\n[users.v]\npassword_file='pw'\ndatabases=['a']\n",
    )
    .unwrap();
    assert_eq!(config.databases.len(), 2);
    assert_eq!(config.log.level, LogLevel::Warn);
    assert_eq!(config.users["v"].password.as_ref().unwrap().expose_secret(), "from-d");
}

#[test]
fn what_stands_in_two_files_is_told_with_both_places() {
    let main = "include = ['d/o.toml']\n[pool]\n[databases.a]\nhost='h'\n[users.u]\npassword='p'";
    let errors =
        with_include(main, "[pool]\nmin_pool_size=1\n[databases.a]\nhost='h'\n[users.u]\npassword='p'\n")
            .unwrap_err();
    let text = errors.to_string();
    assert_eq!(errors.len(), 3, "{text}");
    for word in [
        "d/o.toml:1:1",
        "first defined at",
        "c.toml:2:1",
        "database `a` is defined in two files",
        "c.toml:3:12",
        "user `u`",
    ] {
        assert!(text.contains(word), "{word}\n{text}");
    }
}

#[test]
fn includes_go_one_level_deep() {
    let main = format!("include = ['d/o.toml']\n{GOOD}");
    let text = with_include(&main, "include = ['x.toml']\n").unwrap_err().to_string();
    assert!(
        text.contains("an included file cannot include more") && text.contains("d/o.toml:1:11"),
        "{text}"
    );
    assert!(text.contains("c.toml:1:12"), "{text}");
    let text = with_include(&main, "[pool]\nx = \n").unwrap_err().to_string();
    assert!(text.contains("d/o.toml:2:"), "{text}");
    // A file that includes itself is an included file with an include.
    assert!(with_include(&format!("include = ['c.toml']\n{GOOD}"), "").is_err());
}

#[test]
fn the_examples_load() {
    for (name, users) in [("howdah.toml", 1), ("minimal.toml", 1)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        let config = load_with(&path, &no_env).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.users.len(), users);
        assert_eq!(config.pool, PoolSettings::default(), "an example shows the defaults");
    }
}

#[test]
fn the_example_names_every_key() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/howdah.toml")).unwrap();
    let known = bad(
        "x=1\n[listen]\nx=1\n[listen.tls]\nx=1\n[http]\nx=1\n[log]\nx=1\n[pool]\nx=1\n[databases.a]\nx=1\nhost='h'\n[databases.a.tls]\nx=1\n[users.x]\nx=1\npassword='p'\n\
         [tenancy]\nx=1\n[[tenancy.resolvers]]\nx=1\nname='n'\nquery='q'\nset={'a.b'='c'}\n[tenancy.signature]\nx=1\nkey_file='key'\n[tenants.a]\nx=1\n\
         [cache]\nx=1\n[[cache.rules]]\nx=1\nmatch='a'\n[cache.follow]\nx=1\n[admin]\nx=1\n[observe]\nx=1\n[observe.n_plus_one]\nx=1\n",
    );
    for error in known.iter() {
        let valid = error.help.iter().find_map(|h| h.strip_prefix("valid here: ")).unwrap();
        for key in valid.split(", ") {
            let shown = text.contains(&format!("{key} = ")) || text.contains(&format!("[{key}"));
            assert!(shown || text.contains(&format!(".{key}]")), "{key} is not in the example");
        }
    }
}

#[test]
fn what_was_understood_is_described_without_secrets() {
    let config = good(&format!(
        "[http]\n[pool]\ndefault_pool_size=5\n[databases.\"a b\"]\nhost='h'\npassword='hunter2'\npool_mode='session'\n\
         [databases.b.tls]\nmode='require'\n[databases.b]\nhost='h'\n\
         [users.u]\npassword='hunter2'\nquery_timeout='1m 30s'\ndatabases=['b']\n[users.v]\npassword='{SCRAM}'\n"
    ));
    let text = describe(&config);
    assert!(!text.contains(SECRET) && !text.contains("AAEC"), "{text}");
    assert!(!format!("{config:?}").contains(SECRET));
    for line in [
        "[databases.\"a b\"]",
        "pool_mode = \"session\"",
        "default_pool_size = 5",
        "pin = \"auto\"\n# max_pinned_connections: 4\n",
        "[databases.b.tls]\nmode = \"require\"",
        "password = \"***\" # plain",
        "password = \"***\" # a SCRAM verifier",
        "query_timeout = \"1m 30s\"",
        "databases = [\"b\"]",
        "address = \"127.0.0.1:9632\"",
    ] {
        assert!(text.contains(line), "lacks {line}:\n{text}");
    }
    // It is TOML, and what it says is what was meant.
    let again = good(&text.replace("password = \"***\"", "password = \"p\""));
    assert_eq!((&again.listen, &again.pool, &again.log), (&config.listen, &config.pool, &config.log));
}

#[test]
fn configurations_can_be_compared() {
    assert_eq!(good(GOOD), good(GOOD));
    assert_ne!(good(GOOD), good(&GOOD.replace("hunter2", "hunter3")));
}

/// The example, cut, doubled and stirred.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let text = include_str!("../../config/howdah.toml").as_bytes().to_vec();
    let edit = (any::<prop::sample::Index>(), 0..4_u8, prop::collection::vec(any::<u8>(), 1..8), 0..40_usize);
    (Just(text), prop::collection::vec(edit, 1..8)).prop_map(|(mut text, edits)| {
        for (index, kind, bytes, len) in edits {
            let at = index.index(text.len() + 1);
            let end = (at + len).min(text.len());
            match kind {
                0 => _ = text.splice(at..at, bytes),
                1 => _ = text.drain(at..end),
                2 => _ = text.splice(at..at, text[at..end].to_vec()),
                _ => _ = text.splice(at..at, b"[]{}\"'=.,\n#\0"[..bytes.len()].to_vec()),
            }
        }
        text
    })
}

fn load_bytes(bytes: &[u8]) -> Result<Config, ConfigErrors> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("c.toml");
    fs::write(&path, bytes).unwrap();
    load_with(&path, &no_env)
}

proptest! {
    #[test]
    fn nothing_panics_on_mutated_files(bytes in mutated()) {
        match load_bytes(&bytes) {
            Ok(config) => prop_assert!(!describe(&config).is_empty()),
            Err(errors) => {
                prop_assert!(!errors.to_string().is_empty());
            }
        }
    }

    #[test]
    fn nothing_panics_on_random_text(text in "[\\[\\]a-z\\.=\"'{}#ä\n\r\t 0-9]{0,200}") {
        prop_assert!(load_bytes(text.as_bytes()).is_err());
    }

    #[test]
    fn no_secret_survives_random_noise_around_it(before in "[\\[\\]=\"'{} #,x]{0,6}", after in "[\\[\\]=\"'{} #,x\n]{0,10}") {
        let text = format!("[users.u]\npassword = {before}hunter2{after}\nnope = 1\n");
        if let Err(errors) = load_bytes(text.as_bytes()) {
            prop_assert!(!errors.to_string().contains(SECRET), "{}\n{}", text, errors);
        }
    }

    #[test]
    fn no_secret_survives_noise_between_the_words(noise in prop::collection::vec("[\\[\\]=\"'{} #,.:\n]{0,3}", 8)) {
        let words = ["[pool]\nx = 1", "\n[users.u]", "\n", "password", " =", " \"hunter2\"", "\ndatabases = [\"a\"]", "\nport = 5 "];
        let text: String = words.iter().zip(&noise).flat_map(|(word, noise)| [word, noise.as_str()]).collect();
        if let Err(errors) = load_bytes(text.as_bytes()) {
            prop_assert!(!errors.to_string().contains(SECRET), "{}\n{}", text, errors);
        }
    }

    #[test]
    fn durations_never_panic(text in "\\PC{0,30}|[0-9.smhdy ]{0,30}") {
        let quoted = toml::Value::String(text);
        let _ = load_bytes(format!("[pool]\nquery_timeout = {quoted}\n").as_bytes());
    }
}
