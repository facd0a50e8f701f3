//! All cores of one service in one call: the loop without actors.

use std::sync::Arc;

use crate::forecast::fit::FitJob;
use crate::forecast::params::ForecastParams;
use crate::model::{CycleId, Intent, MinuteValue, Now, ServiceSpec, WriteEnd};

use super::actuator::{ActuatorCore, ActuatorEffect, ActuatorEvent};
use super::decider::{Decided, DeciderCore, Inputs};
use super::forecaster::{ForecasterCore, ForecasterEffect, ForecasterEvent};
use super::observer::{ObserverCore, RoundArrived};

/// What one turn yields.
#[derive(Debug)]
pub struct Turn {
    /// The decision; `None` only if the forecaster handed nothing on.
    pub decided: Option<Decided>,
    /// Writes and measurements that follow.
    pub effects: Vec<ActuatorEffect>,
    /// A fit that is due; the caller runs it when it likes.
    pub fit: Option<FitJob>,
}

/// The four cores of one service, in line.
#[derive(Debug, Clone)]
pub struct ServiceLine {
    observer: ObserverCore,
    forecaster: ForecasterCore,
    decider: DeciderCore,
    actuator: ActuatorCore,
}

impl ServiceLine {
    /// Returns the line of a service that knows `intents` of the last hours and nothing else.
    pub fn new(
        spec: &Arc<ServiceSpec>,
        forecast: &Arc<ForecastParams>,
        run: u32,
        intents: &[Intent],
        now: Now,
    ) -> Self {
        Self {
            observer: ObserverCore::new(spec.clone(), CycleId { run, seq: 0 }),
            forecaster: ForecasterCore::new(spec.clone(), forecast.clone(), &[], true),
            decider: DeciderCore::new(spec.clone(), intents, now),
            actuator: ActuatorCore::new(spec.clone(), intents, now),
        }
    }

    /// Goes on by a declaration that was changed in anything but its signals, its target and its labels.
    pub fn declared(&mut self, spec: &Arc<ServiceSpec>) {
        self.observer.declared(spec);
        self.forecaster.declared(spec);
        self.decider.declared(spec);
        self.actuator.declared(spec);
    }

    /// Learns the past, at once.
    pub fn warm(&mut self, history: Vec<(usize, Vec<MinuteValue>)>) {
        for effect in self.forecaster.step(&ForecasterEvent::HistoryRead(history)) {
            if let ForecasterEffect::Warm(job) = effect {
                self.forecaster.step(&job.run());
            }
        }
    }

    /// Lets one round travel from observe to act.
    pub fn turn(&mut self, round: &RoundArrived, inputs: Inputs<'_>) -> Turn {
        let observed = self.observer.step(round);
        let mut turn = Turn { decided: None, effects: Vec::new(), fit: None };
        for effect in self.forecaster.step(&ForecasterEvent::Observed(observed)) {
            match effect {
                ForecasterEffect::Assessed(assessed) => {
                    turn.decided = Some(self.decider.decide(&assessed, inputs));
                }
                ForecasterEffect::Fit(job) => turn.fit = Some(job),
                ForecasterEffect::Warm(_) | ForecasterEffect::Keep(_) => {}
            }
        }
        if let Some(decided) = &turn.decided {
            turn.effects = self.actuator.step(&ActuatorEvent::Decided(decided.clone()));
            self.tell_measured(&turn.effects);
        }
        turn
    }

    /// Hears how a write ended; what it yields is to be done like the effects of a turn.
    pub fn write_ended(&mut self, end: WriteEnd) -> Vec<ActuatorEffect> {
        let end = Arc::new(end);
        self.decider.write_ended(&end);
        let effects = self.actuator.step(&ActuatorEvent::WriteEnded(end));
        self.tell_measured(&effects);
        effects
    }

    fn tell_measured(&mut self, effects: &[ActuatorEffect]) {
        for effect in effects {
            if let ActuatorEffect::Measured { change, effect, now } = effect {
                self.decider.measured(change, effect, *now);
            }
        }
    }
}
