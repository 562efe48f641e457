//! Howdah's own settings in SET, RESET and SHOW, which the server never sees: `SET howdah.tenant = 'acme'`.

use super::lexer::{Lexer, Token};
use super::literal;
use super::setting::{self, Setting};

const CLASS: &[u8] = b"howdah.";
/// A longer value is refused, in bytes, as in a mark.
const LONGEST_VALUE: usize = 1024;

/// What a client asks of Howdah itself. Keys come without `howdah.`, in lower case unless they are quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnCommand {
    /// `SET [SESSION | LOCAL] howdah.key = value`.
    Set {
        /// The key.
        key: Box<str>,
        /// A string's value, a word in lower case, or a number as typed.
        value: Box<str>,
        /// For this transaction only.
        local: bool,
    },
    /// `RESET howdah.key`, and SET to DEFAULT.
    Reset {
        /// The key.
        key: Box<str>,
        /// `SET LOCAL howdah.key TO DEFAULT`: for this transaction only.
        local: bool,
    },
    /// `SHOW howdah.key`.
    Show {
        /// The key.
        key: Box<str>,
    },
    /// One of these, but not in a form that is understood; why, for the client.
    Malformed(&'static str),
}

/// The command that a text of exactly one statement is. `standard_strings` is the session's
/// `standard_conforming_strings`.
pub fn own_command(text: &[u8], standard_strings: bool) -> Option<OwnCommand> {
    let mut lexer = Lexer::new(text, standard_strings);
    let first = lexer.find(|t| *t != Token::Symbol(b';'))?;
    let command = statement(first, &mut lexer)?;
    let mut rest = lexer.skip_while(|t| *t != Token::Symbol(b';'));
    // More statements: see `mentions_own`.
    if rest.any(|t| t != Token::Symbol(b';')) { None } else { Some(command) }
}

/// Whether some statement of a text is such a command. With [`own_command`] it tells a text of several, of
/// which the server would get Howdah's too.
pub fn mentions_own(text: &[u8], standard_strings: bool) -> bool {
    if !may_mention(text) {
        return false;
    }
    let mut lexer = Lexer::new(text, standard_strings);
    let mut begins = true;
    while let Some(token) = lexer.next() {
        if token == Token::Symbol(b';') {
            begins = true;
        } else if std::mem::take(&mut begins) && statement(token, &mut lexer.clone()).is_some() {
            return true;
        }
    }
    false
}

/// Cheap, and true for too many: `howdah` in any case, or an escape that may spell it.
fn may_mention(text: &[u8]) -> bool {
    memchr::memchr3_iter(b'h', b'H', b'&', text).any(|at| {
        let from = text.get(at..).unwrap_or_default();
        from.starts_with(b"&\"") || from.get(..6).is_some_and(|word| word.eq_ignore_ascii_case(b"howdah"))
    })
}

/// One statement, of which `first` was read. `None` when it is another's.
fn statement<'a>(first: Token<'a>, lexer: &mut Lexer<'a>) -> Option<OwnCommand> {
    // By length first: this is asked of every text.
    let Token::Word(word) = first else { return None };
    match word.len() {
        3 if first.is("set") => set(lexer),
        5 if first.is("reset") => {
            let key = key(lexer.next(), lexer)?;
            Some(finish(key, lexer, |key| OwnCommand::Reset { key, local: false }))
        }
        4 if first.is("show") => {
            let key = key(lexer.next(), lexer)?;
            Some(finish(key, lexer, |key| OwnCommand::Show { key }))
        }
        _ => None,
    }
}

/// Behind the key, or the value, of a statement that ends there.
fn finish(
    key: Result<Box<str>, &'static str>,
    lexer: &Lexer<'_>,
    command: impl FnOnce(Box<str>) -> OwnCommand,
) -> OwnCommand {
    match key {
        Err(why) => OwnCommand::Malformed(why),
        Ok(_) if !ends(lexer) => OwnCommand::Malformed("something follows that does not belong there"),
        Ok(key) => command(key),
    }
}

fn ends(lexer: &Lexer<'_>) -> bool {
    lexer.clone().next().is_none_or(|t| t == Token::Symbol(b';'))
}

/// The key of a setting of Howdah's; `None` for a setting of another class.
fn key<'a>(first: Option<Token<'a>>, lexer: &mut Lexer<'a>) -> Option<Result<Box<str>, &'static str>> {
    let Setting::Name(name) = setting::read(first, lexer) else { return None };
    let (class, key) = name.split_at_checked(CLASS.len())?;
    if !class.eq_ignore_ascii_case(CLASS) {
        return None;
    }
    Some(match std::str::from_utf8(key) {
        Ok(key) if !key.is_empty() && !key.contains('.') => Ok(key.into()),
        _ => Err("there is no setting of this name"),
    })
}

/// From behind SET.
fn set(lexer: &mut Lexer<'_>) -> Option<OwnCommand> {
    let mut first = lexer.next();
    let mut local = false;
    if first.is_some_and(|t| t.is("local") || t.is("session")) && !setting::is_name(lexer) {
        local = first.is_some_and(|t| t.is("local"));
        first = lexer.next();
    }
    let key = key(first, lexer)?;
    let assigned = lexer.next().is_some_and(|t| t == Token::Symbol(b'=') || t.is("to"));
    if !assigned {
        return Some(OwnCommand::Malformed("\"=\" or TO is expected behind the name"));
    }
    Some(match value(lexer) {
        Ok(Some(value)) => finish(key, lexer, |key| OwnCommand::Set { key, value, local }),
        Ok(None) => finish(key, lexer, |key| OwnCommand::Reset { key, local }),
        Err(why) => OwnCommand::Malformed(why),
    })
}

/// The value; `None` for DEFAULT.
fn value(lexer: &mut Lexer<'_>) -> Result<Option<Box<str>>, &'static str> {
    const UNREADABLE: &str = "the value is not a single string, word or number";
    let bytes = match lexer.next() {
        Some(word @ Token::Word(_)) if word.is("default") => return Ok(None),
        Some(Token::Text { raw, form }) => literal::value(raw, form, lexer),
        Some(token @ (Token::Word(_) | Token::Quoted(_) | Token::UnicodeQuoted(_))) => {
            literal::identifier(token, lexer)
        }
        Some(Token::Number(digits)) => Some(digits.into()),
        Some(Token::Symbol(sign @ (b'-' | b'+'))) => match lexer.next() {
            Some(Token::Number(digits)) if sign == b'-' => Some([b"-", digits].concat().into()),
            Some(Token::Number(digits)) => Some(digits.into()),
            _ => None,
        },
        _ => None,
    };
    let bytes = bytes.ok_or(UNREADABLE)?;
    if bytes.len() > LONGEST_VALUE {
        return Err("the value is longer than 1024 bytes");
    }
    match std::str::from_utf8(&bytes) {
        Ok(value) if !value.contains('\0') => Ok(Some(value.into())),
        _ => Err("the value is not UTF-8"),
    }
}
