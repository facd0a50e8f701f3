//! What a test may state as known: only what is possible, and no statement is dropped.

use super::*;

const POLICY: &str = "rule(\"r\", #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.replicas.current > 3), restart()]);\n\
    rule(\"e\", #{ priority: 2, goal: \"protect\" }, |s, p| [when(s.errors.current > pct(5)), restart()]);";

/// Runs a test with this body and returns why it failed.
fn outcome(words: &str) -> Option<String> {
    let set = Arc::new(set(POLICY));
    let test = format!("test(\"x\", || {{\n{words}\n}});");
    let words = Vocabulary::of([]).unwrap();
    let report = run_tests(&set, &words, [("x_test.rhai", test.as_str())], &|_| true, &never).unwrap();
    report.tests.into_iter().next().unwrap().failure.map(|failure| failure.to_string())
}

#[test]
fn what_cannot_be_cannot_be_given() {
    for (facts, expected) in [
        ("\"replicas.current\": -4", "replicas.current is -4, expected a whole number from 0 to 100000"),
        ("\"replicas.ready\": 4.9", "replicas.ready is 4.9, expected a whole number from 0 to 100000"),
        ("\"capacity.floor\": -1", "capacity.floor is -1, expected a whole number"),
        ("\"errors.current\": pct(120)", "errors.current is 120.0 %, errors ranges from 0.0 % to 100.0 %"),
        ("\"errors.mean\": pct(-1)", "errors.mean is -1.0 %, errors ranges from 0.0 % to 100.0 %"),
        ("\"errors.predicted\": pct(101)", "errors.predicted is 101.0 %, errors ranges from 0.0 % to 100.0 %"),
        ("\"errors.upper95_of_max\": pct(500)", "errors.upper95_of_max is 500.0 %, errors ranges from"),
        ("\"bounds.min\": 9, \"bounds.max\": 4", "bounds.min is 9, above bounds.max, which is 4"),
        (
            "can_scale_up: true, at_max_replicas: true",
            "can_scale_up is given as true, but the other facts make it false: ",
        ),
        ("can_scale_up: true, \"replicas.current\": 9, \"bounds.max\": 9", "can_scale_up is given as true, but"),
        ("at_min_replicas: true, \"replicas.current\": 9, \"bounds.min\": 2", "at_min_replicas is given as true, but"),
    ] {
        let found = outcome(&format!("given(#{{ {facts} }}).decide();")).unwrap_or_default();
        assert!(found.starts_with("x_test.rhai:2:") && found.contains(expected), "{facts}: {found}");
        let timeline = outcome(&format!("timeline(\"15s\").set(#{{ {facts} }}).run(\"15s\");")).unwrap_or_default();
        assert!(timeline.contains(expected), "{facts}: {timeline}");
    }
    for facts in [
        "\"replicas.current\": 0, \"replicas.ready\": 0",
        "\"errors.current\": pct(100), \"cpu.current\": pct(120)",
        "\"errors.change_5m\": pct(900), \"errors.forecast_change\": pct(-50)",
        "\"bounds.max\": 1, \"replicas.current\": 1",
        "\"bounds.min\": 30",
        "can_scale_up: false, at_max_replicas: true",
        "can_scale_up: true, at_min_replicas: true",
        "can_scale_up: false, at_max_replicas: true, at_min_replicas: true",
    ] {
        assert_eq!(outcome(&format!("given(#{{ {facts} }}).decide();")), None, "{facts}");
    }
}

#[test]
fn a_change_that_nobody_uses_fails_the_test() {
    let given = "let a = given(#{ \"replicas.current\": 2 });\n";
    for words in ["a.set(\"replicas.current\", 9); a.decide().expect_none();", "a.without(\"replicas\"); a.decide();"] {
        let found = outcome(&format!("{given}{words}")).unwrap_or_default();
        assert!(found.starts_with("x_test.rhai:3:3: the result of set(..) or without(..) is unused"), "{found}");
    }
    for words in [
        "let b = a.set(\"replicas.current\", 9); b.decide().expect(\"r\"); a.decide().expect_none();",
        "a = a.set(\"replicas.current\", 9).without(\"rps\"); a.decide().expect(\"r\");",
        "let t = timeline(\"15s\"); t.set(\"replicas.current\", 9); t.without(\"rps\"); t.run(\"15s\").expect(\"r\");",
    ] {
        assert_eq!(outcome(&format!("{given}{words}")), None, "{words}");
    }
}
