//! The heaviest rows stay and are exact; the rest is in `other`, and nothing is lost.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::observe::{Counts, NPlusOneSettings};

fn small(statements: usize, tenants: usize) -> Arc<Observer> {
    let n_plus_one = NPlusOneSettings { threshold: 0, ..NPlusOneSettings::default() };
    Observer::new(
        ObserverSettings { max_tracked: statements, max_tenants: tenants, n_plus_one, ..Default::default() },
        1,
    )
}

fn sum<'a>(all: impl Iterator<Item = &'a Counts>) -> Counts {
    let mut sum = Counts::default();
    all.for_each(|counts| sum.add(counts));
    sum
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}

#[test]
fn a_flood_of_statements_does_not_drive_out_the_heavy_ones() {
    let observer = small(500, 10);
    let nobody = caller(None);
    let mut random = Random(7);
    let mut heavy = HashMap::new();
    for n in 0..100_000_u64 {
        // One of a hundred that are called often, and one that comes but once.
        let often = format!("SELECT often_{}", random.below(100));
        *heavy.entry(often.clone()).or_insert(0) += 1;
        observer.recorder(0).statement(StatementRecord { at: n, ..record(&often, &nobody, 2) });
        observer
            .recorder(0)
            .statement(StatementRecord { at: n, ..record(&format!("SELECT once_{n}"), &nobody, 1) });
    }
    let rows = observer.statements();
    assert!(rows.len() <= 501, "{}", rows.len());
    for row in &rows[..100] {
        let text = row.shape.as_ref().unwrap().text.replace("select", "SELECT");
        assert_eq!(row.counts.calls, heavy[&text], "{text} is exact");
    }
    let other = rows.last().unwrap();
    assert!(other.shape.is_none());
    let all = sum(rows.iter().map(|row| &row.counts));
    assert_eq!((all.calls, all.total, all.rows), (200_000, 300_000 * 1_000_000, 200_000));
    assert_eq!((all.min, all.max), (1_000_000, 2_000_000));
    assert!((984_000..1_016_000).contains(&other.quantiles.p50), "{}", other.quantiles.p50);
}

#[test]
fn what_becomes_heavy_later_wins_its_place() {
    let observer = small(100, 10);
    let nobody = caller(None);
    for round in 0..50 {
        for n in 0..100 {
            observer
                .recorder(0)
                .statement(StatementRecord { at: round, ..record(&format!("SELECT old_{n}"), &nobody, 10) });
        }
    }
    // Lighter than all others each time that somebody has to go, but it comes again and again.
    for round in 0..2000 {
        for text in ["SELECT late".to_owned(), format!("SELECT once_{round}")] {
            observer.recorder(0).statement(StatementRecord { at: 100 + round, ..record(&text, &nobody, 1) });
        }
    }
    let rows = observer.statements();
    let late = rows.iter().find(|row| row.shape.as_ref().is_some_and(|shape| &*shape.text == "select late"));
    assert!(late.unwrap().counts.calls > 1000, "{:?}", late);
    assert_eq!(sum(rows.iter().map(|row| &row.counts)).calls, 5000 + 4000);
}

#[test]
fn tenants_are_bounded_and_add_up() {
    let observer = small(100, 50);
    let mut calls = 0;
    for n in 0..5000_u64 {
        for tenant in [format!("big {}", n % 5), format!("small {n}")] {
            let of = caller(Some(&tenant));
            observer.recorder(0).statement(StatementRecord { at: n, ..record("SELECT 1", &of, 1) });
            observer.recorder(0).transaction(TransactionRecord { at: n, ..transaction(&of) });
            calls += 1;
        }
    }
    let rows = observer.tenants();
    assert_eq!(rows.len(), rows.iter().filter(|row| !row.is_other).count() + 1);
    assert!(rows.len() <= 51);
    let big: Vec<_> = rows[..5].iter().map(|row| row.counts.calls).collect();
    assert_eq!(big, [1000; 5]);
    assert_eq!(sum(rows.iter().map(|row| &row.counts)).calls, calls);
    assert_eq!(rows.iter().map(|row| row.transactions).sum::<u64>(), calls);
    let print = observer.statements()[0].shape.as_ref().unwrap().fingerprint;
    let detail = observer.statement("shop", print).unwrap();
    let mut parts = sum(detail.tenants.iter().map(|(_, counts)| counts));
    parts.add(&detail.other_tenants);
    assert_eq!(parts, detail.row.counts);
    assert_eq!(detail.tenants[0].1.calls, 1000);
}

