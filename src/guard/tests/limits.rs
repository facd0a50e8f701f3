//! How far, and how often: steps, bounds, forecast floor, budgets.

use super::*;

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
fn the_last_write_of_ten_minutes_is_kept_for_what_a_surge_has_become() {
    // (writes before, seconds since the last raise, seconds since the last lowering, holds)
    for (writes, raised, lowered, holds) in
        [(2, 16, None, false), (3, 16, None, true), (3, 59, None, true), (3, 60, None, false), (2, 61, Some(1), false)]
    {
        let mut world = World::at(2);
        for step in 0..writes {
            world.pass(120);
            world.write(2 + step, 3 + step);
        }
        world.pass(raised);
        if let Some(lowered) = lowered {
            world.write(2 + writes, 1 + writes);
            world.pass(lowered);
        }
        world.needed_now = Some(8);
        let expected = holds.then_some(GuardName::Budget);
        assert_eq!(world.propose_backed(8).decided_by, expected, "{writes} {raised} {lowered:?}");
    }
    let mut one = World::at(2);
    one.spec.budgets.per_10_min = 1;
    one.needed_now = Some(4);
    assert_eq!(one.propose_backed(4).kind, VerdictKind::Pass, "the only one waits for nothing");
}

#[test]
fn a_lowering_that_the_fleet_refused_is_asked_for_again_after_a_minute_and_a_raise_at_once() {
    let mut world = World::at(10);
    (world.needed_now, world.floor) = (Some(5), Some(3));
    world.pass(400);
    let change = world.change(10, 7);
    let refused = WriteOutcome::Refused(Refusal::Budget { reason: "10 % are gone".to_owned() });
    world.memory.write_started(&change, world.now);
    world.memory.write_ended(&ended(&change, &refused, world.now));
    world.pass(15);
    let verdict = world.propose(&scale_to(7));
    assert_eq!(
        why(&verdict, GuardName::Budget),
        "refused 15 s ago; next attempt 60 s after the refusal: 10 % are gone"
    );
    assert_eq!(verdict.kind, VerdictKind::Hold);
    world.needed_now = Some(12);
    assert_ne!(world.propose_backed(12).decided_by, Some(GuardName::Budget));
    world.needed_now = Some(5);
    world.pass(45);
    assert_ne!(world.propose(&scale_to(7)).decided_by, Some(GuardName::Budget));
}
