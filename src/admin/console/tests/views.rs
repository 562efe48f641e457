//! What the console shows beside the cache.

use super::*;
use crate::admin::console::table::Kind;
use crate::admin::console::view::View;

/// Two tenants' statements: one that is slow, one that fails, and one that runs once for each row of another.
fn measured() -> Arc<Observer> {
    let settings = ObserverSettings {
        slow: Some(Duration::from_millis(100)),
        n_plus_one: NPlusOneSettings { threshold: 3, ..NPlusOneSettings::default() },
        ..ObserverSettings::default()
    };
    let observer = Observer::new(settings, 1);
    let recorder = observer.recorder(0);
    let shape = |text: &str| Arc::new(Shape::new(text.as_bytes(), true));
    let caller = |tenant: Option<&str>| {
        Arc::new(Caller {
            database: "app".into(),
            user: "web".into(),
            application: "shop".into(),
            tenant: tenant.map(Into::into),
        })
    };
    let tags = Tags { route: Some("/orders".into()), ..Tags::default() };
    let record = |shape: &Arc<Shape>, caller: &Arc<Caller>, first, values| StatementRecord {
        shape: Arc::clone(shape),
        caller: Arc::clone(caller),
        tags: Some(Arc::new(tags.clone())),
        client: ClientId(1),
        transaction: 1,
        at: observer.now(),
        phases: Phases { first, rest: 1_000_000, ..Phases::default() },
        served: Served::Server,
        continues: false,
        rows: 2,
        bytes: 100,
        error: None,
        values,
        detail: None,
    };
    let (acme, none) = (caller(Some("acme")), caller(None));
    let slow = shape("SELECT * FROM orders WHERE id = 1");
    let detail = Some(Box::default());
    recorder.statement(StatementRecord { detail, ..record(&slow, &acme, 499_000_000, 1) });
    let failed = shape("SELECT 1 / 0");
    recorder.statement(StatementRecord { error: Some(*b"22012"), ..record(&failed, &none, 1_000_000, 2) });
    let items = shape("SELECT * FROM items WHERE order_id = 5");
    (0..10).for_each(|values| recorder.statement(record(&items, &acme, 1_000_000, values)));
    recorder.transaction(TransactionRecord {
        caller: acme,
        at: observer.now(),
        length: 600_000_000,
        idle: 0,
        wait: 3_000_000,
        statements: 12,
        received: 1000,
        sent: 2000,
        client_parses: 3,
        server_parses: 2,
        binds: 4,
    });
    observer
}

fn looking(observer: Option<Arc<Observer>>, clients: Vec<ClientInfo>) -> Operator {
    Operator::in_house(House { observer, clients, ..House::new(None) }, false)
}

fn client(id: u64, state: ClientState) -> ClientInfo {
    let pool = PoolKey { database: "app".into(), user: "web".into() };
    let ends = Ends {
        peer: Peer::Tcp("10.0.0.9:4321".parse().unwrap()),
        local: Some("10.0.0.1:6432".parse().unwrap()),
        pid: None,
        tls: Some("TLSv1.3/TLS_AES_256_GCM_SHA384".into()),
    };
    ClientInfo {
        id: ClientId(id),
        pid: 77,
        database: "app".into(),
        pool,
        application: "shop".into(),
        tenant: Some("acme".into()),
        replication: None,
        state,
        wait: Duration::from_micros(2_000_345),
        requested: Some(Duration::ZERO),
        since: SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000),
        ends,
        server: Some((BackendId(9), 4711)),
        pinned: (id == 1).then(|| "temporary table".to_owned()),
        prepared: 6,
    }
}

#[test]
fn statements_are_shown_heaviest_first() {
    let mut operator = looking(Some(measured()), Vec::new());
    let (columns, rows) = operator.table("SHOW QUERIES");
    assert_eq!((columns.len(), rows.len()), (25, 3));
    assert_eq!(columns[24], "query");
    let orders = operator.row("SHOW QUERIES LIMIT 1", "calls", "1");
    let shape = Shape::new(b"SELECT * FROM orders WHERE id = 99", true);
    assert_eq!(orders["fingerprint"], format!("{:016x}", shape.fingerprint));
    assert_eq!((&*orders["query"], &*orders["database"]), (&*shape.text, "app"));
    assert_eq!((&*orders["total_time"], &*orders["server_time"], &*orders["rows"]), ("500", "500", "2"));
    let percent: f64 = orders["time_percent"].parse().unwrap();
    assert!((90.0..100.0).contains(&percent), "{percent}");
    let items = operator.row("SHOW QUERIES WHERE query LIKE '%items%'", "database", "app");
    assert_eq!((&*items["calls"], &*items["mean_time"], &*items["min_time"]), ("10", "2", "2"));
    assert_eq!((&*items["n_plus_one"], &*items["errors"]), ("1", "0"));
    let of_tenant = operator.table("SHOW QUERIES TENANT acme").1;
    assert_eq!((of_tenant.len(), of_tenant[1][2].as_deref()), (2, Some("10")), "{of_tenant:?}");
    assert_eq!(of_tenant[0][11], None, "no quantiles of a tenant alone");
    assert_eq!(operator.table("SHOW QUERIES TENANT nobody").1.len(), 0);
    let by_errors = operator.table("SHOW QUERIES ORDER BY errors DESC LIMIT 1").1;
    assert_eq!(by_errors[0][3].as_deref(), Some("1"));
}

