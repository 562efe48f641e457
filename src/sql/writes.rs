//! What a text writes: the tables that its statements name, and what of it cannot be told by reading.

use super::lexer::{Form, Lexer, Token};
use super::literal;

/// Texts inside texts: the body of a DO, what it gives to EXECUTE, and one more.
const DEEPEST: u8 = 3;
/// More tables than this in one text are not counted any more.
const MOST: usize = 256;

/// What a text writes. It may say too much, but not too little: for what it leaves out, `catalog` or `unknown` is set.
/// What the functions write that a text calls is not in it, nor what triggers do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Tables and views that are written: schema, where it is given, and name; folded or unquoted as the server
    /// does it. Each comes once.
    pub tables: Vec<(Option<Box<str>>, Box<str>)>,
    /// DDL, GRANT and such: everything of the database may differ.
    pub catalog: bool,
    /// CALL, DO, EXECUTE: more may be written than can be read here, DDL too.
    pub unknown: bool,
}

impl Writes {
    /// What two texts write.
    pub fn add(&mut self, other: &Self) {
        self.catalog |= other.catalog;
        self.unknown |= other.unknown;
        for table in &other.tables {
            if self.tables.len() >= MOST {
                self.unknown = true;
            } else if !self.tables.contains(table) {
                self.tables.push(table.clone());
            }
        }
    }
}

/// Knows what the functions of a database write. Implemented above, where the catalog is read.
pub trait Callees: std::fmt::Debug + Send + Sync {
    /// What the functions write that a text calls; `None` when it calls none that does, as far as is known.
    fn written_by(&self, text: &[u8], standard_strings: bool) -> Option<Writes>;
}

/// Reads a whole text; `None` when it writes nothing, which costs next to nothing for a plain SELECT.
/// `standard_strings` is the session's `standard_conforming_strings`.
///
/// Not counted as DDL: temporary objects, indexes, COMMENT, and what only moves data to other places on disk (VACUUM,
/// CLUSTER and so on). `COMMIT PREPARED` is, as nobody here knows what it commits.
pub fn writes(text: &[u8], standard_strings: bool) -> Option<Box<Writes>> {
    if only_reads(text, standard_strings) {
        return None;
    }
    let mut scan = Scan { found: None, standard_strings };
    scan.text(text, 0);
    scan.found
}

/// The same for the body of a function in SQL or PL/pgSQL. What it runs by EXECUTE is read as far as it stands in
/// strings, and is unknown. What it calls is not in it: see [`super::calls`].
pub fn writes_of_body(body: &[u8]) -> Writes {
    let mut scan = Scan { found: None, standard_strings: true };
    scan.text(body, 1);
    scan.found.map(|found| *found).unwrap_or_default()
}

/// True for a text that is one statement whose first word says that it writes nothing.
fn only_reads(text: &[u8], standard_strings: bool) -> bool {
    let mut lexer = Lexer::new(text, standard_strings);
    let Some(first) = lexer.next() else { return true };
    let rest = text.get(lexer.position()..).unwrap_or_default();
    let Token::Word(word) = first else { return false };
    let harmless = match word.len() {
        3 => first.is("set") || first.is("end"),
        4 => first.is("show") || first.is("lock") || first.is("move"),
        5 => ["begin", "start", "table", "fetch", "close", "reset", "abort"].iter().any(|w| first.is(w)),
        6 if first.is("select") || first.is("values") => !has_into(rest),
        6 => first.is("commit") && !lexer.next().is_some_and(|t| t.is("prepared")) || first.is("listen"),
        7 => first.is("release"),
        8 => first.is("rollback") || first.is("unlisten"),
        9 => first.is("savepoint"),
        10 => first.is("deallocate"),
        _ => false,
    };
    let end = rest.trim_ascii_end();
    harmless && memchr::memchr(b';', end.strip_suffix(b";").unwrap_or(end)).is_none()
}

/// Whether these letters occur anywhere.
fn has_into(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'i', b'I', text)
        .any(|at| text.get(at + 1..at + 4).is_some_and(|next| next.eq_ignore_ascii_case(b"nto")))
}

/// What is known of the statement that is being read.
#[derive(Clone, Copy, Default)]
struct Statement {
    /// Something of it was read.
    begun: bool,
    /// EXPLAIN.
    explains: bool,
    /// Its strings are run as SQL.
    runs: bool,
}

struct Scan {
    found: Option<Box<Writes>>,
    standard_strings: bool,
}

