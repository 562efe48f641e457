//! Where sessions run: a database with a Howdah in front of it, and whom a session shares the pool with.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::compare::difference;
use super::run::{Answers, Target, play};
use super::script::Script;
use crate::support::wire::query;
use crate::support::{Cluster, Config, Database, Howdah, PASSWORD, PATIENCE, Wire};

/// Server connections of each pool.
const POOL: usize = 2;

/// What those set who take the server connections between the steps of a session.
const OTHERS: [&str; 2] = [
    "SET TimeZone = 'Europe/Paris'; SET DateStyle = 'SQL, DMY'; SET search_path = two; SET work_mem = '7MB'; \
     SET statement_timeout = '9min'; SET default_transaction_isolation = 'serializable'",
    "SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = 'iso_8601'; SET search_path = one; SET extra_float_digits = 0; \
     SET bytea_output = 'escape'; SET application_name = 'other'; SET ROLE mate",
];

/// A number of six digits that no other run of this process has.
fn next_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}", 200_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 800_000)
}

/// A database of its own and a Howdah with a pool of two.
pub(super) struct World {
    pub(super) database: Database<'static>,
    pub(super) howdah: Howdah,
    superuser: Wire,
    groups: u32,
}

impl World {
    pub(super) fn new(cluster: &'static Cluster, name: &str) -> Self {
        let database = cluster.database(name);
        database.query(
            "DO $$ BEGIN CREATE ROLE mate NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             DO $$ BEGIN GRANT mate TO app_trust; EXCEPTION WHEN OTHERS THEN NULL; END $$;
             CREATE SCHEMA one; CREATE SCHEMA two;
             GRANT ALL ON SCHEMA public, one, two TO PUBLIC;
             CREATE TABLE public.place (what text); INSERT INTO public.place VALUES ('public'), ('everywhere');
             CREATE TABLE one.place (what text); INSERT INTO one.place VALUES ('one');
             CREATE TABLE two.place (what text); INSERT INTO two.place VALUES ('two'), ('other');
             GRANT SELECT ON public.place, one.place, two.place TO PUBLIC;
             CREATE FUNCTION public.place() RETURNS text LANGUAGE plpgsql STABLE AS
               $$ BEGIN RETURN (SELECT string_agg(what, ' ' ORDER BY what) FROM place); END $$",
        );
        let howdah = Self::start(&database);
        let superuser = Wire::login(("127.0.0.1", cluster.port), "postgres", name);
        Self { database, howdah, superuser, groups: 0 }
    }

    fn start(database: &Database<'_>) -> Howdah {
        let trusted = format!("auth_type = \"trust\"\npassword = \"{PASSWORD}\"");
        Config::new(POOL)
            .pool(&format!("max_pinned_connections = {POOL}"))
            .database(database)
            .user("app")
            .user_with("app_trust", &trusted)
            .start()
    }

    fn direct(&self, patience: Duration) -> Target<'_> {
        Target { port: self.database.cluster.port, database: &self.database.name, patience }
    }

    fn through(&self, patience: Duration) -> Target<'_> {
        Target { port: self.howdah.port, ..self.direct(patience) }
    }

    pub(super) fn directly(&self, script: &Script) -> Answers {
        play(self.direct(PATIENCE), script, &next_id(), None, &mut |_| {})
    }

    /// Plays these all at the same time, and says what differs for each.
    pub(super) fn together(&mut self, scripts: &[Script], patience: Duration) -> Vec<Option<String>> {
        let expected: Vec<Answers> = scripts.iter().map(|script| self.directly(script)).collect();
        let through = self.through(patience);
        let differences = std::thread::scope(|scope| {
            let start = |(script, expected)| {
                scope.spawn(move || {
                    let answers = play(through, script, &next_id(), Some(expected), &mut |_| {});
                    difference(script, expected, &answers)
                })
            };
            let players: Vec<_> = scripts.iter().zip(&expected).map(start).collect();
            players.into_iter().map(|player| player.join().expect("a player")).collect()
        });
        self.clean();
        differences
    }

    /// Plays one alone, but that others take all server connections between its steps.
    pub(super) fn disturbed(&mut self, script: &Script, patience: Duration) -> Option<String> {
        let expected = self.directly(script);
        let login = || Wire::login(("127.0.0.1", self.howdah.port), "app_trust", &self.database.name);
        let mut others = [login(), login()];
        for (other, settings) in others.iter_mut().zip(OTHERS) {
            other.query(settings);
        }
        let mut disturb = |idle: bool| {
            if idle {
                // Nobody waits for ever: if the first took the last free connection, it gives it back.
                others[0].query("BEGIN");
                others[1].send(&[query("SELECT 'other'")]);
                others[0].query("COMMIT");
                others[1].read_until(b'Z');
            }
        };
        let answers = play(self.through(patience), script, &next_id(), Some(&expected), &mut disturb);
        self.clean();
        difference(script, &expected, &answers)
    }

    /// The same session twice on Postgres itself.
    pub(super) fn twice(&mut self, script: &Script) -> Option<String> {
        let expected = self.directly(script);
        let answers = play(self.direct(PATIENCE), script, &next_id(), Some(&expected), &mut |_| {});
        self.clean();
        difference(script, &expected, &answers)
    }

    /// A new Howdah, when the old one may have been left in a bad state.
    pub(super) fn renew(&mut self) {
        self.howdah = Self::start(&self.database);
    }

    /// Takes away what sessions made, which is theirs alone.
    fn clean(&mut self) {
        self.superuser.query(
            "DO $$ DECLARE what record; BEGIN
               FOR what IN SELECT oid::regclass AS name, relkind FROM pg_class
                 WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'one', 'two'))
                   AND relname ~ '^[ts]_[0-9]{6}' AND relkind IN ('r', 'S') LOOP
                 EXECUTE format('DROP %s IF EXISTS %s CASCADE',
                   CASE what.relkind WHEN 'r' THEN 'TABLE' ELSE 'SEQUENCE' END, what.name);
               END LOOP;
               PERFORM lo_unlink(oid) FROM pg_largeobject_metadata; END $$",
        );
        self.groups += 1;
        if self.groups.is_multiple_of(200) {
            self.superuser.query("VACUUM");
        }
    }
}
