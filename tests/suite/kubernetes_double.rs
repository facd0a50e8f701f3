//! The API double as seen by an HTTP client: errors, versions, scale, pages, watches, faults.

use std::time::Duration;

use flyball::demo::kubernetes::Objects;
use flyball::demo::kubernetes::call::Verb;
use serde_json::{Value, json};

use crate::support::kubernetes::BreakableDouble;
use crate::support::kubernetes::faults::Fault;

const CHECKOUT: &str = "/apis/apps/v1/namespaces/shop/deployments/checkout";

async fn double() -> (BreakableDouble, reqwest::Client) {
    let objects = Objects::default();
    objects.add_deployment("shop", "checkout", 3);
    (BreakableDouble::start(objects).await.unwrap(), client())
}

fn client() -> reqwest::Client {
    // A second installation is refused, which is fine with several tests in one process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().unwrap()
}

async fn get(double: &BreakableDouble, client: &reqwest::Client, path: &str) -> (u16, Value) {
    read(client.get(format!("{}{path}", double.url()))).await
}

async fn patch(double: &BreakableDouble, client: &reqwest::Client, query: &str, body: Value) -> (u16, Value) {
    let request = client.patch(format!("{}{CHECKOUT}/scale?{query}", double.url()));
    read(request.header("content-type", "application/merge-patch+json").body(body.to_string())).await
}

async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Reads `count` events of a watch, or up to its end.
async fn events(double: &BreakableDouble, client: &reqwest::Client, query: &str, count: usize) -> Vec<Value> {
    let url = format!("{}/apis/apps/v1/namespaces/shop/deployments?watch=1&{query}", double.url());
    let mut response = client.get(url).send().await.unwrap();
    let (mut text, mut events) = (String::new(), Vec::new());
    while events.len() < count
        && let Some(chunk) = response.chunk().await.unwrap()
    {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((line, rest)) = text.split_once('\n') {
            events.push(serde_json::from_str(line).unwrap());
            text = rest.to_owned();
        }
    }
    events
}

#[tokio::test]
async fn clients_find_their_way_and_errors_have_the_api_form() {
    let (double, client) = double().await;
    assert_eq!(get(&double, &client, "/version").await.1["minor"], "33");
    assert_eq!(get(&double, &client, "/apis").await.1["groups"][0]["name"], "apps");
    let (code, resources) = get(&double, &client, "/apis/apps/v1").await;
    assert_eq!((code, &resources["resources"][1]["name"]), (200, &json!("deployments/scale")));
    let (code, status) = get(&double, &client, "/apis/apps/v1/namespaces/shop/deployments/nothing").await;
    assert_eq!((code, &status["kind"], &status["reason"]), (404, &json!("Status"), &json!("NotFound")));
    assert_eq!(status["message"], "deployments.apps \"nothing\" not found");
    assert_eq!(get(&double, &client, "/apis/batch/v1/jobs").await.0, 404);
}

#[tokio::test]
async fn a_conditional_scale_succeeds_once() {
    let (double, client) = double().await;
    let (_, scale) = get(&double, &client, &format!("{CHECKOUT}/scale")).await;
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(3)));
    let body = json!({"metadata": {"resourceVersion": scale["metadata"]["resourceVersion"]}, "spec": {"replicas": 5}});
    let (code, answer) = patch(&double, &client, "fieldManager=flyball&dryRun=All", body.clone()).await;
    assert_eq!((code, &answer["spec"]["replicas"]), (200, &json!(5)));
    assert_eq!(double.objects().wanted("shop", "checkout"), Some(3));
    let (code, answer) = patch(&double, &client, "fieldManager=flyball", body.clone()).await;
    assert_eq!((code, &answer["spec"]["replicas"]), (200, &json!(5)));
    let (code, status) = patch(&double, &client, "fieldManager=flyball", body).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    let last = double.objects().history().pop().unwrap();
    assert_eq!((last.who.as_str(), last.from, last.to), ("flyball", Some(3), Some(5)));
    for (replicas, expected) in [(json!(-2), 422), (json!(4_000_000_000_u64), 422)] {
        assert_eq!(patch(&double, &client, "", json!({"spec": {"replicas": replicas}})).await.0, expected);
    }
}

