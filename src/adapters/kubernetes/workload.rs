//! The fields read of a Deployment, a StatefulSet, or the scale of one. Replicas are read leniently, so that one odd
//! object does not hide its neighbours, and judged strictly, so that an odd number never becomes a count.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::model::{Autoscaling, Stuck, TargetKind, TargetState};

use super::cache::{Metadata, Object};

/// Characters kept of a server message.
const LONGEST_MESSAGE: usize = 200;

/// The fields that flyball reads.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Workload {
    /// Its metadata.
    pub(super) metadata: Metadata,
    /// The desired state; absent in no object of a real server.
    pub(super) spec: Option<Spec>,
    #[serde(default)]
    status: Status,
}

/// The owned fields, to the extent they are replicas and floors.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ManagedField {
    manager: String,
    /// RFC 3339 in UTC, so the texts sort by time.
    time: Option<String>,
    fields_v1: OwnedFields,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct OwnedFields {
    #[serde(rename = "f:spec")]
    spec: OwnedSpec,
}

/// The fields that ownership is checked for.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct OwnedSpec {
    /// The replicas of a workload.
    #[serde(rename = "f:replicas")]
    replicas: Option<IgnoredAny>,
    /// The floor of an autoscaler.
    #[serde(rename = "f:minReplicas")]
    pub(super) min_replicas: Option<IgnoredAny>,
}

impl Metadata {
    /// Returns the field manager that last set the field that `owns` checks. Several managers own it if they applied
    /// the same value.
    pub(super) fn owner_of(&self, owns: impl Fn(&OwnedSpec) -> bool) -> Option<Arc<str>> {
        let own = self.managed_fields.iter().filter(|entry| owns(&entry.fields_v1.spec));
        own.max_by(|one, other| one.time.cmp(&other.time)).map(|entry| Arc::from(entry.manager.as_str()))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Spec {
    /// The raw value, whatever it is.
    #[serde(default)]
    pub(super) replicas: Option<Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: i64,
    replicas: i64,
    updated_replicas: i64,
    ready_replicas: i64,
    current_revision: String,
    update_revision: String,
    conditions: Vec<Condition>,
}

/// A condition of an object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    /// Its type.
    pub(super) r#type: String,
    /// Whether it holds: `True`, `False`, `Unknown`.
    pub(super) status: String,
    reason: String,
    message: String,
}

impl Condition {
    /// Returns its reason and message, in the words of the server.
    pub(super) fn why(&self) -> String {
        let message: String = self.message.chars().take(LONGEST_MESSAGE).collect();
        format!("{}: {message}", self.reason)
    }
}

/// Why a replica count cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum OddReplicas {
    /// It is missing.
    #[error("spec.replicas is missing, expected a number from 0 to 2147483647")]
    Absent,
    /// It is not a count.
    #[error("spec.replicas is {found}, expected a number from 0 to 2147483647")]
    NotACount {
        /// The value found.
        found: String,
    },
}

impl Object for Workload {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Workload {
    /// Returns the state of the object itself, not of its scale. It does not say who else scales it.
    pub(super) fn state(&self, kind: TargetKind) -> Result<TargetState, OddReplicas> {
        let wanted = self.spec.as_ref().and_then(|spec| spec.replicas.as_ref()).ok_or(OddReplicas::Absent)?;
        let replicas = count(wanted).ok_or_else(|| OddReplicas::NotACount { found: shown(wanted) })?;
        Ok(TargetState {
            uid: self.metadata.uid.clone(),
            resource_version: self.metadata.resource_version.clone(),
            replicas,
            ready: u32::try_from(self.status.ready_replicas).unwrap_or(0),
            rollout: self.rollout(kind),
            owner: self.metadata.owner_of(|spec| spec.replicas.is_some()),
            stuck: self.stuck(replicas),
            autoscaling: Autoscaling::Nobody,
            seen_to: None,
        })
    }

    /// Returns the pods that cannot be created (quota, admission): a Deployment reports it in a condition.
    fn stuck(&self, replicas: u32) -> Option<Stuck> {
        let failed = |condition: &&Condition| condition.r#type == "ReplicaFailure" && condition.status == "True";
        let failure = self.status.conditions.iter().find(failed)?;
        let created = u32::try_from(self.status.replicas).unwrap_or(0);
        Some(Stuck { pods: replicas.saturating_sub(created), why: failure.why() })
    }

    /// Returns the replicas of a scale. Its Go type leaves the number out when it is zero (`omitempty` in
    /// kubernetes/api autoscaling/v1 `ScaleSpec`), but never leaves out `spec`.
    pub(super) fn scale(&self) -> Result<u32, OddReplicas> {
        let Some(wanted) = &self.spec.as_ref().ok_or(OddReplicas::Absent)?.replicas else { return Ok(0) };
        count(wanted).ok_or_else(|| OddReplicas::NotACount { found: shown(wanted) })
    }

