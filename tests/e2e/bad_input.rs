//! What clients send that no client should: each is answered as the protocol has it, the connection is
//! closed where it must be, and nobody else notices.

use crate::support::wire::{
    bind, bind_formats, cancel_request, copy_data, copy_done, copy_fail, describe_statement, execute, flush,
    frame, gssenc_request, lying_frame, parse, password_message, query, ssl_request, startup, sync, tags,
    terminate,
};
use crate::support::{Cluster, Config, Database, Howdah, Message, PASSWORD, Version, Wire, wait_until};
use std::io::{ErrorKind, Read, Write};

/// A Howdah with one server connection, so that whatever is left on it would be met by the next client, and a
/// client that was there before.
struct Scene {
    database: Database<'static>,
    howdah: Howdah,
    before: Wire,
}

impl Scene {
    fn new(name: &str) -> Self {
        Self::with(name, |config| config)
    }

    fn with(name: &str, configure: impl Fn(Config) -> Config) -> Self {
        let database = Cluster::shared(Version::V15).database(name);
        database.query("CREATE TABLE kept (n int); GRANT ALL ON kept TO PUBLIC");
        let config = Config::simple(1, &database).user_with("app_trust", "auth_type = \"trust\"");
        let howdah = configure(config).start();
        let mut before = Wire::login(howdah.address(), "app", name);
        assert_eq!(before.value("SELECT 1"), "1");
        Self { database, howdah, before }
    }

    /// A connection on which nothing was sent.
    fn open(&self) -> Wire {
        Wire::open(self.howdah.address())
    }

    /// A client that is logged in.
    fn session(&self) -> Wire {
        Wire::login(self.howdah.address(), "app_trust", &self.database.name)
    }

    /// A connection that was asked for its password.
    fn asked_for_password(&self) -> Wire {
        let mut wire = self.open();
        wire.send(&[startup(&[("user", "app"), ("database", &self.database.name)])]);
        assert_eq!(wire.read().body[..4], [0, 0, 0, 10]);
        wire
    }

    /// The client from before works, a new one too, and nothing of others is left on the server.
    fn check(&mut self) {
        assert_eq!(self.before.value("SELECT 'before'"), "before");
        let mut after = Wire::login(self.howdah.address(), "app", &self.database.name);
        assert_eq!(after.value("SELECT count(*) FROM kept"), "0");
        assert_eq!(tags(&after.query("BEGIN")), "CZ");
        assert_eq!(after.value("SELECT count(*) FROM pg_prepared_statements WHERE name = 'left'"), "0");
        assert_eq!(tags(&after.query("COMMIT")), "CZ");
    }
}

/// Reads to the end of the connection: its last message must be this error.
#[track_caller]
fn refused(mut wire: Wire, sqlstate: &str, about: &dyn std::fmt::Debug) -> Message {
    let mut messages = wire.read_to_end();
    let error = messages.pop().unwrap_or_else(|| panic!("{about:?}: closed without a word"));
    assert_eq!((error.tag, error.sqlstate()), (b'E', sqlstate.to_owned()), "{about:?}: {error:?}");
    assert_eq!(error.field(b'V').as_deref(), Some("FATAL"), "{about:?}: {error:?}");
    assert!(messages.iter().all(|message| message.tag != b'E'), "{about:?}: {messages:?}");
    error
}

/// What a session may be in when the bad bytes come.
const PHASES: [(&str, &[&str]); 4] = [
    ("at rest", &[]),
    ("in a transaction", &["BEGIN; INSERT INTO kept VALUES (1)"]),
    ("in a failed transaction", &["BEGIN; INSERT INTO kept VALUES (1)", "SELECT 1/0"]),
    ("in a COPY", &["COPY kept FROM STDIN"]),
];

fn enter(session: &mut Wire, statements: &[&str]) {
    for sql in statements {
        session.send(&[query(sql)]);
        session.read_until(if sql.starts_with("COPY") { b'G' } else { b'Z' });
    }
}

