//! What is known of marked texts.

/// The plans of one database's texts.
#[derive(Debug, Default)]
pub struct Plans;

impl Plans {
    /// Forgets all: the catalog changed.
    pub fn clear(&self) {}
}
