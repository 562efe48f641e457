use proptest::prelude::*;

use super::super::*;

fn names<'a>(set: impl IntoIterator<Item = &'a Named>) -> String {
    let one = |(schema, name): &Named| match schema {
        Some(schema) => format!("{schema}.{name}"),
        None => name.to_string(),
    };
    let mut all: Vec<String> = set.into_iter().map(one).collect();
    all.sort();
    all.join(",")
}

#[test]
fn relations_and_functions() {
    for (text, relations, functions) in [
        ("select 1", "", ""),
        ("select * from orders", "orders", ""),
        ("SELECT * FROM Public.\"Or\"\"ders\" AS o, db.s.t", "public.Or\"ders,s.t", ""),
        ("table t", "t", ""),
        ("values (1), ((select max(a) from t))", "t", "max"),
        ("select a from t1 join t2 using (b) left join (select * from t3) x on true", "t1,t2,t3", ""),
        ("select 1 from a union all (select 2 from b except select 3 from c)", "a,b,c", ""),
        (
            "select * from a where exists (select from b) and c in (select d from e) order by (select f from g) limit (select h from i) offset (select j from k)",
            "a,b,e,g,i,k",
            "",
        ),
        (
            "select f(x) filter (where g(y) > 0) over (partition by h(z) order by (select 1 from w)) from t",
            "t,w",
            "f,g,h",
        ),
        (
            "select distinct on (f(a)) b from t group by rollup (g(c)) having h(d) > 1 window v as (order by i(e))",
            "t",
            "f,g,h,i",
        ),
        ("select * from s.f(1) with ordinality, rows from (g(2), h(3)) x", "", "g,h,s.f"),
        (
            "select case when a then f(b) else (select c from d) end, array[g(e)], row(h(i)), coalesce(j(k), 1) from t",
            "d,t",
            "f,g,h,j",
        ),
        (
            "select a::int, cast(f(b) as text), (select c)[f(1)], (g(x)).y, pg_catalog.now(), interval '1 day' from t",
            "t",
            "f,g,pg_catalog.now",
        ),
        (
            "select xmlelement(name a, f(b)), json_object('a': g(c)), xmlforest(h(d) as e) from t",
            "t",
            "f,g,h",
        ),
        (
            "select * from json_table(f(x), '$' columns (a int path '$.a')) j, xmltable('/a' passing g(y) columns b int)",
            "",
            "f,g",
        ),
        ("with x as (select * from t) select * from x", "t", ""),
        ("with f as (select * from f limit 1) select * from f", "f", ""),
        ("with a as (select * from b), b as (select * from a) select * from a, b", "b", ""),
        ("with recursive a as (select 1 union all select * from a, t) select * from a", "t", ""),
        ("with recursive a as (select * from b), b as (select * from t) select * from a", "t", ""),
        ("select * from (with x as (select 1) select * from x) y, x", "x", ""),
        (
            "with x as (select 1) select (with y as (select * from x, s.x) select a from y) from y",
            "s.x,y",
            "",
        ),
        ("with x as (select 1) select 1 from x union select 2 from x", "", ""),
        (
            "select * from t where a like 'x%' and b between f(1) and 2 and c = all (select d from u)",
            "t,u",
            "f",
        ),
        ("select * from only t", "t", ""),
        ("select count(*) from t /* from u */ -- from v", "t", "count"),
        (
            "select extract(year from f(a)), substring(b from 1), a at time zone 'x', overlay(c placing d from 1)",
            "",
            "f,pg_catalog.extract,pg_catalog.overlay,pg_catalog.substring,pg_catalog.timezone",
        ),
    ] {
        let found = reads(text.as_bytes(), true).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(names(&found.relations), relations, "{text}");
        assert_eq!(names(&found.functions), functions, "{text}");
        assert!(!found.parameters, "{text}");
    }
}

#[test]
fn what_else_is_in_a_query() {
    let text = b"select t.full_name, (u).total, a <-> b, c operator(s.@@) d, $1
        from t where current_setting('App.Tenant', true) = e and current_setting('x.y'::text) = f
        order by g using <<< , h in (select i)";
    let found = reads(text, true).unwrap();
    assert!(found.parameters);
    for name in ["<->", "@@", "=", "<<<"] {
        assert!(found.operators.contains(name), "{name}");
    }
    for name in ["full_name", "total", "a", "e"] {
        assert!(found.columns.contains(name), "{name}");
    }
    assert_eq!(found.settings.iter().map(|s| &**s).collect::<Vec<_>>(), ["app.tenant", "x.y"]);
}

