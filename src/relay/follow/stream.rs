//! The replication connection: its commands, and what comes by it.

use std::time::SystemTime;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Fault;
use super::splitter::Splitter;
use crate::backend::{Backend, Loss};
use crate::cache::pgoutput::{self, Data, Event, Transactions};
use crate::net::Stream;
use crate::wire::{self, ErrorFields, back};

/// What is read at once.
const READ: usize = 64 << 10;
/// Seconds from 1970 to 2000, where the server's clock begins.
const TO_2000: u64 = 946_684_800;

/// Rows of an answer, as text.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// A connection that replicates.
pub(super) struct Walsender {
    io: Stream,
    splitter: Splitter,
    buf: Vec<u8>,
    transactions: Transactions,
    /// Everything before has been applied.
    position: u64,
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// In their order.
    pub(super) events: Vec<Event>,
    /// The server wants an answer at once.
    pub(super) reply: bool,
}

impl Walsender {
    /// Takes a connection that has just logged in.
    pub(super) fn new(backend: Backend) -> Self {
        let (io, _, _) = backend.into_parts();
        Self {
            io,
            splitter: Splitter::default(),
            buf: vec![0; READ],
            transactions: Transactions::default(),
            position: 0,
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let lost = |error: std::io::Error| Loss::Io(error.kind());
        self.io.write_all(bytes).await.map_err(lost)?;
        Ok(self.io.flush().await.map_err(lost)?)
    }

    /// How many bytes are there to be split. Cancel-safe.
    async fn read(&mut self) -> Result<usize, Fault> {
        match self.io.read(&mut self.buf).await {
            Ok(0) => Err(Loss::Io(std::io::ErrorKind::UnexpectedEof).into()),
            Ok(read) => Ok(read),
            Err(error) => Err(Loss::Io(error.kind()).into()),
        }
    }

    /// Runs one command of the replication protocol, or SQL.
    pub(super) async fn command(&mut self, text: &str) -> Result<Rows, Fault> {
        let mut out = Vec::new();
        wire::query(&mut out, text.as_bytes());
        self.send(&out).await?;
        let (mut rows, mut ready, mut refused) = (Rows::new(), false, None);
        while !ready {
            let read = self.read().await?;
            self.splitter.feed(self.buf.get(..read).unwrap_or_default(), |tag, body| {
                match tag {
                    back::DATA_ROW => rows.push(row(body)?),
                    back::ERROR if refused.is_none() => refused = Some(error(body)),
                    back::READY => ready = true,
                    _ => {}
                }
                Ok::<_, Fault>(())
            })?;
        }
        refused.map_or(Ok(rows), Err)
    }

    /// Begins to stream: [`Self::hear`] says what comes of it. A permanent slot goes on where it was left.
    pub(super) async fn start(&mut self, slot: &str, publication: &str) -> Result<(), Fault> {
        let publication = publication.replace('"', "\"\"").replace('\'', "''");
        let text = format!(
            "START_REPLICATION SLOT \"{slot}\" LOGICAL 0/0 (proto_version '1', publication_names \
             '\"{publication}\"', messages 'true')"
        );
        let mut out = Vec::new();
        wire::query(&mut out, text.as_bytes());
        self.send(&out).await
    }

    /// What comes next. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Result<Heard, Fault> {
        let read = self.read().await?;
        let Self { splitter, transactions, position, buf, .. } = self;
        let mut heard = Heard::default();
        splitter.feed(buf.get(..read).unwrap_or_default(), |tag, body| {
            match tag {
                back::COPY_DATA => match pgoutput::read_data(body)? {
                    Data::Change(payload) => {
                        let event = transactions.on_change(payload)?;
                        if let Some(Event::Committed(committed)) = &event {
                            *position = committed.end.max(*position);
                        }
                        heard.events.extend(event);
                    }
                    Data::Alive { end, reply } => {
                        heard.reply |= reply;
                        if !transactions.is_open() {
                            *position = end.max(*position);
                        }
                    }
                },
                back::ERROR => return Err(error(body)),
                back::COPY_DONE | back::COMMAND_COMPLETE | back::READY => {
                    return Err(Fault::Lost("the server ended the stream".to_owned()));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(heard)
    }

    /// Tells the server how far it has come. The events before must have been applied.
    pub(super) async fn confirm(&mut self) -> Result<(), Fault> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let clock = now.as_micros().saturating_sub(u128::from(TO_2000) * 1_000_000);
        let mut out = Vec::with_capacity(40);
        pgoutput::status_update(&mut out, self.position, u64::try_from(clock).unwrap_or_default());
        self.send(&out).await
    }

    /// Everything before this has been applied.
    pub(super) fn position(&self) -> u64 {
        self.position
    }
}

fn row(body: &[u8]) -> Result<Vec<Option<String>>, Fault> {
    let fields = wire::fields(body)?;
    Ok(fields.into_iter().map(|field| field.map(|text| String::from_utf8_lossy(text).into_owned())).collect())
}

/// What the server refuses, or why it ends the connection.
fn error(body: &[u8]) -> Fault {
    let fields = ErrorFields::read(body);
    let (code, text) = (String::from_utf8_lossy(fields.sqlstate), String::from_utf8_lossy(fields.message));
    Fault::Server(code.into_owned(), text.into_owned())
}
