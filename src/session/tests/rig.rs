//! What the relay and the pool do with sessions, without sockets: clients, servers, and answers that come late.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::model::Model;
use crate::session::{
    Action, ClientSession, Intern, Mode, ServerSession, Settings, Statement, Verdict, Violation,
};
use crate::wire::{self, Side, back, front};

/// A message or frame: type and body.
pub(crate) type Message = (u8, Vec<u8>);

/// A stream of messages, cut.
pub(crate) fn cut(side: Side, mut bytes: &[u8]) -> Vec<Message> {
    let mut all = Vec::new();
    while let Some(head) = wire::header(side, bytes).expect("good messages") {
        let (message, rest) = bytes.split_at_checked(head.len).expect("whole messages");
        all.push((head.tag, message[5..].to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "bytes behind the last message");
    all
}

/// A text, its scope, and whether strings are standard.
type Key = (Vec<u8>, u64, bool);

/// Equal texts are one statement, as the pool has it.
#[derive(Debug, Default)]
pub(crate) struct Table {
    known: RefCell<HashMap<Key, Weak<Statement>>>,
    next: Cell<u64>,
}

impl Table {
    /// Forgets statements that nobody has.
    pub(crate) fn sweep(&self) {
        self.known.borrow_mut().retain(|_, known| known.strong_count() > 0);
    }

    pub(crate) fn len(&self) -> usize {
        self.known.borrow().len()
    }

    fn id(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }
}

impl Intern for Table {
    fn intern(&self, body: &[u8], scope: u64, standard_strings: bool) -> Arc<Statement> {
        let mut known = self.known.borrow_mut();
        let entry = known.entry((body.to_vec(), scope, standard_strings)).or_default();
        entry.upgrade().filter(|known| known.is_current()).unwrap_or_else(|| {
            let statement = Arc::new(Statement::new(self.id(), body, standard_strings));
            *entry = Arc::downgrade(&statement);
            statement
        })
    }

    fn unnamed(&self, body: &[u8], standard_strings: bool) -> Arc<Statement> {
        Arc::new(Statement::unnamed(self.id(), body, standard_strings))
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) session: ServerSession,
    pub(crate) model: Model,
    owner: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preparing {
    Done,
    Cleaning,
    Settings,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) front: ClientSession,
    inbox: Vec<u8>,
    /// Bytes of the frame in passing still to come, and whether the server gets them.
    streaming: (usize, bool),
    seen: Vec<u8>,
    pub(crate) server: Option<usize>,
    preparing: Preparing,
}

/// Clients and servers.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) clients: Vec<Client>,
    pub(crate) servers: Vec<Server>,
    pub(crate) intern: Table,
    max_statements: usize,
    /// Which free server is next.
    pub(crate) turn: usize,
    /// A Query or Bind is judged when so much of it is there.
    pub(crate) beginning: usize,
}

impl Rig {
    /// `startups`: one client each.
    pub(crate) fn new(
        mode: Mode,
        startups: &[&[(&str, &str)]],
        servers: usize,
        max_statements: usize,
    ) -> Self {
        let client = |startup: &&[(&str, &str)]| Client {
            front: ClientSession::new(mode, Arc::new(Settings::new(startup.iter().copied()))),
            inbox: Vec::new(),
            streaming: (0, false),
            seen: Vec::new(),
            server: None,
            preparing: Preparing::Done,
        };
        Self {
            clients: startups.iter().map(client).collect(),
            servers: (0..servers).map(|_| server(max_statements)).collect(),
            intern: Table::default(),
            max_statements,
            turn: 0,
            beginning: 64,
        }
    }

    /// One client and one server.
    pub(crate) fn one(max_statements: usize) -> Self {
        Self::new(Mode::Pooled, &[&[]], 1, max_statements)
    }

    /// The client's bytes come.
    pub(crate) fn send(&mut self, c: usize, bytes: &[u8]) {
        self.clients[c].inbox.extend_from_slice(bytes);
        self.judge(c);
    }

    /// All answers come, to every client.
    pub(crate) fn settle(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for s in 0..self.servers.len() {
                while self.deliver(s) {
                    moved = true;
                }
            }
            for c in 0..self.clients.len() {
                let before = self.clients[c].inbox.len();
                self.judge(c);
                moved |= self.clients[c].inbox.len() < before;
            }
        }
    }

    /// What the client got so far.
    pub(crate) fn take(&mut self, c: usize) -> Vec<Message> {
        cut(Side::Backend, &std::mem::take(&mut self.clients[c].seen))
    }

    /// Sends, waits for all answers, and returns their types, errors with their SQLSTATE.
    pub(crate) fn ask(&mut self, c: usize, bytes: &[u8]) -> String {
        self.send(c, bytes);
        self.settle();
        words(&self.take(c))
    }

    fn judge(&mut self, c: usize) {
        while !self.clients[c].inbox.is_empty() {
            let (left, on) = self.clients[c].streaming;
            if left > 0 {
                let n = left.min(self.clients[c].inbox.len());
                let bytes: Vec<u8> = self.clients[c].inbox.drain(..n).collect();
                self.clients[c].streaming.0 -= n;
                if let Some(s) = self.clients[c].server.filter(|_| on) {
                    self.servers[s].model.feed(&bytes);
                }
                continue;
            }
            if self.holds(c) {
                return;
            }
            let inbox = self.clients[c].inbox.clone();
            let Some(head) = wire::header(Side::Frontend, &inbox).expect("good frames") else { return };
            let enough = match head.tag {
                front::COPY_DATA | front::COPY_FAIL => 5,
                front::QUERY | front::BIND => head.len.min(self.beginning),
                _ => head.len,
            };
            let here = head.len.min(inbox.len());
            if here < enough || !self.judge_frame(c, &inbox[..here], head.len) {
                return;
            }
            self.clients[c].inbox.drain(..here);
            self.release(c);
        }
    }

    fn holds(&self, c: usize) -> bool {
        let client = &self.clients[c];
        client.server.is_some_and(|s| {
            client.preparing != Preparing::Done
                || self.servers[s].session.holds()
                || self.tells_late(s, client)
        })
    }

    /// A pipeline begins a transaction, breaks it, and prepares a text that is known: Howdah takes it, as it
    /// knows of no transaction yet, and Postgres does not. No driver does that; here the frame waits.
    fn tells_late(&self, s: usize, client: &Client) -> bool {
        let Server { session, model, .. } = &self.servers[s];
        let early = session.status() == b'I' && model.status == b'E' && !model.out.is_empty();
        early && client.inbox.first() == Some(&front::PARSE)
    }

    fn judge_frame(&mut self, c: usize, frame: &[u8], len: usize) -> bool {
        let verdict = loop {
            let client = &mut self.clients[c];
            let Some(s) = client.server else {
                match client.front.without_server(frame, &mut client.seen).expect("good frames") {
                    Verdict::NeedServer => {
                        if !self.acquire(c) || self.holds(c) {
                            return false;
                        }
                        continue;
                    }
                    verdict => break verdict,
                }
            };
            let server = &mut self.servers[s];
            let mut out = Vec::new();
            let verdict = client
                .front
                .with_server(&mut server.session, frame, len, &mut out, &mut client.seen, &self.intern)
                .expect("good frames");
            server.model.feed(&out);
            if verdict == Verdict::Wait && server.session.is_preparing() {
                self.clients[c].preparing = Preparing::Settings;
            }
            if verdict == Verdict::Wait {
                return false;
            }
            break verdict;
        };
        let (used, on) = match verdict {
            Verdict::Forward => (0, true),
            Verdict::Rewritten(used) => (used, used < len),
            _ => (len, false),
        };
        self.clients[c].streaming = (len - frame.len(), on);
        if let Some(s) = self.clients[c].server.filter(|_| on) {
            self.servers[s].model.feed(frame.get(used..).unwrap_or_default());
        }
        true
    }

    /// A free server, the next in turn.
    fn acquire(&mut self, c: usize) -> bool {
        let count = self.servers.len();
        let taken: Vec<usize> = self.clients.iter().filter_map(|client| client.server).collect();
        let Some(s) = (0..count).map(|n| (n + self.turn) % count).find(|s| !taken.contains(s)) else {
            return false;
        };
        self.turn += 1;
        self.clients[c].server = Some(s);
        let server = &mut self.servers[s];
        if server.owner.is_some_and(|owner| owner != c) {
            let mut out = Vec::new();
            server.session.own_query(b"DISCARD ALL", &mut out);
            server.model.feed(&out);
            self.clients[c].preparing = Preparing::Cleaning;
        } else {
            self.prepare_settings(c, s);
        }
        true
    }

    fn prepare_settings(&mut self, c: usize, s: usize) {
        let mut out = Vec::new();
        let client = &mut self.clients[c];
        if client.front.brings() {
            self.servers[s].session.owe_settings(&client.front);
            client.preparing = Preparing::Done;
            return;
        }
        let any = self.servers[s].session.preamble(&client.front, None, &mut out);
        client.preparing = if any { Preparing::Settings } else { Preparing::Done };
        self.servers[s].model.feed(&out);
    }

    /// The server's next message reaches its client. False when there is none.
    pub(crate) fn deliver(&mut self, s: usize) -> bool {
        let Some(message) = self.servers[s].model.out.pop_front() else { return false };
        self.pass(s, &message).expect("the model keeps the protocol");
        true
    }

    /// A message comes from a server.
    pub(crate) fn pass(&mut self, s: usize, message: &[u8]) -> Result<(), Violation> {
        let c = self.clients.iter().position(|client| client.server == Some(s)).expect("it is somebody's");
        let (client, server) = (&mut self.clients[c], &mut self.servers[s]);
        match server.session.on_backend(&mut client.front, message[0], &message[5..])? {
            Action::Pass => client.seen.extend_from_slice(message),
            Action::Swallow => {}
            Action::Replace(bytes) => client.seen.extend_from_slice(&bytes),
            Action::Replay => server.session.set_replay_due(),
            Action::Lost(code, text) => panic!("lost: {code} {text}"),
        }
        server.session.own_replies(&mut client.seen);
        let mut out = Vec::new();
        server.session.begin_healing(&mut out);
        if server.session.take_replay_due() {
            client
                .front
                .replay(&mut server.session, &mut out, &mut client.seen, &self.intern)
                .expect("judged before");
        }
        server.model.feed(&out);
        self.prepared(c, s);
        self.release(c);
        self.judge(c);
        Ok(())
    }

    fn prepared(&mut self, c: usize, s: usize) {
        let (client, server) = (&mut self.clients[c], &mut self.servers[s]);
        if client.preparing == Preparing::Done || server.session.is_preparing() {
            return;
        }
        let failed = server.session.take_preamble_error();
        match (client.preparing, failed) {
            (Preparing::Cleaning, None) => {
                server.session.cleaned();
                server.owner = None;
                self.prepare_settings(c, s);
            }
            (_, None) => client.preparing = Preparing::Done,
            (_, Some(error)) => {
                client.preparing = Preparing::Done;
                client.server = None;
                let tag = client.inbox[0];
                client.front.refuse_with(tag, &error, &mut client.seen);
                let head = wire::header(Side::Frontend, &client.inbox).unwrap().unwrap();
                client.inbox.drain(..head.len);
            }
        }
    }

    fn release(&mut self, c: usize) {
        let client = &mut self.clients[c];
        let Some(s) = client.server else { return };
        let server = &mut self.servers[s];
        if client.preparing != Preparing::Done || client.streaming.0 > 0 {
            return;
        }
        let mut out = Vec::new();
        server.session.end_slow_path(&mut out);
        server.model.feed(&out);
        if !server.session.is_free() {
            return;
        }
        assert!(server.model.out.is_empty(), "free, but answers are to come");
        assert_eq!(server.model.status, b'I', "free, but in a transaction");
        if server.session.is_tainted() {
            server.owner = Some(c);
        }
        client.server = None;
        if server.session.is_worn() {
            *server = self::server(self.max_statements);
        }
    }
}

