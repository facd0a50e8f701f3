//! What flyball's account may do on this server: asked by `flyball doctor`, never by the loop.

use serde_json::{Value, json};

use super::api_server::ApiServer;

/// A right that flyball uses: verb, group, resource with its subresource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// The verb.
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, `resource/subresource` where it is one.
    pub resource: &'static str,
    /// What is lost without it.
    pub purpose: &'static str,
}

const fn right(verb: &'static str, group: &'static str, resource: &'static str, purpose: &'static str) -> Right {
    Right { verb, group, resource, purpose }
}

/// Every right in use in all namespaces; the cluster role of `deploy/base/rbac.yaml` grants these and no other.
pub const RIGHTS: [Right; 19] = [
    right("list", "apps", "deployments", "see targets"),
    right("watch", "apps", "deployments", "see targets"),
    right("list", "apps", "statefulsets", "see targets"),
    right("watch", "apps", "statefulsets", "see targets"),
    right("get", "apps", "deployments/scale", "read right before a write"),
    right("patch", "apps", "deployments/scale", "scale"),
    right("get", "apps", "statefulsets/scale", "read right before a write"),
    right("patch", "apps", "statefulsets/scale", "scale"),
    right("list", "autoscaling", "horizontalpodautoscalers", "see who else scales; without it nothing is scaled"),
    right("watch", "autoscaling", "horizontalpodautoscalers", "see who else scales; without it nothing is scaled"),
    right("patch", "autoscaling", "horizontalpodautoscalers", "move the floor of an autoscaler"),
    right("list", "flyball.dev", "serviceloops", "see which services are declared"),
    right("watch", "flyball.dev", "serviceloops", "see which services are declared"),
    right("patch", "flyball.dev", "serviceloops/status", "say how a service stands"),
    right("list", "flyball.dev", "platformbounds", "know the platform's bound; without it nothing is written"),
    right("watch", "flyball.dev", "platformbounds", "know the platform's bound; without it nothing is written"),
    right("create", "events.k8s.io", "events", "tell what was done"),
    right("list", "", "configmaps", "see the kill switch and policies"),
    right("watch", "", "configmaps", "see the kill switch and policies"),
];

/// The right in use on the one ConfigMap that is the kill switch, in flyball's own namespace; the Role of the same file
/// grants it.
pub const KILL_SWITCH_RIGHTS: [Right; 1] =
    [right("get", "", "configmaps", "read the kill switch right before a write; without it nothing is written")];

/// The rights in use where intents are kept in the API; `deploy/overlays/replicas/rbac.yaml` grants these.
pub const INTENT_RIGHTS: [Right; 5] = [
    right("get", "flyball.dev", "loopactions", "see who ended an intent"),
    right("list", "flyball.dev", "loopactions", "learn what the former leader left"),
    right("create", "flyball.dev", "loopactions", "record an intent before its write; without it nothing is written"),
    right("delete", "flyball.dev", "loopactions", "clear away what is no longer needed"),
    right("patch", "flyball.dev", "loopactions/status", "record how a write ended"),
];

/// The rights in use on the one Lease, in flyball's own namespace; granted in the same place.
pub const LEASE_RIGHTS: [Right; 8] = [
    right("get", "coordination.k8s.io", "leases", "read the lease that somebody else wrote"),
    right("list", "coordination.k8s.io", "leases", "see who leads"),
    right("watch", "coordination.k8s.io", "leases", "see at once that the lease is given up"),
    right("patch", "coordination.k8s.io", "leases", "claim and renew the lease; without it nothing is written"),
    right("create", "coordination.k8s.io", "leases", "make the lease"),
    right("get", "flyball.dev", "loopleaders", "see who led before"),
    right("patch", "flyball.dev", "loopleaders", "let the API server refuse writes of whoever led before"),
    right("create", "flyball.dev", "loopleaders", "the same, for the first leader"),
];

/// The rights in use on the one ConfigMap that keeps the policies in force; granted in the same place.
pub const KEPT_POLICIES_RIGHTS: [Right; 2] = [
    right("get", "", "configmaps", "go on by the policies in force where a replica starts with nothing"),
    right("patch", "", "configmaps", "keep the policies in force for a replica that starts with nothing"),
];

/// Tells whether the account has a right in all namespaces.
///
/// # Errors
/// Why the server does not say.
pub async fn allowed(server: &ApiServer, right: &Right) -> Result<bool, String> {
    review(server, right, "", "").await
}

/// Tells whether the account has a right on one object.
///
/// # Errors
/// Why the server does not say.
pub async fn allowed_on(server: &ApiServer, right: &Right, namespace: &str, name: &str) -> Result<bool, String> {
    // What is to be created has no name yet.
    review(server, right, namespace, if right.verb == "create" { "" } else { name }).await
}

async fn review(server: &ApiServer, right: &Right, namespace: &str, name: &str) -> Result<bool, String> {
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": {
            "verb": right.verb, "group": right.group, "resource": resource, "subresource": subresource,
            "namespace": namespace, "name": name,
        } },
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer: Value = server.create(path, &review).await.map_err(|failure| failure.to_string())?;
    answer["status"]["allowed"].as_bool().ok_or_else(|| "the answer says neither yes nor no".to_owned())
}
