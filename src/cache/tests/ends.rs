//! What ends entries.

use super::*;
use crate::sql::Writes;

/// Stores `text` with these marks, does something, and says whether it is still served.
fn survives<R>(tables: &[(&str, &str)], tags: &[&str], then: impl Fn(&House) -> R) -> bool {
    let house = House::new();
    let marks = tables
        .iter()
        .map(|(schema, name)| house.database.table(schema, name))
        .chain(tags.iter().map(|tag| house.database.tag(tag)))
        .collect();
    let ticket = house.lead("q");
    ticket.store(answer("q"), About { marks, ..house.about(&[]) }, house.now);
    assert!(house.is_hit("q"));
    then(&house);
    house.is_hit("q")
}

fn writes(tables: &[(Option<&str>, &str)]) -> Writes {
    let name = |(schema, name): &(Option<&str>, &str)| (schema.map(Into::into), (*name).into());
    Writes { tables: tables.iter().map(name).collect(), ..Writes::default() }
}

/// Tables written, the writer's path, and whether the answer lives.
type Row<'a> = (&'a [(Option<&'a str>, &'a str)], Option<&'a str>, bool);

#[test]
fn writes_end_what_was_read_from_their_tables() {
    let orders: &[(&str, &str)] = &[("shop", "orders"), ("shop", "items")];
    let table: [Row<'_>; 14] = [
        (&[(Some("shop"), "orders")], None, false),
        (&[(Some("shop"), "items")], None, false),
        (&[(Some("shop"), "other"), (Some("shop"), "items")], None, false),
        (&[(Some("shop"), "other")], None, true),
        (&[(Some("other"), "orders")], None, true),
        (&[(Some("shop"), "Orders")], None, true),
        (&[(None, "orders")], None, false),
        (&[(None, "orders")], Some("shop"), false),
        (&[(None, "orders")], Some("public, shop"), false),
        (&[(None, "orders")], Some("public"), true),
        (&[(None, "orders")], Some("\"$user\", public"), false),
        (&[(None, "orders")], Some("\"Shop\""), true),
        (&[(None, "other")], None, true),
        (&[], None, true),
    ];
    for (tables, path, lives) in table {
        let written = |house: &House| {
            house.database.written(&writes(tables), path, Source::Write);
        };
        assert_eq!(survives(orders, &[], written), lives, "{tables:?} with {path:?}");
    }
}

#[test]
fn what_is_not_known_ends_everything() {
    let catalog = Writes { catalog: true, ..Writes::default() };
    let unknown = Writes { unknown: true, ..Writes::default() };
    for writes in [catalog, unknown] {
        let written = |house: &House| {
            house.database.written(&writes, Some("public"), Source::Ddl);
        };
        assert!(!survives(&[("public", "t")], &[], written));
        assert!(!survives(&[], &[], written), "also what depends on no table");
    }
}

#[test]
fn tags_tenants_and_words_end_theirs() {
    type Then = fn(&House) -> u64;
    let table: [(Then, bool); 16] = [
        (|house| house.database.invalidate_tag("menu", Source::Write), false),
        (|house| house.database.invalidate_tag("Menu", Source::Write), true),
        (|house| house.database.invalidate_tag("shop.orders", Source::Write), true),
        (|house| house.database.invalidate_tenant("acme", Source::Write), true),
        (|house| house.database.invalidate_word("orders", Source::Notify), false),
        (|house| house.database.invalidate_word(" shop.orders ", Source::Notify), false),
        (|house| house.database.invalidate_word("SHOP.Orders", Source::Notify), false),
        (|house| house.database.invalidate_word("\"shop\".\"orders\"", Source::Notify), false),
        (|house| house.database.invalidate_word("other.orders", Source::Notify), true),
        (|house| house.database.invalidate_word("menu", Source::Notify), false),
        (|house| house.database.invalidate_word("*", Source::Notify), false),
        (|house| house.database.invalidate_word("", Source::Notify), false),
        (|house| house.database.invalidate_word("\"open", Source::Notify), true),
        (|house| house.database.invalidate_all(Source::Write), false),
        (|house| house.database.catalog_changed(Source::Ddl), false),
        (|house| house.database.tick(), true),
    ];
    for (at, (then, lives)) in table.into_iter().enumerate() {
        assert_eq!(survives(&[("shop", "orders")], &["menu"], then), lives, "row {at}");
    }
}

#[test]
fn a_tenant_ends_alone() {
    let house = House::new();
    let (acme, other) = (house.database.account(Some("acme")), house.database.account(Some("other")));
    let key = |account: &Account| house.key(account.tenant().unwrap());
    for account in [&acme, &other] {
        let look = house.database.look(key(account), Need { account, ..house.need() }, house.now);
        lead(look).store(answer("q"), house.about(&["t"]), house.now);
    }
    house.database.invalidate_tenant("acme", Source::Write);
    let is_hit = |account: &Arc<Account>| {
        house.database.peek(key(account), Need { account, ..house.need() }, house.now).is_some()
    };
    assert_eq!((is_hit(&acme), is_hit(&other)), (false, true));
}

#[test]
fn another_database_is_not_touched() {
    let house = House::new();
    house.keep("q", &["t"]);
    let other = house.cache.database("localhost:5432/other");
    other.catalog_changed(Source::Ddl);
    other.invalidate_table(None, "t", Source::Write);
    assert!(house.is_hit("q"));
    assert!(Arc::ptr_eq(&house.database, &house.cache.database("localhost:5432/shop")));
    assert_eq!(house.cache.databases().len(), 2);
}

