//! `[cache]`, `[admin]` and `[observe]`.

use super::*;

/// What stands after each text here.
const REST: &str = "[databases.app]\nhost='h'\n[databases.b]\nhost='h'\n[users.u]\npassword='hunter2'\n";

fn cache(text: &str) -> Cache {
    (**good(&format!("{text}\n{REST}")).cache.as_ref().unwrap()).clone()
}

/// (text put before the rest, line, column, words of the error)
const MISTAKES: &[(&str, usize, usize, &[&str])] = &[
    ("cache = true", 1, 9, &["`cache` must be a table, not true or false"]),
    ("[cache]\nmax_memroy = '1GB'", 2, 1, &["did you mean `max_memory`?"]),
    ("[cache]\nmax_memory = 256", 2, 14, &["`max_memory` has no unit", "\"256MB\"; units are B, kB"]),
    ("[cache]\nmax_memory = 0.5", 2, 14, &["`max_memory` has no unit"]),
    ("[cache]\nmax_memory = true", 2, 14, &["must be a size in quotes, not true or false"]),
    ("[cache]\nmax_memory = 'lots'", 2, 14, &["not a valid size"]),
    ("[cache]\nmax_memory = '1.5GB'", 2, 14, &["not a valid size"]),
    ("[cache]\nmax_memory = '-1GB'", 2, 14, &["not a valid size"]),
    ("[cache]\nmax_memory = '256'", 2, 14, &["not a valid size"]),
    ("[cache]\nmax_memory = 'MB'", 2, 14, &["not a valid size"]),
    ("[cache]\nmax_memory = '99999999TB'", 2, 14, &["not a valid size"]),
    ("[cache]\nmax_memory = '1 parsec'", 2, 14, &["not a valid size"]),
    ("[cache]\nmax_memory = '1kB'", 2, 14, &["too small for a cache", "\"1MB\" and more"]),
    ("[cache]\nmax_memory = '0MB'", 2, 14, &["too small for a cache", "leave [cache] out"]),
    ("[cache]\nmax_entry = '10B'", 2, 13, &["too small for an answer", "\"1kB\" and more"]),
    ("[cache]\nmax_entry = '1GB'", 2, 13, &["`max_entry` is more than `max_memory`"]),
    ("[cache]\nmax_entry = '9MB'\nmax_memory = '8MB'", 2, 13, &["more than `max_memory`", "c.toml:3:14"]),
    ("[cache]\ndefault_ttl = 30", 2, 15, &["`default_ttl` has no unit", "write a unit: \"30s\""]),
    ("[cache]\ndefault_ttl = 'abc'", 2, 15, &["not a valid duration"]),
    ("[cache]\ndefault_ttl = '-1s'", 2, 15, &["not a valid duration"]),
    ("[cache]\ndefault_ttl = '9999d'", 2, 15, &["it is too long", "at most 366 days"]),
    ("[cache]\ndefault_ttl = '2d'", 2, 15, &["longer than max_ttl", "at most \"1day\""]),
    ("[cache]\ndefault_ttl = '0s'", 2, 15, &["`default_ttl` is zero", "leave [cache] out"]),
    ("[cache]\nmax_ttl = '0s'", 2, 11, &["`max_ttl` is zero"]),
    ("[cache]\ntenant_share = 50", 2, 16, &["must be a percentage in quotes, not a whole number"]),
    ("[cache]\ntenant_share = '50'", 2, 16, &["not a valid percentage", "from \"1%\" to \"100%\""]),
    ("[cache]\ntenant_share = '0%'", 2, 16, &["not a valid percentage"]),
    ("[cache]\ntenant_share = '101%'", 2, 16, &["not a valid percentage"]),
    ("[cache]\njitter = '60%'", 2, 10, &["not a valid percentage", "to \"50%\""]),
    ("[cache]\njitter = '-1%'", 2, 10, &["not a valid percentage"]),
    ("[cache]\njitter = '1.5%'", 2, 10, &["without decimals"]),
    ("[cache]\nwait = 'soon'", 2, 8, &["not a valid duration"]),
    ("[cache.rules]\nmatch = 'x'", 1, 1, &["`rules` must be a list of tables", "[[rules]]"]),
    ("[[cache.rules]]\nttl = '1s'", 1, 1, &["says not for which texts it is"]),
    ("[[cache.rules]]\nmatch = '*'", 2, 9, &["`*` would match everything", "like \"SELECT count(*)"]),
    ("[[cache.rules]]\nmatch = ''", 2, 9, &["would match everything"]),
    ("[[cache.rules]]\nmatch = '  '", 2, 9, &["would match everything"]),
    ("[[cache.rules]]\nmatch = 'SELECT *'", 2, 9, &["would match everything"]),
    ("[[cache.rules]]\nmatch = 'select * from * WHERE *'", 2, 9, &["would match everything"]),
    ("[[cache.rules]]\nmatch = 'SEL*'", 2, 9, &["would match everything"]),
    ("[[cache.rules]]\nmatch = '*; * ** (*)'", 2, 9, &["would match everything"]),
    ("[[cache.rules]]\nmatch = 'SELECT 1*'", 2, 9, &["would match everything"]),
    ("[[cache.rules]]\nmatch = ['x']", 2, 9, &["must be a string, not a list"]),
    ("[[cache.rules]]\nfingerprint = 'xyz'", 2, 15, &["`xyz` is not a fingerprint", "16 hex digits"]),
    ("[[cache.rules]]\nfingerprint = '+123456789abcdef'", 2, 15, &["is not a fingerprint"]),
    (
        "[[cache.rules]]\nmatch = 'a'\nfingerprint = '0123456789abcdef'",
        3,
        15,
        &["`match` or `fingerprint`, not both", "c.toml:2:9"],
    ),
    ("[[cache.rules]]\nmatch = 'a'\nttl = '0s'", 3, 7, &["`ttl` is zero", "no rule at all"]),
    ("[[cache.rules]]\nmatch = 'a'\nttl = '2d'", 3, 7, &["`ttl` is longer than max_ttl"]),
    ("[[cache.rules]]\nmatch = 'a'\nttl = '1s'\nstale = '2d'", 4, 9, &["`stale` is longer than max_ttl"]),
    ("[[cache.rules]]\nmatch = 'a'\nstale = '1s'", 3, 9, &["`stale` without `ttl`", "write ttl too"]),
    ("[[cache.rules]]\nmatch = 'a'\ntag = 'x,,y'", 3, 7, &["`` is not a tag"]),
    ("[[cache.rules]]\nmatch = 'a'\ntag = ['*']", 3, 8, &["`*` is not a tag"]),
    ("[[cache.rules]]\nmatch = 'a'\ntag = 5", 3, 7, &["must be a list of strings"]),
    ("[[cache.rules]]\nmatch = 'a'\ndatabases = ['c']", 3, 14, &["there is no database `c`", "app, b"]),
    ("[[cache.rules]]\nmatch = 'a'\ndatabases = ['howdah']", 3, 14, &["there is no database `howdah`"]),
    ("[[cache.rules]]\nmatch = 'a'\ndatabases = []", 3, 13, &["holds for no database"]),
    (
        "[[cache.rules]]\nmatch = 'a'\n[[cache.rules]]\nmatch = 'a'\ndatabases=['b']",
        3,
        1,
        &["never reached", "first at", "c.toml:1:1"],
    ),
    ("[cache.follow]\nmode = 'slot'", 2, 8, &["off, replication"]),
    ("[cache.follow]\nmode = true", 2, 8, &["must be a word in quotes"]),
    ("[cache.follow]\npublication = ''", 2, 15, &["`publication` is empty"]),
    ("[cache.follow]\nslot = 'Howdah'", 2, 8, &["cannot begin the name of a slot", "lower case letters"]),
    (
        "[cache.follow]\nslot = 'a12345678901234567890123456789012345678901'",
        2,
        8,
        &["cannot begin the name of a slot", "at most 40 bytes"],
    ),
    ("[cache.follow]\nmax_lag = '10ms'", 2, 11, &["`max_lag` is out of range", "\"100ms\" to \"1h\""]),
    ("[cache.follow]\nmax_lag = '0s'", 2, 11, &["`max_lag` is out of range"]),
    ("[cache.follow]\nmax_lag = '2h'", 2, 11, &["`max_lag` is out of range"]),
    ("[cache.follow]\nnotify = 'yes'", 2, 10, &["must be true or false"]),
    ("[cache.follow]\npassword = 'hunter2'", 2, 12, &["a password without its user"]),
    (
        "[cache.follow]\nuser = 'r'\npassword = 'SCRAM-SHA-256$1:hunter2'",
        3,
        12,
        &["cannot log in to a server"],
    ),
    ("[cache.follow]\nuser = 'r'\npassword_env = 'NO'", 3, 16, &["`NO` is not set"]),
    ("[databases.c]\nhost = 'h'\ncache = 'no'", 3, 9, &["`cache` must be true or false"]),
    ("[admin]\nusers = 'u'", 2, 9, &["must be a list of strings"]),
    ("[admin]\nusers = ['u', 'v']", 2, 15, &["there is no user `v`", "valid here: u"]),
    ("[admin]\nstats_users = ['x']", 2, 16, &["there is no user `x`"]),
    ("[observe]\nmax_tenants = -1", 2, 15, &["out of range"]),
    ("[observe]\nmax_tenant = 5", 2, 1, &["did you mean `max_tenants`?"]),
];

