//! What the policies want, with every condition of every rule.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::action::{Action, ActionClass};
use super::autoscaling::Motion;
use super::hash;
use super::idle::Idle;
use super::ids::{DecisionId, PolicyRevision, TraceId};
use super::signal::Unit;
use super::target::TargetState;

/// Three-valued logic (Kleene): what is not known is neither true nor false, and never acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// Holds.
    True,
    /// Does not hold.
    False,
    /// Cannot be told.
    Unknown,
}

impl Truth {
    /// Returns the truth of a known statement.
    pub fn of(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }

    /// Returns the negation.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    /// Returns the conjunction.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, Self::True) => Self::True,
            _ => Self::Unknown,
        }
    }

    /// Returns the disjunction.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.negated().and(other.negated()).negated()
    }
}

/// Comparison of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Comparison {
    /// Above the bound.
    #[serde(rename = ">")]
    Above,
    /// At or above the bound.
    #[serde(rename = ">=")]
    AtLeast,
    /// Below the bound.
    #[serde(rename = "<")]
    Below,
    /// At or below the bound.
    #[serde(rename = "<=")]
    AtMost,
}

impl Comparison {
    /// Returns the operator as policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }
}

/// Which condition is held, in a record: as it is written and with the values of its parameters. Another one in its place
/// has another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub struct ConditionId(u64);

impl ConditionId {
    /// Returns the id of a condition of this text, without parameters .
    pub fn of(text: &str) -> Self {
        Self(hash::more(hash::NOTHING, text.as_bytes()))
    }

    /// Returns the id of the condition for this value of one more parameter; `None` where it has no valid one.
    #[must_use]
    pub fn and(self, parameter: Option<f64>) -> Self {
        match parameter {
            Some(value) => Self(hash::more(self.0, &value.to_bits().to_le_bytes())),
            None => Self(hash::more(self.0, &[0])),
        }
    }
}

impl From<ConditionId> for String {
    fn from(id: ConditionId) -> Self {
        format!("{:016x}", id.0)
    }
}

impl TryFrom<String> for ConditionId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let id = u64::from_str_radix(&text, 16);
        id.map(Self).map_err(|_| format!("`{text}` is no id of a condition, expected 16 hexadecimal digits"))
    }
}

/// How long a condition has held, against how long it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldFor {
    /// Must hold for more than this.
    #[serde(alias = "needed_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub needed: Duration,
    /// Has held for this long, by sample time.
    #[serde(alias = "so_far_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub so_far: Duration,
    /// Which condition: where a set has the same one at this place, it has held for as long there. `None` in records of
    /// earlier versions and where a mask hides what the condition reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionId>,
}

/// One condition as it was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConditionTrace {
    /// What was compared, as policies write it (`p99.predicted`, `all(..)`).
    pub text: Arc<str>,
    /// Unit of `value`, `bound` and `margin`.
    pub unit: Unit,
    /// Value compared; `None` when unknown or when the condition is a flag or a combination.
    pub value: Option<f64>,
    /// Comparison; `None` for a flag or a combination.
    pub comparison: Option<Comparison>,
    /// Bound compared with.
    pub bound: Option<f64>,
    /// How far inside (positive) or outside (negative) of the bound the value lies.
    pub margin: Option<f64>,
    /// Why the value is unknown, or how old it is.
    pub note: Option<Arc<str>>,
    /// Whether the clause is an `unless`.
    pub negated: bool,
    /// Progress of `held_for`.
    pub held_for: Option<HeldFor>,
    /// Whether the clause holds (after negation and `held_for`).
    pub holds: Truth,
    /// What a combination is made of; absent for a comparison or a flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// The conditions that one is made of, each as it was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parts {
    /// It holds where every one does.
    All(Vec<ConditionTrace>),
    /// It holds where at least one does.
    Any(Vec<ConditionTrace>),
}

impl Parts {
    /// Returns them in the order in which they are written.
    pub fn list(&self) -> &[ConditionTrace] {
        match self {
            Self::All(parts) | Self::Any(parts) => parts,
        }
    }

    /// Returns them for changing.
    pub fn list_mut(&mut self) -> &mut [ConditionTrace] {
        match self {
            Self::All(parts) | Self::Any(parts) => parts,
        }
    }

    /// Returns the parts of what does not hold where these do: each turned round, and `any` for `all`.
    #[must_use]
    pub fn negated(self) -> Self {
        let turned = |parts: Vec<ConditionTrace>| parts.into_iter().map(ConditionTrace::turned).collect();
        match self {
            Self::All(parts) => Self::Any(turned(parts)),
            Self::Any(parts) => Self::All(turned(parts)),
        }
    }
}

impl ConditionTrace {
    /// Returns the trace of the opposite statement.
    #[must_use]
    pub fn turned(self) -> Self {
        Self { negated: !self.negated, holds: self.holds.negated(), ..self }
    }

    /// Returns what it is made of; nothing for a comparison or a flag.
    pub fn parts(&self) -> &[Self] {
        self.parts.as_ref().map_or(&[], Parts::list)
    }
}

/// The note of a condition on a signal that the service does not declare.
pub const UNDECLARED: &str = "not declared by this service";

/// The note of a condition that holds, and nobody saw since when: whether for as long as its `held_for` asks cannot be told.
pub const UNSEEN_PAST: &str = "since when it holds was not seen";

