//! Every example of the reference loads.

use super::*;
use crate::decide::reference::{Place, WORDS};

const SLO: &str = "fn breach(s) { s.p99.current > ms(1) }";
const BASE: &str = "param(\"limit\", ms(200), #{ min: ms(1), max: secs(9), doc: \"x\" });\n\
    rule(\"name\", #{ priority: 1, goal: \"protect\" }, |s, p| [when(s.can_scale_up), restart()]);\n\
    rule(\"busy\", #{ priority: 2, goal: \"protect\" }, |s, p| [when(s.cpu.current > pct(60)), restart()]);\n\
    rule(\"late\", #{ priority: 3, goal: \"protect\" }, |s, p| [when(s.p99.current > p.limit), restart()]);\n\
    limit(\"limited\", |s, p| [when(s.maintenance), veto(\"lower\", \"why\")]);\n";

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
        assert_eq!(report.failures().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "{example}");
    }
}
