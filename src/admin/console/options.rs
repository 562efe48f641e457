//! What of an answer is wanted: `WHERE`, `ORDER BY` and `LIMIT` behind a SHOW.

use std::cmp::Ordering;

use super::command::{Words, syntax};
use super::table::{Column, Kind, Row, Value};
use crate::sql::{Form, Token};
use crate::wire::PgError;

/// Most rows that are asked for by LIMIT.
pub(super) const MAX_ROWS: usize = 10_000;
/// Most columns to order by, and most conditions.
const MAX_PARTS: usize = 16;

/// What of an answer is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Options {
    filters: Vec<Filter>,
    /// Columns, and whether the largest comes first.
    order: Vec<(usize, bool)>,
    /// At most so many rows.
    pub(super) limit: Option<usize>,
    /// What this tenant has of it.
    pub(super) tenant: Option<String>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    column: usize,
    is: Is,
    value: Value,
}

/// How a field and a value must stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Equal,
    Unequal,
    Less,
    NotMore,
    More,
    NotLess,
    Like,
    NotLike,
}

impl Filter {
    fn fits(&self, row: &Row) -> bool {
        let field = row.get(self.column).unwrap_or(&Value::Null);
        if *field == Value::Null {
            return false; // as in SQL, it is neither equal nor unequal to anything
        }
        let order = field.order(&self.value);
        let like = |field: &Value| match (field, &self.value) {
            (Value::Text(text), Value::Text(pattern)) => like(text, pattern),
            _ => false,
        };
        match self.is {
            Is::Equal => order == Ordering::Equal,
            Is::Unequal => order != Ordering::Equal,
            Is::Less => order == Ordering::Less,
            Is::NotMore => order != Ordering::Greater,
            Is::More => order == Ordering::Greater,
            Is::NotLess => order != Ordering::Less,
            Is::Like => like(field),
            Is::NotLike => !like(field),
        }
    }
}

/// SQL's LIKE, without escapes and whatever the case: `%` is any text, `_` one character. Takes no longer than the
/// product of both lengths.
fn like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let (mut at, mut here) = (0, 0);
    // Where to go on when the last `%` takes one character more.
    let mut again: Option<(usize, usize)> = None;
    while let Some(c) = text.get(at) {
        match pattern.get(here) {
            Some('%') => {
                again = Some((here + 1, at));
                here += 1;
            }
            Some(p) if *p == '_' || p == c => {
                at += 1;
                here += 1;
            }
            _ => {
                let Some((behind, from)) = again else { return false };
                again = Some((behind, from + 1));
                (here, at) = (behind, from + 1);
            }
        }
    }
    pattern.get(here..).is_none_or(|rest| rest.iter().all(|p| *p == '%'))
}

impl Options {
    /// Reads what stands behind a SHOW that answers with these columns.
    ///
    /// # Errors
    /// It is none of it.
    pub(super) fn read(words: &mut Words<'_>, columns: &[Column]) -> Result<Self, PgError> {
        Self::default().more(words, columns)
    }

    /// As [`Options::read`]; of a view that can be that of one tenant.
    pub(super) fn read_with_tenant(words: &mut Words<'_>, columns: &[Column]) -> Result<Self, PgError> {
        let mut options = Self::default();
        if words.is("tenant") {
            options.tenant = Some(words.name("the tenant", false)?);
        }
        options.more(words, columns)
    }

    fn more(self, words: &mut Words<'_>, columns: &[Column]) -> Result<Self, PgError> {
        let mut options = self;
        loop {
            if options.filters.is_empty() && words.is("where") {
                options.filters = conditions(words, columns)?;
            } else if options.order.is_empty() && words.is("order") {
                if !words.is("by") {
                    return Err(syntax("ORDER wants BY and a column"));
                }
                options.order = order(words, columns)?;
            } else if options.limit.is_none() && words.is("limit") {
                options.limit = Some(limit(words)?);
            } else {
                return Ok(options);
            }
        }
    }

    /// True when all rows are wanted as they come, or the first of them.
    pub(super) fn is_plain(&self) -> bool {
        self.filters.is_empty() && self.order.is_empty()
    }

    /// Leaves of the rows those that are wanted, in the order that is wanted.
    pub(super) fn apply(&self, rows: &mut Vec<Row>) {
        rows.retain(|row| self.filters.iter().all(|filter| filter.fits(row)));
        if !self.order.is_empty() {
            rows.sort_by(|a, b| self.order_of(a, b));
        }
        rows.truncate(self.limit.unwrap_or(usize::MAX));
    }

