//! Random sessions, each once on a plain Postgres and once through Howdah in transaction mode, with a pool of two
//! server connections and four other random sessions beside it. Every message must be the same.
//!
//! Sessions come in groups of five that run at the same time; each is compared, and each has the other four beside
//! it. Names of things in the database carry a number that is another one in each run, so that nobody meets the
//! things of others; the comparison puts it back. What counts as the same is in `compare.rs`.
//!
//! `HOWDAH_SOAK` is how many sessions, `HOWDAH_SOAK_SEED` the first one's seed, `HOWDAH_SOAK_FEATURES` what they are
//! made of (`set,block` or `-listen`; see `features.rs`), `HOWDAH_SOAK_PG` the server's major version,
//! `HOWDAH_SOAK_FAILURES` after how many differences to stop, `HOWDAH_SOAK_KNOWN` words with `|` between them: a
//! difference with one of them is counted, and the search goes on. `make soak` runs 100,000.
//!
//! # What no session asks for
//!
//! Each of these is a row of the matrix in `docs/compatibility.md`:
//!
//! - `pg_backend_pid()` shown, rows of `pg_stat_activity` and of `pg_locks` by process: they name the server connection of
//!   that moment. (A count of one's own locks is asked for.)
//! - `pg_prepared_statements`: the statements of a server connection under Howdah's names.
//! - `pg_listening_channels()`: channels are listened to on a connection for all.
//! - Whether a custom setting is unknown (NULL, 42704) or empty: Postgres keeps a name that was once set for as long
//!   as the connection lives.
//! - `pg_settings.source`, `reset_val` and the like: how a value came to be set.
//! - "cached plan must not change result type": Howdah prepares again for who has the portal described, where Postgres
//!   goes on failing. Statements that outlive their text name their columns, and no column that is selected changes
//!   its type.
//! - Whether the schema `pg_temp` exists (3F000 or 42P01): a server connection keeps an empty one.
//! - Whether a prepared statement has a plan for its values or one for any value: that depends on how often it has run
//!   on the server connection, for whomever. An error that planning may find comes with Bind or with Execute.
//! - `SET SEED`, `setseed()` and `random()`: the state of the generator is the server connection's.
//! - A simple query in a batch that no Sync has closed, which breaks sessions of PostgreSQL 18.

mod compare;
mod features;
mod frames;
mod generate;
mod minimise;
mod run;
mod script;
mod settings;
mod statements;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::features::Feature;
use self::script::Script;
use self::world::World;
use crate::support::{Cluster, PATIENCE, Version};

/// Sessions that run at the same time over one pool.
const GROUP: u64 = 5;

/// Groups at the same time, each with a Howdah of its own.
const WORKERS: u64 = 3;

/// The end of waiting while a script is cut down, which is tried hundreds of times.
const SHORT_PATIENCE: Duration = Duration::from_secs(3);

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.replace('_', "").parse().ok())
}

