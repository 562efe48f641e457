//! Logins: who gets in, how the others are told, and what a startup packet asks for.

use crate::support::wire::{
    frame, gssenc_request, password_message, query, ssl_request, startup, startup_version, tags,
};
use crate::support::{Cluster, Config, Howdah, Message, PASSWORD, Version, Wire};
use std::io::Read;

fn cluster() -> &'static Cluster {
    Cluster::shared(Version::V15)
}

/// What the server has stored as this role's password.
fn stored(role: &str) -> String {
    cluster().value("postgres", &format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'"))
}

fn password(text: &str) -> String {
    format!("password = \"{text}\"")
}

fn by(auth_type: &str, text: &str) -> String {
    format!("auth_type = \"{auth_type}\"\npassword = \"{text}\"")
}

/// The password with which Howdah logs in for everybody.
fn as_app() -> String {
    format!("user = \"app\"\npassword = \"{PASSWORD}\"")
}

fn login(howdah: &Howdah, user: &str, password: &str, database: &str) -> Result<Wire, Message> {
    Wire::try_login(howdah.address(), &[("user", user), ("database", database)], password)
}

#[track_caller]
fn refused(howdah: &Howdah, user: &str, password: &str, database: &str, sqlstate: &str) -> Message {
    let error = login(howdah, user, password, database).err().expect("refused");
    assert_eq!(error.sqlstate(), sqlstate, "{error:?}");
    assert_eq!(error.field(b'V').as_deref(), Some("FATAL"), "{error:?}");
    error
}

/// The code of the first authentication request.
fn request(howdah: &Howdah, user: &str, database: &str) -> u32 {
    let mut wire = Wire::open(howdah.address());
    wire.send(&[startup(&[("user", user), ("database", database)])]);
    let message = wire.read();
    assert_eq!(message.tag, b'R', "{message:?}");
    u32::from_be_bytes(message.body[..4].try_into().unwrap())
}

#[test]
fn nobody_is_trusted_but_those_who_are_configured_so() {
    let database = cluster().database("login_trust");
    let howdah = Config::simple(2, &database).user_with("app_trust", "auth_type = \"trust\"").start();
    assert_eq!(request(&howdah, "app_trust", &database.name), 0);
    assert_eq!(request(&howdah, "app", &database.name), 10);
    assert_eq!(request(&howdah, "nobody", &database.name), 10);
    let mut wire = login(&howdah, "app_trust", "whatever", &database.name).unwrap();
    assert_eq!(wire.value("SELECT current_user"), "app_trust");
    refused(&howdah, "app", "whatever", &database.name, "28P01");

    // Trust for all is for all who are listed.
    let howdah = Config::new(2)
        .database(&database)
        .listen("auth_type = \"trust\"")
        .user("app")
        .user_with("postgres", &by("scram-sha-256", PASSWORD))
        .start();
    assert_eq!(login(&howdah, "app", "whatever", &database.name).unwrap().value("SELECT 1"), "1");
    refused(&howdah, "postgres", "whatever", &database.name, "28P01");
    refused(&howdah, "nobody", "whatever", &database.name, "28000");
}

#[test]
fn every_kind_of_stored_password_logs_in_to_howdah_and_to_the_server() {
    let database = cluster().database("login_stored");
    let verifier = stored("app");
    let md5 = stored("app_md5");
    assert!(verifier.starts_with("SCRAM-SHA-256$") && md5.starts_with("md5"), "{verifier} {md5}");
    for (what, user, lines, code) in [
        ("plain by SCRAM", "app", password(PASSWORD), 10),
        ("plain by SCRAM, md5 at the server", "app_md5", password(PASSWORD), 10),
        ("plain by SCRAM, cleartext at the server", "app_plain", password(PASSWORD), 10),
        ("plain by md5", "app", by("md5", PASSWORD), 5),
        ("plain by md5, md5 at the server", "app_md5", by("md5", PASSWORD), 5),
        ("md5 by md5, md5 at the server", "app_md5", by("md5", &md5), 5),
        ("a verifier, passed through", "app", password(&verifier), 10),
        // md5 is the least that is accepted, and a verifier can do better.
        ("a verifier where md5 would do", "app", by("md5", &verifier), 10),
    ] {
        let howdah = Config::new(2).database(&database).user_with(user, &lines).start();
        assert_eq!(request(&howdah, user, &database.name), code, "{what}");
        let error = login(&howdah, user, "wrong", &database.name).err().expect(what);
        assert_eq!(error.sqlstate(), "28P01", "{what}");
        let mut wire = login(&howdah, user, PASSWORD, &database.name)
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(wire.value("SELECT current_user"), user, "{what}");
        let mut other = login(&howdah, user, PASSWORD, &database.name).unwrap();
        // Two at a time, so that a second server connection is made.
        assert_eq!(tags(&wire.query("BEGIN")), "CZ", "{what}");
        assert_eq!(other.value("SELECT current_user"), user, "{what}");
    }
}

#[test]
fn a_verifier_passes_logins_through_after_server_connections_are_lost() {
    let database = cluster().database("login_pass_through");
    let howdah = Config::new(2).database(&database).user_with("app", &password(&stored("app"))).start();
    let mut wire = login(&howdah, "app", PASSWORD, &database.name).unwrap();
    let first = wire.value("SELECT pg_backend_pid()");
    cluster().query("postgres", &format!("SELECT pg_terminate_backend({first}, 10000)"));
    let second = wire.value("SELECT pg_backend_pid()");
    assert_ne!(first, second);
    // A wrong password does not take the keys of the right one away.
    refused(&howdah, "app", "wrong", &database.name, "28P01");
    cluster().query("postgres", &format!("SELECT pg_terminate_backend({second}, 10000)"));
    assert_ne!(wire.value("SELECT pg_backend_pid()"), second);
}

#[test]
fn a_verifier_that_the_server_does_not_have_is_refused_by_the_server() {
    let database = cluster().database("login_other_verifier");
    cluster().query("postgres", "DROP ROLE IF EXISTS login_other");
    cluster().query("postgres", &format!("CREATE ROLE login_other LOGIN PASSWORD '{PASSWORD}'"));
    let old = stored("login_other");
    // The same password with another salt.
    cluster().query("postgres", &format!("ALTER ROLE login_other PASSWORD '{PASSWORD}'"));
    assert_ne!(old, stored("login_other"));
    let howdah =
        Config::new(2).database(&database).user_with("login_other", &password(&old)).user("app").start();
    refused(&howdah, "login_other", PASSWORD, &database.name, "28P01");
    assert_eq!(login(&howdah, "app", PASSWORD, &database.name).unwrap().value("SELECT 1"), "1");
}

/// A login by SCRAM with a proof of nothing: what the server said, with what must differ taken out.
fn scram_attempt(howdah: &Howdah, user: &str, database: &str) -> (Vec<Message>, String) {
    let mut wire = Wire::open(howdah.address());
    wire.send(&[startup(&[("user", user), ("database", database)])]);
    let mut messages = vec![wire.read()];
    let first = b"n,,n=,r=abcdefghijklmnop";
    let body = [&b"SCRAM-SHA-256\0"[..], &(first.len() as u32).to_be_bytes(), first].concat();
    wire.send(&[frame(b'p', &body)]);
    let mut challenge = wire.read();
    let text = String::from_utf8(challenge.body[4..].to_vec()).unwrap();
    let mut parts = text.split(',');
    let (nonce, salt) = (parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned());
    challenge.body = format!("{} {} {:?}", nonce.len(), salt.len(), parts.collect::<Vec<_>>()).into_bytes();
    messages.push(challenge);
    wire.send(&[frame(
        b'p',
        format!("c=biws,{nonce},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").as_bytes(),
    )]);
    messages.extend(wire.read_to_end());
    for message in &mut messages {
        message.body = String::from_utf8_lossy(&message.body).replace(user, "USER").into_bytes();
    }
    (messages, salt)
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let database = cluster().database("login_unknown");
    let howdah = Config::simple(2, &database)
        .user_with("verifier", &password(&stored("app")))
        .user_with("by_md5", &by("md5", PASSWORD))
        .start();
    let (known, salt) = scram_attempt(&howdah, "app", &database.name);
    assert_eq!(tags(&known), "RRE");
    assert_eq!(known[2].sqlstate(), "28P01");
    for user in ["nobody", "verifier", "someone"] {
        let (messages, its_salt) = scram_attempt(&howdah, user, &database.name);
        assert_eq!(messages, known, "{user}");
        assert_ne!(its_salt, salt, "{user}");
        // Asked again, with the same salt: as somebody who exists.
        assert_eq!(scram_attempt(&howdah, user, &database.name).1, its_salt, "{user}");
    }
    assert_eq!(scram_attempt(&howdah, "app", &database.name).1, salt);
    // Nor is a database given away before the password.
    assert_eq!(scram_attempt(&howdah, "app", "no_such_database").0, known);
    assert_eq!(scram_attempt(&howdah, "nobody", "no_such_database").0, known);
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password_by_md5() {
    let database = cluster().database("login_unknown_md5");
    let howdah = Config::simple(2, &database).listen("auth_type = \"md5\"").start();
    let attempt = |user: &str| {
        let mut wire = Wire::open(howdah.address());
        wire.send(&[startup(&[("user", user), ("database", &database.name)])]);
        let request = wire.read();
        wire.send(&[password_message("md500000000000000000000000000000000")]);
        let end = wire.read_to_end();
        assert_eq!(tags(&end), "E", "{end:?}");
        let text = end[0].field(b'M').unwrap().replace(user, "USER");
        (request.body[..4].to_vec(), request.body.len(), end[0].sqlstate(), text)
    };
    let known = attempt("app");
    assert_eq!((known.0.as_slice(), known.1, known.2.as_str()), (&[0, 0, 0, 5][..], 8, "28P01"));
    assert_eq!(attempt("nobody"), known);
}

#[test]
fn an_unknown_database_is_told_at_once() {
    let database = cluster().database("login_database");
    // Not in the configuration; and in the configuration, but not on the server.
    let howdah =
        Config::simple(2, &database).server("missing", cluster().port, "login_no_such_database", "").start();
    let error = refused(&howdah, "app", PASSWORD, "unknown", "3D000");
    assert_eq!(error.field(b'M').as_deref(), Some("database \"unknown\" does not exist"));
    refused(&howdah, "app", PASSWORD, "missing", "3D000");
    refused(&howdah, "app", "wrong", "unknown", "28P01");
    // The name of the user stands for a database that is not named.
    let error = Wire::try_login(howdah.address(), &[("user", "app")], PASSWORD).err().expect("refused");
    assert_eq!(error.field(b'M').as_deref(), Some("database \"app\" does not exist"));
    assert_eq!(login(&howdah, "app", PASSWORD, &database.name).unwrap().value("SELECT 1"), "1");
}

#[test]
fn a_user_gets_into_its_own_databases_only() {
    let (one, two) = (cluster().database("login_own"), cluster().database("login_foreign"));
    let howdah = Config::new(2)
        .database_as("login_own", &one, &as_app())
        .database_as("login_foreign", &two, &as_app())
        .user_with("narrow", &format!("{}\ndatabases = [\"login_own\"]", password(PASSWORD)))
        .user("wide")
        .start();
    let name = |user: &str, database: &str| {
        login(&howdah, user, PASSWORD, database).map(|mut wire| wire.value("SELECT current_database()"))
    };
    assert_eq!(name("narrow", "login_own").unwrap(), "login_own");
    assert_eq!(name("wide", "login_own").unwrap(), "login_own");
    assert_eq!(name("wide", "login_foreign").unwrap(), "login_foreign");
    refused(&howdah, "narrow", PASSWORD, "login_foreign", "28000");
    refused(&howdah, "narrow", "wrong", "login_foreign", "28P01");
}

#[test]
fn what_a_newer_protocol_asks_for_is_negotiated_down() {
    let database = cluster().database("login_negotiate");
    let howdah = Config::simple(2, &database).start();
    let version = |minor: u32| (3 << 16) | minor;
    let expected = |version: u32, options: &[&str]| {
        let mut body = version.to_be_bytes().to_vec();
        body.extend((options.len() as u32).to_be_bytes());
        options.iter().for_each(|option| body.extend([option.as_bytes(), b"\0"].concat()));
        Some(body)
    };
    type Case<'a> = (u32, &'a [&'a str], Option<Vec<u8>>, usize);
    let cases: [Case<'_>; 6] = [
        (version(0), &[], None, 4),
        (version(2), &[], None, 32),
        (version(9), &[], expected(version(2), &[]), 32),
        (version(9), &["_pq_.one", "_pq_.two"], expected(version(2), &["_pq_.one", "_pq_.two"]), 32),
        (version(2), &["_pq_.one"], expected(version(2), &["_pq_.one"]), 32),
        (version(0), &["_pq_.one"], expected(version(0), &["_pq_.one"]), 4),
    ];
    for (version, options, negotiated, secret) in cases {
        let mut wire = Wire::open(howdah.address());
        let mut parameters = vec![("user", "app"), ("database", database.name.as_str())];
        parameters.extend(options.iter().map(|option| (*option, "on")));
        wire.send(&[startup_version(version, &parameters)]);
        if let Some(body) = negotiated {
            let message = wire.read();
            assert_eq!((message.tag, &message.body), (b'v', &body), "{version:x} {options:?}");
        }
        wire.authenticate("app", PASSWORD).unwrap();
        assert_eq!(wire.key.len(), 4 + secret, "{version:x}");
        // The key works, whatever its length.
        wire.send(&[query("SELECT pg_sleep(300)")]);
        crate::support::wait_until("the query runs", || {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = 'login_negotiate' AND state = 'active' AND query LIKE '%pg_sleep(300)'";
            cluster().value("postgres", sql) == "1"
        });
        wire.cancel(howdah.address());
        let end = wire.read_until(b'Z');
        let error = end.iter().find(|message| message.tag == b'E').expect("cancelled");
        assert_eq!(error.sqlstate(), "57014");
        assert_eq!(wire.value("SELECT 'goes on'"), "goes on");
    }
}

#[test]
fn gss_encryption_is_declined_and_the_login_goes_on() {
    let database = cluster().database("login_gss");
    let howdah = Config::simple(2, &database).start();
    for requests in
        [vec![gssenc_request()], vec![gssenc_request(), ssl_request()], vec![ssl_request(), gssenc_request()]]
    {
        let mut wire = Wire::open(howdah.address());
        for request in requests {
            wire.send(&[request]);
            let mut answer = [0];
            wire.stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, *b"N");
        }
        wire.send(&[startup(&[("user", "app"), ("database", &database.name)])]);
        wire.authenticate("app", PASSWORD).unwrap();
        assert_eq!(wire.value("SELECT 'in the clear'"), "in the clear");
    }
}

#[test]
fn startup_parameters_hold_on_whichever_server_connection() {
    let database = cluster().database("login_parameters");
    let howdah = Config::simple(2, &database).start();
    let settings = |n: usize| -> Vec<(&'static str, String)> {
        match n {
            0 => vec![],
            1 => vec![("options", "-c statement_timeout=7s -c my.setting=by\\ options".to_owned())],
            n => vec![
                ("statement_timeout", format!("{n}min")),
                ("client_min_messages", "error".to_owned()),
                ("my.setting", format!("it's {n} \\ \"quoted\"")),
                ("a.b.c", format!("deep {n}")),
                ("search_path", format!("s{n}, public")),
                ("application_name", format!("client {n}")),
                ("TimeZone", format!("Etc/GMT-{n}")),
            ],
        }
    };
    let mut clients: Vec<Wire> = (0..5)
        .map(|n| {
            let mut parameters = vec![("user", "app"), ("database", database.name.as_str())];
            let settings = settings(n);
            parameters.extend(settings.iter().map(|(name, value)| (*name, value.as_str())));
            Wire::login_with(howdah.address(), &parameters)
        })
        .collect();
    let show = "SELECT concat_ws('|', current_setting('statement_timeout'), \
                current_setting('client_min_messages'), current_setting('my.setting', true), \
                current_setting('a.b.c', true), current_setting('search_path'), \
                current_setting('application_name'), current_setting('TimeZone'))";
    let expected = |n: usize| match n {
        0 => ["0|notice|||\"$user\", public||UTC", "0|notice|\"$user\", public||UTC"].map(str::to_owned),
        1 => ["7s|notice|by options||\"$user\", public||UTC", "7s|notice|by options|\"$user\", public||UTC"]
            .map(str::to_owned),
        n => {
            let all =
                format!("{n}min|error|it's {n} \\ \"quoted\"|deep {n}|s{n}, public|client {n}|Etc/GMT-{n}");
            [all.clone(), all]
        }
    };
    let notice = "DO $$ BEGIN RAISE NOTICE 'heard'; END $$";
    let mut servers = std::collections::BTreeSet::new();
    for round in 0..6 {
        // One holds a server connection, so that the others take turns on the other; then all the other way round.
        let holder = round % clients.len();
        assert_eq!(tags(&clients[holder].query("BEGIN")), "CZ");
        for n in (0..clients.len()).chain([holder]) {
            let shown = clients[n].value(show);
            // A setting that another client had is empty afterwards, or was never there.
            assert!(expected(n).contains(&shown), "round {round}, client {n}: {shown}");
            let heard = clients[n].query(notice).iter().filter(|message| message.tag == b'N').count();
            assert_eq!(heard, usize::from(n < 2), "client {n}");
            servers.insert(clients[n].value("SELECT pg_backend_pid()"));
        }
        assert_eq!(tags(&clients[holder].query("COMMIT")), "CZ");
    }
    assert_eq!(servers.len(), 2, "both server connections were used");
}

#[test]
fn a_setting_whose_name_is_a_key_word_disturbs_nobody() {
    let database = cluster().database("login_key_words");
    let howdah = Config::simple(1, &database).start();
    let base = [("user", "app"), ("database", database.name.as_str())];
    let odd = [base[0], base[1], ("my.select", "one"), ("user.table", "two"), ("My.Case", "three")];
    let mut odd = Wire::login_with(howdah.address(), &odd);
    let mut plain = Wire::login_with(howdah.address(), &base);
    for _ in 0..3 {
        let show = "SELECT concat_ws('|', current_setting('my.select', true), \
                    current_setting('user.table', true), current_setting('my.case', true))";
        assert_eq!(odd.value(show), "one|two|three");
        assert_eq!(plain.value(show), "||");
    }
}

#[test]
fn a_statement_timeout_of_the_startup_packet_ends_statements_of_its_client_only() {
    let database = cluster().database("login_timeout");
    let howdah = Config::simple(1, &database).start();
    let base = [("user", "app"), ("database", database.name.as_str())];
    let mut patient = Wire::login_with(howdah.address(), &base);
    let mut hasty = Wire::login_with(howdah.address(), &[base[0], base[1], ("statement_timeout", "20ms")]);
    for _ in 0..3 {
        let messages = hasty.query("SELECT pg_sleep(300)");
        let error = messages.iter().find(|message| message.tag == b'E').expect("an error");
        assert_eq!(error.sqlstate(), "57014");
        assert_eq!(patient.value("SELECT 'slept' FROM pg_sleep(0.1)"), "slept");
    }
}

#[test]
fn what_the_server_refuses_at_startup_is_refused_in_its_words() {
    let database = cluster().database("login_invalid");
    let howdah = Config::simple(2, &database).start();
    for (name, value) in [
        ("statement_timeout", "abc"),
        ("statement_timeout", "-5"),
        ("client_min_messages", "loud"),
        ("client_encoding", "KLINGON"),
        ("TimeZone", "Nowhere/Land"),
        ("DateStyle", "bogus"),
        ("nonsense", "1"),
        ("shared_buffers", "1GB"),
        ("is_superuser", "on"),
        ("session_preload_libraries", "x"),
        ("default_tablespace", "no_such_tablespace"),
        ("options", "-c nonsense=1"),
        ("options", "-c work_mem=abc"),
        ("options", "-c"),
    ] {
        let attempt = |port: u16| {
            let parameters = [("user", "app"), ("database", database.name.as_str()), (name, value)];
            let result = Wire::try_login(("127.0.0.1", port), &parameters, PASSWORD);
            result.map(drop).map_err(|error| (error.sqlstate(), error.field(b'V')))
        };
        assert_eq!(attempt(howdah.port), attempt(cluster().port), "{name}={value}");
        // And the next client is not told what this one asked for.
        let mut wire = login(&howdah, "app", PASSWORD, &database.name).unwrap();
        assert_eq!(wire.value("SHOW statement_timeout"), "0");
    }
    assert!(database.backends().len() <= 2, "{:?}", database.backends());
}

#[test]
fn a_client_too_many_is_refused_until_another_leaves() {
    let database = cluster().database("login_too_many");
    let howdah = Config::simple(1, &database).listen("max_client_conn = 2").start();
    let mut first = login(&howdah, "app", PASSWORD, &database.name).unwrap();
    let second = login(&howdah, "app", PASSWORD, &database.name).unwrap();
    for _ in 0..3 {
        refused(&howdah, "app", PASSWORD, &database.name, "53300");
    }
    refused(&howdah, "app", "wrong", &database.name, "28P01");
    assert_eq!(first.value("SELECT 1"), "1");
    drop(second);
    crate::support::wait_until("there is room again", || {
        login(&howdah, "app", PASSWORD, &database.name).is_ok()
    });
}
