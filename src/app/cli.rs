//! Arguments and subcommands.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::commands::{self, Sql};
use super::run;
use crate::auth::{ScramVerifier, md5_password};
use crate::config::{self, Config};
use crate::demo;

/// It went wrong.
pub(super) const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub(super) const WRONG: u8 = 2;

/// A PostgreSQL proxy that pools connections a transaction at a time.
#[derive(Parser)]
#[command(name = "howdah", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients until SIGTERM.
    Run {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Read the configuration, say what was understood, and exit: 0 if it is valid, else 2.
    Check {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Start a throw-away Postgres with sample tenants and Howdah in front of it; Ctrl-C ends both.
    Demo {
        /// The port that Howdah listens on.
        #[arg(long, default_value_t = 6432)]
        port: u16,
        /// The folder with initdb and postgres; else they are looked for.
        #[arg(long, value_name = "DIR")]
        postgres_bin: Option<PathBuf>,
    },
    /// Look at the servers as the pools do, and tell what would let one tenant see another's rows: 0 if nothing
    /// does, 1 if something does or cannot be looked at.
    Doctor {
        /// The configuration.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Only this database, by the name that clients ask for [default: all that the configuration names].
        #[arg(long, value_name = "NAME")]
        database: Option<String>,
        /// The column that holds the tenant [default: the last part of the setting].
        #[arg(long, value_name = "NAME")]
        column: Option<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print SQL that puts tables under row-level security, installs signed tenants or lets a database be followed, or
    /// the fingerprint of a query; runs nothing.
    Sql {
        #[command(subcommand)]
        what: Sql,
    },
    /// Read a password from standard input and print what to put into [users.X] password.
    HashPassword {
        /// Print the md5 form for this user (weak; for servers and drivers that know nothing better).
        #[arg(long, value_name = "USER")]
        md5: Option<String>,
    },
}

/// The whole program: reads the arguments, does what they say, and returns the exit code.
pub fn main() -> ExitCode {
    // clap itself exits with 2 on wrong usage, and 0 on --help and --version.
    match Arguments::parse().command {
        Command::Run { config } => serve(&config),
        Command::Check { config } => match load(&config) {
            Ok(config) => {
                print!("{}", config::describe(&config));
                ExitCode::SUCCESS
            }
            Err(code) => code,
        },
        Command::Demo { port, postgres_bin } => {
            let options = demo::Options { port, postgres_bin, ..demo::Options::default() };
            match demo::run(&options, serve) {
                Ok(code) => code,
                Err(error) => failed(&error),
            }
        }
        Command::Doctor { config, database, column, json } => {
            commands::doctor(&config, database, column.as_deref(), json)
        }
        Command::Sql { what } => commands::sql(what),
        Command::HashPassword { md5 } => hash_password(md5.as_deref()),
    }
}

/// Wrong usage or configuration.
pub(super) fn wrong(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("howdah: {error}");
    ExitCode::from(WRONG)
}

pub(super) fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("howdah: {error}");
    ExitCode::from(FAILED)
}

pub(super) fn load(path: &Path) -> Result<Config, ExitCode> {
    config::load(path).map_err(|errors| {
        eprint!("{errors}");
        ExitCode::from(WRONG)
    })
}

fn serve(path: &Path) -> ExitCode {
    match load(path).map(|config| run::run(config, path)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => failed(&error),
        Err(code) => code,
    }
}

fn hash_password(md5: Option<&str>) -> ExitCode {
    let password = match read_password() {
        Ok(password) if !password.is_empty() => password,
        Ok(_) => {
            eprintln!("howdah: the password is empty");
            return ExitCode::from(WRONG);
        }
        Err(error) => return failed(&error),
    };
    match md5 {
        Some(user) => println!("{}", md5_password(user, password.as_bytes())),
        None => match ScramVerifier::generate(password.as_bytes()) {
            Ok(verifier) => println!("{verifier}"),
            Err(error) => return failed(&error),
        },
    }
    ExitCode::SUCCESS
}

/// From a terminal without echo, else the first line of standard input.
fn read_password() -> std::io::Result<String> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password("Password: ");
    }
    let mut text = String::new();
    std::io::stdin().take(64 << 10).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
