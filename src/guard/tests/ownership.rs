//! Others who change the target.

use super::*;

#[test]
fn a_target_switched_off_stays_off() {
    let mut world = World::at(0);
    world.needed_now = Some(3);
    assert_eq!(sum(&world.propose_backed(3)), (VerdictKind::Hold, Some(GuardName::Ownership), None));
}

#[test]
fn a_long_stand_down_outlasts_a_restart() {
    let mut world = World::at(4);
    world.spec.guards.human_hold = secs(12 * 3600);
    let revert = |ago: i64| {
        let at = Timestamp::from_second(world.now.wall.as_second() - ago).unwrap();
        let reverted = Some(Revert { at, from: 6, to: 4, by: Some("helm".into()) });
        Intent { reverted, ..intent(&world, 4, 6, Some((at, WriteOutcome::Applied))) }
    };
    let intents = [revert(3 * 3600 + 600), revert(3 * 3600)];
    world.memory = Memory::restore(&intents, world.now);
    world.needed_now = Some(6);
    let verdict = world.propose_backed(6);
    assert!(why(&verdict, GuardName::Ownership).contains("by helm: Deployment"), "{verdict:?}");
}

#[test]
fn a_foreign_edit_voids_one_decision() {
    let mut world = World::at(4);
    world.needed_now = Some(9);
    world.choose(nothing());
    world.set_replicas(5);
    let verdict = world.propose_backed(9);
    assert_eq!(verdict.decided_by, Some(GuardName::Ownership));
    assert_eq!(world.propose_backed(9).kind, VerdictKind::Pass);
}

#[test]
fn our_own_write_is_no_foreign_edit() {
    let mut world = World::at(4);
    world.choose(nothing());
    let change = world.change(4, 6);
    world.memory.write_started(&change, world.now);
    world.set_replicas(6);
    world.choose(nothing());
    world.memory.write_ended(&ended(&change, &WriteOutcome::Applied, world.now));
    world.pass(20);
    world.needed_now = Some(9);
    assert_eq!(world.propose_backed(9).kind, VerdictKind::Pass);
}

#[test]
fn two_reverts_within_an_hour_make_it_stand_down() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    for _ in 0..2 {
        world.choose(nothing());
        world.write(4, 6);
        world.choose(nothing());
        world.target = TargetReading::Known { target: owned(4, "kubectl-edit") };
    }
    let verdict = world.propose_backed(6);
    assert_eq!(verdict.decided_by, Some(GuardName::Ownership));
    let told = why(&verdict, GuardName::Ownership);
    assert!(told.contains("last 6 to 4 by kubectl-edit: Deployment shop/checkout has another owner"), "{told}");
    world.pass(1700);
    assert_eq!(world.propose_backed(6).decided_by, Some(GuardName::Ownership));
    world.pass(100);
    assert_eq!(world.propose_backed(6).kind, VerdictKind::Pass);
}

#[test]
fn a_foreign_edit_names_who_made_it() {
    for (target, expected) in [
        (owned(3, "helm"), "Deployment shop/checkout was changed from 4 to 3 by helm; deciding again next cycle"),
        (
            state(3, false),
            "Deployment shop/checkout was changed from 4 to 3 by an unknown field manager; deciding again next cycle",
        ),
    ] {
        let mut world = World::at(4);
        world.choose(nothing());
        world.target = TargetReading::Known { target };
        world.needed_now = Some(6);
        assert_eq!(why(&world.propose_backed(6), GuardName::Ownership), expected);
    }
}

