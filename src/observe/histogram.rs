//! Histograms: one with small relative error for quantiles, and one with fixed bounds for Prometheus.

/// Buckets for each power of two. A value is told from its bucket's middle, so it is wrong by at most half a bucket:
/// 1/64, or 1.6 %.
const PARTS: u64 = 32;
const PARTS_LOG: u32 = PARTS.trailing_zeros();
/// The window of buckets that is kept grows by so many at a time.
const STEP: usize = 16;

/// Nanoseconds in buckets whose width grows with their value. Buckets between the least and the largest value are
/// kept, two bytes each; two histograms can be added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The bucket that `counts` begins with.
    first: u32,
    counts: Vec<u16>,
    /// For buckets that counted beyond `u16`: how many times, by buckets.
    carried: Vec<(u32, u64)>,
    count: u64,
    sum: u64,
    max: u64,
}

/// The bucket of a value.
fn bucket(value: u64) -> u32 {
    let power = value.checked_ilog2().unwrap_or_default();
    if power < PARTS_LOG {
        return value as u32;
    }
    // The leading one and the bits behind it that choose the part.
    let part = (value >> (power - PARTS_LOG)) as u32;
    ((power - PARTS_LOG) << PARTS_LOG) + part
}

/// The least value of a bucket, and how many it has.
fn bounds(bucket: u32) -> (u64, u64) {
    let bucket = u64::from(bucket);
    let power = (bucket / PARTS).saturating_sub(1);
    ((bucket - power * PARTS) << power, 1 << power)
}

impl Histogram {
    /// Counts a value, in nanoseconds.
    pub fn record(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
        self.add(bucket(value), 1);
    }

    /// Counts all that another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        for (bucket, count) in other.occupied() {
            self.add(bucket, count);
        }
    }

    fn add(&mut self, bucket: u32, more: u64) {
        let at = bucket.checked_sub(self.first).map(|at| at as usize);
        let kept = match at.filter(|at| *at < self.counts.len()) {
            Some(at) => self.counts.get_mut(at),
            None => self.widen(bucket),
        };
        let Some(kept) = kept else { return };
        let sum = u64::from(*kept) + (more & u64::from(u16::MAX));
        *kept = sum as u16;
        let carry = (sum >> 16) + (more >> 16);
        if carry > 0 {
            self.carry(bucket, carry);
        }
    }

    #[cold]
    fn carry(&mut self, bucket: u32, times: u64) {
        match self.carried.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => {
                if let Some((_, carried)) = self.carried.get_mut(at) {
                    *carried += times;
                }
            }
            Err(at) => self.carried.insert(at, (bucket, times)),
        }
    }

    #[cold]
    fn widen(&mut self, bucket: u32) -> Option<&mut u16> {
        let from = bucket - bucket % STEP as u32;
        if self.counts.is_empty() {
            self.first = from;
        }
        if from < self.first {
            let more = (self.first - from) as usize;
            let mut counts = Vec::with_capacity(more + self.counts.len());
            counts.resize(more, 0);
            counts.append(&mut self.counts);
            self.counts = counts;
            self.first = from;
        }
        let need = (from - self.first) as usize + STEP;
        if need > self.counts.len() {
            self.counts.reserve_exact(need - self.counts.len());
            self.counts.resize(need, 0);
        }
        self.counts.get_mut((bucket - self.first) as usize)
    }

    /// Buckets that counted something, and what, from the least.
    fn occupied(&self) -> impl Iterator<Item = (u32, u64)> {
        self.counts.iter().enumerate().filter_map(|(at, count)| {
            let bucket = self.first + at as u32;
            let carried = self.carried.binary_search_by_key(&bucket, |(bucket, _)| *bucket);
            let times = carried.ok().and_then(|at| self.carried.get(at)).map_or(0, |(_, times)| *times);
            let count = u64::from(*count) + (times << 16);
            (count > 0).then_some((bucket, count))
        })
    }

    /// The value that the part `quantile` (0 to 1) of all values does not exceed, right within 1.6 %; nothing without
    /// values.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let [value] = self.quantiles([quantile]);
        (self.count > 0).then_some(value)
    }

    /// Several at once, which must ascend; 0 without values.
    pub fn quantiles<const N: usize>(&self, wanted: [f64; N]) -> [u64; N] {
        let mut buckets = self.occupied();
        let (mut seen, mut value) = (0, 0);
        wanted.map(|quantile| {
            let rank = ((quantile * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
            while seen < rank {
                let Some((bucket, count)) = buckets.next() else { break };
                let (least, width) = bounds(bucket);
                seen += count;
                value = (least + width / 2).min(self.max);
            }
            value
        })
    }

    /// Values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest, exactly; 0 without values.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Buckets that have values, from the least: the bound that their values do not reach, and how many they are.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.occupied().map(|(bucket, count)| {
            let (least, width) = bounds(bucket);
            (least.saturating_add(width), count)
        })
    }

    /// Bytes beside its own size.
    pub fn memory(&self) -> usize {
        self.counts.capacity() * size_of::<u16>() + self.carried.capacity() * size_of::<(u32, u64)>()
    }
}

/// Counts by bounds that are the same everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedHistogram {
    /// Values up to each of [`Self::BOUNDS`], but above the one before, and at last those above all.
    pub counts: [u64; FixedHistogram::BOUNDS.len() + 1],
    /// The sum of all values, in nanoseconds.
    pub sum: u64,
}

impl FixedHistogram {
    /// The largest value of each bucket, in nanoseconds: 25 µs to a minute.
    pub const BOUNDS: [u64; 18] = [
        25_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        25_000_000,
        50_000_000,
        100_000_000,
        250_000_000,
        500_000_000,
        1_000_000_000,
        2_500_000_000,
        10_000_000_000,
        60_000_000_000,
    ];

    /// Counts a value, in nanoseconds.
    pub fn record(&mut self, value: u64) {
        let at = Self::BOUNDS.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// Values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}
