//! What a tenant asks of a client's frames: what is set in each transaction, and what is refused.

use std::sync::Arc;

use super::ahead::State;
use super::client::{ClientSession, To};
use super::locals::Locals;
use super::server::ServerSession;
use super::slow::Slow;
use super::statement::{Intern, Statement};
use crate::sql::{self, BadMark, Class, Marks, Touched};
use crate::wire::{self, PgError, front};

/// Functions on large objects, by their numbers in `pg_proc`: all that a fastpath call may name. It could set
/// settings otherwise.
const FASTPATH: [u32; 13] = [715, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172];

/// Which settings a client may not touch, and whether it may run code that nobody can read beforehand.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Names in lower case.
    pub names: Vec<String>,
    /// `on_dynamic_sql = "refuse"`.
    pub refuse_dynamic: bool,
    /// LISTEN is refused: other tenants are in the same database.
    pub refuse_channels: bool,
    /// The server connection holds a signature that a RESET ALL would take away.
    pub signed: bool,
}

impl Guard {
    /// It protects nothing.
    fn is_open(&self) -> bool {
        self.names.is_empty() && !self.refuse_dynamic && !self.refuse_channels
    }

    /// True for a setting that a client may not touch; `name` in lower case.
    pub fn protects(&self, name: &str) -> bool {
        name.starts_with("howdah.") || self.names.iter().any(|n| n == name)
    }

    /// Judges what a text touches. True if it may change how texts are read.
    ///
    /// # Errors
    /// It is refused with this.
    fn judge(&self, touched: Option<&Touched>) -> Result<bool, PgError> {
        let Some(touched) = touched else { return Ok(false) };
        if let Some(name) = touched.names.iter().find(|name| self.protects(name)) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            let error = PgError::error(
                "42501",
                format!("the setting \"{shown}\" is protected: it belongs to the tenant"),
            );
            return Err(if name.starts_with("howdah.") {
                error.hint("Write SET howdah.tenant = '…' (or RESET, SHOW) as a query of its own.")
            } else {
                error.hint("Use SET howdah.tenant = '…' to change the tenant. See protected in [tenancy].")
            });
        }
        if touched.unknown {
            return Err(PgError::error(
                "42501",
                "a setting is changed whose name cannot be read from the query",
            )
            .detail("It could be a protected one.")
            .hint("Write the name as a plain string, or use SET."));
        }
        if touched.default_authorization && self.protects("session_authorization") {
            return Err(PgError::error("42501", "the session's user is protected: it belongs to the tenant")
                .hint("See protected in [tenancy]."));
        }
        if touched.dynamic && self.refuse_dynamic {
            return Err(PgError::error("42501", "code that cannot be read beforehand is refused")
                .hint("See on_dynamic_sql in [tenancy]."));
        }
        Ok(touched.dynamic || touched.names.iter().any(|name| &**name == "client_encoding"))
    }
}

/// A client's tenant, as far as its frames are concerned.
#[derive(Debug)]
pub(super) struct Duty {
    pub(super) locals: Option<Arc<Locals>>,
    /// Tells these locals from others of this client; never 0.
    pub(super) number: u64,
    guard: Arc<Guard>,
    /// There should be a tenant and is none: this is what whoever wants rows is told.
    missing: Option<Box<PgError>>,
    /// The number when the unnamed statement's text was judged.
    unnamed_judged: u64,
    /// The tenant holds for this transaction only, and may not be carried into the next.
    fleeting: bool,
}

/// The transaction that the next frame will meet, as a client's tenant is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// One that has begun, be it by the batch that is open.
    Open,
    /// One of its own.
    Closed,
    /// Answers to come decide it.
    Unknown,
}

/// What may be done about a change of tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// No transaction is open, or none that has run a statement.
    Now,
    /// Answers to come decide it.
    Later,
    /// Not before the transaction is over.
    Never,
}

impl Duty {
    /// There should be a tenant and is none.
    pub(super) fn is_missing(&self) -> bool {
        self.missing.is_some()
    }
}

impl ClientSession {
    /// From now on transactions of this client run with `locals`, and statements that need rows are refused
    /// with `missing` if there is one.
    pub fn set_duty(&mut self, locals: Option<Arc<Locals>>, guard: Arc<Guard>, missing: Option<PgError>) {
        let number = match &self.duty {
            Some(duty) if same(duty.locals.as_ref(), locals.as_ref()) => duty.number,
            Some(duty) => duty.number + 1,
            None => 1,
        };
        let unnamed_judged = self.duty.as_ref().map_or(0, |duty| duty.unnamed_judged);
        let missing = missing.map(Box::new);
        self.duty = Some(Box::new(Duty { locals, number, guard, missing, unnamed_judged, fleeting: false }));
        self.settings_changed();
    }

