//! Sends planned changes out and watches what becomes of them.

use std::sync::Arc;

use crate::model::{ChangeSet, Convergence, Effect, Impact, Now, Outlook, ServiceSpec, WriteOutcome};
use crate::verify::{Pending, assess};

use super::decider::Decided;

/// A change of a service ended.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteEnd {
    /// Which.
    pub change: ChangeSet,
    /// How.
    pub outcome: WriteOutcome,
    /// When.
    pub now: Now,
}

/// What an actuator hears.
#[derive(Debug, Clone)]
pub enum ActuatorEvent {
    /// A cycle comes by, with or without a change.
    Decided(Decided),
    /// A change of this service ended.
    WriteEnded(Arc<WriteEnd>),
}

/// What an actuator wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum ActuatorEffect {
    /// Put the change to the write gate; answer with `WriteEnded`.
    Write(ChangeSet),
    /// Remember what a change did, and tell the decider.
    Measured {
        /// The change.
        change: ChangeSet,
        /// What it did.
        effect: Effect,
        /// When that was known.
        now: Now,
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
            ActuatorEvent::WriteEnded(end) => self.write_ended(end),
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
        vec![ActuatorEffect::Measured { change, effect, now: observed.now }]
    }

    /// A write that takes the place of one still measured ends the measurement.
    fn write_ended(&mut self, end: &WriteEnd) -> Vec<ActuatorEffect> {
        let WriteEnd { change, outcome, now } = end;
        let sent = self.at_gate.take_if(|(sent, _)| sent.id == change.id);
        let Some((sent, outlook)) = sent.filter(|_| *outcome == WriteOutcome::Applied) else { return Vec::new() };
        let overtaken = self.pending.replace(Pending::new(sent, *now, &outlook, &self.spec));
        let measured = overtaken.map(|pending| ActuatorEffect::Measured {
            change: pending.change().clone(),
            now: *now,
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
