//! Freshness: flyball does not act on what it does not know.
//!
//! A change that removes capacity or traffic needs the signals that would show it to be wrong: the arrival rate, or
//! every declared signal if no arrival rate is declared (INV-27). A raise needs fresh data of its own. How long the
//! data stays fresh is part of the change, and is checked again at the write (INV-02).

use super::case::{Answer, Case, Context};
use crate::model::{Evidence, TargetReading, TargetState, Timestamp};

/// Holds if the target is not current, or if signals are missing or stale.
pub fn guard(case: &Case<'_>) -> Answer {
    let ctx = case.ctx;
    match &ctx.features.target {
        TargetReading::Known { .. } => {}
        TargetReading::Outdated { silence, .. } => {
            return Answer::Hold(format!("the view of the target has been silent for {} s", silence.as_secs()));
        }
        TargetReading::Unknown { reason } => return Answer::Hold(format!("the target is unknown: {reason}")),
    }
    let present = ctx.features.target.last().map(TargetState::asked);
    let needs = Evidence::of(case.action, present, case.backed_by_arrivals);
    match needs.fresh_for(ctx.spec, ctx.features) {
        Ok(left) => Answer::Pass(format!("target and signals are fresh, for another {} s", left.as_secs())),
        Err(why) => Answer::Hold(why),
    }
}

/// Returns whether the controlling signals can vouch for a lowering.
pub fn can_lower(ctx: &Context<'_>) -> bool {
    Evidence::Controlling.fresh_for(ctx.spec, ctx.features).is_ok()
}

/// Returns the time of the newest fresh sample.
pub fn newest_sample(ctx: &Context<'_>) -> Option<Timestamp> {
    let samples = ctx.features.signals.iter().filter_map(|signal| signal.reading.fresh_sample());
    samples.map(|sample| sample.at).max()
}
