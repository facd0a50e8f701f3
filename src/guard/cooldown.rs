//! Cooldown and reversal lock: give a write time to show its effect (INV-23).
//!
//! A raise waits for the last raise, a lowering for the last lowering and the last raise; a raise may follow a lowering
//! at any time, because too little capacity hurts at once and too much only costs. If lowerings had to be undone, the
//! next one waits longer.

use std::time::Duration;

use super::case::{Answer, Case, Motion};
use crate::model::Direction;

/// Holds until enough time has passed since the last actions on the knob.
pub fn guard(case: &Case<'_>) -> Answer {
    let params = case.params;
    match case.motion {
        Motion::Raise { .. } if case.needed_now.is_some() => after_raise(case, params.backed_raise_cooldown),
        Motion::Raise { .. } => after_raise(case, params.raise_cooldown),
        Motion::Lower { .. } => before_lowering(case),
        Motion::Other => after_any(case, params.other_cooldown),
        Motion::Still => Answer::still(),
        Motion::Unknown => Answer::unknown(),
    }
}

fn after_raise(case: &Case<'_>, cooldown: Duration) -> Answer {
    let age = case.memory.since_move(Direction::Raise, |raised| raised.age(case.ctx.now));
    waited("raise", age, cooldown)
}

/// For a lowering only time that the monotonic clock vouches for counts.
fn before_lowering(case: &Case<'_>) -> Answer {
    let age = |direction| case.memory.since_move(direction, |last| last.certain_age(case.ctx.now));
    match waited("raise (reversal lock)", age(Direction::Raise), case.params.reversal_lock) {
        Answer::Pass(_) => {
            let undone = case.memory.undone(case.ctx.now);
            waited("lowering", age(Direction::Lower), case.params.lower_cooldown_after(undone))
        }
        held => held,
    }
}

fn after_any(case: &Case<'_>, cooldown: Duration) -> Answer {
    let age = [Direction::Raise, Direction::Lower, Direction::Lateral]
        .into_iter()
        .filter_map(|direction| case.memory.last(case.action.knob(), direction))
        .map(|last| last.age(case.ctx.now))
        .min();
    waited("action on the knob", age, cooldown)
}

fn waited(what: &str, age: Option<Duration>, cooldown: Duration) -> Answer {
    match age {
        None => Answer::Pass(format!("no previous {what}")),
        Some(age) if age < cooldown => {
            Answer::Hold(format!("last {what} {} s ago, cooldown {} s", age.as_secs(), cooldown.as_secs()))
        }
        Some(age) => Answer::Pass(format!("last {what} {} s ago", age.as_secs())),
    }
}
