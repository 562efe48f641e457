//! What has no labels of its own, counted together so that it never goes back.
//!
//! Which statements and tenants have labels of their own changes. Would `other` simply be the rest of the moment, it
//! would jump by a statement's whole past whenever one joins it, and fall when one leaves. So at each look it grows
//! by what came since the last one and has no labels now.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Sums that only grow, but for a reset.
pub(super) type Sums<const N: usize> = [u64; N];

/// A row at one look.
pub(super) struct Row<K, const N: usize> {
    /// Its database.
    pub(super) database: Arc<str>,
    /// Which it is; nothing for what the tables count together themselves.
    pub(super) key: Option<K>,
    /// Whether it has labels of its own now.
    pub(super) shown: bool,
    pub(super) sums: Sums<N>,
}

/// What was so at the last look, and what has come together since the first.
#[derive(Debug)]
pub(super) struct Rest<K, const N: usize> {
    rows: HashMap<(Arc<str>, Option<K>), Sums<N>>,
    databases: HashMap<Arc<str>, Sums<N>>,
    others: HashMap<Arc<str>, Sums<N>>,
}

impl<K, const N: usize> Default for Rest<K, N> {
    fn default() -> Self {
        Self { rows: HashMap::new(), databases: HashMap::new(), others: HashMap::new() }
    }
}

impl<K: Eq + Hash, const N: usize> Rest<K, N> {
    /// Looks at all rows; then [`Self::others`] is up to date.
    pub(super) fn look(&mut self, rows: Vec<Row<K, N>>) {
        let mut rows_now = HashMap::with_capacity(rows.len());
        let mut now: HashMap<Arc<str>, Sums<N>> = HashMap::new();
        let mut shown: HashMap<Arc<str>, Sums<N>> = HashMap::new();
        let mut hidden: HashMap<Arc<str>, Sums<N>> = HashMap::new();
        for row in rows {
            add(now.entry(Arc::clone(&row.database)).or_insert([0; N]), &row.sums);
            let key = (Arc::clone(&row.database), row.key);
            let more = since(self.rows.get(&key), &row.sums);
            let of = if row.shown { &mut shown } else { &mut hidden };
            add(of.entry(row.database).or_insert([0; N]), &more);
            rows_now.insert(key, row.sums);
        }
        for (database, now) in &now {
            let none = [0; N];
            let before = self.databases.get(database).unwrap_or(&none);
            let other = self.others.entry(Arc::clone(database)).or_insert([0; N]);
            if now.iter().zip(before).all(|(now, before)| now >= before) {
                // By the whole, because what was dropped from the tables since went to their own rest.
                let shown = shown.get(database).unwrap_or(&none);
                for (((other, now), before), shown) in other.iter_mut().zip(now).zip(before).zip(shown) {
                    *other = other.saturating_add((now - before).saturating_sub(*shown));
                }
            } else if let Some(hidden) = hidden.get(database) {
                // The tables were emptied.
                add(other, hidden);
            }
        }
        self.rows = rows_now;
        self.databases = now;
    }

    /// What came together, by database.
    pub(super) fn others(&self) -> &HashMap<Arc<str>, Sums<N>> {
        &self.others
    }
}

fn add<const N: usize>(sums: &mut Sums<N>, more: &Sums<N>) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

/// What came since. Less than before: it began anew.
fn since<const N: usize>(before: Option<&Sums<N>>, now: &Sums<N>) -> Sums<N> {
    let Some(before) = before else { return *now };
    if now.iter().zip(before).any(|(now, before)| now < before) {
        return *now;
    }
    let mut more = *now;
    more.iter_mut().zip(before).for_each(|(more, before)| *more -= before);
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(rest: &mut Rest<u32, 1>, rows: &[(Option<u32>, bool, u64)]) -> u64 {
        let row = |&(key, shown, sum)| Row { database: "d".into(), key, shown, sums: [sum] };
        rest.look(rows.iter().map(row).collect());
        rest.others().get("d").map_or(0, |sums| sums[0])
    }

    #[test]
    fn what_is_not_shown_comes_together() {
        let mut rest = Rest::default();
        assert_eq!(look(&mut rest, &[(Some(1), true, 100), (Some(2), false, 10), (None, false, 5)]), 15);
        assert_eq!(look(&mut rest, &[(Some(1), true, 130), (Some(2), false, 11), (None, false, 7)]), 18);
    }

    #[test]
    fn a_row_that_is_shown_no_more_does_not_bring_its_past() {
        let mut rest = Rest::default();
        look(&mut rest, &[(Some(1), true, 100), (Some(2), false, 10)]);
        // 2 overtakes 1. Since the last look 1 had 5, 2 had 200.
        assert_eq!(look(&mut rest, &[(Some(1), false, 105), (Some(2), true, 210)]), 15);
        // And back: nothing is taken away.
        assert_eq!(look(&mut rest, &[(Some(1), true, 505), (Some(2), false, 213)]), 18);
    }

    #[test]
    fn what_the_tables_drop_is_not_counted_twice() {
        let mut rest = Rest::default();
        look(&mut rest, &[(Some(1), true, 100), (Some(2), true, 10), (None, false, 0)]);
        // 2 came to 12 and was dropped; the tables count it with the rest.
        assert_eq!(look(&mut rest, &[(Some(1), true, 100), (None, false, 12)]), 2);
        // It comes back, and counts anew.
        assert_eq!(look(&mut rest, &[(Some(1), true, 100), (Some(2), true, 3), (None, false, 13)]), 3);
    }

    #[test]
    fn a_reset_of_the_tables_takes_nothing_away() {
        let mut rest = Rest::default();
        look(&mut rest, &[(Some(1), true, 100), (Some(2), false, 10)]);
        assert_eq!(look(&mut rest, &[(Some(1), true, 2), (Some(2), false, 1)]), 11);
        assert_eq!(look(&mut rest, &[]), 11);
        assert_eq!(look(&mut rest, &[(Some(2), false, 4)]), 15);
    }
}
