//! The valid form of `[tenancy]`, `[tenants.X]` and what users say about tenants.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use secrecy::{ExposeSecret, SecretSlice};

use super::checked::word_of;
use super::pattern::{Glob, Pattern};
use super::search_path;

/// Longest name or id of a tenant, in bytes.
pub const MAX_TENANT_NAME: usize = 256;

/// `[tenancy]`, with all tenants: what every transaction carries, and who may say so.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenancy {
    /// The setting that row-level security reads; lower case, with a dot.
    pub setting: String,
    /// Where the tenant may come from, the strongest first; each at most once, never empty.
    pub identify: Vec<Source>,
    /// How a user's name carries a tenant.
    pub user_pattern: Pattern,
    /// How a database's name carries a tenant.
    pub database_pattern: Pattern,
    /// What happens to a query without a tenant.
    pub on_missing: OnMissing,
    /// Settings that a client may not touch, in lower case, sorted: those that were typed, `role`,
    /// `session_authorization`, and everything that Howdah itself sets for a tenant or context.
    pub protected: Vec<String>,
    /// Tenants that nobody may use.
    pub denied: Vec<Glob>,
    /// What happens to SQL that could hide what it does.
    pub on_dynamic_sql: OnDynamicSql,
    /// Whether clients with a tenant may LISTEN where others are in the same database.
    pub channels: Channels,
    /// What a transaction carries beside the tenant: the key that clients use, and the setting.
    pub context: BTreeMap<Arc<str>, String>,
    /// Queries that find out more, in the order in which they run.
    pub resolvers: Vec<Arc<Resolver>>,
    /// How tenants are signed; `None`: they are not.
    pub signature: Option<Signature>,
    /// What holds for a tenant without an entry of its own; `None`: there are no such tenants.
    pub any_tenant: Option<Arc<TenantConfig>>,
    /// Tenants with an entry, by name; without `*`. Nothing is inherited from `*`.
    pub tenants: BTreeMap<Arc<str>, Arc<TenantConfig>>,
}

impl Tenancy {
    /// Whether a tenant may come from there.
    pub fn takes(&self, source: Source) -> bool {
        self.identify.contains(&source)
    }
}

/// Where a tenant comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// `tenant = "…"` of the login.
    Login,
    /// The user's name, by `user_pattern`.
    User,
    /// The database's name, by `database_pattern`.
    Database,
    /// A startup parameter or `options=-c howdah.tenant=…`.
    Option,
    /// `SET howdah.tenant`.
    Set,
    /// A comment at the first statement of a transaction.
    Comment,
}

impl Source {
    /// All words, in the order that holds when nobody says another.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("login", Self::Login),
        ("user", Self::User),
        ("database", Self::Database),
        ("option", Self::Option),
        ("set", Self::Set),
        ("comment", Self::Comment),
    ];

    /// The word for this source.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// What happens to a query without a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// It is refused.
    Refuse,
    /// It runs, without a tenant.
    None,
}

