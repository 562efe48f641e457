//! Shapes of texts, each made once.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::sql::{Print, Shape};

/// Shapes of the texts that came last, by their fingerprints. One for each worker thread.
#[derive(Debug)]
pub struct ShapeMemo(Mutex<Memo>);

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
        Self(Mutex::new(Memo { shapes: LruCache::new(most), normal: Vec::new() }))
    }

    /// The shape of one statement's text. `standard_strings` is the session's `standard_conforming_strings`.
    pub fn shape(&self, text: &[u8], standard_strings: bool) -> Arc<Shape> {
        self.print(text, standard_strings).0
    }

    /// The same, and what stands for the text's constants.
    pub fn print(&self, text: &[u8], standard_strings: bool) -> (Arc<Shape>, u64) {
        let mut memo = self.0.lock();
        let Memo { shapes, normal } = &mut *memo;
        let print = Print::new(text, standard_strings, normal);
        let shape =
            Arc::clone(shapes.get_or_insert(print.fingerprint, || Arc::new(Shape::of_normal(normal))));
        if normal.capacity() > KEPT {
            *normal = Vec::new();
        }
        (shape, print.values)
    }

    /// About so many bytes are used.
    pub fn memory(&self) -> usize {
        let memo = self.0.lock();
        let shapes = memo.shapes.iter().map(|(_, shape)| shape.text.len() + size_of::<Shape>() + 80);
        memo.normal.capacity() + shapes.sum::<usize>()
    }
}
