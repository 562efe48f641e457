//! What an operator types, read.

use crate::cache::Purge;
use crate::sql::{Form, Lexer, Token};
use crate::wire::PgError;

/// Entries that are listed when nobody says how many.
const ENTRIES: usize = 100;
/// Most entries that are listed.
const MAX_ENTRIES: usize = 10_000;
/// Most statements of one text.
const MAX_STATEMENTS: usize = 20;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Looks at something.
    Show(Show),
    /// Drops answers from memory.
    Purge {
        /// Which.
        what: Purge,
        /// Of one database only.
        database: Option<String>,
    },
    /// What drivers say by themselves and what means nothing here; with the tag that they expect.
    Ignored(&'static str),
}

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Help,
    Version,
    Cache,
    CacheMisses,
    CacheEntries {
        /// At most so many.
        limit: usize,
    },
}

/// All commands, as SHOW HELP tells them.
pub(super) const HELP: [(&str, &str); 6] = [
    ("SHOW HELP", "these commands"),
    ("SHOW VERSION", "the version of Howdah"),
    ("SHOW CACHE", "for each database, what the cache holds and did"),
    ("SHOW CACHE_MISSES", "for each database, why marked statements went to the server"),
    ("SHOW CACHE_ENTRIES [LIMIT n]", "answers in memory, the largest first; 100 without a limit"),
    (
        "CACHE PURGE [TABLE [schema.]x | TAG x | TENANT x | ALL] [database]",
        "drops answers from memory, of one database or of all",
    ),
];

/// Words with which drivers and pools begin statements of their own.
const IGNORED: [(&str, &str); 10] = [
    ("set", "SET"),
    ("reset", "RESET"),
    ("discard", "DISCARD ALL"),
    ("deallocate", "DEALLOCATE"),
    ("begin", "BEGIN"),
    ("start", "START TRANSACTION"),
    ("commit", "COMMIT"),
    ("end", "COMMIT"),
    ("rollback", "ROLLBACK"),
    ("abort", "ROLLBACK"),
];

/// Reads a text of any number of commands.
///
/// # Errors
/// The first that is none.
pub(super) fn commands(text: &str) -> Result<Vec<Command>, PgError> {
    let tokens: Vec<Token<'_>> = Lexer::new(text.as_bytes(), true).collect();
    let statements = tokens.split(|token| *token == Token::Symbol(b';')).filter(|tokens| !tokens.is_empty());
    let mut commands = Vec::new();
    for tokens in statements {
        if commands.len() == MAX_STATEMENTS {
            return Err(PgError::error("54000", format!("more than {MAX_STATEMENTS} commands in one text")));
        }
        commands.push(Words { rest: tokens }.command()?);
    }
    Ok(commands)
}

/// What is left of a statement.
struct Words<'a> {
    rest: &'a [Token<'a>],
}

impl Words<'_> {
    /// Takes the next token if it is this word.
    fn is(&mut self, word: &str) -> bool {
        let Some((first, rest)) = self.rest.split_first() else { return false };
        let found = first.is(word);
        if found {
            self.rest = rest;
        }
        found
    }

    fn symbol(&mut self, symbol: u8) -> bool {
        let Some((first, rest)) = self.rest.split_first() else { return false };
        let found = *first == Token::Symbol(symbol);
        if found {
            self.rest = rest;
        }
        found
    }

    /// Takes a name: an identifier, folded as the server does it when `fold`, or any text in quotes.
    fn name(&mut self, what: &str, fold: bool) -> Result<String, PgError> {
        let Some((first, rest)) = self.rest.split_first() else {
            return Err(syntax(&format!("the command ends where {what} should be")));
        };
        let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
        let name = match first {
            Token::Word(word) if fold => text(word).to_lowercase(),
            Token::Word(word) | Token::Number(word) => text(word),
            Token::Quoted(raw) => text(raw).replace("\"\"", "\""),
            Token::Text { raw, form: Form::Plain } => text(raw).replace("''", "'"),
            _ => return Err(syntax(&format!("{what} is no name"))),
        };
        if name.is_empty() {
            return Err(syntax(&format!("{what} is empty")));
        }
        self.rest = rest;
        Ok(name)
    }

    fn end<T>(&self, value: T) -> Result<T, PgError> {
        if self.rest.is_empty() {
            Ok(value)
        } else {
            Err(syntax("there is more behind the end of the command"))
        }
    }

    fn command(mut self) -> Result<Command, PgError> {
        if self.is("show") {
            return self.show().map(Command::Show);
        }
        if self.is("cache") {
            return if self.is("purge") { self.purge() } else { Err(syntax("CACHE can only PURGE")) };
        }
        let ignored = IGNORED.iter().find(|(word, _)| self.rest.first().is_some_and(|t| t.is(word)));
        ignored
            .map(|(_, tag)| Command::Ignored(tag))
            .ok_or_else(|| syntax("the console knows no such command"))
    }

    fn show(&mut self) -> Result<Show, PgError> {
        let simple = [
            ("help", Show::Help),
            ("version", Show::Version),
            ("cache", Show::Cache),
            ("cache_misses", Show::CacheMisses),
        ];
        if let Some((_, show)) = simple.into_iter().find(|(word, _)| self.is(word)) {
            return self.end(show);
        }
        if self.is("cache_entries") {
            let limit = if self.is("limit") { self.limit()? } else { ENTRIES };
            return self.end(Show::CacheEntries { limit });
        }
        Err(syntax("the console has nothing of that name to show"))
    }

    fn limit(&mut self) -> Result<usize, PgError> {
        let typed = self.name("LIMIT", false)?;
        let limit = typed.parse().ok().filter(|limit| *limit <= MAX_ENTRIES);
        limit.ok_or_else(|| syntax(&format!("LIMIT must be a number from 0 to {MAX_ENTRIES}")))
    }

    fn purge(&mut self) -> Result<Command, PgError> {
        let what = if self.is("table") {
            let first = self.name("the table", true)?;
            if self.symbol(b'.') {
                Purge::Table { schema: Some(first), name: self.name("the table", true)? }
            } else {
                Purge::Table { schema: None, name: first }
            }
        } else if self.is("tag") {
            Purge::Tag(self.name("the tag", false)?)
        } else if self.is("tenant") {
            Purge::Tenant(self.name("the tenant", false)?)
        } else if self.is("all") || self.rest.is_empty() {
            Purge::All
        } else {
            return Err(syntax("CACHE PURGE takes TABLE, TAG, TENANT or ALL"));
        };
        let database = if self.rest.is_empty() { None } else { Some(self.name("the database", false)?) };
        self.end(Command::Purge { what, database })
    }
}

