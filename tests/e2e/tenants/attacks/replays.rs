//! Signatures: where they can be read, and what they are worth elsewhere.

use super::super::code;
use super::{Arena, Version, query, rows, unnamed};
use crate::support::wire::{Wire, bind, execute, parse, sync};
use crate::support::{Cluster, Config, PASSWORD, wait_until};

/// The victim's signature, as if it had got out: it is worth nothing on another connection, nor with another time
/// or tenant.
#[test]
fn a_signature_is_of_no_use_elsewhere() {
    let mut arena = Arena::new(Version::V15, "attacks_replay", true);
    let own = "SELECT concat_ws(' ', pg_backend_pid(), current_setting('howdah.signature'))";
    for _ in 0..4 {
        arena.b[0].query("BEGIN");
        let given = arena.b[0].value(own);
        let (pid, signature) = given.split_once(' ').unwrap();
        // The victim has that connection: what the attacker gets is the other one.
        let forge = format!(
            "SELECT set_config('app.tenant_id', 'globex', true), set_config('howdah.signature', '{signature}', true)"
        );
        let one = vec![parse("", "SELECT run($1)"), bind("", "", &[Some(&forge)]), execute("", 0)];
        let two = vec![
            parse("", "SELECT pg_backend_pid(), secret FROM orders RIGHT JOIN (SELECT 1) x ON true"),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ];
        let answers = arena.attack(0, &[one, two].concat(), 1);
        let seen = rows(&answers);
        assert_eq!(seen.len(), 2, "{answers:?}");
        assert!(seen[1].ends_with('|') && !seen[1].starts_with(pid), "{seen:?}");
        arena.b[0].query("COMMIT");
    }
    arena.signatures.clear();
    arena.judge();
}

/// Whatever form the client's statements have, no text that the server shows to others has a signature in it.
#[test]
fn no_text_has_a_signature() {
    let cluster = Cluster::start_with(Version::V15, "log_statement = 'all'\nlog_error_verbosity = verbose");
    let database = cluster.database("attacks_texts");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tenant.key"), [0x42; 48]).unwrap();
    let mut config = Config::new(1).database(&database).user("app");
    config.extra = format!(
        "[tenancy]\n[tenancy.signature]\nkey_file = \"{}\"\n[tenants.\"*\"]\n",
        dir.path().join("tenant.key").display()
    );
    let howdah = config.start();
    let login = |tenant: &str| {
        let user = format!("app.{tenant}");
        let parameters = [("user", user.as_str()), ("database", "attacks_texts"), ("application_name", "x")];
        Wire::try_login(("127.0.0.1", howdah.port), &parameters, PASSWORD).unwrap()
    };
    let mut clients = [login("acme"), login("globex")];
    for _ in 0..2 {
        for wire in &mut clients {
            assert!(wire.value("SELECT current_setting('howdah.signature')").starts_with("v1."));
        }
        for wire in &mut clients {
            assert_eq!(code(&wire.exchange(&unnamed("SELECT $1::int", &[Some("1")]))), "");
        }
        for wire in &mut clients {
            assert_eq!(code(&wire.query("DO $$ BEGIN COMMIT; END $$")), "");
        }
        for wire in &mut clients {
            assert_eq!(code(&wire.query("BEGIN; SELECT 1; COMMIT; SELECT 2")), "");
            wire.send(&[query("DISCARD ALL"), query("SELECT 1")]);
            assert_eq!(code(&wire.read_ready(2)), "");
        }
    }
    let log = cluster.log();
    let with: Vec<&str> = log.lines().filter(|line| line.contains("v1.")).collect();
    assert!(with.len() >= 8, "it travels: {log}");
    for line in with {
        assert!(line.contains("DETAIL:") && line.contains("arameters: $1 = 'howdah.signature'"), "{line}");
    }
}

