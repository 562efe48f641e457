//! LISTEN, UNLISTEN and the savepoints that they are undone to: which of them a text holds, in its order.

use std::sync::Arc;

use super::class::{Class, class, skip};
use super::lexer::{Lexer, Token};
use super::literal;

/// A statement that matters to what a session listens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `LISTEN channel`.
    Listen(Arc<[u8]>),
    /// `UNLISTEN channel`.
    Unlisten(Arc<[u8]>),
    /// `UNLISTEN *`.
    UnlistenAll,
    /// `SAVEPOINT name`.
    Savepoint(Arc<[u8]>),
    /// `RELEASE name`.
    Release(Arc<[u8]>),
    /// `ROLLBACK TO name`.
    RollbackTo(Arc<[u8]>),
    /// COMMIT, ROLLBACK, PREPARE TRANSACTION.
    End,
}

/// The steps of a text, each with the place of its first token in bytes. Names are as the server reads them:
/// folded or unquoted, and cut; one that it refuses is empty. For texts of which [`super::Traits::steps`] says
/// that they have any.
pub fn steps(text: &[u8], standard_strings: bool) -> Vec<(usize, Step)> {
    let mut lexer = Lexer::new(text, standard_strings);
    let mut found = Vec::new();
    while let Some(first) = lexer.find(|t| *t != Token::Symbol(b';')) {
        if let Some(step) = step(first, &lexer) {
            found.push((lexer.start(), step));
        }
        skip(first, &mut lexer);
    }
    found
}

/// The step that the statement behind `first` is.
fn step(first: Token<'_>, rest: &Lexer<'_>) -> Option<Step> {
    let Token::Word(word) = first else { return None };
    let mut lexer = rest.clone();
    match word.len() {
        6 if first.is("listen") => {
            // Only a name: what is an error must not become an UNLISTEN *.
            let named = matches!(
                lexer.clone().next(),
                Some(Token::Word(_) | Token::Quoted(_) | Token::UnicodeQuoted(_))
            );
            named.then(|| Step::Listen(name(&mut lexer)))
        }
        8 if first.is("unlisten") => {
            let all = lexer.clone().next() == Some(Token::Symbol(b'*'));
            Some(if all { Step::UnlistenAll } else { Step::Unlisten(name(&mut lexer)) })
        }
        9 if first.is("savepoint") => Some(Step::Savepoint(name(&mut lexer))),
        7 if first.is("release") => Some(Step::Release(savepoint(&mut lexer))),
        3 | 5 | 6 | 7 | 8 => match class(first, rest) {
            Class::RollbackTo => {
                // [WORK | TRANSACTION] TO
                while lexer.next().is_some_and(|t| !t.is("to")) {}
                Some(Step::RollbackTo(savepoint(&mut lexer)))
            }
            Class::End | Class::Chain => Some(Step::End),
            _ => None,
        },
        _ => None,
    }
}

/// `[SAVEPOINT] name`.
fn savepoint(lexer: &mut Lexer<'_>) -> Arc<[u8]> {
    let mut behind = lexer.clone();
    let word = behind.next().is_some_and(|t| t.is("savepoint"));
    // A savepoint may be called savepoint.
    if word && behind.clone().next().is_some_and(|t| t != Token::Symbol(b';')) {
        *lexer = behind;
    }
    name(lexer)
}

fn name(lexer: &mut Lexer<'_>) -> Arc<[u8]> {
    let Some(token) = lexer.next() else { return Arc::default() };
    let name = literal::identifier(token, lexer).unwrap_or_default();
    literal::cut(&name).into()
}
