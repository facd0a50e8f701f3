//! Tables: each guard alone decides one cycle that is otherwise in order.

mod autoscaler;
mod fleet;
mod memory;
mod ownership;
mod policy_limit;
mod world;

use super::*;
use crate::model::change::Refusal;
use crate::model::kill::KillOrder;
use crate::model::{
    Action, ActionClass, Autoscaling, Bounds, Budgets, Capacity, CapacitySpec, ChangeId, ChangeSet, Choice, CycleId,
    DecisionId, Features, Finite, GuardParams, Intent, KillState, Knob, Missing, Mode, Now, Outlook, Proposal, Reading,
    Revert, Role, Sample, ServiceSpec, SignalFeatures, SignalName, SignalSpec, Slo, Stuck, TargetKind, TargetReading,
    TargetRef, TargetState, Timestamp, TraceId, UNDO, Unit, WriteOutcome,
};
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
        (KillState::Readable { order: class }, true),
        (KillState::Readable { order: other }, false),
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
    world.memory.write_ended(&change, &WriteOutcome::Refused(Refusal::Busy), world.now);
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
        assert_eq!(told, "concerns raising only");
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
    assert!(why(&verdict, GuardName::Convergence).ends_with("on their way, and arrivals need more"), "{verdict:?}");
    // A second raise soon after does not begin the wait once more.
    world.write(12, 14);
    world.target = limping(14, 5);
    world.pass(180);
    let verdict = world.propose_backed(20);
    let told = why(&verdict, GuardName::Convergence);
    assert!(told.contains("none has come for 195 s"), "{told}");
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
        assert!(told.ends_with("on their way, and arrivals need more"), "{step}: {told}");
        world.pass(15);
    }
}

#[test]
fn a_raise_needs_a_second_sample() {
    let mut world = World::at(4);
    let first = world.propose(&scale_to(6));
    assert_eq!(sum(&first), (VerdictKind::Hold, Some(GuardName::Confirmation), None));
    assert_eq!(world.propose(&scale_to(6)).kind, VerdictKind::Pass);
    world.choose(nothing());
    assert_eq!(world.propose(&scale_to(6)).decided_by, Some(GuardName::Confirmation), "the wish was interrupted");
    world.needed_now = Some(6);
    let mut backed = World::at(4);
    backed.needed_now = Some(6);
    assert_eq!(backed.propose_backed(6).kind, VerdictKind::Pass, "the arrival rate is confirmed by observe");
}

#[test]
fn an_undo_meets_every_guard_and_waits_for_no_second_sample_nor_the_hourly_budget() {
    let undo = |world: &World| Choice::Undo {
        of: world.change(10, 7).decision,
        trace: world.change(10, 7).trace,
        action: scale_to(10),
        why: "latency 900 ms".into(),
    };
    let mut world = World::at(7);
    let choice = undo(&world);
    let verdict = world.choose(choice.clone());
    assert_eq!(sum(&verdict), (VerdictKind::Pass, None, Some(10)));
    assert_eq!(verdict.findings.len(), chain().len());
    world.kill = KillState::Unreadable { error: "gone".to_owned() };
    assert_eq!(world.choose(choice.clone()).decided_by, Some(GuardName::KillSwitch));
    let mut busy = World::at(2);
    for step in 0..12 {
        busy.write(2 + step, 3 + step);
        busy.pass(240);
    }
    busy.pass(120);
    busy.propose(&scale_to(16));
    assert_eq!(busy.propose(&scale_to(16)).decided_by, Some(GuardName::Budget));
    let choice = Choice::Undo {
        of: busy.change(14, 16).decision,
        trace: busy.change(14, 16).trace,
        action: scale_to(16),
        why: "".into(),
    };
    assert_eq!(busy.choose(choice).kind, VerdictKind::Pass, "what hurt is taken back");
}

#[test]
fn cooldown() {
    // (last write, next count, backed, seconds since, holds)
    for (last, next, backed, after, holds) in [
        ((4, 6), 9, true, 14, true),
        ((4, 6), 9, true, 15, false),
        ((4, 6), 9, false, 179, true),
        ((4, 6), 9, false, 180, false),
        ((9, 7), 9, false, 1, false),
        ((9, 7), 5, false, 599, true),
        ((9, 7), 5, false, 600, false),
        ((4, 6), 5, false, 599, true),
        ((4, 6), 5, false, 600, false),
    ] {
        let mut world = World::at(last.0);
        (world.needed_now, world.floor) = (backed.then_some(next), Some(2));
        world.spec.guards.window_gap = secs(3600);
        world.write(last.0, last.1);
        let written = world.now;
        world.now = written.plus(secs(after));
        let verdict = if backed { world.propose_backed(next) } else { world.propose(&scale_to(next)) };
        let found = verdict.findings.iter().find(|found| found.guard == GuardName::Cooldown).unwrap();
        assert_eq!(found.finding == Finding::Hold, holds, "{last:?} {next} {backed} {after}: {}", found.why);
    }
}

