//! How much is kept.

use super::*;
use crate::cache::entry::{rounded, weight};

fn bytes(count: usize) -> Answer {
    Answer { columns: None, body: vec![b'x'; count], rows: 1 }
}

fn store(house: &House, text: &str, count: usize) -> Stored {
    house.lead(text).store(bytes(count), house.about(&["t"]), house.now)
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let house = House::with(Limits { max_memory: 1 << 20, max_entry: 1 << 16, ..LIMITS });
    for n in 0..5000 {
        assert_eq!(store(&house, &n.to_string(), n * 7 % 5000), Stored::Kept);
        assert!(house.cache.bytes() <= 1 << 20);
    }
    assert!(house.cache.bytes() > 900 << 10, "and used: {}", house.cache.bytes());
    let counters = &house.database.counters;
    assert_eq!(counters.entries.get(), house.cache.entries() as u64);
    assert_eq!(counters.bytes.get(), house.cache.bytes());
    assert_eq!(counters.stores.get(), 5000);
    assert_eq!(counters.evictions.get() + counters.entries.get(), 5000);
}

#[test]
fn an_answer_beyond_max_entry_is_not_kept() {
    let house = House::with(Limits { max_entry: 1000, ..LIMITS });
    assert_eq!(store(&house, "fits", 1000), Stored::Kept);
    assert_eq!(store(&house, "not", 1001), Stored::TooBig);
    assert!(matches!(house.look("not"), Look::Alone(Miss::TooBig)));
    let columns = Answer { columns: Some(vec![0; 500]), ..bytes(501) };
    assert_eq!(house.lead("columns").store(columns, house.about(&[]), house.now), Stored::TooBig);
    assert_eq!(house.cache.entries(), 1);
}

#[test]
fn an_answer_beyond_the_whole_memory_is_not_kept() {
    let limits = Limits { max_memory: 10_000, max_entry: 100_000, ..LIMITS };
    let house = House::with(limits);
    store(&house, "small", 1000);
    assert_eq!(store(&house, "big", 50_000), Stored::Full);
    assert_eq!(store(&house, "nearly", 9_400), Stored::Full);
    assert!(house.is_kept("small") && !house.is_kept("big"));
    let house = House::with(Limits { max_memory: 0, ..limits });
    assert_eq!(store(&house, "any", 1), Stored::Full);
    assert_eq!(house.cache.bytes(), 0);
}

impl House {
    fn is_kept(&self, text: &str) -> bool {
        self.hit(text).is_some()
    }
}

#[test]
fn a_tenant_evicts_its_own_oldest_and_nobody_elses() {
    let house = House::with(Limits { max_memory: 4 << 20, max_entry: 1 << 16, tenant_share: 0.25, ..LIMITS });
    let (greedy, modest) = (house.database.account(Some("greedy")), house.database.account(Some("modest")));
    let put = |account: &Arc<Account>, n: usize| {
        let key = house.key(&format!("{} {n}", account.tenant().unwrap()));
        let ticket = lead(house.database.look(key, Need { account, ..house.need() }, house.now));
        assert_eq!(ticket.store(bytes(1000), house.about(&["t"]), house.now), Stored::Kept);
    };
    let has = |account: &Arc<Account>, n: usize| {
        let key = house.key(&format!("{} {n}", account.tenant().unwrap()));
        house.database.peek(key, Need { account, ..house.need() }, house.now).is_some()
    };
    for n in 0..100 {
        put(&modest, n);
    }
    for n in 0..10_000 {
        put(&greedy, n);
        assert!(greedy.counters.bytes.get() <= 1 << 20);
    }
    assert!((0..100).all(|n| has(&modest, n)));
    assert_eq!(modest.counters.evictions.get(), 0);
    let kept: Vec<usize> = (0..10_000).filter(|n| has(&greedy, *n)).collect();
    assert!(kept.len() > 500, "{}", kept.len());
    assert_eq!(kept, (10_000 - kept.len()..10_000).collect::<Vec<_>>(), "the oldest went");
    assert_eq!(greedy.counters.evictions.get(), 10_000 - kept.len() as u64);
    assert_eq!(house.database.counters.evictions.get(), greedy.counters.evictions.get());
}

#[test]
fn the_order_of_a_tenant_does_not_grow_with_what_is_gone() {
    let house = House::new();
    for n in 0..2000 {
        // The same three keys, again and again, and all gone now and then.
        house.database.invalidate_table(None, "t", Source::Write);
        assert_eq!(store(&house, &(n % 3).to_string(), 10), Stored::Kept);
    }
    assert!(house.account.noted() < 100, "{}", house.account.noted());
    assert_eq!(house.database.counters.evictions.get(), 0, "a newer answer is no eviction");
}

#[test]
fn what_is_being_served_counts_until_it_was() {
    let house = House::new();
    store(&house, "q", 1000);
    let Look::Hit(entry) = house.look("q") else { panic!() };
    house.cache.purge(&Purge::All);
    assert_eq!(house.cache.bytes(), 0);
    assert_eq!(house.database.counters.bytes.get(), entry.weight());
    drop(entry);
    assert_eq!(house.database.counters.bytes.get(), 0);
}

#[test]
fn ttl_only_entries_are_counted() {
    let house = House::new();
    let about = About { by_ttl_only: true, ..house.about(&[]) };
    house.lead("q").store(answer("q"), about, house.now);
    house.keep("w", &["t"]);
    assert_eq!((house.database.counters.ttl_only.get(), house.database.counters.entries.get()), (1, 2));
    house.cache.purge(&Purge::All);
    assert_eq!(house.database.counters.ttl_only.get(), 0);
}

#[test]
fn sizes_are_those_of_jemalloc() {
    let table = [
        (0, 0),
        (1, 8),
        (8, 8),
        (9, 16),
        (16, 16),
        (17, 32),
        (128, 128),
        (129, 160),
        (160, 160),
        (161, 192),
        (256, 256),
        (257, 320),
        (1024, 1024),
        (1025, 1280),
        (4097, 5120),
        (14_337, 16_384),
        (1 << 20, 1 << 20),
        ((1 << 20) + 1, (1 << 20) + (1 << 18)),
    ];
    for (bytes, rounds) in table {
        assert_eq!(rounded(bytes), rounds, "{bytes}");
    }
    assert!(rounded(usize::MAX) >= usize::MAX as u64 - 1, "no overflow");
}

#[test]
fn all_parts_weigh() {
    let house = House::new();
    let about = house.about(&[]);
    let base = weight(&bytes(0), &about);
    assert!(base > 300, "an empty answer costs, too: {base}");
    assert!(weight(&bytes(1000), &about) >= base + 1000);
    let columns = Answer { columns: Some(vec![0; 1000]), ..bytes(0) };
    assert!(weight(&columns, &about) >= base + 1000);
    let text = About { text: "x".repeat(1000).into(), ..about.clone() };
    assert!(weight(&bytes(0), &text) >= base + 900);
    let marks = About { marks: (0..100).map(|_| house.database.table("s", "t")).collect(), ..about };
    assert!(weight(&bytes(0), &marks) >= base + 700);
}
