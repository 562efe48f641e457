//! What is known of marked texts (provisional).

use std::fmt;
use std::sync::{Arc, OnceLock};

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
pub struct Studying;

/// All.
#[derive(Debug, Default)]
pub struct Plans;

impl Plans {
    /// Forgets all.
    pub fn clear(&self) {}
    /// Looks up.
    pub fn get(&self, _: &Key) -> Study {
        Study::Unknown
    }
    /// Begins.
    pub fn begin(&self, _: Key, _: u64) -> Option<Studying> {
        None
    }
}
