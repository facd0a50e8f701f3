//! Hostile rules: each is stopped with an error that names its kind, and the process continues.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn stopped(body: &str, expected: &str) {
    let policy = format!(
        "fn deeper(n) {{ 1 + deeper(n + 1) }}\nrule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{\n{body}\n[] }});"
    );
    let faults = try_set(&policy).expect_err(body);
    assert!(faults[0].message.starts_with(expected), "{body}: {}", faults[0]);
}

#[test]
fn what_never_ends_is_stopped() {
    stopped("loop { }", "operations: more than 5000");
    stopped("let x = 0; while x >= 0 { x += 1; }", "operations: more than 5000");
    stopped("for i in 0..1000000000 { }", "operations: more than 5000");
    stopped("let a = []; a.pad(200, 1); a.sort(|x, y| { for i in 0..1000 { } 0 });", "operations: more than 5000");
}

#[test]
fn what_recurses_is_stopped() {
    stopped("deeper(0);", "depth: calls are nested too deeply");
    let f = "let f = |f, n| f.call(f, n + 1); f.call(f, 0);";
    stopped(f, "depth: calls are nested too deeply");
}

#[test]
fn what_grows_is_stopped() {
    stopped("let x = \"ab\"; loop { x += x; }", "limit: a string grew too long");
    stopped("let x = []; loop { x.push(1); }", "limit: an array grew too large");
    stopped("let x = []; x.pad(1000000000, 0);", "limit: an array grew too large");
    stopped("let x = [1]; loop { x += x; }", "limit: an array grew too large");
    stopped("let x = #{}; let k = \"\"; loop { k += \"k\"; x.set(k, 1); }", "limit: a map grew too large");
    // The engine does not check a map after an assignment to one of its keys: the operation limit bounds it.
    stopped("let x = #{}; let k = \"\"; loop { k += \"k\"; x[k] = 1; }", "operations: more than 5000");
    stopped("let x = []; x.push([1]); for i in 0..40 { x.push(x); }", "limit: an array grew too large");
}

#[test]
fn what_is_nested_too_deeply_does_not_parse() {
    for text in ["(".repeat(5000), "[".repeat(5000), "!".repeat(5000), "{".repeat(5000), "a.".repeat(5000)] {
        let faults = try_set(&format!("let x = {text}")).unwrap_err();
        assert_eq!(faults.len(), 1);
    }
    let sum = format!("let x = 1{};", " + 1".repeat(2000));
    refused(&sum, "t.rhai:1:");
    let many: Vec<_> = (0..200).map(|number| format!("let x{number} = 1;")).collect();
    refused(&many.concat(), "t.rhai:1:");
    let functions: Vec<_> = (0..300).map(|number| format!("fn f{number}() {{ 1 }}\n")).collect();
    refused(&functions.concat(), "t.rhai:");
}

/// Many deeply recursive rules do no harm to a small stack, even in a debug build.
#[test]
fn a_worker_stack_is_enough() {
    let worker = std::thread::Builder::new().stack_size(2 << 20);
    worker.spawn(what_recurses_is_stopped).unwrap().join().unwrap();
}

