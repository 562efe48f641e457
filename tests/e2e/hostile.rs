//! Servers that break the protocol: the client gets a clear error, and a good database beside the bad one is
//! served as if nothing had happened.

use crate::support::fake::{
    command_complete, data_row, error_response, one_row, parameter_status, ready, row_description, welcome,
};
use crate::support::wire::{bind, execute, frame, lying_frame, parse, query, startup, sync, tags};
use crate::support::{
    Cluster, Config, Database, FakeBackend, FakeSession, Howdah, Message, PASSWORD, Version, Wire, wait_until,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A Howdah with the good database `good` and bad ones on fake servers, and a client of the good one.
struct Scene {
    howdah: Howdah,
    good: String,
    before: Wire,
}

impl Scene {
    /// `bad` gives a name, a port and lines for its section.
    fn new(good: &str, bad: &[(&str, u16, &str)]) -> Self {
        let database: Database<'_> = Cluster::shared(Version::V15).database(good);
        // Short, so that the clients of a server that cannot be used hear of it soon.
        let mut config = Config::simple(2, &database)
            .pool("server_connect_timeout = \"2s\"")
            .pool("server_login_retry = \"200ms\"");
        for (name, port, lines) in bad {
            config = config.server(name, *port, "bad", lines);
        }
        let howdah = config.start();
        let before = Wire::login(howdah.address(), "app", good);
        Self { howdah, good: good.to_owned(), before }
    }

    fn login(&self, database: &str) -> Wire {
        Wire::login(self.howdah.address(), "app", database)
    }

    /// The error with which a login to a bad database ends.
    #[track_caller]
    fn refused(&self, database: &str) -> Message {
        let parameters = [("user", "app"), ("database", database)];
        match Wire::try_login(self.howdah.address(), &parameters, PASSWORD) {
            Ok(_) => panic!("{database}: a client was let in"),
            Err(error) => error,
        }
    }

    #[track_caller]
    fn check(&mut self) {
        assert_eq!(self.before.value("SELECT 'before'"), "before");
        let mut after = self.login(&self.good);
        assert_eq!(after.value("SELECT 'after'"), "after");
    }
}

/// An error for a client whose server cannot be used: it says so, and nothing of the server's address.
#[track_caller]
fn unavailable(error: &Message, about: &str) {
    assert_eq!(error.sqlstate(), "57P03", "{about}: {error:?}");
    assert!(!format!("{error:?}").contains("127.0.0.1"), "{about}: {error:?}");
}

/// The end of a session whose server was lost in the middle.
#[track_caller]
fn lost(mut wire: Wire, about: &str) -> Message {
    let mut messages = wire.read_to_end();
    let error = messages.pop().unwrap_or_else(|| panic!("{about}: closed without a word"));
    assert_eq!((error.tag, error.sqlstate().as_str()), (b'E', "08006"), "{about}: {error:?}");
    error
}

/// A server that lets everybody in and answers every query with its own number, but for the queries for which
/// `bad` has something else; then it says nothing more until it is closed.
fn answering(bad: impl Fn(&str, usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> FakeBackend {
    FakeBackend::trusting(move |mut session, number| {
        while let Some(batch) = session.read_batch() {
            let answer = bad(&batch[0].text(), number);
            session.send(&answer.unwrap_or_else(|| one_row(&number.to_string())));
        }
    })
}

/// Takes everything up to the startup packet, without TLS. False when somebody only cancels or goes away.
fn take_startup(session: &mut FakeSession) -> bool {
    loop {
        let Some(packet) = session.read_startup() else { return false };
        match packet.first_chunk::<4>().map(|code| u32::from_be_bytes(*code)) {
            Some(80_877_103 | 80_877_104) => session.send(b"N"),
            Some(code) => return code >> 16 == 3,
            None => return false,
        }
    }
}

fn authentication(code: u32, rest: &[u8]) -> Vec<u8> {
    frame(b'R', &[&code.to_be_bytes(), rest].concat())
}

#[test]
fn bytes_behind_the_answer_to_an_ssl_request_never_reach_the_session() {
    // CVE-2021-43767: what comes in the clear with the `S` would be taken for the server's word.
    let plain = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&plain);
    let fake = FakeBackend::start(move |mut session, _| {
        let Some(packet) = session.read_startup() else { return };
        if packet != 80_877_103_u32.to_be_bytes() {
            seen.fetch_add(1, Ordering::SeqCst);
            return;
        }
        session.send(&[b"S", welcome().as_slice(), &one_row("injected")].concat());
        session.stay_silent();
    });
    let tls = |mode: &str| format!("[databases.{mode}.tls]\nmode = \"{mode}\"");
    let lines = [tls("require"), tls("prefer")];
    let bad = [("require", fake.port, lines[0].as_str()), ("prefer", fake.port, lines[1].as_str())];
    let mut scene = Scene::new("hostile_tls", &bad);
    unavailable(&scene.refused("require"), "require");
    assert_eq!(plain.load(Ordering::SeqCst), 0, "no login in the clear");
    unavailable(&scene.refused("prefer"), "prefer");
    scene.check();
}

#[test]
fn a_server_may_say_something_behind_its_first_ready_for_query() {
    // A setting changes, by a reload of its configuration for instance; or it says something.
    let fake = FakeBackend::start(|mut session, number| {
        if !take_startup(&mut session) {
            return;
        }
        let notice = frame(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0");
        session.send(&[welcome(), notice, parameter_status("TimeZone", "Mars")].concat());
        while session.read_batch().is_some() {
            session.send(&one_row(&number.to_string()));
        }
    });
    let howdah = Config::new(1).server("app", fake.port, "app", "").user("app").start();
    let mut wire = Wire::login(howdah.address(), "app", "app");
    assert_eq!(wire.value("SELECT"), "0");
    assert_eq!(wire.parameters["TimeZone"], "Mars");
}

#[test]
fn an_answer_to_an_ssl_request_that_is_neither_yes_nor_no_is_refused() {
    let fake = FakeBackend::start(|mut session, _| {
        session.read_startup();
        // What a server older than SSLRequest would send.
        session.send(&error_response(&[(b'S', "FATAL"), (b'C', "0A000"), (b'M', "what?")]));
        session.stay_silent();
    });
    let mut scene = Scene::new("hostile_ssl_answer", &[("bad", fake.port, "")]);
    unavailable(&scene.refused("bad"), "E to SSLRequest");
    scene.check();
}

/// A server whose first SCRAM message is made of the client's nonce.
fn scram_server(first: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> FakeBackend {
    FakeBackend::start(move |mut session, _| {
        if !take_startup(&mut session) {
            return;
        }
        session.send(&authentication(10, b"SCRAM-SHA-256\0\0"));
        let Some(initial) = session.read() else { return };
        let text = String::from_utf8_lossy(&initial.body).into_owned();
        let nonce = text.split("r=").nth(1).unwrap_or_default().to_owned();
        session.send(&authentication(11, &first(&nonce)));
        session.read();
        // Whatever the client proved, no proof of the server's own comes.
        session.send(&authentication(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
        session.send(&welcome());
        session.stay_silent();
    })
}

#[test]
fn scram_messages_of_a_server_are_bounded_and_checked() {
    const SALT: &str = "c2FsdHNhbHRzYWx0c2FsdA==";
    type First = Box<dyn Fn(&str) -> Vec<u8> + Send + Sync>;
    fn text(format: impl Fn(&str) -> String + Send + Sync + 'static) -> First {
        Box::new(move |nonce| format(nonce).into_bytes())
    }
    let cases: Vec<(&str, First)> = vec![
        ("iterations0", text(|n| format!("r={n}server,s={SALT},i=0"))),
        ("negative", text(|n| format!("r={n}server,s={SALT},i=-1"))),
        ("too_many", text(|n| format!("r={n}server,s={SALT},i=4294967295"))),
        ("no_number", text(|n| format!("r={n}server,s={SALT},i=many"))),
        // CVE-2026-6665.
        ("nonce_1mb", text(|n| format!("r={n}{},s={SALT},i=4096", "x".repeat(1 << 20)))),
        ("nonce_60kb", text(|n| format!("r={n}{},s={SALT},i=4096", "x".repeat(60_000)))),
        ("nonce_3kb", text(|n| format!("r={n}{},s={SALT},i=4096", "x".repeat(3000)))),
        ("nonce_ours", text(|n| format!("r={n},s={SALT},i=4096"))),
        ("nonce_other", text(|_| format!("r=other,s={SALT},i=4096"))),
        ("no_salt", text(|n| format!("r={n}server,s=,i=4096"))),
        ("bad_salt", text(|n| format!("r={n}server,s=???,i=4096"))),
        ("long_salt", text(|n| format!("r={n}server,s={},i=4096", "AAAA".repeat(800)))),
        ("empty", text(|_| String::new())),
        ("not_utf8", Box::new(|_| b"r=\xff\xfe,s=AA==,i=1".to_vec())),
        // All fine but for the last message: the server does not know the password.
        ("no_proof", text(|n| format!("r={n}server,s={SALT},i=4096"))),
    ];
    let fakes: Vec<(&str, FakeBackend)> =
        cases.into_iter().map(|(name, first)| (name, scram_server(first))).collect();
    let bad: Vec<(&str, u16, &str)> = fakes.iter().map(|(name, fake)| (*name, fake.port, "")).collect();
    let mut scene = Scene::new("hostile_scram", &bad);
    for (name, _) in &fakes {
        unavailable(&scene.refused(name), name);
    }
    scene.check();
}

#[test]
fn an_error_without_sqlstate_at_login_is_no_crash() {
    // CVE-2026-6666, and other errors with fields left out.
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("only_message", error_response(&[(b'M', "I say no")])),
        ("no_sqlstate", error_response(&[(b'S', "FATAL"), (b'M', "I say no")])),
        ("nothing", error_response(&[])),
        ("no_terminator", frame(b'E', b"SFATAL\0C28P0")),
        ("empty", frame(b'E', b"")),
        ("long_sqlstate", error_response(&[(b'S', "FATAL"), (b'C', &"9".repeat(5000)), (b'M', "no")])),
        ("not_utf8", frame(b'E', b"SFATAL\0C\xff\xfe\xff\xfe\xff\0M\xc3\x28\0\0")),
    ];
    let fakes: Vec<(&str, FakeBackend)> = cases
        .into_iter()
        .map(|(name, error)| {
            let fake = FakeBackend::start(move |mut session, _| {
                if take_startup(&mut session) {
                    session.send(&error);
                }
            });
            (name, fake)
        })
        .collect();
    let bad: Vec<(&str, u16, &str)> = fakes.iter().map(|(name, fake)| (*name, fake.port, "")).collect();
    let mut scene = Scene::new("hostile_login_error", &bad);
    for (name, _) in &fakes {
        unavailable(&scene.refused(name), name);
    }
    scene.check();
}

#[test]
fn an_error_without_sqlstate_in_a_query_is_passed_on() {
    let errors: Vec<Vec<u8>> = vec![
        error_response(&[(b'M', "I say no")]),
        error_response(&[(b'S', "ERROR"), (b'M', "I say no")]),
        error_response(&[]),
    ];
    let bytes = errors.clone();
    let fake = answering(move |text, _| {
        let number: usize = text.strip_prefix("error ")?.parse().ok()?;
        Some([bytes[number].clone(), ready(b'I')].concat())
    });
    let mut scene = Scene::new("hostile_query_error", &[("bad", fake.port, "")]);
    let mut wire = scene.login("bad");
    for (number, error) in errors.iter().enumerate() {
        let answer = wire.query(&format!("error {number}"));
        assert_eq!(tags(&answer), "EZ");
        assert_eq!(answer[0].body, error[5..]);
        assert_eq!(wire.value("SELECT"), "0", "on the same server connection");
    }
    scene.check();
}

#[test]
fn a_fatal_error_in_a_query_is_a_lost_connection() {
    let errors: Vec<Vec<u8>> = vec![
        error_response(&[
            (b'S', "FATAL"),
            (b'V', "FATAL"),
            (b'C', "57P01"),
            (b'M', "terminating connection due to administrator command"),
        ]),
        error_response(&[(b'S', "FATAL"), (b'M', "without a code")]),
        error_response(&[(b'S', "PANIC"), (b'C', "XX000"), (b'M', "all is lost")]),
    ];
    let bytes = errors.clone();
    let fake = FakeBackend::trusting(move |mut session, number| {
        while let Some(batch) = session.read_batch() {
            match batch[0].text().strip_prefix("fatal ") {
                Some(which) => {
                    let rows = [row_description("value"), data_row("half")].concat();
                    session.send(&[rows, bytes[which.parse::<usize>().unwrap()].clone()].concat());
                    return;
                }
                None => session.send(&one_row(&number.to_string())),
            }
        }
    });
    let mut scene = Scene::new("hostile_fatal", &[("bad", fake.port, "")]);
    for which in 0..errors.len() {
        let mut other = scene.login("bad");
        let mut wire = scene.login("bad");
        wire.send(&[query(&format!("fatal {which}"))]);
        let rows = [wire.read(), wire.read()];
        assert_eq!(tags(&rows), "TD", "what came before it is passed on");
        let error = lost(wire, "FATAL");
        if which == 0 {
            assert!(error.field(b'D').unwrap().contains("57P01"), "{error:?}");
        }
        assert_eq!(tags(&other.query("SELECT")), "TDCZ", "another client gets another connection");
    }
    scene.check();
}

#[test]
fn messages_that_nobody_asked_for_end_the_connection() {
    let answer = || one_row("1");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("CommandComplete behind the answer", [answer(), command_complete("SELECT 1")].concat()),
        ("ReadyForQuery twice", [answer(), ready(b'I')].concat()),
        ("ParseComplete to a Query", [frame(b'1', b""), answer()].concat()),
        ("BindComplete in the middle", [row_description("a"), frame(b'2', b""), ready(b'I')].concat()),
        ("CloseComplete behind the answer", [answer(), frame(b'3', b"")].concat()),
        ("a row behind the answer", [answer(), data_row("smuggled")].concat()),
        ("a whole answer more", [answer(), answer()].concat()),
        (
            "an error behind the answer",
            [answer(), error_response(&[(b'S', "ERROR"), (b'C', "42601")])].concat(),
        ),
        ("ParameterDescription to a Query", [frame(b't', &[0, 0]), answer()].concat()),
        ("NoData to a Query", [frame(b'n', b""), answer()].concat()),
        ("an authentication request", [authentication(0, b""), answer()].concat()),
        ("another cancel key", [frame(b'K', &[0, 0, 0, 1, 9, 9, 9, 9]), answer()].concat()),
        ("NegotiateProtocolVersion", [frame(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]), answer()].concat()),
        ("CopyBothResponse", frame(b'W', &[0, 0, 0])),
        ("ReadyForQuery of a state that is none", [command_complete("X"), ready(b'?')].concat()),
        ("ReadyForQuery without a state", [command_complete("X"), frame(b'Z', b"")].concat()),
        ("FunctionCallResponse to a Query", [frame(b'V', &[0, 0, 0, 0]), ready(b'I')].concat()),
    ];
    let answers: Vec<Vec<u8>> = cases.iter().map(|(_, bytes)| bytes.clone()).collect();
    let fake = answering(move |text, _| {
        let number: usize = text.strip_prefix("case ")?.parse().ok()?;
        Some(answers[number].clone())
    });
    let mut scene = Scene::new("hostile_unasked", &[("bad", fake.port, "")]);
    for (number, (what, _)) in cases.iter().enumerate() {
        let mut other = scene.login("bad");
        assert_eq!(tags(&other.query("SELECT")), "TDCZ");
        let mut wire = scene.login("bad");
        wire.send(&[query(&format!("case {number}"))]);
        let error = lost(wire, what);
        assert!(!format!("{error:?}").contains("smuggled"), "{what}: {error:?}");
        let answer = other.query("SELECT");
        assert_eq!(tags(&answer), "TDCZ", "{what}: no byte of it reaches the next client");
        assert_ne!(answer[1].row(), [Some("smuggled".to_owned())], "{what}");
    }
    scene.check();
}

#[test]
fn what_came_before_the_offence_is_passed_on() {
    // The client may have waited for the end of its transaction: what is known of it must not get lost.
    let fake = answering(|text, _| match text {
        "unasked" => Some([one_row("whole"), command_complete("SELECT 1")].concat()),
        "no message" => Some([one_row("whole"), b"HTTP/1.1".to_vec()].concat()),
        _ => None,
    });
    let mut scene = Scene::new("hostile_before", &[("bad", fake.port, "")]);
    for what in ["unasked", "no message"] {
        let mut wire = scene.login("bad");
        assert_eq!(tags(&wire.query(what)), "TDCZ", "{what}");
        lost(wire, what);
    }
    scene.check();
}

#[test]
fn a_reply_to_the_wrong_message_of_a_batch_ends_the_connection() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("BindComplete first", [frame(b'2', b""), frame(b'1', b"")].concat()),
        ("ReadyForQuery at once", ready(b'I')),
        ("a row before BindComplete", [frame(b'1', b""), data_row("early")].concat()),
        (
            "CommandComplete twice",
            [frame(b'1', b""), frame(b'2', b""), command_complete("SELECT 0"), command_complete("SELECT 0")]
                .concat(),
        ),
        (
            "an error and no end of the batch",
            [error_response(&[(b'S', "ERROR"), (b'C', "42601"), (b'M', "no")]), frame(b'1', b"")].concat(),
        ),
    ];
    let answers: Vec<Vec<u8>> = cases.iter().map(|(_, bytes)| bytes.clone()).collect();
    // Each statement's parameter names its case.
    let fake = FakeBackend::trusting(move |mut session, _| {
        while let Some(batch) = session.read_batch() {
            let bind = batch.iter().find(|message| message.tag == b'B');
            match bind.and_then(|bind| bind.body.iter().find(|byte| byte.is_ascii_alphabetic())) {
                Some(letter) => session.send(&answers[usize::from(letter - b'a')]),
                None => session.send(&one_row("fine")),
            }
        }
    });
    let mut scene = Scene::new("hostile_batch", &[("bad", fake.port, "")]);
    for (number, (what, _)) in cases.iter().enumerate() {
        let mut other = scene.login("bad");
        let mut wire = scene.login("bad");
        let letter = char::from(b'a' + number as u8).to_string();
        wire.send(&[parse("", "SELECT $1"), bind("", "", &[Some(&letter)]), execute("", 0), sync()]);
        lost(wire, what);
        assert_eq!(other.value("SELECT"), "fine", "{what}");
    }
    scene.check();
}

#[test]
fn bytes_that_come_while_a_connection_rests_make_it_unusable() {
    for late in [
        command_complete("SELECT 1"),
        ready(b'I'),
        one_row("smuggled"),
        error_response(&[(b'S', "ERROR"), (b'C', "42601"), (b'M', "late")]),
        frame(b'?', b""),
    ] {
        let (sent, go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (is_sent, may_go, bytes) = (Arc::clone(&sent), Arc::clone(&go), late.clone());
        let fake = FakeBackend::trusting(move |mut session, number| {
            while session.read_batch().is_some() {
                session.send(&one_row(&format!("connection {number}")));
                if number == 0 {
                    wait_until("the client has its answer", || may_go.load(Ordering::SeqCst));
                    session.send(&bytes);
                    is_sent.store(true, Ordering::SeqCst);
                }
            }
        });
        let mut scene = Scene::new("hostile_late", &[("bad", fake.port, "")]);
        let mut wire = scene.login("bad");
        assert_eq!(wire.value("SELECT"), "connection 0");
        go.store(true, Ordering::SeqCst);
        wait_until("it is sent", || sent.load(Ordering::SeqCst));
        assert_eq!(wire.value("SELECT"), "connection 1", "{}", late.escape_ascii());
        scene.check();
    }
}

#[test]
fn messages_that_a_server_may_send_at_any_time_are_no_offence() {
    let fake = answering(|text, _| {
        let notice = frame(b'N', b"SNOTICE\0C00000\0Mhello\0\0");
        let notification = frame(b'A', b"\0\0\0\x07channel\0payload\0");
        let status = parameter_status("TimeZone", "Asia/Tokyo");
        let around = [notice, notification, status].concat();
        let parts = [row_description("a"), data_row("kept"), command_complete("SELECT 1"), ready(b'I')];
        let answer: Vec<u8> = parts.iter().flat_map(|part| [around.as_slice(), part].concat()).collect();
        (text == "any time").then_some(answer)
    });
    let mut scene = Scene::new("hostile_async", &[("bad", fake.port, "")]);
    let mut wire = scene.login("bad");
    let answer = wire.query("any time");
    // A value is told once, and what a pooled connection is notified of is nobody's.
    assert_eq!(tags(&answer), "NSTNDNCNZ");
    assert_eq!(wire.parameters["TimeZone"], "Asia/Tokyo");
    scene.check();
}

#[test]
fn lengths_that_lie_end_the_connection() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("0", lying_frame(b'D', 0, b"")),
        ("3", lying_frame(b'D', 3, b"")),
        ("-1", lying_frame(b'D', u32::MAX, b"")),
        ("2 GiB", lying_frame(b'D', 0x8000_0000, b"")),
        ("one below 2 GiB", lying_frame(b'D', 0x7fff_ffff, b"")),
        ("1 GiB", lying_frame(b'D', 0x4000_0000, b"")),
        ("a ReadyForQuery of 1 MB", lying_frame(b'Z', 1 << 20, b"I")),
        ("a ParameterStatus of 1 MB", lying_frame(b'S', 1 << 20, b"a\0b\0")),
        ("a ParseComplete of 20 kB", lying_frame(b'1', 20_000, b"")),
        ("an unknown type", frame(b'?', b"")),
        ("a NUL type", vec![0; 64]),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        // The next bytes are read as a message, and are none.
        ("longer than it says", [lying_frame(b'T', 6, &[0, 0]), b"\xff\xff\xff".to_vec()].concat()),
    ];
    let answers: Vec<Vec<u8>> = cases.iter().map(|(_, bytes)| bytes.clone()).collect();
    let fake = answering(move |text, _| {
        let number: usize = text.strip_prefix("case ")?.parse().ok()?;
        Some(answers[number].clone())
    });
    let mut scene = Scene::new("hostile_lengths", &[("bad", fake.port, "")]);
    for (number, (what, _)) in cases.iter().enumerate() {
        let mut other = scene.login("bad");
        assert_eq!(tags(&other.query("SELECT")), "TDCZ");
        let mut wire = scene.login("bad");
        wire.send(&[query(&format!("case {number}"))]);
        lost(wire, what);
        assert_eq!(tags(&other.query("SELECT")), "TDCZ", "{what}");
    }
    scene.check();
}

