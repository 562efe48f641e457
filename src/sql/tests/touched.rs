use proptest::prelude::*;

use crate::sql::{Touched, hides_ascii, touched};

/// `app.tenant_id role ?` and `dynamic`, `reset all`, `default authorization` in that order.
fn told(text: &str) -> String {
    let Some(found) = touched(text.as_bytes(), true) else { return String::new() };
    let mut told: Vec<&str> = found.names.iter().map(|n| &**n).collect();
    told.extend(found.unknown.then_some("?"));
    told.extend(found.dynamic.then_some("dynamic"));
    told.extend(found.reset_all.then_some("all"));
    told.extend(found.default_authorization.then_some("authorization"));
    assert!(!told.is_empty(), "nothing found is None: {text}");
    told.join(" ")
}

fn table(rows: &[(&str, &str)]) {
    for (text, expected) in rows {
        assert_eq!(told(text), *expected, "{text}");
    }
}

#[test]
fn nothing_is_touched() {
    for text in [
        "",
        ";;",
        "select 1",
        "select abalance from pgbench_accounts where aid = $1",
        "update users set role = 'x' where id = 1",
        "insert into t values (1) on conflict (id) do update set role = excluded.role",
        "select 'SET role = x; reset all'",
        "select $$; set role = 'x'; $$, E'\\'; set role x'",
        "select 1 -- ; set role x\n",
        "select /* ; set role x; */ 1",
        "select \"set\" from t; select \"reset\"",
        "set transaction isolation level serializable",
        "set local transaction read only",
        "set session transaction read only",
        "set constraints all deferred",
        "set",
        "set;",
        "set local",
        "set x",
        "reset",
        "set \"open",
        "set = 1",
        "select set_config from t",
        "select set_config",
        "select * from pg_settings",
        "select set_configs('a', 'b', true)",
        "alter table t alter column a set default 'x', set (fillfactor = 10)",
        "alter table t set schema role",
        "alter function f() set schema s",
        "alter database d set tablespace t",
        "alter user mapping for u server s options (set user 'x')",
        "alter role r login",
        "create table t (role text)",
        "create trigger t before update on u for each row execute function f()",
        "create or replace view v as select 1",
        "call p('set role x')",
        "execute p('set role x')",
        "listen set",
        "begin; select 1; commit",
        "discard all",
        "deallocate all",
        "explain update t set role = 1",
        "copy t (a) from stdin",
        "show role",
        "select dblin('x')",
        "select * from dblink_like",
        "notify c, 'set role x'",
    ] {
        assert_eq!(told(text), "", "{text}");
        assert_eq!(touched(text.as_bytes(), true), None);
    }
}

