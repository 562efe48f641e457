//! How far behind the stream is, and what is committed but may not be seen yet.
//!
//! Pure: the time is passed in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::pgoutput::TableName;

/// Howdah's own messages in the server's log: each that comes back says that everything has come that was
/// committed before it was sent.
#[derive(Debug)]
pub(super) struct Pulse {
    /// Tells this connection's messages from those of another Howdah.
    token: u64,
    next: u64,
    sent: VecDeque<(u64, Instant)>,
    /// When the youngest was sent that is back.
    caught_up: Option<Instant>,
    /// What it was under way.
    travel: Duration,
}

impl Pulse {
    pub(super) fn new(token: u64) -> Self {
        Self { token, next: 0, sent: VecDeque::new(), caught_up: None, travel: Duration::ZERO }
    }

    /// The content of the next message.
    pub(super) fn send(&mut self, now: Instant) -> String {
        self.next += 1;
        self.sent.push_back((self.next, now));
        format!("pulse {:016x} {}", self.token, self.next)
    }

    /// A message is on the stream. True if it is one of these.
    pub(super) fn heard(&mut self, content: &[u8], now: Instant) -> bool {
        let own = std::str::from_utf8(content).ok().and_then(|content| {
            let (token, number) = content.strip_prefix("pulse ")?.split_once(' ')?;
            (u64::from_str_radix(token, 16).ok()? == self.token).then_some(())?;
            number.parse::<u64>().ok()
        });
        let Some(number) = own.filter(|number| self.sent.iter().any(|(sent, _)| sent == number)) else {
            return false;
        };
        while let Some((_, at)) = self.sent.front().copied().filter(|(sent, _)| *sent <= number) {
            self.sent.pop_front();
            self.caught_up = Some(at);
            self.travel = now.saturating_duration_since(at);
        }
        true
    }

    /// When the youngest message was sent that is back.
    pub(super) fn caught_up(&self) -> Option<Instant> {
        self.caught_up
    }

    /// How long a commit takes to be heard of: as long as the last message did, or as long as one is under way.
    pub(super) fn lag(&self, now: Instant) -> Duration {
        let waiting = self.sent.front().map(|(_, at)| now.saturating_duration_since(*at));
        waiting.unwrap_or_default().max(self.travel)
    }
}

/// `pg_current_snapshot()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Transactions from here on are not visible.
    end: u64,
    /// Nor are these before.
    running: Vec<u64>,
}

impl Snapshot {
    /// Reads `10:20:10,14`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let _first: u64 = parts.next()?.parse().ok()?;
        let end = parts.next()?.parse().ok()?;
        let running = parts.next()?.split(',').filter(|xid| !xid.is_empty());
        Some(Self { end, running: running.map(|xid| xid.parse().ok()).collect::<Option<_>>()? })
    }

    /// Whether a transaction that is known to have committed is visible. `xid`: its number without the epoch.
    fn shows(&self, xid: u32) -> bool {
        // The one of that number that is nearest to the end.
        let distance = (self.end as u32).wrapping_sub(xid) as i32;
        if distance <= 0 {
            return false;
        }
        let full = self.end.wrapping_sub(u64::from(distance.unsigned_abs()));
        !self.running.contains(&full)
    }
}

/// What a transaction wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) xid: u32,
    pub(super) tables: Vec<Arc<TableName>>,
    /// The catalogue, too.
    pub(super) catalog: bool,
}

/// Transactions that have been heard of, and that others may not see yet.
///
/// The server writes a commit to its log, sends the log, and only then shows the transaction to others; with
/// synchronous replication it waits in between. A query that runs in that moment reads what was before, although
/// it began after the commit was heard of. So what the transaction wrote is invalidated a second time as soon as
/// it can be seen.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    waiting: Vec<Written>,
}

