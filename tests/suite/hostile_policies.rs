//! No script does harm: each hostile one is refused, none takes down the process or the active set.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cpu_time::ThreadTime;
use flyball::actors::policy_library::InForce;
use flyball::app::deadline;
use flyball::decide::{Deadline, Decider, Spent, Vocabulary, compile, decide, lint, run_tests};
use flyball::instrument::Metrics;
use flyball::ports::{PolicyFile, PolicyFiles};
use proptest::prelude::*;

use crate::hostile::{CLASSES, FAULTS, GOOD, LATE, OPERATIONS, of_class};
use crate::parity::{Facts, Source};

fn never() -> Deadline {
    Arc::new(|| None)
}

fn good() -> PolicyFiles {
    let file = PolicyFile { path: "good.rhai".to_owned(), text: GOOD.into() };
    PolicyFiles { origin: "good".to_owned(), files: Ok(vec![file]), namespaces: BTreeMap::new() }
}

/// How much CPU a script may take: the deadline of the loop, and what one native call may take after it, in a debug
/// build too.
const CPU: Duration = Duration::from_millis(500 + 250);

/// Loads the scripts of a class as the loop does, with its deadline, and asserts what stops each.
fn class(name: &str) {
    let (in_force, metrics) = (InForce::default(), Metrics::new());
    let words = Vocabulary::of([]).unwrap();
    in_force.take(&good(), &words, never, &metrics.process());
    let revision = in_force.load().unwrap().revision().clone();
    let class = CLASSES.iter().find(|class| class.name == name).unwrap();
    let mut wrong = Vec::new();
    for hostile in of_class(class) {
        let began = ThreadTime::now();
        in_force.take(&hostile.files, &words, deadline, &metrics.process());
        let spent = began.elapsed();
        assert_eq!(*in_force.load().unwrap().revision(), revision, "{name}: {} is in force", hostile.name);
        let faults = in_force.faults();
        let late = [OPERATIONS, FAULTS].contains(&hostile.stop) && faults.iter().any(|fault| fault.contains(LATE));
        if !late && !faults.iter().any(|fault| fault.contains(hostile.stop)) {
            let faults: Vec<_> = faults.iter().take(2).map(|fault| format!("{fault:.200}")).collect();
            wrong.push(format!("{}\n   wanted: {}\n   got: {faults:?}", hostile.name, hostile.stop));
        }
        if spent > CPU {
            wrong.push(format!("{} took {spent:?} of CPU time", hostile.name));
        }
    }
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    let scripts = class.bodies.len() + (class.sets)().len();
    assert!(scripts >= 15, "{name} has {scripts} scripts");
}

#[test]
fn hostile_loops_are_stopped() {
    class("loops");
}

#[test]
fn hostile_recursion_is_stopped() {
    class("recursion");
}

#[test]
fn hostile_callbacks_are_stopped() {
    class("callbacks");
}

#[test]
fn hostile_depth_is_stopped() {
    class("depth");
}

#[test]
fn hostile_memory_is_stopped() {
    class("memory");
}

#[test]
fn hostile_sorting_is_stopped() {
    class("sort");
}

#[test]
fn hostile_types_are_stopped() {
    class("types");
}

#[test]
fn hostile_captured_state_is_stopped() {
    class("captured state");
}

#[test]
fn hostile_natives_are_stopped() {
    class("natives");
}

#[test]
fn hostile_imports_are_stopped() {
    class("imports");
}

#[test]
fn hostile_sources_are_stopped() {
    class("sources");
}

#[test]
fn hostile_growth_is_stopped() {
    class("growth");
}

#[test]
fn every_hostile_class_has_a_test() {
    let tests = include_str!("hostile_policies.rs");
    for class in CLASSES {
        assert!(tests.contains(&format!("    class(\"{}\");", class.name)), "{} has no test", class.name);
    }
}

/// This program uses the binary's allocator, which knows how much a thread holds.
#[test]
fn a_load_may_hold_so_much_memory_and_no_more() {
    // Held, not touched: a page fault costs time of this thread, too.
    let held = |bytes: usize| std::hint::black_box(Vec::<u8>::with_capacity(bytes));
    let expired = deadline();
    let small = held(100 << 20);
    assert_eq!(expired(), None);
    let large = held(40 << 20);
    assert_eq!(expired(), Some(Spent::Memory));
    drop((small, large));
    assert_eq!(expired(), None);
}

/// The loop's deadline is checked often enough to end what is within every other limit.
#[test]
fn a_deadline_ends_what_the_limits_would_let_pass() {
    let slow = format!("{GOOD}let x = 0; for i in 0..20000 {{ x += i; }}");
    let words = Vocabulary::of([]).unwrap();
    assert!(compile([("t.rhai", slow.as_str())], &words, &never()).is_ok());
    let asked = std::sync::atomic::AtomicU32::new(0);
    let after: Deadline =
        Arc::new(move || (asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 20).then_some(Spent::Time));
    let faults = compile([("t.rhai", slow.as_str())], &words, &after).unwrap_err();
    assert!(faults[0].to_string().contains("deadline"), "{faults:?}");
}

