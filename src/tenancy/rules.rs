//! What one configuration says about tenants, made ready for look-ups.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::refuse;
use crate::config::{
    IdFormat, MAX_TENANT_NAME, Pattern, Placement, Source, Tenancy, TenantConfig, User, folded_id,
};
use crate::wire::PgError;

/// What the settings begin with by which a client talks to Howdah.
pub const PREFIX: &str = "howdah.";
/// The key of the tenant after the prefix.
pub const TENANT_KEY: &str = "tenant";

/// Longest value of a key of the context, in bytes.
const MAX_VALUE: usize = 1024;
/// Longest name that Postgres does not cut, in bytes.
const MAX_IDENTIFIER: usize = 63;

/// Whether a setting is one that Howdah answers itself. Names of settings ignore case.
pub fn is_own(setting: &str) -> bool {
    setting.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// What a name or the startup parameters say about somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The tenant's name.
    pub tenant: Option<String>,
    /// Keys of the context and their values.
    pub context: Vec<(Arc<str>, String)>,
}

/// One tenant, found by its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// The name, in the one spelling by which it is counted.
    pub name: Arc<str>,
    /// The value that is set.
    pub id: Arc<str>,
    /// Limits, weight, role and settings; shared by all tenants without an entry of their own.
    pub config: Arc<TenantConfig>,
    /// The `search_path` of placement `schema`.
    pub search_path: Option<Arc<str>>,
    /// The database of placement `database`, as in `[databases.X]`.
    pub database: Option<Arc<str>>,
}

/// Everything derived from one configuration; shared by all clients.
#[derive(Debug)]
pub struct Rules {
    tenancy: Arc<Tenancy>,
    /// Tenants with an entry.
    listed: HashMap<Arc<str>, Arc<Tenant>>,
    /// Their ids, folded: no tenant without an entry may have one of them.
    ids: HashSet<String>,
    /// Databases that belong to tenants with an entry.
    databases: HashSet<Arc<str>>,
    /// The one key that all clients share.
    pub(super) tenant_key: Arc<str>,
}

impl Rules {
    /// The rules of a configuration.
    pub fn new(tenancy: Arc<Tenancy>) -> Self {
        let found = tenancy.tenants.iter().filter_map(|(name, config)| {
            let tenant = Tenant::new(Arc::clone(name), config)?;
            Some((Arc::clone(name), Arc::new(tenant)))
        });
        let listed: HashMap<_, _> = found.collect();
        Self {
            ids: listed.values().map(|tenant| folded_id(&tenant.id)).collect(),
            databases: listed.values().filter_map(|tenant| tenant.database.clone()).collect(),
            listed,
            tenancy,
            tenant_key: Arc::from(TENANT_KEY),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Tenancy {
        &self.tenancy
    }

    /// Whether both come from the same configuration's tenancy.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tenancy, &other.tenancy) || self.tenancy == other.tenancy
    }

    /// What a user's name means that a client typed: a login that `known` knows, and what it claims. A name
    /// that is a login itself is nothing else. A name that cannot be read is given back as it is.
    ///
    /// # Errors
    /// 28000 when it can be read in more than one way.
    pub fn read_user<'a>(
        &self,
        typed: &'a str,
        known: &dyn Fn(&str) -> bool,
    ) -> Result<(&'a str, Claims), PgError> {
        let pattern = self.tenancy.takes(Source::User).then_some(&self.tenancy.user_pattern);
        read(pattern, typed, "user", known, false)
    }

