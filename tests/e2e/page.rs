//! The page: who may look, what an answer has in it, what bad requests come to, and the page itself in a real Chromium.

use crate::support::wire::{bind, execute, parse, sync};
use crate::support::{
    Cluster, Config, Database, Howdah, PASSWORD, PATIENCE, Version, Wire, root, target_dir,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An answer over HTTP.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

fn open(howdah: &Howdah) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", howdah.http_port.unwrap())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request as it is and reads until the other side closes.
fn raw(howdah: &Howdah, request: &[u8]) -> Answer {
    let mut stream = open(howdah);
    stream.write_all(request).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn get_with(howdah: &Howdah, path: &str, headers: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    raw(howdah, request.as_bytes())
}

fn get(howdah: &Howdah, path: &str) -> Answer {
    get_with(howdah, path, "")
}

fn json(howdah: &Howdah, path: &str) -> serde_json::Value {
    let answer = get(howdah, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// A Howdah whose only server is not there.
fn alone(http: &str) -> Howdah {
    let config = Config::new(2).server("app", 1, "app", "").user("app");
    Howdah::start(&config.toml().replace("[http]\n", &format!("[http]\n{http}\n")))
}

const TABLES: [&str; 7] = ["statements", "tenants", "pools", "clients", "n_plus_one", "slow", "errors"];
const ASSETS: [&str; 14] = [
    "/",
    "/assets/page.css",
    "/assets/icon.svg",
    "/assets/main.js",
    "/assets/charts.js",
    "/assets/detail.js",
    "/assets/dom.js",
    "/assets/format.js",
    "/assets/live.js",
    "/assets/overview.js",
    "/assets/table.js",
    "/assets/tables.js",
    "/assets/uplot/uPlot.iife.min.js",
    "/assets/uplot/LICENSE",
];

#[test]
fn every_answer_keeps_browsers_from_doing_more_with_it() {
    let howdah = alone("");
    let tables = TABLES.map(|table| format!("/api/{table}"));
    let others = ["/metrics", "/healthz", "/readyz", "/api/overview", "/nothing"].map(str::to_owned);
    for path in ASSETS.map(str::to_owned).iter().chain(&tables).chain(&others) {
        let answer = get(&howdah, path);
        let expected = if path == "/nothing" { 404 } else { 200 };
        assert_eq!(answer.status, expected, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        let keep = if path.starts_with("/assets") || path == "/" { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), Some(keep), "{path}");
    }
    let page = get(&howdah, "/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    // No script and no style in the page itself, and nothing from elsewhere.
    assert!(!page.body.contains("<style") && !page.body.contains(" style=") && !page.body.contains("://"));
    assert_eq!(page.body.matches("<script").count(), page.body.matches(" src=\"assets/").count() - 1);
}

#[test]
fn browsers_ask_whether_a_file_is_still_the_same() {
    let howdah = alone("");
    for path in ASSETS {
        let first = get(&howdah, path);
        let tag = first.header("etag").unwrap();
        for known in [tag.to_owned(), format!("\"x\", {tag}")] {
            let again = get_with(&howdah, path, &format!("If-None-Match: {known}\r\n"));
            assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
        }
        assert_eq!(get_with(&howdah, path, "If-None-Match: \"other\"\r\n").status, 200, "{path}");
    }
}

#[test]
fn who_may_look() {
    let both = alone("user = \"ops\"\npassword = \"pa:ss\"\ntoken = \"token-of-a-program\"");
    let basic = |pair: &str| {
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        format!("Authorization: Basic {pair}\r\n")
    };
    let everything = TABLES.map(|table| format!("/api/{table}"));
    let others =
        ["/", "/metrics", "/events", "/assets/main.js", "/api/overview", "/nothing"].map(str::to_owned);
    for path in everything.iter().chain(&others) {
        let refused = get(&both, path);
        assert_eq!((refused.status, refused.body.as_str()), (401, "log in\n"), "{path}");
        assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"howdah\", charset=\"UTF-8\""));
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&both, path).status, 200, "{path}: whoever looks after it has no password");
    }
    let known = [
        basic("ops:pa:ss"),
        basic("anybody:token-of-a-program"),
        "Authorization: Bearer token-of-a-program\r\n".to_owned(),
    ];
    for header in &known {
        assert_eq!(get_with(&both, "/metrics", header).status, 200, "{header}");
        assert_eq!(get_with(&both, "/", header).status, 200, "{header}");
    }
    let wrong = [
        "Authorization: Bearer token\r\n",
        "Authorization: Basic !\r\n",
        "Authorization: \r\n",
        "Cookie: token-of-a-program\r\n",
    ];
    for header in wrong.map(str::to_owned).into_iter().chain([basic("ops:pa"), basic("token-of-a-program:")])
    {
        assert_eq!(get_with(&both, "/api/overview", &header).status, 401, "{header}");
    }
    assert_eq!(
        get(&both, "/metrics?token=token-of-a-program").status,
        401,
        "a token in an address ends in logs"
    );
    let token = alone("token = \"token-of-a-program\"");
    assert_eq!(get_with(&token, "/", &basic("ops:pa:ss")).status, 401);
    assert_eq!(get_with(&token, "/", &basic("ops:token-of-a-program")).status, 200);
}

#[test]
fn pages_of_other_sites_get_nothing() {
    let howdah = alone("");
    for path in ["/api/overview", "/events", "/metrics", "/assets/main.js"] {
        for mode in ["cors", "no-cors"] {
            let headers = format!("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: {mode}\r\n");
            assert_eq!(get_with(&howdah, path, &headers).status, 403, "{path} {mode}");
        }
    }
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n";
    assert_eq!(get_with(&howdah, "/", link).status, 200);
    let own = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n";
    assert_eq!(get_with(&howdah, "/api/overview", own).status, 200);
}

#[test]
fn bad_requests_come_to_nothing() {
    let howdah = alone("");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "NONSENSE"] {
        let request = format!(
            "{method} /api/overview HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = raw(&howdah, request.as_bytes());
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let head = raw(&howdah, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let nowhere = [
        "/assets/../../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/assets//etc/passwd",
        "/assets/",
        "//",
        "/index.html",
        "/api/",
        "/api/__proto__",
        "/api/statement",
        "/api/statement?database=app",
        "/api/statement?database=app&fingerprint=zz",
        "/api/statement?database=app&fingerprint=ffffffffffffffffffff",
        "/api/statement?fingerprint=0000000000000000&database=%00%ff",
    ];
    for path in nowhere {
        assert_eq!(get(&howdah, path).status, 404, "{path}");
    }
    let odd = [
        "sort=__proto__",
        "sort=%00",
        "sort=&order=",
        "limit=-1",
        "limit=1e99",
        "limit=99999999999999999999",
        "filter=%",
        "filter=%ff%fe",
        "filter=%3Cscript%3E",
        "filter=\u{27}%20OR%201=1",
        "&&&=&=",
        "tenant=%00",
        "?",
    ];
    for table in TABLES {
        for query in odd {
            assert_eq!(json(&howdah, &format!("/api/{table}?{query}"))["matched"], 0, "{table} {query}");
        }
    }
    assert_eq!(json(&howdah, &format!("/api/statements?filter={}", "x".repeat(9_000)))["matched"], 0);
    assert!(
        [0, 400, 414, 431]
            .contains(&get(&howdah, &format!("/api/pools?filter={}", "x".repeat(60_000))).status)
    );
    for nonsense in
        [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[0xff; 400]]
    {
        assert!([0, 400, 505].contains(&raw(&howdah, nonsense).status));
    }
    assert_eq!(get(&howdah, "/healthz").status, 200);
}

/// Begins to look, and reads the first event.
fn look(howdah: &Howdah) -> (TcpStream, String) {
    let mut stream = open(howdah);
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.contains("\n\n") && !text.contains("too many") {
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "{text}");
        text += &String::from_utf8_lossy(&bytes[..count]);
    }
    (stream, text)
}

#[test]
fn who_looks_takes_nothing_from_others() {
    let howdah = alone("");
    let (first, text) = look(&howdah);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(
        text.contains("content-type: text/event-stream") && text.contains("event: now\ndata: {"),
        "{text}"
    );
    let mut lookers = vec![first];
    // Nobody of them reads any further.
    let refused = loop {
        let (stream, text) = look(&howdah);
        if !text.starts_with("HTTP/1.1 200") {
            break text;
        }
        lookers.push(stream);
        assert!(lookers.len() <= 32);
    };
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert_eq!(lookers.len(), 32);
    assert_eq!(get(&howdah, "/metrics").status, 200);
    assert_eq!(get(&howdah, "/").status, 200);
    lookers.clear();
    crate::support::wait_until("there is room again", || look(&howdah).1.starts_with("HTTP/1.1 200"));
}

#[test]
fn an_event_comes_every_two_seconds() {
    let howdah = alone("");
    let (mut stream, mut text) = look(&howdah);
    let mut bytes = [0; 4096];
    while text.matches("event: now").count() < 4 {
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0);
        text += &String::from_utf8_lossy(&bytes[..count]);
    }
    let last = text.rsplit("data: ").next().unwrap().split("\n\n").next().unwrap();
    let now: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!((&now["now"]["clients"], &now["now"]["waiting"]), (&0.into(), &0.into()));
    assert!(now["now"]["p99"].is_null(), "nothing ran: {now}");
}

#[test]
fn where_nothing_is_measured_it_says_so() {
    let config =
        Config::new(2).server("app", 1, "app", "").user("app").sections("[observe]\nenabled = false\n");
    let howdah = config.start();
    for table in ["statements", "tenants", "n_plus_one", "slow", "errors"] {
        assert_eq!(json(&howdah, &format!("/api/{table}"))["off"], true, "{table}");
    }
    assert_eq!(get(&howdah, "/api/statement?database=app&fingerprint=0000000000000001").status, 404);
    let overview = json(&howdah, "/api/overview");
    assert_eq!((&overview["observed"], &overview["findings"]), (&false.into(), &serde_json::json!([])));
    assert_eq!(json(&howdah, "/api/pools")["off"], serde_json::Value::Null);
}

const SHOP: &str = "
    CREATE TABLE orders (id serial PRIMARY KEY, tenant_id text NOT NULL, item int NOT NULL);
    INSERT INTO orders (tenant_id, item) SELECT (ARRAY['acme', 'globex'])[1 + n % 2], n FROM generate_series(1, 200) n;
    CREATE TABLE items (id serial PRIMARY KEY, name text);
    INSERT INTO items (name) SELECT 'item ' || n FROM generate_series(1, 200) n;
    ALTER TABLE orders OWNER TO app;
    ALTER TABLE items OWNER TO app;";

const HTML: &str = "<script>document.title='owned'</script><img src=x onerror=alert(1)>";

/// Tenants, a slow log with parameters, N+1.
fn shop_config(database: &Database<'_>) -> Config {
    let mut config = Config::new(4).server("app", database.cluster.port, &database.name, "").user("app");
    config = config.listen("max_client_conn = 1000");
    config.extra = "[tenancy]\n[tenants.\"*\"]\nmax_server_connections = 3\n\
        [observe]\nparameters = true\n[observe.n_plus_one]\nthreshold = 10\n"
        .to_owned();
    config
}

fn start_shop(config: &Config) -> Howdah {
    Howdah::start(&config.toml().replace("[log]\n", "[log]\nslow_query = \"150ms\"\n"))
}

/// Clients that run statements until it is dropped.
#[derive(Default)]
struct Shoppers {
    end: Arc<AtomicBool>,
    /// Milliseconds that each rests after a page.
    pace: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Shoppers {
    fn start(howdah: &Howdah) -> Self {
        let mut all = Self::default();
        all.pace.store(15, Ordering::Relaxed);
        for (tenant, work) in [("acme", orders as fn(&mut Wire, u64)), ("globex", orders), ("acme", trouble)]
        {
            all.join(howdah, tenant, "<b>bold</b>", work);
        }
        all
    }

    fn join(&mut self, howdah: &Howdah, tenant: &str, application: &'static str, work: fn(&mut Wire, u64)) {
        let (end, pace, address) = (Arc::clone(&self.end), Arc::clone(&self.pace), howdah.address());
        let (user, mut n) = (format!("app.{tenant}"), self.threads.len() as u64 * 97);
        self.threads.push(std::thread::spawn(move || {
            let parameters = [("user", &*user), ("database", "app"), ("application_name", application)];
            let mut wire = Wire::try_login(address, &parameters, PASSWORD).unwrap();
            while !end.load(Ordering::Relaxed) {
                work(&mut wire, n);
                n += 1;
                std::thread::sleep(Duration::from_millis(pace.load(Ordering::Relaxed)));
            }
        }));
    }
}

impl Drop for Shoppers {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What a page of an application does.
fn orders(wire: &mut Wire, n: u64) {
    let sql = "SELECT id, item FROM orders WHERE tenant_id = $1 AND item > $2 ORDER BY id LIMIT 20 /*route='/orders'*/";
    wire.send(&[
        parse("", sql),
        bind("", "", &[Some("acme"), Some(&(n % 100).to_string())]),
        execute("", 0),
        sync(),
    ]);
    wire.read_ready(1);
    wire.query("BEGIN");
    wire.query(&format!("UPDATE items SET name = 'item {n}' WHERE id = {}", n % 200 + 1));
    wire.query("COMMIT");
}

/// And one that is not well.
fn trouble(wire: &mut Wire, n: u64) {
    match n % 8 {
        0 => drop(wire.query("SELECT 1 / 0")),
        1 => drop(wire.query("SELECT pg_sleep(0.2), 'very secret constant' AS note")),
        2 => {
            let sql = "SELECT pg_sleep(0.16), $1::text AS note";
            let secret = Some("very secret parameter");
            wire.send(&[parse("", sql), bind("", "", &[secret]), execute("", 0), sync()]);
            wire.read_ready(1);
        }
        3 => {
            for id in 1..=15 {
                wire.query(&format!("SELECT name FROM items WHERE id = {id} /*route='/orders'*/"));
            }
        }
        4 => drop(wire.query(&format!("SELECT 1 AS \"{}\"", HTML.replace('"', "\"\"")))),
        _ => orders(wire, n),
    }
}

#[test]
fn tables_tell_what_ran() {
    let database = Cluster::shared(Version::V15).database("page_tables");
    database.query(SHOP);
    let howdah = start_shop(&shop_config(&database));
    let shoppers = Shoppers::start(&howdah);
    let rows = |path: &str| json(&howdah, path)["rows"].as_array().unwrap().clone();
    for table in TABLES {
        crate::support::wait_until(table, || !rows(&format!("/api/{table}")).is_empty());
    }
    crate::support::wait_until("sleeps were seen", || rows("/api/slow").len() >= 4);
    drop(shoppers);

    let all = json(&howdah, "/api/statements?sort=calls");
    let calls: Vec<f64> =
        all["rows"].as_array().unwrap().iter().filter_map(|row| row["calls"].as_f64()).collect();
    assert!(calls.is_sorted_by(|a, b| a >= b) && calls.len() >= 5, "{all}");
    assert_eq!(all["matched"], all["all"]);
    let share: f64 = rows("/api/statements").iter().map(|row| row["share"].as_f64().unwrap()).sum();
    assert!((0.99..=1.01).contains(&share), "{share}");
    let asked = rows("/api/statements?filter=from%20ORDERS&limit=1");
    assert_eq!(asked.len(), 1);
    assert!(asked[0]["text"].as_str().unwrap().contains("from orders"), "{asked:?}");
    assert!(asked[0]["mean"].as_f64().unwrap() > 0.0 && asked[0]["rows"].as_u64().unwrap() > 0);

    let fingerprint = asked[0]["fingerprint"].as_str().unwrap();
    let detail = json(&howdah, &format!("/api/statement?database=app&fingerprint={fingerprint}"));
    assert_eq!(detail["calls"], asked[0]["calls"]);
    assert_eq!(detail["callers"][0]["route"], "/orders", "{detail}");
    let sum = |rows: &serde_json::Value| -> u64 {
        rows.as_array().unwrap().iter().map(|row| row["calls"].as_u64().unwrap()).sum()
    };
    assert_eq!(sum(&detail["tenants"]), detail["calls"].as_u64().unwrap());
    let bars = detail["histogram"].as_array().unwrap();
    assert_eq!(
        bars.iter().map(|bar| bar[1].as_u64().unwrap()).sum::<u64>(),
        detail["calls"].as_u64().unwrap()
    );

    let of_globex = rows("/api/statements?tenant=globex");
    assert!(
        !of_globex.is_empty() && of_globex.iter().all(|row| !row["text"].to_string().contains("pg_sleep"))
    );
    assert!(rows("/api/statements?database=other").is_empty());
    let acme = rows("/api/tenants?filter=acme");
    assert_eq!((&acme[0]["tenant"], &acme[0]["max_servers"]), (&"acme".into(), &3.into()));
    let pool = &rows("/api/pools")[0];
    assert_eq!(
        (&pool["database"], &pool["size"], &pool["mode"]),
        (&"app".into(), &4.into(), &"transaction".into())
    );
    let failed = rows("/api/errors?filter=22012");
    assert!(failed[0]["count"].as_u64().unwrap() >= 1, "{failed:?}");
    assert_eq!(rows("/api/n_plus_one?filter=items")[0]["route"], "/orders");
    crate::support::wait_until("a point of the history", || {
        let history = json(&howdah, "/api/overview")["history"].clone();
        history["statements"].as_array().unwrap().iter().any(|rate| rate.as_f64() > Some(0.0))
    });
}

#[test]
fn no_answer_has_parameters_constants_or_passwords() {
    let database = Cluster::shared(Version::V15).database("page_secrets");
    database.query(SHOP);
    let mut config = shop_config(&database);
    config.extra += "[admin]\nusers = [\"app\"]\n";
    let toml = config.toml().replace("[log]\n", "[log]\nslow_query = \"150ms\"\n");
    let howdah = Howdah::start(&toml.replace("[http]\n", "[http]\ntoken = \"very-secret-token\"\n"));
    let header = "Authorization: Bearer very-secret-token\r\n";
    let shoppers = Shoppers::start(&howdah);
    let slow = || get_with(&howdah, "/api/slow", header).body;
    crate::support::wait_until("sleeps were seen", || slow().matches("pg_sleep").count() >= 6);
    drop(shoppers);
    let statements = get_with(&howdah, "/api/statements?limit=500", header).body;
    let parsed: serde_json::Value = serde_json::from_str(&statements).unwrap();
    let details = parsed["rows"].as_array().unwrap().iter().filter_map(|row| {
        Some(format!("/api/statement?database=app&fingerprint={}", row["fingerprint"].as_str()?))
    });
    let tables = TABLES.map(|table| format!("/api/{table}?limit=500"));
    let paths: Vec<String> =
        details.chain(tables).chain(["/api/overview".to_owned(), "/metrics".to_owned()]).collect();
    assert!(paths.len() > 12);
    for path in paths {
        let answer = get_with(&howdah, &path, header);
        assert_eq!(answer.status, 200, "{path}");
        for secret in ["very secret", "very-secret", PASSWORD] {
            assert!(!answer.body.contains(secret), "{path} tells {secret:?}:\n{}", answer.body);
        }
    }
    // It is there to be told: the log may tell it.
    howdah.wait_for_log("very secret parameter");
}

/// Runs a program of `tests/browser`.
fn browser(program: &str, howdah: &Howdah) -> Command {
    let modules = target_dir().join("browser/node_modules");
    assert!(modules.exists(), "no {}: run scripts/install-deps.sh", modules.display());
    let mut node = Command::new("node");
    node.arg(root().join("tests/browser").join(program)).env("NODE_PATH", modules);
    node.env("HOWDAH_PAGE", format!("http://127.0.0.1:{}", howdah.http_port.unwrap()));
    node.stdin(Stdio::null());
    node
}

#[test]
fn in_a_browser() {
    let database = Cluster::shared(Version::V15).database("page_browser");
    database.query(SHOP);
    let howdah = start_shop(&shop_config(&database));
    let _shoppers = Shoppers::start(&howdah);
    crate::drivers::check(&browser("page.js", &howdah).output().unwrap());
}

#[test]
fn in_a_browser_with_a_password() {
    let howdah = alone("user = \"ops\"\npassword = \"pass\"");
    crate::drivers::check(&browser("password.js", &howdah).output().unwrap());
}

#[test]
fn in_a_browser_when_clients_wait_and_when_howdah_goes() {
    let database = Cluster::shared(Version::V15).database("page_waiting");
    let mut config = Config::new(1).server("app", database.cluster.port, &database.name, "").user("app");
    config = config.pool("query_wait_timeout = \"0s\"");
    let mut howdah = config.start();
    let login = || Wire::login(("127.0.0.1", howdah.port), "app", "app");
    let (mut holder, mut waiter) = (login(), login());
    holder.query("BEGIN");
    waiter.send(&[crate::support::wire::query("SELECT 1")]);
    let output =
        browser("waiting.js", &howdah).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = output;
    let mut line = [0; 8];
    // The program says when it has seen that somebody waits.
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    holder.query("COMMIT");
    waiter.read_ready(1);
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    howdah.kill9();
    crate::drivers::check(&child.wait_with_output().unwrap());
}

/// A shop of several tenants on a busy day, for pictures.
mod day {
    use super::*;

    pub(super) const SCHEMA: &str = "
        CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL UNIQUE);
        INSERT INTO customers SELECT n, 'customer' || n || '@example.com' FROM generate_series(1, 5000) n;
        CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, price numeric NOT NULL);
        INSERT INTO products SELECT n, 'product ' || n, n % 90 + 0.99 FROM generate_series(1, 2000) n;
        CREATE TABLE purchases (id bigserial PRIMARY KEY, customer_id int NOT NULL, product_id int NOT NULL,
            state text NOT NULL DEFAULT 'open', created_at timestamptz NOT NULL DEFAULT now());
        INSERT INTO purchases (customer_id, product_id)
            SELECT n % 5000 + 1, n % 2000 + 1 FROM generate_series(1, 40000) n;
        CREATE INDEX ON purchases (customer_id);
        GRANT ALL ON ALL TABLES IN SCHEMA public TO app; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;";

    pub(super) fn work(wire: &mut Wire, n: u64) {
        let customer = n * 7919 % 5000 + 1;
        match n % 60 {
            17 => report(wire),
            29 => drop(wire.query("INSERT INTO customers (id, email) VALUES (1, 'twice') /*route='/register'*/")),
            41 if n % 240 == 41 => cart(wire, n),
            53 if n % 300 == 53 => drop(wire.query("SELECT pg_sleep(0.25) /*route='/export'*/")),
            k if k % 3 == 0 => purchase(wire, customer, n),
            k if k % 3 == 1 => purchases(wire, customer),
            _ => drop(wire.query(&format!(
                "/* howdah.cache='20s' */ SELECT id, name, price FROM products WHERE price < {} ORDER BY price LIMIT 20 \
                 /*route='/products'*/",
                n % 9 * 10 + 5
            ))),
        }
    }

    fn report(wire: &mut Wire) {
        wire.query(
            "SELECT p.name, count(*), sum(p.price) FROM purchases o JOIN products p ON p.id = o.product_id \
             WHERE o.created_at > now() - interval '1 day' GROUP BY p.name ORDER BY 3 DESC LIMIT 10 \
             /*controller='report',action='daily'*/",
        );
    }

    fn cart(wire: &mut Wire, n: u64) {
        wire.query("SELECT product_id FROM purchases WHERE customer_id = 1 LIMIT 30 /*route='/cart'*/");
        for id in 1..=30 {
            wire.query(&format!(
                "SELECT name, price FROM products WHERE id = {} /*route='/cart'*/",
                n % 50 + id
            ));
        }
    }

    fn purchases(wire: &mut Wire, customer: u64) {
        let sql = "SELECT o.id, o.state, o.created_at, p.name, p.price FROM purchases o \
            JOIN products p ON p.id = o.product_id WHERE o.customer_id = $1 ORDER BY o.created_at DESC LIMIT $2 \
            /*route='/customers/:id'*/";
        let customer = customer.to_string();
        wire.send(&[parse("", sql), bind("", "", &[Some(&customer), Some("20")]), execute("", 0), sync()]);
        wire.read_ready(1);
    }

    fn purchase(wire: &mut Wire, customer: u64, n: u64) {
        wire.query("BEGIN /*route='/checkout'*/");
        wire.query(&format!(
            "INSERT INTO purchases (customer_id, product_id) VALUES ({customer}, {}) RETURNING id /*route='/checkout'*/",
            n % 2000 + 1
        ));
        wire.query(&format!(
            "UPDATE purchases SET state = 'paid' WHERE customer_id = {customer} AND state = 'open' /*route='/checkout'*/"
        ));
        wire.query("COMMIT");
    }
}

/// Pictures for the documentation, of an application in a few minutes: `scripts/screenshots.sh` asks for them.
#[test]
fn pictures_for_the_documentation() {
    let Some(folder) = std::env::var_os("HOWDAH_SCREENSHOTS") else { return };
    let database = Cluster::shared(Version::V15).database("page_pictures");
    database.query(day::SCHEMA);
    let mut config = shop_config(&database);
    config.extra = "[tenancy]\n[tenants.\"*\"]\nmax_server_connections = 3\n[cache]\n".to_owned();
    let howdah = start_shop(&config);
    let mut shoppers = Shoppers::default();
    let tenants = [("acme", 6), ("globex", 3), ("initech", 2), ("umbrella", 2), ("hooli", 1), ("stark", 1)];
    for (tenant, clients) in tenants {
        (0..clients)
            .for_each(|n| shoppers.join(&howdah, tenant, if n == 1 { "worker" } else { "web" }, day::work));
    }
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(330) {
        // There is more to do at some times than at others.
        let tide = (started.elapsed().as_secs_f64() / 30.0).sin();
        shoppers.pace.store((22.0 + 10.0 * tide) as u64, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(1));
    }
    crate::drivers::check(
        &browser("pictures.js", &howdah).env("HOWDAH_SCREENSHOTS", folder).output().unwrap(),
    );
}
