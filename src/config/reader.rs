//! Reads one table key by key, with a problem for everything that is not as it should be.
//!
//! The keys that were asked for are the keys that are valid, so the list in an error cannot be out of date.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems, quoted};
use super::source::{At, Located};

/// Longest duration that is accepted: what is longer is a mistake, and clocks can add it without overflow.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Units of sizes, as Postgres has them: each 1024 of the one before.
pub(super) const SIZES: [(&str, u64); 5] =
    [("B", 1), ("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("TB", 1 << 40)];

/// What the values of one file have in common.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) problems: &'a Problems,
    /// Number of the file.
    pub(super) file: usize,
    /// What relative paths are relative to.
    pub(super) dir: &'a Path,
}

/// One table being read.
pub(super) struct Reader<'a> {
    context: Context<'a>,
    table: &'a DeTable<'a>,
    /// Where the table is: its header, or its key.
    pub(super) at: At,
    /// Keys of which somebody asked.
    asked: Vec<&'static str>,
    /// Whether a value was left out because it was wrong.
    pub(super) broken: bool,
}

/// A name that somebody chose, and the text that stands for it.
pub(super) type Pair = (Located<String>, Located<String>);

/// A key's value and its place.
type Entry<'a> = (&'a DeValue<'a>, At);

impl<'a> Reader<'a> {
    pub(super) fn new(context: Context<'a>, table: &'a DeTable<'a>, at: At) -> Self {
        Self { context, table, at, asked: Vec::new(), broken: false }
    }

    /// Ends the reading: keys of which nobody asked are unknown. Tells whether a value was wrong.
    pub(super) fn finish(self) -> bool {
        for key in self.table.keys() {
            let typed = key.get_ref().as_ref();
            if self.asked.contains(&typed) {
                continue;
            }
            let at = At { file: self.context.file, span: key.span() };
            let mut problem = Problem::new(format!("unknown key {}", quoted(typed))).at(&at);
            if let Some(near) = nearest(typed, &self.asked) {
                problem = problem.help(format!("did you mean `{near}`?"));
            }
            self.context.problems.add(problem.help(format!("valid here: {}", self.asked.join(", "))));
        }
        self.broken
    }

    fn get(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        Some((value.get_ref(), At { file: self.context.file, span: value.span() }))
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.broken = true;
        self.context.problems.add(problem);
    }

    fn wrong_type(&mut self, key: &str, (value, at): &Entry<'_>, wanted: &str, example: &str) {
        let message = format!("`{key}` must be {wanted}, not {}", kind(value));
        self.problem(Problem::new(message).at(at).help(format!("valid here: {example}")));
    }

    /// Text; never empty unless `empty` allows it, and never with a NUL, which no Postgres message can carry.
    fn text(&mut self, key: &'static str, empty: bool) -> Option<Located<String>> {
        let entry = self.get(key)?;
        self.as_text(key, &entry, empty)
    }

    fn as_text(&mut self, key: &str, entry: &Entry<'_>, empty: bool) -> Option<Located<String>> {
        let DeValue::String(typed) = entry.0 else {
            self.wrong_type(key, entry, "a string", "text in quotes");
            return None;
        };
        if typed.contains('\0') {
            self.problem(Problem::new(format!("`{key}` contains a NUL character")).at(&entry.1));
            return None;
        }
        if typed.is_empty() && !empty {
            let problem = Problem::new(format!("`{key}` is empty")).at(&entry.1);
            self.problem(problem.help(format!("write a value, or leave `{key}` out")));
            return None;
        }
        Some(Located { value: typed.clone().into_owned(), at: entry.1.clone() })
    }

    /// Text that is not empty.
    pub(super) fn string(&mut self, key: &'static str) -> Option<Located<String>> {
        self.text(key, false)
    }

    /// Text that may be empty.
    pub(super) fn any_string(&mut self, key: &'static str) -> Option<Located<String>> {
        self.text(key, true)
    }

