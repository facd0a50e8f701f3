//! What is refused at load, and the message.

use super::*;

#[test]
fn a_fault_names_file_line_column_and_rule() {
    for (clauses, expected) in [
        ("when(s.p9.predicted > ms(200)), scale_by(1.5)", "t.rhai:2:7: rule r: unknown signal `p9`; known: capacity_"),
        (
            "when(s.p99.predictd > ms(200)), restart()",
            "t.rhai:2:11: rule r: unknown view of a signal `predictd`; known",
        ),
        ("when(s.p99.current > p.p99_max), restart()", "t.rhai:2:23: rule r: unknown parameter `p99_max`; known: no"),
        (
            "when(s.cpu.curent > pct(1)), restart()",
            "t.rhai:2:11: rule r: unknown view of a signal `curent`; known: current, ",
        ),
        ("when(s.replicas.curent > 1), restart()", "t.rhai:2:16: rule r: unknown count of replicas `curent`; known"),
        ("when(s.capacity.now > 1), restart()", "t.rhai:2:16: rule r: unknown view of the capacity `now`; known"),
        ("when(s.p99.current > ratio), restart()", "t.rhai:2:22: unknown name `ratio`"),
        ("when(s.p99.current > msec(200)), restart()", "t.rhai:2:22: rule r: no function `msec (i64)`"),
        ("whne(s.can_scale_up), restart()", "t.rhai:2:1: rule r: no function `whne (condition)`"),
        ("when(true), restart()", "t.rhai:2:1: rule r: no function `when (bool)`: it takes a condition"),
        ("when(s.cpu), restart()", "t.rhai:2:1: rule r: no function `when (signal)`: it takes a condition"),
        ("when(s.cpu.current), restart()", "t.rhai:2:1: rule r: no function `when (quantity)`: it takes a condition"),
        ("s.can_scale_up, restart()", "t.rhai:1:1: rule r: element 1 is a condition, expected when(..)"),
        ("when(s.can_scale_up)", "t.rhai:1:1: rule r: it does nothing: add an action"),
        ("restart()", "t.rhai:1:1: rule r: it would always act: add a when(..)"),
        ("when(s.rollout), restart(), rollback()", "t.rhai:1:1: rule r: it has two actions, a rule has one"),
        ("when(all([])), restart()", "t.rhai:2:6: rule r: all([]) is empty"),
        ("when(any([s.rollout, 1])), restart()", "t.rhai:2:6: rule r: element 2 of any([..]) is a number"),
        ("when(s.p99.at(\"5 min\") > ms(1)), restart()", "t.rhai:2:12: rule r: `5 min` is not a duration"),
        ("when(s.p99.upper95_of_max(\"5m\") > ms(1)), restart()", "t.rhai:2:12: rule r: upper95_of_max(5m): the maxim"),
        ("when(s.rollout.held_for(\"0000002m\")), restart()", "t.rhai:2:16: rule r: `0000002m` is not a duration"),
        ("when(s.rollout.held_for(\"0s\")), restart()", "t.rhai:2:16: rule r: `0s` is not a duration"),
        ("when(!(s.rollout.held_for(\"2m\"))), restart()", "t.rhai:2:6: rule r: held_for(..) must come last"),
        ("when(all([s.rollout.held_for(\"2m\")])), restart()", "t.rhai:2:6: rule r: held_for(..) must come last"),
        ("when(s.rollout), { throw \"no\" }", "t.rhai:2:20: rule r: no"),
        ("when(s.rollout), param(\"x\", 1)", "t.rhai:2:18: rule r: param(..) belongs at the top level"),
        ("when(s.p99.current > ms(0.0/0.0)), restart()", "t.rhai:2:22: rule r: NaN is not a finite number"),
    ] {
        refused(&one(clauses), expected);
    }
}

