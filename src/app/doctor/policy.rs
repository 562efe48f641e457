//! What a policy's expressions say, as the server deparses them with nothing but `pg_catalog` in its
//! `search_path`: so every function of a user's stands with its schema.

use crate::app::ddl::{SIGNED_TENANT, Tenant};

/// A row of `pg_policy`.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    /// The table's number.
    pub(super) table: String,
    /// In quotes where it needs them.
    pub(super) name: String,
    pub(super) permissive: bool,
    /// `*`, or one of `r`, `a`, `w`, `d`.
    pub(super) command: String,
    /// It is for PUBLIC.
    pub(super) everyone: bool,
    /// It is for a role that the pool's role is or may become.
    pub(super) ours: bool,
    pub(super) using: Option<String>,
    pub(super) check: Option<String>,
    /// Functions that it calls and that are no part of Postgres.
    pub(super) calls: Vec<Function>,
}

/// A function that a policy calls.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// With its schema, in quotes where it needs them.
    pub(super) name: String,
    /// Its whole definition.
    pub(super) definition: String,
}

/// Whether an expression looks at the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reads {
    /// No.
    No,
    /// The setting, where it should be the signed tenant.
    Plain,
    /// It calls functions, and none of them is seen to.
    Unsure,
    /// Yes.
    Yes,
}

const COMMANDS: [char; 4] = ['r', 'a', 'w', 'd'];

impl Policy {
    fn is_for(&self, command: char) -> bool {
        self.command == "*" || self.command.starts_with(command)
    }

    /// The expressions that decide for a command; an absent USING lets nothing through, an absent WITH CHECK
    /// stands for the USING.
    fn expressions(&self, command: char) -> Vec<&str> {
        let using = self.using.as_deref();
        let check = self.check.as_deref().or(using);
        let both = match command {
            'a' => [None, check],
            'w' => [using, check],
            _ => [using, None],
        };
        both.into_iter().flatten().collect()
    }

    fn reads_for(&self, command: char, tenant: &Tenant) -> Reads {
        let reads = self.expressions(command).into_iter().map(|text| reads(text, tenant, &self.calls));
        reads.min().unwrap_or(Reads::Yes)
    }
}

/// What `policy`, one of `all` of its table, lets through without a look at the tenant, unless a restrictive
/// policy for everyone looks.
pub(super) fn judge(policy: &Policy, all: &[Policy], tenant: &Tenant) -> Reads {
    let narrowed = |command: char| {
        all.iter().any(|other| {
            !other.permissive
                && other.everyone
                && other.is_for(command)
                && !other.expressions(command).is_empty()
                && other.reads_for(command, tenant) == Reads::Yes
        })
    };
    let open = COMMANDS.into_iter().filter(|command| policy.is_for(*command) && !narrowed(*command));
    open.map(|command| policy.reads_for(command, tenant)).min().unwrap_or(Reads::Yes)
}

fn reads(text: &str, tenant: &Tenant, calls: &[Function]) -> Reads {
    let text = text.to_ascii_lowercase();
    let called = |function: &&Function| text.contains(&format!("{}(", function.name.to_ascii_lowercase()));
    let mentions = |what: &str| {
        text.contains(what)
            || calls.iter().filter(called).any(|f| f.definition.to_ascii_lowercase().contains(what))
    };
    if mentions(SIGNED_TENANT) {
        return Reads::Yes;
    }
    match tenant {
        Tenant::Plain(setting) if mentions(&format!("'{}'", setting.as_str())) => Reads::Yes,
        Tenant::Signed if mentions("current_setting") || mentions("howdah.setting") => Reads::Plain,
        // The two functions of Howdah's own are known: they read what they are told to.
        _ if calls.iter().filter(called).any(|f| f.name != "howdah.setting") => Reads::Unsure,
        _ => Reads::No,
    }
}

/// The expression with every bare `current_setting` of this setting made one that is NULL when the setting is
/// absent or empty; `None` if there is none that would raise an error.
pub(super) fn without_errors(text: &str, setting: &str) -> Option<String> {
    let call = format!("current_setting('{setting}'::text");
    let mut out = String::with_capacity(text.len() + 40);
    let (mut rest, mut changed) = (text, false);
    while let Some((before, after)) = rest.split_once(&call) {
        out.push_str(before);
        let Some((arguments, tail)) = after.split_once(')') else {
            out.push_str(&call);
            out.push_str(after);
            return changed.then_some(out);
        };
        // `(current_setting(…))::uuid` fails on ''; so does anything but a text when the cast is implied.
        let is_cast = before.ends_with('(') && tail.strip_prefix(")::").is_some_and(|t| !is_text(t));
        let wrapped = before.ends_with("NULLIF(") && tail.starts_with(", ''::text)");
        let raises = arguments.trim() != ", true";
        changed |= raises || (is_cast && !wrapped);
        if wrapped {
            out.extend([&call, ", true)"]);
        } else {
            out.extend(["NULLIF(", &call, ", true), ''::text)"]);
        }
        rest = tail;
    }
    out.push_str(rest);
    changed.then_some(out)
}

