//! Quantiles are right within two percent, and histograms add up.

use proptest::prelude::*;

use crate::observe::{FixedHistogram, Histogram};

const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

fn exact(values: &mut [u64], quantile: f64) -> u64 {
    values.sort_unstable();
    let rank = ((quantile * values.len() as f64).ceil() as usize).clamp(1, values.len());
    values[rank - 1]
}

fn histogram(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::default();
    values.iter().for_each(|value| histogram.record(*value));
    histogram
}

/// Nanoseconds to hours, each power of ten as likely as the next; and anything at all.
fn times() -> impl Strategy<Value = Vec<u64>> {
    let one = prop_oneof![
        4 => (0_u32..14, 0_u64..1000).prop_map(|(power, n)| 10_u64.pow(power) / 100 * n),
        1 => any::<u64>(),
        1 => 0_u64..100,
    ];
    proptest::collection::vec(one, 1..400)
}

proptest! {
    #[test]
    fn quantiles_are_right_within_two_percent(mut values in times()) {
        let histogram = histogram(&values);
        for quantile in QUANTILES {
            let want = exact(&mut values, quantile) as f64;
            let got = histogram.quantile(quantile).unwrap() as f64;
            prop_assert!((got - want).abs() <= want * 0.016, "{quantile}: {got} for {want}");
        }
        prop_assert_eq!(histogram.quantile(1.0).unwrap() as f64, {
            let max = *values.iter().max().unwrap();
            prop_assert_eq!(histogram.max(), max);
            histogram.quantile(1.0).unwrap() as f64
        });
        prop_assert_eq!(histogram.count(), values.len() as u64);
    }

    #[test]
    fn two_histograms_add_up(a in times(), b in times()) {
        let mut sum = histogram(&a);
        sum.merge(&histogram(&b));
        let both = histogram(&[a, b].concat());
        prop_assert_eq!(sum.buckets().collect::<Vec<_>>(), both.buckets().collect::<Vec<_>>());
        prop_assert_eq!((sum.count(), sum.sum(), sum.max()), (both.count(), both.sum(), both.max()));
        prop_assert_eq!(sum.quantiles(QUANTILES), both.quantiles(QUANTILES));
    }

    #[test]
    fn each_value_is_below_its_bucket_s_bound(value in any::<u64>()) {
        let histogram = histogram(&[value]);
        let (bound, count) = histogram.buckets().next().unwrap();
        prop_assert_eq!(count, 1);
        prop_assert!(value < bound || bound == u64::MAX);
        prop_assert!(value >= bound / 33 * 31 || bound < 64, "{value} of {bound}");
    }
}

#[test]
fn nothing_has_no_quantile() {
    let nothing = Histogram::default();
    assert_eq!((nothing.quantile(0.5), nothing.max(), nothing.count()), (None, 0, 0));
    assert_eq!(nothing.buckets().count(), 0);
    let mut sum = Histogram::default();
    sum.merge(&nothing);
    assert_eq!(sum, nothing);
    assert_eq!(histogram(&[0]).quantile(0.5), Some(0));
}

#[test]
fn more_than_four_billion_fit_in_a_bucket() {
    let mut many = histogram(&[1_000_000]);
    for _ in 0..33 {
        let same = many.clone();
        many.merge(&same);
    }
    assert_eq!(many.count(), 1 << 33);
    assert_eq!(many.buckets().map(|(_, count)| count).collect::<Vec<_>>(), [1 << 33]);
    many.record(1);
    assert_eq!(many.quantile(0.5).unwrap(), many.quantile(0.999).unwrap());
}

#[test]
fn fixed_bounds_hold_what_is_up_to_them() {
    let mut fixed = FixedHistogram::default();
    for value in [0, 25_000, 25_001, 1_000_000_000, 60_000_000_001, u64::MAX] {
        fixed.record(value);
    }
    assert_eq!((fixed.counts[0], fixed.counts[1], fixed.counts[14]), (2, 1, 1));
    assert_eq!((fixed.counts[18], fixed.count(), fixed.sum), (2, 6, u64::MAX));
    assert!(FixedHistogram::BOUNDS.is_sorted());
}
