//! How much of what only grows came in the last minute or so.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Seconds between two looks.
pub(super) const EVERY: u64 = 30;
/// Looks that are kept: the oldest of them is a minute to a minute and a half ago.
const LOOKS: usize = 3;

/// The last looks at sums by key, oldest first.
#[derive(Debug)]
pub(super) struct Recent<K> {
    looks: VecDeque<HashMap<K, u64>>,
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self { looks: VecDeque::new() }
    }
}

impl<K: Eq + Hash> Recent<K> {
    /// So it is now.
    pub(super) fn look(&mut self, sums: impl Iterator<Item = (K, u64)>) {
        if self.looks.len() >= LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back(sums.collect());
    }

    /// What came since the oldest look. A sum that shrank was set back meanwhile.
    pub(super) fn since(&self, key: &K, now: u64) -> u64 {
        let before = self.looks.front().and_then(|look| look.get(key)).copied().unwrap_or(0);
        now.checked_sub(before).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_since_the_oldest_look_is_recent() {
        let mut recent = Recent::default();
        assert_eq!(recent.since(&"a", 7), 7, "all of it is, before the first look");
        for n in 1..=5 {
            recent.look([("a", n * 10)].into_iter());
        }
        assert_eq!(recent.since(&"a", 57), 27);
        assert_eq!(recent.since(&"new", 5), 5);
        assert_eq!(recent.since(&"a", 3), 3, "RESET came between");
    }
}
