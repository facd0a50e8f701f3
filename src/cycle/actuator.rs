//! Sends planned changes out, watches what becomes of them, and takes back once what hurt.

use std::sync::Arc;

use crate::act::inverse;
use crate::model::{ChangeSet, DecisionId, Effect, Now, Outlook, ServiceSpec, WriteOutcome};
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

    /// Takes one event.
    pub fn step(&mut self, event: &ActuatorEvent) -> Vec<ActuatorEffect> {
        match event {
            ActuatorEvent::Decided(decided) => self.act(decided),
            ActuatorEvent::WriteEnded { change, outcome, now } => {
                self.write_ended(change, outcome, *now);
                Vec::new()
            }
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
        let undo =
            (advise_undo(&effect, &change) && decided.record.change.is_none()).then(|| inverse(&change, observed.now));
        let mut effects = vec![ActuatorEffect::Measured { decision: change.decision, effect }];
        if let Some(undo) = undo {
            self.at_gate = Some((undo.clone(), decided.assessed.outlook.clone()));
            effects.push(ActuatorEffect::Write(undo));
        }
        effects
    }

    fn write_ended(&mut self, change: &ChangeSet, outcome: &WriteOutcome, now: Now) {
        let Some((sent, outlook)) = self.at_gate.take_if(|(sent, _)| sent.id == change.id) else { return };
        if *outcome == WriteOutcome::Applied {
            self.pending = Some(Pending::new(sent, now, &outlook, &self.spec));
        }
    }
}
