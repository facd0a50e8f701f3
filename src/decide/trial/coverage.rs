//! Condition coverage: each condition seen true, seen false, seen unknown.

use std::sync::Arc;

use crate::decide::compile::PolicySet;
use crate::model::{Proposal, Truth};

/// What was seen of one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionCoverage {
    /// The condition, as policies write it.
    pub text: String,
    /// Seen to hold.
    pub seen_true: bool,
    /// Seen not to hold.
    pub seen_false: bool,
    /// Seen unknown; `None` where it cannot be (`.or(false)`).
    pub seen_unknown: Option<bool>,
}

impl ConditionCoverage {
    fn seen(&self) -> usize {
        [self.seen_true, self.seen_false, self.seen_unknown == Some(true)].into_iter().filter(|seen| *seen).count()
    }

    fn possible(&self) -> usize {
        if self.seen_unknown.is_some() { 3 } else { 2 }
    }

    /// Returns the truths that were not seen, in words; empty if there is none.
    pub fn missing(&self) -> String {
        let states =
            [("true", self.seen_true), ("false", self.seen_false), ("unknown", self.seen_unknown != Some(false))];
        states.iter().filter(|(_, seen)| !seen).map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
    }
}

/// What was seen of the conditions of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCoverage {
    /// Its name.
    pub rule: Arc<str>,
    /// Path of its file.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// In the order of the clauses.
    pub conditions: Vec<ConditionCoverage>,
}

/// What was seen of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// In the order of the set.
    pub rules: Vec<RuleCoverage>,
}

impl Coverage {
    /// Returns the coverage of a set of which nothing was seen.
    pub(super) fn of(set: &PolicySet) -> Self {
        let rules = set.rules.iter().map(|rule| RuleCoverage {
            rule: Arc::clone(&rule.name),
            file: Arc::clone(&rule.file),
            line: rule.position.line(),
            conditions: rule
                .body
                .conditions
                .iter()
                .map(|(condition, negated)| ConditionCoverage {
                    text: format!("{}({})", if *negated { "unless" } else { "when" }, condition.phrase()),
                    seen_true: false,
                    seen_false: false,
                    seen_unknown: condition.may_be_unknown().then_some(false),
                })
                .collect(),
        });
        Self { rules: rules.collect() }
    }

    /// Counts a decision of the same set.
    pub(super) fn saw(&mut self, proposal: &Proposal) {
        for (rule, trace) in self.rules.iter_mut().zip(&proposal.rules) {
            for (condition, seen) in rule.conditions.iter_mut().zip(&trace.conditions) {
                match seen.holds {
                    Truth::True => condition.seen_true = true,
                    Truth::False => condition.seen_false = true,
                    Truth::Unknown => condition.seen_unknown = Some(true),
                }
            }
        }
    }

    /// Returns the share of all possible truths of all conditions that was seen, 0 to 1.
    pub fn share(&self) -> f64 {
        let conditions = || self.rules.iter().flat_map(|rule| &rule.conditions);
        let possible: usize = conditions().map(ConditionCoverage::possible).sum();
        let seen: usize = conditions().map(ConditionCoverage::seen).sum();
        if possible == 0 { 1.0 } else { seen as f64 / possible as f64 }
    }
}
