//! The state of one service. It lives outside the actors, so that a restart loses no learning.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use ractor::ActorRef;

use crate::cycle::{
    ActuatorCore, ActuatorEvent, Assessed, DeciderCore, DeciderEvent, ForecasterCore, ForecasterEvent, ObserverCore,
};
use crate::instrument::ServiceMetrics;
use crate::model::{
    Arrival, ChangeSet, CycleId, DecisionRecord, Features, Fitted, Intent, MinuteValue, Now, Outlook, ServiceId,
    ServiceSpec, WriteEnd, WriteOutcome,
};
use crate::ports::journal::Entry;
use crate::ports::{News, Stop};

use super::stage::{Stage, Wake};
use super::stages::{ActuatorStage, DeciderStage, ForecasterStage, ObserverStage};
use super::standing::{Declared, Standing};
use crate::actors::inbox::{Inbox, Put};
use crate::actors::world::World;

/// A core whose steps count only once they have completed: a panic halfway leaves the last good state. It follows the
/// declaration kept with it.
#[derive(Debug)]
pub(super) struct Committed<T> {
    core: Mutex<(Arc<ServiceSpec>, T)>,
    commit: Commit,
}

/// How a step is made atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// The step works on a copy, which replaces the core. Concurrent steps wait, or the later one would undo the other.
    Copy,
    /// The core ensures it: it is too large to be copied for the little that a step changes.
    InPlace,
}

impl<T: Clone> Committed<T> {
    fn by_copy(spec: &Arc<ServiceSpec>, core: T) -> Self {
        Self { core: Mutex::new((spec.clone(), core)), commit: Commit::Copy }
    }

    fn in_place(spec: &Arc<ServiceSpec>, core: T) -> Self {
        Self { core: Mutex::new((spec.clone(), core)), commit: Commit::InPlace }
    }

    /// Steps the core; if `declared` changed, first updates it to the new `spec`.
    pub(super) fn step<R>(
        &self,
        spec: &Arc<ServiceSpec>,
        declared: impl FnOnce(&mut T, &Arc<ServiceSpec>),
        step: impl FnOnce(&mut T) -> R,
    ) -> R {
        let stepped = |held: &mut (Arc<ServiceSpec>, T)| {
            if !Arc::ptr_eq(&held.0, spec) {
                declared(&mut held.1, spec);
                held.0 = spec.clone();
            }
            step(&mut held.1)
        };
        if self.commit == Commit::InPlace {
            return stepped(&mut self.core.lock());
        }
        let mut core = self.core.lock();
        let mut next = core.clone();
        let result = stepped(&mut next);
        *core = next;
        result
    }

    fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.core.lock().1)
    }
}

/// What a new slot knows of the time before it.
#[derive(Debug, Clone)]
pub struct Past {
    /// The service's last cycle in this run of the process.
    pub cycle: CycleId,
    /// Its intents of the last hours: ended ones, oldest first, then open ones.
    pub intents: Vec<Intent>,
    /// Fitted parameters of its signals.
    pub fits: Vec<Fitted>,
}

/// One service's share of a round of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// In the order of the spec's signals; `None` if the source was not queried.
    pub arrivals: Vec<Option<Arrival>>,
    /// When the round arrived.
    pub now: Now,
}

impl Share {
    /// Combines two shares: what the later one queried replaces what the earlier one got.
    fn followed_by(&self, later: Self) -> Self {
        let arrivals = later.arrivals.into_iter().zip(&self.arrivals).map(|(new, old)| new.or_else(|| old.clone()));
        Self { arrivals: arrivals.collect(), now: later.now }
    }
}

/// What is shown about a service.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The last features.
    pub features: Option<Arc<Features>>,
    /// The last outlook.
    pub outlook: Option<Arc<Outlook>>,
    /// The last decision.
    pub record: Option<Arc<DecisionRecord>>,
    /// Restarts of its stages.
    pub restarts: u64,
    /// Why it is quarantined, if it is.
    pub quarantined: Option<String>,
    /// Why its writes are stopped until a person intervenes, as reported to its owner.
    pub stopped: Option<Stop>,
}

/// The slot of one service, shared by its four stages.
pub struct Service {
    /// Which service.
    pub id: ServiceId,
    /// The declaration it follows. Changed only by the roster, one change at a time.
    pub(super) declared: ArcSwap<Declared>,
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
    /// In the order of their roles.
    pub(super) stages: ArcSwapOption<[ActorRef<Wake>; 4]>,
    view: Mutex<View>,
    /// Sources whose history is still awaited.
    histories_owed: AtomicUsize,
    heritage: Mutex<Heritage>,
}

