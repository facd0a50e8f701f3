//! Budget: how many writes a service may receive (INV-04). Namespace and fleet are charged at the write gate; a write
//! that they refused is not retried with each sample, and one that failed at the API server not at once.

use std::time::Duration;

use super::case::{Answer, Case, Motion};
use super::{HOUR, TEN_MINUTES};
use crate::model::Direction;

/// How long the last write of ten minutes waits after a raise, if it is a raise too: a surge that climbs for a minute
/// would otherwise use up the budget on its way and leave nothing for its peak.
const LAST: Duration = Duration::from_mins(1);
/// How long a lowering waits after a namespace or fleet budget refused it.
const REFUSED: Duration = Duration::from_mins(1);

/// Holds when a budget of the service is spent. The hourly one does not stop a raise that the confirmed arrival rate
/// needs, nor one that reverts a harmful change.
pub fn guard(case: &Case<'_>) -> Answer {
    let (now, budgets) = (case.ctx.now, case.ctx.spec.budgets);
    let refused = case.memory.refused(now).filter(|_| matches!(case.motion, Motion::Lower { .. }));
    if let Some((age, why)) = refused.filter(|(age, _)| *age < REFUSED) {
        return Answer::Hold(format!(
            "refused {} s ago; next attempt {} s after the refusal: {why}",
            age.as_secs(),
            REFUSED.as_secs()
        ));
    }
    let denials = case.memory.denials(now);
    if let Some(wait) = denials.and_then(|denials| denials.holds(now)) {
        return Answer::Hold(wait);
    }
    let recent = case.memory.writes_within(TEN_MINUTES, now);
    if recent >= budgets.per_10_min as usize {
        let denied = denials.map_or_else(String::new, |denials| format!("; {}", denials.said()));
        return Answer::Hold(format!(
            "{recent} of {} allowed writes in the last 10 minutes{denied}",
            budgets.per_10_min
        ));
    }
    let raised = case.memory.since_move(Direction::Raise, |raised| raised.age(now));
    let raised = raised.filter(|age| *age < LAST && matches!(case.motion, Motion::Raise { .. }));
    if let Some(age) = raised.filter(|_| recent + 1 == budgets.per_10_min as usize) {
        return Answer::Hold(format!(
            "the last of {} allowed writes in 10 minutes must wait {} s after a raise, {} s so far",
            budgets.per_10_min,
            LAST.as_secs(),
            age.as_secs()
        ));
    }
    let hour = case.memory.writes_within(HOUR, now);
    let spent = hour >= budgets.per_hour as usize;
    match (spent, case.needed_now) {
        (true, None) if case.is_undo() => {
            Answer::Pass(format!("{hour} writes in the last hour, but this one reverts a harmful change"))
        }
        (true, None) => Answer::Hold(format!("{hour} of {} allowed writes in the last hour", budgets.per_hour)),
        (true, Some(needed)) => {
            Answer::Pass(format!("{hour} writes in the last hour, but arrivals need {needed} replicas now"))
        }
        (false, _) => Answer::Pass(format!("{recent} writes in the last 10 minutes, {hour} in the last hour")),
    }
}
