//! Cuts a session that differs down to what it takes to differ.

use super::script::{Frame, Script, Step};

/// Attempts for one script.
const LIMIT: usize = 300;

/// The shortest script that still differs, as far as leaving things out one by one finds it, and how it differs.
pub(super) fn minimise(
    script: &Script,
    found: String,
    differs: &mut dyn FnMut(&Script) -> Option<String>,
) -> (Script, String) {
    let mut best = (script.clone(), found);
    let mut left = LIMIT;
    let mut attempt = |candidate: Script, best: &mut (Script, String)| {
        if left == 0 || !candidate.steps.iter().all(Step::is_whole) {
            return false;
        }
        left -= 1;
        let difference = differs(&candidate);
        let differs = difference.is_some();
        if let Some(difference) = difference {
            *best = (candidate, difference);
        }
        differs
    };
    let mut size = best.0.steps.len();
    while size > 0 {
        let mut at = 0;
        while at < best.0.steps.len() {
            let mut candidate = best.0.clone();
            candidate.steps.drain(at..(at + size).min(candidate.steps.len()));
            if !attempt(candidate, &mut best) {
                at += size;
            }
        }
        size /= 2;
    }
    for parameter in (0..best.0.startup.len()).rev() {
        let mut candidate = best.0.clone();
        candidate.startup.remove(parameter);
        attempt(candidate, &mut best);
    }
    if best.0.listens {
        let mut candidate = best.0.clone();
        candidate.listens = false;
        attempt(candidate, &mut best);
    }
    for step in (0..best.0.steps.len()).rev() {
        for frame in (0..best.0.steps[step].0.len()).rev() {
            shorten(step, frame, &mut best, &mut attempt);
        }
    }
    best
}

/// Leaves out a frame, or statements of it.
fn shorten(
    step: usize,
    frame: usize,
    best: &mut (Script, String),
    attempt: &mut dyn FnMut(Script, &mut (Script, String)) -> bool,
) {
    let mut candidate = best.0.clone();
    candidate.steps[step].0.remove(frame);
    if attempt(candidate, best) {
        return;
    }
    let Frame::Query(statements) = &best.0.steps[step].0[frame] else { return };
    for statement in (0..statements.len()).rev() {
        let mut candidate = best.0.clone();
        if let Frame::Query(statements) = &mut candidate.steps[step].0[frame] {
            statements.remove(statement);
        }
        attempt(candidate, best);
    }
}