#[test]
fn impossible_lengths_end_a_session_and_roll_back() {
    let mut scene = Scene::new("bad_lengths");
    let lengths: [(u32, &str); 7] = [
        (0, "08P01"),
        (3, "08P01"),
        (u32::MAX, "08P01"),
        (0x8000_0000, "08P01"),
        (0x8000_0004, "08P01"),
        (0x7fff_ffff, "54000"),
        (0x4000_0000, "54000"),
    ];
    for (phase, statements) in PHASES {
        for (length, sqlstate) in lengths {
            for tag in *b"QPXd" {
                let mut session = scene.session();
                enter(&mut session, statements);
                session.send(&[lying_frame(tag, length, b"SELECT 1\0")]);
                refused(session, sqlstate, &(phase, tag as char, length));
            }
        }
        scene.check();
    }
}

#[test]
fn messages_over_the_cap_of_their_type_end_a_session() {
    let mut scene = Scene::new("bad_caps");
    for tag in *b"CDEHSXc" {
        let mut session = scene.session();
        session.send(&[lying_frame(tag, 10_001, b"")]);
        refused(session, "54000", &(tag as char));
    }
    // A statement must be whole to be prepared on another connection: 16 MiB at most.
    let mut session = scene.session();
    session.send(&[lying_frame(b'P', (16 << 20) + 5, b"s\0SELECT")]);
    refused(session, "54000", &"a long Parse");
    scene.check();
}

#[test]
fn impossible_lengths_before_login_are_refused() {
    let mut scene = Scene::new("bad_login_lengths");
    for length in [0, 3, 4, 7, 10_001, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let mut wire = scene.open();
        wire.send(&[[&u32::to_be_bytes(length)[..], &[0, 3, 0, 0]].concat()]);
        refused(wire, "08P01", &length);
    }
    for (length, sqlstate) in [
        (0, "08P01"),
        (3, "08P01"),
        (u32::MAX, "08P01"),
        (0x8000_0000, "08P01"),
        (0x7fff_ffff, "54000"),
        (65_536, "54000"),
    ] {
        let mut wire = scene.asked_for_password();
        wire.send(&[lying_frame(b'p', length, b"SCRAM-SHA-256\0")]);
        refused(wire, sqlstate, &("password", length));
    }
    scene.check();
}

#[test]
fn unknown_message_types_end_a_session() {
    let mut scene = Scene::new("bad_types");
    for tag in (0..=u8::MAX).filter(|tag| !b"BCDEFHPQSXcdfp".contains(tag)) {
        let mut session = scene.session();
        // The type alone is enough: its length will not come to mean anything.
        session.send(&[vec![tag]]);
        refused(session, "08P01", &tag);
    }
    for (phase, statements) in PHASES {
        let mut session = scene.session();
        enter(&mut session, statements);
        session.send(&[frame(b'z', b"what")]);
        refused(session, "08P01", &phase);
    }
    scene.check();
}

#[test]
fn startup_packets_of_a_wrong_size_or_layout_are_refused() {
    let mut scene = Scene::new("bad_startup");
    let name = scene.database.name.clone();
    let base = [("user", "app"), ("database", name.as_str())];
    let long = |bytes: usize| {
        let shortest = startup(&[base[0], base[1], ("application_name", "")]).len();
        startup(&[base[0], base[1], ("application_name", &"x".repeat(bytes - shortest))])
    };
    for bytes in [10_001, 12_000, 100_000] {
        let mut wire = scene.open();
        drop(wire.try_send(&[long(bytes)]));
        refused(wire, "08P01", &bytes);
    }
    let whole = startup(&base);
    let shortened = |cut: usize| {
        let mut packet = whole[..whole.len() - cut].to_vec();
        let length = packet.len() as u32;
        packet[..4].copy_from_slice(&length.to_be_bytes());
        packet
    };
    let with_body = |body: &[u8]| [&(body.len() as u32 + 8).to_be_bytes()[..], &[0, 3, 0, 0], body].concat();
    let layouts: Vec<(&str, Vec<u8>)> = vec![
        ("no terminator", shortened(1)),
        ("no NUL behind the last value", shortened(2)),
        ("a name without a value", with_body(b"user\0app\0database\0\0")),
        ("nothing at all", with_body(b"")),
        ("bytes behind the terminator", with_body(b"user\0app\0\0more\0")),
        ("not UTF-8", with_body(b"user\0\xff\xfe\0\0")),
    ];
    for (what, packet) in layouts {
        let mut wire = scene.open();
        wire.send(&[packet]);
        refused(wire, "08P01", &what);
    }
    let mut wire = scene.open();
    wire.send(&[with_body(b"\0")]);
    refused(wire, "28000", &"no user");
    let mut wire = scene.open();
    wire.send(&[[&8_u32.to_be_bytes()[..], &[0, 2, 0, 0]].concat()]);
    refused(wire, "0A000", &"protocol 2.0");
    scene.check();

    let mut wire = scene.open();
    wire.send(&[long(10_000)]);
    wire.authenticate("app", PASSWORD).expect("10,000 bytes are allowed");
    assert_eq!(wire.value("SELECT length(current_setting('application_name'))"), "63");
}

