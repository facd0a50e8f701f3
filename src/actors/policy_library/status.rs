//! What is reported about the active policies: status, faults, how a candidate compares.

use std::time::Duration;

use super::in_force::InForce;
use crate::cycle::staging::{Staged, Step};
use crate::instrument::ProcessMetrics;
use crate::model::{CandidateDecision, Choice, DecisionId, PolicyComparison, PolicyRevision};
use crate::ports::policy_memory::{CandidateStatus, PolicyOrderEnd, PolicyStatus};
use crate::ports::{Awaited, PolicyFaults};

/// Faults of a refused set, and warnings of a loaded one, that are logged; the status lists all of them.
const LOGGED: usize = 10;

/// What is reported.
#[derive(Default)]
pub(super) struct Reported {
    pub(super) faults: PolicyFaults,
    pub(super) last_order: Option<PolicyOrderEnd>,
    /// For the candidate of this revision, since it became the candidate.
    pub(super) compared: Option<(PolicyRevision, PolicyComparison)>,
}

impl InForce {
    /// Returns the faults of the newest sets if they were refused.
    pub fn faults(&self) -> Vec<String> {
        worded(&self.reported.lock().faults)
    }

    /// Returns the same, grouped by whom it affects.
    pub fn refused(&self) -> PolicyFaults {
        self.reported.lock().faults.clone()
    }

    /// Returns what a process without any policies waits for; `None` if a set is active.
    pub fn waiting_for(&self) -> Option<Awaited> {
        let staging = self.staging();
        if staging.in_force.is_some() {
            return None;
        }
        Some(match &staging.rolled_back {
            Some(taken_back) => Awaited::PolicySetAfterRollback { revision: taken_back.revision.clone() },
            None => Awaited::PolicySet,
        })
    }

    /// Adds what the candidate would have done in a decision.
    pub fn compared(&self, decision: &DecisionId, choice: &Choice, wanted: &CandidateDecision) {
        let staging = self.staging();
        let Some(candidate) = &staging.candidate else { return };
        // The candidate may have changed since that decision.
        if wanted.revision != *candidate.staged.release.of(decision.service.namespace()).revision() {
            return;
        }
        let mut reported = self.reported.lock();
        let revision = &candidate.staged.revision;
        match &mut reported.compared {
            Some((of, comparison)) if of == revision => comparison.add(decision, choice, &wanted.choice),
            other => {
                let mut comparison = PolicyComparison::default();
                comparison.add(decision, choice, &wanted.choice);
                *other = Some((revision.clone(), comparison));
            }
        }
    }

    /// Returns the status shown to operators.
    pub fn status(&self, now: Duration) -> PolicyStatus {
        let staging = self.staging();
        let reported = self.reported.lock();
        let in_force = staging.in_force.as_ref();
        let apart = staging.ahead.iter().chain(&staging.behind).filter_map(|service| {
            let set = staging.of(service).0?.release.of(service.namespace());
            Some((service.clone(), set.revision().clone()))
        });
        let left = |namespace: &String, due: Duration| (namespace.clone(), due.saturating_sub(now).as_secs());
        let candidate = staging.candidate.as_ref().map(|candidate| {
            let Staged { revision, release, .. } = &candidate.staged;
            let live = reported.compared.as_ref().filter(|(of, _)| of == revision);
            CandidateStatus {
                revision: revision.clone(),
                in_force_in: candidate.last().saturating_sub(now).as_secs(),
                sets_in_force_in_seconds: candidate.due.iter().map(|(namespace, due)| left(namespace, *due)).collect(),
                warnings: release.warnings(),
                replay: release.replay.clone(),
                live: live.map(|(_, comparison)| comparison.clone()).unwrap_or_default(),
            }
        });
        let candidates = staging.candidate.as_ref().map(|candidate| &candidate.staged);
        let taken_back = staging.rolled_back.iter().flat_map(|rolled_back| &rolled_back.staged);
        let named =
            in_force.into_iter().chain(&staging.previous).chain(&staging.earlier).chain(candidates).chain(taken_back);
        let has_namespaces = named.clone().any(|staged| staged.sets.len() > 1);
        PolicyStatus {
            release: in_force.filter(|_| has_namespaces).map(|staged| staged.revision.clone()),
            follows: staging.astray().cloned(),
            provenance: named.flat_map(|staged| staged.release.provenance()).collect(),
            in_force: in_force.map(|staged| staged.release.all.revision().clone()),
            namespaces: in_force.map_or_else(Default::default, |staged| {
                let sets = &staged.release.namespaces;
                sets.iter().map(|(namespace, set)| (namespace.clone(), set.revision().clone())).collect()
            }),
            apart: apart.collect(),
            previous: staging.previous.as_ref().map(|staged| staged.revision.clone()),
            earlier: staging.earlier.iter().map(|staged| staged.revision.clone()).collect(),
            candidate,
            rolled_back: staging.rolled_back.as_ref().map(|rolled_back| rolled_back.revision.clone()),
            faults: worded(&reported.faults),
            warnings: in_force.map(|staged| staged.release.warnings()).unwrap_or_default(),
            last_order: reported.last_order.clone(),
            replay: in_force.map(|staged| staged.release.replay.clone()),
        }
    }

    /// Records which of the newest sets were refused.
    pub(super) fn settle(&self, origin: &str, faults: PolicyFaults, metrics: &ProcessMetrics) {
        let worded = worded(&faults);
        self.reported.lock().faults = faults;
        for fault in worded.iter().take(LOGGED) {
            tracing::error!(origin, fault, "policy set refused; keeping the last good one");
        }
        if let Some(more) = worded.len().checked_sub(LOGGED).filter(|more| *more > 0) {
            tracing::error!(origin, more, "policy set refused for more faults; `flyball policy status` lists them");
        }
        metrics.policy_faults(worded.len());
    }
}

fn worded(faults: &PolicyFaults) -> Vec<String> {
    let PolicyFaults { all, namespaces } = faults;
    let of = |(namespace, faults)| {
        let faults: &Vec<String> = faults;
        faults.iter().map(move |fault| format!("namespace {namespace}: {fault}"))
    };
    all.iter().cloned().chain(namespaces.iter().flat_map(of)).collect()
}

/// Logs what is likely a mistake in sets that were loaded: the first findings, the others are in the status.
pub(super) fn warn(origin: &str, warnings: &[String]) {
    for warning in warnings.iter().take(LOGGED) {
        tracing::warn!(origin, warning, "policy set warning");
    }
    if let Some(more) = warnings.len().checked_sub(LOGGED).filter(|more| *more > 0) {
        tracing::warn!(origin, more, "policy set has more warnings; `flyball policy status` lists them");
    }
}

/// Logs and counts what an event changed.
pub(super) fn note(step: Option<&Step>, origin: &str, metrics: &ProcessMetrics) {
    let Some(step) = step else { return };
    match step {
        Step::InForce(revision) => {
            tracing::info!(release = %revision, origin, "policy set is now active");
            metrics.policy_active(revision);
        }
        Step::Candidate(revision) => {
            tracing::info!(release = %revision, origin, "policy set is now the candidate");
        }
        Step::KeptOut(revision) => {
            tracing::warn!(release = %revision, origin, "policy set was rolled back; promote or change it to use it");
        }
        Step::Apart(revision) => tracing::info!(%revision, origin, "a single service uses a different policy set"),
    }
}
