use proptest::prelude::*;

use super::super::*;

/// What is written, in short: tables with commas between, `!` for catalog, `?` for unknown.
fn short(found: Option<Writes>) -> String {
    let Some(found) = found else { return String::new() };
    let table = |(schema, name): &(Option<Box<str>>, Box<str>)| match schema {
        Some(schema) => format!("{schema}.{name}"),
        None => name.to_string(),
    };
    let mut words: Vec<String> = found.tables.iter().map(table).collect();
    words.extend(found.catalog.then(|| "!".into()));
    words.extend(found.unknown.then(|| "?".into()));
    if words.is_empty() { "empty".into() } else { words.join(",") }
}

fn of(text: &str) -> String {
    short(writes(text.as_bytes(), true).map(|w| *w))
}

#[test]
fn what_only_reads() {
    for text in [
        "",
        ";",
        "/* only a comment */",
        "select 1",
        "SELECT * FROM t WHERE a = 'insert into x'; ",
        "select 1; select 2",
        "select * from t for update",
        "select * from t for no key update of t",
        "select 1; select * from t for update skip locked",
        "(select 1) union (select 2)",
        "with x as (select 1) select * from x",
        "with x as (select * from t for update) select * from x",
        "values (1)",
        "table t",
        "begin",
        "set x = 'insert into t'",
        "commit",
        "commit and chain",
        "rollback to a",
        "rollback prepared 'x'",
        "prepare transaction 'x'",
        "explain select 1",
        "explain (analyze) select 1",
        "copy t to stdout",
        "copy t (a, b) to stdout",
        "copy (select 1) to stdout",
        "declare c cursor for select 1",
        "create temp table t (a int)",
        "create local temporary table t as select 1",
        "create or replace temp view v as select 1",
        "create index on t (a)",
        "create unique index concurrently i on t (a)",
        "comment on table t is 'create table x'",
        "vacuum t",
        "analyze",
        "reindex table t",
        "cluster t",
        "lock table t",
        "select 'pinto' as into_the_blue",
        "notify x, 'insert into y'",
        "select \"insert\" from \"into\"",
        "select $$insert into t$$, $1",
        "checkpoint",
        "fetch all from c",
    ] {
        assert_eq!(of(text), "", "{text}");
    }
}

#[test]
fn tables_that_are_written() {
    for (text, expected) in [
        ("insert into t values (1)", "t"),
        ("INSERT INTO Public.Orders (a) SELECT * FROM u", "public.orders"),
        ("insert into \"Or\"\"ders\" values (1)", "Or\"ders"),
        ("insert into U&\"d\\0061t\" values (1)", "dat"),
        ("insert into U&\"d!0061t\" uescape '!' values (1)", "dat"),
        ("insert into db.s.t values (1)", "s.t"),
        ("insert /* x */ into -- y\n s . t values (1)", "s.t"),
        ("insert into t values (1) on conflict do update set a = 1", "t"),
        ("update t set a = 1", "t"),
        ("update only t set a = 1", "t"),
        ("update only (s.t) as x set a = 1", "s.t"),
        ("update t * set a = 1", "t"),
        ("delete from t", "t"),
        ("delete from only t using u where true", "t"),
        (
            "merge into t using s on a = b when matched then update set c = 1 when not matched then insert values (1)",
            "t",
        ),
        ("merge into t using s on a = b when matched then delete", "t"),
        ("truncate t", "t"),
        ("truncate table only a, b *, c.d restart identity", "a,b,c.d"),
        ("truncate only (a), b", "a,b"),
        ("copy t from stdin", "t"),
        ("copy s.t (a, b) from stdin with (format binary)", "s.t"),
        ("refresh materialized view m", "m"),
        ("refresh materialized view concurrently s.m with data", "s.m"),
        ("with x as (insert into t values (1) returning *) select * from x", "t"),
        (
            "with x as (delete from a returning *), y as (update b set c = 1 returning *) insert into d select 1",
            "a,b,d",
        ),
        ("explain analyze update t set a = 1", "t"),
        ("explain (analyze, buffers) with x as (delete from t returning 1) select 1", "t"),
        ("prepare p as insert into t values ($1)", "t"),
        ("prepare p (int) as update t set a = $1", "t"),
        ("select 1; insert into t values (1)", "t"),
        ("begin; insert into a values (1); delete from b; commit", "a,b"),
        ("insert into a values (1); insert into a values (2)", "a"),
        ("select * from t for update; update u set a = 1", "u"),
        ("set x = 1; update t set a = 'it''s; delete from u'", "t"),
        ("insert into größe values (1)", "größe"),
        ("update t set a = (select 1)", "t"),
    ] {
        assert_eq!(of(text), expected, "{text}");
    }
    let long = format!("insert into {} values (1)", "a".repeat(80));
    assert_eq!(of(&long), "a".repeat(63));
}

