//! Frames about prepared statements: names of the client's become names of the server's.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::client::{ClientSession, Given, Mode, To, Verdict, malformed};
use super::expect::{Expect, Kind, Undo};
use super::server::is_reserved;
use super::statement::{Named, Note, Statement};
use crate::sql::{self, Class};
use crate::wire::{self, PgError, Target, back, front};

/// What a client means by a statement's name.
enum Found {
    /// It is on the server; with what the client knows of it, if it has a name.
    There(Arc<Statement>, Option<Arc<Note>>),
    /// The client was told of rows that it does not return any more.
    Outdated(Named),
    /// There is none, and then the server has none of that name either.
    Nothing,
}

impl ClientSession {
    /// True for a frame of an extended batch when an error in an earlier one, of which nobody knows yet, could
    /// change what its names stand for.
    pub(super) fn must_wait(&self, tag: u8, body: &[u8], to: &To<'_>) -> bool {
        if self.mode != Mode::Pooled || !to.server.owes_batch() {
            return false;
        }
        if used_name(tag, body).is_some_and(|name| {
            self.statements.named(name).is_some_and(|n| n.must_renew(self.scope, &to.server.statements))
        }) {
            return true;
        }
        let server = &to.server;
        let in_transaction = server.status() != b'I';
        if !(server.defining || tag == front::PARSE && in_transaction) {
            return false;
        }
        let used = |name: &[u8]| {
            let statement = self.statements.get(name);
            // What is evicted first would be prepared again, and not fail with what it is.
            let there = statement.is_none_or(|s| server.statements.has(s.id) && !self.setter_evicts(server));
            // Outside of a transaction, what is prepared for its use alone fails like its use.
            let own = |e: &Expect| e.names(name) || e.undo.is_none() && !in_transaction;
            server.is_in_doubt(
                |e| e.names(name),
                |e| there && (e.statement.is_some() || name.is_empty() && e.shown),
            ) || statement.is_some_and(|s| server.is_in_doubt(|e| e.prepares(s.id), own))
        };
        match tag {
            front::PARSE => wire::parse(body).is_ok_and(|parse| {
                // In a transaction that may have failed, a text that is known may still be refused.
                let known = || to.intern.intern(parse.body, self.scope, self.standard_strings).id;
                !parse.name.is_empty()
                    && (in_transaction
                        || server.is_in_doubt(|e| e.names(parse.name), |_| false)
                        || server.is_in_doubt(|e| e.prepares(known()), |_| false))
            }),
            front::BIND => wire::bind_head(body).is_some_and(|bind| used(bind.statement)),
            front::DESCRIBE => matches!(wire::target(body), Ok(Target::Statement(name)) if used(name)),
            front::CLOSE => matches!(wire::target(body), Ok(Target::Statement(name)) if
                server.is_in_doubt(|e| e.names(name), |_| false)),
            _ => false,
        }
    }

    pub(super) fn parse(&mut self, given: &Given<'_>, to: &mut To<'_>) -> Result<Verdict, PgError> {
        if self.mode == Mode::Exclusive {
            to.server.push(Expect::new(Kind::Parse, true), to.replies);
            return Ok(Verdict::Forward);
        }
        let parse = wire::parse(given.body).map_err(malformed)?;
        if parse.name.is_empty() {
            return Ok(self.parse_unnamed(given, &parse, to));
        }
        if self.mode == Mode::PooledWithoutStatements {
            let error = PgError::error("0A000", "named prepared statements are not supported by this pool")
                .hint("Set max_prepared_statements above 0, or pool_mode = \"session\".");
            return Ok(self.fail(error, to));
        }
        // Behind what drops all, in the same batch, the name is free.
        if self.statements.get(parse.name).is_some() && !to.server.barrier_at_sync {
            // The server judges the text first, under no name: another's text must never get a name of ours.
            wire::parse_into(to.out, b"", parse.body);
            let undo = Undo::Unnamed(self.statements.unnamed.clone());
            to.server.push(Expect::new(Kind::Parse, false).undo(undo), to.replies);
            let name = String::from_utf8_lossy(parse.name);
            return Ok(self
                .fail(PgError::error("42P05", format!("prepared statement \"{name}\" already exists")), to));
        }
        if !self.statements.has_room(parse.body.len()) {
            let error = PgError::error("54000", "too many prepared statements in this session")
                .hint("Close statements that are not used any more.");
            return Ok(self.fail(error, to));
        }
        let statement = to.intern.intern(parse.body, self.scope, self.standard_strings);
        let undo = Undo::Undefine(parse.name.into());
        self.statements.insert(parse.name, Named::new(Arc::clone(&statement), self.scope));
        if !to.server.statements.touch(statement.id) {
            let mut entry = Expect::new(Kind::Parse, true).undo(undo);
            entry.inserts = self.edit_of(&statement);
            prepare(&statement, entry, to);
        } else if (to.server.status() == b'E' || to.server.owes_batch()) && !statement.ends_transaction {
            // In a failed transaction the server refuses most texts; only it can say so. One may be on its way.
            wire::parse_into(to.out, b"", statement.sent());
            to.server.unnamed = None;
            to.server.push(Expect::new(Kind::Parse, true).undo(undo), to.replies);
        } else {
            let mut entry = Expect::new(Kind::Synthetic(back::PARSE_COMPLETE), true).undo(undo);
            entry.replay_end = to.server.replay.len();
            to.server.push(entry, to.replies);
        }
        Ok(Verdict::Rewritten(given.len))
    }

