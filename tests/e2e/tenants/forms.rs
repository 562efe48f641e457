//! What is injected, in every form in which a transaction may come.

use super::{ACME, ANY, GLOBEX, SEEN, code, config, login, shop};
use crate::support::Version;
use crate::support::wire::{
    Message, Wire, bind, close_statement, copy_data, copy_done, describe_portal, describe_statement, execute,
    function_call, parse, query, sync, tags,
};

fn rows(messages: &[Message]) -> Vec<String> {
    let row = |m: &Message| m.row().into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join(",");
    messages.iter().filter(|m| m.tag == b'D').map(row).collect()
}

fn x(sql: &str) -> Vec<Vec<u8>> {
    vec![parse("", sql), bind("", "", &[]), execute("", 0)]
}

fn batch(texts: &[&str]) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = texts.iter().flat_map(|text| x(text)).collect();
    frames.push(sync());
    frames
}

/// One client of acme through one server connection that a client of globex uses in between.
fn everywhere(name: &str, test: impl Fn(&mut Wire, &mut dyn FnMut())) {
    for version in Version::ALL {
        let database = shop(version, name);
        let howdah = config(1, &database, ANY).start();
        let mut wire = login(&howdah, &database, "app.acme");
        let mut other = login(&howdah, &database, "app.globex");
        let mut between = || assert_eq!(other.value(SEEN), GLOBEX);
        test(&mut wire, &mut between);
    }
}

#[test]
fn simple_queries() {
    everywhere("forms_simple", |wire, between| {
        between();
        assert_eq!(wire.value(SEEN), ACME);
        between();
        // Every transaction of a text has the tenant.
        for text in [
            "SELECT seen(); COMMIT; SELECT seen()",
            "BEGIN; SELECT seen(); COMMIT; SELECT seen()",
            "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT seen(); COMMIT; BEGIN; SELECT seen(); ROLLBACK",
            "SELECT seen(); ROLLBACK; /* ; */ SELECT seen() -- ;",
            "BEGIN; SELECT seen(); COMMIT AND CHAIN; SELECT seen(); COMMIT",
            "BEGIN; SAVEPOINT a; SELECT seen(); ROLLBACK TO a; SELECT seen(); COMMIT",
            "SELECT seen(); RESET ALL; SELECT seen()",
            "BEGIN; SELECT seen(); RESET ALL; SELECT seen(); END",
        ] {
            let answer = wire.query(text);
            assert_eq!(rows(&answer), [ACME, ACME], "{text}: {answer:?}");
            between();
        }
        assert_eq!(tags(&wire.query("SELECT seen(); SELECT 1/0; SELECT 1")), "TDCEZ");
        assert_eq!(tags(&wire.query("")), "IZ");
        assert_eq!(tags(&wire.query(" ; -- nothing")), "IZ");
        assert_eq!(tags(&wire.query("INSERT INTO orders (item) VALUES ('more')")), "CZ");
        assert_eq!(
            wire.query("DELETE FROM orders WHERE item = 'more' OR item = 'reactor'")[0].text(),
            "DELETE 1"
        );
        between();
    });
}

