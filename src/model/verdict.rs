//! What the guards allow. All guards are evaluated; the first that stops decides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The guards, in the order of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardName {
    /// All writes stopped by a person.
    KillSwitch,
    /// The mode of the service.
    Mode,
    /// Controlling signals and target state are fresh.
    Freshness,
    /// One action on a knob at a time.
    InFlight,
    /// The pods of the last raise are ready.
    Convergence,
    /// Another client changed the target.
    Ownership,
    /// A raise needs a confirming sample.
    Confirmation,
    /// Time since the last action, and since the last in the other direction.
    Cooldown,
    /// The safest of the proposals of the last minutes.
    Stabilisation,
    /// How far one step may go.
    StepLimit,
    /// Replica bounds of the owner.
    Bounds,
    /// What the policies forbid.
    PolicyLimit,
    /// Never below what the upper forecast needs.
    ForecastFloor,
    /// Writes per time.
    Budget,
    /// Only one of several processes writes.
    LeaderFence,
}

impl GuardName {
    /// Returns the word used in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KillSwitch => "kill_switch",
            Self::Mode => "mode",
            Self::Freshness => "freshness",
            Self::InFlight => "in_flight",
            Self::Convergence => "convergence",
            Self::Ownership => "ownership",
            Self::Confirmation => "confirmation",
            Self::Cooldown => "cooldown",
            Self::Stabilisation => "stabilisation",
            Self::StepLimit => "step_limit",
            Self::Bounds => "bounds",
            Self::PolicyLimit => "policy_limit",
            Self::ForecastFloor => "forecast_floor",
            Self::Budget => "budget",
            Self::LeaderFence => "leader_fence",
        }
    }
}

/// What one guard found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// Nothing to object to.
    Pass,
    /// Not so far.
    Clamp {
        /// Wanted before this guard.
        from: u32,
        /// Allowed.
        to: u32,
    },
    /// Not now.
    Hold,
    /// Not at all.
    Reject,
}

/// One guard, what it found and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GuardFinding {
    /// Which guard.
    pub guard: GuardName,
    /// What it found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Why, with its numbers.
    pub why: String,
}

/// The sum of the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// As proposed.
    Pass,
    /// Less than proposed.
    Clamp,
    /// Not now.
    Hold,
    /// Not at all.
    Reject,
    /// Nothing was proposed.
    Idle,
}

impl VerdictKind {
    /// Returns the word used in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Clamp => "clamp",
            Self::Hold => "hold",
            Self::Reject => "reject",
            Self::Idle => "idle",
        }
    }

    /// Returns whether an action may follow.
    pub fn permits(self) -> bool {
        matches!(self, Self::Pass | Self::Clamp)
    }
}

/// What the guards allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The sum.
    pub kind: VerdictKind,
    /// The guard that stopped, or the last that clamped.
    pub decided_by: Option<GuardName>,
    /// Replicas requested by the proposal; `None` if the action sets none.
    pub wanted: Option<u32>,
    /// Replicas allowed; `None` if the action sets none or nothing is allowed. If only mode (`shadow`, `approve`) or
    /// leadership stops the write, the replicas that would be allowed.
    pub permitted: Option<u32>,
    /// All guards, in order; empty when nothing was proposed.
    pub findings: Vec<GuardFinding>,
}

impl Verdict {
    /// Returns the verdict on a proposal to do nothing.
    pub fn idle() -> Self {
        Self { kind: VerdictKind::Idle, decided_by: None, wanted: None, permitted: None, findings: Vec::new() }
    }
}
