//! What a client with a tenant may not do, and what it still may.

use super::{ACME, ANY, GLOBEX, SEEN, code, config, login, shop};
use crate::support::wire::{Message, Wire, bind, execute, parse, query, sync};
use crate::support::{PASSWORD, Version};

fn extended(wire: &mut Wire, text: &str) -> Vec<Message> {
    wire.exchange(&[parse("", text), bind("", "", &[]), execute("", 0), sync()])
}

/// Ways to another tenant, role or user. `{}` stands for the setting.
const FORGERIES: &[&str] = &[
    "SET app.tenant_id = 'globex'",
    "SET SESSION app.tenant_id TO 'globex'",
    "SET LOCAL app.tenant_id = 'globex'",
    "set /* */ App . Tenant_Id = globex",
    "SET \"app\".\"tenant_id\" = 'globex'",
    "SET \"app.tenant_id\" = 'globex'",
    "SET U&\"\\0061pp\".tenant_id = 'globex'",
    "SET U&\"!0061pp\" UESCAPE '!' . tenant_id = 'globex'",
    "RESET app.tenant_id",
    "RESET \"APP\".tenant_id",
    "SELECT 1; SET app.tenant_id = 'globex'",
    "BEGIN; SET app.tenant_id = 'globex'; SELECT seen()",
    "SELECT set_config('app.tenant_id', 'globex', false)",
    "SELECT set_config('app.tenant_id', 'globex', true), seen()",
    "SELECT pg_catalog.set_config('app.tenant_id', 'globex', false)",
    "SELECT \"set_config\"('app.tenant_id', 'globex', false)",
    "SELECT U&\"set\\005fconfig\"('app.tenant_id', 'globex', false)",
    "SELECT SET_CONFIG /* x */ ( 'APP.TENANT_ID' , 'globex', false)",
    "SELECT set_config('app.' || 'tenant_id', 'globex', false)",
    "SELECT set_config(E'app\\x2etenant_id', 'globex', false)",
    "SELECT set_config(U&'app\\002etenant_id', 'globex', false)",
    "SELECT set_config($$app.tenant_id$$, 'globex', false)",
    "SELECT set_config(setting_name => 'app.tenant_id', new_value => 'globex', is_local => false)",
    "WITH x AS (SELECT set_config('app.tenant_id', 'globex', false)) SELECT seen() FROM x",
    "EXPLAIN ANALYZE SELECT set_config('app.tenant_id', 'globex', false)",
    "PREPARE p AS SELECT set_config('app.tenant_id', $1, false)",
    "COPY (SELECT set_config('app.tenant_id', 'globex', false)) TO STDOUT",
    "CREATE TABLE t AS SELECT set_config('app.tenant_id', 'globex', false)",
    "SELECT set_config(name, 'globex', false) FROM (VALUES ('app.tenant_id')) v (name)",
    "UPDATE pg_settings SET setting = 'globex' WHERE name = 'app.tenant_id'",
    "UPDATE pg_catalog.\"pg_settings\" SET setting = 'x' WHERE name = 'app.tenant_id'",
    "ALTER ROLE app SET app.tenant_id = 'globex'",
    "ALTER ROLE CURRENT_USER IN DATABASE x SET app.tenant_id = 'globex'",
    "ALTER DATABASE x SET app.tenant_id TO 'globex'",
    "ALTER USER app SET role = 'x'",
    "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql SET app.tenant_id = 'globex' AS 'SELECT seen()'",
    "ALTER FUNCTION seen() SET app.tenant_id = 'globex'",
    "DO $$ BEGIN PERFORM set_config('app.tenant_id', 'globex', false); END $$",
    "DO $$ BEGIN SET app.tenant_id = 'globex'; END $$",
    "SELECT query_to_xml('SELECT set_config(''app.tenant_id'', ''globex'', false)', true, true, '')",
    "SET ROLE postgres",
    "SET LOCAL ROLE app",
    "SET SESSION ROLE NONE",
    "RESET ROLE",
    "SET role TO app",
    "SET SESSION AUTHORIZATION app",
    "SET LOCAL SESSION AUTHORIZATION DEFAULT",
    "RESET SESSION AUTHORIZATION",
    "SELECT set_config('role', 'app', false)",
    "SELECT set_config('howdah.signature', 'x', false)",
    "SELECT set_config('howdah.tenant', 'globex', false)",
];

