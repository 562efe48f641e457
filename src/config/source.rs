//! The text of the files, and places in it.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::problem::Problem;

/// Largest file that is read, in bytes: far more than a configuration needs, and a wrong path (a device, a
/// dump) does not fill the memory.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// A span of one file, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// Which of the [`Source`]s.
    pub(super) file: usize,
    pub(super) span: Range<usize>,
}

/// A value, and where somebody typed it.
#[derive(Clone, Debug)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) at: At,
}

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    /// The path as errors show it.
    pub(super) shown: String,
    /// What relative paths in this file are relative to.
    pub(super) dir: PathBuf,
    pub(super) text: String,
    /// Bytes that must never be shown, in order, not overlapping.
    pub(super) secrets: Vec<Range<usize>>,
}

impl Source {
    /// Reads a file; its secrets are not known yet.
    pub(super) fn read(path: &Path) -> Result<Self, Problem> {
        let shown = path.display().to_string();
        let bytes = read_bytes(path).map_err(|e| {
            Problem::new(format!("cannot read the configuration: {}", why(&e))).in_file(shown.clone())
        })?;
        let text = String::from_utf8(bytes).map_err(|e| not_utf8(&shown, &e))?;
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { shown, dir, text, secrets: Vec::new() })
    }

    /// Line and column (both from 1, the column in characters) of a byte.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..self.floor(offset)).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = before.matches('\n').count() + 1;
        (line, before.get(line_start..).unwrap_or("").chars().count() + 1)
    }

    /// The bytes of the line that holds `offset`, without its end.
    pub(super) fn line(&self, offset: usize) -> Range<usize> {
        let offset = self.floor(offset);
        let start = self.text.get(..offset).and_then(|t| t.rfind('\n')).map_or(0, |i| i + 1);
        let rest = self.text.get(start..).unwrap_or("");
        let line = rest.split('\n').next().unwrap_or("");
        start..start + line.trim_end_matches('\r').len()
    }

    /// The nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// Reads a whole file of bounded size.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::other("larger than 16 MiB"));
    }
    Ok(bytes)
}

/// An IO error in words that need no error number.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// No source line is shown here: what is not text cannot be searched for secrets.
fn not_utf8(shown: &str, error: &std::string::FromUtf8Error) -> Problem {
    let valid = error.utf8_error().valid_up_to();
    let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or(&[])).into_owned();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Problem::new("the file is not UTF-8".to_owned())
        .in_file(format!("{shown}:{line}:{column}"))
        .help("save it as UTF-8 text")
}
