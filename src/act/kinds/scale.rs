//! Replicas of a Deployment or StatefulSet: through its scale subresource, or, if an autoscaler scales it, through the
//! autoscaler's floor.

use crate::model::{Autoscaling, TargetState};

/// Returns the present value of the lever and the permitted one; `None` if none is permitted, if it is in `rest`, where
/// nothing needs to change, or if other autoscalers leave no lever. Never zero (INV-01).
pub fn values(target: &TargetState, rest: (u32, u32), permitted: Option<u32>) -> Option<(u32, u32)> {
    if matches!(target.autoscaling, Autoscaling::Closed { .. }) {
        return None;
    }
    let moves = |count: &u32| *count > 0 && !(rest.0..=rest.1).contains(count);
    permitted.filter(moves).map(|permitted| (target.lever().value, permitted))
}