#[test]
fn tenants_are_shown_with_their_limits() {
    let clients = vec![client(1, ClientState::Active), client(2, ClientState::Waiting)];
    let mut operator = looking(Some(measured()), clients);
    let acme = operator.row("SHOW TENANTS", "tenant", "acme");
    assert_eq!((&*acme["calls"], &*acme["transactions"], &*acme["wait_time"]), ("11", "1", "3"));
    assert_eq!((&*acme["clients"], &*acme["waiting"]), ("2", "1"));
    assert_eq!((&*acme["weight"], &*acme["max_server_connections"]), ("4", "5"));
    assert_eq!(acme["transactions_per_second"], "NULL");
    let nobody = operator.row("SHOW TENANTS", "calls", "1");
    assert_eq!((&*nobody["tenant"], &*nobody["weight"], &*nobody["errors"]), ("NULL", "NULL", "1"));
}

#[test]
fn what_should_be_looked_at_is_shown() {
    let mut operator =
        looking(Some(measured()), vec![client(1, ClientState::Idle), client(2, ClientState::Idle)]);
    let slow = operator.row("SHOW SLOW", "tenant", "acme");
    assert_eq!((&*slow["total_time"], &*slow["first_byte_time"], &*slow["route"]), ("500", "499", "/orders"));
    assert_eq!((&*slow["user"], &*slow["application_name"], &*slow["parameters"]), ("web", "shop", "NULL"));
    let error = operator.row("SHOW ERRORS", "sqlstate", "22012");
    assert_eq!((&*error["count"], &*error["of_howdah"], &*error["user"]), ("1", "0", "web"));
    assert!(error["last_seen"].ends_with(" UTC"), "{error:?}");
    let run = operator.row("SHOW N_PLUS_ONE", "route", "/orders");
    assert_eq!((&*run["occurrences"], &*run["worst"]), ("1", "10"));
    assert!(run["query"].contains("items") && run["before"].contains('/'), "{run:?}");
    let (_, pins) = operator.table("SHOW PINS");
    assert_eq!(pins.len(), 1);
    let pin = operator.row("SHOW PINS", "id", "1");
    assert_eq!((&*pin["reasons"], &*pin["server"], &*pin["server_pid"]), ("temporary table", "S-9", "4711"));
}

#[test]
fn without_measuring_there_is_nothing_of_it() {
    let mut operator = looking(None, Vec::new());
    for view in ["QUERIES", "TENANTS", "N_PLUS_ONE", "ERRORS", "SLOW", "PINS", "STATS"] {
        assert_eq!(tags(&operator.query(&format!("SHOW {view}"))), "TCZ", "{view}");
    }
    let mut admin = Operator::in_house(House::new(None), true);
    assert_eq!(error(&admin.query("RESET STATS")), "55000");
}

#[test]
fn statistics_are_reset_by_those_who_may() {
    let observer = measured();
    let mut operator = looking(Some(Arc::clone(&observer)), Vec::new());
    assert_eq!(error(&operator.query("RESET STATS")), "42501");
    let house = House { observer: Some(observer), ..House::new(None) };
    let mut admin = Operator::in_house(house, true);
    let stats =
        |operator: &mut Operator| operator.row("SHOW STATS", "database", "app")["total_query_count"].clone();
    assert_eq!(stats(&mut admin), "12");
    // What pools of drivers say before each loan.
    assert_eq!(tags(&admin.query("RESET ALL")), "NCZ");
    assert_eq!(admin.table("SHOW QUERIES").1.len(), 3);
    assert_eq!(complete(&admin.query("RESET QUERIES")), "RESET");
    for view in ["QUERIES", "TENANTS", "N_PLUS_ONE", "ERRORS", "SLOW"] {
        assert_eq!(admin.table(&format!("SHOW {view}")).1.len(), 0, "{view}");
    }
    assert_eq!(stats(&mut admin), "12", "totals since the start stay");
}

