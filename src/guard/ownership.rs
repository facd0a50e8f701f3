//! Ownership: people and other controllers win (INV-20).
//!
//! If autoscalers leave no field to set (two of them, or one owned by something else), nothing is written. A foreign
//! edit voids this decision: the next one starts from the value found. Two edits within an hour that revert our latest
//! write mean that somebody else owns the field: the loop stands down for a while and says so.

use super::case::{Answer, Case};
use crate::model::{Autoscaling, TargetReading, TargetState};

/// Holds if the target is switched off, scaled by others or just changed by somebody else, and while standing down.
pub fn guard(case: &Case<'_>) -> Answer {
    let owner = case.memory.owner();
    let target = &case.ctx.spec.target;
    if case.ctx.features.target.last().is_some_and(|state| state.replicas == 0) {
        return Answer::Hold(format!("{target} has 0 replicas: switched off outside flyball"));
    }
    if let Some(TargetState { autoscaling: Autoscaling::Closed { why }, .. }) = case.ctx.features.target.last() {
        return Answer::Hold(format!("{target} is scaled by another controller: {why}"));
    }
    if let Some((since, edit)) = owner.stood_down() {
        let hold = case.params.human_hold;
        let left = hold.saturating_sub(since.age(case.ctx.now));
        return Answer::Hold(format!(
            "two writes were reverted within an hour, last {edit}: {}{target} has another owner; standing down for \
             another {} s of {} s",
            floor_of(&case.ctx.features.target),
            left.as_secs(),
            hold.as_secs()
        ));
    }
    match case.memory.foreign_edit(case.ctx.spec, &case.ctx.features.target) {
        Some(edit) => Answer::Hold(format!("{edit}; deciding again next cycle")),
        None => Answer::Pass("no change by others".to_owned()),
    }
}

/// Returns which part of the target it is about, if not its own replicas.
pub(super) fn floor_of(target: &TargetReading) -> String {
    let autoscaler = target.last().and_then(TargetState::autoscaler);
    autoscaler.map_or_else(String::new, |one| format!("the floor of HPA {} on ", one.name))
}
