//! The last hour, a point every few seconds, in memory; and the rates of this moment.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use super::numbers::{milliseconds, rounded};

/// Seconds between two points.
pub(super) const STEP: u64 = 5;
/// Points that are kept: an hour's.
const POINTS: usize = 720;
/// Rates are those of so many seconds.
const SPAN: usize = 5;

/// What only grows, as it was at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    pub(super) statements: u64,
    pub(super) transactions: u64,
    pub(super) errors: u64,
    pub(super) cached: u64,
    /// Marked statements that went to the server all the same.
    pub(super) missed: u64,
    /// How many statements took how long: upper bounds in nanoseconds.
    pub(super) times: BTreeMap<u64, u64>,
}

/// What is so at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Level {
    pub(super) clients: usize,
    pub(super) waiting: usize,
    /// How long the one has waited who waits longest.
    pub(super) oldest: Duration,
    pub(super) busy: usize,
    pub(super) size: usize,
}

/// One moment of the chart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    /// Seconds since 1970.
    pub(super) at: u64,
    pub(super) level: Level,
    /// A second.
    pub(super) transactions: f64,
    /// A second.
    pub(super) statements: f64,
    /// A second.
    pub(super) errors: f64,
    /// Nanoseconds; `None`: nothing ran.
    pub(super) p50: Option<u64>,
    pub(super) p99: Option<u64>,
    /// Of the marked statements, those that came from memory; `None`: none was marked.
    pub(super) hits: Option<f64>,
}

impl Point {
    pub(super) fn json(&self) -> Value {
        json!({
            "at": self.at,
            "clients": self.level.clients,
            "waiting": self.level.waiting,
            "oldest": milliseconds(self.level.oldest.as_nanos() as u64),
            "busy": self.level.busy,
            "size": self.level.size,
            "transactions": rounded(self.transactions),
            "statements": rounded(self.statements),
            "errors": rounded(self.errors),
            "p50": self.p50.map(milliseconds),
            "p99": self.p99.map(milliseconds),
            "hits": self.hits.map(rounded),
        })
    }
}

/// The hour.
#[derive(Debug, Default)]
pub(super) struct History {
    readings: VecDeque<Reading>,
    points: VecDeque<Point>,
    now: Point,
    ticks: u64,
}

