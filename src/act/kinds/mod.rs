//! What each kind of action writes: the values of its knob before and after.
//!
//! | action | knob | value |
//! |---|---|---|
//! | scale by, scale to | replicas | count |
//! | the same where an autoscaler scales the target; set its floor | floor of the autoscaler | count |
//!
//! A kind with a lever has a file here and reads its `from` off the target. What stands at any other knob nobody
//! has read: nothing is planned for it, because a write whose `from` is made up could not be conditional on it.

mod scale;

use crate::model::{Action, TargetState, WriteOutcome};

/// Returns the values of the knob of `action` before and after; `permitted` are the replicas the guards allow.
/// `None` when a count is needed and none is permitted, or the one permitted needs no write.
///
/// # Errors
/// `NoLever` where the present value of the knob is unknown.
pub fn values(
    action: &Action,
    target: &TargetState,
    permitted: Option<u32>,
) -> Result<Option<(u32, u32)>, WriteOutcome> {
    match action {
        Action::ScaleBy { .. } | Action::ScaleTo { .. } | Action::SetAutoscalerFloor { .. } => {
            let rest = target.lever().rest(action).ok_or(WriteOutcome::NoLever)?;
            Ok(scale::values(target, rest, permitted))
        }
        Action::Throttle { .. }
        | Action::ShiftTraffic { .. }
        | Action::Resize { .. }
        | Action::Rollback
        | Action::PromoteRollout
        | Action::AbortRollout
        | Action::Restart
        | Action::Webhook { .. } => Err(WriteOutcome::NoLever),
    }
}
