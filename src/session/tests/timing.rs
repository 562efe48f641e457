//! What statements take, with times that the test gives.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use super::rig::Table;
use crate::observe::{Phases, Tags};
use crate::session::{
    Action, ClientSession, Done, Mode, Noted, ServerSession, Settings, Shapes, Values, Verdict,
};
use crate::sql::Shape;
use crate::wire::{self, PgError, back, front};

#[derive(Debug)]
struct Plain(bool);

impl Shapes for Plain {
    fn noted(&self, text: &[u8], standard_strings: bool) -> Noted {
        let tags = memchr::memmem::find(text, b"/*").map(|_| Arc::new(Tags::default()));
        Noted { shape: Arc::new(Shape::new(text, standard_strings)), tags, values: 0 }
    }

    fn keeps_values(&self) -> bool {
        self.0
    }
}

struct Line {
    client: ClientSession,
    server: ServerSession,
    table: Table,
    sent: Vec<u8>,
    replies: Vec<u8>,
}

impl Line {
    /// A client that got its connection at 100, for what it sent at 50.
    fn new(mode: Mode) -> Self {
        let mut client = ClientSession::new(mode, Arc::new(Settings::default()));
        client.measure(Some(Arc::new(Plain(true))));
        let mut server = ServerSession::new(100);
        server.begin_timing(50, 100);
        Self { client, server, table: Table::default(), sent: Vec::new(), replies: Vec::new() }
    }

    fn frame(&mut self, tag: u8, body: &[u8]) -> Verdict {
        let mut frame = Vec::new();
        wire::frame(&mut frame, tag, |out| out.extend_from_slice(body));
        let (out, replies) = (&mut self.sent, &mut self.replies);
        self.client.with_server(&mut self.server, &frame, frame.len(), out, replies, &self.table).unwrap()
    }

    fn query(&mut self, text: &str) {
        self.frame(front::QUERY, &[text.as_bytes(), b"\0"].concat());
    }

