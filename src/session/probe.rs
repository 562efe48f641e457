//! A look at what is really left in a session, once a transaction is over that may have left something: the server
//! is asked. Its answer is right after a rollback, an error, or a function of which nobody knows what it does.

use super::client::ClientSession;
use super::expect::{Expect, Kind};
use super::left::Left;
use super::locals::literal;
use super::server::ServerSession;
use super::settings::Settings;
use super::sql_prepared::SqlStatements;
use crate::sql::Leaves;
use crate::wire;

/// Settings that belong to one transaction, or cannot be read or brought to another session.
const NOT_CARRIED: [&str; 6] = [
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
    "seed",
    "session_authorization",
    "is_superuser",
];
/// Its value tells that another user is set.
const USER: &[u8] = b"session_authorization";
/// What the server is asked for besides settings.
const ASKED: [(Leaves, &str); 5] = [
    (
        Leaves::PREPARED,
        "SELECT 'p',pg_catalog.encode(pg_catalog.convert_to(name,'UTF8'),'hex'),\
         pg_catalog.encode(pg_catalog.convert_to(statement,'UTF8'),'hex') \
         FROM pg_catalog.pg_prepared_statement() WHERE from_sql",
    ),
    (
        Leaves::LOCKS,
        "SELECT 'l',''::pg_catalog.text,''::pg_catalog.text WHERE EXISTS(SELECT FROM pg_catalog.pg_lock_status() \
         WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
         AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())",
    ),
    (
        Leaves::TEMPORARY,
        "SELECT 't',''::pg_catalog.text,''::pg_catalog.text WHERE EXISTS(SELECT FROM pg_catalog.pg_depend \
         WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass \
         AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())",
    ),
    (
        Leaves::CURSORS,
        "SELECT 'c',''::pg_catalog.text,''::pg_catalog.text WHERE EXISTS(SELECT FROM pg_catalog.pg_cursor())",
    ),
    (
        Leaves::CHANNELS,
        "SELECT 'n',''::pg_catalog.text,''::pg_catalog.text \
         WHERE EXISTS(SELECT FROM pg_catalog.pg_listening_channels())",
    ),
];

/// Kinds of rows that are there if something is left.
const FOUND: [(u8, Leaves); 4] =
    [(b'l', Leaves::LOCKS), (b't', Leaves::TEMPORARY), (b'c', Leaves::CURSORS), (b'n', Leaves::CHANNELS)];

/// A look that is on its way.
#[derive(Debug)]
pub(super) struct Probe {
    left: Left,
    /// What kind of thing, its name, and its value or text.
    rows: Vec<(u8, String, Option<String>)>,
    failed: bool,
}

impl ServerSession {
    /// Asks the server what is left, if anything may be: writes the question and returns true. Nothing may be in
    /// flight, and no transaction open. [`Self::is_quiet`] tells when the answer is there; then
    /// [`Self::is_tainted`] is true only if something is really left, and [`Self::held`] says what.
    pub fn probe(&mut self, client: &mut ClientSession, out: &mut Vec<u8>) -> bool {
        let look = self.look || self.held.any() && self.left.leaves.has(Leaves::ENDS);
        let verify = if self.probe_failed { Vec::new() } else { self.take_unverified(client) };
        if self.probe_failed || !(self.left.leaves.any() || look || !verify.is_empty()) {
            if !self.tainted {
                self.left = Left::default(); // what failed or was local is over, and not the next client's
            }
            return false;
        }
        self.look = false;
        let mut left = std::mem::take(&mut self.left);
        // What a server reports, it has reported.
        let sure = self.bring.is_sure();
        left.names.retain(|name| {
            !(NOT_CARRIED.contains(&&**name) || sure && self.initial_value(name.as_bytes()).is_some())
        });
        left.leaves |= self.held;
        let mut texts = Self::questions(&left, client);
        if !verify.is_empty() {
            let value = encoded("pg_catalog.current_setting(n,true)");
            texts.push(format!("SELECT 'v',n,{value} FROM pg_catalog.unnest({}) AS n", array(&verify)));
        }
        let probe = Probe { left, rows: Vec::new(), failed: false };
        if texts.is_empty() {
            self.conclude(probe, client);
            return false;
        }
        wire::query(out, texts.join(" UNION ALL ").as_bytes());
        self.unnamed = None; // a simple query drops it
        let mut entry = Expect::new(Kind::Query, false);
        entry.probes = true;
        self.expect.push_back(entry);
        self.probe = Some(Box::new(probe));
        true
    }

