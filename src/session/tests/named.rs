//! What other poolers got wrong with prepared statements and pipelines, and what is particular to Howdah.

use std::sync::Arc;

use super::rig::{Rig, words};
use super::rig::{bare, bind, close, copy_data, describe, execute, parse, query, run, sync};
use crate::session::statement::MAX_CLIENT_STATEMENTS;
use crate::session::{ClientSession, Kind, Mode, ServerSession, Violation};
use crate::wire::{back, front};

/// Parse of a named statement, and Sync.
fn prepare(name: &str, text: &str) -> Vec<u8> {
    [parse(name, text), sync()].concat()
}

/// Parse, Bind, Execute of the unnamed statement, and Sync.
fn unnamed(text: &str) -> Vec<u8> {
    [parse("", text), run("")].concat()
}

#[test]
fn a_failed_parse_is_not_remembered_as_good() {
    let mut rig = Rig::one(10);
    assert_eq!(rig.ask(0, &prepare("a", "WRONG")), "E42P01 ZI");
    assert_eq!(rig.servers[0].session.prepared(), 0);
    assert_eq!(rig.clients[0].front.statements(), 0);
    assert_eq!(rig.ask(0, &run("a")), "E26000 ZI");
    assert_eq!(rig.ask(0, &prepare("a", "SELECT 1")), "1 ZI", "the name is free");
    assert_eq!(rig.ask(0, &run("a")), "2 D C ZI");
}

#[test]
fn a_failed_parse_is_not_good_because_its_close_was_skipped() {
    let mut rig = Rig::one(10);
    assert_eq!(rig.ask(0, &[parse("a", "WRONG"), close('S', "a"), sync()].concat()), "E42P01 ZI");
    assert_eq!(rig.clients[0].front.statements(), 0);
}

#[test]
fn the_next_batch_comes_before_the_errors_ready_for_query() {
    let mut rig = Rig::one(10);
    rig.send(0, &unnamed("DIVIDE"));
    for _ in 0..4 {
        assert!(rig.deliver(0)); // all but the ReadyForQuery
    }
    assert_eq!(words(&rig.take(0)), "1 2 D E22012");
    rig.send(0, &unnamed("SELECT 1"));
    rig.settle();
    assert_eq!(words(&rig.take(0)), "ZI 1 2 D C ZI");
}

#[test]
fn a_query_and_a_batch_in_one_write() {
    let mut rig = Rig::one(10);
    let all = [query("SELECT 1"), unnamed("SELECT 2"), query("BEGIN"), unnamed("SELECT 1"), query("COMMIT")];
    assert_eq!(rig.ask(0, &all.concat()), "T D C ZI 1 2 D D C ZI C ZT 1 2 D C ZT C ZI");
    assert!(!rig.servers[0].session.is_worn());
    // A query inside of an open batch wears the connection out: Postgres 18 trips over it.
    rig.send(0, &[parse("", "SELECT 1"), query("BEGIN")].concat());
    assert!(rig.servers[0].session.is_worn());
}

#[test]
fn no_parse_complete_is_lost_after_an_error() {
    let mut rig = Rig::one(10);
    rig.ask(0, &prepare("known", "SELECT 1"));
    // Answered by Howdah itself, and by the server; skipped once, and then not.
    let batch = [close('S', "x"), parse("x", "SELECT 1"), parse("y", "SELECT 2"), sync()].concat();
    let skipped = [bind("", "missing", &[]), batch.clone()].concat();
    assert_eq!(rig.ask(0, &skipped), "E26000 ZI");
    assert_eq!(rig.ask(0, &batch), "3 1 1 ZI");
    assert_eq!(rig.ask(0, &run("x")), "2 D C ZI");
    assert_eq!(rig.ask(0, &run("y")), "2 D D C ZI");
    // All of it in flight at once.
    let again = [skipped, close('S', "y"), sync(), batch].concat();
    assert_eq!(rig.ask(0, &again), "E26000 ZI 3 ZI 3 1 1 ZI");
}

#[test]
fn own_replies_keep_their_place() {
    let mut rig = Rig::one(10);
    rig.ask(0, &prepare("a", "SELECT 1"));
    rig.send(0, &[bind("", "a", &[]), execute("", 0), close('S', "a"), parse("b", "SELECT 1")].concat());
    assert_eq!(words(&rig.take(0)), "", "not before the answers to what was sent before");
    rig.send(0, &sync());
    rig.settle();
    assert_eq!(words(&rig.take(0)), "2 D C 3 1 ZI");
}

