//! Sums by two things: a statement and a tenant, or a statement and a caller.

use std::collections::HashMap;

use super::mixing::Mixing;
use super::table::Place;
use crate::observe::record::StatementRecord;
use crate::observe::rows::Counts;

/// So many rows are looked at when one has to go.
const LOOKED_AT: usize = 16;
/// Rows of a block.
const BLOCK: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) statement: Place,
    pub(super) by: Place,
    pub(super) counts: Counts,
}

/// As many rows as there may be. When one more comes, a hand goes round: of the next few rows the lightest has to go,
/// and the others lose half of their weight, so that what nobody uses any more goes at last. What is not here is in the
/// statement's own sums.
#[derive(Debug)]
pub(super) struct Cross {
    most: usize,
    index: HashMap<(u64, u64), u32, Mixing>,
    /// In blocks of [`BLOCK`], so that it grows without being moved.
    rows: Vec<Vec<Row>>,
    /// Of the rows, apart from them so that a look at a few is one at a line of memory or two.
    weights: Vec<u64>,
    hand: usize,
}

impl Cross {
    pub(super) fn new(most: usize) -> Self {
        let (index, rows, weights) = (HashMap::default(), Vec::new(), Vec::new());
        Self { most: most.max(LOOKED_AT), index, rows, weights, hand: 0 }
    }

    /// Counts a statement.
    pub(super) fn count(&mut self, statement: Place, by: Place, record: &StatementRecord, total: u64) {
        let key = (statement.number(), by.number());
        if let Some(at) = self.index.get(&key).map(|at| *at as usize) {
            if let Some(weight) = self.weights.get_mut(at) {
                *weight = weight.saturating_add(total);
            }
            if let Some(row) = self.row_mut(at) {
                row.counts.count(record, total);
            }
            return;
        }
        let mut row = Row { statement, by, counts: Counts::default() };
        row.counts.count(record, total);
        let at = if self.weights.len() < self.most {
            self.push(row, total);
            self.weights.len() - 1
        } else {
            let at = self.lightest();
            let Some(old) = self.row_mut(at) else { return };
            let old = std::mem::replace(old, row);
            self.index.remove(&(old.statement.number(), old.by.number()));
            if let Some(weight) = self.weights.get_mut(at) {
                *weight = total;
            }
            at
        };
        self.index.insert(key, at as u32);
    }

    fn row_mut(&mut self, at: usize) -> Option<&mut Row> {
        self.rows.get_mut(at / BLOCK)?.get_mut(at % BLOCK)
    }

    fn push(&mut self, row: Row, weight: u64) {
        self.weights.push(weight);
        if let Some(block) = self.rows.last_mut().filter(|block| block.len() < BLOCK) {
            block.push(row);
        } else {
            let mut block = Vec::with_capacity(BLOCK);
            block.push(row);
            self.rows.push(block);
        }
    }

    #[cold]
    fn lightest(&mut self) -> usize {
        if self.hand + LOOKED_AT > self.weights.len() {
            self.hand = 0;
        }
        let from = self.hand;
        self.hand += LOOKED_AT;
        let some = self.weights.get_mut(from..from + LOOKED_AT).unwrap_or_default();
        let lightest = some.iter().enumerate().min_by_key(|(_, weight)| **weight).map_or(0, |(at, _)| at);
        for weight in some {
            *weight /= 2;
        }
        from + lightest
    }

    /// A block of rows, so that they can be read in parts; nothing once there are no more.
    pub(super) fn block(&self, block: usize) -> Option<&[Row]> {
        self.rows.get(block).map(Vec::as_slice)
    }

    pub(super) fn clear(&mut self) {
        self.index.clear();
        self.rows.clear();
        self.weights.clear();
        self.hand = 0;
    }

    /// Bytes.
    pub(super) fn memory(&self) -> usize {
        self.rows.len() * BLOCK * size_of::<Row>()
            + self.weights.capacity() * size_of::<u64>()
            + self.index.capacity() * (size_of::<((u64, u64), u32)>() + 1) * 8 / 7
    }
}
