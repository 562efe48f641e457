//! The demo: a throw-away Postgres with three sample tenants, and a Howdah in front of it (floor 6).
//!
//! Running Howdah itself is a function that `app` passes in; this room only knows Postgres.

mod client;
mod postgres;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use postgres::{ThrowawayPostgres, find_programs};

/// The sample: tenants, users and orders, under row-level security.
const SAMPLE: &str = include_str!("sql/sample.sql");
const DATABASE: &str = "demo";
const USER: &str = "demo_app";
const PASSWORD: &str = "demo";
/// What the sample's policies read.
const SETTING: &str = "app.tenant_id";
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// What the demo can be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port that Howdah listens on, on 127.0.0.1.
    pub port: u16,
    /// The folder of `initdb` and `postgres`; else they are looked for.
    pub postgres_bin: Option<PathBuf>,
    /// Cargo's target folder, below which an embedded Postgres may lie.
    pub target: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: 6432, postgres_bin: None, target: PathBuf::from("target") }
    }
}

/// Why there is no demo.
#[derive(Debug)]
pub enum Error {
    /// No Postgres was found.
    NoPostgres,
    /// The folder given holds no `initdb` and `postgres`.
    NotPrograms(PathBuf),
    /// This process is root, and there is no other user to run Postgres as.
    NoOwner,
    /// A file or a program could not be used.
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
    /// A program of Postgres failed.
    Postgres {
        /// Which one.
        what: &'static str,
        /// What it said.
        output: String,
    },
}

impl Error {
    fn io(what: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { what, path: path.into(), error }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPostgres => write!(
                f,
                "no PostgreSQL found on PATH, in /usr/lib/postgresql or in target/pg; \
                 install one (apt-get install postgresql) or name its folder with --postgres-bin"
            ),
            Self::NotPrograms(folder) => write!(f, "no initdb and postgres in {}", folder.display()),
            Self::NoOwner => {
                write!(f, "PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")
            }
            Self::Io { what, path, error } => write!(f, "cannot {what} {}: {error}", path.display()),
            Self::Postgres { what, output } => write!(f, "{what} failed:\n{}", output.trim_end()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Starts Postgres with the sample, tells on stdout how to reach it, and calls `serve` with the path of a
/// configuration for it. When `serve` returns, which it should on Ctrl-C and SIGTERM, everything is
/// stopped and removed.
pub fn run<T>(options: &Options, serve: impl FnOnce(&Path) -> T) -> Result<T, Error> {
    let programs = find_programs(options.postgres_bin.as_deref(), &options.target)?;
    let postgres = ThrowawayPostgres::start(&programs, DATABASE, SAMPLE)?;
    let file = postgres.folder().join("howdah.toml");
    let page = free_port().map_err(|error| Error::io("listen for", Path::new("the page"), error))?;
    fs::write(&file, configuration(options.port, page, postgres.port()))
        .map_err(|error| Error::io("write", &file, error))?;
    println!("{}", welcome(options.port, page, &postgres, &programs));
    Ok(serve(&file))
}

/// A port that nobody listens on at this moment.
fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn configuration(port: u16, page: u16, postgres: u16) -> String {
    format!(
        "[listen]\naddresses = [\"127.0.0.1:{port}\"]\nauth_type = \"scram-sha-256\"\n\
         [listen.tls]\nmode = \"disable\"\n\n\
         [http]\naddress = \"127.0.0.1:{page}\"\n\n\
         [pool]\ndefault_pool_size = 5\n\n\
         [databases.{DATABASE}]\nhost = \"127.0.0.1\"\nport = {postgres}\n\
         [databases.{DATABASE}.tls]\nmode = \"disable\"\n\n\
         [users.{USER}]\npassword = \"{PASSWORD}\"\n\n\
         [tenancy]\nsetting = \"{SETTING}\"\n\
         {}",
        TENANTS.map(|tenant| format!("[tenants.{tenant}]\n")).concat()
    )
}

fn welcome(port: u16, page: u16, postgres: &ThrowawayPostgres, programs: &Path) -> String {
    let url =
        |user: &str, port: u16| format!("psql 'postgresql://{user}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}'");
    let tenant = |tenant: &str| url(&format!("{USER}.{tenant}"), port);
    format!(
        "PostgreSQL of {} with three tenants: {}.\n\n  \
         through Howdah, as acme:    {}\n  \
         through Howdah, as globex:  {}\n  \
         directly, without a tenant: {}\n\n\
         The same query gives each tenant its own rows, and none without a tenant:\n\n  \
         SELECT count(*), sum(amount) FROM orders;\n\n\
         To pretend to be another tenant is refused:\n\n  \
         SET {SETTING} = 'globex';\n\n\
         What every statement and every tenant costs: http://127.0.0.1:{page}/\n\n\
         Ctrl-C stops both and removes {}.\n",
        programs.display(),
        TENANTS.join(", "),
        tenant("acme"),
        tenant("globex"),
        url(USER, postgres.port()),
        postgres.folder().display()
    )
}
