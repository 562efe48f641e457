//! SQL text as an attack: each as it stands, and in the ways in which no reader of queries can see it.

use super::{Arena, FRESH, Version, query, unnamed};
use crate::support::wire::{bind, execute, parse, sync};

/// A name, a text, and what becomes of the text where it can be read and where it cannot.
struct Forgery {
    name: &'static str,
    text: &'static str,
    /// The SQLSTATE of the simple query; "" if it succeeds.
    open: &'static str,
    /// The SQLSTATE of `SELECT run($1)`.
    hidden: &'static str,
}

const fn f(name: &'static str, text: &'static str, open: &'static str, hidden: &'static str) -> Forgery {
    Forgery { name, text, open, hidden }
}

/// What follows in the same transaction: whatever can be seen is written down for later.
const LOOT: &str =
    "INSERT INTO scratch.stash SELECT to_json(o)::text FROM public.orders o WHERE secret <> 'A-ROW'";

const FORGERIES: &[Forgery] = &[
    // The setting.
    f("set local", "SET LOCAL app.tenant_id = 'globex'", "42501", ""),
    f("set", "SET app.tenant_id = 'globex'", "42501", ""),
    f("set quoted", "SET \"app.tenant_id\" = 'globex'", "42501", ""),
    f("set in capitals", "SET \"APP\".\"Tenant_ID\" = 'globex'", "42501", ""),
    f("set escaped", "SET U&\"!0061pp\" UESCAPE '!' .tenant_id = 'globex'", "42501", ""),
    f("set_config", "SELECT set_config('app.tenant_id', 'globex', true), secret FROM orders", "42501", ""),
    f("set_config for the session", "SELECT set_config('app.tenant_id', 'globex', false)", "42501", ""),
    f("set_config in a CTE", "WITH x AS MATERIALIZED (SELECT set_config('app.tenant_id', 'globex', true))
        INSERT INTO scratch.stash SELECT secret FROM x, orders", "42501", ""),
    f("set_config by a name that is put together", "SELECT set_config('app.' || 'tenant_id', 'globex', true)", "42501", ""),
    f("set_config by a cast that cuts", "SELECT set_config('app.tenant_id_'::varchar(13), 'globex', true)", "42501", ""),
    f("set_config behind a string in pieces", "SELECT E'a'\n'b\\'' , set_config('app.tenant_id', 'globex', true) --'", "42501", ""),
    f("set_config by names in pg_settings", "SELECT set_config(name, 'globex', true) FROM pg_settings WHERE name LIKE 'app.%'", "42501", ""),
    f("update pg_settings", "UPDATE pg_settings SET setting = 'globex' WHERE name = 'app.tenant_id'", "42501", ""),
    f("update a view on pg_settings", "CREATE TEMP VIEW v AS SELECT * FROM pg_settings; UPDATE v SET setting = 'globex' WHERE name = 'app.tenant_id'", "42501", ""),
    f("reset", "RESET app.tenant_id", "42501", ""),
    f("set to default", "SET app.tenant_id TO DEFAULT", "42501", ""),
    f("empty", "SELECT set_config('app.tenant_id', '', false)", "42501", ""),
    f("reset all", "RESET ALL", "", ""),
    f("discard all", "DISCARD ALL", "", "25001"),
    f("function with SET", "CREATE FUNCTION scratch.f() RETURNS SETOF public.orders LANGUAGE sql SET app.tenant_id = 'globex'
        AS 'SELECT * FROM public.orders'; INSERT INTO scratch.stash SELECT secret FROM scratch.f()", "42501", "?"),
    f("aggregate of set_config", "CREATE AGGREGATE scratch.cfg(text, bool) (sfunc = set_config, stype = text, initcond = 'app.tenant_id');
        SELECT scratch.cfg('globex', true)", "42501", ""),
    f("operator of set_config", "CREATE FUNCTION scratch.sc(text, text) RETURNS text LANGUAGE sql RETURN set_config($1, $2, true);
        CREATE OPERATOR scratch.<<<< (leftarg = text, rightarg = text, function = scratch.sc);
        SELECT 'app.tenant_id' OPERATOR(scratch.<<<<) 'globex'", "42501", ""),
    f("query_to_xml", "INSERT INTO scratch.stash SELECT query_to_xml('select set_con' || 'fig(''app.tenant_id'', ''globex'', true)', true, true, '')::text
        || query_to_xml('select * from orders', true, true, '')", "", ""),
    f("ts_stat", "SELECT * FROM ts_stat('select set_config(''app.tenant_id'', ''globex'', true)::tsvector')", "42501", ""),
    f("look-alikes", "SET app.tenant_\u{131}d = 'globex'; SET \u{430}pp.tenant_id = 'globex'; SET \"app.tenant_id\u{200b}\" = 'globex'", "42501", ""),
    f("look-alike letters", "SET \"\u{430}pp\".tenant_id = 'globex'", "42501", ""),
    // The signature.
    f("no signature", "SET app.tenant_id = 'globex'; SET howdah.signature = ''", "0A000", ""),
    f("null signature", "SELECT set_config('app.tenant_id', 'globex', true), set_config('howdah.signature', NULL, true)", "42501", ""),
    f("made up signature", "SELECT set_config('app.tenant_id', 'globex', true), set_config('howdah.signature',
        'v1.' || extract(epoch FROM now())::bigint || '.' || repeat('0', 64), true)", "42501", ""),
    f("own signature, another time", "SELECT set_config('app.tenant_id', 'globex', true), set_config('howdah.signature', 'v1.' ||
        (split_part(s, '.', 2)::bigint + 1) || '.' || split_part(s, '.', 3), true) FROM current_setting('howdah.signature') s", "42501", ""),
    f("own signature in capitals", "SELECT set_config('app.tenant_id', 'GLOBEX', true), set_config('howdah.signature', upper(current_setting('howdah.signature')), true)", "42501", ""),
    f("huge signature", "SELECT set_config('app.tenant_id', 'globex', true), set_config('howdah.signature', repeat('v1.1.0', 200000), true)", "42501", ""),
    f("signature with a time that is none", "SELECT set_config('app.tenant_id', 'globex', true), set_config('howdah.signature', 'v1.1e9.' || repeat('0', 64), true)", "42501", ""),
    f("tenant that swallows the time", "SELECT set_config('app.tenant_id', split_part(s, '.', 2) || '|acme', true), set_config('howdah.signature',
        'v1..' || split_part(s, '.', 3), true) FROM current_setting('howdah.signature') s", "42501", ""),
    f("guesses", "DO $$ DECLARE g text; BEGIN PERFORM set_config('app.tenant_id', 'globex', true);
        FOR n IN 1..2000 LOOP g := encode(sha256(n::text::bytea), 'hex');
            PERFORM set_config('howdah.signature', 'v1.' || extract(epoch FROM now())::bigint || '.' || g, true);
            IF howdah.tenant_id() IS NOT NULL THEN RAISE EXCEPTION 'believed'; END IF; END LOOP; END $$", "42501", ""),
    f("signature of others, in pg_settings", "INSERT INTO scratch.stash SELECT setting FROM pg_settings", "", ""),
    f("signature of others, in pg_stat_activity", "INSERT INTO scratch.stash SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()", "", ""),
    f("signature of others, in pg_prepared_statements", "INSERT INTO scratch.stash SELECT p::text FROM pg_prepared_statements p", "", ""),
    f("signature of others, in pg_cursors", "INSERT INTO scratch.stash SELECT c::text FROM pg_cursors c", "", ""),
    // The key and the function.
    f("the key", "SELECT * FROM howdah.signing_key", "42501", "42501"),
    f("the key by COPY", "COPY howdah.signing_key TO STDOUT", "42501", "0A000"),
    f("the key is changed", "UPDATE howdah.signing_key SET inner_block = repeat('a', 64)::bytea", "42501", "42501"),
    f("the function's text", "INSERT INTO scratch.stash SELECT pg_get_functiondef('howdah.tenant_id'::regproc)", "", ""),
    f("another function in its place", "CREATE OR REPLACE FUNCTION howdah.tenant_id() RETURNS text LANGUAGE sql AS 'SELECT ''globex'''", "42501", "42501"),
    f("another function in its schema", "CREATE FUNCTION howdah.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'", "42501", "42501"),
    f("the schema goes", "DROP SCHEMA howdah CASCADE", "42501", "42501"),
    f("shadows of its parts", "CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS 'SELECT ''\\x00''::bytea';
        CREATE FUNCTION pg_temp.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''-infinity''::timestamptz';
        CREATE FUNCTION pg_temp.current_setting(text, bool) RETURNS text LANGUAGE sql AS 'SELECT ''globex''';
        CREATE DOMAIN pg_temp.text AS pg_catalog.text; CREATE DOMAIN pg_temp.record AS pg_catalog.text;
        SET search_path = pg_temp, pg_catalog; SELECT set_config('app.tenant_id', 'globex', true)", "42501", "?"),
    f("operators before its own", "CREATE FUNCTION scratch.yes(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
        CREATE OPERATOR scratch.= (leftarg = text, rightarg = text, function = scratch.yes);
        CREATE FUNCTION scratch.cat(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''x''';
        CREATE OPERATOR scratch.|| (leftarg = text, rightarg = text, function = scratch.cat);
        SET search_path = scratch, pg_catalog, public", "", ""),
    f("plans in messages", "SET client_min_messages = log; SET debug_print_plan = on; SET debug_print_parse = on; SET debug_print_rewritten = on;
        SET debug_pretty_print = off; SET log_parameter_max_length_on_error = -1; SELECT howdah.tenant_id(), count(*) FROM orders", "", ""),
    f("debug messages", "SET client_min_messages = debug5; SET plpgsql.extra_errors = 'all'; SET plpgsql.extra_warnings = 'all';
        SELECT count(*) FROM orders", "", ""),
    f("settings that code depends on", "SET transform_null_equals = on; SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Etc/GMT-14'; SET extra_float_digits = -15;
        SET bytea_output = 'escape'; SET IntervalStyle = 'sql_standard'; SET xmlbinary = 'hex'; SET row_security = off; SELECT howdah.tenant_id()", "", "42501"),
    // Around the policy.
    f("row_security off", "SET row_security = off; SELECT * FROM orders", "42501", "42501"),
    f("the policy", "DROP POLICY howdah_tenant ON orders", "42501", "42501"),
    f("the table's security", "ALTER TABLE orders DISABLE ROW LEVEL SECURITY", "42501", "42501"),
    f("truncate", "TRUNCATE orders", "42501", "42501"),
    f("a trigger on the table", "CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "42501", "42501"),
    f("a rule on the table", "CREATE RULE r AS ON INSERT TO orders DO ALSO INSERT INTO scratch.stash VALUES (NEW.secret)", "42501", "42501"),
    f("a foreign key to the table", "CREATE TABLE scratch.child (id int REFERENCES orders)", "42501", "42501"),
    f("a child of the table", "CREATE TABLE scratch.child () INHERITS (orders)", "42501", "42501"),
    f("write for another", "INSERT INTO orders VALUES (50, 'globex', 'x')", "42501", "42501"),
    f("give away", "UPDATE orders SET tenant_id = 'globex'", "42501", "42501"),
    f("take over a row", "INSERT INTO orders VALUES (2, 'acme', 'mine') ON CONFLICT (id) DO UPDATE SET tenant_id = 'acme', note = orders.secret", "42501", "42501"),
    f("a duplicate's detail", "INSERT INTO orders VALUES (2, 'acme', 'mine')", "23505", "23505"),
    f("merge", "INSERT INTO orders VALUES (2, 'acme', 'mine') ON CONFLICT DO NOTHING; UPDATE orders SET note = 'hit' WHERE id = 2; DELETE FROM orders WHERE id = 2", "", ""),
    f("delete and update all", "UPDATE orders SET note = 'hit'; DELETE FROM orders", "", ""),
    f("lock rows", "SELECT * FROM orders FOR UPDATE", "", ""),
    f("copy", "COPY orders TO STDOUT", "", "0A000"),
    f("copy to a program", "COPY (SELECT 1) TO PROGRAM 'cat'", "42501", "42501"),
    f("files", "SELECT pg_read_file('postgresql.conf'), pg_ls_dir('.')", "42501", "42501"),
    f("tablesample", "SELECT * FROM orders TABLESAMPLE SYSTEM (100)", "", ""),
    f("statistics", "INSERT INTO scratch.stash SELECT s::text FROM pg_stats s WHERE tablename = 'orders'; INSERT INTO scratch.stash SELECT s::text FROM pg_stats_ext s", "", ""),
    f("explain", "EXPLAIN (ANALYZE, VERBOSE, BUFFERS) SELECT * FROM orders", "", ""),
    f("a leaky predicate", "CREATE FUNCTION scratch.leak(text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'leak %', $1;
        INSERT INTO scratch.stash VALUES ($1); RETURN true; END $$; SELECT * FROM orders WHERE scratch.leak(secret)", "", ""),
    f("a predicate that says it does not leak", "CREATE FUNCTION scratch.leak(text) RETURNS bool LANGUAGE sql LEAKPROOF AS 'SELECT true'", "42501", "42501"),
    f("an error that shows a value", "SELECT secret::int FROM orders", "22P02", "22P02"),
    f("an error in a predicate", "SELECT * FROM orders WHERE 1 / (id - 2) > 0", "", ""),
    f("a materialized view", "CREATE MATERIALIZED VIEW scratch.mv AS SELECT * FROM orders; SELECT * FROM scratch.mv", "", ""),
    f("a view", "CREATE VIEW scratch.v AS SELECT * FROM orders; SELECT * FROM scratch.v", "", ""),
    f("security definer of its own", "CREATE FUNCTION scratch.d() RETURNS SETOF public.orders LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM public.orders';
        SELECT * FROM scratch.d()", "", ""),
    f("parallel workers", "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
        SELECT count(*) FROM orders", "", ""),
    f("generic plans", "SET plan_cache_mode = force_generic_plan; PREPARE p AS SELECT * FROM orders; EXECUTE p", "", ""),
    f("an immutable wrapper", "CREATE FUNCTION scratch.who() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''globex''::text'; SELECT * FROM orders WHERE scratch.who() = tenant_id", "", ""),
    // Roles.
    f("set role", "SET ROLE postgres", "42501", "42501"),
    f("set session authorization", "SET SESSION AUTHORIZATION postgres", "42501", "42501"),
    f("reset role", "RESET ROLE; RESET SESSION AUTHORIZATION", "42501", ""),
    f("alter role", "ALTER ROLE CURRENT_USER SET app.tenant_id = 'globex'; ALTER ROLE CURRENT_USER SET howdah.signature = 'x'", "42501", "?"),
    f("grant", "GRANT postgres TO CURRENT_USER", "42501", "42501"),
    f("default privileges", "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC; ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC", "", ""),
    f("an extension", "CREATE EXTENSION dblink", "?", "?"),
    f("load", "LOAD 'auto_explain'", "42501", "42501"),
    f("a language of its own", "CREATE FUNCTION scratch.c() RETURNS int LANGUAGE c AS 'libc', 'getpid'", "42501", "42501"),
    // What stays on the connection.
    f("a table before the table", "CREATE TEMP TABLE orders AS SELECT * FROM public.orders; ALTER TABLE pg_temp.orders ALTER tenant_id SET DEFAULT 'globex'", "", ""),
    f("a view before the table", "CREATE TEMP VIEW orders AS SELECT 2 AS id, 'globex'::text AS tenant_id, 'caught'::text AS secret", "", ""),
    f("the schema's own table before the table", "CREATE TABLE scratch.orders (LIKE public.orders); SET search_path = scratch, public", "", ""),
    f("its own schema in the path", "CREATE VIEW scratch.orders AS SELECT * FROM public.orders; SELECT set_config('search_path', 'scratch', false)", "", ""),
    f("a cursor with hold", "DECLARE h CURSOR WITH HOLD FOR SELECT * FROM orders", "", ""),
    f("prepared statements in the place of all there are", "DO $$ DECLARE p record; BEGIN
        FOR p IN SELECT name FROM pg_prepared_statements LOOP EXECUTE format('DEALLOCATE %I', p.name);
            EXECUTE format('PREPARE %I AS INSERT INTO scratch.stash SELECT secret FROM public.orders RETURNING what', p.name); END LOOP;
        FOR n IN 1..60 LOOP BEGIN EXECUTE format('PREPARE howdah_%s AS INSERT INTO scratch.stash SELECT secret FROM public.orders RETURNING what', n);
            EXCEPTION WHEN duplicate_prepared_statement THEN NULL; END; END LOOP; END $$", "", ""),
    f("listen", "LISTEN gossip", "42501", ""),
    f("notify", "NOTIFY gossip, 'x'", "", ""),
    f("advisory locks", "SELECT pg_advisory_lock(7), pg_advisory_lock_shared(8)", "", ""),
    f("timeouts", "SET statement_timeout = 1000; SET lock_timeout = 1; SET idle_in_transaction_session_timeout = 1000", "", ""),
    f("read only", "SET default_transaction_read_only = on; SET default_transaction_isolation = 'serializable'", "", ""),
    f("session characteristics", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "", ""),
    f("strings", "SET standard_conforming_strings = off; SET backslash_quote = on", "", ""),
    f("encoding", "SET client_encoding = 'LATIN1'", "", ""),
    f("encoding that hides", "SET client_encoding = 'SJIS'", "", ""),
    f("its own settings", "SET app.planted = 'x'; SET work_mem = '77MB'", "", ""),
    f("large objects", "SELECT lo_create(4711); INSERT INTO scratch.stash SELECT convert_from(lo_get(oid), 'LATIN1') FROM pg_largeobject_metadata", "", ""),
    f("sequences", "CREATE TEMP SEQUENCE orders_id_seq; SELECT nextval('orders_id_seq')", "", ""),
    f("an operator in its own schema", "CREATE FUNCTION scratch.eq(int, int) RETURNS bool LANGUAGE sql AS 'SELECT true';
        CREATE OPERATOR scratch.= (leftarg = int, rightarg = int, function = scratch.eq); SET search_path = scratch, pg_catalog, public", "", ""),
    f("a cast of its own types", "CREATE TYPE scratch.t AS (a text); CREATE FUNCTION scratch.c(scratch.t) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
        CREATE CAST (scratch.t AS text) WITH FUNCTION scratch.c(scratch.t) AS IMPLICIT", "", ""),
    f("code in every corner", "CREATE FUNCTION scratch.peek() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
            PERFORM set_config('app.' || 'tenant_id', 'globex', true); INSERT INTO scratch.stash SELECT secret FROM public.orders; RETURN 'x'; END $$;
        CREATE FUNCTION scratch.fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM scratch.peek(); RETURN NEW; END $$;
        CREATE TABLE scratch.t (a text DEFAULT scratch.peek() CHECK (scratch.peek() = 'x'));
        CREATE TRIGGER t BEFORE INSERT ON scratch.t FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION scratch.fired();
        CREATE DOMAIN scratch.d AS text CHECK (scratch.peek() = VALUE); INSERT INTO scratch.t DEFAULT VALUES; SELECT 'x'::scratch.d", "42501", ""),
    f("others are thrown out", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()", "", ""),
];

/// `ways`: see [`Arena::forge`].
fn forge(version: Version, signed: bool, name: &str, ways: &[u8]) {
    let mut arena = Arena::new(version, name, signed);
    let fresh = FRESH.replace("{app}", &arena.role).replace("{name}", name);
    let mut wrong = Vec::new();
    for forgery in FORGERIES {
        for &way in ways {
            // What is put together on the server, the guard does not see; without a signature there is no key.
            let of_signed = forgery.name == "query_to_xml" || forgery.text.contains("howdah.signing_key");
            if !signed && (of_signed || forgery.text.contains("howdah.tenant_id")) {
                continue;
            }
            arena.database.query(&fresh);
            arena.begin(&format!("{} ({way})", forgery.name));
            let (answers, expected) = arena.forge(forgery, way);
            let code = super::super::code(&answers);
            if expected != "?" && code != expected {
                wrong.push(format!(
                    "{} ({way}): {code:?} and not {expected:?}: {:?}",
                    forgery.name,
                    answers.iter().find(|m| m.tag == b'E')
                ));
            }
            arena.judge();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl Arena {
    /// Sends a forgery in one of its ways; returns the answers and which SQLSTATE there should be.
    fn forge(&mut self, forgery: &Forgery, way: u8) -> (Vec<crate::support::wire::Message>, &'static str) {
        let single = !forgery.text.contains(';');
        let hex: String = forgery.text.bytes().map(|b| format!("{b:02x}")).collect();
        match way {
            0 => {
                let answers = self.attack(0, &[query(forgery.text)], 1);
                self.attack(0, &[query(LOOT)], 1);
                (answers, forgery.open)
            }
            1 => {
                let answers = self.attack(0, &unnamed(forgery.text, &[]), 1);
                self.attack(0, &unnamed(LOOT, &[]), 1);
                (answers, if single { forgery.open } else { "?" })
            }
            2 => {
                // In a transaction, and then the victim's rows in the same one, with the victim on the other
                // connection in between.
                self.attack(0, &[query("BEGIN")], 1);
                let answers = self.attack(0, &[query(forgery.text)], 1);
                self.attack(0, &[query(LOOT)], 1);
                self.victim();
                self.attack(0, &[query("COMMIT; SELECT * FROM orders")], 1);
                (answers, if forgery.open.is_empty() { "?" } else { forgery.open })
            }
            3 => {
                // As a parameter, with the loot in the same batch.
                let mut frames =
                    vec![parse("", "SELECT run($1)"), bind("", "", &[Some(forgery.text)]), execute("", 0)];
                frames.extend([parse("", LOOT), bind("", "", &[]), execute("", 0), sync()]);
                (self.attack(0, &frames, 1), forgery.hidden)
            }
            _ => {
                let text = format!(
                    "DO $$ BEGIN EXECUTE convert_from(decode('{hex}', 'hex'), 'UTF8'); EXECUTE {}; END $$; SELECT * FROM orders; {LOOT}",
                    format_args!("$loot${LOOT}$loot$")
                );
                let answers = self.attack(0, &[query(&text)], 1);
                // And on the slow path, with transactions inside.
                self.attack(0, &[query(&format!("DO $$ BEGIN EXECUTE convert_from(decode('{hex}', 'hex'), 'UTF8'); COMMIT; {LOOT}; END $$"))], 1);
                (answers, forgery.hidden)
            }
        }
    }
}

#[test]
fn signed_tenants_hold_against_every_text() {
    forge(Version::V15, true, "attacks_forged", &[0, 1, 2, 3, 4]);
}

#[test]
fn signed_tenants_hold_in_the_oldest_version() {
    forge(Version::V14, true, "attacks_forged", &[0, 4]);
}

#[test]
fn signed_tenants_hold_in_the_newest_version() {
    forge(Version::V18, true, "attacks_forged", &[3, 4]);
}

/// Without a signature: what can be read is refused, and what is left behind is seen and removed.
#[test]
fn plain_tenants_hold_against_what_can_be_read() {
    forge(Version::V15, false, "attacks_plain", &[0, 1, 2]);
}
