//! Findings in sets that load.

use super::*;
use crate::decide::lint;

fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let set = load(files).unwrap_or_else(|faults| panic!("{faults:#?}"));
    lint(&set, files.iter().copied()).iter().map(|found| format!("{}: {}", found.id, found.fault)).collect()
}

fn check(policy: &str, expected: &[&str]) {
    let found = findings(&[("t.rhai", policy)]);
    assert_eq!(found.len(), expected.len(), "{policy}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{policy}\n   got: {found}\nwanted: {expected}");
    }
}

#[test]
fn the_shipped_policies_have_nothing_odd() {
    let files = [
        ("capacity.rhai", include_str!("../../../deploy/policies/capacity.rhai")),
        ("overload.rhai", include_str!("../../../deploy/policies/overload.rhai")),
        ("traffic.rhai", include_str!("../../../deploy/policies/traffic.rhai")),
    ];
    // Without settings: the rules read more than any service in these tests declares.
    let set = compile(files, &Vocabulary::of([]).unwrap(), &never()).unwrap();
    assert_eq!(lint(&set, files), []);
}

/// The rules are checked against what the settings say about signals.
#[test]
fn what_the_settings_say_of_signals() {
    let never = "never-matches: t.rhai:1:1: rule r: no input satisfies when(rps.";
    let always = "always-holds: t.rhai:1:1: rule r: ";
    check(&one("when(s.rps.current > rps(2e9)), restart()"), &[never]);
    check(&one("when(s.rps.current < rps(-1)), restart()"), &[never]);
    check(&one("when(s.rps.mean < rps(0)), restart()"), &[never]);
    check(&one("when(s.rps.current > rps(-1)), restart()"), &[always]);
    check(&one("when(s.rps.current >= rps(0)), restart()"), &[always]);
    check(&one("when(s.rps.current > rps(0)), restart()"), &[]);
    check(&one("when(s.rps.predicted > rps(2e9)), restart()"), &[]);
    check(&one("when(s.errors.current.or(pct(1)) < pct(5)), restart()"), &[]);
    check(&one("when(s.rps.at(\"30m\") > rps(1)), restart()"), &[]);
    check(&one("when(s.rps.longest_run_above(rps(1)) > \"2h\"), restart()"), &[never]);
    check(&one("when(s.rps.longest_run_above(rps(1)) > \"2m\"), restart()"), &[]);
    let mut quiet = spec();
    quiet.signals.iter_mut().for_each(|signal| signal.forecast = false);
    let words = Vocabulary::of([&quiet]).unwrap();
    for (condition, odd) in
        [("rps.predicted > rps(1)", 1), ("rps.longest_run_above(rps(1)) > \"2m\"", 1), ("rps.mean > rps(1)", 0)]
    {
        let policy = one(&format!("when(s.{condition}), restart()"));
        let files = [("t.rhai", policy.as_str())];
        let found = lint(&compile(files, &words, &super::never()).unwrap(), files);
        assert_eq!(found.iter().filter(|found| found.id == "not-forecast").count(), odd, "{found:?}");
    }
    let both = Vocabulary::of([&quiet, &spec()]).unwrap();
    let policy = one("when(s.rps.predicted > rps(1)), restart()");
    let files = [("t.rhai", policy.as_str())];
    assert_eq!(lint(&compile(files, &both, &super::never()).unwrap(), files), [], "one service forecasts it");
}

