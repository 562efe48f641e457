//! Tables: sorted, filtered and cut here, so that a browser gets a page of them and not five thousand rows.

use std::cmp::Ordering;

use serde_json::{Value, json};

/// Rows that one answer has at most.
const MOST: usize = 500;
/// Characters of a filter that count.
const LONGEST: usize = 200;
/// Parameters of a request that are read.
const PARAMETERS: usize = 16;

/// What a request wants of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// The column.
    pub(super) sort: Option<String>,
    pub(super) descending: bool,
    /// What a row must have somewhere, in lower case.
    pub(super) filter: String,
    pub(super) limit: usize,
    pub(super) database: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) fingerprint: Option<u64>,
}

impl Ask {
    /// Reads the query of an address. What it does not know, and what makes no sense, is as if it were not there.
    pub fn read(query: &str) -> Self {
        let mut ask = Self { limit: 100, descending: true, ..Self::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()).take(PARAMETERS) {
            let short = || -> String { value.chars().take(LONGEST).collect() };
            match &*name {
                "sort" => ask.sort = Some(short()),
                "order" => ask.descending = &*value != "asc",
                "filter" => ask.filter = short().to_lowercase(),
                "limit" => ask.limit = value.parse().unwrap_or(ask.limit).clamp(1, MOST),
                "database" => ask.database = Some(short()).filter(|name| !name.is_empty()),
                "tenant" => ask.tenant = Some(value.into_owned()).filter(|name| !name.is_empty()),
                "fingerprint" => ask.fingerprint = u64::from_str_radix(&value, 16).ok(),
                _ => {}
            }
        }
        ask
    }

    /// True when one of these has what is looked for.
    pub(super) fn wants<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        self.filter.is_empty() || texts.into_iter().any(|text| contains(text, &self.filter))
    }

    /// True for what is not of another database than asked for.
    pub(super) fn is_of(&self, database: &str) -> bool {
        self.database.as_deref().is_none_or(|wanted| wanted == database)
    }
}

/// The answer where nothing is measured.
pub(super) fn off() -> Value {
    json!({ "rows": [], "matched": 0, "all": 0, "off": true })
}

/// Without regard to case.
fn contains(text: &str, lower: &str) -> bool {
    if text.is_ascii() && lower.is_ascii() {
        let (text, lower) = (text.as_bytes(), lower.as_bytes());
        return text.windows(lower.len()).any(|part| part.eq_ignore_ascii_case(lower));
    }
    text.to_lowercase().contains(lower)
}

/// The rows as they were asked for. `all` is how many there are before any were left out. Rows with `other` stand for
/// what has none of its own: they come last, however it is sorted.
pub(super) fn table(mut rows: Vec<Value>, all: usize, ask: &Ask, usual: &str) -> Value {
    let column = ask.sort.as_deref().unwrap_or(usual);
    let is_other = |row: &Value| row.get("other").is_some_and(|other| other == true);
    rows.sort_by(|a, b| {
        let order = compare(a.get(column), b.get(column), ask.descending);
        is_other(a).cmp(&is_other(b)).then(order)
    });
    let matched = rows.len();
    rows.truncate(ask.limit);
    json!({ "rows": rows, "matched": matched, "all": all })
}

/// What is missing comes last in both directions.
fn compare(a: Option<&Value>, b: Option<&Value>, descending: bool) -> Ordering {
    let turn = |order: Ordering| if descending { order.reverse() } else { order };
    match (a.filter(|a| !a.is_null()), b.filter(|b| !b.is_null())) {
        (Some(a), Some(b)) => turn(match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => match (a.as_str(), b.as_str()) {
                (Some(a), Some(b)) => a.cmp(b),
                _ => a.as_bool().cmp(&b.as_bool()),
            },
        }),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(table: &Value) -> Vec<&str> {
        table["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
    }

    fn rows() -> Vec<Value> {
        vec![
            json!({"name": "a", "n": 2}),
            json!({"name": "rest", "n": 99, "other": true}),
            json!({"name": "b", "n": 10.5}),
            json!({"name": "c", "n": null}),
        ]
    }

    #[test]
    fn numbers_are_sorted_as_numbers_and_the_rest_is_last() {
        let by = |query: &str| table(rows(), 9, &Ask::read(query), "n");
        assert_eq!(names(&by("")), ["b", "a", "c", "rest"]);
        assert_eq!(names(&by("sort=n&order=asc")), ["a", "b", "c", "rest"]);
        assert_eq!(names(&by("sort=name&order=desc")), ["c", "b", "a", "rest"]);
        assert_eq!(names(&by("sort=nothing")), ["a", "b", "c", "rest"]);
        let cut = by("limit=1");
        assert_eq!((names(&cut), &cut["matched"], &cut["all"]), (vec!["b"], &json!(4), &json!(9)));
    }

    #[test]
    fn nonsense_is_as_if_it_were_not_there() {
        let ask = Ask::read("limit=-1&limit=x&order=&fingerprint=zz&%zz=%ff&&=&filter=");
        assert_eq!(ask, Ask { limit: 100, descending: true, ..Ask::default() });
        assert_eq!(Ask::read("limit=0").limit, 1);
        assert_eq!(Ask::read("limit=99999999").limit, MOST);
        assert_eq!(Ask::read(&format!("filter={}", "é".repeat(9_999))).filter.chars().count(), LONGEST);
        assert_eq!(Ask::read("fingerprint=00000000000000ff").fingerprint, Some(255));
        let late = format!("{}filter=x", "a=b&".repeat(PARAMETERS));
        assert_eq!(Ask::read(&late).filter, "");
    }

    #[test]
    fn case_does_not_matter_for_a_filter() {
        let ask = Ask::read("filter=Orders+%C3%84");
        assert!(ask.wants(["x", "select from ORDERS ä"]));
        assert!(!ask.wants(["orders"]));
        assert!(Ask::read("filter=ORD").wants(["orders"]));
        assert!(Ask::read("").wants([]));
        assert!(!Ask::read("filter=longer").wants(["short"]));
    }
}