/// No script runs in a decision, so nothing can grow from tick to tick except how long conditions have held and which
/// rules failed; that is bounded by the set, whatever the data does.
#[test]
fn the_state_of_a_decider_does_not_grow_with_time() {
    let rule = |name: usize| {
        format!(
            "rule(\"r{name}\", #{{ priority: 1, goal: \"protect\" }}, |s, p| [
                when((s.rps.current > rps({name})).held_for(\"2m\")),
                when((s.cpu.current > pct({name})).held_for(\"1m\")),
                restart(),
            ]);\n"
        )
    };
    let text: String = (0..40).map(rule).collect();
    let words = Vocabulary::of([]).unwrap();
    let set = compile([("t.rhai", text.as_str())], &words, &never()).unwrap();
    let mut source = Source::new(7);
    let mut decider = Decider::new();
    let mut now = Facts::now();
    let mut sizes = Vec::new();
    for tick in 0..3_000_u32 {
        let (spec, features, outlook) = source.next().flyball();
        now = now.plus(Duration::from_secs(15));
        let _ = decide(&mut decider, &set, &spec, &features, &outlook, now);
        if tick % 1_000 == 999 {
            sizes.push(format!("{decider:?}").len());
        }
    }
    let largest = sizes.iter().max().copied().unwrap_or_default();
    assert!(largest < 80 * 600, "{sizes:?}");
}

/// Scripts kept because they were interesting once; the fuzz target starts from them.
fn corpus() -> Vec<String> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Any text is compiled, tested, linted and evaluated without a panic.
fn survives(text: &str) {
    let words = Vocabulary::of([]).unwrap();
    // The operations of a hostile loop take seconds in a debug build; a few checks are enough here.
    let asked = std::sync::atomic::AtomicU32::new(0);
    let deadline: Deadline =
        Arc::new(move || (asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 200).then_some(Spent::Time));
    let files = [("t.rhai", text), ("t_test.rhai", text), ("lib/l.rhai", "fn f(s) { when(s.rollout) }")];
    let Ok(set) = compile(files, &words, &deadline) else { return };
    let set = Arc::new(set);
    let _ = lint(&set, files);
    let _ = run_tests(&set, &words, files, &|_| true, &|| deadline.clone());
    let (spec, features, outlook) = Source::new(1).next().flyball();
    let _ = decide(&mut Decider::new(), &set, &spec, &features, &outlook, Facts::now());
}

#[test]
fn the_corpus_is_survived() {
    let corpus = corpus();
    assert!(corpus.len() >= 12, "{}", corpus.len());
    corpus.iter().for_each(|text| survives(text));
}

/// Words that take a mutated script further than letters would.
const WORDS: [&str; 48] = [
    "rule(\"x\", #{ priority: 1, goal: \"cost\" }, |s, p| [",
    "]);",
    "when(",
    "unless(",
    ")",
    "s.",
    "p.",
    "s.p99",
    ".current",
    ".predicted",
    ".region(\"A\")",
    ".over(\"5m\")",
    ".held_for(\"2m\")",
    ".or(false)",
    ".or(1)",
    "all([",
    "any([",
    "])",
    "!",
    " > ",
    " <= ",
    "pct(60)",
    "ms(1e308)",
    "secs(-1)",
    "rps(0)",
    "usd_per_hour(1)",
    "mins(1)",
    "scale_by(1.5)",
    "scale_to(",
    "shift(#{ from: \"A\", to: \"B\", step: pct(1), limit: pct(2) })",
    "throttle(#{})",
    "restart()",
    "note(\"n\")",
    "param(\"q\", 1);",
    "otherwise(\"o\");",
    "conflicts(\"error\");",
    "import \"lib/l\" as l;",
    "l::f(s)",
    "test(\"t\", || {",
    "});",
    "given(#{ \"p99.current\": ms(1) })",
    ".decide()",
    ".expect_none();",
    "timeline(\"15s\")",
    ".run(\"2m\")",
    "loop {",
    "}",
    "\"\u{e9}",
];

fn mutated() -> impl Strategy<Value = String> {
    let seeds = corpus();
    let edit =
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3_u8, prop::sample::select(WORDS.to_vec()));
    (prop::sample::select(seeds), prop::collection::vec(edit, 0..8)).prop_map(|(seed, edits)| {
        edits.into_iter().fold(seed, |text, (from, to, kind, word)| {
            let letters: Vec<char> = text.chars().collect();
            let (one, other) = (from.index(letters.len() + 1), to.index(letters.len() + 1));
            let (from, to) = (one.min(other), one.max(other).min(one.min(other) + 80));
            let part = |range: std::ops::Range<usize>| letters[range].iter().collect::<String>();
            match kind {
                0 => [&*part(0..from), word, &*part(from..letters.len())].concat(),
                1 => [part(0..from), part(to..letters.len())].concat(),
                _ => [part(0..to), part(from..letters.len())].concat(),
            }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150), ..ProptestConfig::default() })]

    /// The fuzz target: `just fuzz` runs it with many more cases. A script that fails goes into the corpus.
    #[test]
    fn mutated_scripts_are_survived(text in mutated()) {
        survives(&text);
    }
}