#[test]
fn reverts_of_an_earlier_run_still_count() {
    let revert = |world: &World, ago: i64| {
        let at = Timestamp::from_second(world.now.wall.as_second() - ago).unwrap();
        let reverted = Some(Revert { at, from: 6, to: 4, by: Some("helm".into()) });
        Intent { reverted, ..intent(world, 4, 6, Some((at, WriteOutcome::Applied))) }
    };
    // (seconds since each revert before the restart, stands down at once, stands down after one more in this run)
    for (before, at_once, after_one_more) in [
        (vec![], false, false),
        (vec![600], false, true),
        (vec![3500], false, true),
        (vec![3600], false, false),
        (vec![900, 600], true, true),
        (vec![2400, 1900], false, false),
    ] {
        let mut world = World::at(4);
        let intents: Vec<Intent> = before.iter().map(|ago| revert(&world, *ago)).collect();
        world.memory = Memory::restore(&intents, world.now);
        world.needed_now = Some(6);
        let stands_down = |verdict: &Verdict| why(verdict, GuardName::Ownership).contains("by helm: Deployment");
        assert_eq!(stands_down(&world.propose_backed(6)), at_once, "{before:?}");
        world.write(4, 6);
        world.choose(nothing());
        world.target = TargetReading::Known { target: owned(4, "helm") };
        let met = world.propose_backed(6);
        let again = world.propose_backed(6);
        assert_eq!(met.decided_by, Some(GuardName::Ownership));
        assert_eq!(stands_down(&again), after_one_more, "{before:?}: {:?}", again.findings);
    }
}

#[test]
fn a_write_that_never_shows_counts_as_reverted() {
    let mut world = World::at(4);
    for _ in 0..2 {
        world.choose(nothing());
        world.write(4, 6);
        world.target = TargetReading::Known { target: TargetState { seen_to: Some(2), ..state(4, false) } };
        world.choose(nothing());
    }
    world.needed_now = Some(6);
    let verdict = world.propose_backed(6);
    assert!(why(&verdict, GuardName::Ownership).contains("standing down"), "{verdict:?}");
}

/// A dead connection is noticed after a minute; until then the view counts as current, and shows the old state.
#[test]
fn inv_20_a_view_that_stands_still_is_no_revert() {
    for (seen_to, met) in [(Some(1), false), (None, false), (Some(2), true)] {
        let mut world = World::at(4);
        world.choose(nothing());
        world.write(4, 6);
        world.target = TargetReading::Known { target: TargetState { seen_to, ..state(4, false) } };
        let reverted = (0..8).any(|_| {
            world.choose(nothing());
            world.memory.reverted().is_some()
        });
        assert_eq!(reverted, met, "{seen_to:?}");
    }
}

#[test]
fn an_edit_in_the_same_direction_is_no_revert() {
    let mut world = World::at(4);
    for (from, to, edited) in [(4, 6, 8), (8, 10, 12), (12, 14, 16)] {
        world.choose(nothing());
        world.write(from, to);
        world.choose(nothing());
        world.set_replicas(edited);
        world.choose(nothing());
    }
    world.needed_now = Some(18);
    world.pass(600);
    assert_eq!(world.propose_backed(18).kind, VerdictKind::Pass);
}

#[test]
fn a_revert_that_no_watch_showed_counts_when_the_next_write_starts_from_it() {
    let mut world = World::at(4);
    (world.needed_now, world.spec.guards.backed_raise_cooldown) = (Some(6), secs(15));
    for _ in 0..2 {
        world.choose(nothing());
        world.write(4, 6);
        // Reverted before the watch has shown the 6: it shows 4 as before.
        world.set_replicas(4);
    }
    world.choose(nothing());
    assert_eq!(world.memory.reverted().map(|(_, revert)| (revert.from, revert.to)), Some((6, 4)));
    assert_ne!(world.propose_backed(6).decided_by, Some(GuardName::Ownership), "one revert is no stand-down");
    world.write(4, 6);
    world.set_replicas(4);
    let verdict = world.propose_backed(6);
    assert_eq!(verdict.decided_by, Some(GuardName::Ownership), "{:?}", verdict.findings);
}

