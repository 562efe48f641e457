//! A real Prometheus in front of a busy Howdah: what it reads is well formed, and it answers whatever the dashboard
//! and the alerts in `deploy/` ask.

use crate::follow;
use crate::support::tls::Authority;
use crate::support::watchdog::{Watchdog, signal};
use crate::support::wire::Wire;
use crate::support::{Config, Database, Howdah, PATIENCE, Version, free_port, root, wait_until};
use howdah::observe::Format;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const SECTIONS: &str = "
[tenancy]
[tenants.\"*\"]
[cache]
max_memory = \"16MB\"
[cache.follow]
mode = \"replication\"
user = \"follower\"
password = \"secret\"
[observe.n_plus_one]
threshold = 5
";

/// What Prometheus shows Howdah in the test in which Howdah asks for it.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// As many clients at one time as make some of them wait.
const SLEEPERS: usize = 4;

fn deploy(file: &str) -> PathBuf {
    root().join("deploy").join(file)
}

/// A Howdah with everything in use that there are metrics of; `http` is more of its `[http]`.
fn everything(database: &Database<'_>, authority: &Authority, http: &str) -> Howdah {
    authority.sign("howdah", "howdah", &["localhost"]);
    let mut config = Config::new(2).database(database).user("app").sections(SECTIONS);
    config.extra += &format!(
        "[listen.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
        authority.file("howdah.crt").display(),
        authority.file("howdah.key").display()
    );
    let toml = config.toml().replace("level = \"info\"\n", "level = \"info\"\nslow_query = \"20ms\"\n");
    Howdah::start(&toml.replace("[http]\n", &format!("[http]\n{http}")))
}

fn login(howdah: &Howdah, user: &str, database: &str) -> Wire {
    Wire::login(("127.0.0.1", howdah.port), user, database)
}

/// Clients that do what they do until it is dropped.
struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    fn start(howdah: &Howdah, database: &str) -> Self {
        let mut traffic = Self { stop: Arc::default(), threads: Vec::new() };
        for n in 0..SLEEPERS {
            let mut wire = login(howdah, &format!("app.sleeper{n}"), database);
            traffic.repeat(move || drop(wire.query("SELECT pg_sleep(0.05)")));
        }
        for n in 0..2 {
            let mut wire = login(howdah, &format!("app.acme{n}"), database);
            let mut round = 0;
            traffic.repeat(move || {
                round += 1;
                mixed(&mut wire, n * 1_000_000 + round);
            });
        }
        traffic
    }

    fn repeat(&mut self, mut once: impl FnMut() + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                once();
            }
        }));
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Reads from the server and from memory, writes, errors, and one statement again and again.
fn mixed(wire: &mut Wire, round: usize) {
    let marked = "/* howdah.cache='60s' */ SELECT count(*) FROM orders";
    (0..4).for_each(|_| drop(wire.query(marked)));
    wire.query(&format!("INSERT INTO orders VALUES ({round}, 'it''s \"quoted\" \\ <b>')"));
    wire.query(&format!("INSERT INTO orders VALUES ({round}, 'again')"));
    wire.query("SELECT 1 / 0");
    wire.query("BEGIN");
    for id in 0..8 {
        wire.query(&format!(
            "SELECT note AS \"the \\ note\" FROM orders WHERE id = {id} /* route='/orders' */"
        ));
    }
    wire.query("COMMIT");
}

/// What an HTTP server says to a GET: its head and its body.
fn get(port: u16, path: &str, accept: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // 1.0, so that the answer comes in one piece.
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no body: {answer}"));
    (head.to_owned(), body.to_owned())
}

