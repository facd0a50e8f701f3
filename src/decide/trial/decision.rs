//! What a test may expect of decisions. A failed expectation is an error that says what happened instead.

use std::sync::Arc;

use rhai::Dynamic;

use super::Bench;
use super::coverage::Truths;
use crate::decide::api::quantity::{ScriptResult, quantity_in};
use crate::decide::compile::Rule;
use crate::decide::plan::quantity::Term;
use crate::model::explain::clause;
use crate::model::{Choice, ConditionTrace, Proposal, RuleOutcome, RuleTrace, Truth, UNSEEN_PAST};

/// Decisions of one run, reduced to what tests can check: a script may keep many of these.
#[derive(Clone)]
pub(super) struct Decisions {
    bench: Arc<Bench>,
    /// Number of decisions.
    made: usize,
    /// The first that acts, and how many came before it.
    first_act: Option<(usize, Arc<Proposal>)>,
    last: Arc<Proposal>,
    /// What they saw: it counts once an expectation looks at them.
    seen: Arc<Truths>,
    /// The condition named last.
    named: Option<Arc<ConditionTrace>>,
}

impl Decisions {
    /// Returns a run before its first decision.
    pub(super) fn none(bench: &Arc<Bench>) -> Self {
        let last = Arc::new(Proposal::nothing("no decision was made"));
        Self { bench: Arc::clone(bench), made: 0, first_act: None, last, seen: Arc::default(), named: None }
    }

    /// Adds the next decision.
    pub(super) fn add(&mut self, decision: Proposal) {
        Arc::make_mut(&mut self.seen).add(&decision);
        self.last = Arc::new(decision);
        if self.first_act.is_none() && matches!(self.last.choice, Choice::Act { .. }) {
            self.first_act = Some((self.made, Arc::clone(&self.last)));
        }
        self.made += 1;
    }

    /// Returns the run if it has decisions.
    pub(super) fn some(self) -> ScriptResult<Self> {
        if self.made == 0 { Err("the run is shorter than one step: no decision was made".into()) } else { Ok(self) }
    }

    /// Records that an expectation looks at them.
    pub(super) fn looked_at(self) -> Self {
        self.bench.looked_at(&self.seen);
        self
    }

    /// Expects that the last decision acts on this rule.
    pub(super) fn acts_by(&self, rule: &str) -> ScriptResult<Self> {
        self.rule(rule)?;
        match &self.last.choice {
            Choice::Act { rule: acting, .. } if **acting == *rule => Ok(self.clone()),
            _ => Err(format!("expected {rule} to act, {}{}", came(&self.last), standing(&self.last, rule)).into()),
        }
    }

    /// Expects that none of the decisions acts.
    pub(super) fn expect_none(&self) -> ScriptResult<Self> {
        match &self.first_act {
            None => Ok(self.clone()),
            Some((0, made)) => Err(format!("expected nothing to be done, {}", came(made)).into()),
            Some((steps, made)) => {
                Err(format!("expected nothing to be done, after {steps} steps {}", came(made)).into())
            }
        }
    }

    /// Expects this action of the last decision, in words: `scale by 1.5`.
    pub(super) fn expect_action(&self, words: &str) -> ScriptResult<Self> {
        match &self.last.choice {
            Choice::Act { action, .. } if action.to_string() == words => Ok(self.clone()),
            _ => Err(format!("expected to {words}, {}", came(&self.last)).into()),
        }
    }

    /// Expects the outcome of a rule in the last decision: matched, `not_matched`, unknown, error or muted.
    pub(super) fn expect_outcome(&self, rule: &str, word: &str) -> ScriptResult<Self> {
        let found = self.rule(rule)?.outcome.as_str();
        if found == word {
            return Ok(self.clone());
        }
        Err(format!("expected {rule} to be {word}, it is {found}{}", standing(&self.last, rule)).into())
    }

    /// Expects that a limit is active: it matches, or is not known not to match.
    pub(super) fn expect_stands(&self, limit: &str) -> ScriptResult<Self> {
        let found = self.rule(limit)?;
        if found.limit.is_none() {
            return Err(format!("{limit} is a rule; expect_stands takes a limit").into());
        }
        match found.standing() {
            Some(_) => Ok(self.clone()),
            None => Err(format!("expected {limit} to apply{}", standing(&self.last, limit)).into()),
        }
    }

