//! Makes a random session from a seed: a stream of statements, cut into steps of random forms.

use super::features::Feature;
use super::script::{Frame, Script, Step};
use super::statements::Maker;
use crate::support::Dice;

/// What is sent, before its form is chosen.
#[derive(Clone)]
pub(super) enum Item {
    Sql(String),
    /// Frames of the extended protocol without their Sync.
    Extended(Vec<Frame>),
    /// COPY … FROM STDIN with its data and its end.
    CopyIn(String, Vec<Frame>),
    Call(Frame),
}

/// The session of this seed.
pub(super) fn script(seed: u64, features: &[Feature]) -> Script {
    let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5e55_10f5);
    let chosen = choose(features, &mut dice);
    let has = |feature| features.contains(&feature);
    let startup = if has(Feature::Startup) && dice.one_in(2) { startup(&mut dice) } else { Vec::new() };
    let statements = {
        let most = 4 + dice.below(26);
        3 + dice.below(most)
    };
    let mut maker = Maker::new(&mut dice, chosen.clone(), has(Feature::Block));
    while maker.items.len() < statements {
        maker.more();
    }
    let items = std::mem::take(&mut maker.items);
    let mut steps = Vec::new();
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        let several = 2 + dice.below(4);
        let form = form(features, &mut dice);
        let count = if matches!(form, Form::Simple | Form::Extended) { 1 } else { several };
        let part: Vec<Item> = items.by_ref().take(count).collect();
        steps.extend(compose(form, part, &mut dice));
    }
    steps.extend(epilogue());
    Script { seed, startup, steps, listens: chosen.contains(&Feature::Listen) }
}

/// A few kinds of statements, so that they meet one another often.
fn choose(features: &[Feature], dice: &mut Dice) -> Vec<Feature> {
    let kinds: Vec<Feature> = features.iter().copied().filter(|feature| !feature.is_form()).collect();
    let weighted: Vec<Feature> = kinds.iter().flat_map(|kind| vec![*kind; kind.weight()]).collect();
    let mut chosen = Vec::new();
    for _ in 0..2 + dice.below(4) {
        if !weighted.is_empty() {
            let kind = dice.pick(&weighted);
            if !chosen.contains(&kind) {
                chosen.push(kind);
            }
        }
    }
    chosen
}

/// What a session asks for when it connects.
fn startup(dice: &mut Dice) -> Vec<(String, String)> {
    const GOOD: [(&str, &str); 14] = [
        ("application_name", "mine"),
        ("application_name", ""),
        ("TimeZone", "Asia/Tokyo"),
        ("timezone", "Europe/Berlin"),
        ("DateStyle", "German"),
        ("IntervalStyle", "iso_8601"),
        ("client_encoding", "LATIN1"),
        ("extra_float_digits", "2"),
        ("search_path", "two"),
        ("options", "-c work_mem=5MB"),
        ("options", "-c search_path=one -c TimeZone=Asia/Tokyo"),
        ("options", "--bytea-output=escape"),
        ("options", "-c my__id__.a=began -c statement_timeout=7min"),
        ("default_transaction_isolation", "repeatable read"),
    ];
    const BAD: [(&str, &str); 4] = [
        ("TimeZone", "Nowhere/Land"),
        ("options", "-c no_such_setting=1"),
        ("work_mem", "lots"),
        ("no_such_setting", "1"),
    ];
    let mut startup: Vec<(String, String)> = Vec::new();
    for _ in 0..1 + dice.below(3) {
        let (name, value) = if dice.one_in(60) { dice.pick(&BAD) } else { dice.pick(&GOOD) };
        if startup.iter().all(|(known, _)| !known.eq_ignore_ascii_case(name)) {
            startup.push((name.to_owned(), value.to_owned()));
        }
    }
    startup
}

#[derive(Clone, Copy)]
enum Form {
    Simple,
    Extended,
    /// Several statements in one simple query.
    Multi,
    /// Several by the extended protocol and one Sync.
    Batch,
    /// Several in one write, each with a ReadyForQuery of its own.
    Pipeline,
}

