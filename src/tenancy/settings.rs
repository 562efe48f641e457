//! What a transaction gets set, and what its client may not touch.

use super::identity::Who;
use super::rules::{Rules, Tenant};

/// The settings of a transaction and their values, in the order in which they must be set: the role is the
/// last one, because it may have fewer rights than the login. `resolved`: what the resolvers found. A login's
/// role wins over the tenant's.
pub fn settings(
    rules: &Rules,
    user_role: Option<&str>,
    tenant: Option<&Tenant>,
    who: &Who,
    resolved: &[(String, String)],
) -> Vec<(String, String)> {
    let config = rules.config();
    let mut pairs = Vec::new();
    let mut put = |name: &str, value: &str| pairs.push((name.to_owned(), value.to_owned()));
    if let Some(tenant) = tenant {
        put(&config.setting, &tenant.id);
    }
    for (key, value) in &who.context {
        if let Some(setting) = config.context.get(key) {
            put(setting, value);
        }
    }
    for (setting, value) in resolved {
        put(setting, value);
    }
    if let Some(tenant) = tenant {
        if let Some(search_path) = &tenant.search_path {
            put("search_path", search_path);
        }
        if let Some(timeout) = tenant.config.statement_timeout {
            put("statement_timeout", &format!("{}ms", timeout.as_millis()));
        }
        for (setting, value) in &tenant.config.settings {
            put(setting, value);
        }
    }
    if let Some(role) = user_role.or_else(|| tenant.and_then(|tenant| tenant.config.role.as_deref())) {
        put("role", role);
    }
    pairs
}

/// The settings that a client may not touch while it has this tenant, in lower case, sorted: those of the
/// configuration, and those that are set for the tenant. Everything under `howdah.` is Howdah's own besides.
pub fn protected(rules: &Rules, tenant: Option<&Tenant>) -> Vec<String> {
    let mut names = rules.config().protected.clone();
    if let Some(tenant) = tenant {
        if tenant.search_path.is_some() {
            names.push("search_path".to_owned());
        }
        if tenant.config.statement_timeout.is_some() {
            names.push("statement_timeout".to_owned());
        }
        names.extend(tenant.config.settings.iter().map(|(setting, _)| setting.clone()));
    }
    names.sort_unstable();
    names.dedup();
    names
}
