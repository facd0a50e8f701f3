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
        ("when(s.p99.current > \"200ms\")", "`200ms` is not a duration: write ms(200)"),
        ("when((s.rollout).held_for(\"200ms\"))", "`200ms` is not a duration: write \"30s\", \"2m\" or \"1h\""),
        ("when(s.rps.forecast_change < -pct(15))", "no function `- (quantity)`: write the sign inside, as in pct(-15)"),
        (
            "when(pct(10) < s.cpu.current < pct(60))",
            "a condition cannot be compared with a quantity: write two, as in when(x > pct(10)), when(x < pct(60))",
        ),
        (
            "when(s.maintenance > 0)",
            "a condition cannot be compared with a number: a flag stands alone, when(s.maintenance)",
        ),
        (
            "when(s.maintenance == true)",
            "a condition cannot be compared with ==: a flag stands alone, when(s.maintenance)",
        ),
        (
            "when(s.p99.current > pct(60))",
            "p99.current is a time: write ms(..), secs(..), mins(..) or \"2m\", not 60.0 %",
        ),
        (
            "when(rps(5) < s.p99.current)",
            "p99.current is a time: write ms(..), secs(..), mins(..) or \"2m\", not 5.0/s",
        ),
        (
            "when(s.p99.current > s.rps.current)",
            "p99.current is a time, rps.current is a rate: they cannot be combined",
        ),
        (
            "when(s.maintenance and s.rollout)",
            "`and` does not combine conditions: write all([a, b]), or list each in a when(..)",
        ),
        ("when(s.maintenance or s.rollout)", "`or` does not combine conditions: write any([a, b])"),
        ("when(s.cpu.current > 60%)", "`%` after a number is not a unit: write pct(60)"),
        ("when(any([s.cpu.current > 60 %, s.rollout]))", "`%` after a number is not a unit: write pct(60)"),
        ("when(s.rollout), scale_by(1e400)", "inf is not a finite number"),
        ("when(s.cpu.at(\"3h\") > pct(1))", "at(3h): the forecast reaches 30 minutes ahead"),
        ("when(s.rps.change_at(\"31m\") > pct(1))", "change_at(31m): the forecast reaches 30 minutes ahead"),
        ("when(s.rps.quantile(0.9, \"31m\") > rps(1))", "quantile(0.9, 31m): the forecast reaches 30 minutes ahead"),
        ("when(s.rps.upper95(\"31m\") > rps(1))", "upper95(31m): the forecast reaches 30 minutes ahead"),
    ] {
        let found = fault(clause);
        assert!(found.contains(expected), "{clause}\n   got: {found}\nwanted: {expected}");
    }
    assert!(!fault("when(s.rollout), scale_by(pct(9))").contains("write a plain number"));
    let functions = (0..300).map(|number| format!("fn f{number}() {{}}\n")).collect::<Vec<_>>().concat();
    let many = try_set(&format!("{functions}{}", one("when(s.rollout), restart()"))).unwrap_err()[0].to_string();
    assert!(many.contains("limit: more than 256 functions in one file"), "{many}");
}

/// What the parser reports of a text means little without what its author tried to write.
#[test]
fn a_syntax_error_says_what_to_write_instead() {
    for (policy, expected) in [
        (one("when(s.rollout), restart()").replace("#{", "{"), "t.rhai:1:13: a map is written #{ .. }, with a `#`"),
        (
            format!("for r in [\"a\", \"b\"] {{\n{}\n}}", one("when(s.p99.region(r).current > ms(1)), restart()")),
            "t.rhai:3:19: `r` is declared outside the function: it would be shared between services",
        ),
        (
            "when(s.rollout);".to_owned(),
            "t.rhai:1:6: `s` exists only inside a rule: rule(\"name\", #{ .. }, |s, p| [..])",
        ),
        ("fn f() { p.x }".to_owned(), "t.rhai:1:10: `p` exists only inside a rule: "),
    ] {
        refused(&policy, expected);
    }
}

/// The engine reports the call of the rule as the place where it was stopped.
#[test]
fn what_never_ends_is_shown_at_its_own_line() {
    let rule = |body: &str| format!("rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{\n{body}\n[] }});");
    refused(&rule("let a = 1;\n  loop {\n a += 1;\n}"), "t.rhai:4:");
    refused(&rule("  for i in 0..1000000000 { }"), "t.rhai:2:");
    let named = format!("fn f() {{ loop {{ }} }}\n{}", rule("let a = 1;\n  let b = f();"));
    refused(&named, "t.rhai:4:11: rule r: operations: more than 5000");
    refused(&one("when({ loop { } s.rollout }), restart()"), "t.rhai:2:");
}

/// A value that the engine spells out may hold types of ours, by their paths in the source.
#[test]
fn what_is_thrown_is_a_text() {
    for (thrown, expected) in [
        ("#{ a: s }", "it throws a map: throw a text that says what is wrong"),
        ("s", "it throws the service: throw a text that says what is wrong"),
        ("3", "Runtime error: 3"),
        ("\"why\"", "why"),
    ] {
        let rule = format!("rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{\n throw {thrown}; }});");
        refused(&rule, &format!("t.rhai:2:2: rule r: {expected}"));
    }
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
