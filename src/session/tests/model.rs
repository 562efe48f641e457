//! A server that answers frames as Postgres does, as far as a pooler can tell: skipping up to a Sync, COPY that
//! ignores Syncs, prepared statements and portals by name, settings that roll back.

use std::collections::{BTreeMap, HashMap};

use crate::wire::{self, Side, Target, back, front};

pub(crate) type Vars = BTreeMap<String, String>;
type Rows = Vec<Vec<u8>>;

#[derive(Clone, Debug)]
struct Prepared {
    text: String,
    /// The tables' shape that it was planned for.
    shape: u32,
}

#[derive(Clone, Debug)]
struct Portal {
    text: String,
    /// Rows not fetched yet; `None` before the first Execute.
    left: Option<Rows>,
    args: Vec<Vec<u8>>,
}

/// What went wrong: SQLSTATE, message, the server's function.
struct Failure(&'static str, String, &'static str);

fn failure<T>(code: &'static str, text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(code, text.into(), "somewhere"))
}

/// The server.
#[derive(Debug)]
pub(crate) struct Model {
    statements: HashMap<Vec<u8>, Prepared>,
    portals: HashMap<Vec<u8>, Portal>,
    pub(crate) status: u8,
    skip: bool,
    /// Reading COPY data; true in the extended protocol.
    copy: Option<bool>,
    /// Something ran since the last Sync.
    executed: bool,
    /// One of several statements of a text: none may commit inside.
    atomic: bool,
    defaults: Vars,
    settings: Vars,
    before: Option<Vars>,
    /// Set for the transaction.
    locals: Vars,
    /// The savepoint: what was set then for the transaction and for the session, and before the transaction.
    savepoint: Option<(Vars, Vars, Option<Vars>)>,
    reported: Vars,
    /// Changes with each `ALTER`; plans made before are stale.
    pub(crate) shape: u32,
    input: Vec<u8>,
    /// Messages not delivered yet.
    pub(crate) out: std::collections::VecDeque<Vec<u8>>,
    /// Frames that came: type and name or text.
    pub(crate) log: Vec<String>,
}

