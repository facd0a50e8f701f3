//! Tables: each guard in turn decides a cycle in which all others pass.

mod autoscaler;
mod fleet;
mod limits;
mod memory;
mod ownership;
mod policy_limit;
mod timing;
mod world;

use super::*;
use crate::model::kill::KillOrder;
use crate::model::{
    Action, ActionClass, Autoscaling, Bounds, Capacity, CapacitySpec, Cause, ChangeSet, Choice, CycleId, DecisionId,
    Direction, Features, Finite, GuardParams, Intent, KillState, Knob, Missing, Mode, Moment, Now, Outlook, Proposal,
    Reading, Revert, Role, Sample, ServiceSpec, SignalFeatures, SignalName, SignalSpec, Slo, Stuck, TargetReading,
    TargetState, Timestamp, TraceId, Unit, WriteEnd, WriteOutcome, WriteTrace,
};
use crate::model::{Reach, Refusal};
use world::*;

#[test]
fn all_guards_are_evaluated_in_order_and_the_first_that_stops_decides() {
    let mut world = World::lowering();
    world.kill = KillState::Unreadable { error: "no such file".to_owned() };
    world.spec.mode = Mode::Observe;
    world.readings = vec![None, None];
    let verdict = world.propose(&scale_to(7));
    let names: Vec<GuardName> = verdict.findings.iter().map(|found| found.guard).collect();
    assert_eq!(names, chain().map(|(name, _)| name));
    assert!(names.is_sorted(), "the chain follows the order of GuardName");
    assert_eq!(sum(&verdict), (VerdictKind::Hold, Some(GuardName::KillSwitch), None));
    assert!(verdict.findings.iter().filter(|found| found.finding != Finding::Pass).count() >= 3);
    assert!(verdict.findings.iter().all(|found| !found.why.is_empty()));
}

#[test]
fn nothing_proposed_is_idle() {
    assert_eq!(World::at(4).choose(nothing()), Verdict::idle());
}

#[test]
fn a_lowering_in_order_passes() {
    assert_eq!(sum(&World::lowering().propose(&scale_to(7))), (VerdictKind::Pass, None, Some(7)));
}

#[test]
fn kill_switch() {
    let class = KillOrder { classes: [ActionClass::Scale].into(), ..KillOrder::default() };
    let other = KillOrder { classes: [ActionClass::Traffic].into(), ..KillOrder::default() };
    for (kill, holds) in [
        (KillState::Unreadable { error: "gone".to_owned() }, true),
        (KillState::readable(class), true),
        (KillState::readable(other), false),
    ] {
        let mut world = World::lowering();
        world.kill = kill;
        assert_eq!(world.propose(&scale_to(7)).decided_by == Some(GuardName::KillSwitch), holds);
    }
}

#[test]
fn mode() {
    for (mode, allow_lowering, kind, shown) in [
        (Mode::Observe, true, VerdictKind::Reject, None),
        (Mode::Shadow, true, VerdictKind::Hold, Some(7)),
        (Mode::Approve, true, VerdictKind::Hold, Some(7)),
        (Mode::Auto, true, VerdictKind::Pass, Some(7)),
        (Mode::Auto, false, VerdictKind::Reject, None),
    ] {
        let mut world = World::lowering();
        (world.spec.mode, world.spec.allow_lowering) = (mode, allow_lowering);
        let verdict = world.propose(&scale_to(7));
        assert_eq!((verdict.kind, verdict.permitted), (kind, shown), "{mode:?} {allow_lowering}");
    }
    let mut world = World::lowering();
    world.spec.mode = Mode::Approve;
    let verdict = world.propose(&scale_to(7));
    let said = verdict.findings.iter().find(|found| found.guard == GuardName::Mode).unwrap();
    assert!(said.why.contains("approval is not implemented yet"), "{}", said.why);
    let mut raise = World::at(4);
    (raise.spec.allow_lowering, raise.needed_now) = (false, Some(6));
    assert_eq!(raise.propose_backed(6).kind, VerdictKind::Pass, "only a lowering needs to be allowed");
}

#[test]
fn a_dry_run_shows_nothing_that_another_guard_stops() {
    let mut world = World::lowering();
    (world.spec.mode, world.floor) = (Mode::Shadow, None);
    assert_eq!(sum(&world.propose(&scale_to(7))), (VerdictKind::Hold, Some(GuardName::Mode), None));
}