impl Unseen {
    pub(super) fn add(&mut self, written: Written) {
        self.waiting.push(written);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Those that the snapshot shows wait no longer. The snapshot must be younger than their arrival.
    pub(super) fn seen(&mut self, snapshot: &Snapshot, up_to: usize) -> Vec<Written> {
        let up_to = up_to.min(self.waiting.len());
        self.waiting.extract_if(..up_to, |written| snapshot.shows(written.xid)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_pulse_that_is_back_says_what_has_come() {
        let at = |ms| Instant::now() + Duration::from_millis(ms);
        let start = at(0);
        let ms = |now: Instant| now - start;
        let mut pulse = Pulse::new(0xabc);
        assert_eq!((pulse.caught_up(), pulse.lag(start)), (None, Duration::ZERO));
        let first = pulse.send(start);
        assert_eq!(first, "pulse 0000000000000abc 1");
        let (t1, t2, t3) = (at(100), at(150), at(300));
        assert_eq!(pulse.lag(t1), ms(t1), "it is under way");
        let second = pulse.send(t1);
        assert!(pulse.heard(first.as_bytes(), t2));
        assert_eq!((pulse.caught_up(), pulse.lag(t2)), (Some(start), ms(t2)));
        assert!(pulse.heard(second.as_bytes(), t3));
        assert_eq!((pulse.caught_up(), pulse.lag(at(900))), (Some(t1), t3 - t1), "as the last one did");
        assert!(!pulse.heard(second.as_bytes(), t3), "once");
        for other in ["", "ddl", "pulse 0000000000000abd 3", "pulse 0000000000000abc 9", "pulse x 3"] {
            let _third = pulse.send(t3);
            assert!(!pulse.heard(other.as_bytes(), t3), "{other}");
        }
        assert_eq!(pulse.caught_up(), Some(t1));
    }

    #[test]
    fn a_pulse_stands_for_those_before_it() {
        let now = Instant::now();
        let mut pulse = Pulse::new(1);
        pulse.send(now);
        let second = pulse.send(now + Duration::from_millis(10));
        assert!(pulse.heard(second.as_bytes(), now + Duration::from_millis(15)));
        assert_eq!(pulse.lag(now + Duration::from_secs(9)), Duration::from_millis(5));
    }

    #[test]
    fn snapshots_are_read() {
        for text in ["", "1", "1:2", "1:x:", "1:2:3,", "1:2:x", "a:2:"] {
            let read = Snapshot::parse(text);
            assert_eq!(read.is_some(), text == "1:2:3,", "{text}");
        }
        let snapshot = Snapshot::parse("10:20:10,14").unwrap();
        for (xid, shown) in
            [(9, true), (10, false), (11, true), (14, false), (19, true), (20, false), (21, false)]
        {
            assert_eq!(snapshot.shows(xid), shown, "{xid}");
        }
    }

    #[test]
    fn numbers_go_round() {
        // Just behind the second turn: 4294967290 is of the first.
        let epoch = 1_u64 << 32;
        let snapshot =
            Snapshot::parse(&format!("{}:{}:{},{}", epoch - 6, epoch + 5, epoch - 6, epoch + 3)).unwrap();
        for (xid, shown) in [
            (u32::MAX - 5, false),
            (u32::MAX - 4, true),
            (u32::MAX, true),
            (2, true),
            (3, false),
            (4, true),
            (5, false),
        ] {
            assert_eq!(snapshot.shows(xid), shown, "{xid}");
        }
    }

    #[test]
    fn who_cannot_be_seen_waits() {
        let mut unseen = Unseen::default();
        let written = |xid| Written { xid, tables: Vec::new(), catalog: false };
        for xid in [10, 11, 12, 13] {
            unseen.add(written(xid));
        }
        // 13 came after the snapshot was asked for.
        let snapshot = Snapshot::parse("11:20:11").unwrap();
        assert_eq!(unseen.seen(&snapshot, 3), [written(10), written(12)]);
        assert_eq!(unseen.len(), 2);
        assert_eq!(unseen.seen(&Snapshot::parse("20:20:").unwrap(), 9), [written(11), written(13)]);
    }
}