#[test]
fn forgeries_are_refused_in_both_protocols() {
    let database = shop(Version::V15, "refused_forgeries");
    let howdah = config(1, &database, ANY).start();
    let mut wire = login(&howdah, &database, "app.acme");
    let mut other = login(&howdah, &database, "app.globex");
    for text in FORGERIES {
        let answer = wire.query(text);
        let refusal = answer.iter().find(|m| m.tag == b'E').unwrap_or_else(|| panic!("{text}: {answer:?}"));
        assert!(["42501", "0A000"].contains(&refusal.sqlstate().as_str()), "{text}: {refusal:?}");
        assert!(refusal.field(b'H').is_some(), "{text}: a hint");
        assert_eq!(wire.value(SEEN), ACME, "{text}");
        if !text.contains(';') {
            let code = code(&extended(&mut wire, text));
            assert!(["42501", "0A000"].contains(&code.as_str()), "{text}: {code}");
            assert_eq!(wire.value(SEEN), ACME, "{text}");
        }
        // In a block it aborts the block.
        if !text.starts_with("BEGIN") {
            wire.query("BEGIN");
            assert_eq!(wire.value(SEEN), ACME);
            assert!(!code(&wire.query(text)).is_empty(), "{text}");
            assert_eq!(code(&wire.query(SEEN)), "25P02", "{text}");
            wire.query("ROLLBACK");
        }
        assert_eq!(other.value(SEEN), GLOBEX, "{text}");
    }
    // A name as a parameter.
    let frames = [
        parse("", "SELECT set_config($1, $2, false)"),
        bind("", "", &[Some("app.tenant_id"), Some("globex")]),
        execute("", 0),
        sync(),
    ];
    assert_eq!(code(&wire.exchange(&frames)), "42501");
}

#[test]
fn what_drivers_do_is_not_refused() {
    let database = shop(Version::V15, "refused_not");
    database.query("CREATE TABLE users (name text, role text); ALTER TABLE users OWNER TO app; INSERT INTO users VALUES ('a', 'b')");
    let howdah = config(1, &database, ANY).start();
    let mut wire = login(&howdah, &database, "app.acme");
    let mut other = login(&howdah, &database, "app.globex");
    for text in [
        "SET client_encoding TO 'UTF8'",
        "SET standard_conforming_strings = on",
        "SET client_min_messages TO warning",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET TIME ZONE 'Europe/Berlin'",
        "SELECT set_config('timezone', 'UTC', false)",
        "RESET ALL",
        "DISCARD ALL",
        "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL",
        "UPDATE users SET role = 'admin', name = 'SET app.tenant_id = x'",
        "SELECT 'set_config(''app.tenant_id'')', \"role\" FROM users -- SET ROLE x",
        "SELECT current_setting('app.tenant_id')",
        "SHOW app.tenant_id",
        "SELECT * FROM pg_settings WHERE name = 'role'",
        "SELECT E'it\\'s', 'a\\b'",
    ] {
        assert_eq!(code(&wire.query(text)), "", "{text}");
        assert_eq!(wire.value(SEEN), ACME, "{text}");
        assert_eq!(code(&extended(&mut wire, text.split(';').next().unwrap())), "", "{text}");
        assert_eq!(other.value(SEEN), GLOBEX);
    }
    wire.query("SET TIME ZONE 'Asia/Tokyo'");
    wire.query("DISCARD ALL");
    assert_eq!(wire.value("SHOW timezone"), "UTC", "its own settings are reset");
    assert_eq!(wire.value(SEEN), ACME, "and the tenant stays");
}

#[test]
fn strings_that_could_be_read_in_two_ways() {
    let database = shop(Version::V15, "refused_readings");
    let howdah = config(1, &database, ANY).start();
    let mut wire = login(&howdah, &database, "app.acme");
    // With standard_conforming_strings off, the call is code; with it on, it is text.
    let hidden = r"SELECT '\'', set_config($$app.tenant_id$$, $$globex$$, false), ''";
    wire.send(&[query("SET standard_conforming_strings = off"), query(hidden), query(SEEN)]);
    let answer = wire.read_ready(3);
    assert_eq!(code(&answer), "42501", "{answer:?}");
    assert_eq!(wire.value(SEEN), ACME);
    assert_eq!(code(&wire.query(hidden)), "42501");
    let two = r"SELECT '\'; COMMIT; SELECT seen(); --'";
    assert_eq!(code(&wire.query(two)), "42501");
    wire.query("SET standard_conforming_strings = on");
    // In Shift JIS the second byte of a character may be a backslash.
    let mut texts = vec![query("SET client_encoding = 'SJIS'")];
    let mut hidden = b"SELECT E'\x83\x5c', set_config('app.tenant_id', 'globex', false), '".to_vec();
    hidden.extend_from_slice(b"'");
    texts.push(crate::support::wire::frame(b'Q', &[hidden.as_slice(), &[0]].concat()));
    wire.send(&texts);
    assert_eq!(code(&wire.read_ready(2)), "42501");
    assert_eq!(wire.value(SEEN), ACME);
}

