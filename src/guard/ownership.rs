//! Ownership: people and other controllers win (INV-20).
//!
//! If autoscalers leave no field to set (two of them, or one owned by something else), nothing is written. A foreign
//! edit voids this decision: the next one starts from the value found. Two edits within an hour that revert our latest
//! write mean that somebody else owns the field: the loop stands down for a while and says so.

use super::case::{Answer, Case};
use crate::model::{TargetReading, TargetState};

/// Holds if the target is switched off, scaled by others or just changed by somebody else, and while standing down.
pub fn guard(case: &Case<'_>) -> Answer {
    let (spec, reading) = (case.ctx.spec, &case.ctx.features.target);
    if reading.last().is_some_and(|state| state.replicas == 0) {
        return Answer::Hold(format!("{} has 0 replicas: switched off outside flyball", spec.target));
    }
    if let Some(why) = reading.last().and_then(TargetState::closed) {
        return Answer::Hold(format!("{} is scaled by another controller: {why}", spec.target));
    }
    if let Some((since, why)) = case.memory.stand_down(spec, reading) {
        let hold = case.params.human_hold;
        let left = hold.saturating_sub(since.age(case.ctx.now));
        return Answer::Hold(format!("{why}; standing down for another {} s of {} s", left.as_secs(), hold.as_secs()));
    }
    match case.memory.foreign_edit(spec, reading) {
        Some(edit) => Answer::Hold(format!("{edit}; deciding again next cycle")),
        None => Answer::Pass("no change by others".to_owned()),
    }
}

/// Returns which part of the target it is about, if not its own replicas.
pub(super) fn floor_of(target: &TargetReading) -> String {
    let autoscaler = target.last().and_then(TargetState::autoscaler);
    autoscaler.map_or_else(String::new, |one| format!("the floor of HPA {} on ", one.name))
}
