//! What an operator types, read.

use super::options::Options;
use super::view::{self, View};
use crate::cache::Purge;
use crate::sql::{Form, Lexer, Token};
use crate::wire::PgError;

/// Most statements of one text.
const MAX_STATEMENTS: usize = 20;

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    /// Looks at something.
    Show(View, Options),
    /// Drops answers from memory.
    Purge {
        /// Which.
        what: Purge,
        /// Of one database only.
        database: Option<String>,
    },
    /// Forgets what was measured.
    ResetStatistics,
    /// What drivers say by themselves and what means nothing here; with the tag that they expect.
    Ignored(&'static str),
    /// PgBouncer has it, and Howdah has not: its word, and what to do instead.
    Missing(&'static str, &'static str),
}

/// What is not a SHOW, as SHOW HELP tells it.
pub(super) const HELP: [(&str, &str); 3] = [
    (
        "CACHE PURGE [TABLE [schema.]x | TAG x | TENANT x | ALL] [database]",
        "drops answers from memory, of one database or of all",
    ),
    (
        "RESET STATS",
        "forgets statements, tenants, errors, N+1 and slow statements; totals since the start stay",
    ),
    ("RESET QUERIES", "the same"),
];

/// Words with which drivers and pools begin statements of their own.
const IGNORED: [(&str, &str); 13] = [
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
    ("close", "CLOSE CURSOR ALL"),
    ("listen", "LISTEN"),
    ("unlisten", "UNLISTEN"),
];

const STOP: &str = "SIGTERM lets transactions end and stops Howdah.";
const RELOAD: &str = "SIGHUP reads certificates, keys and tenants again.";
const SERVER: &str =
    "On the server, pg_terminate_backend ends a connection; SHOW SERVERS has its process id.";
const RESTART: &str = "Change the configuration and restart Howdah.";

/// What PgBouncer does on command, and Howdah does not.
const MISSING: [(&str, &str, &str); 11] = [
    ("disable", "DISABLE", RESTART),
    ("enable", "ENABLE", RESTART),
    ("kill", "KILL", SERVER),
    ("kill_client", "KILL_CLIENT", SERVER),
    ("pause", "PAUSE", STOP),
    ("reconnect", "RECONNECT", SERVER),
    ("reload", "RELOAD", RELOAD),
    ("resume", "RESUME", STOP),
    ("shutdown", "SHUTDOWN", STOP),
    ("suspend", "SUSPEND", STOP),
    ("wait_close", "WAIT_CLOSE", SERVER),
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
        commands.push(Words::new(tokens).command()?);
    }
    Ok(commands)
}

/// What is left of a statement.
pub(super) struct Words<'a> {
    rest: &'a [Token<'a>],
}

