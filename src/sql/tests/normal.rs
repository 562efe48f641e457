//! Normalised texts, fingerprints, and patterns for them.

use crate::sql::{Print, Shape, TextPattern, fingerprint, normalise};

fn normal(text: &str) -> String {
    String::from_utf8(normalise(text.as_bytes(), true)).unwrap()
}

#[test]
fn texts_that_differ_in_constants_alone_are_one() {
    for (text, want) in [
        ("SELECT 1", "select ?"),
        ("  select\n\t'x' ; ;", "select ?"),
        ("/* a */ SELECT $1 -- b", "select ?"),
        ("SELECT count( * ) FROM Orders o WHERE o . id=5", "select count(*) from orders o where o.id = ?"),
        ("SELECT count(*) FROM \"Orders\"", "select count(*) from \"Orders\""),
        ("SELECT a FROM t WHERE id IN (1, 2,3 , $4)", "select a from t where id in(?)"),
        ("SELECT a FROM t WHERE id IN (1)", "select a from t where id in(?)"),
        ("SELECT E'a\\'b', $$x$$, B'01', 1.5e3, U&'d'", "select ?"),
        ("SELECT a,b FROM t WHERE a>=1 AND b<>'x'", "select a, b from t where a >= ? and b <> ?"),
        ("INSERT INTO t VALUES (1,'a'),(2,'b')", "insert into t values(?)"),
        (
            "INSERT INTO t VALUES (1, now()), (2, now()) RETURNING a",
            "insert into t values(?, now()) returning a",
        ),
        ("VALUES (DEFAULT, 1), (DEFAULT, 2), (f(3), 4)", "values(default, ?),(f(?), ?)"),
        ("SELECT a IN ($1::int, $2::int, 3::text)", "select a in(? :: int, ? :: text)"),
        ("SELECT (a, b) IN ((1, 2), (3, 4)), ARRAY[ROW(1), ROW(2)]", "select(a, b) in((?)), array[row(?)]"),
        ("SELECT f(a), f(a), (a), (a)", "select f(a), f(a),(a),(a)"),
        ("SELECT -1, - 2, a - 3, a -4, (-5), b[-6], 7 - -8", "select ?, a - ?, a - ?,(?), b[?], ? - ?"),
        ("SELECT -a, -(1), -$1, -'1', 1 -1", "select - a, -(?), - ?, - ? - ?"),
        ("SELECT a->-1 WHERE b AND -1 < c OR d =-2", "select a -> ? where b and ? < c or d = ?"),
        ("SELECT NULL, TRUE, false WHERE a IS NULL", "select ? where a is null"),
        ("SELECT a IS NOT NULL, b IS NOT true, NOT false", "select a is not null, b is not true, not ?"),
        ("CREATE TABLE t (a int NOT NULL DEFAULT NULL)", "create table t(a int not null default ?)"),
        ("SELECT t.null, \"null\"", "select t.null, \"null\""),
        ("SELECT a ? 'b', c ?| ARRAY['d','e']", "select a ? ?, c ? | array[?]"),
        ("SET LOCAL a.b TO c, d; SET a = 'x'; SELECT 1", "set local a.b = ?; set a = ?; select ?"),
        ("SET a TO DEFAULT", "set a = default"),
        ("SET TRANSACTION READ ONLY", "set transaction read only"),
        ("UPDATE t SET a = b, c = 1", "update t set a = b, c = ?"),
        (
            "SAVEPOINT a; RELEASE SAVEPOINT \"b\"; ROLLBACK TO c",
            "savepoint ?; release savepoint ?; rollback to ?",
        ),
        (
            "FETCH 10 FROM a; CLOSE a; CLOSE ALL; DEALLOCATE PREPARE p",
            "fetch ? from ?; close ?; close all; deallocate prepare ?",
        ),
        ("DECLARE a CURSOR FOR SELECT b FROM c", "declare ? cursor for select b from c"),
        ("PREPARE a AS SELECT 1", "prepare a as select ?"),
        ("SELECT -", "select -"),
        ("SELECT a)), (1), (2)", "select a)),(?)"),
        ("SELECT a[1], b::text", "select a[?], b :: text"),
        ("", ""),
        (";;", ""),
    ] {
        assert_eq!(normal(text), want, "{text}");
        assert_eq!(normal(want), want, "{want} is normal");
    }
}

