//! What is left to do for a service whose declaration was taken back: the floor of its autoscaler goes back to where
//! flyball found it, step by step, each step a decision that every guard judges. The replicas of a target without an
//! autoscaler stay as they are: nobody else would raise them again.

use crate::model::{Action, Autoscaler, Choice, Proposal, RETURN_FLOOR, TargetReading, TargetState};

/// Returns the autoscaler of a target whose floor flyball holds up, as last seen.
pub fn held_up(target: &TargetReading) -> Option<&Autoscaler> {
    target.last().and_then(TargetState::autoscaler).filter(|one| one.floor > one.baseline)
}

/// Puts the return in the place of what the policies chose; what they forbid holds against it.
pub(super) fn instead_of(asked: Proposal, target: &TargetReading) -> Proposal {
    let choice = match held_up(target) {
        Some(one) => Choice::Act {
            rule: RETURN_FLOOR.into(),
            action: Action::SetAutoscalerFloor { replicas: one.baseline },
            backed_by_arrivals: false,
        },
        None => Choice::Nothing("the declaration was taken back; nothing of it is left to return".into()),
    };
    Proposal { choice, ..asked }
}
