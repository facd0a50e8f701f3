//! What remains to be done for a service whose declaration was removed: the floor of its autoscaler returns to where
//! flyball found it, step by step, each step a decision that every guard judges. The replicas of a target without an
//! autoscaler stay as they are: nothing would raise them again.

use crate::model::{Action, Autoscaler, Choice, Proposal, RETURN_FLOOR, TargetReading, TargetState};

/// Returns the autoscaler of a target whose floor flyball holds up, as last seen. A floor found at 0 returns to 1:
/// flyball never lowers to zero (INV-01).
pub fn held_up(target: &TargetReading) -> Option<&Autoscaler> {
    target.last().and_then(TargetState::autoscaler).filter(|one| one.floor > lowest(one))
}

/// Returns the floor that a return ends at.
fn lowest(autoscaler: &Autoscaler) -> u32 {
    autoscaler.baseline.max(1)
}

/// Replaces the policies' choice by the return; what they forbid still applies.
pub(super) fn instead_of(asked: Proposal, target: &TargetReading) -> Proposal {
    let choice = match held_up(target) {
        Some(one) => Choice::Act {
            rule: RETURN_FLOOR.into(),
            action: Action::SetAutoscalerFloor { replicas: lowest(one) },
            backed_by_arrivals: false,
        },
        None => Choice::Nothing("the declaration was removed; nothing is left to restore".into()),
    };
    Proposal { choice, ..asked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Autoscaling;

    #[test]
    fn a_floor_that_was_found_at_zero_goes_back_to_one_and_is_left_there() {
        for (floor, baseline, goes_to) in [(6, 2, Some(2)), (2, 2, None), (6, 0, Some(1)), (1, 0, None)] {
            let autoscaler = Autoscaler {
                name: "front".into(),
                uid: "h".to_owned(),
                floor,
                baseline,
                ceiling: 10,
                current: 6,
                desired: 6,
                owner: None,
                trouble: None,
            };
            let state = TargetState { autoscaling: Autoscaling::Autoscaler(autoscaler), ..TargetState::calm("u", 6) };
            let target = TargetReading::Known { target: state };
            let asked = Proposal::nothing("the policies are asked, too");
            let chosen = instead_of(asked, &target).choice;
            let action = chosen.asked().map(|(action, _)| action.clone());
            assert_eq!(action, goes_to.map(|replicas| Action::SetAutoscalerFloor { replicas }), "{floor} {baseline}");
            assert_eq!(held_up(&target).is_some(), goes_to.is_some());
        }
    }
}
