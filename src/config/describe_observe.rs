//! What `[http]`, `[admin]` and `[observe]` were understood to be.

use super::checked::Admin;
use super::describe::Text;
use super::observe::{Http, Observe};

pub(super) fn describe_http(out: &mut Text, http: &Http) {
    out.header("http");
    out.text("address", &http.address.to_string());
    if let Some(login) = &http.login {
        out.text("user", &login.user);
        out.secret(Some(&login.password), false);
    }
    if http.token.is_some() {
        out.line("token", "\"***\"");
    }
    if !http.is_guarded() {
        out.comment("user, token: none, so whoever reaches the address may look");
    }
}

pub(super) fn describe_admin(out: &mut Text, admin: &Admin) {
    out.header("admin");
    out.list("users", admin.users.iter().map(ToString::to_string));
    out.list("stats_users", admin.stats_users.iter().map(ToString::to_string));
}

pub(super) fn describe_observe(out: &mut Text, observe: &Observe) {
    out.header("observe");
    out.flag("enabled", observe.enabled);
    out.number("max_tracked", observe.max_tracked);
    out.number("max_tenants", observe.max_tenants);
    out.flag("parameters", observe.parameters);
    out.header("observe.n_plus_one");
    out.number("threshold", usize::try_from(observe.n_plus_one.threshold).unwrap_or(usize::MAX));
    out.duration("window", observe.n_plus_one.window);
}
