//! `PostgreSQL`'s lexical structure (manual, chapter 4.1), as tokens that point into the text.

/// One token. Comments and white space are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A key word or identifier as typed; the server folds it to lower case.
    Word(&'a [u8]),
    /// An identifier in double quotes, between them, with `""` as typed.
    Quoted(&'a [u8]),
    /// A string of any form, or a bit string; the value is not unescaped.
    Text,
    /// A number.
    Number,
    /// `$1`.
    Parameter,
    /// Any other byte.
    Symbol(u8),
}

impl Token<'_> {
    /// True for this key word, which is given in lower case.
    pub fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(w) if w.eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// Tokens of a text. A string, comment or identifier that does not end takes the rest of the text, as
/// the server would then refuse it.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the last token began.
    start: usize,
    /// `standard_conforming_strings`: when off, a backslash escapes in plain strings too.
    standard_strings: bool,
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn in_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

impl<'a> Lexer<'a> {
    /// Begins at the start of `text`.
    pub fn new(text: &'a [u8], standard_strings: bool) -> Self {
        Self { text, at: 0, start: 0, standard_strings }
    }

    /// Where the token that was read last begins, in bytes.
    pub fn start(&self) -> usize {
        self.start
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.text.get(from..to).unwrap_or_default()
    }

    fn skip_while(&mut self, mut keep: impl FnMut(u8) -> bool) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|b| !keep(*b)).unwrap_or(rest.len());
    }

    /// Moves behind the next `byte`, or to the end.
    fn skip_past(&mut self, byte: u8) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += memchr::memchr(byte, rest).map_or(rest.len(), |n| n + 1);
    }

    /// `/* … */`, which nests.
    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// From behind the opening quote to behind the closing one; a doubled quote stands for itself.
    fn skip_quoted(&mut self, quote: u8, backslash: bool) {
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if byte == b'\\' && backslash {
                self.at += 1;
            } else if byte == quote {
                if self.peek(0) != Some(quote) {
                    return;
                }
                self.at += 1;
            }
        }
    }

    fn quoted_identifier(&mut self) -> Token<'a> {
        self.at += 1;
        let from = self.at;
        self.skip_quoted(b'"', false);
        let closed = self.text.get(self.at.wrapping_sub(1)) == Some(&b'"') && self.at > from;
        Token::Quoted(self.slice(from, self.at - usize::from(closed)))
    }

    /// `$tag$ … $tag$`, `$1`, or a lone dollar.
    fn dollar(&mut self) -> Token<'a> {
        let from = self.at;
        self.at += 1;
        if self.peek(0).is_some_and(|b| b.is_ascii_digit()) {
            self.skip_while(|b| b.is_ascii_digit());
            return Token::Parameter;
        }
        self.skip_while(|b| in_word(b) && b != b'$');
        if self.peek(0) != Some(b'$') {
            self.at = from + 1;
            return Token::Symbol(b'$');
        }
        self.at += 1;
        let tag = self.slice(from, self.at);
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += memchr::memmem::find(rest, tag).map_or(rest.len(), |n| n + tag.len());
        Token::Text
    }

    /// A word, or one of the strings that begin with a letter: `E''`, `B''`, `X''`, `N''`, `U&''`, `U&""`.
    fn word(&mut self) -> Token<'a> {
        let from = self.at;
        let first = self.peek(0).unwrap_or_default().to_ascii_lowercase();
        match (first, self.peek(1), self.peek(2)) {
            (b'e' | b'b' | b'x' | b'n', Some(b'\''), _) => {
                self.at += 2;
                self.skip_quoted(b'\'', first == b'e' || !self.standard_strings);
                return Token::Text;
            }
            (b'u', Some(b'&'), Some(b'\'')) => {
                self.at += 3;
                self.skip_quoted(b'\'', false);
                return Token::Text;
            }
            (b'u', Some(b'&'), Some(b'"')) => {
                self.at += 2;
                return self.quoted_identifier();
            }
            _ => {}
        }
        self.skip_while(in_word);
        Token::Word(self.slice(from, self.at))
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let byte = self.peek(0)?;
            self.start = self.at;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'-' if self.peek(1) == Some(b'-') => {
                    let rest = self.text.get(self.at..).unwrap_or_default();
                    self.at += memchr::memchr2(b'\n', b'\r', rest).map_or(rest.len(), |n| n + 1);
                }
                b'/' if self.peek(1) == Some(b'*') => self.skip_block_comment(),
                b'\'' => {
                    self.at += 1;
                    if self.standard_strings {
                        self.skip_past_plain_string();
                    } else {
                        self.skip_quoted(b'\'', true);
                    }
                    return Some(Token::Text);
                }
                b'"' => return Some(self.quoted_identifier()),
                b'$' => return Some(self.dollar()),
                b if starts_word(b) => return Some(self.word()),
                b if b.is_ascii_digit() => {
                    self.skip_while(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_');
                    return Some(Token::Number);
                }
                b => {
                    self.at += 1;
                    return Some(Token::Symbol(b));
                }
            }
        }
    }
}

impl Lexer<'_> {
    /// The commonest string, found by `memchr` instead of byte by byte.
    fn skip_past_plain_string(&mut self) {
        loop {
            self.skip_past(b'\'');
            if self.peek(0) != Some(b'\'') {
                return;
            }
            self.at += 1;
        }
    }
}