/// The deadline is checked before each file, while it is parsed, and every 64 operations of a script.
#[test]
fn the_deadline_ends_the_load() {
    let policy =
        "let sum = 0; for i in 0..2000 { sum += i; }\n".to_owned() + one("when(s.rollout), restart()").as_str();
    let faults_after = |asked: u32| {
        let count = AtomicU32::new(0);
        let deadline: Deadline =
            Arc::new(move || (count.fetch_add(1, Ordering::Relaxed) >= asked).then_some(Spent::Time));
        let result = compile([("a.rhai", policy.as_str()), ("b.rhai", "")], &vocabulary(), &deadline);
        result.err().map(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let over = "deadline: loading the set took too long";
    assert_eq!(faults_after(0).unwrap(), [format!("a.rhai: {over}"), format!("b.rhai: {over}")]);
    let inside = faults_after(5).unwrap();
    assert!(inside[0].starts_with("a.rhai:1:") && inside[0].ends_with(over), "{inside:?}");
    assert_eq!(faults_after(10_000), None);
}

/// Trees share their branches: without a limit a loop could build one that takes forever to evaluate.
#[test]
fn trees_that_grow_in_a_loop_are_refused() {
    stopped("let q = s.queue.current; for i in 0..100 { q = q + q; }", "limit: 127 parts in one expression");
    stopped("let q = s.queue.current; for i in 0..100 { q = q.or(q); }", "limit: 127 parts in one expression");
    stopped("let c = s.rollout; for i in 0..100 { c = all([c, c]); }", "limit: 127 parts in one expression");
    stopped("let c = s.rollout; for i in 0..100 { c = !c; }", "limit: 65 parts in one expression");
    stopped("let c = s.rollout; for i in 0..100 { c = c.or(true); }", "limit: 65 parts in one expression");
}

/// Notes are in every record of every cycle.
#[test]
fn notes_are_bounded_in_number_and_length() {
    let noted = |length: usize, count: usize| {
        one(&format!("when(s.rollout), {}restart()", format!("note(\"{}\"), ", "x".repeat(length)).repeat(count)))
    };
    let rule = set(&noted(512, 16));
    assert_eq!(Case::new().decide(&mut Decider::new(), &rule).rules[0].notes.len(), 16);
    refused(&noted(513, 1), "t.rhai:2:18: rule r: note: it has 513 bytes, expected 1 to 512");
    refused(&noted(0, 1), "t.rhai:2:18: rule r: note: it has 0 bytes");
    refused(&noted(1, 17), "t.rhai:1:1: rule r: it has more than 16 notes");
}

/// The cost of a decision is known before a set is used: each rule, and their sum, stays below a ceiling.
#[test]
fn a_set_that_is_too_dear_is_refused_with_the_rule_and_its_cost() {
    // One operation for the comparison, each number and each sum; nine for a scan of the forecast.
    let costs = |clauses: &str| set(&one(clauses)).costs().map(|(_, cost)| cost).sum::<usize>();
    assert_eq!(costs("when(s.rollout), restart()"), 1);
    assert_eq!(costs("when((s.queue.current + 1 > 2).held_for(\"2m\")), restart()"), 6);
    assert_eq!(costs("when(s.p99.longest_run_above(ms(200)) > \"2m\"), scale_to(s.capacity.needed_now)"), 13);
    let long = "let q = s.queue.current; for i in 0..4 { q = q + q; } ";
    let rule = |name: &str, conditions: usize| {
        let clauses = "when(q > 1), ".repeat(conditions);
        format!("rule(\"{name}\", #{{ priority: 1, goal: \"protect\" }}, |s, p| {{ {long} [{clauses} restart()] }});\n")
    };
    let allowed = set(&rule("dear", 30));
    assert_eq!(allowed.costs().collect::<Vec<_>>(), [("dear", 990)]);
    refused(
        &rule("dear", 31),
        "t.rhai:1:1: rule dear: cost: it takes 1023 operations per decision, the limit is 1000: remove conditions",
    );
    let many: String = (0..11).map(|number| rule(&format!("r{number}"), 30)).collect();
    refused(
        &many,
        "policy set: cost: its 11 rules take 10890 operations per decision, the limit is 10000 (r0 takes 990, r1 takes 990, r2 takes 990): remove",
    );
}

/// Three failures in a row mute a rule for ten minutes; another revision starts clean.
#[test]
fn a_rule_that_fails_again_and_again_is_muted() {
    let policy = one("when(s.can_scale_up), scale_to(s.queue.current)");
    let (first, second) = (set(&policy), set(&format!("{policy}\n// edited")));
    let mut state = Decider::new();
    let mut outcome = |set, seconds, queue| {
        let proposal = Case::new().set("queue", queue).at(seconds).decide(&mut state, set);
        let outcome = &proposal.rules[0].outcome;
        let fails = matches!(outcome.as_str(), "error" | "muted");
        // The reason is reported while it is muted, too.
        assert_eq!(outcome.failure().is_some_and(|why| why.contains("invalid action")), fails, "{outcome:?}");
        outcome.as_str()
    };
    for (seconds, queue, expected) in [
        (0, 0.0, "error"),
        (15, 0.0, "error"),
        (30, 3.0, "matched"),
        (45, 0.0, "error"),
        (60, 0.0, "error"),
        (75, 0.0, "error"),
        (90, 3.0, "muted"),
        (674, 3.0, "muted"),
        (675, 3.0, "matched"),
        (690, 0.0, "error"),
        (705, 0.0, "error"),
        (720, 0.0, "error"),
        (735, 3.0, "muted"),
    ] {
        assert_eq!(outcome(&first, seconds, queue), expected, "at {seconds} s");
    }
    assert_eq!(outcome(&second, 750, 3.0), "matched");
}

/// Parsing counts no operations, and a long text takes longer than the whole load may.
#[test]
fn a_long_text_is_stopped_while_it_is_parsed() {
    let looks = AtomicU32::new(0);
    let third: Deadline = Arc::new(move || (looks.fetch_add(1, Ordering::Relaxed) >= 2).then_some(Spent::Time));
    let text = format!("let x = 1;\n{}", "x;".repeat(10_000));
    let faults = compile([("t.rhai", text.as_str())], &Vocabulary::of([]).unwrap(), &third).unwrap_err();
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!((fault.line, &*fault.message), (Some(2), "deadline: loading the set took too long"));
}

#[test]
fn a_loop_of_faults_is_not_a_flood_of_them() {
    let faults = try_set("for i in 0..5000 { otherwise(\"x\"); }").unwrap_err();
    assert_eq!(faults.len(), 101);
    assert!(faults[100].to_string().starts_with("policy set: there are more faults"), "{}", faults[100]);
    let dropped = try_set(&format!("let x = 1;\n{}", "x;".repeat(1000))).unwrap_err();
    assert_eq!((dropped.len(), &dropped[100]), (101, &faults[100]));
}
