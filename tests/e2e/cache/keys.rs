//! What an answer depends on is in its key: each thing changed in turn must miss.

use super::{CACHE, ask, config, explaining, fates, login, marked, warm};
use crate::support::wire::{Wire, bind_formats, execute, parse, parse_typed, sync};
use crate::support::{Cluster, Config, Howdah, Version};

fn with(howdah: &Howdah, parameters: &[(&str, &str)]) -> Wire {
    explaining(Wire::login_with(("127.0.0.1", howdah.port), parameters))
}

#[test]
fn database_login_and_settings_are_in_the_key() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_keys");
    let second = cluster.database("cache_keys_second");
    for database in [&database, &second] {
        database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC");
    }
    let howdah = Config::simple(2, &database).database(&second).sections(CACHE).start();
    let read = marked("SELECT a, now() FROM t");
    let name = &*database.name;
    let app = [("user", "app"), ("database", name)];
    let mut first = with(&howdah, &app);
    warm(&mut first, &read);
    assert_eq!(ask(&mut with(&howdah, &app), &read).0, "hit", "the same for a client that is the same");
    let others: [&[(&str, &str)]; 6] = [
        &[("user", "postgres"), ("database", name)],
        &[("user", "app"), ("database", &second.name)],
        &[("user", "app"), ("database", name), ("application_name", "x")],
        &[("user", "app"), ("database", name), ("TimeZone", "Asia/Tokyo")],
        &[("user", "app"), ("database", name), ("options", "-c app.person=7")],
        &[("user", "app"), ("database", name), ("options", "-c app.person=8")],
    ];
    for parameters in others {
        let mut other = with(&howdah, parameters);
        let fate = ask(&mut other, &read).0;
        assert!(fate.starts_with("miss, "), "{parameters:?}: {fate}");
        warm(&mut other, &read);
    }
    // And settings that come later, until they are as before.
    for set in ["SET app.person = '9'", "SET DateStyle = 'German'", "SET work_mem = '5MB'", "SET ROLE app"] {
        first.query(set);
        let fate = ask(&mut first, &read).0;
        assert!(fate.starts_with("miss, "), "{set}: {fate}");
        first.query("RESET ALL");
        first.query("RESET ROLE");
        warm(&mut first, &read);
    }
}

#[test]
fn text_parameters_and_formats_are_in_the_key() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_key_values");
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2); GRANT ALL ON t TO PUBLIC");
    let howdah = config(2, &database).start();
    let mut wire = login(&howdah, &database);
    let text = marked("SELECT a, $1 AS p, now() FROM t");
    let batch = |text: &str, types: &[u32], formats: &[i16], value: Option<&str>, results: &[i16]| {
        vec![
            parse_typed("", text, types),
            bind_formats("", "", formats, &[value], results),
            execute("", 0),
            sync(),
        ]
    };
    let base = batch(&text, &[25], &[], Some("x"), &[]);
    let mut fate = |batch: &[Vec<u8>]| fates(&wire.exchange(batch)).join("; ");
    let mut settle = |batch: &[Vec<u8>]| {
        crate::support::wait_until("it comes from memory", || fate(batch) == "hit");
    };
    settle(&base);
    let others = [
        batch(&marked("SELECT a, $1 AS q, now() FROM t"), &[25], &[], Some("x"), &[]),
        batch(&text, &[25], &[], Some("y"), &[]),
        batch(&text, &[25], &[], Some(""), &[]),
        batch(&text, &[25], &[], None, &[]),
        batch(&text, &[25], &[1], Some("x"), &[]),
        batch(&text, &[1043], &[], Some("x"), &[]),
        batch(&text, &[25], &[], Some("x"), &[1, 0, 0]),
        batch(&text, &[25], &[], Some("x"), &[1]),
    ];
    for (n, other) in others.iter().enumerate() {
        let messages = wire_exchange(&howdah, &database.name, other);
        assert!(messages.starts_with("miss, "), "{n}: {messages}");
    }
    // The same said in other words.
    let same = [
        batch(&text, &[25], &[0], Some("x"), &[0]),
        batch(&text, &[25], &[], Some("x"), &[0, 0, 0]),
        batch(&text.replace("'60s'", "'50s'"), &[25], &[], Some("x"), &[]),
        batch(
            &format!("{} /*traceparent='00-1'*/", text.replace("howdah.cache=", "howdah.cache =")),
            &[25],
            &[],
            Some("x"),
            &[],
        ),
    ];
    for (n, batch) in same.iter().enumerate() {
        assert_eq!(wire_exchange(&howdah, &database.name, batch), "hit", "{n}");
    }
}

fn wire_exchange(howdah: &Howdah, database: &str, batch: &[Vec<u8>]) -> String {
    let mut wire = explaining(Wire::login(("127.0.0.1", howdah.port), "app", database));
    fates(&wire.exchange(batch)).join("; ")
}

#[test]
fn one_server_database_is_one_whatever_it_is_called() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_alias");
    database.query("CREATE TABLE t (a int); GRANT ALL ON t TO PUBLIC");
    let config = Config::simple(2, &database).database_as("alias", &database, "").database_as(
        "plain",
        &database,
        "pool_mode = \"session\"",
    );
    let howdah = config.sections(CACHE).start();
    let mut reader = login(&howdah, &database);
    let read = marked("SELECT count(*) FROM t");
    for name in ["alias", "plain"] {
        let mut writer = Wire::login(("127.0.0.1", howdah.port), "app", name);
        warm(&mut reader, &read);
        writer.query("INSERT INTO t VALUES (1)");
        assert_ne!(ask(&mut reader, &read).0, "hit", "{name}");
        warm(&mut reader, &read);
        writer.exchange(&[
            parse("", "INSERT INTO t VALUES (1)"),
            bind_formats("", "", &[], &[], &[]),
            execute("", 0),
            sync(),
        ]);
        assert_ne!(ask(&mut reader, &read).0, "hit", "{name}");
    }
}
