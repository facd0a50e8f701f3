//! What holds for all inputs.

use proptest::prelude::*;

use super::*;

/// Three statements whose truth a case can choose.
const ATOMS: [&str; 3] = ["s.maintenance", "s.cost_optimization", "s.queue.current > 5"];

fn with_atoms(truths: [Truth; 3]) -> Case {
    let names = ["maintenance", "cost_optimization", "queue"];
    names.iter().zip(truths).fold(Case::new(), |case, (name, truth)| match truth {
        Truth::True => case.set(name, 9.0),
        Truth::False => case.set(name, 0.0),
        Truth::Unknown => case.without(name),
    })
}

fn expression() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(ATOMS.to_vec()).prop_map(str::to_owned);
    atom.prop_recursive(3, 12, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.join(", "));
        prop_oneof![
            inner.prop_map(|part| format!("!({part})")),
            list.clone().prop_map(|parts| format!("all([{parts}])")),
            list.prop_map(|parts| format!("any([{parts}])")),
        ]
    })
}

fn truth() -> impl Strategy<Value = Truth> {
    prop::sample::select(vec![Truth::True, Truth::False, Truth::Unknown])
}

/// Every way to resolve the unknowns.
fn completions(truths: [Truth; 3]) -> Vec<[Truth; 3]> {
    let mut all = vec![truths];
    for position in 0..truths.len() {
        all = all
            .into_iter()
            .flat_map(|truths| {
                let known = |truth| {
                    let mut truths = truths;
                    truths[position] = truth;
                    truths
                };
                match truths[position] {
                    Truth::Unknown => vec![known(Truth::True), known(Truth::False)],
                    _ => vec![truths],
                }
            })
            .collect();
    }
    all
}

/// A number that a broken source or forecast could deliver.
fn wild() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), -2.0..2.0, prop::sample::select(vec![0.0, 0.2, 0.6, 20.0, 1e308, -1e308])]
}

fn wild_case() -> impl Strategy<Value = Case> {
    let signals = prop::collection::vec((wild(), wild(), any::<bool>()), SIGNALS.len());
    let count = || prop::option::of(0_u32..40);
    (signals, count(), count(), count(), prop::option::of(0_u32..40)).prop_map(
        |(signals, now, ahead, floor, replicas)| {
            let mut case = Case::new().capacity(now, ahead, floor);
            for ((name, _), (value, forecast, present)) in SIGNALS.iter().zip(signals) {
                let value = if value.is_finite() { value } else { 0.0 };
                case = if present { case.set(name, value) } else { case.without(name) };
                case = case.forecast(name, forecast);
            }
            if replicas.is_none() {
                case.features.target = TargetReading::Unknown { reason: "gone".into() };
            }
            case.replicas(replicas.unwrap_or(0))
        },
    )
}

fn four_rules() -> PolicySet {
    let traffic = include_str!("../../../deploy/policies/traffic.rhai");
    let capacity = include_str!("../../../deploy/policies/capacity.rhai");
    load(&[("traffic.rhai", traffic), ("capacity.rhai", capacity)]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Learning what was unknown never overturns what was known: the logic is monotone.
    #[test]
    fn what_is_known_stays_so(expression in expression(), truths in [truth(), truth(), truth()]) {
        let set = set(&one(&format!("when({expression}), restart()")));
        let evaluate = |truths| {
            let proposal = with_atoms(truths).decide(&mut Decider::new(), &set);
            proposal.rules[0].conditions[0].holds
        };
        let known = evaluate(truths);
        for completed in completions(truths) {
            let complete = evaluate(completed);
            prop_assert_ne!(complete, Truth::Unknown, "{} {:?}", expression, completed);
            prop_assert!(known == Truth::Unknown || known == complete, "{} {:?} {:?}", expression, truths, completed);
        }
    }

    /// A rule matches only if each of its conditions is known to hold, and only a rule that matches acts.
    #[test]
    fn only_what_is_known_acts(case in wild_case()) {
        let set = four_rules();
        let proposal = case.decide(&mut Decider::new(), &set);
        prop_assert_eq!(proposal.rules.len(), 4);
        for rule in &proposal.rules {
            let all = rule.conditions.iter().fold(Truth::True, |all, condition| all.and(condition.holds));
            if rule.outcome == RuleOutcome::Matched {
                prop_assert_eq!(all, Truth::True, "{:?}", rule);
                prop_assert!(rule.action.is_some());
            }
            for condition in &rule.conditions {
                prop_assert!(condition.value.is_none_or(f64::is_finite), "{:?}", condition);
                prop_assert!(condition.holds != Truth::Unknown || condition.note.is_some(), "{:?}", condition);
            }
        }
        if let Choice::Act { rule, .. } = &proposal.choice {
            let acting = proposal.rules.iter().find(|trace| trace.rule == *rule).unwrap();
            prop_assert_eq!(&acting.outcome, &RuleOutcome::Matched);
        }
    }

    /// The same inputs and state give the same proposal.
    #[test]
    fn a_decision_can_be_repeated(case in wild_case()) {
        let set = four_rules();
        let first = format!("{:?}", case.decide(&mut Decider::new(), &set));
        prop_assert_eq!(first, format!("{:?}", case.decide(&mut Decider::new(), &set)));
    }

    /// No text makes the compiler panic.
    #[test]
    fn any_text_is_compiled_or_refused(text in "[a-z0-9(){}\\[\\]|#.,;:\"!<>=+*/ \\n]{0,200}") {
        let _ = try_set(&text);
    }
}