#[test]
fn sums_are_shown_as_pgbouncer_has_them() {
    let mut operator = looking(Some(measured()), Vec::new());
    let app = operator.row("SHOW STATS", "database", "app");
    assert_eq!((&*app["total_received"], &*app["total_sent"]), ("1000", "2000"));
    assert_eq!((&*app["total_client_parse_count"], &*app["total_bind_count"]), ("3", "4"));
    assert_eq!((&*app["total_query_time"], &*app["avg_query_time"]), ("522000", "43500"));
    assert_eq!(app["total_requests"], app["total_query_count"]);
    let totals = operator.row("SHOW STATS_TOTALS", "database", "app");
    assert_eq!((&*totals["bytes_received"], &*totals["query_count"]), ("1000", "12"));
    assert_eq!(operator.row("SHOW STATS_AVERAGES", "database", "app")["query_time"], "43500");
    let all = operator.table("SHOW TOTALS").1;
    assert_eq!(all.len(), 22);
    assert!(all.contains(&vec![Some("total_client_bytes".to_owned()), Some("1000".to_owned())]), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn averages_are_those_of_the_last_minutes() {
    let observer = measured();
    let house = Arc::new(House { observer: Some(observer), ..House::new(None) });
    let average = || {
        let mut operator =
            Operator(Talk::new(Arc::clone(&house) as Arc<dyn Operations>, "ops".into(), false));
        operator.row("SHOW STATS", "database", "app")["avg_recv"].clone()
    };
    assert!(!house.history.is_due());
    assert_eq!(average(), "1000", "of a second at least");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(average(), "100");
    tokio::time::advance(Duration::from_secs(50)).await;
    assert!(house.history.is_due());
    house.history.sample(&*house);
    assert!(!house.history.is_due());
    assert_eq!(average(), "16", "the whole period before counts too");
    tokio::time::advance(Duration::from_secs(60)).await;
    house.history.sample(&*house);
    assert_eq!(average(), "0", "and is over");
}

#[test]
fn clients_are_shown_as_pgbouncer_shows_sockets() {
    let clients =
        vec![client(1, ClientState::Active), client(2, ClientState::Waiting), client(3, ClientState::Idle)];
    let mut operator = looking(None, clients);
    let waiting = operator.row("SHOW CLIENTS", "state", "waiting");
    let shown = ["type", "user", "database", "replication", "addr", "port", "local_addr", "local_port"];
    let values = shown.map(|column| &*waiting[column]);
    assert_eq!(values, ["C", "web", "app", "none", "10.0.0.9", "4321", "10.0.0.1", "6432"]);
    assert_eq!((&*waiting["wait"], &*waiting["wait_us"]), ("2", "345"));
    assert_eq!(waiting["connect_time"], "2020-09-13 12:26:40 UTC");
    assert_eq!((&*waiting["ptr"], &*waiting["link"], &*waiting["id"]), ("C-2", "S-9", "2"));
    assert_eq!((&*waiting["tls"], &*waiting["prepared_statements"]), ("TLSv1.3/TLS_AES_256_GCM_SHA384", "6"));
    let sockets = operator.table("SHOW SOCKETS");
    assert_eq!((sockets.0.len(), sockets.1.len()), (28, 3));
    assert_eq!(operator.row("SHOW ACTIVE_SOCKETS", "id", "2")["state"], "cl_waiting");
    assert_eq!(operator.table("SHOW ACTIVE_SOCKETS").1.len(), 2);
    assert_eq!(operator.table("SHOW SERVERS").1.len(), 0);
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let mut operator = looking(None, vec![client(1, ClientState::Active)]);
    let app = operator.row("SHOW DATABASES", "name", "app");
    let shown = ["host", "port", "database", "force_user", "pool_size", "reserve_pool_size", "pool_mode"];
    let values = shown.map(|column| &*app[column]);
    assert_eq!(values, ["db.example", "5433", "real", "owner", "20", "3", "session"]);
    assert_eq!((&*app["current_client_connections"], &*app["reserve_pool"]), ("1", "3"));
    let zoo = operator.row("SHOW DATABASES", "name", "zoo");
    assert_eq!((&*zoo["database"], &*zoo["force_user"], &*zoo["pool_mode"]), ("zoo", "NULL", "NULL"));
    let user = operator.row("SHOW USERS", "name", "app");
    assert_eq!((&*user["pool_size"], &*user["reserve_pool_size"]), ("7", "NULL"));
    let setting = operator.row("SHOW CONFIG", "key", "query_wait_timeout");
    assert_eq!((&*setting["value"], &*setting["default"], &*setting["changeable"]), ("1.5", "120", "no"));
    assert_eq!(operator.row("SHOW CONFIG", "key", "pool.query_wait_timeout")["value"], "1s 500ms");
    assert_eq!(operator.row("SHOW CONFIG", "key", "tenants.acme.weight")["changeable"], "yes");
    let all = format!("{:?}", operator.table("SHOW CONFIG").1);
    assert!(all.contains("***") && !all.contains("s3cret") && !all.contains("hidden"), "{all}");
    assert_eq!(operator.row("SHOW LISTS", "list", "users")["items"], "2");
    assert_eq!(operator.row("SHOW LISTS", "list", "login_clients")["items"], "2");
    assert_eq!(operator.row("SHOW STATE", "key", "active")["value"], "yes");
    let memory = operator.row("SHOW MEM", "name", "process");
    assert_eq!(memory["memtotal"], i32::MAX.to_string(), "as large as the column's type");
}

#[test]
fn what_pgbouncer_has_and_howdah_has_not_is_refused() {
    let mut looker = Operator::new(None, false);
    let mut admin = Operator::new(None, true);
    let words = "PAUSE RESUME SUSPEND SHUTDOWN RELOAD RECONNECT WAIT_CLOSE";
    let with_name = ["PAUSE app", "KILL app", "DISABLE app", "ENABLE app", "KILL_CLIENT 7", "SHOW FDS"];
    for text in words.split(' ').chain(with_name) {
        let refused = looker.query(text);
        assert_eq!((tags(&refused).as_str(), error(&refused).as_str()), ("EZ", "42501"), "{text}");
        let missing = admin.query(text);
        assert_eq!(error(&missing), "0A000", "{text}");
        let (_, body) = missing.iter().find(|(tag, _)| *tag == b'E').unwrap();
        assert!(!wire::ErrorFields::read(body).message.is_empty());
        assert!(body.windows(2).any(|pair| pair == b"\0H"), "{text} has a hint");
    }
}

#[test]
fn drivers_are_told_what_they_ask_for() {
    let mut operator = Operator::new(None, false);
    for (name, value) in
        [("client_encoding", "UTF8"), ("TimeZone", "UTC"), ("standard_conforming_strings", "on")]
    {
        assert_eq!(operator.rows(&format!("SHOW {name}")), [[Some(value.to_owned())]], "{name}");
    }
    assert_eq!(operator.rows("SHOW TIME ZONE"), [[Some("UTC".to_owned())]]);
}

#[test]
fn each_view_answers_by_both_protocols() {
    for (word, shown, _) in view::VIEWS.iter().filter(|(_, shown, _)| *shown != View::Fds) {
        let clients = vec![client(1, ClientState::Active)];
        let mut operator = looking(Some(measured()), clients);
        let text = format!("SHOW {word}");
        let (columns, rows) = operator.table(&text);
        assert_eq!(columns, shown.columns().iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{word}");
        assert!(rows.iter().all(|row| row.len() == columns.len()), "{word}: {rows:?}");
        for format in [0, 1] {
            let mut out = Vec::new();
            parse(&mut out, "", &text);
            bind(&mut out, "", &[format]);
            wire::describe_portal(&mut out);
            wire::execute(&mut out);
            wire::sync(&mut out);
            let answer = operator.say(&out);
            assert_eq!(tags(&answer), format!("12T{}CZ", "D".repeat(rows.len())), "{word}");
            for (_, row) in answer.iter().filter(|(tag, _)| *tag == b'D') {
                for ((name, kind), field) in shown.columns().iter().zip(wire::fields(row).unwrap()) {
                    let Some(field) = field.filter(|_| format == 1) else { continue };
                    let right = match kind {
                        Kind::Text => std::str::from_utf8(field).is_ok(),
                        Kind::Int4 => field.len() == 4,
                        Kind::Int8 | Kind::Float8 => field.len() == 8,
                        Kind::Numeric => field.len() >= 8 && field.len() % 2 == 0,
                    };
                    assert!(right, "{word}.{name}: {field:?}");
                }
            }
        }
    }
}

#[test]
fn options_take_no_column_that_is_not_there() {
    let mut operator = Operator::new(None, false);
    assert_eq!(error(&operator.query("SHOW POOLS ORDER BY nothing")), "42703");
    assert_eq!(error(&operator.query("SHOW POOLS WHERE sv_idle = many")), "42601");
    assert_eq!(tags(&operator.query("SHOW LISTS WHERE items > 0 ORDER BY items DESC LIMIT 1")), "TDCZ");
}
