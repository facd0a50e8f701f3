//! Budgets of namespaces and the fleet.

use super::*;

fn write(world: &World, namespace: &str, from: u32, to: u32) -> ChangeSet {
    let mut change = world.change(from, to);
    namespace.clone_into(&mut change.target.namespace);
    change
}

#[test]
fn a_namespace_and_the_fleet_have_a_limit_per_minute() {
    let (world, mut budget) = (World::at(4), FleetBudget::default());
    for _ in 0..20 {
        budget.charge(&write(&world, "a", 4, 5), 1000, world.now).unwrap();
    }
    let namespace = budget.charge(&write(&world, "a", 4, 5), 1000, world.now).unwrap_err();
    assert_eq!(namespace, "namespace a used 20 of 20 allowed writes in the last minute");
    for index in 0..40 {
        budget.charge(&write(&world, if index % 2 == 0 { "b" } else { "c" }, 4, 5), 1000, world.now).unwrap();
    }
    let fleet = budget.charge(&write(&world, "d", 4, 5), 1000, world.now).unwrap_err();
    assert_eq!(fleet, "the fleet used 60 of 60 allowed writes in the last minute");
    assert!(budget.charge(&write(&world, "a", 4, 5), 1000, world.now.plus(secs(60))).is_ok());
}

#[test]
fn at_most_a_tenth_of_the_fleet_goes_in_ten_minutes() {
    let (world, mut budget) = (World::at(4), FleetBudget::default());
    budget.charge(&write(&world, "a", 10, 7), 100, world.now).unwrap();
    budget.charge(&write(&world, "a", 10, 3), 100, world.now).unwrap();
    let refused = budget.charge(&write(&world, "b", 4, 3), 100, world.now).unwrap_err();
    let expected = "10 of 100 replicas were removed in the last 10 minutes, 1 more would exceed 10 %";
    assert_eq!(refused, expected);
    assert!(budget.charge(&write(&world, "b", 4, 8), 100, world.now).is_ok(), "a raise is not a removal");
    assert!(budget.charge(&write(&world, "b", 4, 3), 100, world.now.plus(secs(600))).is_ok());
}

#[test]
fn inv_04_lowerings_leave_half_of_each_budget_to_raises() {
    let (world, mut budget) = (World::at(4), FleetBudget::default());
    let total = 1_000_000;
    let mut charge = |namespace: &str, from, to| budget.charge(&write(&world, namespace, from, to), total, world.now);
    for _ in 0..10 {
        charge("a", 5, 4).unwrap();
    }
    let refused = charge("a", 5, 4).unwrap_err();
    assert_eq!(refused, "namespace a used 10 of 10 allowed lowerings in the last minute");
    for _ in 0..10 {
        charge("a", 4, 5).unwrap();
    }
    assert!(charge("a", 4, 5).unwrap_err().starts_with("namespace a used 20 of 20"));
    for namespace in ["b", "c"] {
        for _ in 0..10 {
            charge(namespace, 5, 4).unwrap();
        }
    }
    let refused = charge("d", 5, 4).unwrap_err();
    assert_eq!(refused, "the fleet used 30 of 30 allowed lowerings in the last minute");
    assert!(charge("d", 4, 5).is_ok(), "what saves money does not stand in the way of a raise");
}

#[test]
fn inv_04_what_the_api_server_declined_is_given_back_to_its_neighbours() {
    let (world, mut budget) = (World::at(4), FleetBudget::default());
    for number in 0..100 {
        let mut change = write(&world, "a", 10, 3);
        change.id = crate::model::ChangeId::derive("uid", crate::model::Knob::Replicas, &change.decision, number, 3);
        budget.charge(&change, 50, world.now).unwrap();
        budget.refund(&change);
    }
    let busy = Refusal::Unavailable { reason: String::new(), reach: Reach::Sent, retry_after: secs(0) };
    let declined = intent(&world, 10, 5, Some((world.now.wall, WriteOutcome::Refused(busy))));
    let mut budget = FleetBudget::restore(FleetLimits::default(), &[declined], world.now);
    assert!(budget.charge(&world.change(10, 9), 50, world.now).is_ok());
}

#[test]
fn what_is_only_asked_for_costs_nothing() {
    let (world, mut budget) = (World::at(4), FleetBudget::default());
    let lowering = write(&world, "a", 10, 3);
    for _ in 0..100 {
        budget.affords(&lowering, 50, world.now).unwrap();
    }
    budget.charge(&lowering, 50, world.now).unwrap();
    assert!(budget.affords(&lowering, 50, world.now).is_err());
    assert!(budget.affords(&lowering, 50, world.now.plus(secs(600))).is_ok());
}

#[test]
fn a_small_fleet_may_lower_one_service_at_a_time() {
    let (world, mut budget) = (World::at(4), FleetBudget::default());
    assert!(budget.charge(&write(&world, "a", 10, 7), 20, world.now).is_ok());
    assert!(budget.charge(&write(&world, "a", 10, 7), 20, world.now).is_err());
}

#[test]
fn what_the_journal_holds_stays_spent() {
    let world = World::at(4);
    let mut spent = intent(&world, 10, 5, Some((world.now.wall, WriteOutcome::Applied)));
    let mut budget = FleetBudget::restore(FleetLimits::default(), &[spent.clone()], world.now);
    assert!(budget.charge(&world.change(10, 9), 50, world.now).is_err());
    spent.ended =
        Some((world.now.wall, WriteOutcome::Rejected { reason: "made another value".to_owned(), did_nothing: false }));
    let mut budget = FleetBudget::restore(FleetLimits::default(), &[spent.clone()], world.now);
    assert!(budget.charge(&world.change(10, 9), 50, world.now).is_err(), "the API server did something");
    let reason = "found 10, expected 5".to_owned();
    spent.ended = Some((world.now.wall, WriteOutcome::Abandoned { reason, trace: WriteTrace::Nothing }));
    let mut budget = FleetBudget::restore(FleetLimits::default(), &[spent.clone()], world.now);
    assert!(budget.charge(&world.change(10, 9), 50, world.now).is_ok(), "it did nothing");
    spent.ended = Some((world.now.wall, WriteOutcome::Expired));
    let mut budget = FleetBudget::restore(FleetLimits::default(), &[spent], world.now);
    assert!(budget.charge(&world.change(10, 9), 50, world.now).is_ok());
}