#[test]
fn a_login_split_into_single_bytes_works() {
    let scene = Scene::new("bad_dribble");
    let mut wire = scene.open();
    wire.dribble(&[ssl_request()]);
    let mut answer = [0];
    wire.stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"N");
    wire.dribble(&[startup(&[("user", "app"), ("database", &scene.database.name)])]);
    wire.authenticate("app", PASSWORD).unwrap();
    wire.dribble(&[query("SELECT 'slowly'")]);
    assert_eq!(wire.read_until(b'Z')[1].row(), [Some("slowly".to_owned())]);
    wire.dribble(&[terminate()]);
    assert_eq!(wire.read_to_end(), []);
}

#[test]
fn a_query_without_its_nul_or_with_bytes_behind_it_ends_the_session() {
    let mut scene = Scene::new("bad_query");
    for (phase, statements) in &PHASES[..3] {
        for body in [&b""[..], b"SELECT 1", b"SELECT 1\0more", b"SELECT 1\0more\0", b"SELECT 1\0\0", b"\0\0"]
        {
            let mut session = scene.session();
            enter(&mut session, statements);
            session.send(&[frame(b'Q', body)]);
            refused(session, "08P01", &(phase, body.escape_ascii().to_string()));
        }
    }
    scene.check();
}

#[test]
fn a_malformed_message_of_a_batch_ends_the_session_and_leaves_nothing() {
    let mut scene = Scene::new("bad_parse");
    let parse_body = |tail: &[u8]| [b"left\0SELECT $1::int, $2::int\0", tail].concat();
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("Parse without a count", frame(b'P', &parse_body(b""))),
        ("Parse with half a count", frame(b'P', &parse_body(&[0]))),
        ("Parse with one type of two", frame(b'P', &parse_body(&[0, 2, 0, 0, 0, 23]))),
        ("Parse with half a type", frame(b'P', &parse_body(&[0, 1, 0, 0]))),
        ("Parse with 65,535 types and none there", frame(b'P', &parse_body(&[0xff, 0xff]))),
        ("Parse with more types than counted", frame(b'P', &parse_body(&[0, 0, 0, 0, 0, 23]))),
        ("Parse with an unterminated text", frame(b'P', b"left\0SELECT 1")),
        ("Parse with an unterminated name", frame(b'P', b"left")),
        ("Bind with an unterminated portal", frame(b'B', b"portal")),
        ("Bind with an unterminated statement", frame(b'B', b"\0left")),
        ("Describe of neither", frame(b'D', b"Xleft\0")),
        ("Describe of nothing", frame(b'D', b"")),
        ("Describe with an unterminated name", frame(b'D', b"Sleft")),
        ("Close with bytes behind the name", frame(b'C', b"Sleft\0more")),
        ("Sync with a body", frame(b'S', b"x")),
        ("Flush with a body", frame(b'H', b"x")),
    ];
    for (what, message) in &bad {
        // Alone; and behind good messages that are in flight already, with a transaction open.
        let mut session = scene.session();
        session.send(std::slice::from_ref(message));
        refused(session, "08P01", what);
        let mut session = scene.session();
        enter(&mut session, &["BEGIN; INSERT INTO kept VALUES (1)"]);
        session.send(&[parse("left", "SELECT 1"), bind("", "left", &[]), execute("", 0), message.clone()]);
        refused(session, "08P01", what);
    }
    scene.check();
}

