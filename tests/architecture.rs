//! Reads the sources and fails on what the house rules forbid: imports upwards or sideways, rooms that
//! must stay pure but are not, functions that are too long, and code that is not finished.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::pedantic)]

use std::fs;
use std::path::Path;

/// The floor of each room, as the table in `src/lib.rs` has it.
const FLOORS: [(&str, u8); 20] = [
    ("app", 6),
    ("demo", 6),
    ("admin", 5),
    ("relay", 5),
    ("pool", 4),
    ("frontend", 3),
    ("backend", 3),
    ("session", 2),
    ("auth", 2),
    ("tenancy", 2),
    ("cache", 2),
    ("net", 1),
    ("observe", 1),
    ("config", 1),
    ("wire", 0),
    ("sql", 0),
    ("ids", 0),
    // Not rooms, but files: the map of the rooms, and the arguments, which know `app` alone.
    ("lib", 9),
    ("main", 9),
    ("bin", 9),
];

/// Rooms, and files of rooms, that know no tokio, no lock and no clock.
const PURE: [&str; 9] =
    ["wire", "sql", "session", "tenancy", "auth", "pool/queue", "pool/slots", "pool/share", "pool/chain"];
const IMPURE: [&str; 5] = ["tokio", "parking_lot", "Instant::now", "SystemTime", "std::sync::Mutex"];
const UNFINISHED: [&str; 4] = ["#[ignore", "todo!", "unimplemented!", "dbg!"];
const LONGEST_FUNCTION: usize = 100;

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// One file, with comments and the contents of strings blanked out, line breaks kept.
struct Source {
    /// Relative to `src`, as in `pool/queue.rs`.
    path: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), code: blank(text) }
    }

    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// The module of this file below its crate: `["pool", "queue"]`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let mut parts: Vec<_> = path.split('/').collect();
        if matches!(parts.last(), Some(&"mod" | &"lib" | &"main")) {
            parts.pop();
        }
        parts
    }

    fn line_of(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The code up to its `#[cfg(test)] mod … {`.
    fn without_tests(&self) -> &str {
        let end = self.code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| {
            let rest = self.code[at + "#[cfg(test)]".len()..].trim_start();
            rest.starts_with("mod ") && rest.find('{') < rest.find(';')
        });
        &self.code[..end.unwrap_or(self.code.len())]
    }
}

/// Replaces comments, and what is in string and character literals, by spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let space = |c: char| if c == '\n' { '\n' } else { ' ' };
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => end_of_line(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => end_of_comment(&chars, at),
            '"' => end_of_string(&chars, at),
            'r' if !at.checked_sub(1).is_some_and(|before| is_word(chars[before]))
                || is_byte_r(&chars, at) =>
            {
                end_of_raw_string(&chars, at)
            }
            '\'' => end_of_char(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| space(*c)));
            at = end;
        }
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_byte_r(chars: &[char], at: usize) -> bool {
    at >= 1 && chars[at - 1] == 'b' && (at < 2 || !is_word(chars[at - 2]))
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len())
}

fn end_of_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0_usize, at);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

fn end_of_raw_string(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let mut i = at + 2 + hashes;
    while i < chars.len() {
        if chars[i] == '"' && (1..=hashes).all(|n| chars.get(i + n) == Some(&'#')) {
            return i + 1 + hashes;
        }
        i += 1;
    }
    chars.len()
}

/// A character literal; a lifetime stays as it is.
fn end_of_char(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        let close = (at + 3..chars.len()).find(|i| chars[*i] == '\'');
        return close.map_or(at, |close| close + 1);
    }
    if chars.get(at + 2) == Some(&'\'') { at + 3 } else { at }
}

// --- imports -----------------------------------------------------------------------------------------

/// A path somewhere in a file that leads to another room: where it stands, and the room.
fn rooms_named(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for start in ["crate::", "howdah::", "super::"] {
        for (at, _) in source.code.match_indices(start) {
            let before = source.code[..at].chars().next_back();
            if before.is_some_and(|c| is_word(c) || c == ':') {
                continue;
            }
            let mut base = match start {
                "super::" => source.module(),
                _ => Vec::new(),
            };
            let mut rest = &source.code[at..];
            rest = match start {
                "super::" => rest,
                _ => &rest[start.len()..],
            };
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            if base.is_empty() {
                found.extend(first_words(rest).into_iter().map(|room| (at, room)));
            }
        }
    }
    found
}

