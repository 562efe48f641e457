//! What `[cache]` was understood to be.

use super::cache::{Cache, Follow, RuleTexts};
use super::describe::Text;

pub(super) fn describe_cache(out: &mut Text, cache: &Cache) {
    out.header("cache");
    out.size("max_memory", cache.max_memory);
    out.size("max_entry", cache.max_entry as u64);
    out.duration("default_ttl", cache.default_ttl);
    out.duration("max_ttl", cache.max_ttl);
    out.percent("tenant_share", cache.tenant_share);
    out.percent("jitter", cache.jitter);
    out.duration("wait", cache.wait);
    for rule in &cache.rules {
        out.header("[cache.rules]");
        match &rule.texts {
            RuleTexts::Like(pattern) => out.text("match", pattern),
            RuleTexts::Fingerprint(print) => out.text("fingerprint", &format!("{print:016x}")),
        }
        out.duration("ttl", rule.ttl);
        out.duration("stale", rule.stale);
        if !rule.tags.is_empty() {
            out.list("tag", rule.tags.iter().map(ToString::to_string));
        }
        match &rule.databases {
            Some(names) => out.list("databases", names.iter().map(ToString::to_string)),
            None => out.comment("databases: all"),
        }
    }
    follow(out, &cache.follow);
}

fn follow(out: &mut Text, follow: &Follow) {
    out.header("cache.follow");
    out.text("mode", follow.mode.word());
    out.text("publication", &follow.publication);
    match &follow.slot {
        Some(slot) => out.text("slot", slot),
        None => out.comment("slot: temporary"),
    }
    out.duration("max_lag", follow.max_lag);
    match &follow.user {
        Some(user) => {
            out.text("user", user);
            out.secret(follow.password.as_ref(), false);
        }
        None => out.comment("user: that of the database"),
    }
    out.flag("notify", follow.notify);
}
