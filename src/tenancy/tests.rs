#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::{self, Config, Source, folded_id};
use crate::wire::PgError;

const KAT: [(&str, u32, u64, &str); 2] = [
    ("acme", 4242, 1_700_000_000, "b44d8ce7b10e12c6d9150dbc9eee0921bc691fec8e6ae4b8236cf1a605099ca6"),
    ("ä|b", 1, 0, "178dc55e3b11f5fc471e6f5438428282a41ecad3038c7f7ce5bc251803266860"),
];

/// The rest of each configuration here.
const REST: &str = r#"
[databases.app]
host = "h"
[users.app]
password = "p"
[users.few]
password = "p"
tenants = ["acme", "g*", "!gone"]
[users.one]
password = "p"
tenant = "acme"
role = "one_role"
[users.admin]
password = "p"
tenant = "none"
[tenants.acme]
[tenants.globex]
[tenants.gone]
"#;

fn load(text: &str) -> Config {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, text).unwrap();
    config::load(&path).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

/// `[tenancy]` with these keys, and the rest.
fn house(keys: &str) -> (Config, Rules) {
    let mut rest = REST.to_owned();
    if keys.contains("identify") && !keys.contains("login") {
        rest = rest.replace("tenant = \"acme\"", "tenants = [\"acme\"]");
    }
    let config = load(&format!("[tenancy]\n{keys}\n{rest}"));
    let rules = Rules::new(Arc::clone(config.tenancy.as_ref().unwrap()));
    (config, rules)
}

fn tenants(text: &str) -> Rules {
    let config = load(&format!("[tenancy]\n{text}\n[databases.'*']\nhost='h'\n[users.u]\npassword='p'\n"));
    Rules::new(Arc::clone(config.tenancy.as_ref().unwrap()))
}

fn claims(tenant: &str, context: &[(&str, &str)]) -> Claims {
    Claims {
        tenant: (!tenant.is_empty()).then(|| tenant.to_owned()),
        context: context.iter().map(|(key, value)| (Arc::from(*key), (*value).to_owned())).collect(),
    }
}

const NONE: [(&str, &str); 0] = [];

/// Plays a script for one login: steps as `user=x`, `database=x`, `option=x` (before it logs in), `set x`,
/// `local x`, `reset`, `all`, `begin`, `commit`, `rollback`, and `: x` or `x:` for a query with the comment x.
/// What it answers: the tenant of each query, or `-`; `!` and the SQLSTATE where something was refused.
fn play(keys: &str, user: &str, script: &str) -> String {
    let (config, rules) = house(keys);
    let user = &config.users[user];
    let (mut from_user, mut from_database, mut from_options) = Default::default();
    let mut identity: Option<Identity> = None;
    let mut out: Vec<String> = Vec::new();
    for step in script.split(", ") {
        if let Some((source, name)) = step.split_once('=') {
            let said = claims(name, &[]);
            match source {
                "user" => from_user = said,
                "database" => from_database = said,
                "option" => from_options = said,
                _ => panic!("{step}"),
            }
            continue;
        }
        if identity.is_none() {
            match Identity::at_login(&rules, user, &from_user, &from_database, &from_options) {
                Ok(it) => identity = Some(it),
                Err(e) => return format!("!{}", e.sqlstate),
            }
        }
        let it = identity.as_mut().unwrap();
        let mut done = |done: Result<(), PgError>| out.extend(done.err().map(|e| format!("!{}", e.sqlstate)));
        match step.split_once(' ') {
            Some(("set", name)) => done(it.set(&rules, "tenant", name, false)),
            Some(("local", name)) => done(it.set(&rules, "tenant", name, true)),
            Some((":", name)) => out.push(asked(it.who(&rules, &[("tenant", name)]))),
            None if step == ":" => out.push(asked(it.who(&rules, &NONE))),
            None if step == "reset" => done(it.reset(&rules, "tenant")),
            None if step == "all" => it.reset_all(),
            None if step == "begin" => it.begin_transaction(),
            None if step == "commit" => it.end_transaction(true),
            None if step == "rollback" => it.end_transaction(false),
            _ => panic!("{step}"),
        }
    }
    out.join(" ")
}

