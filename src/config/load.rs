//! Loads a configuration from its file and the files it includes.

use std::ffi::OsString;
use std::path::Path;

use toml::de::DeTable;

use super::check::check;
use super::checked::Config;
use super::mask;
use super::problem::{ConfigErrors, Problem, Problems};
use super::raw::Raw;
use super::reader::{Context, Reader};
use super::secret::Env;
use super::source::{At, Located, Source};

/// Most files that a configuration may include.
const MAX_INCLUDES: usize = 1_000;

/// Loads and checks a configuration. Passwords that it names by `password_env` come from the environment of
/// the process.
///
/// On failure every problem is told, with its place and with secrets masked.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    load_with(path, &|name| std::env::var_os(name))
}

/// As [`load`], with the environment looked up by `env`.
pub fn load_with(path: &Path, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Config, ConfigErrors> {
    let problems = Problems::default();
    let mut sources = Vec::new();
    let config = load_all(path, env, &mut sources, &problems);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems.into_errors(&sources)),
    }
}

/// `None`: a file could not be read or parsed, so that checks would tell of things missing that are not.
fn load_all(path: &Path, env: Env<'_>, sources: &mut Vec<Source>, problems: &Problems) -> Option<Config> {
    let source = Source::read(path).map_err(|problem| problems.add(problem)).ok()?;
    let dir = source.dir.clone();
    let mut raw = read(source, sources, problems)?;
    let mut whole = true;
    for name in raw.include.take().map(|list| list.value).unwrap_or_default() {
        if sources.len() > MAX_INCLUDES {
            problems.add(Problem::new(format!("more than {MAX_INCLUDES} files to include")).at(&name.at));
            return None;
        }
        match included(&dir, &name, sources, problems) {
            Some(more) => raw.merge(more, problems),
            None => whole = false,
        }
    }
    if !whole {
        return None;
    }
    Some(check(&raw, env, &At { file: 0, span: 0..0 }, problems))
}

fn included(
    dir: &Path,
    name: &Located<String>,
    sources: &mut Vec<Source>,
    problems: &Problems,
) -> Option<Raw> {
    let path = dir.join(&name.value);
    let source = Source::read(&path).map_err(|problem| problems.add(problem.included(&name.at))).ok()?;
    let mut raw = read(source, sources, problems)?;
    if let Some(more) = raw.include.take() {
        problems.add(
            Problem::new("an included file cannot include more")
                .at(&more.at)
                .also("it is included", &name.at)
                .help("name every file in the first one"),
        );
    }
    Some(raw)
}

/// Parses a file, keeps it for the errors to show, and reads what it says.
fn read(mut source: Source, sources: &mut Vec<Source>, problems: &Problems) -> Option<Raw> {
    let file = sources.len();
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let (secrets, raw) = if errors.is_empty() {
        let context = Context { problems, file, dir: &source.dir };
        let raw = Raw::read(Reader::new(context, table.get_ref(), At { file, span: 0..0 }));
        (mask::of_table(&source.text, table.get_ref()), Some(raw))
    } else {
        syntax(&errors, file, &source, problems);
        (mask::of_broken_text(&source.text), None)
    };
    source.secrets = secrets;
    sources.push(source);
    raw
}

/// Tells the first syntax error of each line: the next ones of it are mostly its echo.
fn syntax(errors: &[toml::de::Error], file: usize, source: &Source, problems: &Problems) {
    let mut lines = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = source.line(span.start).start;
        if lines.contains(&line) {
            continue;
        }
        lines.push(line);
        let mut problem = Problem::new(error.message().trim().to_owned()).at(&At { file, span });
        if error.message().contains("string") {
            problem = problem.help("text stands in quotes: key = \"value\"");
        }
        problems.add(problem);
    }
}
