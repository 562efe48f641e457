//! What a client's transactions must run with, put ahead of its frames in the same write and the same
//! transaction.
//!
//! Which form goes where is measured: simple queries get `SET LOCAL …;` ahead of their text; the extended
//! protocol a Bind and Execute of a prepared `set_config`, or inside a block, where a query would fix the
//! snapshot before the client may choose its isolation level, a Parse, Bind and Execute of `SET LOCAL`.

use std::sync::Arc;

use super::ahead::{Ahead, State};
use super::bring::Changes;
use super::client::{ClientSession, Given, To, Verdict};
use super::edits::Place;
use super::expect::{Expect, Kind, Undo};
use super::locals::{Locals, setter};
use super::prepared::ensure;
use super::server::ServerSession;
use super::slow::{Slow, SlowWait};
use super::statement::{Intern, Statement};
use crate::sql::{self, Class, Part, Traits};
use crate::wire::{self, ErrorFields, PgError, front};

impl ClientSession {
    /// A simple query of a client with a tenant. `None`: it goes as it stands.
    pub(super) fn query_with_duty(
        &mut self,
        text: &[u8],
        traits: &Traits<'_>,
        given: &Given<'_>,
        changes: &mut Option<Changes>,
        to: &mut To<'_>,
    ) -> Option<Verdict> {
        if to.server.lexical && to.server.owes_batch() {
            to.server.doubt = true;
            return Some(Verdict::Wait);
        }
        let behind = std::mem::take(&mut to.server.lexical_batch);
        to.server.lexical |= behind;
        let judged = if behind { Err(read_unknown()) } else { self.judge_text(text, traits) };
        let judged = judged.and_then(|lexical| {
            self.judge_resets(text, traits, to.server)?;
            self.judge_ends(text, traits, to.server)?;
            Ok(lexical)
        });
        match judged {
            Ok(lexical) => to.server.lexical |= lexical,
            Err(error) => return Some(self.fail_query(error, to)),
        }
        let Some((locals, number)) = self.locals().map(|(locals, number)| (Arc::clone(locals), number))
        else {
            self.step_all(text, traits, to.server);
            return None;
        };
        if traits.statements == 1 && traits.class == Class::Alone {
            match self.slow_step(&locals, to) {
                Ok(true) => {
                    to.server.ahead.end_batch(false);
                    return None;
                }
                // In an open batch. Behind what is put in, it is one of two statements, and cannot commit inside:
                // it would have no tenant from there on.
                Ok(false) if to.server.ahead.is_outside() => to.server.ahead.local = 0,
                Ok(false) => {}
                Err(SlowWait::Wait) => return Some(Verdict::Wait),
                Err(SlowWait::Failed(error)) => {
                    to.replies.extend_from_slice(&error);
                    wire::ready_for_query(to.replies, to.server.status());
                    return Some(Verdict::Rewritten(given.len));
                }
            }
        }
        let places = self.places(text, traits, number, &mut to.server.ahead);
        let edits =
            self.edits(text, traits, changes.as_ref(), Some((&*locals, places.as_slice())), to.server)?;
        if let Some(changes) = changes.take() {
            to.server.fuse(changes);
        }
        edits.write(to.out, text, Some(&*locals));
        let mut entry = Expect::new(Kind::Query, true);
        entry.steps = self.announce(text, traits);
        entry.inserts = Some(edits.inserts());
        self.push_query(entry, (text, true), traits, to);
        Some(Verdict::Rewritten(given.len))
    }

    /// Refuses a RESET ALL that something of the same transaction follows, or could.
    fn judge_resets(&self, text: &[u8], traits: &Traits<'_>, server: &ServerSession) -> Result<(), PgError> {
        let idle = server.ahead.state == State::Idle;
        if traits.statements <= 1 {
            return self.judge_reset(traits.class == Class::ResetAll && !idle);
        }
        let mut reset = false;
        for part in sql::parts(text, self.standard_strings) {
            self.judge_reset(reset && part.class.needs_locals())?;
            reset |= part.class == Class::ResetAll;
            self.judge_reset(reset && !idle)?;
        }
        Ok(())
    }

    /// Refuses a text in which a tenant would go on behind the end of its transaction.
    fn judge_ends(&self, text: &[u8], traits: &Traits<'_>, server: &ServerSession) -> Result<(), PgError> {
        if traits.statements <= 1 {
            return self.judge_next(traits.class.needs_locals() && server.ahead.ended);
        }
        let mut ended = server.ahead.ended;
        for part in sql::parts(text, self.standard_strings) {
            self.judge_next(part.class.needs_locals() && ended)?;
            ended |= matches!(part.class, Class::End | Class::Chain);
        }
        Ok(())
    }