/// Unknown platform limits are not a reason to forget the owner's.
#[test]
fn inv_22_nothing_is_written_while_the_bound_of_the_platform_is_not_known() {
    let mut world = World::at(4);
    (world.needed_now, world.unbounded) = (Some(6), Some("the PlatformBound cannot be read: silent".to_owned()));
    let verdict = world.propose_backed(6);
    assert_eq!(sum(&verdict), (VerdictKind::Hold, Some(GuardName::Mode), Some(6)));
    assert!(why(&verdict, GuardName::Mode).contains("the PlatformBound cannot be read"), "{verdict:?}");
    world.spec.mode = Mode::Shadow;
    assert!(why(&world.propose_backed(6), GuardName::Mode).starts_with("shadow"), "which writes nothing anyway");
    (world.spec.mode, world.unbounded) = (Mode::Auto, None);
    assert_eq!(world.propose_backed(6).kind, VerdictKind::Pass);
}

#[test]
fn freshness_of_signals() {
    let lower = scale_to(7);
    let shift = Action::ShiftTraffic { from: "a".to_owned(), to: "b".to_owned(), step: 0.1, limit: 0.5 };
    for (readings, action, holds) in [
        (vec![None, Some(0.1)], &lower, true),
        (vec![None, Some(0.1)], &shift, true),
        (vec![None, Some(0.1)], &Action::Throttle { to: 0.8, ttl: secs(60) }, true),
        (vec![None, Some(0.1)], &Action::Rollback, false),
        (vec![None, None], &Action::Rollback, true),
        (vec![Some(300.0), None], &lower, false),
        (vec![], &lower, true),
    ] {
        let mut world = World::lowering();
        world.readings = readings;
        let verdict = world.propose(action);
        let held = verdict.decided_by == Some(GuardName::Freshness);
        assert_eq!(held, holds, "{action} {:?}", verdict.findings);
    }
    let mut raise = World::at(4);
    (raise.readings, raise.needed_now) = (vec![None, Some(0.1)], Some(8));
    assert_eq!(raise.propose_backed(8).decided_by, Some(GuardName::Freshness), "sized by a missing arrival rate");
    raise.propose(&scale_to(6));
    assert_eq!(raise.propose(&scale_to(6)).kind, VerdictKind::Pass, "another signal is fresh");
}

#[test]
fn without_an_arrival_rate_every_declared_signal_controls_a_lowering() {
    let mut world = World::lowering();
    world.spec.signals[0].role = None;
    world.readings = vec![Some(1.0), None];
    let verdict = world.propose(&scale_to(7));
    assert_eq!(why(&verdict, GuardName::Freshness), "controlling signal p99: absent: no such series");
}

#[test]
fn freshness_of_the_target() {
    let outdated = TargetReading::Outdated { target: state(4, false), silence: secs(90) };
    for target in [outdated, TargetReading::Unknown { reason: "never seen".to_owned() }] {
        let mut world = World::at(4);
        (world.target, world.needed_now) = (target, Some(6));
        let verdict = world.propose_backed(6);
        assert_eq!((verdict.kind, verdict.decided_by), (VerdictKind::Hold, Some(GuardName::Freshness)));
        assert_eq!(verdict.permitted, None);
    }
}

#[test]
fn in_flight_holds_until_the_write_ended() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    let change = world.change(4, 6);
    world.memory.write_started(&change, world.now);
    assert_eq!(world.propose_backed(6).decided_by, Some(GuardName::InFlight));
    assert_eq!(world.propose(&Action::Restart).decided_by, Some(GuardName::InFlight), "on every knob");
    world.memory.write_ended(&ended(&change, &WriteOutcome::Refused(Refusal::Busy), world.now));
    assert_eq!(world.propose_backed(6).kind, VerdictKind::Pass);
}

#[test]
fn a_rollout_holds_a_lowering_and_nothing_else() {
    let mut world = World::lowering();
    world.target = TargetReading::Known { target: state(10, true) };
    assert_eq!(world.propose(&scale_to(7)).decided_by, Some(GuardName::InFlight));
    assert_eq!(world.propose(&Action::AbortRollout).kind, VerdictKind::Pass);
    world.needed_now = Some(12);
    assert_eq!(world.propose_backed(12).kind, VerdictKind::Pass);
}

