//! The cache's bound, measured against the process: after a million random entries its resident memory has
//! grown by at most 1.3 times `max_memory`. Each kind of entries is measured in a process of its own, with the
//! program's allocator.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::pedantic)]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use howdah::cache::{About, Answer, Cache, Limits, Look, Need, Stored};
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

#[test]
fn memory_stays_within_its_bound() {
    if let Ok(child) = std::env::var(CHILD) {
        let (_, size) = KINDS.iter().find(|(kind, _)| *kind == child).unwrap();
        let (most, bytes, entries) = fill(*size);
        println!("RESULT {most} {bytes} {entries}");
        return;
    }
    for (kind, _) in KINDS {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory_stays_within_its_bound", "--nocapture"])
            .env(CHILD, kind)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let result = text.split("RESULT ").nth(1).unwrap_or_else(|| {
            panic!("{kind}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
        });
        let numbers: Vec<u64> =
            result.split_whitespace().take(3).map(|number| number.parse().unwrap()).collect();
        let [most, bytes, entries] = numbers[..] else { panic!("{result}") };
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
