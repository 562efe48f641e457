//! Errors by database and SQLSTATE.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::people::{People, Who};
use crate::observe::record::StatementRecord;
use crate::observe::rows::ErrorRow;

/// Rows; a server's functions may raise whatever SQLSTATE they like.
const ROWS: usize = 500;

#[derive(Debug, Default)]
pub(super) struct Errors(HashMap<(u32, Option<[u8; 5]>), ErrorRow>);

impl Errors {
    /// Counts one; `record` is the statement that it comes from, if it comes from one.
    pub(super) fn count(
        &mut self,
        people: &People,
        who: Who,
        sqlstate: [u8; 5],
        at: u64,
        record: Option<&StatementRecord>,
    ) {
        let (Some(name), Some(user)) = (people.name(who), people.user(who)) else { return };
        let full = self.0.len() >= ROWS && !self.0.contains_key(&(who.database, Some(sqlstate)));
        let state = (!full).then_some(sqlstate);
        let row = self.0.entry((who.database, state)).or_insert_with(|| ErrorRow {
            database: Arc::clone(name),
            sqlstate: state.map(|state| String::from_utf8_lossy(&state).into()),
            count: 0,
            of_howdah: 0,
            shape: None,
            user: Arc::clone(user),
            last_seen: at,
        });
        row.count += 1;
        row.of_howdah += u64::from(record.is_none());
        row.last_seen = row.last_seen.max(at);
        row.user = Arc::clone(user);
        if let Some(record) = record {
            row.shape = Some(Arc::clone(&record.shape));
        }
    }

    /// The commonest first; those that are not kept on their own last.
    pub(super) fn rows(&self) -> Vec<ErrorRow> {
        let mut rows: Vec<_> = self.0.values().cloned().collect();
        rows.sort_unstable_by_key(|row| (row.sqlstate.is_none(), Reverse(row.count), row.sqlstate.clone()));
        rows
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn memory(&self) -> usize {
        self.0.capacity() * (size_of::<ErrorRow>() + 24)
    }
}