#[test]
fn set_and_reset() {
    table(&[
        ("SET app.tenant_id = 'a'", "app.tenant_id"),
        ("set app.tenant_id to 'a'", "app.tenant_id"),
        ("set LOCAL App.Tenant_ID = default", "app.tenant_id"),
        ("set session app.tenant_id = 'a'", "app.tenant_id"),
        ("set/**/app/* */./* */tenant_id=1", "app.tenant_id"),
        ("set -- x\n app -- y\n . tenant_id = 1", "app.tenant_id"),
        ("set \"app\".\"tenant_id\" = 'a'", "app.tenant_id"),
        ("set \"app.tenant_id\" = 'a'", "app.tenant_id"),
        ("set \"APP\".Tenant_ID = 'a'", "app.tenant_id"),
        ("set U&\"app\\002etenant_id\" = 'a'", "app.tenant_id"),
        ("set u&\"\\0061pp\".u&\"t\\+000065nant_id\" = 'a'", "app.tenant_id"),
        ("set U&\"!0061pp\" uescape '!' . tenant_id = 'a'", "app.tenant_id"),
        ("set U&\"!0061pp\" /* */ UESCAPE E'\\x21' . tenant_id = 'a'", "app.tenant_id"),
        ("set U&\"!0061pp\" uescape 'xy' . tenant_id = 'a'", "?"),
        ("set U&\"\\zzzz\" = 'a'", "?"),
        ("set U&\"\\d83d\\de00\" = 'a'", "?"),
        ("set app.tenant_id from current", "app.tenant_id"),
        ("set a.b.c.d = 1", "a.b.c.d"),
        ("set a.b.c.d.e.f.g.h.i = 1", "?"),
        ("set app. = 1", "?"),
        ("set app.tenant_\u{130}d = 1", "?"),
        ("set local.x = 1; set session.y to 2; set local to = 1", "local.x session.y local"),
        ("set local local.x = 1", "local.x"),
        ("select 1; ; set role x", "role"),
        (";set role x; select 2", "role"),
        ("set role x", "role"),
        ("set role = 'x'", "role"),
        ("set local role none", "role"),
        ("set session role 'x'", "role"),
        ("set \"role\" = 'x'", "role"),
        ("set \"ROLE\" to x", "role"),
        ("reset role", "role"),
        ("reset App.\"tenant_id\"", "app.tenant_id"),
        ("reset U&\"\\0072ole\"", "role"),
        ("reset all", "all"),
        ("RESET/**/ALL;", "all"),
        ("reset \"all\"", "all"),
        ("set session authorization x", "session_authorization"),
        ("set session authorization 'default'", "session_authorization"),
        ("set session session authorization \"x\"", "session_authorization"),
        ("set local session authorization x", "session_authorization"),
        ("set session authorization default", "authorization"),
        ("set local session /**/ authorization DEFAULT", "authorization"),
        ("reset session authorization", "authorization"),
        ("set session_authorization to x", "session_authorization"),
        ("set time zone 'UTC'", "timezone"),
        ("set local time zone interval '1' hour", "timezone"),
        ("reset time zone", "timezone"),
        ("set TimeZone = 'UTC'", "timezone"),
        ("set time = 1", "time"),
        ("set names 'utf8'", "client_encoding"),
        ("set names", "client_encoding"),
        ("set schema 'x'", "search_path"),
        ("set search_path = a, b", "search_path"),
        ("set xml option document", "xmloption"),
        ("reset transaction isolation level", "transaction_isolation"),
        ("set transaction.x = 1", "transaction.x"),
        ("set sort_mem = 1", "work_mem"),
        (
            "set session characteristics as transaction read only",
            "default_transaction_isolation default_transaction_read_only default_transaction_deferrable",
        ),
        ("reset all; set session authorization default; set x = 1", "x all authorization"),
    ]);
    // A quoted "all" is a name, and no setting has it.
    assert!(!touched(b"reset \"all\"", true).unwrap().reset_all);
}

