//! What is wrong with a configuration: collected with places, rendered with masked source lines.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::ops::Range;

use super::source::{At, Source};

/// How many problems one `Display` writes; the rest is counted.
const MAX_SHOWN: usize = 50;
/// Longest source line shown whole, in characters.
const MAX_LINE: usize = 160;
/// What stands for a secret.
const MASK: &str = "\"***\"";

/// One thing that is wrong, before it is rendered.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    message: String,
    place: Place,
    help: Vec<String>,
    also: Vec<(String, At)>,
}

#[derive(Clone, Debug)]
enum Place {
    Unknown,
    File(String),
    At(At),
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: Place::Unknown, help: Vec::new(), also: Vec::new() }
    }

    pub(super) fn at(mut self, at: &At) -> Self {
        self.place = Place::At(at.clone());
        self
    }

    /// A problem with a file as a whole; `shown` is the path, perhaps with line and column.
    pub(super) fn in_file(mut self, shown: String) -> Self {
        self.place = Place::File(shown);
        self
    }

    /// The same problem, told where somebody named the file that has it.
    pub(super) fn included(mut self, at: &At) -> Self {
        if let Place::File(shown) = std::mem::replace(&mut self.place, Place::At(at.clone())) {
            self.help.push(format!("the file is {shown}"));
        }
        self
    }

    /// What would be valid.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// A second place that has to do with it.
    pub(super) fn also(mut self, what: &str, at: &At) -> Self {
        self.also.push((what.to_owned(), at.clone()));
        self
    }

    /// The order in which problems are told: as the files are read from the top.
    fn order(&self) -> (usize, usize) {
        match &self.place {
            Place::At(at) => (at.file, at.span.start),
            Place::File(_) | Place::Unknown => (0, 0),
        }
    }
}

/// Collects problems; reading goes on after one, so that all are told at once.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Renders everything, in the order of the places.
    pub(super) fn into_errors(self, sources: &[Source]) -> ConfigErrors {
        let mut problems = self.0.into_inner();
        problems.sort_by_key(Problem::order);
        ConfigErrors(problems.into_iter().map(|p| ConfigError::render(p, sources)).collect())
    }
}

/// Every problem that was found in a configuration; never empty, and free of secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The problems, in the order of the files and lines.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().take(MAX_SHOWN).enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        if self.0.len() > MAX_SHOWN {
            write!(f, "\nand {} more\n", self.0.len() - MAX_SHOWN)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// One problem: what, where, and what would be valid; secrets in the source line are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong, in one line.
    pub message: String,
    /// The file as it was named; with line and column when they are known.
    pub place: Option<String>,
    /// Line in the file, from 1; 0 when the problem is not in a line.
    pub line: usize,
    /// Column in the line, from 1 and in characters; 0 when the problem is not in a line.
    pub column: usize,
    /// What would be valid, and other places that have to do with it.
    pub help: Vec<String>,
    snippet: Option<Snippet>,
}

/// A source line and the characters to point at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Snippet {
    text: String,
    caret: Range<usize>,
}

impl ConfigError {
    fn render(problem: Problem, sources: &[Source]) -> Self {
        let mut help = problem.help;
        for (what, at) in &problem.also {
            if let Some(source) = sources.get(at.file) {
                let (line, column) = source.position(at.span.start);
                help.push(format!("{what} at {}:{line}:{column}", source.shown));
            }
        }
        let mut error =
            Self { message: problem.message, place: None, line: 0, column: 0, help, snippet: None };
        match problem.place {
            Place::Unknown => {}
            Place::File(shown) => error.place = Some(shown),
            Place::At(at) => {
                if let Some(source) = sources.get(at.file) {
                    (error.line, error.column) = source.position(at.span.start);
                    error.place = Some(format!("{}:{}:{}", source.shown, error.line, error.column));
                    error.snippet = Some(Snippet::new(source, &at.span));
                }
            }
        }
        error
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let pad = " ".repeat(number.len());
        writeln!(f, "error: {}", self.message)?;
        if let Some(place) = &self.place {
            writeln!(f, "{pad}--> {place}")?;
        }
        if let Some(snippet) = &self.snippet {
            let gap = " ".repeat(snippet.caret.start);
            let carets = "^".repeat(snippet.caret.len());
            writeln!(f, "{pad} |")?;
            writeln!(f, "{}", format_args!("{number} | {}", snippet.text).to_string().trim_end())?;
            writeln!(f, "{pad} | {gap}{carets}")?;
        }
        for help in &self.help {
            writeln!(f, "{pad} = {help}")?;
        }
        Ok(())
    }
}

impl Snippet {
    /// The line in which `span` begins, secrets masked, and the columns of it that `span` covers.
    fn new(source: &Source, span: &Range<usize>) -> Self {
        let line = source.line(span.start);
        let text = source.text.get(line.clone()).unwrap_or("");
        let mut shown: Vec<char> = Vec::new();
        let (mut from, mut to) = (None, 0);
        // Where in `shown` the mask of the secret begins that the last character belonged to.
        let mut mask: Option<usize> = None;
        for (i, c) in text.char_indices() {
            let offset = line.start + i;
            let secret = source.secrets.iter().any(|s| s.contains(&offset));
            let begin = if secret { mask.unwrap_or(shown.len()) } else { shown.len() };
            if from.is_none() && offset >= span.start {
                from = Some(begin);
            }
            if !secret {
                mask = None;
                shown.push(if c.is_control() { ' ' } else { c });
            } else if mask.is_none() {
                mask = Some(begin);
                shown.extend(MASK.chars());
            }
            if offset < span.end {
                to = shown.len();
            }
        }
        let from = from.unwrap_or(shown.len());
        Self::cut(&shown, from..to.max(from + 1))
    }

    /// Keeps what is near the caret of a line that is too long to show.
    fn cut(shown: &[char], caret: Range<usize>) -> Self {
        if shown.len() <= MAX_LINE {
            return Self { text: shown.iter().collect(), caret };
        }
        let start = caret.start.saturating_sub(MAX_LINE / 2);
        let end = (start + MAX_LINE).min(shown.len());
        let mut text = String::new();
        let mut shift = 0;
        if start > 0 {
            text.push('…');
            shift = 1;
        }
        text.extend(shown.get(start..end).unwrap_or(&[]));
        if end < shown.len() {
            text.push('…');
        }
        let from = caret.start - start + shift;
        let to = (caret.end.min(end).max(caret.start + 1)) - start + shift;
        Self { text, caret: from..to }
    }
}

/// Something that somebody typed, safe to stand in a message: short, and without control characters.
pub(super) fn quoted(typed: &str) -> String {
    const MAX: usize = 60;
    let mut out = String::from("`");
    for c in typed.chars().take(MAX) {
        if c.is_control() {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    if typed.chars().nth(MAX).is_some() {
        out.push('…');
    }
    out.push('`');
    out
}