#[test]
fn transactions() {
    everywhere("forms_transactions", |wire, between| {
        for begin in ["BEGIN", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ", "begin work"] {
            assert_eq!(tags(&wire.query(begin)), "CZ");
            wire.query("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
            assert_eq!(wire.value("SHOW transaction_isolation"), "serializable");
            assert_eq!(wire.value(SEEN), ACME);
            wire.query("SAVEPOINT a");
            assert_eq!(code(&wire.query("SELECT 1/0")), "22012");
            assert_eq!(code(&wire.query(SEEN)), "25P02");
            wire.query("ROLLBACK TO a");
            assert_eq!(wire.value(SEEN), ACME);
            wire.query("COMMIT AND CHAIN");
            assert_eq!(wire.value(SEEN), ACME);
            wire.query("ROLLBACK AND CHAIN");
            assert_eq!(rows(&wire.exchange(&batch(&[SEEN]))), [ACME]);
            wire.query("COMMIT");
            between();
        }
        // In the extended protocol, the isolation level after BEGIN.
        assert_eq!(tags(&wire.exchange(&batch(&["BEGIN"]))), "12CZ");
        assert_eq!(tags(&wire.exchange(&batch(&["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"]))), "12CZ");
        assert_eq!(
            rows(&wire.exchange(&batch(&[SEEN, "SHOW transaction_isolation"]))),
            [ACME, "serializable"]
        );
        assert_eq!(tags(&wire.exchange(&batch(&["SAVEPOINT b", SEEN, "ROLLBACK TO b"]))), "12C12DC12CZ");
        assert_eq!(rows(&wire.exchange(&batch(&[SEEN]))), [ACME]);
        assert_eq!(tags(&wire.exchange(&batch(&["COMMIT"]))), "12CZ");
        between();
        // All in one batch, and what comes behind the COMMIT.
        let all = wire.exchange(&batch(&["BEGIN ISOLATION LEVEL SERIALIZABLE", SEEN, "COMMIT", SEEN]));
        assert_eq!(
            (tags(&all).as_str(), rows(&all)),
            ("12C12DC12C12DCZ", vec![ACME.to_owned(), ACME.to_owned()])
        );
        between();
        let all = wire.exchange(&batch(&[
            "BEGIN",
            SEEN,
            "COMMIT AND CHAIN",
            SEEN,
            "RESET ALL",
            SEEN,
            "ROLLBACK",
            SEEN,
        ]));
        assert_eq!(rows(&all), [ACME; 4]);
        between();
        // Two-phase commit.
        wire.query("BEGIN");
        wire.query("INSERT INTO copied (item) VALUES ('two-phase')");
        assert_eq!(code(&wire.query("PREPARE TRANSACTION 'form'")), "");
        between();
        assert_eq!(wire.query("COMMIT PREPARED 'form'")[0].text(), "COMMIT PREPARED");
        assert_eq!(wire.value("SELECT tenant_id FROM copied WHERE item = 'two-phase'"), "acme");
    });
}

#[test]
fn extended_batches_and_pipelines() {
    everywhere("forms_extended", |wire, between| {
        let mut frames = vec![parse("s", SEEN), describe_statement("s"), sync()];
        assert_eq!(tags(&wire.exchange(&frames)), "1tTZ");
        between();
        frames = vec![bind("", "s", &[]), describe_portal(""), execute("", 0), sync()];
        for _ in 0..3 {
            let answer = wire.exchange(&frames);
            assert_eq!((tags(&answer).as_str(), rows(&answer)), ("2TDCZ", vec![ACME.to_owned()]));
            between();
        }
        // Many batches in one write, with transactions among them and errors in between.
        let mut pipeline: Vec<Vec<u8>> = Vec::new();
        for text in [
            SEEN,
            "BEGIN",
            SEEN,
            "SELECT 1/0",
            SEEN,
            "ROLLBACK",
            SEEN,
            "BEGIN",
            "SAVEPOINT a",
            SEEN,
            "COMMIT",
            SEEN,
        ] {
            pipeline.extend(x(text));
            pipeline.push(sync());
        }
        pipeline.push(query(SEEN));
        pipeline.push(query("BEGIN"));
        pipeline.push(query(SEEN));
        pipeline.push(query("COMMIT"));
        pipeline.push(query(SEEN));
        wire.send(&pipeline);
        let answer = wire.read_ready(17);
        assert_eq!(rows(&answer), [ACME; 8], "{answer:?}");
        assert_eq!(answer.iter().filter(|m| m.tag == b'E').count(), 2);
        between();
        // Portals that are read in parts.
        wire.query("BEGIN");
        let parts =
            [parse("", "SELECT item FROM orders ORDER BY item"), bind("p", "", &[]), execute("p", 1), sync()];
        assert_eq!(rows(&wire.exchange(&parts)), ["anvil"]);
        assert_eq!(rows(&wire.exchange(&[execute("p", 0), sync()])), ["rope"]);
        wire.query("COMMIT");
        between();
        // Outside of a block these fail as they do elsewhere.
        for text in ["LOCK TABLE orders", "DECLARE c CURSOR FOR SELECT 1", "SAVEPOINT a"] {
            assert_eq!(code(&wire.query(text)), "25P01", "{text}");
            assert_eq!(code(&wire.exchange(&batch(&[text]))), "25P01", "{text}");
        }
        assert_eq!(tags(&wire.query("SET LOCAL work_mem = '5MB'")), "NCZ");
        assert_eq!(rows(&wire.query("DECLARE c CURSOR FOR SELECT seen(); FETCH c")), [ACME]);
        wire.query("DECLARE h CURSOR WITH HOLD FOR SELECT seen()");
        assert_eq!(rows(&wire.query("FETCH h")), [ACME]);
        wire.query("CLOSE h");
        between();
    });
}

#[test]
fn copy() {
    everywhere("forms_copy", |wire, between| {
        let answer = wire.query("COPY (SELECT item FROM orders ORDER BY item) TO STDOUT");
        assert_eq!(tags(&answer), "HddcCZ");
        assert_eq!(answer[1].text(), "anvil\n");
        wire.send(&[query("COPY copied (item) FROM STDIN")]);
        assert_eq!(tags(&wire.read_until(b'G')), "G");
        assert_eq!(tags(&wire.exchange(&[copy_data(b"one\ntwo\n"), copy_done()])), "CZ");
        let frames = [parse("", "COPY copied (item) FROM STDIN"), bind("", "", &[]), execute("", 0), sync()];
        wire.send(&frames);
        wire.read_until(b'G');
        assert_eq!(tags(&wire.exchange(&[copy_data(b"three\n"), copy_done(), sync()])), "CZ");
        assert_eq!(
            wire.value("SELECT string_agg(tenant_id || ' ' || item, ',' ORDER BY item) FROM copied"),
            "acme one,acme three,acme two"
        );
        between();
    });
}

#[test]
fn statements_that_share_a_transaction_with_nothing() {
    everywhere("forms_alone", |wire, between| {
        for (n, way) in ["simple", "extended", "prepared"].into_iter().enumerate() {
            let mut run = |text: &str| match way {
                "simple" => wire.query(text),
                "extended" => wire.exchange(&batch(&[text])),
                _ => {
                    wire.exchange(&[parse("alone", text), sync()]);
                    let answer = wire.exchange(&[bind("", "alone", &[]), execute("", 0), sync()]);
                    wire.exchange(&[close_statement("alone"), sync()]);
                    answer
                }
            };
            assert_eq!(code(&run("VACUUM orders")), "", "{way}");
            assert_eq!(code(&run(&format!("CALL twice('{way}')"))), "", "{way}");
            between();
            assert_eq!(
                code(&run(&format!(
                    "DO $$ BEGIN INSERT INTO copied (item) VALUES ('do {way}'); COMMIT;
                INSERT INTO copied (item) SELECT 'saw ' || seen(); END $$"
                ))),
                "",
                "{way}"
            );
            assert_eq!(
                code(&run("CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_item ON orders (item)")),
                "",
                "{way}"
            );
            assert_eq!(
                code(&run("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'HW001'; END $$")),
                "HW001",
                "{way}"
            );
            between();
            let seen =
                wire.value("SELECT count(*) || ' ' || min(tenant_id) || ' ' || max(tenant_id) FROM copied");
            assert_eq!(seen, format!("{} acme acme", 4 * (n + 1)), "{way}");
            assert_eq!(
                wire.value("SELECT count(*) FROM copied WHERE item = 'saw anvil rope'"),
                (n + 1).to_string()
            );
        }
        // Inside of a block they are statements like others.
        wire.query("BEGIN");
        assert_eq!(code(&wire.query("DO $$ BEGIN PERFORM seen(); END $$")), "");
        assert_eq!(wire.value(SEEN), ACME);
        assert_eq!(code(&wire.query("VACUUM orders")), "25001");
        wire.query("ROLLBACK");
        between();
        // Large objects by the fastpath.
        wire.query("BEGIN");
        assert_eq!(tags(&wire.exchange(&[function_call(957, &["393216"])])), "VZ");
        wire.query("ROLLBACK");
        assert_eq!(code(&wire.exchange(&[function_call(2078, &["app.tenant_id", "globex", "f"])])), "42501");
        between();
    });
}

#[test]
fn statements_that_commit_inside_of_a_batch() {
    everywhere("forms_late", |wire, between| {
        let gone = close_statement("gone");
        let mut expected = 0;
        let mut check = |wire: &mut Wire, what: &str, more: usize| {
            expected += more;
            let found = wire.value(
                "SELECT count(*) || ' ' || string_agg(DISTINCT coalesce(tenant_id, 'none'), ' ') FROM copied",
            );
            assert_eq!(found, format!("{expected} acme"), "{what}");
        };
        // Behind a Close, as drivers send it, it is alone.
        let answer = wire.exchange(&[vec![gone.clone()], batch(&["CALL twice('close')"])].concat());
        assert_eq!(tags(&answer), "312CZ");
        check(wire, "close", 2);
        between();
        assert_eq!(tags(&wire.exchange(&[vec![gone.clone()], batch(&["VACUUM orders"])].concat())), "312CZ");
        // Behind statements, and ahead of some. From 18 on Postgres does not let it commit there.
        let major: u32 = wire.value("SHOW server_version_num").parse::<u32>().unwrap() / 10_000;
        let answer = wire.exchange(&batch(&[SEEN, "CALL twice('behind')", SEEN]));
        if major < 18 {
            assert_eq!((tags(&answer).as_str(), rows(&answer)), ("12DC12C12DCZ", vec![ACME.to_owned(); 2]));
            check(wire, "behind", 2);
        } else {
            assert_eq!((tags(&answer).as_str(), code(&answer).as_str()), ("12DC12EZ", "2D000"));
        }
        between();
        check(wire, "behind", 0);
        let answer = wire.exchange(&batch(&["CALL twice('first')", SEEN]));
        assert_eq!(tags(&answer), "12C12DCZ");
        check(wire, "first", 2);
        between();
        // What failed in one batch is not there in the next.
        let fails = "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'HW001'; END $$";
        wire.send(&[batch(&[SEEN, fails]), batch(&["CALL twice('next')"]), batch(&[SEEN])].concat());
        let answer = wire.read_ready(3);
        assert_eq!((code(&answer).as_str(), rows(&answer)), ("HW001", vec![ACME.to_owned(); 2]));
        check(wire, "next", 2);
        between();
        // Where a transaction may be open.
        let pipeline =
            [batch(&["BEGIN"]), vec![gone.clone()], batch(&["DO $$ BEGIN PERFORM seen(); END $$"])];
        wire.send(
            &[pipeline.concat(), batch(&[SEEN]), batch(&["COMMIT"]), batch(&["CALL twice('end')"])].concat(),
        );
        let answer = wire.read_ready(5);
        assert_eq!((code(&answer).as_str(), rows(&answer)), ("", vec![ACME.to_owned()]));
        check(wire, "end", 2);
        between();
    });
}

#[test]
fn comments_where_answers_are_kept() {
    // The server keeps its answers to a batch until its Sync: what waits for them waits for ever.
    for version in Version::ALL {
        let database = shop(version, "forms_kept");
        let howdah = config(1, &database, ANY).start();
        let mut wire = login(&howdah, &database, "app");
        let gone = close_statement("gone");
        let acme = "/* howdah.tenant='acme' */ SELECT seen()";
        let globex = "/* howdah.tenant='globex' */ SELECT seen()";
        let both = [ACME, GLOBEX];
        for frames in [
            vec![batch(&["BEGIN", acme, "COMMIT"]), batch(&[globex])],
            vec![vec![gone.clone()], batch(&[acme]), vec![gone.clone()], batch(&[globex])],
            vec![batch(&["BEGIN"]), batch(&[acme]), batch(&["COMMIT"]), vec![gone.clone()], batch(&[globex])],
            vec![
                batch(&["BEGIN"]),
                vec![gone.clone()],
                batch(&[acme, "COMMIT"]),
                batch(&["BEGIN", globex]),
                batch(&["COMMIT"]),
            ],
            vec![x(acme), batch(&["COMMIT"]), vec![gone.clone()], batch(&[globex])],
            vec![batch(&[acme]), x("COMMIT"), batch(&[globex])],
        ] {
            let frames = frames.concat();
            let syncs = frames.iter().filter(|frame| frame[0] == b'S').count();
            wire.send(&frames);
            let answer = wire.read_ready(syncs);
            assert_eq!(
                (code(&answer).as_str(), rows(&answer)),
                ("", both.map(str::to_owned).to_vec()),
                "{frames:?}"
            );
        }
        // What was read one way is known when it is answered, though the next batch is open.
        let mut wire = login(&howdah, &database, "app.acme");
        for n in 0..20 {
            wire.send(&batch(&["DO $$ BEGIN PERFORM seen(); END $$"]));
            wire.send(&[gone.clone()]);
            std::thread::sleep(std::time::Duration::from_millis(n));
            wire.send(&batch(&[SEEN]));
            assert_eq!(tags(&wire.read_ready(2)), "12CZ312DCZ");
        }
        // In one batch it is not.
        let answer = wire.exchange(&batch(&["SET client_encoding = 'SJIS'", SEEN]));
        assert_eq!(code(&answer), "0A000");
        wire.send(&[x("SET client_encoding = 'SJIS'"), vec![query(SEEN)]].concat());
        assert_eq!(code(&wire.read_ready(1)), "0A000");
    }
}

#[test]
fn positions_point_into_the_clients_text() {
    everywhere("forms_positions", |wire, _| {
        let position = |messages: &[Message]| {
            messages.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'P')).unwrap_or_default()
        };
        assert_eq!(position(&wire.query("SELECT nothing FROM orders")), "8");
        assert_eq!(position(&wire.query("SELECT 'é', nothing")), "13");
        assert_eq!(position(&wire.query("SELECT 'é'; COMMIT; SELECT nothing")), "28");
        assert_eq!(position(&wire.exchange(&batch(&["SELECT nothing"]))), "8");
        assert_eq!(position(&wire.query("SELEC 1")), "1");
        wire.query("BEGIN");
        assert_eq!(position(&wire.query("SELECT nothing")), "8");
        wire.query("ROLLBACK");
    });
}

