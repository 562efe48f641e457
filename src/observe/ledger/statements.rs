//! Sums of statements, by database and fingerprint.

use std::collections::HashMap;
use std::sync::Arc;

use super::mixing::Mixing;
use super::table::{Place, Table, Weigh};
use crate::observe::histogram::Histogram;
use crate::observe::record::StatementRecord;
use crate::observe::rows::Counts;
use crate::sql::Shape;

#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) database: Arc<str>,
    pub(super) shape: Arc<Shape>,
    pub(super) sums: Sums,
}

/// What is counted of a statement, and of those that are not kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) counts: Counts,
    pub(super) histogram: Histogram,
    pub(super) n_plus_one: u64,
    pub(super) first_seen: u64,
    pub(super) last_seen: u64,
}

impl Weigh for Statement {
    fn weight(&self) -> u64 {
        self.sums.counts.total
    }

    fn last_seen(&self) -> u64 {
        self.sums.last_seen
    }
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.first_seen =
            if self.counts.calls == 0 { other.first_seen } else { self.first_seen.min(other.first_seen) };
        self.last_seen = self.last_seen.max(other.last_seen);
        self.n_plus_one += other.n_plus_one;
        self.counts.add(&other.counts);
        self.histogram.merge(&other.histogram);
    }
}

/// Key: the database's number and the fingerprint.
type Key = (u32, u64);

#[derive(Debug)]
pub(super) struct Statements {
    table: Table<Key, Statement>,
    others: HashMap<u32, (Arc<str>, Sums), Mixing>,
}

impl Statements {
    pub(super) fn new(most: usize) -> Self {
        Self { table: Table::new(most), others: HashMap::default() }
    }

    pub(super) fn count(
        &mut self,
        database: u32,
        name: &Arc<str>,
        record: &StatementRecord,
        total: u64,
    ) -> Place {
        let key = (database, record.shape.fingerprint);
        let place = self.table.find(&key).unwrap_or_else(|| self.begin(key, name, record));
        if let Some(statement) = self.table.get_mut(place) {
            let sums = &mut statement.sums;
            sums.counts.count(record, total);
            if !record.continues {
                sums.histogram.record(total);
            }
            sums.last_seen = sums.last_seen.max(record.at);
        }
        place
    }

    #[cold]
    fn begin(&mut self, key: Key, name: &Arc<str>, record: &StatementRecord) -> Place {
        let sums = Sums { first_seen: record.at, last_seen: record.at, ..Sums::default() };
        let new = Statement { database: Arc::clone(name), shape: Arc::clone(&record.shape), sums };
        let others = &mut self.others;
        self.table.insert(key, new, |(database, _), gone| {
            let (_, sums) =
                others.entry(database).or_insert_with(|| (Arc::clone(&gone.database), Sums::default()));
            sums.add(&gone.sums);
        })
    }

    pub(super) fn n_plus_one(&mut self, place: Place) {
        if let Some(statement) = self.table.get_mut(place) {
            statement.sums.n_plus_one += 1;
        }
    }

    pub(super) fn find(&self, database: u32, fingerprint: u64) -> Option<(Place, &Statement)> {
        let place = self.table.find(&(database, fingerprint))?;
        Some((place, self.table.get(place)?))
    }

    pub(super) fn get(&self, place: Place) -> Option<&Statement> {
        self.table.get(place)
    }

    pub(super) fn slots(&self) -> usize {
        self.table.slots()
    }

    /// Those in some of the slots.
    pub(super) fn some(&self, slots: std::ops::Range<usize>) -> impl Iterator<Item = &Statement> {
        self.table.rows(slots).map(|(_, _, statement)| statement)
    }

    /// What is not kept on its own, by database.
    pub(super) fn others(&self) -> impl Iterator<Item = &(Arc<str>, Sums)> {
        self.others.values()
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.others.clear();
    }

    pub(super) fn memory(&self) -> usize {
        let each = |statement: &Statement| {
            statement.sums.histogram.memory() + statement.shape.text.len() + size_of::<Shape>() + 16
        };
        let others = |(_, sums): &(Arc<str>, Sums)| sums.histogram.memory() + size_of::<Sums>() + 24;
        self.table.memory()
            + self.some(0..self.slots()).map(each).sum::<usize>()
            + self.others().map(others).sum::<usize>()
    }
}
