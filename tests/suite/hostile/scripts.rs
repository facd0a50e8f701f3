//! The scripts.

use super::{Class, GOOD, Set};

/// The classes.
pub const CLASSES: [Class; 12] = [
    Class {
        name: "loops",
        bodies: &[
            "loop { }",
            "while true { }",
            "do { } while true;",
            "do { } until false;",
            "let x = 0; while x >= 0 { x += 1; }",
            "for i in 0..1000000000 { }",
            "for i in range(0, 1000000000) { let x = [i]; }",
            "let x = 1; loop { x = -x; continue; }",
            "loop { let f = |n| n; f.call(1); }",
        ],
        sets: none,
    },
    Class {
        name: "recursion",
        bodies: &[
            "deeper(0);",
            "ping(0);",
            "wide(0);",
            "let f = |f, n| f.call(f, n + 1); f.call(f, 0);",
            "let f = Fn(\"deeper\"); f.call(0);",
            "[1].map(|x| deeper(x));",
            "let x = #{ f: Fn(\"ping\") }; x.f.call(1);",
        ],
        sets: none,
    },
    Class {
        name: "callbacks",
        bodies: &[
            "let a = []; a.pad(200, 1); a.map(|x| { a.map(|y| { a.map(|z| x + y + z); 0 }); 0 });",
            "let a = []; a.pad(200, 1); a.filter(|x| { for i in 0..100000 { } true });",
            "let a = []; a.pad(200, 1); a.reduce(|sum, x| { for i in 0..100000 { } sum });",
            "let a = []; a.pad(200, 1); a.some(|x| { for i in 0..100000 { } false });",
            "let a = []; a.pad(200, 1); a.all(|x| { loop { } });",
            "let a = []; a.pad(200, 1); a.find(|x| { a.find(|y| { loop { } }); false });",
            "let a = []; a.pad(200, 1); a.for_each(|| { for i in 0..100000 { } });",
            "let a = []; a.pad(200, 1); a.index_of(|x| { a.map(|y| a.map(|z| z)); false }); loop { }",
        ],
        sets: none,
    },
    Class { name: "depth", bodies: &["let f = |x| |y| |z| x; loop { f = |q| f; }"], sets: deep },
    Class {
        name: "memory",
        bodies: &[
            "let x = \"ab\"; loop { x += x; }",
            "let x = []; loop { x.push(timeline(\"15s\").run(\"2h\")); }",
            "let x = \"\"; x.pad(1000000000, \"y\");",
            "let x = `a`; loop { x = `${x}${x}`; }",
            "let x = []; loop { x.push(1); }",
            "let x = []; x.pad(1000000000, 0);",
            "let x = [1]; loop { x += x; }",
            "let x = [1]; loop { x = [x, x, x, x]; }",
            "let x = []; loop { x = [x]; }",
            "let x = #{}; let k = \"\"; loop { k += \"k\"; x[k] = k; }",
            "let x = #{}; let k = \"\"; loop { k += \"k\"; x.set(k, x); }",
            "let x = \"a\".repeat(100000000);",
            "let x = \"a,\"; x.pad(4000, \",\"); loop { x.split(\",\"); }",
        ],
        sets: none,
    },
    Class {
        name: "sort",
        bodies: &[
            "let a = []; a.pad(200, 1); a.sort(|x, y| { for i in 0..100000 { } 0 }); throw 1;",
            "let a = [3, 1, 2]; a.sort(|x, y| throw 1); throw 2;",
            "let a = [3, 1, 2]; a.sort(|x, y| \"no\"); throw 2;",
            "let a = []; for i in 0..200 { a.push(i); } let n = 0; a.sort(|x, y| if (x * 7919 + y) % 3 == 0 { 1 } else { -1 }); throw 1;",
            "let a = []; for i in 0..200 { a.push(i); } a.sort(|x, y| 1); throw 1;",
            "let a = []; for i in 0..200 { a.push(200 - i); } a.sort(|x, y| if x > y { -1 } else { 1 }); throw 1;",
            "let a = [1, \"a\", 2.5, (), true, [1], #{}]; a.sort(); throw 1;",
            "let a = [0.0/0.0, 1.0, 0.0/0.0, -1.0]; a.sort(); throw 1;",
        ],
        sets: none,
    },
    Class {
        name: "types",
        bodies: &[
            "if s { }",
            "let x = s == s; while !x { }",
            "let x = () + 1;",
            "let x = \"1\" * \"1\";",
            "let x = [] - #{};",
            "let x = this; x.y = 1;",
            "let x = 1; x.y.z = 2;",
            "let x = \"abc\"; x[99] = 'd';",
            "let x = type_of(1); x.call();",
            "Fn(\"when\").call(Fn(\"when\"));",
            "let x = #{}; x.a.b.c;",
            "pct(\"1\");",
            "ms(0.0/0.0);",
            "rps(1e308 * 10.0);",
        ],
        sets: none,
    },
    Class {
        name: "captured state",
        bodies: &["let n = 0; let f = || { n += 1; n }; loop { f.call(); }"],
        sets: captured,
    },
    Class {
        name: "natives",
        bodies: &[
            "let x = -9223372036854775807 - 1; x / -1;",
            "let x = -9223372036854775807 - 1; x % -1;",
            "let x = -9223372036854775807 - 1; x.abs();",
            "9223372036854775807 + 1;",
            "2 ** 9999;",
            "1 << 9999; 1 >> -9999; throw 1;",
            "[1].remove(-9223372036854775807); throw 1;",
            "[1].insert(9223372036854775807, 2); throw 1;",
            "[1, 2].extract(-9223372036854775807, 9223372036854775807); throw 1;",
            "[1, 2].splice(9223372036854775807..-5, [3]); throw 1;",
            "[1, 2].chop(-1); [1, 2].truncate(-1); [].pop(); [].shift(); throw 1;",
            "\"é\".sub_string(1, -1); \"é\".crop(-9, 99); \"é\".remove(\"\"); throw 1;",
            "\"aé\".split(-5); \"\".split(0); \"aé\".split_rev(\"\"); throw 1;",
            "\"x\".pad(-1, \"y\"); \"x\".truncate(-1); throw 1;",
            "parse_int(\"zz\", 99);",
            "1e300.to_int(); (0.0/0.0).to_int(); throw 1;",
            "for x in range(0, 10, 0) { }",
            "for x in 0..=9223372036854775807 { }",
            "for x in 9223372036854775806..=9223372036854775807 { } throw 1;",
            "for x in range(0.0, 1.0, 0.0) { }",
            "bits(1); get_bits(1, 0..=99); throw 1;",
        ],
        sets: none,
    },
    Class {
        name: "imports",
        bodies: &[
            "import \"lib/none\" as n;",
            "import \"../../etc/passwd\" as n;",
            "import \"/etc/passwd\" as n;",
            "import \"t\" as n;",
            "import \"\" as n;",
            "loop { import \"lib/none\" as n; }",
        ],
        sets: imports,
    },
    Class { name: "sources", bodies: &["let x = \"\"; eval(\"loop { }\");"], sets: sources },
    Class { name: "growth", bodies: &["let q = s; loop { q = [q, q]; }"], sets: growth },
];

