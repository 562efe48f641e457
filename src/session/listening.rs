//! What a client listens to, and what the transaction that it is in may change of that.
//!
//! LISTEN and UNLISTEN take effect when their transaction commits. They are noted as the server says that they
//! are done, in the order of its answers; so they are undone as the server undoes them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::sql::Step;
use crate::wire::back;

/// A channel's name.
pub type Channel = Arc<[u8]>;

/// A change that a statement made.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Listen(Channel),
    Unlisten(Channel),
    UnlistenAll,
}

/// What must be done before the client is told that its transaction is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Channels to listen to; they count when [`Listening::confirm`] says so.
    pub add: Vec<Channel>,
    /// Channels that it does not listen to any more.
    pub remove: Vec<Channel>,
    /// What it has notified of itself must have arrived.
    pub fence: bool,
}

impl Due {
    /// Nothing is to be waited for.
    pub fn is_immediate(&self) -> bool {
        self.add.is_empty() && !self.fence
    }
}

/// A client that listens, or may soon.
#[derive(Debug, Default)]
pub struct Listening {
    /// In force, sorted.
    channels: Vec<Channel>,
    /// Of the open transaction.
    pending: Vec<Change>,
    /// Savepoints of the open transaction, with the length of `pending` when they were set. One that is not here
    /// was set before anything was pending.
    marks: Vec<(Channel, usize)>,
    /// Committed, and not in force yet.
    settled: Vec<Change>,
    /// An error undoes what is pending, unless a ROLLBACK TO comes.
    failed: bool,
    /// A text that changes channels has gone out, or one that notifies: nothing may follow its batch before it is
    /// known how that ends.
    pub(super) busy: bool,
    /// A text that notifies has gone out.
    pub(super) notifies: bool,
    /// Channels of LISTENs that have gone out in the open transaction.
    announced: Vec<Channel>,
    /// Those of them that are listened to already, because the transaction notifies too.
    early: Vec<Channel>,
    /// Those that must be, before the next frame goes out.
    wanted: Vec<Channel>,
    /// The `ReadyForQuery` that waits until what is due is done, with what belongs to it.
    held: Option<Box<[u8]>>,
    /// What came for the client while it was in a transaction: whole messages.
    mail: VecDeque<Arc<[u8]>>,
    /// Notifications that were written.
    delivered: u64,
}

impl Listening {
    /// The channels in force.
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn has(&self, channel: &[u8]) -> bool {
        self.channels.binary_search_by(|known| (**known).cmp(channel)).is_ok()
    }

    /// It listens to nothing, and nothing is to come of it.
    pub(super) fn is_idle(&self) -> bool {
        self.channels.is_empty()
            && self.pending.is_empty()
            && self.settled.is_empty()
            && self.early.is_empty()
            && !self.busy
            && self.held.is_none()
    }