#[test]
fn silence_in_the_middle_of_a_message_can_be_cancelled_and_left() {
    for (what, beginning) in [
        ("nothing", Vec::new()),
        ("half a header", b"D\0\0".to_vec()),
        ("half a row", [row_description("a"), lying_frame(b'D', 1000, b"\0\x01\0\0")].concat()),
        ("half an error", lying_frame(b'E', 1000, b"SERROR\0C4260")),
        ("half an end", lying_frame(b'Z', 5, b"")),
    ] {
        let cancels = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(AtomicUsize::new(0));
        let (keys, gone, bytes) = (Arc::clone(&cancels), Arc::clone(&closed), beginning.clone());
        let fake = FakeBackend::start(move |mut session, number| {
            let mut first = session.read_startup();
            if first.as_deref() == Some(&80_877_103_u32.to_be_bytes()) {
                session.send(b"N");
                first = session.read_startup();
            }
            let Some(packet) = first else { return };
            if packet.starts_with(&80_877_102_u32.to_be_bytes()) {
                keys.lock().unwrap().push(packet[4..].to_vec());
                return;
            }
            session.send(&welcome());
            while let Some(batch) = session.read_batch() {
                if batch[0].text() == "silence" {
                    session.send(&bytes);
                    session.stay_silent();
                    gone.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                session.send(&one_row(&number.to_string()));
            }
        });
        let mut scene = Scene::new("hostile_silence", &[("bad", fake.port, "")]);
        let mut other = scene.login("bad");
        let mut wire = scene.login("bad");
        wire.send(&[query("silence")]);
        assert_eq!(tags(&other.query("SELECT")), "TDCZ", "{what}: another client is not held up");
        // Sent again and again: the query may not have reached the server yet.
        wait_until("the server gets the cancel request", || {
            wire.cancel(scene.howdah.address());
            !cancels.lock().unwrap().is_empty()
        });
        assert_eq!(
            cancels.lock().unwrap()[0],
            [0, 0, 0, 42, 1, 2, 3, 4],
            "{what}: with the server's own key"
        );
        assert_eq!(closed.load(Ordering::SeqCst), 0, "{what}: a cancel closes nothing");
        drop(wire);
        wait_until("the server connection is closed", || closed.load(Ordering::SeqCst) == 1);
        assert_eq!(tags(&other.query("SELECT")), "TDCZ", "{what}");
        scene.check();
    }
}

#[test]
fn a_server_that_closes_in_the_middle_of_an_answer_is_a_lost_connection() {
    for (what, beginning) in [
        ("nothing", Vec::new()),
        ("half a header", b"D\0\0".to_vec()),
        ("half a row", [row_description("a"), lying_frame(b'D', 1000, b"\0\x01\0\0")].concat()),
        ("half an error", lying_frame(b'E', 1000, b"SERROR\0C4260")),
        ("a whole row", [row_description("a"), data_row("whole")].concat()),
        ("all but the end", [row_description("a"), data_row("whole"), command_complete("SELECT 1")].concat()),
    ] {
        let bytes = beginning.clone();
        let fake = FakeBackend::trusting(move |mut session, _| {
            while let Some(batch) = session.read_batch() {
                if batch[0].text() == "close" {
                    session.send(&bytes);
                    return;
                }
                session.send(&one_row("fine"));
            }
        });
        let mut scene = Scene::new("hostile_close", &[("bad", fake.port, "")]);
        let mut other = scene.login("bad");
        let mut wire = scene.login("bad");
        wire.send(&[query("close")]);
        if what.starts_with("half a row") || what.starts_with("half an error") {
            // A message that was begun cannot be taken back: the client sees the end of it, whatever it is.
            let mut end = Vec::new();
            drop(std::io::Read::read_to_end(&mut wire.stream, &mut end));
        } else {
            lost(wire, what);
        }
        assert_eq!(other.value("SELECT"), "fine", "{what}");
        scene.check();
    }
}

#[test]
fn a_login_that_breaks_the_protocol_is_refused() {
    let notice = frame(b'N', b"SNOTICE\0C00000\0Mhello\0\0");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("unknown_method", authentication(99, b"")),
        ("kerberos", authentication(2, b"")),
        ("gss", authentication(7, b"")),
        ("sspi", authentication(9, b"")),
        ("sasl_unknown", authentication(10, b"SCRAM-SHA-1\0\0")),
        ("sasl_nothing", authentication(10, b"")),
        ("md5_without_salt", authentication(5, b"abc")),
        ("half_a_method", frame(b'R', &[0, 0])),
        ("ready_at_once", ready(b'I')),
        ("rows_at_once", one_row("early")),
        ("cancel_key_too_short", [authentication(0, b""), frame(b'K', &[0, 0])].concat()),
        ("status_without_strings", [authentication(0, b""), frame(b'S', b"TimeZone")].concat()),
        ("ready_in_a_transaction", [authentication(0, b""), ready(b'T')].concat()),
        ("a_row_in_the_welcome", [authentication(0, b""), data_row("early")].concat()),
        ("more_behind_the_welcome", [welcome(), one_row("early")].concat()),
        ("lengths_that_lie", lying_frame(b'R', 3, &[0; 8])),
        ("2_gib", lying_frame(b'R', 0x7fff_ffff, &[0; 8])),
        ("1_mb", lying_frame(b'N', 1 << 20, &[b'x'; 1000])),
        ("negotiated_down", frame(b'v', &[0, 2, 0, 0, 0, 0, 0, 0])),
        ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("notices", notice.repeat(5000)),
        ("statuses", [authentication(0, b""), parameter_status("a", "b").repeat(5000)].concat()),
    ];
    let fakes: Vec<(&str, FakeBackend)> = cases
        .into_iter()
        .map(|(name, bytes)| {
            let fake = FakeBackend::start(move |mut session, _| {
                if take_startup(&mut session) {
                    session.send(&bytes);
                    session.stay_silent();
                }
            });
            (name, fake)
        })
        .collect();
    let bad: Vec<(&str, u16, &str)> = fakes.iter().map(|(name, fake)| (*name, fake.port, "")).collect();
    let mut scene = Scene::new("hostile_login", &bad);
    for (name, _) in &fakes {
        unavailable(&scene.refused(name), name);
    }
    scene.check();
}

