//! What reads PgBouncer reads Howdah: its columns, its exporter for Prometheus, and what they show of real work.

use crate::support::watchdog::{Watchdog, signal};
use crate::support::wire::tags;
use crate::support::{
    Authority, Cluster, Config, Howdah, PASSWORD, Version, Wire, free_port, target_dir, wait_until,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Tables of PgBouncer 1.25, from its `src/admin.c` and `src/stats.c`: s is text, i int4, q int8, N numeric.
const PGBOUNCER_1_25: [(&str, &str, &str); 19] = [
    (
        "STATS",
        "sNNNNNNNNNNNNNNNNNNNNNN",
        "database total_server_assignment_count total_xact_count total_query_count total_received total_sent \
         total_xact_time total_query_time total_wait_time total_client_parse_count total_server_parse_count \
         total_bind_count avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time \
         avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count",
    ),
    (
        "STATS_TOTALS",
        "sNNNNNNNNNNN",
        "database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time \
         wait_time client_parse_count server_parse_count bind_count",
    ),
    (
        "STATS_AVERAGES",
        "sNNNNNNNNNNN",
        "database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time \
         wait_time avg_client_parse_count avg_server_parse_count avg_bind_count",
    ),
    ("TOTALS", "sN", "name value"),
    (
        "POOLS",
        "ssiiiiiiiiiiiiiss",
        "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel \
         sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts",
    ),
    (
        "DATABASES",
        "ssissiiiissiiiiii",
        "name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode \
         load_balance_hosts max_connections current_connections max_client_connections current_client_connections \
         paused disabled",
    ),
    (
        "USERS",
        "ssssiiii",
        "name pool_size reserve_pool_size pool_mode max_user_connections current_connections \
         max_user_client_connections current_client_connections",
    ),
    ("CLIENTS", "ssssssisissiiississii", SOCKETS),
    ("SERVERS", "ssssssisissiiississii", SOCKETS),
    ("SOCKETS", "ssssssisissiiississiiiiiiiii", SOCKETS_MORE),
    ("ACTIVE_SOCKETS", "ssssssisissiiississiiiiiiiii", SOCKETS_MORE),
    ("LISTS", "si", "list items"),
    ("CONFIG", "ssss", "key value default changeable"),
    ("STATE", "ss", "key value"),
    ("MEM", "siiii", "name size used free memtotal"),
    ("DNS_HOSTS", "sqs", "hostname ttl addrs"),
    ("DNS_ZONES", "sqi", "zonename serial count"),
    ("PEERS", "isii", "peer_id host port pool_size"),
    ("PEER_POOLS", "iiiii", "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login"),
];
const SOCKETS: &str = "type user database replication state addr port local_addr local_port connect_time request_time \
     wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id";
const SOCKETS_MORE: &str = "type user database replication state addr port local_addr local_port connect_time \
     request_time wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id recv_pos \
     pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail";
/// What Howdah has behind them: names that PgBouncer had before.
const OLDER: [(&str, &str, u32); 2] = [("STATS", "total_requests", 1700), ("DATABASES", "reserve_pool", 23)];

/// Name, type and length of each column.
type Columns = Vec<(String, u32, i16)>;

fn columns(wire: &mut Wire, view: &str) -> Option<Columns> {
    let answer = wire.query(&format!("SHOW {view}"));
    let description = answer.iter().find(|message| message.tag == b'T')?;
    let mut rest = &description.body[2..];
    let mut columns = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let name = String::from_utf8(rest[..end].to_vec()).unwrap();
        let oid = u32::from_be_bytes(rest[end + 7..end + 11].try_into().unwrap());
        let length = i16::from_be_bytes(rest[end + 11..end + 13].try_into().unwrap());
        columns.push((name, oid, length));
        rest = &rest[end + 19..];
    }
    Some(columns)
}

fn typed(letter: char) -> (u32, i16) {
    match letter {
        's' => (25, -1),
        'i' => (23, 4),
        'q' => (20, 8),
        _ => (1700, -1),
    }
}

const ADMIN: &str = "[admin]\nusers = [\"postgres\"]\nstats_users = [\"app\"]\n";

