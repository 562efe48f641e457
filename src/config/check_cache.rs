//! Checks `[cache]`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::cache::{Cache, CacheRule, Follow, RuleTexts};
use super::check_tenants::database_exists;
use super::problem::{Problem, Problems, quoted};
use super::raw::Raw;
use super::raw_cache::{RawCache, RawFollow, RawRule};
use super::secret::{Env, Shape, resolve};
use super::source::{At, Located};

/// Least memory of the cache: below it nothing useful fits.
const MIN_MEMORY: u64 = 1 << 20;
/// Least size of the largest answer.
const MIN_ENTRY: u64 = 1 << 10;
/// Most rules: each unmarked text may be compared with all of them.
const MAX_RULES: usize = 1_000;
/// Longest tag in bytes, as long as Postgres's names.
const MAX_TAG: usize = 63;
/// The range of `max_lag`. Heartbeats come four times in it, so less would be their own noise.
const MAX_LAG: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60 * 60));
/// Words that nearly every query has.
const COMMON: [&str; 8] = ["select", "from", "where", "with", "as", "values", "table", "and"];

/// `[cache]`; `None` without.
pub(super) fn cache(raw: &Raw, env: Env<'_>, problems: &Problems) -> Option<Cache> {
    let typed = raw.cache.as_ref()?;
    let mut cache = Cache::default();
    set(&mut cache.max_memory, typed.max_memory.as_ref());
    set(&mut cache.default_ttl, typed.default_ttl.as_ref());
    set(&mut cache.max_ttl, typed.max_ttl.as_ref());
    set(&mut cache.tenant_share, typed.tenant_share.as_ref());
    set(&mut cache.jitter, typed.jitter.as_ref());
    set(&mut cache.wait, typed.wait.as_ref());
    memory(&mut cache, typed, problems);
    times(&mut cache, typed, problems);
    cache.rules = rules(typed, &cache, raw, problems);
    if let Some(typed) = &typed.follow {
        cache.follow = follow(typed, env, problems);
    }
    Some(cache)
}

fn set<T: Copy>(setting: &mut T, typed: Option<&Located<T>>) {
    if let Some(typed) = typed {
        *setting = typed.value;
    }
}

fn memory(cache: &mut Cache, typed: &RawCache, problems: &Problems) {
    if let Some(memory) = typed.max_memory.as_ref().filter(|l| l.value < MIN_MEMORY) {
        problems.add(
            Problem::new("`max_memory` is too small for a cache")
                .at(&memory.at)
                .help("valid here: \"1MB\" and more")
                .help("leave [cache] out to have none"),
        );
        return;
    }
    let Some(entry) = &typed.max_entry else { return };
    if entry.value < MIN_ENTRY {
        let problem = Problem::new("`max_entry` is too small for an answer").at(&entry.at);
        problems.add(problem.help("valid here: \"1kB\" and more"));
    } else if entry.value > cache.max_memory {
        let mut problem = Problem::new("`max_entry` is more than `max_memory`").at(&entry.at);
        if let Some(memory) = &typed.max_memory {
            problem = problem.also("max_memory", &memory.at);
        }
        problems.add(problem.help("valid here: a part of it, like \"1MB\""));
    }
    cache.max_entry = usize::try_from(entry.value).unwrap_or(usize::MAX);
}

fn times(cache: &mut Cache, typed: &RawCache, problems: &Problems) {
    for (key, typed) in [("max_ttl", &typed.max_ttl), ("default_ttl", &typed.default_ttl)] {
        if let Some(typed) = typed.as_ref().filter(|l| l.value.is_zero()) {
            let problem = Problem::new(format!("`{key}` is zero, so nothing would be kept"));
            problems.add(problem.at(&typed.at).help("leave [cache] out to have none"));
            return;
        }
    }
    if cache.default_ttl <= cache.max_ttl {
        return;
    }
    if typed.default_ttl.is_none() {
        // The default follows a shorter limit.
        cache.default_ttl = cache.max_ttl;
        return;
    }
    too_long("default_ttl", typed.default_ttl.as_ref(), cache.max_ttl, problems);
}

