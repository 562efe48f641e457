//! Sums by two things: a statement and a tenant, or a statement and a caller.

use std::collections::HashMap;

use super::mixing::Mixing;
use super::table::Place;
use crate::observe::record::StatementRecord;
use crate::observe::rows::Counts;

/// So many rows are looked at when one has to go.
const LOOKED_AT: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) statement: Place,
    pub(super) by: Place,
    pub(super) counts: Counts,
}

/// As many rows as there may be. When one more comes, a hand goes round: of the next few rows one that belongs to
/// nothing any more goes, or else the lightest. What is not here is in the statement's own sums.
#[derive(Debug)]
pub(super) struct Cross {
    most: usize,
    index: HashMap<(u64, u64), u32, Mixing>,
    rows: Vec<Row>,
    hand: usize,
}

impl Cross {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most.max(LOOKED_AT), index: HashMap::default(), rows: Vec::new(), hand: 0 }
    }

    /// Counts a statement. `lives` tells whether both places of a row still lead somewhere.
    pub(super) fn count(
        &mut self,
        (statement, by): (Place, Place),
        record: &StatementRecord,
        total: u64,
        lives: impl Fn(&Row) -> bool,
    ) {
        let key = (statement.number(), by.number());
        if let Some(row) = self.index.get(&key).and_then(|at| self.rows.get_mut(*at as usize)) {
            row.counts.count(record, total);
            return;
        }
        let mut row = Row { statement, by, counts: Counts::default() };
        row.counts.count(record, total);
        let at = if self.rows.len() < self.most {
            self.rows.push(row);
            self.rows.len() - 1
        } else {
            let at = self.lightest(lives);
            let Some(old) = self.rows.get_mut(at) else { return };
            self.index.remove(&(old.statement.number(), old.by.number()));
            *old = row;
            at
        };
        self.index.insert(key, at as u32);
    }

    #[cold]
    fn lightest(&mut self, lives: impl Fn(&Row) -> bool) -> usize {
        if self.hand + LOOKED_AT > self.rows.len() {
            self.hand = 0;
        }
        let from = self.hand;
        self.hand += LOOKED_AT;
        let some = self.rows.get(from..from + LOOKED_AT).unwrap_or_default();
        let weight = |row: &Row| if lives(row) { row.counts.total.max(1) } else { 0 };
        from + some.iter().enumerate().min_by_key(|(_, row)| weight(row)).map_or(0, |(at, _)| at)
    }

    /// How many rows there are, so that they can be read in parts.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Some of the rows.
    pub(super) fn rows(&self, some: std::ops::Range<usize>) -> &[Row] {
        self.rows.get(some.start..some.end.min(self.rows.len())).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.index.clear();
        self.rows.clear();
        self.hand = 0;
    }

    /// Bytes.
    pub(super) fn memory(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.index.capacity() * (size_of::<((u64, u64), u32)>() + 1) * 8 / 7
    }
}
