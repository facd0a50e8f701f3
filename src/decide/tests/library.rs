//! Files below `lib/`: imported, without rules of their own.

use super::*;

const SLO: &str = "fn span() { \"2m\" }\n\
                   fn breach(signal, bound) { (signal.predicted > bound).held_for(span()) }\n\
                   fn careful(s, bound) { [when(breach(s.p99, bound)), unless(s.rollout)] }";

fn user(clauses: &str) -> String {
    format!("import \"lib/slo\" as slo;\n{}", one(clauses))
}

#[test]
fn functions_of_a_library_are_clauses_and_conditions_of_a_rule() {
    let policy = user("slo::careful(s, ms(200)), restart()");
    let set = load(&[("lib/slo.rhai", SLO), ("t.rhai", &policy)]).unwrap();
    let rule = Case::new().forecast("p99", 0.3).decide(&mut Decider::new(), &set).rules.remove(0);
    assert_eq!(rule.conditions.len(), 2);
    assert_eq!(rule.conditions[0].held_for.unwrap().needed, Duration::from_mins(2));
    assert_eq!((rule.conditions[0].bound, rule.conditions[1].negated), (Some(0.2), true));
}

#[test]
fn helpers_and_other_libraries_may_use_a_library() {
    let outer = "import \"lib/slo\" as slo;\nfn late(s) { slo::breach(s.p99, ms(100)) }";
    let policy = format!(
        "import \"lib/deep/outer\" as o;\nfn helper(s) {{ o::late(s) }}\n{}",
        one("when(helper(s)), unless(o::late(s)), restart()")
    );
    let files = [("lib/deep/outer.rhai", outer), ("lib/slo.rhai", SLO), ("t.rhai", policy.as_str())];
    let set = load(&files).unwrap();
    let rule = Case::new().decide(&mut Decider::new(), &set).rules.remove(0);
    assert_eq!(rule.conditions.iter().map(|trace| trace.bound).collect::<Vec<_>>(), [Some(0.1), Some(0.1)]);
}

#[test]
fn a_library_is_part_of_the_revision() {
    let policy = user("slo::careful(s, ms(200)), restart()");
    let revision = |library: &str| load(&[("lib/slo.rhai", library), ("t.rhai", &policy)]).unwrap().revision().clone();
    assert_ne!(revision(SLO), revision(&SLO.replace("2m", "3m")));
}

#[test]
fn what_is_wrong_with_a_library_is_said_at_its_own_place() {
    let rule = user("slo::careful(s, ms(200)), restart()");
    for (library, policy, expected) in [
        ("fn x( {", rule.as_str(), "lib/slo.rhai:1:7: "),
        ("rule(\"x\", #{}, 1);", &rule, "lib/slo.rhai:1:1: rule(..) belongs in a file outside lib/"),
        ("param(\"x\", 1);", &rule, "lib/slo.rhai:1:1: param(..) belongs in a file"),
        ("otherwise(\"x\");", &rule, "lib/slo.rhai:1:1: otherwise(..) belongs in a file"),
        ("import \"lib/slo\" as me;", &rule, "lib/slo.rhai:1:8: `lib/slo` imports itself, via lib/slo"),
        ("import \"../etc\" as me;", &rule, "lib/slo.rhai:1:8: no library `../etc`: import a file of"),
        ("const SPAN = 1; fn f() { SPAN }", &rule, "lib/slo.rhai:1:26: `SPAN` is declared outside the function"),
        ("loop { }", &rule, "lib/slo.rhai:1:6: operations: more than 200000"),
        (
            "fn careful(s, bound) {\n  [when(s.p9.current > bound)]\n}",
            &rule,
            "lib/slo.rhai:2:10: rule r: unknown signal `p9`",
        ),
        ("fn careless() { 1 }", &rule, "t.rhai:3:6: rule r: no function `slo::careful"),
        (SLO, &user("slo::careful(s), restart()"), "t.rhai:3:6: rule r: no function `slo::careful"),
        (SLO, &rule.replace("lib/slo", "slo"), "t.rhai:1:8: no library `slo`: import a file of the set"),
        (SLO, &rule.replace("lib/slo", "lib/none"), "t.rhai:1:8: no library `lib/none`"),
    ] {
        let faults = load(&[("lib/slo.rhai", library), ("t.rhai", policy)]).expect_err(library);
        let text = faults[0].to_string();
        assert!(text.starts_with(expected), "{library}\n{policy}\n   got: {text}\nwanted: {expected}");
    }
    let circle = [
        ("lib/a.rhai", "import \"lib/b\" as b;"),
        ("lib/b.rhai", "import \"lib/a\" as a;"),
        ("t.rhai", &one("when(s.rollout), restart()")),
    ];
    let faults = load(&circle).unwrap_err();
    assert_eq!(faults[0].to_string(), "lib/a.rhai:1:8: `lib/b` did not load");
    assert_eq!(faults[1].to_string(), "lib/b.rhai:1:8: `lib/a` imports itself, via lib/a, lib/b");
}

