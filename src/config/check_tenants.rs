//! Checks `[tenants.X]`, and what users say about tenants.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::check_tenancy::setting_name;
use super::checked::CONSOLE_DATABASES;
use super::pattern::Glob;
use super::problem::{Problem, Problems, quoted};
use super::raw::Raw;
use super::raw_tenancy::{Place, RawTenant, RawUserTenants};
use super::search_path::{self, MAX_IDENTIFIER, TENANT};
use super::source::{At, Located};
use super::tenancy::{
    IdFormat, MAX_TENANT_NAME, Placement, Source, Tenancy, TenantConfig, TenantRule, folded_id,
};

/// Longest `statement_timeout` that Postgres takes.
const MAX_STATEMENT_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// What the check of a tenant needs to know of the rest.
struct Rest<'a> {
    databases: HashSet<&'a str>,
    protected: HashSet<&'a str>,
    problems: &'a Problems,
}

type Tenants = BTreeMap<Arc<str>, Arc<TenantConfig>>;

/// `[tenants."*"]`, and the tenants with an entry.
pub(super) fn tenants(
    raw: &Raw,
    protected: &[String],
    problems: &Problems,
) -> (Option<Arc<TenantConfig>>, Tenants) {
    let rest = Rest {
        databases: raw.databases.iter().map(|d| d.name.value.as_str()).collect(),
        protected: protected.iter().map(String::as_str).collect(),
        problems,
    };
    let all = raw.tenants.iter().map(|typed| tenant(typed, &rest));
    let mut all: Tenants = all.map(|tenant| (Arc::clone(&tenant.name), Arc::new(tenant))).collect();
    let any = all.remove("*");
    same_ids(&raw.tenants, problems);
    (any, all)
}

/// Refuses two tenants whose rows would be the same.
fn same_ids(tenants: &[RawTenant], problems: &Problems) {
    let mut known: HashMap<String, &At> = HashMap::new();
    for tenant in tenants.iter().filter(|tenant| tenant.name.value != "*") {
        let id = tenant.id.as_ref().unwrap_or(&tenant.name);
        match known.get(&folded_id(&id.value)) {
            Some(first) => problems.add(
                Problem::new(format!("two tenants have the id {}", quoted(&id.value)))
                    .at(&id.at)
                    .also("first", first)
                    .help("without `id`, the name is the id"),
            ),
            None => drop(known.insert(folded_id(&id.value), &id.at)),
        }
    }
}

fn tenant(raw: &RawTenant, rest: &Rest<'_>) -> TenantConfig {
    let problems = rest.problems;
    let any = raw.name.value == "*";
    if !any {
        check_name(&raw.name, problems);
    }
    let (placement, search_path) = placement(raw, any, rest);
    check_role(raw.role.as_ref(), problems);
    let limit = |typed: &Option<Located<usize>>| typed.as_ref().map(|l| l.value).filter(|n| *n > 0);
    let rate = |typed| limit(typed).and_then(|n| u32::try_from(n).ok());
    TenantConfig {
        name: Arc::from(raw.name.value.as_str()),
        id: raw.id.as_ref().map(|l| l.value.clone()),
        id_format: id_format(raw, any, problems),
        placement,
        search_path,
        max_server_connections: limit(&raw.max_server_connections),
        max_client_conn: limit(&raw.max_client_conn),
        weight: raw.weight.as_ref().and_then(|l| u32::try_from(l.value).ok()).unwrap_or(1),
        transactions_per_second: rate(&raw.transactions_per_second),
        connects_per_second: rate(&raw.connects_per_second),
        statement_timeout: statement_timeout(raw.statement_timeout.as_ref(), problems),
        role: raw.role.as_ref().map(|l| l.value.clone()),
        settings: settings(raw, rest),
    }
}

