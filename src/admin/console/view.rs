//! What can be looked at: its name, its columns. Those of PgBouncer are called, typed and ordered as in its version
//! 1.25, so that what reads it reads Howdah.

use super::cache;
use super::table::{Column, Kind};

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    ActiveSockets,
    Cache,
    CacheEntries,
    CacheMisses,
    Clients,
    Config,
    Databases,
    DnsHosts,
    DnsZones,
    Errors,
    Fds,
    Help,
    Lists,
    Mem,
    NPlusOne,
    PeerPools,
    Peers,
    Pins,
    Pools,
    Queries,
    Servers,
    Slow,
    Sockets,
    State,
    Stats,
    StatsAverages,
    StatsTotals,
    Tenants,
    Totals,
    Users,
    Version,
    /// What drivers ask a server for: its place in [`PARAMETERS`].
    Parameter(usize),
}

/// The word of each view, and what SHOW HELP says of it.
pub(super) const VIEWS: [(&str, View, &str); 31] = [
    ("help", View::Help, "these commands"),
    ("version", View::Version, "the version of Howdah"),
    (
        "queries",
        View::Queries,
        "statements without their constants, the heaviest first; [TENANT x]: what they cost one tenant",
    ),
    (
        "tenants",
        View::Tenants,
        "tenants: their part of the load, times, who waits, limits; the heaviest first",
    ),
    ("n_plus_one", View::NPlusOne, "statements that run once for each row of another one"),
    ("slow", View::Slow, "the latest statements that took as long as slow_query, the latest first"),
    ("errors", View::Errors, "errors by database and SQLSTATE"),
    ("pins", View::Pins, "clients that keep a server connection beyond their transactions, and for what"),
    ("cache", View::Cache, "for each database, what the cache holds and did"),
    ("cache_misses", View::CacheMisses, "for each database, why marked statements went to the server"),
    ("cache_entries", View::CacheEntries, "answers in memory, the largest first; 100 without a limit"),
    ("pools", View::Pools, "each pool's clients and server connections"),
    ("databases", View::Databases, "each database, where it is and how much of it may be used"),
    ("users", View::Users, "each user, and what its section says of pools"),
    ("clients", View::Clients, "each client and what it does"),
    ("servers", View::Servers, "each server connection and what it does"),
    ("sockets", View::Sockets, "clients and server connections"),
    ("active_sockets", View::ActiveSockets, "those of them that do something"),
    ("stats", View::Stats, "for each database, totals since the start and averages of the last minute"),
    ("stats_totals", View::StatsTotals, "the totals alone"),
    ("stats_averages", View::StatsAverages, "the averages alone"),
    ("totals", View::Totals, "totals and averages of all databases together"),
    ("lists", View::Lists, "how many there are of what"),
    ("config", View::Config, "the configuration, without secrets; PgBouncer's names first, in its units"),
    ("state", View::State, "whether Howdah is active"),
    ("mem", View::Mem, "what takes memory"),
    ("dns_hosts", View::DnsHosts, "nothing: names are looked up by the system"),
    ("dns_zones", View::DnsZones, "nothing"),
    ("peers", View::Peers, "nothing: there are no peers"),
    ("peer_pools", View::PeerPools, "nothing"),
    ("fds", View::Fds, "refused: sockets are not handed out"),
];

/// What drivers ask a server for, and what it is here.
pub(super) const PARAMETERS: [([Column; 1], &str); 9] = [
    ([("client_encoding", Kind::Text)], "UTF8"),
    ([("default_transaction_isolation", Kind::Text)], "read committed"),
    ([("standard_conforming_strings", Kind::Text)], "on"),
    ([("datestyle", Kind::Text)], "ISO, MDY"),
    ([("timezone", Kind::Text)], "UTC"),
    ([("extra_float_digits", Kind::Text)], "1"),
    ([("server_version", Kind::Text)], super::VERSION),
    ([("search_path", Kind::Text)], ""),
    ([("transaction_read_only", Kind::Text)], "off"),
];

const HELP: [Column; 2] = [("command", Kind::Text), ("what", Kind::Text)];
const VERSION: [Column; 1] = [("version", Kind::Text)];
const NAME_VALUE: [Column; 2] = [("name", Kind::Text), ("value", Kind::Numeric)];
const KEY_VALUE: [Column; 2] = [("key", Kind::Text), ("value", Kind::Text)];
const LISTS: [Column; 2] = [("list", Kind::Text), ("items", Kind::Int4)];
const CONFIG: [Column; 4] =
    [("key", Kind::Text), ("value", Kind::Text), ("default", Kind::Text), ("changeable", Kind::Text)];