impl History {
    /// A second is over. The first one has nothing to compare with: it makes no point.
    pub(super) fn tick(&mut self, at: u64, level: Level, reading: Reading) {
        if self.readings.len() > SPAN {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
        let seconds = self.readings.len().saturating_sub(1) as f64;
        self.now = match (self.readings.front(), self.readings.back()) {
            (Some(before), Some(now)) if seconds > 0.0 => point(at, level, before, now, seconds),
            _ => Point { at, level, ..Point::default() },
        };
        self.ticks += 1;
        if self.ticks.is_multiple_of(STEP) {
            if self.points.len() >= POINTS {
                self.points.pop_front();
            }
            self.points.push_back(self.now);
        }
    }

    /// This moment.
    pub(super) fn now(&self) -> &Point {
        &self.now
    }

    /// True when the last tick made a point.
    pub(super) fn has_new_point(&self) -> bool {
        self.ticks > 0 && self.ticks.is_multiple_of(STEP)
    }

    /// What p99 was at most half of the time, of points when something ran; `None` before there are enough.
    pub(super) fn usual_p99(&self) -> Option<u64> {
        let mut all: Vec<u64> = self.points.iter().filter_map(|point| point.p99).collect();
        all.sort_unstable();
        if all.len() < 24 { None } else { all.get(all.len() / 2).copied() }
    }

    /// All of it, by what it shows, as charts want it.
    pub(super) fn json(&self) -> Value {
        let column = |of: fn(&Point) -> Value| -> Value { self.points.iter().map(of).collect() };
        json!({
            "step": STEP,
            "at": column(|p| json!(p.at)),
            "clients": column(|p| json!(p.level.clients)),
            "waiting": column(|p| json!(p.level.waiting)),
            "busy": column(|p| json!(p.level.busy)),
            "size": column(|p| json!(p.level.size)),
            "transactions": column(|p| rounded(p.transactions)),
            "statements": column(|p| rounded(p.statements)),
            "errors": column(|p| rounded(p.errors)),
            "p50": column(|p| p.p50.map(milliseconds).into()),
            "p99": column(|p| p.p99.map(milliseconds).into()),
            "hits": column(|p| p.hits.map(rounded).into()),
        })
    }
}

fn point(at: u64, level: Level, before: &Reading, now: &Reading, seconds: f64) -> Point {
    let rate = |before, now| since(before, now) as f64 / seconds;
    let times = between(&before.times, &now.times);
    let (cached, missed) = (since(before.cached, now.cached), since(before.missed, now.missed));
    let marked = cached + missed;
    Point {
        at,
        level,
        transactions: rate(before.transactions, now.transactions),
        statements: rate(before.statements, now.statements),
        errors: rate(before.errors, now.errors),
        p50: quantile(&times, 0.5),
        p99: quantile(&times, 0.99),
        hits: (marked > 0).then(|| cached as f64 / marked as f64),
    }
}

/// How much more it is. Less than before: it was set back meanwhile.
fn since(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

fn between(before: &BTreeMap<u64, u64>, now: &BTreeMap<u64, u64>) -> Vec<(u64, u64)> {
    let more = |(bound, count): (&u64, &u64)| {
        (*bound, since(before.get(bound).copied().unwrap_or_default(), *count))
    };
    now.iter().map(more).filter(|(_, count)| *count > 0).collect()
}

fn quantile(times: &[(u64, u64)], part: f64) -> Option<u64> {
    let all: u64 = times.iter().map(|(_, count)| count).sum();
    let wanted = (all as f64 * part).ceil().max(1.0) as u64;
    let mut seen = 0;
    times.iter().find_map(|(bound, count)| {
        seen += count;
        (seen >= wanted).then_some(*bound)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(statements: u64, times: &[(u64, u64)]) -> Reading {
        Reading { statements, times: times.iter().copied().collect(), ..Reading::default() }
    }

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let mut history = History::default();
        history.tick(100, Level::default(), reading(1_000, &[(10, 1_000)]));
        assert_eq!((history.now().statements, history.now().p99), (0.0, None), "nothing to compare with");
        for n in 1..=20_u64 {
            history.tick(
                100 + n,
                Level::default(),
                reading(1_000 + 50 * n, &[(10, 1_000 + 49 * n), (99, n)]),
            );
        }
        assert!((history.now().statements - 50.0).abs() < 0.1);
        assert_eq!((history.now().p50, history.now().p99), (Some(10), Some(99)));
        // Nothing more happens: seconds later nothing is left of it.
        for n in 0..6 {
            history.tick(121 + n, Level::default(), reading(2_000, &[(10, 1_980), (99, 20)]));
        }
        assert_eq!((history.now().statements, history.now().p50), (0.0, None));
    }

    #[test]
    fn counts_that_are_set_back_make_no_negative_rates() {
        let mut history = History::default();
        history.tick(1, Level::default(), reading(1_000, &[(10, 1_000)]));
        history.tick(2, Level::default(), reading(7, &[(20, 7)]));
        assert_eq!((history.now().statements, history.now().p50), (7.0, Some(20)));
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut history = History::default();
        for n in 0..2 * 3_600 {
            history.tick(n, Level { clients: 3, ..Level::default() }, Reading::default());
        }
        let json = history.json();
        let at = json["at"].as_array().unwrap();
        assert_eq!((at.len(), at[719].as_u64().unwrap() - at[0].as_u64().unwrap()), (720, 719 * STEP));
        assert_eq!(json["clients"][0], 3);
        assert!(json["p99"][0].is_null() && json["hits"][5].is_null());
        assert!(json.to_string().len() < 100_000);
    }

    #[test]
    fn what_is_usual_needs_some_minutes() {
        let mut history = History::default();
        let mut count = 0;
        let mut tick = |history: &mut History, bound| {
            count += 10;
            history.tick(count, Level::default(), reading(count, &[(bound, count)]));
        };
        for _ in 0..60 {
            tick(&mut history, 1_000);
        }
        assert_eq!(history.usual_p99(), None);
        for _ in 0..600 {
            tick(&mut history, 1_000);
        }
        assert_eq!(history.usual_p99(), Some(1_000));
    }
}
