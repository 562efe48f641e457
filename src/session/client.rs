//! One client's side: what each of its frames becomes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::bring::{Brought, Changes};
use super::duty::{Duty, is_large_object_call};
use super::expect::{Expect, Kind, Undo};
use super::inject::Duties;
use super::keep::Keep;
use super::listening::Listening;
use super::pins::PinGate;
use super::server::ServerSession;
use super::settings::Settings;
use super::sql_prepared::SqlStatements;
use super::statement::{ClientStatements, Intern, Statement, own_name};
use super::timing::Shapes;
use crate::sql;
use crate::wire::{self, Malformed, Parameters, PgError, Target, back, front};

/// How names of prepared statements travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The server connection changes between transactions: names are Howdah's own on every server.
    Pooled,
    /// The server connection is the client's until it leaves: everything passes as it stands.
    Exclusive,
    /// As `Pooled`, with `max_prepared_statements = 0`: named statements are refused.
    PooledWithoutStatements,
}

/// What becomes of a client's frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the server as it stands.
    Forward,
    /// So many of its bytes (header included) are dealt with: something else was written in their place, or
    /// nothing. Bytes behind them go to the server as they stand.
    Rewritten(usize),
    /// It was answered without a server.
    Reply,
    /// It means nothing here, as Postgres has it: drop it.
    Ignore,
    /// What it means hangs on answers to come: ask again when [`ServerSession::holds`] does not hold any more.
    Wait,
    /// It needs a server connection; ask again with one.
    NeedServer,
    /// The client says goodbye.
    Terminate,
}

/// What travels with one client from server connection to server connection.
#[derive(Debug)]
pub struct ClientSession {
    pub(super) mode: Mode,
    pub(super) standard_strings: bool,
    /// A frame was refused before any server saw its batch: drop all up to its Sync.
    skip_until_sync: bool,
    pub(super) statements: ClientStatements,
    pub(super) settings: Arc<Settings>,
    /// What the client asked for when it connected: `DISCARD ALL` goes back to it.
    pub(super) startup: Arc<Settings>,
    /// What it was told of settings that nobody can set, where that is not what its server said at login.
    pub(super) told: Parameters,
    /// What SQL prepared in it.
    pub(super) sql_prepared: SqlStatements,
    /// Stands for `search_path`: the same text means another statement under another one.
    pub(super) scope: u64,
    /// Whether it may keep a server connection; `None`: it may.
    pub(super) gate: Option<Arc<PinGate>>,
    /// It has asked for the state of sequences.
    pub(super) asks_sequences: bool,
    /// Its `search_path` begins with `pg_temp`: whatever it creates is temporary.
    pub(super) makes_temporary: bool,
    /// What tenancy asks of it; `None` without tenancy.
    pub(super) duty: Option<Box<Duty>>,
    /// What it listens to; `None` for most.
    pub(super) listening: Option<Box<Listening>>,
    /// A text that notifies has gone out in the open transaction.
    pub(super) notified: bool,
    /// It matters what it writes; what functions write, this knows.
    pub(super) watches: Option<Arc<dyn sql::Callees>>,
    /// Its `search_path`, if it has one of its own.
    pub(super) path: Option<Arc<str>>,
    /// What is kept of the replies to the frame that is judged.
    pub(super) keep: Option<Keep>,
    /// How its statements are counted; `None`: they are not measured.
    pub(super) shapes: Option<Arc<dyn Shapes>>,
}

/// The bytes of a frame that are at hand, and whether these are all.
pub(super) struct Given<'a> {
    pub(super) frame: &'a [u8],
    pub(super) body: &'a [u8],
    pub(super) whole: bool,
    pub(super) len: usize,
}

/// Where a judged frame's consequences go.
pub(super) struct To<'a> {
    pub(super) server: &'a mut ServerSession,
    pub(super) out: &'a mut Vec<u8>,
    pub(super) replies: &'a mut Vec<u8>,
    pub(super) intern: &'a dyn Intern,
}

