//! What a text does to the session it runs in.

use super::class::{Class, class};
use super::leaves::Leaves;
use super::lexer::{Lexer, Token};
use super::literal;

/// What `DEALLOCATE` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deallocate<'a> {
    /// `DEALLOCATE ALL`.
    All,
    /// One statement, as an identifier typed without quotes (not folded yet).
    Word(&'a [u8]),
    /// One statement, between double quotes (`""` not undone yet).
    Quoted(&'a [u8]),
    /// One statement, as `U&"…"` (nothing undone yet), and its escape character.
    Unicode(&'a [u8], u8),
}

impl Deallocate<'_> {
    /// The name the server would look for; empty for `ALL`.
    pub fn name(&self) -> Vec<u8> {
        match self {
            Self::All => Vec::new(),
            Self::Word(word) => word.to_ascii_lowercase(),
            Self::Quoted(text) => literal::undouble(text, b'"').into_owned(),
            // What cannot be decoded is an error to the server, so the name is of no account.
            Self::Unicode(text, escape) => literal::unicode(text, b'"', *escape).unwrap_or_default(),
        }
    }
}

/// What was found in a text of one or more statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits<'a> {
    /// Statements that are not empty.
    pub statements: u32,
    /// What of it may outlive its transaction in the session.
    pub leaves: Leaves,
    /// A single `DEALLOCATE`.
    pub deallocate: Option<Deallocate<'a>>,
    /// A single `DISCARD ALL`.
    pub discard_all: bool,
    /// The first statement ends a transaction (COMMIT, END, ROLLBACK, ABORT, also `ROLLBACK TO`, PREPARE
    /// TRANSACTION): the server accepts it in a failed one.
    pub ends_transaction: bool,
    /// What the first statement is to its transaction.
    pub class: Class,
    /// A statement is LISTEN or UNLISTEN.
    pub listens: bool,
    /// A statement is SAVEPOINT, RELEASE or ROLLBACK TO.
    pub savepoints: bool,
    /// A statement is NOTIFY, or mentions `pg_notify`.
    pub notifies: bool,
}

impl Traits<'_> {
    /// [`super::steps`] finds something in it.
    pub fn steps(&self) -> bool {
        self.listens || self.savepoints
    }
}

/// Reads a whole text. `standard_strings` is the session's `standard_conforming_strings`.
pub fn traits(text: &[u8], standard_strings: bool) -> Traits<'_> {
    let mut lexer = Lexer::new(text, standard_strings);
    let mut found = Traits::default();
    while let Some(first) = next_start(&mut lexer) {
        found.statements += 1;
        let alone = found.statements == 1;
        let statement = statement(first, &mut lexer);
        found.leaves |= statement.leaves;
        found.listens |= statement.listens;
        found.savepoints |= statement.savepoints;
        found.notifies |= statement.notifies;
        found.deallocate = statement.deallocate.filter(|_| alone);
        found.discard_all = statement.discard_all && alone;
        if alone {
            found.ends_transaction = statement.ends_transaction;
            found.class = statement.class;
        }
    }
    found
}

/// The name that a text of PREPARE gives to its statement.
pub fn prepared_name(text: &[u8], standard_strings: bool) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(text, standard_strings);
    next_start(&mut lexer).filter(|t| t.is("prepare"))?;
    let token = lexer.next()?;
    Some(literal::identifier(token, &mut lexer)?.into_owned())
}

/// Whether a text begins with ROLLBACK or ABORT.
pub fn rolls_back(text: &[u8], standard_strings: bool) -> bool {
    next_start(&mut Lexer::new(text, standard_strings)).is_some_and(|t| t.is("rollback") || t.is("abort"))
}

/// Whether a text begins with SET LOCAL.
pub fn is_local(text: &[u8], standard_strings: bool) -> bool {
    let mut lexer = Lexer::new(text, standard_strings);
    let set = next_start(&mut lexer).is_some_and(|t| t.is("set"));
    set && lexer.next().is_some_and(|t| t.is("local"))
}

/// The statement that a text of EXECUTE, PREPARE or DEALLOCATE alone names, folded or unquoted; empty for all of them. `None`
/// for other texts, and where the name cannot be read.
pub fn named_statement(text: &[u8], standard_strings: bool) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(text, standard_strings);
    let first = next_start(&mut lexer)?;
    let name = if first.is("execute") || first.is("prepare") {
        let token = lexer.next()?;
        literal::identifier(token, &mut lexer)?.into_owned()
    } else if first.is("deallocate") {
        deallocate(&mut lexer, &mut None)?.name()
    } else {
        return None;
    };
    let alone = !lexer.skip_while(|t| *t != Token::Symbol(b';')).any(|t| t != Token::Symbol(b';'));
    alone.then_some(name)
}

/// The first token of the next statement that is not empty.
fn next_start<'a>(lexer: &mut Lexer<'a>) -> Option<Token<'a>> {
    lexer.find(|t| *t != Token::Symbol(b';'))
}

