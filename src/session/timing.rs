//! What statements take: when each went out, when its answer began and ended, and what came.
//!
//! Time comes in with the bytes: [`ServerSession::time_is`] says when they were read. So everything that came in one
//! read has one time, and a statement whose answer came together with the one before it is counted from when that one
//! was: never less than the server took.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::client::{ClientSession, Given, Mode};
use super::expect::Kind;
use super::server::ServerSession;
use super::statement::Statement;
use crate::observe::{Phases, Tags};
use crate::sql::{self, Shape};
use crate::wire::{self, back, front};

/// Portals whose statements are remembered.
const MAX_PORTALS: usize = 100;
/// Statements of a client in session mode whose texts are remembered.
const MAX_NAMES: usize = 1000;
/// Bytes of a text, and of a Bind's parameters, that are kept as they came; and of how many statements in flight.
const MAX_RAW: usize = 16 << 10;
const MOST_RAW: usize = 64;
/// Errors that are kept until they are asked for.
const MAX_ERRORS: usize = 100;
/// Stands for no name.
const UNNAMED: u64 = 0;

/// A text, as statements are counted by it.
#[derive(Clone, Debug)]
pub struct Noted {
    /// Without its constants.
    pub shape: Arc<Shape>,
    /// What its comments say.
    pub tags: Option<Arc<Tags>>,
    /// Stands for its constants.
    pub values: u64,
}

/// Who knows how texts are counted. Implemented above, where it is remembered.
pub trait Shapes: fmt::Debug + Send + Sync {
    /// How a text of one statement is counted.
    fn noted(&self, text: &[u8], standard_strings: bool) -> Noted;
    /// Texts and parameters as they came are wanted of statements that take long.
    fn keeps_values(&self) -> bool;
}

/// A text and its parameters as they came.
#[derive(Clone, Debug)]
pub enum Values {
    /// A simple query.
    Text(Box<[u8]>),
    /// A statement's text, and a Bind's body behind the names.
    Bound(Box<[u8]>, Box<[u8]>),
}

/// What is kept of bytes as they came.
fn raw(bytes: &[u8]) -> Box<[u8]> {
    bytes.get(..MAX_RAW).unwrap_or(bytes).into()
}

/// A statement that a client in session mode has named.
#[derive(Debug)]
struct NamedText {
    noted: Noted,
    /// As it came, if that is wanted.
    text: Box<[u8]>,
}

/// A statement that is over.
#[derive(Debug)]
pub struct Done {
    /// Which.
    pub noted: Noted,
    /// When it began.
    pub at: u64,
    /// When its answer was there.
    pub until: u64,
    /// All but what the client took.
    pub phases: Phases,
    /// It goes on with a portal that was not read to its end.
    pub continues: bool,
    /// Rows that it returned or changed.
    pub rows: u64,
    /// Bytes of its answer.
    pub bytes: u64,
    /// Its error.
    pub error: Option<[u8; 5]>,
    /// Stands for its parameters.
    pub values: u64,
    /// They themselves, if they are wanted.
    pub raw: Option<Arc<Values>>,
}

/// What was counted since it was asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Parse messages that went to the server.
    pub server_parses: u32,
}

/// What a portal runs.
#[derive(Debug)]
struct Bound {
    portal: u64,
    noted: Noted,
    values: u64,
    raw: Option<Arc<Values>>,
}

/// A statement in flight.
#[derive(Debug)]
struct Timed {
    number: u32,
    noted: Noted,
    /// The others of a simple query that has several.
    following: VecDeque<Noted>,
    portal: Option<u64>,
    values: u64,
    raw: Option<Arc<Values>>,
    wait: u64,
    preamble: u64,
    /// When it went out.
    sent: u64,
    /// When it began, as far as is known, and when the server had nothing else of Howdah's before it; known with the
    /// first byte of its answer.
    start: u64,
    server_start: u64,
    first: Option<u64>,
    rows: u64,
    bytes: u64,
}

