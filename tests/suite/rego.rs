//! Parity with Rego, and every intended difference. The page `docs/coming-from-rego.md` has a line for each.

use flyball::decide::{Decider, decide};
use flyball::model::{Choice, RuleOutcome};
use regorus::Value;

use crate::parity::opa::may_be_absent;
use crate::parity::{ACTIONS, Facts, Outcome, Rego, SHIPPED, Source, compare, in_rego_reading, load, ours};

/// Debug builds are slow; the figures compare a million.
const INPUTS: usize = 20_000;

#[test]
fn the_shipped_rules_decide_as_rego_does_in_its_reading() {
    let tally = compare(5, INPUTS).unwrap();
    assert_eq!(tally.differences, Vec::<String>::new(), "{} in all", tally.differing);
    for action in ACTIONS {
        let share = tally.outcomes.get(&action).copied().unwrap_or(0) as f64 / INPUTS as f64;
        assert!(share >= 0.05, "{action:?} is the outcome of {share}: {:?}", tally.outcomes);
    }
    let share = |count: usize| count as f64 / INPUTS as f64;
    assert!(tally.outcomes[&Outcome::Conflict] > INPUTS / 50, "{:?}", tally.outcomes);
    assert!(share(tally.with_missing) > 0.2 && share(tally.on_a_bound) > 0.2, "{tally:?}");
}

/// A comparison that was not run proves nothing.
#[test]
fn an_absent_opa_is_a_failure_unless_that_is_allowed() {
    let (unreachable, broken) = ("go: dial tcp: lookup proxy.golang.org: no such host", "syntax error");
    for (said, is_allowed, passes) in
        [(unreachable, true, true), (unreachable, false, false), (broken, true, false), (broken, false, false)]
    {
        assert_eq!(may_be_absent(said, is_allowed).is_ok(), passes, "{said} {is_allowed}");
    }
    assert!(may_be_absent(unreachable, false).unwrap_err().to_string().contains("FLYBALL_LAB_WITHOUT_OPA=1"));
}

/// A comparison that cannot fail would prove nothing: a bound moved by one percent is detected.
#[test]
fn a_bound_that_is_off_is_found() {
    let moved = SHIPPED.map(|(path, text)| (path, text.replace("pct(60)", "pct(61)")));
    let set = load(moved.iter().map(|(path, text)| (*path, text.as_str()))).unwrap();
    let (mut rego, mut source) = (Rego::new().unwrap(), Source::new(1));
    let differs = (0..10_000).map(|_| source.next()).any(|facts| {
        let (spec, features, outlook) = facts.flyball();
        rego.decide(facts.rego()).unwrap() == Outcome::ScaleUp
            && ours(&set, &spec, &features, &outlook, Facts::now()) == Outcome::Nothing
    });
    assert!(differs);
}

/// Everything known, and nothing to do.
fn calm() -> Facts {
    Facts {
        p99_ahead: Some(100.0),
        cpu: Some(40.0),
        rps: Some(600.0),
        change: Some(0.0),
        errors_ahead: Some(0.0),
        region_a: Some(100.0),
        region_a_ahead: Some(100.0),
        capacity_b: Some(true),
        maintenance_a: Some(false),
        emergency: Some(false),
        saving: Some(true),
        throttle: Some(true),
        target: Some((true, false)),
    }
}

fn late_in_region_a() -> Facts {
    Facts { region_a: Some(300.0), region_a_ahead: Some(300.0), ..calm() }
}

/// Returns the result of Rego, of the shipped rules with Rego semantics, and of the shipped rules.
fn three_ways(facts: &Facts) -> [Outcome; 3] {
    let (spec, features, outlook) = facts.flyball();
    let by = |set| ours(&set, &spec, &features, &outlook, Facts::now());
    let rego = Rego::new().unwrap().decide(facts.rego()).unwrap();
    [rego, by(in_rego_reading().unwrap()), by(load(SHIPPED).unwrap())]
}

#[test]
fn difference_two_matches_are_a_choice_and_no_error() {
    let surge = Facts { p99_ahead: Some(300.0), cpu: Some(80.0), change: Some(50.0), ..late_in_region_a() };
    // Only one of the two matching rules can be carried out so far.
    assert_eq!(three_ways(&surge), [Outcome::Conflict, Outcome::Conflict, Outcome::ScaleUp]);
}

