#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::cache::{About, Answer, Limits, Look, Need};
use crate::frontend::ClientState;
use crate::ids::{BackendId, ClientId, PoolKey};
use crate::net::{Ends, Peer};
use crate::observe::{
    Caller, NPlusOneSettings, ObserverSettings, Phases, Served, StatementRecord, Tags, TransactionRecord,
};
use crate::sql::Shape;
use crate::wire::front;

mod views;

const CONFIG: &str = "[databases.app]\nhost = \"db.example\"\nport = 5433\ndbname = \"real\"\nuser = \"owner\"\n\
    password = \"s3cret\"\npool_mode = \"session\"\nreserve_pool_size = 3\n[databases.zoo]\nhost = \"/run/pg\"\n\
    [users.ops]\npassword = \"hidden\"\n[users.app]\npassword = \"hidden\"\ndefault_pool_size = 7\n\
    [pool]\nquery_wait_timeout = \"1500ms\"\n[admin]\nusers = [\"ops\"]\n\
    [tenancy]\n[tenants.acme]\nweight = 4\nmax_server_connections = 5\n[tenants.\"*\"]\n";

struct House {
    cache: Option<Arc<Cache>>,
    observer: Option<Arc<Observer>>,
    clients: Vec<ClientInfo>,
    config: Arc<Config>,
    history: StatHistory,
}

impl House {
    fn new(cache: Option<Arc<Cache>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("howdah.toml");
        std::fs::write(&file, CONFIG).unwrap();
        let config = crate::config::load(&file).unwrap_or_else(|errors| panic!("{errors}"));
        let history = StatHistory::default();
        Self { cache, observer: None, clients: Vec::new(), config: Arc::new(config), history }
    }
}

impl Operations for House {
    fn cache(&self) -> Option<Arc<Cache>> {
        self.cache.clone()
    }

    fn cached_database(&self, name: &str) -> Option<Arc<Database>> {
        self.cache.as_ref()?.databases().into_iter().find(|database| database.id().ends_with(name))
    }

    fn observer(&self) -> Option<Arc<Observer>> {
        self.observer.clone()
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    fn pools(&self) -> Vec<Arc<Pool>> {
        Vec::new()
    }

    fn clients(&self) -> Vec<ClientInfo> {
        self.clients.clone()
    }

    fn logins(&self) -> usize {
        2
    }

    fn history(&self) -> &StatHistory {
        &self.history
    }

    fn is_draining(&self) -> bool {
        false
    }

    fn resident(&self) -> Option<usize> {
        Some(5 << 30)
    }
}

/// A cache with one answer each of `orders` and of `items`, in two databases.
fn filled() -> Arc<Cache> {
    let limits = Limits { max_memory: 1 << 20, max_entry: 1 << 16, tenant_share: 1.0, jitter: 0.0 };
    let cache = Cache::new(limits);
    for id in ["h:1/app", "h:1/other"] {
        let database = cache.database(id);
        for (table, tenant) in [("orders", None), ("items", Some("acme"))] {
            let account = database.account(tenant);
            let mut prefix = cache.prefix();
            prefix.part(id.as_bytes());
            prefix.part(table.as_bytes());
            let need = Need {
                account: &account,
                columns: true,
                floor: 0,
                max_age: std::time::Duration::MAX,
                wait: false,
            };
            let Look::Lead(ticket) = database.look(prefix.key(), need, Instant::now()) else {
                panic!("no lead")
            };
            let about = About {
                marks: [database.table("public", table)].into(),
                ttl: Duration::from_secs(60),
                stale: Duration::ZERO,
                by_ttl_only: false,
                catalog: database.generation_of_catalog(),
                text: format!("SELECT * FROM {table}").into(),
            };
            let answer = Answer { columns: Some(vec![b'T']), body: vec![b'D'; 100], rows: 3 };
            ticket.store(answer, about, Instant::now());
        }
    }
    cache
}

struct Operator(Talk);

/// Tag and body of each message of an answer.
type Messages = Vec<(u8, Vec<u8>)>;

impl Operator {
    fn new(cache: Option<Arc<Cache>>, may_change: bool) -> Self {
        Self::in_house(House::new(cache), may_change)
    }

