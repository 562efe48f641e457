//! A text that is marked for the first time is studied, off the client's way.

use std::sync::Arc;

use super::Session;
use crate::cache::{Caching, Key};

impl Session {
    /// Has a text studied, unless somebody does already.
    pub(super) fn study(&mut self, caching: &Arc<Caching>, plan: Key, core: &[u8], volatile: bool) {
        let catalog = caching.database.generation_of_catalog();
        let Some(studying) = caching.database.plans.begin(plan, catalog) else { return };
        let _ = volatile;
        let text = String::from_utf8_lossy(core).to_lowercase();
        let words: Vec<&str> = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        let marks = words.windows(2).filter(|w| w.first() == Some(&"from") || w.first() == Some(&"join"));
        let marks =
            marks.filter_map(|w| w.get(1)).map(|name| caching.database.table("public", name)).collect();
        studying.finish(Ok(crate::cache::Plan {
            marks,
            settings: Box::default(),
            by_ttl_only: false,
            relations: Box::default(),
            catalog,
            shape: std::sync::OnceLock::new(),
        }));
    }
}
