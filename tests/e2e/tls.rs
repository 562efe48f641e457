//! TLS on both sides: libpq's six words, channel binding, and certificates that change.

use crate::support::wire::{ssl_request, startup, tags};
use crate::support::{Authority, Begin, Cluster, Config, Database, Howdah, PASSWORD, Tunnel, Version, Wire};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// An authority whose certificate `server` is Howdah's.
fn authority() -> Authority {
    let authority = Authority::new();
    authority.sign("server", "howdah", &["localhost"]);
    authority
}

/// `[listen.tls]`, with an authority for clients if there is one.
fn listen_tls(mode: &str, server: &Authority, clients: Option<&Authority>) -> String {
    let clients = clients.map(|ca| format!("client_ca_file = \"{}\"", ca.ca().display())).unwrap_or_default();
    format!(
        "[listen.tls]\nmode = \"{mode}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n{clients}",
        server.file("server.crt").display(),
        server.file("server.key").display()
    )
}

fn simple(database: &Database<'_>, tls: &str) -> Howdah {
    Config::simple(2, database).listen(tls).start()
}

/// Runs psql with this connection string (host, port and so on are added): whether it used TLS, or why it failed.
fn psql(howdah: &Howdah, database: &str, user: &str, options: &str) -> Result<bool, String> {
    psql_with(howdah, database, user, PASSWORD, options)
}

fn psql_with(
    howdah: &Howdah,
    database: &str,
    user: &str,
    password: &str,
    options: &str,
) -> Result<bool, String> {
    let target = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user={user} dbname={database} connect_timeout=30 {options}",
        howdah.port
    );
    let output = Command::new("psql")
        .args(["-X", "-At", "-c", "SELECT 'served'", "-c", "\\conninfo", "-d", &target])
        .env("PGPASSWORD", password)
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", howdah.dir())
        .stdin(Stdio::null())
        .output()
        .expect("psql");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    assert!(said.starts_with("served\n"), "{said}");
    Ok(said.contains("SSL connection"))
}

fn certificate(ca: &Authority, file: &str) -> String {
    let path = |end: &str| ca.file(&format!("{file}.{end}")).display().to_string();
    format!("sslcert={} sslkey={}", path("crt"), path("key"))
}

/// Says of each of a client's six words whether it is served in the clear, over TLS, or not at all.
fn table(howdah: &Howdah, database: &str, client: &str, root: &Path) -> String {
    let outcome = |mode: &&str| match psql(
        howdah,
        database,
        "app",
        &format!("sslmode={mode} sslrootcert={} {client}", root.display()),
    ) {
        Ok(true) => "tls",
        Ok(false) => "clear",
        Err(_) => "-",
    };
    MODES.iter().map(outcome).collect::<Vec<_>>().join(" ")
}

#[test]
fn each_word_for_clients_means_what_it_means_to_libpq() {
    let database = Cluster::shared(Version::V15).database("tls_words");
    let (server, clients) = (authority(), Authority::new());
    clients.sign("app", "app", &[]);
    let own = certificate(&clients, "app");
    // In libpq `allow` begins in the clear, `prefer` with TLS; with a root certificate `require` verifies it.
    for (mode, expected) in [
        ("disable", "clear clear clear - - -"),
        ("allow", "clear clear tls tls tls tls"),
        ("prefer", "clear clear tls tls tls tls"),
        ("require", "- tls tls tls tls tls"),
        ("verify-ca", "- tls tls tls tls tls"),
        ("verify-full", "- tls tls tls tls tls"),
    ] {
        let howdah = simple(&database, &listen_tls(mode, &server, Some(&clients)));
        assert_eq!(table(&howdah, &database.name, &own, &server.ca()), expected, "mode = {mode}");
    }
}

