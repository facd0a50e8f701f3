//! Everything that is wrong is reported at once: undeclared names, errors in each clause, conditions that are stated
//! and dropped.

use super::*;

/// Which names exist, which was meant, and how to declare another; also if a set binds services that lack it.
#[test]
fn a_signal_that_nobody_declares_is_refused_with_what_to_do() {
    let faults = try_set(&one("when(s.que.current > 1), restart()")).unwrap_err();
    let text = faults[0].to_string();
    assert!(
        text.starts_with("t.rhai:2:7: rule r: unknown signal `que`; known: capacity_available_region_b, "),
        "{text}"
    );
    assert!(text.ends_with(", others are declared under `signals` in the settings; did you mean `queue`?"), "{text}");
    let other = Vocabulary::of([]).unwrap();
    let policy = one("when(s.queue.current > 1), restart()");
    let text = compile([("t.rhai", policy.as_str())], &other, &never()).unwrap_err()[0].to_string();
    assert!(text.starts_with("t.rhai:2:7: rule r: unknown signal `queue`; known: "), "{text}");
    // One service declares it, another does not: for the latter it has no data.
    let mut lean = Case::new();
    lean.spec.signals.retain(|signal| signal.name.as_str() != "queue");
    lean.features.signals.truncate(lean.spec.signals.len());
    lean.outlook.signals.truncate(lean.spec.signals.len());
    let rule = lean.rule("when(s.queue.current > 1), restart()");
    assert_eq!(rule.outcome, RuleOutcome::Unknown);
    assert_eq!(rule.conditions[0].note.as_deref(), Some(crate::model::UNDECLARED));
}

/// An error in one clause hides none in another clause or rule.
#[test]
fn all_that_is_wrong_with_a_rule_is_told_at_once() {
    let told = |policy: &str| -> Vec<String> {
        let short = |fault: &PolicyFault| fault.to_string().chars().take(46).collect();
        try_set(policy).unwrap_err().iter().map(short).collect()
    };
    let clauses =
        "when(s.p9.predicted > ms(200)),\nwhen(s.cpu.current > 60),\nunless(s.maintenanc),\nwhen(true),\nscale_by(2)";
    assert_eq!(
        told(&one(clauses)),
        [
            "t.rhai:2:7: rule r: unknown signal `p9`; known",
            "t.rhai:3:20: rule r: cpu.current is a share: w",
            "t.rhai:4:9: rule r: unknown signal `maintenanc",
            "t.rhai:5:1: rule r: no function `when (bool)`:",
        ]
    );
    let block = one("when(s.p9.current > ms(1)), when(s.cpx.current > pct(1)), restart()")
        .replace("|s, p| [", "|service, p| { let s = service; [")
        .replace("\n])", "\n]})");
    assert_eq!(told(&block).len(), 2, "{:?}", told(&block));
    let returned = block.replace("s = service; [", "s = service; return [");
    assert_eq!(told(&returned).len(), 2, "{:?}", told(&returned));
    let alone = one("when(s.rollout), restart()").replace("|s, p|", "|s|");
    assert_eq!(told(&alone), ["t.rhai:1:1: rule r: no function with parameter"]);
    assert_eq!(told(&one("s.rollout, 5, [[1]], restart()")).len(), 3);
    assert_eq!(told(&one("restart(), rollback()")).len(), 1);
    let limit =
        "limit(\"l\", |s, p| [when(s.rollout.held_for(\"2m\")), when(s.can_scale_up.held_for(\"3m\")), restart()]);";
    assert_eq!(told(limit).len(), 3, "{:?}", told(limit));
    // Before the list, only one error shows.
    let early =
        one("when(s.rollout), restart()").replace("|s, p| [", "|s, p| { let a = s.nope; [").replace("\n])", "\n]})");
    assert_eq!(told(&early), ["t.rhai:1:64: rule r: unknown signal `nope`; kn"]);
}

#[test]
fn a_parameter_without_any_value_is_refused_as_such() {
    let policy = "param(\"a\", ms(200), #{ min: ms(300), max: ms(100), doc: \"x\" });";
    refused(policy, "t.rhai:1:1: param: min 300 ms is above max 100 ms: no value is allowed");
}

