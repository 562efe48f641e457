//! Statements that SQL prepared: PREPARE, EXECUTE, DEALLOCATE.
//!
//! They keep the names that the client gave them, so a server connection has those of one client at a time, as far
//! as the names are the same: what another one left goes, and what is missing is prepared again, before a text
//! that names one.

use std::sync::Arc;

use super::client::{ClientSession, Given, To};
use super::expect::{Expect, Kind};
use super::server::{ServerSession, is_reserved};
use crate::sql::{self, Leaves};
use crate::wire::{self, PgError, Target, front};

/// The way to other statements.
struct Changes {
    /// Closed by the protocol, which is no error where there is none.
    drops: Vec<Box<str>>,
    texts: Vec<String>,
    then: SqlStatements,
}

/// Which of them a frame names.
pub(super) enum Named {
    /// This one.
    One(Vec<u8>),
    /// Some, or all.
    All,
}

/// One of them, as the server told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SqlPrepared {
    pub(super) name: Box<str>,
    /// The whole PREPARE that made it.
    pub(super) text: Box<str>,
    leaves: Leaves,
}

/// All of a session, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SqlStatements {
    all: Arc<[SqlPrepared]>,
}

impl SqlStatements {
    /// From names and texts.
    pub(super) fn new(mut all: Vec<(String, String)>) -> Self {
        all.sort();
        let all = all.into_iter().map(|(name, text)| {
            let text = alone(&name, text);
            let leaves = sql::traits(text.as_bytes(), true).leaves.without(Leaves::PREPARED);
            SqlPrepared { leaves, name: name.into(), text: text.into() }
        });
        Self { all: all.collect() }
    }

    fn get(&self, name: &[u8]) -> Option<&SqlPrepared> {
        self.all.iter().find(|s| s.name.as_bytes() == name)
    }