impl ClientSession {
    /// A client that has just logged in with these settings.
    pub fn new(mode: Mode, settings: Arc<Settings>) -> Self {
        let mut session = Self {
            mode,
            standard_strings: true,
            skip_until_sync: false,
            statements: ClientStatements::default(),
            startup: Arc::clone(&settings),
            settings,
            told: Parameters::new(),
            sql_prepared: SqlStatements::default(),
            scope: 0,
            gate: None,
            asks_sequences: false,
            makes_temporary: false,
            duty: None,
            listening: None,
            notified: false,
            watches: None,
            path: None,
            keep: None,
            shapes: None,
        };
        session.settings_changed();
        session
    }

    /// Stands in for a client where Howdah itself uses a server connection.
    pub fn nobody() -> Self {
        Self::new(Mode::Exclusive, Arc::default())
    }

    /// What this client's transactions must run with.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// It goes from connection to connection, and its settings with it.
    pub fn brings(&self) -> bool {
        self.mode != Mode::Exclusive
    }

    /// True while frames are dropped, up to the Sync of a batch that was refused.
    pub fn is_skipping(&self) -> bool {
        self.skip_until_sync
    }

    /// Its `standard_conforming_strings`.
    pub fn standard_strings(&self) -> bool {
        self.standard_strings
    }

    /// How many named statements the client has.
    pub fn statements(&self) -> usize {
        self.statements.len()
    }

    pub(super) fn settings_changed(&mut self) {
        self.standard_strings = self.settings.get("standard_conforming_strings") != Some("off");
        let of_tenant = self.locals().map_or(0, |(locals, _)| locals.scope());
        let path = self.settings.get("search_path");
        let in_force = self.locals().and_then(|(locals, _)| locals.get("search_path")).or(path);
        let moved = (self.path.as_deref() != in_force).then(|| in_force.map(Arc::from));
        let first = path.unwrap_or_default().trim_start_matches([' ', '"']);
        self.makes_temporary = first.get(..7).is_some_and(|name| name.eq_ignore_ascii_case("pg_temp"));
        self.scope = if path.is_none() && of_tenant == 0 {
            0
        } else {
            let mut hasher = DefaultHasher::new();
            (path, of_tenant).hash(&mut hasher);
            hasher.finish()
        };
        if let Some(path) = moved {
            self.path = path;
        }
    }

    /// What the server reported of a setting; `None`: what a fresh connection has.
    pub(super) fn note_setting(&mut self, name: &str, value: Option<&str>) {
        if self.settings.get(name) != value {
            self.settings = Arc::new(self.settings.changed(name, value));
            self.settings_changed();
        }
    }

    /// What the session has set is known.
    pub(super) fn learn(&mut self, settings: Arc<Settings>) {
        if *self.settings != *settings {
            self.settings = settings;
            self.settings_changed();
        }
    }

    /// Another tenant: what SQL prepared is not its, nor are settings that the client made up, beyond what it asked
    /// for when it connected. Other settings are the connection's, and stay.
    pub fn become_another(&mut self) {
        self.sql_prepared = SqlStatements::default();
        let own: Vec<(String, String)> = self
            .settings
            .iter()
            .filter(|(name, value)| !name.contains('.') || self.startup.get(name) == Some(value))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if own.len() < self.settings.len() {
            let asked = self.startup.iter().filter(|(name, _)| name.contains('.'));
            let asked = asked.map(|(name, value)| (name.to_owned(), value.to_owned()));
            self.settings = Arc::new(Settings::new(own.into_iter().chain(asked)));
            self.settings_changed();
        }
    }

    pub(super) fn reset_settings(&mut self) {
        self.settings = Arc::clone(&self.startup);
        self.settings_changed();
    }

    /// All but those of these names are gone.
    pub(super) fn forget_statements(&mut self, but: &[&[u8]]) {
        self.statements.retain(but);
        self.sql_prepared = SqlStatements::default();
    }

    pub(super) fn set_unnamed(&mut self, statement: Option<Arc<Statement>>) {
        self.statements.unnamed = statement;
    }

    pub(super) fn undo(&mut self, undo: &Undo) {
        match undo {
            Undo::Undefine(name) => {
                self.statements.remove(name);
            }
            Undo::Define(name, named) => self.statements.insert(name, named.clone()),
            Undo::Unnamed(statement) => self.set_unnamed(statement.clone()),
        }
    }