/// Ends of writes that arrive after a slot was retired: for its successor, if there is one.
#[derive(Default)]
struct Heritage {
    heir: Option<Arc<Service>>,
    waiting: Vec<WriteEnd>,
}

impl Service {
    /// Returns the slot of a service with a `past`, which waits for the history of this many sources before it decides.
    pub fn new(spec: Arc<ServiceSpec>, world: Arc<World>, past: &Past, histories: usize) -> Self {
        let forecaster = ForecasterCore::new(spec.clone(), world.forecast.clone(), &past.fits, histories > 0);
        let now = world.ports.clock.now();
        let decider = DeciderCore::new(spec.clone(), &past.intents, now);
        let actuator = ActuatorCore::new(spec.clone(), &past.intents, now);
        Self {
            id: spec.id.clone(),
            metrics: world.metrics.service(&spec),
            observer: Committed::by_copy(&spec, ObserverCore::new(spec.clone(), past.cycle)),
            forecaster: Committed::in_place(&spec, forecaster),
            decider: Committed::by_copy(&spec, decider),
            actuator: Committed::by_copy(&spec, actuator),
            rounds: Inbox::default(),
            forecasts: Inbox::default(),
            decisions: Inbox::default(),
            actions: Inbox::default(),
            stages: ArcSwapOption::empty(),
            view: Mutex::new(View::default()),
            histories_owed: AtomicUsize::new(histories),
            heritage: Mutex::default(),
            declared: ArcSwap::from_pointee(Declared { spec, standing: Standing::Supervised }),
            world,
        }
    }

    /// Ends the service: nothing that waits is started any longer. What is at the write gate completes.
    pub fn retire(&self) {
        self.stands(self.spec(), Standing::Retired);
        self.stages.store(None);
        self.metrics.forget();
        self.settle_unbegun();
    }

    /// Settles the changes that wait for an actuator that no longer starts anything; nothing else would. Callers that
    /// queue a change call this afterwards, because the service may have been retired in between.
    pub(super) fn settle_unbegun(&self) {
        for event in self.actions.drain() {
            if let ActuatorEvent::Decided(decided) = &*event
                && let Some(change) = &decided.record.change
            {
                self.retired_before(change);
            }
        }
    }

    /// Names the slot that receives the ends of writes which this retired one still has in flight.
    pub fn succeeded_by(&self, heir: &Arc<Service>) {
        let waiting = {
            let mut heritage = self.heritage.lock();
            heritage.heir = Some(heir.clone());
            std::mem::take(&mut heritage.waiting)
        };
        for end in waiting {
            heir.write_ended(end);
        }
    }

    /// Passes the end of a write on to the heir, now or once there is one.
    fn bequeath(&self, end: WriteEnd) {
        let heir = {
            let mut heritage = self.heritage.lock();
            let Some(heir) = heritage.heir.clone() else { return heritage.waiting.push(end) };
            heir
        };
        heir.write_ended(end);
    }

    /// Records that a change is not sent because its service is no longer supervised.
    pub(super) fn retired_before(&self, change: &ChangeSet) {
        let outcome = WriteOutcome::unsent("its service is no longer supervised");
        self.world.ports.journal.submit(Entry::Outcome { decision: change.decision.clone(), outcome });
    }

    /// Returns the newest cycle.
    pub fn last_cycle(&self) -> CycleId {
        self.observer.read(ObserverCore::last)
    }

    /// Notifies the owner.
    pub(super) fn tell(&self, news: News) {
        self.world.ports.services.tell(&self.id, news);
    }

    /// Delivers the share of a round. A share that was not taken yet is replaced.
    pub fn round_arrived(&self, share: Share) {
        self.put::<ObserverStage>(self.rounds.put_merged(share, Share::followed_by));
    }

    /// Delivers the past of the forecast signals.
    pub fn history_read(&self, history: Vec<(usize, Vec<MinuteValue>)>) {
        self.put::<ForecasterStage>(self.forecasts.put_fact(ForecasterEvent::HistoryRead(history)));
    }

    /// Notes that the history of one source was learned or given up on.
    pub fn history_settled(&self) {
        let one_less = |owed: usize| Some(owed.saturating_sub(1));
        // Never fails: the closure always yields a value.
        let _ = self.histories_owed.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
    }

    /// Returns whether all history was learned or given up on.
    pub fn is_warm(&self) -> bool {
        self.histories_owed.load(Ordering::Acquire) == 0
    }

