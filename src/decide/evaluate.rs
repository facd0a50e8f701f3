//! One decision: every rule evaluated, every condition traced, one proposal. No script runs here.

use std::sync::Arc;

use rhai::Position;

use crate::decide::compile::{PolicySet, Rule};
use crate::decide::fault::Failure;
use crate::decide::held::HeldStates;
use crate::decide::mute::Mutes;
use crate::decide::plan::action::{Aim, Refused};
use crate::decide::plan::inputs::Inputs;
use crate::decide::select::select;
use crate::model::{
    ConditionTrace, Features, Now, Outlook, Proposal, RuleOutcome, RuleTrace, ServiceSpec, Truth, UNSEEN_PAST,
};

/// State of the decide stage for one service: how long conditions have held, and which rules are muted.
/// Starts empty, which only delays actions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decider {
    held: HeldStates,
    mutes: Mutes,
}

impl Decider {
    /// Returns the state of a service without earlier decisions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Restores from a recorded decision how long its conditions had held, for those that the next set shares. `now` is
    /// the time of that record.
    pub fn recall(&mut self, then: &Proposal, now: Now) {
        for rule in &then.rules {
            for condition in &rule.conditions {
                if let Some(held) = condition.held_for {
                    self.held.recall(&rule.rule, held, condition.stated() == Truth::False, now);
                }
            }
        }
    }
}

/// Evaluates every rule of `set` for one service and chooses at most one action.
///
/// Never fails: an error inside a rule becomes that rule's outcome.
pub fn decide(
    state: &mut Decider,
    set: &PolicySet,
    spec: &ServiceSpec,
    features: &Features,
    outlook: &Outlook,
    now: Now,
) -> Proposal {
    let values: Vec<_> = set.parameters.iter().map(|parameter| parameter.value_for(spec)).collect();
    let inputs = Inputs::new((spec, features, outlook), now, (&set.parameters, &values), &set.texts);
    state.mutes.begin(set.revision());
    let mut evaluation = Evaluation { state, inputs, values: &values, now };
    let rules: Vec<RuleTrace> = set.rules.iter().map(|rule| evaluation.rule(rule)).collect();
    state.held.prune(now);
    let choice = select(&rules, features.target.known(), set);
    Proposal { revision: Some(set.revision().clone()), rules, choice }
}

/// What the rules of one decision share.
struct Evaluation<'a> {
    state: &'a mut Decider,
    inputs: Inputs<'a>,
    /// Values of the set's parameters, in order.
    values: &'a [Result<f64, Arc<str>>],
    now: Now,
}

impl Evaluation<'_> {
    fn rule(&mut self, rule: &Rule) -> RuleTrace {
        if let Some(failure) = self.state.mutes.muted(&rule.name, self.now) {
            return empty_trace(rule, RuleOutcome::Muted { failure: Some(failure.to_string()) });
        }
        // The rule is not at fault, and muting it would not help: the cause is in every record until it is fixed.
        if let Some(fault) = self.bad_parameter(rule) {
            return empty_trace(rule, error(rule, rule.position, &Failure::Script(fault.to_string())));
        }
        let trace = self.trace(rule);
        match &trace.outcome {
            RuleOutcome::Error { message } => self.state.mutes.failed(&rule.name, message, self.now),
            _ => self.state.mutes.worked(&rule.name),
        }
        trace
    }

    fn bad_parameter(&self, rule: &Rule) -> Option<&str> {
        let mut values = rule.parameters.iter().filter_map(|position| self.values.get(*position));
        values.find_map(|value| value.as_ref().err()).map(|fault| &**fault)
    }

    fn trace(&mut self, rule: &Rule) -> RuleTrace {
        let mut trace = empty_trace(rule, RuleOutcome::NotMatched);
        trace.notes.clone_from(&rule.body.notes);
        trace.conditions.reserve_exact(rule.body.conditions.len());
        let mut all = Truth::True;
        for (condition, negated) in &rule.body.conditions {
            let mut evaluated = condition.evaluate(&self.inputs);
            if let Some(held) = &condition.held {
                let (holds, progress) = self.state.held.apply(&rule.name, held, &evaluated, &self.inputs, self.now);
                let known = &mut evaluated.trace;
                if holds == Truth::Unknown && known.holds == Truth::True {
                    known.note = Some(UNSEEN_PAST.into());
                }
                (known.holds, known.held_for) = (holds, Some(progress));
            }
            let stated = evaluated.trace.holds;
            let holds = if *negated { stated.negated() } else { stated };
            all = all.and(holds);
            trace.conditions.push(ConditionTrace { negated: *negated, holds, ..evaluated.trace });
        }
        let aim = rule.body.action.aim(&self.inputs);
        trace.outcome = match (all, &aim) {
            (Truth::False, _) => RuleOutcome::NotMatched,
            (Truth::Unknown, _) => RuleOutcome::Unknown,
            (Truth::True, Ok(_)) => RuleOutcome::Matched,
            (Truth::True, Err(Refused::Unknown(why))) => {
                trace.notes.push(Arc::clone(why));
                RuleOutcome::Unknown
            }
            (Truth::True, Err(Refused::Invalid(why))) => {
                error(rule, rule.body.position, &Failure::InvalidAction(why.clone()))
            }
        };
        match aim {
            Ok(Aim::Act(action)) => trace.action = Some(action),
            Ok(Aim::Forbid(limit)) => trace.limit = Some(limit),
            Err(_) => (),
        }
        trace
    }
}

fn error(rule: &Rule, position: Position, failure: &Failure) -> RuleOutcome {
    RuleOutcome::Error { message: rule.fault(position, failure.to_string()).to_string() }
}

fn empty_trace(rule: &Rule, outcome: RuleOutcome) -> RuleTrace {
    RuleTrace {
        rule: Arc::clone(&rule.name),
        priority: rule.priority,
        goal: rule.goal,
        outcome,
        conditions: Vec::new(),
        action: None,
        backed_by_arrivals: rule.backed_by_arrivals,
        notes: Vec::new(),
        limit: rule.body.action.strictest(),
    }
}