    /// An error's body with the client's name in place of Howdah's, where it names a statement: one of the client's,
    /// or of those that are not there after all.
    pub(super) fn rename_in(&self, body: &[u8], gone: &[(Box<[u8]>, Arc<Statement>)]) -> Option<Vec<u8>> {
        let own = own_name(body)?;
        let gone = || gone.iter().find(|(_, s)| *s.name == *own).map(|(name, _)| &**name);
        let name = self.statements.find_name(own).or_else(gone)?;
        let at = memchr::memmem::find(body, own)?;
        let mut renamed = body.get(..at)?.to_vec();
        renamed.extend_from_slice(name);
        renamed.extend_from_slice(body.get(at + own.len()..)?);
        Some(renamed)
    }

    /// Judges a frame of a client that has no server connection. What is answered goes to `replies`.
    ///
    /// # Errors
    /// A frame that makes no sense here: the connection must be closed with this error.
    pub fn without_server(&mut self, frame: &[u8], replies: &mut Vec<u8>) -> Result<Verdict, PgError> {
        let Some((&tag, body)) = frame.split_first().and_then(|(tag, rest)| Some((tag, rest.get(4..)?)))
        else {
            return Err(PgError::protocol_violation("a frame without a header"));
        };
        match tag {
            front::TERMINATE => Ok(Verdict::Terminate),
            front::SYNC => {
                no_body(body)?;
                self.skip_until_sync = false;
                wire::ready_for_query(replies, b'I');
                Ok(Verdict::Reply)
            }
            _ if self.skip_until_sync => Ok(Verdict::Ignore),
            // Postgres ignores these outside a COPY: a client may still be sending when its COPY has failed.
            front::COPY_DATA | front::COPY_DONE | front::COPY_FAIL => Ok(Verdict::Ignore),
            front::FLUSH => no_body(body).map(|()| Verdict::Ignore),
            front::CLOSE if self.mode != Mode::Exclusive => {
                match wire::target(body).map_err(malformed)? {
                    Target::Statement(b"") => self.statements.unnamed = None,
                    Target::Statement(name) => {
                        self.statements.remove(name);
                    }
                    Target::Portal(_) => {} // portals end with their transaction, and none is open
                }
                replies.extend_from_slice(&[back::CLOSE_COMPLETE, 0, 0, 0, 4]);
                Ok(Verdict::Reply)
            }
            front::PASSWORD => Err(PgError::protocol_violation("unexpected password message")),
            _ => {
                if let Some(error) = self.missing_tenant(tag, body) {
                    self.refuse(tag, &error, replies);
                    return Ok(Verdict::Reply);
                }
                Ok(Verdict::NeedServer)
            }
        }
    }

    /// Refuses the frame that [`Self::without_server`] wanted a server for: no server has seen anything of
    /// its batch. The session goes on.
    pub fn refuse(&mut self, tag: u8, error: &PgError, replies: &mut Vec<u8>) {
        self.refuse_with(tag, &error.to_bytes(), replies);
    }

    /// As [`Self::refuse`], with an `ErrorResponse` as it came.
    pub fn refuse_with(&mut self, tag: u8, error: &[u8], replies: &mut Vec<u8>) {
        replies.extend_from_slice(error);
        if matches!(tag, front::QUERY | front::FUNCTION_CALL) {
            wire::ready_for_query(replies, b'I');
        } else {
            self.skip_until_sync = true;
        }
    }

    /// Judges a frame of a client that has a server connection. `frame` is the whole frame, or the first
    /// part of one of `len` bytes in all. What goes to the server in its place or ahead of it is appended to
    /// `out`, what the client gets at once to `replies`.
    ///
    /// # Errors
    /// A malformed frame: the connection must be closed with this error.
    pub fn with_server(
        &mut self,
        server: &mut ServerSession,
        frame: &[u8],
        len: usize,
        out: &mut Vec<u8>,
        replies: &mut Vec<u8>,
        intern: &dyn Intern,
    ) -> Result<Verdict, PgError> {
        let Some((&tag, body)) = frame.split_first().and_then(|(tag, rest)| Some((tag, rest.get(4..)?)))
        else {
            return Err(PgError::protocol_violation("a frame without a header"));
        };
        let given = Given { frame, body, whole: frame.len() == len, len };
        let verdict = self.judge(tag, &given, &mut To { server, out, replies, intern })?;
        if matches!(verdict, Verdict::Forward | Verdict::Rewritten(_)) {
            self.time_statement(tag, &given, server);
        }
        Ok(verdict)
    }