/// `server_reset_query` may leave much; between signed tenants nothing may be left.
#[test]
fn a_weak_reset_query_is_not_trusted() {
    let mut arena =
        Arena::with(Version::V15, "attacks_weak", true, ["server_reset_query = \"SELECT 1\"", ""]);
    for text in [
        "CREATE TEMP TABLE orders (id int, tenant_id text, secret text, note text)",
        "SELECT set_config('app.planted', 'x', false)",
    ] {
        arena.begin(text);
        let answers = arena.attack(0, &unnamed("SELECT run($1)", &[Some(text)]), 1);
        assert_eq!(code(&answers), "");
        // What is seen in a text marks the connection, and that client leaves.
        arena.attack(0, &[query("BEGIN; SET work_mem = '77MB'"), query(text)], 2);
        arena.begin(text);
        arena.victim();
        arena.judge();
    }
}

/// In session mode a connection stays with its client, from tenant to tenant and beyond the signature's time.
#[test]
fn session_mode_keeps_its_signature_right() {
    let database = Cluster::shared(Version::V15).database("attacks_session");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tenant.key"), [0x42; 48]).unwrap();
    let mut config = Config::new(2).database(&database).user("app").pool("pool_mode = \"session\"");
    config.extra = format!(
        "[tenancy]\n[tenancy.signature]\nvalid_for = \"2s\"\nkey_file = \"{}\"\n[tenants.\"*\"]\n",
        dir.path().join("tenant.key").display()
    );
    let howdah = config.start();
    database.query(&super::printed(&["sql", "signature", "-c", howdah.config_file.to_str().unwrap()]));
    let mut wire = Wire::login(("127.0.0.1", howdah.port), "app", &database.name);
    let who = "SELECT howdah.tenant_id()";
    for tenant in ["acme", "globex", "acme"] {
        wire.query(&format!("SET howdah.tenant = '{tenant}'"));
        assert_eq!(wire.value(who), tenant);
        assert_eq!(
            wire.value(
                "SELECT count(*) FROM pg_class WHERE relname = 'left_behind' AND pg_table_is_visible(oid)"
            ),
            "0"
        );
        wire.query("CREATE TEMP TABLE left_behind ()");
        database.query("SELECT pg_sleep(3.5)");
        assert_eq!(wire.value(who), tenant, "signed anew");
        assert_eq!(rows(&wire.exchange(&unnamed(who, &[]))), [tenant]);
        wire.query("BEGIN");
        assert_eq!(wire.value(who), tenant);
        assert_eq!(code(&wire.query("SET howdah.tenant = 'other'")), "25001");
        wire.query("ROLLBACK");
        wire.query("BEGIN");
        assert_eq!(code(&wire.query("SET LOCAL howdah.tenant = 'other'")), "25001", "{tenant}");
        wire.query("ROLLBACK");
    }
}

/// Whatever role it is, it may change what its own next connections begin with. A path that leads to a trap first is
/// harmless where the tenants have a path of their own.
#[test]
fn a_default_of_the_role_leads_nobody_astray() {
    let path = "settings = { search_path = \"public\" }";
    for version in Version::ALL {
        let mut arena = Arena::with(version, "attacks_default", true, ["", path]);
        arena.begin("a default path");
        let trap =
            "CREATE TABLE scratch.orders (id int, tenant_id text DEFAULT 'globex', secret text, note text);
            ALTER ROLE CURRENT_USER SET search_path = scratch, public";
        let answers = arena.attack(0, &unnamed("SELECT run($1)", &[Some(trap)]), 1);
        assert_eq!(code(&answers), "");
        let other = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()";
        arena.attack(0, &[query(other)], 1);
        wait_until("the other connection is gone", || arena.database.backends().len() <= 1);
        arena.attack(0, &[query("SELECT pg_terminate_backend(pg_backend_pid())")], 1);
        wait_until("both are gone", || arena.database.backends().is_empty());
        // New connections begin with what the attacker wants, and go on as they must.
        let paths = "SELECT setconfig::text FROM pg_db_role_setting JOIN pg_roles r ON r.oid = setrole WHERE rolname = 'attacks_default_app'";
        assert!(arena.database.value(paths).contains("scratch"));
        arena.victim();
        assert_eq!(arena.database.value("SELECT count(*) FROM scratch.orders"), "0");
        arena.attack(0, &[query(r"SELECT '\', secret FROM orders --'")], 1);
        arena.judge();
    }
}
