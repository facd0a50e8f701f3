//! The shipped policies against the facts they represent.

use super::*;

const CAPACITY: &str = include_str!("../../../deploy/policies/capacity.rhai");
const TRAFFIC: &str = include_str!("../../../deploy/policies/traffic.rhai");

fn shipped() -> PolicySet {
    compile([("traffic.rhai", TRAFFIC), ("capacity.rhai", CAPACITY)], &Vocabulary::of([]).unwrap(), &never())
        .unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn check(name: &str, case: &Case, expected: Option<(&str, Action, bool)>) {
    let proposal = case.decide(&mut Decider::new(), &shipped());
    match (&proposal.choice, expected) {
        (Choice::Act { rule, action, backed_by_arrivals }, Some(wanted)) => {
            assert_eq!((&**rule, action.clone(), *backed_by_arrivals), wanted, "{name}");
        }
        (Choice::Nothing(_), None) => (),
        (choice, wanted) => panic!("{name}: {choice:?}, wanted {wanted:?}"),
    }
}

/// A surge in which every condition of `scale_up` holds: 231 ms ahead, CPU 71 %, requests rising by 34 %.
fn surge() -> Case {
    Case::new().set("p99", 0.1).forecast("p99", 0.231).set("cpu", 0.71).set("rps", 100.0).forecast("rps", 134.0)
}

/// A lull in which every condition of `scale_down` holds.
fn lull() -> Case {
    Case::new().set("cpu", 0.1).set("rps", 100.0).forecast("rps", 70.0).set("cost_optimization", 1.0)
}

#[test]
fn both_files_load_as_one_set_for_any_service() {
    let names: Vec<_> = shipped().rules().map(str::to_owned).collect();
    assert_eq!(names, ["raise_capacity", "lower_capacity", "scale_up", "scale_down"]);
    let proposal = Case::new().decide(&mut Decider::new(), &shipped());
    let Choice::Nothing(reason) = proposal.choice else { panic!() };
    assert_eq!(&*reason.reason, "No policy matched for action");
    assert!(reason.obstacle.is_some());
}

#[test]
fn scale_up_needs_each_of_its_conditions() {
    let acts = Some(("scale_up", Action::ScaleBy { factor: 1.5 }, false));
    let none = None;
    for (name, case, expected) in [
        ("all hold", surge(), acts.clone()),
        ("p99 at the line", surge().forecast("p99", 0.2), none.clone()),
        ("p99 just above", surge().forecast("p99", 0.200_001), acts.clone()),
        ("p99 now high, ahead low", surge().set("p99", 0.5).forecast("p99", 0.1), none.clone()),
        ("cpu at the line", surge().set("cpu", 0.6), none.clone()),
        ("cpu just above", surge().set("cpu", 0.600_001), acts.clone()),
        ("rise at the line", surge().forecast("rps", 120.0), none.clone()),
        ("rise just above", surge().forecast("rps", 120.001), acts.clone()),
        ("at the upper bound", surge().replicas(20), none.clone()),
        ("below the upper bound", surge().replicas(19), acts.clone()),
        ("p99 missing", surge().without("p99"), none.clone()),
        ("cpu missing", surge().without("cpu"), none.clone()),
        ("rps missing", surge().without("rps"), none.clone()),
        ("maintenance does not stop it", surge().set("maintenance", 1.0), acts.clone()),
        ("own bound", surge().parameter("p99_max", 0.25), none.clone()),
        ("own factor", surge().parameter("up_factor", 2.0), Some(("scale_up", Action::ScaleBy { factor: 2.0 }, false))),
        ("factor out of range", surge().parameter("up_factor", 3.0), none),
    ] {
        check(name, &case, expected);
    }
}

#[test]
fn scale_down_needs_each_of_its_conditions() {
    let acts = Some(("scale_down", Action::ScaleBy { factor: 0.7 }, false));
    let none = None;
    for (name, case, expected) in [
        ("all hold", lull(), acts.clone()),
        ("fall at the line", lull().forecast("rps", 85.0), none.clone()),
        ("fall just below", lull().forecast("rps", 84.999), acts.clone()),
        ("cpu at the line", lull().set("cpu", 0.2), none.clone()),
        ("cpu just below", lull().set("cpu", 0.199_999), acts.clone()),
        ("not asked to save", lull().set("cost_optimization", 0.0), none.clone()),
        ("nobody says whether to save", lull().without("cost_optimization"), none.clone()),
        ("at the lower bound", lull().replicas(2), none.clone()),
        ("above the lower bound", lull().replicas(3), acts),
        ("in maintenance", lull().set("maintenance", 1.0), none.clone()),
        ("nobody says whether in maintenance", lull().without("maintenance"), none.clone()),
        ("cpu missing", lull().without("cpu"), none.clone()),
        ("rps missing", lull().without("rps"), none),
    ] {
        check(name, &case, expected);
    }
}

#[test]
fn a_raise_follows_the_arrival_rate_and_an_earned_forecast() {
    let raise = |replicas| Some(("raise_capacity", Action::ScaleTo { replicas }, true));
    let case = Case::new();
    for (name, case, expected) in [
        ("more needed now", case.clone().capacity(Some(7), None, None), raise(7)),
        ("more needed ahead", case.clone().capacity(Some(5), Some(8), Some(8)), raise(8)),
        ("less ahead than now", case.clone().capacity(Some(9), Some(6), Some(9)), raise(9)),
        ("just enough", case.clone().capacity(Some(5), Some(5), Some(5)), None),
        ("at the upper bound", case.clone().capacity(Some(30), None, None).replicas(20), None),
        ("beyond the upper bound is the guards' business", case.clone().capacity(Some(30), None, None), raise(30)),
        ("rate unknown", case.clone().capacity(None, Some(8), None), None),
        ("rate stale", case.clone().capacity(Some(7), Some(8), None).without("rps"), None),
        ("no capacity declared", case, None),
        ("above the factor of scale_up", surge().capacity(Some(6), Some(6), None), raise(6)),
        (
            "scale_up where arrivals ask for nothing",
            surge().capacity(Some(4), Some(4), None),
            Some(("scale_up", Action::ScaleBy { factor: 1.5 }, false)),
        ),
    ] {
        check(name, &case, expected);
    }
}

#[test]
fn a_lower_waits_and_keeps_to_the_floor() {
    let set = shipped();
    let run = |case: &Case| {
        let mut state = Decider::new();
        let mut first = None;
        for seconds in (0..=180).step_by(15) {
            if let Choice::Act { rule, action, .. } = case.clone().at(seconds).decide(&mut state, &set).choice {
                first.get_or_insert((seconds, rule.to_string(), action));
            }
        }
        first
    };
    let lower = |replicas| Some((135, "lower_capacity".to_owned(), Action::ScaleTo { replicas }));
    let case = Case::new();
    for (name, case, expected) in [
        ("spare for two minutes", case.clone().capacity(Some(2), Some(3), Some(3)), lower(3)),
        ("the floor is below the need", case.clone().capacity(Some(4), None, Some(2)), lower(4)),
        ("nothing to spare", case.clone().capacity(Some(2), Some(3), Some(5)), None),
        ("the floor is unknown", case.clone().capacity(Some(2), Some(3), None), None),
        ("the rate is unknown", case.clone().capacity(Some(2), Some(3), Some(3)).without("rps"), None),
        ("no maintenance flag", case.clone().capacity(Some(2), Some(3), Some(3)).without("maintenance"), lower(3)),
        ("in maintenance", case.clone().capacity(Some(2), Some(3), Some(3)).set("maintenance", 1.0), None),
        ("at the lower bound", case.capacity(Some(1), None, Some(1)).replicas(2), None),
    ] {
        assert_eq!(run(&case), expected, "{name}");
    }
    let mut rollout = Case::new().capacity(Some(2), Some(3), Some(3));
    if let TargetReading::Known { target } = &mut rollout.features.target {
        target.rollout = true;
    }
    assert_eq!(run(&rollout), None, "during a rollout");
}
