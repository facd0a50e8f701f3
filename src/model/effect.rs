//! What a write did, measured against the forecast made when it was decided.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// How long a target may take to converge.
pub const CONVERGE_WITHIN: Duration = Duration::from_mins(5);

/// Whether the target reached what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "convergence", rename_all = "snake_case")]
pub enum Convergence {
    /// All requested replicas are ready.
    Converged {
        /// Time from the write.
        #[serde(alias = "after_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        after: Duration,
    },
    /// Not within the deadline.
    NotConverged {
        /// Replicas ready at the deadline.
        ready: u32,
    },
    /// Changed by another client, or no longer visible, before it converged.
    Overtaken,
}

/// The effect on the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Better than was forecast for doing nothing.
    Helped,
    /// No difference beyond noise.
    Neutral,
    /// Worse.
    Hurt,
    /// Unknown.
    Inconclusive,
}

impl Impact {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Helped, Self::Neutral, Self::Hurt, Self::Inconclusive];

    /// Returns the word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Helped => "helped",
            Self::Neutral => "neutral",
            Self::Hurt => "hurt",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The measured effect of one write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// Whether the target converged.
    pub convergence: Convergence,
    /// Whether it helped.
    pub impact: Impact,
    /// The latency expected without the change, seconds; `None` if it was not forecast.
    pub expected_latency: Option<f64>,
    /// The latency measured, seconds.
    pub measured_latency: Option<f64>,
    /// Why, as text.
    pub why: String,
}

/// An effect as the journal knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// When it was known.
    pub at: Timestamp,
    /// What the write did.
    pub effect: Effect,
}