/// A Prometheus with a folder of its own; killed on drop, or when the test process dies.
struct Prometheus {
    port: u16,
    child: Child,
    log: Arc<Mutex<String>>,
    watchdog: Watchdog,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    fn start(howdah: &Howdah) -> Self {
        let dir = tempfile::Builder::new().prefix("howdah-prometheus").tempdir().unwrap();
        let config = fs::read_to_string(deploy("prometheus/prometheus.yml")).unwrap();
        let target = format!("127.0.0.1:{}", howdah.http_port.unwrap());
        let config = config.replace("127.0.0.1:9632", &target).replace("interval: 15s", "interval: 1s");
        // With what the file says of a token.
        let token = dir.path().join("howdah.token");
        fs::write(&token, TOKEN).unwrap();
        let uncommented = format!("    authorization:\n      credentials_file: {}", token.display());
        let commented = "    # authorization:\n    #   credentials_file: /etc/prometheus/howdah.token";
        assert!(config.contains(commented), "{config}");
        let config = config.replace(commented, &uncommented);
        fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        fs::copy(deploy("prometheus/alerts.yml"), dir.path().join("alerts.yml")).unwrap();
        let port = free_port();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=warn")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus; scripts/install-deps.sh installs it");
        let watchdog = Watchdog::new("kill -s KILL \"$1\"", &[&child.id().to_string()]);
        let log = Arc::new(Mutex::new(String::new()));
        let (mut stderr, keep) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut some) {
                keep.lock().unwrap().push_str(&String::from_utf8_lossy(&some[..count]));
            }
        });
        let prometheus = Self { port, child, log, watchdog, _dir: dir };
        wait_until("prometheus listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        wait_until("prometheus is ready", || get(port, "/-/ready", "*/*").0.contains(" 200 "));
        prometheus
    }

    fn api(&self, path: &str) -> Value {
        let (head, body) = get(self.port, &format!("/api/v1/{path}"), "application/json");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}\n{head}\n{body}"))
    }

    /// What an expression has now: its series, or what Prometheus does not like about it.
    fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let answer = self.api(&format!("query?query={}", encoded(expression)));
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        match &answer["data"]["result"] {
            Value::Array(series) => Ok(series.clone()),
            other => Err(format!("no series: {other}")),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        signal(self.child.id(), "KILL");
        drop(self.child.wait());
        self.watchdog.call_off();
        if std::thread::panicking() {
            eprintln!("--- prometheus's log\n{}---", self.log.lock().unwrap());
        }
    }
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Every expression in the dashboard, with what Grafana puts in the place of its variables.
fn dashboard() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| collect(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let text = fs::read_to_string(deploy("grafana/howdah.json")).unwrap();
    let mut found = Vec::new();
    collect(&serde_json::from_str(&text).unwrap(), &mut found);
    let fill = |expression: &String| {
        let filled =
            [("$__rate_interval", "20s"), ("$__range", "1m"), ("$instance", ".*"), ("$database", ".*")];
        filled.iter().fold(expression.clone(), |text, (variable, value)| text.replace(variable, value))
    };
    let found: Vec<String> = found.iter().map(fill).collect();
    assert!(found.len() > 50 && found.iter().all(|text| !text.contains('$')), "{found:#?}");
    found
}

/// The names of Howdah's metrics in an expression.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("howdah_")).map(str::to_owned).collect()
}

#[test]
fn every_expression_of_the_dashboard_and_the_alerts_is_answered() {
    let database = follow::cluster(Version::V15).database("prometheus");
    follow::prepared(&database);
    database.query("GRANT ALL ON ALL TABLES IN SCHEMA public TO app");
    let howdah = everything(&database, &Authority::new(), &format!("token = \"{TOKEN}\"\n"));
    drop(login(&howdah, "app.acme", &database.name));
    howdah.wait_for_log("changes are followed: its cache is in use");
    let parameters = [("user", "app.acme"), ("database", database.name.as_str())];
    assert!(Wire::try_login(("127.0.0.1", howdah.port), &parameters, "wrong").is_err());
    assert!(get(howdah.http_port.unwrap(), "/metrics", "*/*").0.contains(" 401 "), "without the token");
    let prometheus = Prometheus::start(&howdah);
    let traffic = Traffic::start(&howdah, &database.name);

    let mut left = dashboard();
    let mut last = String::new();
    wait_until("every panel has data", || {
        left.retain(|expression| match prometheus.query(expression) {
            Ok(series) => series.is_empty(),
            Err(why) => panic!("{expression}\n{why}"),
        });
        let now = left.join("\n");
        if now != last {
            eprintln!("without data yet:\n{now}\n");
            last = now;
        }
        left.is_empty()
    });

    let rules = prometheus.api("rules");
    let rules = rules["data"]["groups"][0]["rules"].as_array().expect("rules").clone();
    assert!(rules.len() >= 8, "{rules:#?}");
    for rule in &rules {
        let expression = rule["query"].as_str().unwrap();
        wait_until("the rule was judged", || {
            let rules = prometheus.api("rules");
            let all = rules["data"]["groups"][0]["rules"].as_array().unwrap();
            all.iter().any(|now| now["name"] == rule["name"] && now["health"] != "unknown")
        });
        prometheus.query(expression).unwrap_or_else(|why| panic!("{expression}\n{why}"));
        // That it finds nothing must not be because there is no such metric.
        for name in names(expression) {
            wait_until(&format!("there is {name}"), || {
                !prometheus.query(&format!("count({name})")).unwrap().is_empty()
            });
        }
    }
    let unwell = prometheus.api("rules");
    let unwell = unwell["data"]["groups"][0]["rules"].as_array().unwrap();
    assert!(unwell.iter().all(|rule| rule["health"] == "ok"), "{unwell:#?}");
    // It asked for OpenMetrics, got it, and read every line.
    let targets = prometheus.api("targets?state=active");
    assert_eq!(targets["data"]["activeTargets"][0]["health"], "up", "{targets:#?}");
    assert_eq!(targets["data"]["activeTargets"][0]["lastError"], "", "{targets:#?}");
    drop(traffic);
}

