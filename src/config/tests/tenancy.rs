//! `[tenancy]`, `[tenants]`, users' tenants, and the patterns.

use super::*;

/// What stands before each text here: a good rest, and a database more.
const REST: &str = "[databases.app]\nhost='h'\n[databases.b]\nhost='h'\n[users.u]\npassword='hunter2'\n";

fn tenancy(text: &str) -> Tenancy {
    let config = good(&format!("{text}\n{REST}"));
    (**config.tenancy.as_ref().unwrap()).clone()
}

fn rule(key: &str) -> TenantRule {
    let text = format!("{REST}{key}\n[tenancy]\n[tenants.acme]\n[tenants.globex]\n");
    good(&text).users["u"].tenants.clone()
}

/// (text put before the rest, line, column, words of the error)
const MISTAKES: &[(&str, usize, usize, &[&str])] = &[
    ("[tenants.acme]", 1, 10, &["there are tenants, but no [tenancy]"]),
    ("[tenancy]\nseting = 'a.b'", 2, 1, &["unknown key `seting`", "did you mean `setting`?"]),
    ("[tenancy]\nsetting = 'tenant'", 2, 11, &["cannot be used as `setting`", "with a dot"]),
    ("[tenancy]\nsetting = 'app.'", 2, 11, &["cannot be used as `setting`"]),
    ("[tenancy]\nsetting = 'app.a; DROP'", 2, 11, &["cannot be used as `setting`"]),
    ("[tenancy]\nsetting = 'Howdah.tenant'", 2, 11, &["Howdah's own"]),
    ("[tenancy]\nidentify = []", 2, 12, &["nothing could say who the tenant is"]),
    ("[tenancy]\nidentify = ['set', 'set']", 2, 20, &["\"set\" is there twice", "c.toml:2:13"]),
    ("[tenancy]\nidentify = ['sett']", 2, 13, &["`sett` is not a valid `identify`", "did you mean \"set\"?"]),
    ("[tenancy]\nidentify = 'set'", 2, 12, &["must be a list of words, not a string", "\"comment\"]"]),
    ("[tenancy]\nidentify = [1]", 2, 13, &["must be a word in quotes"]),
    ("[tenancy]\nuser_pattern = '{user}{tenant}'", 2, 16, &["nothing between them", "{user}.{tenant}"]),
    ("[tenancy]\nuser_pattern = '{user}.x'", 2, 16, &["it lacks {tenant}"]),
    ("[tenancy]\nuser_pattern = '{tenant}'", 2, 16, &["it lacks {user}"]),
    ("[tenancy]\nuser_pattern = '{database}.{tenant}'", 2, 16, &["neither {user} nor {tenant}"]),
    ("[tenancy]\nuser_pattern = '{user}.{tenant}.{user}'", 2, 16, &["a placeholder is there twice"]),
    ("[tenancy]\nuser_pattern = '{user}.{tenant}[:{user_id}]'", 2, 16, &["nor a key of [tenancy.context]"]),
    ("[tenancy]\nuser_pattern = '{user}.{tenant'", 2, 16, &["not closed"]),
    ("[tenancy]\nuser_pattern = '{user}.{tenant}[:x'", 2, 16, &["must be the end of it"]),
    ("[tenancy]\nuser_pattern = '{user}.{tenant}[:x]'", 2, 16, &["no key of [tenancy.context]"]),
    ("[tenancy]\nuser_pattern = '{user}[.{tenant}]'", 2, 16, &["no key of [tenancy.context]"]),
    ("[tenancy]\ncontext.k='a.k'\nuser_pattern = '{user}[.{tenant}:{k}]'", 3, 16, &["it lacks {tenant}"]),
    ("[tenancy]\ncontext.k='a.k'\nuser_pattern = '{user}.{tenant}[{k}]'", 3, 16, &["must begin with a text"]),
    ("[tenancy]\ndatabase_pattern = '{user}@{tenant}'", 2, 20, &["`database_pattern` is not a pattern"]),
    ("[tenancy]\non_missing = 'allow'", 2, 14, &["refuse, none"]),
    ("[tenancy]\non_dynamic_sql = 'none'", 2, 18, &["allow, refuse"]),
    ("[tenancy]\nprotected = ['a b']", 2, 14, &["`a b` is not the name of a setting"]),
    ("[tenancy]\ndenied = 'x'", 2, 10, &["must be a list of strings"]),
    ("[tenancy.context]\ntenant = 'app.t'", 2, 1, &["`tenant` cannot be a key of the context"]),
    ("[tenancy.context]\nUser = 'app.t'", 2, 1, &["lower case letters"]),
    ("[tenancy.context]\nuser_id = 'user_id'", 2, 11, &["cannot be used as `user_id`"]),
    ("[tenancy.context]\nuser_id = 5", 2, 11, &["must be a string"]),
    ("[tenancy.context]\na = 'app.x'\nb = 'APP.x'", 3, 5, &["`app.x` would be set twice", "c.toml:2:5"]),
    ("[tenancy.context]\na = 'app.tenant_id'", 2, 5, &["would be set twice"]),
    ("[[tenancy.resolvers]]\nquery='q'\nset={'a.b'='c'}", 1, 1, &["a resolver has no `name`"]),
    ("[[tenancy.resolvers]]\nname='n'\nset={'a.b'='c'}", 1, 1, &["a resolver has no `query`"]),
    ("[[tenancy.resolvers]]\nname='n'\nquery='q'", 1, 1, &["a resolver has no `set`"]),
    ("[[tenancy.resolvers]]\nname='n'\nquery='q'\nset={role='c'}", 4, 6, &["`role` cannot be used as `set`"]),
    (
        "[[tenancy.resolvers]]\nname='n'\nquery='q'\nset={a.b='c'}",
        4,
        6,
        &["a name with a dot stands in quotes"],
    ),
    ("[[tenancy.resolvers]]\nname='n'\nquery='q'\nset={'a.b'=''}", 4, 12, &["column is empty"]),
    ("[[tenancy.resolvers]]\nname='n'\nquery='q'\nset={'app.tenant_id'='c'}", 4, 6, &["would be set twice"]),
    (
        "[[tenancy.resolvers]]\nname='n'\nquery='q'\nparams=['x']\nset={'a.b'='c'}",
        4,
        9,
        &["`x` is not known before this resolver runs", "valid here: tenant"],
    ),
    // A column of its own is not known before it runs.
    (
        "[[tenancy.resolvers]]\nname='n'\nquery='q'\nparams=['c']\nset={'a.b'='c'}",
        4,
        9,
        &["is not known before"],
    ),
    (
        "[[tenancy.resolvers]]\nname='n'\nquery='q'\nset={'a.b'='c','a.c'='c'}\n[[tenancy.resolvers]]\nname='m'\nquery='q'\nparams=['c']\nset={'a.d'='c'}",
        8,
        9,
        &["could be two things"],
    ),
    (
        "[[tenancy.resolvers]]\nname='n'\nquery='q'\nset={'a.b'='c'}\n[[tenancy.resolvers]]\nname='n'\nquery='q'\nset={'a.d'='c'}",
        6,
        6,
        &["two resolvers `n`", "c.toml:2:6"],
    ),
    (
        "[[tenancy.resolvers]]\nname='n'\nquery='q'\nset={'a.b'='c'}\ndatabase='c'",
        5,
        10,
        &["there is no database `c`", "valid here: app, b"],
    ),
    (
        "[[tenancy.resolvers]]\nname='n'\nquery='q'\nset={'a.b'='c'}\nrequired='yes'",
        5,
        10,
        &["must be true or false, not a string"],
    ),
    ("[tenancy]\nresolvers = 5", 2, 13, &["must be a list of tables"]),
    ("[tenancy]\nresolvers = [5]", 2, 14, &["must be a list of tables"]),
    ("[tenancy.signature]", 1, 1, &["has no key"]),
    ("[tenancy.signature]\nkey_file='nofile'", 2, 10, &["cannot read `key_file`: no such file", "32 bytes"]),
    ("[tenancy.signature]\nkey_file='pw'", 2, 10, &["has 12 bytes"]),
    ("[tenancy.signature]\nkey_file='key'\nvalid_for='0s'", 3, 11, &["valid for a time"]),
    ("[tenancy.signature]\nkey_file='key'\nvalid_for='1s'", 3, 11, &["valid for a time"]),
    ("[tenancy]\n[tenants.none]", 2, 10, &["cannot be called `none`"]),
    ("[tenancy]\n[tenants.'a*']", 2, 10, &["mean something in lists"]),
    ("[tenancy]\n[tenants.'!a']", 2, 10, &["mean something in lists"]),
    ("[tenancy]\n[tenants.' a']", 2, 10, &["spaces around it"]),
    ("[tenancy]\n[tenants.\"a\\nb\"]", 2, 10, &["control characters"]),
    ("[tenancy]\n[tenants.'*']\nid='x'", 3, 4, &["`id` cannot stand in [tenants.\"*\"]"]),
    (
        "[tenancy]\n[tenants.a]\nid='x'\n[tenants.b]\nid='X'",
        5,
        4,
        &["two tenants have the id `X`", "c.toml:3:4"],
    ),
    ("[tenancy]\n[tenants.a]\nid='b'\n[tenants.b]", 4, 10, &["two tenants have the id `b`"]),
    ("[tenancy]\n[tenants.a]\nid='07'\n[tenants.b]\nid='7'", 5, 4, &["two tenants have the id"]),
    (
        "[tenancy]\n[tenants.a]\nid_format='int'",
        3,
        11,
        &["`int` is not a valid `id_format`", "uuid, integer"],
    ),
    ("[tenancy]\n[tenants.a]\nid_format='a('", 3, 11, &["not a regular expression"]),
    ("[tenancy]\n[tenants.a]\nid_format='a)|(b'", 3, 11, &["not a regular expression"]),
    ("[tenancy]\n[tenants.a]\nid_format='(a{1000}){1000}'", 3, 11, &["too large"]),
    ("[tenancy]\n[tenants.a]\nid_format='uuid'\nid='7'", 4, 4, &["does not fit `id_format`", "c.toml:3:11"]),
    ("[tenancy]\n[tenants.a]\nid_format='integer'", 2, 10, &["the id `a` does not fit"]),
    ("[tenancy]\n[tenants.a]\nplacement='schemas'", 3, 11, &["did you mean \"schema\"?"]),
    ("[tenancy]\n[tenants.a]\nplacement='schema'", 3, 11, &["needs `search_path`"]),
    ("[tenancy]\n[tenants.a]\nsearch_path='a'", 3, 13, &["without placement = \"schema\""]),
    (
        "[tenancy]\n[tenants.a]\nplacement='schema'\nsearch_path='a,,b'",
        4,
        13,
        &["`search_path` is not valid"],
    ),
    ("[tenancy]\n[tenants.a]\nplacement='schema'\nsearch_path='a b'", 4, 13, &["stands a comma"]),
    ("[tenancy]\n[tenants.a]\nplacement='schema'\nsearch_path='\"a'", 4, 13, &["not closed"]),
    ("[tenancy]\n[tenants.a]\nplacement='schema'\nsearch_path='\"\"'", 4, 13, &["is empty"]),
    ("[tenancy]\n[tenants.a]\nplacement='schema'\nsearch_path='a;x'", 4, 13, &["in double quotes"]),
    ("[tenancy]\n[tenants.a]\nplacement='schema'\nsearch_path='t_{tenant}'", 4, 13, &["in double quotes"]),
    ("[tenancy]\n[tenants.'*']\nplacement='schema'\nsearch_path='a'", 4, 13, &["would share", "{tenant}"]),
    ("[tenancy]\n[tenants.a]\nplacement='database'", 3, 11, &["needs `database`"]),
    ("[tenancy]\n[tenants.a]\ndatabase='b'", 3, 10, &["without placement = \"database\""]),
    (
        "[tenancy]\n[tenants.a]\nplacement='database'\ndatabase='c'",
        4,
        10,
        &["there is no database `c`", "valid here: app, b"],
    ),
    ("[tenancy]\n[tenants.a]\nplacement='database'\ndatabase='howdah'", 4, 10, &["there is no database"]),
    (
        "[tenancy]\n[tenants.'*']\nplacement='database'\ndatabase='d_{tenant}'",
        4,
        10,
        &["needs [databases.\"*\"]"],
    ),
    ("[tenancy]\n[tenants.a]\nweight=0", 3, 8, &["from 1 to 1000"]),
    ("[tenancy]\n[tenants.a]\nweight=1001", 3, 8, &["from 1 to 1000"]),
    ("[tenancy]\n[tenants.a]\nmax_client_conn='5'", 3, 17, &["must be a whole number"]),
    ("[tenancy]\n[tenants.a]\nstatement_timeout=5", 3, 19, &["write a unit"]),
    ("[tenancy]\n[tenants.a]\nstatement_timeout='500us'", 3, 19, &["whole milliseconds"]),
    ("[tenancy]\n[tenants.a]\nstatement_timeout='30d'", 3, 19, &["at most \"24d\""]),
    ("[tenancy]\n[tenants.a]\nsettings={ROLE='x'}", 3, 11, &["`role` is protected"]),
    ("[tenancy]\n[tenants.a]\nsettings={'app.tenant_id'='x'}", 3, 11, &["`app.tenant_id` is protected"]),
    ("[tenancy]\n[tenants.a]\nsettings={'howdah.x'='x'}", 3, 11, &["is protected"]),
    ("[tenancy]\n[tenants.a]\nsettings={work_mem='1',WORK_MEM='2'}", 3, 11, &["would be set twice"]),
    (
        "[tenancy]\n[tenants.a]\nstatement_timeout='5s'\nsettings={statement_timeout='6s'}",
        4,
        11,
        &["would be set twice"],
    ),
    ("[tenancy]\n[tenants.a]\nsettings={work_mem=5}", 3, 20, &["must be a string"]),
    ("[tenancy]\n[tenants.a]\nsettings={'a b'='5'}", 3, 11, &["not the name of a setting"]),
    ("[tenancy]\n[tenants]\na=5", 3, 1, &["must be a table", "[tenants.a]"]),
    ("[users.v]\npassword='x'\ntenants='*'", 3, 9, &["`tenants` without [tenancy]"]),
    ("[users.v]\npassword='x'\ntenant='none'", 3, 8, &["`tenant` without [tenancy]"]),
    ("[users.v]\npassword='x'\nrole='r'", 3, 6, &["`role` without [tenancy]"]),
    ("[tenancy]\n[users.v]\npassword='x'\ntenant='acme'", 4, 8, &["no tenant `acme`", "no tenant yet"]),
    ("[tenancy]\n[tenants.a]\n[users.v]\npassword='x'\ntenants=['b']", 5, 10, &["valid here: a"]),
    (
        "[tenancy]\n[tenants.'*']\nid_format='uuid'\n[users.v]\npassword='x'\ntenants=['*','!b']",
        6,
        14,
        &["there is no tenant `b`", "id_format \"uuid\""],
    ),
    ("[tenancy]\n[tenants.'*']\n[users.v]\npassword='x'\ntenants=['none']", 5, 10, &["no tenant `none`"]),
    ("[tenancy]\n[tenants.'*']\n[users.v]\npassword='x'\ntenants=[]", 5, 9, &["allows no tenant"]),
    ("[tenancy]\n[tenants.'*']\n[users.v]\npassword='x'\ntenants=['!a']", 5, 9, &["[\"*\", \"!name\"]"]),
    ("[tenancy]\n[tenants.'*']\n[users.v]\npassword='x'\ntenants=5", 5, 9, &["must be a list of strings"]),
    ("[tenancy]\n[tenants.'*']\n[users.v]\npassword='x'\ntenant='*'", 5, 8, &["names one tenant"]),
    (
        "[tenancy]\n[tenants.'*']\n[users.v]\npassword='x'\ntenant='a'\ntenants=['a']",
        5,
        8,
        &["contradict each other", "c.toml:6:9"],
    ),
    (
        "[tenancy]\nidentify=['set']\n[tenants.a]\n[users.v]\npassword='x'\ntenant='a'",
        6,
        8,
        &["`tenant` needs \"login\" in identify"],
    ),
    (
        "[tenancy]\n[users.'u.b']\npassword='x'",
        2,
        8,
        &["`u.b` has two readings", "`u` with the tenant `b`", "leave \"user\" out"],
    ),
    ("[tenancy]\n[databases.'b@x']\nhost='h'", 2, 12, &["`b@x` has two readings", "`b` with the tenant `x`"]),
];

