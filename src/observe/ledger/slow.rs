//! The slow log: a ring of the newest, and how many a second are logged.

use std::collections::VecDeque;

use crate::observe::record::StatementRecord;
use crate::observe::rows::SlowRow;

/// So many are kept.
const KEPT: usize = 200;
/// So many are logged in a second.
const A_SECOND: u32 = 10;
const SECOND: u64 = 1_000_000_000;

/// What is to be logged.
#[derive(Debug)]
pub(super) struct ToLog {
    pub(super) record: Box<StatementRecord>,
    /// So many were not logged before it.
    pub(super) left_out: u64,
}

#[derive(Debug, Default)]
pub(super) struct Slow {
    rows: VecDeque<SlowRow>,
    /// When the second began in which they are counted.
    second: u64,
    logged: u32,
    left_out: u64,
}

impl Slow {
    /// Keeps one; true if it is to be logged.
    pub(super) fn add(&mut self, row: SlowRow, now: u64) -> Option<u64> {
        if self.rows.len() >= KEPT {
            self.rows.pop_back();
        }
        self.rows.push_front(row);
        self.roll(now);
        if self.logged >= A_SECOND {
            self.left_out += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.left_out))
    }

    fn roll(&mut self, now: u64) {
        if now.saturating_sub(self.second) >= SECOND {
            (self.second, self.logged) = (now, 0);
        }
    }

    /// How many were left out, once nothing was left out for a second.
    pub(super) fn left_out(&mut self, now: u64) -> Option<u64> {
        let over = now.saturating_sub(self.second) >= SECOND && self.left_out > 0;
        over.then(|| std::mem::take(&mut self.left_out))
    }

    pub(super) fn rows(&self) -> Vec<SlowRow> {
        self.rows.iter().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Bytes.
    pub(super) fn memory(&self) -> usize {
        let long = |row: &SlowRow| {
            let texts = row.detail.text.iter().chain(row.detail.parameters.iter().flatten());
            texts.map(|text| text.len()).sum::<usize>()
                + row.detail.parameters.capacity() * size_of::<Option<Box<str>>>()
        };
        self.rows.capacity() * size_of::<SlowRow>() + self.rows.iter().map(long).sum::<usize>()
    }
}
