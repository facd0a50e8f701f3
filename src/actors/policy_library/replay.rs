//! What a release would have decided on recorded inputs, compared with the active release.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::release::Release;
use crate::decide::{Decider, decide};
use crate::model::time::elapsed;
use crate::model::{DecisionRecord, Now, PolicyComparison, ServiceId, ServiceSpec};

/// Recorded decisions, and the current declarations of their services.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// Newest first.
    pub(super) records: Vec<DecisionRecord>,
    pub(super) services: BTreeMap<ServiceId, Arc<ServiceSpec>>,
}

/// Decides again with both, each with its own memory per service, restoring from each record how long still unchanged
/// conditions had held: most records are hours apart. Skips records of services that are gone or now declare other
/// signals.
pub(super) fn replay(in_force: &Release, candidate: &Release, recorded: &Recorded) -> PolicyComparison {
    let mut found = PolicyComparison::default();
    let mut deciders: BTreeMap<&ServiceId, (Decider, Decider)> = BTreeMap::new();
    let Some(first) = recorded.records.last().map(|record| record.at) else { return found };
    for record in recorded.records.iter().rev() {
        let Some(spec) = recorded.services.get(&record.id.service).filter(|spec| record.fits(spec)) else { continue };
        let now = Now { wall: record.at, mono: elapsed(record.at, first) };
        let (one, other) = deciders.entry(&record.id.service).or_default();
        let namespace = record.id.service.namespace();
        let again = |decider: &mut Decider, release: &Release| {
            decider.recall(&record.proposal, now);
            decide(decider, release.of(namespace), spec, &record.features, &record.outlook, now).choice
        };
        found.add(&record.id, &again(one, in_force), &again(other, candidate));
    }
    found
}
