//! Authentication of clients (protocol chapters 55.2.1 and 55.3).

use std::sync::Arc;

use secrecy::ExposeSecret;

use super::accounts::Accounts;
use super::arrive::{Guest, Stop};
use crate::auth::scram::Mechanism;
use crate::auth::scram::server::AwaitClientFirst;
use crate::auth::{self, AuthError, ScramKeys, ScramVerifier, Verifier};
use crate::config::{AuthType, User};
use crate::net::Stream;
use crate::wire::{self, FrameError, PgError, Side, front};

const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// Asks the client to prove that it is `name`; `typed` is what it called itself, which may name a tenant too.
/// `AuthenticationOk` is left pending, to go out with the welcome.
pub(super) async fn authenticate(
    guest: &mut Guest,
    accounts: &Accounts,
    name: &str,
    typed: &str,
) -> Result<(Arc<User>, Option<ScramKeys>), Stop> {
    let user = accounts.user(name);
    let verifier = accounts.verifier(name);
    let keys = match accounts.auth_type(user.as_deref()) {
        AuthType::Trust if user.is_some() => None,
        // A trusted user who does not exist: there is no password to be wrong.
        AuthType::Trust => return Err(PgError::fatal("28000", "this user may not log in here").into()),
        AuthType::Password => {
            cleartext(guest, name, verifier).await?;
            None
        }
        AuthType::Md5 if !matches!(verifier, Some(Verifier::Scram(_))) => {
            md5(guest, typed, verifier).await?;
            None
        }
        AuthType::Md5 | AuthType::ScramSha256 => Some(scram(guest, accounts, name, false).await?),
        AuthType::ScramSha256Plus => Some(scram(guest, accounts, name, true).await?),
    };
    let Some(user) = user else { return Err(wrong_password(name)) };
    wire::authentication(&mut guest.out, OK, &[]);
    Ok((user, keys))
}

fn wrong_password(name: &str) -> Stop {
    let shown: String = name.chars().take(64).filter(|c| !c.is_control()).collect();
    PgError::fatal("28P01", format!("password authentication failed for user \"{shown}\"")).into()
}

fn refused(error: AuthError, name: &str) -> Stop {
    if error == AuthError::WrongPassword {
        return wrong_password(name);
    }
    if error.is_public() {
        return PgError::fatal(error.sqlstate(), error.to_string()).into();
    }
    tracing::warn!(%error, "a login failed for a reason that is ours");
    PgError::fatal("XX000", "authentication failed").into()
}

/// Reads one `p` message.
async fn response(guest: &mut Guest) -> Result<Vec<u8>, Stop> {
    loop {
        let head = wire::header(Side::Frontend, &guest.buf).map_err(|error| {
            let code = if matches!(error, FrameError::TooLong(..)) { "54000" } else { "08P01" };
            PgError::fatal(code, error.to_string())
        })?;
        if let Some(head) = head {
            if head.tag != front::PASSWORD {
                return Err(PgError::protocol_violation("expected a password or SASL response").into());
            }
            if guest.buf.len() >= head.len {
                let rest = guest.buf.split_off(head.len);
                let mut message = std::mem::replace(&mut guest.buf, rest);
                return Ok(message.split_off(5));
            }
        }
        guest.fill().await?;
    }
}

async fn cleartext(guest: &mut Guest, name: &str, verifier: Option<&Verifier>) -> Result<(), Stop> {
    if matches!(guest.stream, Stream::Tcp(_)) {
        return Err(PgError::fatal("28000", "password authentication needs TLS")
            .hint("Connect with sslmode=require or stronger.")
            .into());
    }
    wire::authentication(&mut guest.out, CLEARTEXT, &[]);
    guest.flush().await?;
    let message = response(guest).await?;
    let Some((password, [])) = wire::c_string(&message) else {
        return Err(PgError::protocol_violation("invalid password packet size").into());
    };
    let right = if let Some(verifier) = verifier.cloned() {
        let (name, password) = (name.to_owned(), password.to_vec());
        blocking(move || verifier.verify_password(&name, &password)).await?
    } else {
        // As much work as for a user who exists, for nothing.
        let password = password.to_vec();
        blocking(move || ScramVerifier::generate(&password)).await?.map_err(|e| refused(e, name))?;
        false
    };
    if right { Ok(()) } else { Err(wrong_password(name)) }
}

