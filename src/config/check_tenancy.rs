//! Checks `[tenancy]`: names of settings, patterns, resolvers and the signature's key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretSlice;

use super::check_tenants::{database_exists, tenants};
use super::pattern::{Glob, Pattern};
use super::problem::{Problem, Problems, quoted};
use super::raw::Raw;
use super::raw_tenancy::{RawResolver, RawSignature, RawTenancy};
use super::reader::Pair;
use super::source::{At, Located, read_bytes, why};
use super::tenancy::{Channels, OnDynamicSql, OnMissing, Resolver, Signature, Source, Tenancy};

/// The setting that policies read when nobody says which.
const DEFAULT_SETTING: &str = "app.tenant_id";
/// Settings that say who somebody is to Postgres: no client of a tenant may touch them.
const ALWAYS_PROTECTED: [&str; 2] = ["role", "session_authorization"];
/// Keys after `howdah.` that mean something else than a context.
const RESERVED: [&str; 8] =
    ["tenant", "cache", "stale", "tag", "route", "cache_volatile", "explain_cache", "signature"];
/// Fewest bytes of a key: as many as the HMAC has.
const MIN_KEY: usize = 32;

/// `[tenancy]` with `[tenants]`; `None` without.
pub(super) fn tenancy(raw: &Raw, problems: &Problems) -> Option<Tenancy> {
    let Some(typed) = &raw.tenancy else {
        if let Some(tenant) = raw.tenants.first() {
            problems.add(
                Problem::new("there are tenants, but no [tenancy]")
                    .at(&tenant.name.at)
                    .help("write [tenancy], with nothing in it for the defaults"),
            );
        }
        return None;
    };
    let mut taken = Taken::default();
    let setting_at = typed.setting.as_ref().map_or(&typed.at, |l| &l.at);
    let own = typed.setting.as_ref().map(|name| custom_name(name, "setting", problems));
    let setting = own.unwrap_or_else(|| DEFAULT_SETTING.to_owned());
    taken.add(&setting, setting_at, problems);
    let context = context(&typed.context, &mut taken, problems);
    let resolvers = resolvers(&typed.resolvers, raw, &context, &mut taken, problems);
    let protected = protected(typed, &taken, problems);
    let (any_tenant, tenants) = tenants(raw, &protected, problems);
    let is_key = |name: &str| context.contains_key(name);
    let pattern = |typed: Option<&Located<String>>, base, between| match typed {
        Some(typed) => pattern(typed, base, &is_key, problems),
        None => Pattern::simple(base, between),
    };
    let tenancy = Tenancy {
        setting,
        identify: identify(typed, problems),
        user_pattern: pattern(typed.user_pattern.as_ref(), "user", "."),
        database_pattern: pattern(typed.database_pattern.as_ref(), "database", "@"),
        on_missing: typed.on_missing.as_ref().map_or(OnMissing::Refuse, |l| l.value),
        protected,
        denied: typed.denied.iter().flat_map(|l| &l.value).map(|l| Glob::new(&l.value)).collect(),
        on_dynamic_sql: typed.on_dynamic_sql.as_ref().map_or(OnDynamicSql::Allow, |l| l.value),
        channels: typed.channels.as_ref().map_or(Channels::Refuse, |l| l.value),
        context,
        resolvers,
        signature: typed.signature.as_ref().and_then(|typed| signature(typed, problems)),
        any_tenant,
        tenants,
    };
    two_readings(&tenancy, raw, problems);
    Some(tenancy)
}

/// The settings that Howdah sets, each by one way only, and where that was typed.
#[derive(Default)]
struct Taken(BTreeMap<String, At>);

impl Taken {
    fn add(&mut self, setting: &str, at: &At, problems: &Problems) {
        if setting.is_empty() {
            return;
        }
        match self.0.get(setting) {
            Some(first) => problems.add(
                Problem::new(format!("the setting {} would be set twice", quoted(setting)))
                    .at(at)
                    .also("first", first)
                    .help("give each its own setting"),
            ),
            None => drop(self.0.insert(setting.to_owned(), at.clone())),
        }
    }
}

/// Whether a text is one or more words with dots between, as names of settings are.
fn is_setting(name: &str) -> bool {
    name.split('.').all(|word| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
    })
}

/// The name of any setting, in lower case as Postgres compares them; empty when it is none and told.
pub(super) fn setting_name(name: &Located<String>, problems: &Problems) -> String {
    if is_setting(&name.value) {
        return name.value.to_ascii_lowercase();
    }
    problems.add(
        Problem::new(format!("{} is not the name of a setting", quoted(&name.value)))
            .at(&name.at)
            .help("valid here: a word, or words with dots between, like work_mem or app.tenant_id"),
    );
    String::new()
}

/// The name of a setting that Postgres itself does not know; empty when it is none and told.
fn custom_name(name: &Located<String>, key: &str, problems: &Problems) -> String {
    let lower = name.value.to_ascii_lowercase();
    let own = lower.starts_with("howdah.");
    if is_setting(&lower) && lower.contains('.') && !own {
        return lower;
    }
    let mut problem = Problem::new(format!("{} cannot be used as `{key}`", quoted(&name.value))).at(&name.at);
    if own {
        problem = problem.help("names that begin with howdah. are Howdah's own");
    }
    problems.add(
        problem.help("valid here: the name of a setting of your own, with a dot in it, like app.tenant_id"),
    );
    String::new()
}

