//! Why nothing is done: the reason, and the rule behind it.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why nothing is done. Without numbers, so that it changes only when the situation does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Idle {
    /// As text: the `otherwise` of the policy set, or why no set was evaluated.
    pub reason: Arc<str>,
    /// The rule that came nearest, and what stopped it; `None` if no rule caused it. Earlier versions appended it to
    /// `reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<Obstacle>,
    /// Rules that matched contradict each other, as `reason` says: somebody has to rank them. Earlier versions said it
    /// in `reason` alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflict: bool,
}

/// What stopped a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Obstacle {
    /// The rule.
    pub rule: Arc<str>,
    /// What stopped it: `rollout does not hold`, `vetoed by calm`.
    pub why: Arc<str>,
}

impl Idle {
    /// Returns the reason for doing nothing where rules that matched contradict each other.
    pub fn conflict(reason: String) -> Self {
        Self { conflict: true, ..Self::from(reason) }
    }
}

impl<T: Into<Arc<str>>> From<T> for Idle {
    fn from(reason: T) -> Self {
        Self { reason: reason.into(), obstacle: None, conflict: false }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        self.obstacle.iter().try_for_each(|Obstacle { rule, why }| write!(f, " ({rule}: {why})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Choice;

    /// Journals hold both forms: the rule within the text, as earlier versions wrote it, and the rule separately.
    #[test]
    fn a_reason_is_read_as_it_was_written_at_any_time() {
        let obstacle = Obstacle { rule: "calm".into(), why: "rollout does not hold".into() };
        let apart = Idle { obstacle: Some(obstacle), ..Idle::from("quiet") };
        let together = Idle::from("quiet (calm: rollout does not hold)");
        let earlier = serde_json::json!({ "choice": "nothing", "reason": "quiet (calm: rollout does not hold)" });
        assert_eq!(serde_json::from_value::<Choice>(earlier).unwrap(), Choice::Nothing(together.clone()));
        for idle in [apart, together] {
            assert_eq!(idle.to_string(), "quiet (calm: rollout does not hold)");
            let packed = rmp_serde::to_vec_named(&Choice::Nothing(idle.clone())).unwrap();
            assert_eq!(rmp_serde::from_slice::<Choice>(&packed).unwrap(), Choice::Nothing(idle));
        }
    }
}
