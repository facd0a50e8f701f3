//! The verify stage: did the write take effect, and is the service better off than without it?
//!
//! A write that was applied becomes a [`Pending`]. Each cycle calls [`assess`], which returns nothing until the target
//! has converged and the measuring window has passed, and then one [`Effect`]. What would have happened without the
//! change is the forecast made when it was decided ([`impact`]); the objective takes its place if the latency is not
//! forecast. [`advise_undo`] advises only against a lowering that hurt.

mod impact;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::model::{
    Band, CONVERGE_WITHIN, ChangeSet, Convergence, Direction, Effect, Features, Foreseen, Impact, Intent, Moment, Now,
    Outlook, Role, ServiceSpec, TargetReading,
};

/// How old a decision may be when the measurement of its write starts, also after a restart: the longest window still
/// ends within the forecast half hour.
const MEASURED_WITHIN: Duration = Duration::from_mins(20);

/// An applied write whose effect is not known yet.
#[derive(Debug, Clone)]
pub struct Pending {
    change: ChangeSet,
    decided: Moment,
    applied: Moment,
    /// What was forecast without the change when it was decided.
    foreseen: Foreseen,
    /// Since when (monotonic) this process has observed it.
    since: Duration,
    /// Whether this process has seen the target, at any value.
    seen: bool,
    /// Whether the target was seen with the written value.
    shown: bool,
    /// Monotonic time at which it was seen to have converged, and how long after the write that was.
    converged: Option<(Duration, Duration)>,
}

impl Pending {
    /// Returns the pending effect of `change`; `None` if it was decided too long ago to be measured against the
    /// forecast.
    pub fn new(change: ChangeSet, decided: Moment, applied: Moment, foreseen: Foreseen, now: Now) -> Option<Self> {
        let is_recent = decided.age(now) <= MEASURED_WITHIN;
        let since = now.mono;
        let pending = Self { change, decided, applied, foreseen, since, seen: false, shown: false, converged: None };
        is_recent.then_some(pending)
    }

    /// Returns the pending effect of a write of another process, or of an earlier run of this one; `None` if it was
    /// measured, was not applied, was reverted, or is too old. Its window restarts: nothing was observed meanwhile.
    pub fn resumed(intent: &Intent, now: Now) -> Option<Self> {
        let applied = intent.applied_at().filter(|_| intent.measured.is_none() && intent.reverted.is_none())?;
        let (decided, applied) = (Moment::persisted(intent.change.decided.wall, now), Moment::persisted(applied, now));
        Self::new(intent.change.clone(), decided, applied, intent.foreseen.clone(), now)
    }

    /// Returns the write.
    pub fn change(&self) -> &ChangeSet {
        &self.change
    }

    /// Returns how long after convergence the effect is measured.
    fn window(&self) -> Duration {
        match self.change.direction() {
            Direction::Raise | Direction::Lateral => Duration::from_mins(2),
            Direction::Lower => Duration::from_mins(5),
        }
    }
}

/// Returns what is expected without a change that is decided now, reduced to what its effect is measured against.
pub fn foresee(outlook: &Outlook, features: &Features, spec: &ServiceSpec) -> Foreseen {
    let path = |role, low, high| {
        let forecast = spec.role(role).and_then(|index| outlook.signals.get(index)?.as_ref());
        forecast.map(|forecast| Band::path(forecast, low, high)).unwrap_or_default()
    };
    Foreseen {
        latency: path(Role::Latency, 0.25, 0.75),
        arrivals: path(Role::ArrivalRate, 0.025, 0.975),
        before: impact::measured(spec, features, Role::Latency),
    }
}

/// What one observation of the target shows.
enum Look {
    Waiting,
    There,
    Elsewhere(String),
}

/// Returns the effect once it is known; `None` while it is not. Called once per cycle.
pub fn assess(pending: &mut Pending, spec: &ServiceSpec, features: &Features, now: Now) -> Option<Effect> {
    let look = look(pending, &features.target);
    let Some((converged, after)) = pending.converged else {
        return converge(pending, look, &features.target, now);
    };
    let convergence = Convergence::Converged { after };
    if let Look::Elsewhere(found) = look {
        return Some(unmeasured(
            pending,
            convergence,
            format!("converged, then {found} before its effect was measured"),
            now,
        ));
    }
    (now.since(converged) >= pending.window()).then(|| impact::measure(pending, convergence, spec, features, now))
}

/// Returns whether to undo: only a lowering that hurt. A raise is never undone below what the floor requires.
pub fn advise_undo(effect: &Effect, change: &ChangeSet) -> bool {
    effect.impact == Impact::Hurt && change.knob.sets_count() && change.direction() == Direction::Lower
}

/// Right after the write, the watch may not show the written value yet; the old value is no sign of another client
/// until the new one was seen.
fn look(pending: &mut Pending, target: &TargetReading) -> Look {
    let change = &pending.change;
    let state = match target {
        TargetReading::Known { target } => target,
        TargetReading::Outdated { .. } => return Look::Waiting,
        // After a start nothing is seen before the first list.
        TargetReading::Unknown { .. } if !pending.seen => return Look::Waiting,
        TargetReading::Unknown { reason } => return Look::Elsewhere(format!("no longer visible: {reason}")),
    };
    pending.seen = true;
    // Other knobs are read back by the write itself.
    if !change.knob.sets_count() {
        return Look::There;
    }
    let lever = state.lever();
    if lever.knob != change.knob {
        return Look::Elsewhere("an autoscaler was added or removed".to_owned());
    }
    if lever.uid != change.uid {
        return Look::Elsewhere(format!("recreated as {}", lever.uid));
    }
    if lever.value == change.to {
        pending.shown = true;
        return if state.ready >= change.to { Look::There } else { Look::Waiting };
    }
    if lever.value == change.from && !pending.shown {
        return Look::Waiting;
    }
    Look::Elsewhere(format!("set to {}, although {} was written", lever.value, change.to))
}

fn converge(pending: &mut Pending, look: Look, target: &TargetReading, now: Now) -> Option<Effect> {
    match look {
        Look::There => {
            pending.converged = Some((now.mono, pending.applied.age(now)));
            None
        }
        Look::Elsewhere(found) => Some(unmeasured(pending, Convergence::Overtaken, found, now)),
        Look::Waiting if now.since(pending.since) < CONVERGE_WITHIN => None,
        Look::Waiting if pending.shown => {
            let ready = target.last().map_or(0, |state| state.ready);
            let why = format!(
                "{ready} of {} replicas ready after {} s",
                pending.change.to,
                pending.applied.age(now).as_secs()
            );
            Some(unmeasured(pending, Convergence::NotConverged { ready }, why, now))
        }
        Look::Waiting => {
            let why = format!("{} was written but never observed", pending.change.to);
            Some(unmeasured(pending, Convergence::Overtaken, why, now))
        }
    }
}

fn unmeasured(pending: &Pending, convergence: Convergence, why: String, now: Now) -> Effect {
    let from_decision_to_write = pending.decided.age(now).saturating_sub(pending.applied.age(now));
    let expected_latency = impact::expected(pending, from_decision_to_write).map(|band| band.point);
    Effect { convergence, impact: Impact::Inconclusive, expected_latency, measured_latency: None, why }
}
