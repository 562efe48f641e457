//! `SET howdah.explain_cache = on`: a NOTICE says what became of each marked query.

use tokio::time::Instant;

use super::{Session, Stage};
use crate::cache::{Entry, Miss, Why};
use crate::relay::buffer;
use crate::wire::{self, back};

/// What there is to tell.
pub(super) enum Told<'a> {
    Miss(Miss),
    /// It never comes from memory: why.
    Never(&'a Why),
    /// Caching of the database is paused: why.
    Paused(&'a str),
    /// A mark cannot be read: why.
    Bad(&'a str),
}

impl Session {
    fn explains(&self) -> bool {
        self.cached.as_ref().is_some_and(|cached| cached.own.explains())
    }

    /// A marked query is answered from memory.
    pub(super) fn tell_hit(&mut self, entry: &Entry) {
        if self.explains() {
            let age = entry.age(Instant::now()).as_secs_f64();
            self.notice(&format!("cache: hit, {age:.3} s old"), None);
        }
    }

    /// A marked query goes to the server.
    pub(super) fn tell(&mut self, what: Told<'_>) {
        if !self.explains() {
            return;
        }
        match what {
            Told::Miss(why) => self.notice(&format!("cache: miss, {}", why.word()), None),
            Told::Paused(why) => self.notice("cache: miss, paused", Some(why)),
            Told::Never(why) => {
                self.notice(&format!("cache: miss, {}", why.miss().word()), Some(&why.to_string()));
            }
            Told::Bad(why) => self.notice("cache: miss, bad_mark", Some(why)),
        }
    }

    fn notice(&mut self, message: &str, detail: Option<&str>) {
        // Not into the middle of an answer.
        let at_rest = match &self.stage {
            Stage::Resting => true,
            Stage::Waiting(_) => false,
            Stage::Leased(lease) => lease.session.is_quiet(),
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