#[test]
fn mistakes_are_told_with_their_place() {
    let mut wrong = String::new();
    for (extra, line, column, words) in MISTAKES {
        let errors = bad(&format!("{extra}\n{REST}"));
        let error = errors.iter().next().unwrap();
        let text = errors.to_string();
        let placed = (error.line, error.column) == (*line, *column) && errors.len() == 1;
        if !placed || text.contains(SECRET) || !words.iter().all(|word| text.contains(word)) {
            let _ = writeln!(wrong, "{extra}\n--- wanted at {line}:{column} {words:?}\n{text}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn without_the_section_there_is_no_cache() {
    let config = good(REST);
    assert_eq!(config.cache, None);
    assert!(config.databases["app"].cache);
    assert_eq!(config.admin, Admin::default());
    assert_eq!(config.observe.max_tenants, 500);
}

#[test]
fn an_empty_section_is_the_defaults() {
    let cache = cache("[cache]");
    assert_eq!(cache, Cache::default());
    assert_eq!((cache.max_memory, cache.max_entry), (256 * 1024 * 1024, 1024 * 1024));
    assert_eq!((cache.default_ttl, cache.max_ttl), (Duration::from_secs(30), Duration::from_secs(86_400)));
    assert_eq!((cache.follow.mode, cache.follow.notify), (FollowMode::Off, true));
}

#[test]
fn everything_typed_arrives() {
    let config = good(&format!(
        "[cache]\nmax_memory='2GB'\nmax_entry='512kb'\ndefault_ttl='10s'\nmax_ttl='1h'\ntenant_share='5%'\n\
         jitter='0%'\nwait='250ms'\n\
         [[cache.rules]]\nmatch='SELECT count(*) FROM orders*'\nttl='1m'\nstale='5s'\ntag='a, b'\ndatabases=['app']\n\
         [[cache.rules]]\nfingerprint='00ffAA0102030405'\ntag=['c','d']\n\
         [cache.follow]\nmode='replication'\npublication='p'\nslot='s_1'\nmax_lag='500ms'\nuser='r'\n\
         password='hunter2'\nnotify=false\n\
         [admin]\nusers=['u']\nstats_users=['u']\n[observe]\nmax_tenants=0\n[databases.c]\nhost='h'\ncache=false\n{REST}"
    ));
    let cache = config.cache.as_ref().unwrap();
    assert_eq!((cache.max_memory, cache.max_entry), (2 << 30, 512 << 10));
    assert_eq!((cache.tenant_share, cache.jitter, cache.wait), (0.05, 0.0, Duration::from_millis(250)));
    let [first, second] = cache.rules.as_slice() else { panic!("{:?}", cache.rules) };
    assert_eq!(first.texts, RuleTexts::Like("SELECT count(*) FROM orders*".into()));
    assert_eq!((first.ttl, first.stale), (Duration::from_secs(60), Duration::from_secs(5)));
    assert_eq!(first.tags, ["a".into(), "b".into()]);
    assert!(first.holds_for("app") && !first.holds_for("b"));
    assert_eq!(second.texts, RuleTexts::Fingerprint(0x00ff_aa01_0203_0405));
    assert_eq!((second.ttl, second.stale), (Duration::from_secs(10), Duration::ZERO));
    assert!(second.tags == ["c".into(), "d".into()] && second.holds_for("b"));
    let follow = &cache.follow;
    assert_eq!((follow.mode, follow.max_lag), (FollowMode::Replication, Duration::from_millis(500)));
    assert_eq!(
        (follow.publication.as_str(), follow.slot.as_deref(), follow.notify),
        ("p", Some("s_1"), false)
    );
    assert_eq!(follow.user.as_deref(), Some("r"));
    assert_eq!(follow.password.as_ref().unwrap().expose_secret(), "hunter2");
    assert!(!config.databases["c"].cache && config.databases["app"].cache);
    assert!(config.admin.users.contains("u") && config.admin.stats_users.contains("u"));
    assert_eq!(config.observe.max_tenants, 0);
}

#[test]
fn a_shorter_limit_shortens_the_default() {
    assert_eq!(cache("[cache]\nmax_ttl='5s'").default_ttl, Duration::from_secs(5));
}

#[test]
fn rules_that_name_something_are_taken() {
    for pattern in
        ["SELECT * FROM orders", "*orders*", "WITH x AS (*", "SELECT 1", "select \"from\" *", "*=*pg_sleep*"]
    {
        let cache = cache(&format!("[[cache.rules]]\nmatch='{pattern}'"));
        assert_eq!(cache.rules[0].texts, RuleTexts::Like(pattern.into()), "{pattern}");
    }
    // The same texts in other databases are another matter.
    let two = "[[cache.rules]]\nmatch='a'\ndatabases=['b']\n[[cache.rules]]\nmatch='a'";
    assert_eq!(cache(two).rules.len(), 2);
}

#[test]
fn what_was_understood_is_described_without_secrets() {
    let config = good(&format!(
        "[cache]\nmax_memory='1536MB'\nmax_entry='1025B'\ntenant_share='7%'\n[[cache.rules]]\nmatch='a\"b'\ntag='x,y'\n\
         [[cache.rules]]\nfingerprint='0a00000000000001'\nttl='1m'\nstale='2s'\n\
         [cache.follow]\nuser='r'\npassword='hunter2'\nslot='s'\n[admin]\nstats_users=['u']\n{REST}"
    ));
    let text = describe(&config);
    assert!(!text.contains(SECRET) && !format!("{config:?}").contains(SECRET), "{text}");
    for line in [
        "max_memory = \"1536MB\"\nmax_entry = \"1025B\"\ndefault_ttl = \"30s\"",
        "tenant_share = \"7%\"\njitter = \"10%\"\nwait = \"5s\"",
        "[[cache.rules]]\nmatch = 'a\"b'\nttl = \"30s\"\nstale = \"0s\"\ntag = [\"x\", \"y\"]\n# databases: all",
        "fingerprint = \"0a00000000000001\"\nttl = \"1m\"\nstale = \"2s\"",
        "[cache.follow]\nmode = \"off\"\npublication = \"howdah\"\nslot = \"s\"\nmax_lag = \"2s\"\nuser = \"r\"\npassword = \"***\"",
        "[admin]\nusers = []\nstats_users = [\"u\"]",
        "max_tenants = 500",
    ] {
        assert!(text.contains(line), "lacks {line}:\n{text}");
    }
    let typed = text.replace("password = \"***\"", "password = \"hunter2\"");
    let again = good(&typed);
    assert_eq!(again.cache, config.cache);
    assert_eq!((again.admin, again.observe), (config.admin, config.observe));
}

#[test]
fn what_stands_in_two_files_is_told() {
    let dir = dir_with(&format!("include=['o.toml']\n[cache]\n[admin]\n[observe]\n{REST}"));
    fs::write(dir.path().join("o.toml"), "[cache]\n[admin]\n[observe]\n").unwrap();
    let text = load_with(&dir.path().join("c.toml"), &no_env).unwrap_err().to_string();
    for section in ["`[cache]`", "`[admin]`", "`[observe]`"] {
        assert!(text.contains(&format!("{section} is defined in two files")), "{text}");
    }
}

proptest! {
    #[test]
    fn sizes_and_percentages_never_panic(text in "\\PC{0,20}|[0-9]{0,22} ?[kKmMgGtT]?[bB%]?") {
        let quoted = toml::Value::String(text);
        let _ = load_bytes(format!("[cache]\nmax_memory = {quoted}\njitter = {quoted}\n").as_bytes());
    }

    #[test]
    fn patterns_never_panic(text in "\\PC{0,30}|[*a-z\"' ;]{0,30}") {
        let quoted = toml::Value::String(text);
        let _ = load_bytes(format!("[[cache.rules]]\nmatch = {quoted}\n{REST}").as_bytes());
    }
}