#[test]
fn eviction_closes_the_least_recently_used() {
    let mut rig = Rig::one(2);
    for (name, text) in [("a", "SELECT 1"), ("b", "SELECT 2"), ("a2", "SELECT 1"), ("c", "SELECT 3")] {
        assert_eq!(rig.ask(0, &prepare(name, text)), "1 ZI");
    }
    assert_eq!(rig.servers[0].model.prepared(), ["howdah_1", "howdah_3"], "b was not used for longest");
    assert_eq!(rig.servers[0].session.prepared(), 2);
    assert_eq!(rig.ask(0, &run("b")), "2 D D C ZI", "prepared again, unseen");
    assert_eq!(rig.servers[0].model.prepared(), ["howdah_2", "howdah_3"]);
}

#[test]
fn eviction_while_a_flush_waits() {
    let mut rig = Rig::one(1);
    let flush = bare(front::FLUSH);
    rig.ask(0, &prepare("a", "SELECT 1"));
    let open = [bind("p", "a", &[]), execute("p", 0), flush.clone()].concat();
    rig.send(0, &open);
    rig.send(0, &[parse("b", "SELECT 2"), describe('S', "b"), flush].concat());
    rig.settle();
    assert_eq!(words(&rig.take(0)), "2 D C 1 t T");
    assert_eq!(rig.ask(0, &[bind("", "b", &[]), execute("", 0), sync()].concat()), "2 D D C ZI");
    assert_eq!(rig.ask(0, &run("a")), "2 D C ZI");
    assert_eq!(rig.servers[0].model.prepared(), ["howdah_1"]);
}

#[test]
fn a_skipped_eviction_is_no_loss() {
    let mut rig = Rig::one(1);
    rig.ask(0, &prepare("a", "SELECT 1"));
    let batch = [bind("", "missing", &[]), parse("b", "SELECT 2"), sync()].concat();
    assert_eq!(rig.ask(0, &batch), "E26000 ZI");
    assert_eq!(rig.ask(0, &run("a")), "2 D C ZI");
    assert_eq!(rig.ask(0, &prepare("b", "SELECT 2")), "1 ZI");
    assert_eq!(rig.servers[0].session.prepared(), 1);
    assert_eq!(rig.servers[0].model.prepared().len(), 1);
}

#[test]
fn one_text_under_two_search_paths_is_two_statements() {
    let mut rig = Rig::new(Mode::Pooled, &[&[("search_path", "a")], &[("search_path", "b")]], 1, 10);
    for client in 0..2 {
        assert_eq!(rig.ask(client, &prepare("s", "SELECT 1")), "1 ZI");
    }
    assert_eq!(rig.servers[0].model.prepared(), ["howdah_1", "howdah_2"]);
    // The same client after a change of its own.
    assert_eq!(rig.ask(0, &query("SET search_path TO b")), "C S ZI");
    assert_eq!(rig.ask(0, &prepare("t", "SELECT 1")), "1 ZI");
    assert_eq!(rig.servers[0].model.prepared(), ["howdah_1", "howdah_2"], "it is the other client's now");
}

#[test]
fn one_text_of_many_clients_is_prepared_once() {
    let mut rig = Rig::new(Mode::Pooled, &[&[], &[], &[], &[], &[]], 1, 10);
    for client in 0..5 {
        assert_eq!(rig.ask(client, &[prepare("mine", "SELECT 1"), run("mine")].concat()), "1 ZI 2 D C ZI");
    }
    let parses = rig.servers[0].model.log.iter().filter(|frame| frame.starts_with("P ")).count();
    assert_eq!(parses, 1);
}

/// A table gets another column, for all servers.
fn alter(rig: &mut Rig) {
    rig.servers.iter_mut().for_each(|server| server.model.shape += 1);
}

/// Close and Parse of a named statement, and Sync.
fn prepare_anew(name: &str, text: &str) -> Vec<u8> {
    [close('S', name), parse(name, text), sync()].concat()
}