/// The client's hash is of the name that it typed: with a tenant in the name a stored hash does not fit, only a
/// plain password does.
async fn md5(guest: &mut Guest, name: &str, verifier: Option<&Verifier>) -> Result<(), Stop> {
    let mut salt = [0; 4];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| refused(AuthError::Random, name))?;
    wire::authentication(&mut guest.out, MD5, &salt);
    guest.flush().await?;
    let message = response(guest).await?;
    let Some((answer, [])) = wire::c_string(&message) else {
        return Err(PgError::protocol_violation("invalid password packet size").into());
    };
    let stored = verifier.and_then(|v| v.to_md5(name));
    let against = stored.as_ref().map_or("md5", |stored| stored.expose_secret());
    let right = auth::md5_check(against, salt, answer);
    if right && stored.is_some() { Ok(()) } else { Err(wrong_password(name)) }
}

async fn scram(
    guest: &mut Guest,
    accounts: &Accounts,
    name: &str,
    plus_only: bool,
) -> Result<ScramKeys, Stop> {
    let hash = accounts
        .tls
        .as_ref()
        .filter(|_| guest.stream.is_tls())
        .and_then(|tls| auth::channel_binding_hash(tls.leaf_certificate()).ok());
    if plus_only && hash.is_none() {
        return Err(PgError::fatal("28000", "this login needs TLS with channel binding")
            .hint("Connect with sslmode=require and channel_binding=require.")
            .into());
    }
    let offered: Vec<Mechanism> = Mechanism::offered(hash.is_some())
        .iter()
        .copied()
        .filter(|m| !plus_only || *m == Mechanism::ScramSha256Plus)
        .collect();
    let mut list: Vec<u8> = offered.iter().flat_map(|m| [m.name().as_bytes(), &[0]].concat()).collect();
    list.push(0);
    wire::authentication(&mut guest.out, SASL, &list);
    guest.flush().await?;

    let message = response(guest).await?;
    let (mechanism, first) = initial_response(&message)?;
    let mechanism = Mechanism::parse(mechanism).ok().filter(|m| offered.contains(m));
    let mechanism = mechanism.ok_or_else(|| refused(AuthError::Mechanism, name))?;
    let secret = accounts.scram_secret(name).map_err(|e| refused(e, name))?;
    let state = AwaitClientFirst::new(mechanism, hash.as_deref(), secret).map_err(|e| refused(e, name))?;
    let (answer, state) = state.client_first(first).map_err(|e| refused(e, name))?;
    wire::authentication(&mut guest.out, SASL_CONTINUE, answer.as_bytes());
    guest.flush().await?;

    let message = response(guest).await?;
    let (answer, keys) = state.client_final(&message).map_err(|e| refused(e, name))?;
    wire::authentication(&mut guest.out, SASL_FINAL, answer.as_bytes());
    Ok(keys)
}

/// `SASLInitialResponse`: mechanism, length, data. A length of −1 means none, which SCRAM does not allow.
fn initial_response(message: &[u8]) -> Result<(&[u8], &[u8]), Stop> {
    const BAD: &str = "malformed SASLInitialResponse";
    let (mechanism, rest) = wire::c_string(message).ok_or_else(|| PgError::protocol_violation(BAD))?;
    let (len, data) = rest.split_first_chunk::<4>().ok_or_else(|| PgError::protocol_violation(BAD))?;
    if usize::try_from(i32::from_be_bytes(*len)) != Ok(data.len()) {
        return Err(PgError::protocol_violation(BAD).into());
    }
    Ok((mechanism, data))
}

/// Key derivation takes a millisecond: not on a worker's thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stop> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Stop::Gone)
}
