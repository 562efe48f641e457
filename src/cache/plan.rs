//! What is known of marked texts (provisional).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::counters::Miss;
use super::key::Key;
use super::mark::Mark;

/// What a Describe of a statement says.
#[derive(Debug)]
pub struct Shape {
    /// ParameterDescription.
    pub parameters: Box<[u8]>,
    /// RowDescription.
    pub columns: Box<[u8]>,
}

/// What a text reads.
#[derive(Debug)]
pub struct Plan {
    /// Tables.
    pub marks: Arc<[Arc<Mark>]>,
    /// Settings.
    pub settings: Box<[Box<str>]>,
    /// Ttl.
    pub by_ttl_only: bool,
    /// Names.
    pub relations: Box<[Box<str>]>,
    /// The catalog's tick.
    pub catalog: u64,
    /// Describe.
    pub shape: OnceLock<Shape>,
}

/// Why not.
#[derive(Debug)]
pub struct Why;

impl Why {
    /// The miss.
    pub fn miss(&self) -> Miss {
        Miss::NotCacheable
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("provisional")
    }
}

/// Where a text's study is.
#[derive(Debug)]
pub enum Study {
    /// Nobody has.
    Unknown,
    /// Under way.
    Learning,
    /// Good.
    Keep(Arc<Plan>),
    /// Not.
    Never(Arc<Why>),
}

/// A study under way.
#[derive(Debug)]
pub struct Studying(Key, Arc<Mutex<HashMap<Key, Option<Arc<Plan>>>>>);

impl Studying {
    /// Done.
    pub fn finish(self, plan: Plan) {
        self.1.lock().insert(self.0, Some(Arc::new(plan)));
    }
}

/// All.
#[derive(Debug, Default)]
pub struct Plans(Arc<Mutex<HashMap<Key, Option<Arc<Plan>>>>>);

impl Plans {
    /// Forgets all.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
    /// Looks up.
    pub fn get(&self, key: &Key) -> Study {
        match self.0.lock().get(key) {
            None => Study::Unknown,
            Some(None) => Study::Learning,
            Some(Some(plan)) => Study::Keep(Arc::clone(plan)),
        }
    }
    /// Begins.
    pub fn begin(&self, key: Key, _: u64) -> Option<Studying> {
        self.0.lock().insert(key, None);
        Some(Studying(key, Arc::clone(&self.0)))
    }
}
