//! Whether a change helped: the measured latency against the one forecast without it.
//!
//! **Source**: counterfactual and thresholds of the measured-impact rules (policy-and-actuation B.8): the noise is the
//! median absolute deviation of the forecast, which is half the width of its 50 % interval. Helped above twice the
//! noise, hurt below three times; differences under 5 % of the objective are no difference. A lowering trades latency
//! that the objective does not require: it hurts only if it also broke the objective.

use std::time::Duration;

use super::Pending;
use crate::model::{
    Band, Convergence, Direction, Effect, Features, Impact, Knob, Now, Role, ServiceSpec, TargetState, Unit,
};

/// Differences below this share of the objective do not count.
const FLOOR: f64 = 0.05;

/// Returns the effect of a change that converged, once its measuring window has passed.
pub fn measure(
    pending: &Pending,
    convergence: Convergence,
    spec: &ServiceSpec,
    features: &Features,
    now: Now,
) -> Effect {
    let after = pending.decided.age(now);
    let expected = expected(pending, after);
    let measured_latency = measured(spec, features, Role::Latency);
    let (impact, why) = match (disturbed(pending, spec, features, after), measured_latency) {
        (Some(why), _) => (Impact::Inconclusive, why),
        (None, None) => (Impact::Inconclusive, "no fresh latency at the end of the measuring window".to_owned()),
        (None, Some(latency)) => match expected {
            Some(expected) => {
                let lowered = pending.change.direction() == Direction::Lower;
                against_forecast(latency, expected, spec.slo.p99, lowered)
            }
            None => against_objective(pending, latency, spec.slo.p99),
        },
    };
    Effect { convergence, impact, expected_latency: expected.map(|band| band.point), measured_latency, why }
}

/// Returns the mean of the last minute of the signal with this role, if the signal is fresh.
pub fn measured(spec: &ServiceSpec, features: &Features, role: Role) -> Option<f64> {
    let signal = spec.role(role).and_then(|index| features.signals.get(index))?;
    let latest = signal.reading.fresh()?;
    Some(signal.mean_1m.unwrap_or(latest).get())
}

/// Returns the latency forecast without the change, this long after the decision.
pub fn expected(pending: &Pending, after: Duration) -> Option<Band> {
    Band::at(&pending.foreseen.latency, after.as_secs_f64() / 60.0)
}

/// Returns why the comparison would not be fair; `None` if it is.
fn disturbed(pending: &Pending, spec: &ServiceSpec, features: &Features, after: Duration) -> Option<String> {
    if features.target.last().is_some_and(|target| target.rollout) {
        return Some("a rollout ran in the measuring window".to_owned());
    }
    let change = &pending.change;
    let kept = features.target.last().map(TargetState::asked).filter(|asked| *asked >= change.from);
    if let Some(kept) = kept.filter(|_| change.knob == Knob::AutoscalerFloor && change.direction() == Direction::Lower)
    {
        return Some(format!("the autoscaler still runs {kept}: nothing was removed"));
    }
    let Band { low, high, .. } = Band::at(&pending.foreseen.arrivals, after.as_secs_f64() / 60.0)?;
    let load = measured(spec, features, Role::ArrivalRate)?;
    let show = |value| Unit::PerSecond.show(value);
    (load < low || load > high)
        .then(|| format!("the load of {} left the forecast interval {} to {}", show(load), show(low), show(high)))
}

fn against_forecast(measured: f64, expected: Band, objective: f64, lowered: bool) -> (Impact, String) {
    let (expected, noise) = (expected.point, (expected.high - expected.low) / 2.0);
    let (gain, floor) = (expected - measured, objective * FLOOR);
    let worse = -gain > (3.0 * noise).max(floor);
    let traded = worse && lowered && measured <= objective;
    let impact = if gain > (2.0 * noise).max(floor) {
        Impact::Helped
    } else if worse && !traded {
        Impact::Hurt
    } else {
        Impact::Neutral
    };
    let show = |value| Unit::Seconds.show(value);
    let kept = if traded { format!(", within the objective of {}", show(objective)) } else { String::new() };
    let why = format!(
        "latency {}, {} forecast without the change, noise {}{kept}",
        show(measured),
        show(expected),
        show(noise)
    );
    (impact, why)
}

/// Without a forecast only crossing the objective is informative: a raise that brought the latency below it helped, a
/// lowering after which it broke hurt.
fn against_objective(pending: &Pending, measured: f64, objective: f64) -> (Impact, String) {
    let lowered = pending.change.direction() == Direction::Lower;
    let show = |value| Unit::Seconds.show(value);
    let now = format!("latency {}, objective {}", show(measured), show(objective));
    let Some(before) = pending.foreseen.before else {
        return (Impact::Inconclusive, format!("{now}, unknown before"));
    };
    let impact = match (before <= objective, measured <= objective, lowered) {
        (false, true, false) => Impact::Helped,
        (_, true, _) => Impact::Neutral,
        (true, false, true) => Impact::Hurt,
        (_, false, _) => Impact::Inconclusive,
    };
    (impact, format!("{now}, {} before", show(before)))
}
