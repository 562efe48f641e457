//! A session's settings are brought to the server connection that it gets: the difference only, in the same write
//! and the same transaction as the client's first frame, so that it costs no round trip, and that the frame fails
//! if they fail.
//!
//! What is set in a transaction that is rolled back was not set. So until its end is seen the settings are on their
//! way, no frame behind it may go out, and after a rollback they are in doubt: the next user brings them anew.
//! Where they cannot travel together they go ahead, and are waited for (see [`super::preamble`]).

use std::sync::Arc;

use super::client::{ClientSession, Given, To};
use super::expect::{Expect, Kind};
use super::locals::{assignment, identifier, survives_text};
use super::server::ServerSession;
use super::settings::Settings;
use super::statement::Statement;
use crate::sql::{self, Class, Leaves};
use crate::wire::{self, PgError, Target, front};

/// Settings that a transaction or a text has made use of before it could change them.
const TOO_LATE: [&str; 8] = [
    "client_encoding",
    "standard_conforming_strings",
    "backslash_quote",
    "escape_string_warning",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
    "transform_null_equals",
];

/// Settings that are to be brought, are on their way, or are in doubt.
#[derive(Debug, Default)]
pub(super) struct Bring {
    /// They are to be brought ahead of the next frame.
    owed: bool,
    /// They went out with a frame; the end of its transaction has not been seen.
    fused: Option<Fused>,
    /// What these are is not known.
    doubtful: Vec<Box<str>>,
}

#[derive(Debug)]
struct Fused {
    /// What is set once the transaction is committed.
    want: Arc<Settings>,
    /// What of that is its client's from before.
    own: Arc<Settings>,
    changes: Changes,
    /// A frame has gone out that ends the transaction: one behind it that finds no end of its batch needs them again.
    ended: bool,
    /// Something failed, or was rolled back: only a COMMIT that follows says that they are set.
    in_doubt: bool,
    rolled_back: bool,
    committed: bool,
}

/// SET or RESET, ready to be sent.
#[derive(Debug, Default)]
pub(super) struct Changes {
    names: Vec<Box<str>>,
    texts: Vec<Vec<u8>>,
    /// As text, one of them would mean the same, but look different.
    inexact: bool,
}

impl Changes {
    /// One text for a simple query.
    pub(super) fn prefix(&self) -> Vec<u8> {
        let mut prefix = self.texts.join(&b';');
        prefix.push(b';');
        prefix
    }

    /// How many statements that is.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.texts.len()).unwrap_or(u32::MAX)
    }

    /// Ahead of the frame they would do, but not together with it.
    fn must_go_ahead(&self) -> bool {
        self.inexact
            || self.names.iter().any(|name| TOO_LATE.iter().any(|late| name.eq_ignore_ascii_case(late)))
    }
}

/// The refusal of a statement behind the end of a transaction of the same batch: whether what was set in that holds
/// is not known yet.
fn behind_its_end() -> PgError {
    PgError::error("0A000", "a setting was changed in a transaction that ended in this pipeline")
        .hint("Send a Sync behind COMMIT or ROLLBACK.")
}

/// What is done about settings ahead of a frame.
pub(super) enum Brought {
    /// Nothing.
    Nothing,
    /// They go with it.
    Fuse(Changes),
    /// It waits.
    Wait,
    /// It is refused with this.
    Refused(PgError),
}

/// The refusal of a statement's name in the middle of a batch, where what it stands for cannot be brought.
fn behind_others() -> PgError {
    PgError::error("0A000", "a statement that SQL prepared cannot be named behind others of a pipeline here")
        .hint("Send a Sync before it, or prepare it by the protocol.")
}

impl ServerSession {
    /// The next user is this client: its settings will be brought with its first frame, if they differ.
    pub fn owe_settings(&mut self, client: &ClientSession) {
        self.bring.owed = self.differs(client);
    }

    /// What is set here is not, or not for certain, what the client has.
    pub fn differs(&self, client: &ClientSession) -> bool {
        self.settings.id() != client.settings.id() || !self.bring.doubtful.is_empty()
    }

    /// What must be changed to come to `want`.
    pub(super) fn changes(&self, want: &Settings) -> Changes {
        let (lost, sets) = self.difference(want);
        let mut changes = Changes::default();
        for name in lost {
            let mut text = b"RESET ".to_vec();
            identifier(&mut text, &name);
            changes.names.push(name);
            changes.texts.push(text);
        }
        for (name, value) in sets {
            let mut text = b"SET SESSION ".to_vec();
            assignment(&mut text, &name, &value);
            changes.inexact |= !survives_text(&name, &value);
            changes.names.push(name);
            changes.texts.push(text);
        }
        changes
    }

