//! Sessions as pure state machines, against a server that is a model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub(crate) mod model;
mod named;
mod random;
pub(crate) mod rig;
mod tenants;
mod timing;
