//! Frames that are answered without a server: what they mean for their client's session.

use std::sync::Arc;

use super::client::{ClientSession, Mode};
use super::duty::Duty;
use super::server::is_reserved;
use super::statement::{Named, Statement, shape};

impl ClientSession {
    /// True when this client's queries may be answered from elsewhere than the server connection that it has: it
    /// goes from one to the next, and has the tenant that it must have.
    pub fn may_be_answered(&self) -> bool {
        let missing = self.duty.as_deref().is_some_and(Duty::is_missing);
        self.mode != Mode::Exclusive && !self.is_skipping() && !missing
    }

    /// What the tenant's transactions run with: names and values.
    pub fn local_settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.locals().into_iter().flat_map(|(locals, _)| locals.iter())
    }

    /// Stands for what [`Self::local_settings`] gives: another number, other settings.
    pub fn local_number(&self) -> u64 {
        self.locals().map_or(0, |(_, number)| number)
    }

    /// Stands for what decides which relations a text's names mean.
    pub fn scope(&self) -> u64 {
        self.scope
    }

    /// The `search_path` in force, if it is one of the session's own.
    pub fn search_path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// The statement that a name means, if the server would take it as the client knows it.
    pub fn settled(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        if name.is_empty() {
            return self.statements.unnamed.as_ref().filter(|statement| !statement.body.is_empty());
        }
        let Named { statement, note } = self.statements.named(name)?;
        (!statement.is_outdated() && note.scope == self.scope).then_some(statement)
    }

    /// Whether a Parse of this name would succeed, as far as the name is concerned.
    pub fn may_define(&self, name: &[u8], body: usize) -> bool {
        let named = self.mode == Mode::Pooled
            && !is_reserved(name)
            && self.statements.get(name).is_none()
            && self.statements.has_room(body);
        name.is_empty() || named
    }

    /// A Parse has succeeded.
    pub fn define(&mut self, name: &[u8], statement: Arc<Statement>) {
        if name.is_empty() {
            self.set_unnamed(Some(statement));
        } else {
            self.statements.insert(name, Named::new(statement, self.scope));
        }
    }

    /// A Close of a statement has succeeded.
    pub fn undefine(&mut self, name: &[u8]) {
        if name.is_empty() {
            self.set_unnamed(None);
        } else {
            self.statements.remove(name);
        }
    }

    /// A Bind of the name has succeeded; or a Describe, with the body of its `RowDescription`.
    pub fn told(&self, name: &[u8], columns: Option<&[u8]>) {
        let Some(named) = self.statements.named(name) else { return };
        named.note.tell();
        if let Some(columns) = columns {
            named.note.tell_shape(shape(columns));
        }
    }

    /// A simple query has succeeded.
    pub fn query_answered(&mut self) {
        self.set_unnamed(None); // it drops that
    }
}