/// Refuses a time over `max_ttl`.
fn too_long(key: &str, typed: Option<&Located<Duration>>, max: Duration, problems: &Problems) {
    let Some(typed) = typed.filter(|l| l.value > max) else { return };
    let max = humantime::format_duration(max);
    problems.add(
        Problem::new(format!("`{key}` is longer than max_ttl"))
            .at(&typed.at)
            .help(format!("valid here: at most \"{max}\", or a larger max_ttl in [cache]")),
    );
}

fn rules(typed: &RawCache, cache: &Cache, raw: &Raw, problems: &Problems) -> Vec<CacheRule> {
    if let Some(more) = typed.rules.get(MAX_RULES) {
        problems.add(Problem::new(format!("more than {MAX_RULES} rules")).at(&more.at));
        return Vec::new();
    }
    let mut found: Vec<(CacheRule, &At)> = Vec::new();
    for typed in &typed.rules {
        let Some(rule) = rule(typed, cache, raw, problems) else { continue };
        let first = found.iter().find(|(first, _)| first.texts == rule.texts && covers(first, &rule));
        if let Some((_, first)) = first {
            problems.add(
                Problem::new("this rule is never reached: an earlier one takes the same texts")
                    .at(&typed.at)
                    .also("first", first),
            );
        }
        found.push((rule, &typed.at));
    }
    found.into_iter().map(|(rule, _)| rule).collect()
}

/// Whether the first one holds wherever the second does.
fn covers(first: &CacheRule, second: &CacheRule) -> bool {
    match (&first.databases, &second.databases) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(first), Some(second)) => first.is_superset(second),
    }
}

fn rule(typed: &RawRule, cache: &Cache, raw: &Raw, problems: &Problems) -> Option<CacheRule> {
    let texts = texts(typed, problems);
    if let Some(ttl) = typed.ttl.as_ref().filter(|l| l.value.is_zero()) {
        let problem = Problem::new("`ttl` is zero, so the rule would keep nothing").at(&ttl.at);
        problems.add(problem.help("valid here: a time like \"30s\", or no rule at all"));
    }
    too_long("ttl", typed.ttl.as_ref(), cache.max_ttl, problems);
    too_long("stale", typed.stale.as_ref(), cache.max_ttl, problems);
    if let Some(stale) = typed.stale.as_ref().filter(|_| typed.ttl.is_none() && !typed.broken) {
        problems.add(
            Problem::new("`stale` without `ttl`")
                .at(&stale.at)
                .help("write ttl too: the answer is stale when that is over, like ttl = \"30s\""),
        );
    }
    let databases = typed.databases.as_ref().map(|list| {
        list.value.iter().for_each(|name| database_exists(name, raw, problems));
        if list.value.is_empty() {
            let problem = Problem::new("the rule holds for no database").at(&list.at);
            problems.add(problem.help("leave `databases` out for all"));
        }
        list.value.iter().map(|name| Arc::from(name.value.as_str())).collect::<BTreeSet<_>>()
    });
    let tags = typed.tag.iter().flat_map(|list| &list.value).flat_map(|typed| tags(typed, problems));
    Some(CacheRule {
        tags: tags.collect(),
        texts: texts?,
        ttl: typed.ttl.as_ref().map_or(cache.default_ttl, |l| l.value),
        stale: typed.stale.as_ref().map_or(Duration::ZERO, |l| l.value),
        databases,
    })
}

/// Which texts a rule is for; `None` when that was told to be wrong.
fn texts(typed: &RawRule, problems: &Problems) -> Option<RuleTexts> {
    match (&typed.like, &typed.fingerprint) {
        (Some(like), None) => {
            let everything = names_nothing(&like.value);
            if everything {
                problems.add(
                    Problem::new(format!("{} would match everything", quoted(&like.value)))
                        .at(&like.at)
                        .help("write what the texts have in common, like \"SELECT count(*) FROM orders*\""),
                );
            }
            (!everything).then(|| RuleTexts::Like(like.value.as_str().into()))
        }
        (None, Some(print)) => {
            let number = (print.value.len() == 16 && print.value.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| u64::from_str_radix(&print.value, 16).ok())
                .flatten();
            if number.is_none() {
                problems.add(
                    Problem::new(format!("{} is not a fingerprint", quoted(&print.value)))
                        .at(&print.at)
                        .help("valid here: 16 hex digits, as Howdah shows them"),
                );
            }
            number.map(RuleTexts::Fingerprint)
        }
        (Some(first), Some(second)) => {
            problems.add(
                Problem::new("a rule has `match` or `fingerprint`, not both")
                    .at(&second.at)
                    .also("match", &first.at),
            );
            None
        }
        (None, None) => {
            if !typed.broken {
                problems.add(
                    Problem::new("a rule says not for which texts it is")
                        .at(&typed.at)
                        .help("write match = \"SELECT count(*) FROM orders*\", or fingerprint"),
                );
            }
            None
        }
    }
}

