//! Sends planned changes and tracks their effects.

use std::sync::Arc;

use crate::model::{
    ChangeSet, Convergence, Effect, Foreseen, Impact, Intent, Moment, Now, ServiceSpec, WriteEnd, WriteOutcome,
};
use crate::verify::{Pending, assess, foresee};

use super::decider::Decided;

/// Events of an actuator.
#[derive(Debug, Clone)]
pub enum ActuatorEvent {
    /// A cycle, with or without a change.
    Decided(Decided),
    /// A change of this service ended.
    WriteEnded(Arc<WriteEnd>),
    /// This process leads from now on; carries the writes of the last hours, by any process.
    TookOver {
        /// Ended ones, oldest first, then open ones.
        intents: Arc<Vec<Intent>>,
        /// When they were read.
        now: Now,
    },
}

/// Effects requested by an actuator.
#[derive(Debug, Clone, PartialEq)]
pub enum ActuatorEffect {
    /// Submit the change to the write gate; answer with `WriteEnded`.
    Write {
        /// The change.
        change: ChangeSet,
        /// What is expected without it, to be stored with its intent.
        foreseen: Foreseen,
    },
    /// Record what a change did, and inform the decider.
    Measured {
        /// The change.
        change: ChangeSet,
        /// What it did.
        effect: Effect,
        /// When that was known.
        now: Now,
    },
}

/// A change whose write has not ended yet.
#[derive(Debug, Clone)]
struct AtGate {
    change: ChangeSet,
    decided: Moment,
    foreseen: Foreseen,
}

/// The actuator of one service.
#[derive(Debug, Clone)]
pub struct ActuatorCore {
    spec: Arc<ServiceSpec>,
    at_gate: Option<AtGate>,
    /// The change being measured.
    pending: Option<Pending>,
}

impl ActuatorCore {
    /// Returns an actuator that continues with what an earlier run had in flight: among `intents` (ended ones, oldest
    /// first, then open ones) the last applied one, unless it is already measured, and the open one.
    pub fn new(spec: Arc<ServiceSpec>, intents: &[Intent], now: Now) -> Self {
        let mut new = Self { spec, at_gate: None, pending: None };
        new.take_over(intents, now);
        new
    }

    /// Takes over from another process. About changes that it measures itself, this process knows more than the
    /// journal.
    fn take_over(&mut self, intents: &[Intent], now: Now) {
        let of_target = |intent: &&Intent| intent.change.target == self.spec.target;
        let last = Intent::last_applied(intents, &self.spec.target);
        let is_own = |pending: &Pending| {
            let known = intents.iter().find(|intent| intent.change.id == pending.change().id);
            // One that the journal does not show as ended has ended since it was read.
            known.is_none_or(|known| known.ended.is_none() || (Some(known) == last && known.measured.is_none()))
        };
        let own = self.pending.take().filter(is_own);
        let open = intents.iter().rev().filter(of_target).find(|intent| intent.ended.is_none()).cloned();
        self.pending = own.or_else(|| Pending::resumed(last?, now));
        if let Some(Intent { change, foreseen, .. }) = open {
            let decided = Moment::persisted(change.decided.wall, now);
            self.at_gate = Some(AtGate { change, decided, foreseen });
        }
    }

    /// Switches to a declaration with the same signals, target and labels.
    pub fn declared(&mut self, spec: &Arc<ServiceSpec>) {
        self.spec = spec.clone();
    }

    /// Processes one event.
    pub fn step(&mut self, event: &ActuatorEvent) -> Vec<ActuatorEffect> {
        match event {
            ActuatorEvent::Decided(decided) => self.act(decided),
            ActuatorEvent::WriteEnded(end) => self.write_ended(end),
            ActuatorEvent::TookOver { intents, now } => {
                self.take_over(intents, *now);
                Vec::new()
            }
        }
    }

    fn act(&mut self, decided: &Decided) -> Vec<ActuatorEffect> {
        let mut effects = self.measure(decided);
        if let Some(change) = &decided.record.change {
            let foreseen = foresee(&decided.assessed.outlook, &decided.assessed.observed.features, &self.spec);
            let at = Moment::now(change.decided);
            self.at_gate = Some(AtGate { change: change.clone(), decided: at, foreseen: foreseen.clone() });
            effects.push(ActuatorEffect::Write { change: change.clone(), foreseen });
        }
        effects
    }

    fn measure(&mut self, decided: &Decided) -> Vec<ActuatorEffect> {
        let observed = &decided.assessed.observed;
        let Some(pending) = &mut self.pending else { return Vec::new() };
        let Some(effect) = assess(pending, &self.spec, &observed.features, observed.now) else {
            return Vec::new();
        };
        let change = pending.change().clone();
        self.pending = None;
        vec![ActuatorEffect::Measured { change, effect, now: observed.now }]
    }

    /// A write that replaces one still being measured ends the measurement.
    fn write_ended(&mut self, end: &WriteEnd) -> Vec<ActuatorEffect> {
        let WriteEnd { change, outcome, now, .. } = end;
        let sent = self.at_gate.take_if(|sent| sent.change.id == change.id);
        let Some(sent) = sent.filter(|_| *outcome == WriteOutcome::Applied) else { return Vec::new() };
        let begun = Pending::new(sent.change, sent.decided, Moment::now(*now), sent.foreseen, *now);
        let overtaken = std::mem::replace(&mut self.pending, begun);
        let measured = overtaken.map(|pending| ActuatorEffect::Measured {
            change: pending.change().clone(),
            now: *now,
            effect: Effect {
                convergence: Convergence::Overtaken,
                impact: Impact::Inconclusive,
                expected_latency: None,
                measured_latency: None,
                why: format!("superseded by the next write, to {}", change.to),
            },
        });
        measured.into_iter().collect()
    }
}
