//! The statements of a session, by feature. Settings are in `settings.rs`, frames of the extended protocol in
//! `frames.rs`.

use super::features::Feature;
use super::generate::Item;
use super::script::Frame;
use crate::support::Dice;

/// Values of the settings that the generator changes.
pub(super) const EVERY_SETTING: &str = "SELECT name, setting FROM pg_settings WHERE name IN ('TimeZone', 'DateStyle', \
    'IntervalStyle', 'client_encoding', 'application_name', 'standard_conforming_strings', 'work_mem', \
    'statement_timeout', 'lock_timeout', 'search_path', 'extra_float_digits', 'bytea_output', 'client_min_messages', \
    'default_transaction_isolation', 'default_transaction_read_only', 'default_transaction_deferrable', \
    'enable_seqscan', 'plan_cache_mode', 'synchronous_commit', 'quote_all_identifiers', 'array_nulls', 'xmloption', \
    'check_function_bodies', 'row_security', 'escape_string_warning', 'role') ORDER BY name";

/// What some of them do, and who and where the session is.
pub(super) const EFFECTS: &str = "SELECT '2024-07-01 12:00+00'::timestamptz, '1 day 2 hours'::interval, \
    decode('6162ff', 'hex'), 0.1::float8 + 0.2, chr(233), current_user, session_user, current_schema, \
    coalesce(nullif(current_setting('my__id__.a', true), ''), 'none')";

/// Makes statements. It remembers little: what fits into a session's state is as good as what fails in it.
pub(super) struct Maker<'a> {
    pub(super) dice: &'a mut Dice,
    pub(super) items: Vec<Item>,
    features: Vec<Feature>,
    may_block: bool,
    in_block: bool,
}

impl<'a> Maker<'a> {
    pub(super) fn new(dice: &'a mut Dice, features: Vec<Feature>, may_block: bool) -> Self {
        Self { dice, items: Vec::new(), features, may_block, in_block: false }
    }

    pub(super) fn sql(&mut self, sql: impl Into<String>) {
        self.items.push(Item::Sql(sql.into()));
    }

    pub(super) fn frames(&mut self, frames: Vec<Frame>) {
        self.items.push(Item::Extended(frames));
    }

    /// One of these.
    pub(super) fn any(&mut self, texts: &[&str]) {
        let text = self.dice.pick(texts);
        self.sql(text);
    }

    /// A statement or a few that belong together.
    pub(super) fn more(&mut self) {
        if self.may_block {
            self.block();
        }
        if self.features.is_empty() || self.dice.one_in(12) {
            self.any(&["SELECT 1", "SELECT n FROM generate_series(1, 3) n", EFFECTS, ""]);
            return;
        }
        let weighted: Vec<Feature> =
            self.features.iter().flat_map(|feature| vec![*feature; feature.weight()]).collect();
        match self.dice.pick(&weighted) {
            Feature::Set => self.set(),
            Feature::Local => self.local(),
            Feature::Custom => self.custom(),
            Feature::Characteristics => self.characteristics(),
            Feature::Role => self.role(),
            Feature::Prepare => self.prepare(),
            Feature::Named => self.named(),
            Feature::Portal => self.portal(),
            Feature::Temp => self.temp(),
            Feature::Savepoint => self.savepoint(),
            Feature::Error => self.error(),
            Feature::Cursor => self.cursor(),
            Feature::Lock => self.lock(),
            Feature::Listen => self.listen(),
            Feature::Ddl => self.ddl(),
            Feature::Place => self.place(),
            Feature::Discard => self.any(&DISCARDS),
            Feature::Do => self.any(&DOS),
            Feature::Copy => self.copy(),
            Feature::Large => self.large(),
            Feature::Sequence => self.any(&SEQUENCES),
            Feature::Crossed => self.crossed(),
            Feature::Startup
            | Feature::Block
            | Feature::Extended
            | Feature::Multi
            | Feature::Batch
            | Feature::Pipeline => {}
        }
    }

