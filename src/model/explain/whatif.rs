//! What would have to change for a rule to have another outcome: the smallest change of each condition.

use std::sync::Arc;

use serde::Serialize;

use super::{scale, span};
use crate::model::condition::{Combination, Comparison, ConditionTrace, Truth};
use crate::model::proposal::{RuleOutcome, RuleTrace};
use crate::model::signal::Unit;

/// The smallest change of one condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flip {
    /// The condition, as policies write it.
    pub condition: Arc<str>,
    /// Its value now; `None` if it is unknown or not a number.
    pub value: Option<f64>,
    /// By how much the value has to move to reach exactly the bound; `None` if there is no number.
    pub change: Option<f64>,
    /// Unit of both.
    pub unit: Unit,
    /// What is required, in words: `above 200 ms, 14 ms more`.
    pub needed: String,
}

/// Returns whether `rule` matches now, and what would flip that. For a matching rule each change alone is enough; one
/// that does not match needs all of them. An active limit counts as matching.
pub fn flips(rule: &RuleTrace) -> (bool, Vec<Flip>) {
    let matches = rule.outcome == RuleOutcome::Matched || rule.standing().is_some();
    let concerned = rule.conditions.iter().filter(|condition| matches || condition.holds != Truth::True);
    (matches, concerned.map(|condition| flip(condition, !matches)).collect())
}

/// Returns what it takes for a clause to hold, or not to hold.
fn flip(condition: &ConditionTrace, holds: bool) -> Flip {
    // What the statement itself has to be, before an `unless` inverts it.
    let wanted = condition.negated != holds;
    let change = condition.bound.zip(condition.value).map(|(bound, value)| bound - value);
    let needed = match (condition.comparison, condition.bound, &condition.parts) {
        _ if holds && wanted && waits(condition) => {
            let left = condition.held_for.map_or_else(Default::default, |held| held.needed.saturating_sub(held.so_far));
            format!("hold for more than {} longer", span(left))
        }
        (_, _, Some(parts)) => {
            format!("{}{}{}", word(wanted), hold(condition, wanted), joined(parts, wanted))
        }
        (Some(comparison), Some(bound), None) => {
            let relation = match (comparison, wanted) {
                (Comparison::Above, true) | (Comparison::AtMost, false) => "above",
                (Comparison::AtLeast, true) | (Comparison::Below, false) => "at least",
                (Comparison::Below, true) | (Comparison::AtLeast, false) => "below",
                (Comparison::AtMost, true) | (Comparison::Above, false) => "at most",
            };
            let scale = scale(condition);
            let by = |change: f64| scale.show_difference(change);
            let move_by = match change {
                Some(change) if change > 0.0 => format!(", {} more", by(change)),
                Some(change) if change < 0.0 => format!(", {} less", by(-change)),
                Some(_) => ", it is exactly at the bound".to_owned(),
                None => format!(", and known{}", unknown(condition)),
            };
            format!("{relation} {}{move_by}{}", scale.show(bound), hold(condition, wanted))
        }
        _ if condition.stated() == Truth::Unknown => {
            format!("known, and {}{}{}", word(wanted), unknown(condition), hold(condition, wanted))
        }
        _ => format!("{}{}", word(wanted), hold(condition, wanted)),
    };
    Flip { condition: condition.text.clone(), value: condition.value, change, unit: condition.unit, needed }
}

/// Returns why the value of a condition is unknown, if a reason is given.
fn unknown(condition: &ConditionTrace) -> String {
    let why = condition.note.as_ref().filter(|_| condition.holds == Truth::Unknown);
    why.map_or_else(String::new, |why| format!(": it is unknown ({why})"))
}

/// Returns how long a statement has to hold after it has become true.
fn hold(condition: &ConditionTrace, wanted: bool) -> String {
    let held = condition.held_for.filter(|_| wanted);
    held.map_or_else(String::new, |held| format!(", and hold for more than {}", span(held.needed)))
}

/// Returns through which of its parts a combination gets the wanted truth, and whether it takes all of them; empty if
/// they already have it.
fn joined(parts: &Combination, wanted: bool) -> String {
    let lacking: Vec<_> = parts.list().iter().filter(|part| part.holds != Truth::of(wanted)).collect();
    let how = match parts {
        _ if lacking.len() < 2 => "",
        Combination::All(_) if wanted => ", by all of these",
        Combination::Any(_) if !wanted => ", by all of these",
        Combination::All(_) | Combination::Any(_) => ", by one of these",
    };
    let told = lacking.into_iter().map(|part| {
        let Flip { condition, needed, .. } = flip(part, wanted);
        format!("{condition} {needed}")
    });
    let told = told.collect::<Vec<_>>().join("; ");
    if told.is_empty() { told } else { format!("{how}: {told}") }
}

/// Returns whether only time is missing.
fn waits(condition: &ConditionTrace) -> bool {
    let reached = match &condition.parts {
        Some(Combination::All(parts)) => parts.iter().all(|part| part.holds == Truth::True),
        Some(Combination::Any(parts)) => parts.iter().any(|part| part.holds == Truth::True),
        None => condition.margin.is_some_and(|margin| margin > 0.0),
    };
    reached && condition.holds != Truth::True && condition.held_for.is_some()
}

