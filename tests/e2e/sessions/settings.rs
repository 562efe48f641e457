//! Statements about settings.

use super::statements::{EFFECTS, EVERY_SETTING, Maker};

/// Settings with values as SQL has them. Every second one or so is one that the server reports.
const SETTINGS: [(&str, &[&str]); 20] = [
    ("TimeZone", &["'Asia/Tokyo'", "'Europe/Berlin'", "'UTC'", "-3"]),
    ("timezone", &["'America/New_York'", "Japan"]),
    ("DateStyle", &["'German'", "'ISO, DMY'", "sql, mdy", "iso"]),
    ("IntervalStyle", &["'iso_8601'", "'postgres_verbose'", "postgres"]),
    ("client_encoding", &["'LATIN1'", "'UTF8'", "SQL_ASCII", "'WIN1252'"]),
    ("application_name", &["'mine'", "'it''s another'", "''"]),
    ("standard_conforming_strings", &["off", "on"]),
    ("work_mem", &["'5MB'", "6000", "'128kB'"]),
    ("statement_timeout", &["'5min'", "600000", "0"]),
    ("lock_timeout", &["'3min'", "0"]),
    ("search_path", &["one", "two, public", "'one'", "'\"$user\", public'"]),
    ("extra_float_digits", &["0", "-5", "3"]),
    ("bytea_output", &["escape", "'hex'"]),
    ("client_min_messages", &["warning", "error", "notice"]),
    ("default_transaction_isolation", &["'serializable'", "'repeatable read'", "'read committed'"]),
    ("default_transaction_read_only", &["on", "off"]),
    ("plan_cache_mode", &["force_generic_plan", "auto"]),
    ("quote_all_identifiers", &["on", "off"]),
    ("enable_seqscan", &["off", "true"]),
    ("synchronous_commit", &["off", "local"]),
];

impl Maker<'_> {
    fn setting(&mut self) -> (&'static str, &'static str) {
        let (name, values) = self.dice.pick(&SETTINGS);
        (name, self.dice.pick(values))
    }

    /// A value as the text that `set_config` takes.
    fn as_text(value: &str) -> String {
        if value.starts_with('\'') { value.to_owned() } else { format!("'{value}'") }
    }

    pub(super) fn set(&mut self) {
        let (name, value) = self.setting();
        let text = match self.dice.below(20) {
            0..=4 => format!("SET {name} = {value}"),
            5 => format!("SET SESSION {name} TO {value}"),
            6 => format!("set {} to {value}", name.to_uppercase()),
            7 => format!("SET {name} TO DEFAULT"),
            8 => format!("RESET {name}"),
            9 => format!("SELECT set_config('{name}', {}, false)", Self::as_text(value)),
            10..=12 => format!("SHOW {name}"),
            13 => format!("SELECT current_setting('{name}')"),
            14 => format!("SET {name} FROM CURRENT"),
            15 => format!(
                "UPDATE pg_settings SET setting = {} WHERE name = 'work_mem'",
                self.dice.pick(&["5000", "'x'"])
            ),
            16 => {
                return self.any(&[
                    "RESET ALL",
                    "reset all",
                    "SET SESSION AUTHORIZATION DEFAULT",
                    "RESET no_such",
                ]);
            }
            17 => return self.any(&TIME_ZONES),
            18 => return self.any(&[EFFECTS, EVERY_SETTING]),
            _ => return self.any(&BAD),
        };
        self.sql(text);
    }

    pub(super) fn local(&mut self) {
        if self.dice.one_in(2) {
            self.in_block();
        }
        let (name, value) = self.setting();
        let text = match self.dice.below(8) {
            0..=3 => format!("SET LOCAL {name} = {value}"),
            4 => format!("SELECT set_config('{name}', {}, true)", Self::as_text(value)),
            5 => format!("SET LOCAL {name} TO DEFAULT"),
            6 => format!("SET LOCAL TIME ZONE {}", self.dice.pick(&["'Asia/Tokyo'", "LOCAL", "5"])),
            _ => format!("SHOW {name}"),
        };
        self.sql(text);
    }

    /// Settings that no server knows. Never SHOW: whether one is unknown or empty is the server connection's past.
    pub(super) fn custom(&mut self) {
        const READ: &str = "SELECT coalesce(nullif(current_setting('my__id__.a', true), ''), 'none'), \
            coalesce(nullif(current_setting('my__id__.b', true), ''), 'none')";
        let name = self.dice.pick(&["my__id__.a", "my__id__.b"]);
        let number = self.dice.below(9);
        let text = match self.dice.below(9) {
            0 | 1 => format!("SET {name} = 'value {number}'"),
            2 => format!("SET LOCAL {name} = 'local {number}'"),
            3 => format!("SELECT set_config('{name}', 'called {number}', {})", number.is_multiple_of(2)),
            4 => format!("RESET {name}"),
            5 => format!("SET {name} TO DEFAULT"),
            _ => READ.to_owned(),
        };
        self.sql(text);
    }

    pub(super) fn characteristics(&mut self) {
        self.any(&[
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, NOT DEFERRABLE",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET TRANSACTION READ ONLY",
            "SHOW transaction_isolation",
            "SHOW transaction_read_only",
            "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')",
            "SHOW default_transaction_isolation",
            "CREATE TABLE t___id___2 (id int PRIMARY KEY, a text)",
        ]);
    }
}

const TIME_ZONES: [&str; 8] = [
    "SET TIME ZONE 'Asia/Tokyo'",
    "SET TIME ZONE LOCAL",
    "SET TIME ZONE DEFAULT",
    "SET TIME ZONE INTERVAL '+02:30' HOUR TO MINUTE",
    "SET TIME ZONE -7",
    "SET NAMES 'LATIN1'",
    "SET NAMES",
    "SHOW TIME ZONE",
];

const BAD: [&str; 8] = [
    "SET TimeZone = 'Nowhere/Land'",
    "SET work_mem = 'lots'",
    "SET no_such_setting = 1",
    "SHOW no_such_setting",
    "SET log_statement = 'all'",
    "SET shared_buffers = '1GB'",
    "SET client_encoding = 'nothing'",
    "SELECT set_config('work_mem', '-5', false)",
];
