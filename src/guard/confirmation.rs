//! Confirmation: one odd sample moves nothing. A raise needs a second sample that agrees.

use super::case::{Answer, Case, Motion};
use super::freshness;

/// Passes a raise to what the confirmed arrival rate needs, and one that reverts a change measured to be harmful; any
/// other once it was also proposed on an older sample.
pub fn guard(case: &Case<'_>) -> Answer {
    match case.motion {
        Motion::Raise { .. } => {}
        Motion::Unknown => return Answer::unknown(),
        Motion::Lower { .. } | Motion::Still | Motion::Other => {
            return Answer::Pass("applies to raising only".to_owned());
        }
    }
    if let Some(needed) = case.needed_now {
        return Answer::Pass(format!("two samples of the arrival rate agree: {needed} needed"));
    }
    if case.is_undo() {
        return Answer::Pass("reverts a change that was measured to be harmful".to_owned());
    }
    match (case.memory.raise_since(), freshness::newest_sample(case.ctx)) {
        (Some(first), Some(newest)) if newest > first => Answer::Pass(format!("proposed since the sample of {first}")),
        (Some(first), _) => {
            Answer::Hold(format!("first proposed on the sample of {first}: waiting for another sample"))
        }
        (None, _) => Answer::Hold("no fresh sample confirms it".to_owned()),
    }
}