    fn parse_unnamed(&mut self, given: &Given<'_>, parse: &wire::Parse<'_>, to: &mut To<'_>) -> Verdict {
        let mut verdict = Verdict::Forward;
        let statement = to.intern.unnamed(parse.body, self.standard_strings);
        if statement.deallocates_one {
            let which = sql::traits(parse.query, self.standard_strings).deallocate;
            if which.is_some_and(|which| self.statements.remove(&which.name()).is_some()) {
                prepare_dummy(to);
                let mut body = DEALLOCATE_DUMMY.to_vec();
                body.extend_from_slice(&[0, 0, 0]);
                wire::parse_into(to.out, b"", &body);
                verdict = Verdict::Rewritten(given.len);
            }
        }
        if let Some((_, sent)) = &statement.disguise {
            wire::parse_into(to.out, b"", sent);
            verdict = Verdict::Rewritten(given.len);
        }
        let before = self.statements.unnamed.replace(Arc::clone(&statement));
        to.server.unnamed = Some(statement.id);
        let mut entry = Expect::new(Kind::Parse, true).undo(Undo::Unnamed(before));
        entry.inserts = self.edit_of(&statement);
        to.server.push(entry, to.replies);
        verdict
    }

    pub(super) fn bind(&mut self, given: &Given<'_>, to: &mut To<'_>) -> Result<Verdict, PgError> {
        if self.mode == Mode::Exclusive {
            to.server.push(Expect::new(Kind::Bind, true), to.replies);
            return Ok(Verdict::Forward);
        }
        let Some(bind) = wire::bind_head(given.body) else {
            return Err(PgError::protocol_violation("Bind: names are not terminated"));
        };
        let (statement, note) = match self.lookup(bind.statement, to) {
            Found::There(statement, note) => (statement, note),
            Found::Outdated(named) => return Ok(self.fail_outdated(named, to)),
            Found::Nothing => {
                to.server.time_bind(self, given.body, None);
                to.server.push(Expect::new(Kind::Bind, true), to.replies);
                return Ok(guard_bind(given, &bind, to));
            }
        };
        if let Err(error) = self.judge_pins(statement.leaves, to.server) {
            return Ok(self.fail_in_batch(error, to));
        }
        to.server.time_bind(self, given.body, Some(&statement));
        self.note_use(&statement, to.server);
        if statement.leaves.has(sql::Leaves::RESETS) && !self.startup.is_empty() {
            let text = statement.text();
            to.server.resets.push((bind.portal.into(), self.asked_again(text, false)));
        }
        to.server.barrier_at_sync |= statement.drops_all;
        self.bind_steps(bind.portal, &statement, to.server);
        if self.watches_portals(to.server) || matches!(statement.class, Class::End | Class::Chain) {
            to.server.note_portal(bind.portal, &statement);
        }
        let unnamed = bind.statement.is_empty();
        let name = if unnamed { &b""[..] } else { &statement.name };
        let verdict = write_bind(given, &bind, name, to);
        let mut entry = Expect::new(Kind::Bind, true);
        entry.written = self.statement_writes(&statement, to.server);
        if unnamed {
            to.server.bound = None;
        } else {
            entry = entry.statement(statement);
            to.server.bound = note.clone().map(|note| (number_of(bind.portal), note));
            entry.note = note;
        }
        to.server.push(entry, to.replies);
        Ok(verdict)
    }

