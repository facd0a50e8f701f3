//! What a rule reads that is not there: signals that nobody declares, forecasts that nobody makes.

use super::{Lint, at};
use crate::decide::compile::{PolicySet, Rule};
use crate::decide::plan::condition::{Condition, Statement};
use crate::decide::plan::quantity::{Quantity, Term, View};
use crate::decide::vocabulary::{LONGEST_HORIZON, Vocabulary};
use crate::model::SignalName;

/// Returns the findings in a set.
pub(super) fn find(set: &PolicySet) -> Vec<Lint> {
    let mut found = Vec::new();
    for rule in &set.rules {
        let mut names = Vec::new();
        rule.body.conditions.iter().for_each(|(condition, _)| needed(condition, &mut names));
        rule.body.action.sizes().iter().for_each(|size| needed_by(size, &mut names));
        names.sort_unstable();
        names.dedup();
        found.extend(names.iter().filter_map(|name| undeclared(rule, name, &set.words)));
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

/// Adds the names of the signals without which a condition is unknown: not those in whose place something is assumed.
fn needed(condition: &Condition, names: &mut Vec<SignalName>) {
    match &condition.statement {
        Statement::Or(..) => return,
        Statement::Signal(name) => names.push(name.clone()),
        _ => {}
    }
    condition.quantities().for_each(|quantity| needed_by(quantity, names));
    condition.operands().iter().for_each(|part| needed(part, names));
}

fn needed_by(quantity: &Quantity, names: &mut Vec<SignalName>) {
    match &quantity.term {
        Term::Or(pair) => return needed_by(&pair.1, names),
        Term::Signal { name, .. } | Term::LongestRun { name, .. } => names.push(name.clone()),
        _ => {}
    }
    quantity.operands().for_each(|part| needed_by(part, names));
}

/// Of a name that nobody declares the set knows the unit alone: the rule is unknown for every service, for ever.
fn undeclared(rule: &Rule, name: &SignalName, words: &Vocabulary) -> Option<Lint> {
    (!words.is_declared(name)).then(|| {
        let message =
            format!("no signal of the settings is called {name}: declare it under signals, or delete the rule");
        at(rule, "undeclared-signal", message)
    })
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
        let message = format!("{label} is never known: the settings say `forecast: false` of {name}");
        return Some(at(rule, "not-forecast", message));
    }
    ahead.filter(|ahead| *ahead > LONGEST_HORIZON).map(|_| {
        let minutes = LONGEST_HORIZON.as_secs() / 60;
        at(rule, "beyond-horizon", format!("{label} is never known: the forecast reaches {minutes} minutes ahead"))
    })
}
