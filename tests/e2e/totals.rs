//! What Howdah counts against what the server counts: calls, rows and times of every statement.

use crate::support::dice::Dice;
use crate::support::wire::{
    Wire, bind, copy_data, copy_done, describe_portal, execute, parse, query, sync, tags,
};
use crate::support::{Cluster, Config, Howdah, Version};
use howdah::sql::Shape;
use std::collections::BTreeMap;

/// Calls, rows, and the mean time in milliseconds.
type Told = BTreeMap<String, (u64, u64, f64)>;

const SETUP: &str = "
    CREATE TABLE item (id int PRIMARY KEY, owner int, note text);
    INSERT INTO item SELECT n, n % 10, 'note ' || n FROM generate_series(1, 200) n;
    CREATE TABLE log (at timestamptz DEFAULT now(), line text);
    CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT n * 2';";

/// What is read in parts.
const IN_PARTS: &str = "select id from item order by id";

/// One exchange of a mix: simple and prepared, pipelined, of several statements, with errors, in parts, by COPY.
fn exchange(wire: &mut Wire, dice: &mut Dice) {
    let n = dice.below(200) + 1;
    let values = [Some(n.to_string())];
    let value = [values[0].as_deref()];
    let frames = match dice.below(16) {
        0 => vec![query(&format!("SELECT note FROM item WHERE id = {n}"))],
        1 => vec![query(&format!("SELECT id FROM item WHERE owner = {} /* route='/items' */", n % 10))],
        2 => vec![query(&format!("UPDATE item SET note = 'it''s {n}' WHERE id = {n}; SELECT 1"))],
        3 => vec![query(&format!("BEGIN; INSERT INTO log (line) VALUES ('{n}'), ('b'); COMMIT"))],
        4 => vec![query("SELECT 1/0")],
        5 => vec![query("DELETE FROM log WHERE line = 'b'")],
        6..=8 => {
            let text = "SELECT id, note FROM item WHERE owner < $1";
            vec![parse("", text), bind("", "", &value), describe_portal(""), execute("", 0), sync()]
        }
        9 => {
            let text = IN_PARTS;
            let parts = [execute("", 30), execute("", 50), execute("", 0)];
            [vec![parse("", text), bind("", "", &[])], parts.to_vec(), vec![sync()]].concat()
        }
        10 => {
            let text = "INSERT INTO log (line) VALUES ($1) RETURNING line";
            let once = || vec![bind("", "", &value), execute("", 0)];
            [vec![parse("", text)], once(), once(), once(), vec![sync()]].concat()
        }
        11 => {
            vec![query("COPY log (line) FROM STDIN"), copy_data(b"one\n"), copy_data(b"two\n"), copy_done()]
        }
        12 => vec![query("COPY (SELECT id FROM item) TO STDOUT")],
        13 => vec![query(
            "BEGIN; DECLARE c CURSOR FOR SELECT id FROM item; FETCH 7 FROM c; FETCH 7 FROM c; COMMIT",
        )],
        14 => vec![query(&format!("SELECT twice({n}) FROM item LIMIT 3"))],
        _ => vec![query("SET work_mem = '5MB'"), query("SELECT pg_sleep(0.001)"), query("RESET work_mem")],
    };
    let readies = frames.iter().filter(|frame| matches!(frame[0], b'Q' | b'S')).count();
    wire.send(&frames);
    let answer = wire.read_ready(readies);
    assert!(tags(&answer).ends_with('Z'));
}

fn mix(howdah: &Howdah, database: &str, exchanges: usize) {
    std::thread::scope(|scope| {
        for seed in 0..4_u64 {
            scope.spawn(move || {
                let mut wire = Wire::login(howdah.address(), "postgres", database);
                let mut dice = Dice::new(seed);
                for _ in 0..exchanges / 4 {
                    exchange(&mut wire, &mut dice);
                }
            });
        }
    });
}

/// What the server says, by the same fingerprints: what it keeps apart (constants of different types) is together here.
fn by_the_server(cluster: &Cluster, database: &str) -> Told {
    let sql = "SELECT query, calls, rows, total_exec_time + total_plan_time FROM pg_stat_statements s
               JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = ";
    let mut told: BTreeMap<String, (u64, u64, f64)> = BTreeMap::new();
    for row in cluster.query("postgres", &format!("{sql}'{database}'")) {
        let row: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
        let shape = Shape::new(row[0].as_bytes(), true);
        let sum = told.entry(format!("{:016x}", shape.fingerprint)).or_default();
        sum.0 += row[1].parse::<u64>().unwrap();
        sum.1 += row[2].parse::<u64>().unwrap();
        sum.2 += row[3].parse::<f64>().unwrap();
    }
    told.into_iter().map(|(print, (calls, rows, time))| (print, (calls, rows, time / calls as f64))).collect()
}

fn by_howdah(howdah: &Howdah) -> (Told, BTreeMap<String, String>) {
    let mut wire = Wire::login(howdah.address(), "postgres", "howdah");
    let mut told = Told::new();
    let mut texts = BTreeMap::new();
    for message in wire.query("SHOW QUERIES") {
        if message.tag != b'D' {
            continue;
        }
        let row: Vec<String> = message.row().into_iter().map(Option::unwrap_or_default).collect();
        let number = |column: usize| row[column].parse::<f64>().unwrap_or_default();
        let (calls, errors, rows) = (number(2) as u64, number(3) as u64, number(4) as u64);
        texts.insert(row[1].clone(), row[24].clone());
        // The server counts no statement that fails.
        if calls > errors {
            told.insert(row[1].clone(), (calls - errors, rows, number(9)));
        }
    }
    (told, texts)
}

#[test]
fn calls_and_rows_are_those_of_15_and_times_are_no_shorter() {
    totals_on(Version::V15);
}

#[test]
fn calls_and_rows_are_those_of_18_and_times_are_no_shorter() {
    totals_on(Version::V18);
}

fn totals_on(version: Version) {
    let exchanges = std::env::var("HOWDAH_TOTALS").ok().and_then(|n| n.parse().ok()).unwrap_or(4000);
    let cluster = Cluster::start_with(
        version,
        "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track_planning = on\n",
    );
    let database = cluster.database("totals");
    cluster.query("postgres", "CREATE EXTENSION pg_stat_statements");
    database.query(SETUP);
    let howdah = Config::simple(3, &database).sections("[admin]\nusers = [\"postgres\"]\n").start();
    mix(&howdah, &database.name, 200); // settings and prepared statements are known now
    Wire::login(howdah.address(), "postgres", "howdah").query("RESET QUERIES");
    cluster.query("postgres", "SELECT pg_stat_statements_reset()");
    mix(&howdah, &database.name, exchanges);
    let (ours, texts) = by_howdah(&howdah);
    let theirs = by_the_server(&cluster, &database.name);
    assert!(theirs.len() > 15, "{theirs:?}");
    let mut statements = 0;
    for (print, (calls, rows, mean)) in &ours {
        let text = &texts[print];
        let Some((their_calls, their_rows, their_mean)) = theirs.get(print) else {
            panic!("the server knows nothing of {print} {text}: {theirs:?}");
        };
        // Of a portal that is read in parts, servers before 16 count the rows of the last part alone.
        let parts = version.major() < 16 && text == IN_PARTS;
        let rows = if parts { their_rows } else { rows };
        assert_eq!((calls, rows), (their_calls, their_rows), "calls and rows of {text}");
        assert!(mean >= their_mean, "{text} took {mean} ms here and {their_mean} ms there");
        statements += calls;
    }
    println!("{statements} statements of {} kinds: calls and rows are equal, no mean is shorter", ours.len());
}