    /// A text with LISTENs to `new` is to go out, and it, or what has gone out before, notifies as well: with the
    /// commit both take effect, so its own notifications are to be heard. True if it must wait until
    /// [`Self::take_wanted`] is listened to.
    pub(super) fn listens_first<'a>(
        &mut self,
        new: impl Iterator<Item = &'a Channel>,
        notifies: bool,
    ) -> bool {
        if !(notifies || self.notifies) {
            return false;
        }
        let known = |c: &Channel| self.has(c) || self.early.contains(c);
        let mut wanted: Vec<Channel> =
            self.announced.iter().cloned().chain(new.cloned()).filter(|c| !known(c)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        self.wanted = wanted;
        !self.wanted.is_empty()
    }

    /// What must be listened to before the next frame goes out.
    pub fn take_wanted(&mut self) -> Vec<Channel> {
        std::mem::take(&mut self.wanted)
    }

    /// These are listened to, although nothing is committed.
    pub fn listens_early(&mut self, channels: &[Channel]) {
        self.early.extend(channels.iter().map(Arc::clone));
    }

    /// Something is listened to before its time.
    pub fn is_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// A LISTEN goes out.
    pub(super) fn announce(&mut self, channel: &Channel) {
        if !self.has(channel) && !self.announced.contains(channel) {
            self.announced.push(Arc::clone(channel));
        }
    }

    /// A statement is done. `step` is what the text that it stands in says about it, if it is one that matters.
    /// True if the client must be shown `LISTEN` in place of this tag.
    pub(super) fn completed(&mut self, tag: &[u8], step: Option<&Step>) -> bool {
        match tag {
            b"UNLISTEN\0" => match step {
                Some(Step::Listen(channel)) => {
                    self.pending.push(Change::Listen(Arc::clone(channel)));
                    return true;
                }
                Some(Step::Unlisten(channel)) => self.pending.push(Change::Unlisten(Arc::clone(channel))),
                _ => self.pending.push(Change::UnlistenAll),
            },
            b"DISCARD ALL\0" => self.pending.push(Change::UnlistenAll),
            b"SAVEPOINT\0" => {
                if let Some(Step::Savepoint(name)) = step {
                    self.marks.push((Arc::clone(name), self.pending.len()));
                }
            }
            b"RELEASE\0" => {
                if let Some(Step::Release(name)) = step
                    && let Some(at) = self.mark(name)
                {
                    self.marks.truncate(at);
                }
            }
            b"ROLLBACK\0" => match step {
                Some(Step::RollbackTo(name)) => self.roll_back_to(name),
                _ => self.roll_back(),
            },
            b"COMMIT\0" => self.commit(),
            b"PREPARE TRANSACTION\0" => self.roll_back(),
            _ => {}
        }
        false
    }

    /// The innermost savepoint of this name.
    fn mark(&self, name: &[u8]) -> Option<usize> {
        self.marks.iter().rposition(|(known, _)| **known == *name)
    }

    fn roll_back_to(&mut self, name: &[u8]) {
        self.failed = false;
        if let Some(at) = self.mark(name) {
            // The savepoint itself stays.
            self.marks.truncate(at + 1);
            let keep = self.marks.last().map_or(0, |(_, length)| *length);
            self.pending.truncate(keep);
        } else {
            self.marks.clear();
            self.pending.clear();
        }
    }

    fn roll_back(&mut self) {
        self.failed = false;
        self.marks.clear();
        self.pending.clear();
    }

    fn commit(&mut self) {
        self.failed = false;
        self.marks.clear();
        self.settled.append(&mut self.pending);
    }

    /// The client was shown an error.
    pub(super) fn failed(&mut self) {
        self.failed = true;
    }

    /// `ReadyForQuery` comes; `quiet`: nothing else is in flight. True if it must be held until what is due is done.
    pub(super) fn ready(&mut self, status: u8, quiet: bool) -> bool {
        if status == b'I' {
            if self.failed { self.roll_back() } else { self.commit() }
        }
        if !quiet {
            return false;
        }
        let over = status == b'I';
        let adds = self.settled.iter().any(|change| matches!(change, Change::Listen(_)));
        let fence = over && self.notifies && (adds || !self.channels.is_empty());
        if over {
            self.busy = false;
            self.notifies = false;
            self.announced = Vec::new();
        }
        self.notifies |= fence;
        fence || !self.settled.is_empty() || over && !self.early.is_empty()
    }

    /// Keeps a `ReadyForQuery` until what is due is done.
    pub(super) fn hold(&mut self, ready: Box<[u8]>) {
        self.held = Some(ready);
    }

    /// A `ReadyForQuery` is held.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// What is due; asked once for each `ReadyForQuery` that is held.
    pub fn due(&mut self) -> Due {
        let mut now = self.channels.clone();
        for change in self.settled.drain(..) {
            match change {
                Change::Listen(channel) => {
                    if let Err(at) = now.binary_search(&channel) {
                        now.insert(at, channel);
                    }
                }
                Change::Unlisten(channel) => now.retain(|known| *known != channel),
                Change::UnlistenAll => now.clear(),
            }
        }
        let fence = std::mem::take(&mut self.notifies) && !now.is_empty();
        let add: Vec<Channel> = now.iter().filter(|channel| !self.has(channel)).cloned().collect();
        let (keep, mut remove): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.channels).into_iter().partition(|c| now.binary_search(c).is_ok());
        self.channels = keep;
        let early = std::mem::take(&mut self.early);
        remove.extend(early.into_iter().filter(|c| now.binary_search(c).is_err()));
        Due { add, remove, fence }
    }

    /// What came before the mark came before `add` counted: of those channels only its own notifications, from the
    /// server process `own`, are kept.
    pub fn drop_before_mark(&mut self, add: &[Channel], own: Option<u32>) {
        let Some(mark) = self.mail.iter().position(|message| message.is_empty()) else { return };
        let behind = self.mail.split_off(mark);
        let early = std::mem::take(&mut self.mail);
        self.mail = early
            .into_iter()
            .filter(|message| {
                notification(message).is_none_or(|(pid, channel)| {
                    self.has(channel) || own == Some(pid) && add.iter().any(|c| **c == *channel)
                })
            })
            .chain(behind.into_iter().skip(1))
            .collect();
    }

    /// Channels of which something may come: those in force, and early ones.
    pub fn subscribed(&self) -> Vec<Channel> {
        self.channels.iter().chain(&self.early).map(Arc::clone).collect()
    }

    /// From now on it listens to these too.
    pub fn confirm(&mut self, add: Vec<Channel>) {
        self.channels.extend(add);
        self.channels.sort_unstable();
        self.channels.dedup();
        self.channels.shrink_to_fit();
    }

    /// It listens to nothing any more: its place is another one.
    pub fn forget(&mut self) {
        self.channels = Vec::new();
        self.early = Vec::new();
        self.mail = VecDeque::new();
    }

    /// What was due is done: the `ReadyForQuery` that was held.
    pub fn let_go(&mut self) -> Option<Box<[u8]>> {
        self.held.take()
    }

    /// A whole message for the client: it gets it when it is in no transaction.
    pub fn put(&mut self, message: Arc<[u8]>) {
        self.mail.push_back(message);
    }

    /// Something waits for the client.
    pub fn has_mail(&self) -> bool {
        !self.mail.is_empty()
    }

    /// Writes what waits for the client, but for notifications of channels that it does not listen to (any more).
    /// Those of the server process `own.0` are its own: it knows itself as `own.1`.
    pub fn write_mail(&mut self, own: Option<(u32, u32)>, out: &mut Vec<u8>) {
        while let Some(message) = self.mail.pop_front() {
            let Some((pid, channel)) = notification(&message) else {
                out.extend_from_slice(&message);
                continue;
            };
            if !self.has(channel) {
                continue;
            }
            let at = out.len();
            out.extend_from_slice(&message);
            self.delivered += 1;
            if let Some((_, mine)) = own.filter(|(server, _)| *server == pid)
                && let Some(place) = out.get_mut(at + 5..at + 9)
            {
                place.copy_from_slice(&mine.to_be_bytes());
            }
        }
        if self.mail.capacity() > 0 {
            self.mail = VecDeque::new();
        }
    }

    /// How many notifications were written since this was asked last.
    pub fn take_delivered(&mut self) -> u64 {
        std::mem::take(&mut self.delivered)
    }
}

