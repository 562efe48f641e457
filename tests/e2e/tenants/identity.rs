//! Who the tenant is: every way to say so, and what happens when they disagree.

use super::{ACME, ANY, GLOBEX, SEEN, code, config, login, shop};
use crate::support::wire::{Wire, bind, describe_portal, execute, parse, query, sync, tags};
use crate::support::{Howdah, PASSWORD, Version, wait_until};

fn with(howdah: &Howdah, parameters: &[(&str, &str)]) -> Result<Wire, String> {
    Wire::try_login(("127.0.0.1", howdah.port), parameters, PASSWORD).map_err(|m| m.sqlstate())
}

#[test]
fn every_way_to_say_who_the_tenant_is() {
    let database = shop(Version::V15, "tenant_ways");
    let fixed = format!("password = \"{PASSWORD}\"\ntenant = \"acme\"");
    let mut config = config(2, &database, ANY).user_with("fixed", &fixed);
    config = config.database_as("fixed_db", &database, "user = \"app\"\npassword = \"secret\"");
    let howdah = config.start();
    let name = database.name.as_str();

    assert_eq!(login(&howdah, &database, "app.acme").value(SEEN), ACME);
    assert_eq!(login(&howdah, &database, "app.globex").value(SEEN), GLOBEX);
    let mut by_database = with(&howdah, &[("user", "app"), ("database", &format!("{name}@globex"))]).unwrap();
    assert_eq!(by_database.value(SEEN), GLOBEX);
    let options = [("user", "app"), ("database", name), ("options", "-c howdah.tenant=acme")];
    assert_eq!(with(&howdah, &options).unwrap().value(SEEN), ACME);
    assert_eq!(Wire::login(("127.0.0.1", howdah.port), "fixed", "fixed_db").value(SEEN), ACME);

    let mut wire = login(&howdah, &database, "app");
    assert_eq!(code(&wire.query(SEEN)), "28000", "no tenant, no query");
    assert_eq!(tags(&wire.query("SET howdah.tenant = 'acme'")), "CZ");
    assert_eq!(wire.value("SHOW howdah.tenant"), "acme");
    assert_eq!(wire.value(SEEN), ACME);
    assert_eq!(tags(&wire.query("SET howdah.tenant TO globex;")), "CZ");
    assert_eq!(wire.value(SEEN), GLOBEX);
    assert_eq!(tags(&wire.query("RESET howdah.tenant")), "CZ");
    assert_eq!(code(&wire.query(SEEN)), "28000");
    assert_eq!(wire.value("/* howdah.tenant='acme' */ SELECT seen()"), ACME);
    assert_eq!(wire.value("SELECT seen() /*route='x',howdah.tenant='globex'*/"), GLOBEX);
    assert_eq!(code(&wire.query(SEEN)), "28000", "a comment holds for its transaction only");

    // In a block: before its first query.
    wire.query("BEGIN");
    assert_eq!(tags(&wire.query("SET LOCAL howdah.tenant = 'acme'")), "CZ");
    assert_eq!(wire.value(SEEN), ACME);
    assert_eq!(code(&wire.query("SET LOCAL howdah.tenant = 'globex'")), "25001");
    assert_eq!(code(&wire.query(SEEN)), "25P02", "an error aborts the block, as everywhere");
    wire.query("ROLLBACK");
    assert_eq!(code(&wire.query(SEEN)), "28000", "SET LOCAL ends with its transaction");
    wire.query("BEGIN");
    assert_eq!(wire.value("SELECT seen() /* howdah.tenant='globex' */"), GLOBEX);
    assert_eq!(wire.value(SEEN), GLOBEX, "the first statement's comment holds for the transaction");
    assert_eq!(code(&wire.query("SELECT 1 /* howdah.tenant='acme' */")), "25001");
    wire.query("COMMIT");
}