#[test]
fn what_is_not_forecast_or_kept_is_refused_with_what_is() {
    for (condition, expected) in [
        (
            "s.p99.quantile(0.42, \"5m\") > ms(1)",
            "t.rhai:2:12: rule r: quantile 0.42 is not tracked; known: 0.005, 0.0",
        ),
        (
            "s.p99.quantile_of_max(0.95, \"7m\") > ms(1)",
            "t.rhai:2:12: rule r: quantile_of_max(0.95, 7m): the maximum is",
        ),
        (
            "s.p99.longest_run_above(5) > \"2m\"",
            "t.rhai:2:12: rule r: longest_run_above: the bound is a plain number, exp",
        ),
        ("s.p99.longest_run_above(ms(5)) > \"soon\"", "t.rhai:2:37: rule r: `soon` is not a duration"),
        ("s.p99.longest_run_above(ms(5)) > 2", "t.rhai:2:37: rule r: p99.longest_run_above(5 ms) is a time: write ms"),
        ("s.p99.over(\"7m\").max > ms(1)", "t.rhai:2:12: rule r: over(\"7m\"); known: over(\"1m\").mean and"),
        ("s.p99.over(\"1m\").max > ms(1)", "t.rhai:2:23: rule r: over(\"1m\").max is not available; known: mean"),
        ("s.p99.over(\"5m\").min > ms(1)", "t.rhai:2:22: rule r: unknown view of a window `min`; known: mean, p99"),
        ("s.p99.over(\"5m\") > ms(1)", "t.rhai:2:23: rule r: a window without a view (.mean, .p99, .max, .change) can"),
        (
            "s.p99.current.needs_replicas() > 1",
            "t.rhai:2:20: rule r: needs_replicas: p99.current is a time, expected a r",
        ),
        (
            "s.rps.current.needs_replicas(rps(90), 0.2) > 1",
            "t.rhai:2:20: rule r: needs_replicas: the headroom is 0.2, expected 1 to 10: 1.2 is 20 % spare",
        ),
        (
            "s.rps.current.needs_replicas(rps(90), 20) > 1",
            "t.rhai:2:20: rule r: needs_replicas: the headroom is 20, expe",
        ),
        (
            "s.rps.current.needs_replicas(rps(0), 1.2) > 1",
            "t.rhai:2:20: rule r: needs_replicas: the rate of one pod is 0.0/s, expected above zero",
        ),
        (
            "s.rps.current.needs_replicas(rps(-5), 1.2) > 1",
            "t.rhai:2:20: rule r: needs_replicas: the rate of one pod is -5",
        ),
        (
            "s.rps.current.needs_replicas(10, 1.2) > 1",
            "t.rhai:2:20: rule r: needs_replicas: the rate of one pod is a pl",
        ),
        (
            "s.p99.region(\"Z\").current > ms(1)",
            "t.rhai:2:12: rule r: unknown signal `p99_region_z`, which region(\"Z\")",
        ),
        (
            "s.capacity_available.region(\"C\")",
            "t.rhai:2:27: rule r: unknown signal `capacity_available_region_c`, whi",
        ),
        ("s.capacity_available.current", "t.rhai:2:26: rule r: unknown view of a signal that is declared for regions"),
        ("s.rollout.region(\"A\")", "t.rhai:2:16: rule r: rollout is not a declared flag: it has no regions"),
    ] {
        refused(&one(&format!("when({condition}), restart()")), expected);
    }
}

#[test]
fn a_unit_is_never_guessed() {
    for (condition, expected) in [
        (
            "s.p99.current > 200",
            "t.rhai:2:20: rule r: p99.current is a time: write ms(..), secs(..), mins(..) or \"2m\", not 200",
        ),
        (
            "200 < s.p99.current",
            "t.rhai:2:10: rule r: p99.current is a time: write ms(..), secs(..), mins(..) or \"2m\", not 200",
        ),
        ("s.cpu.current > 0.6", "t.rhai:2:20: rule r: cpu.current is a share: write pct(..), not 0.6"),
        ("s.rps.current > 1000", "t.rhai:2:20: rule r: rps.current is a rate: write rps(..), not 1000"),
        ("s.cpu.current > ms(200)", "t.rhai:2:20: rule r: cpu.current is a share: write pct(..), not 200 ms"),
        (
            "s.rps.forecast_change > rps(1)",
            "t.rhai:2:28: rule r: rps.forecast_change is a share: write pct(..), not 1.0/s",
        ),
        ("s.queue.current > ms(1)", "t.rhai:2:22: rule r: queue.current is a plain number, 1 ms is a time"),
        (
            "s.p99.current + 1 > ms(1)",
            "t.rhai:2:20: rule r: p99.current is a time: write ms(..), secs(..), mins(..) or \"2m\", not 1",
        ),
        ("s.p99.current * s.p99.current > ms(1)", "t.rhai:2:20: rule r: p99.current and p99.current: one factor must"),
        (
            "s.p99.current.or(1) > ms(1)",
            "t.rhai:2:20: rule r: p99.current is a time: write ms(..), secs(..), mins(..) or \"2m\", not 1",
        ),
    ] {
        refused(&one(&format!("when({condition}), restart()")), expected);
    }
}

