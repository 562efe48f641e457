//! What a query reads, from the tree that Postgres's own parser makes of it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use super::lexer::{Lexer, Token};
use super::mentions::Named;

/// Longer texts are not parsed, in bytes.
const LONGEST: usize = 64 << 10;
/// Deeper brackets are not parsed.
const DEEPEST: usize = 200;

/// The names in a query. Whether they are what they seem to be, only the catalog knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Tables, views and so on; not the names that WITH gives.
    pub relations: BTreeSet<Named>,
    /// Functions that are called.
    pub functions: BTreeSet<Named>,
    /// Columns: a function may be called in the guise of one (`t.f` for `f(t)`).
    pub columns: BTreeSet<Box<str>>,
    /// Operators.
    pub operators: BTreeSet<Box<str>>,
    /// Settings that are read by their name as a literal: `current_setting('app.tenant')`. In lower case.
    pub settings: BTreeSet<Box<str>>,
    /// It has parameters.
    pub parameters: bool,
}

/// Why the answers to a text are not kept: a part of a sentence, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCached(Cow<'static, str>);

impl fmt::Display for NotCached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn refuse<T>(why: &'static str) -> Result<T, NotCached> {
    Err(NotCached(Cow::Borrowed(why)))
}

/// Reads a text, which has to be one plain SELECT, VALUES or TABLE.
/// `standard_strings` is the session's `standard_conforming_strings`.
///
/// # Errors
/// It is something else; it locks rows, makes a table, or changes data in a WITH; it takes a sample; or it cannot be
/// parsed: too long, too deep, not UTF-8, no SQL as of Postgres 18.
pub fn reads(text: &[u8], standard_strings: bool) -> Result<Reads, NotCached> {
    if text.len() > LONGEST {
        return refuse("the text is longer than 64 kB");
    }
    let Some(text) = std::str::from_utf8(text).ok().filter(|text| !text.contains('\0')) else {
        return refuse("the text is not UTF-8");
    };
    if !standard_strings && text.contains('\\') {
        return refuse("standard_conforming_strings is off");
    }
    check(text, standard_strings)?;
    let parsed = pg_query::parse(text, 0)
        .map_err(|error| NotCached(Cow::Owned(format!("it cannot be parsed: {error}"))))?;
    let [statement] = parsed.protobuf.stmts.as_slice() else { return refuse("not a single statement") };
    let tree = serde_json::to_value(statement).map_err(|error| NotCached(Cow::Owned(error.to_string())))?;
    let query = tree.get("stmt").and_then(|stmt| stmt.get("node")).and_then(|node| node.get("SelectStmt"));
    let Some(query) = query else { return refuse("not a SELECT") };
    let mut found = Found::default();
    found.walk(query)?;
    Ok(found.reads)
}

/// What can be told before: the parser need not see what is no query at all, nor what is nested without end.
fn check(text: &str, standard_strings: bool) -> Result<(), NotCached> {
    let mut depth = 0_usize;
    let mut first = None;
    for token in Lexer::new(text.as_bytes(), standard_strings) {
        match token {
            Token::Symbol(b'(' | b'[') => depth += 1,
            Token::Symbol(b')' | b']') => depth = depth.saturating_sub(1),
            Token::Symbol(b';') => {}
            _ => first = first.or(Some(token)),
        }
        if depth > DEEPEST {
            return refuse("it is nested too deeply");
        }
    }
    let begins = ["select", "with", "values", "table"];
    match first {
        None => refuse("an empty text"),
        Some(word) if begins.iter().any(|w| word.is(w)) => Ok(()),
        Some(_) => refuse("not a SELECT"),
    }
}

#[derive(Default)]
struct Found<'t> {
    reads: Reads,
    /// Names that WITH gives, where the walk is now.
    scope: Vec<&'t str>,
}