    /// Begins and ends transactions.
    fn block(&mut self) {
        if self.in_block && self.dice.one_in(5) {
            let end = self.dice.pick(&ENDS);
            self.in_block = end.ends_with("CHAIN") && !end.ends_with("NO CHAIN");
            self.sql(end);
        } else if self.dice.one_in(if self.in_block { 40 } else { 5 }) {
            self.in_block = true;
            self.any(&BEGINS);
        }
    }

    /// Mostly within a transaction, which some statements are for.
    pub(super) fn in_block(&mut self) {
        if self.may_block && !self.in_block && !self.dice.one_in(4) {
            self.in_block = true;
            self.any(&BEGINS);
        }
    }

    fn role(&mut self) {
        self.any(&[
            "SET ROLE mate",
            "SET ROLE mate",
            "SET LOCAL ROLE mate",
            "SET ROLE NONE",
            "RESET ROLE",
            "SET ROLE no_such_role",
            "SET SESSION AUTHORIZATION DEFAULT",
            "SET SESSION AUTHORIZATION app_trust",
            "SET SESSION AUTHORIZATION postgres",
            "RESET SESSION AUTHORIZATION",
            "SELECT set_config('role', 'mate', false)",
            "SELECT current_user, session_user",
            "SELECT current_user, session_user",
            "SHOW role",
        ]);
    }

    fn prepare(&mut self) {
        const TEXTS: [&str; 8] = [
            "AS SELECT 1 AS one",
            "(int) AS SELECT $1 + 1",
            "AS SELECT what FROM place ORDER BY what",
            "(int, text) AS SELECT $2 || $1, current_setting('TimeZone')",
            "AS SELECT '2024-07-01 12:00+00'::timestamptz",
            "(int) AS SELECT id, a FROM t___id___1 WHERE id < $1 ORDER BY id",
            "(int) AS INSERT INTO t___id___1 (id, a) VALUES ($1, 'prepared')",
            "AS SELECT no_such_column",
        ];
        const ARGUMENTS: [&str; 5] = ["", "(1)", "(5)", "(2, 'x')", "(1/0)"];
        let name = self.dice.pick(&["q1", "q2", "q3"]);
        match self.dice.below(12) {
            0..=3 => {
                let text = self.dice.pick(&TEXTS);
                self.sql(format!("PREPARE {name} {text}"));
                self.execute(name, &ARGUMENTS);
            }
            4..=8 => self.execute(name, &ARGUMENTS),
            9 => self.sql(format!("DEALLOCATE {name}")),
            10 => self.any(&["DEALLOCATE ALL", "DEALLOCATE PREPARE q1", "deallocate prepare all"]),
            _ => self.sql(format!("EXPLAIN (COSTS OFF) EXECUTE {name}")),
        }
    }

    fn execute(&mut self, name: &str, arguments: &[&str]) {
        let arguments = self.dice.pick(arguments);
        self.sql(format!("EXECUTE {name}{arguments}"));
    }

    fn temp(&mut self) {
        let name = self.dice.pick(&["tt1", "tt2", "place"]);
        match self.dice.below(14) {
            0..=2 => {
                let end = self.dice.pick(&["", "", "ON COMMIT DROP", "ON COMMIT DELETE ROWS"]);
                self.sql(format!("CREATE TEMP TABLE {name} (what text, n int DEFAULT 1) {end}"));
            }
            3 => self
                .sql(format!("CREATE TEMPORARY TABLE IF NOT EXISTS {name} AS SELECT 'temp' AS what, 3 AS n")),
            4 => self.sql(format!("SELECT 'into' AS what, 4 AS n INTO TEMP {name}")),
            5 => self.sql(format!("CREATE LOCAL TEMP VIEW {name} AS SELECT 'view'::text AS what")),
            6 | 7 => self.sql(format!("INSERT INTO {name} VALUES ('row')")),
            8..=10 => self.sql(format!("SELECT what FROM {name} ORDER BY what")),
            11 => self.sql(format!("DROP TABLE IF EXISTS {name}")),
            12 => self.sql(format!("DROP TABLE {name}")),
            _ => self.any(&["CREATE TEMP SEQUENCE ts", "DROP SEQUENCE ts", "SELECT nextval('ts')"]),
        }
    }

