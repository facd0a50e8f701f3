//! Freshness: what is not known is not acted on.
//!
//! Whatever takes capacity or traffic away needs the signals that would show that it is wrong: the arrival rate,
//! or every declared signal where no arrival rate is declared (INV-27). A raise needs fresh data of its own.

use super::case::{Answer, Case, Context, Motion};
use crate::model::{Role, TargetReading, Timestamp, Unit};

/// Holds on a target that is not current and on signals that are missing or stale.
pub fn guard(case: &Case<'_>) -> Answer {
    let ctx = case.ctx;
    match &ctx.features.target {
        TargetReading::Known { .. } => {}
        TargetReading::Outdated { silence, .. } => {
            return Answer::Hold(format!("the view of the target has been silent for {} s", silence.as_secs()));
        }
        TargetReading::Unknown { reason } => return Answer::Hold(format!("the target is not known: {reason}")),
    }
    let lacking = match case.motion {
        Motion::Lower { .. } | Motion::Other { takes: true } => lacking(ctx),
        Motion::Raise { .. } if case.backed_by_arrivals => lacking(ctx),
        Motion::Raise { .. } | Motion::Still | Motion::Other { takes: false } | Motion::Unknown => nothing_fresh(ctx),
    };
    match lacking {
        Some(why) => Answer::Hold(why),
        None => Answer::Pass("target and signals are fresh".to_owned()),
    }
}

/// Returns why the controlling signals cannot vouch for a lowering; `None` if they can.
pub fn lacking(ctx: &Context<'_>) -> Option<String> {
    let controlling = match ctx.spec.role(Role::ArrivalRate) {
        Some(index) => index..index.saturating_add(1),
        None => 0..ctx.spec.signals.len(),
    };
    for index in controlling {
        let Some(signal) = ctx.spec.signals.get(index).filter(|signal| signal.unit != Unit::Flag) else { continue };
        let reading = ctx.features.signals.get(index).map(|features| &features.reading);
        match reading {
            Some(reading) if reading.fresh().is_some() => {}
            Some(reading) => return Some(format!("controlling signal {}: {reading}", signal.name)),
            None => return Some(format!("controlling signal {}: not observed", signal.name)),
        }
    }
    nothing_fresh(ctx)
}

/// Returns the time of the newest fresh sample.
pub fn newest_sample(ctx: &Context<'_>) -> Option<Timestamp> {
    let samples = ctx.features.signals.iter().filter_map(|signal| signal.reading.fresh_sample());
    samples.map(|sample| sample.at).max()
}

fn nothing_fresh(ctx: &Context<'_>) -> Option<String> {
    newest_sample(ctx).is_none().then(|| "no signal of the service is fresh".to_owned())
}
