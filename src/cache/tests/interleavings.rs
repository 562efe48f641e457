//! Any order of steps, against a model that is too simple to be wrong: a hit shows what the tables hold now.

use proptest::prelude::*;

use super::*;

const TABLES: [&str; 3] = ["a", "b", "c"];
const TENANTS: [Option<&str>; 3] = [None, Some("x"), Some("y")];
/// Which tables each question reads.
const QUESTIONS: [&[usize]; 4] = [&[0], &[1], &[0, 2], &[]];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody wants an answer and, if there is none, may become the one who asks.
    Look {
        question: usize,
        tenant: usize,
    },
    /// The query of one who asks reaches the server, which answers as things are now.
    Query(usize),
    /// It goes to the server only now, and says so.
    Begin(usize),
    /// The answer is stored.
    Store(usize),
    /// One who asks is gone.
    Vanish(usize),
    Write(usize),
    WriteOfTenant(usize),
    Tag(usize),
    All,
    Catalog,
    /// A write that nobody tells of, within a pause that forgets.
    Unseen(usize),
    Pause,
    Resume,
    Sweep,
    Later(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let some = 0..4_usize;
    prop_oneof![
        8 => (0..QUESTIONS.len(), 0..TENANTS.len()).prop_map(|(question, tenant)| Step::Look { question, tenant }),
        6 => some.clone().prop_map(Step::Query),
        1 => some.clone().prop_map(Step::Begin),
        8 => some.clone().prop_map(Step::Store),
        1 => some.prop_map(Step::Vanish),
        3 => (0..TABLES.len()).prop_map(Step::Write),
        1 => (0..TENANTS.len()).prop_map(Step::WriteOfTenant),
        1 => (0..TABLES.len()).prop_map(Step::Tag),
        1 => Just(Step::All),
        1 => Just(Step::Catalog),
        1 => (0..TABLES.len()).prop_map(Step::Unseen),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => Just(Step::Sweep),
        1 => (1..8_u64).prop_map(Step::Later),
    ]
}

/// One who asks.
struct Asking {
    ticket: Ticket,
    question: usize,
    tenant: usize,
    about: About,
    /// What the server answered.
    answer: Option<String>,
    born: Instant,
}

struct Model {
    house: House,
    accounts: Vec<Arc<Account>>,
    /// How often each table was written: as a whole, and each tenant's part of it.
    tables: [u64; TABLES.len()],
    parts: [u64; TENANTS.len()],
    asking: Vec<Asking>,
    hits: usize,
}

impl Model {
    fn new() -> Self {
        let house = House::new();
        let accounts = TENANTS.iter().map(|tenant| house.database.account(*tenant)).collect();
        Self { house, accounts, tables: [0; 3], parts: [0; 3], asking: Vec::new(), hits: 0 }
    }

    /// What the server would say now.
    fn truth(&self, question: usize, tenant: usize) -> String {
        let read: Vec<u64> = QUESTIONS[question].iter().map(|table| self.tables[*table]).collect();
        format!("{question} of {tenant} at {}: {read:?}", self.parts[tenant])
    }

    fn look(&mut self, question: usize, tenant: usize) {
        let key = self.house.key(&format!("{question} {tenant}"));
        let need = Need { account: &self.accounts[tenant], ..self.house.need() };
        let catalog = self.house.database.generation_of_catalog();
        match self.house.database.look(key, need, self.house.now) {
            Look::Hit(entry) => {
                self.hits += 1;
                assert_eq!(entry.body(), self.truth(question, tenant).as_bytes(), "an old answer");
                assert!(entry.age(self.house.now) < 10 * SECOND);
            }
            Look::Lead(ticket) => {
                let names: Vec<&str> = QUESTIONS[question].iter().map(|table| TABLES[*table]).collect();
                let tags = names.iter().map(|name| self.house.database.tag(&format!("tag {name}")));
                let about = self.house.about(&names);
                let marks = about.marks.iter().cloned().chain(tags).collect();
                let about = About { marks, catalog, ..about };
                let born = self.house.now;
                self.asking.push(Asking { ticket, question, tenant, about, answer: None, born });
            }
            Look::Wait(_) | Look::Paused => {}
            other => panic!("{other:?}"),
        }
    }