impl OnMissing {
    /// All words.
    pub const WORDS: [(&'static str, Self); 2] = [("refuse", Self::Refuse), ("none", Self::None)];

    /// The word for this.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// What happens to DO blocks and to creating functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDynamicSql {
    /// They run.
    Allow,
    /// They are refused.
    Refuse,
}

impl OnDynamicSql {
    /// All words.
    pub const WORDS: [(&'static str, Self); 2] = [("allow", Self::Allow), ("refuse", Self::Refuse)];

    /// The word for this.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// What becomes of a LISTEN of a client with a tenant that shares its database with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// It is refused: a channel is the whole database's, and so is what is said in it.
    Refuse,
    /// It hears what everybody notifies, as in Postgres.
    Shared,
}

impl Channels {
    /// All words.
    pub const WORDS: [(&'static str, Self); 2] = [("refuse", Self::Refuse), ("shared", Self::Shared)];

    /// The word for this.
    pub fn word(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }
}

/// `[[tenancy.resolvers]]`: a query that derives settings from what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// Its name, for errors, logs and metrics; no two have the same.
    pub name: Arc<str>,
    /// The query.
    pub query: String,
    /// What `$1`, `$2`, … are: `tenant`, a key of the context (no dot in it), or a setting of an earlier
    /// resolver (with a dot).
    pub params: Vec<Arc<str>>,
    /// Settings and the column that each one takes; the settings in lower case, with a dot; never empty.
    pub set: Vec<(String, String)>,
    /// How long a result is kept; zero: it is not.
    pub ttl: Duration,
    /// How long it is kept that there was no row; zero: it is not.
    pub negative_ttl: Duration,
    /// Whether a transaction is refused when there is no row or the query fails.
    pub required: bool,
    /// Where it runs; `None`: on the database of the transaction.
    pub database: Option<Arc<str>>,
}

/// `[tenancy.signature]`: a tenant that the server can check.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The HMAC key; at least 32 bytes.
    pub key: SecretSlice<u8>,
    /// Where the key was read from.
    pub key_file: PathBuf,
    /// How long a signature is valid; never zero.
    pub valid_for: Duration,
}

impl PartialEq for Signature {
    fn eq(&self, other: &Self) -> bool {
        // Two configurations are compared here, never a key with what a client sent.
        self.key.expose_secret() == other.key.expose_secret()
            && self.key_file == other.key_file
            && self.valid_for == other.valid_for
    }
}

/// `[tenants.X]`: what holds for one tenant, or with `*` for each that has no entry.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantConfig {
    /// The name that clients use, or `*`.
    pub name: Arc<str>,
    /// The value that is set; `None`: the name.
    pub id: Option<String>,
    /// What the id must look like.
    pub id_format: Option<IdFormat>,
    /// Where the tenant's data is.
    pub placement: Placement,
    /// The schemas of placement `schema`, each in quotes; there exactly then. In `*` it holds `{tenant}`:
    /// see [`TenantConfig::search_path_of`].
    pub search_path: Option<String>,
    /// Server connections of one pool that the tenant may have at one time; `None`: no limit.
    pub max_server_connections: Option<usize>,
    /// Clients that may be connected for the tenant at one time; `None`: no limit.
    pub max_client_conn: Option<usize>,
    /// Its share when a pool is contended; from 1 to 1000.
    pub weight: u32,
    /// Transactions that it may begin in a second; `None`: no limit.
    pub transactions_per_second: Option<u32>,
    /// Clients that may connect for it in a second; `None`: no limit.
    pub connects_per_second: Option<u32>,
    /// How long a statement may run, in whole milliseconds of at least one; `None`: what the server says.
    pub statement_timeout: Option<Duration>,
    /// The role of its transactions; `None`: that of the login.
    pub role: Option<String>,
    /// More to set in each of its transactions; names in lower case, none of them protected.
    pub settings: Vec<(String, String)>,
}

impl TenantConfig {
    /// The `search_path` of the tenant `name`, when its placement is `schema`. `Err`: by this name there can
    /// be none, because Postgres would read another one.
    pub fn search_path_of(&self, name: &str) -> Result<Option<String>, NoSchema> {
        match &self.search_path {
            Some(template) if &*self.name == "*" => {
                search_path::of_tenant(template, name).map(Some).ok_or(NoSchema)
            }
            own => Ok(own.clone()),
        }
    }

    /// The database of the tenant `name`, when its placement is `database`.
    pub fn database_of(&self, name: &str) -> Option<Arc<str>> {
        match &self.placement {
            Placement::Database(database) if &*self.name == "*" => {
                Some(Arc::from(database.replace(search_path::TENANT, name)))
            }
            Placement::Database(database) => Some(Arc::clone(database)),
            Placement::Shared | Placement::Schema => None,
        }
    }
}

/// A tenant's name that no schema can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSchema;

/// Where a tenant's data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the tables of all tenants.
    Shared,
    /// In a schema of its own.
    Schema,
    /// In a database of its own: a name as in `[databases.X]`. In `*` it may hold `{tenant}`.
    Database(Arc<str>),
}

/// What a tenant's id must look like.
#[derive(Clone, Debug)]
pub enum IdFormat {
    /// 32 hex digits with hyphens and in lower case, as Postgres writes them.
    Uuid,
    /// A whole number as Postgres writes it, of at most 8 bytes.
    Integer,
    /// All of the id, by this expression, which is anchored at both ends.
    Regex(Regex),
}

/// What an anchored expression begins and ends with.
const ANCHORS: (&str, &str) = (r"\A(?:", r")\z");

impl IdFormat {
    /// The format somebody typed: a word, or else an expression.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub(super) fn parse(typed: &str) -> Result<Self, String> {
        match typed {
            "uuid" => return Ok(Self::Uuid),
            "integer" => return Ok(Self::Integer),
            _ => {}
        }
        if typed.chars().all(char::is_alphabetic) {
            return Err("it is no format, and as an expression it would fit itself only".to_owned());
        }
        // By itself first: anchoring something like "a)|(b" would change what it means.
        let whole = format!("{}{typed}{}", ANCHORS.0, ANCHORS.1);
        match Regex::new(typed).and_then(|_| Regex::new(&whole)) {
            Ok(regex) => Ok(Self::Regex(regex)),
            Err(regex::Error::CompiledTooBig(_)) => Err("the expression is too large".to_owned()),
            Err(_) => Err("it is not a regular expression".to_owned()),
        }
    }

    /// As somebody would type it.
    pub fn typed(&self) -> &str {
        match self {
            Self::Uuid => "uuid",
            Self::Integer => "integer",
            Self::Regex(regex) => {
                let whole = regex.as_str();
                let inner = whole.strip_prefix(ANCHORS.0).and_then(|rest| rest.strip_suffix(ANCHORS.1));
                inner.unwrap_or(whole)
            }
        }
    }

    /// Whether an id looks like this.
    pub fn fits(&self, id: &str) -> bool {
        match self {
            Self::Uuid => is_uuid(id),
            // One number has one spelling here, or "7" and "07" would be two tenants with the same rows.
            Self::Integer => id.parse::<i64>().is_ok_and(|number| number.to_string() == id),
            Self::Regex(regex) => regex.is_match(id),
        }
    }
}

impl PartialEq for IdFormat {
    fn eq(&self, other: &Self) -> bool {
        self.typed() == other.typed()
    }
}

fn is_uuid(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

/// A spelling that two ids share when Postgres could read them as the same value: letters in lower case,
/// UUIDs without what may be left out of them, numbers without leading zeros.
pub fn folded_id(id: &str) -> String {
    let lower = id.to_lowercase();
    let hex: String = lower.chars().filter(|c| !matches!(c, '{' | '}' | '-')).collect();
    if hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return hex;
    }
    let (sign, digits) = match lower.as_bytes().first() {
        Some(b'-') => ("-", lower.get(1..).unwrap_or("")),
        Some(b'+') => ("", lower.get(1..).unwrap_or("")),
        _ => ("", lower.as_str()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return lower;
    }
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        number => format!("{sign}{number}"),
    }
}

/// Which tenants a login may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TenantRule {
    /// Each one that there is.
    #[default]
    Any,
    /// Those that a name in `allowed` means and none in `denied`.
    Some {
        /// Never empty.
        allowed: Vec<Glob>,
        /// Typed with a `!` before the name.
        denied: Vec<Glob>,
    },
    /// This one, always.
    One(Arc<str>),
    /// None, on purpose: its transactions carry no tenant.
    Nobody,
}

impl TenantRule {
    /// Whether the login may use the tenant `name`.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Some { allowed, denied } => {
                allowed.iter().any(|glob| glob.matches(name)) && !denied.iter().any(|glob| glob.matches(name))
            }
            Self::One(one) => **one == *name,
            Self::Nobody => false,
        }
    }
}
