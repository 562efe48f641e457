//! Transactions that only read are answered from memory too.

use super::{CACHE, ask, config, fates, login, marked, warm};
use crate::support::wire::{bind, describe_portal, execute, parse, query, sync, tags};
use crate::support::{Cluster, Config, Version};

#[test]
fn a_transaction_that_only_reads_is_answered_from_memory() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_read_only");
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC");
    let howdah = config(2, &database).start();
    let (mut wire, mut other) = (login(&howdah, &database), login(&howdah, &database));
    let (read, more) = (marked("SELECT a FROM t"), marked("SELECT a + 1 FROM t"));
    warm(&mut wire, &read);
    for (begin, fate) in [
        ("BEGIN READ ONLY", "hit"),
        ("START TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY", "hit"),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "miss, transaction"),
        ("BEGIN READ ONLY ISOLATION LEVEL SERIALIZABLE DEFERRABLE", "miss, transaction"),
        ("BEGIN READ WRITE", "miss, transaction"),
        ("BEGIN", "miss, transaction"),
        ("BEGIN READ ONLY; SET LOCAL app.x = '1'", "miss, transaction"),
    ] {
        wire.query(begin);
        let messages = wire.query(&read);
        assert_eq!(fates(&messages).join(""), fate, "{begin}");
        assert_eq!(messages.last().unwrap().body, b"T", "{begin}");
        assert_eq!(ask(&mut wire, &read).0, fate, "{begin}");
        wire.query("COMMIT");
        assert_eq!(ask(&mut wire, &read).0, "hit", "{begin}");
    }
    // By the extended protocol, begun by it as well; kept as it passes; ended by whatever is not marked.
    wire.exchange(&[parse("", "BEGIN READ ONLY"), bind("", "", &[]), execute("", 0), sync()]);
    let batch =
        |text: &str| vec![parse("", text), bind("", "", &[]), describe_portal(""), execute("", 0), sync()];
    let messages = wire.exchange(&batch(&read));
    assert_eq!((fates(&messages).join(""), tags(&messages)), ("hit".into(), "N12TDCZ".into()));
    assert_eq!(messages.last().unwrap().body, b"T");
    warm(&mut other, &more); // a text that is not known could do anything
    other.query("UPDATE t SET a = a");
    assert_eq!(ask(&mut wire, &more), ("miss, invalidated".into(), "2".into()));
    assert_eq!(ask(&mut other, &more), ("hit".into(), "2".into()));
    assert_eq!(ask(&mut wire, &more), ("hit".into(), "2".into()));
    warm(&mut other, &read);
    // Its portal never was; nothing else may be taken for it.
    wire.exchange(&batch("SELECT 'another'"));
    assert_eq!(ask(&mut wire, &read).0, "miss, transaction", "behind a text that was not marked");
    wire.query("COMMIT");
    wire.query("BEGIN READ ONLY");
    wire.exchange(&[parse("", &read), bind("", "", &[]), execute("", 0), sync()]);
    let again = wire.exchange(&[execute("", 0), sync()]);
    assert_eq!(again.iter().find(|m| m.tag == b'E').map(|m| m.sqlstate()), Some("34000".into()));
    assert_eq!(again.last().unwrap().body, b"E");
    wire.query("ROLLBACK");
    // What others commit meanwhile is seen, as READ COMMITTED has it.
    wire.query("BEGIN READ ONLY");
    assert_eq!(ask(&mut wire, &read), ("hit".into(), "1".into()));
    other.exchange(&[query("UPDATE t SET a = 5")]);
    assert_eq!(ask(&mut wire, &read).1, "5");
    wire.query("COMMIT");
}

#[test]
fn a_login_whose_transactions_see_one_moment_is_not_answered_in_them() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("cache_isolation");
    database.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT ALL ON t TO PUBLIC");
    let name = &database.name;
    database.query(&format!("ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'"));
    let howdah = Config::simple(2, &database).sections(CACHE).start();
    let (mut wire, mut other) = (login(&howdah, &database), login(&howdah, &database));
    let read = marked("SELECT a FROM t");
    warm(&mut wire, &read);
    wire.query("BEGIN READ ONLY");
    assert_eq!(ask(&mut wire, &read), ("miss, transaction".into(), "1".into()));
    other.query("UPDATE t SET a = 2");
    assert_eq!(ask(&mut wire, &read), ("miss, transaction".into(), "1".into()));
    wire.query("COMMIT");
    assert_eq!(ask(&mut other, &read).1, "2", "what it saw was not kept");
    wire.query("BEGIN READ ONLY ISOLATION LEVEL READ COMMITTED");
    assert_eq!(warm(&mut other, &read), "2");
    assert_eq!(ask(&mut wire, &read), ("hit".into(), "2".into()));
    wire.query("COMMIT");
    wire.query("SET default_transaction_isolation = 'read committed'");
    warm(&mut wire, &read);
    wire.query("BEGIN READ ONLY");
    assert_eq!(ask(&mut wire, &read).0, "hit");
    wire.query("COMMIT");
}
