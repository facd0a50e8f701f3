//! Convergence: no further raise until the pods of the last one are ready (fault row X5).
//!
//! A Pending pod, whether it is starting or finds no node, is not ready: the target itself shows that. A raise sized by
//! the arrival rate counts requested replicas and may continue while pods start; any other waits to see what the last
//! one did. If no pod has become ready for three times the start time, or the cluster reports that it cannot create
//! them, more pods would not start either. After a while the guard stops waiting for the last raise.

use std::time::Duration;

use super::case::{Answer, Case, Motion};
use crate::model::{CONVERGE_WITHIN, Direction};

/// Start time of a pod if none is declared.
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
