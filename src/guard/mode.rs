//! Mode: what the owner permits the loop to do. Only `auto` writes (INV-22).

use super::case::{Answer, Case, Motion};
use crate::model::{Mode, TargetState};

/// Passes in `auto` if the platform's limits are known. A lowering passes only if a working autoscaler scales the target,
/// whose floor is then lowered, or if there is no autoscaler and the owner allows it.
pub fn guard(case: &Case<'_>) -> Answer {
    let lowers = matches!(case.motion, Motion::Lower { .. });
    let autoscaler = case.ctx.features.target.last().and_then(TargetState::autoscaler);
    let troubled = autoscaler.is_some_and(|one| one.trouble.is_some());
    let forbidden = lowers && (troubled || (!case.ctx.spec.allow_lowering && autoscaler.is_none()));
    match case.ctx.spec.mode {
        Mode::Observe => Answer::Reject("observe: forecasts only, no decisions".to_owned()),
        Mode::Shadow if forbidden && !troubled => {
            Answer::Hold("shadow: writes nothing; auto would not lower either, since allow_lowering is off".to_owned())
        }
        Mode::Shadow => Answer::Hold("shadow: shows what it would do and writes nothing".to_owned()),
        Mode::Approve => Answer::Hold("approve: approval is not implemented yet, so nothing is written".to_owned()),
        Mode::Auto if forbidden => {
            Answer::Reject(match autoscaler.and_then(|one| Some((one, one.trouble.as_ref()?))) {
                Some((one, why)) => {
                    format!("auto: the floor of HPA {} is not lowered while it does not scale: {why}", one.name)
                }
                None => {
                    "auto: without an autoscaler on the target, replicas are not lowered; set allow_lowering to permit \
                     it"
                    .to_owned()
                }
            })
        }
        Mode::Auto => match case.ctx.unbounded {
            Some(why) => Answer::Hold(format!("auto, but nothing is written: {why}")),
            None => Answer::Pass("auto".to_owned()),
        },
    }
}