fn statement<'a>(first: Token<'a>, lexer: &mut Lexer<'a>) -> Traits<'a> {
    let mut found = Traits { class: class(first, lexer), ..Traits::default() };
    found.savepoints = found.class == Class::RollbackTo;
    let Token::Word(word) = first else {
        body(None, lexer, &mut found);
        return found;
    };
    // The length tells most statements from the few that are looked at more closely.
    let mut second = None;
    let leaves = match word.len() {
        2 if first.is("do") => Leaves::ANYTHING | Leaves::DRAWS,
        3 if first.is("set") => set(lexer, &mut second),
        4 if first.is("call") => Leaves::ANYTHING | Leaves::DRAWS,
        4 if first.is("load") => Leaves::LIBRARY.plainly(),
        4 if first.is("copy") || first.is("with") => Leaves::DRAWS,
        4 if first.is("drop") => Leaves::ENDS,
        5 if first.is("close") => Leaves::ENDS,
        5 if first.is("reset") => reset(lexer, &mut second),
        5 if first.is("merge") => Leaves::DRAWS,
        6 if first.is("insert") || first.is("update") || first.is("delete") => Leaves::DRAWS,
        6 if first.is("create") && creates_temporary(lexer, &mut second) => temporary(lexer),
        7 if first.is("prepare") => {
            second = lexer.next();
            let two_phase = second.is_some_and(|t| t.is("transaction"));
            found.ends_transaction = two_phase;
            if two_phase { Leaves::NOTHING } else { Leaves::PREPARED }
        }
        7 if first.is("execute") => Leaves::EXECUTES | Leaves::DRAWS,
        7 if first.is("discard") => {
            second = lexer.next();
            found.discard_all = second.is_some_and(|t| t.is("all"));
            Leaves::ENDS
        }
        10 if first.is("deallocate") => {
            found.deallocate = deallocate(lexer, &mut second);
            Leaves::EXECUTES | Leaves::ENDS
        }
        _ => Leaves::NOTHING,
    };
    found.leaves |= leaves;
    found.ends_transaction |= match word.len() {
        3 => first.is("end"),
        5 => first.is("abort"),
        6 => first.is("commit"),
        8 => first.is("rollback"),
        _ => false,
    };
    match word.len() {
        6 => {
            found.listens = first.is("listen");
            found.notifies = first.is("notify");
        }
        7 => found.savepoints |= first.is("release"),
        8 => found.listens = first.is("unlisten"),
        9 => found.savepoints |= first.is("savepoint"),
        _ => {}
    }
    if second != Some(Token::Symbol(b';')) {
        body(Some(first), lexer, &mut found);
    }
    let writes = ["update", "with", "merge"].iter().any(|word| first.is(word));
    if found.leaves.has(Leaves::LISTED) && writes {
        found.leaves |= Leaves::SETTINGS | Leaves::RESETS;
    }
    found
}

/// From behind SET; leaves the last token read in `last`.
fn set<'a>(lexer: &mut Lexer<'a>, last: &mut Option<Token<'a>>) -> Leaves {
    *last = lexer.next();
    let local = last.is_some_and(|t| t.is("local"));
    if last.is_some_and(|t| t.is("transaction") || t.is("constraints")) {
        return Leaves::NOTHING;
    }
    let mut ahead = lexer.clone().take_while(|t| *t != Token::Symbol(b';'));
    let authorization =
        last.is_some_and(|t| t.is("session")) && ahead.next().is_some_and(|t| t.is("authorization"));
    // LOCAL at the end is a time zone only, and NAMES an encoding that is left out.
    let resets = ahead.last().or(*last).is_some_and(|t| t.is("default") || t.is("local") || t.is("names"));
    let leaves = match (authorization, local) {
        (true, _) if resets => return Leaves::ENDS | Leaves::SETTINGS | Leaves::RESETS, // the role goes too
        (true, _) => Leaves::AUTHORIZATION.plainly(),
        (_, true) => Leaves::LOCALS,
        _ => Leaves::SETTINGS,
    };
    if resets { leaves | Leaves::RESETS } else { leaves }
}

/// From behind RESET; leaves the last token read in `last`.
fn reset<'a>(lexer: &mut Lexer<'a>, last: &mut Option<Token<'a>>) -> Leaves {
    *last = lexer.next();
    let authorization =
        last.is_some_and(|t| t.is("session")) && lexer.clone().next().is_some_and(|t| t.is("authorization"));
    // The role goes with the user.
    let settings = Leaves::SETTINGS | Leaves::RESETS;
    if authorization { Leaves::ENDS | settings } else { settings }
}

/// From behind DEALLOCATE; leaves the last token read in `last`.
fn deallocate<'a>(lexer: &mut Lexer<'a>, last: &mut Option<Token<'a>>) -> Option<Deallocate<'a>> {
    *last = lexer.next().filter(|t| !t.is("prepare"));
    *last = last.or_else(|| lexer.next());
    match *last {
        Some(t) if t.is("all") => Some(Deallocate::All),
        Some(Token::Word(name)) => Some(Deallocate::Word(name)),
        Some(Token::Quoted(name)) => Some(Deallocate::Quoted(name)),
        Some(Token::UnicodeQuoted(name)) => {
            literal::escape_character(lexer).map(|escape| Deallocate::Unicode(name, escape))
        }
        _ => None,
    }
}