#[test]
fn stabilisation_needs_a_full_window_and_keeps_its_peak() {
    let mut world = World::lowering();
    world.propose(&scale_to(9));
    for _ in 0..20 {
        let verdict = world.propose(&scale_to(7));
        assert_eq!(sum(&verdict), (VerdictKind::Clamp, Some(GuardName::Stabilisation), Some(9)));
    }
    assert_eq!(world.propose(&scale_to(7)).permitted, Some(7));
    world.choose(nothing());
    let verdict = world.propose(&scale_to(7));
    assert_eq!(sum(&verdict), (VerdictKind::Hold, Some(GuardName::Stabilisation), None), "10 run, 10 were needed");
}

/// Ten run; the arrivals need five and nothing is proposed for as long as a lowering has to wait.
fn quiet() -> World {
    let mut world = World::at(10);
    (world.needed_now, world.floor) = (Some(5), Some(3));
    for _ in 0..21 {
        world.choose(nothing());
    }
    world
}

#[test]
fn a_lowering_to_what_the_arrivals_need_waits_for_their_needs_alone() {
    /// What holds a lowering, for as long as it is remembered.
    type Past = fn(&mut World);
    assert_eq!(quiet().propose_backed(7).permitted, Some(7));
    let verdict = quiet().propose(&scale_to(7));
    assert_eq!(sum(&verdict), (VerdictKind::Hold, Some(GuardName::Stabilisation), None), "ten ran, and count");

    let needed: Past = |world| {
        world.needed_now = Some(9);
        world.choose(nothing());
        world.needed_now = Some(5);
    };
    let asked: Past = |world| {
        world.propose(&scale_to(12));
    };
    let set: Past = |world| {
        world.set_replicas(12);
        world.choose(nothing());
    };
    let unknown: Past = |world| {
        world.needed_now = None;
        world.choose(nothing());
        world.needed_now = Some(5);
    };
    for (past, expected) in [(needed, Some(9)), (asked, None), (set, None), (unknown, None)] {
        let mut world = quiet();
        past(&mut world);
        for _ in 0..19 {
            assert_eq!(world.propose_backed(7).permitted, expected);
        }
        world.choose(nothing());
        world.choose(nothing());
        assert!(world.propose_backed(8).permitted.is_some_and(|permitted| permitted <= 9));
    }
}

#[test]
fn a_gap_empties_the_window() {
    let gaps: [fn(&mut World); 3] = [
        |world| world.pass(91),
        |world| {
            world.readings = vec![None, Some(0.1)];
            world.propose(&scale_to(7));
            world.readings = vec![Some(300.0), Some(0.1)];
        },
        |world| {
            let target = world.target.clone();
            world.target = TargetReading::Unknown { reason: "watch lost".to_owned() };
            world.propose(&scale_to(7));
            world.target = target;
        },
    ];
    for (gap, backed) in gaps.into_iter().flat_map(|gap| [(gap, false), (gap, true)]) {
        let mut world = World::lowering();
        gap(&mut world);
        let verdict = if backed { world.propose_backed(7) } else { world.propose(&scale_to(7)) };
        assert_eq!(verdict.decided_by, Some(GuardName::Stabilisation), "{:?}", verdict.findings);
        assert_eq!(why(&verdict, GuardName::Stabilisation), "seen without a gap for 0 s of 300 s");
    }
}

#[test]
fn step_limit() {
    // (from, wanted, needed now, suspect, permitted)
    for (from, wanted, needed, suspect, expected) in [
        (10, 40, None, false, 20),
        (3, 40, None, false, 7),
        (3, 40, None, true, 6),
        (10, 40, Some(35), false, 35),
        (5, 40, Some(35), false, 20),
        (5, 12, Some(6), false, 10),
        (5, 40, Some(35), true, 10),
        (5, 6, Some(6), false, 6),
    ] {
        let mut world = World::at(from);
        (world.needed_now, world.suspect) = (needed, suspect);
        world.propose_backed(wanted);
        let verdict = world.propose_backed(wanted);
        assert_eq!(verdict.permitted, Some(expected), "{from} {wanted} {needed:?} {suspect}: {:?}", verdict.findings);
    }
}

