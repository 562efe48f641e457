//! `PostgreSQL`'s lexical structure (manual, chapter 4.1), as tokens that point into the text.

/// One token. Comments and white space are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A key word or identifier as typed; the server folds it to lower case.
    Word(&'a [u8]),
    /// An identifier in double quotes, between them, with `""` as typed.
    Quoted(&'a [u8]),
    /// An identifier written `U&"…"`, between its quotes, with escapes as typed.
    UnicodeQuoted(&'a [u8]),
    /// A string of any form, or a bit string.
    Text {
        /// What stands between the quotes, as typed.
        raw: &'a [u8],
        /// How `raw` is to be read.
        form: Form,
    },
    /// A number, as typed and without its sign.
    Number(&'a [u8]),
    /// `$1`.
    Parameter,
    /// Any other byte.
    Symbol(u8),
}

/// The forms of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `'…'` and `N'…'`.
    Plain,
    /// `E'…'`, and `'…'` where strings are not standard: a backslash escapes.
    Escape,
    /// `U&'…'`.
    Unicode,
    /// `$tag$…$tag$`.
    Dollar,
    /// `B'…'` and `X'…'`.
    Bits,
    /// Pieces that continue each other over several lines; `raw` is only the first.
    Joined,
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

/// What each byte may be part of, so that a word costs one look for each of its bytes.
#[expect(
    clippy::indexing_slicing,
    reason = "in a constant the compiler finds an index that is out of bounds"
)]
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let starts = b.is_ascii_alphabetic() || b == b'_' || b >= 0x80;
        let goes_on = starts || b.is_ascii_digit() || b == b'$';
        classes[byte] = STARTS_WORD * starts as u8 + IN_WORD * goes_on as u8;
        byte += 1;
    }
    classes
};
const STARTS_WORD: u8 = 1;
const IN_WORD: u8 = 2;

fn is_in(class: u8, byte: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|c| c & class != 0)
}

fn starts_word(byte: u8) -> bool {
    is_in(STARTS_WORD, byte)
}