/// What one server connection measures for its client.
#[derive(Debug, Default)]
pub(super) struct Timing {
    now: u64,
    /// When what its client sends was first seen, and when the client got the connection.
    arrived: u64,
    leased: u64,
    /// When the last answer was there, a client's or one of Howdah's own, and what that was before the last read.
    last_shown: u64,
    last_hidden: u64,
    floor_shown: u64,
    floor_hidden: u64,
    number: u32,
    /// Bytes of the message that is judged.
    len: usize,
    in_flight: VecDeque<Timed>,
    bound: Vec<Bound>,
    /// Portals that were not read to their ends.
    suspended: Vec<u64>,
    done: Vec<Done>,
    /// Errors about no statement in flight.
    errors: Vec<[u8; 5]>,
    counted: Counted,
    /// Statements of a client in session mode, by what stands for their names.
    names: HashMap<u64, NamedText>,
}

impl Timing {
    /// One more statement goes out. Returns its number.
    fn begin(&mut self, noted: Noted, portal: Option<u64>, values: u64, raw: Option<Arc<Values>>) -> u32 {
        self.number = self.number.checked_add(1).unwrap_or(1);
        let wait = self.leased.saturating_sub(self.arrived);
        // Only the first of a transaction waits for its connection.
        self.arrived = self.arrived.max(self.leased);
        self.in_flight.push_back(Timed {
            number: self.number,
            noted,
            following: VecDeque::new(),
            portal,
            values,
            raw: raw.filter(|_| self.in_flight.len() < MOST_RAW),
            wait,
            preamble: self.now.saturating_sub(self.arrived),
            sent: self.now.max(self.arrived),
            start: 0,
            server_start: 0,
            first: None,
            rows: 0,
            bytes: 0,
        });
        self.number
    }

    /// The statement that is being answered. Those before it never ran.
    fn answered(&mut self, number: u32) -> Option<&mut Timed> {
        while self.in_flight.front()?.number != number {
            self.in_flight.pop_front();
        }
        let (shown, hidden, now, len) = (self.floor_shown, self.floor_hidden, self.now, self.len);
        let timed = self.in_flight.front_mut()?;
        if timed.first.is_none() {
            timed.first = Some(now);
            timed.start = timed.sent.max(shown);
            timed.server_start = timed.start.max(hidden);
        }
        timed.bytes = timed.bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        Some(timed)
    }

    /// What is being answered is done. `rows`: as its tag has it; `more`: its portal was not read to the end.
    fn finish(&mut self, rows: Option<u64>, error: Option<[u8; 5]>, more: bool) {
        let now = self.now;
        self.last_shown = now;
        let Some(timed) = self.in_flight.front_mut() else { return };
        let pipelined = timed.start > timed.sent;
        let (wait, preamble) = if pipelined { (0, 0) } else { (timed.wait, timed.preamble) };
        let continues = timed.portal.is_some_and(|portal| self.suspended.contains(&portal));
        let first = timed.first.unwrap_or(now);
        let done = Done {
            noted: timed.noted.clone(),
            at: timed.start.saturating_sub(wait).saturating_sub(preamble),
            until: now,
            phases: Phases {
                wait,
                preamble: preamble + (timed.server_start - timed.start),
                first: first.saturating_sub(timed.server_start),
                rest: now.saturating_sub(first),
                ..Phases::default()
            },
            continues,
            rows: rows.unwrap_or(timed.rows),
            bytes: timed.bytes,
            error,
            values: timed.values ^ timed.noted.values,
            raw: None,
        };
        let portal = timed.portal;
        let next = timed.following.pop_front().filter(|_| error.is_none());
        let raw = if let Some(noted) = next {
            let raw = timed.raw.clone();
            timed.noted = noted;
            (timed.wait, timed.preamble) = (0, 0);
            (timed.first, timed.rows, timed.bytes) = (None, 0, 0);
            raw
        } else {
            self.in_flight.pop_front().and_then(|timed| timed.raw)
        };
        self.done.push(Done { raw, ..done });
        if let Some(portal) = portal {
            self.suspended.retain(|known| *known != portal);
            if more {
                self.suspended.push(portal);
            }
        }
    }

    /// Statements that are known by name, and statements in flight of which it is kept what came.
    #[cfg(test)]
    pub(super) fn names(&self) -> usize {
        self.names.len()
    }