#[test]
fn a_client_that_was_not_told_what_rows_come_never_sees_a_stale_plan() {
    let mut rig = Rig::one(10);
    rig.ask(0, &prepare("a", "SELECT 1"));
    alter(&mut rig);
    assert_eq!(rig.ask(0, &run("a")), "2 D C ZI");
    assert_eq!(rig.servers[0].model.prepared(), ["howdah_2"]);
    // It is told in the batch itself: of the statement, and of a portal.
    alter(&mut rig);
    assert_eq!(rig.ask(0, &[describe('S', "a"), sync()].concat()), "t T ZI");
    let portal = [bind("p", "a", &[]), describe('P', "p"), execute("p", 0), sync()].concat();
    alter(&mut rig);
    assert_eq!(rig.ask(0, &portal), "2 T D C ZI");
    // The portal that is described is another's.
    alter(&mut rig);
    let other = [bind("", "a", &[]), execute("", 0), describe('P', "p"), sync()].concat();
    assert_eq!(rig.ask(0, &other), "E0A000 ZI");
    assert_eq!(rig.ask(0, &portal), "2 T D C ZI", "also when it is known to be outdated");
    rig.servers[0].model.forget_statements();
    assert_eq!(rig.ask(0, &run("a")), "2 D C ZI", "26000 after a failover");
    // A Flush in place of the Sync: the Sync that ends the error is Howdah's.
    alter(&mut rig);
    let flush = bare(front::FLUSH);
    let frames = [bind("", "a", &[]), describe('P', ""), execute("", 0), flush].concat();
    assert_eq!(rig.ask(0, &frames), "2 T D C");
    assert_eq!(rig.ask(0, &sync()), "ZI");
}

#[test]
fn who_was_told_of_other_rows_must_prepare_anew() {
    let mut rig = Rig::new(Mode::Pooled, &[&[], &[], &[], &[]], 2, 10);
    rig.ask(0, &prepare("a", "SELECT 1"));
    for server in 0..2 {
        rig.turn = server;
        assert_eq!(rig.ask(0, &run("a")), "2 D C ZI");
    }
    rig.ask(1, &prepare("told", "SELECT 1"));
    rig.ask(1, &[describe('S', "told"), sync()].concat());
    rig.ask(2, &prepare("parsed", "SELECT 1"));
    alter(&mut rig);
    for server in [0, 1, 0, 1] {
        for (client, name) in [(0, "a"), (1, "told")] {
            rig.turn = server;
            rig.send(client, &run(name));
            rig.settle();
            let messages = rig.take(client);
            assert_eq!(words(&messages), "E0A000 ZI", "client {client} on server {server}");
            let error = String::from_utf8_lossy(&messages[0].1);
            assert!(error.contains("\0Mcached plan must not change result type\0"), "{error}");
            assert!(error.contains("\0RRevalidateCachedQuery\0"), "{error}");
        }
    }
    // The batch is skipped as with any error, and others are served.
    assert_eq!(rig.ask(0, &[bind("", "a", &[]), parse("b", "SELECT 2"), sync()].concat()), "E0A000 ZI");
    assert_eq!(rig.ask(0, &run("b")), "E26000 ZI");
    for (client, bytes, answer) in [
        (2, run("parsed"), "2 D C ZI"),
        (3, [prepare("new", "SELECT 1"), run("new")].concat(), "1 ZI 2 D C ZI"),
        (0, [unnamed("SELECT 1"), run("a")].concat(), "1 2 D C ZI E0A000 ZI"),
        (0, [prepare_anew("a", "SELECT 1"), run("a")].concat(), "3 1 ZI 2 D C ZI"),
        (1, run("told"), "E0A000 ZI"),
        (1, [close('S', "told"), sync()].concat(), "3 ZI"),
    ] {
        assert_eq!(rig.ask(client, &bytes), answer, "client {client}");
    }
}

#[test]
fn what_the_unnamed_statement_is_does_not_change_with_an_outdated_one() {
    let mut rig = Rig::one(10);
    rig.ask(0, &[prepare("a", "SELECT 1"), run("a"), unnamed("SELECT 2")].concat());
    alter(&mut rig);
    assert_eq!(rig.ask(0, &run("a")), "E0A000 ZI");
    assert_eq!(rig.ask(0, &[parse("", "SELECT 3"), sync()].concat()), "1 ZI");
    assert_eq!(rig.ask(0, &run("a")), "E0A000 ZI");
    assert_eq!(rig.ask(0, &run("")), "2 D D D C ZI");
}

