//! What each kind of action writes: the values of its knob before and after.
//!
//! | action | knob | value |
//! |---|---|---|
//! | scale by, scale to | replicas | count |
//! | set autoscaler floor | autoscaler floor | count |
//! | throttle | rate | admitted percent |
//! | shift traffic | route | percent moved in this step |
//! | resize | resources | percent of the present CPU |
//! | roll back, promote, abort, restart, webhook | rollout, pods, external | once: 0 to 1 |
//!
//! A kind with a lever has a file here and reads its `from` off the target. The others start from the neutral
//! value, so that the live read of a later lever supersedes the plan rather than writes over what it finds.

mod scale;

use crate::model::{Action, TargetState};

/// Returns the values of the knob of `action` before and after; `permitted` are the replicas the guards allow.
/// `None` when a count is needed and none is permitted.
pub fn values(action: &Action, target: &TargetState, permitted: Option<u32>) -> Option<(u32, u32)> {
    match action {
        Action::ScaleBy { .. } | Action::ScaleTo { .. } => scale::values(target, permitted),
        Action::SetAutoscalerFloor { replicas } => Some((0, *replicas)),
        Action::Throttle { to, .. } => Some((100, percent(*to))),
        Action::ShiftTraffic { step, .. } => Some((0, percent(*step))),
        Action::Resize { cpu, .. } => Some((100, percent(*cpu))),
        Action::Rollback | Action::PromoteRollout | Action::AbortRollout | Action::Restart | Action::Webhook { .. } => {
            Some((0, 1))
        }
    }
}

fn percent(share: f64) -> u32 {
    crate::model::action::saturating_replicas((share * 100.0).round())
}