#[test]
fn a_lowering_takes_at_most_thirty_percent_and_at_least_one() {
    for (from, expected) in [(10, 7), (4, 3), (3, 2), (20, 14), (33, 24)] {
        let mut world = World::at(from);
        (world.needed_now, world.floor) = (Some(1), Some(1));
        for _ in 0..40 {
            world.propose(&scale_to(1));
        }
        assert_eq!(world.propose(&scale_to(1)).permitted, Some(expected), "{from}");
    }
}

#[test]
fn bounds_clamp_and_never_turn_a_move_round() {
    let mut world = World::at(30);
    world.needed_now = Some(60);
    assert_eq!(sum(&world.propose_backed(60)), (VerdictKind::Clamp, Some(GuardName::Bounds), Some(40)));
    for (from, wanted, needed) in [(50, 60, 60), (40, 50, 50), (1, 3, 3)] {
        let mut world = World::at(from);
        world.needed_now = Some(needed);
        world.spec.bounds = Bounds { min: 20, max: 40 };
        let verdict = world.propose_backed(wanted);
        assert_eq!(sum(&verdict), (VerdictKind::Hold, Some(GuardName::Bounds), None), "{from}");
    }
    let mut zero = World::at(2);
    (zero.spec.bounds, zero.floor) = (Bounds { min: 0, max: 40 }, Some(0));
    for _ in 0..40 {
        zero.propose(&scale_to(0));
    }
    assert_eq!(zero.propose(&scale_to(0)).permitted, Some(1), "never zero, whatever the bounds say");
}

#[test]
fn forecast_floor() {
    for (floor, capacity, kind, permitted) in [
        (Some(3), true, VerdictKind::Pass, Some(7)),
        (Some(9), true, VerdictKind::Clamp, Some(9)),
        (Some(10), true, VerdictKind::Hold, None),
        (Some(u32::MAX), true, VerdictKind::Hold, None),
        (None, true, VerdictKind::Hold, None),
        (None, false, VerdictKind::Pass, Some(7)),
    ] {
        let mut world = World::lowering();
        world.floor = floor;
        if !capacity {
            world.spec.capacity = None;
        }
        let verdict = world.propose(&scale_to(7));
        assert_eq!((verdict.kind, verdict.permitted), (kind, permitted), "{floor:?} {capacity}");
    }
}

#[test]
fn budget() {
    let mut world = World::at(2);
    for step in 0..4 {
        world.write(2 + step, 3 + step);
        world.pass(60);
    }
    world.needed_now = Some(9);
    assert_eq!(world.propose_backed(9).decided_by, Some(GuardName::Budget), "4 in 10 minutes stop every write");

    let mut world = World::at(2);
    for step in 0..12 {
        world.write(2 + step, 3 + step);
        world.pass(240);
    }
    world.pass(120);
    world.propose(&scale_to(16));
    assert_eq!(world.propose(&scale_to(16)).decided_by, Some(GuardName::Budget), "12 in an hour");
    world.needed_now = Some(16);
    assert_eq!(world.propose_backed(16).kind, VerdictKind::Pass, "arrivals need it");
}

#[test]
fn a_lowering_that_the_fleet_refused_is_asked_for_again_after_a_minute_and_a_raise_at_once() {
    let mut world = World::at(10);
    (world.needed_now, world.floor) = (Some(5), Some(3));
    world.pass(400);
    let change = world.change(10, 7);
    let refused = WriteOutcome::Refused(Refusal::Budget { reason: "10 % are gone".to_owned() });
    world.memory.write_started(&change, world.now);
    world.memory.write_ended(&change, &refused, world.now);
    world.pass(15);
    let verdict = world.propose(&scale_to(7));
    assert_eq!(why(&verdict, GuardName::Budget), "refused 15 s ago, asked for again after 60 s: 10 % are gone");
    assert_eq!(verdict.kind, VerdictKind::Hold);
    world.needed_now = Some(12);
    assert_ne!(world.propose_backed(12).decided_by, Some(GuardName::Budget));
    world.needed_now = Some(5);
    world.pass(45);
    assert_ne!(world.propose(&scale_to(7)).decided_by, Some(GuardName::Budget));
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
    world.memory.write_ended(&change, &WriteOutcome::Applied, world.now);
    assert_eq!(world.propose(&Action::Restart).decided_by, Some(GuardName::Cooldown));
}

#[test]
fn asking_for_what_runs_passes_and_moves_nothing() {
    assert_eq!(sum(&World::at(4).propose(&scale_to(4))), (VerdictKind::Pass, None, Some(4)));
}
