//! The documents by which clients find their way in the API double.

use serde_json::{Value, json};

use super::resource::Resource;

/// Returns the document at `path`, if there is one.
pub fn document(path: &str) -> Option<Value> {
    Some(match path.trim_end_matches('/') {
        "/version" => json!({ "major": "1", "minor": "33", "gitVersion": "v1.33.0+double", "platform": "double" }),
        "/api" => json!({ "kind": "APIVersions", "versions": ["v1"] }),
        "/apis" => {
            let version = json!({ "groupVersion": "apps/v1", "version": "v1" });
            let group = json!({ "name": "apps", "versions": [version], "preferredVersion": version });
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group] })
        }
        "/api/v1" => resources("v1"),
        "/apis/apps/v1" => resources("apps/v1"),
        _ => return None,
    })
}

fn resources(version: &str) -> Value {
    let mut listed = Vec::new();
    for resource in Resource::ALL.into_iter().filter(|resource| resource.api_version() == version) {
        listed.push(json!({
            "name": resource.plural(), "singularName": resource.kind().to_lowercase(), "namespaced": true,
            "kind": resource.kind(), "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
        }));
        if resource.scales() {
            listed.push(json!({
                "name": format!("{}/scale", resource.plural()), "singularName": "", "namespaced": true,
                "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"],
            }));
        }
    }
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed })
}
