//! The tests of policies are themselves a language: its meaning, and that its expectations can fail.

use super::*;

const POLICY: &str = "param(\"limit\", 5);\n\
    rule(\"r\", #{ priority: 1, goal: \"protect\" }, |s, p| [\n\
      when(s.queue.current > p.limit), when(s.can_scale_up), unless(s.maintenance.or(false)), scale_by(2)\n\
    ]);\n\
    rule(\"held\", #{ priority: 2, goal: \"protect\" }, |s, p| [\n\
      when((s.cpu.current > pct(50)).held_for(\"1m\")), restart()\n\
    ]);";

fn report(tests: &str) -> Result<TestReport, Vec<PolicyFault>> {
    let set = Arc::new(set(POLICY));
    run_tests(&set, &vocabulary(), [("x_test.rhai", tests), ("x.rhai", "not a test")], &|_| true, &never)
}

/// Runs a test with this body and returns why it failed.
fn outcome(words: &str) -> Option<String> {
    let report =
        report(&format!("test(\"x\", || {{\n{words}\n}});")).unwrap_or_else(|faults| panic!("{words}: {faults:?}"));
    report.tests.into_iter().next().unwrap().failure.map(|failure| failure.to_string())
}

const BUSY: &str = "given(#{ \"queue.current\": 9, can_scale_up: true })";

#[test]
fn expectations_pass_and_fail() {
    for (words, failure) in [
        (".decide().expect(\"r\")", None),
        (".decide().expect(\"r\").expect_action(\"scale by 2\").because(\"queue.current\").margin_at_least(4)", None),
        (".set(\"queue.current\", 5).decide().expect_none()", None),
        (".without(\"queue\").decide().expect_unknown(\"r\")", None),
        (".without(\"queue.current\").decide().expect_unknown(\"r\")", None),
        (".without(\"queue\").decide().expect_no_rule_reading(\"queue\")", None),
        (".set(\"p.limit\", 9).decide().expect_not_matched(\"r\")", None),
        (".set(\"maintenance\", true).decide().expect_none()", None),
        (".set(\"can_scale_up\", false).set(\"at_max_replicas\", true).decide().expect_none()", Some("nothing")),
        (".decide().expect(\"held\")", Some("expected held to act, r acts: scale by 2; held: cpu.current is unknown")),
        (
            ".set(\"cpu.current\", pct(80)).decide().expect(\"held\")",
            Some("held: cpu.current may not have held long enough"),
        ),
        (".decide().expect_none()", Some("expected nothing to be done, r acts: scale by 2")),
        (".decide().expect_action(\"scale by 3\")", Some("expected to scale by 3, r acts: scale by 2")),
        (
            ".set(\"queue.current\", 1).decide().expect(\"r\")",
            Some(
                "expected r to act, nothing is done: no policy matched (held: cpu.current is unknown); r: queue.current 1 > 5, short by 4",
            ),
        ),
        (".decide().expect_unknown(\"r\")", Some("expected r to be unknown, it is matched")),
        (".decide().expect_no_rule_reading(\"queue\")", Some("r matches although queue is not known")),
        (".decide().because(\"cpu.current\")", Some("r has no condition `cpu.current`; known: queue.current, can_sc")),
        (
            ".decide().because(\"queue.current\").margin_at_least(4.1)",
            Some("queue.current holds by 4, expected at least"),
        ),
        (".decide().margin_at_least(4)", Some("margin_at_least(..) must follow because(..)")),
        (".decide().because(\"queue.current\").margin_at_least(ms(4))", Some("margin_at_least is a time, expected a")),
        (".decide().expect(\"none\")", Some("the set has no rule `none`; known: r, held")),
        (".set(\"queue\", 1)", Some("queue is a signal: name a view of it, such as \"queue.current\"")),
        (".set(\"queue.currant\", 1)", Some("`queue.currant` cannot be given, expected flags, views of signals")),
        (".set(\"queue.current\", ms(1))", Some("queue.current is a time, expected a plain number")),
        (".set(\"maintenance\", 1)", Some("maintenance is a number, expected true or false")),
        (".set(\"p.none\", 1)", Some("the set has no parameter `none`")),
        (".without(\"none\")", Some("`none` cannot be given")),
    ] {
        let (words, failure) = match failure {
            Some("nothing") => (words, None),
            other => (words, other),
        };
        let found = outcome(&format!("{BUSY}{words};"));
        match (&found, failure) {
            (None, None) => (),
            (Some(found), Some(expected)) if found.starts_with("x_test.rhai:2:") && found.contains(expected) => (),
            _ => panic!("{words}\n   got: {found:?}\nwanted: {failure:?}"),
        }
    }
}

