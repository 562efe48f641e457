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
                // The client hears with the ReadyForQuery what holds for it again, and what it has set since.
                let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
                if is_settable(name.as_bytes())
                    && self.initial_value(name.as_bytes()) != Some(value.as_bytes())
                {
                    client.note_setting(&name, Some(&value));
                    self.settings = Arc::new(self.settings.changed(&name, Some(&value)));
                }
                return Action::Swallow;
            }
            if is_settable(name) {
                return self.on_settable(client, name, value);
            }
            if !self.preparing {
                return self.on_consequence(client, name, value);
            }
        }
        // The client was told when it asked for it.
        if self.preparing { Action::Swallow } else { Action::Pass }
    }

    /// What no session can set changed: because of a role, a promotion.
    fn on_consequence(&self, client: &mut ClientSession, name: &[u8], value: &[u8]) -> Action {
        let told = client.told.iter().find(|(known, _)| **known == *name);
        let believed = told.map(|(_, value)| &**value).or_else(|| self.initial_value(name));
        // A role that is brought is its client's, and it knows what that means.
        let brought = self.bring.brings("role") && !self.left.names("role");
        if brought || believed == Some(value) {
            return Action::Swallow;
        }
        client.told.retain(|(known, _)| **known != *name);
        if self.initial_value(name) != Some(value) {
            client.told.push((name.into(), value.into()));
        }
        Action::Pass
    }

    /// A setting that belongs to the session changed.
    fn on_settable(&mut self, client: &mut ClientSession, name: &[u8], value: &[u8]) -> Action {
        let (typed, new) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        // What a fresh connection has is nothing to remember.
        let set = Some(&*new).filter(|_| self.initial_value(name) != Some(value));
        if self.preparing {
            // The preamble's own changes are noted when it has succeeded; a ROLLBACK of ours changes some too.
            if self.bringing.is_none() && self.settings.get(&typed) != set {
                self.settings = Arc::new(self.settings.changed(&typed, set));
            }
            return Action::Swallow;
        }
        let believed = client.settings.get(&typed).map(str::as_bytes).or_else(|| self.initial_value(name));
        let before = self.settings.get(&typed).map(str::as_bytes).or_else(|| self.initial_value(name));
        let undone = self.bring.is_in_doubt() && (before == Some(value) || !self.left.names(&typed));
        if self.bring.brings(&typed) && (believed == Some(value) || undone) {
            return Action::Swallow; // brought, or undone with all the rest
        }
        if believed == Some(value) && self.settings.get(&typed) == client.settings.get(&typed) {
            return Action::Swallow;
        }
        let shown = believed != Some(value);
        client.note_setting(&typed, set);
        if !self.bring.note(&typed, set) && self.settings.get(&typed) != set {
            self.settings = Arc::new(self.settings.changed(&typed, set));
        }
        if shown { Action::Pass } else { Action::Swallow }
    }

    /// What the client must hear of settings that it changed while they were on their way to what it had, and the
    /// server does not say: it compares with what this connection had before. Names and values.
    pub(super) fn untold(&self, client: &ClientSession, status: u8) -> Vec<(Box<str>, String)> {
        let Some((names, own)) = self.bring.sent() else { return Vec::new() };
        let doubt = self.bring.is_in_doubt();
        if doubt && status == b'T' && !self.bring.is_ended() {
            return Vec::new();
        }
        let or_initial = |value: Option<&str>, name: &str| {
            value.map(str::as_bytes).or_else(|| self.initial_value(name.as_bytes())).map(<[u8]>::to_vec)
        };
        let value = |name: &str| {
            let now = self.reported_value(name.as_bytes())?.to_vec();
            let before = or_initial(self.settings.get(name), name);
            let brought = or_initial(own.get(name), name);
            let undone = doubt && before.as_ref() == Some(&now) && brought != before;
            let truth = if undone { brought? } else { now };
            let believed = or_initial(client.settings.get(name), name);
            (believed.as_ref() != Some(&truth)).then(|| String::from_utf8_lossy(&truth).into_owned())
        };
        let touched = names.iter().filter(|name| self.left.names(name));
        touched.filter_map(|name| Some((name.clone(), value(name)?))).collect()
    }

    /// What was on its way was undone, or nobody knows: but what the server reports is never in doubt once a
    /// transaction is over.
    pub fn resolve_reported(&mut self) {
        let initial = Arc::clone(&self.initial);
        for (name, first) in initial.iter().filter(|(name, _)| is_settable(name)) {
            let Ok(typed) = std::str::from_utf8(name) else { continue };
            let now = self.reported_value(name).filter(|now| *now != &**first);
            let now = now.map(|value| String::from_utf8_lossy(value).into_owned());
            let same = |known: Option<&str>| {
                known.map_or(&**first, str::as_bytes) == now.as_deref().map_or(&**first, str::as_bytes)
            };
            if !same(self.settings.get(typed)) {
                self.settings = Arc::new(self.settings.changed(typed, now.as_deref()));
            }
        }
        self.bring.resolve(|name| initial.iter().any(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())));
    }

    /// What the server has said last.
    fn reported_value(&self, name: &[u8]) -> Option<&[u8]> {
        let known = self.reported.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        known.map(|(_, value)| &**value).or_else(|| self.initial_value(name))
    }

    /// `ReadyForQuery`, behind what is [`Self::untold`]; `kept`: what is told is set on this connection.
    pub(super) fn tell(
        &mut self,
        client: &mut ClientSession,
        untold: &[(Box<str>, String)],
        kept: bool,
        status: u8,
    ) -> Action {
        if untold.is_empty() {
            return Action::Pass;
        }
        let mut bytes = Vec::new();
        for (name, value) in untold {
            let set =
                Some(value.as_str()).filter(|v| self.initial_value(name.as_bytes()) != Some(v.as_bytes()));
            client.note_setting(name, set);
            if kept && !self.bring.note(name, set) {
                self.settings = Arc::new(self.settings.changed(name, set));
            }
            let initial = self.initial.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
            let spelled = initial.map_or(name.as_bytes(), |(name, _)| name);
            wire::parameter_status_into(&mut bytes, spelled, value.as_bytes());
        }
        wire::ready_for_query(&mut bytes, status);
        Action::Replace(bytes)
    }

    /// `ReadyForQuery` behind a `DISCARD ALL`, with a `ParameterStatus` for what is another value now than `before`:
    /// it goes back to what the client asked for when it connected.
    pub(super) fn ready_after_discard(
        &self,
        client: &ClientSession,
        before: &Settings,
        status: u8,
    ) -> Action {
        let mut bytes = Vec::new();
        for (name, initial) in self.initial.iter() {
            let Ok(typed) = std::str::from_utf8(name) else { continue };
            let of = |settings: &Settings| {
                settings.get(typed).map_or_else(|| initial.to_vec(), |v| v.as_bytes().to_vec())
            };
            let now = of(client.settings());
            if is_settable(name) && of(before) != now {
                wire::parameter_status_into(&mut bytes, name, &now);
            }
        }
        wire::ready_for_query(&mut bytes, status);
        Action::Replace(bytes)
    }
}
