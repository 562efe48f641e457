//! What `[tenancy]`, `[tenants]` and users' tenants were understood to be.

use super::describe::Text;
use super::reader::key_text;
use super::tenancy::{Placement, Resolver, Tenancy, TenantConfig, TenantRule};

pub(super) fn describe_tenancy(out: &mut Text, tenancy: &Tenancy) {
    out.header("tenancy");
    out.text("setting", &tenancy.setting);
    out.list("identify", tenancy.identify.iter().map(|source| source.word().to_owned()));
    out.text("user_pattern", tenancy.user_pattern.as_str());
    out.text("database_pattern", tenancy.database_pattern.as_str());
    out.text("on_missing", tenancy.on_missing.word());
    out.list("protected", tenancy.protected.iter().cloned());
    out.list("denied", tenancy.denied.iter().map(ToString::to_string));
    out.text("on_dynamic_sql", tenancy.on_dynamic_sql.word());
    out.text("channels", tenancy.channels.word());
    if !tenancy.context.is_empty() {
        out.header("tenancy.context");
        for (key, setting) in &tenancy.context {
            out.text(key, setting);
        }
    }
    for resolver in &tenancy.resolvers {
        describe_resolver(out, resolver);
    }
    if let Some(signature) = &tenancy.signature {
        out.header("tenancy.signature");
        out.path("key_file", Some(&signature.key_file));
        out.duration("valid_for", signature.valid_for);
    }
    for tenant in tenancy.any_tenant.iter().chain(tenancy.tenants.values()) {
        describe_tenant(out, tenant);
    }
    if tenancy.any_tenant.is_none() {
        let only = if tenancy.tenants.is_empty() { "none at all" } else { "only those above" };
        out.comment(&format!("tenants: {only}; [tenants.\"*\"] would allow others"));
    }
}

fn describe_resolver(out: &mut Text, resolver: &Resolver) {
    out.header("[tenancy.resolvers]");
    out.text("name", &resolver.name);
    out.text("query", &resolver.query);
    out.list("params", resolver.params.iter().map(ToString::to_string));
    out.pairs("set", resolver.set.iter().map(|(setting, column)| (setting.as_str(), column.as_str())));
    out.duration("ttl", resolver.ttl);
    out.duration("negative_ttl", resolver.negative_ttl);
    out.flag("required", resolver.required);
    match &resolver.database {
        Some(database) => out.text("database", database),
        None => out.comment("database: that of the transaction"),
    }
}

fn describe_tenant(out: &mut Text, tenant: &TenantConfig) {
    out.header(&format!("tenants.{}", key_text(&tenant.name)));
    match &tenant.id {
        Some(id) => out.text("id", id),
        None if &*tenant.name == "*" => out.comment("id: the tenant's name"),
        None => out.text("id", &tenant.name),
    }
    if let Some(format) = &tenant.id_format {
        out.text("id_format", format.typed());
    }
    match &tenant.placement {
        Placement::Shared => out.text("placement", "shared"),
        Placement::Schema => {
            out.text("placement", "schema");
            out.text("search_path", tenant.search_path.as_deref().unwrap_or(""));
        }
        Placement::Database(database) => {
            out.text("placement", "database");
            out.text("database", database);
        }
    }
    out.number("max_server_connections", tenant.max_server_connections.unwrap_or(0));
    out.number("max_client_conn", tenant.max_client_conn.unwrap_or(0));
    out.number("weight", tenant.weight as usize);
    out.number("transactions_per_second", tenant.transactions_per_second.unwrap_or(0) as usize);
    out.number("connects_per_second", tenant.connects_per_second.unwrap_or(0) as usize);
    out.timeout("statement_timeout", tenant.statement_timeout);
    match &tenant.role {
        Some(role) => out.text("role", role),
        None => out.comment("role: the login's"),
    }
    if !tenant.settings.is_empty() {
        out.pairs("settings", tenant.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }
}

/// What a user may use, by the key that was typed.
pub(super) fn describe_rule(out: &mut Text, rule: &TenantRule) {
    match rule {
        TenantRule::Any => out.text("tenants", "*"),
        TenantRule::One(name) => out.text("tenant", name),
        TenantRule::Nobody => out.text("tenant", "none"),
        TenantRule::Some { allowed, denied } => {
            let denied = denied.iter().map(|glob| format!("!{glob}"));
            out.list("tenants", allowed.iter().map(ToString::to_string).chain(denied));
        }
    }
}
