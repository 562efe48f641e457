//! What a marked query reads, from the catalog of its database.
//!
//! The text's own names come from Postgres's parser ([`crate::sql::reads`]); what they lead to (views, partitions, row
//! security, functions in SQL and PL/pgSQL), and from where writes come to it, is asked here. Bodies of functions are not
//! parsed: whatever they mention counts. Too many tables cost a fresh answer now and then, too few would serve an old
//! one.

mod ask;
mod follow;
mod judge;
mod questions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use ask::{Ask, Rows};

use super::counters::Miss;
use super::database::Database;
use super::names;
use super::plan::{Plan, Shapes, Studying, Why};
use super::routines::{Body, Routines};
use crate::sql::{self, Reads};
use ask::{array, is_true, oid, oid_array, oids, rows, text};
use follow::Follow;

/// A query that reads more tables is not kept.
const MOST_RELATIONS: usize = 4_096;
/// A query behind which there are more functions is not kept.
const MOST_FUNCTIONS: usize = 2_000;

/// What is to be studied, and as whom.
#[derive(Clone, Debug)]
pub struct Question {
    /// The text, without its outer comments.
    pub text: Box<[u8]>,
    /// The session's `search_path`; absent, that of the connection that is asked.
    pub path: Option<Box<str>>,
    /// The session's role, if it is not its login.
    pub role: Option<Box<str>>,
    /// VOLATILE functions do not matter.
    pub volatile: bool,
    /// The session's `standard_conforming_strings`.
    pub standard_strings: bool,
    /// The publication through which all writes become known; absent, they do by passing through here.
    pub publication: Option<Box<str>>,
}

/// Where names lead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Scope {
    /// The array of schemas; absent, the connection's own.
    path: Option<Box<str>>,
    role: Option<Box<str>>,
}

impl Scope {
    /// `None` for a path that cannot be read.
    fn new(path: Option<&str>, role: Option<&str>) -> Option<Self> {
        let path = match path {
            None => None,
            Some(path) => Some(with_catalog(names::split(path, ',')?)),
        };
        Some(Self { path, role: role.map(Into::into) })
    }

    /// The catalog alone.
    fn catalog() -> Self {
        Self { path: Some(with_catalog(Vec::new())), role: None }
    }
}

/// The catalog comes first, unless it is said where it comes.
fn with_catalog(mut path: Vec<String>) -> Box<str> {
    path.retain(|schema| !schema.is_empty());
    if !path.iter().any(|schema| schema == "pg_catalog") {
        path.insert(0, "pg_catalog".into());
    }
    array(path.iter().map(|schema| Some(&**schema))).into()
}

/// Finds out what a query reads. Asks through `ask`; what it learns of the database's functions is left with `what`.
///
/// # Errors
/// The answers may not be kept, or it could not be found out.
pub async fn study<A: Ask>(
    ask: &mut A,
    database: &Database,
    what: &Studying,
    question: &Question,
) -> Result<Plan, Why> {
    let reads = sql::reads(&question.text, question.standard_strings)
        .map_err(|why| Why::never(Miss::NotCacheable, why.to_string()))?;
    let scope = Scope::new(question.path.as_deref(), question.role.as_deref())
        .ok_or_else(|| Why::never(Miss::NotCacheable, "the search_path cannot be read"))?;
    let routines = if let Some(routines) = what.routines() {
        routines
    } else {
        let routines = Arc::new(load_routines(ask).await?);
        what.found_routines(&routines);
        routines
    };
    let mut follow = Follow::new(ask, question.volatile);
    follow.query(&reads, &scope).await?;
    let (relations, settings, mut by_ttl_only) = follow.found();
    let read: BTreeSet<u32> = relations.keys().copied().collect();
    let sources = sources(ask, &read, &routines).await?;
    match &question.publication {
        Some(publication) => by_ttl_only |= !is_followed(ask, &read, publication).await?,
        None => by_ttl_only |= !read.is_empty() && routines.any_trigger_may_write(),
    }
    let marks = sources.values().map(|(schema, name)| database.table(schema, name)).collect();
    Ok(Plan {
        marks,
        settings: settings.into_iter().collect(),
        by_ttl_only,
        relations: relations.values().map(|(schema, name)| format!("{schema}.{name}").into()).collect(),
        catalog: what.catalog(),
        shapes: Shapes::default(),
    })
}

/// Schema and name, by identifier.
type Relations = BTreeMap<u32, (Box<str>, Box<str>)>;

/// All tables and views by whose name these relations may be written.
async fn sources<A: Ask>(ask: &mut A, read: &BTreeSet<u32>, routines: &Routines) -> Result<Relations, Why> {
    let mut found = Relations::new();
    let mut fresh = read.clone();
    while !fresh.is_empty() {
        let mut triggered = BTreeSet::new();
        for row in rows(ask, questions::SOURCES, &[Some(&oid_array(&fresh))]).await? {
            let (schema, name) = (text(&row, 1), text(&row, 2));
            triggered.extend(routines.triggers_into(&schema, &name));
            found.insert(oid(&row, 0), (schema, name));
        }
        if found.len() > MOST_RELATIONS {
            return Err(too_many("tables"));
        }
        triggered.retain(|oid| !found.contains_key(oid));
        // One whose table is gone is not found again.
        fresh = triggered.difference(&fresh).copied().collect();
    }
    Ok(found)
}

fn too_many(what: &str) -> Why {
    Why::never(Miss::NotCacheable, format!("it depends on too many {what}"))
}

/// Whether the publication tells every write to these relations.
async fn is_followed<A: Ask>(ask: &mut A, read: &BTreeSet<u32>, publication: &str) -> Result<bool, Why> {
    if read.is_empty() {
        return Ok(true);
    }
    let left = rows(ask, questions::NOT_FOLLOWED, &[Some(&oid_array(read)), Some(publication)]).await?;
    Ok(left.is_empty())
}

/// What the database's functions and triggers write. That there are too many to be read is no failure.
async fn load_routines<A: Ask>(ask: &mut A) -> Result<Routines, Why> {
    let triggers = rows(ask, questions::TRIGGERS, &[]).await?;
    let triggers = triggers.iter().map(|row| (oid(row, 0), oids(row, 1).collect())).collect();
    let (bodies, incomplete) = match ask.ask(questions::BODIES, &[]).await {
        Ok(bodies) => (bodies, false),
        Err(why) => {
            tracing::warn!(%why, "the functions of a database could not be read: answers of its queries live by time");
            (Rows::new(), true)
        }
    };
    let body = |row: &Vec<Option<String>>| Body {
        oid: oid(row, 0),
        schema: text(row, 1),
        name: text(row, 2),
        readable: is_true(row, 3),
        source: text(row, 4),
    };
    let bodies: Vec<Body> = bodies.iter().map(body).collect();
    Ok(Routines::new(&bodies, triggers, incomplete))
}