    /// A Bind of a statement that is not on the server: what it returns there must be what its client was told.
    /// True when the server is asked that first.
    pub(super) fn compare_first(&self, body: &[u8], to: &mut To<'_>) -> bool {
        let Some(named) = wire::bind_head(body).and_then(|bind| self.statements.named(bind.statement)) else {
            return false;
        };
        let Named { statement, note } = named;
        let there = to.server.statements.has(statement.id) || statement.is_outdated();
        let asked = to.server.comparing || to.server.differs;
        if there || asked || !note.is_told() || note.shape() == 0 || note.scope != self.scope {
            return false;
        }
        prepare(statement, Expect::new(Kind::Parse, false), to);
        write_target(front::DESCRIBE, &statement.name, to);
        let mut entry = Expect::new(Kind::Describe, false).statement(Arc::clone(statement));
        entry.note = Some(Arc::clone(note));
        to.server.push(entry, to.replies);
        to.out.extend_from_slice(&[front::FLUSH, 0, 0, 0, 4]);
        to.server.comparing = true;
        true
    }

    /// The statement that the client means, made present on the server.
    fn lookup(&mut self, name: &[u8], to: &mut To<'_>) -> Found {
        if !name.is_empty() {
            let Some(named) = self.statements.named_mut(name) else { return Found::Nothing };
            if named.must_renew(self.scope, &to.server.statements) {
                named.renew(self.scope, self.standard_strings, to.intern);
            }
            let differs = std::mem::take(&mut to.server.differs);
            if named.note.is_told() && (differs || named.statement.is_outdated()) {
                return Found::Outdated(named.clone());
            }
            ensure(&named.statement, to);
            return Found::There(Arc::clone(&named.statement), Some(Arc::clone(&named.note)));
        }
        let statement = self.statements.unnamed.clone();
        if let Some(statement) = &statement {
            if to.server.unnamed == Some(statement.id) {
                return Found::There(Arc::clone(statement), None);
            }
            if !statement.body.is_empty() {
                wire::parse_into(to.out, b"", statement.sent());
                to.server.unnamed = Some(statement.id);
                let undo = Undo::Unnamed(Some(Arc::clone(statement)));
                to.server.push(Expect::new(Kind::Parse, false).undo(undo), to.replies);
                return Found::There(Arc::clone(statement), None);
            }
        }
        // Whatever unnamed statement is left on the server, it is another client's.
        wire::close_statement(to.out, b"");
        to.server.unnamed = None;
        to.server.push(Expect::new(Kind::Close, false), to.replies);
        Found::Nothing
    }

    /// Makes the server raise an error in place of what it would say itself if it still had the statement as its
    /// client knows it. In a failed transaction it says that first, as it would.
    fn fail_outdated(&self, named: Named, to: &mut To<'_>) -> Verdict {
        wire::parse_into(to.out, b"", b"SELECT howdah_outdated\0\0\0");
        to.server.unnamed = None;
        let undo = Undo::Unnamed(self.statements.unnamed.clone());
        let mut entry = Expect::new(Kind::Outdated, true).undo(undo).statement(named.statement);
        entry.note = Some(named.note);
        let error = PgError::error("0A000", "cached plan must not change result type");
        entry.error = Some(Box::new(error.routine("RevalidateCachedQuery")));
        to.server.push(entry, to.replies);
        Verdict::Rewritten(usize::MAX)
    }

    /// Makes the server raise an error here, where its place among the replies and its effect on the
    /// transaction are as they should be, and shows `error` in its place.
    pub(super) fn fail(&self, error: PgError, to: &mut To<'_>) -> Verdict {
        wire::parse_into(to.out, b"", b"howdah refuses this\0\0\0");
        to.server.unnamed = None;
        let mut entry = Expect::new(Kind::Parse, true).undo(Undo::Unnamed(self.statements.unnamed.clone()));
        entry.error = Some(Box::new(error));
        to.server.push(entry, to.replies);
        Verdict::Rewritten(usize::MAX)
    }

    pub(super) fn describe(&mut self, given: &Given<'_>, to: &mut To<'_>) -> Result<Verdict, PgError> {
        let mut entry = Expect::new(Kind::Describe, true);
        entry.keep = self.keep.take();
        let mut verdict = Verdict::Forward;
        if let Ok(Target::Portal(portal)) = wire::target(given.body) {
            let bound = to.server.bound.as_ref().filter(|(number, _)| *number == number_of(portal));
            entry.note = bound.map(|(_, note)| Arc::clone(note));
        }
        if self.mode != Mode::Exclusive
            && let Target::Statement(name) = wire::target(given.body).map_err(malformed)?
        {
            match self.lookup(name, to) {
                Found::Outdated(named) => return Ok(self.fail_outdated(named, to)),
                Found::There(statement, note) if !name.is_empty() => {
                    write_target(front::DESCRIBE, &statement.name, to);
                    verdict = Verdict::Rewritten(given.len);
                    entry = entry.statement(statement);
                    entry.note = note;
                }
                Found::Nothing if is_reserved(name) => {
                    write_target(front::DESCRIBE, &foreign(name), to);
                    verdict = Verdict::Rewritten(given.len);
                }
                _ => {}
            }
        }
        to.server.push(entry, to.replies);
        Ok(verdict)
    }

