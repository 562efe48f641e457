//! What is particular to clients with a tenant.

use std::sync::Arc;

use super::rig::{Rig, bind, close, execute, parse, query, run, sync, words};
use crate::session::{Change, Guard, Locals};
use crate::wire::back;

/// A client of a tenant, and a server with room for so many statements.
fn tenant(statements: usize) -> Rig {
    let mut rig = Rig::one(statements);
    let locals = Locals::new(&[("app.tenant_id".to_owned(), "acme".to_owned())]);
    let guard = Guard { names: vec!["app.tenant_id".to_owned()], ..Guard::default() };
    rig.clients[0].front.set_duty(locals, Arc::new(guard), None);
    rig.beginning = usize::MAX; // texts are read whole
    rig
}

/// Parse, Bind and Execute without a Sync.
fn part(text: &str) -> Vec<u8> {
    [parse("", text), bind("", "", &[]), execute("", 0)].concat()
}

fn batch(texts: &[&str]) -> Vec<u8> {
    let mut bytes: Vec<u8> = texts.iter().flat_map(|text| part(text)).collect();
    bytes.extend(sync());
    bytes
}

/// Types of the answers, and what a CALL says of its tenant: in its first transaction, and in its second.
fn ask(rig: &mut Rig, bytes: &[u8]) -> (String, Vec<String>) {
    rig.send(0, bytes);
    rig.settle();
    let messages = rig.take(0);
    let said = messages.iter().filter(|(tag, _)| *tag == back::NOTICE);
    let said =
        said.map(|(_, body)| String::from_utf8_lossy(body).trim_matches('\0').replace("SNOTICE\0M", ""));
    (words(&messages), said.collect())
}

/// Nothing is left of the tenant in the session.
fn nothing_left(rig: &Rig) {
    let server = &rig.servers[0];
    assert!(server.session.is_free(), "{:?}", server.model.log);
    assert_eq!(server.model.setting("app.tenant_id"), "", "{:?}", server.model.log);
}

const BOTH: [&str; 2] = ["acme", "then acme"];

#[test]
fn what_commits_inside_keeps_its_tenant_wherever_it_stands() {
    let gone = || close('S', "gone");
    for (bytes, answer, calls) in [
        (batch(&["CALL x"]), "1 2 N N C ZI", 1),
        ([gone(), batch(&["CALL x"])].concat(), "3 1 2 N N C ZI", 1),
        ([gone(), query("CALL x"), sync()].concat(), "3 N N C ZI ZI", 1),
        (batch(&["SELECT 1", "CALL x"]), "1 2 D C 1 2 N N C ZI", 1),
        (batch(&["CALL x", "SELECT 1", "CALL x"]), "1 2 N N C 1 2 D C 1 2 N N C ZI", 2),
        ([parse("", "SELECT 1"), batch(&["CALL x"])].concat(), "1 1 2 N N C ZI", 1),
        ([batch(&["CALL x"]), gone(), batch(&["CALL x"])].concat(), "1 2 N N C ZI 3 1 2 N N C ZI", 2),
        // RESET ALL takes back what the first one has set.
        ([query("CALL x"), query("RESET ALL"), query("CALL x")].concat(), "N N C ZI C ZI N N C ZI", 2),
        (batch(&["CALL x", "RESET ALL", "CALL x"]), "1 2 N N C 1 2 C 1 2 N N C ZI", 2),
        // A batch that fails takes back what was set in it.
        (
            [batch(&["SELECT 1", "CALL x", "DIVIDE"]), batch(&["CALL x"])].concat(),
            "1 2 D C 1 2 N N C 1 2 D E22012 ZI 1 2 N N C ZI",
            2,
        ),
    ] {
        let mut rig = tenant(10);
        let got = ask(&mut rig, &bytes);
        assert_eq!(got, (answer.to_owned(), BOTH.repeat(calls).iter().map(|s| (*s).to_owned()).collect()));
        nothing_left(&rig);
    }
}

#[test]
fn a_call_that_runs_again_has_its_tenant() {
    let mut rig = tenant(10);
    ask(&mut rig, &[parse("a", "CALL x"), sync()].concat());
    rig.servers[0].model.shape += 1; // its plan is stale
    let got = ask(&mut rig, &run("a"));
    assert_eq!(got, ("2 N N C ZI".to_owned(), BOTH.map(str::to_owned).to_vec()));
    nothing_left(&rig);
}