/// A standard signal is declared, with its range, and has no data until the settings give its source: not a mistake in
/// a set that serves many settings, but still reported.
#[test]
fn a_standard_signal_without_data_is_declared_and_told() {
    let unmeasured = |clauses: &str| {
        let (text, mut told) = (one(clauses), Vec::new());
        check(&text, &[]);
        for (rule, missed) in set(&text).unmeasured() {
            told.extend(missed.iter().map(|name| format!("{rule}: {name}")));
        }
        told
    };
    assert_eq!(unmeasured("when(s.emergency), restart()"), ["r: emergency"]);
    assert_eq!(unmeasured("when(s.throttle_available), unless(s.emergency), restart()").len(), 2);
    assert_eq!(unmeasured("when(s.rps.current > rps(1)), restart()"), [""; 0]);
    // A signal with a fallback is not missed.
    assert_eq!(unmeasured("unless(s.emergency.or(false)), when(s.rps.current > rps(1)), restart()"), [""; 0]);
    // One part of `any` is enough for it to hold, and one of `all` for it not to hold.
    assert_eq!(unmeasured("when(any([s.rps.current > rps(1), s.emergency])), restart()"), [""; 0]);
    let both = ["r: emergency", "r: throttle_available"];
    assert_eq!(unmeasured("when(any([s.throttle_available, s.emergency])), restart()"), both);
    assert_eq!(unmeasured("when(any([s.emergency, all([s.emergency, s.rollout])])), restart()"), ["r: emergency"]);
    assert_eq!(unmeasured("unless(any([s.rps.current > rps(1), s.emergency])), restart()"), ["r: emergency"]);
    assert_eq!(unmeasured("unless(all([s.rps.current > rps(1), s.emergency])), restart()"), [""; 0]);
    assert_eq!(unmeasured("when(!any([s.rps.current > rps(1), s.emergency])), restart()"), ["r: emergency"]);
    assert_eq!(unmeasured("when(all([s.rps.current > rps(1), s.emergency])), restart()"), ["r: emergency"]);
    let policy = one("when(s.errors.current > pct(101)), restart()");
    let files = [("t.rhai", policy.as_str())];
    let found = lint(&compile(files, &Vocabulary::of([]).unwrap(), &never()).unwrap(), files);
    assert_eq!(found.iter().map(|found| found.id).collect::<Vec<_>>(), ["never-matches"], "it has a range");
}

#[test]
fn what_says_nothing_is_found() {
    let always = "always-holds: t.rhai:1:1: rule r: ";
    check(&one("when(any([s.rollout, !s.rollout])), restart()"), &[always]);
    check(&one("when(s.can_scale_up), unless(all([s.rollout, !s.rollout])), restart()"), &[always]);
    check(&one("when(s.can_scale_up), when(ms(3) > ms(2)), restart()"), &[&format!("{always}when(3 ms > 2 ms)")]);
    check(&one("when(s.can_scale_up), unless(ms(3) < ms(2)), restart()"), &[always]);
    check(&one("when(s.can_scale_up), when(ms(2) > ms(3)), restart()"), &["never-matches: "]);
    let bounded = "param(\"x\", ms(5), #{ min: ms(3), max: ms(9), doc: \"x\" });\n";
    let found =
        findings(&[("t.rhai", &format!("{bounded}{}", one("when(s.can_scale_up), when(p.x > ms(2)), restart()")))]);
    assert!(found.len() == 1 && found[0].starts_with("always-holds: t.rhai:2:1: "), "{found:?}");
    check(&one("when(any([s.rollout, s.can_scale_up])), restart()"), &[]);
    for action in [
        "scale_by(1.0)",
        "scale_by(1)",
        "resize(#{ cpu: 1.0, memory: 1.0 })",
        "throttle(#{ to: pct(100), ttl: \"1m\" })",
    ] {
        check(&one(&format!("when(s.can_scale_up), {action}")), &["no-op-action: t.rhai:1:1: rule r: its action"]);
    }
    check(&one("when(s.can_scale_up), resize(#{ cpu: 1.0, memory: 2.0 })"), &[]);
}