#[test]
fn time_passes_in_a_timeline_alone() {
    let busy = "let t = timeline(\"15s\").set(\"cpu.current\", pct(60));\n";
    for (words, failure) in [
        ("t.run(\"1m\").expect_none(); t.run(\"15s\").expect(\"held\");", None),
        ("t.run(\"75s\").expect(\"held\");", None),
        ("t.run(\"75s\").expect_none();", Some("expected nothing to be done, after 5 steps held acts")),
        (
            "t.run(\"45s\"); t.set(\"cpu.current\", pct(1)).run(\"15s\"); t.set(\"cpu.current\", pct(60)).run(\"1m\").expect_none();",
            None,
        ),
        ("t.run(\"1m\"); t.without(\"cpu\").run(\"15s\").expect_unknown(\"held\");", None),
        ("t.run(\"5s\").expect_none(); t.run(\"5s\");", Some("the run is shorter than one step")),
        ("t.run(\"soon\");", Some("`soon` is not a duration")),
        ("timeline(\"1s\").run(\"24h\");", Some("takes 86400 decisions, the limit is 5760")),
    ] {
        let found = outcome(&format!("{busy}{words}"));
        let expected = failure.is_none_or(|expected| found.as_ref().is_some_and(|found| found.contains(expected)));
        assert!(expected && found.is_some() == failure.is_some(), "{words}: {found:?}, wanted {failure:?}");
    }
    assert_eq!(outcome("given(#{ \"cpu.current\": pct(60) }).decide().expect_none();"), None);
}

#[test]
fn every_view_can_be_given() {
    let rule = |condition: &str| {
        format!("rule(\"r\", #{{ priority: 1, goal: \"protect\" }}, |s, p| [when({condition}), restart()]);")
    };
    for (condition, facts) in [
        ("s.p99.current > ms(9)", "\"p99.current\": ms(10)"),
        ("s.p99.mean > ms(9)", "\"p99.mean\": ms(10)"),
        ("s.p99.predicted > ms(9)", "\"p99.predicted\": ms(10)"),
        ("s.p99.at(\"30m\") > ms(9)", "\"p99.predicted\": ms(10)"),
        ("s.rps.forecast_change > pct(9)", "\"rps.forecast_change\": pct(10)"),
        ("s.rps.upper95(\"5m\") > rps(9)", "\"rps.upper95\": rps(10)"),
        ("s.rps.upper95_of_max(\"30m\") > rps(9)", "\"rps.upper95_of_max\": rps(10)"),
        ("s.p99.over(\"5m\").p99 > ms(9)", "\"p99.p99_5m\": ms(10)"),
        ("s.p99.over(\"5m\").max > ms(9)", "\"p99.max_5m\": ms(10)"),
        ("s.p99.over(\"5m\").change > pct(9)", "\"p99.change_5m\": pct(10)"),
        ("s.replicas.ready < s.replicas.current", "\"replicas.ready\": 3"),
        ("s.rollout", "rollout: true"),
        ("s.at_min_replicas", "at_min_replicas: true"),
        ("s.at_min_replicas", "\"replicas.current\": 4, \"bounds.min\": 4"),
        ("!s.can_scale_up", "\"replicas.current\": 4, \"bounds.max\": 4"),
        ("s.capacity.needed_now > 4", "\"capacity.needed_now\": 5"),
        ("s.capacity.needed_ahead > 4", "\"capacity.needed_ahead\": 5"),
        ("s.capacity.floor > 4", "\"capacity.floor\": 5"),
        ("s.rps.current.needs_replicas() > 4", "\"capacity.per_pod\": rps(10), \"rps.current\": rps(50)"),
    ] {
        let set = Arc::new(set(&rule(condition)));
        let tests = format!(
            "test(\"known\", || given(#{{ {facts} }}).decide().expect(\"r\"));\n\
             test(\"not known\", || given(#{{}}).decide().expect_unknown(\"r\"));"
        );
        let report = run_tests(&set, &vocabulary(), [("x_test.rhai", tests.as_str())], &|_| true, &never).unwrap();
        assert_eq!(report.failures().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "{condition}");
        assert_eq!(report.tests.len(), 2);
    }
}

