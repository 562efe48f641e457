//! Which bytes of a file are secret, so that no error shows them.
//!
//! Both ways err towards hiding: a value is open only when its key is one of those known to hold none.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys whose values may be shown. A key that is missing here is masked in errors, nothing worse.
const OPEN_KEYS: [&str; 110] = [
    "include",
    "addresses",
    "unix_socket_dir",
    "auth_type",
    "max_client_conn",
    "shutdown_timeout",
    "client_login_timeout",
    "client_idle_timeout",
    "worker_threads",
    "mode",
    "cert_file",
    "key_file",
    "client_ca_file",
    "ca_file",
    "address",
    "level",
    "format",
    "slow_query",
    "pool_mode",
    "default_pool_size",
    "min_pool_size",
    "reserve_pool_size",
    "reserve_pool_timeout",
    "max_db_connections",
    "query_wait_timeout",
    "query_timeout",
    "transaction_timeout",
    "idle_transaction_timeout",
    "server_connect_timeout",
    "server_login_retry",
    "server_idle_timeout",
    "server_lifetime",
    "server_reset_query",
    "max_prepared_statements",
    "pin",
    "max_pinned_connections",
    "host",
    "port",
    "dbname",
    "user",
    "databases",
    "password_file",
    "listen",
    "http",
    "log",
    "pool",
    "tenants",
    "tenant",
    "role",
    "setting",
    "identify",
    "user_pattern",
    "database_pattern",
    "on_missing",
    "protected",
    "denied",
    "on_dynamic_sql",
    "channels",
    "context",
    "resolvers",
    "signature",
    "valid_for",
    "name",
    "query",
    "params",
    "set",
    "ttl",
    "negative_ttl",
    "required",
    "database",
    "id",
    "id_format",
    "placement",
    "search_path",
    "max_server_connections",
    "weight",
    "transactions_per_second",
    "connects_per_second",
    "statement_timeout",
    "tenancy",
    "settings",
    "cache",
    "max_memory",
    "max_entry",
    "default_ttl",
    "max_ttl",
    "tenant_share",
    "jitter",
    "wait",
    "rules",
    "match",
    "fingerprint",
    "stale",
    "tag",
    "follow",
    "publication",
    "slot",
    "max_lag",
    "notify",
    "admin",
    "stats_users",
    "observe",
    "max_tenants",
    "enabled",
    "max_tracked",
    "parameters",
    "n_plus_one",
    "threshold",
    "window",
    "token_file",
];

/// Secrets of a file that parsed: exactly the values.
pub(super) fn of_table(text: &str, root: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    for (key, value) in root {
        let named = matches!(key.get_ref().as_ref(), "users" | "databases" | "tenants");
        match value.get_ref() {
            // The keys in here are names that somebody chose; a bare value is no name's, so it is hidden.
            DeValue::Table(entries) if named => {
                for entry in entries.values() {
                    walk("", entry.get_ref(), entry.span(), &mut spans);
                }
            }
            // Names of users, who are a table of their own elsewhere.
            DeValue::Table(entries) if key.get_ref() == "admin" => {
                for (key, value) in entries {
                    let key = if key.get_ref() == "users" { "stats_users" } else { key.get_ref().as_ref() };
                    walk(key, value.get_ref(), value.span(), &mut spans);
                }
            }
            DeValue::Table(entries) if key.get_ref() == "tenancy" => {
                entries.iter().for_each(|(key, value)| walk_tenancy(key.get_ref(), value, &mut spans));
            }
            other => walk(key.get_ref(), other, value.span(), &mut spans),
        }
    }
    // A comment after a secret is hidden with it: it may be the password of yesterday.
    for span in &mut spans {
        let rest = text.get(span.end..).unwrap_or("").split('\n').next().unwrap_or("");
        if rest.trim_start_matches([' ', '\t', ',', '}', ']']).starts_with('#') {
            span.end += rest.trim_end_matches('\r').len();
        }
    }
    // And so is a comment that speaks of one, whatever stands before it.
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(hash) = line.find('#') {
            let comment = line.get(hash..).unwrap_or("").trim_end_matches(['\n', '\r']);
            if words(comment).any(|(_, word)| hides(word)) || tells(comment) {
                spans.push(start + hash..start + hash + comment.len());
            }
        }
        start += line.len();
    }
    tidy(spans)
}

fn walk(key: &str, value: &DeValue<'_>, span: Range<usize>, spans: &mut Vec<Range<usize>>) {
    let hidden = match value {
        DeValue::String(typed) => {
            let open = OPEN_KEYS.contains(&key)
                || (matches!(key, "password_env" | "token_env") && names_variable(typed));
            !open || tells(typed)
        }
        // Whole, because of comments between the items.
        DeValue::Array(_) => !OPEN_KEYS.contains(&key),
        _ => hides(key),
    };
    if hidden {
        hide_all(value, span, spans);
        return;
    }
    match value {
        DeValue::Table(table) => {
            for (key, value) in table {
                walk(key.get_ref(), value.get_ref(), value.span(), spans);
            }
        }
        DeValue::Array(items) => {
            items.iter().for_each(|item| walk(key, item.get_ref(), item.span(), spans));
        }
        _ => {}
    }
}

