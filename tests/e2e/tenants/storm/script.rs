//! What a client sends, and what must come back, message by message.

use super::world::{ROWS, Tenant};
use crate::support::wire::{
    bind, close_portal, close_statement, copy_data, copy_done, copy_fail, describe_portal, execute, parse,
    query, sync,
};

/// One statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sql {
    /// All rows of the tenant.
    Read,
    /// A row more.
    Insert,
    /// The rows by COPY.
    CopyOut,
    Begin(&'static str),
    Commit,
    Rollback,
    CommitChain,
    RollbackChain,
    Savepoint,
    RollbackTo,
    /// It fails when it runs.
    Breaks,
    /// It fails when it is parsed.
    Nonsense,
    /// Something that says no more than that it is done.
    Quiet(&'static str),
    /// The slow path.
    Call,
    Do,
    /// A statement that takes too long for tenants with a `statement_timeout`.
    Sleep,
}

/// One write, and what must come back before the next.
#[derive(Default)]
pub(super) struct Step {
    pub(super) frames: Vec<Vec<u8>>,
    /// Types of messages; without notices and the like.
    pub(super) want: String,
    /// For each row that must come: what it says in its last column, and whose it is.
    pub(super) rows: Vec<(u64, usize)>,
    /// Errors that must come.
    pub(super) errors: Vec<&'static str>,
    /// Statements that are prepared when all has come.
    pub(super) prepares: Vec<&'static str>,
    /// Transactions that are over then.
    pub(super) transactions: u64,
}

pub(super) struct Script<'a> {
    tenants: &'a [Tenant],
    pub(super) steps: Vec<Step>,
    now: Step,
    nonce: &'a mut u64,
    /// The tenant of what comes next.
    pub(super) tenant: usize,
    /// Every text names it.
    pub(super) comments: bool,
    /// All in one write, as far as that can be.
    pub(super) joined: bool,
    /// The tenant holds for this transaction only.
    pub(super) local: bool,
    /// The client leaves when all is done.
    pub(super) leaves: bool,
    /// Batches begin with a Close.
    pub(super) closes: bool,
    /// Statements that the client has prepared.
    prepared: Vec<&'static str>,
    /// A block is open; true: it has failed.
    block: Option<bool>,
}

impl<'a> Script<'a> {
    pub(super) fn new(tenants: &'a [Tenant], nonce: &'a mut u64, prepared: Vec<&'static str>) -> Self {
        Self {
            tenants,
            steps: Vec::new(),
            now: Step::default(),
            nonce,
            tenant: 0,
            comments: false,
            joined: false,
            local: false,
            leaves: false,
            closes: false,
            prepared,
            block: None,
        }
    }

    pub(super) fn tenant(&self) -> &Tenant {
        &self.tenants[self.tenant]
    }

    /// What was said so far is one write.
    pub(super) fn end(&mut self) {
        if !self.joined {
            self.cut();
        }
    }

    pub(super) fn cut(&mut self) {
        if !self.now.want.is_empty() {
            self.steps.push(std::mem::take(&mut self.now));
        }
    }

    fn frame(&mut self, frame: Vec<u8>) {
        self.now.frames.push(frame);
    }

    fn expect_rows(&mut self, count: usize) -> u64 {
        *self.nonce += 1;
        let row = (*self.nonce, self.tenant);
        self.now.rows.extend(std::iter::repeat_n(row, count));
        *self.nonce
    }

    fn marked(&self, text: &str) -> String {
        if self.comments {
            format!("/* howdah.tenant='{}' */ {text}", self.tenant().name)
        } else {
            text.into()
        }
    }

    fn read_text(nonce: &str) -> String {
        format!(
            "SELECT tenant_id, current_setting('app.tenant_id'), place, current_user::text, \
             current_setting('statement_timeout'), {nonce} FROM seen ORDER BY item"
        )
    }

    fn insert_text(believed: &str, nonce: &str) -> String {
        format!(
            "INSERT INTO written (believed, nonce) VALUES ({believed}, {nonce}) RETURNING tenant_id, \
             current_setting('app.tenant_id'), place, who, current_setting('statement_timeout'), nonce"
        )
    }

