//! The scripts that are whole sets: defined by their place, their size or their number.

use super::{ARRAY, FAULTS, GOOD, MAP, OPERATIONS, Set, Stop};

fn file(text: impl Into<String>) -> Set {
    vec![("t.rhai".to_owned(), text.into())]
}

fn set(files: &[(&str, &str)]) -> Set {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn rule(name: &str, body: &str) -> String {
    format!("rule(\"{name}\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{ {body} }});\n")
}

fn test(body: &str) -> Set {
    let test = format!("test(\"t\", || {{ {body}\nthrow \"the end was reached\"; }});");
    set(&[("t.rhai", GOOD), ("t_test.rhai", &test)])
}

/// Nested so deeply that a parser or an evaluator could overflow its stack.
pub(super) fn deep() -> Vec<(Set, Stop)> {
    const TOO_DEEP: Stop = "maximum complexity";
    let around = [
        ("(", ")"),
        ("[", "]"),
        ("{", "}"),
        ("#{a:", "}"),
        ("!", ""),
        ("- ", ""),
        ("|x| ", ""),
        ("if true {", "}"),
        ("while true {", "}"),
        ("for x in [1] {", "}"),
        ("`${", "}`"),
        ("all([", "])"),
        ("id(", ")"),
        ("max(1,", ")"),
        ("loop {", "}"),
    ];
    let before = ["a.", "a[0].", "1 + ", "true && ", "if true {} else ", "2 ** ", "\"\" + ", "a ?? "];
    let mut sets = Vec::new();
    for depth in [40, 5_000, 40_000_usize] {
        // No file may have more than 256 KiB.
        let fits = |part: &str| depth.min(250_000 / part.len().max(1));
        for (open, close) in around {
            let depth = fits(&[open, close].concat());
            sets.push((file(format!("let x = {}1{};\n{GOOD}", open.repeat(depth), close.repeat(depth))), TOO_DEEP));
        }
        for part in before {
            sets.push((file(format!("let a = 1; let x = {}a;\n{GOOD}", part.repeat(fits(part)))), TOO_DEEP));
        }
    }
    sets
}

/// What only tests can hold: services, decisions, timelines.
pub(super) fn held() -> Vec<(Set, Stop)> {
    [
        ("let x = []; loop { x.push(timeline(\"15s\").run(\"1m\")); }", ARRAY),
        ("let g = given(#{}); let x = []; x.pad(1000000000, g);", ARRAY),
        ("let x = []; loop { x.push(given(#{}).decide()); }", ARRAY),
        ("let x = #{}; let i = 0; loop { i += 1; x.set(`${i}`, timeline(\"15s\")); }", MAP),
        ("let x = [given(#{})]; loop { x = [x, x]; }", ARRAY),
        ("loop { timeline(\"1m\").set(\"maintenance\", true).run(\"1m\"); }", OPERATIONS),
        ("let t = timeline(\"1s\"); t.run(\"24h\");", "run(\"86400\") takes 86400 decisions, the limit is 5760"),
        ("for_each_signal(|k| { loop { } }); loop { }", OPERATIONS),
    ]
    .map(|(body, stop)| (test(body), stop))
    .into()
}

/// Values of the language in the wrong place.
pub(super) fn mistyped() -> Vec<(Set, Stop)> {
    [
        ("if s { }", "expected bool, found service"),
        ("if s.rollout { }", "a condition is not a bool"),
        ("s.rollout && s.can_scale_up", "a condition is not a bool"),
        ("let x = s == s;", "the service cannot be compared with =="),
        ("s.cpu.current == 1;", "a quantity cannot be compared with =="),
        ("s.cpu.current > \"1\";", "a quantity cannot be compared with a text"),
        ("s.cpu > pct(1);", "a signal without a view (.current, .mean, .predicted) cannot be compared"),
        ("p.none;", "unknown parameter `none`"),
        ("s.none;", "unknown signal `none`"),
        ("s.cpu.none;", "unknown view of a signal `none`"),
        ("s.cpu.current = 1;", "No writable property 'current'"),
        ("s.rollout + 1;", "no function `+ (condition, i64)`"),
        ("when(when(s.rollout));", "no function `when (clause)`"),
        ("[s, p]", "element 1 is"),
        ("s", "the rule's body is a service"),
        ("rule", "unknown name `rule`"),
    ]
    .map(|(body, stop)| (file(rule("r", body)), stop))
    .into()
}

/// Variables of a file that a rule or a test would share between calls.
pub(super) fn captured() -> Vec<(Set, Stop)> {
    let outside = "is declared outside the function";
    let mut sets = Vec::new();
    for declared in ["let n = 0;", "let n = [];", "let n = #{};", "const n = 1;", "let n = \"\";", "let n = 0.5;"] {
        for body in ["n += n; []", "let m = n; []", "[when(s.rps.current > n)]"] {
            sets.push((file(format!("{declared}\n{}", rule("r", body))), outside));
        }
        let test = format!("{declared}\ntest(\"t\", || {{ let m = n; }});");
        sets.push((set(&[("t.rhai", GOOD), ("t_test.rhai", &test)]), outside));
        let library = format!("{declared}\nfn f() {{ n }}");
        sets.push((set(&[("lib/h.rhai", &library), ("t.rhai", GOOD)]), outside));
    }
    for argument in ["1", "[1]", "#{}", "f"] {
        let call = format!("rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, f.curry({argument}));");
        sets.push((file(format!("fn f(x, s, p) {{ [] }}\n{call}")), "`curry` is not available"));
    }
    sets
}

pub(super) fn imports() -> Vec<(Set, Stop)> {
    let imports = |text: &str, stop| (set(&[("lib/a.rhai", text), ("t.rhai", GOOD)]), stop);
    vec![
        imports("import \"lib/a\" as a;", "`lib/a` imports itself"),
        (
            set(&[
                ("lib/a.rhai", "import \"lib/b\" as b;"),
                ("lib/b.rhai", "import \"lib/a\" as a;"),
                ("t.rhai", GOOD),
            ]),
            "`lib/a` imports itself, via lib/a, lib/b",
        ),
        imports("rule(\"x\", #{}, 1);", "belongs in a file outside lib/"),
        imports("param(\"x\", 1);", "belongs in a file outside lib/"),
        imports("loop { }", OPERATIONS),
        imports("fn f( {", "lib/a.rhai:1:7: Expecting ')'"),
        imports("import `lib/${\"a\"}` as a;", "`lib/a` imports itself"),
        imports("let x = []; loop { x.push(x); }", ARRAY),
        imports("throw 1;", "lib/a.rhai:1:1: Runtime error: 1"),
        imports("for i in 0..20 { import \"lib/none\" as n; }", "no library `lib/none`"),
        (chain(12), "imports of libraries are nested more than 8 levels deep"),
        (file(format!("{}{GOOD}", "import \"lib/none\" as n;\n".repeat(40))), "no library"),
    ]
}

/// Libraries that import each other in a chain.
fn chain(length: usize) -> Set {
    let one = |number: usize| {
        let text = if number == length {
            "fn f() { 1 }".to_owned()
        } else {
            format!("import \"lib/l{:02}\" as next;", number + 1)
        };
        (format!("lib/l{number:02}.rhai"), text)
    };
    (0..=length).map(one).chain([("t.rhai".to_owned(), GOOD.to_owned())]).collect()
}

/// Large, many, or not text at all.
pub(super) fn sources() -> Vec<(Set, Stop)> {
    let many =
        |count: usize, text: &str| (0..count).map(|number| (format!("f{number}.rhai"), text.to_owned())).collect();
    let large = "bytes, the limit is 262144";
    let numbered = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    vec![
        (file("x".repeat(257 * 1024)), large),
        (file(" ".repeat(300 * 1024)), large),
        (file("/*".repeat(120 * 1024)), "this comment is not closed"),
        (file("\"".repeat(255 * 1024)), "Length of string exceeds the maximum limit"),
        (file("`${".repeat(80 * 1024)), "maximum complexity"),
        (file("\u{0}".repeat(1024)), "Unexpected '"),
        (file("\u{202e}rule"), "Unexpected '"),
        (file("let x = 1;\n".repeat(20_000)), "limit: it declares 20000 variables"),
        (file("{ let x = 1; }\n".repeat(17_000) + "loop { }"), "limit: it declares 17000 variables"),
        (file("throw 1;\n".repeat(20_000)), "t.rhai:1:1: Runtime error: 1"),
        (file(numbered(10_000, |n| format!("let x{n} = {n};\n"))), "limit: it declares 10000 variables"),
        (file(numbered(1_000, |n| format!("let x{n} = {n};\n"))), "limit: too many variables"),
        (file(numbered(5_000, |n| format!("fn f{n}() {{ }}\n"))), "limit: more than 256 functions in one file"),
        (
            file(numbered(2_000, |n| GOOD.replace("good", &format!("r{n}")))),
            "limit: more than 256 functions in one file",
        ),
        (many(65, GOOD), "it has 65 files, the limit is 64"),
        (many(60, &"/".repeat(64 * 1024)), "bytes, the limit is 2097152"),
        (many(64, "throw 1;"), "f0.rhai:1:1: Runtime error: 1"),
        (Vec::new(), "it has no rules"),
        (file(format!("let x = \"{}\";\n{GOOD}", "y".repeat(5_000))), "Length of string exceeds the maximum limit"),
        (file(format!("let x = \"\";\n{}", "x;".repeat(125_000))), FAULTS),
        (many(7, &format!("let x = \"\";\n{}", "x;".repeat(125_000))), FAULTS),
        (file("fn f() { }\n".repeat(20_000)), "Function f with no parameters already exists"),
        (file("rule(".repeat(50_000)), "maximum complexity"),
    ]
}

/// What grows a set each time it is loaded or evaluated: names, rules, parts.
pub(super) fn growth() -> Vec<(Set, Stop)> {
    const PARTS: Stop = "parts in one expression, the limit is 64";
    let declared = |text: &str| file(format!("{text}\n{GOOD}"));
    let mut sets = vec![
        (declared("for i in 0..5000 { param(`p${i}`, i); } loop { }"), OPERATIONS),
        (
            declared("for i in 0..1000 { rule(`r${i}`, #{ priority: i, goal: \"cost\" }, |s, p| []); }"),
            "at most 256 rules",
        ),
        (declared("loop { otherwise(\"x\"); }"), "a set has only one"),
        (declared("loop { param(\"x\", 1); }"), "parameter names must be unique"),
    ];
    for (body, stop) in [
        ("let q = s.cpu.current; loop { q = q + q; }", PARTS),
        ("let q = s.cpu.current; loop { q = max(q, q); }", PARTS),
        ("let q = s.cpu.current; loop { q = q.or(q); }", PARTS),
        ("let q = s.rps.current; loop { q = q + q.or(q); }", PARTS),
        ("let c = s.can_scale_up; loop { c = all([c, c]); }", PARTS),
        ("let c = s.can_scale_up; loop { c = any([c, c]); }", PARTS),
        ("let c = s.can_scale_up; loop { c = !c; }", PARTS),
        ("let c = s.can_scale_up; loop { c = c.or(true); }", PARTS),
        ("let q = s.rps.current; loop { q = q + q.needs_replicas(); }", "they cannot be combined"),
        ("let b = ms(1); loop { b = b + s.p99.longest_run_above(b); }", PARTS),
        ("let l = []; for i in 0..300 { l.push(when(s.can_scale_up)); } l", ARRAY),
        ("let l = [when(s.can_scale_up)]; for i in 0..9 { l = [l, l]; } l", ARRAY),
        ("let l = [restart()]; for i in 0..200 { l.push(restart()); } l", "it has two actions"),
        ("let l = [when(s.rollout), restart()]; for i in 0..200 { l.push(note(`${i}`)); } l", "more than 16 notes"),
        ("let n = note(\"x\"); loop { n = [n, n]; }", ARRAY),
        ("let t = \"x\"; for i in 0..11 { t += t; } [when(s.rollout), note(t), restart()]", "note: it has 2048 bytes"),
    ] {
        sets.push((file(rule("r", body)), stop));
    }
    let dear = "let q = s.cpu.current; for i in 0..4 { q = q + q; }".to_owned();
    let clauses = "when(q > pct(1)), ".repeat(40);
    sets.push((
        file(rule("r", &format!("{dear} [{clauses} restart()]"))),
        "operations per decision, the limit is 1000",
    ));
    let clauses = "when(s.can_scale_up), ".repeat(190);
    let many = (0..55).map(|n| rule(&format!("r{n}"), &format!("[{clauses} restart()]"))).collect::<String>();
    sets.push((file(many), "operations per decision, the limit is 10000"));
    sets
}
