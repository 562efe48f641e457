//! What is known of marked texts: what each reads, or why its answers are not kept.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::counters::Miss;
use super::key::Key;
use super::mark::Mark;
use super::routines::Routines;
use super::sync::{Mutex, RwLock};

/// Texts that are remembered for each database.
const MOST: usize = 20_000;
/// What was found holds for so long; then it is asked again, as Howdah may not have seen that the catalog changed.
const OLD: Duration = Duration::from_secs(600);
/// How long a study that failed is not tried again.
const FAILED: Duration = Duration::from_secs(10);

/// More descriptions than this are not remembered of texts that are studied as one.
const MOST_SHAPES: usize = 100;

/// What a Describe of a statement says, as whole messages.
#[derive(Debug)]
pub struct Shape {
    /// ParameterDescription.
    pub parameters: Box<[u8]>,
    /// RowDescription.
    pub columns: Box<[u8]>,
}

/// What the answers to a text depend on.
#[derive(Debug)]
pub struct Plan {
    /// Tables whose writing may change the answer: those it reads, and those from which writes come to them.
    pub marks: Arc<[Arc<Mark>]>,
    /// Settings that are read by name: `current_setting('app.tenant')`, in the text or behind it. In lower case.
    pub settings: Box<[Box<str>]>,
    /// The answer may change without a table being written that is known here; only its time ends it.
    pub by_ttl_only: bool,
    /// What is read, as `schema.name`, for people.
    pub relations: Box<[Box<str>]>,
    /// The tick of the catalog that this was made from.
    pub catalog: u64,
    /// What Describes answered.
    pub shapes: Shapes,
}

/// What Describes of texts answered that are studied as one: constants decide about types too.
#[derive(Debug, Default)]
pub struct Shapes(RwLock<HashMap<Key, Arc<Shape>>>);

impl Shapes {
    /// That of one of them.
    pub fn get(&self, text: Key) -> Option<Arc<Shape>> {
        self.0.read().get(&text).cloned()
    }

    /// Remembers one, if there are not too many.
    pub fn put(&self, text: Key, shape: Shape) {
        let mut shapes = self.0.write();
        if shapes.len() < MOST_SHAPES {
            shapes.insert(text, Arc::new(shape));
        }
    }
}

/// Why the answers to a text are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    miss: Miss,
    text: Box<str>,
    /// It may be otherwise soon.
    passes: bool,
}

impl Why {
    /// For good, or until the catalog changes. `text` is a part of a sentence, for people.
    pub fn never(miss: Miss, text: impl Into<Box<str>>) -> Self {
        Self { miss, text: text.into(), passes: false }
    }

    /// It could not be found out. Tried again after ten seconds.
    pub fn failed(text: impl Into<Box<str>>) -> Self {
        Self { miss: Miss::Learning, text: text.into(), passes: true }
    }

    /// What it is counted as.
    pub fn miss(&self) -> Miss {
        self.miss
    }

    /// It could not be found out.
    pub fn is_failure(&self) -> bool {
        self.passes
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is known of a text.
#[derive(Clone, Debug)]
pub enum Study {
    /// Nothing, or nothing of late: whoever hears this has it studied.
    Unknown,
    /// Somebody studies it.
    Learning,
    /// Its answers may be kept.
    Keep(Arc<Plan>),
    /// They may not.
    Never(Arc<Why>),
}

#[derive(Debug)]
struct Known {
    study: Study,
    until: Instant,
}

impl Known {
    fn new(study: Study, age: Duration) -> Self {
        Self { study, until: Instant::now() + age }
    }
}

#[derive(Debug, Default)]
struct Begun {
    /// How often everything was forgotten.
    era: u64,
    studying: HashSet<Key>,
}

/// What is known of what a database's functions write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    /// Not loaded yet, or not again since the catalog changed.
    Unknown,
    /// None of them writes.
    Nothing,
    /// Some do: [`Plans::routines`] has them.
    Known,
}

#[derive(Debug, Default)]
struct Inner {
    known: RwLock<HashMap<Key, Known>>,
    /// Locked before `known`.
    begun: Mutex<Begun>,
    routines: RwLock<Option<Arc<Routines>>>,
    /// What is known of them, as [`Calls`]: asked for each statement.
    calls: AtomicU8,
}

/// What is known of one database's texts. Forgotten when its catalog changes.
#[derive(Clone, Debug, Default)]
pub struct Plans(Arc<Inner>);

impl Plans {
    /// What is known of a text. When that has become old, one caller hears that nothing is, and the others go on
    /// with it until there is something newer.
    pub fn get(&self, key: &Key) -> Study {
        let now = Instant::now();
        {
            let known = self.0.known.read();
            let Some(known) = known.get(key) else { return Study::Unknown };
            if now < known.until {
                return known.study.clone();
            }
        }
        let mut known = self.0.known.write();
        let Some(known) = known.get_mut(key).filter(|known| known.until <= now) else {
            return Study::Learning;
        };
        // If the one who hears that nothing is known does not come back, the next one is told soon.
        known.until = now + FAILED;
        Study::Unknown
    }

