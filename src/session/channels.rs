//! LISTEN on a server connection that is shared.
//!
//! It never really listens there: a connection that rests would collect notifications, and whoever got it next
//! would get them. `LISTEN x` goes to the server as `UNLISTEN x`, which does nothing there, and which the server
//! refuses, orders and undoes as it would the other. What took effect is noted in [`Listening`]; the relay sees to
//! it that a connection that really listens does.

use std::sync::Arc;

use super::client::{ClientSession, Mode};
use super::expect::Kind;
use super::listening::{Channel, Listening};
use super::locals::Insert;
use super::position::framed;
use super::server::{Action, ServerSession};
use super::statement::Statement;
use crate::sql::{self, Step, Traits};
use crate::wire::{self, back};

/// The channel that a step listens to.
fn listened(step: &Step) -> Option<&Channel> {
    match step {
        Step::Listen(channel) => Some(channel),
        _ => None,
    }
}

/// What makes an UNLISTEN of a LISTEN.
pub(super) const UN: &[u8] = b"UN";

/// The steps of a text that goes out, and how many of them the server has answered.
#[derive(Debug)]
pub(super) struct Steps {
    list: Arc<[Step]>,
    at: usize,
}

/// A portal, and the steps of its statement.
pub(super) type StepPortal = (Box<[u8]>, Arc<[Step]>);

impl Steps {
    pub(super) fn new(list: Arc<[Step]>) -> Self {
        Self { list, at: 0 }
    }

    /// The next, if `tag` is what the server says when a step is done.
    fn next(&mut self, tag: &[u8]) -> Option<&Step> {
        let counts = matches!(
            tag,
            b"UNLISTEN\0"
                | b"SAVEPOINT\0"
                | b"RELEASE\0"
                | b"ROLLBACK\0"
                | b"COMMIT\0"
                | b"PREPARE TRANSACTION\0"
        );
        if !counts {
            return None;
        }
        let step = self.list.get(self.at);
        self.at += 1;
        step
    }
}

/// Where the LISTENs of a text stand.
pub(super) fn listens(text: &[u8], traits: &Traits<'_>, standard_strings: bool) -> Vec<usize> {
    if !traits.listens {
        return Vec::new();
    }
    let steps = sql::steps(text, standard_strings);
    steps.iter().filter(|(_, step)| matches!(step, Step::Listen(_))).map(|(at, _)| *at).collect()
}

/// An insert of two characters that is no statement.
pub(super) fn un(before: usize, at: Option<u32>) -> Insert {
    Insert { before: u32::try_from(before).unwrap_or(u32::MAX), statements: 0, at, chars: 2 }
}

/// A text as it goes to the server: with each LISTEN made an UNLISTEN. `None`: as it stands.
pub(super) fn disguised(text: &[u8], steps: &[(usize, Step)]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut from = 0;
    for (at, step) in steps {
        if matches!(step, Step::Listen(_)) {
            out.extend_from_slice(text.get(from..*at)?);
            out.extend_from_slice(UN);
            from = *at;
        }
    }
    if out.is_empty() {
        return None;
    }
    out.extend_from_slice(text.get(from..)?);
    Some(out)
}

impl ClientSession {
    /// What the client listens to; `None` if it never has, or does not any more.
    pub fn listening(&mut self) -> Option<&mut Listening> {
        self.listening.as_deref_mut()
    }

    /// A `ReadyForQuery` of the client's is held: its frames must wait.
    pub fn is_held(&self) -> bool {
        self.listening.as_ref().is_some_and(|listening| listening.is_held())
    }

    /// Gives back what only a client that listens needs, if this one does not any more.
    pub fn forget_listening(&mut self) {
        self.listening.take_if(|listening| listening.is_idle() && !listening.has_mail());
    }

    /// A simple query must wait until the channels that it listens to are listened to: see
    /// [`Listening::listens_first`].
    pub(super) fn query_listens_first(&mut self, text: &[u8], traits: &Traits<'_>) -> bool {
        if !traits.listens {
            let listening = self.listening.as_deref_mut().filter(|_| traits.notifies);
            return listening.is_some_and(|listening| listening.listens_first([].into_iter(), true));
        }
        let notifies = traits.notifies || self.notified;
        if !notifies {
            return false;
        }
        let steps = sql::steps(text, self.standard_strings);
        let new = steps.iter().filter_map(|(_, step)| listened(step));
        self.listening.get_or_insert_default().listens_first(new, notifies)
    }

    /// The same of a Bind.
    pub(super) fn bind_listens_first(&mut self, body: &[u8]) -> bool {
        // No statement does both by itself; this is asked of every Bind.
        if self.listening.is_none() && !self.notified {
            return false;
        }
        let Some(statement) = wire::bind_head(body).and_then(|bind| self.statement(bind.statement)) else {
            return false;
        };
        let new = Arc::clone(&statement.steps);
        let notifies = statement.notifies || self.notified;
        let listens = new.iter().any(|step| listened(step).is_some());
        if !notifies || !listens && self.listening.is_none() {
            return false;
        }
        self.listening.get_or_insert_default().listens_first(new.iter().filter_map(listened), notifies)
    }