#[test]
fn single_rules_and_parameters() {
    check(&one("when(s.can_scale_up), restart()"), &[]);
    check(
        &one("when(s.can_scale_up), restart()").replace("protect", "cost"),
        &["cost-in-maintenance: t.rhai:1:1: rule r: it is a cost rule and does not check maintenance"],
    );
    check(&one("when(s.can_scale_up), unless(s.maintenance.or(false)), restart()").replace("protect", "cost"), &[]);
    check(
        &one("when(s.can_scale_up), scale_to(s.queue.current)"),
        &["unbounded-action: t.rhai:1:1: rule r: queue.current can have any size: limit it, as in min(queue.current"],
    );
    check(&one("when(s.can_scale_up), scale_to(min(s.queue.current, 9))"), &[]);
    check(&one("when(s.can_scale_up), scale_to(s.capacity.needed_now)"), &[]);
    let rule = one("when(s.p99.current > p.a), restart()");
    let declared = |param: &str| format!("// first\n  {param}\n{rule}");
    check(&declared("param(\"a\", ms(5), #{ min: ms(1), max: ms(9), doc: \"x\" });"), &[]);
    check(
        &declared("param(\"a\", ms(5));"),
        &[
            "unbounded-parameter: t.rhai:2:3: parameter `a` accepts",
            "undocumented-parameter: t.rhai:2:3: parameter `a` has no",
        ],
    );
    check(
        &declared("param(\"a\", ms(5), #{ min: ms(1), doc: \"x\" });"),
        &["unbounded-parameter: t.rhai:2:3: parameter `a` accepts any value a service sets: add max"],
    );
    check(
        &declared(
            "param(\"a\", ms(5), #{ min: ms(1), max: ms(9), doc: \"x\" }); param(\"b\", 1, #{min: 1, max: 2, doc: \"y\"});",
        ),
        &["unused-parameter: t.rhai:2:61: no rule reads parameter `b`"],
    );
    // The declaration is found however it is written.
    check(
        &format!(
            "let _text = \"param(\\\"b\\\"\";\nparam( \"b\",\n 1, #{{min: 1, max: 2, doc: \"y\"}});\n{}",
            one("when(s.can_scale_up), restart()")
        ),
        &["unused-parameter: t.rhai:2:1: no rule reads parameter `b`"],
    );
}

#[test]
fn names_that_are_not_used() {
    let rule = one("when(s.can_scale_up), restart()");
    for (text, expected) in [
        ("let x = 1;", Some("unused-name: t.rhai:1:5: variable `x` is not used")),
        ("const X = 1;", Some("unused-name: t.rhai:1:7: constant `X` is not used")),
        ("fn f() { 1 }", Some("unused-name: t.rhai:1:4: function `f` is not used")),
        ("let x = 1; // x", Some("unused-name: t.rhai:1:5: variable `x`")),
        ("let x = \"x \\\" x\";", Some("unused-name: t.rhai:1:5: variable `x`")),
        ("/* x\n x */ let x = 1;", Some("unused-name: t.rhai:2:11: variable `x`")),
        ("let _x = 1;", None),
        ("let x = 1; let _y = x;", None),
        ("let x = 1; let _y = `${x}`;", None),
        ("fn f() { 1 } let _x = f();", None),
    ] {
        check(&format!("{text}\n{rule}"), expected.as_slice());
    }
    let library = ("lib/l.rhai", "fn f() { 1 }");
    let with = |tail: &str| format!("import \"lib/l\" as l;\n{tail}");
    let unused = with(&rule);
    assert_eq!(
        findings(&[library, ("t.rhai", &unused)]),
        ["unused-name: t.rhai:1:19: import `l` is not used: delete it"]
    );
    let used = with(&one("when(s.queue.current > l::f()), restart()"));
    assert_eq!(findings(&[library, ("t.rhai", &used)]), Vec::<String>::new());
}