/// Whether a pattern has stars, and besides them nothing but words that nearly every query has: then it would
/// match all of them. An empty one would match nothing, which nobody means either.
fn names_nothing(pattern: &str) -> bool {
    if pattern.trim().is_empty() {
        return true;
    }
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '"' | '\'');
    pattern.contains('*')
        && pattern.to_lowercase().split(|c: char| !is_word(c) && c != '*').all(|piece| {
            piece.split('*').all(|word| {
                let cut = word.len() < piece.len();
                // Constants are all alike in the normalised text.
                let constant = word.starts_with(|c: char| c.is_ascii_digit() || c == '\'');
                let common = COMMON.iter().any(|known| *known == word || (cut && known.contains(word)));
                constant || common || word.is_empty()
            })
        })
}

/// The words of one string, which may be a list with commas as in a mark.
fn tags<'a>(typed: &'a Located<String>, problems: &'a Problems) -> impl Iterator<Item = Box<str>> + 'a {
    typed.value.split(',').filter_map(|tag| {
        let tag = tag.trim();
        if !tag.is_empty() && tag != "*" && tag.len() <= MAX_TAG && !tag.contains(char::is_control) {
            return Some(tag.into());
        }
        problems.add(Problem::new(format!("{} is not a tag", quoted(tag))).at(&typed.at).help(format!(
            "valid here: a word of at most {MAX_TAG} bytes, not *; commas stand between several"
        )));
        None
    })
}

fn follow(typed: &RawFollow, env: Env<'_>, problems: &Problems) -> Follow {
    let mut follow = Follow::default();
    set(&mut follow.mode, typed.mode.as_ref());
    set(&mut follow.max_lag, typed.max_lag.as_ref());
    set(&mut follow.notify, typed.notify.as_ref());
    if let Some(publication) = &typed.publication {
        follow.publication.clone_from(&publication.value);
        if publication.value.len() > MAX_TAG {
            let message = format!("the name of a publication is longer than {MAX_TAG} bytes");
            problems.add(Problem::new(message).at(&publication.at));
        }
    }
    if let Some(slot) = &typed.slot {
        let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if slot.value.len() > Follow::MAX_SLOT || !slot.value.bytes().all(valid) {
            problems.add(
                Problem::new(format!("{} cannot begin the name of a slot", quoted(&slot.value)))
                    .at(&slot.at)
                    .help(format!(
                        "valid here: lower case letters, digits and _, at most {} bytes",
                        Follow::MAX_SLOT
                    )),
            );
        }
        follow.slot = Some(slot.value.clone());
    }
    if let Some(lag) = typed.max_lag.as_ref().filter(|l| l.value < MAX_LAG.0 || l.value > MAX_LAG.1) {
        let problem = Problem::new("`max_lag` is out of range").at(&lag.at);
        problems.add(problem.help("valid here: from \"100ms\" to \"1h\""));
    }
    follow.user = typed.user.as_ref().map(|l| l.value.clone());
    let Ok(Some(password)) = resolve(&typed.secret, env, problems) else { return follow };
    if typed.user.is_none() && !typed.broken {
        problems.add(
            Problem::new("a password without its user")
                .at(&password.at)
                .help("write user = \"…\": a role with REPLICATION"),
        );
    }
    if Shape::of(password.value.expose_secret()) == Shape::Scram {
        problems.add(
            Problem::new("a SCRAM verifier cannot log in to a server")
                .at(&password.at)
                .help("write the password itself"),
        );
    }
    follow.password = Some(password.value);
    follow
}