    /// The answer is to come.
    pub fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    fn questions(left: &Left, client: &ClientSession) -> Vec<String> {
        let mut texts = Vec::new();
        if left.leaves.has(Leaves::SETTINGS) && left.asks_all() {
            let own = |name: &str| name.contains('.');
            let known =
                client.settings.iter().map(|(name, _)| name.to_ascii_lowercase()).filter(|name| own(name));
            let mut hidden: Vec<String> = known.collect();
            hidden.extend(left.names.iter().filter(|name| own(name)).map(ToString::to_string));
            // Settings that no list shows: this one, and those that a client made up itself.
            hidden.push("role".to_owned());
            hidden.sort();
            hidden.dedup();
            texts.push(format!(
                "(WITH s AS MATERIALIZED (SELECT name,source FROM pg_catalog.pg_show_all_settings()) \
                 SELECT 's',name,{} FROM s WHERE source OPERATOR(pg_catalog.=) 'session' UNION ALL \
                 SELECT 's',n,{} FROM pg_catalog.unnest({}) AS n \
                 WHERE NOT EXISTS(SELECT FROM s WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) n))",
                encoded("pg_catalog.current_setting(name)"),
                encoded("pg_catalog.current_setting(n,true)"),
                array(&hidden)
            ));
        } else if left.leaves.has(Leaves::SETTINGS) && !left.names.is_empty() {
            let value = encoded("pg_catalog.current_setting(n,true)");
            texts.push(format!("SELECT 's',n,{value} FROM pg_catalog.unnest({}) AS n", array(&left.names)));
        }
        for (leaves, text) in ASKED {
            if left.leaves.has(leaves) {
                texts.push(text.to_owned());
            }
        }
        texts
    }

    /// A row of the answer.
    pub(super) fn probe_row(&mut self, body: &[u8]) {
        let Some(probe) = &mut self.probe else { return };
        match read_row(body) {
            Some(row) => probe.rows.push(row),
            None => probe.failed = true,
        }
    }

    /// The question failed.
    pub(super) fn probe_error(&mut self) {
        if let Some(probe) = &mut self.probe {
            probe.failed = true;
        }
    }

    /// The answer is there.
    pub(super) fn probe_ready(&mut self, client: &mut ClientSession) {
        let Some(probe) = self.probe.take() else { return };
        if !probe.failed {
            self.conclude(*probe, client);
            return;
        }
        // Asked again after the next transaction; until then nobody else may have it.
        let later = std::mem::replace(&mut self.left, probe.left);
        self.left.merge(later);
        self.probe_failed = true;
        self.blind = !self.held.has(Leaves::UNREADABLE);
        self.held |= Leaves::UNREADABLE;
        self.tainted = true;
    }

    fn conclude(&mut self, probe: Probe, client: &mut ClientSession) {
        let Probe { left, rows, .. } = probe;
        if left.leaves.has(Leaves::SETTINGS) {
            self.learn_settings(&left, &rows, client);
        }
        let of = |kind: u8| rows.iter().filter(move |(k, ..)| *k == kind);
        for (_, name, value) in of(b'v') {
            let as_known = client.has_setting(name, value.as_deref());
            self.verified_one(as_known);
        }
        if left.leaves.has(Leaves::PREPARED) {
            let all = of(b'p').map(|(_, name, text)| (name.clone(), text.clone().unwrap_or_default()));
            let now = SqlStatements::new(all.collect());
            // Of those that nobody named since it came here, this client need not have any.
            let mut before = self.sql_prepared.clone();
            if self.names_unknown {
                before = before.union(&self.names_before);
            }
            client.sql_prepared = client.sql_prepared.learn(&before, &now);
            self.sql_prepared = now;
            self.names_unknown = false;
        }
        let mut held = self.held & Leaves::LIBRARY;
        if self.sql_prepared.is_disguised() {
            held |= Leaves::UNREADABLE; // nobody else may take it for one of Howdah's
        }
        if left.loaded {
            held |= Leaves::LIBRARY;
        }
        for (kind, leaves) in FOUND {
            if of(kind).next().is_some() {
                held |= leaves;
            }
        }
        let user = self.reported.iter().find(|(name, _)| **name == *USER).map(|(_, value)| &**value);
        if user.is_some_and(|user| self.initial_value(USER).is_some_and(|login| login != user)) {
            held |= Leaves::AUTHORIZATION;
        }
        // No list tells that such a setting is gone; only that all are.
        let still = self.held.has(Leaves::UNREADABLE) && !self.blind && (left.undone || !left.reset_all);
        if left.unreadable || still {
            held |= Leaves::UNREADABLE;
        }
        self.blind = false;
        if !self.held.any() {
            self.since_pin = 0;
        }
        self.held = held;
        // What went out while the answer was on its way is for the next look.
        self.tainted = held.any() || self.left.leaves.any();
    }

