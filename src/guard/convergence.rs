//! Convergence: no further step up while the pods of the last raise have not come (fault row X5).
//!
//! A pod that is Pending, whether it starts or finds no node, is not ready: that is what the target itself shows. A
//! raise sized by the arrival rate counts what is asked for and may go on while pods come; any other waits to see
//! what the last one did. Where no pod has come for three times the start time, or the cluster says that it cannot
//! create them, more of them would not come either. After a while the guard stops waiting for the last raise.

use std::time::Duration;

use super::case::{Answer, Case, Motion};
use crate::model::{CONVERGE_WITHIN, Direction};

/// Start time of a pod where none is declared.
const START_TIME: Duration = Duration::from_mins(1);

/// Holds a raise while pods of the last one are missing.
pub fn guard(case: &Case<'_>) -> Answer {
    let (Motion::Raise { .. }, Some(target)) = (case.motion, case.ctx.features.target.last()) else {
        return Answer::Pass("applies to raising only".to_owned());
    };
    let Some(age) = case.memory.since_move(Direction::Raise, |raised| raised.age(case.ctx.now)) else {
        return Answer::Pass("no previous raise".to_owned());
    };
    let asked = target.asked();
    let missing = asked.saturating_sub(target.ready);
    let start = case.ctx.spec.capacity.map_or(START_TIME, |capacity| capacity.start_time);
    let patience = start.saturating_mul(4).max(CONVERGE_WITHIN);
    if missing == 0 || age >= patience {
        let waited = if missing == 0 { "all are ready" } else { "no longer waiting for the rest" };
        return Answer::Pass(format!("{missing} of {asked} replicas are not ready: {waited}"));
    }
    let wait = format!("waited {} s of at most {} s", age.as_secs(), patience.as_secs());
    if let Some(stuck) = &target.stuck {
        return Answer::Hold(format!(
            "{} pods cannot start ({}), more pods would not start either: {wait}",
            stuck.pods, stuck.why
        ));
    }
    let still = case.memory.stalled_for(case.ctx.now);
    if still >= start.saturating_mul(3) {
        return Answer::Hold(format!(
            "{missing} of {asked} replicas are not ready and none has become ready for {} s, more pods would not start \
             either: {wait}",
            still.as_secs()
        ));
    }
    if case.needed_now.is_none() {
        let why = "the effect of the last raise is not visible yet";
        return Answer::Hold(format!("{missing} of {asked} replicas are not ready, {why}: {wait}"));
    }
    Answer::Pass(format!("{missing} of {asked} replicas are starting, but arrivals need more"))
}
