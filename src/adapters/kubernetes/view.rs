//! What one watch has seen: the newest state of its targets, and how current that is. No I/O; time is passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{TargetKind, TargetReading, TargetState};

use super::workload::{OddReplicas, Workload};

/// Silence after which a view counts as outdated: two bookmarks of a real server missed.
const SILENCE_LIMIT: Duration = Duration::from_mins(2);

/// The view of the targets of one kind in one namespace.
///
/// What is seen only ever gets newer: an object or a list with an older version than one seen before (a lagging
/// server) is ignored. An object that is not there is unknown, never one of zero replicas.
#[derive(Debug)]
pub(super) struct View {
    kind: TargetKind,
    held: BTreeMap<String, Held>,
    /// Newest version up to which nothing was missed; `None` before the first list.
    version: Option<u64>,
    /// Whether nothing was missed since the last list.
    synced: bool,
    last_sign: Instant,
    trouble: Option<String>,
}

#[derive(Debug)]
struct Held {
    version: u64,
    /// `None` once it is deleted.
    state: Option<Result<TargetState, OddReplicas>>,
}

/// A list that is older than what was seen before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the API server sent a list of version {found}, version {seen} was seen before; asking again")]
pub(super) struct OlderList {
    found: u64,
    seen: u64,
}

impl View {
    /// Returns the view before the first list.
    pub(super) fn new(kind: TargetKind, now: Instant) -> Self {
        Self { kind, held: BTreeMap::new(), version: None, synced: false, last_sign: now, trouble: None }
    }

    /// Takes in a whole list. What is missing from it does not exist any more.
    pub(super) fn listed(&mut self, version: u64, objects: &[Workload], now: Instant) -> Result<(), OlderList> {
        let newest = self.held.values().map(|held| held.version).chain(self.version).max();
        if let Some(seen) = newest.filter(|seen| version < *seen) {
            return Err(OlderList { found: version, seen });
        }
        let present: BTreeSet<_> = objects.iter().map(|object| object.metadata.name.as_str()).collect();
        for (name, held) in &mut self.held {
            if !present.contains(name.as_str()) {
                *held = Held { version, state: None };
            }
        }
        for object in objects {
            self.take(object, false);
        }
        self.version = Some(version);
        self.synced = true;
        self.sign(now);
        Ok(())
    }

    /// Takes in an object that was added or changed.
    pub(super) fn changed(&mut self, object: &Workload, now: Instant) {
        self.advance(object.version());
        self.take(object, false);
        self.sign(now);
    }

    /// Takes in that an object was deleted.
    pub(super) fn deleted(&mut self, object: &Workload, now: Instant) {
        self.advance(object.version());
        self.take(object, true);
        self.sign(now);
    }

    /// Takes in that nothing else happened up to `version`.
    pub(super) fn bookmarked(&mut self, version: Option<u64>, now: Instant) {
        self.advance(version);
        self.sign(now);
    }

    /// Notes that changes were missed: nothing is current until the next list.
    pub(super) fn lost(&mut self) {
        self.synced = false;
    }

    /// Notes why the watch makes no progress.
    pub(super) fn failed(&mut self, reason: String) {
        self.trouble = Some(reason);
    }

    /// Returns the version from which a watch goes on; `None` if a list is needed first.
    pub(super) fn resume(&self) -> Option<u64> {
        self.version.filter(|_| self.synced)
    }

    /// Returns how the target `name` stands.
    pub(super) fn reading(&self, name: &str, now: Instant) -> TargetReading {
        let unknown = |reason: String| TargetReading::Unknown { reason };
        if self.version.is_none() {
            let trouble = self.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
            return unknown(format!("not synced yet{trouble}"));
        }
        match self.held.get(name).and_then(|held| held.state.as_ref()) {
            None => unknown("does not exist".to_owned()),
            Some(Err(odd)) => unknown(odd.to_string()),
            Some(Ok(target)) => {
                let silence = now.saturating_duration_since(self.last_sign);
                let target = target.clone();
                if self.synced && silence <= SILENCE_LIMIT {
                    TargetReading::Known { target }
                } else {
                    TargetReading::Outdated { target, silence }
                }
            }
        }
    }

    /// Returns why the view is not current; `None` if it is.
    pub(super) fn waiting_for(&self, now: Instant) -> Option<String> {
        let silence = now.saturating_duration_since(self.last_sign);
        if self.synced && silence <= SILENCE_LIMIT {
            return None;
        }
        let what = if self.synced { format!("silent for {} s", silence.as_secs()) } else { "not synced".to_owned() };
        Some(self.trouble.as_ref().map_or(what.clone(), |trouble| format!("{what}: {trouble}")))
    }

