//! What an application says in a comment: sqlcommenter's tags.

use super::record::Tags;
use crate::sql;

impl Tags {
    /// The tags of a text; nothing if there are none that are known.
    pub fn read(text: &[u8]) -> Option<Self> {
        let mut tags = Self::default();
        sql::tags(text, |key, value| {
            let tag = match key {
                "application" => &mut tags.application,
                "route" => &mut tags.route,
                "controller" => &mut tags.controller,
                "action" => &mut tags.action,
                "traceparent" => &mut tags.traceparent,
                _ => return,
            };
            // As with marks: what stands first counts.
            tag.get_or_insert_with(|| value.into());
        });
        (tags != Self::default()).then_some(tags)
    }
}