fn asked(who: Result<Who, PgError>) -> String {
    match who {
        Ok(Who { tenant: Some(name), required: false, .. }) => name.to_string(),
        Ok(Who { tenant: None, required: true, .. }) => "?".to_owned(),
        Ok(Who { tenant: None, required: false, .. }) => "-".to_owned(),
        Ok(who) => panic!("{who:?}"),
        Err(e) => format!("!{}", e.sqlstate),
    }
}

/// (keys of `[tenancy]`, login, script, answers)
const SCRIPTS: &[(&str, &str, &str, &str)] = &[
    // Nobody says anything.
    ("", "app", ":", "?"),
    ("on_missing='none'", "app", ":", "-"),
    // Each source alone.
    ("", "one", ":", "acme"),
    ("", "app", "user=acme, :", "acme"),
    ("", "app", "database=acme, :", "acme"),
    ("", "app", "option=acme, :", "acme"),
    ("", "app", "set acme, :", "acme"),
    ("", "app", ": acme", "acme"),
    // A comment is for one transaction.
    ("", "app", ": acme, :", "acme ?"),
    // Sources of one connection agree or the login is refused.
    ("", "app", "user=acme, database=acme, option=acme, :", "acme"),
    ("", "app", "user=acme, database=globex, :", "!28000"),
    ("", "app", "user=acme, option=globex, :", "!28000"),
    ("", "one", "option=acme, :", "acme"),
    ("", "one", "option=globex, :", "!28000"),
    // What is weaker and differs is refused, and nothing has changed.
    ("", "app", "user=acme, set globex, :", "!28000 acme"),
    ("", "app", "user=acme, set acme, :", "acme"),
    ("", "app", "user=acme, : globex, :", "!28000 acme"),
    ("", "app", "user=acme, : acme", "acme"),
    ("", "app", "set acme, : globex, : acme, :", "!28000 acme acme"),
    ("", "app", "set acme, set globex, :", "globex"),
    ("", "one", "set globex, : globex, :", "!28000 !28000 acme"),
    // What is stronger and later wins.
    ("identify=['set','option']", "app", "option=acme, set globex, :, reset, :", "globex acme"),
    ("identify=['comment','set']", "app", "set acme, : globex, :", "globex acme"),
    (
        "identify=['comment','option','set']",
        "app",
        "option=acme, : globex, set globex, :",
        "globex !28000 acme",
    ),
    (
        "identify=['set','option','comment']",
        "app",
        "option=acme, set globex, : globex, : acme",
        "globex !28000",
    ),
    // An agreeing SET does not make what the connection came with weaker.
    ("identify=['user','comment','set']", "app", "user=acme, set acme, : globex, :", "!28000 acme"),
    // The strongest of two that agree counts.
    ("identify=['option','set','user']", "app", "user=acme, option=acme, set globex", "!28000"),
    ("identify=['option','set','user']", "app", "user=acme, set globex, :", "globex"),
    // But a login that is for one tenant stays with it.
    ("identify=['set','login']", "one", "set globex, :", "!28000 acme"),
    // What is not in the list may not speak.
    ("identify=['set']", "app", "option=acme, :", "!28000"),
    ("identify=['set']", "app", ": acme", "!28000"),
    ("identify=['comment']", "app", "set acme, : acme", "!28000 acme"),
    // A login without a tenant, on purpose.
    ("", "admin", ":", "-"),
    ("", "admin", "set acme, : acme, :", "!28000 !28000 -"),
    ("", "admin", "option=acme, :", "!28000"),
    ("", "admin", "user=acme, :", "!28000"),
    // Lists of tenants.
    ("", "few", "set acme, :, set globex, :, set gone, :", "acme globex !28000 globex"),
    ("", "few", ": gone, : gnu, : initech", "!28000 !28000 !28000"),
    ("denied=['glo*']", "app", "set globex, : globex, set acme, :", "!28000 !28000 acme"),
    ("", "app", "set none, set , : initech", "!28000 !28000 !28000"),
    // RESET goes back to what the connection came with.
    ("", "app", "set acme, reset, :", "?"),
    ("", "app", "set acme, all, :", "?"),
    ("", "app", "user=acme, reset, :, all, :", "acme acme"),
    // Transactions.
    ("", "app", "begin, local acme, :, commit, :", "acme ?"),
    ("", "app", "begin, local acme, :, rollback, :", "acme ?"),
    ("", "app", "begin, set acme, :, commit, :", "acme acme"),
    ("", "app", "begin, set acme, :, rollback, :", "acme ?"),
    ("", "app", "set acme, begin, set globex, :, rollback, :", "globex acme"),
    ("", "app", "set acme, begin, local globex, :, commit, :", "globex acme"),
    ("", "app", "set acme, begin, reset, :, rollback, :", "? acme"),
    ("", "app", "set acme, begin, reset, :, commit, :", "? ?"),
    ("", "app", "set acme, begin, all, :, rollback, :", "? acme"),
    ("", "app", "begin, local acme, set globex, :, commit, :", "globex globex"),
    ("", "app", "begin, set acme, local globex, :, commit, :", "globex acme"),
    ("", "app", "begin, local acme, reset, :, commit, :", "? ?"),
    ("", "app", "set acme, begin, set globex, rollback, begin, rollback, :", "acme"),
    ("", "app", "set acme, begin, set globex, commit, begin, rollback, :", "globex"),
    ("", "app", "local acme, :", "?"),
    ("", "app", "local initech, :", "!28000 ?"),
];

