//! The Lease as the API has it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::adapters::kubernetes::annotations::POLICIES_IN_FORCE;
use crate::adapters::kubernetes::cache::{Metadata, Object};
use crate::adapters::kubernetes::settings::Timing;
use crate::model::{Epoch, Timestamp};

use super::candidate::{Claim, Record};

/// A `coordination.k8s.io/v1` `Lease`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LeaseObject {
    /// Its metadata.
    pub(super) metadata: Metadata,
    spec: LeaseSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaseSpec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u32>,
    lease_transitions: Option<u64>,
}

impl Object for LeaseObject {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl LeaseObject {
    /// Returns its record; missing fields are as another process with the same settings would have them.
    pub(super) fn record(&self, timing: Timing) -> Record {
        let duration = self.spec.lease_duration_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        Record {
            holder: self.spec.holder_identity.clone().filter(|holder| !holder.is_empty()),
            epoch: Epoch::new(self.spec.lease_transitions.unwrap_or(0)),
            duration: duration.unwrap_or(timing.duration),
            version: self.metadata.resource_version.clone(),
        }
    }
}

/// Returns a new Lease.
pub(super) fn made(name: &str, claim: &Claim, holder: &str, timing: Timing, now: Timestamp) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": name, "labels": { "app.kubernetes.io/name": "flyball" } },
        "spec": held(claim, Some(holder), timing, now),
    })
}

/// Returns the merge patch of a claim, conditional on its version; without a holder it gives the lease up.
pub(super) fn patch(claim: &Claim, holder: Option<&str>, timing: Timing, now: Timestamp) -> Value {
    json!({ "metadata": { "resourceVersion": claim.version }, "spec": held(claim, holder, timing, now) })
}

/// Adds the holder's announcement to a Lease or a patch of it.
pub(super) fn say(object: &mut Value, announcement: Option<&str>) {
    if let Some(announcement) = announcement {
        object["metadata"]["annotations"] = json!({ POLICIES_IN_FORCE: announcement });
    }
}

fn held(claim: &Claim, holder: Option<&str>, timing: Timing, now: Timestamp) -> Value {
    let time = now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let mut spec = json!({
        // Null removes it, as client-go does.
        "holderIdentity": holder,
        // A released lease is free after one second, even for a candidate that does not know what a missing holder
        // means.
        "leaseDurationSeconds": if holder.is_some() { timing.duration.as_secs() } else { 1 },
        "leaseTransitions": claim.epoch.number(),
        "renewTime": time,
    });
    if claim.begins {
        spec["acquireTime"] = json!(time);
    }
    spec
}