/// The first word of a path, or of each path in a `{group}`.
fn first_words(rest: &str) -> Vec<String> {
    let word = |text: &str| text.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    if !rest.trim_start().starts_with('{') {
        return vec![word(rest)];
    }
    let mut words = Vec::new();
    let (mut depth, mut item) = (0_usize, String::new());
    for c in rest.trim_start().chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            words.push(word(item.trim_start_matches('{')));
            item.clear();
        } else {
            item.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn import_problems(source: &Source) -> Vec<String> {
    let room = source.room();
    let Some(own) = floor(room) else {
        return vec![format!("{}: a room without a floor: {room}", source.path)];
    };
    let mut problems = Vec::new();
    for (at, named) in rooms_named(source) {
        let Some(other) = floor(&named) else { continue };
        let allowed = match room {
            "main" | "bin" => named == "app",
            // The only room that knows every other, its neighbour on the top floor too.
            "app" => true,
            "lib" => true,
            _ => named == room || other < own,
        };
        if !allowed {
            let line = source.line_of(at);
            problems
                .push(format!("{}:{line}: {room} (floor {own}) names {named} (floor {other})", source.path));
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

// --- other rules -------------------------------------------------------------------------------------

fn purity_problems(source: &Source) -> Vec<String> {
    let path = source.path.strip_suffix(".rs").unwrap_or(&source.path);
    let pure = PURE.iter().any(|pure| path == *pure || path.starts_with(&format!("{pure}/")));
    if !pure || source.is_test() {
        return Vec::new();
    }
    words_found(source, source.without_tests(), &IMPURE, "is a pure room, but names")
}

fn unfinished_problems(source: &Source) -> Vec<String> {
    words_found(source, &source.code, &UNFINISHED, "has")
}

fn words_found(source: &Source, code: &str, words: &[&str], what: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for word in words {
        for (at, _) in code.match_indices(word) {
            if !code[..at].chars().next_back().is_some_and(is_word) {
                problems.push(format!("{}:{}: {what} {word}", source.path, source.line_of(at)));
            }
        }
    }
    problems
}

/// Functions with more lines than [`LONGEST_FUNCTION`], tests left out.
fn long_functions(source: &Source) -> Vec<String> {
    if source.is_test() {
        return Vec::new();
    }
    let code = source.without_tests();
    let mut problems = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let name: String = code[at + 3..].chars().take_while(|c| is_word(*c)).collect();
        let Some(length) = lines_of_body(&code[at..]).filter(|_| !name.is_empty()) else { continue };
        if length > LONGEST_FUNCTION {
            let line = source.line_of(at);
            problems.push(format!("{}:{line}: fn {name} has {length} lines", source.path));
        }
    }
    problems
}

/// Lines from `fn` to the brace that closes it; `None` for a declaration without a body.
fn lines_of_body(code: &str) -> Option<usize> {
    let (mut braces, mut others, mut begun) = (0_usize, 0_usize, false);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => others += 1,
            ')' | ']' => others = others.saturating_sub(1),
            ';' if !begun && others == 0 => return None,
            '{' => (braces, begun) = (braces + 1, true),
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
        if begun && braces == 0 {
            return Some(code[..at].matches('\n').count() + 1);
        }
    }
    None
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("below src").to_str().expect("UTF-8").to_owned();
                found.push(Source::new(&name, &fs::read_to_string(&path).expect("a file")));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n  {}", problems.len(), problems.join("\n  "));
}

#[test]
fn rooms_import_downwards_only() {
    assert_none(&sources().iter().flat_map(import_problems).collect::<Vec<_>>());
}

#[test]
fn pure_rooms_know_no_runtime_no_lock_and_no_clock() {
    assert_none(&sources().iter().flat_map(purity_problems).collect::<Vec<_>>());
}

#[test]
fn nothing_is_unfinished() {
    assert_none(&sources().iter().flat_map(unfinished_problems).collect::<Vec<_>>());
}

#[test]
fn functions_are_short() {
    assert_none(&sources().iter().flat_map(long_functions).collect::<Vec<_>>());
}

// --- the checker itself ------------------------------------------------------------------------------

#[test]
fn imports_are_judged() {
    let fine = [
        ("pool/mod.rs", "use crate::wire::Frame; use crate::{ids, config::Pool};"),
        ("pool/queue.rs", "use super::slots::Slots; use crate::pool::Lease; use self::inner::X;"),
        ("pool/queue.rs", "mod tests { use super::super::Lease; }"),
        ("app/mod.rs", "use crate::{relay::{Client, run}, admin}; use crate::wire;"),
        ("main.rs", "fn main() { howdah::app::run() }"),
        ("wire/mod.rs", "// use crate::app;\n/* crate::pool */ const S: &str = \"crate::relay::x\";"),
        (
            "wire/mod.rs",
            "const S: &str = r#\"crate::relay \" x\"#; const C: char = '\"'; use crate::wire::X;",
        ),
        ("wire/mod.rs", "$crate::wire::x(); fn a<'a>(x: &'a str) {}"),
    ];
    for (path, text) in fine {
        assert_eq!(import_problems(&Source::new(path, text)), Vec::<String>::new(), "{text}");
    }
    let bad = [
        ("pool/mod.rs", "use crate::relay::Client;", 1),
        ("pool/queue.rs", "fn f() { crate::frontend::accept(); crate::app::run() }", 1),
        ("backend/mod.rs", "use crate::frontend;", 1),
        ("backend/mod.rs", "use super::frontend;", 1),
        ("backend/login/scram.rs", "use super::super::super::relay::X;", 1),
        ("wire/mod.rs", "use crate::{ids, pool::{Lease, Queue}, sql};", 3),
        ("ids.rs", "use howdah::wire::X;", 1),
        ("main.rs", "use howdah::config::Config;", 1),
        ("demo/mod.rs", "pub(in crate::app) fn f() {}", 1),
        ("cellar/mod.rs", "", 1),
        ("wire/mod.rs", "const C: char = '\\''; use crate::app; const D: char = '\\'';", 1),
    ];
    for (path, text, count) in bad {
        let problems = import_problems(&Source::new(path, text));
        assert_eq!(problems.len(), count, "{text}: {problems:?}");
    }
}

#[test]
fn purity_and_loose_ends_are_judged() {
    let impure = Source::new("session/mod.rs", "use tokio::io;\nlet now = Instant::now();");
    assert_eq!(purity_problems(&impure).len(), 2);
    assert_eq!(purity_problems(&Source::new("pool/queue.rs", "use parking_lot::Mutex;")).len(), 1);
    assert!(purity_problems(&Source::new("pool/mod.rs", "use parking_lot::Mutex;")).is_empty());
    let tested = "fn f() {}\n#[cfg(test)]\nmod tests { use tokio::io; }";
    assert!(purity_problems(&Source::new("wire/mod.rs", tested)).is_empty());
    let loose = Source::new("wire/mod.rs", "fn f() { todo!() }\n#[ignore]\nfn g() { dbg!(1) } // todo!");
    assert_eq!(unfinished_problems(&loose).len(), 3);
}

#[test]
fn long_functions_are_found() {
    let of = |lines: usize| {
        format!("impl X {{\n  fn f(a: [u8; 3]) -> u8 {{\n{}  }}\n}}\n", "x();\n".repeat(lines))
    };
    assert!(long_functions(&Source::new("wire/mod.rs", &of(98))).is_empty());
    let problems = long_functions(&Source::new("wire/mod.rs", &of(99)));
    assert_eq!(problems, ["wire/mod.rs:2: fn f has 101 lines"]);
    assert!(long_functions(&Source::new("wire/tests.rs", &of(99))).is_empty());
    let declared = "trait T { fn f(&self, a: [u8; 2]); }\nfn g() {}";
    assert!(long_functions(&Source::new("wire/mod.rs", declared)).is_empty());
}
