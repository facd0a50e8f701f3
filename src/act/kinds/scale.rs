//! Replicas of a Deployment or StatefulSet: by its scale subresource, or where an autoscaler scales it by the floor of
//! that.

use crate::model::{Autoscaling, TargetState};

/// Returns the present value of the lever and the one permitted; `None` when none is, when it lies in `rest`, where
/// nothing needs to be turned, or when others leave no lever. Never zero (INV-01).
pub fn values(target: &TargetState, rest: (u32, u32), permitted: Option<u32>) -> Option<(u32, u32)> {
    if matches!(target.autoscaling, Autoscaling::Closed { .. }) {
        return None;
    }
    let moves = |count: &u32| *count > 0 && !(rest.0..=rest.1).contains(count);
    permitted.filter(moves).map(|permitted| (target.lever().value, permitted))
}