fn form(features: &[Feature], dice: &mut Dice) -> Form {
    let wished = match dice.below(12) {
        0..=4 => return Form::Simple,
        5..=7 => (Feature::Extended, Form::Extended),
        8 => (Feature::Multi, Form::Multi),
        9 => (Feature::Batch, Form::Batch),
        _ => (Feature::Pipeline, Form::Pipeline),
    };
    if features.contains(&wished.0) { wished.1 } else { Form::Simple }
}

fn compose(form: Form, items: Vec<Item>, dice: &mut Dice) -> Vec<Step> {
    match form {
        Form::Simple => items.into_iter().map(|item| Step(alone(item, false, dice))).collect(),
        Form::Extended => items.into_iter().map(|item| Step(alone(item, true, dice))).collect(),
        Form::Multi => joined(items, dice),
        Form::Batch => batch(items, dice),
        Form::Pipeline => {
            // The choice is made for each: drivers mix them.
            let by_extended = dice.below(3);
            let frames = items.into_iter().flat_map(|item| {
                let extended = by_extended == 0 || by_extended == 1 && dice.one_in(2);
                alone(item, extended, dice)
            });
            vec![Step(frames.collect())]
        }
    }
}

/// One item with its ReadyForQuery.
fn alone(item: Item, extended: bool, dice: &mut Dice) -> Vec<Frame> {
    match item {
        Item::Sql(sql) if !extended => vec![Frame::Query(vec![sql])],
        Item::CopyIn(sql, data) if !extended => [vec![Frame::Query(vec![sql])], data].concat(),
        Item::Call(frame) => vec![frame],
        item => [by_extended(item, dice), vec![Frame::Sync]].concat(),
    }
}

fn by_extended(item: Item, dice: &mut Dice) -> Vec<Frame> {
    match item {
        Item::Extended(frames) => frames,
        Item::Sql(sql) => unnamed(sql, dice.below(3) > 0),
        Item::CopyIn(sql, data) => [unnamed(sql, false), data].concat(),
        Item::Call(_) => Vec::new(),
    }
}

/// Unnamed Parse, Bind, Execute.
fn unnamed(sql: String, describe: bool) -> Vec<Frame> {
    let none = String::new;
    let mut frames = vec![
        Frame::Parse { name: none(), sql },
        Frame::Bind { portal: none(), statement: none(), values: Vec::new(), binary: false },
    ];
    if describe {
        frames.push(Frame::DescribePortal(none()));
    }
    frames.push(Frame::Execute(none(), 0));
    frames
}

/// Neighbours that are SQL in one simple query; the others by themselves.
fn joined(items: Vec<Item>, dice: &mut Dice) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    let flush = |texts: &mut Vec<String>, steps: &mut Vec<Step>| {
        if !texts.is_empty() {
            steps.push(Step(vec![Frame::Query(std::mem::take(texts))]));
        }
    };
    for item in items {
        match item {
            Item::Sql(sql) => texts.push(sql),
            other => {
                flush(&mut texts, &mut steps);
                steps.push(Step(alone(other, false, dice)));
            }
        }
    }
    flush(&mut texts, &mut steps);
    steps
}

fn batch(items: Vec<Item>, dice: &mut Dice) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut frames = Vec::new();
    for item in items {
        match item {
            Item::Call(frame) => steps.push(Step(vec![frame])),
            item => frames.extend(by_extended(item, dice)),
        }
        if dice.one_in(8) && !frames.is_empty() {
            frames.push(Frame::Flush);
        }
    }
    if !frames.is_empty() {
        frames.push(Frame::Sync);
        steps.push(Step(frames));
    }
    steps
}

/// What is left in the end.
fn epilogue() -> Vec<Step> {
    ["ROLLBACK", super::statements::EVERY_SETTING, super::statements::EFFECTS].map(Step::query).to_vec()
}
