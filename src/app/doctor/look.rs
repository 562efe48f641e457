//! A connection to look through, and rows by the names of their columns.

use crate::backend::{Answer, AskError, Backend, ask};

/// A connection that only reads, and one at a time.
pub(super) struct Look {
    backend: Box<Backend>,
}

/// One row of an answer.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    answer: &'a Answer,
    values: &'a [Option<String>],
}

impl Row<'_> {
    /// The column's text, if it is not NULL.
    pub(super) fn maybe(&self, column: &str) -> Option<&str> {
        self.values.get(self.answer.column(column)?)?.as_deref()
    }

    /// The column's text; empty for NULL.
    pub(super) fn text(&self, column: &str) -> &str {
        self.maybe(column).unwrap_or_default()
    }

    /// True for a true boolean.
    pub(super) fn is(&self, column: &str) -> bool {
        self.maybe(column) == Some("t")
    }

    /// A number; 0 for anything else.
    pub(super) fn number(&self, column: &str) -> i64 {
        self.text(column).parse().unwrap_or_default()
    }
}

/// The rows of an answer.
pub(super) fn rows(answer: &Answer) -> impl Iterator<Item = Row<'_>> {
    answer.rows.iter().map(move |values| Row { answer, values })
}

/// Everything of a user's then stands with its schema, and no name of ours can mean anything else. Whoever does
/// not answer within the limit has other problems than these.
const PREPARE: &str = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', false), \
     pg_catalog.set_config('default_transaction_read_only', 'on', false), \
     pg_catalog.set_config('statement_timeout', '10s', false), \
     pg_catalog.set_config('lock_timeout', '2s', false)";

impl Look {
    /// Takes a fresh connection. Returns the schemas of its login's own `search_path` as well, as an array's text.
    pub(super) async fn new(backend: Box<Backend>) -> Result<(Self, String), AskError> {
        let mut look = Self { backend };
        let path = look.ask("SELECT pg_catalog.current_schemas(false)", &[]).await?;
        look.ask(PREPARE, &[]).await?;
        let path = path.rows.into_iter().flatten().next().flatten();
        Ok((look, path.unwrap_or_default()))
    }

    /// Asks one thing.
    pub(super) async fn ask(&mut self, sql: &str, params: &[Option<&str>]) -> Result<Answer, AskError> {
        ask(&mut self.backend, sql, params).await
    }

    /// Says goodbye.
    pub(super) fn close(self) {
        self.backend.terminate();
    }
}
