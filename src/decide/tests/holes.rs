//! The engine's loopholes, each closed and each shown to be closed.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn error(policy: &str) -> String {
    match Case::new().ask(policy).rules.remove(0).outcome {
        RuleOutcome::Error { message } => message,
        other => panic!("{other:?}"),
    }
}

/// Operations inside callbacks do not count against the engine's own limit; they do count against the meter's.
#[test]
fn the_operation_limit_holds_inside_callbacks() {
    let nested = "let a = []; a.pad(100, 1); a.map(|x| { let b = []; b.pad(100, x); b.map(|y| y + 1); 0 });";
    let bare = crate::decide::engine::bare(
        &crate::decide::engine::standard_library(&crate::decide::documents::Documents::default()),
        5_000,
    );
    assert!(bare.run(nested).is_ok(), "the engine counts what callbacks do by now: {:?}", bare.run(nested));
    let policy = format!("rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{ {nested}\n [] }});");
    refused(&policy, "t.rhai:1:");
    let message = try_set(&policy).unwrap_err()[0].message.clone();
    assert!(message.starts_with("operations: more than 5000"), "{message}");
}

#[test]
fn a_rule_cannot_keep_state_in_captured_variables() {
    for captured in ["let seen = 0;", "const LIMIT = 3;"] {
        let name = if captured.contains("seen") { "seen" } else { "LIMIT" };
        let policy = format!("{captured}\n{}", one(&format!("when(s.queue.current > {name}), restart()")));
        let said =
            format!("t.rhai:3:24: `{name}` is declared outside the function: it would be shared between services");
        refused(&policy, &said);
    }
}

/// The engine's limits see neither what a function pointer carries nor what a closure captures: either can double with
/// each loop iteration. So functions carry nothing: the words for it do not exist, and functions see only their own
/// variables.
#[test]
fn functions_carry_nothing() {
    let (curry, pointer) = ("`curry` is not available in policies", "`Fn` is not available in policies");
    let outside = "`f` is declared outside the function";
    for (body, expected) in [
        ("let f = id; for i in 0..64 { f = f.curry(f); }", curry),
        ("let f = id; for i in 0..64 { f = curry(f, f); }", curry),
        ("let f = id; for i in 0..64 { f = id.curry(#{ a: f, b: f }); }", curry),
        ("let x = id; for i in 0..64 { x = [id.curry(x), id.curry(x)]; }", curry),
        ("let f = id; for i in 0..64 { f = `${id.curry([f, f])}`; }", curry),
        ("let x = #{ f: id }; for i in 0..64 { x.f = x.f.curry(x); }", curry),
        ("let f = Fn(\"id\"); for i in 0..64 { f = [f, f]; }", pointer),
        ("let f = || 1; for i in 0..64 { let g = f; f = || [f, f]; }", outside),
        ("let f = || 1; f = |x| |y| f;", outside),
    ] {
        let rule = |text: &str| format!("rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{ {text} [] }});");
        for policy in [rule(body), body.to_owned(), format!("fn g() {{ {body} }}")] {
            let faults = try_set(&format!("fn id(a) {{ a }}\n{policy}")).expect_err(body);
            assert!(faults[0].message.starts_with(expected), "{policy}: {}", faults[0]);
        }
        let tests = format!("fn id(a) {{ a }}\ntest(\"t\", || {{ {body} }});");
        let good = Arc::new(set(&one("when(s.rollout), restart()")));
        let files = [("x_test.rhai", tests.as_str())];
        let faults = run_tests(&good, &vocabulary(), files, &|_| true, &never).expect_err(body);
        assert!(faults[0].message.starts_with(expected), "{tests}: {}", faults[0]);
    }
}

/// Memory that no engine limit counts is caught by the allocator's account.
#[test]
fn a_load_that_holds_too_much_memory_ends() {
    let asked = AtomicU32::new(0);
    let full: Deadline = Arc::new(move || (asked.fetch_add(1, Ordering::Relaxed) > 5).then_some(Spent::Memory));
    let policy = format!("let x = 0; for i in 0..2000 {{ x += i; }}\n{}", one("when(s.rollout), restart()"));
    let faults = compile([("t.rhai", policy.as_str())], &vocabulary(), &full).unwrap_err();
    let text = faults[0].to_string();
    assert!(text.starts_with("t.rhai:1:") && text.ends_with("limit: it uses too much memory"), "{text}");
}