const MEM: [Column; 5] = [
    ("name", Kind::Text),
    ("size", Kind::Int4),
    ("used", Kind::Int4),
    ("free", Kind::Int4),
    ("memtotal", Kind::Int4),
];
const DNS_HOSTS: [Column; 3] = [("hostname", Kind::Text), ("ttl", Kind::Int8), ("addrs", Kind::Text)];
const DNS_ZONES: [Column; 3] = [("zonename", Kind::Text), ("serial", Kind::Int8), ("count", Kind::Int4)];
const PEERS: [Column; 4] =
    [("peer_id", Kind::Int4), ("host", Kind::Text), ("port", Kind::Int4), ("pool_size", Kind::Int4)];
const PEER_POOLS: [Column; 5] = [
    ("peer_id", Kind::Int4),
    ("cl_active_cancel_req", Kind::Int4),
    ("cl_waiting_cancel_req", Kind::Int4),
    ("sv_active_cancel", Kind::Int4),
    ("sv_login", Kind::Int4),
];
const POOLS: [Column; 17] = [
    ("database", Kind::Text),
    ("user", Kind::Text),
    ("cl_active", Kind::Int4),
    ("cl_waiting", Kind::Int4),
    ("cl_active_cancel_req", Kind::Int4),
    ("cl_waiting_cancel_req", Kind::Int4),
    ("sv_active", Kind::Int4),
    ("sv_active_cancel", Kind::Int4),
    ("sv_being_canceled", Kind::Int4),
    ("sv_idle", Kind::Int4),
    ("sv_used", Kind::Int4),
    ("sv_tested", Kind::Int4),
    ("sv_login", Kind::Int4),
    ("maxwait", Kind::Int4),
    ("maxwait_us", Kind::Int4),
    ("pool_mode", Kind::Text),
    ("load_balance_hosts", Kind::Text),
];
/// The last one is what PgBouncer called `reserve_pool_size` before 1.24; older integrations ask for it.
const DATABASES: [Column; 18] = [
    ("name", Kind::Text),
    ("host", Kind::Text),
    ("port", Kind::Int4),
    ("database", Kind::Text),
    ("force_user", Kind::Text),
    ("pool_size", Kind::Int4),
    ("min_pool_size", Kind::Int4),
    ("reserve_pool_size", Kind::Int4),
    ("server_lifetime", Kind::Int4),
    ("pool_mode", Kind::Text),
    ("load_balance_hosts", Kind::Text),
    ("max_connections", Kind::Int4),
    ("current_connections", Kind::Int4),
    ("max_client_connections", Kind::Int4),
    ("current_client_connections", Kind::Int4),
    ("paused", Kind::Int4),
    ("disabled", Kind::Int4),
    ("reserve_pool", Kind::Int4),
];
const USERS: [Column; 8] = [
    ("name", Kind::Text),
    ("pool_size", Kind::Text),
    ("reserve_pool_size", Kind::Text),
    ("pool_mode", Kind::Text),
    ("max_user_connections", Kind::Int4),
    ("current_connections", Kind::Int4),
    ("max_user_client_connections", Kind::Int4),
    ("current_client_connections", Kind::Int4),
];
const SOCKETS: [Column; 28] = [
    ("type", Kind::Text),
    ("user", Kind::Text),
    ("database", Kind::Text),
    ("replication", Kind::Text),
    ("state", Kind::Text),
    ("addr", Kind::Text),
    ("port", Kind::Int4),
    ("local_addr", Kind::Text),
    ("local_port", Kind::Int4),
    ("connect_time", Kind::Text),
    ("request_time", Kind::Text),
    ("wait", Kind::Int4),
    ("wait_us", Kind::Int4),
    ("close_needed", Kind::Int4),
    ("ptr", Kind::Text),
    ("link", Kind::Text),
    ("remote_pid", Kind::Int4),
    ("tls", Kind::Text),
    ("application_name", Kind::Text),
    ("prepared_statements", Kind::Int4),
    ("id", Kind::Int4),
    ("recv_pos", Kind::Int4),
    ("pkt_pos", Kind::Int4),
    ("pkt_remain", Kind::Int4),
    ("send_pos", Kind::Int4),
    ("send_remain", Kind::Int4),
    ("pkt_avail", Kind::Int4),
    ("send_avail", Kind::Int4),
];
/// Columns of SOCKETS that clients and server connections have in tables of their own.
pub(super) const SOCKET: usize = 21;