/// In here are tables whose keys somebody chose: names of settings, by which nothing secret stands.
fn walk_tenancy(key: &str, value: &Spanned<DeValue<'_>>, spans: &mut Vec<Range<usize>>) {
    match (key, value.get_ref()) {
        ("context" | "set", DeValue::Table(pairs)) => {
            pairs.values().for_each(|value| walk(key, value.get_ref(), value.span(), spans));
        }
        ("resolvers", DeValue::Array(items)) => {
            for item in items {
                match item.get_ref() {
                    DeValue::Table(entries) => {
                        entries.iter().for_each(|(key, value)| walk_tenancy(key.get_ref(), value, spans));
                    }
                    other => walk("", other, item.span(), spans),
                }
            }
        }
        (key, other) => walk(key, other, value.span(), spans),
    }
}

/// A table's own span may be its header only, so what is in it is hidden too.
fn hide_all(value: &DeValue<'_>, span: Range<usize>, spans: &mut Vec<Range<usize>>) {
    spans.push(span);
    match value {
        DeValue::Table(table) => table.values().for_each(|v| hide_all(v.get_ref(), v.span(), spans)),
        DeValue::Array(items) => items.iter().for_each(|v| hide_all(v.get_ref(), v.span(), spans)),
        _ => {}
    }
}

/// Whether a key sounds as if its value were secret; also misspelt.
fn hides(key: &str) -> bool {
    let key = key.to_lowercase();
    !OPEN_KEYS.contains(&key.as_str())
        && (["pas", "pw", "sec", "tok", "key", "word", "cred", "auth"].iter().any(|part| key.contains(part)))
}

/// Whether a value carries a secret although its key should not: a connection string in the wrong place.
fn tells(value: &str) -> bool {
    (value.contains("://") && value.contains('@'))
        || value.to_lowercase().replace([' ', '\t'], "").contains("password=")
}

/// Whether this is written as names of environment variables are. Somebody may put the password itself
/// where its variable's name belongs.
pub(super) fn names_variable(typed: &str) -> bool {
    !typed.is_empty() && typed.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Secrets of a file that did not parse, found line by line: here quotes may be missing, open or doubled,
/// so everything after a key that is not known to be open is hidden, and the lines after it too until one
/// begins something known.
pub(super) fn of_broken_text(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut open = Open::No;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end_matches(['\n', '\r']).len();
        open = match open {
            Open::Until(quotes) => {
                spans.push(start..end);
                // What closed it may have been a part of it.
                if line.contains(quotes) { Open::Loose } else { Open::Until(quotes) }
            }
            Open::Loose if !begins_known(line) => {
                spans.push(start..end);
                Open::Loose
            }
            Open::No | Open::Loose => match secret_from(line) {
                None => Open::No,
                Some(from) => {
                    spans.push(start + from..end);
                    after(line.get(from..).unwrap_or(""))
                }
            },
        };
        start += line.len();
    }
    tidy(spans)
}

/// Whether a secret goes on in the next line.
#[derive(Clone, Copy)]
enum Open {
    No,
    /// Until these quotes.
    Until(&'static str),
    /// Until a line that begins something known.
    Loose,
}

fn after(secret: &str) -> Open {
    for quotes in ["\"\"\"", "'''"] {
        if secret.matches(quotes).count() == 1 {
            return Open::Until(quotes);
        }
    }
    // Also after quotes that look closed: with one too many somewhere, what is inside and outside swaps.
    Open::Loose
}

/// Whether a line is a table's header, or a key that holds no secret.
fn begins_known(line: &str) -> bool {
    let line = line.trim_start();
    let section = line.trim_start_matches('[');
    let header = line.starts_with('[')
        && [
            "listen",
            "http",
            "log",
            "pool",
            "databases",
            "users",
            "tenancy",
            "tenants",
            "cache",
            "admin",
            "observe",
        ]
        .iter()
        .any(|name| section.starts_with(name));
    header || last_key(line).is_some_and(|key| OPEN_KEYS.contains(&key))
}

/// Where in a line the part begins that must be hidden.
fn secret_from(line: &str) -> Option<usize> {
    if let Some((end, _)) = words(line).find(|(_, word)| hides(word)) {
        // The sign between key and value may be seen.
        let rest = line.get(end..).unwrap_or("");
        let sign = rest.trim_start_matches([' ', '\t', '"', '\'']);
        return Some(match sign.strip_prefix(['=', ':']) {
            Some(value) => line.len() - value.trim_start_matches([' ', '\t']).len(),
            None => end,
        });
    }
    if tells(line) {
        return Some(0);
    }
    if line.trim_start().starts_with('#') {
        return None;
    }
    let value = line.split_once('=')?.1;
    let known = last_key(line).is_some_and(|key| OPEN_KEYS.contains(&key));
    (!known).then(|| line.len() - value.trim_start_matches([' ', '\t']).len())
}

/// The last part of a dotted key before the first `=`, without quotes.
fn last_key(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    Some(key.rsplit('.').next()?.trim().trim_matches(['"', '\'']))
}

/// Words as bare keys are made of, each with the byte after it.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    line.split_inclusive(move |c: char| !is_word(c)).scan(0, move |offset, piece| {
        let word = piece.trim_end_matches(|c: char| !is_word(c));
        let end = *offset + word.len();
        *offset += piece.len();
        Some((end, word))
    })
}

/// In order, and joined where they touch.
fn tidy(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.retain(|span| !span.is_empty());
    spans.sort_by_key(|span| span.start);
    spans.dedup_by(|next, last| {
        let joins = next.start <= last.end;
        if joins {
            last.end = last.end.max(next.end);
        }
        joins
    });
    spans
}
