//! The first packets of a connection (protocol chapter 55.2.1, 55.2.10).

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::accounts::Accounts;
use super::login;
use super::params;
use super::replication::{self, Replication};
use super::tenant;
use crate::auth::ScramKeys;
use crate::config::{CONSOLE_DATABASES, Database, User};
use crate::ids::SslMode;
use crate::net::Stream;
use crate::session::Settings;
use crate::tenancy::Identity;
use crate::wire::{self, CancelRequest, Malformed, PgError, Startup, StartupPacket};

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Arrival {
    /// A request to cancel another connection's query.
    Cancel(CancelRequest),
    /// A client.
    Client(Box<LoggedIn>),
    /// Somebody who asked for the console, and may.
    Operator(Box<Operator>),
    /// It closed without a word, as health checks of load balancers do.
    Nobody,
}

/// A client that is logged in and waits for its welcome.
#[derive(Debug)]
pub struct LoggedIn {
    /// Its connection.
    pub stream: Stream,
    /// Bytes that came behind the login.
    pub early: Vec<u8>,
    /// What it must still be sent ahead of the welcome.
    pub pending: Vec<u8>,
    /// Who it is.
    pub user: Arc<User>,
    /// Where it wants to go, as it named it.
    pub database_name: Arc<str>,
    /// Where that is.
    pub database: Arc<Database>,
    /// What its transactions must run with.
    pub settings: Settings,
    /// Bytes of secret in its cancel key: 4, or 32 since protocol 3.2.
    pub secret_len: usize,
    /// Keys to log in as this user on a server that has the same verifier.
    pub keys: Option<ScramKeys>,
    /// Who its tenant is, as far as the connection says; `None` without tenancy.
    pub identity: Option<Identity>,
    /// It wants to replicate, on a server connection of its own.
    pub replication: Option<Replication>,
}

/// Who is logged in to the console and waits for the welcome.
#[derive(Debug)]
pub struct Operator {
    /// The connection.
    pub stream: Stream,
    /// Bytes that came behind the login.
    pub early: Vec<u8>,
    /// What must still be sent ahead of the welcome.
    pub pending: Vec<u8>,
    /// Who it is.
    pub user: Arc<User>,
    /// What the client calls itself.
    pub application_name: Option<String>,
    /// Bytes of secret in its cancel key.
    pub secret_len: usize,
    /// May change things, not only look.
    pub may_change: bool,
}

/// A connection that was refused. The client has been told; this is for the log.
#[derive(Debug)]
pub struct Rejected {
    /// The user it claimed to be, if it came that far.
    pub user: Option<String>,
    /// Why.
    pub error: PgError,
}

/// A connection that is not logged in yet: its stream, and what was read of it and not used.
pub(super) struct Guest {
    pub(super) stream: Stream,
    pub(super) buf: Vec<u8>,
    pub(super) out: Vec<u8>,
}

/// Why a login does not go on.
pub(super) enum Stop {
    /// The client is to be told.
    Error(PgError),
    /// The client is gone.
    Gone,
}

