//! Which signals a rule cannot do without, and which of those have no data under these settings.

use std::collections::BTreeMap;

use crate::decide::compile::{PolicySet, Rule};
use crate::decide::plan::condition::{Condition, Statement};
use crate::decide::plan::quantity::{Quantity, Term};
use crate::model::SignalName;

impl PolicySet {
    /// Returns the rules that are unknown for every service, each with the standard signals that it cannot do without and of
    /// which the settings do not say where they come from.
    pub fn unmeasured(&self) -> BTreeMap<&str, Vec<SignalName>> {
        let missed = |rule| needed(rule).into_iter().filter(|name| !self.words.is_measured(name)).collect::<Vec<_>>();
        let rules = self.rules.iter().map(|rule| (&*rule.name, missed(rule)));
        rules.filter(|(_, missed)| !missed.is_empty()).collect()
    }
}

/// Returns the signals without which a rule is unknown, each once: not those in whose place something is assumed.
fn needed(rule: &Rule) -> Vec<SignalName> {
    let mut names = Vec::new();
    rule.body.conditions.iter().for_each(|(condition, _)| by_condition(condition, &mut names));
    rule.body.action.sizes().iter().for_each(|size| by_quantity(size, &mut names));
    names.sort_unstable();
    names.dedup();
    names
}

fn by_condition(condition: &Condition, names: &mut Vec<SignalName>) {
    match &condition.statement {
        Statement::Or(..) => return,
        Statement::Signal(name) => names.push(name.clone()),
        _ => {}
    }
    condition.quantities().for_each(|quantity| by_quantity(quantity, names));
    condition.operands().iter().for_each(|part| by_condition(part, names));
}

fn by_quantity(quantity: &Quantity, names: &mut Vec<SignalName>) {
    match &quantity.term {
        Term::Or(pair) => return by_quantity(&pair.1, names),
        Term::Signal { name, .. } | Term::LongestRun { name, .. } => names.push(name.clone()),
        _ => {}
    }
    quantity.operands().for_each(|part| by_quantity(part, names));
}
