//! When: confirmation, cooldown, stabilisation.

use super::*;

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

/// Ten run, the arrivals need five, and nothing is proposed for as long as a lowering has to wait.
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
    /// What holds a lowering while it is remembered.
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
        assert_eq!(why(&verdict, GuardName::Stabilisation), "observed without a gap for 0 of 300 s");
    }
}
