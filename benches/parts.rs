//! What the hot path is made of, part by part: `cargo bench --bench parts`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use howdah::cache::{About, Answer, Cache, Limits, Look, Need, Source, Stored};
use howdah::pool::queue::Queue;
use howdah::pool::{Interner, Places, Share};
use howdah::session::{ClientSession, Mode, ServerSession};
use howdah::sql::{Writes, marks, touched, traits};
use howdah::wire::{self, Side, header};
use tokio::time::Instant;

const SELECT: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;";

const TYPICAL: &[u8] =
    b"SELECT id, customer_id, status, total FROM orders WHERE customer_id = $1 AND status = 'open' ORDER BY id LIMIT 20";

fn lexer(c: &mut Criterion) {
    c.bench_function("traits of pgbench's SELECT", |b| b.iter(|| traits(black_box(SELECT), true)));
    c.bench_function("settings touched by pgbench's SELECT", |b| b.iter(|| touched(black_box(SELECT), true)));
    c.bench_function("settings touched by a SELECT of 110 bytes", |b| {
        b.iter(|| touched(black_box(TYPICAL), true));
    });
    c.bench_function("marks of a SELECT of 110 bytes", |b| b.iter(|| marks(black_box(TYPICAL), true)));
    let insert = format!("INSERT INTO t VALUES {}", vec!["(1, 'it''s', now())"; 100].join(", "));
    c.bench_function("traits of an INSERT of 100 rows", |b| {
        b.iter(|| traits(black_box(insert.as_bytes()), true));
    });
}

fn frames(c: &mut Criterion) {
    let mut rows = Vec::new();
    for _ in 0..100 {
        wire::frame(&mut rows, b'D', |out| out.extend_from_slice(&[0; 60]));
    }
    c.bench_function("headers of 100 rows", |b| {
        b.iter(|| {
            let mut rest = black_box(rows.as_slice());
            while let Ok(Some(head)) = header(Side::Backend, rest) {
                rest = &rest[head.len..];
            }
        });
    });
}

/// One transaction through both sessions: what Howdah itself thinks about it.
fn transactions(c: &mut Criterion) {
    let interner = Interner::default();
    let (mut out, mut replies) = (Vec::new(), Vec::new());
    let mut client = ClientSession::new(Mode::Pooled, Arc::default());
    let mut server = ServerSession::new(200);
    let mut query = Vec::new();
    wire::query(&mut query, SELECT);
    c.bench_function("judge a simple query and its replies", |b| {
        b.iter(|| {
            out.clear();
            let verdict =
                client.with_server(&mut server, &query, query.len(), &mut out, &mut replies, &interner);
            black_box(verdict).unwrap();
            for (tag, body) in [(b'T', &b""[..]), (b'D', b""), (b'C', b"SELECT 1\0"), (b'Z', b"I")] {
                black_box(server.on_backend(&mut client, tag, body)).unwrap();
            }
        });
    });
    let mut batch = Vec::new();
    let mut frame = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = Vec::new();
        write(&mut frame);
        batch.push(frame);
    };
    frame(&|out| wire::parse_into(out, b"s", &[SELECT, &[0, 0, 0]].concat()));
    frame(&|out| wire::bind(out, b"s", &[]));
    frame(&|out| wire::execute(out));
    frame(&|out| wire::sync(out));
    let mut run = |frames: &[Vec<u8>], answers: &[(u8, &[u8])]| {
        out.clear();
        for frame in frames {
            client.with_server(&mut server, frame, frame.len(), &mut out, &mut replies, &interner).unwrap();
        }
        for (tag, body) in answers {
            black_box(server.on_backend(&mut client, *tag, body)).unwrap();
        }
    };
    let answers: [(u8, &[u8]); 5] =
        [(b'1', b""), (b'2', b""), (b'D', b""), (b'C', b"SELECT 1\0"), (b'Z', b"I")];
    run(&batch, &answers);
    c.bench_function("judge a prepared statement's batch and its replies", |b| {
        b.iter(|| run(&batch[1..], &answers[1..]));
    });
}

