#![allow(clippy::unwrap_used)]

use super::name::dollar_quoted;
use super::*;

#[test]
fn names_are_read_as_postgres_reads_them() {
    let table = |typed: &str| TableName::parse(typed).map(|name| name.to_string());
    for (typed, quoted) in [
        ("orders", r#""orders""#),
        ("Public.Orders", r#""public"."orders""#),
        (r#""Public"."Or""der.s""#, r#""Public"."Or""der.s""#),
        ("größe", r#""größe""#),
        ("_a$1", r#""_a$1""#),
        (r#"x."'; DROP TABLE y --""#, r#""x"."'; DROP TABLE y --""#),
    ] {
        assert_eq!(table(typed).as_deref(), Ok(quoted), "{typed}");
    }
    let long = "x".repeat(64);
    for typed in [
        "", ".", "a.", ".a", "a.b.c", "a b", "a;b", "a'b", "1a", "$a", "a-b", r#"""#, r#""a"#, r#""""#,
        r#""a"b"#, r#"a"b""#, "\"a\0b\"", "a\nb", &long,
    ] {
        assert!(table(typed).is_err(), "{typed:?}");
    }
    assert!(Identifier::parse("a.b").is_err());
    assert_eq!(Identifier::parse(r#""a.b""#).unwrap().as_str(), "a.b");
}

#[test]
fn settings_are_custom_ones() {
    assert_eq!(Setting::parse("App.Tenant_ID").unwrap().as_str(), "app.tenant_id");
    assert_eq!(Setting::parse("a.b.tenant").unwrap().column().as_str(), "tenant");
    for typed in ["", "tenant", "app.", ".a", "a..b", "a.b'", "a.b c", "a.1b", "a.é", "a.b\n"] {
        assert!(Setting::parse(typed).is_err(), "{typed:?}");
    }
}

#[test]
fn texts_stay_inside_their_quotes() {
    assert_eq!(literal("it's"), "'it''s'");
    assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    assert_eq!(dollar_quoted("x"), "$howdah$x$howdah$");
    assert_eq!(dollar_quoted("$howdah$ $howdah1$"), "$howdah2$$howdah$ $howdah1$$howdah2$");
    let table = TableName::parse(r#""a$howdah$b""#).unwrap();
    let sql = protect(&table, &Identifier::known("tenant_id"), &Tenant::Signed);
    assert!(sql.contains("DO $howdah1$") && sql.contains("$howdah1$;"));
}

/// RFC 4231, test cases 2 and 6: a short key and one that is longer than a block.
#[test]
fn the_two_blocks_make_an_hmac() {
    use aws_lc_rs::{digest, hmac};
    let long = [0xaa; 131];
    for (key, message) in [
        (&b"Jefe"[..], &b"what do ya want for nothing?"[..]),
        (&long, b"Test Using Larger Than Block-Size Key"),
    ] {
        let blocks = SigningKey::new(key);
        let inner = digest::digest(&digest::SHA256, &[&blocks.inner[..], message].concat());
        let outer = digest::digest(&digest::SHA256, &[&blocks.outer[..], inner.as_ref()].concat());
        let right = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
        assert_eq!(outer.as_ref(), right.as_ref());
    }
    assert_eq!(format!("{:?}", SigningKey::new(b"hush")), "SigningKey(…)");
}
