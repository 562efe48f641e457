//! All about one statement.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::numbers::{milliseconds, share, with};
use super::rows::{cut, hex, phases, tag};
use super::table::Ask;
use crate::observe::{CallerRow, Counts, Histogram, Observer};

/// Characters of its text.
const TEXT: usize = 32_768;
/// Rows of each of its tables.
const ROWS: usize = 100;
/// Bars of the histogram for each factor of ten.
const BARS: f64 = 8.0;

/// `None`: it is not known, or not any more.
pub(super) fn detail(observer: &Observer, ask: &Ask) -> Option<Value> {
    let detail = observer.statement(ask.database.as_deref()?, ask.fingerprint?)?;
    let row = &detail.row;
    let shape = row.shape.as_ref()?;
    let whole: u64 = observer.statements().iter().fold(0, |sum, row| sum.saturating_add(row.counts.total));
    let counts = &row.counts;
    let seconds = |at: u64| observer.now().saturating_sub(at) / 1_000_000_000;
    let tenants =
        detail.tenants.iter().take(ROWS).map(|(tenant, counts)| {
            with(sums(counts, row.counts.total), json!({ "tenant": tenant.as_deref() }))
        });
    Some(json!({
        "database": &*row.database,
        "fingerprint": hex(shape.fingerprint),
        "text": cut(&shape.text, TEXT),
        "share": share(counts.total, whole),
        "calls": counts.calls,
        "errors": counts.errors,
        "cached": counts.cached,
        "rows": counts.rows,
        "bytes": counts.bytes,
        "n_plus_one": row.n_plus_one,
        "total": milliseconds(counts.total),
        "mean": milliseconds(counts.mean()),
        "min": milliseconds(counts.min),
        "max": milliseconds(counts.max),
        "p50": milliseconds(row.quantiles.p50),
        "p90": milliseconds(row.quantiles.p90),
        "p95": milliseconds(row.quantiles.p95),
        "p99": milliseconds(row.quantiles.p99),
        "p999": milliseconds(row.quantiles.p999),
        "first_seen": seconds(row.first_seen),
        "seen": seconds(row.last_seen),
        "phases": phases(&counts.times, counts.calls),
        "histogram": bars(&detail.histogram),
        "tenants": with_others(tenants.collect(), "tenant", &detail.other_tenants, row.counts.total),
        "callers": with_others(
            detail.callers.iter().take(ROWS).map(|row| caller(row, counts.total)).collect(),
            "user",
            &detail.other_callers,
            row.counts.total,
        ),
    }))
}

fn sums(counts: &Counts, whole: u64) -> Value {
    json!({
        "share": share(counts.total, whole),
        "calls": counts.calls,
        "mean": milliseconds(counts.mean()),
        "max": milliseconds(counts.max),
        "rows": counts.rows,
        "errors": counts.errors,
        "cached": counts.cached,
    })
}

fn caller(row: &CallerRow, whole: u64) -> Value {
    let caller = &row.caller;
    let who = json!({
        "user": &*caller.user,
        "application": tag(Some(&caller.application)),
        "route": tag(caller.route.as_deref()),
        "controller": tag(caller.controller.as_deref()),
        "action": tag(caller.action.as_deref()),
    });
    with(sums(&row.counts, whole), who)
}

fn with_others(mut rows: Vec<Value>, name: &str, others: &Counts, whole: u64) -> Value {
    if others.calls > 0 {
        rows.push(with(sums(others, whole), json!({ name: "all others", "other": true })));
    }
    Value::from(rows)
}

/// Few enough bars to draw: upper bounds in milliseconds, and how many statements. Those in between without any are
/// there too.
fn bars(histogram: &Histogram) -> Value {
    let mut bars: BTreeMap<i32, u64> = BTreeMap::new();
    for (bound, count) in histogram.buckets() {
        // The bound belongs to the next one: a little less is in this.
        let bar = ((bound.max(1) as f64).log10() * BARS - 1e-6).floor() as i32;
        *bars.entry(bar).or_default() += count;
    }
    let (Some(first), Some(last)) = (bars.keys().next(), bars.keys().next_back()) else {
        return json!([]);
    };
    let upper = |bar: i32| 10_f64.powf(f64::from(bar + 1) / BARS) as u64;
    (*first..=*last)
        .map(|bar| json!([milliseconds(upper(bar)), bars.get(&bar).copied().unwrap_or_default()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_few_and_have_everything() {
        assert_eq!(bars(&Histogram::default()), json!([]));
        let mut histogram = Histogram::default();
        for n in 0..10_000_u64 {
            histogram.record(n * 50_000);
        }
        histogram.record(u64::MAX);
        let bars = bars(&histogram);
        let bars = bars.as_array().unwrap();
        assert!(bars.len() <= 20 * 8, "{}", bars.len());
        assert_eq!(bars.iter().map(|bar| bar[1].as_u64().unwrap()).sum::<u64>(), 10_001);
        let below: u64 = bars
            .iter()
            .filter(|bar| bar[0].as_f64().unwrap() <= 100.1)
            .map(|bar| bar[1].as_u64().unwrap())
            .sum();
        assert!((1_900..=2_100).contains(&below), "{below} of 2,000 below 100 ms");
    }
}
