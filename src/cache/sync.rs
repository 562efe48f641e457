//! The locks and atomics that order one thread's work after another's. The model test compiles this room a
//! second time with those of its scheduler instead.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) use parking_lot::{Mutex, RwLock};
