//! Marks and the clock: when what was last written.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::sync::{AtomicU64, Ordering, RwLock};

/// Most tags of one database that have marks of their own.
const MAX_TAGS: usize = 10_000;

/// Ticks once for each invalidation of one database.
pub(super) struct Clock(AtomicU64);

impl Clock {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// The next tick.
    pub(super) fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// Something that can be written: a table, what a tag stands for, all of a tenant, or a whole database.
pub struct Mark {
    name: Box<str>,
    generation: AtomicU64,
}

impl Mark {
    pub(super) fn new(name: &str, generation: u64) -> Arc<Self> {
        Arc::new(Self { name: name.into(), generation: AtomicU64::new(generation) })
    }

    /// For people: `schema.table`, a tag, a tenant.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tick of the database's clock at which it was last written.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// It was written at this tick, or later.
    pub(super) fn raise(&self, tick: u64) {
        self.generation.fetch_max(tick, Ordering::SeqCst);
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mark({} at {})", self.name, self.generation())
    }
}

/// The tables of one name.
type Namesakes = Vec<(Box<str>, Arc<Mark>)>;

#[derive(Default)]
struct Tags {
    marks: HashMap<Box<str>, Arc<Mark>>,
    /// There was no room left. Until the next sweep nobody looks for some again.
    full: bool,
}

impl Tags {
    fn sweep(&mut self) {
        self.marks.retain(|_, mark| Arc::strong_count(mark) > 1);
        // With little room, the next ones would go through all of them again.
        self.full = self.marks.len() > MAX_TAGS / 4 * 3;
    }
}

/// All marks of one database that somebody uses. A mark is made when it is first asked for; one that nobody
/// holds any more is swept.
pub(super) struct Marks {
    clock: Arc<Clock>,
    pub(super) whole: Arc<Mark>,
    tables: RwLock<HashMap<Box<str>, Namesakes>>,
    tags: RwLock<Tags>,
    /// Stands for every tag that found no room.
    crowd: Arc<Mark>,
}

impl Marks {
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        Self {
            clock,
            whole: Mark::new("*", 0),
            tables: RwLock::new(HashMap::new()),
            tags: RwLock::new(Tags::default()),
            crowd: Mark::new("tags", 0),
        }
    }

    pub(super) fn table(&self, schema: &str, name: &str) -> Arc<Mark> {
        let find = |namesakes: &Namesakes| {
            namesakes.iter().find(|(of, _)| **of == *schema).map(|(_, mark)| Arc::clone(mark))
        };
        if let Some(mark) = self.tables.read().get(name).and_then(find) {
            return mark;
        }
        let mut tables = self.tables.write();
        let namesakes = tables.entry(name.into()).or_default();
        if let Some(mark) = find(namesakes) {
            return mark;
        }
        // The clock is read under the lock: a write that did not find the mark has ticked before.
        let mark = Mark::new(&format!("{schema}.{name}"), self.clock.now());
        namesakes.push((schema.into(), Arc::clone(&mark)));
        mark
    }

    pub(super) fn tag(&self, tag: &str) -> Arc<Mark> {
        if let Some(mark) = self.tags.read().marks.get(tag) {
            return Arc::clone(mark);
        }
        let mut tags = self.tags.write();
        if tags.marks.len() >= MAX_TAGS && !tags.full {
            tags.sweep();
        }
        if let Some(mark) = tags.marks.get(tag) {
            return Arc::clone(mark);
        }
        if tags.marks.len() >= MAX_TAGS {
            return Arc::clone(&self.crowd);
        }
        let mark = Mark::new(tag, self.clock.now());
        tags.marks.insert(tag.into(), Arc::clone(&mark));
        mark
    }

    /// A table was written; without a schema, each of that name whose schema the writer's path leads to.
    pub(super) fn raise_table(
        &self,
        schema: Option<&str>,
        name: &str,
        leads_to: &dyn Fn(&str) -> bool,
        tick: u64,
    ) {
        let tables = self.tables.read();
        for (of, mark) in tables.get(name).into_iter().flatten() {
            if schema.map_or_else(|| leads_to(of), |schema| schema == &**of) {
                mark.raise(tick);
            }
        }
    }

    pub(super) fn raise_tag(&self, tag: &str, tick: u64) {
        if let Some(mark) = self.tags.read().marks.get(tag) {
            mark.raise(tick);
        }
        // A tag that has a mark now may have had none before.
        self.crowd.raise(tick);
    }

    /// Forgets marks that nobody holds.
    pub(super) fn sweep(&self) {
        self.tables.write().retain(|_, namesakes| {
            namesakes.retain(|(_, mark)| Arc::strong_count(mark) > 1);
            !namesakes.is_empty()
        });
        self.tags.write().sweep();
    }

    /// Tables and tags that have marks.
    pub(super) fn count(&self) -> usize {
        self.tables.read().values().map(Vec::len).sum::<usize>() + self.tags.read().marks.len()
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Marks({} at {})", self.count(), self.clock.now())
    }
}
