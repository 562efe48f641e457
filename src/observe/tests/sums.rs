//! What is counted, and where it is read.

use super::*;
use crate::observe::Counts;

#[test]
fn a_statement_is_counted_everywhere() {
    let observer = observer();
    let acme = caller(Some("acme"));
    let mut one = record("SELECT a FROM t WHERE id = 1", &acme, 3);
    one.phases =
        Phases { wait: 1_000_000, preamble: 10_000, first: 2_000_000, rest: 500, client: 70, cache: 0 };
    one.rows = 7;
    one.at = 50;
    observer.recorder(0).statement(one.clone());
    let mut two = record("SELECT a FROM t WHERE id = 2", &acme, 0);
    (two.served, two.phases) = (Served::Cache, Phases { cache: 2000, client: 30, ..Phases::default() });
    two.at = 60;
    observer.recorder(1).statement(two.clone());
    observer.recorder(1).transaction(transaction(&acme));

    let rows = observer.statements();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    let counts = row.counts;
    assert_eq!(&*row.shape.as_ref().unwrap().text, "select a from t where id = ?");
    assert_eq!((&*row.database, row.first_seen, row.last_seen), ("shop", 50, 60));
    assert_eq!((counts.calls, counts.cached, counts.errors, counts.rows, counts.bytes), (2, 1, 0, 8, 20));
    assert_eq!(counts.total, one.phases.total() + 2030);
    assert_eq!((counts.min, counts.max), (2030, one.phases.total()));
    assert_eq!(counts.times, Phases { client: 100, cache: 2000, ..one.phases });
    assert_eq!(counts.mean(), counts.total / 2);

    let tenants = observer.tenants();
    assert_eq!(tenants.len(), 1);
    assert_eq!((tenants[0].tenant.as_deref(), tenants[0].is_other), (Some("acme"), false));
    assert_eq!(tenants[0].counts, counts);
    assert_eq!((tenants[0].transactions, tenants[0].transaction_time, tenants[0].wait), (1, 5, 2));

    let detail = observer.statement("shop", row.shape.as_ref().unwrap().fingerprint).unwrap();
    assert_eq!(detail.tenants, [(Some("acme".into()), counts)]);
    assert_eq!(detail.other_tenants, Counts::default());
    assert_eq!(detail.callers.len(), 1);
    assert_eq!((&*detail.callers[0].caller.user, &*detail.callers[0].caller.application), ("web", "app"));
    assert_eq!(detail.callers[0].counts, counts);
    assert_eq!(detail.histogram.count(), 2);

    let login = &observer.databases()[0];
    assert_eq!((&*login.database, &*login.user), ("shop", "web"));
    assert_eq!((login.statements, login.cached, login.rows, login.transactions), (2, 1, 8, 1));
    assert_eq!((login.received, login.sent, login.server_time), (100, 200, 2_000_500));
    let counted = login.phases.map(|phase| phase.count());
    assert_eq!(counted, [1, 1, 1, 1, 2, 1], "wait, preamble, first, rest, client, cache");
    assert_eq!((login.total.count(), login.total.sum), (2, counts.total));

    let totals = observer.totals();
    assert_eq!((totals.statements, totals.transactions, totals.cached, totals.rows), (2, 1, 1, 8));
    assert_eq!(totals.histogram.sum(), counts.total);
    let of = observer.statements_of(None, "acme");
    assert_eq!(of.values().collect::<Vec<_>>(), [&counts]);
    assert_eq!(observer.statements_of(Some("shop"), "acme"), of);
    assert!(observer.statements_of(Some("other"), "acme").is_empty());
    assert!(observer.statements_of(None, "other").is_empty());
}

#[test]
fn what_goes_on_with_a_portal_is_no_other_call() {
    let observer = observer();
    let nobody = caller(None);
    observer.recorder(0).statement(record("SELECT a FROM t", &nobody, 2));
    let mut more = record("SELECT a FROM t", &nobody, 5);
    (more.continues, more.rows) = (true, 100);
    observer.recorder(0).statement(more);
    let row = &observer.statements()[0];
    assert_eq!((row.counts.calls, row.counts.rows, row.counts.total), (1, 101, 7_000_000));
    assert_eq!(observer.totals().statements, 1);
    assert_eq!(
        observer.statement("shop", row.shape.as_ref().unwrap().fingerprint).unwrap().histogram.count(),
        1
    );
}

