//! Which settings a text touches, so that those which carry the tenant can be refused.

use super::lexer::{Form, Lexer, Token};
use super::literal;
use super::setting::{self, Setting};

/// Texts inside texts: the body of a function, what it gives to EXECUTE, and one more.
const DEEPEST: u8 = 3;

/// What was found in a text of one or more statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Settings that are set or reset: SET, RESET, `set_config`, ALTER … SET. In lower case, in the order of
    /// the text, and as often as they come.
    pub names: Vec<Box<str>>,
    /// A setting is changed, or may be, whose name only the server will know: a parameter, an expression, a
    /// row of `pg_settings`.
    pub unknown: bool,
    /// Text is run, or kept to be run, that this text need not contain: DO, CREATE FUNCTION, `query_to_xml`.
    pub dynamic: bool,
    /// `RESET ALL`. `DISCARD ALL` is not counted: see [`super::Traits::discard_all`].
    pub reset_all: bool,
    /// `SET SESSION AUTHORIZATION DEFAULT` or `RESET SESSION AUTHORIZATION`, which are the same and undo a
    /// `SET ROLE` too. Not among the names.
    pub default_authorization: bool,
}

/// Reads a whole text; `None` when it touches nothing, which is found without allocating.
/// `standard_strings` is the session's `standard_conforming_strings`.
pub fn touched(text: &[u8], standard_strings: bool) -> Option<Box<Touched>> {
    let mut scan = Scan { found: None, standard_strings };
    scan.text(text, 0);
    scan.found
}

/// True for a client encoding in which a character may contain bytes that are ASCII (a backslash, a semicolon).
/// The server converts before it reads, so no text in such an encoding can be judged here.
pub fn hides_ascii(client_encoding: &[u8]) -> bool {
    let plain: Vec<u8> =
        client_encoding.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect();
    let number = plain.strip_prefix(b"windows").or_else(|| plain.strip_prefix(b"win"));
    match number {
        Some(page) => matches!(page, b"932" | b"936" | b"949" | b"950"),
        None => {
            plain.starts_with(b"shiftjis")
                || matches!(
                    plain.as_slice(),
                    b"sjis" | b"mskanji" | b"big5" | b"gbk" | b"uhc" | b"gb18030" | b"johab"
                )
        }
    }
}

/// What is known of the statement that is being read.
#[derive(Clone, Copy, Default)]
struct Statement {
    /// Something of it was read.
    begun: bool,
    /// CREATE or ALTER: what it names may be called later without parentheses being seen (the state function
    /// of an aggregate), and `pg_settings` may get another name.
    defines: bool,
    /// ALTER ROLE and such, whose SET and RESET are of settings.
    sets: bool,
    /// Its RESET ALL is of settings that are kept in the catalogue.
    alters: bool,
    /// Its strings are run as SQL.
    runs: bool,
    /// UPDATE or MERGE was in it.
    updates: bool,
    /// `pg_settings` was in it.
    settings: bool,
}

/// Where a RESET stands.
#[derive(Clone, Copy)]
struct Place {
    /// In ALTER ROLE and such.
    alters: bool,
    /// In a text within the text, which may be a part of what is run.
    inner: bool,
}

/// Functions that matter, and the view.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    SetConfig,
    Settings,
    RunsText,
}

fn known(name: &[u8]) -> Option<Known> {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    let starts = |with: &[u8]| name.get(..with.len()).is_some_and(|b| b.eq_ignore_ascii_case(with));
    let runs = match (name.first()? | 0x20, name.len()) {
        (b's', 10) if is(b"set_config") => return Some(Known::SetConfig),
        (b'p', 11) if is(b"pg_settings") => return Some(Known::Settings),
        (b'q', 12..=26) => {
            is(b"query_to_xml") || is(b"query_to_xmlschema") || is(b"query_to_xml_and_xmlschema")
        }
        (b'c', 8..) => {
            is(b"cursor_to_xml") || is(b"cursor_to_xmlschema") || is(b"connectby") || starts(b"crosstab")
        }
        (b't', 7..=10) => is(b"ts_stat") || is(b"ts_rewrite"),
        (b'd', 6..) => starts(b"dblink"),
        (b'x', 11) => is(b"xpath_table"),
        (b'l', 9) => is(b"lo_import") || is(b"lo_export"),
        _ => false,
    };
    runs.then_some(Known::RunsText)
}

/// As the server folds it where the locale is Turkish and the encoding has one byte for each character: the
/// capital dotted I, in UTF-8 or as that byte, is an `i` too.
fn known_word(word: &[u8]) -> Option<Known> {
    if word.len() < 6 || !word.first().is_some_and(|b| b"spqctdxl".contains(&(b | 0x20))) {
        return None;
    }
    if word.is_ascii() {
        return known(word);
    }
    let mut folded = Vec::with_capacity(word.len());
    for byte in word {
        match byte {
            0xb0 if folded.last() == Some(&0xc4) => {
                folded.pop();
                folded.push(b'i');
            }
            0xdd => folded.push(b'i'),
            byte => folded.push(*byte),
        }
    }
    known(&folded)
}