    fn in_house(house: House, may_change: bool) -> Self {
        Self(Talk::new(Arc::new(house), "ops".into(), may_change))
    }

    /// The columns of an answer, and its rows.
    fn table(&mut self, text: &str) -> (Vec<String>, Vec<Vec<Option<String>>>) {
        let answer = self.query(text);
        assert!(tags(&answer).starts_with('T'), "{text}: {answer:?}");
        let columns = wire::column_names(&answer[0].1).unwrap().into_iter();
        (columns.map(|name| String::from_utf8(name.to_vec()).unwrap()).collect(), rows(&answer))
    }

    /// The first row that has this in that column, as pairs of column and field.
    fn row(&mut self, text: &str, column: &str, value: &str) -> HashMap<String, String> {
        let (columns, rows) = self.table(text);
        let at = columns.iter().position(|name| name == column).unwrap();
        let found = rows.iter().find(|row| row[at].as_deref() == Some(value));
        let found = found.unwrap_or_else(|| panic!("no {value} in {rows:?}"));
        let null = || "NULL".to_owned();
        columns.into_iter().zip(found.iter().map(|field| field.clone().unwrap_or_else(null))).collect()
    }

    /// Sends whole messages and returns what came back.
    fn say(&mut self, bytes: &[u8]) -> Messages {
        let (mut out, mut rest) = (Vec::new(), bytes);
        while let Some(frame) = wire::header(Side::Frontend, rest).unwrap() {
            let (message, tail) = rest.split_at(frame.len);
            self.0.message(frame, &message[5..], &mut out);
            rest = tail;
        }
        let (mut messages, mut rest) = (Vec::new(), out.as_slice());
        while let Some(frame) = wire::header(Side::Backend, rest).unwrap() {
            let (message, tail) = rest.split_at(frame.len);
            messages.push((message[0], message[5..].to_vec()));
            rest = tail;
        }
        messages
    }

    fn query(&mut self, text: &str) -> Messages {
        let mut bytes = Vec::new();
        wire::query(&mut bytes, text.as_bytes());
        self.say(&bytes)
    }

