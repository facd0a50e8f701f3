//! What really happened: every revision of every Deployment and autoscaler as stored in etcd, and every request of
//! flyball's account as logged by the API server. Neither comes from flyball. If a test has compacted the store,
//! history starts with the state at that revision.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Cluster, directory};

const STORE: &str = "http://127.0.0.1:2379";
const ACCOUNT: &str = "system:serviceaccount:flyball-system:flyball";

/// A change of the replicas of a Deployment, or of the floor of an autoscaler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Count before; `None` for a creation.
    pub from: Option<u32>,
    /// Count after.
    pub to: u32,
    /// Its owner since then.
    pub manager: String,
}

/// Returns the present revision of the store.
pub async fn revision(cluster: &Cluster) -> u64 {
    let list = cluster.get("/apis/apps/v1/deployments?limit=1").await;
    list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// Returns every change of the replicas of a Deployment after `revision`, in order.
pub async fn moves_since(revision: u64) -> Vec<Move> {
    changes_since(revision, "deployments", "replicas").await
}

/// Returns every change of the floor of an autoscaler after `revision`, in order.
pub async fn floors_since(revision: u64) -> Vec<Move> {
    changes_since(revision, "horizontalpodautoscalers", "minReplicas").await
}

async fn changes_since(revision: u64, plural: &str, field: &str) -> Vec<Move> {
    let (mut moves, mut counts) = (Vec::new(), std::collections::BTreeMap::new());
    for object in revisions(plural).await {
        let key = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        let to = u32::try_from(object["spec"][field].as_u64().unwrap()).unwrap();
        let from = counts.insert(key.clone(), to);
        if from != Some(to) && object["revision"].as_u64() > Some(revision) {
            moves.push(Move { namespace: key.0, name: key.1, from, to, manager: owner(&object, field) });
        }
    }
    moves
}

/// Returns all objects of a kind that were ever stored, each revision under its number, oldest first. A recreated
/// object continues the old one.
async fn revisions(plural: &str) -> Vec<Value> {
    let [first, end] = ['/', '0'].map(|last| BASE64_STANDARD.encode(format!("/registry/{plural}{last}")));
    let newest = json!({ "key": first, "range_end": end, "sort_order": "DESCEND", "sort_target": "MOD", "limit": 1 });
    let newest = ask("kv/range", newest).await;
    let until = newest["kvs"][0]["mod_revision"].as_str().expect("one is there").parse::<u64>().unwrap();
    let compacted = compacted();
    let mut objects = Vec::new();
    if compacted > 0 {
        let at = json!({ "key": first, "range_end": end, "revision": compacted.to_string(), "sort_target": "MOD" });
        let stood = ask("kv/range", at).await;
        objects.extend(stood["kvs"].as_array().into_iter().flatten().filter_map(|kv| object(&json!({ "kv": kv }))));
    }
    let from = (compacted + 1).to_string();
    let watch = json!({ "create_request": { "key": first, "range_end": end, "start_revision": from } });
    let mut answer = client().post(format!("{STORE}/v3/watch")).body(watch.to_string()).send().await.unwrap();
    let mut bytes = Vec::new();
    while objects.last().is_none_or(|last: &Value| last["revision"].as_u64() < Some(until)) {
        bytes.extend(answer.chunk().await.unwrap().expect("etcd goes on"));
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let line: Value = serde_json::from_slice(&bytes[..end]).unwrap();
            assert!(line["result"]["canceled"].is_null(), "etcd has compacted its history: {line}");
            objects.extend(line["result"]["events"].as_array().into_iter().flatten().filter_map(object));
            bytes.drain(..=end);
        }
    }
    objects
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Queries the store.
async fn ask(what: &str, question: Value) -> Value {
    let answer = client().post(format!("{STORE}/v3/{what}")).body(question.to_string()).send().await.unwrap();
    assert!(answer.status().is_success(), "{what} {question}: {}", answer.text().await.unwrap());
    answer.json().await.unwrap()
}

fn compaction() -> PathBuf {
    directory().join("compacted")
}

/// Returns the revision up to which a test has compacted the store; 0 if none has.
fn compacted() -> u64 {
    fs::read_to_string(compaction()).map_or(0, |text| text.parse().unwrap())
}

/// Compacts the store to its present revision, which is returned: no earlier watch can continue.
pub async fn compact() -> u64 {
    let first = BASE64_STANDARD.encode("/registry/");
    let now = ask("kv/range", json!({ "key": first, "limit": 1 })).await["header"]["revision"].clone();
    ask("kv/compaction", json!({ "revision": now, "physical": true })).await;
    let revision = now.as_str().unwrap().parse().unwrap();
    fs::write(compaction(), format!("{revision}")).unwrap();
    revision
}

/// Returns the object of an event; `None` for a deletion.
fn object(event: &Value) -> Option<Value> {
    let stored = BASE64_STANDARD.decode(event["kv"]["value"].as_str()?).unwrap();
    let mut object: Value = serde_json::from_slice(&stored).expect("objects are stored as JSON");
    object["revision"] = json!(event["kv"]["mod_revision"].as_str()?.parse::<u64>().unwrap());
    Some(object)
}

fn owner(object: &Value, field: &str) -> String {
    let (entries, owned) = (&object["metadata"]["managedFields"], format!("f:{field}"));
    let entries = entries.as_array().expect("who wrote is kept");
    let owner = entries.iter().find(|entry| entry["fieldsV1"]["f:spec"][&owned].is_object()).unwrap();
    text(owner, "/manager")
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}")).to_owned()
}

/// A request of flyball's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `get`, `list`, `watch`, `patch`...
    pub verb: String,
    /// Path and query.
    pub uri: String,
    /// Status of the answer.
    pub status: u64,
    /// When it arrived.
    pub arrived: Timestamp,
    /// When the answer was complete.
    pub answered: Timestamp,
}

/// Returns every request that flyball's account made and that was answered, in the order of the answers.
pub fn requests() -> Vec<Request> {
    let log = fs::read_to_string(directory().join("audit.log")).unwrap();
    // The last line may be incomplete.
    let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = entries.filter(|entry| entry["user"]["username"] == ACCOUNT && entry["stage"] == "ResponseComplete");
    let request = |entry: Value| Request {
        verb: text(&entry, "/verb"),
        uri: text(&entry, "/requestURI"),
        status: entry["responseStatus"]["code"].as_u64().unwrap_or(0),
        arrived: text(&entry, "/requestReceivedTimestamp").parse().unwrap(),
        answered: text(&entry, "/stageTimestamp").parse().unwrap(),
    };
    ours.map(request).collect()
}
