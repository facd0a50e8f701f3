//! The intents that are known, and which of them are kept. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::guards::UNDONE_COUNTS;
use crate::model::time::elapsed;
use crate::model::{ChangeId, Direction, Intent, Knob, ServiceId, Timestamp, UNDO};

/// Writes kept of one service that were sent: more than its budgets permit in the hour that they look back.
const KEPT: usize = 32;
/// Intents kept of one service that ended without a write: for whoever looks, no guard asks for them.
const KEPT_UNSENT: usize = 8;
/// Nothing that has ended is kept longer: a day beyond the longest cooldown (INV-23).
const KEPT_FOR: Duration = Duration::from_hours(48);

/// An intent and the version of its object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    /// The intent.
    pub(super) intent: Intent,
    /// Version of the object.
    pub(super) version: String,
}

/// All intents that are known, by change.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    held: BTreeMap<ChangeId, Held>,
}

impl Shelf {
    /// Returns a shelf of these.
    pub(super) fn of(all: impl IntoIterator<Item = Held>) -> Self {
        Self { held: all.into_iter().map(|held| (held.intent.change.id.clone(), held)).collect() }
    }

    /// Puts one in, or in the place of what was known of it.
    pub(super) fn put(&mut self, held: Held) {
        self.held.insert(held.intent.change.id.clone(), held);
    }

    /// Returns one.
    pub(super) fn get(&self, id: &ChangeId) -> Option<&Held> {
        self.held.get(id)
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, id: &ChangeId) {
        self.held.remove(id);
    }

    /// Returns those that have not ended, oldest first.
    pub(super) fn open(&self) -> Vec<Intent> {
        let mut open: Vec<Intent> = self.intents().filter(|intent| intent.ended.is_none()).cloned().collect();
        open.sort_by_key(|intent| intent.prepared);
        open
    }

    /// Returns those that ended as applied within `span` before `now`, oldest first.
    pub(super) fn applied_since(&self, now: Timestamp, span: Duration) -> Vec<Intent> {
        let mut applied: Vec<Intent> =
            self.intents().filter(|intent| intent.applied_within(now, span)).cloned().collect();
        applied.sort_by_key(Intent::applied_at);
        applied
    }

    /// Returns the services that have intents.
    pub(super) fn services(&self) -> BTreeSet<ServiceId> {
        self.intents().map(|intent| intent.change.service().clone()).collect()
    }

    /// Returns those of a service that need not be kept: the oldest beyond [`KEPT`], and the old. What is open is kept,
    /// the newest write of each knob in each direction as long as a cooldown may ask for it, and each undo as long as it
    /// makes lowerings wait.
    pub(super) fn excess(&self, service: &ServiceId, now: Timestamp) -> Vec<ChangeId> {
        let ours = self.intents().filter(|intent| intent.change.service() == service);
        let mut ended: Vec<(Timestamp, &Intent)> =
            ours.filter_map(|intent| Some((intent.ended.as_ref()?.0, intent))).collect();
        ended.sort_by_key(|(at, intent)| (std::cmp::Reverse(*at), intent.change.id.clone()));
        let mut newest: BTreeSet<(Knob, Direction)> = BTreeSet::new();
        let mut excess = Vec::new();
        let (mut sent, mut unsent) = (0, 0);
        for (at, intent) in ended {
            let change = &intent.change;
            let was_sent = intent.ended.as_ref().is_some_and(|(_, outcome)| outcome.was_sent());
            let (count, most) = if was_sent { (&mut sent, KEPT) } else { (&mut unsent, KEPT_UNSENT) };
            *count += 1;
            let is_applied = intent.applied_at().is_some();
            let is_newest = is_applied && newest.insert((change.knob, change.direction()));
            let counts = is_applied && change.rule == UNDO && elapsed(now, at) <= UNDONE_COUNTS;
            let is_old = elapsed(now, at) > KEPT_FOR;
            if is_old || (*count > most && !is_newest && !counts) {
                excess.push(change.id.clone());
            }
        }
        excess
    }

