//! `SET howdah.cache` and its like, `SHOW` and `RESET` of them.

use super::wish::Own;
use super::{Session, Stage};
use crate::sql::OwnCommand;
use crate::wire::PgError;

impl Session {
    /// Whether a command about Howdah's own settings is for anybody here: without tenants and without a cache the
    /// server may have settings of that name.
    pub(in crate::relay) fn is_own(&self, command: &OwnCommand) -> bool {
        match command {
            _ if self.tenancy.is_some() => true,
            OwnCommand::Malformed(_) => true,
            OwnCommand::Set { key, .. } | OwnCommand::Reset { key, .. } | OwnCommand::Show { key } => {
                Own::knows(key)
            }
        }
    }

    /// Does what a command about the cache says; what SHOW shows. `None`: it is about something else.
    pub(in crate::relay) fn obey_for_cache(
        &mut self,
        command: &OwnCommand,
    ) -> Option<Result<String, PgError>> {
        let (key, value, local) = match command {
            OwnCommand::Set { key, value, local } => (key, Some(&**value), *local),
            OwnCommand::Reset { key, local } => (key, None, *local),
            OwnCommand::Show { key } if Own::knows(key) => {
                let own = self.cached.as_mut().map(|cached| &mut cached.own);
                return Some(Ok(own.map_or_else(|| Own::default().show(key), |own| own.show(key))));
            }
            OwnCommand::Show { .. } | OwnCommand::Malformed(_) => return None,
        };
        if !Own::knows(key) {
            return None;
        }
        let block = matches!(&self.stage, Stage::Leased(lease) if lease.session.status() != b'I');
        let limits = self.pool.caching().map(|caching| std::sync::Arc::clone(&caching.config));
        let cached = self.cached.get_or_insert_default();
        if local && !block {
            return Some(Ok(String::new())); // as Postgres: it holds for a transaction, and there is none
        }
        if block && cached.own_before.is_none() {
            cached.own_before = Some((cached.own.clone(), cached.own.clone()));
        }
        let result = cached.own.set(key, value, limits.as_deref());
        if let Some((_, committed)) = cached.own_before.as_mut().filter(|_| !local && result.is_ok()) {
            let _ = committed.set(key, value, limits.as_deref());
        }
        Some(result.map(|()| String::new()))
    }

    /// The transaction is over: what was set for it alone is gone, or all that was set in it.
    pub(in crate::relay) fn end_wishes(&mut self, committed: bool) {
        self.end_reading();
        if let Some(cached) = self.cached.as_deref_mut()
            && let Some((before, kept)) = cached.own_before.take()
        {
            cached.own = if committed { kept } else { before };
        }
    }
}
