//! All cores of one service called inline: the loop without actors.

use std::sync::Arc;

use crate::forecast::fit::FitJob;
use crate::forecast::params::ForecastParams;
use crate::model::{CycleId, Intent, MinuteValue, Now, ServiceSpec, WriteEnd};

use super::actuator::{ActuatorCore, ActuatorEffect, ActuatorEvent};
use super::decider::{Decided, DeciderCore, Inputs};
use super::forecaster::{ForecasterCore, ForecasterEffect, ForecasterEvent};
use super::observer::{ObserverCore, RoundArrived};

/// The result of one cycle.
#[derive(Debug)]
pub struct Turn {
    /// The decision; `None` only if the forecaster passed nothing on.
    pub decided: Option<Decided>,
    /// Writes and measurements that follow.
    pub effects: Vec<ActuatorEffect>,
    /// A fit that is due; the caller decides when to run it.
    pub fit: Option<FitJob>,
}

/// The four cores of one service, in sequence.
#[derive(Debug, Clone)]
pub struct ServiceLine {
    observer: ObserverCore,
    forecaster: ForecasterCore,
    decider: DeciderCore,
    actuator: ActuatorCore,
}

impl ServiceLine {
    /// Returns the line of a service that knows only the `intents` of the last hours.
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

    /// Switches to a declaration with the same signals, target and labels.
    pub fn declared(&mut self, spec: &Arc<ServiceSpec>) {
        self.observer.declared(spec);
        self.forecaster.declared(spec);
        self.decider.declared(spec);
        self.actuator.declared(spec);
    }

    /// Learns the history immediately.
    pub fn warm(&mut self, history: Vec<(usize, Vec<MinuteValue>)>) {
        for effect in self.forecaster.step(&ForecasterEvent::HistoryRead(history)) {
            if let ForecasterEffect::Warm(job) = effect {
                self.forecaster.step(&job.run());
            }
        }
    }

    /// Passes one round from observe to act.
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

    /// Processes the end of a write; the result is to be handled like the effects of a turn.
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
