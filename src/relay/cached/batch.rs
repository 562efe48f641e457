//! Batches of the extended protocol: answered as a whole, or kept as they pass.

use std::sync::Arc;

use super::fill::Fill;
use super::key::Prefixed;
use super::serve::{Asked, Found};
use super::unit::{Step, Values};
use super::wish::{self, Said, Wish};
use super::{Answered, Session};
use crate::cache::{Caching, Entry, Key, Miss, Plan, Shape, Study};
use crate::relay::buffer;
use crate::session::{Intern as _, Keep, Part, Statement};
use crate::sql;
use crate::wire::{self, back};

/// Answers of one batch that are given from memory, in bytes; a single one may be larger.
const MOST_GIVEN: usize = 4 << 20;
/// Marks that are about the cache. Others say whom a text runs for.
const OURS: [&str; 4] = ["cache", "stale", "tag", "cache_volatile"];

/// A Bind.
struct Bound<'a> {
    portal: &'a [u8],
    name: &'a [u8],
    statement: Arc<Statement>,
    values: Values<'a>,
    wish: Wish,
    described: bool,
    executed: bool,
}

/// A batch that is for the cache.
pub(super) struct Batch<'a> {
    /// Names that it defines, or closes.
    names: Vec<(&'a [u8], Option<Arc<Statement>>)>,
    bound: Vec<Bound<'a>>,
    /// For each step that is about a portal, which Bind that was; in their order.
    uses: Vec<usize>,
    /// Statements that are described, in their order.
    described: Vec<Arc<Statement>>,
}

impl Batch<'_> {
    /// Nothing of it is left behind when it is over.
    pub(super) fn is_plain(&self) -> bool {
        self.bound.iter().all(|bound| bound.executed && matches!(bound.portal, b"" | b"\0"))
    }

    fn portal(&self, name: &[u8]) -> Option<usize> {
        self.bound.iter().rposition(|bound| bound.portal == name)
    }
}

