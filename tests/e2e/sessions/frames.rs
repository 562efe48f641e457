//! Statements and portals of the extended protocol.

use super::script::Frame;
use super::statements::Maker;

/// Statements with values that fit, and some that do not.
const NAMED: [(&str, &[&[&str]]); 12] = [
    ("SELECT $1::int + 1 AS sum", &[&["41"], &["x"], &[]]),
    ("SELECT $1::text, $2::int", &[&["text", "2"], &["text"]]),
    ("SELECT what FROM place ORDER BY what", &[&[]]),
    ("SHOW TimeZone", &[&[]]),
    ("SELECT current_setting('work_mem'), '2024-07-01 12:00+00'::timestamptz", &[&[]]),
    // OFFSET, so that it is divided when it runs: planning would do it too, but for a plan of any value.
    ("SELECT 10 / n FROM (SELECT $1::int AS n OFFSET 0) s", &[&["5"], &["0"]]),
    ("INSERT INTO t___id___1 (id, a) VALUES ($1::int, $2)", &[&["1", "named"], &["2", "named"]]),
    ("SELECT id, a FROM t___id___1 WHERE id >= $1::int ORDER BY id", &[&["0"], &["2"]]),
    ("SELECT n FROM generate_series(1, $1::int) n", &[&["3"], &["0"]]),
    ("SET TimeZone = 'Asia/Tokyo'", &[&[]]),
    ("SELECT set_config('IntervalStyle', $1, false)", &[&["iso_8601"], &["postgres"]]),
    ("SELECT what FROM tt1", &[&[]]),
];

impl Maker<'_> {
    /// Bind and Execute.
    pub(super) fn bind(&mut self, portal: &str, statement: &str, values: &[&str]) {
        let values = values.iter().map(|value| Some((*value).to_owned())).collect();
        let binary = self.dice.one_in(5);
        let mut frames =
            vec![Frame::Bind { portal: portal.to_owned(), statement: statement.to_owned(), values, binary }];
        if self.dice.one_in(3) {
            frames.push(Frame::DescribePortal(portal.to_owned()));
        }
        let limit = if self.dice.one_in(4) { 1 + self.dice.below(3) as u32 } else { 0 };
        frames.push(Frame::Execute(portal.to_owned(), limit));
        if limit > 0 && self.dice.one_in(2) {
            frames.push(Frame::Execute(portal.to_owned(), 0));
        }
        self.frames(frames);
    }

    pub(super) fn named(&mut self) {
        let name = self.dice.pick(&["p1", "p2", "p3"]);
        let (sql, values) = self.dice.pick(&NAMED);
        match self.dice.below(10) {
            0..=3 => {
                let mut frames = Vec::new();
                if self.dice.one_in(2) {
                    frames.push(Frame::CloseStatement(name.to_owned()));
                }
                frames.push(Frame::Parse { name: name.to_owned(), sql: sql.to_owned() });
                if self.dice.one_in(2) {
                    frames.push(Frame::DescribeStatement(name.to_owned()));
                }
                self.frames(frames);
                let values = self.dice.pick(values);
                self.bind("", name, values);
            }
            4..=6 => {
                let values = self.dice.pick(values);
                self.bind("", name, values);
            }
            7 => self.frames(vec![Frame::DescribeStatement(name.to_owned())]),
            8 => self.frames(vec![Frame::CloseStatement(name.to_owned())]),
            _ => self.any(&["DEALLOCATE ALL", "DISCARD PLANS", "SELECT 1"]),
        }
    }

    /// Portals that are read in parts, over several Syncs.
    pub(super) fn portal(&mut self) {
        let portal = self.dice.pick(&["r1", "r2"]);
        match self.dice.below(8) {
            0..=2 => {
                self.in_block();
                let sql = self.dice.pick(&[
                    "SELECT n FROM generate_series(1, 7) n",
                    "SELECT what FROM place ORDER BY what",
                    "SELECT n, 10 / (4 - n) FROM generate_series(1, 5) n",
                    "INSERT INTO no_such_table VALUES (1)",
                ]);
                let none = String::new;
                self.frames(vec![
                    Frame::Parse { name: none(), sql: sql.to_owned() },
                    Frame::Bind {
                        portal: portal.to_owned(),
                        statement: none(),
                        values: Vec::new(),
                        binary: false,
                    },
                    Frame::Execute(portal.to_owned(), 2),
                ]);
            }
            3..=5 => {
                let limit = self.dice.below(4) as u32;
                self.frames(vec![Frame::Execute(portal.to_owned(), limit)]);
            }
            6 => self.frames(vec![Frame::DescribePortal(portal.to_owned())]),
            _ => self.frames(vec![Frame::ClosePortal(portal.to_owned())]),
        }
    }

    /// Statements of SQL and of the protocol under one name.
    pub(super) fn crossed(&mut self) {
        let name = self.dice.pick(&["x1", "x2"]);
        match self.dice.below(7) {
            0 => self.sql(format!("PREPARE {name} AS SELECT 'by SQL' AS what")),
            1 => self.frames(vec![Frame::Parse {
                name: name.to_owned(),
                sql: "SELECT 'by Parse' AS what".to_owned(),
            }]),
            2 => self.sql(format!("EXECUTE {name}")),
            3 => self.bind("", name, &[]),
            4 => self.sql(format!("DEALLOCATE {name}")),
            5 => self.frames(vec![Frame::CloseStatement(name.to_owned())]),
            _ => self.frames(vec![Frame::DescribeStatement(name.to_owned())]),
        }
    }
}
