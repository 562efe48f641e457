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
use super::locals::{assignment, identifier, is_list, survives_text};
use super::server::ServerSession;
use super::settings::Settings;
use super::sql_prepared::names_unknown;
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
    /// What they lead to.
    want: Arc<Settings>,
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

/// A name and a value.
type Pair = (Box<str>, Box<str>);

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
    pub(super) fn changes(&self, want: &Arc<Settings>) -> Changes {
        let (lost, sets) = self.difference(want);
        let mut changes = Changes { want: Arc::clone(want), ..Changes::default() };
        // It changes how names in lists are shown.
        let quotes = |settings: &Settings| settings.get("quote_all_identifiers").is_some();
        let quotes = quotes(want) || quotes(&self.settings);
        for name in lost {
            let mut text = b"RESET ".to_vec();
            identifier(&mut text, &name);
            changes.names.push(name);
            changes.texts.push(text);
        }
        for (name, value) in sets {
            let mut text = b"SET SESSION ".to_vec();
            assignment(&mut text, &name, &value);
            changes.inexact |= !survives_text(&name, &value) || quotes && is_list(&name);
            changes.names.push(name);
            changes.texts.push(text);
        }
        changes
    }

    /// What must be reset, and what set, to come to `want`.
    pub(super) fn difference(&self, want: &Settings) -> (Vec<Box<str>>, Vec<Pair>) {
        let have = &self.settings;
        let doubtful = |name: &str| self.bring.doubtful.iter().any(|n| n.eq_ignore_ascii_case(name));
        let lost = have.iter().map(|(name, _)| name);
        let lost = lost.chain(self.bring.doubtful.iter().map(|n| &**n).filter(|n| have.get(n).is_none()));
        let lost = lost.filter(|name| want.get(name).is_none()).map(Into::into);
        let sets = want.iter().filter(|(name, value)| have.get(name) != Some(value) || doubtful(name));
        (lost.collect(), sets.map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// They go out with a frame.
    pub(super) fn fuse(&mut self, changes: Changes) {
        self.bring.owed = false;
        let (want, own) = (Arc::clone(&changes.want), Arc::clone(&changes.want));
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

    /// What the server has is known, and is its client's.
    pub(super) fn is_sure(&self) -> bool {
        self.doubtful.is_empty() && self.fused.is_none() && !self.owed
    }

    /// They are on their way.
    pub(super) fn is_under_way(&self) -> bool {
        self.fused.is_some()
    }

    /// The transaction in which they went was undone, and another one has begun.
    pub(super) fn is_ended(&self) -> bool {
        self.fused.as_ref().is_some_and(|fused| fused.ended)
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
    /// `undone`: Howdah's own ROLLBACK has ended it, for a client that is gone.
    pub(super) fn on_idle(&mut self, undone: bool) -> Option<Arc<Settings>> {
        let fused = self.fused.take()?;
        if fused.committed || !(undone || fused.in_doubt || fused.rolled_back) {
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

    /// A frame goes out that undoes the transaction in which they are set.
    pub(super) fn end(&mut self) {
        if let Some(fused) = &mut self.fused {
            fused.ended = true;
        }
    }

    /// A frame follows that has found no end of the batch: it must have them again, if the transaction is over.
    /// Returns what their client had before that transaction: what it changed in it was undone as well.
    fn again(&mut self) -> Option<Arc<Settings>> {
        let fused = self.fused.take_if(|fused| fused.ended)?;
        self.owed = true;
        self.doubt(fused.changes.names);
        Some(fused.own)
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

    /// The transaction has failed and is open yet: what was to end it was skipped.
    pub(super) fn on_failed(&mut self) {
        if let Some(fused) = &mut self.fused {
            fused.ended = false;
        }
    }

    /// What some are on the connection is not known.
    pub(super) fn has_doubts(&self) -> bool {
        !self.doubtful.is_empty()
    }

    /// What is in doubt and now known is so no more.
    pub(super) fn resolve(&mut self, known: impl Fn(&str) -> bool) {
        self.doubtful.retain(|name| !known(name));
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
    pub(super) fn bring(&mut self, tag: u8, given: &Given<'_>, to: &mut To<'_>) -> Brought {
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
        let mut prepared = self.names_prepared(tag, given, to.server);
        if prepared.is_none() && !to.server.bring.is_pending() {
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
        let ended = to.server.bring.again();
        let ended_here = ended.is_some() || to.server.ended_in_batch;
        let failed = to.server.status() == b'E' && !(ended_here && begun);
        if failed {
            if let Some(named) = prepared.filter(|_| !begun) {
                self.drop_names(&named, to); // behind a ROLLBACK in the text, they would be found
            }
            return Brought::Nothing; // in a failed transaction nothing runs
        }
        if let Some(named) = prepared.take_if(|_| begun) {
            if to.server.names_unknown || to.server.barrier_at_sync {
                return Brought::Refused(names_unknown());
            }
            self.names_in_batch(&named, to);
        }
        if let Some(named) = prepared.as_ref().filter(|_| !to.server.bring.owed || to.server.status() != b'I')
        {
            if to.server.unsynced {
                to.server.cut_batch(to.out);
            }
            to.server.preamble_names(self, named, to.out);
            return Brought::Wait;
        }
        if !to.server.bring.owed {
            return Brought::Nothing;
        }
        let plan = if prepared.is_some() { Plan::Ahead } else { self.plan(tag, given, to.server.status()) };
        let changes = to.server.changes(ended.as_ref().unwrap_or(&self.settings));
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

    /// True when [`Self::bring`] may have anything to do.
    pub(super) fn must_bring(&self, server: &ServerSession) -> bool {
        server.bring.is_pending() || server.names_unknown || self.sql_prepared != server.sql_prepared
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
                if traits.statements == 0 {
                    return Plan::Ahead; // what follows it in the batch may be anything
                }
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
    pub(super) fn bring_in_batch(&mut self, changes: Changes, to: &mut To<'_>) {
        for text in &changes.texts {
            let mut body = text.clone();
            body.extend_from_slice(&[0, 0, 0]);
            // Not in the unnamed portal: it would be there for the client's frame if that fails.
            self.run_unnamed(&body, false, to);
        }
        to.server.fuse(changes);
    }

    /// Puts the changes ahead of a fastpath call in a transaction block.
    pub(super) fn bring_with_call(changes: Changes, to: &mut To<'_>) {
        wire::query(to.out, &changes.prefix());
        to.server.unnamed = None;
        to.server.push(Expect::new(Kind::Query, false), to.replies);
        to.server.fuse(changes);
    }
}
