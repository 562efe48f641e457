//! One client: it follows scripts, checks every message, and now and then dies.

use std::io::ErrorKind;
use std::time::Duration;

use super::forms::{Way, compose};
use super::script::{Script, Step};
use super::world::{HURRIES, Tenant};
use super::{Report, Storm};
use crate::support::Dice;
use crate::support::PASSWORD;
use crate::support::wire::{Message, Wire, cancel_request, copy_fail, query, sync};

/// What errors may follow in the same write when something in it was stopped from outside.
const CONSEQUENCES: [&str; 10] =
    ["25P02", "25P01", "28000", "3B001", "26000", "34000", "25001", "23502", "42703", "0A000"];

/// How a script ended.
enum Outcome {
    /// Everything came as it should.
    Right,
    /// Something was stopped from outside; the connection is fine.
    Stopped,
    /// The connection is over.
    Over,
}

pub(super) struct Client<'a> {
    storm: &'a Storm<'a>,
    dice: Dice,
    nonce: u64,
    wire: Option<Wire>,
    way: Way,
    prepared: Vec<&'static str>,
    /// Scripts that may still meet a cancel request of this client.
    cancelled: u8,
    /// What ends the COPY, or the batch, in which something was stopped.
    owed: Vec<u8>,
    report: Report,
}

impl<'a> Client<'a> {
    pub(super) fn new(storm: &'a Storm<'a>, number: u64) -> Self {
        Self {
            storm,
            dice: Dice::new(storm.seed ^ (number + 1).wrapping_mul(0x517c_c1b7_2722_0a95)),
            nonce: number << 40,
            wire: None,
            way: Way::Free(Some(None)),
            prepared: Vec::new(),
            cancelled: 0,
            owed: Vec::new(),
            report: Report::default(),
        }
    }

    pub(super) fn run(mut self) -> Report {
        while !self.storm.is_over() && self.report.failures.len() < 5 {
            if self.wire.is_none() {
                self.connect();
            }
            self.script();
            let done = std::mem::take(&mut self.report.transactions);
            self.storm.add(done);
            if self.dice.one_in(60) {
                self.wire = None;
            }
        }
        self.report
    }

    fn connect(&mut self) {
        let tenant = self.dice.below(self.storm.tenants.len());
        let name = &self.storm.tenants[tenant].name;
        let database = self.storm.database;
        let (user, database, option, way) = match self.dice.below(8) {
            0 | 1 => (format!("app.{name}"), database.to_owned(), None, Way::Fixed(tenant)),
            2 => {
                let option = format!("-c howdah.tenant={name}");
                ("app".to_owned(), database.to_owned(), Some(option), Way::Fixed(tenant))
            }
            3 => ("app".to_owned(), format!("{database}@{name}"), None, Way::Fixed(tenant)),
            _ => ("app".to_owned(), database.to_owned(), None, Way::Free(Some(None))),
        };
        let mut parameters = vec![("user", user.as_str()), ("database", database.as_str())];
        if let Some(option) = &option {
            parameters.push(("options", option));
        }
        self.report.reconnects += 1;
        self.way = way;
        self.cancelled = 0;
        self.prepared.clear();
        match Wire::try_login(("127.0.0.1", self.storm.port), &parameters, PASSWORD) {
            Ok(wire) => self.wire = Some(wire),
            Err(error) => {
                self.note_error(&error);
                self.report.failures.push(format!("login as {parameters:?}: {error:?}"));
            }
        }
    }

    fn script(&mut self) {
        let tenants = self.storm.tenants;
        let mut script = Script::new(tenants, &mut self.nonce, self.prepared.clone());
        let way = compose(&mut script, self.way, tenants, &mut self.dice);
        let (joined, comments, leaves) = (script.joined, script.comments, script.leaves);
        let steps = script.steps;
        // A cancel that stops a COMMIT in the middle of a write would make what follows it run for the tenant before.
        let may_cancel = !joined || comments || matches!(self.way, Way::Fixed(_));
        let cancel = (may_cancel && self.dice.one_in(40)).then(|| self.dice.below(steps.len()));
        let death = self.dice.one_in(80).then(|| self.dice.below(steps.len()));
        if !may_cancel && self.cancelled > 0 {
            self.wire = None; // it could still come
            return;
        }
        self.cancelled = self.cancelled.saturating_sub(1);
        for (n, step) in steps.iter().enumerate() {
            if death == Some(n) {
                self.die(step);
                return;
            }
            match self.step(step, cancel == Some(n)) {
                Outcome::Right => {
                    self.report.transactions += step.transactions;
                    self.prepared.extend(&step.prepares);
                }
                Outcome::Stopped => {
                    self.recover();
                    return;
                }
                Outcome::Over => {
                    self.wire = None;
                    return;
                }
            }
        }
        self.way = way;
        if leaves {
            self.wire = None;
        }
    }