    /// The text of one of them.
    pub(super) fn text_of(&self, name: &[u8]) -> Option<&str> {
        self.get(name).map(|one| &*one.text)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A name stands for the same here and there.
    pub(super) fn agree(&self, other: &Self, name: &[u8]) -> bool {
        self.get(name) == other.get(name)
    }

    /// What running any of them may leave behind.
    pub(super) fn leaves(&self) -> Leaves {
        self.all.iter().fold(Leaves::NOTHING, |leaves, s| leaves | s.leaves)
    }

    /// What must go and what must be run to come from these to `want`: for one name, or for all. And what is there
    /// then.
    fn changes(&self, want: &Self, named: &Named) -> Changes {
        let concerned = |s: &&SqlPrepared| match named {
            Named::One(name) => s.name.as_bytes() == name,
            Named::All => true,
        };
        let gone = |s: &&SqlPrepared| concerned(s) && !want.all.contains(s);
        let new = |s: &&SqlPrepared| concerned(s) && !self.all.contains(s);
        let drops = self.all.iter().filter(gone).map(|s| s.name.clone()).collect();
        let texts = want.all.iter().filter(new).map(|s| s.text.to_string()).collect();
        let kept = self.all.iter().filter(|s| !gone(s)).chain(want.all.iter().filter(new));
        let mut then: Vec<SqlPrepared> = kept.cloned().collect();
        then.sort_by(|a, b| a.name.cmp(&b.name));
        Changes { drops, texts, then: Self { all: then.into() } }
    }

    /// One of them has a name such as Howdah gives.
    pub(super) fn is_disguised(&self) -> bool {
        self.all.iter().any(|s| is_reserved(s.name.as_bytes()))
    }

    /// More than one is not in `before`.
    pub(super) fn has_more_new(&self, before: &Self) -> bool {
        self.all.iter().filter(|s| !before.all.contains(s)).count() > 1
    }

    /// Those that have none of these names.
    fn without(&self, names: &[Box<str>]) -> Self {
        Self { all: self.all.iter().filter(|s| !names.contains(&s.name)).cloned().collect() }
    }

    /// Those that one of them has.
    pub(super) fn union(&self, other: &Self) -> Self {
        Self { all: self.all.iter().chain(other.all.iter()).cloned().collect() }
    }

    /// Those that both have.
    pub(super) fn common(&self, other: &Self) -> Self {
        Self { all: self.all.iter().filter(|s| other.all.contains(s)).cloned().collect() }
    }

    /// A client's, from its own: what differs from what the connection had `before` is its doing.
    pub(super) fn learn(&self, before: &Self, now: &Self) -> Self {
        let same = |s: &&SqlPrepared| before.all.contains(s) == now.all.contains(s);
        let kept = self.all.iter().filter(same);
        let made = now.all.iter().filter(|s| !before.all.contains(s));
        let mut all: Vec<SqlPrepared> = kept.chain(made).cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        Self { all: all.into() }
    }
}

/// The server keeps the whole text that a PREPARE came in: that statement of it.
fn alone(name: &str, text: String) -> String {
    let bytes = text.as_bytes();
    let parts: Vec<_> = sql::parts(bytes, true).collect();
    if parts.len() < 2 {
        return text;
    }
    let statement = |n: usize| {
        let end = parts.get(n + 1).map_or(bytes.len(), |next| next.start);
        let part = bytes.get(parts.get(n)?.start..end)?;
        (sql::prepared_name(part, true)? == name.as_bytes()).then_some(part)
    };
    // The last one of that name is the one that is there.
    let found = (0..parts.len()).rev().find_map(statement);
    let found = found.and_then(|part| std::str::from_utf8(part).ok());
    found.map(|part| part.trim_end().trim_end_matches(';').to_owned()).unwrap_or(text)
}

impl ClientSession {
    /// The frame may name a statement that SQL prepared, and those that the server has are not its client's: the
    /// name, if it is one.
    pub(super) fn names_prepared(&self, tag: u8, given: &Given<'_>, server: &ServerSession) -> Option<Named> {
        if self.sql_prepared == server.sql_prepared && !server.names_unknown {
            return None;
        }
        let names = |leaves: Leaves| {
            leaves.has(Leaves::EXECUTES) || leaves.has(Leaves::PREPARED) && !leaves.has(Leaves::UNREADABLE)
        };
        let differ =
            |name: &[u8]| server.names_unknown || !self.sql_prepared.agree(&server.sql_prepared, name);
        let text = |text: &[u8]| {
            if !names(sql::traits(text, self.standard_strings).leaves) {
                return None;
            }
            match sql::named_statement(text, self.standard_strings) {
                Some(name) => differ(&name).then_some(Named::One(name)),
                None => Some(Named::All),
            }
        };
        let of = |name: &[u8]| match self.statement(name) {
            Some(statement) if names(statement.leaves) => {
                wire::c_string(&statement.body).map_or(Some(Named::All), |(query, _)| text(query))
            }
            Some(_) => None,
            None => (!name.is_empty() && differ(name)).then(|| Named::One(name.to_vec())),
        };
        match tag {
            front::QUERY => text(given.body.strip_suffix(&[0]).unwrap_or(given.body)),
            front::PARSE => text(wire::parse(given.body).ok()?.query),
            front::BIND => of(wire::bind_head(given.body)?.statement),
            front::DESCRIBE => match wire::target(given.body) {
                Ok(Target::Statement(name)) => of(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// Drops what the client does not have. That works in a failed transaction too.
    pub(super) fn drop_names(&self, named: &Named, to: &mut To<'_>) {
        let Changes { drops, .. } = to.server.sql_prepared.changes(&self.sql_prepared, named);
        if drops.is_empty() || to.server.unsynced {
            return;
        }
        for name in &drops {
            wire::close_statement(to.out, name.as_bytes());
            to.server.push(Expect::new(Kind::Close, false), to.replies);
        }
        wire::sync(to.out);
        to.server.push(Expect::new(Kind::Sync, false), to.replies);
        to.server.sql_prepared = to.server.sql_prepared.without(&drops);
    }

    /// In the middle of a batch there is no waiting: what SQL prepared goes ahead of the frame in it.
    pub(super) fn names_in_batch(&mut self, named: &Named, to: &mut To<'_>) {
        let Changes { drops, texts, then } = to.server.sql_prepared.changes(&self.sql_prepared, named);
        for name in drops {
            wire::close_statement(to.out, name.as_bytes());
            to.server.push(Expect::new(Kind::Close, false), to.replies);
        }
        for mut text in texts {
            text.push_str("\0\0\0");
            self.run_unnamed(text.as_bytes(), false, to);
        }
        to.server.names_before = std::mem::replace(&mut to.server.sql_prepared, then);
        to.server.names_in_batch = true;
    }
}

impl ServerSession {
    /// Prepares what SQL had prepared in the client's session, and drops what another's had: of one name, or all. As
    /// [`Self::preamble`].
    pub(super) fn preamble_names(&mut self, client: &ClientSession, named: &Named, out: &mut Vec<u8>) {
        if self.names_unknown {
            // All of them go, and those of the protocol with them.
            self.run(out, b"DEALLOCATE ALL\0\0\0", &[]);
            self.statements.retain(&[]);
            self.sql_prepared = SqlStatements::default();
        }
        let Changes { drops, texts, then } = self.sql_prepared.changes(&client.sql_prepared, named);
        for name in drops {
            wire::close_statement(out, name.as_bytes());
            self.expect.push_back(Expect::new(Kind::Close, false));
        }
        for mut text in texts {
            text.push_str("\0\0\0");
            self.run(out, text.as_bytes(), &[]);
        }
        wire::sync(out);
        self.expect.push_back(Expect::new(Kind::Sync, false));
        self.unnamed = None;
        self.begin_preamble(None, None);
        self.bring_prepared(then);
    }
}

/// The refusal of a statement's name in the middle of a batch, where what the server has of them is not known.
pub(super) fn names_unknown() -> PgError {
    PgError::error("0A000", "a statement that SQL prepared cannot be named behind others of this pipeline")
        .hint("Send a Sync before it.")
}
