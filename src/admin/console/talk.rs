//! One operator's conversation: messages in, messages out. Knows no socket.
//!
//! The console speaks both query protocols. Everything that it says is whole in memory before it is sent, so
//! there is no transaction, nothing to cancel, and a portal is a list of rows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Operations;
use super::command::{Command, commands};
use super::show::show;
use super::table::{self, Column, Formats, Row};
use super::view::View;
use crate::cache::Purge;
use crate::wire::{self, Frame, Malformed, PgError, Severity, Target, back, front};

/// Most statements, and most portals, that one operator may have.
const MAX_NAMES: usize = 100;

/// What an operator has.
pub(super) struct Talk {
    operations: Arc<dyn Operations>,
    /// The operator's name, for the log.
    user: Arc<str>,
    /// May change things, not only look.
    may_change: bool,
    /// Prepared statements; `None` for an empty text.
    statements: HashMap<Vec<u8>, Option<Command>>,
    portals: HashMap<Vec<u8>, Portal>,
    /// BEGIN was said: portals outlive a Sync, for drivers that fetch few rows at a time.
    in_block: bool,
    /// After an error: until the next Sync nothing is done.
    skipping: bool,
}

#[derive(Clone)]
struct Portal {
    command: Option<Command>,
    formats: Formats,
    /// What is left of its answer, once it was executed.
    answer: Option<Answer>,
}

/// What a command answers.
#[derive(Clone)]
struct Answer {
    rows: VecDeque<Row>,
    /// What completes it.
    tag: String,
    notice: Option<&'static str>,
}

/// Whether the conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    /// The operator leaves, or was told that it is over.
    End,
}

impl Talk {
    pub(super) fn new(operations: Arc<dyn Operations>, user: Arc<str>, may_change: bool) -> Self {
        Self {
            operations,
            user,
            may_change,
            statements: HashMap::new(),
            portals: HashMap::new(),
            in_block: false,
            skipping: false,
        }
    }

    /// Answers one message, of which `body` is what follows its length.
    pub(super) fn message(&mut self, frame: Frame, body: &[u8], out: &mut Vec<u8>) -> Next {
        match frame.tag {
            front::TERMINATE => return Next::End,
            front::SYNC => {
                self.skipping = false;
                // It ends the transaction in which portals live, unless one was begun.
                if !self.in_block {
                    self.portals.clear();
                }
                wire::ready_for_query(out, b'I');
                return Next::GoOn;
            }
            _ if self.skipping => return Next::GoOn,
            front::QUERY => {
                if let Err(error) = self.query(body, out) {
                    error.write(out);
                    if error.severity == Severity::Fatal {
                        return Next::End;
                    }
                }
                wire::ready_for_query(out, b'I');
                return Next::GoOn;
            }
            _ => {}
        }
        match self.extended(frame.tag, body, out) {
            Ok(()) => Next::GoOn,
            Err(error) => {
                error.write(out);
                self.skipping = true;
                self.portals.clear(); // as with the transaction that has failed
                if error.severity == Severity::Fatal { Next::End } else { Next::GoOn }
            }
        }
    }

    fn query(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), PgError> {
        self.statements.remove(&b""[..]);
        self.portals.clear();
        let commands = commands(whole_text(body)?)?;
        if commands.is_empty() {
            wire::frame(out, back::EMPTY_QUERY, |_| {});
        }
        for command in commands {
            let mut answer = self.run(&command)?;
            self.follow(&command);
            let formats = Formats::default();
            if let Some(columns) = columns(&command) {
                table::describe(out, columns, &formats);
            }
            finish(&mut answer, columns(&command), &formats, 0, out);
        }
        Ok(())
    }

    fn extended(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) -> Result<(), PgError> {
        match tag {
            front::PARSE => {
                self.parse(body)?;
                wire::frame(out, back::PARSE_COMPLETE, |_| {});
            }
            front::BIND => {
                self.bind(body)?;
                wire::frame(out, back::BIND_COMPLETE, |_| {});
            }
            front::DESCRIBE => self.describe(body, out)?,
            front::EXECUTE => self.execute(body, out)?,
            front::CLOSE => {
                match wire::target(body).map_err(violation)? {
                    Target::Statement(name) => drop(self.statements.remove(name)),
                    Target::Portal(name) => drop(self.portals.remove(name)),
                }
                wire::frame(out, back::CLOSE_COMPLETE, |_| {});
            }
            // Every answer is sent at once; and what is left of a COPY that failed is passed over, as the server
            // does it.
            front::FLUSH | front::COPY_DATA | front::COPY_DONE | front::COPY_FAIL => {}
            front::FUNCTION_CALL => {
                // It is no part of a series that a Sync would end.
                PgError::error("0A000", "the console has no functions").write(out);
                wire::ready_for_query(out, b'I');
            }
            _ => return Err(PgError::protocol_violation("unexpected message")),
        }
        Ok(())
    }

