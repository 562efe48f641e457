//! A tenant costs no round trips: flights to the server and back are counted between Howdah and a real one.

use super::{SEEN, shop};
use crate::support::wire::{Wire, bind, close_statement, describe_portal, execute, parse, query, sync, tags};
use crate::support::{Config, Database, Tap, Version, wait_until};

/// One client through one server connection, with a tap in between.
struct Line {
    wire: Wire,
    tap: Tap,
    _howdah: crate::support::Howdah,
}

fn line(database: &Database<'_>, tenancy: &str, user: &str) -> Line {
    let tap = Tap::start(database.cluster.port);
    let mut config =
        Config::new(1).server(&database.name, tap.port, &database.name, "tls = { mode = \"disable\" }");
    config = config.user("app");
    config.extra += tenancy;
    let howdah = config.start();
    let mut wire = Wire::login(("127.0.0.1", howdah.port), user, &database.name);
    wire.query(""); // a connection to the server is there
    tap.take();
    Line { wire, tap, _howdah: howdah }
}

impl Line {
    /// Sends one write after the other, each when what came before is answered up to this many `ReadyForQuery`;
    /// the flights that it took, and the types of what came back.
    fn flights(&mut self, writes: &[(Vec<Vec<u8>>, usize)]) -> (Vec<Vec<u8>>, String) {
        let mut answers = String::new();
        for (frames, ready) in writes {
            self.wire.send(frames);
            answers += &tags(&self.wire.read_ready(*ready));
        }
        (self.tap.take(), answers)
    }
}

fn one(frames: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, usize) {
    (frames, 1)
}

fn x(text: &str) -> Vec<Vec<u8>> {
    vec![parse("", text), bind("", "", &[]), describe_portal(""), execute("", 0), sync()]
}

/// What is sent, and how many round trips that takes.
fn cases() -> Vec<(&'static str, usize, Vec<(Vec<Vec<u8>>, usize)>)> {
    let reuse = || one(vec![bind("", "s", &[]), execute("", 0), sync()]);
    let several: Vec<Vec<u8>> = (0..10).flat_map(|_| x(SEEN)).collect();
    let prepared: Vec<Vec<u8>> = (0..10).flat_map(|_| [bind("", "s", &[]), execute("", 0), sync()]).collect();
    let simple = ["BEGIN", SEEN, SEEN, "COMMIT"].map(|text| one(vec![query(text)])).to_vec();
    let extended = ["BEGIN", SEEN, SEEN, "COMMIT"].map(|text| one(x(text))).to_vec();
    let in_one = [x("BEGIN"), x(SEEN), x("COMMIT")].concat();
    vec![
        ("simple query", 1, vec![one(vec![query(SEEN)])]),
        ("several statements", 1, vec![one(vec![query("SELECT seen(); COMMIT; SELECT seen()")])]),
        ("extended batch", 1, vec![one(x(SEEN))]),
        ("prepared", 1, vec![one(vec![parse("s", SEEN), bind("", "s", &[]), execute("", 0), sync()])]),
        ("reused", 3, vec![reuse(), reuse(), reuse()]),
        ("BEGIN to COMMIT, simple", 4, simple),
        ("BEGIN to COMMIT, extended", 4, extended),
        ("BEGIN to COMMIT in one write", 1, vec![(in_one, 3)]),
        ("pipeline of 10 batches", 1, vec![(several, 10)]),
        ("pipeline of 10 prepared batches", 1, vec![(prepared, 10)]),
        ("pipeline of 10 queries", 1, vec![(vec![query(SEEN); 10], 10)]),
        ("INSERT", 1, vec![one(x("INSERT INTO copied VALUES ('acme', 'one')"))]),
    ]
}

#[test]
fn a_tenant_adds_none() {
    for version in Version::ALL {
        let database = shop(version, "round_trips");
        let mut plain = line(&database, "", "app");
        let mut tenant = line(&database, "[tenancy]\n[tenants.\"*\"]\n", "app.acme");
        // Twice: on a fresh server connection, and where everything is prepared.
        for round in 0..2 {
            for (name, trips, writes) in cases() {
                let without = plain.flights(&writes);
                let with = tenant.flights(&writes);
                assert_eq!(without.1, with.1, "{name}: answers");
                assert_eq!(without.0.len(), trips, "{version:?}, {name}, {round}: without a tenant");
                assert_eq!(with.0.len(), trips, "{version:?}, {name}, {round}: with a tenant: {with:?}");
                assert!(with.0.concat().len() > without.0.concat().len(), "{name}: nothing was added");
            }
            for line in [&mut plain, &mut tenant] {
                line.flights(&[one(vec![close_statement("s"), sync()])]);
            }
        }
    }
}

#[test]
fn the_slow_path_adds_one() {
    for version in Version::ALL {
        let database = shop(version, "round_trips_slow");
        let mut plain = line(&database, "", "app");
        let mut tenant = line(&database, "[tenancy]\n[tenants.\"*\"]\n", "app.acme");
        database.query("CREATE PROCEDURE nothing() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$");
        for writes in [vec![one(vec![query("CALL nothing()")])], vec![one(x("CALL nothing()"))]] {
            let without = plain.flights(&writes);
            // Besides, and nobody waits for it: a look at what the call has left behind.
            let look = |round: &Vec<u8>| contains(round, "pg_show_all_settings");
            assert_eq!(without.0.iter().filter(|round| !look(round)).count(), 1);
            // What the client waits for: one more.
            let (mut with, answers) = tenant.flights(&writes);
            with.retain(|round| !look(round));
            assert_eq!((with.len(), &answers), (2, &without.1), "{version:?}: {with:?}");
            assert!(contains(&with[0], "SET SESSION") && contains(&with[1], "CALL nothing()"));
            // What nobody waits for: the setting is taken back.
            let mut behind: Vec<Vec<u8>> = Vec::new();
            wait_until("the setting is reset", || {
                behind.extend(tenant.tap.take());
                behind.retain(|round| !look(round) || contains(round, "RESET"));
                !behind.is_empty()
            });
            assert!(behind.len() == 1 && contains(&behind[0], "RESET"), "{version:?}: {behind:?}");
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
