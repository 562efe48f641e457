//! How long entries live, and whom they are for.

use super::*;
use crate::cache::entry::State;
use crate::sql::Writes;

#[test]
fn what_was_stored_is_served() {
    let house = House::new();
    assert_eq!(reason(&house.look("q")), Some(Miss::New));
    let answer = Answer { columns: Some(b"columns".to_vec()), body: b"rows".to_vec(), rows: 7 };
    assert_eq!(house.lead("q").store(answer, house.about(&["t"]), house.now), Stored::Kept);
    let Look::Hit(entry) = house.look("q") else { panic!("no hit") };
    assert_eq!((entry.columns(), entry.body(), entry.rows()), (Some(&b"columns"[..]), &b"rows"[..], 7));
    assert_eq!(entry.age(house.now + SECOND), SECOND);
    assert!(matches!(house.look("other"), Look::Lead(_)));
}

#[test]
fn its_time_runs_from_where_its_query_began() {
    let mut house = House::new();
    let begun = house.now;
    let mut ticket = house.lead("q");
    // Three seconds in the pool's queue do not count, four in the server do.
    ticket.begin(begun + 3 * SECOND);
    assert_eq!(ticket.store(answer("q"), house.about(&[]), begun + 7 * SECOND), Stored::Kept);
    house.now = begun + 13 * SECOND - Duration::from_millis(1);
    assert!(house.is_hit("q"));
    house.now = begun + 13 * SECOND;
    assert_eq!(reason(&house.look("q")), Some(Miss::Expired));
    assert_eq!(reason(&house.look("q")), Some(Miss::Expired), "and the next one hears the same");
    // Without the call the whole time counts.
    house.now = begun;
    house.lead("w").store(answer("w"), house.about(&[]), begun + 7 * SECOND);
    house.now = begun + 10 * SECOND;
    assert!(!house.is_hit("w"));
}

#[test]
fn a_stale_answer_is_served_while_one_client_fetches_the_new_one() {
    let mut house = House::new();
    let about = About { stale: 5 * SECOND, ..house.about(&["t"]) };
    house.lead("q").store(answer("old"), about.clone(), house.now);
    house.now += 10 * SECOND;
    let ticket = house.lead("q");
    assert_eq!(ticket.why(), Miss::Expired);
    for _ in 0..3 {
        let Look::Stale(entry) = house.look("q") else { panic!("not stale") };
        assert_eq!(entry.body(), b"old");
    }
    assert_eq!(house.hit("q"), None, "who only peeks gets no stale ones");
    // The one who fetches fails: the next one does.
    drop(ticket);
    let ticket = house.lead("q");
    assert_eq!(ticket.store(answer("new"), about, house.now), Stored::Kept);
    assert_eq!(house.hit("q").as_deref(), Some("new"));
    house.now += 15 * SECOND;
    assert_eq!(reason(&house.look("q")), Some(Miss::Expired), "stale has an end, too");
}

#[test]
fn a_stale_answer_that_was_written_over_is_not_served() {
    let mut house = House::new();
    let about = About { stale: 5 * SECOND, ..house.about(&["t"]) };
    house.lead("q").store(answer("old"), about, house.now);
    house.now += 11 * SECOND;
    house.database.invalidate_table(None, "t", Source::Write);
    let ticket = house.lead("q");
    assert_eq!(ticket.why(), Miss::Invalidated);
    assert!(matches!(house.look("q"), Look::Wait(_)));
}

#[test]
fn who_wrote_is_not_served_what_began_before() {
    let house = House::new();
    let by_time = || About { by_ttl_only: true, ..house.about(&["t"]) };
    assert_eq!(house.lead("q").store(answer("q"), by_time(), house.now), Stored::Kept);
    house.keep("known", &["t"]);
    let floor = house.database.written(&Writes::default(), None, Source::Write);
    let wrote = Need { floor, ..house.need() };
    let key = house.key("q");
    assert!(house.database.peek(key, wrote, house.now).is_none());
    assert!(house.is_hit("q"), "for others it is as good as it was");
    let known = house.database.peek(house.key("known"), wrote, house.now);
    assert!(known.is_some(), "where it is known what ends it, that has not");
    let ticket = lead(house.database.look(key, wrote, house.now));
    assert_eq!(ticket.why(), Miss::OwnWrite);
    assert_eq!(ticket.store(answer("newer"), by_time(), house.now), Stored::Kept);
    assert!(house.database.peek(key, wrote, house.now).is_some());
}

