//! Whatever a client sends, however it is cut and however late the answers come: it must see what it would see
//! without Howdah.

use std::sync::Arc;

use proptest::prelude::*;

use super::model::Model;
use super::rig::{self, Message, Rig};
use crate::session::{Guard, Locals, Mode};
use crate::wire::{Side, back, front};

const NAMES: [&str; 4] = ["", "a", "b", "c"];
const PORTALS: [&str; 2] = ["", "p"];
const TEXTS: [&str; 18] = [
    "SELECT 1",
    "SELECT 3 rows",
    "SELECT 1 $1",
    "SELECT 2 /* long enough to come in several parts, and not to be judged as a whole .............. */",
    "DIVIDE",
    "WRONG",
    "syntax error",
    "",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "INSERT x",
    "NOTICE x",
    "SHOW TimeZone",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "COMMIT AND CHAIN",
    "CALL x",
];
const QUERIES: [&str; 23] = [
    "SELECT 1",
    "SELECT 2; SELECT 1 more",
    "SELECT 1; DIVIDE; SELECT 1",
    "SELECT 1; COMMIT; SELECT 2",
    "BEGIN; SELECT 1; COMMIT; SELECT 2; ROLLBACK; SELECT 3",
    "ROLLBACK; SELECT 1",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "ROLLBACK TO a; SELECT 1",
    "COMMIT AND CHAIN",
    "BEGIN; COMMIT AND CHAIN; SELECT 1",
    "CALL x",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "",
    "syntax error",
    "SET TimeZone TO Mars",
    "SET search_path TO a",
    "SET search_path TO b",
    "COPY t TO STDOUT",
    "SHOW TimeZone",
    "INSERT 1 /* long enough to come in several parts, and not to be judged as a whole .............. */",
];

/// A piece of a client's script.
#[derive(Clone, Debug)]
enum Op {
    Parse(usize, usize),
    Bind(usize, usize, usize),
    DescribeStatement(usize),
    DescribePortal(usize),
    Execute(usize, u32),
    CloseStatement(usize),
    ClosePortal(usize),
    Sync,
    Flush,
    Query(usize),
    /// Parse, Bind, Execute, and perhaps Sync, in one.
    Run(usize, usize, bool),
    /// Bind, Execute and Sync of a named statement.
    Again(usize),
    /// By simple or extended query, with an early Sync or without, ended well or not.
    CopyIn(bool, bool, bool),
    Deallocate(usize),
    DeallocateAll,
    DiscardAll,
}

impl Op {
    fn bytes(&self) -> Vec<u8> {
        match *self {
            Self::Parse(name, text) => rig::parse(NAMES[name], TEXTS[text]),
            Self::Bind(portal, name, args) => rig::bind(PORTALS[portal], NAMES[name], &["x"; 2][..args]),
            Self::DescribeStatement(name) => rig::describe('S', NAMES[name]),
            Self::DescribePortal(portal) => rig::describe('P', PORTALS[portal]),
            Self::Execute(portal, most) => rig::execute(PORTALS[portal], most),
            Self::CloseStatement(name) => rig::close('S', NAMES[name]),
            Self::ClosePortal(portal) => rig::close('P', PORTALS[portal]),
            Self::Sync => rig::sync(),
            Self::Flush => rig::bare(front::FLUSH),
            Self::Query(text) => rig::query(QUERIES[text]),
            Self::Run(name, text, sync) => {
                let (name, text) = (NAMES[name], TEXTS[text]);
                let args = &["x"][..text.matches('$').count()];
                let end = if sync { rig::sync() } else { Vec::new() };
                [rig::parse(name, text), rig::bind("", name, args), rig::execute("", 0), end].concat()
            }
            Self::Again(name) => rig::run(NAMES[name]),
            Self::CopyIn(simple, early, well) => copy_in(simple, early, well),
            // Behind a Sync: in an open batch it is not understood, and fails.
            Self::Deallocate(name) => {
                [rig::sync(), rig::query(&format!("DEALLOCATE {}", NAMES[name.max(1)]))].concat()
            }
            Self::DeallocateAll => rig::query("DEALLOCATE ALL"),
            Self::DiscardAll => rig::query("DISCARD ALL"),
        }
    }
}

