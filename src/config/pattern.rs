//! Names that carry more than a name: `app_user.acme` by `{user}.{tenant}`, and lists with `*`.

use std::fmt;
use std::sync::Arc;

/// Longest text that a pattern reads, in bytes. Nobody's name is longer, and the work for a longer one
/// would be done before the client has proven who it is.
const MAX_TEXT: usize = 1024;

/// A name in which `*` stands for any text, also for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<str>);

impl Glob {
    /// A name as somebody typed it; every text is one.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names exactly one thing.
    pub fn is_plain(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `name` is meant. Case counts.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(first) = parts.next() else { return false };
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            // The first place is the best one: whatever comes after finds as much room as it can have.
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or("");
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a name is made of, as in `{user}.{tenant}[:{user_id}]`.
///
/// Every part but the base (`{user}`, `{database}`) ends at the first place where the text after it stands,
/// so that what is said later in a name cannot change what was said before it. The base may hold that text
/// too, so a name can have several readings; which one is meant shows when the base is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    /// What must be there.
    pieces: Vec<Piece>,
    /// What may follow.
    tail: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    /// `{user}` or `{database}`.
    Base,
    Tenant,
    /// A key of `[tenancy.context]`.
    Context(Arc<str>),
}

/// One way to read a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The user or database.
    pub base: &'a str,
    /// The tenant.
    pub tenant: &'a str,
    /// Keys of `[tenancy.context]` and their values.
    pub context: Vec<(Arc<str>, &'a str)>,
}

impl Pattern {
    /// Base and tenant with `between` between them.
    pub(super) fn simple(base: &str, between: &str) -> Self {
        Self {
            text: format!("{{{base}}}{between}{{tenant}}").into(),
            pieces: vec![Piece::Base, Piece::Literal(between.into()), Piece::Tenant],
            tail: Vec::new(),
        }
    }

    /// Reads what somebody typed. `base` is `user` or `database`; `known` tells the keys of the context.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(text: &str, base: &str, known: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let (whole, tail) = match text.split_once('[') {
            None => (text, None),
            Some((whole, tail)) => match tail.strip_suffix(']') {
                Some(tail) => (whole, Some(tail)),
                None => return Err("the optional part in brackets must be the end of it".to_owned()),
            },
        };
        let pieces = pieces(whole, base, known)?;
        let tail = tail.map_or(Ok(Vec::new()), |tail| pieces_of_tail(tail, base, known))?;
        let all: Vec<&Piece> = pieces.iter().chain(&tail).collect();
        for (at, piece) in all.iter().enumerate() {
            let again = all.iter().skip(at + 1).any(|other| other == piece);
            if again && !matches!(piece, Piece::Literal(_)) {
                return Err("a placeholder is there twice".to_owned());
            }
            let next = all.get(at + 1);
            let together = next.is_some_and(|next| !matches!(next, Piece::Literal(_)));
            if together && !matches!(piece, Piece::Literal(_)) {
                return Err("two placeholders have nothing between them".to_owned());
            }
        }
        for (name, needed) in [(base, Piece::Base), ("tenant", Piece::Tenant)] {
            if !pieces.contains(&needed) {
                return Err(format!("it lacks {{{name}}}"));
            }
        }
        Ok(Self { text: text.into(), pieces, tail })
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The keys of the context in it.
    pub fn context(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pieces.iter().chain(&self.tail).filter_map(|piece| match piece {
            Piece::Context(key) => Some(key),
            _ => None,
        })
    }

