//! A `LoopAction` as the API has it: one intended write and how it ended.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::adapters::kubernetes::cache::Metadata;
use crate::model::{ChangeId, ChangeSet, Foreseen, Intent, Measured, Revert, ServiceId, Timestamp, WriteOutcome};

/// Label with the name of the service, for `kubectl get loopactions -l`.
pub(super) const SERVICE_LABEL: &str = "flyball.dev/service";

/// A `LoopAction`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ActionObject {
    /// Its metadata.
    pub(super) metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    prepared_at: Timestamp,
    change: ChangeSet,
    #[serde(default)]
    foreseen: Foreseen,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    ended_at: Option<Timestamp>,
    result: Option<WriteOutcome>,
    reverted: Option<Revert>,
    measured: Option<Measured>,
}

impl ActionObject {
    /// Returns the intent that it represents.
    pub(super) fn intent(&self) -> Intent {
        let Spec { prepared_at: prepared, change, foreseen } = self.spec.clone();
        let Status { ended_at, result, reverted, measured } = self.status.clone();
        Intent { change, prepared, ended: ended_at.zip(result), reverted, foreseen, measured }
    }
}

/// Returns the object name of a change.
pub(super) fn name(service: &ServiceId, change: &ChangeId) -> String {
    format!("{}-{change}", service.name())
}

/// Returns the object of an open intent.
pub(super) fn manifest(intent: &Intent) -> Value {
    let service = intent.change.service();
    json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "LoopAction",
        "metadata": {
            "name": name(service, &intent.change.id), "namespace": service.namespace(),
            "labels": { SERVICE_LABEL: service.name() },
        },
        "spec": { "preparedAt": intent.prepared, "change": intent.change, "foreseen": intent.foreseen },
    })
}

/// Returns the status of an intent that has ended.
pub(super) fn ended(at: Timestamp, outcome: &WriteOutcome) -> Value {
    json!({ "endedAt": at, "outcome": outcome.as_str(), "message": outcome.to_string(), "result": outcome })
}

/// Returns what is added to the status of a reverted write.
pub(super) fn reverted(revert: &Revert) -> Value {
    json!({ "reverted": revert })
}

/// Returns what is added to the status of a measured write.
pub(super) fn measured(measured: &Measured) -> Value {
    json!({ "measured": measured })
}