    /// Sends some of it, and is gone.
    fn die(&mut self, step: &Step) {
        let Some(mut wire) = self.wire.take() else { return };
        let bytes = step.frames.concat();
        let cut = if self.dice.one_in(3) { bytes.len() } else { self.dice.below(bytes.len() + 1) };
        drop(wire.try_send(&[bytes[..cut].to_vec()]));
        if self.dice.one_in(2) {
            std::thread::sleep(Duration::from_micros(self.dice.below(3000) as u64));
        }
        self.report.deaths += 1;
    }

    /// Out of the block, if one is open; nobody knows what SET has said.
    fn recover(&mut self) {
        if matches!(self.way, Way::Free(_)) {
            self.way = Way::Free(None);
        }
        self.prepared.clear();
        let Some(wire) = &mut self.wire else { return };
        let owed = std::mem::take(&mut self.owed);
        let (mut last, mut ready) = (None, 1 + u8::from(!owed.is_empty()));
        let answer = wire.try_send(&[owed, query("ROLLBACK")]);
        while answer.is_ok() && ready > 0 {
            match wire.try_read() {
                Ok(Some(message)) if message.tag == b'Z' => {
                    ready -= 1;
                    last = Some(message);
                }
                Ok(Some(message)) => self.report.note(&message),
                Ok(None) => break,
                Err(error) => {
                    if error.kind() == ErrorKind::WouldBlock {
                        self.report.failures.push("no answer to a ROLLBACK".to_owned());
                    }
                    break;
                }
            }
        }
        match last {
            Some(ready) if ready.body == b"I" => {}
            _ => self.wire = None, // the ROLLBACK was stopped itself
        }
    }

    fn cancel(&mut self) {
        std::thread::sleep(Duration::from_micros(self.dice.below(2000) as u64));
        let Some(wire) = &self.wire else { return };
        let mut other = Wire::open(("127.0.0.1", self.storm.port));
        drop(other.try_send(&[cancel_request(&wire.key)]));
        if self.dice.one_in(2) {
            drop(other.try_read());
        }
        self.cancelled = 3;
        self.report.cancels += 1;
    }

    fn step(&mut self, step: &Step, cancel: bool) -> Outcome {
        let Some(wire) = &mut self.wire else { return Outcome::Over };
        let sent = wire.try_send(&step.frames);
        if cancel {
            self.cancel();
        }
        if sent.is_err() {
            // What was said before the connection broke is worth reading.
            return self.read(step).unwrap_or(Outcome::Over);
        }
        match self.read(step) {
            Ok(outcome) => outcome,
            Err(why) => {
                let wants: String = step.want.clone();
                let sent = step.frames.iter().map(|f| f.escape_ascii().to_string()).collect::<Vec<_>>();
                self.report.failures.push(format!("{why}; wanted {wants} for {}", sent.join(" + ")));
                Outcome::Over
            }
        }
    }

