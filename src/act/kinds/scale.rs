//! Replicas of a Deployment or StatefulSet, through its scale subresource.

use crate::model::TargetState;

/// Returns the replicas asked for at present and those permitted; `None` when none are. Never zero (INV-01).
pub fn values(target: &TargetState, permitted: Option<u32>) -> Option<(u32, u32)> {
    permitted.filter(|permitted| *permitted > 0).map(|permitted| (target.replicas, permitted))
}
