//! The listening connection ends.

use super::*;
use crate::support::Version;

fn warning(wire: &mut Wire) {
    let notice = wire.read();
    assert_eq!((notice.tag, notice.sqlstate().as_str()), (b'N', "01000"), "{notice:?}");
    assert!(notice.field(b'M').expect("a message").contains("may have been lost"));
    assert!(notice.field(b'D').expect("a detail").contains("seconds"));
}

#[test]
fn it_is_made_again_with_a_warning() {
    let database = Cluster::shared(Version::V15).database("listen_killed");
    let howdah = Config::simple(1, &database).start();
    let mut listeners: Vec<_> = (0..5).map(|_| login(&howdah, &database)).collect();
    for (n, listener) in listeners.iter_mut().enumerate() {
        listener.query(&format!("LISTEN a; LISTEN b{n}"));
    }
    let mut busy = login(&howdah, &database);
    busy.query("LISTEN a");
    busy.query("BEGIN");
    let pid = listening_process(&database).expect("a listening connection");
    assert_eq!(database.value(&format!("SELECT pg_terminate_backend({pid})")), "t");
    for (n, listener) in listeners.iter_mut().enumerate() {
        warning(listener);
        database.query(&format!("NOTIFY b{n}, 'again'"));
        assert_eq!(heard(listener), "again");
    }
    assert_eq!(words(&busy.query("COMMIT")), "C:COMMIT N ZI");
    assert_eq!(gauge(&howdah, "howdah_listen_reconnects_total", &database), Some(1.0));
}

#[test]
fn a_server_that_restarts() {
    let cluster = Cluster::start(Version::V15);
    let database = cluster.database("listen_restart");
    let howdah = Config::simple(1, &database).pool("server_connect_timeout = \"1s\"").start();
    let mut listener = login(&howdah, &database);
    listener.query("LISTEN a");
    cluster.stop();
    howdah.wait_for_log("no connection to listen on");
    cluster.restart();
    warning(&mut listener);
    database.query("NOTIFY a, 'up'");
    assert_eq!(heard(&mut listener), "up");
    assert_eq!(words(&listener.query("NOTIFY a, 'own'")), "C:NOTIFY A:own ZI");
}

#[test]
fn a_listen_while_it_cannot_be_made_fails_and_the_session_goes_on() {
    let database = Cluster::shared(Version::V15).database("listen_down");
    let howdah = Config::simple(1, &database).pool("server_connect_timeout = \"1s\"").start();
    let mut listener = login(&howdah, &database);
    assert_eq!(listener.value("SELECT 1"), "1");
    // No new connection can be made: the one of the pool is there.
    database.cluster.query("postgres", "ALTER DATABASE listen_down CONNECTION LIMIT 0");
    assert_eq!(words(&listener.query("LISTEN a")), "C:LISTEN E:53300 ZI");
    assert_eq!(words(&listener.query("NOTIFY a")), "C:NOTIFY ZI");
    database.cluster.query("postgres", "ALTER DATABASE listen_down CONNECTION LIMIT -1");
    assert_eq!(words(&listener.query("LISTEN a")), "C:LISTEN ZI");
    assert_eq!(words(&listener.query("NOTIFY a, 'x'")), "C:NOTIFY A:x ZI");
}

#[test]
fn howdah_ends_with_listeners() {
    let database = Cluster::shared(Version::V15).database("listen_drain");
    let mut howdah = Config::simple(1, &database).start();
    let mut listener = login(&howdah, &database);
    listener.query("LISTEN a");
    howdah.sigterm();
    assert_eq!(words(&listener.read_to_end()), "E:57P01");
    assert!(howdah.wait().success());
    wait_until("no connection is left", || database.backends().is_empty());
}
