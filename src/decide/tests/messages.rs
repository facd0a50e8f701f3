//! A fault says what to write instead.

use super::*;

/// The first fault of a rule with this clause.
fn fault(clause: &str) -> String {
    try_set(&format!("param(\"x\", 5);\n{}", one(&format!("{clause}, restart()")))).expect_err(clause)[0].to_string()
}

#[test]
fn a_fault_says_what_to_write_instead() {
    for (clause, expected) in [
        ("when(s[\"cpu\"].current > pct(1))", "access a signal with a dot: write .cpu instead of [\"cpu\"]"),
        ("when(s.cpu[\"current\"] > pct(1))", "access a view of a signal with a dot: write .current instead of"),
        ("when(p[\"x\"] > 1)", "access a parameter with a dot: write .x instead of [\"x\"]"),
        ("when(s.maintenance.current)", "maintenance is a condition and has no `current`: write when(s.maintenance)"),
        ("when(s.queue.current > p.x.current)", "p.x is a number and has no `current`: remove `.current`"),
        ("when(s.cpu.current.mean > pct(1))", "cpu.current is a number and has no `mean`: remove `.mean`"),
        ("when(S.cpu.current > pct(1))", "unknown name `S`: did you mean `s`?"),
        ("when(s.cpu.current > LIMIT)", "unknown name `LIMIT`: functions do not see the constants of their file"),
        (
            "when(s.rollout), scale_to(s.rps.current)",
            "scale_to is a rate, expected a plain number: convert it with .needs_rep",
        ),
        ("when(s.rollout), scale_by(pct(9))", "scale_by is a share, expected a plain number"),
        ("when(\"x\")", "no function `when (text)`: it takes a condition"),
        ("when(cpu.current > pct(1))", "unknown name `cpu`: a signal is read as `s.cpu`, a parameter as `p.cpu`"),
        ("when(not s.rollout)", "unknown name `not`: write unless(..), or `!` before the condition"),
        (
            "when((s.cpu.current > pct(1)).held_for(120))",
            "no function `held_for (condition, i64)`: it is called as `held_for(\"2m\")`",
        ),
        ("note(3)", "no function `note (i64)`: it is called as `note(\"why\")`"),
        ("when(s.rollout), scale_bye(2)", "no function `scale_bye (i64)`; did you mean `scale_by`?"),
        ("when(s.rollout), scale_by(1.2, 4)", "no function `scale_by (f64, i64)`: it is called as `scale_by(1.5)`"),
        ("note('why')", "a text stands in \"double quotes\""),
        ("# why\nnote(\"why\")", "a comment begins with //"),
    ] {
        let found = fault(clause);
        assert!(found.contains(expected), "{clause}\n   got: {found}\nwanted: {expected}");
    }
    assert!(!fault("when(s.rollout), scale_by(pct(9))").contains("write a plain number"));
    let functions = (0..300).map(|number| format!("fn f{number}() {{}}\n")).collect::<Vec<_>>().concat();
    let many = try_set(&format!("{functions}{}", one("when(s.rollout), restart()"))).unwrap_err()[0].to_string();
    assert!(many.contains("limit: more than 256 functions in one file"), "{many}");
}

#[test]
fn a_test_that_does_not_decide_is_told_to() {
    let set = Arc::new(set(&one("when(s.rollout), restart()")));
    for (words, expected) in [
        ("given(#{}).expect(\"r\")", "no function `expect (given, text)`: decide first, given(..).decide()"),
        (
            "given(#{}).run(\"1m\")",
            "no function `run (given, text)`: time passes in a timeline(..); given(..) takes .decide()",
        ),
        (
            "timeline(\"15s\").expect_none()",
            "no function `expect_none (timeline)`: decide first, timeline(..).run(\"1m\")",
        ),
        ("timeline(\"15s\").decide()", "no function `decide (timeline)`: let time pass, timeline(..).run(\"1m\")"),
    ] {
        let test = format!("test(\"x\", || {words});");
        let report = run_tests(&set, &vocabulary(), [("x_test.rhai", test.as_str())], &|_| true, &never).unwrap();
        let found = report.failures().next().unwrap().to_string();
        assert!(found.contains(expected), "{words}\n   got: {found}\nwanted: {expected}");
    }
}

/// That a document is not found follows from its own fault, and is not reported.
#[test]
fn a_document_with_a_fault_is_told_once() {
    let policy = format!(
        "param(\"x\", data(\"c\").limit);\n{}",
        one("when(s.queue.current > p.x), when(s.queue.current > data(\"c\").limit), restart()")
    );
    let faults = load(&[("a.rhai", &policy), ("c.data.json", "{ \"limit\": ,")]).unwrap_err();
    let told: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].starts_with("c.data.json:1:"), "{told:#?}");
    let faults = load(&[("a.rhai", &policy), ("c.data.json", "{ \"lim\": 1 }")]).unwrap_err();
    assert!(faults[0].to_string().contains("it has no `limit`; known: lim; did you mean `lim`?"), "{}", faults[0]);
}

#[test]
fn a_member_that_a_document_does_not_have_is_told_with_those_that_it_has() {
    let document = r#"{ "limit": 1, "spot": { "eu": { "high": 2, "low": 1 } }, "none": {} }"#;
    for (read, expected) in [
        ("data(\"c\").lmi", "it has no `lmi`; known: limit, none, spot; did you mean `limit`?"),
        ("data(\"c\")[\"lmi\"]", "it has no `lmi`; known: limit, none, spot; did you mean `limit`?"),
        ("data(\"c\").spot[\"eu\"].hihg", "it has no `hihg`; known: high, low; did you mean `high`?"),
        ("data(\"c\").none.x", "it has no `x`; it is empty"),
        ("data(\"c\").spot.overseas", "it has no `overseas`; known: eu"),
        ("#{ a: 1 }.hgih", "it has no `hgih`: check the content of the document or map; did you mean `high`?"),
    ] {
        let policy = one(&format!("when(s.queue.current > {read}), restart()"));
        let faults = load(&[("a.rhai", &policy), ("c.data.json", document)]).unwrap_err();
        let told = faults[0].to_string();
        assert!(told.ends_with(expected), "{read}\n   got: {told}\nwanted: {expected}");
    }
}