/// A Howdah whose only server is not there.
fn idle() -> Howdah {
    let config = Config::new(2).server("app", 1, "app", "").user("app").user("postgres").sections(ADMIN);
    config.start()
}

fn console(howdah: &Howdah, user: &str) -> Wire {
    Wire::try_login(howdah.address(), &[("user", user), ("database", "pgbouncer")], PASSWORD).unwrap()
}

/// The first row of a table with this value in that column, as a function from columns to fields. What a client has the
/// answer of may be counted a moment later: waits until the row is there.
fn row(wire: &mut Wire, view: &str, column: &str, value: &str) -> impl Fn(&str) -> String + use<> {
    let names: Vec<String> = columns(wire, view).unwrap().into_iter().map(|(name, ..)| name).collect();
    let place = names.iter().position(|name| name == column).unwrap();
    let mut found = Vec::new();
    wait_until(&format!("{column} is {value} in {view}"), || {
        let answer = wire.query(&format!("SHOW {view}"));
        let mut rows = answer.iter().filter(|message| message.tag == b'D').map(|message| message.row());
        found = rows.find(|row| row[place].as_deref() == Some(value)).unwrap_or_default();
        !found.is_empty()
    });
    move |column| {
        let place = names.iter().position(|name| name == column).unwrap_or_else(|| panic!("no {column}"));
        found[place].clone().unwrap_or_else(|| "NULL".to_owned())
    }
}

/// A process of a test's own, killed on drop or when the test process dies.
struct Process {
    child: Child,
    watchdog: Watchdog,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let watchdog = Watchdog::new("kill -s KILL \"$1\"", &[&child.id().to_string()]);
        Self { child, watchdog }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        self.watchdog.call_off();
    }
}

#[test]
fn tables_have_the_columns_of_pgbouncer() {
    let howdah = idle();
    let mut wire = console(&howdah, "app");
    for (view, types, names) in PGBOUNCER_1_25 {
        let names: Vec<&str> = names.split_whitespace().collect();
        assert_eq!(names.len(), types.len(), "{view}: the list is wrong");
        let mut expected: Columns = names
            .iter()
            .zip(types.chars())
            .map(|(name, letter)| ((*name).to_owned(), typed(letter).0, typed(letter).1))
            .collect();
        let older = OLDER.iter().filter(|(of, ..)| *of == view);
        expected
            .extend(older.map(|(_, name, oid)| ((*name).to_owned(), *oid, if *oid == 23 { 4 } else { -1 })));
        assert_eq!(columns(&mut wire, view).unwrap(), expected, "{view}");
    }
    let lists: Vec<_> = wire
        .query("SHOW LISTS")
        .iter()
        .filter(|m| m.tag == b'D')
        .map(|m| m.row()[0].clone().unwrap())
        .collect();
    let expected = "databases users peers pools peer_pools free_clients used_clients login_clients free_servers \
         used_servers dns_names dns_zones dns_queries dns_pending";
    assert_eq!(lists, expected.split_whitespace().collect::<Vec<_>>());
    let totals: Vec<_> = wire
        .query("SHOW TOTALS")
        .iter()
        .filter(|m| m.tag == b'D')
        .map(|m| m.row()[0].clone().unwrap())
        .collect();
    let sums = "server_assignment_count xact_count query_count client_bytes server_bytes xact_time query_time wait_time \
         ps_client_parse_count ps_server_parse_count ps_bind_count";
    let expected: Vec<String> = ["total_", "avg_"]
        .iter()
        .flat_map(|prefix| sums.split_whitespace().map(move |sum| format!("{prefix}{sum}")))
        .collect();
    assert_eq!(totals, expected);
}

