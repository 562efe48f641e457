//! What a query is found to read, on real catalogs of several versions.

use std::collections::BTreeSet;
use std::sync::Arc;

use howdah::cache::{Ask, Cache, Database as Kept, Limits, Miss, Plan, Question, Rows, Study, study};
use howdah::sql::Callees;
use tokio_postgres::SimpleQueryMessage;

use crate::support::howdah::direct_config;
use crate::support::{Cluster, Database, Version};

/// Asks by the simple protocol, with the parameters written into the text.
struct Direct(tokio_postgres::Client);

impl Ask for Direct {
    async fn ask(&mut self, sql: &str, values: &[Option<&str>]) -> Result<Rows, String> {
        let mut sql = sql.to_owned();
        for (at, value) in values.iter().enumerate().rev() {
            let literal = value.map_or("NULL".to_owned(), |v| format!("'{}'", v.replace('\'', "''")));
            sql = sql.replace(&format!("${}", at + 1), &literal);
        }
        let messages = self.0.simple_query(&sql).await.map_err(|error| format!("{error:?}"))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }
}

/// A database whose queries are studied.
struct Subject {
    database: Database<'static>,
    kept: Arc<Kept>,
    cache: Arc<Cache>,
}

impl Subject {
    fn new(version: Version, name: &str, sql: &str) -> Self {
        let database = Cluster::shared(version).database(name);
        // Everybody may make tables in public up to version 14.
        database.query(&format!("GRANT ALL ON SCHEMA public TO app; SET ROLE app; {sql}"));
        let cache =
            Cache::new(Limits { max_memory: 1 << 20, max_entry: 1 << 10, tenant_share: 1.0, jitter: 0.0 });
        let kept = cache.database("server:5432/name");
        Self { database, kept, cache }
    }