#[tokio::test]
async fn config_maps_are_created_patched_and_listed() {
    let (double, client) = double().await;
    let url = format!("{}/api/v1/namespaces/flyball-system/configmaps", double.url());
    let body = json!({"metadata": {"name": "flyball-killswitch"}, "data": {"all": "false"}});
    let (code, made) = read(client.post(&url).json(&body)).await;
    assert_eq!((code, &made["kind"]), (201, &json!("ConfigMap")));
    assert_eq!(read(client.post(&url).json(&body)).await.0, 409);
    let request = client.patch(format!("{url}/flyball-killswitch"));
    let request = request.header("content-type", "application/merge-patch+json");
    assert_eq!(read(request.body(r#"{"data":{"all":"true"}}"#)).await.1["data"]["all"], "true");
    let (_, list) = read(client.get(&url)).await;
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("ConfigMapList"), 1));
    let request = client.patch(format!("{url}/flyball-killswitch")).json(&json!({}));
    assert_eq!(read(request).await.0, 415);
}

#[tokio::test]
async fn pages_of_a_list_lead_to_one_version() {
    let (double, client) = double().await;
    double.objects().add_deployment("shop", "search", 1);
    let path = "/apis/apps/v1/namespaces/shop/deployments";
    let (_, first) = get(&double, &client, &format!("{path}?limit=1")).await;
    assert_eq!((&first["metadata"]["remainingItemCount"], &first["items"][0]["kind"]), (&json!(1), &Value::Null));
    double.objects().set_status("shop", "search", 1, 0);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = get(&double, &client, &format!("{path}?limit=1&continue={token}")).await;
    assert_eq!(second["items"][0]["metadata"]["name"], "search");
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert_eq!(second["metadata"]["continue"], Value::Null);
}

#[tokio::test]
async fn a_watch_tells_changes_bookmarks_and_what_was_compacted_away() {
    let (double, client) = double().await;
    let from = *double.objects().newest().borrow();
    double.objects().set_status("shop", "checkout", 3, 1);
    double.objects().add_deployment("shop", "checkout", 2);
    let query = format!("resourceVersion={from}&timeoutSeconds=1&allowWatchBookmarks=true");
    let told = events(&double, &client, &query, usize::MAX).await;
    let types: Vec<_> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["MODIFIED", "DELETED", "ADDED", "MODIFIED", "BOOKMARK"]);
    let newest = double.objects().newest().borrow().to_string();
    assert_eq!(told.last().unwrap()["object"]["metadata"]["resourceVersion"], newest);
    double.objects().compact();
    let told = events(&double, &client, &query, usize::MAX).await;
    assert_eq!((&told[0]["type"], &told[0]["object"]["code"]), (&json!("ERROR"), &json!(410)));
    let told = events(&double, &client, "timeoutSeconds=5", 1).await;
    assert_eq!((&told[0]["type"], &told[0]["object"]["spec"]["replicas"]), (&json!("ADDED"), &json!(2)));
}

#[tokio::test]
async fn faults_meet_the_next_requests_of_their_verb_alone() {
    let (double, client) = double().await;
    let five = json!({"spec": {"replicas": 5}});
    double.faults().order(Verb::Patch, 1, Fault::status(429));
    double.faults().order(Verb::Patch, 1, Fault::Cut);
    assert_eq!(get(&double, &client, CHECKOUT).await.0, 200);
    assert_eq!(patch(&double, &client, "", five.clone()).await.0, 429);
    let url = format!("{}{CHECKOUT}/scale", double.url());
    let cut = client.patch(url).header("content-type", "application/merge-patch+json").body(five.to_string()).send();
    assert!(cut.await.is_err());
    assert_eq!(double.objects().wanted("shop", "checkout"), Some(5));
    assert_eq!(double.faults().requests(Verb::Patch), 2);
    double.faults().order(Verb::Get, 1, Fault::HoldAnswer);
    let held = get(&double, &client, CHECKOUT);
    let release = async {
        double.faults().wait_for_requests(Verb::Get, 2).await;
        double.faults().release();
    };
    assert_eq!(tokio::join!(held, release).0.0, 200);
}

#[tokio::test]
async fn a_frozen_watch_says_nothing_until_it_may_go_on() {
    let (double, client) = double().await;
    let url = format!("{}/apis/apps/v1/deployments?watch=1", double.url());
    let mut watch = client.get(url).send().await.unwrap();
    assert!(watch.chunk().await.unwrap().is_some());
    double.faults().freeze_watches(true);
    double.objects().set_status("shop", "checkout", 3, 1);
    let silent = tokio::time::timeout(Duration::from_millis(200), watch.chunk()).await;
    assert!(silent.is_err(), "{silent:?}");
    double.faults().freeze_watches(false);
    assert!(watch.chunk().await.unwrap().is_some(), "what happened meanwhile");
}

#[tokio::test]
async fn a_stopped_server_breaks_its_connections_and_can_live_again() {
    let (double, client) = double().await;
    let (objects, address) = (double.objects().clone(), double.address());
    let url = format!("{}/apis/apps/v1/deployments?watch=1", double.url());
    let mut watch = client.get(url).send().await.unwrap();
    assert!(watch.chunk().await.unwrap().is_some());
    drop(double);
    assert!(watch.chunk().await.is_err());
    assert!(client.get(format!("http://{address}{CHECKOUT}")).send().await.is_err());
    let again = BreakableDouble::start_at(objects, address).await.unwrap();
    assert_eq!(get(&again, &client, CHECKOUT).await.0, 200);
}
