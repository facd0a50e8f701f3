//! One supervised service as its owner declared it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::guards::GuardParams;
use super::ids::ServiceId;
use super::signal::{Role, SignalName, SignalSpec};
use super::target::{TargetKind, TargetRef};

/// How far the loop may go for a service. Unknown means no write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Forecasts only; policies are not evaluated.
    Observe,
    /// Decides and records, but does not write: a dry run.
    #[default]
    Shadow,
    /// Each write needs approval. Approval is not implemented yet, so every write is held.
    Approve,
    /// Writes automatically.
    Auto,
}

impl Mode {
    /// Every mode, the least permissive first.
    pub const ALL: [Self; 4] = [Self::Observe, Self::Shadow, Self::Approve, Self::Auto];

    /// Returns the word used in settings, records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Shadow => "shadow",
            Self::Approve => "approve",
            Self::Auto => "auto",
        }
    }
}

/// Replica counts between which flyball may choose, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bounds {
    /// Never below; at least 1 (zero means that the service is switched off).
    pub min: u32,
    /// Never above.
    pub max: u32,
}

/// The service level objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slo {
    /// p99 latency, seconds.
    pub p99: f64,
    /// Share of failed requests, 0 to 1.
    pub error_ratio: f64,
}

impl Slo {
    /// Returns the value that a signal of this role may not exceed; `None` if the objective is not about it.
    pub fn limit(&self, role: Role) -> Option<f64> {
        match role {
            Role::Latency => Some(self.p99),
            Role::ErrorRatio => Some(self.error_ratio),
            _ => None,
        }
    }
}

/// How many writes a service may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budgets {
    /// Writes in any 10 minutes.
    pub per_10_min: u32,
    /// Writes in any hour; raises backed by the arrival rate count, but are not stopped by it.
    pub per_hour: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { per_10_min: 4, per_hour: 12 }
    }
}

/// Load that one pod can serve and how long it takes to become ready.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacitySpec {
    /// Requests per second that saturate one pod.
    pub per_pod_rate: f64,
    /// Share of that rate at which the objective is still met (the knee), 0 to 1.
    pub utilisation: f64,
    /// From a raise to the new pod being ready.
    #[serde(alias = "start_time_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
    pub start_time: Duration,
}

/// A supervised service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSpec {
    /// Its identity.
    pub id: ServiceId,
    /// The object that is scaled.
    pub target: TargetRef,
    /// Declared signals, in a fixed order that `Features` and `Outlook` follow.
    pub signals: Vec<SignalSpec>,
    /// Values of the labels by which grouped queries name this service.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// The objective.
    pub slo: Slo,
    /// Values for `param(...)` of the policies, in base units; `None` for a masked value in a displayed declaration.
    pub parameters: BTreeMap<Arc<str>, Option<f64>>,
    /// How far the loop may go.
    pub mode: Mode,
    /// Replica bounds.
    pub bounds: Bounds,
    /// Write budgets.
    pub budgets: Budgets,
    /// Capacity of a pod; without it nothing is sized by arrival rate.
    pub capacity: Option<CapacitySpec>,
    /// Whether `auto` may lower replicas of a target without an autoscaler.
    pub allow_lowering: bool,
    /// Times and limits of the guards.
    #[serde(default)]
    pub guards: GuardParams,
}

impl ServiceSpec {
    /// Returns a service that declares nothing: a Deployment of its own name, one replica, no signals, in shadow.
    pub fn blank(id: ServiceId) -> Self {
        let (namespace, name) = (id.namespace().to_owned(), id.name().to_owned());
        Self {
            id,
            target: TargetRef { kind: TargetKind::Deployment, namespace, name },
            signals: Vec::new(),
            labels: BTreeMap::new(),
            slo: Slo { p99: 0.2, error_ratio: 0.01 },
            parameters: BTreeMap::new(),
            mode: Mode::Shadow,
            bounds: Bounds { min: 1, max: 1 },
            budgets: Budgets::default(),
            capacity: None,
            allow_lowering: false,
            guards: GuardParams::default(),
        }
    }

    /// Returns whether what was learned about the service also holds under `other`: same target and same series.
    pub fn measures_the_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.target == other.target
            && self.signals == other.signals
            && self.labels == other.labels
    }

    /// Returns the position of the signal with this role.
    pub fn role(&self, role: Role) -> Option<usize> {
        self.signals.iter().position(|signal| signal.role == Some(role))
    }

    /// Returns the position of the signal with this name.
    pub fn signal(&self, name: &SignalName) -> Option<usize> {
        self.signals.iter().position(|signal| &signal.name == name)
    }
}