    /// Informs both stages concerned how a write ended, then other listeners.
    pub fn write_ended(&self, end: WriteEnd) {
        if self.is_retired() {
            return self.bequeath(end);
        }
        let end = Arc::new(end);
        self.put::<DeciderStage>(self.decisions.put_fact(DeciderEvent::WriteEnded(end.clone())));
        self.put::<ActuatorStage>(self.actions.put_fact(ActuatorEvent::WriteEnded(end.clone())));
        let WriteEnd { change, outcome, .. } = &*end;
        self.metrics.wrote(outcome);
        self.update_view(|view| {
            if let Some(record) = view.record.as_mut().filter(|record| record.id == change.decision) {
                Arc::make_mut(record).outcome = Some(outcome.clone());
            }
        });
        self.tell(News::WriteEnded { change: change.clone(), outcome: outcome.clone() });
    }

    /// Records that a change ended before it reached the write gate.
    pub(super) fn never_sent(&self, change: &ChangeSet, why: &str) {
        let outcome = WriteOutcome::unsent(why);
        let now = self.world.ports.clock.now();
        self.write_ended(WriteEnd { change: change.clone(), outcome: outcome.clone(), now, version: None });
        self.world.ports.journal.submit(Entry::Outcome { decision: change.decision.clone(), outcome });
    }

    /// Informs both stages concerned about the writes that others made while this process followed.
    pub fn took_over(&self, intents: Vec<Intent>, now: Now) {
        let intents = Arc::new(intents);
        self.put::<ActuatorStage>(self.actions.put_handover(ActuatorEvent::TookOver { intents: intents.clone(), now }));
        self.put::<DeciderStage>(self.decisions.put_handover(DeciderEvent::TookOver { intents, now }));
    }

    /// Returns why this service may not decide yet, or now.
    pub fn hold(&self) -> Option<String> {
        if !self.is_warm() {
            return Some("warming up: reading history".to_owned());
        }
        if let Err(error) = self.world.ports.journal.health() {
            return Some(error.to_string());
        }
        if let Some(unreadable) = self.world.ports.journal.unreadable().into_iter().find(|one| one.concerns(&self.id)) {
            return Some(unreadable.to_string());
        }
        self.world.gate.unsettled(&self.spec().target).then(|| "an earlier write is not settled yet".to_owned())
    }

    /// Returns the API server's last answer to its writes, if they failed in a way that needs a person.
    pub fn denied(&self) -> Option<String> {
        let now = self.world.ports.clock.now();
        self.decider.read(|core| core.denied(now))
    }

    /// Notes why it stands down, or that it does not, and reports to its owner whether its writes are stopped.
    pub(super) fn stood_down(&self, why: Option<String>) {
        let now = self.world.ports.clock.now();
        let refusal = || self.decider.read(|core| core.refusal(now)).map(Stop::Refused);
        self.metrics.stood_down(why.is_some());
        let stopped = why.map(Stop::StoodDown).or_else(refusal);
        let mut before = None;
        self.update_view(|view| before = std::mem::replace(&mut view.stopped, stopped.clone()));
        if before != stopped {
            self.tell(News::Stopped(stopped));
        }
    }

    /// Returns what is shown of it.
    pub fn view(&self) -> View {
        self.view.lock().clone()
    }

    pub(super) fn update_view(&self, update: impl FnOnce(&mut View)) {
        update(&mut self.view.lock());
    }

    /// Records why it is quarantined, or that it is not.
    pub(super) fn quarantined(&self, reason: Option<String>) {
        self.metrics.quarantined(reason.is_some());
        let mut told = false;
        self.update_view(|view| told = std::mem::replace(&mut view.quarantined, reason.clone()) != reason);
        if told {
            self.tell(News::Quarantined(reason));
        }
    }

    pub(super) fn assessed(&self, assessed: Assessed) {
        self.put::<DeciderStage>(self.decisions.put_latest(DeciderEvent::Assessed(assessed)));
    }

    /// Follows up on an item put into a stage's inbox.
    pub(super) fn put<S: Stage>(&self, put: Put<S::Item>) {
        if put.wake
            && let Some(stages) = &*self.stages.load()
        {
            // A stage that is restarting is woken by its start.
            let _ = stages[S::ROLE as usize].cast(Wake);
        }
        if let Some(left_out) = put.left_out {
            self.world.process.skipped_inputs.inc();
            S::skipped(&left_out, self);
        }
    }
}
