//! An autoscaler on the target: flyball moves its floor within its bounds, and anyone else who sets the floor wins.

use super::*;
use crate::model::{Autoscaler, FloorOf};

/// Returns a target of `replicas` whose autoscaler has `floor`, originally 2, and a ceiling of 12.
fn scaled(replicas: u32, floor: u32, owner: &str) -> TargetState {
    let autoscaler = Autoscaler {
        name: "front".into(),
        uid: "hpa".to_owned(),
        floor,
        baseline: 2,
        ceiling: 12,
        current: replicas,
        desired: replicas,
        owner: Some(owner.into()),
        trouble: None,
    };
    TargetState { autoscaling: Autoscaling::Autoscaler(autoscaler), ..state(replicas, false) }
}

fn autoscaler(world: &mut World) -> &mut Autoscaler {
    match &mut world.target {
        TargetReading::Known { target: TargetState { autoscaling: Autoscaling::Autoscaler(one), .. } } => one,
        other => panic!("{other:?}"),
    }
}

/// Returns a world in which everything but the floor permits a lowering.
fn lowering(replicas: u32, floor: u32) -> World {
    let mut world = World::lowering();
    world.spec.allow_lowering = false;
    world.target = TargetReading::Known { target: scaled(replicas, floor, "flyball") };
    world
}

fn floor_change(world: &World, from: u32, to: u32) -> ChangeSet {
    let floor = FloorOf { autoscaler: "front".into(), baseline: 2 };
    ChangeSet { knob: Knob::AutoscalerFloor, floor: Some(floor), uid: "hpa".to_owned(), ..world.change(from, to) }
}

#[test]
fn x2_a_raise_starts_from_what_runs_and_ends_at_the_ceiling() {
    for (wanted, permitted) in [(7, Some(7)), (30, Some(12))] {
        let mut world = World::at(6);
        world.target = TargetReading::Known { target: scaled(6, 2, "somebody") };
        world.needed_now = Some(wanted);
        let verdict = world.propose_backed(wanted);
        assert_eq!((verdict.kind.permits(), verdict.permitted), (true, permitted), "{verdict:?}");
    }
    let mut full = World::at(12);
    full.target = TargetReading::Known { target: scaled(12, 2, "somebody") };
    full.needed_now = Some(20);
    let verdict = full.propose_backed(20);
    assert_eq!(sum(&verdict), (VerdictKind::Hold, Some(GuardName::Bounds), None));
    assert!(why(&verdict, GuardName::Bounds).contains("HPA front permits 2 to 12"), "{verdict:?}");
}

#[test]
fn x2_a_lowering_moves_the_floor_at_most_to_where_it_was() {
    // The autoscaler runs 9 on its own: our floor is not in the way.
    let above = lowering(9, 2).propose(&scale_to(5));
    assert_eq!(above.permitted, Some(5), "and nothing is turned");
    // Our floor is: it goes down a step, without `allow_lowering`, because an autoscaler scales the target.
    let mut world = lowering(8, 8);
    (world.floor, world.needed_now) = (Some(1), Some(1));
    let verdict = world.propose(&scale_to(1));
    assert!(verdict.kind.permits() && verdict.permitted.is_some_and(|to| (2..8).contains(&to)), "{verdict:?}");
    let mut world = lowering(2, 2);
    (world.spec.bounds.min, world.floor, world.needed_now) = (1, Some(1), Some(1));
    let verdict = world.propose(&scale_to(1));
    assert_eq!(verdict.permitted, None, "the floor is where flyball found it: {verdict:?}");
    assert!(why(&verdict, GuardName::Bounds).contains("no permitted replica count remains"), "{verdict:?}");
}