#[test]
fn a_fingerprint_is_the_same_for_ever() {
    let print = |text: &str| format!("{:016x}", fingerprint(&normalise(text.as_bytes(), true)));
    assert_eq!(print(""), "cbf29ce484222325");
    assert_eq!(print("SELECT 1"), print("select 'x'"));
    assert_ne!(print("SELECT 1"), print("SELECT a"));
    assert_eq!(print("SELECT count(*) FROM orders WHERE status = 'open'"), "3320ae75c234bf53");
}

#[test]
fn patterns_fit_what_they_say() {
    let fits = |pattern: &str, text: &str| TextPattern::new(pattern).matches(text.as_bytes(), true);
    for (pattern, text) in [
        ("SELECT count(*) FROM orders*", "select COUNT(*) from orders"),
        ("SELECT count(*) FROM orders*", "SELECT count(*) FROM orders WHERE a = 1"),
        ("SELECT count(*) FROM orders*", "/*x*/ SELECT count(*) FROM orders_archive"),
        ("SELECT * FROM t WHERE id = 1", "SELECT a, b FROM t WHERE id = 77"),
        ("SELECT a FROM t WHERE id IN (1)", "SELECT a FROM t WHERE id IN (1, 2, 3)"),
        ("SELECT a FROM t WHERE id IN (1, 2) AND b*", "SELECT a FROM t WHERE id IN (7) AND b = 2"),
        ("*from orders*", "SELECT a FROM orders"),
        ("select 1", "SELECT 5;"),
        ("select 1*", "SELECT NULL, a"),
        ("SELECT NULL", "SELECT -5"),
        ("SET a TO b", "SET a = 'c'"),
        ("INSERT INTO t VALUES (1)*", "INSERT INTO t VALUES (1, 2), (3, 4) RETURNING a"),
    ] {
        assert!(fits(pattern, text), "{pattern}: {text}");
    }
    for (pattern, text) in [
        ("SELECT count(*) FROM orders*", "SELECT sum(a) FROM orders"),
        ("SELECT count(*) FROM orders*", "SELECT count(*) FROM order"),
        ("SELECT count(*) FROM orders*", "INSERT INTO orders VALUES (1)"),
        ("SELECT a FROM t", "SELECT a FROM t WHERE b"),
        ("SELECT a FROM \"T\"", "SELECT a FROM t"),
        ("*from orders*", "SELECT 'from orders'"),
        ("select 1", ""),
    ] {
        assert!(!fits(pattern, text), "{pattern}: {text}");
    }
}

const CORPUS: &str = include_str!("../../../tests/fingerprints/corpus.sql");
const PRINTS: &str = include_str!("../../../tests/fingerprints/prints.txt");

/// Statements as frameworks write them, in groups that differ in their constants alone.
fn corpus() -> Vec<Vec<String>> {
    let groups = CORPUS.split("\n\n").map(|group| {
        let lines = group.lines().filter(|line| !line.starts_with("--") || line.contains("\\n"));
        lines.map(|line| line.replace("\\n", "\n")).collect::<Vec<_>>()
    });
    groups.filter(|group| !group.is_empty()).collect()
}

#[test]
fn what_frameworks_write_is_grouped() {
    let mut seen = std::collections::HashMap::new();
    for group in corpus() {
        let first = normal(&group[0]);
        for text in &group {
            assert_eq!(normal(text), first, "{text}");
            assert_eq!(normal(&first), first, "normal twice");
        }
        if let Some(other) = seen.insert(fingerprint(first.as_bytes()), group[0].clone()) {
            panic!("one fingerprint: {other} and {}", group[0]);
        }
    }
    assert!(corpus().iter().map(Vec::len).sum::<usize>() > 250);
}