    fn intents(&self) -> impl Iterator<Item = &Intent> {
        self.held.values().map(|held| &held.intent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        ActionClass, ChangeSet, CycleId, DecisionId, Epoch, Now, TargetKind, TargetRef, TraceId, WriteOutcome,
    };

    const BEGIN: i64 = 1_790_000_000;

    fn intent(seq: u32, at: i64, from: u32, to: u32, outcome: Option<WriteOutcome>) -> Held {
        let service: ServiceId = "shop/checkout".parse().unwrap();
        let cycle = CycleId { run: 1, seq };
        let wall = Timestamp::from_second(BEGIN + at).unwrap();
        let decision = DecisionId { service: service.clone(), cycle };
        let change = ChangeSet {
            id: ChangeId::derive("uid", Knob::Replicas, &decision, from, to),
            trace: TraceId::derive(&service, cycle, wall),
            decision,
            rule: "rule".to_owned(),
            revision: None,
            target: TargetRef {
                kind: TargetKind::Deployment,
                namespace: "shop".to_owned(),
                name: "checkout".to_owned(),
            },
            uid: "uid".to_owned(),
            knob: Knob::Replicas,
            floor: None,
            class: ActionClass::Scale,
            from,
            to,
            backed_by_arrivals: false,
            decided: Now { wall, mono: Duration::ZERO },
            valid_for: Duration::from_secs(30),
            fresh_for: Duration::from_secs(30),
            epoch: Epoch::new(1),
        };
        let ended = outcome.map(|outcome| (wall, outcome));
        Held { intent: Intent { change, prepared: wall, ended, reverted: None }, version: "1".to_owned() }
    }

    #[test]
    fn the_newest_are_kept_and_the_last_of_each_direction_and_what_is_open() {
        let service: ServiceId = "shop/checkout".parse().unwrap();
        let mut all = vec![
            intent(1, 0, 9, 8, Some(WriteOutcome::Applied)),
            intent(2, 1, 8, 7, Some(WriteOutcome::Applied)),
            intent(3, 2, 7, 8, None),
        ];
        let lowering = all[1].intent.change.id.clone();
        all.extend((10..60).map(|seq| intent(seq, i64::from(seq), 3, 4, Some(WriteOutcome::Applied))));
        let mut shelf = Shelf::of(all);
        let now = |seconds| Timestamp::from_second(BEGIN + seconds).unwrap();
        let excess = shelf.excess(&service, now(100));
        assert_eq!(excess.len(), 52 - KEPT - 1, "of 52 that have ended 32 stay, and the last lowering");
        assert!(!excess.contains(&lowering));
        assert_eq!(shelf.open().len(), 1);
        let refused = (60..80).map(|seq| {
            let outcome = WriteOutcome::Superseded { found: "9".to_owned() };
            intent(seq, i64::from(seq), 3, 4, Some(outcome))
        });
        refused.for_each(|held| shelf.put(held));
        let more = shelf.excess(&service, now(100));
        assert_eq!(more.len(), 52 - KEPT - 1 + 20 - KEPT_UNSENT, "what was not sent takes no place of what was");
        let mut undo = intent(5, 3, 7, 9, Some(WriteOutcome::Applied));
        undo.intent.change.rule = UNDO.to_owned();
        let undone = undo.intent.change.id.clone();
        shelf.put(undo);
        assert!(!shelf.excess(&service, now(3 * 3600)).contains(&undone));
        assert!(shelf.excess(&service, now(5 * 3600)).contains(&undone));
        shelf.remove(&undone);
        let late = 100 + 49 * 3600;
        assert_eq!(shelf.excess(&service, now(late)).len(), 72, "nothing is kept for ever but what is open");
        let recent = shelf.applied_since(now(60), Duration::from_secs(10));
        let seqs: Vec<u32> = recent.iter().map(|intent| intent.change.decision.cycle.seq).collect();
        assert_eq!(seqs, (50..60).collect::<Vec<_>>(), "oldest first");
    }
}