/// Two rules may give the same result for one document, in Rego and here with its semantics.
#[test]
fn two_matches_that_want_the_same_are_no_conflict() {
    let decided = |one: &str, other: &str| {
        let rego = format!("package t\naction = {one} {{ input.cpu > 50 }}\naction = {other} {{ input.p99 > 100 }}\n");
        let mut engine = regorus::Engine::new();
        engine.set_rego_v0(true);
        engine.add_policy("t.rego".to_owned(), rego).unwrap();
        engine.set_input_json(r#"{ "cpu": 80, "p99": 300 }"#).unwrap();
        let rule = |name, bound, factor| {
            format!(
                "rule(\"{name}\", #{{ priority: 1, goal: \"protect\" }}, |s, p| [when({bound}), scale_by({factor})]);\n"
            )
        };
        let (cpu, late) = (rule("a", "s.cpu.current > pct(50)", one), rule("b", "s.p99.predicted > ms(100)", other));
        let set = load([("t.rhai", &*format!("{cpu}{late}conflicts(\"error\");"))]).unwrap();
        let (spec, features, outlook) = Facts { p99_ahead: Some(300.0), cpu: Some(80.0), ..calm() }.flyball();
        let choice = decide(&mut Decider::new(), &set, &spec, &features, &outlook, Facts::now()).choice;
        (engine.eval_rule("data.t.action".to_owned()).is_ok(), matches!(choice, Choice::Act { .. }))
    };
    assert_eq!(decided("1.5", "1.5"), (true, true));
    assert_eq!(decided("1.5", "2.5"), (false, false));
}

#[test]
fn difference_an_absent_guard_does_not_permit() {
    for facts in [
        Facts { maintenance_a: None, ..late_in_region_a() },
        Facts { emergency: None, ..late_in_region_a() },
        Facts { maintenance_a: None, emergency: None, ..late_in_region_a() },
    ] {
        assert_eq!(three_ways(&facts), [Outcome::Shift, Outcome::Shift, Outcome::Nothing]);
        let (spec, features, outlook) = facts.flyball();
        let set = load(SHIPPED).unwrap();
        let proposal = decide(&mut Decider::new(), &set, &spec, &features, &outlook, Facts::now());
        let shift = proposal.rules.iter().find(|rule| &*rule.rule == "shift_traffic").unwrap();
        assert_eq!(shift.outcome, RuleOutcome::Unknown, "it says that it does not know, not that it would not");
    }
}

#[test]
fn difference_scaling_down_asks_for_maintenance_too() {
    let lull = Facts { cpu: Some(10.0), change: Some(-40.0), ..calm() };
    assert_eq!(three_ways(&lull), [Outcome::ScaleDown, Outcome::ScaleDown, Outcome::Nothing]);
}

fn rego_with(field: &str, value: Value) -> Outcome {
    let mut input = Facts { p99_ahead: Some(300.0), cpu: Some(80.0), change: Some(50.0), ..calm() }.rego();
    input.as_object_mut().unwrap().insert(Value::from(field), value);
    Rego::new().unwrap().decide(input).unwrap()
}

/// In Rego a text compares greater than every number, so a bound is passed by accident. Here types do not mix: a sample
/// is a number, and a policy that compares a signal with anything else does not load.
#[test]
fn difference_values_of_different_types_are_not_compared() {
    assert_eq!(rego_with("predicted_p99_latency", Value::from("180")), Outcome::ScaleUp);
    assert_eq!(rego_with("predicted_p99_latency", Value::from(vec![Value::from(1_i64)])), Outcome::ScaleUp);
    assert_eq!(rego_with("predicted_p99_latency", Value::Null), Outcome::Nothing);
    for (bound, expected) in [
        ("\"180\"", "`180` is not a duration"),
        ("[1]", "a quantity cannot be compared with a list"),
        ("()", "a quantity cannot be compared with nothing"),
        ("true", "a quantity cannot be compared with a bool"),
        ("200", "p99.predicted is a time: write ms(..)"),
    ] {
        let policy = format!(
            "rule(\"r\", #{{ priority: 1, goal: \"cost\" }}, |s, p| [when(s.p99.predicted > {bound}), restart()]);"
        );
        let error = load([("t.rhai", policy.as_str())]).unwrap_err().to_string();
        assert!(error.contains(expected), "{bound}: {error}");
    }
}

/// In Rego whatever exists and is not `false` is true. A flag here is a signal: 0 is off, anything else on, never a
/// text.
#[test]
fn difference_only_a_flag_that_is_on_holds() {
    for value in [Value::from(0_i64), Value::from("no"), Value::Null] {
        assert_eq!(rego_with("can_scale_up", value.clone()), Outcome::ScaleUp, "{value}");
    }
    assert_eq!(rego_with("can_scale_up", Value::from(false)), Outcome::Nothing);
    let off = Facts { throttle: Some(false), errors_ahead: Some(9.0), rps: Some(1200.0), ..calm() };
    assert_eq!(three_ways(&off), [Outcome::Nothing; 3]);
    let policy = "rule(\"r\", #{ priority: 1, goal: \"cost\" }, |s, p| [when(s.rps), restart()]);";
    assert!(load([("t.rhai", policy)]).unwrap_err().to_string().contains("it takes a condition"));
}

/// In Rego a misspelt input is undefined, and its rule never matches. Here it does not load.
#[test]
fn difference_a_typo_does_not_load() {
    let policy =
        "rule(\"r\", #{ priority: 1, goal: \"cost\" }, |s, p| [when(s.cpu_utilisation.current > pct(1)), restart()]);";
    let error = load([("t.rhai", policy)]).unwrap_err().to_string();
    assert!(error.contains("cpu_utilisation"), "{error}");
    assert_eq!(rego_with("cpu_utilisaton", Value::from(1_i64)), Outcome::ScaleUp, "nobody reads it");
}

#[test]
fn the_words_for_doing_nothing_are_those_of_the_original() {
    let (spec, features, outlook) = calm().flyball();
    let choice = decide(&mut Decider::new(), &load(SHIPPED).unwrap(), &spec, &features, &outlook, Facts::now()).choice;
    let Choice::Nothing(reason) = choice else { panic!("{choice:?}") };
    assert_eq!(&*reason.reason, "No policy matched for action");
}
