//! The known intents, and which of them are kept. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::guards::UNDONE_COUNTS;
use crate::model::time::elapsed;
use crate::model::{Cause, ChangeId, Direction, Intent, Knob, ServiceId, Timestamp};

/// Charged writes kept per service: more than its budgets permit within the hour they look back.
const KEPT: usize = 32;
/// Intents kept per service that the API server denied: more in a row do not lengthen a pause.
const KEPT_DENIED: usize = 8;
/// Intents kept per service that ended without a write: for people only, no guard uses them.
const KEPT_UNSENT: usize = 8;
/// Longest time an ended intent is kept: a day beyond the longest cooldown (INV-23).
const KEPT_FOR: Duration = Duration::from_hours(48);

/// An intent and the version of its object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    /// The intent.
    pub(super) intent: Intent,
    /// Version of the object.
    pub(super) version: String,
}

/// All known intents, by change.
#[derive(Debug, Default)]
pub(super) struct IntentCache {
    held: BTreeMap<ChangeId, Held>,
    /// The changes of each service.
    of: BTreeMap<ServiceId, BTreeSet<ChangeId>>,
    /// While a list is in progress: the intents added or removed meanwhile.
    touched: Option<BTreeSet<ChangeId>>,
}

impl IntentCache {
    /// Notes that a list has started; [`IntentCache::listed`] ends it.
    pub(super) fn begin_list(&mut self) {
        self.touched = Some(BTreeSet::new());
    }

    /// Notes that the list failed: what is known stays unchanged.
    pub(super) fn list_failed(&mut self) {
        self.touched = None;
    }

    /// Replaces the contents with `all`, except for intents touched since the list started: the cache is newer than the
    /// list for those.
    pub(super) fn listed(&mut self, all: impl IntoIterator<Item = Held>) {
        let touched = self.touched.take().unwrap_or_default();
        let before = std::mem::take(self);
        let kept = before.held.into_values().filter(|held| touched.contains(&held.intent.change.id));
        all.into_iter().filter(|held| !touched.contains(&held.intent.change.id)).chain(kept).for_each(|held| {
            self.put(held);
        });
    }

    /// Adds an intent or replaces what was known of it.
    pub(super) fn put(&mut self, held: Held) {
        let (id, service) = (&held.intent.change.id, held.intent.change.service());
        self.of.entry(service.clone()).or_default().insert(id.clone());
        if let Some(touched) = &mut self.touched {
            touched.insert(id.clone());
        }
        self.held.insert(id.clone(), held);
    }

    /// Returns an intent.
    pub(super) fn get(&self, id: &ChangeId) -> Option<&Held> {
        self.held.get(id)
    }

    /// Forgets an intent.
    pub(super) fn remove(&mut self, id: &ChangeId) {
        if let Some(touched) = &mut self.touched {
            touched.insert(id.clone());
        }
        let Some(held) = self.held.remove(id) else { return };
        let service = held.intent.change.service();
        if let Some(ids) = self.of.get_mut(service) {
            ids.remove(id);
            if ids.is_empty() {
                self.of.remove(service);
            }
        }
    }

    /// Returns the intents that have not ended, oldest first.
    pub(super) fn open(&self) -> Vec<Intent> {
        let mut open: Vec<Intent> = self.intents().filter(|intent| intent.ended.is_none()).cloned().collect();
        open.sort_by_key(|intent| intent.prepared);
        open
    }

    /// Returns the intents that guards use and that ended within `span` before `now`, oldest first.
    pub(super) fn remembered_since(&self, now: Timestamp, span: Duration) -> Vec<Intent> {
        let mut sent: Vec<Intent> =
            self.intents().filter(|intent| intent.remembered_within(now, span)).cloned().collect();
        sent.sort_by_key(|intent| intent.ended.as_ref().map(|(at, _)| *at));
        sent
    }