/// A fingerprint stands in people's configurations and dashboards. If this fails, it is not the file that is wrong.
#[test]
fn fingerprints_do_not_change_from_version_to_version() {
    let lines = corpus().into_iter().map(|group| {
        let normal = normal(&group[0]);
        format!("{:016x} {normal}\n", fingerprint(normal.as_bytes()))
    });
    let prints: String = lines.collect();
    if prints != PRINTS {
        let differ = prints.lines().zip(PRINTS.lines()).find(|(new, old)| new != old);
        panic!("{differ:?}; all of them:\n{prints}");
    }
}

#[test]
fn a_print_is_that_of_the_normalised_text() {
    let mut buffer = Vec::new();
    for text in corpus().iter().flatten() {
        let print = Print::new(text.as_bytes(), true, &mut buffer);
        assert_eq!(print.fingerprint, fingerprint(&normalise(text.as_bytes(), true)), "{text}");
        let shape = Shape::new(text.as_bytes(), true);
        assert_eq!((shape.fingerprint, shape.text.as_bytes()), (print.fingerprint, &*buffer));
    }
    let mut values = |text: &str| Print::new(text.as_bytes(), true, &mut buffer).values;
    let all = [
        "SELECT 1",
        "SELECT -1",
        "SELECT 12",
        "SELECT '1'  ",
        "SELECT 1, 2",
        "SELECT 2, 1",
        "SELECT NULL",
        "SELECT ''",
    ];
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            // A number and a string of the same characters are one value.
            if (*one, *other) != ("SELECT 1", "SELECT '1'  ") {
                assert_ne!(values(one), values(other), "{one} and {other}");
            }
        }
    }
    assert_eq!(values("SELECT a FROM b"), values("SELECT c"));
    assert_eq!(
        values("SELECT 'long enough for two words' /* x */"),
        values("select 'long enough for two words'")
    );
}

#[test]
fn a_long_text_is_cut_but_its_fingerprint_is_of_all() {
    let long = |end: &str| format!("SELECT {} {end}", vec!["a"; 5000].join(", "));
    let (one, other) = (Shape::new(long("b").as_bytes(), true), Shape::new(long("c").as_bytes(), true));
    assert_eq!(one.text.len(), Shape::MAX_TEXT);
    assert_eq!(one.text, other.text);
    assert_ne!(one.fingerprint, other.fingerprint);
}

#[test]
fn a_long_list_and_deep_brackets_take_linear_time() {
    let list = format!("SELECT a IN ({})", vec!["1::int"; 200_000].join(","));
    assert_eq!(normal(&list), "select a in(? :: int)");
    let rows = format!("INSERT INTO t VALUES {}", vec!["(1, now())"; 200_000].join(","));
    assert_eq!(normal(&rows), "insert into t values(?, now())");
    let deep = format!("{}1{}", "(".repeat(200_000), ")".repeat(200_000));
    assert_eq!(normal(&deep).len(), 400_001);
    let pairs = format!("{}1{}", "((1),".repeat(100_000), ")".repeat(100_000));
    assert!(normal(&pairs).len() <= 700_000);
}

proptest::proptest! {
    #[test]
    fn what_is_normal_stays_so(text in "[ab1'(),\\-\\[\\]?.= :;$\"]{0,40}|(set|savepoint|fetch|select|null|not|is|true|in|from|to|default|[-,=(.);1]| ){0,24}") {
        let once = normalise(text.as_bytes(), true);
        proptest::prop_assert!(once.len() <= text.len() * 2 + 2);
        Print::new(text.as_bytes(), true, &mut Vec::new());
    }

    #[test]
    fn any_bytes_are_normalised_once(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let once = normalise(&bytes, true);
        TextPattern::new(&String::from_utf8_lossy(&bytes)).matches(&bytes, true);
        proptest::prop_assert!(once.len() <= bytes.len() * 2 + 2);
    }
}
