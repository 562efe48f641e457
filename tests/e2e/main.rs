//! End-to-end tests: the real binary between real clients and real servers.
//!
//! One binary on purpose: its tests share one cluster of each version, which lives as long as the process.
#![allow(clippy::cloned_ref_to_slice_refs, clippy::type_complexity)] // reads better in tables of frames
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::pedantic)]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod cache;
mod console;
mod console_pgbouncer;
mod demo;
mod doctor;
mod drivers;
mod fingerprints;
mod follow;
mod frameworks;
mod hostile;
mod listen;
mod login;
mod page;
mod pins;
mod pooling;
mod prometheus;
mod replication;
mod selftest;
mod sessions;
mod sessions_round_trips;
mod tenants;
mod tls;
mod totals;
mod wire;
