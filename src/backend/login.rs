//! Logging in to a server (protocol chapter 55.2.1).

use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::cancel::CancelTarget;
use super::connect::{ConnectError, Credential, ServerConfig};
use super::connection::Backend;
use crate::auth::scram::Mechanism;
use crate::auth::scram::client::{self, Binding};
use crate::auth::{self, ScramKeys};
use crate::ids::BackendId;
use crate::net::Stream;
use crate::wire::{self, ErrorFields, Parameters, Side, back, front};

/// No message of a login is longer, in bytes.
const MAX_MESSAGE: usize = 64 << 10;
/// No login has more messages.
const MAX_MESSAGES: usize = 1000;

/// A login under way.
pub(super) struct Login<'a> {
    io: Stream,
    config: &'a ServerConfig,
    buf: Vec<u8>,
    messages: usize,
}

impl<'a> Login<'a> {
    pub(super) fn new(io: Stream, config: &'a ServerConfig) -> Self {
        Self { io, config, buf: Vec::with_capacity(1024), messages: 0 }
    }

    /// From the startup message to the first `ReadyForQuery`.
    pub(super) async fn run(mut self, id: BackendId, worker: usize) -> Result<Box<Backend>, ConnectError> {
        let mut out = Vec::with_capacity(128);
        let mut asked = vec![("user", &*self.config.user), ("database", &*self.config.dbname)];
        asked.extend(self.config.startup.iter().map(|(name, value)| (*name, value.as_str())));
        wire::startup_message(&mut out, &asked);
        self.send(&out).await?;
        self.authenticate().await?;
        let (cancel, parameters) = self.settle().await?;
        let max = self.config.max_prepared_statements;
        Ok(Box::new(Backend::new(self.io, id, cancel, &self.config.user, parameters, max, worker)))
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        self.io.write_all(bytes).await?;
        Ok(self.io.flush().await?)
    }

    /// The next message that is not a notice: type and body. An `ErrorResponse` is an error here.
    async fn message(&mut self) -> Result<(u8, Vec<u8>), ConnectError> {
        loop {
            self.messages += 1;
            if self.messages > MAX_MESSAGES {
                return Err(ConnectError::Protocol("too many messages during login"));
            }
            let (tag, body) = self.any_message().await?;
            match tag {
                back::NOTICE => {}
                back::ERROR => {
                    let fields = ErrorFields::read(&body);
                    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                    return Err(ConnectError::Server(text(fields.sqlstate), text(fields.message)));
                }
                _ => return Ok((tag, body)),
            }
        }
    }

