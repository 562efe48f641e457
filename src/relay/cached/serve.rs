//! What becomes of a frame that may be the cache's: an answer, a wait, or its way to the server.

use std::sync::Arc;

use tokio::time::Instant;

use super::fill::Fill;
use super::key::Prefixed;
use super::unit::{self, Unit};
use super::wait::Waiting;
use super::wish::{self, Said, Wish};
use super::{Answered, MOST, Session, Stage};
use crate::cache::{Caching, Entry, Key, Look, Miss, Need, Study};
use crate::pool::Kind;
use crate::relay::buffer;
use crate::relay::session::End;
use crate::session::{Keep, Part};
use crate::sql::{self, Marks};
use crate::wire::{self, Frame, front};

/// As long as more waits to be read by a client, nothing more is given to it.
const MOST_UNREAD: usize = 256 << 10;

/// Whether it is a client's turn to be answered from memory.
pub(super) enum Turn {
    /// With this transaction status.
    Now(u8),
    /// What is before it must be answered first.
    Later,
    Never(Miss),
}

/// One Execute of a batch, or a simple query.
pub(super) struct Asked<'a> {
    pub(super) key: Key,
    pub(super) wish: &'a Wish,
    /// Its columns are part of the answer.
    pub(super) columns: bool,
    /// The text without marks, and the types that were given for its parameters.
    pub(super) core: &'a [u8],
    pub(super) types: &'a [u8],
}

/// What is done about something that is asked for.
pub(super) enum Found {
    Hit(Arc<Entry>),
    /// The server is asked, and the answer kept.
    Fetch(Fill),
    /// The server is asked.
    Pass(Miss),
    /// The same, and there is more to say about it.
    Told(Miss, Box<str>),
    Wait(Box<Waiting>),
}

impl Session {
    /// Looks whether a frame, whose tenant is in force, is for the cache. `rest` begins with it.
    pub(in crate::relay) fn answer(&mut self, head: Frame, rest: &[u8]) -> Answered {
        if self.pool.caching().is_none() || self.is_fetching() {
            return Answered::Not;
        }
        let begins = matches!(head.tag, front::QUERY | front::PARSE | front::BIND);
        if begins
            && self.out.bytes.len() > MOST_UNREAD
            && let Some(cached) = &mut self.cached
        {
            cached.stalled = true;
            return Answered::Wait;
        }
        let answered = self.answer_frame(head, rest);
        self.note_reading(head, rest, answered);
        answered
    }

    /// Goes on with frames that waited for what was given before to be read. True if there were any.
    pub(in crate::relay) fn poll_stalled(&mut self) -> Result<bool, End> {
        let stalled = self.cached.as_mut().is_some_and(|cached| std::mem::take(&mut cached.stalled));
        if stalled {
            self.continue_client()?;
        }
        Ok(stalled)
    }

    fn answer_frame(&mut self, head: Frame, rest: &[u8]) -> Answered {
        match head.tag {
            front::QUERY if head.len <= MOST => {
                let Some(body) = rest.get(5..head.len) else { return Answered::Not };
                match body.split_last() {
                    Some((0, text)) if !text.contains(&0) => self.answer_query(text, head.len),
                    _ => Answered::Not,
                }
            }
            front::PARSE | front::BIND => self.answer_batch(head, rest),
            _ => Answered::Not,
        }
    }

    pub(super) fn own_wishes(&self) -> bool {
        self.cached.as_ref().is_some_and(|cached| cached.own.wishes())
    }

    /// Cheap, and true for too many.
    fn may_be_marked(&self, caching: &Caching, text: &[u8]) -> bool {
        self.own_wishes()
            || memchr::memmem::find(text, b"howdah").is_some()
            || caching.rule(text, self.front.standard_strings()).is_some()
    }

    fn said(&self, caching: &Caching, text: &[u8], marks: Option<&Marks>) -> Said {
        let rule = caching.rule(text, self.front.standard_strings());
        let own = self.cached.as_ref().map(|cached| &cached.own);
        wish::said(marks, own, rule, &caching.config)
    }