    fn judge(&mut self, tag: u8, given: &Given<'_>, to: &mut To<'_>) -> Result<Verdict, PgError> {
        let body = given.body;
        match tag {
            front::TERMINATE => return Ok(Verdict::Terminate),
            front::PASSWORD => return Err(PgError::protocol_violation("unexpected password message")),
            front::SYNC => return no_body(body).map(|()| self.sync(given, to)),
            // The server ignores all of it; so the books need no entry either.
            _ if to.server.discarding => return Ok(Verdict::Ignore),
            _ => {}
        }
        if tag == front::BIND && self.notified && !to.server.unsynced && to.server.owes_batch() {
            to.server.doubt = true;
            return Ok(Verdict::Wait);
        }
        if tag == front::BIND && self.bind_listens_first(body) {
            return Ok(Verdict::Wait);
        }
        let mut changes = None;
        if self.mode != Mode::Exclusive && self.must_bring(to.server) {
            match self.bring(tag, given, to) {
                Brought::Nothing => {}
                Brought::Fuse(fuse) => changes = Some(fuse),
                Brought::Wait => return Ok(Verdict::Wait),
                Brought::Refused(error) if tag == front::QUERY => return Ok(self.fail_query(error, to)),
                Brought::Refused(error) => return Ok(self.fail_in_batch(error, to)),
            }
        }
        if self.mode != Mode::Exclusive
            && let Some(verdict) = self.discard_sequences(tag, given, to)
        {
            return Ok(verdict);
        }
        match tag {
            front::QUERY => return self.query(given, changes, to),
            front::FUNCTION_CALL => return Ok(self.call(given, changes, to)),
            front::COPY_DATA => return Ok(Verdict::Forward),
            front::COPY_DONE | front::COPY_FAIL => {
                to.server.copy_in = false;
                to.server.push(Expect::new(Kind::CopyEnd, true), to.replies);
                return Ok(Verdict::Forward);
            }
            _ => {}
        }
        self.frame_of_batch(tag, given, changes, to)
    }

    /// Parse, Bind, Describe, Execute, Close and Flush.
    fn frame_of_batch(
        &mut self,
        tag: u8,
        given: &Given<'_>,
        changes: Option<Changes>,
        to: &mut To<'_>,
    ) -> Result<Verdict, PgError> {
        let body = given.body;
        if self.must_wait(tag, body, to) {
            to.server.doubt = true;
            return Ok(Verdict::Wait);
        }
        let mut duties = Duties::Nothing;
        if self.duty.is_some() {
            duties = self.batch_with_duty(tag, body, to);
            if let Duties::Done(verdict) = duties {
                return Ok(verdict);
            }
        }
        let recorded = if to.server.unsynced { to.server.replay.len() } else { 0 };
        to.server.record(given.frame, given.whole);
        if tag == front::FLUSH {
            return no_body(body).map(|()| Verdict::Forward);
        }
        to.server.unsynced = true;
        to.server.begun |= tag != front::CLOSE;
        if self.mode == Mode::Pooled {
            to.server.close_stale(to.out);
        }
        if let Some(changes) = changes {
            self.bring_in_batch(changes, to);
        }
        if let Duties::Inject(class) = duties {
            let unnamed = tag == front::BIND && body.first() == Some(&0);
            self.inject(class, unnamed, to);
        }
        if let Duties::Session = duties {
            self.inject_session(body.first() == Some(&0), to);
        }
        if tag == front::BIND && self.compare_first(body, to) {
            to.server.replay.truncate(recorded);
            return Ok(Verdict::Wait);
        }
        self.time_exclusive(tag, given, to.server);
        match tag {
            front::PARSE => self.parse(given, to),
            front::BIND => self.bind(given, to),
            front::DESCRIBE => self.describe(given, to),
            front::CLOSE => self.close(given, to),
            _ => Ok(self.execute(given, to)),
        }
    }

