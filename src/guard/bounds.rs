//! Bounds: the replica counts that the owner declared, and never zero (INV-01).

use super::case::{Answer, Case, Motion};

/// Permits counts inside the bounds. Where the present count lies outside and one step does not reach them,
/// nothing is permitted: that count was somebody's choice, and a person has to correct it.
pub fn guard(case: &Case<'_>) -> Answer {
    match case.motion {
        Motion::Raise { .. } | Motion::Lower { .. } => {}
        Motion::Other => return Answer::not_replicas(),
        Motion::Still => return Answer::still(),
        Motion::Unknown => return Answer::unknown(),
    }
    let bounds = case.ctx.spec.bounds;
    let low = bounds.min.max(1);
    Answer::Within { low, high: bounds.max, why: format!("bounds {low} to {}", bounds.max) }
}
