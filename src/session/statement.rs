//! Prepared statements of the protocol: a client's names for them, and which ones a server has.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use lru::LruCache;

use super::channels::disguised;
use super::timing::{Noted, Shapes};
use crate::sql;
use crate::wire;

/// Names of prepared statements on servers begin so; a client's name never reaches a server.
pub const SERVER_PREFIX: &[u8] = b"howdah_";
/// The most named statements that one client may keep.
pub const MAX_CLIENT_STATEMENTS: usize = 10_000;
/// The most bytes of text in the named statements of one client.
const MAX_CLIENT_BYTES: usize = 64 << 20;
/// The longest text of an unnamed statement that is kept for another server connection.
const MAX_UNNAMED_BYTES: usize = 1 << 20;

/// One prepared statement: a text with its parameter types, whoever uses it.
#[derive(Debug)]
pub struct Statement {
    /// Unique in the process; never 0.
    pub id: u64,
    /// A Parse's body behind the name; empty for an unnamed statement that is too long to keep.
    pub body: Box<[u8]>,
    /// Its name on every server.
    pub name: Box<[u8]>,
    /// What running it may leave behind in the session.
    pub leaves: sql::Leaves,
    /// It ends a transaction, so a server prepares it also in a failed one.
    pub ends_transaction: bool,
    /// It is ROLLBACK or ABORT, also of a savepoint.
    pub rolls_back: bool,
    /// It drops all prepared statements: `DISCARD ALL`, `DEALLOCATE ALL`.
    pub drops_all: bool,
    /// It is a `DEALLOCATE` of one statement.
    pub deallocates_one: bool,
    /// What it is to its transaction.
    pub class: sql::Class,
    /// Settings that it touches, which a tenant may protect. Of an unnamed statement it is not known: its text is
    /// judged when it comes.
    pub touched: Option<Box<sql::Touched>>,
    /// It is NOTIFY, or mentions `pg_notify`.
    pub notifies: bool,
    /// What it writes.
    pub writes: Option<Arc<sql::Writes>>,
    /// It may call functions, which may write: there is a bracket in it.
    pub(super) calls: bool,
    /// Marks in its outer comments.
    pub marks: Option<Box<sql::Marks>>,
    /// They cannot be read.
    pub bad_marks: bool,
    /// Which rule of the configuration's cache it falls under: the relay's own note.
    pub rule: OnceLock<Option<usize>>,
    /// What it says about channels and savepoints.
    pub(super) steps: Arc<[sql::Step]>,
    /// As it goes to servers, if that is not `body`: a LISTEN in disguise, and the place of that word.
    pub(super) disguise: Option<(usize, Box<[u8]>)>,
    /// How it is counted, once that was asked.
    noted: OnceLock<Noted>,
    /// [`CURRENT`], [`DOUBTED`] or [`OUTDATED`]; it only grows.
    age: AtomicU8,
}

/// As far as is known, its rows are what they were when it was prepared.
const CURRENT: u8 = 0;
/// A server said that they are others, perhaps for one session alone (its own DDL, not committed yet): servers that
/// have it go on judging it, and who parses the text now gets another statement.
const DOUBTED: u8 = 1;
/// They are others, for everybody.
const OUTDATED: u8 = 2;

impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Statement {}

impl Statement {
    /// A statement with its number; `standard_strings` as for [`sql::traits`].
    pub fn new(id: u64, body: &[u8], standard_strings: bool) -> Self {
        let text = wire::c_string(body).map_or(body, |(text, _)| text);
        Self { touched: sql::touched(text, standard_strings), ..Self::read(id, body, standard_strings) }
    }

    fn read(id: u64, body: &[u8], standard_strings: bool) -> Self {
        let text = wire::c_string(body).map_or(body, |(text, _)| text);
        let traits = sql::traits(text, standard_strings);
        let steps = if traits.steps() { sql::steps(text, standard_strings) } else { Vec::new() };
        let disguise = disguised(text, &steps).and_then(|mut sent| {
            sent.extend_from_slice(body.get(text.len()..)?);
            let place = steps.iter().find(|(_, step)| matches!(step, sql::Step::Listen(_)))?.0;
            Some((place, sent.into()))
        });
        let marks = sql::marks(text, standard_strings);
        let mut name = SERVER_PREFIX.to_vec();
        name.extend_from_slice(id.to_string().as_bytes());
        Self {
            id,
            body: body.into(),
            name: name.into(),
            leaves: traits.leaves,
            ends_transaction: traits.ends_transaction,
            rolls_back: traits.ends_transaction && sql::rolls_back(text, standard_strings),
            drops_all: traits.discard_all || traits.deallocate == Some(sql::Deallocate::All),
            deallocates_one: traits.deallocate.is_some_and(|which| which != sql::Deallocate::All),
            class: traits.class,
            touched: None,
            notifies: traits.notifies,
            writes: sql::writes(text, standard_strings).map(Arc::from),
            calls: text.contains(&b'('),
            bad_marks: marks.is_err(),
            rule: OnceLock::new(),
            marks: marks.ok().filter(|marks| !marks.pairs.is_empty()).map(Box::new),
            steps: steps.into_iter().map(|(_, step)| step).collect(),
            disguise,
            noted: OnceLock::new(),
            age: AtomicU8::new(CURRENT),
        }
    }