#[test]
fn in_a_transaction_a_stale_plan_is_the_servers_to_judge() {
    let mut rig = Rig::new(Mode::Pooled, &[&[], &[]], 1, 10);
    rig.ask(1, &[prepare("b", "SELECT 1"), run("b")].concat());
    rig.ask(0, &[prepare("a", "SELECT 1"), run("a")].concat());
    // Its own ALTER, which it takes back: then all is as before.
    rig.ask(0, &query("BEGIN"));
    rig.ask(0, &query("ALTER"));
    assert_eq!(rig.ask(0, &run("a")), "E0A000 ZE");
    assert_eq!(rig.ask(0, &run("a")), "E25P02 ZE");
    assert_eq!(rig.ask(0, &query("ROLLBACK")), "C ZI");
    rig.servers[0].model.shape -= 1;
    assert_eq!(rig.ask(0, &run("a")), "2 D C ZI");
    assert_eq!(rig.ask(1, &run("b")), "2 D C ZI");
    // In the transaction it may be prepared anew, behind a savepoint.
    rig.ask(0, &[query("BEGIN"), query("SAVEPOINT a"), query("ALTER")].concat());
    assert_eq!(rig.ask(0, &run("a")), "E0A000 ZE");
    assert_eq!(rig.ask(0, &query("ROLLBACK TO a")), "C ZT");
    assert_eq!(rig.ask(0, &[prepare_anew("a", "SELECT 1"), run("a")].concat()), "3 1 ZT 2 D C ZT");
    assert_eq!(rig.ask(0, &query("COMMIT")), "C ZI");
    for _ in 0..2 {
        assert_eq!(rig.ask(1, &run("b")), "E0A000 ZI");
        assert_eq!(rig.ask(0, &run("a")), "2 D C ZI");
    }
    // What is known to be outdated is not the first error in a failed transaction.
    assert_eq!(rig.ask(1, &[query("BEGIN"), run("b"), run("b")].concat()), "C ZT E0A000 ZE E25P02 ZE");
    rig.ask(1, &query("ROLLBACK"));
}

#[test]
fn a_stale_plan_is_not_healed_behind_answers() {
    let mut rig = Rig::one(10);
    rig.ask(0, &prepare("a", "SELECT 1"));
    alter(&mut rig);
    // Behind another batch, or behind an answer of its own: it was not told, and the next time is well.
    assert_eq!(rig.ask(0, &[unnamed("SELECT 1"), run("a")].concat()), "1 2 D C ZI E0A000 ZI");
    assert_eq!(rig.ask(0, &run("a")), "2 D C ZI");
    rig.ask(0, &prepare("b", "SELECT 2"));
    alter(&mut rig);
    assert_eq!(rig.ask(0, &[parse("", "SELECT 1"), run("b")].concat()), "1 E0A000 ZI");
    assert_eq!(rig.ask(0, &run("b")), "2 D D C ZI");
}

#[test]
fn where_a_statement_is_not_there_the_server_is_asked_what_it_returns() {
    for block in [false, true] {
        let mut rig = Rig::new(Mode::Pooled, &[&[], &[]], 2, 10);
        rig.ask(0, &[parse("a", "SELECT 1"), describe('S', "a"), sync(), run("a")].concat());
        // The same rows, and then others, on the other server.
        rig.turn = 1;
        assert_eq!(rig.ask(0, &run("a")), "2 D C ZI");
        rig.servers[1].model.forget_statements();
        rig.servers[1].session.cleaned();
        alter(&mut rig);
        rig.turn = 1;
        let idle = if block { "ZE" } else { "ZI" };
        if block {
            rig.ask(0, &query("BEGIN"));
        }
        assert_eq!(rig.ask(0, &run("a")), format!("E0A000 {idle}"));
        if block {
            rig.ask(0, &query("ROLLBACK"));
        }
        rig.turn = 1;
        assert_eq!(rig.ask(0, &run("a")), "E0A000 ZI");
        let portal = [bind("", "a", &[]), describe('P', ""), execute("", 0), sync()].concat();
        rig.turn = 1;
        assert_eq!(rig.ask(0, &portal), "2 T D C ZI", "it is told");
        assert_eq!(rig.ask(0, &run("a")), "2 D C ZI");
    }
}

#[test]
fn another_search_path_outdates_nothing_for_others() {
    let mut rig = Rig::new(Mode::Pooled, &[&[], &[]], 1, 10);
    for (client, name) in [(0, "a"), (1, "b")] {
        rig.ask(client, &[prepare(name, "SELECT 1"), run(name)].concat());
    }
    rig.ask(0, &query("SET search_path TO two"));
    alter(&mut rig); // as if the table were another one there
    assert_eq!(rig.ask(0, &run("a")), "E0A000 ZI");
    rig.servers[0].model.shape -= 1;
    assert_eq!(rig.ask(1, &run("b")), "2 D C ZI");
    rig.ask(0, &query("SET search_path TO public"));
    assert_eq!(rig.ask(0, &run("a")), "2 D C ZI", "and here it is as it was");
}