    /// As [`Rules::read_user`], for databases. `known` knows those with an entry of their own; `any`: there
    /// is `[databases."*"]`, so every name is one.
    ///
    /// # Errors
    /// 28000 when it can be read in more than one way.
    pub fn read_database<'a>(
        &self,
        typed: &'a str,
        known: &dyn Fn(&str) -> bool,
        any: bool,
    ) -> Result<(&'a str, Claims), PgError> {
        let pattern = self.tenancy.takes(Source::Database).then_some(&self.tenancy.database_pattern);
        read(pattern, typed, "database", known, any)
    }

    /// What the startup parameters and `options` claim, given as settings. Those that are not Howdah's
    /// ([`is_own`]) are left alone.
    ///
    /// # Errors
    /// 42704 for a key that does not exist, 28000 for one that says two things.
    pub fn read_options<'a>(
        &self,
        settings: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Claims, PgError> {
        let mut claims = Claims::default();
        for (name, value) in settings.filter(|(name, _)| is_own(name)) {
            let key = self.key(name.get(PREFIX.len()..).unwrap_or(""))?;
            let before = if *key == *TENANT_KEY {
                claims.tenant.replace(value.to_owned())
            } else {
                let before = claims.context.iter().find(|(other, _)| *other == key).map(|(_, v)| v.clone());
                if before.is_none() {
                    claims.context.push((Arc::clone(&key), value.to_owned()));
                }
                before
            };
            if before.is_some_and(|before| before != value) {
                return Err(refuse::said_twice(&key));
            }
        }
        Ok(claims)
    }

    /// The tenant of this name: one with an entry, or one that `[tenants."*"]` allows.
    ///
    /// # Errors
    /// 28000, the same for each reason but a name that nobody can have.
    pub fn tenant(&self, name: &str) -> Result<Arc<Tenant>, PgError> {
        check_name(name)?;
        if let Some(tenant) = self.listed.get(name) {
            return if self.denies(name) { Err(refuse::not_allowed()) } else { Ok(Arc::clone(tenant)) };
        }
        let any = self.tenancy.any_tenant.as_ref().ok_or_else(refuse::not_allowed)?;
        let name = spelling(any, name);
        let fits = any.id_format.as_ref().is_none_or(|format| format.fits(&name));
        if !fits || self.denies(&name) || self.ids.contains(&folded_id(&name)) {
            return Err(refuse::not_allowed());
        }
        let tenant = Tenant::new(name, any).ok_or_else(refuse::not_allowed)?;
        if tenant.database.as_ref().is_some_and(|database| self.belongs(any, database)) {
            return Err(refuse::not_allowed());
        }
        Ok(Arc::new(tenant))
    }

    /// As [`Rules::tenant`], if this login may use it.
    ///
    /// # Errors
    /// 28000, the same for each reason but a name that nobody can have and a login that has none.
    pub fn tenant_of(&self, user: &User, name: &str) -> Result<Arc<Tenant>, PgError> {
        if user.tenants == crate::config::TenantRule::Nobody {
            return Err(refuse::carries_none());
        }
        let tenant = self.tenant(name)?;
        if user.tenants.allows(&tenant.name) { Ok(tenant) } else { Err(refuse::not_allowed()) }
    }

    fn denies(&self, name: &str) -> bool {
        self.tenancy.denied.iter().any(|glob| glob.matches(name))
    }

    /// Whether a database made from a tenant's name is the one of a tenant with an entry.
    fn belongs(&self, any: &TenantConfig, database: &Arc<str>) -> bool {
        let made = !matches!(&any.placement, Placement::Database(own) if own == database);
        made && self.databases.contains(database)
    }

    /// A key that exists: the tenant's, or one of the context.
    ///
    /// # Errors
    /// 42704 for any other.
    pub(super) fn key(&self, key: &str) -> Result<Arc<str>, PgError> {
        self.find_key(key).ok_or_else(|| refuse::unknown_key(key))
    }

    /// As [`Rules::key`]. Names of settings ignore case.
    pub(super) fn find_key(&self, key: &str) -> Option<Arc<str>> {
        if key.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.find_key(&key.to_ascii_lowercase());
        }
        if key == TENANT_KEY {
            return Some(Arc::clone(&self.tenant_key));
        }
        self.tenancy.context.get_key_value(key).map(|(key, _)| Arc::clone(key))
    }

    /// What somebody says, checked and in the spelling in which it is kept.
    pub(super) fn value(&self, user: &User, key: &str, value: &str) -> Result<Arc<str>, PgError> {
        if key == TENANT_KEY {
            return self.tenant_of(user, value).map(|tenant| Arc::clone(&tenant.name));
        }
        if value.len() > MAX_VALUE {
            return Err(refuse::bad_value(key, "it is longer than 1024 bytes"));
        }
        if value.chars().any(char::is_control) {
            return Err(refuse::bad_value(key, "it has control characters"));
        }
        Ok(Arc::from(value))
    }

    /// How strong a source is, 0 the strongest.
    ///
    /// # Errors
    /// 28000 when it is none.
    pub(super) fn strength(&self, key: &str, source: Source) -> Result<usize, PgError> {
        let place = self.tenancy.identify.iter().position(|other| *other == source);
        place.ok_or_else(|| refuse::not_taken(&self.tenancy, key, source))
    }
}

impl Tenant {
    /// `None`: by this name it could not have the place that it should have.
    fn new(name: Arc<str>, config: &Arc<TenantConfig>) -> Option<Self> {
        let search_path = config.search_path_of(&name).ok()?;
        let database = config.database_of(&name);
        if database.as_ref().is_some_and(|database| database.len() > MAX_IDENTIFIER) {
            return None;
        }
        Some(Self {
            id: config.id.as_deref().map_or_else(|| Arc::clone(&name), Arc::from),
            name,
            config: Arc::clone(config),
            search_path: search_path.map(Arc::from),
            database,
        })
    }
}

/// A UUID has one spelling; other names are as they are.
fn spelling(any: &TenantConfig, name: &str) -> Arc<str> {
    match any.id_format {
        Some(IdFormat::Uuid) => Arc::from(name.to_ascii_lowercase()),
        _ => Arc::from(name),
    }
}

/// The names that are refused whatever the configuration says. It has none of them itself, so this tells
/// nobody which tenants there are.
fn check_name(name: &str) -> Result<(), PgError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name == "none" {
        "this word means that there is none"
    } else if name.len() > MAX_TENANT_NAME {
        "it is longer than 256 bytes"
    } else if name.chars().any(char::is_control) {
        "it has control characters"
    } else if name.trim() != name {
        "it has spaces around it"
    } else {
        return Ok(());
    };
    Err(refuse::not_a_name(why))
}

fn read<'a>(
    pattern: Option<&Pattern>,
    typed: &'a str,
    kind: &str,
    known: &dyn Fn(&str) -> bool,
    any: bool,
) -> Result<(&'a str, Claims), PgError> {
    let Some(pattern) = pattern.filter(|_| !known(typed)) else { return Ok((typed, Claims::default())) };
    let mut found = pattern.readings(typed).filter(|reading| known(reading.base));
    let mut reading = found.next();
    if reading.is_some() && found.next().is_some() {
        return Err(refuse::ambiguous(kind));
    }
    if reading.is_none() && any {
        let mut all = pattern.readings(typed);
        reading = all.next();
        if reading.is_some() && all.next().is_some() {
            return Err(refuse::ambiguous(kind));
        }
    }
    let Some(reading) = reading else { return Ok((typed, Claims::default())) };
    let context = reading.context.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
    Ok((reading.base, Claims { tenant: Some(reading.tenant.to_owned()), context }))
}
