//! Tables of plans, re-checks and settlements.

use super::*;
use crate::model::{
    Action, ActionClass, Autoscaler, Autoscaling, Bounds, Choice, CycleId, Finite, FloorOf, Knob, Missing, Mode,
    Reading, Role, Sample, SignalFeatures, SignalName, SignalSpec, Slo, TargetReading, TargetState, Timestamp, Unit,
    VerdictKind,
};

/// Staleness of the signals when a plan is made; the limit is 45 s.
const AT_DECISION: Option<u64> = Some(5);

fn signal(name: &str, role: Option<Role>) -> SignalSpec {
    SignalSpec {
        name: SignalName::new(name).unwrap(),
        unit: Unit::PerSecond,
        role,
        range: (0.0, 1e9),
        forecast: false,
        scrape_interval: Duration::from_secs(15),
        window: Duration::ZERO,
    }
}

/// A signal that is this many seconds old; `None` is a gap.
fn seen(staleness: Option<u64>) -> SignalFeatures {
    let sample = Sample { at: now().wall, value: Finite::ZERO };
    let reading = match staleness {
        Some(seconds) => Reading::Fresh { sample, staleness: Duration::from_secs(seconds) },
        None => Reading::Gap { last: sample, missing: Missing::NoSeries },
    };
    SignalFeatures::of(reading)
}

fn spec() -> ServiceSpec {
    ServiceSpec {
        signals: vec![signal("rps", Some(Role::ArrivalRate)), signal("p99", Some(Role::Latency))],
        slo: Slo { p99: 0.3, error_ratio: 0.01 },
        mode: Mode::Auto,
        bounds: Bounds { min: 1, max: 20 },
        allow_lowering: true,
        ..ServiceSpec::blank("shop/checkout".parse().unwrap())
    }
}

fn now() -> Now {
    Now { wall: Timestamp::from_second(1_700_000_000).unwrap(), mono: Duration::from_secs(100) }
}

fn made(decision: &DecisionId, trace: TraceId) -> Made<'_> {
    Made { decision, trace, epoch: Epoch::new(3), at: now() }
}

fn known(replicas: u32) -> TargetReading {
    TargetReading::Known { target: TargetState::calm("u1", replicas) }
}

fn planned(action: Action, kind: VerdictKind, permitted: Option<u32>, target: TargetReading) -> Option<ChangeSet> {
    written(plan_of(action, kind, permitted, target))
}

fn written(plan: Plan) -> Option<ChangeSet> {
    match plan {
        Plan::Write(change) => Some(change),
        Plan::NothingToDo => None,
        Plan::NoLever => panic!("it has one"),
    }
}

fn plan_of(action: Action, kind: VerdictKind, permitted: Option<u32>, target: TargetReading) -> Plan {
    let spec = spec();
    let decision = DecisionId { service: spec.id.clone(), cycle: CycleId { run: 1, seq: 2 } };
    let trace = TraceId::derive(&spec.id, decision.cycle, now().wall);
    let features = Features { signals: vec![seen(AT_DECISION), seen(AT_DECISION)], target };
    let choice = Choice::Act { rule: "up".into(), action, backed_by_arrivals: true };
    let proposal = Proposal { revision: None, rules: Vec::new(), choice };
    let verdict = Verdict { kind, permitted, ..Verdict::idle() };
    plan(made(&decision, trace), &spec, &features, &proposal, &verdict)
}

fn change(from: u32, to: u32) -> ChangeSet {
    planned(Action::ScaleTo { replicas: to }, VerdictKind::Pass, Some(to), known(from)).unwrap()
}