fn server(max_statements: usize) -> Server {
    let model = Model::new(&[]);
    let initial = model.reported().iter().map(|(n, v)| (n.as_bytes().into(), v.as_bytes().into())).collect();
    let session = ServerSession::new(max_statements).with_initial(Arc::new(initial));
    Server { session, model, owner: None }
}

/// Types of messages, errors with their SQLSTATE, `ReadyForQuery` with its status: `1 2 D C ZI`.
pub(crate) fn words(messages: &[Message]) -> String {
    let word = |(tag, body): &Message| match *tag {
        back::ERROR => format!("E{}", String::from_utf8_lossy(wire::ErrorFields::read(body).sqlstate)),
        back::READY => format!("Z{}", body[0] as char),
        tag => (tag as char).to_string(),
    };
    messages.iter().map(word).collect::<Vec<_>>().join(" ")
}

// --- frames ---------------------------------------------------------------------------------------------

pub(crate) fn parse(name: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::parse_into(&mut out, name.as_bytes(), format!("{text}\0\0\0").as_bytes());
    out
}

pub(crate) fn bind(portal: &str, name: &str, args: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::frame(&mut out, front::BIND, |out| {
        out.extend_from_slice(format!("{portal}\0{name}\0\0\0").as_bytes());
        out.extend_from_slice(&u16::try_from(args.len()).unwrap().to_be_bytes());
        for arg in args {
            out.extend_from_slice(&u32::try_from(arg.len()).unwrap().to_be_bytes());
            out.extend_from_slice(arg.as_bytes());
        }
        out.extend_from_slice(&[0, 0]);
    });
    out
}