    fn store(&mut self, at: usize) {
        let Some(asking) = self.take(at) else { return };
        let Some(text) = asking.answer else { return };
        let current = self.truth(asking.question, asking.tenant) == text;
        let stored = asking.ticket.store(answer(&text), asking.about, self.house.now);
        match stored {
            Stored::Kept => assert!(current, "an old answer was kept: {text}"),
            Stored::Outdated => {}
            other => panic!("{other:?}"),
        }
        let alive = self.house.now < asking.born + 10 * SECOND;
        if stored == Stored::Kept && alive {
            let hits = self.hits;
            self.look(asking.question, asking.tenant);
            assert_eq!(self.hits, hits + 1, "what was kept is served");
        }
    }

    fn take(&mut self, at: usize) -> Option<Asking> {
        if self.asking.is_empty() { None } else { Some(self.asking.remove(at % self.asking.len())) }
    }

    fn some(&mut self, at: usize) -> Option<&mut Asking> {
        let count = self.asking.len().max(1);
        self.asking.get_mut(at % count)
    }

    fn step(&mut self, step: Step) {
        let database = Arc::clone(&self.house.database);
        match step {
            Step::Look { question, tenant } => self.look(question, tenant),
            Step::Query(at) => {
                let Some((question, tenant)) = self.some(at).map(|asking| (asking.question, asking.tenant))
                else {
                    return;
                };
                let truth = self.truth(question, tenant);
                if let Some(asking) = self.some(at) {
                    asking.answer.get_or_insert(truth);
                }
            }
            Step::Begin(at) => {
                let now = self.house.now;
                if let Some(asking) = self.some(at).filter(|asking| asking.answer.is_none()) {
                    asking.ticket.begin(now);
                    asking.born = now;
                }
            }
            Step::Store(at) => self.store(at),
            Step::Vanish(at) => drop(self.take(at)),
            Step::Write(table) => {
                self.tables[table] += 1;
                database.invalidate_table(None, TABLES[table], Source::Write);
            }
            Step::WriteOfTenant(tenant) => {
                self.parts[tenant] += 1;
                match TENANTS[tenant] {
                    Some(name) => database.invalidate_tenant(name, Source::Write),
                    None => database.invalidate_all(Source::Write),
                };
            }
            Step::Tag(table) => {
                self.tables[table] += 1;
                database.invalidate_word(&format!("tag {}", TABLES[table]), Source::Notify);
            }
            Step::All => {
                self.tables = self.tables.map(|version| version + 1);
                database.invalidate_all(Source::Console);
            }
            Step::Catalog => {
                self.tables = self.tables.map(|version| version + 1);
                database.catalog_changed(Source::Ddl);
            }
            Step::Unseen(table) => {
                database.pause("test");
                self.tables[table] += 1;
                database.resume(false);
            }
            Step::Pause => database.pause("test"),
            Step::Resume => database.resume(true),
            Step::Sweep => self.house.cache.sweep(self.house.now),
            Step::Later(seconds) => self.house.now += Duration::from_secs(seconds),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn a_hit_shows_what_is_there_now(steps in prop::collection::vec(step(), 0..120)) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
        }
        model.asking.clear();
        prop_assert_eq!(model.house.database.flights().len(), 0);
        let counters = &model.house.database.counters;
        prop_assert_eq!(counters.flights.get(), 0);
        prop_assert_eq!(counters.entries.get(), model.house.cache.entries() as u64);
        prop_assert_eq!(counters.bytes.get(), model.house.cache.bytes());
        model.house.cache.purge(&Purge::All);
        prop_assert_eq!(counters.bytes.get(), 0);
    }
}

/// The steps do meet what they are for.
#[test]
fn the_model_hits_and_misses() {
    let mut model = Model::new();
    for step in [
        Step::Look { question: 0, tenant: 1 },
        Step::Query(0),
        Step::Store(0),
        Step::Look { question: 0, tenant: 1 },
        Step::Write(0),
        Step::Look { question: 0, tenant: 1 },
    ] {
        model.step(step);
    }
    assert_eq!((model.hits, model.asking.len()), (2, 1));
}