    /// The settings that the session has now are its client's.
    fn learn_settings(
        &mut self,
        left: &Left,
        rows: &[(u8, String, Option<String>)],
        client: &mut ClientSession,
    ) {
        let rows =
            rows.iter().filter(|(kind, name, _)| *kind == b's' && !NOT_CARRIED.contains(&name.as_str()));
        let rows = rows.map(|(_, name, value)| {
            (name.as_str(), value.as_deref().filter(|value| !(name == "role" && *value == "none")))
        });
        let (before, sure) = (std::sync::Arc::clone(&self.settings), self.bring.is_sure());
        let mut now = if left.asks_all() && sure { Settings::default() } else { Settings::clone(&before) };
        let mut of_client = Settings::clone(&client.settings);
        for (name, value) in rows {
            now = now.changed(name, value);
            // What was brought may have been undone with all the rest: what is as it was before says nothing.
            // A setting that a client made up is empty where it was once and is no more.
            let unset =
                |value: Option<&str>| value.is_none_or(|value| value.is_empty() && name.contains('.'));
            let named = left.names.iter().any(|n| n.eq_ignore_ascii_case(name));
            // What the server reports, it has reported.
            let ours = (named || !self.bring.doubts(name)) && self.initial_value(name.as_bytes()).is_none();
            if ours && value != before.get(name) && !(unset(value) && unset(before.get(name))) {
                of_client = of_client.changed(name, value);
            }
        }
        let now = std::sync::Arc::new(now);
        client.learn(if sure { std::sync::Arc::clone(&now) } else { std::sync::Arc::new(of_client) });
        self.settings = now;
    }
}

impl Left {
    /// The short question would not do.
    fn asks_all(&self) -> bool {
        self.all || self.undone && !self.names.is_empty()
    }

    fn merge(&mut self, later: Self) {
        self.leaves |= later.leaves;
        self.names.extend(later.names);
        self.all |= later.all;
        self.undone |= later.undone;
        self.unreadable |= later.unreadable;
        self.loaded |= later.loaded;
        self.reset_all |= later.reset_all;
    }
}

/// An expression's text in hexadecimal digits, so that it arrives whatever `client_encoding` is.
fn encoded(expression: &str) -> String {
    format!("pg_catalog.encode(pg_catalog.convert_to({expression},'UTF8'),'hex')")
}

fn array<N: AsRef<str>>(names: &[N]) -> String {
    let mut text = b"ARRAY[".to_vec();
    for (n, name) in names.iter().enumerate() {
        if n > 0 {
            text.push(b',');
        }
        literal(&mut text, name.as_ref());
    }
    text.extend_from_slice(b"]::pg_catalog.text[]");
    String::from_utf8(text).unwrap_or_default()
}

/// Kind, name, and a value in hexadecimal digits (of statements, name and text are).
fn read_row(body: &[u8]) -> Option<(u8, String, Option<String>)> {
    let fields = wire::fields(body).ok()?;
    let [Some(&[kind]), Some(name), value] = *fields.as_slice() else { return None };
    let name = if kind == b'p' { unhex(name)? } else { std::str::from_utf8(name).ok()?.to_owned() };
    let value = match value {
        Some(digits) => Some(unhex(digits)?),
        None => None,
    };
    Some((kind, name, value))
}

fn unhex(digits: &[u8]) -> Option<String> {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?)).collect();
    String::from_utf8(bytes?).ok()
}