/// What is summed up.
pub(super) struct Sum {
    /// As TOTALS calls it.
    pub(super) name: &'static str,
    /// Its average is for each of this other sum; `None`: for each second.
    pub(super) per: Option<usize>,
}

/// PgBouncer's sums, in its order.
pub(super) const SUMS: [Sum; 11] = {
    const fn sum(name: &'static str, per: Option<usize>) -> Sum {
        Sum { name, per }
    }
    [
        sum("server_assignment_count", None),
        sum("xact_count", None),
        sum("query_count", None),
        sum("client_bytes", None),
        sum("server_bytes", None),
        sum("xact_time", Some(1)),
        sum("query_time", Some(2)),
        sum("wait_time", Some(0)),
        sum("ps_client_parse_count", None),
        sum("ps_server_parse_count", None),
        sum("ps_bind_count", None),
    ]
};

/// The last one is what PgBouncer called `total_query_count` before 1.8; older integrations ask for it.
const STATS: [Column; 24] = [
    ("database", Kind::Text),
    ("total_server_assignment_count", Kind::Numeric),
    ("total_xact_count", Kind::Numeric),
    ("total_query_count", Kind::Numeric),
    ("total_received", Kind::Numeric),
    ("total_sent", Kind::Numeric),
    ("total_xact_time", Kind::Numeric),
    ("total_query_time", Kind::Numeric),
    ("total_wait_time", Kind::Numeric),
    ("total_client_parse_count", Kind::Numeric),
    ("total_server_parse_count", Kind::Numeric),
    ("total_bind_count", Kind::Numeric),
    ("avg_server_assignment_count", Kind::Numeric),
    ("avg_xact_count", Kind::Numeric),
    ("avg_query_count", Kind::Numeric),
    ("avg_recv", Kind::Numeric),
    ("avg_sent", Kind::Numeric),
    ("avg_xact_time", Kind::Numeric),
    ("avg_query_time", Kind::Numeric),
    ("avg_wait_time", Kind::Numeric),
    ("avg_client_parse_count", Kind::Numeric),
    ("avg_server_parse_count", Kind::Numeric),
    ("avg_bind_count", Kind::Numeric),
    ("total_requests", Kind::Numeric),
];
const STATS_TOTALS: [Column; 12] = [
    ("database", Kind::Text),
    ("server_assignment_count", Kind::Numeric),
    ("xact_count", Kind::Numeric),
    ("query_count", Kind::Numeric),
    ("bytes_received", Kind::Numeric),
    ("bytes_sent", Kind::Numeric),
    ("xact_time", Kind::Numeric),
    ("query_time", Kind::Numeric),
    ("wait_time", Kind::Numeric),
    ("client_parse_count", Kind::Numeric),
    ("server_parse_count", Kind::Numeric),
    ("bind_count", Kind::Numeric),
];
const STATS_AVERAGES: [Column; 12] = [
    ("database", Kind::Text),
    ("server_assignment_count", Kind::Numeric),
    ("xact_count", Kind::Numeric),
    ("query_count", Kind::Numeric),
    ("bytes_received", Kind::Numeric),
    ("bytes_sent", Kind::Numeric),
    ("xact_time", Kind::Numeric),
    ("query_time", Kind::Numeric),
    ("wait_time", Kind::Numeric),
    ("avg_client_parse_count", Kind::Numeric),
    ("avg_server_parse_count", Kind::Numeric),
    ("avg_bind_count", Kind::Numeric),
];
const PINS: [Column; 11] = [
    ("id", Kind::Int8),
    ("database", Kind::Text),
    ("user", Kind::Text),
    ("tenant", Kind::Text),
    ("application_name", Kind::Text),
    ("addr", Kind::Text),
    ("state", Kind::Text),
    ("reasons", Kind::Text),
    ("server", Kind::Text),
    ("server_pid", Kind::Int8),
    ("request_time", Kind::Text),
];
/// Times are in milliseconds, as in `pg_stat_statements`.
const QUERIES: [Column; 25] = [
    ("database", Kind::Text),
    ("fingerprint", Kind::Text),
    ("calls", Kind::Int8),
    ("errors", Kind::Int8),
    ("rows", Kind::Int8),
    ("bytes", Kind::Int8),
    ("cached", Kind::Int8),
    ("time_percent", Kind::Float8),
    ("total_time", Kind::Float8),
    ("mean_time", Kind::Float8),
    ("min_time", Kind::Float8),
    ("p50_time", Kind::Float8),
    ("p90_time", Kind::Float8),
    ("p95_time", Kind::Float8),
    ("p99_time", Kind::Float8),
    ("p999_time", Kind::Float8),
    ("max_time", Kind::Float8),
    ("wait_time", Kind::Float8),
    ("preamble_time", Kind::Float8),
    ("server_time", Kind::Float8),
    ("client_time", Kind::Float8),
    ("cache_time", Kind::Float8),
    ("n_plus_one", Kind::Int8),
    ("last_seen", Kind::Text),
    ("query", Kind::Text),
];
const TENANTS: [Column; 20] = [
    ("database", Kind::Text),
    ("tenant", Kind::Text),
    ("calls", Kind::Int8),
    ("errors", Kind::Int8),
    ("rows", Kind::Int8),
    ("bytes", Kind::Int8),
    ("cached", Kind::Int8),
    ("time_percent", Kind::Float8),
    ("total_time", Kind::Float8),
    ("mean_time", Kind::Float8),
    ("p50_time", Kind::Float8),
    ("p99_time", Kind::Float8),
    ("transactions", Kind::Int8),
    ("transaction_time", Kind::Float8),
    ("wait_time", Kind::Float8),
    ("clients", Kind::Int8),
    ("waiting", Kind::Int8),
    ("weight", Kind::Int8),
    ("max_server_connections", Kind::Int8),
    ("transactions_per_second", Kind::Int8),
];
const N_PLUS_ONE: [Column; 12] = [
    ("database", Kind::Text),
    ("fingerprint", Kind::Text),
    ("route", Kind::Text),
    ("controller", Kind::Text),
    ("action", Kind::Text),
    ("occurrences", Kind::Int8),
    ("executions", Kind::Int8),
    ("worst", Kind::Int8),
    ("total_time", Kind::Float8),
    ("last_seen", Kind::Text),
    ("before", Kind::Text),
    ("query", Kind::Text),
];
const ERRORS: [Column; 8] = [
    ("database", Kind::Text),
    ("sqlstate", Kind::Text),
    ("count", Kind::Int8),
    ("of_howdah", Kind::Int8),
    ("user", Kind::Text),
    ("last_seen", Kind::Text),
    ("fingerprint", Kind::Text),
    ("query", Kind::Text),
];
const SLOW: [Column; 20] = [
    ("at", Kind::Text),
    ("database", Kind::Text),
    ("user", Kind::Text),
    ("tenant", Kind::Text),
    ("application_name", Kind::Text),
    ("route", Kind::Text),
    ("traceparent", Kind::Text),
    ("total_time", Kind::Float8),
    ("wait_time", Kind::Float8),
    ("preamble_time", Kind::Float8),
    ("first_byte_time", Kind::Float8),
    ("rest_time", Kind::Float8),
    ("client_time", Kind::Float8),
    ("cache_time", Kind::Float8),
    ("rows", Kind::Int8),
    ("bytes", Kind::Int8),
    ("sqlstate", Kind::Text),
    ("fingerprint", Kind::Text),
    ("query", Kind::Text),
    ("parameters", Kind::Text),
];