#[test]
fn clients_names_never_reach_another_statement() {
    let mut rig = Rig::new(Mode::Pooled, &[&[], &[]], 1, 10);
    assert_eq!(rig.ask(0, &prepare("secret", "SELECT 1 secret")), "1 ZI");
    assert_eq!(rig.servers[0].model.prepared(), ["howdah_1"]);
    for name in ["howdah_1", "howdah_2", "howdah_", "howdah_gone"] {
        let frames = [describe('S', name), sync(), run(name), close('S', name), sync()];
        assert_eq!(rig.ask(1, &frames.concat()), "E26000 ZI E26000 ZI 3 ZI", "{name}");
    }
    assert_eq!(rig.ask(1, &query("DEALLOCATE howdah_gone")), "E26000 ZI");
    // Its own statement of that name is its own.
    assert_eq!(rig.ask(1, &[prepare("howdah_1", "SELECT 2"), run("howdah_1")].concat()), "1 ZI 2 D D C ZI");
    assert_eq!(rig.ask(0, &run("secret")), "2 D C ZI");
    // Nor does an unnamed statement of the one serve the other.
    assert_eq!(rig.ask(0, &prepare("", "SELECT 1 secret")), "1 ZI");
    assert_eq!(rig.ask(1, &run("")), "E26000 ZI");
    assert_eq!(rig.ask(1, &[describe('S', ""), sync()].concat()), "E26000 ZI");
    assert_eq!(rig.ask(0, &run("")), "2 D C ZI");
}

#[test]
fn errors_name_statements_as_the_client_does() {
    let mut rig = Rig::one(10);
    rig.ask(0, &prepare("mine", "SELECT 1"));
    rig.send(0, &[bind("", "mine", &["too much"]), sync()].concat());
    rig.settle();
    let messages = rig.take(0);
    let text = String::from_utf8_lossy(&messages[0].1);
    assert!(text.contains("\"mine\"") && !text.contains("howdah"), "{text}");
}

#[test]
fn deallocate_and_discard_act_on_the_clients_own_statements() {
    for all in ["DEALLOCATE ALL", "DISCARD ALL"] {
        for extended in [false, true] {
            let mut rig = Rig::new(Mode::Pooled, &[&[], &[]], 1, 10);
            rig.ask(0, &prepare("a", "SELECT 1"));
            rig.ask(1, &prepare("b", "SELECT 1"));
            let drop_all = if extended { unnamed(all) } else { query(all) };
            let answer = if extended { "1 2 C ZI" } else { "C ZI" };
            // What is behind it in the pipeline is prepared after it.
            let bytes = [drop_all, prepare("a", "SELECT 1"), run("a")].concat();
            assert_eq!(rig.ask(0, &bytes), format!("{answer} 1 ZI 2 D C ZI"), "{all}");
            assert_eq!(rig.clients[0].front.statements(), 1);
            assert_eq!(rig.ask(1, &run("b")), "2 D C ZI", "the other's lives on, prepared again");
        }
    }
    let mut rig = Rig::new(Mode::Pooled, &[&[], &[]], 1, 10);
    for extended in [false, true] {
        rig.ask(0, &prepare("a", "SELECT 1"));
        rig.ask(1, &prepare("b", "SELECT 1"));
        let one = if extended { unnamed("DEALLOCATE a") } else { query("DEALLOCATE a") };
        assert!(rig.ask(0, &one).ends_with("C ZI"));
        assert_eq!(rig.ask(0, &run("a")), "E26000 ZI");
        assert!(rig.ask(0, &one).ends_with("E26000 ZI"));
        assert_eq!(rig.ask(1, &[run("b"), close('S', "b"), sync()].concat()), "2 D C ZI 3 ZI");
    }
}

#[test]
fn what_clients_asked_for_survives_a_discard_all() {
    let mut rig = Rig::new(Mode::Pooled, &[&[("TimeZone", "Venus"), ("application_name", "me")]], 1, 10);
    assert_eq!(rig.ask(0, &query("SELECT 1")), "T D C ZI");
    assert_eq!(rig.servers[0].model.setting("TimeZone"), "Venus");
    assert_eq!(rig.ask(0, &query("SET TimeZone TO Mars")), "C S ZI");
    rig.send(0, &query("DISCARD ALL"));
    rig.settle();
    let messages = rig.take(0);
    assert_eq!(words(&messages), "C S ZI");
    assert_eq!(messages[1].1, b"TimeZone\0Venus\0");
    assert_eq!(rig.clients[0].front.settings().get("application_name"), Some("me"));
    assert_eq!(rig.ask(0, &query("SELECT 1")), "T D C ZI");
    assert_eq!(rig.servers[0].model.setting("TimeZone"), "Venus");
    assert_eq!(rig.servers[0].model.setting("application_name"), "me");
}

