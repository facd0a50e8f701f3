//! What each kind of action writes: the values of its knob before and after.
//!
//! | action | knob | value |
//! |---|---|---|
//! | scale by, scale to | replicas | count |
//! | the same if an autoscaler scales the target; set its floor | floor of the autoscaler | count |
//!
//! A kind with a lever has a file here and reads its `from` from the target. The values of other knobs are not read:
//! nothing is planned for them, because a write with a made-up `from` could not be conditional on it.

mod scale;

use crate::model::{Action, TargetState};

/// What an action does to its knob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// It is turned.
    Turn {
        /// Its value before.
        from: u32,
        /// Its value after, which may be the same.
        to: u32,
    },
    /// A count is needed and none is permitted, or the one permitted needs no write.
    Rest,
    /// The present value of the knob is unknown.
    NoLever,
}

/// Returns what `action` does to its knob; `permitted` are the replicas the guards allow.
pub fn values(action: &Action, target: &TargetState, permitted: Option<u32>) -> Values {
    match action {
        Action::ScaleBy { .. } | Action::ScaleTo { .. } | Action::SetAutoscalerFloor { .. } => {
            let Some(rest) = target.lever().rest(action) else { return Values::NoLever };
            scale::values(target, rest, permitted).map_or(Values::Rest, |(from, to)| Values::Turn { from, to })
        }
        Action::Throttle { .. }
        | Action::ShiftTraffic { .. }
        | Action::Resize { .. }
        | Action::Rollback
        | Action::PromoteRollout
        | Action::AbortRollout
        | Action::Restart
        | Action::Webhook { .. } => Values::NoLever,
    }
}
