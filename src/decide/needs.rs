//! Which signals a rule requires, and which of those have no data under these settings.

use std::collections::BTreeMap;

use crate::decide::compile::{PolicySet, Rule};
use crate::decide::plan::condition::{Condition, Statement};
use crate::decide::plan::quantity::{Quantity, Term};
use crate::model::SignalName;

impl PolicySet {
    /// Returns the rules that are unknown for every service, each with the required standard signals for which the
    /// settings give no source.
    pub fn unmeasured(&self) -> BTreeMap<&str, Vec<SignalName>> {
        let rules = self.rules.iter().map(|rule| (&*rule.name, self.missed_by_rule(rule)));
        rules.filter(|(_, missed)| !missed.is_empty()).collect()
    }

    /// Returns the signals without data that make a rule unknown, each once; signals with a fallback do not count.
    fn missed_by_rule(&self, rule: &Rule) -> Vec<SignalName> {
        let conditions = rule.body.conditions.iter();
        let mut names: Vec<_> =
            conditions.flat_map(|(condition, negated)| self.missed_by_condition(condition, !negated)).collect();
        names.extend(rule.body.action.sizes().into_iter().flat_map(|size| self.missed_by_quantity(size)));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Returns those without which a condition can never be known to be `truth`.
    fn missed_by_condition(&self, condition: &Condition, truth: bool) -> Vec<SignalName> {
        match &condition.statement {
            Statement::Or(..) | Statement::Target(_) => Vec::new(),
            Statement::Signal(name) => self.missed(name),
            Statement::Not(part) => self.missed_by_condition(part, !truth),
            Statement::Compare { left, right, .. } => {
                [self.missed_by_quantity(left), self.missed_by_quantity(right)].concat()
            }
            Statement::All(parts) | Statement::Any(parts) => {
                let each: Vec<_> = parts.iter().map(|part| self.missed_by_condition(part, truth)).collect();
                // One part is enough for `any` to hold, and for `all` not to.
                let one_is_enough = matches!(condition.statement, Statement::Any(_)) == truth;
                if one_is_enough && each.iter().any(Vec::is_empty) { Vec::new() } else { each.concat() }
            }
        }
    }

    fn missed_by_quantity(&self, quantity: &Quantity) -> Vec<SignalName> {
        let mut names = match &quantity.term {
            Term::Or(pair) => return self.missed_by_quantity(&pair.1),
            Term::Signal { name, .. } | Term::LongestRun { name, .. } => self.missed(name),
            _ => Vec::new(),
        };
        names.extend(quantity.operands().flat_map(|part| self.missed_by_quantity(part)));
        names
    }

    fn missed(&self, name: &SignalName) -> Vec<SignalName> {
        if self.words.is_measured(name) { Vec::new() } else { vec![name.clone()] }
    }
}
