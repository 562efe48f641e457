//! The names in a text that nobody parses: the body of a function, the definition of a view.

use std::collections::HashSet;

use super::lexer::{Lexer, Token};
use super::literal;

/// A schema, where it is given, and a name; folded or unquoted as the server does it.
pub type Named = (Option<Box<str>>, Box<str>);

/// More names of one kind are not collected.
const MOST: usize = 5_000;

/// What a text mentions. It says too much rather than too little: a column counts as a table of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    /// What may be relations.
    pub names: HashSet<Named>,
    /// What is followed by a parenthesis.
    pub calls: HashSet<Named>,
    /// Operators.
    pub operators: HashSet<Box<str>>,
    /// Settings that are read by their name as a literal: `current_setting('app.tenant')`. In lower case.
    pub settings: HashSet<Box<str>>,
    /// A setting is read whose name is no literal.
    pub unclear_setting: bool,
    /// Text is run that need not be in this one: EXECUTE.
    pub dynamic: bool,
    /// There is more than was read: a name that cannot be decoded, or too many.
    pub incomplete: bool,
}

/// Reads a body in SQL or PL/pgSQL, or an expression. Strings are read as standard ones.
pub fn mentions(text: &[u8]) -> Mentions {
    let mut found = Mentions::default();
    let mut lexer = Lexer::new(text, true);
    let mut operator = Vec::new();
    let mut end = 0;
    while let Some(token) = lexer.next() {
        if let Token::Symbol(byte) = token
            && b"+-*/<>=~!@#%^&|`?".contains(&byte)
        {
            if lexer.start() != end {
                found.operator(&mut operator);
            }
            operator.push(byte);
            end = lexer.position();
            continue;
        }
        found.operator(&mut operator);
        if token.is("execute") {
            // GRANT EXECUTE ON and CREATE TRIGGER … EXECUTE FUNCTION run nothing.
            let names = ["on", "function", "procedure"];
            found.dynamic |= !lexer.clone().next().is_some_and(|t| names.iter().any(|w| t.is(w)));
        }
        found.chain(token, &mut lexer);
    }
    found.operator(&mut operator);
    found.incomplete |= found.names.len() >= MOST || found.calls.len() >= MOST;
    found
}

/// What is followed by a parenthesis in a text, folded or unquoted, with its schema if it is given. A few key words
/// are among it.
/// `standard_strings` is the session's `standard_conforming_strings`.
pub fn calls(text: &[u8], standard_strings: bool) -> HashSet<Named> {
    let mut found = Mentions::default();
    let mut lexer = Lexer::new(text, standard_strings);
    while let Some(token) = lexer.next() {
        if let Some((parts, true)) = chain(token, &mut lexer) {
            found.call(parts);
        }
    }
    found.calls
}

/// Whether a text may call a function of which `matters` says yes, given its name in lower case. A quick look, which
/// may find calls in strings and comments, but misses none. It allocates nothing.
pub fn may_call(text: &[u8], matters: impl Fn(&str) -> bool) -> bool {
    memchr::memchr_iter(b'(', text).any(|at| {
        let before = text.get(..at).unwrap_or_default();
        let trimmed = before.trim_ascii_end();
        // Behind a line break or a comment the name may stand further off.
        let gap = before.get(trimmed.len()..).unwrap_or_default();
        let in_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | 0x80..);
        let start = trimmed.iter().rposition(|b| !in_name(b)).map_or(0, |at| at + 1);
        let name = trimmed.get(start..).unwrap_or_default();
        match trimmed.last() {
            None | Some(b'\'') => false,
            Some(b'/' | b'"' | 0x0b | 0x0c) => true,
            // `1f(` is a number and a name to servers up to version 14; a dollar may end a string.
            _ if name.first().is_some_and(|b| b.is_ascii_digit() || *b == b'$') => true,
            _ if gap.iter().any(|b| matches!(b, b'\n' | b'\r')) => true,
            _ => {
                let mut folded = [0; 63];
                let Some(folded) = folded.get_mut(..name.len()) else { return true };
                folded.copy_from_slice(name);
                folded.make_ascii_lowercase();
                !name.is_empty() && std::str::from_utf8(folded).map_or(true, &matters)
            }
        }
    })
}

/// The names with dots between them that begin with `token`, and whether a parenthesis follows; `None` for what is
/// no name. An empty list is one that cannot be decoded.
fn chain<'a>(token: Token<'a>, lexer: &mut Lexer<'a>) -> Option<(Vec<Box<str>>, bool)> {
    let is_name = |t: Token<'_>| matches!(t, Token::Word(_) | Token::Quoted(_) | Token::UnicodeQuoted(_));
    if !is_name(token) {
        return None;
    }
    let mut parts = Some(Vec::new());
    let mut token = token;
    loop {
        let part = literal::identifier(token, lexer)
            .and_then(|part| Some(std::str::from_utf8(literal::cut(&part)).ok()?.into()));
        parts = parts.zip(part).map(|(mut parts, part): (Vec<Box<str>>, _)| {
            parts.push(part);
            parts
        });
        let mut ahead = lexer.clone();
        match ahead.next() {
            Some(Token::Symbol(b'.')) => match ahead.next() {
                Some(next) if is_name(next) => {
                    token = next;
                    *lexer = ahead;
                }
                _ => return Some((parts.unwrap_or_default(), false)),
            },
            next => return Some((parts.unwrap_or_default(), next == Some(Token::Symbol(b'(')))),
        }
    }
}

impl Mentions {
    fn operator(&mut self, bytes: &mut Vec<u8>) {
        if let Some(operator) = std::str::from_utf8(bytes).ok().filter(|o| !o.is_empty()) {
            self.operators.insert(operator.into());
        }
        bytes.clear();
    }

    fn chain<'a>(&mut self, token: Token<'a>, lexer: &mut Lexer<'a>) {
        let Some((parts, called)) = chain(token, lexer) else { return };
        if parts.is_empty() {
            self.incomplete = true;
        } else if called {
            if parts.last().is_some_and(|name| **name == *"current_setting") {
                self.setting(lexer.clone());
            }
            self.call(parts);
        } else if self.names.len() < MOST {
            // `a.b.c` may be a column of a table in a schema, or a table in a schema of a database.
            if let Some(first) = parts.first() {
                self.names.insert((None, first.clone()));
            }
            for pair in parts.windows(2) {
                if let [schema, name] = pair {
                    self.names.insert((Some(schema.clone()), name.clone()));
                }
            }
        }
    }

    fn call(&mut self, mut parts: Vec<Box<str>>) {
        if let (Some(name), schema) = (parts.pop(), parts.pop())
            && self.calls.len() < MOST
        {
            self.calls.insert((schema, name));
        }
    }

    /// From before the parenthesis of `current_setting`: a literal as the whole first argument, or else nobody knows.
    fn setting(&mut self, mut lexer: Lexer<'_>) {
        lexer.next();
        let name = match lexer.next() {
            Some(Token::Text { raw, form }) => literal::value(raw, form, &mut lexer),
            _ => None,
        };
        let mut behind = lexer.next();
        if behind == Some(Token::Symbol(b':')) && lexer.next() == Some(Token::Symbol(b':')) {
            behind = lexer.next().filter(|t| t.is("text")).and_then(|_| lexer.next());
        }
        let ends = matches!(behind, Some(Token::Symbol(b',' | b')')));
        match name.as_deref().and_then(|name| std::str::from_utf8(name).ok()).filter(|_| ends) {
            Some(name) => {
                self.settings.insert(name.to_lowercase().into());
            }
            None => self.unclear_setting = true,
        }
    }
}
