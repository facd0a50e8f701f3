//! What flyball's account may do on this server: checked by `flyball doctor`, never by the loop.

use serde_json::{Value, json};

use super::api_server::ApiServer;

/// A right that flyball uses: verb, group, resource with its subresource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// The verb.
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, as `resource/subresource` if it is a subresource.
    pub resource: &'static str,
    /// What does not work without it.
    pub purpose: &'static str,
}

const fn right(verb: &'static str, group: &'static str, resource: &'static str, purpose: &'static str) -> Right {
    Right { verb, group, resource, purpose }
}

/// Every right used in all namespaces; the cluster role of `deploy/base/rbac.yaml` grants exactly these.
pub const RIGHTS: [Right; 19] = [
    right("list", "apps", "deployments", "watch targets"),
    right("watch", "apps", "deployments", "watch targets"),
    right("list", "apps", "statefulsets", "watch targets"),
    right("watch", "apps", "statefulsets", "watch targets"),
    right("get", "apps", "deployments/scale", "read immediately before a write"),
    right("patch", "apps", "deployments/scale", "scale"),
    right("get", "apps", "statefulsets/scale", "read immediately before a write"),
    right("patch", "apps", "statefulsets/scale", "scale"),
    right("list", "autoscaling", "horizontalpodautoscalers", "detect other autoscalers; without it nothing is scaled"),
    right("watch", "autoscaling", "horizontalpodautoscalers", "detect other autoscalers; without it nothing is scaled"),
    right("patch", "autoscaling", "horizontalpodautoscalers", "change the floor of an autoscaler"),
    right("list", "flyball.dev", "serviceloops", "watch which services are declared"),
    right("watch", "flyball.dev", "serviceloops", "watch which services are declared"),
    right("patch", "flyball.dev", "serviceloops/status", "report the status of a service"),
    right("list", "flyball.dev", "platformbounds", "read the PlatformBound; without it nothing is written"),
    right("watch", "flyball.dev", "platformbounds", "read the PlatformBound; without it nothing is written"),
    right("create", "events.k8s.io", "events", "report what was done"),
    right("list", "", "configmaps", "watch the kill switch and policies"),
    right("watch", "", "configmaps", "watch the kill switch and policies"),
];

/// The right used on the kill switch ConfigMap in flyball's own namespace; granted by the Role in the same file.
pub const KILL_SWITCH_RIGHTS: [Right; 1] =
    [right("get", "", "configmaps", "read the kill switch right before a write; without it nothing is written")];

/// The rights used when intents are kept in the API; granted by `deploy/overlays/replicas/rbac.yaml`.
pub const INTENT_RIGHTS: [Right; 5] = [
    right("get", "flyball.dev", "loopactions", "see which replica ended an intent"),
    right("list", "flyball.dev", "loopactions", "read the open intents of the previous leader"),
    right("create", "flyball.dev", "loopactions", "record an intent before its write; without it nothing is written"),
    right("delete", "flyball.dev", "loopactions", "delete what is no longer needed"),
    right("patch", "flyball.dev", "loopactions/status", "record how a write ended"),
];

/// The rights used on the Lease in flyball's own namespace; granted in the same place.
pub const LEASE_RIGHTS: [Right; 8] = [
    right("get", "coordination.k8s.io", "leases", "read the lease written by another replica"),
    right("list", "coordination.k8s.io", "leases", "see the current leader"),
    right("watch", "coordination.k8s.io", "leases", "notice immediately that the lease is released"),
    right("patch", "coordination.k8s.io", "leases", "acquire and renew the lease; without it nothing is written"),
    right("create", "coordination.k8s.io", "leases", "create the lease"),
    right("get", "flyball.dev", "loopleaders", "see the previous leader"),
    right("patch", "flyball.dev", "loopleaders", "let the API server refuse writes from a previous leader"),
    right("create", "flyball.dev", "loopleaders", "the same, for the first leader"),
];

/// The rights used on the ConfigMap that keeps the active policies; granted in the same place.
pub const KEPT_POLICIES_RIGHTS: [Right; 2] = [
    right("get", "", "configmaps", "read the active policies for a replica that starts without state"),
    right("patch", "", "configmaps", "store the active policies for a replica that starts without state"),
];

/// Returns whether the account has a right in all namespaces.
///
/// # Errors
/// Why the server does not say.
pub async fn allowed(server: &ApiServer, right: &Right) -> Result<bool, String> {
    review(server, right, "", "").await
}

/// Returns whether the account has a right on one object.
///
/// # Errors
/// Why the server does not say.
pub async fn allowed_on(server: &ApiServer, right: &Right, namespace: &str, name: &str) -> Result<bool, String> {
    // An object to be created has no name yet.
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
    answer["status"]["allowed"].as_bool().ok_or_else(|| "the answer is neither yes nor no".to_owned())
}
