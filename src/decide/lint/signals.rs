//! What a rule reads that never exists: forecasts that are not made.

use super::{Lint, at};
use crate::decide::compile::{PolicySet, Rule};
use crate::decide::plan::condition::Condition;
use crate::decide::plan::quantity::{Quantity, Term, View};
use crate::decide::vocabulary::{LONGEST_HORIZON, Vocabulary};

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
    let (name, ahead) = match &quantity.term {
        Term::Signal { name, view: View::At(ahead) | View::ChangeAt(ahead) | View::Quantile(_, ahead), .. } => {
            (name, Some(*ahead))
        }
        Term::Signal { name, view: View::Predicted | View::ForecastChange | View::OfMax(..), .. }
        | Term::LongestRun { name, .. } => (name, None),
        _ => return None,
    };
    let label = &quantity.label;
    if !words.is_forecast(name) {
        let message = format!("{label} is never known: the settings have `forecast: false` for {name}");
        return Some(at(rule, "not-forecast", message));
    }
    ahead.filter(|ahead| *ahead > LONGEST_HORIZON).map(|_| {
        let minutes = LONGEST_HORIZON.as_secs() / 60;
        at(rule, "beyond-horizon", format!("{label} is never known: the forecast reaches only {minutes} minutes ahead"))
    })
}