/// Closures may use only existing names, as functions do.
#[test]
fn wrong_names_inside_closures_are_found_at_load() {
    refused(&one("when(s.queue.current > limmit), restart()"), "t.rhai:2:24: unknown name `limmit`");
    refused(&one("when(slo::breach(s)), restart()"), "t.rhai:2:6: no import named `slo`");
    refused(&one("when(s.p9.predicted > ms(1)), restart()"), "t.rhai:2:7: rule r: unknown signal `p9`");
}

/// Rhai answers a comparison across types by itself: false for `==`, true for `!=`.
#[test]
fn comparisons_across_types_are_errors() {
    for (condition, expected) in [
        ("s.maintenance == true", "a condition cannot be compared with =="),
        ("true != s.maintenance", "a condition cannot be compared with !="),
        ("s.maintenance == s.rollout", "a condition cannot be compared with =="),
        ("s.queue.current == 5", "a quantity cannot be compared with =="),
        ("s.queue.current != s.replicas.current", "a quantity cannot be compared with !="),
        ("s.queue.current > \"5\"", "a quantity cannot be compared with a text"),
        ("\"5\" < s.queue.current", "a quantity cannot be compared with a text"),
        ("s.queue.current > ()", "a quantity cannot be compared with nothing"),
        ("s.queue.current > true", "a quantity cannot be compared with a bool"),
        ("s.queue.current > s.rollout", "a quantity cannot be compared with a condition"),
        ("s.queue > 5", "a signal without a view (.current, .mean, .predicted) cannot be compared with a number"),
        ("5 < s.queue", "a signal without a view (.current, .mean, .predicted) cannot be compared with a number"),
        ("s.queue == s.queue", "a signal without a view (.current, .mean, .predicted) cannot be compared with =="),
        ("s.replicas > 3", "replicas without .current or .ready cannot be compared with a number"),
        ("s.capacity > 3", "capacity without .needed_now, .needed_ahead or .floor cannot be compared with a number"),
        ("s == 1", "the service cannot be compared with =="),
        ("p != ()", "the parameters cannot be compared with !="),
        ("restart() == restart()", "a clause cannot be compared with =="),
        ("s.rollout in [s.rollout]", "a condition cannot be compared with =="),
    ] {
        let faults = try_set(&one(&format!("when({condition}), restart()"))).unwrap_err();
        assert!(faults[0].message.starts_with(expected), "{condition}: {}", faults[0]);
        assert_eq!((faults[0].line, faults[0].whose().as_deref()), (Some(2), Some("rule r")), "{condition}");
    }
}

#[test]
fn a_condition_is_no_bool() {
    let hint = "a condition is not a bool: list it in when(..)";
    for (body, expected) in [
        ("if s.rollout { [] } else { [] }", hint),
        ("if s.queue.current > 5 { [] } else { [] }", hint),
        ("[when(s.rollout && s.can_scale_up), restart()]", hint),
        ("[when(s.rollout || s.can_scale_up), restart()]", hint),
        ("while s.rollout { } []", hint),
        ("[when(s.rollout ?? s.can_scale_up), when(true)]", "no function `when (bool)`"),
        ("switch s.maintenance { _ => [] }", "`switch` is not available in policies"),
        ("try { s.rolout } catch { [] }", "`try` is not available in policies"),
    ] {
        let policy = format!("rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{\n{body}\n}});");
        let faults = try_set(&policy).expect_err(body);
        assert!(faults[0].message.starts_with(expected), "{body}: {}", faults[0]);
        assert_eq!(faults[0].line, Some(2), "{body}: {}", faults[0]);
    }
}

