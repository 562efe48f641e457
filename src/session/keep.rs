//! Answers that are kept as they pass: the bytes of some frames' replies, for whoever wants to give them again.

use super::client::ClientSession;
use super::server::ServerSession;
use crate::wire::back;

/// Which part of an answer a frame's replies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What a statement's parameters and columns are: a Describe of a statement.
    Shape,
    /// What a portal's columns are: a Describe of a portal.
    Columns,
    /// Rows, with their columns if it is a simple query: an Execute or a Query.
    Rows,
}

/// What is kept of a frame's replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Which of the answers of its batch.
    pub number: usize,
    /// Which part of it.
    pub part: Part,
}

/// One answer. Everything in it is whole messages, as the server sent them.
#[derive(Debug, Default)]
pub struct Kept {
    /// `ParameterDescription`.
    pub parameters: Vec<u8>,
    /// `RowDescription` or `NoData`.
    pub columns: Vec<u8>,
    /// `DataRow`s and `CommandComplete`.
    pub body: Vec<u8>,
    /// How many rows.
    pub rows: u64,
    /// It came to its end, and nothing was in it that cannot be given again.
    pub done: bool,
    /// It is larger than what is kept.
    pub too_big: bool,
    /// Something was in it that cannot be given again: an error, a notice, a changed setting, COPY.
    pub unfit: bool,
}

/// The answers of one batch.
#[derive(Debug)]
pub(super) struct Keeping {
    answers: Vec<Kept>,
    limit: usize,
    /// The message that is passing belongs to this.
    now: Option<(usize, u8)>,
    /// All frames of the batch are answered.
    ready: bool,
    /// Settings that the server is asked for when that is so, because the answers may hang on them.
    verify: Vec<Box<str>>,
    /// They are what the client's session has.
    verified: Option<bool>,
}

impl ServerSession {
    /// From the next frame on, answers are kept: so many, of at most `limit` bytes each. Which frames they belong to
    /// says [`ClientSession::keep`].
    pub fn begin_keeping(&mut self, answers: usize, limit: usize) {
        let answers = (0..answers).map(|_| Kept::default()).collect();
        let keeping =
            Keeping { answers, limit, now: None, ready: false, verify: Vec::new(), verified: Some(true) };
        self.keeping = Some(Box::new(keeping));
    }

    /// The answers that were kept, once their batch is answered.
    pub fn take_kept(&mut self) -> Option<Vec<Kept>> {
        if self.keeping.as_ref().is_some_and(|keeping| keeping.ready) {
            self.keeping.take().map(|keeping| keeping.answers)
        } else {
            None
        }
    }

    /// The answers may hang on this setting, and a function could have set it behind everybody's back: the server is
    /// asked for it with the next [`Self::probe`].
    pub fn verify(&mut self, setting: &str) {
        if let Some(keeping) = &mut self.keeping {
            if !keeping.verify.iter().any(|known| **known == *setting) {
                keeping.verify.push(setting.into());
            }
            keeping.verified = None;
        }
    }

    /// Whether all of [`Self::verify`] were what the client's session has; `None`: it is not known yet.
    pub fn verified(&self) -> Option<bool> {
        self.keeping.as_ref().map_or(Some(true), |keeping| keeping.verified)
    }

    /// Nothing is on its way that the client will see.
    pub fn shows_nothing(&self) -> bool {
        self.expect.iter().all(|entry| !entry.shown)
    }

    /// Settings to ask for, once. Those of the client's tenant were set for the transaction.
    pub(super) fn take_unverified(&mut self, client: &ClientSession) -> Vec<Box<str>> {
        let Some(keeping) = self.keeping.as_mut().filter(|keeping| keeping.ready) else { return Vec::new() };
        let mut names = std::mem::take(&mut keeping.verify);
        names.retain(|name| !client.locals().is_some_and(|(locals, _)| locals.has(name)));
        if names.is_empty() && keeping.verified.is_none() {
            keeping.verified = Some(true);
        }
        names
    }

    pub(super) fn verified_one(&mut self, as_known: bool) {
        if let Some(keeping) = &mut self.keeping {
            keeping.verified = Some(keeping.verified != Some(false) && as_known);
        }
    }

