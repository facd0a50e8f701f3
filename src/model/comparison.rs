//! Two policy sets on the same inputs: how often they want the same, and how they differ where they do not.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::explain;
use super::ids::{DecisionId, PolicyRevision};
use super::proposal::Choice;

/// Kinds of difference listed separately; further ones are only counted.
const KINDS: usize = 20;

/// What the candidate would have done instead of the active policy set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateDecision {
    /// The candidate.
    pub revision: PolicyRevision,
    /// What it wanted.
    pub choice: Choice,
}

/// How two sets compare over many decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Comparison")]
pub struct PolicyComparison {
    /// Decisions compared.
    pub decisions: u64,
    /// Those in which both made the same choice.
    pub same: u64,
    /// The others, one entry for each pair of rules, in the order in which they first came.
    pub differences: Vec<Difference>,
}

/// One way in which two sets differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The rule of the active policy set that acts; `None` for nothing.
    pub rule: Option<Arc<str>>,
    /// That of the candidate.
    pub candidate_rule: Option<Arc<str>>,
    /// How often.
    pub times: u64,
    /// The last decision in which it was so.
    pub decision: DecisionId,
    /// What the active policy set wanted there, as text.
    pub wanted: String,
    /// What the candidate wanted there.
    pub candidate_wanted: String,
}

impl PolicyComparison {
    /// Adds one decision.
    pub fn add(&mut self, decision: &DecisionId, in_force: &Choice, candidate: &Choice) {
        self.decisions = self.decisions.saturating_add(1);
        if in_force.asked() == candidate.asked() && in_force.rule() == candidate.rule() {
            self.same = self.same.saturating_add(1);
            return;
        }
        let [rule, candidate_rule] = [in_force.rule(), candidate.rule()];
        let is =
            |found: &Difference| (found.rule.as_deref(), found.candidate_rule.as_deref()) == (rule, candidate_rule);
        let place = self.differences.iter().position(is).unwrap_or(self.differences.len());
        if place == self.differences.len() && place < KINDS {
            self.differences.push(Difference {
                rule: rule.map(Arc::from),
                candidate_rule: candidate_rule.map(Arc::from),
                times: 0,
                decision: decision.clone(),
                wanted: String::new(),
                candidate_wanted: String::new(),
            });
        }
        let Some(found) = self.differences.get_mut(place) else { return };
        found.times = found.times.saturating_add(1);
        found.decision.clone_from(decision);
        (found.wanted, found.candidate_wanted) = (explain::choice(in_force), explain::choice(candidate));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Action;

    #[test]
    fn differences_are_counted_by_the_rules_that_differ() {
        let id = |cycle: u32| format!("shop/cart@1-{cycle}").parse::<DecisionId>().unwrap();
        let act = |rule: &str, replicas| Choice::Act {
            rule: rule.into(),
            action: Action::ScaleTo { replicas },
            backed_by_arrivals: false,
        };
        let nothing = |reason: &str| Choice::Nothing(reason.into());
        let mut found = PolicyComparison::default();
        found.add(&id(1), &nothing("calm"), &nothing("quiet"));
        found.add(&id(2), &act("up", 6), &act("up", 6));
        found.add(&id(3), &act("up", 6), &act("up", 7));
        found.add(&id(4), &nothing("calm"), &act("up", 8));
        found.add(&id(5), &nothing("calm"), &act("up", 9));
        assert_eq!((found.decisions, found.same), (5, 2));
        let told: Vec<_> = found.differences.iter().map(|one| (one.times, one.decision.to_string())).collect();
        assert_eq!(told, [(1, "shop/cart@1-3".to_owned()), (2, "shop/cart@1-5".to_owned())]);
        assert_eq!(found.differences[1].candidate_wanted, "scale to 9 (rule up)");
    }
}