    fn parse(&mut self, body: &[u8]) -> Result<(), PgError> {
        let parse = wire::parse(body).map_err(violation)?;
        let mut commands = commands(text(parse.query)?)?;
        let command = commands.pop();
        if !commands.is_empty() {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(PgError::error("42601", message));
        }
        if !parse.name.is_empty() && self.statements.contains_key(parse.name) {
            return Err(PgError::error(
                "42P05",
                format!("prepared statement {} already exists", shown(parse.name)),
            ));
        }
        room(self.statements.len())?;
        self.statements.insert(parse.name.to_vec(), command);
        Ok(())
    }

    fn bind(&mut self, body: &[u8]) -> Result<(), PgError> {
        let malformed = || PgError::protocol_violation("malformed Bind");
        let head = wire::bind_head(body).ok_or_else(malformed)?;
        let command = self.statement(head.statement)?.clone();
        let rest = body.get(head.rest..).ok_or_else(malformed)?;
        let (_, rest) = numbers(rest).ok_or_else(malformed)?;
        let (params, rest) = rest.split_first_chunk::<2>().ok_or_else(malformed)?;
        if *params != [0, 0] {
            return Err(PgError::error("0A000", "commands of the console take no parameters"));
        }
        let (formats, rest) = numbers(rest).ok_or_else(malformed)?;
        let width = command.as_ref().and_then(columns).map_or(0, <[Column]>::len);
        if !rest.is_empty() || (formats.len() > 1 && formats.len() != width) {
            return Err(malformed());
        }
        if formats.iter().any(|format| *format > 1) {
            return Err(PgError::error("22023", "unsupported format code"));
        }
        if !head.portal.is_empty() && self.portals.contains_key(head.portal) {
            return Err(PgError::error("42P03", format!("portal {} already exists", shown(head.portal))));
        }
        room(self.portals.len())?;
        let formats = Formats(formats.into_iter().map(|format| format == 1).collect());
        self.portals.insert(head.portal.to_vec(), Portal { command, formats, answer: None });
        Ok(())
    }

    fn statement(&self, name: &[u8]) -> Result<&Option<Command>, PgError> {
        let found = self.statements.get(name);
        found.ok_or_else(|| {
            PgError::error("26000", format!("prepared statement {} does not exist", shown(name)))
        })
    }

    fn describe(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), PgError> {
        let (command, formats) = match wire::target(body).map_err(violation)? {
            Target::Statement(name) => {
                let command = self.statement(name)?;
                wire::frame(out, back::PARAMETER_DESCRIPTION, |out| out.extend_from_slice(&[0, 0]));
                (command, &Formats::default())
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (&portal.command, &portal.formats)
            }
        };
        match command.as_ref().and_then(columns) {
            Some(columns) => table::describe(out, columns, formats),
            None => wire::frame(out, back::NO_DATA, |_| {}),
        }
        Ok(())
    }

    fn execute(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), PgError> {
        let (name, rest) =
            wire::c_string(body).ok_or_else(|| PgError::protocol_violation("malformed Execute"))?;
        let most: [u8; 4] = rest.try_into().map_err(|_| PgError::protocol_violation("malformed Execute"))?;
        // As the server has it, zero and below are no limit.
        let most = usize::try_from(i32::from_be_bytes(most)).unwrap_or(0);
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        let (answer, ran) = match (&portal.command, &portal.answer) {
            (None, _) => {
                wire::frame(out, back::EMPTY_QUERY, |_| {});
                return Ok(());
            }
            (Some(command), None) => (Some(self.run(command)?), Some(command.clone())),
            (Some(_), Some(_)) => (None, None),
        };
        if let Some(portal) = self.portals.get_mut(name) {
            portal.answer = answer.or(portal.answer.take());
            if let Some(answer) = &mut portal.answer {
                let columns = portal.command.as_ref().and_then(columns);
                finish(answer, columns, &portal.formats, most, out);
            }
        }
        if let Some(ran) = ran {
            self.follow(&ran);
        }
        Ok(())
    }

    /// What a command that was run means for portals.
    fn follow(&mut self, command: &Command) {
        match command {
            Command::Ignored("BEGIN" | "START TRANSACTION") => self.in_block = true,
            Command::Ignored("COMMIT" | "ROLLBACK") => {
                self.in_block = false;
                self.portals.clear();
            }
            _ => {}
        }
    }