impl Scan {
    fn found(&mut self) -> &mut Writes {
        self.found.get_or_insert_default()
    }

    /// `depth` is 0 for what a client sent; what lies deeper may be PL/pgSQL, or a part of a text.
    fn text(&mut self, text: &[u8], depth: u8) {
        let mut lexer = Lexer::new(text, self.standard_strings);
        let mut now = Statement::default();
        let mut before = None;
        while let Some(token) = lexer.next() {
            match token {
                Token::Symbol(b';') => now = Statement::default(),
                Token::Word(_) => {
                    if !now.begun {
                        self.begins(token, &mut now, &lexer, depth);
                    }
                    self.word(token, before, &mut now, &mut lexer, depth);
                    now.begun = true;
                }
                Token::Text { raw, form } if now.runs => self.inner(raw, form, &mut lexer, depth),
                _ => now.begun = true,
            }
            before = Some(token);
        }
    }

    /// A string that is run as SQL.
    fn inner<'a>(&mut self, raw: &'a [u8], form: Form, lexer: &mut Lexer<'a>, depth: u8) {
        match literal::value(raw, form, lexer) {
            Some(text) if depth < DEEPEST => self.text(&text, depth + 1),
            _ => self.found().unknown = true,
        }
    }

    /// The first word of a statement.
    fn begins(&mut self, first: Token<'_>, now: &mut Statement, lexer: &Lexer<'_>, depth: u8) {
        let Token::Word(word) = first else { return };
        let second = |w: &str| lexer.clone().next().is_some_and(|t| t.is(w));
        match word.len() {
            2 if first.is("do") => {
                self.found().unknown = true;
                now.runs = true;
            }
            4 if first.is("call") && depth == 0 => self.found().unknown = true,
            6 if first.is("import") => self.found().catalog = true,
            6 if first.is("commit") && second("prepared") => self.found().catalog = true,
            7 if first.is("explain") => now.explains = true,
            7 if first.is("execute") && depth == 0 => self.found().unknown = true,
            8 if first.is("security") || first.is("reassign") => self.found().catalog = true,
            _ if depth == 0 && alters(first) && defines(first, lexer.clone()) => self.found().catalog = true,
            _ => {}
        }
    }

    /// A word anywhere in a statement, behind `before`.
    fn word<'a>(
        &mut self,
        token: Token<'a>,
        before: Option<Token<'a>>,
        now: &mut Statement,
        lexer: &mut Lexer<'a>,
        depth: u8,
    ) {
        let Token::Word(word) = token else { return };
        match word.len() {
            4 if token.is("into") && depth == 0 => self.found().catalog = true, // SELECT … INTO
            4 if token.is("copy") && (!now.begun || depth > 0) => self.copy(lexer),
            5 if token.is("merge") => self.behind("into", lexer),
            6 if token.is("insert") => self.behind("into", lexer),
            6 if token.is("delete") => self.behind("from", lexer),
            6 if token.is("update") => {
                let locks = before.is_some_and(|t| t.is("for") || t.is("key"));
                let none = ["set", "on", "or", "to"];
                if !locks && lexer.clone().next().is_some_and(|t| !none.iter().any(|w| t.is(w))) {
                    self.target(lexer);
                }
            }
            7 if token.is("refresh") => self.refresh(lexer),
            7 if token.is("execute") && (depth > 0 || now.explains) => {
                self.found().unknown = true;
                now.runs = true;
            }
            8 if token.is("truncate") => self.truncate(lexer),
            _ if (depth > 0 || now.explains) && alters(token) && defines(token, lexer.clone()) => {
                self.found().catalog = true;
            }
            _ => {}
        }
    }

    /// A table behind this word, if it follows.
    fn behind(&mut self, word: &str, lexer: &mut Lexer<'_>) {
        let mut ahead = lexer.clone();
        if ahead.next().is_some_and(|t| t.is(word)) {
            *lexer = ahead;
            self.target(lexer);
        }
    }

    /// `TRUNCATE [TABLE] [ONLY] name [*] [, …] [RESTART IDENTITY] [CASCADE]`. Which tables CASCADE empties too, only the
    /// catalog knows.
    fn truncate(&mut self, lexer: &mut Lexer<'_>) {
        let mut ahead = lexer.clone();
        let mut next = ahead.next();
        if next.is_some_and(|t| t.is("table")) {
            *lexer = ahead.clone();
            next = ahead.next();
        }
        if !matches!(next, Some(Token::Word(_) | Token::Quoted(_) | Token::UnicodeQuoted(_)))
            || next.is_some_and(|t| t.is("on") || t.is("or"))
        {
            return;
        }
        loop {
            self.target(lexer);
            let mut ahead = lexer.clone();
            let mut next = ahead.next();
            while matches!(next, Some(Token::Symbol(b'*' | b')'))) {
                next = ahead.next();
            }
            if next != Some(Token::Symbol(b',')) {
                let mut rest = next.into_iter().chain(ahead).take_while(|t| *t != Token::Symbol(b';'));
                if rest.any(|t| t.is("cascade")) {
                    self.found().unknown = true;
                }
                return;
            }
            *lexer = ahead;
        }
    }

    /// `COPY name [(…)] FROM`.
    fn copy(&mut self, lexer: &mut Lexer<'_>) {
        let mut ahead = lexer.clone();
        let table = name(&mut ahead);
        let mut next = ahead.next();
        if next == Some(Token::Symbol(b'(')) && table != Some(Name::None) {
            next = ahead.find(|t| *t == Token::Symbol(b')')).and_then(|_| ahead.next());
        }
        if next.is_some_and(|t| t.is("from")) {
            self.add(table);
            *lexer = ahead;
        }
    }

    /// `REFRESH MATERIALIZED VIEW [CONCURRENTLY] name`.
    fn refresh(&mut self, lexer: &mut Lexer<'_>) {
        let mut ahead = lexer.clone();
        if ahead.next().is_some_and(|t| t.is("materialized")) && ahead.next().is_some_and(|t| t.is("view")) {
            let mut behind = ahead.clone();
            if behind.next().is_some_and(|t| t.is("concurrently")) {
                ahead = behind;
            }
            *lexer = ahead;
            self.target(lexer);
        }
    }

    /// `[ONLY] name`, `ONLY (name)`.
    fn target(&mut self, lexer: &mut Lexer<'_>) {
        let mut ahead = lexer.clone();
        if ahead.next().is_some_and(|t| t.is("only")) {
            *lexer = ahead.clone();
            if ahead.next() == Some(Token::Symbol(b'(')) {
                *lexer = ahead;
            }
        }
        let name = name(lexer);
        self.add(name);
    }

    fn add(&mut self, name: Option<Name>) {
        let found = self.found();
        match name {
            Some(Name::Table(schema, name)) if found.tables.len() < MOST => {
                let table = (schema, name);
                if !found.tables.contains(&table) {
                    found.tables.push(table);
                }
            }
            _ => found.unknown = true,
        }
    }
}