    /// Returns whether pods of an old template still run, or the controller has not seen the last change. A mere change
    /// of the replica count is not a rollout once the controller has seen it.
    fn rollout(&self, kind: TargetKind) -> bool {
        let status = &self.status;
        let old_pods = match kind {
            TargetKind::Deployment => status.updated_replicas < status.replicas,
            TargetKind::StatefulSet => {
                !status.update_revision.is_empty() && status.update_revision != status.current_revision
            }
        };
        old_pods || status.observed_generation < self.metadata.generation
    }
}

/// Returns a replica count; `None` if it is not one.
pub(super) fn count(value: &Value) -> Option<u32> {
    value.as_i64().and_then(|number| i32::try_from(number).ok()).and_then(|number| u32::try_from(number).ok())
}

/// Returns the text found in place of a number, cut to a readable length.
pub(super) fn shown(value: &Value) -> String {
    value.to_string().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(spec: &Value, status: &Value) -> Workload {
        let metadata = json!({"name": "checkout", "uid": "u", "resourceVersion": "7", "generation": 2});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
    }

    #[test]
    fn k13_a_number_of_replicas_is_a_count_or_an_error() {
        let check = |replicas: Value, expected: Result<u32, &str>| {
            let object = workload(&json!({"replicas": replicas}), &json!({}));
            let found = object.state(TargetKind::Deployment).map(|state| state.replicas);
            match expected {
                Ok(count) => assert_eq!(found, Ok(count)),
                Err(text) => assert!(found.unwrap_err().to_string().contains(text), "{text}"),
            }
        };
        check(json!(0), Ok(0));
        check(json!(2_147_483_647), Ok(2_147_483_647));
        check(Value::Null, Err("missing"));
        for odd in [json!(-1), json!(2_147_483_648_u64), json!(1.5), json!(1e300), json!("3"), json!([3])] {
            check(odd.clone(), Err(&odd.to_string()));
        }
    }

    #[test]
    fn k13_a_scale_without_a_number_is_zero_and_one_without_spec_is_an_error() {
        assert_eq!(workload(&json!({}), &json!({})).scale(), Ok(0));
        assert_eq!(workload(&Value::Null, &json!({})).scale(), Err(OddReplicas::Absent));
    }

    #[test]
    fn x5_pods_that_cannot_be_created_are_told_from_pods_that_start() {
        let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "FailedCreate", "message": "exceeded quota: pods=10"});
        let check = |conditions: Value, expected: Option<u32>| {
            let status = json!({"observedGeneration": 2, "replicas": 7, "readyReplicas": 6, "conditions": conditions});
            let stuck = workload(&json!({"replicas": 9}), &status).state(TargetKind::Deployment).unwrap().stuck;
            assert_eq!(stuck.as_ref().map(|stuck| stuck.pods), expected);
            assert!(stuck.is_none_or(|stuck| stuck.why == "FailedCreate: exceeded quota: pods=10"));
        };
        check(json!([condition("Available", "True"), condition("ReplicaFailure", "True")]), Some(2));
        check(json!([condition("ReplicaFailure", "False")]), None);
        check(json!([condition("Progressing", "True")]), None);
        check(json!([]), None);
    }

    #[test]
    fn the_owner_of_the_replicas_is_who_set_them_last() {
        let entry = |manager: &str, time: &str, spec: Value| json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": {"f:spec": spec}});
        let check = |entries: Value, expected: Option<&str>| {
            let metadata = json!({"name": "checkout", "uid": "u", "resourceVersion": "7", "managedFields": entries});
            let object = json!({"metadata": metadata, "spec": {"replicas": 3}});
            let object: Workload = serde_json::from_value(object).unwrap();
            assert_eq!(object.state(TargetKind::Deployment).unwrap().owner.as_deref(), expected);
        };
        let replicas = json!({"f:replicas": {}, "f:template": {}});
        let (early, late) = ("2026-03-02T12:00:00Z", "2026-03-02T12:00:01Z");
        check(json!([entry("kubectl-edit", late, replicas.clone())]), Some("kubectl-edit"));
        check(json!([entry("argocd", late, replicas.clone()), entry("helm", early, replicas.clone())]), Some("argocd"));
        check(json!([entry("helm", late, json!({"f:template": {}}))]), None);
        check(json!([]), None);
    }

    #[test]
    fn a_rollout_is_told_from_a_change_of_the_count() {
        let check = |kind, status: Value, expected: bool| {
            let object = workload(&json!({"replicas": 9}), &status);
            assert_eq!(object.state(kind).unwrap().rollout, expected, "{status}");
        };
        let deployment = TargetKind::Deployment;
        check(deployment, json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3}), false);
        check(deployment, json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": 1}), true);
        check(deployment, json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3}), true);
        check(deployment, json!({}), true);
        let set = TargetKind::StatefulSet;
        check(set, json!({"observedGeneration": 2, "currentRevision": "a", "updateRevision": "a"}), false);
        check(set, json!({"observedGeneration": 2, "currentRevision": "a", "updateRevision": "b"}), true);
    }
}