#[test]
fn one_text_under_two_tenants_two_roles_two_paths() {
    // CVE-2016-2193, CVE-2023-2455, CVE-2024-10976: a plan made for one and run for another.
    for version in Version::ALL {
        let database = shop(version, "forms_plans");
        database.query("DROP POLICY own ON orders; CREATE POLICY own ON orders USING (tenant_id = current_setting('app.tenant_id') AND current_user = 'app');
            DO $$ BEGIN CREATE ROLE reader_plans NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
            GRANT reader_plans TO app; GRANT SELECT ON orders TO reader_plans;
            CREATE POLICY reader ON orders TO reader_plans USING (current_user = 'reader_plans' AND item = 'stapler');
            CREATE SCHEMA other AUTHORIZATION app; CREATE TABLE other.orders (item text); INSERT INTO other.orders VALUES ('elsewhere');
            GRANT ALL ON other.orders TO app");
        let tenancy = "[tenancy]\n[tenants.acme]\n[tenants.globex]\n[tenants.reader]\nrole = \"reader_plans\"\n\
            [tenants.other]\nplacement = \"schema\"\nsearch_path = \"other\"\n";
        let howdah = config(1, &database, tenancy).start();
        let text = "SELECT coalesce(string_agg(item, ' ' ORDER BY item), '') FROM orders";
        let mut clients: Vec<(Wire, &str)> =
            [("acme", ACME), ("globex", GLOBEX), ("reader", "stapler"), ("other", "elsewhere")]
                .map(|(tenant, items)| (login(&howdah, &database, &format!("app.{tenant}")), items))
                .into();
        for (wire, _) in &mut clients {
            wire.exchange(&[parse("s", text), sync()]);
        }
        for round in 0..8 {
            for (wire, items) in &mut clients {
                let answer = wire.exchange(&[bind("", "s", &[]), execute("", 0), sync()]);
                assert_eq!(rows(&answer), [*items], "{round}");
                assert_eq!(wire.value(text), *items);
            }
        }
        database.query(
            "ALTER POLICY own ON orders USING (tenant_id = current_setting('app.tenant_id') AND item > 'b')",
        );
        assert_eq!(rows(&clients[0].0.exchange(&[bind("", "s", &[]), execute("", 0), sync()])), ["rope"]);
        database.query("REVOKE SELECT ON orders FROM reader_plans");
        assert_eq!(code(&clients[2].0.exchange(&[bind("", "s", &[]), execute("", 0), sync()])), "42501");
        database.query("GRANT SELECT ON orders TO reader_plans");
        assert_eq!(rows(&clients[2].0.exchange(&[bind("", "s", &[]), execute("", 0), sync()])), ["stapler"]);
    }
}