struct Scan {
    found: Option<Box<Touched>>,
    standard_strings: bool,
}

impl Scan {
    fn found(&mut self) -> &mut Touched {
        self.found.get_or_insert_default()
    }

    fn name(&mut self, name: &[u8]) {
        match std::str::from_utf8(name) {
            // Outside ASCII the server's folding depends on its locale.
            Ok(name) if name.is_ascii() => {
                let lower = name.to_ascii_lowercase();
                // The server's old names for two of its settings.
                let current = match lower.as_str() {
                    "sort_mem" => "work_mem",
                    "vacuum_mem" => "maintenance_work_mem",
                    name => name,
                };
                self.found().names.push(current.into());
            }
            _ => self.found().unknown = true,
        }
    }

    /// `depth` is 0 for what the client sent; what lies deeper may be PL/pgSQL, or a part of a text.
    fn text(&mut self, text: &[u8], depth: u8) {
        let mut lexer = Lexer::new(text, self.standard_strings);
        let mut now = Statement::default();
        while let Some(token) = lexer.next() {
            match token {
                Token::Symbol(b';') => now = Statement::default(),
                Token::Word(word) => self.word(word, &mut now, &lexer, depth),
                Token::Quoted(name) => {
                    now.begun = true;
                    self.mention(known(name), &mut now, &lexer);
                }
                Token::UnicodeQuoted(_) => {
                    now.begun = true;
                    match literal::identifier(token, &mut lexer) {
                        Some(name) => self.mention(known(&name), &mut now, &lexer),
                        None => self.found().unknown = true,
                    }
                }
                Token::Text { raw, form } if now.runs => self.inner(raw, form, &mut lexer, depth),
                // Behind `<<label>>` a statement of PL/pgSQL begins.
                Token::Symbol(byte) => now.begun = depth == 0 || byte != b'>',
                _ => now.begun = true,
            }
        }
    }