fn context(typed: &[Pair], taken: &mut Taken, problems: &Problems) -> BTreeMap<Arc<str>, String> {
    let mut context = BTreeMap::new();
    for (key, setting) in typed {
        let name = key.value.as_str();
        let word = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !word || RESERVED.contains(&name) {
            problems.add(
                Problem::new(format!("{} cannot be a key of the context", quoted(name))).at(&key.at).help(
                    format!(
                        "valid here: lower case letters, digits and _, but none of {}",
                        RESERVED.join(", ")
                    ),
                ),
            );
            continue;
        }
        let lower = custom_name(setting, name, problems);
        taken.add(&lower, &setting.at, problems);
        context.insert(Arc::from(name), lower);
    }
    context
}

/// What was typed, and what is protected whatever was typed.
fn protected(typed: &RawTenancy, taken: &Taken, problems: &Problems) -> Vec<String> {
    let own = typed.protected.iter().flat_map(|list| &list.value).map(|name| setting_name(name, problems));
    let mut all: Vec<String> = own
        .chain(ALWAYS_PROTECTED.map(str::to_owned))
        .chain(taken.0.keys().cloned())
        .filter(|name| !name.is_empty())
        .collect();
    all.sort();
    all.dedup();
    all
}

fn identify(typed: &RawTenancy, problems: &Problems) -> Vec<Source> {
    let Some(list) = &typed.identify else { return Source::WORDS.map(|(_, source)| source).to_vec() };
    let mut found: Vec<&Located<Source>> = Vec::new();
    for source in &list.value {
        match found.iter().find(|other| other.value == source.value) {
            Some(first) => problems.add(
                Problem::new(format!("\"{}\" is there twice", source.value.word()))
                    .at(&source.at)
                    .also("first", &first.at),
            ),
            None => found.push(source),
        }
    }
    if found.is_empty() && !typed.broken {
        let words = Source::WORDS.map(|(word, _)| format!("\"{word}\""));
        problems.add(
            Problem::new("nothing could say who the tenant is")
                .at(&list.at)
                .help(format!("valid here: [{}], or some of them", words.join(", "))),
        );
    }
    found.into_iter().map(|source| source.value).collect()
}

fn pattern(
    typed: &Located<String>,
    base: &str,
    is_key: &dyn Fn(&str) -> bool,
    problems: &Problems,
) -> Pattern {
    let simple = Pattern::simple(base, if base == "user" { "." } else { "@" });
    Pattern::parse(&typed.value, base, is_key).unwrap_or_else(|why| {
        problems.add(Problem::new(format!("`{base}_pattern` is not a pattern: {why}")).at(&typed.at).help(
            format!(
                "valid here: \"{}\", or with more after it: \"{}[:{{key}}]\"",
                simple.as_str(),
                simple.as_str()
            ),
        ));
        simple
    })
}

fn resolvers(
    typed: &[RawResolver],
    all: &Raw,
    context: &BTreeMap<Arc<str>, String>,
    taken: &mut Taken,
    problems: &Problems,
) -> Vec<Arc<Resolver>> {
    let mut found: Vec<(Arc<Resolver>, &At)> = Vec::new();
    for raw in typed {
        let needed =
            [("name", raw.name.is_none()), ("query", raw.query.is_none()), ("set", raw.set.is_empty())];
        for (key, missing) in needed {
            if missing && !raw.broken {
                problems.add(
                    Problem::new(format!("a resolver has no `{key}`"))
                        .at(&raw.at)
                        .help("write name, query, params and set = { \"app.setting\" = \"column\" }"),
                );
            }
        }
        let earlier: Vec<&Resolver> = found.iter().map(|(resolver, _)| &**resolver).collect();
        let params = raw.params.iter().flat_map(|list| &list.value);
        let params = params.filter_map(|name| param(name, context, &earlier, problems)).collect();
        let set = raw.set.iter().map(|(setting, column)| {
            let lower = custom_name(setting, "set", problems);
            taken.add(&lower, &setting.at, problems);
            if column.value.is_empty() {
                problems.add(Problem::new("the name of the column is empty").at(&column.at));
            }
            (lower, column.value.clone())
        });
        let set = set.collect();
        if let Some(database) = &raw.database {
            database_exists(database, all, problems);
        }
        let name = raw.name.as_ref().map_or("", |l| l.value.as_str());
        let at = raw.name.as_ref().map_or(&raw.at, |l| &l.at);
        if let Some((_, first)) = found.iter().find(|(other, _)| !name.is_empty() && *other.name == *name) {
            let message = format!("there are two resolvers {}", quoted(name));
            problems.add(Problem::new(message).at(at).also("first", first));
        }
        let ttl = raw.ttl.as_ref().map_or(Duration::from_secs(300), |l| l.value);
        let resolver = Resolver {
            name: Arc::from(name),
            query: raw.query.as_ref().map(|l| l.value.clone()).unwrap_or_default(),
            params,
            set,
            ttl,
            negative_ttl: raw.negative_ttl.as_ref().map_or(ttl.min(Duration::from_secs(10)), |l| l.value),
            required: raw.required.as_ref().is_none_or(|l| l.value),
            database: raw.database.as_ref().map(|l| Arc::from(l.value.as_str())),
        };
        found.push((Arc::new(resolver), at));
    }
    found.into_iter().map(|(resolver, _)| resolver).collect()
}

