//! Attacks on what a connection keeps, and on its changes of hands.

use super::super::code;
use super::protocol::PROTOCOL;
use super::{Arena, FRESH, Version, query, rows, unnamed};
use crate::support::wait_until;
use crate::support::wire::{Message, Wire, bind, execute, parse, sync, terminate};

pub(super) type Attack = (&'static str, fn(&mut Arena));

/// Rows of the victim's, wherever they are read from.
pub(super) const STEAL: &str = "SELECT * FROM orders";

impl Arena {
    /// A simple query of the attacker's first client.
    pub(super) fn say(&mut self, text: &str) -> Vec<Message> {
        self.attack(0, &[query(text)], 1)
    }

    /// As [`Self::say`], and it succeeds: the attack would prove nothing else.
    pub(super) fn done(&mut self, text: &str) -> Vec<Message> {
        let answers = self.say(text);
        assert_eq!(code(&answers), "", "{}: {text}", self.name);
        answers
    }

    /// A text that only the server sees; it succeeds.
    pub(super) fn hidden(&mut self, text: &str) {
        let answers = self.attack(0, &unnamed("SELECT run($1)", &[Some(text)]), 1);
        assert_eq!(code(&answers), "", "{}: {text}", self.name);
    }

    /// The same on both server connections.
    pub(super) fn hidden_everywhere(&mut self, text: &str) {
        self.say("BEGIN");
        self.hidden(text);
        let other = self.attack(1, &unnamed("SELECT run($1)", &[Some(text)]), 1);
        assert_eq!(code(&other), "", "{}: {text}", self.name);
        self.say("COMMIT");
    }

    /// The first column of the attacker's rows.
    pub(super) fn seen(&mut self, text: &str) -> Vec<String> {
        let answers = self.say(text);
        rows(&answers)
    }
}

/// Everything that one call of a function can leave on a connection, in the way of whoever comes next.
const PLANT: &str = "
    CREATE TEMP TABLE orders (id int, tenant_id text DEFAULT 'globex', secret text, note text);
    CREATE TEMP TABLE caught (what text);
    PREPARE planted AS INSERT INTO scratch.stash SELECT secret FROM public.orders RETURNING what;
    DO $d$ DECLARE p record; BEGIN FOR p IN SELECT name FROM pg_prepared_statements WHERE NOT from_sql LOOP
        EXECUTE format('DEALLOCATE %I', p.name);
        EXECUTE format('PREPARE %I AS INSERT INTO scratch.stash SELECT secret FROM public.orders RETURNING what', p.name);
        END LOOP; END $d$;
    LISTEN gossip; SELECT pg_advisory_lock(pg_backend_pid());
    SET work_mem = '77MB'; SET search_path = scratch, pg_temp, public; SET row_security = off;
    SET app.planted = 'x'; SET app.tenant_id = 'acme'; SET default_transaction_read_only = on;
    SET standard_conforming_strings = off; SET client_min_messages = debug1; SET lock_timeout = 1;
    SELECT set_config('howdah.signature', 'x', false)";

const MOVES: &[Attack] = &[
    ("a plain call of a function plants everything", |a| {
        a.hidden_everywhere(PLANT);
        a.victim();
        a.say(STEAL);
    }),
    ("planted, and the victim logs in anew with settings that nobody has asked for yet", |a| {
        a.hidden_everywhere(PLANT);
        let login = format!("{}.globex", a.role);
        for zone in ["Asia/Tokyo", "Asia/Dubai"] {
            let database = a.database.name.clone();
            let parameters = [
                ("user", login.as_str()),
                ("database", database.as_str()),
                ("TimeZone", zone),
                ("DateStyle", "German"),
            ];
            let mut late = Wire::login_with(("127.0.0.1", a.howdah.port), &parameters);
            let _ = late.query("BEGIN");
            let mut second = Wire::login_with(("127.0.0.1", a.howdah.port), &parameters);
            for wire in [&mut late, &mut second] {
                assert_eq!(
                    wire.value("SELECT current_setting('app.planted', true) IS NOT DISTINCT FROM 'x'"),
                    "f"
                );
                assert_eq!(wire.value("SELECT count(*) FROM orders"), "2");
                let written = wire.query("INSERT INTO orders (id, secret) VALUES (77, 'B' || '-SIMPLE-') RETURNING tableoid::regclass, tenant_id");
                assert_eq!(rows(&written), ["orders|globex"]);
                assert_eq!(code(&wire.query("DELETE FROM public.orders WHERE id = 77")), "");
                wire.query("COMMIT");
            }
        }
        a.say(STEAL);
    }),
    ("planted for another client of the same tenant", |a| {
        // It may find no rows until the connection is cleaned, and never the victim's.
        for text in [
            "RESET ALL",
            "SELECT set_config('howdah.signature', 'x', false)",
            "RESET howdah.signature",
            "SELECT set_config('app.tenant_id', 'globex', false)",
            "DEALLOCATE ALL",
        ] {
            a.hidden_everywhere(text);
            let other = a.attack(1, &[query(STEAL)], 1);
            assert!(rows(&other).iter().all(|row| row == "1|acme|A-ROW|x"), "{text}: {other:?}");
            a.victim();
            assert_eq!(a.seen(STEAL), ["1|acme|A-ROW|x"], "{text}: cleaned");
        }
    }),
    ("RESET ALL and DISCARD ALL by the client itself", |a| {
        for text in ["RESET ALL", "DISCARD ALL"] {
            a.done(text);
            for client in [1, 0] {
                let other = a.attack(client, &[query(STEAL)], 1);
                assert_eq!(rows(&other), ["1|acme|A-ROW|x"], "{text}");
            }
        }
        for text in ["BEGIN; RESET ALL; SELECT * FROM orders", "RESET ALL; SELECT * FROM orders"] {
            a.say(text);
            a.say("ROLLBACK");
        }
        a.say("BEGIN");
        a.say("RESET ALL");
        a.say(STEAL);
        a.say("ROLLBACK");
        a.attack(
            0,
            &[
                parse("", "RESET ALL"),
                bind("", "", &[]),
                execute("", 0),
                parse("", STEAL),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ],
            1,
        );
        assert_eq!(a.seen(STEAL), ["1|acme|A-ROW|x"]);
    }),
    ("a connection that dies of what was planted", |a| {
        a.hidden_everywhere("SELECT set_config('idle_' || 'session_timeout', '1', false)");
        wait_until("the server has closed them", || a.database.backends().is_empty());
    }),
    ("a cursor with hold, and its name again", |a| {
        a.done("BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT * FROM orders; COMMIT");
        a.victim();
        a.say("FETCH ALL h");
        a.hidden("DECLARE h CURSOR WITH HOLD FOR SELECT * FROM orders");
        a.victim();
        a.say("FETCH ALL h");
    }),
    ("a cursor that is fetched as another tenant", |a| {
        a.done("BEGIN; DECLARE c CURSOR FOR SELECT * FROM orders");
        a.hidden("SELECT set_config('app.tenant_id', 'globex', true)");
        let answers = a.say("FETCH ALL c");
        assert!(rows(&answers).is_empty());
        a.say("COMMIT");
    }),
    ("statements with Howdah's names, by text", |a| {
        a.victim();
        for n in 0..40 {
            a.say(&format!("DEALLOCATE howdah_{n}"));
            a.say(&format!(
                "PREPARE howdah_{n} AS INSERT INTO scratch.stash SELECT secret FROM orders RETURNING what"
            ));
            a.say(&format!("EXECUTE howdah_{n}"));
        }
        a.victim();
        a.say(STEAL);
    }),
    ("statements in the place of Howdah's, then its own clients", |a| {
        a.attack(0, &[parse("s", STEAL), bind("", "s", &[]), execute("", 0), sync()], 1);
        a.hidden_everywhere("DO $d$ DECLARE p record; BEGIN FOR p IN SELECT name FROM pg_prepared_statements WHERE NOT from_sql LOOP
            EXECUTE format('DEALLOCATE %I', p.name);
            EXECUTE format('PREPARE %I AS SELECT set_config(''app.tenant_id'', ''globex'', false)', p.name); END LOOP; END $d$");
        for client in [0, 1, 0, 1] {
            a.attack(client, &[bind("", "s", &[]), execute("", 0), sync()], 1);
            a.attack(client, &unnamed(STEAL, &[]), 1);
        }
        a.victim();
    }),
    ("statements that are prepared before another path", |a| {
        a.attack(0, &[parse("s", STEAL), bind("", "s", &[]), execute("", 0), sync()], 1);
        a.done("CREATE VIEW scratch.orders AS SELECT 'of scratch'::text AS secret");
        a.done("SET search_path = scratch, public");
        a.attack(0, &[bind("", "s", &[]), execute("", 0), sync()], 1);
        for _ in 0..7 {
            a.victim();
            a.attack(0, &[bind("", "s", &[]), execute("", 0), sync()], 1);
        }
    }),
    ("statements that share no transaction", |a| {
        a.done("CREATE TABLE scratch.t AS SELECT 1 AS a");
        a.done("CREATE FUNCTION scratch.peek(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN INSERT INTO scratch.stash SELECT secret FROM public.orders; RETURN $1; END $$");
        for text in [
            "VACUUM scratch.t",
            "CREATE INDEX CONCURRENTLY i ON scratch.t (scratch.peek(a))",
            "REINDEX TABLE scratch.t",
            "VACUUM orders",
            "ANALYZE orders",
        ] {
            a.say(text);
            a.victim();
            a.attack(0, &unnamed(text, &[]), 1);
            a.victim();
        }
    }),
    ("notifications and locks", |a| {
        assert_eq!(code(&a.say("LISTEN gossip; SELECT pg_advisory_lock(7)")), "42501");
        a.done("SELECT pg_advisory_lock(7)");
        a.hidden("LISTEN gossip; SELECT pg_advisory_lock(8)");
        for client in 0..2 {
            a.victim();
            let got = a.b[client].query("NOTIFY gossip, 'B' || '-SECRET'");
            assert_eq!(code(&got), "42601");
            let got = a.b[client].query("SELECT pg_notify('gossip', 'B' || '-SECRET')");
            assert!(got.iter().all(|m| m.tag != b'A'), "{got:?}");
        }
        a.say(STEAL);
    }),
    ("a client dies in the middle", |a| {
        for text in [
            "BEGIN; SELECT pg_advisory_lock(9)",
            "DO $$ BEGIN PERFORM pg_sleep(0.1); END $$",
            "SELECT pg_sleep(0.1)",
            "VACUUM scratch.stash",
        ] {
            a.hidden(PLANT);
            a.a[0].send(&[query(text), terminate()]);
            a.begin("a client dies in the middle");
            a.victim();
        }
        for cut in [3, 9, 30] {
            let frames = [
                parse("s", "SELECT run($1)"),
                bind("", "s", &[Some("SET work_mem = '77MB'")]),
                execute("", 0),
                query(STEAL),
            ]
            .concat();
            a.a[0].send(&[frames[..frames.len() - cut].to_vec()]);
            a.begin("a client dies in a frame");
            a.victim();
        }
    }),
    ("a cancel in the middle", |a| {
        let address = ("127.0.0.1", a.howdah.port);
        for text in [
            "SELECT pg_sleep(20)",
            "DO $$ BEGIN PERFORM pg_sleep(20); END $$",
            "CALL run_twice('SELECT pg_sleep(20)')",
        ] {
            a.hidden("SELECT set_config('app.planted', 'x', false)");
            let name = a.database.name.clone();
            a.a[0].send(&[query(text)]);
            wait_until("it sleeps", || {
                a.database.cluster.value("postgres", &format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'PgSleep'")) == "1"
            });
            a.a[0].cancel(address);
            let answers = a.a[0].read_until(b'Z');
            assert_eq!(code(&answers), "57014");
            // Late ones hit nobody.
            a.a[0].cancel(address);
            a.victim();
            a.say(STEAL);
        }
    }),
    ("the victim is thrown out in the middle", |a| {
        let pid = a.b[0].value("BEGIN; SELECT pg_backend_pid()");
        a.say(&format!("SELECT pg_terminate_backend({pid})"));
        let rest = super::talk(&mut a.b[0], &[query("SELECT * FROM orders")], 1);
        assert!(!code(&rest).is_empty());
        a.b[0] = a.login("globex");
        a.b[0].exchange(&[parse("mine", "SELECT secret FROM orders ORDER BY id"), sync()]);
        a.say(STEAL);
    }),
    ("a login that may be both, inside of a transaction", |a| {
        let mut both = Wire::login(("127.0.0.1", a.howdah.port), &a.role, &a.database.name);
        both.query("BEGIN");
        both.query("SET LOCAL howdah.tenant = 'acme'");
        let answers = both.exchange(&unnamed("SELECT run($1)", &[Some(PLANT)]));
        a.heard.extend(answers);
        both.query("COMMIT");
        let mut next = Wire::login(("127.0.0.1", a.howdah.port), &a.role, &a.database.name);
        next.query("BEGIN");
        next.query("SET LOCAL howdah.tenant = 'globex'");
        let seen = next.query("SELECT current_setting('work_mem'), tenant_id FROM orders");
        assert!(rows(&seen).iter().all(|row| row == "4MB|globex"), "{seen:?}");
        assert!(
            rows(&seen).len() == 2 || !code(&seen).is_empty(),
            "its rows, or an error that says why not: {seen:?}"
        );
        next.query("ROLLBACK");
        both.query("SET howdah.tenant = 'globex'");
        let seen = both.query("SELECT current_setting('work_mem'), tenant_id FROM orders");
        assert_eq!(rows(&seen), ["4MB|globex", "4MB|globex"], "{seen:?}");
    }),
];

/// All of them, each after the other, so that a failure names each attack that succeeds.
fn run(version: Version) {
    let mut failed = Vec::new();
    let mut arena = Arena::new(version, "attacks_moves", true);
    let fresh = FRESH.replace("{app}", &arena.role).replace("{name}", &arena.database.name);
    for (name, attack) in MOVES.iter().chain(PROTOCOL) {
        arena.begin(name);
        arena.database.query(&fresh);
        let whole = std::panic::AssertUnwindSafe(|| {
            attack(&mut arena);
            arena.judge();
        });
        if std::panic::catch_unwind(whole).is_err() {
            failed.push(*name);
            drop(arena);
            arena = Arena::new(version, "attacks_moves", true);
        }
    }
    assert!(failed.is_empty(), "PostgreSQL {}: {failed:#?}", version.major());
}

#[test]
fn moves_against_signed_tenants() {
    run(Version::V15);
}

#[test]
fn moves_against_signed_tenants_in_other_versions() {
    for version in [Version::V14, Version::V18] {
        run(version);
    }
}