#[test]
fn howdahs_own_settings_in_the_extended_protocol() {
    let database = shop(Version::V15, "tenant_own");
    let howdah = config(1, &database, ANY).start();
    let mut wire = login(&howdah, &database, "app");
    let own =
        |sql: &str| vec![parse("", sql), bind("", "", &[]), describe_portal(""), execute("", 0), sync()];
    assert_eq!(tags(&wire.exchange(&own("SET howdah.tenant = 'acme'"))), "12nCZ");
    let show = wire.exchange(&own("SHOW howdah.tenant"));
    assert_eq!(tags(&show), "12TDCZ");
    assert_eq!(show[3].row(), [Some("acme".to_owned())]);
    assert_eq!(wire.value(SEEN), ACME);
    // Behind it, in the same batch, something for the server.
    let mut both = own("SET howdah.tenant = 'globex'");
    both.pop();
    both.extend([parse("", SEEN), bind("", "", &[]), execute("", 0), sync()]);
    let answer = wire.exchange(&both);
    assert_eq!(tags(&answer), "12nC12DCZ");
    assert_eq!(answer[6].row(), [Some(GLOBEX.to_owned())]);
    // Prepared once, used often; a tenant that cannot be is refused in its place.
    assert_eq!(tags(&wire.exchange(&[parse("own", "SET howdah.tenant = 'acme'"), sync()])), "1Z");
    for _ in 0..2 {
        assert_eq!(tags(&wire.exchange(&[bind("", "own", &[]), execute("", 0), sync()])), "2CZ");
        assert_eq!(wire.value(SEEN), ACME);
        wire.query("SET howdah.tenant = 'globex'");
    }
    let refused = wire.exchange(&own("SET howdah.nonsense = 'x'"));
    assert_eq!((tags(&refused).as_str(), code(&refused).as_str()), ("12nEZ", "42704"));
    assert_eq!(code(&wire.query("SET howdah.tenant = 'a'; SELECT 1")), "0A000");
    // In a block.
    wire.query("BEGIN");
    assert_eq!(tags(&wire.exchange(&own("SET LOCAL howdah.tenant = 'acme'"))), "12nCZ");
    assert_eq!(wire.value(SEEN), ACME);
    wire.query("COMMIT");
    assert_eq!(wire.value(SEEN), GLOBEX);
    // A plain SET in a transaction that is rolled back never happened.
    wire.query("BEGIN");
    wire.query("SET howdah.tenant = 'acme'");
    wire.query("ROLLBACK");
    assert_eq!(wire.value(SEEN), GLOBEX);
    wire.query("BEGIN");
    wire.query("SET howdah.tenant = 'acme'");
    wire.query("COMMIT");
    assert_eq!(wire.value(SEEN), ACME);
    let warned = wire.query("SET LOCAL howdah.tenant = 'globex'");
    assert_eq!(tags(&warned), "NCZ");
    assert_eq!(wire.value(SEEN), ACME);
}

#[test]
fn sources_that_disagree_are_refused() {
    let database = shop(Version::V15, "tenant_disagree");
    let only = format!("password = \"{PASSWORD}\"\ntenants = [\"ac*\", \"!acme-test\"]");
    let none = format!("password = \"{PASSWORD}\"\ntenant = \"none\"");
    let howdah = config(2, &database, ANY)
        .database_as("other", &database, "user = \"app\"\npassword = \"secret\"")
        .user_with("only", &only)
        .user_with("nobody", &none)
        .start();
    let name = database.name.as_str();
    let refused = |parameters: &[(&str, &str)]| with(&howdah, parameters).err().unwrap_or_default();
    assert_eq!(refused(&[("user", "app.acme"), ("database", &format!("{name}@globex"))]), "28000");
    assert_eq!(
        refused(&[("user", "app.acme"), ("database", name), ("options", "-c howdah.tenant=globex")]),
        "28000"
    );
    assert_eq!(refused(&[("user", "only.globex"), ("database", "other")]), "28000");
    assert_eq!(refused(&[("user", "only.acme-test"), ("database", "other")]), "28000");
    assert_eq!(refused(&[("user", "nobody.acme"), ("database", "other")]), "28000");
    assert!(with(&howdah, &[("user", "only.acme"), ("database", "other")]).is_ok());
    assert!(with(&howdah, &[("user", "app.acme"), ("database", &format!("{name}@acme"))]).is_ok());

    let mut wire = login(&howdah, &database, "app.acme");
    assert_eq!(code(&wire.query("SET howdah.tenant = 'globex'")), "28000");
    assert_eq!(code(&wire.query("SELECT 1 /* howdah.tenant='globex' */")), "28000");
    assert_eq!(wire.value(SEEN), ACME);
    let mut nobody = Wire::login(("127.0.0.1", howdah.port), "nobody", "other");
    assert_eq!(code(&nobody.query("SET howdah.tenant = 'acme'")), "28000");
    assert_eq!(nobody.value(SEEN), "", "no tenant on purpose: no rows, no error");
    // Nothing is protected from it, and nothing of it reaches the next.
    assert_eq!(code(&nobody.query("SET app.tenant_id = 'globex'")), "");
    assert_eq!(nobody.value(SEEN), GLOBEX);
    assert_eq!(code(&nobody.query("SET ROLE app")), "");
    for _ in 0..3 {
        assert_eq!(wire.value(SEEN), ACME);
        assert_eq!(Wire::login(("127.0.0.1", howdah.port), "only.acme", "other").value(SEEN), ACME);
    }
}