    /// Nothing is kept any more.
    pub fn stop_keeping(&mut self) {
        self.keeping = None;
    }

    /// True while the message that was judged last is to be kept: [`Self::tee`] wants its bytes.
    pub fn tees(&self) -> bool {
        self.keeping.as_ref().is_some_and(|keeping| keeping.now.is_some())
    }

    /// Bytes of the message that was judged last, in their order.
    pub fn tee(&mut self, bytes: &[u8]) {
        let Some(keeping) = &mut self.keeping else { return };
        let Some((number, tag)) = keeping.now else { return };
        let limit = keeping.limit;
        let Some(kept) = keeping.answers.get_mut(number) else { return };
        if kept.too_big || kept.body.len() + kept.columns.len() + bytes.len() > limit {
            // The memory is given back at once: the rest may be a gigabyte.
            *kept = Kept { too_big: true, ..Kept::default() };
            return;
        }
        match tag {
            back::ROW_DESCRIPTION | back::NO_DATA => kept.columns.extend_from_slice(bytes),
            back::PARAMETER_DESCRIPTION => kept.parameters.extend_from_slice(bytes),
            _ => kept.body.extend_from_slice(bytes),
        }
    }

    /// A message is judged that answers the frame at the head of the queue.
    pub(super) fn keep_message(&mut self, tag: u8, keep: Option<Keep>) {
        let Some(keeping) = &mut self.keeping else { return };
        keeping.now = None;
        let Some(Keep { number, part }) = keep else { return };
        let Some(kept) = keeping.answers.get_mut(number) else { return };
        match tag {
            back::DATA_ROW => kept.rows += 1,
            back::COMMAND_COMPLETE => kept.done = part == Part::Rows && !kept.too_big && !kept.unfit,
            back::ROW_DESCRIPTION | back::NO_DATA if part == Part::Shape => kept.done = true,
            back::ROW_DESCRIPTION | back::PARAMETER_DESCRIPTION => {}
            _ => {
                kept.unfit = true;
                kept.done = false;
                return;
            }
        }
        keeping.now = Some((number, tag));
        // A Flush may be all that follows.
        keeping.ready = keeping.answers.iter().all(|kept| kept.done) && part == Part::Shape;
    }

    /// An error of this SQLSTATE. One that has nothing to do with the question leaves it open.
    pub(super) fn keep_failed(&mut self, sqlstate: &[u8]) {
        let passing = [&b"57"[..], b"40", b"53", b"55", b"25", b"58"];
        if passing.iter().any(|class| sqlstate.starts_with(class)) {
            if let Some(keeping) = &mut self.keeping {
                keeping.now = None;
                keeping.answers.iter_mut().for_each(|kept| kept.done = false);
            }
        } else {
            self.keep_nothing_of_this();
        }
    }

    /// Something comes from the server that is no part of an answer, and would not come again with it.
    pub(super) fn keep_nothing_of_this(&mut self) {
        if let Some(keeping) = &mut self.keeping {
            keeping.now = None;
            for kept in keeping.answers.iter_mut().filter(|kept| !kept.done) {
                kept.unfit = true;
            }
        }
    }

    /// A batch is answered.
    pub(super) fn keep_ready(&mut self) {
        if self.keeping.is_some() {
            let pending = self.expect.iter().any(|e| e.keep.is_some());
            if let Some(keeping) = &mut self.keeping {
                keeping.now = None;
                keeping.ready = !pending;
            }
        }
    }
}

impl ClientSession {
    /// The setting has the value that it should have, as far as that is known. One that a client made up is empty where
    /// it was once and is no more.
    pub(super) fn has_setting(&self, name: &str, value: Option<&str>) -> bool {
        let unset = |value: &str| value.is_empty() || name.eq_ignore_ascii_case("role") && value == "none";
        value.filter(|value| !unset(value)) == self.settings.get(name).filter(|value| !unset(value))
    }

    /// What is kept of the replies to the frame that is judged next.
    pub fn keep(&mut self, keep: Option<Keep>) {
        self.keep = keep;
    }
}