    /// The caller will study this text; `None` if somebody does. `catalog` is the database's tick of the catalog,
    /// read before.
    pub fn begin(&self, key: Key, catalog: u64) -> Option<Studying> {
        let mut begun = self.0.begun.lock();
        if !begun.studying.insert(key) {
            return None;
        }
        let era = begun.era;
        let mut known = self.0.known.write();
        make_room(&mut known);
        let slot = known.entry(key).or_insert_with(|| Known::new(Study::Learning, OLD));
        if !matches!(slot.study, Study::Keep(_)) {
            *slot = Known::new(Study::Learning, OLD);
        }
        Some(Studying { plans: self.clone(), key, era, catalog, over: false })
    }

    /// The catalog changed: everything is forgotten, and what is being studied now will not be remembered.
    pub fn clear(&self) {
        let mut begun = self.0.begun.lock();
        begun.era += 1;
        begun.studying.clear();
        self.0.known.write().clear();
        *self.0.routines.write() = None;
        self.0.calls.store(Calls::Unknown as u8, Ordering::Release);
    }

    /// What is known of what functions write.
    pub(super) fn calls(&self) -> Calls {
        match self.0.calls.load(Ordering::Acquire) {
            known if known == Calls::Known as u8 => Calls::Known,
            nothing if nothing == Calls::Nothing as u8 => Calls::Nothing,
            _ => Calls::Unknown,
        }
    }

    /// What the database's functions write; `None` until the first text was studied.
    pub fn routines(&self) -> Option<Arc<Routines>> {
        self.0.routines.read().clone()
    }

    /// How many texts are known.
    pub fn len(&self) -> usize {
        self.0.known.read().len()
    }

    /// No text is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Half of what is known goes when there is no more room: who is asked for again is studied again.
fn make_room(known: &mut HashMap<Key, Known>) {
    if known.len() >= MOST {
        let mut odd = false;
        known.retain(|_, known| {
            odd = !odd;
            odd || matches!(known.study, Study::Learning)
        });
    }
}

/// A study under way. Dropped, it has failed.
#[derive(Debug)]
pub struct Studying {
    plans: Plans,
    key: Key,
    era: u64,
    catalog: u64,
    over: bool,
}

impl Studying {
    /// The tick of the catalog that it began with.
    pub fn catalog(&self) -> u64 {
        self.catalog
    }

    /// What was found. Forgotten at once if the catalog has changed since it began; one that failed does not take
    /// the place of an older one that has not.
    pub fn finish(mut self, found: Result<Plan, Why>) {
        self.end(found);
    }

    /// What was found of the database's functions on the way.
    pub fn found_routines(&self, routines: &Arc<Routines>) {
        let begun = self.plans.0.begun.lock();
        if begun.era == self.era {
            *self.plans.0.routines.write() = Some(Arc::clone(routines));
            let calls = if routines.any_writes() { Calls::Known } else { Calls::Nothing };
            self.plans.0.calls.store(calls as u8, Ordering::Release);
        }
    }

    /// What is known of the database's functions.
    pub fn routines(&self) -> Option<Arc<Routines>> {
        self.plans.routines()
    }

    fn end(&mut self, found: Result<Plan, Why>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let mut begun = self.plans.0.begun.lock();
        if begun.era != self.era {
            return;
        }
        begun.studying.remove(&self.key);
        let mut known = self.plans.0.known.write();
        let older = known.get(&self.key).is_some_and(|known| matches!(known.study, Study::Keep(_)));
        let fresh = match found {
            Ok(plan) => Known::new(Study::Keep(Arc::new(plan)), OLD),
            Err(why) if why.passes && older => return,
            Err(why) => {
                let age = if why.passes { FAILED } else { OLD };
                Known::new(Study::Never(Arc::new(why)), age)
            }
        };
        known.insert(self.key, fresh);
    }
}

impl Drop for Studying {
    fn drop(&mut self) {
        self.end(Err(Why::failed("its study was broken off")));
    }
}