impl<'a> Words<'a> {
    pub(super) fn new(tokens: &'a [Token<'a>]) -> Self {
        Self { rest: tokens }
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Takes the next token if it is this word.
    pub(super) fn is(&mut self, word: &str) -> bool {
        let Some((first, rest)) = self.rest.split_first() else { return false };
        let found = first.is(word);
        if found {
            self.rest = rest;
        }
        found
    }

    /// Takes the next token if it is this byte.
    pub(super) fn symbol(&mut self, symbol: u8) -> bool {
        let Some((first, rest)) = self.rest.split_first() else { return false };
        let found = *first == Token::Symbol(symbol);
        if found {
            self.rest = rest;
        }
        found
    }

    /// Takes a name: an identifier, folded as the server does it when `fold`, or any text in quotes.
    pub(super) fn name(&mut self, what: &str, fold: bool) -> Result<String, PgError> {
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

    /// All of it was taken.
    pub(super) fn end<T>(&self, value: T) -> Result<T, PgError> {
        if self.rest.is_empty() {
            Ok(value)
        } else {
            Err(syntax("there is more behind the end of the command"))
        }
    }

    fn command(mut self) -> Result<Command, PgError> {
        if self.is("show") {
            return self.show();
        }
        if self.is("cache") {
            return if self.is("purge") { self.purge() } else { Err(syntax("CACHE can only PURGE")) };
        }
        let first = self.rest.first();
        let starts = |word: &str| first.is_some_and(|token| token.is(word));
        if starts("reset") {
            return self.reset();
        }
        if let Some((_, word, instead)) = MISSING.iter().find(|(word, ..)| starts(word)) {
            return Ok(Command::Missing(word, instead));
        }
        let ignored = IGNORED.iter().find(|(word, _)| starts(word));
        ignored
            .map(|(_, tag)| Command::Ignored(tag))
            .ok_or_else(|| syntax("the console knows no such command"))
    }

    fn show(&mut self) -> Result<Command, PgError> {
        let Some(view) = view::VIEWS.iter().find(|(word, ..)| self.is(word)).map(|(_, view, _)| *view) else {
            return self.parameter();
        };
        let options = match view {
            View::Queries => Options::read_with_tenant(self, view.columns())?,
            _ => Options::read(self, view.columns())?,
        };
        self.end(Command::Show(view, options))
    }

    /// What drivers ask a server for.
    fn parameter(&mut self) -> Result<Command, PgError> {
        let known = view::PARAMETERS.iter().position(|([(name, _)], _)| self.is(name));
        let known = if known.is_none() && self.is("time") && self.is("zone") {
            view::PARAMETERS.iter().position(|([(name, _)], _)| *name == "timezone")
        } else {
            known
        };
        let known = known.ok_or_else(|| syntax("the console has nothing of that name to show"))?;
        self.end(Command::Show(View::Parameter(known), Options::default()))
    }

    fn reset(&mut self) -> Result<Command, PgError> {
        self.is("reset");
        if self.is("stats") || self.is("statistics") || self.is("queries") {
            return self.end(Command::ResetStatistics);
        }
        // RESET ALL is what pools of drivers say before each loan: it must cost nobody his statistics.
        Ok(Command::Ignored("RESET"))
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

/// 42601.
pub(super) fn syntax(what: &str) -> PgError {
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
        let shown = |view| Command::Show(view, Options::default());
        for (text, command) in [
            ("SHOW HELP", shown(View::Help)),
            (" show /* x */ version ;", shown(View::Version)),
            ("Show Cache -- now", shown(View::Cache)),
            ("SHOW CACHE_MISSES", shown(View::CacheMisses)),
            ("SHOW CACHE_ENTRIES", shown(View::CacheEntries)),
            ("show STATS_TOTALS", shown(View::StatsTotals)),
            ("SHOW client_encoding", shown(View::Parameter(0))),
            ("SHOW TIME ZONE", shown(View::Parameter(4))),
            ("RESET STATS", Command::ResetStatistics),
            ("reset queries;", Command::ResetStatistics),
            ("RESET ALL", Command::Ignored("RESET")),
            ("RESET application_name", Command::Ignored("RESET")),
            ("PAUSE", Command::Missing("PAUSE", STOP)),
            ("kill app", Command::Missing("KILL", SERVER)),
            ("KILL_CLIENT 5", Command::Missing("KILL_CLIENT", SERVER)),
            ("RELOAD", Command::Missing("RELOAD", RELOAD)),
            ("UNLISTEN *", Command::Ignored("UNLISTEN")),
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
    fn options_are_read() {
        let Command::Show(View::CacheEntries, options) = one("show cache_entries limit 7") else { panic!() };
        assert_eq!((options.limit, options.is_plain()), (Some(7), true));
        let Command::Show(View::Queries, options) = one("SHOW QUERIES TENANT 'a-b' LIMIT 3") else {
            panic!()
        };
        assert_eq!((options.limit, options.tenant.as_deref()), (Some(3), Some("a-b")));
        let Command::Show(View::Pools, options) = one("SHOW POOLS WHERE user = 'a' ORDER BY maxwait DESC")
        else {
            panic!()
        };
        assert_eq!((options.limit, options.is_plain()), (None, false));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for text in [
            "SELECT 1",
            "SHOW",
            "SHOW POOL",
            "SHOW POOLS app",
            "SHOW POOLS TENANT acme",
            "SHOW QUERIES TENANT",
            "SHOW QUERIES LIMIT 1 TENANT acme",
            "SHOW STATS; ; SHOW x",
            "SHOW TIME",
            "RESET STATS now",
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
        let views = view::VIEWS.map(|(word, ..)| format!("SHOW {word}"));
        for syntax in HELP.iter().map(|(syntax, _)| (*syntax).to_owned()).chain(views) {
            let plain: String = syntax.chars().take_while(|c| *c != '[').collect();
            assert!(commands(&plain).is_ok(), "{syntax}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}|((show|cache|purge|table|tag|all|limit|reset|stats|'|\"|;|\\.|x|1) ?){0,9}") {
            let _ = commands(&text);
        }
    }
}
