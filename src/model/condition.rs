//! Conditions of a rule as they were evaluated.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hash;
use super::signal::Unit;

/// Three-valued logic (Kleene): unknown is neither true nor false, and never acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// Holds.
    True,
    /// Does not hold.
    False,
    /// Unknown.
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

/// Which condition is held, in a record: as it is written and with the values of its parameters. A different condition
/// has a different id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub struct ConditionId(u64);

impl ConditionId {
    /// Returns the id of a condition of this text, without parameters.
    pub fn of(text: &str) -> Self {
        Self(hash::more(hash::NOTHING, text.as_bytes()))
    }

    /// Returns the id of the condition for this value of one more parameter; `None` if it has no valid one.
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
        id.map(Self).map_err(|_| format!("`{text}` is not a condition id, expected 16 hexadecimal digits"))
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
    /// Which condition: the same condition in a rule of the same name in another set has held equally long. `None` in
    /// records of earlier versions and if a mask hides what the condition reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionId>,
}

/// The note of a condition on a signal that the service does not declare.
pub const UNDECLARED: &str = "not declared by this service";

/// The note of a condition that holds since an unobserved time, so that it is unknown whether its `held_for` is met.
pub const UNSEEN_PAST: &str = "not observed when it started to hold";

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
    /// How far inside (positive) or outside (negative) the bound the value is.
    pub margin: Option<f64>,
    /// Why the value is unknown, or how old it is.
    pub note: Option<Arc<str>>,
    /// Whether the clause is an `unless`.
    pub negated: bool,
    /// Progress of `held_for`.
    pub held_for: Option<HeldFor>,
    /// Whether the clause holds (after negation and `held_for`).
    pub holds: Truth,
    /// The parts of a combination; absent for a comparison or a flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Combination>,
}

/// The conditions that one is made of, each as it was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Parts")]
pub enum Combination {
    /// It holds if every part does.
    All(Vec<ConditionTrace>),
    /// It holds if at least one part does.
    Any(Vec<ConditionTrace>),
}

impl Combination {
    /// Returns them in the order in which they are written.
    pub fn list(&self) -> &[ConditionTrace] {
        match self {
            Self::All(parts) | Self::Any(parts) => parts,
        }
    }

    /// Returns them mutably.
    pub fn list_mut(&mut self) -> &mut [ConditionTrace] {
        match self {
            Self::All(parts) | Self::Any(parts) => parts,
        }
    }

    /// Returns the parts of the negation: each negated, and `any` for `all`.
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

    /// Returns its parts; empty for a comparison or a flag.
    pub fn parts(&self) -> &[Self] {
        self.parts.as_ref().map_or(&[], Combination::list)
    }

    /// Returns whether the statement itself holds, before an `unless` inverts it.
    pub fn stated(&self) -> Truth {
        if self.negated { self.holds.negated() } else { self.holds }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{False, True, Unknown};

    #[test]
    fn unknown_spreads_only_where_it_matters() {
        assert_eq!(False.and(Unknown), False);
        assert_eq!(True.and(Unknown), Unknown);
        assert_eq!(True.or(Unknown), True);
        assert_eq!(False.or(Unknown), Unknown);
        assert_eq!(Unknown.negated(), Unknown);
    }
}
