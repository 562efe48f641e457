//! The name of a setting where SET, RESET and SHOW have it: `name`, `class.name`, quoted or not.

use super::lexer::{Lexer, Token};
use super::literal;

/// A longer name is no setting of anybody, and reading on would make many in a row slow.
const MOST_PARTS: usize = 8;
/// The server cuts a longer identifier.
const LONGEST_PART: usize = 63;

/// What was found where a name belongs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// The parts with dots between them; unquoted parts are folded to lower case, quoted ones are as typed.
    Name(Vec<u8>),
    /// A name, but one that only the server can tell.
    Unclear,
    /// Something else, or nothing.
    None,
}

/// Reads the name that begins with `first`; `lexer` is moved behind its last part.
pub(super) fn read<'a>(first: Option<Token<'a>>, lexer: &mut Lexer<'a>) -> Setting {
    let mut name = Vec::new();
    let mut part = first;
    for count in 1.. {
        let Some(token @ (Token::Word(_) | Token::Quoted(_) | Token::UnicodeQuoted(_))) = part else {
            return if count == 1 { Setting::None } else { Setting::Unclear };
        };
        let Some(read) = literal::identifier(token, lexer) else { return Setting::Unclear };
        if read.len() > LONGEST_PART || count > MOST_PARTS {
            return Setting::Unclear;
        }
        name.extend_from_slice(&read);
        if !follows(lexer, |t| t == Token::Symbol(b'.')) {
            break;
        }
        lexer.next();
        name.push(b'.');
        part = lexer.next();
    }
    Setting::Name(name)
}

/// Whether the next token is one like this. Does not move.
pub(super) fn follows(lexer: &Lexer<'_>, like: impl FnOnce(Token<'_>) -> bool) -> bool {
    lexer.clone().next().is_some_and(like)
}

/// Whether a word is a name here and no key word of SET's: `SET local.x`, `SET time = …`.
pub(super) fn is_name(lexer: &Lexer<'_>) -> bool {
    follows(lexer, |t| t == Token::Symbol(b'.') || assigns(t))
}

/// What stands between a setting and its value.
pub(super) fn assigns(token: Token<'_>) -> bool {
    token == Token::Symbol(b'=') || token.is("to") || token.is("from")
}