impl Session {
    /// Reads a batch.
    ///
    /// # Errors
    /// It is not for the cache; why, if it was marked.
    pub(super) fn read_batch<'a>(
        &mut self,
        caching: &Caching,
        steps: &[Step<'a>],
    ) -> Result<Batch<'a>, Option<Miss>> {
        let mut batch =
            Batch { names: Vec::new(), bound: Vec::new(), uses: Vec::new(), described: Vec::new() };
        for step in steps {
            match *step {
                Step::Parse(parse) => {
                    let taken = batch.names.iter().any(|(name, _)| *name == parse.name && !name.is_empty());
                    if taken || !self.front.may_define(parse.name, parse.body.len()) {
                        return Err(None);
                    }
                    let (scope, standard) = (self.front.scope(), self.front.standard_strings());
                    let statement = if parse.name.is_empty() {
                        self.shared.interner.unnamed(parse.body, standard)
                    } else {
                        self.shared.interner.intern(parse.body, scope, standard)
                    };
                    batch.names.push((parse.name, Some(statement)));
                }
                Step::Bind { portal, statement, values } => {
                    if !portal.is_empty() && batch.portal(portal).is_some() {
                        return Err(None); // the server says that it exists
                    }
                    let bound = self.read_bind(caching, &batch, (portal, statement), values)?;
                    batch.bound.push(bound);
                }
                Step::DescribeStatement(name) => {
                    let statement = self.meant(&batch, name).ok_or(None)?;
                    batch.described.push(statement);
                }
                Step::DescribePortal(name) => {
                    let at = batch.portal(name).ok_or(None)?;
                    batch.uses.push(at);
                    batch.bound.get_mut(at).ok_or(None)?.described = true;
                }
                Step::Execute { portal, max_rows } => {
                    let at = batch.portal(portal).ok_or(None)?;
                    batch.uses.push(at);
                    let bound = batch.bound.get_mut(at).ok_or(None)?;
                    if max_rows != 0 {
                        return Err(Some(Miss::RowLimit)); // a part of the answer is not the answer
                    }
                    if std::mem::replace(&mut bound.executed, true) {
                        return Err(Some(Miss::NotCacheable)); // its rows are all given
                    }
                }
                Step::CloseStatement(name) => batch.names.push((name, None)),
                Step::ClosePortal(name) => {
                    if let Some(bound) = batch.portal(name).and_then(|at| batch.bound.get_mut(at)) {
                        bound.portal = b"\0"; // no portal's name
                    }
                }
                Step::Sync | Step::Flush => {}
            }
        }
        let foreign = |bound: &Bound<'_>| {
            let marks = bound.statement.marks.iter().flat_map(|marks| &marks.pairs);
            marks.into_iter().any(|(key, _)| !OURS.contains(&&**key))
        };
        if batch.bound.len() > 1 && batch.bound.iter().any(foreign) {
            return Err(None); // each may be for somebody else
        }
        Ok(batch)
    }

    /// The statement that a name means at this point of a batch.
    fn meant(&self, batch: &Batch<'_>, name: &[u8]) -> Option<Arc<Statement>> {
        match batch.names.iter().rev().find(|(known, _)| *known == name) {
            Some((_, statement)) => statement.clone(),
            None => self.front.settled(name).cloned(),
        }
    }

    fn read_bind<'a>(
        &mut self,
        caching: &Caching,
        batch: &Batch<'a>,
        (portal, name): (&'a [u8], &'a [u8]),
        values: Values<'a>,
    ) -> Result<Bound<'a>, Option<Miss>> {
        let statement = self.meant(batch, name).ok_or(None)?;
        let Some((text, _)) = wire::c_string(&statement.body) else { return Err(None) };
        let own = self.cached.as_ref().map(|cached| &cached.own);
        let said = if statement.bad_marks {
            Said::Bad("A mark is not of the form howdah.key='value', or comes twice.".to_owned())
        } else {
            let rule = caching.rule_of(text, &statement.rule);
            wish::said(statement.marks.as_deref(), own, rule, &caching.config)
        };
        let standard = self.front.standard_strings();
        match said {
            Said::Nothing => Err(None),
            Said::Yes(_) if !sql::begins_as_read(text, standard) => {
                let silent = self.own_wishes() && statement.marks.is_none();
                Err((!silent).then_some(Miss::NotCacheable))
            }
            Said::Yes(wish) => {
                Ok(Bound { portal, name, statement, values, wish, described: false, executed: false })
            }
            Said::Off => Err(Some(Miss::Off)),
            Said::Bad(why) => {
                self.missed_because(caching, Miss::BadMark, Some(&why));
                Err(None)
            }
        }
    }

    /// Answers a batch, or sees to it that its answers are kept. `len`: its bytes; `status`: that of the transaction.
    pub(super) fn answer_whole(
        &mut self,
        caching: &Arc<Caching>,
        prefixed: &Arc<Prefixed>,
        batch: &Batch<'_>,
        steps: &[Step<'_>],
        (len, status): (usize, u8),
    ) -> Answered {
        let shapes: Vec<Shaped> =
            batch.described.iter().map(|statement| self.shape_of(caching, prefixed, statement)).collect();
        let all_shaped = shapes.iter().all(|shape| matches!(shape, Shaped::Known(_)));
        let wait =
            batch.bound.iter().filter(|bound| bound.executed).count() == 1 && all_shaped && status == b'I';
        let mut entries: Vec<Option<Arc<Entry>>> = Vec::new();
        let mut fills: Vec<(usize, Fill)> = Vec::new();
        for (at, bound) in batch.bound.iter().enumerate() {
            if !bound.executed {
                entries.push(None);
                continue;
            }
            let asked = self.asked(prefixed, bound);
            match self.find(caching, prefixed, &asked, wait) {
                Found::Hit(entry) => entries.push(Some(entry)),
                Found::Fetch(fill) => {
                    entries.push(None);
                    fills.push((at, fill));
                }
                Found::Pass(why) => {
                    self.missed(caching, why);
                    entries.push(None);
                }
                Found::Told(why, detail) => {
                    self.missed_because(caching, why, Some(&detail));
                    entries.push(None);
                }
                Found::Wait(waiting) => return self.wait_for(waiting),
            }
        }
        let known = |(bound, entry): (&Bound<'_>, &Option<Arc<Entry>>)| !bound.executed || entry.is_some();
        let bytes: usize = entries.iter().flatten().map(|entry| entry.body().len()).sum();
        if entries.len() > 1 && bytes > MOST_GIVEN {
            return self.pass_batch(steps); // a server sends it as fast as the client reads
        }
        if all_shaped && batch.bound.iter().zip(&entries).all(known) {
            self.give(batch, steps, &shapes, &entries, status);
            self.answered_in(status);
            return Answered::Bytes(len);
        }
        self.fetch_batch(batch, steps, &shapes, fills)
    }

    fn asked<'b>(&self, prefixed: &Prefixed, bound: &'b Bound<'_>) -> Asked<'b> {
        let (text, types) = wire::c_string(&bound.statement.body).unwrap_or_default();
        let core = sql::core(text, self.front.standard_strings());
        Asked {
            key: prefixed.key(core, types, Some(&bound.values)),
            wish: &bound.wish,
            columns: bound.described,
            core,
            types,
        }
    }
}

/// What a Describe of a statement is answered with.
enum Shaped {
    Known(Arc<Shape>),
    /// It is to be kept when the server says it, under this name.
    Wanted(Arc<Plan>, Key),
    Unknown,
}

impl Session {
    fn shape_of(&mut self, caching: &Arc<Caching>, prefixed: &Prefixed, statement: &Statement) -> Shaped {
        let (text, types) = wire::c_string(&statement.body).unwrap_or_default();
        let core = sql::core(text, self.front.standard_strings());
        let own = self.cached.as_ref().map(|cached| &cached.own);
        let rule = caching.rule_of(text, &statement.rule);
        let said = wish::said(statement.marks.as_deref(), own, rule, &caching.config);
        let (Said::Yes(wish), false) = (said, statement.bad_marks) else { return Shaped::Unknown };
        let studied = prefixed.plan(core, types, wish.volatile, self.front.standard_strings());
        match caching.database.plans.get(&studied.key) {
            Study::Keep(plan) => match plan.shapes.get(studied.text) {
                Some(shape) => Shaped::Known(shape),
                None => Shaped::Wanted(plan, studied.text),
            },
            Study::Unknown => {
                self.study(caching, studied.key, core, wish.volatile);
                Shaped::Unknown
            }
            Study::Learning | Study::Never(_) => Shaped::Unknown,
        }
    }

    /// The batch goes to the server, and what of its answers is wanted is kept.
    fn fetch_batch(
        &mut self,
        batch: &Batch<'_>,
        steps: &[Step<'_>],
        shapes: &[Shaped],
        answers: Vec<(usize, Fill)>,
    ) -> Answered {
        let number = |at: usize| answers.iter().position(|(bound, _)| *bound == at);
        let mut uses = batch.uses.iter();
        let mut wanted = shapes.iter();
        let (mut keeps, mut plans) = (Vec::with_capacity(steps.len()), Vec::new());
        for step in steps {
            let keep = match step {
                Step::DescribePortal(_) | Step::Execute { .. } => {
                    let part = if matches!(step, Step::Execute { .. }) { Part::Rows } else { Part::Columns };
                    uses.next().and_then(|at| number(*at)).map(|number| Keep { number, part })
                }
                Step::DescribeStatement(_) => match wanted.next() {
                    Some(Shaped::Wanted(plan, text)) => {
                        plans.push(Fill::Shape(Arc::clone(plan), *text));
                        Some(Keep { number: answers.len() + plans.len() - 1, part: Part::Shape })
                    }
                    _ => None,
                },
                _ => None,
            };
            keeps.push((step.tag(), keep));
        }
        let fills: Vec<Fill> = answers.into_iter().map(|(_, fill)| fill).chain(plans).collect();
        self.fetch(fills, keeps)
    }

    /// Answers a batch from memory. What its frames mean for the session is done as if a server had answered.
    fn give(
        &mut self,
        batch: &Batch<'_>,
        steps: &[Step<'_>],
        shapes: &[Shaped],
        entries: &[Option<Arc<Entry>>],
        status: u8,
    ) {
        buffer::lend(&mut self.out.bytes);
        for (bound, entry) in batch.bound.iter().zip(entries) {
            if let Some(entry) = entry {
                self.hit(entry);
                self.tell_hit(entry, |front| front.noted_statement(&bound.statement));
            }
        }
        let empty = |tag: u8| [tag, 0, 0, 0, 4];
        let (mut names, mut uses) = (batch.names.iter(), batch.uses.iter());
        let (mut bound, mut shapes) = (batch.bound.iter(), shapes.iter());
        for step in steps {
            let out = &mut self.out.bytes;
            match step {
                Step::Parse(_) => {
                    if let Some((name, Some(statement))) = names.next() {
                        self.front.define(name, Arc::clone(statement));
                    }
                    out.extend_from_slice(&empty(back::PARSE_COMPLETE));
                }
                Step::CloseStatement(_) => {
                    if let Some((name, None)) = names.next() {
                        self.front.undefine(name);
                    }
                    out.extend_from_slice(&empty(back::CLOSE_COMPLETE));
                }
                Step::ClosePortal(_) => out.extend_from_slice(&empty(back::CLOSE_COMPLETE)),
                Step::Bind { .. } => {
                    if let Some(bound) = bound.next() {
                        self.front.told(bound.name, None);
                    }
                    out.extend_from_slice(&empty(back::BIND_COMPLETE));
                }
                Step::DescribeStatement(name) => {
                    if let Some(Shaped::Known(shape)) = shapes.next() {
                        out.extend_from_slice(&shape.parameters);
                        out.extend_from_slice(&shape.columns);
                        self.front.told(name, shape.columns.get(5..));
                    }
                }
                Step::DescribePortal(_) | Step::Execute { .. } => {
                    let entry = uses.next().and_then(|at| entries.get(*at)).and_then(Option::as_ref);
                    if let Some(entry) = entry {
                        let rows = matches!(step, Step::Execute { .. });
                        out.extend_from_slice(if rows {
                            entry.body()
                        } else {
                            entry.columns().unwrap_or_default()
                        });
                    }
                }
                Step::Sync => wire::ready_for_query(out, status),
                Step::Flush => {}
            }
        }
    }
}
