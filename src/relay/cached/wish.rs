//! What is asked of the cache: by marks in a comment, by `SET howdah.…`, by a rule of the configuration.

use std::time::Duration;

use crate::config;
use crate::sql::Marks;
use crate::wire::PgError;

/// How long an answer is kept, and under which names it can be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) ttl: Duration,
    /// So long behind its end it is given while somebody asks for a new one.
    pub(super) stale: Duration,
    pub(super) tags: Vec<Box<str>>,
    /// Functions that are VOLATILE do not matter.
    pub(super) volatile: bool,
}

/// What a text says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Nothing.
    Nothing,
    /// It is not to be cached.
    Off,
    /// What it says cannot be read: why.
    Bad(String),
    /// It is to be cached.
    Yes(Wish),
}

/// What `SET howdah.…` said, key by key. `None`: not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) cache: Option<Box<str>>,
    stale: Option<Box<str>>,
    tag: Option<Box<str>>,
    volatile: Option<Box<str>>,
    pub(super) explain: Option<Box<str>>,
}

impl Own {
    fn slot(&mut self, key: &str) -> Option<&mut Option<Box<str>>> {
        match key {
            "cache" => Some(&mut self.cache),
            "stale" => Some(&mut self.stale),
            "tag" => Some(&mut self.tag),
            "cache_volatile" => Some(&mut self.volatile),
            "explain_cache" => Some(&mut self.explain),
            _ => None,
        }
    }

    /// True for a key that is about the cache.
    pub(super) fn knows(key: &str) -> bool {
        Self::default().slot(key).is_some()
    }

    /// Sets one, or takes it back. `limits`: those of the cache, if there is one.
    ///
    /// # Errors
    /// 22023: the value cannot be read.
    pub(super) fn set(
        &mut self,
        key: &str,
        value: Option<&str>,
        limits: Option<&config::Cache>,
    ) -> Result<(), PgError> {
        let limit = limits.map_or(Duration::MAX, |limits| limits.max_ttl);
        let judged = match (key, value) {
            (_, None) | ("tag", _) => Ok(()),
            ("cache", Some(value)) if flag(value).is_ok() => Ok(()),
            ("cache", Some(value)) => ttl(value, limit).map(|_| ()),
            ("stale", Some(value)) => stale(value, limit).map(|_| ()),
            (_, Some(value)) => flag(value).map(|_| ()),
        };
        judged.map_err(|why| {
            let shown: String =
                value.unwrap_or_default().chars().filter(|c| !c.is_control()).take(64).collect();
            PgError::error("22023", format!("invalid value for parameter \"howdah.{key}\": \"{shown}\""))
                .detail(why)
        })?;
        if let Some(slot) = self.slot(key) {
            *slot = value.map(Into::into);
        }
        Ok(())
    }

    /// What SHOW shows.
    pub(super) fn show(&mut self, key: &str) -> String {
        let default =
            if key == "cache" || key == "cache_volatile" || key == "explain_cache" { "off" } else { "" };
        self.slot(key).and_then(|slot| slot.as_deref()).unwrap_or(default).to_owned()
    }

    pub(super) fn explains(&self) -> bool {
        self.explain.as_deref().is_some_and(|value| flag(value) == Ok(true))
    }

    /// It says something about each query.
    pub(super) fn wishes(&self) -> bool {
        self.cache.is_some()
    }
}

fn is_off(value: &str) -> bool {
    ["off", "no", "false", "0", "none"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn flag(value: &str) -> Result<bool, String> {
    if is_off(value) {
        return Ok(false);
    }
    let yes = ["on", "yes", "true", "1"].iter().any(|word| value.eq_ignore_ascii_case(word));
    yes.then_some(true).ok_or_else(|| "It is \"on\" or \"off\".".to_owned())
}

/// A time with its unit.
fn time(value: &str, limit: Duration) -> Result<Duration, String> {
    let time = humantime::parse_duration(value)
        .map_err(|_| "It must be a time with its unit, such as 30s or 5m, or off.".to_owned())?;
    if time > limit {
        return Err(format!("It must not be longer than max_ttl: {}.", humantime::format_duration(limit)));
    }
    Ok(time)
}

fn ttl(value: &str, limit: Duration) -> Result<Duration, String> {
    let time = time(value, limit)?;
    if time.is_zero() { Err("It must be longer than nothing.".to_owned()) } else { Ok(time) }
}

fn stale(value: &str, limit: Duration) -> Result<Duration, String> {
    if is_off(value) { Ok(Duration::ZERO) } else { time(value, limit) }
}

fn tags(value: &str) -> Vec<Box<str>> {
    value.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(Into::into).collect()
}

/// What holds for a text with these marks, in a session that has said this, under this rule: a mark comes before
/// what the session says, and that before a rule.
pub(super) fn said(
    marks: Option<&Marks>,
    own: Option<&Own>,
    rule: Option<&config::CacheRule>,
    limits: &config::Cache,
) -> Said {
    let mark = |key| marks.and_then(|marks| marks.get(key));
    let word = |key, own: Option<&Box<str>>| mark(key).or(own.map(|value| &**value)).map(str::to_owned);
    let cache = word("cache", own.and_then(|own| own.cache.as_ref()));
    let wish = match (cache, rule) {
        (None, None) => return Said::Nothing,
        (Some(value), _) if is_off(&value) => return Said::Off,
        (Some(value), _) if flag(&value) == Ok(true) => Ok(limits.default_ttl),
        (Some(value), _) => ttl(&value, limits.max_ttl),
        (None, Some(rule)) => Ok(rule.ttl),
    };
    let ttl = match wish {
        Ok(ttl) => ttl,
        Err(why) => return Said::Bad(why),
    };
    let stale = match word("stale", own.and_then(|own| own.stale.as_ref())) {
        Some(value) => stale(&value, limits.max_ttl),
        None => Ok(rule.map(|rule| rule.stale).unwrap_or_default()),
    };
    let volatile = word("cache_volatile", own.and_then(|own| own.volatile.as_ref()));
    let volatile = volatile.map_or(Ok(false), |value| flag(&value));
    let mut names =
        word("tag", own.and_then(|own| own.tag.as_ref())).map(|value| tags(&value)).unwrap_or_default();
    names.extend(rule.iter().flat_map(|rule| rule.tags.iter().cloned()));
    match (stale, volatile) {
        (Ok(stale), Ok(volatile)) => Said::Yes(Wish { ttl, stale, tags: names, volatile }),
        (Err(why), _) | (_, Err(why)) => Said::Bad(why),
    }
}