#[test]
fn what_only_the_server_can_judge_is_its_own_error_and_the_session_goes_on() {
    let mut scene = Scene::new("bad_bind");
    let parameters: [Option<&str>; 1] = [Some("1")];
    let truncated = |cut: usize| {
        let whole = bind("", "s", &[Some("12")]);
        frame(b'B', &whole[5..whole.len() - cut])
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("more formats than parameters", bind_formats("", "s", &[0, 0, 0], &parameters, &[])),
        ("an unknown format", bind_formats("", "s", &[7], &parameters, &[])),
        ("fewer parameters than the statement has", bind("", "s", &[])),
        ("more parameters than the statement has", bind("", "s", &[Some("1"), Some("2")])),
        ("more result formats than columns", bind_formats("", "s", &[], &parameters, &[0, 0, 0])),
        ("without result formats", truncated(2)),
        ("half a parameter", truncated(3)),
        ("half a length", truncated(6)),
        ("no parameter at all", truncated(8)),
        ("a negative length", frame(b'B', b"\0s\0\0\0\0\x01\xff\xff\xff\xfe\0\0")),
        ("a length of 2 GiB", frame(b'B', b"\0s\0\0\0\0\x01\x7f\xff\xff\xff\0\0")),
        ("65,535 parameters and none there", frame(b'B', b"\0s\0\0\0\xff\xff")),
        ("a statement nobody prepared", bind("", "nobody", &[])),
    ];
    for (what, message) in cases {
        let run = |port: u16| {
            let mut wire = Wire::login(("127.0.0.1", port), "app", &scene.database.name);
            let prepared = wire.exchange(&[parse("s", "SELECT $1::int"), sync()]);
            assert_eq!(tags(&prepared), "1Z");
            let answer = wire.exchange(&[message.clone(), execute("", 0), sync()]);
            assert_eq!(tags(&answer), "EZ", "{what}: {answer:?}");
            assert_eq!(wire.value("SELECT 'goes on'"), "goes on");
            let again = wire.exchange(&[
                bind("", "s", &[Some("7")]),
                execute("", 0),
                describe_statement("s"),
                sync(),
            ]);
            assert_eq!(tags(&again), "2DCtTZ", "{what}: {again:?}");
            (answer[0].sqlstate(), answer[0].field(b'M'))
        };
        assert_eq!(run(scene.howdah.port), run(scene.database.cluster.port), "{what}");
    }
    scene.check();
}

#[test]
fn messages_in_the_wrong_phase() {
    let mut scene = Scene::new("bad_phase");
    let database = scene.database.name.clone();
    for (phase, statements) in PHASES {
        for message in [
            password_message(PASSWORD),
            startup(&[("user", "app"), ("database", &database)]),
            ssl_request(),
            cancel_request(&[0, 0, 0, 1, 0, 0, 0, 1]),
        ] {
            let mut session = scene.session();
            enter(&mut session, statements);
            session.send(&[message]);
            refused(session, "08P01", &phase);
        }
    }
    for message in [query("SELECT 1"), sync(), terminate(), copy_data(b"1\n")] {
        // In place of the startup packet, and of the password.
        let mut wire = scene.open();
        wire.send(&[message.clone(), vec![0; 16]]);
        refused(wire, "08P01", &"first");
        let mut wire = scene.asked_for_password();
        wire.send(&[message]);
        refused(wire, "08P01", &"for a password");
    }
    // As in Postgres: a client may still be sending its COPY when that has failed.
    let mut session = scene.session();
    session.send(&[copy_data(b"1\n"), copy_done(), copy_fail("no"), flush(), query("SELECT 1")]);
    assert_eq!(tags(&session.read_until(b'Z')), "TDCZ");
    scene.check();
}

