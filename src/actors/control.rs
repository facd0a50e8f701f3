//! Snapshots of the running loop for console and CLI.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::model::time::elapsed;
use crate::model::{
    DecisionId, DecisionRecord, Features, Lead, Now, Reading, ServiceId, SignalFeatures, SignalSpec, Timestamp,
    record::SignalLabel,
};
use crate::ports::{
    Awaited, Control, Declaration, JournalError, PolicyStatus, ServiceSnapshot, SourceStatus, Status, Stop,
};

use super::roster::Roster;
use super::service::Service;
use super::source::SourcePlan;
use super::world::World;

/// How long startup waits for the services to be known.
const START_AT_MOST: Duration = Duration::from_mins(2);

/// The running loop, seen from outside.
pub struct LoopControl {
    world: Arc<World>,
    roster: Arc<Roster>,
    /// Whether readiness has been reported.
    started: AtomicBool,
    started_with: StartedWith,
}

/// What the process was started with, as reported in its status.
#[derive(Debug, Clone)]
pub struct StartedWith {
    /// Its state directory.
    pub state: PathBuf,
    /// Hash of its settings.
    pub settings: String,
    /// Where its kill switch is.
    pub kill_switch: String,
}

impl LoopControl {
    /// Returns a view of the services of `roster`.
    pub fn new(world: Arc<World>, roster: Arc<Roster>, started_with: StartedWith) -> Self {
        Self { world, roster, started: AtomicBool::new(false), started_with }
    }

    /// Returns the time between two ticks of the slowest source.
    fn longest_tick(&self) -> Duration {
        self.roster.sources().iter().map(|plan| plan.interval).max().unwrap_or_default()
    }

    /// Returns what the process waits for; `behind` is what its services wait for.
    fn waiting_for(&self, behind: &[Awaited], now: Now) -> Vec<Awaited> {
        let mut waiting: Vec<_> = self.standing_still(now).collect();
        let ports = &self.world.ports;
        match &*ports.services.watch().borrow() {
            None => waiting.push(Awaited::Declarations),
            Some(declared) if self.starts(now) && declared.keys().any(|id| self.roster.find(id).is_none()) => {
                waiting.push(Awaited::Services);
            }
            Some(_) => {}
        }
        if self.starts(now) {
            waiting.extend(behind.iter().cloned());
        }
        let watches = [ports.cluster.waiting_for(), ports.services.waiting_for(), ports.policies.waiting_for()];
        let watches = watches.into_iter().flatten().chain(ports.kill.waiting_for());
        waiting.extend(watches);
        waiting.extend(ports.leadership.waiting_for());
        if matches!(self.world.gate.lead(), Lead::TakesOver { .. }) {
            waiting.push(Awaited::FormerLeader);
        }
        waiting.extend(self.world.policy.waiting_for());
        waiting.extend(ports.journal.health().err().map(|error| Awaited::Journal { error: error.to_string() }));
        waiting
    }

    /// Records that readiness was reported, which ends startup.
    fn told_ready(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Returns the sources that have not started a round for a long time.
    fn standing_still(&self, now: Now) -> impl Iterator<Item = Awaited> {
        self.roster.sources().iter().filter_map(move |plan| {
            let silent_seconds = plan.standstill(now.mono)?.as_secs();
            Some(Awaited::Rounds { source: plan.name.clone(), silent_seconds })
        })
    }

    /// Returns whether the process still waits to know its services: a replica that replaces another one should know as
    /// much. Services declared later arrive one by one, and a source that is down does not delay startup for long.
    fn starts(&self, now: Now) -> bool {
        now.mono < START_AT_MOST && !self.started.load(Ordering::Relaxed)
    }

    /// Returns which services are not known yet, for lack of their history or of a first round.
    fn behind(&self) -> Vec<Awaited> {
        let services = self.roster.all();
        let mut behind = Vec::new();
        let cold = services.values().filter(|service| !service.is_warm()).count();
        if cold > 0 {
            let (asked, of) = self.roster.progress().get();
            behind.push(Awaited::History { services: cold, asked, of });
        }
        let is_asked = |features: Arc<Features>| features.signals.iter().all(|signal| signal.reading.is_asked());
        let unseen = services.values().filter(|service| !service.view().features.is_some_and(is_asked)).count();
        if unseen > 0 {
            behind.push(Awaited::FirstRound { services: unseen });
        }
        behind
    }

    /// Returns what single services wait for without affecting the others.
    fn services_wait_for(&self, behind: Vec<Awaited>) -> Vec<Awaited> {
        let mut waiting = behind;
        waiting.extend(self.silent_sources());
        let ports = &self.world.ports;
        waiting.extend(ports.cluster.newly_waiting_for());
        let unsettled = self.world.gate.unsettled_intents();
        if unsettled > 0 {
            waiting.push(Awaited::EarlierWrites { writes: unsettled });
        }
        waiting.extend(ports.journal.unreadable().into_iter().map(Awaited::UnreadableIntent));
        waiting.extend(ports.services.unbounded().map(|why| Awaited::Bound { why }));
        waiting.extend(ports.services.ignored().into_iter().map(|declaration| Awaited::Unheeded { declaration }));
        waiting
    }

    /// Returns the source errors that leave services without telemetry.
    fn silent_sources(&self) -> impl Iterator<Item = Awaited> {
        let mut silent: BTreeMap<String, usize> = BTreeMap::new();
        for features in self.roster.all().values().filter_map(|service| service.view().features) {
            let errors: BTreeSet<&String> = features.signals.iter().filter_map(|s| s.reading.source_error()).collect();
            errors.into_iter().for_each(|error| *silent.entry(error.clone()).or_default() += 1);
        }
        silent.into_iter().map(|(error, services)| Awaited::Telemetry { services, error })
    }
}

impl Control for LoopControl {
    fn status(&self) -> Status {
        let now = self.world.ports.clock.now();
        let behind = self.behind();
        let waiting_for = self.waiting_for(&behind, now);
        if waiting_for.is_empty() {
            self.told_ready();
        }
        Status {
            ready: waiting_for.is_empty(),
            waiting_for,
            services_wait_for: self.services_wait_for(behind),
            revision: self.world.policy.load().map(|set| set.revision().clone()),
            policy_faults: self.world.policy.faults(),
            kill: self.world.ports.kill.seen(),
            lead: self.world.gate.lead(),
            now: now.wall,
            uptime: now.mono,
            version: crate::model::build::FULL.to_owned(),
            state: Some(self.started_with.state.clone()),
            settings: Some(self.started_with.settings.clone()),
            kill_switch: Some(self.started_with.kill_switch.clone()),
            sources: self.roster.sources().iter().map(|plan| source(plan, now.wall)).collect(),
        }
    }