    fn turn_to_answer(&mut self) -> Turn {
        if !self.front.may_be_answered() {
            return Turn::Never(Miss::Private);
        }
        match &mut self.stage {
            Stage::Resting if self.has_traces => Turn::Never(Miss::Private),
            Stage::Resting => Turn::Now(b'I'),
            Stage::Waiting(_) => Turn::Later,
            Stage::Leased(lease) if lease.kind() != Kind::Transaction => Turn::Never(Miss::Private),
            Stage::Leased(lease) if lease.session.status() != b'I' => {
                let reads = self.cached.as_ref().is_some_and(|cached| cached.reads_only);
                if reads && lease.session.status() == b'T' && lease.session.is_quiet() {
                    Turn::Now(b'T')
                } else {
                    Turn::Never(Miss::Transaction)
                }
            }
            Stage::Leased(lease) if lease.session.is_unsynced() => Turn::Never(Miss::Busy),
            Stage::Leased(lease) => {
                if lease.session.wait() {
                    Turn::Later
                } else {
                    Turn::Never(Miss::Busy)
                }
            }
        }
    }

    fn answer_query(&mut self, text: &[u8], len: usize) -> Answered {
        let Some(caching) = self.pool.caching().filter(|caching| self.may_be_marked(caching, text)) else {
            return Answered::Not;
        };
        let caching = Arc::clone(caching);
        let standard = self.front.standard_strings();
        let said = match sql::marks(text, standard) {
            Ok(marks) => self.said(&caching, text, Some(&marks)),
            Err(bad) => Said::Bad(bad.to_string()),
        };
        let Some(wish) = self.heed(&caching, said, text) else { return Answered::Not };
        let status = match self.turn_to_answer() {
            Turn::Now(status) => status,
            Turn::Later => return Answered::Wait,
            Turn::Never(why) => return self.missed(&caching, why),
        };
        let prefixed = self.prefixed(&caching);
        let core = sql::core(text, standard);
        let asked = Asked {
            key: prefixed.key(core, &[0, 0], None),
            wish: &wish,
            columns: true,
            core,
            types: &[0, 0],
        };
        match self.find(&caching, &prefixed, &asked, status == b'I') {
            Found::Hit(entry) => {
                buffer::lend(&mut self.out.bytes);
                self.hit(&entry);
                self.tell_hit(&entry, |front| front.noted(text));
                let out = &mut self.out.bytes;
                out.extend_from_slice(entry.columns().unwrap_or_default());
                out.extend_from_slice(entry.body());
                wire::ready_for_query(out, status);
                self.front.query_answered();
                self.answered_in(status);
                Answered::Bytes(len)
            }
            Found::Fetch(fill) => {
                self.fetch(vec![fill], vec![(front::QUERY, Some(Keep { number: 0, part: Part::Rows }))])
            }
            Found::Pass(why) => self.missed(&caching, why),
            Found::Told(why, detail) => self.missed_because(&caching, why, Some(&detail)),
            Found::Wait(waiting) => self.wait_for(waiting),
        }
    }

    /// What a marked text asks for; `None` if it is not to be cached, which is counted if it says so.
    fn heed(&mut self, caching: &Arc<Caching>, said: Said, text: &[u8]) -> Option<Wish> {
        match said {
            Said::Nothing => None,
            Said::Yes(wish) => {
                // A session's wish is about its reads, and says nothing of the others.
                let reads = sql::begins_as_read(text, self.front.standard_strings());
                if !reads && !self.own_wishes() {
                    self.missed(caching, Miss::NotCacheable);
                }
                reads.then_some(wish)
            }
            Said::Off => {
                self.missed(caching, Miss::Off);
                None
            }
            Said::Bad(why) => {
                self.missed_because(caching, Miss::BadMark, Some(&why));
                None
            }
        }
    }

    pub(super) fn missed(&mut self, caching: &Caching, why: Miss) -> Answered {
        self.missed_because(caching, why, None)
    }

    /// A marked query goes to the server; `detail` is for who wants to know why.
    pub(super) fn missed_because(&mut self, caching: &Caching, why: Miss, detail: Option<&str>) -> Answered {
        self.prefixed(caching).account.miss(why);
        self.tell(why, detail);
        Answered::Not
    }

