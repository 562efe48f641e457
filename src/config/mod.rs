//! The configuration: from files as somebody typed them to values that are valid (floor 1).
//!
//! May import `crate::ids` and nothing else of this crate.
//!
//! ```text
//! load ─ source (text) ─ reader ─→ raw (as typed, with places) ─ check ─→ checked (valid) ─→ describe
//!                                    └── problem: what is wrong, shown with mask ──┘
//! ```
//!
//! Invariants:
//! - A [`Config`] is whole and free of contradictions: defaults are filled in, paths resolved, secrets read.
//!   Other rooms check nothing twice.
//! - Everything that is wrong is told at once, each with file, line, column and what would be valid.
//! - No secret leaves this room but as a `SecretString`: source lines in errors are masked, messages never
//!   repeat a value that may hold one.
//! - Nothing here is kept: no static holds a configuration, and loading twice reads twice.

mod cache;
mod check;
mod check_cache;
mod check_entries;
mod check_observe;
mod check_tenancy;
mod check_tenants;
mod checked;
mod describe;
mod describe_cache;
mod describe_observe;
mod describe_tenancy;
mod load;
mod mask;
mod observe;
mod pattern;
mod pool;
mod problem;
mod raw;
mod raw_cache;
mod raw_observe;
mod raw_tenancy;
mod reader;
mod search_path;
mod secret;
mod source;
mod tenancy;

#[cfg(test)]
mod tests;

pub use cache::{Cache, CacheRule, Follow, FollowMode, RuleTexts};
pub use checked::{
    Admin, AuthType, CONSOLE_DATABASES, Config, Database, Listen, ListenTls, Log, LogFormat, LogLevel,
    ServerTls, User,
};
pub use describe::describe;
pub use load::{load, load_with};
pub use observe::{Http, HttpLogin, NPlusOne, Observe};
pub use pattern::{Glob, Pattern, Reading};
pub use pool::{PoolMode, PoolOverrides, PoolSettings};
pub use problem::{ConfigError, ConfigErrors};
pub use tenancy::{
    Channels, IdFormat, MAX_TENANT_NAME, NoSchema, OnDynamicSql, OnMissing, Placement, Resolver, Signature,
    Source, Tenancy, TenantConfig, TenantRule, folded_id,
};
