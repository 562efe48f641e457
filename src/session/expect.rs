//! What a server connection still owes, in the order of the frames that went out.

use std::collections::VecDeque;
use std::sync::Arc;

use super::channels::Steps;
use super::keep::Keep;
use super::locals::Insert;
use super::statement::{Named, Note, Statement};
use super::written::Written;
use crate::wire::PgError;

/// Which frame a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ParseComplete`.
    Parse,
    /// `BindComplete`.
    Bind,
    /// `RowDescription` or `NoData`, after a `ParameterDescription` if it was a statement's.
    Describe,
    /// Rows or COPY, then `CommandComplete`, `EmptyQueryResponse` or `PortalSuspended`.
    Execute,
    /// `CloseComplete`.
    Close,
    /// `ReadyForQuery`.
    Sync,
    /// Anything of a simple query, then `ReadyForQuery`.
    Query,
    /// `FunctionCallResponse`, then `ReadyForQuery`.
    FunctionCall,
    /// `CopyDone` or `CopyFail` went out here; nothing is owed for it.
    CopyEnd,
    /// An error, in place of the reply to a Bind or Describe of a statement that is outdated: a Parse that fails.
    Outdated,
    /// A reply of five bytes that Howdah itself gives when it is its turn.
    Synthetic(u8),
}

/// What to take back when a frame was skipped, because an earlier one of its batch failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Undo {
    /// The client's name was not defined after all.
    Undefine(Box<[u8]>),
    /// The client's name was not closed after all.
    Define(Box<[u8]>, Named),
    /// The client's unnamed statement is still this one.
    Unnamed(Option<Arc<Statement>>),
}

/// One entry of the queue.
#[derive(Debug)]
pub struct Expect {
    /// What is owed.
    pub kind: Kind,
    /// False for frames that Howdah put in: their replies are swallowed (but for errors).
    pub shown: bool,
    /// Parse: what gets prepared under its own name. Close: what is evicted. Bind, Describe and Outdated: what is used.
    pub statement: Option<Arc<Statement>>,
    /// Of the name that a Bind or Describe uses: what its client knows.
    pub(super) note: Option<Arc<Note>>,
    /// For a skipped frame.
    pub undo: Option<Box<Undo>>,
    /// Shown in place of the server's error: the frame was made to fail.
    pub error: Option<Box<PgError>>,
    /// Bytes of the batch's replay buffer that are answered once this is.
    pub replay_end: usize,
    /// What was put into a simple query's text, or into that of a Parse.
    pub(super) inserts: Option<Arc<[Insert]>>,
    /// Statements of a simple query that are done, those put in included.
    pub(super) done: u32,
    /// What its text says about channels and savepoints.
    pub(super) steps: Option<Box<Steps>>,
    /// A query of the slow path, ahead of the client's statement or behind it.
    pub(super) aside: bool,
    /// It is a DISCARD SEQUENCES of Howdah's own, ahead of a client's frame.
    pub(super) discards: bool,
    /// It asks what is left in the session: its rows are read.
    pub(super) probes: bool,
    /// What is kept of its replies.
    pub(super) keep: Option<Keep>,
    /// What it writes.
    pub(super) written: Option<Box<Written>>,
    /// The number of the statement that it runs, if that is measured; else 0.
    pub(super) timed: u32,
}

impl Expect {
    /// An entry with nothing but its kind.
    pub fn new(kind: Kind, shown: bool) -> Self {
        Self {
            kind,
            shown,
            statement: None,
            note: None,
            undo: None,
            error: None,
            replay_end: 0,
            inserts: None,
            done: 0,
            steps: None,
            aside: false,
            discards: false,
            probes: false,
            keep: None,
            written: None,
            timed: 0,
        }
    }

    /// A query of the slow path.
    pub(super) fn aside() -> Self {
        Self { aside: true, ..Self::new(Kind::Query, false) }
    }

    /// One more statement of a simple query is done. True if it is one that was put in.
    pub(super) fn one_done(&mut self) -> bool {
        let inserted = self.is_inserted();
        self.done += 1;
        inserted
    }

    /// The statement of a simple query that is being answered is one that was put in.
    pub(super) fn is_inserted(&self) -> bool {
        let Some(inserts) = &self.inserts else { return false };
        let mut earlier = 0;
        for insert in inserts.iter() {
            let from = insert.before + earlier;
            if self.done < from {
                return false;
            }
            if self.done < from + insert.statements {
                return true;
            }
            earlier += insert.statements;
        }
        false
    }

    /// The server answers it with `ReadyForQuery` at the end.
    pub(super) fn ends_batch(&self) -> bool {
        matches!(self.kind, Kind::Sync | Kind::Query | Kind::FunctionCall)
    }

    /// A frame of Howdah's own: it changes nothing of the client's.
    pub(super) fn is_ours(&self) -> bool {
        !self.shown || self.error.is_some()
    }

    /// It decides what some name stands for, or whether the server has some statement.
    pub(super) fn defines(&self) -> bool {
        self.undo.is_some() || matches!(self.kind, Kind::Parse | Kind::Close) && self.statement.is_some()
    }

    /// It decides what a client's name stands for.
    pub(super) fn names(&self, name: &[u8]) -> bool {
        match self.undo.as_deref() {
            Some(Undo::Undefine(known) | Undo::Define(known, _)) => **known == *name,
            Some(Undo::Unnamed(_)) => name.is_empty(),
            None => false,
        }
    }

    /// It decides whether the server has a statement.
    pub(super) fn prepares(&self, id: u64) -> bool {
        matches!(self.kind, Kind::Parse | Kind::Close) && self.statement.as_ref().is_some_and(|s| s.id == id)
    }

    /// With a statement.
    #[must_use]
    pub fn statement(mut self, statement: Arc<Statement>) -> Self {
        self.statement = Some(statement);
        self
    }

    /// With what to take back.
    #[must_use]
    pub fn undo(mut self, undo: Undo) -> Self {
        self.undo = Some(Box::new(undo));
        self
    }
}

/// The queue.
pub(super) type Queue = VecDeque<Expect>;
