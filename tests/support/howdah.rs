//! The binary under test, with a configuration of its own, on ports of its own.

use super::watchdog::{Watchdog, signal};
use super::{Cluster, Database, PASSWORD, PATIENCE, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A configuration to start from: one pool size, databases of one cluster, the cluster's roles as users.
/// Every `…_extra` is TOML text that goes into its section as it is; `extra` comes last.
#[derive(Clone, Default)]
pub struct Config {
    pub listen_extra: String,
    pub pool_extra: String,
    pub extra: String,
    databases: String,
    users: String,
}

impl Config {
    /// Transaction mode, `size` server connections, clients log in by SCRAM.
    pub fn new(size: usize) -> Self {
        Self { pool_extra: format!("default_pool_size = {size}\n"), ..Self::default() }
    }

    /// A line more in `[listen]`.
    pub fn listen(mut self, line: &str) -> Self {
        self.listen_extra += &format!("{line}\n");
        self
    }

    /// A line more in `[pool]`.
    pub fn pool(mut self, line: &str) -> Self {
        self.pool_extra += &format!("{line}\n");
        self
    }

    /// A test's database under its own name.
    pub fn database(self, database: &Database<'_>) -> Self {
        self.database_as(&database.name, database, "")
    }

    /// A test's database under another name, with more lines for its section.
    pub fn database_as(self, name: &str, database: &Database<'_>, lines: &str) -> Self {
        self.server(name, database.cluster.port, &database.name, lines)
    }

    /// A database on any server on loopback: a fake one, or one that is not there.
    pub fn server(mut self, name: &str, port: u16, dbname: &str, lines: &str) -> Self {
        self.databases += &format!(
            "\n[databases.\"{name}\"]\nhost = \"127.0.0.1\"\nport = {port}\ndbname = \"{dbname}\"\n{lines}\n"
        );
        self
    }

    /// A user who logs in with [`PASSWORD`], to Howdah and to the server.
    pub fn user(self, name: &str) -> Self {
        self.user_with(name, &format!("password = \"{PASSWORD}\""))
    }

    /// A user with these lines in its section.
    pub fn user_with(mut self, name: &str, lines: &str) -> Self {
        self.users += &format!("\n[users.{name}]\n{lines}\n");
        self
    }

    /// A test's database, and `app` and `postgres` as users: what most tests need.
    pub fn simple(size: usize, database: &Database<'_>) -> Self {
        Self::new(size).database(database).user("app").user("postgres")
    }

    /// More sections, as they are.
    pub fn sections(mut self, text: &str) -> Self {
        self.extra += text;
        self
    }

    pub fn toml(&self) -> String {
        let listen =
            if self.listen_extra.contains("addresses") { "" } else { "addresses = [\"127.0.0.1:0\"]" };
        format!(
            "[listen]\n{listen}\n{}\n[http]\naddress = \"127.0.0.1:0\"\n\n[log]\nlevel = \"info\"\n\n\
             [pool]\n{}{}{}\n{}",
            self.listen_extra, self.pool_extra, self.databases, self.users, self.extra
        )
    }

    pub fn start(&self) -> Howdah {
        Howdah::start(&self.toml())
    }

    /// As [`Config::start`], with so many file descriptors and no way to get more.
    pub fn start_with_files(&self, files: usize) -> Howdah {
        let mut shell = Command::new("sh");
        // The hard limit too, because Howdah raises the soft one to it.
        shell.args(["-c", &format!("ulimit -n {files} && exec \"$@\""), "sh"]).arg(binary());
        Howdah::start_by(shell, &self.toml())
    }
}

/// The binary that the tests run: cargo's, or `HOWDAH_BIN`.
pub fn binary() -> PathBuf {
    std::env::var_os("HOWDAH_BIN").map_or_else(|| env!("CARGO_BIN_EXE_howdah").into(), PathBuf::from)
}

/// A running `howdah run`; killed on drop, or when the test process dies.
pub struct Howdah {
    pub port: u16,
    pub http_port: Option<u16>,
    pub config_file: PathBuf,
    child: Child,
    log: Arc<Mutex<String>>,
    dir: tempfile::TempDir,
    watchdog: Watchdog,
}

impl Howdah {
    /// Starts with this configuration; `{dir}` in it is the configuration's own folder.
    pub fn start(toml: &str) -> Self {
        Self::start_by(Command::new(binary()), toml)
    }

    fn start_by(mut command: Command, toml: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("howdah-test").tempdir().expect("a folder");
        let config_file = dir.path().join("howdah.toml");
        let toml = toml.replace("{dir}", dir.path().to_str().expect("a UTF-8 path"));
        std::fs::write(&config_file, &toml).expect("howdah.toml");
        let mut child = command
            .args(["run", "-c"])
            .arg(&config_file)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("howdah");
        let watchdog = Watchdog::new(
            "kill -s KILL \"$1\"; rm -rf \"$2\"",
            &[&child.id().to_string(), dir.path().to_str().expect("a UTF-8 path")],
        );
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("stderr");
        let keep = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *keep.lock().expect("log") += &(line + "\n");
            }
        });
        let mut howdah = Self { port: 0, http_port: None, config_file, child, log, dir, watchdog };
        howdah.wait_for_listeners(toml.contains("[http]"));
        howdah
    }

    /// A Howdah in front of one database, clients as `app` and `postgres`, with `size` server connections.
    pub fn simple(size: usize, database: &Database<'_>) -> Self {
        Config::simple(size, database).start()
    }

    fn wait_for_listeners(&mut self, http: bool) {
        let started = Instant::now();
        while self.port == 0 || (http && self.http_port.is_none()) {
            let ended = self.child.try_wait().expect("wait");
            let log = self.log();
            for line in log.lines() {
                let Some((before, port)) = listener(line) else { continue };
                if before.to_ascii_lowercase().contains("http") {
                    self.http_port = Some(port);
                } else if self.port == 0 {
                    self.port = port;
                }
            }
            assert!(ended.is_none() || self.port != 0, "howdah ended ({ended:?}):\n{log}");
            assert!(started.elapsed() < PATIENCE, "howdah does not say where it listens:\n{log}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder its configuration is in, and that it runs in.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("log").clone()
    }

    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("howdah logs {text:?}"), || self.log().contains(text));
    }

    pub fn sigterm(&self) {
        signal(self.pid(), "TERM");
    }

    pub fn sigint(&self) {
        signal(self.pid(), "INT");
    }

    pub fn sighup(&self) {
        signal(self.pid(), "HUP");
    }

    pub fn kill9(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("howdah has ended", || {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        });
        status.expect("a status")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    /// Resident memory.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// Open file descriptors.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("fd").count()
    }

    pub fn metrics(&self) -> String {
        let (status, body) = self.http("/metrics");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The value of the first metric line that begins with `name`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.metrics();
        let line = metrics.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// GETs a path; status and body.
    pub fn http(&self, path: &str) -> (u16, String) {
        let port = self.http_port.expect("an HTTP listener");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// How tokio-postgres connects to it.
    pub fn pg_config(&self, user: &str, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(PASSWORD).dbname(database);
        config.connect_timeout(PATIENCE);
        config
    }
}

impl Drop for Howdah {
    fn drop(&mut self) {
        self.kill9();
        self.watchdog.call_off();
        if std::thread::panicking() {
            eprintln!("--- howdah's log\n{}---", self.log());
        }
    }
}

/// The text before `listening on` in a line of the log, and the port after it.
fn listener(line: &str) -> Option<(&str, u16)> {
    let (before, after) = line.split_once("listening on ")?;
    let address = after.split([' ', ',']).next()?;
    let port = address.rsplit(':').next()?.trim_matches(|c: char| !c.is_ascii_digit());
    let about = if after.contains("http") { after } else { before };
    Some((about, port.parse().ok()?))
}

/// How tokio-postgres connects to the cluster itself.
pub fn direct_config(cluster: &Cluster, user: &str, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(cluster.port).user(user).password(PASSWORD).dbname(database);
    config.connect_timeout(PATIENCE);
    config
}
