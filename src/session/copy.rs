//! COPY from the client: the server ignores the Syncs that it meets in it.

use super::expect::Kind;
use super::server::ServerSession;

impl ServerSession {
    /// The server has begun to read COPY data, and ignores the Syncs that it meets in it.
    pub(super) fn begin_copy_in(&mut self) {
        let extended = self.expect.front().is_some_and(|head| head.kind == Kind::Execute);
        let end = self.expect.iter().position(|e| e.kind == Kind::CopyEnd);
        let before = self.expect.len();
        let mut at = 0;
        self.expect.retain(|entry| {
            at += 1;
            entry.kind != Kind::Sync || end.is_some_and(|end| at > end)
        });
        if extended && self.expect.len() < before {
            // The batch is open again: its end is the Sync behind the COPY.
            self.unsynced |= !self.expect.iter().any(|e| e.kind == Kind::Sync);
        }
        self.copy_in = end.is_none();
        // What holds frames back until the batch is answered must not hold the data back that it waits for.
        self.barrier &= !self.copy_in;
        self.doubt &= self.owes_batch();
    }
}
