//! A text without what does not matter to the server: comments around it, and further on its constants.

use super::lexer::{Lexer, Token};

/// The text without the comments, white space and semicolons around it, in which marks are read ([`super::marks`]).
/// `standard_strings` is the session's `standard_conforming_strings`.
pub fn core(text: &[u8], standard_strings: bool) -> &[u8] {
    if memchr::memmem::find(text, b"*/").is_none() && memchr::memmem::find(text, b"--").is_none() {
        return trim(text);
    }
    let mut lexer = Lexer::new(text, standard_strings);
    let (mut start, mut end) = (None, 0);
    while let Some(token) = lexer.next() {
        if token != Token::Symbol(b';') {
            start = start.or(Some(lexer.start()));
            end = lexer.position();
        }
    }
    start.and_then(|start| text.get(start..end)).unwrap_or_default()
}

/// Cuts what stands between statements from both ends.
fn trim(text: &[u8]) -> &[u8] {
    let outer = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | b';');
    let start = text.iter().position(|b| !outer(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !outer(b)).map_or(start, |at| at + 1);
    text.get(start..end).unwrap_or_default()
}
