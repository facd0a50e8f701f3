//! Bounds: the owner's replica bounds, within those of an autoscaler that scales the target, and never zero (INV-01).

use super::case::{Answer, Case};
use crate::model::TargetState;

/// Permits counts inside the bounds. If the present count is outside and one step does not reach them, nothing is
/// permitted: somebody chose that count, and a person has to correct it.
pub fn guard(case: &Case<'_>) -> Answer {
    if let Some(answer) = case.unless_moved() {
        return answer;
    }
    let target = &case.ctx.features.target;
    let bounds = target.bounds(case.ctx.spec.bounds);
    let low = bounds.min.max(1);
    let autoscaler = target.last().and_then(TargetState::autoscaler).map_or_else(String::new, |one| {
        format!(
            "; HPA {} permits {} to {}, its floor before flyball was {}",
            one.name, one.floor, one.ceiling, one.baseline
        )
    });
    Answer::Within { low, high: bounds.max, why: format!("bounds {low} to {}{autoscaler}", bounds.max) }
}
