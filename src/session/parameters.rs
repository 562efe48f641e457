//! Settings that a server reports: whose they are, and who hears of them.

use std::sync::Arc;

use super::client::ClientSession;
use super::server::{Action, ServerSession};
use super::settings::{Settings, is_settable};
use crate::wire;

impl ServerSession {
    /// A setting changed, by the client's doing or by the preamble's.
    pub(super) fn on_parameter(&mut self, client: &mut ClientSession, body: &[u8]) -> Action {
        if let Some((name, value)) = wire::parameter_status(body) {
            match self.reported.iter_mut().find(|(known, _)| **known == *name) {
                Some(known) => known.1 = value.into(),
                None => self.reported.push((name.into(), value.into())),
            }
            // A tenant's own come and go with each transaction; the session's are what the client knows.
            if std::str::from_utf8(name).is_ok_and(|name| client.locals().is_some_and(|(l, _)| l.has(name))) {
                return Action::Swallow;
            }
            if self.discarded.is_some() {
                // Back to what a fresh connection has, which is nothing to remember. For the client, what it
                // asked for when it connected holds again: it hears of that with the ReadyForQuery.
                let asked = std::str::from_utf8(name).is_ok_and(|name| client.settings.get(name).is_some());
                return if asked { Action::Swallow } else { Action::Pass };
            }
            // The preamble's own changes are noted when it has succeeded; a ROLLBACK of ours changes some too.
            if is_settable(name) && self.bringing.is_none() {
                let name = String::from_utf8_lossy(name);
                let value = String::from_utf8_lossy(value);
                if !self.preparing {
                    client.note_setting(&name, &value);
                }
                if self.settings.get(&name) != Some(&value) {
                    self.settings = Arc::new(self.settings.with(&name, &value));
                }
            }
        }
        // The client was told when it asked for it.
        if self.preparing { Action::Swallow } else { Action::Pass }
    }
}

/// `ReadyForQuery` behind a `DISCARD ALL`, with a `ParameterStatus` for what the client had asked for when it
/// connected and had changed since: on a connection of its own, that is what `DISCARD ALL` goes back to.
pub(super) fn ready_after_discard(client: &ClientSession, before: &Settings, status: u8) -> Action {
    let mut bytes = Vec::new();
    for (name, value) in client.settings.iter().filter(|(name, value)| before.get(name) != Some(value)) {
        wire::parameter_status_into(&mut bytes, name.as_bytes(), value.as_bytes());
    }
    wire::ready_for_query(&mut bytes, status);
    Action::Replace(bytes)
}
