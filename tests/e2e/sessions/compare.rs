//! Message by message: what Postgres answered, and what came through Howdah.
//!
//! Equal means: the same messages in the same order, byte by byte, but for
//! - BackendKeyData, and the process in a NotificationResponse;
//! - the fields F, L and R (file, line, routine) of errors and notices;
//! - numbers of tables and types that are no built-in ones (by order of appearance), and of `pg_temp` schemas;
//! - the order of ParameterStatus between two ReadyForQuery;
//! - a NotificationResponse may come later, as long as it is there when the empty query behind the step is answered.

use super::run::Answers;
use super::script::{OWN, Script};
use crate::support::Message;

const FIRST_OWN_OID: u32 = 16384;

struct Notification {
    text: String,
    /// ReadyForQuery before it.
    at: usize,
    /// The step that it came with, or with the empty query behind it.
    step: usize,
}

/// One side, ready to be compared.
struct Side {
    steps: Vec<Vec<String>>,
    notifications: Vec<Notification>,
    end: Option<String>,
}

impl Side {
    fn new(answers: &Answers) -> Self {
        let mut side = Self { steps: Vec::new(), notifications: Vec::new(), end: answers.end.clone() };
        let mut oids = Vec::new();
        let mut ready = 0;
        for (number, messages) in answers.steps.iter().enumerate() {
            let step = number.div_ceil(2);
            let (mut lines, mut parameters) = (Vec::new(), Vec::new());
            for message in messages {
                let text = || show(message, &answers.id);
                match message.tag {
                    b'K' => {}
                    b'A' => side.notifications.push(Notification { text: text(), at: ready, step }),
                    b'S' => parameters.push((message.text(), text())),
                    b'T' => lines.push(show(&with_own_oids(message, &mut oids), &answers.id)),
                    b'Z' => {
                        ready += 1;
                        parameters.sort_by(|one, other| one.0.cmp(&other.0));
                        lines.extend(parameters.drain(..).map(|(_, text)| text));
                        lines.push(text());
                    }
                    _ => lines.push(text()),
                }
            }
            lines.extend(parameters.into_iter().map(|(_, text)| text));
            side.steps.push(lines);
        }
        side
    }
}

fn show(message: &Message, id: &str) -> String {
    let text = match message.tag {
        b'E' | b'N' => {
            let fields = message.fields().into_iter().filter(|(field, _)| !b"FLR".contains(field));
            let fields: Vec<_> = fields.map(|(field, value)| format!("{}={value}", field as char)).collect();
            format!("{} {}", message.tag as char, fields.join(" | "))
        }
        b'A' => format!("A({})", message.body[4..].escape_ascii()),
        _ => format!("{message:?}"),
    };
    without_number(&text.replace(id, OWN), "pg_temp_")
}

/// `pg_temp_3` is `pg_temp_N`.
fn without_number(text: &str, prefix: &str) -> String {
    let mut parts = text.split(prefix);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += prefix;
        out += "N";
        out += part.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out
}

/// A RowDescription with numbers by order of appearance in place of those that no two runs share.
fn with_own_oids(message: &Message, known: &mut Vec<u32>) -> Message {
    let mut body = message.body.clone();
    let mut own = |field: &mut [u8]| {
        let oid = u32::from_be_bytes(field.try_into().expect("four bytes"));
        if oid >= FIRST_OWN_OID {
            let at = known.iter().position(|each| *each == oid).unwrap_or_else(|| {
                known.push(oid);
                known.len() - 1
            });
            field.copy_from_slice(&(FIRST_OWN_OID + at as u32).to_be_bytes());
        }
    };
    let mut at = 2;
    while at < body.len() {
        at += body[at..].iter().position(|byte| *byte == 0).expect("a name's end") + 1;
        own(&mut body[at..at + 4]);
        own(&mut body[at + 6..at + 10]);
        at += 18;
    }
    Message { tag: message.tag, body }
}

/// The first difference: where it is, and both sides.
pub(super) fn difference(script: &Script, direct: &Answers, through: &Answers) -> Option<String> {
    let (direct, through) = (Side::new(direct), Side::new(through));
    let steps = direct.steps.len().max(through.steps.len());
    for step in 0..steps {
        let none = Vec::new();
        let lines = [&direct, &through].map(|side| side.steps.get(step).unwrap_or(&none));
        if lines[0] == lines[1] {
            continue;
        }
        let longest = lines[0].len().max(lines[1].len());
        let at = (0..longest).find(|at| lines[0].get(*at) != lines[1].get(*at)).unwrap_or_default();
        let shown = |side: usize, end: &Option<String>| {
            let end = end.as_deref().unwrap_or("nothing");
            lines[side].get(at).map_or(end, String::as_str).chars().take(600).collect::<String>()
        };
        let name = match step.checked_sub(1) {
            None => "the login".to_owned(),
            Some(step) if !script.listens => format!("step {step}"),
            Some(answer) if answer % 2 == 0 => format!("step {}", answer / 2),
            Some(answer) => format!("the empty query behind step {}", answer / 2),
        };
        return Some(format!(
            "{name}, message {at}\n      directly: {}\n      Howdah:   {}",
            shown(0, &direct.end),
            shown(1, &through.end)
        ));
    }
    if direct.end != through.end {
        return Some(format!("the end\n      directly: {:?}\n      Howdah:   {:?}", direct.end, through.end));
    }
    notification(&direct.notifications, &through.notifications)
}

fn notification(direct: &[Notification], through: &[Notification]) -> Option<String> {
    let show = |one: Option<&Notification>| {
        one.map_or("nothing".to_owned(), |one| format!("{} behind {} ReadyForQuery", one.text, one.at))
    };
    for at in 0..direct.len().max(through.len()) {
        let (one, other) = (direct.get(at), through.get(at));
        let same = one.zip(other).is_some_and(|(one, other)| {
            one.text == other.text && one.step == other.step && one.at <= other.at
        });
        if !same {
            return Some(format!(
                "notification {at}\n      directly: {}\n      Howdah:   {}",
                show(one),
                show(other)
            ));
        }
    }
    None
}