    /// A path, made relative to the file that names it.
    pub(super) fn path(&mut self, key: &'static str) -> Option<Located<PathBuf>> {
        let typed = self.text(key, false)?;
        Some(Located { value: self.context.dir.join(typed.value), at: typed.at })
    }

    /// A list of strings.
    pub(super) fn strings(&mut self, key: &'static str) -> Option<Located<Vec<Located<String>>>> {
        let entry = self.get(key)?;
        let DeValue::Array(items) = entry.0 else {
            self.wrong_type(key, &entry, "a list of strings", "[\"one\", \"two\"]");
            return None;
        };
        let mut value = Vec::new();
        for item in items {
            let item = (item.get_ref(), At { file: self.context.file, span: item.span() });
            value.extend(self.as_text(key, &item, false));
        }
        Some(Located { value, at: entry.1 })
    }

    /// A list of strings, or one string that stands for a list of itself.
    pub(super) fn string_or_strings(&mut self, key: &'static str) -> Option<Located<Vec<Located<String>>>> {
        match self.table.get(key) {
            Some(value) if matches!(value.get_ref(), DeValue::String(_)) => {
                let one = self.string(key)?;
                Some(Located { at: one.at.clone(), value: vec![one] })
            }
            _ => self.strings(key),
        }
    }

    /// Texts by names that somebody chose.
    pub(super) fn pairs(&mut self, key: &'static str) -> Vec<Pair> {
        let mut found = Vec::new();
        let Some(inner) = self.table(key) else { return found };
        for (name, value) in inner.table {
            let name = Located {
                value: name.get_ref().clone().into_owned(),
                at: At { file: self.context.file, span: name.span() },
            };
            let at = At { file: self.context.file, span: value.span() };
            if let DeValue::Table(_) = value.get_ref() {
                let message = format!("{} in `{key}` must be a string, not a table", quoted(&name.value));
                self.problem(Problem::new(message).at(&name.at).help("a name with a dot stands in quotes"));
                continue;
            }
            found.extend(self.as_text(key, &(value.get_ref(), at), true).map(|text| (name, text)));
        }
        found
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<Located<bool>> {
        let entry = self.get(key)?;
        let DeValue::Boolean(value) = entry.0 else {
            self.wrong_type(key, &entry, "true or false", "true, false");
            return None;
        };
        Some(Located { value: *value, at: entry.1 })
    }

    /// A whole number in a range.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        range: RangeInclusive<usize>,
    ) -> Option<Located<usize>> {
        let entry = self.get(key)?;
        let valid = format!("a whole number from {} to {}", range.start(), range.end());
        let DeValue::Integer(typed) = entry.0 else {
            self.wrong_type(key, &entry, "a whole number", &valid);
            return None;
        };
        let number = usize::from_str_radix(typed.as_str().trim_start_matches('+'), typed.radix()).ok();
        let Some(value) = number.filter(|n| range.contains(n)) else {
            let message = format!("`{key}` = {typed} is out of range");
            self.problem(Problem::new(message).at(&entry.1).help(format!("valid here: {valid}")));
            return None;
        };
        Some(Located { value, at: entry.1 })
    }

