//! Ownership: people and other controllers win (INV-20).
//!
//! A foreign edit makes this decision void: the next one starts from what was found. Two reverts of our writes
//! within an hour mean that somebody else owns the field: the loop stands down for a while and says so.

use super::case::{Answer, Case};

/// Holds on a target switched off, on one that somebody else just changed, and while standing down.
pub fn guard(case: &Case<'_>) -> Answer {
    let owner = case.memory.owner();
    let target = &case.ctx.spec.target;
    if case.ctx.features.target.last().is_some_and(|state| state.replicas == 0) {
        return Answer::Hold(format!("{target} has 0 replicas: switched off by someone"));
    }
    if let Some((since, edit)) = owner.stood_down() {
        let hold = case.params.human_hold;
        let left = hold.saturating_sub(since.age(case.ctx.now));
        return Answer::Hold(format!(
            "two writes were reverted within an hour, last {edit}: {target} has another owner; standing down for \
             another {} s of {} s",
            left.as_secs(),
            hold.as_secs()
        ));
    }
    match owner.foreign() {
        Some(edit) => Answer::Hold(format!("{target} was set from {edit}: decided anew next")),
        None => Answer::Pass("no foreign edit".to_owned()),
    }
}