/// A COPY with its data. What it leaves as unnamed statement is replaced, so that nothing runs it again.
fn copy_in(simple: bool, early: bool, well: bool) -> Vec<u8> {
    let text = "COPY t FROM STDIN";
    let begin = if simple {
        [rig::sync(), rig::query(text)].concat()
    } else {
        [rig::parse("", text), rig::bind("", "", &[]), rig::execute("", 0)].concat()
    };
    let early = if early { rig::sync() } else { Vec::new() };
    let data =
        rig::copy_data("some data, more than the beginning of a frame, so that it streams: 1234567890");
    let end = if well { rig::bare(front::COPY_DONE) } else { rig::copy_fail() };
    let after =
        if simple { Vec::new() } else { [rig::sync(), rig::parse("", "SELECT 1"), rig::sync()].concat() };
    [begin, early, data, end, after].concat()
}

fn op() -> impl Strategy<Value = Op> {
    let (name, text) = (0..NAMES.len(), 0..TEXTS.len());
    let portal = 0..PORTALS.len();
    prop_oneof![
        3 => (name.clone(), text.clone()).prop_map(|(n, t)| Op::Parse(n, t)),
        3 => (portal.clone(), name.clone(), prop_oneof![8 => Just(0_usize), 1 => Just(1)])
            .prop_map(|(p, n, a)| Op::Bind(p, n, a)),
        1 => name.clone().prop_map(Op::DescribeStatement),
        1 => portal.clone().prop_map(Op::DescribePortal),
        2 => (portal.clone(), 0..3_u32).prop_map(|(p, most)| Op::Execute(p, most)),
        1 => name.clone().prop_map(Op::CloseStatement),
        1 => portal.prop_map(Op::ClosePortal),
        4 => Just(Op::Sync),
        1 => Just(Op::Flush),
        4 => (0..QUERIES.len()).prop_map(Op::Query),
        4 => (name.clone(), text, any::<bool>()).prop_map(|(n, t, s)| Op::Run(n, t, s)),
        3 => name.clone().prop_map(Op::Again),
        1 => (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(s, e, w)| Op::CopyIn(s, e, w)),
        1 => name.prop_map(Op::Deallocate),
        1 => Just(Op::DeallocateAll),
        1 => Just(Op::DiscardAll),
    ]
}

/// A script, closed so that no batch and no transaction stays open.
fn bytes(script: &[Op]) -> Vec<u8> {
    let mut bytes: Vec<u8> = script.iter().flat_map(Op::bytes).collect();
    for name in ["", "a", "b", "c"] {
        bytes.extend([rig::sync(), rig::run(name), rig::query("ROLLBACK")].concat());
    }
    bytes
}

/// What the client sees on a server of its own. `startup` is what it asks for when it connects.
fn direct(startup: &[(&str, &str)], bytes: &[u8]) -> Vec<Message> {
    let mut model = Model::new(startup);
    model.feed(bytes);
    rig::cut(Side::Backend, &model.answers())
}

/// Clients share servers; `steps` says whose bytes come next and how many, or which server's answer.
fn pooled(
    startups: &[&[(&str, &str)]],
    tenants: &[&str],
    scripts: &[Vec<u8>],
    statements: usize,
    steps: &[u16],
) -> Vec<Vec<Message>> {
    let mut rig = Rig::new(Mode::Pooled, startups, scripts.len(), statements);
    for (client, tenant) in rig.clients.iter_mut().zip(tenants) {
        let locals = Locals::new(&[("app.tenant_id".to_owned(), (*tenant).to_owned())]);
        client.front.set_duty(
            locals,
            Arc::new(Guard { names: vec!["app.tenant_id".to_owned()], ..Guard::default() }),
            None,
        );
        rig.beginning = usize::MAX; // texts are read whole
    }
    let mut sent = vec![0; scripts.len()];
    for step in steps {
        let (who, how_many) = (usize::from(step % 4), usize::from(step / 4));
        if let Some(script) = scripts.get(who) {
            let end = script.len().min(sent[who] + how_many % 97);
            rig.send(who, &script[sent[who]..end]);
            sent[who] = end;
        } else {
            for _ in 0..how_many % 13 {
                rig.deliver(who % scripts.len());
            }
        }
    }
    for (who, script) in scripts.iter().enumerate() {
        rig.send(who, &script[sent[who]..]);
    }
    rig.settle();
    let got = (0..scripts.len()).map(|who| rig.take(who)).collect();
    stays_bounded(&mut rig, statements);
    got
}