#[test]
fn precedence_is_as_the_room_says() {
    let mut wrong = String::new();
    for (keys, user, script, wanted) in SCRIPTS {
        let found = play(keys, user, script);
        if found != *wanted {
            let _ = writeln!(wrong, "{keys} {user}: {script}\n  wanted {wanted}\n  found  {found}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_resting_client_is_small() {
    assert!(size_of::<Identity>() <= 40, "{}", size_of::<Identity>());
    let (config, rules) = house("");
    let none = Claims::default();
    let mut identity = Identity::at_login(&rules, &config.users["app"], &none, &none, &none).unwrap();
    identity.set(&rules, "tenant", "acme", false).unwrap();
    identity.reset(&rules, "tenant").unwrap();
    assert!(format!("{identity:?}").contains("changes: None"));
}

#[test]
fn users_and_databases_are_read() {
    let (_, rules) = house("context={user_id='app.user_id'}\nuser_pattern='{user}.{tenant}[:{user_id}]'");
    let known = |name: &str| ["app", "b.c", "howdah"].contains(&name);
    for (typed, base, tenant) in [
        ("app", "app", ""),
        ("app.acme", "app", "acme"),
        ("b.c", "b.c", ""),
        ("b.c.d", "b.c", "d"),
        ("x.y", "x.y", ""),
    ] {
        assert_eq!(rules.read_user(typed, &known).unwrap(), (base, claims(tenant, &[])), "{typed}");
    }
    let (base, found) = rules.read_user("app.acme:4:2", &known).unwrap();
    assert_eq!((base, found), ("app", claims("acme", &[("user_id", "4:2")])));
    let both = |name: &str| ["app", "app.b"].contains(&name);
    assert_eq!(rules.read_user("app.b.c", &both).unwrap_err().sqlstate, "28000");

    let database = |typed, any| rules.read_database(typed, &known, any).unwrap();
    assert_eq!(database("app@acme", false), ("app", claims("acme", &[])));
    assert_eq!(database("zoo@acme", false), ("zoo@acme", Claims::default()));
    assert_eq!(database("zoo@acme", true), ("zoo", claims("acme", &[])));
    assert_eq!(database("app@a@b", true), ("app", claims("a@b", &[])));
    assert_eq!(rules.read_database("zoo@a@b", &known, true).unwrap_err().sqlstate, "28000");
    assert_eq!(database("howdah", true), ("howdah", Claims::default()));

    let (_, rules) = house("identify=['login','set']");
    assert_eq!(rules.read_user("app.acme", &known).unwrap(), ("app.acme", Claims::default()));
}

#[test]
fn options_are_read() {
    let (_, rules) = house("context={user_id='app.user_id'}");
    let read = |pairs: &[(&str, &str)]| rules.read_options(pairs.iter().copied());
    let all = [("work_mem", "1MB"), ("Howdah.Tenant", "acme"), ("howdah.user_id", "42"), ("howdahx", "1")];
    assert_eq!(read(&all).unwrap(), claims("acme", &[("user_id", "42")]));
    assert_eq!(read(&[("howdah.tenant", "a"), ("HOWDAH.tenant", "a")]).unwrap(), claims("a", &[]));
    assert_eq!(read(&[("howdah.tenant", "a"), ("HOWDAH.tenant", "b")]).unwrap_err().sqlstate, "28000");
    assert_eq!(read(&[("howdah.user_id", "a"), ("HOWDAH.user_id", "b")]).unwrap_err().sqlstate, "28000");
    assert_eq!(read(&[("howdah.teant", "a")]).unwrap_err().sqlstate, "42704");
    assert_eq!(read(&[("howdah.", "a")]).unwrap_err().sqlstate, "42704");
    assert!(is_own("HOWDAH.x") && !is_own("howdah") && !is_own("hówdah.") && !is_own(""));
}

#[test]
fn the_context_comes_by_the_same_ways() {
    let (config, rules) = house("context={request='app.request', user_id='app.user_id'}");
    let none = Claims::default();
    let from_user = claims("acme", &[("user_id", "7")]);
    let mut identity = Identity::at_login(&rules, &config.users["app"], &from_user, &none, &none).unwrap();
    identity.set(&rules, "request", "r1", false).unwrap();
    identity.set(&rules, "user_id", "7", false).unwrap();
    assert_eq!(identity.set(&rules, "user_id", "8", false).unwrap_err().sqlstate, "28000");
    assert_eq!(identity.set(&rules, "nope", "8", false).unwrap_err().sqlstate, "42704");
    assert_eq!(identity.reset(&rules, "nope").unwrap_err().sqlstate, "42704");
    let who = identity.who(&rules, &[("traceparent", "00-x"), ("user_id", "7"), ("cache", "30s")]).unwrap();
    assert_eq!(who.context("user_id").map(|v| &**v), Some("7"));
    assert_eq!(who.context("request").map(|v| &**v), Some("r1"));
    assert_eq!(identity.who(&rules, &[("request", "r2")]).unwrap_err().sqlstate, "28000");
    assert_eq!(
        identity.who(&rules, &[("tenant", "acme"), ("tenant", "globex")]).unwrap_err().sqlstate,
        "28000"
    );
    assert_eq!(identity.show(&rules, "user_id").as_deref(), Some("7"));
    assert_eq!(identity.show(&rules, "tenant").as_deref(), Some("acme"));
    assert_eq!(identity.show(&rules, "nope"), None);
    // Names of settings ignore case, and a comment that does too must not go unheard.
    assert_eq!(identity.show(&rules, "Tenant").as_deref(), Some("acme"));
    assert_eq!(identity.who(&rules, &[("TENANT", "globex")]).unwrap_err().sqlstate, "28000");
    identity.reset_all();
    assert_eq!(identity.show(&rules, "request").as_deref(), Some(""));
    let long = "x".repeat(1025);
    for bad in ["a\0b", "a\nb", "\u{7f}", &long] {
        assert_eq!(identity.set(&rules, "request", bad, false).unwrap_err().sqlstate, "22023");
    }
    identity.set(&rules, "request", "", false).unwrap();
    // Two comments that differ, of which no one is stronger.
    let other = Identity::at_login(&rules, &config.users["app"], &none, &none, &none).unwrap();
    let marks = [("tenant", "acme"), ("request", "a"), ("request", "b")];
    assert_eq!(other.who(&rules, &marks).unwrap_err().sqlstate, "28000");
    assert_eq!(other.who(&rules, &marks[..2]).unwrap(), other.who(&rules, &marks[..2]).unwrap());
}

#[test]
fn what_does_not_exist_and_what_is_not_allowed_look_the_same() {
    let (config, rules) = house("denied=['gone']");
    let few = &config.users["few"];
    let errors = ["initech", "globexx", "gone", "hidden"].map(|name| rules.tenant_of(few, name).unwrap_err());
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    let text = format!("{:?}", errors[0]);
    assert!(!text.contains("acme") && !text.contains("initech"), "{text}");
}

#[test]
fn names_that_nobody_can_have_are_refused() {
    let rules = tenants("[tenants.'*']");
    let long = "x".repeat(257);
    for name in ["", "none", "a\0b", "a\nb", "\u{1b}[31m", " a", "a ", "\u{a0}a", &long, &"x".repeat(10_000)]
    {
        let error = rules.tenant(name).unwrap_err();
        assert_eq!(error.sqlstate, "28000");
        let shown = error.to_string();
        assert!(shown.len() < 200 && !shown.chars().any(char::is_control), "{shown}");
    }
    for name in ["'; DROP TABLE x; --", "a\\b", "a\"b", "аcme", "ä".repeat(128).as_str(), "*", "!a"] {
        assert_eq!(&*rules.tenant(name).unwrap().id, name);
    }
}

#[test]
fn tenants_without_an_entry_follow_the_rules_of_the_star() {
    let uuid = "6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a10";
    let rules = tenants(&format!(
        "denied=['00000000-*']\n[tenants.'*']\nid_format='uuid'\nweight=3\n[tenants.acme]\nid='{uuid}'\n"
    ));
    assert_eq!(&*rules.tenant("acme").unwrap().id, uuid);
    // The id of a tenant with an entry is no second name for it.
    assert!(rules.tenant(uuid).is_err() && rules.tenant(&uuid.to_uppercase()).is_err());
    let other = rules.tenant("7F1C2B9E-0C1E-4A57-8F0E-6F0F4D3B2A10").unwrap();
    assert_eq!((&*other.name, other.config.weight), ("7f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a10", 3));
    assert!(rules.tenant("globex").is_err());
    assert!(rules.tenant("00000000-0c1e-4a57-8f0e-6f0f4d3b2a10").is_err());
    assert!(tenants("").tenant("acme").is_err());
    // Without a format, spellings of an id that a cast would read as the same are none either.
    let rules = tenants("[tenants.'*']\n[tenants.acme]\nid='7'\n[tenants.globex]\nid='Zoo'");
    for name in ["7", "07", "+7", "zoo", "ZOO"] {
        assert!(rules.tenant(name).is_err(), "{name}");
    }
    assert!(rules.tenant("8").is_ok() && rules.tenant("Acme").is_ok());
}

#[test]
fn places_are_made_of_names() {
    let rules = tenants("[tenants.'*']\nplacement='schema'\nsearch_path='{tenant}, public'");
    assert_eq!(rules.tenant("a\"b").unwrap().search_path.as_deref(), Some("\"a\"\"b\", \"public\""));
    for name in ["pg_temp", "$user", "information_schema", &"x".repeat(64)] {
        assert!(rules.tenant(name).is_err(), "{name}");
    }
    let rules = tenants(
        "[tenants.'*']\nplacement='database'\ndatabase='db_{tenant}'\n[tenants.acme]\nplacement='database'\ndatabase='db_zoo'\n",
    );
    assert_eq!(rules.tenant("a").unwrap().database.as_deref(), Some("db_a"));
    assert_eq!(rules.tenant("acme").unwrap().database.as_deref(), Some("db_zoo"));
    // That one is acme's.
    assert!(rules.tenant("zoo").is_err());
    assert!(rules.tenant(&"x".repeat(61)).is_err() && rules.tenant(&"x".repeat(60)).is_ok());
}

#[test]
fn settings_stand_in_their_order() {
    let (config, rules) = {
        let text = "[tenancy]\ncontext={a='app.a',b='app.b'}\nprotected=['search_path']\n[tenants.acme]\nid='7'\nplacement='schema'\n\
                    search_path='s'\nstatement_timeout='1m 1ms'\nrole='tenant_role'\nsettings={work_mem='1MB'}\n\
                    [databases.app]\nhost='h'\n[users.app]\npassword='p'\n";
        let config = load(text);
        let rules = Rules::new(Arc::clone(config.tenancy.as_ref().unwrap()));
        (config, rules)
    };
    let none = Claims::default();
    let from_user = claims("acme", &[("b", "2")]);
    let identity = Identity::at_login(&rules, &config.users["app"], &from_user, &none, &none).unwrap();
    let who = identity.who(&rules, &NONE).unwrap();
    let tenant = rules.tenant(who.tenant.as_deref().unwrap()).unwrap();
    let resolved = [("app.org".to_owned(), "o".to_owned())];
    let pairs = settings(&rules, None, Some(&tenant), &who, &resolved);
    let wanted = [
        ("app.tenant_id", "7"),
        ("app.b", "2"),
        ("app.org", "o"),
        ("search_path", "\"s\""),
        ("statement_timeout", "60001ms"),
        ("work_mem", "1MB"),
        ("role", "tenant_role"),
    ];
    let found: Vec<(&str, &str)> =
        pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, wanted);
    let with_own = settings(&rules, Some("own"), Some(&tenant), &who, &resolved);
    assert_eq!(with_own.last().unwrap().1, "own");
    assert_eq!(settings(&rules, Some("own"), None, &Who::default(), &[]).len(), 1);
    assert!(settings(&rules, None, None, &Who::default(), &[]).is_empty());
    // Whatever is set is protected.
    let names = protected(&rules, Some(&tenant));
    assert!(
        names.is_sorted()
            && wanted.iter().all(|(name, _)| *name == "app.org" || names.contains(&(*name).to_owned()))
    );
    assert!(!protected(&rules, None).contains(&"work_mem".to_owned()));
}

#[test]
fn a_missing_tenant_is_told_with_the_ways_to_name_one() {
    let (config, rules) = house("identify=['user','set']");
    let none = Claims::default();
    let identity = Identity::at_login(&rules, &config.users["app"], &none, &none, &none).unwrap();
    let who = identity.who(&rules, &NONE).unwrap();
    assert!(who.required);
    let error = who.missing_error(&rules);
    let hint = error.hint.as_deref().unwrap();
    assert_eq!(error.sqlstate, "28000");
    assert!(hint.contains("{user}.{tenant}") && hint.contains("SET howdah.tenant"), "{hint}");
    assert!(!hint.contains("options") && !hint.contains("/*"), "{hint}");
}

#[test]
fn signatures_are_those_of_the_contract() {
    let signer = Signer::new(b"0123456789abcdef0123456789abcdef");
    for (id, pid, now, tag) in KAT {
        assert_eq!(signer.sign(id, pid, now), format!("v1.{now}.{tag}"));
    }
    let all = [("a", 1, 1), ("b", 1, 1), ("a", 2, 1), ("a", 1, 2), ("1|a", 1, 1)]
        .map(|(id, pid, now)| signer.sign(id, pid, now));
    for (at, one) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(one));
    }
    assert_ne!(Signer::new(&[7; 32]).sign("a", 1, 1), all[0]);
    assert!(!format!("{signer:?}").contains("0123"));
}