#[test]
fn set_config_in_every_spelling() {
    table(&[
        ("select set_config('app.tenant_id', 'b', true)", "app.tenant_id"),
        ("select SET_Config ( 'APP.Tenant_id' , 'b', true)", "app.tenant_id"),
        ("select pg_catalog.set_config('app.tenant_id', 'b', true)", "app.tenant_id"),
        ("select \"pg_catalog\" . \"set_config\"('app.tenant_id', $1, true)", "app.tenant_id"),
        ("select set_config/* ( */(/*'x'*/'app.tenant_id', 'b', true)", "app.tenant_id"),
        ("select set_config -- (\n (--\n'app.tenant_id', 'b', true)", "app.tenant_id"),
        ("select U&\"set\\005fconfig\"('app.tenant_id', 'b', true)", "app.tenant_id"),
        ("select U&\"set!005fconfig\" uescape '!' ('app.tenant_id', 'b', true)", "app.tenant_id"),
        ("select u&\"\\+000073et_config\"('app.tenant_id', 'b', true)", "app.tenant_id"),
        ("select U&\"set\\005\"('app.tenant_id', 'b', true)", "?"),
        ("select set_conf\u{130}g('app.tenant_id', 'b', true)", "app.tenant_id"),
        ("select set_config(E'app\\x2etenant_id', 'b', true)", "app.tenant_id"),
        ("select set_config(e'\\141pp.\\u0074enant\\U0000005fid', 'b', true)", "app.tenant_id"),
        ("select set_config(E'app\\x2etenant\\ud83d', 'b', true)", "?"),
        ("select set_config(U&'app\\002etenant_id', 'b', true)", "app.tenant_id"),
        ("select set_config(U&'app!002etenant_id' uescape '!', 'b', true)", "app.tenant_id"),
        ("select set_config(N'app.tenant_id', 'b', true)", "app.tenant_id"),
        ("select set_config($$app.tenant_id$$, 'b', true)", "app.tenant_id"),
        ("select set_config($a$app.tenant_id$a$, 'b', true)", "app.tenant_id"),
        ("select set_config('app.'\n'tenant_id', 'b', true)", "?"),
        ("select set_config('app.' -- x\n 'tenant_id', 'b', true)", "?"),
        ("select set_config('app.' || 'tenant_id', 'b', true)", "?"),
        ("select set_config('app.tenant_id'::text, 'b', true)", "app.tenant_id"),
        ("select set_config('app.tenant_id'::varchar(3), 'b', true)", "?"),
        ("select set_config('app.tenant_id'::name, 'b', true)", "?"),
        ("select set_config(('app.tenant_id'), 'b', true)", "?"),
        ("select set_config(cast('app.tenant_id' as text), 'b', true)", "?"),
        ("select set_config($1, $2, true)", "?"),
        ("select set_config(setting_name => 'app.tenant_id', new_value => 'b', is_local => true)", "?"),
        ("select set_config(n, 'b', true) from (values ('app.tenant_id')) v (n)", "?"),
        ("select set_config(", "?"),
        ("select set_config('app", "?"),
        ("select set_config('app.gr\u{f6}\u{df}e', 'b', true)", "?"),
        ("with x as (select set_config('app.tenant_id', 'b', true)) select 1", "app.tenant_id"),
        ("select * from set_config('app.tenant_id', 'b', true)", "app.tenant_id"),
        ("prepare p as select set_config('app.tenant_id', $1, true)", "app.tenant_id"),
        ("explain analyze select set_config('app.tenant_id', 'b', true)", "app.tenant_id"),
        ("copy (select set_config('app.tenant_id', 'b', true)) to stdout", "app.tenant_id"),
        ("declare c cursor for select set_config('app.tenant_id', 'b', true)", "app.tenant_id"),
        ("create table t (a text default set_config('app.tenant_id', 'b', true))", "app.tenant_id"),
        ("create view v as select set_config('app.tenant_id', 'b', true)", "app.tenant_id"),
        ("create aggregate a (text, bool) (sfunc = set_config, stype = text, initcond = 'x')", "?"),
        ("select set_config('a.b', set_config('c.d', 'x', true), true)", "a.b c.d"),
        ("select E'\n'\n'\\'', set_config('app.tenant_id', 'b', true) --'", "app.tenant_id"),
        ("select 1..set_config('app.tenant_id', 'b', true)", "app.tenant_id"),
    ]);
}

#[test]
fn strings_that_are_not_standard() {
    let text = b"select '\\', set_config('a.b', 'c', true) --'";
    assert_eq!(touched(text, true).map(|t| t.names.len()), Some(1));
    assert_eq!(touched(text, false), None);
    let text = b"select '\\'', set_config('a.b', 'c', true) --'";
    assert_eq!(touched(text, false).map(|t| t.names.len()), Some(1));
    let text = b"select b'\\', set_config('a.b', 'c', true) --'";
    assert_eq!(touched(text, false).map(|t| t.names.len()), Some(1));
    assert_eq!(&*touched(b"select set_config('a\\x2eb', '', true)", false).unwrap().names[0], "a.b");
}

#[test]
fn the_catalogue() {
    table(&[
        ("update pg_settings set setting = 'b' where name = 'app.tenant_id'", "?"),
        ("UPDATE pg_catalog.\"pg_settings\" set setting = 'b'", "?"),
        ("update only U&\"pg\\005fsettings\" set setting = 'b'", "?"),
        ("with x as (update pg_settings set setting = 'b' returning 1) select 1", "?"),
        ("with s as (select * from pg_settings) update t set a = 1", "?"),
        ("create temp view v as select * from pg_settings", "?"),
        ("alter role r set role = 'x'", "role"),
        ("alter role r in database d set app.tenant_id to 'x'", "app.tenant_id"),
        ("ALTER USER r RESET app.tenant_id", "app.tenant_id"),
        ("alter role set set set.x = 1", "set.x"),
        ("alter role all reset all", "?"),
        ("alter database d set search_path from current", "search_path"),
        ("alter system set work_mem = 1", "work_mem"),
        ("alter system reset all", "?"),
        ("alter function f(int) set app.tenant_id = 'x'", "app.tenant_id"),
        ("alter procedure p() cost 1 set role = x", "role"),
        ("alter routine p() set schema 'x'", "search_path"),
        ("alter role r set time zone 'UTC'", "timezone"),
    ]);
}