impl From<PgError> for Stop {
    fn from(error: PgError) -> Self {
        Self::Error(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<Malformed> for Stop {
    fn from(what: Malformed) -> Self {
        Self::Error(PgError::protocol_violation(what.0))
    }
}

impl Guest {
    /// Reads more; a client that closes is gone.
    pub(super) async fn fill(&mut self) -> Result<(), Stop> {
        match self.stream.read_buf(&mut self.buf).await? {
            0 => Err(Stop::Gone),
            _ => Ok(()),
        }
    }

    /// Writes what is pending.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await?;
        self.out.clear();
        Ok(())
    }

    async fn first_packet(&mut self) -> Result<StartupPacket, Stop> {
        loop {
            if let Some(len) = wire::startup_length(&self.buf)?
                && self.buf.len() >= len
            {
                let rest = self.buf.split_off(len);
                let packet = std::mem::replace(&mut self.buf, rest);
                return Ok(wire::read_startup(&packet)?);
            }
            self.fill().await?;
        }
    }
}

/// Takes a fresh connection to where it is a client that is logged in. Not bounded in time: the caller's
/// business. Dropping it closes the connection.
///
/// # Errors
/// The connection was refused; the client was told and the stream is closed.
pub async fn arrive(stream: Stream, accounts: &Accounts) -> Result<Arrival, Rejected> {
    let mut guest = Guest { stream, buf: Vec::with_capacity(512), out: Vec::with_capacity(256) };
    let mut user = None;
    match welcome_in(&mut guest, accounts, &mut user).await {
        Ok(Some(Entry::Cancel(request))) => Ok(Arrival::Cancel(request)),
        Ok(Some(Entry::Client(client))) => Ok(Arrival::Client(Box::new(LoggedIn {
            stream: guest.stream,
            early: guest.buf,
            pending: guest.out,
            user: client.user,
            database_name: client.database_name,
            database: client.database,
            settings: client.settings,
            secret_len: client.secret_len,
            keys: client.keys,
            identity: client.identity,
            replication: client.replication,
        }))),
        Ok(Some(Entry::Operator { user, application_name, secret_len, may_change })) => {
            Ok(Arrival::Operator(Box::new(Operator {
                stream: guest.stream,
                early: guest.buf,
                pending: guest.out,
                user,
                application_name,
                secret_len,
                may_change,
            })))
        }
        Ok(None) | Err(Stop::Gone) => Ok(Arrival::Nobody),
        Err(Stop::Error(error)) => {
            error.write(&mut guest.out);
            let _ = guest.flush().await;
            let _ = guest.stream.shutdown().await;
            Err(Rejected { user, error })
        }
    }
}

enum Entry {
    Cancel(CancelRequest),
    Client(Client),
    Operator { user: Arc<User>, application_name: Option<String>, secret_len: usize, may_change: bool },
}

struct Client {
    user: Arc<User>,
    database_name: Arc<str>,
    database: Arc<Database>,
    settings: Settings,
    secret_len: usize,
    keys: Option<ScramKeys>,
    identity: Option<Identity>,
    replication: Option<Replication>,
}

async fn welcome_in(
    guest: &mut Guest,
    accounts: &Accounts,
    claimed: &mut Option<String>,
) -> Result<Option<Entry>, Stop> {
    let direct = accounts.tls.is_some() && matches!(guest.stream, Stream::Tcp(_));
    if direct && guest.stream.peek_first().await? == Some(0x16) {
        start_tls(guest, accounts, true).await?;
    }
    let startup = match encryption(guest, accounts).await? {
        StartupPacket::Cancel(request) => return Ok(Some(Entry::Cancel(request))),
        StartupPacket::Startup(startup) => startup,
        StartupPacket::Ssl | StartupPacket::GssEnc => {
            return Err(PgError::protocol_violation("encryption was asked for twice").into());
        }
    };
    let secret_len = negotiate(guest, &startup)?;
    demand_tls(guest, accounts)?;
    let user_name = startup
        .param("user")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| PgError::fatal("28000", "no PostgreSQL user name specified in startup packet"))?;
    *claimed = Some(user_name.chars().take(64).filter(|c| !c.is_control()).collect());
    let named = tenant::read_user(accounts, user_name)?;
    check_certificate(guest, accounts, named.name)?;
    let replication = replication::asked(&startup)?;
    let (settings, options) = params::settings(&startup, accounts.rules.is_some())?;
    let (user, keys) = login::authenticate(guest, accounts, named.name, user_name).await?;
    let asked = startup.param("database").filter(|name| !name.is_empty()).unwrap_or(named.name);
    let placed = tenant::read_database(accounts, asked)?;
    if CONSOLE_DATABASES.contains(&placed.name) && replication.is_none() {
        let may_change = may_operate(accounts, &user)?;
        let application_name = settings.get("application_name").map(str::to_owned);
        return Ok(Some(Entry::Operator { user, application_name, secret_len, may_change }));
    }
    let (database_name, database) = destination(accounts, &user, placed.name, replication)?;
    let identity = tenant::identity(accounts, &user, &named.claims, &placed.claims, &options)?;
    if replication.is_some() {
        replication::permit(accounts, &user)?;
    }
    let client = Client { user, database_name, database, settings, secret_len, keys, identity, replication };
    Ok(Some(Entry::Client(client)))
}

/// Whether a user of the console may change things there.
///
/// # Errors
/// This user may not even look.
fn may_operate(accounts: &Accounts, user: &User) -> Result<bool, PgError> {
    let admin = &accounts.config.admin;
    if admin.users.contains(&user.name) {
        return Ok(true);
    }
    if admin.stats_users.contains(&user.name) {
        return Ok(false);
    }
    Err(PgError::fatal("28000", format!("user \"{}\" may not use the console", user.name))
        .hint("Its users are listed in [admin] of the configuration."))
}

/// The database that a client means, and its name as the client may use it.
fn destination(
    accounts: &Accounts,
    user: &User,
    asked: &str,
    replication: Option<Replication>,
) -> Result<(Arc<str>, Arc<Database>), PgError> {
    let config = &accounts.config;
    let (name, database) = match config.database(asked) {
        Some(database) if *database.name == *asked => (Arc::clone(&database.name), database),
        Some(any) => (asked.into(), any),
        None if replication == Some(Replication::Physical) => replication::only_database(config, asked)?,
        None => return Err(no_database(asked)),
    };
    if user.may_use(&name) || user.may_use(&database.name) {
        return Ok((name, database));
    }
    Err(PgError::fatal("28000", format!("user \"{}\" may not use this database", user.name)))
}

/// 3D000.
pub(super) fn no_database(asked: &str) -> PgError {
    let shown: String = asked.chars().take(64).filter(|c| !c.is_control()).collect();
    PgError::fatal("3D000", format!("database \"{shown}\" does not exist"))
}

/// Answers requests for encryption, at most one of each kind, and returns the packet behind them.
async fn encryption(guest: &mut Guest, accounts: &Accounts) -> Result<StartupPacket, Stop> {
    let (mut ssl, mut gss) = (guest.stream.is_tls(), false);
    loop {
        match guest.first_packet().await? {
            StartupPacket::Ssl if !ssl => {
                ssl = true;
                if accounts.tls_mode() == SslMode::Disable || !matches!(guest.stream, Stream::Tcp(_)) {
                    guest.out.push(b'N');
                    guest.flush().await?;
                } else {
                    start_tls(guest, accounts, false).await?;
                }
            }
            StartupPacket::GssEnc if !gss && !guest.stream.is_tls() => {
                gss = true;
                guest.out.push(b'N');
                guest.flush().await?;
            }
            packet => return Ok(packet),
        }
    }
}

async fn start_tls(guest: &mut Guest, accounts: &Accounts, direct: bool) -> Result<(), Stop> {
    if !guest.buf.is_empty() {
        return Err(PgError::protocol_violation("received unencrypted data after SSL request")
            .detail("This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.")
            .into());
    }
    let Some(tls) = &accounts.tls else { return Err(Stop::Gone) };
    if !direct {
        guest.out.push(b'S');
        guest.flush().await?;
    }
    let bare = std::mem::replace(&mut guest.stream, Stream::closed());
    let encrypted = if direct { tls.accept_direct(bare).await } else { tls.accept_negotiated(bare).await };
    // A failed handshake leaves no channel to say so on; TLS itself has sent its alert.
    guest.stream = encrypted.map_err(|error| {
        tracing::debug!(%error, "TLS handshake with a client failed");
        Stop::Gone
    })?;
    Ok(())
}

fn demand_tls(guest: &Guest, accounts: &Accounts) -> Result<(), Stop> {
    let demanded = matches!(accounts.tls_mode(), SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull);
    if demanded && matches!(guest.stream, Stream::Tcp(_)) {
        return Err(PgError::fatal("28000", "connections without TLS are not allowed")
            .hint("Connect with sslmode=require or stronger.")
            .into());
    }
    Ok(())
}

/// With `verify-full` a client's certificate names the user, as `clientcert=verify-full` has it in Postgres.
fn check_certificate(guest: &Guest, accounts: &Accounts, user_name: &str) -> Result<(), Stop> {
    if accounts.tls_mode() != SslMode::VerifyFull || !guest.stream.is_tls() {
        return Ok(());
    }
    if guest.stream.peer_certificate_common_name().as_deref() == Some(user_name) {
        return Ok(());
    }
    Err(PgError::fatal("28000", "the client certificate is not for this user")
        .hint("Its common name (CN) must be the name of the user.")
        .into())
}

/// Checks the version and answers what is not spoken. Returns the length of the cancel key's secret.
fn negotiate(guest: &mut Guest, startup: &Startup) -> Result<usize, Stop> {
    let (major, minor) = (startup.version >> 16, startup.version & 0xffff);
    if major != 3 {
        return Err(PgError::fatal(
            "0A000",
            format!("unsupported frontend protocol {major}.{minor}: this proxy supports 3.0 to 3.2"),
        )
        .into());
    }
    let unknown: Vec<&str> =
        startup.params.iter().map(|(name, _)| name.as_str()).filter(|n| n.starts_with("_pq_.")).collect();
    if startup.version > wire::PROTOCOL_3_2 || !unknown.is_empty() {
        let speaks = startup.version.min(wire::PROTOCOL_3_2);
        wire::negotiate_protocol(&mut guest.out, speaks, &unknown);
    }
    Ok(if startup.version >= wire::PROTOCOL_3_2 { 32 } else { 4 })
}