/// What a client can do, for comparing with a model.
#[derive(Clone, Debug)]
enum Step {
    Set(usize, bool),
    Reset,
    ResetAll,
    Begin,
    End(bool),
    Ask(Option<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_usize, any::<bool>()).prop_map(|(name, local)| Step::Set(name, local)),
        Just(Step::Reset),
        Just(Step::ResetAll),
        Just(Step::Begin),
        any::<bool>().prop_map(Step::End),
        prop::option::of(0..3_usize).prop_map(Step::Ask),
    ]
}

const NAMES: [&str; 3] = ["acme", "globex", "gone"];

proptest! {
    /// What SET leaves is what Postgres would have left, transaction by transaction; and a comment or SET is
    /// accepted exactly when it agrees with everything stronger.
    #[test]
    fn identity_does_what_a_model_does(
        order in Just(Source::WORDS.map(|(_, source)| source).to_vec()).prop_shuffle(),
        came in prop::option::of((0..3_usize, 0..3_usize)),
        steps in prop::collection::vec(step(), 0..24),
    ) {
        let words: Vec<String> = order.iter().map(|source| format!("'{}'", source.word())).collect();
        let (config, rules) = house(&format!("identify=[{}]", words.join(",")));
        let mut said = [Claims::default(), Claims::default(), Claims::default()];
        if let Some((name, source)) = came {
            said[source] = claims(NAMES[name], &[]);
        }
        let mut it = Identity::at_login(&rules, &config.users["app"], &said[0], &said[1], &said[2]).unwrap();
        let strength = |source| order.iter().position(|other| *other == source).unwrap();
        let came = came.map(|(name, source)| {
            (NAMES[name], strength([Source::User, Source::Database, Source::Option][source]))
        });
        let (set, comment) = (strength(Source::Set), strength(Source::Comment));
        let (mut session, mut local, mut before, mut open) = (None, None, None, false);
        for step in steps {
            match step {
                Step::Set(name, is_local) => {
                    let name = NAMES[name];
                    let fine = came.is_none_or(|(other, strong)| strong > set || other == name);
                    prop_assert_eq!(it.set(&rules, "tenant", name, is_local).is_ok(), fine);
                    match (fine, is_local, open) {
                        (true, true, true) => local = Some(name),
                        (true, false, _) => (session, local) = (Some(name), None),
                        _ => {}
                    }
                }
                Step::Reset => {
                    it.reset(&rules, "tenant").unwrap();
                    (session, local) = (None, None);
                }
                Step::ResetAll => {
                    it.reset_all();
                    (session, local) = (None, None);
                }
                Step::Begin if !open => {
                    it.begin_transaction();
                    (open, before) = (true, session);
                }
                Step::End(committed) if open => {
                    it.end_transaction(committed);
                    (open, local) = (false, None);
                    if !committed {
                        session = before;
                    }
                }
                Step::Begin | Step::End(_) => {}
                Step::Ask(mark) => {
                    let said = local.or(session);
                    let holds = said.or(came.map(|(name, _)| name));
                    let mark = mark.map(|name| NAMES[name]);
                    let refused = mark.filter(|_| mark != holds).is_some_and(|mark| {
                        came.is_some_and(|(name, strong)| strong < comment && name != mark)
                            || said.is_some_and(|name| set < comment && name != mark)
                    });
                    let marks: Vec<(&str, &str)> = mark.iter().map(|mark| ("tenant", *mark)).collect();
                    match it.who(&rules, &marks) {
                        Err(error) => prop_assert!(refused, "{error}"),
                        Ok(who) => {
                            prop_assert!(!refused);
                            prop_assert_eq!(who.tenant.as_deref(), mark.or(holds));
                            prop_assert_eq!(who.required, who.tenant.is_none());
                        }
                    }
                }
            }
        }
    }

    /// Whatever a client says, it has a tenant that it may use, or none.
    #[test]
    fn no_login_gets_a_tenant_that_is_not_its_own(
        user in prop::sample::select(vec!["app", "few", "one", "admin"]),
        names in prop::collection::vec("acme|globex|gone|initech|none|ACME|\\PC{0,12}", 5),
    ) {
        let (config, rules) = house("denied=['initech']");
        let user = &config.users[user];
        let [a, b, c, d, e] = names.as_slice() else { unreachable!() };
        let logins = [claims("", &[]), claims(a, &[])];
        for said in &logins {
            let none = Claims::default();
            let Ok(mut it) = Identity::at_login(&rules, user, said, &none, &none) else { continue };
            for name in [b, c] {
                let _ = it.set(&rules, "tenant", name, false);
                let marks = [("tenant", d), ("tenant", e)];
                let who = it.who(&rules, if d == e { &marks } else { &marks[..1] });
                if let Some(tenant) = who.ok().and_then(|who| who.tenant) {
                    prop_assert!(user.tenants.allows(&tenant) && rules.tenant_of(user, &tenant).is_ok());
                }
            }
        }
    }

    /// No name finds another tenant's rows.
    #[test]
    fn no_name_has_the_id_of_a_tenant_with_an_entry(name in "[+-]?0{0,2}7|[aA]b|\\{?[fF]{8}-?f{4}-?f{4}-?f{4}-?f{12}\\}?|\\PC{0,6}") {
        let rules = tenants("[tenants.'*']\n[tenants.x]\nid='7'\n[tenants.y]\nid='ab'\n[tenants.z]\nid='ffffffff-ffff-ffff-ffff-ffffffffffff'");
        if let Ok(tenant) = rules.tenant(&name) {
            let ids = ["7", "ab", "ffffffffffffffffffffffffffffffff"];
            prop_assert!(["x", "y", "z"].contains(&name.as_str()) || !ids.contains(&folded_id(&tenant.id).as_str()));
        }
    }

    /// Errors are short and clean, whatever was typed.
    #[test]
    fn errors_are_short_and_clean(name in "(?s).{0,400}", key in "(?s).{0,400}") {
        let (config, rules) = house("context={a='app.a'}");
        let none = Claims::default();
        let mut it = Identity::at_login(&rules, &config.users["few"], &none, &none, &none).unwrap();
        let option = format!("howdah.{key}");
        let errors = [
            it.set(&rules, "tenant", &name, false).err(),
            it.set(&rules, &key, &name, false).err(),
            it.set(&rules, "a", &name, false).err(),
            it.who(&rules, &[("tenant", &name), ("a", &key)]).err(),
            rules.read_options([(option.as_str(), name.as_str())].into_iter()).err(),
        ];
        for error in errors.into_iter().flatten() {
            let shown = format!("{error} {}", error.hint.as_deref().unwrap_or(""));
            prop_assert!(shown.len() < 700 && !shown.chars().any(char::is_control), "{}", shown);
        }
    }
}
