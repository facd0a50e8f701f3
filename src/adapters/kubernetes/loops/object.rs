//! The fields read of a `ServiceLoop` and of the `PlatformBound`.

use serde::Deserialize;
use serde_json::Value;

use crate::adapters::kubernetes::cache::{Metadata, Object};
use crate::model::{Mode, ServiceId, ids::IdError};

/// The condition that reports whether a spec is active.
pub(super) const ACCEPTED: &str = "Accepted";

/// A `ServiceLoop`. Its `spec` is parsed later, so that one faulty object does not hide its neighbours.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LoopObject {
    /// Its metadata.
    pub metadata: Metadata,
    /// What its owner wrote.
    pub spec: Value,
    /// Its status.
    pub(super) status: Value,
}

impl Object for LoopObject {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl LoopObject {
    /// Returns the service it declares.
    pub fn id(&self) -> Result<ServiceId, IdError> {
        ServiceId::new(&self.metadata.namespace, &self.metadata.name)
    }

    /// Returns whether its status reports its current spec as active.
    pub(super) fn is_said_to_be_accepted(&self) -> bool {
        let conditions = self.status["conditions"].as_array().into_iter().flatten();
        let mut accepted = conditions.filter(|condition| condition["type"] == ACCEPTED);
        accepted.any(|one| one["status"] == "True" && one["observedGeneration"] == self.metadata.generation)
    }

    /// Returns its rank among loops that want the same target, for when the active one is unknown: the first gets the
    /// target.
    pub fn precedence(&self) -> impl Ord + use<> {
        (!self.is_said_to_be_accepted(), self.age())
    }

    /// Returns its rank among loops with the same claim: older first, ties by name.
    pub(super) fn age(&self) -> impl Ord + use<> {
        let Metadata { creation_timestamp, namespace, name, .. } = &self.metadata;
        (creation_timestamp.clone(), namespace.clone(), name.clone())
    }

    /// Returns why it is ignored, if it is. One being deleted counts as gone.
    pub(super) fn why_ignored(&self) -> Option<String> {
        let is_there = self.metadata.deletion_timestamp.is_none();
        (is_there && self.id().is_err()).then(|| unfit(&self.metadata.namespace, &self.metadata.name))
    }
}

/// Returns why a `ServiceLoop` with such a name is ignored.
pub fn unfit(namespace: &str, name: &str) -> String {
    format!("ServiceLoop {namespace}/{name} is ignored: that is not the name of a service, a DNS label without dots")
}

/// The bound that the owner of the platform sets on every loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Upper limit of any loop's replicas.
    pub max_replicas: u32,
    /// Highest mode of any loop.
    pub max_mode: Mode,
}

/// A `PlatformBound`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BoundObject {
    metadata: Metadata,
    spec: Value,
}

impl Object for BoundObject {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BoundSpec {
    max_replicas: u32,
    #[serde(default = "all_modes")]
    max_mode: Mode,
}

fn all_modes() -> Mode {
    Mode::Auto
}

impl BoundObject {
    /// Returns the bound.
    ///
    /// # Errors
    /// Why it cannot be used; the schema rejects such objects.
    pub fn bound(&self) -> Result<Bound, String> {
        let spec =
            BoundSpec::deserialize(&self.spec).map_err(|error| format!("the PlatformBound is invalid: {error}"))?;
        if spec.max_replicas == 0 {
            return Err("the PlatformBound is invalid: spec.maxReplicas is 0, expected at least 1".to_owned());
        }
        Ok(Bound { max_replicas: spec.max_replicas, max_mode: spec.max_mode })
    }
}
