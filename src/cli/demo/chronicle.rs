//! Notices what happens from one moment to the next: writes, surges, the kill switch, policies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::demo::PlantSnapshot;
use crate::demo::view::model::{Event, EventKind};
use crate::model::{
    DecisionId, DecisionRecord, KillState, PolicyRevision, ServiceId, Timestamp, WriteOutcome, explain,
};
use crate::ports::Status;
use crate::sim::BurstState;

/// Events kept.
const KEPT: usize = 60;

/// What happened so far.
#[derive(Debug, Default)]
pub struct Chronicle {
    /// Newest first.
    events: VecDeque<Event>,
    count: u64,
    told: BTreeSet<DecisionId>,
    failed: BTreeMap<ServiceId, Option<String>>,
    bursts: BTreeMap<ServiceId, bool>,
    kill: Option<KillState>,
    revision: Option<PolicyRevision>,
    faults: Vec<String>,
}

impl Chronicle {
    /// Returns the newest events, newest first.
    pub fn events(&self) -> Vec<Event> {
        self.events.iter().cloned().collect()
    }

    /// Says that these policies are not the shipped ones, which explains what else would surprise.
    pub fn own_policies(&mut self, at: Timestamp, names: &[String]) {
        let text = format!("not as shipped, but as left here: {}; remove them to start afresh", names.join(", "));
        self.add(at, EventKind::Policy, None, text);
    }

    /// Takes note of a moment; `records` are the newest decisions, newest first.
    pub fn note(&mut self, at: Timestamp, status: &Status, records: &[DecisionRecord], plant: &[PlantSnapshot]) {
        for record in records.iter().rev() {
            self.note_write(record);
        }
        for seen in plant {
            self.note_burst(at, seen);
        }
        self.note_kill(at, &status.kill);
        self.note_policy(at, status);
    }

    fn add(&mut self, at: Timestamp, kind: EventKind, service: Option<&ServiceId>, text: String) {
        self.count += 1;
        self.events.push_front(Event { number: self.count, at, kind, service: service.cloned(), text });
        self.events.truncate(KEPT);
    }

    fn note_write(&mut self, record: &DecisionRecord) {
        let (Some(change), Some(outcome)) = (&record.change, &record.outcome) else { return };
        if !self.told.insert(record.id.clone()) {
            return;
        }
        let kind = match outcome {
            WriteOutcome::Applied | WriteOutcome::AlreadyThere if change.to > change.from => EventKind::Raised,
            WriteOutcome::Applied | WriteOutcome::AlreadyThere => EventKind::Lowered,
            _ => EventKind::Failed,
        };
        let explain::Headline { what, why } = explain::headline(record);
        // A write that is refused is tried again each tick; once is news.
        let repeated = self.failed.insert(record.id.service.clone(), (kind == EventKind::Failed).then(|| what.clone()));
        if kind == EventKind::Failed && repeated.flatten().as_ref() == Some(&what) {
            return;
        }
        self.add(record.at, kind, Some(&record.id.service), format!("{what}: {why}"));
    }

    fn note_burst(&mut self, at: Timestamp, seen: &PlantSnapshot) {
        let on = matches!(seen.burst, Some(BurstState::On { .. }));
        let before = self.bursts.insert(seen.service.clone(), on).unwrap_or(on);
        let text = match seen.burst {
            Some(BurstState::On { recurring: true, .. }) if !before => "daily surge begins, to three times the load",
            Some(BurstState::On { recurring: false, .. }) if !before => {
                "flash crowd begins, to three times the load; it never came before"
            }
            _ if before && !on => "surge is over",
            _ => return,
        };
        self.add(at, EventKind::Surge, Some(&seen.service), text.to_owned());
    }

    fn note_kill(&mut self, at: Timestamp, kill: &KillState) {
        if self.kill.as_ref() == Some(kill) {
            return;
        }
        let first = self.kill.replace(kill.clone()).is_none();
        let text = match kill {
            KillState::Unreadable { error } => format!("kill switch counts as engaged: {error}"),
            KillState::Readable { order } => {
                let stops = order.all || !order.services.is_empty() || !order.classes.is_empty();
                if first && !stops {
                    return;
                }
                let what = if stops { "engaged" } else { "released" };
                format!("kill switch {what} by {}: {}", order.by, order.reason)
            }
        };
        self.add(at, EventKind::KillSwitch, None, text);
    }

    fn note_policy(&mut self, at: Timestamp, status: &Status) {
        if let Some(fault) = status.policy_faults.first()
            && self.faults != status.policy_faults
        {
            let more = status.policy_faults.len() - 1;
            let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            self.add(at, EventKind::PolicyRefused, None, format!("policy refused: {fault}{more}"));
        }
        self.faults.clone_from(&status.policy_faults);
        if let Some(revision) = &status.revision
            && self.revision.as_ref() != Some(revision)
            && let Some(before) = self.revision.replace(revision.clone())
        {
            self.add(at, EventKind::Policy, None, format!("policy {revision} in force, was {before}"));
        }
    }
}