    fn call(&mut self, given: &Given<'_>, changes: Option<Changes>, to: &mut To<'_>) -> Verdict {
        if let Some(changes) = changes {
            Self::bring_with_call(changes, to);
        }
        if self.duty.is_some()
            && let Some(verdict) = self.call_with_duty(given, to)
        {
            return verdict;
        }
        let mut unknown = None;
        if self.mode != Mode::Exclusive && !is_large_object_call(given.body) {
            // Only the server knows which function that is.
            to.server.leave(sql::Leaves::ANYTHING | sql::Leaves::DRAWS);
            // To the cache it may have written anything.
            unknown = self.call_writes();
        }
        to.server.replay_ok = false;
        let mut entry = Expect::new(Kind::FunctionCall, true);
        entry.written = unknown;
        to.server.push(entry, to.replies);
        self.hold_behind(to.server);
        Verdict::Forward
    }

    fn execute(&mut self, given: &Given<'_>, to: &mut To<'_>) -> Verdict {
        to.server.note_end(given.body);
        if self.watches_portals(to.server) {
            to.server.step_portal(given.body);
        }
        let mut entry = Expect::new(Kind::Execute, true);
        entry.keep = self.keep.take();
        entry.steps = to.server.execute_steps(given.body);
        to.server.push(entry, to.replies);
        self.ask_again(given, to)
    }

    /// What statements its portals run must be known.
    pub(super) fn watches_portals(&self, server: &ServerSession) -> bool {
        self.duty.is_some() || server.bring.is_under_way()
    }

    /// Behind an Execute that resets what the client asked for when it connected, that is set again.
    fn ask_again(&mut self, given: &Given<'_>, to: &mut To<'_>) -> Verdict {
        let Some((portal, _)) = wire::c_string(given.body) else { return Verdict::Forward };
        let Some((_, asked)) = to.server.resets.extract_if(.., |(name, _)| **name == *portal).last() else {
            return Verdict::Forward;
        };
        to.out.extend_from_slice(given.frame);
        for mut body in asked {
            body.extend_from_slice(&[0, 0, 0]);
            self.run_unnamed(&body, false, to);
        }
        Verdict::Rewritten(given.len)
    }

    /// Judges the frames of a batch again, after a stale statement was found in it.
    ///
    /// # Errors
    /// As [`Self::with_server`]; the frames were judged before, so none is expected.
    pub fn replay(
        &mut self,
        server: &mut ServerSession,
        out: &mut Vec<u8>,
        replies: &mut Vec<u8>,
        intern: &dyn Intern,
    ) -> Result<(), PgError> {
        let frames = server.take_replay(out);
        let changes = server.bring.take_under_way();
        if let Some(changes) = changes {
            let mut to = To { server, out, replies, intern };
            self.bring_in_batch(changes, &mut to);
        }
        server.comparing = true; // no frame of it can wait
        let mut rest = frames.as_slice();
        while let Ok(Some(head)) = wire::header(wire::Side::Frontend, rest) {
            let Some((frame, tail)) = rest.split_at_checked(head.len) else { break };
            match self.with_server(server, frame, frame.len(), out, replies, intern)? {
                Verdict::Forward => out.extend_from_slice(frame),
                Verdict::Rewritten(n) => out.extend_from_slice(frame.get(n..).unwrap_or_default()),
                _ => {}
            }
            rest = tail;
        }
        server.comparing = false;
        Ok(())
    }

    fn sync(&self, given: &Given<'_>, to: &mut To<'_>) -> Verdict {
        if to.server.copy_in {
            // Postgres ignores it there, and sends no ReadyForQuery for it.
            return Verdict::Ignore;
        }
        to.server.record(given.frame, true);
        to.server.unsynced = false;
        to.server.begun = false;
        to.server.discarding = false;
        to.server.barrier |= std::mem::take(&mut to.server.barrier_at_sync);
        to.server.lexical |= std::mem::take(&mut to.server.lexical_batch);
        to.server.ahead.end_batch(false);
        to.server.push(Expect::new(Kind::Sync, true), to.replies);
        self.hold_behind(to.server);
        Verdict::Forward
    }
}

pub(super) fn malformed(what: Malformed) -> PgError {
    PgError::protocol_violation(what.0)
}

fn no_body(body: &[u8]) -> Result<(), PgError> {
    if body.is_empty() {
        Ok(())
    } else {
        Err(PgError::protocol_violation("bytes in a message that has no body"))
    }
}
