//! What each transaction wrote.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::message::{Change, read_change};
use crate::wire::Malformed;

/// The prefix of Howdah's own messages.
const OWN: &[u8] = b"howdah";
/// A transaction may carry so many of them; what is more is not kept.
const MAX_MESSAGES: usize = 1000;

/// A table, as the stream names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// Its schema.
    pub schema: Box<str>,
    /// Its name in it.
    pub name: Box<str>,
}

/// What a transaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Its number, without the epoch.
    pub xid: u32,
    /// The position behind its commit.
    pub end: u64,
    /// The tables that it wrote, each once.
    pub tables: Vec<Arc<TableName>>,
    /// Messages with the prefix `howdah` that it emitted.
    pub messages: Vec<Box<[u8]>>,
}

/// What a change brings to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transaction is committed.
    Committed(Committed),
    /// A message with the prefix `howdah` that belongs to no transaction.
    Message(Box<[u8]>),
}

/// A transaction whose commit has not come.
#[derive(Debug, Default)]
struct Open {
    done: Committed,
    /// Numbers of the tables in it. The last one first asked: rows of one table come together.
    last: Option<u32>,
    ids: HashSet<u32>,
}

/// Reads changes in their order.
#[derive(Debug, Default)]
pub struct Transactions {
    tables: HashMap<u32, Arc<TableName>>,
    open: Option<Open>,
}

impl Transactions {
    /// Takes the next change.
    ///
    /// # Errors
    /// It cannot be read, stands where it cannot, or is of a table that was never named: what it wrote is not known,
    /// and the stream is of no more use.
    pub fn on_change(&mut self, payload: &[u8]) -> Result<Option<Event>, Malformed> {
        match read_change(payload)? {
            Change::Begin { xid } => {
                if self.open.is_some() {
                    return Err(Malformed("Begin within a transaction"));
                }
                let done = Committed { xid, ..Committed::default() };
                self.open = Some(Open { done, ..Open::default() });
            }
            Change::Commit { end } => {
                let open = self.open.take().ok_or(Malformed("Commit without a Begin"))?;
                return Ok(Some(Event::Committed(Committed { end, ..open.done })));
            }
            Change::Row { id } => self.wrote(id)?,
            Change::Truncate { ids } => {
                for id in ids.chunks_exact(4) {
                    self.wrote(id.iter().fold(0, |id, byte| id << 8 | u32::from(*byte)))?;
                }
            }
            Change::Relation { id, schema, name } => self.is_named(id, schema, name)?,
            Change::Message { transactional, prefix, content } => {
                let Some(content) = content.filter(|_| prefix == OWN) else { return Ok(None) };
                if !transactional {
                    return Ok(Some(Event::Message(content.into())));
                }
                let open = self.open.as_mut().ok_or(Malformed("Message outside of its transaction"))?;
                if open.done.messages.len() < MAX_MESSAGES {
                    open.done.messages.push(content.into());
                }
            }
            Change::Other => {}
        }
        Ok(None)
    }

    /// A transaction's changes have begun and are not over.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn is_named(&mut self, id: u32, schema: &[u8], name: &[u8]) -> Result<(), Malformed> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Malformed("Relation: a name is not UTF-8"));
        let schema = if schema.is_empty() { "pg_catalog" } else { text(schema)? };
        self.tables.insert(id, Arc::new(TableName { schema: schema.into(), name: text(name)?.into() }));
        // A table that is renamed within its transaction was written by both names.
        if let Some(open) = &mut self.open {
            open.ids.remove(&id);
            open.last = open.last.filter(|last| *last != id);
        }
        Ok(())
    }

    fn wrote(&mut self, id: u32) -> Result<(), Malformed> {
        let open = self.open.as_mut().ok_or(Malformed("a row outside of a transaction"))?;
        if open.last == Some(id) {
            return Ok(());
        }
        open.last = Some(id);
        if open.ids.insert(id) {
            let table = self.tables.get(&id).ok_or(Malformed("a row of a table that was not named"))?;
            open.done.tables.push(Arc::clone(table));
        }
        Ok(())
    }
}
