//! Settings that follow a client cost no round trips: flights to the server and back are counted between Howdah and a
//! real one, for two clients with different settings that take turns on one server connection.

use crate::support::wire::{Wire, bind, describe_portal, execute, parse, query, sync, tags};
use crate::support::{Cluster, Config, Database, Howdah, Tap, Version, wait_until};

/// Two clients on one server connection, with a tap in between.
struct Line {
    one: Wire,
    two: Wire,
    tap: Tap,
    _howdah: Howdah,
}

/// What is sent in one write, and the number of `ReadyForQuery` that are its answer.
type Write = (Vec<Vec<u8>>, usize);

fn line(database: &Database<'_>, one: &[&str], two: &[&str]) -> Line {
    let tap = Tap::start(database.cluster.port);
    let tls = "tls = { mode = \"disable\" }";
    let howdah = Config::new(1).server(&database.name, tap.port, &database.name, tls).user("app").start();
    let login = |settings: &[&str]| {
        let mut wire = Wire::login(("127.0.0.1", howdah.port), "app", &database.name);
        for setting in settings {
            let answer = wire.query(setting);
            assert!(answer.iter().all(|m| m.tag != b'E'), "{setting}: {answer:?}");
        }
        wire
    };
    let (one, two) = (login(one), login(two));
    Line { one, two, tap, _howdah: howdah }
}

impl Line {
    /// The other client has the connection; then these writes of the first, each when what came before is answered.
    /// The flights that they took, and the types of the answers.
    fn flights(&mut self, writes: &[Write]) -> (Vec<Vec<u8>>, String) {
        // Answered, and what Howdah may still ask for itself behind an answer is over too.
        assert_eq!(self.two.value("SELECT 'two'"), "two");
        self.tap.take();
        let mut answers = String::new();
        for (frames, ready) in writes {
            self.one.send(frames);
            answers += &tags(&self.one.read_ready(*ready));
        }
        (self.tap.take(), answers)
    }
}

fn one(frames: Vec<Vec<u8>>) -> Write {
    (frames, 1)
}

fn x(text: &str) -> Vec<Vec<u8>> {
    vec![parse("", text), bind("", "", &[]), describe_portal(""), execute("", 0), sync()]
}

const SEEN: &str = "SELECT current_setting('work_mem'), current_setting('search_path'), \
                    current_setting('TimeZone'), current_setting('application_name')";

/// What is sent, how many round trips that takes, and how many where settings are brought. Nothing may follow them
/// before their transaction has ended, so what is sent in one write and is several batches goes out in parts.
fn cases() -> Vec<(&'static str, usize, usize, Vec<Write>)> {
    let reuse = || one(vec![bind("", "s", &[]), execute("", 0), sync()]);
    let several: Vec<Vec<u8>> = (0..10).flat_map(|_| x(SEEN)).collect();
    let prepared: Vec<Vec<u8>> = (0..10).flat_map(|_| [bind("", "s", &[]), execute("", 0), sync()]).collect();
    let simple = ["BEGIN", SEEN, SEEN, "COMMIT"].map(|text| one(vec![query(text)])).to_vec();
    let extended = ["BEGIN", SEEN, SEEN, "COMMIT"].map(|text| one(x(text))).to_vec();
    let in_one = [x("BEGIN"), x(SEEN), x("COMMIT")].concat();
    let rolled_back = ["BEGIN", SEEN, "ROLLBACK"].map(|text| one(vec![query(text)])).to_vec();
    vec![
        ("simple query", 1, 1, vec![one(vec![query(SEEN)])]),
        ("several statements", 1, 1, vec![one(vec![query("SELECT 1; SELECT 2")])]),
        ("a query that fails", 1, 1, vec![one(vec![query("SELECT 1/0")])]),
        ("extended batch", 1, 1, vec![one(x(SEEN))]),
        ("prepared", 1, 1, vec![one(vec![parse("s", SEEN), bind("", "s", &[]), execute("", 0), sync()])]),
        ("reused", 3, 3, vec![reuse(), reuse(), reuse()]),
        ("BEGIN to COMMIT, simple", 4, 4, simple),
        ("BEGIN to COMMIT, extended", 4, 4, extended),
        ("BEGIN to ROLLBACK", 3, 3, rolled_back),
        ("BEGIN to COMMIT in one write", 1, 3, vec![(in_one, 3)]),
        ("pipeline of 10 batches", 1, 2, vec![(several, 10)]),
        ("pipeline of 10 prepared batches", 1, 2, vec![(prepared, 10)]),
        ("pipeline of 10 queries", 1, 2, vec![(vec![query(SEEN); 10], 10)]),
    ]
}

/// How often these words stand in what went to the server.
fn count(flights: &[Vec<u8>], words: &str) -> usize {
    let words = words.as_bytes();
    flights.concat().windows(words.len()).filter(|window| window.eq_ignore_ascii_case(words)).count()
}