/// Runs a program with something to read.
fn fed(mut command: Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program that scripts/install-deps.sh installs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

const STRICT: &str = "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
print(sum(len(family.samples) for family in parse(sys.stdin.read())))";

#[test]
fn what_is_read_is_clean_in_both_formats_and_documented() {
    let database = follow::cluster(Version::V15).database("promtool");
    follow::prepared(&database);
    database.query("GRANT ALL ON ALL TABLES IN SCHEMA public TO app");
    let howdah = everything(&database, &Authority::new(), "");
    let mut wire = login(&howdah, "app.acme", &database.name);
    (0..5).for_each(|round| mixed(&mut wire, round));
    let port = howdah.http_port.unwrap();

    let (head, text) = get(port, "/metrics", "*/*");
    assert!(head.contains(Format::Text.content_type()), "{head}");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    let output = fed(promtool, &text);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "promtool: {said}");

    let (head, open) = get(port, "/metrics", "application/openmetrics-text; version=1.0.0");
    assert!(head.contains(Format::OpenMetrics.content_type()), "{head}");
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", STRICT]);
    let output = fed(python, &open);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{open}");
    let samples: usize = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert!(samples > 150, "{samples}");

    // The documentation names each, and no others.
    let docs = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let documented: BTreeSet<String> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let told: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    let missing: Vec<&String> = told.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:#?}");
    let source = ["cache", "families", "metrics", "pools", "running", "waiting"]
        .map(|file| fs::read_to_string(root().join(format!("src/observe/{file}.rs"))).unwrap())
        .concat();
    let known = |name: &str| {
        let cache = name.strip_prefix("howdah_cache_tenant_").or(name.strip_prefix("howdah_cache_"));
        source.contains(&format!("\"{name}\""))
            || cache.is_some_and(|rest| source.contains(&format!("\"{rest}\"")))
    };
    let gone: Vec<&String> =
        documented.iter().filter(|name| name.starts_with("howdah_") && !known(name)).collect();
    assert!(gone.is_empty(), "docs/metrics.md has {gone:#?}, which there is not");
}

fn promtool(arguments: &[&str]) -> String {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(deploy("prometheus"))
        .output()
        .expect("promtool");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

#[test]
fn alerts_fire_when_they_should_and_else_do_not() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts_test.yml"]);
    let (rules, tests) = ["alerts.yml", "alerts_test.yml"]
        .map(|file| fs::read_to_string(deploy("prometheus").join(file)).unwrap())
        .into();
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let about: Vec<&str> =
            tests.split("- name:").filter(|test| test.contains(&format!("alertname: {alert}\n"))).collect();
        let silent = about.iter().filter(|test| test.contains("exp_alerts: []")).count();
        assert!(silent > 0 && silent < about.len(), "{alert} is not tested both ways");
    }
}

#[test]
fn reloads_and_certificates_are_told() {
    let database = follow::cluster(Version::V15).database("reloads");
    follow::prepared(&database);
    let authority = Authority::new();
    let howdah = everything(&database, &authority, "");
    let metric = |name: &str| howdah.metric(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(metric("howdah_config_reloads_total{result=\"failure\"}"), 0.0);
    assert_eq!(metric("howdah_config_last_reload_successful"), 1.0);
    let read = metric("howdah_config_last_reload_success_timestamp_seconds");
    let expires = metric("howdah_certificate_expiry_timestamp_seconds{database=\"\",role=\"listen\"");
    assert!(expires > read, "{expires} {read}");

    let good = fs::read_to_string(&howdah.config_file).unwrap();
    fs::write(&howdah.config_file, format!("{good}\n[nonsense]\n")).unwrap();
    howdah.sighup();
    wait_until("the failure is counted", || metric("howdah_config_reloads_total{result=\"failure\"}") == 1.0);
    assert_eq!(metric("howdah_config_last_reload_successful"), 0.0);
    assert_eq!(metric("howdah_config_last_reload_success_timestamp_seconds"), read);

    fs::write(&howdah.config_file, good).unwrap();
    howdah.sighup();
    wait_until("the success is counted", || metric("howdah_config_reloads_total{result=\"success\"}") == 1.0);
    assert_eq!(metric("howdah_config_last_reload_successful"), 1.0);
    assert!(metric("howdah_config_last_reload_success_timestamp_seconds") > read);
}
