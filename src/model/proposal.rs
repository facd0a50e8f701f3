//! What the policies want, with every condition of every rule.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::action::{Action, ActionClass};
use super::autoscaling::Motion;
use super::condition::{ConditionTrace, Truth, UNDECLARED};
use super::idle::Idle;
use super::ids::{DecisionId, PolicyRevision, TraceId};
use super::target::TargetState;

/// The outcome of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RuleOutcome {
    /// All its conditions hold.
    Matched,
    /// At least one condition does not hold.
    NotMatched,
    /// No condition is false, at least one is unknown.
    Unknown,
    /// The rule failed while it ran.
    Error {
        /// What and where.
        message: String,
    },
    /// It failed repeatedly and is muted for a while.
    Muted {
        /// What and where; `None` in records of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
}

impl RuleOutcome {
    /// Returns how the rule failed, now or before it was muted.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Error { message } | Self::Muted { failure: Some(message) } => Some(message),
            _ => None,
        }
    }

    /// Returns the word used in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::NotMatched => "not_matched",
            Self::Unknown => "unknown",
            Self::Error { .. } => "error",
            Self::Muted { .. } => "muted",
        }
    }
}

/// What a rule is for; decides between rules of equal priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Saves money.
    Cost,
    /// Protects the service.
    Protect,
}

/// One rule as it was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuleTrace {
    /// Name of the rule.
    pub rule: Arc<str>,
    /// Higher wins.
    pub priority: i64,
    /// What it is for.
    pub goal: Goal,
    /// Its outcome.
    #[serde(flatten)]
    pub outcome: RuleOutcome,
    /// Every condition, in the order of the clauses.
    pub conditions: Vec<ConditionTrace>,
    /// What it would do; `None` if that is unknown.
    pub action: Option<Action>,
    /// Whether `action` was sized by the measured or forecast arrival rate.
    pub backed_by_arrivals: bool,
    /// Notes of the policy author.
    pub notes: Vec<Arc<str>>,
    /// What it forbids while it applies; `None` for a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

impl RuleTrace {
    /// Returns what it forbids in this cycle. A limit is active unless it is known not to match: one that is unknown,
    /// fails or is muted lets nothing through.
    pub fn standing(&self) -> Option<&Limit> {
        self.limit.as_ref().filter(|_| self.outcome != RuleOutcome::NotMatched)
    }

    /// Returns whether the rule is about signals that the service does not declare: it is not faulty, but can never act
    /// here.
    pub fn is_about_others(&self) -> bool {
        let mut unknown = self.conditions.iter().filter(|condition| condition.holds == Truth::Unknown).peekable();
        unknown.peek().is_some() && unknown.all(|condition| condition.note.as_deref() == Some(UNDECLARED))
    }
}

/// What the policies forbid, whatever a rule proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Limit {
    /// These actions.
    Veto {
        /// Which.
        what: Vetoed,
        /// The author's reason.
        why: Arc<str>,
    },
    /// A raise above this replica count; if the count is unknown, every raise.
    Cap {
        /// The most replicas.
        replicas: Option<u32>,
    },
}

impl Limit {
    /// Returns whether it vetoes `action`, given what would be changed.
    pub fn vetoes(&self, action: &Action, target: Option<&TargetState>) -> bool {
        let Self::Veto { what, .. } = self else { return false };
        let motion = Motion::of(action, target);
        match what {
            Vetoed::All => true,
            Vetoed::Class(class) => action.class() == *class,
            // An unknown motion may be the forbidden one.
            Vetoed::Raise => matches!(motion, Motion::Raise { .. } | Motion::Unknown),
            Vetoed::Lower => matches!(motion, Motion::Lower { .. } | Motion::Unknown) || action.may_take(),
        }
    }
}

/// Which actions a veto forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Vetoed {
    /// Every action.
    All,
    /// Those of a class.
    Class(ActionClass),
    /// Those that add replicas.
    Raise,
    /// Those that remove replicas, resources or traffic.
    Lower,
}

impl Vetoed {
    /// All of them, in the order used by messages.
    pub const EVERY: [Self; 7] = [
        Self::All,
        Self::Raise,
        Self::Lower,
        Self::Class(ActionClass::Scale),
        Self::Class(ActionClass::Traffic),
        Self::Class(ActionClass::Rollout),
        Self::Class(ActionClass::External),
    ];

    /// Returns the word that policies write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Raise => "raise",
            Self::Lower => "lower",
            Self::Class(class) => class.as_str(),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Veto { what, why } => write!(f, "no action of `{}`: {why}", what.as_str()),
            Self::Cap { replicas: Some(replicas) } => write!(f, "no raise beyond {replicas} replicas"),
            Self::Cap { replicas: None } => f.write_str("no raise, because the value of its cap is unknown"),
        }
    }
}

/// Takes the place of a rule's name for an undo.
pub const UNDO: &str = "undo";

/// Takes its place when a service's declaration was removed and the floor of its autoscaler is returned.
pub const RETURN_FLOOR: &str = "return_floor";

/// What is proposed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "choice", rename_all = "snake_case")]
pub enum Choice {
    /// Do this.
    Act {
        /// The rule that won.
        rule: Arc<str>,
        /// What it wants.
        action: Action,
        /// Whether it is sized by the measured or forecast arrival rate.
        backed_by_arrivals: bool,
    },
    /// Undo an earlier decision, because it made things worse.
    Undo {
        /// That decision.
        of: DecisionId,
        /// Its trace.
        trace: TraceId,
        /// Restores the previous value.
        action: Action,
        /// What it did.
        why: Arc<str>,
    },
    /// Do nothing.
    Nothing(Idle),
}

impl Choice {
    /// Returns the requested action, and whether the measured or forecast arrival rate sized it.
    pub fn asked(&self) -> Option<(&Action, bool)> {
        match self {
            Self::Act { action, backed_by_arrivals, .. } => Some((action, *backed_by_arrivals)),
            Self::Undo { action, .. } => Some((action, false)),
            Self::Nothing(_) => None,
        }
    }

    /// Returns the rule that requested it, [`UNDO`] if none did.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Act { rule, .. } => Some(rule),
            Self::Undo { .. } => Some(UNDO),
            Self::Nothing(_) => None,
        }
    }
}

/// The result of one evaluation of a policy set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Proposal {
    /// The active policy set; `None` if there was none, or the mode needs none.
    pub revision: Option<PolicyRevision>,
    /// Every rule, in the order of the set.
    pub rules: Vec<RuleTrace>,
    /// What follows.
    pub choice: Choice,
}

impl Proposal {
    /// Returns a proposal to do nothing, made without evaluating a policy.
    pub fn nothing(reason: &str) -> Self {
        Self { revision: None, rules: Vec::new(), choice: Choice::Nothing(reason.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If the present count is unknown, so is the direction.
    #[test]
    fn a_veto_of_a_direction_holds_while_the_target_is_unknown() {
        for what in [Vetoed::Raise, Vetoed::Lower] {
            let veto = Limit::Veto { what, why: "why".into() };
            assert!(veto.vetoes(&Action::ScaleTo { replicas: 5 }, None), "{what:?}");
        }
    }
}