    fn savepoint(&mut self) {
        self.in_block();
        let name = self.dice.pick(&["a", "b", "c"]);
        match self.dice.below(6) {
            0 | 1 => self.sql(format!("SAVEPOINT {name}")),
            2 | 3 => self.sql(format!("ROLLBACK TO {name}")),
            4 => self.sql(format!("ROLLBACK TRANSACTION TO SAVEPOINT {name}")),
            _ => self.sql(format!("RELEASE SAVEPOINT {name}")),
        }
    }

    fn error(&mut self) {
        match self.dice.below(12) {
            0 => self
                .frames(vec![Frame::Parse { name: String::new(), sql: "SELECT nonsense FROM".to_owned() }]),
            1 => self.bind("", "no_such_statement", &[]),
            2 => self.frames(vec![Frame::Execute("no_such_portal".to_owned(), 0)]),
            3 => {
                self.frames(vec![Frame::Parse { name: String::new(), sql: "SELECT $1::int".to_owned() }]);
                self.bind("", "", &["not a number"]);
            }
            _ => self.any(&ERRORS),
        }
    }

    fn cursor(&mut self) {
        const FETCHES: [&str; 7] = [
            "FETCH 2",
            "FETCH NEXT",
            "FETCH ALL",
            "MOVE 1",
            "FETCH BACKWARD 1",
            "FETCH FIRST",
            "FETCH ABSOLUTE 2",
        ];
        let name = self.dice.pick(&["c1", "c2"]);
        match self.dice.below(10) {
            0..=2 => {
                self.in_block();
                let kind =
                    self.dice.pick(&["CURSOR", "SCROLL CURSOR", "NO SCROLL CURSOR", "CURSOR WITHOUT HOLD"]);
                self.sql(format!(
                    "DECLARE {name} {kind} FOR SELECT n, 'x' || n AS x FROM generate_series(1, 6) n"
                ));
            }
            3 => self.sql(format!(
                "DECLARE {name} SCROLL CURSOR WITH HOLD FOR SELECT what FROM place ORDER BY what"
            )),
            4..=7 => {
                let fetch = self.dice.pick(&FETCHES);
                self.sql(format!("{fetch} FROM {name}"));
            }
            8 => self.sql(format!("CLOSE {name}")),
            _ => self.any(&[
                "CLOSE ALL",
                "SELECT name, is_holdable, is_scrollable FROM pg_cursors WHERE name <> '' ORDER BY name",
            ]),
        }
    }

    fn lock(&mut self) {
        let key = self.dice.pick(&["__id__", "__id__, 1", "hashtext('x__id__')"]);
        match self.dice.below(10) {
            0 | 1 => self.sql(format!("SELECT pg_advisory_lock({key})")),
            2 => self.sql(format!("SELECT pg_try_advisory_lock({key})")),
            3 => self.sql(format!("SELECT pg_advisory_lock_shared({key})")),
            4 => self.sql(format!("SELECT pg_advisory_xact_lock({key})")),
            5 | 6 => self.sql(format!("SELECT pg_advisory_unlock({key})")),
            7 => self.any(&["SELECT pg_advisory_unlock_all()", "SELECT pg_advisory_unlock_shared(__id__)"]),
            _ => self.sql(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted",
            ),
        }
    }

