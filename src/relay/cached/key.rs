//! Keys: everything that an answer depends on.

use std::sync::Arc;

use super::unit::Values;
use super::{Cached, Session};
use crate::cache::{Account, Caching, Key, Prefix};
use crate::pool::Pool;
use crate::session::Settings;
use crate::sql;

/// What all keys of a session begin with, and what it was made from.
#[derive(Debug)]
pub(super) struct Prefixed {
    prefix: Prefix,
    /// Begins the names of texts that were studied: they hang on the login and the `search_path`.
    plans: Prefix,
    pub(super) account: Arc<Account>,
    pool: Arc<Pool>,
    settings: Arc<Settings>,
    locals: u64,
    tenant: u64,
}

impl Session {
    /// Makes the prefix anew if what it was made from is not what holds now.
    pub(super) fn prefixed(&mut self, caching: &Caching) -> Arc<Prefixed> {
        let tenant = self.tenancy.as_ref().map_or(0, |tenancy| tenancy.share().tenant);
        let settings = self.front.settings();
        let good = |known: &Prefixed| {
            Arc::ptr_eq(&known.settings, settings)
                && known.locals == self.front.local_number()
                && known.tenant == tenant
                && Arc::ptr_eq(&known.pool, &self.pool)
        };
        let cached: &mut Cached = self.cached.get_or_insert_default();
        if let Some(known) = cached.prefix.as_ref().filter(|known| good(known)) {
            return Arc::clone(known);
        }
        let name = self.tenancy.as_ref().and_then(|tenancy| tenancy.name());
        let mut prefix = caching.prefix();
        prefix.part(self.pool.key().user.as_bytes());
        prefix.part(self.pool.key().database.as_bytes());
        let mut plans = prefix;
        plans.optional(self.front.search_path().map(str::as_bytes));
        prefix.optional(name.as_deref().map(str::as_bytes));
        prefix.count(tenant);
        for pairs in [&mut self.front.local_settings() as &mut dyn Iterator<Item = _>, &mut settings.iter()] {
            for (name, value) in pairs {
                prefix.part(name.to_ascii_lowercase().as_bytes());
                prefix.part(value.as_bytes());
            }
            prefix.count(u64::MAX);
        }
        let fresh = Arc::new(Prefixed {
            prefix,
            plans,
            account: caching.database.account(name.as_deref()),
            pool: Arc::clone(&self.pool),
            settings: Arc::clone(settings),
            locals: self.front.local_number(),
            tenant,
        });
        cached.prefix = Some(Arc::clone(&fresh));
        fresh
    }
}

/// What a text is studied as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Studied {
    pub(super) key: Key,
    /// The text as it is, constants and all.
    pub(super) text: Key,
}

impl Prefixed {
    /// The name of an answer: of a text, the types that were given for its parameters, and what was bound.
    pub(super) fn key(&self, core: &[u8], types: &[u8], values: Option<&Values<'_>>) -> Key {
        let mut prefix = self.prefix;
        prefix.part(core);
        prefix.part(types);
        match values {
            Some(values) => values.parts(|part| prefix.part(part)),
            // As a Bind without values.
            None => Values::default().parts(|part| prefix.part(part)),
        }
        prefix.key()
    }

    /// The name under which a text is studied. Texts that differ in their constants alone read the same, unless the
    /// constant is the name of a setting.
    pub(super) fn plan(&self, core: &[u8], types: &[u8], volatile: bool, standard_strings: bool) -> Studied {
        let settings = core.windows(7).any(|word| word.eq_ignore_ascii_case(b"setting"));
        let normal = sql::normalise(core, standard_strings);
        let mut prefix = self.plans;
        prefix.part(if settings { core } else { &normal });
        prefix.part(types);
        prefix.count(u64::from(volatile) | u64::from(standard_strings) << 1);
        let mut text = self.plans;
        text.part(core);
        text.part(types);
        Studied { key: prefix.key(), text: text.key() }
    }
}