    #[cfg(test)]
    pub(super) fn raw_in_flight(&self) -> usize {
        self.in_flight.iter().filter(|timed| timed.raw.is_some()).count()
    }

    /// Nothing of a client stays.
    fn forget(&mut self) {
        self.in_flight.clear();
        self.bound.clear();
        self.suspended.clear();
        self.done.clear();
        self.errors.clear();
        if !self.names.is_empty() {
            self.names = HashMap::new();
        }
        self.counted = Counted::default();
    }

    fn bind(&mut self, bound: Bound) {
        self.unbind(bound.portal);
        if self.bound.len() < MAX_PORTALS {
            self.bound.push(bound);
        }
    }

    fn unbind(&mut self, portal: u64) {
        self.bound.retain(|known| known.portal != portal);
        self.suspended.retain(|known| *known != portal);
    }
}

impl ServerSession {
    /// Its client's statements are measured from now on: it has the connection since `leased`, and what it sends was
    /// first seen at `arrived`. All times are nanoseconds of one clock.
    pub fn begin_timing(&mut self, arrived: u64, leased: u64) {
        let timing = self.timing.get_or_insert_default();
        (timing.now, timing.arrived, timing.leased) = (leased, arrived, leased);
        (timing.last_shown, timing.last_hidden, timing.floor_shown, timing.floor_hidden) = (0, 0, 0, 0);
        timing.forget();
    }

    /// Its client is gone: nothing of its texts and values stays.
    pub(super) fn rest_timing(&mut self) {
        if let Some(timing) = &mut self.timing {
            timing.forget();
        }
    }

    /// Nothing is measured.
    pub fn end_timing(&mut self) {
        self.timing = None;
    }

    /// What comes next from the server was read now.
    pub fn time_is(&mut self, now: u64) {
        if let Some(timing) = &mut self.timing {
            timing.now = now;
            (timing.floor_shown, timing.floor_hidden) = (timing.last_shown, timing.last_hidden);
        }
    }

    /// What comes next from the client was first seen at `arrived`; it is now.
    pub fn client_time_is(&mut self, arrived: u64, now: u64) {
        if let Some(timing) = &mut self.timing {
            timing.arrived = timing.arrived.max(arrived);
            timing.now = now;
        }
    }

    /// The message that is judged next has so many bytes.
    pub fn message_has(&mut self, len: usize) {
        if let Some(timing) = &mut self.timing {
            timing.len = len;
        }
    }