    fn rows(&mut self, text: &str) -> Vec<Vec<Option<String>>> {
        rows(&self.query(text))
    }
}

fn tags(messages: &Messages) -> String {
    messages.iter().map(|(tag, _)| char::from(*tag)).collect()
}

fn rows(messages: &Messages) -> Vec<Vec<Option<String>>> {
    let text = |field: Option<&[u8]>| field.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
    let rows = messages.iter().filter(|(tag, _)| *tag == b'D');
    rows.map(|(_, body)| wire::fields(body).unwrap().into_iter().map(text).collect()).collect()
}

fn error(messages: &Messages) -> String {
    let (_, body) = messages.iter().find(|(tag, _)| *tag == b'E').unwrap();
    String::from_utf8(wire::ErrorFields::read(body).sqlstate.to_vec()).unwrap()
}

fn complete(messages: &Messages) -> String {
    let (_, body) = messages.iter().rfind(|(tag, _)| *tag == b'C').unwrap();
    String::from_utf8(body[..body.len() - 1].to_vec()).unwrap()
}

fn parse(out: &mut Vec<u8>, name: &str, text: &str) {
    wire::parse_into(out, name.as_bytes(), &[text.as_bytes(), &[0, 0, 0]].concat());
}

/// A Bind of the unnamed portal with these result formats.
fn bind(out: &mut Vec<u8>, statement: &str, formats: &[u16]) {
    wire::frame(out, front::BIND, |out| {
        out.extend_from_slice(&[&[0], statement.as_bytes(), &[0, 0, 0, 0, 0]].concat());
        out.extend_from_slice(&u16::try_from(formats.len()).unwrap().to_be_bytes());
        for format in formats {
            out.extend_from_slice(&format.to_be_bytes());
        }
    });
}

fn describe_statement(out: &mut Vec<u8>, name: &str) {
    wire::frame(out, front::DESCRIBE, |out| out.extend_from_slice(&[b"S", name.as_bytes(), &[0]].concat()));
}

#[test]
fn simple_queries_are_answered() {
    let mut operator = Operator::new(Some(filled()), false);
    assert_eq!(operator.rows("SHOW VERSION"), [[Some(VERSION.to_owned())]]);
    let help = operator.query("SHOW HELP; SHOW VERSION;");
    let lines = command::HELP.len() + view::VIEWS.len() + 1;
    assert_eq!(tags(&help), format!("T{}CTDCZ", "D".repeat(lines)));
    assert_eq!(tags(&operator.query(" ; ")), "IZ");
    let set = operator.query("SET extra_float_digits = 3");
    assert_eq!((tags(&set).as_str(), complete(&set).as_str()), ("NCZ", "SET"));
    // The first error ends the text.
    let wrong = operator.query("SHOW VERSION; SELECT 1; SHOW VERSION");
    assert_eq!((tags(&wrong).as_str(), error(&wrong).as_str()), ("EZ", "42601"));
    assert_eq!(wire::column_names(&operator.query("SHOW CACHE")[0].1).unwrap().len(), cache::CACHE.len());
}

#[test]
fn the_cache_is_shown() {
    let filled = filled();
    filled.database("h:1/app").account(None).miss(crate::cache::Miss::Volatile);
    let mut operator = Operator::new(Some(Arc::clone(&filled)), false);
    let shown = operator.rows("SHOW CACHE");
    let column = |name: &str| cache::CACHE.iter().position(|(n, _)| *n == name).unwrap();
    assert_eq!(shown.len(), 2);
    let app = |name: &str| shown[0][column(name)].clone().unwrap();
    assert_eq!((app("database"), app("state"), app("entries")), ("h:1/app".into(), "on".into(), "2".into()));
    assert_eq!((app("misses"), app("stores"), app("tenants")), ("1".into(), "2".into(), "1".into()));
    assert_eq!(app("max_bytes"), (1 << 20).to_string());
    let misses = operator.rows("SHOW CACHE_MISSES");
    assert!(
        misses.contains(&vec![Some("h:1/app".into()), Some("volatile".into()), Some("1".into())]),
        "{misses:?}"
    );
    let entries = operator.rows("SHOW CACHE_ENTRIES");
    assert_eq!(entries.len(), 4);
    let items = entries.iter().find(|row| row[3].as_deref() == Some("SELECT * FROM items")).unwrap();
    assert_eq!(
        (items[2].as_deref(), items[5].as_deref(), items[10].as_deref()),
        (Some("acme"), Some("3"), Some("no"))
    );
    assert!(items[9].as_deref().unwrap().contains("items"), "{items:?}");
    assert_eq!(operator.rows("SHOW CACHE_ENTRIES LIMIT 3").len(), 3);
    assert_eq!(operator.rows("SHOW CACHE_ENTRIES LIMIT 0").len(), 0);
    filled.database("h:1/app").pause("the stream broke");
    assert_eq!(operator.rows("SHOW CACHE")[0][column("state")].as_deref(), Some("paused: the stream broke"));
}

#[test]
fn answers_are_purged() {
    let cache = filled();
    let mut operator = Operator::new(Some(Arc::clone(&cache)), true);
    let mut purge = |text: &str| complete(&operator.query(text));
    assert_eq!(purge("CACHE PURGE TABLE nothing"), "CACHE PURGE 0");
    assert_eq!(purge("CACHE PURGE TABLE public.orders app"), "CACHE PURGE 1");
    assert_eq!(cache.entries(), 3);
    assert_eq!(purge("CACHE PURGE TENANT acme"), "CACHE PURGE 2");
    assert_eq!(purge("CACHE PURGE TAG acme"), "CACHE PURGE 0");
    assert_eq!(purge("CACHE PURGE"), "CACHE PURGE 1");
    assert_eq!(cache.entries(), 0);
    assert_eq!(error(&operator.query("CACHE PURGE ALL nowhere")), "3D000");
}

#[test]
fn who_may_only_look_changes_nothing() {
    let cache = filled();
    let mut operator = Operator::new(Some(Arc::clone(&cache)), false);
    assert_eq!(error(&operator.query("CACHE PURGE")), "42501");
    assert_eq!(cache.entries(), 4);
}

#[test]
fn without_a_cache_there_is_nothing_to_show_or_purge() {
    let mut operator = Operator::new(None, true);
    for text in ["SHOW CACHE", "SHOW CACHE_MISSES", "SHOW CACHE_ENTRIES"] {
        assert_eq!(tags(&operator.query(text)), "TCZ", "{text}");
    }
    assert_eq!(error(&operator.query("CACHE PURGE")), "55000");
}

#[test]
fn the_extended_protocol_is_spoken() {
    let mut operator = Operator::new(Some(filled()), false);
    let mut out = Vec::new();
    parse(&mut out, "s", "SHOW CACHE_ENTRIES");
    describe_statement(&mut out, "s");
    wire::sync(&mut out);
    assert_eq!(tags(&operator.say(&out)), "1tTZ");
    // All formats binary; as many rows as asked for, and then the rest.
    let mut out = Vec::new();
    bind(&mut out, "s", &[1]);
    wire::describe_portal(&mut out);
    wire::execute_rows(&mut out, 3);
    wire::execute_rows(&mut out, 3);
    wire::execute_rows(&mut out, 3);
    wire::sync(&mut out);
    let answer = operator.say(&out);
    assert_eq!(tags(&answer), "2TDDDsDCCZ");
    let row = wire::fields(&answer[2].1).unwrap();
    assert_eq!((row[4].unwrap().len(), row[5].unwrap()), (8, &3_i64.to_be_bytes()[..]));
    // The portal is gone with the Sync; the statement is not.
    let mut out = Vec::new();
    wire::execute(&mut out);
    wire::sync(&mut out);
    let gone = operator.say(&out);
    assert_eq!((tags(&gone).as_str(), error(&gone).as_str()), ("EZ", "34000"));
    let mut out = Vec::new();
    parse(&mut out, "s", "SHOW CACHE");
    wire::sync(&mut out);
    assert_eq!(error(&operator.say(&out)), "42P05");
    let mut out = Vec::new();
    wire::close_statement(&mut out, b"s");
    bind(&mut out, "s", &[]);
    wire::execute(&mut out);
    wire::sync(&mut out);
    let closed = operator.say(&out);
    assert_eq!((tags(&closed).as_str(), error(&closed).as_str()), ("3EZ", "26000"));
    // No columns, and no command at all.
    let mut out = Vec::new();
    for text in ["BEGIN", ""] {
        parse(&mut out, "", text);
        bind(&mut out, "", &[]);
        wire::describe_portal(&mut out);
        wire::execute(&mut out);
        wire::sync(&mut out);
    }
    assert_eq!(tags(&operator.say(&out)), "12nNCZ12nIZ");
}

#[test]
fn portals_outlive_a_sync_in_what_is_taken_for_a_transaction() {
    let mut operator = Operator::new(Some(filled()), false);
    let (mut begin, mut fetch, mut more, mut end) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (out, text) in [(&mut begin, "BEGIN"), (&mut fetch, "SHOW CACHE_ENTRIES"), (&mut end, "COMMIT")] {
        parse(out, "", text);
        wire::frame(out, front::BIND, |out| out.extend_from_slice(b"p\0\0\0\0\0\0\0\0"));
        wire::frame(out, front::EXECUTE, |out| out.extend_from_slice(b"p\0\0\0\0\x02"));
        wire::frame(out, front::CLOSE, |out| {
            out.extend_from_slice(if text == "BEGIN" { b"Pp\0" } else { b"Px\0" });
        });
        wire::sync(out);
    }
    wire::frame(&mut more, front::EXECUTE, |out| out.extend_from_slice(b"p\0\0\0\0\0"));
    wire::sync(&mut more);
    assert_eq!(tags(&operator.say(&begin)), "12NC3Z");
    assert_eq!(tags(&operator.say(&fetch)), "12DDs3Z");
    assert_eq!(tags(&operator.say(&more)), "DDCZ");
    assert_eq!(tags(&operator.query("COMMIT")), "NCZ");
    assert_eq!(error(&operator.say(&more)), "34000");
    assert_eq!(tags(&operator.say(&end)), "12NC3Z");
    // An error ends what was begun.
    assert_eq!(tags(&operator.say(&begin)), "12NC3Z");
    assert_eq!(tags(&operator.say(&fetch)), "12DDs3Z");
    let mut wrong = Vec::new();
    parse(&mut wrong, "", "SELECT 1");
    wire::sync(&mut wrong);
    assert_eq!(error(&operator.say(&wrong)), "42601");
    assert_eq!(error(&operator.say(&more)), "34000");
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut operator = Operator::new(None, false);
    let mut refused = |sqlstate: &str, say: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        parse(&mut out, "s", "SHOW VERSION");
        say(&mut out);
        wire::close_statement(&mut out, b"s");
        wire::sync(&mut out);
        wire::close_statement(&mut out, b"s");
        wire::sync(&mut out);
        let answer = operator.say(&out);
        assert_eq!((tags(&answer).as_str(), error(&answer).as_str()), ("1EZ3Z", sqlstate));
    };
    refused("42601", &|out| parse(out, "", "SHOW HELP; SHOW VERSION"));
    refused("0A000", &|out| wire::bind(out, b"s", &[b"1"]));
    refused("22023", &|out| bind(out, "s", &[2]));
    refused("08P01", &|out| bind(out, "s", &[0, 0]));
    refused("08P01", &|out| wire::frame(out, front::BIND, |_| {}));
    refused("08P01", &|out| wire::frame(out, front::EXECUTE, |out| out.push(0)));
    refused("08P01", &|out| wire::frame(out, front::DESCRIBE, |out| out.push(b'X')));
    refused("22021", &|out| wire::parse_into(out, b"", &[0xff, 0, 0, 0]));
    refused("08P01", &|out| wire::frame(out, front::PASSWORD, |_| {}));
    // Not more of them than are kept.
    let mut out = Vec::new();
    for n in 0..101 {
        parse(&mut out, &format!("n{n}"), "SHOW VERSION");
    }
    wire::sync(&mut out);
    let many = operator.say(&out);
    assert_eq!((tags(&many), error(&many)), ("1".repeat(100) + "EZ", "54000".to_owned()));
    let mut out = Vec::new();
    wire::frame(&mut out, front::FUNCTION_CALL, |_| {});
    let function = operator.say(&out);
    assert_eq!((tags(&function).as_str(), error(&function).as_str()), ("EZ", "0A000"));
}

proptest! {
    #[test]
    fn no_message_panics(tag in prop::sample::select(b"QPBDECHSXFdcfp".to_vec()), body in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut operator = Operator::new(Some(filled()), true);
        let mut out = Vec::new();
        parse(&mut out, "", "SHOW CACHE");
        wire::frame(&mut out, tag, |out| out.extend_from_slice(&body));
        let _ = operator.say(&out);
    }
}