#[test]
fn a_block_goes_on_behind_what_was_set_for_the_session() {
    let mut rig = tenant(10);
    let bytes = [batch(&["SELECT 1", "CALL x", "BEGIN"]), batch(&["CALL x"]), query("CALL x")].concat();
    let (answer, said) = ask(&mut rig, &bytes);
    assert_eq!(answer, "1 2 D C 1 2 N N C 1 2 C ZT 1 2 N C ZT N C ZT");
    assert_eq!(said, ["acme", "then acme", "acme", "acme"]);
    assert_eq!(ask(&mut rig, &query("COMMIT")).0, "C ZI");
    nothing_left(&rig);
}

#[test]
fn no_sync_is_added_where_one_would_end_an_error() {
    // The query does not end the batch that fails: all up to the Sync is skipped, and the CALL with it.
    let mut rig = tenant(10);
    let bytes = [part("SELECT 1"), bind("", "none", &[]), query("SELECT 1"), close('P', ""), query("CALL x")];
    assert_eq!(ask(&mut rig, &bytes.concat()).0, "1 2 D C E26000");
    assert_eq!(ask(&mut rig, &sync()).0, "ZI");
    nothing_left(&rig);
}

#[test]
fn a_query_in_an_open_batch_cannot_commit_inside() {
    let mut rig = tenant(10);
    let (answer, said) = ask(&mut rig, &[part("SELECT 1"), query("CALL x"), sync()].concat());
    assert_eq!((answer.as_str(), said.as_slice()), ("1 2 D C N C ZI ZI", &["acme".to_owned()][..]));
}

#[test]
fn how_texts_are_read_is_known_when_all_is_answered() {
    let mut rig = tenant(10);
    rig.send(0, &query("DO x"));
    while rig.servers[0].model.log.len() < 2 {
        assert!(rig.deliver(0)); // the slow path: it is set, and then the DO goes out
    }
    rig.send(0, &close('S', "gone")); // the next batch is open when the answer comes
    let (answer, _) = ask(&mut rig, &[parse("", "SELECT 1"), sync()].concat());
    assert_eq!(answer, "E42601 ZI 3 1 ZI");
    // Not so behind it in the same batch, in either protocol.
    let change = [parse("", "SET client_encoding TO sjis"), bind("", "", &[])].concat();
    assert_eq!(ask(&mut rig, &[change.clone(), parse("", "SELECT 1"), sync()].concat()).0, "1 2 E0A000 ZI");
    assert_eq!(ask(&mut rig, &[change, query("SELECT 1"), sync()].concat()).0, "1 2 E0A000 ZI ZI");
}

#[test]
fn a_change_of_tenant_waits_for_nothing_that_does_not_come() {
    let change = |bytes: &[&[u8]]| {
        let mut rig = tenant(10);
        for bytes in bytes {
            rig.send(0, bytes);
            rig.settle();
        }
        rig.servers[0].session.may_change()
    };
    let gone = close('S', "gone");
    let again = [batch(&["BEGIN"]), batch(&["COMMIT"])].concat();
    // A server keeps its answers to a batch until its Sync.
    assert_eq!(change(&[&part("BEGIN")]), Change::Now);
    assert_eq!(change(&[&gone]), Change::Now);
    assert_eq!(change(&[&part("SELECT 1")]), Change::Never);
    assert_eq!(change(&[&batch(&["BEGIN"]), &gone]), Change::Now);
    assert_eq!(change(&[&batch(&["BEGIN", "SELECT 1"]), &gone]), Change::Never);
    assert_eq!(change(&[&part("COMMIT")]), Change::Now);
    // Not before what was set for the session is gone: another tenant may set less.
    let mut rig = tenant(10);
    rig.send(0, &[again, batch(&["CALL x"])].concat());
    while rig.servers[0].model.out.len() > 1 || !rig.servers[0].model.log.contains(&"S".to_owned()) {
        rig.deliver(0);
    }
    assert_eq!(rig.servers[0].session.may_change(), Change::Later);
    rig.settle();
    nothing_left(&rig);
}

#[test]
fn what_cannot_be_prepared_is_not_prepared_again_for_its_use() {
    // There is room for two, and the statement that sets the tenant takes one of them.
    let mut rig = tenant(2);
    let tried = [parse("a", "WRONG"), parse("b", "SELECT 1"), sync(), run("b"), run("a")];
    assert_eq!(ask(&mut rig, &tried.concat()).0, "E42P01 ZI E26000 ZI E26000 ZI");
    let bytes = [
        [query("BEGIN"), bind("", "", &[]), batch(&["SELECT 1"])].concat(),
        [parse("a", "SELECT 1"), parse("b", "SELECT 3 rows"), sync(), run(""), query("ROLLBACK"), run("a")]
            .concat(),
    ];
    assert_eq!(ask(&mut rig, &bytes.concat()).0, "C ZT E26000 ZE E25P02 ZE E26000 ZE C ZI E26000 ZI");
}
