//! Statements that a client runs again and again with other values.

use super::*;
use crate::observe::NPlusOneRow;

const MILLI: u64 = 1_000_000;

/// Runs statements of one client, a millisecond after each other, each in a transaction of its own.
fn run(texts: &[String]) -> Vec<NPlusOneRow> {
    run_in(texts, |n| (n as u64 * MILLI, n as u32))
}

fn run_in(texts: &[String], place: impl Fn(usize) -> (u64, u32)) -> Vec<NPlusOneRow> {
    let observer = observer();
    let nobody = caller(None);
    for (n, text) in texts.iter().enumerate() {
        let mut record = record(text, &nobody, 1);
        (record.at, record.transaction) = place(n);
        record.tags = tags(text);
        observer.recorder(0).statement(record);
    }
    observer.n_plus_one()
}

fn items(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("SELECT * FROM items WHERE order_id = {n}"))
}

#[test]
fn a_statement_in_a_loop_is_found_with_what_came_before() {
    let texts: Vec<_> = std::iter::once("SELECT id FROM orders".to_owned()).chain(items(25)).collect();
    let rows = run(&texts);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(&*row.shape.text, "select * from items where order_id = ?");
    assert_eq!(&*row.before.as_ref().unwrap().text, "select id from orders");
    assert_eq!((row.occurrences, row.executions, row.worst, row.time), (1, 25, 25, 25 * MILLI));
    assert_eq!(row.last_seen, 25 * MILLI);
}

#[test]
fn as_many_as_the_threshold_are_none_too_many() {
    assert!(run(&items(20).collect::<Vec<_>>()).is_empty());
    assert_eq!(run(&items(21).collect::<Vec<_>>())[0].executions, 21);
}

#[test]
fn a_loop_with_two_statements_is_found() {
    let two =
        |n| [format!("SELECT a FROM items WHERE id = {n}"), format!("SELECT b FROM stock WHERE id = {n}")];
    let texts: Vec<_> =
        std::iter::once("SELECT id FROM orders".to_owned()).chain((0..25).flat_map(two)).collect();
    let outside = run(&texts);
    assert_eq!(&*outside[0].before.as_ref().unwrap().text, "select id from orders");
    assert_eq!(outside[0].executions, 25);
    // In one transaction both are.
    let inside = run_in(&texts, |n| (n as u64 * 1000 * MILLI, 7));
    assert_eq!(inside.len(), 2);
    assert!(inside.iter().all(|row| row.executions == 25));
}

#[test]
fn the_same_values_are_no_other_row() {
    assert!(run(&vec!["SELECT 1".to_owned(); 100]).is_empty(), "a ping");
    assert!(run(&vec!["SELECT now()".to_owned(); 100]).is_empty());
    assert!(
        run(&["BEGIN", "COMMIT"].repeat(50).into_iter().map(str::to_owned).collect::<Vec<_>>()).is_empty()
    );
}

#[test]
fn requests_that_each_ask_a_little_are_none() {
    // One connection serves many requests, and each begins with the same statement.
    let request = |n| {
        [
            format!("SELECT * FROM sessions WHERE id = {}", n / 3),
            format!("SELECT * FROM orders WHERE id = {n}"),
        ]
    };
    let texts: Vec<_> = (0..20).flat_map(request).collect();
    assert!(run(&texts).is_empty());
    // As does each trace.
    let traced = |n| format!("SELECT * FROM orders WHERE id = {n} /*traceparent='00-{n}'*/");
    assert!(run(&(0..100).map(traced).collect::<Vec<_>>()).is_empty());
}

#[test]
fn what_is_far_apart_is_none_but_in_a_transaction() {
    let texts: Vec<_> = items(40).collect();
    assert!(run_in(&texts, |n| (n as u64 * 100 * MILLI, n as u32)).is_empty());
    assert_eq!(run_in(&texts, |n| (n as u64 * 100 * MILLI, 3))[0].executions, 40);
    // A run that is long enough goes on while its statements follow closely.
    let texts: Vec<_> = items(300).collect();
    let rows = run_in(&texts, |n| (n as u64 * 40 * MILLI, n as u32));
    assert_eq!((rows[0].occurrences, rows[0].executions, rows[0].worst), (1, 300, 300));
}

#[test]
fn runs_are_counted_by_route() {
    let tagged =
        |route: &str, n| format!("SELECT * FROM items WHERE id = {n} /*action='a',route='{route}'*/");
    let mut texts: Vec<_> = (0..30).map(|n| tagged("%2Forders", n)).collect();
    texts.extend((0..22).map(|n| tagged("%2Fcart", n)));
    // The second begins when the first has been silent for a while.
    let rows = run_in(&texts, |n| ((n as u64 + 5000 * u64::from(n >= 30)) * MILLI, n as u32));
    let read: Vec<_> = rows
        .iter()
        .map(|row| (row.route.as_deref().unwrap(), row.action.as_deref(), row.executions))
        .collect();
    assert_eq!(read, [("/orders", Some("a"), 30), ("/cart", Some("a"), 22)]);
}

#[test]
fn a_threshold_of_zero_turns_it_off() {
    let mut settings = ObserverSettings::default();
    settings.n_plus_one.threshold = 0;
    let observer = Observer::new(settings, 1);
    let nobody = caller(None);
    items(100).for_each(|text| observer.recorder(0).statement(record(&text, &nobody, 1)));
    assert!(observer.n_plus_one().is_empty());
    assert_eq!(observer.databases()[0].n_plus_one, 0);
}

#[test]
fn runs_count_at_their_statement_and_login() {
    let observer = observer();
    let nobody = caller(None);
    for client in 0..3 {
        for text in items(25) {
            let mut record = record(&text, &nobody, 1);
            record.client = ClientId(client);
            observer.recorder(0).statement(record);
        }
    }
    assert_eq!(observer.statements()[0].n_plus_one, 3);
    assert_eq!(observer.databases()[0].n_plus_one, 3);
    assert_eq!(observer.n_plus_one()[0].occurrences, 3);
}

#[test]
fn many_clients_and_many_routes_are_bounded() {
    let observer = observer();
    let nobody = caller(None);
    for client in 0..30_000 {
        let mut record = record("SELECT a FROM t WHERE id = 1", &nobody, 1);
        (record.client, record.at) = (ClientId(client), client);
        observer.recorder(0).statement(record);
    }
    for route in 0..1000_u64 {
        for n in 0..22 {
            let text = format!("SELECT a FROM t WHERE id = {n} /*route='{route}'*/");
            let mut record = record(&text, &nobody, 1);
            (record.tags, record.client, record.at) = (tags(&text), ClientId(route), 1 << 40);
            observer.recorder(0).statement(record);
        }
    }
    assert!(observer.n_plus_one().len() <= 500);
    assert!(observer.memory() < 16 << 20, "{}", observer.memory());
}