    fn execute(&mut self, statement: &str, text: &str, value: &str) {
        if !text.is_empty() {
            self.frame(front::PARSE, &[statement.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"].concat());
        }
        let value = [&u32::try_from(value.len()).unwrap().to_be_bytes()[..], value.as_bytes()].concat();
        self.frame(
            front::BIND,
            &[b"\0", statement.as_bytes(), b"\0\0\0\0\x01", &value[..], b"\0\0"].concat(),
        );
        self.frame(front::EXECUTE, b"\0\0\0\0\0");
    }

    fn comes(&mut self, tag: u8, body: &[u8]) -> Action {
        self.server.message_has(5 + body.len());
        self.server.on_backend(&mut self.client, tag, body).unwrap()
    }

    fn complete(&mut self, tag: &str) {
        self.comes(back::COMMAND_COMPLETE, &[tag.as_bytes(), b"\0"].concat());
    }

    fn done(&mut self) -> Vec<Done> {
        self.server.take_done().collect()
    }
}

fn texts(done: &[Done]) -> Vec<&str> {
    done.iter().map(|done| &*done.noted.shape.text).collect()
}

#[test]
fn a_simple_query_has_its_phases() {
    let mut line = Line::new(Mode::Pooled);
    line.query("SELECT 1");
    line.server.time_is(130);
    line.comes(back::ROW_DESCRIPTION, b"\0\0");
    line.comes(back::DATA_ROW, b"\0\0");
    line.server.time_is(170);
    line.comes(back::DATA_ROW, b"\0\0");
    line.complete("SELECT 2");
    line.comes(back::READY, b"I");
    let done = line.done();
    assert_eq!(texts(&done), ["select ?"]);
    let phases = Phases { wait: 50, preamble: 0, first: 30, rest: 40, client: 0, cache: 0 };
    assert_eq!((done[0].phases, done[0].at, done[0].until), (phases, 50, 170));
    assert_eq!((done[0].rows, done[0].bytes, done[0].error), (2, 7 * 3 + 14, None));
    assert!(matches!(done[0].raw.as_deref(), Some(Values::Text(text)) if **text == *b"SELECT 1"));
}

#[test]
fn each_statement_of_a_query_counts_for_itself() {
    let mut line = Line::new(Mode::Pooled);
    line.query("INSERT INTO t VALUES (1); ; UPDATE t SET a = ';' ;SELECT 1/0; SELECT 3");
    line.server.time_is(120);
    line.complete("INSERT 0 3");
    line.server.time_is(150);
    line.complete("UPDATE 7");
    line.comes(back::ERROR, &PgError::error("22012", "division by zero").to_bytes()[5..]);
    line.comes(back::READY, b"I");
    let done = line.done();
    assert_eq!(texts(&done), ["insert into t values(?)", "update t set a = ?", "select ? / ?"]);
    assert_eq!(done.iter().map(|d| d.rows).collect::<Vec<_>>(), [3, 7, 0]);
    assert_eq!(done[2].error, Some(*b"22012"));
    let first = |n: usize| (done[n].phases.wait, done[n].phases.first, done[n].phases.rest);
    // The third came with the second, and is counted from when that began.
    assert_eq!([first(0), first(1), first(2)], [(50, 20, 0), (0, 30, 0), (0, 30, 0)]);
}

#[test]
fn each_execute_of_a_pipeline_counts_for_itself() {
    let mut line = Line::new(Mode::Pooled);
    line.execute("a", "SELECT $1", "one");
    line.execute("a", "", "two");
    line.execute("", "SELECT 5 WHERE a = $1", "three");
    line.frame(front::SYNC, b"");
    line.server.time_is(110);
    for tag in [back::PARSE_COMPLETE, back::BIND_COMPLETE] {
        line.comes(tag, b"");
    }
    line.complete("SELECT 1");
    line.server.time_is(180);
    line.comes(back::BIND_COMPLETE, b"");
    line.complete("SELECT 1");
    line.comes(back::PARSE_COMPLETE, b"");
    line.comes(back::ERROR, &PgError::error("42703", "no column").to_bytes()[5..]);
    line.comes(back::READY, b"I");
    let done = line.done();
    assert_eq!(texts(&done), ["select ?", "select ?", "select ? where a = ?"]);
    assert_ne!(done[0].values, done[1].values);
    assert_eq!(done.iter().map(|d| d.error).collect::<Vec<_>>(), [None, None, Some(*b"42703")]);
    assert_eq!(done[1].phases.first, 70);
    assert_eq!(line.server.take_counted().server_parses, 2);
}

#[test]
fn what_an_error_skips_is_not_counted() {
    let mut line = Line::new(Mode::Pooled);
    line.execute("", "SELECT 1", "");
    line.execute("", "SELECT 2", "");
    line.frame(front::SYNC, b"");
    line.execute("", "SELECT a", "");
    line.frame(front::SYNC, b"");
    line.server.time_is(110);
    line.comes(back::ERROR, &PgError::error("42601", "syntax").to_bytes()[5..]);
    line.comes(back::READY, b"I");
    for tag in [back::PARSE_COMPLETE, back::BIND_COMPLETE] {
        line.comes(tag, b"");
    }
    line.complete("SELECT 0");
    line.comes(back::READY, b"I");
    let done = line.done();
    assert_eq!(done.len(), 2);
    assert_eq!((done[0].error, done[1].error), (Some(*b"42601"), None));
    assert_eq!(texts(&done)[1], "select a");
}

#[test]
fn a_portal_that_is_read_in_parts_is_one_call() {
    let mut line = Line::new(Mode::Pooled);
    line.execute("", "SELECT 1", "");
    line.frame(front::EXECUTE, b"\0\0\0\0\x02");
    line.frame(front::SYNC, b"");
    for tag in [back::PARSE_COMPLETE, back::BIND_COMPLETE] {
        line.comes(tag, b"");
    }
    line.comes(back::DATA_ROW, b"\0\0");
    line.comes(back::PORTAL_SUSPENDED, b"");
    line.comes(back::DATA_ROW, b"\0\0");
    line.complete("SELECT 1");
    line.comes(back::READY, b"I");
    let done = line.done();
    assert_eq!(done.iter().map(|d| (d.continues, d.rows)).collect::<Vec<_>>(), [(false, 1), (true, 1)]);
}

#[test]
fn an_empty_query_is_no_statement() {
    let mut line = Line::new(Mode::Pooled);
    line.query(" ; ");
    line.comes(back::EMPTY_QUERY, b"");
    line.comes(back::READY, b"I");
    assert!(line.done().is_empty());
}

#[test]
fn an_error_of_a_parse_alone_is_counted_without_a_statement() {
    let mut line = Line::new(Mode::Pooled);
    line.frame(front::PARSE, b"\0selec 1\0\0\0");
    line.frame(front::SYNC, b"");
    line.comes(back::ERROR, &PgError::error("42601", "syntax").to_bytes()[5..]);
    line.comes(back::READY, b"I");
    assert!(line.done().is_empty());
    assert_eq!(line.server.take_errors(), [*b"42601"]);
}

#[test]
fn in_session_mode_statements_are_known_by_their_names() {
    let mut line = Line::new(Mode::Exclusive);
    line.execute("a", "SELECT $1 /* route='x' */", "one");
    line.frame(front::SYNC, b"");
    for tag in [back::PARSE_COMPLETE, back::BIND_COMPLETE] {
        line.comes(tag, b"");
    }
    line.complete("SELECT 1");
    line.comes(back::READY, b"I");
    let done = line.done();
    assert_eq!(texts(&done), ["select ?"]);
    assert!(done[0].noted.tags.is_some());
}

#[test]
fn what_a_client_sent_is_kept_in_part_and_not_beyond_it() {
    let mut line = Line::new(Mode::Exclusive);
    let long = "x".repeat(100_000);
    for n in 0..1500 {
        line.execute(&format!("s{n}"), &format!("SELECT '{long}'"), &long);
    }
    line.frame(front::SYNC, b"");
    let timing = line.server.timing.as_ref().unwrap();
    assert_eq!((timing.names(), timing.raw_in_flight()), (1000, 64));
    for tag in [back::PARSE_COMPLETE, back::BIND_COMPLETE] {
        line.comes(tag, b"");
    }
    line.complete("SELECT 1");
    let done = line.done();
    let Some(Values::Bound(text, values)) = done[0].raw.as_deref() else { panic!("{done:?}") };
    assert_eq!((text.len(), values.len()), (16 << 10, 16 << 10));
    line.server.rest();
    let timing = line.server.timing.as_ref().unwrap();
    assert_eq!((timing.names(), timing.raw_in_flight()), (0, 0));
}

#[test]
fn without_a_clock_nothing_is_kept() {
    let mut line = Line::new(Mode::Pooled);
    line.server.end_timing();
    line.query("SELECT 1");
    line.complete("SELECT 1");
    line.comes(back::READY, b"I");
    assert!(!line.server.has_done());
}
