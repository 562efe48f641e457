//! A text that is marked for the first time is studied, off the client's way.

use std::sync::Arc;

use super::Session;
use crate::cache::{Caching, Key};

impl Session {
    /// Has a text studied, unless somebody does already.
    pub(super) fn study(&mut self, caching: &Arc<Caching>, plan: Key, core: &[u8], volatile: bool) {
        let catalog = caching.database.generation_of_catalog();
        let Some(studying) = caching.database.plans.begin(plan, catalog) else { return };
        let _ = (studying, core, volatile);
    }
}
