//! The parts of `any` and `all` are visible: counted, shown with their numbers, and their distance known.

use super::*;
use crate::model::explain::{clause, flips, rules};

const ANY: &str = "when(any([s.cpu.current > pct(60), s.maintenance])), restart()";

/// The conditions of a rule that tests saw, each with what was never seen of it.
fn seen(clauses: &str, tests: &str) -> Vec<(String, String)> {
    let set = Arc::new(set(&one(clauses)));
    let report = run_tests(&set, &vocabulary(), [("x_test.rhai", tests)], &|_| true, &never).unwrap();
    assert_eq!(report.failures().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    let conditions = report.coverage.rules.iter().flat_map(|rule| &rule.conditions);
    conditions.map(|condition| (condition.text.clone(), condition.missing())).collect()
}

#[test]
fn coverage_counts_the_parts_of_a_combination() {
    let tests = "test(\"a\", || {\n\
        given(#{ \"cpu.current\": pct(70), maintenance: false }).decide().expect(\"r\");\n\
        given(#{ \"cpu.current\": pct(50), maintenance: false }).decide().expect_none();\n\
        given(#{}).decide().expect_unknown(\"r\");\n});";
    let whole = "when(any(cpu.current > 60.0 %, maintenance))";
    let of = |part: &str| format!("{part} in {whole}");
    assert_eq!(
        seen(ANY, tests),
        [
            (whole.to_owned(), String::new()),
            (of("cpu.current > 60.0 %"), String::new()),
            (of("maintenance"), "true".to_owned()),
        ]
    );
    let deep = "unless(!all([s.rollout, any([s.maintenance, s.emergency]).or(false)])), restart()";
    let found: Vec<_> = seen(deep, "").into_iter().map(|(text, missing)| format!("{text}: {missing}")).collect();
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found[2].contains("any(maintenance, emergency).or(false) in unless(") && found[2].ends_with("true, false"));
    assert!(found[4].ends_with("true, false, unknown"), "{found:#?}");
}

/// A part is shown with its value, bound and margin, and whether it holds; so is that of a parameter.
#[test]
fn a_combination_is_told_with_the_numbers_of_its_parts() {
    let policy = format!("param(\"busy\", pct(75), #{{ doc: \"x\" }});\n{}", one(&ANY.replace("pct(60)", "p.busy")));
    let proposal = Case::new().set("cpu", 0.55).set("maintenance", 1.0).ask(&policy);
    let text = rules(&proposal);
    let lines: Vec<_> = text.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "  yes  any(cpu.current > p.busy, maintenance) (yes)",
            "    no   cpu.current 55.0 % > 75.0 %, short by 20.0 points (4 s old)",
            "    yes  maintenance (yes) (4 s old)",
        ]
    );
    let line = clause(&proposal.rules[0].conditions[0]);
    assert!(line.contains("cpu.current 55.0 % > 75.0 %, short by 20.0 points"), "{line}");
}

#[test]
fn whatif_says_what_each_part_lacks() {
    let needed = |case: &Case, clauses: &str| {
        let (matches, flips) = flips(&case.rule(clauses));
        (matches, flips.into_iter().map(|flip| flip.needed).collect::<Vec<_>>())
    };
    let calm = Case::new().set("cpu", 0.55);
    assert_eq!(
        needed(&calm, ANY),
        (false, vec!["true, by one of these: cpu.current above 60.0 %, 5.0 points more; maintenance true".to_owned()])
    );
    let all = ANY.replace("any", "all");
    let busy = Case::new().set("cpu", 0.70);
    assert_eq!(needed(&busy, &all), (false, vec!["true: maintenance true".to_owned()]));
    assert_eq!(needed(&busy, ANY), (true, vec!["false: cpu.current at most 60.0 %, 10.0 points less".to_owned()]));
    let nor = "when(!any([s.cpu.current > pct(60), s.maintenance])), restart()";
    assert_eq!(needed(&calm.set("maintenance", 1.0), nor), (false, vec!["true: maintenance false".to_owned()]));
}

/// A mask of a signal or parameter applies to the parts, too.
#[test]
fn a_masked_part_is_not_shown() {
    let mask = crate::model::RecordMask { signals: [SignalName::new("cpu").unwrap()].into(), ..Default::default() };
    let set = set(&one(ANY));
    let case = Case::new().set("cpu", 0.4711);
    let mut proposal = case.decide(&mut Decider::new(), &set);
    assert!(serde_json::to_string(&proposal).unwrap().contains("0.4711"));
    set.mask(&mut proposal, &mask);
    let shown = format!("{}{}", serde_json::to_string(&proposal).unwrap(), rules(&proposal));
    assert!(!shown.contains("4711") && !shown.contains("47.1") && shown.contains("masked"), "{shown}");
}
