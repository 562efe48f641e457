//! What the hot path is made of, part by part: `cargo bench --bench parts`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use howdah::pool::Interner;
use howdah::session::{ClientSession, Mode, ServerSession};
use howdah::sql::{touched, traits};
use howdah::wire::{self, Side, header};

const SELECT: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;";

const TYPICAL: &[u8] =
    b"SELECT id, customer_id, status, total FROM orders WHERE customer_id = $1 AND status = 'open' ORDER BY id LIMIT 20";

fn lexer(c: &mut Criterion) {
    c.bench_function("traits of pgbench's SELECT", |b| b.iter(|| traits(black_box(SELECT), true)));
    c.bench_function("settings touched by pgbench's SELECT", |b| b.iter(|| touched(black_box(SELECT), true)));
    c.bench_function("settings touched by a SELECT of 110 bytes", |b| {
        b.iter(|| touched(black_box(TYPICAL), true));
    });
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

criterion_group!(benches, lexer, frames, transactions);
criterion_main!(benches);