#[test]
fn a_name_that_nobody_declares_is_refused_in_a_function_that_no_rule_calls_too() {
    let rule = user("slo::careful(s, ms(200)), restart()");
    let idle = |function: &str| format!("{SLO}\n{function}");
    for (function, expected) in [
        (
            "fn idle(s) { s.p9.current > ms(1) }",
            "lib/slo.rhai:4:16: unknown signal `p9` in function `idle`, which no rule",
        ),
        ("fn idle(s) { inner(s) }\nfn inner(s) { [when(s.quue.over(\"5m\").max > 1)] }", "lib/slo.rhai:5:"),
        ("fn idle(s) { if true { s.rollot } else { false } }", "lib/slo.rhai:4:"),
    ] {
        let faults = load(&[("lib/slo.rhai", &idle(function)), ("t.rhai", &rule)]).expect_err(function);
        let told = faults[0].to_string();
        assert!(faults.len() == 1 && told.starts_with(expected), "{function}: {told}");
        assert!(told.contains("; did you mean `"), "{told}");
    }
    for fine in [
        "fn idle(s) { s.p99.current > ms(1) }",
        "fn idle(s) { s.predicted > ms(1) }",
        "fn idle(signal) { signal.p9 }",
        "fn idle(s) { s.p99_region_a.current > ms(1) } // s.nothing",
        "fn idle(s) { s.replicas.current > 3 }",
    ] {
        let loaded = load(&[("lib/slo.rhai", &idle(fine)), ("t.rhai", &rule)]);
        assert!(loaded.is_ok(), "{fine}: {loaded:?}");
    }
    // A function called with a map is checked at the call.
    let map = user("when(s.queue.current > slo::of(#{ most: 3 })), restart()");
    let loaded = load(&[("lib/slo.rhai", &idle("fn of(s) { deeper(s) }\nfn deeper(s) { s.most }")), ("t.rhai", &map)]);
    assert!(loaded.is_ok(), "{loaded:?}");
}

#[test]
fn imports_are_limited() {
    let many: Vec<_> = (0..17).map(|number| format!("import \"lib/slo\" as l{number};\n")).collect();
    let policy = many.concat() + one("when(s.rollout), restart()").as_str();
    let faults = load(&[("lib/slo.rhai", SLO), ("t.rhai", &policy)]).unwrap_err();
    assert_eq!(faults[0].to_string(), "t.rhai:17:1: limit: too many imports");
    let chain: Vec<_> = (0..10)
        .map(|number| (format!("lib/l{number}.rhai"), format!("import \"lib/l{}\" as next;", number + 1)))
        .chain([("lib/l10.rhai".to_owned(), String::new()), ("t.rhai".to_owned(), one("when(s.rollout), restart()"))])
        .collect();
    let files: Vec<_> = chain.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let faults = load(&files).unwrap_err();
    assert!(faults.iter().any(|fault| fault.message.contains("more than 8 levels deep")), "{faults:?}");
}

/// A library of a namespace and a fleet library of the same name: an import would be ambiguous.
#[test]
fn two_files_of_one_name_are_refused() {
    let files = [("t.rhai", "x"), ("lib/slo.rhai", "fn one() { 1 }"), ("lib/slo.rhai", "fn one() { 2 }")];
    let faults = load(&files).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "lib/slo.rhai: the set has two files with this name: rename one, and update its imports"
    );
}