    /// Where the locals must be put into a text, and what it makes of the transaction ahead.
    fn places(&self, text: &[u8], traits: &Traits<'_>, number: u64, ahead: &mut Ahead) -> Vec<Place> {
        if traits.statements <= 1 {
            let class = traits.class;
            // LOCK or DECLARE alone and outside of a block must fail as they would.
            let alone = traits.statements == 0 || class == Class::InBlock && ahead.state == State::Idle;
            let needs = !alone && ahead.needs(class, number);
            if needs {
                ahead.local = number;
            }
            if traits.statements == 1 {
                ahead.step(class);
            }
            ahead.end_batch(class == Class::End);
            return if needs { vec![(0, 0)] } else { Vec::new() };
        }
        let mut places = Vec::new();
        for (n, Part { start, class }) in sql::parts(text, self.standard_strings).enumerate() {
            if ahead.needs(class, number) {
                ahead.local = number;
                places.push((start, u32::try_from(n).unwrap_or(u32::MAX)));
            }
            ahead.step(class);
        }
        ahead.end_batch(false);
        places
    }

    /// Follows a text that gets nothing put in.
    fn step_all(&self, text: &[u8], traits: &Traits<'_>, server: &mut ServerSession) {
        if traits.statements == 1 {
            server.ahead.step(traits.class);
        } else {
            for part in sql::parts(text, self.standard_strings) {
                server.ahead.step(part.class);
            }
        }
        server.ahead.end_batch(traits.statements == 1 && traits.class == Class::End);
    }

    /// How many characters these bytes are for the server; `None` in an encoding where that takes tables.
    pub(super) fn characters(&self, bytes: &[u8]) -> Option<u32> {
        let encoding = self.settings().get("client_encoding").unwrap_or("UTF8").to_ascii_uppercase();
        let count = match encoding.replace(['-', '_'], "").as_str() {
            "UTF8" | "UNICODE" => bytes.iter().filter(|b| **b & 0xc0 != 0x80).count(),
            _ if bytes.is_ascii() => bytes.len(),
            other if other.starts_with("LATIN") || other.starts_with("WIN") || other.starts_with("ISO") => {
                bytes.len()
            }
            "SQLASCII" | "KOI8R" | "KOI8U" => bytes.len(),
            _ => return None,
        };
        u32::try_from(count).ok()
    }

    /// Makes a simple query fail where its place among the replies and its effect on the transaction are as they
    /// should be, and shows `error` in its place.
    pub(super) fn fail_query(&mut self, error: PgError, to: &mut To<'_>) -> Verdict {
        wire::query(to.out, b"howdah refuses this");
        let mut entry = Expect::new(Kind::Query, true);
        entry.error = Some(Box::new(error));
        if to.server.unsynced {
            entry = entry.undo(Undo::Unnamed(self.statements.unnamed.take()));
        }
        self.set_unnamed(None);
        to.server.unnamed = None;
        to.server.replay_ok = false;
        to.server.worn |= to.server.unsynced;
        to.server.unsynced = false;
        to.server.ahead.fail();
        to.server.ahead.end_batch(false);
        to.server.push(entry, to.replies);
        Verdict::Rewritten(usize::MAX)
    }

    /// Puts the locals ahead of a frame of the extended protocol, if the transaction ahead needs them. `unnamed`:
    /// the frame is a Bind of the unnamed portal, so that one may be used before it.
    pub(super) fn inject(&mut self, class: Class, unnamed: bool, to: &mut To<'_>) {
        let Some((locals, number)) = self.locals().map(|(locals, number)| (Arc::clone(locals), number))
        else {
            return;
        };
        let idle = to.server.ahead.state == State::Idle;
        // Outside of a block LOCK and DECLARE fail as they would, unless the batch is one already.
        if class == Class::InBlock && idle && to.server.ahead.local == 0
            || !to.server.ahead.needs(class, number)
        {
            return;
        }
        to.server.ahead.local = number;
        let block = to.server.ahead.state == State::Block;
        if block && class != Class::Query {
            for body in locals.each() {
                self.run_unnamed(body, unnamed, to);
            }
        } else if let Some(params) = locals.params() {
            let statement = to.server.setter(locals.count(), to.intern);
            ensure(&statement, to);
            wire::bind_portal(to.out, portal(unnamed), &statement.name, params.iter().copied().map(Some));
            to.server.push(Expect::new(Kind::Bind, false).statement(statement), to.replies);
            execute(unnamed, to);
        } else {
            self.run_unnamed(&locals.select(true), unnamed, to);
        }
    }

