//! The API double answers like the real server: both get the same requests, and what clients can distinguish in the
//! answers is compared. Where they differ, the double is wrong.

use flyball::demo::kubernetes::Objects;
use reqwest::Method;
use serde_json::{Value, json};

use super::Cluster;
use crate::support::kubernetes::BreakableDouble;

const NAMESPACE: &str = "twin";
const MERGE: &str = "application/merge-patch+json";

/// A request: method, path below the namespace, content type, body.
type Request = (Method, &'static str, &'static str, Value);

fn requests() -> Vec<Request> {
    const ONE: &str = "/apis/apps/v1/namespaces/twin/deployments/one";
    const SCALE: &str = "/apis/apps/v1/namespaces/twin/deployments/one/scale?fieldManager=flyball";
    let labels = json!({ "app": "one" });
    let containers = json!([{ "name": "main", "image": "registry.k8s.io/pause:3.10" }]);
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": containers } });
    // Paused: no controller changes it between two requests.
    let spec = json!({ "replicas": 3, "paused": true, "selector": { "matchLabels": labels }, "template": template });
    let metadata = json!({ "name": "one", "namespace": NAMESPACE });
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec });
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "a": "b" } });
    let create = |path, body: &Value| (Method::POST, path, "application/json", body.clone());
    let get = |path| (Method::GET, path, "", Value::Null);
    let scale = |body: Value| (Method::PATCH, SCALE, MERGE, body);
    let replicas = |replicas: Value| scale(json!({ "spec": { "replicas": replicas } }));
    vec![
        get(ONE),
        create("/apis/apps/v1/namespaces/twin/deployments", &deployment),
        create("/apis/apps/v1/namespaces/twin/deployments", &deployment),
        get(SCALE),
        replicas(json!(4)),
        scale(json!({ "metadata": { "resourceVersion": "1" }, "spec": { "replicas": 5 } })),
        replicas(json!(-1)),
        replicas(json!(3_000_000_000_u32)),
        replicas(json!("many")),
        scale(json!({ "metadata": { "name": "other" }, "spec": { "replicas": 5 } })),
        (Method::PATCH, SCALE, "application/json", json!({ "spec": { "replicas": 5 } })),
        get(ONE),
        replicas(json!(0)),
        get(SCALE),
        (
            Method::PATCH,
            "/apis/apps/v1/namespaces/twin/deployments/none/scale",
            MERGE,
            json!({ "spec": { "replicas": 5 } }),
        ),
        get("/apis/apps/v1/namespaces/twin/deployments/none/scale"),
        get("/apis/apps/v1/namespaces/twin/nothings"),
        (Method::POST, ONE, "application/json", deployment),
        (Method::DELETE, ONE, "", Value::Null),
        (Method::DELETE, ONE, "", Value::Null),
        create("/api/v1/namespaces/twin/configmaps", &map),
        create("/api/v1/namespaces/twin/configmaps", &map),
        (Method::PATCH, "/api/v1/namespaces/twin/configmaps/one", MERGE, json!({ "data": { "a": null, "c": "d" } })),
        get("/api/v1/namespaces/twin/configmaps/none"),
    ]
}

#[tokio::test]
async fn the_double_answers_as_the_real_server() {
    let cluster = Cluster::open().await;
    cluster.namespaces(&[NAMESPACE.to_owned()]).await;
    let double = BreakableDouble::start(Objects::default()).await.unwrap();
    let real = std::env::var("FLYBALL_CONTRACT_URL").unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut differences = Vec::new();
    for request in requests() {
        let expected = told(&client, &real, &request).await;
        let found = told(&client, &double.url(), &request).await;
        if expected != found {
            let (method, path, _, body) = request;
            differences.push(format!("{method} {path} {body}\n  the server: {expected}\n  the double: {found}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Returns what a client learns from an answer, without server-specific parts.
async fn told(client: &reqwest::Client, server: &str, (method, path, content, body): &Request) -> Value {
    let mut request = client.request(method.clone(), format!("{server}{path}"));
    if !content.is_empty() {
        request = request.header("content-type", *content).body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap_or(Value::Null);
    let kind = body["kind"].as_str().unwrap_or_default().to_owned();
    let shown = match kind.as_str() {
        "Status" => json!({
            "status": body["status"], "reason": body["reason"], "code": body["code"],
            "details": [&body["details"]["name"], &body["details"]["group"], &body["details"]["kind"]],
            // Names for an unreadable body differ between decoders.
            "message": if status == 400 || body["details"]["name"].is_null() { &Value::Null } else { &body["message"] },
        }),
        "Scale" => {
            json!({ "spec": body["spec"], "status": keys(&body["status"]), "metadata": keys(&body["metadata"]) })
        }
        "ConfigMap" => json!({ "data": body["data"] }),
        _ => {
            json!({ "replicas": body["spec"]["replicas"], "owner": owner(&body), "generation": body["metadata"]["generation"] })
        }
    };
    json!({ "code": status, "kind": kind, "shown": shown })
}

fn keys(value: &Value) -> Vec<&String> {
    let mut keys: Vec<&String> = value.as_object().into_iter().flatten().map(|(key, _)| key).collect();
    keys.sort();
    keys
}

/// Returns the fields of the entry of the manager that owns the replicas.
fn owner(object: &Value) -> Vec<&String> {
    let entries = object["metadata"]["managedFields"].as_array();
    let owner = entries.into_iter().flatten().find(|entry| entry["fieldsV1"]["f:spec"]["f:replicas"].is_object());
    owner.map(keys).unwrap_or_default()
}