    /// One of the words of a table.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<Located<T>> {
        let entry = self.get(key)?;
        self.as_word(key, &entry, words)
    }

    /// A list of such words.
    pub(super) fn words<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<Located<Vec<Located<T>>>> {
        let entry = self.get(key)?;
        let DeValue::Array(items) = entry.0 else {
            let valid: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.wrong_type(key, &entry, "a list of words", &format!("[{}]", valid.join(", ")));
            return None;
        };
        let mut value = Vec::new();
        for item in items {
            let item = (item.get_ref(), At { file: self.context.file, span: item.span() });
            value.extend(self.as_word(key, &item, words));
        }
        Some(Located { value, at: entry.1 })
    }

    fn as_word<T: Copy>(
        &mut self,
        key: &str,
        entry: &Entry<'_>,
        words: &[(&'static str, T)],
    ) -> Option<Located<T>> {
        let valid: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let DeValue::String(typed) = entry.0 else {
            self.wrong_type(key, entry, "a word in quotes", &valid.join(", "));
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| word == typed) {
            return Some(Located { value: *value, at: entry.1.clone() });
        }
        let mut problem = Problem::new(format!("{} is not a valid `{key}`", quoted(typed))).at(&entry.1);
        if let Some(near) = nearest(typed, &valid) {
            problem = problem.help(format!("did you mean \"{near}\"?"));
        }
        self.problem(problem.help(format!("valid here: {}", valid.join(", "))));
        None
    }

    /// A duration with its unit; zero stays zero.
    pub(super) fn duration(&mut self, key: &'static str) -> Option<Located<Duration>> {
        let entry = self.get(key)?;
        match parse_duration(entry.0) {
            Ok(value) => Some(Located { value, at: entry.1 }),
            Err(Wrong::Unit(number)) => {
                let problem = Problem::new(format!("`{key}` has no unit")).at(&entry.1);
                self.problem(
                    problem.help(format!("write a unit: \"{number}s\" (or ms, m, h, d; \"0s\" is off)")),
                );
                None
            }
            Err(Wrong::Kind) => {
                let valid = "a number and a unit, like \"30s\", \"500ms\" or \"1h 30m\"";
                self.wrong_type(key, &entry, "a duration in quotes", valid);
                None
            }
            Err(Wrong::Value(why)) => {
                let problem = Problem::new(format!("`{key}` is not a valid duration: {why}")).at(&entry.1);
                self.problem(problem.help(
                    "valid here: a number and a unit, like \"30s\", \"500ms\" or \"1h 30m\", at most 366 days",
                ));
                None
            }
        }
    }

    /// A number of bytes with its unit.
    pub(super) fn size(&mut self, key: &'static str) -> Option<Located<u64>> {
        const VALID: &str = "a number and a unit, like \"256MB\"; units are B, kB, MB, GB, TB";
        let entry = self.get(key)?;
        let wrong = match entry.0 {
            DeValue::String(typed) => match parse_size(typed.trim()) {
                Some(value) => return Some(Located { value, at: entry.1 }),
                None => format!("`{key}` is not a valid size"),
            },
            DeValue::Integer(_) | DeValue::Float(_) => format!("`{key}` has no unit"),
            _ => {
                self.wrong_type(key, &entry, "a size in quotes", VALID);
                return None;
            }
        };
        self.problem(Problem::new(wrong).at(&entry.1).help(format!("valid here: {VALID}")));
        None
    }

    /// A whole number of percent, as a part of one.
    pub(super) fn percent(&mut self, key: &'static str, range: RangeInclusive<u8>) -> Option<Located<f64>> {
        let entry = self.get(key)?;
        let valid = format!("from \"{}%\" to \"{}%\", without decimals", range.start(), range.end());
        let DeValue::String(typed) = entry.0 else {
            self.wrong_type(key, &entry, "a percentage in quotes", &valid);
            return None;
        };
        let digits = typed.trim().strip_suffix('%').map(str::trim_end).filter(|d| is_digits(d));
        let Some(value) = digits.and_then(|d| d.parse().ok()).filter(|n| range.contains(n)) else {
            let problem = Problem::new(format!("`{key}` is not a valid percentage")).at(&entry.1);
            self.problem(problem.help(format!("valid here: {valid}")));
            return None;
        };
        Some(Located { value: f64::from(value) / 100.0, at: entry.1 })
    }

    /// A table inside of this one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Reader<'a>> {
        let entry = self.get(key)?;
        let DeValue::Table(table) = entry.0 else {
            self.wrong_type(key, &entry, "a table", &format!("[{key}] on a line of its own"));
            return None;
        };
        Some(Reader::new(self.context, table, entry.1))
    }

    /// The tables of a list of them, `[[key]]`.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Reader<'a>> {
        let Some(entry) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = entry.0 else {
            self.wrong_type(key, &entry, "a list of tables", &format!("[[{key}]] on a line of its own"));
            return Vec::new();
        };
        let mut found = Vec::new();
        for item in items {
            let at = At { file: self.context.file, span: item.span() };
            match item.get_ref() {
                DeValue::Table(table) => found.push(Reader::new(self.context, table, at)),
                other => {
                    let help = format!("[[{key}]] on a line of its own");
                    self.wrong_type(key, &(other, at), "a list of tables", &help);
                }
            }
        }
        found
    }

    /// The tables inside of the table `key`, each with its name as typed; what is no table has no reader.
    pub(super) fn named_tables(&mut self, key: &'static str) -> Vec<(Located<String>, Option<Reader<'a>>)> {
        let mut found = Vec::new();
        let Some(outer) = self.table(key) else { return found };
        for (name, value) in outer.table {
            let at = At { file: self.context.file, span: value.span() };
            let name = Located {
                value: name.get_ref().clone().into_owned(),
                at: At { file: self.context.file, span: name.span() },
            };
            if name.value.is_empty() || name.value.contains('\0') {
                self.problem(
                    Problem::new(format!("{} is not a valid name", quoted(&name.value))).at(&name.at),
                );
                continue;
            }
            let reader = if let DeValue::Table(table) = value.get_ref() {
                Some(Reader::new(self.context, table, at))
            } else {
                let message = format!(
                    "{} in `{key}` must be a table, not {}",
                    quoted(&name.value),
                    kind(value.get_ref())
                );
                let help = format!("valid here: [{key}.{}] on a line of its own", key_text(&name.value));
                self.problem(Problem::new(message).at(&name.at).help(help));
                None
            };
            found.push((name, reader));
        }
        found
    }
}