/// `CREATE [OR REPLACE] [LOCAL | GLOBAL] TEMP[ORARY]`; leaves the last token read in `last`.
fn creates_temporary<'a>(lexer: &mut Lexer<'a>, last: &mut Option<Token<'a>>) -> bool {
    for token in lexer.by_ref() {
        *last = Some(token);
        if token.is("temp") || token.is("temporary") {
            return true;
        }
        if !["or", "replace", "local", "global"].iter().any(|w| token.is(w)) {
            return false;
        }
    }
    false
}

/// What `CREATE TEMP …` leaves: nothing if it ends with its transaction. Looks ahead without moving.
fn temporary(lexer: &Lexer<'_>) -> Leaves {
    let mut ahead = lexer.clone().take_while(|t| *t != Token::Symbol(b';'));
    while let Some(token) = ahead.next() {
        if token.is("on")
            && ahead.next().is_some_and(|t| t.is("commit"))
            && ahead.next().is_some_and(|t| t.is("drop"))
        {
            return Leaves::NOTHING;
        }
    }
    Leaves::TEMPORARY.plainly()
}

/// The rest of a statement, up to its semicolon: words inside it that change the session.
fn body<'a>(first: Option<Token<'a>>, lexer: &mut Lexer<'a>, found: &mut Traits<'a>) {
    let declares = first.is_some_and(|t| t.is("declare"));
    while let Some(token) = lexer.next() {
        match token {
            Token::Symbol(b';') => return,
            // Rare enough not to be decoded: it may spell anything.
            Token::UnicodeQuoted(_) => found.leaves |= Leaves::ANYTHING,
            Token::Word(word) | Token::Quoted(word) => {
                found.leaves |= mention(token, word, declares, lexer);
                found.notifies |= word.len() == 9 && word.eq_ignore_ascii_case(b"pg_notify");
            }
            _ => {}
        }
    }
}

/// A word or a quoted name in the middle of a statement.
fn mention(token: Token<'_>, word: &[u8], declares: bool, lexer: &Lexer<'_>) -> Leaves {
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    match word.len() {
        4 if declares && token.is("with") && lexer.clone().next().is_some_and(|t| t.is("hold")) => {
            Leaves::CURSORS.plainly()
        }
        4 if token.is("into") && into_temporary(lexer) => Leaves::TEMPORARY.plainly(),
        7 if is("pg_temp") && lexer.clone().next() == Some(Token::Symbol(b'.')) => {
            Leaves::TEMPORARY.plainly()
        }
        7 if is("pg_temp") => Leaves::TEMPORARY, // in a search_path
        7 if token.is("execute") => Leaves::EXECUTES,
        7 if is("nextval") => Leaves::DRAWS,
        11 if is("pg_settings") => Leaves::LISTED,
        7 if is("currval") || is("lastval") => Leaves::SEQUENCES,
        10 if is("set_config") && config_is_local(lexer) => Leaves::LOCALS,
        10 if is("set_config") => Leaves::SETTINGS,
        16..=28 if word.get(..3).is_some_and(|w| w.eq_ignore_ascii_case(b"pg_")) => {
            if takes_session_lock(word) {
                Leaves::LOCKS.plainly()
            } else if is("pg_prepared_statements") {
                Leaves::EXECUTES // it shows them
            } else if word.get(..18).is_some_and(|w| w.eq_ignore_ascii_case(b"pg_advisory_unlock")) {
                Leaves::ENDS
            } else {
                Leaves::NOTHING
            }
        }
        _ => Leaves::NOTHING,
    }
}

/// `SELECT … INTO [LOCAL | GLOBAL] TEMP[ORARY] …`. Looks ahead without moving.
fn into_temporary(lexer: &Lexer<'_>) -> bool {
    let mut ahead = lexer.clone();
    let mut next = ahead.next();
    if next.is_some_and(|t| t.is("local") || t.is("global")) {
        next = ahead.next();
    }
    next.is_some_and(|t| t.is("temp") || t.is("temporary"))
}

/// `pg_advisory_lock`, `pg_try_advisory_lock` and their shared forms; not the `_xact_` ones.
fn takes_session_lock(word: &[u8]) -> bool {
    [
        &b"pg_advisory_lock"[..],
        b"pg_advisory_lock_shared",
        b"pg_try_advisory_lock",
        b"pg_try_advisory_lock_shared",
    ]
    .iter()
    .any(|name| word.eq_ignore_ascii_case(name))
}

/// Whether the call that follows ends in a literal `true`, so that its setting ends with the transaction.
/// Looks ahead without moving.
fn config_is_local(lexer: &Lexer<'_>) -> bool {
    let mut depth = 0_u32;
    let mut last = None;
    for token in lexer.clone() {
        match token {
            Token::Symbol(b'(') => depth += 1,
            Token::Symbol(b')') if depth <= 1 => return last.is_some_and(|t: Token<'_>| t.is("true")),
            Token::Symbol(b')') => depth -= 1,
            Token::Symbol(b';') => return false,
            _ => {}
        }
        last = Some(token);
    }
    false
}
