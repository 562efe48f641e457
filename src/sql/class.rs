//! What a statement is to the transaction that it runs in.

use super::lexer::{Lexer, Token};

/// How a statement and a transaction get on. What a transaction must run with (its tenant) is set ahead of its
/// first statement that could tell the difference; these words say which those are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// It runs in a transaction and takes a snapshot of its own: SELECT, INSERT, UPDATE, DELETE and their like.
    Query,
    /// It runs in a transaction: whatever is not one of the others.
    #[default]
    Plain,
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END, ROLLBACK, ABORT, PREPARE TRANSACTION.
    End,
    /// COMMIT or ROLLBACK, AND CHAIN: the next transaction begins at once.
    Chain,
    /// ROLLBACK TO a savepoint: what was set behind it is gone.
    RollbackTo,
    /// RESET ALL: what was set in the transaction is gone as well.
    ResetAll,
    /// It makes sense in a transaction block only, and fails outside of one: LOCK, DECLARE CURSOR without HOLD.
    InBlock,
    /// It reads no rows and runs nobody's functions: SET, RESET, SAVEPOINT, LISTEN, DEALLOCATE and so on.
    Bare,
    /// It may not run in a transaction block (VACUUM, CREATE DATABASE), or may end transactions inside (CALL, DO).
    Alone,
}

impl Class {
    /// It reads or writes rows, or could: what its transaction must run with has to be set before it.
    pub fn needs_locals(self) -> bool {
        matches!(self, Self::Query | Self::Plain | Self::InBlock | Self::Alone)
    }

    /// It changes whether a transaction is open, or what is set in it.
    pub fn moves(self) -> bool {
        matches!(self, Self::Begin | Self::End | Self::Chain | Self::RollbackTo | Self::ResetAll)
    }
}

/// One statement of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where its first token begins, in bytes.
    pub start: usize,
    /// What it is.
    pub class: Class,
}

/// The statements of a text that are not empty.
pub fn parts(text: &[u8], standard_strings: bool) -> impl Iterator<Item = Part> {
    let mut lexer = Lexer::new(text, standard_strings);
    std::iter::from_fn(move || {
        let first = lexer.find(|t| *t != Token::Symbol(b';'))?;
        let part = Part { start: lexer.start(), class: class(first, &lexer) };
        skip(first, &mut lexer);
        Some(part)
    })
}

/// Moves behind the end of the statement that begins with `first`. Semicolons in brackets (the actions of a rule)
/// and inside of a function's `BEGIN ATOMIC … END` do not end it.
pub(super) fn skip(first: Token<'_>, lexer: &mut Lexer<'_>) {
    let create = first.is("create");
    let mut brackets = u32::from(first == Token::Symbol(b'('));
    let (mut blocks, mut begin) = (0_u32, false);
    for token in lexer {
        match token {
            Token::Symbol(b';') if blocks == 0 && brackets == 0 => return,
            Token::Symbol(b'(') => brackets += 1,
            Token::Symbol(b')') => brackets = brackets.saturating_sub(1),
            Token::Word(_) if create => {
                if (begin && token.is("atomic")) || (blocks > 0 && token.is("case")) {
                    blocks += 1;
                } else if blocks > 0 && token.is("end") {
                    blocks -= 1;
                }
                begin = token.is("begin");
            }
            _ => begin = false,
        }
    }
}

/// The class of the statement that begins with `first`; `rest` stands behind that token and is not moved.
pub(super) fn class(first: Token<'_>, rest: &Lexer<'_>) -> Class {
    let Token::Word(word) = first else { return Class::Query }; // an opening bracket: a SELECT in it
    let is = |w: &str| first.is(w);
    let second = |w: &str| rest.clone().next().is_some_and(|t| t.is(w));
    let has = |w: &str| rest.clone().take_while(|t| *t != Token::Symbol(b';')).any(|t| t.is(w));
    match word.len() {
        2 if is("do") => Class::Alone,
        3 if is("end") => end(rest),
        3 if is("set") => Class::Bare,
        4 if is("with") => Class::Query,
        4 if is("call") => Class::Alone,
        4 if is("lock") => Class::InBlock,
        4 if is("drop") => created(rest),
        5 if is("begin") => Class::Begin,
        5 if is("start") => Class::Begin,
        5 if is("abort") => end(rest),
        5 if is("alter") => altered(rest),
        5 if is("reset") => if_so(second("all"), Class::ResetAll, Class::Bare),
        5 if is("table") || is("merge") => Class::Query,
        6 if is("select") || is("insert") || is("update") || is("delete") || is("values") => Class::Query,
        6 if is("commit") => end(rest),
        6 if is("vacuum") => Class::Alone,
        6 if is("create") => created(rest),
        6 if is("listen") || is("notify") => Class::Bare,
        7 if is("prepare") => if_so(second("transaction"), Class::End, Class::Plain),
        7 if is("declare") => {
            // WITHOUT HOLD is the default in many words.
            let hold = has("hold") && !has("without");
            if_so(hold, Class::Query, Class::InBlock)
        }
        7 if is("cluster") || is("reindex") => Class::Alone,
        7 if is("discard") || is("release") => Class::Bare,
        8 if is("rollback") => end(rest),
        8 if is("unlisten") => Class::Bare,
        9 if is("savepoint") => Class::Bare,
        10 if is("deallocate") => Class::Bare,
        _ => Class::Plain,
    }
}

