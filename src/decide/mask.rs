//! A proposal as it may be shown: values that its rules derived from masked signals and parameters are removed, their
//! outcomes are not.

use std::sync::Arc;

use crate::decide::compile::{PolicySet, Rule};
use crate::decide::fault::Failure;
use crate::decide::plan::condition::{Condition, Statement};
use crate::decide::plan::quantity::Quantity;
use crate::model::{
    Combination, ConditionTrace, MASKED, Proposal, RecordMask, RuleOutcome, RuleTrace, SignalName, Truth,
};

impl PolicySet {
    /// Removes from a proposal of this set what `mask` covers. Which conditions hold and what is done both stay.
    pub fn mask(&self, proposal: &mut Proposal, mask: &RecordMask) {
        if mask.is_empty() {
            return;
        }
        let chosen = proposal.choice.rule().map(str::to_owned);
        for (rule, trace) in self.rules.iter().zip(&mut proposal.rules) {
            conditions(rule, trace, mask);
            error(self, rule, trace, mask);
            if mask.notes && !trace.notes.is_empty() {
                trace.notes = vec![MASKED.into()];
            }
            let sized = rule.body.action.sizes().into_iter().any(|size| hides_quantity(mask, size));
            if sized && chosen.as_deref() != Some(&*rule.name) {
                trace.action = None;
            }
        }
    }
}

fn conditions(rule: &Rule, trace: &mut RuleTrace, mask: &RecordMask) {
    for ((condition, _), shown) in rule.body.conditions.iter().zip(&mut trace.conditions) {
        hide(condition, shown, mask);
    }
}

fn hide(condition: &Condition, shown: &mut ConditionTrace, mask: &RecordMask) {
    if !hides_condition(mask, condition) {
        return;
    }
    shown.margin = None;
    // The id would reveal the values of parameters to anyone who tries a few.
    if let Some(held) = &mut shown.held_for {
        held.condition = None;
    }
    if let Statement::Compare { left, right, .. } = condition.stated() {
        shown.value = shown.value.filter(|_| !hides_quantity(mask, left));
        shown.bound = shown.bound.filter(|_| !hides_quantity(mask, right));
    }
    // The reason it is unknown holds no values: `RecordMask::believed` removed them.
    if shown.holds != Truth::Unknown {
        shown.note = Some(MASKED.into());
    }
    let parts = shown.parts.iter_mut().flat_map(Combination::list_mut);
    condition.traced().iter().zip(parts).for_each(|(part, shown)| hide(part, shown, mask));
}

/// Failure messages repeat the offending value.
fn error(set: &PolicySet, rule: &Rule, trace: &mut RuleTrace, mask: &RecordMask) {
    let (RuleOutcome::Error { message } | RuleOutcome::Muted { failure: Some(message) }) = &mut trace.outcome else {
        return;
    };
    let parameter =
        |position: &usize| set.parameters.get(*position).is_some_and(|one| mask.parameters.contains(&one.name));
    let sized = rule.body.action.sizes().into_iter().any(|size| hides_quantity(mask, size));
    if sized || rule.parameters.iter().any(parameter) {
        let why = Failure::Script(format!("a value is outside its range ({MASKED})"));
        *message = rule.fault(rule.position, why.to_string()).to_string();
    }
}

fn hides_condition(mask: &RecordMask, condition: &Condition) -> bool {
    let (mut signals, mut parameters) = (Vec::new(), Vec::new());
    condition.signals(&mut signals);
    condition.parameters(&mut parameters);
    hides(mask, &signals, &parameters)
}

fn hides_quantity(mask: &RecordMask, quantity: &Quantity) -> bool {
    let (mut signals, mut parameters) = (Vec::new(), Vec::new());
    quantity.signals(&mut signals);
    quantity.parameters(&mut parameters);
    hides(mask, &signals, &parameters)
}

fn hides(mask: &RecordMask, signals: &[SignalName], parameters: &[Arc<str>]) -> bool {
    signals.iter().any(|name| mask.signals.contains(name))
        || parameters.iter().any(|name| mask.parameters.contains(name))
}
