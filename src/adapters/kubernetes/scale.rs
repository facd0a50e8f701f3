//! Reads and writes of replicas through the scale subresource: one request each, with a deadline, never repeated.

use serde_json::json;

use crate::model::ids::{is_dns_label, is_dns_subdomain};
use crate::model::{TargetKind, TargetRef};
use crate::ports::{ClusterError, Live};

use super::api_server::ApiServer;
use super::failure::Failure;
use super::workload::Workload;

/// Reads the scale of `target`.
pub(super) async fn read(server: &ApiServer, target: &TargetRef) -> Result<Live, ClusterError> {
    live(server.get(&path(target)?).await, target)
}

/// Sets the replicas of `target`, provided that its version is still that of `live`.
pub(super) async fn write(
    server: &ApiServer,
    target: &TargetRef,
    replicas: u32,
    live: &Live,
) -> Result<Live, ClusterError> {
    conditional(replicas, live)?;
    let patch = json!({
        "metadata": { "resourceVersion": live.resource_version },
        "spec": { "replicas": replicas },
    });
    self::live(server.merge(&path(target)?, &patch).await, target)
}

/// Checks that a write of `count` can be sent, and is conditional on what was read.
pub(super) fn conditional(count: u32, live: &Live) -> Result<(), ClusterError> {
    if i32::try_from(count).is_err() {
        let reason = format!("{count} replicas, expected at most {} (the API's limit)", i32::MAX);
        return Err(ClusterError::Denied { reason });
    }
    if live.resource_version.is_empty() {
        let reason = "the object has no resourceVersion, and flyball only writes conditionally on it".to_owned();
        return Err(ClusterError::Denied { reason });
    }
    Ok(())
}

/// Reads the scale in an answer.
fn live(answer: Result<Workload, Failure>, target: &TargetRef) -> Result<Live, ClusterError> {
    let scale = answer.map_err(|failure| failure.of(target))?;
    let odd = |reason| ClusterError::Unknown { reason: format!("scale of {target}: {reason}") };
    let value = scale.scale().map_err(odd)?;
    Ok(Live { uid: scale.metadata.uid, resource_version: scale.metadata.resource_version, value, displaced: None })
}

fn path(target: &TargetRef) -> Result<String, ClusterError> {
    Ok(format!("{}/{}/scale", collection(target)?, target.name))
}

/// Returns the path of the objects of the kind and in the namespace of `target`, after checking its names.
pub(super) fn collection(target: &TargetRef) -> Result<String, ClusterError> {
    if !is_dns_label(&target.namespace) || !is_dns_subdomain(&target.name) {
        let reason = format!("`{}/{}` is not a Kubernetes object name", target.namespace, target.name);
        return Err(ClusterError::Denied { reason });
    }
    Ok(collection_of(target.kind, &target.namespace))
}

/// Returns the path of the objects of `kind` in `namespace`.
pub(super) fn collection_of(kind: TargetKind, namespace: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/{}", plural(kind))
}

/// Returns the path of the objects of `kind` in all namespaces.
pub(super) fn all_of(kind: TargetKind) -> String {
    format!("/apis/apps/v1/{}", plural(kind))
}

fn plural(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Deployment => "deployments",
        TargetKind::StatefulSet => "statefulsets",
    }
}