#[test]
fn who_wrote_does_not_wait_for_what_began_before() {
    let house = House::new();
    let ticket = house.lead("q");
    let floor = house.database.tick();
    let wrote = Need { floor, ..house.need() };
    let look = house.database.look(house.key("q"), wrote, house.now);
    assert!(matches!(look, Look::Alone(Miss::OwnWrite)), "{look:?}");
    // A flight that began after the write will do.
    drop(ticket);
    let _ticket = house.lead("q");
    assert!(matches!(house.database.look(house.key("q"), wrote, house.now), Look::Wait(_)));
}

#[test]
fn who_wants_younger_answers_is_not_served_older_ones() {
    let mut house = House::new();
    let about = About { stale: 2 * SECOND, ..house.about(&["t"]) };
    house.lead("q").store(answer("old"), about.clone(), house.now);
    let key = house.key("q");
    house.now += 4 * SECOND;
    let account = Arc::clone(&house.account);
    let impatient = Need { account: &account, columns: false, floor: 0, max_age: 5 * SECOND, wait: true };
    assert!(house.database.peek(key, impatient, house.now).is_some());
    house.now += SECOND;
    assert!(house.database.peek(key, impatient, house.now).is_none());
    assert_eq!(house.hit("q").as_deref(), Some("old"), "others are content with it");
    let ticket = lead(house.database.look(key, impatient, house.now));
    assert_eq!(ticket.why(), Miss::Expired);
    assert!(matches!(house.database.look(key, impatient, house.now), Look::Stale(_)));
    house.now += 2 * SECOND;
    assert!(matches!(house.database.look(key, impatient, house.now), Look::Wait(_)), "stale has an end");
    ticket.store(answer("new"), about, house.now);
    house.now += SECOND;
    assert_eq!(house.hit("q").as_deref(), Some("new"));
    assert!(house.database.peek(key, impatient, house.now).is_some());
}

#[test]
fn who_needs_columns_is_not_served_without() {
    let house = House::new();
    house.keep("q", &["t"]);
    let need = Need { columns: true, ..house.need() };
    let ticket = lead(house.database.look(house.key("q"), need, house.now));
    let full = Answer { columns: Some(b"T".to_vec()), ..answer("q") };
    assert_eq!(ticket.store(full, house.about(&["t"]), house.now), Stored::Kept);
    assert!(house.database.peek(house.key("q"), need, house.now).is_some());
    assert!(house.is_hit("q"), "and one with columns is for both");
    assert_eq!(house.cache.entries(), 1);
}

#[test]
fn one_tenants_answer_is_never_anothers() {
    let house = House::new();
    let (mine, other) = (house.database.account(Some("mine")), house.database.account(Some("other")));
    let key = house.key("the key lacks the tenant, by mistake");
    let need = |account| Need { account, ..house.need() };
    let stored = lead(house.database.look(key, need(&mine), house.now)).store(
        answer("secret"),
        house.about(&[]),
        house.now,
    );
    assert_eq!(stored, Stored::Kept);
    assert!(house.database.peek(key, need(&mine), house.now).is_some());
    for account in [&other, &house.account, &house.cache.database("elsewhere").account(Some("mine"))] {
        assert!(house.database.peek(key, need(account), house.now).is_none(), "{account:?}");
        assert!(matches!(house.database.look(key, need(account), house.now), Look::Lead(_)));
    }
}

#[test]
fn times_to_live_are_shortened_within_bounds() {
    let house = House::with(Limits { jitter: 0.1, ..LIMITS });
    let store = house.database.store();
    let ttl = 100 * SECOND;
    let lives: Vec<Duration> = (0..200).map(|n| store.jittered(house.key(&n.to_string()), ttl)).collect();
    assert!(lives.iter().all(|life| *life <= ttl && *life >= 90 * SECOND), "{lives:?}");
    let spread = lives.iter().max().unwrap().saturating_sub(*lives.iter().min().unwrap());
    assert!(spread > 8 * SECOND, "they do not end together: {spread:?}");
    assert_eq!(store.jittered(house.key("q"), SECOND), SECOND, "short ones are as long as was said");
}

#[test]
fn a_time_to_live_beyond_the_clock_is_none() {
    let house = House::new();
    let about = About { ttl: Duration::MAX, stale: Duration::MAX, ..house.about(&[]) };
    house.lead("q").store(answer("q"), about, house.now);
    assert!(!house.is_hit("q"));
}