#[test]
fn encryption_can_be_asked_for_once() {
    let mut scene = Scene::new("bad_ssl_twice");
    for request in [ssl_request(), gssenc_request()] {
        let mut wire = scene.open();
        let mut answer = [0];
        wire.send(std::slice::from_ref(&request));
        wire.stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"N");
        wire.send(&[request]);
        refused(wire, "08P01", &"twice");
    }
    scene.check();
}

#[test]
fn garbage_before_login_is_refused() {
    let mut scene = Scene::new("bad_garbage");
    let noise: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect();
    for garbage in [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        noise,
    ] {
        let mut wire = scene.open();
        wire.send(std::slice::from_ref(&garbage));
        refused(wire, "08P01", &garbage.escape_ascii().to_string());
    }
    // Cancel requests of keys that nobody has, or of no key, are closed without an answer, as in Postgres.
    let mut wire = scene.open();
    wire.send(&[cancel_request(&[0, 0, 0, 1, 9, 9, 9, 9])]);
    assert_eq!(wire.read_to_end(), []);
    scene.check();
}

#[test]
fn a_client_that_is_silent_before_login_is_closed_and_others_are_not() {
    let mut scene = Scene::with("bad_silent", |config| config.listen("client_login_timeout = \"1s\""));
    let mut idle = scene.session();
    let mut silent = vec![scene.open(), scene.open(), scene.asked_for_password()];
    silent[1].send(&[vec![0, 0, 0]]);
    for wire in &mut silent {
        assert_eq!(wire.read_to_end(), [], "closed without a word");
    }
    scene.howdah.wait_for_log("client_login_timeout");
    assert_eq!(idle.value("SELECT 'logged in in time'"), "logged in in time");
    scene.check();
}

#[test]
fn two_thousand_half_open_logins_stop_nobody() {
    let _ = rlimit::increase_nofile_limit(10_000);
    let mut scene = Scene::new("bad_half_open");
    let start = startup(&[("user", "app"), ("database", &scene.database.name)]);
    let half_open: Vec<Wire> = (0..2000)
        .map(|n| {
            let mut wire = scene.open();
            match n % 4 {
                0 => {}
                1 => wire.send(&[start[..3].to_vec()]),
                2 => wire.send(&[start[..start.len() - 1].to_vec()]),
                _ => wire.send(std::slice::from_ref(&start)),
            }
            wire
        })
        .collect();
    for _ in 0..10 {
        scene.check();
    }
    // Those that were slow may still go on.
    for (n, mut wire) in half_open.into_iter().enumerate().filter(|(n, _)| n % 100 == 2 || n % 100 == 3) {
        if n % 4 == 2 {
            wire.send(&[vec![0]]);
        }
        wire.authenticate("app", PASSWORD).unwrap();
        assert_eq!(wire.value("SELECT 'late'"), "late");
    }
    scene.check();
}

/// Up to the server's first SCRAM message: its nonce, salt and iterations as they came.
fn scram_begin(scene: &Scene) -> (Wire, String) {
    let mut wire = scene.asked_for_password();
    let first = b"n,,n=,r=abcdefghijklmnop";
    let mut body = b"SCRAM-SHA-256\0".to_vec();
    body.extend((first.len() as u32).to_be_bytes());
    body.extend(first);
    wire.send(&[frame(b'p', &body)]);
    let answer = wire.read();
    assert_eq!(answer.body[..4], [0, 0, 0, 11], "{answer:?}");
    let text = String::from_utf8(answer.body[4..].to_vec()).unwrap();
    let nonce = text.split(',').next().unwrap().strip_prefix("r=").unwrap().to_owned();
    assert!(nonce.starts_with("abcdefghijklmnop") && nonce.len() > 20, "{text}");
    (wire, nonce)
}

