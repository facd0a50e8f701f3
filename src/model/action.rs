//! The catalogue of everything flyball may want to do. A policy's result becomes one of these or nothing.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an action changes. At most one action per knob is in flight at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Knob {
    /// Number of replicas.
    Replicas,
    /// Floor of an autoscaler.
    AutoscalerFloor,
    /// Split of traffic between backends or regions.
    Route,
    /// Admitted request rate.
    Rate,
    /// The running version.
    Rollout,
    /// Resources of pods.
    Resources,
    /// Pods themselves (restart).
    Pods,
    /// Something outside, by webhook.
    External,
}

impl Knob {
    /// Returns whether it sets how many replicas there are, directly or through an autoscaler.
    pub fn sets_count(self) -> bool {
        matches!(self, Self::Replicas | Self::AutoscalerFloor)
    }

    /// Returns the word used in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replicas => "replicas",
            Self::AutoscalerFloor => "autoscaler_floor",
            Self::Route => "route",
            Self::Rate => "rate",
            Self::Rollout => "rollout",
            Self::Resources => "resources",
            Self::Pods => "pods",
            Self::External => "external",
        }
    }
}

/// Classes that the kill switch can stop individually.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionClass {
    /// Replicas, floors, resources.
    Scale,
    /// Traffic shifts and throttles.
    Traffic,
    /// Rollbacks, promotions, restarts.
    Rollout,
    /// Webhooks.
    External,
}

impl ActionClass {
    /// Every class.
    pub const ALL: [Self; 4] = [Self::Scale, Self::Traffic, Self::Rollout, Self::External];

    /// Returns the word used in orders and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Traffic => "traffic",
            Self::Rollout => "rollout",
            Self::External => "external",
        }
    }
}

/// Whether an action adds capacity to a service, removes capacity, or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Adds capacity.
    Raise,
    /// Removes capacity or admits less load.
    Lower,
    /// Neither.
    Lateral,
}

impl Direction {
    /// Returns the direction of a move between replica counts; `None` if nothing moves.
    pub fn of(from: u32, to: u32) -> Option<Self> {
        match to.cmp(&from) {
            std::cmp::Ordering::Greater => Some(Self::Raise),
            std::cmp::Ordering::Less => Some(Self::Lower),
            std::cmp::Ordering::Equal => None,
        }
    }
}

/// Something flyball may want to do. Values are checked when a policy constructs them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Multiply the replicas.
    ScaleBy {
        /// Above 0; 1.5 adds half as many again. The result is rounded away from the present count.
        factor: f64,
    },
    /// Set the replicas.
    ScaleTo {
        /// Wanted count.
        replicas: u32,
    },
    /// Set the floor of the autoscaler that owns the target.
    SetAutoscalerFloor {
        /// Wanted minimum.
        replicas: u32,
    },
    /// Move a share of the traffic.
    ShiftTraffic {
        /// Source backend or region.
        from: String,
        /// Destination backend or region.
        to: String,
        /// Share moved in one step, 0 to 1.
        step: f64,
        /// Largest share that may be moved in total, 0 to 1.
        limit: f64,
    },
    /// Admit only a share of the current load for a limited time.
    Throttle {
        /// Share admitted, 0 to 1.
        to: f64,
        /// When the throttle expires.
        #[serde(alias = "ttl_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        ttl: Duration,
    },
    /// Roll back to the previous version.
    Rollback,
    /// Resume a rollout.
    PromoteRollout,
    /// Stop a rollout and return to the stable version.
    AbortRollout,
    /// Restart pods, one at a time.
    Restart,
    /// Change the resources of the pods.
    Resize {
        /// CPU factor, above 0.
        cpu: f64,
        /// Memory factor, above 0.
        memory: f64,
    },
    /// Call a configured webhook.
    Webhook {
        /// Its name in the settings.
        name: String,
    },
}

impl Action {
    /// Returns the knob it turns.
    pub fn knob(&self) -> Knob {
        match self {
            Self::ScaleBy { .. } | Self::ScaleTo { .. } => Knob::Replicas,
            Self::SetAutoscalerFloor { .. } => Knob::AutoscalerFloor,
            Self::ShiftTraffic { .. } => Knob::Route,
            Self::Throttle { .. } => Knob::Rate,
            Self::Rollback | Self::PromoteRollout | Self::AbortRollout => Knob::Rollout,
            Self::Restart => Knob::Pods,
            Self::Resize { .. } => Knob::Resources,
            Self::Webhook { .. } => Knob::External,
        }
    }

