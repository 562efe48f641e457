//! `[tenancy]` and `[tenants.X]` as somebody typed them.

use std::path::PathBuf;
use std::time::Duration;

use super::raw::MAX_CONNECTIONS;
use super::reader::{Pair, Reader};
use super::source::{At, Located};
use super::tenancy::{Channels, OnDynamicSql, OnMissing, Source};

/// Highest number of transactions or connections in a second that is accepted.
const MAX_RATE: usize = 1_000_000;
/// Highest weight of a tenant.
const MAX_WEIGHT: usize = 1_000;

/// `[tenancy]`.
#[derive(Debug)]
pub(super) struct RawTenancy {
    pub(super) at: At,
    pub(super) broken: bool,
    pub(super) setting: Option<Located<String>>,
    pub(super) identify: Option<Located<Vec<Located<Source>>>>,
    pub(super) user_pattern: Option<Located<String>>,
    pub(super) database_pattern: Option<Located<String>>,
    pub(super) on_missing: Option<Located<OnMissing>>,
    pub(super) protected: Option<Located<Vec<Located<String>>>>,
    pub(super) denied: Option<Located<Vec<Located<String>>>>,
    pub(super) on_dynamic_sql: Option<Located<OnDynamicSql>>,
    pub(super) channels: Option<Located<Channels>>,
    pub(super) context: Vec<Pair>,
    pub(super) resolvers: Vec<RawResolver>,
    pub(super) signature: Option<RawSignature>,
}

/// `[[tenancy.resolvers]]`.
#[derive(Debug)]
pub(super) struct RawResolver {
    pub(super) at: At,
    pub(super) broken: bool,
    pub(super) name: Option<Located<String>>,
    pub(super) query: Option<Located<String>>,
    pub(super) params: Option<Located<Vec<Located<String>>>>,
    pub(super) set: Vec<Pair>,
    pub(super) ttl: Option<Located<Duration>>,
    pub(super) negative_ttl: Option<Located<Duration>>,
    pub(super) required: Option<Located<bool>>,
    pub(super) database: Option<Located<String>>,
}

/// `[tenancy.signature]`.
#[derive(Debug)]
pub(super) struct RawSignature {
    pub(super) at: At,
    pub(super) broken: bool,
    pub(super) key_file: Option<Located<PathBuf>>,
    pub(super) valid_for: Option<Located<Duration>>,
}

/// `[tenants.X]`.
#[derive(Debug)]
pub(super) struct RawTenant {
    pub(super) name: Located<String>,
    pub(super) broken: bool,
    pub(super) id: Option<Located<String>>,
    pub(super) id_format: Option<Located<String>>,
    pub(super) placement: Option<Located<Place>>,
    pub(super) search_path: Option<Located<String>>,
    pub(super) database: Option<Located<String>>,
    pub(super) max_server_connections: Option<Located<usize>>,
    pub(super) max_client_conn: Option<Located<usize>>,
    pub(super) weight: Option<Located<usize>>,
    pub(super) transactions_per_second: Option<Located<usize>>,
    pub(super) connects_per_second: Option<Located<usize>>,
    pub(super) statement_timeout: Option<Located<Duration>>,
    pub(super) role: Option<Located<String>>,
    pub(super) settings: Vec<Pair>,
}

/// The words of `placement`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Shared,
    Schema,
    Database,
}

impl Place {
    const WORDS: [(&'static str, Self); 3] =
        [("shared", Self::Shared), ("schema", Self::Schema), ("database", Self::Database)];
}

/// What `[users.X]` says about tenants.
#[derive(Debug)]
pub(super) struct RawUserTenants {
    pub(super) tenants: Option<Located<Vec<Located<String>>>>,
    pub(super) tenant: Option<Located<String>>,
    pub(super) role: Option<Located<String>>,
}

pub(super) fn read_tenancy(mut table: Reader<'_>) -> RawTenancy {
    let mut tenancy = RawTenancy {
        at: table.at.clone(),
        broken: false,
        setting: table.string("setting"),
        identify: table.words("identify", &Source::WORDS),
        user_pattern: table.string("user_pattern"),
        database_pattern: table.string("database_pattern"),
        on_missing: table.word("on_missing", &OnMissing::WORDS),
        protected: table.strings("protected"),
        denied: table.strings("denied"),
        on_dynamic_sql: table.word("on_dynamic_sql", &OnDynamicSql::WORDS),
        channels: table.word("channels", &Channels::WORDS),
        context: table.pairs("context"),
        resolvers: table.tables("resolvers").into_iter().map(read_resolver).collect(),
        signature: table.table("signature").map(read_signature),
    };
    tenancy.broken = table.finish();
    tenancy
}

fn read_resolver(mut table: Reader<'_>) -> RawResolver {
    let mut resolver = RawResolver {
        at: table.at.clone(),
        broken: false,
        name: table.string("name"),
        query: table.string("query"),
        params: table.strings("params"),
        set: table.pairs("set"),
        ttl: table.duration("ttl"),
        negative_ttl: table.duration("negative_ttl"),
        required: table.flag("required"),
        database: table.string("database"),
    };
    resolver.broken = table.finish();
    resolver
}

fn read_signature(mut table: Reader<'_>) -> RawSignature {
    let mut signature = RawSignature {
        at: table.at.clone(),
        broken: false,
        key_file: table.path("key_file"),
        valid_for: table.duration("valid_for"),
    };
    signature.broken = table.finish();
    signature
}

pub(super) fn read_tenant((name, table): (Located<String>, Option<Reader<'_>>)) -> Option<RawTenant> {
    let mut table = table?;
    let mut tenant = RawTenant {
        name,
        broken: false,
        id: table.string("id"),
        id_format: table.string("id_format"),
        placement: table.word("placement", &Place::WORDS),
        search_path: table.string("search_path"),
        database: table.string("database"),
        max_server_connections: table.count("max_server_connections", 0..=MAX_CONNECTIONS),
        max_client_conn: table.count("max_client_conn", 0..=MAX_CONNECTIONS),
        weight: table.count("weight", 1..=MAX_WEIGHT),
        transactions_per_second: table.count("transactions_per_second", 0..=MAX_RATE),
        connects_per_second: table.count("connects_per_second", 0..=MAX_RATE),
        statement_timeout: table.duration("statement_timeout"),
        role: table.string("role"),
        settings: table.pairs("settings"),
    };
    tenant.broken = table.finish();
    Some(tenant)
}

/// The keys of a user that are about tenants; the table's other keys are read elsewhere.
pub(super) fn read_user_tenants(table: &mut Reader<'_>) -> RawUserTenants {
    RawUserTenants {
        tenants: table.string_or_strings("tenants"),
        tenant: table.string("tenant"),
        role: table.string("role"),
    }
}