    fn listen(&mut self) {
        let channel = self.dice.pick(&["n___id___1", "n___id___2"]);
        match self.dice.below(10) {
            0..=3 => self.sql(format!("LISTEN {channel}")),
            4 => self.sql(format!("NOTIFY {channel}")),
            5 => {
                let number = self.dice.below(3);
                self.sql(format!("NOTIFY {channel}, 'payload {number}'"));
            }
            6 | 7 => {
                let number = self.dice.below(100);
                self.sql(format!("SELECT pg_notify('{channel}', 'called {number}')"));
            }
            8 => self.sql(format!("UNLISTEN {channel}")),
            _ => self.any(&[
                "UNLISTEN *",
                "NOTIFY \"\"",
                "SELECT pg_notify('', 'x')",
                "LISTEN \"N___id__ Odd\"",
            ]),
        }
    }

    fn ddl(&mut self) {
        let table = self.dice.pick(&["t___id___1", "t___id___1", "t___id___2"]);
        let number = self.dice.below(5);
        let text = match self.dice.below(16) {
            0..=2 => format!("CREATE TABLE {table} (id int PRIMARY KEY, a text, b int DEFAULT 7)"),
            3 => format!("CREATE TABLE IF NOT EXISTS {table} (id int PRIMARY KEY, a text)"),
            4..=6 => format!("INSERT INTO {table} (id, a) VALUES ({number}, 'row {number}')"),
            7 | 8 => format!("SELECT id, a FROM {table} ORDER BY id"),
            9 => format!("ALTER TABLE {table} ADD COLUMN c{number} int DEFAULT {number}"),
            10 => format!("ALTER TABLE {table} DROP COLUMN IF EXISTS c{number}"),
            11 => format!("UPDATE {table} SET a = 'changed' WHERE id >= {number} RETURNING id, a"),
            12 => format!("CREATE INDEX ON {table} (a)"),
            13 => format!("DROP TABLE IF EXISTS {table}"),
            14 => format!("TRUNCATE {table}"),
            _ => format!("DELETE FROM {table} WHERE id = {number}"),
        };
        self.sql(text);
    }

    /// One name that is another table by the `search_path`.
    fn place(&mut self) {
        self.any(&[
            "SELECT what FROM place ORDER BY what",
            "SELECT what FROM place ORDER BY what",
            "SET search_path = one",
            "SET search_path = two, public",
            "SET search_path TO DEFAULT",
            "SET LOCAL search_path = one",
            "SET SCHEMA 'two'",
            "SELECT current_schemas(false)",
            "SELECT set_config('search_path', 'one', true)",
            "SELECT place()",
        ]);
    }

    fn copy(&mut self) {
        let table = self.dice.pick(&["t___id___1", "copied"]);
        match self.dice.below(6) {
            0 => self.sql("COPY (SELECT n, 'x' FROM generate_series(1, 4) n) TO STDOUT"),
            1 => self.sql("COPY (SELECT n FROM generate_series(-1, 1) n WHERE 1 / n > 0) TO STDOUT"),
            2 => self
                .sql("COPY (SELECT '2024-07-01 12:00+00'::timestamptz) TO STDOUT WITH (FORMAT csv, HEADER)"),
            3 => self.sql(format!(
                "CREATE TABLE IF NOT EXISTS {}(id int, a text)",
                table.replace("copied", "t___id___2")
            )),
            _ => {
                let line = |n: usize| Frame::CopyData(format!("{n}\tcopied\n"));
                let mut frames = vec![line(100 + self.dice.below(9)), line(200)];
                if self.dice.one_in(4) {
                    frames.insert(1, Frame::CopyData("no number\n".to_owned()));
                }
                frames.push(if self.dice.one_in(4) { Frame::CopyFail } else { Frame::CopyDone });
                let table = table.replace("copied", "t___id___2");
                self.items.push(Item::CopyIn(format!("COPY {table} (id, a) FROM STDIN"), frames));
            }
        }
    }

