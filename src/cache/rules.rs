//! Rules of the configuration, for texts that carry no mark.

use std::sync::{Arc, OnceLock};

use crate::config::{Cache, CacheRule, RuleTexts};
use crate::sql::{self, TextPattern};

/// The rules that hold for one database, as clients call it.
#[derive(Debug)]
pub(super) struct Rules {
    config: Arc<Cache>,
    /// In their order, by their places in the configuration.
    rules: Vec<(usize, Texts)>,
}

#[derive(Debug)]
enum Texts {
    Like(TextPattern),
    Fingerprint(u64),
}

impl Rules {
    pub(super) fn new(config: &Arc<Cache>, database: &str) -> Self {
        let of_database = config.rules.iter().enumerate().filter(|(_, rule)| rule.holds_for(database));
        let rules = of_database.map(|(at, rule)| {
            let texts = match &rule.texts {
                RuleTexts::Like(pattern) => Texts::Like(TextPattern::new(pattern)),
                RuleTexts::Fingerprint(print) => Texts::Fingerprint(*print),
            };
            (at, texts)
        });
        Self { rules: rules.collect(), config: Arc::clone(config) }
    }

    /// There are none.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The first that fits a text.
    pub(super) fn find(&self, text: &[u8], standard_strings: bool) -> Option<&CacheRule> {
        self.config.rules.get(self.position(text, standard_strings)?)
    }

    /// The same for a text that remembers which it was. What it remembers holds for every database, or is not kept.
    pub(super) fn remembered(&self, text: &[u8], known: &OnceLock<Option<usize>>) -> Option<&CacheRule> {
        if self.rules.is_empty() {
            return None;
        }
        let for_all = self.rules.len() == self.config.rules.len()
            && self.config.rules.iter().all(|rule| rule.databases.is_none());
        let position = || self.position(text, true);
        let at = if for_all { *known.get_or_init(position) } else { position() };
        self.config.rules.get(at?)
    }

    fn position(&self, text: &[u8], standard_strings: bool) -> Option<usize> {
        let mut print = None;
        let mut fits = |texts: &Texts| match texts {
            Texts::Like(pattern) => pattern.matches(text, standard_strings),
            Texts::Fingerprint(want) => {
                let of_text = || sql::fingerprint(&sql::normalise(text, standard_strings));
                *print.get_or_insert_with(of_text) == *want
            }
        };
        self.rules.iter().find(|(_, texts)| fits(texts)).map(|(at, _)| *at)
    }
}
