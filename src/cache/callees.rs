//! What functions write, for whoever sees the texts that call them.

use super::database::Database;
use super::plan::Calls;
use super::routines::Routines;
use crate::sql::{Callees, Writes};

impl Callees for Database {
    fn written_by(&self, text: &[u8], standard_strings: bool) -> Option<Writes> {
        if self.plans.calls() == Calls::Nothing {
            return None;
        }
        match self.plans.routines() {
            Some(routines) => routines.written_by(text, standard_strings),
            // By the time that it is committed something may be kept.
            None => Routines::written_by_unknown(text),
        }
    }
}