/// An eviction that an error undid may leave a server with one too many: the next statement ends that. The
/// model has one more that nobody counts, for `DEALLOCATE`, and the unnamed one.
fn stays_bounded(rig: &mut Rig, statements: usize) {
    for s in 0..rig.servers.len() {
        assert!(rig.servers[s].session.is_free());
        rig.turn = s;
        let bytes = [rig::close('S', "z"), rig::parse("z", &format!("SELECT {s} z")), rig::sync()].concat();
        assert_eq!(rig.ask(0, &bytes), "3 1 ZI");
        let server = &rig.servers[s];
        assert!(server.session.prepared() <= statements);
        assert!(server.model.prepared().len() <= statements + 2, "{:?}", server.model.prepared());
    }
}

/// For people; reports of settings in one order. Statements' names in errors are left out: Howdah takes one of
/// two for the same text, and has forgotten the client's name when the Parse itself failed.
fn readable(messages: &[Message]) -> Vec<String> {
    let text = |body: &[u8]| String::from_utf8_lossy(body).replace('\0', " ");
    let line = |(tag, body): &Message| match text(body).split('"').collect::<Vec<_>>().as_slice() {
        [_, _, _] if *tag == back::ERROR && body.windows(6).any(|w| w == b"C42P05") => "E C42P05".to_owned(),
        [before, _, after] if *tag == back::ERROR => format!("E {before}…{after}"),
        text => format!("{} {}", *tag as char, text.concat()),
    };
    let mut all: Vec<_> = messages.iter().map(line).collect();
    all.chunk_by_mut(|a, b| a.starts_with("S ") && b.starts_with("S ")).for_each(<[String]>::sort);
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_clients_see_what_each_would_see_alone(
        scripts in prop::collection::vec(prop::collection::vec(op(), 0..24), 2),
        steps in prop::collection::vec(any::<u16>(), 0..120),
        statements in 1..5_usize,
    ) {
        let startups: [&[(&str, &str)]; 2] = [&[], &[("TimeZone", "Venus")]];
        let bytes: Vec<_> = scripts.iter().map(|script| bytes(script)).collect();
        let got = pooled(&startups, &[], &bytes, statements, &steps);
        for (who, (startup, got)) in startups.iter().zip(&got).enumerate() {
            prop_assert_eq!(readable(got), readable(&direct(startup, &bytes[who])), "client {}", who);
        }
    }
}

/// In a pipeline whose transaction has failed, what uses a statement or portal that is not there fails for the one
/// reason or the other: what is put ahead of it fails first. And a simple query in an open batch that would commit
/// inside cannot, with a tenant: it need not say who it is for then, but must not say that it is for another.
fn blame(lines: Vec<String>) -> Vec<String> {
    let failed = |line: &String| {
        ["25P02", "26000", "34000"].iter().any(|code| line.starts_with(&format!("E SERROR VERROR C{code}")))
    };
    let lines =
        lines.into_iter().filter(|line| !(line.contains("Mthen acme") || line.contains("Mthen globex")));
    lines.map(|line| if failed(&line) { "E refused".to_owned() } else { line }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    /// The tenant is the database's default for who is alone, and Howdah's doing for who shares.
    #[test]
    fn two_tenants_see_what_each_would_see_alone(
        scripts in prop::collection::vec(prop::collection::vec(op(), 0..24), 2),
        steps in prop::collection::vec(any::<u16>(), 0..120),
        statements in 2..6_usize,
    ) {
        let tenants = ["acme", "globex"];
        let bytes: Vec<_> = scripts.iter().map(|script| bytes(script)).collect();
        let got = pooled(&[&[], &[]], &tenants, &bytes, statements, &steps);
        for (who, (tenant, got)) in tenants.iter().zip(&got).enumerate() {
            let alone = direct(&[("app.tenant_id", tenant)], &bytes[who]);
            prop_assert_eq!(blame(readable(got)), blame(readable(&alone)), "client {}", who);
        }
    }
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let script: Vec<Op> =
        (0..40).map(|n| if n % 7 == 3 { Op::Run(1, 4, true) } else { Op::Again(n % 4) }).collect();
    let bytes = bytes(&script);
    let got = pooled(&[&[]], &[], std::slice::from_ref(&bytes), 2, &[]);
    assert_eq!(readable(&got[0]), readable(&direct(&[], &bytes)));
    assert_eq!(got[0].iter().filter(|(tag, _)| *tag == back::READY).count(), 52);
}