#[test]
fn no_tenant_no_query_and_no_server_sees_anything() {
    let database = shop(Version::V15, "tenant_missing");
    let howdah = config(1, &database, ANY).start();
    let mut wire = login(&howdah, &database, "app");
    let seen = || {
        database.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%never seen%' AND pid <> pg_backend_pid()")
    };
    assert_eq!(code(&wire.query("SELECT 'never seen'")), "28000");
    let frames = [parse("", "SELECT 'never seen'"), bind("", "", &[]), execute("", 0), sync()];
    assert_eq!(tags(&wire.exchange(&frames)), "EZ");
    for text in ["BEGIN; SELECT 'never seen'", "COPY orders TO STDOUT", "DO $$ BEGIN END $$", "VACUUM"] {
        assert_eq!(code(&wire.query(text)), "28000", "{text}");
    }
    assert_eq!(seen(), "0");
    // What reads no rows is answered: drivers do it on connect.
    for text in ["SET client_min_messages = notice", "BEGIN", "COMMIT", ""] {
        assert_eq!(code(&wire.query(text)), "", "{text}");
    }
    let lenient = config(1, &database, "[tenancy]\non_missing = \"none\"\n[tenants.\"*\"]\n").start();
    assert_eq!(login(&lenient, &database, "app").value(SEEN), "");
}

#[test]
fn names_that_are_no_names() {
    let database = shop(Version::V15, "tenant_names");
    let howdah = config(1, &database, ANY).start();
    let strict = config(1, &database, "[tenancy]\n[tenants.\"*\"]\nid_format = \"uuid\"\n").start();
    let mut wire = login(&howdah, &database, "app");
    for name in
        ["'; DROP TABLE orders; --", "o'neil", "back\\slash", "\u{430}cme", "a b", "$1", "\"q\"", "%s{}"]
    {
        let quoted = name.replace('\'', "''");
        assert_eq!(code(&wire.query(&format!("SET howdah.tenant = '{quoted}'"))), "", "{name}");
        assert_eq!(wire.value("SELECT current_setting('app.tenant_id')"), name);
        let frames =
            [parse("", "SELECT current_setting('app.tenant_id')"), bind("", "", &[]), execute("", 0), sync()];
        assert_eq!(wire.exchange(&frames)[2].row(), [Some(name.to_owned())]);
        wire.query("BEGIN");
        assert_eq!(wire.value("SELECT current_setting('app.tenant_id')"), name);
        wire.query("COMMIT");
    }
    for name in ["", "a\nb", &"x".repeat(300), &"x".repeat(10_000), "\u{7}"] {
        let refused = code(&wire.query(&format!("SET howdah.tenant = '{name}'")));
        assert!(["28000", "42601"].contains(&refused.as_str()), "{refused} {name}");
    }
    let mut wire = login(&strict, &database, "app");
    assert_eq!(code(&wire.query("SET howdah.tenant = 'acme'")), "28000");
    assert_eq!(code(&wire.query("SET howdah.tenant = '6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a10'")), "");
    assert_eq!(wire.value(SEEN), "");
}

