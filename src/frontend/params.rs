//! What a client asks for in its startup packet.

use crate::session::Settings;
use crate::tenancy::is_own;
use crate::wire::{PgError, Startup};

/// Parameters that are not settings.
const NOT_SETTINGS: [&str; 4] = ["user", "database", "options", "replication"];
/// The most settings that one client may ask for.
const MAX_SETTINGS: usize = 200;

/// Settings of Howdah's own, names and values.
pub(super) type Own = Vec<(String, String)>;

/// The settings in a startup packet: its own parameters, and `-c name=value` in `options`, which they
/// override, as in `postmaster.c`. With `own`, those that begin with `howdah.` are Howdah's and come apart.
pub(super) fn settings(startup: &Startup, own: bool) -> Result<(Settings, Own), PgError> {
    let mut pairs = startup.param("options").map_or_else(|| Ok(Vec::new()), options)?;
    for (name, value) in &startup.params {
        if !NOT_SETTINGS.contains(&name.as_str()) && !name.starts_with("_pq_.") {
            pairs.push((name.clone(), value.clone()));
        }
    }
    for (name, _) in &pairs {
        check_name(name)?;
    }
    if pairs.len() > MAX_SETTINGS {
        return Err(PgError::fatal("54000", "too many startup parameters"));
    }
    let mut ours = Own::new();
    if own {
        (ours, pairs) = pairs.into_iter().partition(|(name, _)| is_own(name));
    }
    Ok((Settings::new(pairs), ours))
}

/// A name that can be a setting's goes into SQL as it stands.
fn check_name(name: &str) -> Result<(), PgError> {
    let word = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$')
    };
    if name.len() <= 128 && name.split('.').all(word) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).filter(|c| !c.is_control()).collect();
    Err(PgError::fatal("42704", format!("unrecognized configuration parameter \"{shown}\"")))
}

/// Splits `options` as `pg_split_opts` does and reads `-c name=value`, `-cname=value` and `--name=value`.
fn options(text: &str) -> Result<Vec<(String, String)>, PgError> {
    let mut words = split(text).into_iter();
    let mut pairs = Vec::new();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next()
        } else {
            word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).map(str::to_owned)
        };
        let pair = setting.as_deref().and_then(|s| s.split_once('='));
        let Some((name, value)) = pair else {
            let shown: String = word.chars().take(64).filter(|c| !c.is_control()).collect();
            return Err(PgError::fatal(
                "42601",
                format!("invalid command-line argument in options: {shown}"),
            )
            .hint("Write -c name=value or --name=value."));
        };
        pairs.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(pairs)
}

/// Words at white space; a backslash keeps the next character from separating.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(params: &[(&str, &str)]) -> Result<Vec<(String, String)>, PgError> {
        let params = params.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (settings, _) = settings(&Startup { version: crate::wire::PROTOCOL_3_0, params }, false)?;
        Ok(settings.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
    }

    #[test]
    fn options_are_split_like_postgres_does() {
        let pairs = read(&[
            ("user", "u"),
            ("options", r"-c work_mem=1MB  -cgeqo=off --search-path=a\ b\\c"),
            ("geqo", "on"),
        ]);
        let pairs = pairs.unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("geqo", "on"), ("search_path", r"a b\c"), ("work_mem", "1MB")]);
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for name in ["a b", "a;b", "a'b", "", "1a", "a.", "a..b", "ä"] {
            assert_eq!(read(&[(name, "x")]).unwrap_err().sqlstate, "42704", "{name}");
        }
        for options in ["-x", "-c", "-c a", "x=y", "--"] {
            assert_eq!(read(&[("options", options)]).unwrap_err().sqlstate, "42601", "{options}");
        }
        assert!(read(&[("options", "  ")]).unwrap().is_empty());
        assert!(read(&[("_pq_.x", "y"), ("my.own.setting", "z")]).unwrap().len() == 1);
    }
}
