//! One client of one tenant: it reads, writes what it may, and checks every row.

use std::sync::atomic::Ordering;

use super::oracle::{Bound, Chain};
use super::reads::{Mark, READS, Read, frames};
use super::world::{IDS, TENANTS};
use super::writes::script;
use super::{ENOUGH, Report, Soak};
use crate::support::wire::{Message, Wire, query};
use crate::support::{Dice, PASSWORD};

/// What may go wrong when server processes are killed: the connection is lost (also in the server's own words), a
/// deadlock with DDL is resolved.
const EXPECTED: [&str; 4] = ["08006", "57P01", "40P01", "25P02"];

pub(super) struct Client<'a> {
    soak: &'a Soak<'a>,
    number: u64,
    dice: Dice,
    tenant: usize,
    wire: Option<Wire>,
    /// What its `soak.who` is.
    who: Option<String>,
    /// Its session's mark: then its queries carry none.
    own: Option<Mark>,
    /// It has a statement called `named`.
    named: bool,
    report: Report,
}

impl<'a> Client<'a> {
    pub(super) fn new(soak: &'a Soak<'a>, number: u64) -> Self {
        Self {
            soak,
            number,
            dice: Dice::new(soak.seed ^ (number + 1).wrapping_mul(0x517c_c1b7_2722_0a95)),
            tenant: number as usize % TENANTS,
            wire: None,
            who: None,
            own: None,
            named: false,
            report: Report::default(),
        }
    }

    pub(super) fn run(mut self) -> Report {
        while !self.soak.is_over() && self.report.failures.len() < ENOUGH {
            if self.wire.is_none() && !self.connect() {
                continue;
            }
            // In a calm one write in twenty of what it is else.
            let less = self.soak.is_calm() && !self.dice.one_in(20);
            match self.dice.below(100) {
                94..99 if less => self.read(),
                0..90 => self.read(),
                90..94 => self.read_secret(),
                // Each ends all answers that were read from its table: more writes, and nothing is left to check.
                94..99 => self.write(),
                _ => self.wire = None,
            }
        }
        if self.report.failures.len() >= ENOUGH {
            self.soak.stop.store(true, Ordering::Relaxed);
        }
        self.report
    }

    fn fail(&mut self, what: String) {
        self.report.failures.push(format!("client {}: {what}", self.number));
    }

    /// Connects, and sets what this session is to have.
    fn connect(&mut self) -> bool {
        self.report.reconnects += 1;
        self.named = false;
        let user = format!("app.t{}", self.tenant);
        let parameters = [("user", user.as_str()), ("database", self.soak.database)];
        match Wire::try_login(("127.0.0.1", self.soak.port), &parameters, PASSWORD) {
            Ok(wire) => self.wire = Some(wire),
            Err(error) => {
                self.fail(format!("login: {error:?}"));
                return false;
            }
        }
        // Most have the same, so that they share answers.
        self.who = match self.dice.below(4) {
            0 => None,
            1 => Some(format!("client {}", self.number)),
            _ => Some("all".to_owned()),
        };
        self.own = self.dice.one_in(4).then(|| self.dice.pick(&Mark::ALL));
        let mut texts = vec!["SET howdah.explain_cache = on".to_owned()];
        texts.extend(self.who.as_ref().map(|who| format!("SET soak.who = '{who}'")));
        if let Some(own) = self.own {
            texts.push(format!("SET howdah.cache = '{}s'", own.ttl));
            texts.push(format!("SET howdah.stale = '{}s'", own.stale));
        }
        texts.iter().all(|text| self.exchange(&[query(text)], 1).is_some_and(|answer| all_right(&answer)))
    }

