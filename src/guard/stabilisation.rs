//! Stabilisation: a lowering goes no further than the largest need of the last minutes (INV-07).
//!
//! A short dip is not a lull. The window must be full and without a gap: flyball cannot vouch for what it missed. A
//! lowering to what the arrival rate needs is compared with what that rate needed, any other with what was proposed or
//! ran.

use super::case::{Answer, Case};

/// Permits a lowering to the peak of a full window, and holds it until the window is full.
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