#[test]
fn a_roles_default_does_not_change_how_texts_are_read() {
    let database = shop(Version::V15, "refused_default");
    database.query("ALTER ROLE app IN DATABASE refused_default SET standard_conforming_strings = off");
    let howdah = config(1, &database, ANY).start();
    let mut wire = login(&howdah, &database, "app.acme");
    assert_eq!(wire.value("SHOW standard_conforming_strings"), "on");
    assert_eq!(wire.value(r"SELECT 'a\b' || seen()"), format!(r"a\b{ACME}"));
}

#[test]
fn startup_parameters_are_no_way_in() {
    let database = shop(Version::V15, "refused_startup");
    let howdah = config(1, &database, ANY).start();
    for (name, value) in [
        ("app.tenant_id", "globex"),
        ("APP.TENANT_ID", "globex"),
        ("options", "-c app.tenant_id=globex"),
        ("options", "--app.tenant-id=globex"),
        ("options", "-c role=postgres"),
        ("role", "postgres"),
        ("session_authorization", "postgres"),
        ("howdah.signature", "x"),
    ] {
        let parameters = [("user", "app.acme"), ("database", database.name.as_str()), (name, value)];
        let refused = Wire::try_login(("127.0.0.1", howdah.port), &parameters, PASSWORD);
        assert!(refused.is_err(), "{name}={value}");
    }
    assert_eq!(login(&howdah, &database, "app.acme").value(SEEN), ACME);
}

#[test]
fn dynamic_sql_can_be_refused_altogether() {
    let database = shop(Version::V15, "refused_dynamic");
    let howdah = config(1, &database, "[tenancy]\non_dynamic_sql = \"refuse\"\n[tenants.\"*\"]\n").start();
    let mut wire = login(&howdah, &database, "app.acme");
    for text in [
        "DO $$ BEGIN EXECUTE 'SET app.ten' || 'ant_id = ''globex'''; END $$",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN END $$",
        "SELECT query_to_xml('SELECT 1', true, true, '')",
    ] {
        assert_eq!(code(&wire.query(text)), "42501", "{text}");
        assert_eq!(code(&extended(&mut wire, text)), "42501", "{text}");
    }
    assert_eq!(wire.value(SEEN), ACME);
}

#[test]
fn what_one_tenant_leaves_never_meets_the_next() {
    for version in [Version::V15, Version::V18] {
        let database = shop(version, "refused_traces");
        let shared = ANY.replace("[tenancy]\n", "[tenancy]\nchannels = \"shared\"\n");
        let howdah = config(1, &database, &shared).pool("pin = \"never\"").start();
        for trace in [
            "CREATE TEMP TABLE orders AS SELECT 'forged' AS item, 'globex' AS tenant_id",
            "CREATE TEMP VIEW orders AS SELECT 'forged' AS item",
            "CREATE FUNCTION pg_temp.seen() RETURNS text LANGUAGE sql AS $$ SELECT 'forged' $$",
            "DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE orders AS SELECT ''forged''::text AS item'; END $$",
            "DECLARE c CURSOR WITH HOLD FOR SELECT item FROM orders",
            "PREPARE seen AS SELECT 'forged'",
            "LISTEN gossip",
            "SELECT pg_advisory_lock(7)",
            "SET search_path = pg_temp, public",
            "DO $$ BEGIN EXECUTE 'SET work_mem = ''77MB'''; END $$",
            "SELECT set_config('app.other', 'forged', false)",
        ] {
            let mut wire = login(&howdah, &database, "app.acme");
            assert_eq!(code(&wire.query(trace)), "", "{trace}");
            let mut other = login(&howdah, &database, "app.globex");
            assert_eq!(other.value("SELECT string_agg(item, ' ') FROM orders"), GLOBEX, "{trace}");
            assert_eq!(other.value(SEEN), GLOBEX, "{trace}");
            let left = "SELECT (SELECT count(*) FROM pg_cursors) + (SELECT count(*) FROM pg_prepared_statements WHERE from_sql)
                + (SELECT count(*) FROM pg_listening_channels()) + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
                + (SELECT count(*) FROM pg_class WHERE relpersistence = 't') + (current_setting('work_mem') = '77MB')::int
                + coalesce(nullif(current_setting('app.other', true), '') IS NOT NULL, false)::int";
            assert_eq!(other.value(left), "0", "{trace}");
            // The same client as another tenant is a stranger to itself.
            let mut both = login(&howdah, &database, "app");
            both.query("SET howdah.tenant = 'acme'");
            assert_eq!(code(&both.query(trace)), "", "{trace}");
            both.query("SET howdah.tenant = 'globex'");
            assert_eq!(both.value("SELECT string_agg(item, ' ') FROM orders"), GLOBEX, "{trace}");
            // But the settings that are the server's own stay those of its connection.
            let own = if trace.contains("work_mem") { "1" } else { "0" };
            assert_eq!(both.value(left), own, "{trace}");
        }
    }
}