#[test]
fn what_changes_the_catalog_or_cannot_be_known() {
    for (text, expected) in [
        ("create table t (a int)", "!"),
        ("create or replace view v as select 1", "!"),
        ("create unlogged table t (a int)", "!"),
        ("select * into t from u", "!"),
        ("SELECT 1 Into t", "!"),
        ("with x as (select 1) select * into t from x", "!"),
        ("explain analyze select * into t from u", "!"),
        ("explain analyze create table t as select 1", "!"),
        ("alter table t add b int", "!"),
        ("alter role r set x = 1", "!"),
        ("drop table t", "!"),
        ("drop view if exists v cascade", "!"),
        ("grant select on t to r", "!"),
        ("revoke r from s", "!"),
        ("security label on table t is 'x'", "!"),
        ("reassign owned by a to b", "!"),
        ("import foreign schema s from server x into y", "!"),
        ("create policy p on t using (a = 1)", "!"),
        ("commit prepared 'x'", "!"),
        ("begin; create table t (a int); commit", "!"),
        ("select 1; drop table t", "!"),
        ("call p()", "?"),
        ("truncate table a, b cascade", "a,b,?"),
        ("truncate a; select 1 as cascade", "a"),
        ("execute p (1)", "?"),
        ("explain analyze execute p (1)", "?"),
        ("do $$ begin end $$", "?"),
        ("do $$ begin insert into t values (1); update u set a = 1; end $$", "t,u,?"),
        (
            "do language plpgsql $$ begin if x then delete from t; else update u set a = 1; end if; end $$",
            "t,u,?",
        ),
        ("do 'begin execute ''insert into t values (1)''; end'", "t,?"),
        ("do $$ begin create table t (a int); end $$", "!,?"),
        ("do $$ begin create temp table t (a int); insert into s.u select 1; end $$", "s.u,?"),
        ("do $$ begin execute format('update %I set a = 1', x); end $$", "?"),
        ("insert into U&\"d\\00\" values (1)", "?"),
        ("insert into", "?"),
        ("create function f() returns int language sql as 'insert into t values (1) returning 1'", "!"),
    ] {
        let found = of(text);
        if text.starts_with("create function")
            || text.starts_with("create policy")
            || text.starts_with("import")
        {
            assert!(found.contains('!'), "{text}: {found}"); // may say more
        } else {
            assert_eq!(found, expected, "{text}");
        }
    }
    let invalid = writes(b"insert into \xff values (1)", true).unwrap();
    assert!(invalid.unknown);
}

#[test]
fn strings_that_are_not_standard() {
    let text = b"select 'a\\'; insert into t values (1) --'";
    assert_eq!(short(writes(text, true).map(|w| *w)), "t");
    assert_eq!(short(writes(text, false).map(|w| *w)), "");
}

#[test]
fn bodies_of_functions() {
    for (body, expected) in [
        ("select 1", "empty"),
        ("select a into b from t", "empty"),
        ("begin insert into log values (new.id); return new; end", "log"),
        ("begin if tg_op = 'DELETE' then delete from s.a where id = old.id; return old; end if; end", "s.a"),
        ("begin perform 1 from t for update; update u set a = 1; end", "u"),
        ("begin execute 'insert into ' || quote_ident(x) || ' values (1)'; end", "?"),
        ("begin call p(); end", "empty"),
        ("begin truncate table a, b; copy c from '/tmp/x'; end", "a,b,c"),
        ("begin atomic insert into t values (1); delete from u; end", "t,u"),
        ("begin alter table t disable trigger x; end", "!"),
    ] {
        assert_eq!(short(Some(writes_of_body(body.as_bytes()))), expected, "{body}");
    }
}

#[test]
fn the_core_of_a_text() {
    for (text, expected) in [
        ("select 1", "select 1"),
        ("  select 1 ; ;\n", "select 1"),
        ("/*howdah.cache='30s'*/ select 1", "select 1"),
        ("select 1 /*howdah.cache='30s'*/;", "select 1"),
        ("select 1; /* a /* b */ */ -- c", "select 1"),
        ("-- c\nselect /* inner */ 1 -- d\n;", "select /* inner */ 1"),
        ("select '/* no */' ;", "select '/* no */'"),
        ("select '-- ' ; select 2", "select '-- ' ; select 2"),
        ("/* only */", ""),
        (" ; ", ""),
        ("", ""),
        ("select 'a;'", "select 'a;'"),
    ] {
        let core = core(text.as_bytes(), true);
        assert_eq!(std::str::from_utf8(core).unwrap(), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = writes(&text, true);
        let _ = writes(&text, false);
        let _ = writes_of_body(&text);
        let inside = core(&text, true);
        prop_assert!(inside.len() <= text.len());
        prop_assert_eq!(core(inside, true), inside);
    }

    #[test]
    fn a_write_is_found_wherever_it_stands(
        before in prop::collection::vec(prop::sample::select(vec!["select 1;", "begin;", "/* x */", "set a = 'b';", "-- c\n", "select $$;$$;"]), 0..5),
        after in prop::collection::vec(prop::sample::select(vec!["; select 1", "; commit", " /* x */", "; drop table x"]), 0..5),
    ) {
        let text = format!("{}update s.t set a = 1{}", before.concat(), after.concat());
        let found = writes(text.as_bytes(), true).unwrap();
        prop_assert_eq!(&found.tables, &vec![(Some("s".into()), "t".into())]);
        prop_assert_eq!(found.catalog, text.contains("drop"));
    }
}