fn in_word(byte: u8) -> bool {
    is_in(IN_WORD, byte)
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

    /// How many bytes were read: where the token that came last ends.
    pub fn position(&self) -> usize {
        self.at
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

    /// From behind the opening quote to behind the closing one, if there is one; a doubled quote stands
    /// for itself.
    fn skip_quoted(&mut self, quote: u8, backslash: bool) -> bool {
        while let Some(byte) = self.peek(0) {
            self.at += 1;
            if byte == b'\\' && backslash {
                self.at = self.text.len().min(self.at + 1);
            } else if byte == quote {
                if self.peek(0) != Some(quote) {
                    return true;
                }
                self.at += 1;
            }
        }
        false
    }

    /// The same for the commonest strings, by `memchr` instead of byte by byte.
    fn skip_plain(&mut self) -> bool {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(n) = memchr::memchr(b'\'', rest) else {
                self.at = self.text.len();
                return false;
            };
            self.at += n + 1;
            if self.peek(0) != Some(b'\'') {
                return true;
            }
            self.at += 1;
        }
    }

    fn skip_string(&mut self, form: Form) -> bool {
        if form == Form::Escape { self.skip_quoted(b'\'', true) } else { self.skip_plain() }
    }

    /// Moves behind the quote that continues the string just read: one on a later line, with nothing but
    /// white space and line comments between.
    fn continues(&mut self) -> bool {
        let (mut at, mut newline) = (self.at, false);
        while let Some(byte) = self.text.get(at) {
            match byte {
                b' ' | b'\t' | 0x0b | 0x0c => at += 1,
                b'\n' | b'\r' => {
                    newline = true;
                    at += 1;
                }
                b'-' if self.text.get(at + 1) == Some(&b'-') => at = self.end_of_line(at),
                b'\'' if newline => {
                    self.at = at + 1;
                    return true;
                }
                _ => return false,
            }
        }
        false
    }

    fn end_of_line(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len())
    }

    /// From behind the opening quote. A piece that continues a string is read by the rules of the first: the
    /// backslash in `E'a' ⏎ 'b\''` escapes.
    fn string(&mut self, form: Form) -> Token<'a> {
        let from = self.at;
        let mut closed = self.skip_string(form);
        let raw = self.slice(from, self.at - usize::from(closed));
        let mut read_as = form;
        while closed && self.continues() {
            read_as = Form::Joined;
            closed = self.skip_string(form);
        }
        Token::Text { raw, form: read_as }
    }

    fn plain_form(&self) -> Form {
        if self.standard_strings { Form::Plain } else { Form::Escape }
    }

    fn quoted_identifier(&mut self) -> &'a [u8] {
        self.at += 1;
        let from = self.at;
        let closed = self.skip_quoted(b'"', false);
        self.slice(from, self.at - usize::from(closed))
    }

    /// Digits with their point and exponent. As the server up to version 14 has it, a word may follow without
    /// a space (`1=1THEN`), and so may the two dots of a loop (`1..9`).
    fn number(&mut self) -> Token<'a> {
        let from = self.at;
        let base = self.peek(1).unwrap_or_default().to_ascii_lowercase();
        let digits =
            matches!(base, b'x' | b'o' | b'b') && self.peek(2).is_some_and(|b| b.is_ascii_hexdigit());
        if self.peek(0) == Some(b'0') && digits {
            self.at += 2;
            self.skip_while(|b| {
                b == b'_' || if base == b'x' { b.is_ascii_hexdigit() } else { b.is_ascii_digit() }
            });
            return Token::Number(self.slice(from, self.at));
        }
        self.skip_while(|b| b.is_ascii_digit() || b == b'_');
        if self.peek(0) == Some(b'.') && self.peek(1) != Some(b'.') {
            self.at += 1;
            self.skip_while(|b| b.is_ascii_digit() || b == b'_');
        }
        if self.peek(0).is_some_and(|b| b.eq_ignore_ascii_case(&b'e')) {
            let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
            if self.peek(1 + sign).is_some_and(|b| b.is_ascii_digit()) {
                self.at += 1 + sign;
                self.skip_while(|b| b.is_ascii_digit() || b == b'_');
            }
        }
        Token::Number(self.slice(from, self.at))
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
        let end = memchr::memmem::find(rest, tag);
        self.at += end.map_or(rest.len(), |n| n + tag.len());
        Token::Text { raw: rest.get(..end.unwrap_or(rest.len())).unwrap_or_default(), form: Form::Dollar }
    }

    /// A word, or one of the strings that begin with a letter: `E''`, `B''`, `X''`, `N''`, `U&''`, `U&""`.
    fn word(&mut self) -> Token<'a> {
        let from = self.at;
        let first = self.peek(0).unwrap_or_default().to_ascii_lowercase();
        match (first, self.peek(1), self.peek(2)) {
            (b'e' | b'b' | b'x' | b'n', Some(b'\''), _) => {
                self.at += 2;
                return self.string(match first {
                    b'e' => Form::Escape,
                    b'n' => self.plain_form(),
                    _ => Form::Bits,
                });
            }
            (b'u', Some(b'&'), Some(b'\'')) => {
                self.at += 3;
                return self.string(Form::Unicode);
            }
            (b'u', Some(b'&'), Some(b'"')) => {
                self.at += 2;
                return Token::UnicodeQuoted(self.quoted_identifier());
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
                    self.at = self.end_of_line(self.at);
                }
                b'/' if self.peek(1) == Some(b'*') => self.skip_block_comment(),
                b'\'' => {
                    self.at += 1;
                    return Some(self.string(self.plain_form()));
                }
                b'"' => return Some(Token::Quoted(self.quoted_identifier())),
                b'$' => return Some(self.dollar()),
                b if starts_word(b) => return Some(self.word()),
                b if b.is_ascii_digit() => return Some(self.number()),
                b => {
                    self.at += 1;
                    return Some(Token::Symbol(b));
                }
            }
        }
    }
}
