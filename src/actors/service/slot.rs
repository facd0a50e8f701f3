//! The state of one service. It lives outside the actors, so that a restart costs no learning.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use ractor::ActorRef;

use crate::cycle::{
    ActuatorCore, ActuatorEvent, Assessed, DeciderCore, DeciderEvent, ForecasterCore, ForecasterEvent, ObserverCore,
};
use crate::instrument::ServiceMetrics;
use crate::model::{
    Arrival, ChangeSet, DecisionRecord, Features, Intent, MinuteValue, Now, Outlook, ServiceSpec, WriteOutcome,
};

use super::stage::{Stage, Wake};
use super::stages::{ActuatorStage, DeciderStage, ForecasterStage, ObserverStage};
use crate::actors::inbox::{Inbox, Put};
use crate::actors::world::World;

/// A core whose steps count only once they are through: a panic half-way leaves the last good state.
#[derive(Debug)]
pub(super) struct Committed<T> {
    core: Mutex<T>,
    commit: Commit,
}

/// How a step comes to count as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// It works on a copy, which replaces the core.
    Copy,
    /// The core sees to it: it is too large to be copied for the little that a step changes.
    InPlace,
}

impl<T: Clone> Committed<T> {
    fn by_copy(core: T) -> Self {
        Self { core: Mutex::new(core), commit: Commit::Copy }
    }

    fn in_place(core: T) -> Self {
        Self { core: Mutex::new(core), commit: Commit::InPlace }
    }

    pub(super) fn step<R>(&self, step: impl FnOnce(&mut T) -> R) -> R {
        if self.commit == Commit::InPlace {
            return step(&mut self.core.lock());
        }
        let mut next = self.core.lock().clone();
        let result = step(&mut next);
        *self.core.lock() = next;
        result
    }
}

/// The share that one service has in a round of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// In the order of the spec's signals; `None` where the source was not asked.
    pub arrivals: Vec<Option<Arrival>>,
    /// When the round arrived.
    pub now: Now,
}

impl Share {
    /// Returns what two shares make together: what the later one asked replaces what the earlier one got.
    fn followed_by(&self, later: Self) -> Self {
        let arrivals = later.arrivals.into_iter().zip(&self.arrivals).map(|(new, old)| new.or_else(|| old.clone()));
        Self { arrivals: arrivals.collect(), now: later.now }
    }
}

/// What is shown of a service.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// What was last seen.
    pub features: Option<Arc<Features>>,
    /// What was last expected.
    pub outlook: Option<Arc<Outlook>>,
    /// The last decision.
    pub record: Option<Arc<DecisionRecord>>,
    /// Restarts of its stages.
    pub restarts: u64,
    /// Why it is quarantined, if it is.
    pub quarantined: Option<String>,
}

/// The slot of one service, shared by its four stages.
pub struct Service {
    /// The declaration.
    pub spec: Arc<ServiceSpec>,
    /// The ports.
    pub world: Arc<World>,
    /// Its metrics.
    pub metrics: ServiceMetrics,
    pub(super) observer: Committed<ObserverCore>,
    pub(super) forecaster: Committed<ForecasterCore>,
    pub(super) decider: Committed<DeciderCore>,
    pub(super) actuator: Committed<ActuatorCore>,
    pub(super) rounds: Inbox<Share>,
    pub(super) forecasts: Inbox<ForecasterEvent>,
    pub(super) decisions: Inbox<DeciderEvent>,
    pub(super) actions: Inbox<ActuatorEvent>,
    pub(super) stages: ArcSwapOption<[ActorRef<Wake>; 4]>,
    view: Mutex<View>,
    /// Sources whose history is still awaited.
    histories_owed: AtomicUsize,
}

impl Service {
    /// Returns the slot of a service that remembers its `intents` of the last hours, oldest first, and waits for
    /// the history of so many sources before it decides.
    pub fn new(spec: Arc<ServiceSpec>, world: Arc<World>, intents: &[Intent], histories: usize) -> Self {
        let run = world.journal.run();
        Self {
            metrics: world.metrics.service(&spec),
            observer: Committed::by_copy(ObserverCore::new(spec.clone(), run)),
            forecaster: Committed::in_place(ForecasterCore::new(spec.clone(), world.forecast.clone(), histories > 0)),
            decider: Committed::by_copy(DeciderCore::new(
                spec.clone(),
                world.guard.clone(),
                intents,
                world.clock.now(),
            )),
            actuator: Committed::by_copy(ActuatorCore::new(spec.clone())),
            rounds: Inbox::default(),
            forecasts: Inbox::default(),
            decisions: Inbox::default(),
            actions: Inbox::default(),
            stages: ArcSwapOption::empty(),
            view: Mutex::new(View::default()),
            histories_owed: AtomicUsize::new(histories),
            spec,
            world,
        }
    }

    /// Hands over the share of a round. A share that was not yet taken is replaced.
    pub fn round_arrived(&self, share: Share) {
        self.put::<ObserverStage>(self.rounds.put_merged(share, Share::followed_by));
    }

    /// Hands over the past of the forecast signals.
    pub fn history_read(&self, history: Vec<(usize, Vec<MinuteValue>)>) {
        self.put::<ForecasterStage>(self.forecasts.put_fact(ForecasterEvent::HistoryRead(history)));
    }

    /// Notes that the history of one source was learned, or given up.
    pub fn history_settled(&self) {
        let one_less = |owed: usize| Some(owed.saturating_sub(1));
        // Never fails: the closure always yields a value.
        let _ = self.histories_owed.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
    }

    /// Tells whether all history was learned, or given up.
    pub fn is_warm(&self) -> bool {
        self.histories_owed.load(Ordering::Acquire) == 0
    }

    /// Tells both stages concerned how a write ended.
    pub fn write_ended(&self, change: &ChangeSet, outcome: &WriteOutcome, now: Now) {
        self.metrics.wrote(outcome);
        self.update_view(|view| {
            if let Some(record) = view.record.as_mut().filter(|record| record.id == change.decision) {
                Arc::make_mut(record).outcome = Some(outcome.clone());
            }
        });
        let (change, outcome) = (change.clone(), outcome.clone());
        let event = DeciderEvent::WriteEnded { change: change.clone(), outcome: outcome.clone(), now };
        self.put::<DeciderStage>(self.decisions.put_fact(event));
        let event = ActuatorEvent::WriteEnded { change, outcome, now };
        self.put::<ActuatorStage>(self.actions.put_fact(event));
    }

    /// Why this service may not decide yet, or now.
    pub fn hold(&self) -> Option<String> {
        if !self.is_warm() {
            return Some("warming up: history is being read".to_owned());
        }
        if let Err(error) = self.world.journal.health() {
            return Some(error.to_string());
        }
        self.world.gate.unsettled(&self.spec.target).then(|| "an earlier write is not settled yet".to_owned())
    }

    /// Returns what is shown of it.
    pub fn view(&self) -> View {
        self.view.lock().clone()
    }

    pub(super) fn update_view(&self, update: impl FnOnce(&mut View)) {
        update(&mut self.view.lock());
    }

    pub(super) fn assessed(&self, assessed: Assessed) {
        self.put::<DeciderStage>(self.decisions.put_latest(DeciderEvent::Assessed(assessed)));
    }

    /// Follows up on an item put into the inbox of a stage.
    pub(super) fn put<S: Stage>(&self, put: Put) {
        if put.replaced {
            self.world.process.skipped_inputs.inc();
        }
        if put.wake
            && let Some(stages) = &*self.stages.load()
        {
            // A stage that is being restarted is woken by its start.
            let _ = stages[S::POSITION].cast(Wake);
        }
    }
}
