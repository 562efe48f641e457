//! What is told of each statement and each transaction when it is over.

use std::sync::Arc;

use crate::ids::ClientId;
use crate::sql::Shape;

/// Whose statements these are. One for each login and tenant of it, shared by all that it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The database, as clients call it.
    pub database: Arc<str>,
    /// The login.
    pub user: Arc<str>,
    /// `application_name`; empty if there is none.
    pub application: Arc<str>,
    /// The tenant; `None` without one.
    pub tenant: Option<Arc<str>>,
}

/// What the application says in a comment, in sqlcommenter's form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tags {
    /// `application`; comes before the `application_name`.
    pub application: Option<Box<str>>,
    /// `route`.
    pub route: Option<Box<str>>,
    /// `controller`.
    pub controller: Option<Box<str>>,
    /// `action`.
    pub action: Option<Box<str>>,
    /// `traceparent` (W3C Trace Context).
    pub traceparent: Option<Box<str>>,
}

/// Who answered a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Served {
    /// The server.
    Server,
    /// Howdah, from memory.
    Cache,
}

/// How long the parts of a statement took, in nanoseconds. They follow one another and add up to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// From its first byte at Howdah until there was a server connection for it. Of the first statement of a
    /// transaction only.
    pub wait: u64,
    /// Until the connection had its client's settings and tenant.
    pub preamble: u64,
    /// Until the first byte of the server's answer.
    pub first: u64,
    /// From then until its last byte.
    pub rest: u64,
    /// Until the client had taken the answer.
    pub client: u64,
    /// Answered from memory: all of it.
    pub cache: u64,
}

impl Phases {
    /// What the client waited, in nanoseconds.
    pub fn total(&self) -> u64 {
        [self.wait, self.preamble, self.first, self.rest, self.client, self.cache]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// What the server took: `first` and `rest`.
    pub fn server(&self) -> u64 {
        self.first.saturating_add(self.rest)
    }
}

/// More about a statement that took long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// Its text as it came, if `[observe] parameters` allows it.
    pub text: Option<Box<str>>,
    /// The values of its parameters as the client wrote them, if `[observe] parameters` allows it; `None` is NULL.
    pub parameters: Vec<Option<Box<str>>>,
}

/// A statement that is over.
#[derive(Clone, Debug)]
pub struct StatementRecord {
    /// Which one, without its constants.
    pub shape: Arc<Shape>,
    /// Whose.
    pub caller: Arc<Caller>,
    /// What its comments say.
    pub tags: Option<Arc<Tags>>,
    /// The client's number.
    pub client: ClientId,
    /// Counts the client's transactions: statements with the same number ran in one.
    pub transaction: u32,
    /// When it began, in nanoseconds of the process's clock.
    pub at: u64,
    /// What took how long.
    pub phases: Phases,
    /// Who answered.
    pub served: Served,
    /// It goes on with a portal that was not read to its end: not another call.
    pub continues: bool,
    /// Rows that it returned or changed, as `pg_stat_statements` counts them.
    pub rows: u64,
    /// Bytes of its answer.
    pub bytes: u64,
    /// The SQLSTATE that it failed with.
    pub error: Option<[u8; 5]>,
    /// Stands for the values of its parameters or its constants.
    pub values: u64,
    /// More about it, if it took as long as `[log] slow_query`.
    pub detail: Option<Box<Detail>>,
}

/// A transaction that is over.
#[derive(Clone, Debug)]
pub struct TransactionRecord {
    /// Whose.
    pub caller: Arc<Caller>,
    /// When it ended, in nanoseconds of the process's clock.
    pub at: u64,
    /// From when it had a server connection until it was over, in nanoseconds.
    pub length: u64,
    /// What of that its client let it lie open, with nothing to do.
    pub idle: u64,
    /// How long it waited for a connection before.
    pub wait: u64,
    /// Statements in it.
    pub statements: u32,
    /// Bytes that came from the client since the last one.
    pub received: u64,
    /// Bytes that went to the client since the last one.
    pub sent: u64,
    /// Parse messages from the client, and those that went to the server.
    pub client_parses: u32,
    /// Parse messages that went to the server.
    pub server_parses: u32,
    /// Bind messages.
    pub binds: u32,
}