    /// Looks for an answer, and for whoever is fetching it. `wait`: it may be waited for.
    pub(super) fn find(
        &mut self,
        caching: &Arc<Caching>,
        prefixed: &Arc<Prefixed>,
        asked: &Asked<'_>,
        wait: bool,
    ) -> Found {
        let cached = self.cached.get_or_insert_default();
        let (floor, alone) = (self.wrote_at, std::mem::take(&mut cached.alone));
        let handed = cached.handed.take().filter(|ticket| ticket.key() == asked.key);
        let (columns, max_age) = (asked.columns, asked.wish.ttl);
        let need = Need { account: &prefixed.account, columns, floor, max_age, wait };
        let database = &caching.database;
        let now = Instant::now();
        if let Some(entry) = database.peek(asked.key, need, now) {
            return Found::Hit(entry);
        }
        if alone {
            return Found::Pass(Miss::Busy);
        }
        if let Some(why) = database.is_paused() {
            return Found::Told(Miss::Paused, why.into());
        }
        let name = prefixed.plan(asked.core, asked.types, asked.wish.volatile, self.front.standard_strings());
        let plan = match database.plans.get(&name.key) {
            Study::Keep(plan) => plan,
            Study::Never(why) => return Found::Told(why.miss(), why.to_string().into()),
            Study::Learning => return Found::Pass(Miss::Learning),
            Study::Unknown => {
                self.study(caching, name.key, asked.core, asked.wish.volatile);
                return Found::Pass(Miss::Learning);
            }
        };
        let look = handed.map_or_else(|| database.look(asked.key, need, now), Look::Lead);
        match look {
            // Whoever asked for none that is so old asks for itself.
            Look::Stale(entry) if entry.age(now) > asked.wish.ttl + asked.wish.stale => {
                Found::Pass(Miss::Expired)
            }
            Look::Hit(entry) | Look::Stale(entry) => Found::Hit(entry),
            Look::Lead(ticket) => {
                let why = ticket.why();
                prefixed.account.miss(why);
                self.tell(why, None);
                Found::Fetch(Fill::answer(ticket, plan, asked, &caching.database))
            }
            Look::Wait(waiter) => Found::Wait(Box::new(Waiting::new(waiter, caching.config.wait))),
            Look::Alone(why) => Found::Pass(why),
            Look::Paused => Found::Pass(Miss::Paused),
        }
    }

    /// The first frame of a batch: the batch is looked at up to its end.
    fn answer_batch(&mut self, head: Frame, rest: &[u8]) -> Answered {
        let in_the_middle = matches!(&self.stage, Stage::Leased(lease) if lease.session.is_unsynced());
        let Some(caching) = self.pool.caching().filter(|_| !in_the_middle) else { return Answered::Not };
        let body = rest.get(5..head.len).unwrap_or_default();
        let marked = match head.tag {
            front::PARSE => wire::parse(body).is_ok_and(|parse| self.may_be_marked(caching, parse.query)),
            _ => wire::bind_head(body).and_then(|bind| self.front.settled(bind.statement)).is_some_and(
                |statement| {
                    statement.marks.is_some()
                        || statement.bad_marks
                        || self.own_wishes()
                        || caching.has_rules() && caching.rule_of(statement.text(), &statement.rule).is_some()
                },
            ),
        };
        if !marked {
            return Answered::Not;
        }
        let caching = Arc::clone(caching);
        let (steps, len) = match unit::unit(rest, MOST) {
            Unit::Whole(steps, len) => (steps, len),
            Unit::Other => return Answered::Not,
            // Nothing of it is owed an answer before its end is there.
            Unit::Incomplete => return Answered::Wait,
        };
        let batch = match self.read_batch(&caching, &steps) {
            Ok(batch) => batch,
            Err(why) => {
                if let Some(why) = why {
                    self.missed(&caching, why);
                }
                return self.pass_batch(&steps);
            }
        };
        let status = match self.turn_to_answer() {
            Turn::Later => return Answered::Wait,
            // Portals outlive the batch in a transaction block.
            Turn::Now(status) if status == b'I' || batch.is_plain() => status,
            turn => {
                let why = if let Turn::Never(why) = turn { why } else { Miss::Transaction };
                self.missed(&caching, why);
                return self.pass_batch(&steps);
            }
        };
        let prefixed = self.prefixed(&caching);
        self.answer_whole(&caching, &prefixed, &batch, &steps, (len, status))
    }
}
