//! Normalised texts, fingerprints, and patterns for them.

use crate::sql::{TextPattern, fingerprint, normalise};

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
        ("INSERT INTO t VALUES (1,'a'),(2,'b')", "insert into t values(?),(?)"),
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

proptest::proptest! {
    #[test]
    fn any_bytes_are_normalised_once(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let once = normalise(&bytes, true);
        TextPattern::new(&String::from_utf8_lossy(&bytes)).matches(&bytes, true);
        proptest::prop_assert!(once.len() <= bytes.len() * 2 + 2);
    }
}