/// Nothing that waits, reads the clock, prints or evaluates text is reachable.
#[test]
fn the_sandbox_has_no_door() {
    for call in [
        "sleep(1)",
        "timestamp()",
        "print(\"x\")",
        "debug(\"x\")",
        "eval(\"1\")",
        "exit()",
        "rand()",
        "blob(10)",
        "export y",
        "env(\"HOME\")",
        "open_file(\"x\")",
    ] {
        for policy in
            [format!("{call};"), format!("fn f() {{ {call}; }} f();"), one(&format!("when({call}), restart()"))]
        {
            let faults = try_set(&policy).expect_err(&policy);
            assert!(!faults[0].message.contains("it has no rules"), "{policy}: {}", faults[0]);
        }
    }
}

/// Each file has its own environment, so equal names in two files cannot collide.
#[test]
fn equal_names_in_two_files_do_not_collide() {
    let a = format!("fn least() {{ 1 }}\n{}", one("when(s.queue.current > least()), restart()"));
    let b = format!("fn least() {{ 9 }}\n{}", named("q", "when(s.queue.current > least()), restart()"));
    let set = load(&[("a.rhai", a.as_str()), ("b.rhai", &b)]).unwrap();
    let proposal = Case::new().set("queue", 5.0).decide(&mut Decider::new(), &set);
    let outcomes: Vec<_> = proposal.rules.iter().map(|rule| rule.outcome.as_str()).collect();
    assert_eq!(outcomes, ["matched", "not_matched"]);
}

/// Import names belong to a file although static modules belong to an engine: two files may use one name for two
/// libraries.
#[test]
fn one_name_for_two_libraries_does_not_collide() {
    let file = |library: &str, rule: &str| {
        format!("import \"{library}\" as l;\n{}", named(rule, "when(s.queue.current > l::least()), restart()"))
    };
    let (a, b) = (file("lib/low", "r"), file("lib/high", "q"));
    let set = load(&[
        ("lib/low.rhai", "fn least() { 1 }"),
        ("lib/high.rhai", "fn least() { 9 }"),
        ("a.rhai", &a),
        ("b.rhai", &b),
    ])
    .unwrap();
    let proposal = Case::new().set("queue", 5.0).decide(&mut Decider::new(), &set);
    let outcomes: Vec<_> = proposal.rules.iter().map(|rule| rule.outcome.as_str()).collect();
    assert_eq!(outcomes, ["matched", "not_matched"]);
}

/// The top level may take more operations than a rule.
#[test]
fn load_and_run_have_limits_of_their_own() {
    let work = "let sum = 0; for i in 0..3000 { sum += i; }";
    let good = one("when(s.rollout), restart()");
    assert!(try_set(&format!("{work}\n{good}")).is_ok());
    let rule = format!("rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{\n{work}\n[] }});");
    refused(&rule, "t.rhai:2:40: rule r: operations: more than 5000 in one evaluation");
    refused(&format!("loop {{ }}\n{good}"), "t.rhai:1:6: operations: more than 200000 in one evaluation");
}

/// Actions are constructed even if the conditions fail; their errors and unknowns count only when the conditions hold.
#[test]
fn an_action_counts_only_when_the_conditions_hold() {
    let policy = one("when(s.can_scale_up), scale_to(s.queue.current)");
    let rule = |case: &Case| case.ask(&policy).rules.remove(0);
    let none = Case::new().set("queue", 0.0);
    assert!(error_of(&rule(&none)).starts_with("t.rhai:2:23: rule r: invalid action: scale_to: 0 is not between"));
    assert_eq!(rule(&none.clone().replicas(20)).outcome, RuleOutcome::NotMatched);
    let blind = Case::new().without("queue");
    let trace = rule(&blind);
    assert_eq!(trace.outcome, RuleOutcome::Unknown);
    assert_eq!(&*trace.notes[0], "scale_to: queue.current is unknown: absent: no such series");
    assert_eq!(rule(&blind.replicas(20)).outcome, RuleOutcome::NotMatched);
}

fn error_of(rule: &RuleTrace) -> String {
    let RuleOutcome::Error { message } = &rule.outcome else { panic!("{:?}", rule.outcome) };
    message.clone()
}