    fn ask(&self, question: &Question) -> Study {
        self.kept.plans.clear();
        let mut prefix = self.cache.prefix();
        prefix.part(&question.text);
        let key = prefix.key();
        let studying = self.kept.plans.begin(key, 7).expect("nobody else studies");
        let config = direct_config(self.database.cluster, "app", &self.database.name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(async {
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            study(&mut Direct(client), &self.kept, &studying, question).await
        });
        studying.finish(found);
        self.kept.plans.get(&key)
    }

    fn plan(&self, question: &Question) -> Arc<Plan> {
        match self.ask(question) {
            Study::Keep(plan) => plan,
            other => panic!("{}: {other:?}", String::from_utf8_lossy(&question.text)),
        }
    }

    /// Names of what is read, and of what may write it, without `public.`.
    fn found(&self, text: &str) -> (String, String) {
        let plan = self.plan(&question(text));
        (list(plan.relations.iter().map(|name| &**name)), list(plan.marks.iter().map(|mark| mark.name())))
    }

    fn why(&self, question: &Question) -> (Miss, String) {
        match self.ask(question) {
            Study::Never(why) => (why.miss(), why.to_string()),
            other => panic!("{}: {other:?}", String::from_utf8_lossy(&question.text)),
        }
    }

    /// For each text: what is read, what may write it.
    fn are(&self, table: &[(&str, &str, &str)]) {
        for (text, read, written) in table {
            let (relations, marks) = self.found(text);
            assert_eq!(relations, *read, "read by {text}");
            assert_eq!(marks, if *written == "=" { *read } else { *written }, "may write {text}");
        }
    }

    fn are_never(&self, table: &[(&str, Miss, &str)]) {
        for (text, miss, word) in table {
            let (found, why) = self.why(&question(text));
            assert_eq!(found, *miss, "{text}: {why}");
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.map(|name| name.strip_prefix("public.").unwrap_or(name)).collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}

fn question(text: &str) -> Question {
    Question {
        text: text.as_bytes().into(),
        path: None,
        role: None,
        volatile: false,
        standard_strings: true,
        publication: None,
    }
}

const VERSIONS: [Version; 3] = [Version::V14, Version::V15, Version::V18];

#[test]
fn names_are_resolved_as_the_server_does() {
    for version in VERSIONS {
        let subject = Subject::new(
            version,
            "study_names",
            "CREATE TABLE t (a int); CREATE TABLE \"Odd \"\"Name\"\",{}\" (a int);
             RESET ROLE; CREATE SCHEMA app AUTHORIZATION app; CREATE SCHEMA s AUTHORIZATION app; CREATE SCHEMA hidden; SET ROLE app;
             CREATE TABLE app.mine (a int); CREATE TABLE s.t (a int); CREATE TABLE s.other (a int);
             RESET ROLE; CREATE TABLE hidden.t (a int)",
        );
        subject.are(&[
            ("select 1", "", "="),
            ("select count(*), max(a), now() from t", "t", "="),
            ("select * from s.t, t", "s.t t", "="),
            ("select * from mine", "app.mine", "="),
            ("select * from \"Odd \"\"Name\"\",{}\"", "Odd \"Name\",{}", "="),
            ("with x as (select * from t) select * from x", "t", "="),
            ("with mine as (select * from mine) select * from mine", "app.mine", "="),
            ("values (1)", "", "="),
            ("table t", "t", "="),
        ]);
        let with_path = |path: &str| {
            let asked = Question { path: Some(path.into()), ..question("select * from t") };
            list(subject.plan(&asked).relations.iter().map(|name| &**name))
        };
        assert_eq!(with_path("s, public"), "s.t");
        assert_eq!(with_path("public, s"), "t");
        assert_eq!(with_path("\"$user\", S"), "s.t");
        assert_eq!(with_path("none, hidden, public"), "t"); // hidden may not be used
        let mine = Question { path: Some("\"$user\"".into()), ..question("select * from mine") };
        assert_eq!(subject.plan(&mine).relations.len(), 1);
        let other = Question { role: Some("postgres".into()), ..mine };
        assert!(subject.why(&other).1.contains("no table \"mine\""));
        let nobody = Question { path: Some("\"\"".into()), ..question("select * from t") };
        assert!(subject.why(&nobody).1.contains("no table"));
        assert_eq!(subject.plan(&question("select 1")).catalog, 7);
    }
}

#[test]
fn what_tables_lead_to() {
    for version in VERSIONS {
        let subject = Subject::new(
            version,
            "study_tables",
            "CREATE TABLE part (a int) PARTITION BY RANGE (a);
             CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (a);
             CREATE TABLE part_1_a PARTITION OF part_1 FOR VALUES FROM (0) TO (5);
             CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
             CREATE TABLE base (a int primary key); CREATE TABLE child (b int) INHERITS (base);
             CREATE TABLE owner (id int primary key, up int REFERENCES base ON UPDATE CASCADE);
             CREATE TABLE item (owner int REFERENCES owner ON DELETE CASCADE);
             CREATE TABLE loose (owner int REFERENCES owner);
             CREATE VIEW plain AS SELECT id FROM owner;
             CREATE VIEW summed AS SELECT count(*) FROM plain;
             CREATE VIEW joined AS SELECT i.owner FROM item i JOIN base b ON b.a = i.owner;
             CREATE MATERIALIZED VIEW kept AS SELECT * FROM item;
             CREATE TABLE ruled (a int); CREATE TABLE log (a int);
             CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO log VALUES (new.a)",
        );
        subject.are(&[
            ("select * from part", "part part_1 part_1_a part_2", "="),
            ("select * from part_1_a", "part_1_a", "part part_1 part_1_a"),
            ("select * from base", "base child", "base child joined"),
            ("select * from only child", "child", "base child joined"),
            ("select * from loose", "loose", "="),
            ("select * from item", "item", "base item joined owner plain summed"),
            ("select * from plain", "owner plain", "base joined owner plain summed"),
            ("select * from summed", "owner plain summed", "base joined owner plain summed"),
            ("select * from joined", "base child item joined", "base child item joined owner plain summed"),
            ("select * from kept", "kept", "="),
            ("select * from ruled", "ruled", "="),
            ("select * from log", "log", "log ruled"),
        ]);
        assert!(!subject.plan(&question("select * from joined")).by_ttl_only);
    }
}

#[test]
fn what_triggers_write() {
    for version in VERSIONS {
        let subject = Subject::new(
            version,
            "study_triggers",
            "CREATE TABLE orders (a int); CREATE TABLE stock (a int); CREATE TABLE audit (a int); CREATE TABLE apart (a int);
             CREATE FUNCTION note(x int) RETURNS void LANGUAGE sql AS 'INSERT INTO audit VALUES (x)';
             CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN UPDATE public.stock SET a = a - 1; PERFORM note(1); RETURN new; END';
             CREATE TRIGGER take AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION take();
             CREATE TABLE outer_t (a int);
             CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN INSERT INTO orders VALUES (new.a); RETURN new; END';
             CREATE TRIGGER pass AFTER INSERT ON outer_t FOR EACH ROW EXECUTE FUNCTION pass();
             CREATE VIEW shown AS SELECT sum(a) AS a FROM apart;
             CREATE FUNCTION through() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN INSERT INTO apart VALUES (new.a); RETURN new; END';
             CREATE TRIGGER through INSTEAD OF INSERT ON shown FOR EACH ROW EXECUTE FUNCTION through();
             CREATE TABLE many (a int) PARTITION BY RANGE (a);
             CREATE TABLE many_1 PARTITION OF many FOR VALUES FROM (0) TO (10);
             CREATE TABLE tally (a int);
             CREATE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE tally SET a = a + 1; RETURN new; END';
             CREATE TRIGGER tally AFTER INSERT ON many FOR EACH ROW EXECUTE FUNCTION tally()",
        );
        subject.are(&[
            ("select * from orders", "orders", "orders outer_t"),
            ("select * from stock", "stock", "orders outer_t stock"),
            ("select * from audit", "audit", "audit orders outer_t"),
            ("select * from apart", "apart", "apart shown"),
            ("select * from tally", "tally", "many many_1 tally"),
        ]);
        assert!(!subject.plan(&question("select * from orders")).by_ttl_only);
        // A trigger that may write anything.
        subject.database.query(
            "CREATE FUNCTION any_table() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN EXECUTE format('INSERT INTO %I VALUES (1)', tg_argv[0]); RETURN new; END$$;
             CREATE TRIGGER any_table AFTER INSERT ON apart FOR EACH ROW EXECUTE FUNCTION any_table('stock')",
        );
        assert!(subject.plan(&question("select * from stock")).by_ttl_only);
        assert!(!subject.plan(&question("select 1")).by_ttl_only);
        subject.database.query("ALTER TABLE apart DISABLE TRIGGER any_table");
        assert!(!subject.plan(&question("select * from stock")).by_ttl_only);
    }
}

#[test]
fn what_functions_read() {
    for version in VERSIONS {
        let subject = Subject::new(
            version,
            "study_functions",
            "RESET ROLE; CREATE SCHEMA elsewhere AUTHORIZATION app; SET ROLE app; CREATE TABLE elsewhere.w (a int);
             CREATE TABLE t (a int); CREATE TABLE u (a int); CREATE TABLE v (a int); CREATE TABLE person (first text, last text);
             CREATE FUNCTION total() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT sum(a) FROM t';
             CREATE FUNCTION deeper() RETURNS bigint STABLE LANGUAGE plpgsql AS
               'DECLARE n bigint; BEGIN SELECT count(*) + total() INTO n FROM public.u; RETURN n; END';
             CREATE FUNCTION atomic() RETURNS bigint STABLE LANGUAGE sql BEGIN ATOMIC SELECT count(*) + total() FROM v; END;
             CREATE FUNCTION full_name(person) RETURNS text STABLE LANGUAGE sql AS
               'SELECT $1.first || max(a)::text FROM t';
             CREATE FUNCTION pure(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1';
             CREATE FUNCTION changes() RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE FUNCTION hidden(int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';
             CREATE FUNCTION hidden(text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
             CREATE FUNCTION via() RETURNS int STABLE LANGUAGE sql AS 'SELECT changes()';
             CREATE FUNCTION built(x text) RETURNS bigint STABLE LANGUAGE plpgsql AS
               $$DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM ' || x INTO n; RETURN n; END$$;
             CREATE FUNCTION seen() RETURNS text STABLE LANGUAGE sql AS $$SELECT current_setting('App.Seen', true)$$;
             CREATE FUNCTION moved() RETURNS bigint STABLE LANGUAGE sql SET search_path = elsewhere AS 'SELECT count(*) FROM w';
             CREATE FUNCTION same(int, int) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT $1 = $2 AND EXISTS (SELECT FROM u)';
             CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same);
             CREATE FUNCTION differs(int, int) RETURNS boolean VOLATILE LANGUAGE sql AS 'SELECT $1 <> $2';
             CREATE OPERATOR <=!=> (LEFTARG = int, RIGHTARG = int, FUNCTION = differs);
             CREATE VIEW calls AS SELECT total() AS n;
             CREATE VIEW rolls AS SELECT random() AS n;
             CREATE VIEW compares AS SELECT a === 1 AS n FROM v;
             CREATE VIEW acts AS SELECT changes() AS n;
             CREATE VIEW asks AS SELECT current_setting('app.asked', true) AS n;
             CREATE VIEW looks AS SELECT relname FROM pg_class;
             CREATE VIEW stats AS SELECT count(*) FROM pg_stat_activity",
        );
        subject.are(&[
            ("select total()", "t", "="),
            ("select deeper()", "t u", "="),
            ("select * from atomic()", "t v", "compares t v"),
            ("select p.full_name from person p", "person t", "="),
            ("select a from v order by pure(a)", "v", "compares v"),
            ("select moved()", "elsewhere.w", "="),
            ("select a === 1 from v", "u v", "compares u v"),
            ("select * from calls", "calls t", "="),
            ("select * from compares", "compares u v", "="),
        ]);
        subject.are_never(&[
            ("select random()", Miss::Volatile, "random()"),
            ("select clock_timestamp()", Miss::Volatile, "clock_timestamp"),
            ("select nextval('x')", Miss::Volatile, "nextval"),
            ("select set_config('a.b', 'c', true)", Miss::Volatile, "set_config"),
            ("select * from t where changes() = 1", Miss::Volatile, "public.changes()"),
            ("select hidden('x')", Miss::Volatile, "hidden"),
            ("select via()", Miss::Volatile, "changes"),
            ("select a <=!=> 1 from t", Miss::Volatile, "differs"),
            ("select * from rolls", Miss::Volatile, "random"),
            ("select * from acts", Miss::Volatile, "changes"),
            ("select pg_backend_pid()", Miss::NotCacheable, "pg_backend_pid"),
            ("select has_table_privilege('t', 'select')", Miss::NotCacheable, "has_table_privilege"),
            ("select inet_client_addr()", Miss::NotCacheable, "inet_client_addr"),
            ("select txid_current_if_assigned()", Miss::NotCacheable, "txid"),
            ("select table_to_xml('t', true, true, '')", Miss::NotCacheable, "table_to_xml"),
            ("select pg_table_is_visible('t'::regclass)", Miss::NotCacheable, "visible"),
            ("select * from looks", Miss::NotCacheable, "pg_class"),
            ("select * from stats", Miss::NotCacheable, "pg_stat"),
            ("select * from pg_class", Miss::NotCacheable, "pg_class"),
            ("select * from information_schema.tables", Miss::NotCacheable, "information_schema.tables"),
            ("select current_setting('a' || 'b')", Miss::NotCacheable, "current_setting"),
            ("select * from t for update", Miss::NotCacheable, "locks"),
            ("insert into t values (1)", Miss::NotCacheable, "not a SELECT"),
        ]);
        let allowed = |text: &str| Question { volatile: true, ..question(text) };
        assert_eq!(list(subject.plan(&allowed("select random()")).relations.iter().map(|n| &**n)), "");
        assert_eq!(
            list(subject.plan(&allowed("select via(), deeper()")).relations.iter().map(|n| &**n)),
            "t u"
        );
        assert_eq!(subject.why(&allowed("select pg_backend_pid()")).0, Miss::NotCacheable);
        for (text, by_ttl_only) in
            [("select built('t')", true), ("select total()", false), ("select seen()", false)]
        {
            assert_eq!(subject.plan(&question(text)).by_ttl_only, by_ttl_only, "{text}");
        }
        let settings = |text: &str| subject.plan(&question(text)).settings.join(" ");
        assert_eq!(
            settings("select seen(), current_setting('app.own', true) from asks"),
            "app.asked app.own app.seen"
        );
        assert_eq!(settings("select total()"), "");
    }
}

#[test]
fn kinds_of_relations() {
    for version in VERSIONS {
        let subject = Subject::new(
            version,
            "study_kinds",
            "CREATE UNLOGGED TABLE quick (a int); CREATE SEQUENCE seq; CREATE TABLE t (a serial);
             RESET ROLE; CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER files FOREIGN DATA WRAPPER nothing;
             CREATE FOREIGN TABLE far (a text) SERVER files; GRANT SELECT ON far TO app;
             CREATE VIEW beyond AS SELECT * FROM far; GRANT SELECT ON beyond TO app",
        );
        subject.are_never(&[
            ("select last_value from seq", Miss::NotCacheable, "sequence"),
            ("select * from no_such_table", Miss::Learning, "no table \"no_such_table\""),
            ("select * from pg_temp.t", Miss::Learning, "no table"),
        ]);
        for (text, by_ttl_only) in [
            ("select * from quick", false),
            ("select * from t", false),
            ("select * from far", true),
            ("select * from beyond", true),
        ] {
            assert_eq!(subject.plan(&question(text)).by_ttl_only, by_ttl_only, "{text}");
        }
    }
}

#[test]
fn what_policies_read() {
    for version in VERSIONS {
        let subject = Subject::new(
            version,
            "study_policies",
            "CREATE TABLE t (tenant text, a int); CREATE TABLE members (tenant text, name text); CREATE TABLE u (a int);
             CREATE FUNCTION me() RETURNS text STABLE LANGUAGE sql AS $$SELECT current_setting('app.user', true)$$;
             CREATE FUNCTION mine() RETURNS SETOF text STABLE LANGUAGE plpgsql AS
               $$BEGIN RETURN QUERY SELECT m.tenant FROM members m WHERE m.name = me(); END$$;
             ALTER TABLE t ENABLE ROW LEVEL SECURITY;
             CREATE POLICY a ON t USING (tenant = current_setting('App.Tenant', true));
             CREATE POLICY b ON t FOR SELECT USING (tenant IN (SELECT mine()));
             CREATE POLICY c ON t FOR DELETE USING (EXISTS (SELECT FROM u));
             CREATE VIEW over AS SELECT a FROM t;
             CREATE TABLE odd (a int); ALTER TABLE odd ENABLE ROW LEVEL SECURITY;
             CREATE FUNCTION opaque() RETURNS boolean STABLE LANGUAGE plpgsql AS
               $$DECLARE x boolean; BEGIN EXECUTE 'SELECT true' INTO x; RETURN x; END$$;
             CREATE POLICY a ON odd USING (opaque());
             CREATE TABLE wild (a int); ALTER TABLE wild ENABLE ROW LEVEL SECURITY;
             CREATE POLICY a ON wild USING (random() > 0.5);
             CREATE TABLE named (a text); ALTER TABLE named ENABLE ROW LEVEL SECURITY;
             CREATE POLICY a ON named USING (current_setting(a) = 'x');
             CREATE TABLE off (a int); CREATE POLICY a ON off USING (random() > 0.5)",
        );
        subject.are(&[
            ("select * from t", "members t", "members over t"),
            ("select * from over", "members over t", "="),
            ("select * from off", "off", "="),
        ]);
        assert_eq!(subject.plan(&question("select * from over")).settings.join(" "), "app.tenant app.user");
        subject.are_never(&[
            ("select * from odd", Miss::NotCacheable, "a policy that cannot be read"),
            ("select * from named", Miss::NotCacheable, "a policy that cannot be read"),
            ("select * from wild", Miss::Volatile, "random"),
        ]);
    }
}

#[test]
fn what_a_publication_tells() {
    for version in VERSIONS {
        let subject = Subject::new(
            version,
            "study_followed",
            "CREATE TABLE told (a int primary key); CREATE TABLE apart (a int); CREATE UNLOGGED TABLE quick (a int);
             CREATE TABLE part (a int) PARTITION BY RANGE (a);
             CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
             CREATE MATERIALIZED VIEW kept AS SELECT * FROM told; CREATE VIEW both_of AS SELECT t.a FROM told t, apart a;
             CREATE FUNCTION any_table() RETURNS trigger LANGUAGE plpgsql AS
               $$BEGIN EXECUTE 'DELETE FROM ' || tg_argv[0]; RETURN new; END$$;
             CREATE TRIGGER any_table AFTER INSERT ON apart FOR EACH ROW EXECUTE FUNCTION any_table('told');
             RESET ROLE; CREATE PUBLICATION howdah FOR TABLE told, part;
             CREATE PUBLICATION rooted FOR TABLE part WITH (publish_via_partition_root = true);
             CREATE PUBLICATION inserts FOR TABLE told WITH (publish = 'insert')",
        );
        for (publication, text, by_ttl_only) in [
            ("howdah", "select * from told", false),
            ("howdah", "select 1", false),
            ("howdah", "select * from apart", true),
            ("howdah", "select * from both_of", true),
            ("howdah", "select * from quick", true),
            ("howdah", "select * from kept", true),
            ("howdah", "select * from part", false),
            ("howdah", "select * from part_1", false),
            ("rooted", "select * from part_1", false),
            ("rooted", "select * from told", true),
            ("inserts", "select * from told", true),
            ("none", "select * from told", true),
        ] {
            let asked = Question { publication: Some(publication.into()), ..question(text) };
            assert_eq!(subject.plan(&asked).by_ttl_only, by_ttl_only, "{publication}: {text}");
        }
        if version.major() >= 15 {
            subject.database.query("CREATE PUBLICATION partly FOR TABLE told WHERE (a > 5)");
            let asked = Question { publication: Some("partly".into()), ..question("select * from told") };
            assert!(subject.plan(&asked).by_ttl_only);
        }
    }
}

#[test]
fn what_functions_write() {
    for version in VERSIONS {
        let subject = Subject::new(
            version,
            "study_routines",
            "CREATE TABLE t (a int); CREATE TABLE u (a int); CREATE TABLE v (a int);
             CREATE FUNCTION add_t(x int) RETURNS void LANGUAGE sql AS 'INSERT INTO t VALUES (x)';
             CREATE FUNCTION add_u() RETURNS void LANGUAGE sql BEGIN ATOMIC INSERT INTO u VALUES (1); END;
             CREATE PROCEDURE both_of() LANGUAGE plpgsql AS 'BEGIN PERFORM add_t(1); CALL deeper(); END';
             CREATE PROCEDURE deeper() LANGUAGE plpgsql AS 'BEGIN PERFORM add_u(); DELETE FROM public.v; END';
             CREATE FUNCTION looks() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM t';
             CREATE FUNCTION anything(x text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE x; END'",
        );
        let by = |text: &str| subject.kept.written_by(text.as_bytes(), true).map(|writes| writes.unknown);
        // Until they are known any may write anything.
        assert_eq!(by("select looks()"), Some(true));
        assert_eq!(by("select count(*) from t where a in (1)"), None);
        subject.plan(&question("select 1"));
        assert_eq!((by("select looks()"), by("select add_t(1)")), (None, Some(false)));
        let routines = subject.kept.plans.routines().expect("loaded with the first study");
        let written = |text: &str| {
            let writes = routines.written_by(text.as_bytes(), true)?;
            let mut names: Vec<String> = writes.tables.iter().map(|(_, name)| name.to_string()).collect();
            names.sort();
            names.extend(writes.unknown.then(|| "?".to_owned()));
            Some(names.join(" "))
        };
        for (text, tables) in [
            ("select 1", None),
            ("select count(*), looks() from t", None),
            ("select add_t", None),
            ("select Add_T(1)", Some("t")),
            ("select public.add_u ()", Some("u")),
            ("select elsewhere.add_u()", None),
            ("call both_of()", Some("t u v")),
            ("insert into x select anything('y')", Some("?")),
        ] {
            assert_eq!(written(text).as_deref(), tables, "{text}");
        }
    }
}

#[test]
fn a_study_that_began_before_the_catalog_changed_is_forgotten() {
    let subject = Subject::new(Version::V15, "study_forgotten", "CREATE TABLE t (a int)");
    let asked = question("select * from t");
    assert!(matches!(subject.ask(&asked), Study::Keep(_)));
    let mut prefix = subject.cache.prefix();
    prefix.part(&asked.text);
    let key = prefix.key();
    assert!(matches!(subject.kept.plans.get(&key), Study::Keep(_)));
    assert_eq!(subject.kept.plans.len(), 1);
    subject.kept.catalog_changed(howdah::cache::Source::Ddl);
    assert!(matches!(subject.kept.plans.get(&key), Study::Unknown));
    assert!(subject.kept.plans.is_empty());
    // One at a time; and what began before the change is not remembered.
    let first = subject.kept.plans.begin(key, 1).unwrap();
    assert!(subject.kept.plans.begin(key, 1).is_none());
    assert!(matches!(subject.kept.plans.get(&key), Study::Learning));
    subject.kept.catalog_changed(howdah::cache::Source::Ddl);
    let second = subject.kept.plans.begin(key, 2).unwrap();
    first.finish(Err(howdah::cache::Why::never(Miss::NotCacheable, "of before")));
    assert!(matches!(subject.kept.plans.get(&key), Study::Learning));
    drop(second); // broken off: not tried again for a while
    assert!(matches!(subject.kept.plans.get(&key), Study::Never(why) if why.is_failure()));
}