    /// No server has said that it returns other rows than when it was prepared: whoever parses its text may have it.
    pub fn is_current(&self) -> bool {
        self.age.load(Ordering::Relaxed) == CURRENT
    }

    /// It returns other rows than when it was prepared. Whoever was told of those must prepare anew.
    pub(super) fn is_outdated(&self) -> bool {
        self.age.load(Ordering::Relaxed) == OUTDATED
    }

    /// A server said that it returns other rows now; `certain`: not for one session alone.
    pub(super) fn returns_others(&self, certain: bool) {
        self.age.fetch_max(if certain { OUTDATED } else { DOUBTED }, Ordering::Relaxed);
    }

    /// How it is counted.
    pub fn noted(&self, shapes: &dyn Shapes, standard_strings: bool) -> Noted {
        let text = if self.body.is_empty() { b"text that is not kept" } else { self.text() };
        self.noted.get_or_init(|| shapes.noted(text, standard_strings)).clone()
    }

    /// Its text; empty if it is not kept.
    pub fn text(&self) -> &[u8] {
        wire::c_string(&self.body).map_or(&b""[..], |(text, _)| text)
    }

    /// A Parse's body behind the name, as it goes to servers; empty if it is not kept.
    pub(super) fn sent(&self) -> &[u8] {
        self.disguise.as_ref().map_or(&self.body, |(_, sent)| sent)
    }

    /// One for an unnamed Parse: a very long text is judged but not kept.
    pub fn unnamed(id: u64, body: &[u8], standard_strings: bool) -> Self {
        let mut statement = Self::read(id, body, standard_strings);
        if body.len() > MAX_UNNAMED_BYTES {
            statement.body = Box::default();
        }
        statement
    }
}

/// Where equal texts of different clients become one statement. Implemented above, where locks are.
pub trait Intern {
    /// The statement for `body` (a Parse's body behind the name). `scope` stands for the settings that
    /// decide what the text means (`search_path`): equal texts in different scopes are different statements.
    fn intern(&self, body: &[u8], scope: u64, standard_strings: bool) -> Arc<Statement>;
    /// A statement of its own for an unnamed Parse.
    fn unnamed(&self, body: &[u8], standard_strings: bool) -> Arc<Statement>;
}

/// What a client knows of a statement that it has named.
#[derive(Debug)]
pub(super) struct Note {
    /// It was told what rows come: a Describe or a Bind was answered.
    told: AtomicBool,
    /// What it was told of them, as [`shape`] has it; 0: nothing.
    shape: AtomicU64,
    /// The client's [`super::ClientSession::scope`] when it was prepared.
    pub(super) scope: u64,
}

impl Note {
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    pub(super) fn tell_shape(&self, shape: u64) {
        self.shape.store(shape, Ordering::Relaxed);
    }

    pub(super) fn shape(&self) -> u64 {
        self.shape.load(Ordering::Relaxed)
    }

    /// It will be told anew.
    pub(super) fn forget(&self) {
        self.told.store(false, Ordering::Relaxed);
    }
}

/// Stands for the columns of a `RowDescription`: their names, types and type modifiers; 0 if they are not all there. Without the tables
/// that they come from, and the formats, which a Bind decides.
pub(super) fn shape(mut body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut columns = body.first_chunk().map_or(0, |count| u16::from_be_bytes(*count));
    body = body.get(2..).unwrap_or_default();
    while let Some((name, rest)) = wire::c_string(body) {
        hasher.write(name);
        hasher.write_u8(0);
        hasher.write(rest.get(6..10).unwrap_or_default());
        hasher.write(rest.get(12..16).unwrap_or_default());
        let Some(rest) = rest.get(18..) else { return 0 };
        body = rest;
        columns = columns.saturating_sub(1);
    }
    if columns == 0 { hasher.finish().max(1) } else { 0 }
}

/// A statement under a client's name.
#[derive(Clone, Debug)]
pub struct Named {
    pub(super) statement: Arc<Statement>,
    /// Shared with the frames in flight that use the name.
    pub(super) note: Arc<Note>,
}

impl Named {
    /// One that was just parsed.
    pub(super) fn new(statement: Arc<Statement>, scope: u64) -> Self {
        Self {
            statement,
            note: Arc::new(Note { told: AtomicBool::new(false), shape: AtomicU64::new(0), scope }),
        }
    }