fn target(tag: u8, kind: char, name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::frame(&mut out, tag, |out| out.extend_from_slice(format!("{kind}{name}\0").as_bytes()));
    out
}

/// Describe of a statement (`S`) or portal (`P`).
pub(crate) fn describe(kind: char, name: &str) -> Vec<u8> {
    target(front::DESCRIBE, kind, name)
}

/// Close of a statement (`S`) or portal (`P`).
pub(crate) fn close(kind: char, name: &str) -> Vec<u8> {
    target(front::CLOSE, kind, name)
}

pub(crate) fn execute(portal: &str, most: u32) -> Vec<u8> {
    let mut out = Vec::new();
    wire::frame(&mut out, front::EXECUTE, |out| {
        out.extend_from_slice(portal.as_bytes());
        out.push(0);
        out.extend_from_slice(&most.to_be_bytes());
    });
    out
}

pub(crate) fn query(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::query(&mut out, text.as_bytes());
    out
}

/// A frame without a body, such as Sync or Flush.
pub(crate) fn bare(tag: u8) -> Vec<u8> {
    vec![tag, 0, 0, 0, 4]
}

pub(crate) fn sync() -> Vec<u8> {
    bare(front::SYNC)
}

pub(crate) fn copy_data(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::frame(&mut out, front::COPY_DATA, |out| out.extend_from_slice(text.as_bytes()));
    out
}

pub(crate) fn copy_fail() -> Vec<u8> {
    let mut out = Vec::new();
    wire::frame(&mut out, front::COPY_FAIL, |out| out.extend_from_slice(b"no more\0"));
    out
}

/// Bind, Execute and Sync of a named statement without parameters.
pub(crate) fn run(name: &str) -> Vec<u8> {
    [bind("", name, &[]), execute("", 0), sync()].concat()
}