#[test]
fn more_than_a_tenant() {
    let database = shop(Version::V15, "tenant_context");
    database.query("CREATE TABLE members (user_id int PRIMARY KEY, org text, job text); GRANT SELECT ON members TO app;
        INSERT INTO members VALUES (42, 'acme-org', 'admin'), (7, 'other', 'reader'); CREATE ROLE authenticated_ctx NOLOGIN;
        GRANT authenticated_ctx TO app; GRANT SELECT ON members TO authenticated_ctx");
    let tenancy = "[tenancy]\nuser_pattern = \"{user}.{tenant}[:{user_id}]\"\n[tenancy.context]\nuser_id = \"app.user_id\"\n\
        request_id = \"app.request_id\"\n\
        [[tenancy.resolvers]]\nname = \"membership\"\nquery = \"SELECT org, job FROM members WHERE user_id = $1::int\"\n\
        params = [\"user_id\"]\nset = { \"app.org\" = \"org\", \"app.job\" = \"job\" }\nttl = \"1m\"\nrequired = true\n\
        [tenants.\"*\"]\n[tenants.acme]\nid = \"id-of-acme\"\nrole = \"authenticated_ctx\"\nstatement_timeout = \"7s\"\n\
        settings = { work_mem = \"5MB\" }\n";
    let howdah = config(2, &database, tenancy).start();
    let all = "SELECT concat_ws(' ', current_setting('app.tenant_id'), current_setting('app.user_id'), \
        current_setting('app.org'), current_setting('app.job'), current_user, current_setting('statement_timeout'), \
        current_setting('work_mem'), session_user)";
    let mut wire = login(&howdah, &database, "app.acme:42");
    let expected = "id-of-acme 42 acme-org admin authenticated_ctx 7s 5MB app";
    assert_eq!(wire.value(all), expected);
    let frames = [parse("", all), bind("", "", &[]), execute("", 0), sync()];
    assert_eq!(wire.exchange(&frames)[2].row(), [Some(expected.to_owned())]);
    assert_eq!(wire.value("SELECT current_setting('app.request_id', true) IS NULL"), "t");
    wire.query("SET howdah.request_id = 'r1'");
    assert_eq!(wire.value("SELECT current_setting('app.request_id')"), "r1");
    assert_eq!(wire.value("SELECT current_setting('app.request_id') /*howdah.request_id='r1'*/"), "r1");

    let mut other = login(&howdah, &database, "app.globex");
    assert_eq!(code(&other.query("SELECT 1")), "28000", "the resolver has no user");
    other.query("SET howdah.user_id = '7'");
    assert_eq!(other.value("SELECT current_setting('app.org') || current_user"), "otherapp");
    other.query("SET howdah.user_id = '8'");
    assert_eq!(code(&other.query("SELECT 1")), "28000", "the resolver finds nobody");
    other.query("SET howdah.user_id = 'x'");
    assert_eq!(code(&other.query("SELECT 1")), "28000", "the resolver fails");
    other.query("SET howdah.user_id = '7'");
    assert_eq!(other.value("SELECT 1"), "1");
}

#[test]
fn a_tenant_lives_in_a_schema_or_a_database_of_its_own() {
    for version in [Version::V15, Version::V18] {
        let database = shop(version, "tenant_places");
        let own = super::shop(version, "tenant_places_own");
        own.query("UPDATE orders SET item = 'own ' || item; INSERT INTO orders (tenant_id, item) VALUES ('initech', 'fax')");
        database.query(
            "CREATE SCHEMA globex AUTHORIZATION app; CREATE TABLE globex.orders (item text);
            INSERT INTO globex.orders VALUES ('schema reactor'); ALTER TABLE globex.orders OWNER TO app",
        );
        let tenancy = "[tenancy]\n[tenants.acme]\n[tenants.globex]\nplacement = \"schema\"\nsearch_path = \"globex, public\"\n\
            [tenants.initech]\nplacement = \"database\"\ndatabase = \"own\"\n";
        let howdah = config(2, &database, tenancy).database_as("own", &own, "").start();
        let items = "SELECT string_agg(item, ' ' ORDER BY item) FROM orders";
        let mut wire = login(&howdah, &database, "app");
        let prepared = [parse("s", items), sync()];
        wire.query("SET howdah.tenant = 'acme'");
        assert_eq!(tags(&wire.exchange(&prepared)), "1Z");
        for (tenant, expected) in [
            ("acme", "anvil rope"),
            ("globex", "schema reactor"),
            ("initech", "fax own stapler"),
            ("acme", "anvil rope"),
        ] {
            assert_eq!(tags(&wire.query(&format!("SET howdah.tenant = '{tenant}'"))), "CZ");
            assert_eq!(wire.value(items), expected, "{tenant}");
            let frames = [parse("", items), bind("", "", &[]), execute("", 0), sync()];
            assert_eq!(wire.exchange(&frames)[2].row(), [Some(expected.to_owned())], "{tenant}");
        }
        wire.query("BEGIN");
        assert_eq!(wire.value(items), "anvil rope");
        assert_eq!(code(&wire.query("SET LOCAL howdah.tenant = 'initech'")), "25001");
        wire.query("ROLLBACK");
        assert_eq!(
            login(&howdah, &database, "app.initech").value("SELECT current_database()"),
            "tenant_places_own"
        );
        assert_eq!(login(&howdah, &database, "app.globex").value(items), "schema reactor");
        let mut unknown = login(&howdah, &database, "app");
        assert_eq!(code(&unknown.query("SET howdah.tenant = 'umbrella'")), "28000");
    }
}

#[test]
fn a_tenant_that_is_removed_ends_with_its_transaction() {
    let database = shop(Version::V15, "tenant_removed");
    let howdah = config(2, &database, "[tenancy]\n[tenants.acme]\n[tenants.globex]\n").start();
    let mut wire = login(&howdah, &database, "app.acme");
    let mut other = login(&howdah, &database, "app.globex");
    wire.query("BEGIN");
    assert_eq!(wire.value(SEEN), ACME);
    let text = std::fs::read_to_string(&howdah.config_file).unwrap();
    std::fs::write(&howdah.config_file, text.replace("[tenants.acme]\n", "")).unwrap();
    howdah.sighup();
    howdah.wait_for_log("tenants were read again");
    assert_eq!(wire.value(SEEN), ACME, "an open transaction goes on");
    assert_eq!(code(&wire.query("COMMIT")), "");
    assert_eq!(code(&wire.query(SEEN)), "28000");
    assert_eq!(other.value(SEEN), GLOBEX);
    std::fs::write(&howdah.config_file, text.replace("[tenants.acme]", "[tenants.acme]\nnonsense = 1"))
        .unwrap();
    howdah.sighup();
    howdah.wait_for_log("the tenants stay as they were");
    assert_eq!(other.value(SEEN), GLOBEX);
    std::fs::write(&howdah.config_file, text).unwrap();
    howdah.sighup();
    wait_until("acme is back", || wire.query(SEEN).iter().any(|m| m.tag == b'D'));
}

#[test]
fn a_transaction_ends_as_it_began_whatever_the_configuration_says() {
    let database = shop(Version::V15, "tenant_changed");
    let howdah = config(1, &database, "[tenancy]\n[tenants.acme]\nstatement_timeout = \"11s\"\n").start();
    let mut wire = login(&howdah, &database, "app");
    let timeout = "/* howdah.tenant='acme' */ SELECT current_setting('statement_timeout')";
    wire.query("BEGIN");
    assert_eq!(wire.value(timeout), "11s");
    let text = std::fs::read_to_string(&howdah.config_file).unwrap();
    std::fs::write(&howdah.config_file, text.replace("11s", "12s")).unwrap();
    howdah.sighup();
    howdah.wait_for_log("tenants were read again");
    assert_eq!(wire.value(timeout), "11s");
    wire.query("COMMIT");
    assert_eq!(wire.value(timeout), "12s");
}

#[test]
fn tenants_with_all_the_rest() {
    // Session mode, statement mode, no prepared statements: the tenant is set all the same.
    let database = shop(Version::V15, "tenant_modes");
    for line in ["pool_mode = \"session\"", "pool_mode = \"statement\"", "max_prepared_statements = 0"] {
        let howdah = config(2, &database, ANY).pool(line).start();
        let (mut a, mut b) = (login(&howdah, &database, "app.acme"), login(&howdah, &database, "app.globex"));
        for _ in 0..3 {
            assert_eq!(a.value(SEEN), ACME, "{line}");
            let frames = [parse("", SEEN), bind("", "", &[]), execute("", 0), sync()];
            assert_eq!(b.exchange(&frames)[2].row(), [Some(GLOBEX.to_owned())], "{line}");
        }
        let mut c = login(&howdah, &database, "app");
        drop(a);
        c.query("SET howdah.tenant = 'acme'");
        assert_eq!(c.value(SEEN), ACME);
        c.query("SET howdah.tenant = 'globex'");
        assert_eq!(c.value(SEEN), GLOBEX);
    }
}

#[test]
fn a_comment_ends_with_its_transaction_in_a_pipeline_too() {
    let database = shop(Version::V15, "tenant_pipeline");
    let howdah = config(1, &database, ANY).start();
    let mut wire = login(&howdah, &database, "app");
    let marked = "SELECT seen() /* howdah.tenant='acme' */";
    wire.send(&["BEGIN", marked, "COMMIT", SEEN, marked, SEEN].map(query));
    let answer = wire.read_ready(6);
    assert_eq!(tags(&answer), "CZTDCZCZEZTDCZEZ");
    wire.query("SET howdah.tenant = 'globex'");
    wire.send(&["BEGIN", SEEN, "SET LOCAL howdah.user_id = 'x'", "ROLLBACK", SEEN].map(query));
    let answer = wire.read_ready(5);
    assert_eq!(code(&answer), "42704", "no such key here");
    wire.query("RESET howdah.tenant");
    wire.send(&["BEGIN", "SET LOCAL howdah.tenant = 'acme'", SEEN, "COMMIT", SEEN].map(query));
    let answer = wire.read_ready(5);
    assert_eq!(tags(&answer), "CZCZTDCZCZEZ");
    // Nor is it carried into the next transaction by one text, one batch, or AND CHAIN.
    for next in ["COMMIT; SELECT seen()", "COMMIT AND CHAIN; SELECT seen()", "ROLLBACK; BEGIN; SELECT seen()"]
    {
        for begin in [&["BEGIN", "SET LOCAL howdah.tenant = 'acme'", SEEN][..], &["BEGIN", marked]] {
            for text in begin {
                assert_eq!(code(&wire.query(text)), "", "{text}");
            }
            assert_eq!(code(&wire.query(next)), "0A000", "{next}");
            wire.query("ROLLBACK");
        }
    }
    wire.query("BEGIN");
    wire.query(marked);
    let batch = ["COMMIT", SEEN].iter().flat_map(|text| [parse("", text), bind("", "", &[]), execute("", 0)]);
    let answer = wire.exchange(&batch.chain([sync()]).collect::<Vec<_>>());
    assert_eq!((tags(&answer).as_str(), code(&answer).as_str()), ("12C1EZ", "0A000"));
    wire.query("BEGIN");
    wire.query(marked);
    wire.query("COMMIT AND CHAIN");
    assert_eq!(code(&wire.query(SEEN)), "0A000");
    wire.query("ROLLBACK");
    let answer = wire.query("SELECT seen(); COMMIT; SELECT seen() /* howdah.tenant='acme' */");
    assert_eq!(tags(&answer), "TDCNCTDCZ", "a comment holds for its text");
    // One transaction behind the other, each with a comment on its first statement.
    let begin = "BEGIN /* howdah.tenant='acme' */";
    wire.send(&[begin, SEEN, "COMMIT", begin, SEEN, "COMMIT"].map(query));
    assert_eq!(tags(&wire.read_ready(6)), "CZTDCZCZCZTDCZCZ");
}

#[test]
fn a_resolver_that_takes_too_long_can_be_cancelled() {
    let database = shop(Version::V15, "tenant_patience");
    let tenancy = "[tenancy]\n[tenancy.context]\nuser_id = \"app.user_id\"\n[[tenancy.resolvers]]\nname = \"slow\"\n\
        query = \"SELECT 'x' AS x FROM pg_sleep($1::float8)\"\nparams = [\"user_id\"]\nset = { \"app.x\" = \"x\" }\n[tenants.\"*\"]\n";
    let howdah = config(1, &database, tenancy).start();
    let mut wire = login(&howdah, &database, "app.acme");
    wire.query("SET howdah.user_id = '60'");
    wire.send(&[query(SEEN)]);
    wait_until("the resolver's query runs", || {
        database.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep($1%' AND state = 'active' AND pid <> pg_backend_pid()") == "1"
    });
    wire.cancel(("127.0.0.1", howdah.port));
    assert_eq!(code(&wire.read_until(b'Z')), "57014");
    wire.query("SET howdah.user_id = '0'");
    assert_eq!(wire.value("SELECT seen() || current_setting('app.x')"), format!("{ACME}x"));
}