#[test]
fn a_skipped_deallocate_all_holds_nothing_up() {
    let mut rig = Rig::one(10);
    rig.ask(0, &prepare("a", "SELECT 1"));
    rig.send(0, &[bind("", "missing", &[]), query("DEALLOCATE ALL"), sync(), run("a")].concat());
    rig.settle();
    assert_eq!(words(&rig.take(0)), "E26000 ZI 2 D C ZI");
}

#[test]
fn a_second_parse_of_a_name_puts_no_other_text_under_a_shared_name() {
    let mut rig = Rig::new(Mode::Pooled, &[&[], &[]], 1, 1);
    rig.ask(0, &prepare("a", "SELECT 1"));
    rig.ask(0, &prepare("other", "SELECT 3")); // evicts it
    // Skipped, and prepared under the same name with another text, before anybody knows of the error.
    rig.send(0, &[bind("", "missing", &[]), bind("", "a", &[]), sync(), prepare("a", "SELECT 2")].concat());
    rig.settle();
    assert_eq!(words(&rig.take(0)), "E26000 ZI E42P05 ZI");
    rig.ask(1, &prepare("x", "SELECT 1"));
    assert_eq!(rig.ask(1, &run("x")), "2 D C ZI", "one row, not two");
    assert_eq!(rig.ask(0, &[parse("a", "syntax error"), sync()].concat()), "E42601 ZI");
}

#[test]
fn a_client_may_keep_so_many_statements_and_no_more() {
    let mut rig = Rig::one(10);
    for n in 0..MAX_CLIENT_STATEMENTS {
        assert_eq!(rig.ask(0, &prepare(&format!("s{n}"), "SELECT 1")), "1 ZI");
    }
    // In order, behind what is in flight, and the batch is skipped as with any error.
    let bytes = [run("s1"), parse("more", "SELECT 1"), bind("", "more", &[]), sync(), run("s2")].concat();
    assert_eq!(rig.ask(0, &bytes), "2 D C ZI E54000 ZI 2 D C ZI");
    let close_one = [close('S', "s1"), sync(), prepare("more", "SELECT 1")].concat();
    assert_eq!(rig.ask(0, &close_one), "3 ZI 1 ZI");
}

#[test]
fn a_million_statements_leave_nothing_behind() {
    let mut client = ClientSession::new(Mode::Pooled, Arc::default());
    let mut server = ServerSession::new(20);
    let table = super::rig::Table::default();
    let (mut out, mut replies) = (Vec::new(), Vec::new());
    for n in 0..1_000_000_u32 {
        for frame in [parse("s", &format!("SELECT {n}")), close('S', "s")] {
            client.with_server(&mut server, &frame, frame.len(), &mut out, &mut replies, &table).unwrap();
        }
        while let Some(head) = server.expect.front() {
            let tag = if head.kind == Kind::Close { back::CLOSE_COMPLETE } else { back::PARSE_COMPLETE };
            server.on_backend(&mut client, tag, &[]).unwrap();
            server.own_replies(&mut replies);
        }
        out.clear();
        replies.clear();
        if n % 1000 == 0 {
            table.sweep();
        }
    }
    table.sweep();
    assert_eq!((client.statements(), server.prepared(), table.len()), (0, 20, 20));
    server.rest();
    assert!(server.expect.capacity() <= 256 && server.replay.capacity() <= 8 << 10);
}

#[test]
fn named_statements_are_refused_where_none_are_kept() {
    let mut rig = Rig::new(Mode::PooledWithoutStatements, &[&[]], 1, 0);
    let batch = [parse("a", "SELECT 1"), bind("", "a", &[]), sync(), unnamed("SELECT 1")].concat();
    assert_eq!(rig.ask(0, &batch), "E0A000 ZI 1 2 D C ZI");
}

#[test]
fn in_session_mode_names_pass_as_they_are() {
    let mut rig = Rig::new(Mode::Exclusive, &[&[]], 1, 10);
    rig.ask(0, &query("BEGIN"));
    assert_eq!(rig.ask(0, &[prepare("a", "SELECT 1"), run("a")].concat()), "1 ZT 2 D C ZT");
    assert_eq!(rig.servers[0].model.prepared(), ["a"]);
}

