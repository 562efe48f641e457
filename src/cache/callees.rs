//! What functions write, for whoever sees the texts that call them.

use super::database::Database;
use crate::sql::{Callees, Writes};

impl Callees for Database {
    fn written_by(&self, text: &[u8], standard_strings: bool) -> Option<Writes> {
        if !self.plans.any_routine_writes() {
            return None;
        }
        self.plans.routines()?.written_by(text, standard_strings)
    }
}