/// Two rules of equal rank, by the conditions of each: whether some input satisfies both.
#[test]
fn rules_that_can_match_together_are_found() {
    for (left, right, together) in [
        ("when(s.cpu.current > pct(60))", "when(s.cpu.current < pct(20))", false),
        ("when(s.cpu.current > pct(60))", "when(s.cpu.current < pct(60.1))", true),
        ("when(s.cpu.current > pct(60))", "when(s.cpu.current <= pct(60))", false),
        ("when(s.cpu.current >= pct(60))", "when(s.cpu.current <= pct(60))", true),
        ("when(s.cpu.current >= pct(60))", "unless(s.cpu.current >= pct(60))", false),
        ("when(s.cpu.current > pct(60))", "when(s.p99.current > ms(1))", true),
        ("when(s.cpu.current > pct(60))", "when(s.cpu.predicted < pct(20))", true),
        ("when(s.cpu.current > p.low)", "when(s.cpu.current < pct(20))", true),
        ("when(s.cpu.current > p.low)", "when(s.cpu.current < pct(5))", false),
        ("when(s.cpu.current > s.errors.current)", "when(s.cpu.current < pct(5))", true),
        // Quantities whose labels are the same after rounding.
        (
            "when(s.replicas.current * usd_per_hour(0.012) > usd_per_hour(0.10))",
            "when(s.replicas.current * usd_per_hour(0.008) < usd_per_hour(0.09))",
            true,
        ),
        (
            "when(s.replicas.current * usd_per_hour(0.012) > usd_per_hour(0.10))",
            "when(s.replicas.current * usd_per_hour(0.012) < usd_per_hour(0.09))",
            false,
        ),
        (
            "when(s.p99.longest_run_above(ms(200.1)) > \"2m\")",
            "when(s.p99.longest_run_above(ms(200.4)) < \"1m\")",
            true,
        ),
        (
            "when(s.rps.current.needs_replicas(rps(0.11), 1) > 9)",
            "when(s.rps.current.needs_replicas(rps(0.14), 1) < 8)",
            true,
        ),
        ("when(s.maintenance)", "unless(s.maintenance)", false),
        ("when(s.maintenance)", "when(!s.maintenance)", false),
        ("when(s.maintenance)", "when(s.maintenance)", true),
        ("when(s.can_scale_up)", "when(s.at_max_replicas)", false),
        ("when(s.can_scale_up)", "when(s.at_min_replicas)", true),
        ("when(all([s.maintenance, s.rollout]))", "unless(any([s.maintenance, s.rollout]))", false),
        ("when(any([s.maintenance, s.rollout]))", "unless(s.maintenance)", true),
        ("when(s.maintenance.or(false))", "unless(s.maintenance)", false),
        ("when(s.maintenance.or(true))", "unless(s.maintenance.or(false))", true),
        ("when((s.cpu.current > pct(60)).held_for(\"2m\"))", "when(s.cpu.current < pct(20))", false),
        ("unless((s.cpu.current > pct(60)).held_for(\"2m\"))", "when(s.cpu.current > pct(70))", true),
    ] {
        let param = "param(\"low\", pct(50), #{ min: pct(10), max: pct(90), doc: \"x\" });\n";
        let policy = format!(
            "{param}{}\n{}\n{}",
            named("a", &format!("{left}, restart()")),
            named("b", &format!("{right}, rollback()")),
            named("c", "when(s.cpu.current > p.low), promote()").replacen("priority: 1", "priority: 2", 1)
        );
        let found = findings(&[("t.rhai", &policy)]);
        let expected = "conflicting-rules: t.rhai:5:1: rule b: it can match together with a at equal priority and goal";
        assert_eq!(found.len(), usize::from(together), "{left} {right}: {found:?}");
        assert!(found.iter().all(|found| found.starts_with(expected)), "{left} {right}: {found:?}");
    }
}

#[test]
fn another_priority_is_an_answer_unless_conflicts_are_errors() {
    let policy = format!(
        "{}\n{}",
        named("a", "when(s.rollout), restart()"),
        named("b", "when(s.can_scale_up), rollback()").replacen("priority: 1", "priority: 2", 1)
    );
    check(&policy, &[]);
    check(
        &format!("{policy}\nconflicts(\"error\");"),
        &[
            "conflicting-rules: t.rhai:4:1: rule b: it can match together with a, and then nothing is done unless both want the same",
        ],
    );
}

#[test]
fn a_rule_that_never_matches_is_found() {
    check(
        &one("when(s.cpu.current > pct(60)), when(s.cpu.current < pct(20)), restart()"),
        &[
            "never-matches: t.rhai:1:1: rule r: no input satisfies when(cpu.current > 60.0 %) and when(cpu.current < 20.0 %): change",
        ],
    );
    check(
        &one("when(s.rollout), when(s.can_scale_up), unless(s.rollout), restart()"),
        &["never-matches: t.rhai:1:1: rule r: no input satisfies when(rollout) and unless(rollout)"],
    );
    check(
        &one("when(s.rollout), when(s.rps.current < rps(-1)), restart()"),
        &["never-matches: t.rhai:1:1: rule r: no input satisfies when(rps.current < -1.0/s): change"],
    );
    // Any two of the three are possible together.
    let three = "when(s.queue.current > 1), when(s.queue.current < 2), when(any([s.rollout, s.can_scale_up]))";
    check(&one(&format!("{three}, when(!any([s.rollout, s.maintenance])), restart()")), &[]);
    let runs = "when(s.p99.longest_run_above(ms(200.1)) > \"2m\"), when(s.p99.longest_run_above(ms(200.4)) < \"1m\")";
    check(&one(&format!("{runs}, restart()")), &[]);
    check(&one("when(s.cpu.current > pct(60)), when(s.cpu.current < pct(70)), restart()"), &[]);
}

