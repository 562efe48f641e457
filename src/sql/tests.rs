#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

mod listen;
mod marks;
mod normal;
mod reads;
mod touched;
mod writes;

fn words(text: &str) -> Vec<String> {
    Lexer::new(text.as_bytes(), true)
        .map(|t| match t {
            Token::Word(w) => String::from_utf8_lossy(w).into_owned(),
            Token::Quoted(w) => format!("\"{}\"", String::from_utf8_lossy(w)),
            Token::UnicodeQuoted(w) => format!("U&\"{}\"", String::from_utf8_lossy(w)),
            Token::Text { .. } => "''".into(),
            Token::Number(_) => "0".into(),
            Token::Parameter => "$".into(),
            Token::Symbol(b) => char::from(b).to_string(),
        })
        .collect()
}

#[test]
fn tokens() {
    for (text, expected) in [
        ("select 1", "select 0"),
        ("a /* x /* y */ ; */ b", "a b"),
        ("a -- ; \n b", "a b"),
        ("'it''s;' x", "'' x"),
        ("'a\\' x", "'' x"),
        ("E'a\\';' x", "'' x"),
        ("e'a''' x", "'' x"),
        ("U&'\\' x U&\"d!\" y", "'' x U&\"d!\" y"),
        ("$$;$$ $a$ $$ ; $a$ $1 $ x$y", "'' '' $ $ x$y"),
        ("\"a\"\"b\" c", "\"a\"\"b\" c"),
        ("1.5e10 0x1F 1_000 1e-5 1. .5", "0 0 0 0 0 . 0"),
        ("1..set_config 1=1then 1else", "0 . . set_config 0 = 0 then 0 else"),
        ("E'a'\n 'b\\'' , x --'", "'' , x"),
        ("'a' -- c\n\t'b''' x", "'' x"),
        ("'a' 'b' x", "'' '' x"),
        ("'a' /*\n*/ 'b'", "'' ''"),
        ("\"a\"\"", "\"a\"\"\""),
        ("E'a\\", "''"),
        ("'open", "''"),
        ("/* open", ""),
        ("\"open", "\"open\""),
        ("\"", "\"\""),
        ("$a$ open", "''"),
        ("größe;", "größe ;"),
    ] {
        assert_eq!(words(text).join(" "), expected, "{text}");
    }
}

#[test]
fn backslashes_escape_when_strings_are_not_standard() {
    let tokens: Vec<_> = Lexer::new(b"'a\\'; set x' y", false).collect();
    assert_eq!(tokens, [Token::Text { raw: b"a\\'; set x", form: Form::Escape }, Token::Word(b"y")]);
    let tokens: Vec<_> = Lexer::new(b"b'\\' y", false).collect();
    assert_eq!(tokens, [Token::Text { raw: b"\\", form: Form::Bits }, Token::Word(b"y")]);
}

#[test]
fn what_changes_the_session() {
    for text in [
        "SET x = 1",
        "select 1; set x = 1",
        "/* c */ set session characteristics as transaction read only",
        "set time zone 'UTC'",
        "reset all",
        "prepare p as select 1",
        "load 'x'",
        "do $$ begin end $$",
        "call p()",
        "create temp table t (a int)",
        "create local temporary view v as select 1",
        "create or replace temp view v as select 1",
        "select 1 into temp t",
        "select * into local temporary t from u",
        "declare c cursor with hold for select 1",
        "select set_config('a', 'b', false)",
        "select set_config('a', 'b', $1)",
        "select pg_catalog.\"set_config\"('a', 'b', false)",
        "select pg_advisory_lock(1)",
        "select pg_try_advisory_lock_shared(1)",
        "create table pg_temp.t (a int)",
        "create table U&\"pg!005ftemp\" uescape '!'.t (a int)",
        "select E'a'\n'\\'', set_config('a', 'b', false) --'",
        "with x as (select set_config('a', 'b', f(true))) select 1",
    ] {
        assert!(traits(text.as_bytes(), true).leaves.any(), "{text}");
    }
    for text in [
        "",
        ";;",
        "select 1",
        "set local x = 1",
        "set transaction read only",
        "set constraints all deferred",
        "prepare transaction 'x'",
        "select 'set x = 1; set y = 2'",
        "select 1 -- ; set x = 1",
        "update t set a = 1",
        "insert into temp_t values (1)",
        "select set_config('a', 'b', true)",
        "select set_config('a', f('b'), true), 1",
        "select pg_advisory_xact_lock(1)",
        "declare c cursor for select 1",
        "create table t (a int)",
        "select $$ set x = 1; listen a $$",
        "LISTEN c",
    ] {
        assert!(!traits(text.as_bytes(), true).leaves.any(), "{text}");
    }
}

