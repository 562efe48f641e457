use proptest::prelude::*;

use crate::sql::{BadMark, Marks, OwnCommand, marks, mentions_own, own_command};

fn pairs(text: &str) -> String {
    match marks(text.as_bytes(), true) {
        Ok(found) => {
            let pairs: Vec<_> = found.pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.join(" ")
        }
        Err(BadMark::Malformed(key)) => format!("malformed {key}"),
        Err(BadMark::Twice(key)) => format!("twice {key}"),
        Err(BadMark::TooLong(key)) => format!("long {key}"),
        Err(BadMark::TooMany) => "many".into(),
    }
}

#[test]
fn marks_of_a_text() {
    for (text, expected) in [
        ("select 1", ""),
        ("select 1 /*howdah.tenant='acme'*/", "tenant=acme"),
        ("/*howdah.tenant='acme'*/ select 1", "tenant=acme"),
        ("/*howdah.tenant='acme'*/", "tenant=acme"),
        ("select 1 /*howdah.tenant='acme',howdah.user_id='42'*/;", "tenant=acme user_id=42"),
        ("select 1; /* howdah.tenant='acme' , howdah.user_id = '42' */ -- x", "tenant=acme user_id=42"),
        (
            "select 1 /*action='%2Fparam*d',howdah.tenant='a%20b%2C%27c',traceparent='00-5bd66ef5095369c7'*/",
            "tenant=a b,'c",
        ),
        ("select 1 /*howdah.tenant='it\\'s'*/", "tenant=it's"),
        ("select 1 /*howdah.tenant='a\\\\b+c'*/", "tenant=a\\\\b+c"),
        ("select 1 /*howdah.tenant='gr%C3%B6%C3%9Fe'*/", "tenant=größe"),
        ("select 1 /*howdah%2Etenant='a'*/", "tenant=a"),
        (
            "/*howdah.a='1'*/ -- x\n /*howdah.b='2'*/ select 1 /*howdah.c='3'*/ /*howdah.d='4'*/",
            "a=1 b=2 c=3 d=4",
        ),
        ("/*howdah.a='1'*/ select 1 /*howdah.a='1'*/", "a=1"),
        ("/*howdah.a='1'*/ select 1 /*howdah.a='2'*/", "twice howdah.a"),
        ("/*howdah.a='1',howdah.a='2'*/ select 1", "twice howdah.a"),
        ("select 1 /*howdah.tenant=''*/", "tenant="),
        // Prose, others' keys, and other places.
        ("/* of howdah. itself */ select 1", ""),
        ("/* see howdah.example.org, and don't */ select 1", ""),
        ("/* don't, x=y, howdah.a='1' */ select 1", "a=1"),
        ("/* a='x'y, howdah.a='1' */ select 1", "a=1"),
        ("/* a='x, howdah.a='1' */ select 1", "a=1"),
        ("select /*howdah.a='1'*/ 1", ""),
        ("select 1 /*howdah.a='1'*/ ; select 2", ""),
        ("; /*howdah.a='1'*/ select 2", "a=1"),
        ("select 1 /*howdah.a='1'*/ ; /*howdah.b='2'*/ ;", "a=1 b=2"),
        (" ; /*howdah.a='1'*/ ;", "a=1"),
        ("select 1 --/*howdah.a='1'*/", ""),
        ("-- /*howdah.a='1'*/\n select 1", ""),
        ("select 1 /* /*howdah.a='1'*/ */", ""),
        ("select 1 /* x /* y */ , howdah.a='1' */ /*howdah.b='2'*/", "b=2"),
        ("select '/*howdah.a=''1''*/'", ""),
        ("select $$ /*howdah.a='1'*/ $$", ""),
        ("select \"/*howdah.a='1'*/", ""),
        ("select 1 /*howdah.a='1'", ""),
        ("select 1 /*Howdah.a='1'*/", ""),
        ("select 1 /*howdah-a='1'*/", ""),
        ("select 1 /*xhowdah.a='1'*/", ""),
        ("select 1 /**/ /***//*howdah.a='1'*/", "a=1"),
        ("select 1 /*/ howdah.a='1' */ /*howdah.b='1' /*/ x", ""),
        // Marks that must not be without effect.
        ("select 1 /*howdah.a*/", "malformed howdah.a"),
        ("select 1 /*howdah.a=1*/", "malformed howdah.a"),
        ("select 1 /*howdah.a=\"1\"*/", "malformed howdah.a"),
        ("select 1 /*howdah.a:'1'*/", "malformed howdah.a:'1'"),
        ("select 1 /*howdah.a='1*/", "malformed howdah.a"),
        ("select 1 /*howdah.a='1' howdah.b='2'*/", "malformed howdah.a"),
        ("select 1 /*howdah.a='1\\'*/", "malformed howdah.a"),
        ("select 1 /*howdah.a='%zz'*/", "malformed howdah.a"),
        ("select 1 /*howdah.a='%4'*/", "malformed howdah.a"),
        ("select 1 /*howdah.a='%ff'*/", "malformed howdah.a"),
        ("select 1 /*howdah.a='%00'*/", "malformed howdah.a"),
        ("select 1 /*howdah.%zz='1'*/", "malformed howdah.%zz"),
        ("select 1 /*howdah.='1'*/", "malformed howdah."),
        ("select 1 /*x='1',howdah.a*/", "malformed howdah.a"),
    ] {
        assert_eq!(pairs(text), expected, "{text}");
    }
}