impl Model {
    pub(crate) fn new(startup: &[(&str, &str)]) -> Self {
        let mut defaults = Vars::from([
            ("TimeZone".to_owned(), "UTC".to_owned()),
            ("application_name".to_owned(), String::new()),
            ("search_path".to_owned(), "public".to_owned()),
        ]);
        defaults.extend(startup.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        Self {
            statements: HashMap::new(),
            portals: HashMap::new(),
            status: b'I',
            skip: false,
            copy: None,
            executed: false,
            atomic: false,
            settings: defaults.clone(),
            reported: defaults.clone(),
            defaults,
            before: None,
            locals: Vars::new(),
            savepoint: None,
            shape: 0,
            input: Vec::new(),
            out: std::collections::VecDeque::new(),
            log: Vec::new(),
        }
    }

    /// What it says of its settings at login.
    pub(crate) fn reported(&self) -> &Vars {
        &self.reported
    }

    /// Names of prepared statements, sorted.
    pub(crate) fn prepared(&self) -> Vec<String> {
        let text = |name: &Vec<u8>| String::from_utf8_lossy(name).into_owned();
        let mut all: Vec<_> = self.statements.keys().filter(|name| !name.is_empty()).map(text).collect();
        all.sort();
        all
    }

    /// As a failover or another's `DISCARD ALL` does.
    pub(crate) fn forget_statements(&mut self) {
        self.statements.clear();
    }

    pub(crate) fn setting(&self, name: &str) -> &str {
        self.locals.get(name).or_else(|| self.settings.get(name)).map_or("", String::as_str)
    }

    fn end_transaction(&mut self) {
        self.locals.clear();
        self.savepoint = None;
        self.portals.clear();
    }

    /// All that the model has answered, as one piece.
    pub(crate) fn answers(&mut self) -> Vec<u8> {
        self.out.drain(..).flatten().collect()
    }

    /// Takes bytes as they come.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while let Some(head) = wire::header(Side::Frontend, &self.input).expect("only good frames go out") {
            if self.input.len() < head.len {
                return;
            }
            let frame: Vec<u8> = self.input.drain(..head.len).collect();
            self.frame(head.tag, &frame[5..]);
        }
    }

    fn frame(&mut self, tag: u8, body: &[u8]) {
        self.note(tag, body);
        if let Some(extended) = self.copy {
            return self.copy_frame(extended, tag, body);
        }
        if tag == front::SYNC {
            self.skip = false;
            self.executed = false;
            self.end_implicit();
            return self.ready();
        }
        if self.skip {
            return;
        }
        match tag {
            front::QUERY => self.simple(body),
            front::FUNCTION_CALL => {
                self.say(back::FUNCTION_RESULT, &[0, 0, 0, 0]);
                self.ready();
            }
            front::PARSE | front::BIND | front::DESCRIBE | front::EXECUTE | front::CLOSE => {
                if let Err(failure) = self.extended(tag, body) {
                    self.fail(&failure);
                    self.skip = true;
                }
            }
            _ => {} // Flush, and what is left of a failed COPY
        }
    }

    fn note(&mut self, tag: u8, body: &[u8]) {
        let name = match tag {
            front::BIND => wire::bind_head(body).map(|b| b.statement),
            front::DESCRIBE | front::CLOSE => body.get(1..body.len() - 1),
            front::COPY_DATA | front::COPY_FAIL => None,
            _ => wire::c_string(body).map(|(name, _)| name),
        };
        let name = String::from_utf8_lossy(name.unwrap_or_default());
        self.log.push(format!("{} {name}", tag as char).trim_end().to_owned());
        if self.log.len() > 4096 {
            self.log.drain(..2048);
        }
    }

    fn say(&mut self, tag: u8, body: &[u8]) {
        let mut out = Vec::new();
        wire::frame(&mut out, tag, |out| out.extend_from_slice(body));
        self.out.push_back(out);
    }

    fn complete(&mut self, tag: &str) {
        self.say(back::COMMAND_COMPLETE, format!("{tag}\0").as_bytes());
    }

    fn ready(&mut self) {
        for (name, value) in self.settings.clone() {
            if self.reported.get(&name) != Some(&value) {
                self.say(back::PARAMETER_STATUS, format!("{name}\0{value}\0").as_bytes());
                self.reported.insert(name, value);
            }
        }
        self.say(back::READY, &[self.status]);
    }

    fn fail(&mut self, Failure(code, text, routine): &Failure) {
        self.say(back::ERROR, format!("SERROR\0VERROR\0C{code}\0M{text}\0R{routine}\0\0").as_bytes());
        if let Some(before) = self.before.take() {
            self.settings = before;
        }
        if self.status == b'I' {
            self.portals.clear();
        } else {
            self.status = b'E';
        }
    }

    fn begin_statement(&mut self) {
        if self.before.is_none() && self.status != b'E' {
            self.before = Some(self.settings.clone());
        }
    }

    fn end_implicit(&mut self) {
        if self.status == b'I' {
            self.before = None;
            self.end_transaction();
        }
    }

    // --- COPY ---------------------------------------------------------------------------------------

    fn copy_frame(&mut self, extended: bool, tag: u8, body: &[u8]) {
        let end = match tag {
            front::COPY_DATA | front::SYNC | front::FLUSH => return,
            front::COPY_DONE => Ok(()),
            front::COPY_FAIL => {
                let why = String::from_utf8_lossy(&body[..body.len() - 1]).into_owned();
                failure("57014", format!("COPY from stdin failed: {why}"))
            }
            _ => failure("08P01", "unexpected message type during COPY from stdin"),
        };
        self.copy = None;
        match end {
            Ok(()) => self.complete("COPY 1"),
            Err(failure) => {
                self.fail(&failure);
                self.skip = extended;
            }
        }
        if !extended {
            self.end_implicit();
            self.ready();
        }
    }

    // --- simple protocol ----------------------------------------------------------------------------

    fn simple(&mut self, body: &[u8]) {
        self.statements.remove(&b""[..]);
        self.executed = false;
        let text = String::from_utf8_lossy(&body[..body.len() - 1]).into_owned();
        let all: Vec<_> = text.split(';').map(str::trim).filter(|s| !s.is_empty()).collect();
        if all.is_empty() {
            self.say(back::EMPTY_QUERY, b"");
        }
        self.atomic = all.len() > 1;
        for statement in all {
            if let Err(failure) = self.run_simple(statement) {
                self.fail(&failure);
                break;
            }
            if self.copy.is_some() {
                self.atomic = false;
                return;
            }
        }
        self.atomic = false;
        self.end_implicit();
        self.ready();
    }

    fn run_simple(&mut self, text: &str) -> Result<(), Failure> {
        self.check(text)?;
        self.refuse_failed(text)?;
        if returns_rows(text) {
            self.say(back::ROW_DESCRIPTION, text.as_bytes());
        }
        let rows = self.run(text, &[], false)?;
        self.send_rows(text, rows);
        Ok(())
    }

    fn send_rows(&mut self, text: &str, rows: Option<Rows>) {
        if let Some(rows) = rows {
            let count = rows.len();
            for row in rows {
                self.say(back::DATA_ROW, &row);
            }
            self.complete(&format!("{} {count}", text.split(' ').next().unwrap_or_default()));
        }
    }

    // --- extended protocol --------------------------------------------------------------------------

    fn extended(&mut self, tag: u8, body: &[u8]) -> Result<(), Failure> {
        match tag {
            front::PARSE => self.parse(body),
            front::BIND => self.bind(body),
            front::DESCRIBE => self.describe(body),
            front::EXECUTE => self.execute(body),
            _ => {
                match wire::target(body).expect("a good Close") {
                    Target::Statement(name) => drop(self.statements.remove(name)),
                    Target::Portal(name) => drop(self.portals.remove(name)),
                }
                self.say(back::CLOSE_COMPLETE, b"");
                Ok(())
            }
        }
    }

    fn parse(&mut self, body: &[u8]) -> Result<(), Failure> {
        let parse = wire::parse(body).expect("a good Parse");
        self.begin_statement();
        if parse.name.is_empty() {
            self.statements.remove(&b""[..]);
        }
        let text = String::from_utf8_lossy(parse.query).trim().to_owned();
        self.check(&text)?;
        if !text.is_empty() {
            self.refuse_failed(&text)?;
        }
        if self.statements.contains_key(parse.name) {
            let name = String::from_utf8_lossy(parse.name);
            return failure("42P05", format!("prepared statement \"{name}\" already exists"));
        }
        self.statements.insert(parse.name.to_vec(), Prepared { text, shape: self.shape });
        self.say(back::PARSE_COMPLETE, b"");
        Ok(())
    }

    fn prepared_statement(&self, name: &[u8]) -> Result<Prepared, Failure> {
        match self.statements.get(name) {
            Some(statement) => Ok(statement.clone()),
            None if name.is_empty() => failure("26000", "unnamed prepared statement does not exist"),
            None => {
                let name = String::from_utf8_lossy(name);
                failure("26000", format!("prepared statement \"{name}\" does not exist"))
            }
        }
    }

    fn usable(&self, statement: &Prepared) -> Result<(), Failure> {
        if returns_rows(&statement.text) && statement.shape != self.shape {
            let text = "cached plan must not change result type".to_owned();
            return Err(Failure("0A000", text, "RevalidateCachedQuery"));
        }
        Ok(())
    }

    fn bind(&mut self, body: &[u8]) -> Result<(), Failure> {
        let head = wire::bind_head(body).expect("a good Bind");
        self.begin_statement();
        let statement = self.prepared_statement(head.statement)?;
        self.refuse_failed(&statement.text)?; // Postgres counts the parameters first
        let args = arguments(&body[head.rest..]);
        let wanted = statement.text.matches('$').count();
        if args.len() != wanted {
            let name = String::from_utf8_lossy(head.statement);
            let count = args.len();
            let text = format!("bind message supplies {count} parameters, but \"{name}\" requires {wanted}");
            return failure("08P01", text);
        }
        if !head.portal.is_empty() && self.portals.contains_key(head.portal) {
            return failure("42P03", "cursor already exists");
        }
        self.usable(&statement)?;
        self.portals.insert(head.portal.to_vec(), Portal { text: statement.text, left: None, args });
        self.say(back::BIND_COMPLETE, b"");
        Ok(())
    }

    fn portal(&self, name: &[u8]) -> Result<Portal, Failure> {
        match self.portals.get(name) {
            Some(portal) => Ok(portal.clone()),
            None => failure("34000", format!("portal \"{}\" does not exist", String::from_utf8_lossy(name))),
        }
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), Failure> {
        self.begin_statement();
        let text = match wire::target(body).expect("a good Describe") {
            Target::Statement(name) => {
                let statement = self.prepared_statement(name)?;
                self.refuse_failed(&statement.text)?;
                self.usable(&statement)?;
                let count = statement.text.matches('$').count();
                self.say(back::PARAMETER_DESCRIPTION, &vec![0; 2 + 4 * count]);
                statement.text
            }
            Target::Portal(name) => {
                let portal = self.portal(name)?;
                self.refuse_failed(&portal.text)?;
                portal.text
            }
        };
        if returns_rows(&text) {
            // One column, named for the text and the shape; then 18 bytes.
            let column = format!("\0\x01{text} {}\0.................. ", self.shape);
            self.say(back::ROW_DESCRIPTION, column.trim_end().as_bytes());
        } else {
            self.say(back::NO_DATA, b"");
        }
        Ok(())
    }

    fn execute(&mut self, body: &[u8]) -> Result<(), Failure> {
        let (name, most) = wire::c_string(body).expect("a good Execute");
        let most = usize::try_from(u32::from_be_bytes(most.try_into().expect("a row limit"))).unwrap();
        self.begin_statement();
        let portal = self.portal(name)?;
        if portal.text.is_empty() {
            self.say(back::EMPTY_QUERY, b"");
            return Ok(());
        }
        self.refuse_failed(&portal.text)?;
        let left = match portal.left {
            Some(_) if !returns_rows(&portal.text) => return failure("55000", "portal cannot be run"),
            Some(left) => Some(left),
            None => self.run(&portal.text, &portal.args, true)?,
        };
        self.executed = true;
        let (mut now, mut later) = (left.clone(), Vec::new());
        if let Some(now) = now.as_mut().filter(|rows| most > 0 && rows.len() > most) {
            later = now.split_off(most);
        }
        if let Some(open) = self.portals.get_mut(name) {
            open.left = Some(later.clone());
        }
        if later.is_empty() {
            self.send_rows(&portal.text, now);
        } else {
            now.into_iter().flatten().for_each(|row| self.say(back::DATA_ROW, &row));
            self.say(back::PORTAL_SUSPENDED, b"");
        }
        Ok(())
    }

    // --- the language -------------------------------------------------------------------------------

    /// What the parser refuses.
    fn check(&self, text: &str) -> Result<(), Failure> {
        const WORDS: [&str; 19] = [
            "",
            "SELECT",
            "SHOW",
            "INSERT",
            "DIVIDE",
            "BEGIN",
            "COMMIT",
            "ROLLBACK",
            "SET",
            "RESET",
            "COPY",
            "DEALLOCATE",
            "DISCARD",
            "NOTICE",
            "ALTER",
            "CALL",
            "LISTEN",
            "SAVEPOINT",
            "WRONG",
        ];
        let word = text.split([' ', '/']).next().unwrap_or_default();
        if WORDS.contains(&word) {
            // Known to the parser, unknown to its analysis, which a failed transaction never reaches.
            if word == "WRONG" && self.status != b'E' {
                return failure("42P01", "relation does not exist");
            }
            if text == "SELECT howdah_outdated" && self.status != b'E' {
                return failure("42703", "column \"howdah_outdated\" does not exist");
            }
            return Ok(());
        }
        // Postgres says 42601 in a failed transaction as well. Where Howdah has to prepare another statement
        // before this one, it is that one which is refused.
        self.refuse_failed(text)?;
        failure("42601", "syntax error")
    }

    fn refuse_failed(&self, text: &str) -> Result<(), Failure> {
        if self.status == b'E' && !text.starts_with("COMMIT") && !text.starts_with("ROLLBACK") {
            return failure("25P02", "current transaction is aborted");
        }
        Ok(())
    }

    /// Runs a statement; `Some` rows are still to be sent, with their `CommandComplete`.
    fn run(&mut self, text: &str, args: &[Vec<u8>], extended: bool) -> Result<Option<Rows>, Failure> {
        self.begin_statement();
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            ["SELECT", call, ..] if call.contains("set_config") => {
                let literals: Vec<&str> = text.split('\'').skip(1).step_by(2).collect();
                let arg = |n: usize| match args.get(n) {
                    Some(arg) => String::from_utf8_lossy(arg).into_owned(),
                    None => literals[n].to_owned(),
                };
                let vars = if call.ends_with("true)") { &mut self.locals } else { &mut self.settings };
                vars.insert(arg(0), arg(1));
                return Ok(Some(vec![arg(1).into_bytes()]));
            }
            ["SELECT", count, ..] => {
                let tenant = self.setting("app.tenant_id").as_bytes().to_vec();
                let row = [args.concat(), text.as_bytes().to_vec(), tenant].concat();
                return Ok(Some(vec![row; count.parse().unwrap_or(1)]));
            }
            ["SHOW", name] => return Ok(Some(vec![self.setting(name).as_bytes().to_vec()])),
            ["DIVIDE"] => {
                self.say(back::DATA_ROW, b"a row before the error");
                return failure("22012", "division by zero");
            }
            ["COPY", .., "STDIN"] => {
                self.say(back::COPY_IN, &[0, 0, 0]);
                self.copy = Some(extended);
                return Ok(None);
            }
            ["COPY", ..] => {
                self.say(back::COPY_OUT, &[0, 0, 0]);
                self.say(back::COPY_DATA, b"data");
                self.say(back::COPY_DONE, b"");
            }
            ["NOTICE", ..] => self.say(back::NOTICE, b"SNOTICE\0\0"),
            _ => return self.run_utility(&words).map(|()| None),
        }
        self.complete(words.first().unwrap_or(&""));
        Ok(None)
    }

    fn run_utility(&mut self, words: &[&str]) -> Result<(), Failure> {
        match words {
            ["BEGIN", ..] => self.status = if self.status == b'E' { b'E' } else { b'T' },
            ["COMMIT", "AND", "CHAIN"] => {
                if self.status == b'I' {
                    return failure("25P01", "COMMIT AND CHAIN can only be used in transaction blocks");
                }
                let back = self.status == b'E';
                if let Some(before) = self.before.take().filter(|_| back) {
                    self.settings = before;
                }
                self.end_transaction();
                self.status = b'T';
                self.begin_statement();
                self.complete(if back { "ROLLBACK" } else { "COMMIT" });
                return Ok(());
            }
            ["SAVEPOINT", _] if self.status == b'I' => {
                return failure("25P01", "SAVEPOINT can only be used in transaction blocks");
            }
            ["SAVEPOINT", _] => {
                self.savepoint = Some((self.locals.clone(), self.settings.clone(), self.before.clone()));
            }
            ["ROLLBACK", "TO", _] => {
                let Some((locals, settings, before)) = self.savepoint.clone() else {
                    return failure(if self.status == b'I' { "25P01" } else { "3B001" }, "no savepoint");
                };
                self.locals = locals;
                self.settings = settings;
                self.before = before;
                self.status = b'T';
            }
            ["COMMIT" | "ROLLBACK"] => {
                let back = self.status == b'E' || words == ["ROLLBACK"];
                if let Some(before) = self.before.take().filter(|_| back && self.status != b'I') {
                    self.settings = before;
                }
                self.status = b'I';
                self.end_transaction();
                self.complete(if back { "ROLLBACK" } else { "COMMIT" });
                return Ok(());
            }
            ["SET", scope @ ("LOCAL" | "SESSION"), assignment] => {
                let (name, value) = assignment.split_once('=').expect("an assignment");
                let vars = if *scope == "LOCAL" { &mut self.locals } else { &mut self.settings };
                vars.insert(name.replace('"', ""), value.replace('\'', ""));
            }
            ["CALL", ..] => {
                let tenant = self.setting("app.tenant_id").to_owned();
                self.say(back::NOTICE, format!("SNOTICE\0M{tenant}\0\0").as_bytes());
                if self.status == b'I' && !self.atomic {
                    // It commits, and says who it is for once more.
                    self.before = None;
                    self.locals.clear();
                    self.begin_statement();
                    let tenant = self.setting("app.tenant_id").to_owned();
                    self.say(back::NOTICE, format!("SNOTICE\0Mthen {tenant}\0\0").as_bytes());
                }
            }
            ["SET", name, "TO", value] => drop(self.settings.insert((*name).to_owned(), (*value).to_owned())),
            ["RESET", "ALL"] => self.settings = self.defaults.clone(),
            ["RESET", name] => {
                let name = name.replace('"', "");
                let value = self.defaults.get(&name).cloned().unwrap_or_default();
                self.settings.insert(name, value);
            }
            ["DEALLOCATE", "ALL"] => {
                self.statements.clear();
                self.complete("DEALLOCATE ALL");
                return Ok(());
            }
            ["DEALLOCATE", name] => {
                self.prepared_statement(name.as_bytes())?;
                self.statements.remove(name.as_bytes());
            }
            ["DISCARD", "ALL"] => {
                if self.status != b'I' || self.executed {
                    return failure("25001", "DISCARD ALL cannot run inside a transaction block");
                }
                self.settings = self.defaults.clone();
                self.before = None;
                self.statements.clear();
                self.portals.clear();
                self.complete("DISCARD ALL");
                return Ok(());
            }
            ["ALTER"] => self.shape += 1,
            _ => {}
        }
        self.complete(words.first().unwrap_or(&""));
        Ok(())
    }
}

fn returns_rows(text: &str) -> bool {
    ["SELECT", "SHOW", "DIVIDE"].iter().any(|word| text.starts_with(word))
}

/// The parameters of a Bind behind its names, which came with their formats.
fn arguments(rest: &[u8]) -> Vec<Vec<u8>> {
    let word = |at: usize| usize::from(u16::from_be_bytes([rest[at], rest[at + 1]]));
    let mut at = 2 + 2 * word(0);
    let count = word(at);
    at += 2;
    let mut args = Vec::new();
    for _ in 0..count {
        let len = u32::from_be_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        args.push(rest[at + 4..at + 4 + len].to_vec());
        at += 4 + len;
    }
    args
}
