//! Reads and writes of replicas through the scale subresource: one request each, with a deadline, never repeated.

use axum::http;
use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use serde_json::json;

use crate::model::ids::{is_dns_label, is_dns_subdomain};
use crate::model::{TargetKind, TargetRef};
use crate::ports::{ClusterError, Live};

use super::client::{Timeouts, text};
use super::failure::classify;
use super::workload::Workload;

/// The field manager of every write.
pub(super) const FIELD_MANAGER: &str = "flyball";

/// Reads the scale of `target`.
pub(super) async fn read(client: &Client, target: &TargetRef, timeouts: Timeouts) -> Result<Live, ClusterError> {
    let request = Request::new(collection(target)?);
    let request = request.get_subresource("scale", &target.name).map_err(unbuildable)?;
    answer(text(client, request), target, timeouts).await
}

/// Sets the replicas of `target`, provided that its version is still that of `live`.
pub(super) async fn write(
    client: &Client,
    target: &TargetRef,
    replicas: u32,
    live: &Live,
    timeouts: Timeouts,
) -> Result<Live, ClusterError> {
    conditional(replicas, live)?;
    let patch = json!({
        "metadata": { "resourceVersion": live.resource_version },
        "spec": { "replicas": replicas },
    });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let request = Request::new(collection(target)?);
    let request =
        request.patch_subresource("scale", &target.name, &parameters, &Patch::Merge(patch)).map_err(unbuildable)?;
    answer(text(client, within(request, timeouts)?), target, timeouts).await
}

/// Checks that a write of `count` can be sent, and is conditional on what was read.
pub(super) fn conditional(count: u32, live: &Live) -> Result<(), ClusterError> {
    if i32::try_from(count).is_err() {
        let reason = format!("{count} replicas, expected at most {} (the API's limit)", i32::MAX);
        return Err(ClusterError::Denied { reason });
    }
    if live.resource_version.is_empty() {
        let reason = "the object was read without a version, and flyball writes only on condition of one".to_owned();
        return Err(ClusterError::Denied { reason });
    }
    Ok(())
}

/// Lets the server give up with us: what it has not done by then it never does.
pub(super) fn within(
    mut request: http::Request<Vec<u8>>,
    timeouts: Timeouts,
) -> Result<http::Request<Vec<u8>>, ClusterError> {
    let uri = format!("{}&timeout={}ms", request.uri(), timeouts.answer.as_millis());
    *request.uri_mut() = uri.parse().map_err(unbuildable)?;
    Ok(request)
}

/// Waits for the answer to one request.
pub(super) async fn send(
    sent: impl Future<Output = kube::Result<String>>,
    target: &TargetRef,
    timeouts: Timeouts,
) -> Result<String, ClusterError> {
    match tokio::time::timeout(timeouts.answer, sent).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(classify(&error, target)),
        Err(_) => Err(ClusterError::Unknown { reason: format!("no answer within {:?}", timeouts.answer) }),
    }
}

/// Waits for the answer to one request and reads the scale in it.
async fn answer(
    sent: impl Future<Output = kube::Result<String>>,
    target: &TargetRef,
    timeouts: Timeouts,
) -> Result<Live, ClusterError> {
    let text = send(sent, target, timeouts).await?;
    let odd = |reason: String| ClusterError::Unknown { reason: format!("scale of {target}: {reason}") };
    let scale: Workload = serde_json::from_str(&text).map_err(|error| odd(format!("malformed answer: {error}")))?;
    let value = scale.scale().map_err(|error| odd(error.to_string()))?;
    Ok(Live { uid: scale.metadata.uid, resource_version: scale.metadata.resource_version, value, displaced: None })
}

pub(super) fn unbuildable(error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Denied { reason: error.to_string() }
}

/// Returns the path of the objects of the kind and in the namespace of `target`, whose names are looked at first.
pub(super) fn collection(target: &TargetRef) -> Result<String, ClusterError> {
    if !is_dns_label(&target.namespace) || !is_dns_subdomain(&target.name) {
        let reason = format!("`{}/{}` is not a name of a Kubernetes object", target.namespace, target.name);
        return Err(ClusterError::Denied { reason });
    }
    Ok(collection_of(target.kind, &target.namespace))
}

/// Returns the path of the objects of `kind` in `namespace`.
pub(super) fn collection_of(kind: TargetKind, namespace: &str) -> String {
    let plural = match kind {
        TargetKind::Deployment => "deployments",
        TargetKind::StatefulSet => "statefulsets",
    };
    format!("/apis/apps/v1/namespaces/{namespace}/{plural}")
}