    /// What must be reset, and what set, to come to `want`.
    pub(super) fn difference(&self, want: &Settings) -> (Vec<Box<str>>, Vec<(Box<str>, Box<str>)>) {
        let have = &self.settings;
        let doubtful = |name: &str| self.bring.doubtful.iter().any(|n| n.eq_ignore_ascii_case(name));
        let lost = have.iter().map(|(name, _)| name);
        let lost = lost.chain(self.bring.doubtful.iter().map(|n| &**n).filter(|n| have.get(n).is_none()));
        let lost = lost.filter(|name| want.get(name).is_none()).map(Into::into);
        let sets = want.iter().filter(|(name, value)| have.get(name) != Some(value) || doubtful(name));
        (lost.collect(), sets.map(|(name, value)| (name.into(), value.into())).collect())
    }

    fn fuse(&mut self, want: &Arc<Settings>, changes: Changes) {
        self.bring.owed = false;
        let (want, own) = (Arc::clone(want), Arc::clone(want));
        self.bring.fused = Some(Fused {
            want,
            own,
            changes,
            ended: false,
            in_doubt: false,
            rolled_back: false,
            committed: false,
        });
    }

    /// The settings were brought by a batch of their own.
    pub(super) fn brought(&mut self) {
        self.bring = Bring::default();
    }
}

impl Bring {
    /// True while there is anything to do or to watch.
    pub(super) fn is_pending(&self) -> bool {
        self.owed || self.fused.is_some()
    }

    /// What the server has is known.
    pub(super) fn is_sure(&self) -> bool {
        self.doubtful.is_empty() && self.fused.is_none()
    }

    /// They are on their way.
    pub(super) fn is_under_way(&self) -> bool {
        self.fused.is_some()
    }

    /// This one is on its way.
    pub(super) fn brings(&self, name: &str) -> bool {
        self.fused
            .as_ref()
            .is_some_and(|fused| fused.changes.names.iter().any(|n| n.eq_ignore_ascii_case(name)))
    }

    /// The client changed a setting while others were on their way. False if none are.
    pub(super) fn note(&mut self, name: &str, value: Option<&str>) -> bool {
        match &mut self.fused {
            Some(fused) => {
                fused.want = Arc::new(fused.want.changed(name, value));
                true
            }
            None => false,
        }
    }

    /// What is on its way, and what its client had of it before.
    pub(super) fn sent(&self) -> Option<(&[Box<str>], &Arc<Settings>)> {
        self.fused.as_ref().map(|fused| (&*fused.changes.names, &fused.own))
    }

