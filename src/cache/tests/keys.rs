//! Keys, and names as people write them.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::cache::names::{Path, split, tables_of_word};

fn key_of(cache: &Cache, parts: &[Vec<u8>]) -> Key {
    let mut prefix = cache.prefix();
    for part in parts {
        prefix.part(part);
    }
    prefix.key()
}

#[test]
fn what_differs_has_another_key() {
    let cache = Cache::new(LIMITS);
    let lists: [&[&str]; 9] =
        [&[], &[""], &["", ""], &["a"], &["a", "b"], &["ab"], &["ab", ""], &["", "ab"], &["b", "a"]];
    let keys: HashSet<Key> = lists
        .iter()
        .map(|parts| key_of(&cache, &parts.iter().map(|part| part.as_bytes().to_vec()).collect::<Vec<_>>()))
        .collect();
    assert_eq!(keys.len(), lists.len());
    let optional = |bytes: Option<&[u8]>| {
        let mut prefix = cache.prefix();
        prefix.optional(bytes);
        prefix.key()
    };
    assert_eq!(optional(Some(b"a")), optional(Some(b"a")));
    assert_ne!(optional(None), optional(Some(b"")));
}

#[test]
fn a_prefix_can_be_used_again() {
    let cache = Cache::new(LIMITS);
    let mut session = cache.prefix();
    session.part(b"shop");
    let of = |text: &[u8]| {
        let mut prefix = session;
        prefix.part(text);
        prefix.key()
    };
    assert_eq!(of(b"a"), of(b"a"));
    assert_ne!(of(b"a"), of(b"b"));
    assert_eq!(of(b"a"), key_of(&cache, &[b"shop".to_vec(), b"a".to_vec()]));
}

#[test]
fn nobody_can_know_a_key_beforehand() {
    let of = |cache: &Cache| key_of(cache, &[b"a".to_vec()]);
    assert_ne!(of(&Cache::new(LIMITS)), of(&Cache::new(LIMITS)), "the secret is the process's own");
    let prefix = Cache::new(LIMITS).prefix();
    assert_eq!(format!("{prefix:?}"), "Prefix", "and not in logs");
    assert_eq!(prefix.key().to_string().len(), 32);
}

proptest! {
    #[test]
    fn keys_are_equal_as_their_parts_are(
        a in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..5),
        b in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..5),
    ) {
        let cache = Cache::new(LIMITS);
        prop_assert_eq!(key_of(&cache, &a) == key_of(&cache, &b), a == b);
    }

    #[test]
    fn any_bytes_are_a_path_or_none(text in "[a-z\",. $]{0,20}") {
        // Whatever stands there, it is read, and what is no path leads anywhere.
        if split(&text, ',').is_none() {
            prop_assert_eq!(Path::read(Some(&text)), Path::Any);
        }
        prop_assert!(!tables_of_word(&text).is_empty());
    }

    #[test]
    fn quoted_names_are_read_back(names in prop::collection::vec("[a-zA-Z\", .]{0,8}", 1..4)) {
        let quoted: Vec<String> =
            names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        prop_assert_eq!(split(&quoted.join(" , "), ','), Some(names));
    }
}

#[test]
fn paths_lead_where_postgres_would_go() {
    let leads = |setting: Option<&str>, schema: &str| Path::read(setting).leads_to(schema);
    assert!(leads(Some("public"), "public"));
    assert!(leads(Some("a, Public"), "public"));
    assert!(leads(Some(" a ,\"Mixed\""), "Mixed"));
    assert!(leads(Some("\"a,b\", c"), "a,b"));
    assert!(!leads(Some("a, b"), "public"));
    assert!(!leads(Some("\"Public\""), "public"));
    assert!(!leads(Some(""), "public"));
    // What is not known, or depends on who asks, may lead anywhere.
    assert!(leads(None, "public"));
    assert!(leads(Some("\"$user\", public"), "anything"));
    assert!(leads(Some("$user"), "anything"));
    assert!(leads(Some("\"open"), "anything"));
    assert!(leads(Some("\"a\" b"), "anything"));
}

#[test]
fn words_of_a_notification() {
    let of = |word: &str| tables_of_word(word);
    let table = |schema: Option<&str>, name: &str| (schema.map(str::to_owned), name.to_owned());
    assert_eq!(of("orders"), [table(None, "orders")]);
    assert_eq!(of("Orders"), [table(None, "Orders"), table(None, "orders")]);
    assert_eq!(of("\"Orders\""), [table(None, "\"Orders\""), table(None, "Orders")]);
    assert_eq!(
        of("shop.Orders"),
        [table(None, "shop.Orders"), table(Some("shop"), "Orders"), table(Some("shop"), "orders"),]
    );
    assert!(of("\"My.Shop\".\"Or.ders\"").contains(&table(Some("My.Shop"), "Or.ders")));
    assert!(of("My.Shop.Orders").contains(&table(Some("My.Shop"), "Orders")), "a schema with a dot, raw");
}