    /// A statement's text and what comes back of it: types in the simple protocol.
    fn statement(&mut self, sql: Sql) -> (String, String) {
        if self.block == Some(true) && !matches!(sql, Sql::Commit | Sql::Rollback | Sql::RollbackTo) {
            self.now.errors.push("25P02");
            return ("SELECT 1".to_owned(), "E".to_owned());
        }
        let name = self.tenant().name.clone();
        let (text, tags) = match sql {
            Sql::Read => {
                let nonce = self.expect_rows(ROWS);
                (Self::read_text(&format!("'{nonce}'")), format!("T{}C", "D".repeat(ROWS)))
            }
            Sql::CopyOut => {
                let nonce = self.expect_rows(ROWS);
                let text = format!("COPY ({}) TO STDOUT", Self::read_text(&format!("'{nonce}'")));
                (text, format!("H{}cC", "d".repeat(ROWS)))
            }
            Sql::Insert => {
                let nonce = self.expect_rows(1);
                (Self::insert_text(&format!("'{name}'"), &format!("'{nonce}'")), "TDC".to_owned())
            }
            Sql::Call => (format!("CALL put_twice('{name}', 'call')"), "C".to_owned()),
            Sql::Do => {
                let put = format!("INSERT INTO public.written (believed, nonce) VALUES ('{name}', 'do');");
                let commit = if self.block.is_some() { "" } else { "COMMIT;" };
                (format!("DO $$ BEGIN {put} {commit} {put} END $$"), "C".to_owned())
            }
            Sql::Breaks => {
                self.now.errors.push("23502");
                ("INSERT INTO written (believed, nonce) VALUES (NULL, '')".to_owned(), "E".to_owned())
            }
            Sql::Nonsense => {
                self.now.errors.push("42703");
                ("SELECT no_such_column FROM seen".to_owned(), "E".to_owned())
            }
            Sql::Sleep => {
                self.now.errors.push("57014 statement timeout");
                ("SELECT pg_sleep(20)".to_owned(), "E".to_owned())
            }
            _ => (control(sql).to_owned(), "C".to_owned()),
        };
        self.step_block(sql, tags == "E");
        (text, tags)
    }

    fn step_block(&mut self, sql: Sql, fails: bool) {
        match sql {
            _ if fails => self.block = self.block.map(|_| true),
            Sql::Begin(_) => self.block = Some(false),
            Sql::Commit | Sql::Rollback => {
                self.block = None;
                self.now.transactions += 1;
            }
            Sql::CommitChain | Sql::RollbackChain => {
                self.block = Some(false);
                self.now.transactions += 1;
            }
            Sql::RollbackTo => self.block = Some(false),
            _ => {}
        }
    }

    fn count_implicit(&mut self, last: Option<&Sql>) {
        if self.block.is_none() && !matches!(last, Some(Sql::Commit | Sql::Rollback)) {
            self.now.transactions += 1;
        }
    }

    /// One simple query.
    pub(super) fn simple(&mut self, statements: &[Sql]) {
        let mut texts = Vec::new();
        for sql in statements {
            let (text, tags) = self.statement(*sql);
            texts.push(text);
            self.now.want += if tags == "E" && *sql == Sql::Sleep { "TE" } else { &tags };
            if tags == "E" {
                break;
            }
        }
        self.now.want.push('Z');
        self.frame(query(&self.marked(&texts.join("; "))));
        self.count_implicit(statements.last());
        self.end();
    }

    /// One batch of the extended protocol.
    pub(super) fn batch(&mut self, statements: &[Sql], describe: bool) {
        let mut failed = false;
        if self.closes {
            // As drivers do with what they need no more.
            self.frame(close_statement("gone"));
            self.now.want.push('3');
        }
        for sql in statements {
            let dead = self.block == Some(true);
            if failed {
                break; // the server would skip it
            }
            let (text, tags) = self.statement(*sql);
            failed = tags == "E";
            let at_once = *sql == Sql::Nonsense || failed && dead;
            let described = match (describe, tags.starts_with('T') || *sql == Sql::Sleep) {
                (false, _) => "",
                (true, true) => "T",
                (true, false) => "n",
            };
            if !at_once {
                self.now.want += "12";
                self.now.want += described;
            }
            self.now.want += tags.strip_prefix('T').unwrap_or(&tags);
            self.frame(parse("", &self.marked(&text)));
            self.frame(bind("", "", &[]));
            if describe {
                self.frame(describe_portal(""));
            }
            self.frame(execute("", 0));
        }
        if failed {
            // It is skipped.
            self.frame(parse("", "SELECT 'skipped'"));
            self.frame(bind("", "", &[]));
            self.frame(execute("", 0));
        }
        self.now.want.push('Z');
        self.frame(sync());
        self.count_implicit(statements.last());
        self.end();
    }