fn none() -> Vec<Set> {
    Vec::new()
}

fn file(text: impl Into<String>) -> Set {
    vec![("t.rhai".to_owned(), text.into())]
}

/// Nested so deeply that a parser or an evaluator could run out of stack.
fn deep() -> Vec<Set> {
    let mut sets = Vec::new();
    for depth in [40, 5_000, 50_000] {
        for (open, close) in [("(", ")"), ("[", "]"), ("{", "}"), ("!", ""), ("-", ""), ("#{a:", "}"), ("|x|", "")] {
            let text = format!("let x = {}1{};\nthrow x;\n{GOOD}", open.repeat(depth), close.repeat(depth));
            sets.push(file(text));
        }
        for part in ["a.", "a[0].", "1 + ", "true && ", "if true {} else "] {
            sets.push(file(format!("let a = 1; {}a;\nthrow a;\n{GOOD}", part.repeat(depth))));
        }
    }
    sets
}

/// Variables of a file that a rule or a test would share between calls.
fn captured() -> Vec<Set> {
    let rule = |body: &str| {
        format!(
            "rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{ {body}\n[when(s.can_scale_up), restart()] }});"
        )
    };
    let curried = "fn f(x, s, p) { [when(s.can_scale_up), restart()] }\n";
    let mut sets: Vec<_> =
        ["let n = 0;", "let n = [];", "let n = #{};", "const n = 1;", "let n = \"\";", "let n = 0.5;"]
            .iter()
            .flat_map(|declared| {
                [format!("{declared}\n{}", rule("n += n;")), format!("{declared}\n{}", rule("let m = n;"))]
            })
            .map(file)
            .collect();
    for argument in ["1", "[1]", "#{}", "Fn(\"f\")"] {
        let call = format!("rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, Fn(\"f\").curry({argument}));");
        sets.push(file(format!("{curried}{call}")));
    }
    sets
}