    /// Returns the services that have intents.
    pub(super) fn services(&self) -> BTreeSet<ServiceId> {
        self.of.keys().cloned().collect()
    }

    /// Returns the intents of a service that need not be kept: the oldest beyond the limit of their kind, and the
    /// expired. Open ones are kept, as are the newest write of each knob in each direction while a cooldown may need
    /// it, and each undo while it delays lowerings.
    pub(super) fn excess(&self, service: &ServiceId, now: Timestamp) -> Vec<ChangeId> {
        let ours = self.of.get(service).into_iter().flatten().filter_map(|id| Some(&self.held.get(id)?.intent));
        let mut ended: Vec<(Timestamp, &Intent)> =
            ours.filter_map(|intent| Some((intent.ended.as_ref()?.0, intent))).collect();
        ended.sort_by_key(|(at, intent)| (std::cmp::Reverse(*at), intent.change.id.clone()));
        let mut newest: BTreeSet<(Knob, Direction)> = BTreeSet::new();
        let mut excess = Vec::new();
        let (mut charged, mut denied, mut unsent) = (0, 0, 0);
        for (at, intent) in ended {
            let change = &intent.change;
            let (count, most) = match &intent.ended {
                Some((_, outcome)) if outcome.is_charged() => (&mut charged, KEPT),
                Some((_, outcome)) if outcome.denied().is_some() => (&mut denied, KEPT_DENIED),
                _ => (&mut unsent, KEPT_UNSENT),
            };
            *count += 1;
            let is_applied = intent.applied_at().is_some();
            let is_newest = is_applied && newest.insert((change.knob, change.direction()));
            let counts = is_applied && change.cause == Cause::Undo && elapsed(now, at) <= UNDONE_COUNTS;
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
    use crate::model::{ChangeSet, CycleId, DecisionId, Epoch, Foreseen, Now, WriteOutcome};

    const BEGIN: i64 = 1_790_000_000;

    fn intent(seq: u32, at: i64, from: u32, to: u32, outcome: Option<WriteOutcome>) -> Held {
        let service: ServiceId = "shop/checkout".parse().unwrap();
        let cycle = CycleId { run: 1, seq };
        let wall = Timestamp::from_second(BEGIN + at).unwrap();
        let decision = DecisionId { service: service.clone(), cycle };
        let decided = Now { wall, mono: Duration::ZERO };
        let change = ChangeSet { epoch: Epoch::new(1), ..ChangeSet::of_replicas(decision, from, to, decided) };
        let ended = outcome.map(|outcome| (wall, outcome));
        let intent = Intent { ended, ..Intent::open(change, wall, Foreseen::default()) };
        Held { intent, version: "1".to_owned() }
    }

    fn cache(all: impl IntoIterator<Item = Held>) -> IntentCache {
        let mut cache = IntentCache::default();
        all.into_iter().for_each(|held| cache.put(held));
        cache
    }

    fn of(mut held: Held, service: &str) -> Held {
        let change = &mut held.intent.change;
        change.decision.service = service.parse().unwrap();
        change.id = ChangeId::derive(service, Knob::Replicas, &change.decision, change.from, change.to);
        held
    }

    #[test]
    fn what_is_put_in_or_taken_out_while_all_are_listed_is_as_it_was_left() {
        let known = [1, 2, 3].map(|seq| intent(seq, 0, 3, 4, None));
        let ended = intent(2, 0, 3, 4, Some(WriteOutcome::Applied));
        let mut cache = cache(known.clone());
        cache.begin_list();
        // After the server took its snapshot, before its answer arrives.
        cache.put(intent(4, 0, 4, 5, None));
        cache.put(ended.clone());
        cache.remove(&known[2].intent.change.id);
        cache.listed([known[0].clone(), known[1].clone(), known[2].clone()]);
        let seqs: Vec<u32> = cache.open().iter().map(|intent| intent.change.decision.cycle.seq).collect();
        assert_eq!(seqs, [1, 4]);
        assert_eq!(cache.get(&ended.intent.change.id), Some(&ended));
        // After a failed list nothing counts as touched.
        cache.begin_list();
        cache.list_failed();
        cache.put(intent(5, 0, 4, 5, None));
        assert_eq!(cache.touched, None);
        // Untouched intents are as the server has them.
        cache.begin_list();
        cache.listed([]);
        assert_eq!((cache.open(), cache.services().len()), (vec![], 0));
    }

    #[test]
    fn what_one_service_may_lose_is_found_without_a_look_at_all_others() {
        let service = |number: usize| format!("shop/s{number}");
        let one = |number: usize| {
            let written = |seq| of(intent(seq, 0, 3, 4, Some(WriteOutcome::Applied)), &service(number));
            (0..10).map(written).collect::<Vec<_>>()
        };
        let cache = cache((0..4000).flat_map(one));
        let now = Timestamp::from_second(BEGIN + 100).unwrap();
        let begun = cpu_time::ThreadTime::now();
        let excess: usize = cache.services().iter().map(|service| cache.excess(service, now).len()).sum();
        assert_eq!(excess, 0);
        // A hundred times what it takes; a scan of all others would take a hundred times that.
        let spent = begun.elapsed();
        assert!(spent < Duration::from_secs(5), "{spent:?}");
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
        let mut cache = cache(all);
        let now = |seconds| Timestamp::from_second(BEGIN + seconds).unwrap();
        let excess = cache.excess(&service, now(100));
        assert_eq!(excess.len(), 52 - KEPT - 1, "of 52 that have ended 32 stay, and the last lowering");
        assert!(!excess.contains(&lowering));
        assert_eq!(cache.open().len(), 1);
        let expired = (60..80).map(|seq| intent(seq, i64::from(seq), 3, 4, Some(WriteOutcome::Expired)));
        expired.for_each(|held| cache.put(held));
        let more = cache.excess(&service, now(100));
        assert_eq!(more.len(), 52 - KEPT - 1 + 20 - KEPT_UNSENT, "what was not sent takes no place of what was");
        let mut undo = intent(5, 3, 7, 9, Some(WriteOutcome::Applied));
        undo.intent.change.cause = Cause::Undo;
        let undone = undo.intent.change.id.clone();
        cache.put(undo);
        assert!(!cache.excess(&service, now(3 * 3600)).contains(&undone));
        assert!(cache.excess(&service, now(5 * 3600)).contains(&undone));
        cache.remove(&undone);
        let late = 100 + 49 * 3600;
        assert_eq!(cache.excess(&service, now(late)).len(), 72, "nothing is kept for ever but what is open");
        let recent = cache.remembered_since(now(60), Duration::from_secs(10));
        let seqs: Vec<u32> = recent.iter().map(|intent| intent.change.decision.cycle.seq).collect();
        assert_eq!(seqs, (50..60).collect::<Vec<_>>(), "oldest first");
    }

    #[test]
    fn inv_04_what_came_to_nothing_takes_no_place_of_what_is_charged() {
        let busy = || WriteOutcome::Superseded { found: "it changed".to_owned() };
        let applied = (0..20).map(|seq| intent(seq, i64::from(seq), 3, 4, Some(WriteOutcome::Applied)));
        let declined = (20..60).map(|seq| intent(seq, i64::from(seq) * 60, 3, 4, Some(busy())));
        let cache = cache(applied.chain(declined));
        let excess = cache.excess(&"shop/checkout".parse().unwrap(), Timestamp::from_second(BEGIN + 3600).unwrap());
        let lost = |held: &&Held| excess.contains(&held.intent.change.id);
        let seqs: Vec<u32> =
            cache.held.values().filter(lost).map(|held| held.intent.change.decision.cycle.seq).collect();
        assert!(seqs.iter().all(|seq| (20..52).contains(seq)) && seqs.len() == 32, "{seqs:?}");
    }
}