#[test]
fn an_action_that_can_never_be_right_is_refused() {
    for (action, expected) in [
        ("scale_by(0)", "invalid action: scale_by: 0 is not between 0.1 and 10"),
        ("scale_by(-1.5)", "invalid action: scale_by: -1.5 is not between 0.1 and 10"),
        ("scale_by(pct(150))", "scale_by is a share, expected a plain number"),
        ("scale_by(\"2\")", "no function `scale_by (text)`"),
        ("scale_to(0)", "invalid action: scale_to: 0 is not between 1 and 100000"),
        ("scale_to(1e300)", "invalid action: scale_to: 1"),
        ("autoscaler_floor(0)", "invalid action: autoscaler_floor: 0 is not between 1 and 100000"),
        ("throttle(#{ to: 0.8, ttl: \"10m\" })", "throttle: to is a plain number, expected a share: write pct(..)"),
        ("throttle(#{ to: pct(0), ttl: \"10m\" })", "invalid action: throttle: to: 0.0 % is not between 1.0 % and"),
        ("throttle(#{ to: pct(80), ttl: \"5s\" })", "throttle: ttl is 5 s, expected 10 s to 21600 s"),
        ("throttle(#{ to: pct(80) })", "throttle: option `ttl` is missing; known: to, ttl"),
        ("throttle(#{ to: pct(80), ttl: \"10m\", x: 1 })", "throttle: unknown option `x`; known: to, ttl"),
        ("shift(#{ from: \"A\", to: \"A\", step: pct(1), limit: pct(1) })", "shift: `from` and `to` are both A"),
        (
            "shift(#{ from: 1, to: \"A\", step: pct(1), limit: pct(1) })",
            "shift: option `from` is a number, expected a te",
        ),
        (
            "shift(#{ from: \"A\", to: \"B\", step: pct(9), limit: pct(5) })",
            "invalid action: shift: limit: 5.0 % is not",
        ),
        ("resize(#{ cpu: 1.5 })", "resize: option `memory` is missing; known: cpu, memory"),
        ("resize(#{ cpu: 50, memory: 1 })", "invalid action: resize: cpu: 50 is not between 0.1 and 10"),
        ("webhook(\"\")", "webhook: its name must be one line of 1 to 63 bytes"),
    ] {
        refused(&one(&format!("when(s.can_scale_up), {action}")), &format!("t.rhai:2:23: rule r: {expected}"));
    }
}