fn is_text(cast: &str) -> bool {
    ["text", "character varying", "name"].iter().any(|name| {
        cast.strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::app::ddl::Setting;

    fn plain() -> Tenant {
        Tenant::Plain(Setting::parse("app.tenant_id").unwrap())
    }

    fn policy(command: &str, using: &str, check: &str) -> Policy {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Policy {
            name: "p".into(),
            permissive: true,
            command: command.into(),
            everyone: true,
            ours: true,
            using: text(using),
            check: text(check),
            ..Policy::default()
        }
    }

    const OWN: &str = "(tenant_id = NULLIF(current_setting('app.tenant_id'::text, true), ''::text))";
    const SIGNED: &str = "(tenant_id = ( SELECT howdah.tenant_id() AS tenant_id))";

    #[test]
    fn a_policy_reads_the_tenant_or_not() {
        for (text, as_plain, as_signed) in [
            (OWN, Reads::Yes, Reads::Plain),
            ("(tenant_id = current_setting('App.Tenant_id'::text))", Reads::Yes, Reads::Plain),
            (
                "(tenant_id = ( SELECT howdah.setting('app.tenant_id'::text) AS setting))",
                Reads::Yes,
                Reads::Plain,
            ),
            (SIGNED, Reads::Yes, Reads::Yes),
            ("true", Reads::No, Reads::No),
            ("(tenant_id = current_setting('app.tenant_id2'::text))", Reads::No, Reads::Plain),
        ] {
            let policy = policy("*", text, "");
            assert_eq!(judge(&policy, &[], &plain()), as_plain, "{text}");
            assert_eq!(judge(&policy, &[], &Tenant::Signed), as_signed, "{text}");
        }
    }

    #[test]
    fn functions_are_looked_into() {
        let calling = |definition: &str| {
            let calls = vec![Function { name: "app.who".into(), definition: definition.into() }];
            Policy { calls, ..policy("*", "(tenant_id = app.who())", "") }
        };
        let reading = calling("CREATE FUNCTION … current_setting('app.tenant_id', true) …");
        assert_eq!(judge(&reading, &[], &plain()), Reads::Yes);
        assert_eq!(judge(&reading, &[], &Tenant::Signed), Reads::Plain);
        assert_eq!(judge(&calling("… other() …"), &[], &plain()), Reads::Unsure);
        assert_eq!(judge(&calling("… howdah.tenant_id() …"), &[], &Tenant::Signed), Reads::Yes);
        // It calls it in the other expression only.
        let half = Policy { check: Some("true".into()), ..reading };
        assert_eq!(judge(&half, &[], &plain()), Reads::No);
    }

    #[test]
    fn every_expression_counts_that_decides() {
        for (command, using, check, expected) in [
            ("*", OWN, "true", Reads::No),
            ("*", "true", OWN, Reads::No),
            ("a", "", OWN, Reads::Yes),
            ("a", "", "true", Reads::No),
            ("r", OWN, "", Reads::Yes),
            ("d", "true", "", Reads::No),
            ("w", OWN, "", Reads::Yes),
            ("w", OWN, "true", Reads::No),
            ("*", "", OWN, Reads::Yes),
        ] {
            assert_eq!(
                judge(&policy(command, using, check), &[], &plain()),
                expected,
                "{command} {using} {check}"
            );
        }
    }

    #[test]
    fn a_restrictive_policy_narrows_what_it_is_for() {
        let open = policy("*", "true", "");
        let narrow = |command: &str| Policy { permissive: false, ..policy(command, OWN, "") };
        let of = |others: Vec<Policy>| judge(&open, &others, &plain());
        assert_eq!(of(vec![narrow("*")]), Reads::Yes);
        assert_eq!(of(vec![narrow("r")]), Reads::No);
        assert_eq!(of(vec![narrow("r"), narrow("w"), narrow("d")]), Reads::No);
        assert_eq!(of(vec![Policy { everyone: false, ..narrow("*") }]), Reads::No);
        assert_eq!(of(vec![Policy { permissive: false, ..policy("*", "true", "") }]), Reads::No);
        let read = policy("r", "true", "");
        assert_eq!(judge(&read, &[narrow("r")], &plain()), Reads::Yes);
        assert_eq!(judge(&open, &[narrow("*")], &Tenant::Signed), Reads::No);
    }

    #[test]
    fn expressions_that_raise_errors_are_mended() {
        let fixed = "(NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid";
        for (text, mended) in [
            ("(current_setting('app.tenant_id'::text))::uuid", Some(fixed)),
            ("(current_setting('app.tenant_id'::text, true))::uuid", Some(fixed)),
            ("(current_setting('app.tenant_id'::text, false))::uuid", Some(fixed)),
            ("(NULLIF(current_setting('app.tenant_id'::text), ''::text))::uuid", Some(fixed)),
            (fixed, None),
            ("(x = current_setting('app.tenant_id'::text, true))", None),
            ("((x)::text = (current_setting('app.tenant_id'::text, true))::text)", None),
            ("current_setting('app.other'::text)", None),
            ("true", None),
        ] {
            assert_eq!(without_errors(text, "app.tenant_id").as_deref(), mended, "{text}");
        }
        let twice = "((a = current_setting('app.tenant_id'::text)) OR (b = (current_setting('app.tenant_id'::text, true))::integer))";
        let mended = without_errors(twice, "app.tenant_id").unwrap();
        assert_eq!(mended.matches("NULLIF(").count(), 2);
        assert_eq!(without_errors(&mended, "app.tenant_id"), None);
    }
}