/// Whoever repeatedly sets the replicas owns them, regardless of writes in between.
#[test]
fn inv_20_every_edit_against_the_latest_write_counts() {
    let mut world = World::at(4);
    world.needed_now = Some(8);
    world.choose(nothing());
    world.write(4, 8);
    world.choose(nothing());
    for (edited, is_over, is_news) in [(12, false, false), (4, false, true), (6, true, false)] {
        world.target = TargetReading::Known { target: owned(edited, "kubectl") };
        let verdict = world.choose(nothing());
        assert_eq!(verdict.kind, VerdictKind::Idle);
        let target = &world.target;
        assert!(world.memory.foreign_edit(&world.spec, target).unwrap().ends_with(&format!("to {edited} by kubectl")));
        assert_eq!(world.memory.stood_down(&world.spec, target, world.now).is_some(), is_over, "{edited}");
        assert_eq!(world.memory.reverted().is_some(), is_news, "one write is reverted once: {edited}");
    }
    let verdict = world.propose_backed(8);
    assert!(why(&verdict, GuardName::Ownership).contains("last 4 to 6 by kubectl"), "{verdict:?}");
    let told = world.memory.stood_down(&world.spec, &world.target, world.now).unwrap();
    world.pass(600);
    let later = world.memory.stood_down(&world.spec, &world.target, world.now).unwrap();
    assert_eq!(told, later, "a status is not written anew for each second of it");
    world.pass(1300);
    assert_eq!(world.memory.stood_down(&world.spec, &world.target, world.now), None);
}

/// Setting the replicas back to a previously written value is an edit as well.
#[test]
fn an_edit_to_what_was_written_is_an_edit() {
    let mut world = World::at(4);
    world.choose(nothing());
    world.write(4, 8);
    world.choose(nothing());
    for edited in [12, 8] {
        world.set_replicas(edited);
        world.choose(nothing());
        assert!(world.memory.foreign_edit(&world.spec, &world.target).is_some(), "{edited}");
    }
}

/// An autoscaler was created while flyball was away or earlier, scaled, and was deleted: nobody reverted flyball.
#[test]
fn what_the_first_look_of_a_run_finds_voids_one_decision_and_counts_for_nothing() {
    let mut world = World::at(2);
    let at = |ago: i64| Timestamp::from_second(world.now.wall.as_second() - ago).unwrap();
    let reverted = Some(Revert { at: at(1800), from: 6, to: 4, by: Some("kubectl".into()) });
    let by_a_person = Intent { reverted, ..intent(&world, 4, 6, Some((at(1900), WriteOutcome::Applied))) };
    let ours = intent(&world, 4, 8, Some((at(1200), WriteOutcome::Applied)));
    world.memory = Memory::restore(&[by_a_person, ours], world.now);
    world.needed_now = Some(8);
    world.choose(nothing());
    assert!(world.memory.foreign_edit(&world.spec, &world.target).is_some());
    assert_eq!(world.memory.reverted(), None);
    assert_eq!(world.memory.stood_down(&world.spec, &world.target, world.now), None);
    assert_eq!(world.propose_backed(8).kind, VerdictKind::Pass);
}

/// What was done to one lever does not apply to another.
#[test]
fn a_stand_down_ends_with_the_object_it_is_about() {
    let mut world = World::at(4);
    world.needed_now = Some(6);
    for _ in 0..2 {
        world.choose(nothing());
        world.write(4, 6);
        world.choose(nothing());
        world.set_replicas(4);
    }
    assert!(why(&world.propose_backed(6), GuardName::Ownership).contains("standing down"));
    let anew = TargetState { uid: "another".to_owned(), ..state(4, false) };
    world.target = TargetReading::Known { target: anew };
    world.pass(600);
    assert_eq!(world.propose_backed(6).kind, VerdictKind::Pass);
}

/// The follower restored a raise, and sees the leader lower in two steps.
#[test]
fn a_follower_takes_no_write_of_the_leader_for_an_edit_against_its_own() {
    let mut world = World::at(8);
    let at = Timestamp::from_second(world.now.wall.as_second() - 600).unwrap();
    world.memory = Memory::restore(&[intent(&world, 4, 8, Some((at, WriteOutcome::Applied)))], world.now);
    world.lead = crate::model::Lead::Follows { holder: Some("flyball-1".to_owned()) };
    for replicas in [8, 6, 5, 4] {
        world.set_replicas(replicas);
        world.choose(nothing());
    }
    assert_eq!(world.memory.stood_down(&world.spec, &world.target, world.now), None);
}