impl<'t> Found<'t> {
    fn walk(&mut self, value: &'t Value) -> Result<(), NotCached> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.walk(item)),
            Value::Object(node) => self.node(node),
            _ => Ok(()),
        }
    }

    fn node(&mut self, node: &'t Map<String, Value>) -> Result<(), NotCached> {
        let depth = self.scope.len();
        if let Some(with) = node.get("with_clause").and_then(Value::as_object) {
            self.with(with)?;
        }
        for (key, value) in node {
            match key.as_str() {
                "with_clause" => continue,
                "into_clause" if !value.is_null() => return refuse("SELECT INTO"),
                "locking_clause" if value.as_array().is_some_and(|c| !c.is_empty()) => {
                    return refuse("it locks rows (FOR UPDATE, FOR SHARE)");
                }
                "RangeTableSample" => return refuse("TABLESAMPLE"),
                "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
                    return refuse("it changes data in a WITH");
                }
                "ParamRef" => self.reads.parameters = true,
                "FuncCall" => self.function(value)?,
                "ColumnRef" => self.columns(value.get("fields")),
                "AIndirection" => self.columns(value.get("indirection")),
                // AExpr, SubLink and SortBy.
                "name" | "oper_name" | "use_op" => {
                    self.reads.operators.extend(strings(Some(value)).last().map(|name| (*name).into()));
                }
                _ => {}
            }
            self.walk(value)?;
        }
        if let Some(name) = node.get("relname").and_then(Value::as_str) {
            self.relation(node, name);
        }
        self.scope.truncate(depth);
        Ok(())
    }

    /// What a WITH names may be used behind it, and in it if it is RECURSIVE.
    fn with(&mut self, with: &'t Map<String, Value>) -> Result<(), NotCached> {
        let ctes = with.get("ctes").and_then(Value::as_array);
        let ctes = || ctes.into_iter().flatten().filter_map(|cte| cte.get("node")?.get("CommonTableExpr"));
        let name = |cte: &'t Value| cte.get("ctename").and_then(Value::as_str);
        let recursive = with.get("recursive").and_then(Value::as_bool) == Some(true);
        if recursive {
            self.scope.extend(ctes().filter_map(name));
        }
        for cte in ctes() {
            self.walk(cte)?;
            if !recursive {
                self.scope.extend(name(cte));
            }
        }
        Ok(())
    }

    fn relation(&mut self, node: &Map<String, Value>, name: &str) {
        let schema = node.get("schemaname").and_then(Value::as_str).filter(|schema| !schema.is_empty());
        if schema.is_some() || !self.scope.contains(&name) {
            self.reads.relations.insert((schema.map(Into::into), name.into()));
        }
    }

    fn function(&mut self, call: &Value) -> Result<(), NotCached> {
        let names = strings(call.get("funcname"));
        let Some((name, schemas)) = names.split_last() else { return Ok(()) };
        self.reads.functions.insert((schemas.last().map(|schema| (*schema).into()), (*name).into()));
        if *name == "current_setting" {
            let Some(setting) = literal(call) else { return refuse("current_setting of no literal") };
            self.reads.settings.insert(setting.to_lowercase().into());
        }
        Ok(())
    }

    fn columns(&mut self, fields: Option<&Value>) {
        self.reads.columns.extend(strings(fields).into_iter().map(Into::into));
    }
}

/// The strings of a list of names.
fn strings(list: Option<&Value>) -> Vec<&str> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.get("node")?.get("String")?.get("sval")?.as_str()).collect()
}

/// The first argument of a call, if it is a string, also one that is cast to text.
fn literal(call: &Value) -> Option<&str> {
    let mut node = call.get("args")?.get(0)?.get("node")?;
    if let Some(cast) = node.get("TypeCast") {
        let of = strings(cast.get("type_name")?.get("names"));
        if of.last() != Some(&"text") {
            return None;
        }
        node = cast.get("arg")?.get("node")?;
    }
    node.get("AConst")?.get("val")?.get("Sval")?.get("sval")?.as_str()
}