fn imports() -> Vec<Set> {
    let set =
        |files: &[(&str, &str)]| files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    vec![
        set(&[("lib/a.rhai", "import \"lib/a\" as a;"), ("t.rhai", GOOD)]),
        set(&[("lib/a.rhai", "import \"lib/b\" as b;"), ("lib/b.rhai", "import \"lib/a\" as a;"), ("t.rhai", GOOD)]),
        set(&[("lib/a.rhai", "rule(\"x\", #{}, 1);"), ("t.rhai", GOOD)]),
        set(&[("lib/a.rhai", "loop { }"), ("t.rhai", GOOD)]),
        set(&[("lib/a.rhai", "fn f( {"), ("t.rhai", GOOD)]),
        set(&[("lib/a.rhai", "import `lib/${\"a\"}` as a;"), ("t.rhai", GOOD)]),
        set(&[("lib/a.rhai", "let x = []; loop { x.push(x); }"), ("t.rhai", GOOD)]),
    ]
}

/// Large, many, or no text at all.
fn sources() -> Vec<Set> {
    let many =
        |count: usize, text: &str| (0..count).map(|number| (format!("f{number}.rhai"), text.to_owned())).collect();
    let mut sets: Vec<Set> = vec![
        file("x".repeat(257 * 1024)),
        file(" ".repeat(300 * 1024)),
        file("/*".repeat(120 * 1024)),
        file("\"".repeat(255 * 1024)),
        file("`${".repeat(80 * 1024)),
        file("\u{0}".repeat(1024)),
        file("\u{feff}\u{202e}rule"),
        file("let x = 1;\n".repeat(20_000)),
        file("throw 1;\n".repeat(20_000)),
        file((0..20_000).map(|n| format!("let x{n} = {n};\n")).collect::<Vec<_>>().concat()),
        file((0..5_000).map(|n| format!("fn f{n}() {{ }}\n")).collect::<Vec<_>>().concat()),
        file((0..2_000).map(|n| GOOD.replace("good", &format!("r{n}"))).collect::<String>()),
        many(65, GOOD),
        many(60, &" ".repeat(64 * 1024)),
        many(64, "throw 1;"),
        Vec::new(),
    ];
    sets.push(file(format!("let x = \"{}\";\n{GOOD}", "y".repeat(5_000))));
    sets
}

/// What adds to a set each time it is loaded or asked: names, rules, parts.
fn growth() -> Vec<Set> {
    let rule = |name: &str, body: &str| {
        format!("rule(\"{name}\", #{{ priority: 1, goal: \"cost\" }}, |s, p| {{ {body} }});\n")
    };
    let declared = |text: &str| file(format!("{text}\n{GOOD}"));
    let mut sets = vec![
        declared("for i in 0..1000 { param(`p${i}`, i); } throw 1;"),
        declared("for i in 0..1000 { rule(`r${i}`, #{ priority: i, goal: \"cost\" }, |s, p| []); }"),
        declared("loop { otherwise(\"x\"); }"),
        declared("loop { param(\"x\", 1); }"),
    ];
    for body in [
        "let q = s.cpu.current; loop { q = q + q; }",
        "let q = s.cpu.current; loop { q = max(q, q); }",
        "let q = s.cpu.current; loop { q = q.or(q); }",
        "let q = s.rps.current; loop { q = q + q.or(q); }",
        "let c = s.can_scale_up; loop { c = all([c, c]); }",
        "let c = s.can_scale_up; loop { c = any([c, c]); }",
        "let c = s.can_scale_up; loop { c = !c; }",
        "let c = s.can_scale_up; loop { c = c.or(true); }",
        "let l = []; for i in 0..300 { l.push(when(s.can_scale_up)); } l",
        "let l = [when(s.can_scale_up)]; for i in 0..9 { l = [l, l]; } l",
        "let l = [restart()]; for i in 0..200 { l.push(restart()); } l",
        "let n = note(\"x\"); loop { n = [n, n]; }",
    ] {
        sets.push(file(rule("r", body)));
    }
    let clauses = "when(s.can_scale_up), ".repeat(200);
    sets.push(file((0..60).map(|n| rule(&format!("r{n}"), &format!("[{clauses} restart()]"))).collect::<String>()));
    sets
}