fn word(wanted: bool) -> &'static str {
    if wanted { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::condition::HeldFor;
    use crate::model::{Goal, Limit};

    fn compared(value: Option<f64>, comparison: Comparison, bound: f64, negated: bool, holds: Truth) -> ConditionTrace {
        let margin = value.map(|value| match comparison {
            Comparison::Above | Comparison::AtLeast => value - bound,
            Comparison::Below | Comparison::AtMost => bound - value,
        });
        ConditionTrace {
            text: "p99.predicted".into(),
            unit: Unit::Seconds,
            value,
            comparison: Some(comparison),
            bound: Some(bound),
            margin,
            note: None,
            negated,
            held_for: None,
            holds,
            parts: None,
        }
    }

    fn flag(negated: bool, holds: Truth) -> ConditionTrace {
        let blank = compared(None, Comparison::Above, 0.0, negated, holds);
        ConditionTrace { comparison: None, bound: None, unit: Unit::Flag, text: "maintenance".into(), ..blank }
    }

    /// Changes needed to flip a rule with these conditions.
    fn needed(outcome: RuleOutcome, conditions: &[ConditionTrace]) -> Vec<String> {
        flips(&rule(outcome, conditions, None)).1.into_iter().map(|flip| flip.needed).collect()
    }

    fn rule(outcome: RuleOutcome, conditions: &[ConditionTrace], limit: Option<Limit>) -> RuleTrace {
        RuleTrace {
            rule: "r".into(),
            priority: 1,
            goal: Goal::Protect,
            outcome,
            conditions: conditions.to_vec(),
            action: None,
            backed_by_arrivals: false,
            notes: Vec::new(),
            limit,
        }
    }

    /// It is active while unknown, so each condition known not to hold would end that.
    #[test]
    fn an_unknown_limit_is_turned_round_by_any_of_its_conditions() {
        let conditions = [flag(false, Truth::Unknown), flag(false, Truth::True)];
        let limit = rule(RuleOutcome::Unknown, &conditions, Some(Limit::Cap { replicas: Some(4) }));
        let (stands, flips) = flips(&limit);
        let needed: Vec<_> = flips.iter().map(|flip| &*flip.needed).collect();
        assert_eq!((stands, &*needed), (true, &["known, and false", "false"][..]));
    }

    #[test]
    fn a_rule_that_does_not_match_needs_every_condition_that_does_not_hold() {
        let conditions = [
            compared(Some(0.186), Comparison::Above, 0.2, false, Truth::False),
            compared(Some(0.9), Comparison::Below, 0.5, false, Truth::False),
            compared(Some(0.1), Comparison::Below, 0.5, false, Truth::True),
            compared(None, Comparison::AtLeast, 0.5, false, Truth::Unknown),
            compared(Some(0.3), Comparison::Above, 0.2, true, Truth::False),
            compared(Some(0.2), Comparison::Above, 0.2, false, Truth::False),
            flag(true, Truth::False),
            flag(true, Truth::Unknown),
        ];
        assert_eq!(
            needed(RuleOutcome::NotMatched, &conditions),
            [
                "above 200 ms, 14 ms more",
                "below 500 ms, 400 ms less",
                "at least 500 ms, and known",
                "at most 200 ms, 100 ms less",
                "above 200 ms, it is exactly at the bound",
                "false",
                "known, and false",
            ]
        );
    }

    #[test]
    fn a_rule_that_matches_is_turned_round_by_any_of_its_conditions() {
        let conditions = [
            compared(Some(0.25), Comparison::Above, 0.2, false, Truth::True),
            compared(Some(0.1), Comparison::AtLeast, 0.2, true, Truth::True),
            flag(false, Truth::True),
        ];
        let expected = ["at most 200 ms, 50 ms less", "at least 200 ms, 100 ms more", "false"];
        assert_eq!(needed(RuleOutcome::Matched, &conditions), expected);
    }

    /// A moment above the bound is not enough if it has to hold; ending takes no time.
    #[test]
    fn what_does_not_hold_yet_has_to_hold_on_top() {
        let held_for = Some(HeldFor { needed: Duration::from_mins(30), so_far: Duration::ZERO, condition: None });
        let low = compared(Some(0.186), Comparison::Above, 0.2, false, Truth::False);
        let low = ConditionTrace { held_for, ..low };
        let off = ConditionTrace { held_for, ..flag(false, Truth::False) };
        let expected =
            ["above 200 ms, 14 ms more, and hold for more than 30 min", "true, and hold for more than 30 min"];
        assert_eq!(needed(RuleOutcome::NotMatched, &[low, off]), expected);
        let high = compared(Some(0.25), Comparison::Above, 0.2, false, Truth::True);
        let high = ConditionTrace { held_for, ..high };
        assert_eq!(needed(RuleOutcome::Matched, &[high]), ["at most 200 ms, 50 ms less"]);
    }

    #[test]
    fn what_holds_and_has_not_held_long_enough_needs_time() {
        let mut condition = compared(Some(0.25), Comparison::Above, 0.2, false, Truth::False);
        condition.held_for =
            Some(HeldFor { needed: Duration::from_mins(2), so_far: Duration::from_secs(45), condition: None });
        assert_eq!(needed(RuleOutcome::NotMatched, &[condition]), ["hold for more than 75 s longer"]);
    }
}