#[test]
fn the_preamble_is_only_the_difference() {
    let startups: [&[(&str, &str)]; 2] = [
        &[("TimeZone", "Mars"), ("application_name", "x")],
        &[("TimeZone", "Venus"), ("application_name", "x")],
    ];
    let mut rig = Rig::new(Mode::Pooled, &startups, 1, 10);
    assert_eq!(rig.ask(0, &query("SELECT 1")), "T D C ZI");
    let executed = |rig: &mut Rig| {
        let frames = std::mem::take(&mut rig.servers[0].model.log);
        assert_eq!(frames.len(), 1, "in one write with the query: {frames:?}");
        frames.concat().matches("SET SESSION ").count()
    };
    assert_eq!(executed(&mut rig), 2);
    assert_eq!(rig.ask(0, &query("SELECT 1")), "T D C ZI");
    assert_eq!(executed(&mut rig), 0, "nothing differs");
    assert_eq!(rig.ask(1, &query("SHOW TimeZone")), "T D C ZI");
    assert_eq!(executed(&mut rig), 1, "TimeZone alone");
    assert_eq!(rig.servers[0].model.setting("TimeZone"), "Venus");
}

#[test]
fn a_preamble_that_fails_refuses_the_frame_and_changes_nothing() {
    let mut rig = Rig::new(Mode::Pooled, &[&[("TimeZone", "Mars")]], 1, 10);
    rig.send(0, &run("a"));
    let error = b"SERROR\0VERROR\0C22023\0Mno such time zone\0\0";
    let mut bytes = Vec::new();
    crate::wire::frame(&mut bytes, back::ERROR, |out| out.extend_from_slice(error));
    rig.servers[0].model.out.clear();
    rig.pass(0, &bytes).unwrap();
    assert!(rig.servers[0].session.is_preparing(), "until its ReadyForQuery");
    rig.pass(0, &[back::READY, 0, 0, 0, 5, b'I']).unwrap();
    assert_eq!(words(&rig.take(0)), "E22023 ZI", "the error, and the answer to the batch's Sync");
    assert!(rig.servers[0].session.settings().is_empty());
}

#[test]
fn reported_settings_follow_the_client() {
    let mut rig = Rig::new(Mode::Pooled, &[&[]], 2, 10);
    assert_eq!(rig.ask(0, &query("SET TimeZone TO Mars")), "C S ZI");
    assert_eq!(rig.clients[0].front.settings().get("TimeZone"), Some("Mars"));
    assert_eq!(rig.ask(0, &query("SELECT 1")), "T D C ZI", "its preamble is not seen");
    assert_eq!(rig.servers[1].model.setting("TimeZone"), "Mars");
    // In a transaction that fails it goes back, and the client hears of it.
    assert_eq!(rig.ask(0, &query("BEGIN")), "C ZT");
    assert_eq!(rig.ask(0, &query("SET TimeZone TO Venus")), "C S ZT");
    assert_eq!(rig.ask(0, &query("ROLLBACK")), "C S ZI");
    assert_eq!(rig.clients[0].front.settings().get("TimeZone"), Some("Mars"));
}

#[test]
fn copy_with_an_early_sync() {
    let begin = [parse("", "COPY t FROM STDIN"), bind("", "", &[]), execute("", 0)].concat();
    let data = copy_data("1\n");
    let done = bare(front::COPY_DONE);
    let after = unnamed("SELECT 1");
    // Sent before anybody knows that there is a COPY; Postgres ignores the first Sync.
    let mut rig = Rig::one(10);
    let bytes = [begin.clone(), sync(), data.clone(), done.clone(), sync(), after.clone()].concat();
    assert_eq!(rig.ask(0, &bytes), "1 2 G C ZI 1 2 D C ZI");
    // Sent when it is known.
    assert_eq!(rig.ask(0, &begin), "1 2 G");
    assert_eq!(rig.ask(0, &[sync(), data.clone(), sync()].concat()), "");
    assert!(rig.servers[0].session.reads_copy());
    assert_eq!(rig.ask(0, &[done.clone(), sync()].concat()), "C ZI");
    // The COPY fails: its data means nothing any more, and the early Sync is answered.
    let failing = [bind("", "missing", &[]), begin, sync(), data, done, sync(), after].concat();
    assert_eq!(rig.ask(0, &failing), "E26000 ZI ZI 1 2 D C ZI");
    assert!(rig.servers[0].session.is_free());
}

