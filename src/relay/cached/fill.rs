//! Answers that are fetched from the server, for this client and for whoever asks for the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::serve::Asked;
use super::unit::Step;
use super::{Answered, Session, Stage};
use crate::cache::{About, Answer, Database, GiveUp, Key, Plan, Shape, Ticket};
use crate::session::{Keep, Kept};

/// The most of a text that is kept for lists, in bytes.
const HEAD: usize = 200;

/// Something that is kept when the server has said it.
#[derive(Debug)]
pub(super) enum Fill {
    /// An answer.
    Answer(Box<Fetched>),
    /// What a Describe of a statement says, by the name of its text.
    Shape(Arc<Plan>, Key),
}

/// An answer that is on its way.
#[derive(Debug)]
pub(super) struct Fetched {
    ticket: Ticket,
    database: Arc<Database>,
    plan: Arc<Plan>,
    ttl: Duration,
    stale: Duration,
    tags: Vec<Box<str>>,
    text: Arc<str>,
}

impl Fill {
    pub(super) fn answer(
        ticket: Ticket,
        plan: Arc<Plan>,
        asked: &Asked<'_>,
        database: &Arc<Database>,
    ) -> Self {
        let head = asked.core.get(..HEAD).unwrap_or(asked.core);
        Self::Answer(Box::new(Fetched {
            ticket,
            database: Arc::clone(database),
            plan,
            ttl: asked.wish.ttl,
            stale: asked.wish.stale,
            tags: asked.wish.tags.clone(),
            text: String::from_utf8_lossy(head).into(),
        }))
    }

    /// Its query goes out.
    fn begin(&mut self) {
        if let Self::Answer(fetched) = self {
            fetched.ticket.begin(Instant::now());
        }
    }

    /// Settings that must be what the session believes them to be.
    fn settings(&self) -> &[Box<str>] {
        match self {
            Self::Answer(fetched) => &fetched.plan.settings,
            Self::Shape(..) => &[],
        }
    }
}

impl Session {
    /// The frames that come next go to the server, and their answers are kept: one entry for each frame.
    pub(super) fn fetch(&mut self, fills: Vec<Fill>, keeps: Vec<(u8, Option<Keep>)>) -> Answered {
        let cached = self.cached.get_or_insert_default();
        cached.fills = fills;
        cached.keeps = VecDeque::from(keeps);
        cached.begun = false;
        Answered::Not
    }

    /// The frames that come next, so many of them, have been looked at, and nothing of them is the cache's.
    pub(super) fn pass_batch(&mut self, steps: &[Step<'_>]) -> Answered {
        let cached = self.cached.get_or_insert_default();
        cached.reads_only = false; // what they do is not known
        self.fetch(Vec::new(), steps.iter().map(|step| (step.tag(), None)).collect())
    }

    /// The frames that come next have been looked at.
    pub(super) fn is_fetching(&self) -> bool {
        self.cached.as_ref().is_some_and(|cached| !cached.keeps.is_empty())
    }

    /// A frame is about to be judged with a server connection.
    pub(in crate::relay) fn keep_answer(&mut self, tag: u8) {
        let Some(cached) = self.cached.as_deref_mut() else { return };
        let Some((_, keep)) = cached.keeps.front().copied().filter(|(expected, _)| *expected == tag) else {
            // No frame is kept that was not looked at: no answer may be taken for another one's.
            cached.keeps.clear();
            return;
        };
        let Stage::Leased(lease) = &mut self.stage else { return };
        if !cached.fills.is_empty() && !std::mem::replace(&mut cached.begun, true) {
            let most = self.pool.caching().map_or(0, |caching| caching.config.max_entry);
            lease.session.begin_keeping(cached.fills.len(), most);
            for fill in &mut cached.fills {
                fill.begin();
            }
            for setting in cached.fills.iter().flat_map(Fill::settings) {
                lease.session.verify(setting);
            }
        }
        self.front.keep(keep);
    }

    /// A frame is dealt with.
    pub(in crate::relay) fn frame_done(&mut self) {
        let Some(cached) = self.cached.as_deref_mut() else { return };
        cached.keeps.pop_front();
        self.front.keep(None);
        if cached.keeps.is_empty() && !cached.fills.is_empty() && matches!(self.stage, Stage::Resting) {
            cached.fills.clear(); // they were refused
        }
    }

    /// What was kept is stored, if it is all there. `free`: the connection goes back, with nothing of the client's left
    /// in its session that anybody knows of.
    pub(in crate::relay) fn store_answers(&mut self, free: bool) {
        let Some(cached) = self.cached.as_deref_mut().filter(|cached| !cached.fills.is_empty()) else {
            return;
        };
        let Stage::Leased(lease) = &mut self.stage else { return };
        let verified = lease.session.verified();
        if verified.is_none() && !free {
            return; // the server is to be asked
        }
        let Some(kept) = lease.session.take_kept() else {
            if free {
                // Its batch failed, or was replaced by another one.
                lease.session.stop_keeping();
                cached.fills.clear();
            }
            return;
        };
        for (fill, kept) in std::mem::take(&mut cached.fills).into_iter().zip(kept) {
            match fill {
                Fill::Shape(plan, text) if kept.done && !kept.parameters.is_empty() => {
                    let Kept { parameters, columns, .. } = kept;
                    plan.shapes.put(text, Shape { parameters: parameters.into(), columns: columns.into() });
                }
                Fill::Shape(..) => {}
                Fill::Answer(fetched) => fetched.store(kept, verified == Some(true)),
            }
        }
    }

    /// Nothing that is on its way is stored.
    pub(in crate::relay) fn drop_answers(&mut self) {
        if let Some(cached) = self.cached.as_deref_mut() {
            cached.fills.clear();
            if let Stage::Leased(lease) = &mut self.stage {
                lease.session.stop_keeping();
            }
        }
    }
}

impl Fetched {
    fn store(self, kept: Kept, verified: bool) {
        let Self { ticket, database, plan, ttl, stale, tags, text } = self;
        let now = Instant::now();
        if kept.too_big {
            ticket.give_up(GiveUp::TooBig, now);
        } else if kept.unfit || kept.done && !verified {
            ticket.give_up(GiveUp::NotKept, now);
        } else if !kept.done {
            drop(ticket); // it was cut short: another may have more luck
        } else {
            let marks = if tags.is_empty() {
                Arc::clone(&plan.marks)
            } else {
                plan.marks.iter().map(Arc::clone).chain(tags.iter().map(|tag| database.tag(tag))).collect()
            };
            let columns = (!kept.columns.is_empty()).then_some(kept.columns);
            let answer = Answer { columns, body: kept.body, rows: kept.rows };
            let about =
                About { marks, ttl, stale, by_ttl_only: plan.by_ttl_only, catalog: plan.catalog, text };
            ticket.store(answer, about, now);
        }
    }
}
