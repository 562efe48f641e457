//! Shapes of texts, each made once.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::sql::{Print, Shape};

/// Shapes of the texts that came last, by their fingerprints. One for each worker thread.
#[derive(Debug)]
pub struct ShapeMemo(Mutex<LruCache<u64, Arc<Shape>>>);

impl ShapeMemo {
    /// For so many shapes.
    pub fn new(most: usize) -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN))))
    }

    /// The shape of one statement's text. `standard_strings` is the session's `standard_conforming_strings`.
    pub fn shape(&self, text: &[u8], standard_strings: bool) -> Arc<Shape> {
        self.print(text, standard_strings).0
    }

    /// The same, and what stands for the text's constants.
    pub fn print(&self, text: &[u8], standard_strings: bool) -> (Arc<Shape>, u64) {
        let print = Print::of(text, standard_strings);
        let mut shapes = self.0.lock();
        let shape = shapes.get_or_insert(print.fingerprint, || Arc::new(Shape::new(text, standard_strings)));
        (Arc::clone(shape), print.values)
    }

    /// About so many bytes are used.
    pub fn memory(&self) -> usize {
        let shapes = self.0.lock();
        shapes.iter().map(|(_, shape)| shape.text.len() + size_of::<Shape>() + 80).sum()
    }
}