/// Words with which DDL begins.
fn alters(word: Token<'_>) -> bool {
    ["create", "alter", "drop", "grant", "revoke"].iter().any(|w| word.is(w))
}

/// Whether the statement that begins with one of those words changes what other sessions see: not an index, and
/// not what is temporary.
fn defines(first: Token<'_>, rest: Lexer<'_>) -> bool {
    if !first.is("create") {
        return true;
    }
    let modifiers = ["or", "replace", "local", "global", "unique"];
    let kind = rest.into_iter().find(|t| !modifiers.iter().any(|w| t.is(w)));
    !kind.is_some_and(|t| t.is("temp") || t.is("temporary") || t.is("index"))
}

/// What stands where a table's name belongs.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    /// Schema and name.
    Table(Option<Box<str>>, Box<str>),
    /// No name.
    None,
}

/// `[[database.]schema.]name`; `None` for one that cannot be read. Moves only over what is a name.
fn name(lexer: &mut Lexer<'_>) -> Option<Name> {
    let mut parts: [Option<Box<str>>; 2] = [None, None];
    loop {
        let mut ahead = lexer.clone();
        let token = ahead.next();
        let Some(token @ (Token::Word(_) | Token::Quoted(_) | Token::UnicodeQuoted(_))) = token else {
            break;
        };
        let part = literal::identifier(token, &mut ahead)?;
        let part = std::str::from_utf8(literal::cut(&part)).ok()?;
        let [_, last] = parts;
        parts = [last, Some(part.into())];
        *lexer = ahead.clone();
        if ahead.next() != Some(Token::Symbol(b'.')) {
            let [schema, name] = parts;
            return name.map(|name| Name::Table(schema, name));
        }
        *lexer = ahead;
    }
    if parts == [None, None] { Some(Name::None) } else { None }
}