    /// The reading with the shortest base, if the text can be read at all.
    pub fn read<'a>(&self, text: &'a str) -> Option<Reading<'a>> {
        self.readings(text).next()
    }

    /// Every reading, the one with the shortest base first. They differ in the base.
    pub fn readings<'a>(&self, text: &'a str) -> impl Iterator<Item = Reading<'a>> {
        let text = if text.len() > MAX_TEXT { "" } else { text };
        let before = self.pieces.iter().position(|piece| *piece == Piece::Base).unwrap_or(0);
        let start = self.start_of_base(text, before);
        let ends = start.as_ref().map_or(0..0, |(from, _)| from + 1..text.len() + 1);
        ends.filter_map(move |end| {
            let (from, reading) = start.as_ref()?;
            let base = text.get(*from..end)?;
            let reading = Reading { base, ..reading.clone() };
            self.rest(text.get(end..)?, before + 1, reading)
        })
    }

    /// Reads what stands before the base: where the base begins, and what was read.
    fn start_of_base<'a>(&self, text: &'a str, before: usize) -> Option<(usize, Reading<'a>)> {
        let mut reading = Reading::default();
        let mut rest = text;
        let mut pieces = self.pieces.iter().take(before).peekable();
        while let Some(piece) = pieces.next() {
            let next = pieces.peek().copied();
            rest = step(piece, next, false, rest, &mut reading)?;
        }
        Some((text.len() - rest.len(), reading))
    }

    /// Reads what stands after the base.
    fn rest<'a>(&self, text: &'a str, from: usize, mut reading: Reading<'a>) -> Option<Reading<'a>> {
        let mut rest = text;
        let mut pieces = self.pieces.iter().skip(from).peekable();
        while let Some(piece) = pieces.next() {
            let next = pieces.peek().copied();
            let optional = next.is_none();
            let next = next.or(self.tail.first());
            rest = step(piece, next, optional, rest, &mut reading)?;
        }
        if rest.is_empty() {
            return Some(reading);
        }
        let mut pieces = self.tail.iter().peekable();
        while let Some(piece) = pieces.next() {
            rest = step(piece, pieces.peek().copied(), false, rest, &mut reading)?;
        }
        rest.is_empty().then_some(reading)
    }
}

/// Reads one piece at the beginning of `text`; what is left of it. `optional`: what comes next need not.
fn step<'a>(
    piece: &Piece,
    next: Option<&Piece>,
    optional: bool,
    text: &'a str,
    reading: &mut Reading<'a>,
) -> Option<&'a str> {
    if let Piece::Literal(literal) = piece {
        return text.strip_prefix(&**literal);
    }
    let end = match next {
        Some(Piece::Literal(literal)) => match text.find(&**literal) {
            None if optional => text.len(),
            found => found?,
        },
        _ => text.len(),
    };
    let (value, rest) = text.split_at_checked(end).filter(|(value, _)| !value.is_empty())?;
    match piece {
        Piece::Tenant => reading.tenant = value,
        Piece::Context(key) => reading.context.push((Arc::clone(key), value)),
        Piece::Base | Piece::Literal(_) => {}
    }
    Some(rest)
}

fn pieces(text: &str, base: &str, known: &dyn Fn(&str) -> bool) -> Result<Vec<Piece>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let open = rest.find(['{', '}', '[', ']']).unwrap_or(rest.len());
        let (literal, after) = rest.split_at_checked(open).unwrap_or((rest, ""));
        if !literal.is_empty() {
            found.push(Piece::Literal(literal.into()));
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
        let Some((name, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) else {
            return Err("a bracket or brace is not closed, or not opened".to_owned());
        };
        found.push(match name {
            "tenant" => Piece::Tenant,
            name if name == base => Piece::Base,
            name if known(name) => Piece::Context(Arc::from(name)),
            _ => return Err(format!("it has a placeholder that is neither {{{base}}} nor {{tenant}} nor a key of [tenancy.context]")),
        });
        rest = after;
    }
    Ok(found)
}

fn pieces_of_tail(text: &str, base: &str, known: &dyn Fn(&str) -> bool) -> Result<Vec<Piece>, String> {
    let tail = pieces(text, base, known)?;
    if !matches!(tail.first(), Some(Piece::Literal(_))) {
        return Err(
            "the optional part in brackets must begin with a text that shows that it is there".to_owned()
        );
    }
    if !tail.iter().any(|piece| matches!(piece, Piece::Context(_))) {
        return Err("the optional part in brackets has no key of [tenancy.context]".to_owned());
    }
    Ok(tail)
}