#[test]
fn limits_of_marks() {
    let of = |n: usize| format!("select 1 /*howdah.a='{}'*/", "x".repeat(n));
    assert_eq!(pairs(&of(1024)).len(), 1026);
    assert_eq!(pairs(&of(1025)), "long howdah.a");
    let many = |n: usize| (0..n).map(|i| format!("howdah.k{i}='1'")).collect::<Vec<_>>().join(",");
    assert_eq!(pairs(&format!("/*{}*/", many(32))).split(' ').count(), 32);
    assert_eq!(pairs(&format!("/*{}*/", many(33))), "many");
    let long = format!("/*howdah.{}*/", "k".repeat(1000));
    let Err(BadMark::Malformed(key)) = marks(long.as_bytes(), true) else { panic!("{long}") };
    assert_eq!(key.len(), 64);
    assert_eq!(marks(b"/*howdah.a='1'*/", true).unwrap().get("a"), Some("1"));
    assert_eq!(marks(b"/*howdah.a='1'*/", true).unwrap().get("b"), None);
}

#[test]
fn a_mark_in_a_string_that_is_not_standard_is_none() {
    let text = b"select '\\' /*howdah.a=' || '1'*/";
    assert_eq!(marks(text, false), Ok(Marks::default()));
    assert!(marks(b"select '\\\\' /*howdah.a='1'*/", false).unwrap().get("a").is_some());
}

fn own(text: &str) -> String {
    assert_eq!(own_command(text.as_bytes(), true).is_some(), single(text), "{text}");
    match own_command(text.as_bytes(), true) {
        None => String::new(),
        Some(OwnCommand::Set { key, value, local }) => {
            format!("{}{key}={value}", if local { "local " } else { "" })
        }
        Some(OwnCommand::Reset { key, local }) => format!("{}reset {key}", if local { "local " } else { "" }),
        Some(OwnCommand::Show { key }) => format!("show {key}"),
        Some(OwnCommand::Malformed(_)) => "malformed".into(),
    }
}

/// A text of one statement that mentions Howdah's settings is a command.
fn single(text: &str) -> bool {
    mentions_own(text.as_bytes(), true) && text.trim_end_matches([';', ' ']).matches(';').count() == 0
}

