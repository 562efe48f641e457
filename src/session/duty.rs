//! What a tenant asks of a client's frames: what is set in each transaction, and what is refused.

use std::sync::Arc;

use super::ahead::State;
use super::client::ClientSession;
use super::locals::Locals;
use super::server::ServerSession;
use super::statement::Statement;
use crate::sql::{self, Class, Touched};
use crate::wire::{self, PgError, front};

/// Functions on large objects, by their numbers in `pg_proc`: all that a fastpath call may name. It could set
/// settings otherwise.
const FASTPATH: [u32; 13] = [715, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172];

/// Which settings a client may not touch, and whether it may run code that nobody can read beforehand.
#[derive(Debug, Default)]
pub struct Guard {
    /// Names in lower case.
    pub names: Vec<String>,
    /// `on_dynamic_sql = "refuse"`.
    pub refuse_dynamic: bool,
    /// A role is set in each transaction, so going back to the login's own is an escape.
    pub role_is_set: bool,
}

impl Guard {
    fn protects(&self, name: &str) -> bool {
        name.starts_with("howdah.") || self.names.iter().any(|n| n == name)
    }

    /// Why a text that touches these settings is refused, if it is.
    fn objection(&self, touched: &Touched) -> Option<PgError> {
        if let Some(name) = touched.names.iter().find(|name| self.protects(name)) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            let error = PgError::error(
                "42501",
                format!("the setting \"{shown}\" is protected: it belongs to the tenant"),
            );
            return Some(if name.starts_with("howdah.") {
                error.hint("Write SET howdah.tenant = '…' (or RESET, SHOW) as a query of its own.")
            } else {
                error.hint("Use SET howdah.tenant = '…' to change the tenant. See protected in [tenancy].")
            });
        }
        if touched.unknown {
            return Some(
                PgError::error("42501", "a setting is changed whose name cannot be read from the query")
                    .detail("It could be a protected one.")
                    .hint("Write the name as a plain string, or use SET."),
            );
        }
        if touched.default_authorization && self.role_is_set {
            return Some(
                PgError::error("42501", "the role is protected: it belongs to the tenant")
                    .hint("See role in [tenants] and [users]."),
            );
        }
        (touched.dynamic && self.refuse_dynamic).then(|| {
            PgError::error("42501", "code that cannot be read beforehand is refused")
                .hint("See on_dynamic_sql in [tenancy].")
        })
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
        self.duty = Some(Box::new(Duty { locals, number, guard, missing, unnamed_judged }));
        self.settings_changed();
    }

    /// True when texts must be read whole before they go out.
    pub fn reads_all(&self) -> bool {
        self.duty.is_some()
    }

    pub(super) fn locals(&self) -> Option<(&Arc<Locals>, u64)> {
        let duty = self.duty.as_deref()?;
        duty.locals.as_ref().map(|locals| (locals, duty.number))
    }

    /// The unnamed statement's text was judged for the tenant that holds now.
    pub(super) fn unnamed_judged(&mut self) {
        if let Some(duty) = &mut self.duty {
            duty.unnamed_judged = duty.number;
        }
    }

    /// Why a Bind of this statement is refused, if it is: the tenant may be another one than when it was parsed.
    pub(super) fn objection_to_use(&self, statement: &Statement, unnamed: bool) -> Option<PgError> {
        let duty = self.duty.as_deref()?;
        if !unnamed {
            return self.objection(statement.class, statement.touched.as_deref());
        }
        if duty.unnamed_judged == duty.number {
            return None;
        }
        match wire::c_string(&statement.body) {
            Some((text, _)) => self.objection_to(text, &sql::traits(text, self.standard_strings)),
            None => Some(
                PgError::error("42501", "this statement was prepared for another tenant")
                    .hint("Parse it again."),
            ),
        }
    }

    /// Why a text is refused, if it is. `class` is its first statement's that needs a tenant, or any.
    fn objection(&self, class: Class, touched: Option<&Touched>) -> Option<PgError> {
        let duty = self.duty.as_deref()?;
        touched
            .and_then(|touched| duty.guard.objection(touched))
            .or_else(|| duty.missing.as_deref().filter(|_| class.needs_locals()).cloned())
    }

    /// As [`Self::objection`], for a simple query's text.
    pub(super) fn objection_to(&self, text: &[u8], traits: &sql::Traits<'_>) -> Option<PgError> {
        self.duty.as_deref()?;
        let class = if traits.statements > 1 {
            // A tenant is needed if any of them needs one.
            sql::parts(text, self.standard_strings)
                .map(|part| part.class)
                .find(|class| class.needs_locals())
                .unwrap_or(Class::Bare)
        } else if traits.statements == 0 {
            Class::Bare
        } else {
            traits.class
        };
        let touched = sql::touched(text, self.standard_strings);
        if let Some(error) = self.objection(class, touched.as_deref()) {
            return Some(error);
        }
        if !text.contains(&b'\\') {
            return None;
        }
        // A backslash means one thing with standard_conforming_strings and another without, and a change of that
        // may be on its way: the text must be harmless in both readings, and come apart at the same places.
        let other = sql::touched(text, !self.standard_strings);
        self.objection(class, other.as_deref()).or_else(|| {
            let apart = |standard| sql::parts(text, standard);
            let same = apart(true).map(|p| (p.start, p.class)).eq(apart(false).map(|p| (p.start, p.class)));
            (!same).then(|| {
                PgError::error("42501", "a backslash makes this query mean two things")
                    .hint("Write the string as E'…' with the backslash doubled, or as a parameter.")
            })
        })
    }

    /// Why a frame is refused before any server sees anything of it, if it is. Malformed ones are not judged here.
    pub(super) fn objection_early(&self, tag: u8, body: &[u8]) -> Option<PgError> {
        match tag {
            front::QUERY => {
                let text = body.split_last().map_or(body, |(_, text)| text);
                self.objection_to(text, &sql::traits(text, self.standard_strings))
            }
            front::PARSE => {
                let parse = wire::parse(body).ok()?;
                let traits = sql::traits(parse.query, self.standard_strings);
                self.objection_to(parse.query, &traits)
            }
            front::BIND => {
                let name = wire::bind_head(body)?.statement;
                self.objection_to_use(self.statement(name)?, name.is_empty())
            }
            front::FUNCTION_CALL => self.objection_to_call(body),
            _ => None,
        }
    }

    /// The statement that a name of the client's stands for.
    pub(super) fn statement(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        if name.is_empty() { self.statements.unnamed.as_ref() } else { self.statements.get(name) }
    }

    /// Why a fastpath call is refused, if it is.
    pub(super) fn objection_to_call(&self, body: &[u8]) -> Option<PgError> {
        self.duty.as_deref()?;
        let function = body.first_chunk::<4>().map(|oid| u32::from_be_bytes(*oid));
        if function.is_some_and(|oid| FASTPATH.contains(&oid)) {
            return self.objection(Class::Query, None);
        }
        Some(
            PgError::error("42501", "this function cannot be called by the fastpath protocol with a tenant")
                .hint("Call it by SELECT."),
        )
    }
}

impl ServerSession {
    /// Whether the client's tenant may be another one for the next statement.
    pub fn may_change(&self) -> Change {
        match self.ahead.state {
            State::Unknown => Change::Later,
            _ if self.ahead.ran || self.ahead.local != 0 && self.unsynced => Change::Never,
            _ if !self.is_quiet() => Change::Later,
            State::Failed => Change::Never,
            State::Idle | State::Block => Change::Now,
        }
    }
}

fn same(a: Option<&Arc<Locals>>, b: Option<&Arc<Locals>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}