    fn run(&self, command: &Command) -> Result<Answer, PgError> {
        match command {
            Command::Show(view, options) => {
                if *view == View::Fds {
                    self.may("SHOW FDS")?;
                }
                let rows = show(&*self.operations, *view, options)?;
                Ok(Answer { rows: rows.into(), tag: "SHOW".to_owned(), notice: None })
            }
            Command::Ignored(tag) => Ok(Answer {
                rows: VecDeque::new(),
                tag: (*tag).to_owned(),
                notice: Some("the console has no settings and no transactions: this is ignored"),
            }),
            Command::Missing(word, instead) => {
                self.may(word)?;
                Err(PgError::error("0A000", format!("{word} is not supported")).hint(*instead))
            }
            Command::ResetStatistics => {
                self.may("RESET STATS")?;
                let observer = self.operations.observer().ok_or_else(|| {
                    PgError::error("55000", "nothing is measured").hint("See enabled in [observe].")
                })?;
                observer.reset();
                tracing::info!(user = %self.user, "RESET STATS");
                Ok(Answer { rows: VecDeque::new(), tag: "RESET".to_owned(), notice: None })
            }
            Command::Purge { what, database } => self.purge(what, database.as_deref()),
        }
    }

    /// # Errors
    /// 42501: the operator may only look.
    fn may(&self, what: &str) -> Result<(), PgError> {
        if self.may_change {
            return Ok(());
        }
        Err(PgError::error("42501", format!("permission denied for {what}"))
            .hint("Users that may change things are listed in users of [admin]."))
    }

    fn purge(&self, what: &Purge, database: Option<&str>) -> Result<Answer, PgError> {
        self.may("CACHE PURGE")?;
        let cache = self.operations.cache().ok_or_else(|| {
            PgError::error("55000", "there is no cache").hint("[cache] in the configuration makes one.")
        })?;
        let purged = match database {
            None => cache.purge(what),
            Some(name) => self.operations.cached_database(name).ok_or_else(|| no_cache(name))?.purge(what),
        };
        tracing::info!(user = %self.user, ?what, ?database, entries = purged.entries, "CACHE PURGE");
        let tag = format!("CACHE PURGE {}", purged.entries);
        Ok(Answer { rows: VecDeque::new(), tag, notice: None })
    }
}

/// Writes an answer, or `most` rows of it.
fn finish(
    answer: &mut Answer,
    columns: Option<&[Column]>,
    formats: &Formats,
    most: usize,
    out: &mut Vec<u8>,
) {
    if let Some(notice) = answer.notice.take() {
        table::notice(out, notice);
    }
    let now = if most == 0 { answer.rows.len() } else { most.min(answer.rows.len()) };
    for row in answer.rows.drain(..now) {
        table::row(out, columns.unwrap_or_default(), &row, formats);
    }
    // As the server: with exactly as many rows as asked for it does not know yet that there are no more.
    if most > 0 && now == most {
        wire::frame(out, back::PORTAL_SUSPENDED, |_| {});
    } else {
        table::complete(out, &answer.tag);
    }
}

/// The columns of a command's answer; `None` when it has none.
fn columns(command: &Command) -> Option<&'static [Column]> {
    match command {
        Command::Show(view, _) => Some(view.columns()),
        Command::Purge { .. } | Command::Ignored(_) | Command::Missing(..) | Command::ResetStatistics => None,
    }
}

fn violation(malformed: Malformed) -> PgError {
    PgError::protocol_violation(malformed.0)
}

fn no_portal(name: &[u8]) -> PgError {
    PgError::error("34000", format!("portal {} does not exist", shown(name)))
}

fn no_cache(name: &str) -> PgError {
    PgError::error("3D000", format!("no database {} is cached", shown(name.as_bytes())))
        .hint("SHOW CACHE lists them; one that nobody used yet is not there.")
}

fn room(taken: usize) -> Result<(), PgError> {
    if taken < MAX_NAMES {
        return Ok(());
    }
    Err(PgError::error("54000", format!("more than {MAX_NAMES} prepared statements or portals")))
}

/// The text of a Query.
fn whole_text(body: &[u8]) -> Result<&str, PgError> {
    match wire::c_string(body) {
        Some((query, [])) => text(query),
        _ => Err(PgError::protocol_violation("malformed Query")),
    }
}

fn text(bytes: &[u8]) -> Result<&str, PgError> {
    std::str::from_utf8(bytes)
        .map_err(|_| PgError::error("22021", "invalid byte sequence for encoding \"UTF8\""))
}

/// A name for a message: short, and without control characters.
fn shown(name: &[u8]) -> String {
    let name: String = String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).take(64).collect();
    format!("\"{name}\"")
}

/// A counted list of 16-bit numbers, and what follows it.
fn numbers(bytes: &[u8]) -> Option<(Vec<u16>, &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<2>()?;
    let (list, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*count)) * 2)?;
    let numbers = list.chunks_exact(2).filter_map(|two| Some(u16::from_be_bytes(two.try_into().ok()?)));
    Some((numbers.collect(), rest))
}