fn check_name(name: &Located<String>, problems: &Problems) {
    let text = name.value.as_str();
    let why = if text == "none" {
        "a tenant cannot be called `none`: that word means that there is none".to_owned()
    } else if text.contains('*') || text.starts_with('!') {
        format!(
            "{} cannot be the name of a tenant: `*` and `!` mean something in lists of tenants",
            quoted(text)
        )
    } else if text.len() > MAX_TENANT_NAME {
        format!("the name of a tenant is longer than {MAX_TENANT_NAME} bytes")
    } else if text.trim() != text || text.chars().any(char::is_control) {
        format!(
            "{} cannot be the name of a tenant: it has spaces around it or control characters",
            quoted(text)
        )
    } else {
        return;
    };
    problems
        .add(Problem::new(why).at(&name.at).help("write another name, and this one as `id` if it must be"));
}

/// The id's format; also checks the id with it.
fn id_format(raw: &RawTenant, any: bool, problems: &Problems) -> Option<IdFormat> {
    if let Some(id) = &raw.id {
        let wrong = id.value.len() > MAX_TENANT_NAME || id.value.chars().any(char::is_control);
        if any {
            let problem = Problem::new("`id` cannot stand in [tenants.\"*\"]: it would be the same for all");
            problems.add(problem.at(&id.at).help("leave it out: a tenant's id is its name then"));
        } else if wrong {
            let valid = format!("valid here: at most {MAX_TENANT_NAME} bytes without control characters");
            problems.add(Problem::new("this cannot be the id of a tenant").at(&id.at).help(valid));
        }
    }
    let typed = raw.id_format.as_ref()?;
    let format = match IdFormat::parse(&typed.value) {
        Ok(format) => format,
        Err(why) => {
            problems.add(
                Problem::new(format!("{} is not a valid `id_format`: {why}", quoted(&typed.value)))
                    .at(&typed.at)
                    .help("valid here: uuid, integer, or a regular expression like \"[a-z0-9-]{3,40}\""),
            );
            return None;
        }
    };
    let id = raw.id.as_ref().unwrap_or(&raw.name);
    if !any && !format.fits(&id.value) {
        problems.add(
            Problem::new(format!("the id {} does not fit `id_format`", quoted(&id.value)))
                .at(&id.at)
                .also("the format is", &typed.at),
        );
    }
    Some(format)
}

/// Where the tenant's data is, and its `search_path`.
fn placement(raw: &RawTenant, any: bool, rest: &Rest<'_>) -> (Placement, Option<String>) {
    let problems = rest.problems;
    let place = raw.placement.as_ref().map_or(Place::Shared, |l| l.value);
    let needs = [
        (Place::Schema, "schema", "search_path", raw.search_path.as_ref()),
        (Place::Database, "database", "database", raw.database.as_ref()),
    ];
    for (needing, word, key, typed) in needs {
        match (typed, &raw.placement) {
            (None, Some(at)) if place == needing && !raw.broken => problems.add(
                Problem::new(format!("placement \"{word}\" needs `{key}`"))
                    .at(&at.at)
                    .help(format!("write {key} too")),
            ),
            (Some(typed), _) if place != needing && !raw.broken => problems.add(
                Problem::new(format!("`{key}` without placement = \"{word}\""))
                    .at(&typed.at)
                    .help(format!("write placement = \"{word}\" too")),
            ),
            _ => {}
        }
    }
    match (place, &raw.search_path, &raw.database) {
        (Place::Schema, Some(typed), _) => (Placement::Schema, search_path(typed, any, problems)),
        (Place::Database, _, Some(typed)) => {
            check_database(typed, any, rest);
            (Placement::Database(Arc::from(typed.value.as_str())), None)
        }
        _ => (Placement::Shared, None),
    }
}