    fn order_of(&self, a: &Row, b: &Row) -> Ordering {
        let by = |(column, descending): &(usize, bool)| {
            let (a, b) = (a.get(*column).unwrap_or(&Value::Null), b.get(*column).unwrap_or(&Value::Null));
            match (a, b) {
                (Value::Null, _) | (_, Value::Null) => a.order(b), // last, whichever way
                _ if *descending => b.order(a),
                _ => a.order(b),
            }
        };
        self.order.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

fn column(words: &mut Words<'_>, columns: &[Column]) -> Result<usize, PgError> {
    let name = words.name("the column", true)?;
    columns.iter().position(|(known, _)| *known == name).ok_or_else(|| {
        let names: Vec<&str> = columns.iter().map(|(known, _)| *known).collect();
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        PgError::error("42703", format!("column \"{shown}\" does not exist"))
            .hint(format!("There are {}.", names.join(", ")))
    })
}

fn conditions(words: &mut Words<'_>, columns: &[Column]) -> Result<Vec<Filter>, PgError> {
    let mut filters = Vec::new();
    loop {
        if filters.len() == MAX_PARTS {
            return Err(PgError::error("54000", format!("more than {MAX_PARTS} conditions")));
        }
        let column = column(words, columns)?;
        let kind = columns.get(column).map_or(Kind::Text, |(_, kind)| *kind);
        let is = comparison(words)?;
        if kind != Kind::Text && matches!(is, Is::Like | Is::NotLike) {
            return Err(syntax("LIKE is for texts"));
        }
        filters.push(Filter { column, is, value: value(words, kind)? });
        if !words.is("and") {
            return Ok(filters);
        }
    }
}

fn comparison(words: &mut Words<'_>) -> Result<Is, PgError> {
    if words.is("like") || words.is("ilike") {
        return Ok(Is::Like);
    }
    if words.is("not") {
        let like = words.is("like") || words.is("ilike");
        return if like { Ok(Is::NotLike) } else { Err(syntax("NOT wants LIKE")) };
    }
    let (less, bang) = (words.symbol(b'<'), words.symbol(b'!'));
    let more = words.symbol(b'>');
    let equal = words.symbol(b'=');
    match (less, bang, more, equal) {
        (false, false, false, true) => Ok(Is::Equal),
        (true, false, true, false) | (false, true, false, true) => Ok(Is::Unequal),
        (true, false, false, false) => Ok(Is::Less),
        (true, false, false, true) => Ok(Is::NotMore),
        (false, false, true, false) => Ok(Is::More),
        (false, false, true, true) => Ok(Is::NotLess),
        _ => Err(syntax("WHERE takes =, <>, <, <=, >, >= and LIKE")),
    }
}

fn value(words: &mut Words<'_>, kind: Kind) -> Result<Value, PgError> {
    let minus = words.symbol(b'-');
    let text = match words.next() {
        Some(Token::Number(raw)) => String::from_utf8_lossy(raw).into_owned(),
        Some(Token::Text { raw, form: Form::Plain }) if !minus => {
            String::from_utf8_lossy(raw).replace("''", "'")
        }
        _ => return Err(syntax("WHERE compares with a number or with a text in quotes")),
    };
    let text = if minus { format!("-{text}") } else { text };
    if kind == Kind::Text {
        return Ok(Value::Text(text));
    }
    if let Ok(number) = text.parse() {
        return Ok(Value::Int(number));
    }
    let number: f64 = text.parse().map_err(|_| syntax("the column is a number, and this is none"))?;
    Ok(Value::Float(number))
}

fn order(words: &mut Words<'_>, columns: &[Column]) -> Result<Vec<(usize, bool)>, PgError> {
    let mut order = Vec::new();
    loop {
        if order.len() == MAX_PARTS {
            return Err(PgError::error("54000", format!("more than {MAX_PARTS} columns to order by")));
        }
        let column = column(words, columns)?;
        let descending = words.is("desc");
        if !descending {
            words.is("asc");
        }
        order.push((column, descending));
        if !words.symbol(b',') {
            return Ok(order);
        }
    }
}

fn limit(words: &mut Words<'_>) -> Result<usize, PgError> {
    let typed = words.name("LIMIT", false)?;
    let limit = typed.parse().ok().filter(|limit| *limit <= MAX_ROWS);
    limit.ok_or_else(|| syntax(&format!("LIMIT must be a number from 0 to {MAX_ROWS}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::sql::Lexer;
    use proptest::prelude::*;

    const COLUMNS: [Column; 3] = [("name", Kind::Text), ("calls", Kind::Int8), ("mean", Kind::Float8)];

    fn read(text: &str) -> Result<Options, PgError> {
        let tokens: Vec<Token<'_>> = Lexer::new(text.as_bytes(), true).collect();
        let mut words = Words::new(&tokens);
        let options = Options::read(&mut words, &COLUMNS)?;
        words.end(options)
    }

    fn rows(text: &str) -> Vec<i64> {
        let row = |name: Option<&str>, calls, mean| vec![Value::maybe(name), Value::Int(calls), mean];
        let mut rows = vec![
            row(Some("SELECT 1"), 1, Value::Float(0.5)),
            row(Some("update T"), 2, Value::Null),
            row(None, 3, Value::Float(2.0)),
            row(Some("it's 100%"), 4, Value::Float(-1.0)),
        ];
        read(text).unwrap_or_else(|error| panic!("{text}: {error}")).apply(&mut rows);
        let calls = |row: &Row| if let Value::Int(calls) = row[1] { calls } else { panic!("{row:?}") };
        rows.iter().map(calls).collect()
    }

    #[test]
    fn rows_are_chosen_and_ordered() {
        for (text, calls) in [
            ("", &[1, 2, 3, 4][..]),
            ("LIMIT 2", &[1, 2]),
            ("limit 0", &[]),
            ("ORDER BY calls DESC", &[4, 3, 2, 1]),
            ("order by Calls asc limit 1", &[1]),
            ("LIMIT 1 ORDER BY mean DESC", &[3]),
            ("ORDER BY mean", &[4, 1, 3, 2]),
            ("ORDER BY mean DESC", &[3, 1, 4, 2]),
            ("ORDER BY name, calls DESC", &[1, 4, 2, 3]),
            ("WHERE calls = 2", &[2]),
            ("WHERE calls <> 2", &[1, 3, 4]),
            ("WHERE calls != 2 AND calls < 4", &[1, 3]),
            ("WHERE calls >= 3", &[3, 4]),
            ("WHERE calls > 3.5", &[4]),
            ("WHERE calls <= '1'", &[1]),
            ("WHERE mean > -1", &[1, 3]),
            ("WHERE mean <> 2", &[1, 4]),
            ("WHERE name = 'it''s 100%'", &[4]),
            ("WHERE name LIKE 'select%'", &[1]),
            ("WHERE name ILIKE '%t%' ORDER BY calls DESC", &[4, 2, 1]),
            ("WHERE name NOT LIKE '%t%'", &[]),
            ("WHERE name LIKE 'SELECT _'", &[1]),
            ("WHERE name = 5", &[]),
        ] {
            assert_eq!(rows(text), calls, "{text}");
        }
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for (text, code) in [
            ("ORDER calls", "42601"),
            ("ORDER BY", "42601"),
            ("ORDER BY nothing", "42703"),
            ("ORDER BY calls DESC,", "42601"),
            ("LIMIT", "42601"),
            ("LIMIT -1", "42601"),
            ("LIMIT 10001", "42601"),
            ("LIMIT 1 LIMIT 2", "42601"),
            ("WHERE", "42601"),
            ("WHERE calls", "42601"),
            ("WHERE calls = x", "42601"),
            ("WHERE calls = 'x'", "42601"),
            ("WHERE calls == 1", "42601"),
            ("WHERE calls < > 1 OR calls = 2", "42601"),
            ("WHERE calls LIKE '1'", "42601"),
            ("WHERE name NOT NULL", "42601"),
            ("WHERE name = -'x'", "42601"),
            ("WHERE other = 1", "42703"),
            ("WHERE name = $1", "42601"),
            ("GROUP BY name", "42601"),
        ] {
            assert_eq!(read(text).unwrap_err().sqlstate, code, "{text}");
        }
        let many = ["calls"; 17].join(", ");
        assert_eq!(read(&format!("ORDER BY {many}")).unwrap_err().sqlstate, "54000");
        let many = ["calls = 1"; 17].join(" AND ");
        assert_eq!(read(&format!("WHERE {many}")).unwrap_err().sqlstate, "54000");
    }

    proptest! {
        #[test]
        fn like_is_as_a_regular_expression(text in "[ab%_c]{0,8}", pattern in "[ab%_]{0,8}") {
            let expression: String = pattern
                .chars()
                .map(|c| match c {
                    '%' => ".*".to_owned(),
                    '_' => ".".to_owned(),
                    c => c.to_string(),
                })
                .collect();
            let expected = regex::Regex::new(&format!("^{expression}$")).unwrap().is_match(&text);
            prop_assert_eq!(like(&text, &pattern), expected);
        }

        #[test]
        fn no_options_panic(text in "((where|order|by|limit|and|like|not|name|calls|<|>|=|!|-|'a%'|1|,) ?){0,12}") {
            if let Ok(options) = read(&text) {
                let mut rows = vec![vec![Value::Null; 3], vec![Value::text("a"), Value::Int(1), Value::Float(f64::NAN)]];
                options.apply(&mut rows);
            }
        }
    }
}