    /// Statements that are over since the last call.
    pub fn take_done(&mut self) -> std::vec::Drain<'_, Done> {
        self.timing.get_or_insert_default().done.drain(..)
    }

    /// [`Self::take_done`] has something.
    pub fn has_done(&self) -> bool {
        self.timing.as_ref().is_some_and(|timing| !timing.done.is_empty())
    }

    /// What was counted since the last call.
    pub fn take_counted(&mut self) -> Counted {
        self.timing.as_mut().map(|timing| std::mem::take(&mut timing.counted)).unwrap_or_default()
    }

    /// A Parse goes to the server.
    pub(super) fn count_parse(&mut self) {
        if let Some(timing) = &mut self.timing {
            timing.counted.server_parses += 1;
        }
    }

    /// A Bind of a portal goes out; `statement`: what it runs, if that is known.
    pub(super) fn time_bind(&mut self, client: &ClientSession, body: &[u8], statement: Option<&Statement>) {
        let (Some(timing), Some(shapes)) = (&mut self.timing, &client.shapes) else { return };
        let Some(bind) = wire::bind_head(body) else { return };
        let portal = number_of(bind.portal);
        let named = timing.names.get(&number_of(bind.statement));
        let noted = statement.map(|statement| statement.noted(&**shapes, client.standard_strings));
        let Some(noted) = noted.or_else(|| named.map(|named| named.noted.clone())) else {
            return timing.unbind(portal);
        };
        let given = body.get(bind.rest..).unwrap_or_default();
        let values = shapes.keeps_values().then(|| {
            let text = statement.map_or_else(|| named.map_or(&b""[..], |named| &named.text), Statement::text);
            Arc::new(Values::Bound(raw(text), raw(given)))
        });
        timing.bind(Bound { portal, noted, values: hash(given), raw: values });
    }

    /// The time of a message that belongs to the entry at the front of the queue, before that is taken off.
    /// `number`: of its statement, 0 if it is none; `shown`: it is for the client.
    pub(super) fn time_message(&mut self, number: u32, shown: bool, tag: u8, body: &[u8]) {
        let Some(timing) = &mut self.timing else { return };
        if number == 0 || !shown {
            if !shown {
                timing.last_hidden = timing.now;
            }
            return;
        }
        let Some(timed) = timing.answered(number) else { return };
        match tag {
            back::DATA_ROW => timed.rows += 1,
            back::COMMAND_COMPLETE => timing.finish(rows_of(body), None, false),
            back::PORTAL_SUSPENDED => timing.finish(None, None, true),
            back::EMPTY_QUERY => drop(timing.in_flight.pop_front()),
            _ => {}
        }
    }

    /// The client is told of an error. `number`: of the statement that it is about, 0 if it is about none.
    pub(super) fn time_error(&mut self, number: u32, sqlstate: &[u8]) {
        let Some(timing) = &mut self.timing else { return };
        let sqlstate = sqlstate.try_into().unwrap_or(*b"XX000");
        if number != 0 && timing.answered(number).is_some() {
            timing.finish(None, Some(sqlstate), false);
            timing.in_flight.retain(|timed| timed.number != number);
        } else if timing.errors.len() < MAX_ERRORS {
            timing.errors.push(sqlstate);
        }
    }

    /// The number of the statement that an error is about that comes now: at a Parse or Bind, of the Execute behind it.
    pub(super) fn failing_number(&self) -> u32 {
        let batch = self.expect.iter().take_while(|entry| entry.kind != Kind::Sync);
        batch.map(|entry| entry.timed).find(|number| *number != 0).unwrap_or_default()
    }

    /// Errors since the last call that were about no statement that ran: a Parse's, or one of Howdah's own.
    pub fn take_errors(&mut self) -> Vec<[u8; 5]> {
        self.timing.as_mut().map(|timing| std::mem::take(&mut timing.errors)).unwrap_or_default()
    }

    /// No transaction is open: portals are gone.
    pub(super) fn time_idle(&mut self) {
        if let Some(timing) = &mut self.timing {
            timing.bound.clear();
            timing.suspended.clear();
        }
    }
}

impl ClientSession {
    /// From now on its statements are measured, where its server session is.
    pub fn measure(&mut self, shapes: Option<Arc<dyn Shapes>>) {
        self.shapes = shapes;
    }

    /// How a text of one statement is counted; `None`: it is not.
    pub fn noted(&self, text: &[u8]) -> Option<Noted> {
        self.shapes.as_ref().map(|shapes| shapes.noted(text, self.standard_strings))
    }

    /// How a prepared statement is counted; `None`: it is not.
    pub fn noted_statement(&self, statement: &Statement) -> Option<Noted> {
        self.shapes.as_ref().map(|shapes| statement.noted(&**shapes, self.standard_strings))
    }

