//! Threads that run sessions, each with a runtime of its own.
//!
//! Several single-threaded runtimes instead of one with several threads: a session never moves, so waking it
//! never crosses threads, and nothing is stolen.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::config::Listen;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

/// The workers. Dropped, they stop.
pub(super) struct Workers {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<Notify>,
}

/// How many workers there are.
pub(super) fn count(listen: &Listen) -> usize {
    listen.worker_threads.map_or_else(default_count, NonZeroUsize::get)
}

/// How many workers, if the configuration says nothing: half of the cores, the other half for what is on
/// the machine besides.
fn default_count() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).div_ceil(2)
}

impl Workers {
    /// Starts `count` of them.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let mut workers = Self { handles: Vec::new(), threads: Vec::new(), stop: Arc::new(Notify::new()) };
        for n in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.handles.push(runtime.handle().clone());
            let stop = Arc::clone(&workers.stop);
            let thread = thread::Builder::new()
                .name(format!("worker-{n}"))
                .spawn(move || runtime.block_on(stop.notified()))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Their runtimes.
    pub(super) fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Each thread waits once; a permit kept by `notify_one` reaches one that is not waiting yet.
        self.stop.notify_waiters();
        self.threads.iter().for_each(|_| self.stop.notify_one());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