#[test]
fn different_settings_add_none_and_one_preamble() {
    for version in Version::ALL {
        let database = Cluster::shared(version).database("session_round_trips");
        let first = ["SET work_mem = '7MB'", "SET search_path = one, public", "SET TimeZone = 'Asia/Tokyo'"];
        let second =
            ["SET work_mem = '8MB'", "SET search_path = two, public", "SET TimeZone = 'Asia/Kolkata'"];
        let mut same = line(&database, &first, &first);
        let mut differ = line(&database, &first, &second);
        for (name, trips, brought, writes) in cases() {
            let expected = same.flights(&writes);
            let found = differ.flights(&writes);
            assert_eq!(expected.1, found.1, "{name}: answers");
            assert_eq!(expected.0.len(), trips, "{version:?}, {name}: the same settings: {:?}", expected.0);
            assert_eq!(found.0.len(), brought, "{version:?}, {name}: different settings: {:?}", found.0);
            // One preamble with the three that differ, and none where none differ.
            assert_eq!(count(&expected.0, "SET SESSION "), 0, "{version:?}, {name}: {:?}", expected.0);
            assert_eq!(count(&found.0, "SET SESSION "), 3, "{version:?}, {name}: {:?}", found.0);
            // It is in the first flight, so that the first statement finds it.
            assert_eq!(count(&found.0[..1], "SET SESSION "), 3, "{version:?}, {name}: {:?}", found.0);
        }
        let seen = differ.one.query(SEEN);
        let row = seen.iter().find(|m| m.tag == b'D').expect("a row").row();
        let words: Vec<&str> = row.iter().flatten().map(String::as_str).collect();
        assert_eq!(words[..3], ["7MB", "one, public", "Asia/Tokyo"]);
    }
}

#[test]
fn what_a_client_never_asked_for_is_reset_on_the_way() {
    let database = Cluster::shared(Version::V15).database("session_round_trips_reset");
    let mut line = line(&database, &[], &["SET work_mem = '8MB'", "SET my.own = 'two'"]);
    for (name, _, brought, writes) in cases() {
        let (flights, _) = line.flights(&writes);
        assert_eq!(flights.len(), brought, "{name}: {flights:?}");
        assert_eq!(
            (count(&flights, "SET SESSION "), count(&flights, "RESET ")),
            (0, 2),
            "{name}: {flights:?}"
        );
    }
}

#[test]
fn what_a_text_is_read_with_goes_ahead_and_costs_one() {
    let database = Cluster::shared(Version::V15).database("session_round_trips_ahead");
    let mut line = line(&database, &["SET client_encoding = 'LATIN1'"], &["SET client_encoding = 'UTF8'"]);
    for writes in [vec![one(vec![query("SELECT 'one'")])], vec![one(x("SELECT 'one'"))]] {
        let (flights, answers) = line.flights(&writes);
        assert!(answers.ends_with("Z") && !answers.contains('E'), "{answers}");
        assert_eq!(flights.len(), 2, "{flights:?}");
        assert!(
            count(&flights[..1], "client_encoding") > 0 && count(&flights[1..], "'one'") == 1,
            "{flights:?}"
        );
        // Once, and not for the next transaction.
        line.one.send(&[query("SELECT 'again'")]);
        line.one.read_ready(1);
        assert_eq!(line.tap.take().len(), 1);
    }
}

#[test]
fn a_set_is_looked_after_behind_its_answer() {
    let database = Cluster::shared(Version::V15).database("session_round_trips_look");
    let mut line = line(&database, &[], &[]);
    line.one.query("");
    line.tap.take();
    for text in ["SET work_mem = '9MB'", "SELECT set_config('my.own', 'x', false)"] {
        line.one.send(&[query(text)]);
        let answer = tags(&line.one.read_ready(1));
        assert!(answer.ends_with("CZ"), "{text}: {answer}");
        // The client has its answer; the server is asked what there really is.
        let mut flights = Vec::new();
        wait_until("the server is asked", || {
            flights.extend(line.tap.take());
            flights.len() == 2
        });
        assert_eq!(count(&flights[..1], text), 1, "{flights:?}");
        assert_eq!(count(&flights[1..], "current_setting"), 1, "{flights:?}");
    }
}

#[test]
fn in_the_middle_of_a_batch_as_well() {
    let database = Cluster::shared(Version::V15).database("session_round_trips_batch");
    let mut line = line(
        &database,
        &["PREPARE mine AS SELECT 'one'", "SET work_mem = '7MB'"],
        &["PREPARE mine AS SELECT 'two'", "SET work_mem = '8MB'"],
    );
    let run = |line: &mut Line, frames: Vec<Vec<u8>>| {
        assert_eq!(line.two.value("EXECUTE mine"), "two");
        let answer = line.one.exchange(&frames);
        if let Some(error) = answer.iter().find(|m| m.tag == b'E') {
            return error.sqlstate();
        }
        let rows = answer.iter().filter(|m| m.tag == b'D').filter_map(|m| m.row().remove(0));
        rows.collect::<Vec<_>>().join(" ")
    };
    let unnamed = |text: &str| vec![parse("", text), bind("", "", &[]), execute("", 0)];
    // A statement of SQL, alone and behind another one of the batch.
    let named = || vec![bind("", "mine", &[]), execute("", 0), sync()];
    assert_eq!(run(&mut line, named()), "one");
    assert_eq!(run(&mut line, [unnamed("SELECT 1"), named()].concat()), "1 one");
    assert_eq!(run(&mut line, [unnamed("DO $$ BEGIN END $$"), named()].concat()), "one");
    // Behind the end of a transaction that changed what was on its way.
    for (end, seen) in [("ROLLBACK", "7MB"), ("COMMIT", "9MB")] {
        let changed = ["BEGIN", "SET work_mem = '9MB'", end, "SHOW work_mem"];
        let batch = changed.iter().flat_map(|text| unnamed(text)).chain([sync()]).collect();
        assert_eq!(run(&mut line, batch), seen, "{end}");
        assert_eq!(
            (line.two.value("SHOW work_mem"), line.one.value("SHOW work_mem")),
            ("8MB".into(), seen.into())
        );
    }
}
