//! Bounds, measured against the process: the cache's, whose resident memory has grown by at most 1.3 times
//! `max_memory` after a million random entries; and the observer's, whose tables of 5,000 statements and 500 tenants
//! take at most 64 MB, and 100,000 further statements nothing more. Each is measured in a process of its own, with
//! the program's allocator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::pedantic)]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use howdah::cache::{About, Answer, Cache, Limits, Look, Need, Stored};
use howdah::ids::ClientId;
use howdah::observe::{Caller, Observer, ObserverSettings, Phases, Served, StatementRecord, Tags};
use howdah::sql::Shape;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const CHILD: &str = "HOWDAH_MEMORY_OF";
const ENTRIES: u64 = 1_000_000;
const MAX_MEMORY: u64 = 256 << 20;
const MOST: f64 = 1.3;

type Size = fn(&mut Random) -> usize;

/// Sizes of answers in bytes, by what they are called.
const KINDS: [(&str, Size); 4] = [
    ("rows of a key", |random| 60 + random.below(200)),
    ("pages", |random| 500 + random.below(8000)),
    // Most are small, few are large; each power of two is as likely as the next.
    ("anything", |random| {
        let power = random.below(12) as u32;
        (32 << power) + random.below(32 << power)
    }),
    ("nothing", |_| 0),
];

/// xorshift64*: enough for sizes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// A million entries of some tenants; the most that was resident meanwhile, beyond what was before.
fn fill(size: Size) -> (u64, u64, usize) {
    let limits = Limits { max_memory: MAX_MEMORY, max_entry: 2 << 20, tenant_share: 0.5, jitter: 0.1 };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let before = resident();
    let cache = Cache::new(limits);
    let database = cache.database("localhost:5432/shop");
    let accounts: Vec<_> = (0..10).map(|n| database.account(Some(&format!("tenant {n}")))).collect();
    let prefix = cache.prefix();
    let now = Instant::now();
    let mut most = 0;
    for n in 0..ENTRIES {
        let mut key = prefix;
        key.count(n);
        let account = &accounts[random.below(accounts.len())];
        let need = Need { account, columns: false, floor: 0, max_age: Duration::MAX, wait: false };
        let Look::Lead(ticket) = database.look(key.key(), need, now) else { panic!("not new") };
        let columns = (random.below(2) == 0).then(|| vec![b'T'; 30 + random.below(200)]);
        let answer = Answer { columns, body: vec![b'D'; size(&mut random)], rows: 1 };
        let text: String = "SELECT x FROM t WHERE id = 1 ".repeat(1 + random.below(4));
        // Every third one has tags of its own beside the tables that its plan knows.
        let tables = [database.table("public", "orders"), database.table("public", "items")];
        let tags = (random.below(3) == 0).then(|| database.tag(&format!("tag {}", random.below(100_000))));
        let about = About {
            marks: tables.into_iter().chain(tags).collect::<Arc<[_]>>(),
            ttl: Duration::from_secs(60),
            stale: Duration::ZERO,
            by_ttl_only: false,
            catalog: 0,
            text: text.into(),
        };
        assert_eq!(ticket.store(answer, about, now), Stored::Kept);
        if n % 10_000 == 0 {
            most = most.max(resident().saturating_sub(before));
        }
    }
    assert!(cache.bytes() <= MAX_MEMORY);
    (most.max(resident().saturating_sub(before)), cache.bytes(), cache.entries())
}

