//! What is wrong now, worst first, in a sentence each. Nothing to say is good news.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::history::History;
use super::status::{PoolLine, State};

/// Findings that are shown.
const MOST: usize = 8;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gravity {
    /// Somebody should look today.
    Note,
    /// Somebody should look now.
    Warning,
    /// Clients suffer.
    Bad,
}

impl Gravity {
    fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) gravity: Gravity,
    pub(super) text: String,
    /// The part of the page that shows more.
    pub(super) part: &'static str,
}

impl Finding {
    fn new(gravity: Gravity, part: &'static str, text: String) -> Self {
        Self { gravity, text, part }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "gravity": self.gravity.word(), "text": self.text, "part": self.part })
    }
}

/// What is looked at beside the pools.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Tenants with their load of the last minute; looked for only while somebody waits.
    pub(super) loads: Vec<(String, u64)>,
    /// Tenants that have all the server connections they may have: how many of their clients wait, and the limit.
    pub(super) starved: Vec<(String, usize, usize)>,
    /// Where clients run the same statement again and again, and how often in one run at most.
    pub(super) repeated: Option<(String, u32)>,
    /// The SQLSTATE of most errors of the last minute.
    pub(super) error: Option<String>,
}

/// All there is to say.
pub(super) fn findings(state: &State, pools: &[PoolLine], history: &History, facts: &Facts) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    all.extend(pools.iter().filter_map(pool));
    all.extend(facts.starved.iter().map(starved));
    all.extend(process(state));
    all.extend(failing(history, facts.error.as_deref()));
    all.extend(slower(history));
    all.extend(greedy(&facts.loads));
    all.extend(state.cache_paused.iter().map(|(database, why)| {
        Finding::new(Gravity::Warning, "overview", format!("Nothing of {database} is cached: {why}"))
    }));
    all.extend(facts.repeated.as_ref().map(|(place, worst)| {
        let text = format!("N+1: {place} runs one statement up to {worst} times in a row");
        Finding::new(Gravity::Note, "n_plus_one", text)
    }));
    all.sort_by_key(|finding| Reverse(finding.gravity));
    all.truncate(MOST);
    all
}

/// A tenant waits for itself: more connections in the pool would not help it.
fn starved((name, waiting, most): &(String, usize, usize)) -> Finding {
    let who = if *waiting == 1 { "1 client".to_owned() } else { format!("{waiting} clients") };
    let text = format!("{who} of tenant {name} wait: it has all {most} server connections that it may have");
    Finding::new(Gravity::Warning, "tenants", text)
}

fn pool(pool: &PoolLine) -> Option<Finding> {
    let name = format!("{}/{}", pool.database, pool.user);
    if let Some(why) = &pool.down {
        return Some(Finding::new(Gravity::Bad, "pools", format!("No server for {name}: {why}")));
    }
    let oldest = pool.oldest.as_secs_f64();
    let full = pool.size > 0 && pool.active >= pool.size;
    if pool.waiting > 0 && oldest >= 0.1 {
        let gravity = if oldest >= 1.0 { Gravity::Bad } else { Gravity::Warning };
        let who = if pool.waiting == 1 {
            "1 client waits".to_owned()
        } else {
            format!("{} clients wait", pool.waiting)
        };
        let why = if full { format!(", all {} are in use", pool.size) } else { String::new() };
        let longest = format!("the longest for {oldest:.1} s");
        return Some(Finding::new(
            gravity,
            "pools",
            format!("{who} for a server connection of {name}{why}; {longest}"),
        ));
    }
    if pool.pinned > 0 && pool.pinned * 2 >= pool.size {
        let text = format!(
            "Clients keep {} of {} server connections of {name} beyond their transactions",
            pool.pinned, pool.size
        );
        return Some(Finding::new(Gravity::Warning, "clients", text));
    }
    full.then(|| {
        Finding::new(
            Gravity::Note,
            "pools",
            format!("All {} server connections of {name} are in use", pool.size),
        )
    })
}

fn process(state: &State) -> Vec<Finding> {
    let mut all = Vec::new();
    if state.draining {
        let text = "Howdah is shutting down: no new clients, transactions may end".to_owned();
        all.push(Finding::new(Gravity::Warning, "clients", text));
    }
    if state.max_clients > 0 && state.clients * 10 >= state.max_clients * 9 {
        let gravity = if state.clients >= state.max_clients { Gravity::Bad } else { Gravity::Warning };
        let text =
            format!("{} of {} clients are connected (max_client_conn)", state.clients, state.max_clients);
        all.push(Finding::new(gravity, "clients", text));
    }
    if state.panics > 0 {
        let text = format!("{} sessions ended with a panic of Howdah's; the log has more", state.panics);
        all.push(Finding::new(Gravity::Warning, "errors", text));
    }
    all
}

/// Errors, if they are more than now and then.
fn failing(history: &History, most: Option<&str>) -> Option<Finding> {
    let now = history.now();
    let part = if now.statements > 0.0 { now.errors / now.statements } else { 1.0 };
    let gravity = match part {
        _ if now.errors < 1.0 => return None,
        part if part >= 0.05 => Gravity::Bad,
        part if part >= 0.01 => Gravity::Warning,
        _ => return None,
    };
    let percent = (part * 100.0).min(100.0);
    let most = most.map(|state| format!("; most with {state}")).unwrap_or_default();
    let text = format!("{percent:.0} % of statements fail, {:.0} a second{most}", now.errors);
    Some(Finding::new(gravity, "errors", text))
}