#[test]
fn a_sweep_takes_what_is_dead_and_only_that() {
    let mut house = House::new();
    for (text, table) in [("a", "t"), ("b", "t"), ("c", "u")] {
        house.keep(text, &[table]);
    }
    let about = About { stale: 100 * SECOND, ..house.about(&["v"]) };
    house.lead("stale").store(answer("stale"), about, house.now);
    house.database.invalidate_table(None, "t", Source::Write);
    assert_eq!(house.cache.entries(), 4, "an invalidation looks for no entry");
    house.cache.sweep(house.now);
    assert_eq!((house.cache.entries(), house.cache.swept.get()), (2, 2));
    assert!(house.is_hit("c"));
    house.now += 10 * SECOND;
    house.cache.sweep(house.now);
    assert_eq!(house.cache.entries(), 1);
    assert!(matches!(house.look("stale"), Look::Lead(_)));
    house.now += 100 * SECOND;
    house.cache.sweep(house.now);
    assert_eq!((house.cache.entries(), house.cache.bytes()), (0, 0));
    assert_eq!(house.database.counters.bytes.get(), 0);
}

#[test]
fn a_sweep_forgets_what_nobody_uses() {
    let house = House::new();
    house.keep("q", &["kept"]);
    drop((house.database.table("public", "idle"), house.database.tag("idle"), house.database.tenant("idle")));
    let account = house.database.account(Some("here"));
    assert_eq!((house.database.marks().count(), house.database.accounts().len()), (3, 3));
    house.cache.sweep(house.now);
    assert_eq!((house.database.marks().count(), house.database.accounts().len()), (1, 2));
    // Made anew, it is as young as the clock: what was written while there was none counts.
    let tick = house.database.invalidate_table(None, "idle", Source::Write);
    assert_eq!(house.database.table("public", "idle").generation(), tick);
    assert_eq!(house.database.tag("idle").generation(), tick);
    assert_eq!(house.database.tenant("idle").generation(), tick);
    assert!(Arc::ptr_eq(&account, &house.database.account(Some("here"))));
}

#[test]
fn lists_say_what_is_there() {
    let mut house = House::new();
    let tenant = house.database.account(Some("acme"));
    let need = Need { account: &tenant, ..house.need() };
    let about = About { text: "SELECT 1".into(), by_ttl_only: true, ..house.about(&["t", "u"]) };
    let ticket = lead(house.database.look(house.key("q"), need, house.now));
    ticket.store(answer("q"), about, house.now);
    house.keep("dead", &["d"]);
    house.database.invalidate_table(None, "d", Source::Write);
    house.database.peek(house.key("q"), need, house.now).unwrap().given(house.now);
    house.now += 4 * SECOND;
    let list = house.cache.list(10, house.now);
    let [info] = list.as_slice() else { panic!("{list:?}") };
    assert_eq!((&*info.database, info.tenant.as_deref()), ("localhost:5432/shop", Some("acme")));
    assert_eq!((&*info.text, info.rows, info.hits, info.by_ttl_only), ("SELECT 1", 1, 1, true));
    assert_eq!((info.age, info.ttl_left), (4 * SECOND, 6 * SECOND));
    assert_eq!(info.marks, ["public.t", "public.u"]);
    assert_eq!(info.key, house.key("q"));
    assert!(house.cache.list(0, house.now).is_empty());
}

#[test]
fn hits_and_misses_are_counted_for_tenant_and_database() {
    let house = House::new();
    let tenant = house.database.account(Some("acme"));
    house.keep("q", &["t"]);
    let Look::Hit(entry) = house.look("q") else { panic!() };
    entry.given(house.now);
    entry.given(house.now + 1000 * SECOND);
    tenant.miss(Miss::Volatile);
    house.account.miss(Miss::New);
    let (all, its) = (&house.database.counters, &tenant.counters);
    assert_eq!((all.hits.get(), all.stale_hits.get(), all.stores.get()), (2, 1, 1));
    assert_eq!((all.misses(Miss::Volatile), all.misses(Miss::New), all.all_misses()), (1, 1, 2));
    assert_eq!((its.hits.get(), its.misses(Miss::Volatile), its.all_misses()), (0, 1, 1));
    for (at, why) in Miss::ALL.into_iter().enumerate() {
        assert_eq!(why as usize, at, "{why:?}");
    }
    for (at, source) in Source::ALL.into_iter().enumerate() {
        assert_eq!(source as usize, at, "{source:?}");
    }
}

#[test]
fn states_of_an_entry() {
    let house = House::new();
    let about = About { stale: 5 * SECOND, ..house.about(&["t"]) };
    house.lead("q").store(answer("q"), about, house.now);
    let Look::Hit(entry) = house.look("q") else { panic!() };
    let at = |seconds: u32| entry.state(house.now + seconds * SECOND);
    assert_eq!(at(0), State::Fresh);
    assert_eq!(at(9), State::Fresh);
    assert_eq!(at(10), State::Stale);
    assert_eq!(at(14), State::Stale);
    assert_eq!(at(15), State::Dead(Miss::Expired));
    house.database.invalidate_table(None, "t", Source::Write);
    assert_eq!(entry.state(house.now), State::Dead(Miss::Invalidated));
}