#[test]
fn without_a_server() {
    let mut client = ClientSession::new(Mode::Pooled, Arc::default());
    let mut replies = Vec::new();
    for (frame, reply) in [
        (sync(), "ZI"),
        (bare(front::FLUSH), ""),
        (close('S', "nothing"), "3"),
        (close('P', "nothing"), "3"),
        (copy_data("too late"), ""),
        (bare(front::COPY_DONE), ""),
    ] {
        client.without_server(&frame, &mut replies).unwrap();
        let seen = super::rig::cut(crate::wire::Side::Backend, &std::mem::take(&mut replies));
        assert_eq!(words(&seen), reply);
    }
    for frame in [bare(front::PASSWORD), [b"S\0\0\0\x05".as_slice(), b"x"].concat(), b"Q".to_vec()] {
        assert_eq!(client.without_server(&frame, &mut replies).unwrap_err().sqlstate, "08P01");
    }
}

#[test]
fn malformed_frames_end_the_connection() {
    let frame = |tag: u8, body: &[u8]| {
        let mut out = Vec::new();
        crate::wire::frame(&mut out, tag, |out| out.extend_from_slice(body));
        out
    };
    for bad in [
        frame(front::QUERY, b"SELECT 1"),
        frame(front::QUERY, b"SELECT 1\0\0"),
        frame(front::QUERY, b""),
        frame(front::PARSE, b"a\0SELECT 1\0\0\x02\0\0\0\x17"),
        frame(front::PARSE, b"a\0SELECT 1"),
        frame(front::BIND, b"a"),
        frame(front::DESCRIBE, b"Xa\0"),
        frame(front::DESCRIBE, b""),
        frame(front::CLOSE, b"Sa"),
        frame(front::SYNC, b"x"),
        frame(front::FLUSH, b"x"),
        frame(front::PASSWORD, b"x\0"),
    ] {
        let mut client = ClientSession::new(Mode::Pooled, Arc::default());
        let mut server = ServerSession::new(10);
        let (mut out, mut replies) = (Vec::new(), Vec::new());
        let table = super::rig::Table::default();
        let judged = client.with_server(&mut server, &bad, bad.len(), &mut out, &mut replies, &table);
        assert_eq!(judged.unwrap_err().sqlstate, "08P01", "{}", bad.escape_ascii());
    }
}

#[test]
fn replies_that_fit_nothing_are_violations() {
    let message = |tag: u8, body: &[u8]| {
        let mut out = Vec::new();
        crate::wire::frame(&mut out, tag, |out| out.extend_from_slice(body));
        out
    };
    let error = b"SERROR\0VERROR\0C22012\0Mx\0\0";
    // What is in flight, and what comes.
    let cases: [(Vec<u8>, Vec<u8>); 12] = [
        (query("SELECT 1"), message(back::PARSE_COMPLETE, b"")),
        (query("SELECT 1"), message(back::READY, b"X")),
        (query("SELECT 1"), message(back::READY, b"")),
        (query("SELECT 1"), message(back::AUTHENTICATION, &[0; 4])),
        (query("SELECT 1"), message(back::BACKEND_KEY_DATA, &[0; 8])),
        (parse("", "SELECT 1"), message(back::BIND_COMPLETE, b"")),
        (parse("", "SELECT 1"), message(back::READY, b"I")),
        (parse("", "SELECT 1"), message(back::DATA_ROW, &[0, 0])),
        (bind("", "", &[]), message(back::NO_DATA, b"")),
        (describe('P', ""), message(back::COMMAND_COMPLETE, b"SELECT 1\0")),
        (execute("", 0), message(back::PARAMETER_DESCRIPTION, &[0, 0])),
        (execute("", 0), message(back::CLOSE_COMPLETE, b"")),
    ];
    for (sent, answer) in cases {
        let mut rig = Rig::new(Mode::Exclusive, &[&[]], 1, 10);
        rig.send(0, &sent);
        rig.servers[0].model.out.clear();
        assert!(rig.pass(0, &answer).is_err(), "{} {}", sent.escape_ascii(), answer.escape_ascii());
    }
    // To nothing at all.
    for answer in [message(back::DATA_ROW, &[0, 0]), message(back::READY, b"I"), message(back::ERROR, error)]
    {
        let mut server = ServerSession::new(10);
        let judged = server.on_backend(&mut ClientSession::nobody(), answer[0], &answer[5..]);
        assert!(matches!(judged, Err(Violation(_))), "{}", answer.escape_ascii());
    }
}