/// 32 bytes that prove nothing, in base64.
const NO_PROOF: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[test]
fn a_scram_client_final_that_does_not_fit_is_refused() {
    let mut scene = Scene::new("bad_scram_final");
    let (mut wire, nonce) = scram_begin(&scene);
    wire.send(&[frame(b'p', format!("c=biws,r={nonce},p={NO_PROOF}").as_bytes())]);
    refused(wire, "28P01", &"a wrong proof");
    type Last = Box<dyn Fn(&str) -> String>;
    let finals: Vec<(&str, Last)> = vec![
        ("another nonce", Box::new(|_| format!("c=biws,r=abcdefghijklmnopzzzzzzzz,p={NO_PROOF}"))),
        ("a longer nonce", Box::new(|nonce| format!("c=biws,r={nonce}x,p={NO_PROOF}"))),
        ("a shorter nonce", Box::new(|nonce| format!("c=biws,r={},p={NO_PROOF}", &nonce[..20]))),
        ("no nonce", Box::new(|_| format!("c=biws,p={NO_PROOF}"))),
        ("another channel binding", Box::new(|nonce| format!("c=eSws,r={nonce},p={NO_PROOF}"))),
        ("no proof", Box::new(|nonce| format!("c=biws,r={nonce}"))),
        ("a short proof", Box::new(|nonce| format!("c=biws,r={nonce},p=AAAA"))),
        ("a proof that is not base64", Box::new(|nonce| format!("c=biws,r={nonce},p=????"))),
        ("bytes behind the proof", Box::new(|nonce| format!("c=biws,r={nonce},p={NO_PROOF},x=y"))),
        ("half of it", Box::new(|_| "c=biws".to_owned())),
        ("one letter", Box::new(|_| "c".to_owned())),
        ("nothing", Box::new(|_| String::new())),
        ("a NUL", Box::new(|nonce| format!("c=biws,r={nonce},p={NO_PROOF}\0"))),
        ("60 kB", Box::new(|nonce| format!("c=biws,r={nonce},x={},p={NO_PROOF}", "x".repeat(60_000)))),
    ];
    for (what, last) in finals {
        let (mut wire, nonce) = scram_begin(&scene);
        wire.send(&[frame(b'p', last(&nonce).as_bytes())]);
        refused(wire, "08P01", &what);
    }
    scene.check();
}

#[test]
fn a_scram_client_final_of_10_mb_is_refused_by_its_length() {
    let mut scene = Scene::new("bad_scram_10mb");
    let (mut wire, _) = scram_begin(&scene);
    wire.send(&[lying_frame(b'p', 10 << 20, b"c=biws,r=")]);
    refused(wire, "54000", &"10 MB announced");
    let (mut wire, nonce) = scram_begin(&scene);
    let whole = frame(b'p', format!("c=biws,r={nonce},x={},p=AAAA", "x".repeat(10 << 20)).as_bytes());
    // It may be closed before all is written.
    drop(wire.try_send(&[whole]));
    drop(wire.read_to_end());
    scene.check();
}

#[test]
fn a_sasl_initial_response_that_lies_about_its_length_is_refused() {
    let mut scene = Scene::new("bad_sasl_initial");
    let first = b"n,,n=,r=abcdefghijklmnop";
    for length in [u32::MAX, 0x7fff_ffff, 0x8000_0000, 0, 1, first.len() as u32 - 1, first.len() as u32 + 1] {
        let mut wire = scene.asked_for_password();
        let body = [&b"SCRAM-SHA-256\0"[..], &length.to_be_bytes(), first].concat();
        wire.send(&[frame(b'p', &body)]);
        refused(wire, "08P01", &length);
    }
    let initial = |data: &[u8]| [&b"SCRAM-SHA-256\0"[..], &(data.len() as u32).to_be_bytes(), data].concat();
    let bodies: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "08P01"),
        (b"SCRAM-SHA-256".to_vec(), "08P01"),
        (b"SCRAM-SHA-256\0".to_vec(), "08P01"),
        (b"SCRAM-SHA-256\0\xff\xff\xff\xff".to_vec(), "08P01"),
        (b"SCRAM-SHA-256\0\0\0".to_vec(), "08P01"),
        (b"SCRAM-SHA-1\0\0\0\0\x03n,,".to_vec(), "08P01"),
        // Not offered in the clear.
        (b"SCRAM-SHA-256-PLUS\0\0\0\0\x03n,,".to_vec(), "08P01"),
        (initial(b""), "08P01"),
        (initial(b"n"), "08P01"),
        (initial(b"n,,"), "08P01"),
        (initial(b"n,,n="), "08P01"),
        (initial(b"n,,n=,r="), "08P01"),
        (initial(b"x,,n=,r=abcdefgh"), "08P01"),
        (initial(b"n,,m=ext,n=,r=abcdefgh"), "0A000"),
        (initial(b"n,a=postgres,n=,r=abcdefgh"), "0A000"),
        (initial(&[b"n,,n=,r=", &[b'x'; 60_000][..]].concat()), "08P01"),
        (format!("{PASSWORD}\0").into_bytes(), "08P01"),
    ];
    for (body, sqlstate) in bodies {
        let mut wire = scene.asked_for_password();
        wire.send(&[frame(b'p', &body)]);
        let shown: Vec<u8> = body.iter().copied().take(60).collect();
        refused(wire, sqlstate, &shown.escape_ascii().to_string());
    }
    scene.check();
}

