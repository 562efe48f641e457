#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::super::*;

fn shown(text: &str) -> String {
    let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let words: Vec<String> = steps(text.as_bytes(), true)
        .iter()
        .map(|(at, step)| match step {
            Step::Listen(c) => format!("{at}+{}", name(c)),
            Step::Unlisten(c) => format!("{at}-{}", name(c)),
            Step::UnlistenAll => format!("{at}-*"),
            Step::Savepoint(s) => format!("{at}<{}", name(s)),
            Step::Release(s) => format!("{at}>{}", name(s)),
            Step::RollbackTo(s) => format!("{at}!{}", name(s)),
            Step::End => format!("{at}."),
        })
        .collect();
    words.join(" ")
}

#[test]
fn steps_of_a_text() {
    let long = "x".repeat(70);
    let wide = "\u{e4}".repeat(40);
    for (text, expected) in [
        ("LISTEN Jobs", "0+jobs"),
        ("  listen/* c */ \"Jo\"\"bs\" ;", "2+Jo\"bs"),
        ("LISTEN U&\"\\0064!\"", "0+d!"),
        ("LISTEN U&\"!0064\" UESCAPE '!'; unlisten *", "0+d 30-*"),
        ("UNLISTEN \"*\"", "0-*"),
        ("LISTEN", ""),
        ("LISTEN 5", ""),
        ("LISTEN *; LISTEN -- c", ""),
        ("UNLISTEN a; SELECT 'LISTEN b'; -- LISTEN c\nLISTEN d", "0-a 43+d"),
        ("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;", "44-*"),
        ("SELECT 1; listens x; NOTIFY a", ""),
        ("SAVEPOINT A; RELEASE a; RELEASE SAVEPOINT \"B\"", "0<a 13>a 24>B"),
        ("RELEASE savepoint; SAVEPOINT savepoint", "0>savepoint 19<savepoint"),
        ("ROLLBACK TO a; ROLLBACK WORK TO SAVEPOINT b; ABORT TRANSACTION TO c", "0!a 15!b 45!c"),
        ("BEGIN; LISTEN a; COMMIT; ROLLBACK; end; PREPARE TRANSACTION 'x'", "7+a 17. 25. 35. 40."),
        ("COMMIT AND CHAIN; PREPARE x AS SELECT 1; COMMIT PREPARED 'x'", "0."),
        ("CREATE RULE r AS ON INSERT TO t DO ALSO (NOTIFY x; LISTEN y); LISTEN z", "62+z"),
        (&format!("LISTEN {long}"), &format!("0+{}", &long[..63])),
        (&format!("LISTEN \"{wide}\""), &format!("0+{}", "\u{e4}".repeat(31))),
    ] {
        assert_eq!(shown(text), expected, "{text}");
        let traits = traits(text.as_bytes(), true);
        assert!(traits.steps() || !expected.chars().any(|c| "+-<>!".contains(c)), "{text}");
    }
}

#[test]
fn what_notifies() {
    for text in
        ["NOTIFY a", "select 1; notify a, 'b'", "select PG_Notify('a', 'b')", "select \"pg_notify\"('a', '')"]
    {
        assert!(traits(text.as_bytes(), true).notifies, "{text}");
    }
    for text in ["", "select 'notify a'", "select notify", "LISTEN a", "select pg_notif('a')"] {
        assert!(!traits(text.as_bytes(), true).notifies, "{text}");
    }
}

proptest! {
    /// The flags are never too few: what they do not announce is not looked for.
    #[test]
    fn no_step_without_its_flag(text in "(listen|LISTEN|unlisten|savepoint|release|rollback to|select|begin|[a-c]|[ ;()'\"*$]|U&\"|--|\n|/\\*|\\*/){0,16}") {
        let found = steps(text.as_bytes(), true);
        let traits = traits(text.as_bytes(), true);
        for (at, step) in found {
            prop_assert!(at < text.len());
            match step {
                Step::Listen(_) | Step::Unlisten(_) | Step::UnlistenAll => prop_assert!(traits.listens),
                Step::End => {}
                _ => prop_assert!(traits.savepoints),
            }
        }
    }
}
