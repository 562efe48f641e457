//! What the functions of a database write, as far as their bodies tell.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::sql::{self, Writes};

/// How deep functions that call functions are followed.
const DEEPEST: usize = 16;

/// What may stand before a parenthesis without anything being written. Whoever gives a function of his own one of these
/// names finds it unread only until the first marked query of the database was studied.
const HARMLESS: [&str; 48] = [
    "abs",
    "all",
    "and",
    "any",
    "array",
    "array_agg",
    "as",
    "avg",
    "by",
    "case",
    "cast",
    "char",
    "coalesce",
    "concat",
    "count",
    "date_trunc",
    "decimal",
    "else",
    "every",
    "except",
    "exists",
    "extract",
    "from",
    "greatest",
    "in",
    "int",
    "intersect",
    "json_agg",
    "jsonb_agg",
    "least",
    "length",
    "lower",
    "max",
    "min",
    "not",
    "now",
    "nullif",
    "numeric",
    "on",
    "or",
    "over",
    "round",
    "select",
    "sum",
    "upper",
    "values",
    "varchar",
    "when",
];

/// A function as the catalog has it.
#[derive(Clone, Debug)]
pub struct Body {
    /// Its object identifier.
    pub oid: u32,
    /// The schema it is in.
    pub schema: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// SQL or PL/pgSQL; what is in other languages cannot be read.
    pub readable: bool,
    /// Its source text.
    pub source: Box<str>,
}

/// A function that writes, or may.
#[derive(Debug)]
struct Routine {
    schema: Box<str>,
    writes: Arc<Writes>,
}

/// VOLATILE functions and procedures of a database, and what triggers do.
#[derive(Debug, Default)]
pub struct Routines {
    /// By name; only those that write something.
    by_name: HashMap<Box<str>, Vec<Routine>>,
    /// Triggers: the table that they are on (its object identifier) and what their functions write.
    triggers: Vec<(Vec<u32>, Arc<Writes>)>,
    /// There are more functions than could be read.
    incomplete: bool,
}

impl Routines {
    /// From bodies of functions, and the tables that have triggers with them (by the function's identifier).
    /// `incomplete`: there is more that could not be read.
    pub fn new(bodies: &[Body], triggers: Vec<(u32, Vec<u32>)>, incomplete: bool) -> Self {
        let writes = closure(bodies);
        let mut by_name: HashMap<Box<str>, Vec<Routine>> = HashMap::new();
        let mut of_trigger = HashMap::new();
        for (body, writes) in bodies.iter().zip(writes) {
            if writes == Writes::default() {
                continue;
            }
            let writes = Arc::new(writes);
            of_trigger.insert(body.oid, Arc::clone(&writes));
            let routine = Routine { schema: body.schema.clone(), writes };
            by_name.entry(body.name.clone()).or_default().push(routine);
        }
        let triggers = triggers
            .into_iter()
            .filter_map(|(function, tables)| Some((tables, Arc::clone(of_trigger.get(&function)?))))
            .collect();
        Self { by_name, triggers, incomplete }
    }

    /// Some function writes.
    pub(super) fn any_writes(&self) -> bool {
        !self.by_name.is_empty()
    }

    /// What the functions write that a text calls; `None` when it calls none that does, which most texts are told by
    /// without allocating. A name that is followed by a parenthesis counts as a call.
    /// `standard_strings` is the session's `standard_conforming_strings`.
    pub fn written_by(&self, text: &[u8], standard_strings: bool) -> Option<Writes> {
        if self.by_name.is_empty() || !sql::may_call(text, |name| self.by_name.contains_key(name)) {
            return None;
        }
        let mut all: Option<Writes> = None;
        for (schema, name) in sql::calls(text, standard_strings) {
            for writes in self.named(schema.as_deref(), &name) {
                all.get_or_insert_default().add(writes);
            }
        }
        all
    }

    /// The same while nothing is known of the functions: any may write anything, but for the commonest of the
    /// server's own.
    pub fn written_by_unknown(text: &[u8]) -> Option<Writes> {
        let harmless = |name: &str| HARMLESS.contains(&name);
        let calls = sql::may_call(text, |name| !harmless(name));
        calls.then(|| Writes { unknown: true, ..Writes::default() })
    }

    fn named(&self, schema: Option<&str>, name: &str) -> impl Iterator<Item = &Writes> {
        let routines = self.by_name.get(name).into_iter().flatten();
        routines.filter(move |r| schema.is_none_or(|schema| *schema == *r.schema)).map(|r| &*r.writes)
    }

    /// Tables with triggers whose functions write to a table of this name.
    pub(super) fn triggers_into(&self, schema: &str, name: &str) -> Vec<u32> {
        let writes_it = |writes: &Writes| {
            writes
                .tables
                .iter()
                .any(|(of, table)| **table == *name && of.as_deref().is_none_or(|of| of == schema))
        };
        self.triggers.iter().filter(|(_, w)| writes_it(w)).flat_map(|(tables, _)| tables).copied().collect()
    }

    /// A trigger of the database, or a function that could not be read, may write to any table.
    pub(super) fn any_trigger_may_write(&self) -> bool {
        self.incomplete || self.triggers.iter().any(|(_, writes)| writes.unknown)
    }
}

/// What each body writes, with what the functions write that it calls.
fn closure(bodies: &[Body]) -> Vec<Writes> {
    let mut writes: Vec<Writes> = bodies.iter().map(own_writes).collect();
    let mut names: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, body) in bodies.iter().enumerate() {
        names.entry(&*body.name).or_default().push(at);
    }
    let called = |body: &Body| -> HashSet<usize> {
        let calls = sql::calls(body.source.as_bytes(), true);
        let known = calls.iter().filter_map(|(_, name)| names.get(&**name));
        known.flatten().copied().collect()
    };
    let calls: Vec<HashSet<usize>> =
        bodies.iter().map(|body| if body.readable { called(body) } else { HashSet::new() }).collect();
    for _ in 0..DEEPEST {
        let mut changed = false;
        for (at, calls) in calls.iter().enumerate() {
            let mut all = writes.get(at).cloned().unwrap_or_default();
            for writes in calls.iter().filter_map(|called| writes.get(*called)) {
                all.add(writes);
            }
            if let Some(now) = writes.get_mut(at).filter(|now| **now != all) {
                *now = all;
                changed = true;
            }
        }
        if !changed {
            return writes;
        }
    }
    writes
}

fn own_writes(body: &Body) -> Writes {
    if body.readable {
        // A CALL in it is a call that is followed.
        sql::writes_of_body(body.source.as_bytes())
    } else {
        Writes { unknown: true, ..Writes::default() }
    }
}