    /// Another statement for the same text must take its place: the client was not told what rows come, and they
    /// are others now, or are by its `search_path`; or under that the server would prepare it anew, and it would
    /// be another one than that of others who have it.
    pub(super) fn must_renew(&self, scope: u64, server: &ServerStatements) -> bool {
        let moved = self.note.scope != scope;
        if self.note.is_told() {
            moved && !self.statement.is_outdated() && !server.has(self.statement.id)
        } else {
            moved || !self.statement.is_current()
        }
    }

    /// Another statement for the same text takes its place.
    pub(super) fn renew(&mut self, scope: u64, standard_strings: bool, intern: &dyn Intern) {
        self.statement = intern.intern(&self.statement.body, scope, standard_strings);
        let told = AtomicBool::new(self.note.is_told());
        self.note = Arc::new(Note { told, shape: AtomicU64::new(self.note.shape()), scope });
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.statement == other.statement && Arc::ptr_eq(&self.note, &other.note)
    }
}

impl Eq for Named {}

/// What one client has prepared.
#[derive(Debug, Default)]
pub(super) struct ClientStatements {
    named: HashMap<Box<[u8]>, Named>,
    bytes: usize,
    pub(super) unnamed: Option<Arc<Statement>>,
}

impl ClientStatements {
    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        self.named.get(name).map(|named| &named.statement)
    }

    pub(super) fn named(&self, name: &[u8]) -> Option<&Named> {
        self.named.get(name)
    }

    pub(super) fn named_mut(&mut self, name: &[u8]) -> Option<&mut Named> {
        self.named.get_mut(name)
    }

    pub(super) fn has_room(&self, more: usize) -> bool {
        self.named.len() < MAX_CLIENT_STATEMENTS && self.bytes + more <= MAX_CLIENT_BYTES
    }

    pub(super) fn insert(&mut self, name: &[u8], named: Named) {
        self.bytes += named.statement.body.len();
        if let Some(old) = self.named.insert(name.into(), named) {
            self.bytes = self.bytes.saturating_sub(old.statement.body.len());
        }
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Named> {
        let old = self.named.remove(name)?;
        self.bytes = self.bytes.saturating_sub(old.statement.body.len());
        if self.named.is_empty() {
            self.named = HashMap::new(); // a resting client keeps no empty table
        }
        Some(old)
    }

    pub(super) fn retain(&mut self, names: &[&[u8]]) {
        let mut kept = HashMap::new();
        std::mem::swap(&mut kept, &mut self.named);
        self.bytes = 0;
        if names.is_empty() {
            return;
        }
        for (name, statement) in kept.into_iter().filter(|(name, _)| names.contains(&&**name)) {
            self.insert(&name, statement);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.named.len()
    }

    /// The client's name for what has this name on servers.
    pub(super) fn find_name(&self, own: &[u8]) -> Option<&[u8]> {
        self.named.iter().find(|(_, named)| *named.statement.name == *own).map(|(name, _)| &**name)
    }
}

/// The first name of a statement on servers that a text has.
pub(super) fn own_name(text: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(text, SERVER_PREFIX)?;
    let named = text.get(at..)?;
    let digits = named.get(SERVER_PREFIX.len()..)?.iter().take_while(|b| b.is_ascii_digit()).count();
    named.get(..SERVER_PREFIX.len() + digits)
}

/// What is prepared on one server connection, the least recently used first to go.
#[derive(Debug)]
pub(super) struct ServerStatements {
    known: LruCache<u64, Arc<Statement>>,
    max: usize,
}

impl ServerStatements {
    pub(super) fn new(max: usize) -> Self {
        // Not the cache's own bound: an undone eviction may put it over for a moment, and what leaves must
        // leave with a Close.
        Self { known: LruCache::unbounded(), max }
    }

    /// True when it is there; counts as a use.
    pub(super) fn touch(&mut self, id: u64) -> bool {
        self.known.get(&id).is_some()
    }

    /// True when it is there; does not count as a use.
    pub(super) fn has(&self, id: u64) -> bool {
        self.known.contains(&id)
    }

    /// True when one must go before another one comes.
    pub(super) fn is_full(&self) -> bool {
        self.known.len() >= self.max
    }

    /// A statement that must go before another one comes.
    pub(super) fn make_room(&mut self) -> Option<Arc<Statement>> {
        if !self.is_full() {
            return None;
        }
        self.known.pop_lru().map(|(_, statement)| statement)
    }

    pub(super) fn insert(&mut self, statement: Arc<Statement>) {
        self.known.put(statement.id, statement);
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.known.pop(&id);
    }

    pub(super) fn retain(&mut self, ids: &[u64]) {
        let gone: Vec<u64> = self.known.iter().map(|(id, _)| *id).filter(|id| !ids.contains(id)).collect();
        for id in gone {
            self.known.pop(&id);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