#[test]
fn long_passwords_are_wrong_passwords() {
    let mut scene = Scene::with("bad_long_password", |config| {
        config.user_with("by_md5", &format!("password = \"{PASSWORD}\"\nauth_type = \"md5\""))
    });
    for length in [0, 1023, 1024, 1025, 4096, 60_000] {
        let mut wire = scene.open();
        wire.send(&[startup(&[("user", "by_md5"), ("database", &scene.database.name)])]);
        assert_eq!(wire.read().body[..4], [0, 0, 0, 5]);
        wire.send(&[password_message(&"x".repeat(length))]);
        refused(wire, "28P01", &length);
    }
    for body in [&b""[..], b"md5", b"a\0b\0"] {
        let mut wire = scene.open();
        wire.send(&[startup(&[("user", "by_md5"), ("database", &scene.database.name)])]);
        assert_eq!(wire.read().body[..4], [0, 0, 0, 5]);
        wire.send(&[frame(b'p', body)]);
        refused(wire, "08P01", &body.escape_ascii().to_string());
    }
    scene.check();
}

#[test]
fn out_of_file_descriptors_refuses_and_recovers() {
    let database = Cluster::shared(Version::V15).database("bad_files");
    let howdah = Config::simple(1, &database).start_with_files(64);
    let mut before = Wire::login(howdah.address(), "app", &database.name);
    assert_eq!(before.value("SELECT 1"), "1");

    let mut crowd: Vec<Wire> = (0..100).map(|_| Wire::open(howdah.address())).collect();
    howdah.wait_for_log("a connection could not be accepted");
    // Those that found no place are closed, not left to wait for ever.
    let closed = |wire: &mut Wire| {
        wire.stream.set_nonblocking(true).unwrap();
        let read = wire.stream.read(&mut [0]);
        wire.stream.set_nonblocking(false).unwrap();
        !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    wait_until("some are refused", || crowd.iter_mut().any(closed));
    assert_eq!(before.value("SELECT 'goes on'"), "goes on");

    crowd.clear();
    wait_until("new clients get in again", || {
        let mut wire = Wire::open(howdah.address());
        if wire.stream.write_all(&startup(&[("user", "app"), ("database", &database.name)])).is_err() {
            return false;
        }
        let Ok(Some(_)) = wire.try_read() else { return false };
        drop(wire);
        true
    });
    let mut after = Wire::login(howdah.address(), "app", &database.name);
    assert_eq!(after.value("SELECT 'recovered'"), "recovered");
    assert_eq!(before.value("SELECT 'still there'"), "still there");
}

#[test]
fn a_message_that_breaks_off_leaves_nothing_behind() {
    let mut scene = Scene::new("bad_half");
    let long = "x".repeat(200_000);
    let halves: Vec<(&str, Vec<u8>)> = vec![
        ("a type", b"Q".to_vec()),
        ("half a length", b"Q\0\0".to_vec()),
        ("half a Query", lying_frame(b'Q', 1000, b"INSERT INTO kept VALUES (1)")),
        (
            "half a long Query",
            lying_frame(b'Q', 1 << 20, format!("INSERT INTO kept VALUES (1) --{long}").as_bytes()),
        ),
        ("half a Parse", lying_frame(b'P', 1000, b"left\0SELECT 1")),
        ("half a long Parse", lying_frame(b'P', 1 << 20, format!("left\0SELECT '{long}").as_bytes())),
        ("half a Bind", lying_frame(b'B', 1000, b"\0\0\0\0")),
        (
            "half a long Bind",
            lying_frame(b'B', 1 << 20, &[b"\0\0\0\0\0\x01\0\x0f\0\0", long.as_bytes()].concat()),
        ),
        ("half a FunctionCall", lying_frame(b'F', 1 << 20, long.as_bytes())),
        ("half a Sync", b"S\0\0\0".to_vec()),
    ];
    for (phase, statements) in &PHASES[..3] {
        for (what, half) in &halves {
            let mut session = scene.session();
            enter(&mut session, statements);
            session.send(std::slice::from_ref(half));
            drop(session);
            let mut next = scene.session();
            assert_eq!(next.value("SELECT count(*) FROM kept"), "0", "{phase}, {what}");
        }
        scene.check();
    }
    // In the middle of a COPY, and of a message of it.
    for half in
        [copy_data(b"1\n"), lying_frame(b'd', 1000, b"1\n2\n"), lying_frame(b'd', 1 << 20, long.as_bytes())]
    {
        let mut session = scene.session();
        enter(&mut session, PHASES[3].1);
        session.send(&[half]);
        drop(session);
        scene.check();
    }
}

#[test]
fn a_client_in_the_middle_of_a_short_message_holds_no_server_connection() {
    let mut scene = Scene::new("bad_slow");
    let mut slow: Vec<Wire> = (0..20).map(|_| scene.session()).collect();
    let whole = query("SELECT 'at last'");
    for (n, wire) in slow.iter_mut().enumerate() {
        wire.send(&[whole[..1 + n % (whole.len() - 1)].to_vec()]);
    }
    scene.check();
    for (n, wire) in slow.iter_mut().enumerate() {
        wire.send(&[whole[1 + n % (whole.len() - 1)..].to_vec()]);
        assert_eq!(wire.read_until(b'Z')[1].row(), [Some("at last".to_owned())]);
    }
    scene.check();
}

#[test]
fn in_session_mode_the_server_judges_what_it_is_sent() {
    // One connection for each user: what a session had must be free for the next.
    let mut scene = Scene::with("bad_session_mode", |config| config.pool("pool_mode = \"session\""));
    let mut session = scene.session();
    for message in [
        frame(b'P', b"left\0SELECT $1::int\0\0\x02\0\0\0\x17"),
        frame(b'P', b"left\0SELECT 1\0\xff\xff"),
        bind_formats("", "", &[0, 0, 0], &[Some("1")], &[]),
        frame(b'D', b"Xleft\0"),
    ] {
        let answer = session.exchange(&[message.clone(), sync()]);
        assert_eq!(tags(&answer), "EZ", "{} {answer:?}", message.escape_ascii());
        assert_eq!(session.value("SELECT 'goes on'"), "goes on");
    }
    drop(session);
    for (message, sqlstate) in [
        (frame(b'Q', b"SELECT 1"), "08P01"),
        (lying_frame(b'Q', 3, b"SELECT 1\0"), "08P01"),
        (lying_frame(b'P', 0x7fff_ffff, b"left\0"), "54000"),
        (frame(b'z', b""), "08P01"),
        (password_message(PASSWORD), "08P01"),
    ] {
        let mut session = scene.session();
        enter(&mut session, PHASES[1].1);
        session.send(std::slice::from_ref(&message));
        refused(session, sqlstate, &message.escape_ascii().to_string());
        assert_eq!(scene.before.value("SELECT count(*) FROM kept"), "0");
    }
}