    /// A string that is run as SQL.
    fn inner<'a>(&mut self, raw: &'a [u8], form: Form, lexer: &mut Lexer<'a>, depth: u8) {
        match literal::value(raw, form, lexer) {
            Some(text) if depth < DEEPEST => self.text(&text, depth + 1),
            _ => self.found().unknown = true,
        }
    }

    fn word(&mut self, word: &[u8], now: &mut Statement, lexer: &Lexer<'_>, depth: u8) {
        let token = Token::Word(word);
        if !now.begun {
            now.begun = true;
            self.begins(token, now, lexer, depth);
        } else if now.sets {
            match word.len() {
                3 if token.is("set") => self.set(lexer.clone(), false),
                5 if token.is("reset") => {
                    self.reset(lexer.clone(), Place { alters: now.alters, inner: depth > 0 });
                }
                _ => {}
            }
        }
        match (word.first().unwrap_or(&0) | 0x20, word.len()) {
            (b'u', 6) if token.is("update") => now.updates = true,
            (b'm', 5) if token.is("merge") => now.updates = true,
            (_, 4 | 5) if depth > 0 && opens(token) => now.begun = false,
            (b'e', 7) if depth > 0 && token.is("execute") => now.runs = true,
            _ => {}
        }
        if now.updates && now.settings {
            self.found().unknown = true;
        }
        self.mention(known_word(word), now, lexer);
    }

    /// The first word of a statement.
    fn begins(&mut self, word: Token<'_>, now: &mut Statement, lexer: &Lexer<'_>, depth: u8) {
        if word.is("set") {
            self.set(lexer.clone(), depth > 0);
        } else if word.is("reset") {
            self.reset(lexer.clone(), Place { alters: false, inner: depth > 0 });
        } else if word.is("do") {
            self.found().dynamic = true;
            now.runs = true;
        } else if word.is("create") {
            now.defines = true;
            self.creates(lexer.clone(), now);
        } else if word.is("alter") {
            now.defines = true;
            now.sets = follows_one(
                lexer,
                &["role", "user", "database", "system", "function", "procedure", "routine"],
            );
            now.alters = now.sets;
        }
    }

    /// From behind CREATE.
    fn creates(&mut self, mut lexer: Lexer<'_>, now: &mut Statement) {
        let modifiers = ["or", "replace", "trusted", "procedural"];
        let Some(kind) = lexer.find(|t| !modifiers.iter().any(|w| t.is(w))) else { return };
        if kind.is("function") || kind.is("procedure") {
            now.runs = true;
            now.sets = true;
            self.found().dynamic = true;
        } else if ["rule", "event", "extension", "language"].iter().any(|w| kind.is(w)) {
            self.found().dynamic = true;
        }
    }

    /// A name that matters, wherever it stands.
    fn mention(&mut self, known: Option<Known>, now: &mut Statement, lexer: &Lexer<'_>) {
        let Some(known) = known else { return };
        let called = setting::follows(lexer, |t| t == Token::Symbol(b'('));
        match known {
            Known::SetConfig if called => self.set_config(lexer.clone()),
            Known::SetConfig if now.defines => self.found().unknown = true,
            Known::Settings => {
                now.settings = true;
                if now.updates || now.defines {
                    self.found().unknown = true;
                }
            }
            Known::RunsText if called || now.defines => {
                now.runs = true;
                self.found().dynamic = true;
            }
            _ => {}
        }
    }

    /// From behind the function's name: its first argument as a single string, or else nobody knows.
    fn set_config(&mut self, mut lexer: Lexer<'_>) {
        lexer.next();
        let name = match lexer.next() {
            Some(Token::Text { raw, form }) => literal::value(raw, form, &mut lexer),
            _ => None,
        };
        let mut behind = lexer.next();
        if behind == Some(Token::Symbol(b':')) && lexer.next() == Some(Token::Symbol(b':')) {
            // Other types may cut the name.
            behind = lexer.next().filter(|t| t.is("text") || t.is("varchar")).and_then(|_| lexer.next());
        }
        match name {
            Some(name) if behind == Some(Token::Symbol(b',')) => self.name(&name),
            _ => self.found().unknown = true,
        }
    }

    /// From behind SET. `inner`: the text may go on where this ends (`EXECUTE 'SET ' || name`), so what cannot be
    /// read may be a setting.
    fn set(&mut self, mut lexer: Lexer<'_>, inner: bool) {
        let mut first = lexer.next();
        let scope = first.is_some_and(|t| t.is("local") || t.is("session"));
        if scope && !setting::is_name(&lexer) && !follows_one(&lexer, &["authorization", "characteristics"]) {
            first = lexer.next();
        }
        if let Some(word @ Token::Word(_)) = first
            && !setting::is_name(&lexer)
            && self.set_by_words(word, &mut lexer)
        {
            return;
        }
        match setting::read(first, &mut lexer) {
            Setting::Unclear => self.found().unknown = true,
            Setting::Name(name) if setting::follows(&lexer, setting::assigns) => self.name(&name),
            Setting::Name(_) | Setting::None => self.unclear_if(inner),
        }
    }

    fn unclear_if(&mut self, inner: bool) {
        if inner {
            self.found().unknown = true;
        }
    }

    /// The forms of SET that name their setting by key words. True when it was one.
    fn set_by_words(&mut self, word: Token<'_>, lexer: &mut Lexer<'_>) -> bool {
        if word.is("role") {
            self.name(b"role");
        } else if word.is("session") && follows_one(lexer, &["authorization"]) {
            lexer.next();
            if follows_one(lexer, &["default"]) {
                self.found().default_authorization = true;
            } else {
                self.name(b"session_authorization");
            }
        } else if word.is("session") && follows_one(lexer, &["characteristics"]) {
            for name in [
                "default_transaction_isolation",
                "default_transaction_read_only",
                "default_transaction_deferrable",
            ] {
                self.name(name.as_bytes());
            }
        } else if word.is("time") {
            self.name(b"timezone");
        } else if word.is("names") {
            self.name(b"client_encoding");
        } else if word.is("schema") {
            // ALTER FUNCTION … SET SCHEMA moves the function.
            if setting::follows(lexer, |t| matches!(t, Token::Text { .. })) {
                self.name(b"search_path");
            }
        } else if word.is("xml") {
            self.name(b"xmloption");
        } else {
            return word.is("transaction") || word.is("constraints");
        }
        true
    }

    /// From behind RESET.
    fn reset(&mut self, mut lexer: Lexer<'_>, place: Place) {
        let first = lexer.next();
        let goes_on =
            |word: &str, next: &str| first.is_some_and(|t| t.is(word)) && follows_one(&lexer, &[next]);
        if first.is_some_and(|t| t.is("all")) {
            if place.alters {
                self.found().unknown = true;
            } else {
                self.found().reset_all = true;
            }
        } else if goes_on("session", "authorization") {
            self.found().default_authorization = true;
        } else if goes_on("time", "zone") {
            self.name(b"timezone");
        } else if goes_on("transaction", "isolation") {
            self.name(b"transaction_isolation");
        } else {
            match setting::read(first, &mut lexer) {
                Setting::Name(name) => {
                    self.name(&name);
                    self.unclear_if(place.inner && lexer.next().is_none());
                }
                Setting::Unclear => self.found().unknown = true,
                Setting::None => self.unclear_if(place.inner),
            }
        }
    }
}

/// Whether the next token is one of these words. Does not move.
fn follows_one(lexer: &Lexer<'_>, words: &[&str]) -> bool {
    setting::follows(lexer, |t| words.iter().any(|w| t.is(w)))
}

/// Words of PL/pgSQL behind which a statement begins.
fn opens(word: Token<'_>) -> bool {
    ["begin", "then", "else", "loop"].iter().any(|w| word.is(w))
}