fn search_path(typed: &Located<String>, any: bool, problems: &Problems) -> Option<String> {
    let schemas = match search_path::parse(&typed.value, any) {
        Ok(schemas) => schemas,
        Err(why) => {
            problems.add(
                Problem::new(format!("`search_path` is not valid: {why}"))
                    .at(&typed.at)
                    .help("valid here: schemas with commas between, like \"tenant_acme, public\""),
            );
            return None;
        }
    };
    if any && !schemas.iter().any(|schema| schema.contains(TENANT)) {
        problems.add(
            Problem::new("all tenants without an entry would share these schemas")
                .at(&typed.at)
                .help("write {tenant} where the tenant's name belongs, like \"tenant_{tenant}, public\""),
        );
    }
    Some(search_path::join(&schemas))
}

/// Refuses a tenant's database that is not there.
fn check_database(typed: &Located<String>, any: bool, rest: &Rest<'_>) {
    let text = typed.value.as_str();
    let answers_all = rest.databases.contains("*");
    if any && text.contains(TENANT) {
        if !answers_all {
            rest.problems.add(
                Problem::new("a database for each tenant needs [databases.\"*\"]")
                    .at(&typed.at)
                    .help("write [databases.\"*\"] with a host"),
            );
        }
    } else if CONSOLE_DATABASES.contains(&text)
        || text == "*"
        || !(answers_all || rest.databases.contains(text))
    {
        no_database(typed, rest.databases.iter().copied(), rest.problems);
    }
}

/// Refuses a database that is not there.
pub(super) fn database_exists(typed: &Located<String>, all: &Raw, problems: &Problems) {
    let known = |name: &str| all.databases.iter().any(|d| d.name.value == name);
    let text = typed.value.as_str();
    if CONSOLE_DATABASES.contains(&text) || text == "*" || !(known("*") || known(text)) {
        no_database(typed, all.databases.iter().map(|d| d.name.value.as_str()), problems);
    }
}

fn no_database<'a>(typed: &Located<String>, known: impl Iterator<Item = &'a str>, problems: &Problems) {
    let mut names: Vec<&str> = known.filter(|name| *name != "*").collect();
    names.sort_unstable();
    names.truncate(20);
    problems.add(
        Problem::new(format!("there is no database {}", quoted(&typed.value)))
            .at(&typed.at)
            .help(format!("valid here: {}", names.join(", "))),
    );
}

fn check_role(role: Option<&Located<String>>, problems: &Problems) {
    if let Some(role) = role.filter(|role| role.value.len() > MAX_IDENTIFIER) {
        problems.add(
            Problem::new(format!("the name of a role is longer than {MAX_IDENTIFIER} bytes")).at(&role.at),
        );
    }
}

/// Zero is off; Postgres counts whole milliseconds, so that less than one would be off without saying so.
fn statement_timeout(typed: Option<&Located<Duration>>, problems: &Problems) -> Option<Duration> {
    let typed = typed.filter(|l| !l.value.is_zero())?;
    if typed.value > MAX_STATEMENT_TIMEOUT || typed.value.subsec_nanos() % 1_000_000 != 0 {
        problems.add(
            Problem::new("Postgres cannot keep this `statement_timeout`")
                .at(&typed.at)
                .help("valid here: whole milliseconds, at most \"24d\"; \"0s\" is off"),
        );
    }
    Some(typed.value)
}

fn settings(raw: &RawTenant, rest: &Rest<'_>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, value) in &raw.settings {
        let lower = setting_name(name, rest.problems);
        let has_key = (lower == "search_path" && raw.search_path.is_some())
            || (lower == "statement_timeout" && raw.statement_timeout.is_some());
        let why = if rest.protected.contains(lower.as_str()) || lower.starts_with("howdah.") {
            format!("the setting {} is protected", quoted(&lower))
        } else if has_key || found.iter().any(|(other, _)| *other == lower && !lower.is_empty()) {
            format!("the setting {} would be set twice", quoted(&lower))
        } else {
            found.push((lower, value.value.clone()));
            continue;
        };
        let help = "leave it out: what is protected, Howdah sets by its own key";
        rest.problems.add(Problem::new(why).at(&name.at).help(help));
    }
    found
}