#[test]
fn text_that_is_run() {
    table(&[
        ("do $$ begin end $$", "dynamic"),
        ("DO language plpgsql 'begin null; end'", "dynamic"),
        ("do $$ begin perform set_config('app.tenant_id', 'b', true); end $$", "app.tenant_id dynamic"),
        ("do $$ begin set local app.tenant_id = 'b'; end $$", "app.tenant_id dynamic"),
        ("do $$ begin if true then set role x; else reset role; end if; end $$", "role role dynamic"),
        ("do $$ begin loop reset all; end loop; end $$", "dynamic all"),
        ("do $$ <<a>> begin <<b>> set role x; end $$", "role dynamic"),
        ("do $$ begin if 1=1then set role x; end if; end $$", "role dynamic"),
        ("do E'begin set r\\x6fle x; end'", "role dynamic"),
        ("do E'begin set role x; end \\ud83d'", "? dynamic"),
        ("do 'begin '\n' set role x; end'", "? dynamic"),
        ("do $$ begin execute 'set role x'; end $$", "role dynamic"),
        ("do $$ begin execute format('set local %I = %L', 'a', 'b'); end $$", "? dynamic"),
        ("do $$ begin execute 'set ' || 'role x'; end $$", "? dynamic"),
        ("do $$ begin execute 'set app' || '.tenant_id = 1'; end $$", "? dynamic"),
        ("do $$ begin execute 'reset app' || '.tenant_id'; end $$", "app ? dynamic"),
        ("do $$ begin execute 'do ''begin set role x; end'''; end $$", "role dynamic"),
        ("do $a$ begin execute $b$ do $c$ begin execute $d$ select 1 $d$; end $c$ $b$; end $a$", "? dynamic"),
        ("do $$ begin raise notice 'set role x'; update t set role = 'x'; end $$", "dynamic"),
        ("do", "dynamic"),
        ("create function f() returns int language sql as 'select 1'", "dynamic"),
        (
            "create or replace procedure p() language plpgsql set app.tenant_id to 'x' as $$ begin end $$",
            "app.tenant_id dynamic",
        ),
        (
            "create function f() returns text language sql as $$ select set_config('a.b', 'c', true) $$",
            "a.b dynamic",
        ),
        (
            "create function f() returns int language sql begin atomic select 1; select set_config('a.b', 'c', true); end",
            "a.b dynamic",
        ),
        ("create rule r as on update to t do instead nothing", "dynamic"),
        ("create event trigger t on ddl_command_end execute function f()", "dynamic"),
        ("create extension dblink", "dynamic"),
        ("create or replace trusted language plx", "dynamic"),
        ("select query_to_xml('select 1', true, true, '')", "dynamic"),
        ("select query_to_xml('select set_config(''a.b'', ''c'', true)', true, true, '')", "a.b dynamic"),
        ("select \"query_to_xmlschema\"($1, true, true, '')", "dynamic"),
        ("select Query_To_Xml_And_Xmlschema('x', true, true, '')", "dynamic"),
        ("select cursor_to_xml('c', 1, true, true, ''), cursor_to_xmlschema('c', true, true, '')", "dynamic"),
        ("select * from ts_stat($$ select 1; set role x $$)", "role dynamic"),
        ("select ts_rewrite('a'::tsquery, 'select 1')", "dynamic"),
        ("select dblink('c', 'x'), dblink_exec('y')", "dynamic"),
        ("select * from crosstab4('select 1'), connectby('t', 'a', 'b', 'c', 1)", "dynamic"),
        ("select xpath_table('a', 'b', 'c', 'd', 'e')", "dynamic"),
        ("select lo_import('/etc/passwd'), lo_export(1, '/tmp/x')", "dynamic"),
        ("create aggregate a (text) (sfunc = dblink_exec, stype = text)", "dynamic"),
    ]);
}