    fn large(&mut self) {
        match self.dice.below(8) {
            0 => {
                self.items.push(Item::Call(Frame::Call(952, vec!["__id__".to_owned(), "393216".to_owned()])))
            }
            1 => self.items.push(Item::Call(Frame::Call(177, vec!["20".to_owned(), "22".to_owned()]))),
            2 => {
                self.in_block();
                self.sql("SELECT lo_open(__id__, 393216)");
            }
            _ => self.any(&[
                "SELECT lo_create(__id__)",
                "SELECT lo_create(__id__)",
                "SELECT lo_put(__id__, 0, 'some bytes')",
                "SELECT lo_get(__id__)",
                "SELECT lowrite(0, 'more')",
                "SELECT loread(0, 5)",
                "SELECT lo_lseek(0, 0, 0)",
                "SELECT lo_close(0)",
                "SELECT lo_unlink(__id__)",
            ]),
        }
    }
}

const BEGINS: [&str; 8] = [
    "BEGIN",
    "BEGIN",
    "BEGIN",
    "START TRANSACTION",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "BEGIN READ ONLY",
    "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
    "begin work",
];

const ENDS: [&str; 9] = [
    "COMMIT",
    "COMMIT",
    "COMMIT",
    "ROLLBACK",
    "ROLLBACK",
    "END",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "COMMIT AND NO CHAIN",
];

const DISCARDS: [&str; 8] = [
    "DISCARD ALL",
    "DISCARD ALL",
    "DISCARD PLANS",
    "DISCARD SEQUENCES",
    "DISCARD TEMP",
    "DISCARD TEMPORARY",
    "discard all",
    "DISCARD nothing",
];

const DOS: [&str; 10] = [
    "DO $$ BEGIN RAISE NOTICE 'from %', current_setting('TimeZone'); END $$",
    "DO $$ BEGIN SET TimeZone = 'Asia/Kolkata'; END $$",
    "DO $$ BEGIN EXECUTE 'SET work_mem = ''6MB'''; END $$",
    "DO $$ BEGIN PERFORM set_config('DateStyle', 'SQL, DMY', false); END $$",
    "DO $$ BEGIN PERFORM set_config('DateStyle', 'German', true); END $$",
    "DO $$ BEGIN SET LOCAL IntervalStyle = 'sql_standard'; RAISE EXCEPTION 'undone'; EXCEPTION WHEN OTHERS THEN \
       RAISE WARNING 'caught %', SQLERRM; END $$",
    "DO $$ BEGIN SET work_mem = '9MB'; RAISE EXCEPTION 'thrown' USING ERRCODE = 'HW001'; END $$",
    "DO $$ BEGIN SET IntervalStyle = 'iso_8601'; COMMIT; SET TimeZone = 'Asia/Tokyo'; ROLLBACK; END $$",
    "DO $$ BEGIN CREATE TEMP TABLE IF NOT EXISTS tt1 (what text); INSERT INTO tt1 VALUES ('by DO'); END $$",
    "DO $$ BEGIN PERFORM pg_advisory_lock(__id__); PERFORM pg_advisory_unlock(__id__); END $$",
];

const SEQUENCES: [&str; 7] = [
    "CREATE SEQUENCE IF NOT EXISTS s___id__",
    "CREATE SEQUENCE s___id__ START 10",
    "SELECT nextval('s___id__')",
    "SELECT nextval('s___id__')",
    "SELECT currval('s___id__')",
    "SELECT lastval()",
    "SELECT setval('s___id__', 40)",
];

const ERRORS: [&str; 12] = [
    "SELECT 1/0",
    "SELECT FROM WHERE",
    "SELECT * FROM no_such_table",
    "SELECT no_such_function(1)",
    "SELECT 'x'::int",
    "SELECT n, 10 / (3 - n) FROM generate_series(1, 5) n",
    "INSERT INTO place VALUES ('not allowed')",
    "DO $$ BEGIN RAISE EXCEPTION 'what' USING ERRCODE = 'HW001', DETAIL = 'detail', HINT = 'hint'; END $$",
    "DO $$ BEGIN RAISE WARNING 'beware' USING HINT = 'hint'; END $$",
    "SELECT 1; SELECT 2",
    "COMMIT AND CHAIN",
    "VACUUM (ANALYZE) no_such_table",
];
