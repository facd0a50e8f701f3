//! What limits forbid: against every priority, in every file, and while nothing is known.

use super::*;
use crate::model::{Limit, Vetoed};

/// A named limit with these clauses.
fn limit(name: &str, clauses: &str) -> String {
    format!("limit(\"{name}\", |s, p| [\n{clauses}\n]);\n")
}

/// A rule that always matches.
fn always(name: &str, priority: i64, action: &str) -> String {
    format!(
        "rule(\"{name}\", #{{ priority: {priority}, goal: \"protect\" }}, |s, p| [when(s.replicas.current > 0), {action}]);\n"
    )
}

fn acts(case: &Case, policy: &str) -> String {
    match case.ask(policy).choice {
        Choice::Act { rule, .. } => rule.to_string(),
        Choice::Nothing(reason) => reason.to_string(),
        undo @ Choice::Undo { .. } => panic!("{undo:?}"),
    }
}

#[test]
fn a_veto_outranks_every_priority_and_the_next_best_rule_may_act() {
    let rules = format!("{}{}", always("down", 1_000_000, "scale_by(0.5)"), always("up", 1, "scale_by(2)"));
    let with = |clauses: &str| format!("{rules}{}", limit("calm", clauses));
    let case = Case::new();
    assert_eq!(acts(&case, &rules), "down");
    assert_eq!(acts(&case, &with("when(s.can_scale_up), veto(\"lower\", \"a freeze\")")), "up");
    assert_eq!(acts(&case, &with("when(s.rollout), veto(\"lower\", \"a freeze\")")), "down");
    assert_eq!(acts(&case, &with("when(s.can_scale_up), veto(\"raise\", \"a freeze\")")), "down");
    let all = "no policy matched (down: vetoed by calm)";
    assert_eq!(acts(&case, &with("when(s.can_scale_up), veto(\"all\", \"a freeze\")")), all);
    assert_eq!(acts(&case, &with("when(s.can_scale_up), veto(\"scale\", \"a freeze\")")), all);
    assert_eq!(acts(&case, &with("when(s.can_scale_up), veto(\"traffic\", \"a freeze\")")), "down");
}

#[test]
fn a_veto_names_directions_and_classes() {
    let shift = "shift(#{ from: \"A\", to: \"B\", step: pct(25), limit: pct(50) })";
    for (what, forbidden) in [
        ("all", [true, true, true, true, true]),
        ("raise", [true, false, false, false, false]),
        ("lower", [false, true, true, false, false]),
        ("scale", [true, true, false, false, false]),
        ("traffic", [false, false, true, false, false]),
        ("rollout", [false, false, false, true, false]),
        ("external", [false, false, false, false, true]),
    ] {
        for (action, forbidden) in
            ["scale_by(2)", "scale_by(0.5)", shift, "restart()", "webhook(\"page\")"].into_iter().zip(forbidden)
        {
            let veto = limit("calm", &format!("when(s.can_scale_up), veto(\"{what}\", \"why\")"));
            let found = acts(&Case::new(), &format!("{}{veto}", always("r", 1, action)));
            assert_eq!(found != "r", forbidden, "{what} {action}: {found}");
        }
    }
}

/// What is unknown forbids: an unknown condition, a parameter out of range, an unknown size.
#[test]
fn a_limit_stands_unless_it_is_known_not_to_match() {
    let policy = |clauses: &str| {
        format!(
            "param(\"most\", 8, #{{ min: 1, max: 10 }});\n{}{}",
            always("up", 1, "scale_by(2)"),
            limit("calm", clauses)
        )
    };
    let veto = |condition: &str| policy(&format!("{condition}, veto(\"raise\", \"why\")"));
    let vetoed = "no policy matched (up: vetoed by calm)";
    let blind = Case::new().without("maintenance");
    assert_eq!(acts(&blind, &veto("when(s.maintenance)")), vetoed);
    assert_eq!(acts(&blind, &veto("when(s.maintenance.or(false))")), "up");
    assert_eq!(acts(&blind, &veto("when(s.maintenance), when(s.rollout)")), "up", "one condition is known not to hold");
    let standing = |case: &Case, clauses: &str| case.ask(&policy(clauses)).rules[1].standing().cloned();
    let cap = |replicas| Some(Limit::Cap { replicas });
    assert_eq!(standing(&blind, "when(s.can_scale_up), cap(p.most)"), cap(Some(8)));
    assert_eq!(standing(&blind, "when(s.rollout), cap(p.most)"), None);
    assert_eq!(standing(&blind, "when(s.can_scale_up), cap(s.capacity.floor)"), cap(None), "its size is unknown");
    assert_eq!(standing(&blind.clone().parameter("most", 99.0), "when(s.rollout), cap(p.most)"), cap(None), "it fails");
    let why = Some(Limit::Veto { what: Vetoed::Raise, why: "why".into() });
    let faulty = blind.parameter("most", 99.0);
    let policy = policy("when(s.replicas.current > p.most), veto(\"raise\", \"why\")");
    let (set, mut state) = (set(&policy), Decider::new());
    for cycle in 0..6 {
        let made = faulty.decide(&mut state, &set);
        assert_eq!(made.rules[1].standing().cloned(), why, "cycle {cycle}: {:?}", made.rules[1].outcome);
    }
    // A value set by a service is not a failure of the rule: the cause is in every record until it is fixed.
    let RuleOutcome::Error { message } = &faulty.decide(&mut state, &set).rules[1].outcome else { panic!() };
    assert!(message.contains("parameter `most` of shop/checkout: 99 is not between 1 and 10"), "{message}");
}