    fn read(&mut self, step: &Step) -> Result<Outcome, String> {
        let ready = step.want.bytes().filter(|tag| *tag == b'Z').count();
        let copying = step.want.ends_with('G');
        let extended = step.frames.last().is_some_and(|frame| frame[0] == b'E');
        let mut got = String::new();
        let mut rows = Vec::new();
        let mut errors = step.errors.iter();
        let mut stopped = false;
        let mut came = 0;
        while came < ready || copying && !got.ends_with('G') {
            let Some(wire) = &mut self.wire else { return Ok(Outcome::Over) };
            let message = match wire.try_read() {
                Ok(Some(message)) => message,
                Ok(None) if stopped => return Ok(Outcome::Over),
                Ok(None) => {
                    self.report.silent += 1;
                    return Ok(Outcome::Over);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(format!("a hang after {got}"));
                }
                Err(_) => {
                    self.report.silent += u64::from(!stopped);
                    return Ok(Outcome::Over);
                }
            };
            match message.tag {
                b'N' | b'S' | b'A' => continue,
                b'D' => rows.push(self.check(step, message.row())?),
                b'd' => rows.push(self.check(step, copied(&message))?),
                b'E' => {
                    self.note_error(&message);
                    let code = message.sqlstate();
                    let expected = !stopped && errors.next().is_some_and(|wanted| fits(wanted, &message));
                    let follows = stopped
                        && (CONSEQUENCES.contains(&&*code) || step.errors.iter().any(|e| fits(e, &message)));
                    if !expected && (follows || self.is_from_outside(&message)) {
                        stopped = true;
                    } else if !expected {
                        return Err(format!("{message:?} after {got}"));
                    }
                }
                b'Z' => came += 1,
                _ => {}
            }
            got.push(message.tag as char);
            // No data will follow, nor the Sync behind it.
            let failed = copying && stopped && came == ready && message.tag == b'E';
            if failed && extended || copying && came > ready {
                break;
            }
        }
        self.owed = match (copying && came == ready, got.ends_with('G'), extended) {
            (false, ..) => Vec::new(),
            (true, false, _) => sync(),
            (true, true, false) => copy_fail("stopped"),
            (true, true, true) => [copy_fail("stopped"), sync()].concat(),
        };
        if stopped {
            return Ok(Outcome::Stopped);
        }
        let wanted: Vec<u64> = step.rows.iter().map(|(nonce, _)| *nonce).collect();
        if got != step.want || rows != wanted {
            return Err(format!("{got} with rows {rows:?}, not {wanted:?}"));
        }
        Ok(Outcome::Right)
    }

    /// Whose row is it, and is it what was asked for?
    fn check(&mut self, step: &Step, row: Vec<Option<String>>) -> Result<u64, String> {
        self.report.rows += 1;
        let nonce = row.get(5).cloned().flatten().and_then(|nonce| nonce.parse::<u64>().ok());
        let asked = nonce.and_then(|nonce| step.rows.iter().find(|(n, _)| *n == nonce));
        let Some((nonce, tenant)) = asked else {
            if Self::is_nobodys(&row) {
                return Ok(0);
            }
            return Err(format!("a row that nobody asked for: {row:?}"));
        };
        let tenant: &Tenant = &self.storm.tenants[*tenant];
        let text = |n: usize| row.get(n).cloned().flatten().unwrap_or_default();
        let timeout = text(4);
        let timely = if tenant.hurried { HURRIES.contains(&&*timeout) } else { timeout == "0" };
        let whose = text(0) == tenant.id && text(1) == tenant.id;
        if !(whose && text(2) == tenant.place && text(3) == tenant.role && timely) {
            let what =
                format!("{row:?} for {} ({}, {}, {})", tenant.name, tenant.id, tenant.place, tenant.role);
            self.report.others.push(what.clone());
            return Err(what);
        }
        Ok(*nonce)
    }

    /// A row of no table: of what should have failed, if what was before it did not run.
    fn is_nobodys(row: &[Option<String>]) -> bool {
        row.len() == 1 && ["1", "skipped"].map(Some).contains(&row[0].as_deref())
    }

    fn is_from_outside(&self, error: &Message) -> bool {
        let text = error.field(b'M').unwrap_or_default();
        match &*error.sqlstate() {
            "08006" | "57P01" => true,
            "57014" if text.contains("user request") => self.cancelled > 0,
            "57014" if text.contains("statement timeout") => self.is_hurried(),
            _ => false,
        }
    }

    /// Whether this client has tenants with a `statement_timeout`.
    fn is_hurried(&self) -> bool {
        match self.way {
            Way::Fixed(tenant) => self.storm.tenants[tenant].hurried,
            Way::Free(_) => true,
        }
    }

    fn note_error(&mut self, error: &Message) {
        self.report.note(error);
    }
}

/// An error with this code, and in its message the words behind that.
fn fits(wanted: &str, error: &Message) -> bool {
    let (code, words) = wanted.split_once(' ').unwrap_or((wanted, ""));
    error.sqlstate() == code && error.field(b'M').unwrap_or_default().contains(words)
}

/// The fields of a line of COPY's text format.
fn copied(message: &Message) -> Vec<Option<String>> {
    let line = String::from_utf8_lossy(&message.body).into_owned();
    line.trim_end_matches('\n').split('\t').map(|field| Some(field.replace("\\\\", "\\"))).collect()
}