#[test]
fn endless_notices_at_login_come_to_an_end() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let fake = FakeBackend::start(move |mut session, _| {
        let notice = frame(b'N', b"SNOTICE\0C00000\0Mhello\0\0").repeat(100);
        if take_startup(&mut session) {
            while std::io::Write::write_all(&mut session.stream, &notice).is_ok() {
                count.fetch_add(100, Ordering::SeqCst);
            }
        }
    });
    let mut scene = Scene::new("hostile_notices", &[("bad", fake.port, "")]);
    unavailable(&scene.refused("bad"), "endless notices");
    wait_until("the server has noticed", || {
        let before = sent.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        before > 0 && sent.load(Ordering::SeqCst) == before
    });
    scene.check();
}

#[test]
fn a_server_that_closes_at_any_stage_of_a_login_is_not_available() {
    type Script = fn(&mut FakeSession) -> Option<()>;
    let stages: Vec<(&str, Script)> = vec![
        ("at_once", |_| None),
        ("after_ssl_request", |session| session.read_startup().map(drop)),
        ("after_no", |session| {
            session.read_startup()?;
            session.send(b"N");
            None
        }),
        ("after_startup", |session| {
            take_startup(session);
            None
        }),
        ("after_half_a_request", |session| {
            take_startup(session);
            session.send(&authentication(10, b"SCRAM-SHA-256\0\0")[..7]);
            None
        }),
        ("after_the_request", |session| {
            take_startup(session);
            session.send(&authentication(10, b"SCRAM-SHA-256\0\0"));
            None
        }),
        ("after_the_first_answer", |session| {
            take_startup(session);
            session.send(&authentication(10, b"SCRAM-SHA-256\0\0"));
            session.read().map(drop)
        }),
        ("after_the_password", |session| {
            take_startup(session);
            session.send(&authentication(3, b""));
            session.read().map(drop)
        }),
        ("after_ok", |session| {
            take_startup(session);
            session.send(&authentication(0, b""));
            None
        }),
        ("before_ready", |session| {
            take_startup(session);
            let welcome = welcome();
            session.send(&welcome[..welcome.len() - 6]);
            None
        }),
    ];
    let fakes: Vec<(&str, FakeBackend)> = stages
        .into_iter()
        .map(|(name, script)| {
            (
                name,
                FakeBackend::start(move |mut session, _| {
                    script(&mut session);
                }),
            )
        })
        .collect();
    let bad: Vec<(&str, u16, &str)> = fakes.iter().map(|(name, fake)| (*name, fake.port, "")).collect();
    let mut scene = Scene::new("hostile_stages", &bad);
    for (name, fake) in &fakes {
        unavailable(&scene.refused(name), name);
        assert!(fake.connections() < 30, "{name}: no storm of attempts, but {}", fake.connections());
    }
    scene.check();
}