/// Whose turn it is, with a place for everybody and with ten that wait for each tenant.
fn turns(c: &mut Criterion) {
    let places = Places::new(20);
    for tenants in [1, 1000] {
        let share = |n: u64| Share { tenant: n % tenants, ..Share::default() };
        let mut queue: Queue<u64> = Queue::default();
        let mut n = 0;
        c.bench_function(&format!("acquire and release, {tenants} tenants, nobody waits"), |b| {
            b.iter(|| {
                n += 1;
                let now = Duration::from_micros(n);
                if queue.tenants() > 1 {
                    queue.expire(now);
                }
                assert!(black_box(queue.may_take(share(n), places)));
                queue.take(share(n));
                queue.give(share(n).tenant, now);
            });
        });
        for waiter in 0..tenants * 10 {
            queue.push(share(waiter), waiter);
        }
        let mut lent: Vec<_> = (0..places.size).filter_map(|_| queue.pop(places)).collect();
        let mut oldest = 0;
        c.bench_function(&format!("acquire and release, {tenants} tenants, ten wait for each"), |b| {
            b.iter(|| {
                n += 1;
                oldest = (oldest + 1) % lent.len();
                let who = lent[oldest];
                queue.give(share(who).tenant, Duration::from_micros(n));
                queue.push(share(who), who);
                lent[oldest] = queue.pop(places).unwrap();
            });
        });
    }
}

/// A hit: the key of a statement in a session whose beginning is known, the look, and the end of a miss.
fn cache(c: &mut Criterion) {
    let limits = Limits { max_memory: 256 << 20, max_entry: 1 << 20, tenant_share: 0.5, jitter: 0.1 };
    let cache = Cache::new(limits);
    let database = cache.database("localhost:5432/shop");
    let account = database.account(Some("acme"));
    let now = Instant::now();
    let need = Need { account: &account, columns: true, floor: 0, max_age: Duration::MAX, wait: true };
    let mut session = cache.prefix();
    for part in [b"localhost:5432/shop", b"application        ", b"acme               "] {
        session.part(part);
    }
    let key = |n: u64| {
        let mut key = session;
        key.part(TYPICAL);
        key.count(n);
        key.key()
    };
    let tables = [database.table("public", "orders"), database.table("public", "items")];
    let marks: Arc<[_]> = tables.into_iter().collect();
    let text: Arc<str> = "SELECT".into();
    let store = |n: u64| {
        let Look::Lead(ticket) = database.look(key(n), need, now) else { panic!("not new") };
        let answer = Answer { columns: Some(vec![b'T'; 60]), body: vec![b'D'; 200], rows: 1 };
        let about = About {
            marks: Arc::clone(&marks),
            ttl: Duration::from_secs(3600),
            stale: Duration::ZERO,
            by_ttl_only: false,
            catalog: 0,
            text: Arc::clone(&text),
        };
        ticket.store(answer, about, now)
    };
    (0..100_000).for_each(|n| assert_eq!(store(n), Stored::Kept));
    c.bench_function("a key of a SELECT of 110 bytes", |b| b.iter(|| black_box(key(black_box(7)))));
    let one = key(7);
    c.bench_function("look up what is kept, always the same", |b| {
        b.iter(|| assert!(matches!(black_box(database.look(one, need, now)), Look::Hit(_))));
    });
    let keys: Vec<_> = (0..100_000).map(key).collect();
    let mut n = 0;
    c.bench_function("look up what is kept, one of 100,000", |b| {
        b.iter(|| {
            n = (n + 7919) % keys.len();
            assert!(matches!(black_box(database.look(keys[n], need, now)), Look::Hit(_)));
        });
    });
    let mut n = 100_000;
    c.bench_function("miss, and keep an answer of 260 bytes", |b| {
        b.iter(|| {
            n += 1;
            assert_eq!(store(n), Stored::Kept);
        });
    });
    let writes = Writes { tables: vec![(None, "orders".into())], ..Writes::default() };
    c.bench_function("tell of a write to a table that is kept", |b| {
        b.iter(|| database.written(black_box(&writes), Some("\"$user\", public"), Source::Write));
    });
}

criterion_group!(benches, lexer, frames, transactions, turns, cache);
criterion_main!(benches);