#[test]
fn coverage_counts_each_truth_of_each_condition() {
    let seen = |tests: &str| {
        let coverage = report(tests).unwrap().coverage;
        let missing =
            coverage.rules.iter().flat_map(|rule| &rule.conditions).map(crate::decide::ConditionCoverage::missing);
        (coverage.share(), missing.collect::<Vec<_>>())
    };
    let all = "true, false, unknown";
    assert_eq!(seen(""), (0.0, vec![all.to_owned(), all.into(), "true, false".into(), all.into()]));
    let (share, missing) = seen(&format!("test(\"a\", || {BUSY}.decide().expect(\"r\"));"));
    assert_eq!(missing, ["false, unknown", "false, unknown", "false", "true, false"]);
    assert!((share - 4.0 / 11.0).abs() < 1e-9, "{share}");
    let full = format!(
        "test(\"a\", || {BUSY}.decide().expect(\"r\"));\n\
         test(\"b\", || given(#{{}}).decide().expect_none());\n\
         test(\"c\", || {{ {BUSY}.set(\"queue.current\", 1).set(\"can_scale_up\", false).set(\"maintenance\", true).decide().expect_none(); }});\n\
         test(\"e\", || given(#{{ \"cpu.current\": pct(10) }}).decide().expect_not_matched(\"held\"));\n\
         test(\"d\", || timeline(\"15s\").set(\"cpu.current\", pct(60)).run(\"2m\").expect(\"held\"));"
    );
    assert_eq!(seen(&full), (1.0, vec![String::new(); 4]));
}

/// A decision that no expectation looks at proves nothing.
#[test]
fn what_no_expectation_looks_at_is_not_covered() {
    let share = |words: &str| report(&format!("test(\"x\", || {{ {words} }});")).unwrap().coverage.share();
    for (words, covered) in [
        (format!("{BUSY}.decide();"), 0),
        ("timeline(\"15s\").set(\"cpu.current\", pct(60)).run(\"2m\");".to_owned(), 0),
        (format!("{BUSY}.decide(); given(#{{ \"cpu.current\": pct(60) }}).decide().expect_none();"), 4),
        (format!("let made = {BUSY}.decide(); made.expect(\"r\"); made.expect_matched(\"r\");"), 4),
        // An expectation on a run looks at all its decisions, and at no other run.
        (
            "let t = timeline(\"15s\").set(\"cpu.current\", pct(60)); t.run(\"1m\"); t.run(\"15s\").expect(\"held\");"
                .to_owned(),
            4,
        ),
        ("let t = timeline(\"15s\").set(\"cpu.current\", pct(60)); t.run(\"75s\").expect(\"held\");".to_owned(), 5),
    ] {
        assert!((share(&words) - f64::from(covered) / 11.0).abs() < 1e-9, "{words}: {}", share(&words) * 11.0);
    }
}

#[test]
fn test_files_are_checked_before_any_test_runs() {
    for (tests, expected) in [
        ("test(\"x\" || 1);", "x_test.rhai:1:6: Expecting a boolean"),
        ("test(\"x\", || 1);\ntest(\"x\", || 2);", "x_test.rhai:2:1: test `x` already exists in this file"),
        ("tset(\"x\", || 1);", "x_test.rhai:1:1: no function `tset"),
        ("given(#{ none: true });", "x_test.rhai:1:1: `none` cannot be given"),
        ("rule(\"r\", #{}, 1);", "x_test.rhai:1:1: no function `rule"),
        ("loop { }", "x_test.rhai:1:6: operations: more than 200000"),
    ] {
        let faults = report(tests).unwrap_err();
        assert!(faults[0].to_string().starts_with(expected), "{tests}: {}", faults[0]);
    }
}

