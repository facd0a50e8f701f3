//! What exists on a server: queried by `flyball doctor`, never by the loop, which watches.

use std::collections::BTreeSet;

use kube::api::ListParams;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::{Autoscaling, ServiceId, TargetKind, TargetRef};

use super::api_server::ApiServer;
use super::autoscaler::{HorizontalPodAutoscaler, autoscaling};
use super::cache::{Metadata, Object};
use super::loops::object::{BoundObject, LoopObject, unfit};
use super::loops::{BOUND_NAME, no_bound};
use super::{pages, scale};

/// The autoscalers of all namespaces.
pub struct Autoscalers(Vec<HorizontalPodAutoscaler>);

/// Returns the version of the server.
///
/// # Errors
/// Why it does not answer.
pub async fn server_version(server: &ApiServer) -> Result<String, String> {
    let answer = get(server, "/version").await?;
    answer["gitVersion"].as_str().map(str::to_owned).ok_or_else(|| "the answer has no version".to_owned())
}

/// Returns the flyball custom resources that the server has.
///
/// # Errors
/// Why it does not say.
pub async fn custom_resources(server: &ApiServer) -> Result<Vec<String>, String> {
    let answer = get(server, "/apis/flyball.dev/v1alpha1").await?;
    let resources = answer["resources"].as_array().cloned().unwrap_or_default();
    Ok(resources.iter().filter_map(|resource| Some(resource["name"].as_str()?.to_owned())).collect())
}

/// The loops of a cluster.
#[derive(Debug, Default)]
pub struct Loops {
    /// Those of services, each with its spec as written; of two that collide the first one is supervised.
    pub declared: Vec<(ServiceId, Value)>,
    /// Messages about the ignored ones.
    pub ignored: Vec<String>,
}

/// Returns the declared loops.
///
/// # Errors
/// Why they cannot be listed.
pub async fn loops(server: &ApiServer) -> Result<Loops, String> {
    let mut loops = Loops::default();
    let mut objects: Vec<LoopObject> = list(server, "/apis/flyball.dev/v1alpha1/serviceloops").await?;
    objects.retain(|object| object.metadata.deletion_timestamp.is_none());
    // The order in which a flyball that starts now would take them.
    objects.sort_by_cached_key(LoopObject::precedence);
    for object in objects {
        match object.id() {
            Ok(id) => loops.declared.push((id, object.spec)),
            Err(_) => loops.ignored.push(unfit(&object.metadata.namespace, &object.metadata.name)),
        }
    }
    Ok(loops)
}

/// Returns the bound on all loops in words, or why it is unusable.
///
/// # Errors
/// Why it cannot be read.
pub async fn bound(server: &ApiServer) -> Result<Result<String, String>, String> {
    let bounds: Vec<BoundObject> = list(server, "/apis/flyball.dev/v1alpha1/platformbounds").await?;
    let Some(object) = bounds.iter().find(|object| object.metadata().name == BOUND_NAME) else {
        return Ok(Err(no_bound()));
    };
    let bound = object.bound();
    Ok(bound.map(|bound| format!("at most {} replicas, mode {}", bound.max_replicas, bound.max_mode.as_str())))
}

/// Returns the targets of a kind in all namespaces.
///
/// # Errors
/// Why they cannot be listed.
pub async fn targets(server: &ApiServer, kind: TargetKind) -> Result<BTreeSet<TargetRef>, String> {
    #[derive(Deserialize)]
    struct Named {
        metadata: Metadata,
    }
    let objects: Vec<Named> = list(server, &scale::all_of(kind)).await?;
    let target = |Named { metadata: Metadata { namespace, name, .. } }| TargetRef { kind, namespace, name };
    Ok(objects.into_iter().map(target).collect())
}

/// Returns all autoscalers.
///
/// # Errors
/// Why they cannot be listed.
pub async fn autoscalers(server: &ApiServer) -> Result<Autoscalers, String> {
    list(server, "/apis/autoscaling/v2/horizontalpodautoscalers").await.map(Autoscalers)
}

impl Autoscalers {
    /// Returns what they mean for a target, as the loop sees it.
    pub fn on(&self, target: &TargetRef) -> Autoscaling {
        autoscaling(self.0.iter().filter(|one| one.metadata.namespace == target.namespace), target)
    }
}

async fn get(server: &ApiServer, path: &str) -> Result<Value, String> {
    server.get(path).await.map_err(|failure| failure.to_string())
}

async fn list<T: DeserializeOwned>(server: &ApiServer, path: &str) -> Result<Vec<T>, String> {
    let listed = pages::list(server, path, &ListParams::default(), |_| ()).await;
    listed.map(|listed| listed.objects).map_err(|failure| failure.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn autoscalers_mean_for_a_target_what_they_mean_to_the_loop() {
        let on = |spec: Value| {
            let object = json!({ "metadata": { "namespace": "shop", "name": "hpa" }, "spec": spec });
            Autoscalers(vec![HorizontalPodAutoscaler::deserialize(&object).unwrap()])
        };
        let of = |group: &str| json!({ "apiVersion": group, "kind": "Deployment", "name": "checkout" });
        let target = |namespace: &str| TargetRef {
            kind: TargetKind::Deployment,
            namespace: namespace.to_owned(),
            name: "checkout".to_owned(),
        };
        let plain = on(json!({ "scaleTargetRef": of("apps/v1"), "maxReplicas": 9 }));
        assert!(matches!(plain.on(&target("shop")), Autoscaling::Autoscaler(_)));
        assert_eq!(plain.on(&target("bank")), Autoscaling::Nobody, "another namespace");
        let foreign = on(json!({ "scaleTargetRef": of("example.org/v1"), "maxReplicas": 9 }));
        assert_eq!(foreign.on(&target("shop")), Autoscaling::Nobody, "another kind of the same name");
        let odd = on(json!({ "scaleTargetRef": of("apps/v1"), "minReplicas": -1, "maxReplicas": 9 }));
        assert!(matches!(odd.on(&target("shop")), Autoscaling::Closed { .. }), "a floor that is none");
    }
}