#[test]
fn what_is_not_kept() {
    let deep = |n: usize| format!("select {}1{}", "(".repeat(n), ")".repeat(n));
    let subqueries = |n: usize| format!("{}1{}", "select (".repeat(n), ")".repeat(n));
    let nots = |n: usize| format!("select {} true", "not ".repeat(n));
    for (text, why) in [
        ("", "empty"),
        (" ; /* x */", "empty"),
        ("select 1; select 2", "single"),
        ("insert into t values (1)", "not a SELECT"),
        ("explain select 1", "not a SELECT"),
        ("with x as (select 1) insert into t select * from x", "not a SELECT"),
        ("show x", "not a SELECT"),
        ("select * from t for update", "locks"),
        ("select * from (select * from t for share of t) x", "locks"),
        ("with x as (select * from t for key share) select * from x", "locks"),
        ("select * into u from t", "INTO"),
        ("with x as (insert into t values (1) returning *) select * from x", "changes"),
        ("with x as (update t set a = 1 returning *) select * from x", "changes"),
        ("with x as (delete from t returning *) select * from x", "changes"),
        (
            "with x as (merge into t using u on true when matched then delete returning *) select * from x",
            "changes",
        ),
        ("select * from t tablesample system (10)", "TABLESAMPLE"),
        ("select current_setting(a) from t", "current_setting"),
        ("select current_setting('a' || 'b')", "current_setting"),
        ("select current_setting($1)", "current_setting"),
        ("select from where", "parsed"),
        ("select 'open", "parsed"),
        (&deep(10_000), "deep"),
        (&deep(30_000), "deep"),
        (&subqueries(100), "parsed"),
        (&nots(15_000), "parsed"),
        (&format!("select 1{}", " + 1".repeat(15_000)), "parsed"),
        (&format!("select 1{}", " union select 1".repeat(4_000)), "parsed"),
        (&format!("select '{}'", "x".repeat(70_000)), "longer"),
    ] {
        let shown: String = text.chars().take(60).collect();
        let refused = match reads(text.as_bytes(), true) {
            Err(refused) => refused.to_string(),
            Ok(found) => panic!("{shown}: {found:?}"),
        };
        assert!(refused.contains(why), "{shown}: {refused}");
    }
    assert!(reads(b"select '\xff'", true).is_err());
    assert!(reads(b"select 1\0", true).is_err());
    assert!(reads(b"select 'a\\'", false).is_err());
    assert!(reads(b"select 'a'", false).is_ok());
    assert!(reads(deep(150).as_bytes(), true).is_ok());
    assert!(reads(subqueries(10).as_bytes(), true).is_ok());
    assert!(reads(format!("select 1 in ({})", vec!["1"; 5_000].join(",")).as_bytes(), true).is_ok());
    assert!(reads(format!("select true{}", " and true".repeat(5_000)).as_bytes(), true).is_ok());
}

#[test]
fn names_in_bodies() {
    let found = mentions(
        b"declare x int; begin select a.b into x from s.t where f(c) <-> 1 and g.h('x') and current_setting('app.id') = d;
        if x -- from hidden
        then perform u.v.w; return query select 'from strings'; end if; end",
    );
    let names = names(&found.names);
    for name in ["s.t", "u.v", "v.w", "a.b", "a", "s", "u", "x"] {
        assert!(names.split(',').any(|n| n == name), "{name} in {names}");
    }
    assert!(!names.contains("hidden") && !names.contains("strings"));
    let called: Vec<String> = found.calls.iter().map(|(s, n)| format!("{s:?}.{n}")).collect();
    assert!(called.contains(&"None.f".into()) && called.contains(&"Some(\"g\").h".into()), "{called:?}");
    assert!(found.operators.contains("<->") && found.operators.contains("="));
    assert!(found.settings.contains("app.id"));
    assert!(!found.dynamic && !found.unclear_setting && !found.incomplete);
    for (text, dynamic, unclear) in [
        ("execute 'select 1'", true, false),
        ("return query execute format('select %I', x)", true, false),
        ("grant execute on function f to r", false, false),
        ("create trigger x execute function f()", false, false),
        ("current_setting(name)", false, true),
        ("current_setting('a' || b)", false, true),
        ("current_setting('a'::text, true)", false, false),
        ("current_setting('a'::name)", false, true),
    ] {
        let found = mentions(text.as_bytes());
        assert_eq!((found.dynamic, found.unclear_setting), (dynamic, unclear), "{text}");
    }
    assert!(mentions(b"select U&\"d\\00\"").incomplete);
    let called = calls(b"SELECT Add_Order (1), \"F\"(2), s.g(3), h", true);
    assert_eq!(called.len(), 3, "{called:?}");
    assert!(called.contains(&(None, "add_order".into())) && called.contains(&(None, "F".into())));
}

#[test]
fn calls_are_found_by_a_quick_look() {
    for (text, found) in [
        ("select f(1)", true),
        ("select F (1)", true),
        ("select s.f(1)", true),
        ("select \"f\"(1)", true),
        ("select f/* x */(1)", true),
        ("select f -- x\n(1)", true),
        ("select U&\"f\" uescape '!' (1)", false), // no call, but a mistake
        ("select g(1) in (2)", false),
        ("select f", false),
        ("(select 1)", false),
        ("select ef(1), f_(1)", false),
        ("select 'f'(1)", false),
        ("", false),
    ] {
        assert_eq!(may_call(text.as_bytes(), |name| name == "f"), found, "{text}");
    }
    assert!(may_call(format!("select {}(1)", "f".repeat(70)).as_bytes(), |_| false));
}

proptest! {
    #[test]
    fn what_is_called_is_seen_by_a_quick_look(words in prop::collection::vec(prop::sample::select(vec![
        "f", "F", "g", "\"f\"", "(", ")", " ", "\n", "/* c */", "-- c\n", ".", "'s'", "1", "U&\"f\"",
    ]), 0..12)) {
        let text = words.concat();
        if calls(text.as_bytes(), true).iter().any(|(_, name)| **name == *"f") {
            prop_assert!(may_call(text.as_bytes(), |name| name == "f"), "{text}");
        }
    }

    #[test]
    fn any_bytes_are_read(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = mentions(&text);
        let _ = calls(&text, false);
        let _ = reads(&text, true);
    }

    #[test]
    fn sql_like_text_ends(words in prop::collection::vec(prop::sample::select(vec![
        "select", "from", "with", "as", "(", ")", "x", "t", "*", ",", "1", "union", "values", "'a'", "$1", "f(", "::", "int", "where", "=", "[", "]", "case", "when", "end", "recursive", "lateral", "join", "on", "order by", "for update",
    ]), 0..40)) {
        let _ = reads(format!("select {}", words.join(" ")).as_bytes(), true);
    }
}