#[test]
fn a_test_that_never_ends_fails_and_the_next_one_runs() {
    let report =
        report("test(\"a\", || { loop { } });\ntest(\"b\", || { throw \"no\"; });\ntest(\"c\", || 1);").unwrap();
    let failures: Vec<_> = report.tests.iter().map(|test| test.failure.as_ref().map(ToString::to_string)).collect();
    assert!(failures[0].as_ref().unwrap().contains("operations: more than 200000"), "{failures:?}");
    assert_eq!(failures[1].as_deref(), Some("x_test.rhai:2:16: no"));
    assert_eq!(failures[2], None);
}

#[test]
fn only_the_wanted_tests_run() {
    let set = Arc::new(set(POLICY));
    let tests = "test(\"slow one\", || 1); test(\"fast one\", || 1);";
    let wanted = |name: &str| name.contains("fast");
    let report = run_tests(&set, &vocabulary(), [("x_test.rhai", tests)], &wanted, &never).unwrap();
    assert_eq!(report.tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>(), ["fast one"]);
}

#[test]
fn each_signal_that_is_read_is_gone_through() {
    let check = |test: &str| outcome(&format!("for_each_signal(|k| {{ if {test} {{ throw k; }} }});"));
    assert_eq!(check("!(k in [\"cpu\", \"maintenance\", \"queue\"])"), None);
    for signal in ["cpu", "maintenance", "queue"] {
        assert!(check(&format!("k == \"{signal}\"")).unwrap().ends_with(signal));
    }
}