    pub(super) fn close(&mut self, given: &Given<'_>, to: &mut To<'_>) -> Result<Verdict, PgError> {
        let target = wire::target(given.body).map_err(malformed)?;
        let mut entry = Expect::new(Kind::Close, true);
        match target {
            Target::Statement(name) if self.mode != Mode::Exclusive && !name.is_empty() => {
                // It stays on the server for others. Closing what does not exist is no error either.
                let mut entry = Expect::new(Kind::Synthetic(back::CLOSE_COMPLETE), true);
                entry.replay_end = to.server.replay.len();
                if let Some(named) = self.statements.remove(name) {
                    to.server.note_closed(name, &named.statement);
                    entry = entry.undo(Undo::Define(name.into(), named));
                }
                to.server.push(entry, to.replies);
                return Ok(Verdict::Rewritten(given.len));
            }
            Target::Statement(_) if self.mode != Mode::Exclusive => {
                entry = entry.undo(Undo::Unnamed(self.statements.unnamed.take()));
                to.server.unnamed = None;
            }
            _ => {}
        }
        to.server.push(entry, to.replies);
        Ok(Verdict::Forward)
    }
}

/// The statement's name in a Bind or Describe.
fn used_name(tag: u8, body: &[u8]) -> Option<&[u8]> {
    match tag {
        front::BIND => wire::bind_head(body).map(|bind| bind.statement),
        front::DESCRIBE => match wire::target(body) {
            Ok(Target::Statement(name)) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// Stands for a portal's name.
fn number_of(portal: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(portal);
    hasher.finish()
}

/// A statement that exists only to be deallocated.
const DUMMY: &[u8] = b"howdah_gone";
pub(super) const DEALLOCATE_DUMMY: &[u8] = b"DEALLOCATE howdah_gone";

/// Prepares the dummy; an empty text prepares in a failed transaction too.
pub(super) fn prepare_dummy(to: &mut To<'_>) {
    wire::close_statement(to.out, DUMMY);
    to.server.push(Expect::new(Kind::Close, false), to.replies);
    wire::parse_into(to.out, DUMMY, &[0, 0, 0]);
    to.server.push(Expect::new(Kind::Parse, false), to.replies);
}

fn evict(to: &mut To<'_>) {
    while let Some(old) = to.server.statements.make_room() {
        wire::close_statement(to.out, &old.name);
        to.server.push(Expect::new(Kind::Close, false).statement(old), to.replies);
    }
}

/// Prepares a statement on the server if it is not there.
pub(super) fn ensure(statement: &Arc<Statement>, to: &mut To<'_>) {
    if !to.server.statements.touch(statement.id) {
        prepare(statement, Expect::new(Kind::Parse, false), to);
    }
}

/// Prepares a statement that is not there.
fn prepare(statement: &Arc<Statement>, entry: Expect, to: &mut To<'_>) {
    evict(to);
    wire::parse_into(to.out, &statement.name, statement.sent());
    to.server.statements.insert(Arc::clone(statement));
    to.server.push(entry.statement(Arc::clone(statement)), to.replies);
}

/// A name that no server has, for a name of a client that looks like one of Howdah's.
fn foreign(name: &[u8]) -> Vec<u8> {
    [b"?", name].concat()
}

fn write_target(tag: u8, name: &[u8], to: &mut To<'_>) {
    wire::frame(to.out, tag, |out| {
        out.push(b'S');
        out.extend_from_slice(name);
        out.push(0);
    });
}

/// A Bind of a statement that does not exist: the server says so, whatever the name.
fn guard_bind(given: &Given<'_>, bind: &wire::Bind<'_>, to: &mut To<'_>) -> Verdict {
    if is_reserved(bind.statement) {
        write_bind(given, bind, &foreign(bind.statement), to)
    } else {
        Verdict::Forward
    }
}

/// Writes the front of a Bind with another statement name; formats and parameters follow as they stand.
fn write_bind(given: &Given<'_>, bind: &wire::Bind<'_>, name: &[u8], to: &mut To<'_>) -> Verdict {
    if name == bind.statement {
        return Verdict::Forward;
    }
    let word = given.len - 1 - bind.statement.len() + name.len();
    to.out.push(front::BIND);
    to.out.extend_from_slice(&u32::try_from(word).unwrap_or(u32::MAX).to_be_bytes());
    to.out.extend_from_slice(bind.portal);
    to.out.push(0);
    to.out.extend_from_slice(name);
    to.out.push(0);
    Verdict::Rewritten(5 + bind.rest)
}