#[test]
fn commands_for_howdah() {
    for (text, expected) in [
        ("SET howdah.tenant = 'acme'", "tenant=acme"),
        ("set Howdah.Tenant to 'acme';", "tenant=acme"),
        ("set/**/session howdah . tenant=acme ; ;", "tenant=acme"),
        ("set local howdah.tenant = 'it''s'", "local tenant=it's"),
        ("set howdah.tenant = E'it\\'s'", "tenant=it's"),
        ("set howdah.tenant = U&'!0061' uescape '!'", "tenant=a"),
        ("set howdah.tenant = $$a$$", "tenant=a"),
        ("set howdah.tenant = Acme", "tenant=acme"),
        ("set howdah.tenant = \"Acme\"", "tenant=Acme"),
        ("set howdah.tenant = 42", "tenant=42"),
        ("set howdah.tenant = -4.5e1", "tenant=-4.5e1"),
        ("set howdah.tenant = +4", "tenant=4"),
        ("set howdah.tenant = ''", "tenant="),
        ("set \"howdah\".\"Tenant\" = 'a'", "Tenant=a"),
        ("set \"howdah.tenant\" = 'a'", "tenant=a"),
        ("set \"HOWDAH\".tenant = 'a'", "tenant=a"),
        ("set U&\"\\0068owdah\".tenant = 'a'", "tenant=a"),
        ("set howdah.tenant = default", "reset tenant"),
        ("set local howdah.tenant to DEFAULT", "local reset tenant"),
        ("reset howdah.tenant", "reset tenant"),
        ("RESET HOWDAH.USER_ID;", "reset user_id"),
        ("show howdah.tenant", "show tenant"),
        ("/* x */ show -- y\n howdah.tenant -- z", "show tenant"),
        ("set howdah.tenant", "malformed"),
        ("set howdah.tenant 'a'", "malformed"),
        ("set howdah.tenant =", "malformed"),
        ("set howdah.tenant = 'a', 'b'", "malformed"),
        ("set howdah.tenant = 'a' 'b'", "malformed"),
        ("set howdah.tenant = 'a'\n'b'", "malformed"),
        ("set howdah.tenant = a b", "malformed"),
        ("set howdah.tenant = $1", "malformed"),
        ("set howdah.tenant = - a", "malformed"),
        ("set howdah.tenant = (1)", "malformed"),
        ("set howdah.tenant = E'\\xff'", "malformed"),
        ("set howdah.tenant from current", "malformed"),
        ("set howdah.a.b = 1", "malformed"),
        ("set \"howdah.\" = 1", "malformed"),
        ("reset howdah.tenant x", "malformed"),
        ("show howdah.tenant, howdah.user_id", "malformed"),
        ("select 1", ""),
        ("select howdah.tenant()", ""),
        ("set howdah = 1", ""),
        ("set howdahs.tenant = 1", ""),
        ("set x.howdah.tenant = 1", ""),
        ("set x = 'howdah.tenant'", ""),
        ("show pools", ""),
        ("set", ""),
        ("reset", ""),
        ("", ""),
        ("select 'set howdah.tenant = 1'", ""),
    ] {
        assert_eq!(own(text), expected, "{text}");
    }
    let long = format!("set howdah.tenant = '{}'", "x".repeat(1025));
    assert_eq!(own(&long), "malformed");
}

#[test]
fn commands_among_other_statements_are_only_mentioned() {
    for text in [
        "set howdah.tenant = 'a'; select 1",
        "select 1; set howdah.tenant = 'a'",
        "begin;; SHOW HowDah.tenant;",
        "select '\n;'; reset U&\"\\0068owdah\".tenant",
        "set howdah.tenant = 'a'; set howdah.tenant = 'b'",
    ] {
        assert_eq!(own_command(text.as_bytes(), true), None, "{text}");
        assert!(mentions_own(text.as_bytes(), true), "{text}");
    }
    for text in
        ["select 1; select howdah.tenant_id()", "select ';set howdah.tenant = 1'", "select h, howdah", "h"]
    {
        assert!(!mentions_own(text.as_bytes(), true), "{text}");
    }
}

fn encode(value: &str) -> String {
    value
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

proptest! {
    #[test]
    fn any_bytes_end(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        standard in any::<bool>(),
        first in "(/\\*|select 1 /\\*|set |show |)(howdah\\.|)",
    ) {
        let text = [first.as_bytes(), &bytes, b" howdah.x='y'*/"].concat();
        let _ = marks(&text, standard);
        let command = own_command(&text, standard);
        prop_assert!(command.is_none() || mentions_own(&text, standard));
    }

    #[test]
    fn what_is_encoded_is_read(value in "[^\0]{0,60}", other in "[^\0]{0,20}", before in any::<bool>()) {
        let mark = format!("/*a='{}',howdah.tenant='{}'*/", encode(&other), encode(&value));
        let text = if before { format!("{mark} select 1") } else { format!("select 1 {mark}") };
        let found = marks(text.as_bytes(), true).unwrap();
        prop_assert_eq!(found.get("tenant"), Some(value.as_str()));
        prop_assert_eq!(found.pairs.len(), 1);
    }

    #[test]
    fn data_forges_no_mark(data in "([a-z' ;=\\\\]|howdah\\.|/\\*|\\*/|--|\n){0,12}") {
        let text = format!("select '{}'", data.replace('\'', "''"));
        prop_assert_eq!(marks(text.as_bytes(), true), Ok(Marks::default()));
        let text = format!("set howdah.tenant = '{}'", data.replace('\'', "''"));
        let expected = OwnCommand::Set { key: "tenant".into(), value: data.into(), local: false };
        prop_assert_eq!(own_command(text.as_bytes(), true), Some(expected));
    }
}