/// What the installed PgBouncer (1.18 in Debian 12) says itself: its columns are among ours, in its order and of its
/// types; what came after it is in the list above.
#[test]
fn a_running_pgbouncer_agrees() {
    let dir = tempfile::Builder::new().prefix("howdah-pgbouncer").tempdir().unwrap();
    let (port, file) = (free_port(), dir.path().join("pgbouncer.ini"));
    std::fs::write(
        &file,
        format!(
            "[databases]\napp = host=127.0.0.1 port=1\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\nadmin_users = ops\n"
        ),
    )
    .unwrap();
    for path in [dir.path(), &file] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let mut command = Command::new("/usr/sbin/pgbouncer");
    command.arg("-q").arg(&file);
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0 {
        command.args(["-u", "nobody"]);
    }
    let _pgbouncer = Process::start(&mut command);
    wait_until("pgbouncer listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    let mut theirs = Wire::login(("127.0.0.1", port), "ops", "pgbouncer");
    let howdah = idle();
    let mut ours = console(&howdah, "postgres");
    let mut compared = 0;
    for (view, ..) in PGBOUNCER_1_25 {
        let Some(theirs) = columns(&mut theirs, view) else { continue }; // it came later
        let ours = columns(&mut ours, view).unwrap();
        let older: Vec<&str> = OLDER.iter().map(|(_, name, _)| *name).collect();
        let common: Columns = ours.iter().filter(|column| theirs.contains(column)).cloned().collect();
        let (late, rest): (Columns, Columns) =
            common.into_iter().partition(|(name, ..)| older.contains(&&**name));
        let expected: Columns = theirs.iter().filter(|column| !late.contains(column)).cloned().collect();
        assert_eq!(rest, expected, "{view}");
        compared += 1;
    }
    assert!(compared >= 15, "only {compared} tables");
    // What it refuses is refused, and what it fakes is faked.
    for view in ["client_encoding", "timezone", "datestyle", "standard_conforming_strings"] {
        let theirs = columns(&mut theirs, view);
        assert_eq!(columns(&mut ours, view), theirs, "{view}");
    }
}

/// Debian's exporter for PgBouncer, as it is in its package.
fn exporter(howdah: &Howdah, port: u16) -> Process {
    let package = target_dir().join("exporter");
    let program = package.join("usr/bin/prometheus-pgbouncer-exporter");
    assert!(program.exists(), "no {}: run scripts/install-deps.sh", program.display());
    let mut command = Command::new("/usr/bin/python3");
    command.arg(program).env("PYTHONPATH", package.join("usr/lib/python3/dist-packages"));
    command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--pgbouncer-host", "127.0.0.1", "--pgbouncer-port", &howdah.port.to_string()]);
    command.args(["--pgbouncer-user", "app"]).env("PGPASSWORD", PASSWORD);
    for name in ["CONFIG", "PORT", "HOST", "PGBOUNCER_DATABASES"] {
        command.env_remove(name);
    }
    Process::start(&mut command)
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

#[test]
fn debians_exporter_for_pgbouncer_exports_howdah() {
    let database = Cluster::shared(Version::V15).database("console_exporter");
    let howdah = Config::simple(3, &database).pool("reserve_pool_size = 2").sections(ADMIN).start();
    let login = |user: &str| {
        Wire::try_login(howdah.address(), &[("user", user), ("database", "console_exporter")], PASSWORD)
            .unwrap()
    };
    let mut clients: Vec<Wire> = (0..3).map(|_| login("app")).collect();
    for client in &mut clients {
        client.query("SELECT repeat('x', 1000)");
        client.query("SELECT pg_sleep(0.01)");
    }
    clients[0].query("BEGIN");
    let port = free_port();
    let _exporter = exporter(&howdah, port);
    let mut metrics = String::new();
    wait_until("the exporter answers", || {
        metrics = get(port, "/metrics").unwrap_or_default();
        metrics.contains("pgbouncer_requests_total{database=\"console_exporter\"} 7.0")
    });
    let value = |series: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{metrics}")).parse().unwrap()
    };
    let of = |name: &str| value(&format!("pgbouncer_{name}{{database=\"console_exporter\"}}"));
    assert!(of("received_bytes_total") > 100.0 && of("sent_bytes_total") > 3000.0);
    assert!(of("query_microseconds_total") >= 30_000.0);
    assert_eq!((of("pool_size"), of("reserve_pool")), (3.0, 2.0));
    let pool = |name: &str| value(&format!("pgbouncer_{name}{{database=\"console_exporter\",user=\"app\"}}"));
    assert_eq!((pool("active_clients"), pool("waiting_clients")), (3.0, 0.0));
    for (name, count) in [("databases", 1.0), ("users", 2.0), ("pools", 1.0), ("used_clients", 3.0)] {
        assert_eq!(value(&format!("pgbouncer_{name}")), count, "{name}");
    }
    for name in [
        "free_clients",
        "login_clients",
        "free_servers",
        "used_servers",
        "dns_names",
        "dns_zones",
        "dns_queries",
        "dns_pending",
    ] {
        value(&format!("pgbouncer_{name}"));
    }
    // It stays connected, and sees what changes.
    clients[0].query("COMMIT");
    wait_until("the exporter sees the eighth", || {
        let metrics = get(port, "/metrics").unwrap_or_default();
        metrics.contains("pgbouncer_requests_total{database=\"console_exporter\"} 8.0")
    });
}

#[test]
fn what_works_and_what_waits_is_shown() {
    let database = Cluster::shared(Version::V15).database("console_work");
    let howdah = Config::simple(1, &database).sections(ADMIN).start();
    let login = |name: &str| {
        let parameters = [("user", "app"), ("database", "console_work"), ("application_name", name)];
        Wire::try_login(howdah.address(), &parameters, PASSWORD).unwrap()
    };
    let (mut first, mut second) = (login("first"), login("second"));
    let mut admin = console(&howdah, "postgres");
    let clients = row(&mut admin, "CLIENTS", "application_name", "first");
    assert_eq!(
        (clients("state"), clients("link"), clients("user")),
        ("idle".into(), String::new(), "app".into())
    );
    assert_eq!((clients("addr"), clients("local_addr")), ("127.0.0.1".into(), "127.0.0.1".into()));
    assert_eq!(clients("local_port"), howdah.port.to_string());
    assert_eq!(clients("port"), first.stream.local_addr().unwrap().port().to_string());

    first.query("BEGIN");
    let pid = first.value("SELECT pg_backend_pid()");
    second.send(&[crate::support::wire::query("SELECT 1")]);
    wait_until("the second waits", || {
        row(&mut admin, "POOLS", "database", "console_work")("cl_waiting") == "1"
    });
    let pool = row(&mut admin, "POOLS", "database", "console_work");
    assert_eq!((pool("cl_active"), pool("sv_active"), pool("sv_idle")), ("1".into(), "1".into(), "0".into()));
    assert_eq!(pool("pool_mode"), "transaction");
    wait_until("it has waited for a while", || {
        let pool = row(&mut admin, "POOLS", "database", "console_work");
        let client = row(&mut admin, "CLIENTS", "application_name", "second");
        client("state") == "waiting" && pool("maxwait_us") != "0" && client("wait_us") != "0"
    });
    let server = row(&mut admin, "SERVERS", "state", "active");
    let client = row(&mut admin, "CLIENTS", "application_name", "first");
    assert_eq!((server("remote_pid"), server("application_name")), (pid.clone(), "first".into()));
    assert_eq!((server("link"), client("link")), (client("ptr"), server("ptr")));
    assert_eq!(
        (server("port"), server("database")),
        (database.cluster.port.to_string(), "console_work".into())
    );
    assert_eq!(row(&mut admin, "SOCKETS", "application_name", "second")("state"), "cl_waiting");
    let lists = |admin: &mut Wire, list: &str| row(admin, "LISTS", "list", list)("items");
    assert_eq!(
        (lists(&mut admin, "used_clients"), lists(&mut admin, "used_servers")),
        ("2".into(), "1".into())
    );
    let shown = row(&mut admin, "DATABASES", "name", "console_work");
    assert_eq!((shown("current_connections"), shown("current_client_connections")), ("1".into(), "2".into()));

    first.query("COMMIT");
    second.read_ready(1);
    let server = row(&mut admin, "SERVERS WHERE state = 'idle'", "remote_pid", &pid);
    assert_eq!(server("link"), "");
    first.query("SET application_name = 'renamed'");
    let _ = row(&mut admin, "CLIENTS WHERE state = 'idle'", "application_name", "renamed");
    let stats = row(&mut admin, "STATS WHERE total_query_count = 5", "total_xact_count", "3");
    assert_eq!(stats("database"), "console_work");
    // One more each: what a pool tells its first client it asked the server for.
    assert!(stats("total_server_assignment_count").parse::<u32>().unwrap() >= 3);
    assert!(stats("total_wait_time").parse::<u64>().unwrap() > 0);
    drop((first, second));
    wait_until("nobody is there", || lists(&mut admin, "used_clients") == "0");
}

#[test]
fn what_statements_cost_is_shown_and_reset() {
    let database = Cluster::shared(Version::V15).database("console_costs");
    database.query("CREATE TABLE items (id int, order_id int)");
    database.query("GRANT SELECT ON items TO app");
    let tenancy = "[tenancy]\non_missing = \"none\"\n[tenants.\"*\"]\n[tenants.acme]\nweight = 3\n\
         [observe.n_plus_one]\nthreshold = 5\nwindow = \"1m\"\n";
    let config = Config::simple(2, &database).sections(ADMIN).sections(tenancy);
    let howdah = config.start();
    let login = |user: &str, name: &str| {
        let parameters = [("user", user), ("database", "console_costs"), ("application_name", name)];
        Wire::try_login(howdah.address(), &parameters, PASSWORD).unwrap()
    };
    let mut acme = login("app.acme", "shop");
    let mut other = login("app", "back");
    acme.query("SELECT count(*) FROM items /*route='/orders'*/");
    for order in 0..20 {
        acme.query(&format!("SELECT * FROM items WHERE order_id = {order} /*route='/orders'*/"));
    }
    other.query("SELECT 1 / 0");
    other.query("CREATE TEMP TABLE mine (id int)");
    let mut looker = console(&howdah, "app");
    let found = row(&mut looker, "QUERIES WHERE query LIKE '%order_id%'", "calls", "20");
    assert_eq!(
        (found("database"), found("errors"), found("cached")),
        ("console_costs".into(), "0".into(), "0".into())
    );
    let time = |name: &str| found(name).parse::<f64>().unwrap();
    assert!(
        time("p50_time") > 0.0
            && time("p99_time") <= time("max_time") * 1.02
            && time("total_time") > time("max_time")
    );
    assert_eq!(found("fingerprint").len(), 16);
    let tenant = row(&mut looker, "TENANTS WHERE tenant = 'acme'", "calls", "21");
    assert_eq!((tenant("calls"), tenant("clients"), tenant("weight")), ("21".into(), "1".into(), "3".into()));
    let error = row(&mut looker, "ERRORS", "sqlstate", "22012");
    assert_eq!((error("count"), error("user")), ("1".into(), "app".into()));
    let run = row(&mut looker, "N_PLUS_ONE", "worst", "20");
    assert_eq!(run("route"), "/orders");
    assert!(run("before").contains("count"), "{}", run("before"));
    let pin = row(&mut looker, "PINS", "application_name", "back");
    assert_eq!(pin("database"), "console_costs");
    assert!(!pin("reasons").is_empty() && pin("server").starts_with("S-"));
    let _ = row(&mut looker, "QUERIES WHERE query LIKE 'create temp%'", "calls", "1");
    let refused = looker.query("RESET STATS");
    assert_eq!(refused[0].sqlstate(), "42501");
    let mut admin = console(&howdah, "postgres");
    assert_eq!(tags(&admin.query("RESET STATS")), "CZ");
    howdah.wait_for_log("RESET STATS");
    for view in ["QUERIES", "TENANTS", "ERRORS", "N_PLUS_ONE"] {
        assert_eq!(tags(&looker.query(&format!("SHOW {view}"))), "TCZ", "{view}");
    }
    // Those since the start stay.
    let _ = row(&mut looker, "STATS WHERE database = 'console_costs'", "total_query_count", "23");
}

#[test]
fn without_measuring_pools_still_count() {
    let database = Cluster::shared(Version::V15).database("console_unmeasured");
    let howdah =
        Config::simple(1, &database).sections(ADMIN).sections("[observe]\nenabled = false\n").start();
    let mut client =
        Wire::try_login(howdah.address(), &[("user", "app"), ("database", "console_unmeasured")], PASSWORD)
            .unwrap();
    (0..5).for_each(|_| drop(client.query("SELECT pg_sleep(0.001)")));
    let mut wire = console(&howdah, "app");
    let stats = row(&mut wire, "STATS WHERE database = 'console_unmeasured'", "total_xact_count", "5");
    assert_eq!(stats("total_query_count"), "0");
    assert!(stats("total_xact_time").parse::<u64>().unwrap() >= 5000);
    assert_eq!(tags(&wire.query("SHOW QUERIES")), "TCZ");
    let mut admin = console(&howdah, "postgres");
    assert_eq!(admin.query("RESET STATS")[0].sqlstate(), "55000");
}

#[test]
fn replication_and_unix_sockets_are_told_apart() {
    // The shared cluster takes no replication connections.
    let cluster = Cluster::start_with(Version::V15, "wal_level = logical\nmax_wal_senders = 2\n");
    let database = cluster.database("console_sockets");
    let config = Config::simple(2, &database).listen("unix_socket_dir = \"{dir}\"").sections(ADMIN);
    let howdah = config.start();
    let parameters = [("user", "postgres"), ("database", "console_sockets"), ("replication", "database")];
    let mut replica = Wire::try_login(howdah.address(), &parameters, PASSWORD).unwrap();
    replica.query("IDENTIFY_SYSTEM");
    let mut psql = Command::new(Version::V15.bin().join("psql"));
    let connection = format!(
        "host={} port={} user=app dbname=console_sockets application_name=local",
        howdah.dir().display(),
        howdah.port
    );
    psql.args([&connection, "-XAtc", "SELECT pg_sleep(600)"]).env("PGPASSWORD", PASSWORD);
    let local = Process::start(&mut psql);
    let mut admin = console(&howdah, "postgres");
    wait_until("psql is there", || row(&mut admin, "LISTS", "list", "used_clients")("items") == "2");
    wait_until("and works", || row(&mut admin, "CLIENTS", "application_name", "local")("state") == "active");
    let client = row(&mut admin, "CLIENTS", "application_name", "local");
    assert_eq!((client("addr"), client("remote_pid")), ("unix".into(), local.child.id().to_string()));
    let replicating = row(&mut admin, "CLIENTS", "replication", "logical");
    assert_eq!((replicating("user"), replicating("state")), ("postgres".into(), "active".into()));
    signal(local.child.id(), "INT");
    wait_until("psql is gone", || row(&mut admin, "LISTS", "list", "used_clients")("items") == "1");
}

#[test]
fn what_protects_a_connection_is_shown() {
    let database = Cluster::shared(Version::V15).database("console_tls");
    let authority = Authority::new();
    authority.sign("server", "howdah", &["localhost"]);
    let tls = format!(
        "[listen.tls]\nmode = \"require\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n",
        authority.file("server.crt").display(),
        authority.file("server.key").display()
    );
    let howdah = Config::simple(1, &database).listen(&tls).sections(ADMIN).start();
    let connect = |dbname: &str| {
        format!("host=127.0.0.1 port={} user=postgres sslmode=require dbname={dbname}", howdah.port)
    };
    let mut psql = Command::new(Version::V15.bin().join("psql"));
    psql.args([&connect("console_tls"), "-Xc", "SELECT pg_sleep(600)"]).env("PGPASSWORD", PASSWORD);
    let _working = Process::start(&mut psql);
    let shown = |view: &str| {
        let mut psql = Command::new(Version::V15.bin().join("psql"));
        psql.args([&connect("pgbouncer"), "-XAtc", &format!("SHOW {view} WHERE state = 'active'")]);
        let output = psql.env("PGPASSWORD", PASSWORD).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for view in ["CLIENTS", "SERVERS"] {
        wait_until(&format!("{view} are shown with their TLS"), || shown(view).contains("|TLSv1.3/TLS_"));
    }
}