    /// A statement of the client's is in the queue.
    pub(super) fn time_statement(&self, tag: u8, given: &Given<'_>, server: &mut ServerSession) {
        let (Some(shapes), Some(_)) = (&self.shapes, &server.timing) else { return };
        let kind = match tag {
            front::QUERY => Kind::Query,
            front::EXECUTE => Kind::Execute,
            front::FUNCTION_CALL => Kind::FunctionCall,
            _ => return,
        };
        let entry = server.expect.iter_mut().rev().find(|entry| entry.shown && entry.kind == kind);
        let Some(entry) = entry.filter(|entry| entry.timed == 0 && entry.error.is_none()) else { return };
        let Some(timing) = &mut server.timing else { return };
        let standard = self.standard_strings;
        entry.timed = match kind {
            Kind::Execute => {
                let portal = wire::c_string(given.body).map_or(UNNAMED, |(portal, _)| number_of(portal));
                match timing.bound.iter().find(|bound| bound.portal == portal) {
                    Some(bound) => {
                        let (noted, values, raw) = (bound.noted.clone(), bound.values, bound.raw.clone());
                        timing.begin(noted, Some(portal), values, raw)
                    }
                    // A cursor that SQL has declared.
                    None => {
                        timing.begin(shapes.noted(b"portal of a cursor", standard), Some(portal), 0, None)
                    }
                }
            }
            Kind::FunctionCall => {
                timing.begin(shapes.noted(b"function call", standard), None, hash(given.body), None)
            }
            _ => {
                let text = given.body.strip_suffix(&[0]).unwrap_or(given.body);
                let values = shapes.keeps_values().then(|| Arc::new(Values::Text(raw(text))));
                let mut noted = self.noted_of_query(text, &**shapes);
                let Some(first) = noted.pop_front() else { return };
                let number = timing.begin(first, None, 0, values);
                if let Some(timed) = timing.in_flight.back_mut() {
                    timed.following = noted;
                }
                number
            }
        };
    }

    /// Each statement of a simple query.
    fn noted_of_query(&self, text: &[u8], shapes: &dyn Shapes) -> VecDeque<Noted> {
        let standard = self.standard_strings;
        let end = text.iter().rposition(|b| !matches!(b, b';' | b' ' | b'\n' | b'\r' | b'\t'));
        let body = end.and_then(|end| text.get(..=end)).unwrap_or_default();
        let one = memchr::memchr(b';', body).is_none();
        if one {
            return VecDeque::from([self.noted_of(text, shapes)]);
        }
        let starts: Vec<usize> = sql::parts(text, standard).map(|part| part.start).collect();
        if starts.len() < 2 {
            return VecDeque::from([self.noted_of(text, shapes)]);
        }
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let parts = starts.iter().zip(ends).filter_map(|(start, end)| text.get(*start..end));
        parts.map(|part| self.noted_of(part, shapes)).collect()
    }

    /// One statement; of EXECUTE, what it executes.
    fn noted_of(&self, text: &[u8], shapes: &dyn Shapes) -> Noted {
        let standard = self.standard_strings;
        if !self.sql_prepared.is_empty() && sql::begins_with(text, "execute", standard) {
            let prepared = sql::named_statement(text, standard);
            if let Some(prepared) = prepared.and_then(|name| self.sql_prepared.text_of(&name)) {
                return shapes.noted(prepared.as_bytes(), standard);
            }
        }
        shapes.noted(text, standard)
    }

    /// In session mode frames pass as they stand: what they prepare and bind is noted here.
    pub(super) fn time_exclusive(&self, tag: u8, given: &Given<'_>, server: &mut ServerSession) {
        let (Mode::Exclusive, Some(shapes)) = (self.mode, &self.shapes) else { return };
        let Some(timing) = &mut server.timing else { return };
        match tag {
            front::PARSE => {
                let Ok(parse) = wire::parse(given.body) else { return };
                let name = number_of(parse.name);
                if timing.names.len() < MAX_NAMES || timing.names.contains_key(&name) {
                    let noted = shapes.noted(parse.query, self.standard_strings);
                    let text = if shapes.keeps_values() { raw(parse.query) } else { Box::default() };
                    timing.names.insert(name, NamedText { noted, text });
                }
            }
            front::BIND => server.time_bind(self, given.body, None),
            _ => {}
        }
    }
}

/// Stands for the name of a portal or a statement.
fn number_of(portal: &[u8]) -> u64 {
    if portal.is_empty() { UNNAMED } else { hash(portal).max(1) }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Rows in a `CommandComplete`'s tag: its last word, of those commands whose rows count.
fn rows_of(tag: &[u8]) -> Option<u64> {
    let tag = tag.strip_suffix(&[0]).unwrap_or(tag);
    let at = memchr::memrchr(b' ', tag)?;
    let (command, number) = tag.split_at(at);
    if command == b"MOVE" {
        return Some(0);
    }
    let digits = number.get(1..).filter(|digits| !digits.is_empty())?;
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}