#[test]
fn convergence() {
    let quota = Some(Stuck { pods: 2, why: "FailedCreate: exceeded quota".to_owned() });
    // (ready of 6, cannot be created, backed by arrivals, seconds since the raise from 4, holds)
    for (ready, stuck, backed, after, holds) in [
        (6, None, false, 195, false),
        (5, None, false, 195, true),
        (5, None, false, 299, true),
        (5, None, false, 300, false),
        (5, None, true, 30, false),
        (5, None, true, 179, false),
        (5, None, true, 195, true),
        (5, None, true, 300, false),
        (4, quota.clone(), true, 30, true),
        (4, quota.clone(), true, 300, false),
        (6, quota, true, 30, false),
    ] {
        let mut world = World::at(4);
        world.write(4, 6);
        let written = world.now;
        let target = TargetState { ready, stuck, ..state(6, false) };
        world.target = TargetReading::Known { target };
        world.choose(nothing());
        world.propose(&scale_to(9));
        world.needed_now = backed.then_some(9);
        world.now = written.plus(secs(after));
        let verdict = if backed { world.propose_backed(9) } else { world.propose(&scale_to(9)) };
        let held = verdict.decided_by == Some(GuardName::Convergence);
        assert_eq!(held, holds, "{ready} {backed} {after}: {}", why(&verdict, GuardName::Convergence));
        let told = why(&World::lowering().propose(&scale_to(7)), GuardName::Convergence).to_owned();
        assert_eq!(told, "applies to raising only");
    }
}

#[test]
fn pods_missing_long_before_a_raise_do_not_hold_the_next_one() {
    let mut world = World::at(6);
    let limping =
        |replicas: u32, ready: u32| TargetReading::Known { target: TargetState { ready, ..state(replicas, false) } };
    world.target = limping(6, 5);
    world.choose(nothing());
    world.pass(600);
    world.choose(nothing());
    world.needed_now = Some(20);
    world.write(6, 12);
    world.target = limping(12, 5);
    let verdict = world.propose_backed(20);
    assert!(why(&verdict, GuardName::Convergence).ends_with("starting, but arrivals need more"), "{verdict:?}");
    // A second raise soon after does not restart the wait.
    world.write(12, 14);
    world.target = limping(14, 5);
    world.pass(180);
    let verdict = world.propose_backed(20);
    let told = why(&verdict, GuardName::Convergence);
    assert!(told.contains("none has become ready for 195 s"), "{told}");
}

#[test]
fn pods_that_come_one_by_one_are_no_reason_to_hold_what_arrivals_need() {
    let mut world = World::at(4);
    world.write(4, 14);
    world.needed_now = Some(20);
    for step in 0..8_u32 {
        let target = TargetState { ready: 4 + step, ..state(14, false) };
        world.target = TargetReading::Known { target };
        let verdict = world.propose_backed(20);
        let told = why(&verdict, GuardName::Convergence);
        assert!(told.ends_with("starting, but arrivals need more"), "{step}: {told}");
        world.pass(15);
    }
}

#[test]
fn actions_on_other_knobs_meet_the_guards_that_concern_them() {
    let mut world = World::at(4);
    let verdict = world.propose(&Action::Restart);
    assert_eq!(sum(&verdict), (VerdictKind::Pass, None, None));
    for guard in [GuardName::StepLimit, GuardName::Bounds, GuardName::ForecastFloor, GuardName::Stabilisation] {
        assert_eq!(why(&verdict, guard), "not about replicas");
    }
    let change = ChangeSet { knob: Knob::Pods, class: ActionClass::Rollout, ..world.change(0, 1) };
    world.memory.write_ended(&ended(&change, &WriteOutcome::Applied, world.now));
    assert_eq!(world.propose(&Action::Restart).decided_by, Some(GuardName::Cooldown));
}

#[test]
fn asking_for_what_runs_passes_and_moves_nothing() {
    assert_eq!(sum(&World::at(4).propose(&scale_to(4))), (VerdictKind::Pass, None, Some(4)));
}
