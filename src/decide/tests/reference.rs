//! Every example of the reference loads.

use super::*;
use crate::decide::reference::{Place, WORDS};

const SLO: &str = "fn breach(s) { s.p99.current > ms(1) }";
const BASE: &str = "param(\"limit\", ms(200), #{ min: ms(1), max: secs(9), doc: \"x\" });\n\
    rule(\"name\", #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.can_scale_up), restart()]);\n\
    rule(\"busy\", #{ priority: 2, goal: \"protect\" }, |s, p| [when(s.cpu.current > pct(60)), restart()]);\n\
    rule(\"late\", #{ priority: 3, goal: \"protect\" }, |s, p| [when(s.p99.current > p.limit), restart()]);\n\
    limit(\"limited\", |s, p| [when(s.maintenance), veto(\"lower\", \"why\")]);\n";

/// What the page says of the script language is so.
#[test]
fn what_the_page_lists_of_rhai_works() {
    let body = "let a = [3, 1, 2].map(|x| x * 2).filter(|x| x > 2);\n\
        a.push(8); a.sort();\n\
        let m = #{ b: a.reduce(|sum, x| sum + x, 0) };\n\
        let n = 0; while n < 2 { n += 1; } loop { if n > 3 { break; } n += 1; }\n\
        let list = [];\n\
        for x in a { list.push(when(s.queue.current > x)); }\n\
        if a.contains(8) && m.keys().len() == 1 { list.push(note(`sum ${m.b}, ${(1.26).round()}`)); }\n\
        list.push(restart()); return list;";
    let set =
        set(&format!("const _C = 1;\nrule(\"r\", #{{ priority: 1, goal: \"protect\" }}, |s, p| {{\n{body}\n}});"));
    let made = Case::new().decide(&mut Decider::new(), &set);
    assert_eq!((made.rules[0].conditions.len(), &*made.rules[0].notes[0]), (3, "sum 18, 1.0"));
    for word in ["eval(\"1\")", "switch 1 { _ => 1 }", "print(1)", "timestamp()", "rand()", "sleep(1)"] {
        assert!(try_set(&one(&format!("when({word} == 1), restart()"))).is_err(), "{word}");
    }
}

#[test]
fn every_example_loads_and_every_test_passes() {
    let recording = recorded(&Case::new(), 1);
    for word in WORDS {
        let example = word.example;
        let rule = |clauses: &str| format!("{BASE}{}", named("x", clauses));
        let policy = match word.place {
            Place::Top if example.starts_with("rule") || example.starts_with("param") => {
                format!("{example}\n{}", named("x", "when(s.rollout), restart()"))
            }
            Place::Top => format!("{example}\n{BASE}"),
            Place::Clause if example.starts_with("when") => rule(&format!("{example}, restart()")),
            Place::Clause => rule(&format!("{example}, when(s.rollout), restart()")),
            Place::Condition => rule(&format!("when({example}), restart()")),
            Place::Quantity(bound) => rule(&format!("when({example} > {bound}), when({bound} < {example}), restart()")),
            Place::Action => rule(&format!("when(s.can_scale_up), {example}")),
            Place::Limit => format!("{BASE}limit(\"x\", |s, p| [when(s.can_scale_up), {example}]);"),
            Place::Test => BASE.to_owned(),
        };
        let files = [
            ("lib/slo.rhai", SLO),
            ("incident.jsonl", recording.as_str()),
            ("pricing.data.json", "{ \"pod_hour\": 0.12 }"),
            ("t.rhai", policy.as_str()),
            ("t_test.rhai", if word.place == Place::Test { example } else { "" }),
        ];
        let set = Arc::new(load(&files).unwrap_or_else(|faults| panic!("{example}: {faults:#?}")));
        let report =
            run_tests(&set, &vocabulary(), files, &|_| true, &never).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(report.tests.len(), usize::from(word.place == Place::Test), "{example}");
        assert!(report.tests.iter().all(|test| test.expects), "{example} expects nothing");
        assert_eq!(report.failures().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "{example}");
    }
}
