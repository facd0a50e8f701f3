//! Stabilisation: a lowering goes no further than the largest need of the last minutes (INV-07).
//!
//! A short dip is no lull. The window must be full and without a gap: what was missed cannot be vouched for. A lowering
//! to what the arrival rate needs is held against what that rate needed, every other one against what was proposed
//! or ran.

use super::case::{Answer, Case};

/// Permits a lowering to the peak of a full window, holds it before.
pub fn guard(case: &Case<'_>) -> Answer {
    if let Some(answer) = case.unless_lowered() {
        return answer;
    }
    let window = case.memory.window(case.backed_by_arrivals);
    let (seen, span) = (window.seen(case.ctx.now.mono), case.params.stabilisation);
    match window.peak() {
        Some(peak) if seen >= span => Answer::Within {
            low: peak,
            high: u32::MAX,
            why: format!("the largest need in the last {} s is {peak}", span.as_secs()),
        },
        _ => Answer::Hold(format!("observed without a gap for {} of {} s", seen.as_secs(), span.as_secs())),
    }
}
