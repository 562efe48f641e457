//! No answer of one tenant, role or setting is ever another's: whatever a policy, a GRANT or a search_path decides.

use std::collections::BTreeSet;

use super::{CACHE, ask, config, explaining, fates, login, marked, superuser, warm};
use crate::support::wire::{Message, Wire, bind, execute, parse, query, sync};
use crate::support::{Cluster, Config, Database, Howdah, Version};

const SHOP: &str = "
    CREATE TABLE orders (id serial PRIMARY KEY, tenant_id text NOT NULL
        DEFAULT nullif(current_setting('app.tenant_id', true), ''), item text NOT NULL);
    INSERT INTO orders (tenant_id, item) VALUES
        ('acme', 'anvil'), ('globex', 'reactor'), ('initech', 'stapler');
    ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
    ALTER TABLE orders FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON orders USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
    ALTER TABLE orders OWNER TO app; ALTER SEQUENCE orders_id_seq OWNER TO app;";

const TENANTS: [(&str, &str); 3] = [("acme", "anvil"), ("globex", "reactor"), ("initech", "stapler")];

fn shop<'a>(name: &str) -> Database<'a> {
    let database = Cluster::shared(Version::V15).database(name);
    database.query(SHOP);
    database
}

fn as_user(howdah: &Howdah, database: &str, user: &str) -> Wire {
    explaining(Wire::login(("127.0.0.1", howdah.port), user, database))
}

#[test]
fn tenants_by_row_level_security_have_their_own_answers() {
    let database = shop("cache_tenants");
    let tenancy = format!("{CACHE}\n[tenancy]\n[tenants.\"*\"]\n");
    let howdah = Config::new(2).database(&database).user("app").sections(&tenancy).start();
    let read = marked("SELECT item FROM orders");
    // By login, each with several clients in turn.
    let mut clients: Vec<(Wire, &str)> = Vec::new();
    for (tenant, item) in TENANTS.into_iter().cycle().take(9) {
        clients.push((as_user(&howdah, &database.name, &format!("app.{tenant}")), item));
    }
    for _ in 0..3 {
        for (wire, item) in &mut clients {
            assert_eq!(warm(wire, &read), *item);
        }
    }
    // One client that is each of them in turn, said by SET and by a comment, in both protocols.
    let mut wire = as_user(&howdah, &database.name, "app");
    for round in 0..30 {
        let (tenant, item) = TENANTS[round % 3];
        wire.query(&format!("SET howdah.tenant = '{tenant}'"));
        assert_eq!(ask(&mut wire, &read), ("hit".into(), item.into()));
        let text = format!("/* howdah.cache='60s', howdah.tenant='{tenant}' */ SELECT item FROM orders");
        wire.query("RESET howdah.tenant");
        assert_eq!(ask(&mut wire, &text), ("hit".into(), item.into()));
        let batch = [parse("", &text), bind("", "", &[]), execute("", 0), sync()];
        let messages = wire.exchange(&batch);
        assert_eq!((fates(&messages).join(""), items(&messages)), ("hit".into(), vec![item.to_owned()]));
    }
    // Two that differ in one batch: the server's.
    let text =
        |tenant: &str| format!("/* howdah.cache='60s', howdah.tenant='{tenant}' */ SELECT item FROM orders");
    let both = [
        parse("", &text("acme")),
        bind("", "", &[]),
        execute("", 0),
        parse("", &text("globex")),
        bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    let messages = wire.exchange(&both);
    assert!(!items(&messages).contains(&"reactor".to_owned()), "{:?}", items(&messages));
    // Without a tenant there is no answer, from memory or from anywhere.
    assert_eq!(ask(&mut wire, &read).1, "28000");
    // A write of one tenant ends what all have read of the table.
    clients[0].0.query("INSERT INTO orders (item) VALUES ('anvil')");
    for (wire, item) in clients.iter_mut().take(3) {
        assert_eq!(ask(wire, &read), ("miss, invalidated".into(), (*item).to_owned()));
    }
}

fn items(messages: &[Message]) -> Vec<String> {
    messages.iter().filter(|m| m.tag == b'D').filter_map(|m| m.row().remove(0)).collect()
}

#[test]
fn a_thousand_changes_of_tenant_in_pipelines_mix_nothing_up() {
    let database = shop("cache_tenant_pipelines");
    let tenancy = format!("{CACHE}\n[tenancy]\n[tenants.\"*\"]\n");
    let howdah = Config::new(3).database(&database).user("app").sections(&tenancy).start();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (howdah, database) = (&howdah, &database);
            scope.spawn(move || {
                let mut wire = Wire::login(("127.0.0.1", howdah.port), "app", &database.name);
                for round in 0..100 {
                    let turn: Vec<(&str, &str)> = (0..5).map(|n| TENANTS[(thread + round * n) % 3]).collect();
                    let frames: Vec<Vec<u8>> = turn
                        .iter()
                        .flat_map(|(tenant, _)| {
                            [
                                query(&format!("SET howdah.tenant = '{tenant}'")),
                                query("/* howdah.cache='60s' */ SELECT item FROM orders"),
                                query("SELECT item FROM orders"),
                            ]
                        })
                        .collect();
                    wire.send(&frames);
                    let got = items(&wire.read_ready(15));
                    let want: Vec<String> =
                        turn.iter().flat_map(|(_, item)| [(*item).to_owned(), (*item).to_owned()]).collect();
                    assert_eq!(got, want, "{thread} {round}");
                }
            });
        }
    });
}