    /// Notes that a text is about to go out. Its steps, if there are any that matter.
    pub(super) fn announce(&mut self, text: &[u8], traits: &Traits<'_>) -> Option<Box<Steps>> {
        self.note_notify(traits.notifies);
        let matters = traits.listens || traits.savepoints && self.listening.is_some();
        let steps = if matters { sql::steps(text, self.standard_strings) } else { Vec::new() };
        if traits.listens {
            self.begin_listening(steps.iter().filter_map(|(_, step)| listened(step)));
        }
        with_places_dropped(steps)
    }

    fn note_notify(&mut self, notifies: bool) {
        if notifies {
            self.notified = true;
            if let Some(listening) = &mut self.listening {
                listening.busy = true;
                listening.notifies = true;
            }
        }
    }

    fn begin_listening<'a>(&mut self, channels: impl Iterator<Item = &'a Channel>) {
        let listening = self.listening.get_or_insert_default();
        listening.busy = true;
        listening.notifies |= self.notified;
        channels.for_each(|channel| listening.announce(channel));
    }

    /// Nothing may follow what has just gone out before it is known what became of it.
    pub(super) fn hold_behind(&self, server: &mut ServerSession) {
        server.barrier |= self.listening.as_ref().is_some_and(|listening| listening.busy);
    }

    /// The edit of a statement that is prepared, for positions in its error.
    pub(super) fn edit_of(&self, statement: &Statement) -> Option<Arc<[Insert]>> {
        let (at, _) = statement.disguise.as_ref()?;
        let text = wire::c_string(&statement.body).map_or(&*statement.body, |(text, _)| text);
        let ahead = self.characters(text.get(..*at).unwrap_or_default());
        Some(Arc::new([un(0, ahead)]))
    }

    /// A Bind of a statement goes out.
    pub(super) fn bind_steps(
        &mut self,
        portal: &[u8],
        statement: &Arc<Statement>,
        server: &mut ServerSession,
    ) {
        if self.mode == Mode::Exclusive {
            return;
        }
        server.step_portals.retain(|(name, _)| **name != *portal);
        if statement.steps.is_empty() && !statement.notifies {
            return;
        }
        self.note_notify(statement.notifies);
        if statement
            .steps
            .iter()
            .any(|s| matches!(s, Step::Listen(_) | Step::Unlisten(_) | Step::UnlistenAll))
        {
            self.begin_listening(statement.steps.iter().filter_map(listened));
        }
        if !statement.steps.is_empty() && self.listening.is_some() {
            server.step_portals.push((portal.into(), Arc::clone(&statement.steps)));
        }
    }
}

/// Steps as an entry of the queue keeps them.
fn with_places_dropped(steps: Vec<(usize, Step)>) -> Option<Box<Steps>> {
    if steps.is_empty() {
        return None;
    }
    Some(Box::new(Steps::new(steps.into_iter().map(|(_, step)| step).collect())))
}

impl ServerSession {
    /// An Execute goes out: the steps of its portal.
    pub(super) fn execute_steps(&self, body: &[u8]) -> Option<Box<Steps>> {
        if self.step_portals.is_empty() {
            return None;
        }
        let (portal, _) = wire::c_string(body)?;
        let (_, steps) = self.step_portals.iter().find(|(name, _)| **name == *portal)?;
        Some(Box::new(Steps::new(Arc::clone(steps))))
    }

    /// A statement of the client's is done. The tag to show in place of the server's, if it is another one.
    pub(super) fn complete_steps(&mut self, client: &mut ClientSession, tag: &[u8]) -> Option<Action> {
        let listening = client.listening.as_deref_mut()?;
        let steps = self.expect.front_mut().and_then(|head| head.steps.as_deref_mut());
        let listens = listening.completed(tag, steps.and_then(|steps| steps.next(tag)));
        listens.then(|| Action::Replace(framed(back::COMMAND_COMPLETE, b"LISTEN\0")))
    }

    /// `ReadyForQuery` comes for the client: held back, or behind what waits for the client.
    /// `action` is what the client gets of it otherwise.
    pub(super) fn ready_of_listener(
        &mut self,
        client: &mut ClientSession,
        status: u8,
        action: Action,
    ) -> Action {
        let Some(listening) = client.listening.as_deref_mut() else { return action };
        let quiet = !self.unsynced && self.expect.iter().all(|entry| entry.kind == Kind::CopyEnd);
        let due = listening.ready(status, quiet);
        // What is in flight notifies: of that nothing may come before its own answer.
        let too_early = status != b'I' || listening.notifies;
        if !due && (too_early || !listening.has_mail()) {
            return action;
        }
        let mut bytes = Vec::new();
        if !due {
            listening.write_mail(None, &mut bytes);
        }
        match action {
            Action::Replace(ready) => bytes.extend_from_slice(&ready),
            _ => wire::ready_for_query(&mut bytes, status),
        }
        if due {
            listening.hold(bytes.into());
            Action::Swallow
        } else {
            Action::Replace(bytes)
        }
    }
}