    /// Sends frames and reads to the last ReadyForQuery; `None`: the connection is lost.
    fn exchange(&mut self, frames: &[Vec<u8>], answers: usize) -> Option<Vec<Message>> {
        let mut messages = Vec::new();
        let mut wire = self.wire.take()?;
        if wire.try_send(frames).is_err() {
            return None;
        }
        let mut ready = 0;
        while ready < answers {
            match wire.try_read() {
                Ok(Some(message)) => {
                    ready += usize::from(message.tag == b'Z');
                    messages.push(message);
                }
                Ok(None) => break,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.fail(format!("no answer, but {messages:?}"));
                    break;
                }
                Err(_) => break,
            }
        }
        for error in messages.iter().filter(|m| m.tag == b'E') {
            self.report.error(error.sqlstate());
        }
        for notice in messages.iter().filter(|m| m.tag == b'N').filter_map(|m| m.field(b'M')) {
            if let Some(fate) = notice.strip_prefix("cache: ") {
                let word: String = fate.split([',', ':']).take(2).collect::<Vec<_>>().join(",");
                let word = if word.starts_with("hit") { "hit".to_owned() } else { word };
                *self.report.fates.entry(word).or_default() += 1;
            }
        }
        let whole = ready == answers;
        if whole {
            self.wire = Some(wire);
        } else if !messages.iter().any(|m| m.tag == b'E') && !self.soak.is_over() {
            self.fail(format!("the connection ended without a word after {messages:?}"));
        }
        whole.then_some(messages)
    }

    fn mark(&mut self) -> (String, Mark) {
        match self.own {
            Some(own) => (String::new(), own),
            None => {
                let mark = self.dice.pick(&Mark::ALL);
                (mark.comment(), mark)
            }
        }
    }

    fn read(&mut self) {
        let read = &READS[self.dice.below(READS.len())];
        // Some are asked for often, so that answers are found before they end.
        let id = if self.dice.one_in(4) { self.dice.below(IDS) } else { self.dice.below(2) };
        let (comment, mark) = self.mark();
        let (frames, answers) = frames(read, &comment, id, &mut self.named, &mut self.dice);
        let oracle = &self.soak.oracle;
        let bounds: Vec<Bound> =
            (0..IDS).map(|id| oracle.slot(read.chain, self.tenant, id).bound(mark.unseen())).collect();
        let Some(answer) = self.exchange(&frames, answers) else { return };
        self.report.reads += 1;
        if let Some(error) = answer.iter().find(|m| m.tag == b'E') {
            if !EXPECTED.contains(&error.sqlstate().as_str()) {
                self.fail(format!("{}: {error:?}", read.text));
            }
            return;
        }
        let rows: Vec<_> = answer.iter().filter(|m| m.tag == b'D').map(Message::row).collect();
        if let Err(why) = self.judge(read, id, &rows, &bounds) {
            let fates: Vec<_> =
                answer.iter().filter(|m| m.tag == b'N').filter_map(|m| m.field(b'M')).collect();
            let what =
                format!("{comment}{} [{id}] of t{}: {why}; {rows:?} {fates:?}", read.text, self.tenant);
            self.fail(what);
        }
    }

    fn judge(
        &mut self,
        read: &Read,
        id: usize,
        rows: &[Vec<Option<String>>],
        bounds: &[Bound],
    ) -> Result<(), String> {
        let expected = match (read.of_one, read.chain) {
            (true, _) => 1,
            (false, Chain::Parts) => 6,
            (false, _) => IDS,
        };
        if rows.len() != expected {
            return Err(format!("{} rows instead of {expected}", rows.len()));
        }
        for row in rows {
            self.report.rows += 1;
            let field = |n: usize| row.get(n).cloned().flatten().unwrap_or_default();
            if field(0) != format!("t{}", self.tenant) {
                return Err("a row of another tenant".to_owned());
            }
            let seen: usize = field(1).parse().map_err(|_| "no number".to_owned())?;
            if read.of_one && seen != id {
                return Err("another row".to_owned());
            }
            let version = field(2).parse().map_err(|_| "no version".to_owned())?;
            self.soak.oracle.slot(read.chain, self.tenant, seen).judge(version, bounds[seen])?;
            if read.says_who && field(3) != self.who.clone().unwrap_or_default() {
                return Err(format!("the answer of somebody who is {:?}, not {:?}", field(3), self.who));
            }
        }
        Ok(())
    }

    /// What GRANT and REVOKE change.
    fn read_secret(&mut self) {
        let (comment, _) = self.mark();
        let before = self.soak.forbidden.load(Ordering::SeqCst);
        let Some(answer) = self.exchange(&[query(&format!("{comment}SELECT n FROM secret"))], 1) else {
            return;
        };
        let after = self.soak.forbidden.load(Ordering::SeqCst);
        self.report.reads += 1;
        let rows = answer.iter().filter(|m| m.tag == b'D').count();
        if before == after && before % 2 == 1 && rows > 0 {
            self.fail(format!("read what it may not read any more: {answer:?}"));
        }
        let allowed = |code: &str| code == "42501" || EXPECTED.contains(&code);
        if let Some(error) = answer.iter().find(|m| m.tag == b'E' && !allowed(&m.sqlstate())) {
            self.fail(format!("secret: {error:?}"));
        }
    }

    fn write(&mut self) {
        let chain = self.dice.pick(&[Chain::Items, Chain::Items, Chain::Parts, Chain::Parents]);
        let id = self.dice.below(IDS);
        let soak = self.soak;
        let Some(write) = soak.oracle.slot(chain, self.tenant, id).write() else { return };
        let script = script(chain, id, soak.merge, &write, &mut self.dice);
        self.report.did(script.way);
        let Some(answer) = self.exchange(&script.frames, script.answers) else {
            self.report.uncertain += 1;
            return;
        };
        let error = answer.iter().find(|m| m.tag == b'E');
        match (script.version, error) {
            (Some(version), None) => {
                write.told(version);
                self.report.writes += 1;
            }
            (None, error) => {
                self.report.rollbacks += 1;
                if let Some(error) =
                    error.filter(|e| !script.fails && !EXPECTED.contains(&e.sqlstate().as_str()))
                {
                    self.fail(format!("{}: {error:?}", script.way));
                }
            }
            (Some(_), Some(error)) => {
                if !EXPECTED.contains(&error.sqlstate().as_str()) {
                    self.fail(format!("{}: {error:?}", script.way));
                }
                self.report.uncertain += 1;
                // What is open ends here.
                let _ = self.exchange(&[query("ROLLBACK")], 1);
            }
        }
    }
}

fn all_right(answer: &[Message]) -> bool {
    !answer.iter().any(|m| m.tag == b'E')
}
