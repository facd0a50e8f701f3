//! The four stages: what each reads from the ports for its core, and where its effects go.

use std::sync::Arc;

use crate::cycle::{
    ActuatorCore, ActuatorEffect, ActuatorEvent, Decided, DeciderCore, DeciderEvent, ForecasterCore, ForecasterEffect,
    ForecasterEvent, Inputs, Observed, ObserverCore, RoundArrived,
};
use crate::instrument::StageName;
use crate::ports::journal::Entry;

use super::super::inbox::Inbox;
use super::slot::{Committed, Service};
use super::stage::Stage;

pub(super) struct ObserverStage;

impl Stage for ObserverStage {
    type Item = RoundArrived;
    type Core = ObserverCore;
    type Effects = Observed;
    const POSITION: usize = 0;
    const NAME: StageName = StageName::Observe;

    fn inbox(service: &Service) -> &Inbox<RoundArrived> {
        &service.rounds
    }

    fn core(service: &Service) -> &Committed<ObserverCore> {
        &service.observer
    }

    fn step(core: &mut ObserverCore, round: &RoundArrived, _: &Service) -> Observed {
        core.step(round)
    }

    fn perform(observed: Observed, service: &Arc<Service>) {
        service.update_view(|view| view.features = Some(observed.features.clone()));
        service.metrics.observed(&observed.features);
        let event = ForecasterEvent::Observed(observed);
        service.wake_if::<ForecasterStage>(service.forecasts.put_latest(event));
    }
}

pub(super) struct ForecasterStage;

impl Stage for ForecasterStage {
    type Item = ForecasterEvent;
    type Core = ForecasterCore;
    type Effects = Vec<ForecasterEffect>;
    const POSITION: usize = 1;
    const NAME: StageName = StageName::Forecast;

    fn inbox(service: &Service) -> &Inbox<ForecasterEvent> {
        &service.forecasts
    }

    fn core(service: &Service) -> &Committed<ForecasterCore> {
        &service.forecaster
    }

    fn step(core: &mut ForecasterCore, event: &ForecasterEvent, service: &Service) -> Vec<ForecasterEffect> {
        let effects = core.step(event);
        if matches!(event, ForecasterEvent::Warmed(_)) {
            service.set_warm();
        }
        effects
    }

    fn perform(effects: Vec<ForecasterEffect>, service: &Arc<Service>) {
        for effect in effects {
            match effect {
                ForecasterEffect::Assessed(assessed) => {
                    service.update_view(|view| view.outlook = Some(assessed.outlook.clone()));
                    service.metrics.forecast(&assessed.outlook);
                    service.assessed(assessed);
                }
                ForecasterEffect::Warm(job) => in_pool(service, move || ForecasterEvent::Warmed(job.run())),
                ForecasterEffect::Fit(job) => in_pool(service, move || ForecasterEvent::Fitted(job.run())),
            }
        }
    }
}

/// Runs a job off the loop's threads and hands its result to the forecaster.
fn in_pool(service: &Arc<Service>, job: impl FnOnce() -> ForecasterEvent + Send + 'static) {
    let owner = service.clone();
    let done = service.world.executor.run(Box::new(move || {
        let event = job();
        owner.wake_if::<ForecasterStage>(owner.forecasts.put_fact(event));
    }));
    tokio::spawn(done);
}

pub(super) struct DeciderStage;

impl Stage for DeciderStage {
    type Item = DeciderEvent;
    type Core = DeciderCore;
    type Effects = Option<Decided>;
    const POSITION: usize = 2;
    const NAME: StageName = StageName::Decide;

    fn inbox(service: &Service) -> &Inbox<DeciderEvent> {
        &service.decisions
    }

    fn core(service: &Service) -> &Committed<DeciderCore> {
        &service.decider
    }

    fn step(core: &mut DeciderCore, event: &DeciderEvent, service: &Service) -> Option<Decided> {
        let policy = service.world.policy.load();
        let kill = service.world.kill.seen();
        let hold = service.hold();
        core.step(event, Inputs { policy: policy.as_deref(), kill: &kill, hold: hold.as_deref() })
    }

    fn perform(decided: Option<Decided>, service: &Arc<Service>) {
        let Some(decided) = decided else { return };
        service.metrics.decided(&decided.record);
        service.update_view(|view| view.record = Some(decided.record.clone()));
        if decided.keep {
            service.world.journal.submit(Entry::Decision(decided.record.clone()));
        }
        // A change may not be replaced by a later cycle, so a decision that carries one is a fact.
        let carries_change = decided.record.change.is_some();
        let event = ActuatorEvent::Decided(decided);
        let inbox = &service.actions;
        let wake = if carries_change { inbox.put_fact(event) } else { inbox.put_latest(event) };
        service.wake_if::<ActuatorStage>(wake);
    }
}

pub(super) struct ActuatorStage;

impl Stage for ActuatorStage {
    type Item = ActuatorEvent;
    type Core = ActuatorCore;
    type Effects = Vec<ActuatorEffect>;
    const POSITION: usize = 3;
    const NAME: StageName = StageName::Act;

    fn inbox(service: &Service) -> &Inbox<ActuatorEvent> {
        &service.actions
    }

    fn core(service: &Service) -> &Committed<ActuatorCore> {
        &service.actuator
    }

    fn step(core: &mut ActuatorCore, event: &ActuatorEvent, _: &Service) -> Vec<ActuatorEffect> {
        core.step(event)
    }

    fn perform(effects: Vec<ActuatorEffect>, service: &Arc<Service>) {
        for effect in effects {
            match effect {
                ActuatorEffect::Write(change) => {
                    let owner = service.clone();
                    service.world.gate.submit(change, move |change, outcome, now| {
                        owner.write_ended(change, outcome, now);
                    });
                }
                ActuatorEffect::Measured { decision, effect } => {
                    service.metrics.measured(&effect);
                    service.world.journal.submit(Entry::Measured { decision, effect });
                }
            }
        }
    }
}
