//! Many clients, one listening connection.

use super::*;
use crate::support::Version;
use crate::support::wire::{query, terminate};
use std::thread;

#[test]
fn nothing_is_lost_and_all_hear_the_same_order() {
    const NOTIFIERS: usize = 50;
    const EACH: usize = 40;
    let database = Cluster::shared(Version::V15).database("listen_order");
    let howdah = Config::simple(4, &database).start();
    let mut listeners: Vec<_> = (0..4).map(|_| login(&howdah, &database)).collect();
    listeners.iter_mut().for_each(|listener| drop(listener.query("LISTEN news")));
    let notifiers: Vec<_> = (0..NOTIFIERS)
        .map(|n| {
            let (port, name) = (howdah.port, database.name.clone());
            thread::spawn(move || {
                let mut wire = Wire::login(("127.0.0.1", port), "app", &name);
                for i in 0..EACH {
                    match i % 4 {
                        0 => drop(wire.query(&format!("NOTIFY news, '{n} {i}'"))),
                        1 => drop(wire.query(&format!("SELECT pg_notify('news', '{n} {i}')"))),
                        2 => drop(wire.query(&format!("BEGIN; NOTIFY news, '{n} {i}'; COMMIT"))),
                        _ => {
                            wire.query(&format!("BEGIN; NOTIFY news, '{n} lost'; ROLLBACK"));
                            wire.query(&format!("NOTIFY news, '{n} {i}'; SELECT 1"));
                        }
                    }
                }
            })
        })
        .collect();
    let heard: Vec<Vec<String>> = thread::scope(|scope| {
        let readers: Vec<_> = listeners
            .iter_mut()
            .enumerate()
            .map(|(l, wire)| {
                scope.spawn(move || {
                    let mut all = Vec::new();
                    while all.len() < NOTIFIERS * EACH {
                        // One of them works meanwhile, so that notifications come between its transactions.
                        if l == 0 {
                            let answer = wire.query("SELECT 1");
                            all.extend(answer.iter().filter(|m| m.tag == b'A').map(|m| notification(m).2));
                        } else {
                            all.push(super::heard(wire));
                        }
                    }
                    all
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().expect("a reader")).collect()
    });
    notifiers.into_iter().for_each(|notifier| notifier.join().expect("a notifier"));
    for n in 0..NOTIFIERS {
        let its: Vec<&String> =
            heard[0].iter().filter(|payload| payload.starts_with(&format!("{n} "))).collect();
        let expected: Vec<String> = (0..EACH).map(|i| format!("{n} {i}")).collect();
        assert_eq!(its, expected.iter().collect::<Vec<_>>());
    }
    assert!(heard.iter().all(|order| *order == heard[0]));
}

#[test]
fn a_notifier_that_listens_hears_itself_first_of_all() {
    let database = Cluster::shared(Version::V15).database("listen_own");
    let howdah = Config::simple(3, &database).start();
    let clients: Vec<_> = (0..10)
        .map(|n| {
            let (port, name) = (howdah.port, database.name.clone());
            thread::spawn(move || {
                let mut wire = Wire::login(("127.0.0.1", port), "app", &name);
                let own = own_pid(&wire);
                wire.query(&format!("LISTEN c{n}"));
                for i in 0..50 {
                    let answer = wire.query(&format!("NOTIFY c{n}, '{i}'"));
                    assert_eq!(words(&answer), format!("C:NOTIFY A:{i} ZI"));
                    assert_eq!(notification(&answer[1]).0, own);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("a client"));
}

#[test]
fn listening_holds_no_server_connection() {
    let database = Cluster::shared(Version::V15).database("listen_idle");
    let howdah = Config::simple(1, &database).start();
    let mut listeners: Vec<_> = (0..100).map(|_| login(&howdah, &database)).collect();
    for (n, listener) in listeners.iter_mut().enumerate() {
        listener.query(&format!("LISTEN all_of_us; LISTEN c{}", n % 10));
    }
    let mut worker = login(&howdah, &database);
    worker.query("BEGIN");
    assert_eq!(worker.value("SELECT 1"), "1");
    database.query("NOTIFY all_of_us, 'while another works'");
    for listener in &mut listeners {
        assert_eq!(heard(listener), "while another works");
    }
    worker.query("NOTIFY c3, 'three'");
    worker.query("COMMIT");
    for (n, listener) in listeners.iter_mut().enumerate() {
        if n % 10 == 3 {
            assert_eq!(heard(listener), "three");
        }
    }
    assert_eq!(database.backends().len(), 2, "one for the pool, one that listens");
    assert_eq!(gauge(&howdah, "howdah_listening_clients", &database), Some(100.0));
    assert_eq!(gauge(&howdah, "howdah_listening_channels", &database), Some(11.0));
    assert_eq!(gauge(&howdah, "howdah_notifications_total", &database), Some(110.0));
}

#[test]
fn a_channel_ends_with_its_last_listener() {
    let database = Cluster::shared(Version::V15).database("listen_leave");
    let howdah = Config::simple(1, &database).start();
    let (mut a, mut b, mut c) =
        (login(&howdah, &database), login(&howdah, &database), login(&howdah, &database));
    for wire in [&mut a, &mut b, &mut c] {
        wire.query("LISTEN x");
    }
    let count = |n: f64| {
        wait_until("the gauge says so", || gauge(&howdah, "howdah_listening_clients", &database) == Some(n));
    };
    a.query("UNLISTEN *");
    count(2.0);
    b.send(&[terminate()]);
    count(1.0);
    // This one dies without a word, in the middle of a transaction.
    c.query("BEGIN");
    drop(c);
    count(0.0);
    wait_until("the channel is given up", || {
        gauge(&howdah, "howdah_listening_channels", &database) == Some(0.0)
    });
    a.query("LISTEN x");
    database.query("NOTIFY x, 'again'");
    assert_eq!(heard(&mut a), "again");
}

#[test]
fn a_client_that_does_not_read_is_ended_alone() {
    let database = Cluster::shared(Version::V15).database("listen_slow");
    let howdah = Config::simple(2, &database).start();
    let (mut slow, mut busy, mut good) =
        (login(&howdah, &database), login(&howdah, &database), login(&howdah, &database));
    for wire in [&mut slow, &mut busy, &mut good] {
        wire.query("LISTEN flood");
    }
    busy.query("BEGIN"); // it reads, but stays in its transaction
    let reader = thread::spawn(move || (0..6000).map(|_| heard(&mut good).len()).sum::<usize>());
    for round in 0..60 {
        database.query(&format!(
            "SELECT pg_notify('flood', n || repeat('x', 7900)) FROM generate_series({}, {}) n",
            100_000 + round * 100,
            100_000 + round * 100 + 99
        ));
    }
    assert_eq!(reader.join().expect("the good one"), 6000 * 7906);
    let end = busy.read_to_end();
    assert_eq!(words(&end), "E:54000");
    assert_eq!(end[0].field(b'S').as_deref(), Some("FATAL"));
    let end = slow.read_to_end();
    assert!(end.iter().take(end.len() - 1).all(|message| message.tag == b'A'));
    assert!(end.len() < 6000, "it has got all of it");
    wait_until("one is left", || gauge(&howdah, "howdah_listening_clients", &database) == Some(0.0));
}

#[test]
fn without_a_place_listen_is_refused() {
    let database = Cluster::shared(Version::V15).database("listen_full");
    let howdah = Config::simple(2, &database).pool("max_db_connections = 2").start();
    let (mut a, mut b) = (login(&howdah, &database), login(&howdah, &database));
    a.query("BEGIN");
    b.query("BEGIN");
    b.query("LISTEN x");
    let answer = b.query("COMMIT");
    assert_eq!(words(&answer), "C:COMMIT E:53300 ZI");
    assert!(answer[1].field(b'H').expect("a hint").contains("max_db_connections"));
    a.query("COMMIT");
    assert_eq!(words(&b.query("LISTEN x")), "C:LISTEN ZI", "one that rests was closed for it");
    assert_eq!(a.value("SELECT 1"), "1");
    database.query("NOTIFY x, 'there'");
    assert_eq!(heard(&mut b), "there");
    b.send(&[query("SELECT 1")]);
    assert_eq!(words(&b.read_until(b'Z')), "T D C:SELECT 1 ZI");
}