#[test]
fn a_client_that_insists_on_another_authority_or_name_is_not_fooled() {
    let database = Cluster::shared(Version::V15).database("tls_fooled");
    let (server, other) = (authority(), Authority::new());
    let howdah = simple(&database, &listen_tls("prefer", &server, None));
    assert_eq!(table(&howdah, &database.name, "", &other.ca()), "clear clear clear - - -");
    server.sign("server", "howdah", &["elsewhere.example"]);
    howdah.sighup();
    howdah.wait_for_log("certificates and keys were read again");
    assert_eq!(table(&howdah, &database.name, "", &server.ca()), "clear clear tls tls tls -");
}

#[test]
fn tls_is_demanded_with_an_error_that_says_so() {
    let database = Cluster::shared(Version::V15).database("tls_demanded");
    let howdah = simple(&database, &listen_tls("require", &authority(), None));
    let refused =
        Wire::try_login(howdah.address(), &[("user", "app"), ("database", &database.name)], PASSWORD);
    let error = refused.err().expect("refused");
    assert_eq!(error.sqlstate(), "28000");
    assert!(error.field(b'H').unwrap().contains("sslmode=require"), "{error:?}");
}

#[test]
fn client_certificates_are_verified() {
    let database = Cluster::shared(Version::V15).database("tls_clients");
    let (server, clients, others) = (authority(), Authority::new(), Authority::new());
    clients.sign("app", "app", &[]);
    clients.sign("someone", "someone", &[]);
    others.sign("app", "app", &[]);
    let none = String::new();
    let (own, foreign) = (certificate(&clients, "app"), certificate(&others, "app"));
    let someone = certificate(&clients, "someone");
    for (mode, served) in [
        // With an authority and no demand: none is fine, a bad one is not.
        ("prefer", [true, true, true, false]),
        ("require", [true, true, true, false]),
        ("verify-ca", [false, true, true, false]),
        // The certificate must name the user.
        ("verify-full", [false, true, false, false]),
    ] {
        let howdah = simple(&database, &listen_tls(mode, &server, Some(&clients)));
        for (certificate, served) in [&none, &own, &someone, &foreign].into_iter().zip(served) {
            let result = psql(&howdah, &database.name, "app", &format!("sslmode=require {certificate}"));
            assert_eq!(result.is_ok(), served, "mode = {mode}, {certificate:?}: {result:?}");
        }
    }
    // A certificate is no password.
    let howdah = simple(&database, &listen_tls("verify-full", &server, Some(&clients)));
    let result = psql_with(&howdah, &database.name, "app", "wrong", &format!("sslmode=require {own}"));
    assert!(
        result.as_ref().is_err_and(|error| error.contains("password authentication failed")),
        "{result:?}"
    );
    let result = psql(&howdah, &database.name, "app", &format!("sslmode=require {someone}"));
    assert!(result.as_ref().is_err_and(|error| error.contains("not for this user")), "{result:?}");
}

#[test]
fn scram_binds_to_the_channel() {
    let database = Cluster::shared(Version::V15).database("tls_binding");
    let server = authority();
    let howdah = Config::simple(2, &database)
        .user_with("\"bound\"", &format!("password = \"{PASSWORD}\"\nauth_type = \"scram-sha-256-plus\""))
        .database_as("as_app", &database, &format!("user = \"app\"\npassword = \"{PASSWORD}\""))
        .listen(&listen_tls("prefer", &server, None))
        .start();
    let run = |user: &str, options: &str| psql(&howdah, "as_app", user, options);
    assert_eq!(run("app", "sslmode=require channel_binding=require"), Ok(true));
    assert_eq!(run("app", "sslmode=require channel_binding=disable"), Ok(true));
    assert_eq!(run("bound", "sslmode=require channel_binding=require"), Ok(true));
    assert_eq!(run("bound", "sslmode=require channel_binding=prefer"), Ok(true));
    assert!(run("bound", "sslmode=require channel_binding=disable").is_err());
    assert!(run("bound", "sslmode=disable channel_binding=disable").unwrap_err().contains("channel binding"));
    assert!(
        psql_with(&howdah, "as_app", "bound", "wrong", "sslmode=require").unwrap_err().contains("password")
    );
    // libpq gives up by itself when the server does not offer it.
    assert!(run("app", "sslmode=disable channel_binding=require").is_err());
}

