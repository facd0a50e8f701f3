//! Which of several matching rules acts, and what is reported when none does.

use super::*;
use crate::model::{Autoscaler, Autoscaling, Idle, Obstacle};

/// Rules as (name, priority, goal, action); all match.
fn choose(rules: &[(&str, i64, &str, &str)]) -> Choice {
    let text: Vec<_> = rules
        .iter()
        .map(|(name, priority, goal, action)| {
            format!("rule(\"{name}\", #{{ priority: {priority}, goal: \"{goal}\" }}, |s, p| [when(s.can_scale_up), {action}]);\n")
        })
        .collect();
    Case::new().ask(&text.concat()).choice
}

fn check(rules: &[(&str, i64, &str, &str)], expected: &str) {
    let mut reversed = rules.to_vec();
    reversed.reverse();
    for rules in [rules, &reversed] {
        match choose(rules) {
            Choice::Act { rule, .. } => assert_eq!(&*rule, expected, "{rules:?}"),
            Choice::Nothing(reason) => {
                assert!(reason.to_string().starts_with(expected), "{rules:?}: {reason}");
                assert!(reason.conflict, "{rules:?}: a person has to rank them");
            }
            undo @ Choice::Undo { .. } => panic!("{rules:?}: {undo:?}"),
        }
    }
}

#[test]
fn one_action_is_chosen_whatever_the_order_of_the_rules() {
    check(&[("low", 1, "protect", "scale_by(2)"), ("high", 2, "cost", "scale_by(0.5)")], "high");
    check(&[("saves", 1, "cost", "scale_by(0.5)"), ("guards", 1, "protect", "scale_by(2)")], "guards");
    check(&[("far", 1, "cost", "scale_to(9)"), ("near", 1, "cost", "scale_by(1.2)")], "near");
    check(&[("far", 1, "cost", "scale_to(1)"), ("near", 1, "cost", "scale_by(0.7)")], "near");
    check(&[("up", 1, "cost", "scale_to(6)"), ("down", 1, "cost", "scale_to(4)")], "conflict: ");
    check(&[("up", 1, "cost", "scale_to(6)"), ("stay", 1, "cost", "scale_to(5)")], "conflict: ");
    check(&[("go", 1, "cost", "promote()"), ("back", 1, "cost", "abort()")], "conflict: ");
    check(
        &[
            ("a", 1, "cost", "throttle(#{ to: pct(50), ttl: \"10m\" })"),
            ("b", 1, "cost", "throttle(#{ to: pct(80), ttl: \"10m\" })"),
        ],
        "b",
    );
    check(
        &[("up", 1, "cost", "scale_to(6)"), ("down", 1, "cost", "scale_to(4)"), ("top", 2, "cost", "scale_to(7)")],
        "top",
    );
}

#[test]
fn where_an_autoscaler_scales_the_target_counts_and_floors_are_one_knob() {
    // Its floor is 3, ten run.
    let autoscaler = Autoscaler {
        name: "front".into(),
        uid: "h".to_owned(),
        floor: 3,
        baseline: 2,
        ceiling: 20,
        current: 10,
        desired: 10,
        owner: None,
        trouble: None,
    };
    let ask = |one: &str, other: &str, scaled: bool| {
        let mut case = Case::new().replicas(10);
        if let (TargetReading::Known { target }, true) = (&mut case.features.target, scaled) {
            target.autoscaling = Autoscaling::Autoscaler(autoscaler.clone());
        }
        let rule = |name: &str, action: &str| {
            format!("rule(\"{name}\", #{{ priority: 1, goal: \"cost\" }}, |s, p| [when(s.can_scale_up), {action}]);\n")
        };
        match case.ask(&format!("{}{}", rule("one", one), rule("other", other))).choice {
            Choice::Act { rule, .. } => rule.to_string(),
            Choice::Nothing(reason) => reason.to_string(),
            Choice::Undo { .. } => "undo".to_owned(),
        }
    };
    assert_eq!(ask("autoscaler_floor(6)", "autoscaler_floor(5)", true), "other", "both raise the floor");
    assert!(ask("autoscaler_floor(6)", "autoscaler_floor(2)", true).starts_with("conflict: "));
    assert!(ask("scale_to(5)", "autoscaler_floor(6)", true).starts_with("conflict: "), "down from 10, up from 3");
    assert_eq!(ask("scale_to(5)", "autoscaler_floor(6)", false), "one", "two knobs");
}