/// A name as a key in a header, quoted when it has to be.
pub(super) fn key_text(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        toml::Value::String(name.to_owned()).to_string()
    }
}

/// A value's type in words.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Bytes from a number and a unit; the unit in any case, as nobody means millibits.
fn parse_size(typed: &str) -> Option<u64> {
    let end = typed.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = typed.split_at_checked(end)?;
    let (_, factor) = SIZES.iter().find(|(word, _)| word.eq_ignore_ascii_case(unit.trim_start()))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Why a value is no duration.
enum Wrong {
    /// It has no unit; the number for the suggestion.
    Unit(String),
    /// It is something else altogether.
    Kind,
    /// It is text that says no duration.
    Value(String),
}

fn parse_duration(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    let typed = match value {
        DeValue::String(typed) => typed.trim(),
        DeValue::Integer(typed) => return Err(Wrong::Unit(number_for_example(typed.as_str()))),
        DeValue::Float(_) => return Err(Wrong::Unit("30".to_owned())),
        _ => return Err(Wrong::Kind),
    };
    // The library takes a bare "0"; here every duration has its unit.
    if is_digits(typed) {
        return Err(Wrong::Unit(number_for_example(typed)));
    }
    let duration = humantime::parse_duration(typed).map_err(|e| Wrong::Value(e.to_string()))?;
    if duration > MAX_DURATION {
        return Err(Wrong::Value("it is too long".to_owned()));
    }
    Ok(duration)
}

/// The number somebody typed when a suggestion can carry it, or else 30.
fn number_for_example(typed: &str) -> String {
    let fits = typed.len() <= 8 && is_digits(typed);
    if fits { typed.to_owned() } else { "30".to_owned() }
}

/// The valid word that `typed` is probably meant to be.
fn nearest<'w>(typed: &str, valid: &[&'w str]) -> Option<&'w str> {
    if typed.len() > 64 {
        return None;
    }
    let typed = typed.to_lowercase().replace('-', "_");
    valid
        .iter()
        .map(|word| (distance(&typed, &word.replace('-', "_")), *word))
        .filter(|(distance, word)| *distance <= (word.len() / 4).clamp(1, 3))
        .min()
        .map(|(_, word)| word)
}

/// How many letters must be put in, taken out, replaced or swapped with the next.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    let at = |row: &[usize], i: usize| row.get(i).copied().unwrap_or(usize::MAX / 2);
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best =
                (at(&last, j) + usize::from(x != *y)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = j > 0 && previous == Some(*y) && b.get(j - 1) == Some(&x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        previous = Some(x);
        before = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}
