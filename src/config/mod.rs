//! The configuration: from files as somebody typed them to values that are valid (floor 1).
//!
//! May import `crate::ids` and nothing else of this crate.

mod checked;
mod pool;

pub use checked::{
    AuthType, CONSOLE_DATABASES, Config, Database, Http, Listen, ListenTls, Log, LogFormat, LogLevel,
    ServerTls, User,
};
pub use pool::{PoolMode, PoolOverrides, PoolSettings};
