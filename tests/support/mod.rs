//! What the integration tests share: real Postgres clusters, the binary under test, a raw protocol
//! client and a scripted server.
#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::pedantic
)]

pub mod cluster;
pub mod dice;
pub mod fake;
pub mod howdah;
pub mod tap;
pub mod tls;
pub mod watchdog;
pub mod wire;

pub use cluster::{Cluster, Database, Version};
pub use dice::Dice;
pub use fake::{FakeBackend, FakeSession};
pub use howdah::{Config, Howdah};
pub use tap::Tap;
pub use tls::{Authority, Begin, Tunnel};
pub use wire::{Message, Wire};

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The password of every role in every test cluster, and of every user in a test's `Howdah`.
pub const PASSWORD: &str = "secret";

/// How long anything bounded may take before a test gives up. Long on purpose: it is no assertion about
/// speed, only the end of waiting.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `condition` again and again until it holds, and panics with `what` after [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    listener.local_addr().expect("its address").port()
}

/// Cargo's target folder, where `scripts/install-deps.sh` puts servers and drivers.
pub fn target_dir() -> PathBuf {
    let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().expect("a target folder").to_path_buf()
}

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