    pub(super) fn run_unnamed(&mut self, body: &[u8], unnamed: bool, to: &mut To<'_>) {
        wire::parse_into(to.out, b"", body);
        wire::bind_portal(to.out, portal(unnamed), b"", std::iter::empty());
        to.server.unnamed = None;
        let undo = Undo::Unnamed(self.statements.unnamed.clone());
        to.server.push(Expect::new(Kind::Parse, false).undo(undo), to.replies);
        to.server.push(Expect::new(Kind::Bind, false), to.replies);
        execute(unnamed, to);
    }

    /// A frame of the extended protocol of a client with a tenant, before it is judged otherwise: refuses it,
    /// or takes the slow path with it. Else its class, for [`Self::inject`], if it has one.
    pub(super) fn batch_with_duty(&mut self, tag: u8, body: &[u8], to: &mut To<'_>) -> Duties {
        let (class, judged) = match tag {
            front::PARSE if to.server.lexical && to.server.owes_batch() => {
                to.server.doubt = true;
                return Duties::Done(Verdict::Wait);
            }
            front::PARSE => {
                let Ok(parse) = wire::parse(body) else { return Duties::Nothing };
                let traits = sql::traits(parse.query, self.standard_strings);
                let mut judged = self.judge_text(parse.query, &traits);
                if to.server.lexical_batch {
                    judged = Err(read_unknown());
                }
                if judged.is_ok() && parse.name.is_empty() {
                    self.unnamed_judged();
                }
                (traits.class, judged.map(|_| false))
            }
            front::BIND => {
                let Some(bind) = wire::bind_head(body) else { return Duties::Nothing };
                let Some(statement) = self.statement(bind.statement) else { return Duties::Nothing };
                let in_the_middle = to.server.ahead.ran || to.server.ahead.state != State::Idle;
                let judged = self.judge_use(statement, bind.statement.is_empty()).and_then(|lexical| {
                    self.judge_reset(statement.class == Class::ResetAll && in_the_middle)?;
                    self.judge_next(statement.class.needs_locals() && to.server.ahead.ended)?;
                    Ok(lexical)
                });
                (statement.class, judged)
            }
            _ => return Duties::Nothing,
        };
        match judged {
            Ok(lexical) => to.server.lexical_batch |= lexical,
            Err(error) => return Duties::Done(self.fail_in_batch(error, to)),
        }
        let Some((locals, number)) = self.locals().map(|(locals, number)| (Arc::clone(locals), number))
        else {
            return Duties::Nothing;
        };
        let set = to.server.holds_locals(number);
        if set && class == Class::Alone && to.server.ahead.is_outside() {
            to.server.ahead.local = number;
        }
        if class == Class::Alone && !set && to.server.begun && to.server.ahead.is_outside() {
            if !matches!(to.server.slow, Slow::Off | Slow::On | Slow::Late) {
                to.server.doubt = true;
                return Duties::Done(Verdict::Wait);
            }
            if tag == front::BIND {
                return Duties::Session;
            }
        }
        if class == Class::Alone && !to.server.begun {
            match self.slow_step(&locals, to) {
                Ok(_) => {}
                Err(SlowWait::Wait) => return Duties::Done(Verdict::Wait),
                Err(SlowWait::Failed(error)) => {
                    let fields = ErrorFields::read(error.get(5..).unwrap_or_default());
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let mut error = PgError::error("XX000", text(fields.message));
                    error.sqlstate = text(fields.sqlstate).into();
                    return Duties::Done(self.fail_in_batch(error, to));
                }
            }
        }
        if tag != front::BIND && !locals.is_early() {
            return Duties::Nothing;
        }
        if to.server.defining && self.setter_in_doubt(class, &locals, to) {
            to.server.doubt = true;
            return Duties::Done(Verdict::Wait);
        }
        Duties::Inject(class)
    }

    /// Another statement must go for the one that [`Self::inject`] would use.
    pub(super) fn setter_evicts(&self, server: &ServerSession) -> bool {
        let Some((locals, _)) = self.locals().filter(|_| server.statements.is_full()) else { return false };
        let known = server.setters.iter().find(|(n, _)| *n == locals.count());
        locals.params().is_some() && !known.is_some_and(|(_, setter)| server.statements.has(setter.id))
    }

    /// The statement that [`Self::inject`] would use is being prepared by an earlier batch, which may fail.
    fn setter_in_doubt(&self, class: Class, locals: &Locals, to: &mut To<'_>) -> bool {
        let number = self.locals().map_or(0, |(_, number)| number);
        if !to.server.ahead.needs(class, number) || locals.params().is_none() {
            return false;
        }
        let id = to.server.setter(locals.count(), to.intern).id;
        to.server.is_in_doubt(|e| e.prepares(id), |_| false)
    }