/// The server process and the channel of a `NotificationResponse`; `None` for other messages.
fn notification(message: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = message.split_at_checked(9)?;
    let [back::NOTIFICATION, _, _, _, _, pid @ ..] = head else { return None };
    let pid = u32::from_be_bytes(pid.try_into().ok()?);
    let end = memchr::memchr(0, rest)?;
    Some((pid, rest.get(..end)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::*;
    use crate::{sql, wire};

    /// A session that runs texts one by one, as the server would answer them. `!` ahead: it fails.
    fn after(texts: &[&str]) -> (Listening, Vec<String>) {
        let mut listening = Listening::default();
        let mut status = b'I';
        let mut held = Vec::new();
        for text in texts {
            run(&mut listening, &mut status, text);
            if listening.is_held() {
                let Due { add, remove, fence } = listening.due();
                let name = |c: &Channel| String::from_utf8_lossy(c).into_owned();
                let words: Vec<String> = add
                    .iter()
                    .map(|c| format!("+{}", name(c)))
                    .chain(remove.iter().map(|c| format!("-{}", name(c))))
                    .chain(fence.then(|| "fence".to_owned()))
                    .collect();
                held.push(words.join(" "));
                listening.confirm(add);
                listening.let_go();
            }
        }
        (listening, held)
    }

    /// One simple query, with the tags that a server gives.
    fn run(listening: &mut Listening, status: &mut u8, text: &str) {
        let traits = sql::traits(text.as_bytes(), true);
        listening.busy |= traits.listens;
        listening.notifies |= traits.notifies;
        let mut steps = sql::steps(text.as_bytes(), true).into_iter().map(|(_, step)| step);
        let mut block = *status != b'I';
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let word = part.split_whitespace().next().unwrap().to_uppercase();
            let to = part.to_lowercase().contains(" to ");
            let relevant = ["LISTEN", "UNLISTEN", "SAVEPOINT", "RELEASE", "COMMIT", "ROLLBACK"];
            let step = if relevant.contains(&word.as_str()) { steps.next() } else { None };
            if word == "FAIL" || *status == b'E' && !["COMMIT", "ROLLBACK"].contains(&word.as_str()) {
                listening.failed();
                *status = if block { b'E' } else { b'I' };
                break;
            }
            let tag = match word.as_str() {
                "LISTEN" => "UNLISTEN",
                "COMMIT" if *status == b'E' => "ROLLBACK",
                other => other,
            };
            listening.completed(format!("{tag}\0").as_bytes(), step.as_ref());
            match word.as_str() {
                "BEGIN" => (block, *status) = (true, b'T'),
                "COMMIT" | "ROLLBACK" if !to => (block, *status) = (false, b'I'),
                "ROLLBACK" => *status = b'T',
                _ => {}
            }
        }
        if listening.ready(*status, true) {
            listening.hold(Box::from(&b"Z"[..]));
        }
    }

    #[test]
    fn changes_take_effect_with_their_transaction() {
        for (texts, expected, held) in [
            (&["LISTEN a"][..], "a", &["+a"][..]),
            (&["LISTEN a", "LISTEN a"], "a", &["+a", ""]),
            (&["LISTEN b", "LISTEN a", "UNLISTEN b"], "a", &["+b", "+a", "-b"]),
            (&["LISTEN a", "LISTEN b", "UNLISTEN *"], "", &["+a", "+b", "-a -b"]),
            (&["LISTEN a; UNLISTEN a; LISTEN b"], "b", &["+b"]),
            (&["LISTEN a", "UNLISTEN a; LISTEN a"], "a", &["+a", ""]),
            (&["BEGIN", "LISTEN a", "COMMIT"], "a", &["+a"]),
            (&["BEGIN", "LISTEN a", "ROLLBACK"], "", &[]),
            (&["BEGIN", "LISTEN a", "FAIL", "COMMIT"], "", &[]),
            (&["BEGIN; LISTEN a; COMMIT; FAIL"], "a", &["+a"]),
            (&["LISTEN a; FAIL"], "", &[]),
            (&["LISTEN a; FAIL", "SELECT 1"], "", &[]),
            (&["BEGIN; LISTEN a; COMMIT; LISTEN b; FAIL"], "a", &["+a"]),
            (&["BEGIN; LISTEN a; ROLLBACK; LISTEN b"], "b", &["+b"]),
            (&["BEGIN", "SAVEPOINT s", "LISTEN a", "ROLLBACK TO s", "COMMIT"], "", &[]),
            (&["BEGIN", "LISTEN a", "SAVEPOINT s", "LISTEN b", "ROLLBACK TO s", "COMMIT"], "a", &["+a"]),
            (
                &["BEGIN", "LISTEN a", "SAVEPOINT s", "LISTEN b", "FAIL", "ROLLBACK TO s", "COMMIT"],
                "a",
                &["+a"],
            ),
            (&["BEGIN", "SAVEPOINT s; LISTEN a; RELEASE s; LISTEN b", "COMMIT"], "a b", &["+a +b"]),
            (
                &["BEGIN", "SAVEPOINT s; LISTEN a; SAVEPOINT t; LISTEN b; ROLLBACK TO s; LISTEN c; COMMIT"],
                "c",
                &["+c"],
            ),
            (
                &["BEGIN", "SAVEPOINT s; LISTEN a; SAVEPOINT s; LISTEN b; ROLLBACK TO s", "COMMIT"],
                "a",
                &["+a"],
            ),
            (
                &[
                    "BEGIN",
                    "SAVEPOINT s; LISTEN a; SAVEPOINT s; RELEASE s; LISTEN b; ROLLBACK TO s",
                    "COMMIT",
                ],
                "",
                &[],
            ),
            // Set before anything was known of the client.
            (&["BEGIN", "LISTEN a", "ROLLBACK TO elsewhere", "LISTEN b", "COMMIT"], "b", &["+b"]),
            (
                &["LISTEN a", "NOTIFY a", "SELECT 1", "SELECT pg_notify('a', '')"],
                "a",
                &["+a", "fence", "fence"],
            ),
            (&["NOTIFY a", "SELECT 1"], "", &[]),
            (&["LISTEN a", "BEGIN", "NOTIFY a", "UNLISTEN a", "COMMIT"], "", &["+a", "-a"]),
            (&["BEGIN; NOTIFY a; LISTEN a; COMMIT"], "a", &["+a fence"]),
        ] {
            let (listening, were_held) = after(texts);
            let channels: Vec<_> =
                listening.channels().iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect();
            assert_eq!(channels.join(" "), expected, "{texts:?}");
            assert_eq!(were_held, held, "{texts:?}");
            assert_eq!(listening.is_idle(), expected.is_empty(), "{texts:?}");
        }
    }

    #[test]
    fn who_notifies_in_the_same_transaction_listens_first() {
        let a: Channel = Arc::from(&b"a"[..]);
        let mut listening = Listening::default();
        assert!(!listening.listens_first([&a].into_iter(), false));
        listening.announce(&a);
        assert!(listening.listens_first([].into_iter(), true));
        assert_eq!(listening.take_wanted(), [Arc::clone(&a)]);
        listening.listens_early(&[Arc::clone(&a)]);
        assert!(!listening.listens_first([&a].into_iter(), true));
        // Undone.
        assert!(listening.ready(b'I', true));
        assert_eq!(listening.due(), Due { remove: vec![a], ..Due::default() });
        assert!(listening.is_idle());
    }

    #[test]
    fn before_the_mark_only_its_own_counts() {
        let (mut listening, _) = after(&["LISTEN a"]);
        let mark: Arc<[u8]> = Arc::from(&b""[..]);
        for sent in [message(1, "a"), message(1, "b"), message(2, "b"), mark, message(1, "b")] {
            listening.put(sent);
        }
        let b: Channel = Arc::from(&b"b"[..]);
        listening.drop_before_mark(&[Arc::clone(&b)], Some(2));
        listening.confirm(vec![b]);
        let mut out = Vec::new();
        listening.write_mail(None, &mut out);
        assert_eq!(out, [&message(1, "a")[..], &message(2, "b"), &message(1, "b")].concat());
    }

    #[test]
    fn discard_all_ends_it() {
        let (mut listening, _) = after(&["LISTEN a"]);
        listening.completed(b"DISCARD ALL\0", None);
        assert!(listening.ready(b'I', true));
        assert_eq!(listening.due().remove.len(), 1);
    }

    fn message(pid: u32, channel: &str) -> Arc<[u8]> {
        let mut out = Vec::new();
        wire::frame(&mut out, back::NOTIFICATION, |out| {
            out.extend_from_slice(&pid.to_be_bytes());
            out.extend_from_slice(format!("{channel}\0payload\0").as_bytes());
        });
        out.into()
    }

    #[test]
    fn mail_is_for_channels_in_force_and_tells_its_own() {
        let (mut listening, _) = after(&["LISTEN a; LISTEN b", "UNLISTEN b"]);
        let notice: Arc<[u8]> = Arc::from(&b"N\0\0\0\x05\0"[..]);
        for sent in [message(7, "a"), message(7, "b"), Arc::clone(&notice), message(8, "a")] {
            listening.put(sent);
        }
        let mut out = Vec::new();
        assert!(listening.has_mail());
        listening.write_mail(Some((8, 99)), &mut out);
        assert_eq!(listening.take_delivered(), 2);
        assert_eq!(out, [&message(7, "a")[..], &notice, &message(99, "a")].concat());
        assert!(!listening.has_mail());
    }

    proptest! {
        /// Texts in any order, against a model that keeps a copy of the set at each savepoint.
        #[test]
        fn as_a_copying_model(texts in proptest::collection::vec(
            "(LISTEN [ab]|UNLISTEN [ab]|UNLISTEN \\*|SAVEPOINT [st]|RELEASE [st]|ROLLBACK TO [st]|BEGIN|COMMIT|ROLLBACK|FAIL)",
            0..30,
        )) {
            let mut legal = Vec::new();
            let mut model = Copying::default();
            for text in &texts {
                if model.run(text) {
                    legal.push(text.as_str());
                }
            }
            let (listening, _) = after(&legal);
            let channels: Vec<_> =
                listening.channels().iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect();
            prop_assert_eq!(channels, model.committed.into_iter().collect::<Vec<_>>());
        }
    }

    #[derive(Default)]
    struct Copying {
        committed: std::collections::BTreeSet<String>,
        block: bool,
        failed: bool,
        now: std::collections::BTreeSet<String>,
        saved: Vec<(String, std::collections::BTreeSet<String>)>,
    }

    impl Copying {
        /// Runs one text; false if a server would refuse it with other consequences than FAIL's.
        fn run(&mut self, text: &str) -> bool {
            let name = text.split(' ').next_back().unwrap().to_owned();
            let at = self.saved.iter().rposition(|(known, _)| *known == name);
            if self.failed && !text.starts_with("ROLLBACK") && text != "COMMIT" {
                return false;
            }
            match text {
                "BEGIN" if self.block => return false,
                "COMMIT" | "ROLLBACK" if !self.block => return false,
                "FAIL" if !self.block => {}
                "FAIL" => self.failed = true,
                "BEGIN" => {
                    self.block = true;
                    self.now = self.committed.clone();
                }
                "COMMIT" | "ROLLBACK" => {
                    if text == "COMMIT" && !self.failed {
                        self.committed = std::mem::take(&mut self.now);
                    }
                    (self.block, self.failed) = (false, false);
                    self.saved.clear();
                }
                _ if text.starts_with("SAVEPOINT") => {
                    if !self.block {
                        return false;
                    }
                    self.saved.push((name, self.now.clone()));
                }
                _ if text.starts_with("RELEASE") || text.starts_with("ROLLBACK TO") => {
                    let Some(at) = at else { return false };
                    if text.starts_with("RELEASE") {
                        self.saved.truncate(at);
                    } else {
                        self.saved.truncate(at + 1);
                        self.now = self.saved[at].1.clone();
                        self.failed = false;
                    }
                }
                _ => {
                    let set = if self.block { &mut self.now } else { &mut self.committed };
                    if text == "UNLISTEN *" {
                        set.clear();
                    } else if text.starts_with("LISTEN") {
                        set.insert(name);
                    } else {
                        set.remove(&name);
                    }
                }
            }
            true
        }
    }
}
