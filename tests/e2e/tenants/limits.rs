//! Limits of tenants, and fair shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{ACME, GLOBEX, SEEN, code, config, login, shop};
use crate::support::wire::{Wire, query};
use crate::support::{PASSWORD, Version, wait_until};

#[test]
fn clients_connects_and_transactions_are_limited_by_tenant() {
    let database = shop(Version::V15, "limits");
    let tenancy = "[tenancy]\n[tenants.\"*\"]\n[tenants.acme]\nmax_client_conn = 2\n\
        [tenants.slow]\ntransactions_per_second = 3\n[tenants.rare]\nconnects_per_second = 1\n";
    let howdah = config(3, &database, tenancy).start();
    let try_login = |user: &str| {
        let parameters = [("user", user), ("database", database.name.as_str())];
        Wire::try_login(("127.0.0.1", howdah.port), &parameters, PASSWORD).map_err(|m| m.sqlstate())
    };
    let (mut one, two) = (try_login("app.acme").unwrap(), try_login("app.acme").unwrap());
    assert_eq!(try_login("app.acme").err().unwrap(), "53400");
    let mut by_set = login(&howdah, &database, "app");
    by_set.query("SET howdah.tenant = 'acme'");
    assert_eq!(code(&by_set.query(SEEN)), "53400");
    by_set.query("SET howdah.tenant = 'globex'");
    assert_eq!(by_set.value(SEEN), GLOBEX);
    drop(two);
    wait_until("a place is free", || try_login("app.acme").is_ok());
    assert_eq!(one.value(SEEN), ACME);

    let mut slow = login(&howdah, &database, "app.slow");
    let codes: Vec<String> = (0..20).map(|_| code(&slow.query(SEEN))).collect();
    assert!(codes[..3].iter().all(String::is_empty), "{codes:?}");
    assert!(codes.iter().any(|code| code == "53400"), "{codes:?}");
    wait_until("tokens are back", || code(&slow.query(SEEN)).is_empty());
    let many: Vec<bool> = (0..8).map(|_| try_login("app.rare").is_ok()).collect();
    assert!(many[0] && many.contains(&false), "{many:?}");
}

#[test]
fn a_tenant_at_its_limit_stops_nobody_else() {
    let database = shop(Version::V15, "limits_servers");
    let tenancy = "[tenancy]\n[tenants.\"*\"]\n[tenants.acme]\nmax_server_connections = 2\n";
    let howdah = config(4, &database, tenancy).start();
    let mut sleepers: Vec<Wire> = (0..6).map(|_| login(&howdah, &database, "app.acme")).collect();
    for wire in &mut sleepers {
        wire.send(&[query("SELECT 'asleep', pg_sleep(1.5)")]);
    }
    let asleep = || {
        database.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%''asleep''%' AND state = 'active' AND pid <> pg_backend_pid()")
    };
    wait_until("two are asleep", || asleep() == "2");
    let mut other = login(&howdah, &database, "app.globex");
    for _ in 0..20 {
        assert_eq!(other.value(SEEN), GLOBEX);
        assert!(asleep().parse::<u32>().unwrap() <= 2);
    }
    for wire in &mut sleepers {
        assert_eq!(wire.read_until(b'Z').len(), 4);
    }
}

#[test]
fn statement_timeout_of_a_tenant() {
    let database = shop(Version::V15, "limits_timeout");
    let howdah =
        config(1, &database, "[tenancy]\n[tenants.\"*\"]\n[tenants.acme]\nstatement_timeout = \"200ms\"\n")
            .start();
    let mut wire = login(&howdah, &database, "app.acme");
    for text in
        ["SELECT pg_sleep(30)", "SELECT 1; SELECT pg_sleep(30)", "DO $$ BEGIN PERFORM pg_sleep(30); END $$"]
    {
        assert_eq!(code(&wire.query(text)), "57014", "{text}");
    }
    assert_eq!(code(&wire.query("SET statement_timeout = 0")), "42501");
    assert_eq!(login(&howdah, &database, "app.globex").value("SHOW statement_timeout"), "0");
}

#[test]
fn a_busy_tenant_does_not_starve_another() {
    let database = shop(Version::V15, "limits_busy");
    let howdah = config(4, &database, super::ANY).start();
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..24)
        .map(|_| {
            let mut wire = login(&howdah, &database, "app.acme");
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut count = 0;
                while !stop.load(Ordering::SeqCst) {
                    assert_eq!(wire.value("SELECT 'acme' FROM pg_sleep(0.02)"), "acme");
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut other = login(&howdah, &database, "app.globex");
    for _ in 0..100 {
        assert_eq!(other.value(SEEN), GLOBEX);
    }
    stop.store(true, Ordering::SeqCst);
    let counts: Vec<i32> = busy.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(counts.iter().all(|count| *count > 0), "each of them got its turns: {counts:?}");
}
