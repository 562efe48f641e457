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

/// A text as all that differ from it in their constants alone have it: comments and the semicolons at the end are out,
/// words that are not quoted are in lower case, each constant and parameter is a `?`, a list of them is one, and white
/// space is one space where two words would run together, behind a comma and around operators. `docs/statements.md` has
/// all of it. `standard_strings` is the session's `standard_conforming_strings`.
pub fn normalise(text: &[u8], standard_strings: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().min(4096));
    normalise_into(text, standard_strings, &mut out);
    out
}

/// The same into a buffer, which is emptied before. Returns what stands for the constants.
pub(super) fn normalise_into(text: &[u8], standard_strings: bool, out: &mut Vec<u8>) -> u64 {
    out.clear();
    let mut writer = Writer::new(out);
    for token in Lexer::new(text, standard_strings) {
        writer.token(token);
    }
    writer.end()
}

/// Stands for a normalised text: FNV-1a of it with 64 bits. It is the same in every version and on every machine.
pub fn fingerprint(normalised: &[u8]) -> u64 {
    normalised
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Start,
    Word,
    Constant,
    Comma,
    Operator,
    /// An opening bracket or a point: nothing stands between it and what follows.
    Joins,
    Closing,
}

/// Words behind which an expression begins, so that a minus there is a number's sign.
const BEFORE_EXPRESSION: [&[u8]; 33] = [
    b"all",
    b"and",
    b"any",
    b"between",
    b"by",
    b"case",
    b"default",
    b"distinct",
    b"else",
    b"escape",
    b"from",
    b"having",
    b"ilike",
    b"in",
    b"is",
    b"like",
    b"limit",
    b"not",
    b"offset",
    b"on",
    b"or",
    b"returning",
    b"select",
    b"set",
    b"similar",
    b"some",
    b"symmetric",
    b"then",
    b"to",
    b"using",
    b"values",
    b"when",
    b"where",
];
/// Statements that name what is made up anew each time: a cursor, a savepoint, a prepared statement.
const NAMING: [&[u8]; 8] =
    [b"savepoint", b"release", b"rollback", b"declare", b"close", b"fetch", b"move", b"deallocate"];
/// What stands before such a name,
const BEFORE_NAME: [&[u8]; 9] =
    [b"savepoint", b"release", b"declare", b"close", b"deallocate", b"prepare", b"to", b"from", b"in"];
/// and what is none.
const NO_NAME: [&[u8]; 3] = [b"all", b"savepoint", b"prepare"];
/// Brackets in brackets whose lists are folded.
const DEPTH: usize = 16;

fn is_one_of(word: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other))
}

/// Whether a word may be a constant, or begin a statement that has words for constants.
pub(super) fn folds_words(word: &[u8]) -> bool {
    is_one_of(word, &[b"null", b"true", b"false", b"set"]) || is_one_of(word, &NAMING)
}

/// What the statement that is being read needs besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    Nothing,
    /// It is a SET, and what it sets is yet to come.
    Set,
    /// Its value comes next: a constant, even if it is a word.
    Value,
    /// Its name is a constant.
    Name,
    /// Up to its end nothing is written.
    Skip,
}

struct Writer<'a, 'o> {
    out: &'o mut Vec<u8>,
    last: Kind,
    /// The last two words. The second one is empty if something else came behind it.
    words: [&'a [u8]; 2],
    /// A minus that may be a sign.
    minus: bool,
    duty: Duty,
    /// The next token begins a statement.
    first: bool,
    /// Where the elements of lists begin that are being read, by brackets.
    elements: [Option<usize>; DEPTH],
    depth: usize,
    values: u64,
}

impl<'a, 'o> Writer<'a, 'o> {
    fn new(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            last: Kind::Start,
            words: [b"", b""],
            minus: false,
            duty: Duty::Nothing,
            first: true,
            elements: [None; DEPTH],
            depth: 0,
            values: 0,
        }
    }

    fn end(mut self) -> u64 {
        if self.minus {
            self.write(Kind::Operator, b"-");
        }
        while self.out.last() == Some(&b';') {
            self.out.pop();
        }
        self.values
    }

    fn token(&mut self, token: Token<'a>) {
        let first = std::mem::replace(&mut self.first, token == Token::Symbol(b';'));
        if std::mem::take(&mut self.minus) {
            if matches!(token, Token::Number(_)) {
                self.values = mix(self.values, u64::from(b'-'));
            } else {
                self.write(Kind::Operator, b"-");
            }
        }
        match (self.duty, token) {
            (Duty::Skip, Token::Symbol(b';')) => self.duty = Duty::Nothing,
            (Duty::Skip, _) => return self.value(token),
            (Duty::Value, _) if !token.is("default") => {
                self.duty = Duty::Skip;
                return self.constant(token);
            }
            (Duty::Set, _) if token.is("to") || token == Token::Symbol(b'=') => {
                self.duty = Duty::Value;
                return self.write(Kind::Operator, b"=");
            }
            _ => {}
        }
        match token {
            Token::Word(word) => self.word(word, first),
            Token::Quoted(name) | Token::UnicodeQuoted(name) => self.quoted(name),
            Token::Text { .. } | Token::Number(_) | Token::Parameter => self.constant(token),
            Token::Symbol(symbol) => self.symbol(symbol),
        }
    }

