//! Marked reads: what comes from memory, what does not, and what ends it.

mod keys;
mod reading;
mod serve;
mod shown;
mod soak;
mod study;
mod tenants;
mod waiting;
mod writes;

use crate::support::wire::{Message, Wire};
use crate::support::{Config, Database, Howdah};

/// A cache, and two connections.
pub(super) const CACHE: &str = "[cache]\nmax_memory = \"64MB\"\njitter = \"0%\"\n";

pub(super) fn config(size: usize, database: &Database<'_>) -> Config {
    Config::simple(size, database).sections(CACHE)
}

pub(super) fn login(howdah: &Howdah, database: &Database<'_>) -> Wire {
    explaining(Wire::login(("127.0.0.1", howdah.port), "app", &database.name))
}

pub(super) fn superuser(howdah: &Howdah, database: &Database<'_>) -> Wire {
    explaining(Wire::login(("127.0.0.1", howdah.port), "postgres", &database.name))
}

/// A client that is told what becomes of its marked queries.
pub(super) fn explaining(mut wire: Wire) -> Wire {
    assert_eq!(wire.query("SET howdah.explain_cache = on").len(), 2);
    wire
}

/// What the notices say of the marked queries of an exchange.
pub(super) fn fates(messages: &[Message]) -> Vec<String> {
    let notices = messages.iter().filter(|m| m.tag == b'N').filter_map(|m| m.field(b'M'));
    let fates = notices.filter_map(|text| text.strip_prefix("cache: ").map(str::to_owned));
    fates.map(|fate| if fate.starts_with("hit") { "hit".to_owned() } else { fate }).collect()
}

/// What became of a simple query, and the first field of its first row.
pub(super) fn ask(wire: &mut Wire, sql: &str) -> (String, String) {
    let messages = wire.query(sql);
    if let Some(error) = messages.iter().find(|m| m.tag == b'E') {
        return (fates(&messages).join("; "), error.sqlstate());
    }
    let row = messages.iter().find(|m| m.tag == b'D').map(Message::row);
    let value = row.and_then(|row| row.into_iter().next().flatten()).unwrap_or_default();
    (fates(&messages).join("; "), value)
}

/// Asks until the answer comes from memory: the first time a text is studied, the second time it is fetched.
pub(super) fn warm(wire: &mut Wire, sql: &str) -> String {
    for _ in 0..500 {
        let (fate, value) = ask(wire, sql);
        if fate == "hit" {
            return value;
        }
        assert!(fate.starts_with("miss, "), "{sql}: {fate} {value}");
        std::thread::sleep(std::time::Duration::from_millis(if fate == "miss, learning" { 10 } else { 0 }));
    }
    panic!("{sql} never comes from memory");
}

/// A marked query.
pub(super) fn marked(sql: &str) -> String {
    format!("/* howdah.cache='60s' */ {sql}")
}
