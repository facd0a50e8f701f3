//! Condition coverage: each condition seen true, seen false, seen unknown.

use std::sync::Arc;

use crate::decide::compile::PolicySet;
use crate::decide::plan::condition::Condition;
use crate::model::{ConditionTrace, Proposal, Truth};

/// Coverage of one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionCoverage {
    /// The condition, as policies write it; a part is given with the clause that contains it.
    pub text: String,
    /// Seen to hold.
    pub seen_true: bool,
    /// Seen not to hold.
    pub seen_false: bool,
    /// Seen unknown; `None` if it cannot be (`.or(false)`).
    pub seen_unknown: Option<bool>,
}

impl ConditionCoverage {
    fn seen(&self) -> usize {
        [self.seen_true, self.seen_false, self.seen_unknown == Some(true)].into_iter().filter(|seen| *seen).count()
    }

    fn possible(&self) -> usize {
        if self.seen_unknown.is_some() { 3 } else { 2 }
    }

    /// Returns the truth values that were not seen, in words; empty if none is missing.
    pub fn missing(&self) -> String {
        let states =
            [("true", self.seen_true), ("false", self.seen_false), ("unknown", self.seen_unknown != Some(false))];
        states.iter().filter(|(_, seen)| !seen).map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
    }
}

/// Coverage of the conditions of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCoverage {
    /// Its name.
    pub rule: Arc<str>,
    /// Path of its file.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// In clause order, each followed by its parts.
    pub conditions: Vec<ConditionCoverage>,
}

/// Coverage of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// In set order.
    pub rules: Vec<RuleCoverage>,
}

impl Coverage {
    /// Returns the empty coverage of a set.
    pub(super) fn of(set: &PolicySet) -> Self {
        let rules = set.rules.iter().map(|rule| RuleCoverage {
            rule: Arc::clone(&rule.name),
            file: Arc::clone(&rule.file),
            line: rule.position.line(),
            conditions: rule
                .body
                .conditions
                .iter()
                .flat_map(|(condition, negated)| clause(condition, *negated))
                .collect(),
        });
        Self { rules: rules.collect() }
    }

    /// Counts what was seen in decisions of the same set.
    pub(super) fn add(&mut self, truths: &Truths) {
        for (rule, truths) in self.rules.iter_mut().zip(&truths.0) {
            for (condition, seen) in rule.conditions.iter_mut().zip(truths) {
                condition.seen_true |= seen.is_true;
                condition.seen_false |= seen.is_false;
                condition.seen_unknown = if seen.is_unknown { Some(true) } else { condition.seen_unknown };
            }
        }
    }

    /// Returns the share of all possible truth values of all conditions that was seen, 0 to 1.
    pub fn share(&self) -> f64 {
        let conditions = || self.rules.iter().flat_map(|rule| &rule.conditions);
        let possible: usize = conditions().map(ConditionCoverage::possible).sum();
        let seen: usize = conditions().map(ConditionCoverage::seen).sum();
        if possible == 0 { 1.0 } else { seen as f64 / possible as f64 }
    }
}

/// The truth values that some decisions of a set gave: for each rule, of each of its conditions and their parts.
#[derive(Debug, Clone, Default)]
pub(super) struct Truths(Vec<Vec<Seen>>);

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    is_true: bool,
    is_false: bool,
    is_unknown: bool,
}

impl Truths {
    /// Adds those of another decision.
    pub(super) fn add(&mut self, proposal: &Proposal) {
        self.0.resize_with(proposal.rules.len(), Vec::new);
        for (rule, trace) in self.0.iter_mut().zip(&proposal.rules) {
            let mut truths = Vec::new();
            trace.conditions.iter().for_each(|seen| within(seen, seen.holds, &mut truths));
            rule.resize(rule.len().max(truths.len()), Seen::default());
            for (seen, holds) in rule.iter_mut().zip(truths) {
                match holds {
                    Truth::True => seen.is_true = true,
                    Truth::False => seen.is_false = true,
                    Truth::Unknown => seen.is_unknown = true,
                }
            }
        }
    }
}

/// Returns the empty coverage of a clause and the parts of its condition.
fn clause(condition: &Condition, negated: bool) -> Vec<ConditionCoverage> {
    let text = format!("{}({})", if negated { "unless" } else { "when" }, condition.phrase());
    let mut all = vec![unseen(condition, text.clone())];
    parts(condition, &text, &mut all);
    all
}

fn parts(condition: &Condition, clause: &str, all: &mut Vec<ConditionCoverage>) {
    for part in condition.traced() {
        all.push(unseen(part, format!("{} in {clause}", part.phrase())));
        parts(part, clause, all);
    }
}

fn unseen(condition: &Condition, text: String) -> ConditionCoverage {
    let seen_unknown = condition.may_be_unknown().then_some(false);
    ConditionCoverage { text, seen_true: false, seen_false: false, seen_unknown }
}

/// Adds the truth of a clause, then that of each part as written, in the order of [`clause`].
fn within(trace: &ConditionTrace, holds: Truth, all: &mut Vec<Truth>) {
    all.push(holds);
    for part in trace.parts() {
        within(part, if part.negated { part.holds.negated() } else { part.holds }, all);
    }
}
