//! The object that is scaled, as the cluster reports it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::autoscaling::Autoscaling;
use super::spec::Bounds;

/// Kinds with a scale subresource that flyball knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TargetKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
}

impl TargetKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Deployment, Self::StatefulSet];

    /// Returns the kind as manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }
}

/// Names one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TargetRef {
    /// What it is.
    pub kind: TargetKind,
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for TargetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// The state of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetState {
    /// Identity across re-creation under the same name.
    pub uid: String,
    /// Version of the object that was read. Nothing reads it, but older versions cannot read a record without it.
    pub resource_version: String,
    /// Requested replicas (`spec.replicas`).
    pub replicas: u32,
    /// Ready replicas (`status.readyReplicas`).
    pub ready: u32,
    /// Whether a rollout of a new template is in progress, or the controller has not seen the last change.
    pub rollout: bool,
    /// The field manager that last set the replicas, if the object names one.
    #[serde(default)]
    pub owner: Option<Arc<str>>,
    /// Pods that cannot start; `None` if none are known.
    #[serde(default)]
    pub stuck: Option<Stuck>,
    /// What else scales it.
    #[serde(default)]
    pub autoscaling: Autoscaling,
    /// Version up to which the view of the objects that carry its lever has missed nothing; `None` if that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_to: Option<u64>,
}

impl TargetState {
    /// Returns a target at rest: all its replicas serve, and nothing else changes it.
    pub fn calm(uid: &str, replicas: u32) -> Self {
        Self {
            uid: uid.to_owned(),
            resource_version: "1".to_owned(),
            replicas,
            ready: replicas,
            rollout: false,
            owner: None,
            stuck: None,
            autoscaling: Autoscaling::Nobody,
            seen_to: None,
        }
    }
}

/// Requested pods that cannot be created or scheduled: more of them would not start either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stuck {
    /// How many.
    pub pods: u32,
    /// Why, as the cluster reports it.
    pub why: String,
}

/// A target as the loop sees it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TargetReading {
    /// Seen, and the view of the cluster is current.
    Known {
        /// The state.
        target: TargetState,
    },
    /// Seen, but the view of the cluster is older than it may be.
    Outdated {
        /// The last state.
        target: TargetState,
        /// Time since the last update of the view.
        #[serde(alias = "silence_seconds", deserialize_with = "crate::model::time::seconds::deserialize")]
        silence: Duration,
    },
    /// Missing, or never seen.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl TargetReading {
    /// Returns why the current state of the target is unknown; `None` if it is known.
    pub fn unknown(&self) -> Option<String> {
        match self {
            Self::Known { .. } => None,
            Self::Outdated { silence, .. } => Some(format!("last seen {} s ago", silence.as_secs())),
            Self::Unknown { reason } => Some(reason.clone()),
        }
    }

    /// Returns the state if, and only if, it may be acted on.
    pub fn known(&self) -> Option<&TargetState> {
        match self {
            Self::Known { target } => Some(target),
            Self::Outdated { .. } | Self::Unknown { .. } => None,
        }
    }

    /// Returns the owner's bounds inside those of the autoscaler that scales the target, if one was seen.
    pub fn bounds(&self, own: Bounds) -> Bounds {
        self.last().map_or(own, |target| target.bounds(own))
    }

    /// Returns the last state seen, current or not.
    pub fn last(&self) -> Option<&TargetState> {
        match self {
            Self::Known { target } | Self::Outdated { target, .. } => Some(target),
            Self::Unknown { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a downgrade the older version must read what this one has recorded.
    #[test]
    fn a_record_has_every_field_that_older_versions_require() {
        let record = serde_json::to_value(TargetState::calm("u", 4)).unwrap();
        for field in ["uid", "resource_version", "replicas", "ready", "rollout"] {
            assert!(!record[field].is_null(), "{field}");
        }
    }
}
