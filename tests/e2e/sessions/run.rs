//! Plays one script to one server.

use std::io::ErrorKind;
use std::time::Duration;

use super::script::{OWN, Script, Step};
use crate::support::wire::{startup, terminate};
use crate::support::{Message, Wire};

/// Where to, and as what.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) port: u16,
    pub(super) database: &'a str,
    /// The end of waiting for a message.
    pub(super) patience: Duration,
}

/// What came back.
#[derive(Clone)]
pub(super) struct Answers {
    /// The number of the run, for [`OWN`] in what was sent.
    pub(super) id: String,
    /// First those to the startup packet, then those to each step.
    pub(super) steps: Vec<Vec<Message>>,
    /// Why there is no more, if that is before the script's end.
    pub(super) end: Option<String>,
}

impl Answers {
    fn notifications(&self) -> usize {
        self.steps.iter().flatten().filter(|message| message.tag == b'A').count()
    }

    /// No transaction is open behind the last step.
    pub(super) fn is_idle(&self) -> bool {
        let last =
            self.steps.last().and_then(|messages| messages.iter().rfind(|message| message.tag == b'Z'));
        last.is_some_and(|message| message.body == b"I")
    }

    /// Notifications behind so many steps.
    fn notifications_until(&self, step: usize) -> usize {
        self.steps.iter().take(step).flatten().filter(|message| message.tag == b'A').count()
    }
}

/// Plays a script. `expected` is what Postgres answered: notifications that it has sent are waited for.
/// `between` runs behind each step, told whether no transaction is open.
pub(super) fn play(
    target: Target<'_>,
    script: &Script,
    id: &str,
    expected: Option<&Answers>,
    between: &mut dyn FnMut(bool),
) -> Answers {
    let mut wire = Wire::open(("127.0.0.1", target.port));
    wire.stream.set_read_timeout(Some(target.patience)).expect("timeout");
    let given: Vec<_> = script.startup.iter().map(|(name, value)| (name, value.replace(OWN, id))).collect();
    let mut parameters = vec![("user", "app_trust"), ("database", target.database)];
    parameters.extend(given.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let mut answers = Answers { id: id.to_owned(), steps: Vec::new(), end: None };
    exchange(&mut wire, &[startup(&parameters)], 1, &mut answers);
    for step in &script.steps {
        if answers.end.is_some() {
            return answers;
        }
        exchange(&mut wire, &step.bytes(id), step.ready(), &mut answers);
        if script.listens && answers.end.is_none() {
            settle(&mut wire, expected, &mut answers);
        }
        between(answers.is_idle());
    }
    drop(wire.try_send(&[terminate()]));
    answers
}

/// An empty query, and on the other side the wait for what Postgres had sent by then.
fn settle(wire: &mut Wire, expected: Option<&Answers>, answers: &mut Answers) {
    exchange(wire, &Step::query("").bytes(""), 1, answers);
    let Some(expected) = expected else { return };
    let wanted = expected.notifications_until(answers.steps.len());
    while answers.end.is_none() && answers.notifications() < wanted {
        match wire.try_read() {
            Ok(Some(message)) => answers.steps.last_mut().expect("a step").push(message),
            // It is missing, which the comparison will say.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            end => answers.end = Some(format!("{end:?}")),
        }
    }
}

fn exchange(wire: &mut Wire, frames: &[Vec<u8>], ready: usize, answers: &mut Answers) {
    let mut messages = Vec::new();
    let mut left = ready;
    if let Err(error) = wire.try_send(frames) {
        answers.end = Some(format!("cannot send: {error}"));
    }
    while left > 0 {
        match wire.try_read() {
            Ok(Some(message)) => {
                left -= usize::from(message.tag == b'Z');
                messages.push(message);
            }
            Ok(None) => answers.end = Some("closed".to_owned()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                answers.end = Some("no answer".to_owned());
            }
            Err(error) => answers.end = Some(error.to_string()),
        }
        if answers.end.is_some() {
            break;
        }
    }
    answers.steps.push(messages);
}