#[test]
fn encodings_that_hide_ascii() {
    for name in [
        "SJIS",
        "sjis",
        "Shift_JIS",
        "SHIFT_JIS_2004",
        "win932",
        "Windows-949",
        "BIG5",
        "GBK",
        "UHC",
        "GB18030",
        "JOHAB",
    ] {
        assert!(hides_ascii(name.as_bytes()), "{name}");
    }
    for name in ["UTF8", "unicode", "LATIN1", "SQL_ASCII", "EUC_JP", "WIN1252", "windows1252", "KOI8R", ""] {
        assert!(!hides_ascii(name.as_bytes()), "{name}");
    }
}

/// White space and comments, as may stand between any two tokens.
fn gap() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just(" ".to_owned()),
            Just("\n".to_owned()),
            Just("\t".to_owned()),
            "[a-z'\"$;(]{0,6}".prop_map(|s| format!("/*{s}*/")),
            "[a-z'\"$;(]{0,6}".prop_map(|s| format!("/*/*{s}*/ ' */")),
            "[a-z'\"$;(*/]{0,6}".prop_map(|s| format!("--{s}\n")),
        ],
        0..4,
    )
    .prop_map(|parts| parts.concat())
}

/// A name with the case of its letters changed, quoted, or with its characters escaped.
fn spelt(name: &'static str, quote: char) -> impl Strategy<Value = String> {
    let each = proptest::collection::vec(0..4_u8, name.len());
    (0..3_u8, each).prop_map(move |(form, each)| {
        let letter = |(c, how): (char, u8)| match (how, form) {
            (0, 2) => format!("\\{:04x}", u32::from(c)),
            (1, 2) => format!("\\+{:06X}", u32::from(c)),
            (0 | 1, 0) => c.to_ascii_uppercase().to_string(),
            _ => c.to_string(),
        };
        let inner: String = name.chars().zip(each).map(letter).collect();
        match form {
            0 if quote == '"' => inner,
            0 | 1 => format!("{quote}{inner}{quote}"),
            _ => format!("U&{quote}{inner}{quote}"),
        }
    })
}

fn only(name: &str) -> Touched {
    Touched { names: vec![name.into()], ..Touched::default() }
}

proptest! {
    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..400), standard in any::<bool>()) {
        let _ = touched(&bytes, standard);
    }

    #[test]
    fn sql_like_text_ends(
        text in r#"([a-z$;'"/*\-(), .=\n]|set |reset |do |create function |alter role |execute |set_config|\$\$|E'|U&"|U&'|uescape |\\){0,60}"#,
        standard in any::<bool>(),
    ) {
        let _ = touched(text.as_bytes(), standard);
    }

    #[test]
    fn a_call_is_found_however_it_is_written(
        before in "[^'\0]{0,20}",
        function in spelt("set_config", '"'),
        name in spelt("app.tenant_id", '\''),
        gaps in proptest::collection::vec(gap(), 5),
    ) {
        let [a, b, c, d, e] = &gaps[..] else { unreachable!() };
        let text = format!("select '{before}',{a} pg_catalog{b}.{c}{function}{d}({e}{name}, 'b', true)");
        prop_assert_eq!(touched(text.as_bytes(), true).map(|t| *t), Some(only("app.tenant_id")), "{}", text);
    }

    #[test]
    fn a_set_is_found_however_it_is_written(
        before in "[^'\0]{0,20}",
        class in spelt("app", '"'),
        name in spelt("tenant_id", '"'),
        gaps in proptest::collection::vec(gap(), 5),
    ) {
        let [a, b, c, d, e] = &gaps[..] else { unreachable!() };
        let text = format!("select '{before}';{a} sEt{b} local {c}{class}{d}.{e}{name} = 'x'");
        prop_assert_eq!(touched(text.as_bytes(), true).map(|t| *t), Some(only("app.tenant_id")), "{}", text);
    }

    #[test]
    fn what_strings_and_comments_hold_is_nothing(
        data in "([a-z ;=.(]|set role = x; |reset all; |set_config\\(|do |create function ){0,12}",
    ) {
        let text = format!("select '{data}', $a${data}$a$, E'\\'{data}', \"{data}\" /* {data} */ from t -- {data}");
        prop_assert_eq!(touched(text.as_bytes(), true), None);
    }
}