fn words(name: &str) -> Vec<String> {
    let text = std::env::var(name).unwrap_or_default();
    text.split('|').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn features() -> Vec<Feature> {
    Feature::list(&std::env::var("HOWDAH_SOAK_FEATURES").unwrap_or_default())
}

/// Differences that are rows of the matrix, and that the generator cannot avoid: it does not know in which state a
/// transaction will be.
fn is_in_the_matrix(script: &Script, difference: &str) -> bool {
    // EXECUTE of a statement that SQL prepared, in the middle of a batch that has dropped all, or after an error.
    let names = difference.contains("cannot be named behind others of this pipeline");
    // A client with two names for one text may read the other one.
    let name = difference.contains("bind message supplies");
    // In a failed transaction: what would have to be prepared first is refused, as all but the end of it is.
    let failed = difference.contains("Howdah:   E C=25P02") && !difference.contains("S=FATAL");
    let describes = ["directly: t(", "directly: 2(", "directly: n("].iter().any(|d| difference.contains(d));
    // NOTIFY and LISTEN in one write: whether what was said before the LISTEN, or in its transaction, is heard.
    let says =
        |step: &String| step.contains("LISTEN ") && (step.contains("NOTIFY ") || step.contains("pg_notify"));
    let at_once = difference.starts_with("notification")
        && script.steps.iter().map(ToString::to_string).any(|s| says(&s));
    // What must be prepared again in a transaction block takes its snapshot.
    let snapshot = difference.contains("SET TRANSACTION ISOLATION LEVEL must be called before any query");
    // A list that was set while names are quoted is shown without.
    let quoted = script.steps.iter().any(|step| step.to_string().contains("quote_all_identifiers"));
    names
        || name
        || failed && describes
        || at_once
        || snapshot
        || quoted && difference.contains("search_path")
}

/// What is to be run, and what came of it.
struct Soak {
    version: Version,
    features: Vec<Feature>,
    first: u64,
    sessions: u64,
    /// Differences after which it ends.
    limit: usize,
    /// Words of differences that are known.
    known: Vec<String>,
    known_count: AtomicU64,
    begun: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Soak {
    fn new(version: Version, sessions: u64) -> Self {
        Self {
            version,
            features: features(),
            first: from_env("HOWDAH_SOAK_SEED").unwrap_or(0),
            sessions,
            limit: from_env("HOWDAH_SOAK_FAILURES").unwrap_or(3) as usize,
            known: words("HOWDAH_SOAK_KNOWN"),
            known_count: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            failures: Mutex::new(Vec::new()),
        }
    }

    fn run(&self) {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for worker in 0..WORKERS {
                scope.spawn(move || self.work(worker));
            }
        });
        let failures = self.failures.lock().expect("failures");
        println!(
            "PostgreSQL {}: {} sessions from seed {}, {:.1} s, {} differ, {} as is known",
            self.version.major(),
            self.begun.load(Ordering::Relaxed).min(self.sessions),
            self.first,
            began.elapsed().as_secs_f64(),
            failures.len(),
            self.known_count.load(Ordering::Relaxed),
        );
        assert!(failures.is_empty(), "{} sessions differ, see above", failures.len());
    }

    /// Takes group after group.
    fn work(&self, worker: u64) {
        let name = format!("sessions_{worker}");
        let mut world = World::new(Cluster::shared(self.version), &name);
        loop {
            let begun = self.begun.fetch_add(GROUP, Ordering::Relaxed);
            if begun >= self.sessions || self.failures.lock().expect("failures").len() >= self.limit {
                return;
            }
            let seeds = self.first + begun..self.first + begun + GROUP;
            let scripts: Vec<Script> = seeds.map(|seed| generate::script(seed, &self.features)).collect();
            let differences = world.together(&scripts, PATIENCE);
            for (at, difference) in differences.into_iter().enumerate() {
                let Some(difference) = difference else { continue };
                if is_in_the_matrix(&scripts[at], &difference)
                    || self.known.iter().any(|word| difference.contains(word))
                {
                    self.known_count.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                if self.failures.lock().expect("failures").len() < self.limit {
                    let failure = self.explain(&mut world, &scripts, at, difference);
                    eprintln!("{failure}");
                    self.failures.lock().expect("failures").push(failure);
                }
            }
            let log = world.howdah.log();
            for line in log.lines().filter(|line| line.contains("panicked") || line.contains("violation")) {
                eprintln!("howdah's log, sessions {} and on: {line}", scripts[0].seed);
                self.failures.lock().expect("failures").push(line.to_owned());
                world.renew();
            }
        }
    }

    /// A difference with the shortest script that shows it.
    fn explain(&self, world: &mut World, scripts: &[Script], at: usize, difference: String) -> String {
        world.renew();
        let script = &scripts[at];
        let mut alone = |script: &Script| world.disturbed(script, SHORT_PATIENCE);
        let (short, found, how) = if let Some(found) = alone(script) {
            let (short, found) = minimise::minimise(script, found, &mut alone);
            (short.to_string(), found, "others take the server connections between its steps")
        } else {
            let (short, found) = beside(world, scripts, at);
            (short, found, "with others beside it")
        };
        world.renew();
        let words: Vec<&str> = self.features.iter().map(|feature| feature.word()).collect();
        format!(
            "seed {} differs in {difference}\n  again: HOWDAH_SOAK={GROUP} HOWDAH_SOAK_SEED={} HOWDAH_SOAK_PG={} \
             HOWDAH_SOAK_FEATURES={}\n  cut down ({how}): {found}\n{short}  the whole session:\n{script}",
            script.seed,
            scripts[0].seed,
            self.version.major(),
            words.join(","),
        )
    }
}

/// Cuts a session and those beside it down to what it takes to differ.
fn beside(world: &mut World, scripts: &[Script], at: usize) -> (String, String) {
    let mut group = scripts.to_vec();
    let mut differs = |group: &[Script], times: usize| {
        (0..times).find_map(|_| world.together(group, SHORT_PATIENCE).swap_remove(at))
    };
    let Some(mut found) = differs(&group, 10) else {
        return (String::new(), "it did not come again".to_owned());
    };
    // The session itself first, then those that matter less.
    for which in std::iter::once(at).chain((0..group.len()).filter(|which| *which != at)) {
        let original = group[which].clone();
        let mut attempt = |script: &Script| {
            group[which] = script.clone();
            differs(&group, 3)
        };
        let (short, last) = minimise::minimise(&original, found, &mut attempt);
        found = last;
        group[which] = short;
    }
    let mut text = group[at].to_string();
    for other in group.iter().enumerate().filter(|(which, other)| *which != at && !other.steps.is_empty()) {
        text += &format!("    beside it:\n{}", other.1);
    }
    (text, found)
}

/// So many sessions on this version, or, if `HOWDAH_SOAK` says how many, all of them on the one that is asked for.
fn soak(version: Version, sessions: u64) {
    let major = from_env("HOWDAH_SOAK_PG").or(from_env("HOWDAH_SOAK").map(|_| 15));
    if major.is_none_or(|major| major == u64::from(version.major())) {
        Soak::new(version, from_env("HOWDAH_SOAK").unwrap_or(sessions)).run();
    }
}

#[test]
fn random_sessions_are_the_same_through_howdah_on_15() {
    soak(Version::V15, 2_000);
}

#[test]
fn random_sessions_are_the_same_through_howdah_on_14() {
    soak(Version::V14, 500);
}

#[test]
fn random_sessions_are_the_same_through_howdah_on_18() {
    soak(Version::V18, 500);
}

/// The yardstick itself: what is random or left to chance in a session would differ here.
#[test]
fn random_sessions_are_the_same_twice_on_postgres() {
    let features = features();
    let first = from_env("HOWDAH_SOAK_SEED").unwrap_or(0);
    for version in Version::ALL {
        let mut world = World::new(Cluster::shared(version), "sessions_twice");
        for seed in first..first + 150 {
            let script = generate::script(seed, &features);
            let difference = world.twice(&script);
            assert!(
                difference.is_none(),
                "{version:?}, seed {seed}: {}\n{script}",
                difference.unwrap_or_default()
            );
        }
    }
}

/// A comparison that cannot fail is none.
#[test]
fn a_difference_is_seen() {
    let mut world = World::new(Cluster::shared(Version::V15), "sessions_differ");
    let mut script = generate::script(1, &[Feature::Set]);
    script.steps = vec![script::Step::query("SELECT 1"), script::Step::query("SELECT pg_backend_pid()")];
    let difference = world.disturbed(&script, PATIENCE);
    assert!(difference.is_some_and(|text| text.contains("step 1, message 1")), "two processes were equal");
}