/// As in Rego, where two rules with different results are an error: nothing is done, and the reason is given.
#[test]
fn a_set_may_make_every_conflict_an_error() {
    let policy = |tail: &str| {
        format!(
            "{}\n{}\n{tail}",
            named("up", "when(s.can_scale_up), scale_by(2)").replacen("1,", "9,", 1),
            one("when(s.cpu.current > pct(50)), restart()")
        )
    };
    let (busy, idle) = (Case::new().set("cpu", 0.6), Case::new());
    let acts = |case: &Case, tail| match case.ask(&policy(tail)).choice {
        Choice::Act { rule, .. } => rule.to_string(),
        Choice::Nothing(reason) => reason.to_string(),
        other @ Choice::Undo { .. } => panic!("{other:?}"),
    };
    assert_eq!(acts(&busy, ""), "up");
    let said = "conflict: up, r match at the same time and want different actions";
    assert_eq!(acts(&busy, "conflicts(\"error\");"), said);
    let alike = format!("{}\nconflicts(\"error\");", named("also", "when(s.cpu.current > pct(50)), scale_by(2)"));
    assert_eq!(acts(&busy, &alike), said.replace("up, r", "up, r, also"), "one of three differs");
    let two = |one: &str, other: &str| {
        let rule = |name, action| named(name, &format!("when(s.can_scale_up), {action}"));
        busy.ask(&format!("{}\n{}\nconflicts(\"error\");", rule("a", one), rule("b", other))).choice
    };
    assert!(matches!(two("scale_by(2)", "scale_by(2)"), Choice::Act { rule, .. } if &*rule == "a"));
    assert!(matches!(two("scale_by(2)", "scale_by(3)"), Choice::Nothing(_)));
    assert_eq!(acts(&idle, "conflicts(\"error\");"), "up");
    refused("conflicts(\"first\");", "t.rhai:1:1: conflicts(\"first\"): expected \"error\"; without it the higher");
}

#[test]
fn on_different_knobs_the_first_of_the_set_wins() {
    let expected = Choice::Act { rule: "a".into(), action: Action::Restart, backed_by_arrivals: false };
    assert_eq!(choose(&[("a", 1, "cost", "restart()"), ("b", 1, "cost", "rollback()")]), expected);
}

/// A rule that would win every cycle and never have an effect would block those that can act.
#[test]
fn what_nothing_can_carry_out_stands_behind_what_can() {
    let up = ("up", 300, "cost", "scale_by(1.5)");
    let throttle = ("shed", 400, "protect", "throttle(#{ to: pct(80), ttl: \"10m\" })");
    check(&[throttle, up], "up");
    // No autoscaler scales the target.
    check(&[("floor", 400, "protect", "autoscaler_floor(6)"), up], "up");
    check(&[throttle, ("back", 300, "protect", "rollback()")], "shed");
    check(&[throttle, up, ("down", 300, "cost", "scale_by(0.5)")], "conflict: ");
}

#[test]
fn without_a_count_of_replicas_steps_are_compared_by_themselves() {
    let policy = |left: &str, right: &str| {
        format!(
            "{}\n{}",
            named("left", &format!("when(s.queue.current < 9), {left}")),
            named("right", &format!("when(s.queue.current < 9), {right}"))
        )
    };
    let mut case = Case::new();
    case.features.target = TargetReading::Unknown { reason: "gone".into() };
    for (left, right, expected) in
        [("scale_by(2)", "scale_by(1.5)", "right"), ("scale_by(0.5)", "scale_by(0.9)", "right")]
    {
        let choice = case.ask(&policy(left, right)).choice;
        assert!(matches!(&choice, Choice::Act { rule, .. } if &**rule == expected), "{choice:?}");
    }
    let choice = case.ask(&policy("scale_by(2)", "scale_by(0.5)")).choice;
    assert!(matches!(choice, Choice::Nothing(_)), "{choice:?}");
}

#[test]
fn doing_nothing_has_a_reason_without_numbers() {
    let case = Case::new().without("p99");
    for (clauses, expected) in [
        ("when(s.queue.current > 5), restart()", "quiet (r: queue.current does not hold)"),
        ("when(s.can_scale_up), unless(s.queue.current < 5), restart()", "quiet (r: queue.current prevents it)"),
        ("when(s.can_scale_up), when(s.p99.current > ms(5)), restart()", "quiet (r: p99.current is unknown)"),
        ("when(s.p99.current > ms(5)), when(s.rollout), restart()", "quiet (r: rollout does not hold)"),
        (
            "when((s.queue.current < 5).held_for(\"1m\")), restart()",
            "quiet (r: queue.current may not have held long enough)",
        ),
        (
            "when(s.can_scale_up), scale_to(s.capacity.floor)",
            "quiet (r: scale_to: capacity.floor is unknown: the service",
        ),
        ("when(s.can_scale_up), scale_to(s.queue.current)", "quiet (r: failed)"),
    ] {
        let policy = format!("{}\notherwise(\"quiet\");", one(clauses));
        let Choice::Nothing(reason) = case.ask(&policy).choice else { panic!("{clauses}") };
        assert!(reason.to_string().starts_with(expected), "{clauses}: {reason}");
    }
    let Choice::Nothing(reason) = case.ask(&one("when(s.rollout), restart()")).choice else { panic!() };
    assert_eq!(reason.to_string(), "no policy matched (r: rollout does not hold)");
}

#[test]
fn the_reason_names_the_rule_that_was_nearest() {
    let policy = format!(
        "{}\n{}",
        named("far", "when(s.rollout), when(s.at_max_replicas), when(s.at_min_replicas), restart()"),
        named("near", "when(s.can_scale_up), when(s.rollout), restart()")
    );
    let Choice::Nothing(reason) = Case::new().ask(&policy).choice else { panic!() };
    let obstacle = Obstacle { rule: "near".into(), why: "rollout does not hold".into() };
    assert_eq!(reason, Idle { obstacle: Some(obstacle), .."no policy matched".into() });
}