#[test]
fn a_fill_that_began_before_a_write_is_not_stored() {
    type Then = fn(&House) -> u64;
    let thens: [Then; 7] = [
        |house| house.database.written(&writes(&[(None, "t")]), None, Source::Write),
        |house| house.database.invalidate_word("public.t", Source::Notify),
        |house| house.database.invalidate_all(Source::Console),
        |house| house.database.catalog_changed(Source::Ddl),
        |house| {
            house.database.pause("test");
            0
        },
        |house| {
            house.database.pause("test");
            house.database.resume(true);
            0
        },
        // The mark is made after the write; it is as young as the clock.
        |house| house.database.invalidate_table(Some("public"), "u", Source::Write),
    ];
    for (at, then) in thens.into_iter().enumerate() {
        let house = House::new();
        drop(house.database.table("public", "t"));
        let ticket = house.lead("q");
        then(&house);
        let catalog = 0;
        let about = About { catalog, ..house.about(&["t", "u"]) };
        assert_eq!(ticket.store(answer("old"), about, house.now), Stored::Outdated, "{at}");
        house.database.resume(true);
        assert!(!house.is_hit("q"), "{at}");
        assert_eq!(house.database.counters.outdated.get(), 1);
    }
}

#[test]
fn a_fill_that_begins_after_the_write_is_stored() {
    let house = House::new();
    let mut ticket = house.lead("q");
    let about = house.about(&["t"]);
    house.database.invalidate_table(None, "t", Source::Write);
    ticket.begin(house.now);
    assert_eq!(ticket.store(answer("q"), about, house.now), Stored::Kept);
    assert!(house.is_hit("q"));
}

#[test]
fn a_plan_older_than_the_catalog_stores_nothing() {
    let house = House::new();
    let about = house.about(&["t"]);
    house.database.catalog_changed(Source::Ddl);
    // The query itself began after the change.
    let ticket = house.lead("q");
    assert_eq!(ticket.store(answer("q"), about, house.now), Stored::Outdated);
    house.keep("q", &["t"]);
}

#[test]
fn a_pause_serves_and_stores_nothing() {
    let house = House::new();
    house.keep("q", &["t"]);
    assert_eq!(house.database.is_paused(), None);
    house.database.pause("the stream is broken");
    assert_eq!(house.database.is_paused(), Some("the stream is broken"));
    assert!(matches!(house.look("q"), Look::Paused));
    assert_eq!(house.hit("q"), None);
    house.database.resume(true);
    assert_eq!(house.database.is_paused(), None);
    assert!(house.is_hit("q"), "every write is known");
    house.database.pause("again");
    house.database.resume(false);
    assert_eq!(reason(&house.look("q")), Some(Miss::Invalidated));
    house.keep("q", &["t"]);
}

#[test]
fn a_fill_that_begins_within_a_pause_is_not_stored() {
    let house = House::new();
    let mut ticket = house.lead("q");
    house.database.pause("test");
    ticket.begin(house.now);
    house.database.resume(true);
    assert_eq!(ticket.store(answer("q"), house.about(&["t"]), house.now), Stored::Outdated);
}

#[test]
fn a_purge_frees_what_it_ends() {
    let house = House::new();
    for (text, tables) in [("a", &["t"][..]), ("b", &["u"]), ("c", &["t", "u"])] {
        house.keep(text, tables);
    }
    let bytes = house.cache.bytes();
    let table =
        |schema: Option<&str>| Purge::Table { schema: schema.map(str::to_owned), name: "t".to_owned() };
    assert_eq!(house.cache.purge(&table(Some("other"))), Purged::default());
    let purged = house.cache.purge(&table(None));
    assert_eq!((purged.entries, house.cache.entries()), (2, 1));
    assert_eq!(purged.bytes + house.cache.bytes(), bytes);
    assert!(house.is_hit("b"));
    assert_eq!(house.cache.purge(&Purge::Tag("none".to_owned())).entries, 0);
    assert_eq!(house.cache.purge(&Purge::Tenant("none".to_owned())).entries, 0);
    let other = house.cache.database("other");
    assert_eq!(other.purge(&Purge::All).entries, 0, "what is another's stays");
    assert_eq!(house.cache.purge(&Purge::All).entries, 1);
    assert_eq!((house.cache.bytes(), house.database.counters.entries.get()), (0, 0));
    assert_eq!(house.database.counters.invalidations(Source::Console), 5);
}

#[test]
fn more_tags_than_there_is_room_for_end_together() {
    let house = House::new();
    let held: Vec<_> = (0..10_000).map(|n| house.database.tag(&format!("tag {n}"))).collect();
    let store = |text: &str, tag: &str| {
        let marks = [house.database.tag(tag)].into_iter().collect();
        house.lead(text).store(answer(text), About { marks, ..house.about(&[]) }, house.now);
    };
    store("own", "tag 7");
    store("shared", "one too many");
    assert!(house.database.marks().count() <= held.len());
    // Now there is room, and the tag gets a mark of its own; what was stored with the shared one still ends.
    drop(held);
    house.cache.sweep(house.now);
    let _own = house.database.tag("one too many");
    house.database.invalidate_tag("one too many", Source::Write);
    assert_eq!((house.is_hit("own"), house.is_hit("shared")), (true, false));
}