/// `s.cpu.current > pct(60);` reads like a condition of the rule, but is not one.
#[test]
fn a_condition_whose_value_nobody_takes_is_refused() {
    let rule = |before: &str| {
        one("when(s.rollout), restart()")
            .replace("|s, p| [", &format!("|s, p| {{\n{before}\n["))
            .replace("\n])", "\n]})")
    };
    let with = |before: &str| {
        let tail = "fn busy(s) { s.cpu.current > pct(60) }\nfn _used(s) { slo::breach(s) }";
        format!("import \"lib/slo\" as slo; {}\n{tail}", rule(before))
    };
    for (before, at) in [
        ("s.cpu.current > pct(60);", "2"),
        ("pct(60) < s.cpu.current;", "2"),
        ("let busy = s.cpu.current > pct(60);\n!busy;", "3"),
        ("s.maintenance;", "2"),
        ("s.maintenance.or(false);", "2"),
        ("all([s.rollout, s.can_scale_up]);", "2"),
        ("(s.cpu.current > pct(60)).held_for(\"2m\");", "2"),
        ("s.cpu.current;", "2"),
        ("if 2 > 1 { s.rollout; 5 } else { 6 }", "2"),
        ("for x in [1] { s.cpu.current > pct(60) }", "2"),
        ("let y = { s.rollout; 1 };", "2"),
        ("busy(s);", "2"),
        ("{ s.rollout };", "2"),
        ("{ { s.rollout } }", "2"),
        ("if 1 > 0 { s.rollout; }", "2"),
        ("if 1 > 0 { 5 } else if 2 > 1 { busy(s) }", "2"),
        ("[s.rollout];", "2"),
        ("[busy(s)];", "2"),
        ("#{ a: s.rollout };", "2"),
        ("let x = busy(s);\nx;", "3"),
        ("for i in 0..2 { busy(s) }", "2"),
        ("slo::breach(s);", "2"),
    ] {
        let (policy, library) = (with(before), ("lib/slo.rhai", "fn breach(s) { s.p99.current > ms(1) }"));
        let try_set = |policy: &str| load(&[library, ("t.rhai", policy)]);
        let faults = try_set(&policy).expect_err(&policy);
        let text = faults[0].to_string();
        assert!(text.starts_with(&format!("t.rhai:{at}:")), "{before}: {text}");
        assert!(text.contains("the value of this expression is discarded and has no effect"), "{before}: {text}");
        assert_eq!(faults.len(), 1, "{before}: {faults:?}");
    }
    for before in
        ["let a = [1]; a.push(2);", "let busy = s.rollout;", "if 1 > 2 { throw \"no\"; }", "let a = [2, 1]; a.sort();"]
    {
        set(&rule(before));
    }
    // A function that declares, or ends the rule, is called for that effect; the last value of a block used as a value
    // is used.
    for text in [
        "fn one(n) { rule(n, #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.rollout), restart()]); }\n\
         fn two(n) { one(n); one(n + \"x\"); }\ntwo(\"a\");",
        &format!("fn sane(n) {{ if n > 9 {{ throw \"no\"; }} }}\n{}", rule("sane(3);")),
        &rule("let a = if 1 > 0 { s.rollout } else { s.can_scale_up };"),
        &rule("let a = { let b = s.rollout; b };"),
        &rule("let a = [1, 2].map(|x| x + 1);"),
        &format!(
            "fn busy(s) {{ if 1 > 0 {{ s.rollout }} else {{ let x = s.can_scale_up; x }} }}\n{}",
            one("when(busy(s)), restart()")
        ),
    ] {
        set(text);
    }
    // What a function ends with is its value; libraries are checked too.
    let busy = format!("fn busy(s) {{ s.cpu.current > pct(60) }}\n{}", one("when(busy(s)), restart()"));
    set(&busy);
    let text = busy.replace("{ s.cpu", "{ s.rollout; s.cpu");
    assert!(try_set(&text).unwrap_err()[0].to_string().starts_with("t.rhai:1:"), "{text}");
    let files =
        [("lib/a.rhai", "fn f(s) { s.rollout; s.can_scale_up }"), ("t.rhai", &one("when(s.rollout), restart()"))];
    assert!(load(&files).unwrap_err()[0].to_string().starts_with("lib/a.rhai:1:"));
}