#[test]
fn a_server_that_is_silent_at_login_is_given_up() {
    let stages: Vec<(&str, Vec<u8>)> = vec![
        ("silent", Vec::new()),
        ("silent_in_a_message", authentication(10, b"SCRAM-SHA-256\0\0")[..7].to_vec()),
        ("silent_before_ready", {
            let welcome = welcome();
            welcome[..welcome.len() - 6].to_vec()
        }),
    ];
    let fakes: Vec<(&str, FakeBackend)> = stages
        .into_iter()
        .map(|(name, bytes)| {
            let fake = FakeBackend::start(move |mut session, _| {
                if take_startup(&mut session) {
                    session.send(&bytes);
                    session.stay_silent();
                }
            });
            (name, fake)
        })
        .collect();
    let bad: Vec<(&str, u16, &str)> = fakes.iter().map(|(name, fake)| (*name, fake.port, "")).collect();
    let mut scene = Scene::new("hostile_silent_login", &bad);
    // All at once: while they wait, the good database is served.
    let waiting: Vec<Wire> = fakes
        .iter()
        .map(|(name, _)| {
            let mut wire = Wire::open(scene.howdah.address());
            wire.send(&[startup(&[("user", "app"), ("database", name)])]);
            wire
        })
        .collect();
    scene.check();
    for (mut wire, (name, _)) in waiting.into_iter().zip(&fakes) {
        let error = wire.authenticate("app", PASSWORD).expect_err(name);
        unavailable(&error, name);
    }
    scene.check();
}