/// Whether a text is one BEGIN or START TRANSACTION that says READ ONLY, and no isolation level but READ COMMITTED;
/// true if it says that.
pub fn begins_read_only(text: &[u8], standard_strings: bool) -> Option<bool> {
    let mut lexer = Lexer::new(text, standard_strings);
    let first = lexer.find(|t| *t != Token::Symbol(b';'));
    if !first.is_some_and(|t| t.is("begin") || t.is("start")) {
        return None;
    }
    let (mut before, mut read_only, mut committed, mut other) = (false, false, false, false);
    for token in lexer.by_ref().take_while(|t| *t != Token::Symbol(b';')) {
        if before {
            read_only = token.is("only") || read_only && !token.is("write");
            committed |= token.is("committed");
        }
        other |= token.is("repeatable") || token.is("serializable") || token.is("uncommitted");
        before = token.is("read");
    }
    let alone = lexer.all(|t| t == Token::Symbol(b';'));
    (read_only && !other && alone).then_some(committed)
}

/// Whether a text begins with this word.
pub fn begins_with(text: &[u8], word: &str, standard_strings: bool) -> bool {
    Lexer::new(text, standard_strings).find(|t| *t != Token::Symbol(b';')).is_some_and(|t| t.is(word))
}

/// Whether a text begins as a query that only reads would: SELECT, VALUES, TABLE, WITH, or a bracket. It may write all
/// the same.
pub fn begins_as_read(text: &[u8], standard_strings: bool) -> bool {
    let mut lexer = Lexer::new(text, standard_strings);
    match lexer.find(|t| *t != Token::Symbol(b';')) {
        Some(first @ Token::Word(_)) => ["select", "with", "values", "table"].iter().any(|w| first.is(w)),
        first => first == Some(Token::Symbol(b'(')),
    }
}

fn if_so(condition: bool, yes: Class, no: Class) -> Class {
    if condition { yes } else { no }
}

/// Behind COMMIT, END, ROLLBACK or ABORT.
fn end(rest: &Lexer<'_>) -> Class {
    let mut words = rest.clone().take_while(|t| *t != Token::Symbol(b';'));
    let mut next = words.next();
    if next.is_some_and(|t| t.is("prepared")) {
        return Class::Bare; // of another transaction
    }
    if next.is_some_and(|t| t.is("work") || t.is("transaction")) {
        next = words.next();
    }
    match next {
        Some(t) if t.is("to") => Class::RollbackTo,
        Some(t) if t.is("and") => {
            if_so(words.next().is_some_and(|t| t.is("chain")), Class::Chain, Class::End)
        }
        _ => Class::End,
    }
}

/// Behind CREATE or DROP.
fn created(rest: &Lexer<'_>) -> Class {
    let mut words = rest.clone().take_while(|t| *t != Token::Symbol(b';')).filter(|t| !t.is("unique"));
    let alone = match words.next() {
        Some(t) if t.is("database") || t.is("tablespace") || t.is("subscription") => true,
        Some(t) if t.is("index") => words.next().is_some_and(|t| t.is("concurrently")),
        _ => false,
    };
    if_so(alone, Class::Alone, Class::Plain)
}

/// Behind ALTER.
fn altered(rest: &Lexer<'_>) -> Class {
    let mut words = rest.clone().take_while(|t| *t != Token::Symbol(b';'));
    let alone = match words.next() {
        Some(t) if t.is("system") || t.is("database") || t.is("subscription") => true,
        Some(t) if t.is("table") => words.any(|t| t.is("concurrently")),
        _ => false,
    };
    if_so(alone, Class::Alone, Class::Plain)
}
