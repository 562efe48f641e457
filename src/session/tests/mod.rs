//! Sessions as pure state machines, against a server that is a model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod model;
mod named;
mod random;
mod rig;