#[test]
fn declarations_are_checked() {
    let rule = one("when(s.rollout), restart()");
    for (policy, expected) in [
        ("rule(\"r\", #{ priority: 1 }, |s, p| []);", "t.rhai:1:1: rule r: rule: option `goal` is missing"),
        ("rule(\"r\", #{ goal: \"cost\" }, |s, p| []);", "t.rhai:1:1: rule r: rule: option `priority` is missing"),
        (
            "rule(\"r\", #{ priority: 1, goal: \"speed\" }, |s, p| []);",
            "t.rhai:1:1: rule r: rule: unknown goal `speed`",
        ),
        (
            "rule(\"r\", #{ priority: 1.5, goal: \"cost\" }, |s, p| []);",
            "t.rhai:1:1: rule r: rule: option `priority` is a",
        ),
        (
            "rule(\"r\", #{ priority: 1, goal: \"cost\", mode: \"auto\" }, |s, p| []);",
            "t.rhai:1:1: rule r: rule: unknown opt",
        ),
        (
            "rule(\"Scale Up\", #{ priority: 1, goal: \"cost\" }, |s, p| []);",
            "t.rhai:1:1: `Scale Up` is not a valid name (a",
        ),
        (
            "rule(\"r\", #{ priority: 1, goal: \"cost\" }, |s| [when(s.rollout), restart()]);",
            "t.rhai:1:1: rule r: no function with parameters",
        ),
        (
            "rule(\"r\", #{ priority: 1, goal: \"cost\" }, |s, p| s.rollout);",
            "t.rhai:1:1: rule r: the rule's body is a cond",
        ),
        (
            "rule(\"undo\", #{ priority: 1, goal: \"cost\" }, |s, p| []);",
            "t.rhai:1:1: rule undo: the name is reserved for decisions without a rule",
        ),
        (
            "rule(\"return_floor\", #{ priority: 1, goal: \"cost\" }, |s, p| []);",
            "t.rhai:1:1: rule return_floor: the name is reserved for decisions without a rule",
        ),
        ("param(\"x\", ms(5), #{ min: ms(10) });", "t.rhai:1:1: param: the default 5 ms is below 10 ms"),
        ("param(\"x\", ms(5), #{ min: 1 });", "t.rhai:1:1: param: a bound is a plain number, expected a time"),
        ("param(\"x\", 1, #{ min: 2 });", "t.rhai:1:1: param: the default 1 is below 2"),
        ("param(\"x\", 3, #{ max: 2 });", "t.rhai:1:1: param: the default 3 is above 2"),
        ("param(\"x\", 3, #{ maximum: 2 });", "t.rhai:1:1: param: unknown option `maximum`; known: min, max, doc"),
        ("param(\"x\", true);", "t.rhai:1:1: param: the default is a bool, expected a number or a quantity"),
        (
            "param(\"x\", 1); param(\"x\", 2);",
            "t.rhai:1:16: `x` is already declared in t.rhai:1:1: parameter names must be unique",
        ),
        (
            "otherwise(\"a\"); otherwise(\"b\");",
            "t.rhai:1:17: otherwise(..) is already declared in t.rhai:1:1: a set has only one",
        ),
        ("let x = ;", "t.rhai:1:9: Unexpected ';'"),
        ("when(1);", "t.rhai:1:1: no function `when (i64)`"),
        ("", "policy set: it has no rules"),
    ] {
        refused(policy, expected);
    }
    refused(
        &format!("{rule}\n{rule}"),
        "t.rhai:4:1: `r` is already declared in t.rhai:1:1: rule or limit names must be unique",
    );
}

#[test]
fn every_fault_of_a_set_is_listed_and_nothing_is_loaded() {
    let files = [
        ("b.rhai", one("when(s.cpx.current > pct(1)), restart()")),
        ("a.rhai", "let x = ;".to_owned()),
        ("c.rhai", format!("param(\"x\", true);\n{}", named("q", "when(s.p99.current > 3), restart()"))),
    ];
    let faults = compile(files.iter().map(|(path, text)| (*path, text.as_str())), &vocabulary(), &never()).unwrap_err();
    let places: Vec<_> = faults.iter().map(|fault| (fault.file.as_str(), fault.line, fault.whose())).collect();
    let expected = [
        ("a.rhai", Some(1), None),
        ("b.rhai", Some(2), Some("rule r".to_owned())),
        ("c.rhai", Some(1), None),
        ("c.rhai", Some(3), Some("rule q".to_owned())),
    ];
    assert_eq!(places, expected);
}