    /// Keeps what is newer of one object; all of them, so that a target that is named later is known at once.
    fn take(&mut self, object: &Workload, gone: bool) {
        let name = &object.metadata.name;
        let Some(version) = object.version() else { return };
        if self.held.get(name).is_some_and(|held| held.version >= version) {
            return;
        }
        let state = (!gone).then(|| object.state(self.kind));
        self.held.insert(name.clone(), Held { version, state });
    }

    fn advance(&mut self, version: Option<u64>) {
        if self.version.is_some() {
            self.version = self.version.max(version);
        }
    }

    fn sign(&mut self, now: Instant) {
        self.last_sign = now;
        self.trouble = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(version: u64, uid: &str, replicas: i64) -> Workload {
        let metadata = json!({"name": "checkout", "uid": uid, "resourceVersion": version.to_string()});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"replicas": replicas}})).unwrap()
    }

    fn synced(version: u64, objects: &[Workload]) -> (View, Instant) {
        let now = Instant::now();
        let mut view = View::new(TargetKind::Deployment, now);
        view.listed(version, objects, now).unwrap();
        (view, now)
    }

    fn replicas(view: &View, now: Instant) -> Option<u32> {
        view.reading("checkout", now).known().map(|target| target.replicas)
    }

    #[test]
    fn nothing_is_known_before_the_first_list() {
        let now = Instant::now();
        let mut view = View::new(TargetKind::Deployment, now);
        view.changed(&object(5, "a", 3), now);
        view.failed("connection refused".to_owned());
        let expected = TargetReading::Unknown { reason: "not synced yet: connection refused".to_owned() };
        assert_eq!(view.reading("checkout", now), expected);
        assert_eq!(view.resume(), None);
    }

    #[test]
    fn k6_an_older_object_and_an_older_list_are_ignored() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        view.changed(&object(12, "a", 5), now);
        view.changed(&object(9, "a", 3), now);
        assert_eq!(replicas(&view, now), Some(5));
        assert_eq!(view.listed(11, &[], now), Err(OlderList { found: 11, seen: 12 }));
        assert_eq!(replicas(&view, now), Some(5));
    }

    #[test]
    fn k5_after_a_loss_nothing_is_current_until_the_next_list() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        view.lost();
        assert!(matches!(view.reading("checkout", now), TargetReading::Outdated { .. }));
        assert_eq!(view.resume(), None);
        view.bookmarked(Some(20), now);
        assert!(matches!(view.reading("checkout", now), TargetReading::Outdated { .. }));
        view.listed(21, &[object(20, "a", 4)], now).unwrap();
        assert_eq!(replicas(&view, now), Some(4));
    }

    #[test]
    fn k5_an_absent_object_is_unknown_and_never_zero() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        view.listed(30, &[], now).unwrap();
        assert_eq!(view.reading("checkout", now), TargetReading::Unknown { reason: "does not exist".to_owned() });
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        view.deleted(&object(11, "a", 3), now);
        assert_eq!(view.reading("checkout", now), TargetReading::Unknown { reason: "does not exist".to_owned() });
        // A late echo of the time before does not bring it back.
        view.changed(&object(9, "a", 3), now);
        assert_eq!(replicas(&view, now), None);
    }

    #[test]
    fn k12_an_object_made_anew_carries_its_new_uid() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        view.deleted(&object(11, "a", 3), now);
        view.changed(&object(12, "b", 1), now);
        assert_eq!(view.reading("checkout", now).known().unwrap().uid, "b");
    }

    #[test]
    fn k7_a_silent_view_is_outdated_after_two_minutes() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        assert_eq!(replicas(&view, now + Duration::from_mins(2)), Some(3));
        let late = now + Duration::from_secs(121);
        let silence = Duration::from_secs(121);
        assert!(matches!(view.reading("checkout", late), TargetReading::Outdated { silence: s, .. } if s == silence));
        assert_eq!(view.waiting_for(late).as_deref(), Some("silent for 121 s"));
        view.bookmarked(Some(11), late);
        assert_eq!(replicas(&view, late), Some(3));
    }

    #[test]
    fn k13_an_odd_number_of_replicas_is_unknown_and_zero_is_zero() {
        let (view, now) = synced(10, &[object(8, "a", -4)]);
        let TargetReading::Unknown { reason } = view.reading("checkout", now) else { panic!("expected unknown") };
        assert!(reason.contains("-4"), "{reason}");
        let (view, now) = synced(10, &[object(8, "a", 0)]);
        assert_eq!(replicas(&view, now), Some(0));
    }

    #[test]
    fn k8_missed_events_end_in_the_same_state() {
        let all = [object(11, "a", 4), object(12, "a", 6), object(13, "a", 5)];
        let (mut full, now) = synced(10, &[object(8, "a", 3)]);
        for object in &all {
            full.changed(object, now);
        }
        let (mut last, now) = synced(10, &[object(8, "a", 3)]);
        last.changed(&all[2], now);
        assert_eq!(full.reading("checkout", now), last.reading("checkout", now));
    }
}