    /// Returns the class by which the kill switch can stop it.
    pub fn class(&self) -> ActionClass {
        match self.knob() {
            Knob::Replicas | Knob::AutoscalerFloor | Knob::Resources => ActionClass::Scale,
            Knob::Route | Knob::Rate => ActionClass::Traffic,
            Knob::Rollout | Knob::Pods => ActionClass::Rollout,
            Knob::External => ActionClass::External,
        }
    }

    /// Returns the word used in policies, records and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ScaleBy { .. } => "scale_by",
            Self::ScaleTo { .. } => "scale_to",
            Self::SetAutoscalerFloor { .. } => "set_autoscaler_floor",
            Self::ShiftTraffic { .. } => "shift_traffic",
            Self::Throttle { .. } => "throttle",
            Self::Rollback => "rollback",
            Self::PromoteRollout => "promote_rollout",
            Self::AbortRollout => "abort_rollout",
            Self::Restart => "restart",
            Self::Resize { .. } => "resize",
            Self::Webhook { .. } => "webhook",
        }
    }

    /// Returns whether it may take capacity or traffic away, if replica counts do not decide that.
    pub fn may_take(&self) -> bool {
        match self {
            // If the present floor is unknown, a new one may be lower.
            Self::SetAutoscalerFloor { .. } | Self::ShiftTraffic { .. } | Self::Throttle { .. } => true,
            Self::Resize { cpu, memory } => *cpu < 1.0 || *memory < 1.0,
            Self::ScaleBy { .. }
            | Self::ScaleTo { .. }
            | Self::Rollback
            | Self::PromoteRollout
            | Self::AbortRollout
            | Self::Restart
            | Self::Webhook { .. } => false,
        }
    }

    /// Returns the replica count it wants when there are `current`; `None` if it does not set replicas.
    /// Saturates; a factor never rounds to "no change" (kubernetes/kubernetes#126892 wrapped here).
    pub fn wanted_replicas(&self, current: u32) -> Option<u32> {
        match self {
            Self::ScaleTo { replicas } | Self::SetAutoscalerFloor { replicas } => Some(*replicas),
            Self::ScaleBy { factor } => {
                let exact = f64::from(current) * factor;
                Some(saturating_replicas(if *factor >= 1.0 { exact.ceil() } else { exact.floor() }))
            }
            _ => None,
        }
    }
}

/// Returns `value` as a replica count: NaN and negatives become 0, too large becomes `u32::MAX`.
pub fn saturating_replicas(value: f64) -> u32 {
    value as u32
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScaleBy { factor } => write!(f, "scale by {factor}"),
            Self::ScaleTo { replicas } => write!(f, "scale to {replicas}"),
            Self::SetAutoscalerFloor { replicas } => write!(f, "set the autoscaler's floor to {replicas}"),
            Self::ShiftTraffic { from, to, step, limit } => {
                write!(f, "shift {:.0} % of traffic from {from} to {to} (at most {:.0} %)", step * 100.0, limit * 100.0)
            }
            Self::Throttle { to, ttl } => {
                write!(f, "throttle to {:.0} % for {} s", to * 100.0, ttl.as_secs())
            }
            Self::Rollback => f.write_str("roll back"),
            Self::PromoteRollout => f.write_str("promote the rollout"),
            Self::AbortRollout => f.write_str("abort the rollout"),
            Self::Restart => f.write_str("restart pods"),
            Self::Resize { cpu, memory } => write!(f, "resize cpu x{cpu}, memory x{memory}"),
            Self::Webhook { name } => write!(f, "call webhook {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_arithmetic_saturates() {
        for (factor, current, expected) in
            [(1.5, 3, 5), (0.7, 4, 2), (1.01, 1, 2), (0.99, 1, 0), (1e300, 7, u32::MAX), (f64::NAN, 7, 0)]
        {
            assert_eq!(Action::ScaleBy { factor }.wanted_replicas(current), Some(expected), "{factor} {current}");
        }
    }

    #[test]
    fn unknown_fields_of_an_action_are_refused() {
        assert!(serde_json::from_str::<Action>(r#"{"kind":"scale_to","replicas":3}"#).is_ok());
        assert!(serde_json::from_str::<Action>(r#"{"kind":"scale_to","replicas":3,"force":true}"#).is_err());
    }
}