    fn word(&mut self, word: &'a [u8], first: bool) {
        let [before, last] = self.words;
        if first {
            self.duty = match word {
                _ if word.eq_ignore_ascii_case(b"set") => Duty::Set,
                _ if is_one_of(word, &NAMING) => Duty::Name,
                _ => Duty::Nothing,
            };
        } else if self.is_name() && !is_one_of(word, &NO_NAME) {
            return self.name(word);
        }
        let tested = |word: &[u8]| word.eq_ignore_ascii_case(b"is");
        let negated = last.eq_ignore_ascii_case(b"not");
        let is_constant = match word.len() {
            4 if word.eq_ignore_ascii_case(b"null") => !tested(last) && !negated,
            4 | 5 if is_one_of(word, &[b"true", b"false"]) => !(tested(last) || negated && tested(before)),
            _ => false,
        };
        if is_constant && self.out.last() != Some(&b'.') {
            return self.constant(Token::Word(word));
        }
        self.write(Kind::Word, word);
        let written = self.out.len() - word.len();
        self.out.get_mut(written..).unwrap_or_default().make_ascii_lowercase();
        self.words = [last, word];
    }

    fn quoted(&mut self, name: &'a [u8]) {
        if self.is_name() {
            return self.name(name);
        }
        self.write(Kind::Word, b"\"");
        self.out.extend_from_slice(name);
        self.out.push(b'"');
    }

    /// Whether the next name is one that was made up for this once.
    fn is_name(&self) -> bool {
        self.duty == Duty::Name && is_one_of(self.words[1], &BEFORE_NAME)
    }

    fn name(&mut self, name: &'a [u8]) {
        self.duty = Duty::Nothing;
        self.constant(Token::Word(name));
    }

    fn constant(&mut self, token: Token<'_>) {
        self.value(token);
        if self.last == Kind::Comma && self.out.ends_with(b"?,") {
            // One more of a list.
            self.out.pop();
            self.last = Kind::Constant;
            self.set_element(None);
        } else {
            self.write(Kind::Constant, b"?");
        }
    }

    fn value(&mut self, token: Token<'_>) {
        let (Token::Text { raw: bytes, .. }
        | Token::Number(bytes)
        | Token::Word(bytes)
        | Token::Quoted(bytes)
        | Token::UnicodeQuoted(bytes)) = token
        else {
            return;
        };
        for bytes in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            self.values = mix(self.values, u64::from_le_bytes(word));
        }
        self.values = mix(self.values, bytes.len() as u64);
    }

    fn symbol(&mut self, symbol: u8) {
        match symbol {
            b'-' if self.before_expression() => self.minus = true,
            b'?' => {
                // A name, in a text that is normal already.
                self.duty = if self.is_name() { Duty::Nothing } else { self.duty };
                self.constant(Token::Symbol(b'?'));
            }
            b'(' | b'[' => {
                self.write(Kind::Joins, &[symbol]);
                self.depth += 1;
                self.set_element(Some(self.out.len()));
            }
            b')' | b']' => {
                self.fold();
                self.depth = self.depth.saturating_sub(1);
                self.write(Kind::Closing, &[symbol]);
                self.fold();
            }
            b',' => {
                self.fold();
                self.write(Kind::Comma, b",");
                self.set_element(Some(self.out.len()));
            }
            b';' => {
                self.write(Kind::Comma, b";");
                self.depth = 0;
                self.elements = [None; DEPTH];
            }
            b'.' => self.write(Kind::Joins, b"."),
            _ => self.write(Kind::Operator, &[symbol]),
        }
    }

    fn before_expression(&self) -> bool {
        match self.last {
            Kind::Start | Kind::Comma | Kind::Operator => true,
            Kind::Joins => self.out.last() != Some(&b'.'),
            Kind::Word => is_one_of(self.words[1], &BEFORE_EXPRESSION),
            Kind::Constant | Kind::Closing => false,
        }
    }

    fn set_element(&mut self, start: Option<usize>) {
        if let Some(element) = self.elements.get_mut(self.depth) {
            *element = start;
        }
    }

    /// Takes back an element of a list that is as the one before it and has a constant.
    fn fold(&mut self) {
        let Some(Some(start)) = self.elements.get(self.depth).copied() else { return };
        let Some((before, element)) = self.out.split_at_checked(start) else { return };
        let element = element.trim_ascii_start();
        let Some(before) = before.strip_suffix(b",").and_then(|before| before.strip_suffix(element)) else {
            return;
        };
        let foldable = FOLDED.iter().any(|begin| element.starts_with(begin)) && element.contains(&b'?');
        // A row of VALUES stands right behind the word.
        let whole = element.starts_with(b"(") || matches!(before.last(), Some(b'(' | b'[' | b',' | b' '));
        if foldable && whole {
            let kept = before.len() + element.len();
            self.out.truncate(kept);
            self.set_element(None);
        }
    }

    fn write(&mut self, kind: Kind, bytes: &[u8]) {
        let joined = matches!(
            (self.last, kind),
            (Kind::Start | Kind::Joins, _)
                | (_, Kind::Comma | Kind::Closing | Kind::Joins)
                | (Kind::Operator, Kind::Operator)
        );
        if !joined {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(bytes);
        self.last = kind;
        self.words = [self.words[1], b""];
    }
}

/// What elements of lists begin with that are folded.
const FOLDED: [&[u8]; 6] = [b"?", b"(", b"[", b"row(", b"cast(", b"array["];

/// Folds a number into a hash. The outcome is good for one version and one process only.
fn mix(hash: u64, number: u64) -> u64 {
    let wide = u128::from(hash ^ number ^ 0x243f_6a88_85a3_08d3) * 0x9e37_79b9_7f4a_7c15;
    (wide >> 64) as u64 ^ wide as u64
}