#[test]
fn channel_binding_is_offered_on_tls_only() {
    let database = Cluster::shared(Version::V15).database("tls_offers");
    let server = authority();
    let howdah = simple(&database, &listen_tls("prefer", &server, None));
    let tunnel = Tunnel::new(howdah.port, &server.ca(), Begin::Asked, &[]);
    let offered = |port: u16| {
        let mut wire = Wire::open(("127.0.0.1", port));
        wire.send(&[startup(&[("user", "app"), ("database", &database.name)])]);
        String::from_utf8(wire.read().body[4..].to_vec()).unwrap()
    };
    assert_eq!(offered(howdah.port), "SCRAM-SHA-256\0\0");
    assert_eq!(offered(tunnel.port), "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
}

#[test]
fn bytes_in_the_clear_behind_an_ssl_request_are_refused() {
    let database = Cluster::shared(Version::V15).database("tls_injection");
    let howdah = simple(&database, &listen_tls("prefer", &authority(), None));
    let injected = startup(&[("user", "app"), ("database", &database.name)]);
    // In one write with the request: refused in words.
    let mut wire = Wire::open(howdah.address());
    wire.send(&[ssl_request(), injected.clone()]);
    let answer = wire.read_to_end();
    assert_eq!(tags(&answer), "E", "{answer:?}");
    assert_eq!(answer[0].sqlstate(), "08P01");
    // In place of a handshake: no session, and not a word in the clear.
    let mut wire = Wire::open(howdah.address());
    wire.send(&[ssl_request()]);
    let mut yes = [0];
    wire.stream.read_exact(&mut yes).unwrap();
    assert_eq!(yes, *b"S");
    wire.stream.write_all(&injected).unwrap();
    let mut rest = Vec::new();
    drop(wire.stream.read_to_end(&mut rest));
    assert!(!rest.contains(&b'R') && rest.len() < 16, "at most a TLS alert: {}", rest.escape_ascii());
    assert_eq!(psql(&howdah, &database.name, "app", "sslmode=require"), Ok(true));
}

#[test]
fn encryption_inside_of_encryption_is_refused() {
    let database = Cluster::shared(Version::V15).database("tls_twice");
    let server = authority();
    let howdah = simple(&database, &listen_tls("prefer", &server, None));
    let tunnel = Tunnel::new(howdah.port, &server.ca(), Begin::Asked, &[]);
    let mut wire = Wire::open(tunnel.address());
    wire.send(&[ssl_request()]);
    let answer = wire.read_to_end();
    assert_eq!((tags(&answer), answer[0].sqlstate()), ("E".to_owned(), "08P01".to_owned()));
}

#[test]
fn direct_tls_needs_the_name_of_the_protocol() {
    let database = Cluster::shared(Version::V15).database("tls_direct");
    let server = authority();
    let howdah = simple(&database, &listen_tls("require", &server, None));
    for (begin, alpn, served) in [
        (Begin::Direct, &["postgresql"][..], true),
        (Begin::Direct, &["h2", "postgresql"], true),
        (Begin::Direct, &[], false),
        (Begin::Direct, &["h2"], false),
        (Begin::Asked, &["postgresql"], true),
        (Begin::Asked, &[], true),
        (Begin::Asked, &["h2"], false),
    ] {
        let tunnel = Tunnel::new(howdah.port, &server.ca(), begin, alpn);
        let mut wire = Wire::open(tunnel.address());
        wire.send(&[startup(&[("user", "app"), ("database", &database.name)])]);
        match wire.try_read() {
            Ok(Some(first)) => {
                assert!(served, "{begin:?} {alpn:?}: {first:?}");
                drop(wire);
                let mut wire = Wire::login(tunnel.address(), "app", &database.name);
                assert_eq!(wire.value("SELECT 'served'"), "served");
            }
            _ => assert!(!served, "{begin:?} {alpn:?}: {:?}", tunnel.errors()),
        }
    }
}

#[test]
fn cleartext_passwords_go_over_tls() {
    let cluster = Cluster::shared(Version::V15);
    let database = cluster.database("tls_cleartext");
    let server = authority();
    let verifier = cluster.value("postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'");
    let md5 = cluster.value("postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'app_md5'");
    let howdah = Config::new(2)
        .database_as(&database.name, &database, &format!("user = \"app\"\npassword = \"{PASSWORD}\""))
        .user("plain")
        .user_with("verifier", &format!("password = \"{verifier}\""))
        .user_with("app_md5", &format!("password = \"{md5}\""))
        .listen("auth_type = \"password\"")
        .listen(&listen_tls("prefer", &server, None))
        .start();
    let tunnel = Tunnel::new(howdah.port, &server.ca(), Begin::Asked, &[]);
    let login = |user: &str, password: &str| {
        Wire::try_login(tunnel.address(), &[("user", user), ("database", &database.name)], password)
    };
    for user in ["plain", "verifier", "app_md5"] {
        let mut wire = login(user, PASSWORD).unwrap_or_else(|error| panic!("{user}: {error:?}"));
        assert_eq!(wire.value("SELECT current_user"), "app");
    }
    // CVE-2026-6664 was a crash on a password of 1024 bytes.
    let long = [1023, 1024, 1025, 60_000].map(|length| "x".repeat(length));
    for password in ["wrong", ""].into_iter().chain(long.iter().map(String::as_str)) {
        for user in ["plain", "verifier", "app_md5", "nobody"] {
            let error = login(user, password).err().expect("refused");
            let text = format!("password authentication failed for user \"{user}\"");
            assert_eq!((error.sqlstate().as_str(), error.field(b'M')), ("28P01", Some(text)));
        }
    }
    // In the clear they are not even asked for.
    for user in ["plain", "nobody"] {
        let mut wire = Wire::open(howdah.address());
        wire.send(&[startup(&[("user", user), ("database", &database.name)])]);
        let answer = wire.read_to_end();
        assert_eq!((tags(&answer), answer[0].sqlstate()), ("E".to_owned(), "28000".to_owned()));
    }
    assert_eq!(login("plain", PASSWORD).unwrap().value("SELECT 'still'"), "still");
}

#[test]
fn certificates_are_read_again_on_sighup() {
    let database = Cluster::shared(Version::V15).database("tls_sighup");
    let server = authority();
    let howdah = simple(&database, &listen_tls("prefer", &server, None));
    let tunnel = Tunnel::new(howdah.port, &server.ca(), Begin::Asked, &[]);
    let before = server.der("server.crt");
    let mut old = Wire::login(tunnel.address(), "app", &database.name);
    assert_eq!(tunnel.certificates(), std::slice::from_ref(&before));

    server.sign("server", "howdah", &["localhost"]);
    let after = server.der("server.crt");
    assert_ne!(before, after);
    howdah.sighup();
    howdah.wait_for_log("certificates and keys were read again");
    let mut new = Wire::login(tunnel.address(), "app", &database.name);
    assert_eq!(tunnel.certificates(), [before.clone(), after.clone()]);
    assert_eq!(new.value("SELECT 'new'"), "new");
    assert_eq!(old.value("SELECT 'old'"), "old");
    // Channel binding goes by the new one.
    assert_eq!(psql(&howdah, &database.name, "app", "sslmode=require channel_binding=require"), Ok(true));

    // What cannot be used changes nothing.
    std::fs::write(server.file("server.crt"), "not a certificate").unwrap();
    howdah.sighup();
    howdah.wait_for_log("nothing was changed");
    let mut newest = Wire::login(tunnel.address(), "app", &database.name);
    assert_eq!(tunnel.certificates().last(), Some(&after));
    for wire in [&mut old, &mut new, &mut newest] {
        assert_eq!(wire.value("SELECT 'served'"), "served");
    }
}

/// Whether the server connection behind each of the six words is encrypted; `-` for one that is not made.
fn server_table(cluster: &Cluster, database: &str, ca: &str) -> String {
    let mut config = Config::new(1)
        .user("app")
        .pool("server_login_retry = \"100ms\"")
        .pool("server_connect_timeout = \"10s\"");
    for mode in MODES {
        let ca = if mode.starts_with("verify") { ca } else { "" };
        let lines = format!("[databases.{mode}.tls]\nmode = \"{mode}\"\n{ca}");
        config = config.server(mode, cluster.port, database, &lines);
    }
    let howdah = config.start();
    let outcome = |mode: &&str| match Wire::try_login(
        howdah.address(),
        &[("user", "app"), ("database", mode)],
        PASSWORD,
    ) {
        Err(error) => {
            assert_eq!(error.sqlstate(), "57P03", "{mode}: {error:?}");
            "-"
        }
        Ok(mut wire) => match wire.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").as_str()
        {
            "t" => "tls",
            _ => "clear",
        },
    };
    MODES.iter().map(outcome).collect::<Vec<_>>().join(" ")
}

fn ca_line(file: &Path) -> String {
    format!("ca_file = \"{}\"", file.display())
}

#[test]
fn each_word_for_servers_means_what_it_means_to_libpq() {
    // A cluster of its own: its certificate changes, and in the end it has none.
    let cluster = Cluster::start(Version::V15);
    let database = cluster.database("tls_servers").name;
    let table = |ca: &Path| server_table(&cluster, &database, &ca_line(ca));
    let (right, wrong) = (Authority::new(), Authority::new());
    assert_eq!(table(&cluster.ca_file()), "clear clear tls tls tls tls", "its own certificate");
    assert_eq!(table(&wrong.ca()), "clear clear tls tls - -", "an authority that did not sign it");

    let install = |names: &[&str]| {
        right.sign("server", "postgres", names);
        let folder = cluster.ca_file().parent().unwrap().to_path_buf();
        // Written over, so that they stay the server's own.
        for file in ["server.crt", "server.key"] {
            std::fs::write(folder.join(file), std::fs::read(right.file(file)).unwrap()).unwrap();
        }
        cluster.restart();
    };
    install(&["127.0.0.1"]);
    assert_eq!(table(&right.ca()), "clear clear tls tls tls tls", "the right authority and name");
    install(&["elsewhere.example"]);
    assert_eq!(table(&right.ca()), "clear clear tls tls tls -", "the right authority, another name");

    cluster.query("postgres", "ALTER SYSTEM SET ssl = off");
    cluster.restart();
    assert_eq!(table(&right.ca()), "clear clear clear - - -", "no TLS at all");
}

#[test]
fn a_server_that_takes_no_clear_connections_gets_tls_where_it_is_allowed() {
    let cluster = Cluster::start(Version::V15);
    let database = cluster.database("tls_hostssl").name;
    let folder = cluster.ca_file().parent().unwrap().to_path_buf();
    let hba = folder.join("data/pg_hba.conf");
    std::fs::write(&hba, "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
    cluster.query("postgres", "SELECT pg_reload_conf()");
    let mut config = Config::new(1).user("app").pool("server_login_retry = \"100ms\"");
    for mode in ["disable", "allow", "prefer"] {
        let lines = format!("[databases.{mode}.tls]\nmode = \"{mode}\"");
        config = config.server(mode, cluster.port, &database, &lines);
    }
    let howdah = config.start();
    for mode in ["allow", "prefer"] {
        let mut wire = Wire::login(howdah.address(), "app", mode);
        assert_eq!(wire.value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"), "t", "{mode}");
    }
    let refused = Wire::try_login(howdah.address(), &[("user", "app"), ("database", "disable")], PASSWORD);
    assert_eq!(
        refused.err().map(|error| error.sqlstate()).as_deref(),
        Some("28000"),
        "the server's own word"
    );
}