#[test]
fn x2_a_floor_is_not_lowered_while_the_autoscaler_does_not_scale() {
    let mut world = lowering(8, 8);
    autoscaler(&mut world).trouble = Some("FailedGetResourceMetric: no metrics".to_owned());
    let verdict = world.propose(&scale_to(6));
    assert_eq!((verdict.kind, verdict.decided_by), (VerdictKind::Reject, Some(GuardName::Mode)));
    assert!(why(&verdict, GuardName::Mode).contains("FailedGetResourceMetric"), "{verdict:?}");
    // The floor applies without metrics: a raise passes.
    let mut world = World::at(4);
    world.target = TargetReading::Known { target: scaled(4, 2, "somebody") };
    autoscaler(&mut world).trouble = Some("FailedGetResourceMetric: no metrics".to_owned());
    world.needed_now = Some(6);
    assert_eq!(world.propose_backed(6).permitted, Some(6));
}

#[test]
fn x2_what_leaves_no_lever_is_named_and_held() {
    let mut world = World::at(4);
    let closed = Autoscaling::Closed { why: "HPAs a, b scale it concurrently".to_owned() };
    world.target = TargetReading::Known { target: TargetState { autoscaling: closed, ..state(4, false) } };
    world.needed_now = Some(6);
    let verdict = world.propose_backed(6);
    assert_eq!(sum(&verdict), (VerdictKind::Hold, Some(GuardName::Ownership), None));
    assert!(why(&verdict, GuardName::Ownership).contains("HPAs a, b scale it concurrently"), "{verdict:?}");
}

#[test]
fn x1_a_foreign_edit_of_the_floor_is_yielded_to_and_the_autoscalers_own_doing_is_none() {
    let mut world = World::at(4);
    let show = |world: &mut World, replicas, floor, owner: &str| {
        world.target = TargetReading::Known { target: scaled(replicas, floor, owner) };
        world.needed_now = Some(10);
        let verdict = world.propose_backed(10);
        (verdict.decided_by == Some(GuardName::Ownership), why(&verdict, GuardName::Ownership).to_owned())
    };
    assert!(!show(&mut world, 4, 2, "somebody").0);
    assert!(!show(&mut world, 7, 2, "somebody").0, "the autoscaler moved the replicas");
    let (held, why) = show(&mut world, 7, 3, "kubectl-edit");
    assert!(held && why.contains("the floor of HPA front") && why.contains("3 by kubectl-edit"), "{why}");
    assert!(!show(&mut world, 7, 3, "kubectl-edit").0);
    // Somebody reverts our writes twice in an hour.
    for _ in 0..2 {
        let change = floor_change(&world, 3, 8);
        world.memory.write_started(&change, world.now);
        world.memory.write_ended(&ended(&change, &WriteOutcome::Applied, world.now));
        assert!(!show(&mut world, 8, 8, "flyball").0);
        assert!(show(&mut world, 8, 3, "argocd").0);
    }
    let (held, why) = show(&mut world, 8, 3, "argocd");
    assert!(held && why.contains("standing down") && why.contains("argocd"), "{why}");
}

#[test]
fn an_autoscaler_that_comes_or_goes_is_no_edit_of_what_stood_there_before() {
    let mut world = World::at(4);
    let change = world.write(4, 6);
    assert_eq!(change.knob, Knob::Replicas);
    for target in [scaled(3, 2, "somebody"), state(5, false), scaled(5, 2, "somebody")] {
        world.target = TargetReading::Known { target };
        world.needed_now = Some(10);
        let verdict = world.propose_backed(10);
        assert_ne!(verdict.decided_by, Some(GuardName::Ownership), "{verdict:?}");
        assert_eq!(world.memory.reverted(), None);
    }
}

#[test]
fn a_cooldown_holds_for_both_levers() {
    let mut world = World::at(4);
    world.write(4, 6);
    world.target = TargetReading::Known { target: scaled(6, 2, "somebody") };
    let verdict = world.propose(&scale_to(8));
    assert!(why(&verdict, GuardName::Cooldown).contains("cooldown"), "{verdict:?}");
}