#[test]
fn errors_are_counted_by_sqlstate() {
    let observer = observer();
    let nobody = caller(None);
    let recorder = observer.recorder(0);
    for (text, error) in [("SELECT 1/0", *b"22012"), ("SELECT 2/0", *b"22012"), ("SELECT b", *b"42703")] {
        recorder.statement(StatementRecord { error: Some(error), ..record(text, &nobody, 1) });
    }
    recorder.error_of_howdah(&nobody, *b"53300");
    recorder.error_of_howdah(&nobody, *b"42703");
    recorder.error_of_howdah(&nobody, [0xff; 5]);
    let rows = observer.errors();
    let read =
        |at: usize| (rows[at].sqlstate.as_deref().unwrap().to_owned(), rows[at].count, rows[at].of_howdah);
    assert_eq!(read(0), ("22012".to_owned(), 2, 0));
    assert_eq!(read(1), ("42703".to_owned(), 2, 1));
    assert_eq!(read(2), ("53300".to_owned(), 1, 1));
    assert_eq!(rows[0].shape.as_ref().unwrap().text.as_ref(), "select ? / ?");
    assert!(rows[2].shape.is_none());
    let login = &observer.databases()[0];
    assert_eq!(login.errors, 3);
    assert_eq!(login.errors_by_class[b"22"], 2);
    assert_eq!(login.errors_by_class[b"53"], 1);
    assert_eq!(observer.totals().errors, 6);
}

#[test]
fn errors_nobody_knows_are_bounded() {
    let observer = observer();
    let nobody = caller(None);
    for n in 0..3000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        observer.recorder(0).error_of_howdah(&nobody, [b'X', b'X', a, b, c]);
        observer.recorder(0).error_of_howdah(&nobody, [b'Y', c, a, b, c]);
    }
    let rows = observer.errors();
    assert_eq!(rows.len(), 501);
    assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 6000);
    assert!(rows[500].sqlstate.is_none());
    let classes = &observer.databases()[0].errors_by_class;
    assert!(classes.len() <= 65, "{}", classes.len());
    assert_eq!(classes.values().sum::<u64>(), 6000);
}

#[test]
fn a_reset_forgets_all_but_what_counts_since_the_start() {
    let observer = observer();
    let acme = caller(Some("acme"));
    let run = || {
        let failed = StatementRecord { error: Some(*b"22012"), ..record("SELECT a FROM t", &acme, 1) };
        observer.recorder(0).statement(failed);
        observer.recorder(0).transaction(transaction(&acme));
    };
    run();
    observer.reset();
    assert!(
        observer.statements().is_empty() && observer.tenants().is_empty() && observer.errors().is_empty()
    );
    assert!(observer.statements_of(None, "acme").is_empty());
    assert_eq!(observer.totals().statements, 1);
    run();
    assert_eq!(observer.statements()[0].counts.calls, 1);
    assert_eq!(observer.tenants()[0].counts.calls, 1);
    assert_eq!(observer.statements_of(None, "acme").len(), 1);
    assert_eq!((observer.totals().statements, observer.databases()[0].transactions), (2, 2));
}

#[test]
fn a_full_recorder_hands_over_by_itself() {
    let observer = observer();
    let nobody = caller(None);
    let recorder = observer.recorder(0);
    for _ in 0..20_000 {
        recorder.statement(record("SELECT 1", &nobody, 1));
    }
    // What waits is bounded without anybody who collects.
    assert!(observer.memory() < 4 << 20, "{}", observer.memory());
    assert_eq!(observer.totals().statements, 20_000);
}

#[test]
fn times_beyond_all_measure_are_no_matter() {
    let observer = observer();
    let nobody = caller(None);
    for _ in 0..3 {
        let mut long = record("SELECT 1", &nobody, 1);
        long.phases = Phases { wait: u64::MAX, rest: u64::MAX, ..Phases::default() };
        (long.rows, long.bytes, long.at) = (u64::MAX, u64::MAX, u64::MAX);
        observer.recorder(0).statement(long);
    }
    let row = &observer.statements()[0];
    assert_eq!((row.counts.calls, row.counts.total, row.counts.rows), (3, u64::MAX, u64::MAX));
    assert!(row.quantiles.p50 > u64::MAX / 64 * 63);
}

#[test]
fn threads_record_while_others_read() {
    let observer = observer();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let observer = &observer;
            scope.spawn(move || {
                let recorder = observer.recorder(worker);
                let mine = caller(Some(&format!("tenant {worker}")));
                for n in 0..20_000 {
                    recorder.statement(record(&format!("SELECT c{} FROM t", n % 50), &mine, 1));
                }
            });
        }
        for _ in 0..20 {
            let calls: u64 = observer.statements().iter().map(|row| row.counts.calls).sum();
            assert!(calls <= 80_000);
            observer.tenants();
        }
    });
    assert_eq!(observer.statements().iter().map(|row| row.counts.calls).sum::<u64>(), 80_000);
    assert_eq!(observer.tenants().iter().map(|row| row.counts.calls).sum::<u64>(), 80_000);
    assert_eq!(observer.statements().len(), 50);
}
