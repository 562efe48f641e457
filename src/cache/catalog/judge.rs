//! What may be kept, and what not.

use super::ask::{is_true, text, value};
use crate::cache::counters::Miss;
use crate::cache::plan::Why;

/// A relation that is read.
pub(super) struct Relation {
    pub(super) schema: Box<str>,
    pub(super) name: Box<str>,
    /// `pg_class.relkind`.
    pub(super) kind: Box<str>,
    /// `pg_class.relpersistence`.
    pub(super) persistence: Box<str>,
}

/// Whether only time ends what is read from it.
///
/// # Errors
/// It may not be kept at all.
pub(super) fn relation(relation: &Relation) -> Result<bool, Why> {
    let Relation { schema, name, .. } = relation;
    let never = |miss, what: &str| Err(Why::never(miss, format!("it reads {what} {schema}.{name}")));
    if matches!(&**schema, "pg_catalog" | "information_schema" | "pg_toast") {
        return never(Miss::NotCacheable, "the catalog's");
    }
    match (&*relation.kind, &*relation.persistence) {
        (_, "t") => never(Miss::Private, "the temporary table"),
        ("S", _) => never(Miss::NotCacheable, "the sequence"),
        (kind, _) => Ok(kind == "f"),
    }
}

/// A function that is called, or may be.
pub(super) struct Function {
    schema: Box<str>,
    name: Box<str>,
    /// `pg_proc.provolatile`.
    volatility: Box<str>,
    language: Box<str>,
    /// It came with the server.
    built_in: bool,
    /// In SQL or PL/pgSQL.
    pub(super) body: Option<Box<str>>,
    /// Its body is kept by the catalog as SQL, with its names resolved.
    pub(super) atomic: bool,
    /// `SET search_path` of its own.
    pub(super) path: Option<Box<str>>,
    /// Whom it runs as, if it is SECURITY DEFINER.
    pub(super) owner: Option<Box<str>>,
}

impl Function {
    /// From a row of [`super::questions::FUNCTIONS`].
    pub(super) fn read(row: &[Option<String>]) -> Self {
        Self {
            schema: text(row, 1),
            name: text(row, 2),
            volatility: text(row, 3),
            language: text(row, 4),
            built_in: is_true(row, 5),
            body: value(row, 6).map(Into::into),
            atomic: is_true(row, 7),
            path: value(row, 8).map(Into::into),
            owner: value(row, 9).map(Into::into),
        }
    }
}

/// Whether a call may read what nobody here sees.
///
/// # Errors
/// It may not be kept at all.
pub(super) fn function(function: &Function, policy: bool, volatile: bool) -> Result<bool, Why> {
    let name = if function.built_in {
        function.name.to_string()
    } else {
        format!("{}.{}", function.schema, function.name)
    };
    if &*function.volatility == "v" && !volatile {
        let through = if policy { "a policy" } else { "it" };
        return Err(Why::never(Miss::Volatile, format!("{through} calls {name}(), which is VOLATILE")));
    }
    if function.built_in {
        // Whoever takes what is VOLATILE as it comes takes these as well, but not what is of his session.
        let taken =
            volatile && &*function.volatility == "v" && !matches!(&*function.name, "currval" | "lastval");
        if &*function.volatility != "i" && !taken && tells_of_the_server(&function.name) {
            return Err(Why::never(
                Miss::NotCacheable,
                format!("it calls {name}(), which tells of the server"),
            ));
        }
        return Ok(false);
    }
    let hidden = function.body.is_none() && &*function.volatility != "i" && &*function.language != "internal";
    if hidden && policy {
        return Err(unreadable(policy, &format!("{name}() is in {}", function.language)));
    }
    Ok(hidden)
}

/// Functions of the server that read its state or its catalog, or a table that an argument names.
fn tells_of_the_server(name: &str) -> bool {
    let begins = ["pg_", "txid_", "inet_", "has_", "to_reg", "acl", "lo_"];
    let harmless = ["pg_typeof", "pg_column_size", "pg_size_pretty", "pg_client_encoding"];
    let ends = ["_is_visible", "_description", "_to_xml", "_to_xmlschema", "_to_xml_and_xmlschema"];
    if harmless.contains(&name) {
        return false;
    }
    begins.iter().any(|begin| name.starts_with(begin))
        || ends.iter().any(|end| name.ends_with(end))
        || matches!(name, "row_security_active" | "currval" | "lastval" | "ts_rewrite" | "current_query")
}

/// Something cannot be read that decides what the answer is.
pub(super) fn unreadable(policy: bool, why: &str) -> Why {
    let what =
        if policy { "it reads a table with a policy that cannot be read" } else { "it cannot be read" };
    Why::never(Miss::NotCacheable, format!("{what}: {why}"))
}