    /// A statement that all tenants of this client share under one name.
    pub(super) fn named(&mut self, insert: bool) {
        let name = if insert { "put" } else { "read" };
        if !self.prepared.contains(&name) {
            let text = if insert { Self::insert_text("$1", "$2") } else { Self::read_text("$1::text") };
            self.frame(close_statement(name));
            self.frame(parse(name, &text));
            self.now.want += "31";
            self.now.prepares.push(name);
            self.prepared.push(name);
        }
        let nonce = self.expect_rows(if insert { 1 } else { ROWS }).to_string();
        let believed = self.tenant().name.clone();
        let parameters: &[Option<&str>] =
            if insert { &[Some(&believed), Some(&nonce)] } else { &[Some(&nonce)] };
        self.frame(bind("", name, parameters));
        self.frame(execute("", 0));
        self.frame(sync());
        self.now.want += &format!("2{}CZ", "D".repeat(if insert { 1 } else { ROWS }));
        self.count_implicit(None);
        self.end();
    }

    /// A portal that is read in parts.
    pub(super) fn in_parts(&mut self) {
        let nonce = self.expect_rows(ROWS);
        self.frame(parse("", &self.marked(&Self::read_text(&format!("'{nonce}'")))));
        self.frame(bind("parts", "", &[]));
        self.frame(execute("parts", 1));
        self.frame(execute("parts", 0));
        self.frame(close_portal("parts"));
        self.frame(sync());
        self.now.want += &format!("12Ds{}C3Z", "D".repeat(ROWS - 1));
        self.count_implicit(None);
        self.end();
    }

    /// COPY … FROM STDIN; `patient`: the data waits until the server asks for it.
    pub(super) fn copy_in(&mut self, simple: bool, patient: bool, fails: bool) {
        let text = self.marked("COPY written (believed, nonce) FROM STDIN");
        if simple {
            self.frame(query(&text));
        } else {
            self.frame(parse("", &text));
            self.frame(bind("", "", &[]));
            self.frame(execute("", 0));
            self.now.want += "12";
        }
        self.now.want.push('G');
        if patient {
            self.cut();
        }
        let line = format!("{}\tcopy\n", self.tenant().name).repeat(2);
        let (a, b) = line.split_at(line.len() / 3);
        self.frame(copy_data(a.as_bytes()));
        self.frame(copy_data(b.as_bytes()));
        if fails {
            self.frame(copy_fail("no"));
            self.now.errors.push("57014 from stdin failed");
            self.step_block(Sql::Breaks, true);
        } else {
            self.frame(copy_done());
        }
        if !simple {
            self.frame(sync());
        }
        self.now.want += if fails { "EZ" } else { "CZ" };
        self.count_implicit(None);
        self.end();
    }

    /// Leaves something in the session that whoever meets it would take for rows of his own.
    pub(super) fn trace(&mut self) {
        let text = "CREATE TEMP TABLE seen AS SELECT 'left behind'::text AS tenant_id, 1 AS item, 'nowhere'::text AS place";
        self.frame(query(&self.marked(text)));
        self.now.want += "CZ";
        self.count_implicit(None);
        self.leaves = true;
        self.cut();
    }

    /// `SET howdah.tenant` and its like, answered by Howdah.
    pub(super) fn own(&mut self, text: &str, simple: bool) {
        if simple {
            self.frame(query(text));
            self.now.want += "CZ";
        } else {
            for frame in [parse("", text), bind("", "", &[]), execute("", 0), sync()] {
                self.frame(frame);
            }
            self.now.want += "12CZ";
        }
        self.end();
    }

    /// A text that is refused with this code before it runs.
    pub(super) fn refused(&mut self, text: &str, code: &'static str, simple: bool) {
        if !simple && text.starts_with("SET howdah") {
            self.now.want += "12"; // it is judged when it runs
        }
        if simple {
            self.frame(query(text));
        } else {
            for frame in [parse("", text), bind("", "", &[]), execute("", 0), sync()] {
                self.frame(frame);
            }
        }
        self.now.errors.push(code);
        self.now.want += "EZ";
        self.end();
    }
}

fn control(sql: Sql) -> &'static str {
    match sql {
        Sql::Begin(text) | Sql::Quiet(text) => text,
        Sql::Commit => "COMMIT",
        Sql::Rollback => "ROLLBACK",
        Sql::CommitChain => "COMMIT AND CHAIN",
        Sql::RollbackChain => "ROLLBACK AND CHAIN",
        Sql::Savepoint => "SAVEPOINT a",
        Sql::RollbackTo => "ROLLBACK TO a",
        _ => "SELECT 1",
    }
}
