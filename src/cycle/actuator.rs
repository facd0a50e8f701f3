//! Sends planned changes out, watches what becomes of them, and takes back once what hurt.

use std::sync::Arc;

use crate::act::inverse;
use crate::model::{ChangeSet, Convergence, DecisionId, Effect, Impact, Now, Outlook, ServiceSpec, WriteOutcome};
use crate::verify::{Pending, advise_undo, assess};

use super::decider::Decided;

/// What an actuator hears.
#[derive(Debug, Clone)]
pub enum ActuatorEvent {
    /// A cycle comes by, with or without a change.
    Decided(Decided),
    /// A change of this service ended.
    WriteEnded {
        /// Which.
        change: ChangeSet,
        /// How.
        outcome: WriteOutcome,
        /// When.
        now: Now,
    },
}

/// What an actuator wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum ActuatorEffect {
    /// Put the change to the write gate; answer with `WriteEnded`.
    Write(ChangeSet),
    /// Remember what a change did.
    Measured {
        /// The decision it followed from.
        decision: DecisionId,
        /// What it did.
        effect: Effect,
    },
}

/// The actuator of one service.
#[derive(Debug, Clone)]
pub struct ActuatorCore {
    spec: Arc<ServiceSpec>,
    /// The change at the gate, with the outlook it was decided on.
    at_gate: Option<(ChangeSet, Arc<Outlook>)>,
    /// The change being measured.
    pending: Option<Pending>,
}

impl ActuatorCore {
    /// Returns an actuator with nothing under way.
    pub fn new(spec: Arc<ServiceSpec>) -> Self {
        Self { spec, at_gate: None, pending: None }
    }

    /// Goes on by a declaration that was changed in anything but its signals, its target and its labels.
    pub fn declared(&mut self, spec: &Arc<ServiceSpec>) {
        self.spec = spec.clone();
    }

    /// Takes one event.
    pub fn step(&mut self, event: &ActuatorEvent) -> Vec<ActuatorEffect> {
        match event {
            ActuatorEvent::Decided(decided) => self.act(decided),
            ActuatorEvent::WriteEnded { change, outcome, now } => self.write_ended(change, outcome, *now),
        }
    }

    fn act(&mut self, decided: &Decided) -> Vec<ActuatorEffect> {
        let mut effects = self.measure(decided);
        if let Some(change) = &decided.record.change {
            self.at_gate = Some((change.clone(), decided.assessed.outlook.clone()));
            effects.push(ActuatorEffect::Write(change.clone()));
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
        let undo = self.undo(&effect, &change, decided);
        let mut effects = vec![ActuatorEffect::Measured { decision: change.decision, effect }];
        if let Some(undo) = undo {
            self.at_gate = Some((undo.clone(), decided.assessed.outlook.clone()));
            effects.push(ActuatorEffect::Write(undo));
        }
        effects
    }

    /// Takes back what hurt, once: only where nothing else is under way, where the target is seen as it was
    /// left, and inside the owner's bounds of today.
    fn undo(&self, effect: &Effect, change: &ChangeSet, decided: &Decided) -> Option<ChangeSet> {
        let observed = &decided.assessed.observed;
        let as_left = observed.features.target.known().is_some_and(|target| target.replicas == change.to);
        let inside = (self.spec.bounds.min..=self.spec.bounds.max).contains(&change.from);
        let idle = decided.record.change.is_none() && self.at_gate.is_none();
        (advise_undo(effect, change) && as_left && inside && idle).then(|| inverse(change, observed.now))
    }

    /// A write that takes the place of one still measured ends the measurement.
    fn write_ended(&mut self, change: &ChangeSet, outcome: &WriteOutcome, now: Now) -> Vec<ActuatorEffect> {
        let sent = self.at_gate.take_if(|(sent, _)| sent.id == change.id);
        let Some((sent, outlook)) = sent.filter(|_| *outcome == WriteOutcome::Applied) else { return Vec::new() };
        let overtaken = self.pending.replace(Pending::new(sent, now, &outlook, &self.spec));
        let measured = overtaken.map(|pending| ActuatorEffect::Measured {
            decision: pending.change().decision.clone(),
            effect: Effect {
                convergence: Convergence::Overtaken,
                impact: Impact::Inconclusive,
                expected_latency: None,
                measured_latency: None,
                why: format!("overtaken by the next write, to {}", change.to),
            },
        });
        measured.into_iter().collect()
    }
}
