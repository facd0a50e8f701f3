//! What a rule reads that never exists: forecasts that are not made.

use super::{Lint, at};
use crate::decide::compile::{PolicySet, Rule};
use crate::decide::plan::condition::Condition;
use crate::decide::plan::quantity::{Quantity, Term, View};
use crate::decide::vocabulary::Vocabulary;

/// Returns the findings in a set.
pub(super) fn find(set: &PolicySet) -> Vec<Lint> {
    let mut found = Vec::new();
    for rule in &set.rules {
        let mut quantities = Vec::new();
        rule.body.conditions.iter().for_each(|(condition, _)| within(condition, &mut quantities));
        rule.body.action.sizes().iter().for_each(|size| parts(size, &mut quantities));
        let mut odd: Vec<_> = quantities.iter().filter_map(|quantity| unforeseen(rule, quantity, &set.words)).collect();
        odd.sort();
        odd.dedup();
        found.extend(odd);
    }
    found
}

fn within<'a>(condition: &'a Condition, all: &mut Vec<&'a Quantity>) {
    condition.quantities().for_each(|quantity| parts(quantity, all));
    condition.operands().iter().for_each(|part| within(part, all));
}

fn parts<'a>(quantity: &'a Quantity, all: &mut Vec<&'a Quantity>) {
    all.push(quantity);
    quantity.operands().for_each(|part| parts(part, all));
}

fn unforeseen(rule: &Rule, quantity: &Quantity, words: &Vocabulary) -> Option<Lint> {
    let name = match &quantity.term {
        Term::Signal { view: View::Current | View::Mean | View::P99 | View::Max | View::Change, .. } => return None,
        Term::Signal { name, .. } | Term::LongestRun { name, .. } if !words.is_forecast(name) => name,
        _ => return None,
    };
    let message = format!("{} is never known: the settings have `forecast: false` for {name}", quantity.label);
    Some(at(rule, "not-forecast", message))
}