#[test]
fn what_a_pooler_answers_for() {
    let all = |text: &'static str| traits(text.as_bytes(), true);
    assert!(all("discard all").discard_all);
    assert!(all(" DISCARD ALL ; ").discard_all);
    assert!(!all("discard all; select 1").discard_all);
    assert!(!all("discard plans").discard_all);
    assert_eq!(all("deallocate all").deallocate, Some(Deallocate::All));
    assert_eq!(all("DEALLOCATE PREPARE Foo;").deallocate.unwrap().name(), b"foo");
    assert_eq!(all("deallocate \"F\"\"oo\"").deallocate.unwrap().name(), b"F\"oo");
    assert_eq!(all("deallocate u&\"F\\006f\"").deallocate.unwrap().name(), b"Fo");
    assert_eq!(all("deallocate U&\"F!006f\" UESCAPE '!'").deallocate.unwrap().name(), b"Fo");
    assert_eq!(all("deallocate U&\"F\" UESCAPE 7").deallocate, None);
    assert_eq!(all("deallocate a; deallocate b").deallocate, None);
    assert_eq!(all("select 1; deallocate b").deallocate, None);
    assert_eq!(all("deallocate").deallocate, None);
    assert_eq!(all("deallocate;").statements, 1);
    assert!(all("commit").ends_transaction && all("ROLLBACK to a").ends_transaction);
    assert!(!all("begin").ends_transaction);
    assert_eq!(all("a;;b; ;c").statements, 3);
}

proptest! {
    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..400), standard in any::<bool>()) {
        let _ = traits(&bytes, standard);
        prop_assert!(Lexer::new(&bytes, standard).count() <= bytes.len());
    }

    #[test]
    fn sql_like_text_ends(text in r#"([a-z$;'"/*\-(), ]|set|temp|into|\$\$|E'|U&"){0,60}"#) {
        let _ = traits(text.as_bytes(), true);
        prop_assert!(Lexer::new(text.as_bytes(), true).count() <= text.len());
    }

    #[test]
    fn a_set_behind_any_string_is_seen(s in "[^'\0]{0,40}") {
        let text = format!("select '{s}'; set x = 1");
        prop_assert!(traits(text.as_bytes(), true).leaves.any());
    }
}

fn classes(text: &str) -> Vec<Class> {
    parts(text.as_bytes(), true).map(|p| p.class).collect()
}

#[test]
fn what_statements_are_to_their_transaction() {
    for (texts, class) in [
        (
            &[
                "select 1",
                "(select 1)",
                "with x as (select 1) select 2",
                "table t",
                "values (1)",
                "merge into t",
                "declare c cursor with hold for select 1",
            ][..],
            Class::Query,
        ),
        (
            &[
                "create table t ()",
                "create unique index i on t (a)",
                "drop index i",
                "explain select 1",
                "copy t from stdin",
                "analyze",
                "truncate t",
                "prepare p as select 1",
                "execute p",
                "fetch c",
                "show x",
                "refresh materialized view concurrently v",
                "alter table t add a int",
                "grant select on t to u",
                "nonsense",
            ],
            Class::Plain,
        ),
        (&["begin", "BEGIN isolation level serializable", "start transaction read only"], Class::Begin),
        (
            &[
                "commit",
                "end",
                "abort work",
                "rollback",
                "commit transaction and no chain",
                "prepare transaction 'x'",
            ],
            Class::End,
        ),
        (
            &["commit and chain", "rollback work and chain", "end transaction and chain", "abort and chain"],
            Class::Chain,
        ),
        (&["rollback to a", "rollback work to savepoint a", "ROLLBACK TRANSACTION TO a"], Class::RollbackTo),
        (&["reset all", "RESET /* */ ALL"], Class::ResetAll),
        (
            &["lock table t", "declare c cursor for select 1", "declare c cursor without hold for select 1"],
            Class::InBlock,
        ),
        (
            &[
                "set x = 1",
                "set local x = 1",
                "set transaction read only",
                "set constraints all deferred",
                "reset x",
                "savepoint a",
                "release a",
                "listen a",
                "unlisten *",
                "notify a",
                "deallocate all",
                "discard all",
                "commit prepared 'x'",
                "rollback prepared 'x'",
            ],
            Class::Bare,
        ),
        (
            &[
                "do $$ begin end $$",
                "call p()",
                "vacuum",
                "vacuum full t",
                "cluster",
                "reindex table t",
                "create database d",
                "drop database d",
                "create tablespace t location 'x'",
                "alter system set a = 1",
                "create index concurrently on t (a)",
                "create unique index concurrently i on t (a)",
                "drop index concurrently i",
                "alter table t detach partition p concurrently",
            ],
            Class::Alone,
        ),
    ] {
        for text in texts {
            assert_eq!(classes(text), [class], "{text}");
            assert_eq!(traits(text.as_bytes(), true).class, class, "{text}");
        }
    }
}

#[test]
fn statements_of_a_text() {
    assert_eq!(classes(" ; -- x\n;"), []);
    assert_eq!(classes("begin; select 1;; commit"), [Class::Begin, Class::Query, Class::End]);
    let atomic = "create function f() returns int begin atomic select case when true then 1 end; select 2; end; commit";
    assert_eq!(classes(atomic), [Class::Plain, Class::End]);
    let rule = "create rule r as on insert to t do also (insert into a values (1); select 2); commit";
    assert_eq!(classes(rule), [Class::Plain, Class::End]);
    assert_eq!(classes("(select 1); commit; (values (1))"), [Class::Query, Class::End, Class::Query]);
    let starts: Vec<usize> =
        parts(b" /* ; */ select 1 ; 'x;' ;\n(values (1))", true).map(|p| p.start).collect();
    assert_eq!(starts, [9, 20, 27]);
}

#[test]
fn a_tag_has_a_name() {
    let mut found = Vec::new();
    tags(b"SELECT 1 /*:x,='y',a='1', : z,b:2*/", |key, value| found.push(format!("{key}={value}")));
    assert_eq!(found, ["a=1", "b=2"]);
}