    /// The marks in the comments of a frame's text, if it has any of ours.
    ///
    /// # Errors
    /// A mark that cannot be read.
    pub fn marks(&self, frame: &[u8]) -> Result<Marks, BadMark> {
        let text = || -> Option<&[u8]> {
            let (&tag, body) = frame.split_first().and_then(|(tag, rest)| Some((tag, rest.get(4..)?)))?;
            let text = match tag {
                front::QUERY => body,
                front::PARSE => wire::parse(body).ok()?.query,
                front::BIND => &self.statement(wire::bind_head(body)?.statement)?.body,
                _ => return None,
            };
            text.split(|b| *b == 0).next()
        };
        text().map_or_else(|| Ok(Marks::default()), |text| sql::marks(text, self.standard_strings))
    }

    /// Refuses a frame of a client that has a server connection: the server raises an error in its place, and
    /// the client sees `error` there.
    pub fn refuse_in_place(
        &mut self,
        server: &mut ServerSession,
        tag: u8,
        error: PgError,
        out: &mut Vec<u8>,
        replies: &mut Vec<u8>,
        intern: &dyn Intern,
    ) {
        let mut to = To { server, out, replies, intern };
        if matches!(tag, front::QUERY | front::FUNCTION_CALL) {
            self.fail_query(error, &mut to);
        } else {
            self.fail_in_batch(error, &mut to);
        }
    }

    /// RESET ALL in the middle of a transaction would leave the rest of it without its signature.
    pub(super) fn judge_reset(&self, in_the_middle: bool) -> Result<(), PgError> {
        if in_the_middle && self.duty.as_deref().is_some_and(|duty| duty.guard.signed) {
            return Err(PgError::error(
                "0A000",
                "RESET ALL is not possible inside of a transaction with a signed tenant",
            )
            .hint("Send it alone, outside of a transaction."));
        }
        Ok(())
    }

    pub(super) fn locals(&self) -> Option<(&Arc<Locals>, u64)> {
        let duty = self.duty.as_deref()?;
        duty.locals.as_ref().map(|locals| (locals, duty.number))
    }

    /// Whether the tenant ends with the transaction: a comment or SET LOCAL named it.
    pub fn set_fleeting(&mut self, fleeting: bool) {
        if let Some(duty) = &mut self.duty {
            duty.fleeting = fleeting;
        }
    }

    /// Refuses to carry a tenant into another transaction than the one that it was named for.
    pub(super) fn judge_next(&self, ended: bool) -> Result<(), PgError> {
        if ended && self.duty.as_deref().is_some_and(|duty| duty.fleeting) {
            return Err(PgError::error(
                "0A000",
                "the tenant ended with its transaction, and another one has begun",
            )
            .hint("Send what follows as a query of its own, with a tenant of its own."));
        }
        Ok(())
    }

    /// The unnamed statement's text was judged for the tenant that holds now.
    pub(super) fn unnamed_judged(&mut self) {
        if let Some(duty) = &mut self.duty {
            duty.unnamed_judged = duty.number;
        }
    }

    /// Judges a Bind of this statement: the tenant may be another one than when it was parsed. True if it may
    /// change how texts are read.
    ///
    /// # Errors
    /// It is refused with this.
    pub(super) fn judge_use(&self, statement: &Statement, unnamed: bool) -> Result<bool, PgError> {
        let Some(duty) = self.duty.as_deref() else { return Ok(false) };
        if duty.guard.is_open() {
            return Ok(false);
        }
        if !unnamed {
            self.judge_class(statement.class)?;
            return duty.guard.judge(statement.touched.as_deref());
        }
        match wire::c_string(&statement.body) {
            _ if duty.unnamed_judged == duty.number && !statement.leaves.any() => Ok(false),
            Some((text, _)) => self.judge_text(text, &sql::traits(text, self.standard_strings)),
            None => Err(PgError::error("42501", "this statement was prepared for another tenant")
                .hint("Parse it again.")),
        }
    }

    /// Refuses what needs a tenant when there is none.
    fn judge_class(&self, class: Class) -> Result<(), PgError> {
        let missing = self.duty.as_deref().and_then(|duty| duty.missing.as_deref());
        match missing.filter(|_| class.needs_locals()) {
            Some(missing) => Err(missing.clone()),
            None => Ok(()),
        }
    }