#[test]
fn tenants_by_schema_have_their_own_answers() {
    let database = Cluster::shared(Version::V15).database("cache_schemas");
    for (tenant, item) in TENANTS {
        database.query(&format!(
            "CREATE SCHEMA {tenant} AUTHORIZATION app; CREATE TABLE {tenant}.orders AS SELECT '{item}'::text AS item;
             ALTER TABLE {tenant}.orders OWNER TO app"
        ));
    }
    let of =
        |tenant: &str| format!("[tenants.{tenant}]\nplacement = \"schema\"\nsearch_path = \"{tenant}\"\n");
    let tenancy = format!("{CACHE}\n[tenancy]\n{}", TENANTS.map(|(tenant, _)| of(tenant)).concat());
    let howdah = Config::new(2).database(&database).user("app").sections(&tenancy).start();
    let read = marked("SELECT item FROM orders");
    let mut clients: Vec<(Wire, &str)> = TENANTS
        .iter()
        .map(|(tenant, item)| (as_user(&howdah, &database.name, &format!("app.{tenant}")), *item))
        .collect();
    for (wire, item) in &mut clients {
        assert_eq!(warm(wire, &read), *item);
    }
    // A write of one tenant is to its own table.
    clients[0].0.query("UPDATE orders SET item = 'rope'");
    let (first, rest) = clients.split_first_mut().unwrap();
    assert_eq!(ask(&mut first.0, &read), ("miss, invalidated".into(), "rope".into()));
    for (wire, item) in rest {
        assert_eq!(ask(wire, &read), ("hit".into(), (*item).to_owned()));
    }
}

/// What pgpool-II's cache got wrong (CVE-2024-45624): rows that the asking role may not read.
#[test]
fn rights_that_change_change_the_answer() {
    let database = Cluster::shared(Version::V15).database("cache_rights");
    database.query(
        "CREATE TABLE t (a int, owner text); INSERT INTO t VALUES (1, 'app'), (2, 'postgres'); GRANT SELECT ON t TO app",
    );
    let howdah = config(2, &database).start();
    let (mut app, mut root) = (login(&howdah, &database), superuser(&howdah, &database));
    let read = marked("SELECT count(*) FROM t");
    assert_eq!((warm(&mut app, &read), warm(&mut root, &read)), ("2".into(), "2".into()));
    root.query("REVOKE SELECT ON t FROM app");
    assert_eq!(ask(&mut app, &read).1, "42501");
    assert_eq!(warm(&mut root, &read), "2");
    assert_eq!(ask(&mut app, &read).1, "42501", "another role's answer is none of its");
    root.query("GRANT SELECT ON t TO app");
    assert_eq!(warm(&mut app, &read), "2");
    root.query("ALTER TABLE t ENABLE ROW LEVEL SECURITY");
    assert_eq!(ask(&mut app, &read).1, "0");
    root.query("CREATE POLICY own ON t USING (owner = current_user)");
    assert_eq!((warm(&mut app, &read), warm(&mut root, &read)), ("1".into(), "2".into()));
    // A role that is put on and taken off.
    for _ in 0..3 {
        root.query("SET ROLE app");
        assert_eq!(warm(&mut root, &read), "1");
        root.query("RESET ROLE");
        assert_eq!(warm(&mut root, &read), "2");
    }
    root.query("DROP POLICY own ON t");
    assert_eq!(ask(&mut app, &read).1, "0");
}

#[test]
fn what_a_function_sets_behind_everybodys_back_makes_the_answer_private() {
    let database = Cluster::shared(Version::V15).database("cache_hidden");
    database.query(
        "CREATE TABLE t (owner text); INSERT INTO t VALUES ('alice'), ('bob'); GRANT ALL ON t TO PUBLIC;
         ALTER TABLE t ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON t USING (owner = current_setting('app.person', true));
         CREATE FUNCTION become(who text) RETURNS text LANGUAGE plpgsql AS
         $$ BEGIN RETURN set_config('app.person', who, false); END $$",
    );
    // One connection: what is left on it, the next client meets.
    let howdah = config(1, &database).start();
    let read = marked("SELECT string_agg(owner, ' ') FROM t");
    let mut seen = BTreeSet::new();
    for round in 0..40 {
        let mut wire = login(&howdah, &database);
        let who = ["alice", "bob"][round % 2];
        wire.query(&format!("SELECT become('{who}')"));
        let (fate, value) = ask(&mut wire, &read);
        assert_eq!(value, who, "{fate}");
        assert_ne!(fate, "hit");
        seen.insert(fate);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(seen.iter().any(|fate| fate != "miss, learning"), "{seen:?}");
    // The same by SET is known, and each has its own.
    for who in ["alice", "bob", "alice", "bob"] {
        let mut wire = login(&howdah, &database);
        wire.query(&format!("SET app.person = '{who}'"));
        assert_eq!(warm(&mut wire, &read), who);
    }
}