/// A rule that saves money must act outside maintenance, not during it.
#[test]
fn a_rule_that_saves_money_looks_at_maintenance_the_right_way_round() {
    let cost = |clauses: &str| one(clauses).replace("protect", "cost");
    let found = &["cost-in-maintenance: t.rhai:1:1: rule r: it is a cost rule and does not check maintenance"][..];
    for (condition, expected) in [
        ("unless(s.maintenance)", &[][..]),
        ("when(!s.maintenance)", &[]),
        ("when(!s.maintenance.or(true))", &[]),
        ("unless(any([s.rollout, s.maintenance]))", &[]),
        ("when(all([s.can_scale_up, !s.maintenance]))", &[]),
        ("when(s.maintenance)", found),
        ("unless(all([s.rollout, s.maintenance]))", found),
        ("when(any([s.can_scale_up, !s.maintenance]))", found),
    ] {
        check(&cost(&format!("{condition}, when(s.cost_optimization), restart()")), expected);
    }
}

/// What lowers saves money, whatever its goal says.
#[test]
fn a_rule_that_lowers_looks_at_maintenance_whatever_its_goal() {
    let lowers = &["cost-in-maintenance: t.rhai:2:1: rule r: it lowers and does not check maintenance"][..];
    let param = |bounds: &str| format!("param(\"f\", 0.5, #{{ {bounds}, doc: \"x\" }});\n");
    for (bounds, action, expected) in [
        ("min: 0.2, max: 0.9", "scale_by(min(p.f, 0.5))", lowers),
        ("min: 0.2, max: 0.9", "scale_by(p.f)", lowers),
        ("min: 0.2, max: 1", "scale_by(p.f)", lowers),
        ("min: 0.2, max: 1.5", "scale_by(p.f)", &[]),
        ("min: 0.2, max: 0.9", "resize(#{ cpu: p.f, memory: 1 })", lowers),
        ("min: 0.2, max: 0.9", "resize(#{ cpu: p.f, memory: 1.5 })", &[]),
        ("min: 0.2, max: 0.9", "throttle(#{ to: p.f * pct(100), ttl: \"1m\" })", &[]),
    ] {
        check(&format!("{}{}", param(bounds), one(&format!("when(s.can_scale_up), {action}"))), expected);
    }
    check(
        &format!(
            "{}{}",
            param("min: 0.2, max: 0.9"),
            one("when(s.can_scale_up), unless(s.maintenance), scale_by(p.f)")
        ),
        &[],
    );
}

/// A parameter value that a service may set but no action accepts.
#[test]
fn a_parameter_that_may_leave_the_range_of_its_action_is_found() {
    let rule = one("when(s.can_scale_up), scale_by(p.f)");
    let declared = |bounds: &str| format!("param(\"f\", 2, #{{ {bounds}, doc: \"x\" }});\n{rule}");
    check(
        &declared("min: 1, max: 100"),
        &[
            "unbounded-action: t.rhai:2:1: rule r: scale_by: 100 is not between 0.1 and 10, and a service may set p.f to",
        ],
    );
    check(
        &declared("min: 0, max: 3"),
        &["unbounded-action: t.rhai:2:1: rule r: scale_by: 0 is not between 0.1 and 10"],
    );
    check(&declared("min: 1.5, max: 10"), &[]);
    let capped = declared("min: 1, max: 100").replace("scale_by(p.f)", "scale_by(min(p.f, 3))");
    check(&capped, &[]);
}

/// Every pair of a hundred or so rules is too much to read.
#[test]
fn many_rules_of_one_rank_are_not_a_flood_of_findings() {
    let rule = |number: u8| named(&format!("r{number}"), "when(s.can_scale_up), scale_by(2)");
    let rules = (0..40).map(rule).collect::<Vec<_>>().concat();
    let found = findings(&[("t.rhai", &rules)]);
    assert_eq!(found.len(), 101, "{}", found.len());
    let last = found.iter().filter(|found| found.contains("680 more pairs of rules can match together")).count();
    assert_eq!(last, 1, "{found:#?}");
}