impl ConditionTrace {
    /// Returns whether the statement itself holds, before an `unless` turns it round.
    pub fn stated(&self) -> Truth {
        if self.negated { self.holds.negated() } else { self.holds }
    }
}

impl RuleTrace {
    /// Tells whether the rule is about signals that the service does not declare: nothing is wrong with it, and it can never
    /// act here.
    pub fn is_about_others(&self) -> bool {
        let mut unknown = self.conditions.iter().filter(|condition| condition.holds == Truth::Unknown).peekable();
        unknown.peek().is_some() && unknown.all(|condition| condition.note.as_deref() == Some(UNDECLARED))
    }
}

/// How one rule came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RuleOutcome {
    /// All its conditions hold.
    Matched,
    /// At least one condition does not hold.
    NotMatched,
    /// No condition fails, at least one cannot be told.
    Unknown,
    /// The rule failed while it ran.
    Error {
        /// What and where.
        message: String,
    },
    /// It failed repeatedly and is left out for a while.
    Muted,
}

impl RuleOutcome {
    /// Returns the word used in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::NotMatched => "not_matched",
            Self::Unknown => "unknown",
            Self::Error { .. } => "error",
            Self::Muted => "muted",
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
    /// How it came out.
    #[serde(flatten)]
    pub outcome: RuleOutcome,
    /// Every condition, in the order of the clauses.
    pub conditions: Vec<ConditionTrace>,
    /// What it would do; `None` where that could not be told.
    pub action: Option<Action>,
    /// Whether `action` was sized by the measured or forecast arrival rate.
    pub backed_by_arrivals: bool,
    /// Notes of the policy author.
    pub notes: Vec<Arc<str>>,
    /// What it forbids while it stands; `None` for a rule, which asks for something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
}

impl RuleTrace {
    /// Returns what is forbidden by it in this cycle. A limit stands unless it is known not to match: what cannot be
    /// told, fails or is muted lets nothing through.
    pub fn standing(&self) -> Option<&Limit> {
        self.limit.as_ref().filter(|_| self.outcome != RuleOutcome::NotMatched)
    }
}

/// What the policies forbid, whatever a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Limit {
    /// These actions.
    Veto {
        /// Which.
        what: Vetoed,
        /// Words of the author.
        why: Arc<str>,
    },
    /// A raise beyond so many replicas; where the number is not known, every raise.
    Cap {
        /// The most replicas.
        replicas: Option<u32>,
    },
}

impl Limit {
    /// Tells whether it is a veto of `action`, given what would be changed.
    pub fn vetoes(&self, action: &Action, target: Option<&TargetState>) -> bool {
        let Self::Veto { what, .. } = self else { return false };
        let motion = Motion::of(action, target);
        match what {
            Vetoed::All => true,
            Vetoed::Class(class) => action.class() == *class,
            // What cannot be told may be what is forbidden.
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
    /// Those that take replicas, resources or traffic.
    Lower,
}

impl Vetoed {
    /// Every one, in the order of messages.
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
            Self::Cap { replicas: None } => f.write_str("no raise, for the number of its cap is not known"),
        }
    }
}

/// What stands in the place of a rule where an undo asked.
pub const UNDO: &str = "undo";

/// What stands there where a service's declaration was taken back, and the floor of its autoscaler is returned.
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
    /// Take back what an earlier decision did, because it hurt.
    Undo {
        /// That decision.
        of: DecisionId,
        /// Its trace.
        trace: TraceId,
        /// Back to what was there before.
        action: Action,
        /// What it did.
        why: Arc<str>,
    },
    /// Do nothing.
    Nothing(Idle),
}

impl Choice {
    /// Returns the action that is asked for, and whether the measured or forecast arrival rate sized it.
    pub fn asked(&self) -> Option<(&Action, bool)> {
        match self {
            Self::Act { action, backed_by_arrivals, .. } => Some((action, *backed_by_arrivals)),
            Self::Undo { action, .. } => Some((action, false)),
            Self::Nothing(_) => None,
        }
    }

    /// Returns the rule that asked for it, [`UNDO`] where none did.
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
    /// The set that was in force; `None` when there was none, or the mode asks for none.
    pub revision: Option<PolicyRevision>,
    /// Every rule, in the order of the set.
    pub rules: Vec<RuleTrace>,
    /// What follows.
    pub choice: Choice,
}

impl Proposal {
    /// Returns a proposal to do nothing, made without asking a policy.
    pub fn nothing(reason: &str) -> Self {
        Self { revision: None, rules: Vec::new(), choice: Choice::Nothing(reason.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{False, True, Unknown};
    use super::*;

    #[test]
    fn unknown_spreads_only_where_it_matters() {
        assert_eq!(False.and(Unknown), False);
        assert_eq!(True.and(Unknown), Unknown);
        assert_eq!(True.or(Unknown), True);
        assert_eq!(False.or(Unknown), Unknown);
        assert_eq!(Unknown.negated(), Unknown);
    }

    /// Where the present count is not known, neither is the direction.
    #[test]
    fn a_veto_of_a_direction_holds_while_the_target_is_unknown() {
        for what in [Vetoed::Raise, Vetoed::Lower] {
            let veto = Limit::Veto { what, why: "why".into() };
            assert!(veto.vetoes(&Action::ScaleTo { replicas: 5 }, None), "{what:?}");
        }
    }
}
