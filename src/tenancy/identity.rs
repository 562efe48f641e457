//! Who one client says it is, from its login to its last transaction.

use std::sync::Arc;

use super::refuse;
use super::rules::{Claims, Rules, TENANT_KEY};
use crate::config::{OnMissing, Source, TenantRule, User};
use crate::wire::PgError;

/// One thing that the connection came with.
#[derive(Clone, Debug)]
struct Came {
    key: Arc<str>,
    value: Arc<str>,
    source: Source,
}

/// Keys and values that SET said.
type Layer = Vec<(Arc<str>, Arc<str>)>;

/// What SET, SET LOCAL and RESET have changed.
#[derive(Clone, Debug, Default)]
struct Changes {
    /// For the session.
    session: Layer,
    /// For the transaction.
    local: Layer,
    /// What `session` was when the transaction began, once it has changed in it.
    before: Option<Layer>,
}

/// Who one client says it is. A client that has said nothing costs 40 bytes and no allocation.
#[derive(Clone, Debug)]
pub struct Identity {
    user: Arc<User>,
    /// By the strongest source of each key.
    came: Box<[Came]>,
    changes: Option<Box<Changes>>,
    /// Whether a transaction is open.
    open: bool,
}

/// Who a transaction is for. Two that are equal get the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Who {
    /// The tenant's name; `None`: there is none.
    pub tenant: Option<Arc<str>>,
    /// Keys of the context and their values, in the order of the keys.
    pub context: Vec<(Arc<str>, Arc<str>)>,
    /// There is no tenant, and without one nothing may run: answer with [`Who::missing_error`].
    pub required: bool,
}

impl Who {
    /// 28000: how a tenant could be named.
    pub fn missing_error(&self, rules: &Rules) -> PgError {
        refuse::missing(rules.config())
    }

    /// The value of a key of the context.
    pub fn context(&self, key: &str) -> Option<&Arc<str>> {
        self.context.iter().find(|(other, _)| **other == *key).map(|(_, value)| value)
    }
}

impl Identity {
    /// What a login says: by its own entry, its user's name, its database's name and its options.
    ///
    /// # Errors
    /// 28000 when sources differ, when one may not name a tenant, or when the login may not use it; 22023 for
    /// a value that cannot be.
    pub fn at_login(
        rules: &Rules,
        user: &Arc<User>,
        from_user: &Claims,
        from_database: &Claims,
        from_options: &Claims,
    ) -> Result<Self, PgError> {
        let mut came: Vec<Came> = Vec::new();
        let own = match &user.tenants {
            TenantRule::One(name) if rules.config().takes(Source::Login) => Some(&**name),
            _ => None,
        };
        let own = own.map(|name| (Source::Login, &*rules.tenant_key, name));
        let claims =
            [(Source::User, from_user), (Source::Database, from_database), (Source::Option, from_options)];
        let said = claims.into_iter().flat_map(|(source, claims)| {
            let tenant = claims.tenant.iter().map(|name| (TENANT_KEY, name.as_str()));
            let context = claims.context.iter().map(|(key, value)| (&**key, value.as_str()));
            tenant.chain(context).map(move |(key, value)| (source, key, value))
        });
        for (source, key, value) in own.into_iter().chain(said) {
            let strength = rules.strength(key, source)?;
            let (key, value) = (rules.key(key)?, rules.value(user, key, value)?);
            match came.iter_mut().find(|other| other.key == key) {
                None => came.push(Came { key, value, source }),
                Some(other) if other.value != value => {
                    return Err(refuse::two_say(&key, other.source, source));
                }
                Some(other) if strength < rules.strength(&key, other.source)? => other.source = source,
                Some(_) => {}
            }
        }
        Ok(Self { user: Arc::clone(user), came: came.into(), changes: None, open: false })
    }

    /// The login.
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// `SET howdah.KEY = VALUE`, with `local` as `SET LOCAL`, which outside of a transaction does nothing.
    ///
    /// # Errors
    /// 42704 for a key that does not exist, 22023 for a value that cannot be, 28000 for a tenant that this
    /// login may not use, and for anything that differs from what a stronger source said. Nothing has changed
    /// then.
    pub fn set(&mut self, rules: &Rules, key: &str, value: &str, local: bool) -> Result<(), PgError> {
        let key = rules.key(key)?;
        let strength = rules.strength(&key, Source::Set)?;
        let value = rules.value(&self.user, &key, value)?;
        if let Some(came) = self.came(&key)
            && rules.strength(&key, came.source)? < strength
            && came.value != value
        {
            return Err(refuse::weaker(&key, came.source, Source::Set));
        }
        if local && !self.open {
            return Ok(());
        }
        let changes = self.changing(local);
        remove(&mut changes.local, &key);
        let layer = if local { &mut changes.local } else { &mut changes.session };
        remove(layer, &key);
        layer.push((key, value));
        Ok(())
    }