    /// Judges a text. True if it may change how texts are read.
    ///
    /// # Errors
    /// It is refused with this.
    pub(super) fn judge_text(&self, text: &[u8], traits: &sql::Traits<'_>) -> Result<bool, PgError> {
        // A login that carries no tenant on purpose may set whatever it likes.
        let Some(duty) = self.duty.as_deref().filter(|duty| !duty.guard.is_open()) else { return Ok(false) };
        let standard = self.standard_strings;
        let listens =
            || sql::steps(text, standard).iter().any(|(_, step)| matches!(step, sql::Step::Listen(_)));
        if traits.listens && duty.guard.refuse_channels && listens() {
            return Err(PgError::error(
                "42501",
                "a tenant may not listen in a database that it shares with others",
            )
            .detail("A channel is the whole database's: notifications of other tenants would be heard.")
            .hint("Give the tenant a database of its own, or set channels = \"shared\" in [tenancy]."));
        }
        let lexical = duty.guard.judge(sql::touched(text, standard).as_deref())?;
        if traits.statements > 1 {
            // A tenant is needed if any of them needs one.
            for part in sql::parts(text, standard) {
                self.judge_class(part.class)?;
            }
        } else if traits.statements == 1 {
            self.judge_class(traits.class)?;
        }
        if !text.is_ascii()
            && self.settings().get("client_encoding").is_some_and(|name| sql::hides_ascii(name.as_bytes()))
        {
            return Err(PgError::error(
                "42501",
                "a query with such characters cannot be judged in this client_encoding",
            )
            .detail("A character of this encoding may contain bytes that are SQL.")
            .hint("Use client_encoding = 'UTF8'."));
        }
        if memchr::memchr(b'\\', text).is_none() {
            return Ok(lexical);
        }
        // A backslash means one thing with standard_conforming_strings and another without, and a change of that
        // may be on its way: the text must be harmless in both readings, and come apart at the same places.
        let other = duty.guard.judge(sql::touched(text, !standard).as_deref())?;
        let apart = |standard| sql::parts(text, standard).map(|part| (part.start, part.class));
        if apart(true).eq(apart(false)) {
            return Ok(lexical || other);
        }
        Err(PgError::error("42501", "a backslash makes this query mean two things")
            .hint("Write the string as E'…' with the backslash doubled, or as a parameter."))
    }

    /// Why a frame of a client without a tenant is refused before any server sees anything of it, if it is.
    /// Malformed ones are not judged here.
    pub(super) fn missing_tenant(&self, tag: u8, body: &[u8]) -> Option<PgError> {
        self.duty.as_deref()?.missing.as_deref()?;
        let judge = |text: &[u8]| self.judge_text(text, &sql::traits(text, self.standard_strings)).err();
        match tag {
            front::QUERY => judge(body.split_last().map_or(body, |(_, text)| text)),
            front::PARSE => judge(wire::parse(body).ok()?.query),
            front::BIND => {
                let name = wire::bind_head(body)?.statement;
                self.judge_use(self.statement(name)?, name.is_empty()).err()
            }
            front::FUNCTION_CALL => self.judge_call(body).err(),
            _ => None,
        }
    }

    /// The statement that a name of the client's stands for.
    pub(super) fn statement(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        if name.is_empty() { self.statements.unnamed.as_ref() } else { self.statements.get(name) }
    }

    /// Judges a fastpath call.
    ///
    /// # Errors
    /// It is refused with this.
    pub(super) fn judge_call(&self, body: &[u8]) -> Result<(), PgError> {
        if self.duty.as_deref().is_none_or(|duty| duty.guard.is_open()) {
            return Ok(());
        }
        if is_large_object_call(body) {
            return self.judge_class(Class::Query);
        }
        Err(PgError::error("42501", "this function cannot be called by the fastpath protocol with a tenant")
            .hint("Call it by SELECT."))
    }
}

impl ServerSession {
    /// What the next frame will meet.
    pub fn transaction(&self) -> Transaction {
        match self.ahead.state {
            _ if self.unsynced => Transaction::Open,
            State::Block | State::Failed => Transaction::Open,
            State::Idle => Transaction::Closed,
            State::Unknown => Transaction::Unknown,
        }
    }

    /// Lets the next frame wait for the answers that are to come. False if none are.
    pub fn wait(&mut self) -> bool {
        self.doubt |= self.owes_batch();
        self.doubt
    }

    /// The server drops all frames up to the next Sync.
    pub fn is_discarding(&self) -> bool {
        self.discarding
    }

    /// The tenant was named anew behind the end of a transaction: see [`ClientSession::set_fleeting`].
    pub fn forget_end(&mut self) {
        self.ahead.ended = false;
    }

    /// A batch is open.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// True if the last transaction was undone; asked once, when it is over.
    pub fn take_rolled_back(&mut self) -> bool {
        std::mem::take(&mut self.rolled_back)
    }

    /// Whether the client's tenant may be another one for the next statement.
    pub fn may_change(&self) -> Change {
        // Only answers to earlier batches are worth waiting for: the server may keep those to the open one.
        let owed = self.owes_batch() || self.slow == Slow::Due;
        match self.ahead.state {
            State::Unknown if owed => Change::Later,
            _ if self.ahead.ran || self.ahead.local != 0 && self.unsynced => Change::Never,
            _ if owed => Change::Later,
            // What is set for the session may be more than what another tenant sets.
            _ if self.slow != Slow::Off => Change::Never,
            State::Failed => Change::Never,
            State::Idle | State::Block | State::Unknown => Change::Now,
        }
    }
}

/// A fastpath call of a function for large objects.
pub(super) fn is_large_object_call(body: &[u8]) -> bool {
    let function = body.first_chunk::<4>().map(|oid| u32::from_be_bytes(*oid));
    function.is_some_and(|oid| FASTPATH.contains(&oid))
}

fn same(a: Option<&Arc<Locals>>, b: Option<&Arc<Locals>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}
