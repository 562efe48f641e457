//! Shapes of texts, each made once.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};

use lru::LruCache;
use parking_lot::Mutex;

use crate::sql::{Print, Shape};

/// Shapes of the texts that came last, by their fingerprints. One for each worker thread; those of one observer have
/// their shapes in common.
#[derive(Debug)]
pub struct ShapeMemo {
    most: NonZeroUsize,
    memo: Mutex<Memo>,
    all: Arc<Mutex<HashMap<u64, Weak<Shape>>>>,
}

#[derive(Debug)]
struct Memo {
    shapes: LruCache<u64, Arc<Shape>>,
    normal: Vec<u8>,
}

/// Memory for normalised texts that is kept, in bytes.
const KEPT: usize = 64 << 10;

impl ShapeMemo {
    /// For so many shapes.
    pub fn new(most: usize) -> Self {
        let most = NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN);
        let memo = Memo { shapes: LruCache::new(most), normal: Vec::new() };
        Self { most, memo: Mutex::new(memo), all: Arc::default() }
    }

    /// One for another thread.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { all: Arc::clone(&self.all), ..Self::new(self.most.get()) }
    }

    /// The shape of one statement's text. `standard_strings` is the session's `standard_conforming_strings`.
    pub fn shape(&self, text: &[u8], standard_strings: bool) -> Arc<Shape> {
        self.print(text, standard_strings).0
    }

    /// The same, and what stands for the text's constants.
    pub fn print(&self, text: &[u8], standard_strings: bool) -> (Arc<Shape>, u64) {
        let mut memo = self.memo.lock();
        let Memo { shapes, normal } = &mut *memo;
        let print = Print::new(text, standard_strings, normal);
        let shape = Arc::clone(shapes.get_or_insert(print.fingerprint, || self.common(print, normal)));
        if normal.capacity() > KEPT {
            *normal = Vec::new();
        }
        (shape, print.values)
    }

    /// The shape that other threads may have already.
    #[cold]
    fn common(&self, print: Print, normal: &[u8]) -> Arc<Shape> {
        let mut all = self.all.lock();
        if let Some(shape) = all.get(&print.fingerprint).and_then(Weak::upgrade) {
            return shape;
        }
        if all.len() >= 4 * self.most.get() && all.len() == all.capacity() {
            all.retain(|_, shape| shape.strong_count() > 0);
        }
        let shape = Arc::new(Shape::of_normal(normal));
        all.insert(print.fingerprint, Arc::downgrade(&shape));
        shape
    }

    /// About so many bytes are used, without the shapes themselves.
    pub(super) fn memory(&self) -> usize {
        let memo = self.memo.lock();
        memo.normal.capacity() + memo.shapes.len() * 80
    }
}