#[test]
fn what_is_wrong_with_a_limit_is_said_of_a_limit() {
    let faults = |policy: &str| try_set(policy).unwrap_err()[0].to_string();
    let wrong = faults("limit(\"most\", |s, p| [when(s.rollout), cap(-1)]);");
    assert!(wrong.starts_with("t.rhai:1:") && wrong.contains(": limit most: invalid action: "), "{wrong}");
    let twice = "limit(\"most\", |s, p| [cap(20)]);";
    assert!(faults(&format!("{twice}\n{twice}")).contains("rule or limit names must be unique"));
}

#[test]
fn several_files_are_one_ranking_and_all_their_limits_hold() {
    let fleet = format!(
        "{}{}",
        always("fleet_up", 10, "scale_by(1.2)"),
        limit("fleet_calm", "when(s.can_scale_up), veto(\"lower\", \"a freeze\")")
    );
    let shop = format!(
        "{}{}{}",
        always("shop_down", 1_000, "scale_by(0.5)"),
        always("shop_up", 500, "scale_by(2)"),
        limit("shop_cap", "when(s.can_scale_up), cap(7)")
    );
    let ask = |files: &[(&str, &str)]| Case::new().decide(&mut Decider::new(), &load(files).unwrap());
    let both = [("flyball-system/fleet/a.rhai", &*fleet), ("shop/own/a.rhai", &*shop)];
    let made = ask(&both);
    assert!(matches!(&made.choice, Choice::Act { rule, .. } if &**rule == "shop_up"), "{:?}", made.choice);
    assert_eq!(made.rules.iter().filter_map(RuleTrace::standing).count(), 2);
    // A limit of another file cannot be displaced by reusing its name.
    for taken in [limit("fleet_calm", "when(s.rollout), veto(\"lower\", \"x\")"), always("fleet_calm", 1, "restart()")]
    {
        let faults = load(&[both[0], ("shop/own/a.rhai", &taken)]).unwrap_err();
        assert!(faults[0].to_string().contains("`fleet_calm` is already declared in flyball-system/fleet/a.rhai:2:1"));
    }
}

#[test]
fn a_limit_only_forbids_and_a_rule_never_does() {
    refused(
        &format!("{}{}", always("r", 1, "restart()"), limit("calm", "when(s.rollout), restart()")),
        "t.rhai:3:18: limit calm: a limit only forbids",
    );
    refused(&one("when(s.rollout), veto(\"all\", \"x\")"), "t.rhai:2:18: rule r: veto(..) and cap(..) apply to");
    refused(&one("when(s.rollout), cap(9)"), "t.rhai:2:18: rule r: veto(..) and cap(..) apply to every rule");
    refused(
        &limit("calm", "when(s.rollout), cap(0)"),
        "t.rhai:2:18: limit calm: invalid action: cap: 0 is not between 1 and 100000",
    );
    refused(
        &limit("calm", "when(s.rollout), veto(\"scaling\", \"x\")"),
        "t.rhai:2:18: limit calm: veto: unknown `scaling`; known: all, raise, lower, scale, traffic, rollout, \
         external",
    );
    refused(
        &limit("calm", "when(s.rollout), veto(\"all\", \" \")"),
        "t.rhai:2:18: limit calm: veto: its reason must be one line of 1 to",
    );
    let held = |word: &str| {
        limit("calm", &format!("{word}((s.cpu.current > pct(50)).held_for(\"2m\")), veto(\"all\", \"x\")"))
    };
    refused(
        &held("when"),
        "t.rhai:2:49: limit calm: a limit applies immediately: remove held_for(..) from when(cpu.current > ",
    );
    assert_eq!(
        acts(&Case::new(), &format!("{}{}", always("r", 1, "restart()"), held("unless"))),
        "no policy matched (r: vetoed by calm)",
        "until then"
    );
}

/// The most common limit of a fleet.
#[test]
fn a_limit_without_conditions_always_stands() {
    let policy = format!("{}{}", always("up", 1, "scale_by(2)"), limit("always", "cap(20)"));
    assert_eq!(Case::new().ask(&policy).rules[1].standing(), Some(&Limit::Cap { replicas: Some(20) }));
    let policy = format!("{}{}", always("up", 1, "scale_by(2)"), limit("always", "veto(\"all\", \"a freeze\")"));
    assert_eq!(acts(&Case::new(), &policy), "no policy matched (up: vetoed by always)");
    refused(&one("restart()"), "t.rhai:1:1: rule r: it would always act: add a when(..)");
    refused(&limit("calm", "note(\"x\")"), "t.rhai:1:1: limit calm: it forbids nothing: add veto(");
}

#[test]
fn a_test_may_expect_that_a_limit_stands() {
    let policy = format!(
        "{}{}",
        always("down", 1, "scale_by(0.5)"),
        limit("calm", "when(s.maintenance), veto(\"lower\", \"why\")")
    );
    let tests = "test(\"on\", || given(#{ \"replicas.current\": 5, maintenance: true }).decide().expect_stands(\"calm\").expect_none());
        test(\"unknown\", || given(#{ \"replicas.current\": 5 }).decide().expect_stands(\"calm\"));
        test(\"off\", || given(#{ \"replicas.current\": 5, maintenance: false }).decide().expect_stands(\"calm\"));
        test(\"no limit\", || given(#{}).decide().expect_stands(\"down\"));";
    let files = [("t.rhai", &*policy), ("t_test.rhai", tests)];
    let report = run_tests(&Arc::new(load(&files).unwrap()), &vocabulary(), files, &|_| true, &never).unwrap();
    let failures: Vec<_> =
        report.tests.iter().map(|test| test.failure.as_ref().map(|fault| fault.message.clone())).collect();
    assert_eq!(
        failures,
        [
            None,
            None,
            Some("expected calm to apply; calm: maintenance is false".to_owned()),
            Some("down is a rule; expect_stands takes a limit".to_owned())
        ]
    );
}