    async fn any_message(&mut self) -> Result<(u8, Vec<u8>), ConnectError> {
        loop {
            let head = wire::header(Side::Backend, &self.buf).map_err(|_| {
                ConnectError::Protocol("a message of an unknown type or an impossible length")
            })?;
            if let Some(head) = head {
                if head.len > MAX_MESSAGE {
                    return Err(ConnectError::Protocol("a message too long for a login"));
                }
                if self.buf.len() >= head.len {
                    let rest = self.buf.split_off(head.len);
                    let mut message = std::mem::replace(&mut self.buf, rest);
                    return Ok((head.tag, message.split_off(5)));
                }
            }
            if self.io.read_buf(&mut self.buf).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// An authentication request: its code and what follows.
    async fn request(&mut self) -> Result<(u32, Vec<u8>), ConnectError> {
        let (tag, mut body) = self.message().await?;
        match (tag, body.first_chunk::<4>()) {
            (back::AUTHENTICATION, Some(code)) => {
                let code = u32::from_be_bytes(*code);
                Ok((code, body.split_off(4)))
            }
            // An older server that does not know something of our startup message.
            (back::NEGOTIATE, _) => Err(ConnectError::Protocol("protocol 3.0 is negotiated down")),
            _ => Err(ConnectError::Protocol("no authentication request")),
        }
    }

    async fn authenticate(&mut self) -> Result<(), ConnectError> {
        let (code, data) = self.request().await?;
        match code {
            0 => return Ok(()),
            3 => self.password(|_, password| Ok(password.as_bytes().to_vec())).await?,
            5 => {
                let salt: [u8; 4] =
                    data.as_slice().try_into().map_err(|_| ConnectError::Protocol("md5 without its salt"))?;
                self.password(|user, password| {
                    let stored = if is_md5(password) {
                        password.to_owned()
                    } else {
                        auth::md5_password(user, password.as_bytes())
                    };
                    Ok(auth::md5_response(&stored, salt).into_bytes())
                })
                .await?;
            }
            10 => self.scram(&data).await?,
            _ => return Err(ConnectError::Protocol("an authentication method that is not supported")),
        }
        match self.request().await? {
            (0, _) => Ok(()),
            _ => Err(ConnectError::Protocol("no AuthenticationOk")),
        }
    }

    async fn password(
        &mut self,
        answer: impl FnOnce(&str, &str) -> Result<Vec<u8>, ConnectError>,
    ) -> Result<(), ConnectError> {
        let Credential::Password(password) = &self.config.credential else {
            return Err(ConnectError::NoPassword);
        };
        let answer = answer(&self.config.user, password.expose_secret())?;
        let mut out = Vec::with_capacity(answer.len() + 6);
        wire::frame(&mut out, front::PASSWORD, |out| {
            out.extend_from_slice(&answer);
            out.push(0);
        });
        self.send(&out).await
    }

    async fn scram(&mut self, offered: &[u8]) -> Result<(), ConnectError> {
        let mut offers = offered.split(|b| *b == 0);
        let plus = offers.clone().any(|m| m == Mechanism::ScramSha256Plus.name().as_bytes());
        if !plus && !offers.any(|m| m == Mechanism::ScramSha256.name().as_bytes()) {
            return Err(ConnectError::Protocol("a SASL mechanism that is not supported"));
        }
        // A certificate without a defined hash (Ed25519) means no channel binding, as libpq has it.
        let hash = self.io.peer_certificate().and_then(|cert| auth::channel_binding_hash(&cert).ok());
        let binding = Binding::choose(plus, hash.as_deref());
        let (first, state) = client::start(binding).map_err(ConnectError::Auth)?;
        let mut out = Vec::with_capacity(128);
        wire::frame(&mut out, front::PASSWORD, |out| {
            out.extend_from_slice(binding.mechanism().name().as_bytes());
            out.push(0);
            out.extend_from_slice(&u32::try_from(first.len()).unwrap_or_default().to_be_bytes());
            out.extend_from_slice(first.as_bytes());
        });
        self.send(&out).await?;
        let (11, data) = self.request().await? else {
            return Err(ConnectError::Protocol("no AuthenticationSASLContinue"));
        };
        let challenge = state.server_first(&data).map_err(ConnectError::Auth)?;
        let keys = self.keys(&challenge).await?;
        let (answer, state) = challenge.answer(&keys);
        out.clear();
        wire::frame(&mut out, front::PASSWORD, |out| out.extend_from_slice(answer.as_bytes()));
        self.send(&out).await?;
        let (12, data) = self.request().await? else {
            return Err(ConnectError::Protocol("no AuthenticationSASLFinal"));
        };
        state.server_final(&data).map_err(ConnectError::Auth)
    }

    /// The keys for this challenge: passed through, remembered, or derived (which costs milliseconds, so not
    /// on the worker's thread).
    async fn keys(&self, challenge: &client::Challenge) -> Result<ScramKeys, ConnectError> {
        let password = match &self.config.credential {
            Credential::PassThrough(keys) => return keys.lock().clone().ok_or(ConnectError::NoPassword),
            Credential::None => return Err(ConnectError::NoPassword),
            Credential::Password(password) => password.clone(),
        };
        let secret = password.expose_secret().as_bytes();
        if let Some(keys) = challenge.find(&mut self.config.keys.lock(), secret) {
            return Ok(keys);
        }
        let (salt, iterations) = (challenge.salt().to_vec(), challenge.iterations());
        let work = password.clone();
        let keys = tokio::task::spawn_blocking(move || {
            auth::derive_keys(work.expose_secret().as_bytes(), &salt, iterations)
        })
        .await
        .map_err(|_| ConnectError::Protocol("key derivation was interrupted"))?
        .map_err(ConnectError::Auth)?;
        challenge.remember(&mut self.config.keys.lock(), secret, &keys);
        Ok(keys)
    }

    /// From `AuthenticationOk` to `ReadyForQuery`, and what came with that: a server may say at any time that a
    /// setting has changed, or that it ends.
    async fn settle(&mut self) -> Result<(CancelTarget, Parameters), ConnectError> {
        let mut cancel = self.no_cancel();
        let mut parameters = Parameters::new();
        let mut ready = false;
        while !ready || !self.buf.is_empty() {
            let (tag, body) = self.message().await?;
            match tag {
                back::PARAMETER_STATUS => {
                    let (name, value) = wire::parameter_status(&body)
                        .ok_or(ConnectError::Protocol("a ParameterStatus without its strings"))?;
                    parameters.retain(|(known, _)| **known != *name);
                    parameters.push((name.into(), value.into()));
                }
                back::BACKEND_KEY_DATA if !ready => {
                    let Some((pid, secret)) = body.split_first_chunk::<4>() else {
                        return Err(ConnectError::Protocol("a BackendKeyData without its key"));
                    };
                    cancel.pid = u32::from_be_bytes(*pid);
                    cancel.secret = secret.into();
                }
                back::READY if !ready && body == b"I" => ready = true,
                _ => return Err(ConnectError::Protocol("a message that has no place in a login")),
            }
        }
        Ok((cancel, parameters))
    }

    fn no_cancel(&self) -> CancelTarget {
        CancelTarget { host: self.config.host.clone(), port: self.config.port, pid: 0, secret: [0; 4].into() }
    }
}

fn is_md5(password: &str) -> bool {
    password.len() == 35
        && password.starts_with("md5")
        && password.bytes().skip(3).all(|b| b.is_ascii_hexdigit())
}
