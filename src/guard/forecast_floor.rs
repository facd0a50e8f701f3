//! Forecast floor: never below what the upper forecast or the last minutes need.
//!
//! This rules out the outage of lowering in a short dip just before the next surge.

use super::case::{Answer, Case};

/// Permits a lowering down to the floor; without a floor, none if the service declares capacity.
pub fn guard(case: &Case<'_>) -> Answer {
    if let Some(answer) = case.unless_lowered() {
        return answer;
    }
    let floor = case.ctx.outlook.capacity.as_ref().and_then(|capacity| capacity.floor);
    match floor {
        Some(floor) => {
            Answer::Within { low: floor, high: u32::MAX, why: format!("the forecast needs at least {floor}") }
        }
        None if case.ctx.spec.capacity.is_some() => {
            Answer::Hold("the forecast floor is unknown: nothing is lowered without it".to_owned())
        }
        None => Answer::Pass("the service declares no capacity".to_owned()),
    }
}
