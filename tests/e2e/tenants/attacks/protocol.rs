//! Attacks on the protocol, on transactions, and on who somebody says to be.

use super::super::code;
use super::moves::{Attack, STEAL};
use super::{query, rows, unnamed};
use crate::support::PASSWORD;
use crate::support::wire::{
    Wire, bind, close_statement, copy_data, copy_done, describe_statement, execute, flush, frame,
    function_call, parse, sync,
};

pub(super) const PROTOCOL: &[Attack] = &[
    ("portals outlive nothing", |a| {
        a.attack(0, &[query("BEGIN"), parse("", STEAL), bind("p", "", &[]), execute("p", 1), sync()], 2);
        a.hidden("SELECT set_config('app.tenant_id', 'globex', true)");
        a.attack(0, &[execute("p", 0), sync()], 1);
        a.say("COMMIT");
        a.victim();
        let answers = a.attack(0, &[execute("p", 0), sync()], 1);
        assert_eq!(code(&answers), "34000");
    }),
    ("portals with Howdah's name", |a| {
        for class in [STEAL, "LOCK TABLE orders IN ACCESS SHARE MODE"] {
            a.attack(
                0,
                &[
                    query("BEGIN"),
                    parse("", "SELECT 1"),
                    bind("howdah_locals", "", &[]),
                    parse("", class),
                    bind("x", "", &[]),
                    execute("x", 0),
                    execute("howdah_locals", 0),
                    sync(),
                ],
                2,
            );
            a.say("ROLLBACK");
        }
    }),
    ("statements with Howdah's names, by the protocol", |a| {
        for n in 0..40 {
            let name = format!("howdah_{n}");
            a.attack(
                0,
                &[
                    parse(&name, STEAL),
                    describe_statement(&name),
                    bind("", &name, &[]),
                    execute("", 0),
                    sync(),
                ],
                1,
            );
        }
        a.victim();
        let long = "x".repeat(100);
        for name in ["howdah_1", "HOWDAH_1", "\"howdah_1\"", long.as_str()] {
            a.attack(
                0,
                &[
                    close_statement(name),
                    parse(name, STEAL),
                    bind("", name, &[]),
                    execute("", 0),
                    close_statement(name),
                    sync(),
                ],
                1,
            );
        }
    }),
    ("COMMIT in the middle of a text", |a| {
        for text in [
            "SELECT 1; COMMIT; SELECT * FROM orders; ROLLBACK; SELECT * FROM orders",
            "BEGIN; COMMIT; BEGIN; SELECT * FROM orders; END; TABLE orders",
            "ABORT; SELECT * FROM orders",
            "SELECT 1; COMMIT/**/WORK; SELECT * FROM orders",
            "/*;*/COMMIT/*;*/; SELECT * FROM orders",
            "SELECT 1; COMMIT AND CHAIN; SELECT * FROM orders; COMMIT",
            "BEGIN; ROLLBACK AND CHAIN; SELECT * FROM orders; ROLLBACK",
        ] {
            let answers = a.say(text);
            assert!(
                rows(&answers).iter().any(|row| row == "1|acme|A-ROW|x") || !code(&answers).is_empty(),
                "{text}: {answers:?}"
            );
            a.say("ROLLBACK");
        }
    }),
    ("COMMIT in DO and CALL", |a| {
        for text in [
            "DO $$ BEGIN COMMIT; INSERT INTO scratch.stash SELECT secret FROM orders; COMMIT; END $$",
            "CALL run_twice('INSERT INTO scratch.stash SELECT secret FROM orders')",
            "CALL run_twice('SELECT set_con' || 'fig(''app.tenant_id'', ''globex'', false)'); SELECT * FROM orders",
            "CALL run_twice('SELECT set_con' || 'fig(''app.tenant_id'', ''globex'', false)')",
            "CALL run_twice('RESET' || ' ALL')",
        ] {
            a.say(text);
            a.say(STEAL);
            a.victim();
        }
        a.attack(
            0,
            &unnamed("CALL run_twice($1)", &[Some("SELECT set_config('app.tenant_id', 'globex', false)")]),
            1,
        );
        a.say(STEAL);
    }),
    ("AND CHAIN", |a| {
        for end in ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN"] {
            a.done("BEGIN; SELECT 1");
            a.done(end);
            assert_eq!(a.seen(STEAL), ["1|acme|A-ROW|x"], "{end}");
            a.attack(0, &unnamed(end, &[]), 1);
            let answers = a.attack(0, &unnamed(STEAL, &[]), 1);
            assert_eq!(rows(&answers), ["1|acme|A-ROW|x"], "{end}");
            a.say("ROLLBACK");
        }
    }),
    ("savepoints", |a| {
        a.done("BEGIN; SAVEPOINT s");
        a.done("SELECT 1");
        a.hidden("SELECT set_config('app.tenant_id', 'globex', true)");
        a.done("ROLLBACK TO s");
        assert_eq!(a.seen(STEAL), ["1|acme|A-ROW|x"]);
        a.say("SELECT 1/0");
        a.done("ROLLBACK TO s");
        assert_eq!(a.seen(STEAL), ["1|acme|A-ROW|x"]);
        a.done("RELEASE s");
        a.done("COMMIT");
    }),
    ("what was put in is undone", |a| {
        a.attack(
            0,
            &[
                query("BEGIN"),
                query("SAVEPOINT s"),
                parse("", "SELECT nothing"),
                bind("", "", &[]),
                execute("", 0),
                sync(),
                query("ROLLBACK TO s"),
                query(STEAL),
            ],
            5,
        );
        a.say("ROLLBACK");
        a.attack(
            0,
            &[
                parse("", "SELECT 1/0"),
                bind("", "", &[]),
                execute("", 0),
                sync(),
                parse("", STEAL),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ],
            2,
        );
    }),
    ("pipelines with errors", |a| {
        let one = |text: &str| vec![parse("", text), bind("", "", &[]), execute("", 0)];
        let frames = [
            one(STEAL),
            one("SELECT 1/0"),
            one(STEAL),
            vec![sync()],
            one(STEAL),
            vec![flush()],
            one("SELECT nothing"),
            vec![sync(), query(STEAL)],
        ];
        a.attack(0, &frames.concat(), 3);
        let frames =
            [one("BEGIN"), one("SELECT 1/0"), vec![sync()], one("ROLLBACK"), one(STEAL), vec![sync()]];
        a.attack(0, &frames.concat(), 2);
        // A query with no Sync before it.
        let frames = [one(STEAL), vec![query(STEAL)]];
        a.attack(0, &frames.concat(), 1);
    }),
    ("copy in a pipeline", |a| {
        a.attack(
            0,
            &[query("COPY scratch.stash FROM STDIN"), copy_data(b"x\n"), copy_done(), query(STEAL)],
            2,
        );
        a.attack(
            0,
            &[
                query("COPY orders (id, tenant_id) FROM STDIN"),
                copy_data(b"60\tglobex\n"),
                copy_done(),
                query(STEAL),
            ],
            2,
        );
    }),
    ("two-phase commit", |a| {
        a.done("BEGIN; INSERT INTO orders (id, secret) VALUES (70, 'A-70')");
        a.done("PREPARE TRANSACTION 'two'");
        assert_eq!(a.seen(STEAL), ["1|acme|A-ROW|x"]);
        a.victim();
        assert_eq!(code(&a.b[0].query("COMMIT PREPARED 'two'")), "");
        assert_eq!(a.seen("SELECT secret FROM orders WHERE id = 70"), ["A-70"]);
    }),
    ("fastpath", |a| {
        for (oid, arguments) in
            [(2078, vec!["app.tenant_id", "globex", "t"]), (2923, vec!["SELECT * FROM orders", "t", "t", ""])]
        {
            let answers = a.attack(0, &[function_call(oid, &arguments)], 1);
            assert_eq!(code(&answers), "42501");
        }
        a.done("BEGIN");
        let run = a.seen("SELECT 'run'::regproc::oid");
        let answers = a.attack(
            0,
            &[function_call(
                run[0].parse().unwrap(),
                &["SELECT set_config('app.tenant_id', 'globex', false)"],
            )],
            1,
        );
        assert_eq!(code(&answers), "42501");
        a.say("ROLLBACK");
    }),
    ("the name of the setting as a parameter", |a| {
        let answers = a.attack(
            0,
            &[
                parse("", "SELECT set_config($1, $2, true)"),
                bind("", "", &[Some("app.tenant_id"), Some("globex")]),
                execute("", 0),
                parse("", STEAL),
                bind("", "", &[]),
                execute("", 0),
                sync(),
            ],
            1,
        );
        assert_eq!(code(&answers), "42501");
    }),
    ("marks that are none", |a| {
        for text in [
            "SELECT '/* howdah.tenant=''globex'' */', * FROM orders",
            "SELECT $$/* howdah.tenant='globex' */$$, * FROM orders",
            "SELECT * FROM orders WHERE note <> '*/ /*howdah.tenant=''globex''*/'",
            "SELECT * FROM orders -- /* howdah.tenant='globex' */",
        ] {
            let answers = a.say(text);
            assert_eq!(rows(&answers).len(), usize::from(code(&answers).is_empty()), "{text}: {answers:?}");
        }
    }),
    ("marks for another tenant", |a| {
        for text in [
            "/* howdah.tenant='globex' */ SELECT * FROM orders",
            "SELECT * FROM orders /* howdah.tenant='globex' */",
            "SELECT 1 /* x */; SELECT * FROM orders /*howdah.tenant='globex'*/",
            "/* howdah.tenant='acme' */ SELECT * FROM orders /* howdah.tenant='globex' */",
            "/* howdah%2Etenant='globex' */ SELECT * FROM orders",
            "/* /* howdah.tenant='globex' */ */ SELECT * FROM orders",
        ] {
            a.say(text);
            a.attack(0, &unnamed(text, &[]), 1);
            a.say("ROLLBACK");
        }
    }),
    ("another tenant by SET", |a| {
        for text in [
            "SET howdah.tenant = 'globex'",
            "SET LOCAL howdah.tenant = 'globex'",
            "SELECT 1; SET howdah.tenant = 'globex'; SELECT * FROM orders",
            "SET howdah.tenant = E'glo\\x62ex'",
        ] {
            a.say(text);
            a.attack(0, &unnamed(text, &[]), 1);
            a.say("BEGIN; SELECT 1");
            a.say(text);
            a.say(STEAL);
            a.say("ROLLBACK");
        }
        assert_eq!(a.seen(STEAL), ["1|acme|A-ROW|x"]);
    }),
    ("names at login that are nearly the victim's", |a| {
        // Any tenant is allowed here: these are tenants of their own, or none at all.
        for tenant in [
            "GLOBEX",
            "globex ",
            " globex",
            "gl\u{43e}bex",
            "globex\u{200d}",
            "globex'",
            "globex\\",
            "../globex",
            "${globex}",
            "globex\n",
            "globex|1",
            "%67lobex",
        ] {
            let user = format!("{}.{tenant}", a.role);
            let parameters = [("user", user.as_str()), ("database", a.database.name.as_str())];
            if let Ok(mut wire) = Wire::try_login(("127.0.0.1", a.howdah.port), &parameters, PASSWORD) {
                let answers = wire.query(STEAL);
                assert!(rows(&answers).is_empty(), "{tenant:?}: {answers:?}");
                a.heard.extend(answers);
            }
        }
    }),
    ("startup parameters", |a| {
        let user = format!("{}.acme", a.role);
        for (name, value) in [
            ("app.tenant_id", "globex"),
            ("options", "-c app.tenant_id=globex"),
            ("options", "--app.tenant-id=globex"),
            ("options", "-c\\ app.tenant_id=globex"),
            ("options", "-c howdah.signature=x"),
            ("options", "-c role=postgres"),
            ("options", "-c session_preload_libraries=x"),
            ("options", "-c howdah.tenant=globex"),
            ("search_path", "scratch"),
        ] {
            let parameters = [("user", user.as_str()), ("database", a.database.name.as_str()), (name, value)];
            if let Ok(mut wire) = Wire::try_login(("127.0.0.1", a.howdah.port), &parameters, PASSWORD) {
                assert_eq!(name, "search_path", "{value}");
                let answers = wire.query("SELECT * FROM public.orders");
                a.heard.extend(answers);
            }
        }
    }),
    ("characters that hide SQL", |a| {
        a.say("SET client_encoding = 'SJIS'");
        let hidden = b"SELECT E'\x95\x5c', set_config('app.tenant_id', 'globex', true), (SELECT string_agg(secret, '') FROM orders) --'\0";
        let answers = a.attack(0, &[frame(b'Q', hidden)], 1);
        assert_eq!(code(&answers), "42501");
        let late = [
            query("RESET client_encoding"),
            query("SET client_encoding = 'GBK'"),
            frame(b'Q', hidden),
            query(STEAL),
        ];
        a.attack(0, &late, 4);
        // And by a function, so that only the server's report tells.
        a.say("RESET client_encoding");
        a.hidden("SELECT set_config('client_' || 'encoding', 'SJIS', false)");
        a.attack(0, &[frame(b'Q', hidden)], 1);
        a.say(STEAL);
    }),
    ("bytes that are no text", |a| {
        for text in [
            &b"SELECT '\xc0', secret FROM orders\0"[..],
            b"SELECT E'\xc0\\'', set_config('app.tenant_id', 'globex', true), '\0",
            b"/* howdah.tenant='\xc0' */ TABLE orders\0",
            b"SELECT 1\0; TABLE orders\0",
        ] {
            a.attack(0, &[frame(b'Q', text)], 1);
        }
    }),
    ("strings that are read in two ways", |a| {
        let hidden = r"SELECT '\', set_config($$app.tenant_id$$, $$globex$$, true), (SELECT string_agg(secret, $$ $$) FROM orders) --'";
        a.attack(0, &[query("SET standard_conforming_strings = off"), query(hidden), query(STEAL)], 3);
        a.say("RESET standard_conforming_strings");
        a.hidden("SELECT set_config('standard_' || 'conforming_strings', 'off', false)");
        a.attack(0, &[query(hidden)], 1);
        a.attack(0, &unnamed(hidden, &[]), 1);
        a.say(STEAL);
    }),
];
