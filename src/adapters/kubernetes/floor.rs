//! Reads and writes of an autoscaler's floor, and the live check of who scales a target.

use serde::Deserialize;
use serde_json::json;

use crate::model::{Autoscaling, ChangeSet, FloorOf, Knob, TargetRef};
use crate::ports::{ClusterError, Live};

use super::api_server::ApiServer;
use super::autoscaler::{HorizontalPodAutoscaler, autoscaling, floor_patch};
use super::cache::Object;
use super::scale::{collection, conditional};

/// A list of autoscalers.
#[derive(Deserialize)]
struct List {
    /// Go writes an empty list as null.
    items: Option<Vec<HorizontalPodAutoscaler>>,
}

/// Returns the path of the autoscalers of `namespace`.
pub(super) fn autoscalers_of(namespace: &str) -> String {
    format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers")
}

/// Returns the current autoscalers in the namespace of `target`.
pub(super) async fn list(server: &ApiServer, target: &TargetRef) -> Result<Vec<HorizontalPodAutoscaler>, ClusterError> {
    // Names are checked before they become part of a path.
    collection(target)?;
    let list: Result<List, _> = server.get(&autoscalers_of(&target.namespace)).await;
    let list = list.map_err(|failure| failure.of(target))?;
    Ok(list.items.unwrap_or_default())
}

/// Finds the floor that `change` moves among the autoscalers of its namespace.
pub(super) fn find(change: &ChangeSet, all: &[HorizontalPodAutoscaler]) -> Result<Live, ClusterError> {
    let target = &change.target;
    let named = |one: &&HorizontalPodAutoscaler| {
        change.floor.as_ref().is_some_and(|floor| *floor.autoscaler == *one.metadata.name)
    };
    let same = all.iter().find(|one| one.metadata.uid == change.uid);
    let one =
        same.or_else(|| all.iter().find(named)).ok_or_else(|| ClusterError::NotFound { target: target.clone() })?;
    live(one, target, displaced(change, all))
}

/// Returns why the knob of `change` is not the current one; `None` if it is.
pub(super) fn displaced(change: &ChangeSet, all: &[HorizontalPodAutoscaler]) -> Option<String> {
    match (change.knob, autoscaling(all.iter(), &change.target)) {
        (Knob::AutoscalerFloor, Autoscaling::Nobody) => {
            Some(format!("no autoscaler scales {} any longer", change.target))
        }
        (Knob::AutoscalerFloor, Autoscaling::Autoscaler(one)) if one.uid == change.uid => {
            let decided = change.floor.as_ref().map_or(one.baseline, |floor| floor.baseline);
            (one.baseline != decided).then(|| format!("the floor of HPA {} was changed by another client", one.name))
        }
        (_, Autoscaling::Autoscaler(one)) => Some(format!("HPA {} scales {} now", one.name, change.target)),
        (_, Autoscaling::Closed { why }) => Some(format!("{} is scaled by others: {why}", change.target)),
        (_, Autoscaling::Nobody) => None,
    }
}

/// Moves the floor to `to`, provided that the autoscaler is still the one of `live`, at the same version.
pub(super) async fn write(
    server: &ApiServer,
    change: &ChangeSet,
    floor: &FloorOf,
    live: &Live,
) -> Result<Live, ClusterError> {
    let target = &change.target;
    conditional(change.to, live)?;
    collection(&TargetRef { name: floor.autoscaler.to_string(), ..target.clone() })?;
    let (annotations, spec) = floor_patch(change.to, floor.baseline);
    let patch = json!({
        "metadata": { "resourceVersion": live.resource_version, "uid": live.uid, "annotations": annotations },
        "spec": spec,
    });
    let path = format!("{}/{}", autoscalers_of(&target.namespace), floor.autoscaler);
    let after = server.merge(&path, &patch).await.map_err(|failure| failure.of(target))?;
    self::live(&after, target, None)
}

fn live(one: &HorizontalPodAutoscaler, target: &TargetRef, displaced: Option<String>) -> Result<Live, ClusterError> {
    let metadata = one.metadata();
    let odd = |why| ClusterError::Unknown { reason: format!("autoscalers of {target}: {why}") };
    let value = one.floor().map_err(odd)?;
    Ok(Live { uid: metadata.uid.clone(), resource_version: metadata.resource_version.clone(), value, displaced })
}