#[test]
fn mistakes_of_tenancy_are_told_with_their_place() {
    let mut wrong = String::new();
    for (extra, line, column, words) in MISTAKES {
        let text = format!("{extra}\n{REST}");
        let Err(errors) = try_text(&text) else {
            let _ = writeln!(wrong, "{extra}\n--- was not refused");
            continue;
        };
        let error = errors.iter().next().unwrap();
        let shown = errors.to_string();
        let placed = (error.line, error.column) == (*line, *column) && errors.len() == 1;
        if !placed || shown.contains(SECRET) || !words.iter().all(|word| shown.contains(word)) {
            let _ = writeln!(wrong, "{extra}\n--- wanted at {line}:{column} {words:?}\n{shown}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_defaults_of_tenancy_are_those_of_the_contract() {
    let tenancy = tenancy("[tenancy]");
    assert_eq!(tenancy.setting, "app.tenant_id");
    assert_eq!(tenancy.identify, Source::WORDS.map(|(_, source)| source));
    assert_eq!(tenancy.user_pattern.as_str(), "{user}.{tenant}");
    assert_eq!(tenancy.database_pattern.as_str(), "{database}@{tenant}");
    assert_eq!((tenancy.on_missing, tenancy.on_dynamic_sql), (OnMissing::Refuse, OnDynamicSql::Allow));
    assert_eq!(tenancy.channels, Channels::Refuse);
    assert_eq!(tenancy.protected, ["app.tenant_id", "role", "session_authorization"]);
    assert!(tenancy.denied.is_empty() && tenancy.signature.is_none() && tenancy.any_tenant.is_none());
    assert_eq!(good(GOOD).tenancy, None);
}

/// Everything that `[tenancy]` can say.
const ALL: &str = r#"
[tenancy]
setting = "App.Tenant"
identify = ["set", "login"]
user_pattern = "{tenant}/{user}[:{user_id}]"
database_pattern = "{database}#{tenant}"
on_missing = "none"
protected = ["Search_Path"]
denied = ["test-*"]
on_dynamic_sql = "refuse"
context = { user_id = "app.user_id" }
[[tenancy.resolvers]]
name = "membership"
query = "SELECT org_id FROM m WHERE user_id = $1"
params = ["user_id", "tenant"]
set = { "app.org_id" = "org" }
ttl = "5s"
[[tenancy.resolvers]]
name = "plan"
query = "SELECT p FROM plans WHERE org_id = $1 AND x = $2"
params = ["org", "app.ORG_id"]
set = { "app.plan" = "p" }
ttl = "1h"
negative_ttl = "0s"
required = false
database = "b"
[tenancy.signature]
key_file = "key"
valid_for = "2m"
[tenants."*"]
id_format = "[a-z]{3}"
placement = "schema"
search_path = 'T_{tenant}, "x{tenant}""", Public'
[tenants.acme]
id = "6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a10"
id_format = "uuid"
max_server_connections = 15
max_client_conn = 0
weight = 4
transactions_per_second = 500
connects_per_second = 50
statement_timeout = "5s"
role = "authenticated"
settings = { Work_Mem = "64MB" }
[tenants.initech]
placement = "database"
database = "b"
statement_timeout = "0s"
"#;

#[test]
fn everything_typed_of_tenancy_arrives() {
    let tenancy = tenancy(ALL);
    assert_eq!(tenancy.setting, "app.tenant");
    assert_eq!(tenancy.identify, [Source::Set, Source::Login]);
    assert!(tenancy.takes(Source::Set) && !tenancy.takes(Source::Comment));
    let protected = [
        "app.org_id",
        "app.plan",
        "app.tenant",
        "app.user_id",
        "role",
        "search_path",
        "session_authorization",
    ];
    assert_eq!(tenancy.protected, protected);
    assert_eq!(tenancy.context["user_id"], "app.user_id");
    let [first, second] = tenancy.resolvers.as_slice() else { panic!("{:?}", tenancy.resolvers) };
    assert_eq!(first.params, [Arc::from("user_id"), Arc::from("tenant")]);
    assert_eq!((first.ttl, first.negative_ttl), (Duration::from_secs(5), Duration::from_secs(5)));
    assert!(first.required && !second.required && first.database.is_none());
    // By column or by setting, it is the setting.
    assert_eq!(second.params, [Arc::from("app.org_id"), Arc::from("app.org_id")]);
    assert_eq!((second.negative_ttl, second.database.as_deref()), (Duration::ZERO, Some("b")));
    let signature = tenancy.signature.as_ref().unwrap();
    assert_eq!(signature.key.expose_secret(), b"hunter2-hunter2-hunter2-hunter2-");
    assert_eq!(signature.valid_for, Duration::from_secs(120));
    let acme = &tenancy.tenants["acme"];
    assert_eq!((acme.max_server_connections, acme.max_client_conn), (Some(15), None));
    assert_eq!((acme.transactions_per_second, acme.connects_per_second), (Some(500), Some(50)));
    assert_eq!((acme.weight, acme.statement_timeout), (4, Some(Duration::from_secs(5))));
    assert_eq!(acme.settings, [("work_mem".to_owned(), "64MB".to_owned())]);
    let initech = &tenancy.tenants["initech"];
    assert_eq!(initech.database_of("initech").as_deref(), Some("b"));
    assert_eq!((initech.weight, initech.statement_timeout), (1, None));
    let any = tenancy.any_tenant.unwrap();
    let path = any.search_path_of("a\"c").unwrap().unwrap();
    assert_eq!(path, "\"t_a\"\"c\", \"xa\"\"c\"\"\", \"public\"");
}

#[test]
fn what_was_understood_of_tenancy_is_described_without_the_key() {
    let text = format!(
        "{ALL}{REST}tenants=['a*','acme','!abc']\n[users.one]\npassword='p'\ntenant='acme'\nrole='r'\n[users.no]\npassword='p'\ntenant='none'\n"
    );
    let config = good(&text);
    let shown = describe(&config);
    assert!(!shown.contains(SECRET) && !format!("{config:?}").contains(SECRET), "{shown}");
    for line in [
        "tenants = [\"a*\", \"acme\", \"!abc\"]",
        "tenant = \"acme\"\nrole = \"r\"",
        "tenant = \"none\"",
        "[[tenancy.resolvers]]",
        "set = { \"app.plan\" = \"p\" }",
        "id_format = \"[a-z]{3}\"",
        "[tenants.\"*\"]\n# id: the tenant's name",
        "settings = { \"work_mem\" = \"64MB\" }",
        "max_client_conn = 0",
    ] {
        assert!(shown.contains(line), "lacks {line}:\n{shown}");
    }
    // The key file's path is absolute in there, and its folder is gone by now.
    let key = config.tenancy.as_ref().unwrap().signature.as_ref().unwrap().key_file.display().to_string();
    let again = good(&shown.replace("\"***\"", "\"p\"").replace(&key, "key"));
    let (mut one, mut two) =
        ((**config.tenancy.as_ref().unwrap()).clone(), (**again.tenancy.as_ref().unwrap()).clone());
    (one.signature, two.signature) = (None, None);
    // The default is written out.
    two.tenants.get_mut("initech").map(|tenant| Arc::make_mut(tenant).id.take());
    assert_eq!(one, two);
    assert_eq!(config.users["u"].tenants, again.users["u"].tenants);
    assert_eq!(config.users["one"].role, again.users["one"].role);
    let none = describe(&good(&format!("[tenancy]\n{REST}")));
    assert!(none.contains("# tenants: none at all"), "{none}");
}

#[test]
fn users_say_which_tenants_they_may_use() {
    assert_eq!(rule(""), TenantRule::Any);
    assert!(rule("tenants = '*'").allows("whoever"));
    let some = rule("tenants = ['a*', 'globex', '!a-test*', '!acme']");
    for (name, allowed) in [("abc", true), ("globex", true), ("a-test", false), ("acme", false), ("x", false)]
    {
        assert_eq!(some.allows(name), allowed, "{name}");
    }
    let one = rule("tenant = 'acme'");
    assert_eq!(one, TenantRule::One("acme".into()));
    assert!(one.allows("acme") && !one.allows("globex"));
    assert_eq!(rule("tenant = 'none'"), TenantRule::Nobody);
    assert!(!TenantRule::Nobody.allows("none"));
}

#[test]
fn names_with_two_readings_are_fine_where_nobody_reads_them() {
    good(&format!("[tenancy]\nidentify=['set']\n[users.'u.b']\npassword='x'\n{REST}"));
    // This reads as the user `b` of the tenant `u`, and there is no user `b`.
    good(&format!("[tenancy]\nuser_pattern='{{tenant}}.{{user}}'\n[users.'u.b']\npassword='x'\n{REST}"));
}

#[test]
fn tenants_are_merged_from_files() {
    let main = format!("include = ['d/o.toml']\n[tenancy]\n[tenants.a]\n{REST}");
    let config = with_include(&main, "[tenants.b]\nweight=2\n").unwrap();
    assert_eq!(config.tenancy.unwrap().tenants["b"].weight, 2);
    let text = with_include(&main, "[tenants.a]\n[tenancy]\n").unwrap_err().to_string();
    for word in ["tenant `a` is defined in two files", "`[tenancy]` is defined in two files", "c.toml:3:10"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn the_example_loads_uncommented() {
    let text = include_str!("../../../config/howdah.toml");
    let (_, commented) = text.split_once("# Every transaction carries").unwrap();
    let is_toml = |line: &&str| {
        let line = line.trim_start_matches("# ");
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
    };
    let lines: Vec<&str> =
        commented.lines().filter(is_toml).map(|line| line.trim_start_matches("# ")).collect();
    let text = lines.join("\n").replace("tenant.key", "key").replace("follow.password", "pw");
    let others = "[databases.initech]\nhost='h'\n[users.ops]\npassword='p'\n[users.metrics]\npassword='p'\n";
    let config = good(&format!("{text}\n{REST}{others}"));
    let tenancy = config.tenancy.unwrap();
    assert_eq!((tenancy.tenants.len(), tenancy.resolvers.len(), tenancy.context.len()), (3, 1, 1));
    assert_eq!(*tenancy.identify, *self::tenancy("[tenancy]").identify);
    // What is shown of the cache are the defaults, but for what stands for a choice.
    let cache = config.cache.unwrap();
    assert_eq!(cache.rules.len(), 1);
    let follow = Follow { slot: None, user: None, password: None, ..cache.follow.clone() };
    assert_eq!(Cache { rules: Vec::new(), follow, ..(*cache).clone() }, Cache::default());
    assert_eq!(config.observe, Observe::default());
    assert!(config.admin.users.contains("ops") && config.admin.stats_users.contains("metrics"));
}

#[test]
fn id_formats_judge() {
    let table = [
        ("uuid", "6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a10", true),
        ("uuid", "6F1C2B9E-0C1E-4A57-8F0E-6F0F4D3B2A10", false),
        ("uuid", "6f1c2b9e0c1e4a578f0e6f0f4d3b2a10", false),
        ("uuid", "6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a1g", false),
        ("uuid", "6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a10\n", false),
        ("integer", "7", true),
        ("integer", "-7", true),
        ("integer", "07", false),
        ("integer", "+7", false),
        ("integer", "-0", false),
        ("integer", " 7", false),
        ("integer", "9223372036854775808", false),
        ("a|b", "a", true),
        ("a|b", "ab", false),
        ("a|b", "b\n", false),
        ("(?m)^a$", "a\nb", false),
        ("", "", true),
    ];
    for (format, id, fits) in table {
        if format.is_empty() {
            assert!(IdFormat::parse(format).is_err());
        } else {
            assert_eq!(IdFormat::parse(format).unwrap().fits(id), fits, "{format} {id}");
        }
    }
}

#[test]
fn ids_fold_as_postgres_reads_them() {
    let uuid = "6f1c2b9e0c1e4a578f0e6f0f4d3b2a10";
    for id in ["6f1c2b9e-0c1e-4a57-8f0e-6f0f4d3b2a10", "{6F1C2B9E0C1E4A578F0E6F0F4D3B2A10}"] {
        assert_eq!(folded_id(id), uuid);
    }
    for (id, folded) in
        [("007", "7"), ("+7", "7"), ("-07", "-7"), ("000", "0"), ("a-b", "a-b"), ("Acme", "acme"), ("-", "-")]
    {
        assert_eq!(folded_id(id), folded);
    }
}

#[test]
fn schemas_that_mean_something_else_are_no_tenants() {
    let text = "[tenancy]\n[tenants.'*']\nplacement='schema'\nsearch_path='{tenant}, \"$user\"'";
    let any = tenancy(text).any_tenant.unwrap();
    for name in ["$user", "pg_temp", "pg_catalog", "information_schema", "x".repeat(64).as_str()] {
        assert_eq!(any.search_path_of(name), Err(NoSchema), "{name}");
    }
    assert_eq!(any.search_path_of("a, b").unwrap().unwrap(), "\"a, b\", \"$user\"");
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text, "user", &|key| key == "uid" || key == "req").unwrap()
}

#[test]
fn patterns_read() {
    // (pattern, text, readings as base/tenant/context)
    let table: &[(&str, &str, &[&str])] = &[
        ("{user}.{tenant}", "app.acme", &["app/acme"]),
        ("{user}.{tenant}", "app.b.c", &["app/b.c", "app.b/c"]),
        ("{user}.{tenant}", "app", &[]),
        ("{user}.{tenant}", "app.", &[]),
        ("{user}.{tenant}", ".acme", &[]),
        ("{user}.{tenant}", "", &[]),
        ("{user}.{tenant}", "ä.ü", &["ä/ü"]),
        ("{user}.{tenant}[:{uid}]", "app.acme", &["app/acme"]),
        ("{user}.{tenant}[:{uid}]", "app.acme:42", &["app/acme/uid=42"]),
        // The tenant ends at the first colon, whatever is said after it.
        ("{user}.{tenant}[:{uid}]", "app.acme:4:2", &["app/acme/uid=4:2"]),
        ("{user}.{tenant}[:{uid}]", "app.acme:", &[]),
        ("{user}.{tenant}[:{uid}/{req}]", "app.acme:4/2", &["app/acme/uid=4/req=2"]),
        ("{user}.{tenant}[:{uid}/{req}]", "app.acme:4", &[]),
        ("{tenant}.{user}", "a.b.app", &["b.app/a"]),
        ("{tenant}.{user}[:{uid}]", "a.app:1", &["app/a/uid=1", "app:1/a"]),
        ("[{tenant}]", "", &[]),
        ("<{user}>{tenant}!", "<a>b!", &["a/b"]),
        ("<{user}>{tenant}!", "<a>b!c", &[]),
        ("{uid}+{user}--{tenant}", "1+a--b", &["a/b/uid=1"]),
    ];
    for (text, typed, wanted) in table {
        if text.starts_with('[') {
            assert!(Pattern::parse(text, "user", &|_| false).is_err());
            continue;
        }
        let pattern = pattern(text);
        let show = |reading: Reading<'_>| {
            let mut shown = format!("{}/{}", reading.base, reading.tenant);
            reading.context.iter().for_each(|(key, value)| _ = write!(shown, "/{key}={value}"));
            shown
        };
        let found: Vec<String> = pattern.readings(typed).map(show).collect();
        assert_eq!(found, *wanted, "{text} {typed}");
        assert_eq!(pattern.read(typed).map(show).as_deref(), wanted.first().copied(), "{text} {typed}");
    }
    assert_eq!(pattern("{user}.{tenant}").read(&format!("a.{}", "b".repeat(2000))), None);
}

proptest! {
    #[test]
    fn what_was_put_together_is_read(user in "[a-z.]{1,8}", tenant in "[a-z.ü]{1,8}", uid in "[a-z:.]{1,8}") {
        let pattern = pattern("{user}.{tenant}[:{uid}]");
        let with = format!("{user}.{tenant}:{uid}");
        let found = pattern.readings(&with).any(|r| r.base == user && r.tenant == tenant && r.context[0].1 == uid);
        prop_assert!(found);
        let without = format!("{user}.{tenant}");
        prop_assert!(pattern.readings(&without).any(|r| r.base == user && r.tenant == tenant));
    }

    #[test]
    fn a_base_has_one_reading(text in "[a.:]{0,24}") {
        let pattern = pattern("{user}.{tenant}[:{uid}]");
        let bases: Vec<&str> = pattern.readings(&text).map(|r| r.base).collect();
        let mut unique = bases.clone();
        unique.dedup();
        prop_assert_eq!(bases, unique);
    }

    #[test]
    fn globs_match_as_a_regular_expression_would(glob in "[ab*]{0,8}", text in "[ab]{0,10}") {
        let expression = format!("^{}$", glob.replace('*', ".*"));
        let wanted = regex::Regex::new(&expression).unwrap().is_match(&text);
        prop_assert_eq!(Glob::new(&glob).matches(&text), wanted, "{} {}", glob, text);
    }

    #[test]
    fn a_tenants_schema_is_one_schema(name in "\\PC{1,20}") {
        let template = search_path::join(&search_path::parse("t_{tenant}, public", true).unwrap());
        if let Some(path) = search_path::of_tenant(&template, &name) {
            let schemas = search_path::parse(&path, false);
            prop_assert_eq!(schemas, Ok(vec![format!("t_{name}"), "public".to_owned()]));
        }
    }
}