/// A thrown message is the author's, and may resemble one of ours.
#[test]
fn what_a_rule_throws_is_told_whatever_else_did_not_load() {
    for (path, text, thrown) in [
        ("a.rhai", "param(\"limit\", ms(1)", "unknown parameter of this team"),
        ("prices.data.json", "{", "data(`prices`): the set has no prices.data.json"),
    ] {
        let thrown = thrown.replace('`', "\\\"");
        let rule = one(&format!("when(s.rollout), {{ throw \"{thrown}\" }}"));
        let faults = load(&[(path, text), ("b.rhai", &rule)]).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}

#[test]
fn a_parameter_of_a_file_that_did_not_load_is_not_reported_twice() {
    let rule = one("when(s.p99.current > p.limit), restart()");
    let faults = load(&[("a.rhai", "param(\"limit\", ms(1)"), ("b.rhai", &rule)]).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn files_of_a_set_share_parameters_but_not_functions() {
    let a = format!(
        "param(\"limit\", ms(1)); fn bound(p) {{ p.limit }}\n{}",
        one("when(s.p99.current > bound(p)), restart()")
    );
    let b = format!("fn bound(p) {{ p.limit * 2 }}\n{}", named("q", "when(s.p99.current > bound(p)), rollback()"));
    let set = load(&[("a.rhai", a.as_str()), ("b.rhai", &b)]).unwrap();
    let proposal = Case::new().set("p99", 0.0015).decide(&mut Decider::new(), &set);
    let bounds: Vec<_> = proposal.rules.iter().map(|rule| rule.conditions[0].bound).collect();
    assert_eq!(bounds, [Some(0.001), Some(0.002)]);
}

#[test]
fn sizes_are_checked_before_parsing() {
    let long = "x".repeat(256 * 1024 + 1);
    refused(&long, "t.rhai: it has 262145 bytes, the limit is 262144");
    let files: Vec<_> = (0..65).map(|number| (format!("{number}.rhai"), " ".repeat(32 * 1024))).collect();
    let faults =
        compile(files.iter().map(|(path, text)| (path.as_str(), text.as_str())), &vocabulary(), &never()).unwrap_err();
    let texts: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(texts[0], "policy set: it has 65 files, the limit is 64");
    assert_eq!(texts[1], "policy set: it has 2129920 bytes, the limit is 2097152");
}

#[test]
fn test_files_are_left_out() {
    let good = one("when(s.rollout), restart()");
    let set = load(&[("t_test.rhai", "test(\"x\", 1);"), ("t.rhai", &good)]).unwrap();
    assert_eq!(set.rules().count(), 1);
    assert_eq!(set.revision(), try_set(&good).unwrap().revision());
}

#[test]
fn a_vocabulary_has_one_unit_for_a_name() {
    let with = |name: &str, unit| {
        let mut spec = spec();
        spec.signals[0] = SignalSpec { name: SignalName::new(name).unwrap(), unit, ..spec.signals[0].clone() };
        spec
    };
    let check = |specs: &[ServiceSpec], expected: Result<(), &str>| {
        let found = Vocabulary::of(specs).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    };
    check(&[with("rps", Unit::PerSecond), with("lag", Unit::Seconds)], Ok(()));
    check(
        &[with("lag", Unit::Seconds), with("lag", Unit::Count)],
        Err(
            "signal `lag` of shop/checkout is a plain number, elsewhere a time: a name must have one unit, rename one of them",
        ),
    );
    check(
        &[with("replicas", Unit::Count)],
        Err("signal `replicas` of shop/checkout: the name is reserved by flyball, choose another"),
    );
}

/// A clause outside the rule's list would go unnoticed: the rule would act during maintenance.
#[test]
fn a_clause_outside_of_the_list_is_refused() {
    for (body, expected) in [
        ("unless(s.maintenance); [when(s.rollout), restart()]", "t.rhai:1:55: rule r: unless(..) is not in the list"),
        ("if false { [] } else { when(s.rollout); [when(s.rollout), restart()] }", "t.rhai:1:78: rule r: when(..) is"),
        ("let u = unless(s.maintenance); [when(s.rollout), restart()]", "t.rhai:1:63: rule r: unless(..) is not in"),
        ("careful(s); [when(s.rollout), restart()]", "t.rhai:2:18: rule r: unless(..) is not in the list"),
        ("restart(); [when(s.rollout), scale_by(2)]", "t.rhai:1:55: rule r: restart(..) is not in the list"),
        ("note(\"why\"); [when(s.rollout), restart()]", "t.rhai:1:55: rule r: note(..) is not in the list"),
    ] {
        let careful = "\nfn careful(s) { [unless(s.maintenance)] }";
        let rule = format!("rule(\"r\", #{{ priority: 1, goal: \"protect\" }}, |s, p| {{ {body} }});{careful}");
        refused(&rule, expected);
    }
    let kept = "let u = unless(s.maintenance); [when(s.rollout), [u, note(\"x\")], restart()]";
    set(&format!("rule(\"r\", #{{ priority: 1, goal: \"protect\" }}, |s, p| {{ {kept} }});"));
}

/// A function named `unless` would replace the clause.
#[test]
fn words_of_the_language_are_no_names_of_anything_else() {
    let rule = one("when(s.rollout), restart()");
    for (text, expected) in [
        ("fn unless(c) { when(c) }\n", "t.rhai:1:4: `unless` is a reserved word: give the function another name"),
        ("fn max(a, b) { a }\n", "t.rhai:1:4: `max` is a reserved word"),
        ("let when = 1;\n", "t.rhai:1:5: `when` is a reserved word: give the variable another name"),
        ("import \"lib/x\" as all;\n", "t.rhai:1:19: `all` is a reserved word: give the import another name"),
    ] {
        refused(&format!("{text}{rule}"), expected);
    }
    let library = ("lib/x.rhai", "fn held_for(c, t) { c }");
    let fault = load(&[library, ("t.rhai", &rule)]).unwrap_err().remove(0).to_string();
    assert!(fault.starts_with("lib/x.rhai:1:4: `held_for` is a reserved word"), "{fault}");
    let tests = [("x_test.rhai", "fn given(x) { x }")];
    let faults = run_tests(&Arc::new(set(&rule)), &vocabulary(), tests, &|_| true, &never).unwrap_err();
    assert!(faults[0].to_string().starts_with("x_test.rhai:1:4: `given` is a reserved word"), "{faults:?}");
    set(&format!("fn limits(limit) {{ limit }}\nlet limit = limits(1);\nlet run = limit;\n{rule}"));
}

/// Every function on the reference page is one of those.
#[test]
fn the_words_that_are_taken_are_those_of_the_reference() {
    for word in &crate::decide::WORDS {
        for (at, _) in word.example.match_indices('(') {
            let before = word.example[..at].rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_');
            let name = before.into_iter().next().unwrap();
            let found = crate::decide::lint::names::taken("t", &format!("fn {name}() {{ }}"));
            assert!(name.is_empty() || found.len() == 1, "{name}");
        }
    }
}

/// Policy texts appear verbatim in records and on terminals.
#[test]
fn control_characters_are_refused_in_what_is_kept_and_spelled_out_in_what_is_told() {
    refused(
        &one("when(s.rollout), note(\"a\\nok\"), restart()"),
        "t.rhai:2:18: rule r: note: it contains a line break",
    );
    refused(
        &one("when(s.rollout), note(\"\\x1b[2J\"), restart()"),
        "t.rhai:2:18: rule r: note: it contains a line break",
    );
    refused(&one("when(s.rollout), webhook(\"a\\nb\")"), "t.rhai:2:18: rule r: webhook: its name must be one line");
    let rule = one("when(s.rollout), restart()");
    refused(
        &format!("otherwise(\"a\\nb\");\n{rule}"),
        "t.rhai:1:1: otherwise: the text must be one line of 1 to 256 bytes",
    );
    refused("throw \"\\x1b[2J\\nvalid\";", "t.rhai:1:1: \\u{1b}[2J\\nvalid");
}

/// The engine silently drops what follows: no rule may be lost that way.
#[test]
fn a_comment_that_is_not_closed_is_refused_in_every_file() {
    let rule = one("when(s.rollout), restart()");
    let said = "this comment is not closed, so everything after it is ignored: end it with `*/`";
    for open in ["/* the cheap one", "/* a /* b */", "/* // */ /* a", "/**/ /*"] {
        let column = if open.ends_with("/* a") {
            10
        } else if open.ends_with("/*") {
            6
        } else {
            1
        };
        refused(&format!("{rule}\n{open}\n{rule}"), &format!("t.rhai:4:{column}: {said}"));
    }
    let fault = load(&[("lib/x.rhai", "fn f() { 1 }\n  /* "), ("t.rhai", &rule)]).unwrap_err().remove(0).to_string();
    assert_eq!(fault, format!("lib/x.rhai:2:3: {said}"));
    let tests = [("x_test.rhai", "/*\ntest(\"t\", || 1);")];
    let faults = run_tests(&Arc::new(set(&rule)), &vocabulary(), tests, &|_| true, &never).unwrap_err();
    assert_eq!(faults[0].to_string(), format!("x_test.rhai:1:1: {said}"));
    let texts = ["let _a = \"/*\";", "let _a = `/*`;", "let _a = '\"'; /* b */"];
    for closed in texts.into_iter().chain(["/* a /* b */ */", "// a /*", "/*/ */"]) {
        set(&format!("{rule}\n{closed}\n"));
    }
}

/// Some editors start a file with a byte order mark.
#[test]
fn a_byte_order_mark_is_read_over() {
    let (rule, library) = (one("when(s.rollout), restart()"), "\u{feff}fn f() { 1 }");
    let files =
        [("lib/x.rhai", library), ("t.rhai", &*format!("\u{feff}{rule}")), ("d.data.json", "\u{feff}{ \"a\": 1 }")];
    let set = Arc::new(load(&files).unwrap());
    let tests = [("x_test.rhai", "\u{feff}test(\"t\", || 1);")];
    let report = run_tests(&set, &vocabulary(), tests, &|_| true, &never).unwrap();
    assert_eq!(report.failures().count(), 0);
}