fn syntax(what: &str) -> PgError {
    PgError::error("42601", what.to_owned()).hint("SHOW HELP lists the commands.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Command {
        let all = commands(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(all.len(), 1, "{text}");
        all[0].clone()
    }

    fn purge(what: Purge, database: Option<&str>) -> Command {
        Command::Purge { what, database: database.map(str::to_owned) }
    }

    fn table(schema: Option<&str>, name: &str) -> Purge {
        Purge::Table { schema: schema.map(str::to_owned), name: name.to_owned() }
    }

    #[test]
    fn commands_are_read() {
        let shown = |show| Command::Show(show);
        for (text, command) in [
            ("SHOW HELP", shown(Show::Help)),
            (" show /* x */ version ;", shown(Show::Version)),
            ("Show Cache -- now", shown(Show::Cache)),
            ("SHOW CACHE_MISSES", shown(Show::CacheMisses)),
            ("SHOW CACHE_ENTRIES", shown(Show::CacheEntries { limit: 100 })),
            ("show cache_entries limit 7", shown(Show::CacheEntries { limit: 7 })),
            ("SHOW CACHE_ENTRIES LIMIT 0", shown(Show::CacheEntries { limit: 0 })),
            ("CACHE PURGE", purge(Purge::All, None)),
            ("CACHE PURGE ALL", purge(Purge::All, None)),
            ("CACHE PURGE ALL app", purge(Purge::All, Some("app"))),
            ("CACHE PURGE ALL '127.0.0.1:5432/App'", purge(Purge::All, Some("127.0.0.1:5432/App"))),
            ("CACHE PURGE TABLE Orders", purge(table(None, "orders"), None)),
            ("CACHE PURGE TABLE \"Or\"\"ders\"", purge(table(None, "Or\"ders"), None)),
            ("CACHE PURGE TABLE Public.orders app", purge(table(Some("public"), "orders"), Some("app"))),
            ("CACHE PURGE TAG Dash", purge(Purge::Tag("Dash".into()), None)),
            ("CACHE PURGE TAG 'it''s' app", purge(Purge::Tag("it's".into()), Some("app"))),
            ("CACHE PURGE TENANT 42", purge(Purge::Tenant("42".into()), None)),
            ("CACHE PURGE TENANT 'a-b'", purge(Purge::Tenant("a-b".into()), None)),
            ("SET client_encoding TO 'UTF8'", Command::Ignored("SET")),
            ("BEGIN", Command::Ignored("BEGIN")),
            ("DISCARD ALL", Command::Ignored("DISCARD ALL")),
        ] {
            assert_eq!(one(text), command, "{text}");
        }
        assert_eq!(commands(" ; ;; ").unwrap(), []);
        assert_eq!(commands("SHOW HELP; SHOW VERSION").unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for text in [
            "SELECT 1",
            "SHOW",
            "SHOW POOLS",
            "SHOW CACHE x",
            "SHOW \"cache\"",
            "SHOW CACHE_ENTRIES LIMIT",
            "SHOW CACHE_ENTRIES LIMIT -1",
            "SHOW CACHE_ENTRIES LIMIT 10001",
            "SHOW CACHE_ENTRIES 5",
            "CACHE",
            "CACHE DROP",
            "CACHE PURGE orders",
            "CACHE PURGE TABLE",
            "CACHE PURGE TABLE a.",
            "CACHE PURGE TABLE a.b.c",
            "CACHE PURGE TABLE ''",
            "CACHE PURGE TAG x y z",
            "CACHE PURGE TENANT $1",
            "CACHE PURGE TAG E'a'",
            "SHOW HELP; SELECT 1",
        ] {
            assert_eq!(commands(text).unwrap_err().sqlstate, "42601", "{text}");
        }
        assert_eq!(commands(&"SHOW HELP;".repeat(21)).unwrap_err().sqlstate, "54000");
    }

    #[test]
    fn every_command_of_the_help_is_one() {
        for (syntax, _) in HELP {
            let plain: String = syntax.chars().take_while(|c| *c != '[').collect();
            assert!(commands(&plain).is_ok(), "{syntax}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}|((show|cache|purge|table|tag|all|limit|'|\"|;|\\.|x|1) ?){0,9}") {
            let _ = commands(&text);
        }
    }
}