/// The shipped policies pass their own tests, which cover every state of every condition.
#[test]
fn the_shipped_policies_are_covered_whole() {
    let files = [
        ("capacity.rhai", include_str!("../../../deploy/policies/capacity.rhai")),
        ("capacity_test.rhai", include_str!("../../../deploy/policies/capacity_test.rhai")),
        ("overload.rhai", include_str!("../../../deploy/policies/overload.rhai")),
        ("overload_test.rhai", include_str!("../../../deploy/policies/overload_test.rhai")),
        ("traffic.rhai", include_str!("../../../deploy/policies/traffic.rhai")),
        ("traffic_test.rhai", include_str!("../../../deploy/policies/traffic_test.rhai")),
    ];
    let words = Vocabulary::of([]).unwrap();
    let set = Arc::new(compile(files, &words, &never()).unwrap());
    let report = run_tests(&set, &words, files, &|_| true, &never).unwrap();
    assert_eq!(report.failures().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    assert!(report.tests.len() >= 18, "{}", report.tests.len());
    for rule in &report.coverage.rules {
        for condition in &rule.conditions {
            assert_eq!(condition.missing(), "", "{}: {}", rule.rule, condition.text);
        }
    }
    assert_eq!(report.coverage.share(), 1.0);
}

/// A test that uses up its limits leaves the next one with full limits.
#[test]
fn every_test_has_a_deadline_of_its_own() {
    let lent = std::cell::Cell::new(0);
    let each = || -> Deadline {
        lent.set(lent.get() + 1);
        let asked = std::sync::atomic::AtomicU32::new(0);
        Arc::new(move || (asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 20).then_some(Spent::Time))
    };
    let tests = "test(\"long\", || { for i in 0..5000 { } }); test(\"short\", || { for i in 0..500 { } });";
    let report = run_tests(&Arc::new(set(POLICY)), &vocabulary(), [("x_test.rhai", tests)], &|_| true, &each).unwrap();
    let failed: Vec<_> = report.tests.iter().map(|test| test.failure.is_some()).collect();
    assert_eq!(failed, [true, false]);
    assert!(lent.get() >= 3, "one for the load, and one for each test");
}

/// One call makes thousands of decisions, during which the script engine does not check the clock.
#[test]
fn the_deadline_ends_a_run_between_two_decisions() {
    let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let late: Deadline =
        Arc::new(move || (count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 100).then_some(Spent::Time));
    let tests = "test(\"x\", || timeline(\"15s\").run(\"24h\").expect_none());";
    let report =
        run_tests(&Arc::new(set(POLICY)), &vocabulary(), [("x_test.rhai", tests)], &|_| true, &|| Arc::clone(&late))
            .unwrap();
    assert!(report.tests[0].failure.as_ref().unwrap().to_string().contains("deadline"), "{report:?}");
    assert!(asked.load(std::sync::atomic::Ordering::Relaxed) < 200);
}

/// Only the test that took all the time is reported with the deadline.
#[test]
fn a_slow_test_does_not_blame_its_neighbours() {
    let files = [
        ("a_test.rhai", "test(\"slow\", || timeline(\"15s\").run(\"1h\").expect_none());"),
        ("b_test.rhai", "test(\"quick\", || given(#{}).decide().expect_none());"),
    ];
    let set = Arc::new(set(POLICY));
    let mut behind = 0;
    for looks in 0..400 {
        let asked = std::sync::atomic::AtomicU32::new(0);
        let late: Deadline = Arc::new(move || {
            (asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= looks).then_some(Spent::Time)
        });
        let Ok(report) = run_tests(&set, &vocabulary(), files, &|_| true, &|| Arc::clone(&late)) else { continue };
        let failure = |test: usize| report.tests[test].failure.as_ref().map(|fault| fault.message.clone());
        let (slow, quick) = (failure(0).unwrap_or_default(), failure(1).unwrap_or_default());
        if quick.is_empty() {
            assert_eq!(slow, "", "{looks}");
        } else if !quick.starts_with("deadline") {
            assert_eq!(quick, "not run: the time limit for all tests was reached in `slow` of a_test.rhai", "{looks}");
            behind += 1;
        } else {
            assert_eq!(slow, "", "{looks}: the time was over in the quick one");
        }
    }
    assert!(behind > 200, "{behind}");
}

#[test]
fn an_expectation_of_a_signal_that_nobody_reads_fails() {
    let failure = outcome("given(#{}).decide().expect_no_rule_reading(\"qeue\")").unwrap();
    assert!(failure.contains("no rule of the set reads `qeue`"), "{failure}");
    assert_eq!(outcome("given(#{}).decide().expect_no_rule_reading(\"queue\")"), None);
}

/// Five cycles of a lull: the queue grows in the second, and CPU is busy from then on.
fn recording() -> String {
    let busy = |seconds| Case::new().at(seconds).set("cpu", 0.9);
    let lines = [
        recorded(&Case::new(), 1),
        recorded(&busy(45).set("queue", 9.0), 2),
        recorded(&busy(70), 3),
        recorded(&busy(95), 4),
        recorded(&busy(120), 5),
    ];
    // As `flyball explain` prints them: newest first.
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[test]
fn a_recording_is_decided_on_again_with_a_past() {
    let replay = |options: &str| {
        let tests = format!("test_replay(\"incidents/lull.jsonl\", #{{ {options} }});");
        let recording = recording();
        let files =
            [("t.rhai", POLICY), ("incidents/lull.jsonl", &*recording), ("x_test.rhai", &*tests), ("bad.jsonl", "{")];
        let set = Arc::new(load(&files).unwrap());
        match run_tests(&set, &vocabulary(), files, &|_| true, &never) {
            Ok(report) => {
                assert_eq!((report.tests.len(), &*report.tests[0].name), (1, "replay of incidents/lull.jsonl"));
                report.tests[0].failure.as_ref().map_or("passed".to_owned(), |fault| fault.message.clone())
            }
            Err(faults) => format!("refused: {}", faults[0].message),
        }
    };
    assert_eq!(replay("expect: [\"r\", \"held\"]"), "passed", "held for more than a minute, by the recorded times");
    assert_eq!(replay("never: [\"r\"], given: #{ \"p.limit\": 9 }"), "passed");
    assert_eq!(replay("never: [\"r\"], given: #{ \"bounds.max\": 5 }"), "passed", "no room above");
    let acts = replay("never: [\"r\"]");
    assert!(acts.starts_with("r acts in shop/checkout@1-2 of 2023-11-14T22:14:05Z: scale by 2"), "{acts}");
    let none = replay("expect: [\"r\"], given: #{ \"p.limit\": 9 }");
    assert_eq!(none, "r acts in none of 5 recorded cycles");
    for (options, expected) in [
        ("", "test_replay: nothing is expected"),
        ("never: [\"x\"]", "the set has no rule `x`; known: r, held"),
        ("never: \"r\"", "test_replay: `never` and `expect` are lists"),
        ("ever: [\"r\"]", "test_replay: unknown option `ever`"),
        ("never: [\"r\"], expect: [\"r\"]", "test_replay: r is in both `never` and `expect`"),
    ] {
        let refused = replay(options);
        assert!(refused.starts_with("refused: ") && refused.contains(expected), "{options}: {refused}");
    }
    let missing = report("test_replay(\"no.jsonl\", #{ never: [\"r\"] });").unwrap_err();
    assert!(missing[0].message.contains("the set has no recording `no.jsonl`"), "{missing:?}");
}

/// As with the keys of a ConfigMap, which have no directories.
#[test]
fn a_recording_is_found_by_its_name_where_only_one_has_it() {
    let found = |paths: &[&str]| {
        let recording = recording();
        let tests = "test_replay(\"incidents/lull.jsonl\", #{ expect: [\"r\"] });";
        let mut files = vec![("flyball-system/fleet/t.rhai", POLICY), ("flyball-system/fleet/x_test.rhai", tests)];
        files.extend(paths.iter().map(|path| (*path, &*recording)));
        let set = Arc::new(load(&files).unwrap());
        let report = run_tests(&set, &vocabulary(), files.iter().copied(), &|_| true, &never);
        report.map_or_else(|faults| faults[0].message.clone(), |report| report.tests[0].name.clone())
    };
    let (fleet, shop) = ("flyball-system/fleet/lull.jsonl", "shop/own/lull.jsonl");
    assert_eq!(found(&[fleet]), format!("replay of {fleet}"));
    assert_eq!(found(&[fleet, "incidents/lull.jsonl"]), "replay of incidents/lull.jsonl");
    let two = found(&[fleet, shop]);
    assert!(
        two.contains("recording `incidents/lull.jsonl` is ambiguous: flyball-system/fleet/lull.jsonl, shop/"),
        "{two}"
    );
}

/// A regression test whose outcome is unknown is useless.
#[test]
fn a_recording_that_masks_what_a_rule_reads_does_not_vouch_for_it() {
    let mut case = Case::new().set("queue", 9.0);
    let mask = crate::model::RecordMask { signals: [SignalName::new("queue").unwrap()].into(), ..Default::default() };
    let labels = SignalLabel::of(&case.spec);
    let policy = format!(
        "{}\n{}",
        one("when(s.queue.current > 5), restart()"),
        named("q", "when(s.cpu.current > pct(99)), abort()")
    );
    let mut failure_of = |rule: &str, masked: bool| {
        if masked {
            case.features = (*mask.features(&labels, &Arc::new(case.features.clone()))).clone();
        }
        let (recording, test) = (recorded(&case, 1), format!("test_replay(\"x.jsonl\", #{{ never: [\"{rule}\"] }});"));
        let files = [("t.rhai", &*policy), ("x.jsonl", &*recording), ("x_test.rhai", &*test)];
        let set = Arc::new(load(&files).unwrap());
        let report = run_tests(&set, &vocabulary(), files, &|_| true, &never).unwrap();
        report.tests[0].failure.as_ref().map(|fault| fault.message.clone())
    };
    assert!(failure_of("r", false).is_some_and(|why| why.starts_with("r acts in shop/checkout@1-1")));
    let why = failure_of("r", true).unwrap();
    assert!(
        why.starts_with("r could not be evaluated in shop/checkout@1-1") && why.ends_with("it reads a masked value"),
        "{why}"
    );
    assert_eq!(failure_of("q", true), None, "what the other one reads is there");
}
