//! Mode: how far the owner lets the loop go. Only `auto` writes (INV-22).

use super::case::{Answer, Case, Motion};
use crate::model::Mode;

/// Passes in `auto`, and there for a lowering only where the owner allows it.
pub fn guard(case: &Case<'_>) -> Answer {
    let lowers = matches!(case.motion, Motion::Lower { .. });
    let forbidden = lowers && !case.ctx.spec.allow_lowering;
    match case.ctx.spec.mode {
        Mode::Observe => Answer::Reject("observe: forecasts only, nothing is decided".to_owned()),
        Mode::Shadow if forbidden => {
            Answer::Hold("shadow: writes nothing; auto would not lower either, allow_lowering is off".to_owned())
        }
        Mode::Shadow => Answer::Hold("shadow: shows what it would do and writes nothing".to_owned()),
        Mode::Approve => Answer::Hold("approve: waits for approval".to_owned()),
        Mode::Auto if forbidden => Answer::Reject(
            "auto: replicas are not lowered without an autoscaler behind them; set allow_lowering to permit it"
                .to_owned(),
        ),
        Mode::Auto => Answer::Pass("auto".to_owned()),
    }
}