    /// Expects that some rules read a signal and none of them matches.
    pub(super) fn expect_no_rule_reading(&self, signal: &str) -> ScriptResult<Self> {
        let reads = |rule: &Rule| rule.signals().iter().any(|name| name.as_str() == signal);
        let mut reading = self.bench.set.rules.iter().zip(&self.last.rules).filter(|(rule, _)| reads(rule)).peekable();
        if reading.peek().is_none() {
            return Err(format!("no rule of the set reads `{signal}`").into());
        }
        match reading.find(|(_, trace)| trace.outcome == RuleOutcome::Matched) {
            Some((_, trace)) => Err(format!("{} matches although {signal} is not known", trace.rule).into()),
            None => Ok(self.clone()),
        }
    }

    /// Expects that a condition of the acting rule, named as in explanations, is one of its reasons.
    pub(super) fn because(&self, text: &str) -> ScriptResult<Self> {
        let Choice::Act { rule, .. } = &self.last.choice else {
            return Err(format!("because(\"{text}\"): {}", came(&self.last)).into());
        };
        let conditions = &self.rule(rule)?.conditions;
        let named = conditions.iter().find(|condition| &*condition.text == text && condition.holds == Truth::True);
        let found = named.ok_or_else(|| {
            let known: Vec<_> = conditions.iter().map(|condition| &*condition.text).collect();
            format!("{rule} has no condition `{text}`; known: {}", known.join(", "))
        })?;
        Ok(Self { named: Some(Arc::new(found.clone())), ..self.clone() })
    }

    /// Expects that the condition named before holds by at least this much.
    pub(super) fn margin_at_least(&self, least: &Dynamic) -> ScriptResult<Self> {
        let condition = self.named.as_ref().ok_or("margin_at_least(..) must follow because(..)")?;
        let Term::Number(least) = quantity_in(least, condition.unit, "margin_at_least")?.term else {
            return Err("margin_at_least: expected a plain quantity".into());
        };
        match condition.margin {
            // A margin is a difference: exact up to rounding counts as exact.
            Some(margin) if margin >= least - 1e-9 * least.abs() => Ok(self.clone()),
            Some(margin) => {
                let scale = condition.unit.alike(&[margin, least]);
                let (text, margin, least) = (&condition.text, scale.show(margin), scale.show(least));
                Err(format!("{text} holds by {margin}, expected at least {least}").into())
            }
            None => Err(format!("{} has no margin", condition.text).into()),
        }
    }

    fn rule(&self, name: &str) -> ScriptResult<&RuleTrace> {
        let found = self.last.rules.iter().find(|rule| &*rule.rule == name);
        found.ok_or_else(|| {
            let known: Vec<_> = self.last.rules.iter().map(|rule| &*rule.rule).collect();
            format!("the set has no rule `{name}`; known: {}", known.join(", ")).into()
        })
    }
}

fn came(made: &Proposal) -> String {
    match &made.choice {
        Choice::Act { rule, action, .. } => format!("{rule} acts: {action}"),
        Choice::Undo { action, why, .. } => format!("an earlier decision is undone: {action}, {why}"),
        Choice::Nothing(why) => format!("nothing is done: {why}"),
    }
}

/// Returns the outcome of a rule, and the conditions behind it.
fn standing(made: &Proposal, name: &str) -> String {
    let Some(rule) = made.rules.iter().find(|rule| &*rule.rule == name) else { return String::new() };
    let against = rule.conditions.iter().filter(|condition| condition.holds != Truth::True);
    let against: Vec<_> = against.map(told).collect();
    let why = match &rule.outcome {
        RuleOutcome::Error { message } => message.clone(),
        _ => against.join(", "),
    };
    if why.is_empty() { String::new() } else { format!("; {name}: {why}") }
}

/// Returns a condition with its numbers, if it has any and they are known.
fn told(condition: &ConditionTrace) -> String {
    if condition.holds == Truth::False && condition.value.is_some() && condition.comparison.is_some() {
        return clause(condition);
    }
    match &condition.note {
        Some(note) if **note == *UNSEEN_PAST => format!("{} may not have held long enough", condition.text),
        _ => format!("{} is {}", condition.text, word(condition.holds)),
    }
}

fn word(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "true",
        Truth::False => "false",
        Truth::Unknown => "unknown",
    }
}
