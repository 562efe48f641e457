//! `[http]`, `[observe]`.

use super::*;

fn with(text: &str) -> Config {
    good(&format!("{text}\n{GOOD}"))
}

const TOKEN: &str = "hunter2-0123456789abcdef";

#[test]
fn what_is_measured_by_default() {
    let observe = good(GOOD).observe;
    assert_eq!(observe, Observe::default());
    assert!(observe.enabled && !observe.parameters);
    assert_eq!((observe.max_tracked, observe.max_tenants), (5_000, 500));
    assert_eq!(observe.n_plus_one, NPlusOne { threshold: 20, window: Duration::from_secs(1) });
}

#[test]
fn everything_typed_of_observe_arrives() {
    let config = with(
        "[observe]\nenabled=false\nmax_tracked=1\nmax_tenants=0\nparameters=true\n\
         [observe.n_plus_one]\nthreshold=0\nwindow='250ms'",
    );
    let wanted = Observe {
        enabled: false,
        max_tracked: 1,
        max_tenants: 0,
        parameters: true,
        n_plus_one: NPlusOne { threshold: 0, window: Duration::from_millis(250) },
    };
    assert_eq!(config.observe, wanted);
}

#[test]
fn who_may_look_arrives_in_each_of_three_ways() {
    let http = |text: &str| with(&format!("[http]\n{text}")).http.unwrap();
    let open = http("");
    assert!(!open.is_guarded() && open.login.is_none() && open.token.is_none());
    for (typed, password) in [
        ("password='hunter2'", "hunter2"),
        ("password_env='PW'", "hunter2-env"),
        ("password_file='pw'", "hunter2-file"),
    ] {
        let login = http(&format!("user='ops'\n{typed}")).login.unwrap();
        assert_eq!((login.user.as_str(), login.password.expose_secret()), ("ops", password));
    }
    let of_file = http("token_file='key'");
    assert!(of_file.is_guarded());
    assert_eq!(of_file.token.unwrap().expose_secret(), "hunter2-hunter2-hunter2-hunter2-");
    let both = http(&format!("user='ops'\npassword='hunter2'\ntoken='{TOKEN}'"));
    assert!(both.login.is_some() && both.token.is_some());
    // A reload compares them.
    let token = |token: &str| http(&format!("token='{token}'"));
    assert_eq!(token(TOKEN), token(TOKEN));
    assert_ne!(token(TOKEN), token("another-0123456789abcdef"));
    assert_ne!(token(TOKEN), open);
    let login = |password: &str| http(&format!("user='ops'\npassword='{password}'"));
    assert_eq!(login("a"), login("a"));
    assert_ne!(login("a"), login("b"));
}

#[test]
fn mistakes_are_told_with_their_place() {
    let mistakes: &[(&str, usize, usize, &[&str])] = &[
        ("[observe]\nenabled = 'yes'", 2, 11, &["`enabled` must be true or false, not a string"]),
        ("[observe]\nmax_tracked = 0", 2, 15, &["`max_tracked` = 0 is out of range", "from 1 to 100000"]),
        ("[observe]\nmax_tracked = 100001", 2, 15, &["out of range"]),
        ("[observe]\nmax_tenants = -1", 2, 15, &["out of range", "from 0 to 100000"]),
        ("[observe]\nmax_traked = 1", 2, 1, &["did you mean `max_tracked`?"]),
        ("[observe]\nparameters = 1", 2, 14, &["must be true or false"]),
        ("[observe]\nn_plus_one = 20", 2, 14, &["`n_plus_one` must be a table", "[n_plus_one]"]),
        ("[observe.n_plus_one]\nthreshold = -1", 2, 13, &["out of range", "from 0"]),
        ("[observe.n_plus_one]\ntreshold = 5", 2, 1, &["did you mean `threshold`?", "window"]),
        ("[observe.n_plus_one]\nwindow = 1", 2, 10, &["write a unit: \"1s\""]),
        ("[observe.n_plus_one]\nwindow = '0s'", 2, 10, &["out of range", "threshold = 0 switches"]),
        ("[observe.n_plus_one]\nwindow = '2m'", 2, 10, &["valid here: from \"10ms\" to \"1m\""]),
        ("[http]\nuser = 'ops'", 2, 8, &["everybody could look", "one of password, password_env"]),
        ("[http]\npassword = 'hunter2'", 2, 12, &["a password without its user", "or a token"]),
        ("[http]\nuser = 'a:b'\npassword = 'hunter2'", 2, 8, &["without a colon"]),
        ("[http]\nuser = ''\npassword = 'hunter2'", 2, 8, &["`user` is empty"]),
        (
            "[http]\nuser = 'ops'\npassword = 'md50123456789abcdef0123456789abcdef'",
            3,
            12,
            &["is an md5 hash", "the password itself"],
        ),
        ("[http]\ntoken = 'hunter2'", 2, 9, &["the token cannot be used", "at least 16", "openssl rand"]),
        ("[http]\ntoken = 'hunter2 hunter2 hunter2'", 2, 9, &["the token cannot be used"]),
        ("[http]\ntoken = 5", 2, 9, &["`token` must be a string"]),
        ("[http]\ntoken_env = 'NOT_SET'", 2, 13, &["`NOT_SET` is not set", "that holds the token"]),
        ("[http]\ntoken_file = 'none'", 2, 14, &["cannot read `token_file`: no such file"]),
        (
            "[http]\ntoken = 'hunter2-0123456789abcdef'\ntoken_env = 'PW'",
            3,
            13,
            &["the token is given more than once", "one of token, token_env, token_file"],
        ),
    ];
    for (text, line, column, words) in mistakes {
        let (at_line, at_column, shown) = one(&format!("{text}\n{GOOD}"));
        assert_eq!((at_line, at_column), (*line, *column), "{shown}");
        assert!(!shown.contains(SECRET), "{shown}");
        for word in *words {
            assert!(shown.contains(word), "lacks {word}:\n{shown}");
        }
    }
    let (_, _, shown) = one(&format!("[http]\nuser='ops'\npassword='{SCRAM}'\n{GOOD}"));
    assert!(shown.contains("is a SCRAM verifier") && !shown.contains("AAEC"), "{shown}");
}

#[test]
fn what_was_understood_is_described_without_secrets() {
    let config = with(&format!(
        "[http]\nuser='ops'\npassword='hunter2'\ntoken='{TOKEN}'\n[observe]\nparameters=true\n\
         [observe.n_plus_one]\nthreshold=7"
    ));
    let text = describe(&config);
    assert!(!text.contains(SECRET) && !format!("{config:?}").contains(SECRET), "{text}");
    for lines in [
        "[http]\naddress = \"127.0.0.1:9632\"\nuser = \"ops\"\npassword = \"***\"\ntoken = \"***\"\n",
        "[observe]\nenabled = true\nmax_tracked = 5000\nmax_tenants = 500\nparameters = true\n",
        "[observe.n_plus_one]\nthreshold = 7\nwindow = \"1s\"\n",
    ] {
        assert!(text.contains(lines), "lacks {lines}:\n{text}");
    }
    assert_eq!(good(&text.replace("token = \"***\"", "token = '0123456789abcdef'")).observe, config.observe);
    let open = describe(&with("[http]"));
    assert!(open.contains("# user, token: none, so whoever reaches the address may look"), "{open}");
}
