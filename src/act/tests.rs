//! Tables of plans, re-checks and settlements.

use super::*;
use crate::model::{
    Action, ActionClass, Bounds, Budgets, CycleId, Direction, Knob, Mode, Slo, TargetKind, TargetReading, TargetRef,
    TargetState, Timestamp, VerdictKind,
};

fn spec() -> ServiceSpec {
    ServiceSpec {
        id: "shop/checkout".parse().unwrap(),
        target: TargetRef { kind: TargetKind::Deployment, namespace: "shop".to_owned(), name: "checkout".to_owned() },
        signals: Vec::new(),
        labels: [].into(),
        slo: Slo { p99: 0.3, error_ratio: 0.01 },
        parameters: [].into(),
        mode: Mode::Auto,
        bounds: Bounds { min: 1, max: 20 },
        budgets: Budgets::default(),
        capacity: None,
        allow_lowering: true,
    }
}

fn now() -> Now {
    Now { wall: Timestamp::from_second(1_700_000_000).unwrap(), mono: Duration::from_secs(100) }
}

fn known(replicas: u32) -> TargetReading {
    let (uid, resource_version) = ("u1".to_owned(), "7".to_owned());
    TargetReading::Known { target: TargetState { uid, resource_version, replicas, ready: replicas, rollout: false } }
}

fn planned(action: Action, kind: VerdictKind, permitted: Option<u32>, target: TargetReading) -> Option<ChangeSet> {
    let spec = spec();
    let decision = DecisionId { service: spec.id.clone(), cycle: CycleId { run: 1, seq: 2 } };
    let trace = TraceId::derive(&spec.id, decision.cycle, now().wall);
    let features = Features { signals: Vec::new(), target };
    let choice = Choice::Act { rule: "up".into(), action, backed_by_arrivals: true };
    let proposal = Proposal { revision: None, rules: Vec::new(), choice };
    let verdict = Verdict { kind, permitted, ..Verdict::idle() };
    plan(&decision, trace, &spec, &features, &proposal, &verdict, now())
}

fn change(from: u32, to: u32) -> ChangeSet {
    planned(Action::ScaleTo { replicas: to }, VerdictKind::Pass, Some(to), known(from)).unwrap()
}

#[test]
fn a_plan_is_absolute_and_written_as_permitted() {
    let action = Action::ScaleBy { factor: 3.0 };
    let change = planned(action, VerdictKind::Clamp, Some(8), known(4)).unwrap();
    assert_eq!((change.from, change.to, change.knob, change.class), (4, 8, Knob::Replicas, ActionClass::Scale));
    assert_eq!((change.uid.as_str(), change.rule.as_str(), change.valid_for), ("u1", "up", VALID_FOR));
    assert!(change.backed_by_arrivals);
    assert_eq!(change, planned(Action::ScaleBy { factor: 3.0 }, VerdictKind::Clamp, Some(8), known(4)).unwrap());
}

#[test]
fn without_permission_change_or_target_there_is_no_plan() {
    let unknown = TargetReading::Unknown { reason: String::new() };
    for (kind, permitted, target) in [
        (VerdictKind::Hold, Some(8), known(4)),
        (VerdictKind::Reject, Some(8), known(4)),
        (VerdictKind::Idle, Some(8), known(4)),
        (VerdictKind::Pass, None, known(4)),
        (VerdictKind::Pass, Some(0), known(4)),
        (VerdictKind::Pass, Some(4), known(4)),
        (VerdictKind::Pass, Some(8), unknown),
    ] {
        assert_eq!(planned(Action::ScaleTo { replicas: 8 }, kind, permitted, target), None, "{kind:?} {permitted:?}");
    }
}

#[test]
fn every_kind_has_its_knob_and_values() {
    let text = |text: &str| text.to_owned();
    for (action, knob, values, direction) in [
        (Action::SetAutoscalerFloor { replicas: 4 }, Knob::AutoscalerFloor, (0, 4), Direction::Raise),
        (Action::Throttle { to: 0.8, ttl: VALID_FOR }, Knob::Rate, (100, 80), Direction::Lower),
        (
            Action::ShiftTraffic { from: text("a"), to: text("b"), step: 0.1, limit: 0.5 },
            Knob::Route,
            (0, 10),
            Direction::Lateral,
        ),
        (Action::Resize { cpu: 1.5, memory: 1.0 }, Knob::Resources, (100, 150), Direction::Raise),
        (Action::Rollback, Knob::Rollout, (0, 1), Direction::Lateral),
        (Action::PromoteRollout, Knob::Rollout, (0, 1), Direction::Lateral),
        (Action::AbortRollout, Knob::Rollout, (0, 1), Direction::Lateral),
        (Action::Restart, Knob::Pods, (0, 1), Direction::Lateral),
        (Action::Webhook { name: text("page") }, Knob::External, (0, 1), Direction::Lateral),
    ] {
        let change = planned(action, VerdictKind::Pass, None, known(4)).unwrap();
        assert_eq!((change.knob, (change.from, change.to), change.direction()), (knob, values, direction));
    }
}

#[test]
fn the_live_read_decides_last() {
    let change = change(4, 6);
    let found = |found: &str| WriteOutcome::Superseded { found: found.to_owned() };
    for (uid, value, after, expected) in [
        ("u1", 4, 0, Ok(())),
        ("u1", 4, 30, Ok(())),
        ("u1", 4, 31, Err(WriteOutcome::Expired)),
        ("u1", 6, 0, Err(WriteOutcome::AlreadyThere)),
        ("u1", 5, 0, Err(found("5 where 4 was expected"))),
        ("u2", 4, 0, Err(found("Deployment shop/checkout was recreated: uid u2, not u1"))),
    ] {
        assert_eq!(recheck(&change, uid, value, now().plus(Duration::from_secs(after))), expected, "{uid} {value}");
    }
}

#[test]
fn a_change_is_too_old_by_either_clock() {
    let change = change(4, 6);
    let later = now().plus(Duration::from_mins(1));
    assert_eq!(recheck(&change, "u1", 4, Now { wall: now().wall, ..later }), Err(WriteOutcome::Expired));
    assert_eq!(recheck(&change, "u1", 4, Now { mono: now().mono, ..later }), Err(WriteOutcome::Expired));
}

#[test]
fn a_write_of_unknown_fate_is_settled_by_what_is_there() {
    let change = change(4, 6);
    assert_eq!(settle(&change, Some(("u1", 6))), WriteOutcome::Applied);
    for live in [Some(("u1", 4)), Some(("u1", 5)), Some(("u2", 6)), None] {
        assert!(matches!(settle(&change, live), WriteOutcome::Abandoned { .. }), "{live:?}");
    }
}

#[test]
fn the_inverse_goes_back_once() {
    let change = change(4, 6);
    let undo = inverse(&change, now().plus(VALID_FOR));
    assert_eq!((undo.from, undo.to, undo.rule.as_str()), (6, 4, "undo of up"));
    assert_ne!(undo.id, change.id);
    assert_eq!(inverse(&undo, now()).id, change.id, "an undo of an undo is known to the journal already");
}
