//! `howdah sql follow` and what `howdah doctor` says of following.

use super::{SETTINGS, cluster, started};
use crate::support::howdah::binary;
use crate::support::{Cluster, Config, Database, Version, wait_until};
use std::process::{Command, Output};

fn howdah(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).output().expect("howdah")
}

fn printed(arguments: &[&str]) -> String {
    let output = howdah(&[&["sql", "follow"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn published(database: &Database<'_>, publication: &str) -> Vec<String> {
    let sql = format!(
        "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = '{publication}' ORDER BY 1"
    );
    database.query(&sql).into_iter().map(|row| row[0].clone().unwrap()).collect()
}

const TABLES: &str = "
CREATE SCHEMA \"Odd\"\"Name\";
CREATE TABLE plain (id int PRIMARY KEY);
CREATE TABLE \"Odd\"\"Name\".\"T\" (id int PRIMARY KEY);
CREATE TABLE bare (id int);
CREATE TABLE whole (id int); ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE indexed (id int NOT NULL); CREATE UNIQUE INDEX by_id ON indexed (id);
    ALTER TABLE indexed REPLICA IDENTITY USING INDEX by_id;
CREATE TABLE hidden (id int PRIMARY KEY); ALTER TABLE hidden REPLICA IDENTITY NOTHING;
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
CREATE TABLE days (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10);
CREATE TABLE weeks (id int) PARTITION BY RANGE (id);
CREATE TABLE weeks_1 PARTITION OF weeks FOR VALUES FROM (0) TO (10);
CREATE VIEW seen AS SELECT * FROM plain";

#[test]
fn what_is_printed_publishes_what_can_be_published() {
    for version in Version::ALL {
        let database = cluster(version).database("follow_printed");
        database.query(TABLES);
        let sql = printed(&["--publication", "Some_Name", "--role", "follower"]);
        assert!(sql.contains("ALTER ROLE \"follower\" REPLICATION;"), "{sql}");
        let expected = ["Odd\"Name.T", "public.days_1", "public.indexed", "public.plain", "public.whole"];
        for _ in 0..2 {
            database.query(&sql);
            assert_eq!(published(&database, "some_name"), expected, "version {}", version.major());
        }
        // Nothing that was possible before fails now.
        database.query(
            "INSERT INTO bare VALUES (1); UPDATE bare SET id = 2; INSERT INTO weeks VALUES (1); DELETE FROM weeks;
             UPDATE hidden SET id = 1; INSERT INTO days VALUES (1); UPDATE days SET id = 2; UPDATE whole SET id = 2",
        );
        // New tables are added, and one that has lost its identity goes.
        database.query(
            "CREATE TABLE late (id int PRIMARY KEY); ALTER TABLE bare ADD PRIMARY KEY (id);
             ALTER TABLE plain DROP CONSTRAINT plain_pkey;
             CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM (10) TO (20)",
        );
        database.query(&sql);
        let expected = [
            "Odd\"Name.T",
            "public.bare",
            "public.days_1",
            "public.days_2",
            "public.indexed",
            "public.late",
            "public.whole",
        ];
        assert_eq!(published(&database, "some_name"), expected);
    }
}

#[test]
fn a_configuration_names_publication_and_role() {
    let mut config = Config::new(1).server("app", 1, "app", "").user("app");
    config.extra = "[cache.follow]\npublication = \"Kept'\"\nuser = \"Repl\"\npassword = \"x\"\n".to_owned();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.toml()).unwrap();
    let sql = printed(&["-c", file.path().to_str().unwrap()]);
    assert!(sql.contains("wanted name := 'Kept'''") && sql.contains("ALTER ROLE \"Repl\""), "{sql}");
    assert!(!printed(&[]).contains("ALTER ROLE") && !printed(&[]).contains("EVENT TRIGGER"));
    assert_eq!(howdah(&["sql", "follow", "--publication", "a b"]).status.code(), Some(2));
}

#[test]
fn the_event_trigger_tells_of_ddl_with_its_transaction() {
    for version in Version::ALL {
        let database = cluster(version).database("follow_trigger");
        let sql = printed(&["--ddl"]);
        database.query(TABLES);
        database.query(&sql);
        database.query(&sql);
        let rig = super::Rig::following(&database, super::settings());
        for sql in [
            "GRANT SELECT ON plain TO app",
            "CREATE TABLE fresh (id int)",
            "DROP TABLE fresh",
            "ALTER TABLE plain ADD COLUMN more int",
            "DROP VIEW seen",
        ] {
            // The look at the catalogues says it once; the trigger when it is heard of, and when it can be seen.
            let count = rig.cache.counters.invalidations(howdah::cache::Source::Replication);
            database.query(sql);
            wait_until(&format!("{sql} is told three times"), || {
                rig.cache.counters.invalidations(howdah::cache::Source::Replication) >= count + 3
            });
        }
        // Of what belongs to one session alone, and of indexes, it does not tell.
        let fence = rig.table("plain");
        let (catalog, since) = (rig.cache.generation_of_catalog(), fence.generation());
        database.query(
            "CREATE TEMP TABLE t (id int); DROP TABLE t; CREATE INDEX ON plain (id); COMMENT ON TABLE plain IS 'x';
             INSERT INTO plain VALUES (1)",
        );
        rig.ends(&fence, since);
        assert_eq!(rig.cache.generation_of_catalog(), catalog);
    }
}

fn doctor(config: &Config) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.toml()).unwrap();
    let output = howdah(&["doctor", "-c", file.path().to_str().unwrap()]);
    String::from_utf8(output.stdout).unwrap()
}

fn following(database: &Database<'_>, follow: &str) -> Config {
    let mut config = Config::new(2).database(database).user("app");
    config.extra = format!("[cache.follow]\nmode = \"replication\"\n{follow}");
    config
}

#[test]
fn the_doctor_says_what_keeps_a_database_from_being_followed() {
    let cluster = Cluster::start_with(Version::V15, &SETTINGS.replace("logical", "replica"));
    let database = cluster.database("follow_doctor");
    let said = doctor(&following(&database, ""));
    for part in [
        "wal_level: is replica: replication in mode logical needs it, so nothing of the database is cached [follow-wal-level]",
        "ALTER SYSTEM SET wal_level = 'logical';",
        "publication howdah: does not exist",
        "role app: has no REPLICATION",
        "CREATE ROLE howdah_follow LOGIN REPLICATION",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let said = doctor(&following(&database, "user = \"app\"\npassword = \"wrong\"\n"));
    assert!(
        said.contains("role app: cannot log in to follow the database") && said.contains("28P01"),
        "{said}"
    );
    // Without [cache.follow] nobody asks.
    assert!(!doctor(&Config::new(2).database(&database).user("app")).contains("follow-"));
}

#[test]
fn the_doctor_says_which_tables_are_not_followed() {
    for version in Version::ALL {
        let cluster = started(version);
        let database = cluster.database("follow_tables");
        database.query(TABLES);
        let follow = "user = \"follower\"\npassword = \"secret\"\n";
        let said = |follow: &str| doctor(&following(&database, follow));
        database.query(&printed(&[]));
        let text = said(follow);
        let part = "3 tables (public.bare, public.hidden, public.weeks_1): are not in the publication howdah";
        assert!(
            text.contains(part) && !text.contains("follow-identity") && !text.contains("follow-slot"),
            "{text}"
        );
        let text = said(&format!("{follow}slot = \"kept\"\n"));
        assert!(text.contains("max_slot_wal_keep_size: is -1"), "{text}");
        database.query("ALTER PUBLICATION howdah ADD TABLE hidden, bare");
        let text = said(follow);
        assert!(text.contains("2 tables (public.bare, public.hidden): are in the publication howdah without a replica identity"), "{text}");
        if version != Version::V14 {
            database.query("ALTER PUBLICATION howdah SET TABLE plain WHERE (id > 1)");
            let text = said(follow);
            assert!(
                text.contains("table public.plain: is in the publication howdah with a row filter"),
                "{text}"
            );
        }
    }
}