/// Much slower than it was over the hour.
fn slower(history: &History) -> Option<Finding> {
    let (now, usual) = (history.now().p99?, history.usual_p99()?);
    let much = now >= usual.saturating_mul(4) && now >= 100_000_000;
    let ms = |ns: u64| ns as f64 / 1e6;
    much.then(|| {
        let text = format!("p99 is {:.0} ms; over the last hour it was {:.1} ms", ms(now), ms(usual));
        Finding::new(Gravity::Warning, "statements", text)
    })
}

/// One tenant has most of the servers' time while others wait.
fn greedy(tenants: &[(String, u64)]) -> Option<Finding> {
    let all: u64 = tenants.iter().map(|(_, load)| load).sum();
    let (name, load) = tenants.iter().max_by_key(|(_, load)| *load)?;
    let part = *load as f64 / all.max(1) as f64;
    (tenants.len() > 1 && part > 0.5).then(|| {
        let text = format!("Tenant {name} has {:.0} % of the servers' time in the last minute", part * 100.0);
        Finding::new(Gravity::Warning, "tenants", text)
    })
}

#[cfg(test)]
mod tests {
    use super::super::history::{Level, Reading};
    use super::*;
    use std::time::Duration;

    fn a_pool() -> PoolLine {
        PoolLine { database: "app".into(), user: "u".into(), size: 10, ..PoolLine::default() }
    }

    fn said(state: &State, pools: &[PoolLine], history: &History) -> Vec<(&'static str, String)> {
        let all = findings(state, pools, history, &Facts::default());
        all.into_iter().map(|finding| (finding.gravity.word(), finding.text)).collect()
    }

    #[test]
    fn good_news_are_no_news() {
        let pools = [PoolLine { active: 9, waiting: 1, oldest: Duration::from_millis(20), ..a_pool() }];
        let state = State { clients: 5, max_clients: 100, ..State::default() };
        assert_eq!(said(&state, &pools, &History::default()), []);
        assert_eq!(said(&State::default(), &[], &History::default()), []);
    }

    #[test]
    fn the_worst_comes_first() {
        let pools = [
            PoolLine { active: 10, ..a_pool() },
            PoolLine { active: 10, waiting: 3, oldest: Duration::from_secs(2), ..a_pool() },
            PoolLine { waiting: 1, oldest: Duration::from_millis(300), ..a_pool() },
            PoolLine { down: Some("refused".into()), waiting: 9, ..a_pool() },
            PoolLine { pinned: 5, ..a_pool() },
        ];
        let state = State { clients: 90, max_clients: 100, draining: true, panics: 1, ..State::default() };
        let said = said(&state, &pools, &History::default());
        let expected = [
            (
                "bad",
                "3 clients wait for a server connection of app/u, all 10 are in use; the longest for 2.0 s",
            ),
            ("bad", "No server for app/u: refused"),
            ("warning", "1 client waits for a server connection of app/u; the longest for 0.3 s"),
            ("warning", "Clients keep 5 of 10 server connections of app/u beyond their transactions"),
            ("warning", "Howdah is shutting down: no new clients, transactions may end"),
            ("warning", "90 of 100 clients are connected (max_client_conn)"),
            ("warning", "1 sessions ended with a panic of Howdah's; the log has more"),
            ("note", "All 10 server connections of app/u are in use"),
        ];
        assert_eq!(said, expected.map(|(word, text)| (word, text.to_owned())));
        let many: Vec<PoolLine> = (0..1_000).map(|_| PoolLine { active: 10, ..a_pool() }).collect();
        assert_eq!(self::said(&state, &many, &History::default()).len(), MOST);
    }

    #[test]
    fn a_tenant_that_has_most_is_named_when_others_wait() {
        let tenants = [("acme".to_owned(), 80), ("globex".to_owned(), 20)];
        let about = |loads: &[(String, u64)]| {
            let facts = Facts { loads: loads.to_vec(), ..Facts::default() };
            findings(&State::default(), &[a_pool()], &History::default(), &facts)
        };
        assert_eq!(about(&tenants)[0].text, "Tenant acme has 80 % of the servers' time in the last minute");
        assert_eq!(about(&tenants[..1]), [], "there is nobody else");
        assert_eq!(about(&[("a".into(), 0), ("b".into(), 0)]), []);
    }

    #[test]
    fn a_tenant_at_its_limit_and_n_plus_one_are_told() {
        let facts = Facts {
            starved: vec![("acme".into(), 3, 5)],
            repeated: Some(("/orders".into(), 240)),
            ..Facts::default()
        };
        let all = findings(&State::default(), &[], &History::default(), &facts);
        let all: Vec<_> = all.iter().map(|finding| (finding.part, finding.text.as_str())).collect();
        let expected = [
            ("tenants", "3 clients of tenant acme wait: it has all 5 server connections that it may have"),
            ("n_plus_one", "N+1: /orders runs one statement up to 240 times in a row"),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn errors_and_slowness_are_told() {
        let mut history = History::default();
        let mut reading = Reading::default();
        let mut run = |history: &mut History, seconds: u64, bound: u64, errors: u64| {
            for _ in 0..seconds {
                reading.statements += 100;
                reading.errors += errors;
                *reading.times.entry(bound).or_default() += 100;
                history.tick(0, Level::default(), reading.clone());
            }
        };
        run(&mut history, 300, 5_000_000, 0);
        assert_eq!(said(&State::default(), &[], &history), []);
        run(&mut history, 10, 400_000_000, 2);
        assert_eq!(
            said(&State::default(), &[], &history),
            [
                ("warning", "2 % of statements fail, 2 a second".to_owned()),
                ("warning", "p99 is 400 ms; over the last hour it was 5.0 ms".to_owned())
            ]
        );
        run(&mut history, 10, 5_000_000, 50);
        assert_eq!(
            said(&State::default(), &[], &history),
            [("bad", "50 % of statements fail, 50 a second".to_owned())]
        );
    }
}