/// One rule's error does not hide the others.
#[test]
fn a_failing_rule_leaves_the_others_alone() {
    let policy = format!(
        "{}\n{}",
        one("when(s.can_scale_up), scale_to(s.queue.current)"),
        named("q", "when(s.can_scale_up), restart()")
    );
    let proposal = Case::new().ask(&policy);
    assert!(error(&policy).contains("rule r"));
    assert_eq!(proposal.choice, Choice::Act { rule: "q".into(), action: Action::Restart, backed_by_arrivals: false });
}

/// The engine's own sort panics here: the panic is caught, but reported first, with a backtrace if the environment
/// enables one.
#[test]
fn a_list_is_ordered_without_a_panic_whatever_compares() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let me = std::thread::current().id();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == me {
            PANICS.fetch_add(1, Ordering::SeqCst);
        } else {
            before(panic);
        }
    }));
    let list = "let a = []; let n = 7; while a.len() < 200 { n = (n * 31 + 11) % 1009; a.push(n); }";
    for (text, sorted) in [
        (
            "let b = []; for i in 0..48 { b.push(i); } for k in 0..20 { b.sort(|x, y| (x * 7919 + y * 104729) % 7 - 3); }",
            true,
        ),
        (
            "for k in 0..60 { let b = []; for i in 0..60 { if (i + k) % 3 == 0 { b.push(0.0 / 0.0); } else { b.push((i * 7919 % (97 + k)) * 1.0); } } b.sort(); }",
            true,
        ),
        ("a.sort(|x, y| (x * 7 + y * 3) % 3 - 1);", false),
        ("a.sort(|x, y| 1);", false),
        ("a.sort_by(|x, y| -1);", false),
        ("a.sort(|x, y| throw 1);", false),
        ("a.sort(|x, y| if (x + y) % 2 == 0 { true } else { \"no\" });", false),
        ("let b = a.order_by(|x, y| (x * 7 + y * 3) % 3 - 1);", false),
        (
            "let f = a.map(|x| if x % 3 == 0 { 0.0 / 0.0 } else { x * 1.0 }); f.sort(); f.sort_desc(); let g = f.order();",
            false,
        ),
        ("a.sort(|x, y| x - y); if a[0] > a[1] || a[1] > a[199] { throw \"order\"; }", true),
        ("a.sort(); if a[0] > a[1] || a[1] > a[199] { throw \"order\"; }", true),
        ("a.sort(|x, y| x < y); if a[0] > a[1] || a[1] > a[199] { throw \"order\"; }", true),
        ("a.sort_desc(); if a[0] < a[1] || a[1] < a[199] { throw \"order\"; }", true),
        (
            "let b = a.order(); if b[0] > b[1] || b[1] > b[199] { throw \"order\"; } if b == a { throw \"a copy\"; }",
            true,
        ),
        ("let t = [\"b\", \"a\"]; t.sort(); if t[0] != \"a\" { throw \"order\"; } let e = []; e.sort();", true),
    ] {
        let found = try_set(&format!("{list}\n{text}\n{}", one("when(s.rollout), restart()")));
        assert!(!sorted || found.is_ok(), "{text}: {found:?}");
    }
    drop(std::panic::take_hook());
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
    refused("[1, \"a\"].sort();", "t.rhai:1:10: elements of different types cannot be sorted");
}

/// An order derived from errors would be arbitrary.
#[test]
fn an_error_of_what_compares_two_elements_is_one_of_the_set() {
    let rule = one("when(s.can_scale_up), restart()");
    for call in ["a.sort(", "a.sort_by(", "let _b = a.order(", "let _b = a.order_by("] {
        for (compare, expected) in [
            ("|x, y| throw \"no\"", "no"),
            ("|x, y| { if x > 1 { throw \"no\"; } x - y }", "no"),
            ("|x, y| x.nope", "Unknown property"),
            ("|x, y| \"no\"", "the comparison function returned a text, expected a whole number, true or false"),
        ] {
            let faults = try_set(&format!("let a = [3, 1, 2]; {call}{compare});\n{rule}")).expect_err(compare);
            assert!(faults[0].to_string().contains(expected), "{call}{compare}): {faults:?}");
        }
        set(&format!("let a = [3, 1, 2]; {call}|x, y| x - y);\n{rule}"));
    }
}
