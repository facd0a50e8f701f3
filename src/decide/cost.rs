//! What a decision by a set costs, known before the set is used.
//!
//! Every condition of every rule is evaluated in every decision, each part once, so the cost follows from the set
//! alone: it is the same for every input, service and machine. It is counted in operations, one per part; computing how
//! long a forecast stays above a bound visits each of its points.

use crate::decide::compile::Rule;
use crate::decide::fault::PolicyFault;
use crate::decide::plan::condition::Condition;
use crate::decide::plan::quantity::{Quantity, Term};
use crate::model::HORIZONS;

/// Most operations of one rule in a decision: a fifth of what its load may take (`engine::RULE_OPERATIONS`). The
/// shipped rules take 5 to 25.
const RULE_CEILING: usize = 1_000;
/// Most operations of a decision, which is about a millisecond.
const DECISION_CEILING: usize = 10_000;
/// How many of the most expensive rules a message names.
const NAMED: usize = 3;

/// Returns the operations that one rule takes per decision.
pub(super) fn of_rule(rule: &Rule) -> usize {
    let held = |condition: &Condition| usize::from(condition.held.is_some());
    let conditions = rule.body.conditions.iter().map(|(condition, _)| of_condition(condition) + held(condition));
    conditions.sum::<usize>() + rule.body.action.sizes().into_iter().map(of_quantity).sum::<usize>()
}

/// Returns what is too expensive, and what to do about it.
pub(super) fn too_dear(rules: &[Rule]) -> Vec<PolicyFault> {
    let mut costs: Vec<_> = rules.iter().map(|rule| (of_rule(rule), rule)).collect();
    let fault = |(cost, rule): &(usize, &Rule)| {
        let message = format!(
            "cost: it takes {cost} operations per decision, the limit is {RULE_CEILING}: remove conditions or \
             redundant parts"
        );
        rule.fault(rule.position, message)
    };
    let mut faults: Vec<_> = costs.iter().filter(|(cost, _)| *cost > RULE_CEILING).map(fault).collect();
    let total: usize = costs.iter().map(|(cost, _)| cost).sum();
    if total > DECISION_CEILING {
        // Among rules of equal cost, the first.
        costs.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        let dearest: Vec<_> =
            costs.iter().take(NAMED).map(|(cost, rule)| format!("{} takes {cost}", rule.name)).collect();
        let message = format!(
            "cost: its {} rules take {total} operations per decision, the limit is {DECISION_CEILING} ({}): remove or \
             shorten rules",
            rules.len(),
            dearest.join(", ")
        );
        faults.push(PolicyFault::of("", message));
    }
    faults
}

fn of_condition(condition: &Condition) -> usize {
    let quantities: usize = condition.quantities().map(of_quantity).sum();
    1 + quantities + condition.operands().iter().map(of_condition).sum::<usize>()
}

fn of_quantity(quantity: &Quantity) -> usize {
    let points = if matches!(quantity.term, Term::LongestRun { .. }) { HORIZONS.len() } else { 0 };
    1 + points + quantity.operands().map(of_quantity).sum::<usize>()
}