    fn standstill(&self) -> Option<Awaited> {
        self.standing_still(self.world.ports.clock.now()).find(Awaited::is_standstill)
    }

    fn policies(&self) -> PolicyStatus {
        self.world.policy.status(self.world.ports.clock.now().mono)
    }

    fn services(&self, after: Option<&ServiceId>, limit: usize) -> Vec<ServiceSnapshot> {
        let (now, tick) = (self.world.ports.clock.now().wall, self.longest_tick());
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.roster.all();
        all.range((from, Bound::Unbounded)).take(limit).map(|(_, service)| snapshot(service, tick, now)).collect()
    }

    fn service(&self, id: &ServiceId) -> Option<ServiceSnapshot> {
        let now = self.world.ports.clock.now().wall;
        self.roster.find(id).map(|service| snapshot(&service, self.longest_tick(), now))
    }

    fn declaration(&self, id: &ServiceId) -> Option<Declaration> {
        let service = self.roster.find(id)?;
        Some(Declaration::shown((*service.spec()).clone(), &self.world.mask))
    }

    /// Decisions that changed something come from the journal; the last one of each service, changed or not, precedes
    /// them.
    fn decisions(
        &self,
        service: Option<&ServiceId>,
        before: Option<&DecisionId>,
        limit: usize,
    ) -> Result<Vec<DecisionRecord>, JournalError> {
        let mut records = self.world.ports.journal.decisions(service, before, limit)?;
        let newest = service.filter(|_| before.is_none()).and_then(|id| self.roster.find(id));
        if let Some(current) = newest.and_then(|service| service.view().record)
            && records.first().is_none_or(|newest| newest.id != current.id)
        {
            records.insert(0, (*current).clone());
            records.truncate(limit);
        }
        Ok(records)
    }

    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError> {
        let current = self.roster.find(&id.service).and_then(|service| service.view().record);
        match self.world.ports.journal.decision(id)? {
            Some(record) => Ok(Some(record)),
            None => Ok(current.filter(|record| record.id == *id).map(|record| (*record).clone())),
        }
    }
}

/// Returns the state of a source, judged by what its services have seen of it.
fn source(plan: &SourcePlan, now: Timestamp) -> SourceStatus {
    let routes = plan.routes.load();
    let (mut fresh, mut newest, mut error) = (0, None, None);
    for route in &routes.routes {
        let Some(features) = current(&route.service, plan.interval, now) else { continue };
        let signals = route.signals.iter().filter_map(|(_, at)| features.signals.get(*at));
        let readings: Vec<&Reading> = signals.map(|signal| &signal.reading).collect();
        fresh += usize::from(readings.iter().any(|reading| reading.is_known()));
        newest = readings.iter().filter_map(|reading| reading.sampled()).chain(newest).max();
        error = error.or_else(|| readings.iter().find_map(|reading| reading.source_error()).cloned());
    }
    SourceStatus {
        name: plan.name.clone(),
        services: routes.routes.len(),
        fresh,
        staleness_seconds: newest.map(|at| elapsed(now, at).as_secs_f64()),
        error,
    }
}

/// Returns the last state of a service as of now: if no round has arrived since, fresh values turn stale. One more tick
/// is allowed than for a decision, because the next check is due only then.
fn current(service: &Service, tick: Duration, now: Timestamp) -> Option<Arc<Features>> {
    let (features, spec) = (service.view().features?, service.spec());
    let at = |(signal, spec): (&SignalFeatures, &SignalSpec)| {
        signal.reading.at(now, spec.max_staleness().saturating_add(tick))
    };
    let readings: Vec<Reading> = features.signals.iter().zip(&spec.signals).map(at).collect();
    if features.signals.iter().zip(&readings).all(|(signal, reading)| signal.reading == *reading) {
        return Some(features);
    }
    let mut aged = (*features).clone();
    aged.signals.iter_mut().zip(readings).for_each(|(signal, reading)| signal.reading = reading);
    Some(Arc::new(aged))
}

fn snapshot(service: &Service, tick: Duration, now: Timestamp) -> ServiceSnapshot {
    let view = service.view();
    let spec = service.spec();
    ServiceSnapshot {
        service: spec.id.clone(),
        mode: spec.mode,
        revision: service.world.policy.of(&spec.id).in_force.map(|set| set.revision().clone()),
        slo: spec.slo,
        bounds: spec.bounds,
        signals: SignalLabel::of(&spec),
        features: current(service, tick, now),
        outlook: view.outlook,
        last: view.record,
        restarts: view.restarts,
        quarantined: view.quarantined,
        stood_down: match view.stopped {
            Some(Stop::StoodDown(why)) => Some(why),
            Some(Stop::Refused(_)) | None => None,
        },
        denied: service.denied(),
    }
}