/// Runs a test in a process of its own and reads what it prints.
fn of_child(test: &str, kind: &str) -> Vec<u64> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, kind)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let result = text.split("RESULT ").nth(1).unwrap_or_else(|| {
        panic!("{kind}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    });
    let line = result.lines().next().unwrap();
    line.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn memory_stays_within_its_bound() {
    if let Ok(child) = std::env::var(CHILD) {
        let (_, size) = KINDS.iter().find(|(kind, _)| *kind == child).unwrap();
        let (most, bytes, entries) = fill(*size);
        println!("RESULT {most} {bytes} {entries}");
        return;
    }
    for (kind, _) in KINDS {
        let numbers = of_child("memory_stays_within_its_bound", kind);
        let [most, bytes, entries] = numbers[..] else { panic!("{numbers:?}") };
        let ratio = most as f64 / MAX_MEMORY as f64;
        println!(
            "{kind}: {entries} entries, {bytes} bytes; resident at most {most}: {ratio:.2} of the bound"
        );
        assert!(ratio <= MOST, "{kind}: {ratio:.2} times max_memory");
        // Else it would keep within the bound by keeping little.
        assert!(bytes as f64 > 0.9 * MAX_MEMORY as f64, "{kind}: {bytes}");
        assert!(ratio > 0.6, "{kind}: what is counted is not there: {ratio:.2}");
    }
}

const STATEMENTS: u64 = 5000;
const TENANTS: u64 = 500;
const DISTINCT: u64 = 100_000;
const WORKERS: usize = 2;

/// A statement's text of 100 to 1200 bytes.
fn text(n: u64) -> String {
    let columns: Vec<_> = (0..2 + n % 100).map(|column| format!("column_{column}")).collect();
    format!("SELECT {} FROM table_{n} WHERE id = 1 AND name = 'x' ORDER BY id LIMIT 10", columns.join(", "))
}

struct Told {
    observer: Arc<Observer>,
    callers: Vec<Arc<Caller>>,
    routes: Vec<Arc<Tags>>,
    random: Random,
    count: u64,
}

impl Told {
    fn new() -> Self {
        let observer = Observer::new(ObserverSettings::default(), WORKERS);
        let caller = |n| Caller {
            database: "shop".into(),
            user: "web".into(),
            application: "app".into(),
            tenant: Some(format!("tenant {n}").into()),
        };
        let route = |n| {
            let text = format!("SELECT 1 /*controller='c{n}',route='%2Forders%2F{n}%2Fitems'*/");
            Arc::new(Tags::read(text.as_bytes()).unwrap())
        };
        let callers = (0..TENANTS).map(|n| Arc::new(caller(n))).collect();
        let routes = (0..200).map(route).collect();
        Self { observer, callers, routes, random: Random(7), count: 0 }
    }

    /// A text's shape as each worker remembers it.
    fn shapes(&self, n: u64) -> [Arc<Shape>; WORKERS] {
        let text = text(n);
        std::array::from_fn(|worker| self.observer.shapes(worker).shape(text.as_bytes(), true))
    }

    /// A statement of a tenant that took between ten microseconds and ten seconds.
    fn tell(&mut self, shapes: &[Arc<Shape>; WORKERS], tenant: u64) {
        let worker = self.random.below(WORKERS);
        let shape = Arc::clone(&shapes[worker]);
        let time = 10_u64.pow(4 + self.random.below(6) as u32) * (1 + self.random.below(9) as u64);
        self.count += 1;
        self.observer.recorder(worker).statement(StatementRecord {
            shape,
            caller: Arc::clone(&self.callers[tenant as usize]),
            tags: Some(Arc::clone(&self.routes[self.random.below(self.routes.len())])),
            client: ClientId(self.random.below(20_000) as u64),
            transaction: self.count as u32,
            at: self.count * 1000,
            phases: Phases { first: time, rest: 1000, client: 1000, ..Phases::default() },
            served: Served::Server,
            continues: false,
            rows: 1,
            bytes: 100,
            error: None,
            values: self.count,
            detail: None,
        });
    }
}

/// Every statement of every tenant, and then many that come but once: what was resident after each, and what the
/// observer says that it uses.
fn observe() -> (u64, u64, u64) {
    let before = resident();
    let mut told = Told::new();
    let shapes: Vec<_> = (0..STATEMENTS).map(|n| told.shapes(n)).collect();
    // 7919 is prime to the number of pairs, so that each comes once.
    for n in 0..STATEMENTS * TENANTS {
        let pair = n * 7919 % (STATEMENTS * TENANTS);
        told.tell(&shapes[(pair % STATEMENTS) as usize], pair / STATEMENTS);
    }
    told.observer.collect();
    assert_eq!(told.observer.statements().len() as u64, STATEMENTS);
    assert_eq!(told.observer.tenants().len() as u64, TENANTS);
    let full = resident().saturating_sub(before);
    drop(shapes);
    for n in 0..DISTINCT {
        let shapes = told.shapes(STATEMENTS + n);
        told.tell(&shapes, n % TENANTS);
    }
    told.observer.collect();
    let flooded = resident().saturating_sub(before);
    let calls: u64 = told.observer.statements().iter().map(|row| row.counts.calls).sum();
    assert_eq!(calls, STATEMENTS * TENANTS + DISTINCT, "nothing is lost");
    (full, flooded, told.observer.memory() as u64)
}

#[test]
fn what_statements_cost_takes_little_memory() {
    if std::env::var(CHILD).is_ok() {
        let (full, flooded, own) = observe();
        println!("RESULT {full} {flooded} {own}");
        return;
    }
    let numbers = of_child("what_statements_cost_takes_little_memory", "statements");
    let [full, flooded, own] = numbers[..] else { panic!("{numbers:?}") };
    println!("resident {full}, after the flood {flooded}; the observer says {own}");
    assert!(full.max(flooded) <= 64 << 20, "{full} and {flooded}");
    assert!(flooded < full + (8 << 20), "{DISTINCT} further statements: {full} grew to {flooded}");
    // What it says of itself is about right.
    assert!(own > full / 2 && own < full * 3 / 2, "{own} of {full}");
}