impl View {
    /// Columns of its rows.
    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::ActiveSockets | Self::Sockets => &SOCKETS,
            Self::Clients | Self::Servers => SOCKETS.split_at(SOCKET).0,
            Self::Cache => &cache::CACHE,
            Self::CacheEntries => &cache::ENTRIES,
            Self::CacheMisses => &cache::MISSES,
            Self::Config => &CONFIG,
            Self::Databases => &DATABASES,
            Self::DnsHosts => &DNS_HOSTS,
            Self::DnsZones => &DNS_ZONES,
            Self::Errors => &ERRORS,
            Self::Fds => &[],
            Self::Help => &HELP,
            Self::Lists => &LISTS,
            Self::Mem => &MEM,
            Self::NPlusOne => &N_PLUS_ONE,
            Self::PeerPools => &PEER_POOLS,
            Self::Peers => &PEERS,
            Self::Pins => &PINS,
            Self::Pools => &POOLS,
            Self::Queries => &QUERIES,
            Self::Slow => &SLOW,
            Self::State => &KEY_VALUE,
            Self::Stats => &STATS,
            Self::StatsAverages => &STATS_AVERAGES,
            Self::StatsTotals => &STATS_TOTALS,
            Self::Tenants => &TENANTS,
            Self::Totals => &NAME_VALUE,
            Self::Users => &USERS,
            Self::Version => &VERSION,
            Self::Parameter(at) => PARAMETERS.get(at).map_or(&[], |(columns, _)| columns),
        }
    }
}
