//! The discovery documents of the API double.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::resource::Resource;

/// Returns the document at `path`, if it exists.
pub fn document(path: &str) -> Option<Value> {
    Some(match path.trim_end_matches('/') {
        "/version" => json!({ "major": "1", "minor": "33", "gitVersion": "v1.33.0+double", "platform": "double" }),
        "/api" => json!({ "kind": "APIVersions", "versions": ["v1"] }),
        "/apis" => json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups() }),
        "/api/v1" => resources("v1"),
        path => {
            let version = path.strip_prefix("/apis/")?;
            Resource::ALL.into_iter().any(|resource| resource.api_version() == version).then(|| resources(version))?
        }
    })
}

fn groups() -> Vec<Value> {
    let versions: BTreeSet<String> = Resource::ALL.into_iter().map(Resource::api_version).collect();
    let group = |both: &String| {
        let (group, version) = both.split_once('/')?;
        let version = json!({ "groupVersion": both, "version": version });
        Some(json!({ "name": group, "versions": [version], "preferredVersion": version }))
    };
    versions.iter().filter_map(group).collect()
}

fn resources(version: &str) -> Value {
    let mut listed = Vec::new();
    for resource in Resource::ALL.into_iter().filter(|resource| resource.api_version() == version) {
        listed.push(json!({
            "name": resource.plural(), "singularName": resource.kind().to_lowercase(), "namespaced": resource.namespaced(),
            "kind": resource.kind(), "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
        }));
        if resource.scales() {
            listed.push(json!({
                "name": format!("{}/scale", resource.plural()), "singularName": "", "namespaced": true,
                "group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"],
            }));
        }
        if resource.subresource("status").is_some() {
            listed.push(json!({
                "name": format!("{}/status", resource.plural()), "singularName": "", "namespaced": resource.namespaced(),
                "kind": resource.kind(), "verbs": ["get", "patch", "update"],
            }));
        }
    }
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed })
}