/// Which tenants a user may use.
pub(super) fn tenant_rule(
    raw: &RawUserTenants,
    tenancy: Option<&Tenancy>,
    problems: &Problems,
) -> TenantRule {
    check_role(raw.role.as_ref(), problems);
    let Some(tenancy) = tenancy else {
        let typed = [
            ("tenants", raw.tenants.as_ref().map(|l| &l.at)),
            ("tenant", raw.tenant.as_ref().map(|l| &l.at)),
            ("role", raw.role.as_ref().map(|l| &l.at)),
        ];
        if let Some((key, at)) = typed.into_iter().find_map(|(key, at)| Some((key, at?))) {
            problems.add(
                Problem::new(format!("`{key}` without [tenancy]"))
                    .at(at)
                    .help("write [tenancy], with nothing in it for the defaults"),
            );
        }
        return TenantRule::Any;
    };
    match (&raw.tenants, &raw.tenant) {
        (None, None) => TenantRule::Any,
        (Some(list), Some(one)) => {
            let problem = Problem::new("`tenant` and `tenants` contradict each other").at(&one.at);
            problems.add(problem.also("the other", &list.at).help("write one of them"));
            TenantRule::Nobody
        }
        (None, Some(one)) if one.value == "none" => TenantRule::Nobody,
        (None, Some(one)) => {
            if one.value.contains('*') {
                let problem = Problem::new("`tenant` names one tenant").at(&one.at);
                problems.add(problem.help("for several, write tenants = \"*\" or a list"));
            } else if tenancy.takes(Source::Login) {
                known_tenant(&one.value, &one.at, tenancy, problems);
            } else {
                problems.add(
                    Problem::new("`tenant` needs \"login\" in identify of [tenancy]")
                        .at(&one.at)
                        .help("to allow this one only, and take it from elsewhere, write tenants = [\"…\"]"),
                );
            }
            TenantRule::One(Arc::from(one.value.as_str()))
        }
        (Some(list), None) => tenant_list(list, tenancy, problems),
    }
}

fn tenant_list(list: &Located<Vec<Located<String>>>, tenancy: &Tenancy, problems: &Problems) -> TenantRule {
    let (mut allowed, mut denied) = (Vec::new(), Vec::new());
    for name in &list.value {
        let (text, globs) = match name.value.strip_prefix('!') {
            Some(text) => (text, &mut denied),
            None => (name.value.as_str(), &mut allowed),
        };
        let glob = Glob::new(text);
        if glob.is_plain() {
            known_tenant(text, &name.at, tenancy, problems);
        }
        globs.push(glob);
    }
    if allowed.is_empty() {
        problems.add(
            Problem::new("this list allows no tenant")
                .at(&list.at)
                .help("for all but some, write [\"*\", \"!name\"]; for none on purpose, tenant = \"none\""),
        );
    }
    TenantRule::Some { allowed, denied }
}

/// Refuses a tenant that cannot be there.
fn known_tenant(name: &str, at: &At, tenancy: &Tenancy, problems: &Problems) {
    let fits = |any: &TenantConfig| any.id_format.as_ref().is_none_or(|format| format.fits(name));
    let by_any =
        tenancy.any_tenant.as_ref().is_some_and(|any| fits(any)) && name != "none" && !name.is_empty();
    if tenancy.tenants.contains_key(name) || by_any {
        return;
    }
    let names: Vec<&str> = tenancy.tenants.keys().map(|name| &**name).take(20).collect();
    let help = match (names.is_empty(), &tenancy.any_tenant) {
        (_, Some(any)) => match &any.id_format {
            Some(format) => format!("valid here: what fits id_format \"{}\"", format.typed()),
            None => "valid here: any other name".to_owned(),
        },
        (true, None) => {
            "there is no tenant yet: write [tenants.X], or [tenants.\"*\"] for any name".to_owned()
        }
        (false, None) => format!("valid here: {}", names.join(", ")),
    };
    problems.add(Problem::new(format!("there is no tenant {}", quoted(name))).at(at).help(help));
}
