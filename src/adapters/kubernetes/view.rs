//! What the loop sees of a target: the object in the cache of its watch, who scales it according to the cache of the
//! autoscalers, and how current both are.

use crate::model::{Autoscaling, TargetReading, TargetRef, TargetState};

use super::autoscaler::{HorizontalPodAutoscaler, autoscaling};
use super::cache::{Cache, Tick};
use super::workload::Workload;

/// Returns the reading of a target. A missing target is unknown, never one of zero replicas; so is one whose scaler is
/// unknown.
pub(super) fn reading(
    cache: &Cache<Workload>,
    autoscalers: &Cache<HorizontalPodAutoscaler>,
    target: &TargetRef,
    now: Tick,
) -> TargetReading {
    let state = match state(cache, autoscalers, target) {
        Ok(state) => state,
        Err(reason) => return TargetReading::Unknown { reason },
    };
    match cache.outdated(now).max(autoscalers.outdated(now)) {
        None => TargetReading::Known { target: state },
        Some(silence) => TargetReading::Outdated { target: state, silence },
    }
}

fn state(
    cache: &Cache<Workload>,
    autoscalers: &Cache<HorizontalPodAutoscaler>,
    target: &TargetRef,
) -> Result<TargetState, String> {
    let absent = || format!("{target} does not exist; create it, or set `target` to an existing object");
    let object = cache.get(&target.namespace, &target.name)?.ok_or_else(absent)?;
    let state = object.state(target.kind).map_err(|odd| odd.to_string())?;
    let all =
        autoscalers.all().map_err(|why| format!("unknown whether an autoscaler scales it: autoscalers: {why}"))?;
    let autoscaling = autoscaling(all, target);
    let seen_to = match autoscaling {
        Autoscaling::Autoscaler(_) => autoscalers.version(),
        Autoscaling::Nobody | Autoscaling::Closed { .. } => cache.version(),
    };
    Ok(TargetState { autoscaling, seen_to, ..state })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::model::TargetKind;

    type View = Cache<Workload>;

    fn target() -> TargetRef {
        TargetRef { kind: TargetKind::Deployment, namespace: String::new(), name: "checkout".to_owned() }
    }

    fn absent() -> TargetReading {
        TargetReading::Unknown {
            reason: format!("{} does not exist; create it, or set `target` to an existing object", target()),
        }
    }

    fn seen(view: &View, now: Tick) -> TargetReading {
        reading(view, &autoscalers(&[], now), &target(), now)
    }

    fn autoscalers(all: &[serde_json::Value], now: Tick) -> Cache<HorizontalPodAutoscaler> {
        let mut cache = Cache::new(Duration::from_mins(2), now);
        let all = all.iter().map(|one| serde_json::from_value(one.clone()).unwrap()).collect();
        cache.listed(1, all, now).unwrap();
        cache
    }

    #[test]
    fn x2_a_target_of_which_nobody_can_say_who_scales_it_is_not_acted_on() {
        let (view, now) = synced(10, &[object(8, "a", 3)]);
        let unlisted = Cache::new(Duration::from_mins(2), now);
        let TargetReading::Unknown { reason } = reading(&view, &unlisted, &target(), now) else { panic!() };
        assert!(reason.contains("unknown whether an autoscaler scales it"), "{reason}");
        let mut lost = autoscalers(&[], now);
        lost.lost();
        assert!(matches!(reading(&view, &lost, &target(), now), TargetReading::Outdated { .. }));
        let of = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout" });
        let metadata = json!({ "name": "front", "uid": "h", "resourceVersion": "5" });
        let hpa = json!({ "metadata": metadata, "spec": { "scaleTargetRef": of, "minReplicas": 2, "maxReplicas": 9 } });
        let found = reading(&view, &autoscalers(&[hpa], now), &target(), now);
        assert_eq!(found.known().and_then(TargetState::autoscaler).map(|one| (one.floor, one.ceiling)), Some((2, 9)));
    }

    fn object(version: u64, uid: &str, replicas: i64) -> Workload {
        let metadata = json!({"name": "checkout", "uid": uid, "resourceVersion": version.to_string()});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"replicas": replicas}})).unwrap()
    }

    fn synced(version: u64, objects: &[Workload]) -> (View, Tick) {
        let now = Tick::now();
        let mut view = View::new(Duration::from_mins(2), now);
        view.listed(version, objects.to_vec(), now).unwrap();
        (view, now)
    }

    fn replicas(view: &View, now: Tick) -> Option<u32> {
        seen(view, now).known().map(|target| target.replicas)
    }

    #[test]
    fn nothing_is_known_before_the_first_list() {
        let now = Tick::now();
        let mut view = View::new(Duration::from_mins(2), now);
        view.changed(object(5, "a", 3), now);
        view.failed("connection refused".to_owned());
        let expected = TargetReading::Unknown { reason: "not synced yet: connection refused".to_owned() };
        assert_eq!(seen(&view, now), expected);
        assert_eq!(view.resume(), None);
    }

    #[test]
    fn k6_an_older_object_and_an_older_list_are_ignored() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        view.changed(object(12, "a", 5), now);
        view.changed(object(9, "a", 3), now);
        assert_eq!(replicas(&view, now), Some(5));
        let older = view.listed(11, Vec::new(), now).unwrap_err().to_string();
        assert!(older.contains("version 11, older than version 12 seen before"), "{older}");
        assert_eq!(replicas(&view, now), Some(5));
    }

    #[test]
    fn k6_a_server_whose_versions_go_back_is_not_believed_and_is_named() {
        let (mut view, now) = synced(1000, &[object(900, "a", 4)]);
        let later = now + Duration::from_secs(121);
        view.changed(object(102, "a", 8), later);
        assert!(matches!(seen(&view, later), TargetReading::Outdated { .. }), "an old event is no sign of life");
        let (mut view, now) = synced(1000, &[object(900, "a", 4)]);
        view.bookmarked(Some(1000), now);
        assert_eq!(replicas(&view, now), Some(4));
        view.bookmarked(Some(110), now);
        assert!(matches!(seen(&view, now), TargetReading::Outdated { .. }));
        let why = view.waiting_for(now).unwrap().to_string();
        assert!(
            why.contains("version 110, older than version 1000 seen before") && why.contains("restart flyball"),
            "{why}"
        );
        assert_eq!(view.resume(), None, "it is listed anew");
    }

    #[test]
    fn k5_after_a_loss_nothing_is_current_until_the_next_list() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        view.lost();
        assert!(matches!(seen(&view, now), TargetReading::Outdated { .. }));
        assert_eq!(view.resume(), None);
        view.bookmarked(Some(20), now);
        assert!(matches!(seen(&view, now), TargetReading::Outdated { .. }));
        view.listed(21, vec![object(20, "a", 4)], now).unwrap();
        assert_eq!(replicas(&view, now), Some(4));
    }

    #[test]
    fn k5_an_absent_object_is_unknown_and_never_zero() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        view.listed(30, Vec::new(), now).unwrap();
        assert_eq!(seen(&view, now), absent());
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        view.deleted(&object(11, "a", 3), now);
        assert_eq!(seen(&view, now), absent());
        // A late echo from before does not bring it back.
        view.changed(object(9, "a", 3), now);
        assert_eq!(replicas(&view, now), None);
    }

    #[test]
    fn k12_an_object_made_anew_carries_its_new_uid() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        view.deleted(&object(11, "a", 3), now);
        view.changed(object(12, "b", 1), now);
        assert_eq!(seen(&view, now).known().unwrap().uid, "b");
    }

    #[test]
    fn k7_a_silent_view_is_outdated_after_two_minutes() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        assert_eq!(replicas(&view, now + Duration::from_mins(2)), Some(3));
        let late = now + Duration::from_secs(121);
        let silence = Duration::from_secs(121);
        assert!(matches!(seen(&view, late), TargetReading::Outdated { silence: s, .. } if s == silence));
        assert_eq!(view.waiting_for(late).map(|stale| stale.to_string()).as_deref(), Some("silent for 121 s"));
        view.bookmarked(Some(11), late);
        assert_eq!(replicas(&view, late), Some(3));
    }

    #[test]
    fn k7_what_was_seen_before_the_machine_slept_is_outdated_when_it_wakes() {
        let (view, now) = synced(10, &[object(8, "a", 3)]);
        let second = Duration::from_secs(1);
        assert_eq!(replicas(&view, now.later(second, Duration::from_secs(60))), Some(3));
        let woke = now.later(second, Duration::from_secs(8 * 3600));
        assert!(matches!(seen(&view, woke), TargetReading::Outdated { .. }));
    }

    #[test]
    fn the_view_says_up_to_which_version_it_has_missed_nothing() {
        let (mut view, now) = synced(10, &[object(8, "a", 3)]);
        let seen_to = |view: &View| seen(view, now).known().unwrap().seen_to;
        assert_eq!(seen_to(&view), Some(10));
        view.bookmarked(Some(15), now);
        assert_eq!(seen_to(&view), Some(15), "although the object is as it was");
    }

    #[test]
    fn k13_an_odd_number_of_replicas_is_unknown_and_zero_is_zero() {
        let (view, now) = synced(10, &[object(8, "a", -4)]);
        let TargetReading::Unknown { reason } = seen(&view, now) else { panic!("expected unknown") };
        assert!(reason.contains("-4"), "{reason}");
        let (view, now) = synced(10, &[object(8, "a", 0)]);
        assert_eq!(replicas(&view, now), Some(0));
    }

    #[test]
    fn k8_missed_events_end_in_the_same_state() {
        let all = [object(11, "a", 4), object(12, "a", 6), object(13, "a", 5)];
        let (mut full, now) = synced(10, &[object(8, "a", 3)]);
        for object in &all {
            full.changed(object.clone(), now);
        }
        let (mut last, now) = synced(10, &[object(8, "a", 3)]);
        last.changed(all[2].clone(), now);
        assert_eq!(seen(&full, now), seen(&last, now));
    }
}
