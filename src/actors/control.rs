//! Snapshots of the running loop for console and CLI.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::explain::counted;
use crate::model::time::elapsed;
use crate::model::{DecisionId, DecisionRecord, Lead, Reading, ServiceId, Timestamp, record::SignalLabel};
use crate::ports::{Control, Declaration, JournalError, PolicyStatus, ServiceSnapshot, SourceStatus, Status};

use super::roster::Roster;
use super::service::Service;
use super::source::SourcePlan;
use super::world::World;

/// The running loop, seen from outside.
pub struct LoopControl {
    world: Arc<World>,
    roster: Arc<Roster>,
    state: PathBuf,
}

impl LoopControl {
    /// Returns a view of the services of `roster`, of the process with this state directory.
    pub fn new(world: Arc<World>, roster: Arc<Roster>, state: PathBuf) -> Self {
        Self { world, roster, state }
    }

    /// Returns what is waited for; `silent` of it are the sources that fail.
    fn waiting_for(&self, silent: &[String]) -> Vec<String> {
        let mut waiting = Vec::new();
        if self.world.ports.services.watch().borrow().is_none() {
            waiting.push("the declarations of services".to_owned());
        }
        let services = self.roster.all();
        let cold = services.values().filter(|service| !service.is_warm()).count();
        if cold > 0 {
            let (done, total) = self.roster.progress().get();
            waiting.push(format!("history of {} (asked for {done} of {total})", counted(cold, "service")));
        }
        let unseen = services.values().filter(|service| service.view().features.is_none()).count();
        if unseen > 0 {
            waiting.push(format!("a first round for {}", counted(unseen, "service")));
        }
        waiting.extend(silent.iter().cloned());
        let world = &self.world;
        let watches =
            [world.ports.cluster.waiting_for(), world.ports.services.waiting_for(), world.ports.policies.waiting_for()];
        waiting.extend(watches.into_iter().flatten().map(|watch| format!("watch of {watch}")));
        let unsettled = self.world.gate.unsettled_intents();
        if unsettled > 0 {
            waiting.push(format!("{} to be settled", counted(unsettled, "earlier write")));
        }
        waiting.extend(world.ports.journal.unreadable().iter().map(ToString::to_string));
        waiting.extend(world.ports.leadership.waiting_for());
        if matches!(world.gate.lead(), Lead::TakesOver { .. }) {
            waiting.push("what the former leader left".to_owned());
        }
        waiting.extend(world.policy.waiting_for());
        waiting.extend(self.world.ports.journal.health().err().map(|error| error.to_string()));
        waiting
    }

    /// Says which errors of sources leave services without telemetry.
    fn silent_sources(&self) -> impl Iterator<Item = String> {
        let mut silent: BTreeMap<String, usize> = BTreeMap::new();
        for features in self.roster.all().values().filter_map(|service| service.view().features) {
            let errors: BTreeSet<&String> = features.signals.iter().filter_map(|s| s.reading.source_error()).collect();
            errors.into_iter().for_each(|error| *silent.entry(error.clone()).or_default() += 1);
        }
        silent.into_iter().map(|(error, services)| format!("telemetry of {}: {error}", counted(services, "service")))
    }
}

impl Control for LoopControl {
    fn status(&self) -> Status {
        let silent_sources: Vec<String> = self.silent_sources().collect();
        let waiting_for = self.waiting_for(&silent_sources);
        self.world.process.ready(waiting_for.is_empty());
        let lead = self.world.gate.lead();
        self.world.process.leader(lead.speaks());
        let now = self.world.ports.clock.now();
        Status {
            ready: waiting_for.is_empty(),
            waiting_for,
            silent_sources,
            revision: self.world.policy.load().map(|set| set.revision().clone()),
            policy_faults: self.world.policy.faults(),
            kill: self.world.ports.kill.seen(),
            lead,
            now: now.wall,
            uptime: now.mono,
            version: crate::model::build::FULL.to_owned(),
            state: Some(self.state.clone()),
            sources: self.roster.sources().iter().map(|plan| source(plan, now.wall)).collect(),
        }
    }

    fn policies(&self) -> PolicyStatus {
        self.world.policy.status(self.world.ports.clock.now().mono)
    }

    fn services(&self) -> Vec<ServiceSnapshot> {
        self.roster.all().values().map(|service| snapshot(service)).collect()
    }

    fn service(&self, id: &ServiceId) -> Option<ServiceSnapshot> {
        self.roster.find(id).map(|service| snapshot(&service))
    }

    fn declaration(&self, id: &ServiceId) -> Option<Declaration> {
        let service = self.roster.find(id)?;
        Some(Declaration::shown((*service.spec()).clone(), &self.world.mask))
    }

    /// Decisions that changed something come from the journal; the last one of each service, changed or not,
    /// stands before them.
    fn decisions(&self, service: Option<&ServiceId>, limit: usize) -> Result<Vec<DecisionRecord>, JournalError> {
        let mut records = self.world.ports.journal.recent(service, limit)?;
        let current = service.and_then(|id| self.roster.find(id)).and_then(|service| service.view().record);
        if let Some(current) = current
            && records.first().is_none_or(|newest| newest.id != current.id)
        {
            records.insert(0, (*current).clone());
            records.truncate(limit);
        }
        Ok(records)
    }

    fn decisions_before(&self, id: &DecisionId, limit: usize) -> Result<Vec<DecisionRecord>, JournalError> {
        self.world.ports.journal.before(id, limit)
    }

    fn decision(&self, id: &DecisionId) -> Result<Option<DecisionRecord>, JournalError> {
        let current = self.roster.find(&id.service).and_then(|service| service.view().record);
        match self.world.ports.journal.decision(id)? {
            Some(record) => Ok(Some(record)),
            None => Ok(current.filter(|record| record.id == *id).map(|record| (*record).clone())),
        }
    }
}

/// Returns how a source answers, by what the services that it tells of have seen of it.
fn source(plan: &SourcePlan, now: Timestamp) -> SourceStatus {
    let routes = plan.routes.load();
    let (mut fresh, mut newest, mut error) = (0, None, None);
    for route in &routes.routes {
        let Some(features) = route.service.view().features else { continue };
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

fn snapshot(service: &Service) -> ServiceSnapshot {
    let view = service.view();
    let spec = service.spec();
    ServiceSnapshot {
        service: spec.id.clone(),
        mode: spec.mode,
        revision: service.world.policy.of(&spec.id).in_force.map(|set| set.revision().clone()),
        slo: spec.slo,
        bounds: spec.bounds,
        signals: SignalLabel::of(&spec),
        features: view.features,
        outlook: view.outlook,
        last: view.record,
        restarts: view.restarts,
        quarantined: view.quarantined,
    }
}
