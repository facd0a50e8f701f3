//! The verify stage: did the write arrive, and is the service better off than without it?
//!
//! A write that was applied becomes a [`Pending`]. Each cycle asks [`assess`], which stays silent until the
//! target has converged and the measuring window has passed, and then gives one [`Effect`]. What would have
//! happened without the change is the forecast made when it was decided ([`impact`]); the objective stands in
//! where the latency is not forecast. [`advise_undo`] speaks only against a lowering that hurt.

mod impact;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::model::{
    CONVERGE_WITHIN, ChangeSet, Convergence, Direction, Effect, Features, Impact, Now, Outlook, Role, ServiceSpec,
    SignalOutlook, TargetReading,
};

/// An applied write whose effect is not known yet.
#[derive(Debug, Clone)]
pub struct Pending {
    change: ChangeSet,
    applied: Now,
    /// The forecasts made at decision time, without the change.
    latency: Option<SignalOutlook>,
    arrivals: Option<SignalOutlook>,
    /// Latency when it was first looked at, before pods came or went.
    before: Option<f64>,
    /// Whether the target was seen with the value written.
    shown: bool,
    /// Monotonic time at which it converged.
    converged: Option<Duration>,
}

impl Pending {
    /// Returns the pending effect of `change`, applied at `applied`; `outlook` is that of its decision.
    pub fn new(change: ChangeSet, applied: Now, outlook: &Outlook, spec: &ServiceSpec) -> Self {
        let forecast = |role| spec.role(role).and_then(|index| outlook.signals.get(index)?.clone());
        Self {
            latency: forecast(Role::Latency),
            arrivals: forecast(Role::ArrivalRate),
            change,
            applied,
            before: None,
            shown: false,
            converged: None,
        }
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

/// What one look at the target says.
enum Look {
    Waiting,
    There,
    Elsewhere(String),
}

/// Returns the effect once it is known; `None` while it is not. Called once a cycle.
pub fn assess(pending: &mut Pending, spec: &ServiceSpec, features: &Features, now: Now) -> Option<Effect> {
    if pending.before.is_none() {
        pending.before = impact::measured(spec, features, Role::Latency);
    }
    let look = look(pending, &features.target);
    let Some(converged) = pending.converged else {
        return converge(pending, look, &features.target, now);
    };
    let convergence = Convergence::Converged { after: converged.saturating_sub(pending.applied.mono) };
    if let Look::Elsewhere(found) = look {
        return Some(unmeasured(pending, convergence, format!("converged, then {found} before it was measured")));
    }
    (now.since(converged) >= pending.window()).then(|| impact::measure(pending, convergence, spec, features, now))
}

/// Tells whether to undo: only a lowering that hurt. A raise is never undone below what the floor asks for.
pub fn advise_undo(effect: &Effect, change: &ChangeSet) -> bool {
    effect.impact == Impact::Hurt && change.knob.sets_count() && change.direction() == Direction::Lower
}

/// The value written is right after the write not yet what the watch shows; the value found before is no
/// sign of another hand until the new one was seen.
fn look(pending: &mut Pending, target: &TargetReading) -> Look {
    let change = &pending.change;
    let state = match target {
        TargetReading::Known { target } => target,
        TargetReading::Outdated { .. } => return Look::Waiting,
        TargetReading::Unknown { reason } => return Look::Elsewhere(format!("no longer visible: {reason}")),
    };
    // Other knobs are read back by the write itself.
    if !change.knob.sets_count() {
        return Look::There;
    }
    let lever = state.lever();
    if lever.knob != change.knob {
        return Look::Elsewhere("an autoscaler came or went".to_owned());
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
    Look::Elsewhere(format!("set to {} where {} was written", lever.value, change.to))
}

fn converge(pending: &mut Pending, look: Look, target: &TargetReading, now: Now) -> Option<Effect> {
    match look {
        Look::There => {
            pending.converged = Some(now.mono);
            None
        }
        Look::Elsewhere(found) => Some(unmeasured(pending, Convergence::Overtaken, found)),
        Look::Waiting if now.since(pending.applied.mono) < CONVERGE_WITHIN => None,
        Look::Waiting if pending.shown => {
            let ready = target.last().map_or(0, |state| state.ready);
            let why = format!(
                "{ready} of {} replicas ready after {} s",
                pending.change.to,
                now.since(pending.applied.mono).as_secs()
            );
            Some(unmeasured(pending, Convergence::NotConverged { ready }, why))
        }
        Look::Waiting => {
            let why = format!("{} was written and never seen", pending.change.to);
            Some(unmeasured(pending, Convergence::Overtaken, why))
        }
    }
}

fn unmeasured(pending: &Pending, convergence: Convergence, why: String) -> Effect {
    let minutes = impact::minutes_after_decision(pending, pending.applied);
    let expected_latency = pending.latency.as_ref().and_then(|forecast| forecast.point_at(minutes));
    Effect { convergence, impact: Impact::Inconclusive, expected_latency, measured_latency: None, why }
}