    /// What is on its way may have been undone.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.fused.as_ref().is_some_and(|fused| !fused.committed && (fused.in_doubt || fused.rolled_back))
    }

    pub(super) fn on_error(&mut self) {
        if let Some(fused) = &mut self.fused {
            fused.in_doubt = true;
        }
    }

    /// COMMIT or ROLLBACK is complete.
    pub(super) fn on_end(&mut self, committed: bool) {
        if let Some(fused) = &mut self.fused {
            fused.committed |= committed && !fused.rolled_back;
            fused.rolled_back |= !committed;
        }
    }

    /// The transaction is over: what is set now, if that is known.
    pub(super) fn on_idle(&mut self) -> Option<Arc<Settings>> {
        let fused = self.fused.take()?;
        if fused.committed || !(fused.in_doubt || fused.rolled_back) {
            self.doubtful.clear();
            return Some(fused.want);
        }
        self.doubt(fused.changes.names);
        self.owed = true; // its client may go on before anybody else has it
        None
    }

    fn doubt(&mut self, names: Vec<Box<str>>) {
        for name in names {
            if !self.doubtful.contains(&name) {
                self.doubtful.push(name);
            }
        }
    }

    /// A frame goes out that ends the transaction in which they are set.
    pub(super) fn end(&mut self) {
        if let Some(fused) = &mut self.fused {
            fused.ended = true;
        }
    }

    /// A frame follows that has found no end of the batch: it must have them again, if the transaction is over.
    fn again(&mut self) -> bool {
        let Some(fused) = self.fused.take_if(|fused| fused.ended) else { return false };
        self.owed = true;
        self.doubt(fused.changes.names);
        true
    }

    /// The transaction is being ended, and its client has changed one of them in it.
    fn ended_with(&self, changed: impl Fn(&str) -> bool) -> bool {
        let ended = self.fused.as_ref().filter(|fused| fused.ended);
        ended.is_some_and(|fused| fused.changes.names.iter().any(|name| changed(name)))
    }

    /// The transaction was committed, and another one followed at once: what is set now.
    fn settled(&mut self) -> Option<Arc<Settings>> {
        let fused = self.fused.take_if(|fused| fused.ended && fused.committed)?;
        self.doubtful.clear();
        Some(fused.want)
    }

    /// A transaction is open: a ROLLBACK was one to a savepoint, and that came behind what is on its way.
    pub(super) fn on_open(&mut self) {
        if let Some(fused) = self.fused.as_mut().filter(|fused| !fused.ended) {
            fused.in_doubt = false;
            fused.rolled_back = false;
        }
    }

    /// What this one is on the connection is not known.
    pub(super) fn doubts(&self, name: &str) -> bool {
        self.doubtful.iter().any(|n| n.eq_ignore_ascii_case(name))
    }

    /// What was on its way in a batch that failed and runs again.
    pub(super) fn take_under_way(&mut self) -> Option<Changes> {
        self.fused.take().map(|fused| fused.changes)
    }

    /// What is on its way, as the text that goes ahead of a query, and its number of statements.
    pub(super) fn prefix(&self) -> Option<(Vec<u8>, u32)> {
        self.fused.as_ref().map(|fused| (fused.changes.prefix(), fused.changes.count()))
    }
}

/// How a frame and settings that are owed get on.
enum Plan {
    /// It does not need them.
    Without,
    /// They go with it.
    Together,
    /// They go ahead.
    Ahead,
}

fn plan(class: Class, leaves: Leaves, status: u8) -> Plan {
    match (status, class) {
        (b'T', Class::End | Class::Chain | Class::RollbackTo) => Plan::Without,
        (b'T', _) => Plan::Together,
        (_, Class::Query | Class::Plain | Class::Begin) if !leaves.any() => Plan::Together,
        _ => Plan::Ahead,
    }
}

impl ClientSession {
    /// Sees to settings that are owed, ahead of a frame.
    pub(super) fn bring(&self, tag: u8, given: &Given<'_>, to: &mut To<'_>) -> Brought {
        let starts = matches!(
            tag,
            front::QUERY
                | front::PARSE
                | front::BIND
                | front::DESCRIBE
                | front::EXECUTE
                | front::FUNCTION_CALL
        );
        if !starts {
            return Brought::Nothing;
        }
        let names = self.names_prepared(tag, given, to.server);
        if !names && !to.server.bring.is_pending() {
            return Brought::Nothing;
        }
        let begun = to.server.unsynced && to.server.begun;
        if to.server.owes_batch() && !begun {
            to.server.doubt = true;
            return Brought::Wait;
        }
        if let Some(settings) = to.server.bring.settled() {
            to.server.settings = settings;
        }
        if begun && to.server.bring.ended_with(|name| to.server.left.names(name)) {
            return Brought::Refused(behind_its_end());
        }
        let ended = to.server.bring.again();
        let failed = to.server.status() == b'E' && !(ended && begun);
        if failed {
            return Brought::Nothing; // in a failed transaction nothing runs
        }
        if names && begun {
            return Brought::Refused(behind_others());
        }
        if names && (!to.server.bring.owed || to.server.status() != b'I') {
            if to.server.unsynced {
                to.server.cut_batch(to.out);
            }
            to.server.preamble_names(self, to.out);
            return Brought::Wait;
        }
        if !to.server.bring.owed {
            return Brought::Nothing;
        }
        let plan = if names { Plan::Ahead } else { self.plan(tag, given, to.server.status()) };
        let changes = to.server.changes(&self.settings);
        if changes.texts.is_empty() {
            to.server.settings = Arc::clone(&self.settings);
            to.server.brought();
            return Brought::Nothing;
        }
        match plan {
            Plan::Without => Brought::Nothing,
            Plan::Together if !changes.must_go_ahead() => Brought::Fuse(changes),
            // In a transaction that goes on, they go with it whatever it is.
            _ if begun || to.server.status() == b'T' => Brought::Fuse(changes),
            _ => {
                if to.server.unsynced {
                    to.server.cut_batch(to.out);
                }
                to.server.preamble(self, None, to.out);
                Brought::Wait
            }
        }
    }

