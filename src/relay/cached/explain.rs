//! `SET howdah.explain_cache = on`: a NOTICE says what became of each marked query.

use tokio::time::Instant;

use super::{Session, Stage};
use crate::cache::{Entry, Miss};
use crate::relay::buffer;
use crate::wire::{self, back};

impl Session {
    fn explains(&self) -> bool {
        self.cached.as_ref().is_some_and(|cached| cached.own.explains())
    }

    /// A marked query is answered from memory.
    pub(super) fn hit(&mut self, entry: &Entry) {
        let now = Instant::now();
        entry.given(now);
        if self.explains() {
            let age = entry.age(now).as_secs_f64();
            self.notice(&format!("cache: hit, {age:.3} s old"), None);
        }
    }

    /// A marked query goes to the server: why, and what else there is to say about it.
    pub(super) fn tell(&mut self, why: Miss, detail: Option<&str>) {
        if self.explains() {
            self.notice(&format!("cache: miss, {}", why.word()), detail);
        }
    }

    fn notice(&mut self, message: &str, detail: Option<&str>) {
        // Not into the middle of an answer.
        let at_rest = match &self.stage {
            Stage::Resting => true,
            Stage::Waiting(_) => false,
            Stage::Leased(lease) => lease.session.shows_nothing(),
        };
        if !at_rest {
            return;
        }
        buffer::lend(&mut self.out.bytes);
        wire::frame(&mut self.out.bytes, back::NOTICE, |out| {
            let fields = [(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', "00000"), (b'M', message)];
            for (kind, value) in fields.into_iter().chain(detail.map(|detail| (b'D', detail))) {
                out.push(kind);
                out.extend_from_slice(value.as_bytes());
                out.push(0);
            }
            out.push(0);
        });
    }
}