#[test]
fn a_plan_is_absolute_and_written_as_permitted() {
    let action = Action::ScaleBy { factor: 3.0 };
    let change = planned(action, VerdictKind::Clamp, Some(8), known(4)).unwrap();
    assert_eq!((change.from, change.to, change.knob, change.class), (4, 8, Knob::Replicas, ActionClass::Scale));
    assert_eq!((change.uid.as_str(), change.cause.as_str(), change.valid_for), ("u1", "up", VALID_FOR));
    assert_eq!((change.epoch, change.decided), (Epoch::new(3), now()));
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
fn what_stands_at_a_knob_nobody_reads_is_unknown_and_not_made_up() {
    let text = |text: &str| text.to_owned();
    for action in [
        Action::SetAutoscalerFloor { replicas: 4 },
        Action::Throttle { to: 0.8, ttl: VALID_FOR },
        Action::ShiftTraffic { from: text("a"), to: text("b"), step: 0.1, limit: 0.5 },
        Action::Resize { cpu: 1.5, memory: 1.0 },
        Action::Rollback,
        Action::PromoteRollout,
        Action::AbortRollout,
        Action::Restart,
        Action::Webhook { name: text("page") },
    ] {
        let shown = action.to_string();
        assert_eq!(plan_of(action.clone(), VerdictKind::Pass, None, known(4)), Plan::NoLever, "{shown}");
        assert_eq!(plan_of(action, VerdictKind::Hold, None, known(4)), Plan::NothingToDo, "{shown}");
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
        ("u1", 5, 0, Err(found("5, expected 4"))),
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
fn a_change_is_not_sent_on_data_that_is_no_longer_fresh() {
    let lower = Action::ScaleTo { replicas: 3 };
    let raise = Action::ScaleTo { replicas: 6 };
    let latency_alone = [signal("rps", None), signal("p99", Some(Role::Latency))].to_vec();
    let declared = spec().signals;
    // (signals, action, backed by arrivals, staleness of each, seconds it stays fresh)
    for (signals, action, backed, staleness, fresh_for) in [
        (&declared, &lower, false, [Some(40), Some(5)], 5),
        (&declared, &lower, false, [Some(5), Some(40)], 40),
        (&declared, &lower, false, [Some(5), None], 40),
        (&declared, &lower, false, [None, Some(5)], 0),
        (&declared, &raise, true, [Some(40), Some(5)], 5),
        (&declared, &raise, false, [Some(40), Some(5)], 40),
        (&declared, &raise, false, [None, Some(35)], 10),
        (&latency_alone, &lower, false, [Some(40), Some(5)], 5),
        (&latency_alone, &lower, false, [Some(5), None], 0),
    ] {
        let spec = ServiceSpec { signals: signals.clone(), ..spec() };
        let features = Features { signals: staleness.map(seen).to_vec(), target: known(4) };
        let choice = Choice::Act { rule: "r".into(), action: action.clone(), backed_by_arrivals: backed };
        let proposal = Proposal { revision: None, rules: Vec::new(), choice };
        let permitted = action.wanted_replicas(4);
        let verdict = Verdict { kind: VerdictKind::Pass, permitted, ..Verdict::idle() };
        let decision = DecisionId { service: spec.id.clone(), cycle: CycleId { run: 1, seq: 2 } };
        let trace = TraceId::derive(&spec.id, decision.cycle, now().wall);
        let change = written(plan(made(&decision, trace), &spec, &features, &proposal, &verdict)).unwrap();
        let fresh_for = Duration::from_secs(fresh_for);
        assert_eq!(change.fresh_for, fresh_for, "{action} {backed} {staleness:?}");
        let in_time = fresh_for.min(VALID_FOR);
        assert_eq!(recheck(&change, "u1", 4, now().plus(in_time)), Ok(()));
        let late = fresh_for + Duration::from_secs(1);
        let expected =
            if late > VALID_FOR { WriteOutcome::Expired } else { WriteOutcome::Stale { fresh_for, age: late } };
        assert_eq!(recheck(&change, "u1", 4, now().plus(late)), Err(expected.clone()));
        let wall_alone = Now { mono: now().mono, ..now().plus(late) };
        assert_eq!(recheck(&change, "u1", 4, wall_alone), Err(expected), "by either clock");
    }
}

#[test]
fn a_write_of_unknown_fate_is_settled_by_what_is_there() {
    let change = change(4, 6);
    assert_eq!(settle(&change, Some(("u1", 6))), WriteOutcome::Applied);
    for (live, unchanged) in
        [(Some(("u1", 4)), true), (Some(("u1", 5)), false), (Some(("u2", 4)), false), (None, false)]
    {
        let settled = settle(&change, live);
        let WriteOutcome::Abandoned { trace, .. } = settled else { panic!("{live:?}: {settled}") };
        assert_eq!(trace == WriteTrace::Nothing, unchanged, "{live:?}");
        assert_eq!(settled.is_charged(), !unchanged, "another value may be of our making: {live:?}");
    }
}

/// A target whose autoscaler runs `replicas` over a floor of `floor`, found at 2.
fn autoscaled(replicas: u32, floor: u32) -> TargetReading {
    let TargetReading::Known { target } = known(replicas) else { unreachable!() };
    let autoscaler = Autoscaler {
        name: "front".into(),
        uid: "hpa".to_owned(),
        floor,
        baseline: 2,
        ceiling: 12,
        current: replicas,
        desired: replicas,
        owner: None,
        trouble: None,
    };
    TargetReading::Known { target: TargetState { autoscaling: Autoscaling::Autoscaler(autoscaler), ..target } }
}

#[test]
fn x2_with_an_autoscaler_the_floor_is_what_is_written() {
    let to = |replicas| Action::ScaleTo { replicas };
    let floor = |replicas| Action::SetAutoscalerFloor { replicas };
    // (action, running, floor, permitted, floor from and to)
    for (action, replicas, present, permitted, expected) in [
        (to(9), 6, 2, 9, Some((2, 9))),
        (Action::ScaleBy { factor: 1.5 }, 6, 2, 9, Some((2, 9))),
        // Replicas that the autoscaler runs on its own are neither requested nor kept.
        (to(6), 6, 2, 6, None),
        (to(4), 6, 2, 4, None),
        (to(4), 6, 5, 4, Some((5, 4))),
        (floor(4), 6, 2, 4, Some((2, 4))),
        (floor(2), 6, 5, 2, Some((5, 2))),
        (floor(5), 6, 5, 5, None),
    ] {
        let shown = action.to_string();
        let change = planned(action, VerdictKind::Pass, Some(permitted), autoscaled(replicas, present));
        assert_eq!(change.as_ref().map(|change| (change.from, change.to)), expected, "{shown} {replicas} {present}");
        let Some(change) = change else { continue };
        assert_eq!(
            (change.knob, change.uid.as_str(), change.class),
            (Knob::AutoscalerFloor, "hpa", ActionClass::Scale)
        );
        assert_eq!(change.floor, Some(FloorOf { autoscaler: "front".into(), baseline: 2 }));
    }
}

#[test]
fn x2_where_others_leave_no_lever_nothing_is_planned() {
    let TargetReading::Known { target } = known(4) else { unreachable!() };
    let closed = Autoscaling::Closed { why: "two of them".to_owned() };
    let target = TargetReading::Known { target: TargetState { autoscaling: closed, ..target } };
    assert_eq!(planned(Action::ScaleTo { replicas: 6 }, VerdictKind::Pass, Some(6), target), None);
}

#[test]
fn a_floor_is_settled_by_the_autoscaler_that_carries_it() {
    let change = planned(Action::ScaleTo { replicas: 9 }, VerdictKind::Pass, Some(9), autoscaled(6, 2)).unwrap();
    assert_eq!(settle(&change, Some(("hpa", 9))), WriteOutcome::Applied);
    for (live, words) in [
        (Some(("hpa", 2)), "found 2, expected 9"),
        (Some(("other", 9)), "HPA front on Deployment shop/checkout was recreated"),
        (None, "HPA front on Deployment shop/checkout no longer exists"),
    ] {
        let WriteOutcome::Abandoned { reason, .. } = settle(&change, live) else { panic!("{live:?}") };
        assert!(reason.contains(words), "{reason}");
    }
}