    /// `RESET howdah.KEY`: back to what the connection came with.
    ///
    /// # Errors
    /// 42704 for a key that does not exist.
    pub fn reset(&mut self, rules: &Rules, key: &str) -> Result<(), PgError> {
        let key = rules.key(key)?;
        if self.changes.is_some() {
            let changes = self.changing(false);
            remove(&mut changes.local, &key);
            remove(&mut changes.session, &key);
            self.tidy();
        }
        Ok(())
    }

    /// What holds for a key now; empty when nobody has said anything. `None`: there is no such key.
    pub fn show(&self, rules: &Rules, key: &str) -> Option<String> {
        let key = rules.find_key(key)?;
        Some(self.holds(&key).map_or_else(String::new, |(_, value)| value.to_string()))
    }

    /// `RESET ALL`, `DISCARD ALL`: everything back to what the connection came with.
    pub fn reset_all(&mut self) {
        if self.changes.is_some() {
            let changes = self.changing(false);
            changes.local.clear();
            changes.session.clear();
            self.tidy();
        }
    }

    /// A transaction begins: what is changed from now on ends or is undone with it.
    pub fn begin_transaction(&mut self) {
        self.open = true;
    }

    /// The transaction ends. SET LOCAL ends with it; what SET said in it is undone unless it `committed`.
    pub fn end_transaction(&mut self, committed: bool) {
        self.open = false;
        if let Some(changes) = &mut self.changes {
            changes.local.clear();
            if let Some(before) = changes.before.take().filter(|_| !committed) {
                changes.session = before;
            }
            self.tidy();
        }
    }

    /// Who a transaction is for whose first statement carries `marks` in its comments: keys without
    /// `howdah.`, and values. Keys that do not exist here are others' business.
    ///
    /// # Errors
    /// As for [`Identity::set`], with the comment as the source.
    pub fn who<K: AsRef<str>, V: AsRef<str>>(&self, rules: &Rules, marks: &[(K, V)]) -> Result<Who, PgError> {
        let mut said: Layer = Vec::new();
        for (key, value) in marks {
            let Some(key) = rules.find_key(key.as_ref()) else { continue };
            let value = self.comment(rules, &key, value.as_ref())?;
            match said.iter().find(|(other, _)| *other == key) {
                Some((_, other)) if *other != value => return Err(refuse::said_twice(&key)),
                Some(_) => {}
                None => said.push((key, value)),
            }
        }
        let value_of = |key: &Arc<str>| {
            let said = said.iter().find(|(other, _)| other == key).map(|(_, value)| value);
            said.or_else(|| self.holds(key).map(|(_, value)| value)).cloned()
        };
        let tenant = value_of(&rules.tenant_key);
        let keys = rules.config().context.keys();
        let context = keys.filter_map(|key| Some((Arc::clone(key), value_of(key)?))).collect();
        let on_purpose = self.user.tenants == TenantRule::Nobody;
        let required = tenant.is_none() && !on_purpose && rules.config().on_missing == OnMissing::Refuse;
        Ok(Who { tenant, context, required })
    }

    /// What a comment says about a key, when it may say so.
    fn comment(&self, rules: &Rules, key: &Arc<str>, value: &str) -> Result<Arc<str>, PgError> {
        let strength = rules.strength(key, Source::Comment)?;
        let value = rules.value(&self.user, key, value)?;
        let Some(holds) = self.holds(key).filter(|(_, holds)| **holds != value) else { return Ok(value) };
        // Both are asked: what the connection came with may be stronger than a SET after it that agreed.
        let came = self.came(key).map(|came| (came.source, &came.value));
        for (source, other) in [Some(holds), came].into_iter().flatten() {
            if *other != value && rules.strength(key, source)? < strength {
                return Err(refuse::weaker(key, source, Source::Comment));
            }
        }
        Ok(value)
    }

    /// What holds for a key without a comment, and who said it last.
    fn holds(&self, key: &Arc<str>) -> Option<(Source, &Arc<str>)> {
        let layers = self.changes.iter().flat_map(|changes| [&changes.local, &changes.session]);
        let set = layers.flatten().find(|(other, _)| other == key).map(|(_, value)| (Source::Set, value));
        set.or_else(|| self.came(key).map(|came| (came.source, &came.value)))
    }

    fn came(&self, key: &Arc<str>) -> Option<&Came> {
        self.came.iter().find(|came| came.key == *key)
    }

    /// The changes, to be changed; with `local`, for this transaction only.
    fn changing(&mut self, local: bool) -> &mut Changes {
        let changes = self.changes.get_or_insert_default();
        if self.open && !local && changes.before.is_none() {
            changes.before = Some(changes.session.clone());
        }
        changes
    }

    /// Most clients have no changes most of the time; then they keep no memory for them.
    fn tidy(&mut self) {
        let empty = |changes: &Changes| {
            changes.session.is_empty() && changes.local.is_empty() && changes.before.is_none()
        };
        if self.changes.as_deref().is_some_and(empty) {
            self.changes = None;
        }
    }
}

fn remove(layer: &mut Layer, key: &Arc<str>) {
    layer.retain(|(other, _)| other != key);
}