#[test]
fn callers_with_endless_routes_are_bounded() {
    let observer = small(10, 10);
    let nobody = caller(None);
    for n in 0..20_000 {
        let text = format!("SELECT 1 /*route='%2Forders%2F{n}'*/");
        observer.recorder(0).statement(StatementRecord { tags: tags(&text), ..record(&text, &nobody, 1) });
        observer.recorder(0).statement(record("SELECT 1", &nobody, 1));
    }
    let print = observer.statements()[0].shape.as_ref().unwrap().fingerprint;
    let detail = observer.statement("shop", print).unwrap();
    assert!(detail.callers.len() <= 100, "{}", detail.callers.len());
    assert_eq!((detail.callers[0].counts.calls, &detail.callers[0].caller.route), (20_000, &None));
    let mut parts = sum(detail.callers.iter().map(|row| &row.counts));
    parts.add(&detail.other_callers);
    assert_eq!(parts, detail.row.counts);
    assert!(observer.memory() < 8 << 20, "{}", observer.memory());
}

#[test]
fn a_caller_s_tags_are_told_apart_and_cut() {
    let observer = small(10, 10);
    let nobody = caller(None);
    let long = "ä".repeat(500);
    for (route, times) in [("a", 3), (&*long, 2)] {
        let text = format!("SELECT 1 /*application='web',route='{route}'*/");
        for _ in 0..times {
            observer
                .recorder(0)
                .statement(StatementRecord { tags: tags(&text), ..record(&text, &nobody, 1) });
        }
    }
    let print = observer.statements()[0].shape.as_ref().unwrap().fingerprint;
    let callers = observer.statement("shop", print).unwrap().callers;
    assert_eq!((callers[0].caller.route.as_deref(), callers[0].counts.calls), (Some("a"), 3));
    assert_eq!(&*callers[0].caller.application, "web");
    assert_eq!(callers[1].caller.route.as_deref(), Some(&*"ä".repeat(128)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever comes in which order: sums over the rows are those of all records.
    #[test]
    fn nothing_is_lost(
        most in 1_usize..30,
        tenants in 1_usize..10,
        records in proptest::collection::vec((0_u32..60, 0_u32..20, 0_u64..2000, 0_u64..50, any::<bool>()), 1..600),
    ) {
        let observer = small(most, tenants);
        let callers: Vec<_> = (0..20).map(|n| caller((n > 0).then(|| format!("t{n}")).as_deref())).collect();
        let mut want = Counts::default();
        for (at, (statement, tenant, time, rows, failed)) in records.iter().enumerate() {
            let mut one = record(&format!("SELECT c{statement}"), &callers[*tenant as usize], *time);
            (one.at, one.rows, one.error) = (at as u64, *rows, failed.then_some(*b"22012"));
            want.add(&Counts {
                calls: 1, errors: u64::from(*failed), rows: *rows, bytes: one.bytes, total: one.phases.total(),
                times: one.phases, min: one.phases.total(), max: one.phases.total(), cached: 0,
            });
            observer.recorder(0).statement(one);
        }
        let statements = observer.statements();
        prop_assert_eq!(sum(statements.iter().map(|row| &row.counts)), want);
        prop_assert_eq!(sum(observer.tenants().iter().map(|row| &row.counts)), want);
        prop_assert!(statements.iter().filter(|row| row.shape.is_some()).count() <= most);
        for row in &statements {
            let Some(shape) = &row.shape else { continue };
            let detail = observer.statement("shop", shape.fingerprint).unwrap();
            let mut parts = sum(detail.tenants.iter().map(|(_, counts)| counts));
            parts.add(&detail.other_tenants);
            prop_assert_eq!(parts, row.counts);
            let mut parts = sum(detail.callers.iter().map(|row| &row.counts));
            parts.add(&detail.other_callers);
            prop_assert_eq!(parts, row.counts);
            prop_assert_eq!(detail.histogram.count(), row.counts.calls);
        }
    }
}