    pub(super) fn fail_in_batch(&mut self, error: PgError, to: &mut To<'_>) -> Verdict {
        to.server.unsynced = true;
        to.server.begun = true;
        to.server.replay_ok = false;
        to.server.ahead.fail();
        self.fail(error, to)
    }

    /// A fastpath call: a statement of its own, which nothing can be put ahead of.
    pub(super) fn call_with_duty(&mut self, given: &Given<'_>, to: &mut To<'_>) -> Option<Verdict> {
        if let Err(error) = self.judge_call(given.body) {
            return Some(self.fail_query(error, to));
        }
        let Some((locals, number)) = self.locals().map(|(locals, number)| (Arc::clone(locals), number))
        else {
            to.server.ahead.step(Class::Query);
            to.server.ahead.end_batch(false);
            return None;
        };
        match self.slow_step(&locals, to) {
            Ok(true) => {
                to.server.ahead.end_batch(false);
                return None;
            }
            Ok(false) => {}
            Err(SlowWait::Wait) => return Some(Verdict::Wait),
            Err(SlowWait::Failed(error)) => {
                to.replies.extend_from_slice(&error);
                wire::ready_for_query(to.replies, to.server.status());
                return Some(Verdict::Rewritten(given.len));
            }
        }
        if to.server.ahead.needs(Class::Query, number) {
            wire::query(to.out, locals.prefix());
            to.server.unnamed = None;
            to.server.push(Expect::new(Kind::Query, false), to.replies);
            to.server.ahead.local = number;
        }
        to.server.ahead.step(Class::Query);
        to.server.ahead.end_batch(false);
        None
    }
}

/// The refusal of a text behind one of the same batch that may change how texts are read.
fn read_unknown() -> PgError {
    PgError::error("0A000", "how this query is read hangs on one before it in the same batch")
        .hint("Send a Sync behind the change of client_encoding.")
}

/// What becomes of a frame of the extended protocol.
pub(super) enum Duties {
    /// It goes on.
    Nothing,
    /// It goes on, behind the locals if its class needs them.
    Inject(Class),
    /// It goes on, behind the locals for the session.
    Session,
    /// It is judged.
    Done(Verdict),
}

/// The portal to use where the client's unnamed one must be left alone.
const PORTAL: &[u8] = b"howdah_locals";

fn portal(unnamed: bool) -> &'static [u8] {
    if unnamed { b"" } else { PORTAL }
}

fn execute(unnamed: bool, to: &mut To<'_>) {
    if unnamed {
        wire::execute(to.out);
        to.server.push(Expect::new(Kind::Execute, false), to.replies);
    } else {
        wire::execute_and_close(to.out, PORTAL);
        to.server.push(Expect::new(Kind::Execute, false), to.replies);
        to.server.push(Expect::new(Kind::Close, false), to.replies);
    }
}

impl ServerSession {
    /// An Execute goes out, perhaps of what ends the transaction.
    pub(super) fn note_end(&mut self, body: &[u8]) {
        if self.portals.is_empty() {
            return;
        }
        let portal = wire::c_string(body).map(|(portal, _)| portal);
        let ends = |class: Class| matches!(class, Class::End | Class::Chain);
        let found = self.portals.iter().any(|(name, class, _)| portal == Some(&**name) && ends(*class));
        self.ended_in_batch |= found;
    }

    /// An Execute goes out: what its statement does to the transaction ahead.
    pub(super) fn step_portal(&mut self, body: &[u8]) {
        let Some((portal, _)) = wire::c_string(body) else { return };
        let known = self.portals.iter().find(|(name, ..)| **name == *portal);
        let (class, back) = known.map_or((Class::Query, false), |(_, class, back)| (*class, *back));
        self.ahead.step(class);
        if class == Class::ResetAll {
            self.signed = None;
        }
        if matches!(class, Class::End | Class::Chain) {
            if back || self.status == b'E' {
                self.bring.end();
            }
            self.portals.clear();
        }
    }

    /// A Bind goes out. Only portals of statements that move transactions are remembered.
    pub(super) fn note_portal(&mut self, portal: &[u8], statement: &Statement) {
        self.portals.retain(|(name, ..)| **name != *portal);
        if statement.class != Class::Query {
            self.portals.push((portal.into(), statement.class, statement.rolls_back));
        }
    }

    /// The prepared statement that sets so many settings.
    fn setter(&mut self, count: usize, intern: &dyn Intern) -> Arc<Statement> {
        if let Some((_, known)) = self.setters.iter().find(|(n, _)| *n == count) {
            return Arc::clone(known);
        }
        let made = intern.intern(&setter(count), 0, true);
        self.setters.push((count, Arc::clone(&made)));
        made
    }
}