/// What a parameter of a resolver means: `tenant`, a key of the context, or a setting of an earlier one.
fn param(
    name: &Located<String>,
    context: &BTreeMap<Arc<str>, String>,
    earlier: &[&Resolver],
    problems: &Problems,
) -> Option<Arc<str>> {
    let text = name.value.as_str();
    if text == "tenant" || context.contains_key(text) {
        return Some(Arc::from(text));
    }
    let known = || earlier.iter().flat_map(|resolver| &resolver.set);
    let lower = text.to_ascii_lowercase();
    let mut meant = known().filter(|(setting, column)| *setting == lower || column == text);
    match (meant.next(), meant.next()) {
        (Some((setting, _)), None) => return Some(Arc::from(setting.as_str())),
        (Some(_), Some(_)) => problems.add(
            Problem::new(format!("{} could be two things", quoted(text)))
                .at(&name.at)
                .help("write the name of the setting instead of the column's"),
        ),
        (None, _) => {
            let keys = context.keys().map(|key| &**key);
            let valid: Vec<&str> = std::iter::once("tenant")
                .chain(keys)
                .chain(known().map(|(s, _)| s.as_str()))
                .take(20)
                .collect();
            problems.add(
                Problem::new(format!("{} is not known before this resolver runs", quoted(text)))
                    .at(&name.at)
                    .help(format!("valid here: {}", valid.join(", "))),
            );
        }
    }
    None
}

/// A signature names its second, and is made anew after half of its time: with less it could be too old when it
/// arrives, or due again at once.
const MIN_VALIDITY: Duration = Duration::from_secs(2);

fn signature(raw: &RawSignature, problems: &Problems) -> Option<Signature> {
    let valid_for = raw.valid_for.as_ref().map_or(Duration::from_secs(60), |l| l.value);
    if let Some(typed) = raw.valid_for.as_ref().filter(|l| l.value < MIN_VALIDITY) {
        problems.add(
            Problem::new("a signature must be valid for a time")
                .at(&typed.at)
                .help("valid here: \"2s\" or more"),
        );
    }
    let Some(path) = &raw.key_file else {
        if !raw.broken {
            problems.add(
                Problem::new("[tenancy.signature] has no key")
                    .at(&raw.at)
                    .help("write key_file = \"tenant.key\""),
            );
        }
        return None;
    };
    let wrong = match read_bytes(&path.value) {
        Err(e) => format!("cannot read `key_file`: {}", why(&e)),
        Ok(bytes) => {
            let key = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let key = key.strip_suffix(b"\r").filter(|_| key.len() < bytes.len()).unwrap_or(key);
            if key.len() >= MIN_KEY {
                let key = SecretSlice::from(key.to_vec());
                return Some(Signature { key, key_file: path.value.clone(), valid_for });
            }
            format!("the key in `key_file` has {} bytes", key.len())
        }
    };
    problems.add(Problem::new(wrong).at(&path.at).help(format!(
        "valid here: a file with at least {MIN_KEY} bytes nobody can guess, as `openssl rand -hex 32` makes"
    )));
    None
}

/// Refuses names that mean two things: a user of its own, and another user with a tenant.
fn two_readings(tenancy: &Tenancy, raw: &Raw, problems: &Problems) {
    let users: BTreeMap<&str, &At> = raw.users.iter().map(|u| (u.name.value.as_str(), &u.name.at)).collect();
    let databases: BTreeMap<&str, &At> = raw
        .databases
        .iter()
        .map(|d| (d.name.value.as_str(), &d.name.at))
        .filter(|(name, _)| *name != "*")
        .collect();
    let kinds = [
        ("user", Source::User, &tenancy.user_pattern, users),
        ("database", Source::Database, &tenancy.database_pattern, databases),
    ];
    for (kind, source, pattern, names) in kinds {
        if !tenancy.takes(source) {
            continue;
        }
        for (name, at) in &names {
            let other = pattern.readings(name).find_map(|reading| {
                names.get(reading.base).map(|first| (reading.base, reading.tenant, first))
            });
            let Some((base, tenant, first)) = other else { continue };
            problems.add(
                Problem::new(format!(
                    "{} has two readings: this {kind}, and {} with the tenant {}",
                    quoted(name),
                    quoted(base),
                    quoted(tenant)
                ))
                .at(at)
                .also("the other one is", first)
                .help(format!(
                    "rename one, choose another {kind}_pattern, or leave \"{kind}\" out of identify"
                )),
            );
        }
    }
}
