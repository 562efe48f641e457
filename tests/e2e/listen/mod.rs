//! LISTEN and NOTIFY of many clients over few server connections.

mod lost;
mod many;
mod same;

use crate::support::wire::{Message, Wire};
use crate::support::{Cluster, Config, Database, Howdah, wait_until};

fn login(howdah: &Howdah, database: &Database<'_>) -> Wire {
    Wire::login(("127.0.0.1", howdah.port), "app", &database.name)
}

/// What a NotificationResponse says: process, channel, payload.
fn notification(message: &Message) -> (u32, String, String) {
    assert_eq!(message.tag, b'A', "{message:?}");
    let pid = u32::from_be_bytes(message.body[..4].try_into().expect("four bytes"));
    let mut words = message.body[4..].split(|byte| *byte == 0);
    let mut word = || String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
    let channel = word();
    (pid, channel, word())
}

/// The payload of the next message, which is a notification.
fn heard(wire: &mut Wire) -> String {
    notification(&wire.read()).2
}

/// The process that the client was told it has.
fn own_pid(wire: &Wire) -> u32 {
    u32::from_be_bytes(wire.key[..4].try_into().expect("four bytes"))
}

/// Messages but for the last, which is `ReadyForQuery`, as types, and notifications as their payload.
fn words(messages: &[Message]) -> String {
    let word = |message: &Message| match message.tag {
        b'A' => format!("A:{}", notification(message).2),
        b'C' => format!("C:{}", message.text()),
        b'E' => format!("E:{}", message.sqlstate()),
        b'Z' => format!("Z{}", message.body[0] as char),
        tag => (tag as char).to_string(),
    };
    messages.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The process that listens for Howdah in this database.
fn listening_process(database: &Database<'_>) -> Option<String> {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()
         AND (query LIKE 'LISTEN \"%' OR query LIKE 'UNLISTEN \"%' OR query = '')
         AND backend_type = 'client backend'",
        database.name
    );
    database.cluster.query("postgres", &sql).into_iter().next()?.into_iter().next()?
}

fn gauge(howdah: &Howdah, name: &str, database: &Database<'_>) -> Option<f64> {
    howdah.metric(&format!("{name}{{database=\"{}\"}}", database.name))
}
