//! What records do not show: no masked value remains in a proposal, and a decision on a masked record does not know it.

use super::*;
use crate::model::{Band, Foreseen, MASKED, RecordMask};

const POLICY: &str = r#"
    param("least", 4711.25, #{ doc: "queue above which something is done" });
    rule("queue", #{ priority: 3, goal: "protect" }, |s, p| [
        note("the contract of Example Inc."),
        when(s.queue.current > p.least),
        when(s.queue.predicted > 1),
        when(any([s.queue.predicted > 1, s.maintenance])),
        when((s.queue.current > p.least).or(false)),
        unless(s.maintenance.or(false)),
        scale_by(1.5),
    ]);
    rule("sized", #{ priority: 2, goal: "protect" }, |s, p| [
        when(s.can_scale_up),
        scale_to(s.queue.current * 0.001),
    ]);
    rule("odd", #{ priority: 1, goal: "protect" }, |s, p| [
        when(s.can_scale_up),
        scale_by(s.queue.current),
    ]);
"#;

fn mask(signals: &[&str], parameters: &[&str], notes: bool) -> RecordMask {
    let signals = signals.iter().map(|name| SignalName::new(name).unwrap()).collect();
    RecordMask { signals, parameters: parameters.iter().map(|name| (*name).into()).collect(), notes }
}

/// A case with a queue of 4816.25, soon 5093.75, 104.5 above the service's parameter.
fn case() -> Case {
    Case::new().set("queue", 4816.25).forecast("queue", 5093.75).set("maintenance", 0.0).parameter("least", 4711.75)
}

/// Every form in which a value of the case could leak.
const TOLD: [&str; 5] = ["4816", "5093", "4711", "104.5", "Example"];

fn found(text: &str) -> Vec<&'static str> {
    TOLD.into_iter().filter(|value| text.contains(value)).collect()
}

/// The proposal of the case as a record with this mask shows it, as data and in words.
fn shown(mask: &RecordMask) -> (Proposal, String) {
    let set = set(POLICY);
    let mut proposal = case().decide(&mut Decider::new(), &set);
    set.mask(&mut proposal, mask);
    let text = format!("{}\n{}", serde_json::to_string(&proposal).unwrap(), crate::model::explain::rules(&proposal));
    (proposal, text)
}

#[test]
fn nothing_of_a_masked_field_is_shown_and_everything_else_is() {
    for (mask, expected) in [
        (mask(&[], &[], false), &TOLD[..]),
        (mask(&["queue"], &[], false), &["4711", "Example"]),
        (mask(&[], &["least"], false), &["4816", "5093", "Example"]),
        (mask(&["queue"], &["least"], true), &[]),
    ] {
        assert_eq!(found(&shown(&mask).1), expected, "{mask:?}");
    }
}

#[test]
fn what_holds_and_what_is_done_stays() {
    let (whole, _) = shown(&RecordMask::default());
    let (masked, text) = shown(&mask(&["queue"], &["least"], true));
    assert_eq!(masked.choice, whole.choice);
    let outcomes = |proposal: &Proposal| {
        let holds = |rule: &RuleTrace| rule.conditions.iter().map(|condition| condition.holds).collect::<Vec<_>>();
        proposal.rules.iter().map(|rule| (rule.outcome.as_str(), holds(rule))).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&masked), outcomes(&whole));
    assert!(text.contains("queue.current masked > masked"), "{text}");
    assert_eq!(masked.rules[2].outcome.as_str(), "error");
    assert!(text.contains("a value is outside its range (masked)"), "{text}");
}

/// A decision on a masked record makes no assumption about a missing value, not even a policy's fallback for unknown
/// ones.
#[test]
fn on_a_masked_record_a_rule_that_reads_what_is_masked_is_unknown() {
    let mut case = case().set("maintenance", 1.0);
    let labels = SignalLabel::of(&case.spec);
    let mask = mask(&["queue", "maintenance"], &[], false);
    case.features = (*mask.features(&labels, &Arc::new(case.features.clone()))).clone();
    case.outlook = (*mask.outlook(&labels, &Arc::new(case.outlook.clone()))).clone();
    assert_eq!(found(&serde_json::to_string(&(&case.features, &case.outlook)).unwrap()), [""; 0]);
    for clause in [
        "when(s.queue.current > 1)",
        "when(s.queue.predicted > 1)",
        "when(s.queue.current.or(5) > 1)",
        "when(s.maintenance.or(false))",
        "unless(s.maintenance.or(false))",
        "unless(any([s.queue.current < 1]).or(false))",
        "when((s.queue.current + s.replicas.current).or(9) > 1)",
    ] {
        let condition = case.condition(clause);
        let note = condition.note.as_deref().unwrap_or_default();
        assert!(condition.holds == Truth::Unknown && note.contains(MASKED), "{clause}: {condition:?}");
    }
    let missing = Case::new().without("maintenance").condition("unless(s.maintenance.or(false))");
    assert_eq!(missing.holds, Truth::True, "what is not there is another matter");
    let (_, flips) = crate::model::explain::flips(&case.rule("when(s.queue.current > 7), restart()"));
    assert_eq!(flips[0].needed, "above 7, and known: it is unknown (masked)");
}

#[test]
fn a_value_that_is_not_believed_is_not_repeated_either() {
    let odd = Missing::OutOfRange { value: Finite::new(4816.0).unwrap() };
    let mut case = Case::new();
    let index = case.index("queue");
    case.features.signals[index] = features(Reading::Absent { missing: odd });
    let text = |case: &Case| format!("{:?}", case.condition("when(s.queue.current > 1)"));
    assert!(text(&case).contains("4816"));
    let labels = SignalLabel::of(&case.spec);
    case.features = (*mask(&["queue"], &[], false).believed(&labels, &Arc::new(case.features.clone()))).clone();
    assert!(text(&case).contains("masked, and not fresh") && !text(&case).contains("4816"), "{}", text(&case));
}

/// A condition names a masked field; the forecast kept with a write names latency and load by their roles.
#[test]
fn what_was_expected_of_masked_latency_or_load_is_not_kept_with_a_write() {
    let label =
        |name: &str, role| SignalLabel { name: SignalName::new(name).unwrap(), unit: Unit::Seconds, role: Some(role) };
    let signals = [label("p99", Role::Latency), label("rps", Role::ArrivalRate), label("cpu", Role::Cpu)];
    let band = Band { minutes: 1, point: 4816.25, low: 4711.75, high: 5093.75 };
    let foreseen = Foreseen { latency: vec![band], arrivals: vec![band], before: Some(4816.0) };
    for (masked, is_kept) in
        [(&[][..], true), (&["cpu"], true), (&["p99"], false), (&["rps"], false), (&["rps", "p99"], false)]
    {
        let kept = mask(masked, &[], false).foreseen(&signals, foreseen.clone());
        let expected = if is_kept { foreseen.clone() } else { Foreseen::default() };
        assert_eq!(kept, expected, "{masked:?}");
    }
}

#[test]
fn a_parameter_whose_value_is_not_shown_fails_the_rules_that_read_it() {
    let rule = case().parameter("least", None).ask(POLICY).rules.remove(0);
    let RuleOutcome::Error { message } = rule.outcome else { panic!("{:?}", rule.outcome) };
    assert!(message.ends_with("parameter `least` of shop/checkout: its value is masked"), "{message}");
}