    /// The frame may name a statement that SQL prepared, and those that the server has are not its client's.
    fn names_prepared(&self, tag: u8, given: &Given<'_>, server: &ServerSession) -> bool {
        if self.sql_prepared == server.sql_prepared {
            return false;
        }
        let names = |leaves: Leaves| {
            leaves.has(Leaves::EXECUTES) || leaves.has(Leaves::PREPARED) && !leaves.has(Leaves::UNREADABLE)
        };
        let agree = |name: &[u8]| self.sql_prepared.agree(&server.sql_prepared, name);
        let text = |text: &[u8]| {
            names(sql::traits(text, self.standard_strings).leaves)
                && sql::named_statement(text, self.standard_strings).is_none_or(|name| !agree(&name))
        };
        let of = |name: &[u8]| match self.statement(name) {
            Some(statement) => {
                names(statement.leaves)
                    && wire::c_string(&statement.body).is_none_or(|(query, _)| text(query))
            }
            None => !name.is_empty() && !agree(name),
        };
        match tag {
            front::QUERY => text(given.body.strip_suffix(&[0]).unwrap_or(given.body)),
            front::PARSE => wire::parse(given.body).is_ok_and(|parse| text(parse.query)),
            front::BIND => wire::bind_head(given.body).is_some_and(|bind| of(bind.statement)),
            front::DESCRIBE => matches!(wire::target(given.body), Ok(Target::Statement(name)) if of(name)),
            _ => false,
        }
    }

    /// True when [`Self::bring`] may have anything to do.
    pub(super) fn must_bring(&self, server: &ServerSession) -> bool {
        server.bring.is_pending() || self.sql_prepared != server.sql_prepared
    }

    fn plan(&self, tag: u8, given: &Given<'_>, status: u8) -> Plan {
        let of = |statement: &Statement| plan(statement.class, statement.leaves, status);
        match tag {
            front::QUERY => {
                let text = given.body.strip_suffix(&[0]).unwrap_or(given.body);
                let traits = sql::traits(text, self.standard_strings);
                if !given.whole {
                    return Plan::Ahead;
                }
                if traits.statements == 0 || traits.discard_all {
                    return Plan::Without;
                }
                // What is set is gone with a ROLLBACK in the middle.
                let ends = |class| matches!(class, Class::End | Class::Chain | Class::RollbackTo);
                if traits.statements > 1
                    && sql::parts(text, self.standard_strings).any(|part| ends(part.class))
                {
                    return Plan::Ahead;
                }
                plan(traits.class, traits.leaves, status)
            }
            front::PARSE => wire::parse(given.body).map_or(Plan::Without, |parse| {
                let traits = sql::traits(parse.query, self.standard_strings);
                plan(traits.class, traits.leaves, status)
            }),
            front::BIND => {
                let name = wire::bind_head(given.body).map(|bind| bind.statement);
                name.and_then(|name| self.statement(name)).map_or(Plan::Ahead, |s| of(s))
            }
            front::DESCRIBE => match wire::target(given.body) {
                Ok(Target::Statement(name)) => self.statement(name).map_or(Plan::Ahead, |s| of(s)),
                _ => Plan::Ahead,
            },
            _ => Plan::Ahead,
        }
    }

    /// Puts the changes ahead of a frame of the extended protocol.
    pub(super) fn bring_in_batch(&mut self, changes: Changes, unnamed: bool, to: &mut To<'_>) {
        for text in &changes.texts {
            let mut body = text.clone();
            body.extend_from_slice(&[0, 0, 0]);
            self.run_unnamed(&body, unnamed, to);
        }
        to.server.fuse(&self.settings, changes);
    }

    /// Puts the changes ahead of a fastpath call in a transaction block.
    pub(super) fn bring_with_call(&mut self, changes: Changes, to: &mut To<'_>) {
        wire::query(to.out, &changes.prefix());
        to.server.unnamed = None;
        to.server.push(Expect::new(Kind::Query, false), to.replies);
        to.server.fuse(&self.settings, changes);
    }

    /// They are put ahead of a simple query.
    pub(super) fn bring_with_query(&self, changes: Changes, server: &mut ServerSession) {
        server.fuse(&self.settings, changes);
    }
}
