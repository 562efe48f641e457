//! What is remembered of texts, and what functions write.

use std::time::Duration;

use tokio::time::advance;

use crate::cache::{Body, Cache, Key, Limits, Miss, Plan, Plans, Routines, Study, Why};

fn key(name: &str) -> Key {
    let mut prefix =
        Cache::new(Limits { max_memory: 1 << 20, max_entry: 1 << 10, tenant_share: 1.0, jitter: 0.0 })
            .prefix();
    prefix.part(name.as_bytes());
    prefix.key()
}

fn plan(catalog: u64) -> Plan {
    Plan {
        marks: Vec::new().into(),
        settings: Box::default(),
        by_ttl_only: false,
        relations: Box::default(),
        catalog,
        shapes: crate::cache::Shapes::default(),
    }
}

fn kept(study: &Study) -> Option<u64> {
    match study {
        Study::Keep(plan) => Some(plan.catalog),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_old_is_asked_again_while_others_go_on_with_it() {
    let (plans, key) = (Plans::default(), key("a"));
    plans.begin(key, 1).unwrap().finish(Ok(plan(1)));
    advance(Duration::from_secs(599)).await;
    assert_eq!(kept(&plans.get(&key)), Some(1));
    advance(Duration::from_secs(2)).await;
    assert!(matches!(plans.get(&key), Study::Unknown)); // one is told
    assert_eq!(kept(&plans.get(&key)), Some(1)); // the others are not
    let again = plans.begin(key, 2).unwrap();
    assert_eq!(kept(&plans.get(&key)), Some(1));
    // A study that fails leaves the old one in place, and another one is told soon.
    again.finish(Err(Why::failed("x")));
    assert_eq!(kept(&plans.get(&key)), Some(1));
    advance(Duration::from_secs(11)).await;
    assert!(matches!(plans.get(&key), Study::Unknown));
    plans.begin(key, 3).unwrap().finish(Ok(plan(3)));
    assert_eq!(kept(&plans.get(&key)), Some(3));
    // One that says no does not.
    plans.begin(key, 4).unwrap().finish(Err(Why::never(Miss::Volatile, "y")));
    assert!(
        matches!(plans.get(&key), Study::Never(why) if why.miss() == Miss::Volatile && !why.is_failure())
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_passes() {
    let (plans, key) = (Plans::default(), key("a"));
    assert!(matches!(plans.get(&key), Study::Unknown));
    drop(plans.begin(key, 1).unwrap());
    assert!(matches!(plans.get(&key), Study::Never(why) if why.is_failure()));
    advance(Duration::from_secs(11)).await;
    assert!(matches!(plans.get(&key), Study::Unknown));
    assert!(plans.begin(key, 1).is_some());
}

#[tokio::test(start_paused = true)]
async fn memory_for_texts_is_bounded() {
    let plans = Plans::default();
    let mut prefix =
        Cache::new(Limits { max_memory: 1 << 20, max_entry: 1 << 10, tenant_share: 1.0, jitter: 0.0 })
            .prefix();
    for _ in 0..50_000 {
        prefix.count(1);
        plans.begin(prefix.key(), 1).unwrap().finish(Ok(plan(1)));
    }
    assert!(plans.len() <= 20_000, "{}", plans.len());
    assert_eq!(kept(&plans.get(&prefix.key())), Some(1));
}

fn body(oid: u32, name: &str, source: &str) -> Body {
    Body { oid, schema: "s".into(), name: name.into(), readable: true, source: source.into() }
}

#[test]
fn functions_that_call_each_other_write_what_the_others_do() {
    let bodies = [
        body(1, "a", "BEGIN PERFORM b(); INSERT INTO t1 VALUES (1); END"),
        body(2, "b", "BEGIN PERFORM s.a(), c(); UPDATE x.t2 SET a = 1; END"),
        body(3, "c", "DELETE FROM t3"),
        body(4, "d", "SELECT now()"),
        Body { readable: false, ..body(5, "e", "") },
        body(6, "f", "SELECT e()"),
    ];
    let routines = Routines::new(&bodies, vec![(1, vec![100, 101]), (4, vec![102]), (9, vec![103])], false);
    let tables = |text: &str| {
        let writes = routines.written_by(text.as_bytes(), true)?;
        let mut names: Vec<String> = writes.tables.iter().map(|(_, name)| name.to_string()).collect();
        names.sort();
        Some((names.join(" "), writes.unknown))
    };
    let known = |names: &str| Some((names.to_owned(), false));
    assert_eq!(tables("SELECT a()"), known("t1 t2 t3"));
    assert_eq!(tables("SELECT s.b()"), known("t1 t2 t3"));
    assert_eq!(tables("SELECT c(), d()"), known("t3"));
    assert_eq!(tables("SELECT d()"), None);
    assert_eq!(tables("SELECT other.c()"), None);
    assert_eq!(tables("SELECT 'c()'"), None);
    assert_eq!(tables("SELECT f()"), Some((String::new(), true)));
    assert_eq!(routines.triggers_into("any", "t3"), [100, 101]);
    assert_eq!(routines.triggers_into("x", "t2"), [100, 101]);
    assert!(routines.triggers_into("y", "t2").is_empty());
    assert!(!routines.any_trigger_may_write());
    let unread = Routines::new(&bodies, vec![(5, vec![100])], false);
    assert!(unread.any_trigger_may_write());
    assert!(Routines::new(&[], Vec::new(), true).any_trigger_may_write());
}

#[test]
fn while_functions_are_not_known_any_may_write() {
    for (text, unknown) in [
        ("select count(*), max(a) from t where b in (1)", false),
        ("insert into t (a) values (1)", true), // looks like a call: too much, not too little
        ("select 1", false),
        ("select f(1)", true),
        ("select \"count\"(1)", true),
    ] {
        let found = Routines::written_by_unknown(text.as_bytes());
        assert_eq!(found.is_some_and(|writes| writes.unknown), unknown, "{text}");
    }
}
