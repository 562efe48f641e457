//! Howdah: a Postgres wire-protocol proxy that pools connections a transaction at a time.
//!
//! The crate is one house with floors; a room may import from the floors below it only, and the rooms
//! of one floor do not know each other (`tests/architecture.rs` fails the build otherwise).
//!
//! | floor | room | what it is for |
//! | --- | --- | --- |
//! | F6 | [`app`] | the only room that knows every other: build, reload, drain, signals, subcommands |
//! | F6 | [`demo`] | a throw-away Postgres with sample tenants and a Howdah in front of it |
//! | F5 | [`admin`] | the console, and HTTP: metrics, health, the page |
//! | F5 | [`relay`] | one client's life: the only room that holds both sockets |
//! | F4 | [`pool`] | queue and slots (pure), pool, lease, health, registry |
//! | F3 | [`frontend`] | accept, TLS, startup, client login |
//! | F3 | [`backend`] | connect, server login, one server connection, cancel |
//! | F2 | [`session`] | pure: transaction state, prepared statements, settings, verdicts |
//! | F2 | [`tenancy`] | pure: who the tenant is, what its transactions get and what they may not touch |
//! | F2 | [`auth`] | pure: SCRAM on both sides, md5, verifiers |
//! | F2 | [`cache`] | answers of marked reads: store, keys, what ends them, one query for many |
//! | F1 | [`net`] | listener, stream (tcp, tls, unix), TLS |
//! | F1 | [`observe`] | metrics; what statements cost |
//! | F1 | [`config`] | raw (as typed) → checked (valid) |
//! | F0 | [`wire`] | frames, readers and writers of single messages |
//! | F0 | [`sql`] | lexer and classification |
//! | F0 | [`ids`] | newtypes and words that rooms share |

pub mod admin;
pub mod app;
pub mod auth;
pub mod backend;
pub mod cache;
pub mod config;
pub mod demo;
pub mod frontend;
pub mod ids;
pub mod net;
pub mod observe;
pub mod pool;
pub mod relay;
pub mod session;
pub mod sql;
pub mod tenancy;
pub mod wire;
